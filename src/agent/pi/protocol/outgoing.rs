//! Lines for pi.

use crate::domain::turn::Attachment;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

/// A command without fields.
pub(in crate::agent::pi) fn command(kind: &str, id: &str) -> Vec<u8> {
    json!({ "type": kind, "id": id }).to_string().into_bytes()
}

/// `prompt` and `steer`: text and images; other attachments are put into the text.
pub(in crate::agent::pi) fn message(
    kind: &str,
    id: &str,
    text: &str,
    attachments: &[Attachment],
) -> Vec<u8> {
    let mut text = text.to_owned();
    let mut images = Vec::new();
    for Attachment { reference, data } in attachments {
        if reference.media_type.starts_with("image/") {
            images.push(json!({
                "type": "image", "data": STANDARD.encode(data), "mimeType": reference.media_type,
            }));
        } else {
            let content = std::str::from_utf8(data)
                .unwrap_or("(not shown: the agent takes only text and images)");
            text.push_str(&format!(
                "\n\n<file name={}>\n{content}\n</file>",
                json!(reference.name)
            ));
        }
    }
    let mut line = json!({ "type": kind, "id": id, "message": text });
    if !images.is_empty() {
        line["images"] = images.into();
    }
    line.to_string().into_bytes()
}

/// Says no to an extension's dialog.
pub(in crate::agent::pi) fn cancel_dialog(id: &str) -> Vec<u8> {
    json!({ "type": "extension_ui_response", "id": id, "cancelled": true })
        .to_string()
        .into_bytes()
}
