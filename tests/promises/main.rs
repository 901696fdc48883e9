//! The promises, each test named with its number: what must hold whatever happens to the server, its callers, its
//! readers and its agents. Everything goes through the built binary, real sockets, real files and real `kill -9`.
//!
//! Every test prints its seed and takes another by `SEED=`. `QUARTERDECK_TEST_DEEP=1` runs the deep figures. After every
//! story the whole store is held against its rules (R4, R18).
//!
//! Each checker was seen to fail once, on a bug planted for it: an answer before its commit (R1), a crashed turn run
//! again unasked (R2), a repeat that is not looked up (R3), a cursor that skips one event (R5), last in first out (R6), an
//! Abort that does not wait (R7), a Reset that keeps the queue (R8), a publisher that
//! waits where there are many readers (R10), a recovery that stops after its first commit (R12), streams cut without a
//! reason at a drain (R17), a crash without checkpoints, and a restore that keeps its log ids.

#[path = "../clients/proxy.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod proxy;
#[path = "../support/mod.rs"]
mod support;
#[path = "../worker_support/mod.rs"]
mod worker_support;

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
mod workers;
mod world;
