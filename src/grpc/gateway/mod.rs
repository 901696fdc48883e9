//! `GatewayService`: each call is parsed, handed to the store or the feed, and answered. Handlers hold no state.
//!
//! * `admission`: Enqueue, Steer, and what makes sessions.
//! * `choices`: models, thinking levels, options; `ModelService` too.
//! * `control`: Abort, Reset, Delete, the queue, UpdateSession.
//! * `commands`: commands, compaction, and reload of one session's agent.
//! * `files`: files of the directory that a session works in.
//! * `questions`: what agents ask, and the answers.
//! * `reads`: everything that only looks.
//! * `streams`: Subscribe and Run.
//! * `many`: SubscribeMany.
//! * `watch`: WatchSessions, and the list that SubscribeMany has too.

mod admission;
mod choices;
mod commands;
mod control;
mod files;
mod many;
mod questions;
mod reads;
mod routes;
mod streams;
mod watch;

use super::{
    channels::Place, facts, handover::Handed, identity, observe::CallFacts, status::status,
};
use crate::{
    clock,
    domain::{
        access::{Identity, Scope},
        agent::KnownAgent,
        ids::{SessionKey, SessionRow},
        refusal::Refusal,
        session::Session,
    },
    feed::{Feed, Tail},
    proto::{self, gateway_service_server::GatewayService},
    session::{
        disconnect::Disconnects, fork::Conversations, handle::CwdRoots, registry::Registry,
        workspace::Workspaces,
    },
    store::{Caller, Committed, Enqueue, RequestKey, Store},
    wire::{
        page::PageTokens,
        parse::{self, Fields},
    },
};
use arc_swap::ArcSwap;
use std::{collections::BTreeMap, future::Future, ops::Deref, sync::Arc, time::Duration};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};

/// Requests above this are hashed off the serving threads, in bytes.
const HASH_HERE_MAX_BYTES: usize = 64 * 1024;

/// The service.
pub struct Gateway {
    /// The rows.
    pub store: Arc<dyn Store>,
    /// The events.
    pub feed: Arc<Feed>,
    /// Who is awake.
    pub registry: Arc<Registry>,
    /// Streams that cancel their turn when they go.
    pub disconnects: Arc<Disconnects>,
    /// Every configured agent, and where it may work.
    pub cwd_roots: Arc<CwdRoots>,
    /// Options of each configured agent that can be chosen without the scope to approve.
    pub options_allowed: BTreeMap<String, Vec<String>>,
    /// What agents keep of conversations.
    pub conversations: Conversations,
    /// What is known of each agent.
    pub known_agents: Arc<BTreeMap<String, KnownAgent>>,
    /// The files that agents work with.
    pub workspaces: Workspaces,
    /// Agent of sessions that name none.
    pub default_agent: String,
    /// What may change while the server runs.
    pub settings: Arc<ArcSwap<GatewaySettings>>,
    /// Of lists.
    pub pages: Arc<PageTokens>,
    /// Cancelled at the end of a drain: watches and waits end.
    pub ending: CancellationToken,
    /// Notified where a turn waits for a time that may be the next of all.
    pub sooner: Arc<Notify>,
}

/// What may change while the server runs.
#[derive(Clone, Copy, Debug)]
pub struct GatewaySettings {
    /// How long a turn may run where its caller does not say.
    pub turn_timeout: Duration,
    /// How long a caller may ask for.
    pub max_turn_timeout: Duration,
}

/// One call: the service, and who calls.
struct Call<'a> {
    gateway: &'a Gateway,
    identity: Arc<Identity>,
    facts: Arc<CallFacts>,
}

type Answer<T> = Result<Response<T>, Status>;

/// Gives a handler's result to tonic.
fn answer<T>(result: Result<T, Refusal>) -> Answer<T> {
    result
        .map(Response::new)
        .map_err(|refusal| status(&refusal))
}

// === impl Call ===

impl Deref for Call<'_> {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        self.gateway
    }
}

impl Call<'_> {
    fn refuse_while_draining(&self) -> Result<(), Refusal> {
        if self.registry.draining() {
            Err(Refusal::Draining { last_seq: None })
        } else {
            Ok(())
        }
    }

    /// What every command carries. `request` is the request with its `request_id` taken out.
    async fn caller<R>(
        &self,
        key: SessionKey,
        method: &'static str,
        request_id: String,
        request: &R,
        expected_generation: Option<i64>,
    ) -> Result<Caller, Refusal>
    where
        R: prost::Message + Clone + 'static,
    {
        self.facts.about(&key);
        let request = if request_id.is_empty() {
            None
        } else {
            let hash = if request.encoded_len() <= HASH_HERE_MAX_BYTES {
                parse::request_hash(request)
            } else {
                let request = request.clone();
                off_thread(move || parse::request_hash(&request)).await?
            };
            Some(RequestKey {
                request_id,
                method,
                hash,
            })
        };
        Ok(Caller {
            identity: self.identity.clone(),
            key,
            request,
            expected_generation,
            now: clock::now(),
        })
    }

    /// Runs a command to its end even if the caller leaves, then tells the session's actor.
    async fn carry_out(
        &self,
        command: impl Future<Output = Result<Committed, Refusal>> + Send + 'static,
    ) -> Result<Committed, Refusal> {
        let registry = self.registry.clone();
        let task = tokio::spawn(async move {
            let committed = command.await?;
            registry.nudge(committed.session.row);
            Ok(committed)
        });
        task.await.map_err(|problem| super::status::bug(&problem))?
    }

    /// Waits for what only a serving gateway brings about. At the end of a drain it will not come any more, and who
    /// waits is told so.
    async fn while_serving<T>(&self, wait: impl Future<Output = T>) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            value = wait => Ok(value),
            () = self.ending.cancelled() => Err(Refusal::Draining { last_seq: None }),
        }
    }

    async fn session(&self, key: &SessionKey) -> Result<Arc<Session>, Refusal> {
        let session = self.store.session(&self.identity, key).await?;
        if self.identity.reads_as_operator(&session) {
            self.facts.reads_of_another(key.as_str());
        }
        Ok(session)
    }

    /// Leaves the record of who reads another's session, for calls that need no session themselves.
    async fn note_reader(&self, key: &SessionKey) -> Result<(), Refusal> {
        if self.identity.scopes.contains(Scope::TenantSessions) {
            self.session(key).await?;
        }
        Ok(())
    }

    async fn tail_of(&self, row: SessionRow) -> Result<Option<Arc<Tail>>, Refusal> {
        self.feed.tail(&self.store, row).await
    }

    /// The session's tail, with `min_seq` reached: here it always is, unless it is beyond the log.
    async fn tail(&self, key: &SessionKey, min_seq: i64) -> Result<Arc<Tail>, Refusal> {
        let session = self.session(key).await?;
        let tail = self
            .tail_of(session.row)
            .await?
            .ok_or_else(|| Refusal::SessionDeleted {
                key: key.to_string(),
            })?;
        let session = tail.session();
        if min_seq > session.head {
            return Err(Refusal::CursorAhead(crate::feed::log_range(&session)));
        }
        Ok(tail)
    }

    /// Refuses an agent that is not configured.
    fn known_agent(&self, fields: &mut Fields, field: &str, agent: &str) {
        if !agent.is_empty() && !self.cwd_roots.0.contains_key(agent) {
            let names: Vec<&str> = self.cwd_roots.0.keys().map(String::as_str).collect();
            fields.wrong(
                field,
                format!("no such agent; there are {}", names.join(", ")),
            );
        }
    }
}

// === impl Gateway ===

impl Gateway {
    /// Reads a request of somebody that no call brings: what is to be admitted, with all that a call's is checked for.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn prepare(
        &self,
        identity: Arc<Identity>,
        request: proto::EnqueueRequest,
    ) -> Result<Enqueue, Refusal> {
        identity.require(Scope::SessionWrite)?;
        let call = Call {
            gateway: self,
            identity,
            facts: Arc::new(CallFacts::of_no_call()),
        };
        call.prepare(request, "schedule.enqueue.", false).await
    }

    fn call<R>(&self, request: &Request<R>) -> Call<'_> {
        Call {
            gateway: self,
            identity: identity(request),
            facts: facts(request),
        }
    }
}

/// Notes the session that a stream is about, for who looks at what is open. A wrong key is refused soon after.
fn about<R>(request: &Request<R>, session_key: &str) {
    if let Some(place) = request.extensions().get::<Place>()
        && let Ok(key) = SessionKey::parse(session_key)
    {
        place.channel.about(key.as_str());
    }
}

/// The call's place among those that are open, for one that follows several sessions.
fn stream_place<R>(request: &Request<R>) -> Place {
    let place = request.extensions().get::<Place>();
    place.cloned().expect("the layers give each call its place")
}

/// Runs what would hold a serving thread for long.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|problem| super::status::bug(&problem))
}

#[async_trait]
impl GatewayService for Gateway {
    type RunStream = Handed<proto::GatewayEvent>;
    type SubscribeStream = Handed<proto::GatewayEvent>;
    type SubscribeManyStream = Handed<proto::GatewayEvent>;
    type WatchSessionsStream = watch::Snapshots;

    async fn enqueue(
        &self,
        request: Request<proto::EnqueueRequest>,
    ) -> Answer<proto::EnqueueResponse> {
        answer(self.call(&request).enqueue(request.into_inner()).await)
    }

    async fn run(&self, request: Request<proto::RunRequest>) -> Answer<Self::RunStream> {
        if let Some(enqueue) = &request.get_ref().enqueue {
            about(&request, &enqueue.session_key);
        }
        self.call(&request)
            .run(request.into_inner())
            .await
            .map_err(|refusal| status(&refusal))
    }

    async fn await_turn(
        &self,
        request: Request<proto::AwaitTurnRequest>,
    ) -> Answer<proto::AwaitTurnResponse> {
        answer(self.call(&request).await_turn(request.into_inner()).await)
    }

    async fn get_turn(
        &self,
        request: Request<proto::GetTurnRequest>,
    ) -> Answer<proto::GetTurnResponse> {
        answer(self.call(&request).get_turn(request.into_inner()).await)
    }

    async fn list_turns(
        &self,
        request: Request<proto::ListTurnsRequest>,
    ) -> Answer<proto::ListTurnsResponse> {
        answer(self.call(&request).list_turns(request.into_inner()).await)
    }

    async fn steer(&self, request: Request<proto::SteerRequest>) -> Answer<proto::SteerResponse> {
        answer(self.call(&request).steer(request.into_inner()).await)
    }

    async fn abort(&self, request: Request<proto::AbortRequest>) -> Answer<proto::AbortResponse> {
        answer(self.call(&request).abort(request.into_inner()).await)
    }

    async fn reset(&self, request: Request<proto::ResetRequest>) -> Answer<proto::ResetResponse> {
        answer(self.call(&request).reset(request.into_inner()).await)
    }

    async fn list_queue(
        &self,
        request: Request<proto::ListQueueRequest>,
    ) -> Answer<proto::ListQueueResponse> {
        answer(self.call(&request).list_queue(request.into_inner()).await)
    }

    async fn update_queued(
        &self,
        request: Request<proto::UpdateQueuedRequest>,
    ) -> Answer<proto::UpdateQueuedResponse> {
        answer(
            self.call(&request)
                .update_queued(request.into_inner())
                .await,
        )
    }

    async fn remove_queued(
        &self,
        request: Request<proto::RemoveQueuedRequest>,
    ) -> Answer<proto::RemoveQueuedResponse> {
        answer(
            self.call(&request)
                .remove_queued(request.into_inner())
                .await,
        )
    }

    async fn clear_queue(
        &self,
        request: Request<proto::ClearQueueRequest>,
    ) -> Answer<proto::ClearQueueResponse> {
        answer(self.call(&request).clear_queue(request.into_inner()).await)
    }

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Answer<Self::SubscribeStream> {
        about(&request, &request.get_ref().session_key);
        self.call(&request)
            .subscribe(request.into_inner())
            .await
            .map_err(|refusal| status(&refusal))
    }

    async fn read_events(
        &self,
        request: Request<proto::ReadEventsRequest>,
    ) -> Answer<proto::ReadEventsResponse> {
        answer(self.call(&request).read_events(request.into_inner()).await)
    }

    async fn subscribe_many(
        &self,
        request: Request<proto::SubscribeManyRequest>,
    ) -> Answer<Self::SubscribeManyStream> {
        let place = stream_place(&request);
        self.call(&request)
            .subscribe_many(place, request.into_inner())
            .await
    }

    async fn watch_sessions(
        &self,
        request: Request<proto::WatchSessionsRequest>,
    ) -> Answer<Self::WatchSessionsStream> {
        answer(self.call(&request).watch_sessions(request.into_inner()))
    }

    async fn create_session(
        &self,
        request: Request<proto::CreateSessionRequest>,
    ) -> Answer<proto::CreateSessionResponse> {
        answer(
            self.call(&request)
                .create_session(request.into_inner())
                .await,
        )
    }

    async fn get_session(
        &self,
        request: Request<proto::GetSessionRequest>,
    ) -> Answer<proto::GetSessionResponse> {
        answer(self.call(&request).get_session(request.into_inner()).await)
    }

    async fn get_session_state(
        &self,
        request: Request<proto::GetSessionStateRequest>,
    ) -> Answer<proto::GetSessionStateResponse> {
        answer(
            self.call(&request)
                .get_session_state(request.into_inner())
                .await,
        )
    }

    async fn list_sessions(
        &self,
        request: Request<proto::ListSessionsRequest>,
    ) -> Answer<proto::ListSessionsResponse> {
        answer(
            self.call(&request)
                .list_sessions(request.into_inner())
                .await,
        )
    }

    async fn update_session(
        &self,
        request: Request<proto::UpdateSessionRequest>,
    ) -> Answer<proto::UpdateSessionResponse> {
        answer(
            self.call(&request)
                .update_session(request.into_inner())
                .await,
        )
    }

    async fn delete_session(
        &self,
        request: Request<proto::DeleteSessionRequest>,
    ) -> Answer<proto::DeleteSessionResponse> {
        answer(
            self.call(&request)
                .delete_session(request.into_inner())
                .await,
        )
    }

    async fn fork_session(
        &self,
        request: Request<proto::ForkSessionRequest>,
    ) -> Answer<proto::ForkSessionResponse> {
        answer(self.call(&request).fork_session(request.into_inner()).await)
    }

    async fn list_messages(
        &self,
        request: Request<proto::ListMessagesRequest>,
    ) -> Answer<proto::ListMessagesResponse> {
        answer(
            self.call(&request)
                .list_messages(request.into_inner())
                .await,
        )
    }

    async fn list_options(
        &self,
        request: Request<proto::ListOptionsRequest>,
    ) -> Answer<proto::ListOptionsResponse> {
        answer(self.call(&request).list_options(request.into_inner()).await)
    }

    async fn set_option(
        &self,
        request: Request<proto::SetOptionRequest>,
    ) -> Answer<proto::SetOptionResponse> {
        answer(self.call(&request).set_option(request.into_inner()).await)
    }

    async fn list_questions(
        &self,
        request: Request<proto::ListQuestionsRequest>,
    ) -> Answer<proto::ListQuestionsResponse> {
        answer(
            self.call(&request)
                .list_questions(request.into_inner())
                .await,
        )
    }

    async fn list_files(
        &self,
        request: Request<proto::ListFilesRequest>,
    ) -> Answer<proto::ListFilesResponse> {
        answer(self.call(&request).list_files(request.into_inner()).await)
    }

    async fn read_file(
        &self,
        request: Request<proto::ReadFileRequest>,
    ) -> Answer<proto::ReadFileResponse> {
        answer(self.call(&request).read_file(request.into_inner()).await)
    }

    async fn get_diff(
        &self,
        request: Request<proto::GetDiffRequest>,
    ) -> Answer<proto::GetDiffResponse> {
        answer(self.call(&request).get_diff(request.into_inner()).await)
    }

    async fn list_artifacts(
        &self,
        request: Request<proto::ListArtifactsRequest>,
    ) -> Answer<proto::ListArtifactsResponse> {
        answer(
            self.call(&request)
                .list_artifacts(request.into_inner())
                .await,
        )
    }

    async fn get_question(
        &self,
        request: Request<proto::GetQuestionRequest>,
    ) -> Answer<proto::GetQuestionResponse> {
        answer(self.call(&request).get_question(request.into_inner()).await)
    }

    async fn list_commands(
        &self,
        request: Request<proto::ListCommandsRequest>,
    ) -> Answer<proto::ListCommandsResponse> {
        answer(
            self.call(&request)
                .list_commands(request.into_inner())
                .await,
        )
    }

    async fn execute_command(
        &self,
        request: Request<proto::ExecuteCommandRequest>,
    ) -> Answer<proto::ExecuteCommandResponse> {
        answer(
            self.call(&request)
                .execute_command(request.into_inner())
                .await,
        )
    }

    async fn compact_session(
        &self,
        request: Request<proto::CompactSessionRequest>,
    ) -> Answer<proto::CompactSessionResponse> {
        answer(
            self.call(&request)
                .compact_session(request.into_inner())
                .await,
        )
    }

    async fn reload_session(
        &self,
        request: Request<proto::ReloadSessionRequest>,
    ) -> Answer<proto::ReloadSessionResponse> {
        answer(
            self.call(&request)
                .reload_session(request.into_inner())
                .await,
        )
    }

    async fn answer_question(
        &self,
        request: Request<proto::AnswerQuestionRequest>,
    ) -> Answer<proto::AnswerQuestionResponse> {
        answer(
            self.call(&request)
                .answer_question(request.into_inner())
                .await,
        )
    }

    async fn get_attachment(
        &self,
        request: Request<proto::GetAttachmentRequest>,
    ) -> Answer<proto::GetAttachmentResponse> {
        answer(
            self.call(&request)
                .get_attachment(request.into_inner())
                .await,
        )
    }
}
