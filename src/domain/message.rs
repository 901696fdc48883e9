//! Messages: what a conversation keeps. Rows of their own; event retention never touches them.

use super::{
    event::{Json, Role},
    ids::Time,
    turn::AttachmentRef,
};
use uuid::Uuid;

/// One part of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text.
    Text {
        /// Place in the message.
        content_index: i32,
        /// The text, whole.
        text: String,
    },
    /// The model's thinking.
    Thinking {
        /// Place in the message.
        content_index: i32,
        /// The text, whole.
        text: String,
    },
    /// A finished tool execution.
    ToolCall {
        /// The agent's id of the call.
        tool_call_id: String,
        /// Name of the tool.
        tool_name: String,
        /// Arguments.
        args: Json,
        /// Result.
        result: Json,
        /// True where it failed.
        is_error: bool,
    },
    /// Something that came with a prompt.
    Attachment(AttachmentRef),
}

/// A finished message, as its completing event's commit wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its item; never changes.
    pub item_id: Uuid,
    /// Turn that it belongs to.
    pub turn_id: Uuid,
    /// Generation that it belongs to.
    pub generation: i64,
    /// Who speaks.
    pub role: Role,
    /// Its parts in order.
    pub parts: Vec<Part>,
    /// When it was written.
    pub create_time: Time,
    /// `seq` of the event that completed it; 0 for a message that a fork copied.
    pub seq: i64,
    /// True where it was cut short.
    pub partial: bool,
    /// True where the next message goes on with it.
    pub continued: bool,
}
