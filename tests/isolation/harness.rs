//! Processes that are kept as agents are, on a rung of choice; and this test program again as another user.

use quarterdeck::agent::{
    isolation::{Confinement, ProcView, Rung, Visible},
    process::{Line, Process, ProcessHost, ProcessLimits, ProcessSpec},
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tokio::time::timeout;
use uuid::Uuid;

/// Everything is given up after this time.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The rungs, worst first.
pub const RUNGS: [Rung; 3] = [Rung::None, Rung::Landlock, Rung::Namespace];
/// User and group of the ordinary user.
pub const ORDINARY: &str = "12345";

/// A session's directories beside what no agent may see.
pub struct World {
    /// Gone with the world.
    directory: tempfile::TempDir,
    pub host: ProcessHost,
}

// === impl World ===

impl World {
    pub fn new(rung: Rung) -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").expect("a directory");
        for name in ["session", "data", "other"] {
            fs::create_dir(directory.path().join(name)).expect("it is new");
        }
        fs::write(directory.path().join("data/admin.key"), "a key").expect("written");
        fs::write(directory.path().join("other/secret"), "a secret").expect("written");
        let host = ProcessHost {
            keeper: PathBuf::from(env!("CARGO_BIN_EXE_quarterdeck")),
            node_mark: Uuid::new_v4().to_string(),
            confinement: Confinement {
                rung,
                proc: match rung {
                    Rung::Namespace => ProcView::Own,
                    Rung::Landlock | Rung::None => ProcView::Host,
                },
                hidden: vec![directory.path().join("data")],
                tmp_max_bytes: 64 << 20,
                ..Confinement::default()
            },
            fence: None,
        };
        Self { directory, host }
    }

    /// A path of this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a shell in the session's directory.
    pub fn shell(&self, script: &str) -> Process {
        self.start("/bin/sh", &["-c", script])
    }

    /// Starts a program in the session's directory.
    pub fn start(&self, program: &str, arguments: &[&str]) -> Process {
        self.start_as(program, arguments, ProcessLimits::default(), None)
    }

    /// The same with bounds, and as another user, whose the session's directory becomes.
    pub fn start_as(
        &self,
        program: &str,
        arguments: &[&str],
        limits: ProcessLimits,
        user: Option<u32>,
    ) -> Process {
        let session = self.path("session");
        if let Some(user) = user {
            let passable = fs::Permissions::from_mode(0o711);
            fs::set_permissions(self.path("."), passable).expect("ours");
            chown(&session, Some(user), Some(user)).expect("root may");
        }
        let spec = ProcessSpec {
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: vec![
                // Not what a person has put before the system's programs.
                ("PATH".into(), "/usr/bin:/bin".into()),
                ("HOME".into(), session.clone().into()),
                ("TMPDIR".into(), session.clone().into()),
            ],
            working_directory: session.clone(),
            visible: Visible {
                read: vec![fixtures()],
                write: vec![session],
            },
            limits,
            user,
        };
        Process::spawn(&self.host, spec).expect("it starts")
    }
}

pub fn fixtures() -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::canonicalize(fixtures).expect("they are there")
}

/// The next line, which must come.
pub async fn line(process: &mut Process) -> String {
    match timeout(DEADLINE, process.next_line()).await {
        Ok(Some(Line::Text(text))) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("no line but {other:?}: {}", process.stderr_tail()),
    }
}

/// Whether the tests run as root; then `again_as` can run them as another user.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// From here on this thread, and what it starts, gets this error for these system calls, by their numbers.
pub fn deny(error: u32, calls: &[i64]) {
    let calls = calls.iter().map(|call| (*call, vec![]));
    let filter = SeccompFilter::new(
        calls.collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(error),
        std::env::consts::ARCH.try_into().expect("it is known"),
    );
    let filter: BpfProgram = filter.and_then(TryInto::try_into).expect("it can be built");
    apply_filter(&filter).expect("it can be set");
}

/// Runs tests of this program whose names hold `filter`, ignored ones too, through the command that `wrap` begins, and
/// gives back what they said.
pub fn again(wrap: &[&str], filter: &str, environment: &[(&str, &str)]) -> String {
    let own = std::env::current_exe().expect("we run");
    let mut words = wrap.iter().map(ToString::to_string).chain([
        own.display().to_string(),
        filter.into(),
        "--include-ignored".into(),
        "--nocapture".into(),
        "--test-threads=2".into(),
    ]);
    let program = words.next().expect("there is one at least");
    let output = Command::new(program)
        .args(words)
        .envs(environment.iter().copied())
        .current_dir("/")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    said
}

/// Begins a command as the ordinary user.
pub const AS_ORDINARY: [&str; 6] = [
    "setpriv",
    "--reuid",
    ORDINARY,
    "--regid",
    ORDINARY,
    "--clear-groups",
];
