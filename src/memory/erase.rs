//! Hard Forget in the index: a deleted text's words go from the file, not just from what is found.
//!
//! FTS5 notes of a contentless table's deleted text that it is gone, and drops its words when it next merges the part that
//! they stand in. A hard Forget asks for that merge; it is done behind, in bounded steps, and goes on after a restart.
//! Rows, history and vectors are overwritten at once: the store's connection has `secure_delete`.
//!
//! Promised: once that is done and the log is checkpointed, no byte of it is left in the database. Until then old pages
//! may stand in the log; a server that is stopped leaves none. Not promised, because no program can: copies that the
//! file system or the disk keeps, backups that were made before, pages that an older version left free, and what was
//! said in conversations, which goes with its session.

use crate::store::sqlite::{Answer, Unit};
use rusqlite::Connection;

/// Pages of the index that one step writes: a step is one job of the store's writer, which others wait for.
const STEP_PAGES: i64 = 64;

/// Notes that the index holds words that must go.
pub(super) fn begin(unit: &Unit<'_>) -> Answer<()> {
    unit.sql("INSERT OR REPLACE INTO memory_state (name, value) VALUES ('erasing', 1)")?
        .execute([])?;
    Ok(())
}

/// Whether there are words that must go.
pub(super) fn is_due(connection: &Connection) -> Answer<bool> {
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM memory_state WHERE name = 'erasing')")?
        .query_row([], |row| row.get(0))?)
}

/// One bounded step.
pub(super) fn step(unit: &Unit<'_>) -> Answer<()> {
    for table in ["memory_index_1", "memory_index_2"] {
        let before = unit.connection.total_changes();
        // Negative: all parts become one. As FTS5's documentation has it, it did nothing where it changed less than two rows.
        unit.sql(&format!(
            "INSERT INTO {table} ({table}, rank) VALUES ('merge', ?1)"
        ))?
        .execute([-STEP_PAGES])?;
        if unit.connection.total_changes() - before >= 2 {
            return Ok(());
        }
    }
    unit.sql("DELETE FROM memory_state WHERE name = 'erasing'")?
        .execute([])?;
    Ok(())
}
