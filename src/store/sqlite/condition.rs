//! How the store is: whether its files are those that were opened, whether pages of it are damaged, whether its log can
//! be moved into the database. Health and GetServerInfo tell it, and the log does when it changes.

use super::fault::{Fault, internal};
use crate::{
    domain::Refusal,
    store::{Trouble, TroubleKind},
    telemetry::metrics,
};
use rusqlite::ErrorCode;
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Troubles that the store is in now. Each thread of the store has a hand in it.
#[derive(Debug, Default)]
pub(super) struct Condition(Mutex<BTreeSet<TroubleKind>>);

// === impl Condition ===

impl Condition {
    /// What the troubles are now, the gravest first.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        self.all().iter().copied().map(Trouble::of).collect()
    }

    /// Notes that there is a trouble. True where it is new.
    pub(super) fn begins(&self, kind: TroubleKind) -> bool {
        let new = self.all().insert(kind);
        if new {
            let trouble = Trouble::of(kind);
            tracing::error!(trouble = trouble.name(), "{}", trouble.text);
            metrics::store_trouble(trouble.name(), true);
        }
        new
    }

    /// Notes that it is over.
    pub(super) fn ends(&self, kind: TroubleKind) {
        if self.all().remove(&kind) {
            let name = Trouble::of(kind).name();
            tracing::info!(trouble = name, "a trouble of the store is over");
            metrics::store_trouble(name, false);
        }
    }

    /// Whether there is this trouble.
    pub(super) fn has(&self, kind: TroubleKind) -> bool {
        self.all().contains(&kind)
    }

    /// What the caller of failed work is told. Failures are logged here, once.
    pub(super) fn refusal(&self, fault: Fault) -> Refusal {
        let error = match fault {
            Fault::Refused(refusal) => return refusal,
            Fault::Broken(what) => return internal(&what),
            Fault::Sqlite(error) => error,
        };
        if is_full(&error) {
            tracing::error!(%error, "the disk is full");
            return Refusal::StorageFull;
        }
        match error.sqlite_error_code() {
            // SQLite says so too where a read of the file failed.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                tracing::error!(%error, "a page of the store can't be read");
                self.begins(TroubleKind::Damaged);
                Refusal::StoreUnavailable
            }
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied,
            ) => {
                tracing::error!(%error, "the store failed");
                Refusal::StoreUnavailable
            }
            Some(_) | None => internal(&error.to_string()),
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeSet<TroubleKind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the engine failed for want of room.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    // The index of the log could not grow: its file is of the same disk.
    const INDEX_OF_LOG: i32 = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == INDEX_OF_LOG
    })
}
