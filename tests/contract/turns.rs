//! Turns: their ends, waiting for them, reading and listing them (§4).

use crate::world::*;
use proto::{StopReason, TurnState};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_ends_that_an_agent_makes() {
    let (_server, mut client) = shared().await;
    let key = "turns.ends";
    let turn = run(&mut client, key, "hello").await;
    assert_eq!(end(&turn), (TurnState::Completed, "", StopReason::Stop));
    assert!(turn.error.is_none());
    let turn = run(&mut client, key, "!fail=BROKE x").await;
    assert_eq!(
        end(&turn),
        (TurnState::Failed, "AGENT_ERROR", StopReason::Error)
    );
    assert_eq!(turn.error.expect("it failed").message, "BROKE");
    assert_eq!(turn.response_text, "", "never the text of an older turn");
    let turn = run(&mut client, key, "after").await;
    assert_eq!(
        turn.state(),
        TurnState::Completed,
        "a failure does not hold up the next turn"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn await_turn_ends_with_the_turn_or_with_wait() {
    let (server, mut client) = shared().await;
    let key = "turns.await";
    let turn_id = start(&mut client, key, "!hang x").await;
    let id = turn_id.as_str();
    let now = ok!(client.await_turn(AwaitTurnRequest {
        session_key: key,
        turn_id: id,
        wait: millis(1),
        or_question: false,
    }));
    assert_eq!(now.turn.expect("a turn").state(), TurnState::Running);
    // Whoever leaves changes nothing; the deadline's own status is pinned in `grpc_errors`.
    let left = await_turn(&mut client, key, id);
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(50), left)
            .await
            .is_err()
    );
    assert_eq!(
        turn(&mut client, key, id).await.state(),
        TurnState::Running,
        "the turn goes on"
    );

    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = connect(server.address()).await;
        let turn_id = turn_id.clone();
        waiters.spawn(async move { await_turn(&mut client, key, &turn_id).await });
    }
    abort(&mut client, key).await;
    for told in soon(waiters.join_all()).await {
        assert_eq!(told.state(), TurnState::Canceled);
    }
    assert_eq!(
        await_turn(&mut client, key, id).await.state(),
        TurnState::Canceled,
        "also afterwards"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unknown_turns_and_sessions_are_not_found() {
    let (_server, mut client) = shared().await;
    let key = "turns.unknown";
    let turn = run(&mut client, key, "x").await;
    let nowhere = uuid::Uuid::now_v7().to_string();
    let id = nowhere.as_str();
    let answer = call!(client.get_turn(GetTurnRequest {
        session_key: key,
        turn_id: id
    }));
    refused(answer, Code::NotFound, "TURN_NOT_FOUND");
    let answer = call!(client.await_turn(AwaitTurnRequest {
        session_key: key,
        turn_id: id
    }));
    refused(answer, Code::NotFound, "TURN_NOT_FOUND");
    // A turn belongs to its session.
    run(&mut client, "turns.unknown2", "x").await;
    let answer = call!(client.get_turn(GetTurnRequest {
        session_key: "turns.unknown2",
        turn_id: turn.turn_id.as_str()
    }));
    refused(answer, Code::NotFound, "TURN_NOT_FOUND");
    let id = turn.turn_id.as_str();
    let answer = call!(client.get_turn(GetTurnRequest {
        session_key: "turns.nowhere",
        turn_id: id
    }));
    refused(answer, Code::NotFound, "SESSION_NOT_FOUND");
    let answer = call!(client.await_turn(AwaitTurnRequest {
        session_key: "turns.nowhere",
        turn_id: id
    }));
    refused(answer, Code::NotFound, "SESSION_NOT_FOUND");
    let answer = call!(client.list_turns(ListTurnsRequest {
        session_key: "turns.nowhere"
    }));
    refused(answer, Code::NotFound, "SESSION_NOT_FOUND");
    let answer = call!(client.list_queue(ListQueueRequest {
        session_key: "turns.nowhere"
    }));
    refused(answer, Code::NotFound, "SESSION_NOT_FOUND");
    assert!(!exists(&mut client, "turns.nowhere").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn long_texts_are_whole_in_get_turn_and_cut_in_events_and_lists() {
    let (_server, mut client) = shared().await;
    let key = "turns.long";
    let text = "ä".repeat(50_000);
    let turn = run(&mut client, key, &text).await;
    assert_eq!((&turn.text, &turn.response_text), (&text, &text));
    assert!(!turn.text_truncated && !turn.response_text_truncated);
    let limit = 64 * 1024;
    let cut = |part: &str| text.starts_with(part) && part.len() <= limit && part.len() > limit - 4;
    for event in log(&mut client, key).await {
        match event.kind {
            Some(Kind::TurnQueued(queued)) => {
                let turn = queued.turn.expect("a turn");
                assert!(cut(&turn.text) && turn.text_truncated && turn.response_text.is_empty());
            }
            Some(Kind::TurnStarted(started)) => {
                let turn = started.turn.expect("a turn");
                assert!(turn.text.is_empty() && turn.response_text.is_empty());
            }
            Some(Kind::TurnEnded(ended)) => {
                let turn = ended.turn.expect("a turn");
                assert!(
                    cut(&turn.response_text)
                        && turn.response_text_truncated
                        && turn.text.is_empty()
                );
            }
            Some(Kind::MessageStarted(started)) => {
                assert!(started.text.is_empty() || started.text == text)
            }
            Some(Kind::MessageCompleted(completed)) => assert_eq!(completed.text, text),
            _ => {}
        }
    }
    let listed = ok!(client.list_turns(ListTurnsRequest { session_key: key })).turns;
    assert!(cut(&listed[0].text) && listed[0].text_truncated);
    assert!(cut(&listed[0].response_text) && listed[0].response_text_truncated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn turns_are_listed_newest_first_by_state_and_page() {
    let (_server, mut client) = shared().await;
    let key = "turns.list";
    let mut ids = Vec::new();
    for n in 0..5 {
        let text = if n == 2 { "!fail=X x" } else { "x" };
        ids.push(run(&mut client, key, text).await.turn_id);
    }
    ids.reverse();
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let page = ok!(client.list_turns(ListTurnsRequest {
            session_key: key,
            page_size: 2,
            page_token: token.as_str()
        }));
        assert!(page.turns.len() <= 2);
        listed.extend(page.turns.into_iter().map(|t| t.turn_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        let other = call!(client.list_turns(ListTurnsRequest {
            session_key: "turns.other",
            page_token: token.as_str()
        }));
        invalid(other, &["page_token"]);
    }
    assert_eq!(listed, ids);
    let states = vec![TurnState::Failed as i32];
    let failed = ok!(client.list_turns(ListTurnsRequest {
        session_key: key,
        states: states
    }))
    .turns;
    assert_eq!(
        failed.iter().map(|t| &t.turn_id).collect::<Vec<_>>(),
        [&ids[2]]
    );
    // Without a key: of all sessions.
    let all = ok!(client.list_turns(ListTurnsRequest { page_size: 1000 })).turns;
    let mine: Vec<&String> = all
        .iter()
        .filter(|t| t.session_key == key)
        .map(|t| &t.turn_id)
        .collect();
    assert_eq!(mine, ids.iter().collect::<Vec<_>>());
    invalid(
        call!(client.list_turns(ListTurnsRequest {
            session_key: key,
            page_token: "?"
        })),
        &["page_token"],
    );
    invalid(
        call!(client.list_turns(ListTurnsRequest {
            session_key: key,
            page_size: -1
        })),
        &["page_size"],
    );
    invalid(
        call!(client.list_turns(ListTurnsRequest {
            session_key: key,
            states: vec![99]
        })),
        &["states[0]"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_fit_a_client_that_takes_four_mebibytes() {
    let (server, mut client) = shared().await;
    let key = "turns.pages";
    let text = "x".repeat(64 * 1024);
    for _ in 0..40 {
        run(&mut client, key, &text).await;
    }
    let mut client =
        proto::gateway_service_client::GatewayServiceClient::new(channel(server.address()).await);
    let (mut turns, mut messages, mut token) = (0, 0, String::new());
    loop {
        let page = ok!(client.list_turns(ListTurnsRequest {
            session_key: key,
            page_size: 1000,
            page_token: token.as_str()
        }));
        turns += page.turns.len();
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let state = ok!(client.get_session_state(GetSessionStateRequest {
        session_key: key,
        page_size: 1000
    }));
    assert!(!state.next_page_token.is_empty() && !state.messages.is_empty());
    loop {
        let page = ok!(client.list_messages(ListMessagesRequest {
            session_key: key,
            page_size: 1000,
            page_token: token.as_str()
        }));
        messages += page.messages.len();
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((turns, messages), (40, 80));
}
