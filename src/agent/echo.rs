//! The `echo` agent: deterministic, in process, needs nothing. Its language is the contract's §8.

use super::{
    Agent, AgentCommand, AgentEvent, COMMANDS_MAX, Capabilities, Driver, OpenRequest, Outcome,
    StartError, TurnInput,
    events::{self, EventSender},
    output::{TRIES_MAX, Wanted},
};
use crate::domain::{
    agent::{ToolPolicySupport, UsageReports},
    command::{self, COMMANDS_MAX as COMMANDS_MAX_OF_ONE, Command},
    event::{Json, PlanEntry, PlanStatus, Role},
    message::Part,
    offers::{AgentOption, Choices, Model, Offers, OptionValue},
    question::{self, Answer, Ask, OptionEffect, QuestionKind, QuestionOption},
    subagent::SubagentEvent,
    turn::{Attachment, ContextUse, Granularity, StopReason, Usage},
    usage::UsageReport,
};
use async_trait::async_trait;
use std::{cmp::Ordering, collections::VecDeque, time::Duration};
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

/// Output of one turn at most, in bytes.
pub const OUTPUT_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Questions of one turn.
pub const ASKS_MAX: usize = 64;
/// Sub-agents of one turn.
const SUBAGENTS_MAX: usize = 8;
/// Its command.
const UPPER: &str = "upper";
/// Calls that one turn says it made.
pub const USAGE_MAX: usize = 64;
/// The model that it says it is, unless another one is chosen.
const DEFAULT_MODEL: &str = "echo/plain";
/// Longest pause between tokens.
pub const DELAY_MAX: Duration = Duration::from_secs(60);

/// The option that there is.
const STYLE: &str = "style";

/// What the directives at the start of a prompt ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    delay: Duration,
    repeat: usize,
    think: Option<String>,
    tool: Option<(String, bool)>,
    fail: Option<String>,
    /// What is asked before the answer, in order.
    asks: Vec<AskFor>,
    /// Steps of the plan that is told before the answer.
    plan: Vec<String>,
    /// Sub-agents that it gives its text to, each by the one before.
    subagents: Vec<String>,
    /// Names of what it makes of its text.
    artifacts: Vec<String>,
    /// What it says that it used.
    usage: Vec<UsageReport>,
    /// What it gives as the turn's output, one try after the other; without any its text is the one try.
    outputs: Vec<String>,
    hang: bool,
    stubborn: bool,
    /// Ends without waiting for what it asks.
    leaves: bool,
    memory: bool,
    history: bool,
    /// Answers with what is chosen.
    chosen: bool,
    /// Commands that it has from now on.
    commands: Option<Vec<String>>,
    text: String,
}

/// Something to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum AskFor {
    /// Permission to run a tool.
    Tool(String),
    /// Values of a form: names of its properties, each a text; one that begins with `*` is secret.
    Form(Vec<String>),
    /// A visit to a link.
    Link(String),
    /// A tool that the caller runs, and its arguments, JSON text; empty for the text that is said.
    Call(String, String),
}

/// The driver. Holds nothing: what an echo agent knows of its conversation comes with each turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

struct Session {
    commands: mpsc::Receiver<AgentCommand>,
    events: EventSender,
    /// Steers that wait for the next token.
    steers: VecDeque<(Uuid, String)>,
    /// Answers that came.
    answers: VecDeque<(String, Answer)>,
    /// What was told that can be chosen.
    told: Option<Offers>,
    /// Its commands.
    commands_known: Vec<Command>,
    /// What it is asked to call its model; empty is `echo`.
    model: String,
}

/// Why a turn does not go on.
enum Stop {
    /// Cancelled or killed.
    Stopped,
    /// The session's actor is gone.
    Closed,
}

// === impl Script ===

impl Script {
    /// Reads the directives; the first word that is no known directive ends them.
    pub fn parse(prompt: &str) -> Self {
        let mut script = Self {
            repeat: 1,
            ..Self::default()
        };
        let mut rest = prompt;
        while let Some(after) = script.directive(rest) {
            rest = after;
        }
        rest.clone_into(&mut script.text);
        script
    }

    /// Takes one directive and the blank after it; `None` where the text begins.
    fn directive<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let word = text.strip_prefix('!')?;
        if let Some(value) = word.strip_prefix("json=") {
            let fits = self.outputs.len() < ASKS_MAX;
            let (output, rest) = json_or_word(value);
            self.outputs.push(output.to_owned());
            return fits.then_some(rest);
        }
        let (word, mut rest) = word.split_once(' ').unwrap_or((word, ""));
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        match (name, value) {
            ("delay", Some(value)) => {
                self.delay = humantime::parse_duration(value).ok()?.min(DELAY_MAX);
            }
            ("repeat", Some(value)) => self.repeat = value.parse().ok().filter(|n| *n > 0)?,
            ("think", Some(value)) => self.think = Some(value.replace('_', " ")),
            ("tool", Some(value)) => self.tool = Some((value.to_owned(), false)),
            ("toolfail", Some(value)) => self.tool = Some((value.to_owned(), true)),
            ("fail", Some(value)) => self.fail = Some(value.to_owned()),
            ("ask", Some(value)) => self.ask_for(AskFor::Tool(value.to_owned()))?,
            ("form", Some(value)) => {
                let names = value.split(',').map(str::to_owned).collect();
                self.ask_for(AskFor::Form(names))?;
            }
            ("link", Some(value)) => self.ask_for(AskFor::Link(value.to_owned()))?,
            ("call", Some(value)) => {
                let mut args = "";
                if rest.starts_with('{') {
                    (args, rest) = json_or_word(rest);
                }
                self.ask_for(AskFor::Call(value.to_owned(), args.to_owned()))?;
            }
            ("plan", Some(value)) => {
                self.plan = value
                    .split(',')
                    .map(|step| step.replace('_', " "))
                    .collect();
            }
            ("subagent", Some(value)) => {
                self.subagents = value.split(',').map(str::to_owned).collect();
                self.subagents.truncate(SUBAGENTS_MAX);
            }
            ("artifact", Some(value)) if self.artifacts.len() < ASKS_MAX => {
                self.artifacts.push(value.to_owned());
            }
            ("commands", Some(value)) => {
                self.commands = Some(value.split(',').map(str::to_owned).collect());
            }
            ("usage", Some(value)) if self.usage.len() < USAGE_MAX => {
                self.usage.push(usage_of(value)?);
            }
            ("hang", None) => self.hang = true,
            ("stubborn", None) => self.stubborn = true,
            ("leave", None) => self.leaves = true,
            ("memory", None) => self.memory = true,
            ("history", None) => self.history = true,
            ("chosen", None) => self.chosen = true,
            _ => return None,
        }
        Some(rest)
    }

    /// Asks for one thing more; `None` beyond the bound.
    fn ask_for(&mut self, what: AskFor) -> Option<()> {
        let fits = self.asks.len() < ASKS_MAX;
        if fits {
            self.asks.push(what);
        }
        fits.then_some(())
    }

    /// The text to stream.
    fn reply(&self, input: &TurnInput) -> String {
        let text = if self.memory {
            input.memory_context.clone()
        } else if self.chosen {
            chosen(&input.choices)
        } else if self.history {
            input.user_messages_before.to_string()
        } else {
            self.text.clone()
        };
        let mut reply = String::new();
        for n in 0..self.repeat {
            if reply.len() + text.len() + 1 > OUTPUT_MAX_BYTES {
                break;
            }
            if n > 0 {
                reply.push(' ');
            }
            reply.push_str(&text);
        }
        reply
    }
}

/// The JSON value that a text begins with, or its first word; and what stands behind it and a blank.
fn json_or_word(text: &str) -> (&str, &str) {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let end = match values.next() {
        Some(Ok(_)) => values.byte_offset(),
        Some(Err(_)) | None => text.find(' ').unwrap_or(text.len()),
    };
    let (value, rest) = text.split_at(end);
    (value, rest.strip_prefix(' ').unwrap_or(rest))
}

/// Splits into words that keep the white space after them; joined they are the text.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut seen_word = false;
        let mut in_space = false;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                if c.is_whitespace() {
                    in_space = seen_word;
                    false
                } else {
                    seen_word = true;
                    in_space
                }
            })
            .map_or(rest.len(), |(at, _)| at);
        let (token, after) = rest.split_at(end);
        rest = after;
        Some(token)
    })
}

// === impl AskFor ===

impl AskFor {
    /// What is asked.
    fn ask(&self, call: &str, text: &str) -> Ask {
        let option = |option_id: &str, label: &str, effect| QuestionOption {
            option_id: option_id.to_owned(),
            label: label.to_owned(),
            effect,
        };
        let args = Json {
            text: serde_json::json!({ "text": text }).to_string(),
            full_size: None,
        };
        let mut ask = Ask {
            kind: QuestionKind::Permission,
            title: String::new(),
            tool_call_id: String::new(),
            tool_name: String::new(),
            args: Json::default(),
            options: Vec::new(),
            schema_json: String::new(),
            url: String::new(),
            agent_path: Vec::new(),
        };
        match self {
            Self::Tool(name) => {
                ask.title = format!("Run {name}?");
                call.clone_into(&mut ask.tool_call_id);
                name.clone_into(&mut ask.tool_name);
                ask.args = args;
                ask.options = vec![
                    option("allow", "Allow once", Some(OptionEffect::AllowOnce)),
                    option("deny", "Deny", Some(OptionEffect::DenyOnce)),
                ];
            }
            Self::Form(names) => {
                ask.kind = QuestionKind::Form;
                "Please fill in".clone_into(&mut ask.title);
                ask.schema_json = form(names);
            }
            Self::Link(url) => {
                ask.kind = QuestionKind::Link;
                "Please open the link".clone_into(&mut ask.title);
                url.clone_into(&mut ask.url);
                ask.options = vec![option(question::DONE, "Done", None)];
            }
            Self::Call(name, given) => {
                ask.kind = QuestionKind::ToolCall;
                ask.title = format!("Run {name} and give its result");
                call.clone_into(&mut ask.tool_call_id);
                name.clone_into(&mut ask.tool_name);
                ask.args = args;
                if !given.is_empty() {
                    given.clone_into(&mut ask.args.text);
                }
            }
        }
        ask
    }

    /// Whether the caller runs it.
    fn is_call(&self) -> bool {
        matches!(self, Self::Call(..))
    }

    /// Whether the tool may run.
    fn allowed(&self, answer: &Answer) -> bool {
        matches!(self, Self::Tool(_)) && !answer.declined && answer.option_id == "allow"
    }

    /// What came of it, in words. What a form keeps secret is not said.
    fn told(&self, answer: &Answer) -> String {
        match self {
            Self::Tool(name) if self.allowed(answer) => format!("[{name}: allowed] "),
            Self::Tool(name) => format!("[{name}: denied] "),
            Self::Form(_) | Self::Link(_) | Self::Call(..) if answer.declined => {
                "[declined] ".to_owned()
            }
            Self::Form(names) => {
                let content = serde_json::from_str(&answer.content_json).unwrap_or_default();
                let serde_json::Value::Object(mut content) = content else {
                    return String::new();
                };
                content.retain(|name, _| names.contains(name));
                format!("[form: {}] ", serde_json::Value::Object(content))
            }
            Self::Link(_) => "[link: done] ".to_owned(),
            Self::Call(name, _) if answer.is_error => {
                format!("[{name} failed: {}] ", answer.content_json)
            }
            Self::Call(name, _) => format!("[{name}: {}] ", answer.content_json),
        }
    }
}

/// What can be chosen, and is: two models, of which one thinks, and one that never can be used; an option. Any other model is
/// taken as it is.
fn offers(choices: &Choices) -> Result<Offers, String> {
    let model = |name: &str, levels: &[&str]| Model {
        id: format!("echo/{name}"),
        display_name: format!("Echo, {name}"),
        reasoning: Some(!levels.is_empty()),
        vision: Some(false),
        tools: Some(true),
        thinking_levels: Some(levels.iter().map(|&level| level.to_owned()).collect()),
        ..Model::default()
    };
    let or = |chosen: &str, default: &str| {
        let word = if chosen.is_empty() { default } else { chosen };
        word.to_owned()
    };
    let style = choices.options.get(STYLE).map_or("", String::as_str);
    let offers = Offers {
        models: vec![
            model("plain", &[]),
            model("deep", &["low", "high"]),
            model("broken", &[]),
        ],
        default_model: DEFAULT_MODEL.to_owned(),
        model: or(&choices.model, DEFAULT_MODEL),
        thinking_level: choices.thinking_level.clone(),
        options: vec![AgentOption {
            id: STYLE.to_owned(),
            name: "Style".to_owned(),
            description: "How it answers; it makes no difference".to_owned(),
            category: "style".to_owned(),
            values: ["calm", "brisk"].map(OptionValue::of).into(),
            current: or(style, "calm"),
            default: "calm".to_owned(),
        }],
    };
    if offers.model == "echo/broken" {
        return Err("the model echo/broken can't be used; choose another one".to_owned());
    }
    if let Some(other) = choices.options.keys().find(|option_id| *option_id != STYLE) {
        return Err(format!("there is no option {other}; give it back"));
    }
    Ok(offers)
}

/// A call that it says it made: tokens read, tokens written, and the model where it is not the session's.
fn usage_of(value: &str) -> Option<UsageReport> {
    let mut parts = value.splitn(3, ',');
    let mut tokens = || parts.next()?.parse().ok().filter(|it: &i64| *it >= 0);
    let usage = Usage {
        input_tokens: tokens()?,
        output_tokens: tokens()?,
        model_calls: 1,
        ..Usage::default()
    };
    Some(UsageReport {
        usage,
        model: parts.next().unwrap_or_default().to_owned(),
        granularity: Granularity::Call,
        context: Some(ContextUse {
            tokens: usage.tokens(),
            window: 0,
        }),
    })
}

/// What is chosen, in words.
fn chosen(choices: &Choices) -> String {
    let Choices {
        model,
        thinking_level,
        options,
    } = choices;
    let options = options.iter().map(|(id, value)| format!(" {id}={value}"));
    format!(
        "model={model} thinking={thinking_level}{}",
        options.collect::<String>()
    )
}

/// The end of a call that the caller ran, or did not.
fn called(tool_call_id: String, answer: Answer) -> AgentEvent {
    let is_error = answer.is_error || answer.declined;
    AgentEvent::ToolCompleted {
        tool_call_id,
        result_json: match answer.declined {
            true => "\"declined\"".to_owned(),
            false => answer.content_json,
        },
        is_error,
        full_size: None,
        pictures: vec![],
    }
}

/// The schema of a form of texts.
fn form(names: &[String]) -> String {
    let mut properties = serde_json::Map::new();
    for name in names {
        let (name, property) = match name.strip_prefix('*') {
            Some(name) => (
                name,
                serde_json::json!({ "type": "string", "x-secret": true }),
            ),
            None => (name.as_str(), serde_json::json!({ "type": "string" })),
        };
        properties.insert(name.to_owned(), property);
    }
    let required: Vec<&String> = properties.keys().collect();
    serde_json::json!({ "type": "object", "required": required, "properties": properties })
        .to_string()
}

// === impl Echo ===

#[async_trait]
impl Driver for Echo {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            steer: true,
            soft_cancel: true,
            images: true,
            thinking: true,
            models: true,
            options: true,
            fork: true,
            compaction: true,
            commands: true,
            questions: true,
            tool_policy: ToolPolicySupport::OnRequest,
            resume: true,
            usage: UsageReports::Call,
            deny_continues: true,
            workspace: false,
            workspace_diff: false,
            sub_agents: true,
            client_tools: true,
            structured_output: true,
        }
    }

    async fn open(&self, request: OpenRequest) -> Result<Agent, StartError> {
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        let (event_sender, events) = events::channel();
        let session = Session {
            commands: command_receiver,
            events: event_sender,
            steers: VecDeque::new(),
            answers: VecDeque::new(),
            told: None,
            commands_known: Command::bounded(UPPER, "Says a text in capitals", "TEXT")
                .into_iter()
                .collect(),
            model: request.model,
        };
        tokio::spawn(session.run());
        Ok(Agent {
            commands,
            events,
            capabilities: self.capabilities(),
            takes_choices: true,
            submits: false,
            // What it knows of it comes with each turn.
            remembers: true,
            version: env!("CARGO_PKG_VERSION").into(),
        })
    }
}

// === impl Session ===

impl Session {
    async fn run(mut self) {
        let model = std::mem::take(&mut self.model);
        let ready = AgentEvent::Ready {
            model: if model.is_empty() {
                "echo".into()
            } else {
                model
            },
        };
        if self.events.send(ready).await.is_err() || self.tell_commands().await.is_err() {
            return;
        }
        while let Some(command) = self.commands.recv().await {
            match command {
                AgentCommand::StartTurn(input) => {
                    let outcome = match self.turn(&input).await {
                        Ok(outcome) => outcome,
                        Err(Stop::Stopped) => Outcome::Stopped,
                        Err(Stop::Closed) => return,
                    };
                    self.steers.clear();
                    self.answers.clear();
                    if self.emit(AgentEvent::TurnEnded(outcome)).await.is_err() {
                        return;
                    }
                }
                AgentCommand::Steer { steer_id, .. } => {
                    if self
                        .emit(AgentEvent::SteerReturned { steer_id })
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                AgentCommand::Cancel
                | AgentCommand::Call
                | AgentCommand::Kill
                | AgentCommand::Answer { .. } => {}
            }
        }
    }

    async fn turn(&mut self, input: &TurnInput) -> Result<Outcome, Stop> {
        if !input.command.is_empty() {
            return self.command(input).await;
        }
        let script = Script::parse(&input.text);
        let offers = match offers(&input.choices) {
            Ok(offers) => offers,
            Err(problem) => return Ok(Outcome::Failed(problem)),
        };
        if self.told.as_ref() != Some(&offers) {
            self.told = Some(offers.clone());
            let offers = Box::new(offers);
            self.emit(AgentEvent::Offered { offers }).await?;
        }
        if let Some(names) = &script.commands {
            let named = names
                .iter()
                .filter_map(|name| Command::bounded(name, "", ""));
            self.commands_known = named.take(COMMANDS_MAX_OF_ONE).collect();
            self.tell_commands().await?;
        }
        if script.hang {
            loop {
                self.wait_until(None, &script).await?;
            }
        }
        self.emit(AgentEvent::MessageStarted).await?;
        let mut content_index = 0;
        if let Some(thinking) = &script.think {
            for token in tokens(thinking) {
                let delta = token.to_owned();
                self.emit(AgentEvent::ThinkingDelta {
                    content_index,
                    delta,
                })
                .await?;
                self.pause(&script).await?;
            }
            let text = thinking.clone();
            self.emit(AgentEvent::ThinkingCompleted {
                content_index,
                text,
            })
            .await?;
            content_index += 1;
        }
        if let Some((name, fails)) = &script.tool {
            self.emit(AgentEvent::MessageCompleted { blocks: vec![] })
                .await?;
            self.tool(name, *fails, &script).await?;
            self.emit(AgentEvent::MessageStarted).await?;
            content_index = 0;
        }
        if !script.plan.is_empty() {
            self.plan(&script, 0).await?;
        }
        let mut heard = String::new();
        if !script.asks.is_empty() {
            self.emit(AgentEvent::MessageCompleted { blocks: vec![] })
                .await?;
            heard = self.ask_all(&script).await?;
            self.emit(AgentEvent::MessageStarted).await?;
            content_index = 0;
        }
        if !script.plan.is_empty() {
            self.plan(&script, script.plan.len()).await?;
        }
        if !script.subagents.is_empty() {
            self.subagents(&script).await?;
        }
        for name in &script.artifacts {
            let text = script.text.clone().into_bytes();
            let artifact = Attachment::new(name.clone(), "text/plain".to_owned(), text.into());
            self.emit(AgentEvent::ArtifactCreated {
                title: format!("What became of {name}"),
                artifact: Box::new(artifact),
            })
            .await?;
        }
        if let Some(reason) = &script.fail {
            self.emit(AgentEvent::MessageCompleted { blocks: vec![] })
                .await?;
            return Ok(Outcome::Failed(reason.clone()));
        }
        let reply = heard + &script.reply(input);
        let mut said = String::with_capacity(reply.len());
        let mut tokens = tokens(&reply);
        loop {
            self.pause(&script).await?;
            let delta = match self.next_steer().await? {
                Some(text) => format!(" [steer: {text}]"),
                None => match tokens.next() {
                    Some(token) => token.to_owned(),
                    None => break,
                },
            };
            said.push_str(&delta);
            self.emit(AgentEvent::TextDelta {
                content_index,
                delta,
            })
            .await?;
        }
        let blocks = vec![(content_index, said.clone())];
        self.emit(AgentEvent::MessageCompleted { blocks }).await?;
        for mut report in script.usage.clone() {
            if report.model.is_empty() {
                report.model = match input.choices.model.as_str() {
                    "" => DEFAULT_MODEL.to_owned(),
                    model => model.to_owned(),
                };
            }
            self.emit(AgentEvent::UsageRecorded(Box::new(report)))
                .await?;
        }
        match Wanted::of(&input.output_schema) {
            Some(wanted) => self.answer_by_schema(wanted, &script, &said).await,
            None => Ok(Outcome::Completed(StopReason::Stop)),
        }
    }

    /// Gives the outputs that the script has, until one is right; without any, what was said is the only one.
    async fn answer_by_schema(
        &mut self,
        mut wanted: Wanted,
        script: &Script,
        said: &str,
    ) -> Result<Outcome, Stop> {
        let said = [said.to_owned()];
        let outputs = match script.outputs.as_slice() {
            [] => &said,
            outputs => outputs,
        };
        for output in outputs.iter().take(TRIES_MAX as usize) {
            if let Ok(output_json) = wanted.offer(output) {
                self.emit(AgentEvent::OutputAccepted { output_json })
                    .await?;
                return Ok(Outcome::Completed(StopReason::Stop));
            }
        }
        Ok(wanted.failure())
    }

    async fn tell_commands(&mut self) -> Result<(), Stop> {
        let commands = self.commands_known.clone();
        self.emit(AgentEvent::CommandsChanged { commands }).await
    }

    /// Runs a command: says its arguments after its name, or in capitals.
    async fn command(&mut self, input: &TurnInput) -> Result<Outcome, Stop> {
        let name = input.command.as_str();
        let arguments = command::arguments(&input.text, name);
        if name == command::COMPACT {
            let reason = "manual".to_owned();
            self.emit(AgentEvent::CompactionStarted {
                reason: reason.clone(),
            })
            .await?;
            self.emit(AgentEvent::CompactionCompleted {
                reason,
                summary: arguments.to_owned(),
                aborted: false,
                error_message: String::new(),
                tokens_before: input.user_messages_before,
                kept: false,
            })
            .await?;
            return Ok(Outcome::Completed(StopReason::Stop));
        }
        if !self.commands_known.iter().any(|it| it.name == name) {
            return Ok(Outcome::Failed(format!("echo has no command {name}")));
        }
        let said = if name == UPPER {
            arguments.to_uppercase()
        } else {
            format!("[{name}: {arguments}]")
        };
        self.emit(AgentEvent::MessageStarted).await?;
        let blocks = vec![(0, said)];
        self.emit(AgentEvent::MessageCompleted { blocks }).await?;
        Ok(Outcome::Completed(StopReason::Stop))
    }

    /// Tells the plan, with so many steps done and the next under way.
    async fn plan(&mut self, script: &Script, done: usize) -> Result<(), Stop> {
        let steps = script.plan.iter().enumerate();
        let entries = steps.map(|(nth, text)| PlanEntry {
            text: text.clone(),
            status: match nth.cmp(&done) {
                Ordering::Less => PlanStatus::Completed,
                Ordering::Equal => PlanStatus::InProgress,
                Ordering::Greater => PlanStatus::Pending,
            },
            priority: String::new(),
        });
        let entries = entries.collect();
        self.emit(AgentEvent::PlanUpdated { entries }).await
    }

    /// Gives the text to a sub-agent, which gives it to the next; each says it, runs a tool, and answers. Then they end, the
    /// last one first.
    async fn subagents(&mut self, script: &Script) -> Result<(), Stop> {
        let id = |nth: usize| format!("agent_{}", nth + 1);
        for (nth, name) in script.subagents.iter().enumerate() {
            let parent_agent_id = nth.checked_sub(1).map(id).unwrap_or_default();
            let started = SubagentEvent::Started {
                parent_agent_id,
                name: name.clone(),
                tool_call_id: String::new(),
                task: script.text.clone(),
            };
            self.of_subagent(id(nth), started).await?;
            self.pause(script).await?;
            let text = Part::Text {
                content_index: 0,
                text: format!("{name}: {}", script.text),
            };
            let json = |word: &str| Json {
                text: serde_json::json!({ "text": word }).to_string(),
                full_size: None,
            };
            let call = Part::ToolCall {
                tool_call_id: format!("{}_call", id(nth)),
                tool_name: "look".to_owned(),
                args: json(&script.text),
                result: json("seen"),
                is_error: false,
            };
            for (role, part) in [(Role::Assistant, text), (Role::Tool, call)] {
                let parts = vec![part];
                self.of_subagent(id(nth), SubagentEvent::Item { role, parts })
                    .await?;
            }
            self.pause(script).await?;
        }
        for (nth, name) in script.subagents.iter().enumerate().rev() {
            let completed = SubagentEvent::Completed {
                is_error: false,
                response: format!("{name} is done"),
            };
            self.of_subagent(id(nth), completed).await?;
        }
        Ok(())
    }

    async fn of_subagent(&mut self, agent_id: String, said: SubagentEvent) -> Result<(), Stop> {
        let said = Box::new(said);
        self.emit(AgentEvent::Subagent { agent_id, said }).await
    }

    /// Asks everything at once, waits for all answers, and tells what came of each: the words that the answer begins with.
    async fn ask_all(&mut self, script: &Script) -> Result<String, Stop> {
        let mut open: Vec<(String, &AskFor, Option<Answer>)> = Vec::new();
        let named = || {
            let asks = script.asks.iter().enumerate();
            asks.map(|(nth, what)| (format!("ask_{}", nth + 1), what))
        };
        // All of them first: who reads along sees that the turn waits for all.
        for (tool_call_id, what) in named().filter(|(_, what)| what.is_call()) {
            let ask = what.ask(&tool_call_id, &script.text);
            self.emit(AgentEvent::ToolStarted {
                tool_call_id,
                tool_name: ask.tool_name,
                args_json: ask.args.text,
            })
            .await?;
        }
        for (ask_id, what) in named() {
            let ask = Box::new(what.ask(&ask_id, &script.text));
            let event = AgentEvent::Asked {
                ask_id: ask_id.clone(),
                ask,
            };
            self.emit(event).await?;
            open.push((ask_id, what, None));
        }
        if script.leaves {
            self.pause(script).await?;
            return Ok(String::new());
        }
        while open.iter().any(|(_, _, answer)| answer.is_none()) {
            while let Some((ask_id, answer)) = self.answers.pop_front() {
                let mut waiting = open.iter_mut();
                if let Some((_, what, heard)) = waiting.find(|(id, _, _)| *id == ask_id) {
                    let is_call = what.is_call();
                    *heard = Some(answer.clone());
                    let tool_call_id = ask_id.clone();
                    self.emit(AgentEvent::AnswerDelivered { ask_id }).await?;
                    if is_call {
                        self.emit(called(tool_call_id, answer)).await?;
                    }
                }
            }
            if open.iter().any(|(_, _, answer)| answer.is_none()) {
                let command = self.commands.recv().await.ok_or(Stop::Closed)?;
                self.take(command, script)?;
            }
        }
        let mut heard = String::new();
        for (_, what, answer) in open {
            let Some(answer) = answer else { continue };
            if let AskFor::Tool(name) = what
                && what.allowed(&answer)
            {
                self.tool(name, false, script).await?;
            }
            heard += &what.told(&answer);
        }
        Ok(heard)
    }

    async fn tool(&mut self, name: &str, fails: bool, script: &Script) -> Result<(), Stop> {
        let tool_call_id = "call_1".to_owned();
        let json = |key: &str| serde_json::json!({ key: script.text }).to_string();
        self.emit(AgentEvent::ToolStarted {
            tool_call_id: tool_call_id.clone(),
            tool_name: name.to_owned(),
            args_json: json("text"),
        })
        .await?;
        self.pause(script).await?;
        self.emit(AgentEvent::ToolUpdate {
            tool_call_id: tool_call_id.clone(),
            partial_result_json: json("partial"),
        })
        .await?;
        self.pause(script).await?;
        self.emit(AgentEvent::ToolCompleted {
            tool_call_id,
            result_json: json(if fails { "error" } else { "output" }),
            is_error: fails,
            full_size: None,
            pictures: vec![],
        })
        .await
    }

    /// Applies the oldest waiting steer.
    async fn next_steer(&mut self) -> Result<Option<String>, Stop> {
        let Some((steer_id, text)) = self.steers.pop_front() else {
            return Ok(None);
        };
        self.emit(AgentEvent::SteerApplied { steer_id }).await?;
        Ok(Some(text))
    }

    async fn emit(&mut self, event: AgentEvent) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop::Closed)
    }

    /// Waits out the delay and takes what commands came meanwhile.
    async fn pause(&mut self, script: &Script) -> Result<(), Stop> {
        if script.delay.is_zero() {
            // A timer rounds up to a millisecond; without a delay only look at what is there.
            while let Ok(command) = self.commands.try_recv() {
                self.take(command, script)?;
            }
            return Ok(());
        }
        self.wait_until(Some(Instant::now() + script.delay), script)
            .await
    }

    async fn wait_until(&mut self, until: Option<Instant>, script: &Script) -> Result<(), Stop> {
        loop {
            let command = tokio::select! {
                biased;
                command = self.commands.recv() => command.ok_or(Stop::Closed)?,
                () = async {
                    match until {
                        Some(until) => tokio::time::sleep_until(until).await,
                        None => std::future::pending().await,
                    }
                } => return Ok(()),
            };
            self.take(command, script)?;
        }
    }

    fn take(&mut self, command: AgentCommand, script: &Script) -> Result<(), Stop> {
        match command {
            AgentCommand::Kill => return Err(Stop::Stopped),
            AgentCommand::Cancel if !script.stubborn => return Err(Stop::Stopped),
            AgentCommand::Steer { steer_id, text, .. } => self.steers.push_back((steer_id, text)),
            // A stubborn turn ignores the soft way; a second start can't come while one runs.
            AgentCommand::Cancel | AgentCommand::Call | AgentCommand::StartTurn(_) => {}
            AgentCommand::Answer { ask_id, answer } => self.answers.push_back((ask_id, *answer)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn directives_stand_at_the_start_and_end_at_the_first_other_word() {
        let script = Script::parse("!delay=50ms !repeat=3 !think=a_b !nothing !hang x");
        assert_eq!(script.delay, Duration::from_millis(50));
        assert_eq!(script.repeat, 3);
        assert_eq!(script.think.as_deref(), Some("a b"));
        assert_eq!(script.text, "!nothing !hang x");
        assert!(!script.hang);
        let asking = Script::parse("!ask=bash !form=name,*token !plan=a_b,c x");
        let form = AskFor::Form(vec!["name".into(), "*token".into()]);
        assert_eq!(asking.asks, [AskFor::Tool("bash".into()), form]);
        assert_eq!(asking.plan, ["a b", "c"]);
        assert_eq!(asking.text, "x");
        let giving =
            Script::parse("!json={\"a\": [1, 2]} !json=no !call=weather {\"city\": \"Ghent\"} x");
        assert_eq!(giving.outputs, ["{\"a\": [1, 2]}", "no"]);
        let call = AskFor::Call("weather".into(), "{\"city\": \"Ghent\"}".into());
        assert_eq!((giving.asks, giving.text.as_str()), (vec![call], "x"));
        assert!(Script::parse("!hang").hang);
        assert_eq!(Script::parse("!delay=soon x").text, "!delay=soon x");
        assert_eq!(Script::parse("!fail=WHY ").fail.as_deref(), Some("WHY"));
        assert_eq!(Script::parse("!hang  x").text, " x");
    }

    proptest! {
        #[test]
        fn tokens_joined_are_the_text(text in "[ a-zß\n\t]{0,60}") {
            let all: Vec<&str> = tokens(&text).collect();
            prop_assert_eq!(all.concat(), text.clone());
            let words = text.split_whitespace().count();
            prop_assert_eq!(all.len(), words.max(usize::from(!text.is_empty())));
        }
    }
}
