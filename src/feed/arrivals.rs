//! Sessions that come to match a filter, for who follows all that do.
//!
//! Each is told once, with the position before the commit that made it match: a session that was made meanwhile is told
//! from its first event on, and no event after that falls between. One that ceases to match is not told of again.

use super::{Watcher, lock};
use crate::domain::{
    access::Identity,
    ids::SessionRow,
    refusal::Refusal,
    session::{Session, SessionFilter, SessionState},
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, Weak},
};
use tokio::sync::Notify;

/// Sessions that may wait to be taken; beyond that the follower must start again.
pub const ARRIVALS_MAX: usize = 4096;

/// A session that came to match.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its row as of the commit that made it match.
    pub session: Arc<Session>,
    /// The last event before that commit.
    pub after: i64,
}

/// Waits for sessions that a viewer may see and that come to match. Dropping it ends that.
pub struct Arrivals {
    queue: Arc<ArrivalsQueue>,
}

/// What waits for one follower.
pub(crate) struct ArrivalsQueue {
    viewer: Arc<Identity>,
    filter: SessionFilter,
    state: Mutex<QueueState>,
    notify: Notify,
}

#[derive(Default)]
struct QueueState {
    /// Sessions that the follower has, or that wait for it.
    known: HashSet<SessionRow>,
    waiting: Vec<Arrival>,
    /// More came than may wait.
    overflown: bool,
}

// === impl Arrivals ===

impl Arrivals {
    pub(super) fn new(viewer: Arc<Identity>, filter: SessionFilter) -> (Self, Weak<ArrivalsQueue>) {
        let queue = Arc::new(ArrivalsQueue {
            viewer,
            filter,
            state: Mutex::default(),
            notify: Notify::new(),
        });
        let weak = Arc::downgrade(&queue);
        (Self { queue }, weak)
    }

    /// Tells that the follower has a session, from wherever: it does not arrive.
    pub fn know(&self, session: SessionRow) {
        let mut state = lock(&self.queue.state);
        state.known.insert(session);
        state.waiting.retain(|one| one.session.row != session);
    }

    /// Tells that the follower found a session that matches. False where it has that one already, or where it arrives.
    pub fn found(&self, session: SessionRow) -> bool {
        lock(&self.queue.state).known.insert(session)
    }

    /// Sessions that came to match, in the order in which they did; waits until there is one.
    ///
    /// # Errors
    /// `RESYNC` where more came than may wait.
    pub async fn next(&mut self) -> Result<Vec<Arrival>, Refusal> {
        loop {
            {
                let mut state = lock(&self.queue.state);
                if state.overflown {
                    return Err(Refusal::Resync);
                }
                if !state.waiting.is_empty() {
                    return Ok(std::mem::take(&mut state.waiting));
                }
            }
            self.queue.notify.notified().await;
        }
    }
}

// === impl ArrivalsQueue ===

impl Watcher for ArrivalsQueue {
    fn offer(&self, session: &Arc<Session>, before: i64) {
        if session.tenant != self.viewer.principal.tenant
            || !session.key.as_str().starts_with(&self.filter.key_prefix)
        {
            return;
        }
        {
            let mut state = lock(&self.state);
            if session.state == SessionState::Deleted {
                state.known.remove(&session.row);
                return;
            }
            if state.overflown
                || state.known.contains(&session.row)
                || self.viewer.access(session).is_none()
                || !self.filter.matches(session)
            {
                return;
            }
            if state.waiting.len() == ARRIVALS_MAX {
                *state = QueueState {
                    overflown: true,
                    ..QueueState::default()
                };
            } else {
                state.known.insert(session.row);
                state.waiting.push(Arrival {
                    session: session.clone(),
                    after: before,
                });
            }
        }
        self.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::tests::session;

    fn running(head: i64) -> Arc<Session> {
        Arc::new(Session {
            state: SessionState::Running,
            head,
            ..session()
        })
    }

    fn arrivals() -> (Arrivals, Arc<ArrivalsQueue>) {
        let filter = SessionFilter {
            states: vec![SessionState::Running],
            ..SessionFilter::default()
        };
        let (arrivals, queue) = Arrivals::new(Arc::new(Identity::unauthenticated()), filter);
        (arrivals, queue.upgrade().expect("it is held"))
    }

    async fn positions(arrivals: &mut Arrivals) -> Vec<i64> {
        let next = arrivals.next().await.expect("few came");
        next.iter().map(|arrival| arrival.after).collect()
    }

    /// However long the follower looks away, it begins before the commit that made the session match.
    #[tokio::test]
    async fn a_session_is_told_once_from_where_it_came_to_match() {
        let (mut arrivals, queue) = arrivals();
        queue.offer(&Arc::new(session()), 3);
        assert!(lock(&queue.state).waiting.is_empty(), "it does not match");
        queue.offer(&running(5), 4);
        queue.offer(&running(9), 5);
        queue.offer(&Arc::new(session()), 9);
        queue.offer(&running(12), 10);
        assert_eq!(positions(&mut arrivals).await, [4]);
        assert!(!arrivals.found(session().row), "it came as an arrival");
        // Gone, and another one in its place.
        let mut gone = session();
        gone.state = SessionState::Deleted;
        queue.offer(&Arc::new(gone), 12);
        queue.offer(&running(2), 0);
        assert_eq!(positions(&mut arrivals).await, [0]);
    }

    #[tokio::test]
    async fn one_that_is_known_never_arrives_and_too_many_are_refused() {
        let (mut arrivals, queue) = arrivals();
        queue.offer(&running(5), 4);
        arrivals.know(session().row);
        queue.offer(&running(6), 5);
        assert!(lock(&queue.state).waiting.is_empty());
        assert!(!arrivals.found(session().row));
        for row in 0..=ARRIVALS_MAX {
            let session = Session {
                row: SessionRow(1000 + i64::try_from(row).expect("few")),
                ..(*running(1)).clone()
            };
            queue.offer(&Arc::new(session), 0);
        }
        assert_eq!(arrivals.next().await.err(), Some(Refusal::Resync));
    }
}
