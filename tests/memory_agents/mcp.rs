//! Memory as tools: raw HTTP for what a client must not get, and the official SDK over both transports.
//!
//! The SDK is used where `QUARTERDECK_TEST_MCP` names the directory that it stands in; `.ci/install-mcp` installs it and
//! prints that. Without it these tests say so and pass.

use crate::{
    support::{self, Gateway},
    world::{self, Caller, admin_key},
};
use quarterdeck::proto::{self, MemorySource, memory_service_client::MemoryServiceClient};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};
use tonic::Request;

/// Time within which a revoked key's requests must end.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// One request as it goes over the wire; the status and the answer.
fn post(gateway: &Gateway, head: &[(&str, &str)], method: &str, body: &str) -> (u16, String) {
    let authority = gateway.address.strip_prefix("http://").unwrap();
    let mut lines = vec![
        ("host", authority),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    lines.retain(|(name, _)| !head.iter().any(|(other, _)| other == name));
    lines.extend(head);
    let length = body.len().to_string();
    lines.extend([("content-length", length.as_str()), ("connection", "close")]);
    let lines: String = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let mut stream = TcpStream::connect(authority).unwrap();
    let request = format!("{method} /mcp HTTP/1.1\r\n{lines}\r\n{body}");
    // A server that refuses may close before it took all.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    (status.unwrap_or_default(), answer)
}

/// Calls a tool; the result.
fn call(gateway: &Gateway, key: &str, name: &str, arguments: Value) -> Value {
    let params = json!({ "name": name, "arguments": arguments });
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    let bearer = format!("Bearer {key}");
    let (status, answer) = post(
        gateway,
        &[("authorization", &bearer)],
        "POST",
        &body.to_string(),
    );
    assert_eq!(status, 200, "{answer}");
    let at = answer.find("\r\n\r\n").unwrap();
    let (from, to) = (
        answer[at..].find('{').unwrap() + at,
        answer.rfind('}').unwrap(),
    );
    serde_json::from_str(&answer[from..=to]).unwrap()
}

/// Nothing is answered without a valid credential, to a page, by another name of this host, or beyond the bounds.
#[tokio::test]
async fn only_callers_that_are_known_get_an_answer() {
    let gateway = world::start();
    let bearer = format!("Bearer {}", admin_key(&gateway));
    let known = ("authorization", bearer.as_str());
    let (status, answer) = post(&gateway, &[known], "POST", CALL);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("memory_search"), "{answer}");

    for head in [vec![], vec![("authorization", "Bearer wrong")]] {
        let (status, answer) = post(&gateway, &head, "POST", CALL);
        assert_eq!(status, 401, "{answer}");
        assert!(
            answer.to_lowercase().contains("www-authenticate: bearer"),
            "{answer}"
        );
        assert!(answer.contains("CREDENTIALS_"), "{answer}");
    }
    let page = [known, ("origin", "http://evil.example")];
    assert_eq!(post(&gateway, &page, "POST", CALL).0, 403);
    let rebound = [known, ("host", "evil.example")];
    let status = post(&gateway, &rebound, "POST", CALL).0;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(post(&gateway, &[known], "GET", "").0, 405);
    let large = format!("[{}]", " ".repeat(300 * 1024));
    assert_eq!(post(&gateway, &[known], "POST", &large).0, 413);
}

/// A call may do what its key may, and its arguments have bounds; what is wrong is said, and changes nothing.
#[tokio::test]
async fn a_call_may_do_what_its_key_may() {
    let gateway = world::start();
    let admin = Caller::admin(&gateway).await;
    let reader = admin.make_key(&["memory.read"]).await.secret;
    let writer = admin.make_key(&["memory.write"]).await.secret;
    let remember = json!({ "content": "the boat is called Ana" });
    let refused = call(&gateway, &reader, "memory_remember", remember.clone());
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert!(refused.to_string().contains("SCOPE_REQUIRED"), "{refused}");
    let kept = call(&gateway, &writer, "memory_remember", remember);
    assert_eq!(
        kept["result"]["structuredContent"]["outcome"], "created",
        "{kept}"
    );
    let refused = call(
        &gateway,
        &writer,
        "memory_search",
        json!({ "query": "boat" }),
    );
    assert!(refused.to_string().contains("SCOPE_REQUIRED"), "{refused}");
    let found = call(
        &gateway,
        &reader,
        "memory_search",
        json!({ "query": "boat" }),
    );
    let results = &found["result"]["structuredContent"]["results"];
    assert_eq!(results[0]["text"], "the boat is called Ana", "{found}");

    for (tool, wrong) in [
        ("memory_search", json!({ "query": "x", "limit": 0 })),
        ("memory_search", json!({ "query": "x", "limit": 51 })),
        ("memory_search", json!({ "query": "x".repeat(9000) })),
        ("memory_search", json!({ "query": "x", "mode": "vector" })),
        ("memory_search", json!({ "question": "x" })),
    ] {
        let refused = call(&gateway, &reader, tool, wrong);
        assert_eq!(refused["result"]["isError"], true, "{refused}");
    }
    for (tool, wrong) in [
        ("memory_remember", json!({ "content": " " })),
        ("memory_remember", json!({ "content": "x".repeat(33_000) })),
        (
            "memory_remember",
            json!({ "content": "x", "kind": "rumour" }),
        ),
        ("memory_remember", json!({ "content": "x", "tags": [""] })),
        ("memory_forget", json!({})),
        ("memory_forget", json!({ "id": "7" })),
        ("memory_forget", json!({ "id": "7", "key": "x" })),
    ] {
        let refused = call(&gateway, &writer, tool, wrong);
        assert_eq!(refused["result"]["isError"], true, "{refused}");
    }
    let unknown = call(&gateway, &reader, "memory_dump", json!({}));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    let found = call(&gateway, &reader, "memory_search", json!({ "limit": 50 }));
    let results = found["result"]["structuredContent"]["results"].as_array();
    assert_eq!(results.unwrap().len(), 1, "{found}");
}

/// Models and the clients between write arguments in many ways. What can only be meant in one way is taken so, by every
/// tool; what can't is refused.
#[tokio::test]
async fn arguments_are_taken_as_they_can_only_be_meant() {
    let gateway = world::start();
    let key = admin_key(&gateway);
    let done = |tool: &str, arguments: Value| {
        let answer = call(&gateway, &key, tool, arguments.clone());
        let result = answer["result"].clone();
        assert_ne!(result["isError"], true, "{tool} {arguments}: {answer}");
        result["structuredContent"].clone()
    };
    for arguments in [
        json!({ "content": "one", "key": null, "kind": null, "bucket": null, "tags": null }),
        json!({ "content": "two", "key": "", "kind": "", "bucket": "", "tags": [] }),
        json!({ "content": "three", "kind": "Fact", "bucket": " ARCHIVAL ", "tags": "numbers" }),
        json!({ "content": "four", "key": 4, "tags": "[\"numbers\", \"even\"]" }),
        json!({ "content": 5, "tags": ["numbers", 5] }),
    ] {
        assert_eq!(done("memory_remember", arguments)["outcome"], "created");
    }
    for arguments in [
        json!({ "query": null, "limit": 3, "mode": null, "conversations": null }),
        json!({ "query": "", "limit": 3.0, "mode": "Lexical", "conversations": "false" }),
        json!({ "limit": "3", "mode": "" }),
        json!({ "query": " ", "limit": " 3 ", "conversations": false }),
        json!({ "limit": "3.0" }),
    ] {
        let found = done("memory_search", arguments.clone());
        assert_eq!(found["results"].as_array().unwrap().len(), 3, "{arguments}");
    }
    let found = done("memory_search", json!({ "query": 5 }));
    assert_eq!(found["results"][0]["text"], "5", "{found}");
    let id = &found["results"][0]["id"];
    for (arguments, forgotten) in [
        (json!({ "id": id, "key": null, "hard": null }), 1),
        (json!({ "id": "", "key": 4.0, "hard": "true" }), 1),
        (json!({ "id": null, "key": "4", "hard": "" }), 0),
    ] {
        assert_eq!(done("memory_forget", arguments)["forgotten"], forgotten);
    }
    for (tool, wrong) in [
        ("memory_search", json!({ "limit": 2.5 })),
        ("memory_search", json!({ "limit": "many" })),
        ("memory_search", json!({ "limit": 1e30 })),
        ("memory_search", json!({ "limit": "-1" })),
        ("memory_search", json!({ "limit": true })),
        ("memory_search", json!({ "conversations": "perhaps" })),
        ("memory_search", json!({ "query": ["a"] })),
        ("memory_remember", json!({ "content": null })),
        ("memory_remember", json!({ "content": { "text": "x" } })),
        ("memory_remember", json!({ "content": "x", "kind": 4 })),
        (
            "memory_remember",
            json!({ "content": "x", "tags": { "a": 1 } }),
        ),
        ("memory_forget", json!({ "key": "x", "hard": "no way" })),
    ] {
        let refused = call(&gateway, &key, tool, wrong.clone());
        assert_eq!(
            refused["result"]["isError"], true,
            "{tool} {wrong}: {refused}"
        );
    }
    let without = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call",
                          "params": { "name": "memory_search", "arguments": null } });
    let bearer = format!("Bearer {key}");
    let (status, answer) = post(
        &gateway,
        &[("authorization", &bearer)],
        "POST",
        &without.to_string(),
    );
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("three"), "{answer}");
}

/// The answer is one JSON object: whoever takes that is answered, in whatever words they say so.
#[tokio::test]
async fn whoever_takes_json_is_answered() {
    let gateway = world::start();
    let bearer = format!("Bearer {}", admin_key(&gateway));
    let known = ("authorization", bearer.as_str());
    for accept in [
        "application/json",
        "*/*",
        "application/*",
        "Application/JSON; charset=utf-8",
        "text/html, application/json;q=0.5",
        "text/event-stream, application/json",
    ] {
        let (status, answer) = post(&gateway, &[known, ("accept", accept)], "POST", CALL);
        assert_eq!(status, 200, "{accept}: {answer}");
        assert!(answer.contains("memory_search"), "{accept}: {answer}");
        assert!(
            answer
                .to_lowercase()
                .contains("content-type: application/json"),
            "{answer}"
        );
    }
    for accept in ["text/html", "text/event-stream", "application/json;q=0"] {
        let (status, answer) = post(&gateway, &[known, ("accept", accept)], "POST", CALL);
        assert_eq!(status, 406, "{accept}: {answer}");
    }
    let silent = post_without_accept(&gateway, &bearer);
    assert_eq!(silent.0, 200, "{}", silent.1);
}

/// A client that says nothing of what it takes.
fn post_without_accept(gateway: &Gateway, bearer: &str) -> (u16, String) {
    let authority = gateway.address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    let length = CALL.len();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nhost: {authority}\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{CALL}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    (status.unwrap_or_default(), answer)
}

/// Requests count in the rates of their principal like every call; who is over them is told when to come back.
#[tokio::test]
async fn requests_count_in_the_rates_of_their_principal() {
    let gateway = world::start_with(&[], "principal_requests_per_second = 20\n");
    let admin = Caller::admin(&gateway).await;
    let key = admin.make_key(&["memory.read"]).await.secret;
    let bearer = format!("Bearer {key}");
    let known = [("authorization", bearer.as_str())];
    let refused = (0..2000)
        .map(|_| post(&gateway, &known, "POST", CALL))
        .find(|(status, _)| *status != 200);
    let (status, answer) = refused.expect("2000 requests in a row are taken");
    assert_eq!(status, 429, "{answer}");
    assert!(answer.contains("RATE_LIMITED"), "{answer}");
    assert!(
        answer.to_lowercase().contains("\r\nretry-after: 1\r\n"),
        "{answer}"
    );
}

/// A request whose key is revoked meanwhile ends with it, although its client goes on sending.
#[tokio::test]
async fn a_revoked_key_ends_its_requests() {
    let gateway = world::start();
    let admin = Caller::admin(&gateway).await;
    let made = admin.make_key(&["memory.read"]).await;
    let key_id = made.api_key.expect("the key").key_id;
    let authority = gateway.address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(REVOKED_WITHIN)).unwrap();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n",
        made.secret
    )
    .unwrap();
    // The body is asked for once the request was let in.
    let mut answer = [0; 512];
    let length = stream.read(&mut answer).unwrap();
    let head = String::from_utf8_lossy(&answer[..length]);
    assert!(head.starts_with("HTTP/1.1 100"), "{head}");
    stream.write_all(b"{\"jsonrpc\":").unwrap();
    admin.revoke(&key_id).await.unwrap();
    let length = stream.read(&mut answer).expect("it is cut in time");
    let head = String::from_utf8_lossy(&answer[..length]);
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
}

/// Without the key `mcp` nothing is there.
#[tokio::test]
async fn an_operator_may_turn_it_off() {
    let gateway = world::start_with(&[], "mcp = false\n");
    let bearer = format!("Bearer {}", admin_key(&gateway));
    let (status, _) = post(&gateway, &[("authorization", &bearer)], "POST", CALL);
    assert_eq!(status, 404);
    let key = admin_key(&gateway);
    let output = world::command(&gateway, &["mcp", "--key", &key]);
    assert_eq!(output.status.code(), Some(77));
    let (said, problem) = world::printed(&output);
    assert_eq!(said, "");
    assert!(problem.contains("set mcp = true"), "{problem}");
}

/// Runs the SDK's client; `None` where there is no SDK.
fn sdk(given: Value) -> Option<Value> {
    let Ok(directory) = std::env::var("QUARTERDECK_TEST_MCP") else {
        eprintln!("QUARTERDECK_TEST_MCP is not set: the official MCP client is not tested");
        return None;
    };
    let output = Command::new("node")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/mcp_client.mjs"
        ))
        .args([directory, given.to_string()])
        .output()
        .expect("node runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    let answer = serde_json::from_slice(&output.stdout);
    Some(answer.unwrap_or_else(|problem| panic!("{problem}: {errors}")))
}

fn calls() -> Value {
    json!([
        { "name": "memory_remember", "arguments": { "content": "Zoë lives in Łódź", "key": "city", "kind": "profile" } },
        { "name": "memory_remember", "arguments": { "content": "Zoë lives in 東京", "key": "city", "kind": "profile" } },
        { "name": "memory_search", "arguments": { "query": "東京" } },
        { "name": "memory_forget", "arguments": { "key": "city" } },
        { "name": "memory_search", "arguments": { "query": "Zoë" } },
    ])
}

/// What the calls must come to.
fn assert_calls(answer: &Value) {
    let tools = answer["tools"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"));
    let names: Vec<&str> = tools.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["memory_search", "memory_remember", "memory_forget"]);
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert!(
            tool["description"].as_str().is_some_and(|it| it.len() > 20),
            "{tool}"
        );
    }
    let data = |index: usize| &answer["results"][index]["structuredContent"];
    assert_eq!(data(0)["outcome"], "created", "{answer}");
    assert_eq!(data(1)["outcome"], "superseded", "{answer}");
    assert_eq!(
        data(2)["results"][0]["text"],
        "Zoë lives in 東京",
        "{answer}"
    );
    assert_eq!(data(3)["forgotten"], 1, "{answer}");
    assert_eq!(data(4)["results"], json!([]), "{answer}");
}

/// The official client lists and calls the tools over HTTP, and is refused without a key.
#[tokio::test]
async fn the_official_client_calls_the_tools_over_http() {
    let gateway = world::start();
    let url = format!("{}/mcp?namespace=family", gateway.address);
    let key = admin_key(&gateway);
    let Some(answer) = sdk(json!({ "url": url, "key": key, "calls": calls() })) else {
        return;
    };
    assert_calls(&answer);
    for key in ["", "wrong"] {
        let refused = sdk(json!({ "url": url, "key": key, "calls": [] })).unwrap();
        let told = refused["refused"].as_str();
        assert!(
            told.is_some_and(|it| it.contains("CREDENTIALS") || it.contains("Unauthorized")),
            "{refused}"
        );
    }
}

/// The same over standard input and output; for a session it acts as its agent: what it writes says so, and names the
/// turn.
#[tokio::test]
async fn the_official_client_calls_the_tools_over_stdio() {
    let gateway = world::start();
    let program = env!("CARGO_BIN_EXE_quarterdeck");
    let key = admin_key(&gateway);
    let environment =
        |key: &str| json!({ "QUARTERDECK_ADDR": gateway.address, "QUARTERDECK_KEY": key });
    let over = |arguments: &[&str], key: &str, calls: Value| {
        let mut command = vec![program, "mcp"];
        command.extend(arguments);
        sdk(json!({ "command": command, "environment": environment(key), "calls": calls }))
    };
    let Some(answer) = over(&[], &key, calls()) else {
        return;
    };
    assert_calls(&answer);
    let refused = over(&[], "wrong", json!([])).unwrap();
    assert!(refused["refused"].is_string(), "{refused}");

    let admin = Caller::admin(&gateway).await;
    let mut client = admin.gateway();
    let enqueue = proto::EnqueueRequest {
        session_key: "boat".into(),
        text: "!hang".into(),
        ..Default::default()
    };
    let turn = client
        .enqueue(enqueue)
        .await
        .unwrap()
        .into_inner()
        .turn
        .unwrap();
    let running = async {
        loop {
            let request = proto::GetTurnRequest {
                session_key: "boat".into(),
                turn_id: turn.turn_id.clone(),
            };
            let turn = client
                .get_turn(request)
                .await
                .unwrap()
                .into_inner()
                .turn
                .unwrap();
            if turn.state() == proto::TurnState::Running {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(support::SOON, running)
        .await
        .expect("it starts");
    let remember = json!([{ "name": "memory_remember", "arguments": { "content": "the boat is called Ana" } }]);
    let answer = over(&["--session", "boat"], &key, remember).unwrap();
    assert_eq!(
        answer["results"][0]["structuredContent"]["outcome"], "created",
        "{answer}"
    );
    let mut list = Request::new(proto::ListMemoriesRequest {
        session_key: "boat".into(),
        ..Default::default()
    });
    let bearer = format!("Bearer {key}").parse().unwrap();
    list.metadata_mut().insert("authorization", bearer);
    let mut memory = MemoryServiceClient::connect(gateway.address.clone())
        .await
        .unwrap();
    let listed = memory
        .list_memories(list)
        .await
        .unwrap()
        .into_inner()
        .memories;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].source(), MemorySource::Auto);
    assert_eq!(listed[0].turn_id, turn.turn_id);
}
