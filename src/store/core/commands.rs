//! What callers ask for, and what they are answered.

use crate::domain::{
    access::{Identity, Shares},
    client_tool::ClientTool,
    ids::{SessionKey, Time},
    memory::Reach,
    offers::Choice,
    question::{Answer, NoApprover},
    refusal::Refusal,
    session::Session,
    tool_policy::ToolRule,
    turn::{AbortMode, Attachment, Cause, OnBusy, OnInterrupt, Turn},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use uuid::Uuid;

/// Makes a command repeatable: key is (tenant, principal, method, session key, id).
#[derive(Clone, Debug)]
pub struct RequestKey {
    /// Client-made id.
    pub request_id: String,
    /// Method that counts; `Run` counts as `Enqueue`.
    pub method: &'static str,
    /// SHA-256 over the canonical encoding without `request_id`.
    pub hash: [u8; 32],
}

/// What every command of a caller carries.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who calls, and what it may do.
    pub identity: Arc<Identity>,
    /// The session that it is about.
    pub key: SessionKey,
    /// Set where the caller gave a `request_id`.
    pub request: Option<RequestKey>,
    /// Generation that the caller believes in.
    pub expected_generation: Option<i64>,
    /// When it was received.
    pub now: Time,
}

/// Settings of a session that does not exist yet. `agent` is checked against an existing one, the rest is ignored then.
#[derive(Clone, Debug, Default)]
pub struct NewSession {
    /// Agent; empty means the default.
    pub agent: String,
    /// Model; empty means the agent's default.
    pub model: String,
    /// Thinking level; empty means the agent's default.
    pub thinking_level: String,
    /// What is chosen of the agent's options; a fork's, from its source.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Working directory, resolved and allowed; empty means its own.
    pub cwd: String,
    /// Why the working directory that was asked for can't be had; refuses where the session would be made, and there
    /// alone: what an existing session ignores, and what a repeat did before, is no reason to refuse.
    pub cwd_refused: Option<Refusal>,
    /// Free text for people.
    pub display_name: String,
    /// Deleted after this long without a turn, in microseconds.
    pub expire_after_idle: Option<i64>,
    /// Its memory; empty means the default.
    pub memory_namespaces: Vec<Reach>,
    /// What to do where its agent asks and nobody is there; `None` is the agent's own setting.
    pub no_approver: Option<NoApprover>,
    /// How long its questions wait, in microseconds; `None` is the agent's own setting.
    pub question_ttl: Option<i64>,
    /// What its agent may run without asking, or not at all.
    pub tool_policy: Vec<ToolRule>,
    /// The tools that the caller runs.
    pub client_tools: Vec<ClientTool>,
}

/// Enqueue and Run.
#[derive(Clone, Debug)]
pub struct Enqueue {
    /// Who and what for.
    pub caller: Caller,
    /// Settings where the session is new.
    pub new_session: NewSession,
    /// The prompt, or the text of a command.
    pub text: String,
    /// The command that it runs, in a session that exists; empty for a prompt.
    pub command: String,
    /// JSON Schema of what the turn is to answer with; empty for none.
    pub output_schema: String,
    /// The tools that the caller runs, in place of its session's; empty for those.
    pub client_tools: Vec<ClientTool>,
    /// What goes with it.
    pub attachments: Vec<Attachment>,
    /// Where it came from.
    pub source: String,
    /// Caller's own facts.
    pub metadata: BTreeMap<String, String>,
    /// What to do when busy.
    pub on_busy: OnBusy,
    /// What a crash does to it; `None` is the agent's choice.
    pub on_interrupt: Option<OnInterrupt>,
    /// How long it may run.
    pub turn_timeout: Duration,
    /// How long it may wait.
    pub queue_ttl: Option<Duration>,
    /// When it enters the queue, where that is not now: a time to come, by the system's clock.
    pub not_before: Option<Time>,
    /// W3C `traceparent` of the call; empty for none.
    pub trace_context: String,
}

/// Steer.
#[derive(Clone, Debug)]
pub struct Steer {
    /// Who and what for.
    pub caller: Caller,
    /// The text.
    pub text: String,
    /// What goes with it.
    pub attachments: Vec<Attachment>,
    /// The turn that must be active; `None` means any.
    pub expected_turn: Option<Uuid>,
    /// How long a turn may run that this becomes.
    pub turn_timeout: Duration,
    /// W3C `traceparent` of the call; empty for none.
    pub trace_context: String,
}

/// Abort.
#[derive(Clone, Debug)]
pub struct Abort {
    /// Who and what for.
    pub caller: Caller,
    /// The turn; `None` means the active one.
    pub turn_id: Option<Uuid>,
    /// Whether every waiting turn is rejected too.
    pub clear_queue: bool,
    /// How to stop.
    pub mode: AbortMode,
    /// Time between CANCEL and KILL.
    pub grace: Duration,
    /// `Aborted`, or `Disconnected` where the last stream of the turn went away.
    pub cause: Cause,
}

/// AnswerQuestion.
#[derive(Clone, Debug)]
pub struct AnswerQuestion {
    /// Who and what for.
    pub caller: Caller,
    /// The question.
    pub question_id: Uuid,
    /// The answer.
    pub answer: Answer,
    /// The question's digest as the caller saw it; empty means unchecked.
    pub action_digest: String,
}

/// UpdateQueued.
#[derive(Clone, Debug)]
pub struct UpdateQueued {
    /// Who and what for.
    pub caller: Caller,
    /// The waiting turn.
    pub turn_id: Uuid,
    /// New text.
    pub text: Option<String>,
    /// New place, 0 first; beyond the end means last.
    pub position: Option<i32>,
}

/// UpdateSession: `Some` replaces.
#[derive(Clone, Debug)]
pub struct UpdateSession {
    /// Who and what for.
    pub caller: Caller,
    /// Name for people.
    pub display_name: Option<String>,
    /// Labels, all of them.
    pub labels: Option<BTreeMap<String, String>>,
    /// Agent from the next Reset on.
    pub agent: Option<String>,
    /// Working directory from the next turn on, resolved; empty means the session's own.
    pub cwd: Option<String>,
    /// Why that is none, for a call that is no repeat.
    pub cwd_refused: Option<Refusal>,
    /// Idle expiry in microseconds; `Some(None)` means never.
    pub expire_after_idle: Option<Option<i64>>,
    /// Its memory, all of it.
    pub memory_namespaces: Option<Vec<Reach>>,
    /// What to do where its agent asks and nobody is there; `Some(None)` is the agent's own setting.
    pub no_approver: Option<Option<NoApprover>>,
    /// How long its questions wait, in microseconds; `Some(None)` is the agent's own setting.
    pub question_ttl: Option<Option<i64>>,
    /// What its agent may run without asking, or not at all; all of it.
    pub tool_policy: Option<Vec<ToolRule>>,
    /// Who else may use it, all of them; needs [`SessionAccess::Own`](crate::domain::access::SessionAccess::Own).
    pub shares: Option<Shares>,
}

/// SetModel, SetThinkingLevel, SetOption.
#[derive(Clone, Debug)]
pub struct Choose {
    /// Who and what for.
    pub caller: Caller,
    /// What is chosen.
    pub choice: Choice,
    /// Why that is known not to be offered, for a call that is no repeat.
    pub refused: Option<Refusal>,
}

/// ForkSession.
#[derive(Clone, Debug)]
pub struct Fork {
    /// Who, and which session is forked.
    pub caller: Caller,
    /// Key of the fork; must be free.
    pub new_key: SessionKey,
    /// Last turn to copy, finished; `None` means the newest finished one.
    pub turn_id: Option<Uuid>,
}

/// Whether a command became a turn or a steer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Admission {
    /// It waits as a turn.
    Queued,
    /// It steers the active turn.
    Steered,
}

/// What a command did; kept under its request id, and given again to each repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Newest `seq` of the session at the commit.
    pub seq: i64,
    /// The turn that it made or is about.
    pub turn_id: Option<Uuid>,
    /// The steer that it made.
    pub steer_id: Option<Uuid>,
    /// How it was admitted.
    pub admission: Admission,
    /// Waiting turns ahead of its turn.
    pub queue_position: i32,
    /// Turns that it took from the queue.
    pub cleared: Vec<Uuid>,
    /// Abort, Reset: false where there was nothing (left) to stop at the commit.
    pub stopping: bool,
}

/// Answer to a command: what it did then, and how things stand now.
#[derive(Clone, Debug)]
pub struct Committed {
    /// What it did; the same for each repeat.
    pub receipt: Receipt,
    /// The session as it is now.
    pub session: Arc<Session>,
    /// The receipt's turn as it is now.
    pub turn: Option<Turn>,
    /// The receipt's cleared turns as they are now.
    pub cleared: Vec<Turn>,
    /// True for a repeat.
    pub replayed: bool,
}
