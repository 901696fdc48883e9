//! Connect's protocol in its JSON form, unary calls and server streams: `POST /package.Service/Method`.
//!
//! Facts of the protocol: <https://connectrpc.com/docs/protocol>.

use super::{
    call::{Answer, Door},
    routes::{Endpoint, endpoint},
    transcode::{self, Unknown},
    upload::{self, content_type},
    whole::whole,
};
use crate::{
    domain::Refusal,
    grpc::{
        handover::{FRAME_HEADER_BYTES, frame},
        status,
    },
};
use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use prost::Message;
use prost_reflect::MessageDescriptor;
use serde_json::{Value as Json, json};
use std::{convert::Infallible, sync::Arc};
use tonic::{Code, Status};

/// The caller's deadline, in milliseconds.
const TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
/// Digits of [`TIMEOUT`], by the protocol.
const TIMEOUT_MAX_DIGITS: usize = 10;
/// Flag of the envelope that ends a stream.
const END: u8 = 2;

/// Answers calls in Connect's manner, and lets all others pass.
pub(super) async fn answer(door: Arc<Door>, request: Request, next: Next) -> Response {
    let streams = match content_type(request.headers()) {
        "application/json" => false,
        "application/connect+json" => true,
        _ => return next.run(request).await,
    };
    let Some(endpoint) = endpoint(request.uri().path()) else {
        return next.run(request).await;
    };
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    if endpoint.method.streams != streams {
        let takes = match endpoint.method.streams {
            true => "application/connect+json",
            false => "application/json",
        };
        let kind = [(HeaderName::from_static("accept-post"), takes)];
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, kind).into_response();
    }
    let answered = call(&door, endpoint, request).await;
    match streams {
        true => streamed(endpoint.output.clone(), answered),
        false => match answered {
            Ok(answer) => whole(endpoint, answer).await,
            Err(refused) => Err(refused),
        }
        .unwrap_or_else(|refused| {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            let (_, status) = code_of(refused.code());
            (status, kind, error(&refused).to_string()).into_response()
        }),
    }
}

async fn call(
    door: &Door,
    endpoint: &'static Endpoint,
    request: Request,
) -> Result<Answer, Status> {
    let (mut parts, body) = request.into_parts();
    if let Some(timeout) = parts.headers.remove(TIMEOUT) {
        let timeout = timeout_of(&timeout)?;
        let name = HeaderName::from_static("grpc-timeout");
        parts.headers.insert(name, timeout);
    }
    for name in ["content-encoding", "connect-content-encoding"] {
        let coding = parts.headers.get(name);
        if coding.is_some_and(|it| it != "identity") {
            let name = String::from_utf8_lossy(coding.map_or(b"", |it| it.as_bytes())).into_owned();
            return Err(Refusal::CompressionUnknown { name }.into());
        }
    }
    let (path, streams) = (endpoint.method.path, endpoint.method.streams);
    let body = upload::translated(body, path, door.room.clone(), move |bytes| {
        let json = match streams {
            true => opened(bytes)?,
            false => bytes,
        };
        transcode::of_json(&endpoint.input, json, Unknown::Skipped)
    });
    door.call(parts, path, body).await
}

/// What the one envelope of a request to a server stream holds.
fn opened(bytes: &[u8]) -> Result<&[u8], Refusal> {
    let wrong = |problem: &str| Refusal::MalformedRequest {
        problem: problem.into(),
    };
    let Some((head, message)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Err(wrong("the body holds no envelope"));
    };
    let [flag, length @ ..] = *head;
    if flag != 0 {
        return Err(wrong("the envelope's flag is not 0"));
    }
    if u32::from_be_bytes(length) as usize != message.len() {
        return Err(wrong("the envelope's length is not that of the body"));
    }
    Ok(message)
}

/// Milliseconds, in the unit of gRPC's header that has room for them.
fn timeout_of(value: &HeaderValue) -> Result<HeaderValue, Refusal> {
    let text = value.to_str().ok();
    let digits = text.filter(|it| {
        (1..=TIMEOUT_MAX_DIGITS).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_digit())
    });
    let milliseconds: Option<u64> = digits.and_then(|it| it.parse().ok());
    let problem = "must be 1 to 10 digits, in milliseconds";
    let milliseconds = milliseconds.ok_or_else(|| Refusal::field("connect-timeout-ms", problem))?;
    let timeout = match milliseconds {
        0..100_000_000 => format!("{milliseconds}m"),
        _ => format!("{}S", milliseconds / 1000),
    };
    Ok(timeout.parse().expect("digits and a letter"))
}

/// A stream: its status is always 200, and what became of it stands in its last envelope.
fn streamed(output: MessageDescriptor, answered: Result<Answer, Status>) -> Response {
    let written = stream::unfold(Some(answered), move |answered| {
        let output = output.clone();
        async move {
            let failed = |refused: &Status| envelope(END, &json!({ "error": error(refused) }));
            let (text, goes_on) = match answered? {
                Err(refused) => (failed(&refused), None),
                Ok(mut answer) => match answer.next().await {
                    None => (envelope(END, &json!({})), None),
                    Some(Err(refused)) => (failed(&refused), None),
                    Some(Ok(message)) => match transcode::to_json(&output, &message, false) {
                        Ok((json, _)) => (frame(0, &json), Some(Ok(answer))),
                        Err(error) => (failed(&status::bug(&error).into()), None),
                    },
                },
            };
            Some((Ok::<_, Infallible>(text), goes_on))
        }
    });
    let kind = [(header::CONTENT_TYPE, "application/connect+json")];
    (kind, Body::from_stream(written)).into_response()
}

fn envelope(flag: u8, json: &Json) -> Bytes {
    frame(flag, json.to_string().as_bytes())
}

/// A refusal as Connect writes it, its details as gRPC's.
fn error(refused: &Status) -> Json {
    let details = tonic_types::pb::Status::decode(refused.details()).unwrap_or_default();
    let details = details.details.into_iter().map(|detail| {
        let name = detail.type_url.rsplit('/').next().unwrap_or_default();
        json!({ "type": name, "value": STANDARD_NO_PAD.encode(&detail.value) })
    });
    json!({
        "code": code_of(refused.code()).0,
        "message": refused.message(),
        "details": details.collect::<Vec<_>>(),
    })
}

/// How Connect calls a code, and the status that goes with it.
fn code_of(code: Code) -> (&'static str, StatusCode) {
    match code {
        Code::Ok => ("ok", StatusCode::OK),
        Code::Cancelled => ("canceled", StatusCode::from_u16(499).expect("in range")),
        Code::Unknown => ("unknown", StatusCode::INTERNAL_SERVER_ERROR),
        Code::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
        Code::DeadlineExceeded => ("deadline_exceeded", StatusCode::GATEWAY_TIMEOUT),
        Code::NotFound => ("not_found", StatusCode::NOT_FOUND),
        Code::AlreadyExists => ("already_exists", StatusCode::CONFLICT),
        Code::PermissionDenied => ("permission_denied", StatusCode::FORBIDDEN),
        Code::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
        Code::FailedPrecondition => ("failed_precondition", StatusCode::BAD_REQUEST),
        Code::Aborted => ("aborted", StatusCode::CONFLICT),
        Code::OutOfRange => ("out_of_range", StatusCode::BAD_REQUEST),
        Code::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
        Code::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        Code::DataLoss => ("data_loss", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
    }
}
