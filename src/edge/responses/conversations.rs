//! OpenAI's conversations: sessions, by their keys.

use super::{Answered, No, bad, not_kept, ok, parameters, said, told, with_json};
use crate::{
    edge::{call::Door, turns::Caller},
    proto::{
        CreateSessionRequest, CreateSessionResponse, DeleteSessionRequest, DeleteSessionResponse,
        ListMessagesRequest, ListMessagesResponse, Message, Role, SessionSnapshot, ToolCallState,
        UpdateSessionRequest, UpdateSessionResponse, message_part::Part,
    },
};
use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, Request},
    routing::{get, post},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use uuid::Uuid;

/// Newest messages in which items are looked for.
const MESSAGES_MAX: i32 = 1000;
/// Items of a list that names no number, and most of one, as OpenAI has it.
const ITEMS_DEFAULT: usize = 20;
const ITEMS_MAX: usize = 100;

/// What is asked of a conversation.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    items: Option<Vec<Json>>,
}

/// Every path of conversations.
pub(super) fn routes(door: Arc<Door>) -> Router {
    let doors = std::array::from_fn(|_| door.clone());
    let [create_at, get_at, update_at, delete_at, items_at, add_at] = doors;
    Router::new()
        .route(
            "/openai/v1/conversations",
            post(async move |request: Request| with_json(create_at, request, create).await),
        )
        .route(
            "/openai/v1/conversations/{id}",
            get(async move |Path(id): Path<String>, request: Request| {
                let caller = Caller::new(get_at, request.into_parts().0);
                told(retrieve(caller, &id).await)
            })
            .post(async move |Path(id): Path<String>, request: Request| {
                with_json(update_at, request, move |caller, body| async move {
                    update(caller, &id, body).await
                })
                .await
            })
            .delete(async move |Path(id): Path<String>, request: Request| {
                let caller = Caller::new(delete_at, request.into_parts().0);
                told(delete(caller, &id).await)
            }),
        )
        .route(
            "/openai/v1/conversations/{id}/items",
            get(
                async move |Path(id): Path<String>, RawQuery(query): RawQuery, request: Request| {
                    let caller = Caller::new(items_at, request.into_parts().0);
                    told(items(caller, &id, &parameters(query.as_deref())).await)
                },
            )
            .post(async move |request: Request| {
                let caller = Caller::new(add_at, request.into_parts().0);
                told(not_kept(caller, NOT_ADDED).await)
            }),
        )
}

/// Why items can't be put into a conversation.
const NOT_ADDED: &str =
    "items are made by turns alone: send them as the input of a response in this conversation";

async fn create(caller: Caller, body: Body) -> Answered {
    let asked: Asked = caller.body(body).await?;
    if asked.items.is_some_and(|it| !it.is_empty()) {
        return not_kept(caller, NOT_ADDED).await;
    }
    let request = CreateSessionRequest {
        session_key: format!("conv_{}", Uuid::now_v7().simple()),
        labels: asked.metadata.unwrap_or_default().into_iter().collect(),
        ..CreateSessionRequest::default()
    };
    let created: CreateSessionResponse = caller
        .ask("/quarterdeck.v1.GatewayService/CreateSession", &request)
        .await?;
    ok(&conversation(&created.session.unwrap_or_default()))
}

async fn retrieve(caller: Caller, id: &str) -> Answered {
    ok(&conversation(&caller.session(id).await?))
}

async fn update(caller: Caller, id: &str, body: Body) -> Answered {
    let asked: Asked = caller.body(body).await?;
    let request = UpdateSessionRequest {
        session_key: id.into(),
        session: Some(SessionSnapshot {
            labels: asked.metadata.unwrap_or_default().into_iter().collect(),
            ..SessionSnapshot::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["labels".into()],
        }),
        ..UpdateSessionRequest::default()
    };
    let updated: UpdateSessionResponse = caller
        .ask("/quarterdeck.v1.GatewayService/UpdateSession", &request)
        .await?;
    ok(&conversation(&updated.session.unwrap_or_default()))
}

async fn delete(caller: Caller, id: &str) -> Answered {
    caller.session(id).await?;
    let request = DeleteSessionRequest {
        session_key: id.into(),
        ..DeleteSessionRequest::default()
    };
    let _: DeleteSessionResponse = caller
        .ask("/quarterdeck.v1.GatewayService/DeleteSession", &request)
        .await?;
    ok(&json!({ "id": id, "object": "conversation.deleted", "deleted": true }))
}

/// Items of the newest messages, the newest first unless asked otherwise.
async fn items(caller: Caller, id: &str, asked: &HashMap<String, String>) -> Answered {
    let limit = match asked.get("limit") {
        None => ITEMS_DEFAULT,
        Some(text) => match text.parse() {
            Ok(limit @ 1..=ITEMS_MAX) => limit,
            Ok(_) | Err(_) => {
                let message = format!("must be 1 to {ITEMS_MAX}");
                return Err(bad("invalid_value", "limit", &message));
            }
        },
    };
    let request = ListMessagesRequest {
        session_key: id.into(),
        page_size: MESSAGES_MAX,
        ..ListMessagesRequest::default()
    };
    let page: ListMessagesResponse = caller
        .ask("/quarterdeck.v1.GatewayService/ListMessages", &request)
        .await?;
    let session = caller.session(id).await?;
    let agent = session.agent.as_str();
    let items = page.messages.iter().flat_map(|it| items_of(it, agent));
    let mut items: Vec<Json> = items.collect();
    if asked.get("order").is_none_or(|it| it != "asc") {
        items.reverse();
    }
    if let Some(after) = asked.get("after") {
        let Some(at) = items.iter().position(|it| it["id"] == after.as_str()) else {
            return Err(No(Box::new(said(
                StatusCode::NOT_FOUND,
                "item_not_found",
                Some("after"),
                "there is no such item",
            ))));
        };
        items.drain(..=at);
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    ok(&list(items, has_more))
}

/// A message as items.
fn items_of(message: &Message, agent: &str) -> Vec<Json> {
    let role = match message.role() {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
        Role::System | Role::Unspecified => "system",
    };
    let text = match role {
        "assistant" => "output_text",
        _ => "input_text",
    };
    let mut content = Vec::new();
    let mut items = Vec::new();
    for part in &message.parts {
        match &part.part {
            Some(Part::Text(it)) => content.push(match role {
                "assistant" => json!({
                    "type": text, "text": it.text, "annotations": [], "logprobs": [],
                }),
                _ => json!({ "type": text, "text": it.text }),
            }),
            Some(Part::Thinking(it)) => items.push(json!({
                "id": format!("rs_{}.{}", message.item_id, part.content_index),
                "type": "reasoning", "status": "completed",
                "summary": [{ "type": "summary_text", "text": it.text }],
            })),
            Some(Part::Attachment(file)) => content.push(json!({
                "type": "input_file", "file_id": file.attachment_id, "filename": file.name,
            })),
            Some(Part::ToolCall(call)) => {
                let failed = call.state() == ToolCallState::Error;
                let result = call.result_json.clone();
                items.push(json!({
                    "id": format!("mcp_{}", call.tool_call_id), "type": "mcp_call",
                    "server_label": agent, "name": call.tool_name, "arguments": call.args_json,
                    "status": if failed { "failed" } else { "completed" },
                    "output": (!failed).then(|| result.clone()),
                    "error": failed.then_some(result),
                }));
            }
            None => {}
        }
    }
    if !content.is_empty() {
        items.push(json!({
            "id": format!("msg_{}", message.item_id), "type": "message", "role": role,
            "status": "completed", "content": content,
        }));
    }
    items
}

/// A list in OpenAI's shape.
pub(super) fn list(items: Vec<Json>, has_more: bool) -> Json {
    let id = |item: Option<&Json>| item.map_or(Json::Null, |it| it["id"].clone());
    json!({
        "object": "list", "first_id": id(items.first()), "last_id": id(items.last()),
        "has_more": has_more, "data": items,
    })
}

fn conversation(session: &SessionSnapshot) -> Json {
    let labels: BTreeMap<&String, &String> = session.labels.iter().collect();
    json!({
        "id": session.session_key, "object": "conversation", "metadata": labels,
        "created_at": session.create_time.as_ref().map_or(0, |it| it.seconds),
    })
}
