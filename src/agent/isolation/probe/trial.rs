//! One try: a process that is kept as agents are, and what it must not reach.

use super::{
    super::{Confinement, ProcView, Rung, Visible},
    inside::{self, Seen, Targets},
};
use crate::agent::process::{Line, Process, ProcessHost, ProcessSpec};
use std::{
    fs, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{PermissionsExt as _, chown},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;
use uuid::Uuid;

/// Time that a try may take, a busy machine's included.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// The bits of a mode that let all others pass.
const PASSABLE: u32 = 0o011;

/// What a trial's process may not reach, and the directory where it runs. Gone with it.
struct Stage {
    directory: PathBuf,
    targets: Targets,
    _sockets: [UnixListener; 2],
}

/// Tries a rung. The answer keeps what the rung promises, as far as one process can see it.
pub(super) async fn run(
    host: &ProcessHost,
    rung: Rung,
    proc: ProcView,
    user: Option<u32>,
    directory: &Path,
) -> Result<Seen, String> {
    let stage = Stage::new(directory, rung, user)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let program = fs::canonicalize(&host.keeper).unwrap_or_else(|_| host.keeper.clone());
    let host = ProcessHost {
        confinement: Confinement {
            rung,
            proc,
            read: vec![program.clone()],
            ..Confinement::default()
        },
        ..host.clone()
    };
    let spec = ProcessSpec {
        program: program.into(),
        arguments: vec![
            inside::SUBCOMMAND.into(),
            serde_json::to_string(&stage.targets)
                .map_err(|error| error.to_string())?
                .into(),
        ],
        working_directory: stage.work(),
        visible: Visible {
            write: vec![stage.work()],
            ..Visible::default()
        },
        user,
        ..ProcessSpec::default()
    };
    let mut process = Process::spawn(&host, spec).map_err(|error| error.to_string())?;
    let line = timeout(TRIAL_TIMEOUT, process.next_line()).await;
    let ended = process.stop(Duration::ZERO).await;
    let exit = ended.map_err(|failed| failed.to_string())?;
    let Ok(Some(Line::Text(line))) = line else {
        let said = exit.stderr_tail.replace("quarterdeck keeper: ", "");
        return Err(match said.trim() {
            "" => format!("it did not answer ({})", exit.status),
            said => said.lines().collect::<Vec<_>>().join(", "),
        });
    };
    let seen: Seen = serde_json::from_slice(&line).map_err(|error| error.to_string())?;
    seen.judge(rung, proc).map(|()| seen)
}

// === impl Stage ===

impl Stage {
    fn new(directory: &Path, rung: Rung, user: Option<u32>) -> io::Result<Self> {
        let directory = fs::canonicalize(directory)?;
        if user.is_some() && rung == Rung::Landlock {
            // Agents see their directories where they are. What lies beside them has modes of its own.
            let mode = fs::metadata(&directory)?.permissions().mode();
            fs::set_permissions(&directory, fs::Permissions::from_mode(mode | PASSABLE))?;
        }
        let directory = directory.join(format!("probe-{}", Uuid::new_v4()));
        fs::create_dir(&directory)?;
        let made = Self::fill(&directory, user);
        if made.is_err() {
            let _ = fs::remove_dir_all(&directory);
        }
        made
    }

    fn fill(directory: &Path, user: Option<u32>) -> io::Result<Self> {
        let work = directory.join("work");
        fs::create_dir(&work)?;
        if let Some(user) = user {
            // As the directories of agents are.
            fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
            chown(&work, Some(user), Some(user))?;
        }
        let file = directory.join("file");
        fs::write(&file, "not for agents")?;
        let socket = directory.join("socket");
        let abstract_name = format!("quarterdeck-probe-{}", Uuid::new_v4());
        let sockets = [
            UnixListener::bind(&socket)?,
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?)?,
        ];
        Ok(Self {
            directory: directory.to_owned(),
            targets: Targets {
                file,
                socket,
                abstract_name,
                server: std::process::id(),
                user: user.unwrap_or_else(|| rustix::process::geteuid().as_raw()),
            },
            _sockets: sockets,
        })
    }

    fn work(&self) -> PathBuf {
        self.directory.join("work")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            let directory = self.directory.display();
            tracing::warn!(%error, %directory, "what the probe left can't be removed");
        }
    }
}
