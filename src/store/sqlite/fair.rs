//! A queue that is fair between tenants: each has a line of its own, and the lines are served in turn.
//!
//! So a job waits for at most one job of every other tenant that has some waiting, however many one of them has. Within a
//! tenant the order is that of arrival. A tenant whose line is full is refused while all others are still taken, and of
//! several threads that take jobs the last one that is free serves only a tenant for whom no other one works: long jobs of
//! one tenant can't take all threads.

use crate::domain::ids::SessionRow;
use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Sessions of which it is remembered whose they are; beyond that all are forgotten and learned again.
const SESSIONS_MAX: usize = 65_536;

/// Whose work a job is. Two names that hash alike share a line, which harms nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Account(u64);

/// Whose each session is, as far as it was seen: an owner's calls name its row alone.
#[derive(Default)]
pub(super) struct Accounts(Mutex<HashMap<SessionRow, Account>>);

/// The queue.
pub(super) struct FairQueue<J> {
    /// A lock, not a channel: who comes next depends on all that wait. Held for a few lines of memory work.
    state: Mutex<State<J>>,
    /// Takers that found nothing to do.
    idle: Condvar,
    max: usize,
    max_each: usize,
    takers: usize,
}

struct State<J> {
    /// What waits, by whose it is; no line is empty.
    lines: HashMap<Account, VecDeque<J>>,
    /// Those who have a line, the next one first.
    order: VecDeque<Account>,
    /// Jobs in all lines.
    len: usize,
    /// Takers at work, by whose job it is.
    working: HashMap<Account, usize>,
    /// Takers at work.
    busy: usize,
    closed: bool,
}

/// A job that was taken; it counts as worked at until this is dropped.
pub(super) struct Taken<'a, J> {
    /// The job; `None` once it was taken out.
    pub(super) job: Option<J>,
    /// Whose it is.
    pub(super) account: Account,
    queue: &'a FairQueue<J>,
}

/// There is no room, or the queue is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

// === impl Account ===

impl Account {
    /// The server's own work: housekeeping, settings, recovery.
    pub(crate) const SERVER: Self = Self(0);

    /// A tenant's work.
    pub(crate) fn of_tenant(tenant: &str) -> Self {
        Self::hashed(&("tenant", tenant))
    }

    fn hashed(value: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self(hasher.finish())
    }
}

// === impl Accounts ===

impl Accounts {
    /// Notes whose a session is.
    pub(super) fn learn(&self, session: SessionRow, tenant: &str) {
        let mut known = self.known();
        if !known.contains_key(&session) {
            if known.len() >= SESSIONS_MAX {
                known.clear();
            }
            known.insert(session, Account::of_tenant(tenant));
        }
    }

    /// Whose a session is; one that was never seen stands for itself.
    pub(super) fn of(&self, session: SessionRow) -> Account {
        let known = self.known().get(&session).copied();
        known.unwrap_or_else(|| Account::hashed(&("session", session.0)))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SessionRow, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl FairQueue ===

impl<J> FairQueue<J> {
    /// A queue of so many jobs, so many of each account, for so many takers.
    pub(super) fn new(max: usize, max_each: usize, takers: usize) -> Self {
        Self {
            state: Mutex::new(State {
                lines: HashMap::new(),
                order: VecDeque::new(),
                len: 0,
                working: HashMap::new(),
                busy: 0,
                closed: false,
            }),
            idle: Condvar::new(),
            max,
            max_each,
            takers,
        }
    }

    /// Puts a job at the end of its account's line.
    ///
    /// # Errors
    /// There is no room, or the queue is closed.
    pub(super) fn put(&self, account: Account, job: J) -> Result<(), Full> {
        let mut state = self.state();
        if state.closed || state.len >= self.max {
            return Err(Full);
        }
        let line = state.lines.entry(account).or_default();
        if line.len() >= self.max_each {
            return Err(Full);
        }
        line.push_back(job);
        if line.len() == 1 {
            state.order.push_back(account);
        }
        state.len += 1;
        drop(state);
        self.idle.notify_one();
        Ok(())
    }

    /// The next job; waits for one. `None` once the queue is closed and empty.
    pub(super) fn take(&self) -> Option<Taken<'_, J>> {
        let mut state = self.state();
        loop {
            if let Some(taken) = self.next(&mut state, &|_| true) {
                if state.len > 0 {
                    // Another taker may have gone to sleep before a job became one that it may take.
                    self.idle.notify_one();
                }
                return Some(taken);
            }
            if state.closed && state.len == 0 {
                self.idle.notify_all();
                return None;
            }
            state = self
                .idle
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next job, if there is one now.
    pub(super) fn try_take(&self) -> Option<Taken<'_, J>> {
        self.next(&mut self.state(), &|_| true)
    }

    /// The next job of those accounts, if there is one now.
    pub(super) fn try_take_of(&self, whose: &dyn Fn(Account) -> bool) -> Option<Taken<'_, J>> {
        self.next(&mut self.state(), whose)
    }

    /// The next job of those accounts; waits for one until then, and not at all once the queue is closed.
    pub(super) fn take_of(
        &self,
        whose: &dyn Fn(Account) -> bool,
        until: Instant,
    ) -> Option<Taken<'_, J>> {
        let mut state = self.state();
        loop {
            if let Some(taken) = self.next(&mut state, whose) {
                return Some(taken);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closed {
                return None;
            }
            let waited = self.idle.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a job, for so long; takes none.
    pub(super) fn wait(&self, time: Duration) {
        let state = self.state();
        if state.len == 0 && !state.closed {
            drop(self.idle.wait_timeout(state, time));
        }
    }

    /// Jobs that wait.
    pub(super) fn len(&self) -> usize {
        self.state().len
    }

    /// Whether it is closed, and nothing waits.
    pub(super) fn is_at_its_end(&self) -> bool {
        let state = self.state();
        state.closed && state.len == 0
    }

    /// Takes nothing more; what waits is still given out.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.idle.notify_all();
    }

    fn next(&self, state: &mut State<J>, whose: &dyn Fn(Account) -> bool) -> Option<Taken<'_, J>> {
        // Who closes waits for all that is there: then nobody is left for whom a taker could be kept.
        let last = self.takers > 1 && state.busy + 1 >= self.takers && !state.closed;
        let may =
            |account: &Account| whose(*account) && (!last || !state.working.contains_key(account));
        let place = state.order.iter().position(may)?;
        let account = state.order.remove(place)?;
        let line = state.lines.get_mut(&account)?;
        let job = line.pop_front();
        if line.is_empty() {
            state.lines.remove(&account);
        } else {
            state.order.push_back(account);
        }
        state.len -= 1;
        state.busy += 1;
        *state.working.entry(account).or_default() += 1;
        Some(Taken {
            job,
            account,
            queue: self,
        })
    }

    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> Drop for Taken<'_, J> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.busy -= 1;
        if let Some(count) = state.working.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                state.working.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Account {
        Account::of_tenant(name)
    }

    fn all(queue: &FairQueue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.try_take().and_then(|mut taken| taken.job.take())).collect()
    }

    #[test]
    fn lines_are_served_in_turn_and_each_in_its_order() {
        let queue = FairQueue::new(99, 99, 1);
        for job in ["a1", "a2", "a3", "a4"] {
            queue.put(account("a"), job).unwrap();
        }
        queue.put(account("b"), "b1").unwrap();
        queue.put(account("c"), "c1").unwrap();
        queue.put(account("b"), "b2").unwrap();
        assert_eq!(all(&queue), ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
        // Who comes back stands behind those who waited meanwhile, not before.
        queue.put(account("a"), "a5").unwrap();
        queue.put(account("b"), "b3").unwrap();
        assert_eq!(all(&queue), ["a5", "b3"]);
    }

    #[test]
    fn a_full_line_is_its_owners_matter_alone() {
        let queue = FairQueue::new(5, 3, 1);
        for _ in 0..3 {
            queue.put(account("a"), "a").unwrap();
        }
        assert_eq!(queue.put(account("a"), "a"), Err(Full));
        queue.put(account("b"), "b").unwrap();
        queue.put(account("c"), "c").unwrap();
        assert_eq!(queue.put(account("d"), "d"), Err(Full), "all are full");
        assert_eq!(queue.len(), 5);
        queue.close();
        assert_eq!(queue.put(account("d"), "d"), Err(Full));
        assert_eq!(all(&queue).len(), 5, "what waits is given out");
        assert!(queue.take().is_none());
    }

    #[test]
    fn the_last_free_taker_is_kept_for_others() {
        let queue = FairQueue::new(99, 99, 3);
        for job in ["a1", "a2", "a3"] {
            queue.put(account("a"), job).unwrap();
        }
        let first = queue.try_take().expect("one works");
        let second = queue.try_take().expect("two work");
        assert!(queue.try_take().is_none(), "the third is kept");
        queue.put(account("b"), "b1").unwrap();
        let other = queue.try_take().expect("for b");
        assert_eq!(other.job, Some("b1"));
        drop(first);
        assert!(queue.try_take().is_none(), "one of a still works");
        drop((second, other));
        assert_eq!(queue.try_take().expect("free again").job, Some("a3"));
    }

    /// However jobs come and takers end, none is lost and no taker sleeps beside a job that it may take.
    #[test]
    fn no_job_is_left_behind() {
        let queue = FairQueue::new(100_000, 100_000, 4);
        let done = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(taken) = queue.take() {
                        drop(taken);
                        done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
            for tenant in 0..3 {
                let queue = &queue;
                scope.spawn(move || {
                    for _ in 0..5_000 {
                        queue.put(account(&tenant.to_string()), ()).unwrap();
                    }
                });
            }
            // All that was put is taken before the queue is closed: a closed one keeps no taker free.
            while done.load(std::sync::atomic::Ordering::Relaxed) < 15_000 {
                std::thread::yield_now();
            }
            queue.close();
        });
    }

    #[test]
    fn a_session_is_its_tenants_once_it_was_seen() {
        let accounts = Accounts::default();
        let (one, two) = (SessionRow(1), SessionRow(2));
        assert_ne!(accounts.of(one), accounts.of(two));
        accounts.learn(one, "t");
        accounts.learn(two, "t");
        assert_eq!(accounts.of(one), Account::of_tenant("t"));
        assert_eq!(accounts.of(one), accounts.of(two));
    }
}
