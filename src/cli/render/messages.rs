//! Finished messages: history, and what a reader missed while its cursor was void.

use super::{Renderer, summary};
use crate::cli::output::DIM;
use quarterdeck::proto::{
    GetSessionStateResponse, Message, Role, ToolCallPart, ToolCallState, message_part::Part,
};

// === impl Renderer ===

impl Renderer {
    /// What a session's state adds to what is shown: messages that were not shown, then the open one.
    pub(crate) fn state(&mut self, state: &GetSessionStateResponse) -> String {
        let mut out = String::new();
        for message in &state.messages {
            out.push_str(&self.finished_message(message));
        }
        if let Some(message) = &state.open_message {
            for part in &message.parts {
                let (thinking, text) = match &part.part {
                    Some(Part::Text(text)) => (false, text.text.as_str()),
                    Some(Part::Thinking(thinking)) => (true, thinking.text.as_str()),
                    Some(Part::ToolCall(_) | Part::Attachment(_)) | None => continue,
                };
                let text =
                    self.delta_replacing(&message.item_id, part.content_index, thinking, 0, text);
                out.push_str(&text);
            }
        }
        self.position = (state.log_id.clone(), state.seq);
        out
    }

    /// Takes messages as shown without showing them.
    pub(crate) fn skip(&mut self, messages: &[Message]) {
        for message in messages {
            self.finish(&message.item_id);
        }
    }

    /// A finished message, unless it was shown.
    pub(crate) fn finished_message(&mut self, message: &Message) -> String {
        let id = message.item_id.as_str();
        match message.role() {
            Role::User => {
                if !self.finish(id) || self.own_turns.remove(&message.turn_id) || !self.look.whole {
                    return String::new();
                }
                let text: Vec<&str> = message.parts.iter().filter_map(text_of).collect();
                let mut out = self.user_line(&text.concat());
                for part in &message.parts {
                    if let Some(Part::Attachment(file)) = &part.part {
                        let line = format!("  {} ({} bytes)\n", self.clean(&file.name), file.size);
                        self.styled(&mut out, DIM, &line);
                    }
                }
                out
            }
            Role::Tool => message
                .parts
                .iter()
                .filter_map(|part| match &part.part {
                    Some(Part::ToolCall(call)) => Some(call),
                    Some(Part::Text(_) | Part::Thinking(_) | Part::Attachment(_)) | None => None,
                })
                .map(|call| self.finished_tool(id, call))
                .collect(),
            Role::Assistant | Role::System | Role::Unspecified => {
                if self.finished.contains(id) {
                    return String::new();
                }
                let mut out = String::new();
                for part in &message.parts {
                    if let Some(Part::Thinking(thinking)) = &part.part {
                        out.push_str(&self.whole(id, part.content_index, true, &thinking.text));
                    }
                }
                let blocks = message
                    .parts
                    .iter()
                    .filter_map(|part| text_of(part).map(|text| (part.content_index, text)));
                out.push_str(&self.message(id, blocks, message.partial, message.continued));
                out
            }
        }
    }

    fn finished_tool(&mut self, id: &str, call: &ToolCallPart) -> String {
        let mut out = String::new();
        if !self.finished.contains(id) && !summary(&call.args_json).is_empty() {
            out.push_str(&self.tool_started(id, &call.tool_name, &call.args_json));
        }
        let is_error = call.state() == ToolCallState::Error;
        out.push_str(&self.tool_completed(id, &call.tool_name, &call.result_json, is_error));
        out
    }
}

fn text_of(part: &quarterdeck::proto::MessagePart) -> Option<&str> {
    match &part.part {
        Some(Part::Text(text)) => Some(&text.text),
        Some(Part::Thinking(_) | Part::ToolCall(_) | Part::Attachment(_)) | None => None,
    }
}
