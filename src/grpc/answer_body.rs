//! A whole answer on its way to its caller: what it holds in memory until then is bounded, and so is its time.
//!
//! A unary answer is built at once and may have megabytes. A caller that asks for many and takes none (HTTP/2 lets it
//! close its window) would fill memory with them. So all large answers of one set of layers share [`WAITING_MAX_BYTES`];
//! where that is taken the next large answer is dropped and its caller told to come again. The connection of a caller
//! that leaves one lying for [`TAKE_MAX`] is cut, so that nobody holds the room for ever. Small answers are not counted,
//! so whoever asks for little is always served.
//!
//! An answer goes out in copied pieces of [`PIECE_BYTES`]: what HTTP/2 has accepted would else keep the whole alive.

use super::status;
use crate::{domain::Refusal, listener::ConnectionEnd, proto::DESCRIPTORS};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use prost::Message;
use prost_types::FileDescriptorSet;
use std::{
    collections::HashSet,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bytes of large answers that may wait for their callers at a time, per set of layers (one per serving runtime).
const WAITING_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Answers up to this, in bytes, are not counted: streams and connections bound them.
const SMALL_ANSWER_MAX_BYTES: usize = 64 * 1024;
/// Time that a caller has to take a large answer.
const TAKE_MAX: Duration = Duration::from_secs(120);
/// What is handed to HTTP/2 at a time, in bytes.
const PIECE_BYTES: usize = 32 * 1024;

/// Paths of our methods that answer with one message.
static UNARY: LazyLock<HashSet<String>> = LazyLock::new(unary);

/// The room that the answers of one set of layers share.
#[derive(Clone)]
pub(super) struct Answers {
    /// In units of [`SMALL_ANSWER_MAX_BYTES`].
    room: Arc<Semaphore>,
}

/// A whole answer that waits for its caller.
struct Waiting {
    message: Bytes,
    /// Trailers.
    rest: Body,
    _share: OwnedSemaphorePermit,
    /// Ends the watch over [`TAKE_MAX`].
    _taken: DropGuard,
}

fn unary() -> HashSet<String> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("the build wrote it");
    let mut paths = HashSet::new();
    for file in &set.file {
        for service in &file.service {
            let methods = service.method.iter().filter(|one| !one.server_streaming());
            paths.extend(
                methods.map(|method| {
                    format!("/{}.{}/{}", file.package(), service.name(), method.name())
                }),
            );
        }
    }
    paths
}

// === impl Answers ===

impl Answers {
    pub(super) fn new() -> Self {
        let units = WAITING_MAX_BYTES / SMALL_ANSWER_MAX_BYTES;
        Self {
            room: Arc::new(Semaphore::new(units)),
        }
    }

    /// Whether the answers of the method with this path are whole.
    pub(super) fn are_whole(path: &str) -> bool {
        UNARY.contains(path)
    }

    /// Lets a whole answer pass while there is room for it. `end` cuts the connection that it goes to.
    pub(super) async fn admit(&self, response: Response, end: Option<ConnectionEnd>) -> Response {
        let (parts, mut rest) = response.into_parts();
        let first = match rest.frame().await {
            None => return Response::from_parts(parts, Body::empty()),
            // tonic ends a failed answer by trailers, never so.
            Some(Err(error)) => return status::status(&status::bug(&error)).into_http(),
            Some(Ok(first)) => first,
        };
        let message = match first.into_data() {
            Ok(message) => message,
            Err(trailers) => {
                let only = Only(Some(trailers));
                return Response::from_parts(parts, Body::new(only));
            }
        };
        let units = message.len() / SMALL_ANSWER_MAX_BYTES;
        let all = WAITING_MAX_BYTES / SMALL_ANSWER_MAX_BYTES;
        let share = u32::try_from(units.min(all)).expect("it is bounded");
        let Ok(share) = Arc::clone(&self.room).try_acquire_many_owned(share) else {
            let free = self.room.available_permits() * SMALL_ANSWER_MAX_BYTES;
            let refusal = Refusal::AnswersWaiting {
                limit: WAITING_MAX_BYTES,
                current: WAITING_MAX_BYTES - free,
            };
            return status::status(&refusal).into_http();
        };
        let taken = CancellationToken::new();
        if units > 0 {
            tokio::spawn(watch(taken.clone(), end));
        }
        let waiting = Waiting {
            message,
            rest,
            _share: share,
            _taken: taken.drop_guard(),
        };
        Response::from_parts(parts, Body::new(waiting))
    }
}

/// Cuts the connection where its caller takes too long.
async fn watch(taken: CancellationToken, end: Option<ConnectionEnd>) {
    tokio::select! {
        () = taken.cancelled() => {}
        () = sleep(TAKE_MAX) => {
            tracing::info!("a caller did not take its answer in time: its connection is cut");
            if let Some(ConnectionEnd(end)) = end {
                end.cancel();
            }
        }
    }
}

// === impl Waiting ===

impl http_body::Body for Waiting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.message.is_empty() {
            return Pin::new(&mut this.rest).poll_frame(cx);
        }
        let piece = this.message.split_to(this.message.len().min(PIECE_BYTES));
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A body that is one frame.
struct Only(Option<Frame<Bytes>>);

impl http_body::Body for Only {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn answer(bytes: usize) -> Response {
        Response::new(Body::from(vec![7; bytes]))
    }

    async fn accepted(answers: &Answers, bytes: usize) -> Option<Body> {
        let response = answers.admit(answer(bytes), None).await;
        let refused = response.headers().contains_key("grpc-status");
        (!refused).then(|| response.into_body())
    }

    /// R16: callers that take nothing hold no more than the room, and callers who ask for little are served meanwhile.
    #[tokio::test]
    async fn large_answers_share_a_room_and_small_ones_need_none() {
        let answers = Answers::new();
        let mut waiting = Vec::new();
        for _ in 0..WAITING_MAX_BYTES / (16 * MIB) {
            waiting.push(accepted(&answers, 16 * MIB).await.expect("there is room"));
        }
        assert!(accepted(&answers, MIB).await.is_none());
        assert!(
            accepted(&answers, SMALL_ANSWER_MAX_BYTES - 1)
                .await
                .is_some()
        );
        // One is taken, in pieces, and gives its room back.
        let mut body = waiting.pop().expect("there are some");
        let mut taken = 0;
        while let Some(frame) = body.frame().await {
            let piece = frame.expect("it is whole").into_data().expect("data");
            assert!(piece.len() <= PIECE_BYTES);
            taken += piece.len();
        }
        assert_eq!(taken, 16 * MIB);
        drop(body);
        assert!(accepted(&answers, MIB).await.is_some());
        // One that is larger than the room goes alone.
        waiting.clear();
        let alone = accepted(&answers, 2 * WAITING_MAX_BYTES).await;
        assert!(alone.is_some());
        assert!(accepted(&answers, MIB).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_a_large_answer_lying_is_cut() {
        let answers = Answers::new();
        let end = CancellationToken::new();
        let admit = |bytes| answers.admit(answer(bytes), Some(ConnectionEnd(end.clone())));
        drop(admit(MIB).await);
        let small = admit(100).await;
        sleep(2 * TAKE_MAX).await;
        assert!(!end.is_cancelled());
        let lying = admit(MIB).await;
        sleep(TAKE_MAX - Duration::from_secs(1)).await;
        assert!(!end.is_cancelled());
        sleep(Duration::from_secs(2)).await;
        assert!(end.is_cancelled());
        drop((small, lying));
    }

    #[test]
    fn streams_are_no_whole_answers() {
        let path = |method: &str| format!("/quarterdeck.v1.{method}");
        for whole in ["GatewayService/ListMessages", "AdminService/WhoAmI"] {
            assert!(Answers::are_whole(&path(whole)), "{whole}");
        }
        for stream in [
            "GatewayService/Subscribe",
            "GatewayService/Run",
            "AdminService/TailLogs",
        ] {
            assert!(!Answers::are_whole(&path(stream)), "{stream}");
        }
    }
}
