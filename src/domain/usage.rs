//! What was used: as agents tell it, and summed up: which rows are asked for, and how they are put together. Pure.

use super::turn::{ContextUse, Granularity, Usage};
use std::collections::BTreeMap;

/// Groups that one answer may be made of; more are refused, not cut.
pub const GROUPS_MAX: usize = 100_000;
/// Ways to group at a time.
pub const GROUP_BY_MAX: usize = 8;

/// What an agent tells of what it used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageReport {
    /// What it used; its cost is 0 where the agent does not tell it.
    pub usage: Usage,
    /// The model, as the agent names it; becomes the turn's model unless empty.
    pub model: String,
    /// What it is about.
    pub granularity: Granularity,
    /// How full the context is; `None` where the agent does not tell.
    pub context: Option<ContextUse>,
}

/// What one row of sums is about. Never changes with the session: it outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageOf {
    /// The session's key.
    pub session_key: String,
    /// Who sent the turn: the subject.
    pub subject: String,
    /// The agent.
    pub agent: String,
    /// The model, as the agent names it.
    pub model: String,
    /// The session's labels when the turn was accepted.
    pub labels: BTreeMap<String, String>,
    /// The day, UTC, in days since 1970.
    pub day: i64,
}

/// What is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// By session.
    Session,
    /// By who sent the turn.
    Principal,
    /// By agent.
    Agent,
    /// By model.
    Model,
    /// By the value of this label; empty where there was none.
    Label(String),
    /// By day.
    Day,
}

/// Which rows are asked for; all that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// The tenant.
    pub tenant: String,
    /// Sessions of this subject alone; `None` is all of the tenant.
    pub owner: Option<String>,
    /// A session's key; empty means any.
    pub session_key: String,
    /// Who sent the turn; empty means anybody.
    pub subject: String,
    /// The agent; empty means any.
    pub agent: String,
    /// The model; empty means any.
    pub model: String,
    /// Labels that must have been there.
    pub labels: BTreeMap<String, String>,
    /// From this day on.
    pub first_day: Option<i64>,
    /// Up to this day, which is not among them.
    pub end_day: Option<i64>,
}

/// A part of a group's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A word.
    Word(String),
    /// A day.
    Day(i64),
}

/// What was used, by group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups(pub BTreeMap<Vec<Part>, Usage>);

// === impl UsageFilter ===

impl UsageFilter {
    /// Whether the labels of a row are as asked for.
    pub fn has_labels(&self, of: &UsageOf) -> bool {
        self.labels
            .iter()
            .all(|(label, value)| of.labels.get(label) == Some(value))
    }
}

// === impl GroupBy ===

impl GroupBy {
    fn part(&self, of: &UsageOf) -> Part {
        match self {
            Self::Session => Part::Word(of.session_key.clone()),
            Self::Principal => Part::Word(of.subject.clone()),
            Self::Agent => Part::Word(of.agent.clone()),
            Self::Model => Part::Word(of.model.clone()),
            Self::Label(label) => Part::Word(of.labels.get(label).cloned().unwrap_or_default()),
            Self::Day => Part::Day(of.day),
        }
    }
}

// === impl Groups ===

impl Groups {
    /// Adds a row; false where that makes more groups than may be.
    pub fn add(&mut self, by: &[GroupBy], of: &UsageOf, usage: Usage) -> bool {
        let name = by.iter().map(|one| one.part(of)).collect();
        *self.0.entry(name).or_default() += usage;
        self.0.len() <= GROUPS_MAX
    }
}
