//! Anthropic's messages. Thinking is signed, and given back as it came.
//! <https://docs.anthropic.com/en/api/messages-streaming>

use super::{
    Api, Decode, Fault, Piece, Prompt, Record, Reply, Request, Stop, draft::Draft, text, tokens,
};
use crate::{agent::llm::conversation::Item, domain::turn::Usage};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Tokens that a model may write where nobody says how many: the dialect wants a number.
const OUTPUT_TOKENS_DEFAULT: u64 = 16_384;

pub(super) fn request(prompt: &Prompt<'_>) -> Request {
    let Prompt {
        model,
        instructions,
        items,
        tools,
        thinking_level,
        max_output_tokens,
        output_schema,
    } = *prompt;
    let mut messages: Vec<Value> = items.iter().filter_map(|it| message(it, model)).collect();
    // All before these is read from the provider's cache by the next call.
    if let Some(last) = messages
        .last_mut()
        .and_then(|it| it["content"].as_array_mut()?.last_mut())
    {
        last["cache_control"] = json!({ "type": "ephemeral" });
    }
    let mut most = match max_output_tokens {
        0 => OUTPUT_TOKENS_DEFAULT,
        most => most,
    };
    let mut body = json!({ "model": model, "messages": messages, "stream": true });
    if let Some(budget) = budget(thinking_level) {
        body["thinking"] = json!({ "type": "enabled", "budget_tokens": budget });
        most += budget;
    }
    if !tools.is_empty() {
        let tools = tools.iter().map(|it| {
            json!({ "name": it.name, "description": it.description, "input_schema": it.schema })
        });
        body["tools"] = tools.collect();
    }
    body["max_tokens"] = json!(most);
    if !instructions.is_empty() {
        let cached = json!({ "type": "ephemeral" });
        body["system"] = json!([{ "type": "text", "text": instructions, "cache_control": cached }]);
    }
    if let Some(schema) = output_schema {
        let format = json!({ "type": "json_schema", "schema": schema });
        body["output_config"] = json!({ "format": format });
    }
    Request {
        path: "/messages".into(),
        body,
    }
}

/// Tokens to think with at a level.
fn budget(level: &str) -> Option<u64> {
    match level {
        "" | "off" | "none" => None,
        "minimal" => Some(1024),
        "low" => Some(2048),
        "medium" => Some(8192),
        _ => Some(16_384),
    }
}

fn message(item: &Item, model: &str) -> Option<Value> {
    let (role, content): (_, Vec<Value>) = match item {
        Item::User { texts, images } => {
            let images = images.iter().map(|it| {
                let source =
                    json!({ "type": "base64", "media_type": it.media_type, "data": it.base64() });
                json!({ "type": "image", "source": source })
            });
            let texts = texts.iter().map(|it| json!({ "type": "text", "text": it }));
            ("user", images.chain(texts).collect())
        }
        Item::Assistant {
            record: Some(record),
            ..
        } if record.fits(Api::Anthropic, model) => ("assistant", record.content.clone()),
        Item::Assistant { texts, calls, .. } => {
            let said = texts.concat();
            let said = Some(said).filter(|it| !it.trim().is_empty());
            let said = said.map(|it| json!({ "type": "text", "text": it }));
            let calls = calls.iter().map(|call| {
                let input: Value =
                    serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                json!({ "type": "tool_use", "id": call.call_id, "name": call.name, "input": input })
            });
            ("assistant", said.into_iter().chain(calls).collect())
        }
        Item::Results(results) => {
            let results = results.iter().map(|result| {
                json!({
                    "type": "tool_result",
                    "tool_use_id": result.call_id,
                    "content": result.text,
                    "is_error": result.is_error,
                })
            });
            ("user", results.collect())
        }
    };
    (!content.is_empty()).then(|| json!({ "role": role, "content": content }))
}

pub(super) struct Decoder {
    draft: Draft,
    model: String,
    /// Blocks in their own form, by their places.
    blocks: BTreeMap<u64, Value>,
    /// Arguments of calls, by their places.
    arguments: BTreeMap<u64, String>,
    stop: String,
    usage: Option<Usage>,
    whole: bool,
}

impl Decoder {
    pub(super) fn new(model: &str) -> Self {
        Self {
            draft: Draft::default(),
            model: model.to_owned(),
            blocks: BTreeMap::new(),
            arguments: BTreeMap::new(),
            stop: String::new(),
            usage: None,
            whole: false,
        }
    }

    fn delta(&mut self, at: u64, delta: &Value, pieces: &mut Vec<Piece>) {
        let block = self.blocks.entry(at).or_default();
        let mut append = |name: &str, more: &str| {
            let so_far = text(&block[name]).to_owned();
            block[name] = json!(so_far + more);
        };
        match text(&delta["type"]) {
            "text_delta" => {
                append("text", text(&delta["text"]));
                self.draft.text((at, 0), text(&delta["text"]), pieces);
            }
            "thinking_delta" => {
                append("thinking", text(&delta["thinking"]));
                self.draft
                    .thinking((at, 0), text(&delta["thinking"]), pieces);
            }
            "signature_delta" => append("signature", text(&delta["signature"])),
            "input_json_delta" => {
                let part = text(&delta["partial_json"]);
                self.arguments.entry(at).or_default().push_str(part);
                self.draft.call((at, 0), ("", ""), part, pieces);
            }
            _ => {}
        }
    }

    /// A total replaces the one before, and what is not told stays.
    fn count(&mut self, told: &Value) {
        let usage = self.usage.get_or_insert_with(|| Usage {
            model_calls: 1,
            ..Usage::default()
        });
        for (number, name) in [
            (&mut usage.input_tokens, "input_tokens"),
            (&mut usage.output_tokens, "output_tokens"),
            (&mut usage.cache_read_tokens, "cache_read_input_tokens"),
            (&mut usage.cache_write_tokens, "cache_creation_input_tokens"),
        ] {
            if told[name].is_i64() {
                *number = tokens(&told[name]);
            }
        }
    }
}

impl Decode for Decoder {
    fn take(&mut self, data: &Value, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        let at = data["index"].as_u64().unwrap_or_default();
        match text(&data["type"]) {
            "message_start" => self.count(&data["message"]["usage"]),
            "content_block_start" => {
                let block = &data["content_block"];
                self.blocks.insert(at, block.clone());
                match text(&block["type"]) {
                    "tool_use" => {
                        let known = (text(&block["id"]), text(&block["name"]));
                        self.draft.call((at, 0), known, "", pieces);
                    }
                    "text" => self.draft.text((at, 0), text(&block["text"]), pieces),
                    _ => {}
                }
            }
            "content_block_delta" => self.delta(at, &data["delta"], pieces),
            "message_delta" => {
                let stop = text(&data["delta"]["stop_reason"]);
                if !stop.is_empty() {
                    stop.clone_into(&mut self.stop);
                }
                self.count(&data["usage"]);
            }
            "message_stop" => self.whole = true,
            "error" => return Err(Fault::of_event(data)),
            _ => {}
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Reply, Fault> {
        if !self.whole {
            return Err(Fault::cut());
        }
        let stop = match self.stop.as_str() {
            "" => return Err(Fault::cut()),
            "max_tokens" | "model_context_window_exceeded" => Stop::Length,
            "refusal" => Stop::Refused("the model does not answer this".into()),
            _ => Stop::End,
        };
        let mut content = self.blocks;
        for (at, arguments) in self.arguments {
            if let Some(block) = content.get_mut(&at) {
                block["input"] = serde_json::from_str(&arguments).unwrap_or_else(|_| json!({}));
            }
        }
        let empty = |it: &Value| text(&it["type"]) == "text" && text(&it["text"]).is_empty();
        let record = Record {
            api: Api::Anthropic,
            model: self.model,
            content: content.into_values().filter(|it| !empty(it)).collect(),
        };
        Ok(self.draft.reply(stop, self.usage, Some(record)))
    }
}
