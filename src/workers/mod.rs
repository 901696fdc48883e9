//! Remote workers: agents on other machines, as one more driver.
//!
//! * [`hub`]: who is connected, which turn is on which worker, and where the next one goes. The only owner of leases.
//! * [`driver`]: the driver `worker`, which the session engine sees as any other.
//! * [`frames`]: what agents say, as frames, and back.
//!
//! What keeps a turn from running twice: a lease is given away no earlier than [`LeaseRules::lease`] after the last frame
//! of its worker, and the worker ends its agents itself [`LeaseRules::stop_after`] after it sent the last heartbeat that was
//! answered. While the worker program stands still the keepers of its agents do that ([`crate::agent::fence`]), before the
//! lease is over. Each side measures by its own monotonic clock. A lease is on disk before its worker hears of it: the next
//! start of the server leaves its turn alone for as long.

pub mod driver;
pub mod frames;
pub mod hub;

use std::time::Duration;

/// Times of leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRules {
    /// Longest time between two heartbeats.
    pub heartbeat: Duration,
    /// Time after the last frame until a lease ends.
    pub lease: Duration,
    /// Time without contact after which a worker ends its agents.
    pub stop_after: Duration,
    /// Time that a worker has to accept an assignment.
    pub accept: Duration,
    /// Longest wait for the worker that has a session's workspace.
    pub sticky_wait: Duration,
}

/// Bytes of events that an assignment may be ahead of what its session's actor took.
pub const CREDIT_BYTES: u64 = 1024 * 1024;
/// Frames that may wait for a worker that does not read; one more cuts its connection.
pub const OUT_FRAMES_MAX: usize = 1024;
/// Agents, labels and features of one worker.
pub const WORDS_MAX: usize = 64;
/// Turns that one worker runs at most.
pub const CAPACITY_MAX: i32 = 1024;
/// Workspaces that a worker may say it has; the rest is passed over.
pub const WORKSPACES_MAX: usize = 10_000;
/// Longest history of an assignment, in bytes.
pub const HISTORY_MAX_BYTES: usize = 1024 * 1024;

// === impl LeaseRules ===

impl Default for LeaseRules {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            lease: Duration::from_secs(45),
            stop_after: Duration::from_secs(35),
            accept: Duration::from_secs(10),
            sticky_wait: Duration::from_secs(10),
        }
    }
}
