//! What UpdateConfig has set: a small table, replaced whole.

use super::{fault::Answer, writer::Unit};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// All settings.
pub(super) fn all(connection: &Connection) -> Answer<BTreeMap<String, String>> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM setting")?;
    let all = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(all)
}

/// Replaces them.
pub(super) fn replace(unit: &Unit<'_>, settings: &BTreeMap<String, String>) -> Answer<()> {
    unit.sql("DELETE FROM setting")?.execute([])?;
    for (key, value) in settings {
        unit.sql("INSERT INTO setting (key, value) VALUES (?1, ?2)")?
            .execute((key, value))?;
    }
    Ok(())
}
