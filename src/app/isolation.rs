//! What this machine offers to keep agents apart, and what of it each agent gets.

use super::{llm, program_places};
use crate::{
    agent::{
        isolation::{
            AgentUser, Confinement, Isolation, Rung,
            probe::{Choice, OwnUser, probe},
            program,
            users::{USUAL, UserRange},
        },
        process::ProcessHost,
    },
    config::{
        AgentConfig, AgentUids, Config, DriverKind, IsolationWanted, NetworkWanted, SocketPath,
    },
    telemetry::metrics,
};
use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::SetOnce;
use tracing::{info, warn};

/// What was found when the server started.
pub(super) struct Found {
    /// What agents get that are not configured to have less. Where there is no agent that it matters to, it is not known
    /// yet: nobody's start waits for the trial.
    pub(super) server: Arc<SetOnce<Isolation>>,
    /// How the processes of each agent that has some are kept.
    pub(super) agents: BTreeMap<String, Confinement>,
    /// The user ids of those that have their own.
    pub(super) users: Option<UserRange>,
}

/// Version of the kernel's Landlock interface that knows ports.
const PORTS_ABI: i32 = 4;

/// What is tried once for all agents that want the same.
type Tried = (Choice, OwnUser);

/// Tries what is configured; `door` is the port at which agents call this server. To be called under the data directory's lock, before an agent is started.
///
/// # Errors
/// What was named can't be had.
pub(super) async fn find(
    config: &Config,
    host: &ProcessHost,
    door: Option<u16>,
) -> anyhow::Result<Found> {
    let (users, no_users) = users(config)?;
    let user = own_user(config, users);
    let has_processes = |agent: &AgentConfig| match agent.driver {
        DriverKind::Echo | DriverKind::Worker => false,
        DriverKind::Llm => llm::starts_programs(config, agent),
        DriverKind::Pi | DriverKind::Acp => true,
    };
    if config.isolation == IsolationWanted::Auto && !config.agents.values().any(has_processes) {
        return Ok(Found {
            server: find_later(config.clone(), host.clone(), user, no_users),
            agents: BTreeMap::new(),
            users: None,
        });
    }
    let mut tried: Vec<(Tried, Isolation)> = vec![];
    let server = find_once(config, host, (choice(config.isolation), user), &mut tried)
        .await
        .context("isolation")?;
    let server = with_problem(server, no_users);
    let mut agents = BTreeMap::new();
    for (name, agent) in &config.agents {
        if !has_processes(agent) {
            continue;
        }
        let choice = match choice(agent.isolation) {
            Choice::Auto => Choice::Exactly(server.rung),
            named => named,
        };
        let user = match (user, needs_root(config, agent, server.rung)) {
            (OwnUser::IfPossible(_), Some(why)) => {
                warn!(
                    agent = name,
                    "its processes run as root, like the server: {why}"
                );
                OwnUser::No
            }
            (user, _) => user,
        };
        let own = find_once(config, host, (choice, user), &mut tried)
            .await
            .with_context(|| format!("agents.{name}.isolation"))?;
        let ports = ports(agent, &own, door).with_context(|| format!("agents.{name}.network"))?;
        let confinement = Confinement {
            ports,
            ..confinement(config, agent, &own)?
        };
        agents.insert(name.clone(), confinement);
    }
    tell(&server);
    let has_own = agents.values().any(|one: &Confinement| one.own_users);
    Ok(Found {
        server: Arc::new(SetOnce::from(server)),
        agents,
        users: users.filter(|_| has_own),
    })
}

/// Tries what the machine offers while the server begins to serve.
fn find_later(
    config: Config,
    host: ProcessHost,
    user: OwnUser,
    no_users: Option<String>,
) -> Arc<SetOnce<Isolation>> {
    let found = Arc::new(SetOnce::new());
    let told = Arc::clone(&found);
    tokio::spawn(async move {
        let server = match probe(&host, Choice::Auto, user, &config.data_dir).await {
            Ok(server) => with_problem(server, no_users),
            Err(problem) => Isolation {
                reason: problem.to_string(),
                ..Isolation::default()
            },
        };
        tell(&server);
        // Nobody else tells.
        let _ = told.set(server);
    });
    found
}

/// Adds why agents have no user ids of their own.
fn with_problem(mut server: Isolation, no_users: Option<String>) -> Isolation {
    if let Some(problem) = no_users.filter(|_| server.rung != Rung::None) {
        server.reason = match server.reason.as_str() {
            "" => problem,
            reason => format!("{reason}; {problem}"),
        };
    }
    server
}

/// Why an agent could not do its work as another user than root, and what to do; for people.
fn needs_root(config: &Config, agent: &AgentConfig, rung: Rung) -> Option<String> {
    if !agent.cwd_roots.is_empty() {
        return Some(
            "it has cwd_roots, which another user could not write; run the server as an ordinary user, or name agent_uids \
             and make those directories writable for them"
                .into(),
        );
    }
    let mut places = program_places(config, agent);
    places.extend(config.isolation_read.iter().cloned());
    places.extend(agent.isolation_read.iter().cloned());
    let closed = program::closed_to_others(&places, rung)?;
    Some(format!(
        "{} is not for all users to read; let others read it, or run the server as an ordinary user",
        closed.display()
    ))
}

/// The ports that an agent may connect to; `None` is all.
fn ports(
    agent: &AgentConfig,
    isolation: &Isolation,
    door: Option<u16>,
) -> anyhow::Result<Option<Vec<u16>>> {
    let NetworkWanted::Ports(ports) = &agent.network else {
        return Ok(None);
    };
    anyhow::ensure!(
        isolation.rung != Rung::None && isolation.landlock_abi >= PORTS_ABI,
        "ports can be kept only where agents are isolated, by Linux 6.7 or newer with Landlock; make it \"open\", or \
         provide that"
    );
    Ok(Some(ports.iter().copied().chain(door).collect()))
}

async fn find_once(
    config: &Config,
    host: &ProcessHost,
    wanted: Tried,
    tried: &mut Vec<(Tried, Isolation)>,
) -> anyhow::Result<Isolation> {
    if let Some((_, found)) = tried.iter().find(|(one, _)| *one == wanted) {
        return Ok(found.clone());
    }
    let (choice, user) = wanted;
    let found = probe(host, choice, user, &config.data_dir).await?;
    // The same by its name.
    tried.push(((Choice::Exactly(found.rung), user), found.clone()));
    tried.push((wanted, found.clone()));
    Ok(found)
}

/// The range that agents' user ids are taken from, and why there is none where one would be better.
fn users(config: &Config) -> anyhow::Result<(Option<UserRange>, Option<String>)> {
    let root = rustix::process::geteuid().is_root() && cfg!(target_os = "linux");
    match config.agent_uids {
        AgentUids::Auto if root => Ok(match USUAL.taken() {
            None => (Some(USUAL), None),
            Some(whose) => {
                let problem = format!(
                    "agents have the server's user id: of {USUAL} some belong to {whose}; name another range in agent_uids"
                );
                warn!("{problem}");
                (None, Some(problem))
            }
        }),
        AgentUids::Auto | AgentUids::None => Ok((None, None)),
        AgentUids::Of(range) => {
            anyhow::ensure!(
                root,
                "agent_uids: only a server that runs as root, on Linux, can give agents other user ids; leave it out"
            );
            if let Some(whose) = range.taken() {
                anyhow::bail!("agent_uids: of {range} some belong to {whose}; name another range");
            }
            Ok((Some(range), None))
        }
    }
}

fn own_user(config: &Config, users: Option<UserRange>) -> OwnUser {
    match (users, config.agent_uids) {
        (Some(range), AgentUids::Of(_)) => OwnUser::Required(range.for_trials()),
        (Some(range), AgentUids::Auto | AgentUids::None) => OwnUser::IfPossible(range.for_trials()),
        (None, _) => OwnUser::No,
    }
}

fn choice(wanted: IsolationWanted) -> Choice {
    match wanted {
        IsolationWanted::Auto => Choice::Auto,
        IsolationWanted::Namespace => Choice::Exactly(Rung::Namespace),
        IsolationWanted::Landlock => Choice::Exactly(Rung::Landlock),
        IsolationWanted::None => Choice::Exactly(Rung::None),
    }
}

/// Once, when the server starts.
fn tell(isolation: &Isolation) {
    let Isolation {
        rung,
        user,
        proc,
        abstract_sockets,
        landlock_abi,
        kill_proof,
        reason,
    } = isolation;
    let (rung_name, user, proc) = (rung.name(), user.name(), proc.name());
    let kill_proof = kill_proof.name();
    metrics::isolation(rung_name);
    if *rung == Rung::None {
        warn!(
            reason,
            "agents are not isolated: each can do all that the server's user can do"
        );
    }
    info!(
        rung = rung_name,
        user, proc, abstract_sockets, landlock_abi, kill_proof, reason, "isolation of agents"
    );
}

fn confinement(
    config: &Config,
    agent: &AgentConfig,
    isolation: &Isolation,
) -> anyhow::Result<Confinement> {
    let mut read = vec![];
    for path in config.isolation_read.iter().chain(&agent.isolation_read) {
        let resolved = fs::canonicalize(path)
            .with_context(|| format!("isolation_read: {} can't be used", path.display()))?;
        read.push(resolved);
    }
    // Names are resolved by what this file, often a link out of /etc, says.
    read.extend(fs::canonicalize("/etc/resolv.conf"));
    Ok(Confinement {
        rung: isolation.rung,
        proc: isolation.proc,
        read,
        hidden: hidden(config),
        tmp_max_bytes: config.isolation_tmp_max_bytes.0,
        ports: None,
        own_users: isolation.user == AgentUser::Own,
        tenants_share: config.tenants_share_agents_user,
        open_gateway: config.no_auth,
    })
}

/// What is the server's alone, and may lie in a directory that agents may read.
fn hidden(config: &Config) -> Vec<PathBuf> {
    let socket = match &config.listen_unix {
        SocketPath::At(path) => Some(path.clone()),
        SocketPath::Auto | SocketPath::None => None,
    };
    let memory_key = Some(&config.memory_key_file).filter(|file| !file.is_empty());
    let files = [
        Some(config.data_dir.clone()),
        config.file.clone(),
        config.tls_key.clone(),
        memory_key.map(PathBuf::from),
        socket,
    ];
    let model_keys = config.agents.values().map(|agent| &agent.api_key_file);
    let model_keys = model_keys
        .filter(|file| !file.is_empty())
        .map(PathBuf::from);
    let resolve = |path: PathBuf| fs::canonicalize(&path).ok();
    files
        .into_iter()
        .flatten()
        .chain(model_keys)
        .filter_map(resolve)
        .collect()
}

/// The directory as agents are shown it: no part of it is a link.
pub(super) fn real(directory: &Path) -> anyhow::Result<PathBuf> {
    fs::canonicalize(directory).with_context(|| format!("can't resolve {}", directory.display()))
}
