//! What `sessions` and `history` take.

use super::{ClientArgs, pair};
use clap::{Args, Subcommand, ValueEnum};
use quarterdeck::proto;

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

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsVerb {
    /// Let another principal of your tenant use a session of yours.
    Share(ShareArgs),
    /// Take that back. Streams of theirs end.
    Unshare(UnshareArgs),
    /// Let a session work in another directory, from its next turn on.
    SetCwd(SetCwdArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetCwdArgs {
    /// The session
    pub(crate) session: String,
    /// Where, below one of its agent's `cwd_roots`; "" is the session's own directory
    pub(crate) directory: String,
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

fn session_state(text: &str) -> Result<i32, String> {
    let name = format!(
        "SESSION_STATE_{}",
        text.to_ascii_uppercase().replace('-', "_")
    );
    proto::SessionState::from_str_name(&name)
        .map(i32::from)
        .ok_or_else(|| {
            "expected idle, running, waiting_input, canceling, resetting or deleting".into()
        })
}
