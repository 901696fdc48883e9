//! Gemini's generateContent. Parts may carry a signature of the thinking behind them, and are given back with it.
//! <https://ai.google.dev/api/generate-content>

use super::{
    Api, Decode, Fault, Piece, Prompt, Record, Reply, Request, Stop, draft::Draft, shown, text,
    tokens, usage_of,
};
use crate::{agent::llm::conversation::Item, domain::turn::Usage};
use serde_json::{Map, Value, json};

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
    let contents: Vec<Value> = items.iter().filter_map(|it| content(it, model)).collect();
    let mut body = json!({ "contents": contents });
    if !instructions.is_empty() {
        body["systemInstruction"] = json!({ "parts": [{ "text": instructions }] });
    }
    if !tools.is_empty() {
        let tools = tools.iter().map(|it| {
            json!({ "name": it.name, "description": it.description, "parametersJsonSchema": it.schema })
        });
        body["tools"] = json!([{ "functionDeclarations": tools.collect::<Vec<_>>() }]);
    }
    let mut generation = Map::new();
    if max_output_tokens > 0 {
        generation.insert("maxOutputTokens".into(), json!(max_output_tokens));
    }
    if !thinking_level.is_empty() {
        let level = json!({ "includeThoughts": true, "thinkingLevel": thinking_level });
        generation.insert("thinkingConfig".into(), level);
    }
    if let Some(schema) = output_schema {
        generation.insert("responseMimeType".into(), json!("application/json"));
        generation.insert("responseJsonSchema".into(), schema.clone());
    }
    if !generation.is_empty() {
        body["generationConfig"] = Value::Object(generation);
    }
    Request {
        path: format!("/models/{model}:streamGenerateContent?alt=sse"),
        body,
    }
}

fn content(item: &Item, model: &str) -> Option<Value> {
    let (role, parts): (_, Vec<Value>) = match item {
        Item::User { texts, images } => {
            let images = images.iter().map(
                |it| json!({ "inlineData": { "mimeType": it.media_type, "data": it.base64() } }),
            );
            let texts = texts.iter().map(|it| json!({ "text": it }));
            ("user", texts.chain(images).collect())
        }
        Item::Assistant {
            record: Some(record),
            ..
        } if record.fits(Api::Gemini, model) => ("model", record.content.clone()),
        Item::Assistant { texts, calls, .. } => {
            let said = texts.concat();
            let said = Some(said).filter(|it| !it.is_empty());
            let said = said.map(|it| json!({ "text": it }));
            let calls = calls.iter().map(|call| {
                let args: Value =
                    serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                json!({ "functionCall": { "name": call.name, "args": args } })
            });
            ("model", said.into_iter().chain(calls).collect())
        }
        Item::Results(results) => {
            let results = results.iter().map(|result| {
                let key = if result.is_error { "error" } else { "output" };
                let response = json!({ "name": result.name, "response": { key: result.text } });
                json!({ "functionResponse": response })
            });
            ("user", results.collect())
        }
    };
    (!parts.is_empty()).then(|| json!({ "role": role, "parts": parts }))
}

pub(super) struct Decoder {
    draft: Draft,
    model: String,
    /// Parts in their own form; text that goes on is one part.
    parts: Vec<Value>,
    /// Count of blocks: what follows a block of another kind begins a next one.
    block: u64,
    stop: Option<Stop>,
    usage: Option<Usage>,
}

impl Decoder {
    pub(super) fn new(model: &str) -> Self {
        Self {
            draft: Draft::default(),
            model: model.to_owned(),
            parts: vec![],
            block: 0,
            stop: None,
            usage: None,
        }
    }

    fn part(&mut self, part: &Value, pieces: &mut Vec<Piece>) {
        let thought = part["thought"] == true;
        let signed = !text(&part["thoughtSignature"]).is_empty();
        let goes_on = self.parts.last().is_some_and(|last| {
            let same = last["text"].is_string() && part["text"].is_string();
            same && (last["thought"] == true) == thought && last["thoughtSignature"].is_null()
        });
        if !goes_on {
            self.block += 1;
        }
        let key = (self.block, 0);
        if let call @ Value::Object(_) = &part["functionCall"] {
            let own = format!("call_{}", self.draft.calls() + 1);
            let call_id = match text(&call["id"]) {
                "" => own.as_str(),
                id => id,
            };
            let arguments = match &call["args"] {
                Value::Null => "{}".to_owned(),
                arguments => arguments.to_string(),
            };
            self.draft
                .call(key, (call_id, text(&call["name"])), &arguments, pieces);
        } else if thought {
            self.draft.thinking(key, text(&part["text"]), pieces);
        } else {
            self.draft.text(key, text(&part["text"]), pieces);
        }
        match self.parts.last_mut() {
            Some(last) if goes_on => {
                last["text"] = json!(format!("{}{}", text(&last["text"]), text(&part["text"])));
                if signed {
                    last["thoughtSignature"] = part["thoughtSignature"].clone();
                }
            }
            _ => self.parts.push(part.clone()),
        }
    }
}

impl Decode for Decoder {
    fn take(&mut self, data: &Value, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        if !data["error"].is_null() {
            return Err(Fault::of_event(data));
        }
        if let usage @ Value::Object(_) = &data["usageMetadata"] {
            let thoughts = tokens(&usage["thoughtsTokenCount"]);
            self.usage = Some(usage_of(
                tokens(&usage["promptTokenCount"]),
                tokens(&usage["cachedContentTokenCount"]),
                tokens(&usage["candidatesTokenCount"]) + thoughts,
                thoughts,
            ));
        }
        let blocked = text(&data["promptFeedback"]["blockReason"]);
        if !blocked.is_empty() {
            let why = format!(
                "the provider's filter refused the prompt: {}",
                shown(blocked)
            );
            self.stop = Some(Stop::Refused(why));
        }
        let candidate = &data["candidates"][0];
        for part in candidate["content"]["parts"]
            .as_array()
            .into_iter()
            .flatten()
        {
            self.part(part, pieces);
        }
        match text(&candidate["finishReason"]) {
            "" => {}
            "STOP" => self.stop = Some(Stop::End),
            "MAX_TOKENS" => self.stop = Some(Stop::Length),
            why => {
                let why = format!("the provider cut it: {}", shown(why));
                self.stop = Some(Stop::Refused(why));
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Reply, Fault> {
        let stop = self.stop.ok_or_else(Fault::cut)?;
        // Signed thinking goes back with the part that it stands before; what it shows of itself does not.
        let kept = |it: &Value| it["thought"] != true || !it["thoughtSignature"].is_null();
        let record = Record {
            api: Api::Gemini,
            model: self.model,
            content: self.parts.into_iter().filter(kept).collect(),
        };
        Ok(self.draft.reply(stop, self.usage, Some(record)))
    }
}
