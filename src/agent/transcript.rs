//! What an agent is told that did not find its conversation again: the stored messages, the newest ones.

use super::TRANSCRIPT_MAX_BYTES;
use crate::domain::{
    event::Role,
    limits::cut,
    message::{Message, Part},
};
use uuid::Uuid;

/// Longest text of one message in it, in bytes.
const MESSAGE_MAX_BYTES: usize = 16 * 1024;
/// What stands around the messages.
const HEAD: &str = "<conversation>\nYou lost your memory of this conversation. This is how it went so far, as it was \
                    stored; go on from it.\n";
const TAIL: &str = "</conversation>\n\n";

/// A conversation, told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// The text, at most [`TRANSCRIPT_MAX_BYTES`]; empty where there is nothing to tell.
    pub(crate) text: String,
    /// Messages in it.
    pub(crate) messages: i32,
    /// Older ones were left out, or one was cut.
    pub(crate) truncated: bool,
}

/// A transcript that is written from its end on.
pub(crate) struct Writer {
    told: Vec<String>,
    room: usize,
    truncated: bool,
}

// === impl Transcript ===

impl Transcript {
    /// Of messages, oldest first, without those of a turn that is about to start.
    pub(crate) fn of(messages: &[Message], turn_id: Uuid) -> Self {
        let mut writer = Writer::new();
        let _all = messages.iter().rev().all(|it| writer.add(it, turn_id));
        writer.end()
    }
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new() -> Self {
        Self {
            told: Vec::new(),
            room: TRANSCRIPT_MAX_BYTES - HEAD.len() - TAIL.len(),
            truncated: false,
        }
    }

    /// Takes the message before; false where there is no more room.
    pub(crate) fn add(&mut self, message: &Message, turn_id: Uuid) -> bool {
        let (text, cut) = said(message);
        if message.turn_id == turn_id || text.is_empty() {
            return true;
        }
        let Some(left) = self.room.checked_sub(text.len()) else {
            self.truncated = true;
            return false;
        };
        self.room = left;
        self.truncated |= cut;
        self.told.push(text);
        true
    }

    pub(crate) fn end(mut self) -> Transcript {
        self.told.reverse();
        let text = match self.told.is_empty() {
            true => String::new(),
            false => format!("{HEAD}{}{TAIL}", self.told.concat()),
        };
        Transcript {
            text,
            messages: i32::try_from(self.told.len()).unwrap_or(i32::MAX),
            truncated: self.truncated,
        }
    }
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
