//! A server that answers every call of the contract with messages in which every text is hostile.

use axum::{body::Body, extract::Request, response::Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::StreamBody;
use prost::Message as _;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    Value,
};
use std::collections::HashMap;
use tonic::{Code, Status, service::Routes, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};

/// OSC, CSI, C1, and characters that turn the direction of writing; the last word is looked for.
pub(crate) const HOSTILE: &str =
    "a\x1b]0;title\x07\x1b[2J\u{9b}31m\u{9d}0;x\u{9c}\u{202e}\u{2066}\u{7f}\u{8}\rpwn";
/// What shows that a text was printed.
pub(crate) const MARK: &str = "pwn";

/// What the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// The call succeeds.
    Answers,
    /// The call is refused.
    Refuses,
}

/// Starts it; gives its address.
pub(crate) async fn start(mood: Mood) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("bound");
    let router = axum::Router::new().fallback(move |request: Request| answer(request, mood));
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(
        Server::builder()
            .add_routes(Routes::from(router))
            .serve_with_incoming(incoming),
    );
    format!("http://{address}")
}

async fn answer(request: Request, mood: Mood) -> Response {
    let pool = DescriptorPool::decode(quarterdeck::proto::DESCRIPTORS).expect("the build's");
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let method = path.split_once('/').and_then(|(service, method)| {
        let service = pool.get_service_by_name(service)?;
        service.methods().find(|it| it.name() == method)
    });
    let is_call = method.is_some() || path.starts_with("grpc.health.");
    if mood == Mood::Refuses && is_call {
        let mut details = ErrorDetails::new();
        details.set_error_info(HOSTILE, "quarterdeck", HashMap::new());
        details.add_bad_request_violation(HOSTILE, HOSTILE);
        details.add_bad_request_violation("other", HOSTILE);
        let status = Status::with_error_details(Code::InvalidArgument, HOSTILE, details);
        return status.into_http::<Body>();
    }
    let Some(method) = method else {
        // Not a call of the contract, such as `/mcp`.
        return Response::builder()
            .status(400)
            .body(Body::from(HOSTILE))
            .expect("an answer");
    };
    let mut frames = Vec::new();
    let output = method.output();
    let variants = if method.is_server_streaming() {
        variants(&output)
    } else {
        vec![0]
    };
    for (seq, variant) in (1..).zip(variants) {
        let mut message = fill(&output, variant, 0);
        if output.name() == "GatewayEvent" {
            set(&mut message, "seq", Value::I64(seq));
            set(&mut message, "log_id", Value::String("one".into()));
        }
        frames.push(framed(&message));
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let frames = frames
        .into_iter()
        .map(http_body::Frame::data)
        .chain([http_body::Frame::trailers(trailers)])
        .map(Ok::<_, std::convert::Infallible>);
    Response::builder()
        .header("content-type", "application/grpc")
        .body(Body::new(StreamBody::new(tokio_stream::iter(frames))))
        .expect("an answer")
}

fn framed(message: &DynamicMessage) -> Bytes {
    let body = message.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(body.len()).expect("small"));
    frame.put_slice(&body);
    frame.freeze()
}

fn set(message: &mut DynamicMessage, field: &str, value: Value) {
    message.set_field_by_name(field, value);
}

/// Numbers of the kinds of a stream's messages; those that end a stream come last.
fn variants(descriptor: &MessageDescriptor) -> Vec<usize> {
    let Some(kind) = descriptor.oneofs().find(|it| it.name() == "kind") else {
        return vec![0];
    };
    let ends = |name: &str| usize::from(["turn_ended", "session_deleted"].contains(&name));
    let mut order: Vec<(usize, usize)> = kind
        .fields()
        .enumerate()
        .map(|(at, field)| (ends(field.name()), at))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at)| at).collect()
}

/// A message whose every field is set; of a oneof the one with the number `variant`.
fn fill(descriptor: &MessageDescriptor, variant: usize, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            set(&mut message, "seconds", Value::I64(1_700_000_000));
            return message;
        }
        "google.protobuf.Duration" => {
            set(&mut message, "seconds", Value::I64(1));
            return message;
        }
        _ => {}
    }
    for field in descriptor.fields() {
        if let Some(oneof) = field.containing_oneof() {
            let fields: Vec<FieldDescriptor> = oneof.fields().collect();
            if fields[variant % fields.len()] != field {
                continue;
            }
        }
        if let Some(value) = value_of(&field, variant, depth) {
            message.set_field(&field, value);
        }
    }
    message
}

fn value_of(field: &FieldDescriptor, variant: usize, depth: usize) -> Option<Value> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            return None;
        };
        let value = single(&entry.map_entry_value_field(), variant, depth)?;
        return Some(Value::Map(HashMap::from([(
            MapKey::String(HOSTILE.into()),
            value,
        )])));
    }
    if field.cardinality() == Cardinality::Repeated {
        // Of messages with choices, each choice.
        let values = (0..4).filter_map(|variant| single(field, variant, depth));
        return Some(Value::List(values.collect()));
    }
    single(field, variant, depth)
}

fn single(field: &FieldDescriptor, variant: usize, depth: usize) -> Option<Value> {
    Some(match field.kind() {
        // No list goes on for ever.
        Kind::String if field.name().ends_with("page_token") => return None,
        Kind::String => Value::String(HOSTILE.into()),
        Kind::Bytes => Value::Bytes(Bytes::from_static(HOSTILE.as_bytes())),
        Kind::Bool => Value::Bool(true),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(1),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(1),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(1),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(1),
        Kind::Float => Value::F32(1.0),
        Kind::Double => Value::F64(1.0),
        Kind::Enum(kinds) => {
            let numbers: Vec<i32> = kinds.values().map(|it| it.number()).collect();
            Value::EnumNumber(numbers[(1 + variant) % numbers.len()])
        }
        Kind::Message(_) if depth > 5 => return None,
        Kind::Message(descriptor) => Value::Message(fill(&descriptor, variant, depth + 1)),
    })
}
