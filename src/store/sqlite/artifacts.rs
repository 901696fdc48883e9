//! What agents made: the events that say so, as rows that outlive what retention takes of the log.

use super::fault::Answer;
use crate::{domain::ids::SessionRow, store::core::published::StoredEvent};
use bytes::Bytes;
use rusqlite::{Connection, params};

/// Keeps an `artifact_created`.
pub(super) fn keep(
    connection: &Connection,
    session: SessionRow,
    generation: i64,
    event: &StoredEvent,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO artifact (session, generation, seq, body) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![session.0, generation, event.seq, &event.body[..]])?;
    Ok(())
}

/// Those of a generation after a position, the oldest first.
pub(super) fn list(
    connection: &Connection,
    session: SessionRow,
    generation: i64,
    after: i64,
    limit: usize,
) -> Answer<Vec<(i64, Bytes)>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT seq, body FROM artifact WHERE session = ?1 AND generation = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4",
    )?;
    let found = statement.query_map((session.0, generation, after, limit), |row| {
        Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?.into()))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
