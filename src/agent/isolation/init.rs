//! The first process of an agent's PID namespace. It builds the root that the agent sees, gives up its rights, starts the
//! agent, and reaps. When it ends, however it ends, the kernel ends everything in the namespace; nothing inside can signal
//! or trace it.
//!
//! It ends when the agent ends, with its status; when the keeper ends (the other end of its lifeline closes, and it is
//! killed); and when it is killed.

use super::{
    exec, mounts,
    plan::{Plan, Step},
    rights,
};
use crate::agent::keeper;
use rustix::{
    io::Errno,
    process::{
        DumpableBehavior, Pid, Signal, WaitOptions, kill_process_group, set_dumpable_behavior,
        set_parent_process_death_signal, wait,
    },
};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::{fd::RawFd, unix::process::CommandExt},
    process::{Command, exit},
};

/// Name of the hidden subcommand.
pub(in crate::agent) const SUBCOMMAND: &str = "agent-init";

/// On the lifeline: start the agent.
pub(in crate::agent) const GO: u8 = b'G';
/// On the lifeline: TERM to the agent's process group.
pub(in crate::agent) const TERMINATE: u8 = b'T';

/// Status of a namespace whose keeper is gone.
const KEEPER_GONE: i32 = 137;

/// Runs the namespace's first process. `arguments`: the descriptor of the lifeline, marks for the sweep, `--`, and the
/// agent's command. Returns the agent's status.
pub(in crate::agent) fn run(arguments: Vec<OsString>) -> io::Result<u8> {
    if !rustix::process::getpid().is_init() {
        return Err(io::Error::other("not the first process of a namespace"));
    }
    // Starting this program made it readable again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide from traces")?;
    let plan = Plan::of_environment()?;
    let lifeline = arguments
        .first()
        .and_then(|number| number.to_str()?.parse().ok());
    let mut lifeline = open_lifeline(lifeline.unwrap_or(-1)).step("open the lifeline")?;
    let command = arguments.iter().position(|word| word == "--");
    let command = &arguments[command.map_or(arguments.len(), |place| place + 1)..];
    mounts::build(&plan)?;
    let mut word = [0];
    if lifeline.read(&mut word)? == 0 || word[0] != GO {
        exit(KEEPER_GONE);
    }
    // Only now is the keeper its parent.
    set_parent_process_death_signal(Some(Signal::KILL)).step("follow the keeper")?;
    rights::keep_from_children()?;
    let mut agent = Command::new("/proc/self/exe");
    agent
        .arg(exec::SUBCOMMAND)
        .arg("--")
        .args(command)
        .process_group(0)
        .current_dir(&plan.working_directory);
    if let Some(user) = plan.user {
        // Which also takes the server's groups from it.
        agent.uid(user).gid(user);
    }
    let agent = agent.spawn().map_err(|error| {
        let directory = plan.working_directory.display();
        io::Error::other(format!(
            "cannot start in {directory}: {error}; is it visible to the agent? if not, add it to isolation_read"
        ))
    })?;
    let agent = Pid::from_child(&agent);
    match plan.user {
        Some(_) => rights::drop_all_but_signals()?,
        None => rights::drop_own()?,
    }
    keeper::release_standard_streams()?;
    std::thread::Builder::new()
        .name("lifeline".into())
        .spawn(move || follow(lifeline, agent))?;
    reap_until_end(agent)
}

/// The descriptor was handed on as a number; a file of our own is opened in its place, and closed at the next exec.
fn open_lifeline(number: RawFd) -> io::Result<File> {
    let file = File::open(format!("/proc/self/fd/{number}"))?;
    nix::unistd::close(number)?;
    Ok(file)
}

/// Does what the keeper says, for as long as it lives.
fn follow(mut lifeline: File, agent: Pid) {
    let mut word = [0];
    loop {
        match lifeline.read(&mut word) {
            Ok(0) => exit(KEEPER_GONE),
            Ok(_) if word[0] == TERMINATE => {
                // Not reaped before this process ends, so its group is still its own.
                let _ = kill_process_group(agent, Signal::TERM);
            }
            Ok(_) | Err(_) => {}
        }
    }
}

fn reap_until_end(agent: Pid) -> io::Result<u8> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == agent => return Ok(keeper::exit_code(status)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
