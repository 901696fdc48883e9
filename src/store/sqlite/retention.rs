//! Housekeeping in bounded pieces: what is too old goes, a little per commit.
//!
//! Events of a turn that is not finished stay, from its first event on. Old requests, tombstones and idle sessions are
//! found by index; logs by a scan that goes round all sessions, some per call.

use super::{
    commands::{self, Tell},
    fault::Answer,
    removal, rows, webhooks_out,
    writer::Unit,
};
use crate::{
    domain::{
        event::Role,
        ids::{SessionRow, Time},
        limits::{FORGOTTEN_KEPT, REQUEST_KEPT},
        session::SessionState,
    },
    store::{
        StoreRules,
        core::draft::{Draft, micros},
    },
};
use rusqlite::{Connection, OptionalExtension as _};
use std::time::Duration;

/// Rows of one small kind that one commit deletes.
const SWEEP_MAX_ROWS: i64 = 500;
/// Events that one commit looks at.
const TRIM_MAX_ROWS: i64 = 2000;
/// Sessions that one call looks at.
const SCAN_MAX_SESSIONS: i64 = 512;
/// Idle sessions that one call deletes.
const IDLE_MAX_SESSIONS: i64 = 64;
/// Messages of a session that one commit looks at.
const HISTORY_MAX_MESSAGES: i64 = 500;
/// Turns at the old end of a session that one call looks at.
const HISTORY_MAX_TURNS: i64 = 200;

/// Sessions with something to trim.
pub(super) struct Due {
    /// Their rows.
    pub(super) sessions: Vec<SessionRow>,
    /// Where the next scan goes on; 0 where it begins again.
    pub(super) next: i64,
}

/// Deletes requests, tombstones and memories that are over, as many as belong into one commit. True when none is left.
pub(super) fn sweep(unit: &mut Unit<'_>, now: Time) -> Answer<bool> {
    let requests = unit
        .sql(
            "DELETE FROM request WHERE id IN \
             (SELECT id FROM request WHERE keep_until IS NOT NULL AND keep_until <= ?1 LIMIT ?2)",
        )?
        .execute((now.0, SWEEP_MAX_ROWS))?;
    let tombstones: Vec<i64> = unit
        .sql(
            "DELETE FROM tombstone WHERE session IN (SELECT session FROM tombstone WHERE time <= ?1 LIMIT ?2) \
             RETURNING session",
        )?
        .query_map((now.0 - micros(REQUEST_KEPT), SWEEP_MAX_ROWS), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for session in &tombstones {
        webhooks_out::forget_session(unit, *session)?;
    }
    let memories = removal::each(
        unit,
        "memory",
        "SELECT row, octet_length(content) FROM memory WHERE row IN \
         (SELECT row FROM memory WHERE expire_time <= ?1 \
         UNION ALL SELECT row FROM memory WHERE forget_time <= ?2 LIMIT 256)",
        (now.0, cutoff(now, FORGOTTEN_KEPT)),
    )?;
    let webhooks = webhooks_out::sweep(unit)?;
    Ok(!is_full(requests) && !is_full(tombstones.len()) && memories && webhooks)
}

/// Begins the Delete of sessions that are idle for longer than they may be. True while there are more.
pub(super) fn delete_idle(unit: &mut Unit<'_>, now: Time) -> Answer<bool> {
    let idle: Vec<i64> = unit
        .sql(
            "SELECT row FROM session WHERE idle_deadline IS NOT NULL AND idle_deadline <= ?1 AND active_row IS NULL \
             AND queue_depth = 0 AND state <> 6 LIMIT ?2",
        )?
        .query_map((now.0, IDLE_MAX_SESSIONS), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let more = i64::try_from(idle.len()).unwrap_or(i64::MAX) >= IDLE_MAX_SESSIONS;
    for row in idle {
        commands::delete_idle(unit, SessionRow(row), now)?;
    }
    Ok(more)
}

/// Finds sessions with something to trim, from a row on.
pub(super) fn due(
    connection: &Connection,
    rules: &StoreRules,
    from: i64,
    now: Time,
) -> Answer<Due> {
    let oldest = cutoff(now, rules.retention_age);
    let history = rules.history_retention.map(|age| cutoff(now, age));
    let mut statement = connection.prepare_cached(
        "SELECT session.row, head, first_seq, create_time, event.time FROM session \
         LEFT JOIN event ON event.session = session.row AND event.seq = session.first_seq \
         WHERE session.row > ?1 ORDER BY session.row LIMIT ?2",
    )?;
    let mut found = statement.query((from, SCAN_MAX_SESSIONS))?;
    let mut due = Due {
        sessions: Vec::new(),
        next: 0,
    };
    let mut looked = 0;
    while let Some(row) = found.next()? {
        let session: i64 = row.get(0)?;
        let kept = row.get::<_, i64>(1)? - row.get::<_, i64>(2)? + 1;
        let created: i64 = row.get(3)?;
        let first: Option<i64> = row.get(4)?;
        if kept > rules.retention_events
            || first.is_some_and(|first| first < oldest)
            || history.is_some_and(|history| created < history)
        {
            due.sessions.push(SessionRow(session));
        }
        looked += 1;
        due.next = session;
    }
    if looked < SCAN_MAX_SESSIONS {
        due.next = 0;
    }
    Ok(due)
}

/// Trims a session's log and history, as much as belongs into one commit. True when nothing is left to trim.
pub(super) fn trim(unit: &mut Unit<'_>, row: SessionRow, now: Time) -> Answer<bool> {
    let Some(found) = unit.snapshot_of_row(row)? else {
        return Ok(true);
    };
    let mut draft = Draft::of(&found);
    if draft.session.state == SessionState::Deleting {
        return Ok(true);
    }
    let (trimmed, events) = trim_events(unit, &mut draft, now)?;
    let (removed, history) = if events {
        trim_history(unit, &mut draft, now)?
    } else {
        (false, false)
    };
    if trimmed || removed {
        let unchanged = draft.session.update_time;
        unit.write(draft.finish(unchanged), Tell::All)?;
    }
    Ok(events && history)
}

/// Whether events went, and whether none is left that must go.
fn trim_events(unit: &Unit<'_>, draft: &mut Draft, now: Time) -> Answer<(bool, bool)> {
    let first = draft.session.first_seq;
    let by_count = draft.session.head - unit.rules.retention_events + 1;
    let wanted = by_count.max(first_young(unit, draft, now)?);
    let allowed = wanted.min(first_of_unfinished(unit, draft)?);
    let reached = allowed.min(first + TRIM_MAX_ROWS);
    if reached <= first {
        return Ok((false, true));
    }
    let found: Vec<(i64, i64)> = unit
        .sql(
            "SELECT seq, octet_length(body) FROM event WHERE session = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq",
        )?
        .query_map((draft.session.row.0, first, reached), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (seq, bytes) in found {
        unit.sql("DELETE FROM event WHERE session = ?1 AND seq = ?2")?
            .execute((draft.session.row.0, seq))?;
        draft.session.first_seq = seq + 1;
        draft.stored(-bytes);
        if !unit.spend(bytes) {
            break;
        }
    }
    Ok((true, draft.session.first_seq >= allowed))
}

/// The first event that is young enough, looked for as far as one commit deletes.
fn first_young(unit: &Unit<'_>, draft: &Draft, now: Time) -> Answer<i64> {
    let first = draft.session.first_seq;
    let oldest = cutoff(now, unit.rules.retention_age);
    // One more than is deleted, so that a log that is old throughout is told as having more.
    let end = (first + TRIM_MAX_ROWS + 1).min(draft.session.head + 1);
    let young: Option<i64> = unit
        .sql(
            "SELECT seq FROM event WHERE session = ?1 AND seq >= ?2 AND seq < ?3 AND time >= ?4 \
             ORDER BY seq LIMIT 1",
        )?
        .query_row((draft.session.row.0, first, end, oldest), |row| row.get(0))
        .optional()?;
    Ok(young.unwrap_or(end))
}

/// The first event of the turns that are not finished; beyond the head where there are none.
fn first_of_unfinished(unit: &Unit<'_>, draft: &Draft) -> Answer<i64> {
    let waiting: Option<i64> = unit
        .sql("SELECT min(queued_seq) FROM turn WHERE session = ?1 AND state = 1")?
        .query_row([draft.session.row.0], |row| row.get(0))?;
    let active: Option<i64> = match draft.active() {
        Some(active) => Some(
            unit.sql("SELECT queued_seq FROM turn WHERE row = ?1")?
                .query_row([active.turn.row], |row| row.get(0))?,
        ),
        None => None,
    };
    let beyond = draft.session.head + 1;
    Ok(waiting.unwrap_or(beyond).min(active.unwrap_or(beyond)))
}

/// Deletes messages and turns that ended too long ago. Whether some went, and whether none is left that must go.
fn trim_history(unit: &Unit<'_>, draft: &mut Draft, now: Time) -> Answer<(bool, bool)> {
    let Some(age) = unit.rules.history_retention else {
        return Ok((false, true));
    };
    let oldest = cutoff(now, age);
    let session = draft.session.row.0;
    let messages: Vec<(i64, i64, i64, i64)> = unit
        .sql(
            "SELECT row, generation, role, octet_length(parts) FROM message AS old WHERE old.session = ?1 \
             AND old.time < ?2 AND NOT EXISTS (SELECT 1 FROM turn WHERE turn.turn_id = old.turn_id \
             AND turn.session = ?1 AND (turn.end_time IS NULL OR turn.end_time >= ?2)) LIMIT ?3",
        )?
        .query_map((session, oldest, HISTORY_MAX_MESSAGES), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut removed = false;
    for (row, generation, role, bytes) in messages {
        unit.sql("DELETE FROM message WHERE row = ?1")?
            .execute([row])?;
        removed = true;
        draft.stored(-bytes);
        if generation == draft.session.generation {
            draft.session.message_count -= 1;
            draft.session.user_message_count -= i64::from(role == Role::User as i64);
        }
        if !unit.spend(bytes) {
            return Ok((true, false));
        }
    }
    let turns: Vec<(i64, i64)> = unit
        .sql(
            &format!(
            "SELECT row, bytes FROM (SELECT row, state, end_time, {} AS bytes FROM turn WHERE session = ?1 \
             ORDER BY row LIMIT ?3) WHERE state > 4 AND end_time < ?2",
            rows::TURN_BYTES
        ))?
        .query_map((session, oldest, HISTORY_MAX_TURNS), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (row, bytes) in turns {
        unit.sql("DELETE FROM turn WHERE row = ?1")?
            .execute([row])?;
        removed = true;
        draft.stored(-bytes);
        if !unit.spend(bytes) {
            break;
        }
    }
    let questions: Vec<(i64, i64)> = unit
        .sql(
            "SELECT row, octet_length(ask) + octet_length(answer) FROM question WHERE session = ?1 AND open = 0 \
             AND resolve_time < ?2 LIMIT ?3",
        )?
        .query_map((session, oldest, HISTORY_MAX_TURNS), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (row, bytes) in questions {
        unit.sql("DELETE FROM question WHERE row = ?1")?
            .execute([row])?;
        removed = true;
        draft.stored(-bytes);
        if !unit.spend(bytes) {
            break;
        }
    }
    // Looked at again until there was nothing: a turn's row goes after its messages.
    Ok((removed, !removed))
}

fn cutoff(now: Time, age: Duration) -> i64 {
    now.0.saturating_sub(micros(age))
}

fn is_full(deleted: usize) -> bool {
    i64::try_from(deleted).unwrap_or(i64::MAX) >= SWEEP_MAX_ROWS
}
