//! What agents can do, and what is known of it.
//!
//! Before an agent has started nobody knows what it can do, only what its driver can at most. What may be missing counts as
//! there: a caller is refused only what is known not to work.

use super::{ids::Time, limits::cut, refusal::Refusal};
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Revisions of one agent of which it is kept what they told; the oldest go.
pub const REVISIONS_MAX: usize = 8;
/// Longest version that an agent tells, in bytes; a longer one is cut.
pub const VERSION_MAX_BYTES: usize = 128;
/// What an agent tells once more is written down again after this long, in microseconds.
const TOLD_AGAIN_MICROS: i64 = 60 * 60 * 1_000_000;

/// Whether an agent keeps to a tool policy. The numbers are the contract's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ToolPolicySupport {
    /// Each call of a tool is held back until the policy was asked.
    Enforced = 1,
    /// The policy decides what the agent asks for; what it runs unasked nobody sees before.
    OnRequest = 2,
    /// It never asks about a tool by its name.
    #[default]
    None = 3,
}

/// How often an agent tells what it used. The numbers are the contract's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UsageReports {
    /// With each model call.
    Call = 1,
    /// At the end of a turn.
    Turn = 2,
    /// Never.
    #[default]
    None = 3,
}

/// What an agent can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Takes steers while a turn runs.
    pub steer: bool,
    /// Can stop a turn without ending its process.
    pub soft_cancel: bool,
    /// Takes images.
    pub images: bool,
    /// Shows thinking and takes a thinking level.
    pub thinking: bool,
    /// Takes a model choice.
    pub models: bool,
    /// Has further options that can be chosen. Of what was kept before there were any nothing is known: it counts as there.
    #[serde(default = "maybe")]
    pub options: bool,
    /// A session can be forked at a finished turn.
    pub fork: bool,
    /// Shortens its conversation when it is told to, and says so.
    pub compaction: bool,
    /// Has commands of its own. What was kept by an earlier version does not say.
    #[serde(default)]
    pub commands: bool,
    /// Asks: permissions, forms, links.
    pub questions: bool,
    /// Whether rules for tools are kept to.
    pub tool_policy: ToolPolicySupport,
    /// Continues a conversation after its process ended.
    pub resume: bool,
    /// How often it tells what it used.
    pub usage: UsageReports,
    /// Goes on with its turn after a denial; where false, a denial ends the turn.
    pub deny_continues: bool,
    /// The files of its working directory may be read. Its configuration says so, not the agent.
    pub workspace: bool,
    /// What a turn changed in them may be read. Its configuration says so, not the agent.
    #[serde(default)]
    pub workspace_diff: bool,
    /// Tells what sub-agents it gives tasks to. What was kept by an earlier version does not say.
    #[serde(default)]
    pub sub_agents: bool,
    /// Its model is offered the tools that the caller runs. Its driver says so, not the agent.
    #[serde(default)]
    pub client_tools: bool,
    /// Gives an output that meets a schema. Its driver says so, not the agent.
    #[serde(default)]
    pub structured_output: bool,
}

/// What a caller may ask an agent for that not every agent can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Steers.
    Steer,
    /// Images.
    Images,
    /// A thinking level.
    Thinking,
    /// A model.
    Models,
    /// A fork.
    Fork,
    /// A compaction.
    Compaction,
    /// A rule that keeps tools from running.
    Denials,
    /// Files of its working directory.
    Workspace,
    /// What a turn changed in them.
    WorkspaceDiff,
    /// Tools that the caller runs.
    ClientTools,
    /// An output that meets a schema.
    StructuredOutput,
}

/// What is known of a configured agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Names its configuration: another one has another revision.
    pub revision: String,
    /// What it can do; before it told, what its driver can at most.
    pub capabilities: Capabilities,
    /// Version that its program told; empty where it told none.
    pub version: String,
    /// When it told; `None` before.
    pub as_of: Option<Time>,
}

/// What is known of a configured agent, shared between who learns it and all who decide by it.
#[derive(Clone, Debug)]
pub struct KnownAgent(Arc<ArcSwap<Known>>);

/// What an agent told of itself when it started, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldAgent {
    /// Its name.
    pub agent: String,
    /// Its configuration of then.
    pub revision: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Version of its program.
    pub version: String,
    /// When.
    pub as_of: Time,
}

fn maybe() -> bool {
    true
}

// === impl Capabilities ===

impl Capabilities {
    /// Whether it can do that.
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Steer => self.steer,
            Capability::Images => self.images,
            Capability::Thinking => self.thinking,
            Capability::Models => self.models,
            Capability::Fork => self.fork,
            Capability::Compaction => self.compaction,
            Capability::Workspace => self.workspace,
            Capability::WorkspaceDiff => self.workspace_diff,
            Capability::ClientTools => self.client_tools,
            Capability::StructuredOutput => self.structured_output,
            Capability::Denials => self.tool_policy != ToolPolicySupport::None,
        }
    }

    /// The same, with what drivers and configurations say of them in place of what was told.
    fn of_driver(self, driver: Self) -> Self {
        Self {
            workspace: driver.workspace,
            workspace_diff: driver.workspace_diff,
            client_tools: driver.client_tools,
            structured_output: driver.structured_output,
            ..self
        }
    }
}

// === impl Capability ===

impl Capability {
    /// What an agent without it can't do.
    pub fn what(self) -> &'static str {
        match self {
            Self::Steer => "be steered",
            Self::Images => "take images",
            Self::Thinking => "take a thinking level",
            Self::Models => "take a model",
            Self::Fork => "be forked",
            Self::Compaction => "shorten its conversation when it is told to",
            Self::Workspace => "show its files: its configuration does not say workspace_read",
            Self::WorkspaceDiff => {
                "show what a turn changed: its configuration does not say workspace_diff"
            }
            Self::ClientTools => "call tools that its caller runs (client_tools)",
            Self::StructuredOutput => "answer by a schema (output_schema)",
            Self::Denials => "be kept from running tools: it never asks before it runs one",
        }
    }
}

// === impl KnownAgent ===

impl KnownAgent {
    /// Of an agent that told nothing yet: what its driver can at most.
    pub fn new(at_most: Capabilities) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Known {
            revision: String::new(),
            capabilities: at_most,
            version: String::new(),
            as_of: None,
        })))
    }

    /// What is known now.
    pub fn get(&self) -> Arc<Known> {
        self.0.load_full()
    }

    /// Says which configuration it has, and takes what that one told before, the newest of it.
    pub fn begin(&self, agent: &str, revision: String, told: &[ToldAgent]) {
        let before = self.get();
        let told = (told.iter()).filter(|it| it.agent == agent && it.revision == revision);
        let known = match told.max_by_key(|it| it.as_of) {
            Some(told) => Known {
                revision,
                capabilities: told.capabilities.of_driver(before.capabilities),
                version: told.version.clone(),
                as_of: Some(told.as_of),
            },
            None => Known {
                revision,
                ..Known::clone(&before)
            },
        };
        self.0.store(Arc::new(known));
    }

    /// Takes what the agent told when it started. Returns what is to be kept of it, where that is new.
    pub fn learn(
        &self,
        agent: &str,
        capabilities: Capabilities,
        version: &str,
        now: Time,
    ) -> Option<ToldAgent> {
        let before = self.get();
        let capabilities = capabilities.of_driver(before.capabilities);
        let version: String = version.chars().filter(|it| !it.is_control()).collect();
        let version = cut(&version, VERSION_MAX_BYTES).to_owned();
        let is_known = before.capabilities == capabilities
            && before.version == version
            && (before.as_of).is_some_and(|as_of| now < as_of.plus_micros(TOLD_AGAIN_MICROS));
        if is_known {
            return None;
        }
        let revision = before.revision.clone();
        self.0.store(Arc::new(Known {
            revision: revision.clone(),
            capabilities,
            version: version.clone(),
            as_of: Some(now),
        }));
        Some(ToldAgent {
            agent: agent.to_owned(),
            revision,
            capabilities,
            version,
            as_of: now,
        })
    }

    /// Refuses what the agent is known not to be able to. The only place that decides that.
    ///
    /// # Errors
    /// `UNSUPPORTED_BY_AGENT`.
    pub fn require(&self, agent: &str, capability: Capability) -> Result<(), Refusal> {
        if self.0.load().capabilities.has(capability) {
            return Ok(());
        }
        Err(Refusal::UnsupportedByAgent {
            agent: agent.to_owned(),
            what: capability.what(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Capabilities = Capabilities {
        steer: true,
        soft_cancel: true,
        images: true,
        thinking: true,
        models: true,
        options: true,
        commands: true,
        fork: true,
        compaction: true,
        questions: true,
        tool_policy: ToolPolicySupport::Enforced,
        resume: true,
        usage: UsageReports::Call,
        deny_continues: true,
        workspace: false,
        workspace_diff: false,
        sub_agents: true,
        client_tools: true,
        structured_output: true,
    };

    #[test]
    fn what_is_not_known_counts_as_there_and_what_was_told_counts_for_its_revision_alone() {
        let known = KnownAgent::new(ALL);
        known.begin("a", "1".into(), &[]);
        assert_eq!(known.require("a", Capability::Steer), Ok(()));
        let less = Capabilities {
            steer: false,
            tool_policy: ToolPolicySupport::None,
            ..ALL
        };
        let told = known.learn("a", less, "1.0\u{1b}[2J", Time(5));
        let told = told.expect("it is new");
        assert_eq!((told.version.as_str(), told.as_of), ("1.0[2J", Time(5)));
        for capability in [Capability::Steer, Capability::Denials] {
            let refused = known.require("a", capability).expect_err("it can't");
            assert_eq!(refused.reason(), "UNSUPPORTED_BY_AGENT");
        }
        // The same once more is no news for an hour.
        assert_eq!(known.learn("a", less, "1.0[2J", Time(6)), None);
        let later = Time(5 + TOLD_AGAIN_MICROS);
        assert!(known.learn("a", less, "1.0[2J", later).is_some());

        let again = KnownAgent::new(ALL);
        again.begin("a", "1".into(), std::slice::from_ref(&told));
        assert!(again.require("a", Capability::Steer).is_err());
        assert_eq!(again.get().as_of, Some(Time(5)));
        for (agent, revision) in [("a", "2"), ("b", "1")] {
            let other = KnownAgent::new(ALL);
            other.begin(agent, revision.into(), std::slice::from_ref(&told));
            assert_eq!(other.require("a", Capability::Steer), Ok(()));
            assert_eq!(other.get().as_of, None);
        }
    }
}
