//! Webhooks out: subscriptions of addresses to what happens in sessions, and what comes of a try. Pure.

use super::{
    event::EventKind,
    ids::{LogId, SessionRow, Time},
    schedule::Owner,
    session::Session,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// Webhooks of one tenant.
pub const WEBHOOKS_MAX: i64 = 1000;
/// Deliveries that are kept of each webhook.
pub const DELIVERIES_KEPT: i64 = 200;
/// Longest address, in bytes.
pub const URL_MAX_BYTES: usize = 2048;
/// Secrets that sign at a time.
pub const SECRETS_MAX: usize = 2;
/// Bytes of a secret, by the Standard Webhooks specification.
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Largest body of a delivery, in bytes; events are at most 1 MiB as messages.
pub const BODY_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Kinds that push notifications of A2A tell.
pub const A2A_KINDS: [EventKind; 5] = [
    EventKind::TURN_QUEUED,
    EventKind::TURN_STARTED,
    EventKind::TURN_ENDED,
    EventKind::QUESTION_ASKED,
    EventKind::QUESTION_RESOLVED,
];
/// Longest token of push notifications, in bytes.
pub const TOKEN_MAX_BYTES: usize = 1024;
/// Longest header `Authorization` of push notifications, in bytes.
pub const AUTHORIZATION_MAX_BYTES: usize = 8 * 1024;
/// Pauses before the tries after a failed one.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
];
/// After so long without a success a webhook is paused.
pub const FAILING_MAX: Duration = Duration::from_secs(24 * 3600);

/// A webhook, without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// The store's row; never used again.
    pub row: i64,
    /// Names it for callers.
    pub webhook_id: Uuid,
    /// Who it reads as.
    pub owner: Owner,
    /// What it says.
    pub rules: WebhookRules,
    /// Nothing is delivered.
    pub paused: bool,
    /// Why.
    pub pause_reason: String,
    /// Secrets that it has.
    pub secret_count: usize,
    /// Tries that failed since the last success.
    pub failures: i64,
    /// Since when.
    pub failing_since: Option<Time>,
    /// When the next try is due, while it fails.
    pub next_try: Option<Time>,
    /// When it was made.
    pub create_time: Time,
    /// Grows with each change by its owner.
    pub version: i64,
}

/// What a webhook says, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRules {
    /// Where to post.
    pub url: String,
    /// Kinds that are told, by their numbers; empty: all durable ones.
    pub kinds: Vec<u8>,
    /// One session; empty: any.
    pub session_key: String,
    /// Beginning of the session's key.
    pub key_prefix: String,
    /// Agent of the session; empty: any.
    pub agent: String,
    /// Labels that the session must have.
    pub labels: BTreeMap<String, String>,
    /// Whole events.
    pub full: bool,
    /// For people.
    pub display_name: String,
    /// One turn of that session, with which the webhook ends.
    #[serde(default)]
    pub turn_id: Option<Uuid>,
    /// In which shape events are told.
    #[serde(default)]
    pub format: Format,
}

/// The shape of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Our own, signed by the Standard Webhooks specification.
    #[default]
    Standard,
    /// Push notifications of A2A.
    A2a,
}

/// Why the server paused a webhook. The names are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// A day without a success.
    Failing,
    /// The address says that it is gone.
    Gone,
    /// Its owner may not read any more.
    PermissionRevoked,
    /// Its secrets were sealed with another key.
    SecretUnreadable,
}

/// What became of a delivery. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It was taken.
    Delivered = 1,
    /// It is tried again.
    Failed = 2,
    /// It is not told.
    Skipped = 3,
}

/// One delivery, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Log of the event.
    pub log_id: LogId,
    /// Its session.
    pub session_key: String,
    /// Its place.
    pub seq: i64,
    /// Its kind.
    pub kind: EventKind,
    /// What became of it.
    pub state: DeliveryState,
    /// How often it was tried.
    pub tries: i64,
    /// What was answered last; 0 where nothing was.
    pub status: u16,
    /// What went wrong last.
    pub problem: String,
    /// The first try.
    pub first_try: Time,
    /// The last one.
    pub last_try: Time,
}

/// What one try came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What became of it.
    pub state: DeliveryState,
    /// What was answered; 0 where nothing was.
    pub status: u16,
    /// What went wrong, for people; nothing of what the address says.
    pub problem: String,
    /// When the address wants to be asked again, from now on.
    pub retry_after: Option<Duration>,
}

/// What a webhook does after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It tries again then.
    Try(Time),
    /// It is paused.
    Pause(PauseReason),
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u64);

/// Which session of which webhook.
pub type Pair = (i64, SessionRow);

// === impl Webhook ===

impl Webhook {
    /// What it does after a try that failed: `spread` in 0..=1000 puts the next one a fifth earlier or later.
    pub fn after_failure(&self, tried: &Tried, spread: u16, now: Time) -> Next {
        if tried.status == 410 {
            return Next::Pause(PauseReason::Gone);
        }
        let since = self.failing_since.unwrap_or(now);
        let end = since.plus_micros(micros(FAILING_MAX));
        if now >= end {
            return Next::Pause(PauseReason::Failing);
        }
        let step = usize::try_from(self.failures).unwrap_or(usize::MAX);
        let pause = micros(PAUSES[step.min(PAUSES.len() - 1)]);
        let spread = pause * 4 / 5 + pause * 2 / 5 * i64::from(spread.min(1000)) / 1000;
        let asked = tried.retry_after.map_or(0, micros);
        // The last one is at the end of the day, so that it is not paused unasked.
        Next::Try(now.plus_micros(spread.max(asked)).min(end))
    }
}

// === impl WebhookRules ===

impl WebhookRules {
    /// Whether a kind is told.
    pub fn wants(&self, kind: EventKind) -> bool {
        kind.is_durable() && (self.kinds.is_empty() || self.kinds.contains(&kind.0))
    }

    /// The kinds to look at; empty: all. The end of a session is one where it is the end of the webhook too.
    pub fn kinds(&self) -> Kinds {
        let mut kinds = Kinds::of(self.kinds.iter().map(|number| EventKind(*number)));
        if self.turn_id.is_some() && !kinds.is_empty() {
            kinds.and(Kinds::of([EventKind::SESSION_DELETED]));
        }
        kinds
    }

    /// Whether nothing is told after an event of that kind.
    pub fn ends_with(&self, kind: EventKind) -> bool {
        self.turn_id.is_some() && kind == EventKind::TURN_ENDED
    }

    /// Whether a session is told of.
    pub fn matches(&self, session: &Session) -> bool {
        (self.session_key.is_empty() || self.session_key == session.key.as_str())
            && session.key.as_str().starts_with(self.key_prefix.as_str())
            && (self.agent.is_empty() || self.agent == session.agent)
            && self
                .labels
                .iter()
                .all(|(name, value)| session.labels.get(name) == Some(value))
    }
}

// === impl PauseReason ===

impl PauseReason {
    /// The contract's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "FAILING",
            Self::Gone => "GONE",
            Self::PermissionRevoked => "PERMISSION_REVOKED",
            Self::SecretUnreadable => "SECRET_UNREADABLE",
        }
    }
}

// === impl DeliveryState ===

impl DeliveryState {
    /// The state with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Delivered, Self::Failed, Self::Skipped]
            .into_iter()
            .find(|state| *state as i64 == number)
    }
}

// === impl Kinds ===

impl Kinds {
    /// These.
    pub fn of(kinds: impl IntoIterator<Item = EventKind>) -> Self {
        let bits = kinds.into_iter().filter(|kind| kind.is_durable());
        Self(bits.fold(0, |set, kind| set | 1 << (kind.0 & 63)))
    }

    /// Both.
    pub fn and(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether none is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one of these is wanted by a filter, whose empty set is all.
    pub fn meet(self, wanted: Self) -> bool {
        wanted.is_empty() && !self.is_empty() || self.0 & wanted.0 != 0
    }
}

/// Name of a kind as deliveries say it: `turn.ended`.
pub fn type_of(kind: EventKind) -> String {
    kind.name().replace('_', ".")
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{access::Scopes, ids::Principal};

    fn webhook() -> Webhook {
        Webhook {
            row: 1,
            webhook_id: Uuid::nil(),
            owner: Owner {
                principal: Principal::local(),
                key_id: String::new(),
                scopes: Scopes::ALL,
                valid: true,
            },
            rules: WebhookRules::default(),
            paused: false,
            pause_reason: String::new(),
            secret_count: 1,
            failures: 0,
            failing_since: None,
            next_try: None,
            create_time: Time(0),
            version: 1,
        }
    }

    fn failed(status: u16) -> Tried {
        Tried {
            state: DeliveryState::Failed,
            status,
            problem: String::new(),
            retry_after: None,
        }
    }

    /// 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, then at the end of the day, then never.
    #[test]
    fn tries_become_rarer_and_end_after_a_day() {
        let mut webhook = webhook();
        let mut now = Time(1_000_000);
        let mut pauses = Vec::new();
        loop {
            match webhook.after_failure(&failed(500), 500, now) {
                Next::Try(at) => {
                    pauses.push((at.0 - now.0) / 1_000_000);
                    webhook.failing_since.get_or_insert(now);
                    webhook.failures += 1;
                    now = at;
                }
                Next::Pause(reason) => {
                    assert_eq!(reason, PauseReason::Failing);
                    break;
                }
            }
        }
        let sum = 5 + 300 + 1800 + 7200 + 18_000 + 36_000;
        assert_eq!(pauses, [5, 300, 1800, 7200, 18_000, 36_000, 86_400 - sum]);
        assert_eq!(now.0, 1_000_000 + micros(FAILING_MAX));
    }

    #[test]
    fn an_address_says_when_and_whether_at_all() {
        let webhook = webhook();
        let now = Time(7);
        assert_eq!(
            webhook.after_failure(&failed(410), 0, now),
            Next::Pause(PauseReason::Gone)
        );
        let later = |seconds| Tried {
            retry_after: Some(Duration::from_secs(seconds)),
            ..failed(429)
        };
        assert_eq!(
            webhook.after_failure(&later(60), 0, now),
            Next::Try(now.plus_micros(60_000_000))
        );
        // A year is a day: then it is paused, and its owner hears of it.
        assert_eq!(
            webhook.after_failure(&later(366 * 86_400), 0, now),
            Next::Try(now.plus_micros(micros(FAILING_MAX)))
        );
        for (spread, seconds) in [(0, 4), (1000, 6), (u16::MAX, 6)] {
            assert_eq!(
                webhook.after_failure(&failed(0), spread, now),
                Next::Try(now.plus_micros(seconds * 1_000_000))
            );
        }
    }

    #[test]
    fn kinds_are_durable_ones() {
        let ended = Kinds::of([EventKind::TURN_ENDED]);
        let mut both = Kinds::of([EventKind::TOKEN, EventKind::TURN_STARTED]);
        assert!(!both.meet(ended) && both.meet(Kinds::default()));
        both.and(ended);
        assert!(both.meet(ended));
        assert!(!Kinds::of([EventKind::TOKEN]).meet(Kinds::default()));
        let rules = WebhookRules::default();
        assert!(rules.wants(EventKind::TURN_ENDED) && !rules.wants(EventKind::TOKEN));
        assert_eq!(type_of(EventKind::TURN_ENDED), "turn.ended");
    }
}
