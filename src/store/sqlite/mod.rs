//! The store on one SQLite file, for one process.
//!
//! One writer thread commits whatever has queued as one transaction (`writer.rs`); a few readers answer from read-only
//! connections, and others what may take long (`readers.rs`). What is decided stands in `store::core`; here are rows and
//! SQL: `load.rs` reads what a decision looks at, `apply.rs` writes what it says, `commands.rs` runs the two. `retention`,
//! `removal`, `fork` and `staging` work in bounded pieces.
//!
//! The data directory's lock is its caller's; two processes on one file would fence each other but publish apart.

mod agents;
mod apply;
mod artifacts;
mod attachments;
mod backup;
mod budgets;
pub mod check;
mod commands;
mod condition;
mod fair;
mod fault;
mod fork;
mod hold;
mod keys;
mod ledger;
mod lists;
mod load;
mod log;
mod making;
mod mark;
mod offers;
mod owners;
mod queries;
mod readers;
mod removal;
mod requests;
mod retention;
mod room;
mod routes;
mod rows;
mod runnable;
mod schedules;
mod schema;
mod settings;
mod shares;
mod staging;
mod storage;
mod sums;
mod webhooks_out;
mod workers;
mod writer;

pub use backup::{backup, restore};
pub(crate) use fair::Account;
pub use fault::OpenError;
pub(crate) use fault::{Answer, Fault, internal};
pub(crate) use queries::{session as session_of, session_by_row};
pub(crate) use requests::{kept_for, once_for};
pub(crate) use schema::open_reader_of;
pub(crate) use writer::Unit;

use super::{
    Abort, AnswerQuestion, ApiKeysFilter, ApiKeysPage, BudgetsPage, Caller, Choose, Committed,
    CreatedApiKey, DeleteBudget, Ended, Enqueue, EventsPage, EventsRange, Fence, Fork, KeptApiKey,
    KeptOffers, MessagesPage, NewApiKey, NewSchedule, NewSession, OpenQuestion, PendingSteer,
    Publisher, QuestionsFilter, QuestionsPage, Recovered, ResolveRoute, ResolvedRoute,
    RevokeApiKey, RevokedApiKey, Runnable, RunsPage, ScheduleCaller, ScheduleStep, ScheduleUpdate,
    SchedulesPage, SessionsPage, SetBudget, SetRoutes, Started, Steer, Store, StoreRules, Trouble,
    TurnEnd, TurnsFilter, TurnsPage, UpdateQueued, UpdateSession, Waiting, Write,
    core::decide::{admission, choices, control, questions, queue, sessions},
};
use crate::{
    clock::Reading,
    domain::{
        Refusal,
        access::Identity,
        agent::ToldAgent,
        budget::{Budget, Exceeded},
        ids::{Principal, SessionKey, SessionRow, Time},
        lease::{KeptLease, WantedWorker},
        question::Question,
        routing::Route,
        schedule::{Schedule, ScheduleRun},
        session::{Session, SessionFilter},
        turn::{Attachment, Turn},
        usage::{GroupBy, Groups, UsageFilter},
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use condition::Condition;
use fair::Accounts;
use hold::Hold;
use making::Makings;
use mark::Mark;
use readers::{Pool, Readers};
use rusqlite::Connection;
use schedules::Stepped;
use schema::FileIdentity;
use staging::{Brings, Staging};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};
use uuid::Uuid;
use writer::{OnFull, Writer};

/// The store on one SQLite file.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    searchers: Readers,
    rules: Arc<StoreRules>,
    identity: FileIdentity,
    accounts: Accounts,
    /// How the store is.
    condition: Arc<Condition>,
    /// Set where the clock has jumped before this start.
    hold: Option<Hold>,
    /// Forks that are being made.
    /// Sessions that forks are making.
    forks: Arc<Makings>,
    /// Contents that are being written.
    contents: Arc<Makings>,
    /// Budgets that there are, or a few more: calls ask for them where there may be any.
    budgets: Arc<AtomicI64>,
    /// Session after which the next look for old events begins.
    scanned: AtomicI64,
}

/// What to do where a store should be there and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfLost {
    /// The start is refused.
    Refuse,
    /// What is left is moved aside, and a new store is made.
    BeginAnew,
}

/// Opens the store for writing, if it is all there.
fn open_whole(data_directory: &Path) -> Result<(Connection, FileIdentity), OpenError> {
    mark::require_files(data_directory)?;
    schema::open_writer_if(data_directory, |found| {
        mark::require_whole(data_directory, found)
    })
}

// === impl SqliteStore ===

impl SqliteStore {
    /// Opens the store of a data directory; makes it where there is none.
    ///
    /// # Errors
    /// A store of a newer version, a damaged one, or a disk that fails.
    pub fn open(
        data_directory: &Path,
        rules: StoreRules,
        publisher: Arc<dyn Publisher>,
    ) -> Result<Self, OpenError> {
        Self::open_or(data_directory, IfLost::Refuse, rules, publisher)
    }

    /// As [`Self::open`]; says what to do where a store should be there and is not.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_or(
        data_directory: &Path,
        if_lost: IfLost,
        rules: StoreRules,
        publisher: Arc<dyn Publisher>,
    ) -> Result<Self, OpenError> {
        let before = Mark::read(data_directory);
        let (connection, identity) = match open_whole(data_directory) {
            Err(lost @ (OpenError::Gone | OpenError::Exchanged | OpenError::LogLost)) => {
                if if_lost == IfLost::Refuse {
                    return Err(lost);
                }
                tracing::warn!(%lost, "a new store is begun, as was asked for");
                mark::move_aside(data_directory)?;
                schema::open_writer(data_directory)?
            }
            opened => opened?,
        };
        let budgets = budgets::all(&connection).map_err(|fault| match fault {
            Fault::Sqlite(error) => OpenError::Sqlite(error),
            Fault::Refused(refusal) => OpenError::Unusable(refusal.to_string()),
            Fault::Broken(what) => OpenError::Unusable(what),
        })?;
        let start = Reading::now();
        let jump = before.and_then(|mark| start.jump_since(&mark.clock));
        let hold = jump.map(|jump| Hold::after(jump, &start));
        let rules = Arc::new(rules);
        let condition = Arc::new(Condition::default());
        let path = data_directory.join(schema::FILE_NAME);
        let readers = Readers::start(Pool::READS, &path, Arc::clone(&condition))?;
        let searchers = Readers::start(Pool::searches(), &path, Arc::clone(&condition))?;
        let writer = Writer::start(
            connection,
            identity,
            Arc::clone(&rules),
            data_directory.to_owned(),
            Arc::clone(&condition),
            hold,
            publisher,
        )?;
        Ok(Self {
            writer,
            readers,
            searchers,
            rules,
            identity,
            accounts: Accounts::default(),
            condition,
            hold,
            forks: Arc::default(),
            contents: Arc::default(),
            budgets: Arc::new(AtomicI64::new(budgets)),
            scanned: AtomicI64::new(0),
        })
    }

    /// Names this store; never changes.
    pub fn store_id(&self) -> Uuid {
        self.identity.store_id
    }

    /// Reads for the memory room, which keeps its rows in the same file: the server's own work.
    pub(crate) async fn look<T, R>(&self, read: R) -> Result<T, Refusal>
    where
        T: Send + 'static,
        R: FnOnce(&Connection, Uuid) -> fault::Answer<T> + Send + 'static,
    {
        self.read(Account::SERVER, read).await
    }

    /// Whose work an owner's or an agent's call is.
    pub(crate) fn account_of(&self, session: SessionRow) -> Account {
        self.accounts.of(session)
    }

    /// Reads for the memory room, somebody's work.
    pub(crate) async fn look_for<T, R>(&self, account: Account, read: R) -> Result<T, Refusal>
    where
        T: Send + 'static,
        R: FnOnce(&Connection, Uuid) -> fault::Answer<T> + Send + 'static,
    {
        self.read(account, read).await
    }

    /// Writes for the memory room, somebody's work: see [`Self::change`].
    pub(crate) async fn change_for<T, W>(&self, account: Account, write: W) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnOnce(&mut writer::Unit<'_>) -> fault::Answer<T> + Send + 'static,
    {
        self.writer.call(account, write).await
    }

    /// Reads for the memory room that may take long: apart from all other reads, in turns with other tenants', and until
    /// the moment that they are told.
    pub(crate) async fn search<T, R>(&self, account: Account, read: R) -> Result<T, Refusal>
    where
        T: Send + 'static,
        R: FnOnce(&Connection, Uuid, Instant) -> fault::Answer<T> + Send + 'static,
    {
        let generation = self.identity.generation;
        self.searchers
            .call(account, move |connection, until| {
                read(connection, generation, until)
            })
            .await
    }

    /// Writes for the memory room, through the one writer: one transaction, one commit, then the reply.
    pub(crate) async fn change<T, W>(&self, write: W) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnOnce(&mut writer::Unit<'_>) -> fault::Answer<T> + Send + 'static,
    {
        self.writer.call(Account::SERVER, write).await
    }

    /// As [`Self::change_for`], for work that may be long: see [`Writer::call_in_slices`].
    pub(crate) async fn change_in_slices_for<T, W>(
        &self,
        account: Account,
        write: W,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnMut(&mut writer::Unit<'_>) -> fault::Answer<Option<T>> + Send + 'static,
    {
        self.writer
            .call_in_slices(account, OnFull::Refuse, write)
            .await
    }

    /// The same, the server's own.
    pub(crate) async fn change_in_slices<T, W>(&self, write: W) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnMut(&mut writer::Unit<'_>) -> fault::Answer<Option<T>> + Send + 'static,
    {
        self.change_in_slices_for(Account::SERVER, write).await
    }

    /// Whether what is counted of every owner is what the rows say. For tests.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn ledger_agrees(&self) -> Result<bool, Refusal> {
        self.writer
            .call(Account::SERVER, |unit| unit.ledger_agrees())
            .await
    }

    /// Times that a writer of this process used a statement which had been prepared more than once: 0, for a statement's
    /// plan depends on nothing that is bound to it. Counted in debug builds. For tests.
    pub fn prepared_again() -> u64 {
        schema::PREPARED_AGAIN.load(Ordering::Relaxed)
    }

    async fn read<T, R>(&self, account: Account, read: R) -> Result<T, Refusal>
    where
        T: Send + 'static,
        R: FnOnce(&Connection, Uuid) -> fault::Answer<T> + Send + 'static,
    {
        let generation = self.identity.generation;
        self.readers
            .call(account, move |connection, _| read(connection, generation))
            .await
    }

    /// A command of a caller: work of its tenant.
    async fn command<W>(&self, account: Account, work: W) -> Result<Committed, Refusal>
    where
        W: FnOnce(&mut writer::Unit<'_>) -> fault::Answer<Committed> + Send + 'static,
    {
        let committed = self.writer.call(account, work).await?;
        self.learn(&committed.session);
        Ok(committed)
    }

    /// A command that stops, ends or removes: see [`Writer::call_with_spare`].
    async fn command_with_spare<W>(&self, account: Account, work: W) -> Result<Committed, Refusal>
    where
        W: FnMut(&mut writer::Unit<'_>) -> fault::Answer<Committed> + Send + 'static,
    {
        let committed = self.writer.call_with_spare(account, work).await?;
        self.learn(&committed.session);
        Ok(committed)
    }

    /// Work that brings attachments: at once where they are small, else in slices, see [`Staging`].
    async fn with_attachments<D, W>(
        &self,
        account: Account,
        is_large: bool,
        decide: D,
    ) -> Result<W::Done, Refusal>
    where
        D: Fn(&writer::Unit<'_>) -> fault::Answer<W> + Send + 'static,
        W: Brings,
        W::Done: Send + 'static,
    {
        if !is_large {
            let work = move |unit: &mut writer::Unit<'_>| decide(unit)?.commit(unit);
            return self.writer.call(account, work).await;
        }
        let mut staging = Staging::new(Arc::clone(&self.contents), decide);
        self.writer
            .call_in_slices(account, OnFull::Refuse, move |unit| staging.slice(unit))
            .await?
    }

    /// An owner's call: work of its session's tenant.
    async fn owner<T, W>(&self, session: SessionRow, work: W) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnOnce(&mut writer::Unit<'_>) -> fault::Answer<T> + Send + 'static,
    {
        self.writer.call(self.accounts.of(session), work).await
    }

    /// Has every session looked at again that waits for a budget of its tenant.
    async fn look_again(&self, tenant: String, now: Time) -> Result<(), Refusal> {
        self.writer
            .call_in_slices(Account::of_tenant(&tenant), OnFull::UseSpare, move |unit| {
                Ok(commands::look_again_in(unit, &tenant, now)?.then_some(()))
            })
            .await
    }

    fn learn(&self, session: &Session) {
        self.accounts.learn(session.row, &session.tenant);
    }
}

/// Whose work a command is.
fn account_of(caller: &Caller) -> Account {
    Account::of_tenant(&caller.identity.principal.tenant)
}

/// Whether an owner's writes bring more attachments than belong into one commit.
fn brings_much(writes: &[Write]) -> bool {
    let is_large =
        |write: &Write| matches!(write, Write::Attachments(new) if staging::is_large(new));
    writes.iter().any(is_large)
}

/// Keeps an API key in the store of a data directory that nobody serves.
///
/// # Errors
/// The store can't be opened or written.
pub fn keep_api_key(data_directory: &Path, new: &NewApiKey) -> Result<(), OpenError> {
    let (connection, _) = schema::open_writer(data_directory)?;
    keys::insert(&connection, new)?;
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    async fn enqueue(&self, command: Enqueue) -> Result<Committed, Refusal> {
        let account = account_of(&command.caller);
        let is_large = staging::is_large(&command.attachments);
        let decide = move |unit: &writer::Unit<'_>| {
            unit.decided(&command.caller, |ctx, facts, found| {
                admission::enqueue(ctx, facts, found, &command)
            })
        };
        let committed = self.with_attachments(account, is_large, decide).await?;
        self.learn(&committed.session);
        Ok(committed)
    }

    async fn steer(&self, command: Steer) -> Result<Committed, Refusal> {
        let account = account_of(&command.caller);
        let is_large = staging::is_large(&command.attachments);
        let decide = move |unit: &writer::Unit<'_>| {
            unit.decided(&command.caller, |ctx, facts, found| {
                admission::steer(ctx, facts, found, &command)
            })
        };
        let committed = self.with_attachments(account, is_large, decide).await?;
        self.learn(&committed.session);
        Ok(committed)
    }

    async fn abort(&self, command: Abort) -> Result<Committed, Refusal> {
        let account = account_of(&command.caller);
        self.command_with_spare(account, move |unit| {
            unit.command(&command.caller, |ctx, facts, found| {
                control::abort(ctx, facts, found, &command)
            })
        })
        .await
    }

    async fn reset(&self, caller: Caller) -> Result<Committed, Refusal> {
        let account = account_of(&caller);
        self.command_with_spare(account, move |unit| {
            unit.command(&caller, |ctx, facts, found| {
                control::reset(ctx, facts, found, &caller)
            })
        })
        .await
    }

    async fn reload_session(&self, caller: Caller) -> Result<Committed, Refusal> {
        let account = account_of(&caller);
        self.command_with_spare(account, move |unit| {
            unit.command(&caller, |ctx, facts, found| {
                control::reload(ctx, facts, found, &caller)
            })
        })
        .await
    }

    async fn answer_question(&self, command: AnswerQuestion) -> Result<Committed, Refusal> {
        let account = account_of(&command.caller);
        // On a full disk too: an agent that waits holds more than its answer takes.
        self.command_with_spare(account, move |unit| {
            unit.command(&command.caller, |ctx, facts, found| {
                questions::answer(ctx, facts, found, &command)
            })
        })
        .await
    }

    async fn update_queued(&self, command: UpdateQueued) -> Result<Committed, Refusal> {
        let account = account_of(&command.caller);
        self.command(account, move |unit| {
            unit.command(&command.caller, |ctx, facts, found| {
                queue::update(ctx, facts, found, &command)
            })
        })
        .await
    }

    async fn remove_queued(&self, caller: Caller, turn_id: Uuid) -> Result<Committed, Refusal> {
        let account = account_of(&caller);
        self.command_with_spare(account, move |unit| {
            unit.command(&caller, |ctx, facts, found| {
                queue::remove(ctx, facts, found, &caller, turn_id)
            })
        })
        .await
    }

    async fn clear_queue(&self, caller: Caller) -> Result<Committed, Refusal> {
        let account = account_of(&caller);
        self.command_with_spare(account, move |unit| {
            unit.command(&caller, |ctx, facts, found| {
                queue::clear(ctx, facts, found, &caller)
            })
        })
        .await
    }

    async fn create_session(&self, caller: Caller, new: NewSession) -> Result<Committed, Refusal> {
        let account = account_of(&caller);
        self.command(account, move |unit| {
            unit.command(&caller, |ctx, facts, found| {
                sessions::create(ctx, facts, found, &caller, &new)
            })
        })
        .await
    }

    async fn choose(&self, command: Choose) -> Result<Committed, Refusal> {
        let account = account_of(&command.caller);
        self.command(account, move |unit| {
            unit.command(&command.caller, |ctx, facts, found| {
                choices::choose(ctx, facts, found, &command)
            })
        })
        .await
    }

    async fn update_session(&self, command: UpdateSession) -> Result<Committed, Refusal> {
        let account = account_of(&command.caller);
        self.command(account, move |unit| {
            unit.command(&command.caller, |ctx, facts, found| {
                sessions::update(ctx, facts, found, &command)
            })
        })
        .await
    }

    async fn fork_session(&self, command: Fork) -> Result<Committed, Refusal> {
        let account = account_of(&command.caller);
        let mut forking = fork::Forking::new(command, Arc::clone(&self.forks));
        self.writer
            .call_in_slices(account, OnFull::Refuse, move |unit| forking.slice(unit))
            .await
    }

    async fn delete_session(&self, caller: Caller) -> Result<Committed, Refusal> {
        let account = account_of(&caller);
        self.command_with_spare(account, move |unit| {
            unit.command(&caller, |ctx, facts, found| {
                control::delete(ctx, facts, found, &caller)
            })
        })
        .await
    }

    async fn claim(&self, session: SessionRow) -> Result<(Fence, Arc<Session>), Refusal> {
        let (fence, session) = self
            .owner(session, move |unit| commands::claim(unit, session))
            .await?;
        self.learn(&session);
        Ok((fence, session))
    }

    async fn start_next(&self, fence: Fence, now: Time) -> Result<Option<Started>, Refusal> {
        self.owner(fence.session, move |unit| {
            commands::start_next(unit, fence, now)
        })
        .await
    }

    async fn active_turn(&self, session: SessionRow) -> Result<Option<Turn>, Refusal> {
        self.read(self.accounts.of(session), move |connection, generation| {
            queries::active_turn(connection, generation, session)
        })
        .await
    }

    async fn pending_steers(&self, fence: Fence) -> Result<Vec<PendingSteer>, Refusal> {
        self.owner(fence.session, move |unit| {
            commands::pending_steers(unit, fence)
        })
        .await
    }

    async fn open_questions(&self, fence: Fence) -> Result<Vec<OpenQuestion>, Refusal> {
        self.owner(fence.session, move |unit| {
            commands::open_questions(unit, fence)
        })
        .await
    }

    async fn append(
        &self,
        fence: Fence,
        writes: Vec<Write>,
        now: Time,
    ) -> Result<Arc<Session>, Refusal> {
        let account = self.accounts.of(fence.session);
        let is_large = brings_much(&writes);
        self.with_attachments(account, is_large, move |unit| {
            commands::append(unit, fence, &writes, now)
        })
        .await
    }

    async fn end_turn(
        &self,
        fence: Fence,
        writes: Vec<Write>,
        end: TurnEnd,
        response_text: String,
        now: Time,
    ) -> Result<Ended, Refusal> {
        let account = self.accounts.of(fence.session);
        let is_large = brings_much(&writes);
        self.with_attachments(account, is_large, move |unit| {
            let what = (&writes[..], &end, response_text.as_str());
            commands::end_turn(unit, fence, what, now)
        })
        .await
    }

    async fn may_call(
        &self,
        fence: Fence,
        model: &str,
        now: Time,
    ) -> Result<Option<Exceeded>, Refusal> {
        if self.budgets.load(Ordering::Relaxed) == 0 {
            return Ok(None);
        }
        let model = model.to_owned();
        // By the writer, behind what was committed before: what others have used by now counts.
        self.owner(fence.session, move |unit| {
            commands::may_call(unit, fence, &model, now)
        })
        .await
    }

    async fn finish_delete(&self, fence: Fence, now: Time) -> Result<Arc<Session>, Refusal> {
        self.writer
            .call_with_spare(self.accounts.of(fence.session), move |unit| {
                commands::finish_delete(unit, fence, now)
            })
            .await
    }

    async fn purge_session(&self, fence: Fence, now: Time) -> Result<(), Refusal> {
        // Cut between two commits, the session is still DELETING and the next owner goes on.
        let account = self.accounts.of(fence.session);
        self.writer
            .call_in_slices(account, OnFull::UseSpare, move |unit| {
                Ok(removal::purge_step(unit, fence, now)?.then_some(()))
            })
            .await
    }

    async fn postpone_delete(&self, fence: Fence) -> Result<(), Refusal> {
        self.writer
            .call_with_spare(self.accounts.of(fence.session), move |unit| {
                commands::postpone_delete(unit, fence)
            })
            .await
    }

    async fn delete_postponed(&self, session: SessionRow) -> Result<bool, Refusal> {
        self.read(self.accounts.of(session), move |connection, _| {
            removal::delete_postponed(connection, session)
        })
        .await
    }

    async fn recover(&self, now: Time) -> Result<Recovered, Refusal> {
        self.writer
            .call(Account::SERVER, commands::resume_deletes)
            .await?;
        let mut all = Recovered::default();
        while let Some(Recovered {
            ended,
            requeued,
            reset,
        }) = self
            .writer
            .call(Account::SERVER, move |unit| commands::recover(unit, now))
            .await?
        {
            all.ended += ended;
            all.requeued += requeued;
            all.reset += reset;
        }
        Ok(all)
    }

    async fn runnable(&self, ask: Waiting) -> Result<Runnable, Refusal> {
        self.read(Account::SERVER, move |connection, generation| {
            runnable::runnable(connection, generation, &ask)
        })
        .await
    }

    async fn expire_queued(&self, now: Time) -> Result<u64, Refusal> {
        self.writer
            .call(Account::SERVER, move |unit| commands::expire(unit, now))
            .await
    }

    async fn maintain(&self, now: Time) -> Result<bool, Refusal> {
        let forks = Arc::clone(&self.forks);
        let contents = Arc::clone(&self.contents);
        self.writer
            .call_in_slices(Account::SERVER, OnFull::UseSpare, move |unit| {
                let done =
                    fork::take_back(unit, &forks)? && attachments::take_back_cut(unit, &contents)?;
                Ok(done.then_some(()))
            })
            .await?;
        if self.hold.is_some_and(|hold| hold.lasts()) {
            return Ok(false);
        }
        self.writer
            .call_in_slices(Account::SERVER, OnFull::UseSpare, move |unit| {
                Ok(retention::sweep(unit, now)?.then_some(()))
            })
            .await?;
        let more = self
            .writer
            .call(Account::SERVER, move |unit| {
                retention::delete_idle(unit, now)
            })
            .await?;
        let from = self.scanned.load(Ordering::Relaxed);
        let rules = Arc::clone(&self.rules);
        let due = self
            .readers
            .call(Account::SERVER, move |connection, _| {
                retention::due(connection, &rules, from, now)
            })
            .await?;
        for session in due.sessions {
            self.writer
                .call_in_slices(Account::SERVER, OnFull::UseSpare, move |unit| {
                    Ok(retention::trim(unit, session, now)?.then_some(()))
                })
                .await?;
        }
        self.scanned.store(due.next, Ordering::Relaxed);
        Ok(more)
    }

    async fn session(
        &self,
        viewer: &Arc<Identity>,
        key: &SessionKey,
    ) -> Result<Arc<Session>, Refusal> {
        let account = Account::of_tenant(&viewer.principal.tenant);
        let (viewer, key) = (viewer.clone(), key.clone());
        let session = self
            .read(account, move |connection, generation| {
                queries::session(connection, generation, &viewer, &key).map(Arc::new)
            })
            .await?;
        self.learn(&session);
        Ok(session)
    }

    async fn session_by_row(&self, row: SessionRow) -> Result<Option<Arc<Session>>, Refusal> {
        let account = self.accounts.of(row);
        let session = self
            .read(account, move |connection, generation| {
                queries::session_by_row(connection, generation, row)
            })
            .await?;
        if let Some(session) = &session {
            self.learn(session);
        }
        Ok(session)
    }

    async fn last_position(&self, row: SessionRow) -> Result<Option<i64>, Refusal> {
        self.read(self.accounts.of(row), move |connection, _| {
            load::last_position(connection, row)
        })
        .await
    }

    async fn list_sessions(
        &self,
        viewer: &Arc<Identity>,
        filter: SessionFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<SessionsPage, Refusal> {
        let account = Account::of_tenant(&viewer.principal.tenant);
        let viewer = viewer.clone();
        self.read(account, move |connection, generation| {
            lists::list_sessions(connection, generation, &viewer, &filter, after, limit)
        })
        .await
    }

    async fn turn(
        &self,
        viewer: &Arc<Identity>,
        key: &SessionKey,
        turn_id: Uuid,
    ) -> Result<Turn, Refusal> {
        let account = Account::of_tenant(&viewer.principal.tenant);
        let (viewer, key) = (viewer.clone(), key.clone());
        self.read(account, move |connection, generation| {
            queries::turn(connection, generation, &viewer, &key, turn_id)
        })
        .await
    }

    async fn turn_of(&self, session: SessionRow, turn_id: Uuid) -> Result<Turn, Refusal> {
        self.read(self.accounts.of(session), move |connection, generation| {
            queries::turn_of(connection, generation, session, turn_id)
        })
        .await
    }

    async fn question(
        &self,
        viewer: &Arc<Identity>,
        key: &SessionKey,
        question_id: Uuid,
    ) -> Result<Question, Refusal> {
        let (viewer, key) = (Arc::clone(viewer), key.clone());
        let account = Account::of_tenant(&viewer.principal.tenant);
        self.read(account, move |connection, generation| {
            queries::question(connection, generation, &viewer, &key, question_id)
        })
        .await
    }

    async fn offers(
        &self,
        tenant: &str,
        agent: &str,
        session: Option<SessionRow>,
    ) -> Result<Option<KeptOffers>, Refusal> {
        let (tenant, agent) = (tenant.to_owned(), agent.to_owned());
        let rule = self.rules.agents.get(&agent);
        let revision = rule.map_or_else(String::new, |rule| rule.known.get().revision.clone());
        self.read(Account::of_tenant(&tenant), move |connection, _| {
            offers::find(connection, (&tenant, &agent, &revision), session)
        })
        .await
    }

    async fn routes(&self, tenant: &str) -> Result<Vec<Route>, Refusal> {
        let tenant = tenant.to_owned();
        self.read(Account::of_tenant(&tenant), move |connection, _| {
            routes::of_tenant(connection, &tenant)
        })
        .await
    }

    async fn set_routes(&self, command: SetRoutes) -> Result<(String, bool), Refusal> {
        let account = Account::of_tenant(&command.tenant);
        let set = move |unit: &mut Unit<'_>| routes::set(unit, &command);
        self.writer.call(account, set).await
    }

    async fn resolve_route(&self, ask: ResolveRoute) -> Result<ResolvedRoute, Refusal> {
        let account = Account::of_tenant(&ask.tenant);
        // By the writer, which holds what a decision looks at.
        let resolve = move |unit: &mut Unit<'_>| routes::resolve_one(unit, &ask);
        self.writer.call(account, resolve).await
    }

    async fn set_budget(&self, command: SetBudget) -> Result<(Budget, bool), Refusal> {
        // Calls begin to ask before the budget is there.
        self.budgets.fetch_add(1, Ordering::Relaxed);
        let (tenant, now) = (command.name.tenant.clone(), command.now);
        let account = Account::of_tenant(&tenant);
        let set = self.writer.call(account, move |unit| {
            let set = budgets::set(unit, &command)?;
            Ok((set, budgets::all(unit.connection)?))
        });
        let (set, all) = set.await?;
        self.budgets.store(all, Ordering::Relaxed);
        self.look_again(tenant, now).await?;
        Ok(set)
    }

    async fn delete_budget(&self, command: DeleteBudget) -> Result<(bool, bool), Refusal> {
        let (tenant, now) = (command.name.tenant.clone(), command.now);
        let deleted = self
            .writer
            .call(Account::of_tenant(&tenant), move |unit| {
                budgets::delete(unit, &command)
            })
            .await?;
        self.look_again(tenant, now).await?;
        Ok(deleted)
    }

    async fn list_budgets(
        &self,
        tenant: &str,
        after: Option<i64>,
        limit: usize,
    ) -> Result<BudgetsPage, Refusal> {
        let tenant = tenant.to_owned();
        self.read(Account::of_tenant(&tenant), move |connection, _| {
            budgets::list(connection, &tenant, after, limit)
        })
        .await
    }

    async fn usage(&self, filter: UsageFilter, by: Vec<GroupBy>) -> Result<Groups, Refusal> {
        let account = Account::of_tenant(&filter.tenant);
        self.search(account, move |connection, _, until| {
            sums::grouped(connection, &filter, &by, until)
        })
        .await
    }

    async fn list_questions(
        &self,
        filter: QuestionsFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<QuestionsPage, Refusal> {
        let account = Account::of_tenant(&filter.viewer.principal.tenant);
        self.read(account, move |connection, generation| {
            lists::list_questions(connection, generation, &filter, after, limit)
        })
        .await
    }

    async fn list_turns(
        &self,
        filter: TurnsFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<TurnsPage, Refusal> {
        let account = Account::of_tenant(&filter.viewer.principal.tenant);
        self.read(account, move |connection, generation| {
            lists::list_turns(connection, generation, &filter, after, limit)
        })
        .await
    }

    async fn queue(&self, viewer: &Arc<Identity>, key: &SessionKey) -> Result<Vec<Turn>, Refusal> {
        let account = Account::of_tenant(&viewer.principal.tenant);
        let (viewer, key) = (viewer.clone(), key.clone());
        self.read(account, move |connection, generation| {
            queries::queue(connection, generation, &viewer, &key)
        })
        .await
    }

    async fn turn_first_seq(&self, session: SessionRow, turn_id: Uuid) -> Result<i64, Refusal> {
        self.read(self.accounts.of(session), move |connection, _| {
            queries::turn_first_seq(connection, session, turn_id)
        })
        .await
    }

    async fn events(
        &self,
        session: SessionRow,
        range: EventsRange,
        limit: usize,
        max_bytes: usize,
    ) -> Result<EventsPage, Refusal> {
        self.read(self.accounts.of(session), move |connection, _| {
            queries::events(connection, session, &range, limit, max_bytes)
        })
        .await
    }

    async fn plan(
        &self,
        session: SessionRow,
        generation: i64,
    ) -> Result<Option<(i64, Bytes)>, Refusal> {
        self.read(self.accounts.of(session), move |connection, _| {
            queries::plan(connection, session, generation)
        })
        .await
    }

    async fn artifacts(
        &self,
        session: SessionRow,
        generation: i64,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Bytes)>, Refusal> {
        self.read(self.accounts.of(session), move |connection, _| {
            artifacts::list(connection, session, generation, after, limit)
        })
        .await
    }

    async fn messages(
        &self,
        session: SessionRow,
        generation: i64,
        through: Option<i64>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<MessagesPage, Refusal> {
        self.read(self.accounts.of(session), move |connection, _| {
            queries::messages(connection, session, generation, through, before, limit)
        })
        .await
    }

    async fn attachment(
        &self,
        session: SessionRow,
        attachment_id: &str,
    ) -> Result<Attachment, Refusal> {
        let attachment_id = attachment_id.to_owned();
        self.read(self.accounts.of(session), move |connection, _| {
            queries::attachment(connection, session, &attachment_id)
        })
        .await
    }

    async fn stored_bytes(&self, principal: &Principal) -> Result<(i64, i64), Refusal> {
        let account = Account::of_tenant(&principal.tenant);
        let principal = principal.clone();
        self.read(account, move |connection, _| {
            storage::of(connection, &principal)
        })
        .await
    }

    async fn session_count(&self) -> Result<i64, Refusal> {
        self.read(Account::SERVER, |connection, _| {
            let count = "SELECT value FROM meta WHERE name = 'sessions'";
            Ok(connection.query_row(count, [], |row| row.get(0))?)
        })
        .await
    }

    async fn settings(&self) -> Result<BTreeMap<String, String>, Refusal> {
        self.read(Account::SERVER, |connection, _| settings::all(connection))
            .await
    }

    async fn put_settings(&self, settings: BTreeMap<String, String>) -> Result<(), Refusal> {
        self.writer
            .call(Account::SERVER, move |unit| {
                settings::replace(unit, &settings)
            })
            .await
    }

    async fn told_agents(&self) -> Result<Vec<ToldAgent>, Refusal> {
        self.read(Account::SERVER, |connection, _| agents::all(connection))
            .await
    }

    async fn put_told_agent(&self, told: ToldAgent) -> Result<(), Refusal> {
        self.writer
            .call(Account::SERVER, move |unit| agents::put(unit, &told))
            .await
    }

    async fn put_lease(&self, lease: KeptLease) -> Result<(), Refusal> {
        self.writer
            .call(Account::SERVER, move |unit| workers::put(unit, &lease))
            .await
    }

    async fn end_lease(&self, turn_id: Uuid) -> Result<(), Refusal> {
        self.writer
            .call(Account::SERVER, move |unit| workers::end(unit, turn_id))
            .await
    }

    async fn leases(&self) -> Result<Vec<KeptLease>, Refusal> {
        self.writer
            .call(Account::SERVER, |unit| workers::all(unit))
            .await
    }

    async fn settle_lease(&self, turn_id: Uuid, now: Time) -> Result<(), Refusal> {
        self.writer
            .call(Account::SERVER, move |unit| {
                workers::settle(unit, turn_id, now)
            })
            .await
    }

    async fn wait_for_worker(
        &self,
        fence: Fence,
        wanted: WantedWorker,
        now: Time,
    ) -> Result<(), Refusal> {
        self.owner(fence.session, move |unit| {
            workers::wait(unit, fence, &wanted, now)
        })
        .await
    }

    async fn look_for_workers(
        &self,
        agent: &str,
        tenant: Option<&str>,
        limit: usize,
        now: Time,
    ) -> Result<usize, Refusal> {
        let (agent, tenant) = (agent.to_owned(), tenant.map(str::to_owned));
        self.writer
            .call(Account::SERVER, move |unit| {
                workers::look(unit, &agent, tenant.as_deref(), limit, now)
            })
            .await
    }

    async fn wanted_workers(&self) -> Result<Vec<(String, i64)>, Refusal> {
        self.read(Account::SERVER, |connection, _| workers::wanted(connection))
            .await
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.condition.troubles()
    }

    async fn ping(&self) -> Result<(), Refusal> {
        self.writer.call(Account::SERVER, |_| Ok(())).await?;
        self.read(Account::SERVER, |connection, _| {
            connection.query_row("SELECT 1", [], |_| Ok(()))?;
            Ok(())
        })
        .await
    }

    async fn close(&self) {
        // Readers first: a reader that looks at an old state keeps the log from being moved.
        self.readers.close().await;
        self.searchers.close().await;
        self.writer.close().await;
    }

    async fn queue_due(&self, wall: Time, now: Time) -> Result<usize, Refusal> {
        self.writer
            .call_with_spare(Account::SERVER, move |unit| {
                schedules::queue_due(unit, wall, now)
            })
            .await
    }

    async fn next_due(&self) -> Result<Option<Time>, Refusal> {
        self.read(Account::SERVER, |connection, _| {
            schedules::next_due(connection)
        })
        .await
    }

    async fn create_schedule(&self, new: NewSchedule) -> Result<(Schedule, bool), Refusal> {
        let account = Account::of_tenant(&new.caller.identity.principal.tenant);
        self.writer
            .call(account, move |unit| schedules::create(unit, &new))
            .await
    }

    async fn update_schedule(
        &self,
        update: ScheduleUpdate,
    ) -> Result<Option<(Schedule, bool)>, Refusal> {
        let account = Account::of_tenant(&update.new.caller.identity.principal.tenant);
        self.writer
            .call(account, move |unit| schedules::update(unit, &update))
            .await
    }

    async fn delete_schedule(&self, caller: ScheduleCaller) -> Result<bool, Refusal> {
        let account = Account::of_tenant(&caller.identity.principal.tenant);
        self.writer
            .call_with_spare(account, move |unit| schedules::delete(unit, &caller))
            .await
    }

    async fn schedule(
        &self,
        owner: &Principal,
        name: &str,
        wall: Time,
    ) -> Result<Schedule, Refusal> {
        let (owner, name) = (owner.clone(), name.to_owned());
        self.read(Account::of_tenant(&owner.tenant), move |connection, _| {
            schedules::find(connection, &owner, &name, wall)
        })
        .await
    }

    async fn list_schedules(
        &self,
        owner: &Principal,
        after: Option<i64>,
        limit: usize,
        wall: Time,
    ) -> Result<SchedulesPage, Refusal> {
        let owner = owner.clone();
        self.read(Account::of_tenant(&owner.tenant), move |connection, _| {
            schedules::list(connection, &owner, after, (limit, wall))
        })
        .await
    }

    async fn schedule_runs(
        &self,
        owner: &Principal,
        name: &str,
        before: Option<i64>,
        limit: usize,
        wall: Time,
    ) -> Result<RunsPage, Refusal> {
        let (owner, name) = (owner.clone(), name.to_owned());
        self.read(Account::of_tenant(&owner.tenant), move |connection, _| {
            schedules::runs(connection, &owner, &name, before, (limit, wall))
        })
        .await
    }

    async fn due_schedules(&self, wall: Time, limit: usize) -> Result<Vec<Schedule>, Refusal> {
        self.read(Account::SERVER, move |connection, _| {
            schedules::due(connection, wall, limit)
        })
        .await
    }

    async fn step_schedule(&self, step: ScheduleStep) -> Result<bool, Refusal> {
        let account = Account::of_tenant(&step.schedule.owner.principal.tenant);
        let done = self
            .writer
            .call(account, move |unit| schedules::step(unit, &step))
            .await?;
        if let Some(session) = done.as_ref().and_then(|done| done.session.as_ref()) {
            self.learn(session);
        }
        Ok(done.is_some())
    }

    async fn run_schedule(
        &self,
        caller: ScheduleCaller,
        step: ScheduleStep,
    ) -> Result<Option<(ScheduleRun, bool)>, Refusal> {
        let account = Account::of_tenant(&caller.identity.principal.tenant);
        let done = self
            .writer
            .call(account, move |unit| {
                schedules::run_now(unit, &caller, &step)
            })
            .await?;
        let Some((Stepped { run, session }, replayed)) = done else {
            return Ok(None);
        };
        if let Some(session) = session {
            self.learn(&session);
        }
        Ok(run.map(|run| (run, replayed)))
    }

    async fn create_api_key(&self, new: NewApiKey) -> Result<CreatedApiKey, Refusal> {
        let account = Account::of_tenant(&new.key.principal.tenant);
        self.writer
            .call(account, |unit| keys::create(unit, new))
            .await
    }

    async fn revoke_api_key(&self, revoke: RevokeApiKey) -> Result<RevokedApiKey, Refusal> {
        let account = Account::of_tenant(&revoke.tenant);
        self.writer
            .call(account, move |unit| keys::revoke(unit, &revoke))
            .await
    }

    async fn api_keys_used(&self, used: Vec<(String, Time)>) -> Result<(), Refusal> {
        self.writer
            .call(Account::SERVER, move |unit| keys::used(unit, &used))
            .await
    }

    async fn has_api_keys(&self) -> Result<bool, Refusal> {
        self.read(Account::SERVER, |connection, _| keys::any(connection))
            .await
    }

    async fn valid_api_keys(&self, now: Time) -> Result<Vec<KeptApiKey>, Refusal> {
        self.read(Account::SERVER, move |connection, _| {
            keys::valid(connection, now)
        })
        .await
    }

    async fn list_api_keys(
        &self,
        filter: ApiKeysFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<ApiKeysPage, Refusal> {
        let account = Account::of_tenant(&filter.tenant);
        self.read(account, move |connection, _| {
            keys::list(connection, &filter, before, limit)
        })
        .await
    }
}
