//! A small client: one lazy connection, calls that are safe to repeat, and a subscription that resumes by itself.
//!
//! What it promises:
//! * A mutating call gets its `request_id` once, before its first try, so that repeating it never works twice.
//! * A call is repeated where the server says so (`UNAVAILABLE`, after `RetryInfo`) or the connection was lost, for at
//!   most [`ClientOptions::patience`]. A server that never answered at all is reported at once.
//! * [`Client::follow`] delivers every durable event once and in order, over restarts of either side.
//! * [`Client::chat`] tells what an agent says, each piece once; [`Chat::on_question`] answers what the agent asks.
//! * A key goes out encrypted, or to this machine.
//!
//! ```no_run
//! use quarterdeck::client::{Client, ClientOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(ClientOptions::from_environment())?;
//! let mut chat = client.chat("demo", "hello there");
//! while let Some(piece) = chat.next().await {
//!     print!("{}", piece?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Calls fail with a [`Status`]; [`Error`] is made of one, and tells reasons apart.

mod address;
mod chat;
mod cursors;
mod error;
mod follow;
mod follow_many;
mod logs;
mod options;
mod pages;
mod questions;
mod retry;
mod run;
mod sessions;
mod text;

pub use address::{ClientTls, is_same_place, is_secure, is_this_machine, tls_problem};
pub use chat::{Chat, ChatError, TurnFailed};
pub use cursors::Cursors;
pub use error::{Error, FieldViolation, Reason};
pub use follow::{Cut, Resync, Start, Update};
pub use logs::{LogReader, LogUpdate};
pub use options::{BadOptions, ClientOptions};
pub use pages::Pages;
pub use questions::answers;
pub(crate) use retry::Backoff;
pub use retry::{code_name, connection_lost, reason};
pub use sessions::SessionsUpdate;

use crate::{
    domain::limits,
    proto::{
        self, admin_service_client::AdminServiceClient,
        gateway_service_client::GatewayServiceClient, memory_service_client::MemoryServiceClient,
        model_service_client::ModelServiceClient, schedule_service_client::ScheduleServiceClient,
        webhook_service_client::WebhookServiceClient, worker_service_client::WorkerServiceClient,
    },
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;
use tower::ServiceExt as _;
use uuid::Uuid;

/// Address of a server that was started without options.
pub const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7777";
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two signs of life, and for the answer to one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Largest answer, in bytes: the longest reply of a turn with room for its escapes and for a page of messages.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Largest answer to what is no RPC, in bytes.
pub const POST_ANSWER_MAX_BYTES: usize = 8 * 1024 * 1024;

/// A handle on one server; clones share the connection.
#[derive(Clone)]
pub struct Client {
    gateway: Gateway,
    admin: Admin,
    memory: Memory,
    models: Models,
    schedules: Schedules,
    webhooks: Webhooks,
    workers: Workers,
    /// For what is no RPC.
    service: Service,
    patience: Duration,
    deadline: Option<Duration>,
    /// True once the server has answered: from then on a lost connection is worth waiting for.
    answered: Arc<AtomicBool>,
}

type Service = InterceptedService<Channel, Bearer>;
type Gateway = GatewayServiceClient<Service>;
type Admin = AdminServiceClient<Service>;
type Memory = MemoryServiceClient<Service>;
type Models = ModelServiceClient<Service>;
type Schedules = ScheduleServiceClient<Service>;
type Webhooks = WebhookServiceClient<Service>;
type Workers = WorkerServiceClient<Service>;

#[derive(Clone)]
struct Bearer(Option<MetadataValue<Ascii>>);

// === impl Client ===

/// Makes one method of each RPC. The mutating ones give the request its `request_id`.
macro_rules! calls {
    ($service:ident: $($(#[$outer:meta])* $kind:ident $method:ident($Request:ident) -> $Response:ident;)*) => {
        impl Client {
            $(
                $(#[$outer])*
                ///
                /// # Errors
                /// The server's status, or that of the connection.
                pub async fn $method(&self, #[allow(unused_mut)] mut request: proto::$Request) -> Result<proto::$Response, Status> {
                    calls!(@$kind request);
                    self.repeat(|| {
                        let (mut service, request) = (self.$service.clone(), self.bounded(&request));
                        async move { service.$method(request).await }
                    })
                    .await
                }
            )*
        }
    };
    (@reads $request:ident) => {};
    (@writes $request:ident) => { identify(&mut $request.request_id); };
}

calls! { gateway:
    /// Accepts a prompt.
    writes enqueue(EnqueueRequest) -> EnqueueResponse;
    /// Waits for a turn's end.
    reads await_turn(AwaitTurnRequest) -> AwaitTurnResponse;
    /// Reads one turn.
    reads get_turn(GetTurnRequest) -> GetTurnResponse;
    /// Lists turns.
    reads list_turns(ListTurnsRequest) -> ListTurnsResponse;
    /// Gives text to the active turn.
    writes steer(SteerRequest) -> SteerResponse;
    /// Stops a turn.
    writes abort(AbortRequest) -> AbortResponse;
    /// Begins a fresh conversation.
    writes reset(ResetRequest) -> ResetResponse;
    /// Lists waiting turns.
    reads list_queue(ListQueueRequest) -> ListQueueResponse;
    /// Changes a waiting turn.
    writes update_queued(UpdateQueuedRequest) -> UpdateQueuedResponse;
    /// Takes one waiting turn.
    writes remove_queued(RemoveQueuedRequest) -> RemoveQueuedResponse;
    /// Takes all waiting turns.
    writes clear_queue(ClearQueueRequest) -> ClearQueueResponse;
    /// Reads durable events.
    reads read_events(ReadEventsRequest) -> ReadEventsResponse;
    /// Creates a session.
    writes create_session(CreateSessionRequest) -> CreateSessionResponse;
    /// Reads a session.
    reads get_session(GetSessionRequest) -> GetSessionResponse;
    /// Reads a session with its messages.
    reads get_session_state(GetSessionStateRequest) -> GetSessionStateResponse;
    /// Lists sessions.
    reads list_sessions(ListSessionsRequest) -> ListSessionsResponse;
    /// Changes a session.
    writes update_session(UpdateSessionRequest) -> UpdateSessionResponse;
    /// Deletes a session.
    writes delete_session(DeleteSessionRequest) -> DeleteSessionResponse;
    /// Copies a conversation.
    writes fork_session(ForkSessionRequest) -> ForkSessionResponse;
    /// Lists a directory of those that a session works in.
    reads list_files(ListFilesRequest) -> ListFilesResponse;
    /// Reads a part of a file of the directory that a session works in.
    reads read_file(ReadFileRequest) -> ReadFileResponse;
    /// What a turn changed in those files.
    reads get_diff(GetDiffRequest) -> GetDiffResponse;
    /// Lists what a session's agent made.
    reads list_artifacts(ListArtifactsRequest) -> ListArtifactsResponse;
    /// Reads a page of messages.
    reads list_messages(ListMessagesRequest) -> ListMessagesResponse;
    /// Lists questions.
    reads list_questions(ListQuestionsRequest) -> ListQuestionsResponse;
    /// Reads a question.
    reads get_question(GetQuestionRequest) -> GetQuestionResponse;
    /// Lists what a session can be told by a name.
    reads list_commands(ListCommandsRequest) -> ListCommandsResponse;
    /// Runs a command.
    writes execute_command(ExecuteCommandRequest) -> ExecuteCommandResponse;
    /// Lets an agent shorten its conversation.
    writes compact_session(CompactSessionRequest) -> CompactSessionResponse;
    /// Lets one session's agent begin afresh.
    writes reload_session(ReloadSessionRequest) -> ReloadSessionResponse;
    /// Answers a question.
    writes answer_question(AnswerQuestionRequest) -> AnswerQuestionResponse;
    /// Lists what can be chosen of a session's agent.
    reads list_options(ListOptionsRequest) -> ListOptionsResponse;
    /// Chooses an option of a session's agent.
    writes set_option(SetOptionRequest) -> SetOptionResponse;
    /// Reads an attachment.
    reads get_attachment(GetAttachmentRequest) -> GetAttachmentResponse;
}

// What changes something here is safe to repeat by itself, but for making a key.
calls! { admin:
    /// Tells what runs on the server.
    reads get_server_info(GetServerInfoRequest) -> GetServerInfoResponse;
    /// Every configured agent, and what it can do.
    reads list_agents(ListAgentsRequest) -> ListAgentsResponse;
    /// Tells who the caller is.
    reads who_am_i(WhoAmIRequest) -> WhoAmIResponse;
    /// Reads the configuration.
    reads get_config(GetConfigRequest) -> GetConfigResponse;
    /// Changes the configuration.
    reads update_config(UpdateConfigRequest) -> UpdateConfigResponse;
    /// Lists who listens.
    reads list_channels(ListChannelsRequest) -> ListChannelsResponse;
    /// Tells every listener to read again.
    reads broadcast_reload(BroadcastReloadRequest) -> BroadcastReloadResponse;
    /// Makes an API key.
    writes create_api_key(CreateApiKeyRequest) -> CreateApiKeyResponse;
    /// Lists API keys.
    reads list_api_keys(ListApiKeysRequest) -> ListApiKeysResponse;
    /// Gives a credential that stands for the caller's own for a while.
    reads exchange_credential(ExchangeCredentialRequest) -> ExchangeCredentialResponse;
    /// Revokes an API key.
    reads revoke_api_key(RevokeApiKeyRequest) -> RevokeApiKeyResponse;
    /// What was used, summed up.
    reads get_usage(GetUsageRequest) -> GetUsageResponse;
    /// Sets a budget.
    writes set_budget(SetBudgetRequest) -> SetBudgetResponse;
    /// Lists budgets.
    reads list_budgets(ListBudgetsRequest) -> ListBudgetsResponse;
    /// Takes a budget away.
    writes delete_budget(DeleteBudgetRequest) -> DeleteBudgetResponse;
}

calls! { models:
    /// Lists models.
    reads list_models(ListModelsRequest) -> ListModelsResponse;
    /// Chooses a session's model.
    writes set_model(SetModelRequest) -> SetModelResponse;
    /// Chooses a session's thinking level.
    writes set_thinking_level(SetThinkingLevelRequest) -> SetThinkingLevelResponse;
    /// Reads a tenant's routes.
    reads list_routes(ListRoutesRequest) -> ListRoutesResponse;
    /// Replaces them.
    writes set_routes(SetRoutesRequest) -> SetRoutesResponse;
    /// Tells what they would do with a turn.
    reads resolve_route(ResolveRouteRequest) -> ResolveRouteResponse;
}

calls! { schedules:
    /// Makes a schedule.
    writes create_schedule(CreateScheduleRequest) -> CreateScheduleResponse;
    /// Reads a schedule.
    reads get_schedule(GetScheduleRequest) -> GetScheduleResponse;
    /// Lists one's own schedules.
    reads list_schedules(ListSchedulesRequest) -> ListSchedulesResponse;
    /// Changes a schedule.
    writes update_schedule(UpdateScheduleRequest) -> UpdateScheduleResponse;
    /// Deletes a schedule.
    writes delete_schedule(DeleteScheduleRequest) -> DeleteScheduleResponse;
    /// Runs a schedule now.
    writes run_schedule_now(RunScheduleNowRequest) -> RunScheduleNowResponse;
    /// Tells the next times of a spec.
    reads preview_schedule(PreviewScheduleRequest) -> PreviewScheduleResponse;
    /// Lists the runs of a schedule.
    reads list_schedule_runs(ListScheduleRunsRequest) -> ListScheduleRunsResponse;
}

calls! { webhooks:
    /// Makes a webhook. The secret that the server makes is shown here alone.
    writes create_webhook(CreateWebhookRequest) -> CreateWebhookResponse;
    /// Lists one's own webhooks.
    reads list_webhooks(ListWebhooksRequest) -> ListWebhooksResponse;
    /// Changes a webhook.
    writes update_webhook(UpdateWebhookRequest) -> UpdateWebhookResponse;
    /// Deletes a webhook.
    writes delete_webhook(DeleteWebhookRequest) -> DeleteWebhookResponse;
    /// Delivers again, or tries at once.
    writes redeliver_webhook(RedeliverWebhookRequest) -> RedeliverWebhookResponse;
    /// Lists the deliveries of a webhook.
    reads list_deliveries(ListDeliveriesRequest) -> ListDeliveriesResponse;
}

calls! { workers:
    /// Lists workers.
    reads list_workers(ListWorkersRequest) -> ListWorkersResponse;
    /// Tells a worker to end.
    reads terminate_worker(TerminateWorkerRequest) -> TerminateWorkerResponse;
}

calls! { memory:
    /// Counts memories, and tells the health of index and embeddings.
    reads get_memory_status(GetMemoryStatusRequest) -> GetMemoryStatusResponse;
    /// Reads core memories.
    reads list_core_memories(ListCoreMemoriesRequest) -> ListCoreMemoriesResponse;
    /// Looks for memories and messages.
    reads search_memory(SearchMemoryRequest) -> SearchMemoryResponse;
    /// Writes a memory.
    writes remember(RememberRequest) -> RememberResponse;
    /// Forgets memories.
    writes forget(ForgetRequest) -> ForgetResponse;
    /// Starts to derive the index anew.
    reads rebuild_memory(RebuildMemoryRequest) -> RebuildMemoryResponse;
    /// Lists memories.
    reads list_memories(ListMemoriesRequest) -> ListMemoriesResponse;
    /// Reads one memory.
    reads get_memory(GetMemoryRequest) -> GetMemoryResponse;
    /// Writes many memories.
    writes import_memories(ImportMemoriesRequest) -> ImportMemoriesResponse;
}

impl Client {
    /// A client of that server. Connects at the first call.
    ///
    /// # Errors
    /// Where address or key can't be used.
    pub fn new(options: ClientOptions) -> Result<Self, BadOptions> {
        let ClientOptions {
            address,
            tls,
            key,
            key_over_plaintext,
            patience,
            deadline,
        } = options;
        options::check_key(key.is_some() && !key_over_plaintext, &address)?;
        let endpoint = address::endpoint(&address, &tls)?;
        let bearer = key.map(|key| bearer(&key)).transpose()?;
        let service = InterceptedService::new(endpoint.connect_lazy(), Bearer(bearer));
        let gateway = GatewayServiceClient::new(service.clone())
            .max_decoding_message_size(ANSWER_MAX_BYTES)
            .max_encoding_message_size(limits::INPUT_MESSAGE_MAX_BYTES);
        Ok(Self {
            gateway,
            admin: AdminServiceClient::new(service.clone())
                .max_decoding_message_size(ANSWER_MAX_BYTES),
            memory: MemoryServiceClient::new(service.clone())
                .max_decoding_message_size(ANSWER_MAX_BYTES),
            models: ModelServiceClient::new(service.clone())
                .max_decoding_message_size(ANSWER_MAX_BYTES),
            schedules: ScheduleServiceClient::new(service.clone())
                .max_decoding_message_size(ANSWER_MAX_BYTES),
            webhooks: WebhookServiceClient::new(service.clone())
                .max_decoding_message_size(ANSWER_MAX_BYTES),
            workers: WorkerServiceClient::new(service.clone())
                .max_decoding_message_size(ANSWER_MAX_BYTES)
                .max_encoding_message_size(limits::INPUT_MESSAGE_MAX_BYTES),
            service,
            patience,
            deadline,
            answered: Arc::new(AtomicBool::new(false)),
        })
    }

    /// The connection of a worker. Tried once.
    pub(crate) async fn connect_worker(
        &self,
        frames: ReceiverStream<proto::ConnectRequest>,
    ) -> Result<Streaming<proto::ConnectResponse>, Status> {
        let answer = self.workers.clone().connect(frames).await?;
        self.note_answer();
        Ok(answer.into_inner())
    }

    /// The same client, whose calls may take no longer than this, repeats included.
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            deadline: Some(deadline),
            ..self.clone()
        }
    }

    /// Whether the server takes calls. Needs no credential.
    ///
    /// # Errors
    /// Nobody answers at the address.
    pub async fn is_serving(&self) -> Result<bool, Status> {
        let answer = self.repeat(|| {
            let mut service = HealthClient::new(self.service.clone());
            let request = self.bounded(&HealthCheckRequest::default());
            async move { service.check(request).await }
        });
        Ok(answer.await?.status() == ServingStatus::Serving)
    }

    /// Posts a JSON text to a path of the server, with the credential of the calls. Tried once.
    ///
    /// # Errors
    /// The connection was lost, or the answer is larger than [`POST_ANSWER_MAX_BYTES`].
    pub async fn post_json(
        &self,
        path: &str,
        body: Bytes,
    ) -> Result<(http::StatusCode, Bytes), Status> {
        let request = http::Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json, text/event-stream")
            .body(tonic::body::Body::new(Full::new(body)))
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let lost = |error: &dyn std::fmt::Display| Status::unavailable(error.to_string());
        let service = self.service.clone();
        let response = service
            .oneshot(request)
            .await
            .map_err(|error| lost(&error))?;
        self.note_answer();
        let (head, body) = response.into_parts();
        let body = Limited::new(body, POST_ANSWER_MAX_BYTES);
        let body = body.collect().await.map_err(|error| lost(&error))?;
        Ok((head.status, body.to_bytes()))
    }

    /// The server is told the deadline too, so that it does not work on for nobody.
    fn bounded<T: Clone>(&self, request: &T) -> Request<T> {
        let mut request = Request::new(request.clone());
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline);
        }
        request
    }

    /// Calls until there is an answer worth giving back, patience ends, or the deadline passes.
    async fn repeat<T, F, Fut>(&self, call: F) -> Result<T, Status>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let Some(deadline) = self.deadline else {
            return self.repeat_patiently(call).await;
        };
        match timeout(deadline, self.repeat_patiently(call)).await {
            Ok(result) => result,
            Err(_) => Err(Status::deadline_exceeded(
                "no answer before the deadline; the same request_id tells what became of the call",
            )),
        }
    }

    async fn repeat_patiently<T, F, Fut>(&self, call: F) -> Result<T, Status>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let deadline = Instant::now() + self.patience;
        let mut backoff = Backoff::new();
        loop {
            let status = match call().await {
                Ok(response) => {
                    self.note_answer();
                    return Ok(response.into_inner());
                }
                Err(status) => status,
            };
            let pause = self.pause(&status, &mut backoff);
            let Some(pause) = pause.filter(|pause| Instant::now() + *pause < deadline) else {
                return Err(status);
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// How long to wait before the same call makes sense again; `None` where it doesn't.
    fn pause(&self, status: &Status, backoff: &mut Backoff) -> Option<Duration> {
        if connection_lost(status) {
            return self
                .answered
                .load(Ordering::Relaxed)
                .then(|| backoff.next());
        }
        self.note_answer();
        if status.code() != Code::Unavailable {
            return None;
        }
        let asked = status.get_details_retry_info()?.retry_delay?;
        Some(backoff.next().max(asked))
    }

    fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }
}

/// The header's value; never shown where requests are.
fn bearer(key: &SecretString) -> Result<MetadataValue<Ascii>, BadOptions> {
    let mut bearer: MetadataValue<Ascii> = format!("Bearer {}", key.expose_secret())
        .parse()
        .map_err(|_| BadOptions("the key must be visible ASCII".into()))?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

fn identify(request_id: &mut String) {
    if request_id.is_empty() {
        *request_id = Uuid::new_v4().to_string();
    }
}

// === impl Bearer ===

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}
