//! The gRPC surface: one file per service, the table of errors, and what every call passes through.
//!
//! `status.rs` is the only file that names `tonic::Code`; `layers.rs` stands around every service;
//! `codec.rs` bounds what a request becomes in memory; `channels.rs` knows every open call; `handover.rs` lets a handler
//! answer with frames that are encoded already; `web.rs` says which web pages may call, and speaks gRPC-web with them.

pub mod admin;
mod answer_body;
pub mod channels;
pub mod codec;
pub mod gateway;
pub mod handover;
pub mod layers;
pub mod memory;
pub mod methods;
pub mod observe;
mod request_body;
pub mod schedules;
pub mod status;
pub mod web;
pub mod webhooks;
pub mod workers;

use crate::domain::access::Identity;
use observe::CallFacts;
use std::sync::Arc;

/// Who calls, as the layers recognised it.
pub(crate) fn identity<R>(request: &tonic::Request<R>) -> Arc<Identity> {
    let identity = request.extensions().get::<Arc<Identity>>();
    identity
        .cloned()
        .expect("the layers let no call pass without an identity")
}

/// What is known of the call besides, for what it leaves behind.
fn facts<R>(request: &tonic::Request<R>) -> Arc<CallFacts> {
    let facts = request.extensions().get::<Arc<CallFacts>>();
    facts
        .cloned()
        .expect("the layers let no call of a known method pass without")
}
