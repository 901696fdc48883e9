//! `sessions`, `history`, `queue`: what there is.

use super::{
    arguments::{
        Access, ClientArgs, HistoryArgs, QueueArgs, SessionsArgs, SessionsVerb, ShareArgs,
        UnshareArgs, interrupted,
    },
    failure::Failure,
    output,
    render::{Look, Renderer},
    send, session,
};
use quarterdeck::{
    client::Client,
    proto::{self, Message, SessionFilter, SessionSnapshot, SessionState, Turn, TurnState},
    telemetry::redact::steers,
};
use std::process::ExitCode;
use tonic::Status;

/// Rows that one call asks for.
const PAGE: usize = 500;
/// Turns of a session that may wait for their time.
const SCHEDULED_PAGE: i32 = 64;
/// Characters of a text in a list.
const PREVIEW_CHARS: usize = 60;

pub(crate) async fn sessions(arguments: SessionsArgs) -> Result<ExitCode, Failure> {
    let SessionsArgs {
        command,
        agent,
        labels,
        states,
        prefix,
        limit,
        watch,
        client: client_arguments,
    } = arguments;
    match command {
        None => {}
        Some(SessionsVerb::Share(ShareArgs {
            session,
            principal,
            access,
            client,
        })) => return share(session, &principal, Some(access), &client).await,
        Some(SessionsVerb::Create(arguments)) => return session::create(*arguments).await,
        Some(SessionsVerb::Show(arguments)) => return session::show(arguments).await,
        Some(SessionsVerb::Update(arguments)) => return session::update(*arguments).await,
        Some(SessionsVerb::Fork(arguments)) => return session::fork(arguments).await,
        Some(SessionsVerb::Delete(arguments)) => return send::delete(arguments).await,
        Some(SessionsVerb::Unshare(UnshareArgs {
            session,
            principal,
            client,
        })) => return share(session, &principal, None, &client).await,
    }
    let filter = SessionFilter {
        labels: labels.into_iter().collect(),
        agent,
        states,
        key_prefix: prefix,
    };
    let client = client_arguments.client()?;
    if watch {
        return watch_sessions(&client, filter, &client_arguments).await;
    }
    let mut left = limit;
    let mut page_token = String::new();
    let mut none = true;
    while left > 0 {
        let request = proto::ListSessionsRequest {
            filter: Some(filter.clone()),
            page_size: page_size(left),
            page_token,
        };
        let page = client
            .list_sessions(request)
            .await
            .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
        left -= page.sessions.len().min(left);
        if none && !page.sessions.is_empty() {
            none = false;
            print_names(client_arguments.json)?;
        }
        for session in &page.sessions {
            print_session(session, client_arguments.json)?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if none && !client_arguments.json {
        output::notice("no sessions");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn watch_sessions(
    client: &Client,
    filter: SessionFilter,
    arguments: &ClientArgs,
) -> Result<ExitCode, Failure> {
    let mut snapshots = client.watch_sessions(filter);
    let mut named = false;
    loop {
        let snapshot = tokio::select! {
            snapshot = snapshots.recv() => snapshot,
            _ = tokio::signal::ctrl_c() => return Err(interrupted()),
        };
        match snapshot {
            // An empty key ends the list and is a sign of life after that.
            Some(Ok(session)) if session.session_key.is_empty() => {}
            Some(Ok(session)) => {
                if !std::mem::replace(&mut named, true) {
                    print_names(arguments.json)?;
                }
                print_session(&session, arguments.json)?;
            }
            Some(Err(status)) => return Err(Failure::call(&arguments.addr, &status)),
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Sets what a principal may do with a session; `None` takes it back.
async fn share(
    session_key: String,
    principal: &str,
    access: Option<Access>,
    arguments: &ClientArgs,
) -> Result<ExitCode, Failure> {
    let client = arguments.client()?;
    let failed = |status| Failure::call(&arguments.addr, &status);
    let request = proto::GetSessionRequest {
        session_key: session_key.clone(),
        min_seq: 0,
    };
    let session = client.get_session(request).await.map_err(failed)?.session;
    let session = session.unwrap_or_default();
    let principal = match (principal.contains('/'), session.owner.split_once('/')) {
        (false, Some((tenant, _))) => format!("{tenant}/{principal}"),
        _ => principal.to_owned(),
    };
    let mut shares = session.shares;
    shares.retain(|share| share.principal != principal);
    if let Some(access) = access {
        let access = match access {
            Access::Read => proto::ShareAccess::Read,
            Access::Write => proto::ShareAccess::Write,
        };
        shares.push(proto::SessionShare {
            principal,
            access: access.into(),
        });
    }
    let request = proto::UpdateSessionRequest {
        session_key,
        session: Some(SessionSnapshot {
            shares,
            ..SessionSnapshot::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["shares".into()],
        }),
        ..proto::UpdateSessionRequest::default()
    };
    let response = client.update_session(request).await.map_err(failed)?;
    if let Some(session) = response.session {
        print_session(&session, arguments.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Names of the columns of [`print_session`].
pub(crate) fn print_names(json: bool) -> Result<(), Failure> {
    if json {
        return Ok(());
    }
    let (session, agent, state) = ("SESSION", "AGENT", "STATE");
    output::line(&format!(
        "{session:<24} {agent:<8} {state:<14}       MESSAGES  (NAME) LAST MESSAGE"
    ))
}

pub(crate) fn print_session(session: &SessionSnapshot, json: bool) -> Result<(), Failure> {
    if json {
        return output::json("SessionSnapshot", session);
    }
    let waiting = match session.queue_depth {
        0 => String::new(),
        depth => format!("+{depth}"),
    };
    let name = match session.display_name.as_str() {
        "" => String::new(),
        name => format!("({name}) "),
    };
    output::line(&format!(
        "{:<24} {:<8} {:<14} {:>5} messages  {name}{}",
        session.session_key,
        session.agent,
        format!("{}{waiting}", state_word(session.state())),
        session.message_count,
        preview(&session.last_message_preview),
    ))
}

pub(crate) fn state_word(state: SessionState) -> String {
    output::word(state.as_str_name(), "SESSION_STATE_")
}

pub(crate) async fn history(arguments: HistoryArgs) -> Result<ExitCode, Failure> {
    let HistoryArgs {
        session,
        generation,
        limit,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    let messages = newest_messages(&client, &session, generation, limit)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    let mut renderer = Renderer::new(Look::of_output(true));
    if messages.is_empty() && !client_arguments.json {
        output::notice("no messages");
    }
    for message in &messages {
        if client_arguments.json {
            output::json("Message", message)?;
        } else {
            output::styled(&renderer.finished_message(message))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The newest messages, oldest first.
pub(crate) async fn newest_messages(
    client: &Client,
    session: &str,
    generation: Option<i64>,
    limit: usize,
) -> Result<Vec<Message>, Status> {
    let mut messages: Vec<Message> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = proto::ListMessagesRequest {
            session_key: session.to_owned(),
            generation,
            page_size: page_size(limit - messages.len()),
            page_token,
            min_seq: 0,
        };
        let mut page = client.list_messages(request).await?;
        page.messages.append(&mut messages);
        messages = page.messages;
        page_token = page.next_page_token;
        if page_token.is_empty() || messages.len() >= limit {
            let surplus = messages.len().saturating_sub(limit);
            return Ok(messages.split_off(surplus));
        }
    }
}

pub(crate) async fn queue(arguments: QueueArgs) -> Result<ExitCode, Failure> {
    let QueueArgs {
        session: session_key,
        remove,
        clear,
        update,
        text,
        position,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    let failed = |status| Failure::call(&client_arguments.addr, &status);
    let turns = if let Some(turn_id) = remove {
        let request = proto::RemoveQueuedRequest {
            session_key,
            turn_id,
            ..proto::RemoveQueuedRequest::default()
        };
        let response = client.remove_queued(request).await.map_err(failed)?;
        response.turn.into_iter().collect()
    } else if let Some(turn_id) = update {
        let request = proto::UpdateQueuedRequest {
            session_key,
            turn_id,
            text,
            position,
            ..proto::UpdateQueuedRequest::default()
        };
        let response = client.update_queued(request).await.map_err(failed)?;
        response.turn.into_iter().collect()
    } else if clear {
        let request = proto::ClearQueueRequest {
            session_key,
            ..proto::ClearQueueRequest::default()
        };
        client.clear_queue(request).await.map_err(failed)?.turns
    } else {
        let request = proto::ListQueueRequest {
            session_key: session_key.clone(),
        };
        let mut turns = client.list_queue(request).await.map_err(failed)?.turns;
        let request = proto::ListTurnsRequest {
            session_key,
            states: vec![TurnState::Scheduled.into()],
            page_size: SCHEDULED_PAGE,
            ..proto::ListTurnsRequest::default()
        };
        let mut later = client.list_turns(request).await.map_err(failed)?.turns;
        later.sort_by_key(|turn| turn.not_before.map(|time| (time.seconds, time.nanos)));
        turns.extend(later);
        turns
    };
    if !client_arguments.json {
        if turns.is_empty() {
            output::notice("no turn waits");
        } else {
            output::line(TURN_NAMES)?;
        }
    }
    for turn in &turns {
        if client_arguments.json {
            output::json("Turn", turn)?;
        } else {
            output::line(&turn_line(turn))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Names of the columns of [`turn_line`].
pub(crate) const TURN_NAMES: &str = "TURN                                 STATE     TEXT";

/// How far a turn is.
pub(crate) fn turn_word(turn: &Turn) -> String {
    output::word(turn.state().as_str_name(), "TURN_STATE_")
}

/// A turn in a list.
pub(crate) fn turn_line(turn: &Turn) -> String {
    let until = match (turn.state(), turn.not_before) {
        (TurnState::Scheduled, Some(time)) => format!("{}: ", output::date(Some(time))),
        (_, _) => String::new(),
    };
    format!(
        "{} {:<9} {until}{}",
        turn.turn_id,
        turn_word(turn),
        preview(&turn.text)
    )
}

/// The beginning of a text in one line.
pub(crate) fn preview(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|character| if steers(character) { ' ' } else { character })
        .take(PREVIEW_CHARS + 1)
        .collect();
    if line.chars().count() <= PREVIEW_CHARS {
        return line;
    }
    let kept: String = line.chars().take(PREVIEW_CHARS - 1).collect();
    format!("{kept}…")
}

pub(crate) fn page_size(left: usize) -> i32 {
    i32::try_from(left.min(PAGE)).expect("a page is small")
}
