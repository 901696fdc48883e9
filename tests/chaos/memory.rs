//! Memory that a storm leaves behind when all is idle again.

use crate::{
    support::{Gateway, Options},
    world::{LOOK, UNBOUNDED, eventually},
};

/// What the server may hold when all is idle, in MiB: its page cache of the store is more than half of it.
const IDLE_MAX_MIB: u64 = 120;

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        / 1024
}

/// 64 answers of 3.9 MB at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_leaves_little_memory() {
    let gateway = Gateway::with(Options {
        config: UNBOUNDED.into(),
        ..Options::default()
    });
    let before = resident_mib(gateway.pid());
    let text = format!("!repeat=10 {}", "x".repeat(390_000));
    let mut turns = Vec::new();
    for number in 0..64 {
        let mut client = gateway.client().await;
        let text = text.clone();
        turns.push(tokio::spawn(async move {
            let key = format!("s{number}");
            crate::support::enqueue(&mut client, &key, &text)
                .await
                .expect("accepted");
            loop {
                let request = quarterdeck::proto::GetSessionRequest {
                    session_key: key.clone(),
                    ..Default::default()
                };
                let session = client.get_session(request).await.expect("there");
                let session = session.into_inner().session.expect("a session");
                if session.state() == quarterdeck::proto::SessionState::Idle
                    && session.queue_depth == 0
                {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        }));
    }
    let mut peak = 0;
    for turn in turns {
        turn.await.expect("no panic");
        peak = peak.max(resident_mib(gateway.pid()));
    }
    let pid = gateway.pid();
    let began = std::time::Instant::now();
    let mut least = u64::MAX;
    eventually("idle memory", async || {
        least = least.min(resident_mib(pid));
        if began.elapsed().as_secs() >= 40 {
            println!("{before} MiB at the start, {peak} at the peak, {least} when idle");
            assert!(least <= IDLE_MAX_MIB, "{least} MiB stay of {peak}");
        }
        (least <= IDLE_MAX_MIB).then_some(())
    })
    .await;
    println!("{before} MiB at the start, {peak} at the peak, {least} when idle");
}
