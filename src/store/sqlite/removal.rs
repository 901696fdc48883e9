//! Rows that go, as many as belong into one commit: bounded by bytes and by time, see [`Unit::spend`].

use super::{attachments, fault::Answer, rows, writer::Unit};
use crate::{
    domain::{
        ids::{SessionRow, Time},
        session::{Session, SessionState},
    },
    store::{
        Fence, Published,
        core::{decide::control, usage::Held},
    },
};
use rusqlite::{Connection, OptionalExtension as _, Params, params};
use std::sync::Arc;

/// What a session owns beside its row and its attachments, with the bytes of a row.
const TABLES: [(&str, &str); 8] = [
    ("open_block", "octet_length(text)"),
    ("steer", "octet_length(text)"),
    ("offer", "octet_length(body)"),
    ("artifact", "octet_length(body)"),
    ("question", "octet_length(ask) + octet_length(answer)"),
    ("message", "octet_length(parts)"),
    ("turn", rows::TURN_BYTES),
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

/// Takes rows of a DELETING session, as many as belong into one commit. True when the last were taken.
pub(super) fn purge_step(unit: &mut Unit<'_>, fence: Fence, now: Time) -> Answer<bool> {
    let found = unit.snapshot_of_row(fence.session)?;
    let draft = control::deleting(found.as_deref(), fence)?;
    let (mut session, hidden) = (draft.session, draft.hidden);
    let row = session.row.0;
    if !of_session(unit, session.row)? {
        return Ok(false);
    }
    // Memory goes with its session; triggers take its index, its vectors and its past.
    let memories = "SELECT memory.row, octet_length(memory.content) FROM memory_scope \
                    JOIN memory ON memory.scope = memory_scope.row WHERE memory_scope.session = ?1 LIMIT 256";
    if !each(unit, "memory", memories, [row])? {
        return Ok(false);
    }
    unit.sql("DELETE FROM plan WHERE session = ?1")?
        .execute([row])?;
    unit.sql("DELETE FROM memory_scope WHERE session = ?1 AND session <> 0")?
        .execute([row])?;
    let Session {
        tenant,
        key,
        uid,
        owner,
        shares,
        head,
        ..
    } = &session;
    unit.sql(
        "INSERT INTO tombstone (session, tenant, key, uid, owner, shares, head, time) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        row,
        tenant,
        key.as_str(),
        uid,
        owner,
        rows::shares_text(shares),
        head,
        now.0,
    ])?;
    for subject in shares.keys() {
        unit.sql("DELETE FROM share WHERE tenant = ?1 AND subject = ?2 AND session = ?3")?
            .execute((tenant, subject, row))?;
    }
    let one_less = Held {
        sessions: -1,
        queue_bytes: 0,
        stored_bytes: -hidden.stored_bytes,
        // Its last turn has ended.
        asking_turns: 0,
    };
    unit.count(tenant, owner, one_less);
    unit.sql("DELETE FROM session WHERE row = ?1")?
        .execute([row])?;
    unit.sql("UPDATE meta SET value = value - 1 WHERE name = 'sessions'")?
        .execute([])?;
    unit.forget(session.row);
    session.state = SessionState::Deleted;
    session.first_seq = session.head + 1;
    unit.publish(Published {
        session: Arc::new(session),
        events: Vec::new(),
        ended: Vec::new(),
    });
    Ok(true)
}

/// Whether a session's Delete was postponed.
pub(super) fn delete_postponed(connection: &Connection, session: SessionRow) -> Answer<bool> {
    let postponed: Option<bool> = connection
        .prepare_cached("SELECT state = 6 AND wake IS NULL FROM session WHERE row = ?1")?
        .query_row([session.0], |row| row.get(0))
        .optional()?;
    Ok(postponed.unwrap_or(false))
}
