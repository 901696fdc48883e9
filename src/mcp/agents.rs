//! The agents' own door: a port of loopback at which nothing is served but the memory tools of the calling agent's
//! session, and the tool that takes what its turn answers with, to bearers of a credential of [`auth::agents`](crate::auth::agents).
//!
//! A port of its own speaks without TLS, whatever the gateway's does, and has nothing else that a mistake could open.

use super::{PATH, local::Local};
use crate::{
    agent::submit::Submissions,
    auth::agents::{AgentCredentials, WorksFor},
    domain::turn::TurnState,
    memory::Memory,
    store::Store,
    telemetry::audit,
};
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Connections at a time, of all agents.
pub const MAX_CONNECTIONS: usize = 1024;

/// What the door needs.
pub struct AgentsDoor {
    /// The room.
    pub memory: Arc<Memory>,
    /// Which turn of a session runs.
    pub store: Arc<dyn Store>,
    /// Turns that wait for an output.
    pub submissions: Arc<Submissions>,
    /// Whose credential it is.
    pub credentials: Arc<AgentCredentials>,
    /// Ends what is open.
    pub ending: CancellationToken,
}

/// Request extension: the agent that calls, and the turn that it works on.
#[derive(Clone, Debug)]
pub(super) struct AtWork {
    pub(super) works_for: Arc<WorksFor>,
    pub(super) turn_id: Uuid,
}

/// The door's only route.
pub fn routes(door: AgentsDoor) -> Router {
    let AgentsDoor {
        memory,
        store,
        submissions,
        credentials,
        ending,
    } = door;
    let service = super::service(
        Local {
            memory,
            store: store.clone(),
            submissions: Some(submissions),
        },
        ending,
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
        audit::refused("the agents' port".into(), "CREDENTIALS_INVALID");
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let problem = "CREDENTIALS_INVALID: only agents that run call here\n";
        return (StatusCode::UNAUTHORIZED, challenge, problem).into_response();
    };
    let Ok(_place) = holder.calls.try_acquire() else {
        let problem = "RATE_LIMITED: too many calls of this agent are open\n";
        return (StatusCode::TOO_MANY_REQUESTS, problem).into_response();
    };
    let turn = match store.active_turn(holder.works_for.session).await {
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
        works_for: holder.works_for,
        turn_id: turn.turn_id,
    });
    super::in_time(next.run(request)).await
}
