//! Enqueue, Steer, and what makes sessions.

use super::{Call, off_thread};
use crate::{
    clock,
    domain::{
        access::Scope,
        limits::{DISPLAY_NAME_MAX_BYTES, EVENTS_PAGE_MAX_BYTES, NAME_MAX_BYTES},
        memory::Reach,
        refusal::Refusal,
        session::Session,
        turn::Attachment,
    },
    proto::{self, gateway_event::Kind},
    store::{Admission, Committed, Enqueue, EventsRange, Fork, NewSession, OnBusy, Steer},
    wire::{
        encode::{self, TurnTexts},
        frames::{self, Position},
        parse::{self, Fields},
    },
};
use std::{collections::BTreeMap, time::Duration};

/// Attachments above this are hashed off the serving threads, in bytes.
const HASH_HERE_MAX_BYTES: usize = 64 * 1024;
/// Longest `queue_ttl` and `expire_after_idle`.
const SPAN_MAX: Duration = Duration::from_secs(3650 * 24 * 3600);

// === impl Call ===

impl Call<'_> {
    pub(super) async fn enqueue(
        &self,
        request: proto::EnqueueRequest,
    ) -> Result<proto::EnqueueResponse, Refusal> {
        let committed = self.admit(request, "", true).await?;
        let Committed {
            receipt,
            session,
            turn,
            replayed,
            ..
        } = committed;
        Ok(proto::EnqueueResponse {
            turn: turn.map(|turn| encode::turn(&turn, TurnTexts::Cut)),
            mode: mode(receipt.admission).into(),
            steer_id: receipt
                .steer_id
                .map(|id| id.to_string())
                .unwrap_or_default(),
            queue_position: receipt.queue_position,
            seq: receipt.seq,
            log_id: session.log_id.to_string(),
            replayed,
        })
    }

    /// What Enqueue and Run share. `prefix` is where the request stands in its outer one.
    pub(super) async fn admit(
        &self,
        request: proto::EnqueueRequest,
        prefix: &str,
        may_steer: bool,
    ) -> Result<Committed, Refusal> {
        let command = self.prepare(request, prefix, may_steer).await?;
        let is_scheduled = command.not_before.is_some();
        let committed = match command.on_busy {
            // A new turn is found by the registry without a nudge.
            OnBusy::Enqueue | OnBusy::Reject => self.store.enqueue(command).await,
            OnBusy::Interrupt | OnBusy::SteerOrEnqueue => {
                let store = self.store.clone();
                self.carry_out(async move { store.enqueue(command).await })
                    .await
            }
        }?;
        if is_scheduled {
            self.sooner.notify_one();
        }
        Ok(committed)
    }

    /// Reads a request: what is to be admitted.
    pub(super) async fn prepare(
        &self,
        mut request: proto::EnqueueRequest,
        prefix: &str,
        may_steer: bool,
    ) -> Result<Enqueue, Refusal> {
        self.refuse_while_draining()?;
        let mut fields = Fields::default();
        let key = fields.session_key(&format!("{prefix}session_key"), &request.session_key);
        fields.input(prefix, &request.text, &request.attachments);
        fields.request_id(&request.request_id);
        fields.text(&format!("{prefix}source"), &request.source, NAME_MAX_BYTES);
        fields.metadata(&format!("{prefix}metadata"), &request.metadata);
        fields.labels(&format!("{prefix}labels"), &request.labels);
        fields.settings(
            prefix,
            &request.model,
            &request.thinking_level,
            &request.display_name,
        );
        self.known_agent(&mut fields, &format!("{prefix}agent"), &request.agent);
        let on_busy = fields.on_busy(&format!("{prefix}on_busy"), request.on_busy);
        if on_busy == OnBusy::SteerOrEnqueue && !may_steer {
            fields.wrong(
                format!("{prefix}on_busy"),
                "Run follows a turn and can't become a steer; use Enqueue",
            );
        }
        let on_interrupt =
            fields.on_interrupt(&format!("{prefix}on_interrupt"), request.on_interrupt);
        let settings = self.settings.load();
        let turn_timeout = fields.turn_timeout(
            &format!("{prefix}turn_timeout"),
            request.turn_timeout,
            settings.turn_timeout,
            settings.max_turn_timeout,
        );
        let queue_ttl = fields.span(
            &format!("{prefix}queue_ttl"),
            request.queue_ttl,
            Duration::from_millis(1),
            SPAN_MAX,
        );
        fields.cwd(&format!("{prefix}cwd"), &request.cwd);
        let memory_namespaces = fields.memory_namespaces(
            &format!("{prefix}memory_namespaces"),
            &request.memory_namespaces,
        );
        let not_before = fields.not_before(
            &format!("{prefix}not_before"),
            request.not_before,
            clock::wall(),
        );
        if request.not_before.is_some() && on_busy != OnBusy::Enqueue {
            fields.wrong(
                format!("{prefix}on_busy"),
                "must be ENQUEUE with not_before: the turn waits in the queue once its time has come",
            );
        }
        let schema_field = format!("{prefix}output_schema");
        fields.output_schema(&schema_field, &request.output_schema);
        let tools_field = format!("{prefix}client_tools");
        // They count for what is repeated: the request is hashed as it came.
        let client_tools = fields.client_tools(&tools_field, request.client_tools.clone());
        if on_busy == OnBusy::SteerOrEnqueue {
            let problem =
                "can't go with STEER_OR_ENQUEUE: a steer is answered by the turn that it steers";
            if !request.output_schema.is_empty() {
                fields.wrong(schema_field, problem);
            }
            if !client_tools.is_empty() {
                fields.wrong(tools_field, problem);
            }
        }
        let no_approver = format!("{prefix}no_approver");
        let no_approver = fields.no_approver(&no_approver, request.no_approver);
        let key = fields.finish(key)?;
        // What the method's own scope does not cover.
        self.may_set_memory(&memory_namespaces)?;
        match on_busy {
            OnBusy::Enqueue | OnBusy::Reject => {}
            OnBusy::Interrupt => self.identity.require(Scope::SessionAbort)?,
            OnBusy::SteerOrEnqueue => self.identity.require(Scope::SessionSteer)?,
        }
        let (cwd, cwd_refused) = self
            .resolve_cwd(&format!("{prefix}cwd"), &request.agent, &request.cwd)
            .await;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key,
                "Enqueue",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let attachments = hash_attachments(request.attachments).await?;
        Ok(Enqueue {
            caller,
            new_session: NewSession {
                agent: request.agent,
                model: request.model,
                thinking_level: request.thinking_level,
                options: BTreeMap::new(),
                labels: request.labels,
                cwd,
                cwd_refused,
                display_name: request.display_name,
                expire_after_idle: None,
                memory_namespaces,
                no_approver,
                question_ttl: None,
                tool_policy: Vec::new(),
                client_tools: Vec::new(),
            },
            text: request.text,
            command: String::new(),
            output_schema: request.output_schema,
            client_tools,
            attachments,
            source: request.source,
            metadata: request.metadata,
            on_busy,
            on_interrupt,
            turn_timeout,
            queue_ttl,
            not_before,
            trace_context: self.facts.trace.to_string(),
        })
    }

    pub(super) async fn steer(
        &self,
        mut request: proto::SteerRequest,
    ) -> Result<proto::SteerResponse, Refusal> {
        self.refuse_while_draining()?;
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.input("", &request.text, &request.attachments);
        fields.request_id(&request.request_id);
        let expected_turn = fields.optional_turn_id("expected_turn_id", &request.expected_turn_id);
        let key = fields.finish(key)?;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key,
                "Steer",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let command = Steer {
            caller,
            text: request.text,
            attachments: hash_attachments(request.attachments).await?,
            expected_turn,
            turn_timeout: self.settings.load().turn_timeout,
            trace_context: self.facts.trace.to_string(),
        };
        let store = self.store.clone();
        let committed = self
            .carry_out(async move { store.steer(command).await })
            .await?;
        let receipt = committed.receipt;
        Ok(proto::SteerResponse {
            mode: mode(receipt.admission).into(),
            turn: committed
                .turn
                .map(|turn| encode::turn(&turn, TurnTexts::Cut)),
            steer_id: receipt
                .steer_id
                .map(|id| id.to_string())
                .unwrap_or_default(),
            seq: receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    pub(super) async fn create_session(
        &self,
        mut request: proto::CreateSessionRequest,
    ) -> Result<proto::CreateSessionResponse, Refusal> {
        self.refuse_while_draining()?;
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.request_id(&request.request_id);
        fields.labels("labels", &request.labels);
        fields.settings(
            "",
            &request.model,
            &request.thinking_level,
            &request.display_name,
        );
        self.known_agent(&mut fields, "agent", &request.agent);
        fields.cwd("cwd", &request.cwd);
        let expire_after_idle =
            expire_after_idle(&mut fields, "expire_after_idle", request.expire_after_idle);
        let memory_namespaces =
            fields.memory_namespaces("memory_namespaces", &request.memory_namespaces);
        let no_approver = fields.no_approver("no_approver", request.no_approver);
        let question_ttl = fields.question_ttl("question_ttl", request.question_ttl);
        let tool_policy = fields.tool_policy("tool_policy", &request.tool_policy);
        let client_tools = fields.client_tools("client_tools", request.client_tools.clone());
        let key = fields.finish(key)?;
        self.may_set_memory(&memory_namespaces)?;
        let (cwd, cwd_refused) = self.resolve_cwd("cwd", &request.agent, &request.cwd).await;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(key, "CreateSession", request_id, &request, None)
            .await?;
        let new = NewSession {
            agent: request.agent,
            model: request.model,
            thinking_level: request.thinking_level,
            options: BTreeMap::new(),
            labels: request.labels,
            cwd,
            cwd_refused,
            display_name: request.display_name,
            expire_after_idle,
            memory_namespaces,
            no_approver,
            question_ttl,
            tool_policy,
            client_tools,
        };
        let committed = self.store.create_session(caller, new).await?;
        Ok(proto::CreateSessionResponse {
            session: Some(encode::session(&committed.session)),
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    pub(super) async fn fork_session(
        &self,
        mut request: proto::ForkSessionRequest,
    ) -> Result<proto::ForkSessionResponse, Refusal> {
        self.refuse_while_draining()?;
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let new_key = fields.session_key("new_session_key", &request.new_session_key);
        let turn_id = fields.optional_turn_id("turn_id", &request.turn_id);
        fields.request_id(&request.request_id);
        let (key, new_key) = fields.finish(key.zip(new_key))?;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key.clone(),
                "ForkSession",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let fork = Fork {
            caller,
            new_key,
            turn_id,
        };
        let source = self.session(&key).await.ok();
        let committed = self.store.fork_session(fork).await?;
        if let Some(source) = source.filter(|_| !committed.replayed) {
            self.copy_conversation(&source, &committed.session).await;
        }
        Ok(proto::ForkSessionResponse {
            session: Some(encode::session(&committed.session)),
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    /// Gives the agent of a new session what its driver keeps of the conversation that was forked. Where that can't be
    /// done, it is told the stored one.
    async fn copy_conversation(&self, source: &Session, forked: &Session) {
        let first = EventsRange {
            after: 0,
            through: 1,
            ..EventsRange::default()
        };
        let found = async {
            let page = self
                .store
                .events(forked.row, first, 1, EVENTS_PAGE_MAX_BYTES);
            let created = page.await.ok()?.events.into_iter().next()?;
            let event = frames::message(
                &forked.key,
                forked.log_id,
                Position::Seq(created.seq),
                &created.body,
            );
            let Some(Kind::SessionCreated(created)) = event.ok()?.kind else {
                return None;
            };
            let turn_id = created.forked_from?.turn_id.parse().ok()?;
            self.store.turn_of(source.row, turn_id).await.ok()
        };
        if let Some(turn) = found.await {
            self.conversations.copy(source, &turn, forked).await;
        }
    }

    /// Why a session can't work in a directory, and what helps; the roots themselves are the operator's to know.
    fn why_no_cwd(&self, agent: &str) -> String {
        let roots = self.cwd_roots.0.get(agent).map(Vec::as_slice);
        let roots = roots.unwrap_or_default();
        if !self.identity.principal.is_operator() {
            return format!(
                "is no directory below the cwd_roots of agent {agent}; whoever runs the server may add one"
            );
        }
        let known = match roots {
            [] => "there are none".to_owned(),
            roots => {
                let roots: Vec<String> = roots.iter().map(|it| it.display().to_string()).collect();
                roots.join(", ")
            }
        };
        format!(
            "is no directory below the cwd_roots of agent {agent} ({known}); `serve --allow-cwd DIR` adds one, and \
             `--cwd DIR` names one of them or below"
        )
    }

    /// The directory that a session asks for, resolved, if it stands below one of its agent's roots; else why not.
    pub(super) async fn resolve_cwd(
        &self,
        field: &str,
        agent: &str,
        cwd: &str,
    ) -> (String, Option<Refusal>) {
        if cwd.is_empty() {
            return (String::new(), None);
        }
        let agent = if agent.is_empty() {
            &self.default_agent
        } else {
            agent
        };
        let resolved = tokio::fs::canonicalize(cwd).await;
        let allowed = resolved
            .ok()
            .filter(|path| path.is_dir() && self.cwd_roots.hold(agent, path));
        match allowed.and_then(|path| path.into_os_string().into_string().ok()) {
            Some(cwd) => (cwd, None),
            None => {
                let problem = self.why_no_cwd(agent);
                (String::new(), Some(Refusal::field(field, problem)))
            }
        }
    }
}

// === impl Call ===

impl Call<'_> {
    /// Refuses to let a session reach memory that the caller may not reach itself.
    pub(super) fn may_set_memory(&self, reach: &[Reach]) -> Result<(), Refusal> {
        if !reach.is_empty() {
            self.identity.require(Scope::MemoryRead)?;
            self.identity.require(Scope::MemoryWrite)?;
        }
        Ok(())
    }
}

/// Reads `expire_after_idle`, in microseconds; 0 and unset mean never.
pub(super) fn expire_after_idle(
    fields: &mut Fields,
    field: &str,
    span: Option<prost_types::Duration>,
) -> Option<i64> {
    let span = span.filter(|s| s.seconds != 0 || s.nanos != 0);
    fields
        .span(field, span, Duration::from_secs(1), SPAN_MAX)
        .map(|span| i64::try_from(span.as_micros()).expect("bounded by SPAN_MAX"))
}

/// A name as UpdateSession takes it.
pub(super) fn display_name(fields: &mut Fields, field: &str, name: &str) {
    fields.text(field, name, DISPLAY_NAME_MAX_BYTES);
}

async fn hash_attachments(given: Vec<proto::Attachment>) -> Result<Vec<Attachment>, Refusal> {
    let bytes: usize = given.iter().map(|a| a.data.len()).sum();
    if bytes <= HASH_HERE_MAX_BYTES {
        Ok(parse::attachments(given))
    } else {
        off_thread(move || parse::attachments(given)).await
    }
}

fn mode(admission: Admission) -> proto::AdmissionMode {
    match admission {
        Admission::Queued => proto::AdmissionMode::Queued,
        Admission::Steered => proto::AdmissionMode::Steered,
    }
}
