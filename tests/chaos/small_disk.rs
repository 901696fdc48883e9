//! R13: a disk that runs full. The server stands on a small file system of its own (a tmpfs in a mount namespace of its
//! own, so nothing is left mounted); where none can be mounted the stories are skipped with a word.

use crate::{
    support::{Client, connect, reason, run},
    tools::troubles,
    world::eventually,
};
use quarterdeck::proto;
use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tonic::Status;

/// A server whose data directory is all that stands on a disk.
struct Small {
    _directory: tempfile::TempDir,
    server: Child,
    address: String,
    /// The disk's root as it is seen from outside.
    root: PathBuf,
}

impl Small {
    /// Starts on a disk of so many MiB; `None` where none can be mounted.
    fn start(mebibytes: u64, reserve_mebibytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = directory.path().join("disk");
        std::fs::create_dir(&disk).expect("a directory");
        let server = std::env::var_os("QUARTERDECK_TEST_SERVER")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_quarterdeck").into());
        let script = "mount -t tmpfs -o size=${1}m tmpfs \"$2\" || { echo no mount; exit 1; }\n\
                      exec \"$3\" serve --listen 127.0.0.1:0 --data-dir \"$2/data\"";
        let mut server = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .arg(mebibytes.to_string())
            .args([disk.as_os_str(), &server])
            .env("QUARTERDECK_NO_AUTH", "true")
            .env(
                "QUARTERDECK_DISK_RESERVE",
                format!("{reserve_mebibytes}MiB"),
            )
            .stdout(Stdio::piped())
            .stderr(match std::env::var_os("TEST_LOG") {
                Some(_) => Stdio::inherit(),
                None => Stdio::null(),
            })
            .spawn()
            .ok()?;
        let mut line = String::new();
        let output = server.stdout.as_mut().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("text");
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            let _ = server.kill();
            let _ = server.wait();
            println!(
                "skipped: no small disk can be mounted here ({})",
                line.trim()
            );
            return None;
        };
        let address = address.to_owned();
        let seen = disk.strip_prefix("/").expect("an absolute path");
        let root = PathBuf::from(format!("/proc/{}/root", server.id())).join(seen);
        Some(Self {
            _directory: directory,
            address,
            root,
            server,
        })
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.root).expect("a disk");
        disk.f_bavail * disk.f_frsize
    }

    /// Writes beside the store until nothing is free.
    fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.root.join("others"))
            .expect("a file");
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.root.join("others")).expect("it is there");
    }

    /// Ends it and holds the store, taken off the disk, against its rules.
    fn check(mut self) {
        let copy = tempfile::tempdir().expect("a directory");
        let pid = rustix::process::Pid::from_raw(self.server.id().cast_signed()).expect("a pid");
        // Through the file: the namespace goes with the server.
        let root = File::open(&self.root).expect("the disk");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
        assert!(
            self.server.wait().expect("ours").success(),
            "a drain ends with 0"
        );
        use std::os::fd::AsRawFd as _;
        let kept = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
        for name in ["quarterdeck.db", "quarterdeck.db-wal"] {
            let from = kept.join("data").join(name);
            if from.exists() {
                std::fs::copy(from, copy.path().join(name)).expect("copied");
            }
        }
        crate::support::check(copy.path());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

async fn enqueue(client: &mut Client, key: &str, text: &str) -> Result<(), Status> {
    let request = proto::EnqueueRequest {
        session_key: key.into(),
        text: text.into(),
        ..Default::default()
    };
    client.enqueue(request).await.map(drop)
}

/// What is waiting, what starts and what is forked counts against the reserve: it is never used by new work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_new_work_leaves_the_reserve() {
    let reserve = 24;
    let Some(small) = Small::start(96, reserve) else {
        return;
    };
    let mut client = connect(&small.address).await;
    let text = "x".repeat(400_000);
    let mut refused = None;
    let mut waiting = 0;
    'all: for session in 0..64 {
        // The first one of each waits for ever, the others behind it.
        let key = format!("s{session}");
        enqueue(&mut client, &key, "!hang").await.ok();
        for _ in 0..16 {
            match enqueue(&mut client, &key, &text).await {
                Ok(()) => waiting += 1,
                Err(status) => {
                    refused = Some(status);
                    break 'all;
                }
            }
        }
    }
    let refused = refused.expect("a small disk is full at some time");
    assert_eq!(reason(&refused), "STORAGE_FULL", "{refused:?}");
    println!(
        "{waiting} prompts wait, {} MiB are free",
        small.free() >> 20
    );
    assert!(waiting > 10, "room is used before it is refused");
    // What waits now starts, turn after turn: each writes its prompt again, twice.
    for session in 0..64 {
        let request = proto::AbortRequest {
            session_key: format!("s{session}"),
            ..Default::default()
        };
        match client.abort(request).await {
            Ok(_) => {}
            Err(status) => assert_eq!(reason(&status), "SESSION_NOT_FOUND", "{status:?}"),
        }
    }
    // Until nothing waits any more, or what waits is held back for want of room.
    let mut least = u64::MAX;
    eventually("rest", async || {
        let mut waits = false;
        for session in 0..64 {
            least = least.min(small.free());
            let request = proto::GetSessionRequest {
                session_key: format!("s{session}"),
                ..Default::default()
            };
            match client.get_session(request).await {
                Ok(found) => {
                    let found = found.into_inner().session.expect("a session");
                    if found.state() != proto::SessionState::Idle {
                        return None;
                    }
                    waits |= found.queue_depth > 0;
                }
                Err(status) => assert_eq!(reason(&status), "SESSION_NOT_FOUND", "{status:?}"),
            }
        }
        let full = troubles(&small.address).await == ["FULL"];
        (full || !waits).then_some(())
    })
    .await;
    let floor = (reserve << 20) / 2;
    assert!(
        least > floor,
        "{least} bytes were left of {reserve} MiB that are reserved"
    );
    // Forks are new work as well.
    for number in 0..200 {
        let request = proto::ForkSessionRequest {
            session_key: "s0".into(),
            new_session_key: format!("fork-{number}"),
            ..Default::default()
        };
        match client.fork_session(request).await {
            Ok(_) => {}
            Err(status) => {
                assert_eq!(reason(&status), "STORAGE_FULL", "{status:?}");
                break;
            }
        }
    }
    let left = small.free();
    assert!(
        left > floor,
        "{left} bytes are left of {reserve} MiB that are reserved"
    );
    // And all of it can be taken away again.
    for session in 0..64 {
        let request = proto::DeleteSessionRequest {
            session_key: format!("s{session}"),
            ..Default::default()
        };
        match client.delete_session(request).await {
            Ok(_) => {}
            Err(status) => assert_eq!(reason(&status), "SESSION_NOT_FOUND", "{status:?}"),
        }
    }
    small.check();
}

/// A disk that others have filled to the last byte: new work is refused, stops and deletes succeed, and the server goes
/// on by itself when there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_full_disk_can_be_emptied() {
    let Some(small) = Small::start(96, 24) else {
        return;
    };
    let mut client = connect(&small.address).await;
    for key in ["old", "queue", "runs"] {
        run(&mut client, key, &"x".repeat(400_000)).await;
    }
    for key in ["queue", "runs"] {
        enqueue(&mut client, key, "!hang").await.expect("accepted");
        for _ in 0..8 {
            let text = "y".repeat(100_000);
            enqueue(&mut client, key, &text).await.expect("accepted");
        }
    }
    small.fill();
    assert_eq!(small.free(), 0);
    let refused = eventually("a refusal", async || {
        enqueue(&mut client.clone(), "new", "more").await.err()
    })
    .await;
    assert_eq!(reason(&refused), "STORAGE_FULL", "{refused:?}");
    eventually("a word of it", async || {
        (troubles(&small.address).await == ["FULL"]).then_some(())
    })
    .await;
    let cleared = client
        .clear_queue(proto::ClearQueueRequest {
            session_key: "queue".into(),
            ..Default::default()
        })
        .await
        .expect("the queue can be cleared on a full disk");
    assert_eq!(cleared.into_inner().turns.len(), 8);
    let stopped = client
        .abort(proto::AbortRequest {
            session_key: "runs".into(),
            clear_queue: true,
            ..Default::default()
        })
        .await
        .expect("a turn can be stopped on a full disk");
    drop(stopped);
    for key in ["old", "queue", "runs"] {
        client
            .delete_session(proto::DeleteSessionRequest {
                session_key: key.into(),
                ..Default::default()
            })
            .await
            .expect("a session can be deleted on a full disk");
    }
    small.empty();
    eventually("new work", async || {
        enqueue(&mut client.clone(), "new", "more").await.ok()
    })
    .await;
    eventually("the end of the trouble", async || {
        troubles(&small.address).await.is_empty().then_some(())
    })
    .await;
    small.check();
}
