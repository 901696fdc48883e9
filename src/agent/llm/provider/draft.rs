//! A reply while it is read: blocks in the order in which they began.

use super::{Piece, Record, Reply, Stop, ToolCall};
use crate::domain::turn::Usage;

/// What the provider calls a block; each dialect counts in its own way.
pub(super) type Key = (u64, u64);

/// The blocks so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    blocks: Vec<(Key, Block)>,
}

#[derive(Debug)]
enum Block {
    Text(String),
    Thinking(String),
    Call(ToolCall),
}

// === impl Draft ===

impl Draft {
    /// Appends to a text block; it begins where there is none.
    pub(super) fn text(&mut self, key: Key, delta: &str, pieces: &mut Vec<Piece>) {
        if delta.is_empty() {
            return;
        }
        let same = |it: &(Key, Block)| it.0 == key && matches!(it.1, Block::Text(_));
        let (index, block) = self.block(same, || (key, Block::Text(String::new())));
        if let Block::Text(text) = block {
            text.push_str(delta);
        }
        let delta = delta.to_owned();
        pieces.push(Piece::Text { index, delta });
    }

    /// Appends to a thinking block; it begins where there is none.
    pub(super) fn thinking(&mut self, key: Key, delta: &str, pieces: &mut Vec<Piece>) {
        if delta.is_empty() {
            return;
        }
        let same = |it: &(Key, Block)| it.0 == key && matches!(it.1, Block::Thinking(_));
        let (index, block) = self.block(same, || (key, Block::Thinking(String::new())));
        if let Block::Thinking(text) = block {
            text.push_str(delta);
        }
        let delta = delta.to_owned();
        pieces.push(Piece::Thinking { index, delta });
    }

    /// Tells what is known of a call; what is empty changes nothing.
    pub(super) fn call(
        &mut self,
        key: Key,
        (call_id, name): (&str, &str),
        delta: &str,
        pieces: &mut Vec<Piece>,
    ) {
        let same = |it: &(Key, Block)| it.0 == key && matches!(it.1, Block::Call(_));
        let (index, block) = self.block(same, || (key, Block::Call(ToolCall::default())));
        let Block::Call(call) = block else { return };
        for (known, told) in [(&mut call.call_id, call_id), (&mut call.name, name)] {
            if !told.is_empty() {
                told.clone_into(known);
            }
        }
        call.arguments.push_str(delta);
        if !delta.is_empty() {
            pieces.push(Piece::Arguments {
                index,
                call_id: call.call_id.clone(),
                name: call.name.clone(),
                delta: delta.to_owned(),
            });
        }
    }

    /// A call is whole; its arguments replace what came so far.
    pub(super) fn whole_call(&mut self, key: Key, (call_id, name): (&str, &str), arguments: &str) {
        self.call(key, (call_id, name), "", &mut vec![]);
        let same = |it: &&mut (Key, Block)| it.0 == key;
        let mut found = self.blocks.iter_mut().filter(same);
        if let Some(Block::Call(call)) = found.next().map(|it| &mut it.1) {
            arguments.clone_into(&mut call.arguments);
        }
    }

    /// Calls so far.
    pub(super) fn calls(&self) -> usize {
        let is_call = |it: &&(Key, Block)| matches!(it.1, Block::Call(_));
        self.blocks.iter().filter(is_call).count()
    }

    /// The whole reply.
    pub(super) fn reply(self, stop: Stop, usage: Option<Usage>, record: Option<Record>) -> Reply {
        let mut reply = Reply {
            texts: vec![],
            thinking: vec![],
            calls: vec![],
            stop,
            usage,
            record,
        };
        for (index, (_, block)) in (0i32..).zip(self.blocks) {
            match block {
                Block::Text(text) => reply.texts.push((index, text)),
                Block::Thinking(text) => reply.thinking.push((index, text)),
                Block::Call(call) => reply.calls.push(call),
            }
        }
        reply
    }

    fn block(
        &mut self,
        same: impl Fn(&(Key, Block)) -> bool,
        new: impl FnOnce() -> (Key, Block),
    ) -> (i32, &mut Block) {
        let at = match self.blocks.iter().rposition(same) {
            Some(at) => at,
            None => {
                self.blocks.push(new());
                self.blocks.len() - 1
            }
        };
        let index = i32::try_from(at).unwrap_or(i32::MAX);
        (index, &mut self.blocks[at].1)
    }
}
