//! A small pool of readers, each with its own read-only connection. Every read is one read transaction.

use super::{
    condition::Condition,
    fault::{Answer, OpenError, internal},
    schema,
};
use crate::{domain::Refusal, telemetry::metrics};
use rusqlite::Connection;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Instant,
};
use tokio::sync::{oneshot, watch};

/// Threads that read.
const READERS: usize = 4;
/// Reads that may wait; a caller beyond is told `STORE_UNAVAILABLE`.
const QUEUE_MAX_READS: usize = 4096;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Handle of the reader threads.
pub(super) struct Readers {
    /// Gone after `close`.
    reads: Mutex<Option<SyncSender<Read>>>,
    condition: Arc<Condition>,
    /// Closed when the threads have ended.
    ended: watch::Receiver<()>,
}

// === impl Readers ===

impl Readers {
    /// Starts the threads.
    pub(super) fn start(path: &Path, condition: Arc<Condition>) -> Result<Self, OpenError> {
        let (reads, receiver) = sync_channel::<Read>(QUEUE_MAX_READS);
        let receiver = Arc::new(Mutex::new(receiver));
        let (ended_sender, ended) = watch::channel(());
        let ended_sender = Arc::new(ended_sender);
        for number in 0..READERS {
            let connection = schema::open_reader(path)?;
            let receiver = Arc::clone(&receiver);
            let ended_sender = Arc::clone(&ended_sender);
            std::thread::Builder::new()
                .name(format!("store-reader-{number}"))
                .spawn(move || {
                    while let Some(read) = next(&receiver) {
                        read(&connection);
                    }
                    drop(connection);
                    drop(ended_sender);
                })?;
        }
        Ok(Self {
            reads: Mutex::new(Some(reads)),
            condition,
            ended,
        })
    }

    /// Runs a read in one read transaction.
    pub(super) async fn call<T, R>(&self, read: R) -> Result<T, Refusal>
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
        {
            let reads = self.reads.lock().expect("no holder of this lock panics");
            let reads = reads.as_ref().ok_or(Refusal::StoreUnavailable)?;
            reads.try_send(job).map_err(|_| Refusal::StoreUnavailable)?;
        }
        answer.await.unwrap_or(Err(Refusal::StoreUnavailable))
    }

    /// Ends the threads after what was queued is answered, and waits for that.
    pub(super) async fn close(&self) {
        drop(
            self.reads
                .lock()
                .expect("no holder of this lock panics")
                .take(),
        );
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

/// The next read. One thread waits in the channel, the others for the lock: the same to the caller.
fn next(receiver: &Mutex<Receiver<Read>>) -> Option<Read> {
    receiver
        .lock()
        .expect("no holder of this lock panics")
        .recv()
        .ok()
}
