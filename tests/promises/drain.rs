//! R17: SIGTERM under load. No acknowledgement is lost, callers are told nothing but UNAVAILABLE, the end comes in time.

use crate::{
    support::{kind, log, reason},
    verify::{Account, check_log},
    world::{Dice, LOOK, Ledger, Site, Visitor, dice, fact, figure, is_terminal, prompt, span},
};
use quarterdeck::client::connection_lost;
use quarterdeck::proto::{AwaitTurnRequest, Cursor, SubscribeRequest};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};
use tonic::{Code, Status};

/// Sessions and callers.
const SESSIONS: u64 = 6;
/// The server's window.
const WINDOW: Duration = Duration::from_millis(500);
/// What a drain may take beyond its window on a machine that does other things too: the last bytes of streams, the
/// store's checkpoint.
const REST: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r17_rolling_restarts_lose_nothing_and_tell_only_unavailable() {
    let mut dice = dice(17);
    let window = WINDOW.as_millis();
    let config = format!("drain_timeout = \"{window}ms\"\nqueue_limit_turns = 4\n");
    let mut site = Site::start(config);
    let outside = tempfile::tempdir().expect("a directory");
    let ledger = Arc::new(Ledger::new(outside.path()));
    let over = watch::Sender::new(false);
    let mut tasks = JoinSet::new();
    for number in 0..SESSIONS {
        let mut visitor = site.visitor().await;
        visitor
            .enqueue(&prompt(&key(number), "first", "first"))
            .await
            .expect("accepted");
        tasks.spawn(call(
            visitor,
            dice.fork(),
            number,
            ledger.clone(),
            over.subscribe(),
        ));
        tasks.spawn(read(site.visitor().await, key(number), over.subscribe()));
    }
    let rolls = figure(10, 200);
    let began = std::time::Instant::now();
    for _ in 0..rolls {
        tokio::time::sleep(dice.millis(50, 400)).await;
        site.roll(WINDOW + REST).await;
    }
    println!("{rolls} rolling restarts took {:?}", began.elapsed());
    over.send_replace(true);
    let mut told = 0;
    while let Some(ended) = tasks.join_next().await {
        told += ended.expect("nobody is told anything else");
    }
    println!("{told} streams were told why they ended");
    assert!(
        told >= rolls * SESSIONS / 2,
        "only {told} streams were told why they ended"
    );
    let resets = RESETS.load(Ordering::Relaxed);
    assert!(resets <= rolls / 5, "{resets} connections were reset");
    let mut visitor = site.visitor().await;
    let mut turns = HashMap::new();
    for number in 0..SESSIONS {
        visitor.rest(&key(number)).await;
        for turn in visitor.turns(&key(number)).await {
            turns.insert(turn.turn_id.clone(), turn);
        }
        check_log(&log(&mut visitor.client, &key(number)).await, true);
    }
    let acknowledged = ledger.read();
    println!("{} turns acknowledged", acknowledged.len());
    assert!(acknowledged.len() > 20, "too few turns to mean anything");
    for entry in acknowledged {
        let turn = turns
            .get(&entry[0])
            .unwrap_or_else(|| panic!("{} is missing", entry[0]));
        assert!(is_terminal(turn.state()), "{turn:?}");
        let why = turn.error.clone().unwrap_or_default().reason;
        assert!(why.is_empty() || why == "DRAINING", "{turn:?}");
    }
    site.gateway.check_store();
}

fn key(number: u64) -> String {
    format!("roll-{number}")
}

/// Connections that were reset: those that the kernel accepted between the last look at its queue and the socket's end.
static RESETS: AtomicU64 = AtomicU64::new(0);

/// An error that a caller may see while servers come and go. True where the server said it.
fn must_be_away(status: &Status) -> bool {
    if connection_lost(status) {
        // Nobody listens at that moment; what other clients call UNAVAILABLE too, tonic calls UNKNOWN when it is a reset.
        RESETS.fetch_add(
            u64::from(status.code() != Code::Unavailable),
            Ordering::Relaxed,
        );
        return false;
    }
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(reason(status), "DRAINING", "{status:?}");
    true
}

/// Enqueues, and awaits some of its turns.
async fn call(
    mut visitor: Visitor,
    mut dice: Dice,
    number: u64,
    ledger: Arc<Ledger>,
    over: watch::Receiver<bool>,
) -> u64 {
    for call in 0u64.. {
        if *over.borrow() {
            break;
        }
        let text = *dice.pick(&[
            "a reply",
            "!delay=5ms a slow reply",
            "!delay=300ms cut by the drain",
        ]);
        let request = prompt(&key(number), text, &format!("call-{call}"));
        let turn_id = loop {
            match visitor.client.enqueue(request.clone()).await {
                Ok(accepted) => break Some(accepted.into_inner().turn.expect("a turn").turn_id),
                Err(status) if reason(&status) == "QUEUE_FULL" => break None,
                Err(status) => {
                    must_be_away(&status);
                }
            }
            tokio::time::sleep(LOOK).await;
            visitor.reconnect().await;
        };
        let Some(turn_id) = turn_id else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        ledger.write(&[&turn_id]);
        if dice.chance(30) {
            let request = AwaitTurnRequest {
                session_key: key(number),
                turn_id,
                wait: Some(span(Duration::from_millis(300))),
                or_question: false,
            };
            if let Err(status) = visitor.client.await_turn(request).await {
                must_be_away(&status);
                visitor.reconnect().await;
            }
        }
    }
    0
}

/// Reads a session all the time, and holds each end of its stream against what it was told. Returns how many ends were
/// explained.
async fn read(mut visitor: Visitor, key: String, mut over: watch::Receiver<bool>) -> u64 {
    let mut explained = 0;
    let mut account = Account::from(0);
    while !*over.borrow() {
        let request = SubscribeRequest {
            session_key: key.clone(),
            cursor: Some(Cursor {
                log_id: account.log_id.clone(),
                after_seq: account.seq.expect("set above"),
            }),
            ..Default::default()
        };
        account.join();
        let (mut told, mut opened) = (false, false);
        let ended = match visitor.client.subscribe(request).await {
            Err(status) => status,
            Ok(stream) => {
                opened = true;
                let mut stream = stream.into_inner();
                loop {
                    let next = tokio::select! {
                        next = stream.message() => next,
                        _ = over.changed() => return explained,
                    };
                    match next {
                        Ok(Some(event)) => {
                            told |= kind(&event) == "draining";
                            account.take(&event, None);
                        }
                        Ok(None) => panic!("a stream ends with a reason"),
                        Err(status) => break status,
                    }
                }
            }
        };
        if must_be_away(&ended) && opened {
            explained += 1;
            assert!(told, "it was told before it ended");
            assert_eq!(
                fact(&ended, "last_seq"),
                account.seq.expect("set above").to_string()
            );
        }
        tokio::time::sleep(LOOK).await;
        visitor.reconnect().await;
    }
    explained
}
