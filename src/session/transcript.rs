//! What an agent is told that lost its conversation, as the store has it.

use crate::{
    agent::transcript::{Transcript, Writer},
    domain::{ids::SessionRow, refusal::Refusal},
    store::Store,
};
use uuid::Uuid;

/// Messages that are read at a time.
const PAGE: usize = 32;

/// What is stored of a generation, without the messages of a turn that is about to start.
///
/// # Errors
/// The store's.
pub(super) async fn stored(
    store: &dyn Store,
    session: SessionRow,
    generation: i64,
    turn_id: Uuid,
) -> Result<Transcript, Refusal> {
    let mut writer = Writer::new();
    let mut before = None;
    loop {
        let page = store
            .messages(session, generation, None, before, PAGE)
            .await?;
        let mut newest_first = page.messages.iter().rev();
        before = page.next;
        if !newest_first.all(|message| writer.add(message, turn_id)) || before.is_none() {
            return Ok(writer.end());
        }
    }
}
