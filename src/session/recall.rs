//! What a turn's agent is given of memory.

use crate::{
    agent::TurnInput,
    clock,
    domain::ids::SessionRow,
    memory::{Actor, Memory, context::ContextRules},
};
use std::sync::Arc;
use tracing::warn;

/// The way to memory.
#[derive(Clone)]
pub struct Recall {
    /// The room.
    pub memory: Arc<Memory>,
    /// How much is given, and how long that may take.
    pub rules: ContextRules,
}

// === impl Recall ===

impl Recall {
    /// The context of a turn. Memory that fails or is late costs the turn its context, never the turn.
    pub(super) async fn context(&self, session: SessionRow, input: &TurnInput) -> String {
        let turn = input.turn_id;
        let actor = Actor::Agent {
            session,
            turn_id: Some(turn),
        };
        let now = clock::now();
        let asking = self
            .memory
            .context(&actor, turn, &input.text, self.rules, now);
        let context = asking.await;
        if !context.ids.is_empty() {
            let memory = self.memory.clone();
            // No turn waits for it.
            tokio::spawn(async move {
                if let Err(refusal) = memory.note_used(context.ids, now).await {
                    warn!(%turn, %refusal, "the use of memories was not noted");
                }
            });
        }
        context.text
    }
}
