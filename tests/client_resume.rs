//! R10 from the client's side: over cuts, drains, lost logs and repeats, each durable event comes once and in order.

mod client_support;

use client_support::{Scene, Script, Scripted, refusal};
use quarterdeck::{
    client::{Client, ClientOptions, Cut, Start, Update, reason},
    proto::{
        Cursor, EnqueueRequest, GatewayEvent, GetSessionStateResponse, Hello, RunRequest,
        SessionDeleted, SubscribeRequest, Token, TurnEnded, TurnStarted, gateway_event::Kind,
    },
};
use std::{net::SocketAddr, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Code, Status};

/// Longer than any of these takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

fn client(address: SocketAddr) -> Client {
    let options = ClientOptions::new(address.to_string()).patience(DEADLINE);
    Client::new(options).expect("an address")
}

fn durable(log_id: &str, seq: i64) -> GatewayEvent {
    event(log_id, seq, Kind::TurnStarted(TurnStarted::default()))
}

fn event(log_id: &str, seq: i64, kind: Kind) -> GatewayEvent {
    GatewayEvent {
        session_key: "s".into(),
        log_id: log_id.into(),
        seq,
        kind: Some(kind),
        ..GatewayEvent::default()
    }
}

fn hello(log_id: &str, after_seq: i64) -> GatewayEvent {
    GatewayEvent {
        after_seq,
        ..event(log_id, 0, Kind::Hello(Hello::default()))
    }
}

fn sends(events: Vec<GatewayEvent>, end: Option<Status>) -> Scene {
    Scene {
        events,
        end,
        refused: false,
    }
}

fn refuses(status: Status) -> Scene {
    Scene {
        events: vec![],
        end: Some(status),
        refused: true,
    }
}

/// Updates until the receiver ends, or `count` of them: short words for what came.
async fn words(updates: &mut mpsc::Receiver<Result<Update, Status>>, count: usize) -> Vec<String> {
    let mut words = Vec::new();
    while words.len() < count {
        let update = timeout(DEADLINE, updates.recv()).await.expect("in time");
        words.push(match update {
            None => break,
            Some(Err(status)) => format!("error {}", reason(&status)),
            Some(Ok(Update::Cut(Cut::Draining))) => "draining".into(),
            Some(Ok(Update::Cut(Cut::Lost(_)))) => "cut".into(),
            Some(Ok(Update::Resynced(resync))) => {
                format!("{} at {}", resync.reason, resync.state.seq)
            }
            Some(Ok(Update::Event(event))) => match event.kind {
                Some(Kind::Hello(_)) => "hello".into(),
                Some(Kind::Token(_)) => "token".into(),
                _ => format!("{}:{}", event.log_id, event.seq),
            },
        });
    }
    words
}

fn subscribe() -> SubscribeRequest {
    SubscribeRequest {
        session_key: "s".into(),
        ..SubscribeRequest::default()
    }
}

#[tokio::test]
async fn a_subscription_resumes_after_what_it_handed_on_and_passes_over_repeats() {
    let draining = refusal(
        Code::Unavailable,
        "DRAINING",
        Some(Duration::from_millis(1)),
    );
    let deleted = event("a", 5, Kind::SessionDeleted(SessionDeleted {}));
    let script = Script {
        scenes: [
            sends(vec![hello("a", 2), durable("a", 3)], Some(draining.clone())),
            refuses(draining),
            // A server that repeats, and whose connection breaks without a status of ours.
            sends(
                vec![hello("a", 3), durable("a", 3), durable("a", 4)],
                Some(Status::unknown("broken")),
            ),
            sends(vec![hello("a", 4), deleted], None),
        ]
        .into(),
        ..Script::default()
    };
    let (scripted, address) = Scripted::start(script).await;
    let mut updates = client(address).follow(subscribe(), Start::Now);
    assert_eq!(
        words(&mut updates, usize::MAX).await,
        [
            "hello", "a:3", "draining", "draining", "hello", "a:4", "cut", "hello", "a:5"
        ]
    );
    let script = scripted.0.lock().expect("no panic");
    let asked: Vec<_> = script
        .subscribed
        .iter()
        .map(|request| request.cursor.as_ref().map(|cursor| cursor.after_seq))
        .collect();
    assert_eq!(asked, [None, Some(3), Some(3), Some(4)]);
}

#[tokio::test]
async fn a_void_cursor_is_replaced_by_the_state_and_said_so() {
    for void in ["LOG_CHANGED", "CURSOR_EXPIRED", "CURSOR_AHEAD"] {
        let script = Script {
            scenes: [
                refuses(refusal(Code::FailedPrecondition, void, None)),
                sends(vec![hello("new", 40), durable("new", 41)], None),
            ]
            .into(),
            state: GetSessionStateResponse {
                seq: 40,
                log_id: "new".into(),
                ..GetSessionStateResponse::default()
            },
            ..Script::default()
        };
        let (scripted, address) = Scripted::start(script).await;
        let cursor = Cursor {
            log_id: "old".into(),
            after_seq: 7,
        };
        let mut updates = client(address).follow(subscribe(), Start::After(cursor));
        let expected = [
            format!("{void} at 40"),
            "hello".into(),
            "new:41".into(),
            "cut".into(),
        ];
        assert_eq!(words(&mut updates, 4).await, expected);
        let script = scripted.0.lock().expect("no panic");
        let resumed = script.subscribed[1].cursor.clone().expect("a cursor");
        assert_eq!((resumed.log_id.as_str(), resumed.after_seq), ("new", 40));
    }
}

#[tokio::test]
async fn an_error_that_will_not_pass_ends_the_subscription() {
    let script = Script {
        scenes: [refuses(refusal(Code::NotFound, "SESSION_NOT_FOUND", None))].into(),
        ..Script::default()
    };
    let (_scripted, address) = Scripted::start(script).await;
    let mut updates = client(address).follow(subscribe(), Start::Oldest);
    assert_eq!(
        words(&mut updates, usize::MAX).await,
        ["error SESSION_NOT_FOUND"]
    );
}

#[tokio::test]
async fn run_goes_on_with_one_request_id_after_what_it_handed_on() {
    let token = event("a", 0, Kind::Token(Token::default()));
    let ended = event("a", 3, Kind::TurnEnded(TurnEnded::default()));
    let script = Script {
        scenes: [
            sends(
                vec![durable("a", 1), token],
                Some(Status::internal("h2 broke")),
            ),
            sends(vec![durable("a", 1), durable("a", 2), ended], None),
        ]
        .into(),
        ..Script::default()
    };
    let (scripted, address) = Scripted::start(script).await;
    let mut updates = client(address).run(RunRequest::default());
    assert_eq!(
        words(&mut updates, usize::MAX).await,
        ["a:1", "token", "cut", "a:2", "a:3"]
    );
    let script = scripted.0.lock().expect("no panic");
    let [first, second] = &script.ran[..] else {
        panic!("two calls");
    };
    let id = |run: &RunRequest| run.enqueue.clone().expect("a prompt").request_id;
    assert!(!id(first).is_empty());
    assert_eq!(id(first), id(second));
    assert_eq!((first.after_seq, second.after_seq), (0, 1));
}

#[tokio::test]
async fn a_call_is_repeated_with_its_request_id_only_where_the_server_says_so() {
    let unavailable = refusal(
        Code::Unavailable,
        "STORE_UNAVAILABLE",
        Some(Duration::from_millis(1)),
    );
    let full = refusal(
        Code::ResourceExhausted,
        "QUEUE_FULL",
        Some(Duration::from_millis(1)),
    );
    let script = Script {
        refusals: [unavailable.clone(), unavailable, full].into(),
        ..Script::default()
    };
    let (scripted, address) = Scripted::start(script).await;
    let status = client(address)
        .enqueue(EnqueueRequest::default())
        .await
        .expect_err("the queue is full");
    assert_eq!(reason(&status), "QUEUE_FULL");
    let script = scripted.0.lock().expect("no panic");
    assert_eq!(script.enqueued.len(), 3);
    assert!(!script.enqueued[0].request_id.is_empty());
    assert!(script.enqueued.windows(2).all(|pair| pair[0] == pair[1]));
}
