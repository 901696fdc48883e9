//! A turn's life under its owner: started, written, ended. Every call checks the fence in its transaction.

use super::{
    access::Sender,
    admission, attachments, control,
    edit::{NewMessage, SessionEdit},
    fault::{Answer, Fault},
    items,
    queue::{self, NewTurn, Origin, Place},
    requests, rows, storage,
    writer::Unit,
};
use crate::{
    domain::{
        Event,
        event::Role,
        ids::Time,
        limits::{ERROR_MESSAGE_MAX_BYTES, cut},
        message::Part,
        session::{Session, SessionState},
        turn::{AttachmentRef, Cause, StopReason, Turn, TurnError, TurnState, Usage},
    },
    store::{Ended, Fence, PendingSteer, Started, TurnEnd, Write},
};
use rusqlite::params;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use uuid::Uuid;

/// Bytes that the answer to a prompt is taken to have, where room on the disk is looked for.
const START_BYTES: usize = 256 * 1024;

/// How a turn ends.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    state: TurnState,
    stop_reason: Option<StopReason>,
    error: Option<TurnError>,
}

/// Who saw a turn end.
pub(super) enum Witness {
    /// Its owner, who knows the final text.
    Owner {
        /// Final assistant text of the turn.
        response_text: String,
    },
    /// Nobody: the process died under it.
    Crash,
}

/// A steer that was not applied.
struct SteerRow {
    row: i64,
    steer_id: Uuid,
    given: bool,
    text: String,
    attachments: Vec<AttachmentRef>,
    turn_timeout: Duration,
    origin: Origin,
}

// === impl Ending ===

impl Ending {
    /// The end by the contract's table.
    pub(super) fn of_cause(cause: Cause, started: bool, message: String) -> Self {
        let (state, stop_reason) = cause.end(started);
        Self {
            state,
            stop_reason,
            error: Some(TurnError {
                cause,
                message: cut(&message, ERROR_MESSAGE_MAX_BYTES).to_owned(),
            }),
        }
    }

    /// How an active turn ends. An accepted cancel overrules all but a stop that was not proven.
    fn of_active(turn: &Turn, end: TurnEnd) -> Self {
        let canceled = turn.cancel.map(|cancel| cancel.cause);
        match (canceled, end) {
            (_, TurnEnd::Failed(Cause::StopUnproven, message)) => {
                Self::of_cause(Cause::StopUnproven, true, message)
            }
            (Some(cause), _) => Self::of_cause(cause, true, cause.sentence().to_owned()),
            (None, TurnEnd::Failed(cause, message)) => Self::of_cause(cause, true, message),
            (None, TurnEnd::Stopped) => {
                Self::of_cause(Cause::Aborted, true, Cause::Aborted.sentence().to_owned())
            }
            (None, TurnEnd::Completed(stop_reason)) => Self {
                state: TurnState::Completed,
                stop_reason: Some(stop_reason),
                error: None,
            },
        }
    }
}

// === starting ===

/// Starts the next waiting turn.
pub(super) fn start_next(unit: &mut Unit<'_>, fence: Fence, now: Time) -> Answer<Option<Started>> {
    let mut edit = SessionEdit::fenced(unit, fence)?;
    let may_start = edit.session.active_turn.is_none()
        && !edit.hidden.pending_reset
        && edit.session.state != SessionState::Deleting
        && edit.session.queue_depth > 0;
    if !may_start {
        return Ok(None);
    }
    while let Some((turn, sender)) = queue::next_turn(unit, &edit)? {
        let expires = turn.create_time >= unit.oldest_that_expires();
        if expires && turn.expire_time.is_some_and(|expire| expire <= now) {
            queue::take(unit, &mut edit, turn, Cause::QueueTtl, now)?;
        } else if !sender.may_start(unit, &edit.session)? {
            queue::take(unit, &mut edit, turn, Cause::PermissionRevoked, now)?;
        } else {
            // It waits on: what it writes is new work as well, its prompt twice and what its agent says to it.
            unit.require_room(2 * turn.text.len() + START_BYTES)?;
            return start(unit, edit, turn, now).map(Some);
        }
    }
    edit.save(unit, now)?;
    Ok(None)
}

fn start(unit: &mut Unit<'_>, mut edit: SessionEdit, mut turn: Turn, now: Time) -> Answer<Started> {
    queue::left(unit, &mut edit, turn.row)?;
    turn.state = TurnState::Running;
    turn.attempt += 1;
    turn.start_time = Some(now);
    turn.agent.clone_from(&edit.session.agent);
    turn.model.clone_from(&edit.session.model);
    unit.sql(
        "UPDATE turn SET state = ?2, attempt = ?3, start_time = ?4, agent = ?5, model = ?6 WHERE row = ?1",
    )?
    .execute(params![
        turn.row,
        turn.state as i64,
        turn.attempt,
        now.0,
        turn.agent,
        turn.model,
    ])?;
    edit.session.active_turn = Some(turn.turn_id);
    edit.hidden.active_row = Some(turn.row);
    edit.session.last_active_time = now;
    edit.settle_state(Some(turn.state));
    let about = (turn.turn_id, turn.generation);
    let started = Event::TurnStarted {
        turn: Box::new(turn.clone()),
    };
    edit.event(unit, now, Some(about), None, &started)?;
    let user_messages_before = if turn.attempt == 1 {
        let before = edit.session.user_message_count;
        let attachments = turn.attachments.clone();
        write_user_message(unit, &mut edit, about, turn.text.clone(), attachments, now)?;
        before
    } else {
        // The user's message stands since the first start.
        user_messages_before(unit, &edit, about)?
    };
    let attachments = attachments::load(unit, edit.session.row, &turn.attachments)?;
    let session = edit.save(unit, now)?;
    Ok(Started {
        turn,
        session,
        attachments,
        user_messages_before,
    })
}

/// User messages of the generation before the turn's own.
fn user_messages_before(
    unit: &Unit<'_>,
    edit: &SessionEdit,
    (turn_id, generation): (Uuid, i64),
) -> Answer<i64> {
    let count = unit
        .sql(
            "SELECT count(*) FROM message WHERE session = ?1 AND generation = ?2 AND role = 1 AND row < \
             (SELECT min(row) FROM message WHERE session = ?1 AND generation = ?2 AND turn_id = ?3)",
        )?
        .query_row((edit.session.row.0, generation, turn_id), |row| row.get(0))?;
    Ok(count)
}

fn write_user_message(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: (Uuid, i64),
    text: String,
    attachments: Vec<AttachmentRef>,
    now: Time,
) -> Answer<()> {
    let item_id = Uuid::now_v7();
    let mut parts = Vec::with_capacity(1 + attachments.len());
    if !text.is_empty() {
        parts.push(Part::Text {
            content_index: 0,
            text: text.clone(),
        });
    }
    parts.extend(attachments.iter().cloned().map(Part::Attachment));
    let event = Event::MessageStarted {
        role: Role::User,
        text,
        attachments,
    };
    edit.event(unit, now, Some(turn), Some(item_id), &event)?;
    let message = NewMessage {
        item_id,
        turn_id: turn.0,
        role: Role::User,
        parts,
        partial: false,
        continued: false,
    };
    edit.message(unit, now, turn.1, message)
}

// === writing ===

/// Writes what the active turn's agent did.
pub(super) fn append(
    unit: &mut Unit<'_>,
    fence: Fence,
    writes: Vec<Write>,
    now: Time,
) -> Answer<Arc<Session>> {
    let mut edit = SessionEdit::fenced(unit, fence)?;
    apply(unit, &mut edit, writes, now)?;
    edit.save(unit, now)
}

fn apply(unit: &Unit<'_>, edit: &mut SessionEdit, writes: Vec<Write>, now: Time) -> Answer<()> {
    if writes.is_empty() {
        return Ok(());
    }
    let (Some(turn_id), Some(turn_row)) = (edit.session.active_turn, edit.hidden.active_row) else {
        return Err(Fault::Broken(
            "an owner writes without an active turn".into(),
        ));
    };
    // A turn that is active is of the present generation: a Reset waits for its end.
    let turn = (turn_id, edit.session.generation);
    for write in writes {
        match write {
            Write::Event { item_id, event } => {
                items::follow(unit, edit, item_id, &event)?;
                edit.event(unit, now, Some(turn), item_id, &event)?;
            }
            Write::Message {
                item_id,
                role,
                parts,
                partial,
                continued,
            } => {
                let message = NewMessage {
                    item_id,
                    turn_id,
                    role,
                    parts,
                    partial,
                    continued,
                };
                edit.message(unit, now, turn.1, message)?;
            }
            Write::Checkpoint {
                item_id,
                block,
                content_index,
                text,
            } => items::put_block(unit, edit, item_id, block, content_index, &text, false)?,
            Write::Attachments(new) => {
                attachments::store(unit, edit, new)?;
            }
            Write::SteerGiven { steer_id } => mark_steer(unit, edit, steer_id, true)?,
            Write::SteerReturned { steer_id } => mark_steer(unit, edit, steer_id, false)?,
            Write::SteerApplied { steer_id } => apply_steer(unit, edit, turn, steer_id, now)?,
            Write::Usage { usage, model } => {
                record_usage(unit, edit, turn, turn_row, usage, model, now)?;
            }
        }
    }
    Ok(())
}

fn record_usage(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: (Uuid, i64),
    turn_row: i64,
    usage: Usage,
    model: String,
    now: Time,
) -> Answer<()> {
    edit.session.usage += usage;
    unit.sql(
        "UPDATE turn SET input_tokens = input_tokens + ?2, output_tokens = output_tokens + ?3, \
         cache_read_tokens = cache_read_tokens + ?4, cache_write_tokens = cache_write_tokens + ?5, \
         cost_micros = cost_micros + ?6, model_calls = model_calls + ?7, \
         model = CASE ?8 WHEN '' THEN model ELSE ?8 END WHERE row = ?1",
    )?
    .execute(params![
        turn_row,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cost_micros,
        usage.model_calls,
        model,
    ])?;
    edit.event(
        unit,
        now,
        Some(turn),
        None,
        &Event::UsageRecorded { usage, model },
    )?;
    Ok(())
}

// === steers ===

/// Steers of the active turn that the agent has not got. What its sender may not send any more is not among them: it
/// becomes a turn at the active one's end, and ends there.
pub(super) fn pending_steers(unit: &Unit<'_>, fence: Fence) -> Answer<Vec<PendingSteer>> {
    let edit = SessionEdit::fenced(unit, fence)?;
    let mut pending = Vec::new();
    for steer in steers(unit, &edit)? {
        if !steer.given && steer.origin.sender.may_start(unit, &edit.session)? {
            pending.push(PendingSteer {
                steer_id: steer.steer_id,
                attachments: attachments::load(unit, edit.session.row, &steer.attachments)?,
                text: steer.text,
            });
        }
    }
    Ok(pending)
}

fn steers(unit: &Unit<'_>, edit: &SessionEdit) -> Answer<Vec<SteerRow>> {
    let mut statement = unit.sql(
        "SELECT row, steer_id, given, text, attachments, turn_timeout, request, sender, sender_key, \
         sender_operator, trace_context, sender_memory FROM steer WHERE session = ?1 ORDER BY row",
    )?;
    let mut found = statement.query([edit.session.row.0])?;
    let mut steers = Vec::new();
    while let Some(row) = found.next()? {
        steers.push(SteerRow {
            row: row.get(0)?,
            steer_id: row.get(1)?,
            given: row.get(2)?,
            text: row.get(3)?,
            attachments: rows::refs_of(&row.get::<_, String>(4)?)?,
            turn_timeout: Duration::from_micros(row.get::<_, i64>(5)?.unsigned_abs()),
            origin: Origin {
                request: row.get(6)?,
                sender: Sender {
                    subject: row.get(7)?,
                    key_id: row.get(8)?,
                    operator: row.get(9)?,
                    memory: row.get(11)?,
                },
                trace_context: row.get(10)?,
            },
        });
    }
    Ok(steers)
}

fn mark_steer(unit: &Unit<'_>, edit: &SessionEdit, steer_id: Uuid, given: bool) -> Answer<()> {
    let changed = unit
        .sql("UPDATE steer SET given = ?3 WHERE session = ?1 AND steer_id = ?2")?
        .execute((edit.session.row.0, steer_id, given))?;
    require_steer(changed == 1, steer_id)
}

fn apply_steer(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: (Uuid, i64),
    steer_id: Uuid,
    now: Time,
) -> Answer<()> {
    let steer = steers(unit, edit)?
        .into_iter()
        .find(|steer| steer.steer_id == steer_id);
    require_steer(steer.is_some(), steer_id)?;
    let SteerRow {
        row,
        text,
        attachments,
        origin,
        ..
    } = steer.expect("it was found above");
    unit.sql("DELETE FROM steer WHERE row = ?1")?
        .execute([row])?;
    if !origin.sender.memory {
        // From now on the turn does what somebody says who may not reach that memory.
        unit.sql("UPDATE turn SET sender_memory = 0 WHERE turn_id = ?1")?
            .execute([turn.0])?;
    }
    requests::release_steer(unit, origin.request, now)?;
    edit.event(
        unit,
        now,
        Some(turn),
        None,
        &Event::SteerApplied { steer_id },
    )?;
    write_user_message(unit, edit, turn, text, attachments, now)
}

fn require_steer(found: bool, steer_id: Uuid) -> Answer<()> {
    if found {
        Ok(())
    } else {
        Err(Fault::Broken(format!(
            "steer {steer_id} does not wait for this turn"
        )))
    }
}

/// Turns of the steers that a turn did not apply, decided before its end and stored after it.
struct Requeued {
    turns: Vec<(Turn, Origin)>,
    /// Why they are not to run, where the accepted stop says so.
    rejected: Option<Cause>,
}

/// Whether the agent ended without a word, or may have been ended so: then nobody knows what it did with a steer that it
/// was given. Otherwise the end itself says that it did not take it.
fn died(end: &TurnEnd) -> bool {
    match end {
        TurnEnd::Failed(
            Cause::AgentExited | Cause::StopUnproven | Cause::TurnTimeout | Cause::Draining,
            _,
        ) => true,
        TurnEnd::Failed(..) | TurnEnd::Completed(_) | TurnEnd::Stopped => false,
    }
}

/// Makes a turn of each steer that was not applied and writes `steer_requeued`, before their turn's end.
fn requeue_steers(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: &Turn,
    crashed: bool,
    now: Time,
) -> Answer<Requeued> {
    let rejected = if edit.session.state == SessionState::Deleting {
        Some(Cause::SessionDeleted)
    } else if edit.hidden.pending_reset {
        Some(Cause::SessionReset)
    } else if clears(unit, turn)? {
        Some(Cause::QueueCleared)
    } else {
        None
    };
    let mut turns = Vec::new();
    for steer in steers(unit, edit)? {
        let SteerRow {
            row,
            steer_id,
            given,
            text,
            attachments,
            turn_timeout,
            origin,
        } = steer;
        unit.sql("DELETE FROM steer WHERE row = ?1")?
            .execute([row])?;
        let new = NewTurn {
            turn_id: steer_id,
            text,
            attachments,
            source: String::new(),
            metadata: BTreeMap::new(),
            on_interrupt: None,
            turn_timeout,
            expire_time: None,
            origin,
        };
        let made = new.turn(edit, turn.generation, now);
        let mut shown = made.clone();
        if rejected.is_some() {
            shown.state = TurnState::Rejected;
        }
        let event = Event::SteerRequeued {
            steer_id,
            turn: Box::new(shown),
            possibly_applied: given && crashed,
        };
        edit.event(
            unit,
            now,
            Some((turn.turn_id, turn.generation)),
            None,
            &event,
        )?;
        turns.push((made, new.origin));
    }
    Ok(Requeued { turns, rejected })
}

/// Stores the turns that steers became: waiting ahead of all but those that go first, or rejected at once.
fn store_requeued(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    requeued: Requeued,
    now: Time,
) -> Answer<()> {
    let Requeued { turns, rejected } = requeued;
    for (nth, (mut turn, origin)) in (0i32..).zip(turns) {
        let queued_seq = edit.session.head + 1;
        let place = Place::BehindFirst(nth);
        let ahead = queue::insert(unit, edit, &mut turn, &origin, place, queued_seq)?;
        match rejected {
            Some(cause) => {
                queue::take(unit, edit, turn, cause, now)?;
            }
            None => {
                admission::announce(unit, edit, turn, ahead, now)?;
            }
        }
    }
    Ok(())
}

/// Whether the accepted stop takes unapplied steers too.
fn clears(unit: &Unit<'_>, turn: &Turn) -> Answer<bool> {
    let clears = unit
        .sql("SELECT cancel_clears FROM turn WHERE row = ?1")?
        .query_row([turn.row], |row| row.get(0))?;
    Ok(clears)
}

// === ending ===

/// Ends the active turn.
pub(super) fn end_turn(
    unit: &mut Unit<'_>,
    fence: Fence,
    writes: Vec<Write>,
    end: TurnEnd,
    response_text: String,
    now: Time,
) -> Answer<Ended> {
    let mut edit = SessionEdit::fenced(unit, fence)?;
    apply(unit, &mut edit, writes, now)?;
    let witness = Witness::Owner { response_text };
    let turn = finish(unit, &mut edit, end, witness, now)?;
    let session = edit.save(unit, now)?;
    Ok(Ended { turn, session })
}

/// Ends the active turn with all that goes with it.
pub(super) fn finish(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    end: TurnEnd,
    witness: Witness,
    now: Time,
) -> Answer<Turn> {
    let turn = edit
        .active(unit)?
        .ok_or_else(|| Fault::Broken("there is no active turn to end".into()))?;
    let about = (turn.turn_id, turn.generation);
    items::close_all(unit, edit, about, now)?;
    let (response_text, crashed) = match witness {
        Witness::Owner { response_text } => (response_text, died(&end)),
        Witness::Crash => (last_text(unit, edit, about)?, true),
    };
    let requeued = requeue_steers(unit, edit, &turn, crashed, now)?;
    let ending = Ending::of_active(&turn, end);
    edit.session.active_turn = None;
    edit.hidden.active_row = None;
    let turn = end_turn_row(unit, edit, turn, ending, response_text, now)?;
    store_requeued(unit, edit, requeued, now)?;
    if edit.hidden.pending_reset {
        control::complete_reset(unit, edit, now)?;
    }
    edit.settle_state(None);
    Ok(turn)
}

/// Puts the active turn back to the head of the queue, for another attempt after a crash.
pub(super) fn retry(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    mut turn: Turn,
    max_attempts: i32,
    now: Time,
) -> Answer<()> {
    let about = (turn.turn_id, turn.generation);
    items::close_all(unit, edit, about, now)?;
    let requeued = requeue_steers(unit, edit, &turn, true, now)?;
    edit.session.active_turn = None;
    edit.hidden.active_row = None;
    let (position, _) = queue::make_place(unit, edit, Place::First)?;
    turn.state = TurnState::Queued;
    let bytes: i64 = unit
        .sql(
            "UPDATE turn SET state = 1, position = ?2, goes_first = 1, expire_time = NULL WHERE row = ?1 \
             RETURNING bytes",
        )?
        .query_row((turn.row, position), |row| row.get(0))?;
    queue::entered(edit, turn.row, bytes);
    let event = Event::RetryScheduled {
        attempt: turn.attempt + 1,
        max_attempts,
        delay: Duration::ZERO,
        error_message: Cause::GatewayCrashed.sentence().to_owned(),
    };
    edit.event(unit, now, Some(about), None, &event)?;
    store_requeued(unit, edit, requeued, now)?;
    edit.settle_state(None);
    Ok(())
}

/// Writes a turn's terminal state and `turn_ended`, its last event.
pub(super) fn end_turn_row(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    mut turn: Turn,
    ending: Ending,
    response_text: String,
    now: Time,
) -> Answer<Turn> {
    let Ending {
        state,
        stop_reason,
        error,
    } = ending;
    turn.state = state;
    turn.stop_reason = stop_reason;
    turn.error = error;
    turn.end_time = Some(now);
    turn.response_text = response_text;
    turn.cancel = None;
    let about = (turn.turn_id, turn.generation);
    let event = Event::TurnEnded {
        turn: Box::new(turn),
    };
    let end_seq = edit.event(unit, now, Some(about), None, &event)?;
    let Event::TurnEnded { turn } = event else {
        unreachable!("the event was made above")
    };
    let request: Option<i64> = unit
        .sql(
            "UPDATE turn SET state = ?2, stop_reason = ?3, error_cause = ?4, error_message = ?5, end_time = ?6, \
             end_seq = ?7, response_text = ?8, cancel_cause = NULL, cancel_mode = NULL, cancel_kill_time = NULL \
             WHERE row = ?1 RETURNING request",
        )?
        .query_row(
            params![
                turn.row,
                turn.state as i64,
                turn.stop_reason.map(|reason| reason as i64),
                turn.error.as_ref().map(|error| error.cause.as_str()),
                turn.error.as_ref().map(|error| error.message.as_str()),
                now.0,
                end_seq,
                turn.response_text,
            ],
            |row| row.get(0),
        )?;
    requests::release(unit, request, now)?;
    edit.stored(storage::bytes(turn.response_text.len()));
    edit.note_ended(&turn);
    edit.session.last_active_time = now;
    Ok(*turn)
}

/// Text of the newest assistant message of the active turn, whose messages are the newest of all.
fn last_text(
    unit: &Unit<'_>,
    edit: &SessionEdit,
    (turn_id, generation): (Uuid, i64),
) -> Answer<String> {
    let mut statement = unit.sql(&format!(
        "SELECT {} FROM message WHERE session = ?1 AND generation = ?2 ORDER BY row DESC",
        rows::MESSAGE
    ))?;
    let mut found = statement.query((edit.session.row.0, generation))?;
    while let Some(row) = found.next()? {
        let (message, _) = rows::message(row)?;
        if message.turn_id != turn_id {
            break;
        }
        if message.role == Role::Assistant {
            return Ok(message
                .parts
                .into_iter()
                .filter_map(|part| match part {
                    Part::Text { text, .. } => Some(text),
                    Part::Thinking { .. } | Part::ToolCall { .. } | Part::Attachment(_) => None,
                })
                .collect());
        }
    }
    Ok(String::new())
}
