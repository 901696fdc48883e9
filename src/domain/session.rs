//! A session's row: settings, state, counters.

use super::{
    access::Shares,
    ids::{LogId, Principal, SessionKey, SessionRow, Time},
    memory::Reach,
    offers::Choices,
    question::NoApprover,
    routing::Routing,
    tool_policy::ToolRule,
    turn::{Cause, ContextUse, Usage},
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// What a session is doing. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// No turn is active.
    Idle = 1,
    /// A turn is active.
    Running = 2,
    /// The active turn waits for an answer from outside.
    WaitingInput = 3,
    /// The active turn is being stopped.
    Canceling = 4,
    /// A Reset waits for the stop of the active turn.
    Resetting = 5,
    /// A Delete is accepted and not finished.
    Deleting = 6,
    /// Gone; only watchers see it.
    Deleted = 7,
}

/// A session as of its `head`.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The store's row; never used again after a delete.
    pub row: SessionRow,
    /// The session's own id, made at creation; the log id is derived from it.
    pub uid: Uuid,
    /// Tenant that it belongs to.
    pub tenant: String,
    /// Subject that created it.
    pub owner: String,
    /// Subjects of the tenant that may use it too.
    pub shares: Shares,
    /// Caller-chosen key.
    pub key: SessionKey,
    /// Present life of its log.
    pub log_id: LogId,
    /// UUIDv7 of the generation.
    pub session_id: Uuid,
    /// Number of the conversation, from 1.
    pub generation: i64,
    /// Free text for people.
    pub display_name: String,
    /// Agent of this generation.
    pub agent: String,
    /// Agent from the next Reset on; empty when it is the present one.
    pub next_agent: String,
    /// Model asked for.
    pub model: String,
    /// Thinking level asked for.
    pub thinking_level: String,
    /// What is chosen of its agent's options, by their ids.
    pub options: BTreeMap<String, String>,
    /// Model that its newest turn used, as far as the agent says; empty where it never did.
    pub used_model: String,
    /// Thinking level that its newest turn used, as far as the agent says.
    pub used_thinking_level: String,
    /// How its newest turn was routed, or how it got its agent.
    pub routing: Arc<Routing>,
    /// Tells apart what its agent offered; 0 where it never did.
    pub offers_digest: i64,
    /// Callers' labels.
    pub labels: BTreeMap<String, String>,
    /// Working directory given at creation; empty means its own.
    pub cwd: String,
    /// Deleted after this long without a turn, in microseconds.
    pub expire_after_idle: Option<i64>,
    /// What to do where its agent asks and nobody is there; `None` is the agent's own setting.
    pub no_approver: Option<NoApprover>,
    /// How long its questions wait, in microseconds; `None` is the agent's own setting.
    pub question_ttl: Option<i64>,
    /// What its agent may run without asking, or not at all; stands before the agent's own.
    pub tool_policy: Vec<ToolRule>,
    /// Questions that the active turn waits for.
    pub pending_questions: i64,
    /// What memory it is given and its tools may reach; empty means the default.
    pub memory_namespaces: Vec<Reach>,
    /// What it is doing.
    pub state: SessionState,
    /// Turn that runs or is being stopped.
    pub active_turn: Option<Uuid>,
    /// Turns that wait.
    pub queue_depth: i64,
    /// Bytes of text and attachments of the turns that wait.
    pub queue_bytes: i64,
    /// Messages of this generation.
    pub message_count: i64,
    /// User messages of this generation, steers included.
    pub user_message_count: i64,
    /// Beginning of the newest user or assistant text.
    pub last_message_preview: String,
    /// Sum over all turns.
    pub usage: Usage,
    /// The day, since 1970, on which its next turn was found to wait for a budget; `None` where it does not.
    pub budget_wait: Option<i64>,
    /// Row of its next turn, where that was found to wait for a worker; negative once it is looked at again.
    pub worker_wait: Option<i64>,
    /// How full the model's context was in the newest call of this generation; 0 where its agent does not tell.
    pub context: ContextUse,
    /// Newest durable event.
    pub head: i64,
    /// Oldest durable event that is kept.
    pub first_seq: i64,
    /// Grows with every claim; an append with an older one is fenced.
    pub epoch: i64,
    /// Creation.
    pub create_time: Time,
    /// Newest change.
    pub update_time: Time,
    /// Newest admission, start or end of a turn.
    pub last_active_time: Time,
    /// True for the tenant's primary session.
    pub primary: bool,
}

/// Selects sessions; all set conditions must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionFilter {
    /// Labels that must be present.
    pub labels: BTreeMap<String, String>,
    /// Agent; empty means any.
    pub agent: String,
    /// States; empty means any.
    pub states: Vec<SessionState>,
    /// Beginning of the key.
    pub key_prefix: String,
}

// === impl Session ===

impl Session {
    /// Whether its next turn waits for a worker.
    pub fn waits_for_worker(&self) -> bool {
        self.worker_wait.is_some_and(|row| row > 0)
    }

    /// Has its next turn looked at again, where that waits for a worker.
    pub fn look_for_worker(&mut self) {
        self.worker_wait = self.worker_wait.map(|row| -row.abs());
    }

    /// Why its next turn waits; empty where it waits for nothing but its place.
    pub fn wait_reason(&self) -> &'static str {
        if self.queue_depth == 0 {
            ""
        } else if self.waits_for_worker() {
            Cause::NO_WORKER
        } else if self.budget_wait.is_some() {
            Cause::BudgetExceeded.as_str()
        } else {
            ""
        }
    }

    /// A session in which nothing has happened: of the first generation, with empty settings.
    pub fn new(
        (row, uid, log_id): (SessionRow, Uuid, LogId),
        owner: &Principal,
        key: SessionKey,
        now: Time,
    ) -> Self {
        Self {
            row,
            uid,
            tenant: owner.tenant.clone(),
            owner: owner.subject.clone(),
            shares: Shares::new(),
            key,
            log_id,
            session_id: Uuid::nil(),
            generation: 1,
            display_name: String::new(),
            agent: String::new(),
            next_agent: String::new(),
            model: String::new(),
            thinking_level: String::new(),
            options: BTreeMap::new(),
            used_model: String::new(),
            used_thinking_level: String::new(),
            routing: Arc::default(),
            offers_digest: 0,
            labels: BTreeMap::new(),
            cwd: String::new(),
            expire_after_idle: None,
            no_approver: None,
            question_ttl: None,
            tool_policy: Vec::new(),
            pending_questions: 0,
            memory_namespaces: Vec::new(),
            state: SessionState::Idle,
            active_turn: None,
            queue_depth: 0,
            queue_bytes: 0,
            message_count: 0,
            user_message_count: 0,
            last_message_preview: String::new(),
            usage: Usage::default(),
            budget_wait: None,
            worker_wait: None,
            context: ContextUse::default(),
            head: 0,
            first_seq: 1,
            epoch: 0,
            create_time: now,
            update_time: now,
            last_active_time: now,
            primary: false,
        }
    }

    /// What is chosen for it.
    pub fn choices(&self) -> Choices {
        Choices {
            model: self.model.clone(),
            thinking_level: self.thinking_level.clone(),
            options: self.options.clone(),
        }
    }
}

// === impl SessionState ===

impl SessionState {
    /// The state with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        [
            Self::Idle,
            Self::Running,
            Self::WaitingInput,
            Self::Canceling,
            Self::Resetting,
            Self::Deleting,
            Self::Deleted,
        ]
        .into_iter()
        .find(|s| *s as i64 == number)
    }
}

// === impl SessionFilter ===

impl SessionFilter {
    /// Whether a session is selected.
    pub fn matches(&self, session: &Session) -> bool {
        let Self {
            labels,
            agent,
            states,
            key_prefix,
        } = self;
        session.key.as_str().starts_with(key_prefix.as_str())
            && (agent.is_empty() || *agent == session.agent)
            && (states.is_empty() || states.contains(&session.state))
            && labels.iter().all(|(k, v)| session.labels.get(k) == Some(v))
    }
}
