//! What a keeper takes from itself before it starts an agent, and so from the agent and everything below it.
//!
//! No descriptor but the three standard ones, no files that others may read (umask 077), no rights by set-user-id
//! programs, no core dumps (they would hold a provider's keys), and the [`ProcessLimits`] of the agent's configuration.
//! Each bound holds for one process, but [`ProcessLimits::processes`], which counts all that the user runs: a bound over
//! an agent's whole tree needs a control group, which is the operator's to give.

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, getrlimit, setrlimit, umask},
};
use serde::{Deserialize, Serialize};
use std::{fs, io, os::fd::RawFd};

/// Where a process finds its own descriptors.
#[cfg(target_os = "linux")]
const OWN_DESCRIPTORS: &str = "/proc/self/fd";
/// Where a process finds its own descriptors.
#[cfg(not(target_os = "linux"))]
const OWN_DESCRIPTORS: &str = "/dev/fd";

/// Bounds of an agent's processes. 0 leaves what the gateway itself has; so does all that is more than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Processes and threads that the gateway's user may have when the agent starts another one; on rung `namespace`
    /// those of this agent alone are counted. The user `root` is not bound by it.
    pub processes: u64,
    /// Descriptors of one process.
    pub open_files: u64,
    /// Size of one file that is written, in bytes.
    pub file_bytes: u64,
    /// Memory that one process may write to, in bytes. Not its address space: Node reserves many gigabytes of that.
    pub memory_bytes: u64,
}

/// Lets go of all that an agent must not have. To be called before anything else is opened, by the thread that will
/// start the agent.
///
/// # Errors
/// Something could not be taken away; then no agent may be started.
pub(super) fn confine() -> io::Result<()> {
    close_inherited()?;
    umask(Mode::RWXG | Mode::RWXO);
    #[cfg(target_os = "linux")]
    rustix::thread::set_no_new_privs(true)?;
    lower(Resource::Core, 0)
}

/// Bounds the process, and with it all that it becomes and starts. Apart from [`confine`], since the number of processes
/// is counted for each user namespace by itself, and the keeper's is the server's.
///
/// # Errors
/// A bound could not be set; then no agent may be started.
pub(super) fn limit(limits: ProcessLimits) -> io::Result<()> {
    let ProcessLimits {
        processes,
        open_files,
        file_bytes,
        memory_bytes,
    } = limits;
    for (resource, bound) in [
        (Resource::Nproc, processes),
        (Resource::Nofile, open_files),
        (Resource::Fsize, file_bytes),
        (Resource::Data, memory_bytes),
    ] {
        if bound > 0 {
            lower(resource, bound)?;
        }
    }
    Ok(())
}

/// Closes what the gateway was started with: nobody marked it as not to be inherited.
fn close_inherited() -> io::Result<()> {
    let mut inherited: Vec<RawFd> = Vec::new();
    for entry in fs::read_dir(OWN_DESCRIPTORS)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        inherited.extend(number.filter(|number: &RawFd| *number > 2));
    }
    for descriptor in inherited {
        // The list itself was one of them and is closed already.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

/// Bounds a resource, for good.
fn lower(resource: Resource, bound: u64) -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(resource);
    // Without rights a bound can only become smaller.
    let maximum = maximum.map_or(bound, |maximum| maximum.min(bound));
    let current = current.map_or(maximum, |current| current.min(maximum));
    setrlimit(
        resource,
        Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        },
    )?;
    Ok(())
}
