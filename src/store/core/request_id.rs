//! The key of a request: whose it is, of which method, about what.

use super::commands::{Receipt, RequestKey};
use crate::domain::ids::{Principal, SessionRow};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// SHA-256 of a request's whole key.
pub(crate) type RequestDigest = [u8; 32];

/// What is kept of a request.
#[derive(Clone, Debug, Default)]
pub(crate) enum Request {
    /// The caller gave no id.
    #[default]
    None,
    /// There was none before.
    New {
        /// Row that it gets.
        id: i64,
        /// Its key.
        digest: RequestDigest,
    },
    /// It was done.
    Kept(KeptRequest),
}

/// A request that was done.
#[derive(Clone, Debug)]
pub(crate) struct KeptRequest {
    /// Hash of what was asked for.
    pub(crate) hash: [u8; 32],
    /// The session that it was about, or that it made.
    pub(crate) session: SessionRow,
    /// That session's own id.
    pub(crate) session_uid: Uuid,
    /// What it did.
    pub(crate) receipt: Receipt,
}

/// Digest of the whole key; each piece with its length, so no two keys are written alike.
pub(crate) fn digest(principal: &Principal, name: &str, request: &RequestKey) -> RequestDigest {
    let mut digest = Sha256::new();
    for piece in [
        principal.tenant.as_str(),
        principal.subject.as_str(),
        request.method,
        name,
        request.request_id.as_str(),
    ] {
        digest.update((piece.len() as u64).to_be_bytes());
        digest.update(piece);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_are_written_alike() {
        let request = |method, request_id: &str| RequestKey {
            request_id: request_id.to_owned(),
            method,
            hash: [0; 32],
        };
        let principal = Principal::local();
        let digests = [
            digest(&principal, "a", &request("m", "bc")),
            digest(&principal, "ab", &request("m", "c")),
            digest(&principal, "a", &request("mb", "c")),
        ];
        assert_ne!(digests[0], digests[1]);
        assert_ne!(digests[1], digests[2]);
        assert_ne!(digests[0], digests[2]);
    }
}
