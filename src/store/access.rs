//! What the store keeps of API keys.

use crate::domain::{access::Identity, api_key::ApiKey, ids::Time};
use std::sync::Arc;

/// HMAC-SHA256 of a key's secret. Worth nothing without the pepper, which is no part of the store.
pub type KeyDigest = [u8; 32];

/// A key to keep.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// The key, not used yet.
    pub key: ApiKey,
    /// What its secret is recognised by.
    pub digest: KeyDigest,
    /// The request that asked for it, where that may be repeated.
    pub request: Option<KeyRequest>,
    /// Keys of its tenant that may be valid at a time, it included; 0 sets no bound.
    pub tenant_max_keys: u64,
}

/// A key to revoke.
#[derive(Clone, Debug)]
pub struct RevokeApiKey {
    /// Who asks for it.
    pub caller: Arc<Identity>,
    /// The key's tenant.
    pub tenant: String,
    /// The key.
    pub key_id: String,
    /// Leaves the keys that were made with it valid.
    pub keep_made_keys: bool,
    /// When.
    pub now: Time,
}

/// A key that was revoked.
#[derive(Clone, Debug)]
pub struct RevokedApiKey {
    /// The key as it is now.
    pub key: ApiKey,
    /// Ids of the keys that were made with it, and with those, and are revoked now.
    pub made: Vec<String>,
}

/// A request for a key that may be repeated.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    /// As its caller named it.
    pub request_id: String,
    /// Of caller and request id.
    pub digest: [u8; 32],
    /// Of all that was asked for.
    pub hash: [u8; 32],
}

/// A key that was kept, now or by an earlier call.
#[derive(Clone, Debug)]
pub struct CreatedApiKey {
    /// The key as it is now.
    pub key: ApiKey,
    /// True where an earlier call with the same request id made it.
    pub replayed: bool,
}

/// A key with what its secret is recognised by.
#[derive(Clone, Debug)]
pub struct KeptApiKey {
    /// The key.
    pub key: ApiKey,
    /// What its secret is recognised by.
    pub digest: KeyDigest,
}

/// Which keys to list.
#[derive(Clone, Debug)]
pub struct ApiKeysFilter {
    /// Keys of this tenant.
    pub tenant: String,
    /// Leaves out those that have ended by then; `None` lists all.
    pub valid_at: Option<Time>,
}

/// A page of keys, newest first.
#[derive(Clone, Debug, Default)]
pub struct ApiKeysPage {
    /// The keys.
    pub keys: Vec<ApiKey>,
    /// Position for the next page; `None` at the end.
    pub next: Option<i64>,
}
