//! Events as bytes: a **body** is a `GatewayEvent` without `session_key`, `log_id`, `seq` and `after_seq`, encoded once
//! and shared by store, tail and readers. A **frame** is what stands on the wire: the five bytes of a gRPC message head,
//! those four fields (protobuf fields may stand in any order), the body.
//!
//! Field numbers are those of `event.proto`; a test pins them against the generated code.

use super::encode;
use crate::{
    domain::{
        event::{Event, Json},
        ids::{LogId, SessionKey, Time},
        message::Part,
        turn::AttachmentRef,
    },
    proto,
};
use bytes::{BufMut, Bytes, BytesMut};
use prost::{Message as _, encoding::encode_varint};
use proto::gateway_event::Kind;
use uuid::Uuid;

/// Bytes of a gRPC message head: a flag (0: not compressed) and the length.
pub const HEAD_BYTES: usize = 5;

/// `session_key` and `log_id` of one log, encoded once.
#[derive(Clone, Debug)]
pub struct LogPrefix(Bytes);

/// Which of the two sequence fields a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A durable event's own place.
    Seq(i64),
    /// The durable event that an ephemeral one follows.
    AfterSeq(i64),
}

/// A durable event's body.
pub fn event_body(
    time: Time,
    turn_id: Option<Uuid>,
    item_id: Option<Uuid>,
    generation: i64,
    event: &Event,
) -> Bytes {
    body(time, turn_id, item_id, generation, encode::event(event))
}

/// Any event's body.
pub fn body(
    time: Time,
    turn_id: Option<Uuid>,
    item_id: Option<Uuid>,
    generation: i64,
    kind: Kind,
) -> Bytes {
    proto::GatewayEvent {
        event_time: Some(encode::timestamp(time)),
        turn_id: turn_id.map(|id| id.to_string()).unwrap_or_default(),
        item_id: item_id.map(|id| id.to_string()).unwrap_or_default(),
        generation,
        kind: Some(kind),
        ..Default::default()
    }
    .encode_to_vec()
    .into()
}

/// One frame of an event that is whole.
pub fn frame(event: &proto::GatewayEvent) -> Bytes {
    let length = event.encoded_len();
    let mut out = BytesMut::with_capacity(HEAD_BYTES + length);
    out.put_u8(0);
    out.put_u32(u32::try_from(length).expect("an event is at most 1 MiB"));
    event.encode_raw(&mut out);
    out.freeze()
}

/// A body as a message again, with its place.
///
/// # Errors
/// The bytes are no event: the store is damaged.
pub fn message(
    key: &SessionKey,
    log_id: LogId,
    position: Position,
    body: &[u8],
) -> Result<proto::GatewayEvent, prost::DecodeError> {
    let mut event = proto::GatewayEvent::decode(body)?;
    event.session_key = key.to_string();
    event.log_id = log_id.to_string();
    match position {
        Position::Seq(seq) => event.seq = seq,
        Position::AfterSeq(seq) => event.after_seq = seq,
    }
    Ok(event)
}

/// Parts of a message as the store keeps them.
pub fn encode_parts(parts: &[Part]) -> Vec<u8> {
    proto::Message {
        parts: parts.iter().map(encode::part).collect(),
        ..Default::default()
    }
    .encode_to_vec()
}

/// Parts that [`encode_parts`] wrote. Bytes that are none give no parts.
pub fn decode_parts(bytes: &[u8]) -> Vec<Part> {
    let Ok(message) = proto::Message::decode(bytes) else {
        return Vec::new();
    };
    message.parts.into_iter().filter_map(decode_part).collect()
}

pub(crate) fn decode_part(part: proto::MessagePart) -> Option<Part> {
    use proto::message_part::Part as P;
    let content_index = part.content_index;
    Some(match part.part? {
        P::Text(proto::TextPart { text }) => Part::Text {
            content_index,
            text,
        },
        P::Thinking(proto::ThinkingPart { text }) => Part::Thinking {
            content_index,
            text,
        },
        P::ToolCall(call) => {
            let is_error = call.state() == proto::ToolCallState::Error;
            Part::ToolCall {
                tool_call_id: call.tool_call_id,
                tool_name: call.tool_name,
                args: Json {
                    text: call.args_json,
                    full_size: None,
                },
                result: Json {
                    text: call.result_json,
                    full_size: usize::try_from(call.full_size).ok().filter(|n| *n > 0),
                },
                is_error,
            }
        }
        P::Attachment(reference) => Part::Attachment(AttachmentRef {
            attachment_id: reference.attachment_id,
            name: reference.name,
            media_type: reference.media_type,
            size: reference.size,
        }),
    })
}

// === impl LogPrefix ===

impl LogPrefix {
    /// Encodes what all frames of a log share.
    pub fn new(key: &SessionKey, log_id: LogId) -> Self {
        let shared = proto::GatewayEvent {
            session_key: key.to_string(),
            log_id: log_id.to_string(),
            ..Default::default()
        };
        Self(shared.encode_to_vec().into())
    }

    /// Bytes that a frame has beyond its body, at most.
    pub fn overhead(&self) -> usize {
        HEAD_BYTES + self.0.len() + 1 + 10
    }

    /// Appends one frame.
    pub fn put_frame(&self, out: &mut BytesMut, position: Position, body: &[u8]) {
        let (tag, seq) = match position {
            // Wire type 0 (varint) of fields 3 and 4.
            Position::Seq(seq) => (3u8 << 3, seq),
            Position::AfterSeq(seq) => (4u8 << 3, seq),
        };
        out.reserve(self.overhead() + body.len());
        let start = out.len();
        out.put_bytes(0, HEAD_BYTES);
        out.put_slice(&self.0);
        if seq != 0 {
            out.put_u8(tag);
            encode_varint(seq.cast_unsigned(), out);
        }
        out.put_slice(body);
        let length =
            u32::try_from(out.len() - start - HEAD_BYTES).expect("an event is at most 1 MiB");
        out[start + 1..start + HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    }

    /// One frame.
    pub fn frame(&self, position: Position, body: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(self.overhead() + body.len());
        self.put_frame(&mut out, position, body);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_decodes_to_the_event_with_its_place() {
        let key = SessionKey::parse("a:b").expect("a key");
        let log_id = LogId(Uuid::now_v7());
        let turn_id = Uuid::now_v7();
        let body = event_body(
            Time(1_700_000_000_123_456),
            Some(turn_id),
            None,
            3,
            &Event::AgentExited {
                message: "gone".into(),
            },
        );
        for position in [
            Position::Seq(1),
            Position::Seq(300),
            Position::AfterSeq(i64::MAX),
            Position::AfterSeq(0),
        ] {
            let frame = LogPrefix::new(&key, log_id).frame(position, &body);
            assert_eq!(frame[0], 0);
            let length = u32::from_be_bytes(frame[1..5].try_into().expect("four bytes"));
            assert_eq!(length as usize, frame.len() - HEAD_BYTES);
            let event = proto::GatewayEvent::decode(&frame[HEAD_BYTES..]).expect("an event");
            let expected = message(&key, log_id, position, &body).expect("an event");
            assert_eq!(event, expected);
            assert_eq!(event.session_key, "a:b");
            assert_eq!(event.turn_id, turn_id.to_string());
            match position {
                Position::Seq(seq) => assert_eq!((event.seq, event.after_seq), (seq, 0)),
                Position::AfterSeq(seq) => assert_eq!((event.seq, event.after_seq), (0, seq)),
            }
        }
    }

    #[test]
    fn parts_come_back_as_they_were() {
        let parts = vec![
            Part::Thinking {
                content_index: 0,
                text: "hm".into(),
            },
            Part::Text {
                content_index: 1,
                text: "ja".into(),
            },
            Part::ToolCall {
                tool_call_id: "c".into(),
                tool_name: "bash".into(),
                args: Json {
                    text: "{}".into(),
                    full_size: None,
                },
                result: Json {
                    text: "\"x\"".into(),
                    full_size: Some(9),
                },
                is_error: true,
            },
            Part::Attachment(AttachmentRef {
                attachment_id: "h".into(),
                name: "n".into(),
                media_type: "text/plain".into(),
                size: 4,
            }),
        ];
        assert_eq!(decode_parts(&encode_parts(&parts)), parts);
        assert_eq!(decode_parts(b"\xff\xff"), vec![]);
    }
}
