//! Open items of the active turn: what a crash would leave of them, and how they are closed from it.
//!
//! An open item has one row for itself (`content_index` -1; a tool's arguments are its text) and one per block of
//! which something was checkpointed.

use super::{
    edit::{NewMessage, SessionEdit},
    fault::{Answer, Fault},
    rows,
    writer::Unit,
};
use crate::domain::{
    Event,
    event::{BlockKind, Json, Role},
    ids::Time,
    limits::cut_json,
    message::Part,
};
use rusqlite::params;
use uuid::Uuid;

/// `content_index` of the row that stands for the item itself; its `block` is the role, negative.
const ITEM: i32 = -1;

/// An item that is open.
struct Open {
    item_id: Uuid,
    role: Role,
    tool_call_id: String,
    tool_name: String,
    args: Json,
}

/// What is known of a block of an open item.
struct Block {
    content_index: i32,
    kind: i64,
    text: String,
    done: bool,
}

/// Keeps the books of open items for an event that an owner writes.
pub(super) fn follow(
    unit: &Unit<'_>,
    edit: &SessionEdit,
    item_id: Option<Uuid>,
    event: &Event,
) -> Answer<()> {
    let item = || item_id.ok_or_else(|| Fault::Broken("an item's event has no item_id".into()));
    match event {
        Event::MessageStarted { role, .. } if *role != Role::User => open(
            unit,
            edit,
            &Open {
                item_id: item()?,
                role: *role,
                tool_call_id: String::new(),
                tool_name: String::new(),
                args: Json::default(),
            },
        ),
        Event::ToolStarted {
            tool_call_id,
            tool_name,
            args,
        } => open(
            unit,
            edit,
            &Open {
                item_id: item()?,
                role: Role::Tool,
                tool_call_id: tool_call_id.clone(),
                tool_name: tool_name.clone(),
                args: args.clone(),
            },
        ),
        Event::ThinkingCompleted {
            content_index,
            text,
            ..
        } => put_block(
            unit,
            edit,
            item()?,
            BlockKind::Thinking,
            *content_index,
            text,
            true,
        ),
        Event::MessageCompleted { .. } | Event::ToolCompleted { .. } => close(unit, edit, item()?),
        Event::MessageStarted { .. }
        | Event::SessionCreated { .. }
        | Event::SessionUpdated { .. }
        | Event::SessionReset { .. }
        | Event::SessionDeleted
        | Event::TurnQueued { .. }
        | Event::TurnUpdated { .. }
        | Event::TurnStarted { .. }
        | Event::TurnEnded { .. }
        | Event::SteerAccepted { .. }
        | Event::SteerApplied { .. }
        | Event::SteerRequeued { .. }
        | Event::UsageRecorded { .. }
        | Event::CompactionStarted { .. }
        | Event::CompactionCompleted { .. }
        | Event::RetryScheduled { .. }
        | Event::AgentExited { .. } => Ok(()),
    }
}

/// Keeps the text of an open block. One of an item that is closed already is left out: it came too late to count.
pub(super) fn put_block(
    unit: &Unit<'_>,
    edit: &SessionEdit,
    item_id: Uuid,
    block: BlockKind,
    content_index: i32,
    text: &str,
    done: bool,
) -> Answer<()> {
    unit.sql(
        "INSERT INTO open_block (session, item_id, content_index, block, tool_call_id, tool_name, text, done) \
         SELECT ?1, ?2, ?3, ?4, '', '', ?5, ?6 \
         WHERE EXISTS (SELECT 1 FROM open_block WHERE session = ?1 AND item_id = ?2 AND content_index = -1) \
         ON CONFLICT (session, item_id, content_index) DO UPDATE \
         SET block = excluded.block, text = excluded.text, done = excluded.done WHERE done <= excluded.done",
    )?
    .execute(params![
        edit.session.row.0,
        item_id,
        content_index,
        block as i64,
        text,
        done,
    ])?;
    Ok(())
}

/// Closes every open item from its checkpoints, as partial; returns the text of the last assistant message among them.
pub(super) fn close_all(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: (Uuid, i64),
    now: Time,
) -> Answer<Option<String>> {
    let mut last = None;
    for item in open_items(unit, edit)? {
        let blocks = blocks_of(unit, edit, item.item_id)?;
        match item.role {
            Role::Tool => close_tool(unit, edit, turn, item, blocks, now)?,
            Role::User | Role::Assistant | Role::System => {
                last = Some(close_message(unit, edit, turn, &item, blocks, now)?);
            }
        }
    }
    Ok(last)
}

fn close_message(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: (Uuid, i64),
    item: &Open,
    blocks: Vec<Block>,
    now: Time,
) -> Answer<String> {
    let item_id = item.item_id;
    let mut parts = Vec::new();
    let mut texts = Vec::new();
    for Block {
        content_index,
        kind,
        text,
        done,
    } in blocks
    {
        if text.is_empty() {
            continue;
        }
        if kind == BlockKind::Thinking as i64 {
            if !done {
                let event = Event::ThinkingCompleted {
                    content_index,
                    text: text.clone(),
                    partial: true,
                };
                edit.event(unit, now, Some(turn), Some(item_id), &event)?;
            }
            parts.push(Part::Thinking {
                content_index,
                text,
            });
        } else if kind == BlockKind::Text as i64 {
            texts.push((content_index, text.clone()));
            parts.push(Part::Text {
                content_index,
                text,
            });
        }
    }
    let whole = texts.iter().map(|(_, text)| text.as_str()).collect();
    let event = Event::MessageCompleted {
        role: item.role,
        blocks: texts,
        partial: true,
        continued: false,
    };
    edit.event(unit, now, Some(turn), Some(item_id), &event)?;
    close(unit, edit, item_id)?;
    let message = NewMessage {
        item_id,
        turn_id: turn.0,
        role: item.role,
        parts,
        partial: true,
        continued: false,
    };
    edit.message(unit, now, turn.1, message)?;
    Ok(whole)
}

fn close_tool(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: (Uuid, i64),
    item: Open,
    blocks: Vec<Block>,
    now: Time,
) -> Answer<()> {
    let result = blocks
        .into_iter()
        .find(|block| block.kind == BlockKind::ToolResult as i64)
        .map_or_else(Json::default, |block| {
            let (text, full_size) = cut_json(block.text);
            Json { text, full_size }
        });
    let Open {
        item_id,
        role: _,
        tool_call_id,
        tool_name,
        args,
    } = item;
    let event = Event::ToolCompleted {
        tool_call_id: tool_call_id.clone(),
        tool_name: tool_name.clone(),
        result: result.clone(),
        is_error: true,
        partial: true,
        attachments: vec![],
    };
    edit.event(unit, now, Some(turn), Some(item_id), &event)?;
    close(unit, edit, item_id)?;
    let message = NewMessage {
        item_id,
        turn_id: turn.0,
        role: Role::Tool,
        parts: vec![Part::ToolCall {
            tool_call_id,
            tool_name,
            args,
            result,
            is_error: true,
        }],
        partial: true,
        continued: false,
    };
    edit.message(unit, now, turn.1, message)
}

fn open(unit: &Unit<'_>, edit: &SessionEdit, item: &Open) -> Answer<()> {
    let Open {
        item_id,
        role,
        tool_call_id,
        tool_name,
        args,
    } = item;
    unit.sql(
        "INSERT INTO open_block (session, item_id, content_index, block, tool_call_id, tool_name, text, full_size, \
         done) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
    )?
    .execute(params![
        edit.session.row.0,
        item_id,
        ITEM,
        -(*role as i64),
        tool_call_id,
        tool_name,
        args.text,
        args.full_size.and_then(|size| i64::try_from(size).ok()),
    ])?;
    Ok(())
}

fn close(unit: &Unit<'_>, edit: &SessionEdit, item_id: Uuid) -> Answer<()> {
    unit.sql("DELETE FROM open_block WHERE session = ?1 AND item_id = ?2")?
        .execute((edit.session.row.0, item_id))?;
    Ok(())
}

fn open_items(unit: &Unit<'_>, edit: &SessionEdit) -> Answer<Vec<Open>> {
    let mut statement = unit.sql(
        "SELECT item_id, block, tool_call_id, tool_name, text, full_size FROM open_block \
         WHERE session = ?1 AND content_index = -1 ORDER BY row",
    )?;
    let mut found = statement.query([edit.session.row.0])?;
    let mut items = Vec::new();
    while let Some(row) = found.next()? {
        items.push(Open {
            item_id: row.get(0)?,
            role: rows::role_of(-row.get::<_, i64>(1)?)?,
            tool_call_id: row.get(2)?,
            tool_name: row.get(3)?,
            args: Json {
                text: row.get(4)?,
                full_size: row
                    .get::<_, Option<i64>>(5)?
                    .and_then(|size| usize::try_from(size).ok()),
            },
        });
    }
    Ok(items)
}

fn blocks_of(unit: &Unit<'_>, edit: &SessionEdit, item_id: Uuid) -> Answer<Vec<Block>> {
    let blocks = unit
        .sql(
            "SELECT content_index, block, text, done FROM open_block \
             WHERE session = ?1 AND item_id = ?2 AND content_index >= 0 ORDER BY content_index",
        )?
        .query_map((edit.session.row.0, item_id), |row| {
            Ok(Block {
                content_index: row.get(0)?,
                kind: row.get(1)?,
                text: row.get(2)?,
                done: row.get(3)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(blocks)
}
