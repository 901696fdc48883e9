//! One session that an editor has open: what happens in it is told, and what the editor says is done in order.
//!
//! It follows the session, whoever prompts it. A prompt of the editor's is answered when its turn has ended, by what the
//! gateway says of that end: `cancelled` is a stop that is proven.

use super::{
    choices::{self, Choices},
    editor::{Editor, Fault},
    prompt::Prompt,
};
use crate::cli::{follow::cut_text, output};
use quarterdeck::{
    client::{Client, Start, Update, answers, reason},
    edge::acp::{self, Printer, Said},
    proto::{
        self, AbortRequest, Answer, AnswerQuestionRequest, CommandSource, Cursor, EnqueueRequest,
        ExecuteCommandRequest, GatewayEvent, GetQuestionRequest, GetTurnRequest,
        ListCommandsRequest, Question, SubscribeRequest, Turn, execute_command_response,
        gateway_event::Kind,
    },
};
use serde_json::{Value as Json, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tonic::Status;

/// What an editor said that may wait for its session.
const COMMANDS_MAX: usize = 64;

/// What is told to a session's task.
pub(super) enum Command {
    /// The editor knows the session: it may be told of it.
    Begin,
    /// Prompts, and is answered under that id.
    Prompt { id: Json, prompt: Prompt },
    /// Stops what the editor prompted.
    Cancel,
}

/// A handle on a session's task, which ends with the last of them.
#[derive(Clone)]
pub(super) struct Attached(mpsc::Sender<Command>);

/// A session that is open.
pub(super) struct Session {
    client: Client,
    editor: Arc<Editor>,
    key: String,
    commands: mpsc::Receiver<Command>,
    updates: mpsc::Receiver<Result<Update, Status>>,
    /// Of the turn that runs.
    printer: Option<Printer>,
    /// Requests that wait for the end of their turns, by these.
    prompts: BTreeMap<String, Json>,
    /// Turns of these that the editor stops.
    canceled: BTreeSet<String>,
    /// What runs beside: questions at the editor, and stops.
    tasks: JoinSet<()>,
    /// Questions at the editor, each with its turn.
    asked: BTreeMap<String, (String, AbortHandle)>,
    /// What the editor was told.
    choices: Choices,
    /// Names of commands that the editor was told.
    known: Vec<String>,
    /// The gateway is away, which was said.
    is_cut: bool,
}

// === impl Attached ===

impl Attached {
    /// Tells it something; waits where it has much to do.
    pub(super) async fn tell(&self, command: Command) {
        // A session that is gone has told the editor so.
        let _ = self.0.send(command).await;
    }

    /// Whether its task has ended.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_closed()
    }
}

// === impl Session ===

impl Session {
    /// Follows a session from a position.
    pub(super) fn spawn(
        client: Client,
        editor: Arc<Editor>,
        key: &str,
        cursor: Cursor,
        choices: Choices,
    ) -> Attached {
        let (told, commands) = mpsc::channel(COMMANDS_MAX);
        let request = SubscribeRequest {
            session_key: key.into(),
            ..SubscribeRequest::default()
        };
        let updates = client.follow(request, Start::After(cursor));
        let session = Self {
            client,
            editor,
            key: key.into(),
            commands,
            updates,
            printer: None,
            prompts: BTreeMap::new(),
            canceled: BTreeSet::new(),
            tasks: JoinSet::new(),
            asked: BTreeMap::new(),
            choices,
            known: Vec::new(),
            is_cut: false,
        };
        tokio::spawn(session.run());
        Attached(told)
    }

    async fn run(mut self) {
        // Its first command is that it may begin.
        let _ = self.commands.recv().await;
        self.tell_commands().await;
        let why = loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Begin) => {}
                    Some(Command::Prompt { id, prompt }) => self.prompt(id, prompt).await,
                    Some(Command::Cancel) => self.cancel(),
                    None => break Fault::new(Fault::INTERNAL, "the session was loaded anew"),
                },
                update = self.updates.recv() => match update {
                    Some(Ok(update)) => self.hear(update).await,
                    Some(Err(status)) => break Fault::of(&status),
                    None => break Fault::new(Fault::INTERNAL, "the session was deleted"),
                },
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
            }
        };
        let message = why.message().to_owned();
        for id in self.prompts.into_values() {
            let fault = Fault::new(Fault::INTERNAL, message.as_str());
            self.editor.reply(&id, Err(fault)).await;
        }
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            if let Command::Prompt { id, .. } = command {
                let fault = Fault::new(Fault::INTERNAL, message.as_str());
                self.editor.reply(&id, Err(fault)).await;
            }
        }
    }

    /// Enqueues. What the turn does is read only afterwards, so that its end finds who waits for it.
    async fn prompt(&mut self, id: Json, prompt: Prompt) {
        let turn = match prompt.command(&self.known) {
            Some((name, arguments)) => self.execute(name, arguments).await,
            None => self.enqueue(prompt).await,
        };
        match turn {
            Ok(turn) => {
                self.prompts.insert(turn.turn_id, id);
            }
            Err(status) => self.editor.reply(&id, Err(Fault::of(&status))).await,
        }
    }

    async fn enqueue(&self, prompt: Prompt) -> Result<Turn, Status> {
        let Prompt { text, attachments } = prompt;
        let request = EnqueueRequest {
            session_key: self.key.clone(),
            text,
            attachments,
            source: "acp".into(),
            ..EnqueueRequest::default()
        };
        let queued = self.client.enqueue(request).await?;
        Ok(queued.turn.unwrap_or_default())
    }

    async fn execute(&self, name: String, arguments: String) -> Result<Turn, Status> {
        let request = ExecuteCommandRequest {
            session_key: self.key.clone(),
            name,
            arguments,
            ..ExecuteCommandRequest::default()
        };
        let executed = self.client.execute_command(request).await?;
        match executed.result {
            Some(execute_command_response::Result::Turn(turn)) => Ok(turn),
            Some(execute_command_response::Result::ResultJson(_)) | None => {
                Err(Status::internal("a command of the agent's ran as no turn"))
            }
        }
    }

    /// Stops each turn that the editor waits for. Their prompts are answered when they have ended.
    fn cancel(&mut self) {
        let turns: Vec<String> = self.prompts.keys().cloned().collect();
        for turn_id in turns {
            if !self.canceled.insert(turn_id.clone()) {
                continue;
            }
            // A stop is no answer to what it asks.
            self.ask_no_more(&turn_id);
            let request = AbortRequest {
                session_key: self.key.clone(),
                turn_id,
                ..AbortRequest::default()
            };
            let client = self.client.clone();
            self.tasks.spawn(async move {
                if let Err(status) = client.abort(request).await {
                    output::notice(&format!("the turn was not stopped: {}", status.message()));
                }
            });
        }
    }

    async fn hear(&mut self, update: Update) {
        match update {
            Update::Event(event) => {
                self.is_cut = false;
                self.event(*event).await;
            }
            Update::Cut(cut) => {
                if !std::mem::replace(&mut self.is_cut, true) {
                    output::notice(&cut_text(&cut));
                }
            }
            Update::Resynced(_) => {
                // What it missed is not told; what has ended is.
                self.printer = None;
                let waiting: Vec<String> = self.prompts.keys().cloned().collect();
                for turn_id in waiting {
                    self.look_after(turn_id).await;
                }
            }
        }
    }

    /// Whether a turn has ended without that its end was heard.
    async fn look_after(&mut self, turn_id: String) {
        let request = GetTurnRequest {
            session_key: self.key.clone(),
            turn_id,
        };
        match self.client.get_turn(request).await {
            Ok(found) => {
                let turn = found.turn.unwrap_or_default();
                if turn.end_time.is_some() {
                    self.ended(&turn).await;
                }
            }
            Err(status) => output::notice(status.message()),
        }
    }

    async fn event(&mut self, event: GatewayEvent) {
        match &event.kind {
            Some(Kind::OptionsChanged(_) | Kind::ModelChanged(_)) => self.tell_choices().await,
            Some(Kind::CommandsChanged(_)) => self.tell_commands().await,
            _ => {}
        }
        let turn_id = event.turn_id.as_str();
        match &event.kind {
            // Another turn than the one that runs.
            Some(
                Kind::TurnQueued(_)
                | Kind::TurnScheduled(_)
                | Kind::TurnUpdated(_)
                | Kind::SteerRequeued(_),
            ) => return,
            Some(Kind::TurnEnded(end)) if !self.prints(turn_id) => {
                let turn = end.turn.clone().unwrap_or_default();
                return self.ended(&turn).await;
            }
            _ if turn_id.is_empty() => return,
            _ => {}
        }
        if !self.prints(turn_id) {
            self.printer = None;
        }
        let is_own = self.prompts.contains_key(turn_id);
        let printer = self
            .printer
            .get_or_insert_with(|| Printer::of(turn_id, is_own));
        for said in printer.fold(event) {
            match said {
                Said::Update(update) => self.editor.update(&self.key, update).await,
                Said::Asked(question) => self.ask(*question),
                Said::Closed(question_id) => {
                    if let Some((_, task)) = self.asked.remove(&question_id) {
                        task.abort();
                    }
                }
                Said::Ended(turn) => return self.ended(&turn).await,
            }
        }
    }

    /// Whether that turn is the one that is told.
    fn prints(&self, turn_id: &str) -> bool {
        let printer = self.printer.as_ref();
        printer.is_some_and(|it| it.turn_id() == turn_id)
    }

    /// Takes back what a turn asks at the editor: an answer counts for nothing from here on.
    fn ask_no_more(&mut self, turn_id: &str) {
        self.asked.retain(|_, (of, task)| {
            if of == turn_id {
                task.abort();
            }
            of != turn_id
        });
    }

    async fn ended(&mut self, turn: &Turn) {
        if self.prints(&turn.turn_id) {
            self.printer = None;
        }
        self.ask_no_more(&turn.turn_id);
        self.canceled.remove(&turn.turn_id);
        let Some(id) = self.prompts.remove(&turn.turn_id) else {
            return;
        };
        let answer = match acp::stop_reason(turn) {
            Ok(reason) => Ok(json!({ "stopReason": reason })),
            Err(problem) => Err(Fault::new(Fault::INTERNAL, problem)),
        };
        self.editor.reply(&id, answer).await;
    }

    /// Asks at the editor, beside what goes on.
    fn ask(&mut self, question: Question) {
        let (question_id, turn_id) = (question.question_id.clone(), question.turn_id.clone());
        let (client, editor) = (self.client.clone(), Arc::clone(&self.editor));
        let task = self.tasks.spawn(async move {
            if let Err(status) = put(&client, &editor, question).await
                && reason(&status) != "ALREADY_ANSWERED"
            {
                output::notice(&format!("the answer was not taken: {}", status.message()));
            }
        });
        self.asked.insert(question_id, (turn_id, task));
    }

    async fn tell_choices(&mut self) {
        match choices::of(&self.client, &self.key).await {
            Ok(choices) if choices != self.choices => {
                let options = choices.options.clone();
                let update = json!({
                    "sessionUpdate": "config_option_update", "configOptions": options,
                });
                self.editor.update(&self.key, update).await;
                self.choices = choices;
            }
            Ok(_) => {}
            Err(fault) => output::notice(fault.message()),
        }
    }

    /// Tells the agent's own commands: the gateway's are the editor's menus.
    async fn tell_commands(&mut self) {
        let request = ListCommandsRequest {
            session_key: self.key.clone(),
        };
        let commands = match self.client.list_commands(request).await {
            Ok(listed) => listed.commands,
            Err(status) => return output::notice(status.message()),
        };
        let own = |it: &proto::Command| it.source() == CommandSource::Agent;
        let commands: Vec<proto::Command> = commands.into_iter().filter(own).collect();
        let names: Vec<String> = commands.iter().map(|it| it.name.clone()).collect();
        if names == self.known {
            return;
        }
        self.known = names;
        let commands = commands.into_iter().map(|command| {
            let input = match command.input_hint.as_str() {
                "" => Json::Null,
                hint => json!({ "hint": hint }),
            };
            json!({ "name": command.name, "description": command.description, "input": input })
        });
        let commands: Vec<Json> = commands.collect();
        let update = json!({
            "sessionUpdate": "available_commands_update", "availableCommands": commands,
        });
        self.editor.update(&self.key, update).await;
    }
}

/// Puts a question to the editor, and its answer to the gateway. What the editor can't show is left to others.
async fn put(client: &Client, editor: &Arc<Editor>, question: Question) -> Result<(), Status> {
    let question = match question.args_full_size {
        0 => question,
        // A person sees all that would run.
        _ => {
            let request = GetQuestionRequest {
                session_key: question.session_key.clone(),
                question_id: question.question_id.clone(),
            };
            client
                .get_question(request)
                .await?
                .question
                .unwrap_or(question)
        }
    };
    let Some((method, params)) = acp::request(&question, editor.elicits()) else {
        return Ok(());
    };
    let Some(result) = editor.ask(method, params).await else {
        return Ok(());
    };
    let answer: Answer = acp::answer(&question, &result).unwrap_or_else(answers::decline);
    let request = AnswerQuestionRequest {
        session_key: question.session_key,
        question_id: question.question_id,
        answer: Some(answer),
        action_digest: question.action_digest,
        request_id: String::new(),
    };
    client.answer_question(request).await.map(drop)
}
