//! Where a read may start: a caller's cursor against a session's log. Pure.

use crate::domain::{
    refusal::{LogRange, Refusal},
    session::Session,
};

/// The position to read after. `log_id` is compared first, and not at all when it is empty; `from_oldest` asks for
/// whatever is kept.
///
/// # Errors
/// `LOG_CHANGED`, `CURSOR_AHEAD`, `CURSOR_EXPIRED`; also where 0 is given and the log's beginning is not kept any more.
pub fn resolve_cursor(
    session: &Session,
    log_id: &str,
    after_seq: i64,
    from_oldest: bool,
) -> Result<i64, Refusal> {
    let range = log_range(session);
    if !log_id.is_empty() && log_id != session.log_id.to_string() {
        Err(Refusal::LogChanged(range))
    } else if from_oldest {
        Ok(range.first_seq - 1)
    } else if after_seq > range.head_seq {
        Err(Refusal::CursorAhead(range))
    } else if after_seq + 1 < range.first_seq {
        Err(Refusal::CursorExpired(range))
    } else {
        Ok(after_seq)
    }
}

/// Where a session's log begins and ends.
pub fn log_range(session: &Session) -> LogRange {
    LogRange {
        log_id: session.log_id,
        first_seq: session.first_seq,
        head_seq: session.head,
    }
}
