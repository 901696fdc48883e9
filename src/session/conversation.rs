//! A session's stored messages, as drivers read them.

use crate::{
    agent::conversation::Conversation,
    domain::{
        ids::SessionRow,
        limits::PAGE_MAX,
        message::{Message, Part},
        refusal::Refusal,
        turn::Attachment,
    },
    store::Store,
};
use async_trait::async_trait;
use std::{fmt, sync::Arc};

/// The messages of one generation.
pub(super) struct StoredConversation {
    pub(super) store: Arc<dyn Store>,
    pub(super) session: SessionRow,
    pub(super) generation: i64,
}

impl fmt::Debug for StoredConversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredConversation")
            .field("session", &self.session)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Conversation for StoredConversation {
    async fn newest(&self, max_bytes: usize) -> Result<Vec<Message>, Refusal> {
        let (mut found, mut bytes): (Vec<Message>, usize) = (vec![], 0);
        let mut before = None;
        loop {
            let page = self
                .store
                .messages(self.session, self.generation, None, before, PAGE_MAX)
                .await?;
            for message in page.messages.into_iter().rev() {
                bytes += message.parts.iter().map(part_bytes).sum::<usize>();
                if bytes > max_bytes && !found.is_empty() {
                    found.reverse();
                    return Ok(found);
                }
                found.push(message);
            }
            before = page.next;
            if before.is_none() {
                found.reverse();
                return Ok(found);
            }
        }
    }

    async fn attachment(&self, attachment_id: &str) -> Result<Attachment, Refusal> {
        self.store.attachment(self.session, attachment_id).await
    }
}

fn part_bytes(part: &Part) -> usize {
    match part {
        Part::Text { text, .. } | Part::Thinking { text, .. } => text.len(),
        Part::ToolCall { args, result, .. } => args.text.len() + result.text.len(),
        Part::Attachment(reference) => reference.name.len(),
    }
}
