//! What the service manager that started the server is told (`sd_notify(3)`): that it takes calls, that it lives, and that
//! it stops. Without `NOTIFY_SOCKET` in the environment nobody is told.

use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// The server takes calls.
pub(crate) fn ready() {
    tell(NotifyState::Ready);
}

/// The server drains.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says that the server lives, twice in the time after which the service manager takes it for hung; never ends. The
/// thread that serves says it: one that hangs is silent.
pub(crate) async fn keep_alive() -> std::convert::Infallible {
    // A time of zero would be no clock.
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        // The server is as good without.
        tracing::warn!(%error, "can't tell the service manager");
    }
}
