//! What chat protocols ask of the gateway, as their caller: a turn to follow, from its beginning or from now, and answers
//! to what it asks.

use super::{
    call::{Answer, Door},
    health,
    problem::reason,
    transcode, upload,
    view::{Told, View},
};
use crate::{
    domain::Refusal,
    grpc::status,
    proto::{
        self, AbortRequest, AbortResponse, AnswerQuestionRequest, AnswerQuestionResponse,
        CreateSessionRequest, CreateSessionResponse, Cursor, EnqueueRequest, GatewayEvent,
        GetQuestionRequest, GetQuestionResponse, GetServerInfoRequest, GetServerInfoResponse,
        GetSessionRequest, GetSessionResponse, GetTurnRequest, GetTurnResponse,
        ListQuestionsRequest, ListQuestionsResponse, OptionEffect, Question, QuestionKind,
        QuestionState, ReadEventsRequest, ReadEventsResponse, RunRequest, SessionSnapshot,
        SubscribeRequest, Turn, WhoAmIRequest, WhoAmIResponse, gateway_event::Kind,
    },
};
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use prost::Message;
use serde::de::DeserializeOwned;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::SemaphorePermit;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;

/// Events that the search for a turn's beginning looks at first.
const LOOK_BACK: i64 = 256;
/// Events of one page.
const EVENTS_MAX: i32 = 1000;
/// Most answers of one request: as many as a turn may ask.
pub(super) const ANSWERS_MAX: usize = 32;

/// The option of a LINK that was opened.
const LINK_DONE: &str = "done";

/// Whoever sent a request, for the calls that it takes.
#[derive(Clone)]
pub(super) struct Caller {
    door: Arc<Door>,
    parts: Parts,
}

/// Where a turn begins in its session's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    /// The log.
    pub(super) log_id: String,
    /// The position before its first event, or before the oldest that is kept.
    pub(super) after_seq: i64,
    /// Whether its first event is kept.
    pub(super) is_kept: bool,
}

/// A turn while it is followed.
pub(super) struct Followed {
    caller: Caller,
    answer: Answer,
    view: View,
    told: VecDeque<Told>,
    segments: Segments,
    /// Whether what comes is new: where a turn waited before somebody joined is no end.
    live: bool,
    over: bool,
}

/// Which end of a segment is the end of what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segments {
    /// Each.
    All,
    /// Where the turn waits for tools that the caller runs, whatever else it waits for.
    ClientTools,
}

/// What somebody answers, as far as protocols can say it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    /// Let it run.
    Allow,
    /// Don't.
    Deny(String),
    /// What was asked for: a form's content, or what a tool of the caller's gave.
    Content { json: String, is_error: bool },
    /// Nothing will come.
    Declined,
}

// === impl Caller ===

impl Caller {
    pub(super) fn new(door: Arc<Door>, parts: Parts) -> Self {
        Self { door, parts }
    }

    /// One call with one answer.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn ask<A: Message, B: Message + Default>(
        &self,
        path: &'static str,
        request: &A,
    ) -> Result<B, Status> {
        let message = self.call(path, request).await?.only().await?;
        B::decode(message).map_err(|error| status::bug(&error).into())
    }

    /// One call, whatever number of answers it has.
    ///
    /// # Errors
    /// It was refused before the first of them.
    pub(super) async fn call(
        &self,
        path: &'static str,
        request: &impl Message,
    ) -> Result<Answer, Status> {
        let body = Body::from(transcode::frame(request));
        self.door.call(self.parts.clone(), path, body).await
    }

    /// How the whole server is.
    pub(super) async fn health(&self) -> ServingStatus {
        health::asked(&self.door, self.parts.clone()).await
    }

    /// A header of the request; `None` where it is none, or no text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Who sent the request.
    ///
    /// # Errors
    /// Nobody that is known.
    pub(super) async fn known(&self) -> Result<WhoAmIResponse, Status> {
        let path = "/quarterdeck.v1.AdminService/WhoAmI";
        self.ask(path, &WhoAmIRequest {}).await
    }

    /// The request's JSON, read once its sender is known.
    ///
    /// # Errors
    /// Its sender is not known, or it is no such JSON.
    pub(super) async fn body<T: DeserializeOwned>(&self, body: Body) -> Result<T, Status> {
        let (json, _share) = self.json(body).await?;
        let parsed = serde_json::from_slice(&json);
        parsed.map_err(|error| Refusal::field("body", error.to_string()).into())
    }

    /// The request's body, read once its sender is known, with the room that it takes meanwhile.
    ///
    /// # Errors
    /// Its sender is not known, or it is too large.
    pub(super) async fn json(
        &self,
        body: Body,
    ) -> Result<(Bytes, Option<SemaphorePermit<'_>>), Status> {
        let (json, share) = self.bytes(body).await?;
        transcode::count_values(&json)?;
        Ok((json, share))
    }

    /// The same of a body that is no JSON.
    ///
    /// # Errors
    /// Its sender is not known, or it is too large.
    pub(super) async fn bytes(
        &self,
        body: Body,
    ) -> Result<(Bytes, Option<SemaphorePermit<'_>>), Status> {
        self.known().await?;
        let limit = upload::INPUT_JSON_MAX_BYTES;
        Ok(upload::read(body, limit, &self.door.room).await?)
    }

    /// Enqueues and follows from the turn's beginning.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn run(
        &self,
        enqueue: EnqueueRequest,
        cancel_on_disconnect: bool,
        segments: Segments,
    ) -> Result<Followed, Status> {
        let answer = self.run_raw(enqueue, cancel_on_disconnect).await?;
        let mut followed = Followed::new(self, answer, View::default(), segments);
        // It says of nothing that it was before.
        followed.live = true;
        Ok(followed)
    }

    /// Enqueues and follows from the turn's beginning, by its events.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn run_raw(
        &self,
        enqueue: EnqueueRequest,
        cancel_on_disconnect: bool,
    ) -> Result<Answer, Status> {
        let request = RunRequest {
            enqueue: Some(enqueue),
            after_seq: 0,
            cancel_on_disconnect,
            subagents: false,
        };
        self.call("/quarterdeck.v1.GatewayService/Run", &request)
            .await
    }

    /// Follows the turn that runs, from its beginning; `None` where none does.
    ///
    /// # Errors
    /// The session may not be read.
    pub(super) async fn resume(&self, session_key: &str) -> Result<Option<Followed>, Status> {
        let session = match self.session(session_key).await {
            Err(refused) if refused.code() == Code::NotFound => return Ok(None),
            session => session?,
        };
        if session.active_turn_id.is_empty() {
            return Ok(None);
        }
        let view = View::of(&session.active_turn_id);
        let turn = session.active_turn_id.clone();
        let (from, _) = self.before(&session, &turn, "turn_started").await?;
        let from = (session.log_id.as_str(), from);
        self.follow(session_key, from, view, Segments::All)
            .await
            .map(Some)
    }

    /// Follows a turn from what comes after a position of its log.
    ///
    /// # Errors
    /// The session may not be read.
    pub(super) async fn follow(
        &self,
        session_key: &str,
        (log_id, after_seq): (&str, i64),
        view: View,
        segments: Segments,
    ) -> Result<Followed, Status> {
        let begin = Begin {
            log_id: log_id.into(),
            after_seq,
            is_kept: true,
        };
        let answer = self.follow_raw(session_key, &begin).await?;
        Ok(Followed::new(self, answer, view, segments))
    }

    /// Follows a turn from its beginning, whether it waits for somebody now, did before, or never.
    ///
    /// # Errors
    /// The session may not be read.
    pub(super) async fn whole_turn(
        &self,
        session_key: &str,
        turn_id: &str,
    ) -> Result<Followed, Status> {
        let begin = self.begin(session_key, turn_id).await?;
        let answer = self.follow_raw(session_key, &begin).await?;
        Ok(Followed::new(
            self,
            answer,
            View::of(turn_id),
            Segments::All,
        ))
    }

    /// Follows a session from a place, by its events.
    ///
    /// # Errors
    /// The session may not be read.
    pub(super) async fn follow_raw(
        &self,
        session_key: &str,
        begin: &Begin,
    ) -> Result<Answer, Status> {
        let request = SubscribeRequest {
            session_key: session_key.into(),
            cursor: Some(Cursor {
                log_id: begin.log_id.clone(),
                after_seq: begin.after_seq,
            }),
            ..SubscribeRequest::default()
        };
        self.call("/quarterdeck.v1.GatewayService/Subscribe", &request)
            .await
    }

    /// Durable events behind a place, as many as one page has.
    ///
    /// # Errors
    /// The session may not be read.
    pub(super) async fn events_after(
        &self,
        session_key: &str,
        log_id: &str,
        after_seq: i64,
    ) -> Result<ReadEventsResponse, Status> {
        let request = ReadEventsRequest {
            session_key: session_key.into(),
            cursor: Some(Cursor {
                log_id: log_id.into(),
                after_seq,
            }),
            limit: EVENTS_MAX,
            ..ReadEventsRequest::default()
        };
        self.ask("/quarterdeck.v1.GatewayService/ReadEvents", &request)
            .await
    }

    /// The place behind which a turn was queued.
    ///
    /// # Errors
    /// The session may not be read.
    pub(super) async fn begin(&self, session_key: &str, turn_id: &str) -> Result<Begin, Status> {
        let session = self.session(session_key).await?;
        let (after_seq, is_kept) = self.before(&session, turn_id, "turn_queued").await?;
        Ok(Begin {
            log_id: session.log_id,
            after_seq,
            is_kept,
        })
    }

    /// The place before the newest event of that kind and turn, and whether there is such an event. Looked for from the
    /// end, in stretches that double: most turns are short, and nothing is read more than twice.
    async fn before(
        &self,
        session: &SessionSnapshot,
        turn_id: &str,
        kind: &str,
    ) -> Result<(i64, bool), Status> {
        let oldest = session.first_seq - 1;
        let mut stretch = LOOK_BACK;
        loop {
            let from = session.head_seq.saturating_sub(stretch).max(oldest);
            match self.newest_behind(session, turn_id, kind, from).await? {
                Some(seq) => return Ok((seq - 1, true)),
                // What came before is not kept any more.
                None if from == oldest => return Ok((oldest, false)),
                None => stretch = stretch.saturating_mul(2),
            }
        }
    }

    /// The newest event of that kind and turn behind a place.
    async fn newest_behind(
        &self,
        session: &SessionSnapshot,
        turn_id: &str,
        kind: &str,
        mut after_seq: i64,
    ) -> Result<Option<i64>, Status> {
        let mut start = None;
        while after_seq < session.head_seq {
            let request = ReadEventsRequest {
                session_key: session.session_key.clone(),
                cursor: Some(Cursor {
                    log_id: session.log_id.clone(),
                    after_seq,
                }),
                kinds: vec![kind.into()],
                ..ReadEventsRequest::default()
            };
            let read: ReadEventsResponse = self
                .ask("/quarterdeck.v1.GatewayService/ReadEvents", &request)
                .await?;
            let own = |event: &&GatewayEvent| event.turn_id == turn_id;
            let newest = read.events.iter().rev().find(own);
            start = newest.map(|event| event.seq).or(start);
            after_seq = read.next_after_seq.max(after_seq + 1);
        }
        Ok(start)
    }

    /// A question as it is stored.
    ///
    /// # Errors
    /// It may not be read.
    pub(super) async fn question(&self, session_key: &str, id: &str) -> Result<Question, Status> {
        let request = GetQuestionRequest {
            session_key: session_key.into(),
            question_id: id.into(),
        };
        let found: GetQuestionResponse = self
            .ask("/quarterdeck.v1.GatewayService/GetQuestion", &request)
            .await?;
        Ok(found.question.unwrap_or_default())
    }

    /// Who joins late is told the beginning of a call's arguments; whoever is to run it needs them all.
    async fn make_whole(&self, event: &mut GatewayEvent) -> Result<(), Status> {
        let Some(Kind::QuestionPending(pending)) = &mut event.kind else {
            return Ok(());
        };
        let Some(question) = &mut pending.question else {
            return Ok(());
        };
        if question.args_full_size > 0 {
            let (key, id) = (&question.session_key, &question.question_id);
            *question = self.question(key, id).await?;
        }
        Ok(())
    }

    /// What the session's turn waits for.
    ///
    /// # Errors
    /// It may not be read.
    pub(super) async fn pending(&self, session_key: &str) -> Result<Vec<Question>, Status> {
        let request = ListQuestionsRequest {
            session_key: session_key.into(),
            states: vec![QuestionState::Pending.into()],
            ..ListQuestionsRequest::default()
        };
        let response: ListQuestionsResponse = self
            .ask("/quarterdeck.v1.GatewayService/ListQuestions", &request)
            .await?;
        Ok(response.questions)
    }

    /// A turn as it stands.
    ///
    /// # Errors
    /// It may not be read.
    pub(super) async fn turn(&self, session_key: &str, turn_id: &str) -> Result<Turn, Status> {
        let request = GetTurnRequest {
            session_key: session_key.into(),
            turn_id: turn_id.into(),
        };
        let response: GetTurnResponse = self
            .ask("/quarterdeck.v1.GatewayService/GetTurn", &request)
            .await?;
        Ok(response.turn.unwrap_or_default())
    }

    /// Makes a session. One that is there already is as good.
    ///
    /// # Errors
    /// It may not be made.
    pub(super) async fn make_session(&self, request: &CreateSessionRequest) -> Result<(), Status> {
        let path = "/quarterdeck.v1.GatewayService/CreateSession";
        let made: Result<CreateSessionResponse, Status> = self.ask(path, request).await;
        match made {
            Err(refused) if reason(&refused) != "SESSION_EXISTS" => Err(refused),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Stops a turn; an empty id is the running one. The answer comes when the stop is proven.
    ///
    /// # Errors
    /// It may not be stopped.
    pub(super) async fn abort(
        &self,
        session_key: &str,
        turn_id: &str,
    ) -> Result<AbortResponse, Status> {
        let request = AbortRequest {
            session_key: session_key.into(),
            turn_id: turn_id.into(),
            ..AbortRequest::default()
        };
        self.ask("/quarterdeck.v1.GatewayService/Abort", &request)
            .await
    }

    /// What the server is, and its agents.
    ///
    /// # Errors
    /// The sender is not known.
    pub(super) async fn server(&self) -> Result<GetServerInfoResponse, Status> {
        let path = "/quarterdeck.v1.AdminService/GetServerInfo";
        self.ask(path, &GetServerInfoRequest {}).await
    }

    /// The session as it stands.
    ///
    /// # Errors
    /// It may not be read.
    pub(super) async fn session(&self, key: &str) -> Result<SessionSnapshot, Status> {
        let request = GetSessionRequest {
            session_key: key.into(),
            ..GetSessionRequest::default()
        };
        let response: GetSessionResponse = self
            .ask("/quarterdeck.v1.GatewayService/GetSession", &request)
            .await?;
        Ok(response.session.unwrap_or_default())
    }

    /// Answers a question in the words that it offers. One that is closed already stays as it is: a protocol may say the
    /// same answer again and again.
    ///
    /// # Errors
    /// It may not be answered so.
    pub(super) async fn answer(
        &self,
        session_key: &str,
        question_id: &str,
        reply: &Reply,
    ) -> Result<Question, Status> {
        let question = self.question(session_key, question_id).await?;
        let request = AnswerQuestionRequest {
            session_key: session_key.into(),
            question_id: question_id.into(),
            answer: Some(reply.in_words_of(&question)),
            action_digest: question.action_digest.clone(),
            request_id: String::new(),
        };
        let answered: Result<AnswerQuestionResponse, Status> = self
            .ask("/quarterdeck.v1.GatewayService/AnswerQuestion", &request)
            .await;
        match answered {
            Ok(answered) => Ok(answered.question.unwrap_or(question)),
            Err(refused) if reason(&refused) == "ALREADY_ANSWERED" => Ok(question),
            Err(refused) => Err(refused),
        }
    }
}

// === impl Reply ===

impl Reply {
    /// What a tool of the caller's gave, in the text that protocols bring it in: JSON where it is some.
    pub(super) fn of_tool(text: &str) -> Self {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        Self::Content {
            json: match is_json {
                true => text.to_owned(),
                false => serde_json::Value::from(text).to_string(),
            },
            is_error: false,
        }
    }

    fn in_words_of(&self, question: &Question) -> proto::Answer {
        let option = |fits: &dyn Fn(&proto::QuestionOption) -> bool| {
            let offered = question.options.iter().find(|it| fits(it));
            offered.map(|it| it.option_id.clone())
        };
        let declined = proto::Answer {
            declined: true,
            ..proto::Answer::default()
        };
        let chosen = |option_id: Option<String>, comment: &str| match option_id {
            Some(option_id) => proto::Answer {
                option_id,
                comment: comment.into(),
                ..proto::Answer::default()
            },
            None => declined.clone(),
        };
        match self {
            // What allows for ever is for people who see what they allow.
            Self::Allow => {
                let allows = |it: &proto::QuestionOption| {
                    it.effect() == OptionEffect::AllowOnce || it.option_id == LINK_DONE
                };
                chosen(option(&allows), "")
            }
            Self::Deny(why) => {
                let denies = |it: &proto::QuestionOption| it.effect() == OptionEffect::DenyOnce;
                chosen(option(&denies), why)
            }
            Self::Content { json, is_error } => proto::Answer {
                content_json: json.clone(),
                is_error: *is_error,
                ..proto::Answer::default()
            },
            Self::Declined => declined,
        }
    }
}

// === impl Followed ===

impl Followed {
    fn new(caller: &Caller, answer: Answer, view: View, segments: Segments) -> Self {
        Self {
            caller: caller.clone(),
            answer,
            view,
            told: VecDeque::new(),
            segments,
            live: false,
            over: false,
        }
    }

    /// Questions that wait.
    pub(super) fn questions(&self) -> Vec<Question> {
        self.view.questions().cloned().collect()
    }

    /// Whether what the turn waits for ends what is told.
    fn ends_here(&self) -> bool {
        match self.segments {
            Segments::All => true,
            Segments::ClientTools => {
                let mut questions = self.view.questions();
                questions.any(|it| it.kind() == QuestionKind::ToolCall)
            }
        }
    }

    /// What there is to tell next; `None` at the end of the turn, or of the segment.
    pub(super) async fn next(&mut self) -> Option<Result<Told, Status>> {
        loop {
            if let Some(told) = self.told.pop_front() {
                self.over |= matches!(told, Told::Ended(_));
                return Some(Ok(told));
            }
            if self.over || self.live && self.view.waits() && self.ends_here() {
                return None;
            }
            let event: Bytes = match self.answer.next().await? {
                Ok(event) => event,
                Err(refused) => return Some(Err(refused)),
            };
            match GatewayEvent::decode(event) {
                Ok(mut event) => {
                    self.live |= matches!(event.kind, Some(Kind::CaughtUp(_)));
                    if let Err(refused) = self.caller.make_whole(&mut event).await {
                        return Some(Err(refused));
                    }
                    self.told.extend(self.view.fold(event));
                }
                Err(error) => return Some(Err(status::bug(&error).into())),
            }
        }
    }
}
