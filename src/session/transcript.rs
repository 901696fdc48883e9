//! What an agent is told that did not find its conversation again: the stored messages, the newest ones.

use crate::{
    agent::TRANSCRIPT_MAX_BYTES,
    domain::{
        event::Role,
        ids::SessionRow,
        limits::cut,
        message::{Message, Part},
        refusal::Refusal,
    },
    store::Store,
};
use uuid::Uuid;

/// Messages that are read at a time.
const PAGE: usize = 32;
/// Longest text of one message in it, in bytes.
const MESSAGE_MAX_BYTES: usize = 16 * 1024;
/// What stands around the messages.
const HEAD: &str = "<conversation>\nYou lost your memory of this conversation. This is how it went so far, as it was \
                    stored; go on from it.\n";
const TAIL: &str = "</conversation>\n\n";

/// A conversation, told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Transcript {
    /// The text, at most [`TRANSCRIPT_MAX_BYTES`]; empty where nothing is stored.
    pub(super) text: String,
    /// Messages in it.
    pub(super) messages: i32,
    /// Older ones were left out, or one was cut.
    pub(super) truncated: bool,
}

impl Transcript {
    /// What is stored of a generation, without the messages of a turn that is about to start.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn of(
        store: &dyn Store,
        session: SessionRow,
        generation: i64,
        turn_id: Uuid,
    ) -> Result<Self, Refusal> {
        let mut told = Vec::new();
        let mut transcript = Self::default();
        let mut room = TRANSCRIPT_MAX_BYTES - HEAD.len() - TAIL.len();
        let mut before = None;
        'pages: loop {
            let page = store
                .messages(session, generation, None, before, PAGE)
                .await?;
            for message in page.messages.iter().rev() {
                let (text, cut) = said(message);
                if message.turn_id == turn_id || text.is_empty() {
                    continue;
                }
                let Some(left) = room.checked_sub(text.len()) else {
                    transcript.truncated = true;
                    break 'pages;
                };
                room = left;
                transcript.truncated |= cut;
                told.push(text);
            }
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        if !told.is_empty() {
            transcript.messages = i32::try_from(told.len()).unwrap_or(i32::MAX);
            told.reverse();
            transcript.text = format!("{HEAD}{}{TAIL}", told.concat());
        }
        Ok(transcript)
    }
}

/// The same of messages that were read already, oldest first; empty where there is nothing to tell.
pub(crate) fn of_messages(messages: &[Message], turn_id: Uuid) -> String {
    let mut told = Vec::new();
    let mut room = TRANSCRIPT_MAX_BYTES - HEAD.len() - TAIL.len();
    for message in messages.iter().rev().filter(|it| it.turn_id != turn_id) {
        let (text, _) = said(message);
        let Some(left) = room.checked_sub(text.len()) else {
            break;
        };
        room = left;
        told.push(text);
    }
    told.reverse();
    let told = told.concat();
    if told.is_empty() {
        return told;
    }
    format!("{HEAD}{told}{TAIL}")
}

/// A message as it is told, and whether it was cut; empty where there is nothing to tell.
fn said(message: &Message) -> (String, bool) {
    let mut text = String::new();
    for part in &message.parts {
        match part {
            Part::Text { text: said, .. } => text.push_str(said),
            Part::ToolCall { tool_name, .. } => text.push_str(&format!("(ran {tool_name})")),
            Part::Attachment(reference) => text.push_str(&format!("\n(with {})", reference.name)),
            // Its own, and not for itself.
            Part::Thinking { .. } => {}
        }
    }
    if text.trim().is_empty() {
        return (String::new(), false);
    }
    let kept = cut(&text, MESSAGE_MAX_BYTES);
    let who = match message.role {
        Role::User => "User",
        Role::Assistant => "You",
        Role::Tool => "Tool",
        Role::System => "System",
    };
    (format!("{who}: {kept}\n"), kept.len() < text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{event::Json, ids::Time};

    fn message(role: Role, parts: Vec<Part>) -> Message {
        Message {
            item_id: Uuid::nil(),
            turn_id: Uuid::nil(),
            generation: 1,
            role,
            parts,
            create_time: Time(0),
            seq: 1,
            partial: false,
            continued: false,
        }
    }

    fn text(text: &str) -> Part {
        Part::Text {
            content_index: 0,
            text: text.into(),
        }
    }

    #[test]
    fn a_message_is_told_without_its_thinking_and_not_beyond_its_bound() {
        let thinking = Part::Thinking {
            content_index: 0,
            text: "hm".into(),
        };
        let answer = message(Role::Assistant, vec![thinking.clone(), text("blue")]);
        assert_eq!(said(&answer), ("You: blue\n".into(), false));
        assert_eq!(said(&message(Role::Assistant, vec![thinking])).0, "");
        let tool = Part::ToolCall {
            tool_call_id: "c".into(),
            tool_name: "bash".into(),
            args: Json::default(),
            result: Json::default(),
            is_error: false,
        };
        assert_eq!(
            said(&message(Role::Tool, vec![tool])).0,
            "Tool: (ran bash)\n"
        );
        let long = message(Role::User, vec![text(&"x".repeat(MESSAGE_MAX_BYTES + 1))]);
        let (told, cut) = said(&long);
        assert!(cut && told.len() == MESSAGE_MAX_BYTES + "User: \n".len());
    }
}
