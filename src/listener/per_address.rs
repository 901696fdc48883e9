//! Connections by the address that they come from, so that one party can't take every slot.

use super::peer::counted;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

/// Open connections of each address. Holds no more entries than there are connections.
#[derive(Debug)]
pub(super) struct PerAddress {
    /// 0 counts none.
    max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One counted connection; its drop gives the place back.
pub(super) struct Counted {
    counts: Arc<PerAddress>,
    /// `None` where none are counted.
    address: Option<IpAddr>,
}

// === impl PerAddress ===

impl PerAddress {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            open: Mutex::default(),
        })
    }

    /// A place for one more connection, though the address has all that it may: another one of it is about to go.
    pub(super) fn take_beyond(self: &Arc<Self>, address: IpAddr) -> Counted {
        let address = (self.max > 0).then(|| counted(address));
        if let Some(address) = address {
            *self.lock().entry(address).or_default() += 1;
        }
        Counted {
            counts: self.clone(),
            address,
        }
    }

    /// A place for one more connection; `None` where that address has all that it may.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let address = (self.max > 0).then(|| counted(address));
        if let Some(address) = address {
            let mut open = self.lock();
            let open = open.entry(address).or_default();
            if *open >= self.max {
                return None;
            }
            *open += 1;
        }
        Some(Counted {
            counts: self.clone(),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().expect("nothing panics while it is held")
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(address) = self.address else {
            return;
        };
        let mut all = self.counts.lock();
        if let Some(open) = all.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                all.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_and_nothing_is_kept_of_who_left() {
        let counts = PerAddress::new(2);
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let first = counts.take(one);
        let second = counts.take(one);
        assert!(first.is_some() && second.is_some());
        assert!(counts.take(one).is_none());
        assert!(counts.take(other).is_some());
        drop(first);
        let third = counts.take(one);
        assert!(third.is_some());
        drop((second, third));
        assert!(counts.lock().is_empty());
    }

    #[test]
    fn with_zero_nobody_is_counted() {
        let counts = PerAddress::new(0);
        let places: Vec<_> = (0..1000)
            .map(|_| counts.take([127, 0, 0, 1].into()))
            .collect();
        assert!(places.iter().all(Option::is_some) && counts.lock().is_empty());
    }
}
