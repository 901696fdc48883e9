//! The outermost layer: what each call leaves behind. A span with its place in the trace, its duration by method and
//! status, and, where it may change something or show a secret, one audit record.
//!
//! The audit record is written when the answer's head is known: by then a mutating call has done what it does, or was
//! refused. A caller that leaves before is recorded as CANCELLED; what it asked for may have been done.

use super::methods::{self, METHODS, Method};
use crate::{
    client::{self, code_name},
    domain::{access::Identity, ids::SessionKey},
    listener::Peer,
    telemetry::{
        audit::{self, Audited, audit},
        metrics::CALL_DURATION,
        trace::{self, TraceContext},
    },
};
use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use metrics::Histogram;
use std::{
    fmt::Display,
    pin::Pin,
    sync::{Arc, LazyLock, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};
use tonic::{Code, Status};
use tracing::{Instrument, Span, field::Empty};
use uuid::Uuid;

/// Request extension: what the layers and the handler find out about a call on its way in.
pub struct CallFacts {
    /// The call's own span, for what it starts.
    pub trace: TraceContext,
    identity: OnceLock<Arc<Identity>>,
    session_key: OnceLock<SessionKey>,
    /// The memory whose secret the call asks for.
    revealed: OnceLock<Uuid>,
    method: &'static Method,
    span: Span,
}

/// A call that is not over; its drop is the caller's leaving.
struct Call {
    method: &'static Method,
    /// Of the method, in the table.
    place: usize,
    facts: Arc<CallFacts>,
    peer: Option<Arc<Peer>>,
    began: Instant,
    /// False once the audit record is written, or none is due.
    to_audit: bool,
    /// False once the duration is noted, or this was no call.
    to_measure: bool,
}

/// An answer's body that tells how the call ended.
struct Observed {
    inner: Body,
    call: Call,
}

/// One row per method, one column per code; each handle is taken at its first use.
static DURATIONS: LazyLock<Vec<[OnceLock<Histogram>; CODES]>> = LazyLock::new(|| {
    METHODS
        .iter()
        .map(|_| std::array::from_fn(|_| OnceLock::new()))
        .collect()
});
/// Codes of gRPC, 0 to 16.
const CODES: usize = 17;

pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let Some((place, method)) = methods::find(request.uri().path()) else {
        return next.run(request).await;
    };
    let facts = Arc::new(CallFacts::begin(method, request.headers()));
    let mut call = Call {
        method,
        place,
        peer: request.extensions().get().cloned(),
        facts: facts.clone(),
        began: Instant::now(),
        to_audit: method.mutates,
        to_measure: true,
    };
    let span = facts.span.clone();
    request.extensions_mut().insert(facts);
    let response = next.run(request).instrument(span).await;
    if response.status() != StatusCode::OK {
        // Not even a call.
        (call.to_audit, call.to_measure) = (false, false);
        return response;
    }
    match Status::from_header_map(response.headers()) {
        Some(status) => {
            call.answered(Some(&status));
            call.over(status.code());
            response
        }
        None => {
            call.answered(None);
            response.map(|inner| Body::new(Observed { inner, call }))
        }
    }
}

// === impl CallFacts ===

impl CallFacts {
    /// Of what the server does by itself, as Enqueue would.
    pub fn of_no_call() -> Self {
        let (_, method) =
            methods::find("/quarterdeck.v1.GatewayService/Enqueue").expect("the table has it");
        Self::begin(method, &HeaderMap::new())
    }

    fn begin(method: &'static Method, headers: &HeaderMap) -> Self {
        let header = headers
            .get(trace::HEADER)
            .and_then(|text| text.to_str().ok());
        let parent = header.and_then(TraceContext::parse);
        let ours = parent.map_or_else(TraceContext::begin, TraceContext::child);
        // Errors carry it too, whatever is logged.
        let span = tracing::error_span!(
            "call",
            otel.name = method.full_name(),
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = method.full_name(),
            rpc.response.status_code = Empty,
            method = method.name(),
            trace_id = Empty,
            principal = Empty,
        );
        let trace = trace::join(&span, parent, ours);
        span.record("trace_id", trace.trace_id_text());
        Self {
            trace,
            identity: OnceLock::new(),
            session_key: OnceLock::new(),
            revealed: OnceLock::new(),
            method,
            span,
        }
    }

    /// The layers know who calls.
    pub fn recognised(&self, identity: &Arc<Identity>) {
        self.span
            .record("principal", tracing::field::display(&identity.principal));
        // The first one stays: nobody is recognised twice.
        let _ = self.identity.set(identity.clone());
    }

    /// The handler knows which session the call is about.
    pub fn about(&self, session_key: &SessionKey) {
        let _ = self.session_key.set(session_key.clone());
    }

    /// The call asks for a secret, so that it leaves a record although it changes nothing.
    pub fn reveals(&self, memory_id: Uuid) {
        let _ = self.revealed.set(memory_id);
    }

    /// The call reads what may be another's: a session by its key, or (empty) all that the caller may see.
    pub fn reads_of_another(&self, session_key: &str) {
        if let Some(identity) = self.identity.get() {
            audit::operator_read(identity, self.method.full_name(), session_key);
        }
    }
}

// === impl Call ===

impl Call {
    /// The answer's head is known: a refusal, or that it is none.
    fn answered(&mut self, refused: Option<&Status>) {
        let to_audit = std::mem::replace(&mut self.to_audit, false);
        if !to_audit && self.facts.revealed.get().is_none() {
            return;
        }
        let refused = refused.filter(|status| status.code() != Code::Ok);
        let outcome = refused.map_or(audit::OK, |status| code_name(status.code()));
        let reason = refused.map(client::reason);
        self.audit(outcome, reason.as_deref().unwrap_or_default());
    }

    fn audit(&self, outcome: &str, reason: &str) {
        let Some(identity) = self.facts.identity.get() else {
            return;
        };
        let session_key = self.facts.session_key.get();
        let revealed = self.facts.revealed.get().map(Uuid::to_string);
        audit(Audited {
            identity,
            method: self.method.full_name(),
            session_key: session_key.map_or("", SessionKey::as_str),
            revealed: revealed.as_deref().unwrap_or_default(),
            outcome,
            reason,
            peer: self.peer.as_deref().map(|peer| peer as &dyn Display),
            trace_id: &self.facts.trace.trace_id_text(),
            duration: self.began.elapsed(),
        });
    }

    /// Its status is known, and nothing follows.
    fn over(&mut self, code: Code) {
        if !std::mem::replace(&mut self.to_measure, false) {
            return;
        }
        let name = code_name(code);
        let column = usize::try_from(i32::from(code)).unwrap_or_default();
        let duration = DURATIONS[self.place][column].get_or_init(|| {
            metrics::histogram!(
                CALL_DURATION,
                "rpc_system_name" => "grpc",
                "rpc_method" => self.method.full_name(),
                "rpc_response_status_code" => name,
            )
        });
        duration.record(self.began.elapsed());
        let span = &self.facts.span;
        span.record("rpc.response.status_code", name);
        if is_our_fault(code) {
            span.record("otel.status_code", "error");
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.to_audit {
            let _inside = self.facts.span.clone().entered();
            self.audit(code_name(Code::Cancelled), "");
        }
        self.over(Code::Cancelled);
    }
}

// === impl Observed ===

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let trailers = match &frame {
            Some(Ok(frame)) => frame.trailers_ref(),
            Some(Err(_)) | None => None,
        };
        if let Some(status) = trailers.and_then(Status::from_header_map) {
            self.call.over(status.code());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Codes that tell of a fault of the server, by the OpenTelemetry conventions for gRPC.
fn is_our_fault(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => false,
    }
}
