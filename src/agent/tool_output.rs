//! What tools give back. Passed on as the text that it came as; from results too large for an event the pictures are
//! taken out first, so that they are kept whole and the text beside them is not cut for their sake.

use super::json::{Object, list, readable};
use crate::agent::process::{LINE_MAX, STRING_KEPT_BYTES};
use crate::domain::{
    limits::{ATTACHMENT_MAX_BYTES, NAME_MAX_BYTES, TOOL_JSON_MAX_BYTES},
    turn::Attachment,
};
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{json, value::RawValue};

/// Takes base64 with and without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The largest picture that can be kept comes in one line, with as much besides.
const _: () = assert!(LINE_MAX >= ATTACHMENT_MAX_BYTES.div_ceil(3) * 4 + (1 << 20));
/// A cut result fills an event: what of it an event shows is what it began with.
const _: () = assert!(STRING_KEPT_BYTES >= TOOL_JSON_MAX_BYTES);
/// How a picture of no known form is called.
const UNKNOWN_FORM: &str = "image/png";

/// What a tool gave back, or gave so far.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ToolOutput {
    /// JSON text. In place of the `data` of each picture that was taken out stand its `attachmentId` and `size`.
    pub(super) json: String,
    /// The pictures that were taken out.
    pub(super) pictures: Vec<Attachment>,
    /// How large it was, in bytes, where strings in it were cut: the line was too long.
    pub(super) full_size: Option<usize>,
}

/// What becomes of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pictures {
    /// They are kept.
    Kept,
    /// They are only told of: another result follows.
    Told,
}

// === impl ToolOutput ===

impl ToolOutput {
    /// The `result` of an execution. `cut`: bytes that are missing in its line.
    pub(super) fn of(result: Option<&RawValue>, cut: usize) -> Self {
        Self::with(result, cut, Pictures::Kept)
    }

    /// The JSON text of a `partialResult`.
    pub(super) fn partial(result: Option<&RawValue>, cut: usize) -> String {
        Self::with(result, cut, Pictures::Told).json
    }

    /// The message that goes with an execution's end: the same result once more.
    pub(super) fn of_message(message: Option<&RawValue>, cut: usize) -> Self {
        let message = Object::of(message);
        let field = |name| message.get(name).map_or("null", RawValue::get);
        let result = format!(
            "{{\"content\":{},\"details\":{}}}",
            field("content"),
            field("details")
        );
        let result = RawValue::from_string(result).ok();
        Self::of(result.as_deref(), cut)
    }

    fn with(result: Option<&RawValue>, cut: usize, pictures: Pictures) -> Self {
        let json = result.map_or_else(|| "null".into(), |result| readable(result.get()));
        let mut output = Self {
            full_size: (cut > 0).then(|| json.len() + cut),
            ..Self::default()
        };
        let small = json.len() <= TOOL_JSON_MAX_BYTES && cut == 0;
        if small || !json.contains("\"image\"") {
            output.json = json.into_owned();
            return output;
        }
        let Ok(fields) = Object::parse(&json) else {
            output.json = json.clone().into_owned();
            return output;
        };
        let fields = fields.fields().map(|(name, value)| {
            let value = match name {
                "content" => output.content(value, pictures),
                _ => value.get().to_owned(),
            };
            format!("{}:{value}", json!(name))
        });
        let fields: Vec<String> = fields.collect();
        output.json = format!("{{{}}}", fields.join(","));
        output
    }

    fn content(&mut self, content: &RawValue, pictures: Pictures) -> String {
        if content.get().starts_with('[') {
            let parts: Vec<String> = list(Some(content))
                .into_iter()
                .map(|part| self.part(part, pictures))
                .collect();
            format!("[{}]", parts.join(","))
        } else {
            content.get().to_owned()
        }
    }

    fn part(&mut self, part: &RawValue, pictures: Pictures) -> String {
        let fields = Object::of(Some(part));
        if fields.text("type") != "image" || fields.get("data").is_none() {
            return part.get().to_owned();
        }
        let data = fields.text("data");
        let mut media_type = fields.text("mimeType");
        let is_picture = media_type.strip_prefix("image/").is_some_and(|form| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b".+-".contains(&byte);
            !form.is_empty() && form.bytes().all(known)
        });
        if !is_picture || media_type.len() > NAME_MAX_BYTES {
            media_type = UNKNOWN_FORM.into();
        }
        if pictures == Pictures::Told {
            let told = json!({ "type": "image", "mimeType": media_type, "base64Size": data.len() });
            return told.to_string();
        }
        let whole = self.full_size.is_none() || data.len() < STRING_KEPT_BYTES;
        let picture = whole.then(|| BASE64.decode(data.as_bytes()).ok()).flatten();
        let picture = picture.filter(|it| !it.is_empty() && it.len() <= ATTACHMENT_MAX_BYTES);
        match picture {
            Some(picture) => {
                let form = media_type.rsplit(['/', '+']).next().unwrap_or_default();
                let number = self.pictures.len() + 1;
                let name = format!("picture-{number}.{form}");
                let picture = Attachment::new(name, media_type, picture.into());
                let reference = &picture.reference;
                let told = json!({
                    "type": "image",
                    "mimeType": reference.media_type,
                    "attachmentId": reference.attachment_id,
                    "size": reference.size,
                });
                self.pictures.push(picture);
                told.to_string()
            }
            // Of no use to anyone in part.
            None => {
                let told = json!({
                    "type": "image",
                    "mimeType": media_type,
                    "omitted": "the picture is too large to be kept, or no base64",
                });
                told.to_string()
            }
        }
    }
}
