//! What tests of agents share: a nasty child, and a look at what is left of it.

#![allow(dead_code, reason = "every test file uses its own part")]

use quarterdeck::agent::{
    isolation::{Confinement, ProcView, Rung, program},
    process::{ProcessHost, ProcessSpec},
};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Everything is given up after this time.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The rung that `QUARTERDECK_TEST_RUNG` names: tests of processes and of agents hold on each of them.
pub fn rung() -> Rung {
    match std::env::var("QUARTERDECK_TEST_RUNG").as_deref() {
        Ok("namespace") => Rung::Namespace,
        Ok("landlock") => Rung::Landlock,
        Ok("none") | Err(_) => Rung::None,
        Ok(other) => panic!("{other} is no rung"),
    }
}

/// How tests keep agents on this rung. Fixtures can be read.
pub fn confinement(rung: Rung) -> Confinement {
    let mut read = vec![fixture("")];
    let path = std::env::var_os("PATH").unwrap_or_default();
    read.extend(program::places([python().as_os_str()], &path, None));
    Confinement {
        rung,
        proc: match rung {
            Rung::Namespace => ProcView::Own,
            Rung::Landlock | Rung::None => ProcView::Host,
        },
        read,
        tmp_max_bytes: 64 << 20,
        ..Confinement::default()
    }
}

/// A host with a node mark of its own.
pub fn host() -> ProcessHost {
    ProcessHost {
        keeper: PathBuf::from(env!("CARGO_BIN_EXE_quarterdeck")),
        node_mark: Uuid::new_v4().to_string(),
        confinement: confinement(rung()),
        fence: None,
    }
}

/// The interpreter itself: a version manager's shim takes longer to start than the child lives.
pub fn python() -> &'static OsString {
    static PYTHON: OnceLock<OsString> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let asked = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .expect("the tests need python3");
        let path = String::from_utf8(asked.stdout).expect("its path is text");
        OsString::from(path.trim_end())
    })
}

/// The interpreter that has the Python client, which `clients/python/check` makes; `None` leaves a test out, but not in CI.
pub fn python_client() -> Option<PathBuf> {
    let clients = std::env::var("QUARTERDECK_TEST_CLIENTS").unwrap_or_default();
    if clients.split(':').any(|it| it.starts_with("python=")) {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools");
        return Some(tools.join("clients-python/bin/python"));
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "QUARTERDECK_TEST_CLIENTS names no Python client"
    );
    eprintln!("left out for want of a Python client in QUARTERDECK_TEST_CLIENTS");
    None
}

/// Path of a file in `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A nasty child that does these deeds; `mark` tells what belongs to it.
pub fn nasty(mark: &str, deeds: &str) -> ProcessSpec {
    let script = fixture("nasty_child.py");
    let mut arguments: Vec<OsString> = vec!["-S".into(), "-E".into(), script.into()];
    arguments.extend(deeds.split_whitespace().map(OsString::from));
    ProcessSpec {
        program: python().clone(),
        arguments,
        environment: vec![("NASTY_MARK".into(), mark.into())],
        working_directory: std::env::temp_dir(),
        ..ProcessSpec::default()
    }
}

/// Every live process that carries the mark, in its environment or as an argument. It looks thrice before it says that
/// there is none, the highest ids first: one look can miss a process that is a new one at every moment.
pub fn survivors(mark: &str) -> Vec<u32> {
    let looks = (0..3).map(|_| carriers(mark));
    looks
        .into_iter()
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn carriers(mark: &str) -> Vec<u32> {
    let entry = format!("NASTY_MARK={mark}").into_bytes();
    let processes = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let mut pids: Vec<u32> = processes
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable_by(|a, b| b.cmp(a));
    pids.retain(|pid| {
        let has = |file: &str, what: &[u8]| {
            fs::read(format!("/proc/{pid}/{file}"))
                .is_ok_and(|text| text.split(|byte| *byte == 0).any(|one| one == what))
        };
        *pid != std::process::id() && (has("environ", &entry) || has("cmdline", mark.as_bytes()))
    });
    pids
}

/// Looks again and again until `done`; tells `what` was waited for when it gives up.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Numbers that look random and come again with the same seed (splitmix64).
pub struct Random(u64);

impl Random {
    /// Takes `SEED` where it is set, and says which it took.
    pub fn seeded() -> Self {
        let clock = || u64::from(Uuid::new_v4().as_fields().0);
        let asked = std::env::var("SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = asked.unwrap_or_else(clock);
        eprintln!("SEED={seed}");
        Self(seed)
    }

    /// Numbers of their own for a task.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
