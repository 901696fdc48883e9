//! The codec of our services: protobuf, and a bound on what a request becomes in memory.
//!
//! Two bytes are an empty attachment, which takes a hundred in memory: a message within its bound of bytes could become
//! forty times as large before anyone counts its attachments. So the fields of a message are counted before it is
//! decoded, after decompression, those of its inner messages with them. What remains is at most the message itself
//! (packed numbers: four times as much) and some hundred bytes for each of [`FIELDS_MAX`] fields.
//!
//! The walk takes no memory. It goes as deep as the contract's messages go, and at most [`DEPTH_MAX`] levels.

use crate::{domain::Refusal, proto::DESCRIPTORS};
use bytes::Buf;
use prost::{Message, Name};
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type as FieldType};
use std::{collections::HashMap, marker::PhantomData, sync::LazyLock};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// Fields of one request, those of inner messages and unknown ones included. A request that keeps every bound of its
/// own has some hundreds.
pub const FIELDS_MAX: usize = 16 * 1024;
/// Messages inside of messages; what prost bears too.
const DEPTH_MAX: usize = 100;

/// Messages of the contract, and where others stand in them.
static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::of_descriptors);

/// Protobuf, with requests bounded. What the generated servers use.
#[derive(Clone, Debug)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

/// Decodes a message once its fields are counted.
#[derive(Clone, Debug)]
pub struct BoundedDecoder<U> {
    inner: ProstDecoder<U>,
    message: usize,
}

/// For each message its fields that are messages, by number: the place of their type in the list.
#[derive(Debug)]
struct Contract {
    places: HashMap<String, usize>,
    messages: Vec<HashMap<u64, usize>>,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    /// More than its bound.
    #[error("it has more than {FIELDS_MAX} fields")]
    Fields,
    /// More than its bound.
    #[error("its messages are more than {DEPTH_MAX} deep")]
    Depth,
    /// No protobuf.
    #[error("its fields are cut or broken")]
    Broken,
    /// The old way to write a message inside of another one, which proto3 does not have.
    #[error("it has a group")]
    Group,
}

/// Counts the fields of one request.
struct Count<'c> {
    contract: &'c Contract,
    left: usize,
}

// === impl BoundedCodec ===

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder {
            inner: ProstDecoder::default(),
            message: CONTRACT.place(&U::full_name()),
        }
    }
}

// === impl BoundedDecoder ===

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // tonic hands on a whole message in one piece.
        let message = buffer.chunk();
        debug_assert_eq!(message.len(), buffer.remaining());
        CONTRACT.check(self.message, message).map_err(|problem| {
            let problem = problem.to_string();
            Refusal::MalformedRequest { problem }
        })?;
        self.inner.decode(buffer)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.inner.buffer_settings()
    }
}

// === impl Contract ===

impl Contract {
    fn of_descriptors() -> Self {
        let set = FileDescriptorSet::decode(DESCRIPTORS).expect("the build wrote it");
        let mut all = Vec::new();
        for file in &set.file {
            for message in &file.message_type {
                flatten(file.package(), message, &mut all);
            }
        }
        let named = all.iter().enumerate();
        let places: HashMap<String, usize> = named
            .map(|(place, (name, _))| (name.clone(), place))
            .collect();
        let inner = |message: &DescriptorProto| {
            let fields = message.field.iter();
            let messages = fields.filter(|field| field.r#type() == FieldType::Message);
            messages
                .map(|field| {
                    let number = u64::try_from(field.number()).expect("numbers are positive");
                    let name = field.type_name().trim_start_matches('.');
                    (number, places[name])
                })
                .collect()
        };
        let messages = all.iter().map(|(_, message)| inner(message)).collect();
        Self { places, messages }
    }

    fn place(&self, name: &str) -> usize {
        self.places[name]
    }

    fn check(&self, message: usize, bytes: &[u8]) -> Result<(), Problem> {
        let left = FIELDS_MAX;
        let contract = self;
        Count { contract, left }.message(message, bytes, DEPTH_MAX)
    }
}

fn flatten<'d>(
    parent: &str,
    message: &'d DescriptorProto,
    all: &mut Vec<(String, &'d DescriptorProto)>,
) {
    let name = format!("{parent}.{}", message.name());
    for nested in &message.nested_type {
        flatten(&name, nested, all);
    }
    all.push((name, message));
}

// === impl Count ===

impl Count<'_> {
    fn message(&mut self, message: usize, mut rest: &[u8], depth: usize) -> Result<(), Problem> {
        let depth = depth.checked_sub(1).ok_or(Problem::Depth)?;
        while !rest.is_empty() {
            self.left = self.left.checked_sub(1).ok_or(Problem::Fields)?;
            let key = varint(&mut rest)?;
            match key & 7 {
                0 => drop(varint(&mut rest)?),
                1 => drop(take(&mut rest, 8)?),
                2 => {
                    let length = varint(&mut rest)?;
                    let value = take(&mut rest, length)?;
                    if let Some(inner) = self.contract.messages[message].get(&(key >> 3)) {
                        self.message(*inner, value, depth)?;
                    }
                }
                3 | 4 => return Err(Problem::Group),
                5 => drop(take(&mut rest, 4)?),
                _ => return Err(Problem::Broken),
            }
        }
        Ok(())
    }
}

fn varint(rest: &mut &[u8]) -> Result<u64, Problem> {
    prost::decode_length_delimiter(&mut *rest)
        .map_err(|_| Problem::Broken)
        .map(|number| number as u64)
}

fn take<'b>(rest: &mut &'b [u8], length: u64) -> Result<&'b [u8], Problem> {
    let length = usize::try_from(length).map_err(|_| Problem::Broken)?;
    let (taken, after) = rest.split_at_checked(length).ok_or(Problem::Broken)?;
    *rest = after;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;
    use prost::encoding::{WireType, encode_key, encode_varint};

    fn check<U: Name>(bytes: &[u8]) -> Result<(), Problem> {
        CONTRACT.check(CONTRACT.place(&U::full_name()), bytes)
    }

    fn enqueue(attachments: usize) -> Vec<u8> {
        let request = proto::EnqueueRequest {
            attachments: vec![proto::Attachment::default(); attachments],
            ..Default::default()
        };
        request.encode_to_vec()
    }

    /// SECURITY.md, messages: 18 MiB of empty attachments would be 700 MB once decoded.
    #[test]
    fn fields_are_counted_where_they_stand() {
        assert_eq!(check::<proto::EnqueueRequest>(&enqueue(FIELDS_MAX)), Ok(()));
        let many = enqueue(FIELDS_MAX + 1);
        assert_eq!(check::<proto::EnqueueRequest>(&many), Err(Problem::Fields));
        // Inside of another message, and as values of a map.
        let enqueue = proto::EnqueueRequest::decode(&many[..]).expect("it is one");
        let run = proto::RunRequest {
            enqueue: Some(enqueue),
            ..Default::default()
        };
        let run = run.encode_to_vec();
        assert_eq!(check::<proto::RunRequest>(&run), Err(Problem::Fields));
        let values = (0..FIELDS_MAX).map(|number| (number.to_string(), String::new()));
        let update = proto::UpdateConfigRequest {
            values: values.collect(),
            ..Default::default()
        };
        let update = update.encode_to_vec();
        assert_eq!(
            check::<proto::UpdateConfigRequest>(&update),
            Err(Problem::Fields)
        );
    }

    /// What the contract does not know is text to this walk: it is skipped by its length.
    #[test]
    fn unknown_fields_count_once_and_texts_are_not_looked_into() {
        let mut unknown = Vec::new();
        for _ in 0..FIELDS_MAX {
            encode_key(1000, WireType::LengthDelimited, &mut unknown);
            encode_varint(2, &mut unknown);
            unknown.extend([0x0a, 0x00]);
        }
        assert_eq!(check::<proto::GetSessionRequest>(&unknown), Ok(()));
        unknown.extend([0x50, 0x01]);
        let refused = check::<proto::GetSessionRequest>(&unknown);
        assert_eq!(refused, Err(Problem::Fields));
        let request = proto::EnqueueRequest {
            text: "\u{a}".repeat(100_000),
            ..Default::default()
        };
        assert_eq!(
            check::<proto::EnqueueRequest>(&request.encode_to_vec()),
            Ok(())
        );
    }

    #[test]
    fn groups_and_torn_fields_are_no_message() {
        for (bytes, problem) in [
            (&[0x0b, 0x0c][..], Problem::Group),
            (&[0x0a, 0x05, 0x61], Problem::Broken),
            (&[0x80], Problem::Broken),
            (&[0x0e], Problem::Broken),
            (&[0x09, 1, 2, 3], Problem::Broken),
            (
                &[
                    0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                ],
                Problem::Broken,
            ),
        ] {
            assert_eq!(
                check::<proto::EnqueueRequest>(bytes),
                Err(problem),
                "{bytes:?}"
            );
        }
    }

    /// A message that stands in itself can't take the stack, whatever a later contract has.
    #[test]
    fn the_walk_goes_no_deeper_than_its_bound() {
        let contract = Contract {
            places: HashMap::new(),
            messages: vec![HashMap::from([(1, 0)])],
        };
        let mut deep = Vec::new();
        for level in 0..DEPTH_MAX {
            let bounded = contract.check(0, &deep);
            assert_eq!(bounded, Ok(()), "{level}");
            let mut outer = vec![0x0a];
            encode_varint(deep.len() as u64, &mut outer);
            outer.extend(&deep);
            deep = outer;
        }
        assert_eq!(contract.check(0, &deep), Err(Problem::Depth));
    }

    /// R16. And what prost decodes and encodes passes, so the walk knows all that prost knows.
    #[test]
    fn any_bytes_are_walked_and_decoded_without_a_panic() {
        let full = proto::EnqueueRequest {
            session_key: "main".into(),
            text: "hello".into(),
            attachments: vec![proto::Attachment {
                media_type: "text/plain".into(),
                data: "data".into(),
                ..Default::default()
            }],
            metadata: [("a".into(), "b".into())].into(),
            turn_timeout: Some(prost_types::Duration {
                seconds: 1,
                nanos: 2,
            }),
            ..Default::default()
        };
        let run = proto::RunRequest {
            enqueue: Some(full),
            ..Default::default()
        };
        crate::fuzz::fuzz(&[&run.encode_to_vec(), b"\x0b\x0c", b""], |bytes| {
            let checked = check::<proto::RunRequest>(bytes);
            if let Ok(decoded) = proto::RunRequest::decode(bytes) {
                let again = check::<proto::RunRequest>(&decoded.encode_to_vec());
                assert_eq!(again, Ok(()));
                assert!(matches!(checked, Ok(()) | Err(Problem::Group)));
            }
        });
    }
}
