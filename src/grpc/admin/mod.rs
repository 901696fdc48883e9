//! `AdminService`: who may call, how the server is set, what it says, who is connected.

use crate::{
    domain::refusal::Refusal,
    grpc::status::status,
    proto::{self, admin_service_server::AdminService},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub struct Admin {}

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

    async fn tail_logs(&self, _: Request<proto::TailLogsRequest>) -> Answer<Self::TailLogsStream> {
        todo()
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
