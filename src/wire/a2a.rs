//! A turn as A2A tells it: a task, and how it is. What answers calls and what is pushed print it alike. Pure.

use super::read::{parsed, was_removed};
use crate::{
    domain::ids::SessionKey,
    proto::{
        GatewayEvent, OptionEffect, Question, QuestionResolution, Turn, TurnState,
        gateway_event::Kind,
    },
};
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// The artifact that holds what the agent says.
pub const RESPONSE: &str = "response";
/// Says which message a turn was, among its metadata.
pub const MESSAGE_ID: &str = "a2a.message_id";

/// A task: a turn of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskId {
    /// The turn.
    pub turn_id: String,
    /// Its session.
    pub session_key: String,
}

// === impl TaskId ===

impl TaskId {
    /// Reads a task's id; `None` where it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (turn, key) = text.split_once('.')?;
        Uuid::try_parse(turn).ok()?;
        SessionKey::parse(key).ok()?;
        Some(Self {
            turn_id: turn.into(),
            session_key: key.into(),
        })
    }

    /// The task that a turn is.
    pub fn of(turn: &Turn) -> Self {
        Self {
            turn_id: turn.turn_id.clone(),
            session_key: turn.session_key.clone(),
        }
    }
}

impl std::fmt::Display for TaskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            turn_id,
            session_key,
        } = self;
        write!(f, "{turn_id}.{session_key}")
    }
}

/// A task in the protocol's shape.
pub fn task(
    id: &TaskId,
    turn: &Turn,
    questions: &[Question],
    history: Option<i64>,
    artifacts: bool,
) -> Json {
    let mut task = json!({
        "id": id.to_string(), "contextId": id.session_key,
        "status": status(id, turn, questions),
    });
    if artifacts && !turn.response_text.is_empty() {
        task["artifacts"] = json!([{
            "artifactId": RESPONSE, "name": RESPONSE, "parts": [{ "text": turn.response_text }],
        }]);
    }
    if history != Some(0) {
        let message_id = turn.metadata.get(MESSAGE_ID).cloned();
        let mut parts = vec![json!({ "text": turn.text })];
        parts.extend(turn.attachments.iter().map(|file| {
            json!({ "data": { "attachmentId": file.attachment_id }, "filename": file.name,
                "mediaType": file.media_type })
        }));
        task["history"] = json!([{
            "messageId": message_id.unwrap_or_else(|| format!("{}.in", id.turn_id)),
            "contextId": id.session_key, "taskId": id.to_string(), "role": "ROLE_USER",
            "parts": parts,
        }]);
    }
    task
}

/// How a task is.
pub fn status(id: &TaskId, turn: &Turn, questions: &[Question]) -> Json {
    let mut status = json!({ "state": state_of(turn) });
    let time = [&turn.end_time, &turn.start_time, &turn.create_time];
    if let Some(time) = time.into_iter().flatten().next() {
        status["timestamp"] = time.to_string().into();
    }
    if !questions.is_empty() {
        status["message"] = asks(id, questions);
    } else if let Some(error) = turn.error.as_ref().filter(|it| !it.reason.is_empty()) {
        let text = match error.message.as_str() {
            "" => error.reason.clone(),
            message => format!("{}: {message}", error.reason),
        };
        status["message"] = message(id, "error", &json!([{ "text": text }]));
    }
    status
}

/// The word of a task's state.
pub fn state_of(turn: &Turn) -> &'static str {
    match turn.state() {
        TurnState::Queued | TurnState::Scheduled | TurnState::Unspecified => "TASK_STATE_SUBMITTED",
        TurnState::Running | TurnState::Canceling => "TASK_STATE_WORKING",
        TurnState::WaitingInput => "TASK_STATE_INPUT_REQUIRED",
        TurnState::Completed => "TASK_STATE_COMPLETED",
        TurnState::Failed | TurnState::Interrupted => "TASK_STATE_FAILED",
        TurnState::Canceled => "TASK_STATE_CANCELED",
        // It was stopped before it began.
        TurnState::Rejected if was_removed(turn) => "TASK_STATE_CANCELED",
        TurnState::Rejected | TurnState::Expired => "TASK_STATE_REJECTED",
    }
}

/// What a task asks for: a line for people, and data for whoever answers.
pub fn asks(id: &TaskId, questions: &[Question]) -> Json {
    let mut parts = Vec::new();
    for question in questions {
        parts.push(json!({ "text": question.title }));
        let options = question.options.iter().map(|it| {
            json!({
                "optionId": it.option_id, "label": it.label,
                "allows": matches!(
                    it.effect(),
                    OptionEffect::AllowOnce | OptionEffect::AllowAlways
                ),
            })
        });
        let kind = question.kind().as_str_name();
        let mut data = json!({
            "questionId": question.question_id,
            "kind": kind.strip_prefix("QUESTION_KIND_").unwrap_or(kind),
            "title": question.title,
            "options": options.collect::<Vec<_>>(),
        });
        let mut also = |name: &str, value: Json, there: bool| {
            if there {
                data[name] = value;
            }
        };
        also(
            "toolName",
            question.tool_name.clone().into(),
            !question.tool_name.is_empty(),
        );
        also(
            "args",
            parsed(&question.args_json),
            !question.args_json.is_empty(),
        );
        also(
            "schema",
            parsed(&question.schema_json),
            !question.schema_json.is_empty(),
        );
        also("url", question.url.clone().into(), !question.url.is_empty());
        parts.push(json!({ "data": data }));
    }
    let first = questions.first().map_or("", |it| it.question_id.as_str());
    message(id, first, &parts.into())
}

fn message(id: &TaskId, name: &str, parts: &Json) -> Json {
    json!({
        "messageId": format!("{}.{name}", id.turn_id), "contextId": id.session_key,
        "taskId": id.to_string(), "role": "ROLE_AGENT", "parts": parts,
    })
}

/// How a task is now, for whoever knows the task.
pub fn status_update(id: &TaskId, status: &Json) -> Json {
    json!({ "statusUpdate": {
        "taskId": id.to_string(), "contextId": id.session_key, "status": status,
    } })
}

/// What is pushed of an event of a task, a `StreamResponse`; `None` where it tells a task's client nothing. A task that
/// begins or has ended is told whole, without its history.
pub fn pushed(event: &GatewayEvent) -> Option<Json> {
    let id = TaskId {
        turn_id: event.turn_id.clone(),
        session_key: event.session_key.clone(),
    };
    let working = || status_update(&id, &json!({ "state": "TASK_STATE_WORKING" }));
    let whole = |turn: &Turn| json!({ "task": task(&id, turn, &[], Some(0), true) });
    match event.kind.as_ref()? {
        Kind::TurnQueued(queued) => queued.turn.as_ref().map(whole),
        Kind::TurnStarted(_) => Some(working()),
        Kind::TurnEnded(ended) => ended.turn.as_ref().map(whole),
        Kind::QuestionAsked(asked) => {
            let questions = asked.question.as_slice();
            let status = json!({
                "state": "TASK_STATE_INPUT_REQUIRED", "message": asks(&id, questions),
            });
            Some(status_update(&id, &status))
        }
        // Nobody was asked.
        Kind::QuestionResolved(it) if it.resolution() == QuestionResolution::Policy => None,
        Kind::QuestionResolved(_) => Some(working()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{QuestionResolved, TurnEnded};

    #[test]
    fn a_tasks_id_is_its_turn_and_session() {
        let id = TaskId {
            turn_id: Uuid::now_v7().to_string(),
            session_key: "a.b:c@d".into(),
        };
        assert_eq!(TaskId::parse(&id.to_string()), Some(id));
        for wrong in ["", "x", ".", "x.y"] {
            assert_eq!(TaskId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_pushed_is_the_task_or_how_it_is() {
        let event = |kind| GatewayEvent {
            turn_id: Uuid::nil().to_string(),
            session_key: "s".into(),
            kind: Some(kind),
            ..GatewayEvent::default()
        };
        let turn = Turn {
            state: TurnState::Completed.into(),
            response_text: "hello".into(),
            ..Turn::default()
        };
        let ended = Kind::TurnEnded(TurnEnded {
            turn: Some(turn),
            ..TurnEnded::default()
        });
        let told = pushed(&event(ended)).unwrap();
        assert_eq!(told["task"]["status"]["state"], "TASK_STATE_COMPLETED");
        assert_eq!(told["task"]["artifacts"][0]["parts"][0]["text"], "hello");
        assert_eq!(told["task"]["history"], Json::Null);
        let resolved = |resolution: QuestionResolution| {
            event(Kind::QuestionResolved(QuestionResolved {
                resolution: resolution.into(),
                ..QuestionResolved::default()
            }))
        };
        assert_eq!(pushed(&resolved(QuestionResolution::Policy)), None);
        let told = pushed(&resolved(QuestionResolution::Answered)).unwrap();
        let state = &told["statusUpdate"]["status"]["state"];
        assert_eq!(state, "TASK_STATE_WORKING");
    }
}
