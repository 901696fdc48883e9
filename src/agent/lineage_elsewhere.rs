//! [`lineage`](super::lineage) where there is no `/proc`, no subreaper and no pidfd: nobody is found.
//!
//! What is left of the promises there: the keeper ends the agent's process group, and notices that its gateway is gone
//! within [`LOOK_AGAIN`]. What leaves the group is neither ended nor seen, so no stop is proven for it.

use super::isolation::users::UserRange;
use rustix::process::{Pid, getppid};
use std::{io, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time between two looks at who the parent is.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Where a process stands in the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descendant {
    /// Its id.
    pub(super) pid: Pid,
}

/// A process whose end can be waited for; there is none here.
#[derive(Debug)]
pub(super) struct Watched(Pid);

impl Watched {
    pub(super) fn of_namespace(_: Pid) -> Option<Self> {
        None
    }

    pub(super) fn pid(&self) -> Pid {
        self.0
    }

    pub(super) async fn ended(&self, _: Instant) -> Result<(), Pid> {
        Err(self.0)
    }
}

pub(super) fn start_keeper<T>(
    start: impl FnOnce() -> io::Result<T>,
    _: impl FnOnce(&T) -> Option<Pid>,
) -> io::Result<T> {
    start()
}

pub(super) fn has_orphans() -> bool {
    false
}

pub(super) async fn end_orphans(_: Instant) -> Result<(), Vec<Pid>> {
    Ok(())
}

pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

pub(super) fn below(_: Pid) -> Vec<Descendant> {
    vec![]
}

pub(super) fn eldest_child(_: Pid) -> Option<Pid> {
    None
}

/// The agent's process group stands for all that it started.
pub(super) fn kill_below(_: Pid, agent: Pid) {
    let _ = rustix::process::kill_process_group(agent, rustix::process::Signal::KILL);
}

pub(super) async fn end_below(_: Pid, _: &[Pid], _: Instant) -> Result<(), Vec<Pid>> {
    Ok(())
}

pub(super) async fn sweep(_: &str, _: &str, _: Instant) -> Result<usize, Vec<Pid>> {
    Ok(0)
}

pub(super) async fn sweep_users(_: UserRange, _: Instant) -> Result<usize, Vec<Pid>> {
    Ok(0)
}

pub(super) fn describe(pids: &[Pid]) -> String {
    format!("{pids:?}")
}

/// Cancels the token once `pid` is no longer the parent.
pub(super) fn watch(pid: Pid) -> io::Result<CancellationToken> {
    let gone = CancellationToken::new();
    let tell = gone.clone();
    let watching = std::thread::Builder::new().name("watch".into());
    watching.spawn(move || {
        while getppid() == Some(pid) {
            std::thread::park_timeout(LOOK_AGAIN);
        }
        tell.cancel();
    })?;
    Ok(gone)
}
