//! An agent's words on a bad day, through the built binary and a scripted pi: nothing that it said is lost, and no outcome
//! is another one than the true one.

#[path = "agent_support/mod.rs"]
mod agent_support;
mod support;

use agent_support::{fixture, python};
use quarterdeck::proto::{self, gateway_event::Kind, message_part::Part};
use support::{Client, Gateway, Options, await_turn, enqueue, kind, log, run};

/// A server whose only agent is a scripted pi that behaves as these words say.
fn gateway(words: &str) -> Gateway {
    gateway_with(words, "", vec![])
}

fn gateway_with(words: &str, config: &str, arguments: Vec<std::ffi::OsString>) -> Gateway {
    let config = format!(
        "default_agent = \"pi\"\n{config}\n[agents.pi]\ndriver = \"pi\"\ncommand = [{:?}, \"-S\", \"-E\", {:?}]\n\
         environment = {{ FAKE_PI = {words:?} }}\n",
        python(),
        fixture("fake_pi.py"),
    );
    Gateway::with(Options {
        config,
        arguments,
        ..Options::default()
    })
}

fn completed(turn: &proto::Turn) {
    assert_eq!(turn.state(), proto::TurnState::Completed, "{turn:?}");
}

/// Ends of tools in a session's log.
async fn tools(client: &mut Client, key: &str) -> Vec<proto::ToolCompleted> {
    let events = log(client, key).await.into_iter();
    let kinds = events.filter_map(|event| event.kind);
    kinds
        .filter_map(|kind| match kind {
            Kind::ToolCompleted(tool) => Some(tool),
            _ => None,
        })
        .collect()
}

async fn messages(client: &mut Client, key: &str) -> Vec<proto::Message> {
    let request = proto::ListMessagesRequest {
        session_key: key.into(),
        ..Default::default()
    };
    let page = client.list_messages(request).await.expect("it exists");
    page.into_inner().messages
}

async fn steer(client: &mut Client, key: &str, text: &str, image: Vec<u8>) -> proto::SteerResponse {
    let request = proto::SteerRequest {
        session_key: key.into(),
        text: text.into(),
        attachments: vec![proto::Attachment {
            name: "screen.png".into(),
            media_type: "image/png".into(),
            data: image.into(),
        }],
        ..Default::default()
    };
    let answer = client.steer(request).await.expect("it is taken");
    answer.into_inner()
}

/// Waits until the agent has the turn.
async fn running(client: &mut Client, key: &str) {
    loop {
        if log(client, key)
            .await
            .iter()
            .any(|event| kind(event) == "turn_started")
        {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// pi shows what it takes in lines of its own. One of the largest image is longer than any line that is read whole.
#[tokio::test]
async fn a_steer_with_the_largest_image_runs_once() {
    for size in [7 << 20, 8 << 20] {
        let mut gateway = gateway("");
        let mut client = gateway.client().await;
        let turn = enqueue(&mut client, "steered", "wait")
            .await
            .expect("accepted");
        running(&mut client, "steered").await;
        let steered = steer(&mut client, "steered", "look at this", vec![0xa7; size]).await;
        assert_eq!(steered.mode(), proto::AdmissionMode::Steered);
        let turn = await_turn(&mut client, "steered", &turn.turn.expect("a turn").turn_id).await;
        completed(&turn);
        assert_eq!(turn.response_text, "Steered: look at this");
        let events = log(&mut client, "steered").await;
        let count = |name| events.iter().filter(|event| kind(event) == name).count();
        assert_eq!((count("steer_applied"), count("steer_requeued")), (1, 0));
        assert_eq!(count("turn_queued"), 1);
        gateway.check_store();
    }
}

/// A terminal's sequence before the first answer, before a message's end, before a tool's end.
#[tokio::test]
async fn bytes_without_a_lines_end_before_records_cost_nothing() {
    for words in ["noisy", "noisy old"] {
        let gateway = gateway(words);
        let mut client = gateway.client().await;
        let turn = run(&mut client, "noisy", "say one two").await;
        completed(&turn);
        assert_eq!(turn.response_text, "one two");
        completed(&run(&mut client, "noisy", "hammer").await);
        let tools = tools(&mut client, "noisy").await;
        assert_eq!(tools.len(), 1);
        assert!(!tools[0].is_error && !tools[0].partial, "{tools:?}");
    }
}

#[tokio::test]
async fn characters_that_are_cut_in_two_are_whole_again() {
    let gateway = gateway("");
    let mut client = gateway.client().await;
    let turn = run(&mut client, "halves", "halves").await;
    completed(&turn);
    assert_eq!(turn.response_text, "a 😀 b \u{fffd}");
    let events = log(&mut client, "halves").await;
    let find = |name| events.iter().find(|event| kind(event) == name);
    let thought = find("thinking_completed").and_then(|event| event.kind.clone());
    assert!(
        matches!(&thought, Some(Kind::ThinkingCompleted(it)) if it.text == "think 😀\u{fffd}"),
        "{thought:?}"
    );
    let compacted = find("compaction_completed").and_then(|event| event.kind.clone());
    assert!(
        matches!(&compacted, Some(Kind::CompactionCompleted(it)) if it.summary == "short \u{fffd}"),
        "{compacted:?}"
    );
    // What tools say can be read by everyone.
    let tool = &tools(&mut client, "halves").await[0];
    assert_eq!(tool.result_json, r#"{"content": "\ufffd"}"#);
    assert!(!tool.is_error);
}

#[tokio::test]
async fn nothing_is_lost_for_how_it_was_counted() {
    let gateway = gateway("");
    let mut client = gateway.client().await;
    let turn = run(&mut client, "odd", "odd").await;
    completed(&turn);
    assert_eq!(turn.response_text, "fourth");
    let messages = messages(&mut client, "odd").await;
    let texts: Vec<&str> = messages
        .iter()
        .flat_map(|message| &message.parts)
        .filter_map(|part| match &part.part {
            Some(Part::Text(text)) => Some(text.text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["odd", "first ", "second ", "third ", "fourth"]);
    assert_eq!(turn.usage.expect("some was told").input_tokens, 19);
}

/// A success stays one, however much it says: what is shown is cut, and its size is told.
#[tokio::test]
async fn a_tools_large_success_is_cut_and_stays_a_success() {
    let mut gateway = gateway("");
    let mut client = gateway.client().await;
    for mebibytes in [9, 14] {
        let key = format!("large-{mebibytes}");
        completed(&run(&mut client, &key, &format!("large {mebibytes}")).await);
        let tools = tools(&mut client, &key).await;
        let [tool] = &tools[..] else {
            panic!("{} tools", tools.len());
        };
        assert!(!tool.is_error && !tool.partial && tool.truncated);
        let size = tool.full_size;
        let all = mebibytes << 20;
        assert!(size > all && size < all + 1024, "{size}");
        let shown: String = serde_json::from_str(&tool.result_json).expect("a JSON string");
        assert!(shown.starts_with(r#"{"content": [{"type": "text", "text": "yyy"#));
        assert!(shown.len() > 200 * 1024);
    }
    gateway.check_store();
}

/// Pictures that tools give back are attachments of the session, whole, and both the event and the message name them.
#[tokio::test]
async fn a_tools_pictures_are_attachments() {
    let mut gateway = gateway("");
    let mut client = gateway.client().await;
    for (kibibytes, attached) in [(40, 0), (600, 2), (4096, 2)] {
        let key = format!("picture-{kibibytes}");
        completed(&run(&mut client, &key, &format!("picture {kibibytes}")).await);
        let tools = tools(&mut client, &key).await;
        let [tool] = &tools[..] else {
            panic!("{} tools", tools.len());
        };
        assert!(!tool.is_error && !tool.truncated);
        assert_eq!(tool.attachments.len(), attached, "{kibibytes}");
        let said: serde_json::Value = serde_json::from_str(&tool.result_json).expect("JSON");
        assert_eq!(said["content"][0]["text"], "looked");
        for (number, reference) in tool.attachments.iter().enumerate() {
            assert_eq!(reference.media_type, "image/png");
            assert_eq!(
                said["content"][number + 1]["attachmentId"],
                reference.attachment_id
            );
            let request = proto::GetAttachmentRequest {
                session_key: key.clone(),
                attachment_id: reference.attachment_id.clone(),
            };
            let answer = client.get_attachment(request).await.expect("it is kept");
            let picture = answer.into_inner().attachment.expect("an attachment").data;
            let bytes: Vec<u8> = (0..=255).collect();
            assert!(picture == bytes.repeat(kibibytes * 4));
        }
        let messages = messages(&mut client, &key).await;
        let named = messages
            .iter()
            .filter(|message| message.role() == proto::Role::Tool)
            .flat_map(|message| &message.parts)
            .filter_map(|part| match &part.part {
                Some(Part::Attachment(reference)) => Some(reference.clone()),
                _ => None,
            });
        assert_eq!(named.collect::<Vec<_>>(), tool.attachments);
    }
    gateway.check_store();
}

fn update_cwd(key: &str, cwd: &str) -> proto::UpdateSessionRequest {
    proto::UpdateSessionRequest {
        session_key: key.into(),
        session: Some(proto::SessionSnapshot {
            cwd: cwd.into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["cwd".into()],
        }),
        ..Default::default()
    }
}

/// A session whose directory is gone says so by name, and can be given another one.
#[tokio::test]
async fn a_session_whose_directory_is_gone_can_be_given_another() {
    let roots = tempfile::tempdir().expect("a directory");
    let root = roots.path().canonicalize().expect("it is there");
    for name in ["first", "second"] {
        std::fs::create_dir(root.join(name)).expect("made");
    }
    let path = |name: &str| root.join(name).to_str().expect("text").to_owned();
    let gateway = gateway_with("", "", vec!["--allow-cwd".into(), root.clone().into()]);
    let mut client = gateway.client().await;
    let create = proto::CreateSessionRequest {
        session_key: "s".into(),
        cwd: path("first"),
        ..Default::default()
    };
    client
        .create_session(create)
        .await
        .expect("it is below the root");
    assert_eq!(
        run(&mut client, "s", "cwd").await.response_text,
        path("first")
    );

    // Gone while the agent is awake, and asleep: it makes no difference.
    std::fs::remove_dir(root.join("first")).expect("it was empty");
    for _ in 0..2 {
        let turn = run(&mut client, "s", "cwd").await;
        assert_eq!(turn.state(), proto::TurnState::Failed, "{turn:?}");
        let error = turn.error.expect("it says why");
        assert_eq!(error.reason, "AGENT_UNAVAILABLE");
        assert!(error.message.contains(&path("first")), "{error:?}");
        assert!(error.message.contains("UpdateSession"), "{error:?}");
    }
    for wrong in [path("third"), "/".into(), "relative".into()] {
        let refused = client.update_session(update_cwd("s", &wrong)).await;
        let refused = refused.expect_err("it is no directory below the root");
        assert_eq!(support::reason(&refused), "INVALID_FIELD", "{wrong}");
    }
    let updated = client
        .update_session(update_cwd("s", &path("second")))
        .await;
    let session = updated.expect("it is one").into_inner().session;
    assert_eq!(session.expect("a session").cwd, path("second"));
    let turn = run(&mut client, "s", "cwd").await;
    completed(&turn);
    assert_eq!(turn.response_text, path("second"));
    // Back to its own, while the agent is awake.
    client
        .update_session(update_cwd("s", ""))
        .await
        .expect("it has one");
    let own = run(&mut client, "s", "cwd").await.response_text;
    assert!(own.ends_with("/work"), "{own}");
    // Which is made again where it is missing.
    std::fs::remove_dir_all(&own).expect("it was there");
    assert_eq!(run(&mut client, "s", "cwd").await.response_text, own);
    assert!(std::path::Path::new(&own).is_dir());
}
