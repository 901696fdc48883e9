//! Messages, as the source systems write them.
//!
//! An id is the same for good, also that of the message which is still being written. A call of a tool stands in the
//! assistant's message before it and says there how it ended; its result is a message of its own, as it was.

use super::{Answered, Call, millis, missing, ok, sessions};
use crate::{
    proto::{
        GetSessionStateRequest, GetSessionStateResponse, ListMessagesRequest, ListMessagesResponse,
        Message, Role, ToolCallPart, ToolCallState, message_part::Part,
    },
    wire::read::parsed,
};
use serde_json::{Value as Json, json};

/// Messages of one answer: the newest.
const MESSAGES_MAX: i32 = 1000;

/// `GET /sessions/{key}/history`.
pub(super) async fn list(call: Call) -> Answered {
    let limit = match call.parameter("limit") {
        None => MESSAGES_MAX,
        Some(text) => match text.parse::<u32>() {
            Ok(limit @ 1..) => i32::try_from(limit).unwrap_or(i32::MAX),
            Ok(0) | Err(_) => return Err(missing("History limit must be a positive integer")),
        },
    };
    let limit = limit.min(MESSAGES_MAX);
    let request = ListMessagesRequest {
        session_key: call.key.clone(),
        page_size: limit,
        ..ListMessagesRequest::default()
    };
    let page: ListMessagesResponse = call
        .caller
        .ask("/quarterdeck.v1.GatewayService/ListMessages", &request)
        .await?;
    ok(&json!({ "messages": written(&call.key, &page.messages) }))
}

/// `GET /sessions/{key}/state`: the session, its messages and what is being made, all as of one moment.
pub(super) async fn state(call: Call) -> Answered {
    let request = GetSessionStateRequest {
        session_key: call.key.clone(),
        page_size: MESSAGES_MAX,
        ..GetSessionStateRequest::default()
    };
    let state: GetSessionStateResponse = call
        .caller
        .ask("/quarterdeck.v1.GatewayService/GetSessionState", &request)
        .await?;
    let session = state.session.unwrap_or_default();
    let mut all = state.messages;
    all.extend(state.open_message);
    let mut messages = written(&call.key, &all);
    let now = millis(session.last_active_time.as_ref());
    messages.extend(state.running_tools.iter().map(|tool| {
        json!({
            "id": format!("draft-tool:{}:{}", call.key, tool.tool_call_id),
            "role": "toolResult", "parts": [invocation(tool, true)], "timestamp": now,
        })
    }));
    ok(&json!({ "session": sessions::snapshot(&session), "messages": messages }))
}

fn written(key: &str, messages: &[Message]) -> Vec<Json> {
    let mut all: Vec<Json> = Vec::with_capacity(messages.len());
    // Where the assistant's message is that a call belongs to, and of which turn.
    let mut caller: Option<(usize, &str)> = None;
    for message in messages {
        let role = match message.role() {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "toolResult",
            Role::System | Role::Unspecified => continue,
        };
        let mut parts = Vec::new();
        for part in &message.parts {
            match &part.part {
                Some(Part::Text(text)) => {
                    parts.push(json!({ "type": "text", "text": text.text }));
                }
                Some(Part::Thinking(thinking)) => {
                    parts.push(json!({ "type": "reasoning", "text": thinking.text }));
                }
                Some(Part::Attachment(file)) => parts.push(json!({
                    "type": "media", "mimeType": file.media_type,
                    "url": format!("/v1/sessions/{key}/attachments/{}", file.attachment_id),
                })),
                Some(Part::ToolCall(tool)) => {
                    let place = caller.filter(|(_, turn)| *turn == message.turn_id);
                    if let Some((place, _)) = place
                        && let Some(parts) = all[place]["parts"].as_array_mut()
                    {
                        parts.push(invocation(tool, false));
                    }
                    parts.push(invocation(tool, true));
                }
                None => {}
            }
        }
        if role == "assistant" {
            caller = Some((all.len(), &message.turn_id));
        }
        all.push(json!({
            "id": message.item_id, "role": role, "parts": parts,
            "timestamp": millis(message.create_time.as_ref()),
        }));
    }
    all
}

/// A call of a tool, with its result or without.
fn invocation(tool: &ToolCallPart, with_result: bool) -> Json {
    let state = match tool.state() {
        ToolCallState::Result => "result",
        ToolCallState::Error => "error",
        ToolCallState::Running | ToolCallState::Unspecified => "call",
    };
    let mut invocation = json!({
        "type": "tool-invocation", "toolCallId": tool.tool_call_id, "toolName": tool.tool_name,
        "args": parsed(&tool.args_json), "state": state,
    });
    if with_result && state != "call" {
        invocation["result"] = text_of(parsed(&tool.result_json));
    }
    invocation
}

/// A result's text, where it is a list of contents; anything else as it is.
fn text_of(result: Json) -> Json {
    let Some(contents) = result["content"].as_array() else {
        return result;
    };
    let texts = contents.iter().filter_map(|it| it["text"].as_str());
    texts.collect::<String>().into()
}
