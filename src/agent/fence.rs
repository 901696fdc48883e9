//! Until when the agents of a worker may run, kept where their keepers read it by themselves.
//!
//! A worker ends its agents before their leases can be given away (see [`crate::workers`]). While it stands still itself,
//! stopped or swapped out, it can't. So each deadline is written to a file, too, by which the keeper of every agent
//! ends it, whatever becomes of the worker. What can't be read counts as over.
//!
//! Times are those since the system's start: one clock for all processes, which counts a machine's sleep where the
//! system can tell it.

use nix::time::{ClockId, clock_gettime};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// Name of the file in a worker's data directory.
const FILE: &str = "fence";
/// Its bytes: nanoseconds since the system's start, twice, so that a half that is older than the other is seen.
const LENGTH: usize = 16;
/// Looks that may meet a half-written deadline before it counts as unreadable.
const LOOKS_MAX: usize = 100;

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

/// The deadline of a worker's agents, as the worker writes it.
#[derive(Debug)]
pub struct Fence {
    file: File,
    path: PathBuf,
}

/// The same, as a keeper reads it.
#[derive(Debug)]
pub(super) struct Deadline(File);

/// Time since the system's start.
pub fn since_boot() -> Duration {
    clock_gettime(CLOCK)
        .expect("every system has this clock")
        .into()
}

// === impl Fence ===

impl Fence {
    /// In a worker's data directory, whose lock the caller holds. No agent may run yet.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        // Not made anew: a keeper of an earlier life may have it open.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        let fence = Self { file, path };
        fence.set(Duration::ZERO)?;
        Ok(fence)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Agents may run until then, in time since the system's start.
    ///
    /// # Errors
    /// What the system says; keepers go by the deadline before, or by none.
    pub fn set(&self, deadline: Duration) -> io::Result<()> {
        let half = u64::try_from(deadline.as_nanos())
            .unwrap_or(0)
            .to_le_bytes();
        let mut both = [0; LENGTH];
        both[..8].copy_from_slice(&half);
        both[8..].copy_from_slice(&half);
        self.file.write_all_at(&both, 0)
    }
}

// === impl Deadline ===

impl Deadline {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Time that is left; none where it can't be read.
    pub(super) fn left(&self) -> Duration {
        let nanos = (0..LOOKS_MAX).find_map(|_| {
            let mut both = [0; LENGTH];
            self.0.read_exact_at(&mut both, 0).ok()?;
            let (half, other) = both.split_at(LENGTH / 2);
            let half: [u8; 8] = (half == other).then(|| half.try_into().ok())??;
            Some(u64::from_le_bytes(half))
        });
        Duration::from_nanos(nanos.unwrap_or(0)).saturating_sub(since_boot())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R9: a keeper sees what its worker wrote last, and what it can't read is over.
    #[test]
    fn a_keeper_reads_the_last_deadline() {
        let directory = tempfile::tempdir().expect("a directory");
        let fence = Fence::create(directory.path()).expect("it is written");
        let deadline = Deadline::open(fence.path()).expect("it is there");
        assert_eq!(deadline.left(), Duration::ZERO);
        let minute = Duration::from_secs(60);
        fence.set(since_boot() + minute).expect("it is written");
        let left = deadline.left();
        assert!(left <= minute && left > minute / 2, "{left:?}");
        let half = OpenOptions::new().write(true).open(fence.path());
        let half = half.expect("it is there");
        half.write_all_at(&[1], 0).expect("it is written");
        assert_eq!(deadline.left(), Duration::ZERO);
        half.set_len(3).expect("it is cut");
        assert_eq!(deadline.left(), Duration::ZERO);
    }
}
