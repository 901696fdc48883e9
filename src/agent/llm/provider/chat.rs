//! OpenAI's chat completions, as compatible servers speak them too.
//! <https://platform.openai.com/docs/api-reference/chat>

use super::{
    Decode, Fault, Piece, Prompt, Reply, Request, Stop, draft::Draft, is_strict_object, text,
    tokens, usage_of,
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
    let mut messages = vec![];
    if !instructions.is_empty() {
        messages.push(json!({ "role": "system", "content": instructions }));
    }
    for item in items {
        message(item, &mut messages);
    }
    let mut body = json!({
        "model": model,
        "messages": messages,
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    if !tools.is_empty() {
        let tools = tools.iter().map(|it| {
            let function =
                json!({ "name": it.name, "description": it.description, "parameters": it.schema });
            json!({ "type": "function", "function": function })
        });
        body["tools"] = tools.collect();
    }
    if !thinking_level.is_empty() {
        body["reasoning_effort"] = json!(thinking_level);
    }
    if max_output_tokens > 0 {
        body["max_completion_tokens"] = json!(max_output_tokens);
    }
    if let Some(schema) = output_schema {
        let strict = is_strict_object(schema);
        let format = json!({ "name": "output", "schema": schema, "strict": strict });
        body["response_format"] = json!({ "type": "json_schema", "json_schema": format });
    }
    Request {
        path: "/chat/completions".into(),
        body,
    }
}

fn message(item: &Item, messages: &mut Vec<Value>) {
    match item {
        Item::User { texts, images } if images.is_empty() && texts.len() == 1 => {
            messages.push(json!({ "role": "user", "content": texts[0] }));
        }
        Item::User { texts, images } => {
            let texts = texts.iter().map(|it| json!({ "type": "text", "text": it }));
            let image = |it: &Image| json!({ "type": "image_url", "image_url": { "url": it.data_url() } });
            let content: Vec<Value> = texts.chain(images.iter().map(image)).collect();
            messages.push(json!({ "role": "user", "content": content }));
        }
        Item::Assistant {
            texts,
            calls,
            record: _,
        } => {
            let mut message = json!({ "role": "assistant", "content": texts.concat() });
            if !calls.is_empty() {
                let calls = calls.iter().map(|call| {
                    let function = json!({ "name": call.name, "arguments": call.arguments });
                    json!({ "id": call.call_id, "type": "function", "function": function })
                });
                message["tool_calls"] = calls.collect();
            }
            messages.push(message);
        }
        Item::Results(results) => messages.extend(results.iter().map(|result| {
            json!({ "role": "tool", "tool_call_id": result.call_id, "content": result.text })
        })),
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    draft: Draft,
    refusal: String,
    finish: String,
    usage: Option<Usage>,
}

impl Decode for Decoder {
    fn take(&mut self, data: &Value, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        if !data["error"].is_null() {
            return Err(Fault::of_event(data));
        }
        if let Some(usage) = data["usage"].as_object() {
            let usage = Value::Object(usage.clone());
            self.usage = Some(usage_of(
                tokens(&usage["prompt_tokens"]),
                tokens(&usage["prompt_tokens_details"]["cached_tokens"]),
                tokens(&usage["completion_tokens"]),
                tokens(&usage["completion_tokens_details"]["reasoning_tokens"]),
            ));
        }
        let choice = &data["choices"][0];
        let delta = &choice["delta"];
        for name in ["reasoning_content", "reasoning"] {
            self.draft.thinking((0, 0), text(&delta[name]), pieces);
        }
        self.draft.text((0, 0), text(&delta["content"]), pieces);
        self.refusal.push_str(text(&delta["refusal"]));
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let key = (1, call["index"].as_u64().unwrap_or_default());
            let function = &call["function"];
            let known = (text(&call["id"]), text(&function["name"]));
            self.draft
                .call(key, known, text(&function["arguments"]), pieces);
        }
        let finish = text(&choice["finish_reason"]);
        if !finish.is_empty() {
            finish.clone_into(&mut self.finish);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Reply, Fault> {
        let stop = match self.finish.as_str() {
            "" => return Err(Fault::cut()),
            _ if !self.refusal.is_empty() => Stop::Refused(self.refusal),
            "content_filter" => Stop::Refused("the provider's content filter cut it".into()),
            "length" => Stop::Length,
            _ => Stop::End,
        };
        Ok(self.draft.reply(stop, self.usage, None))
    }
}
