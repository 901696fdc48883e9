//! `turns`: lists turns, shows one, waits for one.

use super::{
    arguments::{AwaitTurnArgs, ListTurnsArgs, ShowTurnArgs, interrupted},
    failure::{Failure, TEMPORARY, code_of_turn},
    output,
    render::how_it_ended,
    send::duration,
    session::used,
    sessions::{page_size, preview, turn_word},
};
use quarterdeck::{
    client::Client,
    proto::{self, Turn},
};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use tonic::{Code, Status};

/// How long one call waits; the next goes on.
const WAIT_A_CALL: Duration = Duration::from_secs(60);

pub(crate) async fn list(arguments: ListTurnsArgs) -> Result<ExitCode, Failure> {
    let ListTurnsArgs {
        session,
        states,
        limit,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    let one_session = session.is_some();
    let session_key = session.unwrap_or_default();
    let found = read(&client, &session_key, &states, limit).await;
    let found = found.map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        for turn in &found {
            output::json("Turn", turn)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows = found.into_iter().map(|turn| {
        [
            if one_session {
                String::new()
            } else {
                turn.session_key.clone()
            },
            turn.turn_id.clone(),
            turn_word(&turn),
            output::date(turn.create_time),
            preview(&turn.text),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if one_session {
        // Each row would say the same.
        let rows = rows
            .into_iter()
            .map(|[_, id, state, made, text]| [id, state, made, text]);
        output::list(
            ["TURN", "STATE", "MADE", "TEXT"],
            rows.collect(),
            "no turns",
        )?;
    } else {
        output::list(
            ["SESSION", "TURN", "STATE", "MADE", "TEXT"],
            rows,
            "no turns",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn show(arguments: ShowTurnArgs) -> Result<ExitCode, Failure> {
    let ShowTurnArgs {
        session,
        turn,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    let request = proto::GetTurnRequest {
        session_key: session,
        turn_id: turn,
    };
    let found = client.get_turn(request).await;
    let found = found.map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    let turn = found.turn.unwrap_or_default();
    if client_arguments.json {
        output::json("Turn", &turn)?;
    } else {
        output::write(&output::table(&rows(&turn)))?;
        if !turn.response_text.is_empty() {
            output::line(&format!("\n{}", turn.response_text))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn await_end(arguments: AwaitTurnArgs) -> Result<ExitCode, Failure> {
    let AwaitTurnArgs {
        session,
        turn,
        wait,
        or_question,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    let until = wait.map(|wait| Instant::now() + wait);
    let (turn, questions) = loop {
        let left = until.map_or(WAIT_A_CALL, |it| {
            it.saturating_duration_since(Instant::now())
        });
        let request = proto::AwaitTurnRequest {
            session_key: session.clone(),
            turn_id: turn.clone(),
            wait: Some(duration(left.min(WAIT_A_CALL))?),
            or_question,
        };
        let answer = tokio::select! {
            answer = client.await_turn(request) => answer,
            _ = tokio::signal::ctrl_c() => return Err(interrupted()),
        };
        let answer = match answer {
            Err(status) if status.code() == Code::DeadlineExceeded => continue,
            answer => answer.map_err(|status| Failure::call(&client_arguments.addr, &status))?,
        };
        let turn = answer.turn.unwrap_or_default();
        let over = until.is_some_and(|it| it <= Instant::now());
        if is_over(&turn) || !answer.questions.is_empty() || over {
            break (turn, answer.questions);
        }
    };
    if client_arguments.json {
        output::json("Turn", &turn)?;
    } else if is_over(&turn) && !turn.response_text.is_empty() {
        output::line(&turn.response_text)?;
    }
    if let Some(question) = questions.first() {
        output::notice(&format!(
            "its agent asks: {}; answer with `quarterdeck questions answer {} {} …`",
            question.title, question.session_key, question.question_id
        ));
        return Ok(ExitCode::from(TEMPORARY));
    }
    if !client_arguments.json
        && let Some(how) = how_it_ended(&turn)
    {
        output::notice(&format!("the turn {how}"));
    }
    Ok(ExitCode::from(code_of_turn(&turn)))
}

async fn read(
    client: &Client,
    session_key: &str,
    states: &[i32],
    limit: usize,
) -> Result<Vec<Turn>, Status> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    while found.len() < limit {
        let request = proto::ListTurnsRequest {
            session_key: session_key.to_owned(),
            states: states.to_vec(),
            page_size: page_size(limit - found.len()),
            page_token,
        };
        let page = client.list_turns(request).await?;
        found.extend(page.turns);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn is_over(turn: &Turn) -> bool {
    turn.end_time.is_some()
}

/// What is known of a turn besides its answer; what says nothing is left out.
fn rows(turn: &Turn) -> Vec<[String; 2]> {
    let times = [
        ("made", turn.create_time),
        ("began", turn.start_time),
        ("ended", turn.end_time),
    ];
    let times = times.map(|(name, time)| {
        (
            name,
            time.map_or_else(String::new, |it| output::date(Some(it))),
        )
    });
    let attempt = if turn.attempt > 1 {
        turn.attempt.to_string()
    } else {
        String::new()
    };
    let metadata = turn.metadata.iter().map(|(key, it)| format!("{key}={it}"));
    let metadata = metadata.collect::<Vec<_>>().join(" ");
    let attachments = turn.attachments.iter().map(|it| it.name.as_str());
    let attachments = attachments.collect::<Vec<_>>().join(", ");
    let end = how_it_ended(turn).filter(|_| is_over(turn));
    let mut rows = vec![
        ("turn", turn.turn_id.clone()),
        ("session", turn.session_key.clone()),
        ("state", turn_word(turn)),
        ("how it ended", end.unwrap_or_default()),
        ("attempt", attempt),
        ("agent", turn.agent.clone()),
        ("model", turn.model.clone()),
        ("thinking level", turn.thinking_level.clone()),
        (
            "why",
            turn.routing
                .as_ref()
                .map(|it| it.reason.clone())
                .unwrap_or_default(),
        ),
        ("sender", turn.principal.clone()),
        ("source", turn.source.clone()),
        ("metadata", metadata),
        ("attachments", attachments),
        ("used", turn.usage.map(used).unwrap_or_default()),
    ];
    rows.extend(times);
    rows.push(("prompt", turn.text.clone()));
    let told = rows.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| [name.to_owned(), value]).collect()
}
