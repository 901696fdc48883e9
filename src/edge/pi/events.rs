//! `GET /sessions/{key}/events`: a session's stream, in the events of the source systems.
//!
//! Beyond theirs it misses nothing: durable events have an `id:`, and who comes back with `Last-Event-ID` goes on there;
//! what is being written when somebody joins comes first, in one piece. Silence is filled with comments.

use super::{Answered, Call, sessions};
use crate::{
    edge::{
        call::Answer,
        problem::Problem,
        rest,
        sse::{self, HEARTBEAT},
    },
    grpc::status,
    proto::{
        BlockKind, Cursor, GatewayEvent, Role, SubscribeRequest, TurnState, gateway_event::Kind,
    },
    wire::read::parsed,
};
use axum::body::Body;
use futures_util::stream;
use prost::Message;
use serde_json::{Value as Json, json};
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
};
use tokio::time::timeout;

/// Where a reader was.
const LAST_EVENT_ID: &str = "last-event-id";

/// A reader's stream.
struct Reader {
    answer: Answer,
    key: String,
    /// Tools that run, with what they are called.
    tools: BTreeMap<String, String>,
    ready: VecDeque<String>,
    over: bool,
}

/// Answers with the stream, or says before it that there is none.
pub(super) async fn follow(call: Call) -> Answered {
    let cursor = match call.caller.header(LAST_EVENT_ID) {
        Some(id) => Some(cursor_of(id)?),
        None => None,
    };
    let request = SubscribeRequest {
        session_key: call.key.clone(),
        cursor,
        ..SubscribeRequest::default()
    };
    let answer = call
        .caller
        .call("/quarterdeck.v1.GatewayService/Subscribe", &request)
        .await?;
    let reader = Reader {
        answer,
        key: call.key,
        tools: BTreeMap::new(),
        ready: VecDeque::new(),
        over: false,
    };
    let written = stream::unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        Some((Ok::<_, Infallible>(next), reader))
    });
    let mut response = sse::answer(Body::from_stream(written), &[]);
    response.headers_mut().extend(rest::HEADERS);
    Ok(response)
}

fn cursor_of(id: &str) -> Result<Cursor, super::Refused> {
    let parsed = id.rsplit_once(':').and_then(|(log_id, seq)| {
        Some(Cursor {
            log_id: log_id.into(),
            after_seq: seq.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| super::missing("Last-Event-ID must be the id of an event"))
}

// === impl Reader ===

impl Reader {
    /// The next write: one event, whole.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if self.over {
                return None;
            }
            match timeout(HEARTBEAT, self.answer.next()).await {
                Err(_) => return Some(":\n\n".into()),
                Ok(None) => return None,
                Ok(Some(Ok(message))) => match GatewayEvent::decode(message) {
                    Ok(event) => self.write(event),
                    Err(error) => self.fail(&Problem::of(&status::bug(&error).into())),
                },
                Ok(Some(Err(refused))) => self.fail(&Problem::of(&refused)),
            }
        }
    }

    fn fail(&mut self, problem: &Problem) {
        self.over = true;
        self.ready.push_back(match problem.is_draining() {
            true => rest::COME_BACK.into(),
            false => {
                let error = problem.line();
                let event = json!({ "type": "error", "sessionKey": self.key, "error": error });
                format!("data: {event}\n\n")
            }
        });
    }

    fn write(&mut self, event: GatewayEvent) {
        let id = (event.seq > 0).then(|| format!("{}:{}", event.log_id, event.seq));
        let events = self.told(event);
        let last = events.len().saturating_sub(1);
        for (at, mut event) in events.into_iter().enumerate() {
            event["sessionKey"] = self.key.clone().into();
            // Who comes back behind the last of them has had them all.
            let id = id.as_ref().filter(|_| at == last);
            let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
            self.ready.push_back(format!("{id}data: {event}\n\n"));
        }
    }

    fn told(&mut self, event: GatewayEvent) -> Vec<Json> {
        let Some(kind) = event.kind else {
            return Vec::new();
        };
        let token = |kind: &str, delta: &str, place: i32| {
            vec![json!({ "type": kind, "delta": delta, "contentIndex": place })]
        };
        let state = |session: Option<&crate::proto::SessionSnapshot>, kind: &str| {
            let snapshot = session.map(sessions::snapshot);
            vec![json!({ "type": kind, "snapshot": snapshot })]
        };
        match kind {
            Kind::Hello(hello) => state(hello.session.as_ref(), "hello"),
            Kind::SessionState(changed) => state(changed.session.as_ref(), "session_state"),
            Kind::SessionDeleted(_) => {
                let error = format!("Session deleted: {}", self.key);
                vec![json!({ "type": "error", "error": error })]
            }
            Kind::TurnStarted(_) => {
                self.tools.clear();
                vec![json!({ "type": "turn_start" })]
            }
            Kind::TurnEnded(ended) => {
                let turn = ended.turn.unwrap_or_default();
                let mut events = Vec::new();
                match turn.state() {
                    TurnState::Completed => {}
                    TurnState::Canceled => events.push(json!({ "type": "aborted" })),
                    _ => {
                        let error = sessions::failure(&turn);
                        events.push(json!({ "type": "error", "error": error }));
                    }
                }
                if turn.start_time.is_some() {
                    events.push(json!({ "type": "turn_end" }));
                }
                events
            }
            Kind::MessageStarted(message) => {
                let role = match message.role() {
                    Role::User => "user",
                    Role::Tool => "toolResult",
                    _ => "assistant",
                };
                vec![json!({ "type": "message_start", "role": role })]
            }
            Kind::MessageCompleted(message) if message.role() == Role::Assistant => {
                vec![json!({ "type": "message_complete", "text": message.text })]
            }
            Kind::Token(it) => token("token", &it.delta, it.content_index),
            Kind::Thinking(it) => token("thinking", &it.delta, it.content_index),
            Kind::ItemSnapshot(it) => match it.block() {
                BlockKind::Text => token("token", &it.text, it.content_index),
                BlockKind::Thinking => token("thinking", &it.text, it.content_index),
                _ => Vec::new(),
            },
            Kind::ToolStarted(tool) => {
                let (id, name) = (tool.tool_call_id, tool.tool_name);
                self.tools.insert(id.clone(), name.clone());
                vec![json!({
                    "type": "tool_start", "toolCallId": id, "toolName": name,
                    "args": parsed(&tool.args_json),
                })]
            }
            Kind::ToolUpdate(tool) => {
                let name = self.tools.get(&tool.tool_call_id);
                vec![json!({
                    "type": "tool_update", "toolCallId": tool.tool_call_id, "toolName": name,
                    "partialResult": parsed(&tool.partial_result_json),
                })]
            }
            Kind::ToolCompleted(tool) => {
                self.tools.remove(&tool.tool_call_id);
                vec![json!({
                    "type": "tool_complete", "toolCallId": tool.tool_call_id,
                    "toolName": tool.tool_name, "result": parsed(&tool.result_json),
                    "isError": tool.is_error,
                })]
            }
            _ => Vec::new(),
        }
    }
}
