//! Spans reach an OpenTelemetry collector, in the trace of the caller. `cargo test --features otlp --test telemetry_otlp`.
#![cfg(feature = "otlp")]

mod support;

use axum::{Router, body::Body, response::Response, routing::post};
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use prost::Message;
use quarterdeck::proto;
use support::{Gateway, Options, SOON, await_turn};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Status, service::Routes, transport::Server};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN_ID: &str = "00f067aa0ba902b7";
/// Spans that may wait for the test.
const SPANS_MAX: usize = 1024;

/// The parts of `opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest` that are looked at.
#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
}

/// A collector: hands on each span that it gets.
async fn collector() -> (String, mpsc::Receiver<Span>) {
    let (spans, received) = mpsc::channel(SPANS_MAX);
    let export = move |body: Body| {
        let spans = spans.clone();
        async move {
            let bytes = body.collect().await.expect("whole").to_bytes();
            // Behind the flag and the length of the only message.
            let request = ExportRequest::decode(&bytes[5..]).expect("a request");
            for resource in request.resource_spans {
                for span in resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans)
                {
                    spans.send(span).await.expect("the test listens");
                }
            }
            let mut trailers = HeaderMap::new();
            Status::ok("").add_header(&mut trailers).expect("it fits");
            let answer = Full::new(Bytes::from_static(&[0; 5]));
            let answer = answer.with_trailers(async { Some(Ok(trailers)) });
            Response::builder()
                .header("content-type", "application/grpc")
                .body(Body::new(answer))
                .expect("a response")
        }
    };
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let routes = Routes::from(Router::new().route(path, post(export)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = Server::builder().add_routes(routes);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (format!("http://{address}"), received)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An Enqueue and its turn are spans of the caller's trace, one below the other; a drain sends the last of them.
#[tokio::test]
async fn a_call_and_its_turn_are_spans_of_the_callers_trace() {
    let (endpoint, mut received) = collector().await;
    let mut gateway = Gateway::with(Options {
        config: format!("otlp_endpoint = \"{endpoint}\"\n"),
        ..Options::default()
    });
    let mut client = gateway.client().await;
    let mut request = Request::new(proto::EnqueueRequest {
        session_key: "traced".into(),
        text: "hi".into(),
        ..Default::default()
    });
    let traceparent = format!("00-{TRACE_ID}-{SPAN_ID}-01");
    request
        .metadata_mut()
        .insert("traceparent", traceparent.parse().expect("ASCII"));
    let turn = client.enqueue(request).await.expect("accepted");
    let turn = turn.into_inner().turn.expect("a turn");
    await_turn(&mut client, "traced", &turn.turn_id).await;
    drop(client);
    gateway.terminate();
    assert_eq!(gateway.ended(SOON).await, Some(0));

    let mut spans = Vec::new();
    while let Ok(span) = received.try_recv() {
        spans.push(span);
    }
    let named = |name: &str| {
        let mut found = spans
            .iter()
            .filter(|span| span.name == name && hex(&span.trace_id) == TRACE_ID);
        let span = found.next();
        span.unwrap_or_else(|| panic!("no span {name} of the trace in {spans:#?}"))
    };
    let call = named("quarterdeck.v1.GatewayService/Enqueue");
    assert_eq!(hex(&call.parent_span_id), SPAN_ID);
    let turn = named("turn");
    assert_eq!(turn.parent_span_id, call.span_id);
}
