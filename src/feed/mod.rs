//! The feed: what was committed, on its way to those who follow it.
//!
//! Owns one [`Tail`] per session that somebody holds: the newest events as framed bytes, the open items, and who waits.
//! Takes publications from the store's commit task (as its [`Publisher`]) and deltas from the session's actor.
//! Promises: a [`Reader`] sees every durable event after its position once and in order, whatever falls in between;
//! a slow reader costs nobody else anything; no wake-up is lost. Owns no truth: a tail can be dropped and opened again.
//!
//! * [`tail`]: a session's newest events, its open items, and who waits for it.
//! * [`ring`]: the newest framed events, and which of them a reader wants.
//! * [`open_items`]: messages being written and tools that run.
//! * [`stream`]: a reader, as a cursor over store and tail.
//! * [`relay`]: wake-ups, one from thread to thread per serving runtime.
//! * [`watch`]: newest states of many sessions, for WatchSessions and the registry.
//! * [`arrivals`]: sessions that come to match a filter, for SubscribeMany.

pub mod arrivals;
pub mod cursor;
pub mod open_items;
pub mod relay;
pub mod ring;
pub mod stream;
pub mod tail;
pub mod watch;

#[cfg(test)]
mod tests;

pub use arrivals::{Arrival, Arrivals};
pub use cursor::{log_range, resolve_cursor};
pub use open_items::{OpenBlock, OpenMessage, RunningTool};
pub use stream::{Reader, ReaderOptions, Step};
pub use tail::{Look, Pushed, Tail, TurnWaiter};
pub use watch::Watch;

use crate::{
    domain::{
        access::Identity,
        ids::{SessionRow, Time},
        refusal::{LimitOf, Refusal},
        session::{Session, SessionFilter},
    },
    store::{Published, Publisher, Store, StoredEvent},
    telemetry::metrics::{self, Counted},
};
use relay::Lane;
use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// Bounds of the feed. Constant for its life.
#[derive(Clone, Copy, Debug)]
pub struct FeedOptions {
    /// Serving runtimes; each runs one [`Feed::relay`].
    pub serving_runtimes: usize,
    /// Streams at once, of all kinds.
    pub max_streams: usize,
}

/// Every tail that somebody holds, and everyone who follows all sessions.
pub struct Feed {
    /// What tails and streams need of the feed too.
    shared: Arc<Shared>,
    /// Newest row of each session that changed since the registry looked.
    changed: Mutex<HashMap<SessionRow, Arc<Session>>>,
    /// Wakes the registry.
    changed_notify: Notify,
    /// Those that live of who hear of every session.
    watchers: Mutex<Vec<Weak<dyn Watcher>>>,
}

/// Hears of every commit.
pub(crate) trait Watcher: Send + Sync {
    /// Takes a session's newest row, and the last event `before` the commit. Must not block.
    fn offer(&self, session: &Arc<Session>, before: i64);

    /// The same with the events of the commit, for those who want to know which.
    fn offer_events(&self, session: &Arc<Session>, before: i64, events: &[StoredEvent]) {
        let _ = events;
        self.offer(session, before);
    }
}

/// The part of the feed that its tails hold.
pub(crate) struct Shared {
    /// Tails by session; an entry goes with its tail.
    tails: Mutex<HashMap<SessionRow, Weak<Tail>>>,
    /// One per serving runtime.
    pub(crate) lanes: Vec<Lane>,
    /// Streams that hold a permit.
    streams: AtomicUsize,
    /// Bound of `streams`; may change.
    max_streams: AtomicUsize,
    /// When running turns are interrupted, in microseconds; 0 while nothing drains.
    drain_deadline: AtomicI64,
    /// True when streams that have delivered everything must end.
    ending: AtomicBool,
    /// Broadcasts of `reload` so far, over all tenants: tells readers cheaply that there is nothing new.
    reload_count: AtomicU64,
    /// Newest broadcast of each tenant that had one, with its number.
    reloads: Mutex<HashMap<String, (u64, Arc<str>)>>,
}

/// One stream's place among `max_streams`; dropping it gives the place back.
pub struct StreamPermit {
    /// Where it counts.
    shared: Arc<Shared>,
    _open: Counted,
}

/// Locks plain memory. A panic of another holder leaves it usable: each change is whole when the lock is given back.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Feed ===

impl Feed {
    /// A feed without tails.
    pub fn new(options: FeedOptions) -> Arc<Self> {
        let FeedOptions {
            serving_runtimes,
            max_streams,
        } = options;
        Arc::new(Self {
            shared: Arc::new(Shared {
                tails: Mutex::default(),
                lanes: (0..serving_runtimes).map(|_| Lane::default()).collect(),
                streams: AtomicUsize::new(0),
                max_streams: AtomicUsize::new(max_streams),
                drain_deadline: AtomicI64::new(0),
                ending: AtomicBool::new(false),
                reload_count: AtomicU64::new(0),
                reloads: Mutex::default(),
            }),
            changed: Mutex::default(),
            changed_notify: Notify::new(),
            watchers: Mutex::default(),
        })
    }

    /// The tail of a session, opened (head and row read from the store) where nobody holds it.
    /// `None` when there is no such row.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn tail(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        session: SessionRow,
    ) -> Result<Option<Arc<Tail>>, Refusal> {
        // In the map before the store is read: a commit that the read misses is published to it.
        let tail = {
            let mut tails = lock(&self.shared.tails);
            match tails.get(&session).and_then(Weak::upgrade) {
                Some(tail) => tail,
                None => {
                    let tail = Arc::new(Tail::new(self.shared.clone(), session));
                    tails.insert(session, Arc::downgrade(&tail));
                    tail
                }
            }
        };
        Ok(tail.load(store.as_ref()).await?.then_some(tail))
    }

    /// Runs on serving runtime `runtime` for its whole life: the only one there that is woken from other threads;
    /// it wakes its runtime's readers. Tells the thread its number.
    pub fn relay(self: &Arc<Self>, runtime: usize) -> impl Future<Output = ()> + Send + 'static {
        relay::run(self.shared.clone(), runtime)
    }

    /// Sessions that changed since the last call, the newest row of each; waits until there is one. For one caller,
    /// the registry. Never holds more than one row per session.
    pub async fn changed_sessions(&self) -> Vec<Arc<Session>> {
        loop {
            let changed = std::mem::take(&mut *lock(&self.changed));
            if !changed.is_empty() {
                return changed.into_values().collect();
            }
            self.changed_notify.notified().await;
        }
    }

    /// Changes how many streams may be open; those that are stay.
    pub fn set_max_streams(&self, max_streams: usize) {
        self.shared
            .max_streams
            .store(max_streams, Ordering::Relaxed);
    }

    /// A place for one more stream.
    ///
    /// # Errors
    /// `TOO_MANY_STREAMS`.
    pub fn stream_permit(self: &Arc<Self>) -> Result<StreamPermit, Refusal> {
        let limit = self.shared.max_streams.load(Ordering::Relaxed);
        let taken = self
            .shared
            .streams
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < limit).then_some(n + 1)
            });
        match taken {
            Ok(_) => Ok(StreamPermit {
                shared: self.shared.clone(),
                _open: Counted::one(&metrics::get().streams_open),
            }),
            Err(taken) => Err(Refusal::TooManyStreams {
                of: LimitOf::Server,
                limit: i64::try_from(limit).unwrap_or(i64::MAX),
                current: i64::try_from(taken).unwrap_or(i64::MAX),
            }),
        }
    }

    /// Tells every stream once, present and coming, that the server is going to stop.
    pub fn begin_drain(&self, deadline: Time) {
        self.shared
            .drain_deadline
            .store(deadline.0.max(1), Ordering::SeqCst);
        self.shared.wake_everyone();
    }

    /// Tells every open stream of a tenant's sessions once to read again what its client keeps.
    pub fn reload(&self, tenant: &str, reason: &str) {
        {
            let mut reloads = lock(&self.shared.reloads);
            let number = self.shared.reload_count.load(Ordering::SeqCst) + 1;
            reloads.insert(tenant.to_owned(), (number, reason.into()));
            // After the entry: a reader that sees the number finds it.
            self.shared.reload_count.store(number, Ordering::SeqCst);
        }
        self.shared.wake_everyone();
    }

    /// Ends every stream with `DRAINING`, each once it has delivered everything up to its tail's head.
    pub fn end_streams(&self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        self.shared.wake_everyone();
    }

    /// Changes of sessions that the viewer may see and that match, from now on; the caller lists what there is afterwards.
    pub fn watch(self: &Arc<Self>, viewer: Arc<Identity>, filter: SessionFilter) -> Watch {
        let (watch, queue) = Watch::new(viewer, filter);
        self.add_watcher(queue);
        watch
    }

    /// Sessions that the viewer may see and that come to match, from now on; the caller lists what matches already
    /// afterwards.
    pub fn arrivals(self: &Arc<Self>, viewer: Arc<Identity>, filter: SessionFilter) -> Arrivals {
        let (arrivals, queue) = Arrivals::new(viewer, filter);
        self.add_watcher(queue);
        arrivals
    }

    pub(crate) fn add_watcher(&self, watcher: Weak<dyn Watcher>) {
        let mut watchers = lock(&self.watchers);
        watchers.retain(|w| w.strong_count() > 0);
        watchers.push(watcher);
    }
}

impl Publisher for Feed {
    fn publish(&self, published: Vec<Published>) {
        let watchers: Vec<Arc<dyn Watcher>> = lock(&self.watchers)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let events = published.iter().map(|one| one.events.len() as u64).sum();
        metrics::get().events_published.increment(events);
        for one in &published {
            // The lock is given back before the tail is touched, or dropped: its drop takes the same lock.
            let tail = lock(&self.shared.tails)
                .get(&one.session.row)
                .and_then(Weak::upgrade);
            if let Some(tail) = tail {
                tail.publish(one);
            }
            let first = one.events.first();
            let before = first.map_or(one.session.head, |event| event.seq - 1);
            for watcher in &watchers {
                watcher.offer_events(&one.session, before, &one.events);
            }
        }
        lock(&self.changed).extend(published.into_iter().map(|p| (p.session.row, p.session)));
        self.changed_notify.notify_one();
    }
}

// === impl Shared ===

impl Shared {
    /// When running turns are interrupted, once a drain has begun.
    pub(crate) fn drain_deadline(&self) -> Option<Time> {
        Some(self.drain_deadline.load(Ordering::SeqCst))
            .filter(|deadline| *deadline != 0)
            .map(Time)
    }

    /// Whether streams that have delivered everything must end.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Number of the newest `reload`.
    pub(crate) fn reload_count(&self) -> u64 {
        self.reload_count.load(Ordering::SeqCst)
    }

    /// The tenant's newest `reload`, where it is newer than number `seen`.
    pub(crate) fn reload_after(&self, seen: u64, tenant: &str) -> Option<Arc<str>> {
        let reloads = lock(&self.reloads);
        let (number, reason) = reloads.get(tenant)?;
        (*number > seen).then(|| reason.clone())
    }

    /// Wakes every reader of every tail.
    fn wake_everyone(&self) {
        let tails: Vec<Arc<Tail>> = lock(&self.tails)
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        for tail in tails {
            tail.wake_readers();
        }
    }

    /// Takes a dead tail's entry away; a new tail of the same session keeps it.
    pub(crate) fn forget(&self, session: SessionRow) {
        let mut tails = lock(&self.tails);
        if tails.get(&session).is_some_and(|t| t.strong_count() == 0) {
            tails.remove(&session);
        }
    }
}

// === impl StreamPermit ===

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.shared.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
