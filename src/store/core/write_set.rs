//! What a decision writes: rows of one session, and what is kept of its request. An engine commits all of it or nothing.

use super::{
    commands::Receipt,
    published::StoredEvent,
    request_id::RequestDigest,
    snapshot::{OpenItem, Sender, Snapshot, WaitingSteer, WaitingTurn},
    usage::Held,
};
use crate::domain::{
    access::Shares,
    budget::{Budget, Grant},
    event::{BlockKind, Role},
    ids::{SessionRow, Time},
    question::Question,
    routing::Routing,
    turn::{Attachment, Cancel, StopReason, Turn, TurnError, TurnState, Usage},
    usage::UsageOf,
};
use std::sync::Arc;
use uuid::Uuid;

/// All that one decision writes.
#[derive(Debug, Default)]
pub(crate) struct WriteSet {
    /// The session that is changed.
    pub(crate) session: Option<SessionWrite>,
    /// The request that is done.
    pub(crate) request: Option<RequestRow>,
    /// Bytes that the disk must have had room for.
    pub(crate) new_work_bytes: Option<usize>,
}

/// What becomes of a session.
#[derive(Debug)]
pub(crate) struct SessionWrite {
    /// As it is from now on.
    pub(crate) after: Arc<Snapshot>,
    /// Its row is new.
    pub(crate) is_new: bool,
    /// What it says of its agent, its model, its labels and the like has changed.
    pub(crate) settings: bool,
    /// Who could use it before, where that has changed.
    pub(crate) shared_before: Option<Shares>,
    /// Its owner is another one from now on.
    pub(crate) claimed: bool,
    /// Nobody wakes for it, whatever its snapshot says.
    pub(crate) postponed: bool,
    /// What its owner holds more, or less.
    pub(crate) held: Held,
    /// Turns: made, changed, ended, in this order.
    pub(crate) turns: Vec<TurnWrite>,
    /// New events in their order.
    pub(crate) events: Vec<(StoredEvent, Time)>,
    /// New messages in their order.
    pub(crate) messages: Vec<MessageRow>,
    /// Steers: accepted, given, gone, in this order.
    pub(crate) steers: Vec<SteerWrite>,
    /// Open items and their blocks, in this order.
    pub(crate) blocks: Vec<BlockWrite>,
    /// Questions: asked, changed, in this order.
    pub(crate) questions: Vec<QuestionWrite>,
    /// What its agent offers.
    pub(crate) offers: Option<OffersRow>,
    /// What was used, to be added to the sums.
    pub(crate) usage: Vec<UsageRow>,
    /// Budgets that it counts against, as they are from now on.
    pub(crate) budgets: Vec<Budget>,
    /// The tools that its caller runs, where they are set: as they are stored.
    pub(crate) client_tools: Option<String>,
    /// Contents that the session did not have.
    pub(crate) attachments: Vec<Attachment>,
    /// Requests whose turn or steer has ended, with how long they are kept.
    pub(crate) kept: Vec<(i64, Time)>,
    /// Turns that have ended, for those who wait for them.
    pub(crate) ended: Vec<Arc<Turn>>,
}

/// What a turn carries that only its start reads, as it is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct TurnExtras {
    /// JSON Schema of what it is to answer with; empty for none.
    pub(crate) output_schema: String,
    /// The tools that its caller runs; empty for those of its session.
    pub(crate) client_tools: String,
}

impl TurnExtras {
    /// Bytes of it.
    pub(crate) fn bytes(&self) -> usize {
        self.output_schema.len() + self.client_tools.len()
    }
}

/// A change of a turn's row.
#[derive(Debug)]
pub(crate) enum TurnWrite {
    /// A new one that waits.
    New {
        /// The turn.
        turn: Arc<WaitingTurn>,
        /// Its first event.
        queued_seq: i64,
        /// What its start reads.
        extras: TurnExtras,
    },
    /// It stands at another place of the queue.
    Position {
        /// Its row.
        row: i64,
        /// Order among those that wait.
        position: i64,
    },
    /// It has another text, by somebody else.
    Text {
        /// Its row.
        row: i64,
        /// The text.
        text: String,
        /// The command that it is; empty for a prompt.
        command: String,
        /// Bytes that it counts in the queue.
        bytes: i64,
        /// Who wrote it.
        sender: Sender,
    },
    /// It starts.
    Start {
        /// Its row.
        row: i64,
        /// Starts so far.
        attempt: i32,
        /// When.
        time: Time,
        /// Its agent.
        agent: String,
        /// Configuration of that agent.
        agent_revision: String,
        /// Its model.
        model: String,
        /// Its thinking level.
        thinking_level: String,
        /// How that came.
        routing: Arc<Routing>,
    },
    /// Somebody had a part in it who may not name the tenant's memory.
    NoMemory {
        /// Its row.
        row: i64,
    },
    /// It used something.
    Usage {
        /// Its row.
        row: i64,
        /// What it used more.
        usage: Usage,
        /// The model; empty where it is the one of before.
        model: String,
    },
    /// Its stop was accepted, or raised.
    Cancel {
        /// Its row.
        row: i64,
        /// The stop.
        cancel: Cancel,
        /// Unapplied steers are taken too.
        clears: bool,
    },
    /// It waits again, before all others, and does not expire.
    Requeue {
        /// Its row.
        row: i64,
        /// Order among those that wait.
        position: i64,
    },
    /// Its time has come: it waits in the queue, where its place is written besides.
    Due {
        /// Its row.
        row: i64,
        /// Its `turn_queued`.
        queued_seq: i64,
        /// When it expires.
        expire_time: Option<Time>,
    },
    /// It may use more, though a budget is used up.
    Grant {
        /// Its row.
        row: i64,
        /// How far.
        grant: Grant,
    },
    /// It waits for an answer, or goes on.
    State {
        /// Its row.
        row: i64,
        /// Where it stands.
        state: TurnState,
    },
    /// It has ended.
    End(Box<TurnEndRow>),
}

/// How a turn's row ends.
#[derive(Debug)]
pub(crate) struct TurnEndRow {
    /// Its row.
    pub(crate) row: i64,
    /// Terminal state.
    pub(crate) state: TurnState,
    /// Why the agent stopped.
    pub(crate) stop_reason: Option<StopReason>,
    /// Why it did not complete.
    pub(crate) error: Option<TurnError>,
    /// When.
    pub(crate) time: Time,
    /// Its last event.
    pub(crate) end_seq: i64,
    /// Its answer.
    pub(crate) response_text: String,
    /// What it answers its `output_schema` with.
    pub(crate) output_json: String,
}

/// What was used, and what it is summed by.
#[derive(Debug)]
pub(crate) struct UsageRow {
    /// What it is about.
    pub(crate) of: UsageOf,
    /// What was used more.
    pub(crate) usage: Usage,
}

/// A new message.
#[derive(Debug)]
pub(crate) struct MessageRow {
    /// The event that made it.
    pub(crate) seq: i64,
    /// Generation of the conversation.
    pub(crate) generation: i64,
    /// Its item.
    pub(crate) item_id: Uuid,
    /// Its turn.
    pub(crate) turn_id: Uuid,
    /// Who speaks.
    pub(crate) role: Role,
    /// When.
    pub(crate) time: Time,
    /// Cut short.
    pub(crate) partial: bool,
    /// The next one goes on with it.
    pub(crate) continued: bool,
    /// Its parts, encoded.
    pub(crate) parts: Vec<u8>,
}

/// A change of a steer's row.
#[derive(Debug)]
pub(crate) enum SteerWrite {
    /// A new one.
    New(Arc<WaitingSteer>),
    /// The agent has it, or gave it back.
    Given {
        /// The steer.
        steer_id: Uuid,
        /// It has it.
        given: bool,
    },
    /// It was applied, or became a turn.
    Gone {
        /// The steer.
        steer_id: Uuid,
    },
}

/// A change of a question's row.
#[derive(Debug)]
pub(crate) enum QuestionWrite {
    /// A new one.
    New {
        /// The question.
        question: Arc<Question>,
        /// What it asks, encoded.
        ask: String,
    },
    /// It is closed.
    Closed {
        /// The question.
        question: Arc<Question>,
        /// Its answer, encoded; empty where there is none.
        answer: String,
    },
    /// Its agent has the answer, or does not need it any more.
    Settled {
        /// The question.
        question_id: Uuid,
        /// Its agent has the answer.
        delivered: bool,
        /// Its answer without what its form keeps secret, encoded; empty where there is none.
        answer: String,
    },
}

/// A change of an open item.
#[derive(Debug)]
pub(crate) enum BlockWrite {
    /// It is open.
    Open(Box<OpenItem>),
    /// What a block of it holds so far.
    Put {
        /// The item.
        item_id: Uuid,
        /// Its place.
        content_index: i32,
        /// What it holds.
        kind: BlockKind,
        /// Its text.
        text: String,
        /// No more comes.
        done: bool,
    },
    /// It is closed.
    Close {
        /// The item.
        item_id: Uuid,
    },
}

/// What a session's agent offers.
#[derive(Debug)]
pub(crate) struct OffersRow {
    /// In the session, encoded.
    pub(crate) own: String,
    /// In any of its sessions, encoded.
    pub(crate) of_agent: String,
    /// How the agent is configured.
    pub(crate) revision: String,
    /// When it said so.
    pub(crate) time: Time,
}

/// A request that was done.
#[derive(Debug)]
pub(crate) struct RequestRow {
    /// Its row.
    pub(crate) id: i64,
    /// Its key.
    pub(crate) digest: RequestDigest,
    /// Hash of what was asked for.
    pub(crate) hash: [u8; 32],
    /// The session that it was about, or that it made.
    pub(crate) session: SessionRow,
    /// That session's own id.
    pub(crate) session_uid: Uuid,
    /// What it did.
    pub(crate) receipt: Receipt,
    /// When it may go; `None` while what it admitted is unfinished.
    pub(crate) keep_until: Option<Time>,
}

// === impl BlockWrite ===

impl BlockWrite {
    /// The item that it is about.
    pub(crate) fn item_id(&self) -> Uuid {
        match self {
            Self::Open(item) => item.item_id,
            Self::Put { item_id, .. } | Self::Close { item_id } => *item_id,
        }
    }
}
