//! Answers made of frames that are encoded already, given out through tonic's generated services.
//!
//! A handler puts its body into a response extension; [`swap`], one of the layers, puts that body in place of tonic's.
//! So routing, decoding, limits and refusals before the first message stay tonic's, and no event is encoded or copied
//! per reader. Dropping the body is the cancellation: there is no task beside it.
//!
//! Left out: compression. The frames are shared by all readers, and a compressed copy would need its own sharing.

use super::status;
use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio_stream::Stream;
use tonic::{Response, Status};

/// Bytes before each message: the compression flag and the length.
pub const FRAME_HEADER_BYTES: usize = 5;

/// The body on its way from the handler to [`swap`]. Extensions must be `Clone` and `Sync`, a body is neither: hence the
/// cell, which is filled once and taken once, never contended.
#[derive(Clone)]
struct Handover(Arc<Mutex<Option<Body>>>);

/// Stands for the handler's stream while the real body travels beside it.
///
/// Where the layer is missing it ends with an internal error: an empty stream that ends OK would look like an answer.
pub struct Handed<T> {
    failed: bool,
    message: PhantomData<fn() -> T>,
}

/// Answers a server-streaming call with `body`: gRPC frames, then [`trailers`].
pub fn stream<T>(
    body: impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
) -> Response<Handed<T>> {
    hand_over(
        Handed {
            failed: false,
            message: PhantomData,
        },
        Body::new(body),
    )
}

/// Answers a unary call with a message that is encoded already.
pub fn message<T: Default>(encoded: &[u8]) -> Response<T> {
    let end = async { Some(Ok(trailers(&Status::ok("")))) };
    let body = Full::new(frame(0, encoded)).with_trailers(end);
    hand_over(T::default(), Body::new(body))
}

/// A message on the wire: a flag, its length, itself. Connect has the same frames, with flags of its own.
pub fn frame(flag: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("messages are bounded far below 4 GiB");
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.put_u8(flag);
    frame.put_u32(length);
    frame.put_slice(message);
    frame.freeze()
}

/// The trailers that end a stream: code, message and details of `status`.
pub fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    status
        .add_header(&mut trailers)
        .expect("tonic percent-encodes the message, so it always fits a header");
    trailers
}

/// Puts a handed-over body in place of tonic's; passes every other answer through.
pub fn swap(mut response: http::Response<Body>) -> http::Response<Body> {
    let handed = response.extensions_mut().remove::<Handover>();
    let body = handed.and_then(|handed| {
        let mut cell = handed.0.lock().unwrap_or_else(PoisonError::into_inner);
        cell.take()
    });
    match body {
        Some(body) => {
            // Said by tonic of a body that it would have compressed.
            response.headers_mut().remove("grpc-encoding");
            response.map(|_| body)
        }
        None => response,
    }
}

fn hand_over<T>(placeholder: T, body: Body) -> Response<T> {
    let mut response = Response::new(placeholder);
    let cell = Handover(Arc::new(Mutex::new(Some(body))));
    response.extensions_mut().insert(cell);
    response
}

// === impl Handed ===

impl<T> Stream for Handed<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::replace(&mut self.failed, true) {
            return Poll::Ready(None);
        }
        let bug = status::bug(&"a handed-over body was not swapped in: the layer is missing");
        Poll::Ready(Some(Err(bug.into())))
    }
}
