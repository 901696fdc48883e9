//! What a message becomes in memory, and what of it is looked at: through the real server, on every method.

use crate::{
    support::{Gateway, Options, SOON, raw::Raw},
    world::{Bearer, Wire},
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use quarterdeck::proto;
use tonic::{
    Code, Request, Status, client::Grpc, metadata::MetadataValue,
    service::interceptor::InterceptedService,
};
use tonic_types::StatusExt as _;

/// What the server may grow by at the peak of what follows, in bytes.
const PEAK_BYTES: u64 = 96 << 20;
const KIB: usize = 1024;

/// Sends bytes as the request of a method.
async fn send(wire: &Wire, path: &str, bytes: Vec<u8>) -> Result<(), Status> {
    let mut client = Grpc::new(wire.clone()).max_encoding_message_size(usize::MAX);
    client.ready().await.expect("ready");
    let path = path.parse().expect("a path");
    let request = Request::new(tokio_stream::iter([bytes]));
    let mut answer = client.streaming(request, path, Raw).await?.into_inner();
    answer.message().await.map(drop)
}

fn methods() -> Vec<String> {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("the build wrote it");
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                methods.push(format!(
                    "/{}.{}/{}",
                    file.package(),
                    service.name(),
                    method.name()
                ));
            }
        }
    }
    methods
}

fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.expect("the kernel says it") << 10
}

async fn wire(gateway: &Gateway) -> Wire {
    let channel = tonic::transport::Endpoint::from_shared(gateway.address.clone());
    let channel = channel.expect("an address").connect().await;
    InterceptedService::new(channel.expect("it accepts"), Bearer::key("none"))
}

/// SECURITY.md, messages: many small fields, deep ones and unknown ones cost no more than their bytes, and are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_message_becomes_is_bounded_on_every_method() {
    let gateway = Gateway::start();
    let wire = wire(&gateway).await;
    let before = peak(gateway.pid());
    let methods = methods();
    assert!(methods.len() > 25, "{methods:?}");
    // Field 900 is nobody's. `1a 00` is an empty attachment of Enqueue and Steer, and an unknown or wrong field of others.
    let unknown = [0xa0, 0x38, 0x01].repeat(64 * KIB);
    let groups = [vec![0x7b; 10_000], vec![0x7c; 10_000]].concat();
    let torn = vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for method in &methods {
        for (what, bytes) in [("unknown", &unknown), ("groups", &groups), ("torn", &torn)] {
            let refused = send(&wire, method, bytes.clone()).await;
            let refused = refused.expect_err("it is no request");
            assert_eq!(
                refused.code(),
                Code::InvalidArgument,
                "{method} {what}: {refused:?}"
            );
            let info = refused
                .get_details_error_info()
                .expect("every error has it");
            assert_eq!(info.reason, "MALFORMED_REQUEST", "{method} {what}");
        }
    }
    let service = "/quarterdeck.v1.GatewayService";
    let many = [0x1a, 0x00].repeat(17 * KIB * KIB / 2);
    for method in ["Enqueue", "Steer"] {
        let refused = send(&wire, &format!("{service}/{method}"), many.clone()).await;
        let refused = refused.expect_err("too many");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains("fields"), "{refused:?}");
    }
    let mut run = vec![0x0a];
    prost::encoding::encode_varint(many.len() as u64, &mut run);
    run.extend(&many);
    let refused = send(&wire, &format!("{service}/Run"), run).await;
    let refused = refused.expect_err("too many, one level down");
    assert!(refused.message().contains("fields"), "{refused:?}");
    let grown = peak(gateway.pid()) - before;
    assert!(grown < PEAK_BYTES, "it grew by {} MiB", grown >> 20);
}

/// SECURITY.md: metadata that is no text is passed over or refused, and nobody else notices.
#[tokio::test]
async fn metadata_that_is_no_text_harms_nobody() {
    let gateway = Gateway::start();
    let mut client = gateway.client().await;
    let request = || {
        Request::new(proto::GetSessionRequest {
            session_key: "main".into(),
            ..Default::default()
        })
    };
    for name in [
        "x-request-id",
        "traceparent",
        "authorization",
        "user-agent-x",
    ] {
        // Bytes above 0x7f are legal in HTTP/2 and no UTF-8 here.
        let value = http::HeaderValue::from_bytes(b"\xff\xfe\x80").expect("HTTP allows it");
        let mut request = request();
        let mut headers = http::HeaderMap::new();
        headers.insert(http::HeaderName::from_static(name), value);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        client
            .get_session(request)
            .await
            .expect("nobody reads it here");
    }
    let mut binary = request();
    let value = MetadataValue::from_bytes(&[0, 255, 1]);
    binary.metadata_mut().insert_bin("x-some-bin", value);
    client
        .get_session(binary)
        .await
        .expect("nobody reads it here");
    client.get_session(request()).await.expect("it goes on");
}

/// One HTTP/2 connection without a client's own bounds in between.
async fn http2(gateway: &Gateway) -> h2::client::SendRequest<bytes::Bytes> {
    let address = gateway.address.strip_prefix("http://").expect("plain");
    let socket = tokio::net::TcpStream::connect(address).await;
    let (client, connection) = h2::client::handshake(socket.expect("it accepts"))
        .await
        .expect("it speaks HTTP/2");
    tokio::spawn(async move { drop(connection.await) });
    client
}

/// Calls GetSession with these headers besides; returns the HTTP status and the call's own.
async fn call_with(
    client: &h2::client::SendRequest<bytes::Bytes>,
    path: &str,
    headers: &[(String, String)],
) -> (http::StatusCode, Option<Status>) {
    let mut request = http::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let message = proto::GetSessionRequest {
        session_key: "main".into(),
        ..Default::default()
    };
    let mut body = vec![0];
    body.extend((message.encoded_len() as u32).to_be_bytes());
    message.encode(&mut body).expect("there is room");
    let ready = client.clone().ready().await;
    let (answer, mut sender) = ready
        .expect("the connection lives")
        .send_request(request.body(()).expect("a request"), false)
        .expect("it is sent");
    // The server may have answered without it.
    let _ = sender.send_data(body.into(), true);
    let answer = tokio::time::timeout(SOON, answer).await.expect("in time");
    let (head, mut body) = answer.expect("the call is answered").into_parts();
    while let Some(data) = body.data().await {
        let data = data.expect("the stream lives");
        let _ = body.flow_control().release_capacity(data.len());
    }
    let trailers = body.trailers().await.expect("the stream lives");
    let status = trailers.as_ref().and_then(Status::from_header_map);
    let status = status.or_else(|| Status::from_header_map(&head.headers));
    (head.status, status)
}

/// Metadata above the bound is refused with a name, whatever its shape, and neither the calls beside it nor the
/// connection notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn too_much_metadata_is_refused_by_name_and_costs_that_call_alone() {
    let gateway = Gateway::start();
    let get = "/quarterdeck.v1.GatewayService/GetSession";
    let client = http2(&gateway).await;
    // A neighbour on the same connection.
    let watch = http::Request::post("http://localhost/quarterdeck.v1.GatewayService/WatchSessions")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let (neighbour, mut sender) = client
        .clone()
        .ready()
        .await
        .expect("the connection lives")
        .send_request(watch.body(()).expect("a request"), false)
        .expect("it is sent");
    sender
        .send_data(vec![0; 5].into(), true)
        .expect("an empty message");
    let neighbour = neighbour.await.expect("it is answered");
    assert_eq!(neighbour.status(), http::StatusCode::OK);

    let one = |size: usize| vec![("x-large".to_owned(), "v".repeat(size))];
    let many = |size: usize| {
        (0..size / 100)
            .map(|number| (format!("x-{number:06}"), "v".repeat(60)))
            .collect::<Vec<_>>()
    };
    for size in [17 * KIB, 31 * KIB] {
        for headers in [one(size), many(size)] {
            let (http, status) = call_with(&client, get, &headers).await;
            assert_eq!(http, http::StatusCode::OK, "{size}");
            assert_eq!(status.expect("a call").code(), Code::Ok, "{size}");
        }
    }
    for size in [33 * KIB, 64 * KIB, 100 * KIB, 250 * KIB] {
        for headers in [one(size), many(size)] {
            let (http, status) = call_with(&client, get, &headers).await;
            assert_eq!(http, http::StatusCode::OK, "{size}");
            let status = status.expect("a call");
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            let info = status.get_details_error_info().expect("every error has it");
            assert_eq!(info.reason, "METADATA_TOO_LARGE");
            assert_eq!(info.metadata["limit"], "32768");
        }
    }
    // Beyond what HTTP/2 takes it answers itself, that call alone.
    for headers in [one(270 * KIB), many(300 * KIB)] {
        let (http, _) = call_with(&client, get, &headers).await;
        assert_eq!(http, http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    // The connection and the neighbour live.
    let (_, status) = call_with(&client, get, &[]).await;
    assert_eq!(status.expect("a call").code(), Code::Ok);
    let mut watched = neighbour.into_body();
    let mut gateway_client = gateway.client().await;
    crate::support::run(&mut gateway_client, "new", "hello").await;
    let mut seen = Vec::new();
    while !seen.windows(3).any(|it| it == b"new") {
        let data = tokio::time::timeout(SOON, watched.data()).await;
        let data = data.expect("in time").expect("it goes on");
        let data = data.expect("it was not cut");
        let _ = watched.flow_control().release_capacity(data.len());
        seen.extend(data);
    }
    let info = proto::admin_service_client::AdminServiceClient::connect(gateway.address.clone())
        .await
        .expect("it accepts")
        .get_server_info(proto::GetServerInfoRequest {})
        .await
        .expect("everybody may ask")
        .into_inner();
    assert_eq!(info.limits.expect("they are told").metadata_bytes, 32_768);
}

/// Who calls by a foreign name, or to a wrong place, is told so in gRPC: its client shows nothing else.
#[tokio::test]
async fn a_grpc_caller_is_told_in_grpc_what_is_wrong_with_its_address() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let gateway = Gateway::with(Options {
        log: Some(log.path().to_owned()),
        ..Options::default()
    });
    // As tonic, and gRPC clients like it, show it.
    let endpoint = tonic::transport::Endpoint::from_shared(gateway.address.clone())
        .expect("an address")
        .origin("http://agents.example.org".parse().expect("a name"));
    let channel = endpoint.connect().await.expect("it accepts");
    let mut client = proto::gateway_service_client::GatewayServiceClient::new(channel);
    let refused = client
        .get_session(proto::GetSessionRequest::default())
        .await;
    let refused = refused.expect_err("the name is foreign");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    assert!(refused.message().contains("allowed_hosts"), "{refused:?}");
    let info = refused
        .get_details_error_info()
        .expect("every error has it");
    assert_eq!(info.reason, "HOST_UNKNOWN");
    assert_eq!(info.metadata["host"], "agents.example.org");
    let log = std::fs::read_to_string(log.path()).expect("it is there");
    let line = log.lines().find(|it| it.contains("agents.example.org"));
    let line = line.expect("whoever set it up finds it in the log");
    assert!(
        line.contains("allowed_hosts") && line.contains("WARN"),
        "{line}"
    );

    let client = http2(&gateway).await;
    for path in [
        "/",
        "/mcp",
        "/mcp/quarterdeck.v1.GatewayService/GetSession",
        "/quarterdeck.v1.GatewayService",
        "/quarterdeck.v1.GatewayService/Nope",
        "/GetSession",
    ] {
        let (http, status) = call_with(&client, path, &[]).await;
        assert_eq!(http, http::StatusCode::OK, "{path}");
        let status = status.unwrap_or_else(|| panic!("{path}: no status"));
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
        let info = status.get_details_error_info();
        assert_eq!(
            info.expect("every error has it").reason,
            "METHOD_UNKNOWN",
            "{path}"
        );
    }
}
