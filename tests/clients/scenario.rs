//! The scenario file, read. What each field means stands in `clients/behaviour/README.md`.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};

/// Bound of a step that names none.
const STEP_BOUND: Duration = Duration::from_secs(30);

/// Something that every client must do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// What it shows, for people.
    #[allow(dead_code, reason = "read in the file")]
    pub about: String,
    /// The server's configuration, as a TOML text.
    #[serde(default)]
    pub config: String,
    /// Whether the server speaks TLS, by a CA of its own.
    #[serde(default)]
    pub tls: bool,
    /// API keys by name, with their scopes.
    #[serde(default)]
    pub keys: BTreeMap<String, Vec<String>>,
    pub steps: Vec<Step>,
}

/// One step, as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Step {
    pub action: Action,
    /// How often it is done.
    pub repeat: u64,
    pub wanted: Wanted,
    /// Variables and the paths of what they get.
    pub capture: BTreeMap<String, String>,
    pub bound: Duration,
}

/// What must come.
#[derive(Clone, Debug)]
pub enum Wanted {
    Ok(Value),
    Error(Value),
}

#[derive(Clone, Debug)]
pub enum Action {
    /// Asks the driver; under a name where the answer is awaited later.
    Op {
        request: Value,
        start: Option<String>,
    },
    /// Waits for the answer of what was started under this name.
    Await(String),
    /// Waits until so many pieces of what was started have come.
    Pieces { name: String, at_least: usize },
    /// Does something to the server.
    Server { what: String, fields: Value },
    /// Does something to the proxy.
    Proxy { what: String, fields: Value },
}

/// The scenarios of the file.
pub fn all(text: &str) -> Vec<Scenario> {
    let scenarios: Vec<Scenario> =
        serde_json::from_str(text).expect("clients/behaviour/scenarios.json is well-formed");
    let mut names: Vec<_> = scenarios.iter().map(|it| &it.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), scenarios.len(), "two scenarios of one name");
    scenarios
}

// === impl Step ===

impl TryFrom<Map<String, Value>> for Step {
    type Error = String;

    fn try_from(mut fields: Map<String, Value>) -> Result<Self, String> {
        let shown = Value::Object(fields.clone());
        let bad = |why: &str| format!("{why}: {shown}");
        fields.remove("about");
        let wanted = match (fields.remove("expect"), fields.remove("error")) {
            (Some(_), Some(_)) => return Err(bad("expect and error exclude each other")),
            (None, Some(error)) => Wanted::Error(error),
            (expect, None) => Wanted::Ok(expect.unwrap_or_else(|| Map::new().into())),
        };
        let capture = match fields.remove("capture") {
            Some(capture) => serde_json::from_value(capture).map_err(|error| error.to_string())?,
            None => BTreeMap::new(),
        };
        let bound = match fields.remove("within_ms") {
            Some(bound) => Duration::from_millis(bound.as_u64().ok_or_else(|| bad("within_ms"))?),
            None => STEP_BOUND,
        };
        let repeat = match fields.remove("repeat") {
            Some(repeat) => repeat.as_u64().ok_or_else(|| bad("repeat"))?,
            None => 1,
        };
        let mut text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let start = text("start");
        let (server, proxy) = (text("server"), text("proxy"));
        let (awaited, pieces) = (text("await"), text("pieces"));
        let action = if fields.contains_key("op") {
            Action::Op {
                request: fields.into(),
                start,
            }
        } else if let Some(name) = awaited {
            Action::Await(name)
        } else if let Some(name) = pieces {
            let at_least = fields["at_least"].as_u64().ok_or_else(|| bad("at_least"))?;
            Action::Pieces {
                name,
                at_least: usize::try_from(at_least).map_err(|error| error.to_string())?,
            }
        } else if let Some(what) = server {
            Action::Server {
                what,
                fields: fields.into(),
            }
        } else if let Some(what) = proxy {
            Action::Proxy {
                what,
                fields: fields.into(),
            }
        } else {
            return Err(bad("a step is op, await, pieces, server or proxy"));
        };
        Ok(Self {
            action,
            repeat,
            wanted,
            capture,
            bound,
        })
    }
}
