//! What the commands take that give work to sessions, follow it and stop it.

use super::{ClientArgs, pair};
use clap::{Args, ValueEnum};
use quarterdeck::proto::{OnBusy, OnInterrupt};
use std::{path::PathBuf, time::Duration};

/// What a new session is made with; an existing one keeps what it has.
#[derive(Clone, Debug, Args)]
pub(crate) struct NewSessionArgs {
    /// Agent of a new session
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) agent: String,
    /// Model of a new session
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) model: String,
    /// Thinking level of a new session
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) thinking_level: String,
    /// Working directory of a new session, on the server
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "DIR"
    )]
    pub(crate) cwd: String,
    /// Name for people of a new session
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) display_name: String,
    /// Label of a new session; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    /// Session to talk in; made when missing
    #[arg(default_value = "main")]
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) new: NewSessionArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Session to run in; made when missing
    pub(crate) session: String,
    /// Prompt; words are joined by blanks. Without any it is read from standard input
    #[arg(value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// Print the turn's id once it is accepted, and leave
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// What to do while a turn runs or waits
    #[arg(long, value_enum, default_value = "enqueue")]
    pub(crate) on_busy: Busy,
    /// What a crash of the server does to the turn [default: the agent's choice]
    #[arg(long, value_enum)]
    pub(crate) on_interrupt: Option<Interrupt>,
    /// How long the turn may run, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) turn_timeout: Option<Duration>,
    /// How long the turn may wait in the queue
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) queue_ttl: Option<Duration>,
    /// Stop the turn when this command is gone for 5 seconds
    #[arg(long, conflicts_with = "detach")]
    pub(crate) cancel_on_disconnect: bool,
    /// File to go with the prompt; may be repeated
    #[arg(long = "attach", value_name = "FILE")]
    pub(crate) attachments: Vec<PathBuf>,
    /// Where the prompt comes from, for people
    #[arg(long, default_value = "cli")]
    pub(crate) source: String,
    /// Own fact to keep with the turn; may be repeated
    #[arg(long = "metadata", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Makes a repeat of this command safe: the same id never runs twice [default: a new one]
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    pub(crate) request_id: String,
    #[command(flatten)]
    pub(crate) new: NewSessionArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Session to follow
    #[arg(default_value = "main")]
    pub(crate) session: String,
    /// Begin with the oldest event that is kept
    #[arg(long, conflicts_with = "after")]
    pub(crate) from_oldest: bool,
    /// Begin after this position
    #[arg(long, value_name = "SEQ")]
    pub(crate) after: Option<i64>,
    /// Log that the position counts in; another one is refused
    #[arg(
        long,
        value_name = "ID",
        requires = "after",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) log_id: String,
    /// Kinds of events, such as turn_ended,message_completed
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    pub(crate) kinds: Vec<String>,
    /// Leave out deltas: only what is durable
    #[arg(long)]
    pub(crate) no_deltas: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SteerArgs {
    /// The session
    pub(crate) session: String,
    /// Text; words are joined by blanks. Without any it is read from standard input
    #[arg(value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// Refuse unless this turn is the running one
    #[arg(
        long = "turn",
        default_value = "",
        hide_default_value = true,
        value_name = "ID"
    )]
    pub(crate) turn_id: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AbortArgs {
    /// The session
    #[arg(default_value = "main")]
    pub(crate) session: String,
    /// Turn to stop, running or waiting [default: the running one]
    #[arg(
        long = "turn",
        default_value = "",
        hide_default_value = true,
        value_name = "ID"
    )]
    pub(crate) turn_id: String,
    /// Reject every waiting turn too
    #[arg(long)]
    pub(crate) clear_queue: bool,
    /// End the turn's processes at once
    #[arg(long, conflicts_with = "grace")]
    pub(crate) kill: bool,
    /// Time after which they are ended [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) grace: Option<Duration>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// The session
    #[arg(default_value = "main")]
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The session; there is no default
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    /// The session
    #[arg(default_value = "main")]
    pub(crate) session: String,
    /// Take this turn from the queue
    #[arg(long, value_name = "TURN", group = "change")]
    pub(crate) remove: Option<String>,
    /// Take all waiting turns from the queue
    #[arg(long, group = "change")]
    pub(crate) clear: bool,
    /// Change this turn, by --text or --position
    #[arg(long, value_name = "TURN", group = "change", requires = "edit")]
    pub(crate) update: Option<String>,
    /// New text
    #[arg(long, requires = "update", group = "edit")]
    pub(crate) text: Option<String>,
    /// New place: waiting turns ahead of it
    #[arg(long, requires = "update", group = "edit")]
    pub(crate) position: Option<i32>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Busy {
    /// Wait at the queue's tail
    Enqueue,
    /// Refuse
    Reject,
    /// Go first, and cancel the running turn
    Interrupt,
    /// Steer the running turn where there is one
    Steer,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Interrupt {
    /// It ends INTERRUPTED
    Mark,
    /// It runs again
    Retry,
}

impl From<Busy> for OnBusy {
    fn from(busy: Busy) -> Self {
        match busy {
            Busy::Enqueue => Self::Enqueue,
            Busy::Reject => Self::Reject,
            Busy::Interrupt => Self::Interrupt,
            Busy::Steer => Self::SteerOrEnqueue,
        }
    }
}

impl From<Interrupt> for OnInterrupt {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Mark => Self::Mark,
            Interrupt::Retry => Self::Retry,
        }
    }
}
