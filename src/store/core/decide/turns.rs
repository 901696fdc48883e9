//! A turn's life under its owner: started, written, ended. Every call checks the fence.

use super::{
    super::{
        draft::{Draft, NewMessage, Place, length},
        facts::{Context, Decision, Facts, Stop, Want},
        ownership::{Fence, TurnEnd, Write},
        snapshot::{ActiveTurn, Origin, Snapshot, WaitingSteer, WaitingTurn},
        write_set::{SessionWrite, TurnEndRow, TurnExtras, TurnWrite},
    },
    admission::{self, NewTurn},
    budgets, choices, control, items, questions, queue,
    recovery::{self, Verdict},
    routing,
};
use crate::domain::{
    Event,
    budget::{Exceeded, Grant, OnExceeded, day_of},
    event::Role,
    ids::Time,
    limits::{ERROR_MESSAGE_MAX_BYTES, TURN_TIMEOUT_MAX, cut},
    message::Part,
    question::Resolution,
    refusal::Refusal,
    session::SessionState,
    turn::{AttachmentRef, Cause, StopReason, Turn, TurnError, TurnState},
};
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

/// What a turn leaves.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Its final text.
    pub(super) response_text: String,
    /// Questions whose answers its agent did not get.
    pub(super) undelivered: Vec<Uuid>,
}

/// Who saw a turn end.
pub(super) enum Witness<'a> {
    /// Its owner, who knows the final text.
    Owner {
        /// Final assistant text of the turn.
        response_text: &'a str,
    },
    /// Nobody: the process died under it.
    Crash,
}

/// What a try to start the next turn came to.
#[derive(Debug)]
pub(crate) struct Next {
    /// The turn that is started, and user messages of its generation before its own.
    pub(crate) started: Option<(Turn, i64)>,
    /// What is written.
    pub(crate) write: SessionWrite,
    /// Bytes of new work that were let in.
    pub(crate) new_work_bytes: Option<usize>,
}

/// The session of a fence, if nobody has taken it since.
pub(crate) fn fenced(found: Option<&Snapshot>, fence: Fence) -> Decision<Draft> {
    match found {
        Some(snapshot) if snapshot.session.epoch == fence.epoch => Ok(Draft::of(snapshot)),
        Some(_) | None => Err(Refusal::Fenced.into()),
    }
}

// === starting ===

/// Starts the next waiting turn; those that may not start end.
pub(crate) fn start_next(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    fence: Fence,
    now: Time,
) -> Decision<Option<Next>> {
    let mut draft = fenced(found, fence)?;
    let may_start = draft.session.active_turn.is_none()
        && !draft.hidden.pending_reset
        && draft.session.state != SessionState::Deleting
        && draft.session.queue_depth > 0;
    if !may_start {
        return Ok(None);
    }
    while let Some(next) = draft.waiting().first() {
        let next = Arc::clone(next);
        let WaitingTurn { turn, origin, .. } = &*next;
        let expires = turn.create_time >= ctx.oldest_that_expires;
        if expires && turn.expire_time.is_some_and(|expire| expire <= now) {
            queue::take(&mut draft, turn.turn_id, Cause::QueueTtl, now)?;
        } else if !origin.sender.may_start(facts, &draft.session)? {
            queue::take(&mut draft, turn.turn_id, Cause::PermissionRevoked, now)?;
        } else {
            match budgets::exceeded(facts, &draft, origin, now)? {
                None => return start(ctx, facts, draft, turn.turn_id, now).map(Some),
                Some(Exceeded {
                    action: OnExceeded::Pause,
                    ..
                }) => {
                    draft.session.budget_wait = Some(day_of(now));
                    break;
                }
                Some(Exceeded {
                    message,
                    action: OnExceeded::Reject,
                    ..
                }) => {
                    let cause = Cause::BudgetExceeded;
                    queue::take_for(&mut draft, turn.turn_id, cause, &message, now)?;
                }
            }
        }
    }
    Ok(Some(Next {
        started: None,
        write: draft.finish(now),
        new_work_bytes: None,
    }))
}

fn start(
    ctx: &Context<'_>,
    facts: &Facts,
    mut draft: Draft,
    turn_id: Uuid,
    now: Time,
) -> Decision<Next> {
    let waiting = draft.leave(turn_id)?;
    if waiting.text_left {
        return Err(Stop::Wants(Want::Texts(Some(turn_id))));
    }
    let WaitingTurn {
        mut turn,
        bytes,
        origin,
        ..
    } = waiting;
    // It waits on where there is none: what it writes is new work as well, its prompt twice and what its agent says to it.
    let new_work_bytes = 2 * turn.text.len() + START_BYTES;
    ctx.require_room(new_work_bytes)?;
    turn.state = TurnState::Running;
    turn.attempt += 1;
    turn.start_time = Some(now);
    turn.agent.clone_from(&draft.session.agent);
    routing::of_start(ctx, facts, &draft, &mut turn, &origin)?;
    let rule = ctx.rules.agents.get(&turn.agent);
    turn.agent_revision = rule.map_or_else(String::new, |rule| rule.known.get().revision.clone());
    draft.write_turn(TurnWrite::Start {
        row: turn.row,
        attempt: turn.attempt,
        time: now,
        agent: turn.agent.clone(),
        agent_revision: turn.agent_revision.clone(),
        model: turn.model.clone(),
        thinking_level: turn.thinking_level.clone(),
        routing: Arc::clone(&turn.routing),
    });
    draft.session.last_active_time = now;
    draft.activate(ActiveTurn {
        turn: turn.clone(),
        clears: false,
        bytes,
        origin,
        grant: Grant::default(),
    });
    let about = (turn.turn_id, turn.generation);
    let started = Event::TurnStarted {
        turn: Box::new(turn),
    };
    draft.event(now, Some(about), None, &started);
    let Event::TurnStarted { turn } = started else {
        unreachable!("the event was made above")
    };
    routing::note(&mut draft, &turn, now);
    let user_messages_before = if turn.attempt == 1 {
        let before = draft.session.user_message_count;
        let attachments = turn.attachments.clone();
        write_user_message(ctx, &mut draft, about, turn.text.clone(), attachments, now);
        before
    } else {
        // The user's message stands since the first start.
        let want = Stop::Wants(Want::UserMessagesBefore(turn.turn_id));
        facts.user_messages_before.ok_or(want)?
    };
    Ok(Next {
        started: Some((*turn, user_messages_before)),
        write: draft.finish(now),
        new_work_bytes: Some(new_work_bytes),
    })
}

fn write_user_message(
    ctx: &Context<'_>,
    draft: &mut Draft,
    turn: (Uuid, i64),
    text: String,
    attachments: Vec<AttachmentRef>,
    now: Time,
) {
    let item_id = ctx.ids.ordered();
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
    draft.event(now, Some(turn), Some(item_id), &event);
    let message = NewMessage {
        item_id,
        turn_id: turn.0,
        role: Role::User,
        parts,
        partial: false,
        continued: false,
    };
    draft.message(now, turn.1, message);
}

// === writing ===

/// Writes what the active turn's agent did.
pub(crate) fn append(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    fence: Fence,
    writes: &[Write],
    now: Time,
) -> Decision<SessionWrite> {
    let mut draft = fenced(found, fence)?;
    budgets::look_up(facts, &draft, writes)?;
    apply(ctx, facts, &mut draft, writes, now)?;
    Ok(draft.finish(now))
}

fn apply(
    ctx: &Context<'_>,
    facts: &Facts,
    draft: &mut Draft,
    writes: &[Write],
    now: Time,
) -> Decision<()> {
    if writes.is_empty() {
        return Ok(());
    }
    let Some(turn_id) = draft.session.active_turn else {
        return Err(Stop::Broken(
            "an owner writes without an active turn".into(),
        ));
    };
    // A turn that is active is of the present generation: a Reset waits for its end.
    let turn = (turn_id, draft.session.generation);
    for write in writes {
        match write {
            Write::Event { item_id, event } => {
                items::follow(draft, *item_id, event)?;
                draft.event(now, Some(turn), *item_id, event);
            }
            Write::Message {
                item_id,
                role,
                parts,
                partial,
                continued,
            } => {
                let message = NewMessage {
                    item_id: *item_id,
                    turn_id,
                    role: *role,
                    parts: parts.clone(),
                    partial: *partial,
                    continued: *continued,
                };
                draft.message(now, turn.1, message);
            }
            Write::Checkpoint {
                item_id,
                block,
                content_index,
                text,
            } => draft.put_block(*item_id, *block, *content_index, text.clone(), false),
            Write::Attachments(new) => {
                admission::keep(facts, draft, new)?;
            }
            Write::SteerGiven { steer_id } => draft.mark_steer(*steer_id, true)?,
            Write::SteerReturned { steer_id } => draft.mark_steer(*steer_id, false)?,
            Write::SteerApplied { steer_id } => apply_steer(ctx, draft, turn, *steer_id, now)?,
            Write::Asked { question_id, ask } => {
                questions::ask(ctx, draft, turn, (*question_id, ask), now)?;
            }
            Write::AskWithdrawn { question_id } => {
                questions::withdraw(draft, turn, *question_id, now)?;
            }
            Write::AskExpired { question_id } => {
                questions::expire(draft, turn, *question_id, now)?;
            }
            Write::AnswerDelivered { question_id } => {
                questions::delivered(draft, turn, *question_id, now);
            }
            Write::Output { output_json } => draft.change_active(|active| {
                active.turn.output_json.clone_from(output_json);
            }),
            Write::Offered { offers } => choices::offered(ctx, draft, turn, offers, now),
            Write::Usage(report) => budgets::record(ctx, facts, draft, turn, report, now)?,
        }
    }
    Ok(())
}

// === steers ===

/// Steers of the active turn that the agent has not got. What its sender may not send any more is not among them: it
/// becomes a turn at the active one's end, and ends there.
pub(crate) fn pending_steers(
    facts: &Facts,
    found: Option<&Snapshot>,
    fence: Fence,
) -> Decision<Vec<Arc<WaitingSteer>>> {
    let draft = fenced(found, fence)?;
    let mut pending = Vec::new();
    for steer in draft.steers() {
        if !steer.given && steer.origin.sender.may_start(facts, &draft.session)? {
            pending.push(Arc::clone(steer));
        }
    }
    Ok(pending)
}

fn apply_steer(
    ctx: &Context<'_>,
    draft: &mut Draft,
    turn: (Uuid, i64),
    steer_id: Uuid,
    now: Time,
) -> Decision<()> {
    let WaitingSteer {
        text,
        attachments,
        origin,
        ..
    } = draft.take_steer(steer_id)?;
    if let Some(active) = draft.active()
        && !origin.sender.memory
    {
        // From now on the turn does what somebody says who may not reach that memory.
        let row = active.turn.row;
        draft.change_active(|active| active.origin.sender.memory = false);
        draft.write_turn(TurnWrite::NoMemory { row });
    }
    // Kept beyond the latest possible end of its turn.
    let latest = now.plus_micros(super::super::draft::micros(TURN_TIMEOUT_MAX));
    draft.release(origin.request, latest);
    draft.event(now, Some(turn), None, &Event::SteerApplied { steer_id });
    write_user_message(ctx, draft, turn, text, attachments, now);
    Ok(())
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
            Cause::AgentExited
            | Cause::StopUnproven
            | Cause::TurnTimeout
            | Cause::Draining
            | Cause::LeaseLost
            | Cause::MaxAttempts,
            _,
        ) => true,
        TurnEnd::Lost { .. } => true,
        TurnEnd::Failed(..) | TurnEnd::Completed(_) | TurnEnd::Stopped => false,
    }
}

/// Makes a turn of each steer that was not applied and writes `steer_requeued`, before their turn's end.
fn requeue_steers(
    ctx: &Context<'_>,
    draft: &mut Draft,
    active: &ActiveTurn,
    crashed: bool,
    now: Time,
) -> Decision<Requeued> {
    let rejected = if draft.session.state == SessionState::Deleting {
        Some(Cause::SessionDeleted)
    } else if draft.hidden.pending_reset {
        Some(Cause::SessionReset)
    } else if active.clears {
        Some(Cause::QueueCleared)
    } else {
        None
    };
    let mut turns = Vec::new();
    let ids: Vec<Uuid> = draft.steers().iter().map(|steer| steer.steer_id).collect();
    for steer_id in ids {
        let WaitingSteer {
            steer_id,
            given,
            text,
            attachments,
            turn_timeout,
            time: _,
            origin,
        } = draft.take_steer(steer_id)?;
        let new = NewTurn {
            turn_id: steer_id,
            text,
            attachments,
            source: String::new(),
            metadata: BTreeMap::new(),
            on_interrupt: None,
            turn_timeout,
            expire_time: None,
            trace_context: origin.trace_context.clone(),
            command: String::new(),
            not_before: None,
            extras: TurnExtras::default(),
        };
        let about = (&origin.sender, active.turn.generation);
        let (made, _) = new.turn(ctx, draft, about, now);
        let mut shown = made.clone();
        if rejected.is_some() {
            shown.state = TurnState::Rejected;
        }
        let event = Event::SteerRequeued {
            steer_id,
            turn: Box::new(shown),
            possibly_applied: given && crashed,
        };
        let about = (active.turn.turn_id, active.turn.generation);
        draft.event(now, Some(about), None, &event);
        turns.push((made, origin));
    }
    Ok(Requeued { turns, rejected })
}

/// Stores the turns that steers became: waiting ahead of all but those that go first, or rejected at once.
fn store_requeued(draft: &mut Draft, requeued: Requeued, now: Time) -> Decision<()> {
    let Requeued { turns, rejected } = requeued;
    for (nth, (turn, origin)) in turns.into_iter().enumerate() {
        let place = Place::BehindFirst(nth);
        let turn_id = turn.turn_id;
        let new = (turn.clone(), TurnExtras::default());
        let ahead = admission::enter(draft, new, origin, place);
        match rejected {
            Some(cause) => {
                queue::take(draft, turn_id, cause, now)?;
            }
            None => {
                admission::announce(draft, turn, ahead, now);
            }
        }
    }
    Ok(())
}

// === ending ===

/// Ends the active turn.
pub(crate) fn end_turn(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    fence: Fence,
    (writes, end, response_text): (&[Write], &TurnEnd, &str),
    now: Time,
) -> Decision<(Turn, SessionWrite)> {
    let mut draft = fenced(found, fence)?;
    budgets::look_up(facts, &draft, writes)?;
    apply(ctx, facts, &mut draft, writes, now)?;
    let lost;
    let end = match end {
        TurnEnd::Lost { message, tool_ran } => {
            let active = draft.active().map(|active| active.turn.clone());
            let active = active.ok_or_else(|| Stop::Broken("no turn was lost".into()))?;
            match recovery::verdict(ctx, &draft, &active, Cause::LeaseLost, *tool_ran) {
                Verdict::Retry { max_attempts } => {
                    retry(ctx, &mut draft, max_attempts, Cause::LeaseLost, now)?;
                    return Ok((active, draft.finish(now)));
                }
                Verdict::End(TurnEnd::Failed(Cause::LeaseLost, _)) => {
                    lost = TurnEnd::Failed(Cause::LeaseLost, message.clone());
                    &lost
                }
                Verdict::End(other) => {
                    lost = other;
                    &lost
                }
            }
        }
        TurnEnd::Completed(_) | TurnEnd::Failed(..) | TurnEnd::Stopped => end,
    };
    let witness = Witness::Owner { response_text };
    let turn = finish(ctx, facts, &mut draft, end, witness, now)?;
    Ok((turn, draft.finish(now)))
}

/// Ends the active turn with all that goes with it.
pub(super) fn finish(
    ctx: &Context<'_>,
    facts: &Facts,
    draft: &mut Draft,
    end: &TurnEnd,
    witness: Witness<'_>,
    now: Time,
) -> Decision<Turn> {
    let active = draft.deactivate()?;
    let about = (active.turn.turn_id, active.turn.generation);
    let ending = Ending::of_active(&active.turn, end);
    let closed = items::close_all(draft, about, now)?;
    let cause = match &witness {
        Witness::Owner { .. } => ending.error.as_ref().map(|error| error.cause),
        Witness::Crash => Some(Cause::GatewayCrashed),
    };
    let undelivered = questions::end_all(draft, about, questions::resolution_of(cause), now)?;
    let (response_text, crashed) = match witness {
        Witness::Owner { response_text } => (response_text.to_owned(), died(end)),
        Witness::Crash => {
            let want = Stop::Wants(Want::LastText);
            let text = closed.or_else(|| facts.last_text.clone()).ok_or(want)?;
            (text, true)
        }
    };
    let requeued = requeue_steers(ctx, draft, &active, crashed, now)?;
    let ActiveTurn { turn, origin, .. } = active;
    let left = Left {
        response_text,
        undelivered,
    };
    let turn = self::end(draft, turn, origin.request, ending, left, now);
    store_requeued(draft, requeued, now)?;
    if draft.hidden.pending_reset {
        control::complete_reset(ctx, draft, now);
    }
    draft.settle_state();
    Ok(turn)
}

/// Puts the active turn back to the head of the queue, for another attempt after a crash.
pub(super) fn retry(
    ctx: &Context<'_>,
    draft: &mut Draft,
    max_attempts: i32,
    cause: Cause,
    now: Time,
) -> Decision<()> {
    let mut active = draft.deactivate()?;
    let about = (active.turn.turn_id, active.turn.generation);
    items::close_all(draft, about, now)?;
    questions::end_all(draft, about, Resolution::GatewayCrashed, now)?;
    let requeued = requeue_steers(ctx, draft, &active, true, now)?;
    active.turn.state = TurnState::Queued;
    active.turn.expire_time = None;
    let attempt = active.turn.attempt + 1;
    draft.enter_again(active);
    let event = Event::RetryScheduled {
        attempt,
        max_attempts,
        delay: Duration::ZERO,
        error_message: cause.sentence().to_owned(),
    };
    draft.event(now, Some(about), None, &event);
    store_requeued(draft, requeued, now)?;
    draft.settle_state();
    Ok(())
}

/// Writes a turn's terminal state and `turn_ended`, its last event.
pub(super) fn end(
    draft: &mut Draft,
    mut turn: Turn,
    request: Option<i64>,
    ending: Ending,
    left: Left,
    now: Time,
) -> Turn {
    let Ending {
        state,
        stop_reason,
        error,
    } = ending;
    turn.state = state;
    turn.stop_reason = stop_reason;
    turn.error = error;
    turn.end_time = Some(now);
    turn.response_text = left.response_text;
    if state != TurnState::Completed {
        turn.output_json.clear();
    }
    turn.cancel = None;
    let about = (turn.turn_id, turn.generation);
    let event = Event::TurnEnded {
        turn: Box::new(turn),
        undelivered: left.undelivered,
    };
    let end_seq = draft.event(now, Some(about), None, &event);
    let Event::TurnEnded { turn, .. } = event else {
        unreachable!("the event was made above")
    };
    draft.write_turn(TurnWrite::End(Box::new(TurnEndRow {
        row: turn.row,
        state,
        stop_reason,
        error: turn.error.clone(),
        time: now,
        end_seq,
        response_text: turn.response_text.clone(),
        output_json: turn.output_json.clone(),
    })));
    draft.stored(length(turn.response_text.len() + turn.output_json.len()));
    draft.ended(&turn, request, now);
    draft.session.last_active_time = now;
    *turn
}

// === impl Ending ===

impl Ending {
    /// The end by the contract's table.
    pub(super) fn of_cause(cause: Cause, started: bool, message: &str) -> Self {
        let (state, stop_reason) = cause.end(started);
        Self {
            state,
            stop_reason,
            error: Some(TurnError {
                cause,
                message: cut(message, ERROR_MESSAGE_MAX_BYTES).to_owned(),
            }),
        }
    }

    /// How an active turn ends. An accepted cancel overrules all but a stop that was not proven.
    fn of_active(turn: &Turn, end: &TurnEnd) -> Self {
        let canceled = turn.cancel.map(|cancel| cancel.cause);
        match (canceled, end) {
            (_, TurnEnd::Failed(Cause::StopUnproven, message)) => {
                Self::of_cause(Cause::StopUnproven, true, message)
            }
            (Some(cause), _) => Self::of_cause(cause, true, cause.sentence()),
            (None, TurnEnd::Failed(cause, message)) => Self::of_cause(*cause, true, message),
            (None, TurnEnd::Lost { message, .. }) => {
                Self::of_cause(Cause::LeaseLost, true, message)
            }
            (None, TurnEnd::Stopped) => {
                Self::of_cause(Cause::Aborted, true, Cause::Aborted.sentence())
            }
            (None, TurnEnd::Completed(stop_reason)) => Self {
                state: TurnState::Completed,
                stop_reason: Some(*stop_reason),
                error: None,
            },
        }
    }
}
