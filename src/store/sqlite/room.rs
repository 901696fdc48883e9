//! Room on the disk: what may still be written, and what is set aside so that a full disk can be emptied.
//!
//! New work is refused when less than `disk_reserve` would be left: the free space as it was at the last look, less what
//! was let in since. A file of some MiB is kept beside the store; where the disk runs full all the same (others write to
//! it too) it is given up, and stops and deletes find room.

use super::{condition::Condition, schema::FILE_NAME};
use crate::store::TroubleKind;
use std::{
    cell::Cell,
    fs::{self, File, OpenOptions},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How old what is known of the disk may be.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// What one byte of new work takes of the disk until it is done: its row, its event, and both once more in the log.
const COST_FACTOR: u64 = 4;
/// What any new work takes beside its bytes: rows, index pages.
const COST_FIXED: u64 = 64 * 1024;
/// Name of the file that is set aside.
const SPARE_NAME: &str = "spare";
/// Its size at most, in bytes; it is never more than half of `disk_reserve`.
const SPARE_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Knows whether the disk has room, and whether the store still stands on it.
pub(super) struct Room {
    directory: PathBuf,
    reserve: u64,
    seen: Cell<Option<Seen>>,
    spare_held: Cell<bool>,
    /// What the smallest work would have cost that was refused since there was room for all; 0 where none was. Until that
    /// fits, the disk counts as full: a turn that waits for room would stand still beside a server that says all is well.
    refused: Cell<u64>,
    /// Device and number of the database's file.
    file: (u64, u64),
    condition: Arc<Condition>,
}

/// What a look at the disk has found.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    /// Free bytes less what was let in since; `None` where the file system doesn't tell.
    free: Option<u64>,
}

// === impl Room ===

impl Room {
    /// Of an open store.
    pub(super) fn new(
        directory: PathBuf,
        reserve: u64,
        condition: Arc<Condition>,
    ) -> std::io::Result<Self> {
        let file = identity(&directory)?;
        Ok(Self {
            spare_held: Cell::new(directory.join(SPARE_NAME).exists()),
            directory,
            reserve,
            seen: Cell::new(None),
            refused: Cell::new(0),
            file,
            condition,
        })
    }

    /// Looks at the disk, where the last look is old.
    /// `pending` bytes of the log are not in the database yet, and will take their room there.
    pub(super) fn look(&self, pending: u64) {
        if self
            .seen
            .get()
            .is_some_and(|seen| seen.at.elapsed() < LOOK_INTERVAL)
        {
            return;
        }
        // What was removed or exchanged under the server takes writes that nobody will find.
        if identity(&self.directory).is_ok_and(|file| file == self.file) {
            self.condition.ends(TroubleKind::Lost);
        } else {
            self.condition.begins(TroubleKind::Lost);
        }
        let free = rustix::fs::statvfs(&self.directory)
            .ok()
            .map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        self.keep_spare(free);
        self.seen.set(Some(Seen {
            at: Instant::now(),
            free: free.map(|free| free.saturating_sub(pending)),
        }));
        if self.has(self.refused.get()) {
            self.refused.set(0);
            self.condition.ends(TroubleKind::Full);
        } else {
            self.condition.begins(TroubleKind::Full);
        }
    }

    /// Whether so many bytes of new work may be let in.
    pub(super) fn fits(&self, bytes: u64, pending: u64) -> bool {
        self.look(pending);
        let cost = cost_of(bytes);
        let fits = self.has(cost);
        if !fits {
            let least = match self.refused.get() {
                0 => cost,
                before => before.min(cost),
            };
            self.refused.set(least);
            self.condition.begins(TroubleKind::Full);
        }
        fits
    }

    /// Counts so many bytes of new work that were let in.
    pub(super) fn take(&self, bytes: u64) {
        if let Some(seen) = self.seen.get() {
            self.seen.set(Some(Seen {
                free: seen.free.map(|free| free.saturating_sub(cost_of(bytes))),
                ..seen
            }));
        }
    }

    /// The disk is full: gives up what was set aside.
    pub(super) fn give_up_spare(&self) {
        if !self.spare_held.replace(false) {
            return;
        }
        self.seen.set(None);
        match fs::remove_file(self.directory.join(SPARE_NAME)) {
            Ok(()) => {
                tracing::warn!("the disk is full; what was set aside to stop and delete is used");
            }
            Err(error) => {
                tracing::error!(%error, "what was set aside on the disk can't be used");
            }
        }
    }

    fn has(&self, cost: u64) -> bool {
        // A file system that can't tell its free space is not a reason to refuse work.
        let Some(free) = self.seen.get().and_then(|seen| seen.free) else {
            return true;
        };
        self.reserve == 0 || free.saturating_sub(cost) >= self.reserve
    }

    fn spare_bytes(&self) -> u64 {
        SPARE_MAX_BYTES.min(self.reserve / 2)
    }

    /// Sets the spare file aside where there is room for it.
    fn keep_spare(&self, free: Option<u64>) {
        let bytes = self.spare_bytes();
        let room = free.is_some_and(|free| free >= self.reserve.saturating_add(bytes));
        if self.spare_held.get() || bytes == 0 || !room {
            return;
        }
        let path = self.directory.join(SPARE_NAME);
        match set_aside(&path, bytes) {
            Ok(()) => self.spare_held.set(true),
            Err(error) => {
                tracing::warn!(%error, "no room could be set aside on the disk");
                // Half of it would only take the room.
                let _ = fs::remove_file(&path);
            }
        }
    }
}

fn cost_of(bytes: u64) -> u64 {
    bytes.saturating_mul(COST_FACTOR).saturating_add(COST_FIXED)
}

/// Makes a file of so many bytes that are the file's own.
fn set_aside(path: &Path, bytes: u64) -> std::io::Result<()> {
    let file: File = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    Ok(())
}

/// What the database's file is known by, whatever stands under its name.
fn identity(directory: &Path) -> std::io::Result<(u64, u64)> {
    let file = fs::metadata(directory.join(FILE_NAME))?;
    Ok((file.dev(), file.ino()))
}
