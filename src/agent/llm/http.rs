//! The one place where a model's provider is called: a request goes out, and pieces of the reply come back while they arrive.
//!
//! One try: what is tried again is [`super::turn`]'s to know. Redirects are not followed: the key is for the configured address
//! alone. Dropping the call closes its stream. The events of a stream are read by the crate `sse-stream`: it is well kept and
//! in the program anyway, by the client of the Model Context Protocol; how much it may hold is bounded here.

use super::{
    options::{Endpoint, LlmOptions},
    provider::{Decode, Fault, Piece, Reply, Request},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use reqwest::{Client, Response, header, redirect::Policy};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sse_stream::SseStream;
use std::{io, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a provider may say nothing: models think for minutes before their first word.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// Largest reply as it streams, in bytes.
const REPLY_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Bytes that are read of what is said of an error.
const ERROR_MAX_BYTES: usize = 64 * 1024;
/// What some streams end with.
const END: &str = "[DONE]";

/// What comes of a call.
#[derive(Debug)]
pub(super) enum Said {
    /// A piece of the reply.
    Piece(Piece),
    /// The last thing: the whole reply, or why there is none.
    Ended(Result<Reply, Fault>),
}

/// The client of all calls of an agent.
///
/// # Errors
/// The system's certificates can't be read.
pub(super) fn client() -> Result<Client, reqwest::Error> {
    // One of the process: whoever came first chose the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
}

/// Calls the model and tells what comes of it. `Ended` is told last, unless nobody listens any more.
pub(super) async fn call(
    client: Client,
    options: Arc<LlmOptions>,
    request: Request,
    decoder: Box<dyn Decode>,
    said: mpsc::Sender<Said>,
) {
    let endpoint = &options.endpoint;
    let mut reply = stream_reply(&client, endpoint, request, decoder, &said).await;
    if let Err(fault) = &mut reply {
        let key = endpoint.key.expose_secret();
        if !key.is_empty() {
            fault.message = fault.message.replace(key, "(key)");
        }
    }
    let _ = said.send(Said::Ended(reply)).await;
}

async fn stream_reply(
    client: &Client,
    endpoint: &Endpoint,
    request: Request,
    mut decoder: Box<dyn Decode>,
    said: &mpsc::Sender<Said>,
) -> Result<Reply, Fault> {
    let url = format!("{}{}", endpoint.base_url, request.path);
    let body = serde_json::to_vec(&request.body).expect("a value is JSON");
    let mut call = client
        .post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "text/event-stream")
        .body(body);
    for (name, value) in endpoint.api.headers(&endpoint.key) {
        call = call.header(name, value);
    }
    let response = timeout(SILENCE_MAX, call.send()).await;
    let response = response.map_err(|_| silent())?.map_err(|it| lost(&it))?;
    let status = response.status();
    if !status.is_success() {
        let after = retry_after(&response);
        let body = read_error(response).await;
        return Err(Fault::of_status(status.as_u16(), &body, after));
    }
    let mut events = pin!(SseStream::from_bytes_stream(bounded(response)));
    let mut pieces = vec![];
    loop {
        let event = timeout(SILENCE_MAX, events.next()).await;
        let event = match event.map_err(|_| silent())? {
            None => break,
            Some(Ok(event)) => event,
            Some(Err(sse_stream::Error::Body(why))) => return Err(of_body(&*why)),
            Some(Err(_)) => return Err(malformed()),
        };
        let Some(data) = event.data.filter(|it| !it.trim().is_empty()) else {
            continue;
        };
        if data.trim() == END {
            break;
        }
        let data: Value = serde_json::from_str(&data).map_err(|_| malformed())?;
        decoder.take(&data, &mut pieces)?;
        for piece in pieces.drain(..) {
            if said.send(Said::Piece(piece)).await.is_err() {
                return Err(Fault::never("nobody listens any more"));
            }
        }
    }
    decoder.finish()
}

/// The chunks of a body, as far as the bound.
fn bounded(response: Response) -> impl Stream<Item = Result<Bytes, io::Error>> {
    stream::try_unfold((response, REPLY_MAX_BYTES), async |(mut response, room)| {
        let chunk = response.chunk().await.map_err(io::Error::other)?;
        let Some(chunk) = chunk else { return Ok(None) };
        let room = room.checked_sub(chunk.len());
        let room = room.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(Some((chunk, (response, room))))
    })
}

fn of_body(why: &(dyn std::error::Error + 'static)) -> Fault {
    let too_large = why
        .downcast_ref::<io::Error>()
        .is_some_and(|it| it.kind() == io::ErrorKind::FileTooLarge);
    if too_large {
        Fault::never(format!(
            "the model's answer has more than {REPLY_MAX_BYTES} bytes"
        ))
    } else {
        Fault::cut()
    }
}

fn malformed() -> Fault {
    Fault::never("the model's answer is malformed: its stream is not what the provider's API says")
}

fn silent() -> Fault {
    let seconds = SILENCE_MAX.as_secs();
    Fault::again(format!("the provider said nothing for {seconds} seconds"))
}

/// A sentence without the address, which may hold a secret.
fn lost(error: &reqwest::Error) -> Fault {
    Fault::again(if error.is_connect() {
        "no connection to the model's provider"
    } else {
        "the connection to the model's provider was lost"
    })
}

/// The provider's wish, in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    let seconds: f64 = value.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// What is said of an error, as far as the bound; what can't be read is nothing.
async fn read_error(mut response: Response) -> Vec<u8> {
    let mut body = vec![];
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = ERROR_MAX_BYTES.saturating_sub(body.len());
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if room == 0 {
                return;
            }
        }
    };
    let _ = timeout(CONNECT_TIMEOUT, reading).await;
    body
}
