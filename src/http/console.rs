//! The console's files, as `clients/web` builds them, out of the binary.
//!
//! Every file is a route of its own, so there is no path to walk and none to walk out of. Names below `assets/` hold a hash
//! of what the file is and are kept for good; all else is asked for again, with its `ETag`. The page may load from and
//! talk to this server alone: a script that gets into it has nowhere to send what it finds.

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A file: its path below the console's root, and what it is.
pub type File = (&'static str, &'static [u8]);

/// What `clients/web/dist` held when this was compiled; empty where it was not built.
pub const BUILT: &[File] = include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// The page.
const INDEX: &str = "index.html";
/// Where files are whose names change with them.
const HASHED: &str = "assets/";
/// Bytes of a file's hash that make its tag.
const TAG_BYTES: usize = 16;

/// What every answer of the console says besides.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
             connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
        ),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ),
];

/// What stands in place of the page where it was not built.
const NOT_BUILT: &str = "Quarterdeck is running, but this binary was built without its console.\n\n\
    To have it, build the console, then the server:\n\n    \
    npm --prefix clients/web ci && npm --prefix clients/web run build\n    cargo build\n";

/// One file, as it is answered.
#[derive(Clone)]
struct Answer {
    content: Bytes,
    kind: &'static str,
    caching: &'static str,
    tag: HeaderValue,
}

/// A route for each file, and `/` for the page.
pub fn routes(files: &[File]) -> Router {
    let not_built = files.iter().all(|(path, _)| *path != INDEX);
    let page = not_built.then(|| {
        (
            "/".to_owned(),
            Answer::new("not-built.txt", NOT_BUILT.as_bytes()),
        )
    });
    let files = files.iter().map(|&(path, content)| {
        let route = match path {
            INDEX => "/".to_owned(),
            path => format!("/{path}"),
        };
        (route, Answer::new(path, content))
    });
    files
        .chain(page)
        .fold(Router::new(), |router, (route, answer)| {
            router.route(
                &route,
                get(async move |headers: HeaderMap| answer.answer(&headers)),
            )
        })
}

// === impl Answer ===

impl Answer {
    fn new(path: &str, content: &'static [u8]) -> Self {
        let mut tag = String::from("\"");
        for byte in &Sha256::digest(content)[..TAG_BYTES] {
            // Writing to a string does not fail.
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        Self {
            content: Bytes::from_static(content),
            kind: kind(path),
            caching: if path.starts_with(HASHED) {
                "public, max-age=31536000, immutable"
            } else {
                "no-cache"
            },
            tag: tag.parse().expect("it is hexadecimal digits"),
        }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let known = asked
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .any(|tags| names(tags, &self.tag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let kind = [(header::CONTENT_TYPE, self.kind)];
            (kind, Body::from(self.content.clone())).into_response()
        };
        let headers = response.headers_mut();
        headers.extend(HEADERS);
        headers.insert(header::ETAG, self.tag.clone());
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(self.caching),
        );
        response
    }
}

/// Whether a list of tags has this one, or any.
fn names(tags: &HeaderValue, tag: &HeaderValue) -> bool {
    let mut tags = tags.as_bytes().split(|byte| *byte == b',');
    tags.any(|one| {
        let one = one.trim_ascii();
        let one = one.strip_prefix(b"W/").unwrap_or(one);
        one == b"*" || one == tag.as_bytes()
    })
}

/// What a file holds, by the end of its name.
fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}
