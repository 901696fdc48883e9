//! The waiting turns of a session: what changes their order, and how they leave without having run.

use super::{
    super::{
        commands::{Caller, UpdateQueued},
        draft::{Draft, length},
        facts::{Context, Decision, Facts, Stop, Want},
        snapshot::{Sender, Snapshot},
        write_set::SessionWrite,
    },
    Decided, Done,
    access::{self, Need},
    quotas,
    requests::{WhenGone, once, require_generation},
    turns::{self, Ending},
};
use crate::domain::{
    Event,
    ids::Time,
    refusal::Refusal,
    turn::{AttachmentRef, Cause, Turn},
};
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
            change_text(ctx, &mut draft, &turn, text, sender)?;
            turn.text.clone_from(text);
        }
        if let Some(position) = position {
            draft.move_to(turn_id, usize::try_from(*position).unwrap_or(0))?;
        }
        let ahead = draft.place_of(turn_id)?;
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

/// Takes one waiting turn.
pub(super) fn take(draft: &mut Draft, turn_id: Uuid, cause: Cause, now: Time) -> Decision<Turn> {
    let waiting = draft.leave(turn_id)?;
    if waiting.text_left {
        return Err(Stop::Wants(Want::Texts(Some(turn_id))));
    }
    let started = waiting.turn.attempt > 0;
    let ending = Ending::of_cause(cause, started, cause.sentence());
    let request = waiting.origin.request;
    Ok(turns::end(
        draft,
        waiting.turn,
        request,
        ending,
        String::new(),
        now,
    ))
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
    let mut waiting = draft.waiting().iter();
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
    text: &str,
    sender: Sender,
) -> Decision<()> {
    if turn.attempt > 0 {
        // Its message is a part of the conversation since its first start.
        let problem = "the turn was started before; its text can't change";
        return Err(Refusal::field("text", problem).into());
    }
    let before = bytes_of(&turn.text, &turn.attachments);
    let after = bytes_of(text, &turn.attachments);
    if after > before {
        quotas::require_queued(ctx, &draft.session, after - before)?;
    }
    draft.change_text(turn.turn_id, text.to_owned(), after, sender)
}
