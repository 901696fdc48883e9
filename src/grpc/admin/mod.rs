//! `AdminService`: who may call, how the server is set, what it says, who is connected.

mod logs;

use super::{identity, status::status};
use crate::{
    domain::refusal::Refusal,
    feed::Feed,
    proto::{self, admin_service_server::AdminService},
    telemetry::logs::Logs,
};
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub struct Admin {
    /// What the server said.
    pub logs: Arc<Logs>,
    /// Where streams count.
    pub feed: Arc<Feed>,
    /// Cancelled at the end of a drain: streams end.
    pub ending: CancellationToken,
}

type Answer<T> = Result<Response<T>, Status>;

fn todo<T>() -> Answer<T> {
    Err(status(&Refusal::MethodUnknown))
}

#[async_trait]
impl AdminService for Admin {
    type TailLogsStream = ReceiverStream<Result<proto::LogRecord, Status>>;

    async fn get_server_info(
        &self,
        _: Request<proto::GetServerInfoRequest>,
    ) -> Answer<proto::GetServerInfoResponse> {
        todo()
    }

    async fn who_am_i(&self, _: Request<proto::WhoAmIRequest>) -> Answer<proto::WhoAmIResponse> {
        todo()
    }

    async fn get_config(
        &self,
        _: Request<proto::GetConfigRequest>,
    ) -> Answer<proto::GetConfigResponse> {
        todo()
    }

    async fn update_config(
        &self,
        _: Request<proto::UpdateConfigRequest>,
    ) -> Answer<proto::UpdateConfigResponse> {
        todo()
    }

    async fn tail_logs(
        &self,
        request: Request<proto::TailLogsRequest>,
    ) -> Answer<Self::TailLogsStream> {
        logs::tail(self, identity(&request), request.into_inner())
            .map(Response::new)
            .map_err(|refusal| status(&refusal))
    }

    async fn list_channels(
        &self,
        _: Request<proto::ListChannelsRequest>,
    ) -> Answer<proto::ListChannelsResponse> {
        todo()
    }

    async fn broadcast_reload(
        &self,
        _: Request<proto::BroadcastReloadRequest>,
    ) -> Answer<proto::BroadcastReloadResponse> {
        todo()
    }

    async fn create_api_key(
        &self,
        _: Request<proto::CreateApiKeyRequest>,
    ) -> Answer<proto::CreateApiKeyResponse> {
        todo()
    }

    async fn list_api_keys(
        &self,
        _: Request<proto::ListApiKeysRequest>,
    ) -> Answer<proto::ListApiKeysResponse> {
        todo()
    }

    async fn revoke_api_key(
        &self,
        _: Request<proto::RevokeApiKeyRequest>,
    ) -> Answer<proto::RevokeApiKeyResponse> {
        todo()
    }
}
