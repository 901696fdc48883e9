//! `chat`: lines in, a conversation out.
//!
//! The subscription is the only source of what is shown; what is typed only changes the session. So a chat that lost
//! its server shows, once that is back, exactly what it missed.

mod commands;
mod keyboard;
mod screen;
mod typed;

use super::{
    arguments::{ChatArgs, ClientArgs, interrupted},
    failure::{Failure, SOFTWARE, UNAVAILABLE, code_of_turn},
    follow::View,
    output,
    render::how_it_ended,
    sessions::newest_messages,
};
use keyboard::{Input, Keyboard};
use quarterdeck::{
    client::{Client, Start, Update, connection_lost, reason},
    proto::{
        self, AbortRequest, AbortResponse, Cursor, EnqueueRequest, GetSessionStateResponse,
        Question, ResetResponse, SubscribeRequest, Turn, gateway_event::Kind,
    },
};
use screen::Screen;
use std::{
    collections::HashSet,
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tonic::Status;

/// Messages of before that are shown at the start.
const MESSAGES_BEFORE: usize = 4;
/// A call that takes longer says that it waits.
const SLOW_CALL: Duration = Duration::from_secs(2);
/// Calls that may run beside the conversation.
const CALLS_MAX: usize = 8;
/// Stands among the unfinished turns while a reset runs.
const RESET: &str = "reset";

struct Chat {
    client: Client,
    arguments: ClientArgs,
    session: String,
    /// The terminal where a person sits; without one, errors end the chat.
    screen: Option<Arc<Screen>>,
    view: View,
    keyboard: Keyboard,
    /// Turns (and a reset) that were asked for here and have not ended.
    unfinished: HashSet<String>,
    /// What the agent waits for, the oldest first.
    questions: Vec<Question>,
    /// Steers that were given here and may yet become turns.
    steers: HashSet<String>,
    /// The line that is being dealt with, from a pipe, holds back the next one.
    line_open: bool,
    /// A turn that was asked for here ran at the last step: its text must end its line before the prompt.
    streamed: bool,
    /// What Ctrl-C does next.
    interrupts: u8,
    /// Calls that run beside the conversation.
    calls: mpsc::Sender<Done>,
    /// The worst end of a turn, for scripts.
    worst: u8,
}

/// A call that ran beside the conversation.
enum Done {
    Abort(Result<AbortResponse, Status>),
    Reset(Result<ResetResponse, Status>),
}

/// Whether the chat goes on.
enum Next {
    GoOn,
    Leave,
}

pub(crate) async fn chat(arguments: ChatArgs) -> Result<ExitCode, Failure> {
    let ChatArgs {
        session,
        new,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    let request = proto::CreateSessionRequest {
        session_key: session.clone(),
        agent: new.agent,
        model: new.model,
        thinking_level: new.thinking_level,
        labels: new.labels.into_iter().collect(),
        cwd: new.cwd,
        display_name: new.display_name,
        ..proto::CreateSessionRequest::default()
    };
    let state = open(&client, request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;

    let json = client_arguments.json;
    let interactive = io::stdin().is_terminal() && io::stdout().is_terminal() && !json;
    let snapshot = state.session.clone().unwrap_or_default();
    // A turn that runs already is worth watching as if it had been asked for here.
    let watched = interactive && !snapshot.active_turn_id.is_empty();
    let screen = interactive
        .then(|| Screen::new(format!("{session}> ")))
        .transpose()?
        .map(Arc::new);
    let interrupts = signal(SignalKind::interrupt())?;
    let (calls, done) = mpsc::channel(CALLS_MAX);
    let mut chat = Chat {
        client: client.clone(),
        session: session.clone(),
        screen: screen.clone(),
        view: View::new(json, true),
        keyboard: Keyboard::start(screen.clone())?,
        unfinished: HashSet::new(),
        questions: state.questions.clone(),
        steers: HashSet::new(),
        line_open: false,
        streamed: false,
        interrupts: 0,
        calls,
        worst: 0,
        arguments: client_arguments,
    };
    chat.greet(&state)?;
    if watched {
        chat.unfinished.insert(snapshot.active_turn_id);
    }
    let request = SubscribeRequest {
        session_key: session,
        ..SubscribeRequest::default()
    };
    let start = Start::After(Cursor {
        log_id: state.log_id,
        after_seq: state.seq,
    });
    let updates = client.follow(request, start);
    chat.settle()?;
    let result = chat.run(updates, done, interrupts).await;
    if let Some(screen) = screen {
        screen.leave();
    }
    result
}

/// The session's state; it is created where it is missing.
async fn open(
    client: &Client,
    request: proto::CreateSessionRequest,
) -> Result<GetSessionStateResponse, Status> {
    let read = || {
        client.get_session_state(proto::GetSessionStateRequest {
            session_key: request.session_key.clone(),
            min_seq: 0,
            page_size: 0,
        })
    };
    match read().await {
        Err(status)
            if ["SESSION_NOT_FOUND", "SESSION_DELETED"].contains(&reason(&status).as_str()) => {}
        result => return result,
    }
    match client.create_session(request.clone()).await {
        Err(status) if reason(&status) != "SESSION_EXISTS" => return Err(status),
        Ok(_) | Err(_) => {}
    }
    read().await
}

// === impl Chat ===

impl Chat {
    async fn run(
        mut self,
        mut updates: mpsc::Receiver<Result<Update, Status>>,
        mut done: mpsc::Receiver<Done>,
        mut interrupts: Signal,
    ) -> Result<ExitCode, Failure> {
        let mut input_open = true;
        loop {
            if !input_open && self.unfinished.is_empty() {
                return Ok(ExitCode::from(self.worst));
            }
            let next = tokio::select! {
                input = self.keyboard.next(), if input_open => match input {
                    Some(Input::Line(line)) => self.line(&line, &mut interrupts).await?,
                    Some(Input::Interrupted) => {
                        self.line_open = true;
                        self.interrupted()?
                    }
                    Some(Input::End) if self.screen.is_some() => Next::Leave,
                    Some(Input::End) | None => {
                        input_open = false;
                        Next::GoOn
                    }
                    Some(Input::Failed(error)) => return Err(error.into()),
                },
                update = updates.recv() => match update {
                    Some(Ok(update)) => {
                        self.update(&update).await?;
                        Next::GoOn
                    }
                    Some(Err(status)) => return Err(Failure::call(&self.arguments.addr, &status)),
                    // The session was deleted, and the renderer has said so.
                    None => Next::Leave,
                },
                Some(done) = done.recv() => {
                    self.done(done)?;
                    Next::GoOn
                }
                _ = interrupts.recv() => self.interrupted()?,
            };
            match next {
                Next::GoOn => self.settle()?,
                Next::Leave => return Ok(ExitCode::from(self.worst)),
            }
        }
    }

    fn greet(&mut self, state: &GetSessionStateResponse) -> Result<(), Failure> {
        let before = state.messages.len();
        let shown = if self.screen.is_some() {
            MESSAGES_BEFORE.min(before)
        } else {
            0
        };
        let (skipped, newest) = state.messages.split_at(before - shown);
        self.view.renderer.skip(skipped);
        if self.screen.is_none() {
            return Ok(());
        }
        let session = state.session.clone().unwrap_or_default();
        let mut text = self.view.renderer.note(&format!(
            "session {} · agent {} · {} messages · /help tells more",
            session.session_key, session.agent, session.message_count
        ));
        for message in newest {
            text.push_str(&self.view.renderer.finished_message(message));
        }
        for question in &state.questions {
            text.push_str(&self.view.renderer.question(question));
        }
        output::styled(&text)
    }

    /// After each step: whether text streams or the prompt waits, and whether the next line may come.
    fn settle(&mut self) -> Result<(), Failure> {
        // While the agent asks the prompt waits for an answer.
        let busy = !self.unfinished.is_empty() && self.questions.is_empty();
        if let Some(screen) = self.screen.clone() {
            if busy {
                screen.stream()?;
            } else {
                if self.line_open || self.streamed {
                    let text = self.view.renderer.new_line();
                    self.say(&text)?;
                }
                screen.wait()?;
            }
            self.streamed = busy;
        } else if busy {
            return Ok(());
        }
        if self.line_open {
            self.line_open = false;
            self.keyboard.go_on();
        }
        Ok(())
    }

    async fn line(&mut self, line: &str, interrupts: &mut Signal) -> Result<Next, Failure> {
        self.line_open = true;
        self.interrupts = 0;
        if line.trim().is_empty() {
            return Ok(Next::GoOn);
        }
        if let Some(command) = line.strip_prefix('/')
            && !command.starts_with('/')
        {
            return self.command(command).await;
        }
        if self.screen.is_some()
            && !line.starts_with('/')
            && let Some(question) = self.questions.first().cloned()
        {
            self.answer(&question, line).await?;
            return Ok(Next::GoOn);
        }
        // `//` stands for a prompt that begins with `/`.
        let text = line
            .strip_prefix('/')
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(line);
        let request = EnqueueRequest {
            session_key: self.session.clone(),
            text: text.to_owned(),
            source: "chat".into(),
            ..EnqueueRequest::default()
        };
        let client = self.client.clone();
        let call = client.enqueue(request);
        tokio::pin!(call);
        let mut slow = false;
        let result = loop {
            tokio::select! {
                result = &mut call => break result,
                _ = interrupts.recv() => return Err(interrupted()),
                () = tokio::time::sleep(SLOW_CALL), if !slow => {
                    slow = true;
                    self.note("waiting for the server; Ctrl-C leaves")?;
                }
            }
        };
        match result {
            Ok(response) => {
                let turn = response.turn.unwrap_or_default();
                if response.queue_position > 0 || !self.unfinished.is_empty() {
                    self.note("waits in the queue; /steer would reach the running turn")?;
                }
                self.view.renderer.own_turn(&turn.turn_id);
                self.unfinished.insert(turn.turn_id);
            }
            Err(status) => self.failed(&status)?,
        }
        Ok(Next::GoOn)
    }

    async fn update(&mut self, update: &Update) -> Result<(), Failure> {
        if self.arguments.json {
            self.view.show(update)?;
        } else {
            let text = self.view.text(update);
            self.say(&text)?;
        }
        match update {
            Update::Event(event) => match &event.kind {
                Some(Kind::TurnEnded(ended)) => {
                    if let Some(turn) = &ended.turn {
                        self.turn_ended(turn);
                    }
                }
                Some(
                    Kind::QuestionAsked(proto::QuestionAsked {
                        question: Some(question),
                    })
                    | Kind::QuestionPending(proto::QuestionPending {
                        question: Some(question),
                    }),
                ) => {
                    let known = |it: &Question| it.question_id == question.question_id;
                    if !self.questions.iter().any(known) {
                        self.questions.push(question.clone());
                    }
                }
                Some(Kind::QuestionResolved(resolved)) => {
                    self.questions
                        .retain(|it| it.question_id != resolved.question_id);
                }
                Some(Kind::SteerApplied(steer)) => {
                    self.steers.remove(&steer.steer_id);
                }
                Some(Kind::SteerRequeued(steer)) if self.steers.remove(&steer.steer_id) => {
                    self.unfinished.insert(steer.steer_id.clone());
                }
                _ => {}
            },
            Update::Resynced(_) => {
                // Those that are pending still are told of again.
                self.questions.clear();
                self.look_after_turns().await?;
            }
            Update::Cut(_) => {}
        }
        Ok(())
    }

    fn turn_ended(&mut self, turn: &Turn) {
        if self.unfinished.remove(&turn.turn_id) {
            self.worst = self.worst.max(code_of_turn(turn));
            self.interrupts = 0;
        }
    }

    /// The events that would have told of their ends may be gone.
    async fn look_after_turns(&mut self) -> Result<(), Failure> {
        let turn_ids: Vec<String> = self
            .unfinished
            .iter()
            .filter(|id| *id != RESET)
            .cloned()
            .collect();
        for turn_id in turn_ids {
            let request = proto::GetTurnRequest {
                session_key: self.session.clone(),
                turn_id: turn_id.clone(),
            };
            match self.client.get_turn(request).await {
                Ok(response) => {
                    let turn = response.turn.unwrap_or_default();
                    if turn.end_time.is_some() {
                        if let Some(how) = how_it_ended(&turn) {
                            self.note(&how)?;
                        }
                        self.turn_ended(&turn);
                    }
                }
                // Still away: the events will tell, or the next resync.
                Err(status) if connection_lost(&status) => {}
                Err(status) => {
                    self.unfinished.remove(&turn_id);
                    self.failed(&status)?;
                }
            }
        }
        Ok(())
    }

    /// Ctrl-C: the first stops the running turn, the second leaves.
    fn interrupted(&mut self) -> Result<Next, Failure> {
        self.interrupts += 1;
        if self.interrupts > 1 {
            return Err(interrupted());
        }
        if self.unfinished.is_empty() {
            if self.screen.is_none() {
                return Err(interrupted());
            }
            self.note("Ctrl-C again leaves")?;
            return Ok(Next::GoOn);
        }
        if self.screen.is_some() && self.view.renderer.at_line_start() {
            // The terminal has put `^C` there.
            self.say("\n")?;
        }
        self.note("stopping the turn; Ctrl-C again leaves")?;
        self.abort();
        Ok(Next::GoOn)
    }

    /// Stops the active turn, beside the conversation.
    fn abort(&self) {
        let request = AbortRequest {
            session_key: self.session.clone(),
            ..AbortRequest::default()
        };
        let (client, calls) = (self.client.clone(), self.calls.clone());
        tokio::spawn(async move {
            // The chat is over where nobody takes it.
            let _ = calls.send(Done::Abort(client.abort(request).await)).await;
        });
    }

    fn done(&mut self, done: Done) -> Result<(), Failure> {
        match done {
            Done::Abort(Ok(response)) if response.turn.is_none() => {
                self.note("no turn was running")
            }
            // The turn's end tells the rest.
            Done::Abort(Ok(_)) => Ok(()),
            Done::Reset(Ok(_)) => {
                self.unfinished.remove(RESET);
                Ok(())
            }
            Done::Abort(Err(status)) => self.failed(&status),
            Done::Reset(Err(status)) => {
                self.unfinished.remove(RESET);
                self.failed(&status)
            }
        }
    }

    /// A call that failed: said to a person, the end of a script.
    fn failed(&mut self, status: &Status) -> Result<(), Failure> {
        let failure = Failure::call(&self.arguments.addr, status);
        if self.screen.is_none() {
            return Err(failure);
        }
        if failure.code == UNAVAILABLE || failure.code == SOFTWARE {
            return self.note(&format!("{}: {}", status.code(), status.message()));
        }
        self.note(&failure.message)
    }

    fn note(&mut self, text: &str) -> Result<(), Failure> {
        if self.screen.is_none() {
            output::notice(text);
            return Ok(());
        }
        let text = self.view.renderer.note(text);
        self.say(&text)
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        if text.is_empty() {
            return Ok(());
        }
        match &self.screen {
            Some(screen) => screen.show(text, self.view.renderer.at_line_start()),
            None => output::styled(text),
        }
    }

    async fn newest(&self, limit: usize) -> Result<Vec<proto::Message>, Status> {
        newest_messages(&self.client, &self.session, None, limit).await
    }
}
