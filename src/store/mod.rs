//! The store: every row, and every decision that must be one with its commit.
//!
//! Commands are decided inside the transaction that writes them, so a "yes" is durable and a "no" changed nothing.
//! After each commit the store hands what it wrote to its [`Publisher`] in commit order, and only then replies.
//! A dropped caller never takes a commit back.
//!
//! Owner's calls carry a [`Fence`]; an older epoch than the session's is refused with `FENCED` in the same transaction.

mod access;
pub mod round;
pub mod sqlite;

pub use access::{
    ApiKeysFilter, ApiKeysPage, CreatedApiKey, KeptApiKey, KeyDigest, KeyRequest, NewApiKey,
    RevokeApiKey, RevokedApiKey,
};

use crate::domain::{
    access::{Identity, Shares},
    event::{BlockKind, Event, EventKind, Role},
    ids::{Principal, SessionKey, SessionRow, Time},
    memory::Reach,
    message::{Message, Part},
    quotas::{LiveQuotas, Quotas},
    refusal::Refusal,
    session::{Session, SessionFilter},
    turn::{AbortMode, Attachment, AttachmentRef, Cause, OnInterrupt, StopReason, Turn, TurnState},
};
use async_trait::async_trait;
use bytes::Bytes;
use round::Round;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use uuid::Uuid;

// ---------------------------------------------------------------------------------------------------- publication

/// A durable event as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Its place: 1, 2, 3 … without holes.
    pub seq: i64,
    /// Epoch of the owner under which it was written; never falls along a log.
    pub epoch: i64,
    /// Its kind.
    pub kind: EventKind,
    /// Its turn, where it has one.
    pub turn_id: Option<Uuid>,
    /// Its item, where it has one.
    pub item_id: Option<Uuid>,
    /// `GatewayEvent` without `session_key`, `log_id`, `seq` and `after_seq`, see `wire::frames`.
    pub body: Bytes,
}

/// What one commit did to one session.
#[derive(Clone, Debug)]
pub struct Published {
    /// The session after the commit; `state` is `Deleted` when its rows are gone.
    pub session: Arc<Session>,
    /// Its new events in `seq` order; may be empty (retention, purge).
    pub events: Vec<StoredEvent>,
    /// Turns that this commit ended, for those who wait for them.
    pub ended: Vec<Arc<Turn>>,
}

/// Takes what was committed. Called by the store's commit task alone, in commit order, before any reply.
pub trait Publisher: Send + Sync + 'static {
    /// Must not block and must not call the store.
    fn publish(&self, published: Vec<Published>);
}

// -------------------------------------------------------------------------------------------------------- trouble

/// What is wrong with a store, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// Its files are not where they were: nothing is written any more.
    Lost,
    /// Pages of it can't be read.
    Damaged,
    /// Its log can't be moved into the database.
    LogStuck,
    /// The disk is nearly full.
    Full,
}

/// A trouble and what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which.
    pub kind: TroubleKind,
    /// For people.
    pub text: &'static str,
}

// === impl Trouble ===

impl Trouble {
    /// The trouble of a kind.
    pub fn of(kind: TroubleKind) -> Self {
        let text = match kind {
            TroubleKind::Lost => {
                "the store's files are gone or were exchanged under the server; nothing is written any more: stop it, \
                 and put the data directory back, or restore a backup"
            }
            TroubleKind::Damaged => {
                "pages of the store can't be read: stop the server, see what is lost (quarterdeck check), look at the disk, and \
                 restore a backup"
            }
            TroubleKind::LogStuck => {
                "the store's log can't be moved into the database and grows: look at the disk, and whether a backup hangs"
            }
            TroubleKind::Full => {
                "less than disk_reserve is free on the disk; new work is refused, stops and deletes are served"
            }
        };
        Self { kind, text }
    }

    /// Whether calls fail by it, so that callers are better served elsewhere.
    pub fn is_grave(&self) -> bool {
        match self.kind {
            TroubleKind::Lost | TroubleKind::Damaged => true,
            TroubleKind::LogStuck | TroubleKind::Full => false,
        }
    }

    /// Its name, for metrics and callers.
    pub fn name(&self) -> &'static str {
        match self.kind {
            TroubleKind::Lost => "LOST",
            TroubleKind::Damaged => "DAMAGED",
            TroubleKind::LogStuck => "LOG_STUCK",
            TroubleKind::Full => "FULL",
        }
    }
}

// ------------------------------------------------------------------------------------------------------- settings

/// What the store must know of an agent to decide.
#[derive(Clone, Debug)]
pub struct AgentRule {
    /// Takes steers.
    pub steer: bool,
    /// Can be forked.
    pub fork: bool,
    /// What a crash does to a turn that does not say.
    pub on_interrupt: OnInterrupt,
    /// Starts at most of a RETRY turn.
    pub max_attempts: i32,
    /// Serves the operator's tenant alone.
    pub operator_only: bool,
}

/// Bounds and rules that decisions use. Constant for a store's life, but for the quotas.
#[derive(Clone, Debug)]
pub struct StoreRules {
    /// Every configured agent by name.
    pub agents: BTreeMap<String, AgentRule>,
    /// Agent of a session whose creator names none.
    pub default_agent: String,
    /// Key of each tenant's primary session.
    pub primary_session: SessionKey,
    /// How much may be used.
    pub quotas: LiveQuotas,
    /// Durable events kept per session.
    pub retention_events: i64,
    /// Age of the durable events kept.
    pub retention_age: Duration,
    /// Age of finished turns and messages kept; `None` keeps them all.
    pub history_retention: Option<Duration>,
    /// Free bytes of the disk below which new turns are refused.
    pub disk_reserve: u64,
}

// ------------------------------------------------------------------------------------------------------- commands

/// Makes a command repeatable: key is (tenant, principal, method, session key, id).
#[derive(Clone, Debug)]
pub struct RequestKey {
    /// Client-made id.
    pub request_id: String,
    /// Method that counts; `Run` counts as `Enqueue`.
    pub method: &'static str,
    /// SHA-256 over the canonical encoding without `request_id`.
    pub hash: [u8; 32],
}

/// What every command of a caller carries.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who calls, and what it may do.
    pub identity: Arc<Identity>,
    /// The session that it is about.
    pub key: SessionKey,
    /// Set where the caller gave a `request_id`.
    pub request: Option<RequestKey>,
    /// Generation that the caller believes in.
    pub expected_generation: Option<i64>,
    /// When it was received.
    pub now: Time,
}

/// Settings of a session that does not exist yet. `agent` is checked against an existing one, the rest is ignored then.
#[derive(Clone, Debug, Default)]
pub struct NewSession {
    /// Agent; empty means the default.
    pub agent: String,
    /// Model; empty means the agent's default.
    pub model: String,
    /// Thinking level; empty means the agent's default.
    pub thinking_level: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Working directory, resolved and allowed; empty means its own.
    pub cwd: String,
    /// Why the working directory that was asked for can't be had; refuses where the session would be made, and there
    /// alone: what an existing session ignores, and what a repeat did before, is no reason to refuse.
    pub cwd_refused: Option<Refusal>,
    /// Free text for people.
    pub display_name: String,
    /// Deleted after this long without a turn, in microseconds.
    pub expire_after_idle: Option<i64>,
    /// Its memory; empty means the default.
    pub memory_namespaces: Vec<Reach>,
}

/// What to do when a turn is active or waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBusy {
    /// Wait in the queue.
    Enqueue,
    /// Refuse.
    Reject,
    /// Go first, and cancel the active turn.
    Interrupt,
    /// Steer the active turn where that is possible.
    SteerOrEnqueue,
}

/// Enqueue and Run.
#[derive(Clone, Debug)]
pub struct Enqueue {
    /// Who and what for.
    pub caller: Caller,
    /// Settings where the session is new.
    pub new_session: NewSession,
    /// The prompt.
    pub text: String,
    /// What goes with it.
    pub attachments: Vec<Attachment>,
    /// Where it came from.
    pub source: String,
    /// Caller's own facts.
    pub metadata: BTreeMap<String, String>,
    /// What to do when busy.
    pub on_busy: OnBusy,
    /// What a crash does to it; `None` is the agent's choice.
    pub on_interrupt: Option<OnInterrupt>,
    /// How long it may run.
    pub turn_timeout: Duration,
    /// How long it may wait.
    pub queue_ttl: Option<Duration>,
    /// W3C `traceparent` of the call; empty for none.
    pub trace_context: String,
}

/// Steer.
#[derive(Clone, Debug)]
pub struct Steer {
    /// Who and what for.
    pub caller: Caller,
    /// The text.
    pub text: String,
    /// What goes with it.
    pub attachments: Vec<Attachment>,
    /// The turn that must be active; `None` means any.
    pub expected_turn: Option<Uuid>,
    /// How long a turn may run that this becomes.
    pub turn_timeout: Duration,
    /// W3C `traceparent` of the call; empty for none.
    pub trace_context: String,
}

/// Abort.
#[derive(Clone, Debug)]
pub struct Abort {
    /// Who and what for.
    pub caller: Caller,
    /// The turn; `None` means the active one.
    pub turn_id: Option<Uuid>,
    /// Whether every waiting turn is rejected too.
    pub clear_queue: bool,
    /// How to stop.
    pub mode: AbortMode,
    /// Time between CANCEL and KILL.
    pub grace: Duration,
    /// `Aborted`, or `Disconnected` where the last stream of the turn went away.
    pub cause: Cause,
}

/// UpdateQueued.
#[derive(Clone, Debug)]
pub struct UpdateQueued {
    /// Who and what for.
    pub caller: Caller,
    /// The waiting turn.
    pub turn_id: Uuid,
    /// New text.
    pub text: Option<String>,
    /// New place, 0 first; beyond the end means last.
    pub position: Option<i32>,
}

/// UpdateSession: `Some` replaces.
#[derive(Clone, Debug)]
pub struct UpdateSession {
    /// Who and what for.
    pub caller: Caller,
    /// Name for people.
    pub display_name: Option<String>,
    /// Labels, all of them.
    pub labels: Option<BTreeMap<String, String>>,
    /// Agent from the next Reset on.
    pub agent: Option<String>,
    /// Working directory from the next turn on, resolved; empty means the session's own.
    pub cwd: Option<String>,
    /// Why that is none, for a call that is no repeat.
    pub cwd_refused: Option<Refusal>,
    /// Idle expiry in microseconds; `Some(None)` means never.
    pub expire_after_idle: Option<Option<i64>>,
    /// Its memory, all of it.
    pub memory_namespaces: Option<Vec<Reach>>,
    /// Who else may use it, all of them; needs [`SessionAccess::Own`](crate::domain::access::SessionAccess::Own).
    pub shares: Option<Shares>,
}

/// ForkSession.
#[derive(Clone, Debug)]
pub struct Fork {
    /// Who, and which session is forked.
    pub caller: Caller,
    /// Key of the fork; must be free.
    pub new_key: SessionKey,
    /// Last turn to copy, finished; `None` means the newest finished one.
    pub turn_id: Option<Uuid>,
}

/// Whether a command became a turn or a steer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Admission {
    /// It waits as a turn.
    Queued,
    /// It steers the active turn.
    Steered,
}

/// What a command did; kept under its request id, and given again to each repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Newest `seq` of the session at the commit.
    pub seq: i64,
    /// The turn that it made or is about.
    pub turn_id: Option<Uuid>,
    /// The steer that it made.
    pub steer_id: Option<Uuid>,
    /// How it was admitted.
    pub admission: Admission,
    /// Waiting turns ahead of its turn.
    pub queue_position: i32,
    /// Turns that it took from the queue.
    pub cleared: Vec<Uuid>,
    /// Abort, Reset: false where there was nothing (left) to stop at the commit.
    pub stopping: bool,
}

/// Answer to a command: what it did then, and how things stand now.
#[derive(Clone, Debug)]
pub struct Committed {
    /// What it did; the same for each repeat.
    pub receipt: Receipt,
    /// The session as it is now.
    pub session: Arc<Session>,
    /// The receipt's turn as it is now.
    pub turn: Option<Turn>,
    /// The receipt's cleared turns as they are now.
    pub cleared: Vec<Turn>,
    /// True for a repeat.
    pub replayed: bool,
}

// ------------------------------------------------------------------------------------------------------ ownership

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
    /// One model call's usage: `usage_recorded`, added to turn and session.
    Usage {
        /// What it used.
        usage: crate::domain::turn::Usage,
        /// The model, as the agent names it; becomes the turn's model unless empty.
        model: String,
    },
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

/// Asks who is next to start.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Sessions at most.
    pub limit: usize,
    /// Who has a grant already, and where the round goes on.
    pub round: Round,
    /// How many principals and tenants may have.
    pub quotas: Quotas,
    /// Only those that are to be deleted.
    pub deletes_only: bool,
}

/// Who is next to start.
#[derive(Clone, Debug, Default)]
pub struct Runnable {
    /// Sessions in the order in which they are to get their grants.
    pub sessions: Vec<Arc<Session>>,
    /// Others may wait too: those beyond the limit, and those whose owner or tenant may not have more.
    pub more: bool,
}

// ---------------------------------------------------------------------------------------------------------- reads

/// A page of a log.
#[derive(Clone, Debug, Default)]
pub struct EventsPage {
    /// Events after the position that match, in order.
    pub events: Vec<StoredEvent>,
    /// How far was looked: the position to go on from. Equals the `through` of the call when the page ended there.
    pub looked: i64,
    /// Oldest event that is kept, in the same view.
    pub first_seq: i64,
}

/// A page of messages, oldest first inside.
#[derive(Clone, Debug, Default)]
pub struct MessagesPage {
    /// The messages.
    pub messages: Vec<Message>,
    /// Position for the next (older) page; `None` at the end.
    pub next: Option<i64>,
}

/// A page of turns, newest first.
#[derive(Clone, Debug, Default)]
pub struct TurnsPage {
    /// The turns; texts whole.
    pub turns: Vec<Turn>,
    /// Position for the next page; `None` at the end.
    pub next: Option<i64>,
}

/// A page of sessions, newest created first.
#[derive(Clone, Debug, Default)]
pub struct SessionsPage {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// Position for the next page; `None` at the end.
    pub next: Option<i64>,
}

/// Who may be seen by a list over all sessions.
#[derive(Clone, Debug)]
pub struct TurnsFilter {
    /// Who looks.
    pub viewer: Arc<Identity>,
    /// One session, or all.
    pub key: Option<SessionKey>,
    /// States; empty means any.
    pub states: Vec<TurnState>,
}

/// The store. Two engines implement it, and one conformance suite holds for both.
///
/// Errors of every call: `STORE_UNAVAILABLE` where the engine does not answer (the outcome of a command is then
/// unknown: re-read, never guess), `INTERNAL` for a broken invariant. What else a call refuses stands beside it.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // ------------------------------------------------------------------------------------------ callers' commands

    /// Admits a prompt; creates the session where it is missing.
    async fn enqueue(&self, command: Enqueue) -> Result<Committed, Refusal>;
    /// Admits a steer, or a turn where nothing can be steered.
    async fn steer(&self, command: Steer) -> Result<Committed, Refusal>;
    /// Accepts a stop. The owner carries it out.
    async fn abort(&self, command: Abort) -> Result<Committed, Refusal>;
    /// Accepts a Reset; with nothing active it is finished in the same commit.
    async fn reset(&self, caller: Caller) -> Result<Committed, Refusal>;
    /// Changes a waiting turn.
    async fn update_queued(&self, command: UpdateQueued) -> Result<Committed, Refusal>;
    /// Takes a waiting turn.
    async fn remove_queued(&self, caller: Caller, turn_id: Uuid) -> Result<Committed, Refusal>;
    /// Takes all waiting turns.
    async fn clear_queue(&self, caller: Caller) -> Result<Committed, Refusal>;
    /// Makes a session; `SESSION_EXISTS` where the key is taken.
    async fn create_session(&self, caller: Caller, new: NewSession) -> Result<Committed, Refusal>;
    /// Changes a session's settings.
    async fn update_session(&self, command: UpdateSession) -> Result<Committed, Refusal>;
    /// Copies a session up to a finished turn into a new one.
    async fn fork_session(&self, command: Fork) -> Result<Committed, Refusal>;
    /// Accepts a Delete. The owner carries it out. For a session that is deleted already (tombstone) the answer is OK
    /// with `state = Deleted` in the session.
    async fn delete_session(&self, caller: Caller) -> Result<Committed, Refusal>;

    // ------------------------------------------------------------------------------------------------ owner's calls

    /// Takes a session: its epoch grows by one.
    async fn claim(&self, session: SessionRow) -> Result<(Fence, Arc<Session>), Refusal>;
    /// Starts the next waiting turn, in one commit: expired ones end, `turn_started`, and for a first attempt
    /// `message_started{USER}` with its message row. `None` when nothing may start.
    async fn start_next(&self, fence: Fence, now: Time) -> Result<Option<Started>, Refusal>;
    /// The active turn of a session in any state, with its accepted stop; for the owner, who looks after each nudge.
    /// A raised stop (second Abort) is published as a session without events, so that the owner is nudged.
    async fn active_turn(&self, session: SessionRow) -> Result<Option<Turn>, Refusal>;
    /// Steers of the active turn that the agent has not got, in order of arrival.
    async fn pending_steers(&self, fence: Fence) -> Result<Vec<PendingSteer>, Refusal>;
    /// Writes what the active turn's agent did, all in one commit and in order.
    async fn append(
        &self,
        fence: Fence,
        writes: Vec<Write>,
        now: Time,
    ) -> Result<Arc<Session>, Refusal>;
    /// Ends the active turn, in one commit: `writes`, then `turn_ended` by the table of CONTRACT §4, unapplied steers
    /// requeued (rejected where the accepted stop says so), a pending Reset finished.
    async fn end_turn(
        &self,
        fence: Fence,
        writes: Vec<Write>,
        end: TurnEnd,
        response_text: String,
        now: Time,
    ) -> Result<Ended, Refusal>;
    /// Writes `session_deleted` to a DELETING session's log; nothing is active any more.
    async fn finish_delete(&self, fence: Fence, now: Time) -> Result<Arc<Session>, Refusal>;
    /// Takes all rows of a DELETING session; leaves a tombstone. Publishes `state = Deleted`.
    async fn purge_session(&self, fence: Fence, now: Time) -> Result<(), Refusal>;

    /// A Delete can't be finished: it waits for the next Delete or the next start, and is not runnable until then.
    async fn postpone_delete(&self, fence: Fence) -> Result<(), Refusal>;
    /// Whether a session's Delete was postponed: who waits for its end waits in vain.
    async fn delete_postponed(&self, session: SessionRow) -> Result<bool, Refusal>;

    // ------------------------------------------------------------------------------------------------- the registry

    /// Claims and settles every session that an earlier life left with an active turn or a pending Reset, in batched
    /// commits: open items closed from their checkpoints, turns ended or requeued. Idempotent; may be cut anywhere.
    async fn recover(&self, now: Time) -> Result<Recovered, Refusal>;
    /// Sessions that an owner must wake for: DELETING ones, and those with waiting turns and none active. In fair order,
    /// see [`round`]; of one principal DELETING ones first, then the oldest waiting turn.
    async fn runnable(&self, ask: Waiting) -> Result<Runnable, Refusal>;
    /// Ends waiting turns whose `queue_ttl` is over. At most a bounded number a call; returns how many.
    async fn expire_queued(&self, now: Time) -> Result<u64, Refusal>;
    /// A round of housekeeping, in commits that are bounded: retention of events and history, old request ids, old
    /// tombstones, what forks have left that were cut, Delete of sessions idle for longer than they may. It looks at a
    /// bounded number of sessions. True while there is more to do at once.
    async fn maintain(&self, now: Time) -> Result<bool, Refusal>;

    // -------------------------------------------------------------------------------------------------------- reads

    /// The session of a key. `SESSION_NOT_FOUND` (also while DELETING, and where the viewer may not see it),
    /// `SESSION_DELETED`.
    async fn session(
        &self,
        viewer: &Arc<Identity>,
        key: &SessionKey,
    ) -> Result<Arc<Session>, Refusal>;
    /// The session of a row, in any state; `None` when it is gone.
    async fn session_by_row(&self, row: SessionRow) -> Result<Option<Arc<Session>>, Refusal>;
    /// Position of the last event of a session that is gone, for as long as its tombstone is kept.
    async fn last_position(&self, row: SessionRow) -> Result<Option<i64>, Refusal>;
    /// Sessions that the viewer may see, after a position.
    async fn list_sessions(
        &self,
        viewer: &Arc<Identity>,
        filter: SessionFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<SessionsPage, Refusal>;
    /// A turn, whole. `SESSION_NOT_FOUND`, `SESSION_DELETED`, `TURN_NOT_FOUND`.
    async fn turn(
        &self,
        viewer: &Arc<Identity>,
        key: &SessionKey,
        turn_id: Uuid,
    ) -> Result<Turn, Refusal>;
    /// A turn of a session in any state, whole; for those who were let in already. `SESSION_DELETED`, `TURN_NOT_FOUND`.
    async fn turn_of(&self, session: SessionRow, turn_id: Uuid) -> Result<Turn, Refusal>;
    /// Turns after a position.
    async fn list_turns(
        &self,
        filter: TurnsFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<TurnsPage, Refusal>;
    /// The waiting turns in order.
    async fn queue(&self, viewer: &Arc<Identity>, key: &SessionKey) -> Result<Vec<Turn>, Refusal>;
    /// `seq` of a turn's `turn_queued` (the first one that is kept, when that is gone); for Run.
    async fn turn_first_seq(&self, session: SessionRow, turn_id: Uuid) -> Result<i64, Refusal>;
    /// Events with `after < seq <= through`, of `kinds` (empty: all) and of `turn_id` (if given), at most `limit` and
    /// `max_bytes` of bodies (one at least).
    async fn events(
        &self,
        session: SessionRow,
        range: EventsRange,
        limit: usize,
        max_bytes: usize,
    ) -> Result<EventsPage, Refusal>;
    /// Messages of a generation older than a position, newest page first; `through` hides those of later events.
    async fn messages(
        &self,
        session: SessionRow,
        generation: i64,
        through: Option<i64>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<MessagesPage, Refusal>;
    /// An attachment. `ATTACHMENT_NOT_FOUND`.
    async fn attachment(
        &self,
        session: SessionRow,
        attachment_id: &str,
    ) -> Result<Attachment, Refusal>;
    /// Bytes of events, history and attachments that are stored for a principal's sessions, and for its whole tenant's.
    async fn stored_bytes(&self, principal: &Principal) -> Result<(i64, i64), Refusal>;
    /// How many sessions there are; for metrics.
    async fn session_count(&self) -> Result<i64, Refusal>;
    /// What UpdateConfig has set: keys and values.
    async fn settings(&self) -> Result<BTreeMap<String, String>, Refusal>;
    /// Replaces all of that.
    async fn put_settings(&self, settings: BTreeMap<String, String>) -> Result<(), Refusal>;
    /// The troubles that the engine knows it is in, the gravest first; for health, and for who asks.
    fn troubles(&self) -> Vec<Trouble>;
    /// Answers when the engine can read and write; for health.
    async fn ping(&self) -> Result<(), Refusal>;
    /// Ends the engine after what was queued is committed; SQLite checkpoints its log.
    async fn close(&self);

    // ------------------------------------------------------------------------------------------------------- access

    /// Keeps an API key. A repeat of its request makes none; `IDEMPOTENCY_CONFLICT` where the request is another one. Where
    /// the key that it is made with has ended: `CREDENTIALS_INVALID`. `TOO_MANY_KEYS`.
    async fn create_api_key(&self, new: NewApiKey) -> Result<CreatedApiKey, Refusal>;
    /// Revokes an API key, and those that were made with it; again is OK. `API_KEY_NOT_FOUND`, and `SCOPE_REQUIRED` where
    /// it may do more than its caller.
    async fn revoke_api_key(&self, revoke: RevokeApiKey) -> Result<RevokedApiKey, Refusal>;
    /// Notes when API keys were used last.
    async fn api_keys_used(&self, used: Vec<(String, Time)>) -> Result<(), Refusal>;
    /// Whether there ever was an API key, revoked ones included.
    async fn has_api_keys(&self) -> Result<bool, Refusal>;
    /// Every API key, of all tenants, that calls may be made with.
    async fn valid_api_keys(&self, now: Time) -> Result<Vec<KeptApiKey>, Refusal>;
    /// API keys of a tenant before a position, newest first.
    async fn list_api_keys(
        &self,
        filter: ApiKeysFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<ApiKeysPage, Refusal>;
}

/// Which events of a log to read.
#[derive(Clone, Debug, Default)]
pub struct EventsRange {
    /// Position before the first.
    pub after: i64,
    /// The last that may come.
    pub through: i64,
    /// Kinds; empty means all.
    pub kinds: Vec<EventKind>,
    /// Events of this turn alone.
    pub turn_id: Option<Uuid>,
}

// === impl Attachment ===

impl Attachment {
    /// Makes the reference of a content: its id is the content's SHA-256.
    pub fn new(name: String, media_type: String, data: Bytes) -> Self {
        use sha2::{Digest, Sha256};
        let attachment_id = Sha256::digest(&data)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let size = i64::try_from(data.len()).expect("a content fits into memory");
        Self {
            reference: AttachmentRef {
                attachment_id,
                name,
                media_type,
                size,
            },
            data,
        }
    }
}
