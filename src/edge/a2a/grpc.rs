//! The gRPC binding, `lf.a2a.v1.A2AService`: a request's `tenant` is the agent, and empty the default one. What comes in is
//! read by its description (`a2a.proto`), bounded first, and is the JSON of the other bindings from there on.

use super::{Answer, Fault, call_of, check_version, stream, tasks};
use crate::{
    edge::{call::Door, transcode, turns::Caller, upload},
    grpc::{codec::FIELDS_MAX, handover::FRAME_HEADER_BYTES, status},
};
use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::{Buf as _, Bytes};
use futures_util::stream::unfold;
use http::{HeaderMap, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor,
};
use serde_json::{Map, Value as Json};
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, LazyLock},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The service.
const SERVICE: &str = "lf.a2a.v1.A2AService";
/// Messages inside of messages; the protocol's own need a few, its JSON as many as JSON may have here.
const DEPTH_MAX: usize = 100;
/// The type of every body.
const GRPC: &str = "application/grpc";

/// The protocol's messages. Decoded at the first call.
static PROTOCOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let description: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/a2a.binpb"));
    DescriptorPool::decode(description).expect("the build wrote it")
});

/// What is answered, a message each, and how it ended.
enum State {
    One(Bytes),
    Many(Box<stream::Stream>, MessageDescriptor, VecDeque<Bytes>),
    Ended(Option<Fault>),
    Over,
}

/// The path of the service.
pub(super) fn routes(door: Arc<Door>) -> Router {
    Router::new().route(
        "/lf.a2a.v1.A2AService/{method}",
        post(async move |Path(method): Path<String>, request: Request| {
            match answer(door, &method, request).await {
                Ok(state) => answered(state),
                Err(fault) => status_of(fault).into_http::<Body>().into_response(),
            }
        }),
    )
}

async fn answer(door: Arc<Door>, method: &str, request: Request) -> Result<State, Fault> {
    let (parts, body) = request.into_parts();
    if !upload::content_type(&parts.headers).starts_with(GRPC) {
        let message = "send `Content-Type: application/grpc`";
        return Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "CONTENT_TYPE_NOT_SUPPORTED",
            message,
        ));
    }
    let call = call_of(method)?;
    let service = PROTOCOL.get_service_by_name(SERVICE);
    let known = service.and_then(|it| it.methods().find(|one| one.name() == method));
    let known = known.ok_or_else(|| status::bug(&format!("the protocol has no {method}")));
    let known = known.map_err(Status::from)?;
    let caller = Caller::new(door, parts.clone());
    let (frame, _share) = caller.bytes(body).await?;
    check_version(&parts)?;
    let mut params = params(&known, frame)?;
    let agent = match params.remove("tenant") {
        Some(Json::String(agent)) if !agent.is_empty() => agent,
        Some(_) | None => caller.server().await?.default_agent,
    };
    let output = known.output();
    Ok(
        match tasks::answer(caller.clone(), &agent, call, params).await? {
            Answer::One(json) => State::One(message(&output, &json)?),
            Answer::Many(stream) => State::Many(stream, output, VecDeque::new()),
        },
    )
}

/// The one message of a request, as JSON.
fn params(method: &MethodDescriptor, mut frame: Bytes) -> Result<Map<String, Json>, Fault> {
    let header = frame.first_chunk::<FRAME_HEADER_BYTES>().copied();
    let Some([compressed, length @ ..]) = header else {
        return Err(Fault::invalid("the request has no message"));
    };
    frame.advance(FRAME_HEADER_BYTES);
    if compressed != 0 || frame.len() != u32::from_be_bytes(length) as usize {
        return Err(Fault::invalid(
            "the request must be one message, not compressed",
        ));
    }
    let mut left = FIELDS_MAX;
    count(&method.input(), &frame, DEPTH_MAX, &mut left)
        .ok_or_else(|| Fault::invalid("the message is broken, or has too many fields"))?;
    let message = DynamicMessage::decode(method.input(), frame);
    let message = message.map_err(|error| Fault::invalid(&error.to_string()))?;
    match serde_json::to_value(&message) {
        Ok(Json::Object(params)) => Ok(params),
        Ok(_) | Err(_) => Err(Fault::invalid("the message holds what JSON can't say")),
    }
}

/// Counts the fields of a message, those of inner ones with them, before it takes memory; `None` where it is broken, or has
/// more than `left`.
fn count(of: &MessageDescriptor, mut bytes: &[u8], depth: usize, left: &mut usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes).ok()?;
        *left = left.checked_sub(1)?;
        let length = match wire {
            WireType::Varint => {
                decode_varint(&mut bytes).ok()?;
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => {
                let length = decode_varint(&mut bytes).ok()?;
                usize::try_from(length).ok()?
            }
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let (field, rest) = bytes.split_at_checked(length)?;
        if wire == WireType::LengthDelimited
            && let Some(Kind::Message(inner)) = of.get_field(number).map(|it| it.kind())
        {
            count(&inner, field, depth, left)?;
        }
        bytes = rest;
    }
    Some(())
}

/// A message of the protocol, framed.
fn message(of: &MessageDescriptor, json: &Json) -> Result<Bytes, Fault> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(of.clone(), json, &options);
    let message = message.map_err(|error| Status::from(status::bug(&error)))?;
    Ok(transcode::frame(&message))
}

fn answered(state: State) -> Response {
    let frames = unfold(state, |state| async move {
        let (frame, next) = next(state).await?;
        Some((Ok::<_, Infallible>(frame), next))
    });
    let kind = [(header::CONTENT_TYPE, GRPC)];
    (kind, Body::new(StreamBody::new(frames))).into_response()
}

async fn next(state: State) -> Option<(Frame<Bytes>, State)> {
    match state {
        State::One(message) => Some((Frame::data(message), State::Ended(None))),
        State::Many(mut stream, output, mut ready) => loop {
            if let Some(message) = ready.pop_front() {
                let state = State::Many(stream, output, ready);
                return Some((Frame::data(message), state));
            }
            let updates = match stream.next().await {
                None => return Some((trailers(None), State::Over)),
                Some(Err(fault)) => return Some((trailers(Some(fault)), State::Over)),
                Some(Ok(updates)) => updates,
            };
            for update in &updates {
                match message(&output, update) {
                    Ok(message) => ready.push_back(message),
                    Err(fault) => return Some((trailers(Some(fault)), State::Over)),
                }
            }
        },
        State::Ended(fault) => Some((trailers(fault), State::Over)),
        State::Over => None,
    }
}

fn trailers(fault: Option<Fault>) -> Frame<Bytes> {
    let status = fault.map_or_else(|| Status::new(Code::Ok, ""), status_of);
    let mut trailers = HeaderMap::new();
    // Both are ASCII: a message is escaped.
    let _ = status.add_header(&mut trailers);
    Frame::trailers(trailers)
}

/// A refusal as gRPC says it, with the protocol's reason.
fn status_of(fault: Fault) -> Status {
    let code = match (fault.reason.as_str(), fault.status) {
        ("METHOD_NOT_FOUND", _) => Code::Unimplemented,
        (
            "TASK_NOT_CANCELABLE"
            | "PUSH_NOTIFICATION_NOT_SUPPORTED"
            | "UNSUPPORTED_OPERATION"
            | "VERSION_NOT_SUPPORTED",
            _,
        ) => Code::FailedPrecondition,
        (_, StatusCode::UNAUTHORIZED) => Code::Unauthenticated,
        (_, StatusCode::FORBIDDEN) => Code::PermissionDenied,
        (_, StatusCode::NOT_FOUND) => Code::NotFound,
        (_, StatusCode::CONFLICT) => Code::FailedPrecondition,
        (_, StatusCode::TOO_MANY_REQUESTS) => Code::ResourceExhausted,
        (_, StatusCode::SERVICE_UNAVAILABLE) => Code::Unavailable,
        (_, it) if it.is_client_error() => Code::InvalidArgument,
        _ => Code::Internal,
    };
    let details = ErrorDetails::with_error_info(fault.reason, super::DOMAIN, HashMap::new());
    Status::with_error_details(code, fault.message, details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn input(method: &str) -> MethodDescriptor {
        let service = PROTOCOL.get_service_by_name(SERVICE).unwrap();
        service.methods().find(|it| it.name() == method).unwrap()
    }

    #[test]
    fn a_request_is_the_json_of_the_other_bindings() {
        let method = input("SendMessage");
        let said = json!({
            "tenant": "echo",
            "message": {
                "messageId": "m", "role": "ROLE_USER",
                "parts": [{ "text": "hello" }, { "raw": "aGk=", "mediaType": "text/plain" }],
            },
        });
        let frame = message(&method.input(), &said).unwrap();
        assert_eq!(Json::Object(params(&method, frame.clone()).unwrap()), said);
        for wrong in [frame.slice(..3), frame.slice(..frame.len() - 1), {
            let mut two = frame.to_vec();
            two.extend_from_slice(&frame);
            two.into()
        }] {
            assert!(params(&method, wrong).is_err());
        }
    }

    /// Two bytes are an empty part, which takes a hundred in memory.
    #[test]
    fn a_message_of_many_fields_is_refused_before_it_takes_memory() {
        let method = input("SendMessage");
        let inner = [0x2a, 0x00].repeat(FIELDS_MAX);
        let mut outer = vec![0x12];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend_from_slice(&inner);
        let mut left = FIELDS_MAX;
        assert_eq!(count(&method.input(), &outer, DEPTH_MAX, &mut left), None);
        let mut left = 2 * FIELDS_MAX;
        assert_eq!(
            count(&method.input(), &outer, DEPTH_MAX, &mut left),
            Some(())
        );
        for broken in [[0x12, 0x05].as_slice(), &[0x0b], &[0xff], &[0x08]] {
            assert_eq!(count(&method.input(), broken, DEPTH_MAX, &mut left), None);
        }
    }
}
