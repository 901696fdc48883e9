//! The `quarterdeck` binary.
#![forbid(unsafe_code)]
// One place writes to the terminal, and it lets nothing steer it: `cli::output`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
