//! The waiting turns of a session: their order, what changes it, and how they leave without having run.

use super::{
    access::{Need, Sender},
    edit::{self, SessionEdit},
    fault::{Answer, Fault},
    requests::{self, Done, Keep, WhenGone, once, require_generation},
    rows, storage,
    turns::{self, Ending},
    writer::Unit,
};
use crate::{
    domain::{
        Event, Refusal,
        ids::{SessionRow, Time},
        refusal::LimitOf,
        session::Session,
        turn::{AttachmentRef, Cause, OnInterrupt, Turn, TurnState, Usage},
    },
    store::{Caller, Committed, UpdateQueued},
};
use rusqlite::params;
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// Turns that one call of `expire_queued` ends.
const EXPIRE_MAX_TURNS: i64 = 256;

/// Where a turn goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind all others.
    Last,
    /// Before all others: INTERRUPT and RETRY.
    First,
    /// Behind those that go first, before the others: requeued steers, in this order.
    BehindFirst(i32),
}

/// A turn that is made.
pub(super) struct NewTurn {
    /// Its id.
    pub(super) turn_id: Uuid,
    /// The prompt.
    pub(super) text: String,
    /// What goes with it; the bytes are stored already.
    pub(super) attachments: Vec<AttachmentRef>,
    /// Where it came from.
    pub(super) source: String,
    /// Caller's own facts.
    pub(super) metadata: BTreeMap<String, String>,
    /// What a crash does to it.
    pub(super) on_interrupt: Option<OnInterrupt>,
    /// How long it may run.
    pub(super) turn_timeout: Duration,
    /// When it expires.
    pub(super) expire_time: Option<Time>,
    /// Who sent it.
    pub(super) origin: Origin,
}

/// Who sent a turn, and by which request.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The sender.
    pub(super) sender: Sender,
    /// The request that admitted it.
    pub(super) request: Option<i64>,
    /// Where it stands in its caller's trace.
    pub(super) trace_context: String,
}

/// A waiting turn's place.
struct Waiting {
    row: i64,
    position: i64,
    goes_first: bool,
}

// === adding ===

impl NewTurn {
    /// The turn, not stored yet.
    pub(super) fn turn(&self, edit: &SessionEdit, generation: i64, now: Time) -> Turn {
        Turn {
            row: 0,
            turn_id: self.turn_id,
            session_key: edit.session.key.clone(),
            generation,
            state: TurnState::Queued,
            text: self.text.clone(),
            response_text: String::new(),
            stop_reason: None,
            error: None,
            attempt: 0,
            agent: edit.admission_agent().to_owned(),
            model: edit.session.model.clone(),
            usage: Usage::default(),
            create_time: now,
            start_time: None,
            end_time: None,
            source: self.source.clone(),
            metadata: self.metadata.clone(),
            attachments: self.attachments.clone(),
            on_interrupt: self.on_interrupt,
            turn_timeout: self.turn_timeout,
            expire_time: self.expire_time,
            cancel: None,
            trace_context: self.origin.trace_context.clone(),
        }
    }
}

/// Inserts a turn's row as waiting; its first event is the next one or `queued_seq`.
pub(super) fn insert(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: &mut Turn,
    origin: &Origin,
    place: Place,
    queued_seq: i64,
) -> Answer<i32> {
    let Origin {
        sender,
        request,
        trace_context,
    } = origin;
    let (position, ahead) = make_place(unit, edit, place)?;
    let bytes = bytes_of(&turn.text, &turn.attachments);
    unit.sql(
        "INSERT INTO turn (session, turn_id, generation, state, position, goes_first, queued_seq, bytes, request, \
         attempt, agent, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_micros, \
         model_calls, create_time, source, metadata, attachments, on_interrupt, turn_timeout, expire_time, \
         cancel_clears, text, response_text, sender, sender_key, sender_operator, trace_context, sender_memory) \
         VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, 0, 0, 0, 0, 0, 0, ?11, ?12, ?13, ?14, ?15, ?16, \
         ?17, 0, ?18, '', ?19, ?20, ?21, ?22, ?23)",
    )?
    .execute(params![
        edit.session.row.0,
        turn.turn_id,
        turn.generation,
        position,
        place == Place::First,
        queued_seq,
        bytes,
        request,
        turn.agent,
        turn.model,
        turn.create_time.0,
        turn.source,
        rows::map_text(&turn.metadata),
        rows::refs_text(&turn.attachments),
        turn.on_interrupt.map(|o| o as i64),
        rows::micros(turn.turn_timeout),
        turn.expire_time.map(|t| t.0),
        turn.text,
        sender.subject,
        sender.key_id,
        sender.operator,
        trace_context,
        sender.memory,
    ])?;
    turn.row = unit.connection.last_insert_rowid();
    edit.stored(storage::bytes(turn.text.len()));
    entered(edit, turn.row, bytes);
    Ok(ahead)
}

/// Counts a turn that began to wait.
pub(super) fn entered(edit: &mut SessionEdit, row: i64, bytes: i64) {
    if edit.session.queue_depth == 0 {
        edit.hidden.wake = Some(row);
    } else if edit.hidden.wake.is_none_or(|wake| row < wake) {
        edit.wake_stale = true;
    }
    edit.session.queue_depth += 1;
    edit.session.queue_bytes += bytes;
}

/// Counts a turn that waits no longer.
pub(super) fn left(unit: &Unit<'_>, edit: &mut SessionEdit, row: i64) -> Answer<()> {
    let bytes: i64 = unit
        .sql("SELECT bytes FROM turn WHERE row = ?1")?
        .query_row([row], |row| row.get(0))?;
    edit.session.queue_depth -= 1;
    edit.session.queue_bytes -= bytes;
    edit.wake_stale = true;
    Ok(())
}

/// Refuses where so many more bytes may not wait: in the session, of its owner, in its tenant.
pub(super) fn require_bytes(unit: &Unit<'_>, session: &Session, more: i64) -> Answer<()> {
    let quotas = unit.rules.quotas.get();
    let (owner, tenant) = unit.held(&session.tenant, &session.owner);
    let places = [
        (
            LimitOf::Session,
            quotas.queue_limit_bytes,
            session.queue_bytes,
        ),
        (
            LimitOf::Principal,
            quotas.principal.max_queue_bytes,
            owner.queue_bytes,
        ),
        (
            LimitOf::Tenant,
            quotas.tenant.max_queue_bytes,
            tenant.queue_bytes,
        ),
    ];
    for (of, limit, current) in places {
        if current.saturating_add(more) > limit {
            return Err(Refusal::QueueFull {
                of,
                unit: "bytes",
                limit,
                current,
            }
            .into());
        }
    }
    Ok(())
}

/// Bytes of a turn that count against the queue.
pub(super) fn bytes_of(text: &str, attachments: &[AttachmentRef]) -> i64 {
    let text = i64::try_from(text.len()).expect("a text fits into memory");
    attachments.iter().fold(text, |sum, a| sum + a.size)
}

/// A free position at a place, and how many turns wait ahead of it.
pub(super) fn make_place(unit: &Unit<'_>, edit: &SessionEdit, place: Place) -> Answer<(i64, i32)> {
    let depth = i32::try_from(edit.session.queue_depth).unwrap_or(i32::MAX);
    if depth == 0 {
        return Ok((0, 0));
    }
    let session = edit.session.row;
    match place {
        Place::Last => {
            let last: Option<i64> = unit
                .sql("SELECT max(position) FROM turn WHERE session = ?1 AND state = 1")?
                .query_row([session.0], |row| row.get(0))?;
            Ok((last.map_or(0, |last| last + 1), depth))
        }
        Place::First => {
            let first: Option<i64> = unit
                .sql("SELECT min(position) FROM turn WHERE session = ?1 AND state = 1")?
                .query_row([session.0], |row| row.get(0))?;
            Ok((first.map_or(0, |first| first - 1), 0))
        }
        Place::BehindFirst(nth) => {
            let waiting = waiting(unit, session)?;
            let leading = waiting.iter().take_while(|w| w.goes_first).count();
            let index = leading + usize::try_from(nth).unwrap_or(0);
            open_gap(unit, session, &waiting, index)
        }
    }
}

/// Makes room before the `index`th waiting turn.
fn open_gap(
    unit: &Unit<'_>,
    session: SessionRow,
    waiting: &[Waiting],
    index: usize,
) -> Answer<(i64, i32)> {
    let ahead = i32::try_from(index.min(waiting.len())).unwrap_or(i32::MAX);
    let position = match waiting.get(index) {
        Some(next) => {
            unit.sql(
                "UPDATE turn SET position = position + 1 WHERE session = ?1 AND state = 1 AND position >= ?2",
            )?
            .execute((session.0, next.position))?;
            next.position
        }
        None => waiting.last().map_or(0, |last| last.position + 1),
    };
    Ok((position, ahead))
}

fn waiting(unit: &Unit<'_>, session: SessionRow) -> Answer<Vec<Waiting>> {
    let mut statement = unit.sql(
        "SELECT row, position, goes_first FROM turn WHERE session = ?1 AND state = 1 ORDER BY position",
    )?;
    let waiting = statement
        .query_map([session.0], |row| {
            Ok(Waiting {
                row: row.get(0)?,
                position: row.get(1)?,
                goes_first: row.get(2)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(waiting)
}

// === taking ===

/// Every waiting turn, in order.
pub(super) fn waiting_turns(unit: &Unit<'_>, edit: &SessionEdit) -> Answer<Vec<Turn>> {
    if edit.session.queue_depth == 0 {
        return Ok(Vec::new());
    }
    let mut statement = unit.sql(&format!(
        "SELECT {} FROM turn WHERE turn.session = ?1 AND turn.state = 1 ORDER BY turn.position",
        rows::TURN
    ))?;
    let mut found = statement.query([edit.session.row.0])?;
    let mut turns = Vec::new();
    while let Some(row) = found.next()? {
        turns.push(rows::turn(row, &edit.session.key)?);
    }
    Ok(turns)
}

/// The waiting turn that is next, and who sent it.
pub(super) fn next_turn(unit: &Unit<'_>, edit: &SessionEdit) -> Answer<Option<(Turn, Sender)>> {
    let mut statement = unit.sql(&format!(
        "SELECT {}, turn.sender, turn.sender_key, turn.sender_operator, turn.sender_memory FROM turn \
         WHERE turn.session = ?1 AND turn.state = 1 ORDER BY turn.position LIMIT 1",
        rows::TURN
    ))?;
    let sender_column = statement.column_count() - 4;
    let mut found = statement.query([edit.session.row.0])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let sender = Sender {
        subject: row.get(sender_column)?,
        key_id: row.get(sender_column + 1)?,
        operator: row.get(sender_column + 2)?,
        memory: row.get(sender_column + 3)?,
    };
    Ok(Some((rows::turn(row, &edit.session.key)?, sender)))
}

/// Takes one waiting turn.
pub(super) fn take(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: Turn,
    cause: Cause,
    now: Time,
) -> Answer<Turn> {
    left(unit, edit, turn.row)?;
    let ending = Ending::of_cause(cause, turn.attempt > 0, cause.sentence().to_owned());
    turns::end_turn_row(unit, edit, turn, ending, String::new(), now)
}

/// Takes all waiting turns.
pub(super) fn take_all(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    cause: Cause,
    now: Time,
) -> Answer<Vec<Turn>> {
    waiting_turns(unit, edit)?
        .into_iter()
        .map(|turn| take(unit, edit, turn, cause, now))
        .collect()
}

// === commands ===

/// UpdateQueued.
pub(super) fn update(unit: &mut Unit<'_>, command: UpdateQueued) -> Answer<Committed> {
    let UpdateQueued {
        caller,
        turn_id,
        text,
        position,
    } = command;
    once(
        unit,
        &caller,
        Need::Write,
        WhenGone::Refuse,
        |unit, _, found| {
            let mut edit = requests::usable(unit, &caller, found)?;
            require_generation(&caller, edit.session.generation)?;
            let mut turn = require_waiting(unit, &edit, turn_id)?;
            let more = text.as_ref().map_or(0, |text| storage::bytes(text.len()));
            storage::require(unit, &edit.session, more)?;
            if let Some(text) = text {
                let sender = Sender::of(&caller.identity, &edit.session);
                change_text(unit, &mut edit, &mut turn, text, &sender)?;
            }
            if let Some(position) = position {
                move_to(unit, &edit, turn.row, position)?;
            }
            let ahead = place_of(unit, &edit, turn.row)?;
            edit.event(
                unit,
                caller.now,
                Some((turn.turn_id, turn.generation)),
                None,
                &Event::TurnUpdated {
                    turn: Box::new(turn.clone()),
                    queue_position: ahead,
                },
            )?;
            let session = edit.save(unit, caller.now)?;
            let mut done = Done::session(session).with_turn(Some(turn));
            done.receipt.queue_position = ahead;
            Ok(done)
        },
    )
}

/// RemoveQueued.
pub(super) fn remove(unit: &mut Unit<'_>, caller: Caller, turn_id: Uuid) -> Answer<Committed> {
    once(
        unit,
        &caller,
        Need::Write,
        WhenGone::Refuse,
        |unit, _, found| {
            let mut edit = requests::usable(unit, &caller, found)?;
            require_generation(&caller, edit.session.generation)?;
            let turn = require_waiting(unit, &edit, turn_id)?;
            let turn = take(unit, &mut edit, turn, Cause::Removed, caller.now)?;
            let session = edit.save(unit, caller.now)?;
            Ok(Done::session(session)
                .with_turn(Some(turn.clone()))
                .with_cleared(vec![turn]))
        },
    )
}

/// ClearQueue.
pub(super) fn clear(unit: &mut Unit<'_>, caller: Caller) -> Answer<Committed> {
    once(
        unit,
        &caller,
        Need::Write,
        WhenGone::Refuse,
        |unit, _, found| {
            let mut edit = requests::usable(unit, &caller, found)?;
            require_generation(&caller, edit.session.generation)?;
            let cleared = take_all(unit, &mut edit, Cause::QueueCleared, caller.now)?;
            let session = edit.save(unit, caller.now)?;
            Ok(Done::session(session).with_cleared(cleared))
        },
    )
}

/// Ends waiting turns whose `queue_ttl` is over; returns how many.
pub(super) fn expire(unit: &mut Unit<'_>, now: Time) -> Answer<u64> {
    let expired: Vec<(i64, i64)> = unit
        .sql(
            "SELECT session, row FROM turn WHERE state = 1 AND expire_time IS NOT NULL AND expire_time <= ?1 \
             AND create_time >= ?3 ORDER BY expire_time LIMIT ?2",
        )?
        .query_map((now.0, EXPIRE_MAX_TURNS, unit.oldest_that_expires().0), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut by_session: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (session, row) in expired {
        by_session.entry(session).or_default().push(row);
    }
    let mut count = 0;
    for (session, turn_rows) in by_session {
        let mut edit = SessionEdit::of_row(unit, SessionRow(session))?
            .ok_or_else(|| Fault::Broken(format!("turns wait in no session {session}")))?;
        for row in turn_rows {
            let turn = edit::turn_of_row(unit.connection, &edit.session.key, row)?
                .ok_or_else(|| Fault::Broken(format!("turn {row} is in an index only")))?;
            take(unit, &mut edit, turn, Cause::QueueTtl, now)?;
            count += 1;
        }
        edit.save(unit, now)?;
    }
    Ok(count)
}

/// A turn that must wait.
fn require_waiting(unit: &Unit<'_>, edit: &SessionEdit, turn_id: Uuid) -> Answer<Turn> {
    let id = || turn_id.to_string();
    match edit::turn_of_id(unit.connection, &edit.session, turn_id)? {
        Some(turn) if turn.state == TurnState::Queued => Ok(turn),
        Some(_) => Err(Refusal::TurnNotQueued { turn_id: id() }.into()),
        None => Err(Refusal::TurnNotFound { turn_id: id() }.into()),
    }
}

/// Puts another text in a turn's place; who wrote it is its sender from now on.
fn change_text(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: &mut Turn,
    text: String,
    sender: &Sender,
) -> Answer<()> {
    if turn.attempt > 0 {
        // Its message is a part of the conversation since its first start.
        return Err(
            Refusal::field("text", "the turn was started before; its text can't change").into(),
        );
    }
    let before = bytes_of(&turn.text, &turn.attachments);
    let after = bytes_of(&text, &turn.attachments);
    if after > before {
        require_bytes(unit, &edit.session, after - before)?;
    }
    edit.session.queue_bytes += after - before;
    edit.stored(after - before);
    turn.text = text;
    unit.sql(
        "UPDATE turn SET text = ?2, bytes = ?3, sender = ?4, sender_key = ?5, sender_operator = ?6, \
         sender_memory = ?7 WHERE row = ?1",
    )?
    .execute(params![
        turn.row,
        turn.text,
        after,
        sender.subject,
        sender.key_id,
        sender.operator,
        sender.memory,
    ])?;
    Ok(())
}

fn move_to(unit: &Unit<'_>, edit: &SessionEdit, row: i64, position: i32) -> Answer<()> {
    let mut others = waiting(unit, edit.session.row)?;
    others.retain(|w| w.row != row);
    let index = usize::try_from(position).unwrap_or(0);
    let (position, _) = open_gap(unit, edit.session.row, &others, index)?;
    unit.sql("UPDATE turn SET position = ?2 WHERE row = ?1")?
        .execute((row, position))?;
    Ok(())
}

fn place_of(unit: &Unit<'_>, edit: &SessionEdit, row: i64) -> Answer<i32> {
    let waiting = waiting(unit, edit.session.row)?;
    let index = waiting.iter().position(|w| w.row == row);
    let index = index.ok_or_else(|| Fault::Broken("a waiting turn is not in its queue".into()))?;
    Ok(i32::try_from(index).unwrap_or(i32::MAX))
}

/// Marks a done as one whose request lives as long as what it admitted.
pub(super) fn admitted(mut done: Done) -> Done {
    done.keep = Keep::Admitted;
    done
}
