//! R19: an agent reaches nothing but what its session may. What an agent that has been talked into it tries, on each rung
//! of isolation, as root and as an ordinary user, held against one table.
//!
//! The agent is a scripted pi that runs `escape.py` beside this file as a shell command, behind a real server. Run with
//! `QUARTERDECK_SHOW_ESCAPES=1` and `--nocapture` the table is printed as docs/pages/isolation.md has it.

#[path = "../support/mod.rs"]
mod support;

mod site;

use serde_json::Value;
use site::{Site, User};
use std::collections::BTreeMap;

/// The rungs, best last.
const RUNGS: [&str; 3] = ["none", "landlock", "namespace"];

/// For each attempt whether it works on rung none, landlock, namespace: `x` it works, `-` it is stopped, `r` it works for
/// a server that runs as root alone.
const TABLE: [(&str, &str); 25] = [
    ("read the server's key", "x--"),
    ("read the pepper", "x--"),
    ("write the store", "x--"),
    ("list the data directory", "x--"),
    ("read another session's file", "x--"),
    ("read the configuration", "x--"),
    ("connect to the server's unix socket", "x--"),
    ("connect to an abstract unix socket", "x--"),
    // The server is not dumpable: to all but root it is closed on each rung.
    ("read the server's environment", "r--"),
    ("open the server's memory", "r--"),
    // As root, to whom the listing belongs; under landlock agents have another user.
    ("list the server's descriptors", "r--"),
    ("enter the server's root", "r--"),
    ("trace the server", "r--"),
    ("read the server's memory", "r--"),
    ("take a descriptor of the server", "r--"),
    ("read the server's command line", "xx-"),
    ("signal the server", "x--"),
    ("signal its keeper", "x--"),
    ("write to the shared /tmp", "x--"),
    ("read a neighbour's file", "x--"),
    ("change system files", "r--"),
    // Shown to agents, and closed to all but root: it is agents' own user that is stopped.
    ("read root's files", "r--"),
    ("read root's file in a directory that is shown", "r--"),
    ("open others' shared memory", "xx-"),
    ("connect to the server's port", "xxx"),
];

async fn escapes(rung: &str, user: User) -> Option<Value> {
    let Some(site) = Site::start(rung, user) else {
        eprintln!("left out: no rung {rung} as {user:?} on this machine");
        return None;
    };
    Some(site.try_everything().await)
}

fn expected(works: &str, rung: usize, user: User) -> bool {
    match works.as_bytes()[rung] {
        b'x' => true,
        b'r' => user == User::Root,
        _ => false,
    }
}

async fn holds(rung: &str, user: User) {
    let place = RUNGS
        .iter()
        .position(|one| *one == rung)
        .expect("a rung of the table");
    let Some(found) = escapes(rung, user).await else {
        return;
    };
    if std::env::var_os("QUARTERDECK_SHOW_ESCAPES").is_some() {
        println!("{rung} as {user:?}: {found:#}");
    }
    let worked: BTreeMap<String, Value> =
        serde_json::from_value(found["worked"].clone()).expect("a result for each attempt");
    let names: Vec<&str> = worked.keys().map(String::as_str).collect();
    let mut known: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(names, known, "the table and the script name the same");
    let wrong: Vec<String> = TABLE
        .iter()
        .filter(|(name, works)| (worked[*name] == true) != expected(works, place, user))
        .map(|(name, _)| format!("{name}: {}", worked[*name]))
        .collect();
    assert!(wrong.is_empty(), "on {rung} as {user:?}: {wrong:#?}");
    let state = &found["state"];
    assert_eq!(state["no_new_privileges"], true, "{state}");
    assert_eq!(state["no_core"], true, "{state}");
    assert_eq!(state["goes_first"], true, "{state}");
    assert_eq!(state["descriptors"], 3, "{state}");
    assert_eq!(state["secrets"], Value::Array(vec![]), "{state}");
    assert_ne!(state["own_tmp"], "", "{state}");
    let id = state["user"].as_u64().expect("a number");
    match (user, rung) {
        (User::Root, "none") => assert_eq!(id, 0),
        (User::Root, _) => assert!((200_000..=265_535).contains(&id), "{id}"),
        (User::Ordinary, _) => assert!(id < 200_000, "{id}"),
    }
    assert_eq!(
        state["no_capabilities"],
        rung != "none" || user == User::Ordinary,
        "{state}"
    );
}

/// Root's own rights are tried where the tests run as root, as in the gate; elsewhere the tests' own user is the ordinary
/// one.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_an_ordinary_users_agent_in_namespaces() {
    holds("namespace", User::Ordinary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_an_ordinary_users_agent_under_landlock() {
    holds("landlock", User::Ordinary).await;
}

/// That the attempts are made in earnest is seen where nothing stops them.
#[tokio::test(flavor = "multi_thread")]
async fn r19_an_ordinary_users_agent_without_isolation() {
    holds("none", User::Ordinary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_roots_agent_in_namespaces() {
    if is_root() {
        holds("namespace", User::Root).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_roots_agent_under_landlock() {
    if is_root() {
        holds("landlock", User::Root).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_roots_agent_without_isolation() {
    if is_root() {
        holds("none", User::Root).await;
    }
}
