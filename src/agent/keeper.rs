//! The keeper: a small process between the gateway and one agent, which leaves nothing of the agent behind.
//!
//! `quarterdeck keeper GATEWAY_PID LIMITS -- PROGRAM ARGUMENTS…`, hidden, started by [`super::process`] and by nobody else. It
//! is our own binary because what must be done before the agent runs is safe code only inside a process of our own.
//!
//! It has a session of its own and is the child subreaper of all that the agent starts: whatever group or session a
//! process moves to, and however often it forks, once its parent is gone it becomes a child of the keeper. So "no child
//! is left" (`ECHILD`) means that nothing at all is left, and **the keeper's exit is the proof of that**.
//!
//! * SIGTERM: TERM to the agent's process group. The agent may go its own way.
//! * SIGUSR1: the agent and everything below it are killed.
//! * The gateway is gone, or the agent ended: everything that is left is killed.
//!
//! It exits with the agent's status, 128 + n for signal n. Never send it SIGKILL: nobody would be left to end the agent
//! but the sweep by environment mark. It can't end what runs as another user; then it stays, and the stop is not proven.
//!
//! On systems without subreapers and pidfds (anything but Linux) the agent's process group is all that is ended, and
//! the gateway's death is noticed by the keeper's parent changing.

use super::{
    confine::{self, ProcessLimits},
    lineage,
};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::{
    ffi::OsString,
    fs::OpenOptions,
    io,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Name of the hidden subcommand.
pub const SUBCOMMAND: &str = "keeper";
/// Exit status where the keeper or the agent did not start; standard error says why.
pub const NOT_STARTED: u8 = 71;

/// Shortest time between two rounds of killing. A process that forks and ends all the time must be met alive.
const ROUND_MIN: Duration = Duration::from_millis(1);
/// Longest time between two rounds, where something can't be killed.
const ROUND_MAX: Duration = Duration::from_millis(100);

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    gateway: i32,
    limits: ProcessLimits,
    program: OsString,
    arguments: Vec<OsString>,
}

/// Runs the keeper. `arguments` are those after the subcommand's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let kept = Order::parse(arguments).and_then(|order| {
        // First: it closes every descriptor that it finds, and the runtime will have some.
        confine::confine(order.limits)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime?.block_on(keep(order))
    });
    ExitCode::from(kept.unwrap_or_else(|error| {
        eprintln!("quarterdeck keeper: {error}");
        NOT_STARTED
    }))
}

// === impl Order ===

impl Order {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> io::Result<Self> {
        let mut arguments = arguments.into_iter();
        let wrong = || io::Error::other("expected GATEWAY_PID LIMITS -- PROGRAM ARGUMENTS...");
        let gateway = arguments.next().and_then(|pid| pid.to_str()?.parse().ok());
        let gateway = gateway.filter(|pid| *pid > 0).ok_or_else(wrong)?;
        let limits = arguments.next();
        let limits = limits.and_then(|limits| ProcessLimits::from_argument(&limits));
        let limits = limits.ok_or_else(wrong)?;
        arguments
            .next()
            .filter(|separator| separator == "--")
            .ok_or_else(wrong)?;
        Ok(Self {
            gateway,
            limits,
            program: arguments.next().ok_or_else(wrong)?,
            arguments: arguments.collect(),
        })
    }
}

async fn keep(order: Order) -> io::Result<u8> {
    let gateway = watch_parent(order.gateway)?;
    lineage::adopt_orphans()?;
    // Fails only for the leader of a group, which the keeper is where a person starts it from a shell.
    let _ = rustix::process::setsid();
    // All are in place before the agent is: none of them may end the keeper while it has a child.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut kill = signal(SignalKind::user_defined1())?;
    let mut ended = signal(SignalKind::child())?;
    for ignored in [
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::user_defined2(),
    ] {
        // A handler that nobody listens to, and not SIG_IGN, which the agent would inherit.
        drop(signal(ignored)?);
    }
    let agent = start(&order)?;
    release_standard_streams()?;
    let mut status = None;
    while status.is_none() {
        tokio::select! {
            biased;
            () = gateway.cancelled() => break,
            _ = kill.recv() => break,
            _ = ended.recv() => { reap(agent, &mut status)?; }
            // The agent is not reaped yet, so its group is still its own.
            _ = terminate.recv() => { let _ = rustix::process::kill_process_group(agent, Signal::TERM); }
        }
    }
    let keeper = rustix::process::getpid();
    let mut pause = ROUND_MIN;
    lineage::kill_below(keeper, agent);
    while reap(agent, &mut status)? {
        lineage::kill_below(keeper, agent);
        tokio::select! {
            _ = ended.recv() => pause = ROUND_MIN,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(ROUND_MAX),
        }
    }
    Ok(status.map_or(NOT_STARTED, exit_code))
}

/// The gateway, watched; an error where it is not the parent (any more).
fn watch_parent(gateway: i32) -> io::Result<CancellationToken> {
    let gone = || io::Error::other("the gateway is gone");
    let gateway = Pid::from_raw(gateway).ok_or_else(gone)?;
    let watch = lineage::watch(gateway)?;
    // Checked with the watch in hand: had the gateway died before, its id could be a stranger's by now.
    if rustix::process::getppid() != Some(gateway) {
        return Err(gone());
    }
    Ok(watch)
}

fn start(order: &Order) -> io::Result<Pid> {
    let child = Command::new(&order.program)
        .args(&order.arguments)
        .process_group(0)
        .spawn()
        .map_err(|error| {
            let program = order.program.to_string_lossy();
            io::Error::other(format!("cannot start {program}: {error}"))
        })?;
    // Reaped by `reap`, with all others.
    Ok(Pid::from_child(&child))
}

/// Lets go of the agent's standard input and output, so that their ends mean the agent's.
fn release_standard_streams() -> io::Result<()> {
    let nothing = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(())
}

/// Takes the status of every child that ended, adopted ones too. False once there is no child any more.
fn reap(agent: Pid, status: &mut Option<WaitStatus>) -> io::Result<bool> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, ended))) if pid == agent => *status = Some(ended),
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return Ok(true),
            Err(rustix::io::Errno::CHILD) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = status
        .exit_status()
        .or_else(|| Some(128 + status.terminating_signal()?));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Order> {
        Order::parse(line.split_whitespace().map(OsString::from)).ok()
    }

    #[test]
    fn the_command_line_is_a_process_id_and_a_command() {
        let order = parse("17 1,2,3,4 -- pi --mode rpc --").expect("it is well formed");
        assert_eq!(order.gateway, 17);
        assert_eq!(order.limits.to_argument(), "1,2,3,4");
        assert_eq!(order.program, "pi");
        assert_eq!(order.arguments, ["--mode", "rpc", "--"]);
        for wrong in [
            "",
            "17",
            "17 1,2,3,4 --",
            "17 1,2,3,4 pi",
            "17 -- pi",
            "17 1,2 -- pi",
            "x 1,2,3,4 -- pi",
            "0 1,2,3,4 -- pi",
            "-1 1,2,3,4 -- pi",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn only_a_parent_counts_as_the_gateway() {
        let own = i32::try_from(std::process::id()).expect("process ids are small");
        assert!(watch_parent(own).is_err());
        let parent = rustix::process::getppid().expect("a test has a parent");
        assert!(watch_parent(parent.as_raw_pid()).is_ok());
    }
}
