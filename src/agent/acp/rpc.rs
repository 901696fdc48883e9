//! JSON-RPC 2.0, one message a line, read for what can be had of it. Ids of the agent's requests may be anything and go back as
//! they came; ours are numbers.

use crate::agent::json::readable;
use serde::Deserialize;
use serde_json::{Value, json};

/// The method does not exist.
const METHOD_NOT_FOUND: i64 = -32601;
/// The agent wants to be signed in first.
pub(super) const AUTHENTICATION_REQUIRED: i64 = -32000;

/// What the agent said.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// It asks.
    Request {
        /// Goes back with the answer.
        id: Value,
        /// What for.
        method: String,
        /// With what.
        params: Value,
    },
    /// It tells.
    Notification {
        /// What.
        method: String,
        /// About what.
        params: Value,
    },
    /// It answers.
    Response {
        /// Which request of ours; `None` where it is none that we can have made.
        id: Option<i64>,
        /// With what.
        result: Result<Value, RpcError>,
    },
}

/// An error answer, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RpcError {
    /// JSON-RPC's or the agent's number of it.
    pub(super) code: i64,
    /// What went wrong, with the details that came along.
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Raw {
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    result: Option<Value>,
    error: Option<Value>,
}

// === impl Frame ===

impl Frame {
    /// Reads one line; `None` where it is no message. What stands before the message on its line is passed over.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(line);
        let text = readable(&text);
        let raw: Raw = serde_json::from_str(&text).ok().or_else(|| {
            let start = text.find("{\"").filter(|at| *at > 0)?;
            serde_json::from_str(&text[start..]).ok()
        })?;
        let Raw {
            id,
            method,
            params,
            result,
            error,
        } = raw;
        match (id.filter(|id| !id.is_null()), method) {
            (Some(id), Some(method)) => Some(Self::Request { id, method, params }),
            (None, Some(method)) => Some(Self::Notification { method, params }),
            (Some(id), None) => Some(Self::Response {
                id: number(&id),
                result: match error.filter(|error| !error.is_null()) {
                    Some(error) => Err(RpcError::of(&error)),
                    None => Ok(result.unwrap_or_default()),
                },
            }),
            (None, None) => None,
        }
    }
}

fn number(id: &Value) -> Option<i64> {
    let text = || id.as_str().and_then(|text| text.parse().ok());
    id.as_i64().or_else(text)
}

// === impl RpcError ===

impl RpcError {
    fn of(error: &Value) -> Self {
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        let data = &error["data"];
        let details = [&data["details"], &data["message"], data];
        let details = details.into_iter().find_map(Value::as_str);
        let message = match details {
            Some(details) if message.is_empty() => details.to_owned(),
            Some(details) if !message.contains(details) => format!("{message}: {details}"),
            Some(_) | None if message.is_empty() => format!("the agent says no more than {error}"),
            Some(_) | None => message,
        };
        Self {
            code: error["code"].as_i64().unwrap_or_default(),
            message,
        }
    }
}

/// A request of ours.
pub(super) fn request(id: i64, method: &str, params: &Value) -> Vec<u8> {
    line(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
}

/// Tells the agent something.
pub(super) fn notification(method: &str, params: &Value) -> Vec<u8> {
    line(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

/// Answers a request of the agent's.
pub(super) fn answer(id: &Value, result: &Value) -> Vec<u8> {
    line(&json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

/// Says that there is no such method here.
pub(super) fn refuse(id: &Value, method: &str) -> Vec<u8> {
    let message = format!("method not found: {method}");
    let error = json!({ "code": METHOD_NOT_FOUND, "message": message });
    line(&json!({ "jsonrpc": "2.0", "id": id, "error": error }))
}

fn line(message: &Value) -> Vec<u8> {
    message.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_message_is_told_from_the_others_and_noise_from_all() {
        let request = Frame::parse(br#"{"jsonrpc":"2.0","id":"a-1","method":"m","params":[1]}"#);
        let expected = Frame::Request {
            id: json!("a-1"),
            method: "m".into(),
            params: json!([1]),
        };
        assert_eq!(request, Some(expected));
        let told = Frame::parse(br#"loading... {"method":"m"}"#);
        let expected = Frame::Notification {
            method: "m".into(),
            params: Value::Null,
        };
        assert_eq!(told, Some(expected));
        for (line, id) in [
            (r#"{"id":7,"result":null}"#, Some(7)),
            (r#"{"id":"7"}"#, Some(7)),
            (r#"{"id":"x","result":{}}"#, None),
        ] {
            match Frame::parse(line.as_bytes()) {
                Some(Frame::Response {
                    id: found,
                    result: Ok(_),
                }) => assert_eq!(found, id, "{line}"),
                other => panic!("{other:?}"),
            }
        }
        for noise in [
            "",
            "{",
            "a stray print",
            "[1,2]",
            "{\"x\":1}",
            "{\"id\":null}",
        ] {
            assert_eq!(Frame::parse(noise.as_bytes()), None, "{noise}");
        }
    }

    #[test]
    fn an_error_says_what_the_agent_knows() {
        for (error, message) in [
            (
                r#"{"code":-32603,"message":"Internal error","data":{"details":"no disk"}}"#,
                "Internal error: no disk",
            ),
            (
                r#"{"code":-32603,"message":"no disk left","data":"no disk"}"#,
                "no disk left",
            ),
            (
                r#"{"code":-1,"message":"","data":{"message":"why"}}"#,
                "why",
            ),
        ] {
            let line = format!(r#"{{"id":1,"error":{error}}}"#);
            match Frame::parse(line.as_bytes()) {
                Some(Frame::Response {
                    result: Err(error), ..
                }) => assert_eq!(error.message, message),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn half_a_character_costs_itself_alone() {
        let line = br#"{"method":"m","params":{"text":"a \ud83d","n":1}}"#;
        match Frame::parse(line) {
            Some(Frame::Notification { params, .. }) => {
                assert_eq!(params, json!({ "text": "a \u{fffd}", "n": 1 }));
            }
            other => panic!("{other:?}"),
        }
    }
}
