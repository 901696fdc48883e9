//! What an earlier life left: active turns and pending Resets, claimed and settled in batched commits.
//!
//! Each commit is whole: killed between two, the next start goes on with the rest. A session that this life has
//! claimed is left alone, so a second call finds nothing.

use super::{edit::SessionEdit, fault::Answer, sessions, turns, writer::Unit};
use crate::{
    domain::{
        ids::{SessionRow, Time},
        session::SessionState,
        turn::{Cause, OnInterrupt, Turn},
    },
    store::{Recovered, TurnEnd},
};

/// Sessions of one commit.
const BATCH_MAX_SESSIONS: i64 = 256;

/// What to do with a turn that a crash cut.
enum Verdict {
    /// It goes back to the head of its queue.
    Retry {
        /// Starts at most.
        max_attempts: i32,
    },
    /// It ends.
    End(TurnEnd),
}

/// Settles the next sessions; `None` when there are none left.
pub(super) fn batch(unit: &mut Unit<'_>, now: Time) -> Answer<Option<Recovered>> {
    let left: Vec<i64> = unit
        .sql("SELECT row FROM session WHERE active_row IS NOT NULL AND owner_life <> ?1 LIMIT ?2")?
        .query_map((unit.life, BATCH_MAX_SESSIONS), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if left.is_empty() {
        return Ok(None);
    }
    let mut recovered = Recovered::default();
    for row in left {
        if let Some(mut edit) = SessionEdit::of_row(unit, SessionRow(row))? {
            settle(unit, &mut edit, now, &mut recovered)?;
            edit.save(unit, now)?;
        }
    }
    Ok(Some(recovered))
}

/// Deletes that failed in an earlier life are tried again in this one.
pub(super) fn resume_deletes(unit: &mut Unit<'_>) -> Answer<()> {
    unit.sql(
        "UPDATE session INDEXED BY session_deleting SET wake = 0 WHERE state = 6 AND wake IS NULL",
    )?
    .execute([])?;
    Ok(())
}

fn settle(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    now: Time,
    recovered: &mut Recovered,
) -> Answer<()> {
    sessions::take_over(unit, edit)?;
    let Some(turn) = edit.active(unit)? else {
        return Ok(());
    };
    match verdict(unit, edit, &turn) {
        Verdict::Retry { max_attempts } => {
            turns::retry(unit, edit, turn, max_attempts, now)?;
            recovered.requeued += 1;
        }
        Verdict::End(end) => {
            let resets = edit.hidden.pending_reset;
            turns::finish(unit, edit, end, turns::Witness::Crash, now)?;
            recovered.ended += 1;
            recovered.reset += u64::from(resets);
        }
    }
    Ok(())
}

fn verdict(unit: &Unit<'_>, edit: &SessionEdit, turn: &Turn) -> Verdict {
    let stopping = turn.cancel.is_some()
        || edit.hidden.pending_reset
        || edit.session.state == SessionState::Deleting;
    if stopping {
        // Its processes are gone with the life that ran it.
        return Verdict::End(TurnEnd::Stopped);
    }
    let rule = unit.rules.agents.get(&turn.agent);
    let on_interrupt = turn
        .on_interrupt
        .or_else(|| rule.map(|rule| rule.on_interrupt))
        .unwrap_or(OnInterrupt::Mark);
    let max_attempts = rule.map_or(1, |rule| rule.max_attempts);
    let failed = |cause: Cause| Verdict::End(TurnEnd::Failed(cause, cause.sentence().to_owned()));
    match on_interrupt {
        OnInterrupt::Mark => failed(Cause::GatewayCrashed),
        OnInterrupt::Retry if turn.attempt < max_attempts => Verdict::Retry { max_attempts },
        OnInterrupt::Retry => failed(Cause::MaxAttempts),
    }
}
