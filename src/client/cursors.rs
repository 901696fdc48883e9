//! Where a reader of updates is, so that it can go on there later.

use super::{Update, follow::advance};
use crate::proto::Cursor;
use std::collections::BTreeMap;

/// The positions of the sessions that a reader follows: what [`Client::follow`](super::Client::follow) and
/// [`Client::follow_many`](super::Client::follow_many) take as a start, in another run of the program too.
///
/// ```no_run
/// # use quarterdeck::client::{Client, Cursors, Start};
/// # async fn example(client: Client, request: quarterdeck::proto::SubscribeRequest) {
/// let mut cursors = Cursors::default();
/// let mut updates = client.follow(request, Start::Oldest);
/// while let Some(Ok(update)) = updates.recv().await {
///     cursors.note(&update);
/// }
/// let later = cursors.of("demo").cloned().map_or(Start::Oldest, Start::After);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cursors(BTreeMap<String, Cursor>);

// === impl Cursors ===

impl Cursors {
    /// Moves on over an update that was handled.
    pub fn note(&mut self, update: &Update) {
        match update {
            Update::Event(event) => {
                let mut cursor = self.0.get(&event.session_key).cloned();
                advance(&mut cursor, event);
                if let Some(cursor) = cursor {
                    self.0.insert(event.session_key.clone(), cursor);
                }
            }
            Update::Resynced(resync) => {
                let session = resync.state.session.as_ref();
                if let Some(session) = session {
                    self.0.insert(session.session_key.clone(), resync.cursor());
                }
            }
            Update::Cut(_) => {}
        }
    }

    /// After what was handled of a session; `None` before its first event.
    pub fn of(&self, session_key: &str) -> Option<&Cursor> {
        self.0.get(session_key)
    }

    /// All of them, by session key.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Cursor)> {
        self.0.iter().map(|(key, cursor)| (key.as_str(), cursor))
    }
}
