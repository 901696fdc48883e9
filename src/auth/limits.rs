//! How often one may call: failed authentications of an address, and calls of a principal and of a tenant.
//!
//! Of an address **failures alone** are counted, and a valid credential is never refused for what others at its address do:
//! behind a proxy or a shared address one broken client would else shut out all. Looking at a key is one HMAC, at a token
//! one signature, and nobody guesses either; who goes on all the same is told less often why. Loopback is an address like
//! any other.
//!
//! Own code, where a crate would do for the rates alone: a bound must change at run time.

use crate::domain::{Refusal, ids::Principal, refusal::LimitOf};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Addresses, principals or tenants that are counted at once; beyond it one of them is forgotten for each new one.
const KEYS_MAX: usize = 100_000;
/// How often those that have used nothing up are looked for when there is no room.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The bounds, and what was used of them.
pub struct Limits {
    rates: ArcSwap<Rates>,
    failures: Pace<IpAddr>,
    principals: Pace<Principal>,
    tenants: Pace<String>,
}

/// The bounds. 0 bounds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Failed authentications of one address a minute; as many may come at once.
    pub address_failures_per_minute: u64,
    /// Calls of one principal a second; as many may come at once.
    pub principal_per_second: u64,
    /// Calls of one tenant a second; as many may come at once.
    pub tenant_per_second: u64,
}

/// So many in such a time.
#[derive(Clone, Copy)]
struct Rate {
    count: u64,
    time: Duration,
}

/// Counts by key. Each key has one number: when all that it used up has come back (the generic cell rate algorithm).
struct Pace<K> {
    start: Instant,
    /// A lock and not a task: it is held for one look or one change of the map.
    state: Mutex<PaceState<K>>,
}

struct PaceState<K> {
    /// Nanoseconds since the start.
    restored: HashMap<K, u64>,
    swept: u64,
}

// === impl Limits ===

impl Limits {
    /// Nothing is used yet.
    pub fn new(rates: Rates) -> Self {
        Self {
            rates: ArcSwap::from_pointee(rates),
            failures: Pace::new(),
            principals: Pace::new(),
            tenants: Pace::new(),
        }
    }

    /// Changes the bounds; what was used stays used.
    pub fn set(&self, rates: Rates) {
        self.rates.store(rates.into());
    }

    /// Counts a failed authentication; gives back what its caller is told.
    pub fn failed(&self, address: Option<IpAddr>) -> Refusal {
        let per_minute = self.rates.load().address_failures_per_minute;
        if let (Some(address), Some(rate)) = (address, Rate::per_minute(per_minute))
            && let Err(wait) = self.failures.take(&address, rate)
        {
            return limited(LimitOf::Address, per_minute, wait);
        }
        Refusal::CredentialsInvalid
    }

    /// Counts a call.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub fn call(&self, principal: &Principal) -> Result<(), Refusal> {
        let Rates {
            address_failures_per_minute: _,
            principal_per_second,
            tenant_per_second,
        } = **self.rates.load();
        if let Some(rate) = Rate::per_second(principal_per_second) {
            self.principals
                .take(principal, rate)
                .map_err(|wait| limited(LimitOf::Principal, principal_per_second, wait))?;
        }
        if let Some(rate) = Rate::per_second(tenant_per_second) {
            self.tenants
                .take(&principal.tenant, rate)
                .map_err(|wait| limited(LimitOf::Tenant, tenant_per_second, wait))?;
        }
        Ok(())
    }
}

fn limited(of: LimitOf, limit: u64, retry_after: Duration) -> Refusal {
    Refusal::RateLimited {
        of,
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
        retry_after,
    }
}

// === impl Rate ===

impl Rate {
    fn per_second(count: u64) -> Option<Self> {
        let time = Duration::from_secs(1);
        (count > 0).then_some(Self { count, time })
    }

    fn per_minute(count: u64) -> Option<Self> {
        let time = Duration::from_secs(60);
        (count > 0).then_some(Self { count, time })
    }

    /// Nanoseconds in which one comes back.
    fn period(self) -> u64 {
        (nanos(self.time) / self.count).max(1)
    }

    /// How long until one more may come, for who has everything back `left` nanoseconds from now.
    fn wait(self, left: u64) -> Result<(), Duration> {
        match (left + self.period()).saturating_sub(nanos(self.time)) {
            0 => Ok(()),
            wait => Err(Duration::from_nanos(wait)),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Pace ===

impl<K: Clone + Eq + Hash> Pace<K> {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            state: Mutex::new(PaceState {
                restored: HashMap::new(),
                swept: 0,
            }),
        }
    }

    /// Counts one, if one more may come.
    fn take(&self, key: &K, rate: Rate) -> Result<(), Duration> {
        self.take_at(key, rate, nanos(self.start.elapsed()))
    }

    fn take_at(&self, key: &K, rate: Rate, now: u64) -> Result<(), Duration> {
        let mut state = self.state();
        if let Some(restored) = state.restored.get_mut(key) {
            let left = restored.saturating_sub(now);
            rate.wait(left)?;
            *restored = now + left + rate.period();
            return Ok(());
        }
        if state.restored.len() >= KEYS_MAX {
            state.make_room(now);
        }
        state.restored.insert(key.clone(), now + rate.period());
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, PaceState<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> PaceState<K> {
    fn make_room(&mut self, now: u64) {
        if now - self.swept >= nanos(SWEEP_INTERVAL) {
            self.swept = now;
            self.restored.retain(|_, restored| *restored > now);
        }
        // Who has so many addresses is not held up by a count of each.
        if self.restored.len() >= KEYS_MAX
            && let Some(one) = self.restored.keys().next().cloned()
        {
            self.restored.remove(&one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn as_many_as_the_rate_may_come_at_once_and_then_at_its_pace() {
        let pace = Pace::new();
        let rate = Rate::per_second(10).unwrap();
        for _ in 0..10 {
            assert_eq!(pace.take_at(&"a", rate, SECOND), Ok(()));
        }
        let tenth = Duration::from_millis(100);
        assert_eq!(pace.take_at(&"a", rate, SECOND), Err(tenth));
        assert_eq!(pace.take_at(&"b", rate, SECOND), Ok(()));
        assert_eq!(pace.take_at(&"a", rate, SECOND + SECOND / 10), Ok(()));
        assert_eq!(pace.take_at(&"a", rate, SECOND + SECOND / 10), Err(tenth));
        for _ in 0..10 {
            assert_eq!(pace.take_at(&"a", rate, 3 * SECOND), Ok(()));
        }
        assert_eq!(pace.take_at(&"a", rate, 3 * SECOND), Err(tenth));
    }

    #[test]
    fn no_more_keys_are_counted_than_there_is_room_for() {
        let pace = Pace::new();
        let rate = Rate::per_minute(30).unwrap();
        for key in 0..KEYS_MAX + 1000 {
            pace.take_at(&key, rate, SECOND / 2).unwrap();
        }
        assert_eq!(pace.state().restored.len(), KEYS_MAX);
        // After a while none of them has anything used up.
        pace.take_at(&0, rate, 100 * SECOND).unwrap();
        pace.take_at(&usize::MAX, rate, 100 * SECOND).unwrap();
        assert!(pace.state().restored.len() <= 2);
    }

    #[test]
    fn without_a_bound_nothing_is_counted() {
        let limits = Limits::new(Rates::default());
        let address = Some("192.0.2.1".parse().unwrap());
        for _ in 0..1000 {
            assert_eq!(limits.call(&Principal::local()), Ok(()));
            assert_eq!(limits.failed(address), Refusal::CredentialsInvalid);
        }
        limits.set(Rates {
            address_failures_per_minute: 1,
            ..Rates::default()
        });
        assert_eq!(limits.failed(address), Refusal::CredentialsInvalid);
        assert_ne!(limits.failed(address), Refusal::CredentialsInvalid);
        assert_eq!(limits.failed(None), Refusal::CredentialsInvalid);
    }
}
