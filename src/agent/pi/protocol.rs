//! pi's RPC lines: one JSON object each, read into [`Incoming`] and written by the functions of [`outgoing`].
//!
//! Pure. Accepts both dialects of `message_update` (up to 0.83 each update repeats the whole message, from 0.84 on it
//! does not) without asking which one it has: what the older one says more is skipped. Event types, roles and fields
//! that are not known are ignored. JSON that a tool wrote or read is passed on as the text it came as.
//!
//! Source: pi's `docs/rpc.md`, and runs of 0.73.1 and 0.87.1.

mod message;
mod outgoing;

pub(super) use message::{AssistantMessage, Change, ModelName, Update};
pub(super) use outgoing::{cancel_dialog, command, message};

use serde::Deserialize;
use serde_json::value::RawValue;

/// One line of pi, as far as the gateway cares.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    /// Answer to a command.
    Response(Response),
    /// A run begins, or begins again after a retry or a compaction.
    AgentStart,
    /// A run ended; it may begin again.
    AgentEnd {
        /// What newer versions say about that.
        will_retry: bool,
    },
    /// Nothing more comes of the prompt. Since 0.80.4.
    AgentSettled,
    /// A message of this role begins.
    MessageStart(Role),
    /// The open assistant message grows.
    Update(Update),
    /// An assistant message is whole.
    MessageEnd(Box<AssistantMessage>),
    /// A tool runs.
    ToolStart {
        /// The call.
        id: String,
        /// The tool.
        name: String,
        /// Arguments, JSON text.
        arguments: String,
    },
    /// Result so far; replaces the one before.
    ToolUpdate {
        /// The call.
        id: String,
        /// JSON text.
        partial_result: String,
    },
    /// A tool ended.
    ToolEnd {
        /// The call.
        id: String,
        /// JSON text.
        result: String,
        /// True where it failed.
        is_error: bool,
    },
    /// pi's own queues, whole.
    QueueUpdate {
        /// Steers that wait for the next turn boundary.
        steering: Vec<String>,
        /// Messages that wait for the end of the run; the gateway sends none, an extension may.
        follow_up: Vec<String>,
    },
    /// The context is being shortened.
    CompactionStart {
        /// `manual`, `threshold` or `overflow`.
        reason: String,
    },
    /// The context was shortened, or not.
    CompactionEnd {
        /// As above.
        reason: String,
        /// What replaces the older messages.
        summary: String,
        /// Tokens before.
        tokens_before: i64,
        /// Given up.
        aborted: bool,
        /// What went wrong.
        error_message: String,
    },
    /// The run failed and will begin again.
    RetryStart {
        /// From 1.
        attempt: i32,
        /// At most.
        max_attempts: i32,
        /// Time until then.
        delay_milliseconds: u64,
        /// What failed.
        error_message: String,
    },
    /// Retrying is over, one way or the other.
    RetryEnd,
    /// An extension waits for a person.
    Dialog {
        /// What the answer names.
        id: String,
    },
    /// An extension failed; pi goes on.
    ExtensionError {
        /// Which one and why.
        message: String,
    },
    /// Anything else.
    Other,
}

/// Answer to a command.
#[derive(Debug, PartialEq)]
pub(super) struct Response {
    /// As sent; missing where pi could not read it, and for unknown commands of 0.73.1.
    pub(super) id: Option<String>,
    /// Name of the command.
    pub(super) command: String,
    /// What went wrong; `None` means accepted, never "done".
    pub(super) error: Option<String>,
    /// pi took the text without a run or a queue (since 0.99).
    pub(super) handled: bool,
    /// What `get_state` tells.
    pub(super) state: Option<State>,
}

/// What `get_state` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct State {
    /// The model in use.
    pub(super) model: Option<ModelName>,
    /// A run is live.
    pub(super) is_streaming: bool,
    /// The context is being shortened.
    pub(super) is_compacting: bool,
    /// Messages in pi's own queues.
    pub(super) pending_message_count: u64,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The prompt, or a steer that was delivered.
    User,
    /// The model.
    Assistant,
    /// Tool results and everything that pi may invent.
    Other,
}

/// Every field that some line has, each left as text until the line's type is known.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    command: Option<String>,
    success: Option<bool>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    assistant_message_event: Option<&'a RawValue>,
    tool_call_id: Option<String>,
    tool_name: Option<String>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_result: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    is_error: Option<bool>,
    steering: Option<Vec<String>>,
    follow_up: Option<Vec<String>>,
    reason: Option<String>,
    aborted: Option<bool>,
    will_retry: Option<bool>,
    error_message: Option<String>,
    attempt: Option<i32>,
    max_attempts: Option<i32>,
    delay_ms: Option<f64>,
    method: Option<String>,
    extension_path: Option<String>,
}

#[derive(Deserialize)]
struct RoleRecord {
    role: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Disposition {
    disposition: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CompactionResult {
    summary: String,
    tokens_before: i64,
}

// === impl Incoming ===

impl Incoming {
    /// Reads one line.
    ///
    /// # Errors
    /// It is no JSON object with a `type`, or a field that matters has another shape.
    pub(super) fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        let record: Record<'_> = serde_json::from_slice(line)?;
        Ok(match record.kind.as_str() {
            "response" => Self::Response(Response::new(record)),
            "agent_start" => Self::AgentStart,
            "agent_end" => Self::AgentEnd {
                will_retry: record.will_retry.unwrap_or(false),
            },
            "agent_settled" => Self::AgentSettled,
            "message_start" => Self::MessageStart(role(record.message)?),
            "message_update" => match record.assistant_message_event {
                Some(update) => Self::Update(Update::parse(update)?),
                None => Self::Other,
            },
            "message_end" => match (role(record.message)?, record.message) {
                (Role::Assistant, Some(message)) => {
                    Self::MessageEnd(Box::new(AssistantMessage::parse(message)?))
                }
                _ => Self::Other,
            },
            "tool_execution_start" => Self::ToolStart {
                id: record.tool_call_id.unwrap_or_default(),
                name: record.tool_name.unwrap_or_default(),
                arguments: json_text(record.args),
            },
            "tool_execution_update" => Self::ToolUpdate {
                id: record.tool_call_id.unwrap_or_default(),
                partial_result: json_text(record.partial_result),
            },
            "tool_execution_end" => Self::ToolEnd {
                id: record.tool_call_id.unwrap_or_default(),
                result: json_text(record.result),
                is_error: record.is_error.unwrap_or(false),
            },
            "queue_update" => Self::QueueUpdate {
                steering: record.steering.unwrap_or_default(),
                follow_up: record.follow_up.unwrap_or_default(),
            },
            "compaction_start" => Self::CompactionStart {
                reason: record.reason.unwrap_or_default(),
            },
            "compaction_end" => {
                let result: CompactionResult = or_default(record.result);
                Self::CompactionEnd {
                    reason: record.reason.unwrap_or_default(),
                    summary: result.summary,
                    tokens_before: result.tokens_before,
                    aborted: record.aborted.unwrap_or(false),
                    error_message: record.error_message.unwrap_or_default(),
                }
            }
            "auto_retry_start" => Self::RetryStart {
                attempt: record.attempt.unwrap_or(1),
                max_attempts: record.max_attempts.unwrap_or(1),
                delay_milliseconds: whole_milliseconds(record.delay_ms.unwrap_or(0.0)),
                error_message: record.error_message.unwrap_or_default(),
            },
            "auto_retry_end" => Self::RetryEnd,
            "extension_ui_request" => match (record.method.as_deref(), record.id) {
                (Some("select" | "confirm" | "input" | "editor"), Some(id)) => Self::Dialog { id },
                _ => Self::Other,
            },
            "extension_error" => Self::ExtensionError {
                message: format!(
                    "{}: {}",
                    record.extension_path.unwrap_or_default(),
                    plain_text(record.error)
                ),
            },
            _ => Self::Other,
        })
    }
}

/// Milliseconds of a JSON number; nonsense counts as none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is wanted"
)]
fn whole_milliseconds(value: f64) -> u64 {
    value as u64
}

fn json_text(value: Option<&RawValue>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.get().to_owned())
}

/// A JSON string's content, or any other value's JSON text.
fn plain_text(value: Option<&RawValue>) -> String {
    value.map_or_else(String::new, |value| {
        serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
    })
}

fn or_default<'a, T: Default + Deserialize<'a>>(value: Option<&'a RawValue>) -> T {
    value
        .and_then(|value| serde_json::from_str(value.get()).ok())
        .unwrap_or_default()
}

fn role(message: Option<&RawValue>) -> Result<Role, serde_json::Error> {
    let Some(message) = message else {
        return Ok(Role::Other);
    };
    let record: RoleRecord = serde_json::from_str(message.get())?;
    Ok(match record.role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => Role::Other,
    })
}

// === impl Response ===

impl Response {
    fn new(record: Record<'_>) -> Self {
        let command = record.command.unwrap_or_default();
        let disposition: Disposition = or_default(record.data);
        Self {
            id: record.id,
            error: (record.success != Some(true)).then(|| plain_text(record.error)),
            handled: disposition.disposition == "handled",
            state: (command == "get_state")
                .then(|| {
                    record
                        .data
                        .and_then(|data| serde_json::from_str(data.get()).ok())
                })
                .flatten(),
            command,
        }
    }
}

#[cfg(test)]
mod tests;
