//! Whose calls a serving thread takes up next: some of them in each round of its tasks, and of each tenant in turn.
//!
//! The thread takes its tasks in the order in which they woke, so of a hundred calls that one tenant makes at once all
//! would be worked at before another's that came a moment later. Here a call whose caller is known waits for its place in
//! a round: [`ROUND_MAX_CALLS`] go on, then everything else that the thread has to do, then the next ones. While fewer come
//! nobody waits.

use crate::store::sqlite::{Account, FairQueue};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Calls that are begun in one round.
const ROUND_MAX_CALLS: usize = 16;
/// Calls that may wait for a round. What comes beyond goes on at once: connections and streams are bounded elsewhere.
const WAITING_MAX: usize = 65_536;

/// The rounds of one serving thread.
#[derive(Clone)]
pub(super) struct Rounds(Arc<Shared>);

struct Shared {
    waiting: FairQueue<oneshot::Sender<()>>,
    /// A lock and not a cell: what holds this must be `Send`. One thread takes it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Calls that were begun in this round.
    begun: usize,
    /// Whether a task counts the rounds: while calls come.
    counted: bool,
}

// === impl Rounds ===

impl Rounds {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            waiting: FairQueue::new(WAITING_MAX, WAITING_MAX, 1),
            state: Mutex::default(),
        }))
    }

    /// Waits for a tenant's place in a round.
    pub(super) async fn place(&self, tenant: &str) {
        if let Some(wait) = self.ask(Account::of_tenant(tenant)) {
            // Nobody drops the other half but with the whole thread.
            let _ = wait.await;
        }
    }

    fn ask(&self, account: Account) -> Option<oneshot::Receiver<()>> {
        let mut state = self.0.state();
        if !state.counted {
            state.counted = true;
            tokio::spawn(self.0.clone().count());
        }
        if state.begun < ROUND_MAX_CALLS && self.0.waiting.len() == 0 {
            state.begun += 1;
            return None;
        }
        let (go, wait) = oneshot::channel();
        self.0.waiting.put(account, go).ok().map(|()| wait)
    }
}

// === impl Shared ===

impl Shared {
    /// Begins round after round until one has no calls.
    async fn count(self: Arc<Self>) {
        loop {
            // Comes back when all that woke meanwhile had its turn, and the network was asked for news.
            tokio::task::yield_now().await;
            let mut state = self.state();
            state.begun = 0;
            while state.begun < ROUND_MAX_CALLS
                && let Some(go) = self.waiting.try_take().and_then(|mut it| it.job.take())
            {
                // Whose caller is gone takes no place.
                state.begun += usize::from(go.send(()).is_ok());
            }
            if state.begun == 0 {
                state.counted = false;
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a tenant does in a test: notes its name as each call begins.
    fn call(rounds: &Rounds, tenant: &'static str, begun: &Arc<Mutex<Vec<&'static str>>>) {
        let (rounds, begun) = (rounds.clone(), begun.clone());
        tokio::spawn(async move {
            rounds.place(tenant).await;
            begun.lock().unwrap().push(tenant);
        });
    }

    async fn until(begun: &Arc<Mutex<Vec<&'static str>>>, count: usize) -> Vec<&'static str> {
        while begun.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
        begun.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn a_call_waits_for_one_round_whatever_another_tenant_has_waiting() {
        let rounds = Rounds::new();
        let begun = Arc::default();
        for _ in 0..200 {
            call(&rounds, "loud", &begun);
        }
        call(&rounds, "quiet", &begun);
        let order = until(&begun, 201).await;
        let before = order.iter().position(|tenant| *tenant == "quiet").unwrap();
        assert!(
            before <= ROUND_MAX_CALLS + 1,
            "{before} calls went before it"
        );
        assert_eq!(
            order.iter().filter(|tenant| **tenant == "loud").count(),
            200
        );
    }

    #[tokio::test]
    async fn who_is_alone_does_not_wait_and_who_is_gone_takes_no_place() {
        let rounds = Rounds::new();
        for _ in 0..ROUND_MAX_CALLS {
            assert!(rounds.ask(Account::of_tenant("t")).is_none());
        }
        let gone: Vec<_> = (0..100)
            .map(|_| rounds.ask(Account::of_tenant("t")).expect("it waits"))
            .collect();
        let last = rounds.ask(Account::of_tenant("t")).expect("it waits");
        drop(gone);
        // Two rounds at most: this one, and that of the last.
        last.await.unwrap();
        while rounds.0.state().counted {
            tokio::task::yield_now().await;
        }
        assert!(rounds.ask(Account::of_tenant("t")).is_none());
    }
}
