//! The contract as a caller sees it, rule by rule, through a real server process and the `echo` agent.

#![allow(
    clippy::needless_update,
    reason = "the macros name all fields of some requests"
)]

#[path = "../support/mod.rs"]
mod support;

mod abort;
mod admin;
mod admission;
mod agents;
mod bad_input;
mod choices;
mod commands;
mod drain;
mod echo;
mod events;
mod kinds;
mod lists;
mod many;
mod many_apart;
mod memory;
mod messages;
mod output;
mod question_races;
mod questions;
mod queue;
mod races;
mod recover;
mod requests;
mod reset;
mod routing;
mod run;
mod server;
mod steer;
mod subagents;
mod subscribe;
mod times;
mod turns;
mod world;
