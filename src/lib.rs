//! Quarterdeck: a gRPC control plane for AI-agent sessions.
#![forbid(unsafe_code)]

pub mod agent;
pub mod domain;
pub mod feed;
pub mod store;
pub mod wire;

/// The generated contract of `proto/quarterdeck/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod proto {
    tonic::include_proto!("quarterdeck.v1");

    /// Every message and service with its comments, for reflection and for JSON output.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/quarterdeck.binpb"));
}
