//! Sessions whose next turn waits for a worker.

use super::{
    super::{
        draft::Draft, facts::Decision, ownership::Fence, snapshot::Snapshot,
        write_set::SessionWrite,
    },
    turns::fenced,
};
use crate::domain::{Event, ids::Time, lease::WantedWorker, turn::Cause};

/// The next turn waits, and its session is woken for nothing else than a worker. Says so once for each turn that is next.
/// `None` where nothing waits.
pub(crate) fn wait(
    found: Option<&Snapshot>,
    fence: Fence,
    wanted: &WantedWorker,
    now: Time,
) -> Decision<Option<SessionWrite>> {
    let mut draft = fenced(found, fence)?;
    if draft.active().is_some() {
        return Ok(None);
    }
    let Some(next) = draft.waiting().first() else {
        return Ok(None);
    };
    let (row, about) = (next.turn.row, (next.turn.turn_id, next.turn.generation));
    let told = draft.session.worker_wait == Some(-row);
    draft.session.worker_wait = Some(row);
    if !told {
        let event = Event::TurnWaiting {
            reason: Cause::NO_WORKER.to_owned(),
            message: wanted.message.clone(),
            agent: draft.session.agent.clone(),
            worker_labels: wanted.labels.clone(),
        };
        draft.event(now, Some(about), None, &event);
    }
    Ok(Some(draft.finish(now)))
}

/// Has the next turn looked at again.
pub(crate) fn look_again(found: &Snapshot, now: Time) -> SessionWrite {
    let mut draft = Draft::of(found);
    draft.session.look_for_worker();
    draft.finish(now)
}
