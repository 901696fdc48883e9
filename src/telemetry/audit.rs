//! What callers did, or tried to: one record for each call that changes something, whichever door it came through, and
//! for what is worth knowing of calls that only read.
//!
//! * A mutating call leaves a record once its outcome is known.
//! * So does each showing of a secret (`reveal`).
//! * Who reads another's session by `tenant.sessions` leaves one record a minute for each method and session, with a count.
//! * What an agent calls with its own credential leaves one record a minute for each session, tool and outcome, with a
//!   count, under the session's owner.
//! * A call that no caller was recognised for changes nothing. The first one of an address leaves a record, those of the
//!   same minute are counted, and the count is a second record: a flood pushes nothing out.
//!
//! No setting of what is logged keeps a record away from memory, from `audit_file`, or (without that file) from standard
//! error.

use crate::domain::{
    access::{Credential, Identity, Scope},
    ids::Principal,
};
use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Target of every audit record.
pub const TARGET: &str = "audit";
/// Outcome of a call that succeeded; others have the name of their code.
pub const OK: &str = "ok";
/// Time in which repeats of the same are counted and not recorded one by one.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Addresses and reasons of refused credentials that are told apart in a window; all others are counted together.
pub const STRANGERS_MAX: usize = 128;
/// Reads of others' sessions that are counted at once; beyond, each one leaves a record.
pub const OPERATOR_READS_MAX: usize = 4096;
/// Calls of agents that are counted at once; beyond, each one leaves a record.
pub const AGENT_CALLS_MAX: usize = 4096;
/// How often it is looked for windows that are over.
const SWEEP: Duration = Duration::from_secs(5);

/// A call and what became of it.
#[derive(Clone, Copy)]
pub struct Audited<'a> {
    /// Who called, and with what.
    pub identity: &'a Identity,
    /// `package.Service/Method`, or `mcp/TOOL`.
    pub method: &'a str,
    /// The session that it was about; empty where it was about none, or did not come so far.
    pub session_key: &'a str,
    /// The memory whose secret was asked for; empty where none was.
    pub revealed: &'a str,
    /// [`OK`], or the name of the code, such as `NOT_FOUND`.
    pub outcome: &'a str,
    /// `ErrorInfo.reason` of a refusal; empty where there was none.
    pub reason: &'a str,
    /// Where it came from, where that is known.
    pub peer: Option<&'a dyn fmt::Display>,
    /// Trace that it belongs to.
    pub trace_id: &'a str,
    /// Time until the outcome was known.
    pub duration: Duration,
}

/// How a caller was recognised: the kind, and of an API key its id.
struct Shown<'a>(&'a Credential);

/// Who was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stranger {
    address: String,
    reason: &'static str,
}

/// What somebody read of another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OperatorRead {
    principal: Principal,
    method: String,
    session_key: String,
}

/// What an agent called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AgentCall {
    principal: Principal,
    session_key: String,
    method: String,
    outcome: String,
    reason: String,
}

/// What happens often: the first time is told at once, repeats of the same window as a count at its end.
struct Repeats<K> {
    counts: HashMap<K, Count>,
    /// Keys at most.
    max: usize,
}

struct Count {
    began: Instant,
    /// Beside the first.
    more: u64,
}

/// What became of one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    /// It is the first of its window.
    First,
    /// It was counted.
    Counted,
    /// There is no room for another key.
    Full,
}

static STRANGERS: LazyLock<Mutex<Repeats<Stranger>>> =
    LazyLock::new(|| Mutex::new(Repeats::new(STRANGERS_MAX)));
static OPERATOR_READS: LazyLock<Mutex<Repeats<OperatorRead>>> =
    LazyLock::new(|| Mutex::new(Repeats::new(OPERATOR_READS_MAX)));

static AGENT_CALLS: LazyLock<Mutex<Repeats<AgentCall>>> =
    LazyLock::new(|| Mutex::new(Repeats::new(AGENT_CALLS_MAX)));

/// Writes the record of a call.
pub fn audit(audited: Audited<'_>) {
    let Audited {
        identity,
        method,
        session_key,
        revealed,
        outcome,
        reason,
        peer,
        trace_id,
        duration,
    } = audited;
    let Identity {
        principal,
        credential,
        scopes: _,
        expire_time: _,
    } = identity;
    let name = method.rsplit('/').next().unwrap_or(method);
    tracing::info!(
        target: TARGET,
        %principal,
        credential = %Shown(credential),
        method,
        session_key,
        revealed = (!revealed.is_empty()).then_some(revealed),
        outcome,
        reason,
        peer = peer.map(tracing::field::display),
        trace_id,
        duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        "{name} ended with {outcome}"
    );
}

/// A call from an address was refused before anybody was recognised.
pub fn refused(address: String, reason: &'static str) {
    let stranger = Stranger { address, reason };
    let others = Stranger {
        address: "others".into(),
        reason: stranger.reason,
    };
    let now = Instant::now();
    let first = {
        let mut strangers = lock(&STRANGERS);
        match strangers.note(stranger.clone(), now) {
            Noted::First => Some(stranger),
            Noted::Counted => None,
            Noted::Full => {
                // Room is kept for these: there are few reasons.
                let noted = strangers.note_always(others.clone(), now);
                (noted == Noted::First).then_some(others)
            }
        }
    };
    if let Some(first) = first {
        tell_stranger(&first, 1);
    }
}

/// Somebody read a session, or a list that may hold sessions (then `session_key` is empty), of another principal by the
/// scope `tenant.sessions`.
pub fn operator_read(identity: &Identity, method: &str, session_key: &str) {
    // Without credentials everyone is the same principal, and there are no others.
    if identity.credential == Credential::None || !identity.scopes.contains(Scope::TenantSessions) {
        return;
    }
    let read = OperatorRead {
        principal: identity.principal.clone(),
        method: method.to_owned(),
        session_key: session_key.to_owned(),
    };
    let noted = lock(&OPERATOR_READS).note(read.clone(), Instant::now());
    match noted {
        Noted::First | Noted::Full => tell_read(&read, 1),
        Noted::Counted => {}
    }
}

/// An agent, with the credential of its process, called a tool for the session of this principal.
pub fn by_agent(
    principal: &Principal,
    session_key: &str,
    method: &str,
    outcome: &str,
    reason: &str,
) {
    let call = AgentCall {
        principal: principal.clone(),
        session_key: session_key.to_owned(),
        method: method.to_owned(),
        outcome: outcome.to_owned(),
        reason: reason.to_owned(),
    };
    let noted = lock(&AGENT_CALLS).note(call.clone(), Instant::now());
    match noted {
        Noted::First | Noted::Full => tell_agent_call(&call, 1),
        Noted::Counted => {}
    }
}

/// Tells counts of windows that are over, until `ending`; then all of them.
pub async fn keep_counts(ending: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            () = ending.cancelled() => return tell_counts(Instant::now() + WINDOW),
            _ = ticks.tick() => tell_counts(Instant::now()),
        }
    }
}

fn tell_counts(now: Instant) {
    let strangers = lock(&STRANGERS).take_over(now);
    for (stranger, more) in strangers {
        tell_stranger(&stranger, more);
    }
    let reads = lock(&OPERATOR_READS).take_over(now);
    for (read, more) in reads {
        tell_read(&read, more);
    }
    let calls = lock(&AGENT_CALLS).take_over(now);
    for (call, more) in calls {
        tell_agent_call(&call, more);
    }
}

fn tell_agent_call(call: &AgentCall, count: u64) {
    let AgentCall {
        principal,
        session_key,
        method,
        outcome,
        reason,
    } = call;
    let name = method.rsplit('/').next().unwrap_or(method);
    tracing::info!(
        target: TARGET,
        %principal,
        credential = "agent",
        method,
        session_key,
        outcome,
        reason,
        count,
        "{name}, called by the session's agent, ended with {outcome}"
    );
}

fn tell_stranger(stranger: &Stranger, count: u64) {
    let Stranger { address, reason } = stranger;
    tracing::info!(
        target: TARGET,
        peer = address,
        outcome = "UNAUTHENTICATED",
        reason,
        count,
        "calls from {address} were refused: {reason}"
    );
}

fn tell_read(read: &OperatorRead, count: u64) {
    let OperatorRead {
        principal,
        method,
        session_key,
    } = read;
    let name = method.rsplit('/').next().unwrap_or(method);
    tracing::info!(
        target: TARGET,
        %principal,
        method,
        session_key,
        outcome = OK,
        by = Scope::TenantSessions.as_str(),
        count,
        "{name} read with the right to every session of the tenant"
    );
}

fn lock<K>(repeats: &Mutex<Repeats<K>>) -> MutexGuard<'_, Repeats<K>> {
    repeats.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Repeats ===

impl<K: Hash + Eq> Repeats<K> {
    fn new(max: usize) -> Self {
        Self {
            counts: HashMap::new(),
            max,
        }
    }

    fn note(&mut self, key: K, now: Instant) -> Noted {
        if self.counts.len() >= self.max && !self.counts.contains_key(&key) {
            return Noted::Full;
        }
        self.note_always(key, now)
    }

    /// As `note`, beyond the bound. A window that is over goes on until it was told.
    fn note_always(&mut self, key: K, now: Instant) -> Noted {
        match self.counts.get_mut(&key) {
            Some(count) => {
                count.more += 1;
                Noted::Counted
            }
            None => {
                let count = Count {
                    began: now,
                    more: 0,
                };
                self.counts.insert(key, count);
                Noted::First
            }
        }
    }

    /// Ends windows that are over; gives those with repeats.
    fn take_over(&mut self, now: Instant) -> Vec<(K, u64)> {
        let over = self
            .counts
            .extract_if(|_, count| now.duration_since(count.began) >= WINDOW);
        over.filter(|(_, count)| count.more > 0)
            .map(|(key, count)| (key, count.more))
            .collect()
    }
}

// === impl Shown ===

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Credential::None => f.write_str("none"),
            Credential::ApiKey(key_id) => write!(f, "api_key {key_id}"),
            Credential::Jwt => f.write_str("jwt"),
            Credential::Certificate => f.write_str("certificate"),
            Credential::LocalUser => f.write_str("local_user"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_repeats_are_counted_and_the_number_of_keys_is_bounded() {
        let mut repeats = Repeats::new(2);
        let begin = Instant::now();
        assert_eq!(repeats.note("a", begin), Noted::First);
        assert_eq!(repeats.note("a", begin), Noted::Counted);
        assert_eq!(repeats.note("a", begin), Noted::Counted);
        assert_eq!(repeats.note("b", begin), Noted::First);
        assert_eq!(repeats.note("c", begin), Noted::Full);
        assert_eq!(repeats.note_always("others", begin), Noted::First);
        assert_eq!(repeats.take_over(begin + WINDOW / 2), []);
        // Told once; what had no repeat was told at its first time.
        assert_eq!(repeats.take_over(begin + WINDOW), [("a", 2)]);
        assert_eq!(repeats.take_over(begin + WINDOW * 2), []);
        assert_eq!(repeats.note("a", begin + WINDOW), Noted::First);
    }
}
