//! The nominal times of a schedule: which there are, in order, through whatever its time zone does.
//!
//! Literal wall-clock time: a time that the zone's clocks skip is one that does not run, a time that they show twice runs
//! twice. Nothing here knows what time it is.

use super::{cron::Cron, ids::Time};
use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use uuid::Uuid;

/// How far is looked for a next time, in seconds: beyond the longest gap between two 29ths of February on one weekday.
const HORIZON_SECONDS: i64 = 41 * 366 * 24 * 3600;
/// Local time is never farther from UTC than this, in seconds.
const OFFSET_MAX_SECONDS: i64 = 26 * 3600;
const DAY_SECONDS: i64 = 24 * 3600;

/// When a schedule runs, as it was asked for. Times in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Which times.
    pub when: When,
    /// Name of the time zone that `Cron` counts in.
    pub time_zone: String,
    /// None before.
    pub start: Option<i64>,
    /// None from here on.
    pub end: Option<i64>,
    /// How much later a run may start, in seconds; see [`Times::delay`].
    pub jitter: i64,
    /// What `Every` counts from.
    pub anchor: i64,
}

/// Which times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// Those of a cron expression.
    Cron(String),
    /// One each so many seconds.
    Every(i64),
    /// One.
    At(i64),
}

/// A time of a schedule. In order; at one second those that run stand before those that don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nominal {
    /// When, in seconds since 1970; of a skipped one when it would be, had the clocks not been set.
    pub second: i64,
    /// The zone's clocks do not show it.
    pub skipped: bool,
}

/// The times of a [`Spec`].
#[derive(Clone, Debug)]
pub struct Times {
    rule: Rule,
    start: i64,
    end: i64,
    jitter: i64,
}

#[derive(Clone, Debug)]
enum Rule {
    Cron(Cron, TimeZone),
    Every { anchor: i64, seconds: i64 },
    At(i64),
}

// === impl Nominal ===

impl Nominal {
    /// One that runs.
    pub fn at(second: i64) -> Self {
        Self {
            second,
            skipped: false,
        }
    }

    /// Its number among all; kept in stores.
    pub fn key(self) -> i64 {
        self.second * 2 + i64::from(self.skipped)
    }

    /// The one with that number.
    pub fn of_key(key: i64) -> Self {
        Self {
            second: key.div_euclid(2),
            skipped: key.rem_euclid(2) == 1,
        }
    }
}

// === impl Spec ===

impl Spec {
    /// Its times.
    ///
    /// # Errors
    /// The field that is wrong and what is wrong with it, for people.
    pub fn times(&self) -> Result<Times, (&'static str, String)> {
        let Self {
            when,
            time_zone,
            start,
            end,
            jitter,
            anchor,
        } = self;
        let rule = match when {
            When::Cron(text) => {
                let cron = Cron::parse(text).map_err(|problem| ("cron", problem))?;
                let zone = TimeZone::get(time_zone).map_err(|_| {
                    let problem = "is no time zone; take a name such as Europe/Berlin or UTC";
                    ("time_zone", problem.to_owned())
                })?;
                Rule::Cron(cron, zone)
            }
            When::Every(seconds) => Rule::Every {
                anchor: *anchor,
                seconds: (*seconds).max(1),
            },
            When::At(second) => Rule::At(*second),
        };
        Ok(Times {
            rule,
            start: start.unwrap_or(i64::MIN),
            end: end.unwrap_or(i64::MAX),
            jitter: *jitter,
        })
    }
}

// === impl Times ===

impl Times {
    /// The first times after one of them, up to a second, as many as are wanted.
    pub fn after(&self, after: Nominal, until: i64, limit: usize) -> Vec<Nominal> {
        let until = until.min(self.end.saturating_sub(1));
        let from = after.second.max(self.start);
        let counts =
            |time: &Nominal| *time > after && time.second >= self.start && time.second <= until;
        match &self.rule {
            Rule::At(second) => {
                let times = [Nominal::at(*second)];
                times.into_iter().filter(counts).take(limit).collect()
            }
            Rule::Every { anchor, seconds } => {
                let first = (from - anchor).div_euclid(*seconds).max(0);
                (first..)
                    .map(|nth| Nominal::at(anchor + nth * seconds))
                    .take_while(|time| time.second <= until)
                    .filter(counts)
                    .take(limit)
                    .collect()
            }
            Rule::Cron(cron, zone) => {
                let mut times = cron_times(cron, zone, from, until, counts, limit);
                times.truncate(limit);
                times
            }
        }
    }

    /// The next time after one of them, however far.
    pub fn next(&self, after: Nominal) -> Option<Nominal> {
        let from = after.second.max(self.start);
        let until = from.saturating_add(HORIZON_SECONDS);
        self.after(after, until, 1).into_iter().next()
    }

    /// The next times after a second that run.
    pub fn next_that_run(&self, after: i64, count: usize) -> Vec<i64> {
        let mut last = Nominal {
            second: after,
            skipped: true,
        };
        let mut times = Vec::new();
        while times.len() < count
            && let Some(next) = self.next(last)
        {
            last = next;
            times.extend((!next.skipped).then_some(next.second));
        }
        times
    }

    /// The newest times from one of them on, itself included, up to a second: as many as are wanted, in their order.
    pub fn newest(&self, first: Nominal, until: i64, limit: usize) -> Vec<Nominal> {
        // Doubled until there are enough, so that a long time is not gone through from its beginning.
        let mut span = 3600;
        loop {
            let from = until.saturating_sub(span);
            let whole = from <= first.second;
            let after = if whole {
                Nominal::of_key(first.key() - 1)
            } else {
                Nominal::at(from)
            };
            let mut times = self.after(after, until, usize::MAX);
            if whole || times.len() >= limit {
                return times.split_off(times.len().saturating_sub(limit));
            }
            span *= 2;
        }
    }

    /// How many seconds after a nominal time its run starts: told by the schedule and the time alone, so that many
    /// schedules of one time are spread, and each time always starts at the same moment.
    pub fn delay(&self, schedule: Uuid, time: Nominal) -> i64 {
        if self.jitter <= 0 || time.skipped {
            return 0;
        }
        let mut hash = Sha256::new();
        hash.update(schedule.as_bytes());
        hash.update(time.second.to_be_bytes());
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        i64::from(u32::from_be_bytes([a, b, c, d])) % (self.jitter + 1)
    }
}

/// Times of an expression from about a second on, in order, at least as many as are wanted if there are so many.
fn cron_times(
    cron: &Cron,
    zone: &TimeZone,
    from: i64,
    until: i64,
    counts: impl Fn(&Nominal) -> bool,
    limit: usize,
) -> Vec<Nominal> {
    // Days are gone through by the local calendar. What a day has may stand behind what the next one has, where clocks
    // are set; so a time is taken only when no later day can have an earlier one.
    let mut settled = Vec::new();
    let mut open: BTreeSet<Nominal> = BTreeSet::new();
    let Some(mut date) = date_of(from - OFFSET_MAX_SECONDS) else {
        return settled;
    };
    loop {
        let begins = second_of_utc(date) - OFFSET_MAX_SECONDS;
        while let Some(first) = open.first().copied()
            && first.second < begins
        {
            open.pop_first();
            settled.push(first);
        }
        if begins > until || settled.len() >= limit {
            break;
        }
        if cron.is_on(date) {
            let times = cron.times();
            let times =
                times.flat_map(|(hour, minute)| instants(zone, date.at(hour, minute, 0, 0)));
            open.extend(times.filter(&counts));
        }
        match date.tomorrow() {
            Ok(next) => date = next,
            Err(_) => break,
        }
    }
    settled.extend(open);
    settled
}

/// The moments at which the zone's clocks show a time.
fn instants(zone: &TimeZone, local: DateTime) -> impl Iterator<Item = Nominal> {
    let ambiguous = zone.to_ambiguous_timestamp(local).offset();
    let (first, second, skipped) = match ambiguous {
        AmbiguousOffset::Unambiguous { offset } => (offset, None, false),
        AmbiguousOffset::Gap { before, .. } => (before, None, true),
        AmbiguousOffset::Fold { before, after } => (before, Some(after), false),
    };
    [Some(first), second]
        .into_iter()
        .flatten()
        .filter_map(move |offset| {
            let time = offset.to_timestamp(local).ok()?;
            Some(Nominal {
                second: time.as_second(),
                skipped,
            })
        })
}

/// The date in UTC.
fn date_of(second: i64) -> Option<Date> {
    let time = Timestamp::from_second(second).ok()?;
    Some(time.to_zoned(TimeZone::UTC).date())
}

/// Midnight in UTC.
fn second_of_utc(date: Date) -> i64 {
    let epoch = Date::constant(1970, 1, 1);
    let days = (date - epoch).get_days();
    i64::from(days) * DAY_SECONDS
}

/// A time in whole seconds, rounded down.
pub fn seconds(time: Time) -> i64 {
    time.0.div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::str::FromStr as _;

    fn spec(when: When, time_zone: &str) -> Spec {
        Spec {
            when,
            time_zone: time_zone.into(),
            start: None,
            end: None,
            jitter: 0,
            anchor: 0,
        }
    }

    fn cron(text: &str, time_zone: &str) -> Times {
        let spec = spec(When::Cron(text.into()), time_zone);
        spec.times().expect("it has times")
    }

    fn second(text: &str) -> i64 {
        Timestamp::from_str(text).expect("a time").as_second()
    }

    fn shown(times: &[Nominal]) -> Vec<String> {
        let show = |time: &Nominal| {
            let text = Timestamp::from_second(time.second).expect("in range");
            format!("{text}{}", if time.skipped { " skipped" } else { "" })
        };
        times.iter().map(show).collect()
    }

    fn between(times: &Times, from: &str, until: &str) -> Vec<String> {
        let first = Nominal::at(second(from));
        shown(&times.after(Nominal::of_key(first.key() - 1), second(until), usize::MAX))
    }

    #[test]
    fn a_time_that_clocks_skip_is_skipped_and_one_that_they_show_twice_runs_twice() {
        // New York: 8 March 2026 has no 02:30, 1 November has 01:30 twice.
        let times = cron("30 2 * * *", "America/New_York");
        assert_eq!(
            between(&times, "2026-03-07T00:00:00Z", "2026-03-09T23:00:00Z"),
            [
                "2026-03-07T07:30:00Z",
                "2026-03-08T07:30:00Z skipped",
                "2026-03-09T06:30:00Z",
            ]
        );
        let times = cron("30 1 * * *", "America/New_York");
        assert_eq!(
            between(&times, "2026-10-31T00:00:00Z", "2026-11-02T23:00:00Z"),
            [
                "2026-10-31T05:30:00Z",
                "2026-11-01T05:30:00Z",
                "2026-11-01T06:30:00Z",
                "2026-11-02T06:30:00Z",
            ]
        );
        // Each half hour: the order is that of the moments, and the skipped ones are told apart from those at the same
        // second that run.
        let times = cron("0,30 1-3 * * *", "America/New_York");
        assert_eq!(
            between(&times, "2026-11-01T00:00:00Z", "2026-11-01T09:00:00Z"),
            [
                "2026-11-01T05:00:00Z",
                "2026-11-01T05:30:00Z",
                "2026-11-01T06:00:00Z",
                "2026-11-01T06:30:00Z",
                "2026-11-01T07:00:00Z",
                "2026-11-01T07:30:00Z",
                "2026-11-01T08:00:00Z",
                "2026-11-01T08:30:00Z",
            ]
        );
        assert_eq!(
            between(&times, "2026-03-08T00:00:00Z", "2026-03-08T09:00:00Z"),
            [
                "2026-03-08T06:00:00Z",
                "2026-03-08T06:30:00Z",
                "2026-03-08T07:00:00Z",
                "2026-03-08T07:00:00Z skipped",
                "2026-03-08T07:30:00Z",
                "2026-03-08T07:30:00Z skipped",
            ]
        );
    }

    #[test]
    fn a_whole_day_may_be_missing_and_half_hours_count() {
        // Samoa went from 29 to 31 December 2011; Lord Howe's clocks are set by half an hour.
        let times = cron("0 12 * * *", "Pacific/Apia");
        assert_eq!(
            between(&times, "2011-12-29T00:00:00Z", "2011-12-31T23:00:00Z"),
            [
                "2011-12-29T22:00:00Z",
                "2011-12-30T22:00:00Z",
                "2011-12-30T22:00:00Z skipped",
                "2011-12-31T22:00:00Z",
            ]
        );
        let times = cron("45 1 * * *", "Australia/Lord_Howe");
        assert_eq!(
            between(&times, "2026-04-04T00:00:00Z", "2026-04-05T00:00:00Z"),
            ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"]
        );
    }

    #[test]
    fn rare_days_are_found_and_impossible_ones_are_not() {
        let times = cron("0 0 29 2 *", "UTC");
        let after = second("2097-01-01T00:00:00Z");
        let next = times.next_that_run(after, 2);
        assert_eq!(
            next,
            [
                second("2104-02-29T00:00:00Z"),
                second("2108-02-29T00:00:00Z")
            ]
        );
        assert_eq!(cron("0 0 30 2 *", "UTC").next(Nominal::at(after)), None);
    }

    #[test]
    fn intervals_count_from_their_anchor_and_bounds_hold() {
        let mut spec = spec(When::Every(90), "UTC");
        spec.anchor = 1000;
        let times = spec.times().expect("times");
        assert_eq!(times.next_that_run(0, 3), [1000, 1090, 1180]);
        assert_eq!(times.next_that_run(1090, 2), [1180, 1270]);
        spec.start = Some(1100);
        spec.end = Some(1270);
        let times = spec.times().expect("times");
        assert_eq!(times.next_that_run(0, 9), [1180]);
        let at = super::tests::spec(When::At(500), "UTC")
            .times()
            .expect("times");
        assert_eq!(at.next_that_run(499, 9), [500]);
        assert_eq!(at.next_that_run(500, 9), [0; 0]);
    }

    #[test]
    fn the_newest_of_a_long_time_are_found_from_its_end() {
        let times = cron("* * * * *", "Europe/Berlin");
        let until = second("2026-11-30T09:00:30Z");
        let newest = times.newest(Nominal::at(0), until, 100);
        assert_eq!(newest.len(), 100);
        assert_eq!(newest[99], Nominal::at(second("2026-11-30T09:00:00Z")));
        assert_eq!(newest[0].second, newest[99].second - 99 * 60);
        // The first one is one of them.
        assert_eq!(times.newest(newest[98], until, 100), newest[98..]);
    }

    #[test]
    fn the_delay_is_within_the_jitter_and_always_the_same() {
        let mut spec = spec(When::Every(60), "UTC");
        spec.jitter = 30;
        let times = spec.times().expect("times");
        let schedule = Uuid::from_u128(7);
        let delays: BTreeSet<i64> = (0..200)
            .map(|nth| times.delay(schedule, Nominal::at(nth * 60)))
            .collect();
        assert!(delays.iter().all(|delay| (0..=30).contains(delay)));
        assert!(delays.len() > 20, "they are spread: {delays:?}");
        assert_eq!(
            times.delay(schedule, Nominal::at(60)),
            times.delay(schedule, Nominal::at(60))
        );
    }

    /// A field's text, of a kind that croner reads alike.
    fn field(first: u32, last: u32) -> impl Strategy<Value = String> {
        let number = first..=last;
        prop_oneof![
            3 => Just("*".to_owned()),
            2 => number.clone().prop_map(|n| n.to_string()),
            1 => proptest::collection::vec(number.clone(), 1..4).prop_map(|list| {
                let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                list.join(",")
            }),
            1 => (number.clone(), number.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            1 => (number.clone(), number, 1..=5u32)
                .prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Against an established implementation, in a zone without transitions.
        #[test]
        fn times_are_those_that_croner_finds(
            minute in field(0, 59), hour in field(0, 23), day in field(1, 28), month in field(1, 12),
            weekday in field(0, 6), from in 1_700_000_000i64..1_900_000_000,
        ) {
            let text = format!("{minute} {hour} {day} {month} {weekday}");
            let ours = cron(&text, "UTC").next_that_run(from, 5);
            let theirs = croner::Cron::from_str(&text).expect("croner reads it");
            let from = chrono::DateTime::from_timestamp(from, 0).expect("in range");
            let theirs: Vec<i64> = theirs
                .iter_after(from)
                .take(5)
                .map(|time| time.timestamp())
                .collect();
            prop_assert_eq!(ours, theirs, "{}", text);
        }

        #[test]
        fn times_are_in_order_and_each_is_one(minute in field(0, 59), hour in field(0, 23),
            from in 1_700_000_000i64..1_900_000_000)
        {
            let text = format!("{minute} {hour} * * *");
            for zone in ["America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca"] {
                let times = cron(&text, zone);
                let all = times.after(Nominal::at(from), from + 400 * DAY_SECONDS, 3000);
                prop_assert!(all.is_sorted_by(|one, next| one < next), "{} {}", text, zone);
                // The same, asked for one by one.
                let mut last = Nominal::at(from);
                for time in all.iter().take(20) {
                    let next = times.next(last);
                    prop_assert_eq!(next, Some(*time));
                    last = *time;
                }
            }
        }
    }
}
