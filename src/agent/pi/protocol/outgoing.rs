//! Lines for pi.

use crate::domain::turn::Attachment;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

/// A command without fields.
pub(in crate::agent::pi) fn command(kind: &str, id: &str) -> Vec<u8> {
    json!({ "type": kind, "id": id }).to_string().into_bytes()
}

/// `compact`; `instructions` may be empty.
pub(in crate::agent::pi) fn compact(id: &str, instructions: &str) -> Vec<u8> {
    let mut line = json!({ "type": "compact", "id": id });
    if !instructions.is_empty() {
        line["customInstructions"] = instructions.into();
    }
    line.to_string().into_bytes()
}

/// `prompt` and `steer`: a text that has the files in it already, and the images among the attachments.
pub(in crate::agent::pi) fn message(
    kind: &str,
    id: &str,
    text: &str,
    attachments: &[Attachment],
) -> Vec<u8> {
    let images = attachments.iter().filter(|it| it.reference.is_image());
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
