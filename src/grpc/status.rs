//! One exhaustive table from refusals to gRPC statuses, with the `google.rpc` details that go along.
//!
//! Every error that leaves the server is made here, so each carries `ErrorInfo{reason, domain = "quarterdeck"}`.
//! Facts that came from the caller are cut, since a status travels in trailers and peers bound those.

use crate::domain::{
    Refusal,
    access::EVERY_SCOPE,
    limits::cut,
    refusal::{LimitOf, LogRange},
};
use std::{collections::HashMap, fmt::Display};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "quarterdeck";
/// Longest message of a status, in bytes: peers take 8 KiB of trailers at least, and the message is in them twice, once
/// percent-encoded.
const TEXT_MAX_BYTES: usize = 512;
/// Longest fact or text of one violation, in bytes; keys and ids are shorter, what was given in place of one may not be.
const FACT_MAX_BYTES: usize = 256;
/// Violations that one status names; more add nothing that the first ones do not tell.
const VIOLATIONS_MAX: usize = 8;

/// A line of the table.
struct Row {
    /// The code; the reason is the refusal's own.
    code: Code,
    /// `ErrorInfo.metadata`.
    facts: Vec<(&'static str, String)>,
    /// What the code's own detail type says, besides `ErrorInfo` and `RetryInfo`.
    detail: Detail,
}

/// The detail type that belongs to a refusal.
enum Detail {
    /// None beyond `ErrorInfo`.
    None,
    /// `BadRequest`: the fields that are wrong, and why.
    Fields(Vec<(String, String)>),
    /// `QuotaFailure`: what ran out.
    Quota(String),
    /// `PreconditionFailure`: the subject whose state refuses; the type is the reason.
    Precondition(String),
    /// `ResourceInfo`: type and name of what was asked for.
    Resource(&'static str, String),
}

/// The status of a refusal.
pub fn status(refusal: &Refusal) -> Status {
    made(refusal, row(refusal))
}

/// The status of a refusal that concerns one session of a call about several: it names the session.
pub fn status_about(session_key: &str, refusal: &Refusal) -> Status {
    made(refusal, row(refusal).fact("session_key", session_key))
}

fn made(refusal: &Refusal, row: Row) -> Status {
    let Row {
        code,
        facts,
        detail,
    } = row;
    let reason = refusal.reason();
    let message = text(refusal);
    let facts = facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), cut(&value, FACT_MAX_BYTES).to_owned()));
    let mut details =
        ErrorDetails::with_error_info(reason, DOMAIN, facts.collect::<HashMap<_, _>>());
    if let Some(delay) = refusal.retry_after() {
        details.set_retry_info(Some(delay));
    }
    match detail {
        Detail::None => {}
        Detail::Fields(fields) => {
            for (field, problem) in fields.iter().take(VIOLATIONS_MAX) {
                details.add_bad_request_violation(
                    cut(field, FACT_MAX_BYTES),
                    cut(problem, FACT_MAX_BYTES),
                );
            }
        }
        Detail::Quota(subject) => {
            details.add_quota_failure_violation(subject, message.as_str());
        }
        Detail::Precondition(subject) => {
            details.add_precondition_failure_violation(
                reason,
                cut(&subject, FACT_MAX_BYTES),
                message.as_str(),
            );
        }
        Detail::Resource(kind, name) => {
            details.set_resource_info(kind, cut(&name, FACT_MAX_BYTES), "", message.as_str());
        }
    }
    Status::with_error_details(code, message, details)
}

/// The table.
fn row(refusal: &Refusal) -> Row {
    match refusal {
        Refusal::InvalidField { fields } => {
            Row::of(Code::InvalidArgument).detail(Detail::Fields(fields.clone()))
        }
        Refusal::MalformedRequest { .. } => Row::of(Code::InvalidArgument),

        Refusal::SessionNotFound { key } | Refusal::SessionDeleted { key } => {
            Row::of(Code::NotFound).session(key)
        }
        Refusal::TurnNotFound { turn_id } => Row::of(Code::NotFound)
            .fact("turn_id", turn_id)
            .detail(Detail::Resource("turn", turn_id.clone())),
        Refusal::ScheduleNotFound { name } => Row::of(Code::NotFound)
            .fact("schedule_name", name)
            .detail(Detail::Resource("schedule", name.clone())),
        Refusal::WebhookNotFound { webhook_id } => Row::of(Code::NotFound)
            .fact("webhook_id", webhook_id)
            .detail(Detail::Resource("webhook", webhook_id.clone())),
        Refusal::WorkerNotFound { name } => Row::of(Code::NotFound)
            .fact("worker_name", name)
            .detail(Detail::Resource("worker", name.clone())),
        Refusal::QuestionNotFound { question_id } => Row::of(Code::NotFound)
            .fact("question_id", question_id)
            .detail(Detail::Resource("question", question_id.clone())),
        Refusal::ModelNotFound { model, offered: _ } => Row::of(Code::NotFound)
            .fact("model", model)
            .detail(Detail::Resource("model", model.clone())),
        Refusal::OptionNotFound {
            option_id,
            offered: _,
        } => Row::of(Code::NotFound)
            .fact("option_id", option_id)
            .detail(Detail::Resource("option", option_id.clone())),
        Refusal::CommandNotFound { name } => Row::of(Code::NotFound)
            .fact("name", name)
            .detail(Detail::Resource("command", name.clone())),
        Refusal::AlreadyAnswered {
            question_id,
            state,
            resolution,
            answered_by,
            option_id,
        } => Row::of(Code::FailedPrecondition)
            .fact("question_id", question_id)
            .fact("state", state)
            .fact("resolution", resolution)
            .fact("answered_by", answered_by)
            .fact("option_id", option_id)
            .detail(Detail::Precondition("question".into())),
        Refusal::AttachmentNotFound { attachment_id } => Row::of(Code::NotFound)
            .fact("attachment_id", attachment_id)
            .detail(Detail::Resource("attachment", attachment_id.clone())),

        Refusal::MemoryNotFound { id } => Row::of(Code::NotFound)
            .fact("id", id)
            .detail(Detail::Resource("memory", id.clone())),
        Refusal::MemoryFull { of, limit, current } => Row::of(Code::ResourceExhausted)
            .fact("of", of)
            .fact("limit", limit)
            .fact("current", current)
            .detail(Detail::Quota("memories".into())),
        Refusal::EmbeddingMismatch { stored, configured } => Row::of(Code::FailedPrecondition)
            .fact("stored_model", stored)
            .fact("configured_model", configured)
            .detail(Detail::Precondition("embedding_model".into())),
        Refusal::EmbeddingMissing => {
            Row::of(Code::FailedPrecondition).detail(Detail::Precondition("embedding_model".into()))
        }
        Refusal::SecretUnreadable => {
            Row::of(Code::FailedPrecondition).detail(Detail::Precondition("memory_key".into()))
        }
        Refusal::EmbeddingUnavailable { problem: _ } => Row::of(Code::Unavailable),
        Refusal::IdempotencyConflict { request_id } => {
            Row::of(Code::AlreadyExists).fact("request_id", request_id)
        }
        Refusal::SessionExists { key } => Row::of(Code::AlreadyExists).session(key),

        Refusal::SessionBusy { active_turn_id } | Refusal::TurnMismatch { active_turn_id } => {
            Row::of(Code::FailedPrecondition)
                .fact("active_turn_id", active_turn_id)
                .detail(Detail::Precondition("turn".into()))
        }
        Refusal::TurnNotQueued { turn_id } => Row::of(Code::FailedPrecondition)
            .fact("turn_id", turn_id)
            .detail(Detail::Precondition("turn".into())),
        Refusal::PrimarySession { key } => Row::of(Code::FailedPrecondition)
            .fact("session_key", key)
            .detail(Detail::Precondition("session".into())),
        Refusal::LogChanged(range) => Row::of(Code::FailedPrecondition)
            .range(range)
            .detail(Detail::Precondition("cursor.log_id".into())),
        Refusal::AgentMismatch { agent } => Row::of(Code::FailedPrecondition)
            .fact("agent", agent)
            .detail(Detail::Precondition("agent".into())),
        Refusal::UnsupportedByAgent { agent, what } => Row::of(Code::FailedPrecondition)
            .fact("agent", agent)
            .fact("capability", what)
            .detail(Detail::Precondition("agent".into())),

        Refusal::IsolationRequired { agent } => Row::of(Code::FailedPrecondition)
            .fact("agent", agent)
            .detail(Detail::Precondition("agent".into())),

        Refusal::GenerationMismatch { generation } => {
            Row::of(Code::Aborted).fact("generation", generation)
        }
        Refusal::RoutesChanged { etag } => Row::of(Code::Aborted).fact("etag", etag),
        Refusal::Fenced => Row::of(Code::Aborted),

        Refusal::CursorExpired(range) | Refusal::CursorAhead(range) => {
            Row::of(Code::OutOfRange).range(range)
        }

        Refusal::QueueFull {
            of,
            unit,
            limit,
            current,
        } => Row::of(Code::ResourceExhausted)
            .fact("of", of)
            .fact("unit", unit)
            .fact("limit", limit)
            .fact("current", current)
            .detail(Detail::Quota(format!("queue:{unit}"))),
        Refusal::BudgetExceeded { message: _ } => {
            Row::of(Code::ResourceExhausted).detail(Detail::Quota("budget".into()))
        }
        Refusal::TooManySessions { of, limit, current } => Row::of(Code::ResourceExhausted)
            .fact("of", of)
            .fact("limit", limit)
            .fact("current", current)
            .detail(Detail::Quota("sessions".into())),
        Refusal::TooManyBytes { of, limit, current } => Row::of(Code::ResourceExhausted)
            .fact("of", of)
            .fact("limit", limit)
            .fact("current", current)
            .detail(Detail::Quota("stored_bytes".into())),
        Refusal::TooManyKeys { limit, current } => Row::of(Code::ResourceExhausted)
            .fact("of", &LimitOf::Tenant)
            .fact("limit", limit)
            .fact("current", current)
            .detail(Detail::Quota("api_keys".into())),
        Refusal::TooManyStreams { of, limit, current } => Row::of(Code::ResourceExhausted)
            .fact("of", of)
            .fact("limit", limit)
            .fact("current", current)
            .detail(Detail::Quota("streams".into())),
        Refusal::TooManyWaits {
            of,
            what: _,
            limit,
            current,
        } => Row::of(Code::ResourceExhausted)
            .fact("of", of)
            .fact("limit", limit)
            .fact("current", current)
            .detail(Detail::Quota("waits".into())),
        Refusal::AnswersWaiting { limit, current } => Row::of(Code::ResourceExhausted)
            .fact("limit", limit)
            .fact("current", current)
            .detail(Detail::Quota("bytes of answers".into())),
        Refusal::RateLimited {
            of,
            limit,
            retry_after: _,
        } => Row::of(Code::ResourceExhausted)
            .fact("of", of)
            .fact("limit", limit)
            .detail(Detail::Quota("requests".into())),

        Refusal::CredentialsMissing | Refusal::CredentialsInvalid => Row::of(Code::Unauthenticated),
        Refusal::ScopeRequired { scope } => Row::of(Code::PermissionDenied).fact("scope", scope),
        Refusal::EveryScopeRequired => Row::of(Code::PermissionDenied).fact("scope", &EVERY_SCOPE),
        Refusal::SessionNotYours { key } => Row::of(Code::PermissionDenied).session(key),
        Refusal::ApiKeyNotFound { key_id } => Row::of(Code::NotFound)
            .fact("key_id", key_id)
            .detail(Detail::Resource("api_key", key_id.clone())),
        Refusal::MessageTooLarge { limit } => Row::of(Code::ResourceExhausted)
            .fact("limit", limit)
            .detail(Detail::Quota("message_bytes".into())),
        Refusal::StorageFull => {
            Row::of(Code::ResourceExhausted).detail(Detail::Quota("disk_bytes".into()))
        }

        Refusal::Draining { last_seq } => match last_seq {
            Some(last_seq) => Row::of(Code::Unavailable).fact("last_seq", last_seq),
            None => Row::of(Code::Unavailable),
        },
        Refusal::SessionDeleting { key } => Row::of(Code::Unavailable).session(key),
        Refusal::StoreUnavailable | Refusal::NotCaughtUp | Refusal::Resync => {
            Row::of(Code::Unavailable)
        }

        Refusal::DeadlineExceeded => Row::of(Code::DeadlineExceeded),
        Refusal::MethodUnknown => Row::of(Code::Unimplemented),
        Refusal::HostUnknown { host } => Row::of(Code::PermissionDenied)
            .fact("host", host)
            .fact("setting", "allowed_hosts"),
        Refusal::MetadataTooLarge { size, limit } => Row::of(Code::ResourceExhausted)
            .fact("size", size)
            .fact("limit", limit)
            .detail(Detail::Quota("metadata_bytes".into())),
        Refusal::CompressionUnknown { name } => {
            Row::of(Code::Unimplemented).fact("grpc-encoding", name)
        }
        Refusal::Internal { id } => Row::of(Code::Internal).fact("id", id),
    }
}

/// Answers a bug: logs its cause once, under an opaque id, and tells the caller that id alone.
pub fn bug(cause: &dyn Display) -> Refusal {
    let id = uuid::Uuid::new_v4().simple().to_string();
    tracing::error!(id, cause = %cause, "internal error {id}: {cause}");
    Refusal::Internal { id }
}

/// What an error that has no details of ours comes from: tonic's own answers, made before or instead of a handler's.
///
/// `limit`: the largest message of the call, in bytes. `None` where `status` is none of those: no error, a cancelled call, or what a service that is not ours may say (health:
/// NOT_FOUND).
pub fn foreign(status: &Status, limit: usize) -> Option<Refusal> {
    match status.code() {
        Code::Ok
        | Code::Cancelled
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::Unauthenticated => None,
        Code::Unimplemented if status.message().is_empty() => Some(Refusal::MethodUnknown),
        // tonic's bound behind ours, which alone knows how large a compressed message really is.
        Code::OutOfRange | Code::ResourceExhausted => Some(Refusal::MessageTooLarge { limit }),
        Code::DeadlineExceeded => Some(Refusal::DeadlineExceeded),
        // What the codec says of bytes that are no message, no frame, or end too early.
        Code::Internal
        | Code::InvalidArgument
        | Code::Unimplemented
        | Code::Unknown
        | Code::DataLoss => Some(Refusal::MalformedRequest {
            problem: cut(status.message(), TEXT_MAX_BYTES).to_owned(),
        }),
    }
}

fn text(said: &(impl Display + ?Sized)) -> String {
    cut(&said.to_string(), TEXT_MAX_BYTES).to_owned()
}

// === impl Row ===

impl Row {
    fn of(code: Code) -> Self {
        Self {
            code,
            facts: Vec::new(),
            detail: Detail::None,
        }
    }

    fn fact(mut self, name: &'static str, value: &(impl Display + ?Sized)) -> Self {
        self.facts.push((name, value.to_string()));
        self
    }

    fn detail(mut self, detail: Detail) -> Self {
        self.detail = detail;
        self
    }

    fn session(self, key: &str) -> Self {
        self.fact("session_key", key)
            .detail(Detail::Resource("session", key.to_owned()))
    }

    fn range(self, range: &LogRange) -> Self {
        let LogRange {
            log_id,
            first_seq,
            head_seq,
        } = range;
        self.fact("log_id", log_id)
            .fact("first_seq", first_seq)
            .fact("head_seq", head_seq)
    }
}

// === impl Refusal ===

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        status(&refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LogId, access::Scope, refusal::LimitOf};
    use std::collections::BTreeSet;

    /// What a row must be: the refusal, its code, and the names of its details and facts.
    type Expected = (
        Refusal,
        Code,
        &'static str,
        &'static [(&'static str, &'static str)],
    );

    fn range() -> LogRange {
        LogRange {
            log_id: LogId(uuid::Uuid::nil()),
            first_seq: 3,
            head_seq: 9,
        }
    }

    const RANGE: &[(&str, &str)] = &[
        ("log_id", "00000000-0000-0000-0000-000000000000"),
        ("first_seq", "3"),
        ("head_seq", "9"),
    ];

    fn rows() -> Vec<Expected> {
        use Code::*;
        let s = str::to_owned;
        vec![
            (
                Refusal::field("text", "is blank"),
                InvalidArgument,
                "BadRequest",
                &[],
            ),
            (
                Refusal::MalformedRequest { problem: s("eof") },
                InvalidArgument,
                "",
                &[],
            ),
            (
                Refusal::SessionNotFound { key: s("a") },
                NotFound,
                "ResourceInfo",
                &[("session_key", "a")],
            ),
            (
                Refusal::SessionDeleted { key: s("a") },
                NotFound,
                "ResourceInfo",
                &[("session_key", "a")],
            ),
            (
                Refusal::TurnNotFound { turn_id: s("t") },
                NotFound,
                "ResourceInfo",
                &[("turn_id", "t")],
            ),
            (
                Refusal::WorkerNotFound { name: s("n") },
                NotFound,
                "ResourceInfo",
                &[("worker_name", "n")],
            ),
            (
                Refusal::ScheduleNotFound { name: s("n") },
                NotFound,
                "ResourceInfo",
                &[("schedule_name", "n")],
            ),
            (
                Refusal::WebhookNotFound { webhook_id: s("w") },
                NotFound,
                "ResourceInfo",
                &[("webhook_id", "w")],
            ),
            (
                Refusal::QuestionNotFound {
                    question_id: s("q"),
                },
                NotFound,
                "ResourceInfo",
                &[("question_id", "q")],
            ),
            (
                Refusal::ModelNotFound {
                    model: s("m"),
                    offered: s("a, b"),
                },
                NotFound,
                "ResourceInfo",
                &[("model", "m")],
            ),
            (
                Refusal::OptionNotFound {
                    option_id: s("o"),
                    offered: s("a, b"),
                },
                NotFound,
                "ResourceInfo",
                &[("option_id", "o")],
            ),
            (
                Refusal::CommandNotFound { name: s("n") },
                NotFound,
                "ResourceInfo",
                &[("name", "n")],
            ),
            (
                Refusal::AlreadyAnswered {
                    question_id: s("q"),
                    state: "ANSWERED",
                    resolution: "ANSWERED",
                    answered_by: s("default/ada"),
                    option_id: s("no"),
                },
                FailedPrecondition,
                "PreconditionFailure",
                &[
                    ("question_id", "q"),
                    ("state", "ANSWERED"),
                    ("resolution", "ANSWERED"),
                    ("answered_by", "default/ada"),
                    ("option_id", "no"),
                ],
            ),
            (
                Refusal::AttachmentNotFound {
                    attachment_id: s("x"),
                },
                NotFound,
                "ResourceInfo",
                &[("attachment_id", "x")],
            ),
            (
                Refusal::IdempotencyConflict { request_id: s("r") },
                AlreadyExists,
                "",
                &[("request_id", "r")],
            ),
            (
                Refusal::SessionExists { key: s("a") },
                AlreadyExists,
                "ResourceInfo",
                &[("session_key", "a")],
            ),
            (
                Refusal::SessionBusy {
                    active_turn_id: s("t"),
                },
                FailedPrecondition,
                "PreconditionFailure",
                &[("active_turn_id", "t")],
            ),
            (
                Refusal::TurnMismatch {
                    active_turn_id: s("t"),
                },
                FailedPrecondition,
                "PreconditionFailure",
                &[("active_turn_id", "t")],
            ),
            (
                Refusal::TurnNotQueued { turn_id: s("t") },
                FailedPrecondition,
                "PreconditionFailure",
                &[("turn_id", "t")],
            ),
            (
                Refusal::PrimarySession { key: s("main") },
                FailedPrecondition,
                "PreconditionFailure",
                &[("session_key", "main")],
            ),
            (
                Refusal::LogChanged(range()),
                FailedPrecondition,
                "PreconditionFailure",
                RANGE,
            ),
            (Refusal::CursorExpired(range()), OutOfRange, "", RANGE),
            (Refusal::CursorAhead(range()), OutOfRange, "", RANGE),
            (
                Refusal::AgentMismatch { agent: s("pi") },
                FailedPrecondition,
                "PreconditionFailure",
                &[("agent", "pi")],
            ),
            (
                Refusal::UnsupportedByAgent {
                    agent: s("pi"),
                    what: "fork",
                },
                FailedPrecondition,
                "PreconditionFailure",
                &[("agent", "pi"), ("capability", "fork")],
            ),
            (
                Refusal::IsolationRequired { agent: s("pi") },
                FailedPrecondition,
                "PreconditionFailure",
                &[("agent", "pi")],
            ),
            (
                Refusal::GenerationMismatch { generation: 4 },
                Aborted,
                "",
                &[("generation", "4")],
            ),
            (
                Refusal::RoutesChanged { etag: s("e") },
                Aborted,
                "",
                &[("etag", "e")],
            ),
            (Refusal::Fenced, Aborted, "", &[]),
            (
                Refusal::QueueFull {
                    of: LimitOf::Session,
                    unit: "turns",
                    limit: 32,
                    current: 32,
                },
                ResourceExhausted,
                "QuotaFailure",
                &[
                    ("of", "session"),
                    ("unit", "turns"),
                    ("limit", "32"),
                    ("current", "32"),
                ],
            ),
            (
                Refusal::TooManySessions {
                    of: LimitOf::Tenant,
                    limit: 7,
                    current: 8,
                },
                ResourceExhausted,
                "QuotaFailure",
                &[("of", "tenant"), ("limit", "7"), ("current", "8")],
            ),
            (
                Refusal::TooManyBytes {
                    of: LimitOf::Principal,
                    limit: 7,
                    current: 8,
                },
                ResourceExhausted,
                "QuotaFailure",
                &[("of", "principal"), ("limit", "7"), ("current", "8")],
            ),
            (
                Refusal::BudgetExceeded { message: s("m") },
                ResourceExhausted,
                "QuotaFailure",
                &[],
            ),
            (
                Refusal::TooManyKeys {
                    limit: 7,
                    current: 7,
                },
                ResourceExhausted,
                "QuotaFailure",
                &[("of", "tenant"), ("limit", "7"), ("current", "7")],
            ),
            (
                Refusal::TooManyStreams {
                    of: LimitOf::Principal,
                    limit: 7,
                    current: 7,
                },
                ResourceExhausted,
                "QuotaFailure",
                &[("of", "principal"), ("limit", "7"), ("current", "7")],
            ),
            (
                Refusal::TooManyWaits {
                    of: LimitOf::Tenant,
                    what: "calls that wait",
                    limit: 7,
                    current: 7,
                },
                ResourceExhausted,
                "QuotaFailure",
                &[("of", "tenant"), ("limit", "7"), ("current", "7")],
            ),
            (
                Refusal::AnswersWaiting {
                    limit: 7,
                    current: 6,
                },
                ResourceExhausted,
                "QuotaFailure",
                &[("limit", "7"), ("current", "6")],
            ),
            (
                Refusal::RateLimited {
                    of: LimitOf::Principal,
                    limit: 7,
                    retry_after: std::time::Duration::from_secs(1),
                },
                ResourceExhausted,
                "QuotaFailure",
                &[("of", "principal"), ("limit", "7")],
            ),
            (Refusal::CredentialsMissing, Unauthenticated, "", &[]),
            (Refusal::CredentialsInvalid, Unauthenticated, "", &[]),
            (
                Refusal::ScopeRequired {
                    scope: Scope::AdminKeys,
                },
                PermissionDenied,
                "",
                &[("scope", "admin.keys")],
            ),
            (
                Refusal::EveryScopeRequired,
                PermissionDenied,
                "",
                &[("scope", "*")],
            ),
            (
                Refusal::SessionNotYours { key: s("a") },
                PermissionDenied,
                "ResourceInfo",
                &[("session_key", "a")],
            ),
            (
                Refusal::ApiKeyNotFound { key_id: s("k") },
                NotFound,
                "ResourceInfo",
                &[("key_id", "k")],
            ),
            (
                Refusal::MessageTooLarge { limit: 7 },
                ResourceExhausted,
                "QuotaFailure",
                &[("limit", "7")],
            ),
            (Refusal::StorageFull, ResourceExhausted, "QuotaFailure", &[]),
            (
                Refusal::Draining { last_seq: Some(5) },
                Unavailable,
                "",
                &[("last_seq", "5")],
            ),
            (Refusal::Draining { last_seq: None }, Unavailable, "", &[]),
            (Refusal::StoreUnavailable, Unavailable, "", &[]),
            (Refusal::NotCaughtUp, Unavailable, "", &[]),
            (
                Refusal::SessionDeleting { key: s("a") },
                Unavailable,
                "ResourceInfo",
                &[("session_key", "a")],
            ),
            (Refusal::Resync, Unavailable, "", &[]),
            (
                Refusal::MemoryNotFound { id: s("m") },
                NotFound,
                "ResourceInfo",
                &[("id", "m")],
            ),
            (
                Refusal::MemoryFull {
                    of: LimitOf::Scope,
                    limit: 5,
                    current: 5,
                },
                ResourceExhausted,
                "QuotaFailure",
                &[("of", "memory scope"), ("limit", "5"), ("current", "5")],
            ),
            (
                Refusal::EmbeddingMismatch {
                    stored: s("a"),
                    configured: s("b"),
                },
                FailedPrecondition,
                "PreconditionFailure",
                &[("stored_model", "a"), ("configured_model", "b")],
            ),
            (
                Refusal::EmbeddingMissing,
                FailedPrecondition,
                "PreconditionFailure",
                &[],
            ),
            (
                Refusal::SecretUnreadable,
                FailedPrecondition,
                "PreconditionFailure",
                &[],
            ),
            (
                Refusal::EmbeddingUnavailable { problem: s("gone") },
                Unavailable,
                "",
                &[],
            ),
            (Refusal::DeadlineExceeded, DeadlineExceeded, "", &[]),
            (Refusal::MethodUnknown, Unimplemented, "", &[]),
            (
                Refusal::HostUnknown { host: s("h.test") },
                PermissionDenied,
                "",
                &[("host", "h.test"), ("setting", "allowed_hosts")],
            ),
            (
                Refusal::MetadataTooLarge {
                    size: 40_000,
                    limit: 32_768,
                },
                ResourceExhausted,
                "QuotaFailure",
                &[("size", "40000"), ("limit", "32768")],
            ),
            (
                Refusal::CompressionUnknown { name: s("br") },
                Unimplemented,
                "",
                &[("grpc-encoding", "br")],
            ),
            (
                Refusal::Internal { id: s("0") },
                Internal,
                "",
                &[("id", "0")],
            ),
        ]
    }

    /// The detail types of a status besides `ErrorInfo` and `RetryInfo`.
    fn kinds(details: &ErrorDetails) -> String {
        [
            ("BadRequest", details.bad_request().is_some()),
            ("QuotaFailure", details.quota_failure().is_some()),
            (
                "PreconditionFailure",
                details.precondition_failure().is_some(),
            ),
            ("ResourceInfo", details.resource_info().is_some()),
        ]
        .into_iter()
        .filter_map(|(name, there)| there.then_some(name))
        .collect()
    }

    #[test]
    fn each_row_has_its_code_reason_details_and_facts() {
        for (refusal, code, kind, facts) in rows() {
            let status = status(&refusal);
            assert_eq!(status.code(), code, "{refusal:?}");
            assert_eq!(status.message(), refusal.to_string());
            let details = status.get_error_details();
            let info = details.error_info().expect("every error has an ErrorInfo");
            assert_eq!(info.reason, refusal.reason());
            assert_eq!(info.domain, "quarterdeck");
            let expected = facts
                .iter()
                .map(|(k, v)| (String::from(*k), String::from(*v)));
            assert_eq!(info.metadata, expected.collect(), "{refusal:?}");
            assert_eq!(kinds(&details), kind, "{refusal:?}");
            assert_eq!(
                details.retry_info().and_then(|retry| retry.retry_delay),
                refusal.retry_after(),
                "{refusal:?}"
            );
        }
    }

    #[test]
    fn unavailable_and_exhausted_queues_say_when_to_retry() {
        for (refusal, code, ..) in rows() {
            if code == Code::Unavailable || matches!(refusal, Refusal::QueueFull { .. }) {
                assert!(refusal.retry_after().is_some(), "{refusal:?}");
            }
        }
    }

    /// `NOT_FOUND` for [`Code::NotFound`].
    fn name(code: Code) -> String {
        let mut name = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }

    #[test]
    fn the_table_above_is_the_one_that_clients_make_their_errors_of() {
        #[derive(serde::Deserialize)]
        struct Row {
            reason: String,
            code: String,
        }
        let shared: Vec<Row> = serde_json::from_str(include_str!("../../clients/reasons.json"))
            .expect("rows of reason and code");
        let shared: Vec<_> = shared.into_iter().map(|it| (it.reason, it.code)).collect();
        // The variants' own match is exhaustive; this catches a row that no test looks at, and one that clients miss.
        let tested: BTreeSet<_> = rows()
            .iter()
            .map(|(refusal, code, ..)| (refusal.reason().to_owned(), name(*code)))
            .collect();
        assert_eq!(tested.into_iter().collect::<Vec<_>>(), shared);
    }

    #[test]
    fn fields_are_named_one_by_one() {
        let refusal = Refusal::InvalidField {
            fields: vec![
                ("text".into(), "is blank".into()),
                ("wait".into(), "is negative".into()),
            ],
        };
        let details = status(&refusal).get_error_details();
        let named: Vec<_> = details
            .bad_request()
            .expect("bad fields carry a BadRequest")
            .field_violations
            .iter()
            .map(|violation| (violation.field.as_str(), violation.description.as_str()))
            .collect();
        assert_eq!(named, [("text", "is blank"), ("wait", "is negative")]);
    }

    #[test]
    fn what_a_caller_sent_can_not_outgrow_the_trailers() {
        let long = "ä".repeat(600 * 1024);
        for refusal in [
            Refusal::TurnNotFound {
                turn_id: long.clone(),
            },
            Refusal::MalformedRequest {
                problem: long.clone(),
            },
            Refusal::InvalidField {
                fields: vec![(long.clone(), long); 100],
            },
        ] {
            let mut trailers = http::HeaderMap::new();
            status(&refusal)
                .add_header(&mut trailers)
                .expect("valid header values");
            let size: usize = trailers
                .iter()
                .map(|(k, v)| k.as_str().len() + v.len() + 32)
                .sum();
            assert!(size <= 8 * 1024, "{size}");
        }
    }

    #[test]
    fn a_bug_tells_its_id_and_not_its_cause() {
        let refusal = bug(&"secret cause");
        let status = Status::from(refusal);
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"));
        assert_eq!(
            status
                .get_error_details()
                .error_info()
                .expect("has info")
                .metadata["id"]
                .len(),
            32
        );
    }
}
