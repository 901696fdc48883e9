//! A mark beside the database: that there is a store here, which, how far it was, and what time it was.
//!
//! A database that is gone, emptied, exchanged, or has lost its log is refused at the start by it, instead of being
//! taken for a new one. The mark never stands beyond the database: it is written after the commit that it tells of.

use super::{
    fault::OpenError,
    schema::{self, FILE_NAME},
};
use crate::clock::Reading;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};
use uuid::Uuid;

/// Name of the mark.
pub(super) const MARK_NAME: &str = "store.mark";
/// What a server makes in its data directory after the database, and never without it.
const BESIDE: [&str; 2] = ["pepper", "memory.key"];

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Which store it is.
    pub(super) store_id: Uuid,
    /// `mark` of the database at some commit.
    pub(super) number: i64,
    /// When it was written.
    pub(super) clock: Reading,
}

// === impl Mark ===

impl Mark {
    /// The mark of a data directory; `None` where there is none, or none that can be read.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        let text = fs::read_to_string(directory.join(MARK_NAME)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, directory: &Path) -> std::io::Result<()> {
        let part = directory.join(format!("{MARK_NAME}.part"));
        let mut file: File = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        let text = serde_json::to_string(self).map_err(std::io::Error::other)?;
        file.write_all(text.as_bytes())?;
        // Not synced: what a loss of power leaves of it says nothing, and nothing that is wrong.
        fs::rename(part, directory.join(MARK_NAME))
    }
}

/// Refuses a data directory whose store should be there and is not.
pub(super) fn require_files(directory: &Path) -> Result<(), OpenError> {
    let length = |name: &str| fs::metadata(directory.join(name)).map_or(0, |file| file.len());
    let mark = Mark::read(directory);
    if length(FILE_NAME) == 0 {
        let sessions = fs::read_dir(directory.join("sessions"))
            .is_ok_and(|mut sessions| sessions.next().is_some());
        let beside = BESIDE.iter().any(|name| directory.join(name).exists());
        let lost = mark.is_some() || sessions || beside;
        return if lost { Err(OpenError::Gone) } else { Ok(()) };
    }
    Ok(())
}

/// Refuses a database that is not as far as its mark says, or is another one. To be asked before it is written.
pub(super) fn require_whole(directory: &Path, connection: &Connection) -> Result<(), OpenError> {
    let Some(mark) = Mark::read(directory) else {
        return Ok(());
    };
    if schema::check_version(connection)? == 0 {
        // All of it stood in the log.
        return Err(OpenError::LogLost);
    }
    if schema::identity(connection)?.store_id != mark.store_id {
        return Err(OpenError::Exchanged);
    }
    if number(connection)? < mark.number {
        return Err(OpenError::LogLost);
    }
    Ok(())
}

/// Counts on.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("UPDATE meta SET value = value + 1 WHERE name = 'mark' RETURNING value")?
        .query_row([], |row| row.get(0))
}

/// Moves what is left of a store aside, so that a new one can be made; returns where to. Nothing is deleted.
pub(super) fn move_aside(directory: &Path) -> std::io::Result<()> {
    let names = [
        FILE_NAME.to_owned(),
        format!("{FILE_NAME}-wal"),
        format!("{FILE_NAME}-shm"),
        MARK_NAME.to_owned(),
    ];
    let free = (1..)
        .find(|number| {
            let taken = |name: &String| directory.join(format!("{name}.lost-{number}")).exists();
            !names.iter().any(taken)
        })
        .unwrap_or(u32::MAX);
    for name in names {
        let from = directory.join(&name);
        if from.exists() {
            let to = directory.join(format!("{name}.lost-{free}"));
            tracing::warn!(from = %from.display(), to = %to.display(), "what is left of a store is moved aside");
            fs::rename(from, to)?;
        }
    }
    Ok(())
}

fn number(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT value FROM meta WHERE name = 'mark'", [], |row| {
        row.get(0)
    })
}
