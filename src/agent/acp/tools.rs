//! The tool calls of one turn, put together from what an agent tells of them in pieces and in any order.
//!
//! A call is told to the session once it runs: when its status says so, when it asks for a permission, when it gives output.
//! What it gave so far comes whole with each update (`content`) or piece by piece (`_meta.terminal_output…`, from agents that run
//! it in a terminal of their own).

use super::text;
use crate::agent::{AgentEvent, tool_output::ToolOutput};
use crate::domain::{
    event::{PlanEntry, PlanStatus},
    limits::cut,
};
use serde_json::{Map, Value, json, value::RawValue};
use std::collections::{HashMap, VecDeque};

/// Calls of a turn that may be open at a time; further ones are passed over.
const OPEN_MAX: usize = 256;
/// What is kept of the output of a call's terminal, in bytes: its beginning.
const OUTPUT_KEPT_BYTES: usize = 256 * 1024;
/// What an update shows of that output, in bytes: its end.
const OUTPUT_SHOWN_BYTES: usize = 16 * 1024;
/// Longest id and name of a call, in bytes.
const WORD_MAX_BYTES: usize = 256;
/// Calls of ended turns that are remembered, so that what comes of them late is known.
const PAST_MAX: usize = 1024;
/// Steps that are taken of a plan.
const PLAN_MAX: usize = 256;

/// The open calls, and which ones ended.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// By the agent's id, oldest first.
    open: Vec<(String, Tool)>,
    /// How often a call with this id ended.
    ended: HashMap<String, usize>,
}

/// Calls of turns that are over, newest last.
#[derive(Debug, Default)]
pub(super) struct PastCalls(VecDeque<String>);

/// What is known of a call.
#[derive(Debug, Default)]
pub(super) struct Tool {
    /// The id under which the session knows it.
    pub(super) told_id: String,
    /// Its structured name; empty where the agent gave none.
    pub(super) name: String,
    /// What the agent first called it, for people.
    label: String,
    /// What the agent calls it now, for people.
    pub(super) title: String,
    input: Value,
    content: Value,
    raw_output: Value,
    locations: Value,
    exit_code: Value,
    /// What its terminal gave.
    output: String,
    /// Bytes of all that.
    output_bytes: usize,
    /// The session knows it.
    started: bool,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Pending,
    Running,
    Completed,
    Failed,
}

// === impl Tools ===

impl Tools {
    /// Takes a `tool_call` or a `tool_call_update`; `cut` bytes are missing in its line, `stopping` says that the turn is being
    /// stopped. False where it was passed over.
    pub(super) fn hear(
        &mut self,
        update: &Value,
        cut: usize,
        stopping: bool,
        emit: &mut impl FnMut(AgentEvent),
    ) -> bool {
        let announced = update["sessionUpdate"] == "tool_call";
        let Some(at) = self.find(update, announced) else {
            return false;
        };
        let tool = &mut self.open[at].1;
        let changed = tool.merge(update);
        let status = Status::of(update);
        let runs = !matches!(status, None | Some(Status::Pending)) || !tool.output.is_empty();
        if runs {
            tool.start(emit);
        }
        if let Some(entries) = plan_of_input(&update["rawInput"]) {
            emit(AgentEvent::PlanUpdated { entries });
        }
        match status {
            Some(Status::Completed | Status::Failed) => {
                let (id, tool) = self.open.remove(at);
                let is_error = stopping || status == Some(Status::Failed);
                tool.complete(is_error, cut, emit);
                *self.ended.entry(id).or_default() += 1;
            }
            Some(Status::Pending | Status::Running) | None if changed && tool.started => {
                emit(AgentEvent::ToolUpdate {
                    tool_call_id: tool.told_id.clone(),
                    partial_result_json: tool.so_far(cut),
                });
            }
            Some(Status::Pending | Status::Running) | None => {}
        }
        true
    }

    /// The call that a permission is asked for; it is told to the session, if it was not. `None` where it names none.
    pub(super) fn asks(
        &mut self,
        call: &Value,
        emit: &mut impl FnMut(AgentEvent),
    ) -> Option<&Tool> {
        let at = self.find(call, true)?;
        let tool = &mut self.open[at].1;
        tool.merge(call);
        tool.start(emit);
        Some(tool)
    }

    /// The turn is over: what is open did not end well. Returns the ids of all its calls.
    pub(super) fn end(self, emit: &mut impl FnMut(AgentEvent)) -> Vec<String> {
        let Self { open, ended } = self;
        let mut ids: Vec<String> = ended.into_keys().collect();
        for (id, mut tool) in open {
            tool.start(emit);
            tool.complete(true, 0, emit);
            ids.push(id);
        }
        ids
    }

    /// Where a call stands, which is a new one where none of its id is open. `announced`: one of its id that ended is
    /// another one.
    fn find(&mut self, call: &Value, announced: bool) -> Option<usize> {
        let id = cut(call["toolCallId"].as_str()?, WORD_MAX_BYTES);
        if id.is_empty() {
            return None;
        }
        if let Some(at) = self.open.iter().position(|(open, _)| open == id) {
            return Some(at);
        }
        let before = self.ended.get(id).copied().unwrap_or_default();
        if before > 0 && !announced || self.open.len() >= OPEN_MAX {
            return None;
        }
        let told_id = match before {
            0 => id.to_owned(),
            before => format!("{id}#{}", before + 1),
        };
        let tool = Tool {
            told_id,
            ..Tool::default()
        };
        self.open.push((id.to_owned(), tool));
        Some(self.open.len() - 1)
    }
}

// === impl PastCalls ===

impl PastCalls {
    /// Remembers the calls of a turn that is over.
    pub(super) fn extend(&mut self, ids: Vec<String>) {
        self.0.extend(ids);
        let excess = self.0.len().saturating_sub(PAST_MAX);
        self.0.drain(..excess);
    }

    /// Whether an update is about one of them. A new call may have an old one's id.
    pub(super) fn hold(&self, update: &Value) -> bool {
        let id = update["toolCallId"].as_str().unwrap_or_default();
        let id = cut(id, WORD_MAX_BYTES);
        update["sessionUpdate"] != "tool_call" && self.0.iter().any(|past| past == id)
    }
}

// === impl Tool ===

impl Tool {
    /// Takes what an update says. True where there is more output than before.
    fn merge(&mut self, update: &Value) -> bool {
        let meta = &update["_meta"];
        let name = [&meta["claudeCode"]["toolName"], &update["name"]];
        if let Some(name) = name.into_iter().find_map(Value::as_str) {
            cut(name, WORD_MAX_BYTES).clone_into(&mut self.name);
        }
        let input = &update["rawInput"];
        if meta["is_mcp_tool_call"] == true
            && let (Some(server), Some(tool)) = (input["server"].as_str(), input["tool"].as_str())
        {
            let name = format!("mcp__{server}__{tool}");
            cut(&name, WORD_MAX_BYTES).clone_into(&mut self.name);
        }
        let title = text(&update["title"]);
        if !title.is_empty() {
            title.clone_into(&mut self.title);
        }
        if self.label.is_empty() {
            let label = [title, text(&update["kind"])];
            let label = label.into_iter().find(|it| !it.is_empty());
            self.label = cut(label.unwrap_or_default(), WORD_MAX_BYTES).to_owned();
        }
        // An empty input is one that is still being written.
        if !input.is_null() && (self.input.is_null() || *input != json!({})) {
            self.input = input.clone();
        }
        let mut changed = false;
        if let Some(content) = update["content"].as_array() {
            let content: Vec<Value> = content.iter().filter_map(shown).collect();
            let content = Value::Array(content);
            changed = !content.as_array().is_some_and(Vec::is_empty) && content != self.content;
            self.content = content;
        }
        for (field, kept) in [
            ("rawOutput", &mut self.raw_output),
            ("locations", &mut self.locations),
        ] {
            if !update[field].is_null() {
                *kept = update[field].clone();
            }
        }
        let pieces = ["terminal_output", "terminal_output_delta"];
        for piece in pieces.map(|key| text(&meta[key]["data"])) {
            let room = OUTPUT_KEPT_BYTES.saturating_sub(self.output.len());
            self.output.push_str(cut(piece, room));
            self.output_bytes = self.output_bytes.saturating_add(piece.len());
            changed |= !piece.is_empty();
        }
        let exit_code = &meta["terminal_exit"]["exit_code"];
        if !exit_code.is_null() {
            self.exit_code = exit_code.clone();
        }
        changed
    }

    /// What it runs with, as JSON text: its input, or all that the agent shows in place of it. Some agents show a command in
    /// nothing but the title.
    pub(super) fn arguments(&self) -> String {
        if !self.input.is_null() {
            return self.input.to_string();
        }
        let mut shown = Map::new();
        if !self.title.is_empty() {
            shown.insert("title".into(), self.title.clone().into());
        }
        for (name, value) in [("content", &self.content), ("locations", &self.locations)] {
            if !is_empty(value) {
                shown.insert(name.into(), value.clone());
            }
        }
        Value::Object(shown).to_string()
    }

    fn start(&mut self, emit: &mut impl FnMut(AgentEvent)) {
        if self.started {
            return;
        }
        self.started = true;
        let names = [&self.name, &self.label];
        let name = names.into_iter().find(|it| !it.is_empty());
        emit(AgentEvent::ToolStarted {
            tool_call_id: self.told_id.clone(),
            tool_name: name.map_or_else(|| "tool".into(), Clone::clone),
            args_json: self.arguments(),
        });
    }

    fn so_far(&self, cut: usize) -> String {
        let output = &self.output;
        let from = output.len().saturating_sub(OUTPUT_SHOWN_BYTES);
        let result = self.result(&output[output.ceil_char_boundary(from)..]);
        ToolOutput::partial(Some(&result), cut)
    }

    fn complete(self, is_error: bool, cut: usize, emit: &mut impl FnMut(AgentEvent)) {
        let missing = self.output_bytes - self.output.len();
        let result = self.result(&self.output);
        let ToolOutput {
            json,
            pictures,
            full_size,
        } = ToolOutput::of(Some(&result), cut.saturating_add(missing));
        emit(AgentEvent::ToolCompleted {
            tool_call_id: self.told_id,
            result_json: json,
            is_error,
            full_size,
            pictures,
        });
    }

    /// What it gave. The agent's own form of it stands only where there is no other.
    fn result(&self, output: &str) -> Box<RawValue> {
        let mut result = Map::new();
        let content = if self.content.is_null() {
            json!([])
        } else {
            self.content.clone()
        };
        if is_empty(&content) && output.is_empty() && !self.raw_output.is_null() {
            result.insert("rawOutput".into(), self.raw_output.clone());
        }
        result.insert("content".into(), content);
        if !output.is_empty() {
            result.insert("output".into(), output.into());
        }
        if !self.exit_code.is_null() {
            result.insert("exitCode".into(), self.exit_code.clone());
        }
        if !is_empty(&self.locations) {
            result.insert("locations".into(), self.locations.clone());
        }
        let json = Value::Object(result).to_string();
        RawValue::from_string(json).expect("a value writes JSON")
    }
}

// === impl Status ===

impl Status {
    /// What an update says; an unknown word is one of a call that runs.
    fn of(update: &Value) -> Option<Self> {
        Some(match update["status"].as_str()? {
            "pending" => Self::Pending,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            _ => Self::Running,
        })
    }
}

/// A part of a call's content as sessions show it. A terminal's output comes by other ways.
fn shown(part: &Value) -> Option<Value> {
    match part["type"].as_str() {
        Some("terminal") => None,
        Some("content") => Some(part["content"].clone()),
        Some(_) | None => Some(part.clone()),
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// A plan that an agent writes by a tool of its own.
fn plan_of_input(input: &Value) -> Option<Vec<PlanEntry>> {
    plan(input["todos"].as_array()?)
}

/// The steps of a plan; `None` where they are none.
pub(super) fn plan(entries: &[Value]) -> Option<Vec<PlanEntry>> {
    let entry = |entry: &Value| {
        Some(PlanEntry {
            text: entry["content"].as_str()?.to_owned(),
            status: match entry["status"].as_str() {
                Some("completed") => PlanStatus::Completed,
                Some("in_progress") => PlanStatus::InProgress,
                Some(_) | None => PlanStatus::Pending,
            },
            priority: text(&entry["priority"]).to_owned(),
        })
    };
    entries.iter().take(PLAN_MAX).map(entry).collect()
}
