//! What an agent can reach, on each rung of isolation: a process that is started the way agents are reaches for it.
//!
//! `harness` starts such processes on each rung, as the user that runs the tests and, where that is root, as an ordinary
//! one too. Linux only.
#![cfg(target_os = "linux")]

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod cost;
mod escapes;
mod harness;
mod probe;
mod server;
mod steps;
mod tools;
#[allow(dead_code, reason = "others use the rest")]
#[path = "../auth/world.rs"]
mod world;
