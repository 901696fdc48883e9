//! Places of connections: how many may be open, and who gives way where all are taken.
//!
//! A connection is **anonymous** until a call over it has been authenticated. Strangers, which are anonymous connections
//! from addresses that never authenticated, may have a part of the places alone; the rest is kept for those who are known.
//! Where none is left for a new connection the oldest anonymous one is cut, strangers first; where nobody is anonymous the
//! new one waits.

use super::peer::counted;
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Of so many places one is kept for those who are known.
const KEPT_SHARE: usize = 4;
/// Addresses that are remembered as known; the one that was known first is forgotten for a new one.
const KNOWN_ADDRESSES_MAX: usize = 10_000;

/// The places of one listening socket.
pub(super) struct Places {
    max: usize,
    /// Places that strangers may have.
    strangers_max: usize,
    /// Nobody is asked who they are: all are known.
    asks_nobody: bool,
    /// A lock and not a task: it is held for a few look-ups.
    state: Mutex<State>,
    /// A place came free.
    freed: Notify,
}

#[derive(Default)]
struct State {
    /// Number of the next connection; a smaller one is older.
    next: u64,
    /// Places that are taken.
    open: usize,
    /// Of those, by connections that were told to go and have not gone yet.
    leaving: usize,
    /// Anonymous ones from addresses that are not known.
    strangers: BTreeMap<u64, Anonymous>,
    /// Anonymous ones from addresses that are known.
    acquainted: BTreeMap<u64, Anonymous>,
    known: HashSet<IpAddr>,
    known_in_order: VecDeque<IpAddr>,
}

struct Anonymous {
    address: Option<IpAddr>,
    end: CancellationToken,
}

/// The place of one connection; its drop gives it back.
pub(super) struct Place(Standing);

/// Request extension: whether somebody is known on the request's connection.
#[derive(Clone)]
pub struct Standing(Arc<Inner>);

struct Inner {
    places: Arc<Places>,
    number: u64,
    address: Option<IpAddr>,
    known: AtomicBool,
    end: CancellationToken,
}

// === impl Places ===

impl Places {
    /// So many places. With `asks_nobody` nobody ever has to give way.
    pub(super) fn new(max: usize, asks_nobody: bool) -> Arc<Self> {
        Arc::new(Self {
            max,
            strangers_max: (max - max / KEPT_SHARE).max(1),
            asks_nobody,
            state: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// A place for a new connection. While there is none `full` is called and one that comes free is waited for.
    pub(super) async fn take(self: &Arc<Self>, address: Option<IpAddr>, full: impl Fn()) -> Place {
        loop {
            if let Some(place) = self.try_take(address) {
                return place;
            }
            full();
            // One that came free meanwhile is kept for us: nobody else waits.
            self.freed.notified().await;
        }
    }

    /// A place, where there is one; where there is none the oldest anonymous connection is told to go.
    pub(super) fn try_take(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let address = address.map(counted);
        let mut state = self.lock();
        let is_known = address.is_some_and(|address| state.known.contains(&address));
        let is_stranger = !self.asks_nobody && !is_known;
        if is_stranger && state.strangers.len() >= self.strangers_max {
            state.evict();
        }
        if state.open >= self.max {
            if state.leaving == 0 {
                state.evict();
            }
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.open += 1;
        let end = CancellationToken::new();
        if !self.asks_nobody {
            let anonymous = Anonymous {
                address,
                end: end.clone(),
            };
            match is_stranger {
                true => state.strangers.insert(number, anonymous),
                false => state.acquainted.insert(number, anonymous),
            };
        }
        drop(state);
        Some(Place(Standing(Arc::new(Inner {
            places: self.clone(),
            number,
            address,
            known: AtomicBool::new(self.asks_nobody),
            end,
        }))))
    }

    /// Tells the oldest anonymous connection of an address to go. False where there is none.
    pub(super) fn evict_of(&self, address: IpAddr) -> bool {
        let address = Some(counted(address));
        let mut state = self.lock();
        let of = |list: &BTreeMap<u64, Anonymous>| {
            let mut found = list.iter().filter(|(_, it)| it.address == address);
            found.next().map(|(number, _)| *number)
        };
        let oldest = [of(&state.strangers), of(&state.acquainted)];
        let oldest = oldest.into_iter().flatten().min();
        let anonymous = oldest.and_then(|number| state.forget(number));
        let found = anonymous.is_some();
        if let Some(anonymous) = anonymous {
            anonymous.end.cancel();
            state.leaving += 1;
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

// === impl State ===

impl State {
    /// Tells the oldest stranger to go; where there is none, the oldest that is anonymous.
    fn evict(&mut self) {
        let first = self.strangers.pop_first();
        let first = first.or_else(|| self.acquainted.pop_first());
        if let Some((_, anonymous)) = first {
            anonymous.end.cancel();
            self.leaving += 1;
        }
    }

    /// Takes a connection off the lists of those that are anonymous.
    fn forget(&mut self, number: u64) -> Option<Anonymous> {
        let stranger = self.strangers.remove(&number);
        stranger.or_else(|| self.acquainted.remove(&number))
    }

    fn remember(&mut self, address: IpAddr) {
        if !self.known.insert(address) {
            return;
        }
        self.known_in_order.push_back(address);
        if self.known_in_order.len() > KNOWN_ADDRESSES_MAX
            && let Some(first) = self.known_in_order.pop_front()
        {
            self.known.remove(&first);
        }
    }
}

// === impl Place ===

impl Place {
    /// What the connection's requests carry.
    pub(super) fn standing(&self) -> &Standing {
        &self.0
    }

    /// Cancelled where the connection has to give way.
    pub(super) fn end(&self) -> &CancellationToken {
        &self.0.0.end
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Standing(inner) = &self.0;
        let mut state = inner.places.lock();
        state.open -= 1;
        let was_anonymous = state.forget(inner.number).is_some();
        if !was_anonymous && !inner.known.load(Ordering::Relaxed) {
            state.leaving -= 1;
        }
        drop(state);
        inner.places.freed.notify_one();
    }
}

// === impl Standing ===

impl Standing {
    /// Whether a call of the connection was authenticated.
    pub fn is_known(&self) -> bool {
        self.0.known.load(Ordering::Relaxed)
    }

    /// A call was authenticated: the connection gives way to nobody any more, and others of its address before strangers'.
    pub fn prove(&self) {
        if self.is_known() {
            return;
        }
        let Inner {
            places,
            number,
            address,
            known,
            end: _,
        } = &*self.0;
        let mut state = places.lock();
        if let Some(address) = *address {
            state.remember(address);
        }
        // One that was told to go meanwhile goes.
        if state.forget(*number).is_some() {
            known.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    fn is_told_to_go(place: &Place) -> bool {
        place.end().is_cancelled()
    }

    #[test]
    fn the_oldest_stranger_gives_way_and_the_known_do_not() {
        let places = Places::new(4, false);
        let known = places.try_take(address(1)).expect("a place");
        known.standing().prove();
        // Of four places strangers may have three.
        let strangers: Vec<Place> = (2..5)
            .map(|last| places.try_take(address(last)).expect("a place"))
            .collect();
        assert!(places.try_take(address(9)).is_none());
        assert!(is_told_to_go(&strangers[0]) && !is_told_to_go(&strangers[1]));
        // The same one is waited for: no other has to go for the same newcomer.
        assert!(places.try_take(address(9)).is_none());
        assert!(!is_told_to_go(&strangers[1]));
        let mut strangers = strangers.into_iter();
        drop(strangers.next());
        let newcomer = places.try_take(address(9)).expect("its place");
        assert!(!is_told_to_go(&known));
        newcomer.standing().prove();
        for stranger in strangers {
            stranger.standing().prove();
        }
        assert!(places.try_take(address(9)).is_some(), "two have left");
    }

    #[test]
    fn places_are_kept_for_who_was_known_before() {
        let places = Places::new(4, false);
        drop({
            let known = places.try_take(address(1)).expect("a place");
            known.standing().prove();
            known
        });
        let strangers: Vec<Place> = (2..5)
            .map(|last| places.try_take(address(last)).expect("a place"))
            .collect();
        let again = places
            .try_take(address(1))
            .expect("the place that was kept");
        assert!(!again.standing().is_known());
        assert!(strangers.iter().all(|it| !is_told_to_go(it)));
        // Where all are taken strangers go first, whoever came first.
        assert!(places.try_take(address(1)).is_none());
        assert!(is_told_to_go(&strangers[0]) && !is_told_to_go(&again));
    }

    #[test]
    fn of_one_address_its_own_oldest_gives_way() {
        let places = Places::new(8, false);
        let (one, two) = (places.try_take(address(1)), places.try_take(address(2)));
        let three = places.try_take(address(1)).expect("a place");
        let (one, two) = (one.expect("a place"), two.expect("a place"));
        three.standing().prove();
        assert!(places.evict_of(address(1).expect("one")));
        assert!(is_told_to_go(&one) && !is_told_to_go(&two) && !is_told_to_go(&three));
        assert!(!places.evict_of(address(1).expect("one")));
        // Who was told to go is not known any more, even if it proves itself then.
        one.standing().prove();
        assert!(!one.standing().is_known());
        drop((one, two, three));
        let state = places.lock();
        assert_eq!((state.open, state.leaving), (0, 0));
        assert!(state.strangers.is_empty() && state.acquainted.is_empty());
    }

    #[test]
    fn where_nobody_is_asked_nobody_gives_way() {
        let places = Places::new(2, true);
        let both = [places.try_take(None), places.try_take(None)];
        assert!(places.try_take(None).is_none());
        assert!(
            both.iter()
                .flatten()
                .all(|it| !is_told_to_go(it) && it.standing().is_known())
        );
        drop(both);
        assert!(places.try_take(None).is_some());
    }
}
