//! Errors and events as the driver says them.

use quarterdeck::{
    client::{BadOptions, ChatError, Error, Resync},
    proto::{GatewayEvent, Question, TurnState, gateway_event::Kind},
};
use serde_json::{Value, json};
use tonic::{Code, Status};

/// Why there is no answer.
pub enum Failure {
    Call(Error),
    Chat(ChatError),
    Options(BadOptions),
    /// The cursor of a subscription is void.
    Void(Box<Resync>),
    /// The request makes no sense.
    Protocol(String),
}

// === impl Failure ===

impl Failure {
    pub fn protocol(problem: &str) -> Self {
        Self::Protocol(problem.to_owned())
    }

    pub fn to_json(&self) -> Value {
        match self {
            Self::Call(error) | Self::Chat(ChatError::Call(error)) => error_json(error),
            Self::Chat(ChatError::Turn(failed)) => json!({
                "type": "TurnFailed",
                "code": "",
                "reason": failed.reason,
                "message": failed.to_string(),
                "metadata": {},
                "state": turn_state(failed.state),
            }),
            Self::Chat(ChatError::Output(bad)) => plain("OutputUnreadable", &bad.to_string()),
            Self::Options(bad) => plain("BadOptions", &bad.to_string()),
            Self::Void(resync) => {
                let state = &resync.state;
                let session = state.session.clone().unwrap_or_default();
                let (kind, code) = match resync.reason.as_str() {
                    "CURSOR_EXPIRED" => ("CursorExpired", Code::OutOfRange),
                    "CURSOR_AHEAD" => ("CursorAhead", Code::OutOfRange),
                    _ => ("LogChanged", Code::FailedPrecondition),
                };
                json!({
                    "type": kind,
                    "code": code_name(code),
                    "reason": resync.reason,
                    "message": "the cursor is void",
                    "metadata": {},
                    "snapshot": {
                        "seq": state.seq,
                        "log_id": state.log_id,
                        "session_id": session.session_id,
                        "generation": session.generation,
                    },
                })
            }
            Self::Protocol(problem) => plain("Protocol", problem),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Call(status.into())
    }
}

impl From<ChatError> for Failure {
    fn from(error: ChatError) -> Self {
        Self::Chat(error)
    }
}

impl From<BadOptions> for Failure {
    fn from(bad: BadOptions) -> Self {
        Self::Options(bad)
    }
}

fn error_json(error: &Error) -> Value {
    let reason = error.reason();
    json!({
        "type": reason.map_or_else(|| format!("{:?}", error.code()), |reason| format!("{reason:?}")),
        "code": code_name(error.code()),
        "reason": reason.map(|reason| reason.as_str()).unwrap_or_default(),
        "message": error.to_string() + &fields(error),
        "metadata": error.metadata(),
    })
}

fn fields(error: &Error) -> String {
    let fields = error.field_violations().iter();
    fields
        .map(|wrong| format!("; {}: {}", wrong.field, wrong.problem))
        .collect()
}

fn plain(kind: &str, message: &str) -> Value {
    json!({"type": kind, "code": "", "reason": "", "message": message, "metadata": {}})
}

/// `NOT_FOUND` for `NotFound`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

pub fn turn_state(state: TurnState) -> &'static str {
    state.as_str_name().trim_start_matches("TURN_STATE_")
}

pub fn question(question: &Question) -> Value {
    let short = |name: &str, prefix: &str| name.trim_start_matches(prefix).to_owned();
    let answer = question.answer.clone().unwrap_or_default();
    let options = question.options.iter().map(|option| &option.option_id);
    json!({
        "question_id": question.question_id,
        "session_key": question.session_key,
        "turn_id": question.turn_id,
        "kind": short(question.kind().as_str_name(), "QUESTION_KIND_"),
        "state": short(question.state().as_str_name(), "QUESTION_STATE_"),
        "title": question.title,
        "tool_name": question.tool_name,
        "args_json": question.args_json,
        "action_digest": question.action_digest,
        "options": options.collect::<Vec<_>>(),
        "url": question.url,
        "content_json": answer.content_json,
        "answered_by": question.answered_by,
        "resolution": short(question.resolution().as_str_name(), "QUESTION_RESOLUTION_"),
    })
}

pub fn questions(all: &[Question]) -> Value {
    all.iter().map(question).collect()
}

pub fn event(event: &GatewayEvent) -> Value {
    let (kind, text) = kind_and_text(event);
    json!({
        "kind": kind,
        "session_key": event.session_key,
        "seq": event.seq,
        "after_seq": event.after_seq,
        "log_id": event.log_id,
        "turn_id": event.turn_id,
        "text": text,
    })
}

fn kind_and_text(event: &GatewayEvent) -> (&'static str, String) {
    let kind = match &event.kind {
        Some(Kind::Token(token)) => return ("token", token.delta.clone()),
        Some(Kind::MessageCompleted(message)) => {
            return ("message_completed", message.text.clone());
        }
        Some(Kind::TurnEnded(ended)) => {
            let state = ended.turn.as_ref().map(quarterdeck::proto::Turn::state);
            return (
                "turn_ended",
                state.map(turn_state).unwrap_or_default().to_owned(),
            );
        }
        Some(Kind::SessionCreated(_)) => "session_created",
        Some(Kind::SessionUpdated(_)) => "session_updated",
        Some(Kind::SessionReset(_)) => "session_reset",
        Some(Kind::SessionDeleted(_)) => "session_deleted",
        Some(Kind::TurnQueued(_)) => "turn_queued",
        Some(Kind::TurnScheduled(_)) => "turn_scheduled",
        Some(Kind::TurnUpdated(_)) => "turn_updated",
        Some(Kind::TurnStarted(_)) => "turn_started",
        Some(Kind::MessageStarted(_)) => "message_started",
        Some(Kind::ThinkingCompleted(_)) => "thinking_completed",
        Some(Kind::ToolStarted(_)) => "tool_started",
        Some(Kind::ToolCompleted(_)) => "tool_completed",
        Some(Kind::SteerAccepted(_)) => "steer_accepted",
        Some(Kind::SteerApplied(_)) => "steer_applied",
        Some(Kind::SteerRequeued(_)) => "steer_requeued",
        Some(Kind::UsageRecorded(_)) => "usage_recorded",
        Some(Kind::CompactionStarted(_)) => "compaction_started",
        Some(Kind::CompactionCompleted(_)) => "compaction_completed",
        Some(Kind::RetryScheduled(_)) => "retry_scheduled",
        Some(Kind::AgentExited(_)) => "agent_exited",
        Some(Kind::Hello(_)) => "hello",
        Some(Kind::CaughtUp(_)) => "caught_up",
        Some(Kind::Progress(_)) => "progress",
        Some(Kind::SessionState(_)) => "session_state",
        Some(Kind::Thinking(_)) => "thinking",
        Some(Kind::ToolInput(_)) => "tool_input",
        Some(Kind::ToolUpdate(_)) => "tool_update",
        Some(Kind::ItemSnapshot(_)) => "item_snapshot",
        Some(Kind::Lagging(_)) => "lagging",
        Some(Kind::Draining(_)) => "draining",
        Some(Kind::Reload(_)) => "reload",
        Some(Kind::QuestionAsked(_)) => "question_asked",
        Some(Kind::QuestionResolved(_)) => "question_resolved",
        Some(Kind::AnswerDelivered(_)) => "answer_delivered",
        Some(Kind::PlanUpdated(_)) => "plan_updated",
        Some(Kind::BudgetWarning(_)) => "budget_warning",
        Some(Kind::WebhookPaused(_)) => "webhook_paused",
        Some(Kind::SubagentStarted(_)) => "subagent_started",
        Some(Kind::SubagentCompleted(_)) => "subagent_completed",
        Some(Kind::SubagentItem(_)) => "subagent_item",
        Some(Kind::ArtifactCreated(_)) => "artifact_created",
        Some(Kind::TurnWaiting(_)) => "turn_waiting",
        Some(Kind::ContextRebuilt(_)) => "context_rebuilt",
        Some(Kind::ModelChanged(_)) => "model_changed",
        Some(Kind::QuestionPending(_)) => "question_pending",
        Some(Kind::OptionsChanged(_)) => "options_changed",
        Some(Kind::CommandsChanged(_)) => "commands_changed",
        None => "",
    };
    (kind, String::new())
}
