//! Answers of chat protocols: server-sent events that a printer writes of what a turn tells.

use super::{problem::Problem, turns::Followed, view::Told};
use crate::proto::Question;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, header};
use serde_json::Value as Json;
use std::{collections::VecDeque, convert::Infallible, time::Duration};
use tokio::time::timeout;

/// Silence after which a stream says a comment, so that nothing between takes it for dead.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// Writes a turn in the words of one protocol.
pub(super) trait Printer: Send + 'static {
    /// What one thing that is told is in its words.
    fn print(&mut self, told: Told) -> Vec<Json>;

    /// How it ends where the turn waits for these answers.
    fn wait(&mut self, questions: &[Question]) -> Vec<Json>;

    /// How it ends where the stream failed.
    fn fail(&mut self, problem: &Problem) -> Vec<Json>;

    /// What stands behind the last event; `None` where nothing does.
    fn end(&self) -> Option<&'static str>;
}

/// Streams a turn, with what the protocol says before all else.
pub(super) fn stream<P: Printer>(
    followed: Followed,
    printer: P,
    first: Vec<Json>,
    headers: &[(HeaderName, &'static str)],
) -> Response {
    let state = State {
        followed,
        printer,
        ready: first.iter().map(data).collect(),
        over: false,
    };
    let written = stream::unfold(state, |mut state| async move {
        let next = state.next().await?;
        Some((Ok::<_, Infallible>(next), state))
    });
    answer(Body::from_stream(written), headers)
}

/// What is told at once, where there is no turn to follow any more.
pub(super) fn told<P: Printer>(
    printer: &P,
    events: &[Json],
    headers: &[(HeaderName, &'static str)],
) -> Response {
    let mut text: Vec<u8> = events.iter().flat_map(data).collect();
    text.extend(printer.end().into_iter().flat_map(line));
    answer(text.into(), headers)
}

/// An answer that is a stream of events.
pub(super) fn answer(body: Body, headers: &[(HeaderName, &'static str)]) -> Response {
    let kind = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let mut response = (kind, body).into_response();
    for (name, value) in headers {
        let value = http::HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

struct State<P> {
    followed: Followed,
    printer: P,
    ready: VecDeque<Bytes>,
    over: bool,
}

// === impl State ===

impl<P: Printer> State<P> {
    /// The next write: one event, whole.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if self.over {
                return None;
            }
            let printed = match timeout(HEARTBEAT, self.followed.next()).await {
                Err(_) => return Some(":\n\n".into()),
                Ok(Some(Ok(told))) => {
                    self.over = matches!(told, Told::Ended(_));
                    self.printer.print(told)
                }
                Ok(Some(Err(refused))) => {
                    self.over = true;
                    self.printer.fail(&Problem::of(&refused))
                }
                Ok(None) => {
                    self.over = true;
                    self.printer.wait(&self.followed.questions())
                }
            };
            self.ready.extend(printed.iter().map(data));
            if self.over {
                self.ready.extend(self.printer.end().map(line));
            }
        }
    }
}

fn data(json: &Json) -> Bytes {
    line(&json.to_string())
}

fn line(text: &str) -> Bytes {
    format!("data: {text}\n\n").into()
}
