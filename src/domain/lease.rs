//! Leases of turns that run on workers, as they are kept.

use std::collections::BTreeMap;
use uuid::Uuid;

/// A turn that a worker may be running. Kept from before its worker hears of it until its end is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLease {
    /// The turn.
    pub turn_id: Uuid,
    /// Which start of it.
    pub attempt: i32,
    /// The worker: `tenant/subject/name`.
    pub worker: String,
    /// SHA-256 of the lease's token.
    pub token_hash: Vec<u8>,
}

/// A worker that a session waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedWorker {
    /// Why the turn waits, for people.
    pub message: String,
    /// Labels that the worker must have.
    pub labels: BTreeMap<String, String>,
}
