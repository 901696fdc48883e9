//! What UpdateConfig has set, by key.

use super::{fault::Answer, writer::Unit};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// Sets some keys and clears others, all in one commit.
pub(super) fn change(
    unit: &Unit<'_>,
    set: &BTreeMap<String, String>,
    clear: &[String],
) -> Answer<()> {
    let mut delete = unit.sql("DELETE FROM setting WHERE key = ?1")?;
    for key in clear {
        delete.execute([key])?;
    }
    let mut insert = unit.sql("INSERT OR REPLACE INTO setting (key, value) VALUES (?1, ?2)")?;
    for (key, value) in set {
        insert.execute([key, value])?;
    }
    Ok(())
}

/// Everything that was set.
pub(super) fn all(connection: &Connection) -> Answer<BTreeMap<String, String>> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM setting")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
