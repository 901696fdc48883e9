//! OpenAI's Responses and Conversations, below `/openai/v1`.
//!
//! A response is a turn, or a segment of one: where the agent asks, a response is complete, and the answers come with the
//! next request. A conversation is a session, and its id is the session's key. Nothing is kept for this protocol: what an
//! id names stands in it (`place.rs`), and a response is told anew from the session's log whenever somebody asks
//! (`teller.rs`), with the same items in the same places.
//!
//! What the agent does by itself are `mcp_call` items: the caller's library runs none of them. PERMISSION questions are
//! `mcp_approval_request`, TOOL_CALL questions are `function_call`: functions of a request are the turn's client tools. FORM
//! and LINK have no words here, and the response goes on once somebody has answered them elsewhere. A `text.format` is the
//! turn's output schema: the text is the output, which comes whole at the end. A client that leaves stops nothing.

mod conversations;
mod input;
mod place;
mod teller;

use super::{
    call::{Answer, Door},
    openai,
    problem::{Problem, reason},
    rest,
    sse::{self, HEARTBEAT},
    turns::{Begin, Caller, Reply},
};
use crate::{
    domain::Refusal,
    grpc::status,
    proto::{
        ClientTool, EnqueueRequest, EnqueueResponse, ForkSessionRequest, ForkSessionResponse,
        GatewayEvent, ListTurnsRequest, ListTurnsResponse, Turn, TurnState,
    },
};
use axum::{
    Router,
    body::Body,
    extract::{Path, Query, RawQuery, Request},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use futures_util::stream;
use http::StatusCode;
use input::{Asked, Format, Given, Input};
use place::ResponseId;
use prost::Message;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
};
use teller::Teller;
use tokio::time::timeout;
use tonic::Status;

/// Names the session of a request that names no conversation.
const SESSION: &str = "x-quarterdeck-session";
/// Makes a request safe to repeat.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Time without use after which a session goes that a request made for itself: as long as OpenAI keeps a response.
const OWN_SESSION_KEPT_SECONDS: i64 = 30 * 24 * 3600;

/// What may stand behind `?` of a new response.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfCreate {
    /// Whether the turn is canceled when its reader goes.
    #[serde(default)]
    cancel_on_disconnect: bool,
}

/// Why there is no answer.
struct No(Box<Response>);

type Answered = Result<Response, No>;

/// A response while it is streamed.
struct Stream {
    teller: Teller,
    answer: Answer,
    ready: VecDeque<Json>,
    failed: bool,
}

/// Every path of responses and conversations, and the answer for what is none of OpenAI's.
pub(super) fn routes(door: Arc<Door>) -> Router {
    let doors = std::array::from_fn(|_| door.clone());
    let [create_at, get_at, delete_at, cancel_at, items_at] = doors;
    Router::new()
        .route(
            "/openai/v1/responses",
            post(async move |asked: Query<OfCreate>, request: Request| {
                with_json(create_at, request, move |caller, body| async move {
                    create(caller, asked.cancel_on_disconnect, body).await
                })
                .await
            }),
        )
        .route(
            "/openai/v1/responses/{id}",
            get(
                async move |Path(id): Path<String>, RawQuery(query): RawQuery, request: Request| {
                    let caller = Caller::new(get_at, request.into_parts().0);
                    told(retrieve(caller, &id, &parameters(query.as_deref())).await)
                },
            )
            .delete(async move |request: Request| {
                let caller = Caller::new(delete_at, request.into_parts().0);
                told(not_kept(caller, "a response goes with its session: delete that").await)
            }),
        )
        .route(
            "/openai/v1/responses/{id}/cancel",
            post(async move |Path(id): Path<String>, request: Request| {
                let caller = Caller::new(cancel_at, request.into_parts().0);
                told(cancel(caller, &id).await)
            }),
        )
        .route(
            "/openai/v1/responses/{id}/input_items",
            get(async move |Path(id): Path<String>, request: Request| {
                let caller = Caller::new(items_at, request.into_parts().0);
                told(input_items(caller, &id).await)
            }),
        )
        .merge(conversations::routes(door))
        .route(
            "/openai/v1/{*rest}",
            any(async || {
                let message = "there is no such path here";
                said(StatusCode::NOT_FOUND, "unknown_path", None, message)
            }),
        )
}

/// Answers a request that brings JSON, or says that it must.
async fn with_json<F: Future<Output = Answered>>(
    door: Arc<Door>,
    request: Request,
    answer: impl FnOnce(Caller, Body) -> F,
) -> Response {
    let (parts, body) = request.into_parts();
    match rest::not_json(&parts) {
        Some(_) => {
            let message = "send `Content-Type: application/json`";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            said(status, "unsupported_media_type", None, message)
        }
        None => told(answer(Caller::new(door, parts), body).await),
    }
}

fn told(answered: Answered) -> Response {
    answered.unwrap_or_else(|No(response)| *response)
}

/// An error in OpenAI's shape, with one of OpenAI's codes.
fn said(status: StatusCode, code: &str, param: Option<&str>, message: &str) -> Response {
    let error = json!({ "error": {
        "message": message, "type": "invalid_request_error", "param": param, "code": code,
    } });
    openai::as_json(status, &error)
}

fn bad(code: &str, param: &str, message: &str) -> No {
    No(Box::new(said(
        StatusCode::BAD_REQUEST,
        code,
        Some(param),
        message,
    )))
}

/// Says that something is not kept here, to whoever is known.
async fn not_kept(caller: Caller, why: &str) -> Answered {
    caller.known().await?;
    Ok(said(
        StatusCode::NOT_IMPLEMENTED,
        "not_supported",
        None,
        why,
    ))
}

fn ok(json: &Json) -> Answered {
    Ok(openai::as_json(StatusCode::OK, json))
}

fn parameters(query: Option<&str>) -> HashMap<String, String> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

/// `POST /openai/v1/responses`.
async fn create(caller: Caller, cancel: bool, body: Body) -> Answered {
    let asked: Asked = caller.body(body).await?;
    asked.check()?;
    let input = asked.input()?;
    let (functions, format) = (asked.functions()?, asked.format()?);
    let previous = match asked.previous() {
        Some(id) => Some(known(&caller, id).await?),
        None => None,
    };
    if !input.answers.is_empty() {
        return go_on(&caller, &asked, input.answers, previous).await;
    }
    if let Some((_, turn)) = &previous
        && turn.state() == TurnState::WaitingInput
    {
        let message =
            "that response waits for an answer: send mcp_approval_response or function_call_output";
        return Err(bad("approval_required", "input", message));
    }
    let mut enqueue = enqueue(&caller, &asked, input, previous).await?;
    note(&mut enqueue.metadata, &functions, &format);
    (enqueue.client_tools, enqueue.output_schema) = (functions, format.schema);
    let session_key = enqueue.session_key.clone();
    let id = |turn: &Turn| ResponseId {
        turn_id: turn.turn_id.clone(),
        segment: 0,
        session_key: session_key.clone(),
    };
    if asked.background && !asked.stream {
        let queued: EnqueueResponse = caller
            .ask("/quarterdeck.v1.GatewayService/Enqueue", &enqueue)
            .await?;
        let turn = queued.turn.unwrap_or_default();
        // A repeat of the request finds the turn as it is by now.
        let (id, turn) = (id(&turn), turn_of(&caller, &id(&turn)).await?);
        return ok(&as_it_is(&caller, id, &turn).await?);
    }
    let mut answer = caller.run_raw(enqueue, cancel).await?;
    let first = next_event(&mut answer).await?;
    let turn_id = first.turn_id.clone();
    let id = id(&Turn {
        turn_id,
        ..Turn::default()
    });
    let mut teller = Teller::new(id, None);
    let ready = teller.fold(first).into();
    stream_or_whole(teller, answer, ready, asked.stream).await
}

/// Keeps what a response must be told by: which calls are the caller's, and what the text is.
fn note(metadata: &mut BTreeMap<String, String>, functions: &[ClientTool], format: &Format) {
    let names = functions.iter().map(|it| it.name.as_str());
    metadata.extend(teller::functions(names));
    if !format.name.is_empty() {
        metadata.insert(teller::FORMAT.into(), format.name.clone());
    }
}

/// The next event of a turn that must have one.
async fn next_event(answer: &mut Answer) -> Result<GatewayEvent, Status> {
    let Some(event) = answer.next().await else {
        return Err(Refusal::StoreUnavailable.into());
    };
    GatewayEvent::decode(event?).map_err(|error| status::bug(&error).into())
}

async fn stream_or_whole(
    mut teller: Teller,
    mut answer: Answer,
    ready: VecDeque<Json>,
    streams: bool,
) -> Answered {
    if streams {
        return Ok(Stream {
            teller,
            answer,
            ready,
            failed: false,
        }
        .answer());
    }
    while !teller.is_over() {
        let event = next_event(&mut answer).await?;
        teller.fold(event);
    }
    ok(&teller.response(&Turn::default()))
}

/// What a request asks for, in which session.
async fn enqueue(
    caller: &Caller,
    asked: &Asked,
    input: Input,
    previous: Option<(ResponseId, Turn)>,
) -> Result<EnqueueRequest, No> {
    let request_id = caller.header(IDEMPOTENCY_KEY).unwrap_or_default();
    let (agent, model) = asked.model.split_once('/').unwrap_or((&asked.model, ""));
    let named = asked.conversation().or_else(|| caller.header(SESSION));
    let mut metadata = asked.metadata.clone();
    if metadata.keys().any(|name| name.starts_with(teller::OWN)) {
        let message = format!("names that begin with {} are ours", teller::OWN);
        return Err(bad("invalid_metadata", "metadata", &message));
    }
    let (session_key, is_new) = match (&previous, named) {
        (Some((id, turn)), _) => {
            metadata.insert(teller::PREVIOUS.into(), id.to_string());
            (after(caller, id, turn, request_id).await?, false)
        }
        (None, Some(key)) => {
            if asked.conversation().is_some() {
                metadata.insert(teller::CONVERSATION.into(), key.into());
            }
            (key.to_owned(), false)
        }
        (None, None) if input.refers => {
            let message = "item_reference needs a conversation or a previous_response_id";
            return Err(bad("invalid_value", "input", message));
        }
        (None, None) => {
            let kept = OWN_SESSION_KEPT_SECONDS;
            let key = openai::own_session(caller, agent, model, request_id, kept).await?;
            (key, true)
        }
    };
    if asked.background {
        metadata.insert(teller::BACKGROUND.into(), "true".into());
    }
    let (text, attachments) = input.said(is_new);
    Ok(EnqueueRequest {
        session_key,
        text,
        attachments,
        source: "openai".into(),
        metadata,
        request_id: request_id.into(),
        agent: agent.into(),
        model: model.into(),
        ..EnqueueRequest::default()
    })
}

/// The session in which a turn is followed by another: its own where it is the newest, else a copy up to its end.
async fn after(
    caller: &Caller,
    id: &ResponseId,
    turn: &Turn,
    request_id: &str,
) -> Result<String, No> {
    let request = ListTurnsRequest {
        session_key: id.session_key.clone(),
        page_size: 1,
        ..ListTurnsRequest::default()
    };
    let newest: ListTurnsResponse = caller
        .ask("/quarterdeck.v1.GatewayService/ListTurns", &request)
        .await?;
    // The newest may be this very request, sent again.
    let own = |newest: &Turn| {
        newest.turn_id == turn.turn_id
            || !request_id.is_empty()
                && newest.metadata.get(teller::PREVIOUS) == Some(&id.to_string())
    };
    if newest.turns.first().is_none_or(own) {
        return Ok(id.session_key.clone());
    }
    let new_session_key = openai::own_key(caller, request_id).await?;
    let request = ForkSessionRequest {
        session_key: id.session_key.clone(),
        new_session_key: new_session_key.clone(),
        turn_id: turn.turn_id.clone(),
        ..ForkSessionRequest::default()
    };
    let forked: Result<ForkSessionResponse, Status> = caller
        .ask("/quarterdeck.v1.GatewayService/ForkSession", &request)
        .await;
    match forked {
        Err(refused) if reason(&refused) != "SESSION_EXISTS" => Err(refused.into()),
        Ok(_) | Err(_) => Ok(new_session_key),
    }
}

/// Gives answers, and tells what the turn does with them.
async fn go_on(
    caller: &Caller,
    asked: &Asked,
    answers: Vec<Given>,
    previous: Option<(ResponseId, Turn)>,
) -> Answered {
    let previous = previous.map(|(id, _)| id);
    let named = asked.conversation().or_else(|| caller.header(SESSION));
    let own = answers.iter().find_map(|it| it.own_session.as_deref());
    let session_key = match (&previous, named.or(own)) {
        (Some(id), _) => id.session_key.clone(),
        (None, Some(key)) => key.to_owned(),
        (None, None) => {
            let message = "name the response that asked, or its conversation";
            return Err(bad("missing_parameter", "previous_response_id", message));
        }
    };
    let mut turn_id = previous.map(|it| it.turn_id).unwrap_or_default();
    let mut questions = Vec::new();
    for given in answers {
        let Given {
            question_id,
            own_session: _,
            reply,
        } = given;
        match caller.answer(&session_key, &question_id, &reply).await {
            Ok(question) if turn_id.is_empty() || question.turn_id == turn_id => {
                turn_id.clone_from(&question.turn_id);
                questions.push(question.question_id);
            }
            Ok(_) => {
                let message = "answers a question of another response";
                return Err(bad("approval_request_not_found", "input", message));
            }
            Err(refused) if reason(&refused) == "QUESTION_NOT_FOUND" => {
                let message = "answers a question that is not known";
                return Err(bad("approval_request_not_found", "input", message));
            }
            Err(refused) => return Err(refused.into()),
        }
    }
    let id = what_came_of(caller, &session_key, &turn_id, &questions).await?;
    if asked.background && !asked.stream {
        let turn = turn_of(caller, &id).await?;
        return ok(&as_it_is(caller, id, &turn).await?);
    }
    let begin = caller.begin(&id.session_key, &id.turn_id).await?;
    let answer = caller.follow_raw(&id.session_key, &begin).await?;
    let teller = Teller::new(id, None);
    stream_or_whole(teller, answer, VecDeque::new(), asked.stream).await
}

/// `GET /openai/v1/responses/{id}`, as it is, or as a stream from where the reader was.
async fn retrieve(caller: Caller, id: &str, asked: &HashMap<String, String>) -> Answered {
    let (id, turn) = found(&caller, id).await?;
    let since = match asked.get("starting_after") {
        None => None,
        Some(number) => match number.parse::<i64>() {
            Ok(number) if number >= 0 => Some(number),
            Ok(_) | Err(_) => {
                let message = "must be a sequence_number";
                return Err(bad("invalid_value", "starting_after", message));
            }
        },
    };
    if asked.get("stream").is_none_or(|it| it != "true") {
        return ok(&as_it_is(&caller, id, &turn).await?);
    }
    let begin = caller.begin(&id.session_key, &id.turn_id).await?;
    let mut teller = Teller::new(id.clone(), since);
    if !begin.is_kept && turn.end_time.is_some() {
        let records = teller.remembered(&turn);
        let text: String = records.iter().map(event).collect();
        return Ok(sse::answer(text.into(), &[]));
    }
    let answer = caller.follow_raw(&id.session_key, &begin).await?;
    stream_or_whole(teller, answer, VecDeque::new(), true).await
}

/// A response as far as it is on disk.
async fn as_it_is(caller: &Caller, id: ResponseId, turn: &Turn) -> Result<Json, No> {
    let mut teller = Teller::new(id.clone(), None);
    let begin = caller.begin(&id.session_key, &id.turn_id).await?;
    if !begin.is_kept && turn.end_time.is_some() {
        teller.remembered(turn);
        return Ok(teller.response(turn));
    }
    tell_kept(caller, &mut teller, &id.session_key, begin).await?;
    Ok(teller.response(turn))
}

/// Tells what is on disk.
async fn tell_kept(
    caller: &Caller,
    teller: &mut Teller,
    session_key: &str,
    begin: Begin,
) -> Result<(), Status> {
    let Begin {
        log_id,
        mut after_seq,
        is_kept: _,
    } = begin;
    loop {
        let page = caller.events_after(session_key, &log_id, after_seq).await?;
        after_seq = page.next_after_seq;
        for event in page.events {
            teller.fold(event);
        }
        if teller.is_over() || after_seq >= page.head_seq {
            return Ok(());
        }
    }
}

/// The response that tells what came of answers: that after the last of them.
async fn what_came_of(
    caller: &Caller,
    session_key: &str,
    turn_id: &str,
    questions: &[String],
) -> Result<ResponseId, Status> {
    let begin = caller.begin(session_key, turn_id).await?;
    let mut id = ResponseId {
        turn_id: turn_id.into(),
        segment: usize::MAX,
        session_key: session_key.into(),
    };
    // A segment that never comes: everything is read, and nothing is told.
    let mut teller = Teller::new(id.clone(), None);
    tell_kept(caller, &mut teller, session_key, begin).await?;
    let segments = questions.iter().filter_map(|it| teller.segment_after(it));
    // Where the log of before is not kept any more, the rest is all there is.
    id.segment = segments.max().unwrap_or(1);
    Ok(id)
}

/// `POST /openai/v1/responses/{id}/cancel`.
async fn cancel(caller: Caller, id: &str) -> Answered {
    let (id, turn) = found(&caller, id).await?;
    if turn.end_time.is_none() {
        caller.abort(&id.session_key, &id.turn_id).await?;
    }
    let turn = turn_of(&caller, &id).await?;
    ok(&as_it_is(&caller, id, &turn).await?)
}

/// `GET /openai/v1/responses/{id}/input_items`: what the turn was asked.
async fn input_items(caller: Caller, id: &str) -> Answered {
    let (id, turn) = found(&caller, id).await?;
    let mut content = Vec::new();
    if !turn.text.is_empty() {
        content.push(json!({ "type": "input_text", "text": turn.text }));
    }
    content.extend(turn.attachments.iter().map(|file| {
        json!({ "type": "input_file", "file_id": file.attachment_id, "filename": file.name })
    }));
    let item = json!({
        "id": format!("msg_{}.in", id.turn_id), "type": "message", "role": "user",
        "status": "completed", "content": content,
    });
    ok(&conversations::list(vec![item], false))
}

/// What an id names, for whom may see it.
async fn found(caller: &Caller, id: &str) -> Result<(ResponseId, Turn), No> {
    let unknown = || {
        let message = format!("there is no response {id}");
        let status = StatusCode::NOT_FOUND;
        No(Box::new(said(status, "response_not_found", None, &message)))
    };
    let Ok(id) = id.parse::<ResponseId>() else {
        caller.known().await?;
        return Err(unknown());
    };
    match turn_of(caller, &id).await {
        Ok(turn) => Ok((id, turn)),
        Err(refused) if refused.code() == tonic::Code::NotFound => Err(unknown()),
        Err(refused) => Err(refused.into()),
    }
}

/// The response that a new one follows.
async fn known(caller: &Caller, id: &str) -> Result<(ResponseId, Turn), No> {
    let unknown = || {
        let message = format!("there is no response {id}");
        bad(
            "previous_response_not_found",
            "previous_response_id",
            &message,
        )
    };
    let id: ResponseId = id.parse().map_err(|()| unknown())?;
    match turn_of(caller, &id).await {
        Ok(turn) => Ok((id, turn)),
        Err(refused) if refused.code() == tonic::Code::NotFound => Err(unknown()),
        Err(refused) => Err(refused.into()),
    }
}

async fn turn_of(caller: &Caller, id: &ResponseId) -> Result<Turn, Status> {
    caller.turn(&id.session_key, &id.turn_id).await
}

/// One record as an event, in one write.
fn event(record: &Json) -> String {
    let kind = record["type"].as_str().unwrap_or_default();
    format!("event: {kind}\ndata: {record}\n\n")
}

// === impl Stream ===

impl Stream {
    fn answer(self) -> Response {
        let written = stream::unfold(self, |mut stream| async move {
            let next = stream.next().await?;
            Some((Ok::<_, Infallible>(next), stream))
        });
        sse::answer(Body::from_stream(written), &[])
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(event(&record));
            }
            if self.failed || self.teller.is_over() {
                return None;
            }
            match timeout(HEARTBEAT, next_event(&mut self.answer)).await {
                Err(_) => return Some(":\n\n".into()),
                Ok(Ok(event)) => self.ready.extend(self.teller.fold(event)),
                Ok(Err(refused)) => {
                    self.failed = true;
                    let problem = Problem::of(&refused);
                    self.ready.push_back(json!({
                        "type": "error", "code": problem.reason(), "message": problem.line(),
                        "param": null, "sequence_number": 0,
                    }));
                }
            }
        }
    }
}

// === impl No ===

impl From<Status> for No {
    fn from(refused: Status) -> Self {
        Self(Box::new(openai::refused(&refused)))
    }
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Status::from(refusal).into()
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        *self.0
    }
}
