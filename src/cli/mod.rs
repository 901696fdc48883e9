//! The command line: parse, dispatch, and one line of failure with its exit code.

mod admin;
mod arguments;
mod chat;
mod failure;
mod follow;
mod key_file;
mod keys;
mod local;
mod logs;
mod mcp;
mod memory;
mod output;
mod render;
mod send;
mod serve;
mod sessions;

use arguments::{CommandLine, KeysVerb, Verb};
use clap::{Parser, error::ErrorKind};
use failure::{Failure, USAGE};
use std::{env, ffi::OsString, process::ExitCode};

/// Runs the process's command.
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    // Not for people: what follows belongs to an agent's command line and is not parsed here.
    if let Some(code) = quarterdeck::agent::keeper::dispatch(&arguments) {
        return code;
    }
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            // Nothing better can be done where even that can't be written.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
        }
    };
    match run(line.command) {
        Ok(code) => code,
        Err(Failure { message, code }) => {
            if !message.is_empty() {
                eprintln!("quarterdeck: {message}");
            }
            ExitCode::from(code)
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Serve(arguments) => serve::serve(arguments),
        Verb::CheckConfig(arguments) => local::check_config(arguments),
        Verb::PrintConfig(arguments) => local::print_config(arguments),
        Verb::Backup(arguments) => local::backup(arguments),
        Verb::Restore(arguments) => local::restore(arguments),
        Verb::Chat(arguments) => wait(chat::chat(arguments)),
        Verb::Send(arguments) => wait(send::send(*arguments)),
        Verb::Watch(arguments) => wait(follow::watch(arguments)),
        Verb::Steer(arguments) => wait(send::steer(arguments)),
        Verb::Abort(arguments) => wait(send::abort(arguments)),
        Verb::Reset(arguments) => wait(send::reset(arguments)),
        Verb::Sessions(arguments) => wait(sessions::sessions(arguments)),
        Verb::History(arguments) => wait(sessions::history(arguments)),
        Verb::Queue(arguments) => wait(sessions::queue(arguments)),
        Verb::Logs(arguments) => wait(logs::logs(arguments)),
        Verb::Mcp(arguments) => wait(mcp::mcp(arguments)),
        Verb::Whoami(arguments) => wait(keys::whoami(arguments)),
        Verb::Keys(arguments) => match arguments.command {
            KeysVerb::Create(arguments) => wait(keys::create(arguments)),
            KeysVerb::List(arguments) => wait(keys::list(arguments)),
            KeysVerb::Revoke(arguments) => wait(keys::revoke(arguments)),
            KeysVerb::ResetAdmin(arguments) => keys::reset_admin(arguments),
        },
        Verb::Memory(arguments) => wait(memory::memory(arguments)),
        Verb::Server(arguments) => wait(admin::server(arguments)),
        Verb::Config(arguments) => wait(admin::config(arguments)),
        Verb::Channels(arguments) => wait(admin::channels(arguments)),
        Verb::Reload(arguments) => wait(admin::reload(arguments)),
    }
}

/// Runs a client command, until it is done or interrupted from the keyboard.
fn wait(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(command);
    // A thread that waits for the keyboard must not hold the process.
    runtime.shutdown_background();
    result
}
