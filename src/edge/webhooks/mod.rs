//! Webhooks in: `POST /webhooks/{route}`, where another program tells what has happened, and a turn comes of it.
//!
//! Off until the configuration names a route, with its secrets and the principal that it acts as. A delivery is read as it
//! came and its signature checked before anything else of it is looked at (`verify.rs`); then it is a call as any other,
//! through the layers of gRPC, as that principal with the route's scopes and no more. A delivery that comes again is the
//! same turn (24 h beyond the turn's end): by its id where that is signed, else by what is signed of it. `?wait=` waits a
//! little for the turn's end.

mod verify;

use super::{call::Door, problem::Problem, rest, transcode, turns::Caller, upload};
use crate::{
    clock,
    domain::{
        access::{Identity, Scope},
        limits::TEXT_MAX_BYTES,
        question::NoApprover,
        webhook::{self, Facts, WebhookBusy, WebhookKind},
    },
    grpc::layers::ActsAs,
    proto::{
        AwaitTurnRequest, AwaitTurnResponse, EnqueueRequest, EnqueueResponse, OnBusy, Turn,
        TurnState,
    },
    telemetry::metrics,
    webhooks_out::LOOP_HEADER,
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
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use verify::Refused;

/// Longest body of a delivery, in bytes.
const BODY_MAX_BYTES: usize = 1024 * 1024;
/// How long a delivery may wait for the end of its turn.
const WAIT_MAX: Duration = Duration::from_secs(60);

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
    /// This server's store: what its own webhooks tell of turns that a webhook made is not taken.
    pub store_id: String,
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
        let wait = wait_of(parts.uri.query().unwrap_or_default());
        let wait = wait.map_err(|problem| *problem)?;
        if wait.is_some() {
            // Told before there is a turn.
            let may = route.identity.require(Scope::SessionRead);
            may.map_err(|refusal| Problem::of(&refusal.into()))?;
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
        if header_of(&parts.headers, LOOP_HEADER.as_str()) == self.store_id {
            let problem = "a webhook of this server made the turn that this tells of: it would go on for ever";
            return Err(Problem::plain(StatusCode::LOOP_DETECTED, problem));
        }
        transcode::count_values(&raw).map_err(|refusal| Problem::of(&refusal.into()))?;
        let body: Json = serde_json::from_slice(&raw)
            .map_err(|_| Problem::plain(StatusCode::BAD_REQUEST, "the body is no JSON"))?;
        drop(share);
        if let Some(answer) = greeting(route.kind, &parts.headers, &body) {
            return Ok(told(StatusCode::OK, &answer));
        }
        let said = said(route, &parts.headers, &body);
        let request_id = request_id(name, &once(route.kind, &said.id, &raw, &body));
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
        let request = EnqueueRequest {
            session_key: key,
            text,
            source: format!("webhook:{name}"),
            request_id,
            agent: route.agent.clone(),
            no_approver: match route.no_approver {
                NoApprover::Wait => crate::proto::NoApprover::Wait.into(),
                NoApprover::Deny => crate::proto::NoApprover::Deny.into(),
            },
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
        let mut turn = accepted.turn.unwrap_or_default();
        if let Some(wait) = wait {
            turn = ended(&caller, &turn, wait).await?;
        }
        Ok(answer(&turn, accepted.replayed, wait.is_some()))
    }
}

/// The answer to a delivery whose turn there is.
fn answer(turn: &Turn, replayed: bool, waited: bool) -> Response {
    let mut answer = json!({
        "turnId": turn.turn_id,
        "sessionKey": turn.session_key,
        "replayed": replayed,
    });
    let is_over = match turn.state() {
        TurnState::Completed
        | TurnState::Failed
        | TurnState::Canceled
        | TurnState::Interrupted
        | TurnState::Rejected
        | TurnState::Expired => true,
        TurnState::Unspecified
        | TurnState::Queued
        | TurnState::Running
        | TurnState::WaitingInput
        | TurnState::Canceling
        | TurnState::Scheduled => false,
    };
    if waited {
        answer["state"] = Json::String(transcode::state_name(turn.state()));
    }
    if !waited || !is_over {
        return told(StatusCode::ACCEPTED, &answer);
    }
    answer["responseText"] = Json::String(turn.response_text.clone());
    if let Some(error) = &turn.error {
        answer["error"] = json!({ "reason": error.reason, "message": error.message });
    }
    told(StatusCode::OK, &answer)
}

/// A turn at its end, or as it is when the wait is over.
async fn ended(caller: &Caller, turn: &Turn, wait: Duration) -> Result<Turn, Problem> {
    let request = AwaitTurnRequest {
        session_key: turn.session_key.clone(),
        turn_id: turn.turn_id.clone(),
        wait: prost_types::Duration::try_from(wait).ok(),
        or_question: false,
    };
    let path = "/quarterdeck.v1.GatewayService/AwaitTurn";
    let waited: Result<AwaitTurnResponse, _> = caller.ask(path, &request).await;
    let waited = waited.map_err(|refused| Problem::of(&refused))?;
    Ok(waited.turn.unwrap_or_default())
}

/// How long a delivery waits for the end of its turn; `None` where it does not.
fn wait_of(query: &str) -> Result<Option<Duration>, Box<Problem>> {
    let mut fields = form_urlencoded::parse(query.as_bytes());
    let Some((_, text)) = fields.find(|(name, _)| name == "wait") else {
        return Ok(None);
    };
    let seconds = text.parse().ok().map(Duration::from_secs);
    let wait = seconds.or_else(|| humantime::parse_duration(&text).ok());
    match wait.filter(|wait| !wait.is_zero() && *wait <= WAIT_MAX) {
        Some(wait) => Ok(Some(wait)),
        None => {
            let problem = format!("wait must be 1s to {}s", WAIT_MAX.as_secs());
            Err(Box::new(Problem::plain(StatusCode::BAD_REQUEST, &problem)))
        }
    }
}

fn told(status: StatusCode, answer: &Json) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, answer.to_string()).into_response()
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

/// What tells a delivery from all others. Of a kind that signs its delivery's id that is it; of one that does not, whoever has
/// caught a delivery could send it again under another one, so there it is what is signed. Linear signs the time of each
/// try in the body: all but that. Empty where nothing is signed.
fn once(kind: WebhookKind, id: &str, raw: &[u8], body: &Json) -> Vec<u8> {
    match kind {
        WebhookKind::Standard | WebhookKind::Stripe | WebhookKind::Slack => id.into(),
        WebhookKind::Github => raw.into(),
        WebhookKind::Linear => {
            let mut said = body.clone();
            if let Some(fields) = said.as_object_mut() {
                fields.remove("webhookTimestamp");
            }
            said.to_string().into()
        }
        WebhookKind::Pi => Vec::new(),
    }
}

/// The request id of a delivery, by what tells it from all others; empty where nothing does.
fn request_id(route: &str, once: &[u8]) -> String {
    if once.is_empty() {
        return String::new();
    }
    let digest = Sha256::digest(once);
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
