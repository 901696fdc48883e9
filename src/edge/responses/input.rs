//! What a request for a response says.

use super::{No, Reply, bad};
use crate::{
    edge::{transcode::data_url, turns::ANSWERS_MAX},
    proto::Attachment,
};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Parameters that would change what is answered, and do nothing here.
const REFUSED: [&str; 5] = [
    "instructions",
    "tools",
    "prompt",
    "max_output_tokens",
    "max_tool_calls",
];
/// Entries of metadata, by OpenAI's rule.
const METADATA_MAX: usize = 16;

/// Answers, each with the question that it is of.
pub(super) type Answers = Vec<(String, Reply)>;

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

/// What a request brings.
#[derive(Default)]
pub(super) struct Input {
    messages: Vec<Message>,
    /// Answers to what a response asked.
    pub(super) answers: Answers,
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
        let format = self.others.get("text").map(|it| &it["format"]["type"]);
        if format.is_some_and(|it| !it.is_null() && it != "text") {
            let message = "only text is supported: the agent has formats of its own";
            return Err(bad("unsupported_parameter", "text.format", message));
        }
        let choice = self.others.get("tool_choice");
        if choice.is_some_and(|it| !it.is_null() && it != "auto" && it != "none") {
            let message = "the agent chooses its tools: leave it out, or say auto";
            return Err(bad("unsupported_parameter", "tool_choice", message));
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
        if !input.answers.is_empty() && !input.messages.is_empty() {
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
                self.messages.push(message);
            }
            Some("mcp_approval_response") => {
                let reply = match item["approve"].as_bool() {
                    Some(true) => Reply::Allow,
                    Some(false) => Reply::Deny(text("reason").into()),
                    None => return Err(bad("invalid_value", "input", "approve must be a boolean")),
                };
                let id = text("approval_request_id");
                let id = id.strip_prefix("mcpr_").unwrap_or(id);
                self.answers.push((id.into(), reply));
            }
            Some("function_call_output") => {
                let json = match &item["output"] {
                    // Most give JSON as text already.
                    Json::String(text) if serde_json::from_str::<Json>(text).is_ok() => {
                        text.clone()
                    }
                    other => other.to_string(),
                };
                let is_error = false;
                let id = text("call_id");
                let id = id.strip_prefix("call_").unwrap_or(id);
                self.answers
                    .push((id.into(), Reply::Content { json, is_error }));
            }
            // What the agent did before is in its session already.
            Some(
                "reasoning"
                | "mcp_call"
                | "mcp_list_tools"
                | "mcp_approval_request"
                | "function_call",
            ) => {}
            _ => {
                let message = "must be messages, mcp_approval_response or function_call_output";
                return Err(bad("invalid_value", "input", message));
            }
        }
        Ok(())
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
