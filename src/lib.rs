//! Quarterdeck: a gRPC control plane for AI-agent sessions.
//!
//! # Rooms
//!
//! | room | holds | may know |
//! |---|---|---|
//! | `main.rs`, `cli/` | the command line: parse → config → telemetry → [`app`], and the client commands | [`app`], [`config`], [`telemetry`], [`client`] |
//! | [`app`] | the composition root: builds the rooms in order, recovers, serves, drains | all |
//! | [`config`], [`clock`] | plain data and its sources; the time | [`domain`] |
//! | [`telemetry`] | logs and those who follow them, audit records, metrics, trace context; every room may count and log | [`domain`] |
//! | [`domain`] | ids, turns, events, messages, sessions, limits, and every "no" the product can say. Pure | nothing |
//! | [`wire`] | contract ↔ domain, total functions; `frames`: events as shared bytes | [`domain`], [`proto`] |
//! | [`store`] | the `Store` trait; `core`: every rule of sessions as pure decisions over snapshots; SQLite: rows, a writer thread with group commit, readers, migrations | [`domain`], `wire::frames` |
//! | [`memory`] | items, their words and vectors, searches, secrets; on the store's file through its one writer | [`store`], [`domain`], `wire::frames` |
//! | [`feed`] | per session the newest events as framed bytes, open items, and readers as cursors | [`store`] (reads), [`domain`], [`wire`] |
//! | [`beneath`] | files in directories that agents can write | nothing |
//! | [`agent`] | the driver contract; `echo`, `pi`; child processes behind a keeper | [`beneath`], [`auth`] (agents' credentials), [`domain`] |
//! | [`session`] | `machine` (pure), actors, the registry that wakes, bounds, retires and drains them | [`store`], [`feed`], [`agent`], [`memory`], [`domain`] |
//! | [`auth`] | what callers are recognised by: API keys, tokens, certificates, the unix socket; and how often they may call | [`store`], [`listener`] (peers), [`domain`] |
//! | [`mcp`] | memory as tools for agents, over streamable HTTP and standard input and output | [`memory`], [`auth`], [`store`], [`client`], [`domain`] |
//! | [`listener`] | sockets: accept loop, bounds of connections, serving runtimes, write coalescing | nothing |
//! | [`grpc`] | the service; the only table from refusals to statuses; layers around every call | [`auth`], [`wire`], [`session`], [`feed`], [`store`], [`domain`] |
//! | [`mod@http`] | the console's files, for browsers | nothing |
//! | [`client`] | calls that repeat safely, subscriptions that resume; what the command line is built on | [`proto`] |
//!
//! tonic and prost types stop at [`wire`], [`grpc`] and [`client`] ([`feed`] decodes its own events); SQL stops at
//! [`store`] and [`memory`]; clap at `cli`. One current-thread runtime on the main thread runs actors, registry and drivers; calls are
//! served by current-thread runtimes of their own; the store writes on a plain thread.
//!
//! # Two walks
//!
//! **Enqueue.** layers (who calls, deadline, sizes) → `grpc::gateway` parses by `wire::parse` → [`store::Store::enqueue`] decides
//! and commits `turn_queued` (fsynced) → publishes to [`feed`] → replies. The feed tells the registry, which grants the
//! session a turn: its actor commits `turn_started` **before** the agent gets a byte.
//!
//! **A token.** child's line → `agent::pi::protocol` → [`agent::AgentEvent`] → [`session::machine`] → a delta is encoded
//! once and pushed to the session's tail; a completed item is appended, committed, then published → each waiting reader
//! wakes on its own runtime, takes shared bytes, moves its cursor → socket.
#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::print_stdout))]

pub mod agent;
pub mod app;
pub mod auth;
pub mod beneath;
pub mod client;
pub mod clock;
pub mod config;
pub mod domain;
pub mod feed;
#[cfg(test)]
mod fuzz;
pub mod grpc;
pub mod http;
pub mod listener;
pub mod mcp;
pub mod memory;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod wire;

/// The generated contract of `proto/quarterdeck/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod proto {
    tonic::include_proto!("quarterdeck.v1");
    include!(concat!(env!("OUT_DIR"), "/clients/quarterdeck.v1.rs"));

    /// Every message and service with its comments, for reflection and for JSON output.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/quarterdeck.binpb"));
}
