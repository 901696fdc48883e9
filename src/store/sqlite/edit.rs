//! One session inside one transaction: loaded, changed in memory, its events inserted as they happen, saved once.

use super::{
    fault::{Answer, Fault},
    ledger::Held,
    rows::{self, Hidden},
    storage,
    writer::Unit,
};
use crate::{
    domain::{
        Event, Refusal,
        access::Shares,
        event::Role,
        ids::{LogId, SessionKey, SessionRow, Time},
        limits::PREVIEW_MAX_CHARS,
        message::Part,
        refusal::LimitOf,
        session::{Session, SessionState},
        turn::{Turn, TurnState},
    },
    store::{Fence, Published, StoredEvent},
    wire::frames,
};
use rusqlite::{Connection, params};
use std::sync::Arc;
use uuid::Uuid;

/// A session that is being changed.
pub(super) struct SessionEdit {
    /// As it will be saved.
    pub(super) session: Session,
    /// What its row holds beside that.
    pub(super) hidden: Hidden,
    /// Settings changed: their columns are written too.
    pub(super) settings_changed: bool,
    /// A waiting turn was taken: the oldest one must be looked up.
    pub(super) wake_stale: bool,
    /// Bytes of its waiting turns that the ledger knows of.
    counted_bytes: i64,
    /// Bytes of what is stored for it that the ledger knows of.
    counted_stored: i64,
    events: Vec<StoredEvent>,
    ended: Vec<Arc<Turn>>,
}

/// A message that is written.
pub(super) struct NewMessage {
    /// Its item.
    pub(super) item_id: Uuid,
    /// Its turn.
    pub(super) turn_id: Uuid,
    /// Who speaks.
    pub(super) role: Role,
    /// Its parts.
    pub(super) parts: Vec<Part>,
    /// Cut short.
    pub(super) partial: bool,
    /// The next one goes on with it.
    pub(super) continued: bool,
}

const BY_KEY: &str = "session.tenant = ?1 AND session.key = ?2";
const BY_ROW: &str = "session.row = ?1";

// === loading ===

/// The session of a key.
pub(super) fn session_of_key(
    connection: &Connection,
    generation: Uuid,
    tenant: &str,
    key: &str,
) -> Answer<Option<(Session, Hidden)>> {
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

/// The session of a row.
pub(super) fn session_of_row(
    connection: &Connection,
    generation: Uuid,
    row: SessionRow,
) -> Answer<Option<(Session, Hidden)>> {
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
    let mut statement =
        connection.prepare_cached("SELECT key FROM tombstone WHERE session = ?1")?;
    let mut found = statement.query([row.0])?;
    let key = match found.next()? {
        Some(row) => row.get(0)?,
        None => String::new(),
    };
    Ok(Refusal::SessionDeleted { key })
}

/// Position of the last event of a session that is gone.
pub(super) fn last_position(connection: &Connection, row: SessionRow) -> Answer<Option<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT head FROM tombstone WHERE session = ?1")?;
    let mut found = statement.query([row.0])?;
    Ok(found.next()?.map(|row| row.get(0)).transpose()?)
}

// === impl SessionEdit ===

impl SessionEdit {
    /// The session of a key.
    pub(super) fn find(unit: &Unit<'_>, tenant: &str, key: &SessionKey) -> Answer<Option<Self>> {
        let generation = unit.identity.generation;
        let found = session_of_key(unit.connection, generation, tenant, key.as_str())?;
        Ok(found.map(Self::of))
    }

    /// The session of a row.
    pub(super) fn of_row(unit: &Unit<'_>, row: SessionRow) -> Answer<Option<Self>> {
        let found = session_of_row(unit.connection, unit.identity.generation, row)?;
        Ok(found.map(Self::of))
    }

    /// The session of a fence, if nobody has taken it since.
    pub(super) fn fenced(unit: &Unit<'_>, fence: Fence) -> Answer<Self> {
        let Fence { session, epoch } = fence;
        match Self::of_row(unit, session)? {
            Some(edit) if edit.session.epoch == epoch => Ok(edit),
            Some(_) | None => Err(Refusal::Fenced.into()),
        }
    }

    /// Inserts a new session; under a row that was reserved for it, or under the next one.
    pub(super) fn insert(
        unit: &Unit<'_>,
        mut session: Session,
        reserved: Option<SessionRow>,
    ) -> Answer<Self> {
        let count: i64 = unit
            .sql("SELECT value FROM meta WHERE name = 'sessions'")?
            .query_row([], |row| row.get(0))?;
        require_place(unit, &session, count)?;
        unit.sql("UPDATE meta SET value = ?1 WHERE name = 'sessions'")?
            .execute([count + 1])?;
        unit.sql(
            "INSERT INTO session (tenant, key, uid, owner, is_primary, cwd, create_time, session_id, generation, \
             display_name, agent, next_agent, model, thinking_level, labels, expire_after_idle, state, queue_depth, \
             queue_bytes, message_count, user_message_count, last_message_preview, input_tokens, output_tokens, \
             cache_read_tokens, cache_write_tokens, cost_micros, model_calls, head, first_seq, epoch, update_time, \
             last_active_time, pending_reset, owner_life, memory_namespaces, row) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, 0, 0, 0, 0, '', \
             0, 0, 0, 0, 0, 0, 0, 1, 0, ?7, ?7, 0, 0, ?18, ?19)",
        )?
        .execute(params![
            session.tenant,
            session.key.as_str(),
            session.uid,
            session.owner,
            session.primary,
            session.cwd,
            session.create_time.0,
            session.session_id,
            session.generation,
            session.display_name,
            session.agent,
            session.next_agent,
            session.model,
            session.thinking_level,
            rows::map_text(&session.labels),
            session.expire_after_idle,
            session.state as i64,
            rows::reach_text(&session.memory_namespaces),
            reserved.map(|row| row.0),
        ])?;
        session.row = SessionRow(unit.connection.last_insert_rowid());
        let one = Held {
            sessions: 1,
            ..Held::default()
        };
        unit.count(&session.tenant, &session.owner, one);
        session.log_id = LogId::derive(session.uid, unit.identity.generation);
        Ok(Self::of((session, Hidden::default())))
    }

    fn of((session, hidden): (Session, Hidden)) -> Self {
        Self {
            counted_bytes: session.queue_bytes,
            counted_stored: hidden.stored_bytes,
            session,
            hidden,
            settings_changed: false,
            wake_stale: false,
            events: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Generation that a command is counted in now: from a Reset's acceptance on the next one.
    pub(super) fn admission_generation(&self) -> i64 {
        self.session.generation + i64::from(self.hidden.pending_reset)
    }

    /// Agent of a turn that is admitted now.
    pub(super) fn admission_agent(&self) -> &str {
        if self.hidden.pending_reset && !self.session.next_agent.is_empty() {
            &self.session.next_agent
        } else {
            &self.session.agent
        }
    }

    /// The active turn.
    pub(super) fn active(&self, unit: &Unit<'_>) -> Answer<Option<Turn>> {
        let Some(row) = self.hidden.active_row else {
            return Ok(None);
        };
        let turn = turn_of_row(unit.connection, &self.session.key, row)?;
        match turn {
            Some(turn) => Ok(Some(turn)),
            None => Err(Fault::Broken(format!(
                "session {} has no row of its active turn",
                self.session.row.0
            ))),
        }
    }

    /// Appends an event and returns its `seq`.
    pub(super) fn event(
        &mut self,
        unit: &Unit<'_>,
        now: Time,
        turn: Option<(Uuid, i64)>,
        item_id: Option<Uuid>,
        event: &Event,
    ) -> Answer<i64> {
        let (turn_id, generation) = match turn {
            Some((turn_id, generation)) => (Some(turn_id), generation),
            None => (None, self.session.generation),
        };
        let seq = self.session.head + 1;
        let kind = event.kind();
        let body = frames::event_body(now, turn_id, item_id, generation, event);
        self.stored(storage::bytes(body.len()));
        unit.sql(
            "INSERT INTO event (session, seq, epoch, kind, turn_id, item_id, time, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            self.session.row.0,
            seq,
            self.session.epoch,
            kind.0,
            turn_id,
            item_id,
            now.0,
            &body[..],
        ])?;
        self.session.head = seq;
        self.events.push(StoredEvent {
            seq,
            epoch: self.session.epoch,
            kind,
            turn_id,
            item_id,
            body,
        });
        Ok(seq)
    }

    /// Counts bytes that are stored for it more, or less.
    pub(super) fn stored(&mut self, bytes: i64) {
        self.hidden.stored_bytes += bytes;
    }

    /// Notes a turn that ended.
    pub(super) fn note_ended(&mut self, turn: &Turn) {
        self.ended.push(Arc::new(turn.clone()));
    }

    /// Inserts a message row that carries the newest event's `seq`.
    pub(super) fn message(
        &mut self,
        unit: &Unit<'_>,
        now: Time,
        generation: i64,
        message: NewMessage,
    ) -> Answer<()> {
        let NewMessage {
            item_id,
            turn_id,
            role,
            parts,
            partial,
            continued,
        } = message;
        let encoded = frames::encode_parts(&parts);
        self.stored(storage::bytes(encoded.len()));
        unit.sql(
            "INSERT INTO message (session, generation, seq, item_id, turn_id, role, time, partial, continued, parts) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            self.session.row.0,
            generation,
            self.session.head,
            item_id,
            turn_id,
            role as i64,
            now.0,
            partial,
            continued,
            encoded,
        ])?;
        count_message(&mut self.session, role, &parts);
        Ok(())
    }

    /// Sets the session's state from what is true of it; `active` is the active turn's state.
    pub(super) fn settle_state(&mut self, active: Option<TurnState>) {
        self.session.state = if self.session.state == SessionState::Deleting {
            SessionState::Deleting
        } else if self.hidden.pending_reset {
            SessionState::Resetting
        } else {
            match active {
                Some(TurnState::Canceling) => SessionState::Canceling,
                Some(TurnState::WaitingInput) => SessionState::WaitingInput,
                Some(_) => SessionState::Running,
                None => SessionState::Idle,
            }
        };
    }

    /// Writes the session's row and notes what is to be published.
    pub(super) fn save(mut self, unit: &mut Unit<'_>, now: Time) -> Answer<Arc<Session>> {
        self.session.update_time = self.session.update_time.max(now);
        self.hidden.wake = self.wake(unit)?;
        let Session {
            row,
            usage,
            ref expire_after_idle,
            ..
        } = self.session;
        let idle_deadline = match expire_after_idle {
            Some(after) if !self.session.primary => {
                Some(self.session.last_active_time.plus_micros(*after).0)
            }
            Some(_) | None => None,
        };
        unit.sql(
            "UPDATE session SET state = ?2, active_turn = ?3, active_row = ?4, queue_depth = ?5, queue_bytes = ?6, \
             message_count = ?7, user_message_count = ?8, last_message_preview = ?9, input_tokens = ?10, \
             output_tokens = ?11, cache_read_tokens = ?12, cache_write_tokens = ?13, cost_micros = ?14, \
             model_calls = ?15, head = ?16, first_seq = ?17, epoch = ?18, update_time = ?19, \
             last_active_time = ?20, pending_reset = ?21, wake = ?22, idle_deadline = ?23, stored_bytes = ?24 WHERE row = ?1",
        )?
        .execute(params![
            row.0,
            self.session.state as i64,
            self.session.active_turn,
            self.hidden.active_row,
            self.session.queue_depth,
            self.session.queue_bytes,
            self.session.message_count,
            self.session.user_message_count,
            self.session.last_message_preview,
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.cost_micros,
            usage.model_calls,
            self.session.head,
            self.session.first_seq,
            self.session.epoch,
            self.session.update_time.0,
            self.session.last_active_time.0,
            self.hidden.pending_reset,
            self.hidden.wake,
            idle_deadline,
            self.hidden.stored_bytes,
        ])?;
        if self.settings_changed {
            self.save_settings(unit)?;
        }
        let more = Held {
            sessions: 0,
            queue_bytes: self.session.queue_bytes - self.counted_bytes,
            stored_bytes: self.hidden.stored_bytes - self.counted_stored,
        };
        unit.count(&self.session.tenant, &self.session.owner, more);
        let session = Arc::new(self.session);
        unit.publish(Published {
            session: Arc::clone(&session),
            events: self.events,
            ended: self.ended,
        });
        Ok(session)
    }

    /// Says who else may use it.
    pub(super) fn share(&mut self, unit: &Unit<'_>, shares: Shares) -> Answer<()> {
        let Session { row, tenant, .. } = &self.session;
        for subject in self.session.shares.keys() {
            unit.sql("DELETE FROM share WHERE tenant = ?1 AND subject = ?2 AND session = ?3")?
                .execute((tenant, subject, row.0))?;
        }
        for subject in shares.keys() {
            unit.sql("INSERT INTO share (tenant, subject, session) VALUES (?1, ?2, ?3)")?
                .execute((tenant, subject, row.0))?;
        }
        unit.sql("UPDATE session SET shares = ?2 WHERE row = ?1")?
            .execute((row.0, rows::shares_text(&shares)))?;
        self.session.shares = shares;
        Ok(())
    }

    fn save_settings(&self, unit: &Unit<'_>) -> Answer<()> {
        unit.sql(
            "UPDATE session SET session_id = ?2, generation = ?3, display_name = ?4, agent = ?5, next_agent = ?6, \
             model = ?7, thinking_level = ?8, labels = ?9, expire_after_idle = ?10, memory_namespaces = ?11, \
             cwd = ?12 WHERE row = ?1",
        )?
        .execute(params![
            self.session.row.0,
            self.session.session_id,
            self.session.generation,
            self.session.display_name,
            self.session.agent,
            self.session.next_agent,
            self.session.model,
            self.session.thinking_level,
            rows::map_text(&self.session.labels),
            self.session.expire_after_idle,
            rows::reach_text(&self.session.memory_namespaces),
            self.session.cwd,
        ])?;
        Ok(())
    }

    /// Why an owner must wake: 0 while DELETING, else the oldest waiting turn while none is active.
    fn wake(&self, unit: &Unit<'_>) -> Answer<Option<i64>> {
        if self.session.state == SessionState::Deleting {
            return Ok(Some(0));
        }
        if self.session.queue_depth == 0 || self.hidden.active_row.is_some() {
            return Ok(None);
        }
        match self.hidden.wake {
            Some(row) if !self.wake_stale => Ok(Some(row)),
            Some(_) | None => Ok(unit
                // Not by the index on all turns of the session: its old end is full of finished ones.
                .sql("SELECT min(row) FROM turn INDEXED BY turn_waiting WHERE session = ?1 AND state = 1")?
                .query_row([self.session.row.0], |row| row.get(0))?),
        }
    }
}

/// Refuses one more session where its owner, its tenant or the store has as many as it may.
fn require_place(unit: &Unit<'_>, session: &Session, all: i64) -> Answer<()> {
    let quotas = unit.rules.quotas.get();
    let (owner, tenant) = unit.held(&session.tenant, &session.owner);
    let places = [
        (
            LimitOf::Principal,
            quotas.principal.max_sessions,
            owner.sessions,
        ),
        (LimitOf::Tenant, quotas.tenant.max_sessions, tenant.sessions),
        (LimitOf::Server, quotas.max_sessions, all),
    ];
    for (of, limit, current) in places {
        if current >= limit {
            return Err(Refusal::TooManySessions { of, limit, current }.into());
        }
    }
    Ok(())
}

/// Counts a message of the session's generation and takes its preview.
pub(super) fn count_message(session: &mut Session, role: Role, parts: &[Part]) {
    session.message_count += 1;
    if role == Role::User {
        session.user_message_count += 1;
    }
    if matches!(role, Role::User | Role::Assistant) {
        let preview: String = text_of(parts).take(PREVIEW_MAX_CHARS).collect();
        if !preview.is_empty() {
            session.last_message_preview = preview;
        }
    }
}

/// The characters of a message's text.
fn text_of(parts: &[Part]) -> impl Iterator<Item = char> {
    parts.iter().flat_map(|part| match part {
        Part::Text { text, .. } => text.chars(),
        Part::Thinking { .. } | Part::ToolCall { .. } | Part::Attachment(_) => "".chars(),
    })
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
