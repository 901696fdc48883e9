//! Lines for pi.

use crate::agent::process::WRITES_MAX_BYTES;
use crate::domain::{
    limits::{ATTACHMENTS_MAX, ATTACHMENTS_MAX_BYTES, DISPLAY_NAME_MAX_BYTES, TEXT_MAX_BYTES},
    turn::{Attachment, AttachmentRef},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
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
    ESCAPE_BYTES * TEXT_MAX_BYTES
        + FILES_MAX_BYTES
        + ATTACHMENTS_MAX_BYTES.div_ceil(3) * 4
        + AROUND_MAX_BYTES
        < WRITES_MAX_BYTES
);

/// A command without fields.
pub(in crate::agent::pi) fn command(kind: &str, id: &str) -> Vec<u8> {
    json!({ "type": kind, "id": id }).to_string().into_bytes()
}

/// The text of a prompt or steer with the files that are no images, as pi will show it.
pub(in crate::agent::pi) fn text_with_files(
    mut text: String,
    attachments: &[Attachment],
) -> String {
    let mut room = FILES_MAX_BYTES;
    for Attachment { reference, data } in attachments {
        if is_image(reference) {
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

/// `prompt` and `steer`: a text that has the files in it already, and the images among the attachments.
pub(in crate::agent::pi) fn message(
    kind: &str,
    id: &str,
    text: &str,
    attachments: &[Attachment],
) -> Vec<u8> {
    let images = attachments.iter().filter(|it| is_image(&it.reference));
    let images = images.map(|Attachment { reference, data }| {
        json!({ "type": "image", "data": STANDARD.encode(data), "mimeType": reference.media_type })
    });
    let images: Vec<_> = images.collect();
    let mut line = json!({ "type": kind, "id": id, "message": text });
    if !images.is_empty() {
        line["images"] = images.into();
    }
    line.to_string().into_bytes()
}

fn is_image(reference: &AttachmentRef) -> bool {
    reference.media_type.starts_with("image/")
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

/// Says no to an extension's dialog.
pub(in crate::agent::pi) fn cancel_dialog(id: &str) -> Vec<u8> {
    json!({ "type": "extension_ui_response", "id": id, "cancelled": true })
        .to_string()
        .into_bytes()
}
