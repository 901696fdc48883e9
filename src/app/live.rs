//! Brings what UpdateConfig changes to the rooms that go by it. Each room has its own small settings; none reads the
//! configuration.

use super::access;
use crate::{
    auth::limits::Limits,
    config::{Config, live::Current},
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
    /// Bounds of streams of principals and tenants.
    pub(super) channels: Arc<Channels>,
    /// What is logged.
    pub(super) log_filter: LogFilter,
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
        } = self;
        log_filter.set(&config.log);
        feed.set_max_streams(config.max_streams);
        gateway.store(Arc::new(gateway_settings(config)));
        limits.set(access::rates(config));
        access::bound_streams(channels, config);
    }
}

/// Defaults of calls.
pub(super) fn gateway_settings(config: &Config) -> GatewaySettings {
    GatewaySettings {
        turn_timeout: config.turn_timeout,
    }
}
