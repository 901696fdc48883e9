//! Reads that may take long: searches, and counts and lists of many rows. They have threads and connections of their own,
//! so that no other read waits behind them, and a bound of time each. Tenants are served in turn, and none ever holds all
//! threads, see [`super::fair`].

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

/// Threads, at least and at most; between them one for each processor.
const THREADS: (usize, usize) = (2, 4);
/// Reads that may wait; a caller beyond is told `STORE_UNAVAILABLE`.
const QUEUE_MAX_READS: usize = 4096;
/// Reads of one tenant that may wait.
const QUEUE_MAX_READS_EACH: usize = 256;
/// Longest time that one read may take once it has begun.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Steps of SQLite's machine between two looks at the clock.
const CLOCK_EACH_STEPS: i32 = 1000;

type Read = Box<dyn FnOnce(&mut Connection) + Send>;

/// Handle of the threads.
pub(super) struct Searchers {
    reads: Arc<FairQueue<Read>>,
    condition: Arc<Condition>,
    /// Closed when the threads have ended.
    ended: watch::Receiver<()>,
}

// === impl Searchers ===

impl Searchers {
    /// Starts the threads.
    pub(super) fn start(path: &Path, condition: Arc<Condition>) -> Result<Self, OpenError> {
        let processors = std::thread::available_parallelism().map_or(THREADS.0, usize::from);
        let threads = processors.clamp(THREADS.0, THREADS.1);
        let reads = FairQueue::new(QUEUE_MAX_READS, QUEUE_MAX_READS_EACH, threads);
        let reads = Arc::new(reads);
        let (ended_sender, ended) = watch::channel(());
        let ended_sender = Arc::new(ended_sender);
        for number in 0..threads {
            let mut connection = schema::open_reader(path)?;
            let reads: Arc<FairQueue<Read>> = Arc::clone(&reads);
            let ended_sender = Arc::clone(&ended_sender);
            std::thread::Builder::new()
                .name(format!("store-search-{number}"))
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
            condition,
            ended,
        })
    }

    /// Runs somebody's read in one read transaction; it is told when it must have ended. What takes longer is given up:
    /// `DEADLINE_EXCEEDED`.
    pub(super) async fn call<T, R>(&self, account: Account, read: R) -> Result<T, Refusal>
    where
        T: Send + 'static,
        R: FnOnce(&Connection, Instant) -> Answer<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let condition = Arc::clone(&self.condition);
        let job: Read = Box::new(move |connection| {
            // Whoever asked is gone.
            if reply.is_closed() {
                return;
            }
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| within(connection, TIME_MAX, read)));
            metrics::get().read_duration.record(began.elapsed());
            let answer = match outcome {
                Ok(answer) => answer.map_err(|fault| refusal(&condition, fault)),
                Err(_) => Err(internal("a search panicked")),
            };
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

impl Drop for Searchers {
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
        let one = within(&mut connection, TIME_MAX, |connection, _| {
            Ok(connection.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(one.ok(), Some(1));
    }
}
