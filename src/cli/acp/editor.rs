//! The way to an editor: what is told, what is asked of it, and its answers.

use quarterdeck::{client::reason, edge::acp::Elicits};
use serde_json::{Value as Json, json};
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tonic::{Code, Status};

/// Lines that may wait for an editor that does not read; then its sessions wait too.
const LINES_MAX: usize = 64;

/// Writes to an editor, and knows what it was asked.
pub(super) struct Editor {
    lines: mpsc::Sender<Option<String>>,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    elicits: Elicits,
    next_id: i64,
    open: HashMap<i64, oneshot::Sender<Option<Json>>>,
}

/// A request that waits for its answer. Dropped, the editor is told that nobody waits any more.
struct Waiting {
    editor: Arc<Editor>,
    id: i64,
}

/// An error of JSON-RPC.
#[derive(Debug)]
pub(super) struct Fault {
    code: i64,
    message: String,
}

// === impl Editor ===

impl Editor {
    /// An editor that reads there, and the task that writes.
    pub(super) fn new(
        output: impl AsyncWrite + Unpin + Send + 'static,
    ) -> (Self, JoinHandle<io::Result<()>>) {
        let (lines, received) = mpsc::channel(LINES_MAX);
        let asked = Mutex::default();
        (Self { lines, asked }, tokio::spawn(write(received, output)))
    }

    async fn say(&self, message: &Json) {
        // One that reads no more has closed its end of our input, too.
        let _ = self.lines.send(Some(format!("{message}\n"))).await;
    }

    /// Nothing more is told.
    pub(super) async fn end(&self) {
        let _ = self.lines.send(None).await;
    }

    /// Answers a request.
    pub(super) async fn reply(&self, id: &Json, answer: Result<Json, Fault>) {
        let message = match answer {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(Fault { code, message }) => {
                let error = json!({ "code": code, "message": message });
                json!({ "jsonrpc": "2.0", "id": id, "error": error })
            }
        };
        self.say(&message).await;
    }

    /// Tells what is new in a session.
    pub(super) async fn update(&self, session_key: &str, update: Json) {
        let params = json!({ "sessionId": session_key, "update": update });
        let message = json!({ "jsonrpc": "2.0", "method": "session/update", "params": params });
        self.say(&message).await;
    }

    /// What it can show.
    pub(super) fn elicits(&self) -> Elicits {
        self.asked().elicits
    }

    /// It said what it can show.
    pub(super) fn shows(&self, elicits: Elicits) {
        self.asked().elicits = elicits;
    }

    /// Asks; `None` where it did not answer with a result.
    pub(super) async fn ask(self: &Arc<Self>, method: &str, params: Json) -> Option<Json> {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut asked = self.asked();
            asked.next_id += 1;
            let id = asked.next_id;
            asked.open.insert(id, answer);
            id
        };
        let waiting = Waiting {
            editor: Arc::clone(self),
            id,
        };
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.say(&message).await;
        let answer = answered.await.ok().flatten();
        drop(waiting);
        answer
    }

    /// Takes an answer; one that nobody waits for is passed over.
    pub(super) fn hear(&self, id: &Json, answer: Result<Json, Json>) {
        let waits = id.as_i64().and_then(|id| self.asked().open.remove(&id));
        if let Some(waits) = waits {
            // Whoever asked may be gone.
            let _ = waits.send(answer.ok());
        }
    }

    /// Locked for a few lines of plain work.
    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(
    mut lines: mpsc::Receiver<Option<String>>,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Some(Some(line)) = lines.recv().await {
        output.write_all(line.as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

// === impl Waiting ===

impl Drop for Waiting {
    fn drop(&mut self) {
        let Self { editor, id } = self;
        if editor.asked().open.remove(id).is_some() {
            let message = json!({
                "jsonrpc": "2.0", "method": "$/cancel_request", "params": { "requestId": id },
            });
            // An editor that reads too slowly keeps its question, whose answer then counts for nothing.
            let _ = editor.lines.try_send(Some(format!("{message}\n")));
        }
    }
}

// === impl Fault ===

impl Fault {
    /// It was no JSON.
    pub(super) const PARSE: i64 = -32700;
    /// There is no such method.
    pub(super) const METHOD: i64 = -32601;
    /// The parameters are wrong.
    pub(super) const PARAMETERS: i64 = -32602;
    /// It did not work.
    pub(super) const INTERNAL: i64 = -32603;
    /// The editor must be let in first.
    const AUTHENTICATION: i64 = -32000;
    /// There is no such thing.
    const NOT_FOUND: i64 = -32002;

    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// What went wrong, for people.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// A session that the editor did not open.
    pub(super) fn unknown_session() -> Self {
        Self::new(Self::NOT_FOUND, "no such session is open: load it first")
    }

    /// What the gateway refused.
    pub(super) fn of(status: &Status) -> Self {
        let code = match status.code() {
            Code::NotFound => Self::NOT_FOUND,
            Code::Unauthenticated => Self::AUTHENTICATION,
            Code::InvalidArgument => Self::PARAMETERS,
            _ => Self::INTERNAL,
        };
        let message = match reason(status) {
            reason if reason.is_empty() => status.message().to_owned(),
            reason => format!("{reason}: {}", status.message()),
        };
        Self::new(code, message)
    }
}
