//! The `pi` driver: one pi coding agent in RPC mode per awake session.
//!
//! * Each generation of a session has its own session file, named by its `session_id` in the session's own directory,
//!   and each owner its own pi directory (settings, credentials), so nothing one chooses reaches another.
//! * Each session has its own home and temporary directory: pi compiles extensions into the latter and runs what it
//!   finds there.
//! * The model and the thinking level are given on the command line and never set later: pi (0.73.1) would keep such a choice
//!   as the owner's default. So another choice is another process, which goes on with the conversation (`choices`).
//! * A turn that was cancelled softly is over once pi is idle and everything that the turn started is gone; pi itself
//!   stays. `Kill` ends pi, and `Exited` is the turn's end.
//! * Where pi holds a message that it could not take back (0.73.1 has no command for that) its process ends with, or
//!   right after, the turn; the session continues from its file with a new one.
//! * Memory reaches the model through an extension of our own, beside the prompt and never in it (`memory`).
//! * A prompt is a text for the model, also where it begins with a slash; its commands (of extensions, templates and skills)
//!   are run as such alone.
//! * A fork begins with a copy of pi's file up to the turn that it was forked at.
//! * Dialogs of extensions are questions of the turn; outside of one they are cancelled, since nobody sees them.
//!
//! The walk: pi's line → `protocol` → `machine` (with `turn`, `open_message` and `steers`) → `child` → the session's actor.
//! Facts about pi that this rests on stand where they are used.

mod child;
mod choices;
mod dialogs;
mod machine;
mod memory;
mod models;
mod open_message;
mod protocol;
mod session_file;
mod steers;
mod turn;

use super::{
    Agent, AgentEvent, COMMANDS_MAX, Capabilities, Driver, ForkRequest, OpenRequest, StartError,
    events,
    isolation::{Visible, program},
    process::{self, Process, ProcessHost, ProcessLimits, ProcessSpec},
    secrets::Secrets,
};
use crate::{
    beneath::{Directory, blocking},
    domain::agent::{ToolPolicySupport, UsageReports},
};
use async_trait::async_trait;
use child::{Channels, PiChild};
use choices::{StartWords, StartWordsFile, Word};
use memory::Memory;
use rustix::fs::FileType;
use std::{
    ffi::{OsStr, OsString},
    fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::mpsc;
use tracing::Instrument;

/// Thinking levels that pi knows. It takes any other word as `off` without a word.
pub const THINKING_LEVELS: [&str; 7] = ["off", "minimal", "low", "medium", "high", "xhigh", "max"];

/// Name of pi's directory inside an owner's.
const DIRECTORY: &str = "pi";
/// Files of [`PiOptions::template_directory`], and when an owner's pi gets its own copy. The template itself is never an
/// agent's to write: it is everybody's.
const TAKEN: [(&str, Taken); 3] = [
    ("models.json", Taken::EachTime),
    ("settings.json", Taken::Once),
    // pi refreshes its login in its own copy; the operator's next login replaces that.
    ("auth.json", Taken::IfNewer),
];

/// When a file of the template is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// With each start.
    EachTime,
    /// Where there is none yet.
    Once,
    /// Where there is none yet, or an older one.
    IfNewer,
}

/// How pi is run. Its `Debug` names variables of the environment and leaves their values out.
#[derive(Clone)]
pub struct PiOptions {
    /// Program and what goes before our own arguments; the program is looked up in `PATH` where it has no slash.
    pub command: Vec<String>,
    /// What goes after our own arguments, such as `--no-extensions` or `--tools read,grep`.
    pub arguments: Vec<String>,
    /// Set for pi and its tools. Keys of model providers go here.
    pub environment: Vec<(String, String)>,
    /// A pi directory (usually `~/.pi/agent`) from which each owner's pi gets models, settings and logins.
    pub template_directory: Option<PathBuf>,
    /// Model of sessions that ask for none, as pi's `--model` takes it; empty: pi's own default.
    pub model: String,
    /// Thinking level of sessions that ask for none; empty: pi's own default.
    pub thinking_level: String,
    /// Time until pi answers for the first time. It needs 4 to 10 s on a busy machine.
    pub start_timeout: Duration,
    /// Time that pi gets to end by itself before it is killed.
    pub stop_grace: Duration,
    /// Bounds of pi's process, and of each that it starts.
    pub limits: ProcessLimits,
}

/// The driver. Holds nothing of any session.
#[derive(Clone, Debug)]
pub struct PiDriver {
    options: PiOptions,
    host: ProcessHost,
    secrets: Secrets,
    /// Where the program of pi lives, and what else its command line names.
    places: Vec<PathBuf>,
}

// === impl PiOptions ===

impl Default for PiOptions {
    fn default() -> Self {
        Self {
            command: vec!["pi".into()],
            arguments: vec![],
            environment: vec![],
            template_directory: None,
            model: String::new(),
            thinking_level: String::new(),
            start_timeout: Duration::from_secs(60),
            stop_grace: Duration::from_secs(2),
            limits: ProcessLimits::default(),
        }
    }
}

impl PiOptions {
    /// Where the program of pi lives, and what else its command line names: what an isolated pi is shown besides the
    /// system.
    pub fn places(&self) -> Vec<PathBuf> {
        let own_path = self.environment.iter().find(|(name, _)| name == "PATH");
        let path = own_path.map_or_else(
            || std::env::var_os("PATH").unwrap_or_default(),
            |(_, path)| path.into(),
        );
        let words = self.command.iter().chain(&self.arguments);
        let home = std::env::home_dir();
        program::places(words.map(OsStr::new), &path, home.as_deref())
    }
}

impl fmt::Debug for PiOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            arguments,
            environment,
            template_directory,
            model,
            thinking_level,
            start_timeout,
            stop_grace,
            limits,
        } = self;
        let names: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("PiOptions")
            .field("command", command)
            .field("arguments", arguments)
            .field("environment", &names)
            .field("template_directory", template_directory)
            .field("model", model)
            .field("thinking_level", thinking_level)
            .field("start_timeout", start_timeout)
            .field("stop_grace", stop_grace)
            .field("limits", limits)
            .finish()
    }
}

// === impl PiDriver ===

impl PiDriver {
    /// A driver that starts pi as `options` say.
    pub fn new(options: PiOptions, host: ProcessHost) -> Self {
        Self {
            secrets: Secrets::of_environment(&options.environment),
            places: options.places(),
            options,
            host,
        }
    }

    fn spec(
        &self,
        request: &OpenRequest,
        directory: &Path,
        memory: &Memory,
        (file, words): (Option<&str>, &StartWords),
    ) -> Result<ProcessSpec, StartError> {
        let mut command = self.options.command.iter().map(OsString::from);
        let program = command
            .next()
            .ok_or_else(|| StartError("the command of pi is empty".into()))?;
        let mut arguments: Vec<OsString> = command.collect();
        arguments.extend(["--mode".into(), "rpc".into()]);
        match file {
            Some(file) => {
                let place = request.session_directory.clone();
                // Created where it does not exist yet.
                let file = place.join(file);
                arguments.extend(["--session-dir".into(), place.into()]);
                arguments.extend(["--session".into(), file.into()]);
            }
            None => arguments.push("--no-session".into()),
        }
        let StartWords { model, level } = words;
        if !model.word.is_empty() {
            arguments.extend(["--model".into(), model.word.clone().into()]);
        }
        let level = level.word.as_str();
        if !level.is_empty() {
            if !THINKING_LEVELS.contains(&level) {
                let known = THINKING_LEVELS.join(", ");
                return Err(StartError(format!(
                    "pi has no thinking level {level:?}; it has {known}"
                )));
            }
            arguments.extend(["--thinking".into(), level.into()]);
        }
        arguments.extend(["--extension".into(), memory.extension.clone().into()]);
        arguments.extend(self.options.arguments.iter().map(OsString::from));
        // Nothing is fetched or reported behind the operator's back, unless the environment says otherwise; nor is the
        // home directory another session's.
        let mut environment: Vec<(OsString, OsString)> = vec![
            ("HOME".into(), request.home_directory.clone().into()),
            ("PI_OFFLINE".into(), "1".into()),
            ("PI_SKIP_VERSION_CHECK".into(), "1".into()),
            ("PI_TELEMETRY".into(), "0".into()),
        ];
        let own = self.options.environment.iter();
        environment.extend(own.map(|(name, value)| (name.into(), value.into())));
        environment.push(("TMPDIR".into(), request.temporary_directory.clone().into()));
        environment.push(("PI_CODING_AGENT_DIR".into(), directory.into()));
        environment.push((memory::VARIABLE.into(), memory.file.clone().into()));
        if request.credential.is_some() {
            let file = memory.credential.clone().into();
            environment.push((memory::CREDENTIAL_VARIABLE.into(), file));
        }
        environment.push(("TRACEPARENT".into(), request.trace_context.clone().into()));
        Ok(ProcessSpec {
            program,
            arguments,
            environment,
            working_directory: request.working_directory.clone(),
            limits: self.options.limits,
            visible: Visible {
                write: vec![
                    request.session_directory.clone(),
                    directory.to_owned(),
                    request.home_directory.clone(),
                    request.temporary_directory.clone(),
                    request.working_directory.clone(),
                ],
                read: (self.places.iter())
                    .chain([&request.gateway_directory])
                    .cloned()
                    .collect(),
            },
            user: request.user,
        })
    }

    /// What pi is to be started with for the request's conversation.
    async fn start_words(
        &self,
        request: &OpenRequest,
        (directory, memory): (&Path, &Memory),
    ) -> Result<StartWords, StartError> {
        let file = StartWordsFile {
            place: request.session_directory.clone(),
            name: format!("{}.pi.json", request.session_id),
        };
        let trouble = |error: io::Error| {
            let place = file.place.display();
            StartError(format!(
                "cannot keep in {place} what pi is started with: {error}"
            ))
        };
        let last = file.read().await.map_err(trouble)?;
        let model = first_set(&request.model, &self.options.model);
        let level = first_set(&request.thinking_level, &self.options.thinking_level);
        let (model, level) = (
            Word::after(&last.model, model),
            Word::after(&last.level, level),
        );
        let words = match (model, level) {
            (Some(model), Some(level)) => StartWords { model, level },
            (model, level) => {
                // What it would begin another conversation with.
                let known = StartWords {
                    model: model.clone().unwrap_or_default(),
                    level: level.clone().unwrap_or_default(),
                };
                let spec = self.spec(request, directory, memory, (None, &known))?;
                let mut pi = self.child(request, memory, Process::spawn(&self.host, spec)?);
                let own = pi.start(self.options.start_timeout).await?;
                let own_level = pi.thinking_level().to_owned();
                pi.dismiss().await?;
                StartWords {
                    model: model.unwrap_or_else(|| Word::default_of(own)),
                    level: level.unwrap_or_else(|| Word::default_of(own_level)),
                }
            }
        };
        file.write(words.clone(), &last).await.map_err(trouble)?;
        Ok(words)
    }

    fn child(&self, request: &OpenRequest, memory: &Memory, process: Process) -> PiChild {
        PiChild::new(
            process,
            memory.clone(),
            self.options.stop_grace,
            self.secrets.clone(),
            request.credential.clone(),
        )
    }

    /// Makes the owner's pi directory and fills it from the template.
    async fn own_directory(&self, request: &OpenRequest) -> io::Result<PathBuf> {
        let owner = request.owner_directory.clone();
        let template = self.options.template_directory.clone();
        blocking(move || fill(&owner, template.as_deref())).await?;
        Ok(request.owner_directory.join(DIRECTORY))
    }
}

/// Name of a generation's conversation in the session's directory.
fn session_file(request: &OpenRequest) -> String {
    session_file::name(request.session_id)
}

/// Makes pi's directory in an owner's and fills it from a template. Agents write in it.
fn fill(owner: &Path, template: Option<&Path>) -> io::Result<()> {
    let directory = Directory::open(owner)?.make(Path::new(DIRECTORY))?;
    let Some(template) = template else {
        return Ok(());
    };
    for (name, when) in TAKEN {
        let source = template.join(name);
        let facts = match fs::metadata(&source) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let name = Path::new(name);
        let own = directory.look(name)?;
        let take = match (when, own) {
            (Taken::EachTime, _) | (_, None) => true,
            (Taken::Once, Some(_)) => false,
            (Taken::IfNewer, Some(own)) => {
                // An agent may have put something else there, which is no login.
                let is_file = FileType::from_raw_mode(own.st_mode) == FileType::RegularFile;
                !is_file || (facts.mtime(), facts.mtime_nsec()) > modified(&own)
            }
        };
        if take {
            directory.write(name, &fs::read(&source)?)?;
        }
    }
    Ok(())
}

/// When a file was changed last: seconds and nanoseconds.
fn modified(file: &rustix::fs::Stat) -> (i64, i64) {
    let nanoseconds = i64::try_from(file.st_mtime_nsec).unwrap_or_default();
    (file.st_mtime, nanoseconds)
}

fn first_set<'a>(asked: &'a str, default: &'a str) -> &'a str {
    if asked.is_empty() { default } else { asked }
}

#[async_trait]
impl Driver for PiDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            steer: true,
            soft_cancel: true,
            images: true,
            thinking: true,
            models: true,
            options: false,
            fork: true,
            compaction: true,
            commands: true,
            questions: true,
            // Its extensions ask, but about no tool by its name.
            tool_policy: ToolPolicySupport::None,
            resume: true,
            usage: UsageReports::Call,
            // An extension decides what its own dialog means.
            deny_continues: true,
            workspace: false,
            workspace_diff: false,
            sub_agents: false,
            client_tools: false,
            structured_output: true,
        }
    }

    fn operator_only(&self) -> bool {
        self.host.confinement.operator_only()
    }

    async fn open(&self, request: OpenRequest) -> Result<Agent, StartError> {
        let directory = self.own_directory(&request).await.map_err(|error| {
            let directory = request.owner_directory.display();
            StartError(format!("cannot prepare {directory} for pi: {error}"))
        })?;
        let memory = Memory::of(&request.gateway_directory);
        memory
            .install(request.credential.as_ref())
            .await
            .map_err(|error| {
                let file = memory.extension.display();
                StartError(format!("cannot write {file} for pi: {error}"))
            })?;
        let file = session_file(&request);
        let (place, work) = (&request.session_directory, &request.working_directory);
        let moved = session_file::work_in(place.clone(), file.clone(), work.clone());
        let remembers = moved.await.map_err(|error| {
            let place = place.display();
            StartError(format!(
                "cannot say in {place}/{file} where pi works: {error}"
            ))
        })?;
        let words = self.start_words(&request, (&directory, &memory)).await?;
        let spec = self.spec(&request, &directory, &memory, (Some(&file), &words))?;
        let process = Process::spawn(&self.host, spec)?;
        let mut child = self.child(&request, &memory, process);
        let model = child.start(self.options.start_timeout).await?;
        let chosen = words.model.chosen && !request.model.is_empty();
        child.ask_offers(chosen.then_some(self.options.model.as_str()));
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        let (event_sender, events) = events::channel();
        event_sender
            .send(AgentEvent::Ready { model })
            .await
            .expect("the channel is new, and its receiver is here");
        let channels = Channels {
            commands: command_receiver,
            events: event_sender,
        };
        // What it logs is found with its session. It lives over many turns, so it is no part of one's trace.
        let span = tracing::error_span!(
            parent: None,
            "agent",
            tenant = request.tenant,
            session_key = request.session_key,
        );
        tokio::spawn(child.run(channels).instrument(span));
        Ok(Agent {
            commands,
            events,
            capabilities: self.capabilities(),
            takes_choices: false,
            submits: request.credential.is_some(),
            remembers,
            // pi tells none in RPC mode.
            version: String::new(),
        })
    }

    async fn fork(&self, request: ForkRequest) -> io::Result<()> {
        session_file::copy(request).await
    }

    async fn sweep_leftovers(&self) {
        process::sweep_leftovers(&self.host.node_mark).await;
    }
}
