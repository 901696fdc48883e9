//! The sub-agents of a turn, and what they say as events of their own: nothing of it becomes a message, a count, a preview
//! or the answer of the turn. Pure.

use super::machine::Effect;
use crate::{
    domain::{
        event::{Event, Json, Role},
        limits::{ASSISTANT_MESSAGE_MAX_BYTES, TURN_TEXT_IN_EVENT_MAX_BYTES, cut, cut_json_of},
        message::Part,
        subagent::SubagentEvent,
    },
    store::Write,
};
use uuid::Uuid;

/// Sub-agents that are at work at a time; what is told of more is passed over.
const OPEN_MAX: usize = 64;
/// How deep they may give each other tasks.
const DEPTH_MAX: usize = 16;
/// Parts of one item.
const PARTS_MAX: usize = 256;
/// Longest id or name that is kept, in bytes.
const WORD_MAX_BYTES: usize = 1024;

/// Those that are at work.
#[derive(Debug, Default)]
pub(super) struct Subagents(Vec<Subagent>);

#[derive(Debug)]
struct Subagent {
    /// Its own id is the last.
    path: Vec<String>,
    message_count: i64,
    tool_call_count: i64,
}

// === impl Subagents ===

impl Subagents {
    /// Takes what the agent said of one.
    pub(super) fn apply(&mut self, mut id: String, said: SubagentEvent, effects: &mut Vec<Effect>) {
        shorten(&mut id, WORD_MAX_BYTES);
        match said {
            SubagentEvent::Started {
                parent_agent_id: mut parent,
                mut name,
                mut tool_call_id,
                mut task,
            } => {
                for word in [&mut parent, &mut name, &mut tool_call_id] {
                    shorten(word, WORD_MAX_BYTES);
                }
                shorten(&mut task, TURN_TEXT_IN_EVENT_MAX_BYTES);
                if id.is_empty() || self.place(&id).is_some() || self.0.len() >= OPEN_MAX {
                    return;
                }
                // One whose parent is not at work is the turn's own agent's.
                let above = self.place(&parent).map(|place| &self.0[place].path);
                let mut path = above.cloned().unwrap_or_default();
                if path.len() >= DEPTH_MAX {
                    return;
                }
                let parent_agent_id = path.last().cloned().unwrap_or_default();
                path.push(id.clone());
                self.0.push(Subagent {
                    path,
                    message_count: 0,
                    tool_call_count: 0,
                });
                write(
                    effects,
                    None,
                    Event::SubagentStarted {
                        agent_id: id,
                        parent_agent_id,
                        name,
                        tool_call_id,
                        task,
                    },
                );
            }
            SubagentEvent::Item { role, parts } => {
                let Some(place) = self.place(&id) else {
                    return;
                };
                let subagent = &mut self.0[place];
                let parts = match role {
                    Role::Tool => call(parts),
                    Role::User | Role::Assistant | Role::System => texts(parts),
                };
                if parts.is_empty() {
                    return;
                }
                let role = if role == Role::Tool {
                    subagent.tool_call_count += 1;
                    Role::Tool
                } else {
                    subagent.message_count += 1;
                    Role::Assistant
                };
                let agent_path = subagent.path.clone();
                let event = Event::SubagentItem {
                    agent_path,
                    role,
                    parts,
                };
                write(effects, Some(Uuid::now_v7()), event);
            }
            SubagentEvent::Completed {
                is_error,
                mut response,
            } => {
                shorten(&mut response, TURN_TEXT_IN_EVENT_MAX_BYTES);
                let Some(place) = self.place(&id) else {
                    return;
                };
                self.complete(place, is_error, response, effects);
            }
        }
    }

    /// Ends all that are at work: their turn ends.
    pub(super) fn close(&mut self, effects: &mut Vec<Effect>) {
        while let Some(last) = self.0.len().checked_sub(1) {
            self.complete(last, true, String::new(), effects);
        }
    }

    /// Ends one, and first those that it gave tasks to.
    fn complete(
        &mut self,
        place: usize,
        is_error: bool,
        response: String,
        effects: &mut Vec<Effect>,
    ) {
        let path = self.0[place].path.clone();
        let below = |it: &Subagent| it.path.len() > path.len() && it.path.starts_with(&path);
        while let Some(child) = self.0.iter().rposition(below) {
            self.complete(child, true, String::new(), effects);
        }
        let Some(place) = self.0.iter().position(|it| it.path == path) else {
            return;
        };
        let Subagent {
            mut path,
            message_count,
            tool_call_count,
        } = self.0.remove(place);
        write(
            effects,
            None,
            Event::SubagentCompleted {
                agent_id: path.pop().unwrap_or_default(),
                is_error,
                response,
                message_count,
                tool_call_count,
            },
        );
    }

    fn place(&self, id: &str) -> Option<usize> {
        let is_it = |it: &Subagent| it.path.last().is_some_and(|last| last == id);
        self.0.iter().position(is_it)
    }
}

fn shorten(text: &mut String, max_bytes: usize) {
    text.truncate(cut(text, max_bytes).len());
}

fn write(effects: &mut Vec<Effect>, item_id: Option<Uuid>, event: Event) {
    effects.push(Effect::Write(Write::Event { item_id, event }));
}

/// Texts and thoughts, as many as an event takes.
fn texts(parts: Vec<Part>) -> Vec<Part> {
    let mut room = ASSISTANT_MESSAGE_MAX_BYTES;
    let mut fit = |mut text: String| {
        shorten(&mut text, room);
        room -= text.len();
        text
    };
    let parts = parts.into_iter().take(PARTS_MAX).filter_map(|part| {
        let part = match part {
            Part::Text {
                content_index,
                text,
            } => Part::Text {
                content_index: content_index.max(0),
                text: fit(text),
            },
            Part::Thinking {
                content_index,
                text,
            } => Part::Thinking {
                content_index: content_index.max(0),
                text: fit(text),
            },
            Part::ToolCall { .. } | Part::Attachment(_) => return None,
        };
        let is_empty = matches!(&part, Part::Text { text, .. } | Part::Thinking { text, .. } if text.is_empty());
        (!is_empty).then_some(part)
    });
    parts.collect()
}

/// The one call that there is.
fn call(parts: Vec<Part>) -> Vec<Part> {
    let bounded = |json: Json| {
        let (text, full_size) = cut_json_of(json.text, json.full_size);
        Json { text, full_size }
    };
    let call = parts.into_iter().find_map(|part| match part {
        Part::ToolCall {
            mut tool_call_id,
            mut tool_name,
            args,
            result,
            is_error,
        } => {
            shorten(&mut tool_call_id, WORD_MAX_BYTES);
            shorten(&mut tool_name, WORD_MAX_BYTES);
            Some(Part::ToolCall {
                tool_call_id,
                tool_name,
                args: bounded(args),
                result: bounded(result),
                is_error,
            })
        }
        Part::Text { .. } | Part::Thinking { .. } | Part::Attachment(_) => None,
    });
    call.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ids::Time, wire::frames};

    fn started(parent: &str) -> SubagentEvent {
        SubagentEvent::Started {
            parent_agent_id: parent.into(),
            name: "helper".into(),
            tool_call_id: String::new(),
            task: "t".repeat(100_000),
        }
    }

    fn said(text: &str) -> SubagentEvent {
        SubagentEvent::Item {
            role: Role::Assistant,
            parts: vec![Part::Text {
                content_index: -1,
                text: text.into(),
            }],
        }
    }

    fn told(effects: &[Effect]) -> Vec<String> {
        let told = effects.iter().map(|effect| match effect {
            Effect::Write(Write::Event { event, .. }) => match event {
                Event::SubagentStarted { agent_id, .. } => format!("+{agent_id}"),
                Event::SubagentItem { agent_path, .. } => agent_path.join("/"),
                Event::SubagentCompleted {
                    agent_id, is_error, ..
                } => format!("-{agent_id}{}", if *is_error { "!" } else { "" }),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    /// 6.3 8, DEFECTS 55: a sub-agent's end is told once, whatever it answered, and an unknown one's not at all.
    #[test]
    fn each_that_started_ends_once_and_its_own_before_it() {
        let mut subagents = Subagents::default();
        let mut effects = Vec::new();
        subagents.apply("stranger".into(), said("x"), &mut effects);
        for (id, parent) in [
            ("a", ""),
            ("a", ""),
            ("b", "a"),
            ("c", "b"),
            ("d", "nobody"),
        ] {
            subagents.apply(id.into(), started(parent), &mut effects);
        }
        subagents.apply("c".into(), said("hello"), &mut effects);
        let completed = || SubagentEvent::Completed {
            is_error: false,
            response: String::new(),
        };
        subagents.apply("a".into(), completed(), &mut effects);
        subagents.apply("a".into(), completed(), &mut effects);
        subagents.apply("c".into(), said("late"), &mut effects);
        subagents.close(&mut effects);
        subagents.close(&mut effects);
        let expected = ["+a", "+b", "+c", "+d", "a/b/c", "-c!", "-b!", "-a", "-d!"];
        assert_eq!(told(&effects), expected);
    }

    #[test]
    fn a_flood_stays_within_bounds() {
        let mut subagents = Subagents::default();
        let mut effects = Vec::new();
        for n in 0..OPEN_MAX + 10 {
            let parent = n.checked_sub(1).map_or(String::new(), |n| n.to_string());
            subagents.apply(n.to_string(), started(&parent), &mut effects);
        }
        assert!(effects.len() <= OPEN_MAX);
        subagents.apply("0".into(), said(&"ß".repeat(2_000_000)), &mut effects);
        let big = Json {
            text: format!("\"{}\"", "x".repeat(2_000_000)),
            full_size: None,
        };
        let parts = vec![Part::ToolCall {
            tool_call_id: "c".repeat(10_000),
            tool_name: "n".repeat(10_000),
            args: big.clone(),
            result: big,
            is_error: false,
        }];
        let role = Role::Tool;
        subagents.apply(
            "0".into(),
            SubagentEvent::Item { role, parts },
            &mut effects,
        );
        subagents.close(&mut effects);
        for effect in effects {
            let Effect::Write(Write::Event { event, .. }) = effect else {
                panic!("an event: {effect:?}");
            };
            let body = frames::event_body(Time(0), None, None, 1, &event);
            assert!(body.len() + 512 <= 1024 * 1024, "an event is at most 1 MiB");
        }
    }
}
