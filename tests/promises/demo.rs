//! The story that everything is for: kill -9 while a reply streams, and a restart.

use crate::{
    support::{kind, log},
    verify::{Account, check_log},
    world::{PATIENCE, Site, dice, prompt},
};
use quarterdeck::proto::{
    self, Cursor, GatewayEvent, OnInterrupt, SubscribeRequest, TurnState, gateway_event::Kind,
};
use std::time::{Duration, Instant};

/// A checkpoint is at most this old, and then some for a machine that is busy.
const CHECKPOINTED: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_r05_a_kill_while_streaming_keeps_the_text_the_queue_and_the_reader() {
    dice(100);
    let mut site = Site::start(String::new());
    let mut visitor = site.visitor().await;
    let running = prompt("talk", "!delay=20ms !repeat=100000 word after word", "1");
    let first = visitor
        .enqueue(&running)
        .await
        .expect("accepted")
        .turn
        .expect("a turn");
    let mut queued = Vec::new();
    for number in 2..5 {
        let request = prompt("talk", &format!("number {number}"), &number.to_string());
        let turn = visitor
            .enqueue(&request)
            .await
            .expect("accepted")
            .turn
            .expect("a turn");
        queued.push(turn.turn_id);
    }
    let mut account = Account::default();
    let old = stream_until_checkpointed(&mut visitor.client, "talk", &mut account).await;
    site.crash();

    visitor.reconnect().await;
    let events = resume(&mut visitor.client, "talk", &mut account, |events| {
        events.iter().filter(|e| kind(e) == "turn_ended").count() == 4
    })
    .await;
    let ends: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            Some(Kind::TurnEnded(ended)) => ended.turn.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(ends[0].turn_id, first.turn_id);
    assert_eq!(ends[0].state(), TurnState::Interrupted);
    assert_eq!(
        ends[0].error.as_ref().expect("a reason").reason,
        "GATEWAY_CRASHED"
    );
    let partial = events
        .iter()
        .find_map(|event| match &event.kind {
            Some(Kind::MessageCompleted(message)) => Some(message),
            _ => None,
        })
        .expect("the open message was closed");
    assert!(partial.partial);
    assert!(
        partial.text.len() >= old,
        "{} of {old} bytes",
        partial.text.len()
    );
    assert!(partial.text.starts_with("word after word"));
    // Queued turns ran on by themselves, in order.
    for (end, turn_id) in ends[1..].iter().zip(&queued) {
        assert_eq!(&end.turn_id, turn_id);
        assert_eq!(end.state(), TurnState::Completed);
    }
    assert_eq!(ends[3].response_text, "number 4");
    check_log(&log(&mut visitor.client, "talk").await, true);
    site.gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r02_a_kill_while_streaming_runs_a_turn_again_where_retry_was_asked() {
    dice(102);
    let mut site = Site::start(String::new());
    let mut visitor = site.visitor().await;
    let text = "!delay=40ms !repeat=75 again";
    let mut request = prompt("talk", text, "1");
    request.set_on_interrupt(OnInterrupt::Retry);
    let turn = visitor
        .enqueue(&request)
        .await
        .expect("accepted")
        .turn
        .expect("a turn");
    let after = prompt("talk", "after it", "2");
    visitor.enqueue(&after).await.expect("accepted");
    let mut account = Account::default();
    stream_until_checkpointed(&mut visitor.client, "talk", &mut account).await;
    site.crash();

    visitor.reconnect().await;
    let events = resume(&mut visitor.client, "talk", &mut account, |events| {
        events.iter().filter(|e| kind(e) == "turn_ended").count() == 2
    })
    .await;
    let kinds: Vec<&str> = events
        .iter()
        .filter(|event| event.seq > 0)
        .map(kind)
        .collect();
    let expected = ["message_completed", "retry_scheduled", "turn_started"];
    assert_eq!(kinds[..3], expected, "{kinds:?}");
    let ended = visitor.end_of("talk", &turn.turn_id).await;
    assert_eq!(ended.state(), TurnState::Completed);
    assert_eq!(ended.attempt, 2);
    assert_eq!(ended.response_text, ["again"; 75].join(" "));
    let stories = check_log(&log(&mut visitor.client, "talk").await, true);
    let attempts: Vec<i32> = stories[&turn.turn_id]
        .starts
        .iter()
        .map(|(n, _)| *n)
        .collect();
    assert_eq!(attempts, [1, 2]);
    site.gateway.check_store();
}

/// Follows a stream until its open text is surely checkpointed; returns how many bytes of it surely are.
async fn stream_until_checkpointed(
    client: &mut crate::support::Client,
    key: &str,
    account: &mut Account,
) -> usize {
    let request = SubscribeRequest {
        session_key: key.into(),
        from_oldest: true,
        ..Default::default()
    };
    let mut stream = client.subscribe(request).await.expect("there").into_inner();
    let mut began = None;
    let mut sure = 0;
    loop {
        let event = tokio::time::timeout(PATIENCE, stream.message())
            .await
            .expect("it streams")
            .expect("no error")
            .expect("no end");
        account.take(&event, None);
        if let Some(Kind::Token(token)) = &event.kind {
            let began = *began.get_or_insert_with(Instant::now);
            if sure == 0 && began.elapsed() > Duration::from_millis(200) {
                sure = usize::try_from(token.offset).expect("not negative");
            }
            if began.elapsed() > CHECKPOINTED + Duration::from_millis(200) {
                assert!(sure > 0);
                return sure;
            }
        }
    }
}

/// Resumes where the account stands and reads until all that is wanted came.
async fn resume(
    client: &mut crate::support::Client,
    key: &str,
    account: &mut Account,
    done: impl Fn(&[GatewayEvent]) -> bool,
) -> Vec<GatewayEvent> {
    let request = SubscribeRequest {
        session_key: key.into(),
        cursor: Some(Cursor {
            log_id: account.log_id.clone(),
            after_seq: account.seq.expect("it has a position"),
        }),
        ..Default::default()
    };
    let mut stream = client.subscribe(request).await.expect("there").into_inner();
    let mut events = Vec::new();
    account.join();
    while !done(&events) {
        let event: proto::GatewayEvent = tokio::time::timeout(PATIENCE, stream.message())
            .await
            .expect("it goes on")
            .expect("no error")
            .expect("no end");
        account.take(&event, None);
        events.push(event);
    }
    events
}
