//! What an agent asks of people while a turn runs: permissions, forms, links. Each is open until it is answered, and each is
//! answered: by somebody, or with `cancelled` when the turn is stopped, ends, or the agent takes its question back.

use super::{rpc, text, tools::Tool};
use crate::domain::{
    event::Json,
    limits::{cut, cut_json},
    question::{
        Answer, Ask, DONE, OPTIONS_MAX, OptionEffect, PENDING_MAX, QuestionKind, QuestionOption,
        SCHEMA_MAX_BYTES, TITLE_MAX_BYTES, URL_MAX_BYTES,
    },
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The open questions of a turn.
#[derive(Debug, Default)]
pub(super) struct Asks {
    open: BTreeMap<String, Open>,
    /// Questions of this turn so far: their ids.
    asked: u64,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Open {
    request: Value,
    form: Form,
}

/// How it is answered.
#[derive(Debug)]
enum Form {
    /// By one of the options; `reject` is the agent's id of "not this time".
    Permission {
        options: Vec<QuestionOption>,
        reject: Option<String>,
    },
    /// With values.
    Values,
    /// With a word that it was done. The agent may say by this id that it knows.
    Link { elicitation_id: String },
}

/// An answer on its way.
#[derive(Debug, PartialEq)]
pub(super) struct Answered {
    /// The line for the agent.
    pub(super) line: Vec<u8>,
    /// It says no to a tool.
    pub(super) denies: bool,
}

/// What became of a request of the agent's.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    /// It is open, under this id.
    Open(String, Box<Ask>),
    /// It is answered at once: nobody can answer it.
    Refused(Vec<u8>, &'static str),
}

// === impl Asks ===

impl Asks {
    /// A tool wants to run. `tool` is what is known of it; `sub_agent` is the session that asks where it is not the turn's own.
    pub(super) fn permission(
        &mut self,
        request: Value,
        params: &Value,
        tool: Option<&Tool>,
        sub_agent: Option<&str>,
    ) -> Asked {
        let (options, reject) = options(&params["options"]);
        if options.is_empty() {
            return Asked::Refused(cancelled_permission(&request), "it offers no answer");
        }
        let call = &params["toolCall"];
        let titles = [
            text(&call["title"]),
            tool.map_or("", |tool| &tool.title),
            text(&call["kind"]),
        ];
        let title = titles.into_iter().find(|it| !it.is_empty());
        let arguments = match tool {
            Some(tool) => tool.arguments(),
            None => call["rawInput"].to_string(),
        };
        let (args, full_size) = cut_json(arguments);
        let ask = Ask {
            kind: QuestionKind::Permission,
            title: cut(title.unwrap_or("A tool wants to run"), TITLE_MAX_BYTES).to_owned(),
            tool_call_id: tool.map(|it| it.told_id.clone()).unwrap_or_default(),
            tool_name: tool.map(|it| it.name.clone()).unwrap_or_default(),
            args: Json {
                text: args,
                full_size,
            },
            options: options.clone(),
            schema_json: String::new(),
            url: String::new(),
            agent_path: sub_agent
                .map(|it| cut(it, TITLE_MAX_BYTES).to_owned())
                .into_iter()
                .collect(),
        };
        self.open(request, Form::Permission { options, reject }, ask)
    }

    /// The agent wants values, or something done at a link.
    pub(super) fn elicitation(&mut self, request: Value, params: &Value) -> Asked {
        let refuse = |request: &Value, why| Asked::Refused(answered(request, "decline"), why);
        let mut ask = Ask {
            kind: QuestionKind::Form,
            title: cut(text(&params["message"]), TITLE_MAX_BYTES).to_owned(),
            tool_call_id: text(&params["toolCallId"]).to_owned(),
            tool_name: String::new(),
            args: Json {
                text: "{}".into(),
                full_size: None,
            },
            options: vec![],
            schema_json: String::new(),
            url: String::new(),
            agent_path: vec![],
        };
        ask.tool_call_id
            .truncate(cut(&ask.tool_call_id, TITLE_MAX_BYTES).len());
        let url = text(&params["url"]);
        if params["mode"] == "url" || !url.is_empty() {
            if url.is_empty() || url.len() > URL_MAX_BYTES {
                return refuse(&request, "its link is empty or too long");
            }
            ask.kind = QuestionKind::Link;
            url.clone_into(&mut ask.url);
            ask.options.push(QuestionOption {
                option_id: DONE.into(),
                label: "Done".into(),
                effect: None,
            });
            let elicitation_id = text(&params["elicitationId"]).to_owned();
            return self.open(request, Form::Link { elicitation_id }, ask);
        }
        let schema = &params["requestedSchema"];
        ask.schema_json = schema.to_string();
        if !schema.is_object() || ask.schema_json.len() > SCHEMA_MAX_BYTES {
            return refuse(&request, "it names no schema, or one that is too large");
        }
        self.open(request, Form::Values, ask)
    }

    /// What to tell the agent; `None` where the question is closed.
    pub(super) fn answer(&mut self, ask_id: &str, answer: &Answer) -> Option<Answered> {
        let Open { request, form } = self.open.remove(ask_id)?;
        Some(match form {
            Form::Permission { options, reject } => {
                let chosen = options.iter().find(|it| it.option_id == answer.option_id);
                let chosen = chosen.filter(|_| !answer.declined);
                let denies = chosen.is_none_or(|option| !allows(option.effect));
                let option_id = chosen.map(|it| it.option_id.clone()).or(reject);
                let line = match option_id {
                    Some(option_id) => {
                        let outcome = json!({ "outcome": "selected", "optionId": option_id });
                        rpc::answer(&request, &json!({ "outcome": outcome }))
                    }
                    None => cancelled_permission(&request),
                };
                Answered { line, denies }
            }
            Form::Values => {
                let content: Option<Value> = serde_json::from_str(&answer.content_json).ok();
                let content = content.filter(|it| it.is_object() && !answer.declined);
                let line = match content {
                    Some(content) => {
                        rpc::answer(&request, &json!({ "action": "accept", "content": content }))
                    }
                    None => answered(&request, "decline"),
                };
                Answered {
                    line,
                    denies: false,
                }
            }
            Form::Link { elicitation_id: _ } => {
                let done = answer.option_id == DONE && !answer.declined;
                Answered {
                    line: answered(&request, if done { "accept" } else { "decline" }),
                    denies: false,
                }
            }
        })
    }

    /// Closes all: what to tell the agent.
    pub(super) fn cancel_all(&mut self) -> Vec<Vec<u8>> {
        let open = std::mem::take(&mut self.open).into_values();
        open.map(|Open { request, form }| cancelled(&request, &form))
            .collect()
    }

    /// The agent takes a request back: the question that it was, and what to tell the agent.
    pub(super) fn withdrawn(&mut self, request: &Value) -> Option<(String, Vec<u8>)> {
        self.close(|open| open.request == *request)
    }

    /// The agent knows that what was asked for at a link is done.
    pub(super) fn link_done(&mut self, id: &str) -> Option<(String, Vec<u8>)> {
        self.close(
            |open| matches!(&open.form, Form::Link { elicitation_id } if elicitation_id == id),
        )
    }

    fn close(&mut self, which: impl Fn(&Open) -> bool) -> Option<(String, Vec<u8>)> {
        let found = self.open.iter().find(|(_, open)| which(open));
        let ask_id = found?.0.clone();
        let Open { request, form } = self.open.remove(&ask_id)?;
        Some((ask_id, cancelled(&request, &form)))
    }

    fn open(&mut self, request: Value, form: Form, ask: Ask) -> Asked {
        if self.open.len() >= PENDING_MAX {
            let line = cancelled(&request, &form);
            return Asked::Refused(line, "too many questions are open");
        }
        self.asked += 1;
        let ask_id = self.asked.to_string();
        self.open.insert(ask_id.clone(), Open { request, form });
        Asked::Open(ask_id, Box::new(ask))
    }
}

/// The options that are offered, one of each effect, and the agent's id of "not this time". Their kinds say what they do; their
/// ids and their order say nothing.
fn options(offered: &Value) -> (Vec<QuestionOption>, Option<String>) {
    let mut options: Vec<QuestionOption> = vec![];
    for option in offered.as_array().into_iter().flatten().take(OPTIONS_MAX) {
        let effect = match option["kind"].as_str() {
            Some("allow_once") => OptionEffect::AllowOnce,
            Some("allow_always") => OptionEffect::AllowAlways,
            Some("reject_once") => OptionEffect::DenyOnce,
            Some("reject_always") => OptionEffect::DenyAlways,
            Some(_) | None => continue,
        };
        let option_id = text(&option["optionId"]);
        let known = |it: &QuestionOption| it.effect == Some(effect) || it.option_id == option_id;
        if option_id.is_empty() || option_id.len() > TITLE_MAX_BYTES || options.iter().any(known) {
            continue;
        }
        options.push(QuestionOption {
            option_id: option_id.to_owned(),
            label: cut(text(&option["name"]), TITLE_MAX_BYTES).to_owned(),
            effect: Some(effect),
        });
    }
    let reject = options
        .iter()
        .find(|it| it.effect == Some(OptionEffect::DenyOnce));
    let reject = reject.map(|it| it.option_id.clone());
    (options, reject)
}

fn allows(effect: Option<OptionEffect>) -> bool {
    match effect {
        Some(OptionEffect::AllowOnce | OptionEffect::AllowAlways) => true,
        Some(OptionEffect::DenyOnce | OptionEffect::DenyAlways) | None => false,
    }
}

fn cancelled(request: &Value, form: &Form) -> Vec<u8> {
    match form {
        Form::Permission { .. } => cancelled_permission(request),
        Form::Values | Form::Link { .. } => cancelled_elicitation(request),
    }
}

/// The answer to a permission that nobody will give.
pub(super) fn cancelled_permission(request: &Value) -> Vec<u8> {
    rpc::answer(request, &json!({ "outcome": { "outcome": "cancelled" } }))
}

/// The answer to a form or a link that nobody will give.
pub(super) fn cancelled_elicitation(request: &Value) -> Vec<u8> {
    answered(request, "cancel")
}

fn answered(request: &Value, action: &str) -> Vec<u8> {
    rpc::answer(request, &json!({ "action": action }))
}
