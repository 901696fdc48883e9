//! What an agent of this driver is set up with.

use super::{
    mcp::{McpOptions, McpPlace},
    provider::Api,
};
use crate::agent::process::ProcessLimits;
use secrecy::SecretString;

/// Longest id of a model, in bytes.
const MODEL_MAX_BYTES: usize = 128;

/// How a model is reached.
#[derive(Clone, Debug)]
pub struct LlmOptions {
    /// The model where a session names none.
    pub model: ModelName,
    /// Where its provider is.
    pub endpoint: Endpoint,
    /// Thinking level where a session names none; empty is the provider's choice.
    pub thinking_level: String,
    /// What stands before every conversation; empty is nothing.
    pub instructions: String,
    /// Tokens that a reply may have; 0 is the provider's choice.
    pub max_output_tokens: u64,
    /// Whether it has the gateway's memory tools, where there are any.
    pub memory_tools: bool,
    /// Servers whose tools it has.
    pub mcp_servers: Vec<McpOptions>,
    /// Bounds of those that are programs.
    pub limits: ProcessLimits,
}

impl LlmOptions {
    /// Whether some of its servers are programs.
    pub fn starts_programs(&self) -> bool {
        let is_program = |server: &McpOptions| matches!(server.at, McpPlace::Program(_));
        self.mcp_servers.iter().any(is_program)
    }
}

/// Where a provider is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its dialect.
    pub api: Api,
    /// Address that paths are put behind, without a slash at its end.
    pub base_url: String,
    /// Key of it; empty is none.
    pub key: SecretString,
}

/// A model's provider and its id there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName {
    /// Name of the provider.
    pub provider: String,
    /// The model's id.
    pub id: String,
}

/// A provider whose address is known.
#[derive(Clone, Copy, Debug)]
pub struct KnownProvider {
    /// What stands before the slash of a model.
    pub name: &'static str,
    /// Its dialect.
    pub api: Api,
    /// Its address.
    pub base_url: &'static str,
    /// Variable of the environment that usually holds its key.
    pub key_variable: &'static str,
}

/// Every such provider.
const KNOWN_PROVIDERS: [KnownProvider; 3] = [
    KnownProvider {
        name: "openai",
        api: Api::Responses,
        base_url: "https://api.openai.com/v1",
        key_variable: "OPENAI_API_KEY",
    },
    KnownProvider {
        name: "anthropic",
        api: Api::Anthropic,
        base_url: "https://api.anthropic.com/v1",
        key_variable: "ANTHROPIC_API_KEY",
    },
    KnownProvider {
        name: "gemini",
        api: Api::Gemini,
        base_url: "https://generativelanguage.googleapis.com/v1beta",
        key_variable: "GEMINI_API_KEY",
    },
];

// === impl KnownProvider ===

impl KnownProvider {
    /// The provider of that name.
    pub fn find(name: &str) -> Option<Self> {
        KNOWN_PROVIDERS.into_iter().find(|it| it.name == name)
    }
}

// === impl ModelName ===

impl ModelName {
    /// Reads `provider/id`; the id may have further slashes.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let visible = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#%\\".contains(&byte));
        match text.split_once('/') {
            Some((provider, id))
                if !provider.is_empty()
                    && is_id(id)
                    && visible
                    && text.len() <= MODEL_MAX_BYTES =>
            {
                Ok(Self {
                    provider: provider.into(),
                    id: id.into(),
                })
            }
            _ => Err("must be a provider, a slash and the model's id, such as openai/gpt-5-mini"),
        }
    }
}

/// Whether it may stand in a path: no step of it leads elsewhere.
fn is_id(id: &str) -> bool {
    id.split('/').all(|step| !["", ".", ".."].contains(&step))
}

impl std::fmt::Display for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_a_provider_and_an_id_that_leads_nowhere_else() {
        let model = ModelName::parse("openrouter/anthropic/claude").expect("two slashes are well");
        assert_eq!(
            (model.provider.as_str(), model.id.as_str()),
            ("openrouter", "anthropic/claude")
        );
        assert_eq!(model.to_string(), "openrouter/anthropic/claude");
        for wrong in [
            "",
            "gpt",
            "/gpt",
            "openai/",
            "a/../../b",
            "a/b?c",
            "a/b c",
            "a/./b",
        ] {
            assert!(ModelName::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
