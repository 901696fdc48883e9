//! An assistant's text as it comes, put together from deltas, snapshots and whole messages, each byte handed on once.
//!
//! A block is known by its message's `item_id` and its place there. Deltas and snapshots say at which byte of the block
//! they begin, so that what was handed on before is passed over after a cut. Where bytes are missing (deltas were left
//! out for this reader) nothing of the message is handed on until a snapshot or the whole message brings them.

use crate::proto::{BlockKind, GatewayEvent, MessageCompleted, Role, gateway_event::Kind};
use std::collections::{BTreeMap, HashMap};

/// What was handed on of the messages that are open.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// By `item_id`.
    open: HashMap<String, Message>,
}

#[derive(Debug, Default)]
struct Message {
    /// Bytes that were handed on, by place of the block.
    given: BTreeMap<i32, usize>,
    /// Bytes are missing.
    behind: bool,
}

// === impl Assembly ===

impl Assembly {
    /// Takes an event; tells the text that it adds, empty where it adds none.
    pub(super) fn take(&mut self, event: &GatewayEvent) -> String {
        let item_id = &event.item_id;
        match &event.kind {
            Some(Kind::Token(token)) => {
                let message = self.open.entry(item_id.clone()).or_default();
                message.piece(token.content_index, token.offset, &token.delta)
            }
            Some(Kind::ItemSnapshot(block))
                if block.block() == BlockKind::Text && block.role() == Role::Assistant =>
            {
                let message = self.open.entry(item_id.clone()).or_default();
                message.behind = false;
                message.piece(block.content_index, block.offset, &block.text)
            }
            Some(Kind::MessageCompleted(whole)) => {
                let message = self.open.remove(item_id).unwrap_or_default();
                match whole.role() {
                    Role::Assistant => message.rest(whole),
                    Role::Unspecified | Role::User | Role::Tool | Role::System => String::new(),
                }
            }
            _ => String::new(),
        }
    }
}

// === impl Message ===

impl Message {
    /// What is new of `text`, which begins at byte `offset` of its block.
    fn piece(&mut self, block: i32, offset: i64, text: &str) -> String {
        let given = self.given.entry(block).or_default();
        let offset = usize::try_from(offset).unwrap_or(0);
        if self.behind || offset > *given {
            self.behind = true;
            return String::new();
        }
        let new = text.get(*given - offset..).unwrap_or_default();
        *given += new.len();
        new.to_owned()
    }

    /// What was not handed on of a whole message. Shorter than what was, where a crash took the end: then nothing.
    fn rest(self, whole: &MessageCompleted) -> String {
        let blocks = whole.blocks.iter().map(|block| {
            let given = self.given.get(&block.content_index).copied().unwrap_or(0);
            block.text.get(given..).unwrap_or_default()
        });
        blocks.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ItemSnapshot, MessageBlock, Token};

    fn event(kind: Kind) -> GatewayEvent {
        GatewayEvent {
            item_id: "m".into(),
            kind: Some(kind),
            ..GatewayEvent::default()
        }
    }

    fn token(offset: i64, delta: &str) -> GatewayEvent {
        event(Kind::Token(Token {
            delta: delta.into(),
            content_index: 1,
            offset,
        }))
    }

    fn snapshot(block: BlockKind, text: &str) -> GatewayEvent {
        event(Kind::ItemSnapshot(ItemSnapshot {
            block: block.into(),
            role: Role::Assistant.into(),
            content_index: 1,
            text: text.into(),
            ..ItemSnapshot::default()
        }))
    }

    fn completed(role: Role, text: &str) -> GatewayEvent {
        event(Kind::MessageCompleted(MessageCompleted {
            role: role.into(),
            text: text.into(),
            blocks: vec![MessageBlock {
                content_index: 1,
                text: text.into(),
            }],
            ..MessageCompleted::default()
        }))
    }

    fn text(events: &[GatewayEvent]) -> Vec<String> {
        let mut assembly = Assembly::default();
        events.iter().map(|event| assembly.take(event)).collect()
    }

    #[test]
    fn what_came_before_a_cut_is_passed_over_after_it() {
        let events = [
            token(0, "grüße "),
            token(8, "世界 "),
            // Here the connection is cut.
            snapshot(BlockKind::Thinking, "hm"),
            snapshot(BlockKind::Text, "grüße 世界 und"),
            token(15, "und alle"),
            completed(Role::Assistant, "grüße 世界 und alle!"),
        ];
        assert_eq!(text(&events), ["grüße ", "世界 ", "", "und", " alle", "!"]);
    }

    #[test]
    fn a_gap_is_filled_by_a_snapshot_or_by_the_whole_message() {
        let by_snapshot = [
            token(0, "a"),
            token(2, "c"),
            snapshot(BlockKind::Text, "abc"),
            token(3, "d"),
        ];
        assert_eq!(text(&by_snapshot), ["a", "", "bc", "d"]);
        let by_message = [
            token(0, "a"),
            token(2, "c"),
            token(3, "d"),
            completed(Role::Assistant, "abcd"),
        ];
        assert_eq!(text(&by_message), ["a", "", "", "bcd"]);
    }

    #[test]
    fn only_assistants_speak_and_a_crash_repeats_nothing() {
        assert_eq!(text(&[completed(Role::User, "hello")]), [""]);
        assert_eq!(
            text(&[token(0, "abc"), completed(Role::Assistant, "ab")]),
            ["abc", ""]
        );
    }
}
