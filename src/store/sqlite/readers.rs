//! A small pool of threads that read, each with its own read-only connection. Every read is one read transaction and is
//! bounded in time. Tenants are served in turn, see [`super::fair`].
//!
//! There are two pools: one for the reads of calls, and one for what may take long (searches, and counts and lists of many
//! rows), so that no other read waits behind those.

use super::{
    condition::Condition,
    fair::{Account, FairQueue},
    fault::{Answer, Fault, OpenError, internal},
    schema,
};
use crate::{domain::Refusal, telemetry::metrics};
use rusqlite::{Connection, ErrorCode};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// Steps of SQLite's machine between two looks at the clock.
const CLOCK_EACH_STEPS: i32 = 1000;

type Read = Box<dyn FnOnce(&mut Connection) + Send>;

/// The bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    /// What its threads are called.
    name: &'static str,
    threads: usize,
    /// Reads that may wait; a caller beyond is told `STORE_UNAVAILABLE`.
    waiting_max: usize,
    /// Reads of one tenant that may wait.
    waiting_max_each: usize,
    /// Longest time that one read may take once it has begun.
    time_max: Duration,
}

/// Handle of a pool.
pub(super) struct Readers {
    reads: Arc<FairQueue<Read>>,
    time_max: Duration,
    condition: Arc<Condition>,
    /// Closed when the threads have ended.
    ended: watch::Receiver<()>,
}

// === impl Pool ===

impl Pool {
    /// For the reads of calls: a page, or a row. Their bound of time is one that none of them comes near.
    pub(super) const READS: Self = Self {
        name: "store-reader",
        threads: 4,
        waiting_max: 8192,
        waiting_max_each: 4096,
        time_max: Duration::from_secs(60),
    };

    /// For what may take long: a thread for each processor, two at least and four at most.
    pub(super) fn searches() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            name: "store-search",
            threads: processors.clamp(2, 4),
            waiting_max: 4096,
            waiting_max_each: 256,
            time_max: Duration::from_secs(2),
        }
    }
}

// === impl Readers ===

impl Readers {
    /// Starts the threads.
    pub(super) fn start(
        pool: Pool,
        path: &Path,
        condition: Arc<Condition>,
    ) -> Result<Self, OpenError> {
        let Pool {
            name,
            threads,
            waiting_max,
            waiting_max_each,
            time_max,
        } = pool;
        let reads = FairQueue::new(waiting_max, waiting_max_each, threads);
        let reads = Arc::new(reads);
        let (ended_sender, ended) = watch::channel(());
        let ended_sender = Arc::new(ended_sender);
        for number in 0..threads {
            let mut connection = schema::open_reader(path)?;
            let reads: Arc<FairQueue<Read>> = Arc::clone(&reads);
            let ended_sender = Arc::clone(&ended_sender);
            std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || {
                    while let Some(mut taken) = reads.take() {
                        if let Some(read) = taken.job.take() {
                            read(&mut connection);
                        }
                    }
                    drop(connection);
                    drop(ended_sender);
                })?;
        }
        Ok(Self {
            reads,
            time_max,
            condition,
            ended,
        })
    }

    /// Runs somebody's read in one read transaction; it is told when it must have ended. What takes longer is given up:
    /// `DEADLINE_EXCEEDED`. So is, unseen, what nobody waits for any more when its turn comes.
    pub(super) async fn call<T, R>(&self, account: Account, read: R) -> Result<T, Refusal>
    where
        T: Send + 'static,
        R: FnOnce(&Connection, Instant) -> Answer<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let condition = Arc::clone(&self.condition);
        let time_max = self.time_max;
        let job: Read = Box::new(move |connection| {
            if reply.is_closed() {
                return;
            }
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| within(connection, time_max, read)));
            metrics::get().read_duration.record(began.elapsed());
            let answer = match outcome {
                Ok(answer) => answer.map_err(|fault| refusal(&condition, fault)),
                Err(_) => Err(internal("a read panicked")),
            };
            // The caller may be gone.
            let _ = reply.send(answer);
        });
        let queued = self.reads.put(account, job);
        queued.map_err(|_| Refusal::StoreUnavailable)?;
        answer.await.unwrap_or(Err(Refusal::StoreUnavailable))
    }

    /// Ends the threads after what was queued is answered, and waits for that.
    pub(super) async fn close(&self) {
        self.reads.close();
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Threads that wait for reads hold the queue themselves.
        self.reads.close();
    }
}

/// Runs a read, and interrupts it when its time is over.
fn within<T>(
    connection: &mut Connection,
    time: Duration,
    read: impl FnOnce(&Connection, Instant) -> Answer<T>,
) -> Answer<T> {
    let until = Instant::now() + time;
    connection.progress_handler(CLOCK_EACH_STEPS, Some(move || Instant::now() >= until))?;
    let transaction = connection.unchecked_transaction()?;
    let answer = read(&transaction, until);
    drop(transaction);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    answer
}

fn refusal(condition: &Condition, fault: Fault) -> Refusal {
    match fault {
        Fault::Sqlite(error)
            if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
        {
            Refusal::DeadlineExceeded
        }
        fault @ (Fault::Refused(_) | Fault::Sqlite(_) | Fault::Broken(_)) => {
            condition.refusal(fault)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_interrupted_and_leaves_the_connection_usable() {
        let mut connection = Connection::open_in_memory().unwrap();
        let endless =
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n";
        let ended = within(
            &mut connection,
            Duration::from_millis(20),
            |connection, _| Ok(connection.query_row(endless, [], |row| row.get::<_, i64>(0))?),
        );
        assert_eq!(
            refusal(&Condition::default(), ended.expect_err("endless")),
            Refusal::DeadlineExceeded
        );
        let one = within(&mut connection, Duration::from_secs(2), |connection, _| {
            Ok(connection.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(one.ok(), Some(1));
    }
}
