//! What texts of requests must be, for descriptions that machines read. The bounds are those that `parse.rs` keeps.

use crate::domain::{
    ids::{SESSION_KEY_MAX_BYTES, SESSION_KEY_PATTERN},
    limits::{
        CWD_MAX_BYTES, DISPLAY_NAME_MAX_BYTES, NAME_MAX_BYTES, REQUEST_ID_MAX_BYTES, TEXT_MAX_BYTES,
    },
    offers::VALUE_MAX_BYTES,
    webhooks_out::{AUTHORIZATION_MAX_BYTES, TOKEN_MAX_BYTES},
};

/// What a text must be. Lengths are in bytes; no text has more characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Least length.
    pub min: usize,
    /// Greatest length.
    pub max: usize,
    /// A regular expression that it must match.
    pub pattern: Option<&'static str>,
}

/// A session's name.
pub const SESSION_KEY: Bound = Bound {
    min: 1,
    max: SESSION_KEY_MAX_BYTES,
    pattern: Some(SESSION_KEY_PATTERN),
};

/// What makes a call safe to repeat.
pub const REQUEST_ID: Bound = Bound {
    min: 1,
    max: REQUEST_ID_MAX_BYTES,
    pattern: Some("^[!-~]+$"),
};

/// An id that the server gave.
pub const ID: Bound = Bound {
    min: 36,
    max: 36,
    pattern: Some("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
};

/// The bound of a request's text; `None` where nothing is known of it but that it is one.
pub fn of_field(message: &str, field: &str) -> Option<Bound> {
    let up_to = |max| Bound {
        min: 0,
        max,
        pattern: None,
    };
    match (message, field) {
        (it, _) if !it.ends_with("Request") => None,
        ("CreateSessionRequest", "session_key") => Some(SESSION_KEY),
        ("ForkSessionRequest", "new_session_key") => Some(SESSION_KEY),
        (_, "text") => Some(up_to(TEXT_MAX_BYTES)),
        (_, "model" | "thinking_level" | "agent" | "source") => Some(up_to(NAME_MAX_BYTES)),
        (_, "provider" | "model_id" | "level" | "option_id") => Some(up_to(NAME_MAX_BYTES)),
        ("SetOptionRequest", "value") => Some(up_to(VALUE_MAX_BYTES)),
        ("CreateWebhookRequest", "token") => Some(up_to(TOKEN_MAX_BYTES)),
        ("CreateWebhookRequest", "authorization") => Some(up_to(AUTHORIZATION_MAX_BYTES)),
        (_, "display_name") => Some(up_to(DISPLAY_NAME_MAX_BYTES)),
        (_, "cwd") => Some(up_to(CWD_MAX_BYTES)),
        _ => None,
    }
}

/// The bounds of a whole number of a request; `None` where it has none of its own.
pub fn of_number(message: &str, field: &str) -> Option<(i32, i32)> {
    match (message, field) {
        (it, _) if !it.ends_with("Request") => None,
        (_, "page_size") => Some((0, i32::MAX)),
        _ => None,
    }
}
