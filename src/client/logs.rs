//! The server's log records, followed over lost connections and restarts of the server.

use super::{Backoff, Client, Cut, follow::is_void};
use crate::proto::{LogCursor, LogRecord, TailLogsRequest};
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};

/// Records asked for where the cursor is void: all that the server may keep.
const LAST_MAX: i32 = 10_000;

/// What a reader gets.
#[derive(Clone, Debug)]
pub enum LogUpdate {
    /// A record. Each comes once.
    Record(Box<LogRecord>),
    /// The stream was cut; the next call comes back to it.
    Cut(Cut),
    /// The server was started again, or no longer keeps what comes after the newest record: some may be missing. Those
    /// that it keeps follow.
    Gap,
}

/// Follows the records. Nothing is asked for but by [`LogReader::next`].
pub struct LogReader {
    client: Client,
    request: TailLogsRequest,
    stream: Option<Streaming<LogRecord>>,
    backoff: Backoff,
    /// When to try again, after a cut.
    not_before: Option<Instant>,
}

// === impl Client ===

impl Client {
    /// Reads the server's log, from where `request` says.
    pub fn logs(&self, request: TailLogsRequest) -> LogReader {
        LogReader {
            client: self.clone(),
            request,
            stream: None,
            backoff: Backoff::new(),
            not_before: None,
        }
    }
}

// === impl LogReader ===

impl LogReader {
    /// The next update; `None` at the end of a reading that does not follow. May be dropped and called again.
    ///
    /// # Errors
    /// A status that does not pass by itself.
    pub async fn next(&mut self) -> Result<Option<LogUpdate>, Status> {
        if let Some(at) = self.not_before {
            sleep_until(at).await;
            self.not_before = None;
        }
        match self.read().await {
            Ok(Some(record)) => {
                self.backoff = Backoff::new();
                self.request.cursor = Some(LogCursor {
                    boot_id: record.boot_id.clone(),
                    after_number: record.number,
                });
                Ok(Some(LogUpdate::Record(Box::new(record))))
            }
            Ok(None) if self.request.no_follow => Ok(None),
            Ok(None) => self.cut(&Status::unavailable("the stream ended without a reason")),
            Err(status) => self.cut(&status),
        }
    }

    async fn read(&mut self) -> Result<Option<LogRecord>, Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let mut admin = self.client.admin.clone();
                let stream = admin.tail_logs(self.request.clone()).await?.into_inner();
                self.client.note_answer();
                none.insert(stream)
            }
        };
        stream.message().await
    }

    /// What a broken stream means: whether and when it is worth coming back.
    fn cut(&mut self, status: &Status) -> Result<Option<LogUpdate>, Status> {
        self.stream = None;
        if self.request.cursor.is_some() && is_void(status) {
            self.request.cursor = None;
            self.request.last = Some(LAST_MAX);
            return Ok(Some(LogUpdate::Gap));
        }
        let pause = self.client.pause_of_stream(status, &mut self.backoff, true);
        let pause = pause.ok_or_else(|| status.clone())?;
        self.not_before = Some(Instant::now() + pause);
        Ok(Some(LogUpdate::Cut(Cut::because(status))))
    }
}
