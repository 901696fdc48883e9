//! The trust boundary as a caller meets it, through a real server process that asks for credentials.

#[path = "../support/mod.rs"]
mod support;

mod auto;
#[path = "../certificates/mod.rs"]
mod certificates;
mod choices;
mod connections;
mod files;
mod first_start;
mod keys;
mod limits;
mod lineage;
mod ownership;
mod pages;
mod places;
mod primary;
mod questions;
mod schedules;
mod scopes;
mod settings;
mod storage;
mod strangers;
mod streams;
mod tenants;
mod tokens;
mod told;
mod transit;
mod waits;
mod world;
