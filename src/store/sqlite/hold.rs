//! After a jump of the system's clock: what seems old may not be, so nothing that an earlier life has accepted is expired
//! or cleaned away for a day. The operator has that time to set the clock right.

use crate::{clock::Reading, domain::ids::Time};
use std::time::{Duration, Instant};

/// How long expiry and retention are held back.
const HOLD: Duration = Duration::from_secs(24 * 3600);

/// Expiry and retention are held back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    until: Instant,
    /// What was accepted from here on has ages that can be trusted.
    start: Time,
}

// === impl Hold ===

impl Hold {
    /// Begins; says so.
    pub(super) fn after(jump: i64, start: &Reading) -> Self {
        tracing::error!(
            seconds = jump / 1_000_000,
            "the system's clock has jumped since the server ran last; what was accepted before is neither expired nor \
             cleaned away for 24 hours: look at the clock, and start the server again when it is right"
        );
        Self {
            until: Instant::now() + HOLD,
            start: Time(start.wall),
        }
    }

    /// Whether it still lasts.
    pub(super) fn lasts(self) -> bool {
        Instant::now() < self.until
    }

    /// The oldest time of what may expire.
    pub(super) fn oldest(self) -> Time {
        if self.lasts() {
            self.start
        } else {
            Time(i64::MIN)
        }
    }
}
