//! What this machine offers to keep agents apart, and what of it each agent gets.

use crate::{
    agent::{
        isolation::{
            Confinement, Isolation, Rung,
            probe::{Choice, probe},
        },
        process::ProcessHost,
    },
    config::{AgentConfig, Config, DriverKind, IsolationWanted, SocketPath},
    telemetry::metrics,
};
use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tracing::{info, warn};

/// What was found when the server started.
pub(super) struct Found {
    /// What agents get that are not configured to have less.
    pub(super) server: Isolation,
    /// How the processes of each agent that has some are kept.
    pub(super) agents: BTreeMap<String, Confinement>,
}

/// Tries what is configured. To be called under the data directory's lock, before an agent is started.
///
/// # Errors
/// What was named can't be had.
pub(super) async fn find(config: &Config, host: &ProcessHost) -> anyhow::Result<Found> {
    let directory = &config.data_dir;
    let server = probe(host, choice(config.isolation), directory)
        .await
        .context("isolation")?;
    let mut agents = BTreeMap::new();
    for (name, agent) in &config.agents {
        match agent.driver {
            DriverKind::Echo => continue,
            DriverKind::Pi => {}
        }
        let own = match choice(agent.isolation) {
            Choice::Auto => server.clone(),
            Choice::Exactly(rung) if rung == server.rung => server.clone(),
            // A lesser one is not there because a greater one is.
            less => probe(host, less, directory)
                .await
                .with_context(|| format!("agents.{name}.isolation"))?,
        };
        agents.insert(name.clone(), confinement(config, agent, &own)?);
    }
    tell(&server);
    Ok(Found { server, agents })
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
        tenants_share: config.tenants_share_agents_user,
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
    let resolve = |path: PathBuf| fs::canonicalize(&path).ok();
    files.into_iter().flatten().filter_map(resolve).collect()
}

/// The directory as agents are shown it: no part of it is a link.
pub(super) fn real(directory: &Path) -> anyhow::Result<PathBuf> {
    fs::canonicalize(directory).with_context(|| format!("can't resolve {}", directory.display()))
}
