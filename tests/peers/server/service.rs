//! Methods without generated code: the suites' messages are few, and their proto files are not ours to keep.

use axum::{extract::Request, routing::MethodRouter};
use prost::Message;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{
    Response, Status, Streaming, codec::CompressionEncoding::Gzip, metadata::MetadataMap,
    server::Grpc,
};
use tonic_prost::ProstCodec;
use tonic_types::pb;

/// Answers that a slow caller may leave waiting.
const ANSWERS_MAX: usize = 4;

/// What a method answers with: a head, then messages. A status of the code OK with metadata ends it with trailers.
pub type Answer<M> = Result<Response<Messages<M>>, Status>;

/// The messages of an answer.
pub struct Messages<M>(mpsc::Receiver<Result<M, Status>>);

/// Where a method puts its messages.
pub type Out<M> = mpsc::Sender<Result<M, Status>>;

/// The codec of a method that takes `R` and gives `M`.
pub trait Wire: Message + Default + Send + Sync + 'static {}

// === impl Wire ===

impl<T: Message + Default + Send + Sync + 'static> Wire for T {}

/// A method that takes one message.
pub fn single<R, M, F, S, E>(limit: usize, handler: F) -> MethodRouter
where
    R: Wire,
    M: Wire,
    F: Fn(tonic::Request<R>) -> E + Clone + Send + Sync + 'static,
    S: Stream<Item = Result<M, Status>> + Send + 'static,
    E: Future<Output = Result<Response<S>, Status>> + Send + 'static,
{
    axum::routing::any(move |request: Request| {
        let handler = handler.clone();
        async move {
            let service = tower::service_fn(handler);
            grpc::<R, M>(limit).server_streaming(service, request).await
        }
    })
}

/// A method that takes many.
pub fn many<R, M, F, E>(limit: usize, handler: F) -> MethodRouter
where
    R: Wire,
    M: Wire,
    F: Fn(tonic::Request<Streaming<R>>) -> E + Clone + Send + Sync + 'static,
    E: Future<Output = Answer<M>> + Send + 'static,
{
    axum::routing::any(move |request: Request| {
        let handler = handler.clone();
        async move {
            let service = tower::service_fn(handler);
            grpc::<R, M>(limit).streaming(service, request).await
        }
    })
}

fn grpc<R: Wire, M: Wire>(limit: usize) -> Grpc<ProstCodec<M, R>> {
    Grpc::new(ProstCodec::default())
        .accept_compressed(Gzip)
        .send_compressed(Gzip)
        .max_decoding_message_size(limit)
}

/// Answers with `head` at once, and then with what `body` sends. Who leaves ends it.
pub fn answer<M, F>(head: MetadataMap, body: impl FnOnce(Out<M>) -> F) -> Answer<M>
where
    M: Wire,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let (out, messages) = mpsc::channel(ANSWERS_MAX);
    let body = body(out.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = out.closed() => {}
            ended = body => if let Err(status) = ended {
                // Nobody may be left to hear it.
                let _ = out.send(Err(status)).await;
            }
        }
    });
    let mut response = Response::new(Messages(messages));
    *response.metadata_mut() = head;
    Ok(response)
}

/// A status as our server makes them: always with details. The layers take a bare one for tonic's own.
pub fn status(
    code: i32,
    message: &str,
    details: Vec<prost_types::Any>,
    trailers: MetadataMap,
) -> Status {
    let message = message.to_owned();
    let details = pb::Status {
        code,
        message: message.clone(),
        details,
    };
    Status::with_details_and_metadata(
        code.into(),
        message,
        details.encode_to_vec().into(),
        trailers,
    )
}

/// The next message of many, where there is one.
pub async fn next<R>(requests: &mut Streaming<R>, limit: usize) -> Result<Option<R>, Status> {
    let next = requests.message().await;
    // Said by tonic of the suite's own bound; our layers' bounds come before tonic sees a message.
    next.map_err(|said| quarterdeck::grpc::status::foreign(&said, limit).map_or(said, Status::from))
}

/// The end of an answer that went well.
pub fn well(trailers: MetadataMap) -> Status {
    let mut end = Status::ok("");
    *end.metadata_mut() = trailers;
    end
}

// === impl Messages ===

impl<M> Stream for Messages<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}
