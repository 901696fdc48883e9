//! Bounds and rules that decisions use.

use crate::domain::{ids::SessionKey, quotas::LiveQuotas, turn::OnInterrupt};
use std::{collections::BTreeMap, time::Duration};

/// What the store must know of an agent to decide.
#[derive(Clone, Debug)]
pub struct AgentRule {
    /// Takes steers.
    pub steer: bool,
    /// Can be forked.
    pub fork: bool,
    /// What a crash does to a turn that does not say.
    pub on_interrupt: OnInterrupt,
    /// Starts at most of a RETRY turn.
    pub max_attempts: i32,
    /// Serves the operator's tenant alone.
    pub operator_only: bool,
}

/// Bounds and rules that decisions use. Constant for a store's life, but for the quotas.
#[derive(Clone, Debug)]
pub struct StoreRules {
    /// Every configured agent by name.
    pub agents: BTreeMap<String, AgentRule>,
    /// Agent of a session whose creator names none.
    pub default_agent: String,
    /// Key of each tenant's primary session.
    pub primary_session: SessionKey,
    /// How much may be used.
    pub quotas: LiveQuotas,
    /// Durable events kept per session.
    pub retention_events: i64,
    /// Age of the durable events kept.
    pub retention_age: Duration,
    /// Age of finished turns and messages kept; `None` keeps them all.
    pub history_retention: Option<Duration>,
    /// Free bytes of the disk below which new turns are refused.
    pub disk_reserve: u64,
}
