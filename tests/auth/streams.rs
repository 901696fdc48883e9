//! What is open ends with the credential that opened it.

use crate::{
    support::{Gateway, SOON, reason},
    world::{Caller, request, start},
};
use quarterdeck::proto;
use std::time::{Duration, Instant};
use tonic::{Code, Status, Streaming};

/// How long after its key's end a stream may go on.
const PROMISE: Duration = Duration::from_secs(5);

/// Subscribes, and reads until there is nothing to read for now.
async fn subscribe(caller: &Caller, key: &str) -> Streaming<proto::GatewayEvent> {
    let request = proto::SubscribeRequest {
        session_key: key.into(),
        ..Default::default()
    };
    let mut stream = caller
        .gateway()
        .subscribe(request)
        .await
        .unwrap()
        .into_inner();
    loop {
        let event = stream.message().await.unwrap().expect("it goes on");
        if matches!(event.kind, Some(proto::gateway_event::Kind::CaughtUp(_))) {
            return stream;
        }
    }
}

/// Reads to the end of a stream, and says how it ended.
async fn end_of<T>(mut stream: Streaming<T>) -> Status {
    let end = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a stream of a key that ended must not end well"),
                Err(status) => return status,
            }
        }
    };
    tokio::time::timeout(SOON, end).await.expect("it ends")
}

fn assert_ended(status: &Status) {
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(reason(status), "CREDENTIALS_INVALID");
}

async fn hang(gateway: &Gateway, key: &str) -> String {
    let admin = Caller::admin(gateway).await;
    let request = proto::EnqueueRequest {
        session_key: key.into(),
        text: "!hang".into(),
        ..Default::default()
    };
    let answer = admin.gateway().enqueue(request).await.unwrap();
    answer.into_inner().turn.unwrap().turn_id
}

/// Revoking a key ends its open streams and its waiting calls within 5 s, and nobody else's.
#[tokio::test]
async fn revocation_ends_what_is_open() {
    let gateway = start();
    let turn_id = hang(&gateway, "main").await;
    let admin = Caller::admin(&gateway).await;
    let made = admin.make_key(&["session.read", "session.write"]).await;
    let caller = admin.as_key(&made.secret);

    let quiet = subscribe(&caller, "main").await;
    let others = subscribe(&admin, "main").await;
    let many = proto::SubscribeManyRequest {
        filter: Some(proto::SessionFilter::default()),
        ..Default::default()
    };
    let many = caller
        .gateway()
        .subscribe_many(many)
        .await
        .unwrap()
        .into_inner();
    let watch = proto::WatchSessionsRequest::default();
    let watch = caller
        .gateway()
        .watch_sessions(watch)
        .await
        .unwrap()
        .into_inner();
    let busy = proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: "busy".into(),
            text: "!delay=1ms !repeat=100000 tick".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let busy = caller.gateway().run(busy).await.unwrap().into_inner();
    let wait = proto::AwaitTurnRequest {
        session_key: "main".into(),
        turn_id,
        wait: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        or_question: false,
    };
    let mut waiting = caller.gateway();
    let waiting = tokio::spawn(async move { waiting.await_turn(wait).await });
    // Whether the waiting call is there before the revocation or after it, it is told the same.
    caller.who().await.unwrap();

    let began = Instant::now();
    admin.revoke(&made.api_key.unwrap().key_id).await.unwrap();
    for end in [
        end_of(quiet).await,
        end_of(many).await,
        end_of(busy).await,
        waiting.await.unwrap().unwrap_err(),
    ] {
        assert_ended(&end);
    }
    assert_ended(&end_of(watch).await);
    assert!(began.elapsed() < PROMISE, "{:?}", began.elapsed());

    // The other's stream goes on: it hears of the turn's end.
    let abort = proto::AbortRequest {
        session_key: "main".into(),
        ..Default::default()
    };
    admin.gateway().abort(abort).await.unwrap();
    let mut others = others;
    let heard = async {
        loop {
            let event = others.message().await.unwrap().expect("it goes on");
            if matches!(event.kind, Some(proto::gateway_event::Kind::TurnEnded(_))) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, heard)
        .await
        .expect("it hears of it");
}

/// A stream lives no longer than its key.
#[tokio::test]
async fn expiry_ends_what_is_open() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let mut wish = request(&["session.read"]);
    wish.ttl = Some(prost_types::Duration {
        seconds: 2,
        nanos: 0,
    });
    let made = admin.make(wish).await.unwrap();
    let stream = subscribe(&admin.as_key(&made.secret), "main").await;
    let began = Instant::now();
    assert_ended(&end_of(stream).await);
    assert!(began.elapsed() < Duration::from_secs(2) + PROMISE);
}
