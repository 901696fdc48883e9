//! A watch over sessions. It has no cursor: each time it attaches, the server sends the list anew.

use super::{Backoff, Client, connection_lost};
use crate::proto::{SessionFilter, SessionSnapshot, WatchSessionsRequest};
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tonic::{Code, Status};

/// Updates that may wait for their reader.
const UPDATES_MAX: usize = 256;

/// What [`Client::watch_list`] tells.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionsUpdate {
    /// A list begins. What it does not name before it is complete is gone.
    Began,
    /// A session as it is now: of the list, or changed since. Its state is DELETED where it is gone.
    Session(Box<SessionSnapshot>),
    /// The list is complete; comes again as a sign of life.
    Complete,
    /// The connection is lost. It is tried again, and the next list begins.
    Cut,
}

impl Client {
    /// Follows the sessions that match; a snapshot with an empty key ends each list. Ends with the error that makes
    /// going on senseless. Dropping the receiver ends the watch.
    pub fn watch_sessions(
        &self,
        filter: SessionFilter,
    ) -> mpsc::Receiver<Result<SessionSnapshot, Status>> {
        self.watch(filter, |update| match update {
            SessionsUpdate::Session(session) => Some(*session),
            SessionsUpdate::Complete => Some(SessionSnapshot::default()),
            SessionsUpdate::Began | SessionsUpdate::Cut => None,
        })
    }

    /// The same for who keeps a list: tells where each list begins and ends, and that the connection is lost.
    pub fn watch_list(
        &self,
        filter: SessionFilter,
    ) -> mpsc::Receiver<Result<SessionsUpdate, Status>> {
        self.watch(filter, Some)
    }

    fn watch<T: Send + 'static>(
        &self,
        filter: SessionFilter,
        told: fn(SessionsUpdate) -> Option<T>,
    ) -> mpsc::Receiver<Result<T, Status>> {
        let (updates, receiver) = mpsc::channel(UPDATES_MAX);
        let client = self.clone();
        let watch = Watch { updates, told };
        tokio::spawn(async move {
            let mut backoff = Backoff::new();
            // `None`: the reader is gone.
            while let Some(status) = client.watch_once(&filter, &watch, &mut backoff).await {
                let passing = status.code() == Code::Unavailable || connection_lost(&status);
                if !passing || !client.answered.load(Ordering::Relaxed) {
                    let _ = watch.updates.send(Err(status)).await;
                    return;
                }
                if watch.tell(SessionsUpdate::Cut).await.is_none() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff.next()) => {}
                    () = watch.updates.closed() => return,
                }
            }
        });
        receiver
    }

    async fn watch_once<T>(
        &self,
        filter: &SessionFilter,
        watch: &Watch<T>,
        backoff: &mut Backoff,
    ) -> Option<Status> {
        let request = WatchSessionsRequest {
            filter: Some(filter.clone()),
            initial: None,
        };
        let mut stream = match self.gateway.clone().watch_sessions(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Some(status),
        };
        self.note_answer();
        watch.tell(SessionsUpdate::Began).await?;
        loop {
            let snapshot = tokio::select! {
                snapshot = stream.message() => snapshot,
                () = watch.updates.closed() => return None,
            };
            match snapshot {
                Ok(Some(snapshot)) => {
                    *backoff = Backoff::new();
                    let update = match snapshot.session_key.is_empty() {
                        true => SessionsUpdate::Complete,
                        false => SessionsUpdate::Session(Box::new(snapshot)),
                    };
                    watch.tell(update).await?;
                }
                Ok(None) => return Some(Status::unavailable("the watch ended without a reason")),
                Err(status) => return Some(status),
            }
        }
    }
}

/// The watch's side of its channel.
struct Watch<T> {
    updates: mpsc::Sender<Result<T, Status>>,
    /// What of an update is told.
    told: fn(SessionsUpdate) -> Option<T>,
}

// === impl Watch ===

impl<T> Watch<T> {
    /// `None` where the reader is gone.
    async fn tell(&self, update: SessionsUpdate) -> Option<()> {
        match (self.told)(update) {
            Some(update) => self.updates.send(Ok(update)).await.ok(),
            None => Some(()),
        }
    }
}
