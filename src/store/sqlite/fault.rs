//! Why a piece of work in the engine did not succeed. What its caller is told, `condition.rs` says.

use crate::{domain::Refusal, store::core::facts::Stop};
use uuid::Uuid;

/// Result of work inside the engine.
pub(crate) type Answer<T> = Result<T, Fault>;

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The domain says no; nothing is wrong.
    Refused(Refusal),
    /// The engine failed.
    Sqlite(rusqlite::Error),
    /// An invariant does not hold; the text says which.
    Broken(String),
}

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer binary wrote it.
    #[error(
        "the database has schema {found}, this binary knows {supported}: it was written by a newer version; \
         run that version, or restore a backup made before the upgrade"
    )]
    Newer {
        /// Schema of the file.
        found: i64,
        /// Newest schema that this binary knows.
        supported: i64,
    },
    /// The file is no store of ours.
    #[error("the database is not usable: {0}")]
    Unusable(String),
    /// There was one, and it is gone.
    #[error(
        "the store is gone: other files of the data directory say that there was one, and quarterdeck.db is missing or \
         empty. Put it back, or restore a backup into another directory (quarterdeck restore), or begin with an empty \
         store (quarterdeck serve --new-store)"
    )]
    Gone,
    /// Another one stands in its place.
    #[error(
        "quarterdeck.db is another store than the one that was here (store.mark names it). Put the right one back, or \
         remove store.mark to go on with this one"
    )]
    Exchanged,
    /// Acknowledged work is missing: its log is gone.
    #[error(
        "the store has lost its newest work: quarterdeck.db-wal is missing, or quarterdeck.db is older than store.mark \
         says. Put the files back, or restore a backup into another directory (quarterdeck restore; it also takes this \
         directory, and then goes on with what is left), or begin with an empty store (quarterdeck serve --new-store)"
    )]
    LogLost,
    /// The engine failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The directory or a thread failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

// === impl Fault ===

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Stop> for Fault {
    /// Of a decision for which nothing more can be looked up.
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal) => Self::Refused(refusal),
            Stop::Broken(what) => Self::Broken(what),
            Stop::Wants(want) => Self::Broken(format!("{want:?} is wanted in vain")),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Logs a bug under a new id.
pub(crate) fn internal(what: &str) -> Refusal {
    let id = Uuid::new_v4().simple().to_string();
    tracing::error!(id, what, "internal error {id} in the store");
    Refusal::Internal { id }
}
