//! The newest log records, kept in memory for those who follow them.
//!
//! Audit records stand in rings of their own, one for each tenant: neither chatter nor another tenant can push them out.
//! What is told of strangers has a ring too. Records are numbered 1, 2, 3 … over all rings, per start of the server.
//! Writing never waits for a reader: one that is too slow is told how many records went by. Nothing here is durable: what
//! must outlive the process is in `audit_file`, or collected from standard error.

use super::{
    audit,
    record::{Record, Sink},
};
use crate::domain::ids::OPERATOR_TENANT;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use uuid::Uuid;

/// Records kept in each ring.
pub const RING_MAX_RECORDS: usize = 10_000;
/// Bytes of the records of each ring.
pub const RING_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of all audit records of all tenants. Beyond, the ring with the most bytes gives up its oldest record, so that a
/// tenant loses none as long as it has less than any other.
pub const AUDIT_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Tenants with a ring of their own; all that come later share one.
pub const AUDIT_TENANTS_MAX: usize = 1024;
/// Records that a reader takes at a time.
const BATCH_MAX_RECORDS: usize = 256;

/// All rings.
pub struct Logs {
    boot_id: Uuid,
    /// A lock and not a channel: it is held for a push, or for a batch of reference counts.
    state: Mutex<State>,
    /// Number of the newest record; wakes readers.
    newest: watch::Sender<i64>,
}

struct State {
    newest: i64,
    /// [`GENERAL`], [`STRANGERS`], [`LATECOMERS`], then one for each tenant.
    rings: Vec<Ring>,
    /// Places of the tenants' rings.
    tenants: HashMap<String, usize>,
    /// Bytes of all audit rings together.
    audit_bytes: usize,
}

/// Place of the ring of everything that is no audit record.
const GENERAL: usize = 0;
/// Place of the ring of audit records that name no tenant.
const STRANGERS: usize = 1;
/// Place of the ring of tenants that came after the others.
const LATECOMERS: usize = 2;

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
    /// All that are for its tenant.
    All,
    /// Of those, audit records alone.
    Audit,
}

/// What a reader may see at all. It has to look at each record besides: a ring may hold what is for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Which rings.
    pub kind: Kind,
    /// Whose.
    pub tenant: String,
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
    view: View,
    /// Records of each ring that it has left behind, those that were pushed out included; none of a ring that is not here.
    places: HashMap<usize, u64>,
    newest: watch::Receiver<i64>,
}

// === impl Logs ===

impl Default for Logs {
    fn default() -> Self {
        Self {
            boot_id: Uuid::new_v4(),
            state: Mutex::new(State {
                newest: 0,
                rings: vec![Ring::default(), Ring::default(), Ring::default()],
                tenants: HashMap::new(),
                audit_bytes: 0,
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
        view: &View,
        last: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> (Vec<Numbered>, Reader) {
        let (all, reader) = {
            let state = self.state();
            let mut reader = self.reader(view);
            for place in state.places(view) {
                reader.places.insert(place, state.rings[place].gone);
            }
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
    pub fn after(self: &Arc<Self>, view: &View, number: i64) -> Result<Reader, CursorError> {
        let state = self.state();
        let (first, newest) = state.range(view);
        if number > newest {
            return Err(CursorError::Ahead { first, newest });
        }
        if number + 1 < first {
            return Err(CursorError::Expired { first, newest });
        }
        let mut reader = self.reader(view);
        for place in state.places(view) {
            let through = state.rings[place].through(number);
            reader.places.insert(place, through);
        }
        Ok(reader)
    }

    /// Oldest number from which on all records are kept, and the newest number.
    pub fn range(&self, view: &View) -> (i64, i64) {
        self.state().range(view)
    }

    fn reader(self: &Arc<Self>, view: &View) -> Reader {
        Reader {
            logs: self.clone(),
            view: view.clone(),
            places: HashMap::new(),
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
        let one = Numbered {
            number,
            record: Arc::new(record),
        };
        state.push(one);
        // Under the lock, so that it never falls.
        self.newest.send_replace(number);
    }
}

// === impl State ===

impl State {
    fn push(&mut self, one: Numbered) {
        if one.record.target != audit::TARGET {
            self.rings[GENERAL].push(one);
            return;
        }
        let place = match tenant_of(&one.record) {
            None => STRANGERS,
            Some(tenant) => match self.tenants.get(tenant) {
                Some(place) => *place,
                None if self.tenants.len() < AUDIT_TENANTS_MAX => {
                    let place = self.rings.len();
                    self.tenants.insert(tenant.to_owned(), place);
                    self.rings.push(Ring::default());
                    place
                }
                None => LATECOMERS,
            },
        };
        let ring = &mut self.rings[place];
        self.audit_bytes -= ring.bytes;
        ring.push(one);
        self.audit_bytes += ring.bytes;
        while self.audit_bytes > AUDIT_MAX_BYTES {
            let largest = self.rings[STRANGERS..]
                .iter_mut()
                .max_by_key(|ring| ring.bytes);
            let Some(largest) = largest else { return };
            self.audit_bytes -= largest.bytes;
            largest.drop_oldest();
            self.audit_bytes += largest.bytes;
        }
    }

    /// Places of the rings that may hold something for a view.
    fn places(&self, view: &View) -> Vec<usize> {
        let mut places = Vec::with_capacity(4);
        if view.kind == Kind::All {
            places.push(GENERAL);
        }
        if view.tenant == OPERATOR_TENANT {
            places.push(STRANGERS);
        }
        places.push(LATECOMERS);
        places.extend(self.tenants.get(&view.tenant));
        places
    }

    fn range(&self, view: &View) -> (i64, i64) {
        let gone = self.places(view).into_iter();
        let gone = gone.map(|place| self.rings[place].gone_through).max();
        (gone.unwrap_or(0) + 1, self.newest)
    }

    /// Moves a reader over the next records, in order of their numbers.
    fn merged(&self, reader: &mut Reader, limit: usize) -> Vec<Numbered> {
        let mut records = Vec::new();
        let places = self.places(&reader.view);
        while records.len() < limit {
            let next = places
                .iter()
                .filter_map(|place| {
                    let left = reader.places.get(place).copied().unwrap_or(0);
                    Some((*place, self.rings[*place].at(left)?))
                })
                .min_by_key(|(_, one)| one.number);
            let Some((place, next)) = next else { break };
            *reader.places.entry(place).or_default() += 1;
            records.push(next.clone());
        }
        records
    }
}

/// Whose a record is; `None` where it names nobody.
fn tenant_of(record: &Record) -> Option<&str> {
    let principal = record.field("principal")?;
    Some(
        principal
            .split_once('/')
            .map_or(principal, |(tenant, _)| tenant),
    )
}

// === impl Ring ===

impl Ring {
    fn push(&mut self, one: Numbered) {
        self.bytes += one.record.bytes();
        self.records.push_back(one);
        while self.records.len() > RING_MAX_RECORDS || self.bytes > RING_MAX_BYTES {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.records.pop_front() {
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
        let mut dropped = 0;
        for place in state.places(&self.view) {
            let left = self.places.entry(place).or_default();
            let gone = state.rings[place].gone.saturating_sub(*left);
            *left += gone;
            dropped += gone;
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

    fn of(kind: Kind) -> View {
        View {
            kind,
            tenant: OPERATOR_TENANT.into(),
        }
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
        let (before, mut reader) = logs.newest(&of(Kind::All), 1, |_| true);
        assert_eq!(said(&before), [(2, "two")]);
        write(&logs, "a", "three");
        write(&logs, audit::TARGET, "four");
        write(&logs, "a", "five");
        let wanted = [(3, "three"), (4, "four"), (5, "five")];
        assert_eq!(said(&reader.ready().records), wanted);
        assert!(reader.ready().records.is_empty());
        let after = logs
            .after(&of(Kind::All), 2)
            .map(|mut reader| reader.ready());
        assert_eq!(said(&after.ok().unwrap().records), wanted);
        let after = logs
            .after(&of(Kind::Audit), 2)
            .map(|mut reader| reader.ready());
        assert_eq!(said(&after.ok().unwrap().records), [(4, "four")]);
    }

    #[test]
    fn chatter_pushes_out_no_audit_record() {
        let logs = Arc::new(Logs::default());
        write(&logs, audit::TARGET, "kept");
        let (_, mut slow) = logs.newest(&of(Kind::All), 0, |_| true);
        for _ in 0..RING_MAX_RECORDS + 5 {
            write(&logs, "chatter", "");
        }
        let (audit, _) = logs.newest(&of(Kind::Audit), 10, |_| true);
        assert_eq!(said(&audit), [(1, "kept")]);
        assert_eq!(slow.ready().dropped, 5);
        assert_eq!(slow.ready().dropped, 0);
        assert!(logs.after(&of(Kind::Audit), 0).is_ok());
        let expired = CursorError::Expired {
            first: 7,
            newest: RING_MAX_RECORDS as i64 + 6,
        };
        assert_eq!(logs.after(&of(Kind::All), 1).err(), Some(expired));
        assert!(logs.after(&of(Kind::All), 6).is_ok());
    }

    /// One tenant's noise pushes out nothing of another's, nor what is told of strangers, nor the other way round.
    #[test]
    fn tenants_push_out_nothing_of_each_other() {
        let logs = Arc::new(Logs::default());
        let by = |principal: Option<&str>, message: &str| {
            let named = principal.map(|it| ("principal".into(), it.to_owned()));
            logs.take(Record {
                time: Time(0),
                level: Level::INFO,
                target: audit::TARGET.into(),
                message: message.into(),
                fields: named.into_iter().collect(),
            });
        };
        by(Some("quiet/a"), "kept");
        by(None, "a stranger");
        by(Some("default/local"), "the operator");
        let large = "x".repeat(1000);
        for _ in 0..RING_MAX_RECORDS + 5 {
            by(Some("noisy/b"), &large);
        }
        for _ in 0..RING_MAX_RECORDS + 5 {
            by(None, &large);
        }
        let audit = |tenant: &str| {
            let view = View {
                kind: Kind::Audit,
                tenant: tenant.into(),
            };
            let (records, _) = logs.newest(&view, usize::MAX, |_| true);
            records
        };
        assert_eq!(said(&audit("quiet")), [(1, "kept")]);
        let operators = audit(OPERATOR_TENANT);
        let own = |one: &&Numbered| one.record.message == "the operator";
        assert_eq!(operators.iter().filter(own).count(), 1);
        assert!(audit("noisy").len() <= RING_MAX_RECORDS);
        assert!(audit("unknown").is_empty());
    }

    /// The bound of all rings together is paid by the largest.
    #[test]
    fn the_bytes_of_all_tenants_are_bounded_and_small_ones_lose_nothing() {
        let logs = Arc::new(Logs::default());
        let large = "x".repeat(1024 * 1024);
        let by = |tenant: &str, message: &str| {
            logs.take(Record {
                time: Time(0),
                level: Level::INFO,
                target: audit::TARGET.into(),
                message: message.into(),
                fields: vec![("principal".into(), format!("{tenant}/a"))],
            });
        };
        by("small", "kept");
        for tenant in 0..16 {
            for _ in 0..7 {
                by(&format!("t{tenant}"), &large);
            }
        }
        let state = logs.state();
        assert!(state.audit_bytes <= AUDIT_MAX_BYTES);
        let counted: usize = state.rings[STRANGERS..].iter().map(|it| it.bytes).sum();
        assert_eq!(state.audit_bytes, counted);
        drop(state);
        let view = View {
            kind: Kind::Audit,
            tenant: "small".into(),
        };
        assert_eq!(said(&logs.newest(&view, 10, |_| true).0), [(1, "kept")]);
    }

    /// Tenants beyond the bound still have their records, in a ring that they share.
    #[test]
    fn the_number_of_rings_is_bounded() {
        let logs = Arc::new(Logs::default());
        for tenant in 0..AUDIT_TENANTS_MAX + 5 {
            logs.take(Record {
                time: Time(0),
                level: Level::INFO,
                target: audit::TARGET.into(),
                message: String::new(),
                fields: vec![("principal".into(), format!("t{tenant}/a"))],
            });
        }
        assert_eq!(logs.state().rings.len(), AUDIT_TENANTS_MAX + 3);
        let view = View {
            kind: Kind::Audit,
            tenant: format!("t{}", AUDIT_TENANTS_MAX + 2),
        };
        let whose =
            |record: &Record| record.field("principal") == Some(&format!("{}/a", view.tenant));
        assert_eq!(logs.newest(&view, 10, whose).0.len(), 1);
    }

    #[test]
    fn a_ring_is_bounded_by_bytes_too() {
        let logs = Arc::new(Logs::default());
        let large = "x".repeat(RING_MAX_BYTES / 4);
        for _ in 0..5 {
            write(&logs, "a", &large);
        }
        assert_eq!(logs.newest(&of(Kind::All), 10, |_| true).0.len(), 3);
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let logs = Arc::new(Logs::default());
        let (_, mut reader) = logs.newest(&of(Kind::All), 0, |_| true);
        let waiting = tokio::spawn(async move { reader.next().await.records.len() });
        write(&logs, "a", "one");
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
