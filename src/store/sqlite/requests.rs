//! Request ids: the same id with the same request has one effect, for 24 h after its turn's end.
//!
//! A request's row is found by the first 62 bits of the digest of its key; where two keys share them the next of
//! [`SLOTS`] places is taken. Every place is always looked at, so a row that housekeeping took hides no other.

use super::{
    access::{self, Need},
    edit::{self, SessionEdit},
    fault::{Answer, Fault},
    writer::Unit,
};
use crate::{
    domain::{
        Refusal,
        access::Shares,
        ids::{LogId, Principal, SessionRow, Time},
        limits::{REQUEST_KEPT, TURN_TIMEOUT_MAX},
        session::{Session, SessionState},
        turn::Turn,
    },
    store::{Caller, Committed, Receipt, RequestKey},
};
use rusqlite::params;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use uuid::Uuid;

use super::rows::micros;

/// Places that a key may have.
const SLOTS: i64 = 4;

/// What a command did, before it is kept under its request id.
pub(super) struct Done {
    /// What every repeat is told.
    pub(super) receipt: Receipt,
    /// The session after the commit.
    pub(super) session: Arc<Session>,
    /// The receipt's turn.
    pub(super) turn: Option<Turn>,
    /// The receipt's cleared turns.
    pub(super) cleared: Vec<Turn>,
    /// How long a repeat must find it.
    pub(super) keep: Keep,
}

/// How long a request is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Until 24 h after the end of the turn or steer that it admitted.
    Admitted,
    /// 24 h from now.
    Day,
}

/// What a repeat is told when its session is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenGone {
    /// `SESSION_DELETED`.
    Refuse,
    /// OK, with `state = Deleted`: the command was the Delete.
    Confirm,
}

/// A free place of a request.
struct Slot {
    id: i64,
    key: [u8; 32],
}

/// Does a command once per request id. `work` gets the id of the request's row, for the turn that it admits, and the
/// session, if there is one. Who may not do it is refused before anything else is looked at.
pub(super) fn once(
    unit: &mut Unit<'_>,
    caller: &Caller,
    need: Need,
    when_gone: WhenGone,
    work: impl FnOnce(&mut Unit<'_>, Option<i64>, Option<SessionEdit>) -> Answer<Done>,
) -> Answer<Committed> {
    let found = access::authorize(unit, caller, need)?;
    let slot = match before(unit, caller, when_gone)? {
        Before::Repeat(done) => return Ok(*done),
        Before::New(slot) => slot,
    };
    let done = work(unit, slot.as_ref().map(|(slot, _)| slot.id), found)?;
    if let Some((slot, hash)) = slot {
        let keep_until = match done.keep {
            Keep::Admitted => None,
            Keep::Day => Some(caller.now.plus_micros(micros(REQUEST_KEPT)).0),
        };
        let receipt = serde_json::to_string(&done.receipt)
            .map_err(|error| Fault::Broken(format!("receipt: {error}")))?;
        unit.sql(
            "INSERT INTO request (id, key, hash, session, session_uid, receipt, keep_until) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            slot.id,
            slot.key,
            hash,
            done.session.row.0,
            done.session.uid,
            receipt,
            keep_until,
        ])?;
    }
    Ok(Committed {
        receipt: done.receipt,
        session: done.session,
        turn: done.turn,
        cleared: done.cleared,
        replayed: false,
    })
}

/// What a repeat is told; `None` for a request that is new. For what is done once in its last commit alone.
pub(super) fn repeat(
    unit: &Unit<'_>,
    caller: &Caller,
    need: Need,
    when_gone: WhenGone,
) -> Answer<Option<Committed>> {
    access::authorize(unit, caller, need)?;
    match before(unit, caller, when_gone)? {
        Before::Repeat(done) => Ok(Some(*done)),
        Before::New(_) => Ok(None),
    }
}

/// What a request was before this call of it.
enum Before {
    /// Done, with this.
    Repeat(Box<Committed>),
    /// New; with a place and its hash, where it has an id.
    New(Option<(Slot, [u8; 32])>),
}

fn before(unit: &Unit<'_>, caller: &Caller, when_gone: WhenGone) -> Answer<Before> {
    let Some(request) = &caller.request else {
        return Ok(Before::New(None));
    };
    let key = digest(&caller.identity.principal, caller.key.as_str(), request);
    match look_up(unit, key)? {
        Found::Kept(kept) if kept.hash == request.hash => {
            let done = replay(unit, caller, when_gone, kept)?;
            Ok(Before::Repeat(Box::new(done)))
        }
        Found::Kept(_) => Err(Refusal::IdempotencyConflict {
            request_id: request.request_id.clone(),
        }
        .into()),
        Found::Free(id) => Ok(Before::New(Some((Slot { id, key }, request.hash)))),
    }
}

/// Does what is of no session once per request id: of `name`, in the principal's tenant. True for a repeat, which gets
/// the same value.
pub(crate) fn once_for<T: Serialize + DeserializeOwned>(
    unit: &mut Unit<'_>,
    principal: &Principal,
    name: &str,
    request: Option<&RequestKey>,
    now: Time,
    work: impl FnOnce(&mut Unit<'_>) -> Answer<T>,
) -> Answer<(T, bool)> {
    let Some(request) = request else {
        return Ok((work(unit)?, false));
    };
    let key = digest(principal, name, request);
    let broken = |error: serde_json::Error| Fault::Broken(format!("receipt: {error}"));
    let id = match look_up(unit, key)? {
        Found::Kept(kept) if kept.hash == request.hash => {
            return Ok((serde_json::from_str(&kept.receipt).map_err(broken)?, true));
        }
        Found::Kept(_) => {
            let request_id = request.request_id.clone();
            return Err(Refusal::IdempotencyConflict { request_id }.into());
        }
        Found::Free(id) => id,
    };
    let value = work(unit)?;
    let receipt = serde_json::to_string(&value).map_err(broken)?;
    let keep_until = now.plus_micros(micros(REQUEST_KEPT)).0;
    unit.sql(
        "INSERT INTO request (id, key, hash, session, session_uid, receipt, keep_until) \
         VALUES (?1, ?2, ?3, 0, zeroblob(16), ?4, ?5)",
    )?
    .execute(params![id, key, request.hash, receipt, keep_until])?;
    Ok((value, false))
}

/// The turn that a request admitted has ended: its repeats are answered for another 24 h.
pub(super) fn release(unit: &Unit<'_>, request: Option<i64>, now: Time) -> Answer<()> {
    if let Some(id) = request {
        unit.sql("UPDATE request SET keep_until = ?2 WHERE id = ?1")?
            .execute((id, now.plus_micros(micros(REQUEST_KEPT)).0))?;
    }
    Ok(())
}

/// The steer that a request admitted was applied: kept 24 h beyond the latest possible end of its turn.
pub(super) fn release_steer(unit: &Unit<'_>, request: Option<i64>, now: Time) -> Answer<()> {
    release(unit, request, now.plus_micros(micros(TURN_TIMEOUT_MAX)))
}

struct Kept {
    hash: [u8; 32],
    session: SessionRow,
    session_uid: Uuid,
    receipt: String,
}

enum Found {
    Kept(Kept),
    Free(i64),
}

fn look_up(unit: &Unit<'_>, key: [u8; 32]) -> Answer<Found> {
    let [a, b, c, d, e, f, g, h, ..] = key;
    // 62 bits, so that no place overflows.
    let first = i64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 2;
    let mut statement = unit.sql(
        "SELECT id, key, hash, session, session_uid, receipt FROM request WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    )?;
    let mut rows = statement.query((first, first + SLOTS - 1))?;
    let mut free = first;
    while let Some(row) = rows.next()? {
        if row.get::<_, [u8; 32]>(1)? == key {
            return Ok(Found::Kept(Kept {
                hash: row.get(2)?,
                session: SessionRow(row.get(3)?),
                session_uid: row.get(4)?,
                receipt: row.get(5)?,
            }));
        }
        if row.get::<_, i64>(0)? == free {
            free += 1;
        }
    }
    if free < first + SLOTS {
        Ok(Found::Free(free))
    } else {
        Err(Fault::Broken("no place for a request id".into()))
    }
}

fn replay(unit: &Unit<'_>, caller: &Caller, when_gone: WhenGone, kept: Kept) -> Answer<Committed> {
    let receipt: Receipt = serde_json::from_str(&kept.receipt)
        .map_err(|error| Fault::Broken(format!("receipt: {error}")))?;
    let found = edit::session_of_row(unit.connection, unit.identity.generation, kept.session)?;
    let Some((session, _)) = found else {
        let left = access::tombstone_of_row(unit.connection, kept.session)?;
        if left.is_some_and(|left| left.access(&caller.identity).is_none()) {
            return Err(not_found(caller).into());
        }
        return match when_gone {
            WhenGone::Refuse => Err(Refusal::SessionDeleted {
                key: caller.key.as_str().to_owned(),
            }
            .into()),
            WhenGone::Confirm => {
                let head =
                    edit::last_position(unit.connection, kept.session)?.unwrap_or(receipt.seq);
                let gone = deleted(unit, caller, kept.session, kept.session_uid, head);
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
        return Err(not_found(caller).into());
    }
    let turn = match receipt.turn_id {
        Some(turn_id) => edit::turn_of_id(unit.connection, &session, turn_id)?,
        None => None,
    };
    let mut cleared = Vec::with_capacity(receipt.cleared.len());
    for turn_id in &receipt.cleared {
        cleared.extend(edit::turn_of_id(unit.connection, &session, *turn_id)?);
    }
    Ok(Committed {
        receipt,
        session: Arc::new(session),
        turn,
        cleared,
        replayed: true,
    })
}

/// What is left to say of a session whose rows are gone.
pub(super) fn deleted(
    unit: &Unit<'_>,
    caller: &Caller,
    row: SessionRow,
    uid: Uuid,
    head: i64,
) -> Session {
    Session {
        row,
        uid,
        tenant: caller.identity.principal.tenant.clone(),
        owner: String::new(),
        shares: Shares::new(),
        key: caller.key.clone(),
        log_id: LogId::derive(uid, unit.identity.generation),
        session_id: Uuid::nil(),
        generation: 0,
        display_name: String::new(),
        agent: String::new(),
        next_agent: String::new(),
        model: String::new(),
        thinking_level: String::new(),
        labels: std::collections::BTreeMap::new(),
        cwd: String::new(),
        expire_after_idle: None,
        memory_namespaces: Vec::new(),
        state: SessionState::Deleted,
        active_turn: None,
        queue_depth: 0,
        queue_bytes: 0,
        message_count: 0,
        user_message_count: 0,
        last_message_preview: String::new(),
        usage: crate::domain::turn::Usage::default(),
        head,
        first_seq: head + 1,
        epoch: 0,
        create_time: Time::default(),
        update_time: caller.now,
        last_active_time: Time::default(),
        primary: false,
    }
}

/// Digest of the whole key; each piece with its length, so no two keys are written alike.
fn digest(principal: &Principal, name: &str, request: &RequestKey) -> [u8; 32] {
    let mut digest = Sha256::new();
    for piece in [
        principal.tenant.as_str(),
        principal.subject.as_str(),
        request.method,
        name,
        request.request_id.as_str(),
    ] {
        digest.update((piece.len() as u64).to_be_bytes());
        digest.update(piece);
    }
    digest.finalize().into()
}

// === helpers of commands ===

/// Refuses another generation than the caller believes in.
pub(super) fn require_generation(caller: &Caller, generation: i64) -> Answer<()> {
    match caller.expected_generation {
        Some(expected) if expected != generation => {
            Err(Refusal::GenerationMismatch { generation }.into())
        }
        Some(_) | None => Ok(()),
    }
}

impl Done {
    /// A command that is about the session alone.
    pub(super) fn session(session: Arc<Session>) -> Self {
        Self {
            receipt: receipt(session.head),
            session,
            turn: None,
            cleared: Vec::new(),
            keep: Keep::Day,
        }
    }

    /// Adds the turns that the command took.
    pub(super) fn with_cleared(mut self, cleared: Vec<Turn>) -> Self {
        self.receipt.cleared = cleared.iter().map(|turn| turn.turn_id).collect();
        self.cleared = cleared;
        self
    }

    /// Adds the turn that the command is about.
    pub(super) fn with_turn(mut self, turn: Option<Turn>) -> Self {
        self.receipt.turn_id = turn.as_ref().map(|turn| turn.turn_id);
        self.turn = turn;
        self
    }
}

/// A receipt that tells the `seq` alone.
pub(super) fn receipt(seq: i64) -> Receipt {
    Receipt {
        seq,
        turn_id: None,
        steer_id: None,
        admission: crate::store::Admission::Queued,
        queue_position: 0,
        cleared: Vec::new(),
        stopping: false,
    }
}

/// The session that a command found, if it can be used: missing, deleted and DELETING ones are refused as `NOT_FOUND`.
pub(super) fn usable(
    unit: &Unit<'_>,
    caller: &Caller,
    found: Option<SessionEdit>,
) -> Answer<SessionEdit> {
    match found {
        Some(edit) if edit.session.state != SessionState::Deleting => Ok(edit),
        Some(_) => Err(not_found(caller).into()),
        None => Err(access::absent(unit.connection, &caller.identity, &caller.key)?.into()),
    }
}

fn not_found(caller: &Caller) -> Refusal {
    Refusal::SessionNotFound {
        key: caller.key.as_str().to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::ids::SessionKey;

    fn caller(key: &str, request_id: &str) -> Caller {
        Caller {
            identity: Arc::new(crate::domain::access::Identity::unauthenticated()),
            key: SessionKey::parse(key).unwrap(),
            request: Some(crate::store::RequestKey {
                request_id: request_id.to_owned(),
                method: "Enqueue",
                hash: [0; 32],
            }),
            expected_generation: None,
            now: Time(0),
        }
    }

    /// Some session, for those who need one to publish.
    pub(in crate::store::sqlite) fn deleted_session(unit: &Unit<'_>) -> Session {
        deleted(unit, &caller("s", "r"), SessionRow(1), Uuid::nil(), 0)
    }

    #[test]
    fn no_two_keys_are_written_alike() {
        let request = |method, request_id: &str| RequestKey {
            request_id: request_id.to_owned(),
            method,
            hash: [0; 32],
        };
        let principal = Principal::local();
        let digests = [
            digest(&principal, "a", &request("m", "bc")),
            digest(&principal, "ab", &request("m", "c")),
            digest(&principal, "a", &request("mb", "c")),
        ];
        assert_ne!(digests[0], digests[1]);
        assert_ne!(digests[1], digests[2]);
        assert_ne!(digests[0], digests[2]);
    }
}
