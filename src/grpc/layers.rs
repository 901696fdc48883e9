//! What every gRPC call passes through, outermost first: the bounds of a call (content type, size, time), panics, and
//! the errors that tonic makes itself, brought into the table of `status.rs`.
//!
//! A message that is too large is refused from its five-byte header, before any of it is buffered. Per-service bounds
//! of tonic must be at least [`INPUT_MESSAGE_MAX_BYTES`]: the ones that count are here.
//! Dropping a handler at its deadline takes nothing back: handlers hold no state, commits run in their own task.

use super::{
    handover::{self, FRAME_HEADER_BYTES},
    status,
};
use crate::domain::{
    Refusal,
    limits::{INPUT_MESSAGE_MAX_BYTES, MESSAGE_MAX_BYTES},
};
use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn, map_response},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    any::Any,
    fmt::{self, Display},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_util::sync::PollSemaphore;
use tonic::Status;

/// Longest time until the answer (of a stream: its head), whatever `grpc-timeout` says. Above every wait that the
/// contract names, but for those of [`WAITS`].
pub const CALL_MAX: Duration = Duration::from_secs(120);
/// Longest time until the request message of a call of [`WAITS`] is there; the others have [`CALL_MAX`].
const UPLOAD_MAX: Duration = Duration::from_secs(60);
/// Calls that wait for a turn's end, which has bounds of its own (`turn_timeout`, `grace`): only the caller's deadline
/// counts.
const WAITS: [&str; 4] = [
    "/quarterdeck.v1.GatewayService/AwaitTurn",
    "/quarterdeck.v1.GatewayService/Abort",
    "/quarterdeck.v1.GatewayService/Reset",
    "/quarterdeck.v1.GatewayService/DeleteSession",
];
/// Calls that may carry attachments, up to [`INPUT_MESSAGE_MAX_BYTES`].
const INPUTS: [&str; 3] = [
    "/quarterdeck.v1.GatewayService/Enqueue",
    "/quarterdeck.v1.GatewayService/Run",
    "/quarterdeck.v1.GatewayService/Steer",
];
/// Bytes of request messages beyond [`SMALL_MESSAGE_MAX_BYTES`] each that may be buffered at a time, per set of layers
/// (one per serving runtime). Further ones wait, in order, with what flow control lets through.
const BUFFERED_MAX_BYTES: usize = 128 * 1024 * 1024;
/// Messages up to this, in bytes, are not counted: streams and connections bound them.
const SMALL_MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// Digits of `grpc-timeout`, by the protocol.
const TIMEOUT_MAX_DIGITS: usize = 8;

/// The request's body: refuses a message by its header, and one that never arrives; holds one back until there is room.
struct Bounded {
    inner: Body,
    /// Room for messages, in units of [`SMALL_MESSAGE_MAX_BYTES`].
    room: PollSemaphore,
    /// The present message's share of it, given back when the request is decoded or dropped.
    held: Option<OwnedSemaphorePermit>,
    /// The beginning of a message that waits for its share, and how large that is.
    waiting: Option<(Frame<Bytes>, u32)>,
    /// Largest message, in bytes.
    limit: usize,
    /// The header of the next message, as far as it has come.
    header: [u8; FRAME_HEADER_BYTES],
    header_len: usize,
    /// Bytes of the present message that are still to come.
    message_left: usize,
    /// Until when the first message must be complete.
    arrival: Option<Pin<Box<Sleep>>>,
    /// After a refusal nothing more is read.
    refused: bool,
}

/// The answer's body: ends at the caller's deadline, and turns a panic into a status.
struct Guarded {
    inner: Body,
    /// The caller's deadline; `None` where it named none, which is the cheap and common case of a stream.
    deadline: Option<Pin<Box<Sleep>>>,
    /// After our own trailers nothing more is sent.
    ended: bool,
}

/// Puts the layers around the services of `routes`, and the answer for unknown ones behind them.
///
/// Start `routes` from `Routes::from(axum::Router::new())`. Other routes may be merged into the result; they must bring
/// no fallback of their own.
pub fn layered(routes: Router) -> Router {
    let room = Arc::new(Semaphore::new(BUFFERED_MAX_BYTES / SMALL_MESSAGE_MAX_BYTES));
    routes
        .route_layer(map_response(async |response| handover::swap(response)))
        .route_layer(from_fn(move |request, next| {
            guard(request, next, PollSemaphore::new(room.clone()))
        }))
        .fallback(unknown)
}

/// Answers what no service takes.
async fn unknown(request: Request) -> Response {
    if is_grpc(request.headers()) {
        refuse(&Refusal::MethodUnknown)
    } else {
        (StatusCode::NOT_FOUND, "not found\n").into_response()
    }
}

async fn guard(request: Request, next: Next, room: PollSemaphore) -> Response {
    if let Some(no) = not_a_call(&request) {
        return no.into_response();
    }
    let asked = match timeout_of(request.headers()) {
        Ok(timeout) => timeout,
        Err(refusal) => return refuse(&refusal),
    };
    let path = request.uri().path();
    let waits = WAITS.contains(&path);
    let limit = if INPUTS.contains(&path) {
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
    let arrival = waits.then(|| Box::pin(sleep_until(now + UPLOAD_MAX)));
    let request = request.map(|inner| Body::new(Bounded::new(inner, limit, room, arrival)));

    let answer = catch_panic(next.run(request));
    let answered = match answer_by {
        Some(at) => timeout_at(at, answer)
            .await
            .unwrap_or(Err(Refusal::DeadlineExceeded)),
        None => answer.await,
    };
    match answered {
        Err(refusal) => refuse(&refusal),
        Ok(response) => match foreign(response.headers()) {
            Some(refusal) => refuse(&refusal),
            None => response.map(|inner| Body::new(Guarded::new(inner, deadline))),
        },
    }
}

/// Why a request is no gRPC call that may be answered here.
fn not_a_call(request: &Request) -> Option<(StatusCode, &'static str)> {
    if request.headers().contains_key(header::ORIGIN) {
        // Only browsers send it. A page must not reach a server on loopback, be it by a name that points there.
        return Some((
            StatusCode::FORBIDDEN,
            "calls from web pages are not enabled\n",
        ));
    }
    if request.method() != Method::POST {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are POST\n"));
    }
    if !is_grpc(request.headers()) {
        return Some((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type of gRPC calls is application/grpc\n",
        ));
    }
    None
}

/// `application/grpc`, alone or with `+proto` or parameters. Other encodings of messages are not spoken.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(|it| it.as_bytes());
    let Some(rest) = content_type.and_then(|it| it.strip_prefix(b"application/grpc")) else {
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

/// What tonic's own answer means; `None` for answers that a handler gave.
fn foreign(headers: &HeaderMap) -> Option<Refusal> {
    if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return None;
    }
    status::foreign(&Status::from_header_map(headers)?)
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

// === impl Bounded ===

impl Bounded {
    fn new(
        inner: Body,
        limit: usize,
        room: PollSemaphore,
        arrival: Option<Pin<Box<Sleep>>>,
    ) -> Self {
        Self {
            inner,
            room,
            held: None,
            waiting: None,
            limit,
            header: [0; FRAME_HEADER_BYTES],
            header_len: 0,
            message_left: 0,
            arrival,
            refused: false,
        }
    }

    /// Follows the frames through `chunk`, whatever pieces they come in. Returns the share of room that the largest
    /// message which begins here takes; 0 where none does, or a small one.
    fn check(&mut self, mut chunk: &[u8]) -> Result<u32, Refusal> {
        let mut share = 0;
        loop {
            let body = self.message_left.min(chunk.len());
            self.message_left -= body;
            chunk = &chunk[body..];
            if chunk.is_empty() {
                return Ok(share);
            }
            let header = (FRAME_HEADER_BYTES - self.header_len).min(chunk.len());
            self.header[self.header_len..][..header].copy_from_slice(&chunk[..header]);
            self.header_len += header;
            chunk = &chunk[header..];
            if self.header_len < FRAME_HEADER_BYTES {
                return Ok(share);
            }
            self.header_len = 0;
            let [flag, length @ ..] = self.header;
            if flag > 1 {
                return Err(Refusal::MalformedRequest {
                    problem: format!("a frame begins with {flag}, not with 0 or 1"),
                });
            }
            self.message_left = u32::from_be_bytes(length) as usize;
            if self.message_left > self.limit {
                return Err(Refusal::MessageTooLarge { limit: self.limit });
            }
            let units = self.message_left / SMALL_MESSAGE_MAX_BYTES;
            share = share.max(u32::try_from(units).expect("a quotient of 32 bits has no more"));
        }
    }

    /// The next frame that may pass: checked, and with room for the message that it begins.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refusal>>> {
        if self.waiting.is_none() {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                // The peer is gone, or broke HTTP: whoever is told, it is not by this call.
                Some(Err(error)) => {
                    let problem = error.to_string();
                    return Poll::Ready(Some(Err(Refusal::MalformedRequest { problem })));
                }
                None => return Poll::Ready(None),
            };
            match frame.data_ref().map_or(Ok(0), |data| self.check(data)) {
                Ok(0) => return Poll::Ready(Some(Ok(frame))),
                Ok(share) => self.waiting = Some((frame, share)),
                Err(refusal) => return Poll::Ready(Some(Err(refusal))),
            }
        }
        if let Some((_, share)) = &self.waiting {
            // The message before is decoded. Who holds and waits at once could wait for ever.
            self.held = None;
            self.held = ready!(self.room.poll_acquire_many(cx, *share));
        }
        Poll::Ready(self.waiting.take().map(|(frame, _)| Ok(frame)))
    }

    fn refuse(&mut self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.refused = true;
        // tonic finds the status in the error and answers with it as it stands.
        Poll::Ready(Some(Err(refusal.into())))
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.refused {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = this.poll_passed(cx) else {
            let Some(arrival) = &mut this.arrival else {
                return Poll::Pending;
            };
            ready!(arrival.as_mut().poll(cx));
            return this.refuse(Refusal::DeadlineExceeded);
        };
        match frame {
            Some(Ok(frame)) => {
                if this.message_left == 0 && this.header_len == 0 && frame.is_data() {
                    this.arrival = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(refusal)) => this.refuse(refusal),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.refused || (self.waiting.is_none() && self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Guarded ===

impl Guarded {
    fn new(inner: Body, deadline: Option<Instant>) -> Self {
        Self {
            inner,
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
        match catch_unwind(AssertUnwindSafe(|| {
            Pin::new(&mut this.inner).poll_frame(cx)
        })) {
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
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn room(units: usize) -> PollSemaphore {
        PollSemaphore::new(Arc::new(Semaphore::new(units)))
    }

    fn bounded(limit: usize) -> Bounded {
        Bounded::new(Body::empty(), limit, room(0), None)
    }

    fn frame(flag: u8, length: u32, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![flag];
        frame.extend(length.to_be_bytes());
        frame.extend(body);
        frame
    }

    proptest! {
        #[test]
        fn frames_are_followed_whatever_pieces_they_come_in(
            lengths in prop::collection::vec(0_usize..40, 0..6),
            cuts in prop::collection::vec(1_usize..9, 0..60),
        ) {
            let mut bytes = Vec::new();
            for length in &lengths {
                bytes.extend(frame(0, *length as u32, &vec![7; *length]));
            }
            bytes.extend(frame(0, 41, &[]));
            let mut body = bounded(40);
            let mut rest = bytes.as_slice();
            let mut cuts = cuts.into_iter().chain(std::iter::repeat(3));
            let mut result = Ok(0);
            while !rest.is_empty() && result.is_ok() {
                let cut = cuts.next().unwrap().min(rest.len());
                result = body.check(&rest[..cut]);
                rest = &rest[cut..];
            }
            // Everything passes but the last header, and that one is refused however it was cut.
            prop_assert_eq!(result, Err(Refusal::MessageTooLarge { limit: 40 }));
            prop_assert!(rest.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_never_arrives_is_given_up() {
        use http_body_util::BodyExt;
        let silent = Body::from_stream(tokio_stream::pending::<Result<Bytes, Infallible>>());
        let arrival = Some(Box::pin(sleep_until(Instant::now() + UPLOAD_MAX)));
        let start = Instant::now();
        let mut body = Bounded::new(silent, 9, room(0), arrival);
        let status = body.frame().await.unwrap().unwrap_err();
        let expected = Status::from(Refusal::DeadlineExceeded);
        assert_eq!(status.code(), expected.code());
        assert!(start.elapsed() >= UPLOAD_MAX);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_large_message_waits_until_there_is_room() {
        use http_body_util::BodyExt;
        let large = 2 * SMALL_MESSAGE_MAX_BYTES;
        let room = room(3);
        let body = |length| {
            let begun = Body::from(frame(0, length as u32, &[7]));
            Bounded::new(begun, large, room.clone(), None)
        };
        let (mut first, mut second, mut small) = (body(large), body(large), body(100));
        assert!(first.frame().await.unwrap().is_ok());
        let mut waits = pin!(second.frame());
        let polled = std::future::poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
        assert!(small.frame().await.unwrap().is_ok());
        drop(first);
        assert!(waits.await.unwrap().is_ok());
    }

    #[test]
    fn a_frame_begins_with_a_flag() {
        assert!(bounded(9).check(&frame(1, 0, &[])).is_ok());
        let garbage = bounded(9).check(b"GET / HTTP/1.1");
        assert!(matches!(garbage, Err(Refusal::MalformedRequest { .. })));
    }

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
