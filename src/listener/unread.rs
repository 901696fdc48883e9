//! Answers that are given before their request has been read.
//!
//! On HTTP/1.1 the rest of such a request stands between this answer and the next request, and hyper ends the connection
//! unless that rest is there already. A peer that isn't told sends its next request into the closing connection and gets
//! no answer. So it is told: `connection: close`. HTTP/2 resets the one stream, and needs nothing.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

/// A request's body that tells when it has been read to its end.
pub(super) struct Watched {
    inner: Incoming,
    read: Arc<AtomicBool>,
}

/// Whether a request has been read; asked when its answer is there.
pub(super) struct Unread {
    version: Version,
    read: Arc<AtomicBool>,
}

/// Begins to watch a request.
pub(super) fn watch(request: Request<Incoming>) -> (Request<Watched>, Unread) {
    let read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let unread = Unread {
        version: request.version(),
        read: read.clone(),
    };
    (request.map(|inner| Watched { inner, read }), unread)
}

// === impl Unread ===

impl Unread {
    /// Tells the peer in the answer's head that the connection ends after it, where it will.
    pub(super) fn announce<B>(self, response: &mut Response<B>) {
        if self.version < Version::HTTP_2 && !self.read.load(Ordering::Relaxed) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
    }
}

// === impl Watched ===

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let ended = matches!(polled, Poll::Ready(None)) || self.inner.is_end_stream();
        if ended {
            self.read.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
