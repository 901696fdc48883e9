//! A server of the Model Context Protocol that is a program: it runs behind a keeper, kept apart from others as an agent's process
//! is, one for each session, and speaks by lines.
//!
//! Its end can be proven: [`Child::stop`] answers once nothing of it is left. Dropping a [`Child`] ends it as well.

use crate::agent::{
    OpenRequest, StartError,
    isolation::{Visible, program::places},
    lines::Lines,
    process::{Exit, Line, Process, ProcessHost, ProcessLimits, ProcessSpec, StopFailed},
};
use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bytes on their way between a server and its client, each way.
const PIPE_BYTES: usize = 64 * 1024;
/// Time that a server has to end once it is told to.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A program, its arguments, and the variables that it gets.
#[derive(Clone, Default)]
pub struct Program {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables; their values are secrets.
    pub environment: Vec<(String, String)>,
}

/// How the programs of one session are started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    host: ProcessHost,
    limits: ProcessLimits,
    working_directory: PathBuf,
    home: PathBuf,
    temporary: PathBuf,
    user: Option<u32>,
    trace_context: String,
}

/// A running program.
#[derive(Debug)]
pub(super) struct Child {
    stop: DropGuard,
    carried: tokio::task::JoinHandle<Result<Exit, StopFailed>>,
}

/// The client's end of a program's lines.
pub(super) type Pipe = (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>);

// === impl Program ===

impl Program {
    /// Where the program lies, and what else its command line names.
    pub fn places(&self) -> Vec<PathBuf> {
        let own_path = self.environment.iter().find(|(name, _)| name == "PATH");
        let path = own_path.map_or_else(
            || std::env::var_os("PATH").unwrap_or_default(),
            |(_, path)| path.into(),
        );
        let home = std::env::home_dir();
        places(self.command.iter().map(OsStr::new), &path, home.as_deref())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            environment,
        } = self;
        let names: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Program")
            .field("command", command)
            .field("environment", &names)
            .finish()
    }
}

// === impl Launch ===

impl Launch {
    pub(super) fn new(host: &ProcessHost, limits: ProcessLimits, request: &OpenRequest) -> Self {
        Self {
            host: host.clone(),
            limits,
            working_directory: request.working_directory.clone(),
            home: request.home_directory.clone(),
            temporary: request.temporary_directory.clone(),
            user: request.user,
            trace_context: request.trace_context.clone(),
        }
    }

    /// Starts a program.
    ///
    /// # Errors
    /// Its keeper can't be started.
    pub(super) fn start(&self, program: &Program) -> Result<(Pipe, Child), StartError> {
        let mut command = program.command.iter().map(OsString::from);
        let name = command
            .next()
            .ok_or_else(|| StartError("its command is empty".into()))?;
        let own = |name: &str, value: &Path| (OsString::from(name), OsString::from(value));
        let mut environment = vec![own("HOME", &self.home)];
        let given = program.environment.iter();
        environment.extend(given.map(|(name, value)| (name.into(), value.into())));
        environment.push(own("TMPDIR", &self.temporary));
        environment.push(("TRACEPARENT".into(), self.trace_context.clone().into()));
        let spec = ProcessSpec {
            program: name,
            arguments: command.collect(),
            environment,
            working_directory: self.working_directory.clone(),
            limits: self.limits,
            visible: Visible {
                write: vec![
                    self.home.clone(),
                    self.temporary.clone(),
                    self.working_directory.clone(),
                ],
                read: program.places(),
            },
            user: self.user,
        };
        let process = Process::spawn(&self.host, spec)?;
        let (ours, theirs) = duplex(PIPE_BYTES);
        let stop = CancellationToken::new();
        let carried = tokio::spawn(carry(process, theirs, stop.clone()));
        let stop = stop.drop_guard();
        Ok((split(ours), Child { stop, carried }))
    }
}

// === impl Child ===

impl Child {
    /// Ends it; answers once nothing of it is left.
    ///
    /// # Errors
    /// What may be left.
    pub(super) async fn stop(self) -> Result<Exit, StopFailed> {
        drop(self.stop);
        let ended = self.carried.await;
        ended.unwrap_or_else(|_| Err(StopFailed("a tool server's end is not known".into())))
    }
}

/// Carries lines both ways until one side has none left, or it is to stop; then ends the process.
async fn carry(
    mut process: Process,
    pipe: DuplexStream,
    stop: CancellationToken,
) -> Result<Exit, StopFailed> {
    let (asked, mut told) = split(pipe);
    let mut asked = Lines::new(asked);
    let carried = async {
        loop {
            let line = tokio::select! {
                line = process.next_line() => match line {
                    Some(Line::Text(line)) => Ok(line),
                    Some(Line::Shortened { .. } | Line::TooLong { .. }) => {
                        tracing::warn!("a tool server wrote a line that is too long; it is ended");
                        break;
                    }
                    None => break,
                },
                line = asked.next() => match line {
                    Some(Line::Text(line)) => Err(line),
                    Some(Line::Shortened { .. } | Line::TooLong { .. }) | None => break,
                },
            };
            let carried = match &line {
                Ok(line) => {
                    async {
                        told.write_all(line).await?;
                        told.write_all(b"\n").await
                    }
                    .await
                }
                Err(line) => process.write_line(line).await,
            };
            if carried.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = carried => {}
        () = stop.cancelled() => {}
    }
    // Its client sees the end of its lines, not silence.
    drop((asked, told));
    process.stop(STOP_GRACE).await
}
