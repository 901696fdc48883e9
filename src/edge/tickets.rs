//! `POST /v1/sessions/{key}/event-ticket`: a ticket for a browser's own `EventSource`, which can't send a credential.
//!
//! Who may read the session gets one, and shows it as `?ticket=` at `GET /v1/sessions/{key}/events`; `auth::tickets` says
//! what it is worth. No log has it: addresses are logged nowhere.

use super::{call::Door, problem::Problem, rest, turns::Caller};
use crate::{
    auth::{Auth, tickets::TICKET_IDLE_MAX},
    domain::{Refusal, ids::SessionKey},
    listener::Peer,
    wire::encode,
};
use axum::{
    Router,
    extract::{Path, Request},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{header, request::Parts};
use secrecy::ExposeSecret as _;
use serde_json::json;
use std::sync::Arc;
use tonic::Status;

/// The path, as it is described too.
pub(super) const TICKETS: &str = "/v1/sessions/{session_key}/event-ticket";

/// The path of tickets.
pub(super) fn routes(door: Arc<Door>, auth: Arc<Auth>) -> Router {
    Router::new().route(
        TICKETS,
        post(async move |Path(key): Path<String>, request: Request| {
            let (parts, _) = request.into_parts();
            if let Some(problem) = rest::not_json(&parts) {
                return problem.into_response();
            }
            let made = make(door, &auth, parts, &key).await;
            made.unwrap_or_else(|refused| Problem::of(&refused).into_response())
        }),
    )
}

async fn make(door: Arc<Door>, auth: &Auth, parts: Parts, key: &str) -> Result<Response, Status> {
    let caller = Caller::new(door, parts.clone());
    // Who may not read it is told so by the call that reads it.
    caller.session(key).await?;
    let session =
        SessionKey::parse(key).map_err(|_| Refusal::SessionNotFound { key: key.into() })?;
    let peer = parts.extensions.get::<Arc<Peer>>().map(Arc::as_ref);
    let (ticket, end) = auth.ticket(&parts.headers, peer, &session)?;
    let body = json!({
        "ticket": ticket.expose_secret(),
        "expireTime": encode::timestamp(end).to_string(),
        "idleTimeout": format!("{}s", TICKET_IDLE_MAX.as_secs()),
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, rest::HEADERS, body.to_string()).into_response())
}
