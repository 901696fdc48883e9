//! Assistant messages: how they grow, and what they are once they are whole.

use crate::agent::json::{Object, Piece, list, piece, sentence, text};
use crate::domain::turn::Usage;
use serde_json::value::RawValue;

/// A model's name; its address and prices stay with pi.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    Text(Piece),
    /// The text, whole.
    TextEnd(String),
    /// Thinking to append.
    Thinking(Piece),
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
    ToolInput(Piece),
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
    /// The line was too long: what of it stands above may be the beginning only, and what was streamed is better.
    pub(in crate::agent::pi) cut: bool,
    /// pi's word: `stop`, `length`, `toolUse`, `error`, `aborted`.
    pub(in crate::agent::pi) stop_reason: String,
    /// Goes with `error` and `aborted`.
    pub(in crate::agent::pi) error_message: String,
    /// The model that wrote it.
    pub(in crate::agent::pi) model: ModelName,
    /// What the call used, where the provider said so.
    pub(in crate::agent::pi) usage: Option<Usage>,
}

// === impl Update ===

impl Update {
    pub(super) fn of(record: &Object<'_>) -> Self {
        let content_index = record.small("contentIndex").max(0);
        let delta = || piece(record.get("delta"));
        let change = match record.text("type").as_str() {
            "text_delta" => Change::Text(delta()),
            "text_end" => Change::TextEnd(record.text("content")),
            "thinking_delta" => Change::Thinking(delta()),
            "thinking_end" => Change::ThinkingEnd(record.text("content")),
            "toolcall_start" => {
                let (mut id, mut name) = (record.text("id"), record.text("toolName"));
                if id.is_empty() && record.get("partial").is_some() {
                    // The older dialect says it in the whole message only.
                    let partial = Object::of(record.get("partial"));
                    let place = usize::try_from(content_index).unwrap_or(usize::MAX);
                    let part = list(partial.get("content")).into_iter().nth(place);
                    let part = Object::of(part);
                    (id, name) = (part.text("id"), part.text("name"));
                }
                Change::ToolStart { id, name }
            }
            "toolcall_delta" => Change::ToolInput(delta()),
            _ => Change::Nothing,
        };
        Self {
            content_index,
            change,
        }
    }
}

// === impl AssistantMessage ===

impl AssistantMessage {
    pub(super) fn of(message: Option<&RawValue>, cut: usize) -> Self {
        let record = Object::of(message);
        let mut parsed = Self {
            cut: cut > 0,
            // Another shape than a word is no reason that anyone knows.
            stop_reason: record.text("stopReason"),
            error_message: sentence(record.get("errorMessage")),
            model: ModelName {
                id: record.text("model"),
                provider: record.text("provider"),
            },
            usage: usage(&Object::of(record.get("usage"))),
            ..Self::default()
        };
        for (place, part) in (0..).zip(list(record.get("content"))) {
            let fields = Object::of(Some(part));
            match fields.text("type").as_str() {
                "text" => parsed.texts.push((place, fields.text("text"))),
                "thinking" => parsed.thinking.push((place, fields.text("thinking"))),
                _ if part.get().starts_with('"') => parsed.texts.push((place, text(Some(part)))),
                _ => {}
            }
        }
        parsed
    }
}

/// What a message says, without what is no text.
pub(super) fn words(message: Option<&RawValue>) -> String {
    let texts = AssistantMessage::of(message, 0).texts.into_iter();
    texts.map(|(_, text)| text).collect()
}

// === impl ModelName ===

impl ModelName {
    pub(super) fn of(record: &Object<'_>) -> Self {
        Self {
            id: record.text("id"),
            provider: record.text("provider"),
        }
    }

    /// `provider/id`, the form that pi's `--model` takes.
    pub(in crate::agent::pi) fn full(&self) -> String {
        if self.provider.is_empty() {
            self.id.clone()
        } else {
            format!("{}/{}", self.provider, self.id)
        }
    }
}

/// `None` where the provider reported nothing: pi then writes zeros.
#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, and no call costs that much"
)]
fn usage(record: &Object<'_>) -> Option<Usage> {
    let usage = Usage {
        input_tokens: record.whole("input"),
        output_tokens: record.whole("output"),
        cache_read_tokens: record.whole("cacheRead"),
        cache_write_tokens: record.whole("cacheWrite"),
        cost_micros: (Object::of(record.get("cost")).number("total") * 1e6).round() as i64,
        model_calls: 1,
        unpriced_calls: 0,
        reasoning_tokens: record.whole("reasoning"),
    };
    let used = usage.input_tokens != 0 || usage.output_tokens != 0 || usage.cache_read_tokens != 0;
    used.then_some(usage)
}
