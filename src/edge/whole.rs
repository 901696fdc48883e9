//! A single answer, mostly as JSON, on its way out.

use super::{call::Answer, routes::Endpoint, transcode};
use crate::grpc::status;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::{Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use tonic::Status;

/// What is handed to HTTP at a time, in bytes, copied: a peer that takes none of it would else keep the whole.
const PIECE_BYTES: usize = 32 * 1024;

/// It holds the call's place, and its share of room, until the last piece is taken.
struct Whole {
    bytes: Bytes,
    _answer: Answer,
}

/// A body of these bytes, which came with an answer.
pub(super) fn body(bytes: Bytes, answer: Answer) -> Body {
    Body::new(Whole {
        bytes,
        _answer: answer,
    })
}

/// The answer of a call that has one.
///
/// # Errors
/// The call failed.
pub(super) async fn whole(endpoint: &Endpoint, mut answer: Answer) -> Result<Response, Status> {
    let message = answer.only().await?;
    let json = transcode::to_json(&endpoint.output, &message, true);
    let (json, _) = json.map_err(|error| status::bug(&error))?;
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CONTENT_LENGTH, json.len().into()),
    ];
    Ok((headers, body(json.into(), answer)).into_response())
}

// === impl Whole ===

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.bytes.len().min(PIECE_BYTES);
        let piece = self.bytes.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
