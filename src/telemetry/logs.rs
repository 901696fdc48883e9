//! The newest log records, kept in memory for those who follow them.
//!
//! Audit records stand in a ring of their own, so that chatter can't push them out. Records are numbered 1, 2, 3 … over
//! both rings, per start of the server. Writing never waits for a reader: one that is too slow is told how many records
//! went by. Nothing is durable: what must outlive the process is collected from standard error.

use super::{
    audit,
    record::{Record, Sink},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use uuid::Uuid;

/// Records kept in each ring.
pub const RING_MAX_RECORDS: usize = 10_000;
/// Bytes of the records of each ring.
pub const RING_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Records that a reader takes at a time.
const BATCH_MAX_RECORDS: usize = 256;

/// Both rings.
pub struct Logs {
    boot_id: Uuid,
    /// A lock and not a channel: it is held for a push, or for a batch of reference counts.
    state: Mutex<State>,
    /// Number of the newest record; wakes readers.
    newest: watch::Sender<i64>,
}

struct State {
    newest: i64,
    general: Ring,
    audit: Ring,
}

#[derive(Default)]
struct Ring {
    records: VecDeque<Numbered>,
    bytes: usize,
    /// Records that were pushed out so far.
    gone: u64,
    /// Number of the newest of them.
    gone_through: i64,
}

/// A record and its number.
#[derive(Clone)]
pub struct Numbered {
    /// Its place: 1, 2, 3 … over both rings.
    pub number: i64,
    /// The record.
    pub record: Arc<Record>,
}

/// Which rings a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Both.
    All,
    /// Audit records alone.
    Audit,
}

/// Why a reader can't begin where it wants to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorError {
    /// Records after the position are no longer kept.
    Expired {
        /// Oldest number from which on all records are kept.
        first: i64,
        /// Newest number.
        newest: i64,
    },
    /// The position is beyond the newest record.
    Ahead {
        /// As above.
        first: i64,
        /// As above.
        newest: i64,
    },
}

/// What a reader gets at a time.
pub struct Batch {
    /// Records that it was too slow for, directly before these.
    pub dropped: u64,
    /// The records in order.
    pub records: Vec<Numbered>,
}

/// Follows the records from a position on.
pub struct Reader {
    logs: Arc<Logs>,
    kind: Kind,
    /// Records of the general ring that it has left behind, those that were pushed out included.
    general: u64,
    /// The same of the audit ring.
    audit: u64,
    newest: watch::Receiver<i64>,
}

// === impl Logs ===

impl Default for Logs {
    fn default() -> Self {
        Self {
            boot_id: Uuid::new_v4(),
            state: Mutex::new(State {
                newest: 0,
                general: Ring::default(),
                audit: Ring::default(),
            }),
            newest: watch::Sender::new(0),
        }
    }
}

impl Logs {
    /// Names this start of the server.
    pub fn boot_id(&self) -> Uuid {
        self.boot_id
    }

    /// A reader of what comes from now on, and the newest `last` records of before that are wanted.
    pub fn newest(
        self: &Arc<Self>,
        kind: Kind,
        last: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> (Vec<Numbered>, Reader) {
        let (all, reader) = {
            let state = self.state();
            let mut reader = self.reader(kind);
            reader.general = state.general.gone;
            reader.audit = state.audit.gone;
            let all = state.merged(&mut reader, usize::MAX);
            (all, reader)
        };
        let mut before: Vec<Numbered> = all
            .into_iter()
            .rev()
            .filter(|one| wanted(&one.record))
            .take(last)
            .collect();
        before.reverse();
        (before, reader)
    }

    /// A reader of what comes after a number.
    ///
    /// # Errors
    /// Where that can't be told without a gap.
    pub fn after(self: &Arc<Self>, kind: Kind, number: i64) -> Result<Reader, CursorError> {
        let state = self.state();
        let (first, newest) = state.range(kind);
        if number > newest {
            return Err(CursorError::Ahead { first, newest });
        }
        if number + 1 < first {
            return Err(CursorError::Expired { first, newest });
        }
        let mut reader = self.reader(kind);
        reader.general = state.general.through(number);
        reader.audit = state.audit.through(number);
        Ok(reader)
    }

    /// Oldest number from which on all records are kept, and the newest number.
    pub fn range(&self, kind: Kind) -> (i64, i64) {
        self.state().range(kind)
    }

    fn reader(self: &Arc<Self>, kind: Kind) -> Reader {
        Reader {
            logs: self.clone(),
            kind,
            general: 0,
            audit: 0,
            newest: self.newest.subscribe(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Arc<Logs> {
    fn take(&self, record: Record) {
        let mut state = self.state();
        state.newest += 1;
        let number = state.newest;
        let ring = if record.target == audit::TARGET {
            &mut state.audit
        } else {
            &mut state.general
        };
        ring.push(Numbered {
            number,
            record: Arc::new(record),
        });
        // Under the lock, so that it never falls.
        self.newest.send_replace(number);
    }
}

// === impl State ===

impl State {
    fn range(&self, kind: Kind) -> (i64, i64) {
        let audit = self.audit.gone_through;
        let gone_through = match kind {
            Kind::All => audit.max(self.general.gone_through),
            Kind::Audit => audit,
        };
        (gone_through + 1, self.newest)
    }

    /// Moves a reader over the next records, in order of their numbers.
    fn merged(&self, reader: &mut Reader, limit: usize) -> Vec<Numbered> {
        let mut records = Vec::new();
        while records.len() < limit {
            let general = match reader.kind {
                Kind::All => self.general.at(reader.general),
                Kind::Audit => None,
            };
            let next = match (general, self.audit.at(reader.audit)) {
                (Some(general), Some(audit)) if general.number < audit.number => {
                    reader.general += 1;
                    general
                }
                (_, Some(audit)) => {
                    reader.audit += 1;
                    audit
                }
                (Some(general), None) => {
                    reader.general += 1;
                    general
                }
                (None, None) => break,
            };
            records.push(next.clone());
        }
        records
    }
}

// === impl Ring ===

impl Ring {
    fn push(&mut self, one: Numbered) {
        self.bytes += one.record.bytes();
        self.records.push_back(one);
        while self.records.len() > RING_MAX_RECORDS || self.bytes > RING_MAX_BYTES {
            let Some(oldest) = self.records.pop_front() else {
                return;
            };
            self.bytes -= oldest.record.bytes();
            self.gone += 1;
            self.gone_through = oldest.number;
        }
    }

    fn at(&self, place: u64) -> Option<&Numbered> {
        let index = place.checked_sub(self.gone)?;
        self.records.get(usize::try_from(index).ok()?)
    }

    /// Records up to a number.
    fn through(&self, number: i64) -> u64 {
        let kept = self.records.partition_point(|one| one.number <= number);
        self.gone + kept as u64
    }
}

// === impl Reader ===

impl Reader {
    /// What is there already; empty where the reader has seen everything.
    pub fn ready(&mut self) -> Batch {
        self.newest.mark_unchanged();
        let logs = self.logs.clone();
        let state = logs.state();
        let mut dropped = state.audit.gone.saturating_sub(self.audit);
        self.audit += dropped;
        if self.kind == Kind::All {
            let general = state.general.gone.saturating_sub(self.general);
            self.general += general;
            dropped += general;
        }
        Batch {
            dropped,
            records: state.merged(self, BATCH_MAX_RECORDS),
        }
    }

    /// Waits until there is something; the batch is empty where another kind of record woke it.
    pub async fn next(&mut self) -> Batch {
        let batch = self.ready();
        if !batch.records.is_empty() {
            return batch;
        }
        // The sender lives as long as the reader, which holds the logs.
        let _ = self.newest.changed().await;
        self.ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Time;
    use tracing::Level;

    fn write(logs: &Arc<Logs>, target: &'static str, message: &str) {
        logs.take(Record {
            time: Time(0),
            level: Level::INFO,
            target: target.into(),
            message: message.into(),
            fields: Vec::new(),
        });
    }

    fn said(records: &[Numbered]) -> Vec<(i64, &str)> {
        records
            .iter()
            .map(|one| (one.number, one.record.message.as_str()))
            .collect()
    }

    #[test]
    fn both_rings_are_read_in_the_order_of_writing() {
        let logs = Arc::new(Logs::default());
        write(&logs, "a", "one");
        write(&logs, audit::TARGET, "two");
        let (before, mut reader) = logs.newest(Kind::All, 1, |_| true);
        assert_eq!(said(&before), [(2, "two")]);
        write(&logs, "a", "three");
        write(&logs, audit::TARGET, "four");
        write(&logs, "a", "five");
        let wanted = [(3, "three"), (4, "four"), (5, "five")];
        assert_eq!(said(&reader.ready().records), wanted);
        assert!(reader.ready().records.is_empty());
        let after = logs.after(Kind::All, 2).map(|mut reader| reader.ready());
        assert_eq!(said(&after.ok().unwrap().records), wanted);
        let after = logs.after(Kind::Audit, 2).map(|mut reader| reader.ready());
        assert_eq!(said(&after.ok().unwrap().records), [(4, "four")]);
    }

    #[test]
    fn chatter_pushes_out_no_audit_record() {
        let logs = Arc::new(Logs::default());
        write(&logs, audit::TARGET, "kept");
        let (_, mut slow) = logs.newest(Kind::All, 0, |_| true);
        for _ in 0..RING_MAX_RECORDS + 5 {
            write(&logs, "chatter", "");
        }
        let (audit, _) = logs.newest(Kind::Audit, 10, |_| true);
        assert_eq!(said(&audit), [(1, "kept")]);
        assert_eq!(slow.ready().dropped, 5);
        assert_eq!(slow.ready().dropped, 0);
        assert!(logs.after(Kind::Audit, 0).is_ok());
        let expired = CursorError::Expired {
            first: 7,
            newest: RING_MAX_RECORDS as i64 + 6,
        };
        assert_eq!(logs.after(Kind::All, 1).err(), Some(expired));
        assert!(logs.after(Kind::All, 6).is_ok());
    }

    #[test]
    fn a_ring_is_bounded_by_bytes_too() {
        let logs = Arc::new(Logs::default());
        let large = "x".repeat(RING_MAX_BYTES / 4);
        for _ in 0..5 {
            write(&logs, "a", &large);
        }
        assert_eq!(logs.newest(Kind::All, 10, |_| true).0.len(), 3);
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let logs = Arc::new(Logs::default());
        let (_, mut reader) = logs.newest(Kind::All, 0, |_| true);
        let waiting = tokio::spawn(async move { reader.next().await.records.len() });
        write(&logs, "a", "one");
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
