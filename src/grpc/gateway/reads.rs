//! Everything that only looks.

use super::Call;
use crate::{
    domain::{
        event::BlockKind,
        limits::{EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX_BYTES, PAGE_MAX, READ_WAIT_MAX},
        refusal::Refusal,
        session::Session,
    },
    feed::{self, Look, OpenBlock, ring::Filter},
    proto,
    store::{EventsRange, TurnsFilter},
    wire::{
        encode::{self, TurnTexts},
        frames::{self, Position},
        parse::Fields,
    },
};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Longest `wait` of AwaitTurn that a clock can count to; the turn's own timeout ends it long before.
const AWAIT_MAX: Duration = Duration::from_secs(3650 * 24 * 3600);

// === impl Call ===

impl Call<'_> {
    pub(super) async fn await_turn(
        &self,
        request: proto::AwaitTurnRequest,
    ) -> Result<proto::AwaitTurnResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let turn_id = fields.turn_id("turn_id", &request.turn_id);
        let wait = fields.span("wait", request.wait, Duration::ZERO, AWAIT_MAX);
        let (key, turn_id) = fields.finish(key.zip(turn_id))?;
        let viewer = self.identity.clone();
        let session = self.session(&key).await?;
        // Asked for before the turn is read, so that no end falls between.
        let tail = self.tail_of(session.row).await?;
        let waiter = tail.as_ref().map(|tail| tail.turn_waiter(turn_id));
        let mut turn = self.store.turn(&viewer, &key, turn_id).await?;
        let mut questions = Vec::new();
        if let Some(waiter) = waiter
            && !turn.state.is_terminal()
        {
            let tail = tail.expect("a waiter waits at a tail");
            // Whoever may not read the session any more waits no longer.
            let over = |session: &Session| {
                let asked = request.or_question
                    && session.pending_questions > 0
                    && session.active_turn == Some(turn_id);
                asked || viewer.access(session).is_none()
            };
            let ended = async {
                tokio::select! {
                    biased;
                    ended = waiter => Some(ended),
                    _ = tail.until(over) => None,
                }
            };
            let waited = tokio::time::timeout(wait.unwrap_or(AWAIT_MAX), ended);
            turn = match self.while_serving(waited).await? {
                Ok(Some(ended)) => ended.as_ref().clone(),
                Ok(None) | Err(_) => self.store.turn(&viewer, &key, turn_id).await?,
            };
            if request.or_question {
                questions = pending(&tail.look(), Some(turn_id));
            }
        }
        Ok(proto::AwaitTurnResponse {
            turn: Some(encode::turn(&turn, TurnTexts::Whole)),
            questions,
        })
    }

    pub(super) async fn get_turn(
        &self,
        request: proto::GetTurnRequest,
    ) -> Result<proto::GetTurnResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let turn_id = fields.turn_id("turn_id", &request.turn_id);
        let (key, turn_id) = fields.finish(key.zip(turn_id))?;
        self.note_reader(&key).await?;
        let turn = self.store.turn(&self.identity, &key, turn_id).await?;
        Ok(proto::GetTurnResponse {
            turn: Some(encode::turn(&turn, TurnTexts::Whole)),
        })
    }

    pub(super) async fn list_turns(
        &self,
        request: proto::ListTurnsRequest,
    ) -> Result<proto::ListTurnsResponse, Refusal> {
        let mut fields = Fields::default();
        let key = (!request.session_key.is_empty())
            .then(|| fields.session_key("session_key", &request.session_key))
            .flatten();
        let states = fields.turn_states("states", &request.states);
        let limit = fields.page_size(request.page_size);
        let query = format!("turns {} {:?}", request.session_key, request.states);
        let list = self.pages.list(&self.identity, &query);
        let after = list.position(&mut fields, &request.page_token);
        fields.check()?;
        let after = after.map(|[after]| after);
        match &key {
            Some(key) => self.note_reader(key).await?,
            None => self.facts.reads_of_another(""),
        }
        let filter = TurnsFilter {
            viewer: self.identity.clone(),
            key,
            states,
        };
        let page = self.store.list_turns(filter, after, limit).await?;
        Ok(proto::ListTurnsResponse {
            turns: page
                .turns
                .iter()
                .map(|turn| encode::turn(turn, TurnTexts::Cut))
                .collect(),
            next_page_token: list.token(page.next.map(|next| [next])),
        })
    }

    pub(super) async fn list_queue(
        &self,
        request: proto::ListQueueRequest,
    ) -> Result<proto::ListQueueResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let key = fields.finish(key)?;
        self.note_reader(&key).await?;
        let turns = self.store.queue(&self.identity, &key).await?;
        Ok(proto::ListQueueResponse {
            turns: turns
                .iter()
                .map(|turn| encode::turn(turn, TurnTexts::Cut))
                .collect(),
        })
    }

    pub(super) async fn read_events(
        &self,
        request: proto::ReadEventsRequest,
    ) -> Result<proto::ReadEventsResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let kinds = fields.kinds("kinds", &request.kinds);
        let kinds = Filter::new(&kinds, false, request.subagents, None).durable_kinds();
        let cursor = request.cursor.clone().unwrap_or_default();
        fields.not_negative("cursor.after_seq", cursor.after_seq);
        fields.not_negative("min_seq", request.min_seq);
        let limit = match usize::try_from(request.limit) {
            Ok(0) => EVENTS_PAGE_DEFAULT,
            Ok(limit) => limit.min(PAGE_MAX),
            Err(_) => {
                fields.wrong("limit", "must not be negative");
                EVENTS_PAGE_DEFAULT
            }
        };
        let wait = fields
            .span("wait", request.wait, Duration::ZERO, READ_WAIT_MAX)
            .unwrap_or(Duration::ZERO);
        if request.from_oldest && request.cursor.is_some() {
            fields.wrong("from_oldest", "can't stand beside a cursor");
        }
        let key = fields.finish(key)?;
        let tail = self.tail(&key, request.min_seq).await?;
        let session = tail.session();
        let has_cursor = request.cursor.is_some();
        let mut after = match request.cursor {
            Some(cursor) => {
                feed::resolve_cursor(&session, &cursor.log_id, cursor.after_seq, false)?
            }
            None => session.first_seq - 1,
        };
        let deadline = Instant::now() + wait;
        // Whatever is kept was asked for: what retention takes before the first look is none of it.
        let mut from_oldest = !has_cursor;
        loop {
            let session = tail.session();
            if self.identity.access(&session).is_none() {
                return Err(Refusal::SessionNotFound {
                    key: key.to_string(),
                });
            }
            let range = EventsRange {
                after,
                through: session.head,
                kinds: kinds.clone(),
                turn_id: None,
            };
            let page = self
                .store
                .events(session.row, range, limit, EVENTS_PAGE_MAX_BYTES)
                .await?;
            if page.first_seq > after + 1 && !std::mem::take(&mut from_oldest) {
                let mut range = feed::log_range(&session);
                range.first_seq = page.first_seq;
                return Err(Refusal::CursorExpired(range));
            }
            after = page.looked;
            let more_to_look_at = after < session.head;
            if page.events.is_empty() && more_to_look_at {
                continue;
            }
            if page.events.is_empty() && Instant::now() < deadline {
                let head = session.head;
                let viewer = &self.identity;
                let newer =
                    tail.until(|session| session.head > head || viewer.access(session).is_none());
                let waited = tokio::time::timeout_at(deadline, newer);
                // Where the gateway stops meanwhile the empty page is the answer, as at the end of `wait`.
                if matches!(self.while_serving(waited).await, Ok(Ok(_))) {
                    continue;
                }
            }
            let events = page
                .events
                .iter()
                .map(|event| {
                    frames::message(
                        &session.key,
                        session.log_id,
                        Position::Seq(event.seq),
                        &event.body,
                    )
                })
                .collect::<Result<Vec<_>, _>>()
                .map_err(|problem| crate::grpc::status::bug(&problem))?;
            return Ok(proto::ReadEventsResponse {
                events,
                next_after_seq: after,
                head_seq: session.head,
                first_seq: page.first_seq,
                log_id: session.log_id.to_string(),
            });
        }
    }

    pub(super) async fn get_session(
        &self,
        request: proto::GetSessionRequest,
    ) -> Result<proto::GetSessionResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.not_negative("min_seq", request.min_seq);
        let key = fields.finish(key)?;
        let session = self.session(&key).await?;
        if request.min_seq > session.head {
            return Err(Refusal::CursorAhead(feed::log_range(&session)));
        }
        Ok(proto::GetSessionResponse {
            session: Some(encode::session(&session)),
        })
    }

    pub(super) async fn get_session_state(
        &self,
        request: proto::GetSessionStateRequest,
    ) -> Result<proto::GetSessionStateResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.not_negative("min_seq", request.min_seq);
        let limit = fields.page_size(request.page_size);
        let key = fields.finish(key)?;
        let tail = self.tail(&key, request.min_seq).await?;
        let look = tail.look();
        let session = look.session.clone();
        let page = self
            .store
            .messages(
                session.row,
                session.generation,
                Some(look.head),
                None,
                limit,
            )
            .await?;
        let plan = self.store.plan(session.row, session.generation).await?;
        Ok(proto::GetSessionStateResponse {
            plan: match plan {
                // A newer one comes with its event.
                Some((seq, body)) if seq <= look.head => plan_of(&session, seq, &body)?,
                Some(_) | None => Vec::new(),
            },
            session: Some(encode::session(&session)),
            messages: page.messages.iter().map(encode::message).collect(),
            open_message: open_message(&look),
            questions: pending(&look, None),
            running_tools: look
                .tools
                .iter()
                .map(|tool| proto::ToolCallPart {
                    tool_call_id: tool.tool_call_id.clone(),
                    tool_name: tool.tool_name.clone(),
                    args_json: tool.args.text.clone(),
                    state: proto::ToolCallState::Running.into(),
                    result_json: tool
                        .partial_result
                        .as_ref()
                        .map(|json| json.text.clone())
                        .unwrap_or_default(),
                    full_size: tool.partial_result.as_ref().map_or(0, encode::full_size),
                })
                .collect(),
            seq: look.head,
            log_id: session.log_id.to_string(),
            next_page_token: self
                .pages
                .list(
                    &self.identity,
                    &messages_query(key.as_str(), session.generation),
                )
                .token(page.next.map(|next| [next])),
        })
    }

    pub(super) async fn list_sessions(
        &self,
        request: proto::ListSessionsRequest,
    ) -> Result<proto::ListSessionsResponse, Refusal> {
        let mut fields = Fields::default();
        let query = format!("sessions {:?}", request.filter);
        let filter = fields.filter("filter", request.filter);
        let limit = fields.page_size(request.page_size);
        let list = self.pages.list(&self.identity, &query);
        let after = list.position(&mut fields, &request.page_token);
        fields.check()?;
        let after = after.map(|[after]| after);
        let page = self
            .store
            .list_sessions(&self.identity, filter, after, limit)
            .await?;
        let others = |session| self.identity.reads_as_operator(session);
        if page.sessions.iter().any(others) {
            self.facts.reads_of_another("");
        }
        Ok(proto::ListSessionsResponse {
            sessions: page.sessions.iter().map(encode::session).collect(),
            next_page_token: list.token(page.next.map(|next| [next])),
        })
    }

    pub(super) async fn list_messages(
        &self,
        request: proto::ListMessagesRequest,
    ) -> Result<proto::ListMessagesResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.not_negative("min_seq", request.min_seq);
        let limit = fields.page_size(request.page_size);
        let key = fields.finish(key)?;
        let session = self.session(&key).await?;
        if request.min_seq > session.head {
            return Err(Refusal::CursorAhead(feed::log_range(&session)));
        }
        let generation = request.generation.unwrap_or(session.generation);
        let query = messages_query(key.as_str(), generation);
        let list = self.pages.list(&self.identity, &query);
        let mut fields = Fields::default();
        let before = list.position(&mut fields, &request.page_token);
        if !(1..=session.generation).contains(&generation) {
            fields.wrong(
                "generation",
                format!("must be between 1 and {}", session.generation),
            );
        }
        fields.check()?;
        let before = before.map(|[before]| before);
        let page = self
            .store
            .messages(session.row, generation, None, before, limit)
            .await?;
        Ok(proto::ListMessagesResponse {
            messages: page.messages.iter().map(encode::message).collect(),
            next_page_token: list.token(page.next.map(|next| [next])),
        })
    }

    pub(super) async fn get_attachment(
        &self,
        request: proto::GetAttachmentRequest,
    ) -> Result<proto::GetAttachmentResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.text("attachment_id", &request.attachment_id, 128);
        let key = fields.finish(key)?;
        let session = self.session(&key).await?;
        let attachment = self
            .store
            .attachment(session.row, &request.attachment_id)
            .await?;
        Ok(proto::GetAttachmentResponse {
            attachment: Some(proto::Attachment {
                name: attachment.reference.name,
                media_type: attachment.reference.media_type,
                data: attachment.data,
            }),
        })
    }
}

/// The steps of a stored plan.
fn plan_of(session: &Session, seq: i64, body: &Bytes) -> Result<Vec<proto::PlanEntry>, Refusal> {
    let event = frames::message(&session.key, session.log_id, Position::Seq(seq), body);
    let event = event.map_err(|problem| crate::grpc::status::bug(&problem))?;
    Ok(match event.kind {
        Some(proto::gateway_event::Kind::PlanUpdated(plan)) => plan.entries,
        _ => Vec::new(),
    })
}

fn messages_query(key: &str, generation: i64) -> String {
    format!("messages {key} {generation}")
}

/// What is waited for, of one turn or of whichever is active.
fn pending(look: &Look, turn_id: Option<Uuid>) -> Vec<proto::Question> {
    let asked = look.questions.iter();
    asked
        .filter(|pending| turn_id.is_none() || pending.turn_id == turn_id)
        .map(|pending| proto::Question::clone(&pending.question))
        .collect()
}

/// The message that the agent is writing, as far as it is written.
fn open_message(look: &Look) -> Option<proto::Message> {
    let part = |block: &OpenBlock| {
        use proto::message_part::Part;
        let text = block.text.clone();
        let part = match block.kind {
            BlockKind::Text => Part::Text(proto::TextPart { text }),
            BlockKind::Thinking => Part::Thinking(proto::ThinkingPart { text }),
            // Arguments under way and results of tools are shown as running tools.
            BlockKind::ToolInput | BlockKind::ToolResult => return None,
        };
        Some(proto::MessagePart {
            content_index: block.content_index,
            part: Some(part),
        })
    };
    let open = look.messages.last()?;
    Some(proto::Message {
        item_id: open.item_id.to_string(),
        turn_id: open.turn_id.map(|id| id.to_string()).unwrap_or_default(),
        generation: open.generation,
        role: proto::Role::Assistant.into(),
        parts: open.blocks.iter().filter_map(part).collect(),
        partial: true,
        ..Default::default()
    })
}
