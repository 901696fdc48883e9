//! What is worth trying again, and when.

use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

/// First and longest pause between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The pause before the next try: doubles, with a random part so that many clients don't come back together.
pub(crate) struct Backoff(Duration);

/// `ErrorInfo.reason` of a status; empty where the status did not come from the server.
pub fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// The name of a code, as the specification of gRPC writes it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// True where the connection failed, not the call: every status of the server has a reason.
pub fn connection_lost(status: &Status) -> bool {
    let by_transport = match status.code() {
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    };
    by_transport && reason(status).is_empty()
}

// === impl Backoff ===

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(BACKOFF.0)
    }

    /// Half to all of the pause that is due.
    pub(crate) fn next(&mut self) -> Duration {
        let due = self.0;
        self.0 = (due * 2).min(BACKOFF.1);
        let share = u32::from(Uuid::new_v4().as_bytes()[0]);
        due / 2 + due * share / 512
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_bound_and_starts_small() {
        let mut backoff = Backoff::new();
        assert!(backoff.next() <= BACKOFF.0);
        let longest = (0..20).map(|_| backoff.next()).max().expect("twenty");
        assert!(longest <= BACKOFF.1 && longest >= BACKOFF.1 / 2);
    }
}
