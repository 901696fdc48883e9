//! What callers changed, or tried to: one record for each mutating call, once its outcome is known.
//!
//! A call that no caller was recognised for changes nothing and leaves no record (a flood of them would push the others
//! out): such calls are counted, see `telemetry::metrics`.

use crate::domain::access::{Credential, Identity};
use std::{fmt, time::Duration};

/// Target of every audit record.
pub const TARGET: &str = "audit";
/// Outcome of a call that succeeded; others have the name of their code.
pub const OK: &str = "ok";

/// A mutating call and what became of it.
#[derive(Clone, Copy)]
pub struct Audited<'a> {
    /// Who called, and with what.
    pub identity: &'a Identity,
    /// `package.Service/Method`.
    pub method: &'a str,
    /// The session that it was about; empty where it was about none, or did not come so far.
    pub session_key: &'a str,
    /// [`OK`], or the name of the code, such as `NOT_FOUND`.
    pub outcome: &'a str,
    /// `ErrorInfo.reason` of a refusal; empty where there was none.
    pub reason: &'a str,
    /// Where it came from, where that is known.
    pub peer: Option<&'a dyn fmt::Display>,
    /// Trace that it belongs to.
    pub trace_id: &'a str,
    /// Time until the outcome was known.
    pub duration: Duration,
}

/// How a caller was recognised: the kind, and of an API key its id.
struct Shown<'a>(&'a Credential);

/// Writes the record.
pub fn audit(audited: Audited<'_>) {
    let Audited {
        identity,
        method,
        session_key,
        outcome,
        reason,
        peer,
        trace_id,
        duration,
    } = audited;
    let Identity {
        principal,
        credential,
        scopes: _,
        expire_time: _,
    } = identity;
    let name = method.rsplit('/').next().unwrap_or(method);
    tracing::info!(
        target: TARGET,
        %principal,
        credential = %Shown(credential),
        method,
        session_key,
        outcome,
        reason,
        peer = peer.map(tracing::field::display),
        trace_id,
        duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        "{name} ended with {outcome}"
    );
}

// === impl Shown ===

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Credential::None => f.write_str("none"),
            Credential::ApiKey(key_id) => write!(f, "api_key {key_id}"),
            Credential::Jwt => f.write_str("jwt"),
            Credential::Certificate => f.write_str("certificate"),
            Credential::LocalUser => f.write_str("local_user"),
        }
    }
}
