//! A JSON body on its way to a call. It is read only when the call asks for its message, which is when its caller is known
//! and may call; the bounds of the message itself are kept behind, by the layers of gRPC.

use super::transcode;
use crate::{
    domain::{Refusal, limits::INPUT_MESSAGE_MAX_BYTES},
    grpc::layers::INPUTS,
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use prost_reflect::DynamicMessage;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Longest JSON body of the calls that may carry attachments, in bytes: what base64 makes of their largest message, and
/// some.
pub(super) const INPUT_JSON_MAX_BYTES: usize = 26 * 1024 * 1024;
/// Longest JSON body of any other call, in bytes.
pub(super) const JSON_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of JSON bodies beyond [`SMALL_JSON_MAX_BYTES`] each that may be held at a time. Further ones wait, in order.
const HELD_MAX_BYTES: usize = 128 * 1024 * 1024;
/// Bodies up to this, in bytes, are not counted: streams and connections bound them.
const SMALL_JSON_MAX_BYTES: usize = 64 * 1024;

// What is sent as JSON fits what may be sent.
const _: () = assert!(INPUT_JSON_MAX_BYTES > INPUT_MESSAGE_MAX_BYTES / 3 * 4);

/// The room that all bodies share, in units of [`SMALL_JSON_MAX_BYTES`].
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        let units = HELD_MAX_BYTES / SMALL_JSON_MAX_BYTES;
        Self(Arc::new(Semaphore::new(units)))
    }
}

/// The content type that a request says, without its parameters; empty where it says none.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

/// A gRPC body of one message, which `make` makes of the JSON body once somebody asks for it.
pub(super) fn translated(
    body: Body,
    path: &'static str,
    room: Room,
    make: impl FnOnce(&[u8]) -> Result<DynamicMessage, Refusal> + Send + 'static,
) -> Body {
    let limit = match INPUTS.contains(&path) {
        true => INPUT_JSON_MAX_BYTES,
        false => JSON_MAX_BYTES,
    };
    Body::from_stream(stream::once(async move {
        let (json, _share) = read(body, limit, &room).await?;
        let message = make(&json)?;
        Ok::<Bytes, Refusal>(transcode::frame(&message))
    }))
}

/// Reads all of a body, or refuses it as soon as it is too long.
pub(super) async fn read<'r>(
    mut body: Body,
    limit: usize,
    room: &'r Room,
) -> Result<(Bytes, Option<SemaphorePermit<'r>>), Refusal> {
    let too_large = || Refusal::MessageTooLarge { limit };
    let told = body.size_hint().exact();
    let told = told.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if told.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut share = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::MalformedRequest {
            problem: error.to_string(),
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let length = all.len() + data.len();
        if length > limit {
            return Err(too_large());
        }
        // Taken once, for all that may come: who holds and waits for more could wait for ever.
        if length > SMALL_JSON_MAX_BYTES && share.is_none() {
            let units = told.unwrap_or(limit).div_ceil(SMALL_JSON_MAX_BYTES);
            let units = u32::try_from(units).expect("it is bounded");
            share = room.0.acquire_many(units).await.ok();
        }
        all.extend_from_slice(&data);
    }
    Ok((all.freeze(), share))
}
