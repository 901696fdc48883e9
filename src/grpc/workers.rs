//! `WorkerService`: the connection of a worker, and who is connected.
//!
//! A connection's frames are taken as they come: nothing of it waits for an actor, so a heartbeat never stands behind
//! output. What an assignment may send ahead is bounded by its credit.

use super::{identity, status::status};
use crate::{
    domain::{access::Identity, limits::NAME_MAX_BYTES, refusal::Refusal},
    proto::{self, connect_request::Frame as Up, worker_service_server::WorkerService},
    wire::{page::PageTokens, parse::Fields},
    workers::{
        OUT_FRAMES_MAX,
        hub::{self, ConnectionKey, Hub},
    },
};
use prost::Message as _;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming, async_trait};
use tracing::info;

/// Time that a worker has for its first frame.
const REGISTER_MAX: Duration = Duration::from_secs(10);
/// Longest reason of TerminateWorker, in bytes.
const REASON_MAX_BYTES: usize = 1024;

/// The service.
pub struct WorkerCalls {
    /// The workers.
    pub hub: Arc<Hub>,
    /// Labels that workers must have, by agent.
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
    /// Of lists.
    pub pages: Arc<PageTokens>,
    /// The server stops.
    pub ending: CancellationToken,
}

/// A connection that is registered; gone when it is dropped.
struct Connected {
    hub: Arc<Hub>,
    key: ConnectionKey,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.hub.disconnected(&self.key);
    }
}

#[async_trait]
impl WorkerService for WorkerCalls {
    type ConnectStream = ReceiverStream<Result<proto::ConnectResponse, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<proto::ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let identity = identity(&request);
        let frames = request.into_inner();
        let (out, receiver) = mpsc::channel(OUT_FRAMES_MAX);
        let (hub, ending) = (self.hub.clone(), self.ending.clone());
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = follow(hub, identity, frames, out.clone()) => ended,
                () = ending.cancelled() => Err(status(&Refusal::Draining { last_seq: None })),
                () = out.closed() => Ok(()),
            };
            if let Err(status) = ended {
                // A worker that reads nothing is told nothing.
                let _ = out.try_send(Err(status));
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_workers(
        &self,
        request: Request<proto::ListWorkersRequest>,
    ) -> Result<Response<proto::ListWorkersResponse>, Status> {
        let identity = identity(&request);
        let listed = self.list(&identity, request.into_inner()).await;
        listed
            .map(Response::new)
            .map_err(|refusal| status(&refusal))
    }

    async fn terminate_worker(
        &self,
        request: Request<proto::TerminateWorkerRequest>,
    ) -> Result<Response<proto::TerminateWorkerResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        fields.text("reason", &request.reason, REASON_MAX_BYTES);
        fields.check().map_err(|refusal| status(&refusal))?;
        let name = request.worker_name;
        if self.hub.terminate(&name, &request.reason) {
            Ok(Response::new(proto::TerminateWorkerResponse {}))
        } else {
            Err(status(&Refusal::WorkerNotFound { name }))
        }
    }
}

// === impl WorkerCalls ===

impl WorkerCalls {
    async fn list(
        &self,
        identity: &Identity,
        request: proto::ListWorkersRequest,
    ) -> Result<proto::ListWorkersResponse, Refusal> {
        let mut fields = Fields::default();
        fields.text("agent", &request.agent, NAME_MAX_BYTES);
        let limit = fields.page_size(request.page_size);
        let list = self
            .pages
            .list(identity, &format!("workers {}", request.agent));
        let after = list.position(&mut fields, &request.page_token);
        fields.check()?;
        let after = after.map_or(0, |[after]| usize::try_from(after).unwrap_or(0));
        let mut workers = self
            .hub
            .list(&identity.principal, &request.agent, after, limit + 1);
        let more = workers.len() > limit;
        workers.truncate(limit);
        let next = more.then(|| [i64::try_from(after + limit).unwrap_or(i64::MAX)]);
        let wanted = match self.hub.store() {
            // Of all tenants.
            Some(store) if identity.principal.is_operator() => store.wanted_workers().await?,
            Some(_) | None => Vec::new(),
        };
        let wanted = wanted
            .into_iter()
            .map(|(agent, waiting)| proto::WorkerWanted {
                labels: self.labels.get(&agent).cloned().unwrap_or_default(),
                waiting: i32::try_from(waiting).unwrap_or(i32::MAX),
                agent,
            });
        Ok(proto::ListWorkersResponse {
            workers,
            next_page_token: list.token(next),
            wanted: wanted.collect(),
        })
    }
}

/// Takes a connection's frames until it ends.
async fn follow(
    hub: Arc<Hub>,
    identity: Arc<Identity>,
    mut frames: Streaming<proto::ConnectRequest>,
    out: hub::Out,
) -> Result<(), Status> {
    let first = timeout(REGISTER_MAX, frames.message()).await;
    let first = first.map_err(|_| status(&Refusal::DeadlineExceeded))??;
    let Some(Up::Register(register)) = first.and_then(|it| it.frame) else {
        let problem = "the first frame of a connection must be `register`";
        return Err(status(&Refusal::field("frame", problem)));
    };
    let name = register.worker_name.clone();
    let key = hub.register(&identity, register, out);
    let key = key.map_err(|refusal| status(&refusal))?;
    let connected = Connected { hub, key };
    loop {
        let message = match frames.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            // It hung up, or what it sent can't be read.
            Err(problem) if problem.code() == Code::InvalidArgument => return Err(problem),
            Err(_) => return Ok(()),
        };
        let bytes = message.encoded_len();
        // A frame of a later version.
        let Some(frame) = message.frame else {
            continue;
        };
        if let Err(problem) = connected.hub.frame(&connected.key, frame, bytes) {
            info!(worker = name, problem, "a worker's connection is cut");
            return Err(status(&Refusal::field("frame", problem)));
        }
    }
}
