//! Each step between a keeper and an agent that can fail names itself, and leaves no process behind.
#![cfg(target_arch = "x86_64")]

use crate::harness::{AS_ORDINARY, DEADLINE, World, again, deny, is_root};
use quarterdeck::agent::isolation::Rung;
use std::fs;
use tokio::time::timeout;

/// Names the rung, the system call that is denied, by number, and how the step is called.
const STEP: &str = "QUARTERDECK_TEST_STEP";

/// The rung, a system call that one step needs, and what standard error must say.
const STEPS: [(&str, i64, &str); 11] = [
    ("namespace", 272, "isolation: unshare: "),
    ("namespace", 126, "capabilities: "),
    ("namespace", 165, "isolation: make mounts private: "),
    ("namespace", 155, "isolation: leave the old root: "),
    ("namespace", 428, "isolation: /"),
    ("namespace", 429, "isolation: /"),
    ("namespace", 166, "isolation: let go of the old root: "),
    ("namespace", 446, "isolation: landlock: "),
    ("landlock", 444, "isolation: landlock: "),
    ("landlock", 446, "isolation: landlock: "),
    ("landlock", 317, "isolation: seccomp: "),
];

/// A helper: starts an agent where one system call is denied.
#[tokio::test]
#[ignore = "a helper of other tests"]
async fn one_step_fails() {
    let Ok(step) = std::env::var(STEP) else {
        return;
    };
    let mut words = step.splitn(3, ' ');
    let rung = match words.next() {
        Some("namespace") => Rung::Namespace,
        Some("landlock") => Rung::Landlock,
        other => panic!("{other:?}"),
    };
    let call = words.next().and_then(|call| call.parse().ok());
    let expected = words.next().expect("a name");
    let world = World::new(rung);
    // EPERM.
    deny(1, &[call.expect("a number")]);
    let mut process = world.shell("echo it runs");
    let said = timeout(DEADLINE, process.next_line()).await;
    assert_eq!(said.expect("an end"), None, "it started");
    let ended = timeout(DEADLINE, process.wait()).await.expect("it ends");
    assert_eq!(ended.status, "exit status: 71", "{ended:?}");
    assert!(
        ended.stderr_tail.contains(expected),
        "{expected}: {ended:?}"
    );
    // Neither zombie nor orphan: what a keeper leaves would be this process's child.
    let own = std::process::id();
    for task in fs::read_dir("/proc/self/task")
        .expect("it is there")
        .flatten()
    {
        let children = fs::read_to_string(task.path().join("children"));
        assert_eq!(children.unwrap_or_default(), "", "children of {own}");
    }
    println!("NAMED {expected}");
}

#[test]
fn each_step_that_fails_names_itself_and_leaves_nothing() {
    for (rung, call, expected) in STEPS {
        let step = format!("{rung} {call} {expected}");
        let wrap: &[&str] = if is_root() { &AS_ORDINARY } else { &["env"] };
        let said = again(wrap, "one_step_fails", &[(STEP, &step)]);
        assert!(said.contains("NAMED "), "{step}: {said}");
    }
}
