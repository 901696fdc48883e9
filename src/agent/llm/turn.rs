//! One turn of the loop, pure: [`Turn::hear`] takes what happened and says what is to be done. No I/O and no clock.
//!
//! The model is called, its reply told, its calls answered, and it is called again, until it calls nothing. Steers are
//! taken in front of each call; a reply that ends the turn while one waits is followed by another call.

use super::{
    conversation::{self, Item, ToolResult},
    http::Said,
    mcp::Ran,
    provider::{Fault, FaultKind, Piece, Reply, Stop, ToolCall},
    tools::{Runs, Tool},
};
use crate::{
    agent::{
        AgentEvent, Outcome,
        output::{Wanted, unfenced},
    },
    domain::{
        event::Json,
        limits::cut_json,
        question::{Answer, Ask, OptionEffect, PENDING_MAX, QuestionKind, QuestionOption},
        tool_policy::SUBMIT_RESULT,
        turn::{Attachment, ContextUse, Granularity, StopReason, Usage},
        usage::UsageReport,
    },
};
use serde_json::{Map, Value, json, value::RawValue};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use uuid::Uuid;

/// Tries of one model call, the first one included.
pub(super) const TRIES_MAX: u32 = 5;
/// Model calls of one turn, those that were tried again counted once.
const CALLS_MAX: u32 = 256;
/// Tries of a summary, each of half as much of the conversation as the one before.
const SUMMARIES_MAX: u32 = 4;
/// Tools that one reply may call; the model is told that the rest did not run.
const TOOL_CALLS_MAX: usize = PENDING_MAX;
/// Why a conversation is shortened.
const OVERFLOW: &str = "overflow";
/// The options of a permission.
const ALLOW: &str = "allow";
const DENY: &str = "deny";
/// Pause before a second try where the provider names none; doubles for each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause; a provider that names a longer one is not asked again.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Text that a user adds while a turn runs.
#[derive(Clone, Debug)]
pub(super) struct Steer {
    pub(super) steer_id: Uuid,
    pub(super) text: String,
    pub(super) attachments: Vec<Attachment>,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Heard {
    /// The model.
    Said(Said),
    /// The pause is over.
    Paused,
    /// A user.
    Steered(Steer),
    /// The answer to what was asked.
    Answered(String, Box<Answer>),
    /// A running tool came further.
    Progressed(String, Value),
    /// A tool came to its end.
    Ran(String, Ran),
}

/// What is to be done, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Act {
    /// Tell the actor.
    Say(AgentEvent),
    /// Call the model with the conversation as it is now.
    Call,
    /// Run a tool, and say what came of it under this id.
    Run {
        call_id: String,
        /// Place in the list of tools.
        tool: usize,
        arguments: Map<String, Value>,
    },
    /// Say when this time is over.
    Pause(Duration),
    /// The turn is over.
    End(Outcome),
}

/// What the turn is to answer with.
#[derive(Debug)]
pub(super) struct Output {
    wanted: Wanted,
    /// The provider is told the schema, and what the model says is the output; else the model calls a tool with it.
    native: bool,
    /// The model was reminded of it, once.
    reminded: bool,
}

/// A running turn.
#[derive(Debug)]
pub(super) struct Turn {
    items: Vec<Item>,
    tools: Vec<Tool>,
    /// The model's name, for people.
    model: String,
    steers: VecDeque<Steer>,
    /// Where in them the turn begins.
    start: usize,
    /// Under way, while it is.
    compaction: Option<Compaction>,
    /// It was done once in this turn.
    compacted: bool,
    /// Tokens of the newest call.
    context_tokens: i64,
    /// A message is open.
    open: bool,
    /// Thinking blocks of it that are open.
    thinking: BTreeSet<i32>,
    /// Tries of the call under way.
    tries: u32,
    /// Calls so far.
    calls: u32,
    /// Ids of tool calls of this turn.
    call_ids: BTreeSet<String>,
    /// What the last reply called, in order.
    open_calls: Vec<OpenCall>,
    /// What it is to answer with, where it is.
    output: Option<Output>,
    /// The place of the prompt.
    prompt: usize,
}

/// What came before the turn is being summarized.
#[derive(Debug)]
struct Compaction {
    /// What the provider said of the conversation's length.
    problem: String,
    /// What asks for the summary.
    request: [Item; 1],
    /// Bytes of the conversation in it.
    bytes: usize,
    tries: u32,
}

/// A call of a reply.
#[derive(Debug)]
struct OpenCall {
    /// Its id in events: unique in the turn.
    told_id: String,
    call: ToolCall,
    step: Step,
}

/// Where a call stands.
#[derive(Debug)]
enum Step {
    /// Somebody is to allow it.
    Asked {
        tool: usize,
        arguments: Map<String, Value>,
    },
    /// The caller runs it.
    Caller,
    Runs,
    Done(ToolResult),
}

// === impl Turn ===

impl Turn {
    /// A turn that goes on from a conversation, which ends with its prompt; it begins at a place of it.
    pub(super) fn begin(
        (items, start): (Vec<Item>, usize),
        tools: Vec<Tool>,
        model: String,
        output: Option<Output>,
        acts: &mut Vec<Act>,
    ) -> Self {
        let mut turn = Self {
            prompt: items.len().saturating_sub(1),
            output,
            items,
            tools,
            start,
            compaction: None,
            compacted: false,
            context_tokens: 0,
            model,
            steers: VecDeque::new(),
            open: false,
            thinking: BTreeSet::new(),
            tries: 0,
            calls: 0,
            call_ids: BTreeSet::new(),
            open_calls: vec![],
        };
        turn.ask_for_output();
        turn.call(acts);
        turn
    }

    /// The schema that the provider is told, in the next call.
    pub(super) fn output_schema(&self) -> Option<&Value> {
        let output = self.output.as_ref().filter(|it| it.native);
        output
            .filter(|_| self.compaction.is_none())
            .map(|it| it.wanted.schema())
    }

    /// Says behind the prompt what it is to be answered with, and offers the tool for that.
    fn ask_for_output(&mut self) {
        let Some(output) = &self.output else {
            return;
        };
        let told = output.told();
        let by_tool = !output.native;
        if let Some(prompt) = self.prompt_text() {
            prompt.push_str(&told);
        }
        if by_tool {
            self.tools.push(Tool::output());
        }
    }

    /// What the user said last, as the model is told it.
    fn prompt_text(&mut self) -> Option<&mut String> {
        match self.items.get_mut(self.prompt) {
            Some(Item::User { texts, .. }) => texts.last_mut(),
            Some(Item::Assistant { .. } | Item::Results(_)) | None => None,
        }
    }

    /// Lets the model give its output by a tool: the provider does not do it otherwise. `false` where it does already.
    fn output_by_tool(&mut self) -> bool {
        let Some(output) = self.output.as_mut().filter(|it| it.native) else {
            return false;
        };
        let told = output.told();
        output.native = false;
        if let Some(prompt) = self.prompt_text() {
            prompt.truncate(prompt.len() - told.len());
        }
        self.ask_for_output();
        true
    }

    /// The model has said all that it wants to. How the turn ends, or what the model is told then.
    fn said_all(
        &mut self,
        texts: &[String],
        acts: &mut Vec<Act>,
    ) -> Result<Option<Outcome>, String> {
        let Some(output) = &mut self.output else {
            return Ok(None);
        };
        let wanted = &mut output.wanted;
        if wanted.is_taken() {
            return Ok(None);
        }
        if output.native {
            return match wanted.offer(unfenced(&texts.concat())) {
                Ok(output_json) => {
                    acts.push(Act::Say(AgentEvent::OutputAccepted { output_json }));
                    Ok(None)
                }
                Err(_) if wanted.is_spent() => Ok(Some(wanted.failure())),
                Err(problem) => Err(format!(
                    "Your answer does not meet the schema: {problem}\nAnswer again, with the whole corrected JSON and \
                     nothing else."
                )),
            };
        }
        if wanted.is_spent() || std::mem::replace(&mut output.reminded, true) {
            return Ok(Some(wanted.failure()));
        }
        Err(format!(
            "The task is not done before you call {SUBMIT_RESULT} with its result. Call it now."
        ))
    }

    /// The conversation, for the next call.
    pub(super) fn items(&self) -> &[Item] {
        match &self.compaction {
            Some(compaction) => &compaction.request,
            None => &self.items,
        }
    }

    /// What the model may call, in the next call.
    pub(super) fn offered(&self) -> &[Tool] {
        match &self.compaction {
            Some(_) => &[],
            None => &self.tools,
        }
    }

    /// Its tools, by their places.
    pub(super) fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// Takes what happened; appends what is to be done.
    pub(super) fn hear(&mut self, heard: Heard, acts: &mut Vec<Act>) {
        match heard {
            // A summary is told when it is whole.
            Heard::Said(Said::Piece(_)) if self.compaction.is_some() => {}
            Heard::Said(Said::Piece(piece)) => {
                self.open_message(acts);
                if let Piece::Thinking { index, .. } = piece {
                    self.thinking.insert(index);
                }
                acts.push(Act::Say(of_piece(piece)));
            }
            Heard::Said(Said::Ended(Ok(reply))) => self.replied(reply, acts),
            Heard::Said(Said::Ended(Err(fault))) => self.failed(fault, acts),
            Heard::Paused => acts.push(Act::Call),
            Heard::Steered(steer) => self.steers.push_back(steer),
            Heard::Answered(ask_id, answer) => self.answered(&ask_id, &answer, acts),
            Heard::Progressed(told_id, progress) => {
                let runs = |it: &OpenCall| it.told_id == told_id && matches!(it.step, Step::Runs);
                if self.open_calls.iter().any(runs) {
                    acts.push(Act::Say(AgentEvent::ToolUpdate {
                        tool_call_id: told_id,
                        partial_result_json: progress.to_string(),
                    }));
                }
            }
            Heard::Ran(told_id, ran) => {
                let runs = |it: &OpenCall| it.told_id == told_id && matches!(it.step, Step::Runs);
                if let Some(at) = self.open_calls.iter().position(runs) {
                    self.done(at, ran, acts);
                    self.go_on(acts);
                }
            }
        }
    }

    /// Calls the model, with what users added meanwhile.
    fn call(&mut self, acts: &mut Vec<Act>) {
        for steer in self.steers.drain(..) {
            let Steer {
                steer_id,
                text,
                attachments,
            } = steer;
            self.items.push(Item::user("", text, &attachments));
            acts.push(Act::Say(AgentEvent::SteerApplied { steer_id }));
        }
        if self.calls >= CALLS_MAX {
            let why = format!("the model was called {CALLS_MAX} times and came to no end");
            acts.push(Act::End(Outcome::Failed(why)));
            return;
        }
        self.calls += 1;
        self.tries = 1;
        acts.push(Act::Call);
    }

    fn open_message(&mut self, acts: &mut Vec<Act>) {
        if !std::mem::replace(&mut self.open, true) {
            acts.push(Act::Say(AgentEvent::MessageStarted));
        }
    }

    fn replied(&mut self, reply: Reply, acts: &mut Vec<Act>) {
        let Reply {
            texts,
            thinking,
            calls,
            stop,
            usage,
            record,
        } = reply;
        if let Some(compaction) = self.compaction.take() {
            acts.push(self.used(usage, None));
            let summary: String = texts.into_iter().map(|(_, text)| text).collect();
            return self.summarized(compaction, &summary, acts);
        }
        if !(texts.is_empty() && thinking.is_empty()) {
            self.open_message(acts);
        }
        for (content_index, text) in thinking {
            acts.push(Act::Say(AgentEvent::ThinkingCompleted {
                content_index,
                text,
            }));
        }
        self.thinking.clear();
        if std::mem::take(&mut self.open) {
            let blocks = texts.clone();
            acts.push(Act::Say(AgentEvent::MessageCompleted { blocks }));
        }
        let context = usage.map(|usage| {
            self.context_tokens =
                usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
            ContextUse {
                tokens: usage.tokens(),
                window: 0,
            }
        });
        acts.push(self.used(usage, context));
        match stop {
            Stop::Refused(why) => {
                let why = format!("the model refused: {why}");
                return acts.push(Act::End(Outcome::Failed(why)));
            }
            Stop::Length if !calls.is_empty() => {
                let why =
                    "the model's answer was as long as it may be and ended within a tool call";
                return acts.push(Act::End(Outcome::Failed(why.into())));
            }
            Stop::Length | Stop::End => {}
        }
        let length = stop == Stop::Length;
        let called = !calls.is_empty();
        self.items.push(Item::Assistant {
            texts: texts.iter().map(|(_, text)| text.clone()).collect(),
            calls: calls.clone(),
            record,
        });
        if called {
            // Behind the beginnings of all: who reads along sees then that the turn waits for all of them.
            let mut asked = vec![];
            for call in calls {
                self.start(call, acts, &mut asked);
            }
            acts.append(&mut asked);
            self.go_on(acts);
        } else if self.steers.is_empty() {
            let texts: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
            match self.said_all(&texts, acts) {
                Ok(None) => {}
                Ok(Some(failed)) => return acts.push(Act::End(failed)),
                Err(told) => {
                    self.items.push(Item::user("", told, &[]));
                    return self.call(acts);
                }
            }
            let reason = if length {
                StopReason::Length
            } else {
                StopReason::Stop
            };
            acts.push(Act::End(Outcome::Completed(reason)));
        } else {
            self.call(acts);
        }
    }

    /// What a call used. One of which the provider tells nothing is a call all the same.
    fn used(&self, usage: Option<Usage>, context: Option<ContextUse>) -> Act {
        let untold = Usage {
            model_calls: 1,
            ..Usage::default()
        };
        Act::Say(AgentEvent::UsageRecorded(Box::new(UsageReport {
            usage: usage.unwrap_or(untold),
            model: self.model.clone(),
            granularity: Granularity::Call,
            context,
        })))
    }

    /// Begins with a tool call: somebody, or a policy, is asked first. What can't run is done at once.
    fn start(&mut self, call: ToolCall, acts: &mut Vec<Act>, asked: &mut Vec<Act>) {
        let told_id = self.unique(&call.call_id);
        let tool = self.tools.iter().position(|it| it.name == call.name);
        let arguments = match call.arguments.trim() {
            "" => Some(Map::new()),
            text => serde_json::from_str(text).ok(),
        };
        let at = self.open_calls.len();
        let why_not = match (tool, &arguments) {
            _ if at >= TOOL_CALLS_MAX => {
                Some(format!("not run: at most {TOOL_CALLS_MAX} calls at once"))
            }
            (None, _) => Some(format!("there is no tool {}", call.name)),
            (Some(_), None) => Some("not run: the arguments are no JSON object".to_owned()),
            (Some(_), Some(_)) => None,
        };
        self.open_calls.push(OpenCall {
            told_id: told_id.clone(),
            call,
            step: Step::Runs,
        });
        let call = &mut self.open_calls[at];
        if let (None, Some(tool), Some(arguments)) = (&why_not, tool, arguments) {
            if matches!(self.tools[tool].runs, Runs::Caller) {
                acts.push(Act::Say(call.started()));
                let ask = Box::new(callers(&told_id, &call.call));
                asked.push(Act::Say(AgentEvent::Asked {
                    ask_id: told_id,
                    ask,
                }));
                call.step = Step::Caller;
                return;
            }
            let ask = Box::new(permission(&told_id, &call.call));
            acts.push(Act::Say(AgentEvent::Asked {
                ask_id: told_id,
                ask,
            }));
            call.step = Step::Asked { tool, arguments };
            return;
        }
        acts.push(Act::Say(call.started()));
        self.done(at, Ran::failed(why_not.unwrap_or_default()), acts);
    }

    /// Somebody, or a policy, said whether a tool may run.
    fn answered(&mut self, ask_id: &str, answer: &Answer, acts: &mut Vec<Act>) {
        let asked = |it: &OpenCall| {
            it.told_id == ask_id && matches!(it.step, Step::Asked { .. } | Step::Caller)
        };
        let Some(at) = self.open_calls.iter().position(asked) else {
            return;
        };
        let ask_id = ask_id.to_owned();
        acts.push(Act::Say(AgentEvent::AnswerDelivered {
            ask_id: ask_id.clone(),
        }));
        let call = &mut self.open_calls[at];
        if matches!(call.step, Step::Caller) {
            let ran = match answer.declined {
                true => Ran::failed(why_not_run("nobody ran it, or it was denied", answer)),
                false => Ran::of(answer.content_json.clone(), answer.is_error),
            };
            self.done(at, ran, acts);
            return self.go_on(acts);
        }
        acts.push(Act::Say(call.started()));
        let allowed = !answer.declined && answer.option_id == ALLOW;
        match std::mem::replace(&mut call.step, Step::Runs) {
            Step::Asked { tool, .. }
                if allowed && matches!(self.tools[tool].runs, Runs::Output) =>
            {
                let ran = self.submitted(at, acts);
                self.done(at, ran, acts);
                self.go_on(acts);
            }
            Step::Asked { tool, arguments } if allowed => acts.push(Act::Run {
                call_id: ask_id,
                tool,
                arguments,
            }),
            _ => {
                let why = why_not_run("it was denied", answer);
                self.done(at, Ran::failed(why), acts);
                self.go_on(acts);
            }
        }
    }

    /// Takes the output that a call gives.
    fn submitted(&mut self, at: usize, acts: &mut Vec<Act>) -> Ran {
        /// What the tool is called with.
        #[derive(serde::Deserialize)]
        struct Given {
            result: Box<RawValue>,
        }
        let arguments = &self.open_calls[at].call.arguments;
        let Some(output) = &mut self.output else {
            return Ran::failed("no result is wanted".to_owned());
        };
        let wanted = &mut output.wanted;
        let given = serde_json::from_str(arguments);
        let given = given.map_or_else(|_| String::new(), |it: Given| it.result.get().to_owned());
        match wanted.offer(&given) {
            Ok(output_json) => {
                acts.push(Act::Say(AgentEvent::OutputAccepted { output_json }));
                Ran::of("\"accepted\"".to_owned(), false)
            }
            Err(problem) => Ran::failed(format!("not accepted: {problem}")),
        }
    }

    /// A call has its result.
    fn done(&mut self, at: usize, ran: Ran, acts: &mut Vec<Act>) {
        let Ran {
            output,
            text,
            is_error,
        } = ran;
        let OpenCall {
            told_id,
            call,
            step,
        } = &mut self.open_calls[at];
        acts.push(Act::Say(AgentEvent::ToolCompleted {
            tool_call_id: told_id.clone(),
            result_json: output.json,
            is_error,
            full_size: output.full_size,
            pictures: output.pictures,
        }));
        *step = Step::Done(ToolResult {
            call_id: call.call_id.clone(),
            name: call.name.clone(),
            text,
            is_error,
        });
    }

    /// Calls the model again once every call has its result.
    fn go_on(&mut self, acts: &mut Vec<Act>) {
        let results = self.open_calls.iter().map(|it| match &it.step {
            Step::Done(result) => Some(result.clone()),
            Step::Asked { .. } | Step::Caller | Step::Runs => None,
        });
        if let Some(results) = results.collect::<Option<Vec<_>>>() {
            self.open_calls.clear();
            self.items.push(Item::Results(results));
            let output = self.output.as_ref().map(|it| &it.wanted);
            match output {
                Some(wanted) if wanted.is_taken() && self.steers.is_empty() => {
                    acts.push(Act::End(Outcome::Completed(StopReason::Stop)));
                }
                Some(wanted) if wanted.is_spent() && !wanted.is_taken() => {
                    acts.push(Act::End(wanted.failure()));
                }
                Some(_) | None => self.call(acts),
            }
        }
    }

    /// An id that no other call of the turn has: some providers begin anew with each reply.
    fn unique(&mut self, call_id: &str) -> String {
        let mut told = call_id.to_owned();
        let mut number = 1;
        while !self.call_ids.insert(told.clone()) {
            number += 1;
            told = format!("{call_id}-{number}");
        }
        told
    }

    /// What came of a call is no part of the conversation: it comes again.
    fn take_back(&mut self, acts: &mut Vec<Act>) {
        for content_index in std::mem::take(&mut self.thinking) {
            let text = String::new();
            acts.push(Act::Say(AgentEvent::ThinkingCompleted {
                content_index,
                text,
            }));
        }
        if std::mem::take(&mut self.open) {
            acts.push(Act::Say(AgentEvent::MessageCompleted { blocks: vec![] }));
        }
    }

    /// Has what came before the turn summarized, once a turn; `false` where that can't help.
    fn shorten(&mut self, problem: &str, acts: &mut Vec<Act>) -> bool {
        let before = &self.items[..self.start];
        let (bytes, tries) = match &self.compaction {
            None if self.compacted || before.is_empty() => return false,
            None => {
                let reason = OVERFLOW.to_owned();
                self.take_back(acts);
                acts.push(Act::Say(AgentEvent::CompactionStarted { reason }));
                (conversation::told_bytes(&self.items[..self.start]), 1)
            }
            // The summary's own call is too long as well.
            Some(it) if it.tries < SUMMARIES_MAX => (it.bytes, it.tries + 1),
            Some(_) => return false,
        };
        let bytes = bytes / 2;
        self.compaction = Some(Compaction {
            problem: problem.to_owned(),
            request: [conversation::to_summarize(&self.items[..self.start], bytes)],
            bytes,
            tries,
        });
        self.tries = 1;
        acts.push(Act::Call);
        true
    }

    fn summarized(&mut self, compaction: Compaction, summary: &str, acts: &mut Vec<Act>) {
        if summary.trim().is_empty() {
            let why = "the model gave no summary".to_owned();
            return self.not_summarized(compaction, why, acts);
        }
        self.items.splice(..self.start, [Item::summary(summary)]);
        self.prompt -= self.start - 1;
        self.start = 1;
        self.compacted = true;
        acts.push(Act::Say(AgentEvent::CompactionCompleted {
            reason: OVERFLOW.to_owned(),
            summary: summary.to_owned(),
            aborted: false,
            error_message: String::new(),
            tokens_before: self.context_tokens,
            kept: true,
        }));
        self.tries = 1;
        acts.push(Act::Call);
    }

    fn not_summarized(&mut self, compaction: Compaction, why: String, acts: &mut Vec<Act>) {
        acts.push(Act::Say(AgentEvent::CompactionCompleted {
            reason: OVERFLOW.to_owned(),
            summary: String::new(),
            aborted: true,
            error_message: why,
            tokens_before: self.context_tokens,
            kept: false,
        }));
        acts.push(Act::End(Outcome::Failed(compaction.problem)));
    }

    fn failed(&mut self, fault: Fault, acts: &mut Vec<Act>) {
        let Fault { kind, message } = fault;
        if kind == FaultKind::Overflow && self.shorten(&message, acts) {
            return;
        }
        // It may be the schema that the provider does not take.
        if kind == FaultKind::Refused && self.compaction.is_none() && self.output_by_tool() {
            self.take_back(acts);
            return acts.push(Act::Call);
        }
        let pause = match kind {
            FaultKind::Again(after) if self.tries < TRIES_MAX => {
                Some(after.unwrap_or_else(|| PAUSE * 2u32.pow(self.tries - 1)))
            }
            FaultKind::Again(_) | FaultKind::Overflow | FaultKind::Refused | FaultKind::Never => {
                None
            }
        };
        let Some(delay) = pause.filter(|it| *it <= PAUSE_MAX) else {
            if let Some(compaction) = self.compaction.take() {
                return self.not_summarized(compaction, message, acts);
            }
            return acts.push(Act::End(Outcome::Failed(message)));
        };
        self.take_back(acts);
        self.tries += 1;
        acts.push(Act::Say(AgentEvent::RetryScheduled {
            attempt: i32::try_from(self.tries).unwrap_or(i32::MAX),
            max_attempts: i32::try_from(TRIES_MAX).unwrap_or(i32::MAX),
            delay,
            error_message: message,
        }));
        acts.push(Act::Pause(delay));
    }
}

// === impl Output ===

impl Output {
    pub(super) fn new(wanted: Wanted, native: bool) -> Self {
        Self {
            wanted,
            native,
            reminded: false,
        }
    }

    /// What the model is told of it, behind the prompt.
    fn told(&self) -> String {
        let schema = self.wanted.schema_json();
        match self.native {
            true => format!(
                "\n\nAnswer with JSON that meets this JSON Schema, and nothing else:\n{schema}"
            ),
            false => format!(
                "\n\nWhen the work is done call {SUBMIT_RESULT} with a `result` that meets this JSON Schema:\n{schema}"
            ),
        }
    }
}

// === impl OpenCall ===

impl OpenCall {
    fn started(&self) -> AgentEvent {
        let arguments = self.call.arguments.trim();
        let args_json = match serde_json::from_str::<Value>(arguments) {
            Ok(_) => arguments.to_owned(),
            Err(_) if arguments.is_empty() => "{}".to_owned(),
            Err(_) => json!(arguments).to_string(),
        };
        AgentEvent::ToolStarted {
            tool_call_id: self.told_id.clone(),
            tool_name: self.call.name.clone(),
            args_json,
        }
    }
}

/// Whether a tool may run. Policy looks at its name; who is asked sees its arguments.
fn permission(told_id: &str, call: &ToolCall) -> Ask {
    let (text, full_size) = cut_json(call.arguments.clone());
    let option = |option_id: &str, label: &str, effect| QuestionOption {
        option_id: option_id.into(),
        label: label.into(),
        effect: Some(effect),
    };
    Ask {
        kind: QuestionKind::Permission,
        title: format!("Run {}", call.name),
        tool_call_id: told_id.to_owned(),
        tool_name: call.name.clone(),
        args: Json { text, full_size },
        options: vec![
            option(ALLOW, "Allow", OptionEffect::AllowOnce),
            option(DENY, "Deny", OptionEffect::DenyOnce),
        ],
        schema_json: String::new(),
        url: String::new(),
        agent_path: vec![],
    }
}

/// A tool that the caller runs.
fn callers(told_id: &str, call: &ToolCall) -> Ask {
    Ask {
        kind: QuestionKind::ToolCall,
        options: vec![],
        ..permission(told_id, call)
    }
}

/// Why a call has no result, with what somebody says of it.
fn why_not_run(why: &str, answer: &Answer) -> String {
    let comment = answer.comment.trim();
    let colon = if comment.is_empty() { "" } else { ": " };
    format!("not run: {why}{colon}{comment}")
}

fn of_piece(piece: Piece) -> AgentEvent {
    match piece {
        Piece::Text {
            index: content_index,
            delta,
        } => AgentEvent::TextDelta {
            content_index,
            delta,
        },
        Piece::Thinking {
            index: content_index,
            delta,
        } => AgentEvent::ThinkingDelta {
            content_index,
            delta,
        },
        Piece::Arguments {
            index: content_index,
            call_id: tool_call_id,
            name: tool_name,
            delta,
        } => AgentEvent::ToolInputDelta {
            content_index,
            tool_call_id,
            tool_name,
            delta,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin() -> Turn {
        let mut acts = vec![];
        let prompt = Item::user("", "prompt".into(), &[]);
        let turn = Turn::begin(
            (vec![prompt], 0),
            vec![],
            "test/model".into(),
            None,
            &mut acts,
        );
        assert_eq!(acts, [Act::Call]);
        turn
    }

    fn hear(turn: &mut Turn, heard: Heard) -> Vec<Act> {
        let mut acts = vec![];
        turn.hear(heard, &mut acts);
        acts
    }

    fn piece(delta: &str) -> Heard {
        Heard::Said(Said::Piece(Piece::Text {
            index: 0,
            delta: delta.into(),
        }))
    }

    fn reply(text: &str, calls: &[&str]) -> Reply {
        let call = |name: &&str| ToolCall {
            call_id: "call_1".into(),
            name: (*name).to_owned(),
            arguments: "{}".into(),
        };
        Reply {
            texts: vec![(0, text.into())],
            thinking: vec![],
            calls: calls.iter().map(call).collect(),
            stop: Stop::End,
            usage: Some(Usage::default()),
            record: None,
        }
    }

    fn replied(turn: &mut Turn, reply: Reply) -> Vec<Act> {
        hear(turn, Heard::Said(Said::Ended(Ok(reply))))
    }

    fn failed(turn: &mut Turn, kind: FaultKind) -> Vec<Act> {
        let message = "why".into();
        hear(turn, Heard::Said(Said::Ended(Err(Fault { kind, message }))))
    }

    fn steer(turn: &mut Turn) -> Uuid {
        let steer_id = Uuid::now_v7();
        let acts = hear(
            turn,
            Heard::Steered(Steer {
                steer_id,
                text: "left".into(),
                attachments: vec![],
            }),
        );
        assert_eq!(acts, []);
        steer_id
    }

    fn ended(acts: &[Act]) -> Option<&Outcome> {
        match acts.last() {
            Some(Act::End(outcome)) => Some(outcome),
            _ => None,
        }
    }

    #[test]
    fn a_reply_without_calls_ends_the_turn() {
        let mut turn = begin();
        let acts = hear(&mut turn, piece("hi"));
        assert_eq!(acts[0], Act::Say(AgentEvent::MessageStarted));
        let acts = replied(&mut turn, reply("hi", &[]));
        assert!(matches!(
            acts[0],
            Act::Say(AgentEvent::MessageCompleted { .. })
        ));
        assert!(matches!(acts[1], Act::Say(AgentEvent::UsageRecorded(_))));
        assert_eq!(ended(&acts), Some(&Outcome::Completed(StopReason::Stop)));
        let long = Reply {
            stop: Stop::Length,
            ..reply("hi", &[])
        };
        let acts = replied(&mut begin(), long);
        assert_eq!(ended(&acts), Some(&Outcome::Completed(StopReason::Length)));
    }

    #[test]
    fn a_steer_is_taken_at_the_next_call_and_a_turn_does_not_end_before_it() {
        let mut turn = begin();
        let steer_id = steer(&mut turn);
        let acts = replied(&mut turn, reply("hi", &[]));
        let tail = &acts[acts.len() - 2..];
        let applied = Act::Say(AgentEvent::SteerApplied { steer_id });
        assert_eq!(tail, [applied, Act::Call]);
        let steered = Item::user("", "left".into(), &[]);
        assert_eq!(turn.items().last(), Some(&steered));
        let acts = replied(&mut turn, reply("left it is", &[]));
        assert_eq!(ended(&acts), Some(&Outcome::Completed(StopReason::Stop)));
    }

    #[test]
    fn a_fault_that_may_pass_is_tried_again_and_what_came_of_it_is_taken_back() {
        let mut turn = begin();
        for tried in 1..TRIES_MAX {
            hear(&mut turn, piece("half"));
            let acts = failed(&mut turn, FaultKind::Again(None));
            let back = AgentEvent::MessageCompleted { blocks: vec![] };
            assert_eq!(acts[0], Act::Say(back));
            let delay = PAUSE * 2u32.pow(tried - 1);
            assert_eq!(acts[2], Act::Pause(delay));
            assert_eq!(hear(&mut turn, Heard::Paused), [Act::Call]);
        }
        hear(&mut turn, piece("half"));
        let acts = failed(&mut turn, FaultKind::Again(None));
        assert_eq!(acts, [Act::End(Outcome::Failed("why".into()))]);
    }

    #[test]
    fn a_provider_is_waited_for_as_long_as_it_says_but_not_for_ever() {
        let after = Duration::from_secs(7);
        let acts = failed(&mut begin(), FaultKind::Again(Some(after)));
        assert_eq!(acts.last(), Some(&Act::Pause(after)));
        let after = PAUSE_MAX + Duration::from_secs(1);
        for kind in [
            FaultKind::Again(Some(after)),
            FaultKind::Never,
            FaultKind::Refused,
            FaultKind::Overflow,
        ] {
            let acts = failed(&mut begin(), kind);
            assert_eq!(acts, [Act::End(Outcome::Failed("why".into()))], "{kind:?}");
        }
    }

    #[test]
    fn every_call_has_a_result_and_an_id_of_its_own() {
        let mut turn = begin();
        let mut told = vec![];
        for _ in 0..2 {
            let acts = replied(&mut turn, reply("", &["a", "b"]));
            assert_eq!(acts.last(), Some(&Act::Call));
            let Some(Item::Results(results)) = turn.items().last() else {
                panic!("results")
            };
            assert_eq!(results.len(), 2);
            assert!(results[1].is_error && results[1].text == "there is no tool b");
            told.extend(acts.into_iter().filter_map(|act| match act {
                Act::Say(AgentEvent::ToolStarted { tool_call_id, .. }) => Some(tool_call_id),
                _ => None,
            }));
        }
        assert_eq!(told, ["call_1", "call_1-2", "call_1-3", "call_1-4"]);
    }

    #[test]
    fn a_loop_without_an_end_and_a_refusal_fail() {
        let mut turn = begin();
        for _ in 1..CALLS_MAX {
            assert_eq!(
                replied(&mut turn, reply("", &["a"])).last(),
                Some(&Act::Call)
            );
        }
        let acts = replied(&mut turn, reply("", &["a"]));
        assert!(matches!(ended(&acts), Some(Outcome::Failed(_))));
        let refused = Reply {
            stop: Stop::Refused("no".into()),
            ..reply("", &[])
        };
        let acts = replied(&mut begin(), refused);
        let why = Outcome::Failed("the model refused: no".into());
        assert_eq!(ended(&acts), Some(&why));
    }

    #[test]
    fn a_conversation_that_is_too_long_is_summarized_once() {
        let mut acts = vec![];
        let long = ["one", "two", "prompt"].map(|it| Item::user("", it.into(), &[]));
        let conversation = (long.to_vec(), 2);
        let mut turn = Turn::begin(conversation, vec![], "m".into(), None, &mut acts);
        let acts = failed(&mut turn, FaultKind::Overflow);
        let reason = OVERFLOW.to_owned();
        let started = Act::Say(AgentEvent::CompactionStarted { reason });
        assert_eq!(acts, [started, Act::Call]);
        // Its own call is too long: half as much.
        let before = turn.items().to_vec();
        assert_eq!(failed(&mut turn, FaultKind::Overflow), [Act::Call]);
        assert_ne!(turn.items(), before);
        assert_eq!(hear(&mut turn, piece("they")), []);
        let acts = replied(&mut turn, reply("they met", &[]));
        assert!(matches!(
            acts[1],
            Act::Say(AgentEvent::CompactionCompleted {
                aborted: false,
                kept: true,
                ..
            })
        ));
        assert_eq!(acts.last(), Some(&Act::Call));
        let expected = [Item::summary("they met"), long[2].clone()];
        assert_eq!(turn.items(), expected);
        let acts = failed(&mut turn, FaultKind::Overflow);
        assert_eq!(acts, [Act::End(Outcome::Failed("why".into()))]);
    }

    #[test]
    fn a_summary_that_fails_fails_the_turn_with_what_was_wrong() {
        let mut acts = vec![];
        let long = ["one", "prompt"].map(|it| Item::user("", it.into(), &[]));
        let mut turn = Turn::begin((long.to_vec(), 1), vec![], "m".into(), None, &mut acts);
        failed(&mut turn, FaultKind::Overflow);
        let acts = failed(&mut turn, FaultKind::Never);
        assert!(matches!(
            acts[0],
            Act::Say(AgentEvent::CompactionCompleted {
                aborted: true,
                kept: false,
                ..
            })
        ));
        assert_eq!(acts[1], Act::End(Outcome::Failed("why".into())));
    }
}
