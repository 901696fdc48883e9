//! Calls from web pages, on the wire: who is refused, what a preflight is told, and that the bounds of gRPC hold for
//! gRPC-web. `web_browser.rs` has the real browser.

mod support;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use prost::Message;
use quarterdeck::proto::{
    EnqueueRequest, EnqueueResponse, GetSessionRequest, SessionFilter, SubscribeManyRequest,
    SubscribeRequest,
};
use support::{Gateway, Options, SOON};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

const LISTED: &str = "https://console.example.com";
const ENQUEUE: &str = "/quarterdeck.v1.GatewayService/Enqueue";
const SUBSCRIBE: &str = "/quarterdeck.v1.GatewayService/Subscribe";
const SUBSCRIBE_MANY: &str = "/quarterdeck.v1.GatewayService/SubscribeMany";
const ABORT: &str = "/quarterdeck.v1.GatewayService/Abort";
const WEB: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";
/// Marks the frame that holds the trailers.
const TRAILERS_FRAME: u8 = 0x80;

/// An answer over HTTP/1.1.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// Messages, and the headers of the trailers' frame.
    fn frames(&self) -> (Vec<Bytes>, HeaderMap) {
        let (mut messages, mut trailers) = (Vec::new(), HeaderMap::new());
        let mut rest = self.body.clone();
        while !rest.is_empty() {
            let head = rest.split_to(5);
            let length = u32::from_be_bytes(head[1..].try_into().unwrap());
            let content = rest.split_to(length as usize);
            if head[0] != TRAILERS_FRAME {
                messages.push(content);
                continue;
            }
            for line in content.split(|byte| *byte == b'\n') {
                let line = std::str::from_utf8(line).unwrap().trim_end();
                if let Some((name, value)) = line.split_once(':') {
                    let name: http::HeaderName = name.parse().unwrap();
                    trailers.append(name, value.trim().parse().unwrap());
                }
            }
        }
        (messages, trailers)
    }

    /// How the call ended: in the head where there is no body, else in the last frame.
    fn end(&self) -> Status {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        let ended = Status::from_header_map(&self.headers);
        let ended = ended.or_else(|| Status::from_header_map(&self.frames().1));
        ended.unwrap_or_else(|| panic!("{self:?}"))
    }

    #[track_caller]
    fn refused(&self, code: Code, reason: &str) {
        let end = self.end();
        assert_eq!(end.code(), code, "{end:?}");
        let info = end.get_details_error_info().expect("an ErrorInfo");
        assert_eq!(info.reason, reason, "{end:?}");
        let kind = self.headers[header::CONTENT_TYPE].to_str().unwrap();
        assert!(kind.starts_with("application/grpc-web"), "{kind}");
    }
}

fn web(origins: &str) -> Gateway {
    Gateway::with(Options {
        config: format!("grpc_web_origins = [{origins}]\n"),
        ..Options::default()
    })
}

fn authority(gateway: &Gateway) -> &str {
    gateway.address.strip_prefix("http://").unwrap()
}

async fn send(gateway: &Gateway, request: Request<Full<Bytes>>) -> Answer {
    let exchange = async {
        let socket = TcpStream::connect(authority(gateway)).await.unwrap();
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

fn post(gateway: &Gateway, path: &str, kind: &str, body: Bytes) -> Request<Full<Bytes>> {
    Request::post(path)
        .header(header::HOST, authority(gateway))
        .header(header::CONTENT_TYPE, kind)
        .body(Full::new(body))
        .unwrap()
}

fn with(mut request: Request<Full<Bytes>>, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.encoded_len() as u32);
    message.encode(&mut frame).unwrap();
    frame.freeze()
}

fn enqueue(session: &str) -> Bytes {
    framed(&EnqueueRequest {
        session_key: session.into(),
        text: "hi".into(),
        ..EnqueueRequest::default()
    })
}

async fn exists(gateway: &Gateway, session: &str) -> bool {
    let request = GetSessionRequest {
        session_key: session.into(),
        ..GetSessionRequest::default()
    };
    match gateway.client().await.get_session(request).await {
        Ok(_) => true,
        Err(status) if status.code() == Code::NotFound => false,
        Err(status) => panic!("{status}"),
    }
}

/// No page that the operator did not list gets an answer, whatever it asks for and however it asks, and nothing that it
/// asked for is done.
#[tokio::test]
async fn a_page_that_is_not_listed_is_refused_whatever_it_asks_for() {
    let on = web(&format!("\"{LISTED}\""));
    let off = Gateway::with(Options {
        config: "grpc_web = false\n".into(),
        ..Options::default()
    });
    let port = authority(&on).rsplit(':').next().unwrap().to_owned();
    for origin in [
        "https://evil.test",
        "null",
        "http://console.example.com",
        "https://console.example.com:8443",
        "https://console.example.com.evil.test",
        "https://evil.test/https://console.example.com",
        "HTTPS://CONSOLE.EXAMPLE.COM",
        &format!("http://evil.test:{port}"),
        &format!("http://127.0.0.1:{port}.evil.test"),
        "http://127.0.0.1",
        "",
        "*",
    ] {
        for request in [
            post(&on, ENQUEUE, WEB, enqueue("strange")),
            post(&on, ENQUEUE, TEXT, enqueue("strange")),
            post(&on, ENQUEUE, "application/grpc", enqueue("strange")),
            post(&on, ENQUEUE, "text/plain", enqueue("strange")),
            post(&on, "/nothing", WEB, Bytes::new()),
            with(
                post(&on, ENQUEUE, WEB, Bytes::new()),
                &[("access-control-request-method", "POST")],
            ),
        ] {
            let mut preflight = with(request.clone(), &[("origin", origin)]);
            *preflight.method_mut() = Method::OPTIONS;
            let mut get = preflight.clone();
            *get.method_mut() = Method::GET;
            for request in [with(request, &[("origin", origin)]), preflight, get] {
                for gateway in [&on, &off] {
                    let mut request = request.clone();
                    let host = authority(gateway).parse().unwrap();
                    request.headers_mut().insert(header::HOST, host);
                    let answer = send(gateway, request).await;
                    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}");
                    let told = |name| answer.headers.contains_key(name);
                    assert!(!told("access-control-allow-origin") && !told("grpc-status"));
                }
            }
        }
    }
    // Two origins, one of them good.
    for order in [[LISTED, "https://evil.test"], ["https://evil.test", LISTED]] {
        let both = order.map(|origin| ("origin", origin));
        let answer = send(
            &on,
            with(post(&on, ENQUEUE, WEB, enqueue("strange")), &both),
        )
        .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    assert!(!exists(&on, "strange").await && !exists(&off, "strange").await);
}

/// Off means off: a page of this very server is refused too, and gRPC-web is not spoken.
#[tokio::test]
async fn without_the_switch_no_page_calls() {
    let gateway = Gateway::with(Options {
        config: format!("grpc_web = false\ngrpc_web_origins = [\"{LISTED}\"]\n"),
        ..Options::default()
    });
    for origin in [LISTED, &gateway.address] {
        let request = post(&gateway, ENQUEUE, WEB, enqueue("off"));
        let answer = send(&gateway, with(request, &[("origin", origin)])).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    let answer = send(&gateway, post(&gateway, ENQUEUE, WEB, enqueue("off"))).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(!exists(&gateway, "off").await);
}

/// A preflight carries no key, so it is answered before one is asked for; what it allows is named, never `*`.
#[tokio::test]
async fn a_preflight_is_answered_before_a_key_is_asked_for() {
    let gateway = Gateway::with(Options {
        config: format!("grpc_web_origins = [\"{LISTED}\"]\n"),
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let asked = [
        ("origin", LISTED),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,x-grpc-web"),
    ];
    let mut preflight = with(post(&gateway, ENQUEUE, WEB, Bytes::new()), &asked);
    *preflight.method_mut() = Method::OPTIONS;
    let answer = send(&gateway, preflight).await;
    assert_eq!(answer.status, StatusCode::OK);
    let told = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    assert_eq!(told("access-control-allow-origin"), LISTED);
    assert_eq!(
        told("access-control-allow-methods"),
        "GET,POST,PATCH,DELETE"
    );
    for name in [
        "authorization",
        "idempotency-key",
        "last-event-id",
        "content-type",
        "grpc-timeout",
        "x-grpc-web",
    ] {
        assert!(
            told("access-control-allow-headers").contains(name),
            "{name}"
        );
    }
    assert!(told("vary").contains("origin"));

    let call = post(&gateway, ENQUEUE, WEB, enqueue("keyless"));
    let answer = send(&gateway, with(call, &[("origin", LISTED)])).await;
    answer.refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
    let told = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    assert_eq!(told("access-control-allow-origin"), LISTED);
    assert_eq!(
        told("access-control-expose-headers"),
        "grpc-status,grpc-message,grpc-status-details-bin,retry-after,x-should-retry"
    );
    for (name, value) in &answer.headers {
        assert_ne!(value, "*", "{name}");
        assert_ne!(name, "access-control-allow-credentials");
    }
}

/// A page that this server served itself needs no list; one that lets its own name point here is no such page.
#[tokio::test]
async fn a_page_of_this_server_itself_may_call() {
    let gateway = web("");
    let port = authority(&gateway).rsplit(':').next().unwrap().to_owned();
    let request = post(&gateway, ENQUEUE, WEB, enqueue("own"));
    let answer = send(&gateway, with(request, &[("origin", &gateway.address)])).await;
    assert_eq!(answer.end().code(), Code::Ok);
    assert!(exists(&gateway, "own").await);

    let name = format!("evil.test:{port}");
    let mut rebound = post(&gateway, ENQUEUE, WEB, enqueue("rebound"));
    let headers = rebound.headers_mut();
    headers.insert(header::HOST, name.parse().unwrap());
    let origin = format!("http://{name}");
    headers.insert(header::ORIGIN, origin.parse().unwrap());
    let answer = send(&gateway, rebound).await;
    assert_eq!(answer.headers["grpc-status"], "7", "{answer:?}");
    assert!(!exists(&gateway, "rebound").await);
}

/// Binary and text, cut anywhere; the answer comes in the form that was asked for, or that of the request.
#[tokio::test]
async fn both_forms_of_grpc_web_are_spoken() {
    let gateway = web("");
    let answer = send(&gateway, post(&gateway, ENQUEUE, WEB, enqueue("binary"))).await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], WEB);
    let (messages, trailers) = answer.frames();
    let accepted = EnqueueResponse::decode(messages[0].clone()).unwrap();
    assert!(!accepted.turn.unwrap().turn_id.is_empty());
    assert_eq!(trailers["grpc-status"], "0");

    let text = BASE64_STANDARD.encode(enqueue("text"));
    let answer = send(&gateway, post(&gateway, ENQUEUE, TEXT, text.into())).await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], TEXT);
    assert!(answer.body.is_ascii());
    assert!(exists(&gateway, "text").await);

    // Pieces of one byte each: no piece is a whole group of base64, none a whole head of a frame.
    let text = BASE64_STANDARD.encode(enqueue("pieces"));
    let mut socket = TcpStream::connect(authority(&gateway)).await.unwrap();
    let head = format!(
        "POST {ENQUEUE} HTTP/1.1\r\nhost: {}\r\ncontent-type: {TEXT}\r\naccept: {WEB}\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        authority(&gateway)
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    for piece in text.chars() {
        let chunk = format!("1\r\n{piece}\r\n");
        socket.write_all(chunk.as_bytes()).await.unwrap();
    }
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(SOON, socket.read_to_end(&mut answer)).await;
    read.expect("the test hangs").unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("grpc-status:0"), "{answer}");
    assert!(exists(&gateway, "pieces").await);
}

/// What is refused in gRPC is refused in gRPC-web, with the same code and reason, in gRPC-web's form.
#[tokio::test]
async fn the_bounds_of_grpc_hold() {
    let gateway = web("");
    let too_large = |limit: u32| {
        let mut head = BytesMut::new();
        head.put_u8(0);
        head.put_u32(limit + 1);
        // Nothing comes after it: an answer can't have waited for the message.
        head.freeze()
    };
    for (path, limit) in [(ENQUEUE, 18 << 20), (ABORT, 1 << 20)] {
        let head = too_large(limit);
        let text = Bytes::from(BASE64_STANDARD.encode(&head));
        for (kind, body) in [(WEB, head), (TEXT, text)] {
            let answer = send(&gateway, with(post(&gateway, path, kind, body), &[])).await;
            if kind == TEXT {
                // The head of an answer without body is not in base64.
                assert!(answer.body.is_empty(), "{answer:?}");
            }
            answer.refused(Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        }
    }
    for (kind, body) in [
        (TEXT, Bytes::from_static(b"!!!!")),
        (TEXT, Bytes::from_static(b"AAA")),
        (TEXT, enqueue("a")),
        (WEB, Bytes::from_static(b"{}{}{}")),
        // A frame of trailers in a request.
        (WEB, Bytes::from_static(&[TRAILERS_FRAME, 0, 0, 0, 1, 0])),
        (WEB, Bytes::new()),
    ] {
        let answer = send(&gateway, post(&gateway, ENQUEUE, kind, body)).await;
        answer.refused(Code::InvalidArgument, "MALFORMED_REQUEST");
    }
    let unknown = post(&gateway, "/no.such.Service/Method", WEB, enqueue("a"));
    send(&gateway, unknown)
        .await
        .refused(Code::Unimplemented, "METHOD_UNKNOWN");

    let story = framed(&SubscribeRequest {
        session_key: "main".into(),
        ..SubscribeRequest::default()
    });
    let many = framed(&SubscribeManyRequest {
        filter: Some(SessionFilter::default()),
        watch: Some(SessionFilter::default()),
        ..SubscribeManyRequest::default()
    });
    for (path, story) in [(SUBSCRIBE, story), (SUBSCRIBE_MANY, many)] {
        let timed = with(
            post(&gateway, path, WEB, story),
            &[("grpc-timeout", "200m")],
        );
        let answer = send(&gateway, timed).await;
        let (messages, _) = answer.frames();
        assert!(!messages.is_empty(), "the stream had begun");
        answer.refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
}

/// On HTTP/1.1 a request that was answered before it was read ends its connection. The client is told, since what it sent
/// next would get no answer.
#[tokio::test]
async fn an_early_answer_over_http1_says_that_its_connection_ends() {
    let gateway = web("");
    // Nobody reads this body, whether it is all there or not.
    for body in ["abcd", "ab"] {
        let mut socket = TcpStream::connect(authority(&gateway)).await.unwrap();
        let request = format!(
            "POST /nothing HTTP/1.1\r\nhost: {}\r\ncontent-length: 4\r\n\r\n{body}",
            authority(&gateway)
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"not found\n") {
            let read = timeout(SOON, socket.read_buf(&mut answer)).await;
            assert_ne!(read.expect("the test hangs").unwrap(), 0);
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("connection: close"), "{answer}");
    }
    let mut socket = TcpStream::connect(authority(&gateway)).await.unwrap();
    let body = enqueue("read");
    let head = format!(
        "POST {ENQUEUE} HTTP/1.1\r\nhost: {}\r\ncontent-type: {WEB}\r\ncontent-length: {}\r\n\r\n",
        authority(&gateway),
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&body).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"0\r\n\r\n") {
        let read = timeout(SOON, socket.read_buf(&mut answer)).await;
        assert_ne!(read.expect("the test hangs").unwrap(), 0);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("connection: close"), "{answer}");
}
