//! The calls of the protocol, as calls of the gateway.

use super::{
    Answer, Fault,
    push::{self, Config},
    stream::Stream,
};
use crate::{
    domain::ids::SessionKey,
    edge::{
        problem::reason,
        turns::{Caller, Reply},
    },
    proto::{
        Attachment, AwaitTurnRequest, AwaitTurnResponse, EnqueueRequest, EnqueueResponse,
        ListTurnsRequest, ListTurnsResponse, Question, QuestionKind, SteerRequest, SteerResponse,
        Turn, TurnState,
    },
    wire::a2a::{MESSAGE_ID, TaskId, state_of, task},
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::StatusCode;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use tonic::Code;
use uuid::Uuid;

/// Tasks of a page that names no number, and most of one, by the protocol.
const TASKS_DEFAULT: i32 = 50;
const TASKS_MAX: i32 = 100;
/// Tasks that are counted at most for `totalSize`, and of which pages that is.
const COUNTED_MAX: usize = 10_000;
const COUNTED_PAGE: i32 = 1000;

/// A call of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Send,
    Stream,
    Get,
    List,
    Cancel,
    Subscribe,
    Card,
    CreatePush,
    GetPush,
    ListPush,
    DeletePush,
}

/// Answers a call to an agent.
pub(super) async fn answer(
    caller: Caller,
    agent: &str,
    call: Call,
    params: Map<String, Json>,
) -> Result<Answer, Fault> {
    match call {
        Call::Send => send(&caller, agent, &params).await.map(Answer::One),
        Call::Stream => stream(&caller, agent, &params).await,
        Call::Get => {
            let (id, turn) = found(&caller, agent, &params).await?;
            as_it_is(&caller, &id, &turn, history(&params))
                .await
                .map(Answer::One)
        }
        Call::List => list(&caller, agent, &params).await.map(Answer::One),
        Call::Cancel => cancel(&caller, agent, &params).await.map(Answer::One),
        Call::Subscribe => {
            let (id, turn) = found(&caller, agent, &params).await?;
            if turn.end_time.is_some() {
                return Err(Fault::unsupported("the task has ended: get it"));
            }
            follow(&caller, id).await
        }
        Call::CreatePush => push::create(&caller, agent, &params).await.map(Answer::One),
        Call::GetPush => push::get(&caller, agent, &params).await.map(Answer::One),
        Call::ListPush => push::list(&caller, agent, &params).await.map(Answer::One),
        Call::DeletePush => push::delete(&caller, agent, &params).await.map(Answer::One),
        Call::Card => Err(Fault::new(
            StatusCode::BAD_REQUEST,
            "UNSUPPORTED_OPERATION",
            "there is no other card than the one at .well-known/agent-card.json",
        )),
    }
}

/// Follows a task from its turn's beginning: what a client missed comes again, and changes nothing.
async fn follow(caller: &Caller, id: TaskId) -> Result<Answer, Fault> {
    let followed = caller.whole_turn(&id.session_key, &id.turn_id).await?;
    Ok(Answer::Many(Box::new(Stream::new(followed, id))))
}

/// What a message says.
struct Said {
    message_id: String,
    context: String,
    task: Option<TaskId>,
    text: String,
    data: Vec<Json>,
    attachments: Vec<Attachment>,
    /// Where the task's updates are pushed to.
    push: Option<Config>,
}

// === impl Said ===

impl Said {
    fn of(params: &Map<String, Json>) -> Result<Self, Fault> {
        let Some(message) = params.get("message").filter(|it| it.is_object()) else {
            return Err(Fault::invalid("message is missing"));
        };
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let push = params
            .get("configuration")
            .and_then(|it| it["taskPushNotificationConfig"].as_object());
        let mut said = Self {
            message_id: text("messageId"),
            context: text("contextId"),
            task: None,
            text: String::new(),
            data: Vec::new(),
            attachments: Vec::new(),
            push: push.map(Config::of).transpose()?,
        };
        if said.message_id.is_empty() {
            return Err(Fault::invalid("message.messageId is missing"));
        }
        if !said.context.is_empty() && SessionKey::parse(&said.context).is_err() {
            return Err(Fault::invalid("message.contextId must be a session's key"));
        }
        let task = text("taskId");
        if !task.is_empty() {
            let task = TaskId::parse(&task).ok_or_else(|| Fault::no_task(&task))?;
            if !said.context.is_empty() && said.context != task.session_key {
                return Err(Fault::invalid(
                    "message.taskId is a task of another context",
                ));
            }
            said.task = Some(task);
        }
        let mut texts = Vec::new();
        for part in message["parts"].as_array().into_iter().flatten() {
            let text = |name: &str| part[name].as_str().unwrap_or_default();
            if let Some(text) = part["text"].as_str() {
                texts.push(text.to_owned());
            } else if let Some(raw) = part["raw"].as_str() {
                let data = BASE64_STANDARD.decode(raw);
                let data = data.map_err(|_| Fault::invalid("raw must be base64"))?;
                let kind = text("mediaType");
                said.attachments.push(Attachment {
                    name: text("filename").into(),
                    media_type: match kind {
                        "" => "application/octet-stream".into(),
                        kind => kind.into(),
                    },
                    data: data.into(),
                });
            } else if part["url"].is_string() {
                return Err(Fault::new(
                    StatusCode::BAD_REQUEST,
                    "CONTENT_TYPE_NOT_SUPPORTED",
                    "nothing is fetched from anywhere: send the bytes as raw",
                ));
            } else if !part["data"].is_null() {
                said.data.push(part["data"].clone());
            }
        }
        said.text = texts.join("\n");
        Ok(said)
    }

    /// Text for an agent, which reads data as JSON.
    fn whole_text(&self) -> String {
        let data = self.data.iter().map(Json::to_string);
        let texts = std::iter::once(self.text.clone()).chain(data);
        texts
            .filter(|it| !it.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A new turn. Without a context each message has a session of its own; the same message again finds it.
async fn enqueue(caller: &Caller, agent: &str, said: Said) -> Result<EnqueueRequest, Fault> {
    let text = said.whole_text();
    let session_key = match said.context.as_str() {
        "" => {
            let principal = caller.known().await?.principal;
            let name = format!("{principal} {}", said.message_id);
            let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
            format!("a2a:{}", id.simple())
        }
        key => key.to_owned(),
    };
    Ok(EnqueueRequest {
        session_key,
        text,
        attachments: said.attachments,
        source: "a2a".into(),
        metadata: BTreeMap::from([(MESSAGE_ID.to_owned(), said.message_id.clone())]),
        request_id: said.message_id,
        agent: agent.into(),
        ..EnqueueRequest::default()
    })
}

/// Says something, to a task that is there or to a new one.
async fn begin(caller: &Caller, agent: &str, mut said: Said) -> Result<TaskId, Fault> {
    let (push, message_id) = (said.push.take(), said.message_id.clone());
    if let Some(id) = said.task.clone() {
        if let Some(push) = push {
            push.keep(caller, &id, &message_id).await?;
        }
        tell(caller, agent, &id, said).await?;
        return Ok(id);
    }
    let request = enqueue(caller, agent, said).await?;
    let queued: EnqueueResponse = caller
        .ask("/quarterdeck.v1.GatewayService/Enqueue", &request)
        .await?;
    let id = TaskId::of(&queued.turn.unwrap_or_default());
    let kept = match push {
        Some(push) => push.keep(caller, &id, &message_id).await.map(drop),
        None => Ok(()),
    };
    match kept {
        Ok(()) => {}
        // The task has ended since, and its pushes with it.
        Err(refused) if queued.replayed && refused.reason == "WEBHOOK_NOT_FOUND" => {}
        Err(refused) => {
            // Nobody would hear of a task that was asked for with its pushes.
            if !queued.replayed {
                caller.abort(&id.session_key, &id.turn_id).await?;
            }
            return Err(refused);
        }
    }
    Ok(id)
}

/// `SendMessage`: answers when the task has ended or asks, or at once where the client wants that.
async fn send(caller: &Caller, agent: &str, params: &Map<String, Json>) -> Result<Json, Fault> {
    let id = begin(caller, agent, Said::of(params)?).await?;
    let at_once = params
        .get("configuration")
        .map(|it| &it["returnImmediately"]);
    let turn = match at_once == Some(&Json::Bool(true)) {
        true => turn_of(caller, &id).await?,
        false => {
            let request = AwaitTurnRequest {
                session_key: id.session_key.clone(),
                turn_id: id.turn_id.clone(),
                wait: None,
                or_question: true,
            };
            let awaited: AwaitTurnResponse = caller
                .ask("/quarterdeck.v1.GatewayService/AwaitTurn", &request)
                .await?;
            awaited.turn.unwrap_or_default()
        }
    };
    let task = as_it_is(caller, &id, &turn, history(params)).await?;
    Ok(json!({ "task": task }))
}

/// `SendStreamingMessage`.
async fn stream(caller: &Caller, agent: &str, params: &Map<String, Json>) -> Result<Answer, Fault> {
    let said = Said::of(params)?;
    let id = begin(caller, agent, said).await?;
    follow(caller, id).await
}

/// Says something to a task that is there: an answer where it waits, else a steer.
async fn tell(caller: &Caller, agent: &str, id: &TaskId, said: Said) -> Result<(), Fault> {
    let turn = turn_of(caller, id).await?;
    if turn.agent != agent {
        return Err(Fault::no_task(&id.to_string()));
    }
    match turn.state() {
        TurnState::WaitingInput => {
            for (question, reply) in answers(&pending(caller, id).await?, &said)? {
                let answered = caller.answer(&id.session_key, &question, &reply).await;
                answered.map_err(|refused| match reason(&refused).as_str() {
                    "QUESTION_NOT_FOUND" => Fault::invalid("data.questionId is not known"),
                    _ => refused.into(),
                })?;
            }
            Ok(())
        }
        TurnState::Running => {
            let request = SteerRequest {
                session_key: id.session_key.clone(),
                text: said.whole_text(),
                attachments: said.attachments,
                expected_turn_id: id.turn_id.clone(),
                request_id: said.message_id,
                ..SteerRequest::default()
            };
            let _: SteerResponse = caller
                .ask("/quarterdeck.v1.GatewayService/Steer", &request)
                .await?;
            Ok(())
        }
        TurnState::Queued | TurnState::Scheduled | TurnState::Unspecified => Err(
            Fault::unsupported("the task waits for its turn: cancel it, or wait"),
        ),
        _ => Err(Fault::unsupported(
            "the task has ended: send a message with its contextId, and without taskId",
        )),
    }
}

/// What a message answers: data names its question; a word answers the only one.
fn answers(pending: &[Question], said: &Said) -> Result<Vec<(String, Reply)>, Fault> {
    let mut answers = Vec::new();
    for data in &said.data {
        let id = data["questionId"]
            .as_str()
            .or_else(|| data["approvalId"].as_str());
        let only = match pending {
            [only] => Some(only.question_id.as_str()),
            _ => None,
        };
        let Some(id) = id.or(only) else {
            return Err(Fault::invalid(
                "data.questionId is missing: several questions are open",
            ));
        };
        let why = data["reason"].as_str().unwrap_or_default();
        let reply = match (data["approve"].as_bool(), data.get("content")) {
            (Some(true), _) => Reply::Allow,
            (Some(false), _) => Reply::Deny(why.into()),
            (None, Some(content)) => Reply::Content {
                json: content.to_string(),
                is_error: false,
            },
            (None, None) => {
                let message = "data must have `approve` (a boolean) or `content`";
                return Err(Fault::invalid(message));
            }
        };
        answers.push((id.to_owned(), reply));
    }
    if !answers.is_empty() {
        return Ok(answers);
    }
    let word = said.text.trim().to_lowercase();
    match pending {
        [only] if only.kind() == QuestionKind::Permission || only.kind() == QuestionKind::Link => {
            let reply = match word.as_str() {
                "yes" | "approve" | "allow" | "ok" => Reply::Allow,
                "no" | "deny" | "reject" => Reply::Deny(String::new()),
                _ => {
                    let message = "answer yes or no, or with data {questionId, approve}";
                    return Err(Fault::invalid(message));
                }
            };
            Ok(vec![(only.question_id.clone(), reply)])
        }
        _ => Err(Fault::invalid(
            "answer with data: {questionId, approve} or {questionId, content}",
        )),
    }
}

/// `ListTasks`: the newest first, of this agent.
async fn list(caller: &Caller, agent: &str, params: &Map<String, Json>) -> Result<Json, Fault> {
    let text = |name: &str| params.get(name).and_then(Json::as_str).unwrap_or_default();
    let number = |name: &str| params.get(name).and_then(Json::as_i64);
    let page_size = match number("pageSize") {
        None => TASKS_DEFAULT,
        Some(size) => match i32::try_from(size) {
            Ok(size @ 1..=TASKS_MAX) => size,
            Ok(_) | Err(_) => {
                let message = format!("pageSize must be 1 to {TASKS_MAX}");
                return Err(Fault::invalid(&message));
            }
        },
    };
    let mut request = ListTurnsRequest {
        session_key: text("contextId").into(),
        states: states_of(text("status"))?,
        page_size,
        page_token: text("pageToken").into(),
    };
    let page = page_of(caller, &request).await?;
    let asked = text("status");
    let is_asked = |turn: &Turn| match asked {
        "" | "TASK_STATE_UNSPECIFIED" => true,
        asked => state_of(turn) == asked,
    };
    let own = |page: &ListTurnsResponse| {
        let own = page
            .turns
            .iter()
            .filter(|it| it.agent == agent && is_asked(it));
        own.cloned().collect::<Vec<_>>()
    };
    let artifacts = params.get("includeArtifacts") == Some(&Json::Bool(true));
    let turns = own(&page);
    let tasks = turns.iter().map(|turn| {
        let id = TaskId::of(turn);
        task(&id, turn, &[], history(params), artifacts)
    });
    let tasks: Vec<Json> = tasks.collect();
    let first = request.page_token.is_empty();
    let total = match first && page.next_page_token.is_empty() {
        true => tasks.len(),
        false => {
            request.page_size = COUNTED_PAGE;
            request.page_token.clear();
            let (mut counted, mut seen) = (0, 0);
            loop {
                let page = page_of(caller, &request).await?;
                counted += own(&page).len();
                seen += page.turns.len();
                if page.next_page_token.is_empty() || seen >= COUNTED_MAX {
                    break counted;
                }
                request.page_token = page.next_page_token;
            }
        }
    };
    Ok(json!({
        "tasks": tasks, "nextPageToken": page.next_page_token, "pageSize": page_size,
        "totalSize": total,
    }))
}

async fn page_of(caller: &Caller, request: &ListTurnsRequest) -> Result<ListTurnsResponse, Fault> {
    let listed = caller
        .ask("/quarterdeck.v1.GatewayService/ListTurns", request)
        .await;
    match listed {
        // A context that nobody made has no tasks.
        Err(refused) if refused.code() == Code::NotFound => Ok(ListTurnsResponse::default()),
        listed => Ok(listed?),
    }
}

fn states_of(status: &str) -> Result<Vec<i32>, Fault> {
    let states: &[TurnState] = match status {
        "" | "TASK_STATE_UNSPECIFIED" => &[],
        "TASK_STATE_SUBMITTED" => &[TurnState::Queued, TurnState::Scheduled],
        "TASK_STATE_WORKING" => &[TurnState::Running, TurnState::Canceling],
        "TASK_STATE_INPUT_REQUIRED" => &[TurnState::WaitingInput],
        "TASK_STATE_COMPLETED" => &[TurnState::Completed],
        "TASK_STATE_FAILED" => &[TurnState::Failed, TurnState::Interrupted],
        "TASK_STATE_CANCELED" => &[TurnState::Canceled, TurnState::Rejected],
        "TASK_STATE_REJECTED" => &[TurnState::Rejected, TurnState::Expired],
        other => return Err(Fault::invalid(&format!("no task is ever {other}"))),
    };
    Ok(states.iter().map(|it| *it as i32).collect())
}

/// `CancelTask`.
async fn cancel(caller: &Caller, agent: &str, params: &Map<String, Json>) -> Result<Json, Fault> {
    let (id, turn) = found(caller, agent, params).await?;
    if turn.end_time.is_some() {
        return Err(Fault::new(
            StatusCode::CONFLICT,
            "TASK_NOT_CANCELABLE",
            "the task has ended",
        ));
    }
    caller.abort(&id.session_key, &id.turn_id).await?;
    let turn = turn_of(caller, &id).await?;
    as_it_is(caller, &id, &turn, history(params)).await
}

/// The task that a request names, of this agent.
async fn found(
    caller: &Caller,
    agent: &str,
    params: &Map<String, Json>,
) -> Result<(TaskId, Turn), Fault> {
    let name = params.get("id").and_then(Json::as_str).unwrap_or_default();
    of_name(caller, agent, name).await
}

/// The task of that id, of this agent.
pub(super) async fn of_name(
    caller: &Caller,
    agent: &str,
    name: &str,
) -> Result<(TaskId, Turn), Fault> {
    let Some(id) = TaskId::parse(name) else {
        caller.known().await?;
        return Err(Fault::no_task(name));
    };
    let turn = turn_of(caller, &id).await?;
    match turn.agent == agent {
        true => Ok((id, turn)),
        false => Err(Fault::no_task(name)),
    }
}

async fn turn_of(caller: &Caller, id: &TaskId) -> Result<Turn, Fault> {
    let found = caller.turn(&id.session_key, &id.turn_id).await;
    found.map_err(|refused| match refused.code() {
        Code::NotFound => Fault::no_task(&id.to_string()),
        _ => refused.into(),
    })
}

/// Questions of a task that nobody has answered.
async fn pending(caller: &Caller, id: &TaskId) -> Result<Vec<Question>, Fault> {
    let mut questions = caller.pending(&id.session_key).await?;
    questions.retain(|it| it.turn_id == id.turn_id);
    Ok(questions)
}

/// How many messages of its history a client wants; `None` means all.
fn history(params: &Map<String, Json>) -> Option<i64> {
    let configured = params.get("configuration").map(|it| &it["historyLength"]);
    let length = params.get("historyLength").or(configured);
    length.and_then(Json::as_i64)
}

async fn as_it_is(
    caller: &Caller,
    id: &TaskId,
    turn: &Turn,
    history: Option<i64>,
) -> Result<Json, Fault> {
    let questions = match turn.state() == TurnState::WaitingInput {
        true => pending(caller, id).await?,
        false => Vec::new(),
    };
    Ok(task(id, turn, &questions, history, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_a_task_finds_its_turns() {
        let all = (1..=10).map(|it| TurnState::try_from(it).unwrap());
        for state in all {
            let turn = Turn {
                state: state.into(),
                ..Turn::default()
            };
            let id = TaskId::of(&turn);
            let told = crate::wire::a2a::status(&id, &turn, &[]);
            let states = states_of(told["state"].as_str().unwrap()).unwrap();
            assert!(states.contains(&(state as i32)), "{told}");
        }
        assert!(states_of("TASK_STATE_AUTH_REQUIRED").is_err());
    }
}
