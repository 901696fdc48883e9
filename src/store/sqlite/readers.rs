//! A small pool of readers, each with its own read-only connection. Every read is one read transaction. Tenants are
//! served in turn, see [`super::fair`].

use super::{
    condition::Condition,
    fair::{Account, FairQueue},
    fault::{Answer, OpenError, internal},
    schema,
};
use crate::{domain::Refusal, telemetry::metrics};
use rusqlite::Connection;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::Instant,
};
use tokio::sync::{oneshot, watch};

/// Threads that read.
const READERS: usize = 4;
/// Reads that may wait; a caller beyond is told `STORE_UNAVAILABLE`.
const QUEUE_MAX_READS: usize = 8192;
/// Reads of one tenant that may wait.
const QUEUE_MAX_READS_EACH: usize = 4096;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Handle of the reader threads.
pub(super) struct Readers {
    reads: Arc<FairQueue<Read>>,
    condition: Arc<Condition>,
    /// Closed when the threads have ended.
    ended: watch::Receiver<()>,
}

// === impl Readers ===

impl Readers {
    /// Starts the threads.
    pub(super) fn start(path: &Path, condition: Arc<Condition>) -> Result<Self, OpenError> {
        let reads = FairQueue::new(QUEUE_MAX_READS, QUEUE_MAX_READS_EACH, READERS);
        let reads = Arc::new(reads);
        let (ended_sender, ended) = watch::channel(());
        let ended_sender = Arc::new(ended_sender);
        for number in 0..READERS {
            let connection = schema::open_reader(path)?;
            let reads: Arc<FairQueue<Read>> = Arc::clone(&reads);
            let ended_sender = Arc::clone(&ended_sender);
            std::thread::Builder::new()
                .name(format!("store-reader-{number}"))
                .spawn(move || {
                    while let Some(mut taken) = reads.take() {
                        if let Some(read) = taken.job.take() {
                            read(&connection);
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

    /// Runs somebody's read in one read transaction.
    pub(super) async fn call<T, R>(&self, account: Account, read: R) -> Result<T, Refusal>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Answer<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let condition = Arc::clone(&self.condition);
        let job: Read = Box::new(move |connection| {
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| -> Answer<T> {
                let transaction = connection.unchecked_transaction()?;
                read(&transaction)
            }));
            metrics::get().read_duration.record(began.elapsed());
            let answer = match outcome {
                Ok(answer) => answer.map_err(|fault| condition.refusal(fault)),
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
