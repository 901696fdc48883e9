//! A conversation as models are given it: made of the session's stored messages, and of what the running turn adds.

use super::{
    mcp::readable,
    provider::{Record, ToolCall},
};
use crate::{
    agent::input::text_with_files,
    domain::{
        event::Role,
        limits::cut,
        message::{Message, Part},
        turn::{Attachment, AttachmentRef},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a call that never ended came to.
const NO_RESULT: &str = "(the call was interrupted: whether it did anything is not known)";

/// Bytes of arguments and of a result that a summary is made of.
const TOLD_MAX_BYTES: usize = 2048;

/// One step of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// What the user says.
    User {
        /// Never empty; what memory holds stands before what was said.
        texts: Vec<String>,
        /// Images that go with it.
        images: Vec<Image>,
    },
    /// What the model said.
    Assistant {
        /// Its texts in order.
        texts: Vec<String>,
        /// What it called.
        calls: Vec<ToolCall>,
        /// The same in its provider's own form, where that is known.
        record: Option<Record>,
    },
    /// The results of all calls of the step before.
    Results(Vec<ToolResult>),
}

/// What a tool gave back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ToolResult {
    pub(super) call_id: String,
    pub(super) name: String,
    /// For the model.
    pub(super) text: String,
    pub(super) is_error: bool,
}

/// An image.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Image {
    pub(super) media_type: String,
    pub(super) data: Bytes,
}

// === impl Image ===

impl Image {
    pub(super) fn base64(&self) -> String {
        STANDARD.encode(&self.data)
    }

    pub(super) fn data_url(&self) -> String {
        format!("data:{};base64,{}", self.media_type, self.base64())
    }
}

// === impl Item ===

impl Item {
    /// What stands for all that was said before.
    pub(super) fn summary(text: &str) -> Self {
        let text = format!("Summary of the conversation so far:\n\n{text}");
        Self::user("", text, &[])
    }

    /// The same in words, for a summary; long results are cut.
    fn told(&self) -> String {
        match self {
            Self::User { texts, images } => {
                let images = if images.is_empty() {
                    ""
                } else {
                    " (with images)"
                };
                format!("User{images}: {}\n\n", texts.join("\n"))
            }
            Self::Assistant { texts, calls, .. } => {
                let calls = calls.iter().map(|it| {
                    format!(
                        "Called {} with {}\n",
                        it.name,
                        cut(&it.arguments, TOLD_MAX_BYTES)
                    )
                });
                let calls: String = calls.collect();
                format!("Assistant: {}\n{calls}\n", texts.concat())
            }
            Self::Results(results) => {
                let results = results.iter().map(|it| {
                    format!("Result of {}: {}\n", it.name, cut(&it.text, TOLD_MAX_BYTES))
                });
                results.collect()
            }
        }
    }
    /// What a user says: `context` is what memory holds for it, empty where there is nothing.
    pub(super) fn user(context: &str, text: String, attachments: &[Attachment]) -> Self {
        let said = text_with_files(text, attachments);
        let context = Some(context.to_owned()).filter(|it| !it.is_empty());
        let images = attachments.iter().filter(|it| it.reference.is_image());
        Self::User {
            texts: context.into_iter().chain([said]).collect(),
            images: images
                .map(|it| Image {
                    media_type: it.reference.media_type.clone(),
                    data: it.data.clone(),
                })
                .collect(),
        }
    }
}

/// What asks for a summary of these steps: the newest, of so many bytes in all.
pub(super) fn to_summarize(items: &[Item], max_bytes: usize) -> Item {
    let (mut told, mut bytes) = (vec![], 0);
    for item in items.iter().rev() {
        let text = item.told();
        bytes += text.len();
        if bytes > max_bytes && !told.is_empty() {
            break;
        }
        told.push(cut(&text, max_bytes).to_owned());
    }
    told.reverse();
    let text = format!(
        "Summarize this conversation between a user and an assistant, so that the assistant can go on from your summary \
         alone: what the user wants, what was done and found, what is decided, what is open. Names, numbers and paths \
         stay exact. Write the summary and nothing else.\n\n<conversation>\n{}</conversation>",
        told.concat()
    );
    Item::user("", text, &[])
}

/// Bytes of these steps in words.
pub(super) fn told_bytes(items: &[Item]) -> usize {
    items.iter().map(|it| it.told().len()).sum()
}

/// The attachments that stored messages name, the newest first, each once.
pub(super) fn attachments(messages: &[Message]) -> Vec<AttachmentRef> {
    let mut named: Vec<AttachmentRef> = vec![];
    let users = messages.iter().rev().filter(|it| it.role == Role::User);
    for part in users.flat_map(|it| &it.parts) {
        if let Part::Attachment(reference) = part
            && !named
                .iter()
                .any(|it| it.attachment_id == reference.attachment_id)
        {
            named.push(reference.clone());
        }
    }
    named
}

/// The conversation that stored messages tell, up to the prompt of the turn that starts. `files` are the attachments that
/// there is room for; `context` is what memory holds for the prompt. Also gives the place at which the turn begins.
///
/// Of the turn itself what users said counts alone: an earlier start of it is begun anew.
pub(super) fn items(
    messages: &[Message],
    turn_id: Uuid,
    files: &BTreeMap<String, Attachment>,
    context: &str,
) -> (Vec<Item>, usize) {
    let mut items: Vec<Item> = vec![];
    let mut context = Some(context);
    // Where the turn that is looked at begins.
    let (mut looked_at, mut start) = (None, 0);
    let mut goes_on = false;
    for message in messages {
        let own = message.turn_id == turn_id;
        if looked_at.replace(message.turn_id) != Some(message.turn_id) {
            start = items.len();
        }
        match message.role {
            Role::User => {
                let context = if own { context.take() } else { None };
                items.push(user(message, files, context.unwrap_or_default()));
            }
            Role::Assistant if !own => {
                let texts = texts(message);
                match items.last_mut() {
                    Some(Item::Assistant { texts: before, .. }) if goes_on => before.extend(texts),
                    _ => items.push(Item::Assistant {
                        texts: texts.collect(),
                        calls: vec![],
                        record: None,
                    }),
                }
            }
            Role::Tool if !own => {
                for part in &message.parts {
                    call(&mut items, part);
                }
            }
            Role::System => {
                let summary: String = texts(message).collect();
                items.splice(..start, [Item::summary(&summary)]);
                start = 1;
            }
            Role::Assistant | Role::Tool => {}
        }
        goes_on = message.continued;
    }
    // Where older messages are gone the rest may begin in the middle of a turn, which providers refuse.
    let is_user = |it: &Item| matches!(it, Item::User { .. });
    let first = items.iter().position(is_user).unwrap_or(items.len());
    items.drain(..first);
    (items, start.saturating_sub(first))
}

fn user(message: &Message, files: &BTreeMap<String, Attachment>, context: &str) -> Item {
    let mut text: String = texts(message).collect();
    let mut found = vec![];
    for part in &message.parts {
        let Part::Attachment(reference) = part else {
            continue;
        };
        match files.get(&reference.attachment_id) {
            Some(file) => found.push(file.clone()),
            None => {
                let name = serde_json::json!(reference.name);
                text.push_str(&format!(
                    "\n\n<file name={name}>\n(not shown any more: there is no room for it)\n</file>"
                ));
            }
        }
    }
    Item::user(context, text, &found)
}

fn texts(message: &Message) -> impl Iterator<Item = String> {
    message.parts.iter().filter_map(|part| match part {
        Part::Text { text, .. } => Some(text.clone()),
        Part::Thinking { .. } | Part::ToolCall { .. } | Part::Attachment(_) => None,
    })
}

/// Puts a finished call behind what the model said before it.
fn call(items: &mut Vec<Item>, part: &Part) {
    let Part::ToolCall {
        tool_call_id,
        tool_name,
        args,
        result,
        is_error,
    } = part
    else {
        return;
    };
    let results = match items.pop() {
        Some(Item::Results(results)) => results,
        before => {
            items.extend(before);
            vec![]
        }
    };
    if !matches!(items.last(), Some(Item::Assistant { .. })) {
        items.push(Item::Assistant {
            texts: vec![],
            calls: vec![],
            record: None,
        });
    }
    if let Some(Item::Assistant { calls, .. }) = items.last_mut() {
        calls.push(ToolCall {
            call_id: tool_call_id.clone(),
            name: tool_name.clone(),
            arguments: args.text.clone(),
        });
    }
    let text = match result.text.as_str() {
        "null" => NO_RESULT.to_owned(),
        text => readable(text),
    };
    let result = ToolResult {
        call_id: tool_call_id.clone(),
        name: tool_name.clone(),
        text,
        is_error: *is_error,
    };
    items.push(Item::Results(results.into_iter().chain([result]).collect()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{event::Json, ids::Time};

    fn message(turn_id: Uuid, role: Role, parts: Vec<Part>) -> Message {
        Message {
            item_id: Uuid::now_v7(),
            turn_id,
            generation: 1,
            role,
            parts,
            create_time: Time(0),
            seq: 1,
            partial: false,
            continued: false,
        }
    }

    fn text(text: &str) -> Vec<Part> {
        vec![Part::Text {
            content_index: 0,
            text: text.into(),
        }]
    }

    fn tool(call_id: &str, result: &str) -> Vec<Part> {
        let json = |text: &str| Json {
            text: text.into(),
            full_size: None,
        };
        vec![Part::ToolCall {
            tool_call_id: call_id.into(),
            tool_name: "t".into(),
            args: json("{}"),
            result: json(result),
            is_error: false,
        }]
    }

    fn said(text: &str, calls: &[&str]) -> Item {
        let calls = calls.iter().map(|call_id| ToolCall {
            call_id: (*call_id).into(),
            name: "t".into(),
            arguments: "{}".into(),
        });
        Item::Assistant {
            texts: Some(text.to_owned())
                .filter(|it| !it.is_empty())
                .into_iter()
                .collect(),
            calls: calls.collect(),
            record: None,
        }
    }

    fn results(results: &[(&str, &str)]) -> Item {
        let results = results.iter().map(|(call_id, text)| ToolResult {
            call_id: (*call_id).into(),
            name: "t".into(),
            text: (*text).into(),
            is_error: false,
        });
        Item::Results(results.collect())
    }

    #[test]
    fn calls_stand_behind_what_the_model_said_and_results_behind_all_of_them() {
        let (before, now) = (Uuid::now_v7(), Uuid::now_v7());
        let stored = [
            message(before, Role::User, text("do it")),
            message(before, Role::Assistant, text("I do.")),
            message(before, Role::Tool, tool("a", "\"1\"")),
            message(before, Role::Tool, tool("b", "null")),
            message(before, Role::Assistant, text("Done.")),
            message(now, Role::User, text("more")),
        ];
        let expected = [
            Item::user("", "do it".into(), &[]),
            said("I do.", &["a", "b"]),
            results(&[("a", "1"), ("b", NO_RESULT)]),
            said("Done.", &[]),
            Item::user("memory", "more".into(), &[]),
        ];
        let (found, start) = items(&stored, now, &BTreeMap::new(), "memory");
        assert_eq!(found, expected);
        assert_eq!(start, 4);
    }

    #[test]
    fn a_second_start_begins_at_what_its_users_said() {
        let now = Uuid::now_v7();
        let stored = [
            message(now, Role::User, text("prompt")),
            message(now, Role::Assistant, text("half an answ")),
            message(now, Role::Tool, tool("a", "null")),
            message(now, Role::User, text("steer")),
        ];
        let expected = ["prompt", "steer"].map(|it| Item::user("", it.into(), &[]));
        assert_eq!(items(&stored, now, &BTreeMap::new(), "").0, expected);
    }

    #[test]
    fn a_message_in_pieces_is_one_and_calls_without_words_have_a_speaker() {
        let (before, now) = (Uuid::now_v7(), Uuid::now_v7());
        let mut first = message(before, Role::Assistant, text("long "));
        first.continued = true;
        let stored = [
            message(before, Role::User, text("hi")),
            first,
            message(before, Role::Assistant, text("text")),
            message(before, Role::User, text("call")),
            message(before, Role::Tool, tool("a", "1")),
        ];
        let whole = Item::Assistant {
            texts: vec!["long ".into(), "text".into()],
            calls: vec![],
            record: None,
        };
        let (found, _) = items(&stored, now, &BTreeMap::new(), "");
        assert_eq!(found[1], whole);
        assert_eq!(found[3..], [said("", &["a"]), results(&[("a", "1")])]);
    }

    #[test]
    fn files_that_are_not_there_any_more_are_named() {
        let now = Uuid::now_v7();
        let picture = Attachment::new("p.png".into(), "image/png".into(), Bytes::from_static(b"p"));
        let mut parts = text("see");
        parts.push(Part::Attachment(picture.reference.clone()));
        let stored = [message(now, Role::User, parts)];
        assert_eq!(
            attachments(&stored),
            std::slice::from_ref(&picture.reference)
        );
        let files = BTreeMap::from([(picture.reference.attachment_id.clone(), picture.clone())]);
        let (shown, _) = items(&stored, now, &files, "");
        assert_eq!(shown, [Item::user("", "see".into(), &[picture])]);
        let Item::User { texts, images } = &items(&stored, now, &BTreeMap::new(), "").0[0] else {
            panic!("a user")
        };
        assert!(images.is_empty() && texts[0].contains("not shown any more"));
    }

    #[test]
    fn what_is_left_of_a_turn_without_its_prompt_is_left_out() {
        let (before, now) = (Uuid::now_v7(), Uuid::now_v7());
        let stored = [
            message(before, Role::Tool, tool("a", "1")),
            message(before, Role::Assistant, text("done")),
            message(now, Role::User, text("more")),
        ];
        let found = items(&stored, now, &BTreeMap::new(), "");
        assert_eq!(found, (vec![Item::user("", "more".into(), &[])], 0));
    }

    #[test]
    fn a_summary_stands_for_all_before_its_turn() {
        let (before, then, now) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let stored = [
            message(before, Role::User, text("long ago")),
            message(before, Role::Assistant, text("yes")),
            message(then, Role::User, text("prompt")),
            message(then, Role::System, text("they met")),
            message(then, Role::Assistant, text("answer")),
            message(now, Role::User, text("more")),
        ];
        let expected = [
            Item::summary("they met"),
            Item::user("", "prompt".into(), &[]),
            said("answer", &[]),
            Item::user("", "more".into(), &[]),
        ];
        let found = items(&stored, now, &BTreeMap::new(), "");
        assert_eq!(found, (expected.to_vec(), 3));
    }
}
