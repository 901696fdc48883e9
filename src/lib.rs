//! Quarterdeck: a gRPC control plane for AI-agent sessions.
//!
//! # Rooms
//!
//! | room | holds | may know |
//! |---|---|---|
//! | `main.rs`, `cli/` | the command line: parse → config → telemetry → [`app`], and the client commands | all |
//! | [`app`] | the composition root: builds the rooms in order, recovers, serves, drains | all |
//! | [`clock`] | the time | [`domain`] |
//! | [`config`] | plain data and its sources | [`agent`] (user ids), [`memory`] (the form of its key), [`domain`] |
//! | [`telemetry`] | logs and those who follow them, audit records, metrics, trace context | [`domain`] |
//! | [`domain`] | ids, turns, events, messages, sessions, questions, limits, and every "no" the product can say. Pure | nothing |
//! | [`wire`] | contract ↔ domain, total functions; `frames`: events as shared bytes | [`domain`], [`proto`] |
//! | [`store`] | the `Store` trait; `core`: every rule of sessions as pure decisions over snapshots; SQLite: rows, a writer thread with group commit, readers, migrations | [`domain`], [`wire`], [`proto`] |
//! | [`memory`] | items, their words and vectors, searches, secrets; on the store's file through its one writer | [`store`], [`domain`], [`wire`] |
//! | [`feed`] | per session the newest events as framed bytes, open items, and readers as cursors | [`store`] (reads), [`domain`], [`wire`], [`proto`] |
//! | `failpoint` | places at which tests kill the server; nothing in a release build | nothing |
//! | [`beneath`] | files in directories that agents can write | nothing |
//! | [`agent`] | the driver contract; `echo`, `pi`, `acp`, `llm`; child processes behind a keeper | [`beneath`], [`auth`] (agents' credentials), [`domain`] |
//! | [`schedules`] | one timer: turns that wait for their time, and schedules | [`store`], [`domain`], [`proto`] |
//! | [`session`] | `machine` (pure), actors, the registry that wakes, bounds, retires and drains them | [`workers`] (who has room), [`store`], [`feed`], [`agent`], [`memory`], [`auth`] (agents' credentials), [`beneath`], [`domain`], [`proto`] |
//! | [`webhooks_out`] | what happens in sessions, posted to addresses: who is told what, tries, signatures, links that answer | [`store`], [`feed`] (hears of commits), [`memory`] (seals secrets), [`auth`] (private addresses), [`wire`], [`domain`], [`proto`] |
//! | [`workers`] | turns on other machines: who is connected, leases, placement, the driver `worker`, frames | [`agent`], [`beneath`], [`store`], [`wire`], [`domain`], [`proto`] |
//! | [`worker`] | the worker program: drivers on another machine, outbound to its gateway | [`workers`] (frames), [`session`] (directories), [`agent`], [`client`], [`beneath`], [`wire`], [`domain`], [`proto`] |
//! | [`auth`] | what callers are recognised by: API keys, tokens, certificates, the unix socket; and how often they may call | [`store`], [`listener`] (peers), [`domain`] |
//! | [`mcp`] | memory as tools for agents, over streamable HTTP and standard input and output | [`memory`], [`agent`] (answers by a schema), [`auth`], [`store`], [`client`], [`grpc`] (layers, statuses), [`listener`] (peers), [`domain`] |
//! | [`listener`] | sockets: accept loop, bounds of connections, serving runtimes, write coalescing | nothing |
//! | [`grpc`] | the service; the only table from refusals to statuses; layers around every call | [`auth`], [`wire`], [`session`], [`schedules`], [`webhooks_out`], [`workers`], [`memory`], [`feed`], [`agent`], [`config`], [`store`], [`listener`] (peers), [`client`] (names of statuses), [`domain`], [`proto`] |
//! | [`edge`] | one door for JSON: REST, server-sent events, NDJSON, Connect, OpenAPI, chat protocols; every request is calls through `grpc`'s layers | [`grpc`], [`webhooks_out`] (links that answer), [`store`], [`auth`] (tickets), [`listener`] (peers), [`wire`], [`domain`], [`proto`] |
//! | [`mod@http`] | the console's files, for browsers | nothing |
//! | [`client`] | calls that repeat safely, subscriptions that resume; what the command line is built on | [`domain`], [`proto`] |
//!
//! Every room may count, log and tell the time: [`telemetry`] and [`clock`]. There are no circles; a test compares this
//! table with what the rooms name.
//!
//! tonic and prost types stop at [`wire`], [`grpc`] and [`client`] ([`feed`] decodes its own events); SQL stops at
//! [`store`] and [`memory`]; clap at `cli`. One current-thread runtime on the main thread runs actors, registry and drivers; calls are
//! served by current-thread runtimes of their own; the store writes on a plain thread.
//!
//! # Four walks
//!
//! **Enqueue.** layers (who calls, deadline, sizes) → `grpc::gateway` parses by `wire::parse` → [`store::Store::enqueue`] decides
//! and commits `turn_queued` (fsynced) → publishes to [`feed`] → replies. The feed tells the registry, which grants the
//! session a turn: its actor commits `turn_started` **before** the agent gets a byte.
//!
//! **A token.** child's line → `agent::pi::protocol` → [`agent::AgentEvent`] → [`session::machine`] → a delta is encoded
//! once and pushed to the session's tail; a completed item is appended, committed, then published → each waiting reader
//! wakes on its own runtime, takes shared bytes, moves its cursor → socket.
//!
//! **A model's token.** a provider's stream → `agent::llm::http` → its dialect's decoder → `agent::llm::turn` (pure) →
//! [`agent::AgentEvent`], and on as above. The conversation comes from the store by [`agent::conversation`].
//!
//! **A question.** a driver says [`agent::AgentEvent::Asked`] → [`session::machine`] gives it an id → the store's
//! `core::decide::questions` answers it by policy, or makes the turn wait, in the commit that shows it → somebody's
//! AnswerQuestion closes it in a commit and nudges the actor → [`agent::AgentCommand::Answer`] → `AnswerDelivered`.
//!
//! # Where to add
//!
//! | what | where, besides its tests |
//! |---|---|
//! | an event kind | `event.proto`; its variant, number and name in `domain::event`; `wire::encode`; what it does to open items in `store::core::decide::items` and `feed::open_items`; how it is shown in `cli::render` |
//! | a command of callers | its RPC in the proto; its row in [`grpc::methods`], with its path in REST; a decision in `store::core::decide` and its line in the engine; a handler in `grpc::gateway`; a line in [`client`] |
//! | a read | as a command, with a query in `store::sqlite` in place of the decision |
//! | a refusal | [`domain::refusal`]; `grpc::status`; the lists of reasons in `client::error` and `clients/` |
//! | a driver | a room below [`agent`] that passes `tests/conformance`; its name in `config::setting::DriverKind`; where [`app`] makes drivers |
//! | what an agent can do | [`domain::agent`]; what each driver says; `admin.proto`, `wire::encode`; how it is told in `cli::admin`; the table in `docs/pages/bring-your-agent.md`, which `tests/agent_acp_real` checks |
//! | a model's price | `domain/prices.csv`, with its date in [`domain::prices`] |
//! | a setting | its line in [`config`]'s table, from which file, variable, flag and documentation come; where [`app`] hands it on |
//! | a fixed bound | [`domain::limits`], or a named constant beside what it bounds |
//! | a metric | `telemetry::metrics` |
//! | a rule of the store at rest | `store::sqlite::check`, which `quarterdeck check` and every test's end run |
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
pub mod edge;
mod failpoint;
pub mod feed;
#[cfg(test)]
mod fuzz;
pub mod grpc;
pub mod http;
pub mod listener;
pub mod mcp;
pub mod memory;
pub mod schedules;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod webhooks_out;
pub mod wire;
pub mod worker;
pub mod workers;

/// The generated contract of `proto/quarterdeck/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod proto {
    tonic::include_proto!("quarterdeck.v1");
    include!(concat!(env!("OUT_DIR"), "/clients/quarterdeck.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/worker/quarterdeck.v1.rs"));

    /// Every message and service with its comments, for reflection and for JSON output.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/quarterdeck.binpb"));
}
