//! A conversation as text: what the agent says to a prompt, in pieces as they come.

use super::{Client, Error, Update, text::Assembly};
use crate::proto::{EnqueueRequest, RunRequest, Turn, TurnState, gateway_event::Kind};
use tokio::sync::mpsc;
use tonic::Status;

/// The text of one turn. Dropped, it leaves the turn to itself.
pub struct Chat {
    updates: mpsc::Receiver<Result<Update, Status>>,
    text: Assembly,
    ended: bool,
}

/// Why a chat ended without its turn's end.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] Error),
    /// The turn ended, but was not completed.
    #[error(transparent)]
    Turn(#[from] TurnFailed),
}

/// A turn that was not completed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("turn {turn_id} ended {}: {reason}: {message}", .state.as_str_name())]
pub struct TurnFailed {
    /// The turn.
    pub turn_id: String,
    /// How it ended.
    pub state: TurnState,
    /// Stable reason, such as `AGENT_ERROR` or `ABORTED`.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
}

// === impl Client ===

impl Client {
    /// Says something to a session, which is made where it is missing.
    pub fn chat(&self, session_key: impl Into<String>, text: impl Into<String>) -> Chat {
        self.chat_with(EnqueueRequest {
            session_key: session_key.into(),
            text: text.into(),
            ..EnqueueRequest::default()
        })
    }

    /// The same with all that a prompt may have. With the `request_id` of an earlier one it tells that turn's text.
    pub fn chat_with(&self, prompt: EnqueueRequest) -> Chat {
        Chat {
            updates: self.run(RunRequest {
                enqueue: Some(prompt),
                ..RunRequest::default()
            }),
            text: Assembly::default(),
            ended: false,
        }
    }
}

// === impl Chat ===

impl Chat {
    /// The next piece of the agent's text, without its thinking; `None` at the end of a turn that was completed. Over lost
    /// connections no text comes twice and none is lost. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Result<String, ChatError>> {
        while !self.ended {
            let event = match self.updates.recv().await? {
                Ok(Update::Event(event)) => event,
                Ok(Update::Cut(_) | Update::Resynced(_)) => continue,
                Err(status) => {
                    self.ended = true;
                    return Some(Err(ChatError::Call(status.into())));
                }
            };
            if let Some(Kind::TurnEnded(end)) = event.kind {
                self.ended = true;
                let turn = end.turn.unwrap_or_default();
                return TurnFailed::of(turn).map(|failed| Err(failed.into()));
            }
            let piece = self.text.take(&event);
            if !piece.is_empty() {
                return Some(Ok(piece));
            }
        }
        None
    }

    /// All of the text, when the turn has ended.
    ///
    /// # Errors
    /// The call failed, or the turn was not completed.
    pub async fn text(mut self) -> Result<String, ChatError> {
        let mut text = String::new();
        while let Some(piece) = self.next().await {
            text.push_str(&piece?);
        }
        Ok(text)
    }
}

// === impl TurnFailed ===

impl TurnFailed {
    /// `None` where the turn was completed.
    fn of(turn: Turn) -> Option<Self> {
        let state = turn.state();
        if state == TurnState::Completed {
            return None;
        }
        let error = turn.error.unwrap_or_default();
        Some(Self {
            turn_id: turn.turn_id,
            state,
            reason: error.reason,
            message: error.message,
        })
    }
}
