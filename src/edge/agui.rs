//! AG-UI 1.0: `POST /v1/sessions/{key}/agui`, a stream of its events.
//!
//! The thread is the session, the run's id is the `request_id`: the same run again attaches to its turn. The last user's
//! message is what is sent. The `tools` of a run are such that the page runs: the run finishes where one of them is called,
//! and the next one brings its result as a message of the role `tool`. Every other question is an interrupt: the run
//! finishes with it, and the next run brings the answers in `resume`.

use super::{
    problem::Problem,
    sse::{self, Printer},
    turns::{ANSWERS_MAX, Caller, Reply, Segments},
    view::{Holds, Told, View},
};
use crate::{
    domain::Refusal,
    proto::{ClientTool, EnqueueRequest, Question, QuestionKind, Turn, TurnState},
    wire::read::parsed,
};
use axum::{body::Body, response::Response};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use tonic::Status;

/// What a client sends; other fields are passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    thread_id: String,
    run_id: String,
    #[serde(default)]
    messages: Vec<Json>,
    #[serde(default)]
    tools: Vec<PageTool>,
    #[serde(default)]
    resume: Vec<Answered>,
}

/// A tool that the page runs.
#[derive(Debug, Deserialize)]
struct PageTool {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Json,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    interrupt_id: String,
    status: String,
    #[serde(default)]
    payload: Json,
}

/// Prints a turn as AG-UI's events.
#[derive(Debug)]
pub(super) struct Events {
    thread: String,
    run: String,
    /// Calls whose beginning was told.
    calls: BTreeSet<String>,
    /// Names of the tools that the page runs.
    tools: BTreeSet<String>,
    /// Calls whose result the page gave itself.
    given: BTreeSet<String>,
}

/// Runs, or goes on with answers.
pub(super) async fn post(
    caller: Caller,
    session_key: &str,
    cancel: bool,
    body: Body,
) -> Result<Response, Status> {
    let input: Input = caller.body(body).await?;
    let events = Events {
        thread: input.thread_id.clone(),
        run: input.run_id.clone(),
        calls: BTreeSet::new(),
        tools: input.tools.iter().map(|it| it.name.clone()).collect(),
        given: BTreeSet::new(),
    };
    let first = vec![json!({
        "type": "RUN_STARTED", "threadId": input.thread_id, "runId": input.run_id,
    })];
    let last = input.messages.last().cloned().unwrap_or_default();
    if !input.resume.is_empty() || last["role"] == "tool" {
        return go_on(&caller, session_key, &input, events, first).await;
    }
    if last["role"] != "user" {
        let problem = "the last must be a user's or a tool's, or bring `resume`";
        return Err(Refusal::field("messages", problem).into());
    }
    let text = text_of(&last["content"]);
    let tools = input.tools.into_iter().map(|it| ClientTool {
        name: it.name,
        description: it.description,
        schema_json: match it.parameters {
            Json::Null => "{}".to_owned(),
            schema => schema.to_string(),
        },
    });
    let enqueue = EnqueueRequest {
        session_key: session_key.into(),
        text,
        source: "ag-ui".into(),
        request_id: input.run_id.clone(),
        client_tools: tools.collect(),
        ..EnqueueRequest::default()
    };
    let followed = caller.run(enqueue, cancel, Segments::All).await?;
    Ok(sse::stream(followed, events, first, &[]))
}

/// The text of a message.
fn text_of(content: &Json) -> String {
    match content {
        Json::String(text) => text.clone(),
        Json::Array(parts) => {
            let texts = parts.iter().filter_map(|it| it["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

async fn go_on(
    caller: &Caller,
    session_key: &str,
    input: &Input,
    mut events: Events,
    first: Vec<Json>,
) -> Result<Response, Status> {
    let resume = input.resume.iter();
    let mut answers: Vec<(String, Reply)> = resume
        .map(|it| (it.interrupt_id.clone(), reply(it)))
        .collect();
    let before = caller.session(session_key).await?;
    let results = results(&input.messages);
    if !results.is_empty() {
        // Among them are those of tools that the agent ran: nobody waits for them.
        for question in caller.pending(session_key).await? {
            let call = &question.tool_call_id;
            if let Some(result) = results.iter().find(|it| it["toolCallId"] == **call) {
                answers.push((question.question_id, tool_reply(result)));
                events.given.insert(call.clone());
            }
        }
    }
    if answers.is_empty() {
        let problem = "nobody waits for the result of such a call: the turn has ended, or it was answered before";
        return Err(Refusal::field("messages", problem).into());
    }
    if answers.len() > ANSWERS_MAX {
        let problem = format!("must be at most {ANSWERS_MAX}");
        return Err(Refusal::field("resume", problem).into());
    }
    let mut tools = Vec::new();
    let mut turn_id = String::new();
    for (question_id, reply) in &answers {
        let question = caller.answer(session_key, question_id, reply).await?;
        turn_id.clone_from(&question.turn_id);
        events.calls.insert(question.tool_call_id.clone());
        tools.push((question.tool_call_id, question.tool_name));
    }
    let view = View::resumed(&turn_id, tools);
    let from = (before.log_id.as_str(), before.head_seq);
    let followed = caller
        .follow(session_key, from, view, Segments::All)
        .await?;
    Ok(sse::stream(followed, events, first, &[]))
}

/// Results of tools that stand at the end of a history.
fn results(messages: &[Json]) -> &[Json] {
    let before = messages.iter().rposition(|it| it["role"] != "tool");
    &messages[before.map_or(0, |at| at + 1)..]
}

/// What the page says of a tool that it ran.
fn tool_reply(message: &Json) -> Reply {
    match message["error"].as_str() {
        Some(error) => Reply::Content {
            json: Json::from(error).to_string(),
            is_error: true,
        },
        None => Reply::of_tool(&text_of(&message["content"])),
    }
}

/// What an interrupt's answer says: `{"approved": true}` or `{"approved": false, "reason"?}` of a permission or a link,
/// else the content itself.
fn reply(answered: &Answered) -> Reply {
    let payload = &answered.payload;
    match (answered.status.as_str(), payload["approved"].as_bool()) {
        ("cancelled", _) => Reply::Declined,
        (_, Some(true)) => Reply::Allow,
        (_, Some(false)) => Reply::Deny(payload["reason"].as_str().unwrap_or_default().into()),
        (_, None) => Reply::Content {
            json: payload.to_string(),
            is_error: false,
        },
    }
}

// === impl Events ===

impl Events {
    fn finished(&self, outcome: &Json) -> Json {
        json!({
            "type": "RUN_FINISHED", "threadId": self.thread, "runId": self.run, "outcome": outcome,
        })
    }

    fn call(&mut self, id: &str, name: &str, events: &mut Vec<Json>) -> bool {
        let new = self.calls.insert(id.to_owned());
        if new {
            events.push(json!({
                "type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": name,
            }));
        }
        new
    }

    fn ended(&self, turn: &Turn) -> Json {
        let error = turn.error.clone().unwrap_or_default();
        match turn.state() {
            TurnState::Completed => self.finished(&json!({ "type": "success" })),
            TurnState::Canceled => self.finished(&json!({ "type": "cancelled" })),
            _ => json!({ "type": "RUN_ERROR", "message": error.message, "code": error.reason }),
        }
    }
}

fn custom(name: &str, value: Json) -> Json {
    json!({ "type": "CUSTOM", "name": format!("quarterdeck.{name}"), "value": value })
}

impl Printer for Events {
    fn print(&mut self, told: Told) -> Vec<Json> {
        let mut events = Vec::new();
        match told {
            Told::Queued(turn, position) => {
                let value = json!({ "turnId": turn.turn_id, "position": position });
                events.push(custom("turn_queued", value));
            }
            Told::Started(_) | Told::Asked(_) | Told::Resolved(_) => {}
            Told::BlockStarted(block) => match block.holds {
                Holds::Text => events.push(json!({
                    "type": "TEXT_MESSAGE_START", "messageId": block.id, "role": "assistant",
                })),
                Holds::Thinking => {
                    events.push(json!({ "type": "REASONING_START", "messageId": block.id }));
                    events.push(json!({
                        "type": "REASONING_MESSAGE_START", "messageId": block.id,
                        "role": "reasoning",
                    }));
                }
            },
            Told::BlockGrew(block, delta) => events.push(json!({
                "type": match block.holds {
                    Holds::Text => "TEXT_MESSAGE_CONTENT",
                    Holds::Thinking => "REASONING_MESSAGE_CONTENT",
                },
                "messageId": block.id, "delta": delta,
            })),
            Told::BlockEnded(block) => match block.holds {
                Holds::Text => events.push(json!({
                    "type": "TEXT_MESSAGE_END", "messageId": block.id,
                })),
                Holds::Thinking => {
                    events.push(json!({ "type": "REASONING_MESSAGE_END", "messageId": block.id }));
                    events.push(json!({ "type": "REASONING_END", "messageId": block.id }));
                }
            },
            Told::TakenBack(blocks) => {
                // The protocol takes nothing back; what is open must end before it begins again.
                for block in blocks {
                    events.extend(self.print(Told::BlockEnded(block.clone())));
                    events.push(custom("taken_back", json!({ "messageId": block.id })));
                }
            }
            Told::ToolInput { id, name, delta } => {
                self.call(&id, &name, &mut events);
                events.push(json!({ "type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": delta }));
            }
            Told::ToolStarted {
                id,
                name,
                args_json,
            } => {
                if self.call(&id, &name, &mut events) && !args_json.is_empty() {
                    events.push(json!({
                        "type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": args_json,
                    }));
                }
                events.push(json!({ "type": "TOOL_CALL_END", "toolCallId": id }));
            }
            Told::ToolUpdated { id, result_json } => {
                let value = json!({ "toolCallId": id, "result": parsed(&result_json) });
                events.push(custom("tool_update", value));
            }
            Told::ToolEnded { id, .. } if self.given.contains(&id) => {}
            Told::ToolEnded {
                id, result_json, ..
            } => events.push(json!({
                "type": "TOOL_CALL_RESULT", "messageId": format!("{id}.result"),
                "toolCallId": id, "role": "tool", "content": result_json,
            })),
            Told::Steered { id, text } => {
                events.push(json!({
                    "type": "TEXT_MESSAGE_START", "messageId": id, "role": "user",
                }));
                events.push(json!({
                    "type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": text,
                }));
                events.push(json!({ "type": "TEXT_MESSAGE_END", "messageId": id }));
            }
            Told::Plan(entries) => {
                let entries = entries
                    .iter()
                    .map(|it| json!({ "text": it.text, "status": it.status().as_str_name() }));
                events.push(json!({
                    "type": "ACTIVITY_SNAPSHOT", "messageId": "plan", "activityType": "PLAN",
                    "content": { "entries": entries.collect::<Vec<_>>() },
                }));
            }
            Told::Usage(recorded) => {
                let usage = recorded.usage.unwrap_or_default();
                let value = json!({
                    "model": recorded.model, "inputTokens": usage.input_tokens,
                    "outputTokens": usage.output_tokens,
                });
                events.push(custom("usage_recorded", value));
            }
            Told::Retry(error) => events.push(custom("retry_scheduled", json!({ "error": error }))),
            Told::Ended(turn) => events.push(self.ended(&turn)),
        }
        events
    }

    fn wait(&mut self, questions: &[Question]) -> Vec<Json> {
        let (calls, others): (Vec<&Question>, Vec<&Question>) =
            questions.iter().partition(|question| {
                question.kind() == QuestionKind::ToolCall
                    && self.tools.contains(&question.tool_name)
            });
        if others.is_empty() {
            let pending = calls.iter().map(|it| it.tool_call_id.clone());
            let pending: Vec<String> = pending.collect();
            let outcome = json!({ "type": "success", "pendingToolCallIds": pending });
            return vec![self.finished(&outcome)];
        }
        let interrupts = others.into_iter().map(|question| {
            let mut interrupt = json!({
                "id": question.question_id,
                "reason": match question.kind() {
                    QuestionKind::Permission => "tool_approval",
                    QuestionKind::ToolCall => "tool_call",
                    QuestionKind::Link => "link",
                    QuestionKind::Budget => "budget",
                    _ => "input",
                },
                "message": question.title,
            });
            if !question.tool_call_id.is_empty() {
                interrupt["toolCallId"] = question.tool_call_id.clone().into();
            }
            if !question.schema_json.is_empty() {
                interrupt["responseSchema"] = parsed(&question.schema_json);
            }
            if !question.url.is_empty() {
                interrupt["metadata"] = json!({ "url": question.url });
            }
            interrupt
        });
        let interrupts: Vec<Json> = interrupts.collect();
        vec![self.finished(&json!({ "type": "interrupt", "interrupts": interrupts }))]
    }

    fn fail(&mut self, problem: &Problem) -> Vec<Json> {
        let (message, code) = (problem.line(), problem.reason());
        vec![json!({ "type": "RUN_ERROR", "message": message, "code": code })]
    }

    fn end(&self) -> Option<&'static str> {
        None
    }
}
