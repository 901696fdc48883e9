//! The store: every row, and every decision that must be one with its commit.
//!
//! Commands are decided inside the transaction that writes them, so a "yes" is durable and a "no" changed nothing.
//! After each commit the store hands what it wrote to its [`Publisher`] in commit order, and only then replies.
//! A dropped caller never takes a commit back.
//!
//! Owner's calls carry a [`Fence`]; an older epoch than the session's is refused with `FENCED` in the same transaction.

mod access;
pub(crate) mod core;
pub mod round;
mod routing;
mod schedules;
pub mod sqlite;
mod webhooks_out;

pub use access::{
    ApiKeysFilter, ApiKeysPage, CreatedApiKey, KeptApiKey, KeyDigest, KeyRequest, NewApiKey,
    RevokeApiKey, RevokedApiKey,
};

pub use routing::{ResolveRoute, ResolvedRoute, SetRoutes};

pub use schedules::{
    NewSchedule, RunsPage, ScheduleCaller, ScheduleStart, ScheduleStep, ScheduleUpdate,
    SchedulesPage,
};

pub use webhooks_out::{
    DeliveriesPage, Due, DueDeliveries, DueEvent, NewWebhook, SessionsBehind, Settled,
    WebhookCaller, WebhookStore, WebhookUpdate, WebhooksPage,
};

pub use self::core::{
    commands::{
        Abort, Admission, AnswerQuestion, Caller, Choose, Committed, Enqueue, Fork, NewSession,
        Receipt, RequestKey, Steer, UpdateQueued, UpdateSession,
    },
    ownership::{Ended, Fence, OpenQuestion, PendingSteer, Recovered, Started, TurnEnd, Write},
    published::{Published, Publisher, StoredEvent},
    rules::{AgentRule, StoreRules},
};
pub use crate::domain::turn::OnBusy;

use crate::domain::{
    access::Identity,
    agent::ToldAgent,
    budget::{Bounds, Budget, BudgetName, Exceeded, OnExceeded},
    event::EventKind,
    ids::{Principal, SessionKey, SessionRow, Time},
    lease::{KeptLease, WantedWorker},
    message::Message,
    offers::Offers,
    question::{Question, QuestionState},
    quotas::Quotas,
    refusal::Refusal,
    routing::Route,
    schedule::{Schedule, ScheduleRun},
    session::{Session, SessionFilter},
    turn::{Attachment, AttachmentRef, Turn, TurnState},
    usage::{GroupBy, Groups, UsageFilter},
};
use async_trait::async_trait;
use bytes::Bytes;
use round::Round;
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

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
// ----------------------------------------------------------------------------------------------- who is next

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

/// A page of questions, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct QuestionsPage {
    /// The questions.
    pub questions: Vec<Question>,
    /// Position for the next page; `None` at the end.
    pub next: Option<i64>,
}

/// What an agent told that it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptOffers {
    /// What it told.
    pub offers: Offers,
    /// When.
    pub time: Time,
    /// In the session that was asked for; else in another one, and nothing that was chosen there is in it.
    pub of_session: bool,
}

/// SetBudget.
#[derive(Clone, Debug)]
pub struct SetBudget {
    /// Who.
    pub caller: Arc<Identity>,
    /// Set where the caller gave a `request_id`.
    pub request: Option<RequestKey>,
    /// Which budget.
    pub name: BudgetName,
    /// Its bounds, all of them.
    pub bounds: Bounds,
    /// What happens at a hard one.
    pub on_exceeded: OnExceeded,
    /// When.
    pub now: Time,
}

/// DeleteBudget.
#[derive(Clone, Debug)]
pub struct DeleteBudget {
    /// Who.
    pub caller: Arc<Identity>,
    /// Set where the caller gave a `request_id`.
    pub request: Option<RequestKey>,
    /// Which budget.
    pub name: BudgetName,
    /// When.
    pub now: Time,
}

/// A page of budgets, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct BudgetsPage {
    /// The budgets.
    pub budgets: Vec<Budget>,
    /// Position for the next page; `None` at the end.
    pub next: Option<i64>,
}

/// Which questions are listed.
#[derive(Clone, Debug)]
pub struct QuestionsFilter {
    /// Who looks.
    pub viewer: Arc<Identity>,
    /// One session, or all.
    pub key: Option<SessionKey>,
    /// Of which sessions.
    pub sessions: SessionFilter,
    /// States; empty means any.
    pub states: Vec<QuestionState>,
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
    /// Notes that a session's agent is to begin afresh, which is its owner's to do; changes nothing.
    async fn reload_session(&self, caller: Caller) -> Result<Committed, Refusal>;
    /// Answers a question; it is closed once. Done on a full disk too.
    async fn answer_question(&self, command: AnswerQuestion) -> Result<Committed, Refusal>;
    /// Changes a waiting turn.
    async fn update_queued(&self, command: UpdateQueued) -> Result<Committed, Refusal>;
    /// Takes a waiting turn.
    async fn remove_queued(&self, caller: Caller, turn_id: Uuid) -> Result<Committed, Refusal>;
    /// Takes all waiting turns.
    async fn clear_queue(&self, caller: Caller) -> Result<Committed, Refusal>;
    /// Makes a session; `SESSION_EXISTS` where the key is taken.
    async fn create_session(&self, caller: Caller, new: NewSession) -> Result<Committed, Refusal>;
    /// Chooses a session's model, thinking level or an option of its agent.
    async fn choose(&self, command: Choose) -> Result<Committed, Refusal>;
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
    /// Questions of the active turn that are pending or whose answer the agent has not got, the oldest first.
    async fn open_questions(&self, fence: Fence) -> Result<Vec<OpenQuestion>, Refusal>;
    /// Writes what the active turn's agent did, all in one commit and in order.
    async fn append(
        &self,
        fence: Fence,
        writes: Vec<Write>,
        now: Time,
    ) -> Result<Arc<Session>, Refusal>;
    /// Why the active turn may not call that model now, for a budget is used up; `None` where it may. What was committed
    /// before counts, whoever used it.
    async fn may_call(
        &self,
        fence: Fence,
        model: &str,
        now: Time,
    ) -> Result<Option<Exceeded>, Refusal>;
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
    /// A question. `SESSION_NOT_FOUND`, `SESSION_DELETED`, `QUESTION_NOT_FOUND`.
    async fn question(
        &self,
        viewer: &Arc<Identity>,
        key: &SessionKey,
        question_id: Uuid,
    ) -> Result<Question, Refusal>;
    /// Sets a budget, all of it; true for a repeat.
    async fn set_budget(&self, command: SetBudget) -> Result<(Budget, bool), Refusal>;
    /// Takes a budget away: whether there was one, and true for a repeat.
    async fn delete_budget(&self, command: DeleteBudget) -> Result<(bool, bool), Refusal>;
    /// A tenant's budgets after a position, the oldest first.
    async fn list_budgets(
        &self,
        tenant: &str,
        after: Option<i64>,
        limit: usize,
    ) -> Result<BudgetsPage, Refusal>;
    /// What was used, by group. More than [`GROUPS_MAX`](crate::domain::usage::GROUPS_MAX) groups are refused.
    async fn usage(&self, filter: UsageFilter, by: Vec<GroupBy>) -> Result<Groups, Refusal>;
    /// Questions after a position.
    async fn list_questions(
        &self,
        filter: QuestionsFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<QuestionsPage, Refusal>;
    /// What an agent offers: as it told last in that session, else as it told last anywhere in the tenant; `None` where it
    /// never did.
    async fn offers(
        &self,
        tenant: &str,
        agent: &str,
        session: Option<SessionRow>,
    ) -> Result<Option<KeptOffers>, Refusal>;
    /// A tenant's routes, in their order.
    async fn routes(&self, tenant: &str) -> Result<Vec<Route>, Refusal>;
    /// Replaces them; what they are called then, and true for a repeat. `ROUTES_CHANGED`.
    async fn set_routes(&self, command: SetRoutes) -> Result<(String, bool), Refusal>;
    /// What they would do with a turn.
    async fn resolve_route(&self, ask: ResolveRoute) -> Result<ResolvedRoute, Refusal>;
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
    /// The newest plan of a generation: its `seq` and the body of its event, which may be gone from the log.
    async fn plan(
        &self,
        session: SessionRow,
        generation: i64,
    ) -> Result<Option<(i64, Bytes)>, Refusal>;
    /// What a generation's agent made, after a position: `seq` and body of each event, which may be gone from the log.
    async fn artifacts(
        &self,
        session: SessionRow,
        generation: i64,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Bytes)>, Refusal>;
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
    /// What agents have told of themselves, of each revision that is kept.
    async fn told_agents(&self) -> Result<Vec<ToldAgent>, Refusal>;
    /// Keeps what an agent told, in place of what its revision told before; at most
    /// [`REVISIONS_MAX`](crate::domain::agent::REVISIONS_MAX) revisions of each.
    async fn put_told_agent(&self, told: ToldAgent) -> Result<(), Refusal>;
    /// Keeps the lease of a turn that a worker is to run: before the worker hears of it.
    async fn put_lease(&self, lease: KeptLease) -> Result<(), Refusal>;
    /// Forgets a lease: nothing of its turn runs on a worker any more.
    async fn end_lease(&self, turn_id: Uuid) -> Result<(), Refusal>;
    /// The leases that an earlier life left. Their turns are not recovered before [`Store::settle_lease`].
    async fn leases(&self) -> Result<Vec<KeptLease>, Refusal>;
    /// Recovers a turn that an earlier life left with a lease, which is over, and forgets that; again is OK.
    async fn settle_lease(&self, turn_id: Uuid, now: Time) -> Result<(), Refusal>;
    /// The session's next turn waits for a worker: `turn_waiting`, once for each turn that is next. Nobody wakes for it until
    /// [`Store::look_for_workers`].
    async fn wait_for_worker(
        &self,
        fence: Fence,
        wanted: WantedWorker,
        now: Time,
    ) -> Result<(), Refusal>;
    /// Has at most so many sessions looked at again whose next turns wait for a worker of that agent, those that have waited
    /// longest, of one tenant or of all; returns how many.
    async fn look_for_workers(
        &self,
        agent: &str,
        tenant: Option<&str>,
        limit: usize,
        now: Time,
    ) -> Result<usize, Refusal>;
    /// Sessions whose next turn waits for a worker, by agent.
    async fn wanted_workers(&self) -> Result<Vec<(String, i64)>, Refusal>;
    /// The troubles that the engine knows it is in, the gravest first; for health, and for who asks.
    fn troubles(&self) -> Vec<Trouble>;
    /// Answers when the engine can read and write; for health.
    async fn ping(&self) -> Result<(), Refusal>;
    /// Ends the engine after what was queued is committed; SQLite checkpoints its log.
    async fn close(&self);

    // ---------------------------------------------------------------------------------------------- what is due when

    /// Puts turns whose `not_before` has come by the system's clock into their queues: those of a bounded number of
    /// sessions, which is returned; 0 where none is due.
    async fn queue_due(&self, wall: Time, now: Time) -> Result<usize, Refusal>;
    /// When the next turn or schedule is due; it may be over.
    async fn next_due(&self) -> Result<Option<Time>, Refusal>;
    /// Makes a schedule; true for a repeat. `INVALID_FIELD` where the name is taken, or the tenant has enough.
    async fn create_schedule(&self, new: NewSchedule) -> Result<(Schedule, bool), Refusal>;
    /// Changes a schedule; true for a repeat, `None` where it has changed meanwhile. `SCHEDULE_NOT_FOUND`.
    async fn update_schedule(
        &self,
        update: ScheduleUpdate,
    ) -> Result<Option<(Schedule, bool)>, Refusal>;
    /// Deletes a schedule; true for a repeat. `SCHEDULE_NOT_FOUND`.
    async fn delete_schedule(&self, caller: ScheduleCaller) -> Result<bool, Refusal>;
    /// A schedule of somebody. `SCHEDULE_NOT_FOUND`.
    async fn schedule(
        &self,
        owner: &Principal,
        name: &str,
        wall: Time,
    ) -> Result<Schedule, Refusal>;
    /// Schedules of somebody after a position, the oldest first.
    async fn list_schedules(
        &self,
        owner: &Principal,
        after: Option<i64>,
        limit: usize,
        wall: Time,
    ) -> Result<SchedulesPage, Refusal>;
    /// Runs of a schedule before a position, the newest first. `SCHEDULE_NOT_FOUND`.
    async fn schedule_runs(
        &self,
        owner: &Principal,
        name: &str,
        before: Option<i64>,
        limit: usize,
        wall: Time,
    ) -> Result<RunsPage, Refusal>;
    /// Schedules that are due, those that are so for longest first.
    async fn due_schedules(&self, wall: Time, limit: usize) -> Result<Vec<Schedule>, Refusal>;
    /// Does what is due of a schedule, in one commit; false where it has changed since it was looked at.
    async fn step_schedule(&self, step: ScheduleStep) -> Result<bool, Refusal>;
    /// Runs a schedule as it was asked for; true for a repeat, `None` where it has changed since it was looked at.
    async fn run_schedule(
        &self,
        caller: ScheduleCaller,
        step: ScheduleStep,
    ) -> Result<Option<(ScheduleRun, bool)>, Refusal>;

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
