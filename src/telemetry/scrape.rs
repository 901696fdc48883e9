//! `/metrics`: the answer to those who collect metrics, on a socket of its own.
//!
//! It tells everyone who can connect, without a credential; so it listens on loopback, unless the operator says that
//! something else keeps strangers out. A page in a browser must not read it through a name that points to loopback:
//! there the request's host has to be an address, or `localhost`.

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use std::{net::IpAddr, time::Duration};

/// How often what was measured is gathered, so that it takes no room while nobody asks.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Connections at a time.
pub const MAX_CONNECTIONS: usize = 64;

/// Answers `GET /metrics`. `sample` brings up to date what is not counted where it happens.
pub fn router<F>(
    handle: PrometheusHandle,
    any_host: bool,
    sample: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Router
where
    F: Future<Output = ()> + Send,
{
    let answer = move |request: Request| {
        let (handle, sample) = (handle.clone(), sample.clone());
        async move {
            if !any_host && !by_address(&request) {
                let no = "ask by address, or as localhost\n";
                return (StatusCode::FORBIDDEN, no).into_response();
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

/// Whether the request names its host by address, or as `localhost`.
fn by_address(request: &Request) -> bool {
    let host = request.headers().get(header::HOST);
    let host = host
        .and_then(|host| host.to_str().ok())
        .or(request.uri().authority().map(|it| it.as_str()));
    let Some(host) = host.and_then(|host| host.parse::<http::uri::Authority>().ok()) else {
        return false;
    };
    let host = host.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}
