//! The newest events of a session as framed bytes, and which of them a reader wants.
//!
//! Holds entries only while a reader is attached that has not read them. Readers at the same place with the same filter
//! share the concatenated bytes.

use crate::domain::event::{EventKind, KINDS};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use uuid::Uuid;

/// Entries that a tail keeps for readers that are behind.
pub const RING_MAX_ENTRIES: usize = 4096;
/// Bytes that a tail keeps for readers that are behind, bookkeeping included.
pub const RING_MAX_BYTES: usize = 1024 * 1024;
/// Ranges whose concatenation is kept: one each for a few filters.
const CACHED_RANGES_MAX: usize = 4;

/// Which events a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// One bit per kind.
    kinds: u128,
    /// Events of this turn alone.
    turn: Option<Uuid>,
}

/// One event as every reader gets it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The whole frame.
    pub frame: Bytes,
    /// Its own `seq`; 0 for an ephemeral one.
    pub seq: i64,
    /// Its kind, for filters.
    pub kind: EventKind,
    /// Its turn, for filters.
    pub turn_id: Option<Uuid>,
}

/// The frames of a range that a filter lets through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passed {
    /// The frames, one after the other.
    pub frames: Bytes,
    /// `seq` of the last durable one.
    pub told: Option<i64>,
    /// Whether a `turn_ended` is among them.
    pub turn_ended: bool,
    /// Whether `session_deleted` is among them; it is the last then.
    pub deleted: bool,
}

/// The newest entries.
#[derive(Debug, Default)]
pub struct Ring {
    /// Place of the first entry, counted from the tail's opening.
    base: u64,
    /// The entries.
    entries: VecDeque<Entry>,
    /// What they weigh.
    bytes: usize,
    /// Every durable event after this one is among the entries.
    covered: i64,
    /// Newest concatenations.
    cache: VecDeque<CachedRange>,
}

#[derive(Debug)]
struct CachedRange {
    from: u64,
    to: u64,
    filter: Filter,
    passed: Passed,
}

// === impl Filter ===

impl Filter {
    /// Control events that come whatever `kinds` says.
    const ALWAYS: [EventKind; 7] = [
        EventKind::HELLO,
        EventKind::CAUGHT_UP,
        EventKind::PROGRESS,
        EventKind::LAGGING,
        EventKind::DRAINING,
        EventKind::RELOAD,
        EventKind::SESSION_DELETED,
    ];
    /// What `deltas = false` leaves out.
    const DELTAS: [EventKind; 6] = [
        EventKind::TOKEN,
        EventKind::THINKING,
        EventKind::TOOL_INPUT,
        EventKind::TOOL_UPDATE,
        EventKind::ITEM_SNAPSHOT,
        EventKind::LAGGING,
    ];

    /// The filter of a reader; empty `kinds` are all, but for what sub-agents say, which is asked for. A turn's reader
    /// always sees its end.
    pub fn new(kinds: &[EventKind], deltas: bool, subagents: bool, turn: Option<Uuid>) -> Self {
        let bits = |kinds: &[EventKind]| kinds.iter().fold(0u128, |bits, k| bits | bit(*k));
        let mut wanted = if kinds.is_empty() {
            !bit(EventKind::SUBAGENT_ITEM)
        } else {
            bits(kinds) | bits(&Self::ALWAYS)
        };
        if subagents {
            wanted |= bit(EventKind::SUBAGENT_ITEM);
        }
        if turn.is_some() {
            wanted |= bit(EventKind::TURN_ENDED);
        }
        if !deltas {
            wanted &= !bits(&Self::DELTAS);
        }
        Self {
            kinds: wanted,
            turn,
        }
    }

    /// Whether it wants events of a kind.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.kinds & bit(kind) != 0
    }

    /// Whether it lets an event through.
    pub fn passes(&self, kind: EventKind, turn_id: Option<Uuid>) -> bool {
        self.wants(kind) && (self.turn.is_none() || self.turn == turn_id)
    }

    /// The durable kinds that it wants, as the store takes them: empty means all.
    pub fn durable_kinds(&self) -> Vec<EventKind> {
        let durable = |k: &EventKind| *k < EventKind::HELLO;
        let kinds = KINDS.iter().map(|(k, _)| *k);
        let (wanted, rest): (Vec<_>, Vec<_>) = kinds.filter(durable).partition(|k| self.wants(*k));
        if rest.is_empty() { Vec::new() } else { wanted }
    }

    /// The turn whose events alone it wants.
    pub fn turn(&self) -> Option<Uuid> {
        self.turn
    }
}

fn bit(kind: EventKind) -> u128 {
    1u128.checked_shl(u32::from(kind.0)).unwrap_or(0)
}

/// A kind without a bit would never be delivered.
const _: () = {
    let mut place = 0;
    while place < KINDS.len() {
        assert!((KINDS[place].0.0 as u32) < u128::BITS);
        place += 1;
    }
};

// === impl Entry ===

impl Entry {
    fn weight(&self) -> usize {
        self.frame.len() + size_of::<Self>()
    }
}

// === impl Ring ===

impl Ring {
    /// An empty ring of a log with that head.
    pub fn new(head: i64) -> Self {
        Self {
            covered: head,
            ..Self::default()
        }
    }

    /// Place of the oldest entry; a reader before it has fallen behind.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Place after the newest entry.
    pub fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Every durable event after this one is here.
    pub fn covered(&self) -> i64 {
        self.covered
    }

    /// Takes the newest event; the oldest ones go where there is no room.
    pub fn push(&mut self, entry: Entry) {
        self.bytes += entry.weight();
        self.entries.push_back(entry);
        while self.entries.len() > RING_MAX_ENTRIES
            || (self.bytes > RING_MAX_BYTES && self.entries.len() > 1)
        {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.base += 1;
            self.bytes -= oldest.weight();
            self.covered = self.covered.max(oldest.seq);
        }
    }

    /// Forgets what all readers have; nobody falls behind by it.
    pub fn clear(&mut self, head: i64) {
        self.base = self.end();
        self.entries.clear();
        self.bytes = 0;
        self.covered = head;
        self.cache.clear();
        // An idle session keeps no large empty buffer.
        if self.entries.capacity() > 64 {
            self.entries.shrink_to(16);
        }
    }

    /// Forgets everything, and every reader falls behind: events up to `covered` went by unseen.
    pub fn break_off(&mut self, covered: i64) {
        self.clear(covered);
        self.base += 1;
    }

    /// What a filter lets through of the entries from a place on. The place must not lie before `base`.
    pub fn read(&mut self, from: u64, filter: Filter) -> Passed {
        let to = self.end();
        let first = usize::try_from(from - self.base).expect("a ring is small");
        if to - from == 1
            && let Some(entry) = self.entries.back()
        {
            return if filter.passes(entry.kind, entry.turn_id) {
                Passed {
                    frames: entry.frame.clone(),
                    told: (entry.seq > 0).then_some(entry.seq),
                    turn_ended: entry.kind == EventKind::TURN_ENDED,
                    deleted: entry.kind == EventKind::SESSION_DELETED,
                }
            } else {
                Passed::default()
            };
        }
        let cached = |c: &&CachedRange| c.from == from && c.to == to && c.filter == filter;
        if let Some(cached) = self.cache.iter().find(cached) {
            return cached.passed.clone();
        }
        let passed = concatenate(self.entries.range(first..), filter);
        if self.cache.len() == CACHED_RANGES_MAX {
            self.cache.pop_front();
        }
        self.cache.push_back(CachedRange {
            from,
            to,
            filter,
            passed: passed.clone(),
        });
        passed
    }

    /// The durable events after `seq` that a filter lets through. `seq` must not lie before `covered`.
    pub fn durable_after(&self, seq: i64, filter: Filter) -> Passed {
        concatenate(self.entries.iter().filter(|e| e.seq > seq), filter)
    }
}

fn concatenate<'a>(entries: impl Iterator<Item = &'a Entry> + Clone, filter: Filter) -> Passed {
    let wanted = entries.filter(|e| filter.passes(e.kind, e.turn_id));
    let mut frames = BytesMut::with_capacity(wanted.clone().map(|e| e.frame.len()).sum());
    let mut passed = Passed::default();
    for entry in wanted {
        frames.extend_from_slice(&entry.frame);
        if entry.seq > 0 {
            passed.told = Some(entry.seq);
        }
        passed.turn_ended |= entry.kind == EventKind::TURN_ENDED;
        passed.deleted |= entry.kind == EventKind::SESSION_DELETED;
    }
    passed.frames = frames.freeze();
    passed
}
