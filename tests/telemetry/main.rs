//! What the server says of itself: logs that can be followed and hold no credential, audit records of every
//! door, metrics that a strict reader takes, and traces that go from the caller to the agent.

#[path = "../support/mod.rs"]
mod support;

#[path = "../auth/world.rs"]
#[allow(dead_code, reason = "made for the tests of authentication")]
mod callers;

mod audit;
mod audit_file;
mod command;
mod exposition;
mod logs;
mod metrics;
mod redaction;
mod trace;
mod world;
