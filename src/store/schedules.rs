//! What is asked of the store about schedules.

use super::core::commands::{Enqueue, RequestKey};
use crate::domain::{
    access::Identity,
    ids::Time,
    refusal::Refusal,
    schedule::{Outcome, Plan, Rules, Schedule, ScheduleRun, Trigger},
    times::Nominal,
};
use std::sync::Arc;
use uuid::Uuid;

/// Who changes which of its schedules, and when.
#[derive(Clone, Debug)]
pub struct ScheduleCaller {
    /// Who calls: the schedule's owner.
    pub identity: Arc<Identity>,
    /// Name of the schedule.
    pub name: String,
    /// Set where the caller gave a `request_id`.
    pub request: Option<RequestKey>,
    /// When, by the clock of ages.
    pub now: Time,
    /// When, by the system's clock.
    pub wall: Time,
    /// When its right ends, where no key of it is looked up.
    pub until: Option<Time>,
}

/// A schedule that is made.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    /// Who makes it.
    pub caller: ScheduleCaller,
    /// What it says.
    pub rules: Rules,
    /// What each run asks for, an encoded EnqueueRequest.
    pub request: Vec<u8>,
    /// It starts nothing by itself.
    pub paused: bool,
    /// Why.
    pub pause_reason: String,
    /// So many runs; `None` is without end.
    pub remaining_runs: Option<i64>,
}

/// Another content of a schedule, all of it; its owner's credential is the caller's from then on.
#[derive(Clone, Debug)]
pub struct ScheduleUpdate {
    /// The content.
    pub new: NewSchedule,
    /// [`Schedule::version`] that it was made from; where it is another one now, nothing is changed.
    pub version: i64,
}

/// A run of a schedule, or what else a look at the clock came to.
#[derive(Clone, Debug)]
pub struct ScheduleStep {
    /// The schedule that was looked at. Where it has changed since, nothing is done.
    pub schedule: Schedule,
    /// Rows and the next time; of a manual run nothing.
    pub plan: Plan,
    /// What is started.
    pub start: Option<ScheduleStart>,
    /// The system's clock.
    pub wall: Time,
}

/// What is started of a schedule.
#[derive(Clone, Debug)]
pub struct ScheduleStart {
    /// Its nominal time; `None` for a manual one.
    pub time: Option<Nominal>,
    /// What starts it.
    pub trigger: Trigger,
    /// Names the run.
    pub run_id: Uuid,
    /// Key of its session.
    pub session_key: String,
    /// Its turn, or why there can be none.
    pub command: Result<Box<Enqueue>, Refusal>,
}

/// Schedules of a page, and where the next one begins.
pub type SchedulesPage = (Vec<Schedule>, Option<i64>);
/// Runs of a page, and where the next one begins.
pub type RunsPage = (Vec<ScheduleRun>, Option<i64>);

// === impl ScheduleStart ===

impl ScheduleStart {
    /// The bare result of the start, before what came of it is known.
    pub(crate) fn run(&self, wall: Time) -> ScheduleRun {
        let scheduled_time = self
            .time
            .map_or(wall, |time| Time(time.second.saturating_mul(1_000_000)));
        ScheduleRun {
            run_id: self.run_id,
            scheduled_time,
            start_time: wall,
            trigger: self.trigger,
            outcome: Outcome::Refused,
            reason: String::new(),
            session_key: self.session_key.clone(),
            turn_id: None,
        }
    }
}
