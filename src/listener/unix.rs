//! The unix socket: bound so that nobody but its user ever connects, and removed at the end.

use super::BACKLOG;
use std::{
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};
use tokio::net::UnixSocket;

/// Bytes of a socket's path: what the kernel's address holds, less the end mark.
const PATH_MAX_BYTES: usize = 107;

/// A bound socket and its file.
#[derive(Debug)]
pub(super) struct BoundSocket {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

/// The file of a bound socket; its drop removes it, unless another has taken the place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number of the file that was made.
    identity: (u64, u64),
}

/// Why a unix socket can't be listened at.
#[derive(Debug, thiserror::Error)]
pub enum UnixError {
    /// The kernel's bound.
    #[error("{}: the path of a unix socket is at most {PATH_MAX_BYTES} bytes; set listen_unix to a shorter one, or to none", .0.display())]
    TooLong(PathBuf),
    /// Somebody listens there.
    #[error("{}: another process listens there; stop it, or set listen_unix to another path", .0.display())]
    InUse(PathBuf),
    /// Something else has that name.
    #[error("{}: there is a file that is no socket; remove it, or set listen_unix to another path", .0.display())]
    NoSocket(PathBuf),
    /// The system said no.
    #[error("can't listen at {}", path.display())]
    System {
        /// The socket's path.
        path: PathBuf,
        /// What it said.
        #[source]
        error: io::Error,
    },
}

// === impl BoundSocket ===

impl BoundSocket {
    /// Binds `path`. A socket that nobody listens at any more is replaced.
    pub(super) fn bind(path: &Path) -> Result<Self, UnixError> {
        if path.as_os_str().as_bytes().len() > PATH_MAX_BYTES {
            return Err(UnixError::TooLong(path.to_owned()));
        }
        let system = |error| UnixError::System {
            path: path.to_owned(),
            error,
        };
        make_room(path)?;
        let socket = UnixSocket::new_stream().map_err(system)?;
        socket.bind(path).map_err(system)?;
        // A socket that is bound and not yet listened at refuses everybody: the mode is set before anyone can connect.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(system)?;
        let file = SocketFile {
            path: path.to_owned(),
            identity: identity(path).map_err(system)?,
        };
        let listener = socket.listen(BACKLOG).map_err(system)?;
        Ok(Self {
            listener: listener.into_std().map_err(system)?,
            file,
        })
    }
}

/// Removes a socket that was left behind.
fn make_room(path: &Path) -> Result<(), UnixError> {
    let system = |error| UnixError::System {
        path: path.to_owned(),
        error,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(UnixError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(system)
        }
        // Its queue is full, or it is another user's: in any case it is not ours to take.
        Ok(_) | Err(_) => Err(UnixError::InUse(path.to_owned())),
    }
}

/// Whether this process started the one with that id: itself or through others, keepers among them, which adopt what their
/// agents leave behind. True where that can't be told.
#[cfg(target_os = "linux")]
pub(super) fn is_started_here(pid: Option<i32>) -> bool {
    use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
    let look = || {
        let peer = Pid::from_raw(pid?)?;
        let handle = pidfd_open(peer, PidfdFlags::empty()).ok()?;
        let mut at = peer;
        let found = loop {
            match parent(at)? {
                Some(parent) if parent == getpid() => break true,
                Some(parent) => at = parent,
                None => break false,
            }
        };
        // Had it ended, its id could have been a stranger's while we looked.
        is_alive(&handle).then_some(found)
    };
    look().unwrap_or(true)
}

/// There are no process ids that can be held on to.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_started_here(_: Option<i32>) -> bool {
    true
}

/// The parent of a process; `Some(None)` where there is none in sight.
#[cfg(target_os = "linux")]
fn parent(pid: rustix::process::Pid) -> Option<Option<rustix::process::Pid>> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The name before may hold anything, parentheses too.
    let (_, after) = stat.rsplit_once(") ")?;
    let parent: i32 = after.split(' ').nth(1)?.parse().ok()?;
    Some(rustix::process::Pid::from_raw(parent))
}

#[cfg(target_os = "linux")]
fn is_alive(process: &std::os::fd::OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut readable = [PollFd::new(process, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut readable, Some(&now)).is_ok_and(|ended| ended == 0)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

// === impl SocketFile ===

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // A file that stays is replaced by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}
