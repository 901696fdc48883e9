//! What every gRPC call passes through, outermost first: what it leaves behind (`observe.rs`), the bounds of a call
//! (content type, size, time), who calls and whether it may, panics, and the errors that tonic makes itself, brought into
//! the table of `status.rs`.
//!
//! Nothing of a body is read before its caller is known. A method without a row in [`methods`] is not served.
//! The bounds of requests are kept by `request_body.rs`, those of answers by `answer_body.rs`. How large a compressed
//! request gets is known to tonic alone: the bounds of its services must be the same.
//! Dropping a handler at its deadline takes nothing back: handlers hold no state, commits run in their own task.

use super::{
    answer_body::Answers,
    channels::{ChannelFacts, Channels, Open},
    handover,
    methods::{self, Counts},
    observe::{CallFacts, observe},
    request_body::{Bounded, Room},
    status,
};
use crate::{
    auth::{Auth, scopes::Needs, tickets::ShownTicket},
    domain::{
        Refusal,
        access::Identity,
        limits::{INPUT_MESSAGE_MAX_BYTES, MESSAGE_MAX_BYTES, METADATA_MAX_BYTES},
    },
    listener::{ConnectionEnd, Peer, Standing},
    telemetry::metrics,
};
use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn, map_response},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use std::{
    any::Any,
    fmt::{self, Display},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::Status;

/// Longest time until the answer (of a stream: its head), whatever `grpc-timeout` says. Above every wait that the
/// contract names, but for the calls that wait for a turn.
pub const CALL_MAX: Duration = Duration::from_secs(120);
/// Calls that wait for a turn's end, which has bounds of its own (`turn_timeout`, `grace`): only the caller's deadline
/// counts.
const WAITS: [&str; 5] = [
    "/quarterdeck.v1.GatewayService/AwaitTurn",
    "/quarterdeck.v1.GatewayService/Abort",
    "/quarterdeck.v1.GatewayService/Reset",
    "/quarterdeck.v1.GatewayService/DeleteSession",
    "/quarterdeck.v1.GatewayService/ExecuteCommand",
];
/// Calls that may carry attachments, up to [`INPUT_MESSAGE_MAX_BYTES`]; all others are bounded by [`MESSAGE_MAX_BYTES`].
pub const INPUTS: [&str; 3] = [
    "/quarterdeck.v1.GatewayService/Enqueue",
    "/quarterdeck.v1.GatewayService/Run",
    "/quarterdeck.v1.GatewayService/Steer",
];
/// A worker's frames: pictures and results of tools are among them.
const WORKER: &str = "/quarterdeck.v1.WorkerService/Connect";
/// Compressions of messages that are read, as `grpc-accept-encoding` names them.
const COMPRESSIONS: HeaderValue = HeaderValue::from_static("gzip,identity");
/// What a ticket is for.
const SUBSCRIBE: &str = "/quarterdeck.v1.GatewayService/Subscribe";
/// How the content types of gRPC begin.
const GRPC: &str = "application/grpc";
/// What HTTP/2 counts for a header besides its name and value, in bytes.
const METADATA_ENTRY_BYTES: usize = 32;
/// Digits of `grpc-timeout`, by the protocol.
const TIMEOUT_MAX_DIGITS: usize = 8;

/// Who may call, and who does.
#[derive(Clone)]
pub struct Gate {
    /// Recognises callers.
    pub auth: Arc<Auth>,
    /// What is open.
    pub channels: Arc<Channels>,
    /// The methods that are served: by path, the name of each and what it asks for.
    pub methods: fn(&str) -> Option<(&'static str, Needs)>,
}

/// Who a call is made as that this process makes itself, for whom it has recognised in another way than by a credential.
/// Only code can say so: an extension comes with no request.
#[derive(Clone)]
pub struct ActsAs(pub Arc<Identity>);

/// The answer's body: ends at the caller's deadline or with its credential, and turns a panic into a status.
struct Guarded {
    inner: Body,
    /// The call's place among those that are open.
    open: Open,
    /// The caller's deadline; `None` where it named none, which is the cheap and common case of a stream.
    deadline: Option<Pin<Box<Sleep>>>,
    /// After our own trailers nothing more is sent.
    ended: bool,
}

// === impl Gate ===

impl Gate {
    /// Lets everyone in as the local user.
    pub fn open() -> Self {
        Self {
            auth: Arc::new(Auth::open()),
            channels: Arc::default(),
            methods: methods::served,
        }
    }
}

/// Puts the layers around the services of `routes`, and the answer for unknown ones behind them.
///
/// Start `routes` from `Routes::from(axum::Router::new())`. Other routes may be merged into the result; they must bring
/// no fallback of their own.
pub fn layered(routes: Router, gate: Gate) -> Router {
    let (room, answers) = (Room::new(), Answers::new());
    routes
        .route_layer(map_response(async |response| handover::swap(response)))
        .route_layer(from_fn(move |request, next| {
            guard(request, next, room.clone(), answers.clone(), gate.clone())
        }))
        .route_layer(from_fn(observe))
        .fallback(unknown)
}

/// Refuses a call that names another host as a call is refused; `None` for what is none.
pub fn refuse_host(host: &str, headers: &HeaderMap) -> Option<Response> {
    let content_type = headers.get(header::CONTENT_TYPE)?;
    if !content_type.as_bytes().starts_with(GRPC.as_bytes()) {
        return None;
    }
    let host = host.to_owned();
    let mut answer = refuse(&Refusal::HostUnknown { host });
    // gRPC-web reads such a status from the headers as well, under its own content type.
    let content_type = content_type.clone();
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Some(answer)
}

/// Tells gRPC callers in gRPC that what they ask for is none of the calls: beside the calls stand routes that speak
/// plain HTTP. Goes around all of them.
pub async fn told_in_grpc(request: Request, next: Next) -> Response {
    let speaks_grpc = is_grpc(request.headers());
    let response = next.run(request).await;
    // Calls are answered with OK and a status of their own.
    match speaks_grpc && response.status() != StatusCode::OK {
        true => refuse(&Refusal::MethodUnknown),
        false => response,
    }
}

/// Answers what no service takes.
async fn unknown(request: Request) -> Response {
    if is_grpc(request.headers()) {
        refuse(&Refusal::MethodUnknown)
    } else {
        (StatusCode::NOT_FOUND, "not found\n").into_response()
    }
}

async fn guard(
    mut request: Request,
    next: Next,
    room: Room,
    answers: Answers,
    gate: Gate,
) -> Response {
    if let Some(no) = not_a_call(&request) {
        return no;
    }
    let size = metadata_size(&request);
    if size > METADATA_MAX_BYTES {
        let limit = METADATA_MAX_BYTES;
        return refuse(&Refusal::MetadataTooLarge { size, limit });
    }
    let asked = match timeout_of(request.headers()) {
        Ok(timeout) => timeout,
        Err(refusal) => return refuse(&refusal),
    };
    let open = match admit(&gate, &mut request) {
        Ok(open) => open,
        Err(refusal) => return refuse(&refusal),
    };
    if let Some(refusal) = unknown_compression(request.headers()) {
        let mut answer = refuse(&refusal);
        answer
            .headers_mut()
            .insert("grpc-accept-encoding", COMPRESSIONS);
        return answer;
    }
    let path = request.uri().path();
    let waits = WAITS.contains(&path);
    let whole = Answers::are_whole(path);
    let end = request.extensions().get::<ConnectionEnd>().cloned();
    let limit = if INPUTS.contains(&path) || path == WORKER {
        INPUT_MESSAGE_MAX_BYTES
    } else {
        MESSAGE_MAX_BYTES
    };

    let now = Instant::now();
    // 99999999 hours do not fit every clock; a deadline so far away is none.
    let deadline = asked.and_then(|timeout| now.checked_add(timeout));
    let answer_by = match deadline {
        deadline if waits => deadline,
        Some(deadline) => Some(deadline.min(now + CALL_MAX)),
        None => Some(now + CALL_MAX),
    };
    // The others have `CALL_MAX`, uploads included.
    let request = request.map(|inner| Body::new(Bounded::new(inner, limit, &room, waits)));

    let page = open.page();
    let mut answer = pin!(catch_panic(async {
        let page = page.await;
        (next.run(request).await, page)
    }));
    let answer = async { open.while_valid(answer.as_mut()).await? };
    let answered = match answer_by {
        Some(at) => timeout_at(at, answer)
            .await
            .unwrap_or(Err(Refusal::DeadlineExceeded)),
        None => answer.await,
    };
    match answered {
        Err(refusal) => refuse(&refusal),
        // Room for a page is taken until its message is made, which is here.
        Ok((response, _page)) => match foreign(response.headers(), limit) {
            Some(refusal) => refuse(&refusal),
            None => {
                let response = response.map(|inner| Body::new(Guarded::new(inner, open, deadline)));
                match whole {
                    true => answers.admit(response, end).await,
                    false => response,
                }
            }
        },
    }
}

/// Who calls, where the method asks for that, and whether it may. Gives the call its place.
fn admit(gate: &Gate, request: &mut Request) -> Result<Open, Refusal> {
    let Gate {
        auth,
        channels,
        methods: served,
    } = gate;
    let path = request.uri().path();
    let peer = request.extensions().get::<Arc<Peer>>().map(Arc::as_ref);
    let needs = served(path);
    let ticket = request.extensions().get::<ShownTicket>();
    let identity = match needs {
        Some((_, Needs::Nothing)) => None,
        Some((_, Needs::Credential | Needs::Scopes(_))) | None => {
            let acts_as = request.extensions().get::<ActsAs>();
            let identity = match (ticket, acts_as) {
                // Whatever else the request brings: a ticket is for one thing.
                (Some(ticket), _) if path == SUBSCRIBE => auth.recognise_ticket(ticket, peer),
                (Some(_), _) => Err(Refusal::CredentialsInvalid),
                (None, Some(ActsAs(identity))) => Ok(identity.clone()),
                (None, None) => auth.recognise(request.headers(), peer),
            };
            Some(identity.inspect_err(|_| {
                metrics::get().authentication_failures.increment(1);
            })?)
        }
    };
    if let (Some(facts), Some(identity)) = (request.extensions().get::<Arc<CallFacts>>(), &identity)
    {
        facts.recognised(identity);
    }
    if let (Some(standing), Some(_)) = (request.extensions().get::<Standing>(), &identity) {
        standing.prove();
    }
    // Only now: who may not call is not told what there is.
    let (method, needs) = needs.ok_or(Refusal::MethodUnknown)?;
    if let Some(identity) = &identity {
        needs.check(identity)?;
    }
    let user_agent = request.headers().get(header::USER_AGENT);
    let open = channels.open(ChannelFacts {
        identity: identity.clone(),
        method,
        counts: methods::find(path).map_or(Counts::Nothing, |(_, it)| it.counts),
        peer: peer.map_or_else(String::new, Peer::to_string),
        user_agent: user_agent.map_or_else(String::new, |it| {
            String::from_utf8_lossy(it.as_bytes()).into_owned()
        }),
    })?;
    request.extensions_mut().insert(open.place().clone());
    if let Some(identity) = identity {
        // Who revoked a key since it was looked at may have missed this call's place.
        if !auth.is_valid(&identity) {
            return Err(Refusal::CredentialsInvalid);
        }
        request.extensions_mut().insert(identity);
    }
    Ok(open)
}

/// The answer to a request that is no gRPC call, in HTTP, as the protocol wants it. What a gRPC client is told beside that
/// says [`told_in_grpc`].
fn not_a_call(request: &Request) -> Option<Response> {
    let (status, problem) = if request.method() != Method::POST {
        (StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are POST\n")
    } else if !is_grpc(request.headers()) {
        (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type of gRPC calls is application/grpc, with +proto or nothing behind it\n",
        )
    } else {
        return None;
    };
    Some((status, problem).into_response())
}

/// Bytes of a call's metadata, as HTTP/2 counts them. What the transport needs for itself counts as well.
fn metadata_size(request: &Request) -> usize {
    let uri = request.uri();
    let target = uri.authority().map_or(0, |it| it.as_str().len()) + uri.path().len();
    let entries = request.headers().iter();
    entries.fold(target, |size, (name, value)| {
        size + name.as_str().len() + value.len() + METADATA_ENTRY_BYTES
    })
}

/// `application/grpc`, alone or with `+proto` or parameters. Other encodings of messages are not spoken.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(|it| it.as_bytes());
    let Some(rest) = content_type.and_then(|it| it.strip_prefix(GRPC.as_bytes())) else {
        return false;
    };
    let rest = rest.strip_prefix(b"+proto").unwrap_or(rest);
    rest.is_empty() || rest.starts_with(b";")
}

/// `grpc-timeout` as the protocol writes it: up to eight digits and a unit.
fn timeout_of(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let parse = || {
        let (digits, unit) = value
            .as_bytes()
            .split_at_checked(value.len().checked_sub(1)?)?;
        if digits.is_empty() || digits.len() > TIMEOUT_MAX_DIGITS {
            return None;
        }
        let count = digits.iter().try_fold(0_u64, |sum, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + u64::from(digit - b'0'))
        })?;
        Some(match unit {
            b"H" => Duration::from_secs(count * 3600),
            b"M" => Duration::from_secs(count * 60),
            b"S" => Duration::from_secs(count),
            b"m" => Duration::from_millis(count),
            b"u" => Duration::from_micros(count),
            b"n" => Duration::from_nanos(count),
            _ => return None,
        })
    };
    let invalid = || {
        Refusal::field(
            "grpc-timeout",
            "is not 1 to 8 digits and one of H M S m u n",
        )
    };
    parse().map(Some).ok_or_else(invalid)
}

/// Refuses messages that are compressed in another way than tonic's services are told to read.
fn unknown_compression(headers: &HeaderMap) -> Option<Refusal> {
    let name = headers.get("grpc-encoding")?;
    if name == "gzip" || name == "identity" {
        return None;
    }
    let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
    Some(Refusal::CompressionUnknown { name })
}

/// What tonic's own answer means; `None` for answers that a handler gave.
fn foreign(headers: &HeaderMap, limit: usize) -> Option<Refusal> {
    if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return None;
    }
    status::foreign(&Status::from_header_map(headers)?, limit)
}

fn refuse(refusal: &Refusal) -> Response {
    status::status(refusal).into_http::<Body>()
}

/// Runs `future`; a panic in it becomes a bug with an id.
async fn catch_panic<F: Future>(future: F) -> Result<F::Output, Refusal> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        // Unwind safe: after a panic the future is dropped and never polled again.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(status::bug(&Panic(panic)))),
        }
    })
    .await
}

/// What a panic said.
struct Panic(Box<dyn Any + Send>);

// === impl Panic ===

impl Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let literal = self.0.downcast_ref::<&str>().copied();
        let text = literal.or_else(|| self.0.downcast_ref::<String>().map(String::as_str));
        write!(f, "panic: {}", text.unwrap_or("(no text)"))
    }
}

// === impl Guarded ===

impl Guarded {
    fn new(inner: Body, open: Open, deadline: Option<Instant>) -> Self {
        Self {
            inner,
            open,
            deadline: deadline.map(|at| Box::pin(sleep_until(at))),
            ended: false,
        }
    }

    fn end(&mut self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.ended = true;
        // What feeds the stream goes with it, now: the peer may read these trailers much later.
        self.inner = Body::empty();
        let trailers = handover::trailers(&refusal.into());
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        // Looked at first: a stream that always has something to send ends too. Unwind safe: see `end`.
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return this.end(Refusal::DeadlineExceeded);
        }
        if this.open.is_ended() {
            let why = this.open.why_ended();
            return this.end(why);
        }
        match catch_unwind(AssertUnwindSafe(|| {
            Pin::new(&mut this.inner).poll_frame(cx)
        })) {
            Ok(Poll::Pending) => match this.open.poll_ended(cx) {
                Poll::Ready(()) => {
                    let why = this.open.why_ended();
                    this.end(why)
                }
                Poll::Pending => Poll::Pending,
            },
            Ok(polled) => polled,
            Err(panic) => this.end(status::bug(&Panic(panic))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let parse = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            timeout_of(&headers)
        };
        assert_eq!(timeout_of(&HeaderMap::new()), Ok(None));
        assert_eq!(parse("1S"), Ok(Some(Duration::from_secs(1))));
        assert_eq!(parse("250m"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(
            parse("99999999H"),
            Ok(Some(Duration::from_secs(99_999_999 * 3600)))
        );
        for wrong in [
            "",
            "S",
            "1",
            "100000000S",
            "-1S",
            "1s",
            "1 S",
            "+1S",
            "0x1S",
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    /// R16.
    #[test]
    fn any_header_is_read_or_refused() {
        crate::fuzz::fuzz(&[b"1S", b"99999999H", b"application/grpc+proto"], |bytes| {
            let Ok(value) = http::HeaderValue::from_bytes(bytes) else {
                return;
            };
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", value.clone());
            headers.insert(header::CONTENT_TYPE, value);
            let longest = Duration::from_secs(99_999_999 * 3600);
            assert!(
                timeout_of(&headers).is_ok_and(|it| it <= Some(longest))
                    || timeout_of(&headers).is_err()
            );
            let _ = is_grpc(&headers);
        });
    }

    #[test]
    fn only_grpc_with_protobuf_is_spoken() {
        for (content_type, spoken) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc+json", false),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            assert_eq!(is_grpc(&headers), spoken, "{content_type}");
        }
    }
}
