//! Snapshots of sessions that were decided on lately, so that the next decision reads nothing.
//!
//! Who holds the cache is the only one who changes these sessions, so what is kept is true. Bounded in bytes: it has a
//! young and an old half; what is asked for becomes young, and the old half goes as a whole when the young one is full.
//! What a transaction changes stands before both until it is committed, and is taken back with it.

use super::snapshot::Snapshot;
use crate::domain::ids::{SessionKey, SessionRow};
use std::{collections::HashMap, sync::Arc};

/// Bytes of all snapshots that are kept.
const CACHE_MAX_BYTES: usize = 64 * 1024 * 1024;
/// A larger snapshot is not kept.
const SNAPSHOT_MAX_BYTES: usize = 1024 * 1024;

/// The snapshots that are kept.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    young: Half,
    old: Half,
    /// Of the transaction that is open; `None` for a session that it has changed in a way that only its rows know.
    pending: HashMap<SessionRow, Option<Arc<Snapshot>>>,
    /// Rows of the sessions that it has changed, by tenant and key.
    pending_rows: HashMap<(String, SessionKey), SessionRow>,
    /// What stood in its place before each change.
    journal: Vec<(SessionRow, Option<Option<Arc<Snapshot>>>)>,
}

#[derive(Debug, Default)]
struct Half {
    snapshots: HashMap<SessionRow, (Arc<Snapshot>, usize)>,
    rows: HashMap<String, HashMap<SessionKey, SessionRow>>,
    bytes: usize,
}

// === impl Cache ===

impl Cache {
    /// The session of a row.
    pub(crate) fn of_row(&mut self, row: SessionRow) -> Option<Arc<Snapshot>> {
        if let Some(pending) = self.pending.get(&row) {
            return pending.clone();
        }
        if let Some((snapshot, _)) = self.young.snapshots.get(&row) {
            return Some(Arc::clone(snapshot));
        }
        let snapshot = self.old.take(row)?;
        self.keep(Arc::clone(&snapshot));
        Some(snapshot)
    }

    /// The session of a key.
    pub(crate) fn of_key(&mut self, tenant: &str, key: &SessionKey) -> Option<Arc<Snapshot>> {
        let pending = if self.pending_rows.is_empty() {
            None
        } else {
            let name = (tenant.to_owned(), key.clone());
            self.pending_rows.get(&name).copied()
        };
        let row = pending
            .or_else(|| self.young.row(tenant, key))
            .or_else(|| self.old.row(tenant, key))?;
        self.of_row(row)
    }

    /// A session is this from now on, if the transaction is committed.
    pub(crate) fn put(&mut self, snapshot: Arc<Snapshot>) {
        let session = &snapshot.session;
        let name = (session.tenant.clone(), session.key.clone());
        self.pending_rows.insert(name, session.row);
        self.set(session.row, Some(snapshot));
    }

    /// A session is what its rows say from now on.
    pub(crate) fn forget(&mut self, row: SessionRow) {
        self.set(row, None);
    }

    fn set(&mut self, row: SessionRow, pending: Option<Arc<Snapshot>>) {
        let before = self.pending.insert(row, pending);
        self.journal.push((row, before));
    }

    /// Where the journal is now, for [`Self::undo_to`].
    pub(crate) fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Takes back what the transaction did since a mark.
    pub(crate) fn undo_to(&mut self, mark: usize) {
        for (row, before) in self.journal.split_off(mark).into_iter().rev() {
            match before {
                Some(before) => self.pending.insert(row, before),
                None => self.pending.remove(&row),
            };
        }
    }

    /// The transaction is committed.
    pub(crate) fn settle(&mut self) {
        self.journal.clear();
        self.pending_rows.clear();
        let mut kept = Vec::new();
        for (row, snapshot) in std::mem::take(&mut self.pending) {
            self.drop_row(row);
            kept.extend(snapshot);
        }
        for snapshot in kept {
            self.keep(snapshot);
        }
    }

    fn keep(&mut self, snapshot: Arc<Snapshot>) {
        let bytes = snapshot.bytes();
        if bytes > SNAPSHOT_MAX_BYTES {
            return;
        }
        if self.young.bytes + bytes > CACHE_MAX_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.put(snapshot, bytes);
    }

    fn drop_row(&mut self, row: SessionRow) {
        if self.young.take(row).is_none() {
            self.old.take(row);
        }
    }
}

// === impl Half ===

impl Half {
    fn row(&self, tenant: &str, key: &SessionKey) -> Option<SessionRow> {
        self.rows.get(tenant)?.get(key).copied()
    }

    fn put(&mut self, snapshot: Arc<Snapshot>, bytes: usize) {
        let session = &snapshot.session;
        if !self.rows.contains_key(&session.tenant) {
            self.rows.insert(session.tenant.clone(), HashMap::new());
        }
        if let Some(rows) = self.rows.get_mut(&session.tenant) {
            rows.insert(session.key.clone(), session.row);
        }
        self.bytes += bytes;
        self.snapshots.insert(session.row, (snapshot, bytes));
    }

    fn take(&mut self, row: SessionRow) -> Option<Arc<Snapshot>> {
        let (snapshot, bytes) = self.snapshots.remove(&row)?;
        self.bytes -= bytes;
        let session = &snapshot.session;
        if let Some(rows) = self.rows.get_mut(&session.tenant) {
            rows.remove(&session.key);
            if rows.is_empty() {
                self.rows.remove(&session.tenant);
            }
        }
        Some(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::snapshot::Hidden, *};

    fn snapshot(row: i64, bytes: usize) -> Arc<Snapshot> {
        let mut session = super::super::draft::tests::session(row);
        session.labels.insert("l".to_owned(), "x".repeat(bytes));
        Arc::new(Snapshot::idle(Arc::new(session), Hidden::default()))
    }

    #[test]
    fn what_was_not_asked_for_goes_first_and_the_bound_holds() {
        let mut cache = Cache::default();
        let each = SNAPSHOT_MAX_BYTES / 2;
        let fit = i64::try_from(CACHE_MAX_BYTES / each).expect("few");
        for row in 1..=2 * fit {
            cache.put(snapshot(row, each));
            cache.settle();
            assert!(cache.of_row(SessionRow(1)).is_some(), "it is asked for");
            assert!(cache.young.bytes + cache.old.bytes <= CACHE_MAX_BYTES);
        }
        assert!(cache.of_row(SessionRow(2)).is_none());
        let last = cache.of_row(SessionRow(2 * fit)).expect("it is new");
        let found = cache.of_key(&last.session.tenant, &last.session.key);
        assert_eq!(found.map(|found| found.session.row), Some(last.session.row));
        cache.forget(last.session.row);
        cache.settle();
        let found = cache.of_key(&last.session.tenant, &last.session.key);
        assert!(found.is_none());
        cache.put(snapshot(7, SNAPSHOT_MAX_BYTES));
        cache.settle();
        assert!(cache.of_row(SessionRow(7)).is_none(), "it is too large");
    }

    #[test]
    fn what_is_taken_back_never_was() {
        let mut cache = Cache::default();
        cache.put(snapshot(1, 1));
        cache.settle();
        let before = cache.of_row(SessionRow(1));
        let mark = cache.mark();
        cache.put(snapshot(1, 2));
        cache.put(snapshot(2, 1));
        assert_ne!(cache.of_row(SessionRow(1)), before);
        let other = cache.of_row(SessionRow(2)).expect("it was put");
        cache.forget(SessionRow(1));
        assert!(cache.of_row(SessionRow(1)).is_none());
        cache.undo_to(mark);
        assert_eq!(cache.of_row(SessionRow(1)), before);
        let found = cache.of_key(&other.session.tenant, &other.session.key);
        assert!(found.is_none());
    }
}
