//! SubscribeMany where things go wrong: the server dies, the stream is not read.

use crate::world::*;
use proto::{SubscribeManyRequest, gateway_service_client::GatewayServiceClient};
use std::{collections::BTreeMap, fs, sync::Arc};
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

/// Sessions that a stream which nobody reads follows.
const UNREAD_SESSIONS: usize = 60;
/// Text of each of their turns, in bytes: with it a first page of the store is full.
const UNREAD_TEXT_BYTES: usize = 150_000;
/// Growth of the server by a stream that nobody reads. Were each session's first page held, it were 12 MiB and more.
const UNREAD_MAX_KIB: u64 = 6 * 1024;

/// Follows all from where each cursor is.
fn resume(cursors: &BTreeMap<String, proto::Cursor>) -> SubscribeManyRequest {
    let cursors = cursors.iter().map(|(key, cursor)| proto::SessionCursor {
        session_key: key.clone(),
        log_id: cursor.log_id.clone(),
        after_seq: cursor.after_seq,
        ..Default::default()
    });
    SubscribeManyRequest {
        cursors: cursors.collect(),
        ..Default::default()
    }
}

/// R5: with a cursor of each session a reader goes on where it was, whenever the server is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_server_costs_no_event() {
    let mut gateway = Gateway::with(config("drain_timeout = \"0s\"\n"));
    let mut cursors: BTreeMap<_, _> = (0..5)
        .map(|n| (format!("many.kill:{n}"), proto::Cursor::default()))
        .collect();
    let mut had: BTreeMap<String, Vec<proto::GatewayEvent>> = BTreeMap::new();
    for round in 0..4 {
        let mut client = gateway.client().await;
        for key in cursors.keys() {
            queue(&mut client, key, "!delay=1ms !tool=look !repeat=20 x").await;
        }
        let stream = client.subscribe_many(resume(&cursors)).await;
        let mut follow = Follow::new(stream.expect("followed").into_inner());
        // Another place in each round.
        for _ in 0..3 + round * 25 {
            follow.next().await.expect("goes on").expect("goes on");
        }
        for event in durable(&follow.seen) {
            let cursor = proto::Cursor {
                log_id: event.log_id.clone(),
                after_seq: event.seq,
            };
            cursors.insert(event.session_key.clone(), cursor);
            had.entry(event.session_key.clone())
                .or_default()
                .push(event);
        }
        gateway.kill();
        gateway.restart();
    }
    let mut client = gateway.client().await;
    for (key, seen) in had {
        let whole = log(&mut client, &key).await;
        assert!(!seen.is_empty() && whole.starts_with(&seen), "{key}");
    }
    gateway.check_store();
}

/// R10: a stream that nobody reads holds little, delays nobody, and has everything once it is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_holds_little_and_loses_nothing() {
    let gateway = Gateway::with(config(
        "drain_timeout = \"0s\"\nmax_running_turns = 8\nserve_threads = 1\n",
    ));
    let mut client = gateway.client().await;
    let text: Arc<str> = "x".repeat(UNREAD_TEXT_BYTES).into();
    let mut writers = JoinSet::new();
    for number in 0..UNREAD_SESSIONS {
        let (mut client, text) = (client.clone(), text.clone());
        writers.spawn(async move {
            let key = format!("many.unread:{number}");
            run(&mut client, &key, &text).await;
            (key, proto::Cursor::default())
        });
        if writers.len() > 8 {
            writers.join_next().await;
        }
    }
    while writers.join_next().await.is_some() {}
    let cursors: BTreeMap<_, _> = (0..UNREAD_SESSIONS)
        .map(|number| (format!("many.unread:{number}"), proto::Cursor::default()))
        .collect();
    let mut logs = BTreeMap::new();
    for key in cursors.keys() {
        logs.insert(key.clone(), log(&mut client, key).await);
    }

    let narrow = Endpoint::from_shared(gateway.address.clone())
        .expect("an address")
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    let channel = narrow.connect().await.expect("the server accepts");
    let mut slow = GatewayServiceClient::new(channel).max_decoding_message_size(usize::MAX);
    let before = resident(gateway.pid());
    let stream = slow.subscribe_many(resume(&cursors)).await;
    let mut unread = Follow::new(stream.expect("followed").into_inner());
    // Others are served meanwhile, and what the stream could hold it holds by then.
    let mut live = Follow::live(&mut client, "many.unread:0").await;
    for _ in 0..5 {
        run(&mut client, "many.unread:0", "others go on").await;
        live.until("turn_ended").await;
    }
    let grown = resident(gateway.pid()).saturating_sub(before);
    println!("{grown} KiB for {UNREAD_SESSIONS} sessions that nobody reads");
    assert!(grown < UNREAD_MAX_KIB, "{grown} KiB");

    logs.insert(
        "many.unread:0".into(),
        log(&mut client, "many.unread:0").await,
    );
    let mut missing: usize = logs.values().map(Vec::len).sum();
    let mut seen: BTreeMap<String, Vec<proto::GatewayEvent>> = BTreeMap::new();
    while missing > 0 {
        let event = unread.next().await.expect("goes on").expect("goes on");
        unread.seen.clear();
        if event.seq > 0 {
            missing -= 1;
            seen.entry(event.session_key.clone())
                .or_default()
                .push(event);
        }
    }
    assert!(seen == logs, "each session's log, once and in order");
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.expect("a number").parse().expect("a number")
}
