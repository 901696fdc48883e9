//! Schedules: what they say, what they did, and what a look at the clock comes to.
//!
//! [`plan`] is the one place that decides which nominal times run, and which are missed. It sees one schedule, its next
//! nominal time and the time of the system's clock; a clock that was set changes only what is due, never what was done:
//! the next nominal time only grows.

use super::{
    access::{Credential, Identity, Scopes},
    ids::{Principal, SessionKey, Time},
    times::{Nominal, Spec, Times, seconds},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// Schedules of a tenant.
pub const SCHEDULES_MAX: i64 = 1000;
/// Runs that are kept of a schedule, the newest; and what is caught up of missed ones at most.
pub const RUNS_KEPT: usize = 100;
/// Largest request that a schedule keeps, in bytes as it is encoded.
pub const SCHEDULED_REQUEST_MAX_BYTES: usize = 64 * 1024;
/// Shortest and longest interval of `every`.
pub const EVERY_MIN: Duration = Duration::from_secs(60);
/// The longest one.
pub const EVERY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Longest `jitter`.
pub const JITTER_MAX: Duration = Duration::from_secs(3600);
/// `missed_window` where none is given.
pub const MISSED_WINDOW_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// The longest one.
pub const MISSED_WINDOW_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// `pause_after_failures` where none is given.
pub const PAUSE_AFTER_DEFAULT: i32 = 5;
/// Longest `pause_reason`, in bytes.
pub const PAUSE_REASON_MAX_BYTES: usize = 256;
/// Next times that are told with a schedule.
pub const NEXT_TIMES: usize = 5;
/// Times that PreviewSchedule tells at most.
pub const PREVIEW_MAX: usize = 100;
/// A run that starts later than this after its time was missed.
pub const LATE_MAX: Duration = Duration::from_secs(60);

/// What to do while an earlier run's turn is not finished. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// No run.
    Skip = 1,
    /// One run waits in the queue, others are skipped.
    BufferOne = 2,
    /// Each run waits in the queue.
    Queue = 3,
    /// The earlier run is canceled where it is active, and this one is next.
    Interrupt = 4,
    /// Both run, each in its own session.
    Allow = 5,
}

/// What to do with times that passed while nothing ran. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missed {
    /// The newest one runs.
    RunOnce = 1,
    /// None.
    Skip = 2,
    /// Each one runs.
    All = 3,
}

/// In which session it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionMode {
    /// Always in the request's.
    Same,
    /// Each in one of its own, whose key is made of this.
    New(String),
}

/// What a schedule says beside the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// When.
    pub spec: Spec,
    /// Where.
    pub session: SessionMode,
    /// Beside an earlier run.
    pub overlap: Overlap,
    /// After its time.
    pub missed: Missed,
    /// How long after its time a missed one runs, in seconds.
    pub missed_window: i64,
    /// So many runs after each other that failed pause it; 0 is never.
    pub pause_after_failures: i32,
}

/// Who a schedule runs as: whoever made it, with what its credential allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Who.
    pub principal: Principal,
    /// API key that it was made with; empty for other credentials.
    pub key_id: String,
    /// What it may do: of a key, what that allows now.
    pub scopes: Scopes,
    /// The key still is valid; true without one.
    pub valid: bool,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The store's row.
    pub row: i64,
    /// Names it for ever; its runs' request ids are made of it.
    pub uid: Uuid,
    /// Name among its owner's.
    pub name: String,
    /// Who it runs as.
    pub owner: Owner,
    /// What it says.
    pub rules: Rules,
    /// What each run asks for, an encoded EnqueueRequest.
    pub request: Vec<u8>,
    /// It starts nothing by itself.
    pub paused: bool,
    /// Why; a reason of the contract, or its owner's own words.
    pub pause_reason: String,
    /// So many more runs; `None` is without end.
    pub remaining_runs: Option<i64>,
    /// The first nominal time that has no row yet; `None` where none is to come.
    pub next: Option<Nominal>,
    /// Grows with each change and each run.
    pub version: i64,
}

/// What started a run. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// Its time.
    Time = 1,
    /// Its time, some while ago.
    CatchUp = 2,
    /// RunScheduleNow.
    Manual = 3,
}

/// What came of a run. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// There is a turn.
    Started = 1,
    /// The schedule's rules said no.
    Skipped = 2,
    /// Its request was refused.
    Refused = 3,
}

/// One run, or why there was none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRun {
    /// Names it.
    pub run_id: Uuid,
    /// Its nominal time; of a manual one when it was asked for.
    pub scheduled_time: Time,
    /// When it was done.
    pub start_time: Time,
    /// What started it.
    pub trigger: Trigger,
    /// What came of it.
    pub outcome: Outcome,
    /// Why no turn came of it.
    pub reason: String,
    /// The turn's session.
    pub session_key: String,
    /// The turn.
    pub turn_id: Option<Uuid>,
}

/// Why a schedule's rules said no. The names are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// An earlier run is not finished.
    Overlap,
    /// It was too late for it.
    Missed,
    /// The zone's clocks did not show it.
    DstGap,
    /// The schedule was paused instead.
    Paused,
}

/// What is to be done at one look at the clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Times that do not run.
    pub skipped: Vec<(Nominal, Skip)>,
    /// The one that does.
    pub run: Option<(Nominal, Trigger)>,
    /// The first time that has no row after that.
    pub next: Option<Nominal>,
}

/// What is due of a schedule whose next nominal time is `next`. At most one time runs; where more are due, the next look
/// tells of them.
///
/// Of a time in which more than [`RUNS_KEPT`] passed, the newest alone have rows: others would not be kept either.
pub fn plan(rules: &Rules, times: &Times, uid: Uuid, next: Nominal, now: Time) -> Plan {
    let now = seconds(now);
    let due = times.newest(next, now, RUNS_KEPT);
    // One that is delayed holds up those behind it.
    let is_due = |time: &&Nominal| time.second + times.delay(uid, **time) <= now;
    let ready = &due[..due.iter().take_while(is_due).count()];
    let Some(newest) = ready.last().copied() else {
        let first = due.first().copied();
        return Plan {
            next: first.or_else(|| first_from(times, next)),
            ..Plan::default()
        };
    };
    let late = |time: &Nominal| {
        let since = now - time.second - times.delay(uid, *time);
        since > LATE_MAX.as_secs().cast_signed()
    };
    let in_window = |time: &Nominal| now - time.second <= rules.missed_window;
    let mut real = ready.iter().filter(|time| !time.skipped);
    let chosen = match rules.missed {
        Missed::Skip => real.find(|time| !late(time)),
        Missed::All => real.find(|time| !late(time) || in_window(time)),
        Missed::RunOnce => {
            let on_time = real.clone().find(|time| !late(time));
            on_time.or_else(|| real.next_back().filter(|time| in_window(time)))
        }
    };
    let chosen = chosen.copied();
    let end = chosen.unwrap_or(newest);
    let skipped = ready
        .iter()
        .filter(|time| **time <= end && Some(**time) != chosen);
    let skipped = skipped.map(|time| match time.skipped {
        true => (*time, Skip::DstGap),
        false => (*time, Skip::Missed),
    });
    let trigger = |time: Nominal| match late(&time) {
        true => Trigger::CatchUp,
        false => Trigger::Time,
    };
    Plan {
        skipped: skipped.collect(),
        run: chosen.map(|time| (time, trigger(time))),
        next: times.next(end),
    }
}

/// The first time that is not before one.
fn first_from(times: &Times, first: Nominal) -> Option<Nominal> {
    times.next(Nominal::of_key(first.key() - 1))
}

/// Whether a run may start beside the unfinished ones of its schedule, and whether it interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// It may.
    Go,
    /// It may, and the active one ends.
    Interrupt,
    /// It may not.
    Skip,
}

/// What an overlap policy says; of the unfinished runs it is known how many wait, and how many are active.
pub fn beside(overlap: Overlap, waiting: usize, active: usize) -> Beside {
    match overlap {
        Overlap::Skip if waiting + active > 0 => Beside::Skip,
        Overlap::BufferOne if waiting > 0 => Beside::Skip,
        Overlap::Interrupt if active > 0 => Beside::Interrupt,
        Overlap::Skip
        | Overlap::BufferOne
        | Overlap::Queue
        | Overlap::Interrupt
        | Overlap::Allow => Beside::Go,
    }
}

// === impl Schedule ===

impl Schedule {
    /// When its next nominal time is to be looked at; `None` where it starts nothing by itself.
    pub fn due_time(&self, times: &Times) -> Option<Time> {
        let next = self.next?;
        if self.paused || self.remaining_runs == Some(0) {
            return None;
        }
        let second = next.second + times.delay(self.uid, next);
        Some(Time(second.saturating_mul(1_000_000)))
    }

    /// Key of the session of a run at that time.
    pub fn session_key(&self, same: &str, second: i64) -> String {
        match &self.rules.session {
            SessionMode::Same => same.to_owned(),
            SessionMode::New(template) => session_key(template, &self.name, second),
        }
    }

    /// Who it runs as.
    pub fn identity(&self) -> Identity {
        self.owner.identity()
    }
}

// === impl Owner ===

impl Owner {
    /// Who something is done as.
    pub fn identity(&self) -> Identity {
        let Self {
            principal,
            key_id,
            scopes,
            valid: _,
        } = self;
        let credential = match key_id.as_str() {
            "" => Credential::None,
            key_id => Credential::ApiKey(key_id.to_owned()),
        };
        Identity::new(principal.clone(), *scopes, credential, None)
    }
}

/// Key of a new session: `{schedule}` is the schedule's name, `{time}` the run's time in UTC as 20261201T090000Z, `{unix}`
/// the same in seconds since 1970.
fn session_key(template: &str, name: &str, second: i64) -> String {
    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
    template
        .replace("{schedule}", name)
        .replace("{time}", &time.strftime("%Y%m%dT%H%M%SZ").to_string())
        .replace("{unix}", &second.to_string())
}

/// What is wrong with a template of session keys, for people.
pub fn template_problem(template: &str, name: &str) -> Option<String> {
    if !template.contains("{time}") && !template.contains("{unix}") {
        return Some(
            "must hold {time} or {unix}, so that each run has a session of its own".into(),
        );
    }
    // The longest that it can become within this century and the next.
    let key = session_key(template, name, 4_102_444_800);
    let problem = SessionKey::parse(&key).err();
    problem.map(|problem| format!("makes keys such as {key:?}, which {problem}"))
}

// === impl Skip ===

impl Skip {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlap => "OVERLAP",
            Self::Missed => "MISSED",
            Self::DstGap => "DST_GAP",
            Self::Paused => "PAUSED",
        }
    }
}

// === impl Trigger ===

impl Trigger {
    /// The one with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        let all = [Self::Time, Self::CatchUp, Self::Manual];
        all.into_iter().find(|one| *one as i64 == number)
    }
}

// === impl Outcome ===

impl Outcome {
    /// The one with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        let all = [Self::Started, Self::Skipped, Self::Refused];
        all.into_iter().find(|one| *one as i64 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::times::When;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const HOUR: i64 = 3600;

    fn rules(missed: Missed) -> Rules {
        Rules {
            spec: Spec {
                when: When::Every(HOUR),
                time_zone: "UTC".into(),
                start: None,
                end: None,
                jitter: 0,
                anchor: 0,
            },
            session: SessionMode::Same,
            overlap: Overlap::Skip,
            missed,
            missed_window: 4 * HOUR,
            pause_after_failures: 5,
        }
    }

    fn at(second: i64) -> Time {
        Time(second * 1_000_000)
    }

    /// Hours that were missed, hours that ran in how many looks, and the next one.
    fn looks(rules: &Rules, next: i64, now: i64) -> (Vec<i64>, Vec<(i64, Trigger)>, i64) {
        let times = rules.spec.times().expect("times");
        let mut next = Nominal::at(next * HOUR);
        let (mut missed, mut ran) = (Vec::new(), Vec::new());
        loop {
            let plan = plan(rules, &times, Uuid::nil(), next, at(now));
            missed.extend(plan.skipped.iter().map(|(time, _)| time.second / HOUR));
            next = plan.next.expect("it goes on for ever");
            match plan.run {
                Some((time, trigger)) => ran.push((time.second / HOUR, trigger)),
                None => return (missed, ran, next.second / HOUR),
            }
        }
    }

    #[test]
    fn what_was_missed_runs_as_the_schedule_says() {
        use Trigger::{CatchUp, Time};
        let now = 10 * HOUR;
        // On time.
        for missed in [Missed::RunOnce, Missed::Skip, Missed::All] {
            let found = looks(&rules(missed), 10, now + 5);
            assert_eq!(found, (vec![], vec![(10, Time)], 11), "{missed:?}");
        }
        // Not yet.
        assert_eq!(looks(&rules(Missed::All), 11, now), (vec![], vec![], 11));
        // Hours after; four of them are within the window.
        let after = now + 1800;
        let found = looks(&rules(Missed::Skip), 3, after);
        assert_eq!(found, ((3..=10).collect(), vec![], 11));
        let found = looks(&rules(Missed::RunOnce), 3, after);
        assert_eq!(found, ((3..=9).collect(), vec![(10, CatchUp)], 11));
        let found = looks(&rules(Missed::All), 3, after);
        let four = (7..=10).map(|hour| (hour, CatchUp)).collect();
        assert_eq!(found, ((3..=6).collect(), four, 11));
        // A time that is now comes before those that were missed, and is no catching up.
        let found = looks(&rules(Missed::RunOnce), 3, now);
        assert_eq!(found, ((3..=9).collect(), vec![(10, Time)], 11));
        // Beyond the window.
        let mut short = rules(Missed::RunOnce);
        short.missed_window = 600;
        assert_eq!(looks(&short, 3, after), ((3..=10).collect(), vec![], 11));
    }

    #[test]
    fn keys_of_new_sessions_are_made_of_their_time() {
        assert_eq!(
            session_key("{schedule}-{time}", "daily", 1_796_115_600),
            "daily-20261201T090000Z"
        );
        assert_eq!(template_problem("{schedule}:{unix}", "daily"), None);
        assert!(template_problem("daily", "daily").is_some());
        assert!(template_problem("a b {unix}", "daily").is_some());
        assert!(template_problem(&"x".repeat(125).replace('x', "{unix}"), "d").is_some());
    }

    proptest! {
        /// However the clock goes, forward, back, by seconds or by hours: no nominal time is told of twice, none is left
        /// out, and none runs before its time by the clock that was looked at.
        #[test]
        fn a_clock_that_jumps_neither_repeats_nor_loses(
            jumps in proptest::collection::vec(-6 * HOUR..8 * HOUR, 1..60),
            missed in prop_oneof![Just(Missed::RunOnce), Just(Missed::Skip), Just(Missed::All)],
            jitter in prop_oneof![Just(0i64), Just(900i64)],
        ) {
            let mut rules = rules(missed);
            rules.spec.jitter = jitter;
            let times = rules.spec.times().expect("times");
            let uid = Uuid::from_u128(42);
            let first = Nominal::at(1000 * HOUR);
            let (mut clock, mut farthest) = (1000 * HOUR - 1, 0);
            let mut next = first;
            let mut told: BTreeMap<Nominal, u32> = BTreeMap::new();
            for jump in jumps {
                clock += jump;
                farthest = farthest.max(clock);
                loop {
                    let plan = plan(&rules, &times, uid, next, at(clock));
                    for (time, _) in &plan.skipped {
                        *told.entry(*time).or_default() += 1;
                    }
                    let after = plan.next.expect("it goes on");
                    prop_assert!(after >= next);
                    next = after;
                    let Some((time, _)) = plan.run else { break };
                    prop_assert!(time.second + times.delay(uid, time) <= clock);
                    *told.entry(time).or_default() += 1;
                }
            }
            prop_assert!(told.values().all(|count| *count == 1), "{told:?}");
            let until = (farthest - jitter).div_euclid(HOUR);
            // All that were due by the farthest look, but for those before the newest hundred.
            let due = (1000..=until).map(|hour| Nominal::at(hour * HOUR));
            for time in due {
                prop_assert!(told.contains_key(&time) || told.len() >= RUNS_KEPT, "{time:?}");
            }
        }
    }
}
