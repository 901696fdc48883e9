//! Between rows and the domain. Column lists stand beside the code that reads them, in the same order.

use super::fault::{Answer, Fault};
use crate::domain::{
    access::{SessionAccess, Shares},
    event::{BlockKind, EventKind, Role},
    ids::{LogId, SessionKey, SessionRow, Time},
    memory::Reach,
    message::Message,
    question::{NoApprover, Question, QuestionState, Resolution},
    routing::Routing,
    session::{Session, SessionState},
    tool_policy::ToolRule,
    turn::{
        AbortMode, AttachmentRef, Cancel, Cause, ContextUse, OnInterrupt, StopReason, Turn,
        TurnError, TurnState, Usage,
    },
};
use crate::store::StoredEvent;
use crate::wire::frames;
use bytes::Bytes;
use rusqlite::{Row, types::FromSql};
use std::{cell::Cell, collections::BTreeMap, sync::Arc, time::Duration};
use uuid::Uuid;

/// Columns that [`session`] reads.
pub(super) const SESSION: &str = "session.row, session.tenant, session.key, session.uid, session.owner, \
    session.is_primary, session.cwd, session.create_time, session.session_id, session.generation, \
    session.display_name, session.agent, session.next_agent, session.model, session.thinking_level, \
    session.labels, session.expire_after_idle, session.state, session.active_turn, session.queue_depth, \
    session.queue_bytes, session.message_count, session.user_message_count, session.last_message_preview, \
    session.input_tokens, session.output_tokens, session.cache_read_tokens, session.cache_write_tokens, \
    session.cost_micros, session.model_calls, session.unpriced_calls, session.reasoning_tokens, \
    session.context_tokens, session.context_window, session.budget_wait, session.worker_wait, session.head, session.first_seq, session.epoch, \
    session.update_time, session.last_active_time, session.shares, session.memory_namespaces, \
    session.no_approver, session.question_ttl, session.tool_policy, session.pending_questions, \
    session.options, session.used_model, session.used_thinking_level, session.offers_digest, session.routing, session.active_row, \
    session.pending_reset, session.stored_bytes";

/// A turn's prompt.
macro_rules! turn_text {
    () => {
        "coalesce((SELECT turn_text.text FROM turn_text WHERE turn_text.turn = turn.row), turn.text)"
    };
}

/// A turn's prompt, wherever it stands.
pub(super) const TURN_TEXT: &str = turn_text!();

/// Bytes that a turn's row counts for, and its prompt.
pub(super) const TURN_BYTES: &str = "octet_length(turn.text) + octet_length(turn.response_text) \
    + octet_length(turn.output_json) + octet_length(turn.output_schema) + octet_length(turn.client_tools) \
    + coalesce((SELECT octet_length(turn_text.text) FROM turn_text WHERE turn_text.turn = turn.row), 0)";

/// Columns that [`turn`] reads.
pub(super) const TURN: &str = concat!(
    "turn.row, turn.turn_id, turn.generation, turn.state, turn.stop_reason, \
    turn.error_cause, turn.error_message, turn.attempt, turn.agent, turn.model, turn.input_tokens, \
    turn.output_tokens, turn.cache_read_tokens, turn.cache_write_tokens, turn.cost_micros, turn.model_calls, \
    turn.unpriced_calls, turn.reasoning_tokens, \
    turn.create_time, turn.start_time, turn.end_time, turn.source, turn.metadata, turn.attachments, \
    turn.on_interrupt, turn.turn_timeout, turn.expire_time, turn.cancel_cause, turn.cancel_mode, \
    turn.cancel_kill_time, ",
    turn_text!(),
    ", turn.response_text, turn.trace_context, \
    (SELECT session.tenant FROM session WHERE session.row = turn.session) || '/' || turn.sender, \
    turn.agent_revision, turn.command, turn.output_json, turn.not_before, \
    turn.thinking_level, turn.routing"
);

/// Columns that [`question`] reads.
pub(super) const QUESTION: &str = "question.row, question.question_id, question.turn_id, question.attempt, \
    question.digest, question.ask, question.state, question.policy_rule, question.answer, question.answered_by, \
    question.resolution, question.create_time, question.expire_time, question.resolve_time, question.delivered";

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
            unpriced_calls: self.take()?,
            reasoning_tokens: self.take()?,
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
        context: ContextUse {
            tokens: c.take()?,
            window: c.take()?,
        },
        budget_wait: c.take()?,
        worker_wait: c.take()?,
        head: c.take()?,
        first_seq: c.take()?,
        epoch: c.take()?,
        update_time: c.time()?,
        last_active_time: c.time()?,
        shares: shares_of(&c.take::<String>()?)?,
        memory_namespaces: reach_of(&c.take::<String>()?)?,
        no_approver: match c.take::<Option<i64>>()? {
            Some(number) => Some(known(NoApprover::from_number(number), "no_approver")?),
            None => None,
        },
        question_ttl: c.take()?,
        tool_policy: tool_policy_of(&c.take::<String>()?)?,
        pending_questions: c.take()?,
        options: map_of(&c.take::<String>()?)?,
        used_model: c.take()?,
        used_thinking_level: c.take()?,
        offers_digest: c.take()?,
        routing: routing(&c.take::<String>()?)?,
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

/// A tool policy as JSON; empty text for none, which is the usual one.
pub(super) fn tool_policy_text(rules: &[ToolRule]) -> String {
    if rules.is_empty() {
        String::new()
    } else {
        serde_json::to_string(rules).expect("texts are always JSON")
    }
}

fn tool_policy_of(text: &str) -> Answer<Vec<ToolRule>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map_err(|error| Fault::Broken(format!("tool policy: {error}")))
}

/// Most are of tenants without routes.
fn routing(text: &str) -> Answer<Arc<Routing>> {
    super::routes::routing_of(text).map(Arc::new)
}

/// A turn of the session with that key.
pub(super) fn turn(row: &Row<'_>, session_key: &SessionKey) -> Answer<Turn> {
    let c = Columns::of(row);
    let row = c.take()?;
    let turn_id = c.take()?;
    let generation = c.take()?;
    let state = turn_state(c.take()?)?;
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
        principal: c.take::<Option<String>>()?.unwrap_or_default(),
        agent_revision: c.take()?,
        command: c.take()?,
        output_json: c.take()?,
        not_before: c.maybe_time()?,
        thinking_level: c.take()?,
        routing: routing(&c.take::<String>()?)?,
    })
}

/// A turn's state as it is stored: the contract's number, but for SCHEDULED, which is 0, so that up to 4 a turn is not
/// finished, and beyond it is.
pub(super) fn turn_state_number(state: TurnState) -> i64 {
    match state {
        TurnState::Scheduled => 0,
        other => other as i64,
    }
}

/// The state with that stored number.
pub(super) fn turn_state(number: i64) -> Answer<TurnState> {
    let state = match number {
        0 => Some(TurnState::Scheduled),
        number => TurnState::from_number(number).filter(|state| *state != TurnState::Scheduled),
    };
    known(state, "turn state")
}

/// A question of the session with that key, after its row.
pub(super) fn question(row: &Row<'_>, session_key: &SessionKey) -> Answer<(i64, Question)> {
    let c = Columns::of(row);
    let row = c.take()?;
    let broken = |problem: serde_json::Error| Fault::Broken(format!("question: {problem}"));
    let question = Question {
        question_id: c.take()?,
        session_key: session_key.clone(),
        turn_id: c.take()?,
        attempt: c.take()?,
        action_digest: c.take()?,
        ask: serde_json::from_str(&c.take::<String>()?).map_err(broken)?,
        state: known(QuestionState::from_number(c.take()?), "question state")?,
        policy_rule: c.take()?,
        answer: match c.take::<String>()? {
            text if text.is_empty() => None,
            text => Some(serde_json::from_str(&text).map_err(broken)?),
        },
        answered_by: c.take()?,
        resolution: match c.take::<Option<i64>>()? {
            Some(number) => Some(known(Resolution::from_number(number), "resolution")?),
            None => None,
        },
        create_time: c.time()?,
        expire_time: c.time()?,
        resolve_time: c.maybe_time()?,
        delivered: c.take()?,
    };
    Ok((row, question))
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

pub(super) fn map_of(text: &str) -> Answer<BTreeMap<String, String>> {
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_str(text).map_err(|e| Fault::Broken(format!("map: {e}")))
}

fn known<T>(value: Option<T>, what: &str) -> Answer<T> {
    value.ok_or_else(|| Fault::Broken(format!("unknown {what} in the store")))
}
