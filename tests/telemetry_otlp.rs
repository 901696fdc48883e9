//! Spans reach an OpenTelemetry collector, in the trace of the caller. `cargo test --features otlp --test telemetry_otlp`.
#![cfg(feature = "otlp")]

#[path = "llm_support/mod.rs"]
mod llm_support;
mod support;

use axum::{Router, body::Body, response::Response, routing::post};
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use llm_support::Model;
use prost::Message;
use quarterdeck::proto;
use support::{Gateway, Options, SOON, await_turn, run};
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
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
    #[prost(message, optional, tag = "15")]
    status: Option<SpanStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AttributeValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    number: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanStatus {
    #[prost(int32, tag = "3")]
    code: i32,
}

impl Span {
    /// An attribute as text; empty where it has none.
    fn attribute(&self, key: &str) -> String {
        let found = self.attributes.iter().find(|it| it.key == key);
        match found.and_then(|it| it.value.clone()) {
            Some(AttributeValue {
                text: Some(text), ..
            }) => text,
            Some(AttributeValue {
                number: Some(number),
                ..
            }) => number.to_string(),
            _ => String::new(),
        }
    }
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
    let turn = named("invoke_agent echo");
    assert_eq!(turn.parent_span_id, call.span_id);
}

/// Kinds of spans, as OpenTelemetry numbers them.
const INTERNAL: i32 = 1;
const CLIENT: i32 = 3;
/// Status of a span that failed.
const ERROR: i32 = 2;
/// What no span may hold.
const SAID: &str = "what-only-the-model-is-told";

/// Turns, model calls and tools are spans by the conventions for generative AI, and hold nothing of what was said.
#[tokio::test]
async fn turns_model_calls_and_tools_are_spans() {
    let (endpoint, mut received) = collector().await;
    let model = Model::start();
    let mut gateway = Gateway::with(Options {
        config: format!(
            "otlp_endpoint = \"{endpoint}\"\n[agents.model]\ndriver = \"llm\"\nmodel = \"local/fake-1\"\n\
             base_url = \"{}\"\napi = \"chat\"\napi_key = \"k\"\n",
            model.base_url()
        ),
        ..Options::default()
    });
    let mut client = gateway.client().await;
    let session = proto::CreateSessionRequest {
        session_key: "m".into(),
        agent: "model".into(),
        ..Default::default()
    };
    let session = client.create_session(session).await.expect("made");
    let session_id = session.into_inner().session.expect("one").session_id;
    run(&mut client, "m", SAID).await;
    run(&mut client, "m", "FAULT refuse").await;
    run(&mut client, "e", &format!("!tool=lookup {SAID}")).await;
    drop(client);
    gateway.terminate();
    assert_eq!(gateway.ended(SOON).await, Some(0));

    let mut spans = Vec::new();
    while let Ok(span) = received.try_recv() {
        for attribute in &span.attributes {
            let value = attribute.value.clone().unwrap_or_default();
            assert!(!format!("{value:?}").contains(SAID), "{attribute:?}");
        }
        spans.push(span);
    }
    let named = |name: &str| -> Vec<&Span> {
        let mut found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        assert!(!found.is_empty(), "no span {name} in {spans:#?}");
        found.sort_by_key(|span| span.start);
        found
    };
    let turns = named("invoke_agent model");
    assert_eq!(turns.len(), 2);
    assert_eq!(turns[0].kind, INTERNAL);
    for (key, value) in [
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.agent.name", "model"),
        ("gen_ai.conversation.id", session_id.as_str()),
        ("gen_ai.usage.input_tokens", "100"),
        ("gen_ai.usage.cache_read.input_tokens", "40"),
        ("gen_ai.usage.output_tokens", "20"),
        ("error.type", ""),
    ] {
        assert_eq!(turns[0].attribute(key), value, "{key}");
    }
    let failed = turns[1];
    assert_eq!(failed.status.as_ref().map(|it| it.code), Some(ERROR));
    assert_eq!(failed.attribute("error.type"), "AGENT_ERROR");
    let calls = named("chat fake-1");
    assert_eq!(calls[0].kind, CLIENT);
    assert_eq!(calls[0].parent_span_id, turns[0].span_id);
    assert_eq!(calls[0].trace_id, turns[0].trace_id);
    for (key, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "local"),
        ("gen_ai.request.model", "fake-1"),
        ("gen_ai.usage.input_tokens", "100"),
        ("gen_ai.usage.output_tokens", "20"),
    ] {
        assert_eq!(calls[0].attribute(key), value, "{key}");
    }
    let last = calls.last().expect("one");
    assert_eq!(last.parent_span_id, failed.span_id);
    let tool = named("execute_tool lookup")[0];
    assert_eq!(tool.parent_span_id, named("invoke_agent echo")[0].span_id);
    assert_eq!(tool.attribute("gen_ai.tool.name"), "lookup");
    assert_eq!(tool.attribute("gen_ai.operation.name"), "execute_tool");
}
