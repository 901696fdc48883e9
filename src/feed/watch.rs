//! Newest states of many sessions for one watcher: a bounded map, not a queue.

use super::{Watcher, lock};
use crate::domain::{
    access::Identity,
    ids::SessionRow,
    refusal::Refusal,
    session::{Session, SessionFilter, SessionState},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, Weak},
};
use tokio::sync::Notify;

/// Changed sessions that may wait for one watcher; beyond that it must start again.
pub const WATCH_PENDING_MAX: usize = 4096;

/// Follows the sessions that a viewer may see and that match a filter. Dropping it ends it.
pub struct Watch {
    queue: Arc<WatchQueue>,
}

/// What waits for one watcher.
pub(crate) struct WatchQueue {
    viewer: Arc<Identity>,
    filter: SessionFilter,
    state: Mutex<QueueState>,
    notify: Notify,
}

#[derive(Default)]
struct QueueState {
    /// Newest row of each session that changed and was not taken yet.
    pending: HashMap<SessionRow, Arc<Session>>,
    /// Sessions that the watcher believes to match; it must hear when that ends.
    matching: HashSet<SessionRow>,
    /// While the watcher reads a page of its initial list: sessions that changed and do not match, in their newest
    /// state. The page may show them as they were before.
    missed: Option<HashMap<SessionRow, Arc<Session>>>,
    /// More changed than may wait.
    overflown: bool,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(viewer: Arc<Identity>, filter: SessionFilter) -> (Self, Weak<WatchQueue>) {
        let queue = Arc::new(WatchQueue {
            viewer,
            filter,
            state: Mutex::default(),
            notify: Notify::new(),
        });
        let weak = Arc::downgrade(&queue);
        (Self { queue }, weak)
    }

    /// A page of the initial list is going to be read.
    pub fn page_begins(&self) {
        lock(&self.queue.state).missed = Some(HashMap::new());
    }

    /// Tells that the watcher was shown a session in its initial list, so that it hears when that stops to match.
    pub fn listed(&self, session: &Session) {
        let mut state = lock(&self.queue.state);
        let missed = state.missed.as_mut().and_then(|m| m.remove(&session.row));
        match missed {
            Some(newer) => {
                state.pending.insert(newer.row, newer);
            }
            None => {
                state.matching.insert(session.row);
            }
        }
    }

    /// Tells that the initial list is over.
    pub fn list_complete(&self) {
        lock(&self.queue.state).missed = None;
    }

    /// Sessions that changed, the newest row of each; waits until there is one. A session that stops matching comes
    /// once more; one that is gone, or that the viewer may not see any more, comes with `state = Deleted`.
    ///
    /// # Errors
    /// `RESYNC` where more changed than may wait.
    pub async fn next(&mut self) -> Result<Vec<Arc<Session>>, Refusal> {
        loop {
            {
                let mut state = lock(&self.queue.state);
                if state.overflown {
                    return Err(Refusal::Resync);
                }
                if !state.pending.is_empty() {
                    return Ok(std::mem::take(&mut state.pending).into_values().collect());
                }
            }
            self.queue.notify.notified().await;
        }
    }
}

// === impl WatchQueue ===

impl Watcher for WatchQueue {
    fn offer(&self, session: &Arc<Session>, _: i64) {
        if session.tenant != self.viewer.principal.tenant
            || !session.key.as_str().starts_with(&self.filter.key_prefix)
        {
            return;
        }
        let gone = session.state == SessionState::Deleted;
        let seen = self.viewer.access(session).is_some();
        let matches = seen && self.filter.matches(session);
        let shown = || {
            let mut shown = session.clone();
            if !seen {
                Arc::make_mut(&mut shown).state = SessionState::Deleted;
            }
            shown
        };
        {
            let mut state = lock(&self.state);
            let before = if matches && !gone {
                !state.matching.insert(session.row)
            } else {
                state.matching.remove(&session.row)
            };
            if state.overflown {
                return;
            }
            let waiting = if matches || before {
                state.pending.insert(session.row, shown());
                state.pending.len()
            } else if let Some(missed) = &mut state.missed {
                missed.insert(session.row, shown());
                missed.len()
            } else {
                return;
            };
            if waiting > WATCH_PENDING_MAX {
                *state = QueueState {
                    overflown: true,
                    ..QueueState::default()
                };
            }
        }
        self.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        access::{Credential, Scopes, SessionAccess},
        ids::Principal,
    };

    fn bob() -> Arc<Identity> {
        Arc::new(Identity {
            principal: Principal {
                tenant: "default".into(),
                subject: "bob".into(),
            },
            scopes: Scopes::NONE,
            credential: Credential::Jwt,
            expire_time: None,
        })
    }

    /// The session of somebody else, shared with bob or not.
    fn session(shared: bool) -> Arc<Session> {
        let mut session = crate::feed::tests::session();
        if shared {
            session.shares.insert("bob".into(), SessionAccess::Read);
        }
        Arc::new(session)
    }

    async fn taken(watch: &mut Watch) -> Vec<SessionState> {
        let next = watch.next().await.expect("few changed");
        next.iter().map(|session| session.state).collect()
    }

    /// A session is there for a watcher for as long as it is shared with it.
    #[tokio::test]
    async fn a_share_makes_a_session_appear_and_its_end_makes_it_go() {
        let (mut watch, queue) = Watch::new(bob(), SessionFilter::default());
        let queue = queue.upgrade().expect("the watch holds it");
        queue.offer(&session(false), 0);
        assert!(
            lock(&queue.state).pending.is_empty(),
            "a stranger's is not there"
        );
        queue.offer(&session(true), 0);
        assert_eq!(taken(&mut watch).await, [SessionState::Idle]);
        queue.offer(&session(false), 0);
        assert_eq!(taken(&mut watch).await, [SessionState::Deleted]);
        queue.offer(&session(false), 0);
        assert!(lock(&queue.state).pending.is_empty(), "told once");
    }

    /// A share that ends between the look at the store and the listing is not missed.
    #[tokio::test]
    async fn the_initial_list_may_be_older_than_the_newest_change() {
        let (mut watch, queue) = Watch::new(bob(), SessionFilter::default());
        let queue = queue.upgrade().expect("the watch holds it");
        watch.page_begins();
        let read = session(true);
        queue.offer(&session(false), 0);
        watch.listed(&read);
        watch.list_complete();
        assert_eq!(taken(&mut watch).await, [SessionState::Deleted]);
    }
}
