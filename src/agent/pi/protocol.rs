//! pi's RPC lines: one JSON object each, read into [`Incoming`] and written by the functions at the end.
//!
//! Pure. Accepts both dialects of `message_update` (up to 0.83 each update repeats the whole message, from 0.84 on it
//! does not) without asking which one it has: what the older one says more is skipped. Event types, roles and fields
//! that are not known are ignored. JSON that a tool wrote or read is passed on as the text it came as.
//!
//! Source: pi's `docs/rpc.md`, and runs of 0.73.1 and 0.87.1.

use crate::domain::turn::{Attachment, Usage};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

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

/// A model's name; its address and prices stay with pi.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct ModelName {
    /// Name at the provider.
    pub(super) id: String,
    /// The provider.
    pub(super) provider: String,
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

/// How an open assistant message grows.
#[derive(Debug, PartialEq)]
pub(super) struct Update {
    /// Block of the message; several may be open at once.
    pub(super) content_index: i32,
    /// What happens to it.
    pub(super) change: Change,
}

/// What happens to a block.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// Text to append.
    Text(String),
    /// The text, whole.
    TextEnd(String),
    /// Thinking to append.
    Thinking(String),
    /// The thinking, whole.
    ThinkingEnd(String),
    /// A tool call begins.
    ToolStart {
        /// The call; may be empty.
        id: String,
        /// The tool; may be empty.
        name: String,
    },
    /// Arguments to append.
    ToolInput(String),
    /// Beginnings without content, and what newer versions may add.
    Nothing,
}

/// A whole assistant message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct AssistantMessage {
    /// Its text blocks with their places.
    pub(super) texts: Vec<(i32, String)>,
    /// Its thinking blocks with their places.
    pub(super) thinking: Vec<(i32, String)>,
    /// True where it has any block, tool calls included.
    pub(super) has_content: bool,
    /// pi's word: `stop`, `length`, `toolUse`, `error`, `aborted`.
    pub(super) stop_reason: String,
    /// Goes with `error` and `aborted`.
    pub(super) error_message: String,
    /// The model that wrote it.
    pub(super) model: ModelName,
    /// What the call used, where the provider said so.
    pub(super) usage: Option<Usage>,
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
#[serde(rename_all = "camelCase")]
struct UpdateRecord<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    content_index: i32,
    delta: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    id: Option<String>,
    tool_name: Option<String>,
    /// The older dialect's whole message: needed only where a tool call begins.
    #[serde(borrow)]
    partial: Option<&'a RawValue>,
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

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MessageRecord {
    content: Vec<Part>,
    stop_reason: Option<String>,
    error_message: Option<String>,
    model: Option<String>,
    provider: Option<String>,
    usage: Option<UsageRecord>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    id: Option<String>,
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UsageRecord {
    input: i64,
    output: i64,
    cache_read: i64,
    cache_write: i64,
    cost: Option<CostRecord>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CostRecord {
    total: f64,
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

// === impl Update ===

impl Update {
    fn parse(update: &RawValue) -> Result<Self, serde_json::Error> {
        let record: UpdateRecord<'_> = serde_json::from_str(update.get())?;
        let delta = record.delta.unwrap_or_default();
        let change = match record.kind.as_str() {
            "text_delta" => Change::Text(delta),
            "text_end" => Change::TextEnd(plain_text(record.content)),
            "thinking_delta" => Change::Thinking(delta),
            "thinking_end" => Change::ThinkingEnd(plain_text(record.content)),
            "toolcall_start" => {
                let mut id = record.id.unwrap_or_default();
                let mut name = record.tool_name.unwrap_or_default();
                if id.is_empty() && record.partial.is_some() {
                    let partial: MessageRecord = or_default(record.partial);
                    let place = usize::try_from(record.content_index).unwrap_or(usize::MAX);
                    if let Some(part) = partial.content.into_iter().nth(place) {
                        id = part.id.unwrap_or_default();
                        name = part.name.unwrap_or_default();
                    }
                }
                Change::ToolStart { id, name }
            }
            "toolcall_delta" => Change::ToolInput(delta),
            _ => Change::Nothing,
        };
        Ok(Self {
            content_index: record.content_index,
            change,
        })
    }
}

// === impl AssistantMessage ===

impl AssistantMessage {
    fn parse(message: &RawValue) -> Result<Self, serde_json::Error> {
        let record: MessageRecord = serde_json::from_str(message.get())?;
        let mut parsed = Self {
            has_content: !record.content.is_empty(),
            stop_reason: record.stop_reason.unwrap_or_default(),
            error_message: record.error_message.unwrap_or_default(),
            model: ModelName {
                id: record.model.unwrap_or_default(),
                provider: record.provider.unwrap_or_default(),
            },
            usage: record.usage.and_then(UsageRecord::into_usage),
            ..Self::default()
        };
        for (place, part) in (0..).zip(record.content) {
            match part.kind.as_str() {
                "text" => parsed.texts.push((place, part.text.unwrap_or_default())),
                "thinking" => parsed
                    .thinking
                    .push((place, part.thinking.unwrap_or_default())),
                _ => {}
            }
        }
        Ok(parsed)
    }
}

// === impl ModelName ===

impl ModelName {
    /// `provider/id`, the form that pi's `--model` takes.
    pub(super) fn full(&self) -> String {
        if self.provider.is_empty() {
            self.id.clone()
        } else {
            format!("{}/{}", self.provider, self.id)
        }
    }
}

// === impl UsageRecord ===

impl UsageRecord {
    /// `None` where the provider reported nothing: pi then writes zeros.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, and no call costs that much"
    )]
    fn into_usage(self) -> Option<Usage> {
        let used = self.input != 0 || self.output != 0 || self.cache_read != 0;
        used.then(|| Usage {
            input_tokens: self.input,
            output_tokens: self.output,
            cache_read_tokens: self.cache_read,
            cache_write_tokens: self.cache_write,
            cost_micros: (self.cost.unwrap_or_default().total * 1e6).round() as i64,
            model_calls: 1,
        })
    }
}

// === outgoing lines ===

/// A command without fields.
pub(super) fn command(kind: &str, id: &str) -> Vec<u8> {
    json!({ "type": kind, "id": id }).to_string().into_bytes()
}

/// `prompt` and `steer`: text and images; other attachments are put into the text.
pub(super) fn message(kind: &str, id: &str, text: &str, attachments: &[Attachment]) -> Vec<u8> {
    let mut text = text.to_owned();
    let mut images = Vec::new();
    for Attachment { reference, data } in attachments {
        if reference.media_type.starts_with("image/") {
            images.push(json!({
                "type": "image", "data": STANDARD.encode(data), "mimeType": reference.media_type,
            }));
        } else {
            let content = std::str::from_utf8(data)
                .unwrap_or("(not shown: the agent takes only text and images)");
            text.push_str(&format!(
                "\n\n<file name={}>\n{content}\n</file>",
                json!(reference.name)
            ));
        }
    }
    let mut line = json!({ "type": kind, "id": id, "message": text });
    if !images.is_empty() {
        line["images"] = images.into();
    }
    line.to_string().into_bytes()
}

/// Says no to an extension's dialog.
pub(super) fn cancel_dialog(id: &str) -> Vec<u8> {
    json!({ "type": "extension_ui_response", "id": id, "cancelled": true })
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::turn::AttachmentRef;

    fn parse(line: &str) -> Incoming {
        Incoming::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn both_dialects_of_an_update_read_alike() {
        let old = r#"{"type":"message_update","message":{"role":"assistant"},"assistantMessageEvent":{"type":"toolcall_start","contentIndex":1,"partial":{"content":[{"type":"text","text":"x"},{"type":"toolCall","id":"c1","name":"bash","arguments":{}}]}}}"#;
        let new = r#"{"type":"message_update","usage":{},"assistantMessageEvent":{"type":"toolcall_start","contentIndex":1,"id":"c1","toolName":"bash"}}"#;
        assert_eq!(parse(old), parse(new));
        let (id, name) = ("c1".to_owned(), "bash".to_owned());
        let change = Change::ToolStart { id, name };
        assert_eq!(
            parse(new),
            Incoming::Update(Update {
                content_index: 1,
                change
            })
        );
    }

    #[test]
    fn tool_json_is_passed_on_as_it_was_written() {
        let line = r#"{"type":"tool_execution_start","toolCallId":"c","toolName":"t","args":{"z":1.0,"a":12345678901234567890}}"#;
        assert_eq!(
            parse(line),
            Incoming::ToolStart {
                id: "c".into(),
                name: "t".into(),
                arguments: r#"{"z":1.0,"a":12345678901234567890}"#.into(),
            }
        );
    }

    #[test]
    fn line_separators_inside_strings_do_not_matter() {
        let line = "{\"type\":\"message_update\",\"assistantMessageEvent\":{\"type\":\"text_delta\",\"contentIndex\":0,\"delta\":\"a\u{2028}b\u{2029}\"}}\r";
        let Incoming::Update(update) = parse(line) else {
            panic!("no update");
        };
        assert_eq!(update.change, Change::Text("a\u{2028}b\u{2029}".into()));
    }

    #[test]
    fn what_is_not_known_is_ignored_and_what_is_no_record_is_an_error() {
        for line in [
            r#"{"type":"entry_appended","entry":{"id":"x"}}"#,
            r#"{"type":"bash_execution_update","id":"b","delta":"x"}"#,
            r#"{"type":"message_end","message":{"role":"system","content":""}}"#,
            r#"{"type":"message_end","message":{"role":"user","content":"plain"}}"#,
            r#"{"type":"extension_ui_request","id":"n","method":"notify","message":"hi"}"#,
            r#"{"type":"message_update"}"#,
        ] {
            assert_eq!(parse(line), Incoming::Other, "{line}");
        }
        let unknown = r#"{"type":"message_start","message":{"role":"hologram"}}"#;
        assert_eq!(parse(unknown), Incoming::MessageStart(Role::Other));
        let images = r#"{"type":"message_update","assistantMessageEvent":{"type":"image_start"}}"#;
        assert!(matches!(parse(images), Incoming::Update(_)));
        for line in [
            "",
            "garbage",
            "null",
            "[1]",
            "{}",
            "{\"type\":3}",
            "{\"type\":\"agent_end\"",
        ] {
            assert!(Incoming::parse(line.as_bytes()).is_err(), "{line}");
        }
        assert!(Incoming::parse(b"{\"type\":\"agent_end\",\"reason\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_response_without_an_id_still_names_its_command() {
        // 0.73.1 answers an unknown command without its id.
        let line = r#"{"type":"response","command":"clear_queue","success":false,"error":"Unknown command: clear_queue"}"#;
        let Incoming::Response(response) = parse(line) else {
            panic!("no response");
        };
        assert_eq!(response.id, None);
        assert_eq!(response.command, "clear_queue");
        assert_eq!(
            response.error.as_deref(),
            Some("Unknown command: clear_queue")
        );
    }

    #[test]
    fn usage_is_recorded_where_there_is_any() {
        let message = |usage: &str| {
            let line = format!(
                r#"{{"type":"message_end","message":{{"role":"assistant","content":[],"provider":"p","model":"m/1","usage":{usage},"stopReason":"stop"}}}}"#
            );
            match parse(&line) {
                Incoming::MessageEnd(message) => message,
                other => panic!("{other:?}"),
            }
        };
        let some = message(
            r#"{"input":100,"output":20,"cacheRead":3,"cacheWrite":4,"cost":{"total":0.0012345}}"#,
        );
        let usage = some.usage.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (100, 20));
        assert_eq!((usage.cache_read_tokens, usage.cache_write_tokens), (3, 4));
        assert_eq!((usage.cost_micros, usage.model_calls), (1235, 1));
        assert_eq!(some.model.full(), "p/m/1");
        assert_eq!(message(r#"{"input":0,"output":0}"#).usage, None);
    }

    #[test]
    fn images_go_beside_the_text_and_text_files_into_it() {
        let attachment = |name: &str, media_type: &str, data: &'static [u8]| Attachment {
            reference: AttachmentRef {
                attachment_id: String::new(),
                name: name.into(),
                media_type: media_type.into(),
                size: 0,
            },
            data: bytes::Bytes::from_static(data),
        };
        let line = message(
            "prompt",
            "1",
            "look\nhere",
            &[
                attachment("a.png", "image/png", b"\x89P"),
                attachment("b.txt", "text/plain", b"hello"),
                attachment("c.bin", "application/x", b"\xff"),
            ],
        );
        assert!(!line.contains(&b'\n'));
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["images"][0]["data"], "iVA=");
        assert_eq!(line["images"].as_array().unwrap().len(), 1);
        let text = line["message"].as_str().unwrap();
        assert!(text.starts_with("look\nhere"));
        assert!(text.contains("<file name=\"b.txt\">\nhello\n</file>"));
        assert!(text.contains("not shown"));
    }
}
