//! Abort: answers with the proof, and never touches another turn (§4, R7).

use crate::world::*;
use proto::{AbortMode, SessionState, StopReason, TurnState};

const CANCELED: (TurnState, &str, StopReason) =
    (TurnState::Canceled, "ABORTED", StopReason::Aborted);

/// FEATURES 6.2 12.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_said_is_kept_and_nothing_comes_after_the_end() {
    let (_server, mut client) = shared().await;
    let key = "abort.running";
    let turn_id = queue(&mut client, key, "!delay=20ms !repeat=100000 word").await;
    let mut follow = Follow::after(&mut client, key, 0).await;
    follow.until("token").await;
    follow.until("token").await;
    let answer = abort(&mut client, key).await;
    assert!(answer.aborted);
    let ended = answer.turn.expect("the turn");
    assert_eq!(
        (ended.turn_id.as_str(), end(&ended)),
        (turn_id.as_str(), CANCELED)
    );
    // The answer comes after the end is on disk, and says so.
    let end_event = event(&mut client, key, 0, "turn_ended").await;
    assert!(
        answer.seq >= end_event.seq,
        "{} is before {}",
        answer.seq,
        end_event.seq
    );
    follow.until("turn_ended").await;
    let streamed = follow.text();
    let events = of_turn(&mut client, key, &turn_id).await;
    assert_eq!(
        kinds(&events),
        [
            "turn_queued",
            "turn_started",
            "message_started",
            "message_started",
            "message_completed",
            "turn_ended",
        ]
    );
    let Some(Kind::MessageCompleted(message)) = &events[4].kind else {
        panic!("see above")
    };
    assert!(
        message.partial && message.text == streamed,
        "{:?} is not {streamed:?}",
        message.text
    );
    // A turn that runs after it says only its own.
    assert_eq!(run(&mut client, key, "after").await.response_text, "after");
    assert_eq!(of_turn(&mut client, key, &turn_id).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_that_hangs_is_stopped() {
    let (_server, mut client) = shared().await;
    let key = "abort.hang";
    let turn_id = start(&mut client, key, "!hang x").await;
    let answer = ok!(client.abort(AbortRequest {
        session_key: key,
        turn_id: turn_id.as_str(),
        expected_generation: 1i64
    }));
    assert!(answer.aborted);
    assert_eq!(end(&answer.turn.expect("the turn")), CANCELED);
    assert_eq!(session(&mut client, key).await.state(), SessionState::Idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stubborn_turn_is_killed_after_grace() {
    let (_server, mut client) = shared().await;
    let key = "abort.grace";
    start_stubborn(&mut client, key).await;
    let begun = std::time::Instant::now();
    let answer = ok!(client.abort(AbortRequest {
        session_key: key,
        grace: millis(300)
    }));
    assert!(answer.aborted && begun.elapsed() >= std::time::Duration::from_millis(300));
    start_stubborn(&mut client, key).await;
    let begun = std::time::Instant::now();
    let answer = ok!(client.abort(AbortRequest {
        session_key: key,
        mode: AbortMode::Kill,
        grace: millis(600_000)
    }));
    assert!(answer.aborted && begun.elapsed() < std::time::Duration::from_secs(5));
    assert_eq!(end(&answer.turn.expect("the turn")), CANCELED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_abort_joins_and_raises_the_first() {
    let (_server, mut client) = shared().await;
    for (key, mode, grace) in [
        ("abort.raise", AbortMode::Kill, None),
        ("abort.shorten", AbortMode::Cancel, Some(millis(1))),
    ] {
        start_stubborn(&mut client, key).await;
        let mut other = client.clone();
        let first = tokio::spawn(async move {
            ok!(other.abort(AbortRequest {
                session_key: key,
                grace: millis(600_000)
            }))
        });
        until_state(&mut client, key, SessionState::Canceling).await;
        // A caller that leaves changes nothing.
        let mut other = client.clone();
        let left = async {
            call!(other.abort(AbortRequest {
                session_key: key,
                grace: millis(600_000)
            }))
        };
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(50), left)
                .await
                .is_err()
        );
        let second = ok!(client.abort(AbortRequest {
            session_key: key,
            mode: mode,
            grace: grace
        }));
        let first = soon(first).await.expect("no panic");
        assert!(first.aborted && second.aborted);
        assert_eq!(first.turn, second.turn);
        let ends = log(&mut client, key)
            .await
            .iter()
            .filter(|e| kind(e) == "turn_ended")
            .count();
        assert_eq!(ends, 1);
    }
}

/// FEATURES 6.2 7.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_to_stop_is_no_error() {
    let (_server, mut client) = shared().await;
    let key = "abort.idle";
    let missing = call!(client.abort(AbortRequest { session_key: key }));
    refused(missing, Code::NotFound, "SESSION_NOT_FOUND");
    assert!(!exists(&mut client, key).await);
    let done = run(&mut client, key, "x").await;
    let head = session(&mut client, key).await.head_seq;
    let idle = abort(&mut client, key).await;
    assert!(!idle.aborted && idle.turn.is_none() && idle.cleared_turn_ids.is_empty());
    let finished = ok!(client.abort(AbortRequest {
        session_key: key,
        turn_id: done.turn_id.as_str()
    }));
    assert!(!finished.aborted);
    assert_eq!(
        finished.turn.expect("the turn").state(),
        TurnState::Completed,
        "it keeps its end"
    );
    let unknown = uuid::Uuid::now_v7().to_string();
    let unknown = call!(client.abort(AbortRequest {
        session_key: key,
        turn_id: unknown
    }));
    refused(unknown, Code::NotFound, "TURN_NOT_FOUND");
    assert_eq!(session(&mut client, key).await.head_seq, head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_the_named_turn_is_stopped() {
    let (_server, mut client) = shared().await;
    let key = "abort.named";
    let done = run(&mut client, key, "x").await.turn_id;
    let active = start(&mut client, key, "!hang x").await;
    let one = queue(&mut client, key, "one").await;
    let two = queue(&mut client, key, "two").await;
    let answer = ok!(client.abort(AbortRequest {
        session_key: key,
        turn_id: one.as_str()
    }));
    assert!(answer.aborted);
    let rejected = answer.turn.expect("the turn");
    assert_eq!(
        end(&rejected),
        (TurnState::Rejected, "REMOVED", StopReason::Unspecified)
    );
    assert_eq!((rejected.attempt, rejected.start_time), (0, None));
    for (id, code, why) in [
        (done.clone(), None, ""),
        (
            uuid::Uuid::now_v7().to_string(),
            Some(Code::NotFound),
            "TURN_NOT_FOUND",
        ),
    ] {
        let answer = call!(client.abort(AbortRequest {
            session_key: key,
            turn_id: id
        }));
        match code {
            Some(code) => {
                refused(answer, code, why);
            }
            None => assert!(!answer.expect("OK").aborted),
        }
    }
    let wrong = call!(client.abort(AbortRequest {
        session_key: key,
        expected_generation: 9i64
    }));
    refused(wrong, Code::Aborted, "GENERATION_MISMATCH");
    assert_eq!(
        turn(&mut client, key, &active).await.state(),
        TurnState::Running
    );
    assert_eq!(waiting(&mut client, key).await, std::slice::from_ref(&two));
    let answer = ok!(client.abort(AbortRequest {
        session_key: key,
        turn_id: active.as_str()
    }));
    assert!(answer.aborted && answer.cleared_turn_ids.is_empty());
    assert_eq!(
        await_turn(&mut client, key, &two).await.state(),
        TurnState::Completed
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn clear_queue_rejects_what_waited_at_that_commit() {
    let (_server, mut client) = shared().await;
    let key = "abort.clear";
    start(&mut client, key, "!hang x").await;
    let waits = vec![
        queue(&mut client, key, "one").await,
        queue(&mut client, key, "two").await,
    ];
    let answer = ok!(client.abort(AbortRequest {
        session_key: key,
        clear_queue: true
    }));
    assert!(answer.aborted);
    assert_eq!(answer.cleared_turn_ids, waits);
    for id in &waits {
        let turn = turn(&mut client, key, id).await;
        assert_eq!(
            end(&turn),
            (
                TurnState::Rejected,
                "QUEUE_CLEARED",
                StopReason::Unspecified
            )
        );
    }
    assert_eq!(
        run(&mut client, key, "after").await.state(),
        TurnState::Completed
    );
    let bad = call!(client.abort(AbortRequest {
        session_key: key,
        grace: millis(600_001),
        mode: 9
    }));
    invalid(bad, &["mode", "grace"]);
}
