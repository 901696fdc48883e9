//! OpenAI's Responses, without anything kept at the provider: reasoning comes sealed and is given back.
//! <https://platform.openai.com/docs/api-reference/responses>

use super::{
    Api, Decode, Fault, Piece, Prompt, Record, Reply, Request, Stop, draft::Draft,
    is_strict_object, shown, text, tokens, usage_of,
};
use crate::{
    agent::llm::conversation::{Image, Item},
    domain::turn::Usage,
};
use serde_json::{Value, json};

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
    let mut input = vec![];
    for item in items {
        entries(item, model, &mut input);
    }
    let mut body = json!({ "model": model, "input": input, "stream": true, "store": false });
    if !instructions.is_empty() {
        body["instructions"] = json!(instructions);
    }
    if reasons(model) {
        body["include"] = json!(["reasoning.encrypted_content"]);
    }
    if !tools.is_empty() {
        let tools = tools.iter().map(|it| {
            json!({
                "type": "function",
                "name": it.name,
                "description": it.description,
                "parameters": it.schema,
                "strict": false,
            })
        });
        body["tools"] = tools.collect();
    }
    if !thinking_level.is_empty() {
        body["reasoning"] = json!({ "effort": thinking_level, "summary": "auto" });
    }
    if max_output_tokens > 0 {
        body["max_output_tokens"] = json!(max_output_tokens);
    }
    if let Some(schema) = output_schema {
        let strict = is_strict_object(schema);
        let format =
            json!({ "type": "json_schema", "name": "output", "schema": schema, "strict": strict });
        body["text"] = json!({ "format": format });
    }
    Request {
        path: "/responses".into(),
        body,
    }
}

/// Models that never reason refuse to be asked for it.
fn reasons(model: &str) -> bool {
    !["gpt-3", "gpt-4", "chatgpt"]
        .iter()
        .any(|never| model.starts_with(never))
}

fn entries(item: &Item, model: &str, input: &mut Vec<Value>) {
    match item {
        Item::User { texts, images } => {
            let texts = texts.iter().map(|it| json!({ "type": "input_text", "text": it }));
            let image = |it: &Image| json!({ "type": "input_image", "image_url": it.data_url() });
            let content: Vec<Value> = texts.chain(images.iter().map(image)).collect();
            input.push(json!({ "role": "user", "content": content }));
        }
        Item::Assistant { record: Some(record), .. } if record.fits(Api::Responses, model) => {
            input.extend(record.content.iter().cloned());
        }
        Item::Assistant { texts, calls, .. } => {
            let said = texts.concat();
            if !said.is_empty() {
                let content = json!([{ "type": "output_text", "text": said, "annotations": [] }]);
                input.push(json!({ "type": "message", "role": "assistant", "content": content }));
            }
            input.extend(calls.iter().map(|call| {
                json!({
                    "type": "function_call",
                    "call_id": call.call_id,
                    "name": call.name,
                    "arguments": call.arguments,
                })
            }));
        }
        Item::Results(results) => input.extend(results.iter().map(|result| {
            json!({ "type": "function_call_output", "call_id": result.call_id, "output": result.text })
        })),
    }
}

pub(super) struct Decoder {
    draft: Draft,
    model: String,
    /// Items that are whole.
    items: Vec<Value>,
    refusal: String,
    stop: Option<Stop>,
    usage: Option<Usage>,
}

impl Decoder {
    pub(super) fn new(model: &str) -> Self {
        Self {
            draft: Draft::default(),
            model: model.to_owned(),
            items: vec![],
            refusal: String::new(),
            stop: None,
            usage: None,
        }
    }

    fn ended(&mut self, response: &Value, stop: Stop) {
        self.stop = Some(stop);
        if let usage @ Value::Object(_) = &response["usage"] {
            self.usage = Some(usage_of(
                tokens(&usage["input_tokens"]),
                tokens(&usage["input_tokens_details"]["cached_tokens"]),
                tokens(&usage["output_tokens"]),
                tokens(&usage["output_tokens_details"]["reasoning_tokens"]),
            ));
        }
    }

    fn item_done(&mut self, item: &Value) {
        let kind = text(&item["type"]);
        let sealed = !text(&item["encrypted_content"]).is_empty();
        // Nothing is kept at the provider: reasoning that came without its seal can't be given back.
        if kind != "reasoning" || sealed {
            self.items.push(item.clone());
        }
    }
}

impl Decode for Decoder {
    fn take(&mut self, data: &Value, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        let at = data["output_index"].as_u64().unwrap_or_default();
        let part = |name: &str| data[name].as_u64().unwrap_or_default();
        let delta = text(&data["delta"]);
        match text(&data["type"]) {
            "response.output_text.delta" => {
                self.draft.text((at, part("content_index")), delta, pieces);
            }
            "response.reasoning_summary_text.delta" => {
                self.draft
                    .thinking((at, part("summary_index")), delta, pieces);
            }
            "response.reasoning_text.delta" => {
                self.draft
                    .thinking((at, part("content_index")), delta, pieces);
            }
            "response.refusal.delta" => self.refusal.push_str(delta),
            "response.output_item.added" => {
                let item = &data["item"];
                if text(&item["type"]) == "function_call" {
                    let known = (text(&item["call_id"]), text(&item["name"]));
                    self.draft.call((at, 0), known, "", pieces);
                }
            }
            "response.function_call_arguments.delta" => {
                self.draft.call((at, 0), ("", ""), delta, pieces);
            }
            "response.output_item.done" => {
                let item = &data["item"];
                if text(&item["type"]) == "function_call" {
                    self.draft.whole_call(
                        (at, 0),
                        (text(&item["call_id"]), text(&item["name"])),
                        text(&item["arguments"]),
                    );
                }
                self.item_done(item);
            }
            "response.completed" => self.ended(&data["response"], Stop::End),
            "response.incomplete" => {
                let response = &data["response"];
                let stop = match text(&response["incomplete_details"]["reason"]) {
                    "max_output_tokens" => Stop::Length,
                    "content_filter" => {
                        Stop::Refused("the provider's content filter cut it".into())
                    }
                    why => Stop::Refused(format!("the provider cut it: {}", shown(why))),
                };
                self.ended(response, stop);
            }
            "response.failed" => return Err(Fault::of_event(&data["response"])),
            "error" => return Err(Fault::of_event(data)),
            _ => {}
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Reply, Fault> {
        let stop = match self.stop {
            None => return Err(Fault::cut()),
            Some(Stop::End) if !self.refusal.is_empty() => Stop::Refused(self.refusal),
            Some(stop) => stop,
        };
        let record = Record {
            api: Api::Responses,
            model: self.model,
            content: self.items,
        };
        Ok(self.draft.reply(stop, self.usage, Some(record)))
    }
}
