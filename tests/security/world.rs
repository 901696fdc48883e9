//! Callers with a credential and, where the server has one, a certificate to trust.

pub use crate::agent_support::{fixture, python};
use quarterdeck::proto::{
    admin_service_client::AdminServiceClient, gateway_service_client::GatewayServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

/// A caller's channel.
pub type Wire = InterceptedService<Channel, Bearer>;
/// A caller of the gateway.
pub type Client = GatewayServiceClient<Wire>;
/// A caller of the administration.
pub type AdminClient = AdminServiceClient<Wire>;

/// Sends a value as `authorization`.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

// === impl Bearer ===

impl Bearer {
    pub fn key(key: &str) -> Self {
        Self::header(&format!("Bearer {key}"))
    }

    pub fn header(value: &str) -> Self {
        Self(value.parse().expect("visible"))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = self.0.clone();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

pub async fn gateway(address: &str, trusted: Option<&Certificate>, bearer: Bearer) -> Client {
    GatewayServiceClient::with_interceptor(channel(address, trusted).await, bearer)
}

pub async fn admin(address: &str, trusted: Option<&Certificate>, bearer: Bearer) -> AdminClient {
    AdminServiceClient::with_interceptor(channel(address, trusted).await, bearer)
}

async fn channel(address: &str, trusted: Option<&Certificate>) -> Channel {
    let mut endpoint = Endpoint::from_shared(address.to_owned()).expect("an address");
    if let Some(trusted) = trusted {
        let tls = ClientTlsConfig::new().ca_certificate(trusted.clone());
        endpoint = endpoint.tls_config(tls).expect("a certificate");
    }
    endpoint.connect().await.expect("the server accepts")
}
