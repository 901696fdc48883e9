//! The `quarterdeck` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_some_and(|first| first == quarterdeck::agent::keeper::SUBCOMMAND)
    {
        return quarterdeck::agent::keeper::main(arguments);
    }
    eprintln!("quarterdeck: not built yet; the contract stands in proto/quarterdeck/v1");
    ExitCode::from(69)
}
