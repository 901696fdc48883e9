//! Calls that wait: for news, and for the end of what they stop. Each kind is bounded per principal and tenant.

use crate::{
    support::{SOON, reason},
    world::{Caller, fact, request, start_with},
};
use quarterdeck::proto;
use std::time::{Duration, Instant};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

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
    let member = async |subject: &str| {
        let wish = proto::CreateApiKeyRequest {
            tenant: "acme".into(),
            subject: subject.into(),
            ..request(&SCOPES)
        };
        admin.as_key(&admin.make(wish).await.expect("a key").secret)
    };
    let (ann, bob) = (member("ann").await, member("bob").await);
    let enqueue = async |caller: &Caller, key: &str| {
        let request = proto::EnqueueRequest {
            session_key: key.into(),
            text: "!hang x".into(),
            ..Default::default()
        };
        let turn = caller.gateway().enqueue(request).await.expect("accepted");
        turn.into_inner().turn.expect("a turn").turn_id
    };
    let of_ann = enqueue(&ann, "a").await;
    let of_bob = enqueue(&bob, "b").await;

    let (waiting, refused) = fill(&ann, "a", &of_ann).await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(reason(&refused), "TOO_MANY_WAITS");
    assert_eq!(fact(&refused, "of"), "principal");
    assert_eq!(fact(&refused, "limit"), "3");
    assert_eq!(fact(&refused, "current"), "3");
    assert!(refused.get_details_retry_info().is_some());
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
    let info = admin
        .service()
        .get_server_info(proto::GetServerInfoRequest {})
        .await;
    let limits = info
        .expect("it answers")
        .into_inner()
        .limits
        .expect("limits");
    assert_eq!(limits.principal.expect("bounds").waits, 3);
    assert_eq!(limits.tenant.expect("bounds").waits, 4);
}
