//! Every fixed bound of the contract, with its unit. What an operator may change stands in `config`.

use std::time::Duration;

/// Longest prompt or steer, in bytes of UTF-8.
pub const TEXT_MAX_BYTES: usize = 512 * 1024;
/// Largest single attachment, in bytes.
pub const ATTACHMENT_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Largest sum of attachments of one request, in bytes.
pub const ATTACHMENTS_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Attachments of one request.
pub const ATTACHMENTS_MAX: usize = 64;
/// Largest message of Enqueue, Run and Steer, in bytes.
pub const INPUT_MESSAGE_MAX_BYTES: usize = 18 * 1024 * 1024;
/// Largest metadata of a call, in bytes as HTTP/2 counts them: names, values, and 32 for each entry.
pub const METADATA_MAX_BYTES: usize = 32 * 1024;
/// Largest message of any other RPC, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 1024 * 1024;
/// Texts of turns inside events and lists are cut here, in bytes.
pub const TURN_TEXT_IN_EVENT_MAX_BYTES: usize = 64 * 1024;
/// JSON of tools inside events is cut here, in bytes.
pub const TOOL_JSON_MAX_BYTES: usize = 256 * 1024;
/// An assistant message is closed (`continued`) when its blocks reach this, in bytes. A little below 512 KiB, since
/// `message_completed` holds the text twice and no event is above 1 MiB.
pub const ASSISTANT_MESSAGE_MAX_BYTES: usize = 511 * 1024;
/// Longest error message of a turn, in bytes.
pub const ERROR_MESSAGE_MAX_BYTES: usize = 4 * 1024;
/// Steers that may wait for one turn.
pub const PENDING_STEERS_MAX: i64 = 8;
/// Longest display name, in bytes.
pub const DISPLAY_NAME_MAX_BYTES: usize = 256;
/// Longest `source`, model, thinking level and media type, in bytes.
pub const NAME_MAX_BYTES: usize = 128;
/// Longest `cwd`, in bytes.
pub const CWD_MAX_BYTES: usize = 4096;
/// Principals that a session may be shared with.
pub const SHARES_MAX: usize = 64;
/// Entries of labels and of metadata.
pub const MAP_MAX_ENTRIES: usize = 32;
/// Longest key of labels and metadata, in bytes.
pub const MAP_KEY_MAX_BYTES: usize = 63;
/// Longest value of a label, in bytes.
pub const LABEL_VALUE_MAX_BYTES: usize = 256;
/// Longest value of metadata, in bytes.
pub const METADATA_VALUE_MAX_BYTES: usize = 1024;
/// Longest `request_id`, in bytes.
pub const REQUEST_ID_MAX_BYTES: usize = 128;
/// Characters of `last_message_preview`.
pub const PREVIEW_MAX_CHARS: usize = 120;
/// Rows of a page where the caller names none.
pub const PAGE_DEFAULT: usize = 50;
/// Rows of a page at most.
pub const PAGE_MAX: usize = 1000;
/// Events of a ReadEvents page where the caller names none.
pub const EVENTS_PAGE_DEFAULT: usize = 100;
/// Bytes of a ReadEvents page.
pub const EVENTS_PAGE_MAX_BYTES: usize = 1024 * 1024;
/// Bytes of a ListMessages page beyond its first message.
pub const MESSAGES_PAGE_MAX_BYTES: usize = 3 * 1024 * 1024;
/// Longest `wait` of ReadEvents.
pub const READ_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest wait for `min_seq`.
pub const MIN_SEQ_WAIT_MAX: Duration = Duration::from_secs(5);
/// Time a stopped turn's agent has to prove its stop after KILL.
pub const KILL_PROOF_MAX: Duration = Duration::from_secs(10);
/// Time between CANCEL and KILL where the caller names none.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(5);
/// Longest `grace`.
pub const GRACE_MAX: Duration = Duration::from_secs(600);
/// Longest `turn_timeout`.
pub const TURN_TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Farthest `not_before` of a turn.
pub const NOT_BEFORE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// Turns of a session that may wait for their `not_before`.
pub const SCHEDULED_TURNS_MAX: i64 = 64;
/// Time the last `cancel_on_disconnect` stream of a turn must have been gone.
pub const DISCONNECT_GRACE: Duration = Duration::from_secs(5);
/// Text that may be lost of an open block at a crash, in bytes.
pub const CHECKPOINT_MAX_BYTES: usize = 16 * 1024;
/// Time of deltas that may be lost of an open block at a crash.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// Time for which request ids outlive their turn, and tombstones their session.
pub const REQUEST_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Time for which a forgotten memory is only hidden; then it is erased.
pub const FORGOTTEN_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Cuts `text` to at most `max` bytes at a character's edge.
pub fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Cuts JSON text as events show it: beyond the bound it becomes a JSON string of its first bytes.
/// Returns the text and, where it was cut, the size before.
pub fn cut_json(json: String) -> (String, Option<usize>) {
    cut_json_of(json, None)
}

/// As [`cut_json`], of JSON text that is not all there: `full_size` is the size of the whole.
pub fn cut_json_of(json: String, full_size: Option<usize>) -> (String, Option<usize>) {
    if json.len() <= TOOL_JSON_MAX_BYTES && full_size.is_none() {
        return (json, None);
    }
    let full = full_size.unwrap_or(json.len());
    let mut keep = TOOL_JSON_MAX_BYTES;
    loop {
        let text = serde_json::to_string(cut(&json, keep)).expect("a string is always JSON");
        if text.len() <= TOOL_JSON_MAX_BYTES {
            return (text, Some(full));
        }
        // Escapes made it longer than the bound: shrink in proportion, and at least by a little.
        let least = keep.min(json.len()) - 16;
        keep = (keep * TOOL_JSON_MAX_BYTES / text.len()).min(least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_json_stays_as_it_is() {
        assert_eq!(cut_json("{\"a\":1}".into()), ("{\"a\":1}".into(), None));
    }

    #[test]
    fn json_that_is_not_all_there_is_a_string_that_tells_the_size_of_the_whole() {
        let (text, full) = cut_json_of("{\"a\":[]}".into(), Some(9_000_000));
        assert_eq!(
            (text.as_str(), full),
            ("\"{\\\"a\\\":[]}\"", Some(9_000_000))
        );
    }

    #[test]
    fn long_json_becomes_a_json_string_of_its_first_bytes() {
        for piece in ["ä", "\"", "\u{1}", "x"] {
            let long = piece.repeat(TOOL_JSON_MAX_BYTES + 1);
            let (text, full) = cut_json(long.clone());
            assert_eq!(full, Some(long.len()));
            assert!(text.len() <= TOOL_JSON_MAX_BYTES);
            let kept: String = serde_json::from_str(&text).expect("valid JSON");
            assert!(long.starts_with(&kept) && !kept.is_empty());
        }
    }

    proptest! {
        #[test]
        fn a_cut_is_a_prefix_within_the_bound(text in "\\PC{0,64}", max in 0usize..80) {
            let kept = cut(&text, max);
            prop_assert!(text.starts_with(kept) && kept.len() <= max);
        }
    }
}
