//! Every "no" the product can say, with its facts. `grpc/status.rs` turns each into a status; nothing else does.

use super::{access::Scope, ids::LogId};
use std::{fmt, time::Duration};

/// Where a log begins and ends; goes with every refusal of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The log.
    pub log_id: LogId,
    /// Oldest durable event that is kept.
    pub first_seq: i64,
    /// Newest durable event.
    pub head_seq: i64,
}

/// Whose bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitOf {
    /// One session's.
    Session,
    /// One principal's.
    Principal,
    /// One tenant's.
    Tenant,
    /// One peer address's.
    Address,
    /// The whole server's.
    Server,
    /// One memory scope's.
    Scope,
}

/// A "no", with what the caller needs to go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Fields of the request are wrong, all of them at once.
    #[error("invalid {}: {}", fields[0].0, fields[0].1)]
    InvalidField {
        /// Field and what is wrong with it; never empty.
        fields: Vec<(String, String)>,
    },
    /// The bytes are no such message.
    #[error(
        "the request can't be decoded: {problem}; check that client and server use the same proto"
    )]
    MalformedRequest {
        /// What the decoder said.
        problem: String,
    },
    /// The call carries no credential.
    #[error(
        "this server asks for a credential: `authorization: Bearer KEY` (command line: --key or QUARTERDECK_KEY)"
    )]
    CredentialsMissing,
    /// The credential is not valid, whatever the reason.
    #[error("the credential is not valid: unknown, malformed, expired or revoked")]
    CredentialsInvalid,
    /// The credential lacks a scope.
    #[error("this call needs the scope {scope}, which the credential does not have")]
    ScopeRequired {
        /// The scope.
        scope: Scope,
    },
    /// The credential does not have all scopes, as `*` gives them.
    #[error(
        "this needs a credential with the scope `*`, which holds all scopes and those of later versions"
    )]
    EveryScopeRequired,
    /// The session belongs to somebody else.
    #[error("session {key} belongs to another principal, who would have to share it")]
    SessionNotYours {
        /// The key.
        key: String,
    },
    /// Too many calls in a short time.
    #[error("the {of} makes more than {limit} {}; retry later", if *of == LimitOf::Address { "failed calls a minute" } else { "calls a second" })]
    RateLimited {
        /// Whose bound it is.
        of: LimitOf,
        /// The bound, in calls a second (of an address: failed ones a minute).
        limit: i64,
        /// When the next call will be taken.
        retry_after: Duration,
    },
    /// No such API key in the tenant.
    #[error("API key {key_id} does not exist")]
    ApiKeyNotFound {
        /// The id as given.
        key_id: String,
    },
    /// No such session.
    #[error("session {key} does not exist; Enqueue or CreateSession creates it")]
    SessionNotFound {
        /// The key.
        key: String,
    },
    /// The session was deleted, within the time that tombstones are kept.
    #[error("session {key} was deleted")]
    SessionDeleted {
        /// The key.
        key: String,
    },
    /// No such turn in that session.
    #[error("turn {turn_id} does not exist in this session")]
    TurnNotFound {
        /// The id as given.
        turn_id: String,
    },
    /// The caller has no such schedule.
    #[error("you have no schedule {name}; ListSchedules tells which there are")]
    ScheduleNotFound {
        /// The name as given.
        name: String,
    },
    /// The caller has no such webhook.
    #[error("you have no webhook {webhook_id}; ListWebhooks tells which there are")]
    WebhookNotFound {
        /// The id as given.
        webhook_id: String,
    },
    /// No such worker is connected.
    #[error("no worker {name} is connected; ListWorkers tells which are")]
    WorkerNotFound {
        /// The name as given.
        name: String,
    },
    /// No such question in that session.
    #[error("question {question_id} does not exist in this session")]
    QuestionNotFound {
        /// The id as given.
        question_id: String,
    },
    /// The agent is known not to have that model.
    #[error("the agent has no model {model}; it has: {offered}")]
    ModelNotFound {
        /// As asked for.
        model: String,
        /// Those that it has, the first of many.
        offered: String,
    },
    /// The agent is known not to have that option.
    #[error("the agent has no option {option_id}{}", if offered.is_empty() { String::new() } else { format!("; it has: {offered}") })]
    OptionNotFound {
        /// As asked for.
        option_id: String,
        /// Those that it has, the first of many.
        offered: String,
    },
    /// Neither the gateway nor the session's agent has such a command.
    #[error("there is no command {name} in this session; ListCommands tells which there are")]
    CommandNotFound {
        /// The name as given.
        name: String,
    },
    /// The question is closed; the first answer counts.
    #[error("question {question_id} is closed: {state}, {resolution}{}{}",
        if answered_by.is_empty() { String::new() } else { format!(" by {answered_by}") },
        if option_id.is_empty() { String::new() } else { format!(": {option_id}") })]
    AlreadyAnswered {
        /// The question.
        question_id: String,
        /// Where it stands.
        state: &'static str,
        /// What closed it.
        resolution: &'static str,
        /// Who answered; empty where nobody did.
        answered_by: String,
        /// The option that was chosen, or `declined`; empty where content answered, or nobody did.
        option_id: String,
    },
    /// No such attachment in that session.
    #[error("attachment {attachment_id} does not exist in this session")]
    AttachmentNotFound {
        /// The id as given.
        attachment_id: String,
    },
    /// No such memory in what the caller may see.
    #[error("memory {id} does not exist")]
    MemoryNotFound {
        /// The id as given.
        id: String,
    },
    /// A bound of memory.
    #[error("the {of} has {current} of {limit} memories already; Forget some with hard")]
    MemoryFull {
        /// Whose bound it is.
        of: LimitOf,
        /// The bound.
        limit: i64,
        /// How many there are.
        current: i64,
    },
    /// The vectors are of another model than the configured one.
    #[error(
        "the vectors are of the embedding model {stored}, the server is set to {configured}; \
         RebuildMemory embeds all anew, mode LEXICAL needs no vectors"
    )]
    EmbeddingMismatch {
        /// Model of the vectors.
        stored: String,
        /// The configured model.
        configured: String,
    },
    /// A secret was sealed with another key than the server has.
    #[error(
        "this server's memory key is not the one that the secret was sealed with; put the old key back, or Forget the secret"
    )]
    SecretUnreadable,
    /// The mode needs an embedding model, and none is configured.
    #[error(
        "this server has no embedding model: set one in its configuration, or search with mode LEXICAL"
    )]
    EmbeddingMissing,
    /// The embedding model does not answer.
    #[error("the embedding model does not answer ({problem}); retry, or search with mode LEXICAL")]
    EmbeddingUnavailable {
        /// What went wrong, without secrets.
        problem: String,
    },
    /// The `request_id` was used for another request.
    #[error("request_id {request_id} was used for another request; make a new one")]
    IdempotencyConflict {
        /// The id.
        request_id: String,
    },
    /// The key is taken.
    #[error("session {key} exists already")]
    SessionExists {
        /// The key.
        key: String,
    },
    /// `on_busy = REJECT`.
    #[error("the session is busy; wait for its turn to end, or use another on_busy")]
    SessionBusy {
        /// The active turn; where turns only wait, the one that is next.
        active_turn_id: String,
    },
    /// `expected_turn_id` is not the active turn.
    #[error("the active turn is another one, or none is active")]
    TurnMismatch {
        /// The active turn; empty where none is.
        active_turn_id: String,
    },
    /// The turn does not wait any more.
    #[error("turn {turn_id} does not wait in the queue (any more)")]
    TurnNotQueued {
        /// The turn.
        turn_id: String,
    },
    /// The primary session can't be deleted.
    #[error(
        "session {key} is the primary session and can't be deleted; Reset gives it a fresh conversation"
    )]
    PrimarySession {
        /// The key.
        key: String,
    },
    /// The cursor counts in another log.
    #[error(
        "the log is another one than the cursor's; read the session's state and subscribe after its seq"
    )]
    LogChanged(LogRange),
    /// The events after the cursor are not kept any more.
    #[error(
        "events after the cursor are no longer kept; read the session's state and subscribe after its seq"
    )]
    CursorExpired(LogRange),
    /// The cursor is beyond the newest event.
    #[error("the cursor is beyond the newest event")]
    CursorAhead(LogRange),
    /// The session has another agent.
    #[error("the session's agent is {agent}; leave agent empty, or UpdateSession and Reset")]
    AgentMismatch {
        /// The session's agent.
        agent: String,
    },
    /// The agent can't do that.
    #[error("agent {agent} can't {what}")]
    UnsupportedByAgent {
        /// The agent.
        agent: String,
        /// What it can't.
        what: &'static str,
    },
    /// The agent's processes are not isolated on this server, so it serves the operator's tenant alone.
    #[error(
        "agent {agent} serves the tenant `default` alone, for nothing keeps its processes from others on this server; use \
         another agent, or ask the operator to set up isolation, and credentials"
    )]
    IsolationRequired {
        /// The agent.
        agent: String,
    },
    /// The session is in another generation.
    #[error("the session is in generation {generation}; read it again before you retry")]
    GenerationMismatch {
        /// The present generation.
        generation: i64,
    },
    /// The routes have changed since they were read.
    #[error(
        "the routes have changed since you read them; read them again (ListRoutes) before you set them"
    )]
    RoutesChanged {
        /// What they are called now.
        etag: String,
    },
    /// Another owner has taken the session.
    #[error("another owner has taken the session")]
    Fenced,
    /// A bound of a queue.
    #[error("the {of}'s queue is full ({current} of {limit} {unit}); retry after a turn has ended")]
    QueueFull {
        /// Whose bound it is.
        of: LimitOf,
        /// What is counted: `turns`, `bytes` or `steers`.
        unit: &'static str,
        /// The bound.
        limit: i64,
        /// How much there is.
        current: i64,
    },
    /// A budget is used up.
    #[error("{message}")]
    BudgetExceeded {
        /// Which budget, and how much of how much.
        message: String,
    },
    /// A bound of the store.
    #[error("the {of} has {current} of {limit} sessions already; delete some")]
    TooManySessions {
        /// Whose bound it is.
        of: LimitOf,
        /// The bound.
        limit: i64,
        /// How many there are.
        current: i64,
    },
    /// A bound of what is stored.
    #[error(
        "the {of} has {current} of {limit} bytes of events, history and attachments already; delete sessions, or let \
         retention take what is old"
    )]
    TooManyBytes {
        /// Whose bound it is.
        of: LimitOf,
        /// The bound.
        limit: i64,
        /// How much there is.
        current: i64,
    },
    /// A bound of the store.
    #[error(
        "the tenant has {current} of {limit} API keys that are valid already; revoke some, or give them a ttl"
    )]
    TooManyKeys {
        /// The bound.
        limit: i64,
        /// How many there are.
        current: i64,
    },
    /// A bound of streams.
    #[error("the {of} has {current} of {limit} streams open already; close some")]
    TooManyStreams {
        /// Whose bound it is.
        of: LimitOf,
        /// The bound.
        limit: i64,
        /// How many there are.
        current: i64,
    },
    /// A bound of calls that wait.
    #[error(
        "the {of} has {current} of {limit} {what} already; let some end, or follow many turns with one SubscribeMany"
    )]
    TooManyWaits {
        /// Whose bound it is.
        of: LimitOf,
        /// What is counted: calls that wait for news, or for what they stop.
        what: &'static str,
        /// The bound.
        limit: i64,
        /// How many there are.
        current: i64,
    },
    /// Too many answers wait to be taken.
    #[error(
        "the server holds {current} of {limit} bytes of answers that their callers have not taken; ask again later"
    )]
    AnswersWaiting {
        /// The bound, in bytes.
        limit: usize,
        /// What is held, in bytes.
        current: usize,
    },
    /// The message is larger than its RPC takes.
    #[error("the message is larger than {limit} bytes")]
    MessageTooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// Less disk than `disk_reserve`.
    #[error("the disk is nearly full; new work is refused until there is room")]
    StorageFull,
    /// The server is going to stop.
    #[error("the server is going to stop; retry on another connection")]
    Draining {
        /// Newest event that the ended stream had looked at.
        last_seq: Option<i64>,
    },
    /// The store does not answer.
    #[error("the store is unavailable; nothing is known to have changed")]
    StoreUnavailable,
    /// `min_seq` was not reached in time.
    #[error("this node has not reached min_seq yet")]
    NotCaughtUp,
    /// The session is being deleted.
    #[error("session {key} is being deleted; retry when that is done")]
    SessionDeleting {
        /// The key.
        key: String,
    },
    /// A watcher fell too far behind.
    #[error("this watch fell behind; start it again")]
    Resync,
    /// The call's deadline passed.
    #[error("the deadline passed; the same request_id tells what became of the call")]
    DeadlineExceeded,
    /// No such method.
    #[error("this server has no such method; `grpcurl -plaintext ADDR list` shows what it has")]
    MethodUnknown,
    /// The call names another host than this server is known by.
    #[error(
        "this server is not known by the host name {host:?}: use its address or localhost, or have the name added to \
         allowed_hosts"
    )]
    HostUnknown {
        /// What the call named; empty where it named nobody.
        host: String,
    },
    /// The metadata of the call is larger than is read.
    #[error(
        "the call's metadata is {size} bytes (names, values, and 32 for each entry); this server takes {limit}"
    )]
    MetadataTooLarge {
        /// How large it is, in bytes.
        size: usize,
        /// The bound, in bytes.
        limit: usize,
    },
    /// The request is compressed in a way that is not served.
    #[error(
        "this server reads messages compressed with gzip, or not at all; this one came as `{name}`"
    )]
    CompressionUnknown {
        /// What `grpc-encoding` said.
        name: String,
    },
    /// A bug. The cause is logged once, under the id.
    #[error("internal error {id}")]
    Internal {
        /// Opaque id, also in the log.
        id: String,
    },
}

// === impl LimitOf ===

impl fmt::Display for LimitOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session",
            Self::Principal => "principal",
            Self::Tenant => "tenant",
            Self::Address => "address",
            Self::Server => "server",
            Self::Scope => "memory scope",
        })
    }
}

// === impl Refusal ===

impl Refusal {
    /// One wrong field.
    pub fn field(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::InvalidField {
            fields: vec![(name.into(), problem.into())],
        }
    }

    /// `ErrorInfo.reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidField { .. } => "INVALID_FIELD",
            Self::MalformedRequest { .. } => "MALFORMED_REQUEST",
            Self::CredentialsMissing => "CREDENTIALS_MISSING",
            Self::CredentialsInvalid => "CREDENTIALS_INVALID",
            Self::ScopeRequired { .. } | Self::EveryScopeRequired => "SCOPE_REQUIRED",
            Self::SessionNotYours { .. } => "SESSION_NOT_YOURS",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::BudgetExceeded { .. } => "BUDGET_EXCEEDED",
            Self::ApiKeyNotFound { .. } => "API_KEY_NOT_FOUND",
            Self::SessionNotFound { .. } => "SESSION_NOT_FOUND",
            Self::SessionDeleted { .. } => "SESSION_DELETED",
            Self::TurnNotFound { .. } => "TURN_NOT_FOUND",
            Self::ScheduleNotFound { .. } => "SCHEDULE_NOT_FOUND",
            Self::WebhookNotFound { .. } => "WEBHOOK_NOT_FOUND",
            Self::WorkerNotFound { .. } => "WORKER_NOT_FOUND",
            Self::QuestionNotFound { .. } => "QUESTION_NOT_FOUND",
            Self::ModelNotFound { .. } => "MODEL_NOT_FOUND",
            Self::OptionNotFound { .. } => "OPTION_NOT_FOUND",
            Self::CommandNotFound { .. } => "COMMAND_NOT_FOUND",
            Self::AlreadyAnswered { .. } => "ALREADY_ANSWERED",
            Self::AttachmentNotFound { .. } => "ATTACHMENT_NOT_FOUND",
            Self::MemoryNotFound { .. } => "MEMORY_NOT_FOUND",
            Self::MemoryFull { .. } => "MEMORY_FULL",
            Self::EmbeddingMismatch { .. } => "EMBEDDING_MISMATCH",
            Self::EmbeddingMissing => "EMBEDDING_MISSING",
            Self::SecretUnreadable => "SECRET_UNREADABLE",
            Self::EmbeddingUnavailable { .. } => "EMBEDDING_UNAVAILABLE",
            Self::IdempotencyConflict { .. } => "IDEMPOTENCY_CONFLICT",
            Self::SessionExists { .. } => "SESSION_EXISTS",
            Self::SessionBusy { .. } => "SESSION_BUSY",
            Self::TurnMismatch { .. } => "TURN_MISMATCH",
            Self::TurnNotQueued { .. } => "TURN_NOT_QUEUED",
            Self::PrimarySession { .. } => "PRIMARY_SESSION",
            Self::LogChanged(_) => "LOG_CHANGED",
            Self::CursorExpired(_) => "CURSOR_EXPIRED",
            Self::CursorAhead(_) => "CURSOR_AHEAD",
            Self::AgentMismatch { .. } => "AGENT_MISMATCH",
            Self::UnsupportedByAgent { .. } => "UNSUPPORTED_BY_AGENT",
            Self::IsolationRequired { .. } => "ISOLATION_REQUIRED",
            Self::GenerationMismatch { .. } => "GENERATION_MISMATCH",
            Self::RoutesChanged { .. } => "ROUTES_CHANGED",
            Self::Fenced => "FENCED",
            Self::QueueFull { .. } => "QUEUE_FULL",
            Self::TooManyKeys { .. } => "TOO_MANY_KEYS",
            Self::TooManySessions { .. } => "TOO_MANY_SESSIONS",
            Self::TooManyBytes { .. } => "TOO_MANY_BYTES",
            Self::TooManyStreams { .. } => "TOO_MANY_STREAMS",
            Self::TooManyWaits { .. } => "TOO_MANY_WAITS",
            Self::AnswersWaiting { .. } => "ANSWERS_WAITING",
            Self::MessageTooLarge { .. } => "MESSAGE_TOO_LARGE",
            Self::StorageFull => "STORAGE_FULL",
            Self::Draining { .. } => "DRAINING",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::NotCaughtUp => "NOT_CAUGHT_UP",
            Self::SessionDeleting { .. } => "SESSION_DELETING",
            Self::Resync => "RESYNC",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::MethodUnknown => "METHOD_UNKNOWN",
            Self::HostUnknown { .. } => "HOST_UNKNOWN",
            Self::MetadataTooLarge { .. } => "METADATA_TOO_LARGE",
            Self::CompressionUnknown { .. } => "COMPRESSION_UNKNOWN",
            Self::Internal { .. } => "INTERNAL",
        }
    }

    /// When a retry makes sense; `None` where only another request can succeed.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { .. }
            | Self::TooManyStreams { .. }
            | Self::TooManyWaits { .. }
            | Self::AnswersWaiting { .. }
            | Self::Draining { .. } => Some(Duration::from_secs(1)),
            Self::StoreUnavailable | Self::NotCaughtUp | Self::SessionDeleting { .. } => {
                Some(Duration::from_millis(500))
            }
            Self::StorageFull => Some(Duration::from_secs(30)),
            Self::Resync => Some(Duration::from_millis(100)),
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::TooManySessions { .. } | Self::TooManyBytes { .. } | Self::TooManyKeys { .. } => {
                Some(Duration::from_secs(30))
            }
            Self::EmbeddingUnavailable { .. } => Some(Duration::from_secs(1)),
            Self::InvalidField { .. }
            | Self::MalformedRequest { .. }
            | Self::CredentialsMissing
            | Self::CredentialsInvalid
            | Self::ScopeRequired { .. }
            | Self::EveryScopeRequired
            | Self::SessionNotYours { .. }
            | Self::BudgetExceeded { .. }
            | Self::ApiKeyNotFound { .. }
            | Self::SessionNotFound { .. }
            | Self::SessionDeleted { .. }
            | Self::TurnNotFound { .. }
            | Self::ScheduleNotFound { .. }
            | Self::WebhookNotFound { .. }
            | Self::WorkerNotFound { .. }
            | Self::QuestionNotFound { .. }
            | Self::ModelNotFound { .. }
            | Self::OptionNotFound { .. }
            | Self::CommandNotFound { .. }
            | Self::AlreadyAnswered { .. }
            | Self::AttachmentNotFound { .. }
            | Self::MemoryNotFound { .. }
            | Self::MemoryFull { .. }
            | Self::EmbeddingMismatch { .. }
            | Self::EmbeddingMissing
            | Self::SecretUnreadable
            | Self::IdempotencyConflict { .. }
            | Self::SessionExists { .. }
            | Self::SessionBusy { .. }
            | Self::TurnMismatch { .. }
            | Self::TurnNotQueued { .. }
            | Self::PrimarySession { .. }
            | Self::LogChanged(_)
            | Self::CursorExpired(_)
            | Self::CursorAhead(_)
            | Self::AgentMismatch { .. }
            | Self::UnsupportedByAgent { .. }
            | Self::IsolationRequired { .. }
            | Self::GenerationMismatch { .. }
            | Self::RoutesChanged { .. }
            | Self::Fenced
            | Self::MessageTooLarge { .. }
            | Self::DeadlineExceeded
            | Self::MethodUnknown
            | Self::HostUnknown { .. }
            | Self::MetadataTooLarge { .. }
            | Self::CompressionUnknown { .. }
            | Self::Internal { .. } => None,
        }
    }
}
