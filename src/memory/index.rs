//! The index of words: written with the rows, read by searches, filled anew by a rebuild.
//!
//! There are two of each table. One is read; while a rebuild runs, writes go to both, and at its end the other one is
//! read.

use super::{rebuild, words};
use crate::store::sqlite::{Answer, Unit};
use rusqlite::Connection;

/// Which tables count now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    /// Number of those that are read.
    pub(super) active: i64,
    /// Number of those that a rebuild fills.
    pub(super) building: Option<i64>,
}

// === impl Tables ===

impl Tables {
    /// As of the connection's transaction.
    pub(super) fn of(connection: &Connection) -> Answer<Self> {
        let active = connection
            .prepare_cached("SELECT value FROM memory_state WHERE name = 'active'")?
            .query_row([], |row| row.get(0))?;
        let building = rebuild::running(connection)?.then_some(3 - active);
        Ok(Self { active, building })
    }

    fn each(self) -> impl Iterator<Item = i64> {
        [Some(self.active), self.building].into_iter().flatten()
    }
}

/// Puts an item's words into the index, in place of those it had.
pub(super) fn put_item(
    unit: &Unit<'_>,
    row: i64,
    key: &str,
    tags: &[String],
    content: &str,
) -> Answer<()> {
    remove_item(unit, row)?;
    let (key, tags, content) = item_lines(key, tags, content);
    for number in Tables::of(unit.connection)?.each() {
        put_lines(unit, number, row, (&key, &tags, &content))?;
    }
    Ok(())
}

/// The words of an item, by column.
pub(super) fn item_lines(key: &str, tags: &[String], content: &str) -> (String, String, String) {
    (
        words::line(key),
        words::line(&tags.join(" ")),
        words::line(content),
    )
}

pub(super) fn put_lines(
    unit: &Unit<'_>,
    number: i64,
    row: i64,
    lines: (&str, &str, &str),
) -> Answer<()> {
    let (key, tags, content) = lines;
    unit.sql(&format!(
        "INSERT INTO memory_index_{number} (rowid, key, tags, content) VALUES (?1, ?2, ?3, ?4)"
    ))?
    .execute((row, key, tags, content))?;
    Ok(())
}

/// Takes an item's words out of the index.
pub(super) fn remove_item(unit: &Unit<'_>, row: i64) -> Answer<()> {
    for number in [1, 2] {
        unit.sql(&format!(
            "DELETE FROM memory_index_{number} WHERE rowid = ?1"
        ))?
        .execute([row])?;
    }
    Ok(())
}

/// Puts a message's words into the index of one number, in place of those it had.
pub(super) fn put_episode(unit: &Unit<'_>, number: i64, row: i64, line: &str) -> Answer<()> {
    unit.sql(&format!(
        "DELETE FROM episode_index_{number} WHERE rowid = ?1"
    ))?
    .execute([row])?;
    unit.sql(&format!(
        "INSERT INTO episode_index_{number} (rowid, content) VALUES (?1, ?2)"
    ))?
    .execute((row, line))?;
    Ok(())
}
