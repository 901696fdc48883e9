//! Subscribe: from a position on, without gap, repeat or reorder (§5, R5).

use crate::world::*;
use proto::{BlockKind, SessionState};

fn request(key: &str) -> proto::SubscribeRequest {
    proto::SubscribeRequest {
        session_key: key.into(),
        ..Default::default()
    }
}

fn hello(event: &proto::GatewayEvent) -> &proto::Hello {
    let Some(Kind::Hello(hello)) = &event.kind else {
        panic!("{event:?} is no hello")
    };
    hello
}

/// Reads `hello` to `caught_up`; returns the position caught up with.
async fn catch_up(follow: &mut Follow) -> i64 {
    let event = follow.until("caught_up").await;
    let Some(Kind::CaughtUp(caught_up)) = event.kind else {
        panic!("asked for")
    };
    assert_eq!((event.seq, event.after_seq), (0, caught_up.seq));
    caught_up.seq
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_cursor_it_is_live_from_the_head() {
    let (_server, mut client) = shared().await;
    let key = "subscribe.live";
    run(&mut client, key, "before").await;
    let now = session(&mut client, key).await;
    let mut follow = Follow::subscribe(&mut client, request(key)).await;
    assert_eq!(catch_up(&mut follow).await, now.head_seq);
    assert_eq!(kinds(&follow.seen), ["hello", "caught_up"]);
    let first = &follow.seen[0];
    assert_eq!(
        (first.seq, first.after_seq, &first.log_id),
        (0, now.head_seq, &now.log_id)
    );
    assert_eq!(
        (hello(first).head_seq, hello(first).first_seq),
        (now.head_seq, 1)
    );
    assert_eq!(hello(first).session.as_ref(), Some(&now));

    let turn_id = queue(&mut client, key, "!think=a_b !tool=look one two  three\n").await;
    follow.until("turn_ended").await;
    let live = &follow.seen[2..];
    // Every event says where it stands: durable ones follow each other, the others say which they follow.
    let mut last = now.head_seq;
    for event in live {
        assert_eq!(
            (event.session_key.as_str(), &event.log_id),
            (key, &now.log_id)
        );
        if event.seq > 0 {
            assert_eq!((event.seq, event.after_seq), (last + 1, 0), "{event:?}");
            last = event.seq;
        } else {
            assert_eq!(event.after_seq, last, "{event:?}");
        }
        if event.turn_id == turn_id {
            assert_eq!(event.generation, 1);
        }
        assert!(event.event_time.is_some());
    }
    assert_eq!(
        durable(live),
        log(&mut client, key).await[usize::try_from(now.head_seq).expect("small")..]
    );
    // Deltas build what the durable events say, and say where they stand.
    let mut built = String::new();
    let mut thought = String::new();
    for event in live {
        match &event.kind {
            Some(Kind::Token(token)) => {
                assert_eq!(token.offset, i64::try_from(built.len()).expect("small"));
                built.push_str(&token.delta);
            }
            Some(Kind::Thinking(token)) => {
                assert_eq!(token.offset, i64::try_from(thought.len()).expect("small"));
                thought.push_str(&token.delta);
            }
            _ => {}
        }
    }
    assert_eq!(
        (built.as_str(), thought.as_str()),
        ("one two  three\n", "a b")
    );
    let tokens = kinds(live).iter().filter(|k| **k == "token").count();
    assert_eq!(tokens, 3, "one token a word");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cursor_gives_what_came_after_it_each_once() {
    let (_server, mut client) = shared().await;
    let key = "subscribe.cursor";
    run(&mut client, key, "!tool=look a b").await;
    run(&mut client, key, "c").await;
    let all = log(&mut client, key).await;
    let log_id = all[0].log_id.clone();
    for after in 0..=all.len() {
        let after_seq = i64::try_from(after).expect("small");
        let cursor = Some(proto::Cursor {
            log_id: log_id.clone(),
            after_seq,
        });
        let mut follow = Follow::subscribe(
            &mut client,
            proto::SubscribeRequest {
                cursor,
                ..request(key)
            },
        )
        .await;
        assert_eq!(catch_up(&mut follow).await, all.last().expect("some").seq);
        assert_eq!(
            follow.seen[0].after_seq, after_seq,
            "hello tells where the stream starts"
        );
        assert_eq!(durable(&follow.seen), all[after..]);
        assert_eq!(
            follow.seen.len(),
            all.len() - after + 2,
            "hello, the events, caught_up"
        );
    }
    let mut follow = Follow::subscribe(
        &mut client,
        proto::SubscribeRequest {
            from_oldest: true,
            ..request(key)
        },
    )
    .await;
    catch_up(&mut follow).await;
    assert_eq!(durable(&follow.seen), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cursors_that_can_not_be_served_say_what_is_there() {
    let (_server, mut client) = shared().await;
    let key = "subscribe.bad-cursor";
    run(&mut client, key, "x").await;
    let now = session(&mut client, key).await;
    let with = |log_id: &str, after_seq: i64| proto::SubscribeRequest {
        cursor: Some(proto::Cursor {
            log_id: log_id.into(),
            after_seq,
        }),
        ..request(key)
    };
    let other = uuid::Uuid::new_v4().to_string();
    // The log is compared first.
    for (log_id, after, code, why) in [
        (other.as_str(), 1, Code::FailedPrecondition, "LOG_CHANGED"),
        (
            other.as_str(),
            10_000,
            Code::FailedPrecondition,
            "LOG_CHANGED",
        ),
        ("no uuid", 1, Code::FailedPrecondition, "LOG_CHANGED"),
        ("", now.head_seq + 1, Code::OutOfRange, "CURSOR_AHEAD"),
        (
            now.log_id.as_str(),
            i64::MAX,
            Code::OutOfRange,
            "CURSOR_AHEAD",
        ),
    ] {
        let details = refused(client.subscribe(with(log_id, after)).await, code, why);
        assert_eq!(fact(&details, "log_id"), now.log_id);
        assert_eq!(fact(&details, "first_seq"), "1");
        assert_eq!(fact(&details, "head_seq"), now.head_seq.to_string());
        let read = call!(client.read_events(ReadEventsRequest {
            session_key: key,
            cursor: proto::Cursor {
                log_id: log_id.into(),
                after_seq: after
            },
        }));
        refused(read, code, why);
    }
    invalid(client.subscribe(with("", -1)).await, &["cursor.after_seq"]);
    let both = proto::SubscribeRequest {
        from_oldest: true,
        ..with("", 1)
    };
    invalid(client.subscribe(both).await, &["from_oldest"]);
    refused(
        client.subscribe(request("subscribe.nowhere")).await,
        Code::NotFound,
        "SESSION_NOT_FOUND",
    );
    let ahead = proto::SubscribeRequest {
        min_seq: now.head_seq + 1,
        ..request(key)
    };
    refused(
        client.subscribe(ahead).await,
        Code::OutOfRange,
        "CURSOR_AHEAD",
    );
    let reached = proto::SubscribeRequest {
        min_seq: now.head_seq,
        ..request(key)
    };
    catch_up(&mut Follow::subscribe(&mut client, reached).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_late_reader_gets_open_blocks_and_goes_on_from_there() {
    let (_server, mut client) = shared().await;
    let key = "subscribe.late";
    run(&mut client, key, "x").await;
    let mut early = Follow::live(&mut client, key).await;
    queue(&mut client, key, "!delay=10ms !repeat=150 wörd").await;
    for _ in 0..3 {
        early.until("token").await;
    }
    let mut late = Follow::after(&mut client, key, 0).await;
    let joined = catch_up(&mut late).await;
    let durable_seen = durable(&late.seen);
    assert_eq!(durable_seen.last().expect("some").seq, joined);
    let [.., snapshot, _] = &late.seen[..] else {
        panic!("a snapshot stands before caught_up")
    };
    let Some(Kind::ItemSnapshot(body)) = &snapshot.kind else {
        panic!("{snapshot:?} is no snapshot")
    };
    assert_eq!(
        (body.block(), body.role()),
        (BlockKind::Text, proto::Role::Assistant)
    );
    assert_eq!(
        (body.offset, snapshot.seq, snapshot.after_seq),
        (0, 0, joined)
    );
    assert!(!body.text.is_empty());
    let mut text = body.text.clone();
    let at = late.seen.len();
    let done = late.until("message_completed").await;
    for event in &late.seen[at..] {
        if let Some(Kind::Token(token)) = &event.kind {
            assert_eq!(
                usize::try_from(token.offset).expect("positive"),
                text.len(),
                "no byte twice, none left out"
            );
            text.push_str(&token.delta);
        }
    }
    let Some(Kind::MessageCompleted(done)) = done.kind else {
        panic!("asked for")
    };
    assert_eq!(done.text, text);
    early.until("turn_ended").await;
    late.until("turn_ended").await;
    let after = |events: &[proto::GatewayEvent], seq: i64| {
        let mut events = durable(events);
        events.retain(|e| e.seq > seq);
        events
    };
    assert_eq!(after(&early.seen, joined), after(&late.seen, joined));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_late_reader_gets_open_thinking_too() {
    let (_server, mut client) = shared().await;
    let key = "subscribe.thinking";
    let turn_id = queue(&mut client, key, "!delay=60s !think=one_two x").await;
    let mut early = Follow::after(&mut client, key, 0).await;
    // Either as a delta or, where it came before, in the snapshot.
    loop {
        let event = early.next().await.expect("goes on").expect("goes on");
        if matches!(kind(&event), "thinking" | "item_snapshot") {
            break;
        }
    }
    let mut late = Follow::live(&mut client, key).await;
    let open = late.seen.iter().find_map(|e| match &e.kind {
        Some(Kind::ItemSnapshot(snapshot)) => Some(snapshot.clone()),
        _ => None,
    });
    let open = open.expect("a thinking block is open");
    assert_eq!(
        (open.block(), open.offset, open.text.as_str()),
        (BlockKind::Thinking, 0, "one ")
    );
    abort(&mut client, key).await;
    late.until("turn_ended").await;
    let events = of_turn(&mut client, key, &turn_id).await;
    let kept = events.iter().find_map(|e| match &e.kind {
        Some(Kind::ThinkingCompleted(thinking)) => Some(thinking.clone()),
        _ => None,
    });
    let kept = kept.expect("what was streamed is kept");
    assert!(kept.partial && kept.text == "one ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn filters_leave_out_all_but_control_events() {
    let (_server, mut client) = shared().await;
    let key = "subscribe.kinds";
    run(&mut client, key, "x").await;
    let only = proto::SubscribeRequest {
        kinds: vec!["turn_ended".into()],
        cursor: cursor(0),
        ..request(key)
    };
    let mut follow = Follow::subscribe(&mut client, only).await;
    let head = catch_up(&mut follow).await;
    assert_eq!(kinds(&follow.seen), ["hello", "turn_ended", "caught_up"]);
    assert_eq!(
        head,
        session(&mut client, key).await.head_seq,
        "how far the server has looked"
    );
    let ended = run(&mut client, key, "!think=a !tool=b c").await.turn_id;
    assert_eq!(follow.until("turn_ended").await.turn_id, ended);
    assert_eq!(kinds(&follow.seen[3..]), ["turn_ended"]);

    let deltas = proto::SubscribeRequest {
        kinds: vec!["token".into(), "hello".into()],
        ..request(key)
    };
    let mut follow = Follow::subscribe(&mut client, deltas).await;
    catch_up(&mut follow).await;
    run(&mut client, key, "one two").await;
    follow.until("token").await;
    follow.until("token").await;
    assert_eq!(
        kinds(&follow.seen),
        ["hello", "caught_up", "token", "token"]
    );

    for kinds in [
        vec!["turn_ended", "nonsense"],
        vec!["turn_ended", "TurnEnded"],
        vec!["turn_ended", ""],
    ] {
        let kinds: Vec<String> = kinds.into_iter().map(str::to_owned).collect();
        let bad = proto::SubscribeRequest {
            kinds: kinds.clone(),
            ..request(key)
        };
        invalid(client.subscribe(bad).await, &["kinds[1]"]);
        invalid(
            call!(client.read_events(ReadEventsRequest {
                session_key: key,
                kinds: kinds
            })),
            &["kinds[1]"],
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn deltas_can_be_left_out() {
    let (_server, mut client) = shared().await;
    let key = "subscribe.no-deltas";
    run(&mut client, key, "x").await;
    let quiet = proto::SubscribeRequest {
        deltas: Some(false),
        ..request(key)
    };
    let mut follow = Follow::subscribe(&mut client, quiet.clone()).await;
    run(&mut client, key, "!think=a_b !tool=look one two").await;
    follow.until("turn_ended").await;
    let loud = [
        "token",
        "thinking",
        "tool_input",
        "tool_update",
        "item_snapshot",
        "lagging",
    ];
    assert!(
        kinds(&follow.seen).iter().all(|k| !loud.contains(k)),
        "{:?}",
        kinds(&follow.seen)
    );
    // Nor at a join.
    let turn_id = queue(&mut client, key, "!delay=10ms !repeat=100000 x").await;
    let mut other = Follow::live(&mut client, key).await;
    if !kinds(&other.seen).contains(&"item_snapshot") {
        other.until("token").await;
    }
    let mut follow = Follow::subscribe(&mut client, quiet).await;
    catch_up(&mut follow).await;
    assert_eq!(kinds(&follow.seen), ["hello", "caught_up"]);
    ok!(client.abort(AbortRequest {
        session_key: key,
        turn_id: turn_id
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn silence_is_broken_by_progress_that_tells_how_far_was_looked() {
    let (_server, mut client) = shared().await;
    let key = "subscribe.progress";
    run(&mut client, key, "x").await;
    let filtered = proto::SubscribeRequest {
        kinds: vec!["session_deleted".into()],
        progress_interval: Some(millis(1000)),
        ..request(key)
    };
    let mut follow = Follow::subscribe(&mut client, filtered).await;
    catch_up(&mut follow).await;
    run(&mut client, key, "y").await;
    let head = session(&mut client, key).await.head_seq;
    // A filtered reader may resume from there.
    loop {
        let event = follow.until("progress").await;
        let Some(Kind::Progress(progress)) = &event.kind else {
            panic!("asked for")
        };
        assert_eq!(event.seq, 0);
        if progress.seq == head {
            break;
        }
    }
    for bad in [0, 999, 300_001] {
        let bad = proto::SubscribeRequest {
            progress_interval: Some(millis(bad)),
            ..request(key)
        };
        invalid(client.subscribe(bad).await, &["progress_interval"]);
    }
    let bad = proto::SubscribeRequest {
        coalesce: Some(millis(51)),
        ..request(key)
    };
    invalid(client.subscribe(bad).await, &["coalesce"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn gathered_deltas_are_the_same_text() {
    let (_server, mut client) = shared().await;
    let key = "subscribe.coalesce";
    run(&mut client, key, "x").await;
    let gathered = proto::SubscribeRequest {
        coalesce: Some(millis(50)),
        ..request(key)
    };
    let mut follow = Follow::subscribe(&mut client, gathered).await;
    catch_up(&mut follow).await;
    let turn = run(&mut client, key, "!delay=1ms !repeat=100 some words").await;
    follow.until("turn_ended").await;
    assert_eq!(follow.text(), turn.response_text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn session_state_follows_each_change_of_state_depth_and_name() {
    let (_server, mut client) = shared().await;
    let key = "subscribe.state";
    run(&mut client, key, "x").await;
    let states = proto::SubscribeRequest {
        kinds: vec!["session_state".into()],
        ..request(key)
    };
    let mut follow = Follow::subscribe(&mut client, states).await;
    catch_up(&mut follow).await;
    let mut until = async |wanted: &dyn Fn(&proto::SessionSnapshot) -> bool| loop {
        let event = follow.until("session_state").await;
        let Some(Kind::SessionState(state)) = &event.kind else {
            panic!("asked for")
        };
        let session = state.session.as_ref().expect("a session");
        assert_eq!(
            (event.after_seq, session.session_key.as_str()),
            (session.head_seq, key)
        );
        if wanted(session) {
            break;
        }
    };
    let turn_id = queue(&mut client, key, "!hang x").await;
    until(&|s| s.state() == SessionState::Running && s.active_turn_id == turn_id).await;
    queue(&mut client, key, "!hang y").await;
    until(&|s| s.queue_depth == 1).await;
    ok!(client.clear_queue(ClearQueueRequest { session_key: key }));
    until(&|s| s.queue_depth == 0).await;
    ok!(client.update_session(UpdateSessionRequest {
        session_key: key,
        session: proto::SessionSnapshot {
            display_name: "named".into(),
            ..Default::default()
        },
        update_mask: prost_types::FieldMask {
            paths: vec!["display_name".into()]
        },
    }));
    until(&|s| s.display_name == "named").await;
    abort(&mut client, key).await;
    until(&|s| s.state() == SessionState::Idle).await;
}
