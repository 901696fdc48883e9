//! The `quarterdeck` binary.
#![forbid(unsafe_code)]
// One place writes to the terminal, and it lets nothing steer it: `cli::output`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod cli;

use std::process::ExitCode;

/// In the place of the system's, for SQLite too: it gives back what a storm took, see `serve`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
