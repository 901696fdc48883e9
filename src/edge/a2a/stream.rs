//! A turn as the updates of a task: the task first, then how it is and what it says.
//!
//! What the agent says is one artifact, `response`: the text of its newest message, which grows piece by piece, and begins
//! anew with the next message. So what a client has in the end is what GetTask says.

use super::Fault;
use crate::{
    edge::{
        sse::{self, HEARTBEAT},
        turns::Followed,
        view::{Holds, Told},
    },
    proto::{Turn, TurnState},
    wire::a2a::{self, TaskId},
};
use axum::{body::Body, response::Response};
use futures_util::stream;
use serde_json::{Value as Json, json};
use std::{collections::VecDeque, convert::Infallible};
use tokio::time::timeout;

/// How updates are written.
pub(super) enum Wrapping {
    /// As results of the JSON-RPC request with this id.
    JsonRpc(Json),
    /// As they are.
    Bare,
}

/// A task while it is followed.
pub(super) struct Stream {
    followed: Followed,
    task: TaskId,
    turn: Turn,
    /// The task was told.
    begun: bool,
    /// What `response` holds.
    text: String,
    /// The block of it that grows.
    block: String,
    over: bool,
}

// === impl Stream ===

impl Stream {
    /// Follows a turn from its beginning.
    pub(super) fn new(followed: Followed, task: TaskId) -> Self {
        Self {
            followed,
            task,
            turn: Turn::default(),
            begun: false,
            text: String::new(),
            block: String::new(),
            over: false,
        }
    }

    pub(super) fn answer(self: Box<Self>, wrapping: Wrapping) -> Response {
        let state = (self, wrapping, VecDeque::new());
        let written = stream::unfold(state, |(mut stream, wrapping, mut ready)| async move {
            loop {
                if let Some(event) = ready.pop_front() {
                    return Some((Ok::<_, Infallible>(event), (stream, wrapping, ready)));
                }
                let updates = match timeout(HEARTBEAT, stream.next()).await {
                    Err(_) => return Some((Ok(":\n\n".to_owned()), (stream, wrapping, ready))),
                    Ok(None) => return None,
                    Ok(Some(Ok(updates))) => updates,
                    Ok(Some(Err(fault))) => {
                        ready.push_back(match &wrapping {
                            Wrapping::JsonRpc(id) => format!("data: {}\n\n", fault.as_rpc(id)),
                            Wrapping::Bare => {
                                format!("event: error\ndata: {}\n\n", fault.as_http())
                            }
                        });
                        Vec::new()
                    }
                };
                ready.extend(updates.iter().map(|update| match &wrapping {
                    Wrapping::JsonRpc(id) => {
                        let result = json!({ "jsonrpc": "2.0", "id": id, "result": update });
                        format!("data: {result}\n\n")
                    }
                    Wrapping::Bare => format!("data: {update}\n\n"),
                }));
            }
        });
        sse::answer(Body::from_stream(written), &[])
    }

    /// What is new; `None` at its end.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<Json>, Fault>> {
        if self.over {
            return None;
        }
        Some(match self.followed.next().await {
            Some(Ok(told)) => Ok(self.print(told)),
            None => {
                self.over = true;
                let questions = self.followed.questions();
                let status = json!({
                    "state": "TASK_STATE_INPUT_REQUIRED",
                    "message": a2a::asks(&self.task, &questions),
                });
                Ok(vec![self.status(&status)])
            }
            Some(Err(refused)) => {
                self.over = true;
                Err(refused.into())
            }
        })
    }

    fn status(&self, status: &Json) -> Json {
        a2a::status_update(&self.task, status)
    }

    /// A piece of `response`, behind what there is or in its place.
    fn artifact(&self, text: &str, append: bool) -> Json {
        json!({ "artifactUpdate": {
            "taskId": self.task.to_string(), "contextId": self.task.session_key,
            "artifact": { "artifactId": a2a::RESPONSE, "parts": [{ "text": text }] },
            "append": append, "lastChunk": false,
        } })
    }

    fn begin(&mut self, turn: Turn, updates: &mut Vec<Json>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        self.turn = turn;
        let task = a2a::task(&self.task, &self.turn, &[], None, false);
        updates.push(json!({ "task": task }));
    }

    fn print(&mut self, told: Told) -> Vec<Json> {
        let mut updates = Vec::new();
        match told {
            Told::Queued(turn, _) => self.begin(*turn, &mut updates),
            Told::Started(turn) => {
                self.begin(*turn, &mut updates);
                updates.push(self.status(&json!({ "state": "TASK_STATE_WORKING" })));
            }
            Told::BlockStarted(block) if block.holds == Holds::Text => {
                self.block = block.id;
                self.text.clear();
            }
            Told::BlockGrew(block, delta) if block.holds == Holds::Text => {
                let append = block.id == self.block && !self.text.is_empty();
                self.text.push_str(&delta);
                updates.push(self.artifact(&delta, append));
            }
            Told::Ended(turn) => {
                self.over = true;
                let turn = *turn;
                let whole = !turn.response_text_truncated;
                if whole && turn.response_text != self.text && !turn.response_text.is_empty() {
                    updates.push(self.artifact(&turn.response_text, false));
                }
                if !self.begun {
                    self.begin(turn.clone(), &mut updates);
                }
                updates.push(self.status(&a2a::status(&self.task, &turn, &[])));
            }
            // What was told of `response` is told anew, in its place. Thinking, tools and plans are the agent's own.
            Told::TakenBack(_)
            | Told::BlockStarted(_)
            | Told::BlockGrew(..)
            | Told::BlockEnded(_)
            | Told::ToolInput { .. }
            | Told::ToolStarted { .. }
            | Told::ToolUpdated { .. }
            | Told::ToolEnded { .. }
            | Told::Steered { .. }
            | Told::Asked(_)
            | Told::Plan(_)
            | Told::Usage(_)
            | Told::Retry(_) => {}
            // It was told to wait, and goes on.
            Told::Resolved(_) => {
                if self.turn.state() != TurnState::Unspecified {
                    updates.push(self.status(&json!({ "state": "TASK_STATE_WORKING" })));
                }
            }
        }
        updates
    }
}
