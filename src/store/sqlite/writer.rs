//! The one writer: takes what has queued into one transaction, commits it once, publishes, replies.
//!
//! No timer: while one batch is synced to the disk the next one gathers, one job of each tenant in turn (see
//! [`super::fair`], and for who goes first [`super::shares`]), and none takes in more work than [`BATCH_MAX_TIME`] and [`BATCH_MAX_BYTES`]: so a tenant's job waits
//! for about two batches, whatever others have queued. Each job has a savepoint, so a refusal (or a
//! panic) takes back its own writes alone. A batch whose commit fails never happened: nothing is published and each of
//! its callers is told why.
//!
//! A job that may be long ([`Writer::call_in_slices`]) is cut by bytes and by time: each slice is a transaction of its
//! own, and what has queued meanwhile is committed before the next one, which is another tenant's where one has such work. So nobody waits for another's long job, and
//! such a job must leave the store whole after every slice. Where the log fills quicker than it is moved, the next slice
//! waits for it, up to [`BEHIND_MAX_TIME`].

use super::{
    condition::{Condition, is_full},
    fair::{Account, FairQueue, Taken},
    fault::{Answer, Fault, OpenError},
    hold::Hold,
    ledger, load,
    log::{Log, Marker},
    mark,
    room::Room,
    schema::FileIdentity,
    shares::{Done, Shares},
    storage,
};
use crate::{
    domain::{
        Refusal,
        ids::{SessionKey, SessionRow, Time},
        routing::RouteTable,
    },
    store::{
        Published, Publisher, StoreRules, TroubleKind,
        core::{
            cache::Cache,
            facts::{Context, Ids},
            routes::Routes,
            snapshot::Snapshot,
            usage::{Held, Ledger},
        },
    },
    telemetry::metrics,
};
use rusqlite::{CachedStatement, Connection};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

/// Jobs of one transaction.
const BATCH_MAX_JOBS: usize = 1024;
/// Time for which a transaction takes more jobs: those behind wait for its commit, not for all that had queued.
const BATCH_MAX_TIME: Duration = Duration::from_millis(15);
/// Bytes that a transaction stores until it takes no more jobs; the last job may be larger.
const BATCH_MAX_BYTES: i64 = 1024 * 1024;
/// Longest time that a slice of a long job waits for the log.
const BEHIND_MAX_TIME: Duration = Duration::from_millis(250);
/// How often it looks meanwhile.
const BEHIND_LOOK: Duration = Duration::from_millis(5);
/// Jobs that may wait; a caller beyond is told `STORE_UNAVAILABLE`.
const QUEUE_MAX_JOBS: usize = 16_384;
/// Jobs of one tenant that may wait.
const QUEUE_MAX_JOBS_EACH: usize = 8192;
/// Long jobs that may be unfinished; a caller beyond is told `STORE_UNAVAILABLE`.
const LONG_MAX_JOBS: usize = 2048;
/// Long jobs of one tenant that may be unfinished.
const LONG_MAX_JOBS_EACH: usize = 1024;
/// Times that work is done anew where the disk is full: with the spare room, and with the log begun anew.
const AGAIN_MAX: u32 = 2;
/// How often the mark is counted on while the store is written.
const MARK_INTERVAL: Duration = Duration::from_secs(1);
/// Time without a write after which the writer's page cache is given back.
const CACHE_IDLE_MAX: Duration = Duration::from_secs(5);
/// Time that a slice of a long job works before it commits.
const SLICE_MAX_TIME: Duration = Duration::from_millis(10);
/// Bytes that a slice of a long job copies or deletes; one row may be larger.
const SLICE_MAX_BYTES: i64 = 1024 * 1024;

/// Handle of the writer thread.
pub(super) struct Writer {
    jobs: Arc<FairQueue<Order>>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
}

/// What a job works with. Lives as long as one job.
pub(crate) struct Unit<'a> {
    /// Inside the batch's transaction and the job's savepoint.
    pub(crate) connection: &'a Connection,
    /// Bounds and rules.
    pub(crate) rules: &'a StoreRules,
    /// The file's identity.
    pub(crate) identity: FileIdentity,
    /// Names this process among those that open the file one after the other.
    pub(super) life: i64,
    hold: Option<Hold>,
    room: &'a Room,
    log: &'a Log,
    slice: Slice,
    /// Contents whose bytes were written before the command that brings them, by the ids of their attachments.
    pub(super) staged: BTreeMap<String, i64>,
    ledger: &'a RefCell<Ledger>,
    cache: &'a RefCell<Cache>,
    routes: &'a RefCell<Routes>,
    numbers: &'a Numbers,
    /// What the job did; published if the batch commits.
    changes: Vec<Published>,
}

/// The newest rows of tables that this thread alone inserts into.
struct Numbers {
    session: Cell<i64>,
    turn: Cell<i64>,
}

/// How much of a long job goes into one commit.
struct Slice {
    until: Instant,
    bytes_left: Cell<i64>,
}

/// What a full disk does to work in slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFull {
    /// It is refused.
    Refuse,
    /// Its slice is done anew, once, with the room that is set aside. For work that keeps nothing from slice to slice.
    UseSpare,
}

/// A caller's work on its way to the writer.
enum Order {
    /// Done in one commit, with what waits beside it.
    Short(Box<dyn Job>),
    /// Done in slices, each in a commit of its own.
    Long(Box<dyn Job>),
}

/// One caller's work, its type hidden.
trait Job: Send {
    /// Does the work, or a slice of it, and keeps its value.
    fn run(&mut self, unit: &mut Unit<'_>) -> Answer<()>;
    /// Whether the work needs another commit.
    fn goes_on(&self) -> bool;
    /// Whether the work can be done anew where the engine found no room for it; counts that it is.
    fn again(&mut self) -> bool;
    /// Tells the caller: the value, or the refusal.
    fn reply(self: Box<Self>, refusal: Option<Refusal>);
}

struct Typed<T, W> {
    work: Option<W>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, Refusal>>,
}

/// Work in slices: `None` while there is more to do.
struct Sliced<T, W> {
    work: W,
    /// How often it may be done anew where the disk was full.
    again: u32,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, Refusal>>,
}

struct Thread {
    connection: Connection,
    jobs: Arc<FairQueue<Order>>,
    /// Who did how much of late.
    shares: RefCell<Shares>,
    /// Unfinished long jobs: each tenant gets a slice in turn, and of its jobs each.
    long: FairQueue<Box<dyn Job>>,
    rules: Arc<StoreRules>,
    identity: FileIdentity,
    life: i64,
    room: Room,
    log: Log,
    hold: Option<Hold>,
    /// When the mark was counted on last.
    counted: Cell<Instant>,
    /// When something was written last; `None` once the page cache was given back.
    written: Cell<Option<Instant>>,
    condition: Arc<Condition>,
    /// What every owner holds; a cell because jobs borrow the thread's other parts.
    ledger: RefCell<Ledger>,
    cache: RefCell<Cache>,
    routes: RefCell<Routes>,
    numbers: Numbers,
    publisher: Arc<dyn Publisher>,
    /// Dropped with the thread.
    _ended: watch::Sender<()>,
}

/// A job that failed.
struct Failed {
    refusal: Refusal,
    /// The engine found no room.
    full: bool,
    transaction: Transaction,
}

/// A job on its way into a batch.
struct Queued {
    account: Account,
    job: Box<dyn Job>,
}

/// A job that ran, and how.
struct Ran {
    account: Account,
    job: Box<dyn Job>,
    refusal: Option<Refusal>,
}

/// What a failed job left of its batch's transaction.
enum Transaction {
    /// All of it but the job's own writes.
    Whole,
    /// Nothing: the engine took it back.
    Lost,
}

// === impl Writer ===

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        mut connection: Connection,
        identity: FileIdentity,
        rules: Arc<StoreRules>,
        directory: PathBuf,
        condition: Arc<Condition>,
        hold: Option<Hold>,
        publisher: Arc<dyn Publisher>,
    ) -> Result<Self, OpenError> {
        let jobs = FairQueue::new(QUEUE_MAX_JOBS, QUEUE_MAX_JOBS_EACH, 1);
        let jobs = Arc::new(jobs);
        let (ended_sender, ended) = watch::channel(());
        let unusable = |fault| match fault {
            Fault::Sqlite(error) => OpenError::Sqlite(error),
            Fault::Refused(refusal) => OpenError::Unusable(refusal.to_string()),
            Fault::Broken(what) => OpenError::Unusable(what),
        };
        let ledger = ledger::load(&connection).map_err(unusable)?;
        let numbers = Numbers::load(&connection)?;
        let (_, life) = uuid::Uuid::new_v4().as_u64_pair();
        // From here on the log is not empty, see `mark.rs`.
        let number = mark::count(&connection)?;
        let marker = Marker::new(directory.clone(), identity.store_id, number)?;
        let log = Log::start(&mut connection, &directory, Arc::clone(&condition), marker)?;
        let room = Room::new(directory, rules.disk_reserve, Arc::clone(&condition))?;
        let thread = Thread {
            connection,
            jobs: Arc::clone(&jobs),
            shares: RefCell::default(),
            long: FairQueue::new(LONG_MAX_JOBS, LONG_MAX_JOBS_EACH, 1),
            identity,
            life: life.cast_signed(),
            room,
            log,
            hold,
            counted: Cell::new(Instant::now()),
            written: Cell::new(Some(Instant::now())),
            condition,
            ledger: RefCell::new(ledger),
            cache: RefCell::default(),
            routes: RefCell::default(),
            numbers,
            rules,
            publisher,
            _ended: ended_sender,
        };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run())?;
        Ok(Self { jobs, ended })
    }

    /// Runs somebody's work in a transaction; returns after its commit and publication.
    /// The work is queued before the first await: a dropped caller takes nothing back.
    pub(super) async fn call<T, W>(&self, account: Account, work: W) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnOnce(&mut Unit<'_>) -> Answer<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Typed {
            work: Some(work),
            value: None,
            reply,
        });
        self.send(account, Order::Short(job))?;
        answer.await.unwrap_or(Err(Refusal::StoreUnavailable))
    }

    /// As [`Self::call`], for what stops, ends or removes: where the disk is full, it is done anew with the room that is
    /// set aside for it.
    pub(super) async fn call_with_spare<T, W>(
        &self,
        account: Account,
        mut work: W,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnMut(&mut Unit<'_>) -> Answer<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Sliced {
            work: move |unit: &mut Unit<'_>| work(unit).map(Some),
            again: AGAIN_MAX,
            value: None,
            reply,
        });
        self.send(account, Order::Short(job))?;
        answer.await.unwrap_or(Err(Refusal::StoreUnavailable))
    }

    /// Runs work that may be long, slice after slice, each in a transaction of its own, until it gives a value. A slice
    /// ends when [`Unit::spend`] says so. As for [`Self::call`], a dropped caller takes nothing back: the work goes on.
    /// It is dropped where a slice is refused, where its commit fails, and at the writer's end.
    pub(super) async fn call_in_slices<T, W>(
        &self,
        account: Account,
        on_full: OnFull,
        work: W,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnMut(&mut Unit<'_>) -> Answer<Option<T>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Sliced {
            work,
            again: match on_full {
                OnFull::Refuse => 0,
                OnFull::UseSpare => AGAIN_MAX,
            },
            value: None,
            reply,
        });
        self.send(account, Order::Long(job))?;
        answer.await.unwrap_or(Err(Refusal::StoreUnavailable))
    }

    fn send(&self, account: Account, order: Order) -> Result<(), Refusal> {
        let queued = self.jobs.put(account, order);
        queued.map_err(|_| Refusal::StoreUnavailable)
    }

    /// Ends the thread after what was queued is committed, and waits for that.
    pub(super) async fn close(&self) {
        self.jobs.close();
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread holds the queue itself.
        self.jobs.close();
    }
}

// === impl Unit ===

impl<'a> Unit<'a> {
    /// A prepared statement.
    pub(crate) fn sql(&self, text: &str) -> rusqlite::Result<CachedStatement<'a>> {
        self.connection.prepare_cached(text)
    }

    /// Counts a row of so many bytes that a piece of work has copied or deleted. False when enough is done for one
    /// commit: the rest belongs into another one.
    pub(crate) fn spend(&self, bytes: i64) -> bool {
        let left = self.slice.bytes_left.get().saturating_sub(bytes);
        self.slice.bytes_left.set(left);
        left > 0 && Instant::now() < self.slice.until
    }

    /// The oldest time of what may expire: an age from before a jump of the clock tells nothing.
    pub(super) fn oldest_that_expires(&self) -> Time {
        self.hold.map_or(Time(i64::MIN), Hold::oldest)
    }

    /// Notes what the job did to a session.
    pub(super) fn publish(&mut self, published: Published) {
        self.changes.push(published);
    }

    /// Counts what an owner holds more, or less.
    pub(super) fn count(&self, tenant: &str, owner: &str, by: Held) {
        self.ledger.borrow_mut().add(tenant, owner, by);
    }

    /// Whether what is counted is what the rows say.
    pub(super) fn ledger_agrees(&self) -> Answer<bool> {
        let rows = ledger::recount(self.connection)?;
        Ok(self.ledger.borrow().agrees(&rows))
    }

    /// Refuses new work of so many bytes while the disk is nearly full, or the log can't be moved; else counts them.
    pub(crate) fn require_room(&self, bytes: usize) -> Answer<()> {
        if self.has_room(bytes) {
            self.take_room(bytes);
            Ok(())
        } else {
            Err(Refusal::StorageFull.into())
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.log.has_room() && self.room.fits(bytes as u64, self.log.pending_bytes())
    }

    /// Counts bytes of new work that was let in.
    pub(super) fn take_room(&self, bytes: usize) {
        self.room.take(bytes as u64);
    }

    /// Gives what stands around a decision.
    pub(super) fn with_context<T>(&self, decide: impl FnOnce(&Context<'_>) -> T) -> T {
        decide(&Context {
            rules: self.rules,
            usage: &self.ledger.borrow(),
            ids: self.numbers,
            has_room: &|bytes| self.has_room(bytes),
            generation: self.identity.generation,
            oldest_that_expires: self.oldest_that_expires(),
        })
    }

    /// The session of a key, with all that a decision depends on.
    pub(super) fn snapshot_of_key(
        &self,
        tenant: &str,
        key: &SessionKey,
    ) -> Answer<Option<Arc<Snapshot>>> {
        let cached = self.cache.borrow_mut().of_key(tenant, key);
        if cached.is_some() {
            return Ok(cached);
        }
        let generation = self.identity.generation;
        let found = load::session_of_key(self.connection, generation, tenant, key.as_str())?;
        self.loaded(load::snapshot(self.connection, found)?)
    }

    /// The session of a row, with all that a decision depends on.
    pub(super) fn snapshot_of_row(&self, row: SessionRow) -> Answer<Option<Arc<Snapshot>>> {
        let cached = self.cache.borrow_mut().of_row(row);
        if cached.is_some() {
            return Ok(cached);
        }
        let found = load::session_of_row(self.connection, self.identity.generation, row)?;
        self.loaded(load::snapshot(self.connection, found)?)
    }

    fn loaded(&self, found: Option<Arc<Snapshot>>) -> Answer<Option<Arc<Snapshot>>> {
        if let Some(found) = &found {
            self.changed(Arc::clone(found));
        }
        Ok(found)
    }

    /// A session is this from now on.
    pub(super) fn changed(&self, after: Arc<Snapshot>) {
        self.cache.borrow_mut().put(after);
    }

    /// A session is gone.
    pub(super) fn forget(&self, row: SessionRow) {
        self.cache.borrow_mut().forget(row);
    }

    /// A tenant's routes.
    pub(super) fn routes_of(&self, tenant: &str) -> Answer<Arc<RouteTable>> {
        let kept = self.routes.borrow().of(tenant);
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let table = Arc::new(super::routes::table(self.connection, tenant)?);
        self.routes.borrow_mut().keep(tenant, Arc::clone(&table));
        Ok(table)
    }

    /// A tenant's routes are other ones from now on.
    pub(super) fn routes_changed(&self, tenant: &str) {
        self.routes.borrow_mut().change(tenant);
    }

    /// Row of a session that will be made by a later commit; no other gets it.
    pub(super) fn reserve_session(&self) -> Answer<SessionRow> {
        let row = self.numbers.session_row();
        // Where SQLite keeps the number that no session had yet; there is a session that is forked.
        self.sql("UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'session'")?
            .execute([row.0])?;
        Ok(row)
    }
}

// === impl Numbers ===

impl Numbers {
    fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let read = |sql: &str| connection.query_row(sql, [], |row| row.get(0));
        Ok(Self {
            session: Cell::new(read(
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'session'",
            )?),
            turn: Cell::new(read("SELECT coalesce(max(row), 0) FROM turn")?),
        })
    }
}

impl Ids for Numbers {
    fn ordered(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn random(&self) -> Uuid {
        Uuid::new_v4()
    }

    fn session_row(&self) -> SessionRow {
        self.session.set(self.session.get() + 1);
        SessionRow(self.session.get())
    }

    fn turn_row(&self) -> i64 {
        self.turn.set(self.turn.get() + 1);
        self.turn.get()
    }
}

// === impl Slice ===

impl Slice {
    fn begin() -> Self {
        Self {
            until: Instant::now() + SLICE_MAX_TIME,
            bytes_left: Cell::new(SLICE_MAX_BYTES),
        }
    }
}

// === impl Typed ===

impl<T, W> Job for Typed<T, W>
where
    T: Send,
    W: FnOnce(&mut Unit<'_>) -> Answer<T> + Send,
{
    fn run(&mut self, unit: &mut Unit<'_>) -> Answer<()> {
        let work = self.work.take().expect("a job runs once");
        self.value = Some(work(unit)?);
        Ok(())
    }

    fn goes_on(&self) -> bool {
        false
    }

    fn again(&mut self) -> bool {
        false
    }

    fn reply(self: Box<Self>, refusal: Option<Refusal>) {
        answer(self.reply, self.value, refusal);
    }
}

// === impl Sliced ===

impl<T, W> Job for Sliced<T, W>
where
    T: Send,
    W: FnMut(&mut Unit<'_>) -> Answer<Option<T>> + Send,
{
    fn run(&mut self, unit: &mut Unit<'_>) -> Answer<()> {
        self.value = (self.work)(unit)?;
        Ok(())
    }

    fn goes_on(&self) -> bool {
        self.value.is_none()
    }

    fn again(&mut self) -> bool {
        let again = self.again > 0;
        self.again = self.again.saturating_sub(1);
        again
    }

    fn reply(self: Box<Self>, refusal: Option<Refusal>) {
        // What the work held is given back before its caller knows.
        drop(self.work);
        answer(self.reply, self.value, refusal);
    }
}

fn answer<T>(
    reply: oneshot::Sender<Result<T, Refusal>>,
    value: Option<T>,
    refusal: Option<Refusal>,
) {
    let answer = match (refusal, value) {
        (Some(refusal), _) => Err(refusal),
        (None, Some(value)) => Ok(value),
        (None, None) => Err(Refusal::StoreUnavailable),
    };
    // The caller may be gone; the commit stands.
    let _ = reply.send(answer);
}

// === impl Thread ===

impl Thread {
    fn run(mut self) {
        // Since when the next slice waits for the log.
        let mut held: Option<Instant> = None;
        loop {
            let mut waiting = VecDeque::new();
            if let Some(first) = self.light() {
                waiting.extend(self.short(first));
                self.batch(&mut waiting, self.jobs.len().min(BATCH_MAX_JOBS), true);
                // What could not be done yet, for the disk was full.
                while !waiting.is_empty() {
                    self.batch(&mut waiting, 0, true);
                }
                continue;
            }
            // Waits where nothing is unfinished.
            if self.long.len() == 0 {
                let Some(first) = self.jobs.take() else {
                    break;
                };
                waiting.extend(self.short(first));
            } else if self.jobs.is_at_its_end() {
                break;
            }
            // Those that come from here on gather for the next batch.
            let mut beside = self.jobs.len().min(BATCH_MAX_JOBS);
            while !waiting.is_empty() || beside > 0 {
                self.batch(&mut waiting, beside, false);
                beside = 0;
            }
            if self.long.len() > 0
                && self.log.is_behind()
                && held.get_or_insert_with(Instant::now).elapsed() < BEHIND_MAX_TIME
            {
                self.jobs.wait(BEHIND_LOOK);
                continue;
            }
            held = None;
            if let Some(mut taken) = self.long.try_take() {
                let account = taken.account;
                let job = taken.job.take();
                let mut slice: VecDeque<_> =
                    job.map(|job| Queued { account, job }).into_iter().collect();
                drop(taken);
                let unfinished = self.batch(&mut slice, 0, false);
                // What is left in the slice could not be done, for the disk was full.
                for Queued { account, job } in unfinished.into_iter().chain(slice) {
                    self.go_on_later(account, job);
                }
            }
        }
        // Callers of what is left are told that the outcome is open; the next start settles it.
        while let Some(job) = self.long.try_take().and_then(|mut taken| taken.job.take()) {
            job.reply(Some(Refusal::StoreUnavailable));
        }
        let number = mark::count(&self.connection);
        let marker = self.log.end();
        let moved = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let (Ok(number), Ok(()), Some(mut marker)) = (number, &moved, marker) {
            marker.closed(number);
        }
        if let Err(error) = moved {
            tracing::warn!(%error, "the store's log could not be moved into the database at the end");
        }
    }

    /// Small work that goes before the large work of others, see `shares.rs`.
    fn light(&self) -> Option<Taken<'_, Order>> {
        let shares = self.shares.borrow();
        let until = shares.light_until(Instant::now())?;
        self.jobs
            .take_of(&|account| shares.is_light(account), until)
    }

    /// A job that is done in one commit; one that may be long is put to its like.
    fn short(&self, mut taken: Taken<'_, Order>) -> Option<Queued> {
        let account = taken.account;
        match taken.job.take()? {
            Order::Short(job) => Some(Queued { account, job }),
            Order::Long(job) => {
                self.go_on_later(account, job);
                None
            }
        }
    }

    /// A job without room for it is dropped: its caller is told `STORE_UNAVAILABLE`.
    fn go_on_later(&self, account: Account, job: Box<dyn Job>) {
        let _ = self.long.put(account, job);
    }

    /// Runs the waiting jobs, and so many that have queued, in one transaction. Those behind one that made the engine roll
    /// back, or for which there was no time, stay where they are. Returns what needs another commit. `light`: what has
    /// queued is taken of those alone who do little.
    fn batch(&self, waiting: &mut VecDeque<Queued>, mut beside: usize, light: bool) -> Vec<Queued> {
        let began = Instant::now();
        self.room.look(self.log.pending_bytes());
        if self.condition.has(TroubleKind::Lost) {
            for Queued { job, .. } in waiting.drain(..) {
                job.reply(Some(Refusal::StoreUnavailable));
            }
            return Vec::new();
        }
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            let refusal = self.condition.refusal(error.into());
            for Queued { job, .. } in waiting.drain(..) {
                job.reply(Some(refusal.clone()));
            }
            return Vec::new();
        }
        let changes_before = self.connection.total_changes();
        let mut ran: Vec<Ran> = Vec::with_capacity(waiting.len());
        let mut changes = Merged::default();
        // A job waits again for the room that is set aside, once what ran before it is committed.
        let mut full_disk = false;
        let mut stored_bytes = 0;
        let mut done = Done::default();
        while ran.is_empty() || (stored_bytes < BATCH_MAX_BYTES && began.elapsed() < BATCH_MAX_TIME)
        {
            let mut next = waiting.pop_front();
            while next.is_none() && beside > 0 {
                beside -= 1;
                let shares = self.shares.borrow();
                let whose = |account| !light || shares.is_light(account);
                let Some(taken) = self.jobs.try_take_of(&whose) else {
                    break;
                };
                next = self.short(taken);
            }
            let Some(Queued { account, mut job }) = next else {
                break;
            };
            let job_began = Instant::now();
            let mark = self.ledger.borrow().mark();
            let refusal = match self.job(job.as_mut()) {
                Ok(done) => {
                    changes.add(done);
                    None
                }
                Err(failed) => {
                    let Failed {
                        refusal,
                        full,
                        transaction,
                    } = failed;
                    full_disk |= full && matches!(transaction, Transaction::Whole);
                    match transaction {
                        Transaction::Whole if full && job.again() => {
                            waiting.push_front(Queued { account, job });
                            break;
                        }
                        Transaction::Whole => Some(refusal),
                        Transaction::Lost => {
                            ran.push(Ran {
                                account,
                                job,
                                refusal: None,
                            });
                            self.abandon(ran, &refusal, full, waiting);
                            return Vec::new();
                        }
                    }
                }
            };
            let bytes = self.ledger.borrow().stored_since(mark);
            stored_bytes += bytes;
            done.add(account, job_began.elapsed(), bytes);
            ran.push(Ran {
                account,
                job,
                refusal,
            });
        }
        let stored = self.ledger.borrow().changed_storage();
        let kept = storage::keep(&self.connection, &stored);
        let wrote = self.connection.total_changes() != changes_before;
        let number = if wrote { self.count_mark() } else { None };
        if let Err(error) = kept.and_then(|()| self.execute("COMMIT")) {
            tracing::error!(%error, jobs = ran.len(), "a batch of the store did not commit");
            let full = is_full(&error);
            let why = if full {
                Refusal::StorageFull
            } else {
                // Also where a callback of the engine said no: that is no bug of a job's.
                Refusal::StoreUnavailable
            };
            self.abandon(ran, &why, full, waiting);
            return Vec::new();
        }
        if full_disk {
            self.make_room();
        }
        self.log.committed(&self.connection, number);
        self.ledger.borrow_mut().settle();
        self.cache.borrow_mut().settle();
        self.routes.borrow_mut().settle();
        self.shares.borrow_mut().committed(done, Instant::now());
        let metrics = metrics::get();
        if !stored.is_empty() {
            let all = self.ledger.borrow().stored_bytes();
            metrics.stored_bytes.set(all as f64);
        }
        metrics.commit_duration.record(began.elapsed());
        metrics.batch_jobs.record(ran.len() as f64);
        for turn in changes.published.iter().flat_map(|one| &one.ended) {
            metrics::turn_ended(turn);
        }
        // Commit, then publish, then reply.
        if !changes.published.is_empty() {
            self.publisher.publish(changes.published);
        }
        metrics.hold_duration.record(began.elapsed());
        let mut unfinished = Vec::new();
        for Ran {
            account,
            job,
            refusal,
        } in ran
        {
            if refusal.is_none() && job.goes_on() {
                unfinished.push(Queued { account, job });
            } else {
                job.reply(refusal);
            }
        }
        self.keep_cache(wrote);
        unfinished
    }

    /// Gives the page cache back where nothing was written for a while; the queue is looked at about once a second, so
    /// there is always a batch that finds that out.
    fn keep_cache(&self, wrote: bool) {
        if wrote {
            self.written.set(Some(Instant::now()));
        }
        let idle = self.written.get().map(|at| at.elapsed());
        if idle.is_some_and(|idle| idle >= CACHE_IDLE_MAX) {
            self.written.set(None);
            // It stays where that fails; nothing else is the worse for it.
            let _ = self.connection.release_memory();
        }
    }

    /// Takes a transaction back and tells its callers why. Where the disk is full, what can be done anew waits again.
    fn abandon(&self, ran: Vec<Ran>, why: &Refusal, full: bool, waiting: &mut VecDeque<Queued>) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "the store can't take a batch back");
        }
        self.ledger.borrow_mut().undo_to(0);
        self.cache.borrow_mut().undo_to(0);
        self.routes.borrow_mut().undo();
        if full {
            self.make_room();
        }
        for Ran {
            account,
            mut job,
            refusal,
        } in ran.into_iter().rev()
        {
            match refusal {
                Some(refusal) => job.reply(Some(refusal)),
                None if full && job.again() => waiting.push_front(Queued { account, job }),
                None => job.reply(Some(why.clone())),
            }
        }
    }

    /// The disk is full: gives up what is set aside, and at once has the log begin anew in the room that it has. The
    /// database takes up the room that was given; left to the log, that room would be gone with what it holds still to move.
    fn make_room(&self) {
        self.room.give_up_spare();
        if let Err(error) = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        {
            tracing::warn!(%error, "the store's log could not be moved into the database on a full disk");
        }
    }

    /// Runs one job in its savepoint; a failure says what is left of the transaction.
    fn job(&self, job: &mut dyn Job) -> Result<Vec<Published>, Failed> {
        if let Err(error) = self.execute("SAVEPOINT job") {
            return Err(Failed {
                full: is_full(&error),
                refusal: self.condition.refusal(error.into()),
                transaction: Transaction::Lost,
            });
        }
        let mark = self.ledger.borrow().mark();
        let cached = self.cache.borrow().mark();
        let mut unit = Unit {
            connection: &self.connection,
            rules: &self.rules,
            identity: self.identity,
            life: self.life,
            hold: self.hold,
            room: &self.room,
            log: &self.log,
            slice: Slice::begin(),
            staged: BTreeMap::new(),
            ledger: &self.ledger,
            cache: &self.cache,
            routes: &self.routes,
            numbers: &self.numbers,
            changes: Vec::new(),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| job.run(&mut unit)));
        let fault = match outcome {
            Ok(Ok(())) => match self.execute("RELEASE job") {
                Ok(()) => return Ok(unit.changes),
                Err(error) => Fault::from(error),
            },
            Ok(Err(fault)) => fault,
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                Fault::Broken(format!("a job panicked: {text}"))
            }
        };
        let full = matches!(&fault, Fault::Sqlite(error) if is_full(error));
        let refusal = self.condition.refusal(fault);
        self.ledger.borrow_mut().undo_to(mark);
        self.cache.borrow_mut().undo_to(cached);
        self.routes.borrow_mut().undo();
        // Some failures make SQLite roll back by itself; then there is no savepoint left to go to.
        let whole = !self.connection.is_autocommit()
            && self.execute("ROLLBACK TO job").is_ok()
            && self.execute("RELEASE job").is_ok();
        let transaction = if whole {
            Transaction::Whole
        } else {
            Transaction::Lost
        };
        Err(Failed {
            refusal,
            full,
            transaction,
        })
    }

    /// Counts the mark on, where the last time is long ago; nobody's commit fails by it.
    fn count_mark(&self) -> Option<i64> {
        if self.counted.get().elapsed() < MARK_INTERVAL && !self.log.is_anew() {
            return None;
        }
        let number = mark::count(&self.connection).ok()?;
        self.counted.set(Instant::now());
        Some(number)
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}

/// What a batch did: one entry per session.
#[derive(Default)]
struct Merged {
    published: Vec<Published>,
    places: HashMap<SessionRow, usize>,
}

impl Merged {
    fn add(&mut self, changes: Vec<Published>) {
        for change in changes {
            match self.places.get(&change.session.row) {
                Some(&place) => {
                    let merged = &mut self.published[place];
                    merged.session = change.session;
                    merged.events.extend(change.events);
                    merged.ended.extend(change.ended);
                }
                None => {
                    self.places.insert(change.session.row, self.published.len());
                    self.published.push(change);
                }
            }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            ids::SessionKey,
            quotas::{LiveQuotas, Quota, Quotas},
        },
        store::{AgentRule, sqlite::schema},
    };
    use std::{
        collections::BTreeMap,
        sync::{
            Mutex,
            atomic::{AtomicBool, Ordering},
            mpsc::{SyncSender, sync_channel},
        },
    };

    /// Counts publications.
    #[derive(Default)]
    struct Count(Mutex<usize>);

    impl Publisher for Count {
        fn publish(&self, published: Vec<Published>) {
            *self.0.lock().unwrap() += published.len();
        }
    }

    fn rules() -> StoreRules {
        StoreRules {
            agents: BTreeMap::<String, AgentRule>::new(),
            default_agent: String::new(),
            primary_session: SessionKey::parse("main").unwrap(),
            quotas: LiveQuotas::new(Quotas {
                queue_limit_turns: 1,
                queue_limit_bytes: 1,
                max_sessions: 1,
                max_running_turns: 1,
                reserved_running_turns: 0,
                max_awake_agents: 1,
                tenant_max_asking_turns: 64,
                principal: Quota::NONE,
                tenant: Quota::NONE,
            }),
            retention_events: 1,
            retention_age: Duration::ZERO,
            history_retention: None,
            prices: Arc::default(),
            disk_reserve: 0,
        }
    }

    /// A writer on a file of its own; `prepare` changes its connection.
    fn writer(prepare: impl FnOnce(&mut Connection)) -> (tempfile::TempDir, Writer, Arc<Count>) {
        let directory = tempfile::tempdir().unwrap();
        let (mut connection, identity) = schema::open_writer(directory.path()).unwrap();
        connection
            .execute_batch("CREATE TABLE note (text TEXT NOT NULL)")
            .unwrap();
        prepare(&mut connection);
        let count = Arc::new(Count::default());
        let path = directory.path().to_owned();
        let rules = Arc::new(rules());
        let condition = Arc::default();
        let writer = Writer::start(
            connection,
            identity,
            rules,
            path,
            condition,
            None,
            count.clone(),
        )
        .unwrap();
        (directory, writer, count)
    }

    fn note(unit: &Unit<'_>, text: &str) -> Answer<()> {
        unit.sql("INSERT INTO note (text) VALUES (?1)")?
            .execute([text])?;
        Ok(())
    }

    async fn notes(writer: &Writer) -> Vec<String> {
        writer
            .call(Account::SERVER, |unit| {
                let mut statement = unit.sql("SELECT text FROM note ORDER BY rowid")?;
                let notes = statement.query_map([], |row| row.get(0))?;
                Ok(notes.collect::<rusqlite::Result<_>>()?)
            })
            .await
            .unwrap()
    }

    /// Holds the writer in a job, so that all that is queued meanwhile becomes one batch.
    async fn hold(writer: &Arc<Writer>) -> SyncSender<()> {
        let (go, wait) = sync_channel::<()>(1);
        let (entered, inside) = oneshot::channel();
        let held = Arc::clone(writer);
        tokio::spawn(async move {
            held.call(Account::SERVER, move |_| {
                entered.send(()).unwrap();
                let _ = wait.recv();
                Ok(())
            })
            .await
        });
        inside.await.unwrap();
        go
    }

    #[tokio::test]
    async fn a_refusal_and_a_panic_take_back_their_own_writes_alone() {
        let (_directory, writer, _) = writer(|_| {});
        let writer = Arc::new(writer);
        let go = hold(&writer).await;
        let first = writer.call(Account::SERVER, |unit| note(unit, "first"));
        let refused = writer.call(Account::SERVER, |unit| {
            note(unit, "refused")?;
            Err::<(), _>(Refusal::Fenced.into())
        });
        let panicked = writer.call(Account::SERVER, |unit| {
            note(unit, "panicked")?;
            assert!(unit.rules.agents.contains_key("none"), "a bug");
            Ok(())
        });
        let last = writer.call(Account::SERVER, |unit| note(unit, "last"));
        let release = async {
            go.send(()).unwrap();
        };
        let (first, refused, panicked, last, ()) =
            tokio::join!(first, refused, panicked, last, release);
        assert_eq!(first, Ok(()));
        assert_eq!(refused, Err(Refusal::Fenced));
        assert_eq!(panicked.unwrap_err().reason(), "INTERNAL");
        assert_eq!(last, Ok(()));
        assert_eq!(notes(&writer).await, ["first", "last"]);
    }

    #[tokio::test]
    async fn a_full_disk_fails_its_job_and_the_writer_goes_on() {
        let (_directory, writer, _) = writer(|connection| {
            let pages: i64 = connection
                .pragma_query_value(None, "page_count", |row| row.get(0))
                .unwrap();
            connection
                .pragma_update(None, "max_page_count", pages + 2)
                .unwrap();
        });
        let large = "x".repeat(100_000);
        let full = writer
            .call(Account::SERVER, move |unit| note(unit, &large))
            .await;
        assert_eq!(full, Err(Refusal::StorageFull));
        assert_eq!(
            writer
                .call(Account::SERVER, |unit| note(unit, "small"))
                .await,
            Ok(())
        );
        assert_eq!(notes(&writer).await, ["small"]);
    }

    #[tokio::test]
    async fn a_batch_that_does_not_commit_never_happened() {
        let fails = Arc::new(AtomicBool::new(false));
        let next_fails = Arc::clone(&fails);
        let (_directory, writer, count) = writer(move |connection| {
            let hook = move || next_fails.swap(false, Ordering::Relaxed);
            connection.commit_hook(Some(hook)).unwrap();
        });
        assert_eq!(
            writer.call(Account::SERVER, |unit| note(unit, "one")).await,
            Ok(())
        );
        let lost = writer.call(Account::SERVER, move |unit| {
            fails.store(true, Ordering::Relaxed);
            note(unit, "two")?;
            let session = crate::store::core::draft::tests::session(1);
            unit.publish(Published {
                session: Arc::new(session),
                events: Vec::new(),
                ended: Vec::new(),
            });
            Ok(())
        });
        assert_eq!(lost.await, Err(Refusal::StoreUnavailable));
        assert_eq!(*count.0.lock().unwrap(), 0, "nothing is published");
        assert_eq!(
            writer
                .call(Account::SERVER, |unit| note(unit, "three"))
                .await,
            Ok(())
        );
        assert_eq!(notes(&writer).await, ["one", "three"]);
    }

    /// What is counted beside the rows is taken back with them: of a refusal, of a panic, of a batch.
    #[tokio::test]
    async fn what_is_counted_goes_with_its_rows() {
        let (_directory, writer, _) = writer(|connection| {
            let mut commits = 0;
            connection
                .commit_hook(Some(move || {
                    commits += 1;
                    // Those of the refusal and of the panic are empty.
                    commits == 5
                }))
                .unwrap();
        });
        let one = Held {
            sessions: 1,
            queue_bytes: 5,
            stored_bytes: 0,
            asking_turns: 0,
        };
        let count = move |unit: &Unit<'_>| unit.count("t", "o", one);
        let kept = writer.call(Account::SERVER, move |unit| {
            count(unit);
            note(unit, "kept")
        });
        kept.await.unwrap();
        let refused = writer.call(Account::SERVER, move |unit| {
            count(unit);
            Err::<(), _>(Refusal::Fenced.into())
        });
        assert_eq!(refused.await, Err(Refusal::Fenced));
        let panicked = writer.call(Account::SERVER, move |unit| {
            count(unit);
            assert!(unit.rules.agents.contains_key("none"), "a bug");
            Ok(())
        });
        assert_eq!(panicked.await.unwrap_err().reason(), "INTERNAL");
        let mut lost = 0;
        for _ in 0..3 {
            let answer = writer.call(Account::SERVER, move |unit| {
                count(unit);
                note(unit, "more")
            });
            lost += i64::from(answer.await.is_err());
        }
        assert_eq!(lost, 1, "one batch does not commit");
        let held = writer
            .call(Account::SERVER, |unit| {
                Ok(unit.with_context(|ctx| ctx.usage.held("t", "o")))
            })
            .await
            .unwrap();
        let three = Held {
            sessions: 3,
            queue_bytes: 15,
            stored_bytes: 0,
            asking_turns: 0,
        };
        assert_eq!(held, (three, three));
    }

    #[tokio::test]
    async fn a_dropped_caller_takes_no_commit_back() {
        let (_directory, writer, _) = writer(|_| {});
        let writer = Arc::new(writer);
        let go = hold(&writer).await;
        {
            let mut call = Box::pin(writer.call(Account::SERVER, |unit| note(unit, "stands")));
            // Polled once: queued, not answered.
            assert!(futures_poll(&mut call));
        }
        go.send(()).unwrap();
        assert_eq!(notes(&writer).await, ["stands"]);
        writer.close().await;
        let closed = writer
            .call(Account::SERVER, |unit| note(unit, "late"))
            .await;
        assert_eq!(closed, Err(Refusal::StoreUnavailable));
    }

    /// True while the future is not ready.
    fn futures_poll<F: Future + Unpin>(future: &mut F) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::Pin::new(future).poll(&mut context).is_pending()
    }

    /// However much one tenant has queued, another's job is in the next batch but one.
    #[tokio::test]
    async fn nobody_waits_behind_all_of_another_tenants_jobs() {
        const FLOOD: usize = 200;
        let (_directory, writer, _) = writer(|_| {});
        let writer = Arc::new(writer);
        let go = hold(&writer).await;
        let mut flood = Vec::new();
        for _ in 0..FLOOD {
            let mut call = Box::pin(writer.call(Account::of_tenant("loud"), |unit| {
                // Long enough that no batch takes them all in.
                std::thread::park_timeout(Duration::from_millis(2));
                note(unit, "loud")
            }));
            assert!(futures_poll(&mut call));
            flood.push(call);
        }
        let quiet = writer.call(Account::of_tenant("quiet"), |unit| {
            let before = unit
                .sql("SELECT count(*) FROM note")?
                .query_row([], |row| row.get::<_, i64>(0))?;
            Ok(before)
        });
        let release = async { go.send(()).unwrap() };
        let (before, ()) = tokio::join!(quiet, release);
        assert!(before.unwrap() <= 2, "one of the flood goes before it");
        let after = notes(&writer).await.len();
        assert!(after < FLOOD, "{after} of the flood went before its answer");
        for call in flood {
            call.await.unwrap();
        }
    }
}
