//! What the command line takes. The flags of `serve` come from the configuration's table.

use super::{
    failure::{Failure, INTERRUPTED},
    key_file,
    memory::MemoryArgs,
};
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use quarterdeck::{
    client::{Client, ClientOptions, ClientTls, DEFAULT_ADDRESS},
    config::{Config, KEYS, Sources},
    proto::{self, OnBusy, OnInterrupt},
};
use std::{env, path::PathBuf, time::Duration};

/// How long commands wait for a server that went away under them.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs AI agents behind a gRPC contract: enqueue, steer, abort, and subscribe without losing an event.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 110,
    after_help = "\
Exit codes: 0 done; 64 wrong usage; 65 refused (wrong request or state); 66 not found; 69 no server; 70 the agent \
failed, or a bug; 73 exists already; 74 input or output failed; 75 try again later, or the turn was stopped; 77 not \
allowed; 78 wrong configuration; 130 interrupted."
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the server.
    Serve(ConfigArgs),
    /// Talk to an agent.
    ///
    /// Lines go to the agent; a line may be a command: /steer TEXT, /reset, /queue, /history, /abort, /help, /quit.
    /// Ctrl-C aborts the running turn, and a second one leaves. A server that restarts is waited for. With standard
    /// input from a pipe each line is a prompt, and the next is read when its turn has ended.
    #[command(after_long_help = DIRECTIVES)]
    Chat(ChatArgs),
    /// Send a prompt and print the answer.
    ///
    /// The answer streams to standard output; the exit code tells how the turn ended. Leaving early (Ctrl-C) doesn't
    /// stop the turn: that is what `abort` does.
    #[command(after_long_help = DIRECTIVES)]
    Send(Box<SendArgs>),
    /// Follow a session.
    ///
    /// Prints what happens from now on, or from a position on, until interrupted. A server that restarts is waited for,
    /// and nothing is lost or repeated.
    Watch(WatchArgs),
    /// Give text to the running turn; with none running it becomes the next turn.
    Steer(SteerArgs),
    /// Stop the running turn, or a waiting one. Answers when the stop is proven.
    Abort(AbortArgs),
    /// Begin a fresh conversation in a session: the running turn is stopped, waiting ones are rejected.
    Reset(ResetArgs),
    /// List sessions.
    Sessions(SessionsArgs),
    /// Print a session's messages.
    History(HistoryArgs),
    /// List a session's waiting turns, or change them.
    Queue(QueueArgs),
    /// Serve memory to an agent: the Model Context Protocol over standard input and output.
    ///
    /// The agent starts this command itself. It may search, remember and forget what the key may; with --session no
    /// more than that session's agent. The server must have `mcp = true`, which is the default.
    Mcp(McpArgs),
    /// Tell who the server takes you for, and what you may do.
    Whoami(WhoamiArgs),
    /// Make, list and revoke API keys.
    Keys(KeysArgs),
    /// Remember, search, forget: what survives a conversation.
    Memory(MemoryArgs),
    /// Tell what runs at the address: version, agents, limits.
    Server(ClientArgs),
    /// Read or change the configuration of a running server. What is changed stays so over restarts.
    Config(ConfigKeysArgs),
    /// Follow what the server says of itself: its log, and who changed what.
    ///
    /// Prints the newest records and then each new one, until interrupted. A server that restarts is waited for.
    Logs(LogsArgs),
    /// List who is connected and listens.
    Channels(ChannelsArgs),
    /// Tell every listening client to read again what it keeps, and let agents begin afresh.
    Reload(ReloadArgs),
    /// Copy the data directory, also while its server runs.
    Backup(BackupArgs),
    /// Make a data directory from a backup. It must hold no store yet. Every log gets a new id, so that readers notice.
    Restore(RestoreArgs),
    /// Check the configuration; exits 78 and says all that is wrong.
    CheckConfig(ConfigArgs),
    /// Print the configuration as TOML with comments, secrets left out.
    PrintConfig(PrintConfigArgs),
}

const DIRECTIVES: &str = "\
The built-in `echo` agent repeats the prompt, one token a word. Directives at the start of a prompt, each followed by \
one blank, try every feature without a key (quote them: shells know `!` too):
  !delay=50ms     pause between tokens
  !repeat=N       say the text N times
  !think=words    think first; `_` stands for a blank
  !tool=NAME      call a tool: arguments, one update, a result
  !toolfail=NAME  call a tool that fails
  !fail=REASON    end FAILED with that message
  !hang           say nothing until aborted
  !stubborn       ignore a soft cancel, so that only a kill helps
  !history        answer with the number of user messages before this one
A steer that reaches it is answered in brackets.

Examples:
  quarterdeck send main 'hello'
  quarterdeck send main '!delay=100ms !think=let_me_see one two three'
  quarterdeck send main '!hang' --detach && quarterdeck abort main";

/// Where configuration comes from.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// TOML file [default: quarterdeck.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "QUARTERDECK_CONFIG")]
    config: Option<PathBuf>,
    /// Lets sessions of every agent work under this directory; may be repeated
    #[arg(long, value_name = "DIR")]
    allow_cwd: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyFlags,
}

/// One flag for each key of the configuration: name and value.
#[derive(Debug, Default)]
struct KeyFlags(Vec<(String, String)>);

/// How to reach the server.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClientArgs {
    /// Address of the server: http://HOST:PORT, https://HOST:PORT, or unix:PATH for its unix socket
    #[arg(long, env = "QUARTERDECK_ADDR", default_value = DEFAULT_ADDRESS, value_name = "URL")]
    pub(crate) addr: String,
    /// API key, or another token that the server takes
    #[arg(long, env = "QUARTERDECK_KEY", hide_env_values = true)]
    key: Option<String>,
    /// File that holds the key [default: the admin.key of the data directory here, for addresses of this machine]
    #[arg(
        long,
        env = "QUARTERDECK_KEY_FILE",
        value_name = "FILE",
        conflicts_with = "key"
    )]
    key_file: Option<PathBuf>,
    /// CA that the certificate of an https:// server is checked against, a PEM file [default: those of this machine]
    #[arg(long, env = "QUARTERDECK_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Our own certificate, for an https:// server that asks for one, a PEM file
    #[arg(
        long,
        env = "QUARTERDECK_CERT",
        value_name = "FILE",
        requires = "client_key"
    )]
    cert: Option<PathBuf>,
    /// The private key of --cert, a PEM file
    #[arg(
        long,
        env = "QUARTERDECK_CLIENT_KEY",
        value_name = "FILE",
        requires = "cert"
    )]
    client_key: Option<PathBuf>,
    /// Print one JSON object a line, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}

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
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

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
    /// Revoke an API key: calls with it are refused at once, and its streams end.
    Revoke(RevokeKeyArgs),
    /// Make another key with all scopes for the local user, where the file with the first one is lost.
    ///
    /// Needs no server, and that none runs on the data directory. Other keys stay as they are.
    ResetAdmin(ConfigArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateKeyArgs {
    /// What the key may do, such as session.read,session.write; each must be among your own scopes
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
    /// Why, for people
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
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

// === impl ClientArgs ===

impl ClientArgs {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(ClientOptions {
            address: self.addr.clone(),
            tls: ClientTls {
                ca: self.ca.clone(),
                certificate: self.cert.clone(),
                key: self.client_key.clone(),
            },
            key: key_file::find(&self.addr, self.key.as_deref(), self.key_file.as_deref())?,
            // Who names key and address in one command has said what goes where.
            key_over_plaintext: true,
            patience: PATIENCE,
            deadline: None,
        })?)
    }
}

// === impl ConfigArgs ===

impl ConfigArgs {
    pub(crate) fn load(self) -> Result<Config, Failure> {
        let Self {
            config,
            allow_cwd,
            keys: KeyFlags(flags),
        } = self;
        Ok(Config::load(Sources {
            file: config,
            environment: env::vars_os().collect(),
            flags,
            allow_cwd,
        })?)
    }
}

// === impl KeyFlags ===

impl Args for KeyFlags {
    fn augment_args(command: Command) -> Command {
        KEYS.iter().fold(command, |command, key| {
            let help: Vec<&str> = key.doc.iter().map(|line| line.trim()).collect();
            let default = match key.default {
                "" => String::new(),
                default => format!(" [default: {default}]"),
            };
            let argument = Arg::new(key.name)
                .long(key.name.replace('_', "-"))
                .help(format!("{}{default}", help.join(" ").trim_end_matches('.')))
                .help_heading("Configuration")
                .action(ArgAction::Set)
                .overrides_with(key.name)
                .value_name("VALUE");
            // A switch may stand alone.
            let argument = if matches!(key.default, "true" | "false") {
                argument.num_args(0..=1).default_missing_value("true")
            } else {
                argument
            };
            command.arg(argument)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KeyFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in KEYS {
            if let Some(value) = matches.get_one::<String>(key.name) {
                self.0.push((key.name.to_owned(), value.clone()));
            }
        }
        Ok(())
    }
}

// === values ===

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

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "expected KEY=VALUE".to_owned())
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

/// The failure of a command that was interrupted from the keyboard.
pub(crate) fn interrupted() -> Failure {
    Failure::new(INTERRUPTED, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_every_command_says_what_it_does() {
        let mut command = CommandLine::command();
        command.clone().debug_assert();
        for command in command.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{}: {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
            let takes_prompts = ["chat", "send"].contains(&command.get_name());
            for directive in [
                "!delay",
                "!repeat",
                "!think",
                "!tool",
                "!toolfail",
                "!fail",
                "!hang",
                "!stubborn",
                "!history",
            ] {
                assert_eq!(help.contains(directive), takes_prompts, "{directive}");
            }
        }
    }

    #[test]
    fn every_key_of_the_configuration_is_a_flag() {
        let mut arguments = vec![
            "quarterdeck".to_owned(),
            "serve".into(),
            "--insecure-behind-proxy".into(),
        ];
        for key in KEYS
            .iter()
            .filter(|key| key.name != "insecure_behind_proxy")
        {
            arguments.push(format!("--{}={}", key.name.replace('_', "-"), key.default));
        }
        let line = CommandLine::try_parse_from(arguments).expect("all flags");
        let Verb::Serve(arguments) = line.command else {
            panic!("serve was asked for");
        };
        assert_eq!(arguments.keys.0.len(), KEYS.len());
        assert!(
            arguments
                .keys
                .0
                .contains(&("insecure_behind_proxy".into(), "true".into()))
        );
    }
}
