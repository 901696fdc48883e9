//! What a decision looks at: a session, its active turn, what waits, and what is open.
//!
//! Long texts may be left where they are stored: a decision that needs one says so, see [`super::facts::Want`].

use crate::domain::{
    budget::Grant,
    event::{BlockKind, Json, Role},
    ids::{SessionRow, Time},
    question::Question,
    session::Session,
    turn::{AttachmentRef, Turn},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use uuid::Uuid;

/// Longest text of a waiting turn that a snapshot keeps, in bytes.
pub(crate) const KEPT_TEXT_MAX_BYTES: usize = 4096;
/// What one piece of a snapshot is taken to need beside its texts, in bytes.
const PIECE_BYTES: usize = 512;

/// A session with all that its next decision depends on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    /// As callers see it.
    pub(crate) session: Arc<Session>,
    /// What is not shown of it.
    pub(crate) hidden: Hidden,
    /// The active turn.
    pub(crate) active: Option<Arc<ActiveTurn>>,
    /// The turns that wait, the next one first.
    pub(crate) waiting: Vec<Arc<WaitingTurn>>,
    /// The turns that wait for their `not_before`, outside of the queue, the next one first.
    pub(crate) scheduled: Vec<Arc<WaitingTurn>>,
    /// Steers that were not applied yet, in the order of their arrival.
    pub(crate) steers: Vec<Arc<WaitingSteer>>,
    /// Open items of the active turn, in the order in which they were opened.
    pub(crate) open: Vec<OpenItem>,
    /// Questions of the active turn that are pending, or whose answer its agent has not got, in the order in which they
    /// were asked. Without the arguments of their tools, which nothing is decided by.
    pub(crate) questions: Vec<Arc<Question>>,
}

/// What a session has beside what is shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// A Reset waits for the active turn's end.
    pub(crate) pending_reset: bool,
    /// Bytes of what is stored for it: events, messages, texts of turns, attachments.
    pub(crate) stored_bytes: i64,
}

/// The turn that runs or is being stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ActiveTurn {
    /// The turn, whole.
    pub(crate) turn: Turn,
    /// The accepted stop takes unapplied steers too.
    pub(crate) clears: bool,
    /// Bytes that it counts in the queue where it goes back there.
    pub(crate) bytes: i64,
    /// Who sent it.
    pub(crate) origin: Origin,
    /// How far it may go on where a budget is used up.
    pub(crate) grant: Grant,
}

/// A turn that waits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WaitingTurn {
    /// The turn; its text is empty where it was left.
    pub(crate) turn: Turn,
    /// Its text is longer than a snapshot keeps.
    pub(crate) text_left: bool,
    /// Order among those that wait.
    pub(crate) position: i64,
    /// INTERRUPT or RETRY: requeued steers stand behind it.
    pub(crate) goes_first: bool,
    /// Bytes that it counts in the queue.
    pub(crate) bytes: i64,
    /// Who sent it.
    pub(crate) origin: Origin,
}

/// A steer that was not applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WaitingSteer {
    /// Its id, and that of the turn that it may become.
    pub(crate) steer_id: Uuid,
    /// The agent has been given it.
    pub(crate) given: bool,
    /// The text.
    pub(crate) text: String,
    /// What goes with it.
    pub(crate) attachments: Vec<AttachmentRef>,
    /// How long a turn may run that it becomes.
    pub(crate) turn_timeout: Duration,
    /// When it was accepted.
    pub(crate) time: Time,
    /// Who sent it.
    pub(crate) origin: Origin,
}

/// Who sent a turn or a steer, and by which request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The sender.
    pub(crate) sender: Sender,
    /// Row of the request that admitted it.
    pub(crate) request: Option<i64>,
    /// Where it stands in its caller's trace.
    pub(crate) trace_context: String,
    /// The session's labels when it was accepted.
    pub(crate) labels: BTreeMap<String, String>,
}

/// Who sent something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sender {
    /// Subject, in the session's tenant.
    pub(crate) subject: String,
    /// API key that it came with; empty for other credentials.
    pub(crate) key_id: String,
    /// By `tenant.sessions` alone, neither as owner nor by a share.
    pub(crate) operator: bool,
    /// With the rights that naming the tenant's memory needs.
    pub(crate) memory: bool,
}

/// An item of the active turn that is not closed: what a crash would leave of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenItem {
    /// The item.
    pub(crate) item_id: Uuid,
    /// Whose it is; `Tool` for a tool's call.
    pub(crate) role: Role,
    /// The call, for a tool.
    pub(crate) tool_call_id: String,
    /// The tool.
    pub(crate) tool_name: String,
    /// Its arguments; `None` where they were left.
    pub(crate) args: Option<Json>,
    /// What was checkpointed of its blocks, in the order of their places.
    pub(crate) blocks: Vec<OpenBlock>,
}

/// A block of an open item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenBlock {
    /// Its place.
    pub(crate) content_index: i32,
    /// What it holds.
    pub(crate) kind: BlockKind,
    /// Its text so far; `None` where it was left.
    pub(crate) text: Option<String>,
    /// No more comes.
    pub(crate) done: bool,
}

/// What is left of a session that is gone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tombstone {
    /// Its row.
    pub(crate) row: SessionRow,
    /// Its own id.
    pub(crate) uid: Uuid,
    /// Position of its last event.
    pub(crate) head: i64,
    /// Its tenant.
    pub(crate) tenant: String,
    /// Its owner.
    pub(crate) owner: String,
    /// Who else could use it.
    pub(crate) shares: crate::domain::access::Shares,
}

// === impl Sender ===

impl Sender {
    /// Who it is, as callers are told.
    pub(crate) fn principal(&self, tenant: &str) -> String {
        format!("{tenant}/{}", self.subject)
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// A session in which nothing happens.
    pub(crate) fn idle(session: Arc<Session>, hidden: Hidden) -> Self {
        Self {
            session,
            hidden,
            active: None,
            waiting: Vec::new(),
            scheduled: Vec::new(),
            steers: Vec::new(),
            open: Vec::new(),
            questions: Vec::new(),
        }
    }

    /// Row of the oldest waiting turn while none is active; 0 while DELETING. `None`: nobody has to wake for it.
    pub(crate) fn wake(&self) -> Option<i64> {
        if self.session.state == crate::domain::session::SessionState::Deleting {
            return Some(0);
        }
        let waits = self.session.budget_wait.is_some() || self.session.waits_for_worker();
        if self.active.is_some() || waits {
            return None;
        }
        self.waiting.iter().map(|waiting| waiting.turn.row).min()
    }

    /// Leaves long texts behind, so that what is kept of it is small.
    pub(crate) fn shed(&mut self) {
        for waiting in self.waiting.iter_mut().chain(&mut self.scheduled) {
            if waiting.turn.text.len() > KEPT_TEXT_MAX_BYTES {
                let waiting = Arc::make_mut(waiting);
                waiting.turn.text = String::new();
                waiting.text_left = true;
            }
        }
        for question in &mut self.questions {
            if !question.ask.args.text.is_empty() {
                Arc::make_mut(question).ask.args = Json::default();
            }
        }
        for item in &mut self.open {
            item.args = None;
            for block in &mut item.blocks {
                block.text = None;
            }
        }
    }

    /// About how many bytes it needs.
    pub(crate) fn bytes(&self) -> usize {
        let Self {
            session,
            hidden: _,
            active,
            waiting,
            scheduled,
            steers,
            open,
            questions,
        } = self;
        let waiting = || waiting.iter().chain(scheduled);
        let maps: usize = session.labels.iter().map(|(k, v)| k.len() + v.len()).sum();
        let texts = active.iter().map(|active| active.turn.text.len());
        let texts = texts.chain(waiting().map(|waiting| waiting.turn.text.len()));
        let texts: usize = texts
            .chain(steers.iter().map(|steer| steer.text.len()))
            .sum();
        let blocks: usize = open.iter().map(|item| 1 + item.blocks.len()).sum();
        let origins = active.iter().map(|active| &active.origin);
        let origins = origins.chain(waiting().map(|waiting| &waiting.origin));
        let labels = origins.flat_map(|origin| origin.labels.iter());
        let maps: usize = maps + labels.map(|(k, v)| k.len() + v.len()).sum::<usize>();
        let asked: usize = questions.iter().map(|one| one.ask.text_bytes()).sum();
        let pieces = 4
            + waiting().count()
            + steers.len()
            + blocks
            + questions.len()
            + usize::from(active.is_some());
        maps + texts + asked + pieces * PIECE_BYTES
    }
}
