//! Reset and DeleteSession: nothing from before appears after (§4, R8).

use crate::world::*;
use proto::{SessionState, StopReason, TurnState};
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_is_a_barrier_for_what_runs_and_waits() {
    let (_server, mut client) = shared().await;
    let key = "reset.barrier";
    ok!(client.create_session(CreateSessionRequest {
        session_key: key,
        display_name: "name",
        model: "m",
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    }));
    run(&mut client, key, "old").await;
    let before = session(&mut client, key).await;
    let active = start_stubborn(&mut client, key).await;
    let waits = queue(&mut client, key, "waits").await;
    let mut follow = Follow::live(&mut client, key).await;
    let mut other = client.clone();
    let reset = tokio::spawn(async move {
        ok!(other.reset(ResetRequest {
            session_key: key,
            expected_generation: 1i64
        }))
    });
    until_state(&mut client, key, SessionState::Resetting).await;
    // From here admission counts as the next generation.
    let old = call!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        expected_generation: 1i64
    }));
    refused(old, Code::Aborted, "GENERATION_MISMATCH");
    let new = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "!history",
        expected_generation: 2i64
    }));
    let new = new.turn.expect("a turn");
    assert_eq!(new.generation, 2);
    assert_eq!(
        turn(&mut client, key, &new.turn_id).await.state(),
        TurnState::Queued,
        "it waits for the reset"
    );
    ok!(client.abort(AbortRequest {
        session_key: key,
        turn_id: active.as_str(),
        mode: proto::AbortMode::Kill
    }));
    let reset = soon(reset).await.expect("no panic");
    assert_eq!(reset.rejected_turn_ids, std::slice::from_ref(&waits));
    let after = reset.session.expect("a session");
    assert_eq!(after.generation, 2);
    assert_ne!(after.session_id, before.session_id);

    let turn_now = await_turn(&mut client, key, &new.turn_id).await;
    assert_eq!(turn_now.response_text, "0", "a fresh conversation");
    let canceled = turn(&mut client, key, &active).await;
    assert_eq!(
        end(&canceled),
        (TurnState::Canceled, "SESSION_RESET", StopReason::Aborted)
    );
    let rejected = turn(&mut client, key, &waits).await;
    assert_eq!(
        end(&rejected),
        (
            TurnState::Rejected,
            "SESSION_RESET",
            StopReason::Unspecified
        )
    );
    let after = session(&mut client, key).await;
    assert_eq!(
        (&after.display_name, &after.model, &after.labels),
        (&before.display_name, &before.model, &before.labels)
    );
    assert_eq!((&after.log_id, after.first_seq), (&before.log_id, 1));
    assert_eq!(
        (after.message_count, after.last_message_preview.as_str()),
        (2, "0")
    );

    // The subscriber stayed, and sees the barrier in place.
    while follow.until("turn_ended").await.turn_id != new.turn_id {}
    let events = durable(&follow.seen);
    let barrier = events
        .iter()
        .position(|e| kind(e) == "session_reset")
        .expect("there");
    assert_eq!(events[barrier].seq, reset.seq);
    let Some(Kind::SessionReset(body)) = &events[barrier].kind else {
        panic!("see above")
    };
    assert_eq!(
        (body.generation, &body.session_id, body.agent.as_str()),
        (2, &after.session_id, "echo")
    );
    assert!(
        events[barrier + 1..]
            .iter()
            .all(|e| e.generation == 2 && e.turn_id == new.turn_id)
    );
    let old_ends = events[..barrier]
        .iter()
        .filter(|e| kind(e) == "turn_ended")
        .count();
    assert_eq!(old_ends, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_of_an_idle_session_begins_anew_and_history_stays_by_generation() {
    let (_server, mut client) = shared().await;
    let key = "reset.idle";
    let missing = call!(client.reset(ResetRequest { session_key: key }));
    refused(missing, Code::NotFound, "SESSION_NOT_FOUND");
    assert!(!exists(&mut client, key).await);
    let old = run(&mut client, key, "old").await;
    let reset = ok!(client.reset(ResetRequest { session_key: key }));
    let now = reset.session.expect("a session");
    assert_eq!(
        (
            now.generation,
            now.message_count,
            now.last_message_preview.as_str()
        ),
        (2, 0, "")
    );
    assert_eq!((now.state(), now.head_seq), (SessionState::Idle, reset.seq));
    assert_eq!(
        event(&mut client, key, 0, "session_reset").await.seq,
        reset.seq
    );
    let wrong = call!(client.reset(ResetRequest {
        session_key: key,
        expected_generation: 1i64
    }));
    assert_eq!(
        fact(
            &refused(wrong, Code::Aborted, "GENERATION_MISMATCH"),
            "generation"
        ),
        "2"
    );
    assert_eq!(run(&mut client, key, "!history").await.response_text, "0");
    let messages = ok!(client.list_messages(ListMessagesRequest {
        session_key: key,
        generation: 1i64
    }))
    .messages;
    assert_eq!(messages.len(), 2);
    assert!(
        messages
            .iter()
            .all(|m| m.turn_id == old.turn_id && m.generation == 1)
    );
    let messages = ok!(client.list_messages(ListMessagesRequest { session_key: key })).messages;
    assert!(messages.len() == 2 && messages.iter().all(|m| m.generation == 2));
    let beyond = call!(client.list_messages(ListMessagesRequest {
        session_key: key,
        generation: 3i64
    }));
    invalid(beyond, &["generation"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn delete_takes_everything_and_attached_readers_see_it() {
    let (_server, mut client) = shared().await;
    let key = "delete.all";
    let active = start(&mut client, key, "!hang x").await;
    let waits = queue(&mut client, key, "waits").await;
    let log_id = session(&mut client, key).await.log_id;
    let follow = Follow::live(&mut client, key).await;
    let filtered = proto::SubscribeRequest {
        session_key: key.into(),
        kinds: vec!["token".into()],
        ..Default::default()
    };
    let filtered = Follow::subscribe(&mut client, filtered).await;
    let mut other = client.clone();
    let waiter = tokio::spawn({
        let waits = waits.clone();
        async move { await_turn(&mut other, key, &waits).await }
    });
    ok!(client.await_turn(AwaitTurnRequest {
        session_key: key,
        turn_id: waits.as_str(),
        wait: millis(1),
        or_question: false,
    }));
    let deleted = ok!(client.delete_session(DeleteSessionRequest {
        session_key: key,
        expected_generation: 1i64
    }));
    assert_eq!((&deleted.log_id, deleted.replayed), (&log_id, false));
    let told = waiter.await.expect("no panic");
    assert_eq!(
        end(&told),
        (
            TurnState::Rejected,
            "SESSION_DELETED",
            StopReason::Unspecified
        )
    );

    let events = follow.rest().await;
    let last = events.last().expect("some");
    assert_eq!((kind(last), last.seq), ("session_deleted", deleted.seq));
    let ended = events.iter().find_map(|e| match &e.kind {
        Some(Kind::TurnEnded(ended)) if e.turn_id == active => ended.turn.clone(),
        _ => None,
    });
    assert_eq!(
        end(&ended.expect("it ended")),
        (TurnState::Canceled, "SESSION_DELETED", StopReason::Aborted)
    );
    let events = filtered.rest().await;
    assert_eq!(
        kind(events.last().expect("some")),
        "session_deleted",
        "it always comes"
    );

    // A tombstone is left.
    let subscribe = || proto::SubscribeRequest {
        session_key: key.into(),
        cursor: Some(proto::Cursor {
            log_id: log_id.clone(),
            after_seq: 1,
        }),
        ..Default::default()
    };
    refused(
        client.subscribe(subscribe()).await,
        Code::NotFound,
        "SESSION_DELETED",
    );
    let read = call!(client.read_events(ReadEventsRequest {
        session_key: key,
        cursor: cursor(1)
    }));
    refused(read, Code::NotFound, "SESSION_DELETED");
    assert!(!exists(&mut client, key).await);
    let again = ok!(client.delete_session(DeleteSessionRequest { session_key: key }));
    assert_eq!(
        (again.seq, &again.log_id, again.replayed),
        (deleted.seq, &log_id, true)
    );

    // A key that is in use again has another log.
    run(&mut client, key, "new").await;
    let now = session(&mut client, key).await;
    assert_ne!(now.log_id, log_id);
    assert_eq!(now.message_count, 2);
    let details = refused(
        client.subscribe(subscribe()).await,
        Code::FailedPrecondition,
        "LOG_CHANGED",
    );
    assert_eq!(fact(&details, "log_id"), now.log_id);
    let gone = call!(client.get_turn(GetTurnRequest {
        session_key: key,
        turn_id: active.as_str()
    }));
    refused(gone, Code::NotFound, "TURN_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_that_is_being_deleted_takes_nothing() {
    let (_server, mut client) = shared().await;
    let key = "delete.deleting";
    start_stubborn(&mut client, key).await;
    let mut other = client.clone();
    // Stubborn: the delete takes its five seconds of grace.
    let deleting = tokio::spawn(async move {
        call!(other.delete_session(DeleteSessionRequest { session_key: key }))
    });
    soon(async {
        while exists(&mut client, key).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    refused(
        enqueue(&mut client, key, "x").await,
        Code::Unavailable,
        "SESSION_DELETING",
    );
    refused(
        steer(&mut client, key, "x").await,
        Code::NotFound,
        "SESSION_NOT_FOUND",
    );
    let abort = call!(client.abort(AbortRequest {
        session_key: key,
        mode: proto::AbortMode::Kill
    }));
    refused(abort, Code::NotFound, "SESSION_NOT_FOUND");
    let read = call!(client.read_events(ReadEventsRequest { session_key: key }));
    refused(read, Code::NotFound, "SESSION_NOT_FOUND");
    let second = ok!(client.delete_session(DeleteSessionRequest { session_key: key }));
    let first = soon(deleting).await.expect("no panic").expect("deleted");
    assert_eq!(first.seq, second.seq);
    assert!(!exists(&mut client, key).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_primary_session_and_unknown_ones_are_not_deleted() {
    let (_server, mut client) = shared().await;
    let primary = session(&mut client, "main").await;
    assert!(primary.primary, "it exists from the start");
    let answer = call!(client.delete_session(DeleteSessionRequest {
        session_key: "main"
    }));
    refused(answer, Code::FailedPrecondition, "PRIMARY_SESSION");
    let answer = call!(client.delete_session(DeleteSessionRequest {
        session_key: "delete.unknown"
    }));
    refused(answer, Code::NotFound, "SESSION_NOT_FOUND");
    run(&mut client, "delete.generation", "x").await;
    let answer = call!(client.delete_session(DeleteSessionRequest {
        session_key: "delete.generation",
        expected_generation: 2i64
    }));
    refused(answer, Code::Aborted, "GENERATION_MISMATCH");
    assert!(exists(&mut client, "delete.generation").await);
}
