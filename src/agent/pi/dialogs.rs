//! Dialogs of pi's extensions, as questions of the turn.

use crate::{
    agent::AgentEvent,
    domain::{
        event::Json,
        question::{Answer, Ask, OptionEffect, QuestionKind, QuestionOption},
    },
};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Dialogs that may be open; more are cancelled at once.
pub(super) const DIALOGS_MAX: usize = 32;
/// The only property of a dialog's form.
const VALUE: &str = "value";

/// A dialog that an extension opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialog {
    /// What the answer names.
    pub(super) id: String,
    /// What is wanted.
    pub(super) kind: DialogKind,
    /// For people.
    pub(super) title: String,
    /// When pi goes on without an answer; 0 where it waits for ever.
    pub(super) timeout_milliseconds: u64,
}

/// What a dialog wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DialogKind {
    /// Yes or no.
    Confirm {
        /// For people.
        message: String,
    },
    /// One of these.
    Select {
        /// The choices.
        options: Vec<String>,
    },
    /// A text.
    Input {
        /// An example of it.
        placeholder: String,
    },
    /// A text of several lines.
    Editor {
        /// What it begins with.
        prefill: String,
    },
}

/// The dialogs that are open.
#[derive(Debug, Default)]
pub(super) struct Dialogs(Vec<(Dialog, Option<Instant>)>);

// === impl Dialog ===

impl Dialog {
    /// The question.
    fn ask(&self) -> Ask {
        let mut ask = Ask {
            kind: QuestionKind::Form,
            title: self.title.clone(),
            tool_call_id: String::new(),
            tool_name: String::new(),
            args: Json::default(),
            options: Vec::new(),
            schema_json: String::new(),
            url: String::new(),
            agent_path: Vec::new(),
        };
        let property = match &self.kind {
            DialogKind::Confirm { message } => {
                ask.kind = QuestionKind::Permission;
                if !message.is_empty() {
                    ask.title = format!("{} {message}", self.title);
                }
                let option = |id: &str, label: &str, effect| QuestionOption {
                    option_id: id.to_owned(),
                    label: label.to_owned(),
                    effect: Some(effect),
                };
                ask.options = vec![
                    option("yes", "Yes", OptionEffect::AllowOnce),
                    option("no", "No", OptionEffect::DenyOnce),
                ];
                return ask;
            }
            DialogKind::Select { options } => json!({ "type": "string", "enum": options }),
            DialogKind::Input { placeholder } => {
                json!({ "type": "string", "description": placeholder })
            }
            DialogKind::Editor { prefill } => json!({ "type": "string", "default": prefill }),
        };
        let form =
            json!({ "type": "object", "required": [VALUE], "properties": { VALUE: property } });
        ask.schema_json = form.to_string();
        ask
    }

    /// What pi is told. Where nobody answered a confirmation is denied, and every other dialog cancelled.
    fn answered(&self, answer: Option<&Answer>) -> Vec<u8> {
        let mut line = json!({ "type": "extension_ui_response", "id": self.id });
        let given = answer.filter(|answer| !answer.declined);
        match (&self.kind, given) {
            (DialogKind::Confirm { .. }, Some(answer)) => {
                line["confirmed"] = (answer.option_id == "yes").into();
            }
            (DialogKind::Confirm { .. }, None) if answer.is_some() => {
                line["confirmed"] = false.into();
            }
            (_, Some(answer)) => {
                let content = serde_json::from_str(&answer.content_json);
                let content: serde_json::Value = content.unwrap_or_default();
                line["value"] = content[VALUE].clone();
            }
            (_, None) => line["cancelled"] = true.into(),
        }
        line.to_string().into_bytes()
    }
}

// === impl Dialogs ===

impl Dialogs {
    /// Opens a dialog; what is asked then, or what pi is told at once.
    pub(super) fn open(&mut self, dialog: Dialog, now: Instant) -> Result<AgentEvent, Vec<u8>> {
        let known = self.0.iter().any(|(open, _)| open.id == dialog.id);
        if known || self.0.len() >= DIALOGS_MAX {
            return Err(dialog.answered(None));
        }
        let asked = AgentEvent::Asked {
            ask_id: dialog.id.clone(),
            ask: Box::new(dialog.ask()),
        };
        let until = Duration::from_millis(dialog.timeout_milliseconds);
        let until = (!until.is_zero()).then(|| now + until);
        self.0.push((dialog, until));
        Ok(asked)
    }

    /// What pi is told of an answer; `None` where it does not wait for it any more.
    pub(super) fn answer(&mut self, id: &str, answer: &Answer) -> Option<Vec<u8>> {
        let place = self.0.iter().position(|(open, _)| open.id == id)?;
        let (dialog, _) = self.0.remove(place);
        Some(dialog.answered(Some(answer)))
    }

    /// The dialogs that pi has gone on without, by the clock.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<String> {
        let over = |until: &Option<Instant>| until.is_some_and(|until| until <= now);
        let gone = self.0.extract_if(.., |(_, until)| over(until));
        gone.map(|(dialog, _)| dialog.id).collect()
    }

    /// What pi is told where nobody answers any more.
    pub(super) fn cancel_all(&mut self) -> Vec<Vec<u8>> {
        let open = std::mem::take(&mut self.0).into_iter();
        open.map(|(dialog, _)| dialog.answered(None)).collect()
    }

    /// When [`Dialogs::overdue`] has the next one.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|(_, until)| *until).min()
    }

    /// How many are open.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What pi is told of a dialog that nobody is asked about.
pub(super) fn cancelled(dialog: &Dialog) -> Vec<u8> {
    dialog.answered(None)
}
