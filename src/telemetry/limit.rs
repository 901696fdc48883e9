//! One line a second of each cause of warnings: a child that writes garbage, a disk that fails at every commit, must not
//! fill a disk with logs.
//!
//! A cause is the place in the program that warns, and the session that it is about. What is left out is counted, and
//! the next line of the cause (or the next line at all, a second later) says how many there were.

use super::record::Record;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tracing::callsite::Identifier;

/// Time for which a cause is silent after a line.
const SILENCE: Duration = Duration::from_secs(1);
/// Causes that are remembered; beyond that the oldest is forgotten, and may say one line more.
const CAUSES_MAX: usize = 512;

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cause {
    /// The place in the program.
    pub(super) place: Identifier,
    /// Tenant and key of the session, where there is one.
    pub(super) session: Option<(String, String)>,
}

/// What was said lately.
#[derive(Debug, Default)]
pub(super) struct Limit(HashMap<Cause, Said>);

#[derive(Debug)]
struct Said {
    /// When its last line was.
    at: Instant,
    /// Lines that were left out since.
    left_out: u64,
    /// The line.
    record: Option<Record>,
}

// === impl Limit ===

impl Limit {
    /// Whether a line of this cause is said now: `None`, or how many were left out before it.
    pub(super) fn ask(&mut self, cause: &Cause, now: Instant) -> Option<u64> {
        if let Some(said) = self.0.get_mut(cause) {
            if now < said.at + SILENCE {
                said.left_out += 1;
                return None;
            }
            said.at = now;
            return Some(std::mem::take(&mut said.left_out));
        }
        if self.0.len() >= CAUSES_MAX {
            let oldest = self.0.iter().min_by_key(|(_, said)| said.at);
            if let Some(oldest) = oldest.map(|(cause, _)| cause.clone()) {
                self.0.remove(&oldest);
            }
        }
        let said = Said {
            at: now,
            left_out: 0,
            record: None,
        };
        self.0.insert(cause.clone(), said);
        Some(0)
    }

    /// Keeps the line that was said, for [`Self::overdue`].
    pub(super) fn said(&mut self, cause: &Cause, record: Record) {
        if let Some(said) = self.0.get_mut(cause) {
            said.record = Some(record);
        }
    }

    /// Whether a line was left out that was not told yet.
    pub(super) fn holds_back(&self) -> bool {
        self.0.values().any(|said| said.left_out > 0)
    }

    /// Causes that are silent by now with lines that were left out: their last line, and how many there were.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(Record, u64)> {
        let mut overdue = Vec::new();
        self.0.retain(|_, said| {
            if now < said.at + SILENCE {
                return true;
            }
            if said.left_out > 0
                && let Some(record) = said.record.take()
            {
                overdue.push((record, said.left_out));
            }
            false
        });
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Time;
    use tracing::{Level, callsite::Callsite as _};

    fn cause(session: &str) -> Cause {
        static PLACE: tracing::callsite::DefaultCallsite =
            tracing::callsite::DefaultCallsite::new({
                static META: tracing::Metadata<'static> = tracing::metadata! {
                    name: "x",
                    target: "x",
                    level: Level::WARN,
                    fields: &[],
                    callsite: &PLACE,
                    kind: tracing::metadata::Kind::EVENT
                };
                &META
            });
        Cause {
            place: PLACE.metadata().callsite(),
            session: Some(("t".into(), session.into())),
        }
    }

    fn record(message: &str) -> Record {
        Record {
            time: Time(0),
            level: Level::WARN,
            target: "x".into(),
            message: message.into(),
            fields: Vec::new(),
        }
    }

    #[test]
    fn a_cause_says_one_line_a_second_and_how_many_it_left_out() {
        let mut limit = Limit::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(limit.ask(&cause("a"), at(0)), Some(0));
        limit.said(&cause("a"), record("garbage"));
        for millis in 1..1000 {
            assert_eq!(limit.ask(&cause("a"), at(millis)), None);
        }
        assert_eq!(limit.ask(&cause("b"), at(500)), Some(0), "another session");
        assert!(limit.overdue(at(999)).is_empty());
        assert_eq!(limit.ask(&cause("a"), at(1000)), Some(999));
        assert_eq!(limit.ask(&cause("a"), at(1500)), None);
        limit.said(&cause("a"), record("garbage"));
        let overdue = limit.overdue(at(2000));
        assert_eq!(overdue.len(), 1);
        assert_eq!(
            (overdue[0].0.message.as_str(), overdue[0].1),
            ("garbage", 1)
        );
        assert!(limit.overdue(at(9000)).is_empty(), "told once");
    }

    #[test]
    fn no_more_causes_are_remembered_than_a_bound() {
        let mut limit = Limit::default();
        let now = Instant::now();
        for number in 0..2 * CAUSES_MAX {
            limit.ask(&cause(&number.to_string()), now);
        }
        assert_eq!(limit.0.len(), CAUSES_MAX);
    }
}
