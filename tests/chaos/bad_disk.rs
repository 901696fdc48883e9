//! R13: a disk that fails. Reads and writes of the running server are made to fail from outside, by `strace`; pages of
//! its file are damaged under it. Where there is no `strace`, or it may not trace, the first story is skipped with a word.

use crate::{
    support::{Gateway, enqueue, reason, run},
    tools::with_long_turns,
    world::{dice, eventually, figure},
};
use quarterdeck::proto;
use std::{
    io::{BufRead, BufReader},
    os::unix::fs::FileExt as _,
    process::{Child, Command, Stdio},
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Makes calls of the system fail, for as long as it lives.
struct Fault(Child);

impl Fault {
    fn inject(pid: u32, calls: &str, error: &str, when: &str) -> Option<Self> {
        let mut tracer = Command::new("strace")
            .args(["-f", "-p", &pid.to_string()])
            .args(["-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error={error}:when={when}")])
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let said = BufReader::new(tracer.stderr.take().expect("piped"));
        let mut lines = said.lines().map_while(Result::ok);
        let attached = lines.any(|line| line.contains("attached"));
        // It stops where nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        if attached {
            return Some(Self(tracer));
        }
        let _ = tracer.wait();
        None
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // Asked to end it lets the server go on; killed it would as well, with less care.
        let pid = rustix::process::Pid::from_raw(self.0.id().cast_signed()).expect("a pid");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.0.wait();
    }
}

/// Every call is answered with what happened, what was acknowledged is there, and the server goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_reads_and_writes_that_fail_are_told_and_got_over() {
    let mut dice = dice(13);
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    with_long_turns(&mut client, "long", 3).await;
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for round in 0..figure(6, 200) {
        let (calls, error) = *dice.pick(&[
            ("pwrite64", "EIO"),
            ("pwrite64", "ENOSPC"),
            ("fdatasync", "EIO"),
            ("pread64", "EIO"),
        ]);
        let when = format!("{}+{}", 1 + dice.below(12), 1 + dice.below(3));
        let Some(fault) = Fault::inject(gateway.pid(), calls, error, &when) else {
            println!("skipped: strace is not here, or may not trace");
            return;
        };
        for number in 0..8 {
            let key = format!("s{round}-{number}");
            match enqueue(&mut client, &key, "hello").await {
                Ok(accepted) => acknowledged.push((key, accepted.turn.expect("a turn").turn_id)),
                Err(status) => {
                    refused += 1;
                    let reason = reason(&status);
                    let told = ["STORE_UNAVAILABLE", "STORAGE_FULL"].contains(&reason.as_str());
                    assert!(told, "{calls} {error} {when}: {status:?}");
                }
            }
            let messages = proto::ListMessagesRequest {
                session_key: "long".into(),
                ..Default::default()
            };
            if let Err(status) = client.list_messages(messages).await {
                refused += 1;
                assert_eq!(
                    reason(&status),
                    "STORE_UNAVAILABLE",
                    "{calls} {error}: {status:?}"
                );
            }
        }
        drop(fault);
        eventually("work as before", async || {
            enqueue(&mut client.clone(), "after", "hello").await.ok()
        })
        .await;
    }
    println!(
        "{} calls were acknowledged, {refused} refused",
        acknowledged.len()
    );
    assert!(refused > 0, "no fault was met");
    for (key, turn_id) in acknowledged {
        let turn = crate::support::await_turn(&mut client, &key, &turn_id).await;
        assert_eq!(turn.turn_id, turn_id);
    }
    gateway.check_store();
}

/// Damage is no bug of the server's: it is told to the caller, by health, by GetServerInfo, in the log, and by `check`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_pages_are_told() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut gateway = Gateway::with(crate::support::Options {
        log: Some(log.path().to_owned()),
        ..Default::default()
    });
    with_long_turns(&mut gateway.client().await, "long", 8).await;
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    gateway.restart();
    let mut client = gateway.client().await;
    run(&mut client, "other", "hello").await;
    let path = gateway.data().join("quarterdeck.db");
    let file = std::fs::File::options()
        .write(true)
        .open(path)
        .expect("a file");
    let length = file.metadata().expect("a file").len();
    let damage = vec![0xff; usize::try_from(length / 2).expect("small")];
    file.write_all_at(&damage, length / 4).expect("written");
    let status = eventually("a refusal", async || {
        let messages = proto::ListMessagesRequest {
            session_key: "long".into(),
            page_size: 1000,
            ..Default::default()
        };
        client.clone().list_messages(messages).await.err()
    })
    .await;
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(reason(&status), "STORE_UNAVAILABLE", "{status:?}");
    let endpoint = tonic::transport::Endpoint::new(gateway.address.clone()).expect("an address");
    let mut health = HealthClient::new(endpoint.connect().await.expect("it answers"));
    eventually("health", async || {
        let answer = health.check(HealthCheckRequest::default()).await.ok()?;
        (answer.into_inner().status == 2).then_some(())
    })
    .await;
    let told = crate::tools::troubles(&gateway.address).await;
    assert_eq!(told, ["DAMAGED"]);
    eventually("a word in the log", async || {
        let said = std::fs::read_to_string(log.path()).ok()?;
        said.contains("restore a backup").then_some(())
    })
    .await;
    gateway.kill();
    let checked = crate::world::quarterdeck(&[
        "check".into(),
        "--json".into(),
        "--data-dir".into(),
        gateway.data().into(),
    ]);
    assert_eq!(checked.status.code(), Some(65), "{checked:?}");
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let problems = report["problems"].to_string();
    assert!(
        problems.contains("every page of the file is whole"),
        "{report}"
    );
}

/// A backup that hangs keeps the log from ending: it is told, and new work is refused before the disk is full of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_can_not_be_moved_is_told_and_bounded() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let gateway = Gateway::with(crate::support::Options {
        log: Some(log.path().to_owned()),
        ..Default::default()
    });
    let mut client = gateway.client().await;
    run(&mut client, "first", "hello").await;
    // Reads, and never ends.
    let reader = rusqlite::Connection::open(gateway.data().join("quarterdeck.db")).expect("a file");
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM session;")
        .expect("read");
    let mut refused = None;
    for number in 0..120 {
        let mut data = vec![b'x'; 7 << 20];
        data[..4].copy_from_slice(&u32::to_be_bytes(number));
        let request = proto::EnqueueRequest {
            session_key: format!("s{}", number / 8),
            text: "look".into(),
            attachments: vec![proto::Attachment {
                name: "picture".into(),
                media_type: "image/png".into(),
                data: data.into(),
            }],
            ..Default::default()
        };
        if let Err(status) = client.enqueue(request).await {
            refused = Some(status);
            break;
        }
    }
    let status = refused.expect("a log has a bound");
    assert_eq!(reason(&status), "STORAGE_FULL", "{status:?}");
    let bytes = std::fs::metadata(gateway.data().join("quarterdeck.db-wal"))
        .expect("a file")
        .len();
    println!("the log grew to {} MiB", bytes >> 20);
    assert!(bytes < 300 << 20);
    let said = std::fs::read_to_string(log.path()).expect("a log");
    assert!(said.contains("log can't be moved"), "{said}");
    drop(reader);
    // By itself, once it can be moved.
    eventually("an acknowledgement", async || {
        enqueue(&mut client.clone(), "after", "hello").await.ok()
    })
    .await;
}
