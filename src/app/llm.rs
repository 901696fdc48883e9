//! How an agent that is a model is set up.

use super::process_limits;
use crate::{
    agent::llm::{
        Api, Endpoint, KnownProvider, LlmOptions, McpOptions, McpPlace, ModelName, Program,
    },
    auth::secret_files,
    config::{AgentConfig, ApiWanted, Config, McpServerConfig},
};
use anyhow::{Context as _, anyhow};
use http::{HeaderName, HeaderValue};
use secrecy::SecretString;
use std::path::{Path, PathBuf};

/// The options of an agent.
///
/// # Errors
/// The file with its key can't be read.
pub(super) fn options(config: &Config, agent: &AgentConfig) -> anyhow::Result<LlmOptions> {
    let model = ModelName::parse(&agent.model).map_err(|it| anyhow!("model {it}"))?;
    let known = KnownProvider::find(&model.provider);
    // Another server's address may be given under a known name: it is no place for that one's key or API.
    let own = known.filter(|_| agent.base_url.is_empty());
    let base_url = own.map_or(agent.base_url.as_str(), |it| it.base_url);
    let api = match agent.api {
        ApiWanted::Auto => own.map_or(Api::ChatCompletions, |it| it.api),
        ApiWanted::Chat => Api::ChatCompletions,
        ApiWanted::Responses => Api::Responses,
        ApiWanted::Anthropic => Api::Anthropic,
        ApiWanted::Gemini => Api::Gemini,
    };
    let key = match agent.api_key_file.as_str() {
        "" if agent.api_key.is_empty() => usual_key(own),
        "" => agent.api_key.0.clone(),
        file => secret_files::read_key(Path::new(file)).context("api_key_file")?,
    };
    Ok(LlmOptions {
        endpoint: Endpoint {
            api,
            base_url: base_url.trim_end_matches('/').to_owned(),
            key,
        },
        model,
        thinking_level: agent.thinking_level.clone(),
        instructions: agent.instructions.clone(),
        max_output_tokens: agent.max_output_tokens,
        memory_tools: agent.memory_tools,
        mcp_servers: mcp_servers(config, agent)?,
        limits: process_limits(agent),
    })
}

/// The servers whose tools it has.
fn mcp_servers(config: &Config, agent: &AgentConfig) -> anyhow::Result<Vec<McpOptions>> {
    let servers = agent.mcp_servers.iter().map(|name| {
        let server = config.mcp_servers.get(name);
        let server = server.with_context(|| format!("there is no [mcp_servers.{name}]"))?;
        let headers = server.headers.0.iter().map(|(name, value)| {
            let mut value = HeaderValue::from_str(value)?;
            value.set_sensitive(true);
            Ok((HeaderName::from_bytes(name.as_bytes())?, value))
        });
        let at = match programs(server) {
            Some(program) => McpPlace::Program(program),
            None => McpPlace::Http {
                url: server.url.clone(),
                headers: headers.collect::<anyhow::Result<_>>()?,
            },
        };
        Ok(McpOptions {
            name: name.clone(),
            at,
            timeout: server.timeout,
        })
    });
    servers.collect()
}

/// The program that a server is; `None` where it is reached by HTTP.
fn programs(server: &McpServerConfig) -> Option<Program> {
    (!server.command.is_empty()).then(|| Program {
        command: server.command.clone(),
        environment: server.environment.0.clone().into_iter().collect(),
    })
}

/// Where the servers of an agent lie that are programs.
pub(super) fn program_places(config: &Config, agent: &AgentConfig) -> Vec<PathBuf> {
    let servers = agent.mcp_servers.iter();
    let servers = servers.filter_map(|name| config.mcp_servers.get(name));
    servers
        .filter_map(programs)
        .flat_map(|it| it.places())
        .collect()
}

/// Whether an agent starts processes, though its driver is a model.
pub(super) fn starts_programs(config: &Config, agent: &AgentConfig) -> bool {
    let mut servers = agent.mcp_servers.iter();
    servers.any(|name| {
        config
            .mcp_servers
            .get(name)
            .is_some_and(|it| !it.command.is_empty())
    })
}

/// The key that a known provider's own programs take.
fn usual_key(known: Option<KnownProvider>) -> SecretString {
    let found = known.and_then(|it| std::env::var(it.key_variable).ok());
    found.unwrap_or_default().trim().to_owned().into()
}
