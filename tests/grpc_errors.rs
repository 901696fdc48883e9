//! Errors born in the transport, through real sockets: what the layers make of calls that no handler should see, and of
//! handlers that fail. Every refusal carries the details of the contract's error table.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use quarterdeck::{
    domain::{Refusal, limits},
    grpc::{
        handover::{self, Handed},
        layers, web,
    },
    listener::{Listener, ListenerOptions, Serving},
    proto::{
        gateway_service_server::{GatewayService, GatewayServiceServer},
        *,
    },
};
use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tonic::{Code, Request, Response, Status, body::Body, service::Routes};
use tonic_types::StatusExt;

/// A test that waits longer has hung.
const PATIENCE: Duration = Duration::from_secs(30);
const ENQUEUE: &str = "/quarterdeck.v1.GatewayService/Enqueue";
const ABORT: &str = "/quarterdeck.v1.GatewayService/Abort";
const GET_TURN: &str = "/quarterdeck.v1.GatewayService/GetTurn";
const SUBSCRIBE: &str = "/quarterdeck.v1.GatewayService/Subscribe";

/// A body of ready frames, and what it does after them.
struct Script {
    frames: VecDeque<Frame<Bytes>>,
    then: Then,
}

enum Then {
    End,
    Wait,
    Panic,
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match self.then {
            Then::End => Poll::Ready(None),
            Then::Wait => Poll::Pending,
            Then::Panic => panic!("the body broke"),
        }
    }
}

/// Does what the session's key says.
struct Scripted;

impl Scripted {
    async fn follow(key: &str) -> Result<(), Status> {
        match key {
            "panic" => panic!("the handler broke"),
            "hang" => std::future::pending().await,
            "busy" => Err(Refusal::SessionBusy {
                active_turn_id: "t1".into(),
            }
            .into()),
            _ => Ok(()),
        }
    }
}

macro_rules! scripted {
    ($($method:ident $request:ident $response:ident,)*) => {
        #[tonic::async_trait]
        impl GatewayService for Scripted {
            type RunStream = Handed<GatewayEvent>;
            type SubscribeStream = Handed<GatewayEvent>;
            type SubscribeManyStream = Handed<GatewayEvent>;
            type WatchSessionsStream = Handed<SessionSnapshot>;

            async fn enqueue(
                &self,
                request: Request<EnqueueRequest>,
            ) -> Result<Response<EnqueueResponse>, Status> {
                let request = request.into_inner();
                Self::follow(&request.session_key).await?;
                let sizes = request.attachments.iter().map(|it| it.data.len() as i64);
                Ok(Response::new(EnqueueResponse {
                    seq: sizes.sum(),
                    ..EnqueueResponse::default()
                }))
            }

            async fn abort(
                &self,
                request: Request<AbortRequest>,
            ) -> Result<Response<AbortResponse>, Status> {
                Self::follow(&request.into_inner().session_key).await?;
                Ok(Response::new(AbortResponse::default()))
            }

            async fn get_turn(
                &self,
                request: Request<GetTurnRequest>,
            ) -> Result<Response<GetTurnResponse>, Status> {
                let turn_id = request.into_inner().turn_id;
                let turn = Some(Turn { turn_id, ..Turn::default() });
                Ok(handover::message(&GetTurnResponse { turn }.encode_to_vec()))
            }

            async fn subscribe(
                &self,
                request: Request<SubscribeRequest>,
            ) -> Result<Response<Self::SubscribeStream>, Status> {
                let key = request.into_inner().session_key;
                let event = GatewayEvent { seq: 7, ..GatewayEvent::default() };
                let mut frames = VecDeque::from([Frame::data(framed(&event.encode_to_vec()))]);
                let then = match key.as_str() {
                    "open" => Then::Wait,
                    "panic" => Then::Panic,
                    _ => {
                        let end = Refusal::Draining { last_seq: Some(7) }.into();
                        frames.push_back(Frame::trailers(handover::trailers(&end)));
                        Then::End
                    }
                };
                Ok(handover::stream(Script { frames, then }))
            }

            async fn run(
                &self,
                _: Request<RunRequest>,
            ) -> Result<Response<Self::RunStream>, Status> {
                Err(Refusal::Fenced.into())
            }

            async fn subscribe_many(
                &self,
                _: Request<SubscribeManyRequest>,
            ) -> Result<Response<Self::SubscribeManyStream>, Status> {
                Err(Refusal::Fenced.into())
            }

            async fn watch_sessions(
                &self,
                _: Request<WatchSessionsRequest>,
            ) -> Result<Response<Self::WatchSessionsStream>, Status> {
                Err(Refusal::Fenced.into())
            }

            $(async fn $method(
                &self,
                _: Request<$request>,
            ) -> Result<Response<$response>, Status> {
                Err(Refusal::Fenced.into())
            })*
        }
    };
}

scripted! {
    await_turn AwaitTurnRequest AwaitTurnResponse,
    list_turns ListTurnsRequest ListTurnsResponse,
    list_files ListFilesRequest ListFilesResponse,
    read_file ReadFileRequest ReadFileResponse,
    get_diff GetDiffRequest GetDiffResponse,
    list_artifacts ListArtifactsRequest ListArtifactsResponse,
    list_questions ListQuestionsRequest ListQuestionsResponse,
    get_question GetQuestionRequest GetQuestionResponse,
    answer_question AnswerQuestionRequest AnswerQuestionResponse,
    list_options ListOptionsRequest ListOptionsResponse,
    set_option SetOptionRequest SetOptionResponse,
    list_commands ListCommandsRequest ListCommandsResponse,
    execute_command ExecuteCommandRequest ExecuteCommandResponse,
    compact_session CompactSessionRequest CompactSessionResponse,
    reload_session ReloadSessionRequest ReloadSessionResponse,
    steer SteerRequest SteerResponse,
    reset ResetRequest ResetResponse,
    list_queue ListQueueRequest ListQueueResponse,
    update_queued UpdateQueuedRequest UpdateQueuedResponse,
    remove_queued RemoveQueuedRequest RemoveQueuedResponse,
    clear_queue ClearQueueRequest ClearQueueResponse,
    read_events ReadEventsRequest ReadEventsResponse,
    create_session CreateSessionRequest CreateSessionResponse,
    get_session GetSessionRequest GetSessionResponse,
    get_session_state GetSessionStateRequest GetSessionStateResponse,
    list_sessions ListSessionsRequest ListSessionsResponse,
    update_session UpdateSessionRequest UpdateSessionResponse,
    delete_session DeleteSessionRequest DeleteSessionResponse,
    fork_session ForkSessionRequest ForkSessionResponse,
    list_messages ListMessagesRequest ListMessagesResponse,
    get_attachment GetAttachmentRequest GetAttachmentResponse,
}

/// What a call was answered with.
#[derive(Debug)]
struct Answer {
    http: StatusCode,
    /// From the trailers, or from the head of an answer without body.
    status: Option<Status>,
    body: Bytes,
}

struct Gateway {
    /// Plain HTTP/2: a gRPC client would check calls, and keep deadlines, itself.
    client: SendRequest<Body>,
    _serving: Serving,
}

impl Gateway {
    async fn start() -> Self {
        Self::start_with(|routes| {
            web::layered(
                layers::layered(routes, layers::Gate::open()),
                web::Pages::None,
            )
        })
        .await
    }

    async fn start_with(layered: fn(axum::Router) -> axum::Router) -> Self {
        let options = ListenerOptions {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            max_connections: 10,
            ..ListenerOptions::default()
        };
        let listener = Listener::bind(options).await.unwrap();
        let address = listener.local_addr();
        let serving = listener.serve(move |_| {
            let service = GatewayServiceServer::new(Scripted)
                .max_decoding_message_size(limits::INPUT_MESSAGE_MAX_BYTES);
            let (_, health) = tonic_health::server::health_reporter();
            let reflection = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .build_v1()
                .unwrap();
            let routes = Routes::from(axum::Router::new())
                .add_service(service)
                .add_service(health)
                .add_service(reflection);
            layered(routes.into_axum_router())
        });
        let socket = TokioIo::new(within(TcpStream::connect(address)).await.unwrap());
        let handshake = http2::handshake(TokioExecutor::new(), socket);
        let (client, connection) = within(handshake).await.unwrap();
        tokio::spawn(connection);
        Self {
            client,
            _serving: serving,
        }
    }

    async fn send(&self, request: http::Request<Body>) -> Answer {
        let answer = self.client.clone().send_request(request);
        let answer = within(answer).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = within(body.collect()).await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let status = |headers: &HeaderMap| Status::from_header_map(headers);
        Answer {
            http: head.status,
            status: status(&trailers).or_else(|| status(&head.headers)),
            body: body.to_bytes(),
        }
    }

    async fn call(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(request(path, full(body))).await
    }

    async fn ask(&self, path: &str, message: impl Message) -> Answer {
        self.call(path, framed(&message.encode_to_vec())).await
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.expect("the test hangs")
}

fn request(path: &str, body: Body) -> http::Request<Body> {
    http::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

fn full(body: impl Into<Bytes>) -> Body {
    Body::new(Full::new(body.into()))
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

fn enqueue(key: &str) -> EnqueueRequest {
    EnqueueRequest {
        session_key: key.into(),
        text: "hi".into(),
        ..EnqueueRequest::default()
    }
}

fn subscribe(key: &str) -> SubscribeRequest {
    SubscribeRequest {
        session_key: key.into(),
        ..SubscribeRequest::default()
    }
}

#[track_caller]
fn assert_refused(answer: &Answer, code: Code, reason: &str) {
    assert_eq!(answer.http, StatusCode::OK);
    let status = answer.status.as_ref().expect("a status");
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has an ErrorInfo");
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        (reason, "quarterdeck"),
        "{status:?}"
    );
}

#[track_caller]
fn assert_ok(answer: &Answer) {
    let status = answer.status.as_ref().expect("a status");
    assert_eq!(status.code(), Code::Ok, "{status:?}");
}

#[tokio::test]
async fn unknown_methods_and_services_are_unimplemented() {
    let gateway = Gateway::start().await;
    for path in [
        "/quarterdeck.v1.GatewayService/Nope",
        "/quarterdeck.v1.GatewayService/",
        "/quarterdeck.v9.Other/Enqueue",
        "/x",
    ] {
        let answer = gateway.call(path, framed(&[])).await;
        assert_refused(&answer, Code::Unimplemented, "METHOD_UNKNOWN");
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_are_malformed() {
    let gateway = Gateway::start().await;
    let cut = &framed(&enqueue("a").encode_to_vec())[..7];
    for (what, body) in [
        ("no protobuf", framed(&[0xff; 9])),
        ("no frame", Bytes::from_static(b"{\"sessionKey\": \"a\"}")),
        ("nothing", Bytes::new()),
        ("half a header", Bytes::from_static(&[0, 0])),
        ("half a message", Bytes::copy_from_slice(cut)),
        ("no UTF-8", framed(b"\x0a\x02\xff\xfe")),
        (
            "compressed, unannounced",
            Bytes::from_static(&[1, 0, 0, 0, 1, 0]),
        ),
    ] {
        for path in [ENQUEUE, ABORT, SUBSCRIBE] {
            let answer = gateway.call(path, body.clone()).await;
            println!("{what}: {:?}", answer.status.as_ref().map(Status::message));
            assert_refused(&answer, Code::InvalidArgument, "MALFORMED_REQUEST");
        }
    }
    let mut compressed = request(ENQUEUE, full(framed(&[])));
    compressed
        .headers_mut()
        .insert("grpc-encoding", "gzip".parse().unwrap());
    let answer = gateway.send(compressed).await;
    assert_refused(&answer, Code::InvalidArgument, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_by_its_header() {
    let gateway = Gateway::start().await;
    for (path, limit) in [
        (ENQUEUE, limits::INPUT_MESSAGE_MAX_BYTES),
        (ABORT, limits::MESSAGE_MAX_BYTES),
        (SUBSCRIBE, limits::MESSAGE_MAX_BYTES),
    ] {
        let mut header = BytesMut::new();
        header.put_u8(0);
        header.put_u32(limit as u32 + 1);
        // Nothing comes after the header: an answer can't have waited for the message.
        let body = Script {
            frames: VecDeque::from([Frame::data(header.freeze())]),
            then: Then::Wait,
        };
        let answer = gateway.send(request(path, Body::new(body))).await;
        assert_refused(&answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        // Who sends it all the same gets the answer too, and not a reset.
        let answer = gateway.call(path, framed(&vec![0; limit + 1])).await;
        assert_refused(&answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        let details = answer.status.unwrap().get_error_details();
        assert_eq!(
            details.error_info().unwrap().metadata["limit"],
            limit.to_string()
        );
        assert!(details.quota_failure().is_some());
    }
}

#[tokio::test]
async fn a_message_as_large_as_its_bound_gets_through() {
    let gateway = Gateway::start().await;
    let mut largest = enqueue("a");
    largest.attachments.push(Attachment::default());
    let rest = limits::INPUT_MESSAGE_MAX_BYTES - largest.encoded_len();
    // Tags and lengths of the attachment and of its data take up to 10 bytes.
    largest.attachments[0].data = vec![0; rest - 10].into();
    assert!(largest.encoded_len() > limits::INPUT_MESSAGE_MAX_BYTES - 10);
    let answer = gateway.ask(ENQUEUE, largest).await;
    assert_ok(&answer);
    let response = EnqueueResponse::decode(&answer.body[5..]).unwrap();
    assert_eq!(response.seq, rest as i64 - 10);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_says_so() {
    let gateway = Gateway::start().await;
    let timed = |path, message: Vec<u8>, timeout: &str| {
        let mut request = request(path, full(framed(&message)));
        request
            .headers_mut()
            .insert("grpc-timeout", timeout.parse().unwrap());
        request
    };
    let answer = gateway
        .send(timed(ENQUEUE, enqueue("hang").encode_to_vec(), "50m"))
        .await;
    assert_refused(&answer, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    // A stream ends with what it sent before.
    let answer = gateway
        .send(timed(SUBSCRIBE, subscribe("open").encode_to_vec(), "50m"))
        .await;
    assert_refused(&answer, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!(GatewayEvent::decode(&answer.body[5..]).unwrap().seq, 7);
    // Far away is as good as none.
    assert_ok(
        &gateway
            .send(timed(ENQUEUE, enqueue("a").encode_to_vec(), "99999999H"))
            .await,
    );
    let answer = gateway
        .send(timed(ENQUEUE, enqueue("a").encode_to_vec(), "soon"))
        .await;
    assert_refused(&answer, Code::InvalidArgument, "INVALID_FIELD");
}

#[tokio::test]
async fn a_panic_costs_its_call_alone_and_tells_no_cause() {
    let gateway = Gateway::start().await;
    for answer in [
        gateway.ask(ENQUEUE, enqueue("panic")).await,
        gateway.ask(SUBSCRIBE, subscribe("panic")).await,
    ] {
        assert_refused(&answer, Code::Internal, "INTERNAL");
        let status = answer.status.unwrap();
        assert!(!status.message().contains("broke"), "{status:?}");
    }
    assert_ok(&gateway.ask(ENQUEUE, enqueue("a")).await);
}

#[tokio::test]
async fn what_a_handler_refuses_passes_as_it_is() {
    let gateway = Gateway::start().await;
    let answer = gateway.ask(ENQUEUE, enqueue("busy")).await;
    assert_refused(&answer, Code::FailedPrecondition, "SESSION_BUSY");
    let details = answer.status.unwrap().get_error_details();
    assert_eq!(
        details.error_info().unwrap().metadata["active_turn_id"],
        "t1"
    );
    assert_eq!(
        details.precondition_failure().unwrap().violations[0].r#type,
        "SESSION_BUSY"
    );
}

#[tokio::test]
async fn a_handed_over_body_replaces_the_empty_one() {
    let gateway = Gateway::start().await;
    let answer = gateway.ask(SUBSCRIBE, subscribe("a")).await;
    assert_eq!(GatewayEvent::decode(&answer.body[5..]).unwrap().seq, 7);
    assert_refused(&answer, Code::Unavailable, "DRAINING");
    let details = answer.status.unwrap().get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["last_seq"], "7");
    assert!(details.retry_info().is_some());

    let get_turn = GetTurnRequest {
        session_key: "a".into(),
        turn_id: "t9".into(),
    };
    let answer = gateway.ask(GET_TURN, get_turn).await;
    assert_ok(&answer);
    let response = GetTurnResponse::decode(&answer.body[5..]).unwrap();
    assert_eq!(response.turn.unwrap().turn_id, "t9");
}

#[tokio::test]
async fn without_the_layer_a_handed_over_body_is_a_bug_and_no_empty_stream() {
    let gateway = Gateway::start_with(|routes| routes).await;
    let answer = gateway.ask(SUBSCRIBE, subscribe("a")).await;
    assert_refused(&answer, Code::Internal, "INTERNAL");
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn what_is_no_call_is_told_in_http() {
    let gateway = Gateway::start().await;
    let with = |name: &'static str, value: &str| {
        let mut request = request(ENQUEUE, full(framed(&enqueue("a").encode_to_vec())));
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    for content_type in [
        "application/json",
        "text/plain",
        "application/grpcx",
        // By the protocol's own words.
        "application/grpc+json",
    ] {
        let answer = gateway.send(with("content-type", content_type)).await;
        assert_eq!(
            answer.http,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{content_type}"
        );
    }
    // A web page must not reach a server on loopback.
    let answer = gateway.send(with("origin", "http://evil.example")).await;
    assert_eq!(answer.http, StatusCode::FORBIDDEN);
    let mut get = request(ENQUEUE, Body::empty());
    *get.method_mut() = Method::GET;
    assert_eq!(gateway.send(get).await.http, StatusCode::METHOD_NOT_ALLOWED);
    let mut get = request(ENQUEUE, Body::empty());
    *get.method_mut() = Method::GET;
    get.headers_mut().remove("content-type");
    assert_eq!(gateway.send(get).await.http, StatusCode::METHOD_NOT_ALLOWED);
    let mut page = http::Request::get("http://localhost/")
        .body(Body::empty())
        .unwrap();
    page.headers_mut()
        .insert("accept", "text/html".parse().unwrap());
    assert_eq!(gateway.send(page).await.http, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn health_and_reflection_answer_by_their_own_rules() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, ServerReflectionResponse,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let gateway = Gateway::start().await;
    let health = "/grpc.health.v1.Health/Check";
    assert_ok(&gateway.ask(health, HealthCheckRequest::default()).await);
    let service = "no.such.Service".into();
    let answer = gateway.ask(health, HealthCheckRequest { service }).await;
    assert_eq!(answer.status.unwrap().code(), Code::NotFound);
    let answer = gateway
        .call("/grpc.health.v1.Health/Nope", framed(&[]))
        .await;
    assert_refused(&answer, Code::Unimplemented, "METHOD_UNKNOWN");

    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let answer = gateway.ask(reflection, list).await;
    assert_ok(&answer);
    let answer = ServerReflectionResponse::decode(&answer.body[5..]).unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list: {answer:?}");
    };
    assert!(
        list.service
            .iter()
            .any(|it| it.name == "quarterdeck.v1.GatewayService")
    );
}
