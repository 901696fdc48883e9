//! What other processes of the server's user must not see of it. Agents may be such processes.

use rustix::process::{Resource, Rlimit, setrlimit};
use std::io;

/// Closes the server's memory and environment, which hold keys and what callers say, to other processes: nobody but root
/// may trace it or read its `/proc/PID/{environ,mem,maps}`, and it leaves no core file. To be called before anything else.
///
/// # Errors
/// The system refuses; then nothing may be served.
pub fn close_to_others() -> io::Result<()> {
    let none = Some(0);
    setrlimit(
        Resource::Core,
        Rlimit {
            current: none,
            maximum: none,
        },
    )?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
