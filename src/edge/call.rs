//! One gRPC call, made inside of this process through the layers that every call passes.

use super::upload::Room;
use crate::{
    domain::Refusal,
    grpc::{handover::FRAME_HEADER_BYTES, status},
};
use axum::{Router, body::Body, response::Response};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header, request::Parts};
use http_body_util::BodyExt;
use tonic::{Code, Status};
use tower::ServiceExt;

/// Headers that say something of the request's body or of its way here, not of the call.
const LEFT_OUT: [HeaderName; 12] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::RANGE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("grpc-encoding"),
];

/// Where calls go to.
#[derive(Debug)]
pub(super) struct Door {
    /// Room for JSON bodies.
    pub(super) room: Room,
    grpc: Router,
}

/// What a call answers: messages, and how it ended.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    read: BytesMut,
}

// === impl Door ===

impl Door {
    /// `grpc`: the services with their layers around them.
    pub(super) fn new(grpc: Router) -> Self {
        Self {
            room: Room::new(),
            grpc,
        }
    }

    /// Calls a method as whoever sent the request that `parts` are of; `body` is in gRPC's frames.
    ///
    /// # Errors
    /// The call was refused before it answered anything.
    pub(super) async fn call(
        &self,
        mut parts: Parts,
        path: &'static str,
        body: Body,
    ) -> Result<Answer, Status> {
        parts.method = Method::POST;
        parts.uri = Uri::from_static(path);
        for name in LEFT_OUT {
            parts.headers.remove(name);
        }
        let kind = HeaderValue::from_static("application/grpc");
        parts.headers.insert(header::CONTENT_TYPE, kind);
        let trailers = HeaderValue::from_static("trailers");
        parts.headers.insert(header::TE, trailers);
        let request = Request::from_parts(parts, body);
        let response = match self.grpc.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        Answer::of(response)
    }
}

// === impl Answer ===

impl Answer {
    fn of(response: Response) -> Result<Self, Status> {
        match Status::from_header_map(response.headers()) {
            Some(status) if status.code() != Code::Ok => Err(status),
            Some(_) | None => Ok(Self {
                body: response.into_body(),
                read: BytesMut::new(),
            }),
        }
    }

    /// The next message; `None` once the call ended well.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        loop {
            if let Some(message) = self.take() {
                return Some(Ok(message));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.read.extend_from_slice(&data),
                    Err(other) => {
                        let trailers = other.into_trailers().unwrap_or_default();
                        let status = Status::from_header_map(&trailers);
                        let failed = status.filter(|status| status.code() != Code::Ok);
                        return failed.map(Err);
                    }
                },
                // Every call ends by a status: this one was cut.
                Some(Err(_)) | None => return Some(Err(Refusal::StoreUnavailable.into())),
            }
        }
    }

    /// The message of a call that answers once.
    pub(super) async fn only(&mut self) -> Result<Bytes, Status> {
        match self.next().await {
            Some(message) => message,
            None => Err(status::bug(&"a call answered nothing").into()),
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let header = self.read.first_chunk::<FRAME_HEADER_BYTES>()?;
        let [_, length @ ..] = *header;
        let length = u32::from_be_bytes(length) as usize;
        if self.read.len() < FRAME_HEADER_BYTES + length {
            return None;
        }
        self.read.advance(FRAME_HEADER_BYTES);
        Some(self.read.split_to(length).freeze())
    }
}
