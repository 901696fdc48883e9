//! Moves the log into the database beside the writer, so that no commit waits for it, and looks at pages that are said
//! to be damaged.
//!
//! The thread has a connection of its own. It moves what the log held when it began; only the writer can end a log that
//! is moved whole, so it moves the rest itself once that is small. Work that fills the log quicker than it is moved waits
//! for it ([`Log::is_behind`]), so that the writer has no large rest to move while everybody waits. A log that can't be
//! moved (the disk fails, a backup hangs) grows up to a bound; from there on new work is refused.

use super::{condition::Condition, fault::OpenError, mark::Mark, schema};
use crate::{clock::Reading, store::TroubleKind, telemetry::metrics};
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Bytes of a page.
const PAGE_BYTES: u64 = 4096;
/// Pages of log up to which each commit counts the mark on: a log that is lost right then is noticed as well.
const ANEW_PAGES: i32 = 32;
/// Pages of log after which it is moved into the database: 32 MiB.
const MOVE_PAGES: i32 = 8_000;
/// Pages that the writer moves itself, so that a log that is long can begin anew: 2 MiB.
const REST_MAX_PAGES: i32 = 512;
/// Pages of log from which on work waits that can: 48 MiB.
const BEHIND_PAGES: i32 = MOVE_PAGES + MOVE_PAGES / 2;
/// Pages of log after which the writer moves the rest itself, however large.
const REST_PAGES: i32 = 2 * MOVE_PAGES;
/// Pages of log from which on it is told that it can't be moved: 128 MiB.
const STUCK_PAGES: i32 = 4 * MOVE_PAGES;
/// Pages of log from which on new work is refused: 256 MiB.
const FULL_PAGES: i32 = 8 * MOVE_PAGES;
/// How often the thread looks without being told.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Age of the mark at most: the time in it tells a jump of the clock at the next start.
const MARK_AGE_MAX: Duration = Duration::from_secs(10);

/// The writer's side of it.
pub(super) struct Log {
    /// Pages of the log after the newest commit.
    pages: Arc<AtomicI32>,
    /// Pages of it that are in the database, as far as the thread has moved them.
    moved: Arc<AtomicI32>,
    /// All of it stood in the database when it was looked last: the next write begins it anew.
    whole: Arc<AtomicBool>,
    /// Gone after [`Self::end`].
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<Marker>>,
    /// Number of the newest mark that is committed.
    number: Arc<AtomicI64>,
    condition: Arc<Condition>,
    /// Pages at which the writer tries again to end the log.
    try_again_at: AtomicI32,
}

/// Writes the mark beside the database.
pub(super) struct Marker {
    directory: PathBuf,
    mark: Mark,
    written: Instant,
}

/// What a move has found.
struct Moved {
    /// Pages in the log.
    pages: i32,
    /// Of those, in the database.
    moved: i32,
}

// === impl Log ===

impl Log {
    /// Takes the log over from the writer's connection, and starts the thread.
    pub(super) fn start(
        writer: &mut Connection,
        directory: &Path,
        condition: Arc<Condition>,
        marker: Marker,
    ) -> Result<Self, OpenError> {
        let pages = Arc::new(AtomicI32::new(0));
        let moved = Arc::new(AtomicI32::new(0));
        let whole = Arc::new(AtomicBool::new(false));
        let (counted, changed) = (Arc::clone(&pages), Arc::clone(&whole));
        // In the place of SQLite's own rule, which moves the log inside of a commit and hides that it failed.
        writer.wal_hook(Some(move |_: &mut _, pages| {
            counted.store(pages, Ordering::Relaxed);
            changed.store(false, Ordering::Relaxed);
            Ok(())
        }))?;
        let (wake, woken) = sync_channel(1);
        let connection = schema::open_mover(directory)?;
        let number = Arc::new(AtomicI64::new(marker.mark.number));
        let watch = Watch {
            connection,
            marker,
            number: Arc::clone(&number),
            woken: Mutex::new(woken),
            pages: Arc::clone(&pages),
            moved: Arc::clone(&moved),
            whole: Arc::clone(&whole),
            condition: Arc::clone(&condition),
        };
        let thread = std::thread::Builder::new()
            .name("store-log".into())
            .spawn(move || watch.run())?;
        Ok(Self {
            pages,
            moved,
            whole,
            wake: Some(wake),
            thread: Some(thread),
            number,
            condition,
            try_again_at: AtomicI32::new(0),
        })
    }

    /// After a commit: has the log moved, and ends it where it is long.
    pub(super) fn committed(&self, writer: &Connection, number: Option<i64>) {
        if let Some(number) = number {
            self.number.store(number, Ordering::Relaxed);
        }
        let pages = self.pages.load(Ordering::Relaxed);
        metrics::get().log_pages.set(f64::from(pages));
        if pages < MOVE_PAGES {
            self.moved.store(0, Ordering::Relaxed);
            self.condition.ends(TroubleKind::LogStuck);
            self.try_again_at.store(0, Ordering::Relaxed);
            return;
        }
        if let Some(wake) = &self.wake {
            // It is awake already where this fails.
            let _ = wake.try_send(());
        }
        let rest = pages - self.moved.load(Ordering::Relaxed);
        let ends = rest <= REST_MAX_PAGES || pages >= REST_PAGES;
        if !ends || pages < self.try_again_at.load(Ordering::Relaxed) {
            return;
        }
        let moved = move_log(writer);
        let whole = matches!(&moved, Ok(moved) if moved.moved >= moved.pages);
        if !whole {
            // Not after each commit: most of it is the thread's.
            self.try_again_at
                .store(pages.saturating_add(MOVE_PAGES / 4), Ordering::Relaxed);
        }
        if let Err(error) = moved {
            told(&error);
        }
        if pages >= STUCK_PAGES && !whole {
            self.condition.begins(TroubleKind::LogStuck);
        }
    }

    /// Ends the thread, and waits for that: the last connection removes the log. Gives the marker back.
    pub(super) fn end(&mut self) -> Option<Marker> {
        drop(self.wake.take());
        match self.thread.take()?.join() {
            Ok(marker) => Some(marker),
            Err(_) => {
                tracing::error!("the thread that moves the store's log has panicked");
                None
            }
        }
    }

    /// Whether the log holds next to nothing: what comes into it now is not marked yet.
    pub(super) fn is_anew(&self) -> bool {
        self.pages.load(Ordering::Relaxed) < ANEW_PAGES
    }

    /// Whether it fills quicker than it is moved: work that can wait does so, a little.
    pub(super) fn is_behind(&self) -> bool {
        self.pages.load(Ordering::Relaxed) >= BEHIND_PAGES && !self.whole.load(Ordering::Relaxed)
    }

    /// Bytes of it that are not in the database, at most.
    pub(super) fn pending_bytes(&self) -> u64 {
        if self.whole.load(Ordering::Relaxed) {
            return 0;
        }
        let pages = self.pages.load(Ordering::Relaxed);
        u64::try_from(pages).unwrap_or(0) * PAGE_BYTES
    }

    /// Whether the log may grow by new work.
    pub(super) fn has_room(&self) -> bool {
        self.pages.load(Ordering::Relaxed) < FULL_PAGES || self.whole.load(Ordering::Relaxed)
    }
}

// === impl Marker ===

impl Marker {
    /// Says how far the store is at its opening.
    pub(super) fn new(directory: PathBuf, store_id: Uuid, number: i64) -> std::io::Result<Self> {
        let mark = Mark {
            store_id,
            number,
            clock: Reading::now(),
        };
        mark.write(&directory)?;
        Ok(Self {
            directory,
            mark,
            written: Instant::now(),
        })
    }

    /// Writes down how far the store is, where that is new, and what time it is.
    fn reached(&mut self, number: i64) {
        if number != self.mark.number || self.written.elapsed() >= MARK_AGE_MAX {
            self.mark.number = number;
            self.write();
        }
    }

    /// Says how far the store is at its end.
    pub(super) fn closed(&mut self, number: i64) {
        self.mark.number = number;
        self.write();
    }

    fn write(&mut self) {
        self.mark.clock = Reading::now();
        self.written = Instant::now();
        if let Err(error) = self.mark.write(&self.directory) {
            // An older one says less, and nothing that is wrong.
            tracing::warn!(%error, "the store's mark could not be written; it is tried again");
        }
    }
}

/// The thread.
struct Watch {
    connection: Connection,
    marker: Marker,
    number: Arc<AtomicI64>,
    woken: Mutex<Receiver<()>>,
    pages: Arc<AtomicI32>,
    moved: Arc<AtomicI32>,
    whole: Arc<AtomicBool>,
    condition: Arc<Condition>,
}

impl Watch {
    fn run(mut self) -> Marker {
        let mut looked_for_damage = false;
        loop {
            let woken = self
                .woken
                .lock()
                .expect("this thread alone holds it")
                .recv_timeout(LOOK_INTERVAL);
            match woken {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.marker,
            }
            // Not where the files are gone: it would say of another directory that a store is there.
            if !self.condition.has(TroubleKind::Lost) {
                self.marker.reached(self.number.load(Ordering::Relaxed));
            }
            // On a disk that is nearly full at once: what is moved later might find no room.
            let full = self.condition.has(TroubleKind::Full);
            if self.pages.load(Ordering::Relaxed) >= if full { 1 } else { MOVE_PAGES } {
                match move_log(&self.connection) {
                    Ok(Moved { pages, moved }) => {
                        self.moved.store(moved, Ordering::Relaxed);
                        self.whole
                            .store(pages > 0 && moved >= pages, Ordering::Relaxed);
                    }
                    Err(error) => told(&error),
                }
            }
            let damaged = self.condition.has(TroubleKind::Damaged);
            if damaged && !looked_for_damage {
                self.look_for_damage();
            }
            looked_for_damage = damaged;
        }
    }

    /// Reads every page: a read that failed once is no damage.
    fn look_for_damage(&self) {
        let verdict: rusqlite::Result<String> =
            self.connection
                .pragma_query_value(None, "quick_check(1)", |row| row.get(0));
        match verdict {
            Ok(verdict) if verdict == "ok" => self.condition.ends(TroubleKind::Damaged),
            Ok(verdict) => tracing::error!(verdict, "the store's file is damaged"),
            Err(error) => tracing::error!(%error, "the store's file can't be checked"),
        }
    }
}

fn told(error: &rusqlite::Error) {
    metrics::get().log_failures.increment(1);
    tracing::warn!(%error, "the store's log could not be moved into the database; it is tried again");
}

/// Moves what can be moved without waiting for anybody.
fn move_log(connection: &Connection) -> rusqlite::Result<Moved> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(Moved {
            pages: row.get(1)?,
            moved: row.get(2)?,
        })
    })
}
