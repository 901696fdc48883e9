//! The tail of one session: its row, its newest events, its open items, and who waits for it.
//!
//! Held by the session's actor, by readers and by waiters; gone with the last of them. The store's commit task publishes
//! to it in `seq` order; the actor alone pushes deltas. One lock over plain memory, never across an await: a look must
//! see row, head, ring and open items as of one moment, which no set of channels gives.

use super::{
    Shared, lock,
    open_items::{BlockId, Change, OpenItems, OpenMessage, PendingQuestion, RunningTool, Snapshot},
    relay::{self, Parked, Seat, Wakes},
    ring::{Entry, Filter, Passed, Ring},
};
use crate::{
    clock,
    domain::{
        event::{Delta, EventKind},
        ids::{SessionRow, Time},
        refusal::Refusal,
        session::{Session, SessionState},
        turn::Turn,
    },
    proto,
    store::{Published, Store},
    wire::{
        encode,
        frames::{self, LogPrefix, Position},
    },
};
use bytes::Bytes;
use proto::gateway_event::Kind;
use std::time::Duration;
use std::{
    collections::BTreeMap,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};
use tokio::sync::{Notify, OnceCell, oneshot};
use uuid::Uuid;

/// A session as those see it who follow it.
pub struct Tail {
    /// The session.
    row: SessionRow,
    /// What it needs of the feed.
    shared: Arc<Shared>,
    /// Set once the row was read from the store.
    loaded: OnceCell<()>,
    /// Wakes those who wait for a state of the session.
    changed: Notify,
    /// Counts the changes of who may see it, so that readers look only then.
    shares_version: AtomicU64,
    /// Everything else.
    state: Mutex<State>,
}

/// An ephemeral event of an open item.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// When it was received.
    pub time: Time,
    /// Its turn.
    pub turn_id: Uuid,
    /// Its item; must be open.
    pub item_id: Uuid,
    /// Generation of the turn.
    pub generation: i64,
    /// Name of the tool, for snapshots of a tool update.
    pub tool_name: String,
    /// The event.
    pub delta: Delta,
}

/// A session as of one moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// Its row.
    pub session: Arc<Session>,
    /// Its newest durable event: all of this is as of it.
    pub head: i64,
    /// Messages that an agent is writing, with their whole text.
    pub messages: Vec<OpenMessage>,
    /// Tools that run.
    pub tools: Vec<RunningTool>,
    /// What the active turn waits for.
    pub questions: Vec<PendingQuestion>,
}

/// Waits for a turn's end. Dropping it ends the wait.
pub struct TurnWaiter {
    tail: Arc<Tail>,
    id: u64,
    ended: oneshot::Receiver<Arc<Turn>>,
}

/// How far a reader has come, and its place among those who wait.
pub(crate) struct Attached {
    tail: Arc<Tail>,
    seat: Seat,
    /// Place in the ring at which it waits, having read everything before.
    settled: Option<u64>,
}

/// What a reader gets that goes from replay to the live ring.
pub(crate) struct Joined {
    pub(crate) session: Arc<Session>,
    pub(crate) head: i64,
    pub(crate) at: u64,
    /// Durable events up to `head` that the reader did not have.
    pub(crate) durable: Passed,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) state_version: u64,
    pub(crate) reached: Reached,
}

/// A reader's look at the tail while it replays.
pub(crate) enum Entered {
    Joined(Box<Joined>),
    /// The store has events that the ring has not.
    Behind {
        session: Arc<Session>,
        head: i64,
        state_version: u64,
    },
    /// The session's rows are gone.
    Gone,
}

/// A reader's look at the ring.
pub(crate) enum Live {
    /// Events, and how far the reader has come with them.
    Read {
        passed: Passed,
        head: i64,
        at: u64,
        reached: Reached,
    },
    /// Nothing new but ephemeral events, and the reader gathers those.
    Gathering,
    /// The ring begins after the reader's place.
    Behind { head: i64 },
    /// Everything is read; `seq` of the first event kept, for progress ahead of retention.
    Idle {
        first_seq: i64,
        end: Option<StreamEnd>,
    },
}

/// Why a stream that has read everything ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// `session_deleted` was delivered.
    Deleted,
    /// The rows went without it.
    Gone,
    /// The server stops.
    Draining,
}

/// How far the open blocks had come where a reader stopped; shared by the readers that stopped there.
pub(crate) type Reached = Arc<[(BlockId, i64)]>;

struct State {
    /// The row and what frames of its log begin with; `None` until loaded or published to.
    session: Option<(Arc<Session>, LogPrefix)>,
    /// Newest durable event.
    head: i64,
    /// Newest events, while a reader has not read them.
    ring: Ring,
    /// What is open.
    open: OpenItems,
    /// How far the open blocks are, once a reader asked after the newest change.
    reached: Option<Reached>,
    /// Counts changes that readers get as `session_state`.
    state_version: u64,
    /// Readers.
    attached: usize,
    /// Readers that wait and have read the whole ring.
    settled: usize,
    /// Readers that wait: per serving runtime, and last those outside.
    parked: Vec<Parked>,
    /// Who waits for a turn's end.
    turn_waiters: Vec<(u64, Uuid, oneshot::Sender<Arc<Turn>>)>,
    /// Waiters so far.
    waiters_made: u64,
    /// `seq` of `session_deleted`.
    deleted_seq: Option<i64>,
    /// The rows are gone.
    purged: bool,
}

// === impl Tail ===

impl Tail {
    pub(super) fn new(shared: Arc<Shared>, row: SessionRow) -> Self {
        let lists = shared.lanes.len() + 1;
        Self {
            row,
            shared,
            loaded: OnceCell::new(),
            changed: Notify::new(),
            shares_version: AtomicU64::new(0),
            state: Mutex::new(State {
                session: None,
                head: 0,
                ring: Ring::default(),
                open: OpenItems::default(),
                reached: None,
                state_version: 0,
                attached: 0,
                settled: 0,
                parked: (0..lists).map(|_| Parked::default()).collect(),
                turn_waiters: Vec::new(),
                waiters_made: 0,
                deleted_seq: None,
                purged: false,
            }),
        }
    }

    /// Reads the row where nothing was published meanwhile. False when there is no such row.
    pub(super) async fn load(&self, store: &dyn Store) -> Result<bool, Refusal> {
        let read = async {
            let session = store.session_by_row(self.row).await.map_err(Some)?;
            let mut state = lock(&self.state);
            // A publication that came meanwhile is as new as what was read, or what was read will be published.
            if state.session.is_none() {
                state.open_log(session.ok_or(None)?);
            }
            Ok(())
        };
        match self.loaded.get_or_try_init(|| read).await {
            Ok(()) => Ok(true),
            Err(None) => Ok(false),
            Err(Some(refusal)) => Err(refusal),
        }
    }

    /// The session's row as last published.
    pub fn session(&self) -> Arc<Session> {
        lock(&self.state).row().clone()
    }

    /// Changes with who may see the session.
    pub(crate) fn shares_version(&self) -> u64 {
        self.shares_version.load(Ordering::Acquire)
    }

    /// Newest durable event.
    pub fn head(&self) -> i64 {
        lock(&self.state).head
    }

    /// One look at everything.
    pub fn look(&self) -> Look {
        let state = lock(&self.state);
        let OpenItems {
            messages,
            tools,
            questions,
        } = state.open.clone();
        Look {
            session: state.row().clone(),
            head: state.head,
            messages,
            tools,
            questions,
        }
    }

    /// For the session's actor alone: an ephemeral event of an open item, `after_seq` = head. One that doesn't fit to
    /// what is open is left out.
    pub fn push_delta(self: &Arc<Self>, pushed: Pushed) {
        let Pushed {
            time,
            turn_id,
            item_id,
            generation,
            tool_name,
            delta,
        } = pushed;
        let kind = delta.kind();
        let mut wakes = Wakes::default();
        {
            let mut state = lock(&self.state);
            if !state.open.fill(item_id, &tool_name, &delta) {
                return;
            }
            state.reached = None;
            // Nobody reads: who comes later gets a snapshot.
            if state.attached == 0 {
                return;
            }
            let body = frames::body(
                time,
                Some(turn_id),
                Some(item_id),
                generation,
                encode::delta(&delta),
            );
            let frame = state.prefix().frame(Position::AfterSeq(state.head), &body);
            state.push(Entry {
                frame,
                seq: 0,
                kind,
                turn_id: Some(turn_id),
            });
            relay::mark(self, &self.shared, &mut state.parked, &mut wakes);
        }
        wakes.wake();
    }

    /// For the session's actor alone: an ephemeral event about the session itself, for who reads now.
    pub fn tell(self: &Arc<Self>, kind: EventKind, event: Kind) {
        let mut wakes = Wakes::default();
        {
            let mut state = lock(&self.state);
            // Nothing comes after `session_deleted`.
            if state.attached == 0 || state.deleted_seq.is_some() {
                return;
            }
            let generation = state.row().generation;
            let body = frames::body(clock::now(), None, None, generation, event);
            let frame = state.prefix().frame(Position::AfterSeq(state.head), &body);
            state.push(Entry {
                frame,
                seq: 0,
                kind,
                turn_id: None,
            });
            relay::mark(self, &self.shared, &mut state.parked, &mut wakes);
        }
        wakes.wake();
    }

    /// Takes what one commit did to the session.
    pub(super) fn publish(self: &Arc<Self>, published: &Published) {
        let changes: Vec<Change> = published.events.iter().map(Change::of).collect();
        let mut wakes = Wakes::default();
        let ended = {
            let mut state = lock(&self.state);
            let before = state.session.as_ref().map(|(row, _)| row.clone());
            let mut visible = state.take(published, changes);
            if before.is_some_and(|before| before.shares != state.row().shares) {
                self.shares_version.fetch_add(1, Ordering::Release);
                visible = true;
            }
            if visible {
                relay::mark(self, &self.shared, &mut state.parked, &mut wakes);
            }
            state.take_waiters(&published.ended)
        };
        wakes.wake();
        for (waiter, turn) in ended {
            // A waiter that left meanwhile wants nothing any more.
            let _ = waiter.send(turn);
        }
        self.changed.notify_waiters();
    }

    /// Waits until the session satisfies the predicate, checked now and after each publication.
    pub async fn until(&self, predicate: impl Fn(&Session) -> bool) -> Arc<Session> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before the look, so that a publication after the look wakes it.
            changed.as_mut().enable();
            let session = self.session();
            if predicate(&session) {
                return session;
            }
            changed.await;
        }
    }

    /// Waits until no reader is attached, at most for `max`.
    pub async fn readers_gone(&self, max: Duration) {
        let gone = async {
            loop {
                let mut changed = pin!(self.changed.notified());
                changed.as_mut().enable();
                if lock(&self.state).attached == 0 {
                    return;
                }
                changed.await;
            }
        };
        // Those who still read after that time lose nothing but the end of a log that is gone.
        let _ = tokio::time::timeout(max, gone).await;
    }

    /// Waits for a turn's end from now on; make it before the turn is read from the store once more.
    pub fn turn_waiter(self: &Arc<Self>, turn_id: Uuid) -> TurnWaiter {
        let (sender, ended) = oneshot::channel();
        let mut state = lock(&self.state);
        let id = state.waiters_made;
        state.waiters_made += 1;
        state.turn_waiters.push((id, turn_id, sender));
        TurnWaiter {
            tail: self.clone(),
            id,
            ended,
        }
    }

    /// Wakes every reader, to look at what is not in the ring.
    pub(super) fn wake_readers(self: &Arc<Self>) {
        let mut wakes = Wakes::default();
        relay::mark(
            self,
            &self.shared,
            &mut lock(&self.state).parked,
            &mut wakes,
        );
        wakes.wake();
    }

    /// Takes the readers of a serving runtime that wait here.
    pub(super) fn take_parked(&self, runtime: usize, into: &mut Vec<Waker>) {
        lock(&self.state).parked[runtime].take(into);
    }

    /// Attaches a reader: from now on the ring keeps what it has not read.
    pub(crate) fn attach(self: &Arc<Self>) -> Attached {
        lock(&self.state).attached += 1;
        Attached {
            tail: self.clone(),
            seat: Seat::default(),
            settled: None,
        }
    }

    /// When running turns are interrupted, once a drain has begun.
    pub(crate) fn drain_deadline(&self) -> Option<Time> {
        self.shared.drain_deadline()
    }

    /// Number of the newest `reload` of any tenant.
    pub(crate) fn reload_count(&self) -> u64 {
        self.shared.reload_count()
    }

    /// Why clients shall read again, where that is newer than number `seen`.
    pub(crate) fn reload_after(&self, seen: u64) -> Option<Arc<str>> {
        self.shared.reload_after(seen, &self.session().tenant)
    }

    /// What frames of this log begin with.
    pub(crate) fn prefix(&self) -> LogPrefix {
        lock(&self.state).prefix().clone()
    }

    /// A reader that replays and has everything up to `seq` (`None`: wants nothing older than this moment) tries to join
    /// the ring; `reached` is where it stopped in the open blocks.
    pub(crate) fn enter(
        &self,
        seq: Option<i64>,
        filter: Filter,
        reached: &[(BlockId, i64)],
    ) -> Entered {
        let mut state = lock(&self.state);
        let head = state.head;
        let seq = seq.unwrap_or(head);
        let session = state.row().clone();
        let state_version = state.state_version;
        if seq < state.ring.covered() {
            return if state.purged {
                Entered::Gone
            } else {
                Entered::Behind {
                    session,
                    head,
                    state_version,
                }
            };
        }
        let mut snapshots = if filter.wants(EventKind::ITEM_SNAPSHOT) {
            let mut snapshots = state.open.snapshots(reached);
            snapshots.retain(|s| filter.passes(EventKind::ITEM_SNAPSHOT, s.turn_id));
            snapshots
        } else {
            Vec::new()
        };
        let pending = state.open.pending();
        snapshots.extend(pending.filter(|s| filter.passes(EventKind::QUESTION_PENDING, s.turn_id)));
        Entered::Joined(Box::new(Joined {
            session,
            head,
            at: state.ring.end(),
            durable: state.ring.durable_after(seq, filter),
            snapshots,
            state_version,
            reached: state.reached(),
        }))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.shared.forget(self.row);
    }
}

// === impl State ===

impl State {
    fn row(&self) -> &Arc<Session> {
        &self
            .session
            .as_ref()
            .expect("a tail is handed out loaded")
            .0
    }

    fn prefix(&self) -> &LogPrefix {
        &self
            .session
            .as_ref()
            .expect("a tail is handed out loaded")
            .1
    }

    /// Starts at a row that was read from the store.
    fn open_log(&mut self, session: Arc<Session>) {
        self.head = session.head;
        self.ring = Ring::new(session.head);
        self.purged = session.state == SessionState::Deleted;
        let prefix = LogPrefix::new(&session.key, session.log_id);
        self.session = Some((session, prefix));
    }

    /// Takes a commit. True when readers have something to look at.
    fn take(&mut self, published: &Published, changes: Vec<Change>) -> bool {
        let Published {
            session,
            events,
            ended: _,
        } = published;
        if self.session.is_none() {
            let mut before = Session::clone(session);
            before.head = events.first().map_or(session.head, |e| e.seq - 1);
            self.open_log(Arc::new(before));
        }
        let mut visible = false;
        for (event, change) in events.iter().zip(changes) {
            // What a load has read already; the items of those are closed, see `Feed::tail`.
            if event.seq <= self.head {
                continue;
            }
            if event.seq > self.head + 1 {
                self.lose(event.seq - 1);
            }
            visible = true;
            self.head = event.seq;
            self.open.apply(change);
            self.reached = None;
            if event.kind == EventKind::SESSION_DELETED {
                self.deleted_seq = Some(event.seq);
            }
            if self.attached == 0 {
                self.ring.clear(event.seq);
                continue;
            }
            let frame = self.prefix().frame(Position::Seq(event.seq), &event.body);
            self.push(Entry {
                frame,
                seq: event.seq,
                kind: event.kind,
                turn_id: event.turn_id,
            });
        }
        if session.head > self.head {
            self.lose(session.head);
            visible = true;
        }
        if session.head == self.head {
            visible |= self.replace_row(session);
        }
        visible
    }

    /// Events up to `seq` went by unseen: readers take them from the store.
    fn lose(&mut self, seq: i64) {
        self.head = seq;
        self.ring.break_off(seq);
        self.open = OpenItems::default();
        self.reached = None;
        self.settled = 0;
    }

    /// Takes a newer row. True when readers have something to look at.
    fn replace_row(&mut self, session: &Arc<Session>) -> bool {
        let (row, _) = self.session.as_mut().expect("opened before");
        let before = std::mem::replace(row, session.clone());
        if session.state == SessionState::Deleted {
            self.purged = true;
            return true;
        }
        let shown = |s: &Session| {
            (
                s.state,
                s.queue_depth,
                s.active_turn,
                s.generation,
                [&s.model, &s.thinking_level, &s.display_name].map(String::clone),
            )
        };
        let told = self.attached > 0 && self.deleted_seq.is_none();
        // What an agent offers at all is no change of it.
        let offered = before.offers_digest != 0 && before.offers_digest != session.offers_digest;
        let options = offered || chosen(&before) != chosen(session);
        if options && told {
            self.tell(EventKind::OPTIONS_CHANGED, &options_changed(session));
        }
        if shown(&before) == shown(session) {
            return options || before.first_seq != session.first_seq;
        }
        self.state_version += 1;
        // Nothing comes after `session_deleted`.
        if told {
            self.tell(EventKind::SESSION_STATE, &session_state(session));
        }
        true
    }

    /// Tells those who read along something about the session itself.
    fn tell(&mut self, kind: EventKind, body: &[u8]) {
        let frame = self.prefix().frame(Position::AfterSeq(self.head), body);
        self.push(Entry {
            frame,
            seq: 0,
            kind,
            turn_id: None,
        });
    }

    fn push(&mut self, entry: Entry) {
        self.ring.push(entry);
        self.settled = 0;
    }

    fn reached(&mut self) -> Reached {
        self.reached
            .get_or_insert_with(|| self.open.reached().collect())
            .clone()
    }

    /// Takes those who wait for turns that ended.
    fn take_waiters(
        &mut self,
        ended: &[Arc<Turn>],
    ) -> Vec<(oneshot::Sender<Arc<Turn>>, Arc<Turn>)> {
        let mut taken = Vec::new();
        for turn in ended {
            let ends = |(_, id, _): &mut (u64, Uuid, _)| *id == turn.turn_id;
            for (_, _, waiter) in self.turn_waiters.extract_if(.., ends) {
                taken.push((waiter, turn.clone()));
            }
        }
        taken
    }
}

/// What is chosen for a session, and of whose offers.
fn chosen(session: &Session) -> (&str, &str, &str, &BTreeMap<String, String>) {
    let Session {
        agent,
        model,
        thinking_level,
        options,
        ..
    } = session;
    (agent, model, thinking_level, options)
}

/// The body of an `options_changed`.
fn options_changed(session: &Session) -> Bytes {
    frames::body(
        session.update_time,
        None,
        None,
        session.generation,
        Kind::OptionsChanged(proto::OptionsChanged {}),
    )
}

/// The body of a `session_state`.
pub(crate) fn session_state(session: &Session) -> Bytes {
    let changed = proto::SessionStateChanged {
        session: Some(encode::session(session)),
    };
    frames::body(
        session.update_time,
        None,
        None,
        session.generation,
        Kind::SessionState(changed),
    )
}

// === impl Attached ===

impl Attached {
    /// Reads everything after the reader's place; parks it where there is nothing. A reader that gathers deltas
    /// (`gather`) is not parked: its own timer wakes it.
    pub(crate) fn read(
        &mut self,
        at: u64,
        seq: i64,
        filter: Filter,
        gather: bool,
        cx: &Context<'_>,
    ) -> Live {
        let tail = self.tail.clone();
        let mut state = lock(&tail.state);
        let head = state.head;
        if at < state.ring.base() {
            return Live::Behind { head };
        }
        let end = state.ring.end();
        if at < end {
            if gather && head == seq {
                return Live::Gathering;
            }
            return Live::Read {
                passed: state.ring.read(at, filter),
                head,
                at: end,
                reached: state.reached(),
            };
        }
        let stream_end = if state.deleted_seq.is_some_and(|deleted| seq >= deleted) {
            Some(StreamEnd::Deleted)
        } else if state.purged {
            Some(StreamEnd::Gone)
        } else if tail.shared.is_ending() {
            Some(StreamEnd::Draining)
        } else {
            None
        };
        if stream_end.is_none() {
            relay::park(&mut state.parked, &mut self.seat, cx.waker());
            if self.settled != Some(end) {
                self.settled = Some(end);
                state.settled += 1;
            }
            // Everyone has everything: what comes now starts an empty ring.
            if state.settled == state.attached && state.ring.base() < end {
                let head = state.head;
                state.ring.clear(head);
            }
        }
        Live::Idle {
            first_seq: state.row().first_seq,
            end: stream_end,
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut state = lock(&self.tail.state);
        relay::leave(&mut state.parked, &mut self.seat);
        if self.settled == Some(state.ring.end()) {
            state.settled -= 1;
        }
        state.attached -= 1;
        if state.attached == 0 {
            let head = state.head;
            state.ring.clear(head);
            drop(state);
            self.tail.changed.notify_waiters();
        }
    }
}

// === impl TurnWaiter ===

impl Future for TurnWaiter {
    type Output = Arc<Turn>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(Pin::new(&mut self.ended).poll(cx)) {
            Ok(turn) => Poll::Ready(turn),
            // The sender is kept until the turn ends or this waiter is dropped.
            Err(_) => Poll::Pending,
        }
    }
}

impl Drop for TurnWaiter {
    fn drop(&mut self) {
        lock(&self.tail.state)
            .turn_waiters
            .retain(|(id, _, _)| *id != self.id);
    }
}
