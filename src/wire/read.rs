//! What several rooms ask of the contract's messages.

use crate::proto::Turn;
use serde_json::Value as Json;

/// Whether a turn was taken from the queue: for protocols that have one word for what somebody stopped.
pub fn was_removed(turn: &Turn) -> bool {
    turn.error.as_ref().is_some_and(|it| it.reason == "REMOVED")
}

/// JSON text as JSON; a string where it is none.
pub fn parsed(json: &str) -> Json {
    serde_json::from_str(json).unwrap_or_else(|_| Json::String(json.into()))
}
