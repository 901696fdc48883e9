//! The dialects that model providers speak: a conversation as a request, and a streamed answer as pieces and a reply. Pure.
//!
//! What every dialect promises: a reply is whole or a fault, never half; a stream that ends without its end is a fault; a
//! model that refuses, or that a filter cuts, says so in [`Stop`].

mod anthropic;
mod chat;
mod draft;
mod gemini;
mod responses;
#[cfg(test)]
mod tests;

use super::{conversation::Item, tools::Tool};
use crate::domain::{limits::cut, turn::Usage};
use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use std::time::Duration;

/// Bytes that are shown of what a provider says of an error.
const SAID_MAX_BYTES: usize = 500;

/// A provider's dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// OpenAI's chat completions, and all that is compatible with them.
    ChatCompletions,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's messages.
    Anthropic,
    /// Gemini's generateContent.
    Gemini,
}

/// What a model is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prompt<'a> {
    /// The model's id, without its provider.
    pub(super) model: &'a str,
    /// What stands before the conversation; empty is nothing.
    pub(super) instructions: &'a str,
    /// The conversation.
    pub(super) items: &'a [Item],
    /// What it may call.
    pub(super) tools: &'a [Tool],
    /// How much it may think, as its provider calls it; empty is the provider's choice.
    pub(super) thinking_level: &'a str,
    /// Tokens that it may write; 0 is the provider's choice.
    pub(super) max_output_tokens: u64,
    /// What its reply is to meet, where the provider sees to that.
    pub(super) output_schema: Option<&'a Value>,
}

/// A request: the path below the base address, and the body.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) body: Value,
}

/// A piece of a reply while it comes. The index is that of its block.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text {
        index: i32,
        delta: String,
    },
    Thinking {
        index: i32,
        delta: String,
    },
    Arguments {
        index: i32,
        call_id: String,
        name: String,
        delta: String,
    },
}

/// A tool call of a model's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ToolCall {
    /// The provider's id; where it gives none, ours.
    pub(super) call_id: String,
    /// Name of the tool, as the model wrote it.
    pub(super) name: String,
    /// JSON text, as the model wrote it: it may be none.
    pub(super) arguments: String,
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    /// Text blocks with their places.
    pub(super) texts: Vec<(i32, String)>,
    /// Thinking with its places.
    pub(super) thinking: Vec<(i32, String)>,
    /// Calls in order.
    pub(super) calls: Vec<ToolCall>,
    /// Why it ended.
    pub(super) stop: Stop,
    /// What it used, where the provider told.
    pub(super) usage: Option<Usage>,
    /// The reply as its provider wants it back.
    pub(super) record: Option<Record>,
}

/// Why a reply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It came to its end, or calls tools.
    End,
    /// It was as long as it may be.
    Length,
    /// The model refused, or a filter cut it; why, for people.
    Refused(String),
}

/// A reply in its provider's own form, with signatures and sealed reasoning: given back as it is to the model that wrote it,
/// and to no other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) api: Api,
    pub(super) model: String,
    pub(super) content: Vec<Value>,
}

/// Why a call has no reply. The message is for people and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) message: String,
}

/// What helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The same call later: not before this time, where the provider named one.
    Again(Option<Duration>),
    /// A shorter conversation.
    Overflow,
    /// Another call: the provider did not take this one as it was.
    Refused,
    /// Nothing.
    Never,
}

/// Reads one streamed reply.
pub(super) trait Decode: Send {
    /// Takes the data of one event.
    fn take(&mut self, data: &Value, pieces: &mut Vec<Piece>) -> Result<(), Fault>;

    /// The stream is over.
    fn finish(self: Box<Self>) -> Result<Reply, Fault>;
}

// === impl FaultKind ===

impl FaultKind {
    /// As spans name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Again(_) => "unavailable",
            Self::Overflow => "context_overflow",
            Self::Refused => "refused",
            Self::Never => "failed",
        }
    }
}

// === impl Api ===

impl Api {
    /// The request that asks a model.
    pub(super) fn request(self, prompt: &Prompt<'_>) -> Request {
        match self {
            Self::ChatCompletions => chat::request(prompt),
            Self::Responses => responses::request(prompt),
            Self::Anthropic => anthropic::request(prompt),
            Self::Gemini => gemini::request(prompt),
        }
    }

    /// Whether the provider itself sees to it that replies meet a schema.
    pub(super) fn takes(self, schema: &Value) -> bool {
        match self {
            Self::ChatCompletions | Self::Responses | Self::Gemini => true,
            // It takes no others.
            Self::Anthropic => is_strict(schema),
        }
    }

    /// What reads the answer.
    pub(super) fn decoder(self, model: &str) -> Box<dyn Decode> {
        match self {
            Self::ChatCompletions => Box::new(chat::Decoder::default()),
            Self::Responses => Box::new(responses::Decoder::new(model)),
            Self::Anthropic => Box::new(anthropic::Decoder::new(model)),
            Self::Gemini => Box::new(gemini::Decoder::new(model)),
        }
    }

    /// Headers of every call; a key that can't be one is none.
    pub(super) fn headers(self, key: &SecretString) -> Vec<(HeaderName, HeaderValue)> {
        let key = key.expose_secret();
        let (name, value) = match self {
            Self::ChatCompletions | Self::Responses => {
                (header::AUTHORIZATION, format!("Bearer {key}"))
            }
            Self::Anthropic => (HeaderName::from_static("x-api-key"), key.to_owned()),
            Self::Gemini => (HeaderName::from_static("x-goog-api-key"), key.to_owned()),
        };
        let mut headers = vec![];
        if !key.is_empty()
            && let Ok(mut value) = HeaderValue::from_str(&value)
        {
            value.set_sensitive(true);
            headers.push((name, value));
        }
        if self == Self::Anthropic {
            let version = HeaderValue::from_static("2023-06-01");
            headers.push((HeaderName::from_static("anthropic-version"), version));
        }
        headers
    }
}

// === impl Record ===

impl Record {
    /// Whether it goes back to the model that is asked.
    fn fits(&self, api: Api, model: &str) -> bool {
        self.api == api && self.model == model && !self.content.is_empty()
    }
}

// === impl Fault ===

impl Fault {
    pub(super) fn again(message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Again(None),
            message: message.into(),
        }
    }

    pub(super) fn never(message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Never,
            message: message.into(),
        }
    }

    /// The stream ended before the reply did.
    pub(super) fn cut() -> Self {
        Self::again("the model's answer was cut: its stream ended before it did")
    }

    /// What an answer other than 200 says.
    pub(super) fn of_status(status: u16, body: &[u8], after: Option<Duration>) -> Self {
        let body = serde_json::from_slice(body).unwrap_or_default();
        let mut fault = Self::of_error(&body, Some(status));
        if let (FaultKind::Again(None), Some(after)) = (fault.kind, after) {
            fault.kind = FaultKind::Again(Some(after));
        }
        fault
    }

    /// What an error that is told in a stream says.
    pub(super) fn of_event(event: &Value) -> Self {
        Self::of_error(event, None)
    }

    fn of_error(body: &Value, status: Option<u16>) -> Self {
        let error = match &body["error"] {
            Value::Null => body,
            error => error,
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let message = match error {
            Value::String(message) => message.clone(),
            error => text(&error["message"]),
        };
        let words = [&error["code"], &error["type"], &error["status"]].map(text);
        let said = shown(&message);
        let known = |needles: &[&str]| {
            let all = words.iter().chain([&message]);
            let all: Vec<String> = all.map(|it| it.to_ascii_lowercase()).collect();
            needles
                .iter()
                .any(|needle| all.iter().any(|text| text.contains(needle)))
        };
        let too_long = known(&[
            "context_length_exceeded",
            "maximum context length",
            "context window",
            "prompt is too long",
            "exceeds the maximum number of tokens",
            "request_too_large",
        ]);
        let code = status.or_else(|| error["code"].as_u64()?.try_into().ok());
        let meaning = match code {
            _ if too_long => "the conversation is longer than the model's context",
            Some(401 | 403) => "the provider refused the key",
            Some(404) => "the provider has no such model, or nothing at this address",
            Some(408 | 429) => "the provider takes no more calls for now",
            Some(529) => "the provider is overloaded",
            Some(500..) => "the provider failed",
            Some(_) => "the provider refused the call",
            None => "the provider broke its answer off",
        };
        let number = status.map_or_else(String::new, |status| format!(" (HTTP {status})"));
        let colon = if said.is_empty() { "" } else { ": " };
        let message = format!("{meaning}{number}{colon}{said}");
        // An account without money does not get any by waiting.
        let spent = known(&["insufficient_quota"]);
        let for_now = known(&["overloaded", "rate_limit", "server_error", "unavailable"]);
        let kind = match code {
            _ if too_long || code == Some(413) => FaultKind::Overflow,
            Some(408 | 429 | 500..) if !spent => FaultKind::Again(retry_delay(error)),
            None if for_now => FaultKind::Again(None),
            Some(400 | 422) => FaultKind::Refused,
            _ => FaultKind::Never,
        };
        Self { kind, message }
    }
}

/// Whether a schema is one of those that providers can hold models to word by word: every property of every object is
/// there, and no other; nothing but forms of values is said.
fn is_strict(schema: &Value) -> bool {
    const SAID: [&str; 10] = [
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "description",
        "enum",
        "items",
        "properties",
        "required",
        "type",
    ];
    let Some(keywords) = schema.as_object() else {
        return false;
    };
    if !keywords
        .keys()
        .all(|it| SAID.contains(&it.as_str()) || it == "title")
    {
        return false;
    }
    let by_name = |name: &str| keywords.get(name).and_then(Value::as_object);
    let properties = by_name("properties");
    let is_object = keywords.get("type").is_some_and(|it| it == "object");
    let required = keywords.get("required").and_then(Value::as_array);
    let all_required = properties.is_none_or(|properties| {
        let has = |name: &str| required.is_some_and(|it| it.iter().any(|one| one == name));
        properties.keys().all(|name| has(name))
    });
    let closed = keywords.get("additionalProperties") == Some(&Value::Bool(false));
    if (is_object || properties.is_some()) && !(all_required && closed) {
        return false;
    }
    let alternatives = keywords.get("anyOf").and_then(Value::as_array);
    let within = properties.into_iter().chain(by_name("$defs"));
    let within = within.flat_map(serde_json::Map::values);
    within
        .chain(keywords.get("items"))
        .chain(alternatives.into_iter().flatten())
        .all(is_strict)
}

/// Whether OpenAI can hold a model to a schema: such a one, of an object.
fn is_strict_object(schema: &Value) -> bool {
    schema["type"] == "object" && is_strict(schema)
}

/// What Gemini says of when to come again: `"retryDelay": "2s"`.
fn retry_delay(error: &Value) -> Option<Duration> {
    let details = error["details"].as_array()?;
    let delay = details.iter().find_map(|it| it["retryDelay"].as_str())?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// What others say, for people: short and without control characters.
pub(super) fn shown(text: &str) -> String {
    cut(text, SAID_MAX_BYTES).replace(char::is_control, " ")
}

/// A text of a value, empty where it is none.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A count of tokens, 0 where it is none.
fn tokens(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default().max(0)
}

/// The normal form of what a call used, where the provider counts cached tokens as input.
fn usage_of(input_with_cache: i64, cached: i64, output: i64, reasoning: i64) -> Usage {
    Usage {
        input_tokens: (input_with_cache - cached).max(0),
        output_tokens: output,
        cache_read_tokens: cached,
        model_calls: 1,
        reasoning_tokens: reasoning.min(output),
        ..Usage::default()
    }
}
