//! `/metrics`: a strict reader takes it, its series move, and nothing that a caller chooses becomes a label.

use crate::{exposition::Exposition, world::*};
use std::collections::{BTreeSet, HashSet};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Every family that is there before anything happens; those with labels come with their first use.
const FAMILIES: [&str; 13] = [
    "quarterdeck_turn_queue_wait_seconds",
    "quarterdeck_turns_running",
    "quarterdeck_agents_awake",
    "quarterdeck_sessions",
    "quarterdeck_streams_open",
    "quarterdeck_connections_open",
    "quarterdeck_feed_events_total",
    "quarterdeck_feed_lags_total",
    "quarterdeck_store_commit_duration_seconds",
    "quarterdeck_store_hold_duration_seconds",
    "quarterdeck_store_batch_jobs",
    "quarterdeck_store_read_duration_seconds",
    "quarterdeck_authentication_failures_total",
];

/// The family that is there once the store was in trouble.
const IN_TROUBLE: &str = "quarterdeck_store_trouble";

/// The families that alert rules and dashboard of `deploy/` ask for.
fn deployed() -> BTreeSet<String> {
    let files = [
        include_str!("../../deploy/prometheus-alerts.yaml"),
        include_str!("../../deploy/grafana-dashboard.json"),
    ];
    let names = regex::Regex::new("(quarterdeck|rpc_server)_[a-z_]+").expect("a pattern");
    let found: BTreeSet<String> = files
        .iter()
        .flat_map(|file| names.find_iter(file))
        .map(|name| {
            let name = name.as_str();
            let parts = ["_bucket", "_sum", "_count"];
            let family = parts.iter().find_map(|part| name.strip_suffix(part));
            family.unwrap_or(name).to_owned()
        })
        .collect();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// Where the server tells metrics, as its log says.
async fn address(gateway: &Gateway) -> String {
    let mut admin = admin(gateway).await;
    let told = record_with(&mut admin, |record| record.message == "telling metrics").await;
    field(&told, "address").to_owned()
}

/// Head and body of an answer.
async fn get(address: &str, path: &str, host: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer))
        .await
        .expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

async fn scrape(address: &str) -> (Exposition, String) {
    let (head, body) = get(address, "/metrics", "localhost").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(!head.contains("transfer-encoding"), "read as it is: {head}");
    let read = Exposition::parse(&body).unwrap_or_else(|problem| panic!("{problem}\n{body}"));
    (read, body)
}

#[tokio::test]
async fn series_move_when_they_are_used_and_hold_nothing_of_callers() {
    let gateway = Gateway::with(config("metrics_listen = \"127.0.0.1:0\"\n"));
    let address = address(&gateway).await;
    let (before, body) = scrape(&address).await;
    // One rung, the one that GetServerInfo tells.
    let request = proto::GetServerInfoRequest {};
    let info = admin(&gateway).await.get_server_info(request).await;
    let rung = info
        .expect("told")
        .into_inner()
        .isolation
        .expect("it is told")
        .rung;
    assert!(
        body.contains(&format!("quarterdeck_isolation{{rung={rung:?}}} 1\n")),
        "{body}"
    );
    assert_eq!(before.sum("quarterdeck_isolation", &[]), 1.0);
    let missing: Vec<&str> = FAMILIES
        .into_iter()
        .filter(|name| !before.families().contains(name))
        .collect();
    assert_eq!(missing, [""; 0]);
    let sessions = before.sum("quarterdeck_sessions", &[]);

    let mut client = gateway.client().await;
    run(&mut client, "cardinality-canary", "hi").await;
    let mut stream = client
        .subscribe(proto::SubscribeRequest {
            session_key: "cardinality-canary".into(),
            ..Default::default()
        })
        .await
        .expect("subscribed")
        .into_inner();
    soon(stream.message()).await.expect("it follows");
    clear(&mut client, "cardinality-canary-too").await;

    let (after, text) = scrape(&address).await;
    let enqueue = "quarterdeck.v1.GatewayService/Enqueue";
    for (name, labels) in [
        (
            "rpc_server_call_duration_seconds_count",
            &[("rpc_method", enqueue), ("rpc_response_status_code", "OK")][..],
        ),
        (
            "quarterdeck_turns_ended_total",
            &[("state", "COMPLETED"), ("reason", "NONE")],
        ),
        (
            "quarterdeck_turn_duration_seconds_count",
            &[("state", "COMPLETED")],
        ),
        ("quarterdeck_turn_queue_wait_seconds_count", &[]),
    ] {
        let moved = after.sum(name, labels) - before.sum(name, labels);
        assert_eq!(moved, 1.0, "{name} {labels:?}\n{text}");
    }
    for name in [
        "quarterdeck_feed_events_total",
        "quarterdeck_store_commit_duration_seconds_count",
        "quarterdeck_store_batch_jobs_sum",
        "quarterdeck_store_read_duration_seconds_count",
    ] {
        assert!(
            after.sum(name, &[]) > before.sum(name, &[]),
            "{name}\n{text}"
        );
    }
    assert_eq!(after.sum("quarterdeck_sessions", &[]), sessions + 1.0);
    let unknown: Vec<String> = deployed()
        .into_iter()
        .filter(|name| !after.families().contains(name.as_str()) && name != IN_TROUBLE)
        .collect();
    assert_eq!(unknown, [""; 0], "{text}");
    assert_eq!(after.sum("quarterdeck_streams_open", &[]), 1.0);
    assert!(after.sum("quarterdeck_connections_open", &[]) >= 2.0);
    assert_eq!(after.sum("quarterdeck_agents_awake", &[]), 1.0);
    assert_eq!(after.sum("quarterdeck_turns_running", &[]), 0.0);
    for canary in ["cardinality-canary", "default/local", "127.0.0.1"] {
        assert!(!text.contains(canary), "{canary}\n{text}");
    }
    let refused = [("rpc_response_status_code", "NOT_FOUND")];
    assert_eq!(
        after.sum("rpc_server_call_duration_seconds_count", &refused),
        1.0
    );

    // A stream counts when it is over, with what became of it.
    drop(stream);
    let left = [
        ("rpc_method", "quarterdeck.v1.GatewayService/Subscribe"),
        ("rpc_response_status_code", "CANCELLED"),
    ];
    soon(async {
        while scrape(&address)
            .await
            .0
            .sum("rpc_server_call_duration_seconds_count", &left)
            < 1.0
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What callers choose makes no new series.
#[tokio::test]
async fn many_callers_make_no_more_series() {
    let gateway = Gateway::with(config("metrics_listen = \"127.0.0.1:0\"\n"));
    let address = address(&gateway).await;
    let mut client = gateway.client().await;
    let mut series = HashSet::new();
    for round in 0..2 {
        for number in 0..20 {
            run(&mut client, &format!("s{round}-{number}"), "hi").await;
        }
        let (_, text) = scrape(&address).await;
        series.insert(text.lines().filter(|line| !line.starts_with('#')).count());
    }
    assert_eq!(series.len(), 1, "{series:?}");
}

/// Where nobody asked for metrics nothing listens; an open address needs a spoken choice; a foreign name is refused.
#[tokio::test]
async fn metrics_are_for_this_machine_unless_said_otherwise() {
    let quiet = Gateway::start();
    let records = read(&mut admin(&quiet).await, kept()).await;
    assert!(
        records
            .iter()
            .all(|record| record.message != "telling metrics")
    );

    let gateway = Gateway::with(config("metrics_listen = \"127.0.0.1:0\"\n"));
    let address = address(&gateway).await;
    let (head, body) = get(&address, "/metrics", "evil.test").await;
    assert!(head.starts_with("HTTP/1.1 4"), "{head}");
    assert!(!body.contains("quarterdeck_"), "{body}");
    // No web page reads them either.
    let from_page = "localhost\r\norigin: https://evil.test";
    let (head, body) = get(&address, "/metrics", from_page).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert!(!body.contains("quarterdeck_"), "{body}");
    assert!(
        get(&address, "/", "localhost")
            .await
            .0
            .starts_with("HTTP/1.1 404")
    );

    let check = std::process::Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["check-config", "--metrics-listen", "0.0.0.0:0"])
        .current_dir(gateway.directory.path())
        .output()
        .expect("the binary runs");
    assert_eq!(check.status.code(), Some(78));
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(said.contains("metrics_anywhere"), "{said}");
}

/// Agents can connect to any port of this machine, so who asks for metrics brings a token that they can't read.
#[tokio::test]
async fn metrics_are_told_to_those_who_bring_the_token() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let gateway = Gateway::with(Options {
        config: "metrics_listen = \"127.0.0.1:0\"\nlog_format = \"json\"\n".into(),
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        log: Some(log.path().into()),
        ..Options::default()
    });
    // It stands in the log before calls are accepted.
    let told = std::fs::read_to_string(log.path()).expect("ours");
    let told = told.lines().find(|line| line.contains("telling metrics"));
    let (_, rest) = told
        .expect("it is told")
        .split_once("127.0.0.1:")
        .expect("an address");
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let address = format!("127.0.0.1:{port}");
    let file = gateway.data().join("metrics.token");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&file).expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let token = std::fs::read_to_string(&file).expect("ours");
    let with = |credential: &str| format!("localhost\r\nauthorization: {credential}");
    let short = &token[..token.len() - 1];
    let twice = format!(
        "{}\r\nauthorization: Bearer {token}",
        with(&format!("Bearer {token}"))
    );
    for wrong in [
        "localhost".to_owned(),
        with(""),
        with("Bearer"),
        with(&format!("Bearer {short}")),
        with(&format!("Basic {token}")),
        twice,
    ] {
        let (head, body) = get(&address, "/metrics", &wrong).await;
        assert!(head.starts_with("HTTP/1.1 401"), "{wrong}: {head}");
        assert!(!body.contains("quarterdeck_"), "{wrong}: {body}");
    }
    let (head, body) = get(&address, "/metrics", &with(&format!("Bearer {token}"))).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.contains("quarterdeck_sessions"), "{body}");
}
