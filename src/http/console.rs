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
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    io::Write as _,
    sync::{Arc, OnceLock},
};

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
    /// The content packed, made when it is asked for first; none where packing does not make it smaller.
    packed: Arc<OnceLock<Option<Bytes>>>,
    kind: &'static str,
    caching: &'static str,
    tag: HeaderValue,
    /// Another tag, since these are other bytes.
    packed_tag: HeaderValue,
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
        let mut hash = String::new();
        for byte in &Sha256::digest(content)[..TAG_BYTES] {
            // Writing to a string does not fail.
            let _ = write!(hash, "{byte:02x}");
        }
        let tag = |tag: String| tag.parse().expect("it is visible characters");
        Self {
            content: Bytes::from_static(content),
            packed: Arc::default(),
            kind: kind(path),
            caching: if path.starts_with(HASHED) {
                "public, max-age=31536000, immutable"
            } else {
                "no-cache"
            },
            tag: tag(format!("\"{hash}\"")),
            packed_tag: tag(format!("\"{hash}-gzip\"")),
        }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let packed = self.packed().filter(|_| takes_gzip(asked));
        let tag = packed.map_or(&self.tag, |_| &self.packed_tag);
        let known = asked
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .any(|tags| names(tags, tag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let kind = [(header::CONTENT_TYPE, self.kind)];
            let content = packed.unwrap_or(&self.content);
            (kind, Body::from(content.clone())).into_response()
        };
        let headers = response.headers_mut();
        headers.extend(HEADERS);
        if packed.is_some() && !known {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::ETAG, tag.clone());
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(self.caching),
        );
        response
    }

    /// The content packed, where that is worth it.
    fn packed(&self) -> Option<&Bytes> {
        let packed = self.packed.get_or_init(|| {
            let mut packer = GzEncoder::new(Vec::new(), Compression::best());
            // Writing to memory does not fail.
            packer.write_all(&self.content).ok()?;
            let packed = packer.finish().ok()?;
            (packed.len() < self.content.len()).then(|| Bytes::from(packed))
        });
        packed.as_ref()
    }
}

/// Whether who asks takes gzip: its weight is not 0.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(header::ACCEPT_ENCODING);
    let mut codings = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let zero = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|weight| weight.trim().parse::<f32>() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !zero
    })
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
