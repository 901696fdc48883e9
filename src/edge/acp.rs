//! A session's events as an editor hears them by the Agent Client Protocol, version 1, and what it answers. Pure:
//! `quarterdeck acp` has the connection to either side.
//!
//! What the agent says and thinks comes as chunks, each with the id of its message; calls of tools have ids that are their
//! own in the whole session. Nothing can be taken back in this protocol: what a retry says anew is another message. A
//! PERMISSION is `session/request_permission`; a FORM and a LINK are elicitations, for editors that can show them. What the
//! protocol has no words for (TOOL_CALL, BUDGET, usage, sub-agents) is left to other clients.

use super::view::{Block, Holds, Told, View};
use crate::{
    domain::question::DONE,
    proto::{
        Answer, GatewayEvent, Message, OptionEffect, PlanEntry, PlanStatus, Question, QuestionKind,
        Role, StopReason, ToolCallPart, ToolCallState, Turn, TurnState, gateway_event::Kind,
        message_part::Part,
    },
    wire::read::{parsed, was_removed},
};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// Kinds that editors have pictures for, of the tools that are called so.
const TOOL_KINDS: [(&str, &[&str]); 5] = [
    ("execute", &["bash", "shell", "execute", "terminal"]),
    ("read", &["read", "cat", "view"]),
    ("edit", &["edit", "write", "patch", "apply_patch"]),
    ("search", &["grep", "find", "glob", "ls", "search"]),
    ("fetch", &["fetch", "web_fetch", "webfetch"]),
];

/// Tells the turns of a session, one each.
pub struct Printer {
    turn_id: String,
    view: View,
    /// The editor shows the prompt already.
    is_shown: bool,
    /// How often text of a message was taken back.
    retold: BTreeMap<String, usize>,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A `session/update`.
    Update(Json),
    /// Somebody is asked.
    Asked(Box<Question>),
    /// Nobody's answer is waited for any more, by the question's id.
    Closed(String),
    /// The turn is over.
    Ended(Box<Turn>),
}

/// What of an editor's can show questions besides permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elicits {
    /// It shows forms.
    pub form: bool,
    /// It opens links.
    pub link: bool,
}

// === impl Printer ===

impl Printer {
    /// Tells a turn. `is_shown`: its prompt is the editor's own, and not told again.
    pub fn of(turn_id: &str, is_shown: bool) -> Self {
        Self {
            turn_id: turn_id.to_owned(),
            view: View::of(turn_id),
            is_shown,
            retold: BTreeMap::new(),
        }
    }

    /// The turn that it tells.
    pub fn turn_id(&self) -> &str {
        &self.turn_id
    }

    /// What an event adds.
    pub fn fold(&mut self, event: GatewayEvent) -> Vec<Said> {
        let mut said = Vec::new();
        // A user's message is whole at once.
        if let Some(Kind::MessageStarted(message)) = &event.kind
            && message.role() == Role::User
            && event.turn_id == self.turn_id
            && !std::mem::take(&mut self.is_shown)
        {
            let chunk = chunk("user_message_chunk", &event.item_id, &message.text);
            said.push(Said::Update(chunk));
        }
        let told = self.view.fold(event);
        let asked: BTreeSet<String> = told
            .iter()
            .filter_map(|it| match it {
                Told::Asked(question) => Some(question.tool_call_id.clone()),
                _ => None,
            })
            .collect();
        for one in told {
            self.print(one, &asked, &mut said);
        }
        said
    }

    fn print(&mut self, told: Told, asked: &BTreeSet<String>, said: &mut Vec<Said>) {
        let update = match told {
            Told::BlockGrew(block, delta) => match block.holds {
                Holds::Text => chunk("agent_message_chunk", &self.message_of(&block), &delta),
                Holds::Thinking => chunk("agent_thought_chunk", &block.id, &delta),
            },
            Told::TakenBack(blocks) => {
                for block in blocks {
                    *self.retold.entry(item_of(&block).to_owned()).or_default() += 1;
                }
                return;
            }
            Told::ToolStarted {
                id,
                name,
                args_json,
            } => {
                let status = match asked.contains(&id) {
                    true => "pending",
                    false => "in_progress",
                };
                let mut call = call(&self.turn_id, &id, &name, &args_json);
                call["sessionUpdate"] = "tool_call".into();
                call["status"] = status.into();
                call
            }
            Told::ToolUpdated { id, result_json } => json!({
                "sessionUpdate": "tool_call_update", "toolCallId": call_id(&self.turn_id, &id),
                "status": "in_progress", "content": content(&result_json),
            }),
            Told::ToolEnded {
                id,
                name: _,
                result_json,
                is_error,
            } => json!({
                "sessionUpdate": "tool_call_update", "toolCallId": call_id(&self.turn_id, &id),
                "status": if is_error { "failed" } else { "completed" },
                "content": content(&result_json), "rawOutput": parsed(&result_json),
            }),
            Told::Plan(entries) => plan(&entries),
            Told::Asked(question) => {
                // A policy answers it in the same moment.
                if question.policy_rule.is_empty() {
                    said.push(Said::Asked(question));
                }
                return;
            }
            Told::Resolved(question) => {
                let runs = question.kind() == QuestionKind::Permission && is_allowed(&question);
                if runs && !question.tool_call_id.is_empty() {
                    said.push(Said::Update(json!({
                        "sessionUpdate": "tool_call_update", "status": "in_progress",
                        "toolCallId": call_id(&self.turn_id, &question.tool_call_id),
                    })));
                }
                said.push(Said::Closed(question.question_id));
                return;
            }
            Told::Ended(turn) => {
                said.push(Said::Ended(turn));
                return;
            }
            // A user message follows what was steered.
            Told::Queued(..)
            | Told::Started(_)
            | Told::BlockStarted(_)
            | Told::BlockEnded(_)
            | Told::ToolInput { .. }
            | Told::Steered { .. }
            | Told::Usage(_)
            | Told::Retry(_) => return,
        };
        said.push(Said::Update(update));
    }

    fn message_of(&self, block: &Block) -> String {
        let item = item_of(block);
        match self.retold.get(item) {
            Some(times) => format!("{item}.{times}"),
            None => item.to_owned(),
        }
    }
}

fn item_of(block: &Block) -> &str {
    block.id.rsplit_once('.').map_or("", |(item, _)| item)
}

/// Calls are told apart in their turn alone; an editor tells them apart in the session.
fn call_id(turn_id: &str, tool_call_id: &str) -> String {
    format!("{turn_id}:{tool_call_id}")
}

fn chunk(kind: &str, message_id: &str, text: &str) -> Json {
    json!({
        "sessionUpdate": kind, "messageId": message_id, "content": { "type": "text", "text": text },
    })
}

fn call(turn_id: &str, id: &str, name: &str, args_json: &str) -> Json {
    let kind = TOOL_KINDS
        .iter()
        .find(|(_, names)| names.contains(&name.to_ascii_lowercase().as_str()));
    json!({
        "toolCallId": call_id(turn_id, id), "title": name, "rawInput": parsed(args_json),
        "kind": kind.map_or("other", |(kind, _)| kind),
    })
}

/// What a tool gave, as an editor shows it: the texts, pictures and changes of files in it, else all of it as text.
fn content(result_json: &str) -> Vec<Json> {
    let result = parsed(result_json);
    let parts = match &result {
        Json::Array(parts) => Some(parts),
        other => other["content"].as_array(),
    };
    let mut shown: Vec<Json> = parts.into_iter().flatten().filter_map(part).collect();
    if let Some(output) = result["output"].as_str().filter(|it| !it.is_empty()) {
        shown.push(shown_text(output));
    }
    if shown.is_empty() {
        match &result {
            Json::Null => {}
            Json::String(text) => shown.push(shown_text(text)),
            other => shown.push(shown_text(&other.to_string())),
        }
    }
    shown
}

fn part(part: &Json) -> Option<Json> {
    match part["type"].as_str()? {
        "text" => part["text"].as_str().map(shown_text),
        "image" if part["data"].is_string() && part["mimeType"].is_string() => Some(json!({
            "type": "content",
            "content": { "type": "image", "data": part["data"], "mimeType": part["mimeType"] },
        })),
        "diff" if part["path"].is_string() && part["newText"].is_string() => Some(json!({
            "type": "diff", "path": part["path"], "newText": part["newText"],
            "oldText": part["oldText"].as_str(),
        })),
        _ => None,
    }
}

fn shown_text(text: &str) -> Json {
    json!({ "type": "content", "content": { "type": "text", "text": text } })
}

/// A plan, as an update.
pub fn plan(entries: &[PlanEntry]) -> Json {
    let entries = entries.iter().map(|entry| {
        json!({
            "content": entry.text,
            "priority": match entry.priority.as_str() {
                priority @ ("high" | "low") => priority,
                _ => "medium",
            },
            "status": match entry.status() {
                PlanStatus::InProgress => "in_progress",
                PlanStatus::Completed => "completed",
                PlanStatus::Pending | PlanStatus::Unspecified => "pending",
            },
        })
    });
    json!({ "sessionUpdate": "plan", "entries": entries.collect::<Vec<_>>() })
}

/// A message of before, as updates.
pub fn replay(message: &Message) -> Vec<Json> {
    let kind = match message.role() {
        Role::User => "user_message_chunk",
        Role::Assistant | Role::Tool | Role::System | Role::Unspecified => "agent_message_chunk",
    };
    let item = message.item_id.as_str();
    let parts = message
        .parts
        .iter()
        .filter_map(|part| match part.part.as_ref()? {
            Part::Text(it) => Some(chunk(kind, item, &it.text)),
            Part::Thinking(it) => {
                let block = format!("{item}.{}", part.content_index);
                Some(chunk("agent_thought_chunk", &block, &it.text))
            }
            Part::ToolCall(call) => Some(call_of_before(&message.turn_id, call)),
            Part::Attachment(file) => Some(json!({
                "sessionUpdate": kind, "messageId": item,
                "content": {
                    "type": "resource_link", "uri": format!("attachment:{}", file.attachment_id),
                    "mimeType": file.media_type, "size": file.size,
                    "name": match file.name.as_str() {
                        "" => file.attachment_id.as_str(),
                        name => name,
                    },
                },
            })),
        });
    parts.collect()
}

/// A call of before, or one that runs, as an update.
pub fn call_of_before(turn_id: &str, part: &ToolCallPart) -> Json {
    let mut call = call(
        turn_id,
        &part.tool_call_id,
        &part.tool_name,
        &part.args_json,
    );
    call["sessionUpdate"] = "tool_call".into();
    call["status"] = match part.state() {
        ToolCallState::Running | ToolCallState::Unspecified => "in_progress",
        ToolCallState::Result => "completed",
        ToolCallState::Error => "failed",
    }
    .into();
    if !part.result_json.is_empty() {
        call["content"] = content(&part.result_json).into();
        call["rawOutput"] = parsed(&part.result_json);
    }
    call
}

/// Why a turn that is over stopped.
///
/// # Errors
/// It did not come to an end of its own, and nobody stopped it: what went wrong, for people.
pub fn stop_reason(turn: &Turn) -> Result<&'static str, String> {
    match turn.state() {
        TurnState::Completed if turn.stop_reason() == StopReason::Length => Ok("max_tokens"),
        TurnState::Completed => Ok("end_turn"),
        TurnState::Canceled => Ok("cancelled"),
        TurnState::Rejected if was_removed(turn) => Ok("cancelled"),
        TurnState::Failed
        | TurnState::Interrupted
        | TurnState::Rejected
        | TurnState::Expired
        | TurnState::Scheduled
        | TurnState::Queued
        | TurnState::Running
        | TurnState::WaitingInput
        | TurnState::Canceling
        | TurnState::Unspecified => {
            let error = turn.error.clone().unwrap_or_default();
            Err(format!("{}: {}", error.reason, error.message))
        }
    }
}

/// A question as a request to the editor: its method and parameters. `None` where the editor can't show it.
pub fn request(question: &Question, elicits: Elicits) -> Option<(&'static str, Json)> {
    let session = &question.session_key;
    let call_of = |question: &Question| match question.tool_call_id.as_str() {
        "" => question.question_id.clone(),
        id => call_id(&question.turn_id, id),
    };
    match question.kind() {
        QuestionKind::Permission => {
            let options = question.options.iter().filter_map(|option| {
                let kind = match option.effect() {
                    OptionEffect::AllowOnce => "allow_once",
                    OptionEffect::AllowAlways => "allow_always",
                    OptionEffect::DenyOnce => "reject_once",
                    OptionEffect::DenyAlways => "reject_always",
                    OptionEffect::Unspecified => return None,
                };
                let name = match option.label.as_str() {
                    "" => &option.option_id,
                    label => label,
                };
                Some(json!({ "optionId": option.option_id, "name": name, "kind": kind }))
            });
            let options: Vec<Json> = options.collect();
            if options.is_empty() {
                return None;
            }
            let (turn, name) = (&question.turn_id, &question.tool_name);
            let mut call = call(turn, &question.tool_call_id, name, &question.args_json);
            call["toolCallId"] = call_of(question).into();
            call["title"] = question.title.as_str().into();
            call["status"] = "pending".into();
            let params = json!({ "sessionId": session, "toolCall": call, "options": options });
            Some(("session/request_permission", params))
        }
        QuestionKind::Form if elicits.form => Some((
            "elicitation/create",
            json!({
                "mode": "form", "sessionId": session, "message": question.title,
                "requestedSchema": parsed(&question.schema_json),
            }),
        )),
        QuestionKind::Link if elicits.link => Some((
            "elicitation/create",
            json!({
                "mode": "url", "sessionId": session, "message": question.title,
                "elicitationId": question.question_id, "url": question.url,
            }),
        )),
        QuestionKind::Form
        | QuestionKind::Link
        | QuestionKind::ToolCall
        | QuestionKind::Budget
        | QuestionKind::Unspecified => None,
    }
}

/// What the editor's result answers; `None` where nobody chose anything.
pub fn answer(question: &Question, result: &Json) -> Option<Answer> {
    let declined = Answer {
        declined: true,
        ..Answer::default()
    };
    if question.kind() == QuestionKind::Permission {
        let chosen = &result["outcome"];
        let option_id = chosen["optionId"].as_str()?.to_owned();
        let is_offered = question.options.iter().any(|it| it.option_id == option_id);
        return (chosen["outcome"] == "selected" && is_offered).then(|| Answer {
            option_id,
            ..Answer::default()
        });
    }
    match result["action"].as_str()? {
        "accept" if question.kind() == QuestionKind::Link => Some(Answer {
            option_id: DONE.into(),
            ..Answer::default()
        }),
        "accept" => Some(Answer {
            content_json: match &result["content"] {
                Json::Null => "{}".to_owned(),
                content => content.to_string(),
            },
            ..Answer::default()
        }),
        "decline" => Some(declined),
        _ => None,
    }
}

fn is_allowed(question: &Question) -> bool {
    let answer = question.answer.as_ref().filter(|it| !it.declined);
    let chosen = answer.and_then(|answer| {
        let mut options = question.options.iter();
        options.find(|it| it.option_id == answer.option_id)
    });
    chosen.is_some_and(|it| {
        matches!(
            it.effect(),
            OptionEffect::AllowOnce | OptionEffect::AllowAlways
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{self, MessageBlock, QuestionOption};

    fn event(kind: Kind) -> GatewayEvent {
        GatewayEvent {
            turn_id: "t".into(),
            item_id: "i".into(),
            kind: Some(kind),
            ..GatewayEvent::default()
        }
    }

    fn updates(printer: &mut Printer, kind: Kind) -> Vec<Json> {
        let said = printer.fold(event(kind));
        let updates = said.into_iter().map(|it| match it {
            Said::Update(update) => update,
            other => panic!("{other:?}"),
        });
        updates.collect()
    }

    fn message(role: Role, text: &str) -> Kind {
        Kind::MessageCompleted(proto::MessageCompleted {
            role: role.into(),
            text: text.into(),
            blocks: vec![MessageBlock {
                content_index: 0,
                text: text.into(),
            }],
            ..Default::default()
        })
    }

    #[test]
    fn an_editor_is_not_told_its_own_prompt_but_what_others_say() {
        for (is_shown, heard) in [(true, ["steered"].as_slice()), (false, &["go", "steered"])] {
            let mut printer = Printer::of("t", is_shown);
            let said = |text: &str| {
                Kind::MessageStarted(proto::MessageStarted {
                    role: Role::User.into(),
                    text: text.into(),
                    ..Default::default()
                })
            };
            let mut told = updates(&mut printer, said("go"));
            told.extend(updates(&mut printer, said("steered")));
            let texts = told
                .iter()
                .map(|it| it["content"]["text"].as_str().unwrap());
            assert_eq!(texts.collect::<Vec<_>>(), heard);
        }
    }

    #[test]
    fn what_is_said_anew_is_another_message() {
        let mut printer = Printer::of("t", true);
        let token = proto::Token {
            delta: "wrong".into(),
            ..Default::default()
        };
        let first = updates(&mut printer, Kind::Token(token));
        let second = updates(&mut printer, message(Role::Assistant, "right"));
        assert_eq!(first[0]["messageId"], "i");
        assert_eq!(second[0]["messageId"], "i.1");
        assert_eq!(second[0]["content"]["text"], "right");
    }

    fn permission() -> Question {
        let option = |id: &str, effect: OptionEffect| QuestionOption {
            option_id: id.into(),
            label: String::new(),
            effect: effect.into(),
        };
        Question {
            question_id: "q".into(),
            session_key: "s".into(),
            turn_id: "t".into(),
            kind: QuestionKind::Permission.into(),
            title: "Run bash?".into(),
            tool_name: "bash".into(),
            tool_call_id: "c".into(),
            args_json: "{\"command\":\"ls\"}".into(),
            options: vec![
                option("yes", OptionEffect::AllowOnce),
                option("no", OptionEffect::DenyOnce),
            ],
            ..Question::default()
        }
    }

    #[test]
    fn a_call_that_is_asked_for_waits_runs_and_ends_under_one_id() {
        let mut printer = Printer::of("t", true);
        let asked = Kind::QuestionAsked(proto::QuestionAsked {
            question: Some(permission()),
        });
        let said = printer.fold(event(asked));
        let [Said::Update(call), Said::Asked(question)] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert_eq!(
            (&call["toolCallId"], &call["status"]),
            (&json!("t:c"), &json!("pending"))
        );
        let (_, params) = request(question, Elicits::default()).unwrap();
        assert_eq!(params["toolCall"]["toolCallId"], "t:c");
        assert_eq!(params["options"][0]["kind"], "allow_once");
        let chosen = json!({ "outcome": { "outcome": "selected", "optionId": "yes" } });
        let answer = answer(question, &chosen);
        let resolved = Kind::QuestionResolved(proto::QuestionResolved {
            question_id: "q".into(),
            answer,
            ..Default::default()
        });
        let said = printer.fold(event(resolved));
        let [Said::Update(runs), Said::Closed(id)] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert_eq!((&runs["status"], id.as_str()), (&json!("in_progress"), "q"));
        let ended = Kind::ToolCompleted(proto::ToolCompleted {
            tool_call_id: "c".into(),
            result_json: r#"{"content":[{"type":"text","text":"a"}]}"#.into(),
            ..Default::default()
        });
        let ended = updates(&mut printer, ended);
        assert_eq!(ended[0]["status"], "completed");
        assert_eq!(ended[0]["content"][0]["content"]["text"], "a");
    }

    #[test]
    fn what_is_not_offered_is_no_answer_and_what_can_not_be_shown_no_request() {
        let question = permission();
        for result in [
            json!({ "outcome": { "outcome": "cancelled" } }),
            json!({ "outcome": { "outcome": "selected", "optionId": "other" } }),
            json!({}),
        ] {
            assert_eq!(answer(&question, &result), None, "{result}");
        }
        let form = Question {
            kind: QuestionKind::Form.into(),
            schema_json: "{}".into(),
            ..permission()
        };
        assert_eq!(request(&form, Elicits::default()), None);
        let elicits = Elicits {
            form: true,
            link: false,
        };
        assert!(request(&form, elicits).is_some());
        let given = answer(&form, &json!({ "action": "accept", "content": { "a": 1 } }));
        assert_eq!(given.unwrap().content_json, "{\"a\":1}");
        let declined = answer(&form, &json!({ "action": "decline" }));
        assert!(declined.unwrap().declined);
    }
}
