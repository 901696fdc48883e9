//! Request ids: the same id with the same request has one effect, for 24 h after its turn's end.

use super::{
    super::{
        commands::{Caller, Committed},
        draft::{Draft, micros},
        facts::{Context, Decision, Facts, Replay, Stop, Want},
        request_id::{KeptRequest, Request},
        snapshot::Snapshot,
        write_set::{RequestRow, WriteSet},
    },
    Decided, Done, Keep,
    access::{self, Need},
};
use crate::domain::{
    ids::{SessionRow, Time},
    limits::REQUEST_KEPT,
    refusal::Refusal,
    session::{Session, SessionState},
};
use std::sync::Arc;
use uuid::Uuid;

/// What a repeat is told when its session is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenGone {
    /// `SESSION_DELETED`.
    Refuse,
    /// OK, with `state = Deleted`: the command was the Delete.
    Confirm,
}

/// Does a command once per request id. `work` gets the row of the request, for the turn that it admits, and the session,
/// if there is one. Who may not do it is refused before anything else is looked at.
pub(crate) fn once(
    ctx: &Context<'_>,
    facts: &Facts,
    caller: &Caller,
    (need, when_gone): (Need, WhenGone),
    found: Option<&Snapshot>,
    work: impl FnOnce(Option<i64>, Option<Draft>) -> Decision<Done>,
) -> Decision<Decided> {
    let draft = access::authorize(facts, caller, need, found)?;
    if let Some(committed) = repeated(ctx, facts, caller, when_gone)? {
        return Ok(Decided {
            committed,
            writes: WriteSet::default(),
        });
    }
    let (request, hash) = match (&facts.request, &caller.request) {
        (Request::New { id, digest }, Some(key)) => (Some((*id, *digest)), key.hash),
        (_, _) => (None, [0; 32]),
    };
    let Done {
        receipt,
        session,
        write,
        turn,
        cleared,
        keep,
        new_work_bytes,
    } = work(request.map(|(id, _)| id), draft)?;
    let request = request.map(|(id, digest)| RequestRow {
        id,
        digest,
        hash,
        session: session.row,
        session_uid: session.uid,
        receipt: receipt.clone(),
        keep_until: match keep {
            Keep::Admitted => None,
            Keep::Day => Some(caller.now.plus_micros(micros(REQUEST_KEPT))),
        },
    });
    Ok(Decided {
        committed: Committed {
            receipt,
            session,
            turn,
            cleared,
            replayed: false,
        },
        writes: WriteSet {
            session: write,
            request,
            new_work_bytes,
        },
    })
}

/// What a repeat is told; `None` for a request that is new. For what is done once in its last commit alone.
pub(crate) fn repeat(
    ctx: &Context<'_>,
    facts: &Facts,
    caller: &Caller,
    (need, when_gone): (Need, WhenGone),
    found: Option<&Snapshot>,
) -> Decision<Option<Committed>> {
    access::authorize(facts, caller, need, found)?;
    repeated(ctx, facts, caller, when_gone)
}

fn repeated(
    ctx: &Context<'_>,
    facts: &Facts,
    caller: &Caller,
    when_gone: WhenGone,
) -> Decision<Option<Committed>> {
    let (Request::Kept(kept), Some(request)) = (&facts.request, &caller.request) else {
        return Ok(None);
    };
    if kept.hash == request.hash {
        return replay(ctx, facts, caller, when_gone, kept).map(Some);
    }
    Err(Refusal::IdempotencyConflict {
        request_id: request.request_id.clone(),
    }
    .into())
}

fn replay(
    ctx: &Context<'_>,
    facts: &Facts,
    caller: &Caller,
    when_gone: WhenGone,
    kept: &KeptRequest,
) -> Decision<Committed> {
    let receipt = kept.receipt.clone();
    let Some(Replay {
        session,
        tombstone,
        turns,
    }) = facts.replay.clone()
    else {
        let turns = receipt.turn_id.iter().chain(&receipt.cleared);
        return Err(Stop::Wants(Want::Replay {
            session: kept.session,
            turns: turns.copied().collect(),
        }));
    };
    let Some(session) = session else {
        let unseen =
            |left: &super::super::snapshot::Tombstone| left.access(&caller.identity).is_none();
        if tombstone.as_ref().is_some_and(unseen) {
            return Err(access::not_found(caller).into());
        }
        return match when_gone {
            WhenGone::Refuse => Err(Refusal::SessionDeleted {
                key: caller.key.as_str().to_owned(),
            }
            .into()),
            WhenGone::Confirm => {
                let head = tombstone.map_or(receipt.seq, |left| left.head);
                let gone = deleted(ctx, caller, kept.session, kept.session_uid, head);
                Ok(Committed {
                    session: Arc::new(gone),
                    receipt,
                    turn: None,
                    cleared: Vec::new(),
                    replayed: true,
                })
            }
        };
    };
    // A fork's is another one than the command was about.
    if caller.identity.access(&session).is_none() {
        return Err(access::not_found(caller).into());
    }
    let find = |turn_id: Uuid| turns.iter().find(|turn| turn.turn_id == turn_id).cloned();
    Ok(Committed {
        turn: receipt.turn_id.and_then(find),
        cleared: receipt.cleared.iter().copied().filter_map(find).collect(),
        receipt,
        session: Arc::new(session),
        replayed: true,
    })
}

/// What is left to say of a session whose rows are gone.
pub(super) fn deleted(
    ctx: &Context<'_>,
    caller: &Caller,
    row: SessionRow,
    uid: Uuid,
    head: i64,
) -> Session {
    let names = (row, uid, ctx.log_id(uid));
    Session {
        owner: String::new(),
        generation: 0,
        state: SessionState::Deleted,
        head,
        first_seq: head + 1,
        update_time: caller.now,
        ..Session::new(
            names,
            &caller.identity.principal,
            caller.key.clone(),
            Time::default(),
        )
    }
}

/// Refuses another generation than the caller believes in.
pub(super) fn require_generation(caller: &Caller, generation: i64) -> Decision<()> {
    match caller.expected_generation {
        Some(expected) if expected != generation => {
            Err(Refusal::GenerationMismatch { generation }.into())
        }
        Some(_) | None => Ok(()),
    }
}
