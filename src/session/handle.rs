//! What the registry and a session's actor share, and where a session's agents keep their files.

use super::{
    commands::KnownCommands,
    recall::Recall,
    users::{AgentUsers, settle},
};
use crate::{
    agent::Driver,
    agent::submit::Submissions,
    auth::agents::AgentCredentials,
    beneath::Directory,
    domain::{agent::KnownAgent, ids::SessionRow},
    feed::Feed,
    store::Store,
    workers::hub::{Hub, Selector},
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// How far the gateway is on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// It serves.
    No,
    /// Running turns may end by themselves; no new one starts.
    Waiting,
    /// The window is over: what runs is interrupted.
    Over,
}

/// What every actor works with.
pub struct Workshop {
    /// The rows.
    pub store: Arc<dyn Store>,
    /// Where deltas go.
    pub feed: Arc<Feed>,
    /// Every configured agent.
    pub drivers: BTreeMap<String, Arc<dyn Driver>>,
    /// What is known of them, by name.
    pub known_agents: Arc<BTreeMap<String, KnownAgent>>,
    /// What agents are given of memory.
    pub recall: Recall,
    /// Where agents keep their files.
    pub directories: Directories,
    /// Where sessions may work; looked at each time an agent is opened.
    pub cwd_roots: Arc<CwdRoots>,
    /// What agents call the gateway with; `None` where it has nothing for them.
    pub agent_credentials: Option<Arc<AgentCredentials>>,
    /// Turns that wait for an output of their agents.
    pub submissions: Arc<Submissions>,
    /// What agents told of their commands.
    pub commands: Arc<KnownCommands>,
    /// The workers that are connected.
    pub workers: Arc<Hub>,
    /// The agents that run on workers.
    pub worker_agents: BTreeMap<String, Selector>,
    /// How long an agent may be idle.
    pub agent_idle_timeout: Duration,
    /// How far the gateway is on its way down.
    pub drain: watch::Receiver<Drain>,
}

/// Every configured agent, with the directories, resolved, below which its sessions may work.
#[derive(Clone, Debug, Default)]
pub struct CwdRoots(pub BTreeMap<String, Vec<PathBuf>>);

/// Where agents keep their files, below the data directory, and as which users.
#[derive(Clone, Debug)]
pub struct Directories {
    root: PathBuf,
    users: Option<Arc<AgentUsers>>,
}

/// Directories of one session's agent. All exist.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Where it works unless the session names a directory.
    pub work: PathBuf,
    /// What it keeps of the session.
    pub session: PathBuf,
    /// What the server lays out for it; it only reads there.
    pub gateway: PathBuf,
    /// Its home.
    pub home: PathBuf,
    /// Its temporary directory; empty.
    pub temporary: PathBuf,
    /// What it shares with other sessions of the same owner and agent.
    pub owner: PathBuf,
    /// User id that its processes are to have, and that owns all of these; `None` is the server's.
    pub user: Option<u32>,
}

/// A name of which nobody chooses a letter.
fn hashed(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest[..16].iter().map(|b| format!("{b:02x}")).collect()
}

/// Name of the directory in which a session's agent keeps what it has of the session.
const AGENT: &str = "agent";
/// Name of the directory that a session works in which names none.
const WORK: &str = "work";
/// Name of a session's temporary directory.
const TEMPORARY: &str = "tmp";

/// What the registry holds of an actor.
#[derive(Debug)]
pub struct Handle {
    /// Tenant of the session.
    pub tenant: String,
    /// Something that concerns the actor has changed.
    pub nudge: Notify,
    granted: AtomicBool,
    close: AtomicBool,
    reload: AtomicBool,
    idle_since: Mutex<Option<Instant>>,
}

/// What an actor tells the registry.
#[derive(Debug)]
pub struct Done {
    /// Its session.
    pub session: SessionRow,
    /// How the grant was used.
    pub used: Used,
}

/// How a grant was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// As it should.
    Well,
    /// The store did not answer: the session must be looked at again.
    NotYet,
}

// === impl CwdRoots ===

impl CwdRoots {
    /// Whether an agent may work in a directory, which is resolved. One that is not configured may nowhere.
    pub fn hold(&self, agent: &str, directory: &Path) -> bool {
        let roots = self.0.get(agent);
        roots.is_some_and(|roots| roots.iter().any(|root| directory.starts_with(root)))
    }
}

// === impl Directories ===

impl Directories {
    /// Names of what stands below the data directory.
    pub const BELOW: [&str; 4] = ["sessions", "tenants", "users", "snapshots"];

    /// All below `data_directory`; the server's user runs every agent but those for which `users` has others.
    pub fn new(data_directory: &Path, users: Option<AgentUsers>) -> Self {
        Self {
            root: data_directory.to_owned(),
            users: users.map(Arc::new),
        }
    }

    /// Makes the directories of an agent that is about to start, with an empty temporary one. Blocks.
    ///
    /// # Errors
    /// What the system says; a symbolic link that stands where one of them belongs is not followed.
    pub fn prepare(
        &self,
        uid: Uuid,
        tenant: &str,
        owner: &str,
        agent: &str,
    ) -> io::Result<Prepared> {
        let root = Directory::open(&self.root)?;
        let session = Self::session(uid);
        let shared = Self::owner(tenant, owner).join(hashed(agent));
        let user = match &self.users {
            Some(users) if users.agents.contains(agent) => {
                Some(users.of(&root, &Self::owner(tenant, owner))?)
            }
            Some(_) | None => None,
        };
        root.remove_tree(&session.join(TEMPORARY))?;
        settle(&root, &session, user)?;
        settle(&root, &shared, user)?;
        let make = |path: PathBuf| root.make(&path).map(|_| self.root.join(path));
        Ok(Prepared {
            work: make(session.join(WORK))?,
            session: make(session.join(AGENT))?,
            gateway: make(session.join("gateway"))?,
            home: make(session.join("home"))?,
            temporary: make(session.join(TEMPORARY))?,
            owner: make(shared)?,
            user,
        })
    }

    /// Where a session's agent keeps what it has of the session; made where it is not there. Blocks.
    ///
    /// # Errors
    /// What the system says; a symbolic link that stands where it belongs is not followed.
    pub fn agents_own(&self, uid: Uuid) -> io::Result<PathBuf> {
        let path = Self::session(uid).join(AGENT);
        Directory::open(&self.root)?.make(&path)?;
        Ok(self.root.join(path))
    }

    /// The directory that a session works in which names none. Blocks.
    ///
    /// # Errors
    /// What the system says: `NotFound` before its first turn.
    pub fn open_work(&self, uid: Uuid) -> io::Result<Directory> {
        Directory::open(&self.root)?.at(&Self::session(uid).join(WORK))
    }

    /// Removes all files of one session, whose agents have ended. Blocks.
    ///
    /// # Errors
    /// What the system says; what was not removed is still there.
    pub fn remove(&self, uid: Uuid) -> io::Result<()> {
        let root = self.open_root()?;
        root.remove_tree(&Self::session(uid))?;
        root.remove_tree(&Self::snapshots(uid))
    }

    /// The data directory.
    pub(super) fn open_root(&self) -> io::Result<Directory> {
        Directory::open(&self.root)
    }

    /// All files of one session, below the root.
    fn session(uid: Uuid) -> PathBuf {
        Path::new(Self::BELOW[0]).join(uid.to_string())
    }

    /// What belongs to all agents of one principal, below the root.
    fn owner(tenant: &str, owner: &str) -> PathBuf {
        Path::new(Self::BELOW[1])
            .join(hashed(tenant))
            .join(hashed(owner))
    }
}

// === impl Handle ===

impl Handle {
    /// A handle of an actor that is about to start.
    pub fn new(tenant: String) -> Self {
        Self {
            tenant,
            nudge: Notify::new(),
            granted: AtomicBool::new(false),
            close: AtomicBool::new(false),
            reload: AtomicBool::new(false),
            idle_since: Mutex::new(None),
        }
    }

    /// Lets the actor run one turn (or finish a Delete).
    pub fn grant(&self) {
        self.granted.store(true, Ordering::SeqCst);
        self.nudge.notify_one();
    }

    /// Takes the grant.
    pub fn take_grant(&self) -> bool {
        self.granted.swap(false, Ordering::SeqCst)
    }

    /// Asks the actor to end where it is idle.
    pub fn ask_to_close(&self) {
        self.close.store(true, Ordering::SeqCst);
        self.nudge.notify_one();
    }

    /// Whether it was asked to end.
    pub fn should_close(&self) -> bool {
        self.close.load(Ordering::SeqCst)
    }

    /// Asks the actor to end its agent before the next turn, and at once where it is idle.
    pub fn ask_to_reload(&self) {
        self.reload.store(true, Ordering::SeqCst);
        self.nudge.notify_one();
    }

    /// Takes that wish.
    pub fn take_reload(&self) -> bool {
        self.reload.swap(false, Ordering::SeqCst)
    }

    /// Notes since when the actor is idle; `None` while it works.
    pub fn set_idle(&self, since: Option<Instant>) {
        *self.idle_since.lock().expect("no holder panics") = since;
    }

    /// Since when the actor is idle.
    pub fn idle_since(&self) -> Option<Instant> {
        *self.idle_since.lock().expect("no holder panics")
    }
}
