//! What an agent says, as what is written: the pure half of a running turn.
//!
//! [`TurnMachine::apply`] turns one [`AgentEvent`] into effects in order. It owns the items of its turn: it gives their
//! ids, opens and closes each exactly once, counts offsets, and goes on in a next item where a message grows too long.
//! No I/O and no clock, so the property test at the end runs it against everything.

use super::subagents::Subagents;
use crate::{
    agent::{AgentEvent, OUTPUT_MAX_BYTES, Outcome},
    domain::{
        event::{BlockKind, Delta, Event, Json, PlanEntry, Role},
        limits::{
            ASSISTANT_MESSAGE_MAX_BYTES, ATTACHMENT_MAX_BYTES, CHECKPOINT_MAX_BYTES,
            DISPLAY_NAME_MAX_BYTES, ERROR_MESSAGE_MAX_BYTES, NAME_MAX_BYTES, cut, cut_json,
            cut_json_of,
        },
        message::Part,
        question::{
            Ask, OPTIONS_MAX, PENDING_MAX, SCHEMA_MAX_BYTES, TITLE_MAX_BYTES, URL_MAX_BYTES,
        },
        turn::{Attachment, AttachmentRef, Cause, ContextUse, StopReason, Usage},
        usage::UsageReport,
    },
    store::{TurnEnd, Write},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Bytes of text in one delta event.
pub const DELTA_MAX_BYTES: usize = 256 * 1024;

/// Longest name, id or reason of an agent's own that is kept, in bytes.
const WORD_MAX_BYTES: usize = 1024;
/// Blocks of one message; one more begins the next item.
const BLOCKS_MAX: usize = 1024;
/// Tools that run at a time; one more ends the oldest, of which nobody has heard for long.
const TOOLS_MAX: usize = 256;
/// Questions that an agent has open, answered ones that it did not take included. Beyond what the store lets wait, and the
/// rest of a flood is passed over.
const ASKS_MAX: usize = 4 * PENDING_MAX;
/// Sub-agents that a question names, from the outermost in.
const AGENT_PATH_MAX: usize = 16;
/// Steps of a plan.
const PLAN_MAX: usize = 256;
/// Artifacts of one turn; what is beyond is passed over.
const ARTIFACTS_MAX: usize = 64;
/// Longest text of a step of a plan, in bytes.
const PLAN_TEXT_MAX_BYTES: usize = 4096;
/// Largest number of a single usage report. What adds up does not overflow for as long as anything lasts.
const USAGE_MAX: i64 = 1 << 50;

/// One thing that has to be done, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Write it; later deltas wait until it is published.
    Write(Write),
    /// Tell it to those who read along.
    Delta {
        /// The item that it is about.
        item_id: Uuid,
        /// Name of the tool, for a late reader's snapshot; empty for other blocks.
        tool_name: String,
        /// The delta.
        delta: Delta,
    },
}

/// What an event means for the turn as a whole.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes on.
    Running,
    /// It ended by the agent's word; all items are closed.
    Ended(TurnEnd),
    /// The agent's process is gone and with it all that it started; all items are closed.
    Exited(TurnEnd),
    /// A stop could not be proven, or the machine is lost; all items are closed.
    Unproven(TurnEnd),
}

/// A block of the open message.
#[derive(Debug, Default)]
struct Block {
    thinking: bool,
    text: String,
    /// Its durable event is written.
    done: bool,
    /// Bytes that no checkpoint holds yet.
    unsaved: usize,
}

/// The open assistant message.
#[derive(Debug)]
struct OpenMessage {
    item_id: Uuid,
    blocks: BTreeMap<i32, Block>,
    /// Bytes of each tool call's arguments so far; they are shown but not part of the message.
    tool_inputs: BTreeMap<i32, usize>,
}

/// A running tool.
#[derive(Debug)]
struct OpenTool {
    item_id: Uuid,
    tool_call_id: String,
    tool_name: String,
    args: Json,
    partial_result: Option<Json>,
    /// Bytes of the result that a checkpoint holds.
    saved: usize,
    /// Bytes by which the result is ahead of that; 0 where it is the same one.
    unsaved: usize,
}

/// A question that the agent waits for.
#[derive(Debug)]
struct OpenAsk {
    ask_id: String,
    question_id: Uuid,
    /// The call that waits for it; empty where none does.
    tool_call_id: String,
    /// What was asked.
    action_digest: String,
    /// The agent was given the answer.
    answered: bool,
}

/// The state of one start of a turn.
#[derive(Debug, Default)]
pub struct TurnMachine {
    message: Option<OpenMessage>,
    /// In the order in which they started.
    tools: Vec<OpenTool>,
    /// In the order in which they were asked.
    asks: Vec<OpenAsk>,
    /// Bytes of each block that earlier items of the same message hold.
    earlier: BTreeMap<i32, usize>,
    /// Final text so far, for `response_text`.
    response_text: String,
    /// The next completed message goes on with the one before.
    continues: bool,
    /// The turn is to answer by a schema.
    wants_output: bool,
    /// What it answers with so far.
    output_json: Option<String>,
    /// Sub-agents that are at work.
    subagents: Subagents,
    /// Artifacts so far.
    artifacts: usize,
}

// === impl OpenMessage ===

impl OpenMessage {
    /// Bytes that a block may still take.
    fn room(&self, content_index: i32) -> usize {
        if self.blocks.len() >= BLOCKS_MAX && !self.blocks.contains_key(&content_index) {
            return 0;
        }
        let bytes = self.blocks.values().map(|b| b.text.len()).sum();
        ASSISTANT_MESSAGE_MAX_BYTES.saturating_sub(bytes)
    }
}

// === impl TurnMachine ===

impl TurnMachine {
    /// The state of a turn that has just begun; whether it is to answer by a schema.
    pub fn of_turn(wants_output: bool) -> Self {
        Self {
            wants_output,
            ..Self::default()
        }
    }

    /// Text of the newest finished assistant message of this turn.
    pub fn response_text(&self) -> &str {
        &self.response_text
    }

    /// Takes what the agent said; appends what is to be done to `effects`.
    pub fn apply(&mut self, event: AgentEvent, effects: &mut Vec<Effect>) -> Verdict {
        match bounded(event) {
            // What is about the session is its actor's.
            AgentEvent::Ready { .. }
            | AgentEvent::CommandsChanged { .. }
            | AgentEvent::CallWanted { .. } => {}
            AgentEvent::Asked { ask_id, ask } => self.ask(ask_id, ask, effects),
            AgentEvent::AskWithdrawn { ask_id } => {
                if let Some(question_id) = self.take_ask(&ask_id) {
                    effects.push(Effect::Write(Write::AskWithdrawn { question_id }));
                }
            }
            AgentEvent::AnswerDelivered { ask_id } => {
                if let Some(question_id) = self.take_ask(&ask_id) {
                    effects.push(Effect::Write(Write::AnswerDelivered { question_id }));
                }
            }
            AgentEvent::Offered { offers } => {
                effects.push(Effect::Write(Write::Offered { offers }));
            }
            AgentEvent::PlanUpdated { entries } => {
                plain(effects, Event::PlanUpdated { entries });
            }
            AgentEvent::Subagent { agent_id, said } => {
                self.subagents.apply(agent_id, *said, effects);
            }
            AgentEvent::ArtifactCreated { title, artifact } => {
                let fits = artifact.data.len() <= ATTACHMENT_MAX_BYTES;
                if fits && self.artifacts < ARTIFACTS_MAX {
                    self.artifacts += 1;
                    let attachment = artifact.reference.clone();
                    // In one commit with the event that names it.
                    effects.push(Effect::Write(Write::Attachments(vec![*artifact])));
                    plain(effects, Event::ArtifactCreated { attachment, title });
                }
            }
            AgentEvent::MessageStarted => {
                self.complete_message(None, false, effects);
                self.open_message(effects);
            }
            AgentEvent::TextDelta {
                content_index,
                delta,
            } => self.text(content_index, false, &delta, effects),
            AgentEvent::ThinkingDelta {
                content_index,
                delta,
            } => self.text(content_index, true, &delta, effects),
            AgentEvent::ToolInputDelta {
                content_index,
                tool_call_id,
                tool_name,
                delta,
            } => self.tool_input(content_index, &tool_call_id, &tool_name, &delta, effects),
            AgentEvent::ThinkingCompleted {
                content_index,
                text,
            } => self.complete_thinking(content_index, &text, effects),
            AgentEvent::MessageCompleted { blocks } => {
                if self.message.is_none() && blocks.iter().any(|(_, text)| !text.is_empty()) {
                    self.open_message(effects);
                }
                self.complete_message(Some(blocks), false, effects);
            }
            AgentEvent::ToolStarted {
                tool_call_id,
                tool_name,
                args_json,
            } => self.start_tool(tool_call_id, tool_name, args_json, effects),
            AgentEvent::ToolUpdate {
                tool_call_id,
                partial_result_json,
            } => self.update_tool(tool_call_id, partial_result_json, effects),
            AgentEvent::ToolCompleted {
                tool_call_id,
                result_json,
                is_error,
                full_size,
                pictures,
            } => {
                let (text, full_size) = cut_json_of(result_json, full_size);
                let result = Json { text, full_size };
                self.complete_tool(&tool_call_id, result, is_error, pictures, effects);
            }
            AgentEvent::SteerApplied { steer_id } => {
                effects.push(Effect::Write(Write::SteerApplied { steer_id }));
            }
            AgentEvent::SteerReturned { steer_id } => {
                effects.push(Effect::Write(Write::SteerReturned { steer_id }));
            }
            AgentEvent::OutputAccepted { output_json } => {
                let fits = self.wants_output && output_json.len() <= OUTPUT_MAX_BYTES;
                self.output_json = Some(output_json).filter(|_| fits);
            }
            AgentEvent::UsageRecorded(report) => {
                effects.push(Effect::Write(Write::Usage(report)));
            }
            AgentEvent::CompactionStarted { reason } => {
                plain(effects, Event::CompactionStarted { reason });
            }
            AgentEvent::CompactionCompleted {
                reason,
                summary,
                aborted,
                error_message,
                tokens_before,
                kept,
            } => {
                let summary = cut(&summary, ASSISTANT_MESSAGE_MAX_BYTES).to_owned();
                let event = Event::CompactionCompleted {
                    reason,
                    summary: summary.clone(),
                    aborted,
                    error_message: cut(&error_message, ERROR_MESSAGE_MAX_BYTES).to_owned(),
                    tokens_before,
                };
                plain(effects, event);
                if kept {
                    let part = Part::Text {
                        content_index: 0,
                        text: summary,
                    };
                    effects.push(Effect::Write(Write::Message {
                        item_id: Uuid::now_v7(),
                        role: Role::System,
                        parts: vec![part],
                        partial: false,
                        continued: false,
                    }));
                }
            }
            AgentEvent::RetryScheduled {
                attempt,
                max_attempts,
                delay,
                error_message,
            } => plain(
                effects,
                Event::RetryScheduled {
                    attempt,
                    max_attempts,
                    delay,
                    error_message: cut(&error_message, ERROR_MESSAGE_MAX_BYTES).to_owned(),
                },
            ),
            AgentEvent::TurnEnded(outcome) => {
                let end = match outcome {
                    Outcome::Completed(_) if self.wants_output && self.output_json.is_none() => {
                        let why = "the agent ended the turn without an output";
                        TurnEnd::Failed(Cause::OutputInvalid, why.to_owned())
                    }
                    Outcome::OutputInvalid(message) => {
                        let message = cut(&message, ERROR_MESSAGE_MAX_BYTES).to_owned();
                        TurnEnd::Failed(Cause::OutputInvalid, message)
                    }
                    Outcome::Completed(reason) => TurnEnd::Completed(reason),
                    Outcome::Failed(message) => TurnEnd::Failed(Cause::AgentError, message),
                    Outcome::Stopped => TurnEnd::Stopped,
                };
                self.close(
                    !matches!(
                        end,
                        TurnEnd::Completed(
                            StopReason::Stop | StopReason::Length | StopReason::ToolUse
                        )
                    ),
                    effects,
                );
                if let Some(output_json) = self.output_json.take() {
                    effects.push(Effect::Write(Write::Output { output_json }));
                }
                return Verdict::Ended(end);
            }
            AgentEvent::Exited { message } => {
                let message = cut(&message, ERROR_MESSAGE_MAX_BYTES).to_owned();
                self.close(true, effects);
                plain(
                    effects,
                    Event::AgentExited {
                        message: message.clone(),
                    },
                );
                return Verdict::Exited(TurnEnd::Failed(Cause::AgentExited, message));
            }
            AgentEvent::Lost { message } => {
                let message = cut(&message, ERROR_MESSAGE_MAX_BYTES).to_owned();
                // Nobody knows what a tool that ran has done.
                let tool_ran = !self.tools.is_empty();
                self.close(true, effects);
                return Verdict::Unproven(TurnEnd::Lost { message, tool_ran });
            }
            AgentEvent::StopFailed { survivors } => {
                self.close(true, effects);
                return Verdict::Unproven(TurnEnd::Failed(Cause::StopUnproven, survivors));
            }
        }
        Verdict::Running
    }

    /// Whether the agent waits for anybody.
    pub fn asks(&self) -> bool {
        !self.asks.is_empty()
    }

    /// Whether nothing happens until somebody answers: a question is pending, no message is open, and every open tool
    /// waits for a question of its own.
    pub fn stands_still(&self) -> bool {
        let pending = || self.asks.iter().filter(|ask| !ask.answered);
        let waits = |tool: &OpenTool| pending().any(|ask| ask.tool_call_id == tool.tool_call_id);
        self.message.is_none() && pending().next().is_some() && self.tools.iter().all(waits)
    }

    /// A question was answered: what the agent calls it, where it is to be told. `None` where it was told before, or does
    /// not wait any more.
    ///
    /// # Errors
    /// The answer is to something else than the agent asks; what the agent calls it.
    pub fn answered(
        &mut self,
        question_id: Uuid,
        action_digest: &str,
    ) -> Result<Option<String>, String> {
        let mut asks = self.asks.iter_mut();
        let Some(ask) = asks.find(|ask| ask.question_id == question_id && !ask.answered) else {
            return Ok(None);
        };
        ask.answered = true;
        let ask_id = ask.ask_id.clone();
        if ask.action_digest == action_digest {
            Ok(Some(ask_id))
        } else {
            Err(ask_id)
        }
    }

    /// Somebody is asked, for the agent or by the gateway.
    pub(super) fn ask(&mut self, ask_id: String, mut ask: Box<Ask>, effects: &mut Vec<Effect>) {
        // A second one of the same name is the same one.
        if self.asks.iter().any(|open| open.ask_id == ask_id) || self.asks.len() >= ASKS_MAX {
            return;
        }
        let (text, full_size) = cut_json_of(std::mem::take(&mut ask.args.text), ask.args.full_size);
        ask.args = Json { text, full_size };
        let question_id = Uuid::now_v7();
        self.asks.push(OpenAsk {
            ask_id,
            question_id,
            tool_call_id: ask.tool_call_id.clone(),
            action_digest: ask.digest(),
            answered: false,
        });
        effects.push(Effect::Write(Write::Asked { question_id, ask }));
    }

    fn take_ask(&mut self, ask_id: &str) -> Option<Uuid> {
        let index = self.asks.iter().position(|ask| ask.ask_id == ask_id)?;
        Some(self.asks.remove(index).question_id)
    }

    /// Closes every open item; `partial` where the agent did not come to its end.
    pub fn close(&mut self, partial: bool, effects: &mut Vec<Effect>) {
        self.complete_message(None, partial, effects);
        for tool in std::mem::take(&mut self.tools) {
            let result = tool.partial_result.clone().unwrap_or_else(|| Json {
                text: "null".into(),
                full_size: None,
            });
            finish_tool(tool, result, true, true, vec![], effects);
        }
        self.subagents.close(effects);
    }

    /// Bytes of the block that is furthest ahead of its checkpoint.
    pub fn unsaved_bytes(&self) -> usize {
        let blocks = self.message.iter().flat_map(|m| m.blocks.values());
        blocks
            .map(|b| b.unsaved)
            .chain(self.tools.iter().map(|t| t.unsaved))
            .max()
            .unwrap_or(0)
    }

    /// Whether a checkpoint is due by size; by time is the actor's to know.
    pub fn checkpoint_due(&self) -> bool {
        self.unsaved_bytes() >= CHECKPOINT_MAX_BYTES
    }

    /// Checkpoints of all that changed since the last call.
    pub fn checkpoints(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        if let Some(message) = &mut self.message {
            for (content_index, block) in &mut message.blocks {
                if std::mem::take(&mut block.unsaved) > 0 && !block.done {
                    writes.push(Write::Checkpoint {
                        item_id: message.item_id,
                        block: if block.thinking {
                            BlockKind::Thinking
                        } else {
                            BlockKind::Text
                        },
                        content_index: *content_index,
                        text: block.text.clone(),
                    });
                }
            }
        }
        for tool in &mut self.tools {
            if std::mem::take(&mut tool.unsaved) > 0
                && let Some(partial) = &tool.partial_result
            {
                tool.saved = partial.text.len();
                writes.push(Write::Checkpoint {
                    item_id: tool.item_id,
                    block: BlockKind::ToolResult,
                    content_index: 0,
                    text: partial.text.clone(),
                });
            }
        }
        writes
    }

    fn open_message(&mut self, effects: &mut Vec<Effect>) -> &mut OpenMessage {
        let item_id = Uuid::now_v7();
        effects.push(Effect::Write(Write::Event {
            item_id: Some(item_id),
            event: Event::MessageStarted {
                role: Role::Assistant,
                text: String::new(),
                attachments: Vec::new(),
            },
        }));
        self.message.insert(OpenMessage {
            item_id,
            blocks: BTreeMap::new(),
            tool_inputs: BTreeMap::new(),
        })
    }

    fn opened(&mut self, effects: &mut Vec<Effect>) -> &mut OpenMessage {
        if self.message.is_none() {
            self.open_message(effects);
        }
        self.message
            .as_mut()
            .expect("it was opened in the line before")
    }

    /// Appends text to a block, in pieces that fit a delta and a message.
    fn text(&mut self, content_index: i32, thinking: bool, delta: &str, effects: &mut Vec<Effect>) {
        let mut rest = delta;
        while !rest.is_empty() {
            let room = self.opened(effects).room(content_index);
            let piece = cut(rest, room.min(DELTA_MAX_BYTES));
            if piece.is_empty() {
                // Less room than the next character takes.
                self.split(effects);
                continue;
            }
            rest = &rest[piece.len()..];
            let message = self.opened(effects);
            let item_id = message.item_id;
            let block = message.blocks.entry(content_index).or_default();
            if block.done {
                // A block that was completed takes no more; what comes late belongs to no text.
                return;
            }
            block.thinking = thinking;
            let offset = i64::try_from(block.text.len()).expect("bounded by the message");
            block.text.push_str(piece);
            block.unsaved += piece.len();
            let delta = piece.to_owned();
            effects.push(Effect::Delta {
                item_id,
                tool_name: String::new(),
                delta: if thinking {
                    Delta::Thinking {
                        delta,
                        content_index,
                        offset,
                    }
                } else {
                    Delta::Token {
                        delta,
                        content_index,
                        offset,
                    }
                },
            });
        }
    }

    fn tool_input(
        &mut self,
        content_index: i32,
        tool_call_id: &str,
        tool_name: &str,
        delta: &str,
        effects: &mut Vec<Effect>,
    ) {
        let message = self.opened(effects);
        let item_id = message.item_id;
        let sent = message.tool_inputs.entry(content_index).or_default();
        // Shown while it is written and whole in `tool_started`: beyond the bound nothing more is shown here.
        let mut rest = cut(delta, ASSISTANT_MESSAGE_MAX_BYTES.saturating_sub(*sent));
        while !rest.is_empty() {
            let piece = cut(rest, DELTA_MAX_BYTES);
            rest = &rest[piece.len()..];
            effects.push(Effect::Delta {
                item_id,
                tool_name: tool_name.to_owned(),
                delta: Delta::ToolInput {
                    delta: piece.to_owned(),
                    content_index,
                    offset: i64::try_from(*sent).expect("bounded above"),
                    tool_call_id: tool_call_id.to_owned(),
                    tool_name: tool_name.to_owned(),
                },
            });
            *sent += piece.len();
        }
    }

    /// Ends the open message as continued and opens the next item of the same message.
    fn split(&mut self, effects: &mut Vec<Effect>) {
        if let Some(message) = &self.message {
            for (content_index, block) in &message.blocks {
                *self.earlier.entry(*content_index).or_default() += block.text.len();
            }
        }
        self.write_message(false, true, effects);
        self.open_message(effects);
    }

    /// What of a block's whole text is not in earlier items; `None` where they don't agree.
    fn remainder<'t>(&self, content_index: i32, whole: &'t str) -> Option<&'t str> {
        whole.get(self.earlier.get(&content_index).copied().unwrap_or(0)..)
    }

    /// Puts a block's authoritative text in the place of what deltas built; splits where it does not fit.
    fn replace(
        &mut self,
        content_index: i32,
        thinking: bool,
        whole: &str,
        effects: &mut Vec<Effect>,
    ) {
        let Some(rest) = self.remainder(content_index, whole) else {
            return;
        };
        let mut rest = rest.to_owned();
        loop {
            let message = self.opened(effects);
            if let Some(block) = message.blocks.get_mut(&content_index) {
                if block.done {
                    return;
                }
                block.text.clear();
            }
            let piece = cut(&rest, message.room(content_index)).to_owned();
            let left = rest.split_off(piece.len());
            if !piece.is_empty() || left.is_empty() {
                let block = message.blocks.entry(content_index).or_default();
                block.thinking = thinking;
                block.text = piece;
            }
            if left.is_empty() {
                return;
            }
            rest = left;
            self.split(effects);
        }
    }

    fn complete_thinking(&mut self, content_index: i32, text: &str, effects: &mut Vec<Effect>) {
        self.replace(content_index, true, text, effects);
        let message = self.opened(effects);
        let item_id = message.item_id;
        if let Some(block) = message.blocks.get_mut(&content_index)
            && !block.done
        {
            write_thinking(item_id, content_index, block, false, effects);
        }
    }

    /// Closes the open message; `blocks` are its authoritative texts, where the agent gave them.
    fn complete_message(
        &mut self,
        blocks: Option<Vec<(i32, String)>>,
        partial: bool,
        effects: &mut Vec<Effect>,
    ) {
        if self.message.is_none() {
            return;
        }
        if let Some(blocks) = blocks {
            for (content_index, text) in &blocks {
                self.replace(*content_index, false, text, effects);
            }
            if let Some(message) = &mut self.message {
                // What the agent does not name any more was no text of the message.
                message.blocks.retain(|index, block| {
                    block.thinking || blocks.iter().any(|(named, _)| named == index)
                });
            }
        }
        self.write_message(partial, false, effects);
        self.earlier.clear();
    }

    fn write_message(&mut self, partial: bool, continued: bool, effects: &mut Vec<Effect>) {
        let Some(mut message) = self.message.take() else {
            return;
        };
        for (content_index, block) in &mut message.blocks {
            if block.thinking && !block.done {
                write_thinking(message.item_id, *content_index, block, partial, effects);
            }
        }
        let mut texts = Vec::new();
        let mut parts = Vec::new();
        for (content_index, Block { thinking, text, .. }) in message.blocks {
            if text.is_empty() {
                continue;
            }
            if thinking {
                parts.push(Part::Thinking {
                    content_index,
                    text,
                });
            } else {
                texts.push((content_index, text.clone()));
                parts.push(Part::Text {
                    content_index,
                    text,
                });
            }
        }
        if !texts.is_empty() {
            if !self.continues {
                self.response_text.clear();
            }
            self.response_text
                .extend(texts.iter().map(|(_, text)| text.as_str()));
        }
        self.continues = continued;
        effects.push(Effect::Write(Write::Event {
            item_id: Some(message.item_id),
            event: Event::MessageCompleted {
                role: Role::Assistant,
                blocks: texts,
                partial,
                continued,
            },
        }));
        if !parts.is_empty() {
            effects.push(Effect::Write(Write::Message {
                item_id: message.item_id,
                role: Role::Assistant,
                parts,
                partial,
                continued,
            }));
        }
    }

    fn start_tool(
        &mut self,
        tool_call_id: String,
        tool_name: String,
        args_json: String,
        effects: &mut Vec<Effect>,
    ) {
        if self.tools.iter().any(|t| t.tool_call_id == tool_call_id) {
            let nothing = Json {
                text: "null".into(),
                full_size: None,
            };
            self.complete_tool(&tool_call_id, nothing, true, vec![], effects);
        }
        if self.tools.len() >= TOOLS_MAX {
            let oldest = self.tools.remove(0);
            let result = Json {
                text: "null".into(),
                full_size: None,
            };
            finish_tool(oldest, result, true, true, vec![], effects);
        }
        let (text, full_size) = cut_json(args_json);
        let args = Json { text, full_size };
        let item_id = Uuid::now_v7();
        effects.push(Effect::Write(Write::Event {
            item_id: Some(item_id),
            event: Event::ToolStarted {
                tool_call_id: tool_call_id.clone(),
                tool_name: tool_name.clone(),
                args: args.clone(),
            },
        }));
        self.tools.push(OpenTool {
            item_id,
            tool_call_id,
            tool_name,
            args,
            partial_result: None,
            saved: 0,
            unsaved: 0,
        });
    }

    fn update_tool(&mut self, tool_call_id: String, json: String, effects: &mut Vec<Effect>) {
        let Some(tool) = self
            .tools
            .iter_mut()
            .find(|t| t.tool_call_id == tool_call_id)
        else {
            return;
        };
        let (text, full_size) = cut_json(json);
        let partial_result = Json { text, full_size };
        // By what it grew: it comes whole each time, and saving it whole for each line would cost more than it is worth.
        tool.unsaved = partial_result.text.len().abs_diff(tool.saved).max(1);
        tool.partial_result = Some(partial_result.clone());
        effects.push(Effect::Delta {
            item_id: tool.item_id,
            tool_name: tool.tool_name.clone(),
            delta: Delta::ToolUpdate {
                tool_call_id,
                partial_result,
            },
        });
    }

    fn complete_tool(
        &mut self,
        tool_call_id: &str,
        result: Json,
        is_error: bool,
        pictures: Vec<Attachment>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(at) = self
            .tools
            .iter()
            .position(|t| t.tool_call_id == tool_call_id)
        else {
            return;
        };
        let tool = self.tools.remove(at);
        finish_tool(tool, result, is_error, false, pictures, effects);
    }
}

/// What an agent says, within bounds: no place is negative, no number adds up beyond what is stored, no name fills an
/// event. Agents are not trusted with that, and their models even less.
fn bounded(mut event: AgentEvent) -> AgentEvent {
    let shorten = |word: &mut String| word.truncate(cut(word, WORD_MAX_BYTES).len());
    let place = |content_index: &mut i32| *content_index = (*content_index).max(0);
    match &mut event {
        AgentEvent::TextDelta { content_index, .. }
        | AgentEvent::ThinkingDelta { content_index, .. }
        | AgentEvent::ThinkingCompleted { content_index, .. } => place(content_index),
        AgentEvent::ToolInputDelta {
            content_index,
            tool_call_id,
            tool_name,
            delta: _,
        } => {
            place(content_index);
            shorten(tool_call_id);
            shorten(tool_name);
        }
        AgentEvent::MessageCompleted { blocks } => {
            blocks.iter_mut().for_each(|(index, _)| place(index));
        }
        AgentEvent::ToolStarted {
            tool_call_id,
            tool_name,
            args_json: _,
        } => {
            shorten(tool_call_id);
            shorten(tool_name);
        }
        AgentEvent::ToolUpdate { tool_call_id, .. }
        | AgentEvent::ToolCompleted { tool_call_id, .. } => shorten(tool_call_id),
        AgentEvent::Offered { offers } => **offers = std::mem::take(&mut **offers).bounded(),
        AgentEvent::UsageRecorded(report) => {
            let UsageReport {
                usage:
                    Usage {
                        input_tokens,
                        output_tokens,
                        cache_read_tokens,
                        cache_write_tokens,
                        cost_micros,
                        model_calls,
                        unpriced_calls,
                        reasoning_tokens,
                    },
                model,
                granularity: _,
                context,
            } = &mut **report;
            for number in [
                input_tokens,
                output_tokens,
                cache_read_tokens,
                cache_write_tokens,
                cost_micros,
                model_calls,
                unpriced_calls,
                reasoning_tokens,
            ] {
                *number = (*number).clamp(0, USAGE_MAX);
            }
            if let Some(ContextUse { tokens, window }) = context {
                *tokens = (*tokens).clamp(0, USAGE_MAX);
                *window = (*window).clamp(0, USAGE_MAX);
            }
            shorten(model);
        }
        AgentEvent::CallWanted { model } => shorten(model),
        AgentEvent::CompactionStarted { reason } => shorten(reason),
        AgentEvent::CompactionCompleted { reason, .. } => shorten(reason),
        AgentEvent::Asked { ask_id, ask } => {
            shorten(ask_id);
            bound_ask(ask);
        }
        AgentEvent::AskWithdrawn { ask_id } | AgentEvent::AnswerDelivered { ask_id } => {
            shorten(ask_id);
        }
        AgentEvent::ArtifactCreated { title, artifact } => {
            let AttachmentRef {
                attachment_id: _,
                name,
                media_type,
                size: _,
            } = &mut artifact.reference;
            name.retain(|it| !it.is_control());
            name.truncate(cut(name, DISPLAY_NAME_MAX_BYTES).len());
            media_type.retain(|it| !it.is_control());
            media_type.truncate(cut(media_type, NAME_MAX_BYTES).len());
            if title.is_empty() {
                title.clone_from(name);
            }
            title.truncate(cut(title, TITLE_MAX_BYTES).len());
        }
        AgentEvent::PlanUpdated { entries } => {
            entries.truncate(PLAN_MAX);
            for PlanEntry {
                text,
                status: _,
                priority,
            } in entries
            {
                text.truncate(cut(text, PLAN_TEXT_MAX_BYTES).len());
                shorten(priority);
            }
        }
        AgentEvent::Ready { .. }
        | AgentEvent::CommandsChanged { .. }
        // Bounded where they are taken.
        | AgentEvent::Subagent { .. }
        | AgentEvent::OutputAccepted { .. }
        | AgentEvent::MessageStarted
        | AgentEvent::SteerApplied { .. }
        | AgentEvent::SteerReturned { .. }
        | AgentEvent::RetryScheduled { .. }
        | AgentEvent::TurnEnded(_)
        | AgentEvent::Exited { .. }
        | AgentEvent::Lost { .. }
        | AgentEvent::StopFailed { .. } => {}
    }
    event
}

/// Keeps what is asked within bounds. What can't be shortened without becoming something else is dropped, so that it is
/// refused as unusable.
fn bound_ask(ask: &mut Ask) {
    let shorten = |word: &mut String, max: usize| word.truncate(cut(word, max).len());
    shorten(&mut ask.title, TITLE_MAX_BYTES);
    shorten(&mut ask.tool_call_id, WORD_MAX_BYTES);
    shorten(&mut ask.tool_name, WORD_MAX_BYTES);
    ask.options.truncate(OPTIONS_MAX);
    ask.options
        .retain(|option| option.option_id.len() <= WORD_MAX_BYTES);
    for option in &mut ask.options {
        shorten(&mut option.label, TITLE_MAX_BYTES);
    }
    if ask.schema_json.len() > SCHEMA_MAX_BYTES {
        ask.schema_json.clear();
    }
    if ask.url.len() > URL_MAX_BYTES {
        ask.url.clear();
    }
    ask.agent_path.truncate(AGENT_PATH_MAX);
    for agent in &mut ask.agent_path {
        shorten(agent, WORD_MAX_BYTES);
    }
}

fn plain(effects: &mut Vec<Effect>, event: Event) {
    effects.push(Effect::Write(Write::Event {
        item_id: None,
        event,
    }));
}

fn write_thinking(
    item_id: Uuid,
    content_index: i32,
    block: &mut Block,
    partial: bool,
    effects: &mut Vec<Effect>,
) {
    block.done = true;
    effects.push(Effect::Write(Write::Event {
        item_id: Some(item_id),
        event: Event::ThinkingCompleted {
            content_index,
            text: block.text.clone(),
            partial,
        },
    }));
}

fn finish_tool(
    tool: OpenTool,
    result: Json,
    is_error: bool,
    partial: bool,
    pictures: Vec<Attachment>,
    effects: &mut Vec<Effect>,
) {
    let attachments: Vec<AttachmentRef> = pictures.iter().map(|it| it.reference.clone()).collect();
    if !pictures.is_empty() {
        // In one commit with those who name them.
        effects.push(Effect::Write(Write::Attachments(pictures)));
    }
    let OpenTool {
        item_id,
        tool_call_id,
        tool_name,
        args,
        partial_result: _,
        saved: _,
        unsaved: _,
    } = tool;
    effects.push(Effect::Write(Write::Event {
        item_id: Some(item_id),
        event: Event::ToolCompleted {
            tool_call_id: tool_call_id.clone(),
            tool_name: tool_name.clone(),
            result: result.clone(),
            is_error,
            partial,
            attachments: attachments.clone(),
        },
    }));
    let call = Part::ToolCall {
        tool_call_id,
        tool_name,
        args,
        result,
        is_error,
    };
    let attachments = attachments.into_iter().map(Part::Attachment);
    effects.push(Effect::Write(Write::Message {
        item_id,
        role: Role::Tool,
        parts: [call].into_iter().chain(attachments).collect(),
        partial,
        continued: false,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ids::Time, wire::frames};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What a reader who sees everything knows: open items, their text by deltas, their final text.
    #[derive(Default)]
    struct Reader {
        open: BTreeSet<Uuid>,
        closed: BTreeSet<Uuid>,
        streamed: BTreeMap<(Uuid, i32), String>,
        /// Final text of each assistant item, with `continued`.
        finals: Vec<(String, bool)>,
    }

    impl Reader {
        fn see(&mut self, effect: &Effect) {
            match effect {
                Effect::Write(Write::Event {
                    item_id: Some(item),
                    event,
                }) => match event {
                    Event::MessageStarted { .. } | Event::ToolStarted { .. } => {
                        assert!(self.open.insert(*item) && !self.closed.contains(item));
                    }
                    Event::MessageCompleted {
                        blocks, continued, ..
                    } => {
                        assert!(self.open.remove(item) && self.closed.insert(*item));
                        let bytes: usize = blocks.iter().map(|(_, t)| t.len()).sum();
                        assert!(bytes <= ASSISTANT_MESSAGE_MAX_BYTES);
                        let body = frames::event_body(Time(0), Some(*item), Some(*item), 1, event);
                        assert!(body.len() + 512 <= 1024 * 1024, "an event is at most 1 MiB");
                        let text = blocks.iter().map(|(_, t)| t.as_str()).collect();
                        self.finals.push((text, *continued));
                    }
                    Event::ToolCompleted { .. } => {
                        assert!(self.open.remove(item) && self.closed.insert(*item));
                    }
                    Event::ThinkingCompleted { .. } => assert!(self.open.contains(item)),
                    other => panic!("{other:?} has no item"),
                },
                Effect::Write(Write::Message { item_id, .. }) => {
                    assert!(self.closed.contains(item_id));
                }
                Effect::Write(_) => {}
                Effect::Delta { item_id, delta, .. } => {
                    assert!(self.open.contains(item_id), "a delta of a closed item");
                    let (index, offset, text) = match delta {
                        Delta::Token {
                            delta,
                            content_index,
                            offset,
                        }
                        | Delta::Thinking {
                            delta,
                            content_index,
                            offset,
                        }
                        | Delta::ToolInput {
                            delta,
                            content_index,
                            offset,
                            ..
                        } => (*content_index, *offset, delta),
                        Delta::ToolUpdate { .. } => return,
                    };
                    let streamed = self.streamed.entry((*item_id, index)).or_default();
                    assert_eq!(streamed.len(), offset as usize, "offsets have no hole");
                    streamed.push_str(text);
                }
            }
        }
    }

    fn run(events: Vec<AgentEvent>) -> (TurnMachine, Reader) {
        let (mut machine, mut reader) = (TurnMachine::default(), Reader::default());
        for event in events {
            let mut effects = Vec::new();
            machine.apply(event, &mut effects);
            effects.iter().for_each(|e| reader.see(e));
        }
        (machine, reader)
    }

    #[test]
    fn a_long_message_goes_on_in_a_next_item_and_loses_nothing() {
        let piece = "ä".repeat(100_000);
        let whole = piece.repeat(8);
        let mut events = vec![AgentEvent::MessageStarted];
        for _ in 0..8 {
            events.push(AgentEvent::TextDelta {
                content_index: 0,
                delta: piece.clone(),
            });
        }
        events.push(AgentEvent::MessageCompleted {
            blocks: vec![(0, whole.clone())],
        });
        let (machine, reader) = run(events);
        assert!(reader.open.is_empty());
        let texts: String = reader.finals.iter().map(|(t, _)| t.as_str()).collect();
        assert!(texts == whole && machine.response_text() == whole);
        let continued: Vec<bool> = reader.finals.iter().map(|(_, c)| *c).collect();
        assert_eq!(continued, [true, true, true, false]);
    }

    #[test]
    fn a_long_text_that_was_never_streamed_is_split_too() {
        let whole = "x".repeat(1_200_000);
        let (machine, reader) = run(vec![
            AgentEvent::MessageStarted,
            AgentEvent::MessageCompleted {
                blocks: vec![(0, whole.clone())],
            },
        ]);
        assert_eq!(reader.finals.len(), 3);
        assert!(machine.response_text() == whole);
    }

    #[test]
    fn the_completed_text_replaces_what_deltas_built() {
        let (machine, reader) = run(vec![
            AgentEvent::TextDelta {
                content_index: 0,
                delta: "helo".into(),
            },
            AgentEvent::MessageCompleted {
                blocks: vec![(0, "hello".into())],
            },
        ]);
        assert_eq!(reader.finals, [("hello".to_owned(), false)]);
        assert_eq!(machine.response_text(), "hello");
    }

    #[test]
    fn a_stop_keeps_what_was_streamed() {
        let (machine, reader) = run(vec![
            AgentEvent::ThinkingDelta {
                content_index: 0,
                delta: "hm".into(),
            },
            AgentEvent::TextDelta {
                content_index: 1,
                delta: "par".into(),
            },
            AgentEvent::ToolStarted {
                tool_call_id: "c".into(),
                tool_name: "bash".into(),
                args_json: "{}".into(),
            },
            AgentEvent::TurnEnded(Outcome::Stopped),
        ]);
        assert!(reader.open.is_empty());
        assert_eq!(reader.closed.len(), 2);
        assert_eq!(machine.response_text(), "par");
    }

    #[test]
    fn checkpoints_hold_the_whole_open_text_once() {
        let (mut machine, _) = run(vec![AgentEvent::TextDelta {
            content_index: 0,
            delta: "abc".into(),
        }]);
        assert_eq!(machine.unsaved_bytes(), 3);
        let writes = machine.checkpoints();
        assert!(matches!(&writes[..], [Write::Checkpoint { text, .. }] if text == "abc"));
        assert!(machine.checkpoints().is_empty());
    }

    #[test]
    fn what_an_agent_says_is_kept_within_bounds() {
        let long = "x".repeat(100_000);
        let mut events = vec![AgentEvent::TextDelta {
            content_index: -1,
            delta: "first".into(),
        }];
        for content_index in 0..3_000 {
            events.push(AgentEvent::TextDelta {
                content_index,
                delta: "y".into(),
            });
        }
        for number in 0..TOOLS_MAX + 9 {
            events.push(AgentEvent::ToolStarted {
                tool_call_id: format!("{number}{long}"),
                tool_name: long.clone(),
                args_json: "{}".into(),
            });
        }
        let (mut machine, reader) = run(events);
        assert_eq!(reader.finals.len(), 2, "the third item is open");
        assert!(
            reader.finals[0].0.starts_with("firsty"),
            "{:?}",
            reader.finals[0]
        );
        assert_eq!(machine.tools.len(), TOOLS_MAX);
        assert!(
            machine
                .tools
                .iter()
                .all(|t| t.tool_name.len() == WORD_MAX_BYTES)
        );
        let mut effects = Vec::new();
        let usage = Usage {
            input_tokens: i64::MAX,
            output_tokens: -1,
            ..Usage::default()
        };
        let report = UsageReport {
            usage,
            model: long,
            ..UsageReport::default()
        };
        let said = AgentEvent::UsageRecorded(Box::new(report));
        machine.apply(said, &mut effects);
        let Some(Effect::Write(Write::Usage(report))) = effects.pop() else {
            panic!("it is written");
        };
        let UsageReport { usage, model, .. } = *report;
        assert_eq!((usage.input_tokens, usage.output_tokens), (USAGE_MAX, 0));
        assert_eq!(model.len(), WORD_MAX_BYTES);
    }

    fn any_event() -> impl Strategy<Value = AgentEvent> {
        let text = "[a-zä ]{0,12}";
        let big = (0usize..4, text).prop_map(|(n, t)| t.repeat(1 + n * 40_000));
        let tool = "[ab]";
        prop_oneof![
            2 => Just(AgentEvent::MessageStarted),
            6 => (0i32..3, big.clone()).prop_map(|(content_index, delta)| AgentEvent::TextDelta { content_index, delta }),
            2 => (0i32..3, big.clone()).prop_map(|(content_index, delta)| AgentEvent::ThinkingDelta { content_index, delta }),
            1 => (3i32..5, text).prop_map(|(content_index, delta)| AgentEvent::ToolInputDelta {
                content_index, tool_call_id: String::new(), tool_name: String::new(), delta }),
            1 => (0i32..3, text).prop_map(|(content_index, text)| AgentEvent::ThinkingCompleted { content_index, text }),
            2 => proptest::collection::vec((0i32..3, big), 0..3).prop_map(|blocks| AgentEvent::MessageCompleted { blocks }),
            1 => tool.prop_map(|t| AgentEvent::ToolStarted { tool_call_id: t, tool_name: "t".into(), args_json: "{}".into() }),
            1 => tool.prop_map(|t| AgentEvent::ToolUpdate { tool_call_id: t, partial_result_json: "1".into() }),
            1 => tool.prop_map(|t| AgentEvent::ToolCompleted {
                tool_call_id: t, result_json: "2".into(), is_error: false, full_size: None, pictures: vec![] }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_the_agent_says_each_item_opens_and_closes_once(
            events in proptest::collection::vec(any_event(), 0..40),
            exits in any::<bool>(),
        ) {
            let end = if exits {
                AgentEvent::Exited { message: "gone".into() }
            } else {
                AgentEvent::TurnEnded(Outcome::Completed(StopReason::Stop))
            };
            let (machine, reader) = run(events.into_iter().chain([end]).collect());
            prop_assert!(reader.open.is_empty());
            prop_assert!(machine.message.is_none() && machine.tools.is_empty());
            // What goes on is always followed by its continuation.
            prop_assert!(!reader.finals.last().is_some_and(|(_, continued)| *continued));
        }
    }
}
