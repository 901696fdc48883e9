//! What an agent says of itself when it starts.

use super::options::{Options, Setting};
use crate::domain::agent::{Capabilities, ToolPolicySupport, UsageReports};
use serde_json::Value;

/// The version of the protocol that is spoken here.
pub(super) const PROTOCOL_VERSION: i64 = 1;
/// Agents that go on with their turn after a denial, by the names that they give themselves. Others end it.
const GO_ON: [&str; 2] = ["@agentclientprotocol/claude-agent-acp", "gemini-cli"];
/// Agents that say that they find a conversation again, and never do, by the same names.
const FORGET: [&str; 1] = ["gemini-cli"];

/// Agents that tell what their sub-agents do without saying that they would, by the same names.
const TELL_SUBAGENTS: [&str; 1] = ["@agentclientprotocol/claude-agent-acp"];

/// What it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its name and version, for people.
    pub(super) name: String,
    /// Its version alone; empty where it names none.
    pub(super) version: String,
    /// Finds a conversation again without telling it once more.
    pub(super) resume: bool,
    /// Finds a conversation again and tells all of it.
    pub(super) load: bool,
    /// Takes images.
    pub(super) images: bool,
    /// Takes resources beside the text.
    pub(super) embedded: bool,
    /// Takes steers.
    pub(super) steer: bool,
    /// Tells what its sub-agents do.
    sub_agents: bool,
    /// Goes on after a denial.
    deny_continues: bool,
    /// Finds no conversation again, whatever it says.
    forgets: bool,
}

// === impl Facts ===

impl Facts {
    /// Reads the answer to `initialize`.
    ///
    /// # Errors
    /// It speaks another version.
    pub(super) fn of(answer: &Value) -> Result<Self, String> {
        let version = &answer["protocolVersion"];
        if version.as_i64() != Some(PROTOCOL_VERSION) {
            return Err(format!(
                "the agent speaks version {version} of the Agent Client Protocol, and this server version \
                 {PROTOCOL_VERSION}; install a version of it that speaks that"
            ));
        }
        let can = &answer["agentCapabilities"];
        let info = &answer["agentInfo"];
        let name = info["name"].as_str().unwrap_or("the agent");
        let version = info["version"].as_str().unwrap_or_default();
        Ok(Self {
            name: format!("{name} {version}").trim_end().to_owned(),
            version: version.to_owned(),
            resume: is_there(&can["sessionCapabilities"]["resume"]),
            load: can["loadSession"] == true,
            images: can["promptCapabilities"]["image"] == true,
            embedded: can["promptCapabilities"]["embeddedContext"] == true,
            steer: answer["_meta"]["steering"]["supported"] == true,
            sub_agents: TELL_SUBAGENTS.contains(&name)
                || is_there(&can["sessionCapabilities"]["subagents"]),
            deny_continues: GO_ON.contains(&name),
            forgets: FORGET.contains(&name),
        })
    }

    /// What a session with it can be asked for.
    pub(super) fn capabilities(&self, options: &Options, compaction: bool) -> Capabilities {
        Capabilities {
            steer: self.steer,
            soft_cancel: true,
            images: self.images,
            thinking: options.offers(&Setting::ThinkingLevel),
            models: options.offers(&Setting::Model),
            options: options.any(),
            // Each session has a home of its own, where no other's conversation is found: a fork is told it.
            fork: true,
            compaction,
            commands: true,
            questions: true,
            tool_policy: ToolPolicySupport::OnRequest,
            resume: (self.resume || self.load) && !self.forgets,
            usage: UsageReports::Turn,
            deny_continues: self.deny_continues,
            workspace: false,
            workspace_diff: false,
            sub_agents: self.sub_agents,
            client_tools: false,
            structured_output: true,
        }
    }
}

/// A capability is there as an object, or as `true`.
fn is_there(value: &Value) -> bool {
    value.is_object() || *value == true
}
