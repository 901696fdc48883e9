//! `connectrpc.conformance.v1.ConformanceService`, as the suite's `service.proto` says, and how the suite starts it.

use super::{
    Details, serve,
    service::{Answer, Out, answer, many, next, single, status, well},
};
use axum::Router;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::{Message, Name, Oneof};
use prost_types::Any;
use quarterdeck::{
    domain::limits::MESSAGE_MAX_BYTES,
    grpc::handover::{self, Handed},
    listener::{Serving, TlsOptions},
};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    time::Duration,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

const SERVICE: &str = "/connectrpc.conformance.v1.ConformanceService";

/// `Name` of the messages that are sent back in an `Any`.
macro_rules! named {
    ($($type:ident $name:literal,)*) => {
        $(impl Name for $type {
            const NAME: &'static str = $name;
            const PACKAGE: &'static str = "connectrpc.conformance.v1";

            fn type_url() -> String {
                format!("type.googleapis.com/{}", Self::full_name())
            }
        })*
    };
}

named! {
    UnaryRequest "UnaryRequest",
    IdempotentUnaryRequest "IdempotentUnaryRequest",
    ServerStreamRequest "ServerStreamRequest",
    ClientStreamRequest "ClientStreamRequest",
    BidiStreamRequest "BidiStreamRequest",
    RequestInfo "ConformancePayload.RequestInfo",
}

#[derive(Clone, PartialEq, Message)]
struct Compat {
    #[prost(bool, tag = "4")]
    use_tls: bool,
    /// Who signs client certificates; then each client must show one.
    #[prost(bytes = "vec", tag = "5")]
    client_tls_cert: Vec<u8>,
    #[prost(uint32, tag = "6")]
    message_receive_limit: u32,
    #[prost(message, optional, tag = "7")]
    server_creds: Option<Credentials>,
}

/// Certificate and key, as PEM.
#[derive(Clone, PartialEq, Message)]
struct Credentials {
    #[prost(bytes = "vec", tag = "1")]
    cert: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct CompatAnswer {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(uint32, tag = "2")]
    port: u32,
    #[prost(bytes = "vec", tag = "3")]
    pem_cert: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    value: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Failure {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, optional, tag = "2")]
    message: Option<String>,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Outcome {
    #[prost(bytes, tag = "2")]
    Data(Vec<u8>),
    #[prost(message, tag = "3")]
    Error(Failure),
}

#[derive(Clone, PartialEq, Message)]
struct UnaryDefinition {
    #[prost(message, repeated, tag = "1")]
    response_headers: Vec<Header>,
    #[prost(oneof = "Outcome", tags = "2, 3")]
    response: Option<Outcome>,
    #[prost(message, repeated, tag = "4")]
    response_trailers: Vec<Header>,
    #[prost(uint32, tag = "6")]
    response_delay_ms: u32,
}

#[derive(Clone, PartialEq, Message)]
struct StreamDefinition {
    #[prost(message, repeated, tag = "1")]
    response_headers: Vec<Header>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    response_data: Vec<Vec<u8>>,
    #[prost(uint32, tag = "3")]
    response_delay_ms: u32,
    #[prost(message, optional, tag = "4")]
    error: Option<Failure>,
    #[prost(message, repeated, tag = "5")]
    response_trailers: Vec<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct UnaryRequest {
    #[prost(message, optional, tag = "1")]
    response_definition: Option<UnaryDefinition>,
    #[prost(bytes = "vec", tag = "2")]
    request_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct IdempotentUnaryRequest {
    #[prost(message, optional, tag = "1")]
    response_definition: Option<UnaryDefinition>,
    #[prost(bytes = "vec", tag = "2")]
    request_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ServerStreamRequest {
    #[prost(message, optional, tag = "1")]
    response_definition: Option<StreamDefinition>,
    #[prost(bytes = "vec", tag = "2")]
    request_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ClientStreamRequest {
    #[prost(message, optional, tag = "1")]
    response_definition: Option<UnaryDefinition>,
    #[prost(bytes = "vec", tag = "2")]
    request_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct BidiStreamRequest {
    #[prost(message, optional, tag = "1")]
    response_definition: Option<StreamDefinition>,
    #[prost(bool, tag = "2")]
    full_duplex: bool,
    #[prost(bytes = "vec", tag = "3")]
    request_data: Vec<u8>,
}

/// Every response of the service has this one field.
#[derive(Clone, PartialEq, Message)]
struct Conformed {
    #[prost(message, optional, tag = "1")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(bytes = "vec", tag = "1")]
    data: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    request_info: Option<RequestInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestInfo {
    #[prost(message, repeated, tag = "1")]
    request_headers: Vec<Header>,
    #[prost(int64, optional, tag = "2")]
    timeout_ms: Option<i64>,
    #[prost(message, repeated, tag = "3")]
    requests: Vec<Any>,
}

/// Reads what to serve, serves it, and tells where. Both messages follow their length in four bytes.
pub async fn start(details: Details) -> Serving {
    let mut input = std::io::stdin();
    let mut length = [0; 4];
    input
        .read_exact(&mut length)
        .expect("the suite says how much");
    let mut message = vec![0; u32::from_be_bytes(length) as usize];
    input.read_exact(&mut message).expect("the suite says what");
    let asked = Compat::decode(message.as_slice()).expect("a message");
    let limit = match asked.message_receive_limit {
        0 => MESSAGE_MAX_BYTES,
        limit => limit as usize,
    };
    let credentials = asked.server_creds.filter(|_| asked.use_tls);
    let pem_cert = credentials.as_ref().map(|it| it.cert.clone());
    // The listener reads files when it is bound, and goes on with what it read when they are gone.
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &[u8]| {
        let path = directory.path().join(name);
        let mut options = std::fs::OpenOptions::new();
        let file = options.create_new(true).write(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text))
            .expect("a file");
        path
    };
    let tls = credentials.map(|Credentials { cert, key }| TlsOptions {
        certificate: file("cert.pem", &cert),
        key: file("key.pem", &key),
        client_ca: (!asked.client_tls_cert.is_empty())
            .then(|| file("client.pem", &asked.client_tls_cert)),
        client_required: !asked.client_tls_cert.is_empty(),
    });
    let (serving, address) = serve(details, tls, move || routes(limit)).await;
    let answer = CompatAnswer {
        host: address.ip().to_string(),
        port: address.port().into(),
        pem_cert: pem_cert.unwrap_or_default(),
    };
    let answer = answer.encode_to_vec();
    let length = u32::try_from(answer.len()).expect("a short answer");
    let mut output = std::io::stdout();
    let told = output
        .write_all(&length.to_be_bytes())
        .and_then(|()| output.write_all(&answer))
        .and_then(|()| output.flush());
    told.expect("the suite listens");
    serving
}

fn routes(limit: usize) -> Router {
    let path = |method| format!("{SERVICE}/{method}");
    Router::new()
        .route(&path("Unary"), single(limit, unary))
        .route(&path("IdempotentUnary"), single(limit, idempotent_unary))
        .route(&path("ServerStream"), single(limit, server_stream))
        .route(
            &path("ClientStream"),
            many(limit, move |it| client_stream(limit, it)),
        )
        .route(
            &path("BidiStream"),
            many(limit, move |it| bidi_stream(limit, it)),
        )
}

async fn unary(request: Request<UnaryRequest>) -> Answer<Conformed> {
    let mut info = info(request.metadata());
    let request = request.into_inner();
    info.requests.push(any(&request));
    one_answer(request.response_definition, info).await
}

async fn idempotent_unary(request: Request<IdempotentUnaryRequest>) -> Answer<Conformed> {
    let mut info = info(request.metadata());
    let request = request.into_inner();
    info.requests.push(any(&request));
    one_answer(request.response_definition, info).await
}

async fn client_stream(
    limit: usize,
    request: Request<Streaming<ClientStreamRequest>>,
) -> Answer<Conformed> {
    let mut info = info(request.metadata());
    let mut requests = request.into_inner();
    let mut definition = None;
    while let Some(request) = next(&mut requests, limit).await? {
        if info.requests.is_empty() {
            definition.clone_from(&request.response_definition);
        }
        info.requests.push(any(&request));
    }
    one_answer(definition, info).await
}

/// The single answer of a method that takes one message or many.
async fn one_answer(definition: Option<UnaryDefinition>, info: RequestInfo) -> Answer<Conformed> {
    let definition = definition.unwrap_or_default();
    let trailers = metadata(&definition.response_trailers);
    tokio::time::sleep(milliseconds(definition.response_delay_ms)).await;
    let end = match definition.response {
        Some(Outcome::Error(error)) => {
            let error = failure(error, Some(&info), trailers);
            if definition.response_headers.is_empty() {
                return Err(error);
            }
            (None, error)
        }
        Some(Outcome::Data(data)) => (Some(data), well(trailers)),
        None => (Some(Vec::new()), well(trailers)),
    };
    answer(metadata(&definition.response_headers), async move |out| {
        let (data, end) = end;
        if let Some(data) = data {
            send(&out, conformed(data, Some(info))).await?;
        }
        Err(end)
    })
}

/// Handed over, as our own streams are.
async fn server_stream(
    request: Request<ServerStreamRequest>,
) -> Result<Response<Handed<Conformed>>, Status> {
    let mut info = info(request.metadata());
    let request = request.into_inner();
    info.requests.push(any(&request));
    let definition = request.response_definition.unwrap_or_default();
    let head = metadata(&definition.response_headers);
    let (out, frames) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let script = async {
            let delay = milliseconds(definition.response_delay_ms);
            let mut info = Some(info);
            for data in definition.response_data {
                tokio::time::sleep(delay).await;
                let message = framed(&conformed(data, info.take()));
                if out.send(Frame::data(message)).await.is_err() {
                    return;
                }
            }
            let trailers = metadata(&definition.response_trailers);
            let end = match definition.error {
                Some(error) => failure(error, info.as_ref(), trailers),
                None => well(trailers),
            };
            // Nobody may be left to hear it.
            let _ = out.send(Frame::trailers(handover::trailers(&end))).await;
        };
        tokio::select! {
            () = out.closed() => {}
            () = script => {}
        }
    });
    let frames = ReceiverStream::new(frames).map(Ok::<_, Infallible>);
    let mut response = handover::stream(StreamBody::new(frames));
    *response.metadata_mut() = head;
    Ok(response)
}

async fn bidi_stream(
    limit: usize,
    request: Request<Streaming<BidiStreamRequest>>,
) -> Answer<Conformed> {
    let mut info = info(request.metadata());
    let mut requests = request.into_inner();
    let Some(first) = next(&mut requests, limit).await? else {
        return answer(MetadataMap::new(), async |_| Ok(()));
    };
    info.requests.push(any(&first));
    let full_duplex = first.full_duplex;
    let definition = first.response_definition.unwrap_or_default();
    let head = metadata(&definition.response_headers);
    answer(head, async move |out| {
        let delay = milliseconds(definition.response_delay_ms);
        let mut data = definition.response_data.into_iter();
        let mut sent = 0;
        if full_duplex {
            for data in data.by_ref() {
                tokio::time::sleep(delay).await;
                send(&out, conformed(data, Some(std::mem::take(&mut info)))).await?;
                sent += 1;
                let Some(request) = next(&mut requests, limit).await? else {
                    break;
                };
                info.requests.push(any(&request));
            }
        } else {
            while let Some(request) = next(&mut requests, limit).await? {
                info.requests.push(any(&request));
            }
        }
        for data in data {
            tokio::time::sleep(delay).await;
            let info = (sent == 0).then(|| std::mem::take(&mut info));
            send(&out, conformed(data, info)).await?;
            sent += 1;
        }
        let trailers = metadata(&definition.response_trailers);
        Err(match definition.error {
            Some(error) => failure(error, (sent == 0).then_some(&info), trailers),
            None => well(trailers),
        })
    })
}

async fn send(out: &Out<Conformed>, message: Conformed) -> Result<(), Status> {
    let sent = out.send(Ok(message)).await;
    sent.map_err(|_| Status::cancelled("the caller left"))
}

fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(count.into())
}

fn any<M: Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

fn conformed(data: Vec<u8>, request_info: Option<RequestInfo>) -> Conformed {
    Conformed {
        payload: Some(Payload { data, request_info }),
    }
}

fn framed(message: &Conformed) -> Bytes {
    let length = u32::try_from(message.encoded_len()).expect("a short message");
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(length);
    message.encode(&mut frame).expect("the buffer grows");
    frame.freeze()
}

fn failure(error: Failure, info: Option<&RequestInfo>, trailers: MetadataMap) -> Status {
    let Failure {
        code,
        message,
        mut details,
    } = error;
    details.extend(info.map(any));
    status(code, &message.unwrap_or_default(), details, trailers)
}

/// Headers of the suite are as they stand on the wire; binary ones in base64.
fn metadata(headers: &[Header]) -> MetadataMap {
    let mut map = HeaderMap::new();
    for header in headers {
        let name = HeaderName::try_from(&header.name).expect("the suite's headers have names");
        for value in &header.value {
            let value = HeaderValue::try_from(value).expect("the suite's headers have values");
            map.append(name.clone(), value);
        }
    }
    MetadataMap::from_headers(map)
}

fn info(request: &MetadataMap) -> RequestInfo {
    let headers = request.clone().into_headers();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        found.entry(name.to_string()).or_default().push(value);
    }
    let timeout_ms = headers.get("grpc-timeout").and_then(|timeout| {
        let (count, unit) = timeout.to_str().ok()?.split_at_checked(timeout.len() - 1)?;
        let count: i64 = count.parse().ok()?;
        Some(match unit {
            "H" => count * 3_600_000,
            "M" => count * 60_000,
            "S" => count * 1000,
            "m" => count,
            "u" => count / 1000,
            _ => count / 1_000_000,
        })
    });
    RequestInfo {
        request_headers: found
            .into_iter()
            .map(|(name, value)| Header { name, value })
            .collect(),
        timeout_ms,
        requests: Vec::new(),
    }
}
