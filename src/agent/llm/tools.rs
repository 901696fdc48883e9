//! The tools of a turn: those of the agent's servers, under names that every provider takes, those that the caller runs,
//! and the one that takes the turn's output.

use super::{
    mcp::{Elicited, McpOptions, Offered, Questions, Server},
    stdio::Launch,
};
use crate::agent::process::StopFailed;
use crate::domain::{client_tool::ClientTool, tool_policy::SUBMIT_RESULT};
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};
use tokio::sync::mpsc;

/// Tools of one agent, over all servers.
pub(super) const TOOLS_MAX: usize = 256;
/// The name of the gateway's own server; its tools stand under their own names.
pub const OWN_SERVER: &str = "quarterdeck";
/// Longest name of a tool that every provider takes, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// A tool as models are told of it.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    /// `mcp__server__tool`.
    pub(super) name: String,
    pub(super) description: String,
    /// JSON Schema of its arguments, an object.
    pub(super) schema: Value,
    pub(super) runs: Runs,
}

/// Who runs a tool.
#[derive(Clone, Debug)]
pub(super) enum Runs {
    /// A server; and what it calls the tool.
    Server(Arc<Server>, String),
    /// The caller.
    Caller,
    /// Nobody: it takes what the turn answers with.
    Output,
}

// === impl Tool ===

impl Tool {
    /// One that the caller runs.
    pub(super) fn of_caller(tool: &ClientTool) -> Self {
        Self {
            name: tool.name.clone(),
            description: tool.description.clone(),
            schema: with_type(&tool.schema_json),
            runs: Runs::Caller,
        }
    }

    /// The one that takes the turn's output.
    pub(super) fn output() -> Self {
        Self {
            name: SUBMIT_RESULT.to_owned(),
            description: "Gives the final result of the task, as JSON that meets the schema which the user named. Call it \
                          once the work is done."
                .to_owned(),
            schema: json!({ "type": "object", "properties": { "result": {} }, "required": ["result"] }),
            runs: Runs::Output,
        }
    }
}

/// A schema of arguments; providers want to be told that it is of an object.
fn with_type(schema_json: &str) -> Value {
    let mut schema: Value = serde_json::from_str(schema_json).unwrap_or_else(|_| json!({}));
    if let Some(keywords) = schema.as_object_mut() {
        keywords.entry("type").or_insert_with(|| json!("object"));
        keywords.entry("properties").or_insert_with(|| json!({}));
    }
    schema
}

/// The servers of an agent.
#[derive(Debug)]
pub(super) struct Servers {
    all: Vec<Arc<Server>>,
    questions: Arc<Questions>,
}

// === impl Servers ===

impl Servers {
    /// Those of a session. `launch` is how programs are started.
    pub(super) fn new(options: &[McpOptions], client: &Client, launch: Option<&Launch>) -> Self {
        let questions = Arc::<Questions>::default();
        let server = |it: &McpOptions| {
            let questions = Arc::clone(&questions);
            Arc::new(Server::new(
                it.clone(),
                client.clone(),
                launch.cloned(),
                questions,
            ))
        };
        Self {
            all: options.iter().map(server).collect(),
            questions,
        }
    }

    /// Has what they ask go there; without a place it is declined.
    pub(super) fn ask_at(&self, place: Option<mpsc::Sender<Elicited>>) {
        *self
            .questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Ends those that are programs, and proves that; they are started anew when they are needed.
    ///
    /// # Errors
    /// What may be left of one.
    pub(super) async fn stop(&self) -> Result<(), StopFailed> {
        let stopped = join_all(self.all.iter().map(|server| server.stop())).await;
        stopped.into_iter().collect()
    }

    /// What all of them offer now.
    ///
    /// # Errors
    /// One of them can't be reached; for people.
    pub(super) async fn tools(&self) -> Result<Vec<Tool>, String> {
        let listing = self.all.iter().map(|it| it.tools());
        let mut tools: Vec<Tool> = vec![];
        for (server, offered) in self.all.iter().zip(join_all(listing).await) {
            let offered = match offered {
                Err(problem) if server.name() == OWN_SERVER => {
                    // Memory that fails costs the turn its tools, never the turn.
                    tracing::warn!(problem, "a model is not given the memory tools");
                    vec![]
                }
                offered => offered?,
            };
            for Offered {
                name: own_name,
                description,
                schema,
            } in offered
            {
                let name = name(server.name(), &own_name);
                if name == SUBMIT_RESULT {
                    // The turn itself takes its output.
                    continue;
                }
                if tools.len() >= TOOLS_MAX || tools.iter().any(|it| it.name == name) {
                    tracing::warn!(
                        tool = name,
                        "a tool is left out: there are too many, or two of this name"
                    );
                    continue;
                }
                tools.push(Tool {
                    name,
                    description,
                    schema,
                    runs: Runs::Server(Arc::clone(server), own_name),
                });
            }
        }
        Ok(tools)
    }
}

/// The name by which models, policies and people know a server's tool.
fn name(server: &str, tool: &str) -> String {
    let allowed = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
    if server == OWN_SERVER {
        return tool.to_owned();
    }
    let mut name = format!("mcp__{server}__{tool}").replace(|it: char| !allowed(it), "_");
    name.truncate(NAME_MAX_BYTES);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_that_every_provider_takes_them() {
        assert_eq!(name(OWN_SERVER, "memory_search"), "memory_search");
        assert_eq!(name("files", "read"), "mcp__files__read");
        assert_eq!(name("files", "läs.fil"), "mcp__files__l_s_fil");
        assert_eq!(name("files", &"x".repeat(100)).len(), NAME_MAX_BYTES);
    }
}
