//! Events in, text out: what people see of a session. Pure: writes nothing, knows no clock and no terminal.
//!
//! Text already given out can't be taken back, so the renderer remembers what it gave of each open block and adds only
//! what is missing: a delta, a snapshot and a completed message of the same block give their text once together.
//! A completed message that differs from what deltas showed is given whole again, said so.

mod blocks;
mod messages;

use super::output::{CYAN, DIM, PLAIN, RED, colours, escaped};
use super::questions;
use blocks::{Addition, Blocks};
use quarterdeck::domain::offers::join_model;
use quarterdeck::proto::{
    self, GatewayEvent, ModelChanged, PlanStatus, PlanUpdated, Question, QuestionResolution,
    QuestionResolved, Role, StopReason, Turn, TurnState, gateway_event::Kind,
};
use quarterdeck::telemetry::redact::escape;
use std::{
    collections::{HashSet, VecDeque},
    io::{self, IsTerminal},
};

/// Finished items that are remembered, so that a late repeat of one is not shown.
const FINISHED_MAX: usize = 8192;
/// Characters of a tool's arguments or result in its one line.
const SUMMARY_MAX_CHARS: usize = 72;

/// Characters of a question in its one line.
const QUESTION_MAX_CHARS: usize = 400;

/// What is shown, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// What agents say steers nothing: for terminals.
    pub(crate) terminal: bool,
    /// Dim and coloured text.
    pub(crate) colours: bool,
    /// Everything; without it only what agents say.
    pub(crate) whole: bool,
}

/// The state of what is shown of one session.
pub(crate) struct Renderer {
    look: Look,
    blocks: Blocks,
    /// What the open line holds.
    line: Line,
    /// Items that are whole and were given out.
    finished: HashSet<String>,
    /// The same in order, oldest first.
    finished_order: VecDeque<String>,
    /// Last durable event of the present log.
    position: (String, i64),
    /// Turns whose prompt the reader typed.
    own_turns: HashSet<String>,
}

/// What the cursor's line holds; another kind of text begins a new line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// Nothing.
    Start,
    /// Text of a block.
    Block {
        item_id: String,
        content_index: i32,
        thinking: bool,
        /// True where the text so far ends a line.
        at_start: bool,
    },
    /// A tool that was announced.
    Tool(String),
}

// === impl Look ===

impl Look {
    /// For standard output, showing everything or not.
    pub(crate) fn of_output(whole: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            terminal,
            colours: terminal && colours(),
            whole,
        }
    }
}

// === impl Renderer ===

impl Renderer {
    pub(crate) fn new(look: Look) -> Self {
        Self {
            look,
            blocks: Blocks::default(),
            line: Line::Start,
            finished: HashSet::new(),
            finished_order: VecDeque::new(),
            position: (String::new(), 0),
            own_turns: HashSet::new(),
        }
    }

    /// The prompt of that turn was typed here: it is not shown again.
    pub(crate) fn own_turn(&mut self, turn_id: &str) {
        self.own_turns.insert(turn_id.to_owned());
    }

    /// A line of the program itself. What it quotes of others does not steer the terminal.
    pub(crate) fn note(&mut self, text: &str) -> String {
        let mut out = self.new_line();
        let text = self.clean(text);
        self.styled(&mut out, DIM, &format!("[{text}]"));
        out.push('\n');
        out
    }

    /// True where the next text begins a line.
    pub(crate) fn at_line_start(&self) -> bool {
        match &self.line {
            Line::Start => true,
            Line::Block { at_start, .. } => *at_start,
            Line::Tool(_) => false,
        }
    }

    /// Ends the open line, where there is one.
    pub(crate) fn new_line(&mut self) -> String {
        let out = if self.at_line_start() { "" } else { "\n" };
        self.line = Line::Start;
        out.into()
    }

    /// What an event adds to what is shown.
    pub(crate) fn event(&mut self, event: &GatewayEvent) -> String {
        if event.seq > 0 {
            let (log_id, seq) = &mut self.position;
            if *log_id == event.log_id && event.seq <= *seq {
                return String::new();
            }
            self.position = (event.log_id.clone(), event.seq);
        }
        let Some(kind) = &event.kind else {
            return String::new();
        };
        let id = event.item_id.as_str();
        match kind {
            Kind::Token(token) => {
                self.delta(id, token.content_index, false, token.offset, &token.delta)
            }
            Kind::Thinking(thinking) => self.delta(
                id,
                thinking.content_index,
                true,
                thinking.offset,
                &thinking.delta,
            ),
            Kind::ItemSnapshot(snapshot) => self.snapshot(id, snapshot),
            Kind::ThinkingCompleted(thinking) => {
                if self.finished.contains(id) {
                    return String::new();
                }
                self.whole(id, thinking.content_index, true, &thinking.text)
            }
            Kind::MessageStarted(message) => match message.role() {
                Role::User => self.user(event, &message.text),
                Role::Unspecified | Role::Assistant | Role::Tool | Role::System => String::new(),
            },
            Kind::MessageCompleted(message) => match message.role() {
                Role::Assistant | Role::System => {
                    let blocks = message
                        .blocks
                        .iter()
                        .map(|block| (block.content_index, block.text.as_str()));
                    self.message(id, blocks, message.partial, message.continued)
                }
                Role::User | Role::Tool | Role::Unspecified => String::new(),
            },
            Kind::ToolStarted(tool) => self.tool_started(id, &tool.tool_name, &tool.args_json),
            Kind::ToolCompleted(tool) => {
                self.tool_completed(id, &tool.tool_name, &tool.result_json, tool.is_error)
            }
            Kind::TurnEnded(ended) => self.turn_ended(ended.turn.as_ref()),
            Kind::SteerRequeued(_) => {
                self.note_if_whole("the steer came too late; it is the next turn")
            }
            Kind::SessionReset(reset) => {
                self.blocks.clear();
                self.note_if_whole(&format!(
                    "a fresh conversation: generation {}",
                    reset.generation
                ))
            }
            Kind::SessionDeleted(_) => self.note_if_whole("the session was deleted"),
            Kind::RetryScheduled(retry) => self.note_if_whole(&format!(
                "try {} of {}: {}",
                retry.attempt, retry.max_attempts, retry.error_message
            )),
            Kind::CompactionStarted(_) => self.note_if_whole("the agent shortens its context"),
            Kind::CompactionCompleted(compaction) if compaction.error_message.is_empty() => {
                String::new()
            }
            Kind::CompactionCompleted(compaction) => self.note_if_whole(&format!(
                "the context was not shortened: {}",
                compaction.error_message
            )),
            Kind::AgentExited(exited) => {
                let first = exited.message.lines().next().unwrap_or_default();
                self.note_if_whole(&format!("the agent's process ended: {first}"))
            }
            Kind::QuestionAsked(proto::QuestionAsked {
                question: Some(question),
            })
            | Kind::QuestionPending(proto::QuestionPending {
                question: Some(question),
            }) => self.question(question),
            Kind::QuestionResolved(resolved) => self.resolved(resolved),
            Kind::PlanUpdated(plan) => self.plan(plan),
            Kind::ModelChanged(changed) => self.model_changed(changed),
            Kind::ContextRebuilt(rebuilt) => {
                let count = rebuilt.message_count;
                let cut = if rebuilt.truncated {
                    ", the newest ones"
                } else {
                    ""
                };
                self.note_if_whole(&format!(
                    "the agent had lost its conversation and was told {count} messages of it{cut}"
                ))
            }
            Kind::WebhookPaused(paused) => self.note_if_whole(&format!(
                "webhook {} is paused: {}",
                paused.webhook_id, paused.reason
            )),
            Kind::TurnWaiting(waiting) => {
                self.note_if_whole(&format!("the next turn waits: {}", waiting.message))
            }
            Kind::BudgetWarning(warning) => {
                let budget = warning.budget.clone().unwrap_or_default();
                let spent = format!(
                    "{}.{:06} dollars and {} tokens",
                    budget.spent_micros / 1_000_000,
                    budget.spent_micros % 1_000_000,
                    budget.spent_tokens
                );
                let whose = if budget.key.is_empty() {
                    "the tenant"
                } else {
                    &budget.key
                };
                self.note_if_whole(&format!("a budget of {whose} is nearly used up: {spent}"))
            }
            Kind::SubagentStarted(started) => self.note_if_whole(&format!(
                "sub-agent {} begins: {}",
                first_of(&started.name, &started.agent_id),
                shortened(&started.task)
            )),
            Kind::SubagentItem(item) => self.note_if_whole(&subagent_item(item)),
            Kind::SubagentCompleted(completed) => {
                let how = if completed.is_error {
                    "failed"
                } else {
                    "is done"
                };
                self.note_if_whole(&format!(
                    "sub-agent {} {how}: {}",
                    completed.agent_id,
                    shortened(&completed.response)
                ))
            }
            Kind::ArtifactCreated(created) => {
                let attachment = created.attachment.clone().unwrap_or_default();
                self.note_if_whole(&format!(
                    "made {} ({}, {} bytes)",
                    created.title, attachment.name, attachment.size
                ))
            }
            Kind::QuestionAsked(_)
            | Kind::QuestionPending(_)
            | Kind::AnswerDelivered(_)
            | Kind::OptionsChanged(_)
            | Kind::SessionCreated(_)
            | Kind::SessionUpdated(_)
            | Kind::TurnQueued(_)
            | Kind::TurnScheduled(_)
            | Kind::TurnUpdated(_)
            | Kind::TurnStarted(_)
            | Kind::SteerAccepted(_)
            | Kind::SteerApplied(_)
            | Kind::UsageRecorded(_)
            | Kind::Hello(_)
            | Kind::CaughtUp(_)
            | Kind::Progress(_)
            | Kind::SessionState(_)
            | Kind::ToolInput(_)
            | Kind::ToolUpdate(_)
            | Kind::Lagging(_)
            | Kind::Draining(_)
            | Kind::Reload(_)
            | Kind::CommandsChanged(_) => String::new(),
        }
    }

    /// A question, once: a late reader is told of it again.
    pub(crate) fn question(&mut self, question: &Question) -> String {
        if !self.look.whole || !self.finish(&question.question_id) {
            return String::new();
        }
        let asks = questions::asks(question);
        let summary: String = asks.chars().take(QUESTION_MAX_CHARS).collect();
        let more = if summary.len() < asks.len() {
            "…"
        } else {
            ""
        };
        self.note(&format!(
            "the agent asks: {summary}{more} ({})",
            questions::how(question)
        ))
    }

    fn resolved(&mut self, resolved: &QuestionResolved) -> String {
        let how = match (resolved.resolution(), &resolved.answer) {
            (QuestionResolution::Expired, _) => "nobody answered in time",
            (_, Some(answer)) if answer.declined => "declined",
            (_, Some(answer)) if !answer.option_id.is_empty() => &answer.option_id,
            (_, Some(_)) => "answered",
            (_, None) => "the question is withdrawn",
        };
        let by = if resolved.answered_by.is_empty() {
            String::new()
        } else {
            format!(" by {}", resolved.answered_by)
        };
        self.note_if_whole(&format!("{how}{by}"))
    }

    fn model_changed(&mut self, changed: &ModelChanged) -> String {
        let ModelChanged {
            provider,
            model_id,
            thinking_level,
        } = changed;
        let model = join_model(provider, model_id);
        let level = if thinking_level.is_empty() {
            String::new()
        } else {
            format!(", thinking {thinking_level}")
        };
        self.note_if_whole(&format!("the model is {model}{level} from here on"))
    }

    /// A plan, a line for each step.
    pub(crate) fn plan(&mut self, plan: &PlanUpdated) -> String {
        if !self.look.whole {
            return String::new();
        }
        let mut out = self.note("plan");
        for entry in &plan.entries {
            let mark = match entry.status() {
                PlanStatus::Completed => "x",
                PlanStatus::InProgress => ">",
                PlanStatus::Pending | PlanStatus::Unspecified => " ",
            };
            let line = self.clean(&format!("  [{mark}] {}", entry.text));
            self.styled(&mut out, DIM, &line);
            out.push('\n');
        }
        out
    }

    fn note_if_whole(&mut self, text: &str) -> String {
        if self.look.whole {
            self.note(text)
        } else {
            String::new()
        }
    }

    fn user(&mut self, event: &GatewayEvent, text: &str) -> String {
        // The first user message of an own turn is its prompt; steers come after and are worth showing.
        let own = self.own_turns.remove(&event.turn_id);
        if !self.finish(&event.item_id) || own || !self.look.whole {
            return String::new();
        }
        self.user_line(text)
    }

    fn user_line(&mut self, text: &str) -> String {
        let mut out = self.new_line();
        let text = self.clean(text);
        self.styled(&mut out, CYAN, &format!("> {}", text.replace('\n', "\n  ")));
        out.push('\n');
        out
    }

    fn delta(&mut self, id: &str, index: i32, thinking: bool, offset: i64, delta: &str) -> String {
        if self.finished.contains(id) || (thinking && !self.look.whole) {
            return String::new();
        }
        let addition = self.blocks.append(id, index, thinking, offset, delta);
        self.give(id, index, thinking, addition)
    }

    fn snapshot(&mut self, id: &str, snapshot: &quarterdeck::proto::ItemSnapshot) -> String {
        use quarterdeck::proto::BlockKind;
        match snapshot.block() {
            BlockKind::Text => self.delta_replacing(
                id,
                snapshot.content_index,
                false,
                snapshot.offset,
                &snapshot.text,
            ),
            BlockKind::Thinking => self.delta_replacing(
                id,
                snapshot.content_index,
                true,
                snapshot.offset,
                &snapshot.text,
            ),
            BlockKind::ToolResult => self.tool_started(id, &snapshot.tool_name, ""),
            BlockKind::ToolInput | BlockKind::Unspecified => String::new(),
        }
    }

    fn delta_replacing(
        &mut self,
        id: &str,
        index: i32,
        thinking: bool,
        offset: i64,
        text: &str,
    ) -> String {
        if self.finished.contains(id) || (thinking && !self.look.whole) {
            return String::new();
        }
        let addition = self.blocks.replace_from(id, index, thinking, offset, text);
        self.give(id, index, thinking, addition)
    }

    /// A block that is whole: gives what is missing of it.
    fn whole(&mut self, id: &str, index: i32, thinking: bool, text: &str) -> String {
        if thinking && !self.look.whole {
            return String::new();
        }
        let addition = self.blocks.complete(id, index, thinking, text);
        self.give(id, index, thinking, addition)
    }

    fn message<'a>(
        &mut self,
        id: &str,
        blocks: impl Iterator<Item = (i32, &'a str)>,
        partial: bool,
        continued: bool,
    ) -> String {
        if !self.finish(id) {
            return String::new();
        }
        let mut out = String::new();
        for (index, text) in blocks {
            out.push_str(&self.whole(id, index, false, text));
        }
        self.blocks.forget(id);
        if !continued {
            out.push_str(&self.new_line());
        }
        if partial {
            out.push_str(&self.note_if_whole("cut off here"));
        }
        out
    }

    /// Puts an addition on the screen: in the open line where it goes on there, else in a new one.
    fn give(&mut self, id: &str, index: i32, thinking: bool, addition: Addition) -> String {
        let (text, note) = match addition {
            Addition::Nothing => return String::new(),
            Addition::Text(text) => (text, None),
            Addition::Shorter => (String::new(), Some("less than shown was kept")),
            Addition::Other(text) => (text, Some("what was kept differs; whole:")),
        };
        let mut out = String::new();
        if let Some(note) = note {
            out.push_str(&self.note_if_whole(note));
        }
        if text.is_empty() {
            return out;
        }
        let open = matches!(
            &self.line,
            Line::Block { item_id, content_index, thinking: same, .. }
                if item_id == id && *content_index == index && *same == thinking
        );
        if !open {
            out.push_str(&self.new_line());
        }
        let at_start = text.ends_with('\n');
        let clean = self.clean(&text);
        if thinking {
            self.styled(&mut out, DIM, &clean);
        } else {
            out.push_str(&clean);
        }
        self.line = Line::Block {
            item_id: id.to_owned(),
            content_index: index,
            thinking,
            at_start,
        };
        out
    }

    fn tool_started(&mut self, id: &str, name: &str, args_json: &str) -> String {
        if !self.look.whole || self.finished.contains(id) || self.line == Line::Tool(id.to_owned())
        {
            return String::new();
        }
        if !self.blocks.announce(id) {
            return String::new();
        }
        let mut out = self.new_line();
        let text = format!("* {} {}", summary(name), summary(args_json));
        self.styled(&mut out, DIM, text.trim_end());
        self.line = Line::Tool(id.to_owned());
        out
    }

    fn tool_completed(
        &mut self,
        id: &str,
        name: &str,
        result_json: &str,
        is_error: bool,
    ) -> String {
        if !self.finish(id) || !self.look.whole {
            return String::new();
        }
        self.blocks.forget(id);
        let mut out = String::new();
        let end = if is_error { "failed" } else { "ok" };
        let result = format!("-> {end} {}", summary(result_json));
        if self.line == Line::Tool(id.to_owned()) {
            self.line = Line::Start;
            out.push(' ');
        } else {
            // Other text came between: the line begins again.
            out.push_str(&self.new_line());
            self.styled(&mut out, DIM, &format!("* {} ", summary(name)));
        }
        self.styled(
            &mut out,
            if is_error { RED } else { DIM },
            result.trim_end(),
        );
        out.push('\n');
        out
    }

    fn turn_ended(&mut self, turn: Option<&Turn>) -> String {
        self.blocks.clear();
        let mut out = self.new_line();
        let Some(turn) = turn else { return out };
        self.own_turns.remove(&turn.turn_id);
        if !self.look.whole {
            return out;
        }
        if let Some(text) = how_it_ended(turn) {
            let text = self.clean(&text);
            let style = if turn.state() == TurnState::Failed {
                RED
            } else {
                DIM
            };
            self.styled(&mut out, style, &format!("[{text}]"));
            out.push('\n');
        }
        out
    }

    /// Remembers that an item is whole; false where it was before.
    fn finish(&mut self, id: &str) -> bool {
        if id.is_empty() {
            return true;
        }
        if !self.finished.insert(id.to_owned()) {
            return false;
        }
        self.finished_order.push_back(id.to_owned());
        if self.finished_order.len() > FINISHED_MAX
            && let Some(oldest) = self.finished_order.pop_front()
        {
            self.finished.remove(&oldest);
        }
        true
    }

    fn styled(&self, out: &mut String, style: &str, text: &str) {
        if self.look.colours && !text.is_empty() {
            out.push_str(style);
            out.push_str(text);
            out.push_str(PLAIN);
        } else {
            out.push_str(text);
        }
    }

    /// An agent's text must not steer the terminal.
    fn clean(&self, text: &str) -> String {
        if !self.look.terminal {
            return text.to_owned();
        }
        escaped(text)
    }
}

/// How a turn ended, where that is worth a line.
pub(crate) fn how_it_ended(turn: &Turn) -> Option<String> {
    let (reason, message) = turn
        .error
        .as_ref()
        .map(|error| (error.reason.as_str(), error.message.as_str()))
        .unwrap_or_default();
    let word = match turn.state() {
        TurnState::Completed if turn.stop_reason() == StopReason::Length => {
            return Some("stopped at the model's output limit".into());
        }
        TurnState::Completed => return None,
        TurnState::Failed => "failed",
        TurnState::Canceled => "canceled",
        TurnState::Interrupted => "interrupted",
        TurnState::Rejected => "taken from the queue",
        TurnState::Expired => "expired",
        TurnState::Unspecified
        | TurnState::Queued
        | TurnState::Scheduled
        | TurnState::Running
        | TurnState::WaitingInput
        | TurnState::Canceling => "not ended",
    };
    let mut text = word.to_owned();
    for part in [reason, message] {
        if !part.is_empty() {
            text.push_str(": ");
            text.push_str(part);
        }
    }
    Some(text)
}

/// JSON in one short line.
fn summary(json: &str) -> String {
    let line = json.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = escape(&line);
    if line.chars().count() <= SUMMARY_MAX_CHARS {
        return line.into_owned();
    }
    let cut: String = line.chars().take(SUMMARY_MAX_CHARS - 1).collect();
    format!("{cut}…")
}

/// The first line of a text, at most so long as a question's.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(QUESTION_MAX_CHARS).collect();
    if short.len() < text.trim_end().len() {
        short.push('…');
    }
    short
}

fn first_of<'a>(name: &'a str, id: &'a str) -> &'a str {
    if name.is_empty() { id } else { name }
}

/// What a sub-agent said, in one line.
fn subagent_item(item: &proto::SubagentItem) -> String {
    use proto::message_part::Part;
    let who = item.agent_path.join(" > ");
    let parts = item
        .parts
        .iter()
        .filter_map(|part| match part.part.as_ref()? {
            Part::Text(text) => Some(shortened(&text.text)),
            Part::Thinking(thinking) => Some(format!("({})", shortened(&thinking.text))),
            Part::ToolCall(call) => Some(format!("ran {}", call.tool_name)),
            Part::Attachment(_) => None,
        });
    let parts: Vec<String> = parts.collect();
    format!("{who}: {}", parts.join(" "))
}

#[cfg(test)]
mod tests;
