//! Questions: whatever an agent needs from outside before it goes on.

use super::{
    budget::Grant,
    event::Json,
    ids::{SessionKey, Time},
    turn::Usage,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, time::Duration};
use uuid::Uuid;

/// Questions of one turn that may be pending at a time.
pub const PENDING_MAX: usize = 32;
/// Options that one question may offer.
pub const OPTIONS_MAX: usize = 32;
/// Longest title, label and comment, in bytes.
pub const TITLE_MAX_BYTES: usize = 4 * 1024;
/// Longest `schema_json`, in bytes.
pub const SCHEMA_MAX_BYTES: usize = 64 * 1024;
/// Longest `content_json` of an answer, in bytes.
pub const CONTENT_MAX_BYTES: usize = 256 * 1024;
/// Longest link, in bytes.
pub const URL_MAX_BYTES: usize = 8 * 1024;
/// Arguments of a tool in lists, snapshots and `question_pending` are cut here, in bytes.
pub const SHOWN_ARGS_MAX_BYTES: usize = 16 * 1024;
/// How long a question waits where nobody said otherwise.
pub const TTL_DEFAULT: Duration = Duration::from_secs(60 * 60);
/// How long a question may wait.
pub const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The option that answers a LINK.
pub const DONE: &str = "done";

/// What is asked for. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QuestionKind {
    /// A tool wants to run.
    Permission = 1,
    /// Values of a form.
    Form = 2,
    /// Something that a person does at a link.
    Link = 3,
    /// A tool that the caller runs.
    ToolCall = 4,
    /// More than a budget has.
    Budget = 5,
}

/// What an option of a permission does. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OptionEffect {
    /// This call may run.
    AllowOnce = 1,
    /// This and every such call of the conversation may run.
    AllowAlways = 2,
    /// This call may not run.
    DenyOnce = 3,
    /// No such call of the conversation may run.
    DenyAlways = 4,
}

/// Where a question stands. The numbers are the contract's and the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuestionState {
    /// It waits for an answer.
    Pending = 1,
    /// It was answered, by somebody or by policy.
    Answered = 2,
    /// Nobody answered in time; the agent was told "declined".
    Expired = 3,
    /// Nobody needs an answer any more.
    Canceled = 4,
}

/// What closed a question. The numbers are the contract's and the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Somebody answered.
    Answered = 1,
    /// Decided without a person: by `no_approver`, or since it could not be asked.
    Policy = 2,
    /// `question_ttl` was over.
    Expired = 3,
    /// The turn was being stopped.
    TurnCanceled = 4,
    /// The turn ended without waiting for the answer.
    TurnEnded = 5,
    /// The agent's process was gone.
    AgentGone = 6,
    /// The gateway died.
    GatewayCrashed = 7,
    /// The gateway was told to stop.
    Draining = 8,
    /// The agent took the question back.
    Withdrawn = 9,
}

/// One way to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionOption {
    /// The agent's id of it; unique in its question.
    pub option_id: String,
    /// For people.
    pub label: String,
    /// What it does, of a permission.
    pub effect: Option<OptionEffect>,
}

/// What an agent asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// What is asked for.
    pub kind: QuestionKind,
    /// For people; a model may have written it.
    pub title: String,
    /// The call that waits for the answer; empty where none does.
    pub tool_call_id: String,
    /// The tool's structured name; empty where the agent named none. Tool policy looks at nothing else.
    pub tool_name: String,
    /// What the tool would run with.
    pub args: Json,
    /// The ways to answer a permission or a link.
    pub options: Vec<QuestionOption>,
    /// Of a form: JSON Schema of a flat object of primitives and arrays of enum strings; of a budget what grants more. Empty
    /// for other kinds.
    pub schema_json: String,
    /// Of a link: where to go. Opened by a person, never by us.
    pub url: String,
    /// Sub-agents from the outermost in; empty for the main agent.
    pub agent_path: Vec<String>,
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The option that was chosen; empty where content answers.
    pub option_id: String,
    /// Values of a form, or the result of a tool that the caller ran.
    pub content_json: String,
    /// The caller's tool failed.
    pub is_error: bool,
    /// Nobody wants to answer; the agent goes on without.
    pub declined: bool,
    /// For people.
    pub comment: String,
}

/// What to do where an agent asks and nobody is there. The numbers are the contract's and the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoApprover {
    /// A question waits until it is answered or expires.
    Wait = 1,
    /// Permissions, forms and links are denied at once.
    Deny = 2,
}

/// A question, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// UUIDv7.
    pub question_id: Uuid,
    /// Its session.
    pub session_key: SessionKey,
    /// Its turn.
    pub turn_id: Uuid,
    /// Which start of the turn asked, from 1.
    pub attempt: i32,
    /// What is asked.
    pub ask: Ask,
    /// SHA-256 over what an answer allows, lower-case hex.
    pub action_digest: String,
    /// Where it stands.
    pub state: QuestionState,
    /// What decided without a person, in a few words; empty where nothing did.
    pub policy_rule: String,
    /// The answer, once there is one.
    pub answer: Option<Answer>,
    /// Who answered, `tenant/subject`; empty where nobody did.
    pub answered_by: String,
    /// What closed it.
    pub resolution: Option<Resolution>,
    /// When it was asked.
    pub create_time: Time,
    /// When it expires.
    pub expire_time: Time,
    /// When it was closed.
    pub resolve_time: Option<Time>,
    /// The agent has the answer.
    pub delivered: bool,
}

// === impl QuestionKind ===

impl QuestionKind {
    /// Whether a person answers it, and not a program that asked for it.
    pub fn needs_person(self) -> bool {
        match self {
            Self::Permission | Self::Form | Self::Link => true,
            Self::ToolCall | Self::Budget => false,
        }
    }
}

// === impl QuestionState ===

impl QuestionState {
    /// Every state, in the contract's order.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Answered, Self::Expired, Self::Canceled];

    /// The state with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i64 == number)
    }

    /// The contract's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Answered => "ANSWERED",
            Self::Expired => "EXPIRED",
            Self::Canceled => "CANCELED",
        }
    }
}

// === impl Resolution ===

impl Resolution {
    const ALL: [Self; 9] = [
        Self::Answered,
        Self::Policy,
        Self::Expired,
        Self::TurnCanceled,
        Self::TurnEnded,
        Self::AgentGone,
        Self::GatewayCrashed,
        Self::Draining,
        Self::Withdrawn,
    ];

    /// The resolution with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|one| *one as i64 == number)
    }

    /// The contract's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "ANSWERED",
            Self::Policy => "POLICY",
            Self::Expired => "EXPIRED",
            Self::TurnCanceled => "TURN_CANCELED",
            Self::TurnEnded => "TURN_ENDED",
            Self::AgentGone => "AGENT_GONE",
            Self::GatewayCrashed => "GATEWAY_CRASHED",
            Self::Draining => "DRAINING",
            Self::Withdrawn => "WITHDRAWN",
        }
    }
}

// === impl NoApprover ===

impl NoApprover {
    /// The setting with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Wait, Self::Deny]
            .into_iter()
            .find(|one| *one as i64 == number)
    }
}

// === impl Ask ===

impl Ask {
    /// Bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        let Self {
            kind: _,
            title,
            tool_call_id,
            tool_name,
            args,
            options,
            schema_json,
            url,
            agent_path,
        } = self;
        let options = options.iter().map(|it| it.option_id.len() + it.label.len());
        let texts = [title, tool_call_id, tool_name, &args.text, schema_json, url];
        texts.into_iter().map(String::len).sum::<usize>()
            + options.sum::<usize>()
            + agent_path.iter().map(String::len).sum::<usize>()
    }

    /// SHA-256 over all that an answer allows, each piece with its length, so no two are written alike; lower-case hex.
    pub fn digest(&self) -> String {
        let Self {
            kind,
            title: _,
            tool_call_id,
            tool_name,
            args,
            options,
            schema_json,
            url,
            agent_path,
        } = self;
        let mut digest = Sha256::new();
        let mut piece = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        piece(&(*kind as i64).to_be_bytes());
        for text in [tool_call_id, tool_name, &args.text, schema_json, url] {
            piece(text.as_bytes());
        }
        for option in options {
            piece(option.option_id.as_bytes());
            piece(
                &option
                    .effect
                    .map_or(0, |effect| effect as i64)
                    .to_be_bytes(),
            );
        }
        for agent in agent_path {
            piece(agent.as_bytes());
        }
        digest
            .finalize()
            .iter()
            .fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    /// Why it can't be asked of anybody; `None` where it can.
    pub fn unusable(&self) -> Option<&'static str> {
        match self.kind {
            QuestionKind::Permission if self.options.is_empty() => {
                Some("the agent offered no way to answer")
            }
            QuestionKind::Form => super::form::unusable(&self.schema_json),
            QuestionKind::Link if self.url.is_empty() => Some("the agent named no link"),
            QuestionKind::Permission
            | QuestionKind::Link
            | QuestionKind::ToolCall
            | QuestionKind::Budget => None,
        }
    }

    /// The answer that says no: the option that denies once where one is offered.
    pub fn denial(&self) -> Answer {
        let denies = |option: &&QuestionOption| option.effect == Some(OptionEffect::DenyOnce);
        let option = self.options.iter().find(denies);
        Answer {
            option_id: option.map(|it| it.option_id.clone()).unwrap_or_default(),
            declined: true,
            ..Answer::default()
        }
    }

    /// Why an answer does not fit: the field, and a sentence.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self, answer: &Answer) -> Result<(), (&'static str, String)> {
        let Answer {
            option_id,
            content_json,
            is_error,
            declined,
            comment: _,
        } = answer;
        if *declined {
            return if option_id.is_empty() && content_json.is_empty() {
                Ok(())
            } else {
                let problem = "a declined answer has neither an option nor content";
                Err(("answer.declined", problem.to_owned()))
            };
        }
        if *is_error && self.kind != QuestionKind::ToolCall {
            let problem = "only the result of a TOOL_CALL can be an error";
            return Err(("answer.is_error", problem.to_owned()));
        }
        match self.kind {
            QuestionKind::Permission | QuestionKind::Link => {
                if !content_json.is_empty() {
                    let problem = "this question is answered by an option";
                    return Err(("answer.content_json", problem.to_owned()));
                }
                let mut offered = self.options.iter().map(|it| it.option_id.as_str());
                if offered.clone().any(|it| it == option_id) {
                    return Ok(());
                }
                let all = offered.by_ref().collect::<Vec<_>>().join(", ");
                let problem = format!("must be one of {all}, or set `declined`");
                Err(("answer.option_id", problem))
            }
            QuestionKind::Form | QuestionKind::ToolCall | QuestionKind::Budget => {
                if !option_id.is_empty() {
                    let problem = "this question is answered by content";
                    return Err(("answer.option_id", problem.to_owned()));
                }
                let checked = match self.kind {
                    QuestionKind::Form => super::form::check(&self.schema_json, content_json),
                    QuestionKind::Budget => Grant::parse(content_json, &Usage::default()).map(drop),
                    QuestionKind::Permission | QuestionKind::Link | QuestionKind::ToolCall => {
                        serde_json::from_str::<serde::de::IgnoredAny>(content_json)
                            .map(drop)
                            .map_err(|problem| format!("must be JSON: {problem}"))
                    }
                };
                checked.map_err(|problem| ("answer.content_json", problem))
            }
        }
    }
}

// === impl Question ===

impl Question {
    /// Bytes that it takes in a list, its arguments cut at [`SHOWN_ARGS_MAX_BYTES`].
    pub fn shown_bytes(&self) -> usize {
        let args = self.ask.args.text.len();
        let answer = self
            .answer
            .as_ref()
            .map_or(0, |it| it.content_json.len() + it.comment.len());
        self.ask.text_bytes() - args + args.min(SHOWN_ARGS_MAX_BYTES) + answer
    }

    /// The answer as it may be shown: without what the form keeps secret.
    pub fn shown_answer(&self) -> Option<Answer> {
        let answer = self.answer.as_ref()?;
        let mut shown = answer.clone();
        if self.ask.kind == QuestionKind::Form && !shown.content_json.is_empty() {
            shown.content_json =
                super::form::without_secrets(&self.ask.schema_json, &shown.content_json);
        }
        Some(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission() -> Ask {
        Ask {
            kind: QuestionKind::Permission,
            title: "Run rm?".into(),
            tool_call_id: "c1".into(),
            tool_name: "bash".into(),
            args: Json {
                text: "{\"command\":\"rm x\"}".into(),
                full_size: None,
            },
            options: vec![
                QuestionOption {
                    option_id: "yes".into(),
                    label: "Yes".into(),
                    effect: Some(OptionEffect::AllowOnce),
                },
                QuestionOption {
                    option_id: "no".into(),
                    label: "No".into(),
                    effect: Some(OptionEffect::DenyOnce),
                },
            ],
            schema_json: String::new(),
            url: String::new(),
            agent_path: vec![],
        }
    }

    #[test]
    fn the_digest_is_of_what_is_allowed_and_not_of_how_it_is_called() {
        let ask = permission();
        let digest = ask.digest();
        assert_eq!(digest.len(), 64);
        let mut titled = ask.clone();
        titled.title = "Nothing to see".into();
        assert_eq!(titled.digest(), digest);
        let mut other = ask.clone();
        other.args.text = "{\"command\":\"rm -r /\"}".into();
        assert_ne!(other.digest(), digest);
        let mut swapped = ask;
        swapped.options[1].effect = Some(OptionEffect::AllowAlways);
        assert_ne!(swapped.digest(), digest);
    }

    #[test]
    fn only_what_is_offered_is_an_answer() {
        let ask = permission();
        let option = |id: &str| Answer {
            option_id: id.into(),
            ..Answer::default()
        };
        assert_eq!(ask.check(&option("yes")), Ok(()));
        let (field, problem) = ask.check(&option("maybe")).expect_err("not offered");
        assert_eq!(field, "answer.option_id");
        assert!(problem.contains("yes, no"), "{problem}");
        let declined = Answer {
            declined: true,
            ..Answer::default()
        };
        assert_eq!(ask.check(&declined), Ok(()));
        let both = Answer {
            declined: true,
            ..option("yes")
        };
        assert!(ask.check(&both).is_err());
        assert_eq!(ask.denial().option_id, "no");
    }

    #[test]
    fn a_tools_result_is_any_json_and_nothing_else() {
        let ask = Ask {
            kind: QuestionKind::ToolCall,
            options: vec![],
            ..permission()
        };
        let content = |text: &str| Answer {
            content_json: text.into(),
            ..Answer::default()
        };
        assert_eq!(ask.check(&content("[1]")), Ok(()));
        assert!(ask.check(&content("")).is_err());
        assert!(ask.check(&content("{")).is_err());
    }
}
