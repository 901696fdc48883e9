//! Rows that go, as many as belong into one commit: bounded by bytes and by time, see [`Unit::spend`].

use super::{attachments, fault::Answer, writer::Unit};
use crate::domain::ids::SessionRow;
use rusqlite::Params;

/// What a session owns beside its row and its attachments, with the bytes of a row.
const TABLES: [(&str, &str); 5] = [
    ("open_block", "octet_length(text)"),
    ("steer", "octet_length(text)"),
    ("message", "octet_length(parts)"),
    ("turn", "octet_length(text) + octet_length(response_text)"),
    ("event", "octet_length(body)"),
];

/// Removes what a session owns beside its row. True when nothing is left.
pub(super) fn of_session(unit: &Unit<'_>, session: SessionRow) -> Answer<bool> {
    if !attachments::remove(unit, session)? {
        return Ok(false);
    }
    for (table, bytes) in TABLES {
        let find = format!("SELECT row, {bytes} FROM {table} WHERE session = ?1 LIMIT 256");
        if !each(unit, table, &find, [session.0])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Deletes the rows of a table that a query finds, one after the other. The query gives their numbers and bytes, and is
/// asked again until it finds none. True when it did.
pub(super) fn each(
    unit: &Unit<'_>,
    table: &str,
    find: &str,
    parameters: impl Params + Clone,
) -> Answer<bool> {
    let delete = format!("DELETE FROM {table} WHERE row = ?1");
    loop {
        let found: Vec<(i64, i64)> = unit
            .sql(find)?
            .query_map(parameters.clone(), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if found.is_empty() {
            return Ok(true);
        }
        for (row, bytes) in found {
            unit.sql(&delete)?.execute([row])?;
            if !unit.spend(bytes) {
                return Ok(false);
            }
        }
    }
}
