//! What a commit tells: the events as they stand in the log, and the session as it is now.

use crate::domain::{event::EventKind, session::Session, turn::Turn};
use bytes::Bytes;
use std::sync::Arc;
use uuid::Uuid;

/// A durable event as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Its place: 1, 2, 3 … without holes.
    pub seq: i64,
    /// Epoch of the owner under which it was written; never falls along a log.
    pub epoch: i64,
    /// Its kind.
    pub kind: EventKind,
    /// Its turn, where it has one.
    pub turn_id: Option<Uuid>,
    /// Its item, where it has one.
    pub item_id: Option<Uuid>,
    /// `GatewayEvent` without `session_key`, `log_id`, `seq` and `after_seq`, see `wire::frames`.
    pub body: Bytes,
}

/// What one commit did to one session.
#[derive(Clone, Debug)]
pub struct Published {
    /// The session after the commit; `state` is `Deleted` when its rows are gone.
    pub session: Arc<Session>,
    /// Its new events in `seq` order; may be empty (retention, purge).
    pub events: Vec<StoredEvent>,
    /// Turns that this commit ended, for those who wait for them.
    pub ended: Vec<Arc<Turn>>,
}

/// Takes what was committed. Called by the store's commit task alone, in commit order, before any reply.
pub trait Publisher: Send + Sync + 'static {
    /// Must not block and must not call the store.
    fn publish(&self, published: Vec<Published>);
}
