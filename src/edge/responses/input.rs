//! What a request for a response says.

use super::{No, Reply, bad};
use crate::{
    edge::{
        openai::{self, OWN_SESSION},
        transcode::data_url,
        turns::ANSWERS_MAX,
    },
    proto::{Attachment, ClientTool},
};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Parameters that would change what is answered, and do nothing here.
const REFUSED: [&str; 4] = [
    "instructions",
    "prompt",
    "max_output_tokens",
    "max_tool_calls",
];
/// Longest name of a format, in bytes, by OpenAI's rule.
const FORMAT_NAME_MAX_BYTES: usize = 64;
/// Entries of metadata, by OpenAI's rule.
const METADATA_MAX: usize = 16;

/// An answer to what a response asked.
pub(super) struct Given {
    /// The question that it is of.
    pub(super) question_id: String,
    /// Its session, where that was made for one request alone.
    pub(super) own_session: Option<String>,
    /// What it says.
    pub(super) reply: Reply,
}

/// A request's body; sampling parameters are the agent's own and passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// Agent, or agent and model.
    pub(super) model: String,
    #[serde(default)]
    input: Json,
    /// Whether it is told while it is made.
    #[serde(default)]
    pub(super) stream: bool,
    /// Whether it is answered at once, and read later.
    #[serde(default)]
    pub(super) background: bool,
    #[serde(default)]
    previous_response_id: Option<String>,
    #[serde(default)]
    conversation: Option<Conversation>,
    #[serde(default, deserialize_with = "nothing_is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    #[serde(default)]
    tools: Option<Vec<Json>>,
    #[serde(default)]
    tool_choice: Json,
    #[serde(default)]
    text: Json,
    #[serde(flatten)]
    others: Map<String, Json>,
}

fn nothing_is_empty<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let read: Option<BTreeMap<String, String>> = Option::deserialize(from)?;
    Ok(read.unwrap_or_default())
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Conversation {
    Id(String),
    Named { id: String },
}

/// What the text of an answer is to be.
#[derive(Default)]
pub(super) struct Format {
    /// The schema that it is to meet; empty for none.
    pub(super) schema: String,
    /// What it is called, as [`super::teller::FORMAT`] keeps it; empty for text.
    pub(super) name: String,
}

/// What a request brings.
#[derive(Default)]
pub(super) struct Input {
    messages: Vec<Message>,
    /// Answers to what a response asked, as far as nothing was said since.
    pub(super) answers: Vec<Given>,
    /// It refers to items that it does not bring.
    pub(super) refers: bool,
    /// The last message was said after all that the agent did.
    is_said: bool,
    /// There are answers, and something was said besides.
    is_mixed: bool,
}

struct Message {
    role: String,
    text: String,
    attachments: Vec<Attachment>,
}

// === impl Asked ===

impl Asked {
    /// Refuses what would else be passed over in silence.
    pub(super) fn check(&self) -> Result<(), No> {
        for name in REFUSED {
            let value = self.others.get(name);
            if value.is_some_and(|it| !it.is_null() && *it != json!([])) {
                let message = format!("{name} is not supported: the agent has its own");
                return Err(bad("unsupported_parameter", name, &message));
            }
        }
        if self.conversation.is_some() && self.previous_response_id.is_some() {
            let message = "say either conversation or previous_response_id";
            return Err(bad("invalid_value", "conversation", message));
        }
        if self.metadata.len() > METADATA_MAX {
            let message = format!("must have at most {METADATA_MAX} entries");
            return Err(bad("invalid_value", "metadata", &message));
        }
        Ok(())
    }

    /// The functions that the caller runs.
    pub(super) fn functions(&self) -> Result<Vec<ClientTool>, No> {
        match self.tool_choice.as_str() {
            Some("none") => return Ok(Vec::new()),
            None if self.tool_choice.is_null() => {}
            Some("auto") => {}
            Some(_) | None => {
                let message = "must be auto or none: what an agent calls is its own choice";
                return Err(bad("unsupported_parameter", "tool_choice", message));
            }
        }
        let functions = self.tools.iter().flatten().map(|tool| {
            let function = (tool["type"] == "function").then(|| openai::client_tool(tool));
            function.flatten().ok_or_else(|| {
                let message = "must be functions with names: the agent has its own tools";
                bad("unsupported_parameter", "tools", message)
            })
        });
        functions.collect()
    }

    /// What the text is to be.
    pub(super) fn format(&self) -> Result<Format, No> {
        let format = &self.text["format"];
        match format["type"].as_str() {
            None if format.is_null() => Ok(Format::default()),
            Some("text") => Ok(Format::default()),
            Some("json_object") => Ok(Format {
                schema: json!({ "type": "object" }).to_string(),
                name: "json_object".into(),
            }),
            Some("json_schema") if format["schema"].is_object() => Ok(Format {
                schema: format["schema"].to_string(),
                name: match format["name"].as_str() {
                    Some(name) if name.len() <= FORMAT_NAME_MAX_BYTES => {
                        format!("json_schema:{name}")
                    }
                    Some(_) | None => {
                        let message = format!("must have at most {FORMAT_NAME_MAX_BYTES} bytes");
                        return Err(bad("invalid_value", "text.format.name", &message));
                    }
                },
            }),
            Some(_) | None => {
                let message = "must be text, json_object, or json_schema with a schema";
                Err(bad("unsupported_parameter", "text.format", message))
            }
        }
    }

    /// The response that it follows.
    pub(super) fn previous(&self) -> Option<&str> {
        self.previous_response_id.as_deref()
    }

    /// The session that it names.
    pub(super) fn conversation(&self) -> Option<&str> {
        self.conversation.as_ref().map(|it| match it {
            Conversation::Id(id) | Conversation::Named { id } => id.as_str(),
        })
    }

    /// Its input.
    pub(super) fn input(&self) -> Result<Input, No> {
        let mut input = Input::default();
        match &self.input {
            Json::String(text) => input.messages.push(Message {
                role: "user".into(),
                text: text.clone(),
                attachments: Vec::new(),
            }),
            Json::Array(items) => {
                for item in items {
                    input.take(item)?;
                }
            }
            _ => {
                return Err(bad(
                    "invalid_value",
                    "input",
                    "must be text or a list of items",
                ));
            }
        }
        if input.is_mixed {
            let message = "answers come alone: send the message once the turn has gone on";
            return Err(bad("invalid_value", "input", message));
        }
        if input.answers.len() > ANSWERS_MAX {
            let message = format!("must bring at most {ANSWERS_MAX} answers");
            return Err(bad("invalid_value", "input", &message));
        }
        Ok(input)
    }
}

// === impl Input ===

impl Input {
    fn take(&mut self, item: &Json) -> Result<(), No> {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        match item["type"].as_str() {
            None | Some("message") if item["role"].is_string() => {
                let mut message = Message {
                    role: text("role").into(),
                    text: String::new(),
                    attachments: Vec::new(),
                };
                message.take(&item["content"])?;
                self.hear(message);
            }
            Some("mcp_approval_response") => {
                let reply = match item["approve"].as_bool() {
                    Some(true) => Reply::Allow,
                    Some(false) => Reply::Deny(text("reason").into()),
                    None => return Err(bad("invalid_value", "input", "approve must be a boolean")),
                };
                self.answer("mcpr_", text("approval_request_id"), reply);
            }
            Some("function_call_output") => {
                let reply = Reply::of_tool(&output(&item["output"])?);
                self.answer("call_", text("call_id"), reply);
            }
            // What the agent did before is in its session already.
            Some(
                "reasoning"
                | "mcp_call"
                | "mcp_list_tools"
                | "mcp_approval_request"
                | "function_call",
            ) => self.is_said = false,
            Some("item_reference") => {
                self.refers = true;
                self.is_said = false;
                if text("id").starts_with("msg_") {
                    self.forget_answers();
                }
            }
            _ => {
                let message = "must be messages, mcp_approval_response or function_call_output";
                return Err(bad("invalid_value", "input", message));
            }
        }
        Ok(())
    }

    /// A message: what was asked before the agent spoke is answered already.
    fn hear(&mut self, message: Message) {
        match message.role.as_str() {
            "assistant" => self.forget_answers(),
            _ => {
                self.is_mixed |= !self.answers.is_empty();
                self.is_said = true;
            }
        }
        self.messages.push(message);
    }

    fn forget_answers(&mut self) {
        self.answers.clear();
        (self.is_said, self.is_mixed) = (false, false);
    }

    fn answer(&mut self, prefix: &str, id: &str, reply: Reply) {
        let id = id.strip_prefix(prefix).unwrap_or(id);
        let (question_id, own_session) = match id.split_once('_') {
            Some((question, session)) => (question, Some(format!("{OWN_SESSION}{session}"))),
            None => (id, None),
        };
        self.is_mixed |= self.is_said;
        self.answers.push(Given {
            question_id: question_id.into(),
            own_session,
            reply,
        });
    }

    /// Messages as one prompt: all of them in a new session, else what follows the last answer. Where there are several
    /// roles each is named.
    pub(super) fn said(self, is_new: bool) -> (String, Vec<Attachment>) {
        let last = self.messages.iter().rposition(|it| it.role == "assistant");
        let skipped = match is_new {
            true => 0,
            false => last.map_or(0, |at| at + 1),
        };
        let mut messages: Vec<Message> = self.messages.into_iter().skip(skipped).collect();
        let attachments = messages
            .iter_mut()
            .flat_map(|it| std::mem::take(&mut it.attachments))
            .collect();
        messages.retain(|it| !it.text.is_empty());
        let alone = messages.iter().all(|it| it.role == "user");
        let lines = messages.into_iter().map(|it| match alone {
            true => it.text,
            false => format!("{}: {}", it.role, it.text),
        });
        (lines.collect::<Vec<_>>().join("\n\n"), attachments)
    }
}

/// What a function gave, as text.
fn output(output: &Json) -> Result<String, No> {
    let Json::Array(parts) = output else {
        return Ok(match output {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        });
    };
    let texts = parts.iter().map(|part| match part["type"].as_str() {
        Some("input_text") => Ok(part["text"].as_str().unwrap_or_default()),
        Some(_) | None => {
            let message = "output must be text, or parts of input_text";
            Err(bad("invalid_value", "input", message))
        }
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

// === impl Message ===

impl Message {
    fn take(&mut self, content: &Json) -> Result<(), No> {
        let parts = match content {
            Json::String(text) => {
                self.text.clone_from(text);
                return Ok(());
            }
            Json::Array(parts) => parts,
            _ => {
                return Err(bad(
                    "invalid_value",
                    "input",
                    "content must be text or parts",
                ));
            }
        };
        let mut texts = Vec::new();
        for part in parts {
            let text = |name: &str| part[name].as_str().unwrap_or_default();
            let (url, name) = match part["type"].as_str() {
                Some("input_text" | "output_text" | "text") => {
                    texts.push(text("text"));
                    continue;
                }
                Some("refusal") => continue,
                Some("input_image") => (text("image_url"), ""),
                Some("input_file") => (text("file_data"), text("filename")),
                _ => {
                    let message = "content must be input_text, input_image or input_file";
                    return Err(bad("invalid_value", "input", message));
                }
            };
            let (media_type, data) = data_url(url).map_err(|_| {
                let message = "images and files come as data: URLs in base64; nothing is fetched";
                bad("invalid_value", "input", message)
            })?;
            self.attachments.push(Attachment {
                name: name.into(),
                media_type: media_type.into(),
                data: data.into(),
            });
        }
        self.text = texts.join("\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(items: Json) -> Result<Input, No> {
        let asked: Asked = serde_json::from_value(json!({ "model": "m", "input": items })).unwrap();
        asked.input()
    }

    fn said(text: &str) -> Json {
        json!({ "role": "user", "content": text })
    }

    fn done(call: &str) -> Json {
        json!({ "type": "function_call", "call_id": call, "name": "f", "arguments": "{}" })
    }

    fn given(call: &str) -> Json {
        json!({ "type": "function_call_output", "call_id": call, "output": "1" })
    }

    /// Libraries that keep the history themselves send all of it each time.
    #[test]
    fn answers_are_those_behind_the_last_message() {
        let spoke = json!({ "role": "assistant", "content": "hm" });
        for (items, expected) in [
            (json!([given("call_a")]), vec!["a"]),
            (
                json!([said("x"), done("call_a"), given("call_a")]),
                vec!["a"],
            ),
            (
                json!([
                    said("x"),
                    done("call_a"),
                    done("call_b"),
                    given("call_a"),
                    given("call_b")
                ]),
                vec!["a", "b"],
            ),
            (
                json!([
                    said("x"),
                    done("call_a"),
                    given("call_a"),
                    spoke,
                    done("call_b"),
                    given("call_b")
                ]),
                vec!["b"],
            ),
            (
                json!([said("x"), done("call_a"), given("call_a"), spoke, said("y")]),
                vec![],
            ),
            (
                json!([said("x"), { "type": "item_reference", "id": "fc_a" }, given("call_a")]),
                vec!["a"],
            ),
        ] {
            let Ok(input) = input(items.clone()) else {
                panic!("refused: {items}");
            };
            let answered = input.answers.iter().map(|it| it.question_id.as_str());
            assert_eq!(answered.collect::<Vec<_>>(), expected, "{items}");
        }
        for mixed in [
            json!([said("x"), given("call_a")]),
            json!([given("call_a"), said("x")]),
            json!([said("x"), done("call_a"), given("call_a"), said("y")]),
        ] {
            assert!(input(mixed.clone()).is_err(), "{mixed}");
        }
    }

    #[test]
    fn an_answer_names_the_session_that_its_request_made() {
        let Ok(input) = input(json!([given("call_a_b")])) else {
            panic!("refused");
        };
        let answer = &input.answers[0];
        assert_eq!(answer.question_id, "a");
        assert_eq!(answer.own_session.as_deref(), Some("openai:b"));
    }
}
