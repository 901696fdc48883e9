//! Page tokens are their caller's, for their list.

use crate::{
    support::reason,
    world::{Caller, request, start},
};
use quarterdeck::proto;
use tonic::{Code, Status};

/// Every call that takes a page token, and gives the next one.
const LISTS: [&str; 5] = ["sessions", "turns", "messages", "keys", "memories"];

async fn page(caller: &Caller, list: &str, size: i32, token: &str) -> Result<String, Status> {
    let (page_size, page_token) = (size, token.to_owned());
    Ok(match list {
        "sessions" => {
            let request = proto::ListSessionsRequest {
                page_size,
                page_token,
                ..Default::default()
            };
            let page = caller.gateway().list_sessions(request).await?;
            page.into_inner().next_page_token
        }
        "turns" => {
            let request = proto::ListTurnsRequest {
                page_size,
                page_token,
                ..Default::default()
            };
            let page = caller.gateway().list_turns(request).await?;
            page.into_inner().next_page_token
        }
        "messages" => {
            let request = proto::ListMessagesRequest {
                session_key: "one".into(),
                page_size,
                page_token,
                ..Default::default()
            };
            let page = caller.gateway().list_messages(request).await?;
            page.into_inner().next_page_token
        }
        "keys" => {
            let request = proto::ListApiKeysRequest {
                page_size,
                page_token,
                ..Default::default()
            };
            let page = caller.service().list_api_keys(request).await?;
            page.into_inner().next_page_token
        }
        "memories" => {
            let request = proto::ListMemoriesRequest {
                page_size,
                page_token,
                ..Default::default()
            };
            let page = caller.memory().list_memories(request).await?;
            page.into_inner().next_page_token
        }
        other => panic!("no list is called {other}"),
    })
}

/// A token that somebody else was given, that was given for another list, or that nobody was given, is refused by every
/// list, though its caller may read all that stands there.
#[tokio::test]
async fn a_page_token_is_worth_nothing_to_others() {
    let mut gateway = start();
    let admin = Caller::admin(&gateway).await;
    let mut wish = request(&["*"]);
    wish.subject = "other".into();
    let other = admin.make(wish).await.unwrap().secret;
    for key in ["one", "two"] {
        let enqueue = proto::EnqueueRequest {
            session_key: key.into(),
            text: "hello".into(),
            ..Default::default()
        };
        let turn = admin
            .gateway()
            .enqueue(enqueue)
            .await
            .unwrap()
            .into_inner()
            .turn
            .unwrap();
        let wait = proto::AwaitTurnRequest {
            session_key: key.into(),
            turn_id: turn.turn_id,
            ..Default::default()
        };
        admin.gateway().await_turn(wait).await.unwrap();
        let remember = proto::RememberRequest {
            content: format!("something about {key}"),
            ..Default::default()
        };
        admin.memory().remember(remember).await.unwrap();
    }

    let mut tokens = Vec::new();
    for list in LISTS {
        let token = page(&admin, list, 1, "").await.unwrap();
        assert!(!token.is_empty(), "{list} has two rows");
        tokens.push((list, token));
    }
    gateway.terminate();
    gateway.wait();
    gateway.restart();
    let admin = Caller::admin(&gateway).await;
    let other = admin.as_key(&other);
    for (list, token) in &tokens {
        page(&admin, list, 1, token)
            .await
            .expect("it is the caller's own, over a restart too");
        let refused = |result: Result<String, Status>| {
            let refused = result.expect_err(list);
            assert_eq!(refused.code(), Code::InvalidArgument, "{list}");
            assert_eq!(reason(&refused), "INVALID_FIELD", "{list}");
        };
        refused(page(&other, list, 1, token).await);
        let mut forged = token.clone().into_bytes();
        forged[0] = if forged[0] == b'A' { b'B' } else { b'A' };
        refused(page(&admin, list, 1, &String::from_utf8(forged).unwrap()).await);
        for (another, token) in tokens.iter().filter(|(another, _)| another != list) {
            let result = page(&admin, list, 1, token).await;
            assert!(result.is_err(), "{list} took a token of {another}");
        }
    }
}
