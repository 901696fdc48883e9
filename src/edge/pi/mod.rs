//! The source systems' own HTTP routes, below `/compat/pi`: what was written for a pi gateway goes on working, with that
//! prefix before its paths.
//!
//! Shapes and statuses are theirs, and every refusal is `{"error"}`. What was wrong there is not repeated: an answer is
//! always the turn's own, a failed turn is never a success, reading creates and touches nothing, a full queue is 429, ids
//! stay, and nothing that is secret or could start a program is a setting. Nothing is kept here: each route is calls of
//! the one service, as whoever sent the request.
//!
//! `sessions.rs` answers for sessions and turns, `history.rs` writes messages, `events.rs` the stream of a session,
//! `server.rs` what concerns all of them, `memory.rs` memory. Webhooks are not among them.

mod events;
mod history;
mod memory;
mod server;
mod sessions;

use super::{
    call::Door,
    problem::{Problem, reason},
    rest,
    turns::Caller,
    upload::content_type,
};
use axum::{
    Router,
    body::Body,
    extract::{RawPathParams, Request, rejection::RawPathParamsRejection},
    response::{IntoResponse, Response},
    routing::{MethodFilter, any, on},
};
use futures_util::{FutureExt, future::BoxFuture};
use http::{StatusCode, header, request::Parts};
use http_body::Body as _;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use tonic::Status;

/// What a route answers.
type Answered = Result<Response, Refused>;
/// A route while it is answered.
type Answering = BoxFuture<'static, Answered>;

/// One route.
struct Route {
    verb: MethodFilter,
    path: &'static str,
    answer: fn(Call) -> Answering,
}

/// A request on its way to its route.
struct Call {
    caller: Caller,
    /// Session that the path names; empty where it names none.
    key: String,
    /// What stands behind `?`.
    query: String,
    body: Body,
}

/// Why there is no answer.
enum Refused {
    /// In the words of the source systems.
    Said(StatusCode, String),
    /// A call was refused.
    Call(Box<Status>),
}

/// The routes. FEATURES of the source systems beside these are no routes of theirs.
const ROUTES: [Route; 27] = [
    get("/health", |call| server::health(call).boxed()),
    get("/ready", |call| server::ready(call).boxed()),
    get("/sessions", |call| sessions::list(call).boxed()),
    get("/sessions/{key}", |call| sessions::get(call).boxed()),
    Route {
        verb: MethodFilter::PATCH,
        path: "/sessions/{key}",
        answer: |call| sessions::rename(call).boxed(),
    },
    Route {
        verb: MethodFilter::DELETE,
        path: "/sessions/{key}",
        answer: |call| sessions::delete(call).boxed(),
    },
    get("/sessions/{key}/events", |call| {
        events::follow(call).boxed()
    }),
    post("/sessions/{key}/messages", |call| {
        sessions::message(call).boxed()
    }),
    post("/sessions/{key}/chat", |call| sessions::chat(call).boxed()),
    post("/sessions/{key}/abort", |call| {
        sessions::abort(call).boxed()
    }),
    post("/sessions/{key}/reset", |call| {
        sessions::reset(call).boxed()
    }),
    post("/sessions/{key}/steer", |call| {
        sessions::steer(call).boxed()
    }),
    get("/sessions/{key}/history", |call| {
        history::list(call).boxed()
    }),
    get("/sessions/{key}/state", |call| history::state(call).boxed()),
    post("/sessions/{key}/model", |call| {
        sessions::set_model(call).boxed()
    }),
    post("/sessions/{key}/reload", |call| {
        sessions::reload(call).boxed()
    }),
    get("/models", |call| server::models(call).boxed()),
    get("/config", |call| server::config(call).boxed()),
    Route {
        verb: MethodFilter::PATCH,
        path: "/config",
        answer: |call| server::change_config(call).boxed(),
    },
    get("/channels/status", |call| server::channels(call).boxed()),
    get("/logs", |call| server::logs(call).boxed()),
    get("/memory/status", |call| memory::status(call).boxed()),
    get("/memory/core", |call| memory::core(call).boxed()),
    post("/memory/search", |call| memory::search(call).boxed()),
    post("/memory/remember", |call| memory::remember(call).boxed()),
    post("/memory/forget", |call| memory::forget(call).boxed()),
    post("/memory/rebuild", |call| memory::rebuild(call).boxed()),
];

const fn get(path: &'static str, answer: fn(Call) -> Answering) -> Route {
    let verb = MethodFilter::GET;
    Route { verb, path, answer }
}

const fn post(path: &'static str, answer: fn(Call) -> Answering) -> Route {
    let verb = MethodFilter::POST;
    Route { verb, path, answer }
}

/// Every route, and the answers for what is none.
pub(super) fn routes(door: Arc<Door>) -> Router {
    let mut router = Router::new();
    for Route { verb, path, answer } in ROUTES {
        let door = door.clone();
        let answered = async move |fields: Result<RawPathParams, RawPathParamsRejection>,
                                   request: Request| {
            let key = match &fields {
                Ok(fields) => fields.iter().next().map(|(_, key)| key.to_owned()),
                Err(error) => return said(StatusCode::BAD_REQUEST, &error.body_text()),
            };
            let (parts, body) = request.into_parts();
            if let Some(problem) = unlike_json(&parts, &body) {
                return said(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem);
            }
            let call = Call {
                key: key.unwrap_or_default(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                caller: Caller::new(door, parts),
                body,
            };
            answer(call)
                .await
                .unwrap_or_else(IntoResponse::into_response)
        };
        router = router.route(&format!("/compat/pi{path}"), on(verb, answered));
    }
    router
        .route(
            "/compat/pi/{*rest}",
            any(async || said(StatusCode::NOT_FOUND, "Not found")),
        )
        .method_not_allowed_fallback(async || {
            said(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
        })
}

/// What is wrong with a body's form. Their clients send some calls without a body, and then without a type.
fn unlike_json(parts: &Parts, body: &Body) -> Option<&'static str> {
    let typed = parts.headers.contains_key(header::CONTENT_TYPE);
    if !typed && body.size_hint().exact() == Some(0) {
        return None;
    }
    if parts.headers.contains_key(header::CONTENT_ENCODING) {
        return Some("Send no Content-Encoding");
    }
    match content_type(&parts.headers).eq_ignore_ascii_case("application/json") {
        true => None,
        false => Some("Send Content-Type: application/json"),
    }
}

/// JSON as the source systems answer it.
fn answer(status: StatusCode, json: &Json) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, kind, rest::HEADERS, json.to_string()).into_response()
}

fn ok(json: &Json) -> Answered {
    Ok(answer(StatusCode::OK, json))
}

fn said(status: StatusCode, error: &str) -> Response {
    answer(status, &json!({ "error": error }))
}

fn missing(what: &str) -> Refused {
    Refused::Said(StatusCode::BAD_REQUEST, what.into())
}

/// A time as the source systems write it: milliseconds since 1970.
fn millis(time: Option<&prost_types::Timestamp>) -> i64 {
    time.map_or(0, |it| it.seconds * 1000 + i64::from(it.nanos) / 1_000_000)
}

// === impl Call ===

impl Call {
    /// The body's object; an empty body is an empty one.
    async fn object(&mut self) -> Result<Map<String, Json>, Refused> {
        let body = std::mem::take(&mut self.body);
        let (json, _share) = self.caller.json(body).await?;
        if json.trim_ascii().is_empty() {
            return Ok(Map::new());
        }
        serde_json::from_slice(&json).map_err(|_| missing("Invalid JSON body"))
    }

    /// One parameter behind `?`.
    fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        let found = pairs.find(|(known, _)| known == name);
        found.map(|(_, value)| value.into_owned())
    }
}

// === impl Refused ===

impl From<Status> for Refused {
    fn from(refused: Status) -> Self {
        Self::Call(Box::new(refused))
    }
}

impl From<crate::domain::Refusal> for Refused {
    fn from(refusal: crate::domain::Refusal) -> Self {
        Status::from(refusal).into()
    }
}

impl Refused {
    /// Whether it is that reason of the contract.
    fn is(&self, named: &str) -> bool {
        match self {
            Self::Said(..) => false,
            Self::Call(refused) => reason(refused) == named,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let refused = match self {
            Self::Said(status, error) => return said(status, &error),
            Self::Call(refused) => refused,
        };
        let problem = Problem::of(&refused);
        let fact = |name| problem.fact(name).unwrap_or_default();
        let (status, error) = match problem.reason() {
            "CREDENTIALS_MISSING" | "CREDENTIALS_INVALID" => {
                (problem.http_status(), "Unauthorized".into())
            }
            "SESSION_NOT_FOUND" | "SESSION_DELETED" => {
                let key = fact("session_key");
                (StatusCode::NOT_FOUND, format!("Session not found: {key}"))
            }
            "MODEL_NOT_FOUND" => {
                let model = fact("model");
                (StatusCode::NOT_FOUND, format!("Model not found: {model}"))
            }
            "PRIMARY_SESSION" => (
                StatusCode::BAD_REQUEST,
                "Cannot delete primary session".into(),
            ),
            _ => (problem.http_status(), problem.line()),
        };
        let mut response = said(status, &error);
        response.headers_mut().extend(problem.headers());
        response
    }
}
