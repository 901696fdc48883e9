//! REST: a path for each method, JSON in both directions, streams as server-sent events or NDJSON.

use super::{
    call::{Answer, Door},
    health, openapi,
    problem::Problem,
    routes::{self, Endpoint},
    sse::HEARTBEAT,
    transcode::{self, Beside},
    upload::{self, content_type},
    whole::whole,
};
use crate::{
    auth::tickets::ShownTicket,
    domain::Refusal,
    grpc::{
        methods::{BodyOf, METHODS, Verb},
        status,
    },
};
use axum::{
    Router,
    body::Body,
    extract::{RawPathParams, Request, rejection::RawPathParamsRejection},
    response::{IntoResponse, Response},
    routing::{MethodFilter, any, get, on},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use prost_reflect::MessageDescriptor;
use std::{convert::Infallible, sync::Arc};
use tokio::time::timeout;
use tonic::Status;

/// When a browser comes back to a server that drains, in milliseconds.
pub(super) const COME_BACK: &str = "retry: 2000\n\n";
/// How often a call may be repeated blindly.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The call that tickets are for.
pub(super) const SUBSCRIBE: &str = "/quarterdeck.v1.GatewayService/Subscribe";
/// Where a reader of events was.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What every answer says besides: it is data, whoever made it, and no page of this server's.
pub(super) const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// What stands in a request's path; none of it where that is no text.
type Fields = Result<RawPathParams, RawPathParamsRejection>;

/// How a stream of messages is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    /// Server-sent events.
    Events,
    /// A line of JSON each.
    Json,
}

/// Every route of the table, `/openapi.json`, `/health` and `/ready`.
pub(super) fn routes(door: Arc<Door>) -> Router {
    let mut router = Router::new();
    for row in &METHODS {
        let Some(route) = row.route else {
            continue;
        };
        let filter = match route.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Patch => MethodFilter::PATCH,
            Verb::Delete => MethodFilter::DELETE,
        };
        let door = door.clone();
        let answer = async move |fields: Fields, request: Request| {
            let endpoint = routes::endpoint(row.path).expect("a test looks at each row");
            let answered = answer(&door, endpoint, fields, request).await;
            answered.unwrap_or_else(|refused| Problem::of(&refused).into_response())
        };
        router = router.route(route.path, on(filter, answer));
    }
    let (health, ready) = (door.clone(), door);
    let known = async move || {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (kind, HEADERS, Body::from(openapi::DESCRIPTION.clone())).into_response()
    };
    router
        .route("/openapi.json", get(known))
        .route(
            "/health",
            get(async move |request: Request| health::alive(&health, request).await),
        )
        .route(
            "/ready",
            get(async move |request: Request| health::ready(&ready, request).await),
        )
        .route("/v1/{*rest}", any(async || no_such_path()))
        .method_not_allowed_fallback(async || no_such_verb())
}

fn no_such_path() -> Response {
    let detail = "there is no such path; GET /openapi.json lists those that are";
    Problem::plain(StatusCode::NOT_FOUND, detail).into_response()
}

fn no_such_verb() -> Response {
    let detail = "this path is asked in another way, see the header Allow";
    Problem::plain(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
}

async fn answer(
    door: &Door,
    endpoint: &'static Endpoint,
    fields: Fields,
    request: Request,
) -> Result<Response, Status> {
    let (parts, body) = request.into_parts();
    if let Some(problem) = unlike_json(&parts, endpoint) {
        let problem = Problem::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem);
        return Ok(problem.into_response());
    }
    let mut beside = beside(&parts, endpoint, fields)?;
    let ticket = match endpoint.method.path == SUBSCRIBE {
        true => beside.take_ticket(),
        false => None,
    };
    let mut parts = parts;
    if let Some(ticket) = &ticket {
        parts.extensions.insert(ticket.clone());
    }
    let lines = lines_of(&parts.headers);
    let path = endpoint.method.path;
    let body = upload::translated(body, path, door.room.clone(), move |json| {
        transcode::of_rest(endpoint, &beside, json)
    });
    let answered = door.call(parts, path, body).await;
    if !endpoint.method.streams {
        let mut response = whole(endpoint, answered?).await?;
        response.headers_mut().extend(HEADERS);
        return Ok(response);
    }
    match answered {
        Ok(answer) => Ok(streamed(endpoint.output.clone(), answer, lines, ticket)),
        // Any other status ends an event source for good; this one lets it come back.
        Err(refused) if lines == Lines::Events && Problem::of(&refused).is_draining() => {
            let kind = [(header::CONTENT_TYPE, kind_of(lines))];
            Ok((kind, HEADERS, COME_BACK).into_response())
        }
        Err(refused) => Err(refused),
    }
}

/// What is wrong with a request that must bring JSON.
pub(super) fn not_json(parts: &Parts) -> Option<Problem> {
    let problem = unlike(parts)?;
    Some(Problem::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem))
}

/// What is wrong with the form of a body.
fn unlike_json(parts: &Parts, endpoint: &Endpoint) -> Option<&'static str> {
    let route = endpoint.route()?;
    match route.body {
        BodyOf::Nothing => encoded(parts),
        BodyOf::All | BodyOf::Field(_) => unlike(parts),
    }
}

/// A page of another origin can send any text without being asked, but no JSON.
fn unlike(parts: &Parts) -> Option<&'static str> {
    match content_type(&parts.headers).eq_ignore_ascii_case("application/json") {
        true => encoded(parts),
        false => Some("send `Content-Type: application/json`"),
    }
}

fn encoded(parts: &Parts) -> Option<&'static str> {
    let coding = parts.headers.get(header::CONTENT_ENCODING)?;
    (coding != "identity").then_some("bodies are taken as they are: send no Content-Encoding")
}

fn beside(parts: &Parts, endpoint: &Endpoint, fields: Fields) -> Result<Beside, Refusal> {
    let header = |name: HeaderName| {
        let value = parts.headers.get(&name);
        let text = value.map(|it| it.to_str().map(str::to_owned));
        let wrong = |_| Refusal::field(name.as_str(), "must be visible ASCII");
        text.transpose().map_err(wrong)
    };
    let fields = fields.map_err(|error| Refusal::field("path", error.body_text()))?;
    let path = fields
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Beside {
        path: path.collect(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        idempotency_key: header(IDEMPOTENCY_KEY)?,
        last_event_id: match endpoint.resumes {
            true => header(LAST_EVENT_ID)?,
            false => None,
        },
    })
}

/// How the caller wants a stream written.
fn lines_of(headers: &HeaderMap) -> Lines {
    let asked = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok());
    match asked {
        Some(asked) if asked.contains("application/x-ndjson") => Lines::Json,
        Some(_) | None => Lines::Events,
    }
}

fn kind_of(lines: Lines) -> &'static str {
    match lines {
        Lines::Events => "text/event-stream",
        Lines::Json => "application/x-ndjson",
    }
}

/// An answer that goes on.
fn streamed(
    output: MessageDescriptor,
    answer: Answer,
    lines: Lines,
    ticket: Option<ShownTicket>,
) -> Response {
    // A ticket is in use as long as its stream.
    let written = stream::unfold(Some((answer, ticket)), move |state| {
        let output = output.clone();
        async move {
            let (mut answer, ticket) = state?;
            let (text, goes_on) = match timeout(HEARTBEAT, answer.next()).await {
                // Nobody takes an empty line for a message.
                Err(_) if lines == Lines::Json => ("\n".into(), true),
                Err(_) => (":\n\n".into(), true),
                Ok(None) => return None,
                Ok(Some(Err(refused))) => (last_line(&Problem::of(&refused), lines), false),
                Ok(Some(Ok(message))) => match line(&output, &message, lines) {
                    Ok(line) => (line, true),
                    Err(error) => {
                        let refused = status::bug(&error).into();
                        (last_line(&Problem::of(&refused), lines), false)
                    }
                },
            };
            Some((
                Ok::<_, Infallible>(text),
                goes_on.then_some((answer, ticket)),
            ))
        }
    });
    let kind = [
        (header::CONTENT_TYPE, kind_of(lines)),
        // A proxy that gathers a stream makes it useless.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (kind, HEADERS, Body::from_stream(written)).into_response()
}

/// One message, in one write.
fn line(output: &MessageDescriptor, message: &[u8], lines: Lines) -> anyhow::Result<Bytes> {
    let (json, message) = transcode::to_json(output, message, false)?;
    let mut text = Vec::with_capacity(json.len() + 64);
    if lines == Lines::Events {
        if let Some(id) = transcode::event_id(&message) {
            text.extend_from_slice(format!("id: {id}\n").as_bytes());
        }
        text.extend_from_slice(b"data: ");
    }
    text.extend_from_slice(&json);
    text.extend_from_slice(match lines {
        Lines::Events => b"\n\n",
        Lines::Json => b"\n",
    });
    Ok(text.into())
}

/// How a stream says that it failed: after its head there is no other place.
fn last_line(problem: &Problem, lines: Lines) -> Bytes {
    let json = problem.json();
    match lines {
        Lines::Events if problem.is_draining() => COME_BACK.into(),
        Lines::Events => format!("event: error\ndata: {json}\n\n").into(),
        Lines::Json => format!("{{\"error\":{json}}}\n").into(),
    }
}
