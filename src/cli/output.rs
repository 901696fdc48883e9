//! Standard output: text for people, or one JSON object a line in the canonical form of protobuf.

use super::failure::Failure;
use prost_reflect::{DescriptorPool, DynamicMessage};
use quarterdeck::proto::DESCRIPTORS;
use std::{
    io::{self, Write},
    sync::LazyLock,
    time::SystemTime,
};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("the build made them"));

/// Writes text as it is, at once.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    Ok(raw(text)?)
}

/// As [`write`], for who deals with the error.
pub(crate) fn raw(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes one line.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    write(&format!("{text}\n"))
}

/// Rows in columns that stand below each other.
pub(crate) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A time to the second, in UTC.
pub(crate) fn date(time: Option<prost_types::Timestamp>) -> String {
    time.and_then(|time| SystemTime::try_from(time).ok())
        .map_or_else(
            || "never".to_owned(),
            |time| humantime::format_rfc3339_seconds(time).to_string(),
        )
}

/// Writes a message of `quarterdeck.v1` as one line of JSON.
pub(crate) fn json<M: prost::Message>(name: &str, message: &M) -> Result<(), Failure> {
    line(&to_json(name, message))
}

fn to_json<M: prost::Message>(name: &str, message: &M) -> String {
    let descriptor = POOL
        .get_message_by_name(&format!("quarterdeck.v1.{name}"))
        .expect("callers name messages of the contract");
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic
        .transcode_from(message)
        .expect("the same proto made both");
    serde_json::to_string(&dynamic).expect("every message has a JSON form")
}

/// Reads a message of `quarterdeck.v1` from one line of JSON; the error says what is wrong with it.
pub(crate) fn from_json<M: prost::Message + Default>(name: &str, text: &str) -> Result<M, String> {
    let descriptor = POOL
        .get_message_by_name(&format!("quarterdeck.v1.{name}"))
        .expect("callers name messages of the contract");
    let mut json = serde_json::Deserializer::from_str(text);
    let dynamic =
        DynamicMessage::deserialize(descriptor, &mut json).map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    dynamic.transcode_to().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck::proto::{GatewayEvent, Token, gateway_event::Kind};

    #[test]
    fn json_is_the_canonical_form() {
        let event = GatewayEvent {
            session_key: "main".into(),
            after_seq: 7,
            kind: Some(Kind::Token(Token {
                delta: "hi".into(),
                content_index: 1,
                offset: 0,
            })),
            ..GatewayEvent::default()
        };
        assert_eq!(
            to_json("GatewayEvent", &event),
            r#"{"sessionKey":"main","afterSeq":"7","token":{"delta":"hi","contentIndex":1}}"#
        );
    }
}
