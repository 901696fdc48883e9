//! `AdminService`: who the caller is, and API keys.

use super::{Client, identify};
use crate::proto;
use tonic::Status;

impl Client {
    /// Who the server takes this client for.
    ///
    /// # Errors
    /// The server's status, or that of the connection.
    pub async fn who_am_i(&self) -> Result<proto::WhoAmIResponse, Status> {
        self.repeat(|| {
            let mut admin = self.admin.clone();
            async move { admin.who_am_i(proto::WhoAmIRequest {}).await }
        })
        .await
    }

    /// Makes an API key. A repeat after a lost answer makes no second one, but can't tell the secret.
    ///
    /// # Errors
    /// The server's status, or that of the connection.
    pub async fn create_api_key(
        &self,
        mut request: proto::CreateApiKeyRequest,
    ) -> Result<proto::CreateApiKeyResponse, Status> {
        identify(&mut request.request_id);
        self.repeat(|| {
            let (mut admin, request) = (self.admin.clone(), request.clone());
            async move { admin.create_api_key(request).await }
        })
        .await
    }

    /// Lists API keys.
    ///
    /// # Errors
    /// The server's status, or that of the connection.
    pub async fn list_api_keys(
        &self,
        request: proto::ListApiKeysRequest,
    ) -> Result<proto::ListApiKeysResponse, Status> {
        self.repeat(|| {
            let (mut admin, request) = (self.admin.clone(), request.clone());
            async move { admin.list_api_keys(request).await }
        })
        .await
    }

    /// Revokes an API key.
    ///
    /// # Errors
    /// The server's status, or that of the connection.
    pub async fn revoke_api_key(
        &self,
        request: proto::RevokeApiKeyRequest,
    ) -> Result<proto::RevokeApiKeyResponse, Status> {
        self.repeat(|| {
            let (mut admin, request) = (self.admin.clone(), request.clone());
            async move { admin.revoke_api_key(request).await }
        })
        .await
    }
}
