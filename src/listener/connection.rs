//! One connection: its handshake, its protocol settings, its deadlines, and its end.
//!
//! A connection ends with GOAWAY when it is idle, when it is old, and at a drain: calls in progress go on, and the client
//! makes new ones on a new connection. What goes on after the grace is cut; whoever reads an endless stream resumes it.

use super::{
    Bounds, Signals,
    accept::Seldom,
    coalesce::Coalesce,
    hosts::Hosts,
    peer::Peer,
    places::{Place, Standing},
    socket::{Accepted, Socket, linger},
    tls::Certified,
    unread,
};
use axum::{Router, body::Body};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

/// Bytes by which HTTP/2 is told from HTTP/1.1.
const PREFACE_BYTES: u64 = 24;
/// Headers of a request that are read, in bytes as HTTP/2 counts them. What is above is answered by HTTP/2 itself, which
/// can't name a reason, and four times as much ends the connection with all of its calls. So this is well above what a
/// call may carry: those who serve calls refuse what is between, that call alone.
const HEADERS_MAX_BYTES: u32 = 256 * 1024;
/// Buffer of an HTTP/1.1 connection, its head included, in bytes.
const HTTP1_BUFFER_MAX_BYTES: usize = 64 * 1024;
/// Streams that the peer reset before we looked at them; beyond it the connection ends (CVE-2023-44487).
const RESET_STREAMS_MAX: usize = 20;
/// Streams that we reset for the peer's errors; beyond it the connection ends.
const ERROR_STREAMS_MAX: usize = 256;
/// Bytes that wait in one stream for the peer.
const STREAM_SEND_MAX_BYTES: usize = 256 * 1024;
/// Bytes of one request that the peer may send ahead; below the connection's, so that a stuck call stops no other.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of all requests of a connection that the peer may send ahead.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Time that a connection over which nobody was recognised has to end.
const UNKNOWN_GRACE: Duration = Duration::from_secs(1);
/// Time that a peer has, at a drain, to say its first word.
const DRAIN_WORD_MAX: Duration = Duration::from_secs(1);

/// What is said to a request that names somebody else.
const MISDIRECTED: &str = "this server is not known by the host name that was asked for: use its address or localhost, \
                           or have the name added to allowed_hosts";

/// Refuses a request that calls us by this foreign name in the words of its own protocol; `None`: in plain HTTP.
pub type RefuseHost = fn(host: &str, headers: &HeaderMap) -> Option<Response<Body>>;

/// Request extension: the serving runtime that the request runs on, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeIndex(pub usize);

/// Request extension: cuts the connection, for a peer that keeps what it must not.
#[derive(Clone, Debug)]
pub struct ConnectionEnd(pub CancellationToken);

/// What the connections of one runtime share.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) index: RuntimeIndex,
    pub(super) bounds: Arc<Bounds>,
    pub(super) signals: Signals,
    pub(super) misdirected: Arc<Misdirected>,
}

/// What becomes of requests that name somebody else.
pub(super) struct Misdirected {
    pub(super) refuse: RefuseHost,
    /// Whoever sets the server up is told in its log, and nobody can fill that.
    pub(super) log: Seldom,
}

/// What an accepted socket is opened with.
pub(super) struct Terms {
    /// Encrypts it.
    pub(super) certified: Option<Arc<Certified>>,
    /// Names that requests may use; `None` takes any.
    pub(super) hosts: Option<Hosts>,
}

/// What the requests of one connection share.
struct Facts {
    index: RuntimeIndex,
    peer: Arc<Peer>,
    hosts: Option<Hosts>,
    misdirected: Arc<Misdirected>,
    /// Cuts it.
    end: ConnectionEnd,
    standing: Standing,
}

/// Counts a call for as long as its answer is sent.
struct Call(Arc<AtomicUsize>);

/// An answer's body that tells when the call is over.
struct Counted {
    inner: Body,
    _call: Call,
}

// === impl Server ===

impl Server {
    /// Shakes hands, and serves until the peer leaves, a bound is passed, or the signals end it.
    pub(super) async fn serve(self, accepted: Accepted, terms: Terms, place: &Place) {
        let Terms { certified, hosts } = terms;
        let now = Instant::now();
        let first_word_by = now + self.bounds.handshake;
        let from = accepted.to_string();
        let opening = Box::pin(accepted.open(certified.as_deref()));
        let opened = tokio::select! {
            opened = timeout_at(first_word_by, opening) => opened,
            () = self.signals.kill.cancelled() => return,
            () = place.end().cancelled() => {
                tracing::debug!(peer = from, "{from} gives way before it shook hands");
                return;
            }
        };
        match opened {
            Ok(Ok((socket, peer))) => {
                let facts = Facts {
                    index: self.index,
                    peer: Arc::new(peer),
                    hosts,
                    misdirected: self.misdirected.clone(),
                    end: ConnectionEnd(place.end().clone()),
                    standing: place.standing().clone(),
                };
                self.serve_requests(socket, facts, first_word_by).await;
            }
            Ok(Err(error)) => {
                tracing::debug!(peer = from, "connection from {from} is not opened: {error}");
            }
            Err(_) => tracing::debug!(peer = from, "{from} did not shake hands in time"),
        }
    }

    async fn serve_requests(self, socket: Socket, facts: Facts, first_word_by: Instant) {
        let peer = facts.peer.clone();
        let facts = Arc::new(facts);
        let calls = Arc::new(AtomicUsize::new(0));
        let io = Coalesce::new(socket);
        let builder = self.protocol();
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            answer(self.router.clone(), facts.clone(), calls.clone(), request)
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io.clone()), service));
        // While nobody is known.
        let mut known_by = self.bounds.first_call.map(|span| Instant::now() + span);
        let old_at = self.bounds.age.map(|age| Instant::now() + jittered(age));
        // Before the end for what comes first of the other bounds, afterwards for the cut.
        let first = old_at.map_or(first_word_by, |old_at| old_at.min(first_word_by));
        let mut timer = pin!(sleep_until(first));
        let mut timed = true;
        let mut ending = false;
        let mut idle_since = None;
        loop {
            let turn = io.drive(std::future::poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                // Noticed at the latest with the next sign of life, for which hyper wakes the connection.
                idle_since = match calls.load(Ordering::Relaxed) {
                    0 => idle_since.or_else(|| Some(Instant::now())),
                    _ => None,
                };
                polled
            }));
            let mut end = false;
            let mut grace = self.bounds.age_grace;
            tokio::select! {
                // What was read counts before the end is begun.
                biased;
                ended = turn => {
                    match ended {
                        Ok(()) => tokio::select! {
                            () = linger(io) => {}
                            () = self.signals.kill.cancelled() => {}
                        },
                        Err(error) => tracing::debug!(%peer, "connection of {peer} ended: {error}"),
                    }
                    return;
                }
                () = self.signals.kill.cancelled() => return,
                () = facts.end.0.cancelled() => return,
                () = must_end(&self.signals.drain, &io), if !ending => end = true,
                () = timer.as_mut(), if timed => {
                    if ending {
                        tracing::debug!(%peer, "connection of {peer} is cut: its end took too long");
                        return;
                    }
                    let now = Instant::now();
                    let silent = idle_since.is_some() && io.received() < PREFACE_BYTES;
                    if silent && first_word_by <= now {
                        tracing::debug!(%peer, "{peer} sent no request in time");
                        return;
                    }
                    let idle_until = match silent {
                        true => first_word_by,
                        false => idle_since.unwrap_or(now) + self.bounds.idle,
                    };
                    let until = old_at.map_or(idle_until, |old_at| old_at.min(idle_until));
                    if facts.standing.is_known() {
                        known_by = None;
                    }
                    let unknown = known_by.is_some_and(|known_by| known_by <= now);
                    if unknown && idle_since.is_some() {
                        tracing::debug!(%peer, "{peer} made no call in time that was authenticated");
                        end = true;
                        grace = Some(UNKNOWN_GRACE);
                    } else if let (true, Some(span)) = (unknown, self.bounds.first_call) {
                        // A watcher of the health, which needs no credential. It is looked at again.
                        known_by = Some(now + span);
                        timer.as_mut().reset(until.min(now + span));
                    } else if until <= now {
                        end = true;
                    } else {
                        timer.as_mut().reset(known_by.map_or(until, |known_by| known_by.min(until)));
                    }
                }
            }
            if end {
                ending = true;
                connection.as_mut().graceful_shutdown();
                timed = grace.is_some();
                if let Some(grace) = grace {
                    timer.as_mut().reset(Instant::now() + grace);
                }
            }
        }
    }

    fn protocol(&self) -> auto::Builder<TokioExecutor> {
        // Destructured: a new bound must be given to hyper, or to the loop above.
        let Bounds {
            handshake,
            first_call: _,
            idle: _,
            ping_interval,
            ping_timeout,
            streams,
            age: _,
            age_grace: _,
            reload: _,
        } = *self.bounds;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(handshake)
            .max_buf_size(HTTP1_BUFFER_MAX_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(ping_interval)
            .keep_alive_timeout(ping_timeout)
            .max_concurrent_streams(streams)
            .max_header_list_size(HEADERS_MAX_BYTES)
            .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
            .max_local_error_reset_streams(ERROR_STREAMS_MAX)
            .max_send_buf_size(STREAM_SEND_MAX_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        builder
    }
}

/// Comes back at a drain, once the peer has said which protocol it speaks: only then can it be told to go elsewhere.
async fn must_end(drain: &CancellationToken, io: &Coalesce<Socket>) {
    drain.cancelled().await;
    // Bytes are read by the connection, which is polled by the same task.
    let spoken = std::future::poll_fn(|_| match io.received() < PREFACE_BYTES {
        true => Poll::Pending,
        false => Poll::Ready(()),
    });
    // A peer that says nothing is cut all the same.
    let _ = tokio::time::timeout(DRAIN_WORD_MAX, spoken).await;
}

async fn answer(
    router: Router,
    facts: Arc<Facts>,
    calls: Arc<AtomicUsize>,
    request: Request<Incoming>,
) -> Result<Response<Counted>, Infallible> {
    let call = Call::begin(calls);
    let hosts = facts.hosts.as_ref();
    let foreign = hosts.and_then(|hosts| hosts.foreign(request.uri(), request.headers()));
    let (mut request, unread) = unread::watch(request);
    let mut response = match foreign {
        None => {
            request.extensions_mut().insert(facts.index);
            request.extensions_mut().insert(facts.peer.clone());
            request.extensions_mut().insert(facts.end.clone());
            request.extensions_mut().insert(facts.standing.clone());
            router.oneshot(request).await?
        }
        Some(host) => facts
            .misdirected
            .refuse(&host, &facts.peer, request.headers()),
    };
    unread.announce(&mut response);
    Ok(response.map(|inner| Counted { inner, _call: call }))
}

/// The duration, a tenth more or less: connections that were opened together are not to end together.
fn jittered(age: Duration) -> Duration {
    let tenth = age / 10;
    let share = u32::from(Uuid::new_v4().as_bytes()[0]);
    age - tenth + tenth * 2 * share / 255
}

// === impl Misdirected ===

impl Misdirected {
    fn refuse(&self, host: &str, peer: &Peer, headers: &HeaderMap) -> Response<Body> {
        if self.log.is_due() {
            tracing::warn!(
                %peer,
                host,
                "{peer} calls this server {host:?}, which is none of its names: it is refused; if the name is right, add it \
                 to allowed_hosts"
            );
        }
        (self.refuse)(host, headers).unwrap_or_else(|| {
            let mut response = Response::new(format!("{MISDIRECTED}\n").into());
            *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
            response
        })
    }
}

// === impl Call ===

impl Call {
    fn begin(calls: Arc<AtomicUsize>) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(calls)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Counted ===

impl http_body::Body for Counted {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_tenth_more_or_less() {
        let minute = Duration::from_secs(60);
        let ages: Vec<Duration> = (0..1000).map(|_| jittered(minute)).collect();
        let (first, last) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
        assert!(
            *first >= minute * 9 / 10 && *first < minute * 92 / 100,
            "{first:?}"
        );
        assert!(
            *last <= minute * 11 / 10 && *last > minute * 108 / 100,
            "{last:?}"
        );
    }
}
