//! The step that makes the namespaces: a process of its own, since a PID namespace holds only the children of who makes
//! it, and since neither a user namespace nor what follows allows a second thread. It starts the namespace's first
//! process ([`super::init`]) and ends; that process then belongs to the keeper.

use super::{
    init,
    plan::{Plan, Step},
};
use nix::sched::{CloneFlags, unshare};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set,
    set_capabilities,
};
use std::{ffi::OsString, fs, io, process::Command};

/// Name of the hidden subcommand.
pub(in crate::agent) const SUBCOMMAND: &str = "agent-stage";

/// What [`super::init`] needs to mount, and to give up all rights for good.
const NEEDED: [CapabilitySet; 3] = [
    CapabilitySet::SYS_ADMIN,
    CapabilitySet::SETPCAP,
    CapabilitySet::SYS_RESOURCE,
];

/// Makes the namespaces and starts their first process with the same arguments.
pub(in crate::agent) fn run(arguments: Vec<OsString>) -> io::Result<()> {
    make_namespaces(Plan::of_environment()?.user)?;
    keep_rights_at_exec()?;
    Command::new("/proc/self/exe")
        .arg(init::SUBCOMMAND)
        .args(arguments)
        .spawn()
        .step("start the first process of the namespace")?;
    Ok(())
}

/// An agent of another user needs none of users: whoever may give it that user may make the others as it is.
fn make_namespaces(agent: Option<u32>) -> io::Result<()> {
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if agent.is_some() {
        return unshare(namespaces).map_err(io::Error::from).step("unshare");
    }
    match unshare(CloneFlags::CLONE_NEWUSER | namespaces).map_err(io::Error::from) {
        Ok(()) => {
            fs::write("/proc/self/setgroups", "deny").step("write setgroups")?;
            fs::write("/proc/self/uid_map", format!("{user} {user} 1")).step("write uid_map")?;
            fs::write("/proc/self/gid_map", format!("{group} {group} 1")).step("write gid_map")
        }
        // The system's administrator may make the others where user namespaces are switched off.
        Err(error) if user == 0 => unshare(namespaces)
            .map_err(io::Error::from)
            .step(format!("unshare ({error} with a user namespace)")),
        Err(error) => Err(error).step("unshare"),
    }
}

/// A user other than root loses every right when it runs another program, unless it is an ambient one.
fn keep_rights_at_exec() -> io::Result<()> {
    let held = capabilities(None).step("read capabilities")?;
    let needed = NEEDED
        .into_iter()
        .filter(|right| held.permitted.contains(*right));
    let inheritable = needed
        .clone()
        .fold(CapabilitySet::empty(), |all, right| all | right);
    set_capabilities(
        None,
        CapabilitySets {
            inheritable,
            ..held
        },
    )
    .step("set inheritable capabilities")?;
    for right in needed {
        configure_capability_in_ambient_set(right, true).step("set ambient capabilities")?;
    }
    Ok(())
}
