//! A conversation as text: what the agent says to a prompt, in pieces as they come.

use super::{Client, Error, Update, text::Assembly};
use crate::proto::{
    Answer, EnqueueRequest, Question, RunRequest, Turn, TurnState, gateway_event::Kind,
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tonic::Status;

/// The text of one turn. Dropped, it leaves the turn to itself.
pub struct Chat {
    client: Client,
    updates: mpsc::Receiver<Result<Update, Status>>,
    text: Assembly,
    output_json: String,
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
    /// What the turn answers by its schema is not what was asked for.
    #[error("the output can't be read: {0}")]
    Output(#[from] serde_json::Error),
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

    /// Runs a prompt that has an `output_schema`, and gives what its turn answers by that, parsed. What the agent says
    /// meanwhile is passed over; [`chat_with`](Self::chat_with) tells it.
    ///
    /// # Errors
    /// The call failed, the turn was not completed (`OUTPUT_INVALID` where nothing met the schema), or what it answers is no
    /// `T`.
    pub async fn ask<T: DeserializeOwned>(&self, prompt: EnqueueRequest) -> Result<T, ChatError> {
        let mut chat = self.chat_with(prompt);
        while chat.next().await.transpose()?.is_some() {}
        Ok(serde_json::from_str(&chat.output_json)?)
    }

    /// The same with all that a prompt may have. With the `request_id` of an earlier one it tells that turn's text.
    pub fn chat_with(&self, prompt: EnqueueRequest) -> Chat {
        Chat {
            client: self.clone(),
            updates: self.run(RunRequest {
                enqueue: Some(prompt),
                ..RunRequest::default()
            }),
            text: Assembly::default(),
            output_json: String::new(),
            ended: false,
        }
    }
}

// === impl Chat ===

impl Chat {
    /// Answers what the agent asks: `handler` is called once with each question that waits for somebody, and gives an
    /// answer (see [`answers`](super::answers)), or `None` to leave it to somebody else. For a question of kind TOOL_CALL it
    /// runs the tool. Text waits while it works.
    #[must_use]
    pub fn on_question<F, A>(mut self, handler: F) -> Self
    where
        F: FnMut(Question) -> A + Send + 'static,
        A: Future<Output = Option<Answer>> + Send,
    {
        self.updates = self.client.answering(self.updates, handler);
        self
    }

    /// The next piece of the agent's text, without its thinking; `None` at the end of a turn that was completed. Over lost
    /// connections no text comes twice and none is lost. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Result<String, ChatError>> {
        while !self.ended {
            let event = match self.updates.recv().await {
                Some(Ok(Update::Event(event))) => event,
                Some(Ok(Update::Cut(_) | Update::Resynced(_))) => continue,
                Some(Err(status)) => {
                    self.ended = true;
                    return Some(Err(ChatError::Call(status.into())));
                }
                // The turn has not ended: what answers its questions panicked.
                None => {
                    self.ended = true;
                    let status = Status::internal("the handler of questions panicked");
                    return Some(Err(ChatError::Call(status.into())));
                }
            };
            if let Some(Kind::TurnEnded(end)) = event.kind {
                self.ended = true;
                let turn = end.turn.unwrap_or_default();
                self.output_json.clone_from(&turn.output_json);
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
