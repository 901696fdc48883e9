//! A request's body on its way to tonic: a message is refused by its five-byte header, before any of it is buffered; a
//! large one waits until there is room; one that never arrives is given up.

use super::handover::FRAME_HEADER_BYTES;
use crate::domain::Refusal;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::PollSemaphore;
use tonic::Status;

/// Longest time until the first message of a call that has no other bound is there.
const UPLOAD_MAX: Duration = Duration::from_secs(60);
/// Bytes of request messages beyond [`SMALL_MESSAGE_MAX_BYTES`] each that may be buffered at a time, per set of layers
/// (one per serving runtime). Further ones wait, in order, with what flow control lets through.
const BUFFERED_MAX_BYTES: usize = 128 * 1024 * 1024;
/// Bytes that compressed messages may become at a time, per set of layers. Further ones wait, whole as they came.
const DECOMPRESSED_MAX_BYTES: usize = 64 * 1024 * 1024;
/// A gzip message's most bytes for each of its own: what DEFLATE gives where a single byte repeats.
const GZIP_GROWTH_MAX: usize = 1032;
/// Messages up to this, in bytes, are not counted: streams and connections bound them.
const SMALL_MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// The room that the requests of one set of layers share, in units of [`SMALL_MESSAGE_MAX_BYTES`].
#[derive(Clone)]
pub(super) struct Room {
    /// For messages as they come.
    buffered: Arc<Semaphore>,
    /// For what compressed ones become. Apart: it is taken when a message is there to its end, so who has it needs nothing
    /// more from the peer, nor any other room.
    decompressed: Arc<Semaphore>,
}

/// Shares of [`Room`] that a chunk needs before it may pass: the largest of its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shares {
    /// For a message that begins in it.
    buffered: u32,
    /// For a compressed message that ends in it.
    decompressed: u32,
}

/// The request's body: refuses a message by its header, and one that never arrives; holds one back until there is room.
pub(super) struct Bounded {
    inner: Body,
    /// Room for messages.
    buffered: PollSemaphore,
    /// Room for what they become.
    decompressed: PollSemaphore,
    /// The present message's shares of them, given back when the request is decoded or dropped.
    held: [Option<OwnedSemaphorePermit>; 2],
    /// A chunk that waits for its shares, and what it still needs.
    waiting: Option<(Frame<Bytes>, Shares)>,
    /// Largest message, in bytes.
    limit: usize,
    /// The header of the next message, as far as it has come.
    header: [u8; FRAME_HEADER_BYTES],
    header_len: usize,
    /// Bytes of the present message that are still to come.
    message_left: usize,
    /// Share for what the present message becomes; 0 where it is not compressed, or small.
    becomes: u32,
    /// Until when the first message must be complete.
    arrival: Option<Pin<Box<Sleep>>>,
    /// After a refusal nothing more is read.
    refused: bool,
}

// === impl Room ===

impl Room {
    pub(super) fn new() -> Self {
        let room = |bytes| Arc::new(Semaphore::new(bytes / SMALL_MESSAGE_MAX_BYTES));
        Self {
            buffered: room(BUFFERED_MAX_BYTES),
            decompressed: room(DECOMPRESSED_MAX_BYTES),
        }
    }
}

// === impl Bounded ===

impl Bounded {
    /// `timed`: the first message must be there within [`UPLOAD_MAX`].
    pub(super) fn new(inner: Body, limit: usize, room: &Room, timed: bool) -> Self {
        Self {
            inner,
            buffered: PollSemaphore::new(room.buffered.clone()),
            decompressed: PollSemaphore::new(room.decompressed.clone()),
            held: [None, None],
            waiting: None,
            limit,
            header: [0; FRAME_HEADER_BYTES],
            header_len: 0,
            message_left: 0,
            becomes: 0,
            arrival: timed.then(|| Box::pin(sleep_until(Instant::now() + UPLOAD_MAX))),
            refused: false,
        }
    }

    /// Follows the frames through `chunk`, whatever pieces they come in. Returns the shares of room that it needs.
    fn check(&mut self, mut chunk: &[u8]) -> Result<Shares, Refusal> {
        let mut shares = Shares::default();
        loop {
            let body = self.message_left.min(chunk.len());
            self.message_left -= body;
            chunk = &chunk[body..];
            if self.message_left == 0 {
                shares.decompressed = shares.decompressed.max(std::mem::take(&mut self.becomes));
            }
            if chunk.is_empty() {
                return Ok(shares);
            }
            let header = (FRAME_HEADER_BYTES - self.header_len).min(chunk.len());
            self.header[self.header_len..][..header].copy_from_slice(&chunk[..header]);
            self.header_len += header;
            chunk = &chunk[header..];
            if self.header_len < FRAME_HEADER_BYTES {
                return Ok(shares);
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
            shares.buffered = shares.buffered.max(units(self.message_left));
            // What it becomes is not known before it has; tonic stops at the limit.
            self.becomes = match flag {
                0 => 0,
                _ => units((self.message_left * GZIP_GROWTH_MAX).min(self.limit)),
            };
        }
    }

    /// The next frame that may pass: checked, and with room for the message that it begins.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refusal>>> {
        if self.waiting.is_none() {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                // The peer is gone, or broke HTTP; or what stands in front made no message of what came, and says why.
                Some(Err(error)) => return Poll::Ready(Some(Err(refusal_in(&error)))),
                None => return Poll::Ready(None),
            };
            let empty = Ok(Shares::default());
            match frame.data_ref().map_or(empty, |data| self.check(data)) {
                Ok(shares) if shares == Shares::default() => return Poll::Ready(Some(Ok(frame))),
                Ok(shares) => self.waiting = Some((frame, shares)),
                Err(refusal) => return Poll::Ready(Some(Err(refusal))),
            }
        }
        if let Some((_, shares)) = &mut self.waiting {
            let [buffered, decompressed] = &mut self.held;
            // The message before is decoded. Who holds and waits at once could wait for ever; who holds `buffered` may
            // wait for `decompressed`, never the other way round.
            if shares.buffered > 0 {
                (*buffered, *decompressed) = (None, None);
                *buffered = ready!(self.buffered.poll_acquire_many(cx, shares.buffered));
                shares.buffered = 0;
            }
            if shares.decompressed > 0 {
                *decompressed = None;
                *decompressed =
                    ready!(self.decompressed.poll_acquire_many(cx, shares.decompressed));
            }
        }
        Poll::Ready(self.waiting.take().map(|(frame, _)| Ok(frame)))
    }

    fn refuse(&mut self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.refused = true;
        // tonic finds the status in the error and answers with it as it stands.
        Poll::Ready(Some(Err(refusal.into())))
    }
}

/// What a body's error says, where one of ours made it.
fn refusal_in(error: &axum::Error) -> Refusal {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return refusal.clone();
        }
        cause = error.source();
    }
    Refusal::MalformedRequest {
        problem: error.to_string(),
    }
}

/// A share of room for this many bytes.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes / SMALL_MESSAGE_MAX_BYTES).expect("no limit of a message is near")
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{convert::Infallible, pin::pin};

    fn room(units: usize) -> Room {
        Room {
            buffered: Arc::new(Semaphore::new(units)),
            decompressed: Arc::new(Semaphore::new(units)),
        }
    }

    fn bounded(limit: usize) -> Bounded {
        Bounded::new(Body::empty(), limit, &room(0), false)
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
            let mut result = Ok(Shares::default());
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
        let start = Instant::now();
        let mut body = Bounded::new(silent, 9, &room(0), true);
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
            Bounded::new(begun, large, &room, false)
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

    /// R16.
    #[test]
    fn any_bytes_are_followed_or_refused() {
        let good = [
            frame(0, 3, b"abc"),
            frame(1, 0, &[]),
            frame(0, 40, &[7; 40]),
        ]
        .concat();
        crate::fuzz::fuzz(&[&good, b"GET / HTTP/1.1"], |bytes| {
            let mut body = bounded(40);
            for piece in bytes.chunks(1 + bytes.len() / 3) {
                if body.check(piece).is_err() {
                    return;
                }
                assert!(body.message_left <= 40 && body.header_len < FRAME_HEADER_BYTES);
            }
        });
    }

    #[test]
    fn a_compressed_message_counts_as_what_it_may_become_when_it_is_there() {
        let shares = |buffered, decompressed| {
            Ok(Shares {
                buffered,
                decompressed,
            })
        };
        let (mib, most) = (1 << 20, 18 << 20);
        for (length, limit, begins, ends) in [
            (1, most, 0, 0),
            (2048, most, 0, 32),
            // Never more than tonic lets it become.
            (2048, mib, 0, 16),
            (most, most, 18 * 16, 18 * 16),
        ] {
            let whole = frame(1, length as u32, &vec![7; length]);
            let (head, last) = whole.split_at(whole.len() - 1);
            let mut body = bounded(limit);
            assert_eq!(body.check(head), shares(begins, 0), "{length}");
            assert_eq!(body.check(last), shares(0, ends), "{length}");
            assert_eq!(bounded(limit).check(&whole), shares(begins, ends));
            let plain = frame(0, length as u32, &vec![7; length]);
            assert_eq!(bounded(limit).check(&plain), shares(begins, 0));
        }
    }

    #[test]
    fn a_frame_begins_with_a_flag() {
        assert!(bounded(9).check(&frame(1, 0, &[])).is_ok());
        let garbage = bounded(9).check(b"GET / HTTP/1.1");
        assert!(matches!(garbage, Err(Refusal::MalformedRequest { .. })));
    }
}
