//! The process of a try: reaches for what it must not reach, and says what it got.

use super::super::{ProcView, Rung, init, landlock};
use rustix::process::{Pid, getppid, test_kill_process};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixStream},
    },
    path::PathBuf,
};

/// Name of the hidden subcommand.
pub(in crate::agent) const SUBCOMMAND: &str = "agent-probe";

/// What is reached for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Targets {
    /// A file that only the server may read.
    pub(super) file: PathBuf,
    /// A unix socket beside it.
    pub(super) socket: PathBuf,
    /// The name of an abstract one.
    pub(super) abstract_name: String,
    /// The server's process id.
    pub(super) server: u32,
    /// The user id that the process is to have.
    pub(super) user: u32,
}

/// What was got: true where it should not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The file was read.
    pub(super) file: bool,
    /// The socket took a connection.
    pub(super) socket: bool,
    /// The abstract socket took one.
    pub(super) abstract_socket: bool,
    /// A file could be made beside the system's programs.
    pub(super) system: bool,
    /// The server can be signalled.
    pub(super) signal: bool,
    /// The server's environment was read.
    pub(super) environment: bool,
    /// Whether the parent is the first process of a namespace: true where it should be on rung `namespace`.
    pub(super) namespace: bool,
    /// Whether `/proc` shows that one: true where it should.
    pub(super) own_proc: bool,
    /// The process is another user's than it should be.
    pub(super) user: bool,
    /// Version of the kernel's Landlock interface; 0 where there is none.
    pub(super) landlock_abi: i32,
}

/// Tells what it sees as one line of JSON.
pub(in crate::agent) fn run(arguments: Vec<OsString>) -> io::Result<u8> {
    let targets = arguments.first().cloned().unwrap_or_default();
    let targets: Targets = serde_json::from_slice(targets.as_encoded_bytes())?;
    let line = serde_json::to_string(&look(&targets))?;
    rustix::io::write(rustix::stdio::stdout(), format!("{line}\n").as_bytes())?;
    Ok(0)
}

fn look(targets: &Targets) -> Seen {
    let planted = PathBuf::from(format!("/usr/.quarterdeck-probe-{}", std::process::id()));
    let system = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&planted);
    if system.is_ok() {
        let _ = fs::remove_file(&planted);
    }
    let server = i32::try_from(targets.server).ok().and_then(Pid::from_raw);
    let abstract_socket = SocketAddr::from_abstract_name(&targets.abstract_name)
        .and_then(|address| UnixStream::connect_addr(&address));
    let first = fs::read("/proc/1/cmdline").unwrap_or_default();
    Seen {
        file: File::open(&targets.file).is_ok(),
        socket: UnixStream::connect(&targets.socket).is_ok(),
        abstract_socket: abstract_socket.is_ok(),
        system: system.is_ok(),
        signal: server.is_some_and(|server| test_kill_process(server).is_ok()),
        environment: fs::read(format!("/proc/{}/environ", targets.server))
            .is_ok_and(|text| !text.is_empty()),
        namespace: getppid().is_some_and(Pid::is_init),
        own_proc: first.split(|byte| *byte == 0).nth(1) == Some(init::SUBCOMMAND.as_bytes()),
        user: rustix::process::getuid().as_raw() != targets.user,
        // Last: it bounds this process.
        landlock_abi: landlock::abi(),
    }
}

// === impl Seen ===

impl Seen {
    /// Whether that is what the rung promises.
    pub(super) fn judge(&self, rung: Rung, proc: ProcView) -> Result<(), String> {
        let Self {
            file,
            socket,
            // Told, and no reason for a lesser rung: that would stop less.
            abstract_socket,
            system,
            signal,
            environment,
            namespace,
            own_proc,
            user,
            landlock_abi: _,
        } = *self;
        let by_landlock = rung == Rung::Landlock;
        // In a namespace of its own the server's number is nobody's, or another's.
        let foreign = by_landlock || proc == ProcView::Shared;
        for (broken, what) in [
            (file, "the server's files could be read"),
            (socket, "the server's socket could be reached"),
            (
                abstract_socket && by_landlock,
                "abstract sockets could be reached",
            ),
            (system, "the system's files could be changed"),
            (signal && by_landlock, "the server could be signalled"),
            (
                environment && foreign,
                "the server's environment could be read",
            ),
            (
                !namespace && rung == Rung::Namespace,
                "there was no PID namespace",
            ),
            (user, "it was another user's"),
            (!own_proc && proc == ProcView::Own, "/proc was not its own"),
        ] {
            if broken {
                return Err(format!("it was tried and did not hold: {what}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_that_does_not_hold_is_none() {
        let good = Seen {
            namespace: true,
            own_proc: true,
            ..Seen::default()
        };
        let (own, shared, host) = (ProcView::Own, ProcView::Shared, ProcView::Host);
        assert_eq!(good.judge(Rung::Namespace, own), Ok(()));
        assert_eq!(Seen::default().judge(Rung::Landlock, host), Ok(()));
        for (seen, rung, proc) in [
            (Seen { file: true, ..good }, Rung::Namespace, own),
            (
                Seen {
                    socket: true,
                    ..good
                },
                Rung::Namespace,
                own,
            ),
            (
                Seen {
                    system: true,
                    ..good
                },
                Rung::Namespace,
                own,
            ),
            (
                Seen {
                    namespace: false,
                    ..good
                },
                Rung::Namespace,
                own,
            ),
            (
                Seen {
                    own_proc: false,
                    ..good
                },
                Rung::Namespace,
                own,
            ),
            (
                Seen {
                    environment: true,
                    ..good
                },
                Rung::Namespace,
                shared,
            ),
            (Seen { file: true, ..good }, Rung::Landlock, host),
            (
                Seen {
                    signal: true,
                    ..good
                },
                Rung::Landlock,
                host,
            ),
            (
                Seen {
                    abstract_socket: true,
                    ..good
                },
                Rung::Landlock,
                host,
            ),
            (
                Seen {
                    environment: true,
                    ..good
                },
                Rung::Landlock,
                host,
            ),
        ] {
            assert!(seen.judge(rung, proc).is_err(), "{seen:?} on {rung:?}");
        }
    }
}
