//! `/metrics`: the answer to those who collect metrics, on a socket of its own.
//!
//! It tells everyone who can connect, without a credential; so it listens on loopback, unless the operator says that
//! something else keeps strangers out. The listener refuses requests that name a foreign host, as pages in browsers do.

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use std::time::Duration;

/// How often what was measured is gathered, so that it takes no room while nobody asks.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Connections at a time.
pub const MAX_CONNECTIONS: usize = 64;

/// Answers `GET /metrics`. `sample` brings up to date what is not counted where it happens.
pub fn router<F>(
    handle: PrometheusHandle,
    sample: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Router
where
    F: Future<Output = ()> + Send,
{
    let answer = move || {
        let (handle, sample) = (handle.clone(), sample.clone());
        async move {
            sample().await;
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], handle.render())
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
