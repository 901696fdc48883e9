//! After a crash: every turn that was active reaches the end that was asked for, and what waited runs on (§4).

use crate::world::*;
use proto::{OnInterrupt, SessionState, StopReason, TurnState};

/// Starts a turn that says so and then nothing more for a long time, and ignores a soft cancel.
async fn begin(client: &mut Client, key: &str, prompt: &str, on_interrupt: OnInterrupt) -> String {
    let answer = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: prompt,
        on_interrupt: on_interrupt
    }));
    let started = event(client, key, answer.seq, "turn_started").await;
    // The user's message, then the agent's first word.
    let user = event(client, key, started.seq, "message_started").await;
    event(client, key, user.seq, "message_started").await;
    answer.turn.expect("a turn").turn_id
}

const STUBBORN: &str = "!stubborn !delay=60s !think=one_two x";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_crash_leaves_is_settled_as_it_was_asked_for() {
    let mut gateway = Gateway::with(config("drain_timeout = \"0s\"\n"));
    let mut client = gateway.client().await;
    let keys = [
        "plain",
        "tool",
        "steer",
        "abort",
        "abort.retry",
        "reset",
        "reset.retry",
        "delete",
    ];
    let mut turns = std::collections::BTreeMap::new();
    for key in keys {
        let retry = if key.ends_with(".retry") {
            OnInterrupt::Retry
        } else {
            OnInterrupt::Mark
        };
        let prompt = if key == "tool" {
            "!delay=60s !tool=look x"
        } else {
            STUBBORN
        };
        turns.insert(key, begin(&mut client, key, prompt, retry).await);
    }
    event(&mut client, "tool", 0, "tool_started").await;
    let waits = queue(&mut client, "plain", "waits").await;
    let steered = steer(&mut client, "steer", "turn left")
        .await
        .expect("taken")
        .steer_id;
    for key in ["abort", "abort.retry", "reset", "reset.retry", "delete"] {
        let mut client = client.clone();
        // Each waits for a stop that the crash comes before.
        tokio::spawn(async move {
            let _lost = match &key[..3] {
                "abo" => call!(client.abort(AbortRequest {
                    session_key: key,
                    grace: millis(600_000)
                }))
                .map(|_| ()),
                "res" => call!(client.reset(ResetRequest { session_key: key })).map(|_| ()),
                _ => call!(client.delete_session(DeleteSessionRequest { session_key: key }))
                    .map(|_| ()),
            };
        });
    }
    for (key, state) in [
        ("abort", SessionState::Canceling),
        ("abort.retry", SessionState::Canceling),
        ("reset", SessionState::Resetting),
        ("reset.retry", SessionState::Resetting),
    ] {
        until_state(&mut client, key, state).await;
    }
    let heads: Vec<(&str, i64)> = {
        let mut heads = Vec::new();
        for key in ["plain", "tool", "steer"] {
            heads.push((key, session(&mut client, key).await.head_seq));
        }
        heads
    };
    soon(async { while exists(&mut client, "delete").await {} }).await;
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;

    let expected = [
        ("plain", TurnState::Interrupted, "GATEWAY_CRASHED"),
        ("tool", TurnState::Interrupted, "GATEWAY_CRASHED"),
        ("steer", TurnState::Interrupted, "GATEWAY_CRASHED"),
        ("abort", TurnState::Canceled, "ABORTED"),
        ("abort.retry", TurnState::Canceled, "ABORTED"),
        ("reset", TurnState::Canceled, "SESSION_RESET"),
        ("reset.retry", TurnState::Canceled, "SESSION_RESET"),
    ];
    for (key, state, why) in expected {
        let turn = await_turn(&mut client, key, &turns[key]).await;
        assert_eq!(end(&turn), (state, why, StopReason::Aborted), "{key}");
        assert_eq!(turn.attempt, 1, "{key}");
        let last = of_turn(&mut client, key, &turns[key]).await;
        assert_eq!(last.last().map(kind), Some("turn_ended"), "{key}");
        let now = session(&mut client, key).await;
        assert_eq!(
            now.generation,
            if why == "SESSION_RESET" { 2 } else { 1 },
            "{key}"
        );
    }
    assert_eq!(
        await_turn(&mut client, "plain", &waits).await.response_text,
        "waits",
        "what waited runs on"
    );
    let requeued = await_turn(&mut client, "steer", &steered).await;
    assert_eq!(requeued.response_text, "turn left", "a steer is not lost");
    soon(async {
        while reason(
            &call!(client.get_session(GetSessionRequest {
                session_key: "delete"
            }))
            .expect_err("it is gone"),
        ) != "SESSION_DELETED"
        {}
    })
    .await;

    // A reader that resumes sees no gap and no repeat, and every open item closed.
    for (key, head) in heads {
        let mut follow = Follow::after(&mut client, key, head).await;
        follow.until("caught_up").await;
        let events = durable(&follow.seen);
        assert!(
            events
                .iter()
                .zip(head + 1..)
                .all(|(event, seq)| event.seq == seq),
            "{key}"
        );
        let closed = if key == "tool" {
            "tool_completed"
        } else {
            "message_completed"
        };
        let closed = events
            .iter()
            .find(|e| kind(e) == closed)
            .expect("the open item is closed");
        match &closed.kind {
            Some(Kind::ToolCompleted(tool)) => assert!(tool.partial && tool.is_error),
            Some(Kind::MessageCompleted(message)) => assert!(message.partial),
            _ => panic!("asked for"),
        }
    }
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn retry_runs_a_turn_again_and_gives_up_after_three_starts() {
    let mut gateway = Gateway::with(config("drain_timeout = \"0s\"\n"));
    let mut client = gateway.client().await;
    let key = "retried";
    let turn_id = begin(&mut client, key, STUBBORN, OnInterrupt::Retry).await;
    let behind = queue(&mut client, key, "behind").await;
    for attempt in 2..=3 {
        let head = session(&mut client, key).await.head_seq;
        gateway.kill();
        gateway.restart();
        client = gateway.client().await;
        let scheduled = event(&mut client, key, head, "retry_scheduled").await;
        let Some(Kind::RetryScheduled(retry)) = &scheduled.kind else {
            panic!("asked for")
        };
        assert_eq!(
            (retry.attempt, retry.max_attempts, &scheduled.turn_id),
            (attempt, 3, &turn_id)
        );
        let started = event(&mut client, key, head, "turn_started").await;
        assert_eq!(started.turn_id, turn_id, "it goes first");
        assert_eq!(turn(&mut client, key, &turn_id).await.attempt, attempt);
        let message = event(&mut client, key, started.seq, "message_started").await;
        let Some(Kind::MessageStarted(message)) = message.kind else {
            panic!("asked for")
        };
        assert_eq!(
            message.role(),
            proto::Role::Assistant,
            "the prompt stands since the first start"
        );
    }
    gateway.kill();
    gateway.restart();
    client = gateway.client().await;
    let turn = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(
        end(&turn),
        (TurnState::Failed, "MAX_ATTEMPTS", StopReason::Error)
    );
    assert_eq!(turn.attempt, 3);
    assert_eq!(
        await_turn(&mut client, key, &behind).await.state(),
        TurnState::Completed
    );
    gateway.check_store();
}
