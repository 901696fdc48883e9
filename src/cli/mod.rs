//! The command line: parse, dispatch, and one line of failure with its exit code.

mod acp;
mod admin;
mod arguments;
mod audit;
mod chat;
mod choices;
mod commands;
mod contexts;
mod failure;
mod files;
mod follow;
mod key_file;
mod keys;
mod local;
mod logs;
mod mcp;
mod mcp_config;
mod memory;
mod output;
mod questions;
mod render;
mod routes;
mod schedules;
mod send;
mod serve;
mod session;
mod sessions;
mod supervisor;
mod top;
mod turns;
mod usage;
mod webhooks;
mod workers;

use arguments::{AuditVerb, CommandLine, KeysVerb, TurnsVerb, Verb};
use clap::{
    ArgMatches, CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue},
};
use failure::{Failure, USAGE};
use std::{env, ffi::OsString, process::ExitCode};

/// Runs the process's command.
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    // Not for people: what follows belongs to an agent's command line and is not parsed here.
    if let Some(code) = quarterdeck::agent::keeper::dispatch(&arguments) {
        return code;
    }
    // As far as it can be told of a line that is wrong.
    let wants_json = arguments.iter().any(|it| it == "--json");
    let parsed = CommandLine::command().try_get_matches_from(arguments);
    let line = parsed.and_then(|matches| {
        if asks_for_json(&matches) {
            output::speak_json();
        }
        CommandLine::from_arg_matches(&matches)
    });
    let line = match line {
        Ok(line) => line,
        Err(error) if wants_json && error.use_stderr() => {
            output::speak_json();
            output::failure(&Failure::new(USAGE, error.to_string()));
            return ExitCode::from(USAGE);
        }
        Err(mut error) => {
            if !error.use_stderr() {
                // Help, or the version. Nothing better can be done where even that can't be written.
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            suggest_nothing_destructive(&mut error);
            output::usage(&error.to_string());
            return ExitCode::from(USAGE);
        }
    };
    match run(line.command) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure);
            ExitCode::from(failure.code)
        }
    }
}

/// Takes commands that destroy something out of what is suggested for an unknown one, unless it begins like them.
fn suggest_nothing_destructive(error: &mut clap::Error) {
    const DESTRUCTIVE: [&str; 2] = ["reset", "delete"];
    let typed = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(typed)) => typed.clone(),
        Some(_) | None => return,
    };
    let suggested = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(names)) => names.clone(),
        Some(ContextValue::String(name)) => vec![name.clone()],
        Some(_) | None => return,
    };
    let begins_alike = |name: &str| name.get(..3) == typed.get(..3);
    let kept: Vec<String> = suggested
        .into_iter()
        .filter(|name| !DESTRUCTIVE.contains(&name.as_str()) || begins_alike(name))
        .collect();
    error.remove(ContextKind::SuggestedSubcommand);
    if !kept.is_empty() {
        error.insert(
            ContextKind::SuggestedSubcommand,
            ContextValue::Strings(kept),
        );
    }
}

/// Whether the command, or the one below it, was given `--json`.
fn asks_for_json(matches: &ArgMatches) -> bool {
    let here = matches.try_get_one::<bool>("json");
    let below = matches.subcommand();
    matches!(here, Ok(Some(true))) || below.is_some_and(|(_, below)| asks_for_json(below))
}

fn run(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Serve(arguments) => serve::serve(arguments),
        Verb::CheckConfig(arguments) => local::check_config(arguments),
        Verb::PrintConfig(arguments) => local::print_config(arguments),
        Verb::Check(arguments) => local::check(arguments),
        Verb::Backup(arguments) => local::backup(arguments),
        Verb::Restore(arguments) => local::restore(arguments),
        Verb::Chat(arguments) => wait(chat::chat(arguments)),
        Verb::Send(arguments) => wait(send::send(*arguments)),
        Verb::Watch(arguments) => wait(follow::watch(arguments)),
        Verb::Top(arguments) => wait(top::top(arguments)),
        Verb::Steer(arguments) => wait(send::steer(arguments)),
        Verb::Abort(arguments) => wait(send::abort(arguments)),
        Verb::Reset(arguments) => wait(send::reset(arguments)),
        Verb::Delete(arguments) => wait(send::delete(arguments)),
        Verb::Sessions(arguments) => wait(sessions::sessions(arguments)),
        Verb::Turns(arguments) => match arguments.command {
            TurnsVerb::List(arguments) => wait(turns::list(arguments)),
            TurnsVerb::Show(arguments) => wait(turns::show(arguments)),
            TurnsVerb::Await(arguments) => wait(turns::await_end(arguments)),
        },
        Verb::History(arguments) => wait(sessions::history(arguments)),
        Verb::Queue(arguments) => wait(sessions::queue(arguments)),
        Verb::Schedules(arguments) => wait(schedules::schedules(arguments)),
        Verb::Webhooks(arguments) => wait(webhooks::webhooks(arguments)),
        Verb::Commands(arguments) => wait(commands::commands(arguments)),
        Verb::Command(arguments) => wait(commands::command(arguments)),
        Verb::Compact(arguments) => wait(commands::compact(arguments)),
        Verb::Questions(arguments) => wait(questions::questions(arguments)),
        Verb::Models(arguments) => wait(choices::models(arguments)),
        Verb::Thinking(arguments) => wait(choices::thinking(arguments)),
        Verb::Options(arguments) => wait(choices::options(arguments)),
        Verb::Logs(arguments) => wait(logs::logs(arguments)),
        Verb::Acp(arguments) => wait(acp::acp(*arguments)),
        Verb::Mcp(arguments) => wait(mcp::mcp(arguments)),
        Verb::Login(arguments) => wait(contexts::login(arguments)),
        Verb::Contexts(arguments) => contexts::contexts(arguments),
        Verb::Whoami(arguments) => wait(keys::whoami(arguments)),
        Verb::Keys(arguments) => match arguments.command {
            KeysVerb::Create(arguments) => wait(keys::create(arguments)),
            KeysVerb::List(arguments) => wait(keys::list(arguments)),
            KeysVerb::Revoke(arguments) => wait(keys::revoke(arguments)),
            KeysVerb::ResetAdmin(arguments) => keys::reset_admin(arguments),
        },
        Verb::Worker(arguments) => workers::worker(*arguments),
        Verb::Workers(arguments) => wait(workers::workers(arguments)),
        Verb::Usage(arguments) => wait(usage::usage(arguments)),
        Verb::Budgets(arguments) => wait(usage::budgets(arguments)),
        Verb::Routes(arguments) => wait(routes::routes(arguments)),
        Verb::Audit(arguments) => match arguments.command {
            AuditVerb::Verify(arguments) => audit::verify(arguments),
        },
        Verb::Memory(arguments) => wait(memory::memory(arguments)),
        Verb::Server(arguments) => wait(admin::server(arguments)),
        Verb::Health(arguments) => wait(admin::health(arguments)),
        Verb::Completions(arguments) => local::completions(arguments),
        Verb::Files(arguments) => wait(files::files(arguments)),
        Verb::Artifacts(arguments) => wait(files::artifacts(arguments)),
        Verb::Agents(arguments) => wait(admin::agents(arguments)),
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
