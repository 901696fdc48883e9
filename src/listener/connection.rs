//! One connection: its protocol settings, its deadlines, and its end.

use super::{Bounds, Signals, coalesce::Coalesce, unread};
use axum::{Router, body::Body};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Bytes by which HTTP/2 is told from HTTP/1.1.
const PREFACE_BYTES: u64 = 24;
/// Headers of a request, in bytes as HTTP/2 counts them.
const HEADERS_MAX_BYTES: u32 = 16 * 1024;
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

/// Time that a peer has, at a drain, to say its first word, and to close its side once its connection has ended.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// Request extension: the serving runtime that the request runs on, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeIndex(pub usize);

/// Request extension: who is at the other end of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// What the connections of one runtime share.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) index: RuntimeIndex,
    pub(super) bounds: Arc<Bounds>,
    pub(super) signals: Signals,
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
    /// Serves until the peer leaves, a bound is passed, or the signals end it.
    pub(super) async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let calls = Arc::new(AtomicUsize::new(0));
        let io = Coalesce::new(stream);
        let builder = self.protocol();
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            answer(
                self.router.clone(),
                self.index,
                peer,
                calls.clone(),
                request,
            )
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io.clone()), service));
        let mut timer = pin!(sleep(self.bounds.handshake));
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
            tokio::select! {
                // What was read counts before the end is begun.
                biased;
                ended = turn => {
                    match ended {
                        Ok(()) => linger(io, &self.signals.kill).await,
                        Err(error) => tracing::debug!(%peer, "connection of {peer} ended: {error}"),
                    }
                    return;
                }
                () = self.signals.kill.cancelled() => return,
                () = must_end(&self.signals.drain, &io), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = timer.as_mut(), if !ending => {
                    let now = Instant::now();
                    let idle_until = idle_since.unwrap_or(now) + self.bounds.idle;
                    if idle_since.is_some() && io.received() < PREFACE_BYTES {
                        tracing::debug!(%peer, "{peer} sent no request in time");
                        return;
                    }
                    if idle_until <= now {
                        ending = true;
                        connection.as_mut().graceful_shutdown();
                    } else {
                        timer.as_mut().reset(idle_until);
                    }
                }
            }
        }
    }

    fn protocol(&self) -> auto::Builder<TokioExecutor> {
        // Destructured: a new bound must be given to hyper, or to the loop above.
        let Bounds {
            handshake,
            idle: _,
            ping_interval,
            ping_timeout,
            streams,
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
async fn must_end(drain: &CancellationToken, io: &Coalesce<TcpStream>) {
    drain.cancelled().await;
    // Bytes are read by the connection, which is polled by the same task.
    let spoken = std::future::poll_fn(|_| match io.received() < PREFACE_BYTES {
        true => Poll::Pending,
        false => Poll::Ready(()),
    });
    // A peer that says nothing is cut all the same.
    let _ = tokio::time::timeout(LINGER_MAX, spoken).await;
}

/// Reads until the peer has closed too. A socket that is closed with bytes unread resets the connection, and a reset
/// may take back the last answers before the peer has read them.
async fn linger(mut io: Coalesce<TcpStream>, kill: &CancellationToken) {
    let mut unread = [0; 1024];
    let read = async {
        while io.shutdown().await.is_ok() && io.read(&mut unread).await.is_ok_and(|n| n > 0) {}
    };
    tokio::select! {
        _ = tokio::time::timeout(LINGER_MAX, read) => {}
        () = kill.cancelled() => {}
    }
}

async fn answer(
    router: Router,
    index: RuntimeIndex,
    peer: SocketAddr,
    calls: Arc<AtomicUsize>,
    mut request: Request<Incoming>,
) -> Result<Response<Counted>, Infallible> {
    let call = Call::begin(calls);
    request.extensions_mut().insert(index);
    request.extensions_mut().insert(PeerAddress(peer));
    let (request, unread) = unread::watch(request);
    let mut response = router.oneshot(request).await?;
    unread.announce(&mut response);
    Ok(response.map(|inner| Counted { inner, _call: call }))
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
