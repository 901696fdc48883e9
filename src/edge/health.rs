//! What load balancers ask, without a credential: is the process there, and may it be given work.

use super::call::Door;
use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{StatusCode, header, request::Parts};
use prost::Message;
use tonic_health::pb::{HealthCheckResponse, health_check_response::ServingStatus};

/// The method that knows.
const CHECK: &str = "/grpc.health.v1.Health/Check";
/// A question about the whole server, as gRPC sends it.
const WHOLE_SERVER: &[u8] = &[0; 5];

/// Answers while the process answers at all.
pub(super) async fn alive(door: &Door, request: Request) -> Response {
    let status = asked(door, request.into_parts().0).await;
    answer(StatusCode::OK, status)
}

/// Answers 503 while it must not be given work: it drains, or its store does not answer.
pub(super) async fn ready(door: &Door, request: Request) -> Response {
    match asked(door, request.into_parts().0).await {
        ServingStatus::Serving => answer(StatusCode::OK, ServingStatus::Serving),
        other => answer(StatusCode::SERVICE_UNAVAILABLE, other),
    }
}

/// How the server is, as the health service says.
pub(super) async fn asked(door: &Door, parts: Parts) -> ServingStatus {
    let body = Body::from(Bytes::from_static(WHOLE_SERVER));
    let Ok(mut answer) = door.call(parts, CHECK, body).await else {
        return ServingStatus::Unknown;
    };
    let message = match answer.next().await {
        Some(Ok(message)) => HealthCheckResponse::decode(message).unwrap_or_default(),
        Some(Err(_)) | None => HealthCheckResponse::default(),
    };
    message.status()
}

fn answer(status: StatusCode, is: ServingStatus) -> Response {
    let kind = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let body = format!("{{\"status\":\"{}\"}}\n", is.as_str_name());
    (status, kind, body).into_response()
}
