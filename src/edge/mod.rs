//! One door for whoever does not speak gRPC: REST, server-sent events, NDJSON and Connect's JSON, on the same port.
//!
//! A request becomes one gRPC call to the router that gRPC callers reach, with their layers around it: who calls, scopes,
//! bounds, deadlines, audit and metrics are theirs, and no rule of the product stands here. `routes.rs` knows what each
//! path means (a column of [`crate::grpc::methods`]), `transcode.rs` turns JSON into messages and back, `upload.rs` reads
//! bodies, `call.rs` makes the call, `whole.rs` hands a single answer out, and `rest.rs` and `connect.rs` write what comes of it, each in its own manner of
//! errors (`problem.rs`). `openapi.rs` describes the routes to machines.
//!
//! Chat protocols (`ai_sdk.rs`, `openai.rs`, `agui.rs`) are printers of one view of a turn (`view.rs`), which `turns.rs`
//! follows and answers for; `sse.rs` writes what they print, and `chats.rs` says where each is found. `responses/` tells a
//! turn as OpenAI's responses from wherever its reader was, `acp.rs` prints for editors (which `quarterdeck acp` serves),
//! `a2a/` answers other agents, `pi/` has the source systems' own routes, `answers.rs` is the page behind an answer link, `tickets.rs` lets a browser's own reader of
//! events in, and `attachments.rs` hands bytes out as they are.
//!
//! Promises: nothing of a body is read before its caller is known; a client that leaves cancels nothing; GET changes
//! nothing; what changes something says that its body is JSON, or has none, and no page calls without being asked for its origin.

mod a2a;
pub mod acp;
mod agui;
mod ai_sdk;
mod answers;
mod attachments;
mod call;
mod chats;
mod connect;
mod health;
mod openai;
mod openapi;
mod pi;
mod problem;
mod responses;
mod rest;
mod routes;
mod sse;
mod tickets;
mod transcode;
mod turns;
mod upload;
mod view;
mod webhooks;
mod whole;

pub use answers::AnswerPages;
pub use webhooks::{WebhookRoute, Webhooks};

use crate::auth::Auth;
use axum::{Router, middleware::from_fn};
use call::Door;
use std::sync::Arc;

/// Puts the door in front of the services of `grpc`, which has its layers around it already.
pub fn layered(grpc: Router, auth: Arc<Auth>, webhooks: Webhooks, answers: AnswerPages) -> Router {
    let door = Arc::new(Door::new(grpc.clone()));
    let connect = door.clone();
    grpc.layer(from_fn(move |request, next| {
        connect::answer(connect.clone(), request, next)
    }))
    .merge(chats::routes(door.clone()))
    .merge(a2a::routes(door.clone()))
    .merge(tickets::routes(door.clone(), auth))
    .merge(attachments::routes(door.clone()))
    .merge(responses::routes(door.clone()))
    .merge(pi::routes(door.clone()))
    .merge(webhooks::routes(door.clone(), webhooks))
    .merge(answers::routes(door.clone(), answers))
    .merge(rest::routes(door))
}
