//! `GET /v1/sessions/{key}/attachments/{id}/content`: the bytes of an attachment, as they are.
//!
//! Whoever gave them, a caller or an agent, they are no page of this server's: they go out to be kept, of the media type that
//! they were given with, which no browser may guess otherwise, and in a sandbox.

use super::{call::Door, problem::Problem, rest, turns::Caller, whole};
use crate::{
    grpc::status,
    proto::{Attachment, GetAttachmentRequest, GetAttachmentResponse},
};
use axum::{
    Router,
    extract::{Path, Request},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, header};
use prost::Message as _;
use std::{fmt::Write as _, sync::Arc};
use tonic::Status;

/// The path, as it is described too.
pub(super) const CONTENT: &str = "/v1/sessions/{session_key}/attachments/{attachment_id}/content";

/// The path of an attachment's bytes.
pub(super) fn routes(door: Arc<Door>) -> Router {
    Router::new().route(
        CONTENT,
        get(
            async move |Path((session_key, attachment_id)): Path<(String, String)>,
                        request: Request| {
                let caller = Caller::new(door, request.into_parts().0);
                let asked = GetAttachmentRequest {
                    session_key,
                    attachment_id,
                };
                let found = content(&caller, &asked).await;
                found.unwrap_or_else(|refused| Problem::of(&refused).into_response())
            },
        ),
    )
}

async fn content(caller: &Caller, asked: &GetAttachmentRequest) -> Result<Response, Status> {
    let path = "/quarterdeck.v1.GatewayService/GetAttachment";
    let mut answer = caller.call(path, asked).await?;
    let message = answer.only().await?;
    let found = GetAttachmentResponse::decode(message).map_err(|error| status::bug(&error))?;
    let Attachment {
        name,
        media_type,
        data,
    } = found.attachment.unwrap_or_default();
    let kind = HeaderValue::from_str(&media_type).ok();
    let kind = kind.filter(|it| !it.is_empty());
    let headers = [
        (
            header::CONTENT_TYPE,
            kind.unwrap_or(HeaderValue::from_static("application/octet-stream")),
        ),
        (header::CONTENT_LENGTH, data.len().into()),
        (header::CONTENT_DISPOSITION, disposition(&name)),
    ];
    let body = whole::body(data, answer);
    Ok((headers, rest::HEADERS, body).into_response())
}

/// To be kept, under its name: in ASCII for old clients, and whole (RFC 6266).
fn disposition(name: &str) -> HeaderValue {
    let mut value = "attachment".to_owned();
    if !name.is_empty() {
        let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_' | ' ');
        let ascii = name.chars().map(|it| if plain(it) { it } else { '_' });
        let ascii: String = ascii.collect();
        let _ = write!(value, "; filename=\"{ascii}\"");
        if ascii != name {
            value.push_str("; filename*=UTF-8''");
            for byte in name.bytes() {
                match byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
                    true => value.push(byte.into()),
                    false => {
                        let _ = write!(value, "%{byte:02X}");
                    }
                }
            }
        }
    }
    // It is ASCII without controls by now.
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leaves_nothing_but_a_name() {
        for (name, expected) in [
            ("", "attachment"),
            ("a b.png", "attachment; filename=\"a b.png\""),
            (
                "\u{e9}.txt",
                "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt",
            ),
            (
                "a\"; x=\"\r\n",
                "attachment; filename=\"a__ x____\"; filename*=UTF-8''a%22%3B%20x%3D%22%0D%0A",
            ),
            (
                "../b",
                "attachment; filename=\".._b\"; filename*=UTF-8''..%2Fb",
            ),
        ] {
            assert_eq!(disposition(name), expected, "{name:?}");
        }
    }
}
