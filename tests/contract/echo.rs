//! The `echo` agent's language, and the order of a turn's events (§5, §8).

use crate::world::*;
use proto::{StopReason, TurnState};

/// One line an event: kind and what it says.
fn line(event: &proto::GatewayEvent) -> String {
    let said = match event.kind.as_ref().expect("a kind") {
        Kind::MessageStarted(m) => format!(" {} {:?}", m.role().as_str_name(), m.text),
        Kind::MessageCompleted(m) => format!(
            " {} {:?} blocks={}",
            m.role().as_str_name(),
            m.text,
            m.blocks.len()
        ),
        Kind::ThinkingCompleted(t) => format!(" {} {:?}", t.content_index, t.text),
        Kind::Thinking(t) => format!(" {}@{} {:?}", t.content_index, t.offset, t.delta),
        Kind::Token(t) => format!(" {}@{} {:?}", t.content_index, t.offset, t.delta),
        Kind::ToolStarted(t) => format!(" {} {}", t.tool_name, t.args_json),
        Kind::ToolUpdate(t) => format!(" {}", t.partial_result_json),
        Kind::ToolCompleted(t) => {
            format!(" {} {} error={}", t.tool_name, t.result_json, t.is_error)
        }
        Kind::TurnEnded(t) => format!(" {:?}", t.turn.as_ref().expect("a turn").response_text),
        _ => String::new(),
    };
    format!("{}{said}", kind(event))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_events_of_a_turn_in_their_order() {
    let (_server, mut client) = shared().await;
    let key = "echo.golden";
    ok!(client.create_session(CreateSessionRequest { session_key: key }));
    // Attached before the turn is there, so that no delta is told by a snapshot.
    let mut follow = Follow::live(&mut client, key).await;
    let joined = follow.seen.len();
    queue(
        &mut client,
        key,
        "!think=let_me_see !tool=look hello  big world",
    )
    .await;
    follow.until("turn_ended").await;
    let mut events = follow.seen.split_off(joined);
    events.retain(|e| kind(e) != "session_state");
    let lines: Vec<String> = events.iter().map(line).collect();
    let expected = r#"
turn_queued
turn_started
message_started ROLE_USER "!think=let_me_see !tool=look hello  big world"
commands_changed
message_started ROLE_ASSISTANT ""
thinking 0@0 "let "
thinking 0@4 "me "
thinking 0@7 "see"
thinking_completed 0 "let me see"
message_completed ROLE_ASSISTANT "" blocks=0
tool_started look {"text":"hello  big world"}
tool_update {"partial":"hello  big world"}
tool_completed look {"output":"hello  big world"} error=false
message_started ROLE_ASSISTANT ""
token 0@0 "hello  "
token 0@7 "big "
token 0@11 "world"
message_completed ROLE_ASSISTANT "hello  big world" blocks=1
turn_ended "hello  big world"
"#;
    assert_eq!(lines.join("\n"), expected.trim());
    // Every item is opened and closed once, by its own id.
    let durable = durable(&events);
    for close in ["message_completed", "tool_completed"] {
        for event in durable.iter().filter(|e| kind(e) == close) {
            let of_item: Vec<&str> = durable
                .iter()
                .filter(|e| e.item_id == event.item_id)
                .map(kind)
                .collect();
            assert_eq!(
                (
                    of_item.first().map(|k| k.ends_with("_started")),
                    of_item.last()
                ),
                (Some(true), Some(&close))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn directives() {
    let (_server, mut client) = shared().await;
    let key = "echo.directives";
    for (prompt, reply) in [
        ("plain  text\n with\tspace ", "plain  text\n with\tspace "),
        ("!repeat=3 ab", "ab ab ab"),
        ("!nothing !hang x", "!nothing !hang x"),
        ("!delay=1ms  two blanks", " two blanks"),
        ("!delay=soon x", "!delay=soon x"),
        ("!memory", ""),
        ("x !hang", "x !hang"),
    ] {
        let turn = run(&mut client, key, prompt).await;
        assert_eq!(
            (turn.state(), turn.response_text.as_str()),
            (TurnState::Completed, reply),
            "{prompt:?}"
        );
    }
    let turn = run(&mut client, key, "!toolfail=look !fail=WHY x").await;
    assert_eq!(
        end(&turn),
        (TurnState::Failed, "AGENT_ERROR", StopReason::Error)
    );
    let events = of_turn(&mut client, key, &turn.turn_id).await;
    let failed = events.iter().find_map(|e| match &e.kind {
        Some(Kind::ToolCompleted(tool)) => Some(tool.clone()),
        _ => None,
    });
    let failed = failed.expect("a tool ran");
    assert!(failed.is_error && !failed.partial);
    assert_eq!(failed.result_json, r#"{"error":"x"}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn history_counts_user_messages_of_the_generation_steers_included() {
    let (_server, mut client) = shared().await;
    let key = "echo.history";
    for n in 0..3 {
        assert_eq!(
            run(&mut client, key, "!history").await.response_text,
            n.to_string()
        );
    }
    start(&mut client, key, "!delay=20ms !repeat=100000 x").await;
    let steered = steer(&mut client, key, "left").await.expect("taken");
    event(&mut client, key, steered.seq, "steer_applied").await;
    abort(&mut client, key).await;
    assert_eq!(run(&mut client, key, "!history").await.response_text, "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reply_beyond_a_message_goes_on_in_the_next_item() {
    let (_server, mut client) = shared().await;
    let key = "echo.long";
    let word = "0123456789".repeat(1000);
    let request = proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: key.into(),
            text: format!("!repeat=120 {word}"),
            ..Default::default()
        }),
        ..Default::default()
    };
    let events = Follow::new(client.run(request).await.expect("runs").into_inner())
        .rest()
        .await;
    let expected = vec![word; 120].join(" ");
    let messages: Vec<(String, bool)> = events
        .iter()
        .filter_map(|e| match &e.kind {
            Some(Kind::MessageCompleted(m)) => Some((m.text.clone(), m.continued)),
            _ => None,
        })
        .collect();
    assert_eq!(
        messages
            .iter()
            .map(|(_, continued)| *continued)
            .collect::<Vec<_>>(),
        [true, true, false]
    );
    assert!(messages.iter().all(|(text, _)| text.len() <= 512 * 1024));
    assert!(
        messages
            .iter()
            .map(|(text, _)| text.as_str())
            .collect::<String>()
            == expected
    );
    let turn = turn(&mut client, key, &events[0].turn_id).await;
    assert!(turn.response_text == expected, "GetTurn has it whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn large_tool_texts_are_cut_with_their_size() {
    let (_server, mut client) = shared().await;
    let key = "echo.tool";
    let text = "ö".repeat(200 * 1024);
    let turn = run(&mut client, key, &format!("!tool=look {text}")).await;
    let whole = serde_json::json!({ "text": text }).to_string();
    for event in of_turn(&mut client, key, &turn.turn_id).await {
        if let Some(Kind::ToolStarted(tool)) = event.kind {
            assert!(tool.truncated && tool.args_json.len() <= 256 * 1024);
            assert_eq!(tool.full_size, i64::try_from(whole.len()).expect("small"));
            let kept: String = serde_json::from_str(&tool.args_json).expect("a JSON string");
            assert!(!kept.is_empty() && whole.starts_with(&kept));
        }
    }
}
