//! `send`, `steer`, `abort`, `reset`: one change each.

use super::{
    arguments::{
        AbortArgs, Absence, Busy, ClientArgs, DeleteArgs, ResetArgs, SendArgs, SteerArgs,
        interrupted,
    },
    failure::{DATA, Failure, NO_INPUT, SOFTWARE, code_of_turn},
    follow::View,
    output,
    render::how_it_ended,
};
use quarterdeck::{
    client::{Client, Update},
    domain::{limits, schema::SCHEMA_MAX_BYTES},
    proto::{
        self, AdmissionMode, Attachment, EnqueueRequest, EnqueueResponse, OnBusy, OnInterrupt,
        RunRequest, Turn, gateway_event::Kind,
    },
};
use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::Path,
    process::ExitCode,
    time::{Duration, SystemTime},
};
use uuid::Uuid;

/// Media types by a file's ending; what is not known goes as bytes.
const MEDIA_TYPES: [(&str, &str); 9] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("pdf", "application/pdf"),
    ("json", "application/json"),
    ("md", "text/markdown"),
    ("txt", "text/plain"),
];

pub(crate) async fn send(arguments: SendArgs) -> Result<ExitCode, Failure> {
    let SendArgs {
        session,
        text,
        detach,
        on_busy,
        on_interrupt,
        turn_timeout,
        queue_ttl,
        at,
        after,
        cancel_on_disconnect,
        attachments,
        output_schema,
        source,
        metadata,
        request_id,
        new,
        client: client_arguments,
    } = arguments;
    let attachments = attachments
        .iter()
        .map(|path| attachment(path))
        .collect::<Result<Vec<_>, _>>()?;
    let enqueue = EnqueueRequest {
        memory_namespaces: Vec::new(),
        session_key: session,
        text: given_text(text, !attachments.is_empty())?,
        attachments,
        source,
        metadata: metadata.into_iter().collect(),
        // Made here, so that a person can repeat it.
        request_id: if request_id.is_empty() {
            Uuid::new_v4().to_string()
        } else {
            request_id
        },
        on_busy: OnBusy::from(on_busy).into(),
        on_interrupt: on_interrupt.map_or(0, |choice| OnInterrupt::from(choice).into()),
        turn_timeout: turn_timeout.map(duration).transpose()?,
        queue_ttl: queue_ttl.map(duration).transpose()?,
        expected_generation: None,
        agent: new.agent,
        model: new.model,
        thinking_level: new.thinking_level,
        labels: new.labels.into_iter().collect(),
        cwd: new.cwd,
        display_name: new.display_name,
        not_before: match (at, after) {
            (Some(at), _) => Some(at),
            (None, Some(after)) => Some(prost_types::Timestamp::from(SystemTime::now() + after)),
            (None, None) => None,
        },
        output_schema: output_schema
            .as_deref()
            .map(schema)
            .transpose()?
            .unwrap_or_default(),
        client_tools: Vec::new(),
        // `sessions create --no-approver` says it.
        no_approver: 0,
    };
    let is_later = enqueue.not_before.is_some();
    let client = client_arguments.client()?;
    let (address, json) = (client_arguments.addr.as_str(), client_arguments.json);
    // Run refuses to steer: there is no single turn to show then.
    // Nobody waits for hours before a terminal.
    if detach || is_later || on_busy == Busy::Steer {
        let response = client
            .enqueue(enqueue)
            .await
            .map_err(|status| Failure::call(address, &status))?;
        return admitted(&response, json);
    }
    let run = RunRequest {
        enqueue: Some(enqueue),
        after_seq: 0,
        cancel_on_disconnect,
        subagents: false,
    };
    follow_turn(&client, run, &client_arguments).await
}

async fn follow_turn(
    client: &Client,
    run: RunRequest,
    arguments: &ClientArgs,
) -> Result<ExitCode, Failure> {
    let (address, json) = (arguments.addr.as_str(), arguments.json);
    let by_schema = run
        .enqueue
        .as_ref()
        .is_some_and(|it| !it.output_schema.is_empty());
    let mut sent = Sent::new(&run);
    let mut updates = client.run(run);
    let mut view = View::new(json, false);
    let mut absence = Absence::new(Some(arguments.patience()));
    let mut ended = None;
    loop {
        let update = tokio::select! {
            update = updates.recv() => update,
            away = absence.over() => {
                let mut failure = Failure::away(address, away);
                failure.message = format!("{}: {}", failure.message, sent.what_became());
                return Err(failure);
            }
            _ = tokio::signal::ctrl_c() => {
                output::notice(&sent.on_leaving());
                return Err(interrupted());
            }
        };
        if let Some(Ok(update)) = &update {
            absence.is(matches!(update, Update::Cut(_)));
        }
        match update {
            Some(Ok(update)) => {
                if let Update::Event(event) = &update {
                    match &event.kind {
                        Some(Kind::TurnQueued(queued)) => {
                            let turn = turn_id(queued.turn.as_ref());
                            view.renderer.own_turn(turn);
                            sent.accepted = Some(turn.to_owned());
                        }
                        Some(Kind::TurnEnded(turn)) => ended = turn.turn.clone(),
                        _ => {}
                    }
                }
                // The output alone is what a program reads.
                if json || !by_schema {
                    view.show(&update)?;
                }
            }
            Some(Err(status)) => {
                let mut failure = Failure::call(address, &status);
                if sent.accepted.is_some() {
                    failure.message = format!("{}; {}", failure.message, sent.what_became());
                }
                return Err(failure);
            }
            None => break,
        }
    }
    let turn = ended.ok_or_else(|| Failure::new(SOFTWARE, "the stream ended before its turn"))?;
    if by_schema && !json && !turn.output_json.is_empty() {
        output::foreign_json(&turn.output_json)?;
    }
    if let Some(how) = how_it_ended(&turn)
        && !json
        && (by_schema || !io::stdout().is_terminal())
    {
        output::notice(&format!("the turn {how}"));
    }
    Ok(ExitCode::from(code_of_turn(&turn)))
}

/// What is known of a prompt that was sent.
struct Sent {
    session: String,
    request_id: String,
    /// The turn, once the server has told that it took it.
    accepted: Option<String>,
}

// === impl Sent ===

impl Sent {
    fn new(run: &RunRequest) -> Self {
        let enqueue = run.enqueue.clone().unwrap_or_default();
        Self {
            session: enqueue.session_key,
            request_id: enqueue.request_id,
            accepted: None,
        }
    }

    /// What became of it, where nobody answers any more.
    fn what_became(&self) -> String {
        let Self {
            session,
            request_id,
            accepted,
        } = self;
        match accepted {
            Some(turn) => format!(
                "turn {turn} was accepted and is kept; `quarterdeck history {session}` shows what became of it"
            ),
            None => format!(
                "it is not known whether the prompt was accepted; the same command with --request-id {request_id} never \
                 runs it twice"
            ),
        }
    }

    fn on_leaving(&self) -> String {
        let session = &self.session;
        match &self.accepted {
            Some(_) => {
                format!("the turn goes on; `quarterdeck abort {session}` stops it")
            }
            None => self.what_became(),
        }
    }
}

fn admitted(response: &EnqueueResponse, json: bool) -> Result<ExitCode, Failure> {
    if json {
        output::json("EnqueueResponse", response)?;
    } else {
        let turn_id = turn_id(response.turn.as_ref());
        match response.mode() {
            AdmissionMode::Steered => output::line(&format!("steers {turn_id}"))?,
            AdmissionMode::Queued | AdmissionMode::Unspecified => output::line(turn_id)?,
        }
        let turn = response.turn.as_ref();
        if let Some(time) = turn.and_then(|turn| turn.not_before) {
            output::notice(&format!(
                "it enters the queue at {}",
                output::date(Some(time))
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn steer(arguments: SteerArgs) -> Result<ExitCode, Failure> {
    let SteerArgs {
        session,
        text,
        turn_id: expected_turn_id,
        client: client_arguments,
    } = arguments;
    let request = proto::SteerRequest {
        session_key: session,
        text: given_text(text, false)?,
        expected_turn_id,
        ..proto::SteerRequest::default()
    };
    let response = client_arguments
        .client()?
        .steer(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("SteerResponse", &response)?;
    } else {
        output::line(&steered(&response))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of a steer, for people.
pub(crate) fn steered(response: &proto::SteerResponse) -> String {
    let turn_id = turn_id(response.turn.as_ref());
    match response.mode() {
        AdmissionMode::Steered => format!("steers {turn_id}"),
        AdmissionMode::Queued | AdmissionMode::Unspecified => {
            format!("no turn was running; it is turn {turn_id}")
        }
    }
}

pub(crate) async fn abort(arguments: AbortArgs) -> Result<ExitCode, Failure> {
    let AbortArgs {
        session,
        turn_id,
        clear_queue,
        kill,
        grace,
        client: client_arguments,
    } = arguments;
    let mode = if kill {
        proto::AbortMode::Kill
    } else {
        proto::AbortMode::Cancel
    };
    let request = proto::AbortRequest {
        session_key: session,
        turn_id,
        clear_queue,
        mode: mode.into(),
        grace: grace.map(duration).transpose()?,
        ..proto::AbortRequest::default()
    };
    let response = client_arguments
        .client()?
        .abort(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("AbortResponse", &response)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = match (&response.turn, response.aborted) {
        (None, _) => "no turn was running".to_owned(),
        (Some(turn), true) => format!("stopped {}", turn.turn_id),
        (Some(turn), false) => format!(
            "{} was not stopped: {}",
            turn.turn_id,
            how_it_ended(turn).unwrap_or_else(|| "it had ended by itself".into())
        ),
    };
    output::line(&text)?;
    if !response.cleared_turn_ids.is_empty() {
        let cleared = response.cleared_turn_ids.len();
        output::line(&format!("took {cleared} waiting turns from the queue"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn reset(arguments: ResetArgs) -> Result<ExitCode, Failure> {
    let ResetArgs {
        session,
        client: client_arguments,
    } = arguments;
    let request = proto::ResetRequest {
        session_key: session,
        ..proto::ResetRequest::default()
    };
    let response = client_arguments
        .client()?
        .reset(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("ResetResponse", &response)?;
    } else {
        let generation = response
            .session
            .as_ref()
            .map_or(0, |session| session.generation);
        output::line(&format!("a fresh conversation: generation {generation}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn delete(arguments: DeleteArgs) -> Result<ExitCode, Failure> {
    let DeleteArgs {
        session,
        client: client_arguments,
    } = arguments;
    let request = proto::DeleteSessionRequest {
        session_key: session.clone(),
        ..proto::DeleteSessionRequest::default()
    };
    let response = client_arguments
        .client()?
        .delete_session(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("DeleteSessionResponse", &response)?;
    } else {
        output::line(&format!("deleted {session}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn turn_id(turn: Option<&Turn>) -> &str {
    turn.map_or("", |turn| &turn.turn_id)
}

pub(crate) fn duration(duration: Duration) -> Result<prost_types::Duration, Failure> {
    prost_types::Duration::try_from(duration)
        .map_err(|_| Failure::new(DATA, "that duration is longer than any clock"))
}

/// The words of the command line, or standard input without its last line break.
pub(crate) fn given_text(words: Vec<String>, may_be_empty: bool) -> Result<String, Failure> {
    if !words.is_empty() && words != ["-"] {
        return Ok(words.join(" "));
    }
    if words.is_empty() && may_be_empty {
        return Ok(String::new());
    }
    if io::stdin().is_terminal() {
        output::notice("reading the text from the keyboard; end it with Ctrl-D");
    }
    // One byte more than is allowed, so that the server can say so.
    let bound = limits::TEXT_MAX_BYTES as u64 + 2;
    let mut text = String::new();
    io::stdin().lock().take(bound).read_to_string(&mut text)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// A schema from a file; whether it is one is the server's to say.
fn schema(path: &Path) -> Result<String, Failure> {
    let named = |problem: String| Failure::new(NO_INPUT, format!("{}: {problem}", path.display()));
    let file = fs::File::open(path).map_err(|error| named(error.to_string()))?;
    // One byte more than is allowed, so that the server can say so.
    let bound = SCHEMA_MAX_BYTES as u64 + 1;
    let mut text = String::new();
    file.take(bound)
        .read_to_string(&mut text)
        .map_err(|error| named(error.to_string()))?;
    if text.trim().is_empty() {
        return Err(named("is empty".to_owned()));
    }
    Ok(text)
}

fn attachment(path: &Path) -> Result<Attachment, Failure> {
    let named = |problem: String| Failure::new(NO_INPUT, format!("{}: {problem}", path.display()));
    let size = fs::metadata(path)
        .map_err(|error| named(error.to_string()))?
        .len();
    if size > limits::ATTACHMENT_MAX_BYTES as u64 {
        let bound = limits::ATTACHMENT_MAX_BYTES >> 20;
        return Err(Failure::new(
            DATA,
            format!("{}: larger than {bound} MiB", path.display()),
        ));
    }
    let data = fs::read(path).map_err(|error| named(error.to_string()))?;
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let media_type = MEDIA_TYPES
        .iter()
        .find(|(known, _)| *known == ending)
        .map_or("application/octet-stream", |(_, media_type)| media_type);
    Ok(Attachment {
        name: path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        media_type: media_type.into(),
        data: data.into(),
    })
}
