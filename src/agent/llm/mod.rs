//! A model as an agent: our own loop around any provider's API.
//!
//! # Parts
//!
//! | file | does |
//! |---|---|
//! | `session` | one open agent: commands, the stream of a call and the clock, in one task |
//! | `turn` | the loop of a turn, pure: what happened goes in, what is to be done comes out |
//! | `conversation` | stored messages as what a model is given, pure |
//! | `provider` | the four dialects: a conversation as a request, a stream as a reply, pure |
//! | `http` | the one place that calls a provider |
//! | `tools`, `mcp`, `stdio` | tools of servers that speak the Model Context Protocol, by HTTP or as programs |
//! | `options` | how it is set up |
//!
//! Its memory is the session's stored messages and nothing else: it writes no file, and starts no process but servers that are
//! configured as programs. A conversation
//! goes on after a crash, in a fork and after a Reset as its messages say. An error of a provider fails the turn, with what
//! the provider says of it; calls that may succeed later are tried again first, as often as [`turn::TRIES_MAX`] says.

mod conversation;
mod http;
mod mcp;
mod options;
mod provider;
mod session;
mod stdio;
mod tools;
mod turn;

pub use mcp::{McpOptions, McpPlace};
pub use options::{Endpoint, KnownProvider, LlmOptions, ModelName};
pub use provider::Api;
pub use stdio::Program;
pub use tools::OWN_SERVER;

use super::{
    Agent, COMMANDS_MAX, Capabilities, Driver, OpenRequest, StartError, events,
    process::{self, ProcessHost},
};
use crate::{
    auth::agents::AgentCredential,
    domain::agent::{ToolPolicySupport, UsageReports},
};
use ::http::{HeaderValue, header};
use async_trait::async_trait;
use reqwest::Client;
use secrecy::ExposeSecret as _;
use session::Session;
use std::{sync::Arc, time::Duration};
use stdio::Launch;
use tokio::sync::mpsc;
use tools::Servers;

/// Path of the memory tools at the agents' door.
const MEMORY_PATH: &str = "/mcp";
/// Time for one call of them.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(30);

/// The driver.
#[derive(Debug)]
pub struct LlmDriver {
    options: Arc<LlmOptions>,
    /// Connections to the provider, shared by all sessions.
    client: Client,
    /// How servers that are programs are kept.
    host: ProcessHost,
}

/// The client can't be made.
#[derive(Debug, thiserror::Error)]
#[error("can't prepare calls to a model's provider: {0}")]
pub struct BadClient(#[source] reqwest::Error);

// === impl LlmDriver ===

impl LlmDriver {
    /// A driver; it connects when its first turn runs.
    ///
    /// # Errors
    /// The system's certificates can't be read.
    pub fn new(options: LlmOptions, host: ProcessHost) -> Result<Self, BadClient> {
        Ok(Self {
            host,
            options: Arc::new(options),
            client: http::client().map_err(BadClient)?,
        })
    }

    /// Whether some of its servers are programs.
    fn starts_programs(&self) -> bool {
        self.options.starts_programs()
    }

    /// Whether calls go to that provider itself, and not to a server that stands for it.
    fn is_at(&self, known: &KnownProvider) -> bool {
        self.options.endpoint.base_url == known.base_url
    }

    /// The model's id at the provider that is configured.
    fn model_id(&self, asked: &str) -> Result<String, StartError> {
        let provider = &self.options.model.provider;
        match asked.split_once('/') {
            _ if asked.is_empty() => Ok(self.options.model.id.clone()),
            Some((first, id)) if first == provider && ModelName::parse(asked).is_ok() => {
                Ok(id.to_owned())
            }
            _ => Err(StartError(format!(
                "the session's model must be one of the agent's provider, such as {}",
                self.options.model
            ))),
        }
    }
}

#[async_trait]
impl Driver for LlmDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            steer: true,
            soft_cancel: true,
            images: true,
            thinking: true,
            models: true,
            options: false,
            fork: true,
            // It does so by itself, where a model has no room left.
            compaction: false,
            commands: false,
            questions: true,
            tool_policy: ToolPolicySupport::Enforced,
            resume: true,
            usage: UsageReports::Call,
            deny_continues: true,
            workspace: false,
            client_tools: true,
            structured_output: true,
        }
    }

    fn operator_only(&self) -> bool {
        self.starts_programs() && self.host.confinement.operator_only()
    }

    async fn sweep_leftovers(&self) {
        if self.starts_programs() {
            process::sweep_leftovers(&self.host.node_mark).await;
        }
    }

    async fn open(&self, request: OpenRequest) -> Result<Agent, StartError> {
        let provider = &self.options.model.provider;
        let keyless = self.options.endpoint.key.expose_secret().is_empty();
        if let Some(known) = KnownProvider::find(provider).filter(|it| keyless && self.is_at(it)) {
            return Err(StartError(format!(
                "there is no key for {provider}: set {} in the server's environment, or api_key_file of the agent",
                known.key_variable
            )));
        }
        let model = self.model_id(&request.model)?;
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        let (event_sender, events) = events::channel();
        let thinking_level = match request.thinking_level.as_str() {
            "" => self.options.thinking_level.clone(),
            level => level.to_owned(),
        };
        let memory = request
            .credential
            .as_ref()
            .filter(|_| self.options.memory_tools);
        let memory = memory.and_then(memory_server);
        let servers = self.options.mcp_servers.iter().cloned().chain(memory);
        let servers: Vec<McpOptions> = servers.collect();
        let launch = Launch::new(&self.host, self.options.limits, &request);
        let launch = self.starts_programs().then_some(launch);
        let session = Session {
            client: self.client.clone(),
            options: Arc::clone(&self.options),
            model_name: format!("{provider}/{model}"),
            model,
            thinking_level,
            servers: Servers::new(&servers, &self.client, launch.as_ref()),
            _credential: request.credential,
            conversation: request.conversation,
            commands: command_receiver,
            events: event_sender,
        };
        tokio::spawn(session.run());
        Ok(Agent {
            commands,
            events,
            capabilities: self.capabilities(),
            version: env!("CARGO_PKG_VERSION").into(),
            takes_choices: false,
            submits: false,
            // Its conversation is the stored one.
            remembers: true,
        })
    }
}

/// The gateway's memory tools, for the session of this credential.
fn memory_server(credential: &AgentCredential) -> Option<McpOptions> {
    let bearer = format!("Bearer {}", credential.token().expose_secret());
    let mut bearer = HeaderValue::from_str(&bearer).ok()?;
    bearer.set_sensitive(true);
    Some(McpOptions {
        name: OWN_SERVER.to_owned(),
        at: McpPlace::Http {
            url: format!("{}{MEMORY_PATH}", credential.address()),
            headers: vec![(header::AUTHORIZATION, bearer)],
        },
        timeout: MEMORY_TIMEOUT,
    })
}
