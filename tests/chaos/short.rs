//! R1, R13: reads and writes that are cut short, as disks and file systems may cut them. A small library stands in front of
//! the C library and writes, or reads, the first half alone (`short.c`): SQLite must go on with the rest. What is torn
//! where the disk runs full in the middle, or the process dies there, was never acknowledged.

use crate::{
    support::{Gateway, Options, await_turn, enqueue, log, reason},
    tools::{with_attachments, with_long_turns},
    world::{dice, eventually, figure},
};
use std::{fs, path::PathBuf, process::Command};

/// A server whose reads and writes can be cut.
struct Cut {
    directory: tempfile::TempDir,
    gateway: Gateway,
}

// === impl Cut ===

impl Cut {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let library = directory.path().join("short.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chaos/short.c");
        let compiled = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", source, "-ldl", "-o"])
            .arg(&library)
            .status()
            .expect("a C compiler, which the build needs too");
        assert!(compiled.success());
        let path = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        let of = |name: &str| path(directory.path().join(name));
        let gateway = Gateway::with(Options {
            environment: vec![
                ("LD_PRELOAD".into(), path(library)),
                ("SHORT_ORDER".into(), of("order")),
                ("SHORT_COUNT".into(), of("count")),
            ],
            ..Options::default()
        });
        Self { directory, gateway }
    }

    /// From now on each of so many calls is cut; `then` is what follows.
    fn cut(&self, each: u64, then: &str) {
        let part = self.directory.path().join("order.part");
        fs::write(&part, format!("{each} {then}")).expect("writable");
        fs::rename(part, self.directory.path().join("order")).expect("writable");
    }

    fn stop(&self) {
        fs::remove_file(self.directory.path().join("order")).expect("it is there");
    }

    /// How many calls were cut.
    fn cuts(&self) -> u64 {
        fs::metadata(self.directory.path().join("count")).map_or(0, |file| file.len())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_reads_and_writes_that_are_cut_are_finished() {
    let mut cut = Cut::start();
    let mut client = cut.gateway.client().await;
    cut.cut(3, "nothing");
    with_long_turns(&mut client, "long", 6).await;
    with_attachments(&mut client, "pictures", 2).await;
    // Out of the files: no page of before is in memory.
    cut.gateway.terminate();
    assert_eq!(cut.gateway.wait(), Some(0));
    cut.gateway.restart();
    let mut client = cut.gateway.client().await;
    for (key, turns) in [("long", 6), ("pictures", 2)] {
        let events = log(&mut client, key).await;
        let ended = events
            .iter()
            .filter(|event| crate::support::kind(event) == "turn_ended");
        assert_eq!(ended.count(), turns, "{key}");
    }
    println!("{} calls were cut", cut.cuts());
    assert!(cut.cuts() > 100, "nothing was cut");
    cut.gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_write_that_a_full_disk_cuts_is_taken_back() {
    let mut dice = dice(131);
    let mut cut = Cut::start();
    let mut client = cut.gateway.client().await;
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for round in 0..figure(6, 200) {
        cut.cut(2 + dice.below(200), "full");
        for number in 0..10 {
            let key = format!("s{round}-{number}");
            match enqueue(&mut client, &key, "hello").await {
                Ok(accepted) => acknowledged.push((key, accepted.turn.expect("a turn").turn_id)),
                Err(status) => {
                    refused += 1;
                    let told = ["STORE_UNAVAILABLE", "STORAGE_FULL"];
                    assert!(told.contains(&reason(&status).as_str()), "{status:?}");
                }
            }
        }
        cut.stop();
        eventually("work as before", async || {
            enqueue(&mut client.clone(), "after", "hello").await.ok()
        })
        .await;
    }
    println!(
        "{} calls were acknowledged, {refused} refused, {} writes cut",
        acknowledged.len(),
        cut.cuts()
    );
    assert!(refused > 0, "no full disk was met");
    assert!(!acknowledged.is_empty(), "nothing but full disks was met");
    for (key, turn_id) in acknowledged {
        let turn = await_turn(&mut client, &key, &turn_id).await;
        assert_eq!(turn.turn_id, turn_id);
    }
    cut.gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_a_write_that_death_cuts_loses_nothing_acknowledged() {
    let mut dice = dice(132);
    let mut cut = Cut::start();
    let mut acknowledged = Vec::new();
    for round in 0..figure(8, 200) {
        let mut client = cut.gateway.client().await;
        cut.cut(1 + dice.below(600), "death");
        for number in 0.. {
            let key = format!("s{round}-{number}");
            match enqueue(&mut client, &key, &"x".repeat(3000)).await {
                Ok(accepted) => acknowledged.push((key, accepted.turn.expect("a turn").turn_id)),
                Err(_) => break,
            }
        }
        assert_eq!(cut.gateway.wait(), None, "it was killed");
        cut.stop();
        cut.gateway.restart();
    }
    println!(
        "{} calls were acknowledged, {} writes cut",
        acknowledged.len(),
        cut.cuts()
    );
    assert!(cut.cuts() >= figure(8, 200), "each round one write");
    assert!(!acknowledged.is_empty(), "nothing was acknowledged");
    let mut client = cut.gateway.client().await;
    for (key, turn_id) in acknowledged {
        let turn = await_turn(&mut client, &key, &turn_id).await;
        assert_eq!(turn.turn_id, turn_id);
    }
    cut.gateway.check_store();
}
