//! The gRPC surface: one file per service, the table of errors, and what every call passes through.
//!
//! `status.rs` is the only file that names `tonic::Code`; `layers.rs` stands around every service;
//! `channels.rs` knows every open call; `codec.rs` bounds what a request becomes in memory; `handover.rs` lets a handler
//! answer with frames that are encoded already.

pub mod admin;
pub mod channels;
pub mod codec;
pub mod gateway;
pub mod handover;
pub mod layers;
mod request_body;
pub mod status;

use crate::domain::access::Identity;
use std::sync::Arc;

/// Who calls, as the layers recognised it.
fn identity<R>(request: &tonic::Request<R>) -> Arc<Identity> {
    let identity = request.extensions().get::<Arc<Identity>>();
    identity
        .cloned()
        .expect("the layers let no call pass without an identity")
}
