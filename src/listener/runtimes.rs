//! The serving runtimes: one current-thread runtime per named thread.
//!
//! Not one work-stealing runtime: a reader that wakes on another thread makes a write of its own, which costs several
//! times what the delivery does. Their price is that a handler must not block or compute for long.

use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio_util::{
    sync::CancellationToken, task::TaskTracker, task::task_tracker::TaskTrackerToken,
};

/// Time that work on a runtime's blocking threads has to end; it is left behind then.
const BLOCKING_STOP_MAX: Duration = Duration::from_secs(1);

/// Threads that live until told to stop, or until this is dropped.
#[derive(Debug)]
pub(super) struct Runtimes {
    handles: Vec<Handle>,
    stop: CancellationToken,
    /// Each thread holds a token until its runtime is gone.
    threads: TaskTracker,
}

impl Runtimes {
    pub(super) fn start(count: usize) -> Self {
        let stop = CancellationToken::new();
        let threads = TaskTracker::new();
        threads.close();
        let start = |index| start(index, stop.clone(), threads.token());
        let handles = (0..count).map(start).collect();
        Self {
            handles,
            stop,
            threads,
        }
    }

    pub(super) fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Drops the runtimes, and with them the tasks that are left on them.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.threads.wait().await;
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn start(index: usize, stop: CancellationToken, alive: TaskTrackerToken) -> Handle {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a process that can't have another epoll descriptor at its start can't serve");
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name(format!("serve-{index}"))
        .spawn(move || {
            runtime.block_on(stop.cancelled());
            runtime.shutdown_timeout(BLOCKING_STOP_MAX);
            drop(alive);
        })
        .expect("a process that can't have another thread at its start can't serve");
    handle
}
