//! What `sessions`, `turns` and `history` take.

use super::{ClientArgs, DeleteArgs, NewSessionArgs, pair};
use clap::{Args, Subcommand, ValueEnum};
use quarterdeck::proto;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<SessionsVerb>,
    /// Only sessions of this agent
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) agent: String,
    /// Only sessions with this label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// Only sessions in this state, such as running
    #[arg(long = "state", value_parser = session_state)]
    pub(crate) states: Vec<i32>,
    /// Only sessions whose key begins so
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Sessions at most
    #[arg(long, default_value_t = 1000)]
    pub(crate) limit: usize,
    /// Go on with each session that changes, until interrupted
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Only sessions of this agent
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) agent: String,
    /// Only sessions with this label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// Only sessions whose key begins so
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsVerb {
    /// Make a session. One that is there already is refused; a prompt makes its session by itself.
    Create(Box<CreateSessionArgs>),
    /// Show all that is known of a session.
    Show(ShowSessionArgs),
    /// Change a session.
    Update(Box<UpdateSessionArgs>),
    /// Copy a session's conversation into a new one, up to the end of a turn.
    Fork(ForkArgs),
    /// Delete a session: its messages, events and files. The running turn is stopped, waiting ones are rejected.
    Delete(DeleteArgs),
    /// Let another principal of your tenant use a session of yours.
    Share(ShareArgs),
    /// Take that back. Streams of theirs end.
    Unshare(UnshareArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateSessionArgs {
    /// Key of the new session
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) new: NewSessionArgs,
    #[command(flatten)]
    pub(crate) questions: QuestionSettings,
    /// Delete it after this long without a turn, such as 30days [default: never]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) expire_after_idle: Option<Duration>,
    /// Namespace of memory that it may use; may be repeated [default: its own]
    #[arg(long = "memory", value_name = "NAMESPACE")]
    pub(crate) memory_namespaces: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What becomes of a session's questions.
#[derive(Debug, Args)]
pub(crate) struct QuestionSettings {
    /// What to do where its agent asks and nobody is there
    #[arg(long, value_enum)]
    pub(crate) no_approver: Option<Nobody>,
    /// How long its questions wait, such as 10m, at most 7days [default: the agent's own]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) question_ttl: Option<Duration>,
}

/// What to do with a question where nobody is there.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Nobody {
    /// It waits for its time
    Wait,
    /// It is denied at once
    Deny,
}

#[derive(Debug, Args)]
pub(crate) struct ShowSessionArgs {
    /// The session
    #[arg(default_value = "main")]
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateSessionArgs {
    /// The session
    pub(crate) session: String,
    /// Name for people; "" takes it away
    #[arg(long, value_name = "NAME")]
    pub(crate) display_name: Option<String>,
    /// Set a label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// Take a label away; may be repeated
    #[arg(long = "remove-label", value_name = "KEY")]
    pub(crate) removed_labels: Vec<String>,
    /// Agent, from the next reset on
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Working directory from the next turn on, below one of its agent's `cwd_roots`; "" is the session's own
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Delete it after this long without a turn, such as 30days; 0s is never
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) expire_after_idle: Option<Duration>,
    /// What to do where its agent asks and nobody is there
    #[arg(long, value_enum)]
    pub(crate) no_approver: Option<Nobody>,
    /// How long its questions wait, such as 10m, at most 7days; 0s is as long as the agent says
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) question_ttl: Option<Duration>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    /// Session to copy from
    pub(crate) session: String,
    /// Key of the new session
    pub(crate) new_session: String,
    /// Turn that is the last one copied; it must have ended [default: the newest that has]
    #[arg(
        long = "turn",
        value_name = "ID",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) turn_id: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TurnsArgs {
    #[command(subcommand)]
    pub(crate) command: TurnsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TurnsVerb {
    /// List turns, the newest first
    List(ListTurnsArgs),
    /// Show all that is known of a turn
    Show(ShowTurnArgs),
    /// Wait for a turn's end, and print its answer; exits as `send` does
    Await(AwaitTurnArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListTurnsArgs {
    /// Of this session [default: all that you may see]
    pub(crate) session: Option<String>,
    /// Only turns in this state, such as running; may be repeated
    #[arg(long = "state", value_parser = turn_state)]
    pub(crate) states: Vec<i32>,
    /// Turns at most
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowTurnArgs {
    /// The session
    pub(crate) session: String,
    /// The turn
    pub(crate) turn: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AwaitTurnArgs {
    /// The session
    pub(crate) session: String,
    /// The turn
    pub(crate) turn: String,
    /// How long to wait, such as 10m; where that is over it exits 75 [default: until it ends]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) wait: Option<Duration>,
    /// Come back too as soon as its agent asks something; exits 75 then
    #[arg(long)]
    pub(crate) or_question: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// The session
    pub(crate) session: String,
    /// Who, `tenant/subject` or the subject alone
    pub(crate) principal: String,
    /// What for
    #[arg(long, value_enum)]
    pub(crate) access: Access,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UnshareArgs {
    /// The session
    pub(crate) session: String,
    /// Who, `tenant/subject` or the subject alone
    pub(crate) principal: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What a share gives.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Access {
    /// Reading it and following its events
    Read,
    /// Using it too, but neither deleting nor sharing it
    Write,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ModelsVerb>,
    /// Of this session's agent
    #[arg(default_value = "main")]
    pub(crate) session: String,
    /// Of this agent, whatever the session
    #[arg(long, conflicts_with = "session")]
    pub(crate) agent: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsVerb {
    /// Choose a session's model.
    Set(SetWordArgs),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ThinkingArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ThinkingVerb>,
    /// The session
    #[arg(default_value = "main")]
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ThinkingVerb {
    /// Choose a session's thinking level.
    Set(SetWordArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetWordArgs {
    /// The session
    pub(crate) session: String,
    /// As the list has it; "" gives the choice back: the agent's own default counts
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct OptionsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<OptionsVerb>,
    /// The session
    #[arg(default_value = "main")]
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OptionsVerb {
    /// Choose an option of a session's agent.
    Set(SetOptionArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetOptionArgs {
    /// The session
    pub(crate) session: String,
    /// The option's id
    pub(crate) option: String,
    /// Its value; "" gives the choice back: what the agent began with counts
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The session
    #[arg(default_value = "main")]
    pub(crate) session: String,
    /// Generation to read [default: the present one]
    #[arg(long)]
    pub(crate) generation: Option<i64>,
    /// Messages at most, the newest ones
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    #[command(subcommand)]
    pub(crate) command: FilesVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FilesVerb {
    /// List a directory
    List(ListFilesArgs),
    /// Write a file to standard output
    Read(ReadFileArgs),
    /// Show what a turn changed, as `diff -u` does; needs an agent whose configuration says `workspace_diff = true`
    Diff(DiffArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The session
    pub(crate) session: String,
    /// The turn
    pub(crate) turn: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactsArgs {
    #[command(subcommand)]
    pub(crate) command: ArtifactsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactsVerb {
    /// List them
    List(ListArtifactsArgs),
    /// Write one to standard output
    Read(ReadArtifactArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArtifactsArgs {
    /// The session
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReadArtifactArgs {
    /// The session
    pub(crate) session: String,
    /// Its id, as the list has it
    pub(crate) artifact: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListFilesArgs {
    /// The session
    pub(crate) session: String,
    /// Directory beneath the one that the session works in [default: that one]
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) path: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReadFileArgs {
    /// The session
    pub(crate) session: String,
    /// File beneath the directory that the session works in
    pub(crate) path: String,
    /// First byte to read
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) offset: i64,
    /// Bytes at most [default: all]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) limit: Option<i64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

fn session_state(text: &str) -> Result<i32, String> {
    proto::SessionState::from_str_name(&enum_name("SESSION_STATE_", text))
        .map(i32::from)
        .ok_or_else(|| {
            "expected idle, running, waiting_input, canceling, resetting or deleting".into()
        })
}

fn turn_state(text: &str) -> Result<i32, String> {
    proto::TurnState::from_str_name(&enum_name("TURN_STATE_", text))
        .map(i32::from)
        .ok_or_else(|| {
            "expected scheduled, queued, running, waiting_input, canceling, completed, failed, canceled, interrupted, rejected or \
             expired"
                .into()
        })
}

fn enum_name(prefix: &str, word: &str) -> String {
    format!("{prefix}{}", word.to_ascii_uppercase().replace('-', "_"))
}
