//! Where the chat protocols are found.

use super::{agui, ai_sdk, call::Door, openai, problem::Problem, rest, turns::Caller};
use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use std::sync::Arc;
use tonic::Status;

/// What a request may say behind `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Whether the turn is canceled when its reader goes.
    #[serde(default)]
    cancel_on_disconnect: bool,
}

/// Every path of a chat protocol.
pub(super) fn routes(door: Arc<Door>) -> Router {
    let doors = std::array::from_fn(|_| door.clone());
    let [ai, again, agui, complete, models] = doors;
    Router::new()
        .route(
            "/v1/sessions/{session_key}/chat",
            post(
                async move |Path(key): Path<String>, asked: Query<Asked>, request: Request| {
                    let cancel = asked.cancel_on_disconnect;
                    with_json(ai, request, move |caller, body| async move {
                        told(ai_sdk::post(caller, &key, cancel, body).await)
                    })
                    .await
                },
            ),
        )
        .route(
            "/v1/sessions/{session_key}/chat/{chat}/stream",
            get(
                async move |Path((key, _)): Path<(String, String)>, request: Request| {
                    let caller = Caller::new(again, request.into_parts().0);
                    told(ai_sdk::resume(caller, &key).await)
                },
            ),
        )
        .route(
            "/v1/sessions/{session_key}/agui",
            post(
                async move |Path(key): Path<String>, asked: Query<Asked>, request: Request| {
                    let cancel = asked.cancel_on_disconnect;
                    with_json(agui, request, move |caller, body| async move {
                        told(agui::post(caller, &key, cancel, body).await)
                    })
                    .await
                },
            ),
        )
        .route(
            "/openai/v1/chat/completions",
            post(async move |asked: Query<Asked>, request: Request| {
                let cancel = asked.cancel_on_disconnect;
                with_json(complete, request, move |caller, body| async move {
                    told_as_openai(openai::complete(caller, cancel, body).await)
                })
                .await
            }),
        )
        .route(
            "/openai/v1/models",
            get(async move |request: Request| {
                let caller = Caller::new(models, request.into_parts().0);
                told_as_openai(openai::models(caller).await)
            }),
        )
}

/// Answers a request that brings JSON, or says that it must.
async fn with_json<F: Future<Output = Response>>(
    door: Arc<Door>,
    request: Request,
    answer: impl FnOnce(Caller, Body) -> F,
) -> Response {
    let (parts, body) = request.into_parts();
    match rest::not_json(&parts) {
        Some(problem) => problem.into_response(),
        None => answer(Caller::new(door, parts), body).await,
    }
}

fn told(answered: Result<Response, Status>) -> Response {
    answered.unwrap_or_else(|refused| Problem::of(&refused).into_response())
}

fn told_as_openai(answered: Result<Response, Status>) -> Response {
    answered.unwrap_or_else(|refused| openai::refused(&refused))
}
