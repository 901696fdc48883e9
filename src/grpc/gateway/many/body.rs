//! The stream of a SubscribeMany: a reader for each session, the sessions that come to match, and the list.
//!
//! Only parts that were woken are polled, and those that are ready take turns. Nothing is queued here: while the stream is
//! not taken nobody is polled, and at most [`PAGES_MAX`] of its readers hold a page of the store.

use super::{arriving::Arriving, request::Wants};
use crate::{
    clock,
    domain::{access::Identity, refusal::Refusal},
    feed::{Feed, Reader, ReaderOptions, Step, StreamPermit, Tail},
    grpc::{
        channels::{Followed, Place},
        gateway::watch::Listing,
        handover,
        status::{status, status_about},
    },
    proto::{self, gateway_event::Kind},
    store::Store,
    wire::{encode, frames},
};
use bytes::{Bytes, BytesMut};
use futures_util::{
    Stream, StreamExt,
    stream::{BoxStream, SelectAll},
};
use http_body::Frame;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::sync::Semaphore;
use tonic::Status;

/// Pages of the store that the readers of one stream may hold at a time; `feed::stream` bounds each.
const PAGES_MAX: usize = 4;

/// What the readers of a stream have in common.
pub(super) struct Shared {
    pub(super) feed: Arc<Feed>,
    pub(super) store: Arc<dyn Store>,
    pub(super) viewer: Arc<Identity>,
    pub(super) place: Place,
    /// What readers want whose session says nothing else.
    pub(super) wants: Wants,
    pub(super) progress_interval: Duration,
    pub(super) coalesce: Duration,
}

/// The stream as the body of an answer.
pub(super) struct ManyBody {
    shared: Shared,
    pages: Arc<Semaphore>,
    parts: SelectAll<BoxStream<'static, Part>>,
    /// Readers among the parts.
    followed: usize,
    /// One for each reader, and at least one.
    permits: Vec<StreamPermit>,
    /// Whether a part ended because the server stops: so does the stream, once all have.
    drained: bool,
    ended: bool,
}

/// What a part has for the stream.
enum Part {
    /// Whole gRPC frames.
    Frames(Bytes),
    /// A session came to match.
    Came(Arc<Tail>, i64),
    /// A session's events ended, with its reason and key. The last of a reader.
    Left(Result<(), (Refusal, String)>),
    /// No session can come, or no list, for this reason.
    Over(Refusal),
}

/// A session's events.
struct Following(Option<(Box<Reader>, Followed)>);

// === impl ManyBody ===

impl ManyBody {
    /// # Errors
    /// `TOO_MANY_STREAMS`.
    pub(super) fn new(shared: Shared) -> Result<Self, Refusal> {
        Ok(Self {
            permits: vec![shared.feed.stream_permit()?],
            shared,
            pages: Arc::new(Semaphore::new(PAGES_MAX)),
            parts: SelectAll::new(),
            followed: 0,
            drained: false,
            ended: false,
        })
    }

    /// What readers want whose session says nothing else.
    pub(super) fn wants(&self) -> Wants {
        self.shared.wants.clone()
    }

    /// Follows a session after a position.
    ///
    /// # Errors
    /// `TOO_MANY_STREAMS`.
    pub(super) fn follow(
        &mut self,
        tail: Arc<Tail>,
        after: i64,
        wants: Wants,
    ) -> Result<(), Refusal> {
        let place = self.shared.place.follow(tail.session().key.as_str())?;
        if self.followed == self.permits.len() {
            self.permits.push(self.shared.feed.stream_permit()?);
        }
        self.followed += 1;
        let reader = Reader::new(
            tail,
            self.shared.store.clone(),
            ReaderOptions {
                after,
                replay: true,
                kinds: wants.kinds,
                deltas: wants.deltas,
                subagents: wants.subagents,
                hello: true,
                progress_interval: self.shared.progress_interval,
                coalesce: self.shared.coalesce,
                turn: None,
                viewer: self.shared.viewer.clone(),
                pages: Some(self.pages.clone()),
            },
        );
        let following = Following(Some((Box::new(reader), place)));
        self.parts.push(following.boxed());
        Ok(())
    }

    /// Follows each session that comes to match, too.
    pub(super) fn follow_arriving(&mut self, arriving: Arriving) {
        let part = arriving.stream().map(|came| match came {
            Ok((tail, after)) => Part::Came(tail, after),
            Err(refusal) => Part::Over(refusal),
        });
        self.parts.push(part.boxed());
    }

    /// Reports a list of sessions, too.
    pub(super) fn list(&mut self, listing: Listing) {
        let part = listing.batches().map(|batch| match batch {
            Ok(snapshots) => Part::Frames(list_frames(snapshots)),
            Err(refusal) => Part::Over(refusal),
        });
        self.parts.push(part.boxed());
    }

    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.ended = true;
        // What feeds the stream goes now: the peer may read these trailers much later.
        self.parts.clear();
        Frame::trailers(handover::trailers(status))
    }

    /// Takes a part's end; the stream ends with it unless the server stops.
    fn part_ended(&mut self, refusal: &Refusal, session_key: Option<&str>) -> Option<Frame<Bytes>> {
        let status = match (refusal, session_key) {
            (Refusal::Draining { .. }, _) => {
                self.drained = true;
                return None;
            }
            (_, Some(session_key)) => status_about(session_key, refusal),
            (_, None) => status(refusal),
        };
        Some(self.end(&status))
    }

    /// What a part's news are for the stream; `None` where it goes on without a word.
    fn take(&mut self, part: Part) -> Option<Frame<Bytes>> {
        match part {
            Part::Frames(frames) => Some(Frame::data(frames)),
            Part::Came(tail, after) => {
                let (key, wants) = (tail.session().key.clone(), self.wants());
                let refused = self.follow(tail, after, wants).err()?;
                self.part_ended(&refused, Some(key.as_str()))
            }
            Part::Left(end) => {
                self.followed -= 1;
                self.permits.truncate(self.followed.max(1));
                let (refusal, key) = end.err()?;
                self.part_ended(&refusal, Some(&key))
            }
            Part::Over(refusal) => self.part_ended(&refusal, None),
        }
    }
}

impl http_body::Body for ManyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            let part = ready!(self.parts.poll_next_unpin(context));
            let frame = match part {
                Some(part) => self.take(part),
                None if self.drained => {
                    let draining = Refusal::Draining { last_seq: None };
                    Some(self.end(&status(&draining)))
                }
                None => Some(self.end(&Status::ok(""))),
            };
            if let Some(frame) = frame {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }
}

// === impl Following ===

impl Stream for Following {
    type Item = Part;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Part>> {
        let Some((reader, _)) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let step = ready!(reader.poll_step(context));
        Poll::Ready(Some(match step {
            Step::Frames(frames) => Part::Frames(frames),
            Step::End(end) => {
                let key = self
                    .0
                    .take()
                    .map(|(_, place)| place.session_key().to_owned());
                Part::Left(end.map_err(|refusal| (refusal, key.unwrap_or_default())))
            }
        }))
    }
}

/// Snapshots of the list as events.
fn list_frames(snapshots: Vec<proto::SessionSnapshot>) -> Bytes {
    let mut out = BytesMut::new();
    for snapshot in snapshots {
        let event = proto::GatewayEvent {
            session_key: snapshot.session_key.clone(),
            log_id: snapshot.log_id.clone(),
            after_seq: snapshot.head_seq,
            generation: snapshot.generation,
            event_time: Some(encode::timestamp(clock::now())),
            kind: Some(Kind::SessionState(proto::SessionStateChanged {
                session: Some(snapshot),
            })),
            ..Default::default()
        };
        out.extend_from_slice(&frames::frame(&event));
    }
    out.freeze()
}
