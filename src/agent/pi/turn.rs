//! One turn as pi tells it: the open message, its tool calls, and by what word it ended.

use super::{
    open_message::OpenMessage,
    protocol::{AssistantMessage, Incoming},
    steers::Steers,
};
use crate::agent::{AgentEvent, Outcome, tool_output::ToolOutput};
use crate::domain::{
    turn::{ContextUse, Granularity, StopReason},
    usage::UsageReport,
};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// What is known of the running turn.
#[derive(Debug)]
pub(super) struct Turn {
    /// Command id of the prompt.
    pub(super) prompt_id: String,
    /// It shortens the conversation: no run comes of it.
    pub(super) compacts: bool,
    /// How far it is.
    pub(super) phase: Phase,
    /// pi answered the prompt.
    pub(super) prompt_answered: bool,
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
    /// The first user message is the prompt; later ones are steers.
    prompt_seen: bool,
    message: Option<OpenMessage>,
    last_word: Option<LastWord>,
    /// How often a call with this id of pi's ended.
    ended_calls: HashMap<String, usize>,
    /// Calls that run, by pi's id.
    calls: HashSet<String>,
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

#[derive(Debug)]
struct LastWord {
    stop_reason: String,
    error_message: String,
}

// === impl Turn ===

impl Turn {
    /// A turn whose prompt goes out under this id.
    pub(super) fn new(prompt_id: String, compacts: bool) -> Self {
        Self {
            prompt_id,
            compacts,
            phase: Phase::Asked,
            prompt_answered: false,
            prompt_seen: false,
            steers: Steers::default(),
            cancel: None,
            retrying: false,
            compacting: false,
            line_lost: false,
            idle_rechecked: false,
            message: None,
            last_word: None,
            ended_calls: HashMap::new(),
            calls: HashSet::new(),
        }
    }

    /// False once only pi's queue is left to be emptied.
    pub(super) fn is_open(&self) -> bool {
        self.phase != Phase::Clearing
    }

    /// Takes what pi tells of the turn. Whether the turn is over may have changed with [`Turn::compacting`] and
    /// [`Turn::retrying`].
    pub(super) fn hear(&mut self, incoming: Incoming, emit: &mut impl FnMut(AgentEvent)) {
        match incoming {
            Incoming::AssistantMessage => {
                self.message_lost(emit);
                self.last_word = None;
                self.answering(emit);
                self.message = Some(OpenMessage::default());
            }
            Incoming::UserMessage { text } => {
                self.message_lost(emit);
                // What ended before was not the answer to this.
                self.last_word = None;
                // A steer is let go of only after the prompt was told: then it is the prompt that was not read.
                let is_prompt = !self.prompt_seen && !self.steers.any_delivered();
                self.prompt_seen = true;
                if !is_prompt && let Some(steer_id) = self.steers.user_message(&text) {
                    emit(AgentEvent::SteerApplied { steer_id });
                }
            }
            Incoming::Update(update) => {
                if self.message.is_none() {
                    // Its beginning was not read.
                    self.last_word = None;
                    self.answering(emit);
                }
                let message = self.message.get_or_insert_default();
                message.grow(update, |id| unique(&self.ended_calls, id), emit);
            }
            Incoming::MessageEnd(message) => self.message_completed(*message, emit),
            Incoming::StepEnd { message } => {
                // Said again, for where its own end could not be read.
                if self.last_word.is_none()
                    && let Some(message) = message
                {
                    self.message_completed(*message, emit);
                }
            }
            Incoming::ToolStart {
                id,
                name,
                arguments,
            } => {
                if self.calls.insert(id.clone()) {
                    emit(AgentEvent::ToolStarted {
                        tool_call_id: unique(&self.ended_calls, &id),
                        tool_name: name,
                        args_json: arguments,
                    });
                }
            }
            Incoming::ToolUpdate { id, partial_result } => {
                if self.calls.contains(&id) {
                    emit(AgentEvent::ToolUpdate {
                        tool_call_id: unique(&self.ended_calls, &id),
                        partial_result_json: partial_result,
                    });
                }
            }
            Incoming::ToolEnd {
                id,
                result,
                is_error,
            } => {
                // Said twice: as an event, and as a message.
                if self.calls.remove(&id) {
                    let ToolOutput {
                        json,
                        pictures,
                        full_size,
                    } = *result;
                    emit(AgentEvent::ToolCompleted {
                        tool_call_id: unique(&self.ended_calls, &id),
                        result_json: json,
                        is_error,
                        full_size,
                        pictures,
                    });
                    *self.ended_calls.entry(id).or_default() += 1;
                }
            }
            Incoming::CompactionStart { reason } => {
                self.compacting = true;
                emit(AgentEvent::CompactionStarted { reason });
            }
            Incoming::CompactionEnd {
                reason,
                summary,
                tokens_before,
                aborted,
                error_message,
            } => {
                self.compacting = false;
                emit(AgentEvent::CompactionCompleted {
                    reason,
                    summary,
                    aborted,
                    error_message,
                    tokens_before,
                    kept: false,
                });
            }
            Incoming::RetryStart {
                attempt,
                max_attempts,
                delay_milliseconds,
                error_message,
            } => {
                self.retrying = true;
                emit(AgentEvent::RetryScheduled {
                    attempt,
                    max_attempts,
                    delay: Duration::from_millis(delay_milliseconds),
                    error_message,
                });
            }
            Incoming::RetryEnd => self.retrying = false,
            // The machine's own.
            Incoming::Response(_)
            | Incoming::AgentStart
            | Incoming::AgentEnd { .. }
            | Incoming::AgentSettled
            | Incoming::QueueUpdate { .. }
            | Incoming::Dialog(_)
            | Incoming::ExtensionError { .. }
            | Incoming::Other => {}
        }
    }

    fn message_completed(&mut self, message: AssistantMessage, emit: &mut impl FnMut(AgentEvent)) {
        let AssistantMessage {
            texts,
            thinking,
            stop_reason,
            error_message,
            model,
            usage,
            cut,
        } = message;
        let failed = matches!(stop_reason.as_str(), "error" | "aborted");
        let open = self.message.take().unwrap_or_default();
        open.complete(texts, thinking, failed, cut, emit);
        if let Some(usage) = usage {
            let model = model.full();
            emit(AgentEvent::UsageRecorded(Box::new(UsageReport {
                usage,
                model,
                granularity: Granularity::Call,
                context: Some(ContextUse {
                    tokens: usage.tokens(),
                    window: 0,
                }),
            })));
        }
        self.last_word = Some(LastWord {
            stop_reason,
            error_message,
        });
    }

    /// The model begins to answer: the messages that it answers were told, or could not be read.
    fn answering(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        self.prompt_seen = true;
        for steer_id in self.steers.take_delivered() {
            emit(AgentEvent::SteerApplied { steer_id });
        }
    }

    /// Closes a message whose end never came.
    fn message_lost(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        if let Some(open) = self.message.take() {
            open.lose(emit);
        }
    }

    /// The newest answer is an error, which pi may answer with a retry.
    pub(super) fn has_failed(&self) -> bool {
        self.last_word
            .as_ref()
            .is_some_and(|word| word.stop_reason == "error")
    }

    /// Closes what is open and says how the turn ended.
    pub(super) fn end(&mut self, emit: &mut impl FnMut(AgentEvent)) -> Outcome {
        self.message_lost(emit);
        let canceled = self.cancel.is_some();
        for steer_id in self.steers.take_delivered() {
            // pi let go of it to read it; only that could not be read. Of a canceled turn that is not known: stopping
            // empties the queue as well. The turn's end answers it then.
            if !canceled {
                emit(AgentEvent::SteerApplied { steer_id });
            }
        }
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
