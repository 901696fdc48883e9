//! What was given out of each open block, and what is missing.

use std::collections::{HashMap, HashSet};

/// Blocks that may be open; a turn holds few, and its end clears them.
const OPEN_MAX: usize = 1024;

/// Open blocks by item, place and kind, and tools that were announced.
#[derive(Default)]
pub(super) struct Blocks {
    open: HashMap<(String, i32, bool), Block>,
    announced: HashSet<String>,
}

#[derive(Default)]
struct Block {
    /// What was given out.
    given: String,
    /// What the block is, where that differs.
    truth: Option<String>,
}

/// What a change adds to what was given out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Addition {
    /// Nothing, or nothing yet.
    Nothing,
    /// Text that goes on where the block stands.
    Text(String),
    /// The completed block is a beginning of what was given out.
    Shorter,
    /// The completed block differs from what was given out; its text whole.
    Other(String),
}

// === impl Blocks ===

impl Blocks {
    /// A delta at a byte offset.
    pub(super) fn append(
        &mut self,
        id: &str,
        index: i32,
        thinking: bool,
        offset: i64,
        delta: &str,
    ) -> Addition {
        let Some(block) = self.block(id, index, thinking) else {
            return Addition::Nothing;
        };
        if block.truth.is_none() && usize::try_from(offset) == Ok(block.given.len()) {
            block.given.push_str(delta);
            return Addition::Text(delta.to_owned());
        }
        block.set_from(offset, delta)
    }

    /// A snapshot: the first `offset` bytes stay, then comes `text`.
    pub(super) fn replace_from(
        &mut self,
        id: &str,
        index: i32,
        thinking: bool,
        offset: i64,
        text: &str,
    ) -> Addition {
        self.block(id, index, thinking)
            .map_or(Addition::Nothing, |block| block.set_from(offset, text))
    }

    /// The block is whole.
    pub(super) fn complete(
        &mut self,
        id: &str,
        index: i32,
        thinking: bool,
        text: &str,
    ) -> Addition {
        let key = (id.to_owned(), index, thinking);
        let given = self.open.remove(&key).unwrap_or_default().given;
        match text.strip_prefix(given.as_str()) {
            Some("") => Addition::Nothing,
            Some(rest) => Addition::Text(rest.to_owned()),
            None if given.starts_with(text) => Addition::Shorter,
            None => Addition::Other(text.to_owned()),
        }
    }

    /// Notes that a tool's line was begun; false where it was before.
    pub(super) fn announce(&mut self, id: &str) -> bool {
        self.announced.len() < OPEN_MAX && self.announced.insert(id.to_owned())
    }

    /// The item is whole.
    pub(super) fn forget(&mut self, id: &str) {
        self.open.retain(|(item_id, _, _), _| item_id != id);
        self.announced.remove(id);
    }

    /// Nothing is open any more.
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.announced.clear();
    }

    /// The block, made when missing; `None` where too many are open, and its text comes when it is whole.
    fn block(&mut self, id: &str, index: i32, thinking: bool) -> Option<&mut Block> {
        let key = (id.to_owned(), index, thinking);
        if self.open.len() >= OPEN_MAX && !self.open.contains_key(&key) {
            return None;
        }
        Some(self.open.entry(key).or_default())
    }
}

// === impl Block ===

impl Block {
    fn set_from(&mut self, offset: i64, text: &str) -> Addition {
        let present = self.truth.as_ref().unwrap_or(&self.given);
        let kept = usize::try_from(offset)
            .ok()
            .and_then(|offset| present.get(..offset));
        let Some(kept) = kept else {
            // A hole: a snapshot or the whole message will fill it.
            return Addition::Nothing;
        };
        let truth = format!("{kept}{text}");
        match truth.strip_prefix(self.given.as_str()) {
            Some(rest) => {
                let rest = rest.to_owned();
                self.given = truth;
                self.truth = None;
                if rest.is_empty() {
                    Addition::Nothing
                } else {
                    Addition::Text(rest)
                }
            }
            // Shorter or other than what was given out; it may yet grow to the same.
            None => {
                self.truth = Some(truth);
                Addition::Nothing
            }
        }
    }
}
