//! Chat protocols and event streams, each by its own official client, against the real server.
//!
//! Needs `QUARTERDECK_TEST_EDGES`, see `.ci/install-edges`, and `QUARTERDECK_TEST_A2A`, see `.ci/install-a2a`.

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use support::{Gateway, Options, SOON, installed, run};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

/// Pushes go to this machine.
const PRIVATE: &str = "webhook_private_addresses = true\n";

/// Where the clients of chat protocols stand.
fn clients() -> Option<PathBuf> {
    installed("QUARTERDECK_TEST_EDGES")
}

/// A script of `tests/edges`, where it finds the clients' packages.
fn node(clients: &Path, script: &str) -> Command {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/edges");
    // Packages are looked for from where a script stands.
    let there = clients.join(script);
    std::fs::copy(own.join(script), &there).expect("a file");
    let mut node = Command::new(clients.join("node"));
    node.arg(there);
    node
}

/// Runs a script to its end against a server of its own.
fn plays(script: &str) {
    let Some(clients) = clients() else {
        return;
    };
    ends_well(node(&clients, script));
}

/// Runs a client to its end against a server of its own.
fn ends_well(client: Command) {
    ends_well_with("", client);
}

fn ends_well_with(config: &str, mut client: Command) {
    let gateway = Gateway::with(Options {
        config: config.into(),
        ..Options::default()
    });
    let output = client.arg(&gateway.address).output().expect("it starts");
    support::ended_well(&output, 4);
}

#[test]
fn the_ai_sdk_streams_resumes_stops_and_approves() {
    plays("ai_sdk.mjs");
}

#[test]
fn openais_library_asks_agents_as_models() {
    plays("openai.mjs");
}

#[test]
fn openais_library_reads_responses() {
    plays("responses.mjs");
}

#[test]
fn openais_library_for_python_reads_responses() {
    python("", "openai_responses.py");
}

#[test]
fn other_agents_send_messages_by_the_library_of_a2a() {
    if let Some(clients) = installed("QUARTERDECK_TEST_A2A") {
        ends_well_with(PRIVATE, node(&clients, "a2a_client.mjs"));
    }
}

#[test]
fn other_agents_send_messages_by_the_library_of_a2a_for_python() {
    python(PRIVATE, "a2a_client.py");
}

/// Runs a Python script to its end against a server of its own.
fn python(config: &str, script: &str) {
    let Some(clients) = installed("QUARTERDECK_TEST_A2A") else {
        return;
    };
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/edges");
    let mut python = Command::new(clients.join("python/bin/python"));
    python.arg(own.join(script));
    ends_well_with(config, python);
}

#[test]
fn ag_uis_client_runs_and_answers_interrupts() {
    plays("agui.mjs");
}

/// Hands bytes on to wherever the server is now.
async fn relay(listener: TcpListener, server: watch::Receiver<String>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let address = server.borrow().clone();
        tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(address).await {
                // Whoever ends first ends it.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

/// A browser's own reader comes back by itself, at the same address, and misses nothing.
#[tokio::test]
async fn an_event_source_resumes_over_a_kill_of_the_server() {
    follows_over_a_kill(false).await;
}

/// The same, where callers are asked for credentials: it can send none, and shows a ticket, which is valid afterwards too.
#[tokio::test]
async fn an_event_source_with_a_ticket_resumes_over_a_kill_of_the_server() {
    follows_over_a_kill(true).await;
}

/// A turn in the session that is followed, by whoever may.
async fn turn(gateway: &Gateway, key: Option<&str>, text: &str) {
    match key {
        None => drop(run(&mut gateway.client().await, "source", text).await),
        Some(key) => {
            let path = format!("{}/v1/sessions/source/turns", gateway.address);
            let request = reqwest::Client::new().post(path).bearer_auth(key);
            let request = request.header("content-type", "application/json");
            let answer = request
                .body(format!("{{\"text\":\"{text}\"}}"))
                .send()
                .await;
            assert!(answer.unwrap().status().is_success());
        }
    }
}

async fn follows_over_a_kill(with_ticket: bool) {
    let Some(clients) = clients() else {
        return;
    };
    // Asked for even where nothing is encrypted; another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut gateway = Gateway::with(Options {
        environment: vec![("QUARTERDECK_NO_AUTH".into(), (!with_ticket).to_string())],
        ..Options::default()
    });
    let key = with_ticket.then(|| {
        let text = std::fs::read_to_string(gateway.data().join("admin.key")).unwrap();
        text.trim().to_owned()
    });
    let authority = |gateway: &Gateway| gateway.address.strip_prefix("http://").unwrap().to_owned();
    turn(&gateway, key.as_deref(), "one").await;
    let ticket = match &key {
        None => String::new(),
        Some(key) => {
            let path = format!("{}/v1/sessions/source/event-ticket", gateway.address);
            let request = reqwest::Client::new().post(path).bearer_auth(key);
            let request = request.header("content-type", "application/json");
            let made = request.send().await.unwrap().text().await.unwrap();
            let made: serde_json::Value = serde_json::from_str(&made).unwrap();
            made["ticket"].as_str().unwrap().to_owned()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (now, server) = watch::channel(authority(&gateway));
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(relay(listener, server));
    let mut reader = tokio::process::Command::from(node(&clients, "event_source.mjs"))
        .args([&address, "12", &ticket])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    let line = timeout(SOON, lines.next_line()).await.expect("news");
    assert_eq!(line.unwrap().as_deref(), Some("three"));
    gateway.kill();
    gateway.restart();
    now.send(authority(&gateway)).unwrap();
    turn(&gateway, key.as_deref(), "two").await;
    let line = timeout(SOON, lines.next_line()).await.expect("news");
    assert_eq!(line.unwrap().as_deref(), Some("ok no gap"));
    assert!(reader.wait().await.unwrap().success());
}
