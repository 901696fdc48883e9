//! The one writer: takes what has queued into one transaction, commits it once, publishes, replies.
//!
//! No timer: while one batch is synced to the disk the next one gathers, one job of each tenant in turn (see
//! [`super::fair`]), and none takes in more work than [`BATCH_MAX_TIME`]: so a tenant's job waits for about two batches,
//! whatever others have queued. Each job has a savepoint, so a refusal (or a
//! panic) takes back its own writes alone. A batch whose commit fails never happened: nothing is published and each of
//! its callers is told `STORE_UNAVAILABLE`.

use super::{
    fair::{Account, FairQueue, Taken},
    fault::{Answer, Fault, OpenError, internal},
    ledger::{Held, Ledger},
    schema::FileIdentity,
};
use crate::{
    domain::{Refusal, ids::SessionRow},
    store::{Published, Publisher, StoreRules},
    telemetry::metrics,
};
use rusqlite::{CachedStatement, Connection};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// Jobs of one transaction.
const BATCH_MAX_JOBS: usize = 1024;
/// Work that a batch takes in; then it commits, however much waits.
const BATCH_MAX_TIME: Duration = Duration::from_millis(10);
/// Jobs that may wait; a caller beyond is told `STORE_UNAVAILABLE`.
const QUEUE_MAX_JOBS: usize = 16_384;
/// Jobs of one tenant that may wait.
const QUEUE_MAX_JOBS_EACH: usize = 8192;
/// How old the known free space of the disk may be.
const DISK_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Handle of the writer thread.
pub(super) struct Writer {
    jobs: Arc<Jobs>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
}

/// Jobs that wait.
type Jobs = FairQueue<Box<dyn Job>>;

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
    disk: &'a Disk,
    ledger: &'a RefCell<Ledger>,
    /// What the job did; published if the batch commits.
    changes: Vec<Published>,
}

/// Knows whether the disk has room.
struct Disk {
    directory: PathBuf,
    reserve: u64,
    checked: Cell<Option<(Instant, bool)>>,
}

/// One caller's work, its type hidden.
trait Job: Send {
    /// Does the work and keeps its value.
    fn run(&mut self, unit: &mut Unit<'_>) -> Answer<()>;
    /// Tells the caller: the value, or the refusal.
    fn reply(self: Box<Self>, refusal: Option<Refusal>);
}

struct Typed<T, W> {
    work: Option<W>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, Refusal>>,
}

struct Thread {
    connection: Connection,
    jobs: Arc<Jobs>,
    rules: Arc<StoreRules>,
    identity: FileIdentity,
    life: i64,
    disk: Disk,
    /// What every owner holds; a cell because jobs borrow the thread's other parts.
    ledger: RefCell<Ledger>,
    publisher: Arc<dyn Publisher>,
    /// Dropped with the thread.
    _ended: watch::Sender<()>,
}

/// A job that ran, and how.
struct Ran {
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
        connection: Connection,
        identity: FileIdentity,
        rules: Arc<StoreRules>,
        directory: PathBuf,
        publisher: Arc<dyn Publisher>,
    ) -> Result<Self, OpenError> {
        let jobs = Arc::new(Jobs::new(QUEUE_MAX_JOBS, QUEUE_MAX_JOBS_EACH, 1));
        let (ended_sender, ended) = watch::channel(());
        let ledger = Ledger::load(&connection).map_err(|fault| match fault {
            Fault::Sqlite(error) => OpenError::Sqlite(error),
            Fault::Refused(refusal) => OpenError::Unusable(refusal.to_string()),
            Fault::Broken(what) => OpenError::Unusable(what),
        })?;
        let (_, life) = uuid::Uuid::new_v4().as_u64_pair();
        let thread = Thread {
            connection,
            jobs: Arc::clone(&jobs),
            identity,
            life: life.cast_signed(),
            disk: Disk {
                directory,
                reserve: rules.disk_reserve,
                checked: Cell::new(None),
            },
            ledger: RefCell::new(ledger),
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
        let queued = self.jobs.put(account, job);
        queued.map_err(|_| Refusal::StoreUnavailable)?;
        answer.await.unwrap_or(Err(Refusal::StoreUnavailable))
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

    /// Notes what the job did to a session.
    pub(super) fn publish(&mut self, published: Published) {
        self.changes.push(published);
    }

    /// What an owner holds, and what its tenant does.
    pub(super) fn held(&self, tenant: &str, owner: &str) -> (Held, Held) {
        self.ledger.borrow().held(tenant, owner)
    }

    /// Counts what an owner holds more, or less.
    pub(super) fn count(&self, tenant: &str, owner: &str, by: Held) {
        self.ledger.borrow_mut().add(tenant, owner, by);
    }

    /// Whether what is counted is what the rows say.
    pub(super) fn ledger_agrees(&self) -> Answer<bool> {
        let rows = Ledger::load(self.connection)?;
        Ok(self.ledger.borrow().agrees(&rows))
    }

    /// Refuses new work while the disk is nearly full.
    pub(crate) fn require_room(&self) -> Answer<()> {
        if self.disk.has_room() {
            Ok(())
        } else {
            Err(Refusal::StorageFull.into())
        }
    }
}

// === impl Disk ===

impl Disk {
    fn has_room(&self) -> bool {
        if self.reserve == 0 {
            return true;
        }
        match self.checked.get() {
            Some((when, room)) if when.elapsed() < DISK_CHECK_INTERVAL => room,
            Some(_) | None => {
                // A file system that can't tell its free space is not a reason to refuse work.
                let room = rustix::fs::statvfs(&self.directory).map_or(true, |fs| {
                    fs.f_bavail.saturating_mul(fs.f_frsize) >= self.reserve
                });
                self.checked.set(Some((Instant::now(), room)));
                room
            }
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

    fn reply(self: Box<Self>, refusal: Option<Refusal>) {
        let answer = match (refusal, self.value) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(Refusal::StoreUnavailable),
        };
        // The caller may be gone; the commit stands.
        let _ = self.reply.send(answer);
    }
}

// === impl Thread ===

impl Thread {
    fn run(self) {
        while let Some(first) = self.jobs.take() {
            self.batch(first);
        }
        if let Err(error) = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        {
            tracing::warn!(%error, "the store's log could not be moved into the database at the end");
        }
    }

    /// Runs a job, and those that wait beside it, in one transaction. Jobs behind one that made the engine roll back stay
    /// waiting.
    fn batch(&self, first: Taken<'_, Box<dyn Job>>) {
        let began = Instant::now();
        let mut next = Some(first);
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            tracing::error!(%error, waiting = self.jobs.len(), "the store can't write");
            while let Some(job) = next.and_then(|mut taken| taken.job.take()) {
                job.reply(Some(Refusal::StoreUnavailable));
                next = self.jobs.try_take();
            }
            return;
        }
        // Those that come from here on gather for the next batch.
        let most = (self.jobs.len() + 1).min(BATCH_MAX_JOBS);
        let mut ran: Vec<Ran> = Vec::with_capacity(most);
        let mut changes = Merged::default();
        while let Some(mut job) = next.and_then(|mut taken| taken.job.take()) {
            let refusal = match self.job(job.as_mut()) {
                Ok(done) => {
                    changes.add(done);
                    None
                }
                Err((refusal, Transaction::Whole)) => Some(refusal),
                Err((refusal, Transaction::Lost)) => {
                    self.abandon(ran);
                    job.reply(Some(refusal));
                    return;
                }
            };
            ran.push(Ran { job, refusal });
            let more = ran.len() < most && began.elapsed() < BATCH_MAX_TIME;
            next = if more { self.jobs.try_take() } else { None };
        }
        if let Err(error) = self.execute("COMMIT") {
            tracing::error!(%error, jobs = ran.len(), "a batch of the store did not commit");
            self.abandon(ran);
            return;
        }
        self.ledger.borrow_mut().settle();
        let metrics = metrics::get();
        metrics.commit_duration.record(began.elapsed());
        metrics.batch_jobs.record(ran.len() as f64);
        for turn in changes.published.iter().flat_map(|one| &one.ended) {
            metrics::turn_ended(turn);
        }
        // Commit, then publish, then reply.
        if !changes.published.is_empty() {
            self.publisher.publish(changes.published);
        }
        for Ran { job, refusal } in ran {
            job.reply(refusal);
        }
    }

    /// Tells the callers of a transaction that is taken back.
    fn abandon(&self, ran: Vec<Ran>) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "the store can't take a batch back");
        }
        self.ledger.borrow_mut().undo_to(0);
        for Ran { job, .. } in ran {
            job.reply(Some(Refusal::StoreUnavailable));
        }
    }

    /// Runs one job in its savepoint; a failure says what is left of the transaction.
    fn job(&self, job: &mut dyn Job) -> Result<Vec<Published>, (Refusal, Transaction)> {
        if let Err(error) = self.execute("SAVEPOINT job") {
            return Err((Fault::from(error).into_refusal(), Transaction::Lost));
        }
        let mark = self.ledger.borrow().mark();
        let mut unit = Unit {
            connection: &self.connection,
            rules: &self.rules,
            identity: self.identity,
            life: self.life,
            disk: &self.disk,
            ledger: &self.ledger,
            changes: Vec::new(),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| job.run(&mut unit)));
        let refusal = match outcome {
            Ok(Ok(())) => match self.execute("RELEASE job") {
                Ok(()) => return Ok(unit.changes),
                Err(error) => Fault::from(error).into_refusal(),
            },
            Ok(Err(fault)) => fault.into_refusal(),
            Err(panic) => internal(&format!("a job panicked: {}", panic_text(panic.as_ref()))),
        };
        self.ledger.borrow_mut().undo_to(mark);
        // Some failures make SQLite roll back by itself; then there is no savepoint left to go to.
        let whole = !self.connection.is_autocommit()
            && self.execute("ROLLBACK TO job").is_ok()
            && self.execute("RELEASE job").is_ok();
        let transaction = if whole {
            Transaction::Whole
        } else {
            Transaction::Lost
        };
        Err((refusal, transaction))
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
                principal: Quota::NONE,
                tenant: Quota::NONE,
            }),
            retention_events: 1,
            retention_age: Duration::ZERO,
            history_retention: None,
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
        let writer = Writer::start(connection, identity, rules, path, count.clone()).unwrap();
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
        let (_directory, writer, count) = writer(|connection| {
            let mut commits = 0;
            connection
                .commit_hook(Some(move || {
                    commits += 1;
                    // The second one fails.
                    commits == 2
                }))
                .unwrap();
        });
        assert_eq!(
            writer.call(Account::SERVER, |unit| note(unit, "one")).await,
            Ok(())
        );
        let lost = writer.call(Account::SERVER, |unit| {
            note(unit, "two")?;
            let session = crate::store::sqlite::requests::tests::deleted_session(unit);
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
            .call(Account::SERVER, |unit| Ok(unit.held("t", "o")))
            .await
            .unwrap();
        let three = Held {
            sessions: 3,
            queue_bytes: 15,
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
