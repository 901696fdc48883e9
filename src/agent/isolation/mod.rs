//! What keeps an agent's processes away from the server, from other sessions and from each other.
//!
//! There are three rungs, best first; [`Rung`] says what each promises. Which one a machine offers is found out by
//! trying it when the server starts, and is told as [`Isolation`]. How a driver's processes are to be kept is a
//! [`Confinement`] (the same for all processes of an agent) and a [`Visible`] (of one process).

pub(super) mod exec;
#[cfg(target_os = "linux")]
pub(super) mod init;
#[cfg(target_os = "linux")]
mod landlock;
mod layout;
#[cfg(target_os = "linux")]
mod mounts;
pub(super) mod plan;
pub mod probe;
pub mod program;
#[cfg(target_os = "linux")]
pub(super) mod rights;
#[cfg(target_os = "linux")]
mod seccomp;
#[cfg(target_os = "linux")]
pub(super) mod stage;
pub mod users;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Space in a process's own `/tmp` where nothing else is configured.
pub const TMP_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// How far an agent's processes are kept apart. A greater one promises more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rung {
    /// Not at all: a process can do what the server's user can do.
    #[default]
    None,
    /// It can't open other files, reach other processes or unix sockets; it sees that other processes are there.
    Landlock,
    /// It sees its own directories, the system's programs and the network, and no other process. Its end is the end of
    /// a PID namespace, so nothing of it can be left.
    Namespace,
}

/// Whose user id an agent's processes have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentUser {
    /// Another one than the server.
    Own,
    /// The server's.
    #[default]
    Shared,
}

/// What `/proc` shows to an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcView {
    /// Its own processes.
    Own,
    /// All of the machine, though it has a PID namespace of its own: `/proc` is partly covered here, as containers do, so
    /// no other one can be mounted.
    Shared,
    /// All of the machine.
    #[default]
    Host,
}

/// What proves that nothing of an agent is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KillProof {
    /// The kernel's end of its PID namespace.
    PidNamespace,
    /// The keeper, or after it the server, has no descendant of it left.
    Subreaper,
    /// Nothing: only its process group is ended.
    #[default]
    None,
}

/// What was found when the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// What agents get that ask for nothing less.
    pub rung: Rung,
    /// Whose user id they have.
    pub user: AgentUser,
    /// What `/proc` shows to them.
    pub proc: ProcView,
    /// Whether they can connect to abstract unix sockets of others.
    pub abstract_sockets: bool,
    /// Version of the kernel's Landlock interface; 0 where there is none.
    pub landlock_abi: i32,
    /// What proves their end.
    pub kill_proof: KillProof,
    /// Why it is no better rung; empty for the best. Names the step and the error, and what to do.
    pub reason: String,
}

/// How all processes of one agent are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// The rung.
    pub rung: Rung,
    /// What `/proc` shows; [`ProcView::Host`] below [`Rung::Namespace`].
    pub proc: ProcView,
    /// Files and directories that each process may read, besides the system's.
    pub read: Vec<PathBuf>,
    /// Files and directories that no process may see, though they lie in a directory that it may read.
    pub hidden: Vec<PathBuf>,
    /// Space in a process's own `/tmp` and `/dev/shm`, each, in bytes; [`Rung::Namespace`] only.
    pub tmp_max_bytes: u64,
    /// Ports that its processes may connect to by TCP; `None` is all.
    pub ports: Option<Vec<u16>>,
    /// Whether each owner's processes have a user id of their own, beside the server's; see [`users`].
    pub own_users: bool,
    /// Lets its processes serve every tenant on [`Rung::None`] too.
    pub tenants_share: bool,
    /// Whoever connects to the gateway may do everything, and that are all its processes, whatever their rung.
    pub open_gateway: bool,
}

/// What one process may see besides the system and what its agent's [`Confinement`] says. On [`Rung::None`] it is not
/// bounded by this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visible {
    /// Files and directories that it may read. One of them may lie in a directory of `write`; then it stays read-only.
    /// What is not there is passed over.
    pub read: Vec<PathBuf>,
    /// Files and directories that it may change. They must be there, and no part of their paths may be a symbolic link.
    pub write: Vec<PathBuf>,
}

// === impl Rung ===

impl Rung {
    /// Its word in the configuration, in replies and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Landlock => "landlock",
            Self::None => "none",
        }
    }
}

// === impl AgentUser ===

impl AgentUser {
    /// Its word in replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Shared => "shared",
        }
    }
}

// === impl ProcView ===

impl ProcView {
    /// Its word in replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Shared => "shared",
            Self::Host => "host",
        }
    }
}

// === impl KillProof ===

impl KillProof {
    /// Its words in replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PidNamespace => "pid namespace",
            Self::Subreaper => "subreaper",
            Self::None => "none",
        }
    }
}

// === impl Confinement ===

impl Default for Confinement {
    fn default() -> Self {
        Self {
            rung: Rung::None,
            proc: ProcView::Host,
            read: vec![],
            hidden: vec![],
            tmp_max_bytes: TMP_MAX_BYTES,
            ports: None,
            own_users: false,
            tenants_share: false,
            open_gateway: false,
        }
    }
}

impl Confinement {
    /// Whose user id the processes have.
    pub const fn user(&self) -> AgentUser {
        if self.own_users {
            AgentUser::Own
        } else {
            AgentUser::Shared
        }
    }

    /// What they can reach on the network, in the words of replies.
    pub fn network(&self) -> String {
        match &self.ports {
            None => "open".into(),
            Some(ports) => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                format!("tcp {}", ports.join(", "))
            }
        }
    }

    /// Whether only the operator's tenant may be served: nothing would keep others' agents from each other.
    pub const fn operator_only(&self) -> bool {
        if self.open_gateway {
            return true;
        }
        match self.rung {
            Rung::None => !self.tenants_share,
            Rung::Landlock | Rung::Namespace => false,
        }
    }
}
