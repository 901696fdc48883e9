//! Calls that wait: for news, and for the end of what they stop. Each kind is bounded per principal and tenant.

use crate::{
    support::{SOON, reason},
    world::{Caller, assert_over, fact, start_with},
};
use quarterdeck::proto;
use std::time::{Duration, Instant};
use tonic::Status;

const SCOPES: [&str; 4] = [
    "session.read",
    "session.write",
    "session.abort",
    "session.reset",
];

fn await_turn(key: &str, turn_id: &str) -> proto::AwaitTurnRequest {
    proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: turn_id.into(),
        wait: None,
        or_question: false,
    }
}

fn long_read(key: &str, after_seq: i64) -> proto::ReadEventsRequest {
    proto::ReadEventsRequest {
        session_key: key.into(),
        cursor: Some(proto::Cursor {
            after_seq,
            ..Default::default()
        }),
        wait: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..Default::default()
    }
}

/// Calls until it is refused: how many wait at that time, and the refusal.
async fn fill(
    caller: &Caller,
    key: &str,
    turn_id: &str,
) -> (Vec<tokio::task::JoinHandle<()>>, Status) {
    let began = Instant::now();
    let (refused, mut told) = tokio::sync::mpsc::channel(64);
    let mut waiting = Vec::new();
    loop {
        assert!(began.elapsed() < SOON, "nothing is refused");
        let (mut client, refused) = (caller.gateway(), refused.clone());
        let asked = await_turn(key, turn_id);
        waiting.push(tokio::spawn(async move {
            if let Err(status) = client.await_turn(asked).await {
                let _ = refused.send(status).await;
            }
        }));
        let next = tokio::time::timeout(Duration::from_millis(50), told.recv()).await;
        if let Ok(Some(status)) = next {
            return (waiting, status);
        }
    }
}

/// AwaitTurn and ReadEvents count together; what stops has places of its own; a place is free again when its call ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_wait_are_bounded_per_principal_and_tenant() {
    let config = "principal_max_waits = 3\ntenant_max_waits = 4\ndrain_timeout = \"0s\"\n";
    let gateway = start_with(&[], config);
    let admin = Caller::admin(&gateway).await;
    let ann = admin.member("acme", "ann", &SCOPES).await;
    let bob = admin.member("acme", "bob", &SCOPES).await;
    let of_ann = ann.enqueue("a", "!hang x").await.expect("accepted").turn_id;
    let of_bob = bob.enqueue("b", "!hang x").await.expect("accepted").turn_id;

    let (waiting, refused) = fill(&ann, "a", &of_ann).await;
    assert_over(&refused, "TOO_MANY_WAITS", "principal", 3);
    assert_eq!(fact(&refused, "current"), "3");
    assert_eq!(waiting.len(), 4, "three wait, the fourth was refused");
    // Long reads are of the same kind.
    let refused = ann.gateway().read_events(long_read("a", 2)).await;
    assert_eq!(reason(&refused.expect_err("no place")), "TOO_MANY_WAITS");
    // The tenant has one place left, which is bob's.
    let (others, refused) = fill(&bob, "b", &of_bob).await;
    assert_eq!(fact(&refused, "of"), "tenant");
    assert_eq!(others.len(), 2, "one waits, the second was refused");
    // Who waits can still ask, and stop what it waits for: then its calls have ended, and there is room.
    ann.who().await.expect("it does not wait");
    let abort = proto::AbortRequest {
        session_key: "a".into(),
        ..Default::default()
    };
    let aborted = ann.gateway().abort(abort).await.expect("it has a place");
    assert!(aborted.into_inner().aborted);
    for call in waiting {
        tokio::time::timeout(SOON, call)
            .await
            .expect("it ends")
            .expect("no panic");
    }
    let done = ann.gateway().await_turn(await_turn("a", &of_ann)).await;
    assert!(done.is_ok(), "{done:?}");
    // A caller that goes away gives its places back too.
    for call in others {
        call.abort();
    }
    let began = Instant::now();
    while let Err(refused) = bob.gateway().read_events(long_read("b", 0)).await {
        assert_eq!(reason(&refused), "TOO_MANY_WAITS");
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (principal, tenant) = admin.account_limits().await;
    assert_eq!((principal.waits, tenant.waits), (3, 4));
}
