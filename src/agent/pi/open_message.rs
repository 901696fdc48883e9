//! The assistant message that pi is writing. Shown from its first content on, since a failed model call leaves an empty
//! one; kept in part, in case its end is lost.

use super::protocol::{Change, Update};
use crate::agent::{AgentEvent, json::Half};
use std::collections::{BTreeMap, HashMap};

/// What is kept of an open message, in bytes.
pub(super) const KEPT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// An open message.
#[derive(Debug, Default)]
pub(super) struct OpenMessage {
    /// `MessageStarted` was sent.
    shown: bool,
    /// Text so far, by block.
    texts: BTreeMap<i32, String>,
    /// Thinking that was not said to be whole yet, by block.
    thinking: BTreeMap<i32, String>,
    /// Blocks of thinking that were.
    thought: Vec<i32>,
    /// Bytes that came; what is beyond [`KEPT_MAX_BYTES`] is not kept.
    bytes: usize,
    /// Ids and names of tool calls, by block.
    calls: HashMap<i32, (String, String)>,
    /// Characters of which one half came, by block.
    halves: HashMap<i32, Half>,
}

// === impl OpenMessage ===

impl OpenMessage {
    /// It grows. `told_id` makes pi's id of a call the one under which the call is told.
    pub(super) fn grow(
        &mut self,
        update: Update,
        told_id: impl Fn(&str) -> String,
        emit: &mut impl FnMut(AgentEvent),
    ) {
        let Update {
            content_index,
            change,
        } = update;
        match change {
            Change::Text(piece) => {
                let delta = self.halves.entry(content_index).or_default().join(piece);
                if delta.is_empty() {
                    return;
                }
                self.show(emit);
                if self.has_room(&delta) {
                    self.texts
                        .entry(content_index)
                        .or_default()
                        .push_str(&delta);
                }
                emit(AgentEvent::TextDelta {
                    content_index,
                    delta,
                });
            }
            Change::TextEnd(text) if !text.is_empty() => {
                self.show(emit);
                self.halves.remove(&content_index);
                self.texts.insert(content_index, text);
            }
            Change::Thinking(piece) => {
                let delta = self.halves.entry(content_index).or_default().join(piece);
                if delta.is_empty() {
                    return;
                }
                self.show(emit);
                let room = self.has_room(&delta);
                let kept = self.thinking.entry(content_index).or_default();
                if room {
                    kept.push_str(&delta);
                }
                emit(AgentEvent::ThinkingDelta {
                    content_index,
                    delta,
                });
            }
            Change::ThinkingEnd(text) => self.thought(content_index, text, emit),
            Change::ToolStart { id, name } => {
                self.calls.insert(content_index, (told_id(&id), name));
            }
            Change::ToolInput(piece) => {
                let delta = self.halves.entry(content_index).or_default().join(piece);
                if delta.is_empty() {
                    return;
                }
                self.show(emit);
                let call = self.calls.get(&content_index);
                let (tool_call_id, tool_name) = call.cloned().unwrap_or_default();
                emit(AgentEvent::ToolInputDelta {
                    content_index,
                    tool_call_id,
                    tool_name,
                    delta,
                });
            }
            Change::TextEnd(_) | Change::Nothing => {}
        }
    }

    /// It is whole, with this text and thinking, unless they are known to be `cut`. `failed`: by an error or an abort, so
    /// it may be empty.
    pub(super) fn complete(
        mut self,
        texts: Vec<(i32, String)>,
        thinking: Vec<(i32, String)>,
        failed: bool,
        cut: bool,
        emit: &mut impl FnMut(AgentEvent),
    ) {
        if failed && texts.is_empty() {
            self.lose(emit);
            return;
        }
        if cut {
            // What was streamed is at least as much, where it was streamed at all.
            for (content_index, text) in texts {
                self.texts.entry(content_index).or_insert(text);
            }
            for (content_index, text) in thinking {
                self.thinking.entry(content_index).or_insert(text);
            }
            self.show(emit);
            self.lose(emit);
            return;
        }
        self.show(emit);
        for (content_index, text) in thinking {
            self.thought(content_index, text, emit);
        }
        self.end_thinking(emit);
        emit(AgentEvent::MessageCompleted { blocks: texts });
    }

    /// Its end never came: what its deltas built is what there is.
    pub(super) fn lose(mut self, emit: &mut impl FnMut(AgentEvent)) {
        if self.shown {
            for (content_index, mut half) in std::mem::take(&mut self.halves) {
                let kept = [
                    self.texts.get_mut(&content_index),
                    self.thinking.get_mut(&content_index),
                ];
                for kept in kept.into_iter().flatten() {
                    kept.extend(half.end());
                }
            }
            self.end_thinking(emit);
            let blocks = self.texts.into_iter().collect();
            emit(AgentEvent::MessageCompleted { blocks });
        }
    }

    fn show(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        if !self.shown {
            self.shown = true;
            emit(AgentEvent::MessageStarted);
        }
    }

    /// Once there is none there never is again: what is kept has no holes.
    fn has_room(&mut self, delta: &str) -> bool {
        self.bytes = self.bytes.saturating_add(delta.len());
        self.bytes <= KEPT_MAX_BYTES
    }

    fn end_thinking(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        for (content_index, text) in std::mem::take(&mut self.thinking) {
            self.thought(content_index, text, emit);
        }
    }

    fn thought(&mut self, content_index: i32, text: String, emit: &mut impl FnMut(AgentEvent)) {
        let text = match self.thinking.remove(&content_index) {
            Some(kept) if text.is_empty() => kept,
            Some(_) | None => text,
        };
        if text.is_empty() || self.thought.contains(&content_index) {
            return;
        }
        self.show(emit);
        self.thought.push(content_index);
        emit(AgentEvent::ThinkingCompleted {
            content_index,
            text,
        });
    }
}
