//! Drain: new work is refused, what runs gets its window, every stream says why it ends (§5, R17).

use crate::world::*;
use proto::{StopReason, TurnState};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn new_work_is_refused_and_the_rest_is_served_to_the_end() {
    let mut gateway = Gateway::with(config("drain_timeout = \"60s\"\n"));
    let mut client = gateway.client().await;
    let (key, edited) = ("drained", "drained.queue");
    let active = start(&mut client, key, "!hang x").await;
    let waits = queue(&mut client, key, "waits").await;
    start(&mut client, edited, "!hang x").await;
    let removed = queue(&mut client, edited, "x").await;
    queue(&mut client, edited, "y").await;
    let mut follow = Follow::live(&mut client, key).await;
    let mut watch = client
        .watch_sessions(proto::WatchSessionsRequest::default())
        .await
        .expect("watched")
        .into_inner();
    gateway.terminate();
    let Some(Kind::Draining(draining)) = follow.until("draining").await.kind else {
        panic!("asked for")
    };
    assert!(draining.deadline.is_some());

    let draining = (Code::Unavailable, "DRAINING");
    refused(enqueue(&mut client, key, "x").await, draining.0, draining.1);
    refused(steer(&mut client, key, "x").await, draining.0, draining.1);
    let run = proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: key.into(),
            text: "x".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    refused(client.run(run).await, draining.0, draining.1);
    refused(
        call!(client.create_session(CreateSessionRequest { session_key: "new" })),
        draining.0,
        draining.1,
    );
    let fork = call!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: "new"
    }));
    refused(fork, draining.0, draining.1);

    // Reads, Subscribe, AwaitTurn, queue editing, Reset and Abort are served.
    assert_eq!(
        turn(&mut client, key, &active).await.state(),
        TurnState::Running
    );
    assert_eq!(
        waiting(&mut client, key).await,
        std::slice::from_ref(&waits)
    );
    let mut late = Follow::live(&mut client, key).await;
    ok!(client.update_queued(UpdateQueuedRequest {
        session_key: edited,
        turn_id: removed.as_str(),
        position: 1
    }));
    ok!(client.remove_queued(RemoveQueuedRequest {
        session_key: edited,
        turn_id: removed
    }));
    assert_eq!(
        ok!(client.reset(ResetRequest {
            session_key: edited
        }))
        .session
        .expect("a session")
        .generation,
        2
    );
    let mut other = client.clone();
    let waiter = tokio::spawn({
        let active = active.clone();
        async move { await_turn(&mut other, key, &active).await }
    });
    ok!(client.await_turn(AwaitTurnRequest {
        session_key: key,
        turn_id: active.as_str(),
        wait: millis(1),
        or_question: false,
    }));
    assert!(abort(&mut client, key).await.aborted);
    assert_eq!(waiter.await.expect("no panic").state(), TurnState::Canceled);

    // Nothing runs any more: the streams end, after the last terminal event.
    for follow in [&mut follow, &mut late] {
        let ended = follow.failure().await;
        let details = refused(Err::<(), _>(ended), draining.0, draining.1);
        let durable = durable(&follow.seen);
        let last = durable.last().expect("some");
        assert_eq!((kind(last), &last.turn_id), ("turn_ended", &active));
        assert_eq!(fact(&details, "last_seq"), last.seq.to_string());
    }
    let ended = loop {
        match soon(watch.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a watch ends with its reason"),
            Err(status) => break status,
        }
    };
    refused(Err::<(), _>(ended), draining.0, draining.1);
    assert_eq!(gateway.wait(), Some(0));

    // What waited runs after the start.
    gateway.restart();
    let mut client = gateway.client().await;
    assert_eq!(
        await_turn(&mut client, key, &waits).await.state(),
        TurnState::Completed
    );
    assert!(!exists(&mut client, "new").await);
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_that_outlasts_the_window_is_interrupted_with_all_it_said() {
    let mut gateway = Gateway::with(config("drain_timeout = \"200ms\"\n"));
    let mut client = gateway.client().await;
    let key = "interrupted";
    let run = proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: key.into(),
            text: "!delay=10ms !repeat=100000 word".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut stream = Follow::new(client.run(run).await.expect("runs").into_inner());
    let turn_id = stream.until("token").await.turn_id;
    let mut other = client.clone();
    let waiter = tokio::spawn({
        let turn_id = turn_id.clone();
        async move { await_turn(&mut other, key, &turn_id).await }
    });
    ok!(client.await_turn(AwaitTurnRequest {
        session_key: key,
        turn_id: turn_id.as_str(),
        wait: millis(1),
        or_question: false,
    }));
    gateway.terminate();
    let events = stream.rest().await;
    assert_eq!(kind(events.last().expect("some")), "turn_ended");
    let told = waiter.await.expect("no panic");
    assert_eq!(
        end(&told),
        (TurnState::Interrupted, "DRAINING", StopReason::Aborted)
    );
    assert_eq!(gateway.wait(), Some(0));
    gateway.restart();
    let mut client = gateway.client().await;
    assert_eq!(
        turn(&mut client, key, &turn_id).await,
        told,
        "a terminal state never changes"
    );
    let streamed = text(&events);
    let messages = ok!(client.list_messages(ListMessagesRequest { session_key: key })).messages;
    let last = messages.last().expect("some");
    let Some(proto::message_part::Part::Text(kept)) = &last.parts[0].part else {
        panic!("{last:?}")
    };
    assert!(
        last.partial && kept.text == streamed,
        "a clean end loses nothing"
    );
    assert_eq!(
        session(&mut client, key).await.state(),
        proto::SessionState::Idle
    );
    gateway.check_store();
}
