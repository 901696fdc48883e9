//! `/metrics`: the answer to those who collect metrics, on a socket of its own.
//!
//! It tells those who bring the token, since agents can connect as well: metrics name other tenants' work by its kind and
//! amount. It listens on loopback, unless the operator says that something else keeps strangers out. The listener refuses
//! requests that name a foreign host, as pages in browsers do.

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// How often what was measured is gathered, so that it takes no room while nobody asks.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Connections at a time.
pub const MAX_CONNECTIONS: usize = 64;

/// Answers `GET /metrics` to bearers of the token; to everyone where there is none. `sample` brings up to date what is not
/// counted where it happens.
pub fn router<F>(
    handle: PrometheusHandle,
    token: Option<SecretString>,
    sample: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Router
where
    F: Future<Output = ()> + Send,
{
    let answer = move |headers: HeaderMap| {
        let (handle, sample) = (handle.clone(), sample.clone());
        let known = token.as_ref().is_none_or(|token| brings(&headers, token));
        async move {
            if !known {
                let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
                let problem = "bring the token of metrics_token_file as a bearer token\n";
                return (StatusCode::UNAUTHORIZED, challenge, problem).into_response();
            }
            sample().await;
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], handle.render()).into_response()
        }
    };
    Router::new()
        .route("/metrics", get(answer))
        .fallback(nothing)
}

/// Whether a request brings the token, and nothing else as its credential.
fn brings(headers: &HeaderMap, token: &SecretString) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let expected = format!("Bearer {}", token.expose_secret());
    value.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// Gathers what was measured, for ever.
pub async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        handle.run_upkeep();
    }
}

async fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "see /metrics\n").into_response()
}
