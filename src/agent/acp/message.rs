//! The assistant message that an agent is writing: blocks of thinking and of text, from their first piece on.
//!
//! Agents name the message that a piece belongs to, in their own ways: a warning of the program itself has another name
//! than the model's answer, or none. Another name is another message. Thinking goes before the text that it led to; thinking
//! after text begins a message.

use crate::agent::AgentEvent;

/// What is kept of an open message, in bytes.
const KEPT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a piece is a piece of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The answer.
    Text,
    /// Thinking about it.
    Thinking,
}

/// The message, or none.
#[derive(Debug, Default)]
pub(super) struct OpenMessage {
    blocks: Vec<Block>,
    /// Bytes that came; what is beyond [`KEPT_MAX_BYTES`] is not kept.
    bytes: usize,
}

#[derive(Debug)]
struct Block {
    kind: Kind,
    /// The agent's name of the message.
    id: Option<String>,
    text: String,
}

// === impl OpenMessage ===

impl OpenMessage {
    /// Takes a piece.
    pub(super) fn grow(
        &mut self,
        kind: Kind,
        id: Option<&str>,
        delta: &str,
        emit: &mut impl FnMut(AgentEvent),
    ) {
        if delta.is_empty() {
            return;
        }
        let last = self.blocks.last();
        match last.map(|block| (block.kind, block.id.as_deref() == id)) {
            Some((last, true)) if last == kind => {}
            Some((Kind::Thinking, _)) => {
                self.end_thinking(emit);
                self.begin(kind, id);
            }
            Some((Kind::Text, _)) => {
                self.complete(emit);
                emit(AgentEvent::MessageStarted);
                self.begin(kind, id);
            }
            None => {
                emit(AgentEvent::MessageStarted);
                self.begin(kind, id);
            }
        }
        self.bytes = self.bytes.saturating_add(delta.len());
        if self.bytes <= KEPT_MAX_BYTES
            && let Some(block) = self.blocks.last_mut()
        {
            block.text.push_str(delta);
        }
        let (content_index, delta) = (self.index(), delta.to_owned());
        emit(match kind {
            Kind::Text => AgentEvent::TextDelta {
                content_index,
                delta,
            },
            Kind::Thinking => AgentEvent::ThinkingDelta {
                content_index,
                delta,
            },
        });
    }

    /// It is whole. Does nothing where there is none.
    pub(super) fn complete(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        if self.blocks.is_empty() {
            return;
        }
        self.end_thinking(emit);
        let blocks = std::mem::take(self).blocks.into_iter().enumerate();
        let texts = blocks.filter(|(_, block)| block.kind == Kind::Text);
        emit(AgentEvent::MessageCompleted {
            blocks: texts
                .map(|(index, block)| (place(index), block.text))
                .collect(),
        });
    }

    fn begin(&mut self, kind: Kind, id: Option<&str>) {
        self.blocks.push(Block {
            kind,
            id: id.map(Into::into),
            text: String::new(),
        });
    }

    fn end_thinking(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        let content_index = self.index();
        if let Some(Block {
            kind: Kind::Thinking,
            text,
            ..
        }) = self.blocks.last()
        {
            emit(AgentEvent::ThinkingCompleted {
                content_index,
                text: text.clone(),
            });
        }
    }

    fn index(&self) -> i32 {
        place(self.blocks.len().saturating_sub(1))
    }
}

fn place(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
