//! What this process is making in several commits. Whatever else is noted as unfinished was cut, and is taken back.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

/// Rows that are being made.
#[derive(Debug, Default)]
pub(super) struct Makings(Mutex<HashSet<i64>>);

/// One of them; not any more when it is dropped.
#[derive(Debug)]
pub(super) struct Making {
    makings: Arc<Makings>,
    /// The row.
    pub(super) row: i64,
}

// === impl Makings ===

impl Makings {
    /// Notes that a row is being made.
    pub(super) fn begin(self: &Arc<Self>, row: i64) -> Making {
        self.0.lock().expect("no holder panics").insert(row);
        Making {
            makings: Arc::clone(self),
            row,
        }
    }

    /// Whether a row is being made.
    pub(super) fn holds(&self, row: i64) -> bool {
        self.0.lock().expect("no holder panics").contains(&row)
    }
}

// === impl Making ===

impl Drop for Making {
    fn drop(&mut self) {
        let mut rows = self.makings.0.lock().expect("no holder panics");
        rows.remove(&self.row);
    }
}
