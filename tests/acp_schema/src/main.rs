//! Reads what was written by the Agent Client Protocol, a line each, and says whether the protocol's own types take it: by the
//! ACP driver to an agent, or by `quarterdeck acp` to an editor.
//!
//!     acp-schema to-agents|to-editors FILE

use agent_client_protocol_schema::v1;
use serde_json::Value;
use std::{collections::BTreeMap, env, fs, process::ExitCode};

/// Kinds of messages that the file must hold, so that nothing is left unchecked because it was not written.
const TO_AGENTS: [&str; 10] = [
    "initialize",
    "session/new",
    "session/resume",
    "session/load",
    "session/set_config_option",
    "session/set_mode",
    "session/prompt",
    "session/cancel",
    "answer to session/request_permission",
    "answer to elicitation/create",
];
/// The same of what an editor reads.
const TO_EDITORS: [&str; 18] = [
    "answer to initialize",
    "answer to session/new",
    "answer to session/load",
    "answer to session/prompt",
    "answer to session/set_config_option",
    "error",
    "session/request_permission",
    "elicitation/create",
    "$/cancel_request",
    "session/update user_message_chunk",
    "session/update agent_message_chunk",
    "session/update agent_thought_chunk",
    "session/update tool_call",
    "session/update tool_call_update",
    "session/update plan",
    "session/update available_commands_update",
    "session/update config_option_update",
    "answer to session/set_mode",
];

fn main() -> ExitCode {
    let usage = "acp-schema to-agents|to-editors FILE";
    let (side, file) = env::args().nth(1).zip(env::args().nth(2)).expect(usage);
    let (expected, check): (&[&str], Check) = match side.as_str() {
        "to-agents" => (&TO_AGENTS, to_agent),
        "to-editors" => (&TO_EDITORS, to_editor),
        _ => panic!("{usage}"),
    };
    let text = fs::read_to_string(&file).expect("the file can be read");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = 0;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("the tests write JSON");
        let (kind, checked) = check(&line);
        if let Err(problem) = checked {
            eprintln!("{kind}: {problem}: {line}");
            wrong += 1;
        }
        *counts.entry(kind).or_default() += 1;
    }
    println!("{counts:?}");
    for kind in expected {
        if !counts.contains_key(*kind) {
            eprintln!("no {kind} was written");
            wrong += 1;
        }
    }
    if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The kind of a message, and whether its type takes it.
type Check = fn(&Value) -> (String, Result<(), String>);

fn to_editor(line: &Value) -> (String, Result<(), String>) {
    let message = &line["line"];
    if message["jsonrpc"] != "2.0" {
        return ("message".into(), Err("it is not JSON-RPC 2.0".into()));
    }
    if !message["error"].is_null() {
        return ("error".into(), take::<v1::Error>(&message["error"]));
    }
    if let Some(method) = line["answers"].as_str() {
        let result = &message["result"];
        let checked = match method {
            "initialize" => take::<v1::InitializeResponse>(result),
            "session/new" => take::<v1::NewSessionResponse>(result),
            "session/load" => take::<v1::LoadSessionResponse>(result),
            "session/prompt" => take::<v1::PromptResponse>(result),
            "session/set_config_option" => take::<v1::SetSessionConfigOptionResponse>(result),
            "session/set_mode" => take::<v1::SetSessionModeResponse>(result),
            _ => Err("the protocol has no such method".to_owned()),
        };
        return (format!("answer to {method}"), checked);
    }
    let (method, params) = (
        message["method"].as_str().unwrap_or_default(),
        &message["params"],
    );
    match method {
        "session/update" => {
            let kind = params["update"]["sessionUpdate"].as_str();
            let kind = format!("{method} {}", kind.unwrap_or_default());
            (kind, take::<v1::SessionNotification>(params))
        }
        "session/request_permission" => {
            (method.into(), take::<v1::RequestPermissionRequest>(params))
        }
        "elicitation/create" => (method.into(), take::<v1::CreateElicitationRequest>(params)),
        "$/cancel_request" => (method.into(), take::<v1::CancelRequestNotification>(params)),
        other => (other.into(), Err("the protocol has no such message".into())),
    }
}

/// The kind of a message, and whether its type takes it. What no type is for is an extension, whose names begin with `_`.
fn to_agent(line: &Value) -> (String, Result<(), String>) {
    let answered = line["answers"].as_str();
    let message = &line["line"];
    let (kind, content) = match answered {
        Some(method) => (format!("answer to {method}"), &message["result"]),
        None => (
            message["method"].as_str().unwrap_or_default().to_owned(),
            &message["params"],
        ),
    };
    let checked = match kind.as_str() {
        "initialize" => take::<v1::InitializeRequest>(content),
        "session/new" => take::<v1::NewSessionRequest>(content),
        "session/resume" => take::<v1::ResumeSessionRequest>(content),
        "session/load" => take::<v1::LoadSessionRequest>(content),
        "session/set_config_option" => take::<v1::SetSessionConfigOptionRequest>(content),
        "session/set_mode" => take::<v1::SetSessionModeRequest>(content),
        "session/prompt" => take::<v1::PromptRequest>(content),
        "session/cancel" => take::<v1::CancelNotification>(content),
        "answer to session/request_permission" => take::<v1::RequestPermissionResponse>(content),
        "answer to elicitation/create" => take::<v1::CreateElicitationResponse>(content),
        // Older than the protocol's types, and still what some agents offer.
        "session/set_model" => Ok(()),
        // An error, which is JSON-RPC's.
        "answer to fs/read_text_file" => Ok(()),
        other if other.starts_with('_') => Ok(()),
        _ => Err("the protocol has no such message".to_owned()),
    };
    (kind, checked)
}

/// Whether a type takes a value, and says the same of it: what it does not know it drops.
fn take<T: serde::Serialize + serde::de::DeserializeOwned>(value: &Value) -> Result<(), String> {
    let taken: T = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    let again = serde_json::to_value(&taken).map_err(|error| error.to_string())?;
    match lost(value, &again) {
        Some(path) => Err(format!("it does not know {path}")),
        None => Ok(()),
    }
}

/// A field that is in the first and not in the second.
fn lost(value: &Value, again: &Value) -> Option<String> {
    match (value, again) {
        (Value::Object(fields), Value::Object(kept)) => fields.iter().find_map(|(name, field)| {
            match kept.get(name) {
                Some(kept) => lost(field, kept).map(|path| format!("{name}.{path}")),
                // What is empty or false may be left out.
                None if is_nothing(field) || is_usual(name, field) => None,
                None => Some(name.clone()),
            }
        }),
        (Value::Array(values), Value::Array(kept)) => {
            let pairs = values.iter().zip(kept);
            let inner = pairs
                .enumerate()
                .find_map(|(at, (a, b))| lost(a, b).map(|it| format!("{at}.{it}")));
            inner.or_else(|| (values.len() != kept.len()).then(|| "a list's length".to_owned()))
        }
        _ => (value != again).then(|| format!("{value}")),
    }
}

/// What a call of a tool is where nobody says it: it may be said.
fn is_usual(name: &str, value: &Value) -> bool {
    matches!(
        (name, value.as_str()),
        ("kind", Some("other")) | ("status", Some("pending"))
    )
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}
