//! The waiting turns of a session: what changes their order, and how they leave without having run.

use super::{
    super::{
        commands::{Caller, UpdateQueued},
        draft::{Draft, length},
        facts::{Context, Decision, Facts, Stop, Want},
        snapshot::{Sender, Snapshot, WaitingTurn},
        write_set::SessionWrite,
    },
    Decided, Done,
    access::{self, Need},
    admission, quotas,
    requests::{WhenGone, once, require_generation},
    turns::{self, Ending, Left},
};
use crate::domain::{
    Event,
    ids::Time,
    refusal::Refusal,
    turn::{AttachmentRef, Cause, Turn, TurnState},
};
use std::sync::Arc;
use uuid::Uuid;

/// UpdateQueued.
pub(crate) fn update(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    command: &UpdateQueued,
) -> Decision<Decided> {
    let UpdateQueued {
        caller,
        turn_id,
        text,
        position,
    } = command;
    let turn_id = *turn_id;
    let rights = (Need::Write, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |_, found| {
        let mut draft = access::usable(facts, caller, found)?;
        require_generation(caller, draft.session.generation)?;
        let mut turn = require_waiting(facts, &draft, turn_id)?;
        let more = text.as_ref().map_or(0, |text| length(text.len()));
        quotas::require_stored(ctx, &draft.session, more)?;
        if let Some(text) = text {
            let sender = Sender::of(&caller.identity, &draft.session);
            // What a command was is one no more unless its new text is.
            turn.command = admission::command_of_prompt(ctx, &draft, text);
            let command = turn.command.clone();
            change_text(ctx, &mut draft, &turn, (text, command), sender)?;
            turn.text.clone_from(text);
            turn.principal = caller.identity.principal.to_string();
        }
        let is_scheduled = turn.state == TurnState::Scheduled;
        if let Some(position) = position {
            if is_scheduled {
                let problem = "the turn waits for its not_before; it has no place in the queue yet";
                return Err(Refusal::field("position", problem).into());
            }
            draft.move_to(turn_id, usize::try_from(*position).unwrap_or(0))?;
        }
        let ahead = if is_scheduled {
            0
        } else {
            draft.place_of(turn_id)?
        };
        let updated = Event::TurnUpdated {
            turn: Box::new(turn.clone()),
            queue_position: ahead,
        };
        let about = (turn_id, turn.generation);
        draft.event(caller.now, Some(about), None, &updated);
        let mut done = Done::of(draft.finish(caller.now)).with_turn(Some(turn));
        done.receipt.queue_position = ahead;
        Ok(done)
    })
}

/// RemoveQueued.
pub(crate) fn remove(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    caller: &Caller,
    turn_id: Uuid,
) -> Decision<Decided> {
    let rights = (Need::Write, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |_, found| {
        let mut draft = access::usable(facts, caller, found)?;
        require_generation(caller, draft.session.generation)?;
        require_waiting(facts, &draft, turn_id)?;
        let turn = take(&mut draft, turn_id, Cause::Removed, caller.now)?;
        Ok(Done::of(draft.finish(caller.now))
            .with_turn(Some(turn.clone()))
            .with_cleared(vec![turn]))
    })
}

/// ClearQueue.
pub(crate) fn clear(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    caller: &Caller,
) -> Decision<Decided> {
    let rights = (Need::Write, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |_, found| {
        let mut draft = access::usable(facts, caller, found)?;
        require_generation(caller, draft.session.generation)?;
        let cleared = take_all(&mut draft, Cause::QueueCleared, caller.now)?;
        Ok(Done::of(draft.finish(caller.now)).with_cleared(cleared))
    })
}

/// Ends waiting turns of a session whose `queue_ttl` is over. Returns how many.
pub(crate) fn expire(
    found: &Snapshot,
    expired: &[Uuid],
    now: Time,
) -> Decision<(u64, SessionWrite)> {
    let mut draft = Draft::of(found);
    let mut count = 0;
    for turn_id in expired {
        take(&mut draft, *turn_id, Cause::QueueTtl, now)?;
        count += 1;
    }
    Ok((count, draft.finish(now)))
}

/// Puts the turns of a session whose `not_before` has come into its queue, in the order of their times. Bounds of the
/// queue do not hold them up: they were let in under their own.
pub(crate) fn due(found: &Snapshot, wall: Time, now: Time) -> Decision<Option<SessionWrite>> {
    let mut draft = Draft::of(found);
    let is_due =
        |waiting: &&Arc<WaitingTurn>| waiting.turn.not_before.is_none_or(|time| time <= wall);
    let due: Vec<Uuid> = (draft.scheduled().iter().filter(is_due))
        .map(|waiting| waiting.turn.turn_id)
        .collect();
    if due.is_empty() {
        return Ok(None);
    }
    for turn_id in due {
        let Some(mut waiting) = draft.leave_scheduled(turn_id) else {
            continue;
        };
        if waiting.text_left {
            return Err(Stop::Wants(Want::Texts(Some(turn_id))));
        }
        let turn = &mut waiting.turn;
        turn.state = TurnState::Queued;
        if let (Some(expire), Some(planned)) = (turn.expire_time, turn.not_before) {
            turn.expire_time = Some(now.plus_micros(expire.0 - planned.0));
        }
        let shown = turn.clone();
        let ahead = draft.enter_due(waiting);
        admission::announce(&mut draft, shown, ahead, now);
    }
    Ok(Some(draft.finish(now)))
}

/// Takes one waiting turn.
pub(super) fn take(draft: &mut Draft, turn_id: Uuid, cause: Cause, now: Time) -> Decision<Turn> {
    take_for(draft, turn_id, cause, cause.sentence(), now)
}

/// As [`take`], with a sentence of what is behind the cause.
pub(super) fn take_for(
    draft: &mut Draft,
    turn_id: Uuid,
    cause: Cause,
    message: &str,
    now: Time,
) -> Decision<Turn> {
    let waiting = match draft.leave_scheduled(turn_id) {
        Some(scheduled) => scheduled,
        None => draft.leave(turn_id)?,
    };
    if waiting.text_left {
        return Err(Stop::Wants(Want::Texts(Some(turn_id))));
    }
    let started = waiting.turn.attempt > 0;
    let ending = Ending::of_cause(cause, started, message);
    let request = waiting.origin.request;
    Ok(turns::end(
        draft,
        waiting.turn,
        request,
        ending,
        Left::default(),
        now,
    ))
}

/// Takes all waiting turns, and those that wait for their `not_before`.
pub(super) fn take_all_and_scheduled(
    draft: &mut Draft,
    cause: Cause,
    now: Time,
) -> Decision<Vec<Turn>> {
    if draft.scheduled().iter().any(|waiting| waiting.text_left) {
        return Err(Stop::Wants(Want::Texts(None)));
    }
    let mut taken = take_all(draft, cause, now)?;
    let scheduled = draft.scheduled().iter();
    let ids: Vec<Uuid> = scheduled.map(|waiting| waiting.turn.turn_id).collect();
    for turn_id in ids {
        taken.push(take(draft, turn_id, cause, now)?);
    }
    Ok(taken)
}

/// Takes all waiting turns.
pub(super) fn take_all(draft: &mut Draft, cause: Cause, now: Time) -> Decision<Vec<Turn>> {
    if draft.waiting().iter().any(|waiting| waiting.text_left) {
        return Err(Stop::Wants(Want::Texts(None)));
    }
    let waiting = draft.waiting().iter();
    let ids: Vec<Uuid> = waiting.map(|waiting| waiting.turn.turn_id).collect();
    ids.into_iter()
        .map(|turn_id| take(draft, turn_id, cause, now))
        .collect()
}

/// Bytes of a turn that count against the queue.
pub(super) fn bytes_of(text: &str, attachments: &[AttachmentRef]) -> i64 {
    let attachments = attachments.iter().map(|attachment| attachment.size);
    length(text.len()) + attachments.sum::<i64>()
}

/// A turn that must wait, whole.
fn require_waiting(facts: &Facts, draft: &Draft, turn_id: Uuid) -> Decision<Turn> {
    let mut waiting = draft.waiting().iter().chain(draft.scheduled());
    if let Some(found) = waiting.find(|waiting| waiting.turn.turn_id == turn_id) {
        return if found.text_left {
            Err(Stop::Wants(Want::Texts(Some(turn_id))))
        } else {
            Ok(found.turn.clone())
        };
    }
    let id = turn_id.to_string();
    Err(match facts.turn(turn_id)? {
        Some(_) => Refusal::TurnNotQueued { turn_id: id }.into(),
        None => Refusal::TurnNotFound { turn_id: id }.into(),
    })
}

/// Puts another text in a turn's place.
fn change_text(
    ctx: &Context<'_>,
    draft: &mut Draft,
    turn: &Turn,
    (text, command): (&str, String),
    sender: Sender,
) -> Decision<()> {
    if turn.attempt > 0 {
        // Its message is a part of the conversation since its first start.
        let problem = "the turn was started before; its text can't change";
        return Err(Refusal::field("text", problem).into());
    }
    let before = bytes_of(&turn.text, &turn.attachments);
    let after = bytes_of(text, &turn.attachments);
    if after > before && turn.state == TurnState::Scheduled {
        admission::require_scheduled_bytes(ctx, draft, after - before)?;
    } else if after > before {
        quotas::require_queued(ctx, &draft.session, after - before)?;
    }
    draft.change_text(turn.turn_id, (text.to_owned(), command), after, sender)
}
