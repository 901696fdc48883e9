//! What an owner asks of its session, and what it gets.

use crate::domain::{
    client_tool::ClientTool,
    event::{BlockKind, Event, Role},
    ids::{SessionRow, Time},
    message::Part,
    offers::{Choices, Offers},
    question::{Answer, Ask},
    session::Session,
    turn::{Attachment, Cause, StopReason, Turn},
    usage::UsageReport,
};
use std::sync::Arc;
use uuid::Uuid;

/// The right to write a session's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The session.
    pub session: SessionRow,
    /// Its epoch at the claim.
    pub epoch: i64,
}

/// A steer that its turn's agent has not got yet.
#[derive(Clone, Debug)]
pub struct PendingSteer {
    /// The steer.
    pub steer_id: Uuid,
    /// The text.
    pub text: String,
    /// What goes with it.
    pub attachments: Vec<Attachment>,
}

/// A question that is pending, or whose answer its turn's agent has not got yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenQuestion {
    /// The question.
    pub question_id: Uuid,
    /// What it was about when it was asked.
    pub action_digest: String,
    /// When it expires.
    pub expire_time: Time,
    /// The answer, once there is one; `declined` where nobody answered in time, or nobody may.
    pub answer: Option<Answer>,
}

/// A started turn, with what its agent needs.
#[derive(Clone, Debug)]
pub struct Started {
    /// The turn, RUNNING, its attempt counted.
    pub turn: Turn,
    /// The session after the commit.
    pub session: Arc<Session>,
    /// Bytes of its attachments.
    pub attachments: Vec<Attachment>,
    /// User messages of this generation before the turn's own, steers included.
    pub user_messages_before: i64,
    /// JSON Schema of what it is to answer with; empty for none.
    pub output_schema: String,
    /// The tools that the caller runs: the turn's own, else the session's.
    pub client_tools: Vec<ClientTool>,
}

// === impl Started ===

impl Started {
    /// What its agent is asked to use: as it was routed, and the session's options.
    pub fn choices(&self) -> Choices {
        Choices {
            model: self.turn.model.clone(),
            thinking_level: self.turn.thinking_level.clone(),
            options: self.session.options.clone(),
        }
    }
}

/// One thing that an owner writes while its turn runs.
#[derive(Clone, Debug)]
pub enum Write {
    /// A durable event of the active turn.
    /// `message_started`, `tool_started` open an item; `message_completed`, `tool_completed` close it.
    Event {
        /// Its item, where it has one.
        item_id: Option<Uuid>,
        /// The event.
        event: Event,
    },
    /// The message that the event before it completed; it carries that event's `seq`.
    Message {
        /// Its item.
        item_id: Uuid,
        /// Who speaks.
        role: Role,
        /// Its parts.
        parts: Vec<Part>,
        /// Cut short.
        partial: bool,
        /// The next message goes on with it.
        continued: bool,
    },
    /// Attachments that the event and the message after it name; each content is kept once per session.
    Attachments(Vec<Attachment>),
    /// Text of an open block so far; replaces the row before.
    Checkpoint {
        /// Its item, opened before.
        item_id: Uuid,
        /// What it holds.
        block: BlockKind,
        /// Its place.
        content_index: i32,
        /// All of its text.
        text: String,
    },
    /// The steer is given to the agent in the moment after this commit.
    SteerGiven {
        /// The steer.
        steer_id: Uuid,
    },
    /// The agent took the steer: `steer_applied`, then its `message_started{USER}` and message row.
    SteerApplied {
        /// The steer.
        steer_id: Uuid,
    },
    /// The agent did not take it; it is pending again and not marked as given.
    SteerReturned {
        /// The steer.
        steer_id: Uuid,
    },
    /// The agent asks: `question_asked`, and the turn waits; or it is answered in the same commit, where nobody is to be
    /// asked.
    Asked {
        /// Its id, made by the owner.
        question_id: Uuid,
        /// What is asked.
        ask: Box<Ask>,
    },
    /// The agent took a question back.
    AskWithdrawn {
        /// The question.
        question_id: Uuid,
    },
    /// Nobody answered a question in time.
    AskExpired {
        /// The question.
        question_id: Uuid,
    },
    /// The agent has the answer: `answer_delivered`.
    AnswerDelivered {
        /// The question.
        question_id: Uuid,
    },
    /// What the turn answers its `output_schema` with; stands in the commit of its end, and counts where it is COMPLETED.
    Output {
        /// JSON text.
        output_json: String,
    },
    /// The agent says what it offers and what it uses: `model_changed` where it used something else before.
    Offered {
        /// All of it, bounded.
        offers: Box<Offers>,
    },
    /// What a model call used, or a turn: `usage_recorded`, added to turn, session, sums and budgets.
    Usage(Box<UsageReport>),
}

/// How an active turn ended, as its owner saw it. An accepted cancel overrules `Completed`, `Failed` and `Stopped`
/// (it ends CANCELED with the cancel's cause) but not `StopUnproven`.
#[derive(Clone, Debug)]
pub enum TurnEnd {
    /// The agent ended by itself.
    Completed(StopReason),
    /// It failed, with the cause and a sentence (cut at `ERROR_MESSAGE_MAX_BYTES`).
    Failed(Cause, String),
    /// It was stopped by the accepted cancel.
    Stopped,
    /// The machine that ran it is lost, and nothing of it is alive any more. It runs again where it may: its `on_interrupt`
    /// says so, attempts are left, and no tool was running.
    Lost {
        /// What is known, for people.
        message: String,
        /// A tool was running.
        tool_ran: bool,
    },
}

/// What a finished turn left.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The turn, terminal.
    pub turn: Turn,
    /// The session after the commit (after `session_reset`, where one was pending).
    pub session: Arc<Session>,
}

/// What recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Turns that ended.
    pub ended: u64,
    /// Turns that went back to their queue.
    pub requeued: u64,
    /// Resets that were finished.
    pub reset: u64,
}
