//! Open items of the active turn: what a crash would leave of them, and how they are closed from it.

use super::super::{
    draft::{Draft, NewMessage, new_item},
    facts::{Decision, Stop},
    snapshot::{OpenBlock, OpenItem},
};
use crate::domain::{
    Event,
    event::{BlockKind, Json, Role},
    ids::Time,
    limits::cut_json,
    message::Part,
};
use uuid::Uuid;

/// Keeps the books of open items for an event that an owner writes.
pub(super) fn follow(draft: &mut Draft, item_id: Option<Uuid>, event: &Event) -> Decision<()> {
    let item = || item_id.ok_or_else(|| Stop::Broken("an item's event has no item_id".into()));
    match event {
        Event::MessageStarted { role, .. } if *role != Role::User => {
            draft.open_item(new_item(item()?, *role));
        }
        Event::ToolStarted {
            tool_call_id,
            tool_name,
            args,
        } => draft.open_item(OpenItem {
            tool_call_id: tool_call_id.clone(),
            tool_name: tool_name.clone(),
            args: Some(args.clone()),
            ..new_item(item()?, Role::Tool)
        }),
        Event::ThinkingCompleted {
            content_index,
            text,
            ..
        } => {
            let kind = BlockKind::Thinking;
            draft.put_block(item()?, kind, *content_index, text.clone(), true);
        }
        Event::MessageCompleted { .. } | Event::ToolCompleted { .. } => draft.close_item(item()?),
        Event::MessageStarted { .. }
        | Event::SessionCreated { .. }
        | Event::SessionUpdated { .. }
        | Event::SessionReset { .. }
        | Event::SessionDeleted
        | Event::TurnQueued { .. }
        | Event::TurnScheduled { .. }
        | Event::TurnUpdated { .. }
        | Event::TurnStarted { .. }
        | Event::TurnEnded { .. }
        | Event::SteerAccepted { .. }
        | Event::SteerApplied { .. }
        | Event::SteerRequeued { .. }
        | Event::UsageRecorded { .. }
        | Event::BudgetWarning { .. }
        | Event::TurnWaiting { .. }
        | Event::CompactionStarted { .. }
        | Event::CompactionCompleted { .. }
        | Event::RetryScheduled { .. }
        | Event::AgentExited { .. }
        | Event::QuestionAsked { .. }
        | Event::QuestionResolved { .. }
        | Event::AnswerDelivered { .. }
        | Event::PlanUpdated { .. }
        | Event::ContextRebuilt { .. }
        | Event::ModelChanged { .. }
        | Event::WebhookPaused { .. }
        | Event::SubagentStarted { .. }
        | Event::SubagentCompleted { .. }
        | Event::SubagentItem { .. }
        | Event::ArtifactCreated { .. } => {}
    }
    Ok(())
}

/// Closes every open item from its checkpoints, as partial; returns the text of the last assistant message among them.
pub(super) fn close_all(
    draft: &mut Draft,
    turn: (Uuid, i64),
    now: Time,
) -> Decision<Option<String>> {
    draft.require_open_texts()?;
    let mut last = None;
    for item in draft.open_items().to_vec() {
        match item.role {
            Role::Tool => close_tool(draft, turn, item, now),
            Role::User | Role::Assistant | Role::System => {
                let role = item.role;
                let text = close_message(draft, turn, item, now);
                if role == Role::Assistant {
                    last = Some(text);
                }
            }
        }
    }
    Ok(last)
}

fn close_message(draft: &mut Draft, turn: (Uuid, i64), item: OpenItem, now: Time) -> String {
    let OpenItem {
        item_id,
        role,
        blocks,
        ..
    } = item;
    let mut parts = Vec::new();
    let mut texts = Vec::new();
    for OpenBlock {
        content_index,
        kind,
        text,
        done,
    } in blocks
    {
        let text = text.unwrap_or_default();
        if text.is_empty() {
            continue;
        }
        match kind {
            BlockKind::Thinking => {
                if !done {
                    let event = Event::ThinkingCompleted {
                        content_index,
                        text: text.clone(),
                        partial: true,
                    };
                    draft.event(now, Some(turn), Some(item_id), &event);
                }
                parts.push(Part::Thinking {
                    content_index,
                    text,
                });
            }
            BlockKind::Text => {
                texts.push((content_index, text.clone()));
                parts.push(Part::Text {
                    content_index,
                    text,
                });
            }
            BlockKind::ToolInput | BlockKind::ToolResult => {}
        }
    }
    let whole = texts.iter().map(|(_, text)| text.as_str()).collect();
    let event = Event::MessageCompleted {
        role,
        blocks: texts,
        partial: true,
        continued: false,
    };
    draft.event(now, Some(turn), Some(item_id), &event);
    draft.close_item(item_id);
    let message = NewMessage {
        item_id,
        turn_id: turn.0,
        role,
        parts,
        partial: true,
        continued: false,
    };
    draft.message(now, turn.1, message);
    whole
}

fn close_tool(draft: &mut Draft, turn: (Uuid, i64), item: OpenItem, now: Time) {
    let OpenItem {
        item_id,
        role: _,
        tool_call_id,
        tool_name,
        args,
        blocks,
    } = item;
    let result = blocks
        .into_iter()
        .find(|block| block.kind == BlockKind::ToolResult)
        .map_or_else(Json::default, |block| {
            let (text, full_size) = cut_json(block.text.unwrap_or_default());
            Json { text, full_size }
        });
    let event = Event::ToolCompleted {
        tool_call_id: tool_call_id.clone(),
        tool_name: tool_name.clone(),
        result: result.clone(),
        is_error: true,
        partial: true,
        attachments: vec![],
    };
    draft.event(now, Some(turn), Some(item_id), &event);
    draft.close_item(item_id);
    let message = NewMessage {
        item_id,
        turn_id: turn.0,
        role: Role::Tool,
        parts: vec![Part::ToolCall {
            tool_call_id,
            tool_name,
            args: args.unwrap_or_default(),
            result,
            is_error: true,
        }],
        partial: true,
        continued: false,
    };
    draft.message(now, turn.1, message);
}
