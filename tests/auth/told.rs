//! What tenants are told when an agent fails: the operator's all of it, others no path and nothing of its standard error.

use crate::{
    support::{Gateway, Options, SOON},
    world::{Caller, request},
};
use quarterdeck::proto;

/// Stands in the path of a program, and in what another one writes to its standard error.
const CANARY: &str = "operators-own-place";

fn config() -> String {
    format!(
        "[agents.missing]\ndriver = \"pi\"\ncommand = [\"/opt/{CANARY}/pi\"]\n\
         [agents.loud]\ndriver = \"pi\"\ncommand = [\"sh\", \"-c\", \"echo /opt/{CANARY}/auth.json >&2; exit 3\"]\n"
    )
}

/// Runs a turn that fails; everything that its caller can read of it, as text.
async fn told(caller: &Caller, agent: &str) -> String {
    let mut gateway = caller.gateway();
    let key = format!("told-{agent}");
    let enqueue = proto::EnqueueRequest {
        session_key: key.clone(),
        text: "hello".into(),
        agent: agent.into(),
        ..Default::default()
    };
    let turn = gateway.enqueue(enqueue).await.expect("accepted");
    let turn = turn.into_inner().turn.expect("a turn");
    let wait = proto::AwaitTurnRequest {
        session_key: key.clone(),
        turn_id: turn.turn_id,
        wait: None,
        or_question: false,
    };
    let ended = tokio::time::timeout(SOON * 2, gateway.await_turn(wait)).await;
    let ended = ended.expect("soon").expect("read").into_inner();
    let turn = ended.turn.clone().expect("a turn");
    assert_eq!(turn.state(), proto::TurnState::Failed, "{turn:?}");
    let error = turn.error.expect("it failed");
    assert_eq!(error.reason, "AGENT_UNAVAILABLE");
    assert!(!error.message.is_empty());
    let events = gateway
        .read_events(proto::ReadEventsRequest {
            session_key: key.clone(),
            from_oldest: true,
            limit: 1000,
            ..Default::default()
        })
        .await
        .expect("read")
        .into_inner();
    let messages = gateway
        .list_messages(proto::ListMessagesRequest {
            session_key: key,
            ..Default::default()
        })
        .await
        .expect("read")
        .into_inner();
    let mut stream = caller
        .service()
        .tail_logs(proto::TailLogsRequest {
            last: Some(10_000),
            no_follow: true,
            level: proto::LogLevel::Trace.into(),
            ..Default::default()
        })
        .await
        .expect("read")
        .into_inner();
    let mut records = Vec::new();
    while let Some(record) = stream.message().await.expect("it ends well") {
        records.push(record);
    }
    format!("{ended:?}\n{events:?}\n{messages:?}\n{records:?}")
}

#[tokio::test]
async fn only_the_operators_tenant_is_told_paths_and_standard_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let gateway = Gateway::with(Options {
        config: config(),
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        log: Some(log.clone()),
        ..Options::default()
    });
    let operator = Caller::admin(&gateway).await;
    let made = operator
        .make(proto::CreateApiKeyRequest {
            tenant: "acme".into(),
            subject: "bot".into(),
            ..request(&["session.read", "session.write", "admin.logs"])
        })
        .await
        .expect("a key");
    let acme = operator.as_key(&made.secret);
    for agent in ["missing", "loud"] {
        let before = std::fs::read_to_string(&log).expect("written").len();
        let theirs = told(&acme, agent).await;
        assert!(!theirs.contains(CANARY), "{agent}: {theirs}");
        let written = std::fs::read_to_string(&log).expect("written");
        assert!(
            written[before..].contains(CANARY),
            "{agent}: {}",
            &written[before..]
        );
        let own = told(&operator, agent).await;
        assert!(own.contains(CANARY), "{agent}: {own}");
        // The queue goes on: what stands behind a turn whose agent does not start is tried too.
        let again = told(&acme, agent).await;
        assert!(
            again.contains("the agent did not start"),
            "{agent}: {again}"
        );
    }
}
