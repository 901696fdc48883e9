//! Abort, Reset, Delete, the queue, UpdateSession.

use super::{Call, admission};
use crate::{
    domain::{
        access::Scope,
        event::EventKind,
        ids::{SessionKey, SessionRow},
        limits::EVENTS_PAGE_MAX_BYTES,
        refusal::Refusal,
        session::SessionState,
        turn::{Cause, TurnState},
    },
    feed::Tail,
    proto,
    store::{Abort, EventsRange, UpdateQueued, UpdateSession},
    wire::{
        encode::{self, TurnTexts},
        parse::Fields,
    },
};
use std::{path::Path, pin::pin, time::Duration};
use uuid::Uuid;

/// How often it is looked whether a Delete that takes long still goes on.
const DELETE_LOOK_EVERY: Duration = Duration::from_secs(5);

// === impl Call ===

impl Call<'_> {
    pub(super) async fn abort(
        &self,
        mut request: proto::AbortRequest,
    ) -> Result<proto::AbortResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let turn_id = fields.optional_turn_id("turn_id", &request.turn_id);
        fields.request_id(&request.request_id);
        let mode = fields.abort_mode(request.mode);
        let grace = fields.grace(request.grace);
        let key = fields.finish(key)?;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key.clone(),
                "Abort",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let command = Abort {
            caller,
            turn_id,
            clear_queue: request.clear_queue,
            mode,
            grace,
            cause: Cause::Aborted,
        };
        let store = self.store.clone();
        let committed = self
            .carry_out(async move { store.abort(command).await })
            .await?;
        let receipt = committed.receipt;
        let mut turn = committed.turn;
        // The rest only waits: a caller that leaves changes nothing.
        if let Some(stopping) = turn
            .as_mut()
            .filter(|turn| receipt.stopping && !turn.state.is_terminal())
        {
            let turn_id = stopping.turn_id;
            let tail = self.tail_of(committed.session.row).await?;
            // Asked for before the look, so that no end falls between.
            let waiter = tail.as_ref().map(|tail| tail.turn_waiter(turn_id));
            let active = tail
                .as_ref()
                .is_some_and(|tail| tail.session().active_turn == Some(turn_id));
            *stopping = match waiter {
                // Told by the commit itself: a Delete may take the turn's row right behind it.
                Some(ended) if active => self.while_serving(ended).await?.as_ref().clone(),
                Some(_) | None => self.store.turn_of(committed.session.row, turn_id).await?,
            };
        }
        let mut seq = receipt.seq;
        if let Some(turn) = turn
            .as_ref()
            .filter(|turn| receipt.stopping && turn.state.is_terminal())
        {
            let ended = (EventKind::TURN_ENDED, Some(turn.turn_id));
            seq = self.reached(committed.session.row, seq, ended).await?;
        }
        let stopped = turn
            .as_ref()
            .is_some_and(|turn| matches!(turn.state, TurnState::Canceled | TurnState::Rejected));
        Ok(proto::AbortResponse {
            aborted: receipt.stopping && stopped,
            turn: turn.map(|turn| encode::turn(&turn, TurnTexts::Cut)),
            cleared_turn_ids: receipt.cleared.iter().map(ToString::to_string).collect(),
            seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    pub(super) async fn reset(
        &self,
        mut request: proto::ResetRequest,
    ) -> Result<proto::ResetResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.request_id(&request.request_id);
        let key = fields.finish(key)?;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key,
                "Reset",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let store = self.store.clone();
        let committed = self
            .carry_out(async move { store.reset(caller).await })
            .await?;
        let mut session = committed.session;
        if session.state == SessionState::Resetting {
            let before = session.generation;
            if let Some(tail) = self.tail_of(session.row).await? {
                let over = tail.until(|now| {
                    now.generation > before
                        || matches!(now.state, SessionState::Deleting | SessionState::Deleted)
                });
                session = self.while_serving(over).await?;
            }
        }
        let mut seq = committed.receipt.seq;
        if committed.receipt.stopping {
            let reset = (EventKind::SESSION_RESET, None);
            seq = self.reached(session.row, seq, reset).await?;
        }
        Ok(proto::ResetResponse {
            session: Some(encode::session(&session)),
            rejected_turn_ids: committed
                .receipt
                .cleared
                .iter()
                .map(ToString::to_string)
                .collect(),
            seq,
            replayed: committed.replayed,
            log_id: session.log_id.to_string(),
        })
    }

    pub(super) async fn delete_session(
        &self,
        mut request: proto::DeleteSessionRequest,
    ) -> Result<proto::DeleteSessionResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.request_id(&request.request_id);
        let key = fields.finish(key)?;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key.clone(),
                "DeleteSession",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let store = self.store.clone();
        let committed = self
            .carry_out(async move { store.delete_session(caller).await })
            .await?;
        // Gone before this call: another one did the work.
        let replayed = committed.replayed || committed.session.state == SessionState::Deleted;
        let session = committed.session;
        let mut seq = session.head;
        if session.state != SessionState::Deleted {
            seq = match self.tail_of(session.row).await? {
                Some(tail) => self.until_deleted(&key, &tail).await?,
                None => self.store.last_position(session.row).await?.unwrap_or(seq),
            };
        }
        Ok(proto::DeleteSessionResponse {
            seq,
            replayed,
            log_id: session.log_id.to_string(),
        })
    }

    /// Waits for the end of a Delete for as long as it goes on; returns the session's last position.
    async fn until_deleted(&self, key: &SessionKey, tail: &Tail) -> Result<i64, Refusal> {
        let row = tail.session().row;
        let mut gone = pin!(tail.until(|session| session.state == SessionState::Deleted));
        loop {
            let wait = tokio::time::timeout(DELETE_LOOK_EVERY, &mut gone);
            if let Ok(session) = self.while_serving(wait).await? {
                return Ok(session.head);
            }
            if self.store.delete_postponed(row).await? {
                return Err(Refusal::SessionDeleting {
                    key: key.to_string(),
                });
            }
        }
    }

    /// Position of the first such event after the commit of a command that waited for it: what the call reached, the
    /// same for each repeat. The commit's own position where the event stands before it or is not kept any more.
    async fn reached(
        &self,
        session: SessionRow,
        commit: i64,
        (kind, turn_id): (EventKind, Option<Uuid>),
    ) -> Result<i64, Refusal> {
        let mut range = EventsRange {
            after: commit,
            through: i64::MAX,
            kinds: vec![kind],
            turn_id,
        };
        loop {
            let read = self
                .store
                .events(session, range.clone(), 1, EVENTS_PAGE_MAX_BYTES);
            let page = match read.await {
                Err(Refusal::SessionDeleted { .. }) => return Ok(commit),
                page => page?,
            };
            if let Some(event) = page.events.first() {
                return Ok(event.seq);
            }
            if page.looked <= range.after || page.looked == range.through {
                return Ok(commit);
            }
            range.after = page.looked;
        }
    }

    pub(super) async fn update_session(
        &self,
        mut request: proto::UpdateSessionRequest,
    ) -> Result<proto::UpdateSessionResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.request_id(&request.request_id);
        let new = request.session.clone().unwrap_or_default();
        let paths = request.update_mask.clone().unwrap_or_default().paths;
        if paths.is_empty() {
            fields.wrong(
                "update_mask",
                "must name what changes: display_name, labels, agent, cwd, expire_after_idle, shares, \
                 memory_namespaces, no_approver, question_ttl, tool_policy",
            );
        }
        let (mut name, mut labels, mut agent, mut expire, mut shares, mut memory) =
            (None, None, None, None, None, None);
        let (mut cwd, mut no_approver, mut question_ttl, mut policy) = (None, None, None, None);
        for (at, path) in paths.iter().enumerate().take(16) {
            match path.as_str() {
                "display_name" => {
                    admission::display_name(&mut fields, "session.display_name", &new.display_name);
                    name = Some(new.display_name.clone());
                }
                "labels" => {
                    fields.labels("session.labels", &new.labels);
                    labels = Some(new.labels.clone());
                }
                "agent" => {
                    if new.agent.is_empty() {
                        fields.wrong("session.agent", "must not be empty");
                    }
                    self.known_agent(&mut fields, "session.agent", &new.agent);
                    agent = Some(new.agent.clone());
                }
                "cwd" => {
                    fields.cwd("session.cwd", &new.cwd);
                    cwd = Some(new.cwd.clone());
                }
                "expire_after_idle" => {
                    expire = Some(admission::expire_after_idle(
                        &mut fields,
                        "session.expire_after_idle",
                        new.expire_after_idle,
                    ));
                }
                "shares" => {
                    let tenant = &self.identity.principal.tenant;
                    shares = Some(fields.shares("session.shares", tenant, &new.shares));
                }
                "memory_namespaces" => {
                    let names = &new.memory_namespaces;
                    memory = Some(fields.memory_namespaces("session.memory_namespaces", names));
                }
                "no_approver" => {
                    no_approver = Some(fields.no_approver("session.no_approver", new.no_approver));
                }
                "question_ttl" => {
                    question_ttl =
                        Some(fields.question_ttl("session.question_ttl", new.question_ttl));
                }
                "tool_policy" => {
                    policy = Some(fields.tool_policy("session.tool_policy", &new.tool_policy));
                }
                _ => fields.wrong(
                    format!("update_mask.paths[{at}]"),
                    "can't be changed; display_name, labels, agent, cwd, expire_after_idle, shares, \
                     memory_namespaces, no_approver, question_ttl and tool_policy can",
                ),
            }
        }
        if let (Some(key), Some(agent)) = (&key, &agent) {
            self.fits_cwd(&mut fields, key, agent, cwd.as_deref())
                .await?;
        }
        let key = fields.finish(key)?;
        let (cwd, cwd_refused) = match cwd {
            Some(cwd) => {
                let (cwd, refused) = self.new_cwd(&key, &cwd).await?;
                (Some(cwd), refused)
            }
            None => (None, None),
        };
        // Back to the default too: it is a change of what the session reaches.
        if memory.is_some() {
            self.identity.require(Scope::MemoryRead)?;
            self.identity.require(Scope::MemoryWrite)?;
        }
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key,
                "UpdateSession",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let committed = self
            .store
            .update_session(UpdateSession {
                caller,
                display_name: name,
                labels,
                agent,
                cwd,
                cwd_refused,
                expire_after_idle: expire,
                memory_namespaces: memory,
                no_approver,
                question_ttl,
                tool_policy: policy,
                shares,
            })
            .await?;
        Ok(proto::UpdateSessionResponse {
            session: Some(encode::session(&committed.session)),
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    /// The directory that a session is to work in, resolved; else why not.
    async fn new_cwd(
        &self,
        key: &SessionKey,
        cwd: &str,
    ) -> Result<(String, Option<Refusal>), Refusal> {
        match self.session(key).await {
            Ok(session) => Ok(self.resolve_cwd("session.cwd", &session.agent, cwd).await),
            // For the store to say, which knows repeats.
            Err(Refusal::SessionNotFound { .. } | Refusal::SessionDeleted { .. }) => {
                Ok((String::new(), None))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Refuses an agent that may not work where the session does, or is to from now on.
    async fn fits_cwd(
        &self,
        fields: &mut Fields,
        key: &SessionKey,
        agent: &str,
        new_cwd: Option<&str>,
    ) -> Result<(), Refusal> {
        let session = match self.session(key).await {
            Ok(session) => session,
            // For the store to say, which knows repeats.
            Err(Refusal::SessionNotFound { .. } | Refusal::SessionDeleted { .. }) => return Ok(()),
            Err(refusal) => return Err(refusal),
        };
        // An agent that is not configured was refused already.
        let known = self.cwd_roots.0.contains_key(agent);
        let cwd = new_cwd.unwrap_or(&session.cwd);
        if known && !cwd.is_empty() && !self.cwd_roots.hold(agent, Path::new(cwd)) {
            fields.wrong(
                "session.agent",
                "its cwd_roots do not hold the session's cwd",
            );
        }
        Ok(())
    }

    pub(super) async fn update_queued(
        &self,
        mut request: proto::UpdateQueuedRequest,
    ) -> Result<proto::UpdateQueuedResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let turn_id = fields.turn_id("turn_id", &request.turn_id);
        fields.request_id(&request.request_id);
        if let Some(text) = &request.text {
            fields.input("", text, &[]);
        }
        if let Some(position) = request.position {
            fields.not_negative("position", position.into());
        }
        if request.text.is_none() && request.position.is_none() {
            fields.wrong("text", "set text, position or both");
        }
        let (key, turn_id) = fields.finish(key.zip(turn_id))?;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key,
                "UpdateQueued",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let committed = self
            .store
            .update_queued(UpdateQueued {
                caller,
                turn_id,
                text: request.text,
                position: request.position,
            })
            .await?;
        Ok(proto::UpdateQueuedResponse {
            turn: committed
                .turn
                .map(|turn| encode::turn(&turn, TurnTexts::Cut)),
            queue_position: committed.receipt.queue_position,
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    pub(super) async fn remove_queued(
        &self,
        mut request: proto::RemoveQueuedRequest,
    ) -> Result<proto::RemoveQueuedResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let turn_id = fields.turn_id("turn_id", &request.turn_id);
        fields.request_id(&request.request_id);
        let (key, turn_id) = fields.finish(key.zip(turn_id))?;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key,
                "RemoveQueued",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let committed = self.store.remove_queued(caller, turn_id).await?;
        Ok(proto::RemoveQueuedResponse {
            turn: committed
                .turn
                .map(|turn| encode::turn(&turn, TurnTexts::Cut)),
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    pub(super) async fn clear_queue(
        &self,
        mut request: proto::ClearQueueRequest,
    ) -> Result<proto::ClearQueueResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.request_id(&request.request_id);
        let key = fields.finish(key)?;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key,
                "ClearQueue",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let committed = self.store.clear_queue(caller).await?;
        Ok(proto::ClearQueueResponse {
            turns: committed
                .cleared
                .iter()
                .map(|turn| encode::turn(turn, TurnTexts::Cut))
                .collect(),
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }
}
