//! Assistant messages: how they grow, and what they are once they are whole.

use super::{or_default, plain_text};
use crate::domain::turn::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A model's name; its address and prices stay with pi.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(in crate::agent::pi) struct ModelName {
    /// Name at the provider.
    pub(in crate::agent::pi) id: String,
    /// The provider.
    pub(in crate::agent::pi) provider: String,
}

/// How an open assistant message grows.
#[derive(Debug, PartialEq)]
pub(in crate::agent::pi) struct Update {
    /// Block of the message; several may be open at once.
    pub(in crate::agent::pi) content_index: i32,
    /// What happens to it.
    pub(in crate::agent::pi) change: Change,
}

/// What happens to a block.
#[derive(Debug, PartialEq)]
pub(in crate::agent::pi) enum Change {
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
pub(in crate::agent::pi) struct AssistantMessage {
    /// Its text blocks with their places.
    pub(in crate::agent::pi) texts: Vec<(i32, String)>,
    /// Its thinking blocks with their places.
    pub(in crate::agent::pi) thinking: Vec<(i32, String)>,
    /// pi's word: `stop`, `length`, `toolUse`, `error`, `aborted`.
    pub(in crate::agent::pi) stop_reason: String,
    /// Goes with `error` and `aborted`.
    pub(in crate::agent::pi) error_message: String,
    /// The model that wrote it.
    pub(in crate::agent::pi) model: ModelName,
    /// What the call used, where the provider said so.
    pub(in crate::agent::pi) usage: Option<Usage>,
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

// === impl Update ===

impl Update {
    pub(super) fn parse(update: &RawValue) -> Result<Self, serde_json::Error> {
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
    pub(super) fn parse(message: &RawValue) -> Result<Self, serde_json::Error> {
        let record: MessageRecord = serde_json::from_str(message.get())?;
        let mut parsed = Self {
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
    pub(in crate::agent::pi) fn full(&self) -> String {
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
