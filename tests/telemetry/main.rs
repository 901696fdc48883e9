//! What the server says of itself: logs that can be followed and hold no credential, one audit record for each mutating
//! call, metrics that a strict reader takes, and traces that go from the caller to the agent.

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod command;
mod exposition;
mod logs;
mod metrics;
mod redaction;
mod trace;
mod world;
