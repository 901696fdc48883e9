//! Enqueue: what becomes a turn, where it goes, and what is refused without a trace (§3, §4).

use crate::world::*;
use proto::{AdmissionMode, OnBusy, SessionState, StopReason, TurnState};
use std::collections::BTreeMap;

/// A server whose queues hold three turns or one mebibyte.
fn small() -> Options {
    config("queue_limit_turns = 3\nqueue_limit_bytes = \"1MiB\"\ndrain_timeout = \"0s\"\n")
}

/// DEFECTS 36, 37: session and turn come to be in one commit, under the caller's key alone. FEATURES 6.2 2 and 5.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn enqueue_makes_the_session_and_the_turn_in_one() {
    let (_server, mut client) = shared().await;
    let key = "admission:made@1";
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let answer = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "hello",
        source: "test",
        metadata: BTreeMap::from([("a".to_owned(), "1".to_owned())]),
        agent: "other",
        model: "m",
        thinking_level: "low",
        labels: labels.clone(),
        display_name: "Ünï",
        cwd: env!("CARGO_TARGET_TMPDIR"),
    }));
    assert_eq!(answer.mode(), AdmissionMode::Queued);
    assert_eq!(
        (answer.seq, answer.queue_position, answer.replayed),
        (2, 0, false)
    );
    assert_eq!(answer.steer_id, "");
    let turn = answer.turn.expect("a turn");
    assert_eq!(turn.state(), TurnState::Queued);
    assert_eq!(
        (turn.session_key.as_str(), turn.text.as_str()),
        (key, "hello")
    );
    assert_eq!(
        (turn.agent.as_str(), turn.model.as_str(), turn.attempt),
        ("other", "m", 0)
    );
    assert_eq!(
        (turn.source.as_str(), turn.metadata["a"].as_str()),
        ("test", "1")
    );
    assert_eq!(
        uuid::Uuid::parse_str(&turn.turn_id)
            .expect("a UUID")
            .get_version_num(),
        7
    );
    assert!(turn.create_time.is_some() && turn.start_time.is_none() && turn.end_time.is_none());

    let turn = await_turn(&mut client, key, &turn.turn_id).await;
    assert_eq!(end(&turn), (TurnState::Completed, "", StopReason::Stop));
    assert_eq!((turn.response_text.as_str(), turn.attempt), ("hello", 1));
    assert!(turn.start_time.is_some() && turn.end_time.is_some());
    let session = session(&mut client, key).await;
    assert_eq!(session.log_id, answer.log_id);
    assert_eq!(
        (session.agent.as_str(), session.model.as_str()),
        ("other", "m")
    );
    assert_eq!(
        (
            session.thinking_level.as_str(),
            session.display_name.as_str()
        ),
        ("low", "Ünï")
    );
    assert_eq!(session.labels, labels);
    assert_eq!(
        (session.generation, session.first_seq, session.primary),
        (1, 1, false)
    );
    assert_eq!(
        (
            session.state(),
            session.active_turn_id.as_str(),
            session.queue_depth
        ),
        (SessionState::Idle, "", 0)
    );
    assert_eq!(
        (session.message_count, session.last_message_preview.as_str()),
        (2, "hello")
    );
    let cwd = std::fs::canonicalize(env!("CARGO_TARGET_TMPDIR")).expect("it exists");
    assert_eq!(session.cwd, cwd.to_str().expect("UTF-8"));
    assert_eq!(
        kinds(&log(&mut client, key).await)[..2],
        ["session_created", "turn_queued"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn fields_that_make_a_session_are_ignored_on_an_existing_one_but_for_the_agent() {
    let (_server, mut client) = shared().await;
    let key = "admission.ignored";
    run(&mut client, key, "one").await;
    let before = session(&mut client, key).await;
    ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "two",
        agent: "echo",
        model: "other",
        display_name: "other",
        thinking_level: "high",
        labels: BTreeMap::from([("x".to_owned(), "y".to_owned())]),
    }));
    let after = session(&mut client, key).await;
    assert_eq!(
        (&after.model, &after.display_name, &after.labels),
        (&before.model, &before.display_name, &before.labels)
    );
    assert_eq!(after.thinking_level, before.thinking_level);

    let other = call!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        agent: "other"
    }));
    let details = refused(other, Code::FailedPrecondition, "AGENT_MISMATCH");
    assert_eq!(fact(&details, "agent"), "echo");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_agent_counts_from_the_next_reset() {
    let (_server, mut client) = shared().await;
    let key = "admission.next-agent";
    run(&mut client, key, "one").await;
    let changed = ok!(client.update_session(UpdateSessionRequest {
        session_key: key,
        session: proto::SessionSnapshot {
            agent: "other".into(),
            ..Default::default()
        },
        update_mask: prost_types::FieldMask {
            paths: vec!["agent".into()]
        },
    }));
    let session_now = changed.session.expect("a session");
    assert_eq!(
        (session_now.agent.as_str(), session_now.next_agent.as_str()),
        ("echo", "other")
    );
    let early = call!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        agent: "other"
    }));
    refused(early, Code::FailedPrecondition, "AGENT_MISMATCH");
    let reset = ok!(client.reset(ResetRequest { session_key: key }))
        .session
        .expect("a session");
    assert_eq!(
        (reset.agent.as_str(), reset.next_agent.as_str()),
        ("other", "")
    );
    let turn = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        agent: "other"
    }))
    .turn
    .expect("a turn");
    assert_eq!(turn.agent, "other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_agent_makes_nothing() {
    let (_server, mut client) = shared().await;
    let key = "admission.no-agent";
    invalid(
        call!(client.enqueue(EnqueueRequest {
            session_key: key,
            text: "x",
            agent: "nobody"
        })),
        &["agent"],
    );
    invalid(
        call!(client.create_session(CreateSessionRequest {
            session_key: key,
            agent: "nobody"
        })),
        &["agent"],
    );
    assert!(!exists(&mut client, key).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_working_directory_must_lie_under_a_root_of_the_agent() {
    let (_server, mut client) = shared().await;
    let key = "admission.cwd";
    let root = env!("CARGO_TARGET_TMPDIR");
    for (agent, cwd) in [
        ("other", "/"),
        ("other", "relative"),
        ("echo", root),
        ("other", "/no/such/place"),
    ] {
        let answer = call!(client.enqueue(EnqueueRequest {
            session_key: key,
            text: "x",
            agent: agent,
            cwd: cwd
        }));
        invalid(answer, &["cwd"]);
        invalid(
            call!(client.create_session(CreateSessionRequest {
                session_key: key,
                agent: agent,
                cwd: cwd
            })),
            &["cwd"],
        );
    }
    let escape = format!("{root}/..");
    invalid(
        call!(client.create_session(CreateSessionRequest {
            session_key: key,
            agent: "other",
            cwd: escape
        })),
        &["cwd"],
    );
    assert!(!exists(&mut client, key).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn blank_and_oversize_texts_are_refused_and_the_largest_one_runs() {
    let (_server, mut client) = shared().await;
    let key = "admission.text";
    for text in ["", " ", "\n\t \u{3000}"] {
        invalid(
            call!(client.enqueue(EnqueueRequest {
                session_key: key,
                text: text
            })),
            &["text"],
        );
    }
    let limit = 512 * 1024;
    invalid(
        enqueue(&mut client, key, &"x".repeat(limit + 1)).await,
        &["text"],
    );
    assert!(!exists(&mut client, key).await);
    let text = format!("{}é", "x".repeat(limit - 2));
    let turn = run(&mut client, key, &text).await;
    assert_eq!(turn.text, text);
    assert_eq!(turn.response_text, text);
}

/// DEFECTS 41: a prompt during a turn waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn turns_of_a_session_run_one_at_a_time_in_order() {
    let (_server, mut client) = shared().await;
    let key = "admission.fifo";
    let mut turns = vec![start(&mut client, key, "!hang x").await];
    for n in 0..5 {
        let answer = enqueue(&mut client, key, &format!("text {n}"))
            .await
            .expect("accepted");
        assert_eq!(answer.queue_position, n);
        turns.push(answer.turn.expect("a turn").turn_id);
    }
    let busy = session(&mut client, key).await;
    assert_eq!((busy.state(), busy.queue_depth), (SessionState::Running, 5));
    assert_eq!(busy.active_turn_id, turns[0]);
    assert_eq!(waiting(&mut client, key).await, turns[1..]);
    abort(&mut client, key).await;
    await_turn(&mut client, key, turns.last().expect("six")).await;
    let marks: Vec<(String, &str)> = log(&mut client, key)
        .await
        .iter()
        .filter(|e| matches!(kind(e), "turn_started" | "turn_ended"))
        .map(|e| (e.turn_id.clone(), kind(e)))
        .collect();
    let expected: Vec<(String, &str)> = turns
        .iter()
        .flat_map(|id| [(id.clone(), "turn_started"), (id.clone(), "turn_ended")])
        .collect();
    assert_eq!(marks, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reject_refuses_while_busy_and_names_the_active_turn() {
    let (_server, mut client) = shared().await;
    let key = "admission.reject";
    let idle = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "!hang x",
        on_busy: OnBusy::Reject
    }));
    let turn_id = idle.turn.expect("a turn").turn_id;
    event(&mut client, key, 0, "turn_started").await;
    let head = session(&mut client, key).await.head_seq;
    let answer = call!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        on_busy: OnBusy::Reject
    }));
    let details = refused(answer, Code::FailedPrecondition, "SESSION_BUSY");
    assert_eq!(fact(&details, "active_turn_id"), turn_id);
    assert_eq!(
        session(&mut client, key).await.head_seq,
        head,
        "nothing is stored"
    );
    abort(&mut client, key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn interrupt_goes_first_the_newest_before_older_and_cancels_what_runs() {
    let (_server, mut client) = shared().await;
    let key = "admission.interrupt";
    // Stubborn, so that it is still being stopped while the others come.
    let active = start_stubborn(&mut client, key).await;
    let plain = queue(&mut client, key, "plain").await;
    let mut interrupts = Vec::new();
    for text in ["first", "second"] {
        let answer = ok!(client.enqueue(EnqueueRequest {
            session_key: key,
            text: text,
            on_busy: OnBusy::Interrupt
        }));
        assert_eq!(
            (answer.mode(), answer.queue_position),
            (AdmissionMode::Queued, 0)
        );
        interrupts.push(answer.turn.expect("a turn").turn_id);
        assert_eq!(
            turn(&mut client, key, &active).await.state(),
            TurnState::Canceling
        );
        assert_eq!(
            session(&mut client, key).await.state(),
            SessionState::Canceling
        );
    }
    let order = [interrupts[1].clone(), interrupts[0].clone(), plain];
    assert_eq!(waiting(&mut client, key).await, order);
    ok!(client.abort(AbortRequest {
        session_key: key,
        turn_id: active.as_str(),
        mode: proto::AbortMode::Kill
    }));
    let ended = await_turn(&mut client, key, &active).await;
    assert_eq!(
        end(&ended),
        (
            TurnState::Canceled,
            "INTERRUPTED_BY_TURN",
            StopReason::Aborted
        )
    );
    await_turn(&mut client, key, &order[2]).await;
    let started: Vec<String> = log(&mut client, key)
        .await
        .into_iter()
        .filter(|e| kind(e) == "turn_started")
        .map(|e| e.turn_id)
        .collect();
    assert_eq!(started[1..], order);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn steer_or_enqueue_steers_what_runs_and_enqueues_else() {
    let (_server, mut client) = shared().await;
    let key = "admission.steer";
    let on_busy = OnBusy::SteerOrEnqueue;
    let idle = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "!hang x",
        on_busy: on_busy
    }));
    assert_eq!(
        (idle.mode(), idle.steer_id.as_str()),
        (AdmissionMode::Queued, "")
    );
    let turn_id = idle.turn.expect("a turn").turn_id;
    event(&mut client, key, 0, "turn_started").await;
    let busy = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "left",
        on_busy: on_busy
    }));
    assert_eq!(busy.mode(), AdmissionMode::Steered);
    assert_eq!(busy.turn.expect("the active turn").turn_id, turn_id);
    let accepted = event(&mut client, key, 0, "steer_accepted").await;
    assert_eq!(accepted.seq, busy.seq);
    let Some(Kind::SteerAccepted(steer)) = accepted.kind else {
        panic!("asked for")
    };
    assert_eq!(
        (steer.steer_id, steer.turn_id, steer.text.as_str()),
        (busy.steer_id, turn_id, "left")
    );
    ok!(client.abort(AbortRequest {
        session_key: key,
        clear_queue: true
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_queue_is_full_by_turns() {
    let mut gateway = Gateway::with(small());
    let client = &mut gateway.client().await;
    let active = start(client, "full", "!hang x").await;
    for _ in 0..3 {
        queue(client, "full", "x").await;
    }
    let before = session(client, "full").await;
    for on_busy in [OnBusy::Enqueue, OnBusy::Interrupt] {
        let answer = call!(client.enqueue(EnqueueRequest {
            session_key: "full",
            text: "x",
            on_busy: on_busy
        }));
        let details = refused(answer, Code::ResourceExhausted, "QUEUE_FULL");
        assert_eq!(
            (fact(&details, "unit"), fact(&details, "limit")),
            ("turns".into(), "3".into())
        );
    }
    // A steer does not wait in the queue while a turn runs.
    assert_eq!(
        steer(client, "full", "x").await.expect("taken").mode(),
        AdmissionMode::Steered
    );
    let after = session(client, "full").await;
    assert_eq!(
        (after.head_seq, after.queue_depth),
        (before.head_seq + 1, 3),
        "nothing is stored"
    );
    assert_eq!(
        turn(client, "full", &active).await.state(),
        TurnState::Running,
        "a refused INTERRUPT cancels nothing"
    );
    abort(client, "full").await;
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_queue_is_full_by_bytes_of_texts_and_attachments() {
    let mut gateway = Gateway::with(small());
    let client = &mut gateway.client().await;
    start(client, "full", "!hang x").await;
    queue(client, "full", &"x".repeat(512 * 1024)).await;
    let attachment = |size: usize| {
        vec![proto::Attachment {
            data: vec![7; size].into(),
            ..Default::default()
        }]
    };
    let more = call!(client.enqueue(EnqueueRequest {
        session_key: "full",
        attachments: attachment(512 * 1024 + 1)
    }));
    let details = refused(more, Code::ResourceExhausted, "QUEUE_FULL");
    assert_eq!(fact(&details, "unit"), "bytes");
    let exact = ok!(client.enqueue(EnqueueRequest {
        session_key: "full",
        attachments: attachment(512 * 1024)
    }));
    refused(
        enqueue(client, "full", "x").await,
        Code::ResourceExhausted,
        "QUEUE_FULL",
    );
    // The bytes come back with the turn.
    let turn_id = exact.turn.expect("a turn").turn_id;
    ok!(client.remove_queued(RemoveQueuedRequest {
        session_key: "full",
        turn_id: turn_id
    }));
    queue(client, "full", "x").await;
    ok!(client.abort(AbortRequest {
        session_key: "full",
        clear_queue: true
    }));
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_that_waits_too_long_expires() {
    let (_server, mut client) = shared().await;
    let key = "admission.ttl";
    start(&mut client, key, "!hang x").await;
    let ttl = millis(1);
    let answer = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        queue_ttl: ttl
    }));
    let waiting = answer.turn.expect("a turn");
    assert!(waiting.expire_time.is_some());
    let expired = await_turn(&mut client, key, &waiting.turn_id).await;
    assert_eq!(
        end(&expired),
        (TurnState::Expired, "QUEUE_TTL", StopReason::Unspecified)
    );
    assert_eq!((expired.attempt, expired.start_time), (0, None));
    let events = of_turn(&mut client, key, &waiting.turn_id).await;
    assert_eq!(kinds(&events), ["turn_queued", "turn_ended"]);
    abort(&mut client, key).await;
}

/// DEFECTS 32: an agent that hangs is stopped by the turn's timeout, and the queue goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_that_runs_too_long_fails() {
    let (_server, mut client) = shared().await;
    let key = "admission.timeout";
    let answer = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "!hang x",
        turn_timeout: millis(2000)
    }));
    let turn_id = answer.turn.expect("a turn").turn_id;
    event(&mut client, key, 0, "turn_started").await;
    let steered = steer(&mut client, key, "never seen").await.expect("taken");
    let ended = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(
        end(&ended),
        (TurnState::Failed, "TURN_TIMEOUT", StopReason::Aborted)
    );
    let requeued = await_turn(&mut client, key, &steered.steer_id).await;
    assert_eq!(requeued.response_text, "never seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_generation_is_refused_and_nothing_is_made() {
    let (_server, mut client) = shared().await;
    let key = "admission.generation";
    run(&mut client, key, "x").await;
    let head = session(&mut client, key).await.head_seq;
    let answer = call!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        expected_generation: 2i64
    }));
    let details = refused(answer, Code::Aborted, "GENERATION_MISMATCH");
    assert_eq!(fact(&details, "generation"), "1");
    assert_eq!(session(&mut client, key).await.head_seq, head);
    let answer = call!(client.enqueue(EnqueueRequest {
        session_key: "admission.no-gen",
        text: "x",
        expected_generation: 2i64
    }));
    refused(answer, Code::Aborted, "GENERATION_MISMATCH");
    assert!(!exists(&mut client, "admission.no-gen").await);
    ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        expected_generation: 1i64
    }));
}
