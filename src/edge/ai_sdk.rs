//! The AI SDK's UI message stream, version 1: what `useChat` sends and reads.
//!
//! `POST /v1/sessions/{key}/chat` takes the last message of its history: a user's becomes a turn, whose `request_id` is the
//! message's id; an assistant's brings the answers to approvals and to tools that the page runs, and the turn goes on.
//! `GET /v1/sessions/{key}/chat/{id}/stream` tells the turn that runs from its beginning, 204 where none does.
//! A page that closes its request stops nothing; `?cancel_on_disconnect=true` asks for that.
//!
//! Questions: PERMISSION is an approval of the tool's part; TOOL_CALL is a tool that is not `providerExecuted`, which the page
//! runs (the tools are the session's `client_tools`: a page sends none); FORM and LINK come as `data-question`, and are answered by AnswerQuestion.

use super::{
    problem::{Problem, reason},
    sse::{self, Printer},
    transcode::data_url,
    turns::{ANSWERS_MAX, Caller, Followed, Reply, Segments},
    view::{Block, Holds, Told, View},
};
use crate::{
    domain::Refusal,
    proto::{
        Attachment, EnqueueRequest, OptionEffect, Question, QuestionKind, QuestionState,
        StopReason, Turn, TurnState,
    },
    wire::read::parsed,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use tonic::Status;

/// Says which protocol the stream speaks.
const PROTOCOL: (HeaderName, &str) = (
    HeaderName::from_static("x-vercel-ai-ui-message-stream"),
    "v1",
);

/// What a page sends; other fields are its own.
#[derive(Debug, Deserialize)]
struct Chat {
    messages: Vec<Message>,
    #[serde(default)]
    trigger: String,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    id: String,
    role: String,
    #[serde(default)]
    parts: Vec<Json>,
}

/// Prints a turn as the SDK's chunks.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// The message has begun.
    begun: bool,
    /// A step is open: what the model said and called since the last results.
    step: bool,
    /// A tool ended since: the next thing that is said begins a step.
    results: bool,
    /// Calls whose arguments were begun.
    inputs: BTreeSet<String>,
    /// Calls that the page runs.
    client: BTreeSet<String>,
    /// Which call a question is about.
    asked: BTreeMap<String, String>,
}

/// Begins a turn with what the user said, or goes on with answers.
pub(super) async fn post(
    caller: Caller,
    session_key: &str,
    cancel: bool,
    body: Body,
) -> Result<Response, Status> {
    let chat: Chat = caller.body(body).await?;
    let Some(last) = chat.messages.last() else {
        return Err(Refusal::field("messages", "must not be empty").into());
    };
    if chat.trigger == "regenerate-message" {
        let problem =
            "can't regenerate: fork the session at the turn before, and send the message there";
        return Err(Refusal::field("trigger", problem).into());
    }
    match last.role.as_str() {
        "user" => {
            let enqueue = enqueue(session_key, last)?;
            Ok(told(caller.run(enqueue, cancel, Segments::All).await?))
        }
        "assistant" => go_on(&caller, session_key, last).await,
        _ => Err(Refusal::field("messages", "the last must be a user's or an assistant's").into()),
    }
}

/// Tells the turn that runs once more.
pub(super) async fn resume(caller: Caller, session_key: &str) -> Result<Response, Status> {
    match caller.resume(session_key).await? {
        Some(followed) => Ok(told(followed)),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// A turn from its beginning.
pub(super) fn told(followed: Followed) -> Response {
    let chunks = Chunks::default();
    sse::stream(followed, chunks, Vec::new(), &[PROTOCOL])
}

/// What a user's message asks for.
fn enqueue(session_key: &str, message: &Message) -> Result<EnqueueRequest, Refusal> {
    let mut texts = Vec::new();
    let mut attachments = Vec::new();
    for part in &message.parts {
        match part["type"].as_str() {
            Some("text") => texts.push(part["text"].as_str().unwrap_or_default()),
            Some("file") => attachments.push(file(part)?),
            _ => {}
        }
    }
    Ok(EnqueueRequest {
        session_key: session_key.into(),
        text: texts.join("\n"),
        attachments,
        source: "ai-sdk".into(),
        request_id: message.id.clone(),
        ..EnqueueRequest::default()
    })
}

fn file(part: &Json) -> Result<Attachment, Refusal> {
    let url = part["url"].as_str().unwrap_or_default();
    let (media_type, data) = data_url(url)?;
    let said = part["mediaType"].as_str().filter(|it| !it.is_empty());
    Ok(Attachment {
        name: part["filename"].as_str().unwrap_or_default().into(),
        media_type: said.unwrap_or(media_type).into(),
        data: data.into(),
    })
}

/// Gives the answers of an assistant's message, and follows the turn on.
async fn go_on(caller: &Caller, session_key: &str, message: &Message) -> Result<Response, Status> {
    let before = caller.session(session_key).await?;
    let mut answered = Vec::new();
    for part in &message.parts {
        let Some((question, reply)) = reply(part) else {
            continue;
        };
        if answered.len() == ANSWERS_MAX {
            let problem = format!("bring at most {ANSWERS_MAX} answers");
            return Err(Refusal::field("messages", problem).into());
        }
        match caller.answer(session_key, question, &reply).await {
            Ok(question) => answered.push((question, reply)),
            // A part of an older turn, whose question is long gone.
            Err(refused) if reason(&refused) == "QUESTION_NOT_FOUND" => {}
            Err(refused) => return Err(refused),
        }
    }
    let mut chunks = Chunks {
        begun: true,
        step: true,
        ..Chunks::default()
    };
    let mut first = vec![json!({ "type": "start", "messageId": message.id })];
    for (question, reply) in &answered {
        let call = &question.tool_call_id;
        chunks.inputs.insert(call.clone());
        if matches!(reply, Reply::Deny(_)) && !call.is_empty() {
            first.push(json!({ "type": "tool-output-denied", "toolCallId": call }));
        }
    }
    if before.active_turn_id != message.id {
        first.extend(chunks.over("interrupted", None));
        return Ok(sse::told(&chunks, &first, &[PROTOCOL]));
    }
    let told = answered
        .iter()
        .filter(|(_, reply)| !matches!(reply, Reply::Deny(_)));
    let told = told.map(|(it, _)| (it.tool_call_id.clone(), it.tool_name.clone()));
    let view = View::resumed(&message.id, told.collect::<Vec<_>>());
    let followed = caller
        .follow(
            session_key,
            (&before.log_id, before.head_seq),
            view,
            Segments::All,
        )
        .await?;
    Ok(sse::stream(followed, chunks, first, &[PROTOCOL]))
}

/// The answer that a part of a message brings, and to which question.
fn reply(part: &Json) -> Option<(&str, Reply)> {
    let content = |json: &Json, is_error| {
        // What the page ran: only such calls name their question.
        let question = part["callProviderMetadata"]["quarterdeck"]["questionId"].as_str()?;
        let json = json.to_string();
        Some((question, Reply::Content { json, is_error }))
    };
    match part["state"].as_str()? {
        "approval-responded" => {
            let approval = &part["approval"];
            let why = approval["reason"].as_str().unwrap_or_default();
            let reply = match approval["approved"].as_bool()? {
                true => Reply::Allow,
                false => Reply::Deny(why.into()),
            };
            Some((approval["id"].as_str()?, reply))
        }
        "output-available" => content(&part["output"], false),
        "output-error" => content(&part["errorText"], true),
        _ => None,
    }
}

// === impl Chunks ===

impl Chunks {
    /// Opens a step where none is, or where tools gave results since.
    fn step(&mut self, chunks: &mut Vec<Json>) {
        if self.step && self.results {
            chunks.push(json!({ "type": "finish-step" }));
            self.step = false;
        }
        self.results = false;
        if !self.step {
            chunks.push(json!({ "type": "start-step" }));
            self.step = true;
        }
    }

    fn over(&mut self, why: &str, turn: Option<&Turn>) -> Vec<Json> {
        let mut chunks = Vec::new();
        if std::mem::take(&mut self.step) {
            chunks.push(json!({ "type": "finish-step" }));
        }
        let mut finish = json!({ "type": "finish", "finishReason": why });
        if let Some(usage) = turn.and_then(|it| it.usage.as_ref()) {
            finish["messageMetadata"] = json!({ "usage": {
                "inputTokens": usage.input_tokens,
                "outputTokens": usage.output_tokens,
                "cachedInputTokens": usage.cache_read_tokens,
            } });
        }
        chunks.push(finish);
        chunks
    }

    fn input(&mut self, id: &str, name: &str, chunks: &mut Vec<Json>) {
        if self.inputs.insert(id.to_owned()) {
            self.step(chunks);
            chunks.push(json!({
                "type": "tool-input-start", "toolCallId": id, "toolName": name,
                "dynamic": true, "providerExecuted": true,
            }));
        }
    }

    fn ask(&mut self, question: &Question, chunks: &mut Vec<Json>) {
        let (id, call) = (&question.question_id, &question.tool_call_id);
        self.asked.insert(id.clone(), call.clone());
        match question.kind() {
            QuestionKind::Permission if !call.is_empty() => chunks.push(json!({
                "type": "tool-approval-request", "approvalId": id, "toolCallId": call,
                "reason": question.title,
            })),
            QuestionKind::ToolCall if !call.is_empty() => {
                self.client.insert(call.clone());
                chunks.push(json!({
                    "type": "tool-input-available", "toolCallId": call,
                    "toolName": question.tool_name, "input": parsed(&question.args_json),
                    // Said aloud: its beginning was told as that of any other tool.
                    "dynamic": true, "providerExecuted": false,
                    "providerMetadata": { "quarterdeck": { "questionId": id } },
                }));
            }
            _ => chunks.push(json!({
                "type": "data-question", "id": id,
                "data": {
                    "questionId": id, "kind": question.kind().as_str_name(),
                    "title": question.title, "url": question.url,
                    "schema": parsed(&question.schema_json),
                },
            })),
        }
    }

    fn ended(&mut self, turn: &Turn) -> Vec<Json> {
        let error = turn.error.clone().unwrap_or_default();
        match turn.state() {
            TurnState::Completed => {
                let why = match turn.stop_reason() {
                    StopReason::Length => "length",
                    _ => "stop",
                };
                self.over(why, Some(turn))
            }
            TurnState::Canceled | TurnState::Interrupted => {
                let mut chunks = vec![json!({ "type": "abort", "reason": error.reason })];
                chunks.extend(self.over("interrupted", Some(turn)));
                chunks
            }
            _ => {
                let text = format!("{}: {}", error.reason, error.message);
                let mut chunks = vec![json!({ "type": "error", "errorText": text })];
                chunks.extend(self.over("error", Some(turn)));
                chunks
            }
        }
    }
}

fn kind(holds: Holds, what: &str) -> String {
    match holds {
        Holds::Text => format!("text-{what}"),
        Holds::Thinking => format!("reasoning-{what}"),
    }
}

fn block(block: &Block, what: &str) -> Json {
    json!({ "type": kind(block.holds, what), "id": block.id })
}

impl Printer for Chunks {
    fn print(&mut self, told: Told) -> Vec<Json> {
        let mut chunks = Vec::new();
        match told {
            Told::Queued(turn, position) => {
                self.begun = true;
                chunks.push(json!({
                    "type": "start", "messageId": turn.turn_id,
                    "messageMetadata": { "turnId": turn.turn_id, "sessionKey": turn.session_key },
                }));
                chunks.push(json!({
                    "type": "data-queue", "transient": true, "data": { "position": position },
                }));
            }
            Told::Started(turn) => {
                // Who joins late begins with it.
                if !std::mem::replace(&mut self.begun, true) {
                    chunks.push(json!({ "type": "start", "messageId": turn.turn_id }));
                }
                self.step(&mut chunks);
            }
            Told::BlockStarted(it) => {
                self.step(&mut chunks);
                chunks.push(block(&it, "start"));
            }
            Told::BlockGrew(it, delta) => {
                let mut chunk = block(&it, "delta");
                chunk["delta"] = delta.into();
                chunks.push(chunk);
            }
            Told::BlockEnded(it) => chunks.push(block(&it, "end")),
            Told::TakenBack(_) => chunks.push(json!({ "type": "reset-step" })),
            Told::ToolInput { id, name, delta } => {
                self.input(&id, &name, &mut chunks);
                chunks.push(json!({
                    "type": "tool-input-delta", "toolCallId": id, "inputTextDelta": delta,
                }));
            }
            Told::ToolStarted {
                id,
                name,
                args_json,
            } => {
                self.inputs.insert(id.clone());
                self.step(&mut chunks);
                chunks.push(json!({
                    "type": "tool-input-available", "toolCallId": id, "toolName": name,
                    "input": parsed(&args_json), "dynamic": true, "providerExecuted": true,
                }));
            }
            Told::ToolUpdated { id, result_json } => chunks.push(json!({
                "type": "tool-output-available", "toolCallId": id, "preliminary": true,
                "output": parsed(&result_json), "dynamic": true, "providerExecuted": true,
            })),
            // The page gave this result itself.
            Told::ToolEnded { id, .. } if self.client.contains(&id) => self.results = true,
            Told::ToolEnded {
                id,
                result_json,
                is_error,
                ..
            } => {
                self.results = true;
                chunks.push(match is_error {
                    false => json!({
                        "type": "tool-output-available", "toolCallId": id,
                        "output": parsed(&result_json), "dynamic": true, "providerExecuted": true,
                    }),
                    true => json!({
                        "type": "tool-output-error", "toolCallId": id, "errorText": result_json,
                        "dynamic": true, "providerExecuted": true,
                    }),
                });
            }
            Told::Steered { id, text } => chunks.push(json!({
                "type": "steering-message", "id": id,
                "parts": [{ "type": "text", "text": text }],
            })),
            Told::Asked(question) => {
                self.step(&mut chunks);
                self.ask(&question, &mut chunks);
            }
            Told::Resolved(question) => {
                let call = self.asked.remove(&question.question_id).unwrap_or_default();
                let answered = question.state() == QuestionState::Answered;
                let allowed = question.answer.as_ref().is_some_and(|answer| {
                    let mut options = question.options.iter();
                    let chosen = options.find(|it| it.option_id == answer.option_id);
                    chosen.is_some_and(|it| {
                        matches!(
                            it.effect(),
                            OptionEffect::AllowOnce | OptionEffect::AllowAlways
                        )
                    })
                });
                if question.kind() == QuestionKind::Permission && answered && !call.is_empty() {
                    chunks.push(json!({
                        "type": "tool-approval-response", "approvalId": question.question_id,
                        "approved": allowed,
                    }));
                }
            }
            Told::Plan(entries) => chunks.push(json!({
                "type": "data-plan", "id": "plan",
                "data": entries.iter().map(|it| json!({
                    "text": it.text, "status": it.status().as_str_name(), "priority": it.priority,
                })).collect::<Vec<_>>(),
            })),
            Told::Usage(recorded) => {
                let usage = recorded.usage.unwrap_or_default();
                chunks.push(json!({ "type": "data-usage", "id": "usage", "data": {
                    "model": recorded.model,
                    "inputTokens": usage.input_tokens,
                    "outputTokens": usage.output_tokens,
                } }));
            }
            Told::Retry(error) => chunks.push(json!({
                "type": "data-retry", "id": "retry", "data": { "error": error },
            })),
            Told::Ended(turn) => chunks.extend(self.ended(&turn)),
        }
        chunks
    }

    fn wait(&mut self, questions: &[Question]) -> Vec<Json> {
        // Only what the SDK itself can answer may let it send again.
        let its_own = questions.iter().all(|question| {
            !question.tool_call_id.is_empty()
                && matches!(
                    question.kind(),
                    QuestionKind::Permission | QuestionKind::ToolCall
                )
        });
        self.over(if its_own { "tool-calls" } else { "interrupted" }, None)
    }

    fn fail(&mut self, problem: &Problem) -> Vec<Json> {
        let mut chunks = vec![json!({ "type": "error", "errorText": problem.line() })];
        chunks.extend(self.over("error", None));
        chunks
    }

    fn end(&self) -> Option<&'static str> {
        Some("[DONE]")
    }
}
