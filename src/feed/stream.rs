//! A reader: a position in a session's log, not a queue.
//!
//! Replay, late join, lag and live are one path: durable events from the store up to what the ring covers, then one look
//! at the tail (the rest of the durable events, snapshots of open blocks, `caught_up`), then the ring. A reader that the
//! ring has left behind gets `lagging` and goes the same path again, with snapshots from where it had stopped.
//!
//! Holds no bytes but those it hands out, no task, and one timer. Never reads the store past the tail's head.

use super::{
    cursor::log_range,
    open_items::Snapshot,
    ring::Filter,
    tail::{Attached, Entered, Joined, Live, Reached, StreamEnd, Tail, session_state},
};
use crate::{
    domain::{
        access::Identity,
        event::{Event, EventKind},
        ids::Time,
        refusal::{LogRange, Refusal},
        session::Session,
        turn::Turn,
    },
    proto,
    store::{EventsPage, EventsRange, Store},
    telemetry::metrics,
    wire::{
        encode,
        frames::{self, LogPrefix, Position},
    },
};
use bytes::{Bytes, BytesMut};
use proto::gateway_event::Kind;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};
use uuid::Uuid;

/// Bytes of bodies that a replaying reader takes from the store at once.
pub const REPLAY_PAGE_MAX_BYTES: usize = 256 * 1024;
/// Events that a replaying reader takes from the store at once.
pub const REPLAY_PAGE_MAX_EVENTS: usize = 2048;

/// What a reader wants.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// Position after which it starts; see [`super::resolve_cursor`]. Without meaning unless `replay`.
    pub after: i64,
    /// Whether there is a position; false starts at the head of the moment at which it joins.
    pub replay: bool,
    /// Kinds; empty means all.
    pub kinds: Vec<EventKind>,
    /// Whether deltas, snapshots and `lagging` come.
    pub deltas: bool,
    /// Whether what sub-agents say comes.
    pub subagents: bool,
    /// Whether `hello` and `caught_up` come: true for Subscribe, false for Run.
    pub hello: bool,
    /// Silence after which `progress` comes.
    pub progress_interval: Duration,
    /// Time for which deltas are gathered.
    pub coalesce: Duration,
    /// Run: events of this turn alone, and the end after its `turn_ended`.
    pub turn: Option<Uuid>,
    /// Who reads; the stream ends where it may not see the session any more.
    pub viewer: Arc<Identity>,
    /// Turns to read the store by, which readers of one stream share: each page that waits for its reader holds one.
    /// `None` for a reader that has its stream alone.
    pub pages: Option<Arc<Semaphore>>,
}

/// One stream of a session's events.
pub struct Reader {
    /// The session; its drop leaves it.
    attached: Attached,
    tail: Arc<Tail>,
    store: Arc<dyn Store>,
    /// Who reads.
    viewer: Arc<Identity>,
    /// Turns to read the store by.
    pages: Option<Arc<Semaphore>>,
    /// Shares of the session under which it was last found to be allowed to.
    allowed_at: Option<u64>,
    /// What it is doing.
    place: Place,
    /// What it wants.
    filter: Filter,
    /// How far it has looked; `None` until a reader without a position joins.
    seq: Option<i64>,
    /// How far its client knows that it has looked.
    told: i64,
    /// Its place in the ring, while it is live.
    at: u64,
    /// How far it has come in the open blocks; set at each stop in the ring.
    reached: Option<Reached>,
    /// State of the session that its client was shown.
    state_version: Option<u64>,
    /// Whether `hello` is still to come.
    hello_due: bool,
    /// Whether `caught_up` is still to come.
    caught_up_due: bool,
    /// Whether `draining` is still to come, where there is a drain.
    draining_due: bool,
    /// Number of the newest `reload` that it has looked at.
    reload_seen: u64,
    /// Whether retention may have taken the `turn_ended` it waits for since that was last looked up.
    turn_unchecked: bool,
    progress_interval: Duration,
    last_sent: Instant,
    /// Set at the first poll; looks at `last_sent` when it fires, so sending costs no timer.
    progress: Option<Pin<Box<Sleep>>>,
    coalesce: Duration,
    /// Runs while deltas are gathered.
    window: Option<Pin<Box<Sleep>>>,
}

/// What a reader has for its caller.
#[derive(Debug)]
pub enum Step {
    /// Everything that is ready: whole gRPC frames, one after the other.
    Frames(Bytes),
    /// The end, with its reason. Nothing comes after it.
    End(Result<(), Refusal>),
}

/// A page, and the turn that it was read by; it is over once the page is handed out.
type PageAndTurn = (EventsPage, Option<OwnedSemaphorePermit>);
type Work<T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send>>;

enum Place {
    /// Wants to join the ring, or to read the store where it can't.
    Entering,
    /// Waits for a page of the store.
    Reading(Work<PageAndTurn>),
    /// Waits for the store's word on whether its turn's end was taken by retention.
    Checking(Work<TurnEnd>),
    /// Reads the ring.
    Live,
    /// Has nothing to say but its end.
    Over(Result<(), Refusal>),
}

/// Where the `turn_ended` of a turn's reader is.
enum TurnEnd {
    /// It is not written yet, or stands in the log after what the client has.
    Comes,
    /// The client has it.
    Had,
    /// Retention took it: it is made from the turn's row.
    Taken(Box<Turn>),
}

// === impl Reader ===

impl Reader {
    /// A stream that starts with its first poll.
    pub fn new(tail: Arc<Tail>, store: Arc<dyn Store>, options: ReaderOptions) -> Self {
        let ReaderOptions {
            after,
            replay,
            kinds,
            deltas,
            subagents,
            hello,
            progress_interval,
            coalesce,
            turn,
            viewer,
            pages,
        } = options;
        let reload_seen = tail.reload_count();
        Self {
            attached: tail.attach(),
            tail,
            store,
            viewer,
            pages,
            allowed_at: None,
            place: Place::Entering,
            filter: Filter::new(&kinds, deltas, subagents, turn),
            seq: replay.then_some(after),
            told: after,
            at: 0,
            reached: None,
            state_version: None,
            hello_due: hello,
            caught_up_due: hello,
            draining_due: true,
            reload_seen,
            turn_unchecked: turn.is_some(),
            progress_interval,
            last_sent: Instant::now(),
            progress: None,
            coalesce,
            window: None,
        }
    }

    /// Everything that is ready, or the end.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let step = match self.poll_events(cx) {
            Poll::Ready(step) => step,
            Poll::Pending => match self.poll_progress(cx) {
                Poll::Ready(frame) => Step::Frames(frame),
                Poll::Pending => return Poll::Pending,
            },
        };
        if matches!(step, Step::Frames(_)) {
            self.last_sent = Instant::now();
        }
        Poll::Ready(step)
    }

    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            self.end_where_withdrawn();
            if let Some(frame) = self.draining().or_else(|| self.reload()) {
                return Poll::Ready(Step::Frames(frame));
            }
            let frames = match &mut self.place {
                Place::Over(end) => return Poll::Ready(Step::End(std::mem::replace(end, Ok(())))),
                Place::Entering => self.enter(),
                Place::Reading(work) => match work.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(page) => self.take_page(page),
                },
                Place::Checking(work) => match work.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(turn) => self.take_check(turn),
                },
                Place::Live => match self.read_ring(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(frames) => frames,
                },
            };
            if !frames.is_empty() {
                return Poll::Ready(Step::Frames(frames));
            }
        }
    }

    /// Ends the stream of somebody who may not see the session any more.
    fn end_where_withdrawn(&mut self) {
        let version = self.tail.shares_version();
        if self.allowed_at == Some(version) || matches!(self.place, Place::Over(_)) {
            return;
        }
        self.allowed_at = Some(version);
        let session = self.tail.session();
        if self.viewer.access(&session).is_none() {
            self.place = Place::Over(Err(Refusal::SessionNotFound {
                key: session.key.to_string(),
            }));
        }
    }

    /// `draining`, once, after `hello`.
    fn draining(&mut self) -> Option<Bytes> {
        if !self.draining_due || self.hello_due || matches!(self.place, Place::Over(_)) {
            return None;
        }
        let deadline = self.tail.drain_deadline()?;
        self.draining_due = false;
        let draining = proto::Draining {
            deadline: Some(encode::timestamp(deadline)),
        };
        Some(self.control(Kind::Draining(draining)))
    }

    /// `reload`, once for each broadcast (the newest, where there were several), after `hello`.
    fn reload(&mut self) -> Option<Bytes> {
        let count = self.tail.reload_count();
        if count == self.reload_seen || self.hello_due || matches!(self.place, Place::Over(_)) {
            return None;
        }
        let reason = self.tail.reload_after(self.reload_seen);
        self.reload_seen = count;
        let reload = proto::Reload {
            reason: reason?.to_string(),
        };
        Some(self.control(Kind::Reload(reload)))
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let (Some(seq), false) = (self.seq, self.hello_due) else {
            return Poll::Pending;
        };
        loop {
            let due = self.last_sent + self.progress_interval;
            let timer = self
                .progress
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            timer.as_mut().reset(due);
            if Instant::now() >= due {
                timer
                    .as_mut()
                    .reset(Instant::now() + self.progress_interval);
                return Poll::Ready(self.progress_at(seq));
            }
        }
    }

    fn progress_at(&mut self, seq: i64) -> Bytes {
        self.told = self.told.max(seq);
        self.control(Kind::Progress(proto::Progress { seq }))
    }

    /// A control event of this stream, placed where the reader stands.
    fn control(&self, kind: Kind) -> Bytes {
        let position = Position::AfterSeq(self.seq.unwrap_or(0));
        self.tail
            .prefix()
            .frame(position, &frames::body(now(), None, None, 0, kind))
    }

    // ------------------------------------------------------------------------------------------- replay and join

    fn enter(&mut self) -> Bytes {
        let entered = {
            let reached = self.reached.as_deref().unwrap_or_default();
            self.tail.enter(self.seq, self.filter, reached)
        };
        match entered {
            Entered::Gone => {
                self.place = Place::Over(Err(self.deleted()));
                Bytes::new()
            }
            Entered::Behind {
                session,
                head,
                state_version,
            } => {
                let after = self
                    .seq
                    .expect("a reader without a position is never behind");
                if self.hello_due {
                    self.state_version = Some(state_version);
                    return self.hello(&session, after);
                }
                self.place = Place::Reading(self.page_after(&session, after, head));
                Bytes::new()
            }
            Entered::Joined(_) if self.turn_unchecked => {
                self.place = Place::Checking(self.turn_end());
                Bytes::new()
            }
            Entered::Joined(joined) => self.join(*joined),
        }
    }

    fn join(&mut self, joined: Joined) -> Bytes {
        let Joined {
            session,
            head,
            at,
            durable,
            snapshots,
            state_version,
            reached,
        } = joined;
        let mut out = BytesMut::new();
        if self.hello_due {
            let start = self.seq.unwrap_or(head);
            self.state_version = Some(state_version);
            out.extend_from_slice(&self.hello(&session, start));
        }
        let prefix = self.tail.prefix();
        let position = Position::AfterSeq(head);
        out.extend_from_slice(&durable.frames);
        if durable.deleted {
            self.place = Place::Over(Ok(()));
            return out.freeze();
        }
        if self.state_version != Some(state_version) {
            if self.filter.passes(EventKind::SESSION_STATE, None) {
                prefix.put_frame(&mut out, position, &session_state(&session));
            }
            self.state_version = Some(state_version);
        }
        put_snapshots(&mut out, &prefix, position, snapshots);
        self.seq = Some(head);
        self.at = at;
        self.reached = Some(reached);
        self.told = durable.told.unwrap_or(self.told);
        if std::mem::take(&mut self.caught_up_due) {
            out.extend_from_slice(&self.control(Kind::CaughtUp(proto::CaughtUp { seq: head })));
            self.told = head;
        }
        self.place = if durable.turn_ended && self.filter.turn().is_some() {
            Place::Over(Ok(()))
        } else {
            Place::Live
        };
        out.freeze()
    }

    fn hello(&mut self, session: &Session, after: i64) -> Bytes {
        self.hello_due = false;
        self.told = after;
        let hello = proto::Hello {
            session: Some(encode::session(session)),
            head_seq: session.head,
            first_seq: session.first_seq,
        };
        let body = frames::body(now(), None, None, 0, Kind::Hello(hello));
        self.tail.prefix().frame(Position::AfterSeq(after), &body)
    }

    fn page_after(&self, session: &Session, after: i64, through: i64) -> Work<PageAndTurn> {
        let store = self.store.clone();
        let row = session.row;
        let range = EventsRange {
            after,
            through,
            kinds: self.filter.durable_kinds(),
            turn_id: self.filter.turn(),
        };
        let pages = self.pages.clone();
        Box::pin(async move {
            let turn = match pages {
                Some(pages) => pages.acquire_owned().await.ok(),
                None => None,
            };
            let page = store
                .events(row, range, REPLAY_PAGE_MAX_EVENTS, REPLAY_PAGE_MAX_BYTES)
                .await?;
            Ok((page, turn))
        })
    }

    fn take_page(&mut self, page: Result<PageAndTurn, Refusal>) -> Bytes {
        self.place = Place::Entering;
        let EventsPage {
            events,
            looked,
            first_seq,
        } = match page {
            Ok((page, _turn)) => page,
            Err(refusal) => {
                self.place = Place::Over(Err(refusal));
                return Bytes::new();
            }
        };
        let after = self
            .seq
            .expect("a reader without a position reads no store");
        if first_seq > after + 1 {
            if self.filter.turn().is_none() {
                let range = LogRange {
                    first_seq,
                    ..log_range(&self.tail.session())
                };
                self.place = Place::Over(Err(Refusal::CursorExpired(range)));
                return Bytes::new();
            }
            // What is left of a finished turn is still its own; its end may be gone.
            self.turn_unchecked = true;
        }
        if looked <= after {
            // A log that doesn't go on below its head: the rows go away under the reader.
            let gone = self.deleted();
            self.place = Place::Over(Err(gone));
            return Bytes::new();
        }
        self.seq = Some(looked);
        let prefix = self.tail.prefix();
        let size = events
            .iter()
            .map(|e| e.body.len() + prefix.overhead())
            .sum();
        let mut out = BytesMut::with_capacity(size);
        for event in events {
            prefix.put_frame(&mut out, Position::Seq(event.seq), &event.body);
            self.told = event.seq;
            let over = match event.kind {
                EventKind::SESSION_DELETED => true,
                EventKind::TURN_ENDED => self.filter.turn().is_some(),
                _ => false,
            };
            if over {
                self.place = Place::Over(Ok(()));
            }
        }
        out.freeze()
    }

    /// Looks for the turn's `turn_ended`.
    fn turn_end(&self) -> Work<TurnEnd> {
        let had = self.seq.unwrap_or(0);
        let store = self.store.clone();
        let session = self.tail.session();
        let turn_id = self
            .filter
            .turn()
            .expect("only a turn's reader looks for its end");
        Box::pin(async move {
            let turn = store.turn_of(session.row, turn_id).await?;
            if !turn.state.is_terminal() {
                return Ok(TurnEnd::Comes);
            }
            // Row and event are one commit, so an event that is missing now was taken. One that is there comes by
            // itself, published already or not.
            let range = EventsRange {
                after: 0,
                through: i64::MAX,
                kinds: vec![EventKind::TURN_ENDED],
                turn_id: Some(turn_id),
            };
            let mut after = 0;
            loop {
                let range = EventsRange {
                    after,
                    ..range.clone()
                };
                let page = store
                    .events(session.row, range, 1, REPLAY_PAGE_MAX_BYTES)
                    .await?;
                if let Some(ended) = page.events.first() {
                    return Ok(if ended.seq <= had {
                        TurnEnd::Had
                    } else {
                        TurnEnd::Comes
                    });
                }
                if page.looked <= after || page.looked == i64::MAX {
                    return Ok(TurnEnd::Taken(Box::new(turn)));
                }
                after = page.looked;
            }
        })
    }

    fn take_check(&mut self, checked: Result<TurnEnd, Refusal>) -> Bytes {
        self.turn_unchecked = false;
        match checked {
            Err(refusal) => self.place = Place::Over(Err(refusal)),
            Ok(TurnEnd::Comes) => self.place = Place::Entering,
            Ok(TurnEnd::Had) => self.place = Place::Over(Ok(())),
            Ok(TurnEnd::Taken(turn)) => {
                self.place = Place::Over(Ok(()));
                let body = frames::event_body(
                    turn.end_time.unwrap_or_else(now),
                    Some(turn.turn_id),
                    None,
                    turn.generation,
                    &Event::TurnEnded {
                        turn,
                        undelivered: Vec::new(),
                    },
                );
                let position = Position::AfterSeq(self.seq.unwrap_or_else(|| self.tail.head()));
                return self.tail.prefix().frame(position, &body);
            }
        }
        Bytes::new()
    }

    // ---------------------------------------------------------------------------------------------------- live

    fn read_ring(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let seq = self.seq.expect("a live reader has joined");
        let gather = !self.coalesce.is_zero() && !self.window_over(cx);
        match self.attached.read(self.at, seq, self.filter, gather, cx) {
            Live::Gathering => {
                let end = Instant::now() + self.coalesce;
                let window = self
                    .window
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
                match window.as_mut().poll(cx) {
                    // Ready: the next round finds the window over.
                    Poll::Ready(()) => Poll::Ready(Bytes::new()),
                    Poll::Pending => Poll::Pending,
                }
            }
            Live::Read {
                passed,
                head,
                at,
                reached,
            } => {
                self.window = None;
                self.seq = Some(head);
                self.at = at;
                self.reached = Some(reached);
                self.told = passed.told.unwrap_or(self.told);
                if passed.turn_ended && self.filter.turn().is_some() {
                    self.place = Place::Over(Ok(()));
                }
                Poll::Ready(passed.frames)
            }
            Live::Behind { head } => {
                self.window = None;
                self.place = Place::Entering;
                // The newest state is shown again at the join: what the ring lost may have told it.
                self.state_version = None;
                self.turn_unchecked = self.filter.turn().is_some();
                if !self.filter.wants(EventKind::LAGGING) {
                    return Poll::Ready(Bytes::new());
                }
                metrics::get().readers_lagged.increment(1);
                let lagging = proto::Lagging {
                    from_seq: seq,
                    to_seq: head,
                };
                Poll::Ready(self.control(Kind::Lagging(lagging)))
            }
            Live::Idle { end: Some(end), .. } => {
                let end = match end {
                    StreamEnd::Deleted => Ok(()),
                    StreamEnd::Gone => Err(self.deleted()),
                    StreamEnd::Draining => Err(Refusal::Draining {
                        last_seq: Some(seq),
                    }),
                };
                self.place = Place::Over(end);
                Poll::Ready(Bytes::new())
            }
            Live::Idle {
                first_seq,
                end: None,
            } => {
                // Retention comes near to what the client knows: tell it how far it may resume from.
                let margin = (seq - first_seq) / 8 + 1;
                if first_seq > 1 && self.told < seq && self.told < first_seq + margin {
                    Poll::Ready(self.progress_at(seq))
                } else {
                    Poll::Pending
                }
            }
        }
    }

    fn window_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.window
            .as_mut()
            .is_some_and(|window| window.as_mut().poll(cx).is_ready())
    }

    fn deleted(&self) -> Refusal {
        Refusal::SessionDeleted {
            key: self.tail.session().key.to_string(),
        }
    }
}

fn put_snapshots(
    out: &mut BytesMut,
    prefix: &LogPrefix,
    position: Position,
    snapshots: Vec<Snapshot>,
) {
    for snapshot in snapshots {
        let Snapshot {
            turn_id,
            item_id,
            generation,
            kind,
        } = snapshot;
        let body = frames::body(now(), turn_id, item_id, generation, kind);
        prefix.put_frame(out, position, &body);
    }
}

/// When a control event is made. Nothing depends on it.
fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
