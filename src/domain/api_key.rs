//! API keys, without their secrets.

use super::{
    access::Scopes,
    ids::{Principal, Time},
};

/// An API key as its tenant sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, a part of the key's text.
    pub key_id: String,
    /// Who calls with it.
    pub principal: Principal,
    /// What it may do.
    pub scopes: Scopes,
    /// For people: what it is for.
    pub display_name: String,
    /// Who made it, `tenant/subject`.
    pub created_by: String,
    /// When it was made.
    pub create_time: Time,
    /// When it ends; `None` means never.
    pub expire_time: Option<Time>,
    /// When it was used last.
    pub last_used_time: Option<Time>,
    /// When it was revoked.
    pub revoke_time: Option<Time>,
}

// === impl ApiKey ===

impl ApiKey {
    /// Whether calls with it are taken.
    pub fn is_valid(&self, now: Time) -> bool {
        self.revoke_time.is_none() && self.expire_time.is_none_or(|end| end > now)
    }
}
