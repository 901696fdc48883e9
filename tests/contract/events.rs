//! ReadEvents, and logs whose old events are gone (§5).

use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_are_bounded_and_go_on_where_they_ended() {
    let (_server, mut client) = shared().await;
    let key = "events.pages";
    for _ in 0..3 {
        run(&mut client, key, "x").await;
    }
    let all = log(&mut client, key).await;
    let head = all.last().expect("some").seq;
    let mut read = Vec::new();
    let mut after = 0;
    while after < head {
        let page = ok!(client.read_events(ReadEventsRequest {
            session_key: key,
            cursor: cursor(after),
            limit: 2
        }));
        assert!(page.events.len() <= 2 && page.next_after_seq > after);
        assert_eq!(
            (page.head_seq, page.first_seq, &page.log_id),
            (head, 1, &all[0].log_id)
        );
        after = page.next_after_seq;
        read.extend(page.events);
    }
    assert_eq!(read, all);
    assert!(
        all.iter().zip(1..).all(|(event, seq)| event.seq == seq),
        "dense from 1"
    );
    let oldest = ok!(client.read_events(ReadEventsRequest {
        session_key: key,
        from_oldest: true
    }));
    assert_eq!(oldest.events, all);
    let unset = ok!(client.read_events(ReadEventsRequest { session_key: key }));
    assert_eq!(unset.events, all, "without a cursor from the oldest");
    let kinds = vec!["turn_ended".to_owned()];
    let ends = ok!(client.read_events(ReadEventsRequest {
        session_key: key,
        kinds: kinds,
        limit: 2
    }));
    assert_eq!(ends.events.len(), 2);
    assert!(ends.events.iter().all(|e| kind(e) == "turn_ended"));
    let ephemeral = vec!["token".to_owned()];
    let none = ok!(client.read_events(ReadEventsRequest {
        session_key: key,
        kinds: ephemeral
    }));
    assert_eq!((none.events.len(), none.next_after_seq), (0, head));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn wait_holds_the_answer_until_something_comes() {
    let (_server, mut client) = shared().await;
    let key = "events.wait";
    run(&mut client, key, "x").await;
    let head = session(&mut client, key).await.head_seq;
    let empty = ok!(client.read_events(ReadEventsRequest {
        session_key: key,
        cursor: cursor(head),
        wait: millis(1)
    }));
    assert_eq!(
        (empty.events.len(), empty.next_after_seq, empty.head_seq),
        (0, head, head)
    );
    let mut other = client.clone();
    let waiting = tokio::spawn(async move {
        ok!(other.read_events(ReadEventsRequest {
            session_key: key,
            cursor: cursor(head),
            wait: millis(30_000)
        }))
    });
    let accepted = enqueue(&mut client, key, "y").await.expect("accepted");
    let page = soon(waiting).await.expect("no panic");
    assert_eq!(
        (page.events[0].seq, kind(&page.events[0])),
        (accepted.seq, "turn_queued")
    );
    invalid(
        call!(client.read_events(ReadEventsRequest {
            session_key: key,
            wait: millis(60_001)
        })),
        &["wait"],
    );
    invalid(
        call!(client.read_events(ReadEventsRequest {
            session_key: key,
            limit: -1
        })),
        &["limit"],
    );
    let both = call!(client.read_events(ReadEventsRequest {
        session_key: key,
        from_oldest: true,
        cursor: cursor(1)
    }));
    invalid(both, &["from_oldest"]);
    let ahead = call!(client.read_events(ReadEventsRequest {
        session_key: key,
        min_seq: 10_000
    }));
    refused(ahead, Code::OutOfRange, "CURSOR_AHEAD");
    let missing = call!(client.read_events(ReadEventsRequest {
        session_key: "events.nowhere"
    }));
    refused(missing, Code::NotFound, "SESSION_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_page_is_at_most_a_mebibyte() {
    let (_server, mut client) = shared().await;
    let key = "events.large";
    let text = "x".repeat(400 * 1024);
    for _ in 0..2 {
        run(&mut client, key, &text).await;
    }
    let page = ok!(client.read_events(ReadEventsRequest { session_key: key }));
    let bytes: usize = page.events.iter().map(prost::Message::encoded_len).sum();
    assert!(
        bytes <= 1024 * 1024 && page.next_after_seq < page.head_seq,
        "{bytes}"
    );
    assert_eq!(
        log(&mut client, key).await.len(),
        usize::try_from(page.head_seq).expect("small")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_retention_took_is_expired_and_turns_and_messages_stay() {
    let mut gateway = Gateway::with(config("retention_events = 10\ndrain_timeout = \"0s\"\n"));
    let mut client = gateway.client().await;
    let key = "retained";
    let first = proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: key.into(),
            text: "first".into(),
            request_id: "id".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let stream = Follow::new(client.run(first.clone()).await.expect("runs").into_inner());
    let turn_id = stream.rest().await[0].turn_id.clone();
    for _ in 0..4 {
        run(&mut client, key, "x").await;
    }
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    // A start does its housekeeping at once.
    gateway.restart();
    let mut client = gateway.client().await;
    let trimmed = soon(async {
        loop {
            let now = session(&mut client, key).await;
            if now.first_seq > 1 {
                break now;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(trimmed.head_seq - trimmed.first_seq + 1, 10);
    let first_seq = trimmed.first_seq.to_string();
    for after in [0, trimmed.first_seq - 2] {
        let read = call!(client.read_events(ReadEventsRequest {
            session_key: key,
            cursor: cursor(after)
        }));
        let details = refused(read, Code::OutOfRange, "CURSOR_EXPIRED");
        assert_eq!(fact(&details, "first_seq"), first_seq);
        assert_eq!(fact(&details, "head_seq"), trimmed.head_seq.to_string());
        assert_eq!(fact(&details, "log_id"), trimmed.log_id);
        let request = proto::SubscribeRequest {
            session_key: key.into(),
            cursor: cursor(after),
            ..Default::default()
        };
        refused(
            client.subscribe(request).await,
            Code::OutOfRange,
            "CURSOR_EXPIRED",
        );
    }
    assert_eq!(
        ok!(client.read_events(ReadEventsRequest {
            session_key: key,
            cursor: cursor(trimmed.first_seq - 1)
        }))
        .events
        .len(),
        10
    );
    let oldest = proto::SubscribeRequest {
        session_key: key.into(),
        from_oldest: true,
        ..Default::default()
    };
    let mut follow = Follow::subscribe(&mut client, oldest).await;
    follow.until("caught_up").await;
    let kept = durable(&follow.seen);
    assert_eq!((kept[0].seq, kept.len()), (trimmed.first_seq, 10));

    assert_eq!(trimmed.message_count, 10);
    assert_eq!(
        ok!(client.list_messages(ListMessagesRequest { session_key: key }))
            .messages
            .len(),
        10
    );
    assert_eq!(
        turn(&mut client, key, &turn_id).await.response_text,
        "first"
    );
    let again = Follow::new(client.run(first).await.expect("attached").into_inner())
        .rest()
        .await;
    let Some(Kind::TurnEnded(ended)) = &again.last().expect("some").kind else {
        panic!("{again:?}")
    };
    let ended = ended.turn.as_ref().expect("a turn");
    assert_eq!(
        (&ended.turn_id, ended.response_text.as_str()),
        (&turn_id, "first"),
        "built from the turn's row"
    );
    gateway.check_store();
}
