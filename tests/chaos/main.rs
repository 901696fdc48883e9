//! A bad day: what a disk, a clock, a file system, a hasty operator and a noisy child may do to the server. Everything
//! goes through the built binary, real sockets, real files and real `kill -9`.
//!
//! Every test prints its seed and takes another by `SEED=`. `QUARTERDECK_TEST_DEEP=1` runs the deep figures. After every
//! story the whole store is held against its rules (R4, R18).

#[path = "../support/mod.rs"]
mod support;
#[path = "../promises/world.rs"]
#[allow(dead_code, reason = "these stories need few of its helpers")]
mod world;

mod bad_disk;
mod clock_steps;
mod long_jobs;
mod lost_files;
mod memory;
mod noise;
mod short;
mod small_disk;
mod tools;
