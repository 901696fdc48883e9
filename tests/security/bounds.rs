//! What a message becomes in memory, and what of it is looked at: through the real server, on every method.

use crate::{
    support::{Gateway, raw::Raw},
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
