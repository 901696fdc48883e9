//! Abort, Reset, Delete: what is accepted at once, and what waits for the active turn's end.

use super::{
    access::{self, Need},
    edit::{self, SessionEdit},
    fault::{Answer, Fault},
    ledger::Held,
    queue, removal,
    requests::{self, Done, WhenGone, once, require_generation},
    rows,
    writer::Unit,
};
use crate::{
    domain::{
        Event, EventKind, Refusal,
        access::SessionAccess,
        ids::{SessionRow, Time},
        session::{Session, SessionState},
        turn::{AbortMode, Cancel, Cause, Turn, TurnState},
    },
    store::{Abort, Caller, Committed, Fence, Published},
};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

use super::rows::micros;

/// A stop of the active turn.
pub(super) struct Stop {
    /// What asked for it.
    pub(super) cause: Cause,
    /// How to stop.
    pub(super) mode: AbortMode,
    /// Time between CANCEL and KILL.
    pub(super) grace: Duration,
    /// Unapplied steers are rejected too.
    pub(super) clears: bool,
}

/// Accepts a stop of the active turn, or raises the accepted one: its first cause stays, its mode only rises, its
/// grace only shrinks. Returns the turn, CANCELING; `None` where none is active.
pub(super) fn stop_active(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    stop: Stop,
    now: Time,
) -> Answer<Option<Turn>> {
    let Some(mut turn) = edit.active(unit)? else {
        return Ok(None);
    };
    let Stop {
        cause,
        mode,
        grace,
        clears,
    } = stop;
    let kill_time = match mode {
        AbortMode::Cancel => now.plus_micros(micros(grace)),
        AbortMode::Kill => now,
    };
    let cancel = match turn.cancel {
        None => Cancel {
            cause,
            mode,
            kill_time,
        },
        Some(accepted) => Cancel {
            cause: accepted.cause,
            mode: accepted.mode.max(mode),
            kill_time: accepted.kill_time.min(kill_time),
        },
    };
    turn.state = TurnState::Canceling;
    turn.cancel = Some(cancel);
    unit.sql(
        "UPDATE turn SET state = ?2, cancel_cause = ?3, cancel_mode = ?4, cancel_kill_time = ?5, \
         cancel_clears = max(cancel_clears, ?6) WHERE row = ?1",
    )?
    .execute(params![
        turn.row,
        turn.state as i64,
        cancel.cause.as_str(),
        cancel.mode as i64,
        cancel.kill_time.0,
        clears,
    ])?;
    edit.settle_state(Some(turn.state));
    Ok(Some(turn))
}

// === abort ===

/// Abort.
pub(super) fn abort(unit: &mut Unit<'_>, command: Abort) -> Answer<Committed> {
    let Abort {
        caller,
        turn_id,
        clear_queue,
        mode,
        grace,
        cause,
    } = command;
    once(
        unit,
        &caller,
        Need::Write,
        WhenGone::Refuse,
        |unit, _, found| {
            let now = caller.now;
            let mut edit = requests::usable(unit, &caller, found)?;
            require_generation(&caller, edit.session.generation)?;
            let stop = Stop {
                cause,
                mode,
                grace,
                clears: clear_queue,
            };
            let mut cleared = Vec::new();
            let (turn, stopping) = match turn_id {
                Some(turn_id) if edit.session.active_turn != Some(turn_id) => {
                    let turn = abort_other(unit, &mut edit, turn_id, now)?;
                    let taken = turn.1;
                    if taken {
                        cleared.push(turn.0.clone());
                    }
                    (Some(turn.0), taken)
                }
                Some(_) | None => {
                    let turn = stop_active(unit, &mut edit, stop, now)?;
                    let stopping = turn.is_some();
                    (turn, stopping)
                }
            };
            if clear_queue {
                cleared.extend(queue::take_all(unit, &mut edit, Cause::QueueCleared, now)?);
            }
            // Where there was nothing to stop nothing changed.
            let changed = stopping || !cleared.is_empty();
            let time = if changed {
                now
            } else {
                edit.session.update_time
            };
            let session = edit.save(unit, time)?;
            let mut done = Done::session(session).with_turn(turn).with_cleared(cleared);
            done.receipt.stopping = stopping;
            Ok(done)
        },
    )
}

/// Abort of a turn that is not active: takes it if it waits. True where it did.
fn abort_other(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn_id: Uuid,
    now: Time,
) -> Answer<(Turn, bool)> {
    let turn = edit::turn_of_id(unit.connection, &edit.session, turn_id)?.ok_or_else(|| {
        Refusal::TurnNotFound {
            turn_id: turn_id.to_string(),
        }
    })?;
    if turn.state == TurnState::Queued {
        Ok((queue::take(unit, edit, turn, Cause::Removed, now)?, true))
    } else {
        Ok((turn, false))
    }
}

// === reset ===

/// Reset.
pub(super) fn reset(unit: &mut Unit<'_>, caller: Caller) -> Answer<Committed> {
    once(
        unit,
        &caller,
        Need::Write,
        WhenGone::Refuse,
        |unit, _, found| {
            let now = caller.now;
            let mut edit = requests::usable(unit, &caller, found)?;
            require_generation(&caller, edit.admission_generation())?;
            let cleared = queue::take_all(unit, &mut edit, Cause::SessionReset, now)?;
            if edit.hidden.pending_reset {
                // Joins the one that is pending: the same generation comes of both. What was accepted between the two is
                // from before this one all the same, and must not run after it.
                let session = edit.save(unit, now)?;
                let mut done = Done::session(session).with_cleared(cleared);
                done.receipt.stopping = true;
                return Ok(done);
            }
            edit.hidden.pending_reset = true;
            let stop = Stop {
                cause: Cause::SessionReset,
                mode: AbortMode::Cancel,
                grace: crate::domain::limits::GRACE_DEFAULT,
                clears: true,
            };
            if stop_active(unit, &mut edit, stop, now)?.is_none() {
                complete_reset(unit, &mut edit, now)?;
                edit.settle_state(None);
            }
            let stopping = edit.hidden.pending_reset;
            let session = edit.save(unit, now)?;
            let mut done = Done::session(session).with_cleared(cleared);
            done.receipt.stopping = stopping;
            Ok(done)
        },
    )
}

/// Begins the next generation; nothing is active any more.
pub(super) fn complete_reset(unit: &Unit<'_>, edit: &mut SessionEdit, now: Time) -> Answer<()> {
    edit.hidden.pending_reset = false;
    edit.settings_changed = true;
    let session = &mut edit.session;
    session.generation += 1;
    session.session_id = Uuid::now_v7();
    if !session.next_agent.is_empty() {
        session.agent = std::mem::take(&mut session.next_agent);
    }
    session.message_count = 0;
    session.user_message_count = 0;
    session.last_message_preview.clear();
    let event = Event::SessionReset {
        generation: session.generation,
        session_id: session.session_id,
        agent: session.agent.clone(),
    };
    edit.event(unit, now, None, None, &event)?;
    Ok(())
}

// === delete ===

/// DeleteSession.
pub(super) fn delete(unit: &mut Unit<'_>, caller: Caller) -> Answer<Committed> {
    once(
        unit,
        &caller,
        Need::Own,
        WhenGone::Confirm,
        |unit, _, found| {
            let key = || caller.key.as_str().to_owned();
            let Some(mut edit) = found else {
                let left = access::tombstone(unit.connection, &caller.identity, &caller.key)?;
                let Some(left) = left else {
                    return Err(Refusal::SessionNotFound { key: key() }.into());
                };
                if left.access(&caller.identity) < Some(SessionAccess::Own) {
                    return Err(access::not_yours(&caller.key).into());
                }
                let gone = requests::deleted(unit, &caller, left.row, left.uid, left.head);
                return Ok(Done::session(Arc::new(gone)));
            };
            if edit.session.primary {
                return Err(Refusal::PrimarySession { key: key() }.into());
            }
            let mut cleared = Vec::new();
            if edit.session.state != SessionState::Deleting {
                require_generation(&caller, edit.session.generation)?;
                cleared = begin_delete(unit, &mut edit, caller.now)?;
            }
            let session = edit.save(unit, caller.now)?;
            Ok(Done::session(session).with_cleared(cleared))
        },
    )
}

/// The first commit of a Delete.
pub(super) fn begin_delete(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    now: Time,
) -> Answer<Vec<Turn>> {
    let cleared = queue::take_all(unit, edit, Cause::SessionDeleted, now)?;
    edit.session.state = SessionState::Deleting;
    // A Reset that was pending has no generation left to begin.
    edit.hidden.pending_reset = false;
    let stop = Stop {
        cause: Cause::SessionDeleted,
        mode: AbortMode::Cancel,
        grace: crate::domain::limits::GRACE_DEFAULT,
        clears: true,
    };
    stop_active(unit, edit, stop, now)?;
    Ok(cleared)
}

/// Writes `session_deleted`, once.
pub(super) fn finish_delete(unit: &mut Unit<'_>, fence: Fence, now: Time) -> Answer<Arc<Session>> {
    let mut edit = deleting(unit, fence)?;
    let newest: Option<u8> = {
        let mut statement = unit.sql("SELECT kind FROM event WHERE session = ?1 AND seq = ?2")?;
        let mut found = statement.query((edit.session.row.0, edit.session.head))?;
        match found.next()? {
            Some(row) => Some(row.get(0)?),
            None => None,
        }
    };
    if newest != Some(EventKind::SESSION_DELETED.0) {
        edit.event(unit, now, None, None, &Event::SessionDeleted)?;
    }
    edit.save(unit, now)
}

/// Nobody wakes for a Delete that can't be finished, until the next one saves the session or this process ends.
pub(super) fn postpone_delete(unit: &mut Unit<'_>, fence: Fence) -> Answer<()> {
    let edit = deleting(unit, fence)?;
    unit.sql("UPDATE session SET wake = NULL WHERE row = ?1")?
        .execute([edit.session.row.0])?;
    Ok(())
}

/// Whether a session's Delete was postponed.
pub(super) fn delete_postponed(connection: &Connection, session: SessionRow) -> Answer<bool> {
    let postponed: Option<bool> = connection
        .prepare_cached("SELECT state = 6 AND wake IS NULL FROM session WHERE row = ?1")?
        .query_row([session.0], |row| row.get(0))
        .optional()?;
    Ok(postponed.unwrap_or(false))
}

/// Takes rows of a DELETING session, as many as belong into one commit. True when the last were taken.
pub(super) fn purge_step(unit: &mut Unit<'_>, fence: Fence, now: Time) -> Answer<bool> {
    let edit = deleting(unit, fence)?;
    let row = edit.session.row.0;
    if !removal::of_session(unit, edit.session.row)? {
        return Ok(false);
    }
    // Memory goes with its session; triggers take its index, its vectors and its past.
    let memories = "SELECT memory.row, octet_length(memory.content) FROM memory_scope \
                    JOIN memory ON memory.scope = memory_scope.row WHERE memory_scope.session = ?1 LIMIT 256";
    if !removal::each(unit, "memory", memories, [row])? {
        return Ok(false);
    }
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
    } = &edit.session;
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
        stored_bytes: -edit.hidden.stored_bytes,
    };
    unit.count(tenant, owner, one_less);
    unit.sql("DELETE FROM session WHERE row = ?1")?
        .execute([row])?;
    unit.sql("UPDATE meta SET value = value - 1 WHERE name = 'sessions'")?
        .execute([])?;
    let mut session = edit.session;
    session.state = SessionState::Deleted;
    session.first_seq = session.head + 1;
    unit.publish(Published {
        session: Arc::new(session),
        events: Vec::new(),
        ended: Vec::new(),
    });
    Ok(true)
}

fn deleting(unit: &Unit<'_>, fence: Fence) -> Answer<SessionEdit> {
    let edit = SessionEdit::fenced(unit, fence)?;
    if edit.session.state == SessionState::Deleting && edit.session.active_turn.is_none() {
        Ok(edit)
    } else {
        Err(Fault::Broken(
            "the session is not ready to be deleted".into(),
        ))
    }
}
