//! The console's files on the wire: what a browser gets, and what nobody gets by asking for it otherwise.

mod certificates;
mod support;

use bytes::Bytes;
use certificates::{Authority, Files};
use flate2::read::GzDecoder;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use quarterdeck::{
    grpc::{
        layers::{self, Gate},
        web::{self, Pages},
    },
    http::console::{self, BUILT, File},
    listener::{Listener, ListenerOptions, Serving},
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{io::Read, sync::Arc};
use support::{Gateway, Options, SOON};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

const PAGE: &str = "<!doctype html><script type=module src=/assets/index-Ab3_x-9Z.js></script>";
const FILES: &[File] = &[
    ("index.html", PAGE.as_bytes()),
    ("assets/index-Ab3_x-9Z.js", b"console.log(1)"),
    ("assets/index-Q.css", b"a{}"),
    ("icon.svg", b"<svg/>"),
];
const WHO_AM_I: &str = "/quarterdeck.v1.AdminService/WhoAmI";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The layers of the server around a console of these files.
async fn serve(files: &[File]) -> (String, Serving) {
    let listener = Listener::bind(ListenerOptions::default()).await.unwrap();
    let authority = listener.local_addr().to_string();
    let (_, health) = tonic_health::server::health_reporter();
    let routes = tonic::service::Routes::from(axum::Router::new()).add_service(health);
    let router =
        layers::layered(routes.into_axum_router(), Gate::open()).merge(console::routes(files));
    let router = web::layered(router, Pages::Of(Vec::new()));
    (authority, listener.serve(move |_| router.clone()))
}

async fn exchange(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Answer {
    let exchange = async {
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .unwrap();
        tokio::spawn(connection);
        let (head, body) = client.send_request(request).await.unwrap().into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    };
    timeout(SOON, exchange).await.expect("the test hangs")
}

async fn ask(authority: &str, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header(header::HOST, authority);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let socket = TcpStream::connect(authority).await.unwrap();
    exchange(socket, request.body(Full::default()).unwrap()).await
}

async fn get(authority: &str, path: &str) -> Answer {
    ask(authority, Method::GET, path, &[]).await
}

impl Answer {
    fn told(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Whatever is answered, the page that it becomes may do nothing but ask this server.
    #[track_caller]
    fn assert_strict(&self) {
        let policy = self.told("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "font-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(
                policy.split("; ").any(|one| one == rule),
                "{rule}: {policy}"
            );
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(self.told("x-content-type-options"), "nosniff");
        assert_eq!(self.told("referrer-policy"), "no-referrer");
        assert_eq!(self.told("cross-origin-opener-policy"), "same-origin");
        assert_eq!(self.told("cross-origin-resource-policy"), "same-origin");
        assert!(self.told("permissions-policy").contains("camera=()"));
        for name in ["set-cookie", "access-control-allow-origin"] {
            assert!(!self.headers.contains_key(name), "{name}");
        }
    }
}

#[tokio::test]
async fn each_file_is_served_under_its_name_and_kept_as_long_as_it_may() {
    let (authority, _serving) = serve(FILES).await;
    let hashed = "public, max-age=31536000, immutable";
    for (path, kind, caching, content) in [
        ("/", "text/html; charset=utf-8", "no-cache", PAGE),
        (
            "/?session=a#b",
            "text/html; charset=utf-8",
            "no-cache",
            PAGE,
        ),
        (
            "/assets/index-Ab3_x-9Z.js",
            "text/javascript; charset=utf-8",
            hashed,
            "console.log(1)",
        ),
        (
            "/assets/index-Q.css",
            "text/css; charset=utf-8",
            hashed,
            "a{}",
        ),
        ("/icon.svg", "image/svg+xml", "no-cache", "<svg/>"),
    ] {
        let path = path.split('#').next().unwrap();
        let answer = get(&authority, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.body, content);
        assert_eq!(answer.told("content-type"), kind);
        assert_eq!(answer.told("cache-control"), caching);
        answer.assert_strict();

        let head = ask(&authority, Method::HEAD, path, &[]).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
        assert_eq!(head.told("content-length"), content.len().to_string());
        assert_eq!(head.told("etag"), answer.told("etag"));
        head.assert_strict();

        // Who has it is not sent it again.
        let tag = answer.told("etag");
        for known in [tag, &format!("\"x\", W/{tag}"), "*"] {
            let again = ask(&authority, Method::GET, path, &[("if-none-match", known)]).await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!((again.body.len(), again.told("etag")), (0, tag));
            again.assert_strict();
        }
        let other = [("if-none-match", "\"x\"")];
        let changed = ask(&authority, Method::GET, path, &other).await;
        assert_eq!(changed.status, StatusCode::OK);
    }
}

/// Who takes gzip is sent text packed, under a tag of its own; others get the same bytes as ever.
#[tokio::test]
async fn text_is_packed_for_who_takes_that() {
    let script: &'static [u8] = "const answer = 42;\n".repeat(500).leak().as_bytes();
    let files: &'static [File] =
        vec![("index.html", PAGE.as_bytes()), ("assets/a.js", script)].leak();
    let (authority, _serving) = serve(files).await;
    let plain = get(&authority, "/assets/a.js").await;
    assert_eq!(
        (plain.body.as_ref(), plain.told("content-encoding")),
        (script, "")
    );
    for takes in ["gzip", "br, GZIP;q=0.5", "deflate,gzip;q=1.0,*;q=0"] {
        let asked = [("accept-encoding", takes)];
        let packed = ask(&authority, Method::GET, "/assets/a.js", &asked).await;
        assert_eq!(packed.told("content-encoding"), "gzip", "{takes}");
        assert_eq!(
            packed.told("content-type"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(packed.told("vary"), "accept-encoding");
        assert_ne!(packed.told("etag"), plain.told("etag"));
        assert!(
            packed.body.len() * 10 < script.len(),
            "{}",
            packed.body.len()
        );
        let mut content = Vec::new();
        GzDecoder::new(packed.body.as_ref())
            .read_to_end(&mut content)
            .unwrap();
        assert_eq!(content, script);
        packed.assert_strict();

        let head = ask(&authority, Method::HEAD, "/assets/a.js", &asked).await;
        assert_eq!(head.told("content-length"), packed.body.len().to_string());
        let known = [asked[0], ("if-none-match", packed.told("etag"))];
        let again = ask(&authority, Method::GET, "/assets/a.js", &known).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        assert_eq!(again.told("content-encoding"), "");
    }
    for takes in ["identity", "br", "gzip;q=0", "gzip; q=0.0, br", ""] {
        let asked = [("accept-encoding", takes)];
        let answer = ask(&authority, Method::GET, "/assets/a.js", &asked).await;
        assert_eq!(
            (answer.body.as_ref(), answer.told("content-encoding")),
            (script, ""),
            "{takes}"
        );
        assert_eq!(answer.told("vary"), "accept-encoding");
    }
    // What packing does not make smaller is sent as it is.
    let page = ask(&authority, Method::GET, "/", &[("accept-encoding", "gzip")]).await;
    assert_eq!(
        (page.body.as_ref(), page.told("content-encoding")),
        (PAGE.as_bytes(), "")
    );
}

#[tokio::test]
async fn no_other_path_and_no_other_method_gives_anything() {
    let (authority, _serving) = serve(FILES).await;
    for path in [
        "/index.html/",
        "/assets",
        "/assets/",
        "/assets/index-Ab3_x-9Z.j",
        "/assets/index-Ab3_x-9Z.js/",
        "/assets/../icon.svg",
        "/assets/..%2ficon.svg",
        "/assets/%2e%2e/icon.svg",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/admin.key",
        "//icon.svg",
        "/./icon.svg",
        "/ICON.SVG",
        "/icon.svg%00",
        "/admin.key",
        "/session/a",
    ] {
        let answer = get(&authority, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.body, "not found\n", "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let method: Method = method.parse().unwrap();
        let answer = ask(&authority, method.clone(), "/", &[]).await;
        assert!(!answer.body.starts_with(b"<!doctype"), "{method}");
        assert!(
            answer.status == StatusCode::METHOD_NOT_ALLOWED || method == Method::OPTIONS,
            "{method}: {}",
            answer.status
        );
    }
    // Paths that no client library lets through.
    for path in [
        "/../../etc/passwd",
        "/assets/../../admin.key",
        "/\\..\\x",
        "*",
    ] {
        let mut socket = TcpStream::connect(&authority).await.unwrap();
        let asked =
            format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
        socket.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(SOON, socket.read_to_end(&mut answer)).await;
        read.expect("the test hangs").unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
    }
}

/// Names that somebody else made point here get no page, and no strange page gets a file.
#[tokio::test]
async fn a_foreign_name_or_page_gets_no_file() {
    let (authority, _serving) = serve(FILES).await;
    for path in ["/", "/assets/index-Q.css"] {
        let rebound = ask(&authority, Method::GET, path, &[("host", "evil.test")]).await;
        assert!(rebound.status.is_client_error(), "{}", rebound.status);
        assert!(!rebound.headers.contains_key("etag"));
        let strange = [("origin", "https://evil.test")];
        let strange = ask(&authority, Method::GET, path, &strange).await;
        assert_eq!(strange.status, StatusCode::FORBIDDEN);
        let own = format!("http://{authority}");
        let own = ask(&authority, Method::GET, path, &[("origin", &own)]).await;
        assert_eq!(own.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn where_it_was_not_built_the_page_says_how_to() {
    let (authority, _serving) = serve(&[]).await;
    let answer = get(&authority, "/").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.told("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.told("cache-control"), "no-cache");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("npm --prefix clients/web ci"), "{text}");
    answer.assert_strict();
}

/// The server has a console by itself, without a key, and what it says of calls, health and tools is as without.
#[tokio::test]
async fn the_server_has_it_and_can_be_told_not_to() {
    let start = |config: &str| {
        Gateway::with(Options {
            config: config.into(),
            environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
            ..Options::default()
        })
    };
    let authority = |gateway: &Gateway| gateway.address.replace("http://", "");
    let on = start("");
    let answer = get(&authority(&on), "/").await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.assert_strict();
    let page = BUILT.iter().find(|(path, _)| *path == "index.html");
    match page {
        Some((_, page)) => assert_eq!(answer.body, *page),
        None => assert!(answer.body.starts_with(b"Quarterdeck is running")),
    }
    for (path, content) in BUILT.iter().filter(|(path, _)| *path != "index.html") {
        assert_eq!(
            get(&authority(&on), &format!("/{path}")).await.body,
            *content
        );
    }
    for config in ["console = false\n", "grpc_web = false\n"] {
        let off = start(config);
        let answer = get(&authority(&off), "/").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{config}");
        assert_eq!(
            get(&authority(&off), "/mcp").await.status,
            get(&authority(&on), "/mcp").await.status
        );
    }
    // A call of its page is a call: it needs a key.
    let own = [
        ("origin", on.address.as_str()),
        ("content-type", "application/grpc-web+proto"),
    ];
    let call = ask(&authority(&on), Method::POST, WHO_AM_I, &own).await;
    assert_eq!(
        (call.status, call.told("grpc-status")),
        (StatusCode::OK, "16")
    );
}

/// A page that came over TLS is this server's own, over HTTP/1.1 too, where no request says its scheme.
#[tokio::test]
async fn a_page_that_came_over_tls_may_call() {
    let files = Files::new();
    let authority = Authority::new();
    let (certificate, key) = files.put_leaf("server", &authority.sign(&["127.0.0.1"]));
    let gateway = Gateway::with(Options {
        config: format!("tls_certificate = {certificate:?}\ntls_key = {key:?}\n"),
        ..Options::default()
    });
    let host = gateway.address.replace("https://", "");
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let port = host.rsplit(':').next().unwrap();
    for (origin, status) in [
        (format!("https://{host}"), StatusCode::OK),
        (format!("http://{host}"), StatusCode::FORBIDDEN),
        ("https://127.0.0.1".into(), StatusCode::FORBIDDEN),
        (format!("https://evil.test:{port}"), StatusCode::FORBIDDEN),
    ] {
        let socket = TcpStream::connect(&host).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let socket = connector.connect(name, socket).await.unwrap();
        let request = Request::post(WHO_AM_I)
            .header(header::HOST, &host)
            .header(header::ORIGIN, &origin)
            .header(header::CONTENT_TYPE, "application/grpc-web+proto")
            .body(Full::new(Bytes::from_static(&[0; 5])))
            .unwrap();
        let answer = exchange(socket, request).await;
        assert_eq!(answer.status, status, "{origin}");
        if status == StatusCode::OK {
            assert!(String::from_utf8_lossy(&answer.body).contains("grpc-status:0"));
        }
    }
}
