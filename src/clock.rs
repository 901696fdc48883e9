//! The time. Rooms that decide get it as a value; this is where the value comes from.
//!
//! Ages (how long a turn has waited, how long a request id is kept) are measured by [`now`]: it starts at the system's
//! clock and then goes on by itself, so that a step of that clock neither expires what is young nor keeps what is old.
//! What others have dated (tokens, certificates, API keys) is compared with [`wall`].

use crate::domain::ids::Time;
use serde::{Deserialize, Serialize};
use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A difference of clocks that is told.
pub const JUMP_MIN: Duration = Duration::from_secs(60);
/// A time without the server after which its clock is doubted, where nothing else says how long it was.
pub const GAP_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the clocks say at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The system's clock, in microseconds since 1970.
    pub wall: i64,
    /// Time since the machine's start, sleep included, in microseconds; nobody can set it.
    pub boot: i64,
    /// Names that start of the machine; empty where it is not known.
    pub boot_id: String,
}

static START: LazyLock<(i64, Instant)> = LazyLock::new(|| (wall().0, Instant::now()));

/// Now, for ages.
pub fn now() -> Time {
    let (wall, began) = *START;
    let passed = i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
    Time(wall.saturating_add(passed))
}

/// Now, by the system's clock.
pub fn wall() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// How far the system's clock was set since this process began, in microseconds.
pub fn stepped() -> i64 {
    wall().0.saturating_sub(now().0)
}

/// Time since the machine's start, in microseconds; 0 where the system doesn't tell.
fn boot() -> i64 {
    let told = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = told.split(' ').next().and_then(|text| text.parse().ok());
    (seconds.unwrap_or(0.0_f64) * 1e6) as i64
}

// === impl Reading ===

impl Reading {
    /// What they say now.
    pub fn now() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Self {
            wall: wall().0,
            boot: boot(),
            boot_id: boot_id.unwrap_or_default().trim().to_owned(),
        }
    }

    /// How far the system's clock has jumped since an earlier reading, in microseconds; `None` where it has not, as far
    /// as can be told.
    pub fn jump_since(&self, earlier: &Self) -> Option<i64> {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let passed = self.wall.saturating_sub(earlier.wall);
        if self.boot_id == earlier.boot_id && !self.boot_id.is_empty() {
            let jump = passed.saturating_sub(self.boot.saturating_sub(earlier.boot));
            return (jump.saturating_abs() > micros(JUMP_MIN)).then_some(jump);
        }
        // The machine was off for an unknown time: backwards is a jump, and very far is taken for one.
        let jumped = passed < -micros(JUMP_MIN) || passed > micros(GAP_MAX);
        jumped.then_some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3600 * SECOND;

    fn reading(wall: i64, boot: i64, boot_id: &str) -> Reading {
        Reading {
            wall,
            boot,
            boot_id: boot_id.into(),
        }
    }

    #[test]
    fn a_jump_is_told_by_the_time_that_has_passed() {
        let earlier = reading(1000 * HOUR, HOUR, "a");
        for (wall, boot, boot_id, jump) in [
            // Stopped for three hours, and for a month.
            (1003 * HOUR, 4 * HOUR, "a", None),
            (1720 * HOUR, 721 * HOUR, "a", None),
            // Set forward, set back.
            (1072 * HOUR, HOUR + SECOND, "a", Some(72 * HOUR - SECOND)),
            (995 * HOUR, HOUR, "a", Some(-5 * HOUR)),
            // A little, as the time service does it.
            (1000 * HOUR + 30 * SECOND, HOUR, "a", None),
            // The machine was started again.
            (1010 * HOUR, SECOND, "b", None),
            (995 * HOUR, SECOND, "b", Some(-5 * HOUR)),
            (9760 * HOUR, SECOND, "b", Some(8760 * HOUR)),
        ] {
            let now = reading(wall, boot, boot_id);
            assert_eq!(now.jump_since(&earlier), jump, "{now:?}");
        }
    }

    #[test]
    fn ages_go_on_by_themselves() {
        let began = now();
        let later = now();
        assert!(later >= began);
        assert!(stepped().abs() < HOUR, "both began at the same time");
    }
}
