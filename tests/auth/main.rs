//! The trust boundary as a caller meets it, through a real server process that asks for credentials.

#[path = "../support/mod.rs"]
mod support;

mod first_start;
mod keys;
mod ownership;
mod scopes;
mod streams;
mod world;
