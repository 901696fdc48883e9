//! One turn as pi tells it: the open message, its tool calls, and by what word it ended.

use super::{
    protocol::{AssistantMessage, Change, ModelName, Update},
    steers::Steers,
};
use crate::agent::{AgentEvent, Outcome};
use crate::domain::turn::StopReason;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Text of an open message that is kept, in bytes, in case its end is lost.
pub(super) const KEPT_TEXT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// What is known of the running turn.
#[derive(Debug)]
pub(super) struct Turn {
    /// Command id of the prompt.
    pub(super) prompt_id: String,
    /// How far it is.
    pub(super) phase: Phase,
    /// pi answered the prompt.
    pub(super) prompt_answered: bool,
    /// User messages so far; the first one is the prompt.
    pub(super) user_messages: usize,
    /// Steers that are not answered yet.
    pub(super) steers: Steers,
    /// A stop was asked for.
    pub(super) cancel: Option<Cancel>,
    /// pi waits before it tries a model call again. It looks idle then.
    pub(super) retrying: bool,
    /// pi shortens its context. It may look idle then.
    pub(super) compacting: bool,
    /// A line of this turn could not be read, so its end may be among what was lost.
    pub(super) line_lost: bool,
    /// pi looked idle where a run may be about to begin, and was given time for it.
    pub(super) idle_rechecked: bool,
    message: Option<OpenMessage>,
    last_word: Option<LastWord>,
    /// Calls that ended, by pi's id.
    tools: HashMap<String, usize>,
    /// Calls that run, by pi's id.
    open_tools: HashSet<String>,
}

/// How far a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The prompt is written.
    Asked,
    /// pi took it; a run may begin or the prompt may be handled without one.
    Accepted,
    /// A run is live.
    Live,
    /// The run ended; it may begin again.
    Ended,
    /// It is over, and pi's queue is being emptied.
    Clearing,
}

/// A stop that was asked for.
#[derive(Debug)]
pub(super) struct Cancel {
    /// Command id of the newest `abort`.
    pub(super) abort_id: String,
    /// pi answered it, or none was needed: it can't hit a later run.
    pub(super) answered: bool,
}

#[derive(Debug, Default)]
struct OpenMessage {
    /// `MessageStarted` was sent. A failed model call leaves an empty message, which is not shown.
    shown: bool,
    texts: BTreeMap<i32, String>,
    kept_bytes: usize,
    /// Thinking that was not said to be whole yet.
    thinking: BTreeMap<i32, String>,
    /// Thinking that was.
    thought: Vec<i32>,
    calls: HashMap<i32, (String, String)>,
}

#[derive(Debug)]
struct LastWord {
    stop_reason: String,
    error_message: String,
}

// === impl Turn ===

impl Turn {
    /// A turn whose prompt goes out under this id.
    pub(super) fn new(prompt_id: String) -> Self {
        Self {
            prompt_id,
            phase: Phase::Asked,
            prompt_answered: false,
            user_messages: 0,
            steers: Steers::default(),
            cancel: None,
            retrying: false,
            compacting: false,
            line_lost: false,
            idle_rechecked: false,
            message: None,
            last_word: None,
            tools: HashMap::new(),
            open_tools: HashSet::new(),
        }
    }

    /// An assistant message begins.
    pub(super) fn message_started(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        self.message_lost(emit);
        self.last_word = None;
        self.message = Some(OpenMessage::default());
    }

    /// A user message begins. Returns true for the prompt itself.
    pub(super) fn user_message_started(&mut self, emit: &mut impl FnMut(AgentEvent)) -> bool {
        self.message_lost(emit);
        // What ended before was not the answer to this.
        self.last_word = None;
        self.user_messages += 1;
        self.user_messages == 1
    }

    /// The open message grows.
    pub(super) fn updated(&mut self, update: Update, emit: &mut impl FnMut(AgentEvent)) {
        let Update {
            content_index,
            change,
        } = update;
        let tools = &self.tools;
        let message = self.message.get_or_insert_default();
        match change {
            Change::Text(delta) if !delta.is_empty() => {
                message.show(emit);
                message.keep(content_index, &delta);
                emit(AgentEvent::TextDelta {
                    content_index,
                    delta,
                });
            }
            Change::TextEnd(text) if !text.is_empty() => {
                message.show(emit);
                message.texts.insert(content_index, text);
            }
            Change::Thinking(delta) if !delta.is_empty() => {
                message.show(emit);
                message.keep_thinking(content_index, &delta);
                emit(AgentEvent::ThinkingDelta {
                    content_index,
                    delta,
                });
            }
            Change::ThinkingEnd(text) => message.thought(content_index, text, emit),
            Change::ToolStart { id, name } => {
                message
                    .calls
                    .insert(content_index, (unique(tools, &id), name));
            }
            Change::ToolInput(delta) if !delta.is_empty() => {
                message.show(emit);
                let (tool_call_id, tool_name) = message
                    .calls
                    .get(&content_index)
                    .cloned()
                    .unwrap_or_default();
                emit(AgentEvent::ToolInputDelta {
                    content_index,
                    tool_call_id,
                    tool_name,
                    delta,
                });
            }
            Change::Text(_)
            | Change::TextEnd(_)
            | Change::Thinking(_)
            | Change::ToolInput(_)
            | Change::Nothing => {}
        }
    }

    /// The open message is whole.
    pub(super) fn message_completed(
        &mut self,
        message: AssistantMessage,
        emit: &mut impl FnMut(AgentEvent),
    ) {
        let AssistantMessage {
            texts,
            thinking,
            has_content,
            stop_reason,
            error_message,
            model,
            usage,
        } = message;
        let mut open = self.message.take().unwrap_or_default();
        // An error or an abort before the first token leaves nothing to show.
        let failed = matches!(stop_reason.as_str(), "error" | "aborted");
        if open.shown || has_content || !failed {
            open.show(emit);
            for (content_index, text) in thinking {
                open.thought(content_index, text, emit);
            }
            open.close_thinking(emit);
            emit(AgentEvent::MessageCompleted { blocks: texts });
        }
        if let Some(usage) = usage {
            let model = ModelName::full(&model);
            emit(AgentEvent::UsageRecorded { usage, model });
        }
        self.last_word = Some(LastWord {
            stop_reason,
            error_message,
        });
    }

    /// Closes a message whose end never came, with what its deltas built.
    fn message_lost(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        if let Some(mut open) = self.message.take().filter(|open| open.shown) {
            open.close_thinking(emit);
            let blocks = open.texts.into_iter().collect();
            emit(AgentEvent::MessageCompleted { blocks });
        }
    }

    /// The newest answer is an error, which pi may answer with a retry.
    pub(super) fn has_failed(&self) -> bool {
        self.last_word
            .as_ref()
            .is_some_and(|word| word.stop_reason == "error")
    }

    /// A tool call begins. Returns the id under which it is told: pi's own, made unique in the turn.
    pub(super) fn tool_started(&mut self, id: &str) -> Option<String> {
        self.open_tools
            .insert(id.to_owned())
            .then(|| unique(&self.tools, id))
    }

    /// The same of a call that runs.
    pub(super) fn tool(&self, id: &str) -> Option<String> {
        self.open_tools
            .contains(id)
            .then(|| unique(&self.tools, id))
    }

    /// A tool call ended; the same id means another call from now on.
    pub(super) fn tool_ended(&mut self, id: &str) -> Option<String> {
        let told = self.tool(id)?;
        self.open_tools.remove(id);
        *self.tools.entry(id.to_owned()).or_default() += 1;
        Some(told)
    }

    /// Closes what is open and says how the turn ended.
    pub(super) fn end(&mut self, emit: &mut impl FnMut(AgentEvent)) -> Outcome {
        self.message_lost(emit);
        let canceled = self.cancel.is_some();
        let Some(LastWord {
            stop_reason,
            error_message,
        }) = self.last_word.take()
        else {
            return match (canceled, self.line_lost, self.phase) {
                (true, ..) => Outcome::Stopped,
                (false, true, _) => {
                    Outcome::Failed("pi's last words could not be read, and its run is over".into())
                }
                (false, false, Phase::Asked | Phase::Accepted) => {
                    // A slash command of an extension: pi handled it without a run.
                    Outcome::Completed(StopReason::Stop)
                }
                (false, false, Phase::Live | Phase::Ended | Phase::Clearing) => {
                    Outcome::Failed("pi ended its run without an answer".into())
                }
            };
        };
        match (stop_reason.as_str(), canceled) {
            // It ended by itself before the stop could reach it.
            ("stop", _) => Outcome::Completed(StopReason::Stop),
            ("length", _) => Outcome::Completed(StopReason::Length),
            (_, true) => Outcome::Stopped,
            ("toolUse", false) => Outcome::Completed(StopReason::ToolUse),
            ("error" | "aborted", false) if !error_message.is_empty() => {
                Outcome::Failed(error_message)
            }
            (other, false) => Outcome::Failed(format!("pi stopped with reason {other:?}")),
        }
    }
}

/// Some models use one id for every call.
fn unique(ended: &HashMap<String, usize>, id: &str) -> String {
    match ended.get(id) {
        None if !id.is_empty() => id.to_owned(),
        None => "call".to_owned(),
        Some(calls) => format!("{id}#{}", calls + 1),
    }
}

// === impl OpenMessage ===

impl OpenMessage {
    fn show(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        if !self.shown {
            self.shown = true;
            emit(AgentEvent::MessageStarted);
        }
    }

    fn keep(&mut self, content_index: i32, delta: &str) {
        if self.kept_bytes + delta.len() <= KEPT_TEXT_MAX_BYTES {
            self.kept_bytes += delta.len();
            self.texts.entry(content_index).or_default().push_str(delta);
        }
    }

    fn keep_thinking(&mut self, content_index: i32, delta: &str) {
        let kept = self.thinking.entry(content_index).or_default();
        if self.kept_bytes + delta.len() <= KEPT_TEXT_MAX_BYTES {
            self.kept_bytes += delta.len();
            kept.push_str(delta);
        }
    }

    /// Says that what is left of the thinking is whole, as far as its deltas go.
    fn close_thinking(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        for (content_index, text) in std::mem::take(&mut self.thinking) {
            self.thought(content_index, text, emit);
        }
    }

    fn thought(&mut self, content_index: i32, text: String, emit: &mut impl FnMut(AgentEvent)) {
        let text = match self.thinking.remove(&content_index) {
            Some(kept) if text.is_empty() => kept,
            Some(_) | None => text,
        };
        if text.is_empty() || self.thought.contains(&content_index) {
            return;
        }
        self.show(emit);
        self.thought.push(content_index);
        emit(AgentEvent::ThinkingCompleted {
            content_index,
            text,
        });
    }
}
