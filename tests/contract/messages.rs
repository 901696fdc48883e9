//! Messages, attachments, and a session's state as of one position (§2, §5).

use crate::world::*;
use proto::{Role, ToolCallState, message_part::Part};
use sha2::{Digest, Sha256};

fn parts(message: &proto::Message) -> Vec<&Part> {
    message
        .parts
        .iter()
        .map(|p| p.part.as_ref().expect("a part"))
        .collect()
}

/// DEFECTS 42: thinking, calls and results are kept beside the text. FEATURES 6.2 14.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_have_parts_and_ids_that_never_change() {
    let (_server, mut client) = shared().await;
    let key = "messages.parts";
    let turn_id = run(&mut client, key, "!think=a_b !tool=look hello")
        .await
        .turn_id;
    let messages = ok!(client.list_messages(ListMessagesRequest { session_key: key })).messages;
    let roles: Vec<Role> = messages.iter().map(proto::Message::role).collect();
    assert_eq!(
        roles,
        [Role::User, Role::Assistant, Role::Tool, Role::Assistant]
    );
    let text = |text: &str| Part::Text(proto::TextPart { text: text.into() });
    assert_eq!(parts(&messages[0]), [&text("!think=a_b !tool=look hello")]);
    assert_eq!(
        parts(&messages[1]),
        [&Part::Thinking(proto::ThinkingPart { text: "a b".into() })]
    );
    let [Part::ToolCall(call)] = parts(&messages[2])[..] else {
        panic!("{:?}", messages[2])
    };
    assert_eq!(
        (call.tool_name.as_str(), call.state(), call.full_size),
        ("look", ToolCallState::Result, 0)
    );
    assert_eq!(
        (call.args_json.as_str(), call.result_json.as_str()),
        (r#"{"text":"hello"}"#, r#"{"output":"hello"}"#)
    );
    assert_eq!(parts(&messages[3]), [&text("hello")]);
    let events = log(&mut client, key).await;
    for message in &messages {
        assert_eq!(
            (
                message.turn_id.as_str(),
                message.generation,
                message.partial
            ),
            (turn_id.as_str(), 1, false)
        );
        let completing = events
            .iter()
            .find(|e| e.seq == message.seq)
            .expect("an event");
        assert_eq!(
            completing.item_id, message.item_id,
            "a message carries the seq of the event that completed it"
        );
    }
    let now = session(&mut client, key).await;
    assert_eq!(
        (now.message_count, now.last_message_preview.as_str()),
        (4, "hello")
    );
    run(&mut client, key, "more").await;
    let later = ok!(client.list_messages(ListMessagesRequest { session_key: key })).messages;
    assert_eq!(later[..4], messages);
    run(&mut client, key, &"ü".repeat(200)).await;
    assert_eq!(
        session(&mut client, key).await.last_message_preview,
        "ü".repeat(120)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_are_paged_newest_page_first_oldest_first_inside() {
    let (_server, mut client) = shared().await;
    let key = "messages.pages";
    for n in 0..4 {
        run(&mut client, key, &format!("text {n}")).await;
    }
    let all = ok!(client.list_messages(ListMessagesRequest { session_key: key })).messages;
    assert_eq!(all.len(), 8);
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let page = ok!(client.list_messages(ListMessagesRequest {
            session_key: key,
            page_size: 3,
            page_token: token.as_str()
        }));
        pages.insert(0, page.messages);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3, 3]);
    assert_eq!(pages.concat(), all);
    invalid(
        call!(client.list_messages(ListMessagesRequest {
            session_key: key,
            page_token: "bad"
        })),
        &["page_token"],
    );
    let ahead = call!(client.list_messages(ListMessagesRequest {
        session_key: key,
        min_seq: 10_000
    }));
    refused(ahead, Code::OutOfRange, "CURSOR_AHEAD");
    let missing = call!(client.list_messages(ListMessagesRequest {
        session_key: "messages.nowhere"
    }));
    refused(missing, Code::NotFound, "SESSION_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn attachments_are_stored_once_by_hash_and_go_with_the_session() {
    let (_server, mut client) = shared().await;
    let key = "messages.attachments";
    let data = vec![0u8, 159, 146, 150];
    let hash: String = Sha256::digest(&data)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let attachment = |name: &str| proto::Attachment {
        name: name.into(),
        media_type: "image/png".into(),
        data: data.clone().into(),
    };
    // Blank text is fine beside an attachment.
    let answer = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: " ",
        attachments: vec![attachment("a.png"), attachment("b.png")],
    }));
    let turn = answer.turn.expect("a turn");
    let reference = |name: &str| proto::AttachmentRef {
        attachment_id: hash.clone(),
        name: name.into(),
        media_type: "image/png".into(),
        size: 4,
    };
    assert_eq!(turn.attachments, [reference("a.png"), reference("b.png")]);
    await_turn(&mut client, key, &turn.turn_id).await;
    let started = event(&mut client, key, 0, "message_started").await;
    let Some(Kind::MessageStarted(started)) = started.kind else {
        panic!("asked for")
    };
    assert_eq!(
        started.attachments,
        [reference("a.png"), reference("b.png")]
    );
    let messages = ok!(client.list_messages(ListMessagesRequest { session_key: key })).messages;
    assert!(parts(&messages[0]).contains(&&Part::Attachment(reference("a.png"))));
    let got = ok!(client.get_attachment(GetAttachmentRequest {
        session_key: key,
        attachment_id: hash.as_str()
    }));
    let got = got.attachment.expect("an attachment");
    assert_eq!(
        (
            got.name.as_str(),
            got.media_type.as_str(),
            got.data.as_ref()
        ),
        ("a.png", "image/png", &data[..])
    );

    let active = start(&mut client, key, "!hang x").await;
    let steered = ok!(client.steer(SteerRequest {
        session_key: key,
        attachments: vec![attachment("c.png")]
    }));
    assert_eq!(steered.turn.expect("the active turn").turn_id, active);
    ok!(client.abort(AbortRequest {
        session_key: key,
        clear_queue: true
    }));

    run(&mut client, "messages.attachments2", "x").await;
    let other = call!(client.get_attachment(GetAttachmentRequest {
        session_key: "messages.attachments2",
        attachment_id: hash.as_str()
    }));
    refused(other, Code::NotFound, "ATTACHMENT_NOT_FOUND");
    ok!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: "messages.attachments.fork"
    }));
    ok!(client.delete_session(DeleteSessionRequest { session_key: key }));
    let gone = call!(client.get_attachment(GetAttachmentRequest {
        session_key: key,
        attachment_id: hash.as_str()
    }));
    refused(gone, Code::NotFound, "SESSION_DELETED");
    ok!(client.get_attachment(GetAttachmentRequest {
        session_key: "messages.attachments.fork",
        attachment_id: hash
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn attachments_are_bounded() {
    let (_server, mut client) = shared().await;
    let key = "messages.bounds";
    let of = |size: usize| proto::Attachment {
        data: vec![1; size].into(),
        ..Default::default()
    };
    let mebibyte = 1024 * 1024;
    let large = vec![of(8 * mebibyte + 1)];
    invalid(
        call!(client.enqueue(EnqueueRequest {
            session_key: key,
            text: "x",
            attachments: large
        })),
        &["attachments[0].data"],
    );
    let many = vec![of(8 * mebibyte), of(8 * mebibyte), of(1)];
    invalid(
        call!(client.enqueue(EnqueueRequest {
            session_key: key,
            text: "x",
            attachments: many
        })),
        &["attachments"],
    );
    invalid(
        call!(client.enqueue(EnqueueRequest {
            session_key: key,
            text: "x",
            attachments: vec![of(0)]
        })),
        &["attachments[0].data"],
    );
    let named = proto::Attachment {
        name: "a\u{7}b".into(),
        media_type: "x".repeat(129),
        data: vec![1].into(),
    };
    invalid(
        call!(client.enqueue(EnqueueRequest {
            session_key: key,
            text: "x",
            attachments: vec![named]
        })),
        &["attachments[0].name", "attachments[0].media_type"],
    );
    assert!(!exists(&mut client, key).await);
    let full = vec![
        of(8 * mebibyte),
        proto::Attachment {
            data: vec![2; 8 * mebibyte].into(),
            ..Default::default()
        },
    ];
    ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        attachments: full
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn state_is_tied_to_one_position_also_in_the_middle_of_a_turn() {
    let (_server, mut client) = shared().await;
    let key = "messages.state";
    run(&mut client, key, "before").await;
    let mut follow = Follow::live(&mut client, key).await;
    let turn_id = queue(&mut client, key, "!delay=10ms !repeat=100000 word").await;
    follow.until("token").await;
    let state = ok!(client.get_session_state(GetSessionStateRequest { session_key: key }));
    let at = state.session.expect("a session");
    assert_eq!((at.head_seq, &at.log_id), (state.seq, &state.log_id));
    assert_eq!(at.active_turn_id, turn_id);
    assert_eq!(
        state.messages.len(),
        3,
        "two of the turn before, and the prompt"
    );
    assert!(
        state
            .messages
            .iter()
            .all(|m| m.seq <= state.seq && m.seq > 0)
    );
    assert!(state.running_tools.is_empty() && state.next_page_token.is_empty());
    let open = state.open_message.expect("the agent writes");
    assert_eq!(
        (open.turn_id.as_str(), open.role(), open.seq),
        (turn_id.as_str(), Role::Assistant, 0)
    );
    let [Part::Text(said)] = parts(&open)[..] else {
        panic!("{open:?}")
    };
    assert!(!said.text.is_empty());
    // Whoever subscribes after it goes on without a gap: the snapshot holds at least what the state showed.
    let mut late = Follow::after(&mut client, key, state.seq).await;
    let snapshot = late.until("item_snapshot").await;
    assert_eq!(
        (&snapshot.item_id, snapshot.after_seq),
        (&open.item_id, state.seq)
    );
    let Some(Kind::ItemSnapshot(body)) = snapshot.kind else {
        panic!("asked for")
    };
    assert!(
        body.text.starts_with(&said.text),
        "{:?} does not go on from {:?}",
        body.text,
        said.text
    );
    abort(&mut client, key).await;

    let state = ok!(client.get_session_state(GetSessionStateRequest {
        session_key: key,
        page_size: 1
    }));
    assert!(state.open_message.is_none());
    assert_eq!(state.messages.len(), 1);
    let token = state.next_page_token;
    let older = ok!(client.list_messages(ListMessagesRequest {
        session_key: key,
        page_size: 10,
        page_token: token
    }));
    assert_eq!(older.messages.len(), 3);
    let ahead = call!(client.get_session_state(GetSessionStateRequest {
        session_key: key,
        min_seq: 10_000
    }));
    refused(ahead, Code::OutOfRange, "CURSOR_AHEAD");
    let missing = call!(client.get_session_state(GetSessionStateRequest {
        session_key: "messages.nowhere"
    }));
    refused(missing, Code::NotFound, "SESSION_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn state_shows_running_tools_with_their_newest_partial_result() {
    let (_server, mut client) = shared().await;
    let key = "messages.tools";
    let turn_id = queue(&mut client, key, "!delay=2s !tool=look hello").await;
    let mut follow = Follow::after(&mut client, key, 0).await;
    follow.until("tool_started").await;
    let state = ok!(client.get_session_state(GetSessionStateRequest { session_key: key }));
    assert!(state.open_message.is_none());
    let tool = &state.running_tools[..];
    let [tool] = tool else { panic!("{tool:?}") };
    assert_eq!(
        (
            tool.tool_name.as_str(),
            tool.state(),
            tool.result_json.as_str()
        ),
        ("look", ToolCallState::Running, "")
    );
    assert_eq!(tool.args_json, r#"{"text":"hello"}"#);
    follow.until("tool_update").await;
    let state = ok!(client.get_session_state(GetSessionStateRequest { session_key: key }));
    assert_eq!(state.running_tools[0].result_json, r#"{"partial":"hello"}"#);
    let mut late = Follow::after(&mut client, key, state.seq).await;
    let Some(Kind::ItemSnapshot(body)) = late.until("item_snapshot").await.kind else {
        panic!("asked for")
    };
    assert_eq!(
        (body.block(), body.text.as_str()),
        (proto::BlockKind::ToolResult, r#"{"partial":"hello"}"#)
    );
    assert_eq!(
        (body.tool_call_id.as_str(), body.tool_name.as_str()),
        (tool.tool_call_id.as_str(), "look")
    );
    abort(&mut client, key).await;
    let events = of_turn(&mut client, key, &turn_id).await;
    let stopped = events.iter().find_map(|e| match &e.kind {
        Some(Kind::ToolCompleted(tool)) => Some(tool.clone()),
        _ => None,
    });
    let stopped = stopped.expect("every open item is closed");
    assert!(stopped.is_error && stopped.partial);
}
