//! Streamable HTTP at [`PATH`](super::PATH) of the gateway: each request stands alone and is answered by one JSON
//! object.
//!
//! A request passes: a valid credential, a bound of its size and of its time. Only then is a byte of its body read.
//! `Host` and `Origin` are looked at before, as of every request: by the listener and by `grpc::web`.

use super::{PATH, local::Local, server::Server};
use crate::{
    auth::Auth, domain::refusal::Refusal, listener::Peer, memory::Memory, store::Store,
    telemetry::metrics,
};
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Largest request, in bytes.
const REQUEST_MAX_BYTES: usize = 256 * 1024;
/// Longest call.
const CALL_MAX: Duration = Duration::from_secs(30);

/// What the transport needs.
pub struct HttpOptions {
    /// The room.
    pub memory: Arc<Memory>,
    /// Sessions, for requests that name one.
    pub store: Arc<dyn Store>,
    /// Recognises callers.
    pub auth: Arc<Auth>,
    /// Ends what is open.
    pub ending: CancellationToken,
}

/// The route of the transport.
pub fn routes(options: HttpOptions) -> Router {
    let HttpOptions {
        memory,
        store,
        auth,
        ending,
    } = options;
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None)
        .with_max_request_body_bytes(REQUEST_MAX_BYTES)
        .disable_allowed_hosts()
        .with_cancellation_token(ending);
    let server = Server(Local { memory, store });
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new()
        .route_service(PATH, service)
        .route_layer(from_fn(move |request, next| {
            guard(request, next, auth.clone())
        }))
}

async fn guard(mut request: Request, next: Next, auth: Arc<Auth>) -> Response {
    let peer = request.extensions().get::<Arc<Peer>>().map(Arc::as_ref);
    match auth.recognise(request.headers(), peer) {
        Ok(identity) => request.extensions_mut().insert(identity),
        Err(refusal) => {
            metrics::get().authentication_failures.increment(1);
            return unrecognised(&refusal);
        }
    };
    match tokio::time::timeout(CALL_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, "the call took too long\n").into_response(),
    }
}

fn unrecognised(refusal: &Refusal) -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    let body = format!("{}: {refusal}\n", refusal.reason());
    (StatusCode::UNAUTHORIZED, challenge, body).into_response()
}
