//! Bounds and rules that decisions use.

use crate::domain::{
    agent::KnownAgent, ids::SessionKey, prices::Prices, question::NoApprover, quotas::LiveQuotas,
    tool_policy::ToolRule, turn::OnInterrupt,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What the store must know of an agent to decide.
#[derive(Clone, Debug)]
pub struct AgentRule {
    /// What it can do, as far as is known; shared with who learns it.
    pub known: KnownAgent,
    /// Its own commands that whoever may use a session may run, also as a prompt; `*` is all.
    pub commands_allowed: Vec<String>,
    /// What a crash does to a turn that does not say.
    pub on_interrupt: OnInterrupt,
    /// Starts at most of a RETRY turn.
    pub max_attempts: i32,
    /// Serves the operator's tenant alone.
    pub operator_only: bool,
    /// What to do where it asks and nobody is there.
    pub no_approver: NoApprover,
    /// What it may run without asking, or not at all.
    pub tool_policy: Vec<ToolRule>,
    /// Options that can be chosen without the scope to approve.
    pub options_allowed: Vec<String>,
    /// How long a question of it waits.
    pub question_ttl: Duration,
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
    /// What models cost.
    pub prices: Arc<Prices>,
    /// Free bytes of the disk below which new turns are refused.
    pub disk_reserve: u64,
}
