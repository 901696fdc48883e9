//! User ids of agents' own, where the server runs as root: what root owns is then closed to them by the system's own
//! rules, besides those of the rung.
//!
//! Each owner's agents have one, the same over restarts; a group of the same number goes with it. The range must be
//! nobody else's: what runs there without a keeper is taken for a leftover and ended.

use serde::{Deserialize, Serialize};
use std::{fmt, fs, str::FromStr};

/// Ids of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRange {
    /// The first, at least [`FIRST_MIN`]. It is used to try what works, and is nobody's.
    pub first: u32,
    /// The last one; greater than the first.
    pub last: u32,
}

/// Ids below are the system's and people's.
pub const FIRST_MIN: u32 = 1000;
/// Greatest id; beyond, some systems take them for negative ones.
pub const LAST_MAX: u32 = 0x7fff_fffe;
/// What is taken where none is named and nobody else has it.
pub const USUAL: UserRange = UserRange {
    first: 200_000,
    last: 265_535,
};

/// Where a system says whose which id is, and in which field the number stands.
const NAMED: [(&str, usize); 2] = [("/etc/passwd", 2), ("/etc/group", 2)];
/// Where it says so of ranges: the first and how many.
const RANGES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

// === impl UserRange ===

impl UserRange {
    /// Whether an id is one of these.
    pub const fn holds(self, user: u32) -> bool {
        self.first <= user && user <= self.last
    }

    /// The one that is used to try what works.
    pub const fn for_trials(self) -> u32 {
        self.first
    }

    /// Every id that an owner may get, each once, from a place that `seed` chooses.
    pub fn from(self, seed: u64) -> impl Iterator<Item = u32> {
        let count = u64::from(self.last - self.first);
        (0..count).map(move |step| {
            let place = (seed % count + step) % count;
            self.first + 1 + u32::try_from(place).unwrap_or_default()
        })
    }

    /// Who has some of these ids already, by what this system's files say; for people.
    pub fn taken(self) -> Option<String> {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let named = NAMED.into_iter().find_map(|(file, field)| {
            let name = self.named_in(&read(file), field)?;
            Some(format!("{name} in {file}"))
        });
        named.or_else(|| {
            RANGES.into_iter().find_map(|file| {
                let name = self.ranges_in(&read(file))?;
                Some(format!("{name} in {file}"))
            })
        })
    }

    fn named_in(self, text: &str, field: usize) -> Option<String> {
        text.lines().find_map(|line| {
            let id = line.split(':').nth(field)?.parse().ok()?;
            self.holds(id).then(|| name_in(line))
        })
    }

    fn ranges_in(self, text: &str) -> Option<String> {
        text.lines().find_map(|line| {
            let mut numbers = line.split(':').skip(1).map(str::parse::<u64>);
            let (first, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            let overlaps = first <= u64::from(self.last)
                && u64::from(self.first) < first.saturating_add(count);
            overlaps.then(|| name_in(line))
        })
    }
}

fn name_in(line: &str) -> String {
    line.split(':').next().unwrap_or_default().to_owned()
}

impl fmt::Display for UserRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.first, self.last)
    }
}

impl FromStr for UserRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected FIRST-LAST, from {FIRST_MIN} to {LAST_MAX}, such as {USUAL}");
        let (first, last) = text.split_once('-').ok_or_else(expected)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| expected());
        let (first, last) = (number(first)?, number(last)?);
        if first < FIRST_MIN || last <= first || last > LAST_MAX {
            return Err(expected());
        }
        Ok(Self { first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: UserRange = UserRange {
        first: 2000,
        last: 2003,
    };

    #[test]
    fn a_range_is_two_numbers() {
        assert_eq!("2000-2003".parse(), Ok(RANGE));
        assert_eq!(RANGE.to_string(), "2000-2003");
        for wrong in [
            "",
            "2000",
            "2000-",
            "2003-2000",
            "2000-2000",
            "0-10",
            "999-2000",
            "a-b",
            "2000-4294967295",
        ] {
            assert!(wrong.parse::<UserRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_id_but_that_for_trials_comes_once() {
        for seed in [0, 1, 5, u64::MAX] {
            let mut all: Vec<u32> = RANGE.from(seed).collect();
            all.sort_unstable();
            assert_eq!(all, [2001, 2002, 2003], "{seed}");
        }
        assert_ne!(RANGE.from(0).next(), RANGE.from(1).next());
    }

    #[test]
    fn what_is_somebody_elses_is_found() {
        for (text, expected) in [
            ("root:x:0:0:\nann:x:1999:9:\nbob:x:2004:2000:\n", None),
            ("root:x:0:0:\nann:x:2000:9:\n", Some("ann")),
            ("ann:x:2003:9:\n", Some("ann")),
            ("no line\n\n", None),
        ] {
            assert_eq!(RANGE.named_in(text, 2).as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            ("ann:1000:1000\nbob:2004:65536\n", None),
            ("ann:1000:1001\n", Some("ann")),
            ("ann:2003:1\n", Some("ann")),
            ("ann:1:100000\n", Some("ann")),
            ("ann\n", None),
        ] {
            assert_eq!(RANGE.ranges_in(text).as_deref(), expected, "{text}");
        }
    }
}
