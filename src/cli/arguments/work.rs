//! What the commands take that give work to sessions, follow it and stop it.

use super::{ClientArgs, pair, time};
use clap::{Args, Subcommand, ValueEnum};
use prost_types::Timestamp;
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
pub(crate) struct AcpArgs {
    /// Session that every conversation of the editor is; made when missing. Without it each has a session of its own
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "KEY"
    )]
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) new: NewSessionArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
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
    /// Enter the queue at this time, at most 90 days away, such as 2026-12-24T18:00:00+01:00; prints the turn's id and leaves
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with_all = ["after", "on_busy", "cancel_on_disconnect"])]
    pub(crate) at: Option<Timestamp>,
    /// Enter the queue after this long, such as 2h; prints the turn's id and leaves
    #[arg(
        long = "in",
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        conflicts_with_all = ["on_busy", "cancel_on_disconnect"]
    )]
    pub(crate) after: Option<Duration>,
    /// Stop the turn when this command is gone for 5 seconds
    #[arg(long, conflicts_with = "detach")]
    pub(crate) cancel_on_disconnect: bool,
    /// File to go with the prompt; may be repeated
    #[arg(long = "attach", value_name = "FILE")]
    pub(crate) attachments: Vec<PathBuf>,
    /// JSON Schema that the answer is to meet: prints the JSON, and nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "detach")]
    pub(crate) output_schema: Option<PathBuf>,
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
    /// Show what sub-agents say and do, too
    #[arg(long)]
    pub(crate) subagents: bool,
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
pub(crate) struct CommandsArgs {
    /// The session
    #[arg(default_value = "main")]
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CommandArgs {
    /// The session
    pub(crate) session: String,
    /// Name of the command, without the slash
    pub(crate) name: String,
    /// What goes after it
    pub(crate) arguments: Vec<String>,
    /// Don't wait for the turn that it becomes
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CompactArgs {
    /// The session
    #[arg(default_value = "main")]
    pub(crate) session: String,
    /// What the summary is to keep
    pub(crate) instructions: Vec<String>,
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

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct QuestionsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<QuestionsVerb>,
    /// Of this session [default: all that you may see]
    pub(crate) session: Option<String>,
    /// Those that are closed too
    #[arg(long)]
    pub(crate) all: bool,
    /// Questions at most, the oldest ones
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuestionsVerb {
    /// Answer a question. The first answer counts
    Answer(AnswerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// The session
    pub(crate) session: String,
    /// The question
    pub(crate) question: String,
    /// An option (`y` and `n` allow or deny once), NAME=VALUE pairs of a form, or the JSON result of a tool
    #[arg(required_unless_present = "decline", conflicts_with = "decline")]
    pub(crate) answer: Vec<String>,
    /// Nobody wants to answer: the agent goes on without
    #[arg(long)]
    pub(crate) decline: bool,
    /// The tool failed, and the answer says how
    #[arg(long)]
    pub(crate) error: bool,
    /// A word for people; the agent does not get it
    #[arg(long, default_value = "")]
    pub(crate) comment: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
