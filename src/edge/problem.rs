//! How a refused call is told over HTTP: `application/problem+json` (RFC 9457), a status, and what to do next in headers.

use crate::grpc::status::DOMAIN;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use std::{collections::HashMap, time::Duration};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Read by clients that would else repeat every 409 and 429.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A refusal, as it is written.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// Always `about:blank`: what it is stands in `reason`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// One of the contract's reasons, such as `QUEUE_FULL`; empty where the server has none.
    reason: String,
    /// One sentence for people.
    detail: String,
    /// The facts of the refusal.
    metadata: HashMap<String, String>,
    /// What is wrong with fields of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Violation>,
    #[serde(skip)]
    code: Code,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// What is wrong with one field.
#[derive(Debug, Serialize)]
struct Violation {
    field: String,
    description: String,
}

// === impl Problem ===

impl Problem {
    pub(super) fn of(refused: &Status) -> Self {
        let details = refused.get_error_details();
        let (reason, metadata) = match details.error_info() {
            Some(info) if info.domain == DOMAIN => (info.reason.clone(), info.metadata.clone()),
            Some(_) | None => (String::new(), HashMap::new()),
        };
        let fields = details.bad_request();
        let fields = fields.map_or_else(Vec::new, |it| it.field_violations.clone());
        let retry = details.retry_info().and_then(|it| it.retry_delay);
        let status = status_of(refused.code(), &reason);
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            reason,
            detail: refused.message().to_owned(),
            metadata,
            violations: fields
                .into_iter()
                .map(|it| Violation {
                    field: it.field,
                    description: it.description,
                })
                .collect(),
            code: refused.code(),
            retry_after: retry,
        }
    }

    /// A request that is none of the calls.
    pub(super) fn plain(status: StatusCode, detail: &str) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            reason: String::new(),
            detail: detail.to_owned(),
            metadata: HashMap::new(),
            violations: Vec::new(),
            code: Code::InvalidArgument,
            retry_after: None,
        }
    }

    /// A request that is none of the calls, for one of the contract's reasons.
    pub(super) fn because(status: StatusCode, reason: &str, detail: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            ..Self::plain(status, detail)
        }
    }

    /// True where the server is about to stop, and another one will answer.
    pub(super) fn is_draining(&self) -> bool {
        self.reason == "DRAINING"
    }

    /// Its status.
    pub(super) fn http_status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).expect("it was one")
    }

    /// Its reason; empty where there is none.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// A fact of the refusal.
    pub(super) fn fact(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(String::as_str)
    }

    /// The first field that is wrong.
    pub(super) fn field(&self) -> Option<&str> {
        self.violations.first().map(|it| it.field.as_str())
    }

    /// What the headers say besides.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.code == Code::Unauthenticated {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        let retry = match self.retry_after {
            Some(delay) => {
                let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
                headers.insert(header::RETRY_AFTER, seconds.into());
                "true"
            }
            None => "false",
        };
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(retry));
        headers
    }

    /// For protocols that have one line for it.
    pub(super) fn line(&self) -> String {
        match self.reason.as_str() {
            "" => self.detail.clone(),
            reason => format!("{reason}: {}", self.detail),
        }
    }

    /// As it is written, on one line.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are always JSON")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut headers = self.headers();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        (self.http_status(), headers, Body::from(self.json())).into_response()
    }
}

/// What HTTP says of a call that ended so.
fn status_of(code: Code, reason: &str) -> StatusCode {
    match (code, reason) {
        (_, "MESSAGE_TOO_LARGE") => StatusCode::PAYLOAD_TOO_LARGE,
        (_, "CURSOR_EXPIRED") => StatusCode::GONE,
        (Code::Ok, _) => StatusCode::OK,
        (Code::InvalidArgument | Code::OutOfRange, _) => StatusCode::BAD_REQUEST,
        (Code::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
        (Code::PermissionDenied, _) => StatusCode::FORBIDDEN,
        (Code::NotFound, _) => StatusCode::NOT_FOUND,
        (Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition, _) => StatusCode::CONFLICT,
        (Code::ResourceExhausted, _) => StatusCode::TOO_MANY_REQUESTS,
        (Code::Unimplemented, _) => StatusCode::NOT_IMPLEMENTED,
        (Code::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Code::DeadlineExceeded, _) => StatusCode::GATEWAY_TIMEOUT,
        // The caller is gone; nobody reads it.
        (Code::Cancelled, _) => StatusCode::REQUEST_TIMEOUT,
        (Code::Unknown | Code::Internal | Code::DataLoss, _) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The contract's reason of a refusal; empty where there is none.
pub(super) fn reason(refused: &Status) -> String {
    Problem::of(refused).reason
}
