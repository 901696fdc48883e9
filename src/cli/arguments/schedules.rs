//! What `schedules` takes.

use super::{ClientArgs, Interrupt, NewSessionArgs, pair, time};
use clap::{Args, Subcommand, ValueEnum};
use prost_types::Timestamp;
use quarterdeck::proto::{MissedPolicy, OverlapPolicy};
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct SchedulesArgs {
    #[command(subcommand)]
    pub(crate) command: SchedulesVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchedulesVerb {
    /// Make a schedule: a prompt that is sent again at its times.
    ///
    /// It runs as you, with the key that it was made with, also while you are away. Each time has one run, which `runs`
    /// lists: started, skipped, or refused.
    Create(Box<CreateScheduleArgs>),
    /// List your schedules.
    List(ClientArgs),
    /// Show a schedule, with the next times that it runs.
    Show(NamedScheduleArgs),
    /// Change a schedule, pause it or resume it; what is not named stays.
    Update(Box<UpdateScheduleArgs>),
    /// Delete a schedule and the list of its runs; turns that it made stay.
    Delete(NamedScheduleArgs),
    /// Run a schedule now, also a paused one.
    Run(NamedScheduleArgs),
    /// Print the next times of a cron expression or an interval.
    Preview(PreviewScheduleArgs),
    /// List the runs of a schedule, newest first.
    Runs(ScheduleRunsArgs),
}

/// When a schedule runs.
#[derive(Clone, Debug, Args)]
pub(crate) struct SpecArgs {
    /// Minute, hour, day of the month, month, day of the week, such as '0 9 * * MON-FRI'
    #[arg(long, value_name = "EXPRESSION", group = "when")]
    pub(crate) cron: Option<String>,
    /// Interval, from 1min on, such as 6h
    #[arg(long, value_name = "DURATION", group = "when", value_parser = humantime::parse_duration)]
    pub(crate) every: Option<Duration>,
    /// Once, such as 2026-12-24T18:00:00+01:00
    #[arg(long, value_name = "TIME", group = "when", value_parser = time)]
    pub(crate) at: Option<Timestamp>,
    /// Time zone of --cron, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "NAME", requires = "when")]
    pub(crate) zone: Option<String>,
    /// No run before this time
    #[arg(long, value_name = "TIME", requires = "when", value_parser = time)]
    pub(crate) start: Option<Timestamp>,
    /// No run from this time on
    #[arg(long, value_name = "TIME", requires = "when", value_parser = time)]
    pub(crate) end: Option<Timestamp>,
    /// Runs start up to this much later, each schedule at another moment, at most 1h
    #[arg(long, value_name = "DURATION", requires = "when", value_parser = humantime::parse_duration)]
    pub(crate) jitter: Option<Duration>,
}

/// What a schedule does beside its request.
#[derive(Clone, Debug, Args)]
pub(crate) struct PolicyArgs {
    /// What to do while a turn of an earlier run is not finished [default: skip]
    #[arg(long, value_enum)]
    pub(crate) overlap: Option<Overlap>,
    /// What to do with times that passed while the server did not run [default: run-once]
    #[arg(long, value_enum)]
    pub(crate) missed: Option<Missed>,
    /// How long after its time a missed one may run [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) missed_window: Option<Duration>,
    /// Pause after so many failed runs in a row; 0 never does [default: 5]
    #[arg(long, value_name = "RUNS")]
    pub(crate) pause_after: Option<i32>,
    /// Stop after so many runs [default: never]
    #[arg(long, value_name = "RUNS")]
    pub(crate) runs: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateScheduleArgs {
    /// Name of the schedule
    pub(crate) name: String,
    /// Prompt of each run; words are joined by blanks. Without any it is read from standard input
    #[arg(value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Session of each run; made when missing [default: the schedule's name]
    #[arg(long, value_name = "SESSION", conflicts_with = "new_sessions")]
    pub(crate) session: Option<String>,
    /// Each run has a session of its own, `NAME-TIME`
    #[arg(long)]
    pub(crate) new_sessions: bool,
    /// Key of these sessions; {schedule}, {time} and {unix} are put in
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TEMPLATE",
        requires = "new_sessions"
    )]
    pub(crate) key_template: String,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Begin paused
    #[arg(long)]
    pub(crate) paused: bool,
    /// What a crash of the server does to a turn [default: the agent's choice]
    #[arg(long, value_enum)]
    pub(crate) on_interrupt: Option<Interrupt>,
    /// How long a turn may run, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) turn_timeout: Option<Duration>,
    /// Own fact to keep with each turn; may be repeated
    #[arg(long = "metadata", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) metadata: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) new: NewSessionArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateScheduleArgs {
    /// Name of the schedule
    pub(crate) name: String,
    /// Another prompt
    #[arg(long)]
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Start nothing until it is resumed; for people why
    #[arg(
        long,
        value_name = "REASON",
        num_args = 0..=1,
        default_missing_value = "",
        conflicts_with = "resume"
    )]
    pub(crate) pause: Option<String>,
    /// Go on with the next time to come
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NamedScheduleArgs {
    /// Name of the schedule
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PreviewScheduleArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// How many times, at most 100
    #[arg(long, default_value_t = 5)]
    pub(crate) count: i32,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleRunsArgs {
    /// Name of the schedule
    pub(crate) name: String,
    /// Print at most this many
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overlap {
    /// No run
    Skip,
    /// One run waits in the queue
    BufferOne,
    /// Each run waits in the queue
    Queue,
    /// The earlier turn is canceled
    Interrupt,
    /// Both run; with --new-sessions
    Allow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Missed {
    /// The newest runs
    RunOnce,
    /// None runs
    Skip,
    /// Each runs
    All,
}

impl From<Overlap> for OverlapPolicy {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Skip => Self::Skip,
            Overlap::BufferOne => Self::BufferOne,
            Overlap::Queue => Self::Queue,
            Overlap::Interrupt => Self::Interrupt,
            Overlap::Allow => Self::Allow,
        }
    }
}

impl From<Missed> for MissedPolicy {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::RunOnce => Self::RunOnce,
            Missed::Skip => Self::Skip,
            Missed::All => Self::All,
        }
    }
}
