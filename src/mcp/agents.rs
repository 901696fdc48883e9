//! The agents' own door: a port of loopback at which nothing is served but the memory tools of the calling agent's
//! session, to bearers of a credential of [`auth::agents`](crate::auth::agents).
//!
//! A port of its own speaks without TLS, whatever the gateway's does, and has nothing else that a mistake could open.

use super::{PATH, local::Local, server::Server};
use crate::{
    auth::agents::AgentCredentials,
    domain::{ids::SessionRow, turn::TurnState},
    memory::Memory,
    store::Store,
};
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Connections at a time, of all agents.
pub const MAX_CONNECTIONS: usize = 1024;
/// Largest request, in bytes.
const REQUEST_MAX_BYTES: usize = 256 * 1024;
/// Longest call.
const CALL_MAX: Duration = Duration::from_secs(30);

/// What the door needs.
pub struct AgentsDoor {
    /// The room.
    pub memory: Arc<Memory>,
    /// Which turn of a session runs.
    pub store: Arc<dyn Store>,
    /// Whose credential it is.
    pub credentials: Arc<AgentCredentials>,
    /// Ends what is open.
    pub ending: CancellationToken,
}

/// Request extension: the agent that calls, and the turn that it works on.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtWork {
    pub(super) session: SessionRow,
    pub(super) turn_id: Uuid,
}

/// The door's only route.
pub fn routes(door: AgentsDoor) -> Router {
    let AgentsDoor {
        memory,
        store,
        credentials,
        ending,
    } = door;
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None)
        .with_max_request_body_bytes(REQUEST_MAX_BYTES)
        .disable_allowed_hosts()
        .with_cancellation_token(ending);
    let server = Server(Local {
        memory,
        store: store.clone(),
    });
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new()
        .route_service(PATH, service)
        .layer(from_fn(move |request, next| {
            guard(request, next, credentials.clone(), store.clone())
        }))
}

async fn guard(
    mut request: Request,
    next: Next,
    credentials: Arc<AgentCredentials>,
    store: Arc<dyn Store>,
) -> Response {
    let Some(holder) = credentials.recognise(request.headers()) else {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let problem = "CREDENTIALS_INVALID: only agents that run call here\n";
        return (StatusCode::UNAUTHORIZED, challenge, problem).into_response();
    };
    let Ok(_place) = holder.calls.try_acquire() else {
        let problem = "RATE_LIMITED: too many calls of this agent are open\n";
        return (StatusCode::TOO_MANY_REQUESTS, problem).into_response();
    };
    let turn = match store.active_turn(holder.session).await {
        Ok(turn) => turn,
        Err(refusal) => {
            let problem = format!("{}: {refusal}\n", refusal.reason());
            return (StatusCode::SERVICE_UNAVAILABLE, problem).into_response();
        }
    };
    let works = |state| matches!(state, TurnState::Running | TurnState::WaitingInput);
    let Some(turn) = turn.filter(|turn| works(turn.state)) else {
        let problem = "PERMISSION_DENIED: no turn of the session runs\n";
        return (StatusCode::FORBIDDEN, problem).into_response();
    };
    request.extensions_mut().insert(AtWork {
        session: holder.session,
        turn_id: turn.turn_id,
    });
    match tokio::time::timeout(CALL_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, "the call took too long\n").into_response(),
    }
}
