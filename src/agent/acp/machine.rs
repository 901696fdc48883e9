//! The conversation with one agent's process as a pure state machine: what came in, what time it is → what to do.
//!
//! Opening: `initialize` → `session/resume`, `session/load` or `session/new` → the operator's mode. Then turns, one at a time: an
//! agent that is given two of them does with the second what it likes. Before each prompt it is told what is chosen for the
//! session (`choices`); what it does not take ends the turn. The reply to the prompt is the turn's end. What comes outside of a turn, or of another
//! session than ours, is nobody's.

mod starting;

use super::{
    asks::{Asked, cancelled_elicitation, cancelled_permission},
    choices::Choosing,
    commands::Commands,
    conversation::Conversation,
    facts::{Facts, PROTOCOL_VERSION},
    options::{Options, Wanted, Way},
    prompt,
    rpc::{self, AUTHENTICATION_REQUIRED, Frame, RpcError},
    subagents::PastSubagents,
    text,
    tools::PastCalls,
    turn::Turn,
    usage,
};
use crate::agent::{AgentEvent, Capabilities, Outcome, TurnInput};
use crate::domain::{
    command,
    question::Answer,
    turn::{Attachment, ContextUse, Granularity, Usage},
    usage::UsageReport,
};
use serde_json::{Value, json};
use starting::Starting;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;
use uuid::Uuid;

/// Time in which an agent that told a conversation once more may still add to it after its answer.
const REPLAY_SETTLE: Duration = Duration::from_secs(1);
/// Time between two words about messages that were passed over.
const IGNORED_LOG_EVERY: Duration = Duration::from_secs(1);

/// Why a conversation is shortened on request.
const COMPACTION_REASON: &str = "manual";

/// What the machine wants done, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// Tell the session's actor.
    Emit(AgentEvent),
    /// Write a line to the agent.
    Write(Vec<u8>),
    /// Keep how to find the conversation again.
    Remember(Conversation),
    /// The agent is open.
    Opened,
    /// It can't be opened; why, for people.
    Refused(String),
    /// The turn is over. Nothing of it comes after this.
    End {
        /// How.
        outcome: Outcome,
        /// A stop was asked for: prove first that nothing is left.
        prove: bool,
    },
}

/// What an agent is opened with.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    /// Absolute path of its working directory.
    pub(super) working_directory: String,
    /// The MCP servers that it is given.
    pub(super) mcp_servers: Vec<Value>,
    /// The conversation that it is to go on with.
    pub(super) conversation: Option<Conversation>,
    /// The operator's mode.
    pub(super) mode: Option<Wanted>,
    /// Model of sessions that choose none; empty: the agent's own.
    pub(super) own_model: String,
    /// Thinking level of sessions that choose none; empty: the agent's own.
    pub(super) own_level: String,
}

/// What is known of one agent's process.
#[derive(Debug)]
pub(super) struct Machine {
    opening: Opening,
    /// What the agent said of itself.
    facts: Facts,
    options: Options,
    choosing: Choosing,
    /// A turn whose prompt waits for the choices before it.
    starting: Option<Starting>,
    commands: Commands,
    /// The agent's id of its session; empty until it has one.
    session_id: String,
    /// Cost of the conversation so far that was counted, and that the agent told, in millionths of a US dollar.
    counted_micros: i64,
    told_micros: Option<i64>,
    /// How full it said last that its context is.
    told_context: Option<ContextUse>,
    /// It goes on with the conversation that it was opened for.
    remembers: bool,
    /// That it has another one is to be written down once it was told the stored one, so that a crash before loses nothing.
    unwritten: bool,
    /// A conversation was told once more; until then more of it may come.
    settled_at: Option<Instant>,
    turn: Option<Turn>,
    past: PastCalls,
    /// Sub-agents of turns that are over.
    past_subagents: PastSubagents,
    /// Requests of ours without an answer.
    waiting: HashMap<i64, Purpose>,
    next_id: i64,
    ignored: Ignored,
    effects: VecDeque<Effect>,
}

/// What a request of ours is for.
#[derive(Clone, Debug)]
enum Purpose {
    Initialize,
    Resume,
    Load,
    New,
    Set(Wanted),
    Choose(Wanted),
    Prompt,
    Steer(Uuid),
}

/// Messages that were passed over since the last word about them.
#[derive(Debug, Default)]
struct Ignored {
    count: u64,
    told_at: Option<Instant>,
}

// === impl Machine ===

impl Machine {
    /// An agent that was just started.
    pub(super) fn new(opening: Opening) -> Self {
        let choosing = Choosing::new(&opening.own_model, &opening.own_level);
        let mut machine = Self {
            opening,
            facts: Facts::default(),
            options: Options::default(),
            choosing,
            starting: None,
            commands: Commands::default(),
            session_id: String::new(),
            counted_micros: 0,
            told_micros: None,
            told_context: None,
            remembers: false,
            unwritten: false,
            settled_at: None,
            turn: None,
            past: PastCalls::default(),
            past_subagents: PastSubagents::default(),
            waiting: HashMap::new(),
            next_id: 0,
            ignored: Ignored::default(),
            effects: VecDeque::new(),
        };
        let params = json!({
            "protocolVersion": PROTOCOL_VERSION,
            "clientCapabilities": {
                "fs": { "readTextFile": false, "writeTextFile": false },
                "terminal": false,
                "elicitation": { "form": {}, "url": {} },
            },
            "clientInfo": { "name": "quarterdeck", "version": env!("CARGO_PKG_VERSION") },
        });
        machine.request("initialize", &params, Purpose::Initialize);
        machine
    }

    /// Takes the next thing to do.
    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// True while a turn runs.
    pub(super) fn is_busy(&self) -> bool {
        self.turn.is_some() || self.starting.is_some()
    }

    /// Whether it goes on with the conversation that it was opened for.
    pub(super) fn remembers(&self) -> bool {
        self.remembers
    }

    /// The model in use; empty where the agent does not say.
    pub(super) fn model(&self) -> &str {
        self.options.model()
    }

    /// What this agent can do.
    pub(super) fn capabilities(&self) -> Capabilities {
        let compaction = self.commands.may_have(command::COMPACT);
        self.facts.capabilities(&self.options, compaction)
    }

    /// Version of its program; empty where it does not say.
    pub(super) fn version(&self) -> &str {
        &self.facts.version
    }

    /// When [`Machine::tick`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.settled_at
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.settled_at.is_some_and(|at| at <= now) {
            self.settled_at = None;
            self.choose();
        }
    }

    /// Starts a turn.
    pub(super) fn start(&mut self, input: &TurnInput) {
        let TurnInput {
            text,
            command,
            attachments,
            memory_context,
            choices,
            transcript,
            ..
        } = input;
        let prompt = if command.is_empty() {
            let before = (transcript.as_str(), memory_context.as_str());
            prompt::blocks(text, attachments, before, &self.facts)
        } else if let Some(problem) = self.commands.refusal(command) {
            let outcome = Outcome::Failed(problem);
            let prove = false;
            self.effects.push_back(Effect::End { outcome, prove });
            return;
        } else {
            // Agents look for a command in a text that stands alone.
            vec![json!({ "type": "text", "text": text })]
        };
        self.starting = Some(Starting {
            prompt,
            command: command.clone(),
            wanted: self.choosing.plan(choices, &self.options),
            awaits: None,
            steers: Vec::new(),
        });
        self.make_choices();
    }

    /// Gives a steer to the running turn.
    pub(super) fn steer(&mut self, steer_id: Uuid, text: &str, attachments: &[Attachment]) {
        if let Some(starting) = self.starting.as_mut().filter(|_| self.facts.steer) {
            let steer = (steer_id, text.to_owned(), attachments.to_vec());
            starting.steers.push(steer);
            return;
        }
        let runs = self.turn.as_ref().is_some_and(|turn| !turn.cancelled);
        if !runs || !self.facts.steer {
            self.emit(AgentEvent::SteerReturned { steer_id });
            return;
        }
        let blocks = prompt::blocks(text, attachments, ("", ""), &self.facts);
        let params = json!({
            "sessionId": self.session_id,
            "prompt": blocks,
            // It is for this turn or for none.
            "_meta": { "steering": { "idleBehavior": "promptRequired" } },
        });
        let id = self.request("_session/steering", &params, Purpose::Steer(steer_id));
        if let Some(turn) = &mut self.turn {
            turn.steers.push((id, steer_id));
        }
    }

    /// Somebody answered what the turn asked.
    pub(super) fn answer(&mut self, ask_id: String, answer: &Answer) {
        let turn = self.turn.as_mut();
        let Some(answered) = turn.and_then(|turn| turn.answer(&ask_id, answer)) else {
            // It crossed the question's end.
            return;
        };
        self.write(answered.line);
        self.emit(AgentEvent::AnswerDelivered { ask_id });
    }

    /// Stops the turn the soft way.
    pub(super) fn cancel(&mut self) {
        if self.starting.is_some() {
            // Nothing of it has reached the model.
            self.not_started(Outcome::Stopped);
            return;
        }
        let Some(turn) = self.turn.as_mut().filter(|turn| !turn.cancelled) else {
            return;
        };
        turn.cancelled = true;
        let unanswered = turn.asks.cancel_all();
        let params = json!({ "sessionId": self.session_id });
        self.write(rpc::notification("session/cancel", &params));
        // An agent whose question stays open may never come back from it.
        unanswered.into_iter().for_each(|line| self.write(line));
    }

    /// The agent wrote a line, from whose strings so many bytes were `cut`.
    pub(super) fn line(&mut self, line: &[u8], cut: usize, now: Instant) {
        match Frame::parse(line) {
            Some(Frame::Request { id, method, params }) => self.asked(id, &method, &params, now),
            Some(Frame::Notification { method, params }) => self.told(&method, &params, cut, now),
            Some(Frame::Response { id, result }) => {
                match id.and_then(|id| Some((id, self.waiting.remove(&id)?))) {
                    Some((id, purpose)) => self.answered(id, purpose, result, now),
                    None => self.ignore("an answer to nothing", now),
                }
            }
            None => self.ignore("a line that is no message", now),
        }
    }

    /// The agent wrote a line that is too long to be read.
    pub(super) fn line_lost(&mut self, now: Instant) {
        self.ignore("a line that is too long", now);
    }

    // --- opening ---

    fn answered(
        &mut self,
        id: i64,
        purpose: Purpose,
        result: Result<Value, RpcError>,
        now: Instant,
    ) {
        match (purpose, result) {
            (Purpose::Initialize, Ok(answer)) => match Facts::of(&answer) {
                Ok(facts) => {
                    self.facts = facts;
                    self.find_conversation();
                }
                Err(problem) => self.refused(problem),
            },
            (Purpose::Initialize, Err(error)) => {
                self.refused(format!("the agent does not start: {}", error.message));
            }
            (Purpose::Resume, Ok(answer)) => {
                self.remembers = true;
                self.options.hear(&answer);
                self.choose();
            }
            (Purpose::Load, Ok(answer)) => {
                self.remembers = true;
                self.options.hear(&answer);
                self.settled_at = Some(now + REPLAY_SETTLE);
            }
            (Purpose::Resume | Purpose::Load, Err(error)) => {
                tracing::warn!(
                    error = error.message,
                    "the agent does not find its conversation again and begins another one"
                );
                self.another_conversation();
            }
            (Purpose::New, Ok(answer)) => {
                self.options.hear(&answer);
                text(&answer["sessionId"]).clone_into(&mut self.session_id);
                if self.session_id.is_empty() {
                    self.refused("the agent made a session without an id".into());
                    return;
                }
                if !self.unwritten {
                    self.remember();
                }
                self.choose();
            }
            (Purpose::New, Err(error)) if error.code == AUTHENTICATION_REQUIRED => {
                self.refused(format!(
                    "the agent is not signed in to its model provider ({}); give it a key in `environment`, or its login in \
                     `template_dir`",
                    error.message
                ));
            }
            (Purpose::New, Err(error)) => {
                self.refused(format!("the agent makes no session: {}", error.message));
            }
            (Purpose::Set(wanted), Ok(answer)) => {
                self.options.hear(&answer);
                if !answer["configOptions"].is_array() {
                    self.options.made(&wanted);
                }
                self.choose();
            }
            (Purpose::Set(wanted), Err(error)) => {
                let problem = self.options.refused(&wanted, &error.message);
                self.refused(problem);
            }
            (Purpose::Choose(wanted), result) => self.choice_answered(id, &wanted, result),
            (Purpose::Prompt, result) => self.ended(id, &result),
            (Purpose::Steer(steer_id), result) => self.steered(id, steer_id, &result),
        }
    }

    fn find_conversation(&mut self) {
        let Some(conversation) = self.opening.conversation.take() else {
            self.new_conversation();
            return;
        };
        let Conversation {
            session_id,
            cost_micros,
            defaults,
        } = conversation;
        let params = json!({
            "sessionId": session_id,
            "cwd": self.opening.working_directory,
            "mcpServers": self.opening.mcp_servers,
        });
        let (method, purpose) = if self.facts.resume {
            ("session/resume", Purpose::Resume)
        } else if self.facts.load {
            ("session/load", Purpose::Load)
        } else {
            tracing::warn!(
                agent = self.facts.name,
                "the agent can't go on with a conversation and begins another one"
            );
            self.another_conversation();
            return;
        };
        self.session_id = session_id;
        self.counted_micros = cost_micros;
        self.choosing.defaults = defaults;
        self.request(method, &params, purpose);
    }

    /// In place of the one that it does not find again.
    fn another_conversation(&mut self) {
        self.unwritten = true;
        self.new_conversation();
    }

    fn new_conversation(&mut self) {
        self.session_id.clear();
        self.counted_micros = 0;
        self.choosing.defaults.clear();
        let params = json!({
            "cwd": self.opening.working_directory,
            "mcpServers": self.opening.mcp_servers,
        });
        self.request("session/new", &params, Purpose::New);
    }

    /// Chooses the operator's mode; opens the agent once that is done.
    fn choose(&mut self) {
        if let Some(wanted) = self.opening.mode.take() {
            match self.options.way(&wanted, &self.session_id) {
                Way::Nothing => {}
                Way::Call(method, params) => {
                    self.request(method, &params, Purpose::Set(wanted));
                    return;
                }
                Way::Impossible(problem) => {
                    self.refused(problem);
                    return;
                }
            }
        }
        self.effects.push_back(Effect::Opened);
    }

    fn refused(&mut self, problem: String) {
        self.effects.push_back(Effect::Refused(problem));
    }

    // --- turns ---

    fn told(&mut self, method: &str, params: &Value, cut: usize, now: Instant) {
        match method {
            "session/update" => self.updated(params, cut, now),
            "$/cancel_request" => {
                let taken = |turn: &mut Turn| turn.asks.withdrawn(&params["requestId"]);
                self.withdraw(taken);
            }
            "elicitation/complete" | "session/elicitation/complete" => {
                let id = text(&params["elicitationId"]).to_owned();
                self.withdraw(|turn| turn.asks.link_done(&id));
            }
            // Agents' own notices.
            other if other.starts_with('_') => {}
            _ => self.ignore("a notice of an unknown kind", now),
        }
    }

    fn withdraw(&mut self, taken: impl FnOnce(&mut Turn) -> Option<(String, Vec<u8>)>) {
        if let Some((ask_id, line)) = self.turn.as_mut().and_then(taken) {
            self.write(line);
            self.emit(AgentEvent::AskWithdrawn { ask_id });
        }
    }

    fn updated(&mut self, params: &Value, cut: usize, now: Instant) {
        if self.session_id.is_empty() {
            return;
        }
        if params["sessionId"] != self.session_id {
            self.subagent_updated(params, cut, now);
            return;
        }
        let update = &params["update"];
        match text(&update["sessionUpdate"]) {
            "config_option_update" | "current_mode_update" => {
                self.options.hear(update);
                if self.turn.is_some() {
                    self.tell_offers();
                }
            }
            "available_commands_update" => {
                if let Some(commands) = self.commands.hear(update) {
                    self.emit(AgentEvent::CommandsChanged { commands });
                }
            }
            "usage_update" => {
                let told = usage::cost_micros(update);
                self.told_micros = told.or(self.told_micros);
                self.told_context = usage::context(update).or(self.told_context);
            }
            _ => {}
        }
        if self.turn.is_some() && std::mem::take(&mut self.unwritten) {
            self.remember();
        }
        let Some(turn) = &mut self.turn else {
            return;
        };
        if self.past.hold(update) {
            return;
        }
        let effects = &mut self.effects;
        let mut emit = |event| effects.push_back(Effect::Emit(event));
        if !turn.hear(update, cut, &mut emit) {
            self.ignore("an update of an unknown kind", now);
        }
    }

    /// A sub-agent's updates are in a session of its own.
    fn subagent_updated(&mut self, params: &Value, cut: usize, now: Instant) {
        let id = text(&params["sessionId"]);
        let Some(turn) = self.turn.as_mut().filter(|_| !id.is_empty()) else {
            return;
        };
        if self.past_subagents.hold(id) {
            return;
        }
        let effects = &mut self.effects;
        let mut emit = |event| effects.push_back(Effect::Emit(event));
        if !turn.hear_of_subagent(id, &params["update"], cut, &mut emit) {
            self.ignore("an update of an unknown kind", now);
        }
    }

    fn asked(&mut self, id: Value, method: &str, params: &Value, now: Instant) {
        let (cancelled, elicits): (fn(&Value) -> Vec<u8>, bool) = match method {
            "session/request_permission" => (cancelled_permission, false),
            "elicitation/create" | "session/elicitation" => (cancelled_elicitation, true),
            _ => {
                self.write(rpc::refuse(&id, method));
                return;
            }
        };
        let running = self.turn.as_mut().filter(|turn| !turn.cancelled);
        let Some(turn) = running else {
            self.write(cancelled(&id));
            return;
        };
        let effects = &mut self.effects;
        let mut emit = |event| effects.push_back(Effect::Emit(event));
        let asked = if elicits {
            turn.asks.elicitation(id, params)
        } else {
            let session = params["sessionId"].as_str();
            let sub_agent = session.filter(|it| *it != self.session_id);
            turn.permission(id, params, sub_agent, &mut emit)
        };
        match asked {
            Asked::Open(ask_id, ask) => self.emit(AgentEvent::Asked { ask_id, ask }),
            Asked::Refused(line, why) => {
                self.write(line);
                self.ignore(why, now);
            }
        }
    }

    fn steered(&mut self, id: i64, steer_id: Uuid, result: &Result<Value, RpcError>) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        let at = turn.steers.iter().position(|(request, _)| *request == id);
        let Some(at) = at else {
            // Its turn is over, which answered it.
            return;
        };
        turn.steers.remove(at);
        let injected = result.as_ref().is_ok_and(|it| it["outcome"] == "injected");
        self.emit(if injected {
            AgentEvent::SteerApplied { steer_id }
        } else {
            AgentEvent::SteerReturned { steer_id }
        });
    }

    fn ended(&mut self, id: i64, reply: &Result<Value, RpcError>) {
        let Some(mut turn) = self.turn.take_if(|turn| turn.prompt_id == id) else {
            return;
        };
        let unanswered = turn.asks.cancel_all();
        unanswered.into_iter().for_each(|line| self.write(line));
        for (_, steer_id) in std::mem::take(&mut turn.steers) {
            self.emit(AgentEvent::SteerReturned { steer_id });
        }
        let prove = turn.cancelled;
        let compacts = turn.command == command::COMPACT;
        let effects = &mut self.effects;
        let (outcome, calls, subagents) =
            turn.end(reply, &mut |event| effects.push_back(Effect::Emit(event)));
        if compacts {
            self.emit(AgentEvent::CompactionCompleted {
                reason: COMPACTION_REASON.to_owned(),
                summary: String::new(),
                aborted: outcome == Outcome::Stopped,
                error_message: match &outcome {
                    Outcome::Failed(message) | Outcome::OutputInvalid(message) => message.clone(),
                    Outcome::Completed(_) | Outcome::Stopped => String::new(),
                },
                tokens_before: 0,
                kept: false,
            });
        }
        self.past.extend(calls);
        self.past_subagents.extend(subagents);
        self.count(reply.as_ref().unwrap_or(&Value::Null));
        self.effects.push_back(Effect::End { outcome, prove });
    }

    /// Counts what the turn used.
    fn count(&mut self, reply: &Value) {
        let told = self.told_micros.take().unwrap_or(self.counted_micros);
        let cost_micros = match told.checked_sub(self.counted_micros) {
            Some(more @ 0..) => more,
            // The agent began to count anew.
            Some(_) | None => told,
        };
        let changed = told != self.counted_micros;
        self.counted_micros = told;
        if changed {
            self.remember();
        }
        let usage = usage::of_reply(reply);
        if usage.is_none() && cost_micros == 0 {
            return;
        }
        let usage = Usage {
            cost_micros,
            model_calls: 1,
            ..usage.unwrap_or_default()
        };
        let model = usage::model(reply)
            .unwrap_or_else(|| self.options.model())
            .to_owned();
        self.emit(AgentEvent::UsageRecorded(Box::new(UsageReport {
            usage,
            model,
            granularity: Granularity::Turn,
            context: self.told_context,
        })));
    }

    // --- words ---

    fn remember(&mut self) {
        self.effects.push_back(Effect::Remember(Conversation {
            session_id: self.session_id.clone(),
            cost_micros: self.counted_micros,
            defaults: self.choosing.defaults.clone(),
        }));
    }

    fn emit(&mut self, event: AgentEvent) {
        self.effects.push_back(Effect::Emit(event));
    }

    fn write(&mut self, line: Vec<u8>) {
        self.effects.push_back(Effect::Write(line));
    }

    fn request(&mut self, method: &str, params: &Value, purpose: Purpose) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.insert(id, purpose);
        self.write(rpc::request(id, method, params));
        id
    }

    /// Counts what was passed over, and says so, not at every word of an agent that says much.
    fn ignore(&mut self, what: &'static str, now: Instant) {
        let Ignored { count, told_at } = &mut self.ignored;
        *count += 1;
        if told_at.is_none_or(|at| now >= at + IGNORED_LOG_EVERY) {
            tracing::warn!(newest = what, count, "passed over what the agent said");
            (*count, *told_at) = (0, Some(now));
        }
    }
}

#[cfg(test)]
mod tests;
