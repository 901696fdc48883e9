//! OpenAI's chat completions and list of models, below `/openai/v1`: named agents are models.
//!
//! The session is that of the header `x-quarterdeck-session`, of `metadata.session_key`, or of `user`, in this order; then
//! only the messages after the last assistant's are sent. Without one each request has a session of its own, which is
//! given the whole history as one text and goes after an hour without use.
//!
//! Functions among the `tools` are such that the caller runs: the answer ends with `tool_calls` where the model calls them,
//! and the turn goes on with the request that brings their results, as messages of the role `tool`. What the agent does by
//! itself is no `tool_calls`: the caller's library would try to run them. Thinking comes as `reasoning_content`. Any other
//! question does not end an answer: the stream goes on once somebody has answered it elsewhere.
//!
//! A `response_format` of a schema is the turn's `output_schema`: the content is the output, which comes whole at its end.

use super::{
    problem::Problem,
    sse::{self, Printer},
    transcode::data_url,
    turns::{ANSWERS_MAX, Caller, Followed, Reply, Segments},
    view::{Block, Holds, Told, View},
};
use crate::{
    domain::Refusal,
    proto::{
        Attachment, ClientTool, CreateSessionRequest, EnqueueRequest, Question, QuestionKind,
        StopReason, Turn, TurnState, Usage,
    },
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use tonic::Status;
use uuid::Uuid;

/// Names the session of a request.
const SESSION: &str = "x-quarterdeck-session";
/// Makes a request safe to repeat.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Time after which a session that one request made for itself goes.
const OWN_SESSION_KEPT_SECONDS: i64 = 3600;
/// Parameters that would change what is answered, and do nothing here.
const REFUSED: [&str; 3] = ["functions", "function_call", "audio"];
/// What the key of a session that one request made for itself begins with.
pub(super) const OWN_SESSION: &str = "openai:";
/// What the ids of calls begin with.
const CALL: &str = "call_";

/// What is asked; sampling parameters are the agent's own and passed over.
#[derive(Debug, Deserialize)]
struct Asked {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: StreamOptions,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    user: String,
    #[serde(default)]
    n: Option<i64>,
    #[serde(default)]
    tools: Option<Vec<Json>>,
    #[serde(default)]
    tool_choice: Json,
    #[serde(default)]
    response_format: Json,
    #[serde(flatten)]
    others: Map<String, Json>,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Json,
    #[serde(default)]
    tool_call_id: String,
}

/// Prints a turn as chunks of a completion.
#[derive(Debug)]
pub(super) struct Completion {
    id: String,
    created: i64,
    model: String,
    include_usage: bool,
    /// Blocks of text that were told, so that two are not run into one.
    text: bool,
    /// Text is held back: the output is the content.
    by_schema: bool,
    /// What the ids of calls end with, so that their session is found again.
    own_session: String,
}

/// `GET /openai/v1/models`.
pub(super) async fn models(caller: Caller) -> Result<Response, Status> {
    let info = caller.server().await?;
    let started = info.start_time.map_or(0, |it| it.seconds);
    let models = info.agents.iter().map(|agent| {
        json!({ "id": agent.name, "object": "model", "created": started, "owned_by": "quarterdeck" })
    });
    let list = json!({ "object": "list", "data": models.collect::<Vec<_>>() });
    Ok(as_json(StatusCode::OK, &list))
}

/// `POST /openai/v1/chat/completions`.
pub(super) async fn complete(caller: Caller, cancel: bool, body: Body) -> Result<Response, Status> {
    let asked: Asked = caller.body(body).await?;
    if let Some(name) = REFUSED.iter().find(|name| {
        let value = asked.others.get(**name);
        value.is_some_and(|it| !it.is_null() && *it != json!([]) && *it != json!("none"))
    }) {
        return Err(
            Refusal::field(*name, "is not supported: use tools and response_format").into(),
        );
    }
    let output_schema = output_schema(&asked.response_format)?;
    let client_tools = client_tools(&asked)?;
    if asked.n.is_some_and(|n| n != 1) {
        return Err(Refusal::field("n", "must be 1: an agent answers once").into());
    }
    let named = [
        caller.header(SESSION),
        asked.metadata.get("session_key").map(String::as_str),
        Some(asked.user.as_str()),
    ];
    let named = named.into_iter().flatten().find(|it| !it.is_empty());
    let results = after_the_last_answer(&asked.messages);
    let completion = Completion {
        id: String::new(),
        created: 0,
        model: asked.model.clone(),
        include_usage: asked.stream_options.include_usage,
        text: false,
        by_schema: !output_schema.is_empty(),
        own_session: String::new(),
    };
    if results.iter().any(|it| it.role == "tool") {
        return go_on(&caller, named, results, completion, asked.stream).await;
    }
    let (agent, model) = asked.model.split_once('/').unwrap_or((&asked.model, ""));
    let request_id = caller.header(IDEMPOTENCY_KEY).unwrap_or_default();
    let session_key = match named {
        Some(key) => key.to_owned(),
        None => own_session(&caller, agent, model, request_id, OWN_SESSION_KEPT_SECONDS).await?,
    };
    let messages = match named {
        Some(_) => after_the_last_answer(&asked.messages),
        None => &asked.messages,
    };
    let (text, attachments) = said(messages)?;
    let metadata = asked
        .metadata
        .iter()
        .filter(|(name, _)| *name != "session_key");
    let enqueue = EnqueueRequest {
        session_key: session_key.clone(),
        text,
        attachments,
        source: "openai".into(),
        metadata: metadata
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        request_id: request_id.into(),
        agent: agent.into(),
        model: model.into(),
        output_schema,
        client_tools,
        ..EnqueueRequest::default()
    };
    let followed = caller.run(enqueue, cancel, Segments::ClientTools).await?;
    let own_session = session_key.strip_prefix(OWN_SESSION).unwrap_or_default();
    let completion = Completion {
        own_session: own_session.to_owned(),
        ..completion
    };
    if asked.stream {
        return Ok(sse::stream(followed, completion, Vec::new(), &[]));
    }
    whole(followed, completion).await
}

/// The schema that the content is to meet; empty for none.
fn output_schema(format: &Json) -> Result<String, Refusal> {
    match format["type"].as_str() {
        None if format.is_null() => Ok(String::new()),
        Some("text") => Ok(String::new()),
        Some("json_object") => Ok(json!({ "type": "object" }).to_string()),
        Some("json_schema") if format["json_schema"]["schema"].is_object() => {
            Ok(format["json_schema"]["schema"].to_string())
        }
        Some(_) | None => {
            let problem = "must be text, json_object, or json_schema with a schema";
            Err(Refusal::field("response_format", problem))
        }
    }
}

/// The functions that the caller runs.
fn client_tools(asked: &Asked) -> Result<Vec<ClientTool>, Refusal> {
    match asked.tool_choice.as_str() {
        Some("none") => return Ok(Vec::new()),
        None if asked.tool_choice.is_null() => {}
        Some("auto") => {}
        Some(_) | None => {
            let problem = "must be auto or none: what an agent calls is its own choice";
            return Err(Refusal::field("tool_choice", problem));
        }
    }
    let tools = asked.tools.iter().flatten();
    tools
        .map(|tool| {
            let function = (tool["type"] == "function").then(|| client_tool(&tool["function"]));
            let unnamed = || Refusal::field("tools", "must be functions with names");
            function.flatten().ok_or_else(unnamed)
        })
        .collect()
}

/// A function that the caller runs; `None` where it has no name.
pub(super) fn client_tool(function: &Json) -> Option<ClientTool> {
    let text = |name: &str| function[name].as_str().unwrap_or_default().to_owned();
    Some(ClientTool {
        name: function["name"].as_str()?.to_owned(),
        description: text("description"),
        schema_json: match &function["parameters"] {
            Json::Null => "{}".to_owned(),
            schema => schema.to_string(),
        },
    })
}

/// Goes on with the turn whose calls have their results.
async fn go_on(
    caller: &Caller,
    named: Option<&str>,
    results: &[Message],
    mut completion: Completion,
    stream: bool,
) -> Result<Response, Status> {
    let wrong = |problem: &str| Refusal::field("messages", problem);
    if results.iter().any(|it| it.role != "tool") {
        return Err(
            wrong("results of tools must stand alone: say more once the turn has ended").into(),
        );
    }
    if results.len() > ANSWERS_MAX {
        return Err(wrong(&format!("bring at most {ANSWERS_MAX} results")).into());
    }
    let calls = results.iter().map(|it| parse_call(&it.tool_call_id));
    let calls: Option<Vec<(Uuid, Option<Uuid>)>> = calls.collect();
    let calls = calls.ok_or_else(|| wrong("a tool_call_id is none that was given here"))?;
    let own = calls.iter().find_map(|(_, session)| *session);
    let session_key = match (named, own) {
        (Some(key), _) => key.to_owned(),
        (None, Some(own)) => {
            completion.own_session = own.simple().to_string();
            format!("{OWN_SESSION}{}", own.simple())
        }
        (None, None) => {
            let problem = "name the session as in the request before, by x-quarterdeck-session";
            return Err(wrong(problem).into());
        }
    };
    let before = caller.session(&session_key).await?;
    let mut turn_id = String::new();
    let mut tools = Vec::new();
    for ((question, _), result) in calls.iter().zip(results) {
        let (text, _) = said(std::slice::from_ref(result))?;
        let text = text.strip_prefix("tool: ").unwrap_or(&text);
        let question = question.to_string();
        let reply = Reply::of_tool(text);
        let question = caller.answer(&session_key, &question, &reply).await?;
        turn_id.clone_from(&question.turn_id);
        tools.push((question.tool_call_id, question.tool_name));
    }
    let turn = caller.turn(&session_key, &turn_id).await?;
    completion.begin(&turn);
    if before.active_turn_id != turn_id {
        // It was answered before, and has ended since: a repeat is told the same end.
        return match stream {
            true => Ok(sse::told(&completion, &completion.over(&turn), &[])),
            false => completion.whole(&turn, ""),
        };
    }
    let view = View::resumed(&turn_id, tools);
    let from = (before.log_id.as_str(), before.head_seq);
    let followed = caller
        .follow(&session_key, from, view, Segments::ClientTools)
        .await?;
    if stream {
        let first = vec![completion.chunk(&json!({ "role": "assistant", "content": "" }), None)];
        return Ok(sse::stream(followed, completion, first, &[]));
    }
    whole(followed, completion).await
}

/// The question, and where a request made it the session, of a call's id.
fn parse_call(id: &str) -> Option<(Uuid, Option<Uuid>)> {
    let id = id.strip_prefix(CALL)?;
    let (question, session) = match id.split_once('_') {
        Some((question, session)) => (question, Some(Uuid::parse_str(session).ok()?)),
        None => (id, None),
    };
    Some((Uuid::parse_str(question).ok()?, session))
}

/// A refusal in OpenAI's shape: its libraries read no other.
pub(super) fn refused(refused: &Status) -> Response {
    let problem = Problem::of(refused);
    let headers = problem.headers();
    let mut response = as_json(problem.http_status(), &error(&problem));
    response.headers_mut().extend(headers);
    response
}

fn error(problem: &Problem) -> Json {
    let kind = match problem.http_status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    };
    json!({ "error": {
        "message": problem.line(), "type": kind, "param": problem.field(), "code": problem.reason(),
    } })
}

pub(super) fn as_json(status: StatusCode, json: &Json) -> Response {
    let kind = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, kind, json.to_string()).into_response()
}

/// A session for this request alone. A repeat of the request, by the same caller, finds it again.
pub(super) async fn own_session(
    caller: &Caller,
    agent: &str,
    model: &str,
    request_id: &str,
    kept_seconds: i64,
) -> Result<String, Status> {
    let session_key = own_key(caller, request_id).await?;
    let request = CreateSessionRequest {
        session_key: session_key.clone(),
        agent: agent.into(),
        model: model.into(),
        expire_after_idle: Some(prost_types::Duration {
            seconds: kept_seconds,
            nanos: 0,
        }),
        ..CreateSessionRequest::default()
    };
    caller.make_session(&request).await?;
    Ok(session_key)
}

/// The key of a session for one request: a repeat of it, by the same caller, has the same.
pub(super) async fn own_key(caller: &Caller, request_id: &str) -> Result<String, Status> {
    let id = match request_id {
        "" => Uuid::now_v7(),
        said => {
            let principal = caller.known().await?.principal;
            Uuid::new_v5(
                &Uuid::NAMESPACE_OID,
                format!("{principal} {said}").as_bytes(),
            )
        }
    };
    Ok(format!("{OWN_SESSION}{}", id.simple()))
}

fn after_the_last_answer(messages: &[Message]) -> &[Message] {
    let last = messages.iter().rposition(|it| it.role == "assistant");
    &messages[last.map_or(0, |at| at + 1)..]
}

/// Messages as one prompt. Where there are several roles each is named.
fn said(messages: &[Message]) -> Result<(String, Vec<Attachment>), Refusal> {
    let mut attachments = Vec::new();
    let mut texts = Vec::new();
    for message in messages {
        let text = match &message.content {
            Json::String(text) => text.clone(),
            Json::Array(parts) => {
                let mut texts = Vec::new();
                for part in parts {
                    match part["type"].as_str() {
                        Some("text") => texts.push(part["text"].as_str().unwrap_or_default()),
                        Some("image_url") => {
                            let url = part["image_url"]["url"].as_str().unwrap_or_default();
                            let (media_type, data) = data_url(url)?;
                            attachments.push(Attachment {
                                media_type: media_type.into(),
                                data: data.into(),
                                ..Attachment::default()
                            });
                        }
                        _ => {
                            let problem = "must be text, or an image as a data: URL";
                            return Err(Refusal::field("messages.content", problem));
                        }
                    }
                }
                texts.join("\n")
            }
            Json::Null => String::new(),
            _ => {
                return Err(Refusal::field(
                    "messages.content",
                    "must be text or a list of parts",
                ));
            }
        };
        if !text.is_empty() {
            texts.push((message.role.as_str(), text));
        }
    }
    let alone = texts.iter().all(|(role, _)| *role == "user");
    let lines = texts.into_iter().map(|(role, text)| match alone {
        true => text,
        false => format!("{role}: {text}"),
    });
    Ok((lines.collect::<Vec<_>>().join("\n\n"), attachments))
}

/// The whole answer at once.
async fn whole(mut followed: Followed, mut completion: Completion) -> Result<Response, Status> {
    let (mut thinking, mut text) = (String::new(), String::new());
    while let Some(told) = followed.next().await {
        match told? {
            Told::Queued(turn, _) => completion.begin(&turn),
            Told::BlockStarted(block) if block.holds == Holds::Text && !text.is_empty() => {
                text.push_str("\n\n");
            }
            Told::BlockGrew(block, delta) => match block.holds {
                Holds::Text => text.push_str(&delta),
                Holds::Thinking => thinking.push_str(&delta),
            },
            Told::TakenBack(_) => text.clear(),
            Told::Ended(turn) => return completion.whole(&turn, &thinking),
            _ => {}
        }
    }
    let calls = completion.calls(&followed.questions());
    if calls.is_empty() {
        return Err(Refusal::StoreUnavailable.into());
    }
    let content = if text.is_empty() || completion.by_schema {
        Json::Null
    } else {
        text.into()
    };
    let message =
        json!({ "role": "assistant", "content": content, "refusal": null, "tool_calls": calls });
    Ok(completion.answer(message, &thinking, "tool_calls", None))
}

// === impl Completion ===

impl Completion {
    fn begin(&mut self, turn: &Turn) {
        self.id = format!("chatcmpl-{}", turn.turn_id);
        self.created = turn.create_time.as_ref().map_or(0, |it| it.seconds);
    }

    fn chunk(&self, delta: &Json, finish: Option<&str>) -> Json {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model,
            "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }],
        })
    }

    fn whole(&self, turn: &Turn, thinking: &str) -> Result<Response, Status> {
        let Some(finish) = finish_of(turn) else {
            return Ok(as_json(StatusCode::BAD_GATEWAY, &failed(turn)));
        };
        let content = self.content(turn);
        let message = json!({ "role": "assistant", "content": content, "refusal": null });
        Ok(self.answer(message, thinking, finish, turn.usage.as_ref()))
    }

    fn answer(
        &self,
        mut message: Json,
        thinking: &str,
        finish: &str,
        usage: Option<&Usage>,
    ) -> Response {
        if !thinking.is_empty() {
            message["reasoning_content"] = thinking.into();
        }
        as_json(
            StatusCode::OK,
            &json!({
                "id": self.id, "object": "chat.completion", "created": self.created,
                "model": self.model,
                "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish }],
                "usage": usage_of(usage),
            }),
        )
    }

    /// What a turn answers with.
    fn content<'t>(&self, turn: &'t Turn) -> &'t str {
        match self.by_schema {
            true => &turn.output_json,
            false => &turn.response_text,
        }
    }

    /// What the caller is to run.
    fn calls(&self, questions: &[Question]) -> Vec<Json> {
        let calls = questions
            .iter()
            .filter(|it| it.kind() == QuestionKind::ToolCall);
        let calls = calls.map(|question| {
            let mut id = format!("{CALL}{}", question.question_id.replace('-', ""));
            if !self.own_session.is_empty() {
                id = format!("{id}_{}", self.own_session);
            }
            let function = json!({ "name": question.tool_name, "arguments": question.args_json });
            json!({ "id": id, "type": "function", "function": function })
        });
        calls.collect()
    }

    /// A turn that has ended, whose text was not told.
    fn over(&self, turn: &Turn) -> Vec<Json> {
        let delta = json!({ "role": "assistant", "content": self.content(turn) });
        let mut chunks = vec![self.chunk(&delta, None)];
        chunks.extend(self.ended(turn));
        chunks
    }

    fn ended(&self, turn: &Turn) -> Vec<Json> {
        match finish_of(turn) {
            Some(finish) => self.finished(finish, turn.usage.as_ref()),
            None => vec![failed(turn)],
        }
    }

    fn finished(&self, finish: &str, usage: Option<&Usage>) -> Vec<Json> {
        let mut chunks = vec![self.chunk(&json!({}), Some(finish))];
        if self.include_usage {
            let mut chunk = self.chunk(&json!({}), None);
            chunk["choices"] = json!([]);
            chunk["usage"] = usage_of(usage);
            chunks.push(chunk);
        }
        chunks
    }
}

/// Why a turn's text ends; `None` where the turn did not come to an end of its own.
fn finish_of(turn: &Turn) -> Option<&'static str> {
    match (turn.state(), turn.stop_reason()) {
        (TurnState::Completed, StopReason::Length) => Some("length"),
        (TurnState::Completed, _) => Some("stop"),
        _ => None,
    }
}

fn failed(turn: &Turn) -> Json {
    let error = turn.error.clone().unwrap_or_default();
    json!({ "error": {
        "message": error.message, "type": "server_error", "param": null, "code": error.reason,
    } })
}

/// Tokens as OpenAI counts them: those from caches are part of the prompt's.
fn usage_of(usage: Option<&Usage>) -> Json {
    let usage = usage.cloned().unwrap_or_default();
    let prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    json!({
        "prompt_tokens": prompt, "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": { "cached_tokens": usage.cache_read_tokens },
    })
}

impl Printer for Completion {
    fn print(&mut self, told: Told) -> Vec<Json> {
        match told {
            Told::Queued(turn, _) => {
                self.begin(&turn);
                vec![self.chunk(&json!({ "role": "assistant", "content": "" }), None)]
            }
            Told::BlockStarted(Block {
                holds: Holds::Text, ..
            })
            | Told::BlockGrew(
                Block {
                    holds: Holds::Text, ..
                },
                _,
            ) if self.by_schema => Vec::new(),
            Told::BlockStarted(Block {
                holds: Holds::Text, ..
            }) if self.text => {
                vec![self.chunk(&json!({ "content": "\n\n" }), None)]
            }
            Told::BlockGrew(block, delta) => match block.holds {
                Holds::Text => {
                    self.text = true;
                    vec![self.chunk(&json!({ "content": delta }), None)]
                }
                Holds::Thinking => vec![self.chunk(&json!({ "reasoning_content": delta }), None)],
            },
            Told::Ended(turn) => {
                let mut chunks = vec![];
                if self.by_schema && !turn.output_json.is_empty() {
                    chunks.push(self.chunk(&json!({ "content": turn.output_json }), None));
                }
                chunks.extend(self.ended(&turn));
                chunks
            }
            _ => Vec::new(),
        }
    }

    fn wait(&mut self, questions: &[Question]) -> Vec<Json> {
        let calls = self.calls(questions).into_iter().enumerate();
        let calls = calls.map(|(index, mut call)| {
            call["index"] = index.into();
            call
        });
        let delta = json!({ "tool_calls": calls.collect::<Vec<_>>() });
        let mut chunks = vec![self.chunk(&delta, None)];
        chunks.extend(self.finished("tool_calls", None));
        chunks
    }

    fn fail(&mut self, problem: &Problem) -> Vec<Json> {
        vec![error(problem)]
    }

    fn end(&self) -> Option<&'static str> {
        Some("[DONE]")
    }
}
