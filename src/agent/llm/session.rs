//! The thin half of the loop: commands, the model's stream and the clock go into [`Turn`], and what it wants is done.

use super::{
    conversation, http,
    mcp::{Elicited, Ran},
    models::ModelList,
    options::LlmOptions,
    provider::{FaultKind, Prompt},
    tools::{Runs, Servers, Tool},
    turn::{Act, Heard, Output, Steer, Turn},
};
use crate::{
    agent::{
        AgentCommand, AgentEvent, Outcome, TurnInput,
        conversation::Conversation,
        events::{Closed, EventSender},
        output::Wanted,
        process::StopFailed,
    },
    auth::agents::AgentCredential,
    domain::{offers::Offers, question::Answer, refusal::Refusal, turn::Attachment},
    telemetry::gen_ai::Chat,
};
use reqwest::Client;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Stored messages that a model is given, in bytes of their parts; older ones are left out.
const CONVERSATION_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Files and images of earlier prompts that a model is given, in bytes; older ones are only named.
const FILES_MAX_BYTES: i64 = 16 * 1024 * 1024;
/// Pieces of a reply that may wait; then its stream does.
const PIECES_MAX: usize = 64;

/// Tools of one session that run at a time; others wait.
const RUNNING_TOOLS_MAX: usize = 8;
/// Questions of servers that may wait to be asked.
const QUESTIONS_MAX: usize = 8;
/// Words of running tools that may wait to be heard.
const TOOL_WORDS_MAX: usize = 64;
/// Time that tools of a stopped turn have to be told.
const TOOLS_STOP_MAX: Duration = Duration::from_secs(2);

/// An open agent.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) options: Arc<LlmOptions>,
    /// The model's id, without its provider.
    pub(super) model: String,
    /// The model's name, for people.
    pub(super) model_name: String,
    pub(super) thinking_level: String,
    pub(super) models: Arc<ModelList>,
    /// It has told what can be chosen.
    pub(super) told_models: bool,
    pub(super) servers: Servers,
    /// Ends with the agent.
    pub(super) _credential: Option<AgentCredential>,
    pub(super) conversation: Arc<dyn Conversation>,
    pub(super) commands: mpsc::Receiver<AgentCommand>,
    pub(super) events: EventSender,
}

/// A call to the model. Dropping it ends the call.
struct Call {
    said: mpsc::Receiver<http::Said>,
    task: AbortOnDropHandle<()>,
    /// Its span; none once the last word was said.
    span: Option<Chat>,
}

/// The tools that a turn runs.
struct Running {
    tasks: JoinSet<()>,
    /// Ends all of them.
    stop: CancellationToken,
    places: Arc<Semaphore>,
    words: mpsc::Sender<Heard>,
    heard: mpsc::Receiver<Heard>,
    /// What servers ask.
    elicited: mpsc::Receiver<Elicited>,
    /// What of that waits for an answer, by our id.
    asked: BTreeMap<String, oneshot::Sender<Box<Answer>>>,
    asks: u64,
}

/// How a turn is left before its own end.
enum Left {
    /// It was stopped.
    Stopped,
    /// Nobody holds the agent any more.
    Closed,
}

impl From<Closed> for Left {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

// === impl Call ===

impl Call {
    async fn next(call: &mut Option<Self>) -> http::Said {
        match call {
            Some(call) => match call.said.recv().await {
                Some(said) => said,
                // Its last word is always said.
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Ends the span of a call whose last word was heard; `acts` came of it.
    fn heard(&mut self, failed: Option<FaultKind>, acts: &[Act]) {
        let Some(span) = self.span.take() else {
            return;
        };
        if let Some(kind) = failed {
            span.failed(kind.name());
        }
        for act in acts {
            if let Act::Say(AgentEvent::UsageRecorded(report)) = act {
                span.used(report);
            }
        }
    }

    /// Ends it; nothing of it is left then.
    async fn end(self) {
        drop(self.said);
        self.task.abort();
        let _ = self.task.await;
    }
}

// === impl Running ===

impl Running {
    fn new(elicited: mpsc::Receiver<Elicited>) -> Self {
        let (words, heard) = mpsc::channel(TOOL_WORDS_MAX);
        Self {
            elicited,
            asked: BTreeMap::new(),
            asks: 0,
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
            places: Arc::new(Semaphore::new(RUNNING_TOOLS_MAX)),
            words,
            heard,
        }
    }

    /// Runs a tool; what comes of it is heard under its id.
    fn start(&mut self, call_id: String, tool: &Tool, arguments: Map<String, Value>) {
        while self.tasks.try_join_next().is_some() {}
        let (server, name) = match &tool.runs {
            Runs::Server(server, name) => (Arc::clone(server), name.clone()),
            Runs::Caller | Runs::Output => unreachable!("the turn itself sees to these"),
        };
        let (stop, words) = (self.stop.clone(), self.words.clone());
        let places = Arc::clone(&self.places);
        self.tasks.spawn(async move {
            let _place = places.acquire_owned().await;
            let (steps, mut heard_steps) = mpsc::channel(1);
            let call = server.call(name, arguments, steps, stop);
            let mut call = std::pin::pin!(call);
            let ran: Ran = loop {
                tokio::select! {
                    ran = &mut call => break ran,
                    Some(step) = heard_steps.recv() => {
                        // Whoever is behind misses a step.
                        let _ = words.try_send(Heard::Progressed(call_id.clone(), step));
                    }
                }
            };
            let _ = words.send(Heard::Ran(call_id, ran)).await;
        });
    }

    /// Notes a server's question; what the actor is told.
    fn asks(&mut self, elicited: Elicited) -> AgentEvent {
        let Elicited { ask, reply } = elicited;
        self.asks += 1;
        // No call of a model has such an id.
        let ask_id = format!("elicited\0{}", self.asks);
        self.asked.insert(ask_id.clone(), reply);
        AgentEvent::Asked { ask_id, ask }
    }

    /// Ends all; servers are told that their calls are not needed any more.
    async fn end(mut self) {
        self.stop.cancel();
        self.heard.close();
        let told = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(TOOLS_STOP_MAX, told).await;
        self.tasks.shutdown().await;
    }
}

// === impl Session ===

impl Session {
    /// Runs turns until nobody holds it any more; then nothing of its servers is left either.
    pub(super) async fn run(mut self) {
        self.serve().await;
        if let Err(StopFailed(survivors)) = self.servers.stop().await {
            // Nobody may listen any more.
            let _ = self.events.send(AgentEvent::StopFailed { survivors }).await;
        }
    }

    async fn serve(&mut self) {
        let model = self.model_name.clone();
        if self.events.send(AgentEvent::Ready { model }).await.is_err() {
            return;
        }
        while let Some(command) = self.commands.recv().await {
            let done = match command {
                AgentCommand::StartTurn(input) => match self.turn(&input).await {
                    Ok(outcome) => self.events.send(AgentEvent::TurnEnded(outcome)).await,
                    Err(Left::Closed) => return,
                    // What a call started may go on in its server.
                    Err(Left::Stopped) => match self.servers.stop().await {
                        Ok(()) => {
                            let stopped = AgentEvent::TurnEnded(Outcome::Stopped);
                            self.events.send(stopped).await
                        }
                        Err(StopFailed(survivors)) => {
                            let failed = AgentEvent::StopFailed { survivors };
                            let _ = self.events.send(failed).await;
                            return;
                        }
                    },
                },
                AgentCommand::Steer { steer_id, .. } => {
                    self.events
                        .send(AgentEvent::SteerReturned { steer_id })
                        .await
                }
                // They crossed the turn's end.
                AgentCommand::Answer { .. }
                | AgentCommand::Call
                | AgentCommand::Cancel
                | AgentCommand::Kill => Ok(()),
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// Tells once what can be chosen, and what is in use.
    async fn tell_models(&mut self) -> Result<(), Left> {
        if std::mem::replace(&mut self.told_models, true) {
            return Ok(());
        }
        let LlmOptions {
            endpoint,
            model,
            models,
            ..
        } = &*self.options;
        let models = self.models.get(&self.client, endpoint, model, models).await;
        let offers = Box::new(Offers {
            models,
            default_model: model.to_string(),
            model: self.model_name.clone(),
            thinking_level: self.thinking_level.clone(),
            options: Vec::new(),
        });
        Ok(self.events.send(AgentEvent::Offered { offers }).await?)
    }

    async fn turn(&mut self, input: &TurnInput) -> Result<Outcome, Left> {
        self.tell_models().await?;
        let items = match self.read(input).await {
            Ok(items) => items,
            Err(refusal) => {
                let why = format!("the conversation can't be read: {refusal}");
                return Ok(Outcome::Failed(why));
            }
        };
        let mut steers = vec![];
        let mut tools = match self.tools(&mut steers).await? {
            Ok(tools) => tools,
            Err(problem) => return Ok(Outcome::Failed(problem)),
        };
        tools.extend(input.client_tools.iter().map(Tool::of_caller));
        let wanted = Wanted::of(&input.output_schema);
        // Providers that take both do not all do both well.
        let native = wanted.as_ref().is_some_and(|wanted| {
            tools.is_empty() && self.options.endpoint.api.takes(wanted.schema())
        });
        let mut acts = vec![];
        let output = wanted.map(|wanted| Output::new(wanted, native));
        let mut turn = Turn::begin(items, tools, self.model_name.clone(), output, &mut acts);
        for steer in steers {
            turn.hear(Heard::Steered(steer), &mut acts);
        }
        let mut call: Option<Call> = None;
        let (questions, elicited) = mpsc::channel(QUESTIONS_MAX);
        self.servers.ask_at(Some(questions));
        let mut running = Running::new(elicited);
        let ended = self
            .drive((&mut turn, input), acts, &mut call, &mut running)
            .await;
        if let Some(call) = call {
            call.end().await;
        }
        self.servers.ask_at(None);
        running.end().await;
        ended
    }

    async fn drive(
        &mut self,
        (turn, input): (&mut Turn, &TurnInput),
        mut acts: Vec<Act>,
        call: &mut Option<Call>,
        running: &mut Running,
    ) -> Result<Outcome, Left> {
        let (asks, traceparent) = (input.calls_are_granted, input.trace_context.as_str());
        let mut pause: Option<Instant> = None;
        // A call waits until it may begin.
        let mut wanted = false;
        loop {
            for act in acts.drain(..) {
                match act {
                    Act::Say(event) => self.events.send(event).await?,
                    Act::Call if asks => {
                        let model = self.model_name.clone();
                        self.events.send(AgentEvent::CallWanted { model }).await?;
                        wanted = true;
                    }
                    Act::Call => *call = Some(self.call(turn, traceparent)),
                    Act::Run {
                        call_id,
                        tool,
                        arguments,
                    } => {
                        running.start(call_id, &turn.tools()[tool], arguments);
                    }
                    Act::Pause(time) => pause = Some(Instant::now() + time),
                    Act::End(outcome) => return Ok(outcome),
                }
            }
            let heard = tokio::select! {
                biased;
                command = self.commands.recv() => match command.ok_or(Left::Closed)? {
                    AgentCommand::Cancel | AgentCommand::Kill => return Err(Left::Stopped),
                    AgentCommand::Steer { steer_id, text, attachments } => {
                        Heard::Steered(Steer { steer_id, text, attachments })
                    }
                    AgentCommand::Answer { ask_id, answer } => match running.asked.remove(&ask_id) {
                        Some(reply) => {
                            // Its server may have given up meanwhile.
                            let _ = reply.send(answer);
                            self.events.send(AgentEvent::AnswerDelivered { ask_id }).await?;
                            continue;
                        }
                        None => Heard::Answered(ask_id, answer),
                    },
                    AgentCommand::Call => {
                        if std::mem::take(&mut wanted) {
                            *call = Some(self.call(turn, traceparent));
                        }
                        continue;
                    }
                    // No second one starts while one runs.
                    AgentCommand::StartTurn(_) => continue,
                },
                Some(elicited) = running.elicited.recv() => {
                    let asked = running.asks(elicited);
                    self.events.send(asked).await?;
                    continue;
                }
                said = Call::next(call) => Heard::Said(said),
                heard = running.heard.recv() => heard.expect("it holds a sender itself"),
                () = until(pause) => {
                    pause = None;
                    Heard::Paused
                }
            };
            // `Some` where it is a call's last word, with why there is no reply.
            let last = match &heard {
                Heard::Said(http::Said::Ended(reply)) => {
                    Some(reply.as_ref().err().map(|fault| fault.kind))
                }
                _ => None,
            };
            turn.hear(heard, &mut acts);
            if let (Some(failed), Some(call)) = (last, &mut *call) {
                call.heard(failed, &acts);
            }
        }
    }

    /// What the model may call, or why that can't be said. Servers may be slow to say it; a stop is heard meanwhile.
    async fn tools(&mut self, steers: &mut Vec<Steer>) -> Result<Result<Vec<Tool>, String>, Left> {
        let listing = self.servers.tools();
        let mut listing = std::pin::pin!(listing);
        loop {
            let command = tokio::select! {
                biased;
                command = self.commands.recv() => command.ok_or(Left::Closed)?,
                tools = &mut listing => return Ok(tools),
            };
            match command {
                AgentCommand::Cancel | AgentCommand::Kill => return Err(Left::Stopped),
                AgentCommand::Steer {
                    steer_id,
                    text,
                    attachments,
                } => steers.push(Steer {
                    steer_id,
                    text,
                    attachments,
                }),
                AgentCommand::Answer { .. } | AgentCommand::Call | AgentCommand::StartTurn(_) => {}
            }
        }
    }

    /// The conversation up to the turn's prompt, and where in it the turn begins.
    async fn read(&self, input: &TurnInput) -> Result<(Vec<conversation::Item>, usize), Refusal> {
        let messages = self.conversation.newest(CONVERSATION_MAX_BYTES).await?;
        let mut files: BTreeMap<String, Attachment> = BTreeMap::new();
        let mut room = FILES_MAX_BYTES;
        for reference in conversation::attachments(&messages) {
            let id = &reference.attachment_id;
            room -= reference.size;
            if room < 0 {
                break;
            }
            let file = self.conversation.attachment(id).await?;
            // The name is that of the message; the store keeps the first one's.
            files.insert(id.clone(), Attachment { reference, ..file });
        }
        let context = &input.memory_context;
        let items = conversation::items(&messages, input.turn_id, &files, context);
        Ok(items)
    }

    fn call(&self, turn: &Turn, traceparent: &str) -> Call {
        let prompt = Prompt {
            model: &self.model,
            instructions: &self.options.instructions,
            items: turn.items(),
            tools: turn.offered(),
            thinking_level: &self.thinking_level,
            max_output_tokens: self.options.max_output_tokens,
            output_schema: turn.output_schema(),
        };
        let api = self.options.endpoint.api;
        let (sender, said) = mpsc::channel(PIECES_MAX);
        let calling = http::call(
            self.client.clone(),
            Arc::clone(&self.options),
            api.request(&prompt),
            api.decoder(&self.model),
            sender,
        );
        let task = AbortOnDropHandle::new(tokio::spawn(calling));
        let provider = &self.options.model.provider;
        let span = Some(Chat::begin(traceparent, provider, &self.model));
        Call { said, task, span }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
