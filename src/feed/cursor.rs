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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::tests::session;

    /// R5: a cursor is taken exactly, or refused with where the log begins and ends.
    #[test]
    fn every_cursor_is_resolved_by_the_table() {
        for (first_seq, head) in [(1, 0), (1, 10), (5, 10), (10, 10), (11, 10)] {
            let mut session = session();
            session.first_seq = first_seq;
            session.head = head;
            let own = session.log_id.to_string();
            let range = log_range(&session);
            for after in [-1, 0, 1, 3, 4, 5, 9, 10, 11, i64::MAX] {
                for log_id in ["", own.as_str()] {
                    let expected = if after > head {
                        Err(Refusal::CursorAhead(range))
                    } else if after < first_seq - 1 {
                        Err(Refusal::CursorExpired(range))
                    } else {
                        Ok(after)
                    };
                    assert_eq!(resolve_cursor(&session, log_id, after, false), expected);
                    assert_eq!(
                        resolve_cursor(&session, log_id, after, true),
                        Ok(first_seq - 1)
                    );
                }
                for from_oldest in [false, true] {
                    assert_eq!(
                        resolve_cursor(&session, "another", after, from_oldest),
                        Err(Refusal::LogChanged(range))
                    );
                }
            }
        }
    }
}
