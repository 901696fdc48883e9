//! No credential reaches a log, by whatever way it comes.

use crate::world::*;
use std::time::Duration;

/// What no log may hold; every planted credential has it.
const CANARY: &str = "CANARY";
/// A token of the shape of a JWT, fit for a session key.
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.CANARYCANARYCANARY";

/// Plants credentials in headers, keys and what an agent says; both logs must hold them masked, at every level.
async fn plant(format: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("stderr");
    let mut options = config(&format!(
        "log = \"trace\"\nlog_format = \"{format}\"\n\
         [agents.leaky]\ndriver = \"pi\"\nenvironment = {{ LEAK = \"password=CANARY\" }}\n\
         command = [\"sh\", \"-c\", \"echo \\\"token: CANARY Bearer CANARY qdk_x_CANARY $LEAK\\\" >&2; exit 3\"]\n"
    ));
    options.log = Some(file.clone());
    let mut gateway = Gateway::with(options);
    let mut client = gateway.client().await;

    let mut request = Request::new(proto::EnqueueRequest {
        session_key: "qdk_id_CANARY_1".into(),
        text: "hi".into(),
        agent: "leaky".into(),
        ..Default::default()
    });
    for (name, value) in [
        ("authorization", "Bearer qdk_id_CANARY_2"),
        ("cookie", "session=CANARY"),
        ("x-api-key", "CANARY"),
        ("traceparent", "CANARY"),
    ] {
        let value = value.parse().expect("ASCII");
        request.metadata_mut().insert(name, value);
    }
    client.enqueue(request).await.expect("accepted");
    clear(&mut client, JWT).await;
    let wrong = format!("Bearer CANARY\n{JWT}");
    clear(&mut client, &wrong).await;

    let mut admin = admin(&gateway).await;
    let failed = record_with(&mut admin, |record| {
        record.message == "the agent did not start"
    })
    .await;
    assert!(
        field(&failed, "problem").contains("[redacted]"),
        "{failed:?}"
    );
    let masked = |record: &&LogRecord| field(record, "session_key").contains("[redacted]");
    let everything = TailLogsRequest {
        level: LogLevel::Trace.into(),
        ..kept()
    };
    let records = read(&mut admin, everything).await;
    assert_eq!(
        records
            .iter()
            .filter(masked)
            .filter(|it| it.target == "audit")
            .count(),
        2,
        "the keys are what was planted"
    );
    for record in &records {
        let text = format!("{record:?}");
        assert!(!text.contains(CANARY), "{text}");
    }

    gateway.terminate();
    assert_eq!(gateway.ended(SOON + Duration::from_secs(30)).await, Some(0));
    let text = std::fs::read_to_string(&file).expect("UTF-8");
    let held: Vec<&str> = text.lines().filter(|line| line.contains(CANARY)).collect();
    assert_eq!(held, [""; 0]);
    assert!(text.contains("[redacted]"));
    if format == "json" {
        for line in text.lines() {
            let _: serde_json::Value = serde_json::from_str(line).expect(line);
        }
    }
}

#[tokio::test]
async fn planted_credentials_are_masked_in_text_logs() {
    plant("text").await;
}

#[tokio::test]
async fn planted_credentials_are_masked_in_json_logs() {
    plant("json").await;
}
