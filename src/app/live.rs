//! Brings what UpdateConfig changes to the rooms that go by it. Each room has its own small settings; none reads the
//! configuration.

use super::access;
use crate::{
    auth::limits::Limits,
    config::{Config, live::Current},
    domain::quotas::{LiveQuotas, Quota, Quotas},
    feed::Feed,
    grpc::{channels::Channels, gateway::GatewaySettings},
    telemetry::LogFilter,
};
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::watch;

/// The rooms.
pub(super) struct Rooms {
    /// Bound of streams.
    pub(super) feed: Arc<Feed>,
    /// Defaults of calls.
    pub(super) gateway: Arc<ArcSwap<GatewaySettings>>,
    /// Rates of calls.
    pub(super) limits: Arc<Limits>,
    /// Bounds of what principals and tenants have open.
    pub(super) channels: Arc<Channels>,
    /// What is logged.
    pub(super) log_filter: LogFilter,
    /// How much may be used.
    pub(super) quotas: LiveQuotas,
}

// === impl Rooms ===

impl Rooms {
    /// Brings every change, and first what is now; ends with the configuration's owner.
    pub(super) async fn follow(self, mut live: watch::Receiver<Current>) {
        loop {
            let config = live.borrow_and_update().config.clone();
            self.apply(&config);
            if live.changed().await.is_err() {
                return;
            }
        }
    }

    fn apply(&self, config: &Config) {
        let Self {
            feed,
            gateway,
            limits,
            channels,
            log_filter,
            quotas,
        } = self;
        log_filter.set(&config.log);
        feed.set_max_streams(config.max_streams);
        gateway.store(Arc::new(gateway_settings(config)));
        limits.set(access::rates(config));
        access::bound_open(channels, config);
        quotas.set(quotas_of(config));
    }
}

/// How much may be used.
pub(super) fn quotas_of(config: &Config) -> Quotas {
    // Where no bound is set, 0 is.
    let count = |limit: u64| match limit {
        0 => i64::MAX,
        limit => i64::try_from(limit).unwrap_or(i64::MAX),
    };
    let width = |limit: usize| if limit == 0 { usize::MAX } else { limit };
    Quotas {
        queue_limit_turns: i64::try_from(config.queue_limit_turns).unwrap_or(i64::MAX),
        queue_limit_bytes: count(config.queue_limit_bytes.0),
        max_sessions: count(config.max_sessions),
        max_running_turns: config.max_running_turns,
        reserved_running_turns: config.reserved_running_turns(),
        max_awake_agents: config.max_awake_agents,
        tenant_max_asking_turns: i64::try_from(config.tenant_asking_turns()).unwrap_or(i64::MAX),
        principal: Quota {
            max_sessions: count(config.principal_max_sessions),
            max_queue_bytes: count(config.principal_max_queue_bytes.0),
            max_running_turns: width(config.principal_max_running_turns),
            max_awake_agents: width(config.principal_max_awake_agents),
            max_stored_bytes: count(config.principal_max_bytes.0),
        },
        tenant: Quota {
            max_sessions: count(config.tenant_max_sessions),
            max_queue_bytes: count(config.tenant_max_queue_bytes.0),
            max_running_turns: config.tenant_running_turns(),
            max_awake_agents: config.tenant_awake_agents(),
            max_stored_bytes: count(config.tenant_max_bytes.0),
        },
    }
}

/// Defaults of calls.
pub(super) fn gateway_settings(config: &Config) -> GatewaySettings {
    GatewaySettings {
        turn_timeout: config.turn_timeout,
        max_turn_timeout: config.max_turn_timeout,
    }
}
