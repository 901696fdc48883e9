//! What goes to an agent as a prompt or a steer.

use super::facts::Facts;
use crate::agent::input::{literal, text_with_files};
use crate::domain::turn::Attachment;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// What memory's context is called where it stands beside the prompt.
const MEMORY_URI: &str = "quarterdeck://memory";

/// The blocks of a prompt: the conversation so far, where the agent lost it, what memory has for it, the text with its files, the images. Memory stands beside the text where the
/// agent takes that, else in front of it; its own marks tell it from what the user said. Next to images it stands in front as
/// well, since an agent was seen that drops them there.
pub(super) fn blocks(
    text: &str,
    attachments: &[Attachment],
    (transcript, memory_context): (&str, &str),
    facts: &Facts,
) -> Vec<Value> {
    let images: Vec<&Attachment> = (attachments.iter())
        .filter(|it| it.reference.is_image())
        .collect();
    let mut blocks = vec![];
    if !transcript.is_empty() {
        blocks.push(json!({ "type": "text", "text": transcript }));
    }
    if !memory_context.is_empty() {
        let beside = facts.embedded && (images.is_empty() || !facts.images);
        blocks.push(if beside {
            let resource =
                json!({ "uri": MEMORY_URI, "mimeType": "text/plain", "text": memory_context });
            json!({ "type": "resource", "resource": resource })
        } else {
            json!({ "type": "text", "text": memory_context })
        });
    }
    let mut text = literal(text_with_files(text.to_owned(), attachments));
    if !facts.images {
        for Attachment { reference, .. } in &images {
            let name = json!(reference.name);
            text.push_str(&format!(
                "\n\n<file name={name}>\n(not shown: the agent takes no images)\n</file>"
            ));
        }
    }
    blocks.push(json!({ "type": "text", "text": text }));
    if facts.images {
        blocks.extend(images.into_iter().map(|Attachment { reference, data }| {
            json!({ "type": "image", "data": STANDARD.encode(data), "mimeType": reference.media_type })
        }));
    }
    blocks
}
