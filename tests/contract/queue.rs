//! Editing the queue, and forking at a finished turn (§4).

use crate::world::*;
use proto::{SessionState, StopReason, TurnState};

async fn three(client: &mut Client, key: &str) -> Vec<String> {
    start(client, key, "!hang x").await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(queue(client, key, text).await);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_waiting_turn_changes_text_and_place() {
    let (_server, mut client) = shared().await;
    let key = "queue.update";
    let ids = three(&mut client, key).await;
    let answer = ok!(client.update_queued(UpdateQueuedRequest {
        session_key: key,
        turn_id: ids[2].as_str(),
        text: "changed".to_owned(),
        position: 0,
    }));
    assert_eq!(answer.queue_position, 0);
    let changed = answer.turn.expect("a turn");
    assert_eq!(
        (changed.state(), changed.text.as_str()),
        (TurnState::Queued, "changed")
    );
    assert_eq!(
        waiting(&mut client, key).await,
        [&ids[2], &ids[0], &ids[1]].map(Clone::clone)
    );
    let updated = event(&mut client, key, 0, "turn_updated").await;
    assert_eq!((updated.seq, &updated.turn_id), (answer.seq, &ids[2]));
    let Some(Kind::TurnUpdated(body)) = updated.kind else {
        panic!("asked for")
    };
    assert_eq!(body.queue_position, 0);
    assert_eq!(
        body.turn.expect("a turn").text,
        "",
        "the text of a turn is in turn_queued only"
    );
    // Beyond the end means last.
    let answer = ok!(client.update_queued(UpdateQueuedRequest {
        session_key: key,
        turn_id: ids[2].as_str(),
        position: 99
    }));
    assert_eq!(
        (
            answer.queue_position,
            answer.turn.expect("a turn").text.as_str()
        ),
        (2, "changed")
    );
    assert_eq!(waiting(&mut client, key).await, ids);
    abort(&mut client, key).await;
    assert_eq!(
        await_turn(&mut client, key, &ids[2]).await.response_text,
        "changed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_waiting_turn_is_removed_and_all_are_cleared() {
    let (_server, mut client) = shared().await;
    let key = "queue.remove";
    let ids = three(&mut client, key).await;
    let answer = ok!(client.remove_queued(RemoveQueuedRequest {
        session_key: key,
        turn_id: ids[1].as_str()
    }));
    let removed = answer.turn.expect("a turn");
    assert_eq!(
        end(&removed),
        (TurnState::Rejected, "REMOVED", StopReason::Unspecified)
    );
    let ended = event(&mut client, key, answer.seq - 1, "turn_ended").await;
    assert_eq!((ended.seq, &ended.turn_id), (answer.seq, &ids[1]));
    let answer = ok!(client.clear_queue(ClearQueueRequest { session_key: key }));
    let taken: Vec<&str> = answer.turns.iter().map(|t| t.turn_id.as_str()).collect();
    assert_eq!(taken, [&ids[0], &ids[2]]);
    for turn in &answer.turns {
        assert_eq!(
            end(turn),
            (
                TurnState::Rejected,
                "QUEUE_CLEARED",
                StopReason::Unspecified
            )
        );
    }
    let now = session(&mut client, key).await;
    assert_eq!(
        (now.state(), now.queue_depth, now.head_seq),
        (SessionState::Running, 0, answer.seq)
    );
    let empty = ok!(client.clear_queue(ClearQueueRequest { session_key: key }));
    assert_eq!((empty.turns.len(), empty.seq), (0, answer.seq));
    abort(&mut client, key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_waiting_turns_are_edited() {
    let (_server, mut client) = shared().await;
    let key = "queue.not-waiting";
    let done = run(&mut client, key, "x").await.turn_id;
    let active = start(&mut client, key, "!hang x").await;
    for id in [done.as_str(), active.as_str()] {
        let update = call!(client.update_queued(UpdateQueuedRequest {
            session_key: key,
            turn_id: id,
            position: 0
        }));
        let details = refused(update, Code::FailedPrecondition, "TURN_NOT_QUEUED");
        assert_eq!(fact(&details, "turn_id"), id);
        let remove = call!(client.remove_queued(RemoveQueuedRequest {
            session_key: key,
            turn_id: id
        }));
        refused(remove, Code::FailedPrecondition, "TURN_NOT_QUEUED");
    }
    let nobody = uuid::Uuid::now_v7().to_string();
    let update = call!(client.update_queued(UpdateQueuedRequest {
        session_key: key,
        turn_id: nobody.as_str(),
        position: 0
    }));
    refused(update, Code::NotFound, "TURN_NOT_FOUND");
    let remove = call!(client.remove_queued(RemoveQueuedRequest {
        session_key: key,
        turn_id: nobody
    }));
    refused(remove, Code::NotFound, "TURN_NOT_FOUND");

    let waits = queue(&mut client, key, "waits").await;
    let id = waits.as_str();
    invalid(
        call!(client.update_queued(UpdateQueuedRequest {
            session_key: key,
            turn_id: id,
            text: " ".to_owned()
        })),
        &["text"],
    );
    invalid(
        call!(client.update_queued(UpdateQueuedRequest {
            session_key: key,
            turn_id: id,
            position: -1
        })),
        &["position"],
    );
    invalid(
        call!(client.update_queued(UpdateQueuedRequest {
            session_key: key,
            turn_id: id
        })),
        &["text"],
    );
    let wrong = call!(client.update_queued(UpdateQueuedRequest {
        session_key: key,
        turn_id: id,
        position: 0,
        expected_generation: 2i64
    }));
    refused(wrong, Code::Aborted, "GENERATION_MISMATCH");
    let wrong = call!(client.remove_queued(RemoveQueuedRequest {
        session_key: key,
        turn_id: id,
        expected_generation: 2i64
    }));
    refused(wrong, Code::Aborted, "GENERATION_MISMATCH");
    let wrong = call!(client.clear_queue(ClearQueueRequest {
        session_key: key,
        expected_generation: 2i64
    }));
    refused(wrong, Code::Aborted, "GENERATION_MISMATCH");
    let missing = call!(client.clear_queue(ClearQueueRequest {
        session_key: "queue.nowhere"
    }));
    refused(missing, Code::NotFound, "SESSION_NOT_FOUND");
    assert_eq!(waiting(&mut client, key).await, [waits]);
    ok!(client.abort(AbortRequest {
        session_key: key,
        clear_queue: true
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fork_has_the_messages_and_a_log_of_its_own() {
    let (_server, mut client) = shared().await;
    let (key, fork) = ("fork.from", "fork.to");
    let first = run(&mut client, key, "one").await.turn_id;
    run(&mut client, key, "two").await;
    let source = session(&mut client, key).await;
    let answer = ok!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: fork,
        turn_id: first.as_str()
    }));
    let made = answer.session.expect("a session");
    assert_eq!(
        (
            made.session_key.as_str(),
            made.generation,
            made.message_count
        ),
        (fork, 1, 2)
    );
    assert_ne!(made.log_id, source.log_id);
    assert_eq!((answer.seq, &answer.log_id), (1, &made.log_id));
    let events = log(&mut client, fork).await;
    assert_eq!(kinds(&events), ["session_created"]);
    let Some(Kind::SessionCreated(created)) = &events[0].kind else {
        panic!("see above")
    };
    let from = created.forked_from.as_ref().expect("it is a fork");
    assert_eq!(
        (from.session_key.as_str(), &from.log_id, &from.turn_id),
        (key, &source.log_id, &first)
    );
    let messages = ok!(client.list_messages(ListMessagesRequest { session_key: fork })).messages;
    assert!(messages.iter().all(|m| m.turn_id == first));
    // Its conversation goes on from there; that of the source is not touched.
    assert_eq!(run(&mut client, fork, "!history").await.response_text, "1");
    assert_eq!(run(&mut client, key, "!history").await.response_text, "2");

    let newest = ok!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: "fork.newest"
    }));
    assert_eq!(newest.session.expect("a session").message_count, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn forks_that_can_not_be_are_refused() {
    let (_server, mut client) = shared().await;
    let (key, fork) = ("fork.refused", "fork.never");
    let missing = call!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: fork
    }));
    refused(missing, Code::NotFound, "SESSION_NOT_FOUND");
    let active = start(&mut client, key, "!hang x").await;
    let running = call!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: fork,
        turn_id: active
    }));
    invalid(running, &["turn_id"]);
    let nobody = uuid::Uuid::now_v7().to_string();
    let unknown = call!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: fork,
        turn_id: nobody
    }));
    refused(unknown, Code::NotFound, "TURN_NOT_FOUND");
    let taken = call!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: key
    }));
    refused(taken, Code::AlreadyExists, "SESSION_EXISTS");
    let wrong = call!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: fork,
        expected_generation: 2i64
    }));
    refused(wrong, Code::Aborted, "GENERATION_MISMATCH");
    let bad = call!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: "a b"
    }));
    invalid(bad, &["new_session_key"]);
    assert!(!exists(&mut client, fork).await);
    abort(&mut client, key).await;
}
