//! Moves the log into the database beside the writer, so that no commit waits for it, and looks at pages that are said
//! to be damaged.
//!
//! The thread has a connection of its own. It moves what the log held when it began; only the writer can end a log that
//! is moved whole, so it moves the small rest itself once the log is long. A log that can't be moved (the disk fails, a
//! backup hangs) grows up to a bound; from there on new work is refused.

use super::{condition::Condition, fault::OpenError, schema};
use crate::{store::TroubleKind, telemetry::metrics};
use rusqlite::Connection;
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Pages of log after which it is moved into the database: 32 MiB.
const MOVE_PAGES: i32 = 8_000;
/// Pages of log after which the writer moves the rest itself, so that the log can begin anew.
const REST_PAGES: i32 = 2 * MOVE_PAGES;
/// Pages of log from which on it is told that it can't be moved: 128 MiB.
const STUCK_PAGES: i32 = 4 * MOVE_PAGES;
/// Pages of log from which on new work is refused: 256 MiB.
const FULL_PAGES: i32 = 8 * MOVE_PAGES;
/// How often the thread looks without being told.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The writer's side of it.
pub(super) struct Log {
    /// Pages of the log after the newest commit.
    pages: Arc<AtomicI32>,
    /// Gone after [`Self::end`].
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    condition: Arc<Condition>,
    /// Pages at which the writer tries again to end the log.
    try_again_at: AtomicI32,
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
    ) -> Result<Self, OpenError> {
        let pages = Arc::new(AtomicI32::new(0));
        let counted = Arc::clone(&pages);
        // In the place of SQLite's own rule, which moves the log inside of a commit and hides that it failed.
        writer.wal_hook(Some(move |_: &mut _, pages| {
            counted.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        let (wake, woken) = sync_channel(1);
        let connection = schema::open_mover(directory)?;
        let watch = Watch {
            connection,
            woken: Mutex::new(woken),
            pages: Arc::clone(&pages),
            condition: Arc::clone(&condition),
        };
        let thread = std::thread::Builder::new()
            .name("store-log".into())
            .spawn(move || watch.run())?;
        Ok(Self {
            pages,
            wake: Some(wake),
            thread: Some(thread),
            condition,
            try_again_at: AtomicI32::new(0),
        })
    }

    /// After a commit: has the log moved, and ends it where it is long.
    pub(super) fn committed(&self, writer: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        metrics::get().log_pages.set(f64::from(pages));
        if pages < MOVE_PAGES {
            self.condition.ends(TroubleKind::LogStuck);
            self.try_again_at.store(0, Ordering::Relaxed);
            return;
        }
        if let Some(wake) = &self.wake {
            // It is awake already where this fails.
            let _ = wake.try_send(());
        }
        if pages < REST_PAGES || pages < self.try_again_at.load(Ordering::Relaxed) {
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

    /// Ends the thread, and waits for that: the last connection removes the log.
    pub(super) fn end(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that moves the store's log has panicked");
        }
    }

    /// Whether the log may grow by new work.
    pub(super) fn has_room(&self) -> bool {
        self.pages.load(Ordering::Relaxed) < FULL_PAGES
    }
}

/// The thread.
struct Watch {
    connection: Connection,
    woken: Mutex<Receiver<()>>,
    pages: Arc<AtomicI32>,
    condition: Arc<Condition>,
}

impl Watch {
    fn run(self) {
        let mut looked_for_damage = false;
        loop {
            let woken = self
                .woken
                .lock()
                .expect("this thread alone holds it")
                .recv_timeout(LOOK_INTERVAL);
            match woken {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.pages.load(Ordering::Relaxed) >= MOVE_PAGES
                && let Err(error) = move_log(&self.connection)
            {
                told(&error);
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
