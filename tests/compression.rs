//! gzip in both directions, on the wire: what is compressed, what is not, and that a small message which becomes a large
//! one costs no more than its limit.

mod support;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use quarterdeck::{
    domain::limits::{INPUT_MESSAGE_MAX_BYTES, MESSAGE_MAX_BYTES},
    proto::{EnqueueRequest, GetTurnRequest, GetTurnResponse, SubscribeRequest},
};
use std::io::{Read, Write};
use support::{Gateway, SOON, enqueue, run};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt;

const ENQUEUE: &str = "/quarterdeck.v1.GatewayService/Enqueue";
const GET_TURN: &str = "/quarterdeck.v1.GatewayService/GetTurn";
const SUBSCRIBE: &str = "/quarterdeck.v1.GatewayService/Subscribe";
/// The first byte of a frame whose message is compressed.
const COMPRESSED: u8 = 1;
/// Bombs at a time.
const BOMBS: usize = 16;
/// Bytes that one of them would become.
const BOMB_BYTES: usize = 256 << 20;
/// Bytes that all of them together may cost the server: the room for messages of one serving runtime, and what else a
/// busy server of a debug build takes.
const BOMBS_COST_MAX_BYTES: u64 = 160 << 20;

struct Answer {
    headers: HeaderMap,
    end: Status,
    body: Bytes,
}

type Client = SendRequest<Full<Bytes>>;

async fn connect(gateway: &Gateway) -> Client {
    let authority = gateway.address.strip_prefix("http://").unwrap();
    let socket = TokioIo::new(TcpStream::connect(authority).await.unwrap());
    let (client, connection) = http2::handshake(TokioExecutor::new(), socket)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// One call, to the end of its answer.
async fn call(
    client: &Client,
    path: &str,
    headers: &[(&str, &str)],
    frame: impl Into<Bytes>,
) -> Answer {
    let mut request = Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(frame.into())).unwrap();
    let exchange = async {
        let answer = client.clone().send_request(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let end = Status::from_header_map(&trailers);
        Answer {
            end: end
                .or_else(|| Status::from_header_map(&head.headers))
                .unwrap(),
            headers: head.headers,
            body: body.to_bytes(),
        }
    };
    timeout(SOON * 2, exchange).await.expect("the test hangs")
}

#[track_caller]
fn assert_refused(answer: &Answer, code: Code, reason: &str, fact: (&str, &str)) {
    assert_eq!(answer.end.code(), code, "{:?}", answer.end);
    let info = answer.end.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.reason, reason);
    assert_eq!(info.metadata[fact.0], fact.1);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(flag);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// A compressed message of this many zeros.
fn bomb(size: usize) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..size / zeros.len() {
        encoder.write_all(&zeros).unwrap();
    }
    framed(COMPRESSED, &encoder.finish().unwrap())
}

/// The most memory that the server ever had, in bytes.
fn memory_peak(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

/// A caller that compresses is understood, and is answered so where it asks; streams of events are never compressed,
/// since all readers share their frames.
#[tokio::test]
async fn unary_calls_are_compressed_where_asked_and_streams_are_not() {
    let gateway = Gateway::start();
    let client = connect(&gateway).await;
    let asks = ("grpc-accept-encoding", "identity,gzip");
    let text = "again ".repeat(20_000);
    let request = EnqueueRequest {
        session_key: "gzip".into(),
        text: text.clone(),
        ..EnqueueRequest::default()
    };
    let frame = framed(COMPRESSED, &gzip(&request.encode_to_vec()));
    assert!(frame.len() < 2000, "it is worth it");
    let sends = ("grpc-encoding", "gzip");
    let accepted = call(&client, ENQUEUE, &[sends], frame).await;
    assert_eq!(accepted.end.code(), Code::Ok, "{:?}", accepted.end);
    assert!(!accepted.headers.contains_key("grpc-encoding"));
    assert_eq!(accepted.body[0], 0, "nobody asked");

    let turn = run(&mut gateway.client().await, "gzip", "next").await;
    let stored = GetTurnRequest {
        session_key: "gzip".into(),
        turn_id: turn.turn_id,
    };
    let stored = framed(0, &stored.encode_to_vec());
    let answer = call(&client, GET_TURN, &[asks], stored).await;
    assert_eq!(answer.headers["grpc-encoding"], "gzip");
    assert_eq!(answer.body[0], COMPRESSED);
    let mut message = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(&answer.body[5..]);
    decoder.read_to_end(&mut message).unwrap();
    let got = GetTurnResponse::decode(message.as_slice()).unwrap();
    assert_eq!(got.turn.unwrap().response_text, "next");

    let story = SubscribeRequest {
        session_key: "gzip".into(),
        from_oldest: true,
        ..SubscribeRequest::default()
    };
    let ends = ("grpc-timeout", "300m");
    let story = framed(0, &story.encode_to_vec());
    let stream = call(&client, SUBSCRIBE, &[asks, ends], story).await;
    assert!(!stream.headers.contains_key("grpc-encoding"));
    let mut rest = stream.body;
    let mut frames = 0;
    while !rest.is_empty() {
        let head = rest.split_to(5);
        assert_eq!(head[0], 0);
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let _ = rest.split_to(length as usize);
        frames += 1;
    }
    assert!(frames > 5, "{frames} frames");
}

/// The bound is on what a message becomes, by the method's own limit; `limit` says which.
#[tokio::test]
async fn a_message_that_becomes_too_large_is_refused() {
    let gateway = Gateway::start();
    let client = connect(&gateway).await;
    let sends = [("grpc-encoding", "gzip")];
    for (path, limit) in [
        (ENQUEUE, INPUT_MESSAGE_MAX_BYTES),
        (GET_TURN, MESSAGE_MAX_BYTES),
        (SUBSCRIBE, MESSAGE_MAX_BYTES),
    ] {
        let answer = call(&client, path, &sends, bomb(limit + (1 << 20))).await;
        let fact = ("limit", &*limit.to_string());
        assert_refused(&answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", fact);
    }
    // Within the limit of GetTurn, beyond it for nobody: decoded, and then no message.
    let answer = call(&client, GET_TURN, &sends, bomb(1 << 20)).await;
    assert_eq!(answer.end.code(), Code::InvalidArgument, "{:?}", answer.end);
}

/// 16 requests of 256 KiB that would become 4 GiB cost the server less than 160 MiB, and it goes on serving.
#[tokio::test]
async fn many_bombs_at_once_leave_memory_flat() {
    let gateway = Gateway::start();
    let before = memory_peak(&gateway);
    let frame = bomb(BOMB_BYTES);
    assert!(frame.len() < 300 << 10, "{} bytes", frame.len());
    let client = connect(&gateway).await;
    let mut calls = JoinSet::new();
    for _ in 0..BOMBS {
        let (client, frame) = (client.clone(), frame.clone());
        calls.spawn(
            async move { call(&client, ENQUEUE, &[("grpc-encoding", "gzip")], frame).await },
        );
    }
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap().end.code(), Code::ResourceExhausted);
    }
    let cost = memory_peak(&gateway) - before;
    assert!(cost < BOMBS_COST_MAX_BYTES, "{} MiB", cost >> 20);
    enqueue(&mut gateway.client().await, "after", "hi")
        .await
        .expect("accepted");
}

/// A compression that is not served is refused as the protocol says: the answer names those that are.
#[tokio::test]
async fn other_compressions_are_refused_with_those_that_are_served() {
    let gateway = Gateway::start();
    let client = connect(&gateway).await;
    for name in ["br", "zstd", "deflate", "snappy", "GZIP", "gzip,gzip"] {
        let answer = call(
            &client,
            ENQUEUE,
            &[("grpc-encoding", name)],
            framed(1, b"x"),
        )
        .await;
        let fact = ("grpc-encoding", name);
        assert_refused(&answer, Code::Unimplemented, "COMPRESSION_UNKNOWN", fact);
        assert_eq!(answer.headers["grpc-accept-encoding"], "gzip,identity");
    }
    // One that a caller would like in the answer, and that we don't have, is no reason to refuse.
    let request = EnqueueRequest {
        session_key: "br".into(),
        text: "hi".into(),
        ..EnqueueRequest::default()
    };
    let frame = framed(0, &request.encode_to_vec());
    let answer = call(&client, ENQUEUE, &[("grpc-accept-encoding", "br")], frame).await;
    assert_eq!(answer.end.code(), Code::Ok);
    assert!(!answer.headers.contains_key("grpc-encoding"));
}
