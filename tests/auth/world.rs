//! A server that asks for credentials, and callers with keys.

use crate::support::{Gateway, Options, SOON};
use bytes::{Buf, BufMut, Bytes};
use quarterdeck::proto::{
    self, admin_service_client::AdminServiceClient, gateway_service_client::GatewayServiceClient,
    memory_service_client::MemoryServiceClient, schedule_service_client::ScheduleServiceClient,
};
use std::process::Output;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// Sends a value as `authorization`, or none.
#[derive(Clone)]
pub struct Bearer(pub Option<MetadataValue<Ascii>>);

/// A caller's channel.
pub type Wire = InterceptedService<Channel, Bearer>;

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// One who calls with a credential.
#[derive(Clone)]
pub struct Caller {
    channel: Channel,
    bearer: Bearer,
}

impl Caller {
    /// Calls with that value of `authorization`.
    pub async fn with_header(gateway: &Gateway, value: Option<&str>) -> Self {
        let endpoint = Endpoint::from_shared(gateway.address.clone()).expect("an address");
        Self {
            channel: endpoint.connect().await.expect("the server accepts"),
            bearer: Bearer(value.map(|value| value.parse().expect("a header's value"))),
        }
    }

    /// Calls with that key.
    pub async fn with_key(gateway: &Gateway, key: &str) -> Self {
        Self::with_header(gateway, Some(&format!("Bearer {key}"))).await
    }

    /// Calls with the key of the first start.
    pub async fn admin(gateway: &Gateway) -> Self {
        Self::with_key(gateway, &admin_key(gateway)).await
    }

    /// The same connection, another key.
    pub fn as_key(&self, key: &str) -> Self {
        Self {
            channel: self.channel.clone(),
            bearer: Bearer(Some(format!("Bearer {key}").parse().expect("visible"))),
        }
    }

    pub fn gateway(&self) -> GatewayServiceClient<Wire> {
        GatewayServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn service(&self) -> AdminServiceClient<Wire> {
        AdminServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn schedules(&self) -> ScheduleServiceClient<Wire> {
        ScheduleServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn memory(&self) -> MemoryServiceClient<Wire> {
        MemoryServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Makes a key with these scopes.
    pub async fn make_key(&self, scopes: &[&str]) -> proto::CreateApiKeyResponse {
        self.make(request(scopes)).await.expect("a key")
    }

    /// Makes a key.
    pub async fn make(
        &self,
        request: proto::CreateApiKeyRequest,
    ) -> Result<proto::CreateApiKeyResponse, Status> {
        let made = self.service().create_api_key(request).await;
        made.map(tonic::Response::into_inner)
    }

    /// Somebody of a tenant, with a key of these scopes that this caller makes.
    pub async fn member(&self, tenant: &str, subject: &str, scopes: &[&str]) -> Self {
        let wish = proto::CreateApiKeyRequest {
            tenant: tenant.into(),
            subject: subject.into(),
            ..request(scopes)
        };
        self.as_key(&self.make(wish).await.expect("a key").secret)
    }

    /// Enqueues text; gives back its turn.
    pub async fn enqueue(&self, key: &str, text: &str) -> Result<proto::Turn, Status> {
        let request = proto::EnqueueRequest {
            session_key: key.into(),
            text: text.into(),
            ..Default::default()
        };
        self.accept(request).await
    }

    /// Enqueues; gives back the turn.
    pub async fn accept(&self, request: proto::EnqueueRequest) -> Result<proto::Turn, Status> {
        let answer = self.gateway().enqueue(request).await?.into_inner();
        Ok(answer.turn.expect("a turn"))
    }

    /// What the server says of itself: the bounds of a principal, and of a tenant.
    pub async fn account_limits(&self) -> (proto::AccountLimits, proto::AccountLimits) {
        let request = proto::GetServerInfoRequest {};
        let info = self.service().get_server_info(request).await;
        let limits = info.expect("it answers").into_inner().limits;
        let limits = limits.expect("limits");
        (
            limits.principal.expect("bounds"),
            limits.tenant.expect("bounds"),
        )
    }

    /// Revokes a key.
    pub async fn revoke(&self, key_id: &str) -> Result<proto::ApiKey, Status> {
        let request = proto::RevokeApiKeyRequest {
            key_id: key_id.into(),
            ..Default::default()
        };
        let revoked = self.service().revoke_api_key(request).await?;
        Ok(revoked.into_inner().api_key.expect("the key"))
    }

    /// Who the server takes this caller for.
    pub async fn who(&self) -> Result<proto::WhoAmIResponse, Status> {
        let answer = self.service().who_am_i(proto::WhoAmIRequest {}).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Calls any method with an empty request; gives back how it ended, or that it answered.
    pub async fn try_method(&self, path: &str) -> Result<(), Status> {
        let path = path.parse().expect("a path");
        let wire = InterceptedService::new(self.channel.clone(), self.bearer.clone());
        let mut grpc = Grpc::new(wire);
        grpc.ready().await.expect("the channel is open");
        let call = async {
            let request = Request::new(tokio_stream::iter([Bytes::new()]));
            let mut stream = grpc.streaming(request, path, Raw).await?.into_inner();
            stream.message().await.map(drop)
        };
        tokio::time::timeout(SOON, call)
            .await
            .expect("every method answers an empty request")
    }
}

/// Messages as bytes, whatever they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// A wish for a key with these scopes.
pub fn request(scopes: &[&str]) -> proto::CreateApiKeyRequest {
    proto::CreateApiKeyRequest {
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        ..Default::default()
    }
}

/// A server that asks for credentials.
pub fn start() -> Gateway {
    start_with(&[], "")
}

/// The same, with variables and a configuration file.
pub fn start_with(environment: &[(&str, &str)], config: &str) -> Gateway {
    let mut all = vec![("QUARTERDECK_NO_AUTH".to_owned(), "false".to_owned())];
    all.extend(environment.iter().map(|(n, v)| ((*n).into(), (*v).into())));
    Gateway::with(Options {
        environment: all,
        config: config.into(),
        ..Options::default()
    })
}

/// The key of the first start.
pub fn admin_key(gateway: &Gateway) -> String {
    let file = gateway.data().join("admin.key");
    let text = std::fs::read_to_string(file).expect("the first start wrote it");
    text.trim().to_owned()
}

/// A command in the directory that the server was started in.
pub fn command(gateway: &Gateway, arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(arguments)
        .current_dir(gateway.directory.path())
        .env("QUARTERDECK_ADDR", &gateway.address)
        .output()
        .expect("the binary runs")
}

/// What a command printed to standard output and standard error.
pub fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

/// Fails unless a call was refused by a quota: with this reason, for this much of one that this one may have.
pub fn assert_over(refused: &Status, over: &str, of: &str, limit: i64) {
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(crate::support::reason(refused), over);
    assert_eq!(fact(refused, "of"), of);
    assert_eq!(fact(refused, "limit"), limit.to_string());
    assert!(refused.get_details_retry_info().is_some());
    assert!(refused.get_details_quota_failure().is_some());
}

/// A fact of an error.
pub fn fact(status: &Status, name: &str) -> String {
    let info = status.get_details_error_info().expect("every error has it");
    info.metadata.get(name).cloned().unwrap_or_default()
}
