//! What the commands take of those who run a server: keys, configuration, logs, backups, tools.

use super::{ClientArgs, ConfigArgs, pair};
use clap::{Args, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Args)]
pub(crate) struct McpArgs {
    /// Namespace of the memories; without it (and without --session) they are the tenant's
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) namespace: String,
    /// Session whose agent this is: it reaches the session's memory namespaces, and what it writes names the turn
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "KEY"
    )]
    pub(crate) session: String,
    /// File with what an agent of the gateway calls it with: `credential.json` of its session's gateway directory. Serves
    /// that session's memory, while one of its turns runs
    #[arg(long, value_name = "FILE", conflicts_with_all = ["namespace", "session", "key", "key_file"])]
    pub(crate) credential_file: Option<PathBuf>,
    /// Print what makes an MCP client start this command, and where that belongs. The key is never in it: a client reads
    /// it from the file of --key-file, or from the environment that it is started with
    #[arg(
        long,
        value_name = "CLIENT",
        value_enum,
        conflicts_with = "credential_file"
    )]
    pub(crate) print_config: Option<McpClient>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// A program that speaks the Model Context Protocol and starts its servers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum McpClient {
    ClaudeCode,
    ClaudeDesktop,
    Codex,
    Cursor,
    Gemini,
    Opencode,
    Vscode,
    Windsurf,
    Zed,
}

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Name of the server here
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContextsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ContextsVerb>,
    /// Print one JSON object a line, for scripts; errors too
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextsVerb {
    /// Have commands go to this one
    Use(NameArgs),
    /// Forget one, and its key. The server knows the key still: `quarterdeck keys revoke` ends it there
    Remove(NameArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name of the server here
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Records of before to begin with
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(0..=10_000))]
    pub(crate) last: i32,
    /// Least level
    #[arg(long, value_enum, default_value = "info")]
    pub(crate) level: Level,
    /// Beginning of the part of the server, such as quarterdeck::session; `audit` is who changed what
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) target: String,
    /// Only what is about this session
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) session: String,
    /// Only what is about this principal
    #[arg(
        long,
        value_name = "TENANT/SUBJECT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) principal: String,
    /// End after the records of before
    #[arg(long)]
    pub(crate) no_follow: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// How grave a record is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Level {
    /// Every step
    Trace,
    /// For those who look for a fault
    Debug,
    /// What happened
    Info,
    /// Something is not as it should be
    Warn,
    /// Someone should look
    Error,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: AuditVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Find records of an audit file that were changed, taken out, put in or cut off; exits 65 where there are any.
    ///
    /// Needs no server. The newest record's number and hash are printed: kept elsewhere, they tell later whether the whole
    /// file was written anew.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The file; of a chain that goes over several files all of them, oldest first
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Number of the first record, where older files are not at hand
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) first: u64,
    /// A record that must be in there as it was, from an earlier look
    #[arg(long, value_name = "NUMBER:HASH", value_parser = known_record)]
    pub(crate) known: Option<(u64, String)>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn known_record(text: &str) -> Result<(u64, String), String> {
    text.split_once(':')
        .and_then(|(number, hash)| Some((number.parse().ok()?, hash.to_owned())))
        .ok_or_else(|| "expected NUMBER:HASH, as `audit verify` prints them".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct WhoamiArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: KeysVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make an API key. Its text is printed once and can't be read again.
    Create(CreateKeyArgs),
    /// List the API keys of your tenant, newest first.
    List(ListKeysArgs),
    /// Revoke an API key, and the keys that were made with it: calls with them are refused at once, and their streams end.
    Revoke(RevokeKeyArgs),
    /// Make another key with all scopes for the local user, where the file with the first one is lost.
    ///
    /// Needs no server, and that none runs on the data directory. Other keys stay as they are.
    ResetAdmin(ConfigArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateKeyArgs {
    /// What the key may do, such as session.read,session.write; each must be among your own scopes. `*` is all, and what
    /// later versions add
    #[arg(
        long = "scopes",
        required = true,
        value_delimiter = ',',
        value_name = "SCOPE,…"
    )]
    pub(crate) scopes: Vec<String>,
    /// Who calls with it, in your tenant [default: you]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) subject: String,
    /// For people: what the key is for
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) display_name: String,
    /// The key ends after this long, such as 30days [default: never]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) ttl: Option<Duration>,
    /// Tenant, where it is not one's own; for whoever runs the server
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) tenant: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListKeysArgs {
    /// Revoked and expired keys too
    #[arg(long)]
    pub(crate) all: bool,
    /// Tenant, where it is not one's own; for whoever runs the server
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) tenant: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeKeyArgs {
    /// Id of the key, as `keys list` shows it
    pub(crate) key_id: String,
    /// Leave the keys that were made with it valid [default: they are revoked too]
    #[arg(long)]
    pub(crate) keep_made_keys: bool,
    /// Tenant, where it is not one's own; for whoever runs the server
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) tenant: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigKeysArgs {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print keys as they are now; all that may be read where none is named
    Get {
        /// Names of keys
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Change keys, all of them or none
    Set {
        /// Keys and their new values
        #[arg(value_name = "KEY=VALUE", value_parser = pair, required = true)]
        values: Vec<(String, String)>,
        /// Only check
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Take changes back: the keys are as file, environment and flags say
    Clear {
        /// Names of keys
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ChannelsArgs {
    /// Only those that listen to this session
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    /// Only this session's agent: after its running turn, or at once
    pub(crate) session: Option<String>,
    /// Why, for people
    #[arg(
        long,
        conflicts_with = "session",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Where the copy goes; an empty directory, or none yet
    #[arg(value_name = "DIR")]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A backup
    #[arg(value_name = "DIR")]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PrintConfigArgs {
    /// Print the defaults: an example file
    #[arg(long)]
    pub(crate) default: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}
