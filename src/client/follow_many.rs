//! Several sessions in one stream that resumes: a cursor for each, and the rules of [`Client::follow`] for each.

use super::{
    Backoff, Client, Update,
    follow::{UPDATES_MAX, advance, comes_back, is_void},
    reason,
};
use crate::proto::{Cursor, SessionCursor, SubscribeManyRequest, gateway_event::Kind};
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tonic::Status;
use tonic_types::StatusExt;

struct Follower {
    client: Client,
    request: SubscribeManyRequest,
    updates: mpsc::Sender<Result<Update, Status>>,
    /// By session: what was handed on. Sessions that the request names stand in it from their first event on.
    cursors: BTreeMap<String, Cursor>,
}

// === impl Client ===

impl Client {
    /// Follows several sessions. The receiver ends when nothing can follow any more, or with the error that makes going on
    /// senseless; of an error about one session the metadata name it. Dropping it ends the subscription.
    pub fn follow_many(
        &self,
        request: SubscribeManyRequest,
    ) -> mpsc::Receiver<Result<Update, Status>> {
        let (updates, receiver) = mpsc::channel(UPDATES_MAX);
        let follower = Follower {
            client: self.clone(),
            request,
            updates,
            cursors: BTreeMap::new(),
        };
        tokio::spawn(follower.run());
        receiver
    }
}

// === impl Follower ===

impl Follower {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        // `None`: nothing follows any more, or the reader is gone.
        while let Some(mut status) = self.stream(&mut backoff).await {
            if self.is_over() {
                return;
            }
            let session = session_of(&status);
            if is_void(&status)
                && let Some(known) = self.cursor_of(&session)
            {
                match self.client.resync(&session, known, reason(&status)).await {
                    Ok(resync) => {
                        self.cursors.insert(session, resync.cursor());
                        let update = Update::Resynced(Box::new(resync));
                        if self.updates.send(Ok(update)).await.is_err() {
                            return;
                        }
                        continue;
                    }
                    Err(error) => status = error,
                }
            }
            let attached = !self.cursors.is_empty();
            let pause = self.client.pause_of_stream(&status, &mut backoff, attached);
            if !comes_back(&self.updates, status, pause).await {
                return;
            }
        }
    }

    /// The position that a session was asked from, where it was asked from one.
    fn cursor_of(&self, session_key: &str) -> Option<i64> {
        if let Some(cursor) = self.cursors.get(session_key) {
            return Some(cursor.after_seq);
        }
        let mut named = self.request.cursors.iter();
        let named = named.find(|cursor| cursor.session_key == session_key)?;
        (!named.from_head && !named.from_oldest).then_some(named.after_seq)
    }

    /// What was asked, from where each session is now.
    fn resumed(&self) -> SubscribeManyRequest {
        let mut request = self.request.clone();
        for (session_key, cursor) in &self.cursors {
            let now = SessionCursor {
                session_key: session_key.clone(),
                log_id: cursor.log_id.clone(),
                after_seq: cursor.after_seq,
                ..SessionCursor::default()
            };
            let mut named = request.cursors.iter_mut();
            match named.find(|cursor| cursor.session_key == *session_key) {
                Some(named) => {
                    let events = named.events.take();
                    *named = SessionCursor { events, ..now };
                }
                None => request.cursors.push(now),
            }
        }
        request
    }

    async fn stream(&mut self, backoff: &mut Backoff) -> Option<Status> {
        let mut gateway = self.client.gateway.clone();
        let request = self.resumed();
        let mut stream = tokio::select! {
            stream = gateway.subscribe_many(request) => match stream {
                Ok(stream) => stream.into_inner(),
                Err(status) => return Some(status),
            },
            () = self.updates.closed() => return None,
        };
        self.client.note_answer();
        loop {
            let event = tokio::select! {
                event = stream.message() => event,
                () = self.updates.closed() => return None,
            };
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) => return None,
                Err(status) => return Some(status),
            };
            *backoff = Backoff::new();
            let mut cursor = self.cursors.remove(&event.session_key);
            let is_new = advance(&mut cursor, &event);
            if let Some(cursor) = cursor {
                self.cursors.insert(event.session_key.clone(), cursor);
            }
            if !is_new {
                continue;
            }
            if matches!(event.kind, Some(Kind::SessionDeleted(_))) {
                self.leave(&event.session_key);
            }
            let update = Update::Event(Box::new(event));
            if self.updates.send(Ok(update)).await.is_err() {
                return None;
            }
        }
    }

    /// Nothing that was asked for can follow any more; cut before it could say so.
    fn is_over(&self) -> bool {
        let SubscribeManyRequest {
            filter,
            watch,
            cursors,
            ..
        } = &self.request;
        filter.is_none() && watch.is_none() && cursors.is_empty()
    }

    /// A deleted session is not asked for again.
    fn leave(&mut self, session_key: &str) {
        self.cursors.remove(session_key);
        let named = &mut self.request.cursors;
        named.retain(|cursor| cursor.session_key != session_key);
    }
}

/// The session that an error is about.
fn session_of(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.and_then(|mut info| info.metadata.remove("session_key"))
        .unwrap_or_default()
}
