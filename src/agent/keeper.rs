//! The keeper: a small process between the gateway and one agent, which leaves nothing of the agent behind.
//!
//! `quarterdeck keeper GATEWAY_PID MARK… -- PROGRAM ARGUMENTS…`, hidden, started by [`super::process`] and by nobody else.
//! It is our own binary because what must be done before the agent runs is safe code only inside a process of our own.
//! What it starts depends on the agent's [`Rung`](super::isolation::Rung):
//!
//! * `namespace`: keeper → [stage](super::isolation) (makes the namespaces, ends) → init (first process of the PID
//!   namespace, child of the keeper from then on) → exec → the agent.
//! * `landlock` and `none`: keeper → exec → the agent.
//!
//! It has a session of its own and is the child subreaper of all that the agent starts: whatever group or session a
//! process moves to, and however often it forks, once its parent is gone it becomes a child of the keeper. So "no child
//! is left" (`ECHILD`) means that nothing at all is left, and **the keeper's exit is the proof of that**. Where a signal
//! ended the keeper that says nothing: then the end of init, or the lack of orphans below the gateway, is the proof.
//!
//! * SIGTERM: TERM to the agent's process group. The agent may go its own way.
//! * SIGUSR1: the agent and everything below it are killed.
//! * The gateway is gone, or the agent ended: everything that is left is killed.
//! * It is a worker's, and its [deadline](super::fence) has passed: the same, also where the worker itself stands still.
//!
//! It exits with the agent's status, 128 + n for signal n. It can't end what runs as another user; then it stays, and the
//! stop is not proven.
//!
//! On systems without subreapers and pidfds (anything but Linux) the agent's process group is all that is ended, and
//! the gateway's death is noticed by the keeper's parent changing.

#[cfg(target_os = "linux")]
use super::isolation::{init, probe::inside, stage};
use super::{
    confine,
    fence::Deadline,
    isolation::{Rung, exec, plan::Plan},
    lineage,
};
use rustix::{
    fs::{Gid, Uid},
    process::{Pid, Signal, WaitOptions, WaitStatus},
};
use std::{
    ffi::OsString,
    fs::OpenOptions,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, ExitCode},
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Name of the hidden subcommand.
pub const SUBCOMMAND: &str = "keeper";
/// Exit status where the keeper or the agent did not start; standard error says why.
pub const NOT_STARTED: u8 = 71;

/// Begins the first line of standard error on rung `namespace`; the process id of init follows. It is written before
/// there is an agent.
pub(super) const INIT_IS: &str = "\u{1e}quarterdeck init ";

/// Shortest time between two rounds of killing. A process that forks and ends all the time must be met alive.
const ROUND_MIN: Duration = Duration::from_millis(1);
/// Longest time between two rounds, where something can't be killed.
const ROUND_MAX: Duration = Duration::from_millis(100);
/// Longest time between two looks at a worker's deadline: a timer does not count a machine's sleep.
const DEADLINE_LOOK: Duration = Duration::from_secs(1);

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    gateway: i32,
    /// What a sweep finds this process, and those after it, by.
    marks: Vec<OsString>,
    /// The agent's program and its arguments.
    command: Vec<OsString>,
}

/// The process that stands for the agent.
struct Kept {
    /// The agent itself, or the first process of its namespace.
    child: Pid,
    /// Where that is such a first process, what it listens to. It ends when this is dropped.
    lifeline: Option<OwnedFd>,
}

/// Runs the step that the first argument names, where it is one of those that stand between gateway and agent; not for
/// people. To be asked first thing in `main`, before there is any other thread.
pub fn dispatch(arguments: &[OsString]) -> Option<ExitCode> {
    let own = || arguments[2..].to_vec();
    let result = match arguments.get(1)?.to_str()? {
        SUBCOMMAND => run(own()),
        exec::SUBCOMMAND => Err(exec::run(own())),
        #[cfg(target_os = "linux")]
        stage::SUBCOMMAND => stage::run(own()).map(|()| 0),
        #[cfg(target_os = "linux")]
        init::SUBCOMMAND => init::run(own()),
        #[cfg(target_os = "linux")]
        inside::SUBCOMMAND => inside::run(own()),
        _ => return None,
    };
    Some(ExitCode::from(result.unwrap_or_else(|error| {
        eprintln!("quarterdeck keeper: {error}");
        NOT_STARTED
    })))
}

fn run(arguments: Vec<OsString>) -> io::Result<u8> {
    let order = Order::parse(arguments)?;
    // First: it closes every descriptor that it finds, and the runtime will have some.
    confine::confine()?;
    let plan = Plan::of_environment()?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let deadline = plan.fence.as_deref().map(Deadline::open).transpose()?;
    runtime?.block_on(keep(order, plan.rung, plan.user, deadline))
}

// === impl Order ===

impl Order {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> io::Result<Self> {
        let mut arguments = arguments.into_iter();
        let wrong = || io::Error::other("expected GATEWAY_PID MARK... -- PROGRAM ARGUMENTS...");
        let gateway = arguments.next().and_then(|pid| pid.to_str()?.parse().ok());
        let gateway = gateway.filter(|pid| *pid > 0).ok_or_else(wrong)?;
        let marks = arguments.by_ref().take_while(|word| word != "--").collect();
        let command: Vec<OsString> = arguments.collect();
        if command.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            gateway,
            marks,
            command,
        })
    }
}

async fn keep(
    order: Order,
    rung: Rung,
    user: Option<u32>,
    deadline: Option<Deadline>,
) -> io::Result<u8> {
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
    if let Some(user) = user {
        give_standard_streams(user)?;
    }
    let started = match rung {
        Rung::Namespace => start_namespace(&order),
        Rung::Landlock | Rung::None => start(&order, user),
    };
    let Kept { child, lifeline } = match started {
        Ok(kept) => kept,
        Err(error) => {
            if cfg!(target_os = "linux") {
                // A step before the agent may be there, or not reaped.
                let none = rustix::process::getpid();
                end_all(none, &mut ended, &mut None).await?;
            }
            return Err(error);
        }
    };
    release_standard_streams()?;
    let mut status = None;
    while status.is_none() {
        tokio::select! {
            biased;
            () = gateway.cancelled() => break,
            _ = kill.recv() => break,
            () = passed(deadline.as_ref()) => break,
            _ = ended.recv() => { reap(child, &mut status)?; }
            _ = terminate.recv() => terminate_politely(child, lifeline.as_ref()),
        }
    }
    end_all(child, &mut ended, &mut status).await?;
    Ok(status.map_or(NOT_STARTED, exit_code))
}

/// Waits until the agent may not run any more; for ever where it is a gateway's.
async fn passed(deadline: Option<&Deadline>) {
    let Some(deadline) = deadline else {
        return std::future::pending().await;
    };
    loop {
        let left = deadline.left();
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(DEADLINE_LOOK)).await;
    }
}

/// Kills and reaps all below this process until there is none; keeps the status of `agent`.
async fn end_all(
    agent: Pid,
    ended: &mut tokio::signal::unix::Signal,
    status: &mut Option<WaitStatus>,
) -> io::Result<()> {
    let keeper = rustix::process::getpid();
    let mut pause = ROUND_MIN;
    lineage::kill_below(keeper, agent);
    while reap(agent, status)? {
        lineage::kill_below(keeper, agent);
        tokio::select! {
            _ = ended.recv() => pause = ROUND_MIN,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(ROUND_MAX),
        }
    }
    Ok(())
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

/// Our own program, whatever became of its file.
fn own_program() -> io::Result<Command> {
    if cfg!(target_os = "linux") {
        Ok(Command::new("/proc/self/exe"))
    } else {
        std::env::current_exe().map(Command::new)
    }
}

/// An agent opens its standard streams by name, too, which is for their owner alone.
fn give_standard_streams(user: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
    for stream in [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ] {
        rustix::fs::fchown(stream, Some(user), Some(group))?;
    }
    Ok(())
}

fn start(order: &Order, user: Option<u32>) -> io::Result<Kept> {
    let mut command = own_program()?;
    command
        .arg(exec::SUBCOMMAND)
        .arg("--")
        .args(&order.command)
        .process_group(0);
    if let Some(user) = user {
        // As another user it could not do that itself.
        #[cfg(target_os = "linux")]
        super::isolation::rights::keep_from_children()?;
        // Which also takes the server's groups from it.
        command.uid(user).gid(user);
    }
    let child = command.spawn()?;
    // Reaped by `reap`, with all others.
    Ok(Kept {
        child: Pid::from_child(&child),
        lifeline: None,
    })
}

#[cfg(target_os = "linux")]
fn start_namespace(order: &Order) -> io::Result<Kept> {
    use std::os::fd::AsRawFd;

    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (listening, lifeline) = rustix::pipe::pipe_with(flags)?;
    rustix::io::fcntl_setfd(&listening, rustix::io::FdFlags::empty())?;
    let mut stage = own_program()?
        .arg(stage::SUBCOMMAND)
        .arg(listening.as_raw_fd().to_string())
        .args(&order.marks)
        .arg("--")
        .args(&order.command)
        .spawn()?;
    drop(listening);
    let status = stage.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!(
            "the agent's namespace could not be made ({status})"
        )));
    }
    let children = lineage::children(rustix::process::getpid());
    let Some(child) = children.first().copied() else {
        return Err(io::Error::other(
            "the first process of the namespace is gone",
        ));
    };
    // Before there is an agent that could say anything.
    eprintln!("{INIT_IS}{child}");
    match rustix::io::write(&lifeline, &[init::GO]) {
        // A step of init failed: it says which, after it let go of the lifeline, and ends with a status of its own.
        Ok(_) | Err(rustix::io::Errno::PIPE) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Kept {
        child,
        lifeline: Some(lifeline),
    })
}

#[cfg(not(target_os = "linux"))]
fn start_namespace(_: &Order) -> io::Result<Kept> {
    Err(io::Error::other("there are no namespaces on this system"))
}

fn terminate_politely(child: Pid, lifeline: Option<&OwnedFd>) {
    // Either may be ending already; neither is reaped yet, so a process group is still the agent's own.
    match lifeline {
        #[cfg(target_os = "linux")]
        Some(lifeline) => drop(rustix::io::write(lifeline, &[init::TERMINATE])),
        #[cfg(not(target_os = "linux"))]
        Some(_) => {}
        None => drop(rustix::process::kill_process_group(child, Signal::TERM)),
    }
}

/// Lets go of the agent's standard input and output, so that their ends mean the agent's.
pub(super) fn release_standard_streams() -> io::Result<()> {
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

pub(super) fn exit_code(status: WaitStatus) -> u8 {
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
    fn the_command_line_is_a_process_id_marks_and_a_command() {
        let order = parse("17 A=1 B=2 -- pi --mode rpc --").expect("it is well formed");
        assert_eq!(order.gateway, 17);
        assert_eq!(order.marks, ["A=1", "B=2"]);
        assert_eq!(order.command, ["pi", "--mode", "rpc", "--"]);
        for wrong in [
            "",
            "17",
            "17 A=1 --",
            "17 A=1 pi",
            "x -- pi",
            "0 -- pi",
            "-1 -- pi",
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
