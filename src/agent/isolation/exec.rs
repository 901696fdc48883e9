//! The last step before an agent's program: what the process takes from itself, then the program in its place.
//!
//! A process of its own, so that what holds for the agent does not hold for its keeper: that is what protects the keeper.

use super::{Rung, plan::Plan};
use crate::agent::{confine, process::KEEPER_VARIABLE};
use std::{ffi::OsString, io, os::unix::process::CommandExt, process::Command};

/// Name of the hidden subcommand.
pub(in crate::agent) const SUBCOMMAND: &str = "agent-exec";

/// Becomes the program; returns only where that fails. `arguments`: `--` and the agent's command.
pub(in crate::agent) fn run(mut arguments: Vec<OsString>) -> io::Error {
    if arguments.len() < 2 || arguments[0] != "--" {
        return io::Error::other("expected -- PROGRAM ARGUMENTS...");
    }
    let plan = match prepare() {
        Ok(plan) => plan,
        Err(error) => return error,
    };
    let arguments = arguments.split_off(1);
    let program = &arguments[0];
    let error = Command::new(program)
        .args(&arguments[1..])
        .env_remove(KEEPER_VARIABLE)
        .exec();
    let remedy = match (plan.rung, error.kind()) {
        (
            Rung::Namespace | Rung::Landlock,
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied,
        ) => {
            "; where it is there, it is not visible to the agent (add its directory to isolation_read), or not for all \
             users to run"
        }
        (Rung::Namespace | Rung::Landlock | Rung::None, _) => "",
    };
    io::Error::other(format!(
        "cannot start {}: {error}{remedy}",
        program.to_string_lossy()
    ))
}

fn prepare() -> io::Result<Plan> {
    let plan = Plan::of_environment()?;
    confine::limit(plan.limits)?;
    #[cfg(target_os = "linux")]
    {
        use super::plan::Step;
        // Where memory runs out an agent goes before the server does. It can't lower this again.
        std::fs::write("/proc/self/oom_score_adj", "500").step("set oom_score_adj")?;
        if let Some(user) = plan.user {
            let directory = plan.working_directory.display();
            // Where the keeper's user could go it may not.
            std::env::set_current_dir(&plan.working_directory)
                .step(format!("user {user} can't go to {directory}"))?;
        }
        match plan.rung {
            Rung::None => {}
            Rung::Landlock | Rung::Namespace => {
                // Whoever runs the server as root does not mean its agents to be.
                super::rights::keep_from_children()?;
                super::rights::drop_own()?;
                super::landlock::restrict(&plan)?;
            }
        }
        if plan.rung == Rung::Landlock {
            super::seccomp::deny_unix_sockets()?;
        }
    }
    Ok(plan)
}
