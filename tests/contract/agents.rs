//! Agents: what each can do, what it is refused for want of that, and which configuration a turn ran with.

use crate::world::{turn as turn_of, *};
use proto::admin_service_client::AdminServiceClient;
use proto::{ToolAction, ToolPolicySupport};
use std::process::Command;

async fn agents(gateway: &Gateway) -> Vec<proto::AgentInfo> {
    let mut admin = AdminServiceClient::connect(gateway.address.clone())
        .await
        .expect("the server accepts");
    let listed = admin.list_agents(proto::ListAgentsRequest {}).await;
    let listed = listed.expect("the agents").into_inner().agents;
    let info = admin.get_server_info(proto::GetServerInfoRequest {}).await;
    assert_eq!(info.expect("told").into_inner().agents, listed);
    listed
}

async fn agent(gateway: &Gateway, name: &str) -> proto::AgentInfo {
    let all = agents(gateway).await;
    let found = all.into_iter().find(|it| it.name == name);
    found.expect("it is configured")
}

/// Starts the server again with another configuration.
fn restart_with(gateway: &mut Gateway, config: &str) {
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    let file = gateway.directory.path().join("quarterdeck.toml");
    std::fs::write(file, config).expect("written");
    gateway.restart();
}

/// A server with a scripted agent of the Agent Client Protocol.
pub(crate) fn scripted(words: &str, more: &str) -> String {
    // A version manager's shim needs files that an isolated agent does not see.
    let asked = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("the tests need python3");
    let python = String::from_utf8(asked.stdout).expect("its path is text");
    let python = python.trim();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fake_acp.py");
    format!(
        "default_agent = \"mine\"\nisolation = \"none\"\n[agents.mine]\ndriver = \"acp\"\n\
         command = [{python:?}, {script:?}]\nenvironment = {{ FAKE_ACP = {words:?} }}\n{more}"
    )
}

#[tokio::test]
async fn what_an_agent_can_do_is_known_once_it_started_and_kept_for_its_configuration() {
    let mut gateway = Gateway::with(config(""));
    let mut client = gateway.client().await;
    let names: Vec<_> = agents(&gateway)
        .await
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names, ["echo", "pi"]);
    let before = agent(&gateway, "echo").await;
    assert_eq!((before.as_of, before.version.as_str()), (None, ""));
    assert_eq!(before.revision.len(), 16);
    let can = before.capabilities.expect("told");
    assert!(can.steer && can.fork && can.questions);
    assert_eq!(can.tool_policy(), ToolPolicySupport::OnRequest);

    let turn = run(&mut client, "s", "hello").await;
    assert_eq!(turn.agent_revision, before.revision);
    assert_eq!(turn.principal, "default/local");
    let after = agent(&gateway, "echo").await;
    assert!(after.as_of.is_some());
    assert_eq!(after.version, env!("CARGO_PKG_VERSION"));

    gateway.kill();
    gateway.restart();
    assert_eq!(agent(&gateway, "echo").await, after);
    let mut client = gateway.client().await;
    let kept = turn_of(&mut client, "s", &turn.turn_id).await;
    assert_eq!(kept, turn);
    for event in log(&mut client, "s").await {
        let shown = match event.kind {
            Some(Kind::TurnQueued(it)) => it.turn,
            Some(Kind::TurnStarted(it)) => it.turn,
            Some(Kind::TurnEnded(it)) => it.turn,
            _ => continue,
        };
        let shown = shown.expect("set");
        assert_eq!(shown.principal, "default/local");
        let started = shown.state() != proto::TurnState::Queued;
        let revision = if started {
            before.revision.as_str()
        } else {
            ""
        };
        assert_eq!(shown.agent_revision, revision);
    }

    restart_with(
        &mut gateway,
        "[agents.echo]\ndriver = \"echo\"\nmax_attempts = 5\n",
    );
    let other = agent(&gateway, "echo").await;
    assert_ne!(other.revision, before.revision);
    assert_eq!(other.as_of, None);
    let mut client = gateway.client().await;
    let next = run(&mut client, "s", "again").await;
    assert_eq!(next.agent_revision, other.revision);
    // What it told before counts again once it is configured as it was.
    restart_with(&mut gateway, "");
    assert_eq!(agent(&gateway, "echo").await, after);
    gateway.check_store();
}

/// DEFECTS: what an agent can't do was found out by failing turns.
#[tokio::test]
async fn what_is_known_to_be_missing_is_refused_and_what_is_not_known_is_let_in() {
    let mut gateway = Gateway::with(config(&scripted("plain bare", "")));
    let mut client = gateway.client().await;
    assert_eq!(agent(&gateway, "mine").await.as_of, None);
    // Nobody knows yet: it is let in, and the next turn says why it can't be.
    ok!(client.create_session(CreateSessionRequest {
        session_key: "early",
        model: "fake-2"
    }));
    let failed = run(&mut client, "early", "say x").await;
    let (state, reason, _) = end(&failed);
    assert_eq!((state, reason), (proto::TurnState::Failed, "AGENT_ERROR"));
    let why = &failed.error.as_ref().expect("an error").message;
    assert!(why.contains("lets nobody choose a model"), "{why}");

    run(&mut client, "s", "say x").await;
    let known = agent(&gateway, "mine").await;
    let can = known.capabilities.expect("told");
    assert!(known.as_of.is_some());
    assert!(!can.steer && !can.images && !can.models && !can.thinking && can.questions);
    for _ in 0..2 {
        let mut client = gateway.client().await;
        let image = proto::Attachment {
            name: "a.png".into(),
            media_type: "image/png".into(),
            data: vec![1, 2, 3].into(),
        };
        let unsupported = |status: Status, what: &str| {
            let details = refused(
                Err::<(), _>(status),
                Code::FailedPrecondition,
                "UNSUPPORTED_BY_AGENT",
            );
            assert_eq!(fact(&details, "agent"), "mine");
            assert_eq!(fact(&details, "capability"), what);
        };
        let steered = call!(client.steer(SteerRequest {
            session_key: "s",
            text: "x"
        }));
        unsupported(steered.expect_err("it can't"), "be steered");
        let shown = call!(client.enqueue(EnqueueRequest {
            session_key: "s",
            text: "say x",
            attachments: vec![image]
        }));
        unsupported(shown.expect_err("it can't"), "take images");
        let with_model = call!(client.create_session(CreateSessionRequest {
            session_key: "m",
            model: "fake-2"
        }));
        unsupported(with_model.expect_err("it can't"), "take a model");
        let with_level = call!(client.enqueue(EnqueueRequest {
            session_key: "l",
            text: "x",
            thinking_level: "low"
        }));
        unsupported(with_level.expect_err("it can't"), "take a thinking level");
        assert!(!exists(&mut client, "m").await && !exists(&mut client, "l").await);
        let files = call!(client.enqueue(EnqueueRequest {
            session_key: "s",
            text: "say x",
            attachments: vec![proto::Attachment {
                name: "a.txt".into(),
                media_type: "text/plain".into(),
                data: vec![65].into()
            }]
        }));
        files.expect("text is for every agent");
        // The same after a restart: it is known without a start.
        gateway.terminate();
        assert_eq!(gateway.wait(), Some(0));
        gateway.restart();
        assert_eq!(agent(&gateway, "mine").await, known);
    }
    // Another configuration of it may be able to.
    restart_with(&mut gateway, &scripted("", ""));
    let mut client = gateway.client().await;
    ok!(client.create_session(CreateSessionRequest {
        session_key: "m",
        model: "fake-2"
    }));
    let turn = run(&mut client, "m", "say x").await;
    assert_eq!(turn.state(), proto::TurnState::Completed);
    let can = agent(&gateway, "mine").await.capabilities.expect("told");
    assert!(can.steer && can.images && can.models && can.thinking);
    gateway.check_store();
}

/// CONTRACT-2 §10: a DENY that nobody would keep is refused when it is set.
#[tokio::test]
async fn a_denial_that_an_agent_does_not_keep_is_refused_when_it_is_set() {
    let gateway = Gateway::with(config(""));
    let mut client = gateway.client().await;
    assert_eq!(
        agent(&gateway, "pi")
            .await
            .capabilities
            .expect("told")
            .tool_policy(),
        ToolPolicySupport::None
    );
    let rule = |action: ToolAction| proto::ToolRule {
        tool: "bash".into(),
        action: action.into(),
    };
    let unsupported = |status: Status| {
        let details = refused(
            Err::<(), _>(status),
            Code::FailedPrecondition,
            "UNSUPPORTED_BY_AGENT",
        );
        assert_eq!(fact(&details, "agent"), "pi");
    };
    let denied = call!(client.create_session(CreateSessionRequest {
        session_key: "pi",
        agent: "pi",
        tool_policy: vec![rule(ToolAction::Ask), rule(ToolAction::Deny)]
    }));
    unsupported(denied.expect_err("it can't"));
    assert!(!exists(&mut client, "pi").await);
    ok!(client.create_session(CreateSessionRequest {
        session_key: "pi",
        agent: "pi",
        tool_policy: vec![rule(ToolAction::Ask)]
    }));
    let update =
        |key: &str, path: &str, session: proto::SessionSnapshot| proto::UpdateSessionRequest {
            session_key: key.into(),
            session: Some(session),
            update_mask: Some(prost_types::FieldMask {
                paths: vec![path.into()],
            }),
            ..Default::default()
        };
    let stricter = proto::SessionSnapshot {
        tool_policy: vec![rule(ToolAction::Deny), rule(ToolAction::Ask)],
        ..Default::default()
    };
    let refused = client
        .update_session(update("pi", "tool_policy", stricter))
        .await;
    unsupported(refused.expect_err("it can't"));
    // Nor is a session that denies given to such an agent.
    ok!(client.create_session(CreateSessionRequest {
        session_key: "echo",
        agent: "echo",
        tool_policy: vec![rule(ToolAction::Deny)]
    }));
    let other = proto::SessionSnapshot {
        agent: "pi".into(),
        ..Default::default()
    };
    let refused = client.update_session(update("echo", "agent", other)).await;
    unsupported(refused.expect_err("it can't"));
    assert_eq!(session(&mut client, "echo").await.next_agent, "");
}
