//! Memory that a storm leaves behind when all is idle again.

use crate::{
    support::{Gateway, Options, enqueue},
    world::{UNBOUNDED, eventually, figure},
};
use quarterdeck::proto;

/// What the server may hold when all is idle, in MiB.
const IDLE_MAX_MIB: u64 = 120;
/// Bytes of a prompt; its answer is ten times as long.
const PROMPT_BYTES: usize = 390_000;

/// Answers of 3.9 MB, all at once: 16, or 64 in the long run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_leaves_little_memory() {
    let mut gateway = Gateway::with(Options {
        config: UNBOUNDED.into(),
        ..Options::default()
    });
    let turns = figure(16, 64);
    let pid = gateway.pid();
    let before = resident_mib(pid);
    let text = format!("!repeat=10 {}", "x".repeat(PROMPT_BYTES));
    let mut client = gateway.client().await;
    let key = |number| format!("s{number}");
    for number in 0..turns {
        enqueue(&mut client, &key(number), &text)
            .await
            .expect("accepted");
    }
    let mut peak = before;
    for number in 0..turns {
        eventually("the turn's end", async || {
            peak = peak.max(resident_mib(pid));
            let request = proto::GetSessionRequest {
                session_key: key(number),
                ..Default::default()
            };
            let session = client.get_session(request).await.expect("there");
            let session = session.into_inner().session.expect("a session");
            let idle = session.state() == proto::SessionState::Idle;
            (idle && session.queue_depth == 0).then_some(())
        })
        .await;
    }
    assert!(peak > 2 * IDLE_MAX_MIB, "{peak} MiB is no storm");
    let mut least = peak;
    let began = std::time::Instant::now();
    eventually(&format!("at most {IDLE_MAX_MIB} MiB"), async || {
        let now = resident_mib(pid);
        if now < least {
            println!("{now} MiB after {:?}", began.elapsed());
            least = now;
        }
        (now <= IDLE_MAX_MIB).then_some(())
    })
    .await;
    println!("{before} MiB at the start, {peak} at the peak, {least} when idle");
    gateway.check_store();
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        / 1024
}
