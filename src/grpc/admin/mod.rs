//! `AdminService`: who may call, how the server is set, what it says, who is connected.

mod keys;

use super::identity;
use crate::{
    auth::keys::Keys,
    domain::refusal::Refusal,
    grpc::status::status,
    proto::{self, admin_service_server::AdminService},
};
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub struct Admin {
    /// API keys.
    pub keys: Arc<Keys>,
}

type Answer<T> = Result<Response<T>, Status>;

/// Gives a handler's result to tonic.
fn answer<T>(result: Result<T, Refusal>) -> Answer<T> {
    result
        .map(Response::new)
        .map_err(|refusal| status(&refusal))
}

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

    async fn who_am_i(
        &self,
        request: Request<proto::WhoAmIRequest>,
    ) -> Answer<proto::WhoAmIResponse> {
        Ok(Response::new(keys::who_am_i(&identity(&request))))
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
        request: Request<proto::CreateApiKeyRequest>,
    ) -> Answer<proto::CreateApiKeyResponse> {
        let caller = identity(&request);
        answer(self.make_key(&caller, request.into_inner()).await)
    }

    async fn list_api_keys(
        &self,
        request: Request<proto::ListApiKeysRequest>,
    ) -> Answer<proto::ListApiKeysResponse> {
        let caller = identity(&request);
        answer(self.keys_of(&caller, request.into_inner()).await)
    }

    async fn revoke_api_key(
        &self,
        request: Request<proto::RevokeApiKeyRequest>,
    ) -> Answer<proto::RevokeApiKeyResponse> {
        let caller = identity(&request);
        answer(self.revoke_key(&caller, request.into_inner()).await)
    }
}
