//! Reads that may take long: searches, and counts and lists of many rows. They have threads and connections of their own,
//! so that no other read waits behind them, a bound of time each, and a fair order.
//!
//! Tenants take turns: whoever asks for one search waits for no more than one of each other tenant, however many those
//! have asked for; and no tenant ever holds all threads. A tenant that asks for more than may wait is told so.

use super::{
    fault::{Answer, Fault, OpenError, internal},
    schema,
};
use crate::{domain::Refusal, telemetry::metrics};
use rusqlite::{Connection, ErrorCode};
use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// Threads, at least and at most; between them one for each processor.
const THREADS: (usize, usize) = (2, 4);
/// Reads of one tenant that may wait; a caller beyond is told `STORE_UNAVAILABLE`.
const WAITING_MAX_OF_TENANT: usize = 256;
/// Longest time that one read may take once it has begun.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Steps of SQLite's machine between two looks at the clock.
const CLOCK_EACH_STEPS: i32 = 1000;

type Read = Box<dyn FnOnce(&mut Connection) + Send>;

/// Handle of the threads.
pub(super) struct Searchers {
    queue: Arc<Queue>,
    /// Closed when the threads have ended.
    ended: watch::Receiver<()>,
}

/// What waits, and who has what.
struct Queue {
    state: Mutex<State>,
    /// Something waits, or a tenant may have one more, or all ends.
    changed: Condvar,
}

struct State {
    /// Tenants with reads that wait, in the order of their turns, and these reads.
    waiting: VecDeque<(String, VecDeque<Read>)>,
    /// Threads that each tenant holds.
    running: HashMap<String, usize>,
    /// Threads that one tenant may hold.
    of_tenant: usize,
    closed: bool,
}

// === impl Searchers ===

impl Searchers {
    /// Starts the threads.
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let processors = std::thread::available_parallelism().map_or(THREADS.0, usize::from);
        let threads = processors.clamp(THREADS.0, THREADS.1);
        let queue = Arc::new(Queue {
            state: Mutex::new(State::new(threads - 1)),
            changed: Condvar::new(),
        });
        let (ended_sender, ended) = watch::channel(());
        let ended_sender = Arc::new(ended_sender);
        for number in 0..threads {
            let mut connection = schema::open_reader(path)?;
            let queue = Arc::clone(&queue);
            let ended_sender = Arc::clone(&ended_sender);
            std::thread::Builder::new()
                .name(format!("store-search-{number}"))
                .spawn(move || {
                    while let Some((tenant, read)) = queue.next() {
                        read(&mut connection);
                        queue.done(&tenant);
                    }
                    drop(connection);
                    drop(ended_sender);
                })?;
        }
        Ok(Self { queue, ended })
    }

    /// Runs a read for a tenant in one read transaction; it is told when it must have ended. What takes longer is given
    /// up: `DEADLINE_EXCEEDED`.
    pub(super) async fn call<T, R>(&self, tenant: &str, read: R) -> Result<T, Refusal>
    where
        T: Send + 'static,
        R: FnOnce(&Connection, Instant) -> Answer<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Read = Box::new(move |connection| {
            // Whoever asked is gone.
            if reply.is_closed() {
                return;
            }
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| within(connection, TIME_MAX, read)));
            metrics::get().read_duration.record(began.elapsed());
            let answer = match outcome {
                Ok(answer) => answer.map_err(refusal),
                Err(_) => Err(internal("a search panicked")),
            };
            let _ = reply.send(answer);
        });
        self.queue.put(tenant, job)?;
        answer.await.unwrap_or(Err(Refusal::StoreUnavailable))
    }

    /// Ends the threads after what was queued is answered, and waits for that.
    pub(super) async fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
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

fn refusal(fault: Fault) -> Refusal {
    match fault {
        Fault::Sqlite(error)
            if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
        {
            Refusal::DeadlineExceeded
        }
        fault @ (Fault::Refused(_) | Fault::Sqlite(_) | Fault::Broken(_)) => fault.into_refusal(),
    }
}

// === impl Queue ===

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn put(&self, tenant: &str, read: Read) -> Result<(), Refusal> {
        self.lock().put(tenant, read)?;
        self.changed.notify_one();
        Ok(())
    }

    /// The next read, and whose it is; `None` at the end.
    fn next(&self) -> Option<(String, Read)> {
        let mut state = self.lock();
        loop {
            if let Some(next) = state.take() {
                return Some(next);
            }
            if state.closed && state.waiting.is_empty() {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .expect("no holder of this lock panics");
        }
    }

    fn done(&self, tenant: &str) {
        self.lock().done(tenant);
        // Who waits may be of this tenant, or all may be over.
        self.changed.notify_all();
    }
}

// === impl State ===

impl State {
    fn new(of_tenant: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            running: HashMap::new(),
            of_tenant,
            closed: false,
        }
    }

    fn put(&mut self, tenant: &str, read: Read) -> Result<(), Refusal> {
        if self.closed {
            return Err(Refusal::StoreUnavailable);
        }
        match self.waiting.iter_mut().find(|(name, _)| name == tenant) {
            Some((_, reads)) if reads.len() >= WAITING_MAX_OF_TENANT => {
                return Err(Refusal::StoreUnavailable);
            }
            Some((_, reads)) => reads.push_back(read),
            None => self
                .waiting
                .push_back((tenant.to_owned(), VecDeque::from([read]))),
        }
        Ok(())
    }

    /// The first read of the first tenant that may have one more thread; that tenant's next turn comes last.
    fn take(&mut self) -> Option<(String, Read)> {
        let may = |name: &String| self.running.get(name).copied().unwrap_or(0) < self.of_tenant;
        let at = self.waiting.iter().position(|(name, _)| may(name))?;
        let (tenant, mut reads) = self.waiting.remove(at)?;
        let read = reads.pop_front()?;
        if !reads.is_empty() {
            self.waiting.push_back((tenant.clone(), reads));
        }
        *self.running.entry(tenant.clone()).or_default() += 1;
        Some((tenant, read))
    }

    fn done(&mut self, tenant: &str) {
        if let Some(held) = self.running.get_mut(tenant) {
            *held -= 1;
            if *held == 0 {
                self.running.remove(tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Read {
        Box::new(|_| {})
    }

    #[test]
    fn tenants_take_turns_and_none_holds_all_threads() {
        let mut state = State::new(1);
        for _ in 0..WAITING_MAX_OF_TENANT {
            state.put("flood", nothing()).unwrap();
        }
        let refused = state.put("flood", nothing());
        assert_eq!(refused, Err(Refusal::StoreUnavailable));
        assert_eq!(state.take().unwrap().0, "flood");
        assert!(state.take().is_none(), "it holds what one tenant may");
        state.put("b", nothing()).unwrap();
        state.put("c", nothing()).unwrap();
        state.put("b", nothing()).unwrap();
        assert_eq!(state.take().unwrap().0, "b");
        state.done("flood");
        state.done("b");
        let next: Vec<String> = (0..3).map(|_| state.take().unwrap().0).collect();
        assert_eq!(next, ["flood", "c", "b"]);
        assert!(state.take().is_none());
    }

    #[tokio::test]
    async fn what_takes_too_long_is_interrupted_and_leaves_the_connection_usable() {
        let mut connection = Connection::open_in_memory().unwrap();
        let endless =
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n";
        let ended = within(
            &mut connection,
            Duration::from_millis(20),
            |connection, _| Ok(connection.query_row(endless, [], |row| row.get::<_, i64>(0))?),
        );
        assert_eq!(
            refusal(ended.expect_err("endless")),
            Refusal::DeadlineExceeded
        );
        let one = within(&mut connection, TIME_MAX, |connection, _| {
            Ok(connection.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(one.ok(), Some(1));
    }
}
