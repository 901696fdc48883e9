//! Calls that are open: who is connected and listens, and the one place from which a call is cut when its caller's
//! credential ends.
//!
//! A call has its place from when it was let in until its answer is sent or given up: dropping [`Open`] gives the place
//! back. Streams, calls that wait for news, and calls that wait for what they stop are counted per principal and tenant,
//! each kind for itself; a stream that follows several sessions counts as so many. Asking whether a call must end costs its task one atomic; a waker is
//! left only while there is nothing to send.
//!
//! A credential that ends between the look at it and the call's place here is looked at again by the layers: who revokes
//! takes the key away first, and then ends what is open.

use super::methods::Counts;
use crate::{
    clock,
    domain::{
        Refusal,
        access::{Credential, Identity},
        ids::{Principal, Time},
        limits::cut,
        refusal::LimitOf,
    },
};
use arc_swap::ArcSwap;
use atomic_waker::AtomicWaker;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    hash::Hash,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long after its end a credential's calls may go on.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// Streams of callers that need no credential (health watches), over all connections. One more ends the oldest: strangers
/// can't keep the places from who comes later.
const NAMELESS_STREAMS_MAX: usize = 1000;
/// Pages that are made for one tenant at a time; its other calls for such wait, in order. A page takes a serving thread
/// some milliseconds, and that is what another tenant's call waits for.
const PAGES_AT_ONCE: usize = 4;
/// Tenants whose pages are counted, before those that have none are forgotten.
const PAGING_TENANTS_MAX: usize = 1024;
/// Longest `user-agent` that is kept, in bytes.
const USER_AGENT_MAX_BYTES: usize = 256;

/// Every open call.
#[derive(Default)]
pub struct Channels {
    /// Replaced whole: they change together, and hardly ever.
    limits: ArcSwap<Limits>,
    /// A lock and not a task: it is held for a few lines of memory work, at the begin and the end of a call.
    state: Mutex<State>,
    /// By tenant, room for its pages.
    pages: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// How much may be open at once; 0 bounds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of one principal.
    pub principal: OpenLimits,
    /// Of all principals of one tenant.
    pub tenant: OpenLimits,
}

/// How much one principal or tenant may have open at once; 0 bounds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenLimits {
    /// Streams.
    pub streams: usize,
    /// Calls that wait for news; as many again may wait for what they stop.
    pub waits: usize,
}

/// What one principal or tenant has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    streams: usize,
    waits: usize,
    stops: usize,
}

#[derive(Default)]
struct State {
    last_id: u64,
    open: BTreeMap<u64, Arc<Channel>>,
    /// Calls whose credential has an end, the next one first.
    ends: BTreeSet<(Time, u64)>,
    of_principal: HashMap<Principal, Tally>,
    of_tenant: HashMap<String, Tally>,
    /// Streams of callers without a credential, the oldest first.
    nameless: BTreeSet<u64>,
}

/// What is known of a call when it is let in.
#[derive(Clone, Debug)]
pub struct ChannelFacts {
    /// Who calls; `None` where nobody was asked.
    pub identity: Option<Arc<Identity>>,
    /// Name of the RPC, such as `Subscribe`.
    pub method: &'static str,
    /// What it counts as.
    pub counts: Counts,
    /// The peer's address.
    pub peer: String,
    /// What the client says it is.
    pub user_agent: String,
}

/// One open call.
pub struct Channel {
    /// Names it while it is open; later ones are greater.
    pub id: u64,
    /// What is known of it.
    pub facts: ChannelFacts,
    /// When it was let in.
    pub start_time: Time,
    /// The sessions that it is about, once its handler knows, each as often as it is followed. Locked after the state.
    sessions: Mutex<HashMap<String, usize>>,
    ended: AtomicBool,
    /// Of the task that waits for the answer, or for the body's next frame.
    waker: AtomicWaker,
}

/// An open call's place.
pub struct Open(Place);

/// Where an open call stands, for its handler.
#[derive(Clone)]
pub struct Place {
    channels: Arc<Channels>,
    /// The call.
    pub channel: Arc<Channel>,
}

/// One session of a call that follows several; its drop gives the place back.
pub struct Followed {
    place: Place,
    session_key: String,
}

// === impl Channels ===

impl Channels {
    /// Sets how much may be open at once. What is open stays so.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// Gives a call its place.
    ///
    /// # Errors
    /// `TOO_MANY_STREAMS`, `TOO_MANY_WAITS`.
    pub fn open(self: &Arc<Self>, mut facts: ChannelFacts) -> Result<Open, Refusal> {
        let kept = cut(&facts.user_agent, USER_AGENT_MAX_BYTES).len();
        facts.user_agent.truncate(kept);
        let mut state = self.state();
        state.count(facts.counts, facts.identity.as_deref(), &self.limits.load())?;
        state.last_id += 1;
        let id = state.last_id;
        if facts.identity.is_none() && facts.counts == Counts::Stream {
            state.nameless.insert(id);
            if state.nameless.len() > NAMELESS_STREAMS_MAX
                && let Some(oldest) = state.nameless.pop_first()
                && let Some(channel) = state.open.get(&oldest)
            {
                channel.end();
            }
        }
        if let Some(end) = facts.identity.as_ref().and_then(|it| it.expire_time) {
            state.ends.insert((end, id));
        }
        let channel = Arc::new(Channel {
            id,
            facts,
            start_time: clock::wall(),
            sessions: Mutex::default(),
            ended: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        state.open.insert(id, channel.clone());
        Ok(Open(Place {
            channels: self.clone(),
            channel,
        }))
    }

    /// Ends every call that was made with an API key.
    pub fn end_key(&self, key_id: &str) {
        let of_key = |channel: &&Arc<Channel>| channel.key_id() == Some(key_id);
        let found: Vec<_> = self.state().open.values().filter(of_key).cloned().collect();
        found.iter().for_each(|channel| channel.end());
    }

    /// Open streams of a tenant after a place, the oldest first; those about one session where a key is given.
    pub fn streams(
        &self,
        tenant: &str,
        session_key: &str,
        after: u64,
        limit: usize,
    ) -> Vec<Arc<Channel>> {
        let wanted = |channel: &&Arc<Channel>| {
            let identity = channel.facts.identity.as_ref();
            channel.facts.counts == Counts::Stream
                && identity.is_some_and(|it| it.principal.tenant == tenant)
                && (session_key.is_empty() || channel.is_about(session_key))
        };
        let state = self.state();
        let later = state.open.range(after.saturating_add(1)..);
        let found = later.map(|(_, channel)| channel).filter(wanted);
        found.take(limit).cloned().collect()
    }

    /// Ends calls whose credential has ended, for ever.
    pub async fn end_expired(&self) {
        loop {
            tokio::time::sleep(EXPIRY_INTERVAL).await;
            let now = clock::wall();
            let mut ended = Vec::new();
            let mut state = self.state();
            while let Some((end, id)) = state.ends.pop_first() {
                if end > now {
                    state.ends.insert((end, id));
                    break;
                }
                ended.extend(state.open.get(&id).cloned());
            }
            drop(state);
            ended.iter().for_each(|channel| channel.end());
        }
    }

    fn pages_of(&self, tenant: &str) -> Arc<Semaphore> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= PAGING_TENANTS_MAX {
            pages.retain(|_, room| Arc::strong_count(room) > 1);
        }
        let room = pages
            .entry(tenant.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(PAGES_AT_ONCE)));
        Arc::clone(room)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Counts a call, or refuses it and counts nothing.
    fn count(
        &mut self,
        counts: Counts,
        identity: Option<&Identity>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let Some(Identity { principal, .. }) = identity else {
            return Ok(());
        };
        if matches!(counts, Counts::Nothing | Counts::Page) {
            return Ok(());
        }
        let open = self.of_principal.get(principal).copied();
        check(
            LimitOf::Principal,
            counts,
            open.unwrap_or_default(),
            limits.principal,
        )?;
        let open = self.of_tenant.get(&principal.tenant).copied();
        check(
            LimitOf::Tenant,
            counts,
            open.unwrap_or_default(),
            limits.tenant,
        )?;
        let of_principal = self.of_principal.entry(principal.clone()).or_default();
        of_principal.add(counts, 1);
        let of_tenant = self.of_tenant.entry(principal.tenant.clone()).or_default();
        of_tenant.add(counts, 1);
        Ok(())
    }

    fn uncount(&mut self, counts: Counts, identity: Option<&Identity>) {
        match (counts, identity) {
            (Counts::Nothing | Counts::Page, _) | (_, None) => {}
            (Counts::Stream | Counts::Wait | Counts::Stop, Some(Identity { principal, .. })) => {
                closed(&mut self.of_principal, principal.clone(), counts);
                closed(&mut self.of_tenant, principal.tenant.clone(), counts);
            }
        }
    }
}

/// Refuses one more of a kind where there are as many as may be.
fn check(of: LimitOf, counts: Counts, open: Tally, limits: OpenLimits) -> Result<(), Refusal> {
    let number = |it| i64::try_from(it).unwrap_or(i64::MAX);
    let full = |current: usize, limit: usize| limit > 0 && current >= limit;
    let (what, current) = match counts {
        Counts::Nothing | Counts::Page => return Ok(()),
        Counts::Stream if full(open.streams, limits.streams) => {
            return Err(Refusal::TooManyStreams {
                of,
                limit: number(limits.streams),
                current: number(open.streams),
            });
        }
        Counts::Stream => return Ok(()),
        Counts::Wait => ("calls that wait", open.waits),
        Counts::Stop => ("calls that wait for what they stop", open.stops),
    };
    if full(current, limits.waits) {
        return Err(Refusal::TooManyWaits {
            of,
            what,
            limit: number(limits.waits),
            current: number(current),
        });
    }
    Ok(())
}

/// Counts one less; who has nothing open is forgotten.
fn closed<K: Eq + Hash>(tallies: &mut HashMap<K, Tally>, key: K, counts: Counts) {
    if let Entry::Occupied(mut tally) = tallies.entry(key) {
        tally.get_mut().add(counts, -1);
        if *tally.get() == Tally::default() {
            tally.remove();
        }
    }
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, counts: Counts, by: isize) {
        let number = match counts {
            Counts::Nothing | Counts::Page => return,
            Counts::Stream => &mut self.streams,
            Counts::Wait => &mut self.waits,
            Counts::Stop => &mut self.stops,
        };
        *number = number.saturating_add_signed(by);
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

// === impl Channel ===

impl Channel {
    /// Notes a session that it is about.
    pub fn about(&self, session_key: &str) {
        *self.sessions().entry(session_key.to_owned()).or_default() += 1;
    }

    /// Whether it is about that session.
    pub fn is_about(&self, session_key: &str) -> bool {
        self.sessions().contains_key(session_key)
    }

    /// The session that it is about; empty where it is about none, or about several.
    pub fn session_key(&self) -> String {
        let sessions = self.sessions();
        match sessions.len() {
            1 => sessions.keys().next().cloned().unwrap_or_default(),
            _ => String::new(),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The API key that it was opened with.
    pub fn key_id(&self) -> Option<&str> {
        match &self.facts.identity.as_ref()?.credential {
            Credential::ApiKey(id) => Some(id),
            Credential::None
            | Credential::Jwt
            | Credential::Certificate
            | Credential::LocalUser => None,
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.waker.wake();
    }
}

// === impl Place ===

impl Place {
    /// Counts a session of a call that follows several: the first one has the call's own place.
    ///
    /// # Errors
    /// `TOO_MANY_STREAMS`.
    pub fn follow(&self, session_key: &str) -> Result<Followed, Refusal> {
        let Self { channels, channel } = self;
        let mut state = channels.state();
        if !channel.sessions().is_empty() {
            state.count(
                Counts::Stream,
                channel.facts.identity.as_deref(),
                &channels.limits.load(),
            )?;
        }
        channel.about(session_key);
        Ok(Followed {
            place: self.clone(),
            session_key: session_key.to_owned(),
        })
    }
}

// === impl Followed ===

impl Followed {
    /// The session.
    pub fn session_key(&self) -> &str {
        &self.session_key
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let Place { channels, channel } = &self.place;
        let mut state = channels.state();
        let mut sessions = channel.sessions();
        one_less(&mut sessions, self.session_key.clone());
        if !sessions.is_empty() {
            state.uncount(Counts::Stream, channel.facts.identity.as_deref());
        }
    }
}

// === impl Open ===

impl Open {
    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.0
    }

    /// Waits until its tenant has room for one more page, where it asks for one. The room is taken until what this gives
    /// is dropped.
    pub fn page(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let Place { channels, channel } = &self.0;
        let ChannelFacts {
            identity, counts, ..
        } = &channel.facts;
        let room = match (counts, identity) {
            (Counts::Page, Some(identity)) => Some(channels.pages_of(&identity.principal.tenant)),
            (Counts::Page, None)
            | (Counts::Nothing | Counts::Stream | Counts::Wait | Counts::Stop, _) => None,
        };
        async move { room?.acquire_owned().await.ok() }
    }

    /// What its caller is told where it must end: its credential is not taken any more, or, where it brought none, others
    /// came after it.
    pub fn why_ended(&self) -> Refusal {
        let limit = i64::try_from(NAMELESS_STREAMS_MAX).unwrap_or(i64::MAX);
        match self.0.channel.facts.identity {
            Some(_) => Refusal::CredentialsInvalid,
            None => Refusal::TooManyStreams {
                of: LimitOf::Server,
                limit,
                current: limit,
            },
        }
    }

    /// Ends it: its caller's credential is not taken any more.
    pub fn end(&self) {
        self.0.channel.end();
    }

    /// Whether it must end.
    pub fn is_ended(&self) -> bool {
        self.0.channel.ended.load(Ordering::Acquire)
    }

    /// Whether it must end; if not, wakes the task once it must.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_ended() {
            return Poll::Ready(());
        }
        self.0.channel.waker.register(cx.waker());
        // It may have ended before the waker was there.
        if self.is_ended() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Waits for a call's answer, but no longer than its caller's credential is taken.
    pub async fn while_valid<F: Future>(
        &self,
        mut answer: Pin<&mut F>,
    ) -> Result<F::Output, Refusal> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            self.poll_ended(cx).map(|()| Err(self.why_ended()))
        })
        .await
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Place { channels, channel } = &self.0;
        let Channel { id, facts, .. } = &**channel;
        let mut state = channels.state();
        state.open.remove(id);
        state.nameless.remove(id);
        if let Some(end) = facts.identity.as_ref().and_then(|it| it.expire_time) {
            state.ends.remove(&(end, *id));
        }
        state.uncount(facts.counts, facts.identity.as_deref());
    }
}
