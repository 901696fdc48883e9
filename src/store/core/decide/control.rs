//! Abort, Reset, Delete: what is accepted at once, and what waits for the active turn's end.

use super::{
    super::{
        commands::{Abort, Caller},
        draft::{Draft, micros},
        facts::{Context, Decision, Facts, Stop, Want},
        ownership::Fence,
        snapshot::Snapshot,
        write_set::{SessionWrite, TurnWrite},
    },
    Decided, Done,
    access::{self, Need},
    questions, queue,
    requests::{self, WhenGone, once, require_generation},
};
use crate::domain::{
    Event, EventKind,
    access::SessionAccess,
    ids::Time,
    limits::GRACE_DEFAULT,
    question::Resolution,
    refusal::Refusal,
    session::SessionState,
    turn::{AbortMode, Cancel, Cause, ContextUse, Turn, TurnState},
};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// A stop of the active turn that is accepted.
pub(super) struct Accept {
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
pub(super) fn stop_active(draft: &mut Draft, stop: Accept, now: Time) -> Decision<Option<Turn>> {
    let Some(active) = draft.active() else {
        return Ok(None);
    };
    let turn = &active.turn;
    let about = (turn.turn_id, turn.generation);
    let Accept {
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
    let row = turn.row;
    draft.change_active(|active| {
        active.turn.state = TurnState::Canceling;
        active.turn.cancel = Some(cancel);
        active.clears |= clears;
    });
    draft.write_turn(TurnWrite::Cancel {
        row,
        cancel,
        clears,
    });
    draft.settle_state();
    // Nobody's answer counts any more, in the same commit.
    questions::cancel_all(draft, about, Resolution::TurnCanceled, now)?;
    Ok(draft.active().map(|active| active.turn.clone()))
}

// === abort ===

/// Abort.
pub(crate) fn abort(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    command: &Abort,
) -> Decision<Decided> {
    let Abort {
        caller,
        turn_id,
        clear_queue,
        mode,
        grace,
        cause,
    } = command;
    let rights = (Need::Write, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |_, found| {
        let now = caller.now;
        let mut draft = access::usable(facts, caller, found)?;
        require_generation(caller, draft.session.generation)?;
        let mut cleared = Vec::new();
        let (turn, stopping) = match turn_id {
            Some(turn_id) if draft.session.active_turn != Some(*turn_id) => {
                let (turn, taken) = abort_other(facts, &mut draft, *turn_id, now)?;
                if taken {
                    cleared.push(turn.clone());
                }
                (Some(turn), taken)
            }
            Some(_) | None => {
                let stop = Accept {
                    cause: *cause,
                    mode: *mode,
                    grace: *grace,
                    clears: *clear_queue,
                };
                let turn = stop_active(&mut draft, stop, now)?;
                let stopping = turn.is_some();
                (turn, stopping)
            }
        };
        if *clear_queue {
            cleared.extend(queue::take_all(&mut draft, Cause::QueueCleared, now)?);
        }
        // Where there was nothing to stop nothing changed.
        let changed = stopping || !cleared.is_empty();
        let time = if changed {
            now
        } else {
            draft.session.update_time
        };
        let done = Done::of(draft.finish(time));
        let mut done = done.with_turn(turn).with_cleared(cleared);
        done.receipt.stopping = stopping;
        Ok(done)
    })
}

/// Abort of a turn that is not active: takes it if it waits. True where it did.
fn abort_other(
    facts: &Facts,
    draft: &mut Draft,
    turn_id: Uuid,
    now: Time,
) -> Decision<(Turn, bool)> {
    let mut waiting = draft.waiting().iter().chain(draft.scheduled());
    if waiting.any(|waiting| waiting.turn.turn_id == turn_id) {
        return Ok((queue::take(draft, turn_id, Cause::Removed, now)?, true));
    }
    let turn = facts.turn(turn_id)?.ok_or_else(|| Refusal::TurnNotFound {
        turn_id: turn_id.to_string(),
    })?;
    Ok((turn, false))
}

// === reset ===

/// Reset.
pub(crate) fn reset(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    caller: &Caller,
) -> Decision<Decided> {
    let rights = (Need::Write, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |_, found| {
        let now = caller.now;
        let mut draft = access::usable(facts, caller, found)?;
        require_generation(caller, draft.admission_generation())?;
        let cleared = queue::take_all_and_scheduled(&mut draft, Cause::SessionReset, now)?;
        // A second one joins the one that is pending: the same generation comes of both. What was accepted between the
        // two is from before this one all the same, and must not run after it.
        if !draft.hidden.pending_reset {
            draft.hidden.pending_reset = true;
            if stop_active(&mut draft, stop_for(Cause::SessionReset), now)?.is_none() {
                complete_reset(ctx, &mut draft, now);
                draft.settle_state();
            }
        }
        let stopping = draft.hidden.pending_reset;
        let mut done = Done::of(draft.finish(now)).with_cleared(cleared);
        done.receipt.stopping = stopping;
        Ok(done)
    })
}

/// Begins the next generation; nothing is active any more.
pub(super) fn complete_reset(ctx: &Context<'_>, draft: &mut Draft, now: Time) {
    draft.hidden.pending_reset = false;
    draft.settings_changed = true;
    let session = &mut draft.session;
    session.generation += 1;
    session.session_id = ctx.ids.ordered();
    if !session.next_agent.is_empty() {
        session.agent = std::mem::take(&mut session.next_agent);
        session.look_for_worker();
        // They are the other agent's own.
        session.options.clear();
    }
    session.message_count = 0;
    session.user_message_count = 0;
    session.last_message_preview.clear();
    session.context = ContextUse::default();
    let event = Event::SessionReset {
        generation: session.generation,
        session_id: session.session_id,
        agent: session.agent.clone(),
    };
    draft.event(now, None, None, &event);
}

/// A stop that what becomes of the session asks for.
fn stop_for(cause: Cause) -> Accept {
    Accept {
        cause,
        mode: AbortMode::Cancel,
        grace: GRACE_DEFAULT,
        clears: true,
    }
}

// === reload ===

/// ReloadSession: nothing of the session changes, so only a repeat is told from a new one.
pub(crate) fn reload(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    caller: &Caller,
) -> Decision<Decided> {
    let rights = (Need::Write, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |_, found| {
        let draft = access::usable(facts, caller, found)?;
        require_generation(caller, draft.session.generation)?;
        Ok(Done::nothing(Arc::new(draft.session)))
    })
}

// === delete ===

/// DeleteSession.
pub(crate) fn delete(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    caller: &Caller,
) -> Decision<Decided> {
    let rights = (Need::Own, WhenGone::Confirm);
    once(ctx, facts, caller, rights, found, |_, found| {
        let key = || caller.key.as_str().to_owned();
        let Some(mut draft) = found else {
            let left = access::tombstone(facts, caller)?;
            let Some(left) = left else {
                return Err(Refusal::SessionNotFound { key: key() }.into());
            };
            if left.access(&caller.identity) < Some(SessionAccess::Own) {
                return Err(access::not_yours(&caller.key).into());
            }
            let gone = requests::deleted(ctx, caller, left.row, left.uid, left.head);
            return Ok(Done::nothing(Arc::new(gone)));
        };
        if draft.session.primary {
            return Err(Refusal::PrimarySession { key: key() }.into());
        }
        let mut cleared = Vec::new();
        if draft.session.state != SessionState::Deleting {
            require_generation(caller, draft.session.generation)?;
            cleared = begin_delete(&mut draft, caller.now)?;
        }
        Ok(Done::of(draft.finish(caller.now)).with_cleared(cleared))
    })
}

/// Deletes a session as the system does it, where it is idle for longer than it may be.
pub(crate) fn delete_idle(found: &Snapshot, now: Time) -> Decision<Option<SessionWrite>> {
    let session = &found.session;
    let idle = session
        .expire_after_idle
        .is_some_and(|after| session.last_active_time.plus_micros(after) <= now)
        && session.active_turn.is_none()
        && session.queue_depth == 0
        && found.scheduled.is_empty()
        && !session.primary
        && session.state != SessionState::Deleting;
    if !idle {
        return Ok(None);
    }
    let mut draft = Draft::of(found);
    begin_delete(&mut draft, now)?;
    Ok(Some(draft.finish(now)))
}

/// The first commit of a Delete.
fn begin_delete(draft: &mut Draft, now: Time) -> Decision<Vec<Turn>> {
    let cleared = queue::take_all_and_scheduled(draft, Cause::SessionDeleted, now)?;
    draft.session.state = SessionState::Deleting;
    // A Reset that was pending has no generation left to begin.
    draft.hidden.pending_reset = false;
    stop_active(draft, stop_for(Cause::SessionDeleted), now)?;
    Ok(cleared)
}

/// Writes `session_deleted`, once.
pub(crate) fn finish_delete(
    facts: &Facts,
    found: Option<&Snapshot>,
    fence: Fence,
    now: Time,
) -> Decision<SessionWrite> {
    let mut draft = deleting(found, fence)?;
    let newest = facts.newest_kind.ok_or(Stop::Wants(Want::NewestKind))?;
    if newest != Some(EventKind::SESSION_DELETED) {
        draft.event(now, None, None, &Event::SessionDeleted);
    }
    Ok(draft.finish(now))
}

/// Nobody wakes for a Delete that can't be finished, until the next one changes the session or this process ends.
pub(crate) fn postpone_delete(found: Option<&Snapshot>, fence: Fence) -> Decision<SessionWrite> {
    let mut draft = deleting(found, fence)?;
    draft.postpone();
    let unchanged = draft.session.update_time;
    Ok(draft.finish(unchanged))
}

/// The session of a Delete that nothing holds up any more.
pub(crate) fn deleting(found: Option<&Snapshot>, fence: Fence) -> Decision<Draft> {
    let draft = super::turns::fenced(found, fence)?;
    if draft.session.state == SessionState::Deleting && draft.session.active_turn.is_none() {
        Ok(draft)
    } else {
        Err(Stop::Broken(
            "the session is not ready to be deleted".into(),
        ))
    }
}
