//! Bytes that are stored for an owner, and the rows that keep the counts.
//!
//! Events, messages, the texts of turns, and attachments count, in the transaction that writes them: of a session in its
//! own row, which each change of it writes anyway, of an owner in the ledger and, once a batch, in one row.

use super::fault::Answer;
use crate::domain::ids::Principal;
use rusqlite::Connection;

/// Keeps the counts of owners; of those who have nothing, no row.
pub(super) fn keep(
    connection: &Connection,
    changed: &[(String, String, i64)],
) -> rusqlite::Result<()> {
    for (tenant, owner, bytes) in changed {
        if *bytes == 0 {
            connection
                .prepare_cached("DELETE FROM storage WHERE tenant = ?1 AND owner = ?2")?
                .execute((tenant, owner))?;
        } else {
            connection
                .prepare_cached(
                    "INSERT INTO storage (tenant, owner, bytes) VALUES (?1, ?2, ?3) \
                     ON CONFLICT DO UPDATE SET bytes = excluded.bytes",
                )?
                .execute((tenant, owner, bytes))?;
        }
    }
    Ok(())
}

/// What a principal has, and what its tenant has.
pub(super) fn of(connection: &Connection, principal: &Principal) -> Answer<(i64, i64)> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(sum(bytes) FILTER (WHERE owner = ?2), 0), coalesce(sum(bytes), 0) FROM storage \
         WHERE tenant = ?1",
    )?;
    let found = statement.query_row((&principal.tenant, &principal.subject), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(found)
}
