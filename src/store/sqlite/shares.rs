//! Who goes first at the writer: tenants whose work is small, before one whose work fills whole commits.
//!
//! A turn of a tenant who does little is a handful of commits, each asked for once the one before is answered. Where the
//! writer takes a large batch of somebody else's each time it finds nothing else to do, each of them waits for such a batch.
//! So after a small commit the writer waits a moment for the next one, and small work that waits is committed alone. The one
//! who does much is kept waiting by that for [`HEAVY_WAIT_MAX`] at most, and where it is alone, never.

use super::fair::Account;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Work of one tenant in one commit from which on it is heavy: time,
const HEAVY_TIME: Duration = Duration::from_millis(5);
/// and bytes that it stores.
const HEAVY_BYTES: i64 = 256 * 1024;
/// How long it is heavy after that.
const HEAVY_FOR: Duration = Duration::from_secs(1);
/// Tenants that are known as heavy; beyond that all are forgotten and learned again.
const HEAVY_MAX: usize = 1024;
/// Time after the last commit of a heavy one for which small work goes before it.
const HEAVY_WAIT_MAX: Duration = Duration::from_millis(40);
/// Time after a small commit in which the same tenant's next one is waited for.
const NEXT_WITHIN: Duration = Duration::from_millis(5);

/// Who did how much.
#[derive(Default)]
pub(super) struct Shares {
    /// Those who did much, and when last.
    heavy: HashMap<Account, Instant>,
    /// Whose small work was committed last, and when that was done.
    light: Option<(Account, Instant)>,
}

/// What jobs of each tenant did in one commit: how long they took, and bytes that they stored.
#[derive(Default)]
pub(super) struct Done(Vec<(Account, Duration, i64)>);

// === impl Done ===

impl Done {
    pub(super) fn add(&mut self, account: Account, time: Duration, bytes: i64) {
        match self.0.iter_mut().find(|(known, ..)| *known == account) {
            Some((_, times, sum)) => {
                *times += time;
                *sum += bytes;
            }
            None => self.0.push((account, time, bytes)),
        }
    }
}

// === impl Shares ===

impl Shares {
    /// Takes in a commit that is done.
    pub(super) fn committed(&mut self, done: Done, now: Instant) {
        self.heavy.retain(|_, at| now < *at + HEAVY_FOR);
        for (account, time, bytes) in done.0 {
            if time >= HEAVY_TIME || bytes >= HEAVY_BYTES {
                if self.heavy.len() >= HEAVY_MAX {
                    self.heavy.clear();
                }
                self.heavy.insert(account, now);
            } else if account != Account::SERVER && !self.heavy.contains_key(&account) {
                self.light = Some((account, now));
            }
        }
    }

    /// Whether small work of this tenant may go first.
    pub(super) fn is_light(&self, account: Account) -> bool {
        !self.heavy.contains_key(&account)
    }

    /// Until when nothing but small work is done, so far as there is some or may come; `None` where nobody is heavy, or the
    /// heavy ones have waited long enough.
    pub(super) fn light_until(&self, now: Instant) -> Option<Instant> {
        let last_heavy = self.heavy.values().max()?;
        let end = *last_heavy + HEAVY_WAIT_MAX;
        if now >= end {
            return None;
        }
        let next = self.light.map_or(now, |(_, at)| at + NEXT_WITHIN);
        Some(next.clamp(now, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: (Duration, i64) = (Duration::from_millis(1), HEAVY_BYTES);
    const SLOW: (Duration, i64) = (HEAVY_TIME, 10);
    const SMALL: (Duration, i64) = (Duration::from_millis(1), 10);

    fn commit(shares: &mut Shares, who: &str, (time, bytes): (Duration, i64), now: Instant) {
        let mut done = Done::default();
        done.add(Account::of_tenant(who), time, bytes);
        shares.committed(done, now);
    }

    #[test]
    fn nobody_is_waited_for_where_nobody_is_heavy() {
        let (mut shares, now) = (Shares::default(), Instant::now());
        assert_eq!(shares.light_until(now), None);
        commit(&mut shares, "small", SMALL, now);
        assert_eq!(shares.light_until(now), None);
    }

    #[test]
    fn the_next_small_commit_is_waited_for_and_the_heavy_one_not_for_long() {
        for heavy in [LARGE, SLOW] {
            let (mut shares, began) = (Shares::default(), Instant::now());
            let after = |milliseconds| began + Duration::from_millis(milliseconds);
            commit(&mut shares, "heavy", heavy, began);
            assert!(!shares.is_light(Account::of_tenant("heavy")));
            assert!(shares.is_light(Account::of_tenant("small")));
            // Nobody was there: what waits goes first, nothing is waited for.
            assert_eq!(shares.light_until(after(1)), Some(after(1)));
            for at in [2, 6, 10] {
                commit(&mut shares, "small", SMALL, after(at));
                let until = after(at) + NEXT_WITHIN;
                assert_eq!(shares.light_until(after(at + 1)), Some(until));
            }
            commit(&mut shares, "small", SMALL, after(39));
            let end = began + HEAVY_WAIT_MAX;
            assert_eq!(shares.light_until(after(39)), Some(end));
            assert_eq!(shares.light_until(end), None, "its turn has come");
        }
    }

    #[test]
    fn many_small_jobs_of_one_commit_are_much_work_too() {
        let (mut shares, now) = (Shares::default(), Instant::now());
        let flood = Account::of_tenant("flood");
        let mut done = Done::default();
        for _ in 0..5 {
            done.add(flood, SMALL.0, SMALL.1);
        }
        shares.committed(done, now);
        assert!(!shares.is_light(flood));
    }

    #[test]
    fn who_was_heavy_is_small_again_after_a_while() {
        let (mut shares, began) = (Shares::default(), Instant::now());
        commit(&mut shares, "one", LARGE, began);
        let soon = began + HEAVY_FOR / 2;
        commit(&mut shares, "one", SMALL, soon);
        assert!(!shares.is_light(Account::of_tenant("one")), "for a while");
        assert_eq!(shares.light_until(soon), None, "but nobody waits for that");
        commit(&mut shares, "one", SMALL, began + HEAVY_FOR);
        assert!(shares.is_light(Account::of_tenant("one")));
    }

    #[test]
    fn the_server_itself_is_waited_for_by_nobody() {
        let (mut shares, now) = (Shares::default(), Instant::now());
        commit(&mut shares, "heavy", LARGE, now);
        let mut done = Done::default();
        done.add(Account::SERVER, SMALL.0, SMALL.1);
        shares.committed(done, now);
        assert_eq!(shares.light_until(now), Some(now));
    }
}
