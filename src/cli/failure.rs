//! Why a command failed: one line that says what to do, and an exit code of sysexits.

use super::key_file;
use quarterdeck::{
    client::{BadOptions, Error, code_name, connection_lost, reason, tls_problem},
    config::ConfigErrors,
    proto::{Turn, TurnState},
};
use std::{io, time::Duration};
use tonic::{Code, Status};

/// The command line is wrong.
pub(crate) const USAGE: u8 = 64;
/// The request is wrong, or the session is not in the state that it needs.
pub(crate) const DATA: u8 = 65;
/// There is no such session, turn or file.
pub(crate) const NO_INPUT: u8 = 66;
/// No server answers.
pub(crate) const UNAVAILABLE: u8 = 69;
/// A bug, or an agent that failed.
pub(crate) const SOFTWARE: u8 = 70;
/// The name is taken.
pub(crate) const CANNOT_CREATE: u8 = 73;
/// Reading or writing failed.
pub(crate) const IO: u8 = 74;
/// The same may succeed later.
pub(crate) const TEMPORARY: u8 = 75;
/// The server does not know the call.
pub(crate) const PROTOCOL: u8 = 76;
/// Not allowed.
pub(crate) const NO_PERMISSION: u8 = 77;
/// The configuration is wrong.
pub(crate) const CONFIG: u8 = 78;
/// Interrupted from the keyboard.
pub(crate) const INTERRUPTED: u8 = 130;
/// Nobody reads the output any more.
pub(crate) const BROKEN_PIPE: u8 = 141;

/// The end of a command that did not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    /// For people; empty where there is nothing to say.
    pub(crate) message: String,
    /// The process's exit code.
    pub(crate) code: u8,
    /// Name of the call's status; empty where no call failed.
    pub(crate) status: &'static str,
    /// `ErrorInfo.reason` of the call; empty where there is none.
    pub(crate) reason: String,
    /// Fields that are wrong, and what is wrong with each.
    pub(crate) fields: Vec<(String, String)>,
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code,
            status: "",
            reason: String::new(),
            fields: Vec::new(),
        }
    }

    /// A server that did not come back in time.
    pub(crate) fn away(address: &str, away: Duration) -> Self {
        let away = humantime::format_duration(away);
        let message = format!("the server at {address} is away for {away}");
        Self::new(UNAVAILABLE, message)
    }

    /// A failed call to the server at that address.
    pub(crate) fn call(address: &str, status: &Status) -> Self {
        let failure = Self::said(address, status);
        Self {
            status: code_name(status.code()),
            reason: reason(status),
            ..failure
        }
    }

    fn said(address: &str, status: &Status) -> Self {
        if let Some(problem) = tls_problem(status) {
            return Self::new(UNAVAILABLE, format!("can't talk to {address}: {problem}"));
        }
        if connection_lost(status) {
            return Self::new(
                UNAVAILABLE,
                format!(
                    "no server answers at {address}: start one with `quarterdeck serve`, or name it with --addr, \
                     with https:// where it speaks TLS"
                ),
            );
        }
        let reason = reason(status);
        let mut message = if reason.is_empty() {
            format!("{}: {}", status.code(), status.message())
        } else {
            format!("{reason}: {}", status.message())
        };
        if reason == "CREDENTIALS_MISSING"
            && let Some(advice) = key_file::advice()
        {
            message.push_str(&format!(". {advice}"));
        }
        let error = Error::from(status.clone());
        let fields: Vec<(String, String)> = error
            .field_violations()
            .iter()
            .map(|it| (it.field.clone(), it.problem.clone()))
            .collect();
        // One is told by the message; of more, each.
        if fields.len() > 1 {
            message = format!("{reason}: {} fields are wrong", fields.len());
            for (field, problem) in &fields {
                message.push_str(&format!("\n  {field} {problem}"));
            }
        }
        Self {
            fields,
            ..Self::new(code_of(status.code()), message)
        }
    }
}

/// The exit code for a status.
fn code_of(code: Code) -> u8 {
    match code {
        Code::Ok => 0,
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition | Code::Aborted => DATA,
        Code::NotFound => NO_INPUT,
        Code::AlreadyExists => CANNOT_CREATE,
        Code::ResourceExhausted | Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
            TEMPORARY
        }
        Code::Unauthenticated | Code::PermissionDenied => NO_PERMISSION,
        Code::Unimplemented => PROTOCOL,
        Code::Internal | Code::Unknown | Code::DataLoss => SOFTWARE,
    }
}

/// The exit code for a turn's end: 0 only where it was completed.
pub(crate) fn code_of_turn(turn: &Turn) -> u8 {
    match turn.state() {
        TurnState::Completed => 0,
        TurnState::Failed => SOFTWARE,
        TurnState::Canceled
        | TurnState::Interrupted
        | TurnState::Rejected
        | TurnState::Expired
        | TurnState::Unspecified
        | TurnState::Queued
        | TurnState::Scheduled
        | TurnState::Running
        | TurnState::WaitingInput
        | TurnState::Canceling => TEMPORARY,
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(BROKEN_PIPE, "");
        }
        Self::new(IO, error.to_string())
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::new(CONFIG, errors.to_string())
    }
}

impl From<BadOptions> for Failure {
    fn from(bad: BadOptions) -> Self {
        Self::new(USAGE, bad.to_string())
    }
}
