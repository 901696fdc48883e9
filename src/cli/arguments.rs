//! What the command line takes. The flags of `serve` come from the configuration's table.

mod operate;
mod routes;
mod schedules;
mod sessions;
mod usage;
mod webhooks;
mod work;
mod workers;

pub(crate) use operate::*;
pub(crate) use routes::*;
pub(crate) use schedules::*;
pub(crate) use sessions::*;
pub(crate) use usage::*;
pub(crate) use webhooks::*;
pub(crate) use work::*;
pub(crate) use workers::*;

use super::{
    contexts,
    failure::{Failure, INTERRUPTED},
    key_file::{self, Way},
    memory::MemoryArgs,
};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};
use quarterdeck::{
    client::{Client, ClientOptions, ClientTls},
    config::{Config, KEYS, Sources},
};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    env,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long commands wait for a server that went away under them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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
    Serve(ServeArgs),
    /// Talk to an agent.
    ///
    /// Lines go to the agent; a line may be a command: /steer TEXT, /answer TEXT, /reset, /queue,
    /// /history, /abort, /help, /quit. While the agent asks, a line answers it.
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
    /// See all sessions as they change, on the whole terminal.
    ///
    /// The arrows choose a session, enter reads along, `a` stops its running turn once that was confirmed, `q` leaves. With
    /// --json it prints each change, as `sessions --watch` does.
    Top(TopArgs),
    /// Give text to the running turn; with none running it becomes the next turn.
    Steer(SteerArgs),
    /// Stop the running turn, or a waiting one. Answers when the stop is proven.
    Abort(AbortArgs),
    /// Begin a fresh conversation in a session: the running turn is stopped, waiting ones are rejected.
    Reset(ResetArgs),
    /// Delete a session: its messages, events and files. The running turn is stopped, waiting ones are rejected.
    Delete(DeleteArgs),
    /// List sessions; make, show, change, copy and share one.
    Sessions(SessionsArgs),
    /// List turns, show one, wait for one.
    Turns(TurnsArgs),
    /// Print a session's messages.
    History(HistoryArgs),
    /// List a session's waiting turns, or change them.
    Queue(QueueArgs),
    /// Prompts that are sent again at their times: make, list, change, run.
    Schedules(SchedulesArgs),
    /// What happens in sessions, posted to addresses: make, list, change, deliver again. Needs the scope `webhook.write`.
    Webhooks(WebhooksArgs),
    /// List what agents wait for, and answer it.
    ///
    /// An agent that asks waits until somebody answers, or until its `question_ttl` is over. Answering a permission, a
    /// form or a link needs the scope `session.approve`.
    Questions(QuestionsArgs),
    /// List the models of a session's agent, and choose one.
    ///
    /// What an agent offers is known once it has run. A choice counts from the next start of a turn, for this session alone.
    Models(ModelsArgs),
    /// Show the thinking level of a session and what its model offers, and choose one.
    Thinking(ThinkingArgs),
    /// List what else a session's agent lets be chosen, such as its mode, and choose.
    ///
    /// Choosing needs the scope `session.approve`, unless the agent's `options_allowed` names the option.
    Options(OptionsArgs),
    /// List what a session can be told by a name: commands of the gateway and of its agent.
    Commands(CommandsArgs),
    /// Run a command of a session, such as one of its agent's own; prints what comes of it.
    Command(CommandArgs),
    /// Let a session's agent shorten the conversation that it keeps.
    Compact(CompactArgs),
    /// Serve sessions to an editor: the Agent Client Protocol over standard input and output.
    ///
    /// The editor starts this command as it starts any agent. Each of its conversations is a session, which works in the
    /// editor's directory where the server has it and the agent's `cwd_roots` allow it, else in a directory of its own; with
    /// --session all are that one, which others may follow meanwhile. Permissions are asked for in the editor too. A server
    /// that restarts is waited for. An editor that leaves stops nothing.
    Acp(Box<AcpArgs>),
    /// Serve memory to an agent: the Model Context Protocol over standard input and output.
    ///
    /// The agent starts this command itself. It may search, remember and forget what the key may; with --session no
    /// more than that session's agent. The server must have `mcp = true`, which is the default.
    Mcp(McpArgs),
    /// Keep a server's address and key under a name; commands that name none go there from then on.
    ///
    /// The key is asked for, or read from a pipe, where neither --key nor --key-file gives it.
    Login(LoginArgs),
    /// List the servers that are kept under a name, use another one, or forget one.
    ///
    /// QUARTERDECK_CONTEXT names one for a single command.
    Contexts(ContextsArgs),
    /// Tell who the server takes you for, and what you may do.
    Whoami(WhoamiArgs),
    /// Make, list and revoke API keys.
    Keys(KeysArgs),
    /// Tell what was used: model calls, tokens, dollars.
    ///
    /// Of your own sessions, deleted ones too; with the scope `tenant.sessions` of all of your tenant. A cost is what the
    /// agent reported, else estimated by a table of prices; calls whose cost nobody knows are counted beside it.
    Usage(UsageArgs),
    /// Set, list and take away budgets: how much may be used. Needs the scope `budget.write`.
    Budgets(BudgetsArgs),
    /// List, set and try routes: which agent and model are used where nobody chose. Needs the scope `admin.config`.
    ///
    /// The first route that matches counts. Its agent is that of a new session whose maker named none; its model and thinking
    /// level are used at each start of a turn where the session has none of its own.
    Routes(RoutesArgs),
    /// Run turns of a gateway on this machine, outbound only, with agents of its own configuration.
    ///
    /// The gateway's agent of the same name has `driver = "worker"`, and `worker_principals` names whose key this is; it needs the
    /// scope `worker.connect`. At SIGTERM it finishes what it has and leaves.
    Worker(Box<WorkerArgs>),
    /// List who runs turns on other machines, and how many sessions wait for a worker; end one.
    Workers(WorkersArgs),
    /// Remember, search, forget: what survives a conversation.
    Memory(MemoryArgs),
    /// Tell what runs at the address: version, agents, limits.
    Server(ClientArgs),
    /// Ask whether the server takes calls: exits 0 where it does, 69 where it doesn't or nobody answers. Needs no key.
    Health(HealthArgs),
    /// List the agents and what each can do.
    ///
    /// What an agent tells of itself is known once it has started; until then the list shows what its driver can at most,
    /// with `not started yet`. A call for something that it can't is refused, UNSUPPORTED_BY_AGENT. `sessions create --agent NAME`
    /// makes a session with one.
    Agents(ClientArgs),
    /// Read or change the configuration of a running server. What is changed stays so over restarts.
    Config(ConfigKeysArgs),
    /// List and read the files that a session's agent works with.
    ///
    /// Needs the scope `workspace.read`, and an agent whose configuration says `workspace_read = true`. Regular files alone are
    /// read: links, devices and files with several names are listed as `other`.
    Files(FilesArgs),
    /// List and read what a session's agent made for its caller to keep.
    Artifacts(ArtifactsArgs),
    /// Follow what the server says of itself: its log, and who changed what.
    ///
    /// Prints the newest records and then each new one, until interrupted. A server that restarts is waited for.
    Logs(LogsArgs),
    /// Look at a file that the server wrote audit records to (`audit_file`).
    Audit(AuditArgs),
    /// List who is connected and listens.
    Channels(ChannelsArgs),
    /// Let agents begin afresh, with their settings read again: one session's, or all; then listening clients are told too.
    Reload(ReloadArgs),
    /// Look at a data directory for damage: every page and every row of its store; exits 65 where something is wrong.
    ///
    /// Needs that no server runs on it, and changes nothing: a backup can be looked at too (--data-dir DIR). Pages and
    /// indexes are whole; events are without gaps up to each session's head; a turn has one end; counts are right; events
    /// can be read; attachments are there, with the bytes that were stored; memory's index has every word.
    Check(CheckArgs),
    /// Copy the data directory, also while its server runs.
    Backup(BackupArgs),
    /// Make a data directory from a backup. It must hold no store yet. Every log gets a new id, so that readers notice.
    Restore(RestoreArgs),
    /// Check the configuration; exits 78 and says all that is wrong.
    CheckConfig(ConfigArgs),
    /// Print the configuration as TOML with comments, secrets left out.
    PrintConfig(PrintConfigArgs),
    /// Print what completes commands in a shell.
    ///
    /// For bash: `source <(quarterdeck completions bash)`. For fish: `quarterdeck completions fish | source`.
    Completions(CompletionsArgs),
}

const DIRECTIVES: &str = "\
The built-in `echo` agent repeats the prompt, one token a word. Directives at the start of a prompt, each followed by \
one blank, try every feature without a key (quote them: shells know `!` too):
  !delay=50ms     pause between tokens
  !repeat=N       say the text N times
  !think=words    think first; `_` stands for a blank
  !tool=NAME      call a tool: arguments, one update, a result
  !toolfail=NAME  call a tool that fails
  !ask=TOOL       ask for permission to run a tool
  !form=A,*B      ask for the texts A and B, B a secret
  !link=URL       ask for a visit to a link
  !call=NAME      ask the caller to run a tool; arguments may follow, such as {\"city\": \"Ghent\"}
  !json=VALUE     give that as the turn's output, where it is to have one; may be repeated
  !plan=a_b,c     tell a plan
  !subagent=A,B   give the text to the sub-agent A, which gives it to B
  !artifact=NAME  make a file of the text for you to keep
  !commands=a,b   have the commands a and b from then on (`upper` at first)
  !fail=REASON    end FAILED with that message
  !hang           say nothing until aborted
  !leave          ask and end without waiting for an answer
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

/// What `serve` takes beside the configuration. What may lose something is said each time: it stands in no file.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Begins with an empty store where the one of the data directory is gone or has lost its newest work; what is left
    /// of it is moved aside
    #[arg(long)]
    pub(crate) new_store: bool,
    /// Makes a new memory.key where it is gone and secrets are sealed with it; they can't be read any more
    #[arg(long)]
    pub(crate) lose_secrets: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// One flag for each key of the configuration: name and value.
#[derive(Debug, Default)]
struct KeyFlags(Vec<(String, String)>);

/// How to reach the server.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ClientArgs {
    /// Address of the server: http://HOST:PORT, https://HOST:PORT, or unix:PATH for its unix socket
    #[arg(long, env = "QUARTERDECK_ADDR", default_value_t = contexts::default_address(), value_name = "URL")]
    pub(crate) addr: String,
    /// API key, or another token that the server takes
    #[arg(long, env = "QUARTERDECK_KEY", hide_env_values = true)]
    key: Option<String>,
    /// File that holds the key [default: the admin.key of the data directory here, for its own server alone]
    #[arg(
        long,
        env = "QUARTERDECK_KEY_FILE",
        value_name = "FILE",
        conflicts_with = "key"
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// CA that the certificate of an https:// server is checked against, a PEM file [default: those of this machine]
    #[arg(long, env = "QUARTERDECK_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
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
    /// Let the key go to another machine without encryption, where everyone on the way can read it
    #[arg(long)]
    insecure: bool,
    /// How long to wait for a server that went away during the command, such as 10s [default: 30s; `watch`, `top`, `chat` and
    /// `logs` wait until they are interrupted]. One that never answered is not waited for
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Print one JSON object a line, for scripts; errors too
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

// === impl ClientArgs ===

impl ClientArgs {
    /// How long to wait for a server that went away.
    pub(crate) fn patience(&self) -> Duration {
        self.timeout.unwrap_or(PATIENCE)
    }

    /// The same for what goes on until it is interrupted: as long as the user said.
    pub(crate) fn spoken_patience(&self) -> Option<Duration> {
        self.timeout
    }

    /// The key that was named, wherever commands go.
    pub(crate) fn given_key(&self) -> Result<Option<SecretString>, Failure> {
        key_file::named(self.key.as_deref(), self.key_file.as_deref())
    }

    pub(crate) fn use_key(&mut self, key: &SecretString) {
        self.key = Some(key.expose_secret().to_owned());
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let context = contexts::chosen()?.filter(|context| context.address == self.addr);
        let of_context = context.as_ref();
        let key_file = self.key_file.as_deref();
        let Way { address, key } = key_file::find(
            &self.addr,
            self.key.as_deref(),
            key_file.or_else(|| of_context?.key_file.as_deref()),
            self.insecure,
        )?;
        // A socket of this machine is not encrypted.
        let tls = match address == self.addr {
            true => ClientTls {
                ca: (self.ca.clone()).or_else(|| of_context.and_then(|it| it.ca.clone())),
                certificate: self.cert.clone(),
                key: self.client_key.clone(),
            },
            false => ClientTls::default(),
        };
        Ok(Client::new(ClientOptions {
            address,
            tls,
            key,
            key_over_plaintext: self.insecure,
            patience: self.patience(),
            deadline: None,
        })?)
    }
}

/// The time for which a server has been away.
pub(crate) struct Absence {
    /// `None` waits for ever.
    patience: Option<Duration>,
    since: Option<Instant>,
}

// === impl Absence ===

impl Absence {
    pub(crate) fn new(patience: Option<Duration>) -> Self {
        Self {
            patience,
            since: None,
        }
    }

    /// Whether the newest update is that the connection was cut.
    pub(crate) fn is(&mut self, cut: bool) {
        self.since = cut.then(|| self.since.unwrap_or_else(Instant::now));
    }

    /// Comes back when the server was away for too long.
    pub(crate) async fn over(&self) -> Duration {
        match self.since.zip(self.patience) {
            Some((since, patience)) => {
                tokio::time::sleep_until((since + patience).into()).await;
                patience
            }
            None => std::future::pending().await,
        }
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

// === functions ===

/// A moment, such as 2026-12-24T18:00:00+01:00.
fn time(text: &str) -> Result<prost_types::Timestamp, String> {
    let time: jiff::Timestamp = text.parse().map_err(
        |_| "is no time with a zone, such as 2026-12-24T18:00:00+01:00 or 2026-12-24T17:00:00Z",
    )?;
    Ok(std::time::SystemTime::from(time).into())
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "expected KEY=VALUE".to_owned())
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
        assert_eq!(arguments.config.keys.0.len(), KEYS.len());
        assert!(
            arguments
                .config
                .keys
                .0
                .contains(&("insecure_behind_proxy".into(), "true".into()))
        );
    }
}
