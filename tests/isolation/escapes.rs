//! The table of docs/pages/isolation.md: what an agent can do on each rung. It is made here, by doing it.

use crate::harness::{AS_ORDINARY, DEADLINE, RUNGS, World, again, fixtures, is_root, line};
use quarterdeck::agent::isolation::Rung;
use std::{
    collections::BTreeMap,
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::time::timeout;
use uuid::Uuid;

/// What is tried (its word in `escape.py`), how the docs tell it, and where it works: `none`, `landlock`, `namespace`.
const TABLE: [(&str, &str, [bool; 3]); 11] = [
    (
        "own",
        "change its session's directories",
        [true, true, true],
    ),
    (
        "network",
        "reach the network, this machine's ports included",
        [true, true, true],
    ),
    (
        "processes",
        "see that other processes run, with their command lines",
        [true, true, false],
    ),
    (
        "key",
        "read the server's keys and store",
        [true, false, false],
    ),
    (
        "other",
        "read or change other sessions' files",
        [true, false, false],
    ),
    (
        "system",
        "read files of the server's user elsewhere",
        [true, false, false],
    ),
    (
        "outside",
        "make files outside of its own directories",
        [true, false, false],
    ),
    (
        "socket",
        "connect to a unix socket by its path",
        [true, false, false],
    ),
    (
        "abstract",
        "connect to an abstract unix socket of others",
        [true, false, false],
    ),
    (
        "environment",
        "read the environment of the user's other processes",
        [true, false, false],
    ),
    (
        "signal",
        "signal the user's other processes",
        [true, false, false],
    ),
];

/// Another process of the same user.
struct Victim(Child);

impl Victim {
    fn start() -> Self {
        let child = Command::new("sleep")
            .arg("300")
            .env("SECRET", "hunter2")
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("it starts"))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process on this rung got.
async fn tried(rung: Rung) -> BTreeMap<String, bool> {
    let world = World::new(rung);
    let socket = world.path("other/socket");
    let _by_path = UnixListener::bind(&socket).expect("it is new");
    let name = format!("quarterdeck-test-{}", Uuid::new_v4());
    let address = SocketAddr::from_abstract_name(&name).expect("it is short");
    let _abstract = UnixListener::bind_addr(&address).expect("it is new");
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let victim = Victim::start();
    let targets = serde_json::json!({
        "session": world.path("session"),
        "key": world.path("data/admin.key"),
        "other": world.path("other/secret"),
        "outside": world.path("planted"),
        "socket": socket,
        "abstract": name,
        "port": port.local_addr().expect("it is bound").port(),
        "victim": victim.0.id(),
        "home": world.path("."),
    });
    let script = fixtures().join("escape.py");
    let script = script.to_str().expect("UTF-8");
    let mut process = world.start("python3", &[script, &targets.to_string()]);
    let said = line(&mut process).await;
    process.stop(Duration::ZERO).await.expect("it is proven");
    let mut found: BTreeMap<String, bool> =
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    // What it made in a directory of its own, which only has the same name, is not outside.
    found.insert("outside".into(), world.path("planted").exists());
    found
}

#[tokio::test]
async fn an_agent_reaches_what_the_table_says_and_nothing_else() {
    for (column, rung) in RUNGS.into_iter().enumerate() {
        let found = tried(rung).await;
        for (word, told, expected) in TABLE {
            let got = found.get(word).copied();
            assert_eq!(got, Some(expected[column]), "{} on {}", told, rung.name());
        }
        assert_eq!(found.len(), TABLE.len());
    }
}

#[test]
fn an_ordinary_users_agents_reach_what_the_table_says() {
    if is_root() {
        let said = again(&AS_ORDINARY, "an_agent_", &[]);
        assert!(said.contains("test result: ok. 3 passed"), "{said}");
    }
}

/// The table in the docs is this one.
#[test]
fn the_docs_tell_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pages/isolation.md");
    let page = fs::read_to_string(page).expect("it is there");
    for (_, told, [none, landlock, namespace]) in TABLE {
        let word = |can: bool| if can { "yes" } else { "no" };
        let row = format!(
            "| {told} | {} | {} | {} |",
            word(namespace),
            word(landlock),
            word(none)
        );
        assert!(page.contains(&row), "docs/pages/isolation.md lacks: {row}");
    }
}

/// Caps, privileges, and the bound against a file that is not there: the last steps before an agent's program.
#[tokio::test]
async fn an_agent_has_no_rights_and_is_the_first_to_go() {
    for rung in [Rung::Landlock, Rung::Namespace] {
        let world = World::new(rung);
        let mut process = world.shell(
            "grep -E '^(CapPrm|CapEff|CapInh|CapBnd|NoNewPrivs)' /proc/self/status | tr -s '\\t\\n' ' '; \
             cat /proc/self/oom_score_adj; ulimit -c",
        );
        let said = line(&mut process).await;
        let none = "0".repeat(16);
        assert!(said.contains("NoNewPrivs: 1"), "{said}");
        for set in ["CapInh", "CapPrm", "CapEff"] {
            assert!(said.contains(&format!("{set}: {none}")), "{said}");
        }
        let adjusted = said.trim_end().rsplit(' ').next().map(str::to_owned);
        let adjusted = match adjusted.as_deref() {
            Some("500") => "500".to_owned(),
            _ => line(&mut process).await,
        };
        assert_eq!(adjusted.trim(), "500");
        assert_eq!(line(&mut process).await, "0");
        process.stop(Duration::ZERO).await.expect("it is proven");
    }
}

/// A program that is there but not shown says what to do; the keeper is left with no child.
#[tokio::test]
async fn an_agent_whose_program_is_not_visible_says_what_to_do() {
    for rung in [Rung::Landlock, Rung::Namespace] {
        let world = World::new(rung);
        let program = world.path("other/agent");
        fs::copy("/bin/true", &program).expect("copied");
        let mut process = world.start(program.to_str().expect("UTF-8"), &[]);
        let ended = timeout(DEADLINE, process.wait()).await.expect("it ends");
        assert_eq!(ended.status, "exit status: 71");
        assert!(ended.stderr_tail.contains("isolation_read"), "{ended:?}");
    }
}

/// An agent of an earlier life left a link in place of one of its directories. Where it leads is not given away.
#[tokio::test]
async fn a_link_in_place_of_a_directory_is_not_followed() {
    for rung in [Rung::Landlock, Rung::Namespace] {
        let world = World::new(rung);
        let session = world.path("session");
        fs::remove_dir(&session).expect("it is empty");
        std::os::unix::fs::symlink(world.path("data"), &session).expect("made");
        let mut process = world.shell("cat admin.key; echo done");
        let said = timeout(DEADLINE, process.next_line())
            .await
            .expect("an end");
        assert_eq!(said, None, "{}", process.stderr_tail());
        let ended = process.wait().await;
        assert_eq!(ended.status, "exit status: 71", "{ended:?}");
    }
}

/// What the server keeps below a directory that agents may read stays hidden; and what it lays out for an agent in a
/// directory that it may change stays as it is.
#[tokio::test]
async fn hidden_is_hidden_and_read_only_is_read_only() {
    for rung in [Rung::Landlock, Rung::Namespace] {
        let mut world = World::new(rung);
        world.host.confinement.read.push(world.path("."));
        let clean: Vec<_> = vec![fs::canonicalize(world.path(".")).expect("it is there")];
        world.host.confinement.read = clean;
        let mut process = world.shell(
            "cat ../data/admin.key 2>/dev/null; cat ../other/secret; echo; (echo x > ../other/new) 2>/dev/null || echo kept; \
             echo y > own && cat own",
        );
        assert_eq!(line(&mut process).await, "a secret");
        assert_eq!(line(&mut process).await, "kept");
        assert_eq!(line(&mut process).await, "y");
        process.stop(Duration::ZERO).await.expect("it is proven");
        assert!(!world.path("other/new").exists());
    }
}
