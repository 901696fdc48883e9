//! pi's RPC lines: one JSON object each, read into [`Incoming`] and written by the functions of [`outgoing`].
//!
//! What is bookkeeping may have any shape (`agent::json`): nothing that the agent said is lost for how it counted. By what a run
//! ended is taken at its word only. Bytes that somebody put before or behind a record without a line's end, such as the
//! sequences that terminals understand, are passed over.
//!
//! Pure. Accepts both dialects of `message_update` (up to 0.83 each update repeats the whole message, from 0.84 on it
//! does not) without asking which one it has: what the older one says more is skipped. Event types, roles and fields
//! that are not known are ignored. JSON that a tool wrote or read is passed on as the text it came as.
//!
//! Source: pi's `docs/rpc.md`, and runs of 0.73.1 and 0.87.1.

mod message;
mod outgoing;

pub(super) use message::{AssistantMessage, Change, ModelName, Update};
pub(super) use outgoing::{command, compact, message};

use super::{
    dialogs::{Dialog, DialogKind},
    models,
};
use crate::agent::{
    json::{Object, list, readable, sentence, text},
    tool_output::ToolOutput,
};
use crate::domain::command::{COMMANDS_MAX, Command};
use crate::domain::offers::Model;
use serde_json::value::RawValue;

/// Places of a line that are tried as the beginning of a record, where the line itself is none.
const BEGINNINGS_MAX: usize = 16;

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
    /// A user's message begins: the prompt, or a steer that was delivered.
    UserMessage {
        /// What it says.
        text: String,
    },
    /// A message of the model begins.
    AssistantMessage,
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
        /// What came of it.
        result: Box<ToolOutput>,
        /// True where it failed.
        is_error: bool,
    },
    /// One model call and its tools are over: what was said of them once more.
    StepEnd {
        /// The model's message.
        message: Option<Box<AssistantMessage>>,
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
    Dialog(Dialog),
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
    /// Steers that `clear_queue` took back, where it says so.
    pub(super) cleared: Option<Vec<String>>,
    /// What `get_available_models` tells.
    pub(super) models: Option<Vec<Model>>,
    /// What `get_commands` tells.
    pub(super) commands: Option<Vec<Command>>,
}

/// What `get_state` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The model in use.
    pub(super) model: Option<ModelName>,
    /// The thinking level in use.
    pub(super) thinking_level: String,
    /// A run is live.
    pub(super) is_streaming: bool,
    /// The context is being shortened.
    pub(super) is_compacting: bool,
    /// Messages in pi's own queues.
    pub(super) pending_messages: i64,
}

/// A line is no record, and none is in it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoRecord(String);

// === impl Incoming ===

impl Incoming {
    /// Reads one line, which is one record, nearly always. `cut`: bytes that were taken out of its strings because it was
    /// too long.
    ///
    /// # Errors
    /// There is no JSON object with a `type` of pi's in it.
    pub(super) fn parse(line: &[u8], cut: usize) -> Result<Vec<Self>, NoRecord> {
        let line = String::from_utf8_lossy(line);
        let error = match Object::parse(&line) {
            Ok(record) if record.get("type").is_some() => return Ok(vec![Self::of(&record, cut)]),
            Ok(_) => NoRecord("it has no type".to_owned()),
            Err(error) => NoRecord(error.to_string()),
        };
        let mut found = Vec::new();
        let mut next = 0;
        for (at, _) in line.match_indices("{\"").take(BEGINNINGS_MAX) {
            if at < next {
                continue;
            }
            if let Some((record, length)) = Object::first(&line[at..])
                && is_ours(&record)
            {
                found.push(Self::of(&record, cut));
                next = at + length;
            }
        }
        if found.is_empty() {
            Err(error)
        } else {
            Ok(found)
        }
    }

    fn of(record: &Object<'_>, cut: usize) -> Self {
        let message = record.get("message");
        match record.text("type").as_str() {
            "response" => Self::Response(Response::of(record)),
            "agent_start" => Self::AgentStart,
            "agent_end" => Self::AgentEnd {
                will_retry: record.flag("willRetry"),
            },
            "agent_settled" => Self::AgentSettled,
            "message_start" => match role(message).as_str() {
                "user" => Self::UserMessage {
                    text: message::words(message),
                },
                "assistant" => Self::AssistantMessage,
                _ => Self::Other,
            },
            "message_update" => match record.get("assistantMessageEvent") {
                Some(update) => Self::Update(Update::of(&Object::of(Some(update)))),
                None => Self::Other,
            },
            "message_end" => match role(message).as_str() {
                "assistant" => Self::MessageEnd(Box::new(AssistantMessage::of(message, cut))),
                "toolResult" => Self::ToolEnd {
                    id: Object::of(message).text("toolCallId"),
                    is_error: Object::of(message).flag("isError"),
                    result: Box::new(ToolOutput::of_message(message, cut)),
                },
                _ => Self::Other,
            },
            "turn_end" => Self::StepEnd {
                message: (role(message) == "assistant")
                    .then(|| Box::new(AssistantMessage::of(message, cut))),
            },
            "tool_execution_start" => Self::ToolStart {
                id: record.text("toolCallId"),
                name: record.text("toolName"),
                arguments: json_text(record.get("args")),
            },
            "tool_execution_update" => Self::ToolUpdate {
                id: record.text("toolCallId"),
                partial_result: ToolOutput::partial(record.get("partialResult"), cut),
            },
            "tool_execution_end" => Self::ToolEnd {
                id: record.text("toolCallId"),
                result: Box::new(ToolOutput::of(record.get("result"), cut)),
                is_error: record.flag("isError"),
            },
            "queue_update" => Self::QueueUpdate {
                steering: texts(record.get("steering")),
                follow_up: texts(record.get("followUp")),
            },
            "compaction_start" => Self::CompactionStart {
                reason: record.text("reason"),
            },
            "compaction_end" => {
                let result = Object::of(record.get("result"));
                Self::CompactionEnd {
                    reason: record.text("reason"),
                    summary: result.text("summary"),
                    tokens_before: result.whole("tokensBefore"),
                    aborted: record.flag("aborted"),
                    error_message: sentence(record.get("errorMessage")),
                }
            }
            "auto_retry_start" => Self::RetryStart {
                attempt: record.small("attempt").max(1),
                max_attempts: record.small("maxAttempts").max(1),
                delay_milliseconds: record.whole("delayMs").max(0).unsigned_abs(),
                error_message: sentence(record.get("errorMessage")),
            },
            "auto_retry_end" => Self::RetryEnd,
            "extension_ui_request" => match (record.text("method").as_str(), record.get("id")) {
                (method, Some(id)) => match dialog_kind(method, record) {
                    Some(kind) => Self::Dialog(Dialog {
                        id: text(Some(id)),
                        kind,
                        title: record.text("title"),
                        timeout_milliseconds: record.whole("timeout").max(0).unsigned_abs(),
                    }),
                    None => Self::Other,
                },
                (_, None) => Self::Other,
            },
            "extension_error" => Self::ExtensionError {
                message: format!(
                    "{}: {}",
                    record.text("extensionPath"),
                    sentence(record.get("error"))
                ),
            },
            _ => Self::Other,
        }
    }
}

/// Whether an object that stands among other things is a record of pi's: such things hold objects, too.
fn is_ours(record: &Object<'_>) -> bool {
    const TYPES: [&str; 20] = [
        "response",
        "agent_start",
        "agent_end",
        "agent_settled",
        "turn_start",
        "turn_end",
        "message_start",
        "message_update",
        "message_end",
        "tool_execution_start",
        "tool_execution_update",
        "tool_execution_end",
        "queue_update",
        "compaction_start",
        "compaction_end",
        "auto_retry_start",
        "auto_retry_end",
        "extension_ui_request",
        "extension_error",
        "entry_appended",
    ];
    TYPES.contains(&record.text("type").as_str())
}

fn json_text(value: Option<&RawValue>) -> String {
    value.map_or_else(
        || "null".to_owned(),
        |value| readable(value.get()).into_owned(),
    )
}

fn texts(value: Option<&RawValue>) -> Vec<String> {
    let elements = list(value).into_iter();
    elements.map(|element| text(Some(element))).collect()
}

/// What a dialog wants; `None` for what only tells people something.
fn dialog_kind(method: &str, record: &Object<'_>) -> Option<DialogKind> {
    Some(match method {
        "confirm" => DialogKind::Confirm {
            message: record.text("message"),
        },
        "select" => DialogKind::Select {
            options: texts(record.get("options")),
        },
        "input" => DialogKind::Input {
            placeholder: record.text("placeholder"),
        },
        "editor" => DialogKind::Editor {
            prefill: record.text("prefill"),
        },
        _ => return None,
    })
}

fn role(message: Option<&RawValue>) -> String {
    Object::of(message).text("role")
}

// === impl Response ===

impl Response {
    fn of(record: &Object<'_>) -> Self {
        let command = record.text("command");
        let succeeded = record.flag("success");
        let data = Object::of(record.get("data"));
        Self {
            id: record.get("id").map(|id| text(Some(id))),
            error: (!succeeded).then(|| sentence(record.get("error"))),
            handled: data.text("disposition") == "handled",
            state: (command == "get_state" && succeeded).then(|| State::of(&data)),
            cleared: (command == "clear_queue" && data.get("steering").is_some())
                .then(|| texts(data.get("steering"))),
            models: (command == "get_available_models" && succeeded)
                .then(|| models::of_list(data.get("models"))),
            commands: (command == "get_commands" && succeeded)
                .then(|| commands_of(data.get("commands"))),
            command,
        }
    }
}

/// pi's commands: of extensions, prompt templates and skills.
fn commands_of(value: Option<&RawValue>) -> Vec<Command> {
    let commands = list(value).into_iter().filter_map(|one| {
        let one = Object::of(Some(one));
        Command::bounded(&one.text("name"), &one.text("description"), "")
    });
    commands.take(COMMANDS_MAX).collect()
}

// === impl State ===

impl State {
    fn of(data: &Object<'_>) -> Self {
        Self {
            model: data
                .get("model")
                .map(|model| ModelName::of(&Object::of(Some(model)))),
            thinking_level: data.text("thinkingLevel"),
            is_streaming: data.flag("isStreaming"),
            is_compacting: data.flag("isCompacting"),
            pending_messages: data.whole("pendingMessageCount"),
        }
    }
}

#[cfg(test)]
mod tests;
