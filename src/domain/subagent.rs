//! What agents say of the sub-agents that they give tasks to.

use super::{event::Role, message::Part};

/// Something about one sub-agent. Which one stands beside it.
#[derive(Clone, Debug, PartialEq)]
pub enum SubagentEvent {
    /// It was given a task.
    Started {
        /// The sub-agent that gave it; empty for the turn's own agent.
        parent_agent_id: String,
        /// What it is called; may be empty.
        name: String,
        /// The call that gave it the task; empty where the agent does not tell.
        tool_call_id: String,
        /// What it is to do; may be empty.
        task: String,
    },
    /// It said something, or ran a tool; whole.
    Item {
        /// The assistant, or a tool.
        role: Role,
        /// What was said, or the call.
        parts: Vec<Part>,
    },
    /// It ended.
    Completed {
        /// True where it failed.
        is_error: bool,
        /// What it answered; may be empty.
        response: String,
    },
}

// === impl SubagentEvent ===

impl SubagentEvent {
    /// Bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Started {
                parent_agent_id,
                name,
                tool_call_id,
                task,
            } => parent_agent_id.len() + name.len() + tool_call_id.len() + task.len(),
            Self::Item { role: _, parts } => parts.iter().map(text_bytes).sum(),
            Self::Completed {
                is_error: _,
                response,
            } => response.len(),
        }
    }
}

fn text_bytes(part: &Part) -> usize {
    match part {
        Part::Text { text, .. } | Part::Thinking { text, .. } => text.len(),
        Part::ToolCall {
            tool_call_id,
            tool_name,
            args,
            result,
            is_error: _,
        } => tool_call_id.len() + tool_name.len() + args.text.len() + result.text.len(),
        Part::Attachment(_) => 0,
    }
}
