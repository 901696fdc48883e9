//! Calls from web pages: who may make them, and gRPC-web on the same port.
//!
//! A browser adds `Origin` to every call that a page makes to another server, and no page can take it away. So a request
//! that carries one is refused unless that origin is listed, or is this server itself, whatever the request is and
//! whether or not gRPC-web is on: a page that someone merely visits must not reach a server on loopback.
//!
//! With gRPC-web on, preflights are answered here, before anything asks for credentials, and gRPC-web is translated to
//! gRPC, so that every bound, check and refusal behind is the same for both. tonic-web translates, tower-http answers
//! CORS. Credentials travel in `authorization` alone: cookies are never asked for, and no origin is a wildcard.

use crate::listener::Peer;
use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Scheme};
use std::{sync::Arc, time::Duration};
use tonic_web::GrpcWebLayer;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may keep the answer to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(3600);
/// Headers that a page may send.
const ALLOWED_HEADERS: [&str; 12] = [
    "authorization",
    "connect-protocol-version",
    "connect-timeout-ms",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "grpc-timeout",
    "traceparent",
    "tracestate",
    "x-grpc-web",
    "x-user-agent",
    "grpc-accept-encoding",
];
/// Headers that a page may read: how a call ended that has no body, and when to come again.
const EXPOSED_HEADERS: [&str; 5] = [
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "retry-after",
    "x-should-retry",
];
/// How pages may ask.
const ALLOWED_METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PATCH, Method::DELETE];
/// What gRPC-web is called. The text forms are base64.
const CONTENT_TYPES: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

/// Which pages may call.
#[derive(Clone, Debug)]
pub enum Pages {
    /// None.
    None,
    /// Those of these origins, and those of this server itself.
    Of(Vec<HeaderValue>),
}

/// Puts the rule of origins, and with it gRPC-web, around all of `router`: services, other routes and the fallback.
///
/// Must be the outermost layer.
pub fn layered(router: Router, pages: Pages) -> Router {
    let router = match &pages {
        Pages::None => router,
        Pages::Of(listed) => router.layer(from_fn(translate)).layer(cors(listed)),
    };
    let pages = Arc::new(pages);
    router.layer(from_fn(move |request, next| {
        check(request, next, pages.clone())
    }))
}

async fn check(request: Request, next: Next, pages: Arc<Pages>) -> Response {
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    let allowed = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => pages.allow(origin, &request),
        (Some(_), Some(_)) => false,
    };
    if allowed {
        next.run(request).await
    } else {
        let why = "calls from this web page's origin are not enabled\n";
        (StatusCode::FORBIDDEN, why).into_response()
    }
}

/// Other calls pass as they are: tonic-web refuses everything on HTTP/1.1 that is not its own.
async fn translate(mut request: Request, next: Next) -> Response {
    let Some(spoken) = content_type(request.headers(), header::CONTENT_TYPE) else {
        return next.run(request).await;
    };
    // A page that says nothing about the answer's form gets it in the request's.
    if content_type(request.headers(), header::ACCEPT).is_none() {
        let spoken = HeaderValue::from_static(spoken);
        request.headers_mut().insert(header::ACCEPT, spoken);
    }
    let inner = service_fn(move |request: http::Request<tonic::body::Body>| {
        next.clone().oneshot(request.map(Body::new))
    });
    match GrpcWebLayer::new().layer(inner).oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// The form of gRPC-web that a header names.
fn content_type(headers: &HeaderMap, name: HeaderName) -> Option<&'static str> {
    let named = headers.get(name)?.as_bytes();
    CONTENT_TYPES
        .into_iter()
        .find(|known| known.as_bytes() == named)
}

fn cors(listed: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(listed.iter().cloned()))
        .allow_methods(ALLOWED_METHODS)
        .allow_headers(ALLOWED_HEADERS.map(HeaderName::from_static))
        .expose_headers(EXPOSED_HEADERS.map(HeaderName::from_static))
        .max_age(PREFLIGHT_MAX_AGE)
}

/// Whether the page came from this server: scheme, host and port are the request's own. A name that someone else made
/// point here is not ours: the listener refuses requests that say it.
fn is_own(origin: &HeaderValue, request: &Request) -> bool {
    let Ok(origin) = Uri::try_from(origin.as_bytes()) else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (origin.scheme(), origin.authority()) else {
        return false;
    };
    // HTTP/1.1 does not say by which scheme it was asked; its connection does.
    let encrypted = matches!(
        request.extensions().get::<Arc<Peer>>().map(Arc::as_ref),
        Some(Peer::Tcp { tls: Some(_), .. })
    );
    let own_scheme = match request.uri().scheme() {
        Some(scheme) => scheme,
        None if encrypted => &Scheme::HTTPS,
        None => &Scheme::HTTP,
    };
    let own_authority = match request.uri().authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => request.headers().get(header::HOST).map(|it| it.as_bytes()),
    };
    scheme == own_scheme && own_authority == Some(authority.as_str().as_bytes())
}

// === impl Pages ===

impl Pages {
    fn allow(&self, origin: &HeaderValue, request: &Request) -> bool {
        match self {
            Self::None => false,
            Self::Of(listed) => listed.contains(origin) || is_own(origin, request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::PeerTls;

    #[test]
    fn a_page_of_this_server_is_known_by_scheme_host_and_port() {
        let own = |origin: &str, uri: &str, host: Option<&str>| {
            let mut request = http::Request::post(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            is_own(
                &origin.parse().unwrap(),
                &request.body(Body::empty()).unwrap(),
            )
        };
        let page_over_tls = |origin: &str| {
            let request = http::Request::post("/x").header("host", "127.0.0.1:7");
            let mut request = request.body(Body::empty()).unwrap();
            let address = "127.0.0.1:9".parse().unwrap();
            let tls = Some(PeerTls::default());
            let peer = Arc::new(Peer::Tcp { address, tls });
            request.extensions_mut().insert(peer);
            is_own(&origin.parse().unwrap(), &request)
        };
        assert!(page_over_tls("https://127.0.0.1:7"));
        assert!(!page_over_tls("http://127.0.0.1:7"));
        assert!(!page_over_tls("https://127.0.0.1:8"));
        // HTTP/1.1 names the host in a header, HTTP/2 in the address.
        assert!(own("http://127.0.0.1:7", "/x", Some("127.0.0.1:7")));
        assert!(own("http://localhost:7", "/x", Some("localhost:7")));
        assert!(own("http://[::1]:7", "/x", Some("[::1]:7")));
        assert!(own("https://127.0.0.1:7", "https://127.0.0.1:7/x", None));
        for (origin, uri, host) in [
            ("http://127.0.0.1:8", "/x", Some("127.0.0.1:7")),
            ("http://127.0.0.1", "/x", Some("127.0.0.1:7")),
            ("https://127.0.0.1:7", "/x", Some("127.0.0.1:7")),
            ("http://127.0.0.1:7", "https://127.0.0.1:7/x", None),
            ("http://evil.test:7", "/x", Some("127.0.0.1:7")),
            ("null", "/x", Some("127.0.0.1:7")),
            ("null", "/x", None),
        ] {
            assert!(!own(origin, uri, host), "{origin} {uri} {host:?}");
        }
    }
}
