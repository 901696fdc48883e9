//! What an agent tells of the sub-agents of a turn: each speaks in a session of its own. It is told to our session once it
//! is whole; nothing of it is the turn's own agent's.

use super::{text, tools::Tools};
use crate::{
    agent::AgentEvent,
    domain::{
        event::{Json, Role},
        limits::{ASSISTANT_MESSAGE_MAX_BYTES, cut},
        message::Part,
        subagent::SubagentEvent,
    },
};
use serde_json::Value;
use std::collections::VecDeque;

/// Sub-agents of a turn; further ones are passed over.
const OPEN_MAX: usize = 64;
/// Sub-agents of ended turns that are remembered, so that what comes of them late is known.
const PAST_MAX: usize = 256;
/// Calls of one that are open at a time.
const CALLS_MAX: usize = 256;

/// Those of a turn, in the order in which they were first heard of.
#[derive(Debug, Default)]
pub(super) struct Subagents(Vec<Subagent>);

/// Sub-agents of turns that are over, newest last.
#[derive(Debug, Default)]
pub(super) struct PastSubagents(VecDeque<String>);

#[derive(Debug)]
struct Subagent {
    /// The agent's id of its session.
    id: String,
    ended: bool,
    /// The open message: its blocks, the last one growing.
    message: Vec<Part>,
    message_id: Option<String>,
    bytes: usize,
    /// The newest message's text.
    last_text: String,
    tools: Tools,
    /// Names and arguments of the open calls.
    calls: Vec<(String, String, String)>,
}

// === impl Subagents ===

impl Subagents {
    /// Takes an update of a session that is not the turn's; `cut` bytes are missing in its line. False where it is of no
    /// known kind.
    pub(super) fn hear(
        &mut self,
        id: &str,
        update: &Value,
        cut: usize,
        emit: &mut impl FnMut(AgentEvent),
    ) -> bool {
        let Some(subagent) = self.open(id, update, emit) else {
            return true;
        };
        match text(&update["sessionUpdate"]) {
            "agent_message_chunk" => subagent.grow(false, update, emit),
            "agent_thought_chunk" => subagent.grow(true, update, emit),
            "tool_call" | "tool_call_update" => {
                subagent.complete_message(emit);
                subagent.call(update, cut, emit);
            }
            "plan"
            | "user_message_chunk"
            | "usage_update"
            | "session_info_update"
            | "available_commands_update"
            | "config_option_update"
            | "current_mode_update" => {}
            _ => return false,
        }
        true
    }

    /// The turn's agent says how a sub-agent is.
    pub(super) fn is(&mut self, update: &Value, emit: &mut impl FnMut(AgentEvent)) {
        let id = text(&update["sessionId"]);
        if id.is_empty() {
            return;
        }
        let Some(subagent) = self.open(id, update, emit) else {
            return;
        };
        match text(&update["state"]) {
            "completed" | "finished" | "done" | "idle" => subagent.end(false, emit),
            "failed" | "error" | "cancelled" | "canceled" | "stopped" => subagent.end(true, emit),
            _ => {}
        }
    }

    /// The turn is over, and with it all of them. Returns their ids.
    pub(super) fn end(self, is_error: bool, emit: &mut impl FnMut(AgentEvent)) -> Vec<String> {
        let ended = self.0.into_iter().map(|mut subagent| {
            subagent.end(is_error, emit);
            subagent.id
        });
        ended.collect()
    }

    /// One that is at work; it is told to the session where it is new.
    fn open(
        &mut self,
        id: &str,
        update: &Value,
        emit: &mut impl FnMut(AgentEvent),
    ) -> Option<&mut Subagent> {
        let at = match self.0.iter().position(|it| it.id == id) {
            Some(at) => at,
            None if self.0.len() >= OPEN_MAX => return None,
            None => {
                let word = |names: &[&str]| {
                    let words = names.iter().map(|name| text(&update[*name]));
                    words
                        .into_iter()
                        .find(|it| !it.is_empty())
                        .unwrap_or("")
                        .to_owned()
                };
                let call = text(&update["_meta"]["claudeCode"]["parentToolUseId"]);
                let started = SubagentEvent::Started {
                    parent_agent_id: String::new(),
                    name: word(&["name", "title"]),
                    tool_call_id: call.to_owned(),
                    task: word(&["task", "prompt", "description"]),
                };
                of(id, started, emit);
                self.0.push(Subagent {
                    id: id.to_owned(),
                    ended: false,
                    message: Vec::new(),
                    message_id: None,
                    bytes: 0,
                    last_text: String::new(),
                    tools: Tools::default(),
                    calls: Vec::new(),
                });
                self.0.len() - 1
            }
        };
        Some(&mut self.0[at]).filter(|it| !it.ended)
    }
}

// === impl PastSubagents ===

impl PastSubagents {
    /// Whether that one's turn is over.
    pub(super) fn hold(&self, id: &str) -> bool {
        self.0.iter().any(|past| past == id)
    }

    /// Takes those of a turn that is over.
    pub(super) fn extend(&mut self, ids: Vec<String>) {
        self.0.extend(ids);
        let many = self.0.len().saturating_sub(PAST_MAX);
        self.0.drain(..many);
    }
}

// === impl Subagent ===

impl Subagent {
    fn grow(&mut self, thinks: bool, update: &Value, emit: &mut impl FnMut(AgentEvent)) {
        let delta = text(&update["content"]["text"]);
        if delta.is_empty() {
            return;
        }
        let message_id = update["messageId"].as_str().map(str::to_owned);
        if self.message_id != message_id {
            self.complete_message(emit);
            self.message_id = message_id;
        }
        let delta = cut(
            delta,
            ASSISTANT_MESSAGE_MAX_BYTES.saturating_sub(self.bytes),
        );
        self.bytes += delta.len();
        let content_index = i32::try_from(self.message.len()).unwrap_or(i32::MAX);
        match (self.message.last_mut(), thinks) {
            (Some(Part::Thinking { text, .. }), true) | (Some(Part::Text { text, .. }), false) => {
                text.push_str(delta);
            }
            (_, true) => self.message.push(Part::Thinking {
                content_index,
                text: delta.to_owned(),
            }),
            (_, false) => self.message.push(Part::Text {
                content_index,
                text: delta.to_owned(),
            }),
        }
    }

    fn complete_message(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        self.bytes = 0;
        let parts = std::mem::take(&mut self.message);
        if parts.is_empty() {
            return;
        }
        let texts = parts.iter().filter_map(|part| match part {
            Part::Text { text, .. } => Some(text.as_str()),
            Part::Thinking { .. } | Part::ToolCall { .. } | Part::Attachment(_) => None,
        });
        let said: String = texts.collect();
        if !said.is_empty() {
            self.last_text = said;
        }
        let role = Role::Assistant;
        of(&self.id, SubagentEvent::Item { role, parts }, emit);
    }

    fn call(&mut self, update: &Value, cut: usize, emit: &mut impl FnMut(AgentEvent)) {
        let (calls, id) = (&mut self.calls, self.id.as_str());
        self.tools.hear(update, cut, false, &mut |event| {
            told_of_call(calls, id, event, emit);
        });
    }

    fn end(&mut self, is_error: bool, emit: &mut impl FnMut(AgentEvent)) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.complete_message(emit);
        let (calls, id) = (&mut self.calls, self.id.as_str());
        std::mem::take(&mut self.tools).end(&mut |event| told_of_call(calls, id, event, emit));
        let response = std::mem::take(&mut self.last_text);
        let completed = SubagentEvent::Completed { is_error, response };
        of(&self.id, completed, emit);
    }
}

/// A call is told once it ended, with what it began with.
fn told_of_call(
    calls: &mut Vec<(String, String, String)>,
    id: &str,
    event: AgentEvent,
    emit: &mut impl FnMut(AgentEvent),
) {
    match event {
        AgentEvent::ToolStarted {
            tool_call_id,
            tool_name,
            args_json,
        } if calls.len() < CALLS_MAX => calls.push((tool_call_id, tool_name, args_json)),
        AgentEvent::ToolCompleted {
            tool_call_id,
            result_json,
            is_error,
            full_size,
            pictures: _,
        } => {
            let Some(at) = calls.iter().position(|call| call.0 == tool_call_id) else {
                return;
            };
            let (tool_call_id, tool_name, args_json) = calls.remove(at);
            let part = Part::ToolCall {
                tool_call_id,
                tool_name,
                args: Json {
                    text: args_json,
                    full_size: None,
                },
                result: Json {
                    text: result_json,
                    full_size,
                },
                is_error,
            };
            let item = SubagentEvent::Item {
                role: Role::Tool,
                parts: vec![part],
            };
            of(id, item, emit);
        }
        // A sub-agent's plan is none of the turn's.
        _ => {}
    }
}

fn of(id: &str, said: SubagentEvent, emit: &mut impl FnMut(AgentEvent)) {
    emit(AgentEvent::Subagent {
        agent_id: id.to_owned(),
        said: Box::new(said),
    });
}
