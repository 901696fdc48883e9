//! What an earlier life left: an active turn, a pending Reset.

use super::{
    super::{
        draft::Draft,
        facts::{Context, Decision, Facts},
        ownership::{Recovered, TurnEnd},
        snapshot::Snapshot,
        write_set::SessionWrite,
    },
    turns::{self, Witness},
};
use crate::domain::{
    event::Role,
    ids::Time,
    session::SessionState,
    turn::{Cause, OnInterrupt, Turn},
};

/// What to do with a turn that a crash cut.
pub(super) enum Verdict {
    /// It goes back to the head of its queue.
    Retry {
        /// Starts at most.
        max_attempts: i32,
    },
    /// It ends.
    End(TurnEnd),
}

/// Claims a session and settles what an earlier life left of it.
pub(crate) fn settle(
    ctx: &Context<'_>,
    facts: &Facts,
    found: &Snapshot,
    cause: Cause,
    now: Time,
) -> Decision<(Recovered, SessionWrite)> {
    let mut recovered = Recovered::default();
    let mut draft = Draft::of(found);
    draft.claim();
    if let Some(active) = draft.active() {
        let tool_ran = cause == Cause::LeaseLost && runs_tool(&draft);
        match verdict(ctx, &draft, &active.turn, cause, tool_ran) {
            Verdict::Retry { max_attempts } => {
                turns::retry(ctx, &mut draft, max_attempts, cause, now)?;
                recovered.requeued += 1;
            }
            Verdict::End(end) => {
                let resets = draft.hidden.pending_reset;
                turns::finish(ctx, facts, &mut draft, &end, Witness::Crash, now)?;
                recovered.ended += 1;
                recovered.reset += u64::from(resets);
            }
        }
    }
    Ok((recovered, draft.finish(now)))
}

/// Whether a tool of the active turn is open: nobody knows what it has done.
fn runs_tool(draft: &Draft) -> bool {
    let mut open = draft.open_items().iter();
    open.any(|item| item.role == Role::Tool)
}

/// What becomes of the active turn where what ran it is gone for good: its own rule, else its agent's. Where a tool was
/// running it is not run again.
pub(super) fn verdict(
    ctx: &Context<'_>,
    draft: &Draft,
    turn: &Turn,
    cause: Cause,
    tool_ran: bool,
) -> Verdict {
    let stopping = turn.cancel.is_some()
        || draft.hidden.pending_reset
        || draft.session.state == SessionState::Deleting;
    if stopping {
        // Its processes are gone with the life that ran it.
        return Verdict::End(TurnEnd::Stopped);
    }
    let rule = ctx.rules.agents.get(&turn.agent);
    let on_interrupt = turn
        .on_interrupt
        .or_else(|| rule.map(|rule| rule.on_interrupt))
        .unwrap_or(OnInterrupt::Mark);
    let max_attempts = rule.map_or(1, |rule| rule.max_attempts);
    let failed = |cause: Cause| Verdict::End(TurnEnd::Failed(cause, cause.sentence().to_owned()));
    match on_interrupt {
        OnInterrupt::Mark => failed(cause),
        OnInterrupt::Retry if tool_ran => failed(cause),
        OnInterrupt::Retry if turn.attempt < max_attempts => Verdict::Retry { max_attempts },
        OnInterrupt::Retry => failed(Cause::MaxAttempts),
    }
}
