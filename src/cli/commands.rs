//! `commands`, `command`, `compact`: what a session is told by a name.

use super::{
    arguments::{ClientArgs, CommandArgs, CommandsArgs, CompactArgs, interrupted},
    failure::{Failure, code_of_turn},
    output,
    render::how_it_ended,
};
use quarterdeck::{
    client::Client,
    proto::{self, Command, CommandSource, Turn, execute_command_response::Result as Done},
};
use std::process::ExitCode;

/// Lists what a session can be told.
pub(crate) async fn commands(arguments: CommandsArgs) -> Result<ExitCode, Failure> {
    let CommandsArgs {
        session,
        client: arguments,
    } = arguments;
    let request = proto::ListCommandsRequest {
        session_key: session,
    };
    let listed = arguments.client()?.list_commands(request).await;
    let listed = listed.map_err(|status| Failure::call(&arguments.addr, &status))?;
    if arguments.json {
        output::json("ListCommandsResponse", &listed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |command: &Command| {
        let source = match command.source() {
            CommandSource::Gateway => "gateway",
            CommandSource::Agent => "agent",
            CommandSource::Unspecified => "",
        };
        [
            command.name.clone(),
            source.to_owned(),
            command.input_hint.clone(),
            command.description.clone(),
        ]
    };
    let rows = listed.commands.iter().map(row).collect();
    output::list(["COMMAND", "OF", "TAKES", "DOES"], rows, "no commands")?;
    if !listed.complete {
        output::notice("the agent tells its own commands once it has started");
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command, and waits for the turn that it may become.
pub(crate) async fn command(arguments: CommandArgs) -> Result<ExitCode, Failure> {
    let CommandArgs {
        session,
        name,
        arguments: words,
        detach,
        client: arguments,
    } = arguments;
    let client = arguments.client()?;
    let request = proto::ExecuteCommandRequest {
        session_key: session.clone(),
        name,
        arguments: words.join(" "),
        ..Default::default()
    };
    let done = client.execute_command(request).await;
    let done = done.map_err(|status| Failure::call(&arguments.addr, &status))?;
    match &done.result {
        Some(Done::Turn(turn)) if !detach => {
            let turn_id = turn.turn_id.clone();
            follow(&client, session, turn_id, &arguments).await
        }
        _ if arguments.json => {
            output::json("ExecuteCommandResponse", &done)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Done::Turn(turn)) => {
            output::line(&format!("queued {}", turn.turn_id))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Done::ResultJson(result)) => {
            output::line(result)?;
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Lets the agent shorten its conversation, and waits until it has.
pub(crate) async fn compact(arguments: CompactArgs) -> Result<ExitCode, Failure> {
    let CompactArgs {
        session,
        instructions,
        client: arguments,
    } = arguments;
    let client = arguments.client()?;
    let request = proto::CompactSessionRequest {
        session_key: session.clone(),
        instructions: instructions.join(" "),
        ..Default::default()
    };
    let accepted = client.compact_session(request).await;
    let accepted = accepted.map_err(|status| Failure::call(&arguments.addr, &status))?;
    let turn = accepted.turn.unwrap_or_default();
    follow(&client, session, turn.turn_id, &arguments).await
}

/// Waits for the end of a turn and prints what came of it.
async fn follow(
    client: &Client,
    session_key: String,
    turn_id: String,
    arguments: &ClientArgs,
) -> Result<ExitCode, Failure> {
    let request = proto::AwaitTurnRequest {
        session_key,
        turn_id,
        ..Default::default()
    };
    let ended = tokio::select! {
        ended = client.await_turn(request) => ended,
        _ = tokio::signal::ctrl_c() => return Err(interrupted()),
    };
    let ended = ended.map_err(|status| Failure::call(&arguments.addr, &status))?;
    let turn = ended.turn.unwrap_or_default();
    if arguments.json {
        output::json("Turn", &turn)?;
    } else {
        print(&turn)?;
    }
    Ok(ExitCode::from(code_of_turn(&turn)))
}

fn print(turn: &Turn) -> Result<(), Failure> {
    if !turn.response_text.is_empty() {
        output::line(&turn.response_text)?;
    }
    match how_it_ended(turn) {
        Some(how) => output::notice(&how),
        None if turn.response_text.is_empty() => output::notice("done"),
        None => {}
    }
    Ok(())
}
