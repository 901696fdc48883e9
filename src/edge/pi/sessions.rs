//! Sessions and turns, as the source systems' clients ask for them.

use super::{Answered, Call, Refused, answer, millis, missing, ok};
use crate::{
    domain::Refusal,
    edge::{
        ai_sdk,
        problem::Problem,
        turns::{Caller, Segments},
    },
    proto::{
        AdmissionMode, Attachment, AwaitTurnRequest, AwaitTurnResponse, DeleteSessionRequest,
        DeleteSessionResponse, EnqueueRequest, EnqueueResponse, ListSessionsRequest,
        ListSessionsResponse, OnBusy, ReloadSessionRequest, ReloadSessionResponse, ResetRequest,
        ResetResponse, SessionSnapshot, SetModelRequest, SetModelResponse, Turn, TurnState,
        UpdateSessionRequest, UpdateSessionResponse,
    },
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::StatusCode;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use tonic::Status;

/// Makes a message safe to repeat.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Sessions of one list: the newest created.
const SESSIONS_MAX: i32 = 1000;

/// `GET /sessions`.
pub(super) async fn list(call: Call) -> Answered {
    let sessions = newest(&call.caller).await?;
    let sessions: Vec<Json> = sessions.iter().map(snapshot).collect();
    ok(&json!({ "sessions": sessions }))
}

/// The newest sessions that the caller may see, at most [`SESSIONS_MAX`].
pub(super) async fn newest(caller: &Caller) -> Result<Vec<SessionSnapshot>, Status> {
    let request = ListSessionsRequest {
        page_size: SESSIONS_MAX,
        ..ListSessionsRequest::default()
    };
    let listed: ListSessionsResponse = caller
        .ask("/quarterdeck.v1.GatewayService/ListSessions", &request)
        .await?;
    Ok(listed.sessions)
}

/// `GET /sessions/{key}`.
pub(super) async fn get(call: Call) -> Answered {
    let session = call.caller.session(&call.key).await?;
    ok(&json!({ "session": snapshot(&session) }))
}

/// `PATCH /sessions/{key}`.
pub(super) async fn rename(mut call: Call) -> Answered {
    let body = call.object().await?;
    let Some(name) = body.get("name") else {
        return ok(&json!({ "ok": true }));
    };
    let Some(name) = name.as_str() else {
        return Err(missing("Name must be a string"));
    };
    let request = UpdateSessionRequest {
        session_key: call.key.clone(),
        session: Some(SessionSnapshot {
            display_name: name.into(),
            ..SessionSnapshot::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["display_name".into()],
        }),
        ..UpdateSessionRequest::default()
    };
    let _: UpdateSessionResponse = call
        .caller
        .ask("/quarterdeck.v1.GatewayService/UpdateSession", &request)
        .await?;
    ok(&json!({ "ok": true }))
}

/// `DELETE /sessions/{key}`: gone with all that it had, or an error.
pub(super) async fn delete(call: Call) -> Answered {
    // Deleting twice is no fault of ours, but one of theirs.
    call.caller.session(&call.key).await?;
    let request = DeleteSessionRequest {
        session_key: call.key.clone(),
        ..DeleteSessionRequest::default()
    };
    let _: DeleteSessionResponse = call
        .caller
        .ask("/quarterdeck.v1.GatewayService/DeleteSession", &request)
        .await?;
    ok(&json!({ "ok": true }))
}

/// `POST /sessions/{key}/messages`: answers when the turn is over, with what that turn said.
pub(super) async fn message(mut call: Call) -> Answered {
    let body = call.object().await?;
    let text = body.get("text").and_then(Json::as_str).unwrap_or_default();
    if text.trim().is_empty() {
        return Err(missing("Missing text"));
    }
    let request = enqueue(&call, text, &body)?;
    match run(&call.caller, &request).await {
        Ok(turn) => {
            let status = match turn.state() {
                TurnState::Completed => StatusCode::OK,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            Ok(answer(status, &result(&call.key, &turn)))
        }
        Err(refused) => {
            let refused = Refused::from(refused);
            match &refused {
                Refused::Call(status) if refused.is("QUEUE_FULL") => {
                    let problem = Problem::of(status);
                    let pending = problem.fact("current").unwrap_or_default();
                    let mut response = answer(
                        problem.http_status(),
                        &json!({
                            "ok": false, "response": "", "sessionKey": call.key,
                            "error": format!("Queue full ({pending} pending)."),
                        }),
                    );
                    response.headers_mut().extend(problem.headers());
                    Ok(response)
                }
                Refused::Call(_) | Refused::Said(..) => Err(refused),
            }
        }
    }
}

async fn run(caller: &Caller, request: &EnqueueRequest) -> Result<Turn, Status> {
    let queued: EnqueueResponse = caller
        .ask("/quarterdeck.v1.GatewayService/Enqueue", request)
        .await?;
    let request = AwaitTurnRequest {
        session_key: request.session_key.clone(),
        turn_id: queued.turn.unwrap_or_default().turn_id,
        ..AwaitTurnRequest::default()
    };
    let ended: AwaitTurnResponse = caller
        .ask("/quarterdeck.v1.GatewayService/AwaitTurn", &request)
        .await?;
    Ok(ended.turn.unwrap_or_default())
}

fn result(key: &str, turn: &Turn) -> Json {
    let ok = turn.state() == TurnState::Completed;
    let mut result = json!({ "ok": ok, "response": turn.response_text, "sessionKey": key });
    if !ok {
        result["error"] = failure(turn).into();
    }
    result
}

/// Why a turn did not come to an end of its own.
pub(super) fn failure(turn: &Turn) -> String {
    let error = turn.error.clone().unwrap_or_default();
    let said = match error.message.as_str() {
        "" => error.reason,
        said => said.to_owned(),
    };
    match (turn.state(), said.is_empty()) {
        (TurnState::Canceled, true) => "aborted".into(),
        (TurnState::Canceled, false) => format!("aborted: {said}"),
        (_, true) => turn.state().as_str_name().into(),
        (_, false) => said,
    }
}

/// What a message asks for: its text, and what their types have but their routes did not take.
fn enqueue(call: &Call, text: &str, body: &Map<String, Json>) -> Result<EnqueueRequest, Refused> {
    let mut metadata = BTreeMap::new();
    if let Some(Json::Object(pairs)) = body.get("metadata") {
        for (name, value) in pairs {
            let value = match value {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            metadata.insert(name.clone(), value);
        }
    }
    let images = body.get("images").and_then(Json::as_array);
    let images = images.into_iter().flatten().map(|image| {
        let data = image["data"].as_str().unwrap_or_default();
        let data = BASE64_STANDARD.decode(data).map_err(|_| {
            let problem = "must be images as {data: base64, mimeType}";
            Refused::from(Refusal::field("images", problem))
        })?;
        Ok(Attachment {
            media_type: image["mimeType"].as_str().unwrap_or_default().into(),
            data: data.into(),
            ..Attachment::default()
        })
    });
    Ok(EnqueueRequest {
        session_key: call.key.clone(),
        text: text.into(),
        attachments: images.collect::<Result<_, Refused>>()?,
        source: "pi".into(),
        metadata,
        request_id: call
            .caller
            .header(IDEMPOTENCY_KEY)
            .unwrap_or_default()
            .into(),
        ..EnqueueRequest::default()
    })
}

/// `POST /sessions/{key}/chat`: the turn as an AI SDK stream.
pub(super) async fn chat(mut call: Call) -> Answered {
    let body = call.object().await?;
    let Some(text) = said_by_user(&body) else {
        return Err(missing("Missing user message text"));
    };
    let request = enqueue(&call, &text, &body)?;
    let followed = call.caller.run(request, false, Segments::All).await?;
    Ok(ai_sdk::told(followed))
}

/// `POST /sessions/{key}/steer`.
pub(super) async fn steer(mut call: Call) -> Answered {
    let body = call.object().await?;
    let Some(text) = said_by_user(&body) else {
        return Err(missing("Missing user message text"));
    };
    // Only what exists is steered.
    call.caller.session(&call.key).await?;
    let request = EnqueueRequest {
        on_busy: OnBusy::SteerOrEnqueue.into(),
        ..enqueue(&call, &text, &body)?
    };
    let accepted: EnqueueResponse = call
        .caller
        .ask("/quarterdeck.v1.GatewayService/Enqueue", &request)
        .await?;
    let mode = match accepted.mode() {
        AdmissionMode::Steered => "steer",
        AdmissionMode::Queued | AdmissionMode::Unspecified => "queued",
    };
    ok(&json!({ "ok": true, "mode": mode }))
}

/// What the user said: `text`, else `prompt`, else the first text of the last user's message.
fn said_by_user(body: &Map<String, Json>) -> Option<String> {
    let plain = |name: &str| body.get(name).and_then(Json::as_str);
    let from_messages = || {
        let messages = body.get("messages")?.as_array()?;
        let last = messages.iter().rfind(|it| it["role"] == "user")?;
        let parts = last["parts"].as_array();
        let mut parts = parts.into_iter().flatten();
        let text = parts.find(|it| it["type"] == "text");
        text.map_or(&last["content"], |it| &it["text"]).as_str()
    };
    let texts = [plain("text"), plain("prompt"), from_messages()];
    let mut texts = texts.into_iter().flatten();
    let text = texts.find(|it| !it.trim().is_empty())?;
    Some(text.to_owned())
}

/// `POST /sessions/{key}/abort`: true where something ran. What waits stays.
pub(super) async fn abort(call: Call) -> Answered {
    let aborted = call.caller.abort(&call.key, "").await?;
    ok(&json!({ "ok": aborted.aborted }))
}

/// `POST /sessions/{key}/reset`.
pub(super) async fn reset(call: Call) -> Answered {
    // A Reset would be content with a session that nobody made.
    call.caller.session(&call.key).await?;
    let request = ResetRequest {
        session_key: call.key.clone(),
        ..ResetRequest::default()
    };
    let _: ResetResponse = call
        .caller
        .ask("/quarterdeck.v1.GatewayService/Reset", &request)
        .await?;
    ok(&json!({ "ok": true }))
}

/// `POST /sessions/{key}/model`.
pub(super) async fn set_model(mut call: Call) -> Answered {
    let body = call.object().await?;
    let said = |name: &str| body.get(name).and_then(Json::as_str).unwrap_or_default();
    let (provider, model_id) = (said("provider"), said("modelId"));
    if provider.is_empty() || model_id.is_empty() {
        return Err(missing("Missing provider or modelId"));
    }
    let request = SetModelRequest {
        session_key: call.key.clone(),
        provider: provider.into(),
        model_id: model_id.into(),
        ..SetModelRequest::default()
    };
    let _: SetModelResponse = call
        .caller
        .ask("/quarterdeck.v1.ModelService/SetModel", &request)
        .await?;
    ok(&json!({ "ok": true, "model": { "provider": provider, "modelId": model_id } }))
}

/// `POST /sessions/{key}/reload`: that session's agent alone.
pub(super) async fn reload(call: Call) -> Answered {
    let request = ReloadSessionRequest {
        session_key: call.key.clone(),
        ..ReloadSessionRequest::default()
    };
    let _: ReloadSessionResponse = call
        .caller
        .ask("/quarterdeck.v1.GatewayService/ReloadSession", &request)
        .await?;
    ok(&json!({ "ok": true }))
}

/// A session as their lists and events show it.
pub(super) fn snapshot(session: &SessionSnapshot) -> Json {
    let mut shown = json!({
        "sessionKey": session.session_key,
        "sessionId": session.session_id,
        "messageCount": session.message_count,
        "queueDepth": session.queue_depth,
        "processing": !session.active_turn_id.is_empty(),
        "lastActiveAt": millis(session.last_active_time.as_ref()),
        "createdAt": millis(session.create_time.as_ref()),
        "updatedAt": millis(session.update_time.as_ref()),
    });
    let mut also = |name: &str, value: &str| {
        if !value.is_empty() {
            shown[name] = value.into();
        }
    };
    also("name", &session.display_name);
    also("lastMessagePreview", &session.last_message_preview);
    if let Some((provider, model_id)) = session.model.split_once('/') {
        also("modelProvider", provider);
        also("modelId", model_id);
    }
    shown
}
