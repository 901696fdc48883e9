//! What happens in a session. `wire::frames` turns these into bytes; nothing else does.

use super::{
    budget::Budget,
    message::Part,
    question::Question,
    session::Session,
    turn::{AttachmentRef, CostSource, Granularity, Turn, Usage},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// Who speaks. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The caller.
    User = 1,
    /// The agent.
    Assistant = 2,
    /// A tool.
    Tool = 3,
    /// The agent's system text.
    System = 4,
}

/// What a block of an item holds. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Text of a message.
    Text = 1,
    /// Thinking of a message.
    Thinking = 2,
    /// Arguments of a tool call.
    ToolInput = 3,
    /// Newest partial result of a running tool.
    ToolResult = 4,
}

/// The point at which a session was forked.
#[derive(Clone, Debug, PartialEq)]
pub struct ForkOrigin {
    /// Session that was forked.
    pub session_key: String,
    /// Its log.
    pub log_id: String,
    /// Last turn that was copied.
    pub turn_id: String,
}

/// JSON text that may have been cut.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Json {
    /// The text, or a JSON string of its first bytes.
    pub text: String,
    /// Size before the cut, where there was one.
    pub full_size: Option<usize>,
}

/// How far a step of a plan is. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanStatus {
    /// Not begun.
    Pending = 1,
    /// Under way.
    InProgress = 2,
    /// Done.
    Completed = 3,
}

/// A step of an agent's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanEntry {
    /// What is to be done.
    pub text: String,
    /// How far it is.
    pub status: PlanStatus,
    /// The agent's own word: `high`, `medium`, `low`; empty where it gave none.
    pub priority: String,
}

/// A durable event.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields are the contract's, documented in event.proto"
)]
pub enum Event {
    SessionCreated {
        session: Box<Session>,
        forked_from: Option<ForkOrigin>,
    },
    SessionUpdated {
        session: Box<Session>,
    },
    SessionReset {
        generation: i64,
        session_id: Uuid,
        agent: String,
    },
    SessionDeleted,
    TurnQueued {
        turn: Box<Turn>,
        queue_position: i32,
    },
    TurnScheduled {
        turn: Box<Turn>,
    },
    TurnUpdated {
        turn: Box<Turn>,
        queue_position: i32,
    },
    TurnStarted {
        turn: Box<Turn>,
    },
    TurnEnded {
        turn: Box<Turn>,
        /// Questions whose answers the agent did not get.
        undelivered: Vec<Uuid>,
    },
    MessageStarted {
        role: Role,
        text: String,
        attachments: Vec<AttachmentRef>,
    },
    MessageCompleted {
        role: Role,
        blocks: Vec<(i32, String)>,
        partial: bool,
        continued: bool,
    },
    ThinkingCompleted {
        content_index: i32,
        text: String,
        partial: bool,
    },
    ToolStarted {
        tool_call_id: String,
        tool_name: String,
        args: Json,
    },
    ToolCompleted {
        tool_call_id: String,
        tool_name: String,
        result: Json,
        is_error: bool,
        partial: bool,
        /// Pictures of the result that stand beside it.
        attachments: Vec<AttachmentRef>,
    },
    SteerAccepted {
        steer_id: Uuid,
        turn_id: Uuid,
        text: String,
    },
    SteerApplied {
        steer_id: Uuid,
    },
    SteerRequeued {
        steer_id: Uuid,
        turn: Box<Turn>,
        possibly_applied: bool,
    },
    UsageRecorded {
        usage: Usage,
        model: String,
        granularity: Granularity,
        /// `None` where nobody knows the cost.
        source: Option<CostSource>,
        price_version: String,
    },
    BudgetWarning {
        budget: Box<Budget>,
    },
    TurnWaiting {
        reason: String,
        message: String,
        agent: String,
        worker_labels: BTreeMap<String, String>,
    },
    CompactionStarted {
        reason: String,
    },
    CompactionCompleted {
        reason: String,
        summary: String,
        aborted: bool,
        error_message: String,
        tokens_before: i64,
    },
    RetryScheduled {
        attempt: i32,
        max_attempts: i32,
        delay: Duration,
        error_message: String,
    },
    AgentExited {
        message: String,
    },
    QuestionAsked {
        question: Box<Question>,
    },
    QuestionResolved {
        question: Box<Question>,
    },
    AnswerDelivered {
        question_id: Uuid,
    },
    ContextRebuilt {
        message_count: i32,
        truncated: bool,
    },
    PlanUpdated {
        entries: Vec<PlanEntry>,
    },
    ModelChanged {
        model: String,
        thinking_level: String,
    },
    WebhookPaused {
        webhook_id: Uuid,
        owner: String,
        reason: String,
        undelivered_seq: i64,
    },
    SubagentStarted {
        agent_id: String,
        parent_agent_id: String,
        name: String,
        tool_call_id: String,
        task: String,
    },
    SubagentCompleted {
        agent_id: String,
        is_error: bool,
        response: String,
        message_count: i64,
        tool_call_count: i64,
    },
    SubagentItem {
        agent_path: Vec<String>,
        role: Role,
        parts: Vec<Part>,
    },
    ArtifactCreated {
        attachment: AttachmentRef,
        title: String,
    },
}

/// An ephemeral event about an open block or a running tool.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields are the contract's, documented in event.proto"
)]
pub enum Delta {
    Token {
        delta: String,
        content_index: i32,
        offset: i64,
    },
    Thinking {
        delta: String,
        content_index: i32,
        offset: i64,
    },
    ToolInput {
        delta: String,
        content_index: i32,
        offset: i64,
        tool_call_id: String,
        tool_name: String,
    },
    ToolUpdate {
        tool_call_id: String,
        partial_result: Json,
    },
}

/// The kind of an event: its number in the oneof of `GatewayEvent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKind(pub u8);

/// Every kind with the name that filters take.
pub const KINDS: [(EventKind, &str); 50] = [
    (EventKind::SESSION_CREATED, "session_created"),
    (EventKind::SESSION_UPDATED, "session_updated"),
    (EventKind::SESSION_RESET, "session_reset"),
    (EventKind::SESSION_DELETED, "session_deleted"),
    (EventKind::TURN_QUEUED, "turn_queued"),
    (EventKind::TURN_UPDATED, "turn_updated"),
    (EventKind::TURN_STARTED, "turn_started"),
    (EventKind::TURN_ENDED, "turn_ended"),
    (EventKind::MESSAGE_STARTED, "message_started"),
    (EventKind::MESSAGE_COMPLETED, "message_completed"),
    (EventKind::THINKING_COMPLETED, "thinking_completed"),
    (EventKind::TOOL_STARTED, "tool_started"),
    (EventKind::TOOL_COMPLETED, "tool_completed"),
    (EventKind::STEER_ACCEPTED, "steer_accepted"),
    (EventKind::STEER_APPLIED, "steer_applied"),
    (EventKind::STEER_REQUEUED, "steer_requeued"),
    (EventKind::USAGE_RECORDED, "usage_recorded"),
    (EventKind::COMPACTION_STARTED, "compaction_started"),
    (EventKind::COMPACTION_COMPLETED, "compaction_completed"),
    (EventKind::RETRY_SCHEDULED, "retry_scheduled"),
    (EventKind::AGENT_EXITED, "agent_exited"),
    (EventKind::QUESTION_ASKED, "question_asked"),
    (EventKind::QUESTION_RESOLVED, "question_resolved"),
    (EventKind::ANSWER_DELIVERED, "answer_delivered"),
    (EventKind::PLAN_UPDATED, "plan_updated"),
    (EventKind::MODEL_CHANGED, "model_changed"),
    (EventKind::CONTEXT_REBUILT, "context_rebuilt"),
    (EventKind::TURN_SCHEDULED, "turn_scheduled"),
    (EventKind::BUDGET_WARNING, "budget_warning"),
    (EventKind::WEBHOOK_PAUSED, "webhook_paused"),
    (EventKind::SUBAGENT_STARTED, "subagent_started"),
    (EventKind::SUBAGENT_COMPLETED, "subagent_completed"),
    (EventKind::SUBAGENT_ITEM, "subagent_item"),
    (EventKind::ARTIFACT_CREATED, "artifact_created"),
    (EventKind::TURN_WAITING, "turn_waiting"),
    (EventKind::HELLO, "hello"),
    (EventKind::CAUGHT_UP, "caught_up"),
    (EventKind::PROGRESS, "progress"),
    (EventKind::SESSION_STATE, "session_state"),
    (EventKind::TOKEN, "token"),
    (EventKind::THINKING, "thinking"),
    (EventKind::TOOL_INPUT, "tool_input"),
    (EventKind::TOOL_UPDATE, "tool_update"),
    (EventKind::ITEM_SNAPSHOT, "item_snapshot"),
    (EventKind::LAGGING, "lagging"),
    (EventKind::DRAINING, "draining"),
    (EventKind::RELOAD, "reload"),
    (EventKind::QUESTION_PENDING, "question_pending"),
    (EventKind::OPTIONS_CHANGED, "options_changed"),
    (EventKind::COMMANDS_CHANGED, "commands_changed"),
];

#[allow(missing_docs, reason = "the names are the contract's")]
impl EventKind {
    pub const SESSION_CREATED: Self = Self(10);
    pub const SESSION_UPDATED: Self = Self(11);
    pub const SESSION_RESET: Self = Self(12);
    pub const SESSION_DELETED: Self = Self(13);
    pub const TURN_QUEUED: Self = Self(14);
    pub const TURN_UPDATED: Self = Self(15);
    pub const TURN_STARTED: Self = Self(16);
    pub const TURN_ENDED: Self = Self(17);
    pub const MESSAGE_STARTED: Self = Self(18);
    pub const MESSAGE_COMPLETED: Self = Self(19);
    pub const THINKING_COMPLETED: Self = Self(20);
    pub const TOOL_STARTED: Self = Self(21);
    pub const TOOL_COMPLETED: Self = Self(22);
    pub const STEER_ACCEPTED: Self = Self(23);
    pub const STEER_APPLIED: Self = Self(24);
    pub const STEER_REQUEUED: Self = Self(25);
    pub const USAGE_RECORDED: Self = Self(26);
    pub const COMPACTION_STARTED: Self = Self(27);
    pub const COMPACTION_COMPLETED: Self = Self(28);
    pub const RETRY_SCHEDULED: Self = Self(29);
    pub const AGENT_EXITED: Self = Self(30);
    pub const QUESTION_ASKED: Self = Self(31);
    pub const QUESTION_RESOLVED: Self = Self(32);
    pub const ANSWER_DELIVERED: Self = Self(33);
    pub const PLAN_UPDATED: Self = Self(34);
    pub const MODEL_CHANGED: Self = Self(35);
    pub const CONTEXT_REBUILT: Self = Self(36);
    pub const TURN_SCHEDULED: Self = Self(37);
    pub const BUDGET_WARNING: Self = Self(38);
    pub const WEBHOOK_PAUSED: Self = Self(43);
    pub const SUBAGENT_STARTED: Self = Self(45);
    pub const SUBAGENT_COMPLETED: Self = Self(46);
    pub const SUBAGENT_ITEM: Self = Self(47);
    pub const ARTIFACT_CREATED: Self = Self(48);
    pub const TURN_WAITING: Self = Self(39);
    pub const HELLO: Self = Self(60);
    pub const CAUGHT_UP: Self = Self(61);
    pub const PROGRESS: Self = Self(62);
    pub const SESSION_STATE: Self = Self(63);
    pub const TOKEN: Self = Self(64);
    pub const THINKING: Self = Self(65);
    pub const TOOL_INPUT: Self = Self(66);
    pub const TOOL_UPDATE: Self = Self(67);
    pub const ITEM_SNAPSHOT: Self = Self(68);
    pub const LAGGING: Self = Self(69);
    pub const DRAINING: Self = Self(70);
    /// `reload`.
    pub const RELOAD: Self = Self(71);
    pub const QUESTION_PENDING: Self = Self(72);
    pub const OPTIONS_CHANGED: Self = Self(74);
    pub const COMMANDS_CHANGED: Self = Self(73);

    /// Whether events of that kind stand in the log.
    pub fn is_durable(self) -> bool {
        self.0 < Self::HELLO.0
    }

    /// The name that filters take.
    pub fn name(self) -> &'static str {
        let found = KINDS.iter().find(|(kind, _)| *kind == self);
        found.map_or("", |(_, name)| name)
    }

    /// The kind that filters call by that name.
    pub fn parse(name: &str) -> Option<Self> {
        KINDS.iter().find(|(_, n)| *n == name).map(|(k, _)| *k)
    }
}

impl Event {
    /// The event's kind.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::SessionCreated { .. } => EventKind::SESSION_CREATED,
            Self::SessionUpdated { .. } => EventKind::SESSION_UPDATED,
            Self::SessionReset { .. } => EventKind::SESSION_RESET,
            Self::SessionDeleted => EventKind::SESSION_DELETED,
            Self::TurnQueued { .. } => EventKind::TURN_QUEUED,
            Self::TurnScheduled { .. } => EventKind::TURN_SCHEDULED,
            Self::TurnUpdated { .. } => EventKind::TURN_UPDATED,
            Self::TurnStarted { .. } => EventKind::TURN_STARTED,
            Self::TurnEnded { .. } => EventKind::TURN_ENDED,
            Self::MessageStarted { .. } => EventKind::MESSAGE_STARTED,
            Self::MessageCompleted { .. } => EventKind::MESSAGE_COMPLETED,
            Self::ThinkingCompleted { .. } => EventKind::THINKING_COMPLETED,
            Self::ToolStarted { .. } => EventKind::TOOL_STARTED,
            Self::ToolCompleted { .. } => EventKind::TOOL_COMPLETED,
            Self::SteerAccepted { .. } => EventKind::STEER_ACCEPTED,
            Self::SteerApplied { .. } => EventKind::STEER_APPLIED,
            Self::SteerRequeued { .. } => EventKind::STEER_REQUEUED,
            Self::UsageRecorded { .. } => EventKind::USAGE_RECORDED,
            Self::BudgetWarning { .. } => EventKind::BUDGET_WARNING,
            Self::TurnWaiting { .. } => EventKind::TURN_WAITING,
            Self::CompactionStarted { .. } => EventKind::COMPACTION_STARTED,
            Self::CompactionCompleted { .. } => EventKind::COMPACTION_COMPLETED,
            Self::RetryScheduled { .. } => EventKind::RETRY_SCHEDULED,
            Self::AgentExited { .. } => EventKind::AGENT_EXITED,
            Self::QuestionAsked { .. } => EventKind::QUESTION_ASKED,
            Self::QuestionResolved { .. } => EventKind::QUESTION_RESOLVED,
            Self::AnswerDelivered { .. } => EventKind::ANSWER_DELIVERED,
            Self::PlanUpdated { .. } => EventKind::PLAN_UPDATED,
            Self::ModelChanged { .. } => EventKind::MODEL_CHANGED,
            Self::WebhookPaused { .. } => EventKind::WEBHOOK_PAUSED,
            Self::ContextRebuilt { .. } => EventKind::CONTEXT_REBUILT,
            Self::SubagentStarted { .. } => EventKind::SUBAGENT_STARTED,
            Self::SubagentCompleted { .. } => EventKind::SUBAGENT_COMPLETED,
            Self::SubagentItem { .. } => EventKind::SUBAGENT_ITEM,
            Self::ArtifactCreated { .. } => EventKind::ARTIFACT_CREATED,
        }
    }
}

impl Delta {
    /// The delta's kind.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Token { .. } => EventKind::TOKEN,
            Self::Thinking { .. } => EventKind::THINKING,
            Self::ToolInput { .. } => EventKind::TOOL_INPUT,
            Self::ToolUpdate { .. } => EventKind::TOOL_UPDATE,
        }
    }
}
