//! What decisions look at, read from the rows: snapshots, and the facts beside them.

use super::{
    budgets,
    fault::{Answer, Fault},
    offers,
    rows::{self, Hidden as RowHidden},
};
use crate::store::Caller;
use crate::{
    domain::{
        Refusal, SessionKey,
        access::Identity,
        budget::Grant,
        event::{EventKind, Role},
        ids::{SessionRow, Time},
        message::Part,
        question::Question,
        session::Session,
        turn::Turn,
    },
    store::core::{
        draft::length,
        facts::{Facts, Replay, Want},
        request_id::{KeptRequest, Request, RequestDigest},
        snapshot::{
            ActiveTurn, Hidden, KEPT_TEXT_MAX_BYTES, OpenBlock, OpenItem, Origin, Sender, Snapshot,
            Tombstone, WaitingSteer, WaitingTurn,
        },
    },
};
use rusqlite::{Connection, OptionalExtension as _, Row};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Places that the row of a request may have.
const REQUEST_SLOTS: i64 = 4;
/// Tombstones of one key that are looked at, the newest first.
const TOMBSTONES_MAX: i64 = 64;

/// Turns that wait in the queue.
const WAITING: &str = "turn.state = 1 ORDER BY turn.position";
/// Turns that wait for their `not_before`.
const SCHEDULED: &str = "turn.state = 0 ORDER BY turn.not_before, turn.row";

const BY_KEY: &str = "session.tenant = ?1 AND session.key = ?2";
const BY_ROW: &str = "session.row = ?1";

// === sessions ===

/// The session of a key, as callers see it.
pub(super) fn session_of_key(
    connection: &Connection,
    generation: Uuid,
    tenant: &str,
    key: &str,
) -> Answer<Option<(Session, RowHidden)>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM session WHERE {BY_KEY}",
        rows::SESSION
    ))?;
    let mut found = statement.query((tenant, key))?;
    found
        .next()?
        .map(|row| rows::session(row, generation))
        .transpose()
}

/// The session of a row, as callers see it.
pub(super) fn session_of_row(
    connection: &Connection,
    generation: Uuid,
    row: SessionRow,
) -> Answer<Option<(Session, RowHidden)>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM session WHERE {BY_ROW}",
        rows::SESSION
    ))?;
    let mut found = statement.query([row.0])?;
    found
        .next()?
        .map(|row| rows::session(row, generation))
        .transpose()
}

/// Why there is no session of that row.
pub(super) fn gone(connection: &Connection, row: SessionRow) -> Answer<Refusal> {
    let key = connection
        .prepare_cached("SELECT key FROM tombstone WHERE session = ?1")?
        .query_row([row.0], |row| row.get(0))
        .optional()?;
    Ok(Refusal::SessionDeleted {
        key: key.unwrap_or_default(),
    })
}

/// Why there is no session of that key for somebody.
pub(super) fn absent(
    connection: &Connection,
    viewer: &Identity,
    key: &SessionKey,
) -> Answer<Refusal> {
    let left = tombstones(connection, &viewer.principal.tenant, key)?;
    let deleted = left.iter().any(|left| left.access(viewer).is_some());
    let key = key.as_str().to_owned();
    Ok(if deleted {
        Refusal::SessionDeleted { key }
    } else {
        Refusal::SessionNotFound { key }
    })
}

/// Position of the last event of a session that is gone.
pub(super) fn last_position(connection: &Connection, row: SessionRow) -> Answer<Option<i64>> {
    let head = connection
        .prepare_cached("SELECT head FROM tombstone WHERE session = ?1")?
        .query_row([row.0], |row| row.get(0))
        .optional()?;
    Ok(head)
}

/// The turn of a row.
pub(super) fn turn_of_row(
    connection: &Connection,
    key: &SessionKey,
    row: i64,
) -> Answer<Option<Turn>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM turn WHERE turn.row = ?1",
        rows::TURN
    ))?;
    let mut found = statement.query([row])?;
    found.next()?.map(|row| rows::turn(row, key)).transpose()
}

/// The turn of an id in a session.
pub(super) fn turn_of_id(
    connection: &Connection,
    session: &Session,
    turn_id: Uuid,
) -> Answer<Option<Turn>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM turn WHERE turn.turn_id = ?1 AND turn.session = ?2",
        rows::TURN
    ))?;
    let mut found = statement.query((turn_id, session.row.0))?;
    found
        .next()?
        .map(|row| rows::turn(row, &session.key))
        .transpose()
}

/// What is left of the sessions that had a key, the newest first.
fn tombstones(connection: &Connection, tenant: &str, key: &SessionKey) -> Answer<Vec<Tombstone>> {
    let mut statement = connection.prepare_cached(
        "SELECT session, uid, head, tenant, owner, shares FROM tombstone WHERE tenant = ?1 AND key = ?2 \
         ORDER BY session DESC LIMIT ?3",
    )?;
    let mut found = statement.query((tenant, key.as_str(), TOMBSTONES_MAX))?;
    let mut left = Vec::new();
    while let Some(row) = found.next()? {
        left.push(tombstone(row)?);
    }
    Ok(left)
}

fn tombstone_of_row(connection: &Connection, row: SessionRow) -> Answer<Option<Tombstone>> {
    let mut statement = connection.prepare_cached(
        "SELECT session, uid, head, tenant, owner, shares FROM tombstone WHERE session = ?1",
    )?;
    let mut found = statement.query([row.0])?;
    found.next()?.map(tombstone).transpose()
}

fn tombstone(row: &Row<'_>) -> Answer<Tombstone> {
    Ok(Tombstone {
        row: SessionRow(row.get(0)?),
        uid: row.get(1)?,
        head: row.get(2)?,
        tenant: row.get(3)?,
        owner: row.get(4)?,
        shares: rows::shares_of(&row.get::<_, String>(5)?)?,
    })
}

// === snapshots ===

/// The snapshot of a session.
pub(super) fn snapshot(
    connection: &Connection,
    found: Option<(Session, RowHidden)>,
) -> Answer<Option<Arc<Snapshot>>> {
    let Some((session, hidden)) = found else {
        return Ok(None);
    };
    let RowHidden {
        active_row,
        pending_reset,
        stored_bytes,
    } = hidden;
    let hidden = Hidden {
        pending_reset,
        stored_bytes,
    };
    let mut snapshot = Snapshot::idle(Arc::new(session), hidden);
    if snapshot.session.queue_depth > 0 {
        snapshot.waiting = waiting(connection, &snapshot.session, WAITING)?;
    }
    snapshot.scheduled = waiting(connection, &snapshot.session, SCHEDULED)?;
    if let Some(row) = active_row {
        snapshot.active = Some(Arc::new(active(connection, &snapshot.session, row)?));
        snapshot.steers = steers(connection, &snapshot.session)?;
        snapshot.open = open_items(connection, &snapshot.session, false)?;
        snapshot.questions = open_questions(connection, &snapshot.session)?;
    }
    Ok(Some(Arc::new(snapshot)))
}

fn active(connection: &Connection, session: &Session, row: i64) -> Answer<ActiveTurn> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {}, turn.cancel_clears, turn.bytes, turn.request, turn.sender, turn.sender_key, \
         turn.sender_operator, turn.sender_memory, turn.labels, turn.grant_micros, turn.grant_tokens \
         FROM turn WHERE turn.row = ?1",
        rows::TURN
    ))?;
    let first = statement.column_count() - 10;
    let mut found = statement.query([row])?;
    let Some(row) = found.next()? else {
        return Err(Fault::Broken(format!(
            "session {} has no row of its active turn",
            session.row.0
        )));
    };
    let turn = rows::turn(row, &session.key)?;
    Ok(ActiveTurn {
        clears: row.get(first)?,
        bytes: row.get(first + 1)?,
        origin: origin(row, first + 2, turn.trace_context.clone())?,
        grant: Grant {
            until_micros: row.get(first + 8)?,
            until_tokens: row.get(first + 9)?,
        },
        turn,
    })
}

/// Turns of a session that did not start, in a state or another.
fn waiting(
    connection: &Connection,
    session: &Session,
    which: &str,
) -> Answer<Vec<Arc<WaitingTurn>>> {
    // What is long stays where it is.
    let short = "CASE WHEN octet_length(turn.text) > ?2 THEN '' ELSE turn.text END";
    let columns = rows::TURN.replace("turn.text", short);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {columns}, octet_length(turn.text) > ?2, turn.position, turn.goes_first, turn.bytes, turn.request, \
         turn.sender, turn.sender_key, turn.sender_operator, turn.sender_memory, turn.labels FROM turn \
         WHERE turn.session = ?1 AND {which}"
    ))?;
    let first = statement.column_count() - 10;
    let mut found = statement.query((session.row.0, length(KEPT_TEXT_MAX_BYTES)))?;
    let mut waiting = Vec::new();
    while let Some(row) = found.next()? {
        let turn = rows::turn(row, &session.key)?;
        waiting.push(Arc::new(WaitingTurn {
            text_left: row.get(first)?,
            position: row.get(first + 1)?,
            goes_first: row.get(first + 2)?,
            bytes: row.get(first + 3)?,
            origin: origin(row, first + 4, turn.trace_context.clone())?,
            turn,
        }));
    }
    Ok(waiting)
}

/// From the columns `request`, `sender`, `sender_key`, `sender_operator`, `sender_memory`, `labels`.
fn origin(row: &Row<'_>, first: usize, trace_context: String) -> Answer<Origin> {
    Ok(Origin {
        request: row.get(first)?,
        sender: Sender {
            subject: row.get(first + 1)?,
            key_id: row.get(first + 2)?,
            operator: row.get(first + 3)?,
            memory: row.get(first + 4)?,
        },
        trace_context,
        labels: rows::map_of(&row.get::<_, String>(first + 5)?)?,
    })
}

fn steers(connection: &Connection, session: &Session) -> Answer<Vec<Arc<WaitingSteer>>> {
    let mut statement = connection.prepare_cached(
        "SELECT steer_id, given, text, attachments, turn_timeout, time, trace_context, request, sender, sender_key, \
         sender_operator, sender_memory, labels FROM steer WHERE session = ?1 ORDER BY row",
    )?;
    let mut found = statement.query([session.row.0])?;
    let mut steers = Vec::new();
    while let Some(row) = found.next()? {
        steers.push(Arc::new(WaitingSteer {
            steer_id: row.get(0)?,
            given: row.get(1)?,
            text: row.get(2)?,
            attachments: rows::refs_of(&row.get::<_, String>(3)?)?,
            turn_timeout: Duration::from_micros(row.get::<_, i64>(4)?.unsigned_abs()),
            time: Time(row.get(5)?),
            origin: origin(row, 7, row.get(6)?)?,
        }));
    }
    Ok(steers)
}

/// The open items of a session's active turn, with their texts or without. A row of `content_index` -1 stands for the
/// item itself: its `block` is the role, negative, and its text a tool's arguments.
fn open_items(connection: &Connection, session: &Session, texts: bool) -> Answer<Vec<OpenItem>> {
    let mut statement = connection.prepare_cached(
        "SELECT item_id, content_index, block, tool_call_id, tool_name, CASE WHEN ?2 THEN text ELSE '' END, full_size, \
         done FROM open_block WHERE session = ?1 ORDER BY content_index >= 0, \
         CASE WHEN content_index < 0 THEN row ELSE content_index END",
    )?;
    let mut found = statement.query((session.row.0, texts))?;
    let mut items: Vec<OpenItem> = Vec::new();
    while let Some(row) = found.next()? {
        let item_id: Uuid = row.get(0)?;
        let content_index: i32 = row.get(1)?;
        let text = if texts { Some(row.get(5)?) } else { None };
        if content_index < 0 {
            let full_size: Option<i64> = row.get(6)?;
            items.push(OpenItem {
                item_id,
                role: rows::role_of(-row.get::<_, i64>(2)?)?,
                tool_call_id: row.get(3)?,
                tool_name: row.get(4)?,
                args: text.map(|text| crate::domain::event::Json {
                    text,
                    full_size: full_size.and_then(|size| usize::try_from(size).ok()),
                }),
                blocks: Vec::new(),
            });
        } else if let Some(item) = items.iter_mut().find(|item| item.item_id == item_id) {
            item.blocks.push(OpenBlock {
                content_index,
                kind: rows::block_kind(row.get(2)?)?,
                text,
                done: row.get(7)?,
            });
        }
    }
    Ok(items)
}

/// Questions of a session's active turn that are pending or whose answer its agent has not got, without the arguments of
/// their tools.
fn open_questions(connection: &Connection, session: &Session) -> Answer<Vec<Arc<Question>>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM question WHERE question.session = ?1 AND question.open = 1 ORDER BY question.row",
        rows::QUESTION
    ))?;
    let mut found = statement.query([session.row.0])?;
    let mut questions = Vec::new();
    while let Some(row) = found.next()? {
        let (_, mut question) = rows::question(row, &session.key)?;
        question.ask.args = crate::domain::event::Json::default();
        questions.push(Arc::new(question));
    }
    Ok(questions)
}

/// A question of a session.
pub(super) fn question(
    connection: &Connection,
    session: &Session,
    question_id: Uuid,
) -> Answer<Option<Question>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM question WHERE question.question_id = ?1 AND question.session = ?2",
        rows::QUESTION
    ))?;
    let mut found = statement.query((question_id, session.row.0))?;
    let question = found.next()?.map(|row| rows::question(row, &session.key));
    Ok(question.transpose()?.map(|(_, question)| question))
}

// === requests ===

/// Where a request's row is, or may be.
pub(super) enum Slot {
    /// It was done.
    Kept {
        /// Hash of what was asked for.
        hash: [u8; 32],
        /// The session that it was about.
        session: SessionRow,
        /// That session's own id.
        session_uid: Uuid,
        /// What it did, as JSON.
        receipt: String,
    },
    /// It was not; this row is free.
    Free(i64),
}

/// Looks for a request. Its row is found by the first 62 bits of its digest; where two share them the next of
/// [`REQUEST_SLOTS`] places is taken. Every place is always looked at, so a row that housekeeping took hides no other.
pub(super) fn kept(connection: &Connection, digest: RequestDigest) -> Answer<Slot> {
    let [a, b, c, d, e, f, g, h, ..] = digest;
    // 62 bits, so that no place overflows.
    let first = i64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 2;
    let mut statement = connection.prepare_cached(
        "SELECT id, key, hash, session, session_uid, receipt FROM request WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    )?;
    let mut rows = statement.query((first, first + REQUEST_SLOTS - 1))?;
    let mut free = first;
    while let Some(row) = rows.next()? {
        if row.get::<_, RequestDigest>(1)? == digest {
            return Ok(Slot::Kept {
                hash: row.get(2)?,
                session: SessionRow(row.get(3)?),
                session_uid: row.get(4)?,
                receipt: row.get(5)?,
            });
        }
        if row.get::<_, i64>(0)? == free {
            free += 1;
        }
    }
    if free < first + REQUEST_SLOTS {
        Ok(Slot::Free(free))
    } else {
        Err(Fault::Broken("no place for a request id".into()))
    }
}

/// What is kept of a command's request.
pub(super) fn request(connection: &Connection, digest: RequestDigest) -> Answer<Request> {
    Ok(match kept(connection, digest)? {
        Slot::Kept {
            hash,
            session,
            session_uid,
            receipt,
        } => Request::Kept(KeptRequest {
            hash,
            session,
            session_uid,
            receipt: serde_json::from_str(&receipt)
                .map_err(|error| Fault::Broken(format!("receipt: {error}")))?,
        }),
        Slot::Free(id) => Request::New { id, digest },
    })
}

// === facts ===

/// Looks up what a decision wants: a fact, or texts of its snapshot.
pub(super) fn look_up(
    connection: &Connection,
    generation: Uuid,
    caller: Option<&Caller>,
    snapshot: &mut Option<Arc<Snapshot>>,
    facts: &mut Facts,
    want: Want,
) -> Answer<()> {
    // Most facts are of a session that is there.
    let session = |snapshot: &Option<Arc<Snapshot>>| {
        let found = snapshot.as_ref().map(Arc::clone);
        found.ok_or_else(|| Fault::Broken(format!("{want:?} of no session")))
    };
    match &want {
        Want::Turn(turn_id) => {
            let found = session(snapshot)?;
            let turn = turn_of_id(connection, &found.session, *turn_id)?;
            facts.turns.insert(*turn_id, turn);
        }
        Want::Question(question_id) => {
            let found = session(snapshot)?;
            let question = question(connection, &found.session, *question_id)?;
            facts.questions.insert(*question_id, question);
        }
        Want::Texts(which) => {
            let mut changed = Arc::unwrap_or_clone(session(snapshot)?);
            let all = changed.waiting.iter_mut().chain(&mut changed.scheduled);
            let left = all.filter(|waiting| {
                waiting.text_left && which.is_none_or(|wanted| wanted == waiting.turn.turn_id)
            });
            for waiting in left {
                let waiting = Arc::make_mut(waiting);
                waiting.turn.text = connection
                    .prepare_cached("SELECT text FROM turn WHERE row = ?1")?
                    .query_row([waiting.turn.row], |row| row.get(0))?;
                waiting.text_left = false;
            }
            *snapshot = Some(Arc::new(changed));
        }
        Want::OpenTexts => {
            let mut changed = Arc::unwrap_or_clone(session(snapshot)?);
            changed.open = open_items(connection, &changed.session, true)?;
            *snapshot = Some(Arc::new(changed));
        }
        Want::Attachment(attachment_id) => {
            let found = session(snapshot)?;
            let has = connection
                .prepare_cached("SELECT 1 FROM attachment WHERE session = ?1 AND hash = ?2")?
                .exists((found.session.row.0, attachment_id))?;
            facts.attachments.insert(attachment_id.clone(), has);
        }
        Want::RevokedKey(key_id) => {
            let revoked = connection
                .prepare_cached(
                    "SELECT 1 FROM api_key WHERE key_id = ?1 AND revoke_time IS NOT NULL",
                )?
                .exists([key_id])?;
            facts.revoked_keys.insert(key_id.clone(), revoked);
        }
        Want::Tombstones => {
            let caller = caller.ok_or_else(|| Fault::Broken("tombstones of no key".into()))?;
            let tenant = &caller.identity.principal.tenant;
            facts.tombstones = Some(tombstones(connection, tenant, &caller.key)?);
        }
        Want::UserMessagesBefore(turn_id) => {
            let found = session(snapshot)?;
            let count = connection
                .prepare_cached(
                    "SELECT count(*) FROM message WHERE session = ?1 AND generation = ?2 AND role = 1 AND row < \
                     (SELECT min(row) FROM message WHERE session = ?1 AND generation = ?2 AND turn_id = ?3)",
                )?
                .query_row(
                    (found.session.row.0, found.session.generation, turn_id),
                    |row| row.get(0),
                )?;
            facts.user_messages_before = Some(count);
        }
        Want::LastText => {
            let found = session(snapshot)?;
            facts.last_text = Some(last_text(connection, &found.session)?);
        }
        Want::NewestKind => {
            let found = session(snapshot)?;
            let kind = connection
                .prepare_cached("SELECT kind FROM event WHERE session = ?1 AND seq = ?2")?
                .query_row((found.session.row.0, found.session.head), |row| row.get(0))
                .optional()?;
            facts.newest_kind = Some(kind.map(EventKind));
        }
        Want::Budgets(spender) => {
            let budgets = budgets::of_spender(connection, spender)?;
            facts.budgets.insert(spender.clone(), budgets);
        }
        Want::ClientTools => {
            let found = session(snapshot)?;
            let has = connection
                .prepare_cached("SELECT client_tools <> '' FROM session WHERE row = ?1")?
                .query_row([found.session.row.0], |row| row.get(0))?;
            facts.has_client_tools = Some(has);
        }
        Want::Offers {
            tenant,
            agent,
            revision,
            session,
        } => {
            let kept = offers::find(connection, (tenant, agent, revision), *session)?;
            facts.offers.insert(want.clone(), kept);
        }
        Want::Replay {
            session: row,
            turns,
        } => {
            let mut replay = Replay {
                session: None,
                tombstone: None,
                turns: Vec::new(),
            };
            if let Some((session, _)) = session_of_row(connection, generation, *row)? {
                for turn_id in turns {
                    let turn = turn_of_id(connection, &session, *turn_id)?;
                    replay.turns.extend(turn);
                }
                replay.session = Some(session);
            } else {
                replay.tombstone = tombstone_of_row(connection, *row)?;
            }
            facts.replay = Some(replay);
        }
    }
    Ok(())
}

/// Text of the newest assistant message of the active turn, whose messages are the newest of all.
fn last_text(connection: &Connection, session: &Session) -> Answer<String> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM message WHERE session = ?1 AND generation = ?2 ORDER BY row DESC",
        rows::MESSAGE
    ))?;
    let mut found = statement.query((session.row.0, session.generation))?;
    while let Some(row) = found.next()? {
        let (message, _) = rows::message(row)?;
        if Some(message.turn_id) != session.active_turn {
            break;
        }
        if message.role == Role::Assistant {
            return Ok(message
                .parts
                .into_iter()
                .filter_map(|part| match part {
                    Part::Text { text, .. } => Some(text),
                    Part::Thinking { .. } | Part::ToolCall { .. } | Part::Attachment(_) => None,
                })
                .collect());
        }
    }
    Ok(String::new())
}
