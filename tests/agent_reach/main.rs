//! R19: what an agent can reach of the gateway besides its isolation.

#[path = "../support/mod.rs"]
mod support;
#[path = "../auth/world.rs"]
#[allow(dead_code, reason = "made for the tests of authentication")]
mod world;

mod acp;
mod credential;
mod network;
mod own_process;
mod real_pi;
mod users;
