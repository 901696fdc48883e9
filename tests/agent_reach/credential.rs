//! An agent's credential: bound to its session and its process, alive only while a turn runs, good for the memory tools
//! alone, and nowhere but in its file.

use crate::{
    support::{Gateway, SOON},
    world::{self, Caller},
};
use quarterdeck::proto;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

/// A gateway that asks for credentials, with a scripted pi.
pub(crate) fn start(more: &str) -> Gateway {
    start_agent(more, "")
}

/// The same, with more said of the agent.
pub(crate) fn start_agent(more: &str, agent: &str) -> Gateway {
    // A version manager's shim needs files that an isolated agent does not see.
    let asked = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("the tests need python3");
    let python = String::from_utf8(asked.stdout).expect("its path is text");
    let python = python.trim();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fake_pi.py");
    let config = format!(
        "default_agent = \"pi\"\n{more}\n[agents.pi]\ncommand = [{python:?}, {script:?}]\n\
         environment = {{ FAKE_PI_MARKER = \"81\" }}\n{agent}"
    );
    world::start_with(&[], &config)
}

/// A session whose agent reaches this namespace.
async fn create(caller: &Caller, key: &str, namespace: &str) {
    let request = proto::CreateSessionRequest {
        session_key: key.into(),
        memory_namespaces: vec![namespace.into()],
        ..Default::default()
    };
    caller
        .gateway()
        .create_session(request)
        .await
        .expect("made");
}

/// Enqueues text; the turn's id.
pub(crate) async fn enqueue(caller: &Caller, key: &str, text: &str) -> String {
    let request = proto::EnqueueRequest {
        session_key: key.into(),
        text: text.into(),
        ..Default::default()
    };
    let answer = caller.gateway().enqueue(request).await.expect("accepted");
    answer.into_inner().turn.expect("a turn").turn_id
}

/// Runs a turn to its end; what the agent said.
pub(crate) async fn run(caller: &Caller, key: &str, text: &str) -> String {
    let turn_id = enqueue(caller, key, text).await;
    let request = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id,
        wait: Some(prost_types::Duration {
            seconds: 120,
            nanos: 0,
        }),
        or_question: false,
    };
    let answer = caller.gateway().await_turn(request).await.expect("known");
    let turn = answer.into_inner().turn.expect("a turn");
    assert_eq!(turn.state(), proto::TurnState::Completed, "{turn:?}");
    turn.response_text
}

/// Starts a turn that runs until it is aborted; comes back once it runs.
pub(crate) async fn begin(caller: &Caller, key: &str) -> String {
    let turn_id = enqueue(caller, key, "hang").await;
    until(async || {
        let request = proto::GetSessionStateRequest {
            session_key: key.into(),
            ..Default::default()
        };
        let state = caller.gateway().get_session_state(request).await;
        let session = state.expect("known").into_inner().session.expect("one");
        session.state() == proto::SessionState::Running
    })
    .await;
    turn_id
}

async fn abort(caller: &Caller, key: &str) {
    let request = proto::AbortRequest {
        session_key: key.into(),
        ..Default::default()
    };
    let answer = caller.gateway().abort(request).await.expect("accepted");
    assert!(answer.into_inner().aborted);
}

async fn until(mut done: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, wait)
        .await
        .expect("it comes soon");
}

/// An agent's credential as it stands in its file.
pub(crate) struct Credential {
    file: PathBuf,
    pub(crate) address: String,
    token: String,
}

impl Credential {
    /// As the agent finds it.
    pub(crate) async fn of(caller: &Caller, key: &str) -> Self {
        let said = run(caller, key, "args").await;
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let file = said["env"]["QUARTERDECK_CREDENTIAL_FILE"].as_str();
        let file = PathBuf::from(file.expect("it is named"));
        let text: Value = serde_json::from_slice(&fs::read(&file).expect("it is there")).unwrap();
        let field = |name: &str| text[name].as_str().expect(name).to_owned();
        let whole = said.to_string();
        let token = field("token");
        assert!(
            !whole.contains(&token),
            "neither argument nor variable: {whole}"
        );
        Self {
            address: field("address"),
            token,
            file,
        }
    }

    fn list(&self) -> (u16, String) {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        post(&self.address, "/mcp", &self.token, &body)
    }

    /// Calls a tool; what it says.
    fn call(&self, name: &str, arguments: Value) -> String {
        let params = json!({ "name": name, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let (status, answer) = post(&self.address, "/mcp", &self.token, &body);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }
}

fn post(address: &str, path: &str, token: &str, body: &Value) -> (u16, String) {
    let authority = address.strip_prefix("http://").expect("an address");
    let body = body.to_string();
    let mut stream = TcpStream::connect(authority).expect("it listens");
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status.unwrap_or_default(), body.to_owned())
}

#[tokio::test]
async fn it_works_while_a_turn_of_its_session_runs_and_reaches_its_memory_alone() {
    let gateway = start("");
    let caller = Caller::admin(&gateway).await;
    create(&caller, "one", "alpha").await;
    create(&caller, "two", "beta").await;
    let one = Credential::of(&caller, "one").await;
    let two = Credential::of(&caller, "two").await;
    let mode = fs::metadata(&one.file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_ne!(one.token, two.token);

    // No turn runs.
    let (status, said) = one.list();
    assert_eq!(status, 403, "{said}");
    assert!(said.contains("no turn of the session runs"), "{said}");

    // Another session's turn is not its own's.
    let turn_id = begin(&caller, "one").await;
    assert_eq!(two.list().0, 403);
    let (status, said) = one.list();
    assert_eq!(status, 200, "{said}");
    for tool in ["memory_search", "memory_remember", "memory_forget"] {
        assert!(said.contains(tool), "{said}");
    }
    let kept = one.call(
        "memory_remember",
        json!({ "content": "the harbour code is 4711" }),
    );
    assert_eq!(kept, "Remembered.");
    let found = one.call("memory_search", json!({ "query": "harbour" }));
    assert!(found.contains("4711"), "{found}");

    // It names neither another session nor another namespace, by whatever address.
    begin(&caller, "two").await;
    let search = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "memory_search", "arguments": { "query": "harbour" } } });
    for path in ["/mcp", "/mcp?session_key=one", "/mcp?namespace=alpha"] {
        let (status, said) = post(&two.address, path, &two.token, &search);
        assert_eq!(status, 200, "{said}");
        assert!(!said.contains("4711"), "{path}: {said}");
    }

    // What it wrote names the turn, and there is nothing else behind its port.
    let whole = world::printed(&world::command(
        &gateway,
        &["memory", "list", "--json", "--namespace", "alpha"],
    ));
    assert!(whole.0.contains(&turn_id), "{whole:?}");
    for path in [
        "/",
        "/metrics",
        "/quarterdeck.v1.GatewayService/ListSessions",
        "/mcp/x",
    ] {
        let (status, said) = post(&one.address, path, &one.token, &json!({}));
        assert_eq!(status, 404, "{path}: {said}");
    }

    // The gateway's own port does not know it, nor does the agents' port know a key.
    let (status, said) = post(&gateway.address, "/mcp", &one.token, &search);
    assert_eq!(status, 401, "{said}");
    assert!(caller.as_key(&one.token).who().await.is_err());
    let key = world::admin_key(&gateway);
    for wrong in ["", "qda_", &one.token[..one.token.len() - 1], &key] {
        let (status, said) = post(&one.address, "/mcp", wrong, &search);
        assert_eq!(status, 401, "{wrong}: {said}");
    }

    // It stands in no process's arguments or environment.
    for process in fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let text = fs::read(process.path().join(file)).unwrap_or_default();
            let found = text
                .windows(one.token.len())
                .any(|it| it == one.token.as_bytes());
            assert!(!found, "{}/{file}", process.path().display());
        }
    }

    // A stopped turn takes it along.
    abort(&caller, "one").await;
    assert_eq!(one.list().0 / 100, 4);
}

/// What an agent calls is told under its session's owner: the first of a minute at once, repeats as a count.
#[tokio::test]
async fn its_calls_are_audited_and_a_loop_of_them_fills_nothing() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("audit.jsonl");
    let mut gateway = start(&format!("audit_file = {file:?}"));
    let caller = Caller::admin(&gateway).await;
    create(&caller, "one", "alpha").await;
    let one = Credential::of(&caller, "one").await;
    begin(&caller, "one").await;
    for _ in 0..20 {
        one.call("memory_search", json!({ "query": "harbour" }));
    }
    one.call("memory_remember", json!({ "content": "the tide is high" }));
    one.call("memory_remember", json!({ "content": " " }));
    let search = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "memory_search", "arguments": { "query": "harbour" } } });
    assert_eq!(post(&one.address, "/mcp", "qda_wrong", &search).0, 401);
    abort(&caller, "one").await;
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    let text = fs::read_to_string(&file).expect("it is there");
    let records = text
        .lines()
        .map(|line| serde_json::from_str(line).expect(line));
    let records: Vec<Value> = records.collect();
    let of = |method: &str| -> Vec<String> {
        let of = records
            .iter()
            .filter(|one| one["fields"]["method"] == method);
        of.map(|one| {
            let fields = &one["fields"];
            for (name, expected) in [
                ("principal", "default/local"),
                ("credential", "agent"),
                ("session_key", "one"),
            ] {
                assert_eq!(fields[name], expected, "{one}");
            }
            let word = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", word("outcome"), word("count"))
        })
        .collect()
    };
    assert_eq!(of("mcp/memory_search"), ["ok 1", "ok 19"], "{text}");
    assert_eq!(
        of("mcp/memory_remember"),
        ["ok 1", "INVALID_ARGUMENT 1"],
        "{text}"
    );
    assert!(text.contains("the agents' port"), "{text}");
}

#[tokio::test]
async fn it_ends_with_its_process() {
    let gateway = start("");
    let caller = Caller::admin(&gateway).await;
    create(&caller, "one", "alpha").await;
    let first = Credential::of(&caller, "one").await;
    // The next turn has another process.
    let reload = world::printed(&world::command(&gateway, &["reload"]));
    assert_eq!(reload.1, "");
    let second = Credential::of(&caller, "one").await;
    assert_ne!(first.token, second.token);
    begin(&caller, "one").await;
    assert_eq!(first.list().0, 401);
    assert_eq!(second.list().0, 200);
    // And with its session.
    let delete = proto::DeleteSessionRequest {
        session_key: "one".into(),
        ..Default::default()
    };
    caller
        .gateway()
        .delete_session(delete)
        .await
        .expect("deleted");
    assert_eq!(second.list().0, 401);
    assert!(!second.file.exists());
}

/// Any agent that speaks MCP over standard input and output has the tools by one command.
#[tokio::test]
async fn the_command_line_serves_it_over_standard_input_and_output() {
    let gateway = start("");
    let caller = Caller::admin(&gateway).await;
    create(&caller, "one", "alpha").await;
    let credential = Credential::of(&caller, "one").await;
    let command = |input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(["mcp", "--credential-file"])
            .arg(&credential.file)
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        world::printed(&child.wait_with_output().unwrap())
    };
    let (_, refused) = command("");
    assert!(refused.contains("no turn of the session runs"), "{refused}");
    begin(&caller, "one").await;
    let input = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "protocolVersion": "2025-06-18",
            "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "memory_remember",
            "arguments": { "content": "the pilot boards at noon" } } }),
    ];
    let input: String = input.iter().map(|line| format!("{line}\n")).collect();
    let (said, problems) = command(&input);
    // The input may end before the answer was written; what was asked for was done all the same.
    let found = credential.call("memory_search", json!({ "query": "pilot" }));
    assert!(found.contains("noon"), "{found} {said} {problems}");
}
