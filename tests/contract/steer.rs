//! Steer: decided in one place, and never lost (§4).

use crate::world::*;
use proto::{AdmissionMode, SessionState, StopReason, TurnState};

const SLOW: &str = "!delay=20ms !repeat=100000 word";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_steer_reaches_the_turn_that_runs() {
    let (_server, mut client) = shared().await;
    let key = "steer.applied";
    let turn_id = start(&mut client, key, SLOW).await;
    let answer = steer(&mut client, key, "go left").await.expect("taken");
    assert_eq!(answer.mode(), AdmissionMode::Steered);
    assert_eq!(answer.turn.expect("the active turn").turn_id, turn_id);
    let applied = event(&mut client, key, answer.seq, "steer_applied").await;
    let Some(Kind::SteerApplied(body)) = &applied.kind else {
        panic!("asked for")
    };
    assert_eq!(
        (&body.steer_id, &applied.turn_id),
        (&answer.steer_id, &turn_id)
    );
    let ended = abort(&mut client, key).await.turn.expect("the turn");
    assert!(
        ended.response_text.contains(" [steer: go left]"),
        "{:?}",
        ended.response_text
    );
    let events = of_turn(&mut client, key, &turn_id).await;
    let at = events
        .iter()
        .position(|e| kind(e) == "steer_applied")
        .expect("there");
    let Some(Kind::MessageStarted(message)) = &events[at + 1].kind else {
        panic!("its message follows")
    };
    assert_eq!(
        (message.role(), message.text.as_str()),
        (proto::Role::User, "go left")
    );
    assert_eq!(session(&mut client, key).await.queue_depth, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_steer_for_nothing_is_a_turn() {
    let (_server, mut client) = shared().await;
    let key = "steer.idle";
    refused(
        steer(&mut client, key, "x").await,
        Code::NotFound,
        "SESSION_NOT_FOUND",
    );
    assert!(
        !exists(&mut client, key).await,
        "a steer creates no session"
    );
    run(&mut client, key, "x").await;
    let answer = steer(&mut client, key, "idle").await.expect("taken");
    assert_eq!(
        (answer.mode(), answer.steer_id.as_str()),
        (AdmissionMode::Queued, "")
    );
    let turn = await_turn(&mut client, key, &answer.turn.expect("a turn").turn_id).await;
    assert_eq!(turn.response_text, "idle");

    let active = start_stubborn(&mut client, key).await;
    let mut other = client.clone();
    let stopping = tokio::spawn(async move { abort(&mut other, key).await });
    until_state(&mut client, key, SessionState::Canceling).await;
    let answer = steer(&mut client, key, "late").await.expect("taken");
    assert_eq!(answer.mode(), AdmissionMode::Queued);
    assert_ne!(answer.turn.expect("a turn").turn_id, active);
    ok!(client.abort(AbortRequest {
        session_key: key,
        mode: proto::AbortMode::Kill
    }));
    assert!(stopping.await.expect("no panic").aborted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pending_steers_are_bounded_and_become_turns_at_the_end() {
    let (_server, mut client) = shared().await;
    let key = "steer.requeued";
    let turn_id = start(&mut client, key, "!hang x").await;
    let waits = queue(&mut client, key, "waits").await;
    let mut steers = Vec::new();
    for n in 0..8 {
        steers.push(
            steer(&mut client, key, &format!("steer {n}"))
                .await
                .expect("taken")
                .steer_id,
        );
    }
    let details = refused(
        steer(&mut client, key, "ninth").await,
        Code::ResourceExhausted,
        "QUEUE_FULL",
    );
    assert_eq!(
        (fact(&details, "unit"), fact(&details, "limit")),
        ("steers".into(), "8".into())
    );

    let aborted = abort(&mut client, key).await;
    assert!(aborted.aborted && aborted.cleared_turn_ids.is_empty());
    await_turn(&mut client, key, &waits).await;
    let events = log(&mut client, key).await;
    let requeued: Vec<&str> = events
        .iter()
        .filter_map(|e| match &e.kind {
            Some(Kind::SteerRequeued(r)) => {
                assert_eq!(r.turn.as_ref().expect("a turn").turn_id, r.steer_id);
                assert_eq!(e.turn_id, turn_id);
                Some(r.steer_id.as_str())
            }
            _ => None,
        })
        .collect();
    assert_eq!(requeued, steers);
    let started: Vec<&str> = events
        .iter()
        .filter(|e| kind(e) == "turn_started")
        .map(|e| e.turn_id.as_str())
        .collect();
    let order: Vec<&str> = [&turn_id]
        .into_iter()
        .chain(&steers)
        .chain([&waits])
        .map(String::as_str)
        .collect();
    assert_eq!(
        started, order,
        "in the order of arrival, ahead of what waited"
    );
    for (n, id) in steers.iter().enumerate() {
        let turn = turn(&mut client, key, id).await;
        assert_eq!(
            (turn.state(), turn.text),
            (TurnState::Completed, format!("steer {n}"))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn expected_turn_and_generation_hold() {
    let (_server, mut client) = shared().await;
    let key = "steer.expected";
    run(&mut client, key, "x").await;
    let nobody = uuid::Uuid::now_v7().to_string();
    let idle = call!(client.steer(SteerRequest {
        session_key: key,
        text: "x",
        expected_turn_id: nobody.as_str()
    }));
    refused(idle, Code::FailedPrecondition, "TURN_MISMATCH");
    let active = start(&mut client, key, "!hang x").await;
    let other = call!(client.steer(SteerRequest {
        session_key: key,
        text: "x",
        expected_turn_id: nobody.as_str()
    }));
    let details = refused(other, Code::FailedPrecondition, "TURN_MISMATCH");
    assert_eq!(fact(&details, "active_turn_id"), active);
    let other = call!(client.steer(SteerRequest {
        session_key: key,
        text: "x",
        expected_generation: 7i64
    }));
    refused(other, Code::Aborted, "GENERATION_MISMATCH");
    assert!(!kinds(&log(&mut client, key).await).contains(&"steer_accepted"));
    let right = ok!(client.steer(SteerRequest {
        session_key: key,
        text: "x",
        expected_turn_id: active.as_str(),
        expected_generation: 1i64
    }));
    assert_eq!(right.mode(), AdmissionMode::Steered);
    ok!(client.abort(AbortRequest {
        session_key: key,
        clear_queue: true
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn clear_queue_reset_and_delete_reject_what_was_not_applied() {
    let (_server, mut client) = shared().await;
    let key = "steer.rejected";
    start(&mut client, key, "!hang x").await;
    let steered = steer(&mut client, key, "x").await.expect("taken").steer_id;
    ok!(client.abort(AbortRequest {
        session_key: key,
        clear_queue: true
    }));
    let rejected = await_turn(&mut client, key, &steered).await;
    assert_eq!(
        end(&rejected),
        (
            TurnState::Rejected,
            "QUEUE_CLEARED",
            StopReason::Unspecified
        )
    );

    start(&mut client, key, "!hang x").await;
    let steered = steer(&mut client, key, "x").await.expect("taken").steer_id;
    ok!(client.reset(ResetRequest { session_key: key }));
    let rejected = await_turn(&mut client, key, &steered).await;
    assert_eq!(
        end(&rejected),
        (
            TurnState::Rejected,
            "SESSION_RESET",
            StopReason::Unspecified
        )
    );
    let after: Vec<&str> = of_turn(&mut client, key, &steered)
        .await
        .iter()
        .map(kind)
        .collect();
    assert_eq!(after.last(), Some(&"turn_ended"));

    start(&mut client, key, "!hang x").await;
    let head = session(&mut client, key).await.head_seq;
    let steered = steer(&mut client, key, "x").await.expect("taken").steer_id;
    let mut follow = Follow::after(&mut client, key, head).await;
    follow.until("caught_up").await;
    ok!(client.delete_session(DeleteSessionRequest { session_key: key }));
    let events = follow.rest().await;
    let ended = events.iter().find_map(|e| match &e.kind {
        Some(Kind::TurnEnded(ended)) if e.turn_id == steered => ended.turn.clone(),
        _ => None,
    });
    let ended = ended.expect("the steer's turn ends before the session");
    assert_eq!(
        end(&ended),
        (
            TurnState::Rejected,
            "SESSION_DELETED",
            StopReason::Unspecified
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_long_steer_is_whole_in_its_message_and_cut_where_it_is_announced() {
    let (_server, mut client) = shared().await;
    let key = "steer.long";
    let text = "ö".repeat(50_000);
    start(&mut client, key, SLOW).await;
    let steered = steer(&mut client, key, &text).await.expect("taken");
    let accepted = event(&mut client, key, 0, "steer_accepted").await;
    let Some(Kind::SteerAccepted(accepted)) = accepted.kind else {
        panic!("asked for")
    };
    assert!(text.starts_with(&accepted.text) && accepted.text.len() == 64 * 1024);
    let message = event(&mut client, key, steered.seq, "message_started").await;
    let applied = event(&mut client, key, steered.seq, "steer_applied").await;
    let message = if message.seq > applied.seq {
        message
    } else {
        event(&mut client, key, applied.seq, "message_started").await
    };
    let Some(Kind::MessageStarted(message)) = message.kind else {
        panic!("asked for")
    };
    assert!(message.role() == proto::Role::User && message.text == text);
    abort(&mut client, key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bad_steers_are_refused() {
    let (_server, mut client) = shared().await;
    let key = "steer.bad";
    run(&mut client, key, "x").await;
    invalid(steer(&mut client, key, " ").await, &["text"]);
    invalid(
        steer(&mut client, key, &"x".repeat(512 * 1024 + 1)).await,
        &["text"],
    );
    let id = "no uuid";
    invalid(
        call!(client.steer(SteerRequest {
            session_key: key,
            text: "x",
            expected_turn_id: id
        })),
        &["expected_turn_id"],
    );
}
