//! One turn as an agent tells it, and by what word it ends.

use super::{
    asks::{Answered, Asked, Asks},
    message::{Kind, OpenMessage},
    rpc::{AUTHENTICATION_REQUIRED, RpcError},
    subagents::Subagents,
    text,
    tools::{Tools, plan},
    usage,
};
use crate::agent::{AgentEvent, Outcome};
use crate::domain::{limits::cut, question::Answer, turn::StopReason};
use serde_json::Value;
use uuid::Uuid;

/// What is kept of the last message's text, in bytes: some agents tell an error as such.
const LAST_TEXT_MAX_BYTES: usize = 4096;

/// What is known of the running turn.
#[derive(Debug)]
pub(super) struct Turn {
    /// Our request.
    pub(super) prompt_id: i64,
    /// The command that it runs; empty for a prompt.
    pub(super) command: String,
    /// Steers that are on their way, with our requests.
    pub(super) steers: Vec<(i64, Uuid)>,
    /// A stop was asked for.
    pub(super) cancelled: bool,
    /// Somebody said no to a tool.
    denied: bool,
    /// It said or did something.
    spoke: bool,
    message: OpenMessage,
    /// Beginning of the newest message.
    last_text: String,
    last_id: Option<String>,
    tools: Tools,
    subagents: Subagents,
    pub(super) asks: Asks,
}

// === impl Turn ===

impl Turn {
    /// A turn whose prompt goes out with this request.
    pub(super) fn new(prompt_id: i64, command: String) -> Self {
        Self {
            prompt_id,
            command,
            steers: vec![],
            cancelled: false,
            denied: false,
            spoke: false,
            message: OpenMessage::default(),
            last_text: String::new(),
            last_id: None,
            tools: Tools::default(),
            subagents: Subagents::default(),
            asks: Asks::default(),
        }
    }

    /// Takes an update of its session; `cut` bytes are missing in its line. False where it is of no known kind.
    pub(super) fn hear(
        &mut self,
        update: &Value,
        cut: usize,
        emit: &mut impl FnMut(AgentEvent),
    ) -> bool {
        match text(&update["sessionUpdate"]) {
            "agent_message_chunk" => self.piece(Kind::Text, update, emit),
            "agent_thought_chunk" => self.piece(Kind::Thinking, update, emit),
            "tool_call" | "tool_call_update" => {
                self.spoke = true;
                let (message, tools) = (&mut self.message, &mut self.tools);
                return tools.hear(update, cut, self.cancelled, &mut |event| {
                    if matches!(event, AgentEvent::ToolStarted { .. }) {
                        message.complete(emit);
                    }
                    emit(event);
                });
            }
            "plan" => {
                let Some(entries) = update["entries"].as_array().and_then(|it| plan(it)) else {
                    return false;
                };
                emit(AgentEvent::PlanUpdated { entries });
            }
            "subagent_update" => self.subagents.is(update, emit),
            // What the agent was told, and what is no part of the conversation.
            "user_message_chunk"
            | "usage_update"
            | "session_info_update"
            | "available_commands_update"
            | "config_option_update"
            | "current_mode_update"
            | "session_message" => {}
            _ => return false,
        }
        true
    }

    /// Takes an update of a session that is not the turn's own: a sub-agent's. False where it is of no known kind.
    pub(super) fn hear_of_subagent(
        &mut self,
        id: &str,
        update: &Value,
        cut: usize,
        emit: &mut impl FnMut(AgentEvent),
    ) -> bool {
        self.spoke = true;
        self.subagents.hear(id, update, cut, emit)
    }

    /// A tool wants to run.
    pub(super) fn permission(
        &mut self,
        request: Value,
        params: &Value,
        sub_agent: Option<&str>,
        emit: &mut impl FnMut(AgentEvent),
    ) -> Asked {
        self.spoke = true;
        let (message, tools) = (&mut self.message, &mut self.tools);
        let tool = match sub_agent {
            Some(_) => None,
            None => tools.asks(&params["toolCall"], &mut |event| {
                message.complete(emit);
                emit(event);
            }),
        };
        self.asks.permission(request, params, tool, sub_agent)
    }

    /// Somebody answered; `None` where nobody waits for it any more.
    pub(super) fn answer(&mut self, ask_id: &str, answer: &Answer) -> Option<Answered> {
        let answered = self.asks.answer(ask_id, answer)?;
        self.denied |= answered.denies;
        Some(answered)
    }

    /// Closes what is open and says how the turn ended, by the reply to its prompt. Returns the ids of its calls, and of its
    /// sub-agents, as well.
    pub(super) fn end(
        mut self,
        reply: &Result<Value, RpcError>,
        emit: &mut impl FnMut(AgentEvent),
    ) -> (Outcome, Vec<String>, Vec<String>) {
        self.message.complete(emit);
        let is_error = self.cancelled || reply.is_err();
        let subagents = std::mem::take(&mut self.subagents).end(is_error, emit);
        let calls = std::mem::take(&mut self.tools).end(emit);
        let outcome = match reply {
            Ok(reply) => self.outcome(reply),
            Err(_) if self.cancelled => Outcome::Stopped,
            Err(error) if error.code == AUTHENTICATION_REQUIRED => {
                let message = &error.message;
                Outcome::Failed(format!(
                    "the agent is not signed in to its model provider ({message}); give it a key in `environment`, or its \
                     login in `template_dir`"
                ))
            }
            Err(error) => Outcome::Failed(error.message.clone()),
        };
        (outcome, calls, subagents)
    }

    fn outcome(&self, reply: &Value) -> Outcome {
        match text(&reply["stopReason"]) {
            "cancelled" if self.cancelled => Outcome::Stopped,
            // With some agents a denial ends the turn, which nobody stopped.
            "cancelled" if self.denied => Outcome::Completed(StopReason::Stop),
            "cancelled" => Outcome::Failed("the agent cancelled the turn by itself".into()),
            "end_turn" if self.denied => Outcome::Completed(StopReason::Stop),
            // What an agent does by itself asks no model.
            "end_turn" if !self.command.is_empty() => Outcome::Completed(StopReason::Stop),
            "end_turn" if usage::no_model_answered(reply) => Outcome::Failed(self.last_words()),
            "end_turn" if !self.spoke && usage::of_reply(reply).is_none() => {
                Outcome::Failed(self.last_words())
            }
            "end_turn" => Outcome::Completed(StopReason::Stop),
            "max_tokens" | "max_turn_requests" => Outcome::Completed(StopReason::Length),
            "refusal" => Outcome::Failed("the model refused to answer".into()),
            other => {
                tracing::warn!(
                    stop_reason = other,
                    "the agent ended its turn with a reason that is not known here"
                );
                Outcome::Completed(StopReason::Stop)
            }
        }
    }

    /// What the agent said last, taken for the reason why no model answered.
    fn last_words(&self) -> String {
        let said = self.last_text.trim();
        if said.is_empty() {
            return "the agent ended its turn without an answer of its model".into();
        }
        let told: Option<Value> = serde_json::from_str(said).ok();
        let told = told.as_ref().and_then(|told| {
            let places = [&told["error"]["message"], &told["message"], &told["error"]];
            places.into_iter().find_map(Value::as_str)
        });
        told.unwrap_or(said).to_owned()
    }

    fn piece(&mut self, kind: Kind, update: &Value, emit: &mut impl FnMut(AgentEvent)) {
        let delta = text(&update["content"]["text"]);
        let id = update["messageId"].as_str();
        self.spoke |= !delta.is_empty();
        self.message.grow(kind, id, delta, emit);
        if kind == Kind::Text {
            if self.last_id.as_deref() != id {
                self.last_id = id.map(Into::into);
                self.last_text.clear();
            }
            let room = LAST_TEXT_MAX_BYTES.saturating_sub(self.last_text.len());
            self.last_text.push_str(cut(delta, room));
        }
    }
}
