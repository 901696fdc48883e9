//! A turn as the records of a response's stream, and as the response that they make in the end. Pure.
//!
//! It is always told from the turn's beginning, whoever asks for which part: so items have the same ids and places
//! however often they are told. What a reader has had already is left out.

use super::place::{Place, ResponseId, What};
use crate::{
    domain::limits::METADATA_VALUE_MAX_BYTES,
    edge::{
        openai::OWN_SESSION,
        view::{Block, Holds, Told, View},
    },
    proto::{
        GatewayEvent, Question, QuestionKind, Role, StopReason, Turn, TurnState, Usage,
        gateway_event::Kind,
    },
    wire::read::{parsed, was_removed},
};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// How names of a turn's metadata begin that say how its response was asked for.
pub(super) const OWN: &str = "openai.";
/// Says which response it was asked to follow.
pub(super) const PREVIOUS: &str = "openai.previous_response_id";
/// Says that it was asked to run in the background.
pub(super) const BACKGROUND: &str = "openai.background";
/// Says which conversation it was asked to be in.
pub(super) const CONVERSATION: &str = "openai.conversation";

/// Says what its text is: `json_object`, or `json_schema:` and a name.
pub(super) const FORMAT: &str = "openai.format";
/// Says which functions its request brought, with a number behind it.
const FUNCTIONS: &str = "openai.functions.";

/// Tells one segment of a turn.
pub(super) struct Teller {
    id: ResponseId,
    view: View,
    /// Where the reader was.
    since: Option<Place>,
    turn: Turn,
    /// Segment that is being told, to nobody before the wanted one.
    segment: usize,
    /// Whether the turn stands still until somebody answers.
    waits: bool,
    /// The segment has begun, and the agent works on it.
    created: bool,
    started: bool,
    /// Items that are whole, in their order.
    output: Vec<(usize, Json)>,
    /// Places of items that were given out.
    items: usize,
    /// Functions of its request: what calls them is told by the question alone.
    functions: BTreeSet<String>,
    /// Text is held back: the output is the text.
    by_schema: bool,
    /// Which segment was to come when each question was closed.
    closed: BTreeMap<String, usize>,
    open: BTreeMap<String, Open>,
    /// Calls that somebody was asked about before they were told.
    asked: BTreeMap<String, Asked>,
    /// Position at which the open message began, and bytes of it that were told.
    message: Option<(i64, usize)>,
    /// Records of the event that is being told.
    records: usize,
    over: Option<Json>,
}

/// An item that is not whole.
struct Open {
    index: usize,
    /// What a call is of; `None` for a block.
    name: Option<String>,
    /// Text of a block, or arguments of a call.
    text: String,
}

struct Asked {
    name: String,
    arguments: String,
    /// The request for approval; `None` where the caller runs it.
    approval: Option<String>,
}

/// A record with its number in it.
pub(super) type Record = Json;

// === impl Teller ===

impl Teller {
    /// Tells the segment that `id` names, from behind `since`.
    pub(super) fn new(id: ResponseId, since: Option<i64>) -> Self {
        Self {
            view: View::of(&id.turn_id),
            id,
            since: since.map(Place::of),
            turn: Turn::default(),
            segment: 0,
            waits: false,
            created: false,
            started: false,
            output: Vec::new(),
            items: 0,
            functions: BTreeSet::new(),
            by_schema: false,
            closed: BTreeMap::new(),
            open: BTreeMap::new(),
            asked: BTreeMap::new(),
            message: None,
            records: 0,
            over: None,
        }
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// The response as far as it was told; `turn` says how its turn is where it is not over.
    pub(super) fn response(&self, turn: &Turn) -> Json {
        match &self.over {
            Some(over) => over.clone(),
            None => self.object(turn, status_of(turn)),
        }
    }

    /// The segment that tells what came of the answer to a question; `None` where no answer was told.
    pub(super) fn segment_after(&self, question_id: &str) -> Option<usize> {
        self.closed.get(question_id).copied()
    }

    /// What an event adds.
    pub(super) fn fold(&mut self, event: GatewayEvent) -> Vec<Record> {
        if self.is_over() {
            return Vec::new();
        }
        let own = event.turn_id == self.id.turn_id;
        let seq = match event.seq {
            0 => event.after_seq,
            seq => seq,
        };
        let assistant = Role::Assistant as i32;
        let (begins, completes) = match &event.kind {
            Some(Kind::MessageStarted(it)) => (own && it.role == assistant, false),
            Some(Kind::MessageCompleted(it)) => (false, own && it.role == assistant),
            _ => (false, false),
        };
        if begins {
            self.message = Some((seq, 0));
        }
        let told = self.view.fold(event);
        let records = self.tell(told, seq);
        if completes {
            self.message = None;
        }
        records
    }

    /// A turn whose events are not kept any more, by what is known of it.
    pub(super) fn remembered(&mut self, turn: &Turn) -> Vec<Record> {
        let block = Block {
            id: format!("{}.0", turn.turn_id),
            holds: Holds::Text,
        };
        let mut told = vec![Told::Queued(Box::new(turn.clone()), 0)];
        if !turn.response_text.is_empty() {
            told.extend([
                Told::BlockStarted(block.clone()),
                Told::BlockGrew(block.clone(), turn.response_text.clone()),
                Told::BlockEnded(block),
            ]);
        }
        told.push(Told::Ended(Box::new(turn.clone())));
        self.segment = self.id.segment;
        self.tell(told, 0)
    }

    fn tell(&mut self, told: Vec<Told>, seq: i64) -> Vec<Record> {
        self.records = 0;
        let mut out = Out {
            since: self.since,
            seq,
            records: Vec::new(),
        };
        let asked: Vec<String> = told
            .iter()
            .filter_map(|it| match it {
                Told::Asked(question) => Some(question.tool_call_id.clone()),
                _ => None,
            })
            .collect();
        let ends = told.iter().any(|it| matches!(it, Told::Ended(_)));
        let resolved = told.iter().any(|it| matches!(it, Told::Resolved(_)));
        for one in told {
            match one {
                Told::ToolStarted { id, .. } if asked.contains(&id) => {}
                // Somebody was asked, and it never began.
                Told::ToolEnded { id, .. } if ends && !self.open.contains_key(&id) => {}
                other => self.one(other, &mut out),
            }
            if self.is_over() {
                break;
            }
        }
        let waits = self.waits_for_answers();
        if waits && (!self.waits || resolved) && !self.is_over() {
            self.end_segment(&mut out);
        }
        self.waits = waits;
        out.records
    }

    /// Whether it stands still, and can be answered in this protocol's words.
    fn waits_for_answers(&self) -> bool {
        let sayable =
            |it: &Question| matches!(it.kind(), QuestionKind::Permission | QuestionKind::ToolCall);
        self.view.waits() && self.view.questions().all(sayable)
    }

    fn one(&mut self, told: Told, out: &mut Out) {
        match told {
            Told::Queued(turn, _) => {
                self.is_of(*turn);
                self.create("queued", out);
            }
            Told::Started(turn) => {
                if self.turn.turn_id.is_empty() {
                    self.is_of(*turn);
                }
                self.create("in_progress", out);
                self.start(out);
            }
            // It begins with its first text; without any it is nothing to show.
            Told::BlockStarted(_) => {}
            Told::BlockGrew(block, _) if self.by_schema && block.holds == Holds::Text => {}
            Told::BlockGrew(block, delta) => self.grow(&block, &delta, out),
            Told::BlockEnded(block) => {
                if let Some(open) = self.open.remove(&block.id) {
                    self.end_block(&block, open, "completed", out);
                }
            }
            Told::TakenBack(blocks) => {
                // Nothing is taken back in this protocol: it ends incomplete, and is no part of the response.
                for block in blocks {
                    if let Some(open) = self.open.remove(&block.id) {
                        let index = open.index;
                        self.end_block(&block, open, "incomplete", out);
                        self.output.retain(|(at, _)| *at != index);
                    }
                }
                self.message = None;
            }
            Told::ToolStarted { name, .. } if self.functions.contains(&name) => {}
            Told::ToolStarted {
                id,
                name,
                args_json,
            } => self.begin_call(&id, &name, &args_json, out),
            Told::ToolEnded { id, name, .. } if self.is_callers(&id, &name) => {
                self.asked.remove(&id);
            }
            Told::ToolEnded {
                id,
                name,
                result_json,
                is_error,
            } => self.end_call(&id, &name, &result_json, is_error, out),
            Told::Asked(question) => self.ask(&question, out),
            Told::Resolved(question) => {
                self.closed.insert(question.question_id, self.segment);
            }
            Told::Ended(turn) => self.end(*turn, out),
            // Their libraries break at events that they don't know.
            Told::ToolInput { .. }
            | Told::ToolUpdated { .. }
            | Told::Steered { .. }
            | Told::Plan(_)
            | Told::Usage(_)
            | Told::Retry(_) => {}
        }
    }

    /// What its request said of it.
    fn is_of(&mut self, turn: Turn) {
        self.functions = functions_of(&turn).map(str::to_owned).collect();
        self.by_schema = turn.metadata.contains_key(FORMAT);
        self.turn = turn;
    }

    /// Whether the caller runs it: its result is the caller's own, and told by nobody else.
    fn is_callers(&self, id: &str, name: &str) -> bool {
        let asked = self.asked.get(id);
        self.functions.contains(name) || asked.is_some_and(|it| it.approval.is_none())
    }

    fn is_wanted(&self) -> bool {
        self.segment == self.id.segment
    }

    /// A record of the event itself.
    fn durable(&mut self, json: Json, out: &mut Out) {
        let bytes = self.message.map_or(0, |(_, bytes)| bytes);
        let index = self.records;
        self.records += 1;
        if self.is_wanted() {
            out.durable(json, bytes, index);
        }
    }

    fn create(&mut self, status: &str, out: &mut Out) {
        if std::mem::replace(&mut self.created, true) {
            return;
        }
        let response = self.object(&self.turn, status);
        self.durable(
            json!({ "type": "response.created", "response": response }),
            out,
        );
    }

    fn start(&mut self, out: &mut Out) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let response = self.object(&self.turn, "in_progress");
        self.durable(
            json!({ "type": "response.in_progress", "response": response }),
            out,
        );
    }

    fn place(&mut self) -> usize {
        let index = self.items;
        self.items += 1;
        index
    }

    fn begin_block(&mut self, block: &Block, out: &mut Out) {
        let index = self.place();
        let id = item_id(block);
        let open = Open {
            index,
            name: None,
            text: String::new(),
        };
        self.open.insert(block.id.clone(), open);
        let (item, part) = match block.holds {
            Holds::Text => (
                json!({
                    "id": id, "type": "message", "role": "assistant", "status": "in_progress",
                    "content": [],
                }),
                json!({
                    "type": "response.content_part.added", "item_id": id, "output_index": index,
                    "content_index": 0, "part": output_text(""),
                }),
            ),
            Holds::Thinking => (
                json!({ "id": id, "type": "reasoning", "status": "in_progress", "summary": [] }),
                json!({
                    "type": "response.reasoning_summary_part.added", "item_id": id,
                    "output_index": index, "summary_index": 0,
                    "part": { "type": "summary_text", "text": "" },
                }),
            ),
        };
        let added = json!({
            "type": "response.output_item.added", "output_index": index, "item": item,
        });
        let message = self.message;
        if self.is_wanted() {
            out.text(added, message, What::Begins(0));
            out.text(part, message, What::Begins(1));
        }
    }

    fn grow(&mut self, block: &Block, delta: &str, out: &mut Out) {
        if !self.open.contains_key(&block.id) {
            self.begin_block(block, out);
        }
        let Some(open) = self.open.get_mut(&block.id) else {
            return;
        };
        open.text.push_str(delta);
        let index = open.index;
        let before = self.message;
        if let Some((_, bytes)) = &mut self.message {
            *bytes += delta.len();
        }
        let delta = out.unseen(delta, before);
        if delta.is_empty() || !self.is_wanted() {
            return;
        }
        let id = item_id(block);
        let record = match block.holds {
            Holds::Text => json!({
                "type": "response.output_text.delta", "item_id": id, "output_index": index,
                "content_index": 0, "delta": delta, "logprobs": [],
            }),
            Holds::Thinking => json!({
                "type": "response.reasoning_summary_text.delta", "item_id": id,
                "output_index": index, "summary_index": 0, "delta": delta,
            }),
        };
        let message = self.message;
        out.text(record, message, What::Text);
    }

    fn end_block(&mut self, block: &Block, open: Open, status: &str, out: &mut Out) {
        let Open { index, text, .. } = open;
        let id = item_id(block);
        let item = match block.holds {
            Holds::Text => {
                let part = output_text(&text);
                self.durable(
                    json!({
                        "type": "response.output_text.done", "item_id": id, "output_index": index,
                        "content_index": 0, "text": text, "logprobs": [],
                    }),
                    out,
                );
                self.durable(
                    json!({
                        "type": "response.content_part.done", "item_id": id, "output_index": index,
                        "content_index": 0, "part": part,
                    }),
                    out,
                );
                json!({
                    "id": id, "type": "message", "role": "assistant", "status": status,
                    "content": [part],
                })
            }
            Holds::Thinking => {
                let part = json!({ "type": "summary_text", "text": text });
                self.durable(
                    json!({
                        "type": "response.reasoning_summary_text.done", "item_id": id,
                        "output_index": index, "summary_index": 0, "text": text,
                    }),
                    out,
                );
                self.durable(
                    json!({
                        "type": "response.reasoning_summary_part.done", "item_id": id,
                        "output_index": index, "summary_index": 0, "part": part,
                    }),
                    out,
                );
                json!({ "id": id, "type": "reasoning", "status": status, "summary": [part] })
            }
        };
        self.done(index, item, out);
    }

    /// An item is whole.
    fn done(&mut self, index: usize, item: Json, out: &mut Out) {
        self.durable(
            json!({ "type": "response.output_item.done", "output_index": index, "item": item }),
            out,
        );
        self.output.push((index, item));
    }

    fn call(&self, id: &str, name: &str, arguments: &str, status: &str) -> Json {
        json!({
            "id": format!("mcp_{id}"), "type": "mcp_call", "server_label": self.turn.agent,
            "name": name, "arguments": arguments, "status": status,
            "output": null, "error": null, "approval_request_id": null,
        })
    }

    fn begin_call(&mut self, id: &str, name: &str, arguments: &str, out: &mut Out) {
        let index = self.place();
        let item = self.call(id, name, "", "in_progress");
        let item_id = item["id"].clone();
        self.added(index, &item, out);
        self.durable(
            json!({
                "type": "response.mcp_call.in_progress", "item_id": item_id, "output_index": index,
            }),
            out,
        );
        self.durable(
            json!({
                "type": "response.mcp_call_arguments.done", "item_id": item_id,
                "output_index": index, "arguments": arguments,
            }),
            out,
        );
        let open = Open {
            index,
            name: Some(name.into()),
            text: arguments.into(),
        };
        self.open.insert(id.into(), open);
    }

    fn end_call(&mut self, id: &str, name: &str, result: &str, is_error: bool, out: &mut Out) {
        let asked = self.asked.remove(id);
        if !self.open.contains_key(id) {
            // It was asked about in a segment before, or began before the log that is kept.
            let (name, arguments) = match &asked {
                Some(asked) => (asked.name.as_str(), asked.arguments.as_str()),
                None => (name, ""),
            };
            self.begin_call(id, name, arguments, out);
        }
        let Some(open) = self.open.remove(id) else {
            return;
        };
        let status = if is_error { "failed" } else { "completed" };
        let name = open.name.as_deref().unwrap_or(name);
        let mut item = self.call(id, name, &open.text, status);
        let said = match parsed(result) {
            Json::String(text) => text,
            other => other.to_string(),
        };
        item[if is_error { "error" } else { "output" }] = said.into();
        item["approval_request_id"] = asked.and_then(|it| it.approval).into();
        self.durable(
            json!({
                "type": format!("response.mcp_call.{status}"), "item_id": item["id"],
                "output_index": open.index,
            }),
            out,
        );
        self.done(open.index, item, out);
    }

    fn ask(&mut self, question: &Question, out: &mut Out) {
        let arguments = match question.args_json.as_str() {
            "" => "{}",
            arguments => arguments,
        };
        let name = match question.tool_name.as_str() {
            "" => question.title.as_str(),
            name => name,
        };
        let (id, item) = match question.kind() {
            QuestionKind::Permission => {
                let id = self.id_of("mcpr_", question);
                let item = json!({
                    "id": id, "type": "mcp_approval_request", "name": name,
                    "server_label": self.turn.agent, "arguments": arguments,
                });
                (Some(id), item)
            }
            QuestionKind::ToolCall => {
                let item = json!({
                    "id": format!("fc_{}", question.question_id), "type": "function_call",
                    "call_id": self.id_of("call_", question), "name": name,
                    "arguments": arguments, "status": "completed",
                });
                (None, item)
            }
            // It waits for somebody who answers elsewhere.
            _ => return,
        };
        if !question.tool_call_id.is_empty() {
            // A call that began is told again with its end, in the segment after the answer.
            if let Some(open) = self.open.remove(&question.tool_call_id)
                && let Some(name) = &open.name
            {
                let item = self.call(&question.tool_call_id, name, &open.text, "incomplete");
                self.done(open.index, item, out);
                self.output.retain(|(at, _)| *at != open.index);
            }
            let asked = Asked {
                name: name.into(),
                arguments: arguments.into(),
                approval: id,
            };
            self.asked.insert(question.tool_call_id.clone(), asked);
        }
        match item["type"] == "function_call" {
            true => self.call_function(item, arguments, out),
            false => {
                let index = self.place();
                self.added(index, &item, out);
                self.done(index, item, out);
            }
        }
    }

    /// What the caller is to run. Its arguments come in one piece: they are whole when it is asked.
    fn call_function(&mut self, item: Json, arguments: &str, out: &mut Out) {
        let index = self.place();
        let mut begun = item.clone();
        (begun["arguments"], begun["status"]) = ("".into(), "in_progress".into());
        self.added(index, &begun, out);
        let item_id = item["id"].clone();
        self.durable(
            json!({
                "type": "response.function_call_arguments.delta", "item_id": item_id,
                "output_index": index, "delta": arguments,
            }),
            out,
        );
        self.durable(
            json!({
                "type": "response.function_call_arguments.done", "item_id": item_id,
                "output_index": index, "name": item["name"], "arguments": arguments,
            }),
            out,
        );
        self.done(index, item, out);
    }

    /// The output, as the only text.
    fn say_output(&mut self, output: &str, out: &mut Out) {
        let index = self.place();
        let id = format!("msg_{}.output", self.id.turn_id);
        let mut item = json!({
            "id": id, "type": "message", "role": "assistant", "status": "in_progress",
            "content": [],
        });
        self.added(index, &item, out);
        let part = output_text(output);
        for (kind, name, value) in [
            ("response.content_part.added", "part", output_text("")),
            ("response.output_text.delta", "delta", output.into()),
            ("response.output_text.done", "text", output.into()),
            ("response.content_part.done", "part", part.clone()),
        ] {
            let mut record = json!({
                "type": kind, "item_id": id, "output_index": index, "content_index": 0,
            });
            if !kind.starts_with("response.content_part") {
                record["logprobs"] = json!([]);
            }
            record[name] = value;
            self.durable(record, out);
        }
        (item["status"], item["content"]) = ("completed".into(), json!([part]));
        self.done(index, item, out);
    }

    /// An item begins.
    fn added(&mut self, index: usize, item: &Json, out: &mut Out) {
        self.durable(
            json!({ "type": "response.output_item.added", "output_index": index, "item": item }),
            out,
        );
    }

    /// The id of what is asked, in this protocol. It names the session where a request made that for itself: its libraries
    /// may say nothing else of where they were.
    fn id_of(&self, prefix: &str, question: &Question) -> String {
        let id = &question.question_id;
        match self.id.session_key.strip_prefix(OWN_SESSION) {
            Some(own) => format!("{prefix}{id}_{own}"),
            None => format!("{prefix}{id}"),
        }
    }

    /// The turn waits: this response is complete, and the next begins.
    fn end_segment(&mut self, out: &mut Out) {
        if self.is_wanted() {
            let response = self.object(&self.turn, "completed");
            self.durable(
                json!({ "type": "response.completed", "response": response }),
                out,
            );
            self.over = Some(response);
            return;
        }
        self.segment += 1;
        self.output.clear();
        self.items = 0;
        (self.created, self.started) = (false, false);
        self.create("in_progress", out);
        self.start(out);
    }

    fn end(&mut self, turn: Turn, out: &mut Out) {
        // It may end before the segment that was asked for: nothing more comes of it.
        self.segment = self.segment.max(self.id.segment);
        let before = std::mem::take(&mut self.turn);
        self.turn = Turn {
            metadata: before.metadata,
            create_time: before.create_time.or(turn.create_time),
            agent: before.agent,
            model: match turn.model.is_empty() {
                true => before.model,
                false => turn.model,
            },
            ..turn
        };
        let status = status_of(&self.turn);
        self.create(status, out);
        if self.by_schema && !self.turn.output_json.is_empty() {
            let output = std::mem::take(&mut self.turn.output_json);
            self.say_output(&output, out);
        }
        let response = self.object(&self.turn, status);
        let kind = match status {
            "completed" => "response.completed",
            "incomplete" => "response.incomplete",
            // The protocol has no event for what was cancelled.
            _ => "response.failed",
        };
        self.durable(json!({ "type": kind, "response": response }), out);
        self.over = Some(response);
    }

    /// The response object, with every key that readers of the open specification ask for.
    fn object(&self, turn: &Turn, status: &str) -> Json {
        let mut output = self.output.clone();
        output.sort_by_key(|(index, _)| *index);
        let output: Vec<Json> = output.into_iter().map(|(_, item)| item).collect();
        let seconds = |time: Option<&prost_types::Timestamp>| time.map(|it| it.seconds);
        let said = |name: &str| turn.metadata.get(name);
        let metadata: Map<String, Json> = turn
            .metadata
            .iter()
            .filter(|(name, _)| !name.starts_with(OWN))
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        let failed = matches!(status, "failed" | "cancelled");
        let error = turn.error.as_ref().filter(|_| failed);
        let error = error.map(|it| json!({ "code": it.reason, "message": it.message }));
        let incomplete = (status == "incomplete").then(|| json!({ "reason": "max_output_tokens" }));
        let model = match turn.model.is_empty() {
            true => turn.agent.clone(),
            false => format!("{}/{}", turn.agent, turn.model),
        };
        json!({
            "id": self.id.to_string(), "object": "response", "status": status, "model": model,
            "created_at": seconds(turn.create_time.as_ref()).unwrap_or_default(),
            "completed_at": seconds(turn.end_time.as_ref()),
            "background": said(BACKGROUND).is_some(),
            "previous_response_id": said(PREVIOUS),
            "conversation": said(CONVERSATION).map(|id| json!({ "id": id })),
            "metadata": metadata, "output": output, "error": error,
            "incomplete_details": incomplete,
            "usage": turn.usage.as_ref().filter(|_| turn.end_time.is_some()).map(usage),
            "instructions": null, "max_output_tokens": null, "max_tool_calls": null,
            "parallel_tool_calls": true, "prompt_cache_key": null, "store": true,
            "reasoning": { "effort": null, "summary": null }, "safety_identifier": null,
            "service_tier": "default", "temperature": 1, "top_p": 1, "top_logprobs": 0,
            "presence_penalty": 0, "frequency_penalty": 0, "truncation": "disabled",
            "text": { "format": format_of(turn) }, "tool_choice": "auto", "tools": tools_of(turn),
            "user": null,
        })
    }
}

/// What a reader is given of one event.
struct Out {
    since: Option<Place>,
    seq: i64,
    records: Vec<Record>,
}

// === impl Out ===

impl Out {
    fn push(&mut self, mut json: Json, place: Place) {
        json["sequence_number"] = place.number().into();
        self.records.push(json);
    }

    fn durable(&mut self, json: Json, bytes: usize, index: usize) {
        let seen = self.since.is_some_and(|since| match since.what {
            _ if self.seq != since.seq => self.seq < since.seq,
            What::Durable(last) => index <= last,
            What::Text => bytes < since.bytes,
            What::Begins(_) => bytes <= since.bytes,
        });
        if !seen {
            let place = Place {
                seq: self.seq,
                bytes,
                what: What::Durable(index),
            };
            self.push(json, place);
        }
    }

    /// A record of the open message's text; `message` says where that began and how much was told with the record.
    fn text(&mut self, json: Json, message: Option<(i64, usize)>, what: What) {
        let bytes = message.map_or(0, |(_, bytes)| bytes);
        let seen = self.since.is_some_and(|since| {
            self.seq < since.seq
                || self.goes_on(since, message) && (bytes, what) <= (since.bytes, since.what)
        });
        if !seen {
            let seq = self.seq;
            self.push(json, Place { seq, bytes, what });
        }
    }

    /// What of a text the reader does not have; `before` is what was told of its message before.
    fn unseen<'d>(&self, delta: &'d str, before: Option<(i64, usize)>) -> &'d str {
        let Some(since) = self.since else {
            return delta;
        };
        if self.seq < since.seq {
            return "";
        }
        let told = before.map_or(0, |(_, bytes)| bytes);
        match self.goes_on(since, before) && told < since.bytes {
            true => delta.get(since.bytes - told..).unwrap_or_default(),
            false => delta,
        }
    }

    /// Whether the message was open at the reader's place.
    fn goes_on(&self, since: Place, message: Option<(i64, usize)>) -> bool {
        message.is_some_and(|(began, _)| began <= since.seq)
    }
}

/// Names of functions as metadata: each value as long as one may be.
pub(super) fn functions<'n>(
    names: impl Iterator<Item = &'n str>,
) -> impl Iterator<Item = (String, String)> {
    let mut values: Vec<String> = Vec::new();
    for name in names {
        match values.last_mut() {
            Some(last) if last.len() + 1 + name.len() <= METADATA_VALUE_MAX_BYTES => {
                last.push(',');
                last.push_str(name);
            }
            Some(_) | None => values.push(name.to_owned()),
        }
    }
    let values = values.into_iter().enumerate();
    values.map(|(number, value)| (format!("{FUNCTIONS}{number}"), value))
}

/// The functions that a turn's request brought.
fn functions_of(turn: &Turn) -> impl Iterator<Item = &str> {
    let values = turn.metadata.iter();
    let values = values.filter(|(name, _)| name.starts_with(FUNCTIONS));
    values.flat_map(|(_, value)| value.split(','))
}

/// They are named; what they take is not kept.
fn tools_of(turn: &Turn) -> Json {
    let mut names: Vec<&str> = functions_of(turn).collect();
    names.sort_unstable();
    let tools = names.into_iter().map(|name| {
        json!({
            "type": "function", "name": name, "description": null, "parameters": null,
            "strict": null,
        })
    });
    tools.collect()
}

/// What the text is; its schema is not kept.
fn format_of(turn: &Turn) -> Json {
    match turn.metadata.get(FORMAT).map(|it| it.split_once(':')) {
        None => json!({ "type": "text" }),
        Some(None) => json!({ "type": "json_object" }),
        Some(Some((kind, name))) => json!({ "type": kind, "name": name, "schema": null }),
    }
}

fn item_id(block: &Block) -> String {
    match block.holds {
        Holds::Text => format!("msg_{}", block.id),
        Holds::Thinking => format!("rs_{}", block.id),
    }
}

fn output_text(text: &str) -> Json {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

/// How a response is whose turn is so.
pub(super) fn status_of(turn: &Turn) -> &'static str {
    match turn.state() {
        TurnState::Scheduled | TurnState::Queued | TurnState::Unspecified => "queued",
        TurnState::Running | TurnState::WaitingInput | TurnState::Canceling => "in_progress",
        TurnState::Completed if turn.stop_reason() == StopReason::Length => "incomplete",
        TurnState::Completed => "completed",
        TurnState::Canceled => "cancelled",
        // It was stopped before it began.
        TurnState::Rejected if was_removed(turn) => "cancelled",
        TurnState::Failed | TurnState::Interrupted | TurnState::Rejected | TurnState::Expired => {
            "failed"
        }
    }
}

/// Tokens as OpenAI counts them: those from caches are part of the input's.
fn usage(usage: &Usage) -> Json {
    let input = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    json!({
        "input_tokens": input, "output_tokens": usage.output_tokens,
        "total_tokens": input + usage.output_tokens,
        "input_tokens_details": { "cached_tokens": usage.cache_read_tokens },
        "output_tokens_details": { "reasoning_tokens": 0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;
    use proptest::prelude::*;
    use uuid::Uuid;

    /// What happens in a turn, one after the other.
    #[derive(Clone, Debug)]
    enum Step {
        /// A message: whether it begins by thinking, and what it says, piece by piece.
        Message(bool, Vec<String>),
        Tool(bool),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let pieces = prop::collection::vec("[a-zé€]{1,5}", 1..5);
        let step = prop_oneof![
            (any::<bool>(), pieces).prop_map(|(thinks, pieces)| Step::Message(thinks, pieces)),
            any::<bool>().prop_map(Step::Tool),
        ];
        prop::collection::vec(step, 0..5)
    }

    /// The turn's events as they happen; deltas have no position.
    fn events(id: &ResponseId, steps: &[Step]) -> Vec<GatewayEvent> {
        let mut all: Vec<GatewayEvent> = Vec::new();
        let mut seq = 0;
        let mut push = |item: usize, durable: bool, kind: Kind| {
            seq += i64::from(durable);
            all.push(GatewayEvent {
                turn_id: id.turn_id.clone(),
                item_id: format!("i{item}"),
                seq: if durable { seq } else { 0 },
                after_seq: if durable { 0 } else { seq },
                kind: Some(kind),
                ..GatewayEvent::default()
            });
        };
        let turn = |state: TurnState| {
            Some(Turn {
                turn_id: id.turn_id.clone(),
                agent: "echo".into(),
                state: state.into(),
                ..Turn::default()
            })
        };
        let queued = proto::TurnQueued {
            turn: turn(TurnState::Queued),
            queue_position: 0,
        };
        push(0, true, Kind::TurnQueued(queued));
        let running = turn(TurnState::Running);
        push(
            0,
            true,
            Kind::TurnStarted(proto::TurnStarted { turn: running }),
        );
        for (item, step) in steps.iter().enumerate() {
            match step {
                Step::Message(thinks, pieces) => {
                    let role = Role::Assistant.into();
                    let started = proto::MessageStarted {
                        role,
                        ..Default::default()
                    };
                    push(item, true, Kind::MessageStarted(started));
                    let place = i32::from(*thinks);
                    if *thinks {
                        let thinking = proto::Thinking {
                            delta: "hm".into(),
                            ..Default::default()
                        };
                        push(item, false, Kind::Thinking(thinking));
                        let whole = proto::ThinkingCompleted {
                            text: "hm".into(),
                            ..Default::default()
                        };
                        push(item, true, Kind::ThinkingCompleted(whole));
                    }
                    let mut text = String::new();
                    for delta in pieces {
                        let token = proto::Token {
                            delta: delta.clone(),
                            content_index: place,
                            offset: i64::try_from(text.len()).unwrap(),
                        };
                        push(item, false, Kind::Token(token));
                        text.push_str(delta);
                    }
                    let block = proto::MessageBlock {
                        content_index: place,
                        text: text.clone(),
                    };
                    let completed = proto::MessageCompleted {
                        role,
                        text,
                        blocks: vec![block],
                        ..Default::default()
                    };
                    push(item, true, Kind::MessageCompleted(completed));
                }
                Step::Tool(is_error) => {
                    let tool_call_id = format!("c{item}");
                    let started = proto::ToolStarted {
                        tool_call_id: tool_call_id.clone(),
                        tool_name: "bash".into(),
                        args_json: "{}".into(),
                        ..Default::default()
                    };
                    push(item, true, Kind::ToolStarted(started));
                    let completed = proto::ToolCompleted {
                        tool_call_id,
                        tool_name: "bash".into(),
                        result_json: "1".into(),
                        is_error: *is_error,
                        ..Default::default()
                    };
                    push(item, true, Kind::ToolCompleted(completed));
                }
            }
        }
        let ended = proto::TurnEnded {
            turn: turn(TurnState::Completed),
            ..Default::default()
        };
        push(0, true, Kind::TurnEnded(ended));
        all
    }

    fn told(id: &ResponseId, events: &[GatewayEvent], since: Option<i64>) -> Vec<Record> {
        let mut teller = Teller::new(id.clone(), since);
        let events = events.iter().cloned();
        let records = events.flat_map(|it| teller.fold(it)).collect();
        assert!(teller.is_over());
        records
    }

    fn number(record: &Record) -> i64 {
        record["sequence_number"].as_i64().unwrap()
    }

    /// What a reader makes of records: each item's text, and everything but text in its order.
    fn read(records: &[Record]) -> (BTreeMap<String, String>, Vec<String>) {
        let (mut texts, mut others) = (BTreeMap::<String, String>::new(), Vec::new());
        for record in records {
            match record["delta"].as_str() {
                Some(delta) => {
                    let id = record["item_id"].as_str().unwrap_or_default();
                    texts.entry(id.into()).or_default().push_str(delta);
                }
                None => {
                    let mut record = record.clone();
                    // A place is told otherwise where deltas are gone; what stands at it is not.
                    record.as_object_mut().unwrap().remove("sequence_number");
                    others.push(record.to_string());
                }
            }
        }
        (texts, others)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Wherever a stream is cut, and whether what comes then is told from the log or as it happens, it is the rest.
        #[test]
        fn a_stream_goes_on_behind_every_number(steps in steps()) {
            let id = ResponseId {
                turn_id: Uuid::now_v7().to_string(),
                segment: 0,
                session_key: "s".into(),
            };
            let live = events(&id, &steps);
            let kept: Vec<GatewayEvent> = live.iter().filter(|it| it.seq > 0).cloned().collect();
            let all = told(&id, &live, None);
            let numbers: Vec<i64> = all.iter().map(number).collect();
            prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
            prop_assert_eq!(read(&told(&id, &kept, None)), read(&all));
            for cut in 1..all.len() {
                let last = Some(number(&all[cut - 1]));
                for events in [&live, &kept] {
                    let mut joined = all[..cut].to_vec();
                    joined.extend(told(&id, events, last));
                    prop_assert_eq!(read(&joined), read(&all), "behind {}", all[cut - 1].clone());
                }
            }
            let again = told(&id, &kept, None);
            for cut in 1..again.len() {
                let mut joined = again[..cut].to_vec();
                joined.extend(told(&id, &kept, Some(number(&again[cut - 1]))));
                prop_assert_eq!(read(&joined), read(&all), "behind {}", again[cut - 1].clone());
            }
        }
    }
}
