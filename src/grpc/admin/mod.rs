//! `AdminService`: who may call, how the server is set, what it says, who is connected.

mod channels;
mod config;
mod info;
mod keys;
mod logs;
mod reload;
mod usage;

pub(in crate::grpc) use keys::tenant_of;

use super::{channels::Channels, identity, status::status};
use crate::{
    agent::isolation::{Confinement, Isolation},
    auth::keys::Keys,
    config::live::LiveConfig,
    domain::{access::Scope, agent::KnownAgent, ids::Time, refusal::Refusal},
    feed::Feed,
    proto::{self, admin_service_server::AdminService},
    session::registry::Registry,
    store::Store,
    telemetry::logs::Logs,
    wire::page::PageTokens,
};
use std::sync::Arc;
use tokio::sync::{Mutex, SetOnce};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

/// The service.
pub struct Admin {
    /// API keys.
    pub keys: Arc<Keys>,
    /// What is open.
    pub channels: Arc<Channels>,
    /// How the server is set.
    pub live: Arc<LiveConfig>,
    /// One UpdateConfig at a time: what is checked is what is kept.
    pub updating: Mutex<()>,
    /// The rows.
    pub store: Arc<dyn Store>,
    /// The events.
    pub feed: Arc<Feed>,
    /// Who is awake.
    pub registry: Arc<Registry>,
    /// What never changes while the server runs.
    pub facts: ServerFacts,
    /// What the server said.
    pub logs: Arc<Logs>,
    /// Of lists.
    pub pages: Arc<PageTokens>,
    /// Cancelled at the end of a drain: streams end.
    pub ending: CancellationToken,
}

/// What never changes while the server runs.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// When it was started.
    pub start_time: Time,
    /// Names the store.
    pub store_id: Uuid,
    /// The agent of sessions that name none.
    pub default_agent: String,
    /// Every configured agent.
    pub agents: Vec<AgentFacts>,
    /// How agents' processes are kept apart; set once it is known.
    pub isolation: Arc<SetOnce<Isolation>>,
}

/// A configured agent.
#[derive(Clone, Debug)]
pub struct AgentFacts {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: &'static str,
    /// What is known of it.
    pub known: KnownAgent,
    /// How its processes are kept apart; `None` where it starts none.
    pub confinement: Option<Confinement>,
}

type Answer<T> = Result<Response<T>, Status>;

/// Gives a handler's result to tonic.
fn answer<T>(result: Result<T, Refusal>) -> Answer<T> {
    result
        .map(Response::new)
        .map_err(|refusal| status(&refusal))
}

#[async_trait]
impl AdminService for Admin {
    type TailLogsStream = ReceiverStream<Result<proto::LogRecord, Status>>;

    async fn get_server_info(
        &self,
        request: Request<proto::GetServerInfoRequest>,
    ) -> Answer<proto::GetServerInfoResponse> {
        let all = identity(&request).require(Scope::AdminConfig).is_ok();
        let isolation = self.facts.isolation.wait().await;
        answer(Ok(self.server_info(isolation, all)))
    }

    async fn list_agents(
        &self,
        _: Request<proto::ListAgentsRequest>,
    ) -> Answer<proto::ListAgentsResponse> {
        answer(Ok(proto::ListAgentsResponse {
            agents: self.agents(),
        }))
    }

    async fn who_am_i(
        &self,
        request: Request<proto::WhoAmIRequest>,
    ) -> Answer<proto::WhoAmIResponse> {
        let identity = identity(&request);
        let stored = self.store.stored_bytes(&identity.principal).await;
        answer(stored.map(|stored| keys::who_am_i(&identity, stored)))
    }

    async fn get_config(
        &self,
        request: Request<proto::GetConfigRequest>,
    ) -> Answer<proto::GetConfigResponse> {
        answer(self.config(request.into_inner()))
    }

    async fn update_config(
        &self,
        request: Request<proto::UpdateConfigRequest>,
    ) -> Answer<proto::UpdateConfigResponse> {
        answer(self.update(request.into_inner()).await)
    }

    async fn tail_logs(
        &self,
        request: Request<proto::TailLogsRequest>,
    ) -> Answer<Self::TailLogsStream> {
        let identity = identity(&request);
        answer(logs::tail(self, &identity, request.into_inner()))
    }

    async fn list_channels(
        &self,
        request: Request<proto::ListChannelsRequest>,
    ) -> Answer<proto::ListChannelsResponse> {
        let identity = identity(&request);
        answer(self.listeners(&identity, request.into_inner()))
    }

    async fn broadcast_reload(
        &self,
        request: Request<proto::BroadcastReloadRequest>,
    ) -> Answer<proto::BroadcastReloadResponse> {
        let identity = identity(&request);
        answer(self.reload(&identity, request.into_inner()))
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
        answer(self.revoke_key(caller, request.into_inner()).await)
    }

    async fn exchange_credential(
        &self,
        request: Request<proto::ExchangeCredentialRequest>,
    ) -> Answer<proto::ExchangeCredentialResponse> {
        let caller = identity(&request);
        answer(self.exchange(&caller, request.into_inner()))
    }

    async fn get_usage(
        &self,
        request: Request<proto::GetUsageRequest>,
    ) -> Answer<proto::GetUsageResponse> {
        let caller = identity(&request);
        answer(self.usage(&caller, request.into_inner()).await)
    }

    async fn set_budget(
        &self,
        request: Request<proto::SetBudgetRequest>,
    ) -> Answer<proto::SetBudgetResponse> {
        let caller = identity(&request);
        answer(self.set_a_budget(caller, request.into_inner()).await)
    }

    async fn list_budgets(
        &self,
        request: Request<proto::ListBudgetsRequest>,
    ) -> Answer<proto::ListBudgetsResponse> {
        let caller = identity(&request);
        answer(self.budgets_of(&caller, request.into_inner()).await)
    }

    async fn delete_budget(
        &self,
        request: Request<proto::DeleteBudgetRequest>,
    ) -> Answer<proto::DeleteBudgetResponse> {
        let caller = identity(&request);
        answer(self.delete_a_budget(caller, request.into_inner()).await)
    }
}
