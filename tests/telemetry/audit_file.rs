//! The audit file: a chain that tells what was changed in it.

use crate::world::*;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

struct World {
    gateway: Gateway,
    directory: tempfile::TempDir,
}

impl World {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("audit.jsonl");
        let gateway = Gateway::with(Options {
            config: format!("audit_file = {:?}\n", file.to_str().expect("UTF-8")),
            ..Options::default()
        });
        Self { gateway, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("audit.jsonl")
    }

    /// Changes that many times something.
    async fn work(&self, calls: usize) {
        let mut client = self.gateway.client().await;
        for call in 0..calls {
            clear(&mut client, &format!("s{call}")).await;
        }
    }

    fn stop(&mut self) {
        self.gateway.terminate();
        assert_eq!(self.gateway.wait(), Some(0));
    }
}

fn verify(files: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["audit", "verify"])
        .args(files)
        .output()
        .expect("it runs")
}

/// Exit code and what was said.
fn said(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    (
        output.status.code().expect("it ended by itself"),
        text + &errors,
    )
}

fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("readable");
    text.lines().map(str::to_owned).collect()
}

/// What was changed, taken out, put in or cut off is found and named, also over kills and starts.
#[tokio::test]
async fn verify_finds_each_planted_change() {
    let mut world = World::start();
    world.work(5).await;
    // The chain goes on over a kill and a restart.
    world.gateway.kill();
    world.gateway.restart();
    world.work(5).await;
    world.stop();
    let file = world.file();
    let (code, text) = said(&verify(&[&file]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("as they were written"), "{text}");
    let written = lines(&file);
    // Ten calls and two starts; those that were answered a moment before the kill may be missing, no others.
    assert!((7..=12).contains(&written.len()), "{written:#?}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600);

    let newest = written.len();
    for (change, told) in [
        (
            Box::new(|it: &mut Vec<String>| it[2] = it[2].replace("NOT_FOUND", "ok"))
                as Box<dyn Fn(&mut Vec<String>)>,
            "record 3 was changed".to_owned(),
        ),
        (
            Box::new(|it| drop(it.remove(2))),
            "record 3 is missing".to_owned(),
        ),
        (
            Box::new(|it| it.insert(3, it[1].clone())),
            "line 4 was put in or moved".to_owned(),
        ),
        (
            Box::new(|it| drop(it.pop())),
            format!("record {newest} is missing at the end"),
        ),
        (
            Box::new(move |it| it[newest - 1].truncate(30)),
            format!("line {newest} is no record"),
        ),
    ] {
        let mut changed = written.clone();
        change(&mut changed);
        fs::write(&file, changed.join("\n") + "\n").expect("written");
        let (code, text) = said(&verify(&[&file]));
        assert_eq!(code, 65, "{told}: {text}");
        assert!(text.contains(&told), "{told}: {text}");
    }
    // Without the place beside it, a cut end could not be told: that is told.
    fs::write(&file, written.join("\n") + "\n").expect("written");
    fs::remove_file(world.directory.path().join("audit.jsonl.head")).expect("there");
    let (code, text) = said(&verify(&[&file]));
    assert!(
        code == 65 && text.contains("audit.jsonl.head is missing"),
        "{text}"
    );
}

/// A file that was moved away is followed by a new one that goes on with the chain; a crash in the middle of a write
/// leaves a part of a record, which the next start takes out.
#[tokio::test]
async fn the_chain_goes_on_over_rotation_and_a_torn_end() {
    let mut world = World::start();
    let (file, old) = (world.file(), world.directory.path().join("audit.1"));
    world.work(3).await;
    fs::rename(&file, &old).expect("moved");
    world.work(3).await;
    world.stop();
    let (code, text) = said(&verify(&[&old, &file]));
    assert_eq!(code, 0, "{text}");
    let (code, text) = said(&verify(&[&file]));
    assert!(code == 65 && text.contains("records 1 to"), "{text}");

    let whole = fs::read(&file).expect("readable");
    fs::write(&file, [&whole[..], b"{\"number\":99,\"ti"].concat()).expect("written");
    world.gateway.restart();
    world.work(1).await;
    world.stop();
    let (code, text) = said(&verify(&[&old, &file]));
    assert_eq!(code, 0, "{text}");
    assert!(fs::read(&file).expect("readable").starts_with(&whole));
}

/// Nothing of what was said and no key is in the file, and each call is there once.
#[tokio::test]
async fn the_file_holds_each_call_and_no_secret() {
    let mut world = World::start();
    let mut client = world.gateway.client().await;
    run(&mut client, "told", "CANARY").await;
    world.stop();
    let written = lines(&world.file());
    let enqueues = written.iter().filter(|it| it.contains("/Enqueue\""));
    assert_eq!(enqueues.count(), 1, "{written:#?}");
    let text = written.join("\n");
    assert!(!text.contains("CANARY") && !text.contains("qdk_"), "{text}");
}

/// A file that can't be used stops the start, and says so.
#[tokio::test]
async fn a_file_that_is_none_refuses_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("audit.jsonl");
    fs::write(&file, "somebody's notes\n").expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args([
            "serve",
            "--no-auth",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(directory.path().join("data"))
        .arg("--audit-file")
        .arg(&file)
        .output()
        .expect("it runs");
    let (code, text) = said(&output);
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("its last line is no audit record"), "{text}");
    assert_eq!(
        fs::read_to_string(&file).expect("there"),
        "somebody's notes\n"
    );
}
