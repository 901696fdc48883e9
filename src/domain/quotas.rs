//! How much may be used: by a session, a principal, a tenant, and by all together. An operator may change all of it
//! while the server runs; whoever decides looks at the present value each time.

use arc_swap::ArcSwap;
use std::sync::Arc;

/// All of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Waiting turns of a session.
    pub queue_limit_turns: i64,
    /// Bytes of text and attachments of a session's waiting turns.
    pub queue_limit_bytes: i64,
    /// Sessions of the store.
    pub max_sessions: i64,
    /// Turns that run at a time.
    pub max_running_turns: usize,
    /// Of these, places for tenants of which nothing runs, one for each.
    pub reserved_running_turns: usize,
    /// Agents that are awake at a time.
    pub max_awake_agents: usize,
    /// Turns of one tenant that wait for an answer at a time, each with its agent.
    pub tenant_max_asking_turns: i64,
    /// What each principal may use.
    pub principal: Quota,
    /// What each tenant may use.
    pub tenant: Quota,
}

/// What one principal or tenant may use. Counted by the owners of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Sessions that exist.
    pub max_sessions: i64,
    /// Bytes of text and attachments that wait.
    pub max_queue_bytes: i64,
    /// Turns that run at a time.
    pub max_running_turns: usize,
    /// Agents that are awake at a time.
    pub max_awake_agents: usize,
    /// Bytes of events, history and attachments.
    pub max_stored_bytes: i64,
}

/// The quotas of a running server, shared by all who decide by them.
#[derive(Clone, Debug)]
pub struct LiveQuotas(Arc<ArcSwap<Quotas>>);

/// Places that are kept for tenants of which nothing runs: as many as wanted, but never more than a quarter of all, so
/// that a server for one tenant can use most of its places.
pub fn reserved(wanted: usize, all: usize) -> usize {
    wanted.min(all / 4)
}

/// What one tenant may have of so many places, where nothing else is said: three quarters.
pub fn share(all: usize) -> usize {
    all - all / 4
}

// === impl Quota ===

impl Quota {
    /// No bound at all.
    pub const NONE: Self = Self {
        max_sessions: i64::MAX,
        max_queue_bytes: i64::MAX,
        max_running_turns: usize::MAX,
        max_awake_agents: usize::MAX,
        max_stored_bytes: i64::MAX,
    };
}

// === impl LiveQuotas ===

impl LiveQuotas {
    /// Begins with these.
    pub fn new(quotas: Quotas) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(quotas)))
    }

    /// The present ones.
    pub fn get(&self) -> Quotas {
        **self.0.load()
    }

    /// Puts others in their place, for all decisions from now on.
    pub fn set(&self, quotas: Quotas) {
        self.0.store(Arc::new(quotas));
    }

    /// Changes them for all decisions from now on.
    pub fn change(&self, change: impl Fn(&mut Quotas)) {
        self.0.rcu(|now| {
            let mut quotas = **now;
            change(&mut quotas);
            quotas
        });
    }
}
