//! Quarterdeck: a gRPC control plane for AI-agent sessions.
#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::print_stdout))]

pub mod agent;
pub mod app;
pub mod client;
pub mod clock;
pub mod config;
pub mod domain;
pub mod feed;
pub mod grpc;
pub mod listener;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod wire;

/// The generated contract of `proto/quarterdeck/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod proto {
    tonic::include_proto!("quarterdeck.v1");

    /// Every message and service with its comments, for reflection and for JSON output.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/quarterdeck.binpb"));
}
