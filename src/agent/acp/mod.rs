//! The `acp` driver: one process per awake session of any agent that speaks the Agent Client Protocol, version 1.
//!
//! * Each session has a process, a home and a temporary directory of its own: what an agent keeps there (settings, logins,
//!   conversations) reaches nobody else. The home begins with the operator's template.
//! * The agent's id of its conversation is kept in the session's directory. A process that is started again goes on with it
//!   where the agent can: by `session/resume`, else by `session/load`, whose replay is dropped. Else it begins another one and
//!   is told the stored one.
//! * Permissions, forms and links that an agent asks for are questions of the turn. Every one that is open when the turn is
//!   stopped or ends is answered `cancelled`.
//! * A turn that was cancelled softly is over once the agent says so and everything that the turn started is gone. Where
//!   something had to be ended for that, the process ends after the turn. `Kill` ends the process, and `Exited` is the turn's
//!   end.
//! * File systems and terminals are not offered to agents: they have their own, inside their isolation.
//!
//! The walk: the agent's line → `rpc` → `machine` (with `options`, `choices`, `turn`, `message`, `tools`, `asks`, `usage`) → `child` → the
//! session's actor. What is written here of the protocol holds for agents as they are; where they differ it says so.

mod asks;
mod child;
mod choices;
mod commands;
mod conversation;
mod facts;
mod home;
mod machine;
mod memory;
mod message;
mod options;
mod prompt;
mod rpc;
mod subagents;
mod tools;
mod turn;
mod usage;

use super::{
    Agent, AgentEvent, COMMANDS_MAX, Capabilities, Driver, OpenRequest, StartError, events,
    isolation::{Visible, program},
    process::{self, Process, ProcessHost, ProcessLimits, ProcessSpec},
    secrets::Secrets,
};
use crate::domain::agent::{ToolPolicySupport, UsageReports};
use async_trait::async_trait;
use child::{AcpChild, Channels};
use conversation::ConversationFile;
use machine::Opening;
use options::{Setting, Wanted};
use serde_json::Value;
use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
    time::Duration,
};
use tokio::sync::mpsc;
use tracing::Instrument;

/// How an agent is run. Its `Debug` names variables of the environment and leaves their values out.
#[derive(Clone)]
pub struct AcpOptions {
    /// Program and its arguments; the program is looked up in `PATH` where it has no slash.
    pub command: Vec<String>,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Set for the agent and its tools. Keys of model providers go here.
    pub environment: Vec<(String, String)>,
    /// A directory whose files each session's home begins with.
    pub template_directory: Option<PathBuf>,
    /// Model of sessions that ask for none, as the agent calls it; empty: the agent's own default.
    pub model: String,
    /// Thinking level of sessions that ask for none; empty: the agent's own default.
    pub thinking_level: String,
    /// Mode of all sessions, as the agent calls it; empty: the agent's own default.
    pub mode: String,
    /// Time until the agent has its session. Some need 7 s on a quiet machine.
    pub start_timeout: Duration,
    /// Time that the agent gets to end by itself before it is killed.
    pub stop_grace: Duration,
    /// Bounds of the agent's process, and of each that it starts.
    pub limits: ProcessLimits,
}

/// The driver. Holds nothing of any session.
#[derive(Clone, Debug)]
pub struct AcpDriver {
    options: AcpOptions,
    host: ProcessHost,
    secrets: Secrets,
    /// Where the agent's program lives, and what else its command line names.
    places: Vec<PathBuf>,
}

// === impl AcpOptions ===

impl Default for AcpOptions {
    fn default() -> Self {
        Self {
            command: vec![],
            arguments: vec![],
            environment: vec![],
            template_directory: None,
            model: String::new(),
            thinking_level: String::new(),
            mode: String::new(),
            start_timeout: Duration::from_secs(60),
            stop_grace: Duration::from_secs(2),
            limits: ProcessLimits::default(),
        }
    }
}

impl AcpOptions {
    /// Where the agent's program lives, and what else its command line names: what an isolated agent is shown besides the
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

impl fmt::Debug for AcpOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            arguments,
            environment,
            template_directory,
            model,
            thinking_level,
            mode,
            start_timeout,
            stop_grace,
            limits,
        } = self;
        let names: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("AcpOptions")
            .field("command", command)
            .field("arguments", arguments)
            .field("environment", &names)
            .field("template_directory", template_directory)
            .field("model", model)
            .field("thinking_level", thinking_level)
            .field("mode", mode)
            .field("start_timeout", start_timeout)
            .field("stop_grace", stop_grace)
            .field("limits", limits)
            .finish()
    }
}

// === impl AcpDriver ===

impl AcpDriver {
    /// A driver that starts an agent as `options` say.
    pub fn new(options: AcpOptions, host: ProcessHost) -> Self {
        Self {
            secrets: Secrets::of_environment(&options.environment),
            places: options.places(),
            options,
            host,
        }
    }

    fn spec(&self, request: &OpenRequest) -> Result<ProcessSpec, StartError> {
        let options = &self.options;
        let mut command = options.command.iter().chain(&options.arguments);
        let program = command
            .next()
            .ok_or_else(|| StartError("the command of the agent is empty".into()))?;
        let mut environment: Vec<(OsString, OsString)> =
            vec![("HOME".into(), request.home_directory.clone().into())];
        let own = options.environment.iter();
        environment.extend(own.map(|(name, value)| (name.into(), value.into())));
        environment.push(("TMPDIR".into(), request.temporary_directory.clone().into()));
        environment.push(("TRACEPARENT".into(), request.trace_context.clone().into()));
        Ok(ProcessSpec {
            program: program.into(),
            arguments: command.map(OsString::from).collect(),
            environment,
            working_directory: request.working_directory.clone(),
            limits: options.limits,
            visible: Visible {
                write: vec![
                    request.home_directory.clone(),
                    request.temporary_directory.clone(),
                    request.working_directory.clone(),
                ],
                read: (self.places.iter())
                    // The server of the memory tools.
                    .chain([&request.gateway_directory, &self.host.keeper])
                    .cloned()
                    .collect(),
            },
            user: request.user,
        })
    }

    /// What the agent is opened with.
    async fn opening(
        &self,
        request: &OpenRequest,
        file: &ConversationFile,
    ) -> Result<Opening, StartError> {
        let working_directory = request.working_directory.to_str().ok_or_else(|| {
            let directory = request.working_directory.display();
            StartError(format!(
                "{directory} is not UTF-8, so no agent can be told to work in it"
            ))
        })?;
        let memory = memory::server(
            &request.gateway_directory,
            &self.host.keeper,
            request.credential.as_ref(),
        );
        let memory = memory.await.map_err(|error| {
            let directory = request.gateway_directory.display();
            StartError(format!(
                "cannot write into {directory} for the agent: {error}"
            ))
        })?;
        let conversation = file.read().await.map_err(|error| {
            let directory = request.session_directory.display();
            StartError(format!(
                "cannot read in {directory} which conversation to go on with: {error}"
            ))
        })?;
        let options = &self.options;
        let mode = (!options.mode.is_empty()).then(|| Wanted {
            setting: Setting::Mode,
            value: options.mode.clone(),
            back: false,
        });
        Ok(Opening {
            working_directory: working_directory.to_owned(),
            mcp_servers: memory.into_iter().collect(),
            conversation,
            mode,
            own_model: options.model.clone(),
            own_level: options.thinking_level.clone(),
        })
    }
}

/// The text of a value; empty where it is none.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[async_trait]
impl Driver for AcpDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            steer: true,
            soft_cancel: true,
            images: true,
            thinking: true,
            models: true,
            options: true,
            fork: true,
            compaction: true,
            commands: true,
            questions: true,
            tool_policy: ToolPolicySupport::OnRequest,
            resume: true,
            usage: UsageReports::Turn,
            deny_continues: true,
            workspace: false,
            workspace_diff: false,
            sub_agents: true,
            client_tools: false,
            structured_output: true,
        }
    }

    fn operator_only(&self) -> bool {
        self.host.confinement.operator_only()
    }

    async fn open(&self, request: OpenRequest) -> Result<Agent, StartError> {
        if let Some(template) = &self.options.template_directory {
            let filled = home::fill(request.home_directory.clone(), template.clone());
            filled.await.map_err(|error| {
                let template = template.display();
                StartError(format!(
                    "cannot give the agent its home from {template}: {error}"
                ))
            })?;
        }
        let file = ConversationFile::of(&request.session_directory, request.session_id);
        let opening = self.opening(&request, &file).await?;
        let process = Process::spawn(&self.host, self.spec(&request)?)?;
        let AcpOptions {
            start_timeout,
            stop_grace,
            ..
        } = self.options;
        let secrets = self.secrets.clone();
        let credential = request.credential.clone();
        let mut child = AcpChild::new(process, opening, file, stop_grace, secrets, credential);
        let (model, capabilities, version, remembers) = child.start(start_timeout).await?;
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
            capabilities,
            version,
            takes_choices: true,
            submits: request.credential.is_some(),
            remembers,
        })
    }

    async fn sweep_leftovers(&self) {
        process::sweep_leftovers(&self.host.node_mark).await;
    }
}
