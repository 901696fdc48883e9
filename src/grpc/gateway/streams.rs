//! Subscribe and Run: one session in one stream.

use super::Call;
use crate::{
    domain::{ids::SessionKey, refusal::Refusal},
    feed::{self, Reader, ReaderOptions, Step, StreamPermit},
    grpc::{
        handover::{self, Handed},
        status::status,
    },
    proto,
    session::disconnect::Connected,
    wire::parse::Fields,
};
use bytes::Bytes;
use http_body::Frame;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tonic::{Response, Status};

/// `progress_interval` where the caller names none.
const PROGRESS_DEFAULT: Duration = Duration::from_secs(15);
/// Shortest `progress_interval`.
const PROGRESS_MIN: Duration = Duration::from_secs(1);
/// Longest `progress_interval`.
const PROGRESS_MAX: Duration = Duration::from_secs(300);
/// Longest `coalesce`.
const COALESCE_MAX: Duration = Duration::from_millis(50);

/// A reader as the body of an answer: frames, then the trailers that say why it ended.
struct ReaderBody {
    reader: Pin<Box<Reader>>,
    _permit: StreamPermit,
    ended: bool,
    /// Its drop is the disconnect.
    connected: Option<Connected>,
}

/// `progress_interval` of a request.
pub(super) fn progress_interval(
    fields: &mut Fields,
    given: Option<prost_types::Duration>,
) -> Duration {
    fields
        .span("progress_interval", given, PROGRESS_MIN, PROGRESS_MAX)
        .unwrap_or(PROGRESS_DEFAULT)
}

/// `coalesce` of a request.
pub(super) fn coalesce(fields: &mut Fields, given: Option<prost_types::Duration>) -> Duration {
    fields
        .span("coalesce", given, Duration::ZERO, COALESCE_MAX)
        .unwrap_or(Duration::ZERO)
}

// === impl ReaderBody ===

impl http_body::Body for ReaderBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = match ready!(self.reader.as_mut().poll_step(context)) {
            Step::Frames(frames) => Frame::data(frames),
            Step::End(end) => {
                self.ended = true;
                let status = match end {
                    Ok(()) => {
                        if let Some(connected) = self.connected.take() {
                            connected.over();
                        }
                        Status::ok("")
                    }
                    Err(refusal) => status(&refusal),
                };
                Frame::trailers(handover::trailers(&status))
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

// === impl Call ===

impl Call<'_> {
    pub(super) async fn subscribe(
        &self,
        request: proto::SubscribeRequest,
    ) -> Result<Response<Handed<proto::GatewayEvent>>, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let kinds = fields.kinds("kinds", &request.kinds);
        let cursor = request.cursor.clone().unwrap_or_default();
        fields.not_negative("cursor.after_seq", cursor.after_seq);
        fields.not_negative("min_seq", request.min_seq);
        let progress_interval = progress_interval(&mut fields, request.progress_interval);
        let coalesce = coalesce(&mut fields, request.coalesce);
        if request.from_oldest && request.cursor.is_some() {
            fields.wrong("from_oldest", "can't stand beside a cursor");
        }
        let key = fields.finish(key)?;
        let tail = self.tail(&key, request.min_seq).await?;
        let session = tail.session();
        let replay = request.from_oldest || request.cursor.is_some();
        let after = if replay {
            feed::resolve_cursor(
                &session,
                &cursor.log_id,
                cursor.after_seq,
                request.from_oldest,
            )?
        } else {
            session.head
        };
        let permit = self.feed.stream_permit()?;
        let reader = Reader::new(
            tail,
            self.store.clone(),
            ReaderOptions {
                after,
                replay,
                kinds,
                deltas: request.deltas.unwrap_or(true),
                subagents: request.subagents,
                hello: true,
                progress_interval,
                coalesce,
                turn: None,
                viewer: self.identity.clone(),
                pages: None,
            },
        );
        Ok(handover::stream(ReaderBody {
            reader: Box::pin(reader),
            _permit: permit,
            ended: false,
            connected: None,
        }))
    }

    pub(super) async fn run(
        &self,
        request: proto::RunRequest,
    ) -> Result<Response<Handed<proto::GatewayEvent>>, Refusal> {
        let mut fields = Fields::default();
        fields.not_negative("after_seq", request.after_seq);
        let Some(enqueue) = request.enqueue else {
            fields.wrong("enqueue", "must be set");
            return Err(fields.check().expect_err("a field is wrong"));
        };
        fields.check()?;
        let permit = self.feed.stream_permit()?;
        self.refuse_ahead(&enqueue.session_key, request.after_seq)
            .await?;
        let committed = self.admit(enqueue, "enqueue.", false).await?;
        let (session, turn) = (committed.session, committed.turn);
        let key: SessionKey = session.key.clone();
        let gone = || Refusal::SessionDeleted {
            key: key.to_string(),
        };
        let turn_id = turn.ok_or_else(gone)?.turn_id;
        let tail = self.tail_of(session.row).await?.ok_or_else(gone)?;
        let first = self.store.turn_first_seq(session.row, turn_id).await?;
        // A log that was made by this call has nothing that the caller could have: see `refuse_ahead`.
        let had = request.after_seq.min(tail.head());
        let connected = request.cancel_on_disconnect.then(|| {
            self.disconnects
                .connected(self.identity.clone(), key.clone(), session.row, turn_id)
        });
        let reader = Reader::new(
            tail,
            self.store.clone(),
            ReaderOptions {
                after: (first - 1).max(had),
                replay: true,
                kinds: Vec::new(),
                deltas: true,
                subagents: request.subagents,
                hello: false,
                progress_interval: PROGRESS_DEFAULT,
                coalesce: Duration::ZERO,
                turn: Some(turn_id),
                viewer: self.identity.clone(),
                pages: None,
            },
        );
        Ok(handover::stream(ReaderBody {
            reader: Box::pin(reader),
            _permit: permit,
            ended: false,
            connected,
        }))
    }

    /// Refuses a Run that says to have events which its log does not have, before anything is admitted.
    async fn refuse_ahead(&self, key: &str, after_seq: i64) -> Result<(), Refusal> {
        let Some(key) = SessionKey::parse(key).ok().filter(|_| after_seq > 0) else {
            // A wrong key is refused with everything else that is wrong.
            return Ok(());
        };
        match self.session(&key).await {
            Ok(session) if after_seq > session.head => {
                Err(Refusal::CursorAhead(feed::log_range(&session)))
            }
            // Whether a session that is not there may be made is for the admission to say.
            Ok(_) | Err(Refusal::SessionNotFound { .. } | Refusal::SessionDeleted { .. }) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }
}
