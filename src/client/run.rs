//! One prompt and its turn's events, over lost connections: Run is repeated with the same `request_id` and goes on
//! after the last durable event that was handed on.

use super::{
    Backoff, Client, Update,
    follow::{UPDATES_MAX, comes_back},
    identify,
};
use crate::proto::{RunRequest, gateway_event::Kind};
use tokio::sync::mpsc;
use tonic::Status;

impl Client {
    /// Runs a prompt. The receiver ends after `turn_ended`, or with the error that makes going on senseless.
    /// Dropping it leaves the turn to itself.
    pub fn run(&self, mut request: RunRequest) -> mpsc::Receiver<Result<Update, Status>> {
        let (updates, receiver) = mpsc::channel(UPDATES_MAX);
        identify(&mut request.enqueue.get_or_insert_default().request_id);
        let client = self.clone();
        tokio::spawn(async move {
            let mut backoff = Backoff::new();
            // `None`: the turn ended, or the reader is gone.
            while let Some(status) = client.run_once(&mut request, &updates, &mut backoff).await {
                let pause = client.pause(&status, &mut backoff);
                if !comes_back(&updates, status, pause).await {
                    return;
                }
            }
        });
        receiver
    }

    async fn run_once(
        &self,
        request: &mut RunRequest,
        updates: &mpsc::Sender<Result<Update, Status>>,
        backoff: &mut Backoff,
    ) -> Option<Status> {
        let mut gateway = self.gateway.clone();
        let mut stream = match gateway.run(request.clone()).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Some(status),
        };
        self.note_answer();
        loop {
            let event = tokio::select! {
                event = stream.message() => event,
                () = updates.closed() => return None,
            };
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) => return Some(Status::unavailable("the stream ended before its turn")),
                Err(status) => return Some(status),
            };
            *backoff = Backoff::new();
            let ended = matches!(event.kind, Some(Kind::TurnEnded(_)));
            if event.seq > 0 && event.seq <= request.after_seq && !ended {
                continue;
            }
            request.after_seq = request.after_seq.max(event.seq);
            if updates
                .send(Ok(Update::Event(Box::new(event))))
                .await
                .is_err()
                || ended
            {
                return None;
            }
        }
    }
}
