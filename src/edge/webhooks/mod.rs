//! Webhooks in: `POST /webhooks/{route}`, where another program tells what has happened, and a turn comes of it.
//!
//! Off until the configuration names a route, with its secrets and the principal that it acts as. A delivery is read as it
//! came and its signature checked before anything else of it is looked at (`verify.rs`); then it is a call as any other,
//! through the layers of gRPC, as that principal with the route's scopes and no more. A delivery that comes again is the
//! same turn: its id is the request's (24 h beyond the turn's end).

mod verify;

use super::{call::Door, problem::Problem, rest, transcode, turns::Caller, upload};
use crate::{
    clock,
    domain::{
        access::Identity,
        limits::TEXT_MAX_BYTES,
        question::NoApprover,
        webhook::{self, Facts, WebhookBusy, WebhookKind},
    },
    grpc::layers::ActsAs,
    proto::{CreateSessionRequest, EnqueueRequest, EnqueueResponse, OnBusy},
    telemetry::metrics,
};
use axum::{
    Router,
    extract::{Path, Request},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, StatusCode, header};
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, sync::Arc};
use verify::Refused;

/// Longest body of a delivery, in bytes.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// A route, as it is configured.
pub struct WebhookRoute {
    /// How its deliveries are signed.
    pub kind: WebhookKind,
    /// What with; never empty, nor is one of them.
    pub secrets: Vec<SecretString>,
    /// Who they act as.
    pub identity: Arc<Identity>,
    /// Template of their sessions' keys.
    pub session_key: String,
    /// Place in the body of who caused them; empty is where the kind has it.
    pub sender: String,
    /// Template of their turns' texts; empty is the kind's own.
    pub text: String,
    /// Agent of sessions that they make; empty is the server's.
    pub agent: String,
    /// Where the session is busy.
    pub on_busy: WebhookBusy,
    /// Where an agent asks and nobody is there.
    pub no_approver: NoApprover,
}

/// The routes that are configured.
pub struct Webhooks {
    /// By name.
    pub routes: BTreeMap<String, WebhookRoute>,
    /// The session that no route reaches unless it names it.
    pub primary_session: String,
}

/// What a delivery says of itself, where its kind has a place for that.
struct Said {
    id: String,
    event: String,
    sender: String,
}

/// Every path of the room.
pub(super) fn routes(door: Arc<Door>, webhooks: Webhooks) -> Router {
    if webhooks.routes.is_empty() {
        return Router::new();
    }
    let webhooks = Arc::new(webhooks);
    Router::new().route(
        "/webhooks/{route}",
        post(async move |Path(route): Path<String>, request: Request| {
            let taken = webhooks.take(door, &route, request).await;
            taken.unwrap_or_else(IntoResponse::into_response)
        }),
    )
}

// === impl Webhooks ===

impl Webhooks {
    async fn take(
        &self,
        door: Arc<Door>,
        name: &str,
        request: Request,
    ) -> Result<Response, Problem> {
        let Some(route) = self.routes.get(name) else {
            return Err(Problem::plain(StatusCode::NOT_FOUND, "no such webhook"));
        };
        let (mut parts, body) = request.into_parts();
        if let Some(problem) = rest::not_json(&parts) {
            return Err(problem);
        }
        let read = upload::read(body, BODY_MAX_BYTES, &door.room).await;
        let (raw, share) = read.map_err(|refusal| Problem::of(&refusal.into()))?;
        let now = clock::wall().0.div_euclid(1_000_000);
        verify::verify(route.kind, &route.secrets, &parts.headers, &raw, now).map_err(
            |refused| {
                metrics::get().authentication_failures.increment(1);
                refused.problem()
            },
        )?;
        transcode::count_values(&raw).map_err(|refusal| Problem::of(&refusal.into()))?;
        let body: Json = serde_json::from_slice(&raw)
            .map_err(|_| Problem::plain(StatusCode::BAD_REQUEST, "the body is no JSON"))?;
        drop(share);
        if let Some(answer) = greeting(route.kind, &parts.headers, &body) {
            return Ok(told(StatusCode::OK, &answer));
        }
        let said = said(route, &parts.headers, &body);
        let facts = Facts {
            route: name,
            sender: &said.sender,
            event: &said.event,
            id: &said.id,
            body: &body,
        };
        let text = webhook::text(text_template(route), &facts);
        if text.trim().is_empty() || text.len() > TEXT_MAX_BYTES {
            let problem = "the text of the turn would be blank, or longer than 512 KiB";
            return Err(Problem::plain(StatusCode::BAD_REQUEST, problem));
        }
        let key = webhook::session_key(&route.session_key, &facts);
        if key == self.primary_session && key != route.session_key {
            let problem = "the delivery names the primary session, which the route does not";
            return Err(Problem::plain(StatusCode::FORBIDDEN, problem));
        }
        // What the outside said in headers was for here alone.
        parts.headers = HeaderMap::new();
        parts.extensions.insert(ActsAs(route.identity.clone()));
        let caller = Caller::new(door, parts);
        make_session(&caller, route, &key).await?;
        let request = EnqueueRequest {
            session_key: key,
            text,
            source: format!("webhook:{name}"),
            request_id: request_id(name, &said.id),
            on_busy: match route.on_busy {
                WebhookBusy::Enqueue => OnBusy::Enqueue.into(),
                WebhookBusy::Reject => OnBusy::Reject.into(),
            },
            ..EnqueueRequest::default()
        };
        let path = "/quarterdeck.v1.GatewayService/Enqueue";
        let accepted: EnqueueResponse = caller
            .ask(path, &request)
            .await
            .map_err(|refused| Problem::of(&refused))?;
        let turn = accepted.turn.unwrap_or_default();
        let answer = json!({
            "turnId": turn.turn_id,
            "sessionKey": turn.session_key,
            "replayed": accepted.replayed,
        });
        Ok(told(StatusCode::ACCEPTED, &answer))
    }
}

fn told(status: StatusCode, answer: &Json) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, answer.to_string()).into_response()
}

/// Makes the session where there is none: nobody is there to answer what its agent asks.
async fn make_session(caller: &Caller, route: &WebhookRoute, key: &str) -> Result<(), Problem> {
    let request = CreateSessionRequest {
        session_key: key.to_owned(),
        agent: route.agent.clone(),
        no_approver: match route.no_approver {
            NoApprover::Wait => crate::proto::NoApprover::Wait.into(),
            NoApprover::Deny => crate::proto::NoApprover::Deny.into(),
        },
        ..CreateSessionRequest::default()
    };
    let made = caller.make_session(&request).await;
    made.map_err(|refused| Problem::of(&refused))
}

/// The answer to a delivery that only asks whether somebody is there.
fn greeting(kind: WebhookKind, headers: &HeaderMap, body: &Json) -> Option<Json> {
    match kind {
        WebhookKind::Slack if body["type"] == "url_verification" => {
            Some(json!({ "challenge": body["challenge"] }))
        }
        WebhookKind::Github if header_of(headers, "x-github-event") == "ping" => {
            Some(json!({ "pong": true }))
        }
        WebhookKind::Standard
        | WebhookKind::Github
        | WebhookKind::Stripe
        | WebhookKind::Slack
        | WebhookKind::Linear
        | WebhookKind::Pi => None,
    }
}

/// Where each kind says what.
fn said(route: &WebhookRoute, headers: &HeaderMap, body: &Json) -> Said {
    let at = |pointer| webhook::at(body, pointer);
    let header = |name| header_of(headers, name).to_owned();
    let (id, event, sender) = match route.kind {
        WebhookKind::Standard => (header("webhook-id"), at("/type"), String::new()),
        WebhookKind::Github => (
            header("x-github-delivery"),
            header("x-github-event"),
            at("/sender/login"),
        ),
        WebhookKind::Stripe => (at("/id"), at("/type"), at("/data/object/customer")),
        WebhookKind::Slack => (at("/event_id"), at("/event/type"), at("/event/user")),
        WebhookKind::Linear => (header("linear-delivery"), at("/type"), at("/actor/id")),
        WebhookKind::Pi => (String::new(), String::new(), at("/sender")),
    };
    let sender = match route.sender.as_str() {
        "" => sender,
        pointer => at(pointer),
    };
    Said { id, event, sender }
}

fn text_template(route: &WebhookRoute) -> &str {
    match (route.text.as_str(), route.kind) {
        ("", WebhookKind::Pi) => "{/text}",
        ("", _) => "{body}",
        (template, _) => template,
    }
}

fn header_of<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// The request id of a delivery: whatever stands in its own id, and however long. Empty where it has none.
fn request_id(route: &str, id: &str) -> String {
    if id.is_empty() {
        return String::new();
    }
    let digest = Sha256::digest(id);
    let short: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("webhook:{route}:{short}")
}

// === impl Refused ===

impl Refused {
    fn problem(self) -> Problem {
        match self {
            Self::Signature => Problem::because(
                StatusCode::UNAUTHORIZED,
                "SIGNATURE_INVALID",
                "the delivery is not signed with a secret of this webhook; compare `secrets` with what the sender has",
            ),
            Self::Window => Problem::because(
                StatusCode::CONFLICT,
                "REPLAYED_DELIVERY",
                "the delivery was signed at another time than now; it is an old one, or the sender's clock or ours is wrong",
            ),
        }
    }
}
