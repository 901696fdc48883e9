//! How memory reaches agents: beside the prompt, and as tools.

#[path = "../support/mod.rs"]
mod support;
#[path = "../auth/world.rs"]
#[allow(dead_code, reason = "made for the tests of authentication")]
mod world;

mod beside;
mod mcp;
mod strangers;
