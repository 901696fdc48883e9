//! Tools that the caller runs: told to the model as any other, and asked for as TOOL_CALL questions.

use super::{schema, tool_policy};
use serde::{Deserialize, Serialize};

/// Tools of one session, or of one turn.
pub const CLIENT_TOOLS_MAX: usize = 64;
/// Bytes of all of them together.
pub const CLIENT_TOOLS_MAX_BYTES: usize = 256 * 1024;
/// Longest name, in bytes: every provider takes it.
pub const NAME_MAX_BYTES: usize = 64;
/// Longest description, in bytes.
pub const DESCRIPTION_MAX_BYTES: usize = 4 * 1024;
/// What names of tools of configured servers begin with.
const SERVERS: &str = "mcp__";

/// A tool that the caller runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTool {
    /// Its name, for models, policies and people.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub schema_json: String,
}

// === impl ClientTool ===

impl ClientTool {
    /// Bytes of it.
    pub fn bytes(&self) -> usize {
        self.name.len() + self.description.len() + self.schema_json.len()
    }

    /// Why it can't be offered: the field, and a sentence.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let Self {
            name,
            description,
            schema_json,
        } = self;
        let allowed = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
        if name.is_empty() || name.len() > NAME_MAX_BYTES || !name.chars().all(allowed) {
            let problem = format!("must be 1 to {NAME_MAX_BYTES} of A-Z, a-z, 0-9, _ and -");
            return Some(("name", problem));
        }
        if name.starts_with(SERVERS) || tool_policy::is_own(name) {
            return Some(("name", "is the name of a tool of the gateway's".to_owned()));
        }
        if description.len() > DESCRIPTION_MAX_BYTES {
            let problem = format!("must be at most {DESCRIPTION_MAX_BYTES} bytes");
            return Some(("description", problem));
        }
        let wrong = |problem| Some(("schema_json", problem));
        match schema::usable(schema_json) {
            Err(problem) => wrong(problem),
            // Whatever is called takes its arguments by name.
            Ok(schema) if schema.get("type").is_some_and(|it| it != "object") => {
                wrong("must be the schema of an object".to_owned())
            }
            Ok(_) => None,
        }
    }
}

/// Tools as they are stored; empty for none.
pub fn to_text(tools: &[ClientTool]) -> String {
    if tools.is_empty() {
        return String::new();
    }
    serde_json::to_string(tools).expect("texts are always JSON")
}

/// Tools as [`to_text`] wrote them.
///
/// # Errors
/// They were not.
pub fn of_text(text: &str) -> Result<Vec<ClientTool>, serde_json::Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_has_a_name_of_its_own_and_takes_an_object() {
        let tool = |name: &str, schema_json: &str| ClientTool {
            name: name.into(),
            description: "d".into(),
            schema_json: schema_json.into(),
        };
        let weather = tool("get-weather_2", r#"{"type":"object"}"#);
        assert_eq!(weather.problem(), None);
        assert_eq!(tool("x", "{}").problem(), None);
        for (bad, field) in [
            (tool("", "{}"), "name"),
            (tool("a b", "{}"), "name"),
            (tool(&"x".repeat(65), "{}"), "name"),
            (tool("mcp__a__b", "{}"), "name"),
            (tool("memory_search", "{}"), "name"),
            (tool("submit_result", "{}"), "name"),
            (tool("x", ""), "schema_json"),
            (tool("x", r#"{"type":"array"}"#), "schema_json"),
        ] {
            let problem = bad.problem().map(|(field, _)| field);
            assert_eq!(problem, Some(field), "{bad:?}");
        }
        let text = to_text(std::slice::from_ref(&weather));
        assert_eq!(of_text(&text).expect("as it was written"), [weather]);
        assert!(to_text(&[]).is_empty() && of_text("").expect("none").is_empty());
    }
}
