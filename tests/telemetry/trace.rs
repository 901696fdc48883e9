//! A caller's trace goes on into the turn, its records, and the agent's process.

use crate::world::*;
use std::path::Path;

/// A server with an agent that notes its `TRACEPARENT` where no isolated one could write, and ends.
fn noting(file: &Path) -> Gateway {
    Gateway::with(config(&format!(
        "[agents.noting]\ndriver = \"pi\"\n\
         command = [\"sh\", \"-c\", \"echo $TRACEPARENT >> {}; exit 1\"]\n\
         isolation = \"none\"\n",
        file.display()
    )))
}

async fn run_traced(gateway: &Gateway, key: &str, traceparent: &str) {
    let mut client = gateway.client().await;
    let mut request = Request::new(proto::EnqueueRequest {
        session_key: key.into(),
        text: "hi".into(),
        agent: "noting".into(),
        ..Default::default()
    });
    let value = traceparent.parse().expect("ASCII");
    request.metadata_mut().insert("traceparent", value);
    let turn = client.enqueue(request).await.expect("accepted");
    let turn = turn.into_inner().turn.expect("a turn");
    let turn = crate::support::await_turn(&mut client, key, &turn.turn_id).await;
    assert_eq!(turn.state(), proto::TurnState::Failed);
}

/// The agent's process gets the caller's trace, below a span of the server's; the turn's records name it.
#[tokio::test]
async fn a_trace_goes_from_the_caller_to_the_agent() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("noted");
    let gateway = noting(&file);
    run_traced(&gateway, "traced", &format!("00-{TRACE_ID}-{SPAN_ID}-01")).await;
    let noted = std::fs::read_to_string(&file).expect("it was started");
    let noted = noted.lines().next().expect("a line");
    let parts: Vec<&str> = noted.split('-').collect();
    assert_eq!(
        (parts[0], parts[1], parts[3]),
        ("00", TRACE_ID, "01"),
        "{noted}"
    );
    assert_ne!(
        parts[2], SPAN_ID,
        "what the agent does is below the server's span"
    );
    let request = TailLogsRequest {
        session_key: "traced".into(),
        target: "quarterdeck::session".into(),
        ..kept()
    };
    let records = read(&mut admin(&gateway).await, request).await;
    assert!(!records.is_empty());
    for record in records {
        assert_eq!(field(&record, "trace_id"), TRACE_ID, "{record:?}");
    }
}

/// A malformed header is as good as none: the call is done, in a trace of its own.
#[tokio::test]
async fn a_malformed_traceparent_is_ignored() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("noted");
    let gateway = noting(&file);
    let malformed = format!("00-{TRACE_ID}-{SPAN_ID}-01; rm -rf");
    run_traced(&gateway, "ignored", &malformed).await;
    let noted = std::fs::read_to_string(&file).expect("it was started");
    let noted = noted.lines().next().expect("a line");
    assert_eq!(noted.len(), 55, "{noted}");
    assert!(!noted.contains(TRACE_ID), "{noted}");
}
