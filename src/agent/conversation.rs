//! What a driver reads of its session's own conversation.

use crate::domain::{message::Message, refusal::Refusal, turn::Attachment};
use async_trait::async_trait;
use std::fmt;

/// The stored messages of one generation of a session: the memory of drivers that have no other. Whatever was told before a
/// turn's start is among them, and the turn's own prompt is the newest.
#[async_trait]
pub trait Conversation: fmt::Debug + Send + Sync {
    /// The newest messages, oldest first, with at most so many bytes of parts together, or one.
    ///
    /// # Errors
    /// The store does not answer.
    async fn newest(&self, max_bytes: usize) -> Result<Vec<Message>, Refusal>;

    /// A file that one of them names.
    ///
    /// # Errors
    /// `ATTACHMENT_NOT_FOUND`, or the store does not answer.
    async fn attachment(&self, attachment_id: &str) -> Result<Attachment, Refusal>;
}

/// A session of which nothing is stored.
#[derive(Clone, Copy, Debug)]
pub struct NoMessages;

#[async_trait]
impl Conversation for NoMessages {
    async fn newest(&self, _: usize) -> Result<Vec<Message>, Refusal> {
        Ok(vec![])
    }

    async fn attachment(&self, attachment_id: &str) -> Result<Attachment, Refusal> {
        let attachment_id = attachment_id.to_owned();
        Err(Refusal::AttachmentNotFound { attachment_id })
    }
}
