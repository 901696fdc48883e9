//! The resuming subscription.
//!
//! A task holds the cursor: the last durable event that it handed on. It subscribes after that, again and again, and
//! passes over what it handed on before; so a reader gets each durable event once, whatever happens to connection and
//! server. Where the cursor is void (retention took the events, or the log began anew) it reads the session's state
//! and goes on from there, and says so with an [`Update::Resynced`].

use super::{Backoff, Client, connection_lost, reason};
use crate::proto::{
    self, Cursor, GatewayEvent, GetSessionStateResponse, SubscribeRequest, gateway_event::Kind,
};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::sync::mpsc;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Updates that may wait for their reader, each of up to a megabyte; beyond that the connection fills and the server
/// leaves deltas out.
pub(super) const UPDATES_MAX: usize = 16;
/// Messages that a resync reads at most, a page at a time.
const RESYNC_PAGE: i32 = 500;
const RESYNC_PAGES_MAX: usize = 20;

/// Where to begin.
#[derive(Clone, Debug, Default)]
pub enum Start {
    /// With what comes from now on.
    #[default]
    Now,
    /// With the oldest event that is kept.
    Oldest,
    /// After a position.
    After(Cursor),
}

/// What a reader gets.
#[derive(Clone, Debug)]
pub enum Update {
    /// An event. Durable ones come once each.
    Event(Box<GatewayEvent>),
    /// The stream was cut; the client is coming back by itself.
    Cut(Cut),
    /// The cursor was void. What the reader shows must be brought up to this state; events after it follow.
    Resynced(Box<Resync>),
}

/// Why a stream was cut.
#[derive(Clone, Debug)]
pub enum Cut {
    /// The server is going to stop.
    Draining,
    /// Anything else, for people.
    Lost(String),
}

/// A session as it is, for a reader whose cursor was void.
#[derive(Clone, Debug)]
pub struct Resync {
    /// `CURSOR_EXPIRED`, `CURSOR_AHEAD` or `LOG_CHANGED`.
    pub reason: String,
    /// The session with all messages that the reader may have missed, as far as they are kept.
    pub state: GetSessionStateResponse,
}

struct Follower {
    client: Client,
    request: SubscribeRequest,
    updates: mpsc::Sender<Result<Update, Status>>,
    /// Set from the first `hello` or durable event on.
    cursor: Option<Cursor>,
}

/// How one stream ended.
enum End {
    /// The session was deleted: nothing will ever follow.
    Deleted,
    /// The reader is gone.
    Unread,
    /// The stream broke.
    Broken(Status),
}

// === impl Cut ===

impl Cut {
    pub(super) fn because(status: &Status) -> Self {
        if reason(status) == "DRAINING" {
            Self::Draining
        } else {
            Self::Lost(status.message().to_owned())
        }
    }
}

// === impl Client ===

impl Client {
    /// Follows a session. The receiver ends after `session_deleted`, or with the error that makes going on senseless.
    /// Dropping it ends the subscription. `request` gives session, filters and options; `start` gives the position.
    pub fn follow(
        &self,
        mut request: SubscribeRequest,
        start: Start,
    ) -> mpsc::Receiver<Result<Update, Status>> {
        let (updates, receiver) = mpsc::channel(UPDATES_MAX);
        let cursor = match start {
            Start::Now => None,
            Start::Oldest => {
                request.from_oldest = true;
                None
            }
            Start::After(cursor) => Some(cursor),
        };
        let follower = Follower {
            client: self.clone(),
            request,
            updates,
            cursor,
        };
        tokio::spawn(follower.run());
        receiver
    }
}

// === impl Follower ===

impl Follower {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let mut status = match self.stream(&mut backoff).await {
                End::Deleted | End::Unread => return,
                End::Broken(status) => status,
            };
            if self.cursor_is_void(&status) {
                let known = self.cursor.as_ref().map_or(0, |cursor| cursor.after_seq);
                let key = &self.request.session_key;
                match self.client.resync(key, known, reason(&status)).await {
                    Ok(resync) => {
                        self.cursor = Some(resync.cursor());
                        let update = Update::Resynced(Box::new(resync));
                        if self.updates.send(Ok(update)).await.is_err() {
                            return;
                        }
                        continue;
                    }
                    Err(error) => status = error,
                }
            }
            let attached = self.cursor.is_some();
            let pause = self.client.pause_of_stream(&status, &mut backoff, attached);
            if !comes_back(&self.updates, status, pause).await {
                return;
            }
        }
    }

    fn cursor_is_void(&self, status: &Status) -> bool {
        self.cursor.is_some() && is_void(status)
    }

    async fn stream(&mut self, backoff: &mut Backoff) -> End {
        let mut request = self.request.clone();
        if let Some(cursor) = &self.cursor {
            request.cursor = Some(cursor.clone());
            request.from_oldest = false;
        }
        let mut gateway = self.client.gateway.clone();
        let mut stream = tokio::select! {
            stream = gateway.subscribe(request) => match stream {
                Ok(stream) => stream.into_inner(),
                Err(status) => return End::Broken(status),
            },
            () = self.updates.closed() => return End::Unread,
        };
        self.client.note_answer();
        loop {
            let event = tokio::select! {
                event = stream.message() => event,
                () = self.updates.closed() => return End::Unread,
            };
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) => {
                    return End::Broken(Status::unavailable("the stream ended without a reason"));
                }
                Err(status) => return End::Broken(status),
            };
            *backoff = Backoff::new();
            if !advance(&mut self.cursor, &event) {
                continue;
            }
            let deleted = matches!(event.kind, Some(Kind::SessionDeleted(_)));
            let update = Update::Event(Box::new(event));
            if self.updates.send(Ok(update)).await.is_err() {
                return End::Unread;
            }
            if deleted {
                return End::Deleted;
            }
        }
    }
}

/// True where a cursor was refused.
pub(super) fn is_void(status: &Status) -> bool {
    ["CURSOR_EXPIRED", "CURSOR_AHEAD", "LOG_CHANGED"].contains(&reason(status).as_str())
}

/// Tells the reader of a stream that it was cut, and waits for `pause`. False where the stream is at its end: there is no
/// pause, which the reader is told as the error, or the reader is gone.
pub(super) async fn comes_back(
    updates: &mpsc::Sender<Result<Update, Status>>,
    status: Status,
    pause: Option<Duration>,
) -> bool {
    let Some(pause) = pause else {
        let _ = updates.send(Err(status)).await;
        return false;
    };
    let cut = Update::Cut(Cut::because(&status));
    if updates.send(Ok(cut)).await.is_err() {
        return false;
    }
    tokio::select! {
        () = tokio::time::sleep(pause) => true,
        () = updates.closed() => false,
    }
}

/// Moves a cursor; false where the event was handed on before.
pub(super) fn advance(cursor: &mut Option<Cursor>, event: &GatewayEvent) -> bool {
    let seq = match &event.kind {
        Some(Kind::Hello(_)) if cursor.is_none() => Some(event.after_seq),
        Some(Kind::CaughtUp(proto::CaughtUp { seq }) | Kind::Progress(proto::Progress { seq })) => {
            Some(*seq)
        }
        _ if event.seq > 0 => Some(event.seq),
        _ => None,
    };
    let Some(seq) = seq else { return true };
    let known = cursor.as_ref().map(|cursor| cursor.after_seq);
    if event.seq > 0 && known.is_some_and(|known| event.seq <= known) {
        return false;
    }
    *cursor = Some(Cursor {
        log_id: event.log_id.clone(),
        after_seq: seq.max(known.unwrap_or(0)),
    });
    true
}

// === impl Resync ===

impl Resync {
    /// Where to go on.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor {
            log_id: self.state.log_id.clone(),
            after_seq: self.state.seq,
        }
    }
}

// === impl Client ===

impl Client {
    /// How long to wait before a stream is made again; `None` where that makes no sense. One that was attached once is
    /// worth coming back to for every reason that may pass.
    pub(super) fn pause_of_stream(
        &self,
        status: &Status,
        backoff: &mut Backoff,
        attached: bool,
    ) -> Option<Duration> {
        if let Some(pause) = self.pause(status, backoff) {
            return Some(pause);
        }
        let passing = status.code() == Code::ResourceExhausted || connection_lost(status);
        let asked = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay)
            .unwrap_or_default();
        (passing && attached && self.answered.load(Ordering::Relaxed))
            .then(|| backoff.next().max(asked))
    }

    /// Reads the state of a session whose cursor, at `known`, is void.
    pub(super) async fn resync(
        &self,
        session_key: &str,
        known: i64,
        reason: String,
    ) -> Result<Resync, Status> {
        let mut state = self
            .get_session_state(proto::GetSessionStateRequest {
                session_key: session_key.to_owned(),
                min_seq: 0,
                page_size: RESYNC_PAGE,
            })
            .await?;
        // Positions of another log can't be compared: one page then.
        let mut pages = if reason == "CURSOR_EXPIRED" {
            RESYNC_PAGES_MAX
        } else {
            0
        };
        while pages > 0
            && !state.next_page_token.is_empty()
            && state
                .messages
                .first()
                .is_some_and(|message| message.seq > known)
        {
            pages -= 1;
            let mut older = self
                .list_messages(proto::ListMessagesRequest {
                    session_key: session_key.to_owned(),
                    generation: None,
                    page_size: RESYNC_PAGE,
                    page_token: state.next_page_token.clone(),
                    min_seq: 0,
                })
                .await?;
            older.messages.append(&mut state.messages);
            state.messages = older.messages;
            state.next_page_token = older.next_page_token;
        }
        Ok(Resync { reason, state })
    }
}
