//! Between rows and the domain. Column lists stand beside the code that reads them, in the same order.

use super::fault::{Answer, Fault};
use crate::domain::{
    access::{SessionAccess, Shares},
    event::{BlockKind, EventKind, Role},
    ids::{LogId, SessionKey, SessionRow, Time},
    memory::Reach,
    message::Message,
    session::{Session, SessionState},
    turn::{
        AbortMode, AttachmentRef, Cancel, Cause, OnInterrupt, StopReason, Turn, TurnError,
        TurnState, Usage,
    },
};
use crate::store::StoredEvent;
use crate::wire::frames;
use bytes::Bytes;
use rusqlite::{Row, types::FromSql};
use std::{cell::Cell, collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// Columns that [`session`] reads.
pub(super) const SESSION: &str = "session.row, session.tenant, session.key, session.uid, session.owner, \
    session.is_primary, session.cwd, session.create_time, session.session_id, session.generation, \
    session.display_name, session.agent, session.next_agent, session.model, session.thinking_level, \
    session.labels, session.expire_after_idle, session.state, session.active_turn, session.queue_depth, \
    session.queue_bytes, session.message_count, session.user_message_count, session.last_message_preview, \
    session.input_tokens, session.output_tokens, session.cache_read_tokens, session.cache_write_tokens, \
    session.cost_micros, session.model_calls, session.head, session.first_seq, session.epoch, \
    session.update_time, session.last_active_time, session.shares, session.memory_namespaces, \
    session.active_row, session.pending_reset, session.stored_bytes";

/// Columns that [`turn`] reads.
pub(super) const TURN: &str = "turn.row, turn.turn_id, turn.generation, turn.state, turn.stop_reason, \
    turn.error_cause, turn.error_message, turn.attempt, turn.agent, turn.model, turn.input_tokens, \
    turn.output_tokens, turn.cache_read_tokens, turn.cache_write_tokens, turn.cost_micros, turn.model_calls, \
    turn.create_time, turn.start_time, turn.end_time, turn.source, turn.metadata, turn.attachments, \
    turn.on_interrupt, turn.turn_timeout, turn.expire_time, turn.cancel_cause, turn.cancel_mode, \
    turn.cancel_kill_time, turn.text, turn.response_text, turn.trace_context";

/// Columns that [`event`] reads.
pub(super) const EVENT: &str = "seq, epoch, kind, turn_id, item_id, body";

/// Columns that [`message`] reads.
pub(super) const MESSAGE: &str =
    "seq, item_id, turn_id, generation, role, time, partial, continued, parts";

/// What a session's row holds beside the session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hidden {
    /// Row of the active turn.
    pub(super) active_row: Option<i64>,
    /// A Reset waits for the active turn's end.
    pub(super) pending_reset: bool,
    /// Bytes that are stored for it, see `storage`.
    pub(super) stored_bytes: i64,
}

/// Reads columns from left to right.
struct Columns<'r> {
    row: &'r Row<'r>,
    next: Cell<usize>,
}

impl<'r> Columns<'r> {
    fn of(row: &'r Row<'r>) -> Self {
        Self {
            row,
            next: Cell::new(0),
        }
    }

    fn take<T: FromSql>(&self) -> rusqlite::Result<T> {
        let place = self.next.get();
        self.next.set(place + 1);
        self.row.get(place)
    }

    fn time(&self) -> rusqlite::Result<Time> {
        self.take().map(Time)
    }

    fn maybe_time(&self) -> rusqlite::Result<Option<Time>> {
        Ok(self.take::<Option<i64>>()?.map(Time))
    }

    fn usage(&self) -> rusqlite::Result<Usage> {
        Ok(Usage {
            input_tokens: self.take()?,
            output_tokens: self.take()?,
            cache_read_tokens: self.take()?,
            cache_write_tokens: self.take()?,
            cost_micros: self.take()?,
            model_calls: self.take()?,
        })
    }
}

/// A session and what its row holds beside it.
pub(super) fn session(row: &Row<'_>, store_generation: Uuid) -> Answer<(Session, Hidden)> {
    let c = Columns::of(row);
    let session_row = SessionRow(c.take()?);
    let tenant = c.take()?;
    let key = session_key(&c.take::<String>()?)?;
    let uid: Uuid = c.take()?;
    let owner = c.take()?;
    let primary = c.take()?;
    let cwd = c.take()?;
    let create_time = c.time()?;
    let session = Session {
        row: session_row,
        uid,
        tenant,
        owner,
        key,
        log_id: LogId::derive(uid, store_generation),
        primary,
        cwd,
        create_time,
        session_id: c.take()?,
        generation: c.take()?,
        display_name: c.take()?,
        agent: c.take()?,
        next_agent: c.take()?,
        model: c.take()?,
        thinking_level: c.take()?,
        labels: map_of(&c.take::<String>()?)?,
        expire_after_idle: c.take()?,
        state: known(SessionState::from_number(c.take()?), "session state")?,
        active_turn: c.take()?,
        queue_depth: c.take()?,
        queue_bytes: c.take()?,
        message_count: c.take()?,
        user_message_count: c.take()?,
        last_message_preview: c.take()?,
        usage: c.usage()?,
        head: c.take()?,
        first_seq: c.take()?,
        epoch: c.take()?,
        update_time: c.time()?,
        last_active_time: c.time()?,
        shares: shares_of(&c.take::<String>()?)?,
        memory_namespaces: reach_of(&c.take::<String>()?)?,
    };
    let hidden = Hidden {
        active_row: c.take()?,
        pending_reset: c.take()?,
        stored_bytes: c.take()?,
    };
    Ok((session, hidden))
}

/// What memory a session reaches, as a column: no name has blanks.
pub(super) fn reach_text(reach: &[Reach]) -> String {
    let names: Vec<&str> = reach.iter().map(Reach::as_str).collect();
    names.join(" ")
}

fn reach_of(text: &str) -> Answer<Vec<Reach>> {
    text.split_ascii_whitespace()
        .map(|name| {
            Reach::parse(name).map_err(|problem| Fault::Broken(format!("memory: {problem}")))
        })
        .collect()
}

/// Shares as a column.
pub(super) fn shares_text(shares: &Shares) -> String {
    if shares.is_empty() {
        return String::new();
    }
    let numbers: BTreeMap<&str, i64> = shares
        .iter()
        .map(|(subject, access)| (subject.as_str(), *access as i64))
        .collect();
    serde_json::to_string(&numbers).expect("a map of texts and numbers is JSON")
}

/// Shares from their column.
pub(super) fn shares_of(text: &str) -> Answer<Shares> {
    if text.is_empty() {
        return Ok(Shares::new());
    }
    let numbers: BTreeMap<String, i64> =
        serde_json::from_str(text).map_err(|error| Fault::Broken(format!("shares: {error}")))?;
    numbers
        .into_iter()
        .map(|(subject, number)| {
            let access = known(SessionAccess::from_number(number), "session access")?;
            Ok((subject, access))
        })
        .collect()
}

/// A turn of the session with that key.
pub(super) fn turn(row: &Row<'_>, session_key: &SessionKey) -> Answer<Turn> {
    let c = Columns::of(row);
    let row = c.take()?;
    let turn_id = c.take()?;
    let generation = c.take()?;
    let state = known(TurnState::from_number(c.take()?), "turn state")?;
    let stop_reason = match c.take::<Option<i64>>()? {
        Some(number) => Some(known(StopReason::from_number(number), "stop reason")?),
        None => None,
    };
    let error_cause: Option<String> = c.take()?;
    let error_message: Option<String> = c.take()?;
    let error = match error_cause {
        Some(name) => Some(TurnError {
            cause: known(Cause::parse(&name), "cause")?,
            message: error_message.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(Turn {
        row,
        turn_id,
        session_key: session_key.clone(),
        generation,
        state,
        stop_reason,
        error,
        attempt: c.take()?,
        agent: c.take()?,
        model: c.take()?,
        usage: c.usage()?,
        create_time: c.time()?,
        start_time: c.maybe_time()?,
        end_time: c.maybe_time()?,
        source: c.take()?,
        metadata: map_of(&c.take::<String>()?)?,
        attachments: refs_of(&c.take::<String>()?)?,
        on_interrupt: match c.take::<Option<i64>>()? {
            None => None,
            Some(1) => Some(OnInterrupt::Mark),
            Some(2) => Some(OnInterrupt::Retry),
            Some(other) => return Err(Fault::Broken(format!("on_interrupt {other}"))),
        },
        turn_timeout: Duration::from_micros(c.take::<i64>()?.unsigned_abs()),
        expire_time: c.maybe_time()?,
        cancel: {
            let cause: Option<String> = c.take()?;
            let mode: Option<i64> = c.take()?;
            let kill_time = c.maybe_time()?;
            match (cause, kill_time) {
                (Some(cause), Some(kill_time)) => Some(Cancel {
                    cause: known(Cause::parse(&cause), "cause")?,
                    mode: if mode == Some(AbortMode::Kill as i64) {
                        AbortMode::Kill
                    } else {
                        AbortMode::Cancel
                    },
                    kill_time,
                }),
                (_, _) => None,
            }
        },
        text: c.take()?,
        response_text: c.take()?,
        trace_context: c.take()?,
    })
}

/// A stored event.
pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let c = Columns::of(row);
    Ok(StoredEvent {
        seq: c.take()?,
        epoch: c.take()?,
        kind: EventKind(c.take()?),
        turn_id: c.take()?,
        item_id: c.take()?,
        body: Bytes::from(c.take::<Vec<u8>>()?),
    })
}

/// A message, and the size of its parts.
pub(super) fn message(row: &Row<'_>) -> Answer<(Message, usize)> {
    let c = Columns::of(row);
    let mut message = Message {
        seq: c.take()?,
        item_id: c.take()?,
        turn_id: c.take()?,
        generation: c.take()?,
        role: role_of(c.take()?)?,
        create_time: c.time()?,
        partial: c.take()?,
        continued: c.take()?,
        parts: Vec::new(),
    };
    let parts: Vec<u8> = c.take()?;
    message.parts = frames::decode_parts(&parts);
    Ok((message, parts.len()))
}

/// The role with that number.
pub(super) fn role_of(number: i64) -> Answer<Role> {
    let roles = [Role::User, Role::Assistant, Role::Tool, Role::System];
    known(roles.into_iter().find(|r| *r as i64 == number), "role")
}

/// What a block holds, by its number.
pub(super) fn block_kind(number: i64) -> Answer<BlockKind> {
    let kinds = [
        BlockKind::Text,
        BlockKind::Thinking,
        BlockKind::ToolInput,
        BlockKind::ToolResult,
    ];
    known(kinds.into_iter().find(|k| *k as i64 == number), "block")
}

/// A key that was parsed before it was stored.
pub(super) fn session_key(text: &str) -> Answer<SessionKey> {
    SessionKey::parse(text).map_err(|problem| Fault::Broken(format!("stored key: {problem}")))
}

/// A map as JSON; empty text for an empty one, which is the usual one.
pub(super) fn map_text(map: &BTreeMap<String, String>) -> String {
    if map.is_empty() {
        String::new()
    } else {
        serde_json::to_string(map).expect("strings are always JSON")
    }
}

/// References as JSON; empty text for none.
pub(super) fn refs_text(refs: &[AttachmentRef]) -> String {
    if refs.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = refs
        .iter()
        .map(|r| {
            let AttachmentRef {
                attachment_id,
                name,
                media_type,
                size,
            } = r;
            (attachment_id, name, media_type, size)
        })
        .collect();
    serde_json::to_string(&rows).expect("strings and numbers are always JSON")
}

/// References from their JSON.
pub(super) fn refs_of(text: &str) -> Answer<Vec<AttachmentRef>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(String, String, String, i64)> =
        serde_json::from_str(text).map_err(|e| Fault::Broken(format!("attachments: {e}")))?;
    Ok(rows
        .into_iter()
        .map(|(attachment_id, name, media_type, size)| AttachmentRef {
            attachment_id,
            name,
            media_type,
            size,
        })
        .collect())
}

fn map_of(text: &str) -> Answer<BTreeMap<String, String>> {
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_str(text).map_err(|e| Fault::Broken(format!("map: {e}")))
}

fn known<T>(value: Option<T>, what: &str) -> Answer<T> {
    value.ok_or_else(|| Fault::Broken(format!("unknown {what} in the store")))
}
