//! Turns, their states, and the one table of how they end.

use super::{
    ids::{SessionKey, Time},
    routing::Routing,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use uuid::Uuid;

/// Where a turn stands. The numbers are the contract's and the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TurnState {
    /// Waits in the queue.
    Queued = 1,
    /// An agent works on it.
    Running = 2,
    /// The agent waits for an answer from outside.
    WaitingInput = 3,
    /// A stop was accepted and is not proven yet.
    Canceling = 4,
    /// The agent ended by itself.
    Completed = 5,
    /// The agent or the gateway failed.
    Failed = 6,
    /// Stopped on request after it had started.
    Canceled = 7,
    /// The gateway crashed or drained under it.
    Interrupted = 8,
    /// Taken from the queue before it started.
    Rejected = 9,
    /// Waited longer than its `queue_ttl`.
    Expired = 10,
    /// Waits for its `not_before`, outside of the queue.
    Scheduled = 11,
}

/// What to do when a turn is active or waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBusy {
    /// Wait in the queue.
    Enqueue,
    /// Refuse.
    Reject,
    /// Go first, and cancel the active turn.
    Interrupt,
    /// Steer the active turn where that is possible.
    SteerOrEnqueue,
}

/// Why the agent stopped, by its own word. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model ended its answer.
    Stop = 1,
    /// The model's output limit was reached.
    Length = 2,
    /// The agent ended on a tool call.
    ToolUse = 3,
    /// An error was reported.
    Error = 4,
    /// The turn was stopped.
    Aborted = 5,
}

/// What a crash does to a running turn. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInterrupt {
    /// It ends INTERRUPTED.
    Mark = 1,
    /// It goes back to the head of the queue.
    Retry = 2,
}

/// Why a turn did not complete: `error.reason` of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The agent reported an error.
    AgentError,
    /// What the agent answered does not meet the `output_schema`.
    OutputInvalid,
    /// The agent's process died.
    AgentExited,
    /// The agent did not start, three times.
    AgentUnavailable,
    /// It ran longer than `turn_timeout`.
    TurnTimeout,
    /// Its stop could not be proven.
    StopUnproven,
    /// RETRY was used up.
    MaxAttempts,
    /// Abort.
    Aborted,
    /// A later turn with `on_busy = INTERRUPT`.
    InterruptedByTurn,
    /// Its last `cancel_on_disconnect` stream was gone.
    Disconnected,
    /// Reset.
    SessionReset,
    /// DeleteSession.
    SessionDeleted,
    /// The gateway died under it.
    GatewayCrashed,
    /// The gateway was told to stop.
    Draining,
    /// It waited longer than `queue_ttl`.
    QueueTtl,
    /// ClearQueue, or Abort with `clear_queue`.
    QueueCleared,
    /// RemoveQueued.
    Removed,
    /// Its sender may not use the session any more, or the sender's API key was revoked.
    PermissionRevoked,
    /// A budget is used up.
    BudgetExceeded,
    /// The worker that ran it was lost.
    LeaseLost,
}

/// How to stop a turn. Ordered: a stop is only ever raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AbortMode {
    /// Ask the agent; becomes `Kill` after the grace.
    Cancel = 1,
    /// End every process that the turn started.
    Kill = 2,
}

/// An accepted stop of the active turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// What asked for it; the first one stays.
    pub cause: Cause,
    /// How to stop; raised by a later Abort.
    pub mode: AbortMode,
    /// When `Cancel` becomes `Kill`; made earlier by a later Abort.
    pub kill_time: Time,
}

/// Tokens and cost, as the agent reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read, cached ones not included.
    pub input_tokens: i64,
    /// Tokens written, reasoning included.
    pub output_tokens: i64,
    /// Tokens served from the provider's cache.
    pub cache_read_tokens: i64,
    /// Tokens written to the provider's cache.
    pub cache_write_tokens: i64,
    /// Cost in millionths of a US dollar.
    pub cost_micros: i64,
    /// Model calls that reported usage.
    pub model_calls: i64,
    /// Of these, calls whose cost nobody knows; above 0 the cost is a lower bound.
    pub unpriced_calls: i64,
    /// Tokens of reasoning, a part of those written.
    pub reasoning_tokens: i64,
}

/// Whose word a cost is. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CostSource {
    /// The agent's.
    Reported = 1,
    /// Ours, by a table of prices.
    Estimated = 2,
}

/// What a report of usage is about. The numbers are the contract's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// One model call.
    #[default]
    Call = 1,
    /// All calls of a turn, which are counted as one.
    Turn = 2,
}

/// How much of its context a model used in its newest call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextUse {
    /// Tokens in it.
    pub tokens: i64,
    /// Tokens that it holds; 0 where that is not known.
    pub window: i64,
}

/// Why a turn did not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnError {
    /// The reason of the contract's table.
    pub cause: Cause,
    /// One sentence for people.
    pub message: String,
}

/// A stored attachment, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentRef {
    /// SHA-256 of the content, lower-case hex.
    pub attachment_id: String,
    /// File name as given.
    pub name: String,
    /// Media type as given.
    pub media_type: String,
    /// Size in bytes.
    pub size: i64,
}

/// An attachment with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What stands for it elsewhere.
    pub reference: AttachmentRef,
    /// The content.
    pub data: bytes::Bytes,
}

/// One accepted input and all that came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The store's row; grows with admission.
    pub row: i64,
    /// UUIDv7 of admission.
    pub turn_id: Uuid,
    /// Its session.
    pub session_key: SessionKey,
    /// Generation that it belongs to.
    pub generation: i64,
    /// Where it stands.
    pub state: TurnState,
    /// The prompt, whole.
    pub text: String,
    /// Final assistant text of this turn, whole.
    pub response_text: String,
    /// What it answers its `output_schema` with, JSON text; empty where it has none, or has not COMPLETED.
    pub output_json: String,
    /// Why the agent stopped.
    pub stop_reason: Option<StopReason>,
    /// Why it did not complete.
    pub error: Option<TurnError>,
    /// Starts so far.
    pub attempt: i32,
    /// Who sent it, `tenant/subject`.
    pub principal: String,
    /// Agent that runs it.
    pub agent: String,
    /// Configuration of that agent at the newest start; empty while it never started, and of turns of earlier versions.
    pub agent_revision: String,
    /// Model that is used, as far as known.
    pub model: String,
    /// Thinking level that was asked for at the newest start.
    pub thinking_level: String,
    /// How its newest start was routed.
    pub routing: Arc<Routing>,
    /// What it used.
    pub usage: Usage,
    /// Admission.
    pub create_time: Time,
    /// Newest start.
    pub start_time: Option<Time>,
    /// Terminal state.
    pub end_time: Option<Time>,
    /// Where the input came from.
    pub source: String,
    /// Caller's own facts.
    pub metadata: BTreeMap<String, String>,
    /// What goes with the prompt.
    pub attachments: Vec<AttachmentRef>,
    /// What a crash does to it; `None` is the agent's choice.
    pub on_interrupt: Option<OnInterrupt>,
    /// How long it may run.
    pub turn_timeout: Duration,
    /// When it expires while it waits.
    pub expire_time: Option<Time>,
    /// The accepted stop, while it is being stopped.
    pub cancel: Option<Cancel>,
    /// W3C `traceparent` of the call that sent it; empty where there was none.
    pub trace_context: String,
    /// The command that it runs; empty for a prompt.
    pub command: String,
    /// It did not enter the queue before this time, by the system's clock.
    pub not_before: Option<Time>,
}

// === impl AttachmentRef ===

impl AttachmentRef {
    /// Whether it is given to a model as an image.
    pub fn is_image(&self) -> bool {
        self.media_type.starts_with("image/")
    }
}

// === impl TurnState ===

impl TurnState {
    /// Every state, in the contract's order.
    pub const ALL: [Self; 11] = [
        Self::Queued,
        Self::Running,
        Self::WaitingInput,
        Self::Canceling,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Interrupted,
        Self::Rejected,
        Self::Expired,
        Self::Scheduled,
    ];

    /// The state with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|s| *s as i64 == number)
    }

    /// True where no other state can follow.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Queued
            | Self::Running
            | Self::WaitingInput
            | Self::Canceling
            | Self::Scheduled => false,
            Self::Completed
            | Self::Failed
            | Self::Canceled
            | Self::Interrupted
            | Self::Rejected
            | Self::Expired => true,
        }
    }
}

impl StopReason {
    /// The reason with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        [
            Self::Stop,
            Self::Length,
            Self::ToolUse,
            Self::Error,
            Self::Aborted,
        ]
        .into_iter()
        .find(|s| *s as i64 == number)
    }
}

// === impl Cause ===

impl Cause {
    /// Why a turn waits: nobody who has room runs its agent.
    pub const NO_WORKER: &'static str = "NO_WORKER";

    const ALL: [Self; 20] = [
        Self::AgentError,
        Self::OutputInvalid,
        Self::AgentExited,
        Self::AgentUnavailable,
        Self::TurnTimeout,
        Self::StopUnproven,
        Self::MaxAttempts,
        Self::Aborted,
        Self::InterruptedByTurn,
        Self::Disconnected,
        Self::SessionReset,
        Self::SessionDeleted,
        Self::GatewayCrashed,
        Self::Draining,
        Self::QueueTtl,
        Self::QueueCleared,
        Self::Removed,
        Self::PermissionRevoked,
        Self::BudgetExceeded,
        Self::LeaseLost,
    ];

    /// `error.reason` of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AgentError => "AGENT_ERROR",
            Self::OutputInvalid => "OUTPUT_INVALID",
            Self::AgentExited => "AGENT_EXITED",
            Self::AgentUnavailable => "AGENT_UNAVAILABLE",
            Self::TurnTimeout => "TURN_TIMEOUT",
            Self::StopUnproven => "STOP_UNPROVEN",
            Self::MaxAttempts => "MAX_ATTEMPTS",
            Self::Aborted => "ABORTED",
            Self::InterruptedByTurn => "INTERRUPTED_BY_TURN",
            Self::Disconnected => "DISCONNECTED",
            Self::SessionReset => "SESSION_RESET",
            Self::SessionDeleted => "SESSION_DELETED",
            Self::GatewayCrashed => "GATEWAY_CRASHED",
            Self::Draining => "DRAINING",
            Self::QueueTtl => "QUEUE_TTL",
            Self::QueueCleared => "QUEUE_CLEARED",
            Self::Removed => "REMOVED",
            Self::PermissionRevoked => "PERMISSION_REVOKED",
            Self::BudgetExceeded => "BUDGET_EXCEEDED",
            Self::LeaseLost => "LEASE_LOST",
        }
    }

    /// The cause with that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == name)
    }

    /// How a turn ends that this cause ends: the table of the contract's §4.
    /// `started` says whether an agent was ever given the turn.
    pub fn end(self, started: bool) -> (TurnState, Option<StopReason>) {
        match self {
            Self::AgentError
            | Self::OutputInvalid
            | Self::AgentExited
            | Self::AgentUnavailable
            | Self::StopUnproven
            | Self::MaxAttempts => (TurnState::Failed, Some(StopReason::Error)),
            Self::TurnTimeout => (TurnState::Failed, Some(StopReason::Aborted)),
            Self::GatewayCrashed | Self::LeaseLost | Self::Draining => {
                (TurnState::Interrupted, Some(StopReason::Aborted))
            }
            Self::BudgetExceeded if started => (TurnState::Failed, Some(StopReason::Error)),
            Self::QueueTtl if !started => (TurnState::Expired, None),
            Self::Aborted
            | Self::InterruptedByTurn
            | Self::Disconnected
            | Self::SessionReset
            | Self::SessionDeleted
            | Self::QueueTtl
            | Self::QueueCleared
            | Self::Removed
            | Self::PermissionRevoked
            | Self::BudgetExceeded => {
                if started {
                    (TurnState::Canceled, Some(StopReason::Aborted))
                } else {
                    (TurnState::Rejected, None)
                }
            }
        }
    }

    /// One sentence for people, where nothing more is known.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AgentError => "the agent reported an error",
            Self::OutputInvalid => "the agent gave no output that meets the output_schema",
            Self::AgentExited => "the agent's process ended during the turn",
            Self::AgentUnavailable => "the agent did not start",
            Self::TurnTimeout => "the turn ran longer than its turn_timeout",
            Self::StopUnproven => "the stop of the turn could not be proven",
            Self::MaxAttempts => "the gateway or its worker died under every allowed attempt",
            Self::Aborted => "the turn was aborted",
            Self::InterruptedByTurn => "a later turn interrupted it",
            Self::Disconnected => "its last caller was gone",
            Self::SessionReset => "the session was reset",
            Self::SessionDeleted => "the session was deleted",
            Self::GatewayCrashed => "the gateway died while the turn ran",
            Self::LeaseLost => "the worker that ran the turn was lost",
            Self::Draining => "the gateway was told to stop while the turn ran",
            Self::QueueTtl => "the turn waited longer than its queue_ttl",
            Self::QueueCleared => "the queue was cleared",
            Self::Removed => "the turn was taken from the queue",
            Self::PermissionRevoked => {
                "its sender may not use the session any more, or the sender's API key was revoked"
            }
            Self::BudgetExceeded => "a budget is used up",
        }
    }
}

// === impl Usage ===

impl Usage {
    /// All tokens, wherever they came from or went to.
    pub fn tokens(&self) -> i64 {
        [
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
        ]
        .into_iter()
        .fold(0, i64::saturating_add)
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        let Self {
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            cost_micros,
            model_calls,
            unpriced_calls,
            reasoning_tokens,
        } = other;
        self.input_tokens += input_tokens;
        self.output_tokens += output_tokens;
        self.cache_read_tokens += cache_read_tokens;
        self.cache_write_tokens += cache_write_tokens;
        self.cost_micros += cost_micros;
        self.model_calls += model_calls;
        self.unpriced_calls += unpriced_calls;
        self.reasoning_tokens += reasoning_tokens;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_never_started_is_rejected_or_expired_and_one_that_started_never_is() {
        for cause in Cause::ALL {
            let (state, _) = cause.end(true);
            assert!(state.is_terminal());
            assert!(
                !matches!(state, TurnState::Rejected | TurnState::Expired),
                "{cause:?}"
            );
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
        }
        for cause in [
            Cause::SessionReset,
            Cause::SessionDeleted,
            Cause::QueueCleared,
            Cause::Removed,
            Cause::PermissionRevoked,
            Cause::BudgetExceeded,
        ] {
            assert_eq!(cause.end(false), (TurnState::Rejected, None));
        }
        assert_eq!(Cause::QueueTtl.end(false), (TurnState::Expired, None));
    }
}
