//! Sub-agents and artifacts: what they say comes to those who ask, and is never the turn's own (CONTRACT-2 §12).

use crate::world::*;
use proto::{Role, TurnState, message_part::Part};

/// Items of sub-agents: who said them, and what.
fn items(events: &[proto::GatewayEvent]) -> Vec<(String, String)> {
    let items = events.iter().filter_map(|event| match &event.kind {
        Some(Kind::SubagentItem(item)) => {
            assert!(!event.item_id.is_empty() && event.seq > 0);
            let said = match item.parts[0].part.as_ref().expect("a part") {
                Part::Text(text) => text.text.clone(),
                Part::ToolCall(call) => {
                    assert_eq!(item.role(), Role::Tool);
                    format!("ran {} {}", call.tool_name, call.args_json)
                }
                other => panic!("{other:?}"),
            };
            Some((item.agent_path.join("/"), said))
        }
        _ => None,
    });
    items.collect()
}

/// Those that began and ended, in order.
fn lives(events: &[proto::GatewayEvent]) -> Vec<String> {
    let lives = events.iter().filter_map(|event| match &event.kind {
        Some(Kind::SubagentStarted(it)) => Some(format!(
            "{} of {} begins {}: {}",
            it.name, it.parent_agent_id, it.agent_id, it.task
        )),
        Some(Kind::SubagentCompleted(it)) => {
            let stats = it.stats.expect("set");
            Some(format!(
                "{} {} after {}+{}: {}",
                it.agent_id,
                if it.is_error { "fails" } else { "ends" },
                stats.message_count,
                stats.tool_call_count,
                it.response
            ))
        }
        _ => None,
    });
    lives.collect()
}

async fn read(
    client: &mut Client,
    key: &str,
    kinds: &[&str],
    subagents: bool,
) -> Vec<proto::GatewayEvent> {
    let kinds: Vec<String> = kinds.iter().map(|&kind| kind.into()).collect();
    ok!(client.read_events(ReadEventsRequest {
        session_key: key,
        kinds: kinds,
        limit: 1000,
        subagents: subagents
    }))
    .events
}

/// 6.3 8, SEMANTICS 18: their texts never become the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_sub_agent_says_comes_to_those_who_ask_and_is_never_the_answer() {
    let (_server, mut client) = shared().await;
    let key = "subagents.story";
    let turn = run(&mut client, key, "!subagent=scout,digger find it").await;
    assert_eq!(
        (turn.state(), turn.response_text.as_str()),
        (TurnState::Completed, "find it")
    );
    let told = session(&mut client, key).await;
    assert_eq!(
        (told.message_count, told.last_message_preview.as_str()),
        (2, "find it")
    );
    let plain = read(&mut client, key, &[], false).await;
    assert_eq!(items(&plain), []);
    let whole = read(&mut client, key, &[], true).await;
    let expected = [
        "scout of  begins agent_1: find it",
        "digger of agent_1 begins agent_2: find it",
        "agent_2 ends after 1+1: digger is done",
        "agent_1 ends after 1+1: scout is done",
    ];
    assert_eq!(lives(&plain), expected);
    assert_eq!(lives(&whole), expected);
    let said = |path: &str, what: &str| (path.to_owned(), what.to_owned());
    let expected = [
        said("agent_1", "scout: find it"),
        said("agent_1", "ran look {\"text\":\"find it\"}"),
        said("agent_1/agent_2", "digger: find it"),
        said("agent_1/agent_2", "ran look {\"text\":\"find it\"}"),
    ];
    assert_eq!(items(&whole), expected);
    let named = read(&mut client, key, &["subagent_item"], false).await;
    assert_eq!((named.len(), items(&named)), (4, expected.to_vec()));
    // What is left out is missing in the positions, and nothing else is.
    let seqs: Vec<i64> = whole.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=told.head_seq).collect::<Vec<_>>());
    assert_eq!(plain.len() + 4, whole.len());

    // A stream says the same, live and by replay.
    let mut stream = client
        .subscribe(proto::SubscribeRequest {
            session_key: key.into(),
            from_oldest: true,
            subagents: true,
            deltas: Some(false),
            ..Default::default()
        })
        .await
        .expect("followed")
        .into_inner();
    let mut seen = Vec::new();
    let mut caught_up = false;
    while !caught_up || items(&seen).len() < 8 {
        let event = soon(stream.message())
            .await
            .expect("it goes on")
            .expect("an event");
        if kind(&event) == "caught_up" {
            caught_up = true;
            queue(&mut client, key, "!subagent=scout,digger find it").await;
        }
        seen.push(event);
    }
    assert_eq!(items(&seen), [expected.clone(), expected].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_abort_and_a_crash_reach_all_of_them() {
    let mut gateway = Gateway::with(config(""));
    let mut client = gateway.client().await;
    let key = "subagents.abort";
    let turn_id = queue(&mut client, key, "!subagent=a,b !delay=30s x").await;
    event(&mut client, key, 0, "subagent_started").await;
    abort(&mut client, key).await;
    let turn = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(turn.state(), TurnState::Canceled);
    let events = log(&mut client, key).await;
    let begun = events
        .iter()
        .filter(|it| kind(it) == "subagent_started")
        .count();
    let failed = events
        .iter()
        .filter(|it| matches!(&it.kind, Some(Kind::SubagentCompleted(ended)) if ended.is_error));
    assert_eq!(failed.count(), begun);
    assert_eq!(events.last().map(kind), Some("turn_ended"));
    // After a crash the turn's end tells it.
    let turn_id = queue(&mut client, "subagents.crash", "!subagent=a !delay=10s x").await;
    event(&mut client, "subagents.crash", 0, "subagent_started").await;
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    let turn = await_turn(&mut client, "subagents.crash", &turn_id).await;
    assert_eq!(turn.state(), TurnState::Interrupted);
    gateway.check_store();
}

async fn artifacts(client: &mut Client, key: &str) -> Vec<proto::Artifact> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = ok!(client.list_artifacts(ListArtifactsRequest {
            session_key: key,
            page_size: 1,
            page_token: page_token
        }));
        assert!(page.artifacts.len() <= 1);
        all.extend(page.artifacts);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn artifacts_are_told_listed_and_read_until_a_reset() {
    let mut gateway = Gateway::with(config(""));
    let mut client = gateway.client().await;
    let key = "artifacts";
    let turn = run(&mut client, key, "!artifact=a.txt !artifact=b.txt hello").await;
    run(&mut client, key, "!artifact=c.txt other").await;
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    let listed = artifacts(&mut client, key).await;
    let named: Vec<(&str, String)> = (listed.iter())
        .map(|it| {
            (
                it.title.as_str(),
                it.attachment.as_ref().expect("set").name.clone(),
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            ("What became of a.txt", "a.txt".to_owned()),
            ("What became of b.txt", "b.txt".to_owned()),
            ("What became of c.txt", "c.txt".to_owned())
        ]
    );
    assert_eq!(listed[0].turn_id, turn.turn_id);
    assert!(listed[0].create_time.is_some());
    let told: Vec<i64> = log(&mut client, key)
        .await
        .iter()
        .filter(|event| kind(event) == "artifact_created")
        .map(|event| event.seq)
        .collect();
    assert_eq!(told, listed.iter().map(|it| it.seq).collect::<Vec<_>>());
    let attachment = listed[2].attachment.clone().expect("set");
    let read = ok!(client.get_attachment(GetAttachmentRequest {
        session_key: key,
        attachment_id: attachment.attachment_id
    }));
    assert_eq!(&read.attachment.expect("its bytes").data[..], b"other");
    ok!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: "artifacts.fork"
    }));
    assert_eq!(artifacts(&mut client, "artifacts.fork").await, []);
    let wrong = call!(client.list_artifacts(ListArtifactsRequest {
        session_key: key,
        page_token: "x"
    }));
    invalid(wrong, &["page_token"]);
    ok!(client.reset(ResetRequest { session_key: key }));
    assert_eq!(artifacts(&mut client, key).await, []);
    ok!(client.delete_session(DeleteSessionRequest { session_key: key }));
    gateway.check_store();
}
