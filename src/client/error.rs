//! Errors that tell themselves apart: by the reason that the server gave, else by the code.

use super::{address::tls_problem, connection_lost};
use std::{collections::HashMap, fmt, time::Duration};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A call or a stream that failed.
///
/// Made from the [`Status`] of a call, so that `?` does in a function that returns it.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: Status,
    code: Code,
    reason: Option<Reason>,
    message: String,
    metadata: HashMap<String, String>,
    retry_after: Option<Duration>,
    field_violations: Vec<FieldViolation>,
}

/// A field that is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Makes [`Reason`] of one table.
macro_rules! reasons {
    ($($Variant:ident $text:literal,)*) => {
        /// `ErrorInfo.reason` of an error: why the server said no. `clients/reasons.json` has the code of each.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $(
                #[doc = concat!("`", $text, "`.")]
                $Variant,
            )*
            /// One that this version does not know; the code tells what to do.
            Other(String),
        }

        impl Reason {
            /// As it stands in `ErrorInfo`.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$Variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for Reason {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$Variant,)*
                    _ => Self::Other(text),
                }
            }
        }

        #[cfg(test)]
        const KNOWN: &[Reason] = &[$(Reason::$Variant),*];
    };
}

reasons! {
    AgentMismatch "AGENT_MISMATCH",
    AlreadyAnswered "ALREADY_ANSWERED",
    AnswersWaiting "ANSWERS_WAITING",
    ApiKeyNotFound "API_KEY_NOT_FOUND",
    AttachmentNotFound "ATTACHMENT_NOT_FOUND",
    BudgetExceeded "BUDGET_EXCEEDED",
    CommandNotFound "COMMAND_NOT_FOUND",
    CompressionUnknown "COMPRESSION_UNKNOWN",
    CredentialsInvalid "CREDENTIALS_INVALID",
    CredentialsMissing "CREDENTIALS_MISSING",
    CursorAhead "CURSOR_AHEAD",
    CursorExpired "CURSOR_EXPIRED",
    DeadlineExceeded "DEADLINE_EXCEEDED",
    Draining "DRAINING",
    EmbeddingMismatch "EMBEDDING_MISMATCH",
    EmbeddingMissing "EMBEDDING_MISSING",
    EmbeddingUnavailable "EMBEDDING_UNAVAILABLE",
    Fenced "FENCED",
    GenerationMismatch "GENERATION_MISMATCH",
    HostUnknown "HOST_UNKNOWN",
    IdempotencyConflict "IDEMPOTENCY_CONFLICT",
    Internal "INTERNAL",
    InvalidField "INVALID_FIELD",
    IsolationRequired "ISOLATION_REQUIRED",
    LogChanged "LOG_CHANGED",
    MalformedRequest "MALFORMED_REQUEST",
    MemoryFull "MEMORY_FULL",
    MemoryNotFound "MEMORY_NOT_FOUND",
    MessageTooLarge "MESSAGE_TOO_LARGE",
    MetadataTooLarge "METADATA_TOO_LARGE",
    MethodUnknown "METHOD_UNKNOWN",
    ModelNotFound "MODEL_NOT_FOUND",
    NotCaughtUp "NOT_CAUGHT_UP",
    OptionNotFound "OPTION_NOT_FOUND",
    PrimarySession "PRIMARY_SESSION",
    QuestionNotFound "QUESTION_NOT_FOUND",
    QueueFull "QUEUE_FULL",
    RateLimited "RATE_LIMITED",
    Resync "RESYNC",
    RoutesChanged "ROUTES_CHANGED",
    ScheduleNotFound "SCHEDULE_NOT_FOUND",
    ScopeRequired "SCOPE_REQUIRED",
    SecretUnreadable "SECRET_UNREADABLE",
    SessionBusy "SESSION_BUSY",
    SessionDeleted "SESSION_DELETED",
    SessionDeleting "SESSION_DELETING",
    SessionExists "SESSION_EXISTS",
    SessionNotFound "SESSION_NOT_FOUND",
    SessionNotYours "SESSION_NOT_YOURS",
    StorageFull "STORAGE_FULL",
    StoreUnavailable "STORE_UNAVAILABLE",
    TooManyBytes "TOO_MANY_BYTES",
    TooManyKeys "TOO_MANY_KEYS",
    TooManySessions "TOO_MANY_SESSIONS",
    TooManyStreams "TOO_MANY_STREAMS",
    TooManyWaits "TOO_MANY_WAITS",
    TurnMismatch "TURN_MISMATCH",
    TurnNotFound "TURN_NOT_FOUND",
    TurnNotQueued "TURN_NOT_QUEUED",
    UnsupportedByAgent "UNSUPPORTED_BY_AGENT",
    WebhookNotFound "WEBHOOK_NOT_FOUND",
    WorkerNotFound "WORKER_NOT_FOUND",
}

// === impl Error ===

impl Error {
    /// The code. Where the connection failed and no server answered it is UNAVAILABLE, whatever broke.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Why the server said no; `None` where it was not the server that did.
    pub fn reason(&self) -> Option<&Reason> {
        self.0.reason.as_ref()
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Facts that go with the reason, such as `session_key` or `limit`.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.0.metadata
    }

    /// When the same call may succeed, where the server said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The fields that are wrong, of an `InvalidField`.
    pub fn field_violations(&self) -> &[FieldViolation] {
        &self.0.field_violations
    }

    /// What it was made from.
    pub fn status(&self) -> &Status {
        &self.0.status
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) = match details.error_info() {
            Some(info) => (
                Some(Reason::from(info.reason.clone())),
                info.metadata.clone(),
            ),
            None => (None, HashMap::new()),
        };
        let field_violations = details.bad_request().map(|wrong| {
            let fields = wrong.field_violations.iter();
            fields
                .map(|field| FieldViolation {
                    field: field.field.clone(),
                    problem: field.description.clone(),
                })
                .collect()
        });
        let lost = connection_lost(&status);
        Self(Box::new(Inner {
            code: if lost {
                Code::Unavailable
            } else {
                status.code()
            },
            reason,
            message: match tls_problem(&status) {
                Some(problem) => format!("can't talk to the server: {problem}"),
                None if lost => format!(
                    "no server answers ({}): check the address, with https:// where the server speaks TLS, and that one \
                     runs there",
                    status.message()
                ),
                None => status.message().to_owned(),
            },
            metadata,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            field_violations: field_violations.unwrap_or_default(),
            status,
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.reason {
            Some(reason) => write!(f, "{}: {}", reason.as_str(), self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Refusal;

    #[test]
    fn the_reasons_are_those_of_all_clients() {
        #[derive(serde::Deserialize)]
        struct Row {
            reason: String,
        }
        let table = include_str!("../../clients/reasons.json");
        let rows: Vec<Row> = serde_json::from_str(table).expect("a list of rows");
        let rows: Vec<_> = rows.into_iter().map(|row| row.reason).collect();
        let known: Vec<_> = KNOWN.iter().map(Reason::as_str).collect();
        assert_eq!(known, rows);
        for reason in rows {
            assert!(!matches!(Reason::from(reason), Reason::Other(_)));
        }
    }

    #[test]
    fn an_error_tells_reason_facts_fields_and_when() {
        let error = Error::from(Status::from(Refusal::field("text", "is blank")));
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(error.reason(), Some(&Reason::InvalidField));
        assert_eq!(error.field_violations()[0].field, "text");
        let error = Error::from(Status::from(Refusal::SessionDeleting { key: "s".into() }));
        assert_eq!(error.metadata()["session_key"], "s");
        assert!(error.retry_after().is_some());
        let lost = Error::from(Status::unknown("h2 broke"));
        assert_eq!((lost.code(), lost.reason()), (Code::Unavailable, None));
        assert!(lost.message().contains("check the address"));
    }
}
