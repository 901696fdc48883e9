//! The promises, each test named with its number: what must hold whatever happens to the server, its callers, its
//! readers and its agents. Everything goes through the built binary, real sockets, real files and real `kill -9`.
//!
//! Every test prints its seed and takes another by `SEED=`. `QUARTERDECK_TEST_DEEP=1` runs the deep figures. After every
//! story the whole store is held against its rules (R4, R18).

#[path = "../support/mod.rs"]
mod support;

mod abort;
mod backup;
mod crash;
mod crowd;
mod demo;
mod drain;
mod readers;
mod recovery;
mod reset;
mod retries;
mod verify;
mod world;
