//! R10: readers that read nothing hold up neither the session nor the other readers.

use crate::{
    support::{Client, kind, log},
    verify::Account,
    world::{PATIENCE, Site, dice, figure, prompt},
};
use quarterdeck::proto::{Cursor, GatewayEvent, SubscribeRequest};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::task::JoinSet;

/// Readers that read.
const HEALTHY: usize = 450;
/// Readers that read nothing while they are measured against.
const STALLED: usize = 50;
/// Connections that the healthy ones share.
const CONNECTIONS: usize = 10;
/// Bytes that a stalled reader's stream holds unread.
const NARROW: u32 = 1024;
/// Memory that a stalled reader may cost the server, in bytes.
const STALLED_MAX_BYTES: u64 = 1024 * 1024;
/// Medians below this are all the same on a machine that does other things too.
const FLOOR: Duration = Duration::from_millis(3);
/// The session that all of them read.
const KEY: &str = "stage";

/// What is measured, with and without stalled readers.
#[derive(Default)]
struct Samples {
    appends: [Vec<Duration>; 2],
    deliveries: [Vec<Duration>; 2],
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_readers_that_read_nothing_hold_up_nobody() {
    dice(10);
    let mut site = Site::start(String::new());
    let mut visitor = site.visitor().await;
    visitor
        .enqueue(&prompt(KEY, "first", ""))
        .await
        .expect("accepted");
    visitor.rest(KEY).await;
    let reached: Arc<Vec<AtomicI64>> = Arc::new((0..HEALTHY).map(|_| AtomicI64::new(0)).collect());
    let delays = Arc::new(Mutex::new(Vec::new()));
    let mut healthy = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let shared = site.visitor().await;
        for reader in (connection..HEALTHY).step_by(CONNECTIONS) {
            let (reached, delays) = (reached.clone(), delays.clone());
            healthy.spawn(read(shared.client.clone(), reader, reached, delays));
        }
    }
    let mut samples = Samples::default();
    let mut turns = 0;
    // One round that is not counted, then by turns.
    for round in 0..=2 * figure(5, 30) {
        let stalls = round % 2 == 1;
        let memory = resident(site.gateway.pid());
        let mut stalled = Vec::new();
        if stalls {
            for _ in 0..STALLED {
                let mut one = site.narrow_visitor(NARROW).await;
                let seq = visitor.session(KEY).await.head_seq;
                let stream = subscribe(&mut one.client, seq).await;
                stalled.push((one, stream, seq));
            }
        }
        // More than the windows and buffers of a stalled stream hold, so that it does stand still.
        let burst = format!("!repeat=40 {}", "x".repeat(8 * 1024));
        visitor
            .enqueue(&prompt(KEY, &burst, ""))
            .await
            .expect("accepted");
        let head = visitor.rest(KEY).await.head_seq;
        all_at(&reached, head).await;
        delays.lock().expect("nobody panics here").clear();
        let mut appends = Vec::new();
        for _ in 0..2 {
            turns += 1;
            // Streams a while.
            let text = format!("!delay=100ms !repeat=15 {turns}-{}", "x".repeat(512));
            visitor
                .enqueue(&prompt(KEY, &text, ""))
                .await
                .expect("accepted");
            let (address, key) = (site.gateway.address.clone(), format!("side-{turns}"));
            let apart = tokio::task::spawn_blocking(move || append_apart(address, &key));
            appends.extend(apart.await.expect("no panic"));
        }
        let head = visitor.rest(KEY).await.head_seq;
        all_at(&reached, head).await;
        let delivered = std::mem::take(&mut *delays.lock().expect("nobody panics here"));
        if round > 0 {
            samples.appends[usize::from(stalls)].append(&mut appends);
            samples.deliveries[usize::from(stalls)].extend(delivered);
        }
        if stalls {
            // What the healthy readers' share of the burst took is given back.
            let most = STALLED as u64 * STALLED_MAX_BYTES;
            let grown = crate::world::eventually("memory to be given back", async || {
                let grown = resident(site.gateway.pid()).saturating_sub(memory);
                (grown < most).then_some(grown)
            })
            .await;
            println!("memory beside stalled readers grew by {grown} bytes");
        }
        // They lost nothing durable.
        for (_visitor, stream, seq) in stalled {
            read_to(stream, seq, head).await;
        }
    }
    healthy.abort_all();
    while healthy
        .join_next()
        .await
        .is_some_and(|ended| ended.is_err_and(|e| e.is_cancelled()))
    {}
    for (what, [without, with]) in [
        ("append", samples.appends),
        ("delivery", samples.deliveries),
    ] {
        let (count, without, with) = (with.len(), median(without), median(with));
        println!(
            "{what}: median {without:?} without stalled readers, {with:?} with; {count} samples"
        );
        assert!(
            with <= without.max(FLOOR) * 2,
            "{what}: median {with:?} with stalled readers, {without:?} without"
        );
    }
    let events = log(&mut visitor.client, KEY).await;
    crate::verify::check_log(&events, true);
    site.gateway.check_store();
}

/// Waits until every healthy reader has the whole log.
async fn all_at(reached: &[AtomicI64], head: i64) {
    crate::world::eventually("every healthy reader to be at the head", async || {
        let all = reached
            .iter()
            .all(|seq| seq.load(Ordering::Relaxed) == head);
        all.then_some(())
    })
    .await;
}

/// Takes the time of commits to a session, on a thread and a connection of their own: what hundreds of readers do in this
/// process would be counted otherwise.
fn append_apart(address: String, key: &str) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut client = crate::support::connect(&address).await;
        // Behind a turn that hangs nothing but admission is measured.
        let hangs = prompt(key, "!hang", "");
        client.enqueue(hangs).await.expect("accepted");
        let mut took = Vec::new();
        for _ in 0..10 {
            let began = Instant::now();
            let waits = prompt(key, "waits", "");
            client.enqueue(waits).await.expect("accepted");
            took.push(began.elapsed());
        }
        let stop = quarterdeck::proto::AbortRequest {
            session_key: key.into(),
            clear_queue: true,
            ..Default::default()
        };
        client.abort(stop).await.expect("answered");
        took
    })
}

async fn subscribe(client: &mut Client, after_seq: i64) -> tonic::Streaming<GatewayEvent> {
    let request = SubscribeRequest {
        session_key: KEY.into(),
        cursor: Some(Cursor {
            log_id: String::new(),
            after_seq,
        }),
        ..Default::default()
    };
    client
        .subscribe(request)
        .await
        .expect("accepted")
        .into_inner()
}

/// A healthy reader: takes everything at once, and the time that each delta needed.
async fn read(
    mut client: Client,
    number: usize,
    reached: Arc<Vec<AtomicI64>>,
    delays: Arc<Mutex<Vec<Duration>>>,
) {
    let mut stream = subscribe(&mut client, 0).await;
    let mut account = Account::from(0);
    loop {
        let event = stream.message().await.expect("no error").expect("no end");
        account.take(&event, None);
        reached[number].store(account.seq.expect("set above"), Ordering::Relaxed);
        if kind(&event) == "token" {
            let at = event.event_time.expect("every event has a time");
            let at = SystemTime::try_from(at).expect("a time");
            let took = SystemTime::now().duration_since(at).unwrap_or_default();
            delays.lock().expect("nobody panics here").push(took);
        }
    }
}

async fn read_to(mut stream: tonic::Streaming<GatewayEvent>, seq: i64, head: i64) {
    let mut account = Account::from(seq);
    let reading = async {
        while account.seq != Some(head) {
            let event = stream.message().await.expect("no error").expect("no end");
            account.take(&event, None);
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("it has all of it in the end");
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .expect("it is there");
    let kibibytes: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number");
    kibibytes * 1024
}
