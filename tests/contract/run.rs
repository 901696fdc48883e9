//! Run: Enqueue and that turn's events to its end (§4).

use crate::world::*;
use proto::{OnBusy, StopReason, TurnState};

fn request(key: &str, text: &str) -> proto::RunRequest {
    proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: key.into(),
            text: text.into(),
            request_id: "run-1".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn follow(client: &mut Client, request: proto::RunRequest) -> Follow {
    Follow::new(client.run(request).await.expect("it runs").into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_streams_one_turn_and_ends_well() {
    let (_server, mut client) = shared().await;
    let key = "run.turn";
    run(&mut client, key, "before").await;
    start(&mut client, key, "!hang x").await;
    let mut stream = follow(&mut client, request(key, "!think=a !tool=look one two")).await;
    let queued = stream.until("turn_queued").await;
    abort(&mut client, key).await;
    let events = stream.rest().await;
    let turn_id = &queued.turn_id;
    assert!(
        events
            .iter()
            .all(|e| &e.turn_id == turn_id || kind(e) == "session_state"),
        "{:?}",
        kinds(&events)
    );
    assert!(!kinds(&events).contains(&"hello"));
    assert_eq!(durable(&events), of_turn(&mut client, key, turn_id).await);
    assert_eq!(kind(events.last().expect("some")), "turn_ended");
    assert_eq!(text(&events), "one two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_repeat_attaches_to_the_same_turn_while_it_runs_and_after() {
    let (_server, mut client) = shared().await;
    let key = "run.reattach";
    let prompt = request(key, "!delay=10ms !repeat=150 word");
    let mut first = follow(&mut client, prompt.clone()).await;
    first.until("token").await;
    first.until("token").await;
    let mut second = follow(&mut client, prompt.clone()).await;
    let Some(Kind::ItemSnapshot(open)) = second.until("item_snapshot").await.kind else {
        panic!("asked for")
    };
    assert!(!open.text.is_empty() && open.offset == 0);
    let done = second.until("message_completed").await;
    let Some(Kind::MessageCompleted(done)) = done.kind else {
        panic!("asked for")
    };
    assert_eq!(second.text(), done.text);
    let first = durable(&first.rest().await);
    assert_eq!(first, durable(&second.rest().await));
    assert_eq!(
        first,
        durable(&follow(&mut client, prompt.clone()).await.rest().await)
    );
    let after_seq = first[2].seq;
    let rest = follow(
        &mut client,
        proto::RunRequest {
            after_seq,
            ..prompt
        },
    )
    .await
    .rest()
    .await;
    assert_eq!(durable(&rest), first[3..]);
    assert_eq!(
        ok!(client.list_turns(ListTurnsRequest { session_key: key }))
            .turns
            .len(),
        1
    );
}

/// DEFECTS 38: what is kept does not hang on a connection. FEATURES 6.2 15.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_goes_away_cancels_nothing() {
    let (_server, mut client) = shared().await;
    let key = "run.gone";
    let mut stream = follow(&mut client, request(key, "!delay=5ms !repeat=200 word")).await;
    let turn_id = stream.until("token").await.turn_id;
    drop(stream);
    assert_eq!(
        await_turn(&mut client, key, &turn_id).await.state(),
        TurnState::Completed
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cancel_on_disconnect_cancels_when_the_last_stream_is_gone() {
    let (_server, mut client) = shared().await;
    let (left, held) = ("run.left", "run.held");
    let asked = |key: &str| proto::RunRequest {
        cancel_on_disconnect: true,
        ..request(key, "!hang x")
    };
    let mut of_left = follow(&mut client, asked(left)).await;
    let mut of_held = follow(&mut client, asked(held)).await;
    let mut again = follow(&mut client, asked(held)).await;
    let left_id = of_left.until("turn_started").await.turn_id;
    let held_id = of_held.until("turn_started").await.turn_id;
    again.until("turn_started").await;
    drop((of_held, of_left));
    let ended = await_turn(&mut client, left, &left_id).await;
    assert_eq!(
        end(&ended),
        (TurnState::Canceled, "DISCONNECTED", StopReason::Aborted)
    );
    // That took five seconds; the other turn lost a stream in the same moment.
    assert_eq!(
        turn(&mut client, held, &held_id).await.state(),
        TurnState::Running
    );
    abort(&mut client, held).await;
    again.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_refuses_what_it_can_not_follow_and_runs_nothing() {
    let (_server, mut client) = shared().await;
    let key = "run.refused";
    let mut steers = request(key, "x");
    steers.enqueue.as_mut().expect("set").on_busy = OnBusy::SteerOrEnqueue.into();
    invalid(client.run(steers).await, &["enqueue.on_busy"]);
    invalid(client.run(proto::RunRequest::default()).await, &["enqueue"]);
    invalid(
        client.run(request("a b", " ")).await,
        &["enqueue.session_key", "enqueue.text"],
    );
    let negative = proto::RunRequest {
        after_seq: -1,
        ..request(key, "x")
    };
    invalid(client.run(negative).await, &["after_seq"]);
    assert!(!exists(&mut client, key).await);
    start(&mut client, key, "!hang x").await;
    let mut busy = request(key, "x");
    busy.enqueue.as_mut().expect("set").on_busy = OnBusy::Reject.into();
    refused(
        client.run(busy).await,
        Code::FailedPrecondition,
        "SESSION_BUSY",
    );
    abort(&mut client, key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_ends_well_for_every_end_of_its_turn() {
    let (_server, mut client) = shared().await;
    let failed = follow(&mut client, request("run.failed", "!fail=WHY x"))
        .await
        .rest()
        .await;
    let Some(Kind::TurnEnded(ended)) = &failed.last().expect("some").kind else {
        panic!("it ends with the turn")
    };
    assert_eq!(
        end(ended.turn.as_ref().expect("a turn")),
        (TurnState::Failed, "AGENT_ERROR", StopReason::Error)
    );

    let key = "run.rejected";
    start(&mut client, key, "!hang x").await;
    let mut stream = follow(&mut client, request(key, "x")).await;
    stream.until("turn_queued").await;
    ok!(client.clear_queue(ClearQueueRequest { session_key: key }));
    assert_eq!(
        kinds(&durable(&stream.rest().await)),
        ["turn_queued", "turn_ended"]
    );
    abort(&mut client, key).await;
}
