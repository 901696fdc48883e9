//! Who descends from whom, and how to end them: what `/proc` says, and signals that can't hit a stranger.
//!
//! A process id may be given to a stranger between a look and a signal. So every signal here goes through a pidfd, and
//! the reason for it is checked again once the pidfd is held: from then on it names that process or nobody.
//! Linux only; `lineage_elsewhere.rs` stands in for it on other systems.

use super::isolation::users::UserRange;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, waitpid,
    },
};
use std::{
    collections::HashSet,
    fs, io,
    os::fd::OwnedFd,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time between two looks at `/proc` while something is being ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Looks in a row that must find nobody before it is believed: one look can miss a process that is a new one at every
/// moment.
const EMPTY_LOOKS: usize = 10;
/// The same for a sweep that has found nobody so far, which is what a start after a clean end finds.
const EMPTY_LOOKS_AT_FIRST: usize = 2;
/// Time that a keeper gets to end its own agent before a sweep ends the keeper: it finds what has lost its mark too.
const KEEPER_PATIENCE: Duration = Duration::from_secs(3);

/// How far above a process its keeper is looked for, the agent's own ancestors included.
const ANCESTORS_MAX: usize = 100_000;

/// Keepers that are remembered at most before those that ended are forgotten.
const KEEPERS_MAX: usize = 1024;

/// Keepers that this process started, each with its start time, so that no stranger with its id is taken for it. One for
/// the process, as its children are.
static KEEPERS: Mutex<Vec<(Pid, u64)>> = Mutex::new(Vec::new());

/// A process whose end can be waited for, whoever's child it is.
#[derive(Debug)]
pub(super) struct Watched {
    pid: Pid,
    handle: OwnedFd,
}

/// Where a process stands in the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descendant {
    /// Its id.
    pub(super) pid: Pid,
    /// Its parent when it was seen.
    parent: Pid,
}

/// What `/proc/PID/stat` says.
struct Stat {
    zombie: bool,
    /// `None` where it can't be seen from here: of the first process of a container, and of what entered it from outside.
    parent: Option<Pid>,
    /// 0 where it is none that can be seen from here.
    session: i32,
    /// Clock ticks since boot.
    start_time: u64,
}

// === impl Stat ===

impl Stat {
    fn read(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program stands in parentheses and may hold any of them, and blanks.
        let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
        let zombie = fields.next()? == "Z";
        let parent = Pid::from_raw(fields.next()?.parse().ok()?);
        let session = fields.nth(1)?.parse().ok()?;
        let start_time = fields.nth(15)?.parse().ok()?;
        Some(Self {
            zombie,
            parent,
            session,
            start_time,
        })
    }
}

// === impl Watched ===

impl Watched {
    /// The first process of a PID namespace; `None` where it is gone, or its id is a stranger's by now.
    pub(super) fn of_namespace(pid: Pid) -> Option<Self> {
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let ids = status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        (ids.len() > 1 && ids.last() == Some(&"1")).then_some(Self { pid, handle })
    }

    /// Its id; a stranger's once it ended.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for its end. That of a PID namespace's first process comes once all others in it are gone.
    ///
    /// # Errors
    /// It was still there at the deadline.
    pub(super) async fn ended(&self, deadline: Instant) -> Result<(), Pid> {
        loop {
            let mut wanted = [PollFd::new(&self.handle, PollFlags::IN)];
            match poll(&mut wanted, Some(&rustix::event::Timespec::default())) {
                Ok(1..) => return Ok(()),
                Ok(0) | Err(_) if Instant::now() >= deadline => return Err(self.pid),
                Ok(0) | Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }
}

/// Starts a keeper and remembers it. From the first one on this process adopts what a killed keeper leaves behind.
pub(super) fn start_keeper<T>(
    start: impl FnOnce() -> io::Result<T>,
    pid_of: impl FnOnce(&T) -> Option<Pid>,
) -> io::Result<T> {
    adopt_orphans()?;
    // Held over the start: a look at our children must not take a keeper for an orphan.
    let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
    let started = start()?;
    if let Some(pid) = pid_of(&started)
        && let Some(stat) = Stat::read(pid)
    {
        if keepers.len() >= KEEPERS_MAX {
            keepers.retain(is_same);
        }
        keepers.push((pid, stat.start_time));
    }
    Ok(started)
}

fn is_same((pid, start_time): &(Pid, u64)) -> bool {
    Stat::read(*pid).is_some_and(|stat| stat.start_time == *start_time)
}

/// Kills what killed keepers have left to this process, with all below it, until there is none, and reaps it. All that a
/// keeper starts is in another session than this process, and can't join this one's; nothing else that this process
/// starts is.
///
/// # Errors
/// What was left at the deadline.
pub(super) async fn end_orphans(deadline: Instant) -> Result<(), Vec<Pid>> {
    let mut empty_looks = 0;
    loop {
        let left = orphans();
        if left.is_empty() {
            empty_looks += 1;
            if empty_looks >= EMPTY_LOOKS {
                return Ok(());
            }
            continue;
        }
        if Instant::now() >= deadline {
            return Err(left);
        }
        empty_looks = 0;
        let parent = getpid();
        for pid in left {
            kill(Descendant { pid, parent });
            below(pid).into_iter().for_each(kill);
            // What this finds ended is gone for good; `Process` reaps keepers itself.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether a killed keeper left anything to this process.
pub(super) fn has_orphans() -> bool {
    !orphans().is_empty()
}

/// Children of this process that killed keepers left to it, zombies included.
fn orphans() -> Vec<Pid> {
    let keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
    // Not by `getsid`: in a container whose shell was started from outside, this process's session is 0, which is no
    // process, and `Pid` can't hold it.
    let own = Stat::read(getpid()).map(|stat| stat.session);
    let is_orphan = |pid: &Pid| {
        Stat::read(*pid).is_some_and(|stat| {
            Some(stat.session) != own && !keepers.contains(&(*pid, stat.start_time))
        })
    };
    children(getpid()).into_iter().filter(is_orphan).collect()
}

/// Processes that run now, those with the highest ids first: a process that forks and ends all the time is met only
/// where little time passes between the list and the look.
fn everyone() -> impl Iterator<Item = Pid> {
    let mut pids: Vec<Pid> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect();
    pids.sort_unstable_by_key(|pid| std::cmp::Reverse(pid.as_raw_pid()));
    pids.into_iter()
}

/// From now on what loses its parent below this process becomes this process's child.
pub(super) fn adopt_orphans() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Children of a process, zombies included, in the order in which they became its children.
pub(super) fn children(parent: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return vec![];
    };
    let mut children = vec![];
    for thread in threads.flatten() {
        let path = thread.path().join("children");
        match fs::read_to_string(&path) {
            Ok(list) => {
                let pids = list.split_ascii_whitespace();
                children.extend(pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
            }
            // The thread is gone.
            Err(_) if !thread.path().exists() => {}
            // A kernel that keeps no such lists.
            Err(_) => {
                return everyone()
                    .filter(|pid| Stat::read(*pid).is_some_and(|stat| stat.parent == Some(parent)))
                    .collect();
            }
        }
    }
    children
}

/// Every live process below `root`. It is a snapshot: what forks meanwhile may be missing.
pub(super) fn below(root: Pid) -> Vec<Descendant> {
    let mut found: Vec<Descendant> = vec![];
    let mut seen = HashSet::from([root]);
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for pid in children(parent) {
            if seen.insert(pid) {
                open.push(pid);
                found.push(Descendant { pid, parent });
            }
        }
    }
    found.retain(|one| Stat::read(one.pid).is_some_and(|stat| !stat.zombie));
    found
}

/// The child that `parent` has had for the longest time.
pub(super) fn eldest_child(parent: Pid) -> Option<Pid> {
    children(parent)
        .into_iter()
        .filter_map(|pid| Some((Stat::read(pid)?.start_time, pid)))
        .min_by_key(|(start_time, _)| *start_time)
        .map(|(_, pid)| pid)
}

/// Kills a descendant unless its id belongs to somebody else by now.
pub(super) fn kill(descendant: Descendant) {
    let Ok(handle) = pidfd_open(descendant.pid, PidfdFlags::empty()) else {
        return;
    };
    if Stat::read(descendant.pid).is_some_and(|stat| stat.parent == Some(descendant.parent)) {
        // It may be gone or belong to another user; whoever asks looks again.
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}

/// One round of killing all below `root`, the agent among them. Parents before their children, on sight: what forks
/// meanwhile is met in the next round.
pub(super) fn kill_below(root: Pid, _agent: Pid) {
    let parent = root;
    // Its own children at once: one of them may be a new process at every moment.
    for pid in children(root) {
        kill(Descendant { pid, parent });
    }
    below(root).into_iter().for_each(kill);
}

/// Kills all below `root` but `keep`, until there is none left.
///
/// # Errors
/// What was left at the deadline.
pub(super) async fn end_below(root: Pid, keep: &[Pid], deadline: Instant) -> Result<(), Vec<Pid>> {
    let mut empty_looks = 0;
    loop {
        let mut left = below(root);
        left.retain(|one| !keep.contains(&one.pid));
        if left.is_empty() {
            empty_looks += 1;
            if empty_looks >= EMPTY_LOOKS {
                return Ok(());
            }
            // At once: these looks are cheap, and every cancelled turn waits for them.
            continue;
        }
        if Instant::now() >= deadline {
            return Err(left.into_iter().map(|one| one.pid).collect());
        }
        empty_looks = 0;
        left.into_iter().for_each(kill);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Ends every process whose environment or command line holds `variable=value`, and waits for it. Returns how many there were.
///
/// It can't find what cleared its environment or runs as another user.
///
/// # Errors
/// What was left at the deadline.
pub(super) async fn sweep(
    variable: &str,
    value: &str,
    deadline: Instant,
) -> Result<usize, Vec<Pid>> {
    let entry = format!("{variable}={value}").into_bytes();
    let patience = Instant::now() + KEEPER_PATIENCE;
    let ourselves = ancestors();
    let is_left = |pid: Pid| !ourselves.contains(&pid) && is_marked(pid, &entry);
    let may_kill = |pid: Pid| Instant::now() >= patience || !is_keeper(pid);
    end_all(is_left, may_kill, deadline).await
}

/// Ends every process that has a user id of this range and no keeper above it, and waits for it. Returns how many there
/// were. Those under a keeper are that keeper's to end, and may be another gateway's.
///
/// # Errors
/// What was left at the deadline.
pub(super) async fn sweep_users(range: UserRange, deadline: Instant) -> Result<usize, Vec<Pid>> {
    let is_left = |pid: Pid| user_of(pid).is_some_and(|user| range.holds(user)) && !has_keeper(pid);
    end_all(is_left, |_| true, deadline).await
}

/// Kills every process that is left, as far as it may be killed, and waits for them. Returns how many there were.
///
/// # Errors
/// What was left at the deadline.
async fn end_all(
    is_left: impl Fn(Pid) -> bool,
    may_kill: impl Fn(Pid) -> bool,
    deadline: Instant,
) -> Result<usize, Vec<Pid>> {
    let mut found = HashSet::new();
    let mut empty_looks = 0;
    loop {
        let mut left = vec![];
        for pid in everyone().filter(|pid| is_left(*pid)) {
            let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
                continue;
            };
            // Its id may have been another's until now.
            if !is_left(pid) || Stat::read(pid).is_none_or(|stat| stat.zombie) {
                continue;
            }
            found.insert(pid);
            left.push(pid);
            if may_kill(pid) {
                let _ = pidfd_send_signal(&handle, Signal::KILL);
            }
        }
        if left.is_empty() {
            empty_looks += 1;
            let needed = if found.is_empty() {
                EMPTY_LOOKS_AT_FIRST
            } else {
                EMPTY_LOOKS
            };
            if empty_looks >= needed {
                return Ok(found.len());
            }
        } else if Instant::now() >= deadline {
            return Err(left);
        } else {
            empty_looks = 0;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The real user id of a process.
fn user_of(pid: Pid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().next()?.parse().ok()
}

/// Whether a keeper stands above a process: one of this process's own user, which no agent is.
fn has_keeper(pid: Pid) -> bool {
    let own = rustix::process::getuid().as_raw();
    let above = std::iter::successors(Some(pid), |pid| Stat::read(*pid)?.parent);
    above
        .skip(1)
        .take(ANCESTORS_MAX)
        .any(|pid| is_keeper(pid) && user_of(pid) == Some(own))
}

/// This process and all above it: a gateway that an agent of an older one started must not end itself.
fn ancestors() -> HashSet<Pid> {
    let mut all = HashSet::new();
    let mut next = Some(rustix::process::getpid());
    while let Some(pid) = next.filter(|pid| all.insert(*pid)) {
        next = Stat::read(pid).and_then(|stat| stat.parent);
    }
    all
}

/// Keepers, and the first processes of namespaces, let nobody read their environment; they have the mark as an argument.
fn is_marked(pid: Pid, entry: &[u8]) -> bool {
    ["environ", "cmdline"].iter().any(|file| {
        fs::read(format!("/proc/{pid}/{file}"))
            .is_ok_and(|text| text.split(|byte| *byte == 0).any(|one| one == entry))
    })
}

fn is_keeper(pid: Pid) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
        let mut arguments = line.split(|byte| *byte == 0);
        arguments.nth(1) == Some(super::keeper::SUBCOMMAND.as_bytes())
    })
}

/// Process ids with the names of their programs, for people.
pub(super) fn describe(pids: &[Pid]) -> String {
    let one = |pid: &Pid| {
        let path = format!("/proc/{pid}/comm");
        let name = fs::read_to_string(path).unwrap_or_default();
        format!("{pid} ({})", name.trim_end())
    };
    pids.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Cancels the token once `pid` is gone. The caller must know it to be the right process after this call.
///
/// A thread of its own, since the runtime's way to wait for a descriptor is unsafe code.
pub(super) fn watch(pid: Pid) -> io::Result<CancellationToken> {
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    let gone = CancellationToken::new();
    let tell = gone.clone();
    std::thread::Builder::new()
        .name("watch".into())
        .spawn(move || {
            let mut wanted = [PollFd::new(&handle, PollFlags::IN)];
            while matches!(poll(&mut wanted, None), Ok(0) | Err(Errno::INTR)) {}
            // A watch that fails counts as gone: better no agent than one that nobody watches.
            tell.cancel();
        })?;
    Ok(gone)
}
