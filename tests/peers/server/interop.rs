//! `grpc.testing.TestService`, as <https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md> says.

use super::service::{Answer, Out, answer, many, single, status, well};
use axum::Router;
use prost::Message;
use quarterdeck::domain::limits::MESSAGE_MAX_BYTES;
use std::time::Duration;
use tonic::{Request, Status, Streaming, metadata::MetadataMap};

/// Metadata that comes back in the head, and in the trailers.
const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";

#[derive(Clone, PartialEq, Message)]
struct Empty {}

#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(int32, tag = "1")]
    r#type: i32,
    #[prost(bytes = "vec", tag = "2")]
    body: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct EchoStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
struct SimpleRequest {
    #[prost(int32, tag = "2")]
    response_size: i32,
    #[prost(message, optional, tag = "7")]
    response_status: Option<EchoStatus>,
}

/// Also `StreamingOutputCallResponse`.
#[derive(Clone, PartialEq, Message)]
struct Answered {
    #[prost(message, optional, tag = "1")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, Message)]
struct InputRequest {
    #[prost(message, optional, tag = "1")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, Message)]
struct InputResponse {
    #[prost(int32, tag = "1")]
    aggregated_payload_size: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseParameters {
    #[prost(int32, tag = "1")]
    size: i32,
    #[prost(int32, tag = "2")]
    interval_us: i32,
}

#[derive(Clone, PartialEq, Message)]
struct OutputRequest {
    #[prost(message, repeated, tag = "2")]
    response_parameters: Vec<ResponseParameters>,
    #[prost(message, optional, tag = "7")]
    response_status: Option<EchoStatus>,
}

pub fn routes() -> Router {
    let limit = MESSAGE_MAX_BYTES;
    let path = |method| format!("/grpc.testing.TestService/{method}");
    Router::new()
        .route(&path("EmptyCall"), single(limit, empty))
        .route(&path("UnaryCall"), single(limit, unary))
        .route(&path("StreamingOutputCall"), single(limit, output))
        .route(&path("StreamingInputCall"), many(limit, input))
        .route(&path("FullDuplexCall"), many(limit, duplex))
}

async fn empty(_: Request<Empty>) -> Answer<Empty> {
    answer(MetadataMap::new(), async move |out: Out<Empty>| {
        send(&out, Empty {}).await
    })
}

async fn unary(request: Request<SimpleRequest>) -> Answer<Answered> {
    let (head, trailers) = echoed(request.metadata());
    let request = request.into_inner();
    failure(request.response_status)?;
    answer(head, async move |out| {
        send(&out, payload(request.response_size)).await?;
        Err(well(trailers))
    })
}

async fn output(request: Request<OutputRequest>) -> Answer<Answered> {
    answer(MetadataMap::new(), async move |out| {
        follow(&out, request.into_inner()).await
    })
}

async fn input(request: Request<Streaming<InputRequest>>) -> Answer<InputResponse> {
    let mut requests = request.into_inner();
    let mut sum = 0;
    while let Some(request) = requests.message().await? {
        sum += request.payload.map_or(0, |payload| payload.body.len());
    }
    let aggregated_payload_size = i32::try_from(sum).expect("the suite sends little");
    answer(MetadataMap::new(), async move |out| {
        send(
            &out,
            InputResponse {
                aggregated_payload_size,
            },
        )
        .await
    })
}

async fn duplex(request: Request<Streaming<OutputRequest>>) -> Answer<Answered> {
    let (head, trailers) = echoed(request.metadata());
    let mut requests = request.into_inner();
    answer(head, async move |out| {
        while let Some(request) = requests.message().await? {
            follow(&out, request).await?;
        }
        Err(well(trailers))
    })
}

async fn follow(out: &Out<Answered>, request: OutputRequest) -> Result<(), Status> {
    failure(request.response_status)?;
    for parameters in request.response_parameters {
        let interval = u64::try_from(parameters.interval_us).unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(interval)).await;
        send(out, payload(parameters.size)).await?;
    }
    Ok(())
}

async fn send<M>(out: &Out<M>, message: M) -> Result<(), Status> {
    let sent = out.send(Ok(message)).await;
    sent.map_err(|_| Status::cancelled("the caller left"))
}

fn failure(asked: Option<EchoStatus>) -> Result<(), Status> {
    match asked {
        Some(EchoStatus { code, message }) if code != 0 => {
            Err(status(code, &message, Vec::new(), MetadataMap::new()))
        }
        Some(_) | None => Ok(()),
    }
}

fn payload(size: i32) -> Answered {
    let body = vec![0; usize::try_from(size).unwrap_or(0)];
    Answered {
        payload: Some(Payload { r#type: 0, body }),
    }
}

/// What goes into the head, and what into the trailers.
fn echoed(request: &MetadataMap) -> (MetadataMap, MetadataMap) {
    let (mut head, mut trailers) = (MetadataMap::new(), MetadataMap::new());
    if let Some(value) = request.get(ECHO_INITIAL) {
        head.insert(ECHO_INITIAL, value.clone());
    }
    if let Some(value) = request.get_bin(ECHO_TRAILING) {
        trailers.insert_bin(ECHO_TRAILING, value.clone());
    }
    (head, trailers)
}
