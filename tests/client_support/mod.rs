//! A gateway that plays a script on a real socket: what the client does when a server misbehaves can't wait for a real
//! one to do so.

use quarterdeck::proto::{
    self, EnqueueRequest, EnqueueResponse, GatewayEvent, GetSessionStateRequest,
    GetSessionStateResponse, RunRequest, SubscribeRequest,
    gateway_service_server::{GatewayService, GatewayServiceServer},
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What one stream does: refuses, or sends events and ends so.
pub struct Scene {
    /// Sent first.
    pub events: Vec<GatewayEvent>,
    /// How it ends: `None` ends OK.
    pub end: Option<Status>,
    /// Refused before anything is sent.
    pub refused: bool,
}

/// The script and what was asked.
#[derive(Default)]
pub struct Script {
    /// For Subscribe, SubscribeMany and Run, one each; afterwards streams stay open and silent.
    pub scenes: VecDeque<Scene>,
    /// For Enqueue; afterwards it answers.
    pub refusals: VecDeque<Status>,
    /// What GetSessionState answers.
    pub state: GetSessionStateResponse,
    /// What Subscribe was asked.
    pub subscribed: Vec<SubscribeRequest>,
    /// What SubscribeMany was asked.
    pub followed: Vec<proto::SubscribeManyRequest>,
    /// What Run was asked.
    pub ran: Vec<RunRequest>,
    /// What Enqueue was asked.
    pub enqueued: Vec<EnqueueRequest>,
}

/// The gateway.
#[derive(Clone, Default)]
pub struct Scripted(pub Arc<Mutex<Script>>);

type Events = std::pin::Pin<Box<dyn Stream<Item = Result<GatewayEvent, Status>> + Send>>;

// === impl Scripted ===

impl Scripted {
    /// Serves the script on a free port.
    pub async fn start(script: Script) -> (Self, SocketAddr) {
        let scripted = Self(Arc::new(Mutex::new(script)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = tonic::transport::Server::builder()
            .add_service(GatewayServiceServer::new(scripted.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        (scripted, address)
    }

    fn play(&self) -> Result<Response<Events>, Status> {
        let scene = self.0.lock().expect("no panic").scenes.pop_front();
        let Some(Scene {
            events,
            end,
            refused,
        }) = scene
        else {
            return Ok(Response::new(Box::pin(tokio_stream::pending())));
        };
        if refused {
            return Err(end.expect("a refusal has a status"));
        }
        let events = tokio_stream::iter(events.into_iter().map(Ok));
        let end = tokio_stream::iter(end.map(Err));
        Ok(Response::new(Box::pin(events.chain(end))))
    }
}

/// A status as the server makes them.
pub fn refusal(code: Code, reason: &str, retry: Option<Duration>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "quarterdeck", []);
    if let Some(retry) = retry {
        details.set_retry_info(Some(retry));
    }
    Status::with_error_details(code, reason, details)
}

/// Implements the service: what is named with a body has it, the rest is not scripted.
macro_rules! gateway {
    ($($method:ident($Request:ident) -> $Response:ident;)*) => {
        #[tonic::async_trait]
        impl GatewayService for Scripted {
            type RunStream = Events;
            type SubscribeStream = Events;
            type SubscribeManyStream = Events;
            type WatchSessionsStream =
                std::pin::Pin<Box<dyn Stream<Item = Result<proto::SessionSnapshot, Status>> + Send>>;

            async fn run(&self, request: Request<RunRequest>) -> Result<Response<Events>, Status> {
                self.0.lock().expect("no panic").ran.push(request.into_inner());
                self.play()
            }

            async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Events>, Status> {
                self.0.lock().expect("no panic").subscribed.push(request.into_inner());
                self.play()
            }

            async fn subscribe_many(
                &self,
                request: Request<proto::SubscribeManyRequest>,
            ) -> Result<Response<Events>, Status> {
                self.0.lock().expect("no panic").followed.push(request.into_inner());
                self.play()
            }

            async fn watch_sessions(
                &self,
                _: Request<proto::WatchSessionsRequest>,
            ) -> Result<Response<Self::WatchSessionsStream>, Status> {
                Err(Status::unimplemented("not scripted"))
            }

            async fn enqueue(&self, request: Request<EnqueueRequest>) -> Result<Response<EnqueueResponse>, Status> {
                let mut script = self.0.lock().expect("no panic");
                script.enqueued.push(request.into_inner());
                match script.refusals.pop_front() {
                    Some(status) => Err(status),
                    None => Ok(Response::new(EnqueueResponse::default())),
                }
            }

            async fn get_session_state(
                &self,
                _: Request<GetSessionStateRequest>,
            ) -> Result<Response<GetSessionStateResponse>, Status> {
                Ok(Response::new(self.0.lock().expect("no panic").state.clone()))
            }

            $(
                async fn $method(&self, _: Request<proto::$Request>) -> Result<Response<proto::$Response>, Status> {
                    Err(Status::unimplemented("not scripted"))
                }
            )*
        }
    };
}

gateway! {
    await_turn(AwaitTurnRequest) -> AwaitTurnResponse;
    get_turn(GetTurnRequest) -> GetTurnResponse;
    list_turns(ListTurnsRequest) -> ListTurnsResponse;
    steer(SteerRequest) -> SteerResponse;
    abort(AbortRequest) -> AbortResponse;
    reset(ResetRequest) -> ResetResponse;
    list_queue(ListQueueRequest) -> ListQueueResponse;
    update_queued(UpdateQueuedRequest) -> UpdateQueuedResponse;
    remove_queued(RemoveQueuedRequest) -> RemoveQueuedResponse;
    clear_queue(ClearQueueRequest) -> ClearQueueResponse;
    read_events(ReadEventsRequest) -> ReadEventsResponse;
    create_session(CreateSessionRequest) -> CreateSessionResponse;
    get_session(GetSessionRequest) -> GetSessionResponse;
    list_sessions(ListSessionsRequest) -> ListSessionsResponse;
    update_session(UpdateSessionRequest) -> UpdateSessionResponse;
    delete_session(DeleteSessionRequest) -> DeleteSessionResponse;
    fork_session(ForkSessionRequest) -> ForkSessionResponse;
    list_messages(ListMessagesRequest) -> ListMessagesResponse;
    list_files(ListFilesRequest) -> ListFilesResponse;
    read_file(ReadFileRequest) -> ReadFileResponse;
    get_diff(GetDiffRequest) -> GetDiffResponse;
    list_artifacts(ListArtifactsRequest) -> ListArtifactsResponse;
    list_questions(ListQuestionsRequest) -> ListQuestionsResponse;
    get_question(GetQuestionRequest) -> GetQuestionResponse;
    answer_question(AnswerQuestionRequest) -> AnswerQuestionResponse;
    list_options(ListOptionsRequest) -> ListOptionsResponse;
    set_option(SetOptionRequest) -> SetOptionResponse;
    list_commands(ListCommandsRequest) -> ListCommandsResponse;
    execute_command(ExecuteCommandRequest) -> ExecuteCommandResponse;
    compact_session(CompactSessionRequest) -> CompactSessionResponse;
    reload_session(ReloadSessionRequest) -> ReloadSessionResponse;
    get_attachment(GetAttachmentRequest) -> GetAttachmentResponse;
}
