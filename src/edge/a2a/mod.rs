//! A2A, version 1: other agents' agents. JSON-RPC at `/a2a/{agent}`, HTTP+JSON below it, a card for each agent at
//! `/a2a/{agent}/.well-known/agent-card.json`, and that of the default agent at the root; and gRPC (`grpc.rs`).
//!
//! A task is a turn, a context is a session: a `contextId` is its key, and a task's id names both. `messageId` is the
//! `request_id`, so that a message may be sent again. A message to a task that waits is the answer, one to a task that
//! runs steers it. All bindings are the same calls (`tasks.rs`) in other wrappings; `stream.rs` prints a turn.
//!
//! Questions: a task that waits for any of them is INPUT_REQUIRED, and its status says what is asked, as data. Files come
//! as they are (`raw`), never from an address. What a client asks to be pushed to it is a webhook of that task (`push.rs`).

mod card;
mod grpc;
mod push;
mod stream;
mod tasks;

use super::{call::Door, problem::Problem, turns::Caller};
use crate::domain::Refusal;
use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use http_body::Body as _;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use stream::Wrapping;
use tasks::Call;
use tonic::Status;

/// Whose error reasons these are.
const DOMAIN: &str = "a2a-protocol.org";
/// Says which version a client speaks.
const VERSION: &str = "a2a-version";
/// The type of an error's details.
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// Why a call is refused.
#[derive(Debug)]
struct Fault {
    status: StatusCode,
    /// The protocol's reason, or the contract's where the protocol has none.
    reason: String,
    message: String,
    headers: Box<HeaderMap>,
}

/// What a call answers.
enum Answer {
    /// Once.
    One(Json),
    /// Again and again.
    Many(Box<stream::Stream>),
}

/// Every path of the protocol.
pub(super) fn routes(door: Arc<Door>) -> Router {
    let doors = std::array::from_fn(|_| door.clone());
    let [root, card, rpc, below, read, delete] = doors;
    let by_grpc = grpc::routes(door);
    Router::new()
        .route(
            "/.well-known/agent-card.json",
            get(async move |request: Request| card::answer(root, None, request).await),
        )
        .route(
            "/a2a/{agent}/.well-known/agent-card.json",
            get(async move |Path(agent): Path<String>, request: Request| {
                card::answer(card, Some(agent), request).await
            }),
        )
        .route(
            "/a2a/{agent}",
            post(async move |Path(agent): Path<String>, request: Request| {
                json_rpc(rpc, agent, request).await
            }),
        )
        .route(
            "/a2a/{agent}/{*rest}",
            get(
                async move |Path((agent, _)): Path<(String, String)>, request: Request| {
                    http_json(read, agent, request).await
                },
            )
            .post(
                async move |Path((agent, _)): Path<(String, String)>, request: Request| {
                    http_json(below, agent, request).await
                },
            )
            .delete(
                async move |Path((agent, _)): Path<(String, String)>, request: Request| {
                    http_json(delete, agent, request).await
                },
            ),
        )
        .merge(by_grpc)
}

/// The call of the service that has this name, in JSON-RPC and gRPC.
fn call_of(method: &str) -> Result<Call, Fault> {
    Ok(match method {
        "SendMessage" => Call::Send,
        "SendStreamingMessage" => Call::Stream,
        "GetTask" => Call::Get,
        "ListTasks" => Call::List,
        "CancelTask" => Call::Cancel,
        "SubscribeToTask" => Call::Subscribe,
        "GetExtendedAgentCard" => Call::Card,
        "CreateTaskPushNotificationConfig" => Call::CreatePush,
        "GetTaskPushNotificationConfig" => Call::GetPush,
        "ListTaskPushNotificationConfigs" => Call::ListPush,
        "DeleteTaskPushNotificationConfig" => Call::DeletePush,
        _ => {
            let message = format!("there is no method {method}");
            return Err(Fault::new(
                StatusCode::NOT_FOUND,
                "METHOD_NOT_FOUND",
                &message,
            ));
        }
    })
}

/// The JSON-RPC binding: a method is a call of the service, its parameters the request.
async fn json_rpc(door: Arc<Door>, agent: String, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (id, answered) = match rpc_request(&door, &parts, body).await {
        Ok((id, method, params)) => {
            let answered = async {
                check_version(&parts)?;
                let call = call_of(&method)?;
                let caller = Caller::new(door, parts);
                tasks::answer(caller, &agent, call, params).await
            };
            let answered = answered.await;
            (id, answered)
        }
        Err(fault) => (Json::Null, Err(fault)),
    };
    match answered {
        Ok(Answer::One(result)) => {
            let body = json!({ "jsonrpc": "2.0", "id": id, "result": result });
            as_json(StatusCode::OK, &body)
        }
        Ok(Answer::Many(stream)) => stream.answer(Wrapping::JsonRpc(id)),
        Err(fault) => {
            // The protocol tells what is wrong in the body; who calls and how often is HTTP's to say.
            let status = match fault.status {
                it @ (StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::UNSUPPORTED_MEDIA_TYPE) => it,
                _ => StatusCode::OK,
            };
            let mut response = as_json(status, &fault.as_rpc(&id));
            response.headers_mut().extend(*fault.headers);
            response
        }
    }
}

/// Id, method and parameters of a JSON-RPC request.
async fn rpc_request(
    door: &Arc<Door>,
    parts: &Parts,
    body: Body,
) -> Result<(Json, String, Map<String, Json>), Fault> {
    let invalid =
        |reason: &str, message: &str| Fault::new(StatusCode::BAD_REQUEST, reason, message);
    is_json(parts, &body)?;
    let caller = Caller::new(door.clone(), parts.clone());
    let (bytes, _share) = caller.json(body).await?;
    let Ok(request) = serde_json::from_slice::<Json>(&bytes) else {
        return Err(invalid("PARSE_ERROR", "the body is no JSON"));
    };
    let id = &request["id"];
    let named = id.is_string() || id.is_number();
    let method = request["method"].as_str();
    let (true, true, Some(method)) = (request["jsonrpc"] == "2.0", named, method) else {
        let message = "must be one request of JSON-RPC 2.0, with an id";
        return Err(invalid("INVALID_REQUEST", message));
    };
    let params = match &request["params"] {
        Json::Null => Map::new(),
        Json::Object(params) => params.clone(),
        _ => return Err(invalid("INVALID_PARAMS", "params must be an object")),
    };
    Ok((id.clone(), method.to_owned(), params))
}

/// The HTTP+JSON binding.
async fn http_json(door: Arc<Door>, agent: String, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answered = async {
        let (call, mut params) = path_call(&parts)?;
        check_version(&parts)?;
        if parts.method == Method::POST {
            is_json(&parts, &body)?;
            let caller = Caller::new(door.clone(), parts.clone());
            let (bytes, _share) = caller.json(body).await?;
            if !bytes.trim_ascii().is_empty() {
                let Ok(said) = serde_json::from_slice::<Map<String, Json>>(&bytes) else {
                    let message = "the body must be a JSON object";
                    return Err(Fault::invalid(message));
                };
                // What the path says counts.
                params = said.into_iter().chain(params).collect();
            }
        }
        tasks::answer(Caller::new(door, parts), &agent, call, params).await
    };
    match answered.await {
        Ok(Answer::One(result)) => as_json(StatusCode::OK, &result),
        Ok(Answer::Many(stream)) => stream.answer(Wrapping::Bare),
        Err(fault) => {
            let mut response = as_json(fault.status, &fault.as_http());
            response.headers_mut().extend(*fault.headers);
            response
        }
    }
}

/// What a path asks for. A task's id may hold a colon, where it is encoded; the verb behind it stands as it is.
fn path_call(parts: &Parts) -> Result<(Call, Map<String, Json>), Fault> {
    let nothing = || {
        let message = "there is no such path";
        Fault::new(StatusCode::NOT_FOUND, "METHOD_NOT_FOUND", message)
    };
    let path = parts.uri.path().strip_prefix("/a2a/").ok_or_else(nothing)?;
    let (_, path) = path.split_once('/').ok_or_else(nothing)?;
    let mut params = Map::new();
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    for (name, value) in form_urlencoded::parse(query) {
        let value = match value.parse::<i64>() {
            Ok(number) if name != "pageToken" && name != "contextId" => number.into(),
            _ if value == "true" => true.into(),
            _ if value == "false" => false.into(),
            _ => value.into_owned().into(),
        };
        params.insert(name.into_owned(), value);
    }
    // The same rules as of forms, but for the plus sign, which stands for itself in a path.
    let decoded = |text: &str| {
        let text = text.replace('+', "%2B");
        let decoded = form_urlencoded::parse(text.as_bytes()).next();
        decoded.map_or_else(String::new, |(text, _)| text.into_owned())
    };
    let posts = parts.method == Method::POST;
    let call = match (posts, path) {
        (true, "message:send") => Call::Send,
        (true, "message:stream") => Call::Stream,
        (false, "tasks") => Call::List,
        (false, "extendedAgentCard") => Call::Card,
        (_, path) => {
            let task = path.strip_prefix("tasks/").ok_or_else(nothing)?;
            if let Some((id, config)) = task.split_once("/pushNotificationConfigs") {
                let call = match (&parts.method, config.strip_prefix('/')) {
                    (&Method::POST, None) => Call::CreatePush,
                    (&Method::GET, None) => Call::ListPush,
                    (&Method::GET, Some(_)) => Call::GetPush,
                    (&Method::DELETE, Some(_)) => Call::DeletePush,
                    _ => return Err(nothing()),
                };
                params.insert("taskId".into(), decoded(id).into());
                if let Some(config) = config.strip_prefix('/') {
                    params.insert("id".into(), decoded(config).into());
                }
                return Ok((call, params));
            }
            if parts.method == Method::DELETE {
                return Err(nothing());
            }
            let (id, call) = match (posts, task.rsplit_once(':')) {
                (true, Some((id, "cancel"))) => (id, Call::Cancel),
                (_, Some((id, "subscribe"))) => (id, Call::Subscribe),
                (false, _) => (task, Call::Get),
                (true, _) => return Err(nothing()),
            };
            params.insert("id".into(), decoded(id).into());
            call
        }
    };
    Ok((call, params))
}

/// A version that is not named is one before this.
fn check_version(parts: &Parts) -> Result<(), Fault> {
    let said = parts.headers.get(VERSION).and_then(|it| it.to_str().ok());
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let query = form_urlencoded::parse(query).find(|(name, _)| name.eq_ignore_ascii_case(VERSION));
    let said = said
        .map(str::to_owned)
        .or_else(|| query.map(|(_, it)| it.into_owned()));
    let said = said.unwrap_or_default();
    match said == "1" || said == "1.0" || said.starts_with("1.0.") {
        true => Ok(()),
        false => Err(Fault::new(
            StatusCode::BAD_REQUEST,
            "VERSION_NOT_SUPPORTED",
            "send `A2A-Version: 1.0`",
        )),
    }
}

/// Some clients send what needs no body without one, and then without a type.
fn is_json(parts: &Parts, body: &Body) -> Result<(), Fault> {
    let typed = parts.headers.contains_key(header::CONTENT_TYPE);
    if !typed && body.size_hint().exact() == Some(0) {
        return Ok(());
    }
    let kind = super::upload::content_type(&parts.headers);
    match kind == "application/json" || kind == "application/a2a+json" {
        true => Ok(()),
        false => Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "CONTENT_TYPE_NOT_SUPPORTED",
            "send `Content-Type: application/json`",
        )),
    }
}

fn as_json(status: StatusCode, json: &Json) -> Response {
    let kind = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, kind, json.to_string()).into_response()
}

// === impl Fault ===

impl Fault {
    fn new(status: StatusCode, reason: &str, message: &str) -> Self {
        Self {
            status,
            reason: reason.into(),
            message: message.into(),
            headers: Box::default(),
        }
    }

    fn invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_PARAMS", message)
    }

    fn no_task(id: &str) -> Self {
        let message = format!("there is no task {id}");
        Self::new(StatusCode::NOT_FOUND, "TASK_NOT_FOUND", &message)
    }

    fn unsupported(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "UNSUPPORTED_OPERATION", message)
    }

    /// Its number in JSON-RPC.
    fn code(&self) -> i32 {
        match self.reason.as_str() {
            "PARSE_ERROR" => -32700,
            "INVALID_REQUEST" => -32600,
            "METHOD_NOT_FOUND" => -32601,
            "TASK_NOT_FOUND" => -32001,
            "TASK_NOT_CANCELABLE" => -32002,
            "UNSUPPORTED_OPERATION" => -32004,
            "CONTENT_TYPE_NOT_SUPPORTED" => -32005,
            "VERSION_NOT_SUPPORTED" => -32009,
            _ if self.status.is_client_error() => -32602,
            _ => -32603,
        }
    }

    fn details(&self) -> Json {
        json!([{ "@type": ERROR_INFO, "reason": self.reason, "domain": DOMAIN }])
    }

    fn as_rpc(&self, id: &Json) -> Json {
        json!({ "jsonrpc": "2.0", "id": id, "error": {
            "code": self.code(), "message": self.message, "data": self.details(),
        } })
    }

    fn as_http(&self) -> Json {
        let status = match self.status {
            StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
            StatusCode::FORBIDDEN => "PERMISSION_DENIED",
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::CONFLICT => "FAILED_PRECONDITION",
            StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
            StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
            it if it.is_client_error() => "INVALID_ARGUMENT",
            _ => "INTERNAL",
        };
        json!({ "error": {
            "code": self.status.as_u16(), "status": status, "message": self.message,
            "details": self.details(),
        } })
    }
}

impl From<Status> for Fault {
    fn from(refused: Status) -> Self {
        let problem = Problem::of(&refused);
        Self {
            status: problem.http_status(),
            reason: problem.reason().to_owned(),
            message: problem.line(),
            headers: Box::new(problem.headers()),
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Status::from(refusal).into()
    }
}
