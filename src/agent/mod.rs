//! The agent contract: what a driver is told, and what it says.
//!
//! A driver opens one agent for one awake session. From then on the two sides only exchange messages: the session's
//! actor sends [`AgentCommand`]s, the agent sends [`AgentEvent`]s, both over bounded channels. Dropping the command
//! sender ends the agent and everything it started.
//!
//! What an agent promises:
//! * After `StartTurn` it sends exactly one end: `TurnEnded`, or `Exited` where its process died.
//! * A `TurnEnded` after `Cancel` or `Kill`, and any `Exited`, is the proof that nothing which the turn started is left.
//!   Where it can't prove that it sends `StopFailed`, and the actor opens a fresh agent for the next turn.
//! * Nothing of a turn comes after its end. After `Exited` the channel closes.
//! * An agent that will take no other turn closes its command channel before it says the end of its last one.
//! * Every steer that it was given is answered by `SteerApplied` or `SteerReturned`, or by the turn's end.
//! * Every `Asked` is answered by one `Answer`, unless the agent withdraws it, or the turn ends or is stopped first: then
//!   the driver itself tells its agent "no", and no answer comes. `AnswerDelivered` says that the agent has it.

pub mod acp;
mod confine;
pub mod conversation;
pub mod echo;
pub mod events;
pub mod fence;
mod input;
pub mod isolation;
mod json;
pub mod keeper;
#[cfg(target_os = "linux")]
mod lineage;
#[cfg(not(target_os = "linux"))]
#[path = "lineage_elsewhere.rs"]
mod lineage;
mod lines;
pub mod llm;
mod output;
pub mod pi;
pub mod process;
mod secrets;
pub mod submit;
mod tool_output;
pub(crate) mod transcript;

pub use crate::domain::agent::Capabilities;

use crate::{
    auth::agents::AgentCredential,
    domain::{
        client_tool::ClientTool,
        command::Command,
        event::PlanEntry,
        ids::Time,
        limits::KILL_PROOF_MAX,
        offers::{Choices, Offers},
        question::{Answer, Ask},
        subagent::SubagentEvent,
        turn::{Attachment, StopReason},
        usage::UsageReport,
    },
};
use async_trait::async_trait;
use conversation::Conversation;
use events::EventReceiver;
pub use output::OUTPUT_MAX_BYTES;
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Commands that may wait for an agent.
pub const COMMANDS_MAX: usize = 16;

/// Longest transcript of a conversation that an agent lost, in bytes.
pub const TRANSCRIPT_MAX_BYTES: usize = 64 * 1024;

/// What an agent is opened for. All paths exist already.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// Tenant of the session; never part of a path as it stands.
    pub tenant: String,
    /// The caller's key; never part of a path as it stands.
    pub session_key: String,
    /// UUIDv7 of the generation: the agent's own conversation is stored under this name.
    pub session_id: Uuid,
    /// Model asked for; empty means the agent's default.
    pub model: String,
    /// Thinking level asked for; empty means the agent's default.
    pub thinking_level: String,
    /// Working directory of the agent.
    pub working_directory: PathBuf,
    /// Where this session's agent files live; removed with the session.
    pub session_directory: PathBuf,
    /// Where the agents of this name keep what all sessions of one owner share (settings, credentials).
    pub owner_directory: PathBuf,
    /// Where the server lays out files that the agent only reads.
    pub gateway_directory: PathBuf,
    /// `HOME` of the agent: this session's alone, so that what one agent leaves for a program to find there never
    /// reaches another's.
    pub home_directory: PathBuf,
    /// `TMPDIR` of the agent: this session's alone, for the same reason. Programs trust what they find in their
    /// temporary directory: pi runs code that it compiled into it.
    pub temporary_directory: PathBuf,
    /// User id that its processes are to have, to whom all of these directories belong; `None` is the server's.
    pub user: Option<u32>,
    /// What its process calls the gateway with; ends once the request and all that took a clone of it are gone. `None`
    /// where the gateway has nothing for agents to call.
    pub credential: Option<AgentCredential>,
    /// The session's stored messages, for a driver that keeps no conversation of its own.
    pub conversation: Arc<dyn Conversation>,
    /// W3C `traceparent` of the turn that it is opened for: `TRACEPARENT` in the environment of a process that is started.
    /// A process that lives over several turns keeps the first one's; each turn's own is in its [`TurnInput`].
    pub trace_context: String,
}

/// One start of a turn.
#[derive(Clone, Debug)]
pub struct TurnInput {
    /// The turn.
    pub turn_id: Uuid,
    /// Which start of it, from 1.
    pub attempt: i32,
    /// Epoch of the owner that starts it. `(turn_id, attempt, epoch)` is never given twice.
    pub epoch: i64,
    /// The prompt, or the text of a command.
    pub text: String,
    /// The command that `text` is, its own or [`COMPACT`](crate::domain::command::COMPACT), which is to shorten the
    /// conversation. Empty for a prompt, which reaches the model as it stands, whatever it begins with.
    pub command: String,
    /// What goes with the prompt.
    pub attachments: Vec<Attachment>,
    /// What memory holds for this prompt, marked as memory, at most [`crate::domain::memory::MEMORY_CONTEXT_MAX_BYTES`]; empty where there is
    /// nothing. It stands beside the prompt, never in it: what the agent keeps as the user's message is `text`.
    pub memory_context: String,
    /// What is chosen for the session as of this start. An agent that [takes choices](Agent::takes_choices) goes by it: what
    /// it can't choose ends the turn, FAILED, with the reason.
    pub choices: Choices,
    /// The conversation so far, marked as such, where the agent lost its own: goes in front of the prompt, at most
    /// [`TRANSCRIPT_MAX_BYTES`]; empty where it remembers.
    pub transcript: String,
    /// User messages of this generation that were committed before this one, steers included.
    pub user_messages_before: i64,
    /// W3C `traceparent` of the turn.
    pub trace_context: String,
    /// A driver that calls models itself asks before each call, see [`AgentEvent::CallWanted`].
    pub calls_are_granted: bool,
    /// JSON Schema of what the turn is to answer with; empty for none. The turn completes by an `OutputAccepted` then.
    pub output_schema: String,
    /// Tools that the caller runs, which the model is offered: one that it calls is asked for as a TOOL_CALL.
    pub client_tools: Vec<ClientTool>,
}

/// A conversation that goes on in another session too.
#[derive(Clone, Debug)]
pub struct ForkRequest {
    /// Where the agent files of the session live that is forked. Its agent writes there, perhaps now.
    pub from_directory: PathBuf,
    /// Generation of that session.
    pub from_id: Uuid,
    /// Where the new session's live.
    pub to_directory: PathBuf,
    /// Generation of the new session.
    pub to_id: Uuid,
    /// End of the last turn that is copied: nothing that was written after it is.
    pub until: Time,
}

/// What a session's actor tells its agent.
#[derive(Clone, Debug)]
pub enum AgentCommand {
    /// Run a turn. Sent only while none runs.
    StartTurn(Box<TurnInput>),
    /// Give text to the running turn.
    Steer {
        /// The steer; comes back in `SteerApplied` or `SteerReturned`.
        steer_id: Uuid,
        /// The text.
        text: String,
        /// What goes with it.
        attachments: Vec<Attachment>,
    },
    /// The answer to what the running turn asked. One that crossed the question's withdrawal is passed over.
    Answer {
        /// As in `Asked`.
        ask_id: String,
        /// What was answered; `declined` where nobody did in time, or where nobody may.
        answer: Box<Answer>,
    },
    /// The model call that the running turn [wants](AgentEvent::CallWanted) may begin.
    Call,
    /// Stop the turn the soft way.
    Cancel,
    /// End every process that the turn started.
    Kill,
}

/// How a turn ended, by the agent's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended by itself; `Stop`, `Length` or `ToolUse`.
    Completed(StopReason),
    /// It reported an error.
    Failed(String),
    /// It came to no output that meets the schema; what is wrong with the last, for people.
    OutputInvalid(String),
    /// It was stopped.
    Stopped,
}

/// What an agent says. Ids of messages and tools are the actor's to give.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// The agent is up. Sent once, before anything else.
    Ready {
        /// The model that it will use, where it knows.
        model: String,
    },
    /// An assistant message begins; the one before is complete.
    MessageStarted,
    /// Text of a block of the open message.
    TextDelta {
        /// Block of the message.
        content_index: i32,
        /// Text to append.
        delta: String,
    },
    /// Thinking of a block of the open message.
    ThinkingDelta {
        /// Block of the message.
        content_index: i32,
        /// Text to append.
        delta: String,
    },
    /// Arguments of a tool call while the model writes them.
    ToolInputDelta {
        /// Block of the message.
        content_index: i32,
        /// The agent's id of the call; may be empty while it is not known.
        tool_call_id: String,
        /// Name of the tool; may be empty while it is not known.
        tool_name: String,
        /// Text to append.
        delta: String,
    },
    /// A thinking block of the open message is whole.
    ThinkingCompleted {
        /// Block of the message.
        content_index: i32,
        /// Its text; replaces what deltas built.
        text: String,
    },
    /// The open message is whole.
    MessageCompleted {
        /// Its text blocks with their places; they replace what deltas built.
        blocks: Vec<(i32, String)>,
    },
    /// A tool runs.
    ToolStarted {
        /// The agent's id of the call; unique in its turn.
        tool_call_id: String,
        /// Name of the tool.
        tool_name: String,
        /// Arguments as JSON text.
        args_json: String,
    },
    /// Result so far of a running tool; replaces the one before.
    ToolUpdate {
        /// The call.
        tool_call_id: String,
        /// JSON text.
        partial_result_json: String,
    },
    /// A tool ended.
    ToolCompleted {
        /// The call.
        tool_call_id: String,
        /// Result as JSON text.
        result_json: String,
        /// True where it failed.
        is_error: bool,
        /// Size of the whole result in bytes, where `result_json` is not all of it.
        full_size: Option<usize>,
        /// Pictures of the result that stand beside it: too large to stand in an event. `result_json` names them by their
        /// `attachmentId`.
        pictures: Vec<Attachment>,
    },
    /// The agent took a steer; what it does next knows it.
    SteerApplied {
        /// The steer.
        steer_id: Uuid,
    },
    /// The agent did not take a steer and never will.
    SteerReturned {
        /// The steer.
        steer_id: Uuid,
    },
    /// The agent needs an answer from outside; what waits for it stands still until then.
    Asked {
        /// The driver's own id of it, at most 1 KiB; unique in the turn.
        ask_id: String,
        /// What is asked.
        ask: Box<Ask>,
    },
    /// The agent does not need the answer any more.
    AskWithdrawn {
        /// As in `Asked`.
        ask_id: String,
    },
    /// The agent has the answer that it was given.
    AnswerDelivered {
        /// As in `Asked`.
        ask_id: String,
    },
    /// What the agent means to do; replaces the plan before.
    PlanUpdated {
        /// Its steps in order.
        entries: Vec<PlanEntry>,
    },
    /// Something about a sub-agent, which it started in this turn.
    Subagent {
        /// The agent's id of it, unique in the turn.
        agent_id: String,
        /// What it says of it.
        said: Box<SubagentEvent>,
    },
    /// It made something for its caller to keep, of at most
    /// [`ATTACHMENT_MAX_BYTES`](crate::domain::limits::ATTACHMENT_MAX_BYTES).
    ArtifactCreated {
        /// For people; empty where its name says it.
        title: String,
        /// The thing.
        artifact: Box<Attachment>,
    },
    /// What can be chosen in the session, and what is in use. Comes in a turn, before its first message: in an agent's first
    /// one, and whenever something of it has changed.
    Offered {
        /// All of it; replaces what was told before.
        offers: Box<Offers>,
    },
    /// The commands that it has from now on; said in a turn or between two.
    CommandsChanged {
        /// Its own commands, at most [`COMMANDS_MAX`](crate::domain::command::COMMANDS_MAX).
        commands: Vec<Command>,
    },
    /// What the turn answers its schema with; a later one replaces it. Counts where the turn completes.
    OutputAccepted {
        /// JSON text that meets the schema, at most [`OUTPUT_MAX_BYTES`].
        output_json: String,
    },
    /// What a model call used, or a turn.
    UsageRecorded(Box<UsageReport>),
    /// A model call is about to begin. The agent waits until it [may](AgentCommand::Call), or is stopped: a budget may be
    /// used up. Said where the turn [asks for it](TurnInput::calls_are_granted).
    CallWanted {
        /// The model, as the agent names it.
        model: String,
    },
    /// The agent shortens its context.
    CompactionStarted {
        /// `manual`, `threshold` or `overflow`.
        reason: String,
    },
    /// The agent shortened its context, or failed to.
    CompactionCompleted {
        /// As above.
        reason: String,
        /// What replaces the older messages.
        summary: String,
        /// True where it was given up.
        aborted: bool,
        /// What went wrong; empty where nothing did.
        error_message: String,
        /// Tokens in the context before.
        tokens_before: i64,
        /// The summary is to stand among the session's messages, in the place of those before the turn: the driver has no
        /// other memory of it.
        kept: bool,
    },
    /// The agent will try a model call again.
    RetryScheduled {
        /// Number of the coming attempt, from 1.
        attempt: i32,
        /// Attempts at most.
        max_attempts: i32,
        /// Time until then.
        delay: Duration,
        /// What failed.
        error_message: String,
    },
    /// The turn ended.
    TurnEnded(Outcome),
    /// The process ended, and with it everything that it started.
    Exited {
        /// Exit status and the last lines of its standard error, at most 4 KiB, secrets not included.
        message: String,
    },
    /// The machine that ran it was out of reach for so long that it has ended it by itself, with all that it started.
    Lost {
        /// What is known, for people.
        message: String,
    },
    /// A stop could not be proven.
    StopFailed {
        /// What is left, for people.
        survivors: String,
    },
}

/// The two ends that an actor holds of its agent.
#[derive(Debug)]
pub struct Agent {
    /// Dropping it ends the agent and everything it started.
    pub commands: mpsc::Sender<AgentCommand>,
    /// Closed after the agent's last event.
    pub events: EventReceiver,
    /// What this agent can do: known only once it started, where one driver serves agents of many kinds.
    pub capabilities: Capabilities,
    /// Takes other [choices](TurnInput::choices) with each turn; where false, it is opened anew for them.
    pub takes_choices: bool,
    /// False where it did not find a conversation of its own to go on with. Where there is a stored one, its first prompt
    /// then comes with a transcript.
    pub remembers: bool,
    /// It gives what a turn answers with by the tool `submit_result`, see [`submit`]; where false it says `OutputAccepted` itself.
    pub submits: bool,
    /// Version of its program, as that tells; empty where it does not.
    pub version: String,
}

/// Room for one turn where it will run; given back when it is dropped.
#[derive(Default)]
pub struct TurnRoom {
    _held: Option<Box<dyn Send + Sync>>,
}

/// Why an agent did not start. For people; holds no secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// A way to run turns.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// What its agents can do, as far as is known before one starts; constant for the driver's life. What may be missing
    /// counts as there: a caller is refused only what is known not to work.
    fn capabilities(&self) -> Capabilities;

    /// True where its agents serve the operator's tenant alone, since nothing keeps their processes from others' on this
    /// server. Whoever asks for another tenant gets `ISOLATION_REQUIRED`.
    fn operator_only(&self) -> bool {
        false
    }

    /// Opens an agent for a session. Returns once `Ready` is certain to come, or fails within the driver's own start
    /// limit, leaving no process behind.
    ///
    /// # Errors
    /// What went wrong, for people.
    async fn open(&self, request: OpenRequest) -> Result<Agent, StartError>;

    /// Takes room for the next turn of a tenant's session, before it starts; `None` where there is none: the turn waits.
    async fn room(&self, _: &str, _: Uuid) -> Option<TurnRoom> {
        Some(TurnRoom::default())
    }

    /// How long the proof of a stop may take.
    fn proof_max(&self) -> Duration {
        KILL_PROOF_MAX
    }

    /// Copies what an agent keeps of a conversation to a session that is forked from it. One that keeps nothing, or can't
    /// copy it, does nothing: the new session's agent is told the stored conversation then.
    ///
    /// # Errors
    /// What the system says; what is there then is no conversation.
    async fn fork(&self, _: ForkRequest) -> io::Result<()> {
        Ok(())
    }

    /// Ends what an earlier life of the gateway left running. Called once at start, under the data directory's lock.
    async fn sweep_leftovers(&self) {}
}

// === impl TurnRoom ===

impl TurnRoom {
    /// Room that is held by something.
    pub fn held(by: impl Send + Sync + 'static) -> Self {
        Self {
            _held: Some(Box::new(by)),
        }
    }
}
