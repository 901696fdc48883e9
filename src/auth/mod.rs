//! The auth room: who calls, and what every method asks for.
//!
//! * `first_start`: the local user's key.
//! * `key_text`: the text of an API key.
//! * `keys`: the keys themselves; recognising one costs one HMAC and no look into the store.
//! * `secret_files`: the pepper and the first start's admin key, files that their owner alone can read.
//! * `scopes`: the one table from methods to scopes. What is not in it is not served.
//!
//! Whatever is wrong with a credential, its caller is told the same. Left out: what an identity may do with a session
//! (`domain::access`), and when a call is looked at (`grpc::layers`).

pub mod first_start;
pub mod key_text;
pub mod keys;
pub mod scopes;
pub mod secret_files;

use crate::{
    domain::{
        Refusal,
        access::{Credential, Identity},
    },
    listener::Peer,
};
use http::{HeaderMap, header};
use keys::Keys;
use std::sync::Arc;

/// Longest credential, in bytes.
pub const CREDENTIAL_MAX_BYTES: usize = 8 * 1024;

/// Recognises callers.
pub enum Auth {
    /// Nobody is asked: everyone is this one. Credentials that come all the same are not looked at.
    Open(Arc<Identity>),
    /// Every caller is asked for a credential.
    Required(Credentials),
}

/// What callers are recognised by.
pub struct Credentials {
    /// API keys.
    keys: Arc<Keys>,
    /// Whoever calls over the unix socket as the user of this process, and brings no credential.
    local: Arc<Identity>,
    local_uid: u32,
}

// === impl Auth ===

impl Auth {
    /// Takes everyone for the local user.
    pub fn open() -> Self {
        Self::Open(Arc::new(Identity::unauthenticated()))
    }

    /// Who calls.
    ///
    /// # Errors
    /// `CREDENTIALS_MISSING`, `CREDENTIALS_INVALID`.
    pub fn recognise(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Arc<Identity>, Refusal> {
        match self {
            Self::Open(everyone) => Ok(everyone.clone()),
            Self::Required(credentials) => credentials.recognise(headers, peer),
        }
    }

    /// Whether the credential of a recognised caller is still taken.
    pub fn is_valid(&self, identity: &Identity) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Required(credentials) => credentials.keys.is_valid(identity),
        }
    }
}

// === impl Credentials ===

impl Credentials {
    /// Credentials of a server that runs as this process's user.
    pub fn new(keys: Arc<Keys>) -> Self {
        Self {
            keys,
            local: Arc::new(Identity {
                credential: Credential::LocalUser,
                ..Identity::unauthenticated()
            }),
            local_uid: rustix::process::geteuid().as_raw(),
        }
    }

    /// What a caller says of itself counts before what its connection proves: who brings a key wants its scopes.
    fn recognise(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Arc<Identity>, Refusal> {
        if let Some(credential) = bearer(headers)? {
            return self
                .keys
                .recognise(credential)
                .ok_or(Refusal::CredentialsInvalid);
        }
        match peer {
            Some(Peer::Unix { uid, .. }) if *uid == self.local_uid => Ok(self.local.clone()),
            Some(Peer::Unix { .. } | Peer::Tcp { .. }) | None => Err(Refusal::CredentialsMissing),
        }
    }
}

/// The bearer's credential; `None` where the call carries none.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let credential = || {
        let text = value.to_str().ok()?;
        let (scheme, credential) = text.split_once(' ')?;
        let credential = credential.trim_matches(' ');
        (scheme.eq_ignore_ascii_case("bearer") && credential.len() <= CREDENTIAL_MAX_BYTES)
            .then_some(credential)
    };
    // Of two, one would decide and the other be shown to whoever looks at the call on its way.
    match (credential(), values.next()) {
        (Some(credential), None) => Ok(Some(credential)),
        (_, _) => Err(Refusal::CredentialsInvalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_one_bearer() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().expect("a value"));
            }
            bearer(&headers).map(|found| found.map(str::to_owned))
        };
        assert_eq!(read(&[]), Ok(None));
        for good in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(read(&[good]), Ok(Some("abc".into())), "{good}");
        }
        let long = format!("Bearer {}", "a".repeat(CREDENTIAL_MAX_BYTES + 1));
        for bad in ["", "abc", "Basic abc", "Bearer", &long] {
            assert_eq!(read(&[bad]), Err(Refusal::CredentialsInvalid), "{bad}");
        }
        assert_eq!(
            read(&["Bearer abc", "Bearer abc"]),
            Err(Refusal::CredentialsInvalid)
        );
    }
}
