//! What a caller gives with a prompt or a steer, as text: files that are no images stand in it, marked.

use super::{TRANSCRIPT_MAX_BYTES, process::WRITES_MAX_BYTES};
use crate::domain::{
    limits::{ATTACHMENTS_MAX, ATTACHMENTS_MAX_BYTES, DISPLAY_NAME_MAX_BYTES, TEXT_MAX_BYTES},
    memory::MEMORY_CONTEXT_MAX_BYTES,
    turn::Attachment,
};
use serde_json::json;

/// What a byte of text takes in JSON at most: `\u001b`.
const ESCAPE_BYTES: usize = 6;
/// Files that go into the text, in bytes as JSON writes them. Twice what a request may carry: of ordinary text only
/// quotes, backslashes and line ends take two.
const FILES_MAX_BYTES: usize = 2 * ATTACHMENTS_MAX_BYTES;
/// Bytes besides: of each attachment its name and media type, and what stands around them.
const AROUND_MAX_BYTES: usize =
    4096 + ATTACHMENTS_MAX * (ESCAPE_BYTES * DISPLAY_NAME_MAX_BYTES * 2 + 1024);
/// The largest input that a caller may give is a line that a child takes.
const _: () = assert!(
    ESCAPE_BYTES * (TEXT_MAX_BYTES + MEMORY_CONTEXT_MAX_BYTES + TRANSCRIPT_MAX_BYTES)
        + FILES_MAX_BYTES
        + ATTACHMENTS_MAX_BYTES.div_ceil(3) * 4
        + AROUND_MAX_BYTES
        < WRITES_MAX_BYTES
);

/// Stands in front of a text that begins with a slash. Agents take such a text for a command of their own, some of which
/// install programs, blanks or not; this character, which nobody sees, makes it a text like any other. Tried with pi,
/// opencode, codex and gemini.
const LITERAL: char = '\u{200b}';

/// A prompt or steer that is a text for the model, whatever it begins with.
pub(super) fn literal(mut text: String) -> String {
    if text.trim_start().starts_with('/') {
        text.insert(0, LITERAL);
    }
    text
}

/// The text of a prompt or steer with the files that are no images, as agents will show it.
pub(super) fn text_with_files(mut text: String, attachments: &[Attachment]) -> String {
    let mut room = FILES_MAX_BYTES;
    for Attachment { reference, data } in attachments {
        if reference.is_image() {
            continue;
        }
        let content = match std::str::from_utf8(data) {
            Ok(content) => match room.checked_sub(written_bytes(content)) {
                Some(left) => {
                    room = left;
                    content
                }
                None => "(not shown: there is no room for it)",
            },
            Err(_) => "(not shown: the agent takes only text and images)",
        };
        text.push_str(&format!(
            "\n\n<file name={}>\n{content}\n</file>",
            json!(reference.name)
        ));
    }
    text
}

/// Bytes of a text inside of JSON.
fn written_bytes(text: &str) -> usize {
    let bytes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => ESCAPE_BYTES,
        _ => 1,
    });
    bytes.sum()
}
