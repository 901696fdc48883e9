//! The peer: what stock tonic does with the contract and nothing behind it. Subscribe is a broadcast of messages, each
//! encoded for each reader; Enqueue answers a turn of the usual size.

use super::{
    floors::announce,
    producer::{self, Command},
};
use http::{Request, Response};
use quarterdeck::proto;
use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    io,
    net::Ipv4Addr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::broadcast;
use tokio_stream::{Stream, StreamExt as _, wrappers::BroadcastStream};
use tonic::{Status, body::Body, server::Grpc};
use tonic_prost::ProstCodec;
use tower::Service;

/// Tokens that a reader may be behind.
const BEHIND_MAX: usize = 65_536;

type Tokens = broadcast::Sender<proto::GatewayEvent>;
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Both methods, as the generated server would route them.
#[derive(Clone)]
struct Peer(Tokens);

/// The handlers.
struct Handler(Tokens);

/// Serves until standard input ends.
#[tokio::main]
pub async fn tonic() {
    let (tokens, _) = broadcast::channel(BEHIND_MAX);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    announce(listener.local_addr().expect("bound"));
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let serve = tonic::transport::Server::builder()
        .add_service(Peer(tokens.clone()))
        .serve_with_incoming(incoming);
    let commands = tokio::task::spawn_blocking(move || {
        for line in io::stdin().lines() {
            // Nobody may listen yet.
            let push = || drop(tokens.send(producer::token()));
            match Command::parse(&line.expect("readable")) {
                Command::Open { .. } => {}
                Command::Burst(count) => (0..count).for_each(|_| push()),
                Command::Pace { per_second, count } => producer::pace(per_second, count, push),
            }
        }
    });
    tokio::select! {
        served = serve => served.expect("it serves"),
        ended = commands => ended.expect("no command fails"),
    }
}

// === impl Peer ===

impl tonic::server::NamedService for Peer {
    const NAME: &'static str = "quarterdeck.v1.GatewayService";
}

impl Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let handler = Handler(self.0.clone());
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/quarterdeck.v1.GatewayService/Subscribe" => {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    grpc.server_streaming(handler, request).await
                }
                "/quarterdeck.v1.GatewayService/Enqueue" => {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    grpc.unary(handler, request).await
                }
                path => Status::unimplemented(path).into_http(),
            })
        })
    }
}

// === impl Handler ===

impl tonic::server::ServerStreamingService<proto::SubscribeRequest> for Handler {
    type Response = proto::GatewayEvent;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<proto::GatewayEvent, Status>> + Send>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: tonic::Request<proto::SubscribeRequest>) -> Self::Future {
        let caught_up = proto::GatewayEvent {
            kind: Some(proto::gateway_event::Kind::CaughtUp(
                proto::CaughtUp::default(),
            )),
            ..Default::default()
        };
        let live = BroadcastStream::new(self.0.subscribe())
            .map(|token| token.map_err(|_| Status::data_loss("behind")));
        let stream = tokio_stream::once(Ok(caught_up)).chain(live);
        ready(Ok(tonic::Response::new(Box::pin(stream))))
    }
}

impl tonic::server::UnaryService<proto::EnqueueRequest> for Handler {
    type Response = proto::EnqueueResponse;
    type Future = Ready<Result<tonic::Response<proto::EnqueueResponse>, Status>>;

    fn call(&mut self, request: tonic::Request<proto::EnqueueRequest>) -> Self::Future {
        let request = request.into_inner();
        let id = uuid::Uuid::nil().to_string();
        ready(Ok(tonic::Response::new(proto::EnqueueResponse {
            turn: Some(proto::Turn {
                turn_id: id.clone(),
                session_key: request.session_key,
                text: request.text,
                ..Default::default()
            }),
            log_id: id,
            seq: 1,
            ..Default::default()
        })))
    }
}
