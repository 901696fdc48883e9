//! Streamable HTTP at [`PATH`](super::PATH) of the gateway: each request stands alone and is answered by one JSON
//! object.
//!
//! A request passes: a valid credential, the rates of its principal and tenant, a bound of its size and of its time. Only
//! then is a byte of its body read. It has its place among the open calls, so that it ends with its credential.
//! `Host` and `Origin` are looked at before, as of every request: by the listener and by `grpc::web`.

use super::{PATH, local::Local};
use crate::{
    auth::Auth,
    domain::refusal::Refusal,
    grpc::{
        channels::{ChannelFacts, Channels, Open},
        methods::Counts,
    },
    listener::{Peer, Standing},
    memory::Memory,
    store::Store,
    telemetry::metrics,
};
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::{pin::pin, sync::Arc};
use tokio_util::sync::CancellationToken;

/// What the transport needs.
pub struct HttpOptions {
    /// The room.
    pub memory: Arc<Memory>,
    /// Sessions, for requests that name one.
    pub store: Arc<dyn Store>,
    /// Recognises callers, and counts their requests.
    pub auth: Arc<Auth>,
    /// What is open.
    pub channels: Arc<Channels>,
    /// Ends what is open.
    pub ending: CancellationToken,
}

/// The route of the transport.
pub fn routes(options: HttpOptions) -> Router {
    let HttpOptions {
        memory,
        store,
        auth,
        channels,
        ending,
    } = options;
    let service = super::service(
        Local {
            memory,
            store,
            submissions: None,
        },
        ending,
    );
    Router::new()
        .route_service(PATH, service)
        .route_layer(from_fn(move |request, next| {
            guard(request, next, auth.clone(), channels.clone())
        }))
}

async fn guard(
    mut request: Request,
    next: Next,
    auth: Arc<Auth>,
    channels: Arc<Channels>,
) -> Response {
    let open = match admit(&auth, &channels, &mut request) {
        Ok(open) => open,
        Err(refusal) => return refuse(&refusal),
    };
    // The answer is one piece, so that nothing of it is left to cut once it is there.
    let answer = pin!(next.run(request));
    super::in_time(async {
        let answered = open.while_valid(answer).await;
        answered.unwrap_or_else(|refusal| refuse(&refusal))
    })
    .await
}

/// Who calls. Gives the request its place.
fn admit(auth: &Auth, channels: &Arc<Channels>, request: &mut Request) -> Result<Open, Refusal> {
    let peer = request.extensions().get::<Arc<Peer>>().map(Arc::as_ref);
    let identity = auth
        .recognise(request.headers(), peer)
        .inspect_err(|_| metrics::get().authentication_failures.increment(1))?;
    if let Some(standing) = request.extensions().get::<Standing>() {
        standing.prove();
    }
    let user_agent = request.headers().get(header::USER_AGENT);
    let open = channels.open(ChannelFacts {
        identity: Some(identity.clone()),
        method: "mcp",
        // Its answer is one message: it is listed with no streams, and counts as none.
        counts: Counts::Nothing,
        peer: peer.map_or_else(String::new, Peer::to_string),
        user_agent: user_agent.map_or_else(String::new, |it| {
            String::from_utf8_lossy(it.as_bytes()).into_owned()
        }),
    })?;
    // Who revoked a key since it was looked at may have missed this request's place.
    if !auth.is_valid(&identity) {
        return Err(Refusal::CredentialsInvalid);
    }
    request.extensions_mut().insert(identity);
    say_both(request.headers_mut());
    Ok(open)
}

/// Lets everybody through who takes JSON. The protocol has clients say that they take event streams as well, and the
/// crate insists on it; but no answer here is one, and many clients say JSON alone, `*/*` or nothing.
fn say_both(headers: &mut HeaderMap) {
    let mut accepted = headers.get_all(header::ACCEPT).iter().peekable();
    let takes_json = accepted.peek().is_none()
        || accepted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(is_json);
    if takes_json {
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, both);
    }
}

/// Whether an entry of `Accept` has JSON in it, and does not weigh it 0.
fn is_json(entry: &str) -> bool {
    let mut parts = entry.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let is_refused = |part: &str| {
        let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
        weight.is_some_and(|weight| weight.parse() == Ok(0.0))
    };
    ["application/json", "application/*", "*/*"]
        .into_iter()
        .any(|known| name.eq_ignore_ascii_case(known))
        && !parts.any(is_refused)
}

/// A refusal in the words of HTTP.
fn refuse(refusal: &Refusal) -> Response {
    let body = format!("{}: {refusal}\n", refusal.reason());
    if let Refusal::RateLimited { retry_after, .. } = refusal {
        let seconds = retry_after.as_secs_f64().ceil().to_string();
        let later = [(header::RETRY_AFTER, seconds)];
        return (StatusCode::TOO_MANY_REQUESTS, later, body).into_response();
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, body).into_response()
}
