//! A watch over sessions. It has no cursor: each time it attaches, the server sends the list anew.

use super::{Backoff, Client, connection_lost};
use crate::proto::{SessionFilter, SessionSnapshot, WatchSessionsRequest};
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tonic::{Code, Status};

/// Snapshots that may wait for their reader.
const SNAPSHOTS_MAX: usize = 256;

impl Client {
    /// Follows the sessions that match; a snapshot with an empty key ends each list. Ends with the error that makes
    /// going on senseless. Dropping the receiver ends the watch.
    pub fn watch_sessions(
        &self,
        filter: SessionFilter,
    ) -> mpsc::Receiver<Result<SessionSnapshot, Status>> {
        let (snapshots, receiver) = mpsc::channel(SNAPSHOTS_MAX);
        let client = self.clone();
        tokio::spawn(async move {
            let mut backoff = Backoff::new();
            // `None`: the reader is gone.
            while let Some(status) = client.watch_once(&filter, &snapshots, &mut backoff).await {
                let passing = status.code() == Code::Unavailable || connection_lost(&status);
                if !passing || !client.answered.load(Ordering::Relaxed) {
                    let _ = snapshots.send(Err(status)).await;
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff.next()) => {}
                    () = snapshots.closed() => return,
                }
            }
        });
        receiver
    }

    async fn watch_once(
        &self,
        filter: &SessionFilter,
        snapshots: &mpsc::Sender<Result<SessionSnapshot, Status>>,
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
        loop {
            let snapshot = tokio::select! {
                snapshot = stream.message() => snapshot,
                () = snapshots.closed() => return None,
            };
            match snapshot {
                Ok(Some(snapshot)) => {
                    *backoff = Backoff::new();
                    if snapshots.send(Ok(snapshot)).await.is_err() {
                        return None;
                    }
                }
                Ok(None) => return Some(Status::unavailable("the watch ended without a reason")),
                Err(status) => return Some(status),
            }
        }
    }
}
