//! REST, server-sent events, NDJSON and Connect as their callers meet them: plain HTTP against the real server.

mod support;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use support::{Gateway, Options, SOON};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const JSON: &str = "application/json";

/// A caller over HTTP/1.1.
struct Rest {
    address: String,
    client: Client,
}

/// One server-sent event.
#[derive(Debug, Default, PartialEq)]
struct Event {
    id: Option<String>,
    name: Option<String>,
    data: Value,
}

/// Reads server-sent events as the HTML standard says.
struct Events {
    response: Response,
    read: Vec<u8>,
}

impl Rest {
    fn of(gateway: &Gateway) -> Self {
        // Asked for even where nothing is encrypted; another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            address: gateway.address.clone(),
            client: Client::builder().timeout(SOON).build().unwrap(),
        }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.address))
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.ask(Method::POST, path).body(body.to_string());
        request.header(header::CONTENT_TYPE, JSON)
    }

    async fn get(&self, path: &str) -> Value {
        json_of(self.ask(Method::GET, path), StatusCode::OK).await
    }

    async fn events(&self, path: &str, last: Option<&str>) -> Events {
        let request = self
            .ask(Method::GET, path)
            .header(header::ACCEPT, "text/event-stream");
        let request = match last {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        Events {
            response,
            read: Vec::new(),
        }
    }
}

impl Events {
    /// The next event; `None` where the stream ended, however it did.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.read.windows(2).position(|it| it == b"\n\n") {
                let block: Vec<u8> = self.read.drain(..end + 2).collect();
                let mut event = Event::default();
                for line in String::from_utf8(block).unwrap().lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => event.id = Some(id.into()),
                        Some(("event", name)) => event.name = Some(name.into()),
                        Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                        Some(("retry", _)) | None => {}
                        Some(other) => panic!("{other:?}"),
                    }
                }
                if event != Event::default() {
                    return Some(event);
                }
                continue;
            }
            match timeout(SOON, self.response.chunk()).await.expect("news") {
                Ok(Some(chunk)) => self.read.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

#[track_caller]
fn json_of(request: RequestBuilder, status: StatusCode) -> impl Future<Output = Value> {
    let caller = std::panic::Location::caller();
    async move {
        let response = request.send().await.unwrap();
        let (is, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(is, status, "{caller}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{caller}: {text}"))
    }
}

/// A refusal: its status, and the whole problem.
#[track_caller]
fn refused(
    request: RequestBuilder,
) -> impl Future<Output = (StatusCode, Value, header::HeaderMap)> {
    let caller = std::panic::Location::caller();
    async move {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        assert!(!status.is_success(), "{caller}: {text}");
        assert_eq!(
            headers[header::CONTENT_TYPE],
            "application/problem+json",
            "{caller}: {text}"
        );
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], status.as_u16());
        (status, problem, headers)
    }
}

async fn turn(rest: &Rest, session: &str, text: &str) -> Value {
    let path = format!("/v1/sessions/{session}/turns");
    let queued = json_of(rest.post(&path, &json!({ "text": text })), StatusCode::OK).await;
    let id = queued["turn"]["turnId"].as_str().unwrap();
    rest.get(&format!("{path}/{id}/await?wait=20s")).await["turn"].clone()
}

#[tokio::test]
async fn a_turn_is_queued_awaited_and_read_by_plain_http() {
    let gateway = Gateway::start();
    let rest = Rest::of(&gateway);
    // A key may hold a colon, as it stands or encoded.
    let body = json!({ "text": "hello", "on_busy": "ON_BUSY_ENQUEUE", "turnTimeout": "60s" });
    let queue = || {
        rest.post("/v1/sessions/a:b%40c/turns", &body)
            .header("idempotency-key", "once")
    };
    let first = json_of(queue(), StatusCode::OK).await;
    assert_eq!(first["turn"]["sessionKey"], "a:b@c");
    // What is 0 or false is said.
    assert_eq!(first["replayed"], false);
    assert_eq!(first["queuePosition"], 0);
    let again = json_of(queue(), StatusCode::OK).await;
    assert_eq!(again["replayed"], true);
    let id = first["turn"]["turnId"].as_str().unwrap();
    assert_eq!(again["turn"]["turnId"], id);
    let other = rest.post("/v1/sessions/a:b%40c/turns", &json!({ "text": "other" }));
    let (status, problem, _) = refused(other.header("idempotency-key", "once")).await;
    assert_eq!(
        (status, &problem["reason"]),
        (StatusCode::CONFLICT, &json!("IDEMPOTENCY_CONFLICT"))
    );
    let path = format!("/v1/sessions/a:b@c/turns/{id}/await?wait=20s");
    let done = rest.get(&path).await;
    assert_eq!(done["turn"]["state"], "TURN_STATE_COMPLETED");
    assert_eq!(done["turn"]["responseText"], "hello");
    // Lists and messages of a query reach into the request.
    let list =
        "/v1/sessions/a:b@c/turns?states=TURN_STATE_COMPLETED&states=TURN_STATE_FAILED&page_size=1";
    assert_eq!(rest.get(list).await["turns"].as_array().unwrap().len(), 1);
    let none = rest
        .get("/v1/sessions?filter.key_prefix=nobody&filter.labels.a.b=c")
        .await;
    assert_eq!(none["sessions"], json!([]));
    assert_eq!(rest.get("/v1/server").await["defaultAgent"], "echo");
}

#[tokio::test]
async fn what_a_body_names_is_what_it_changes() {
    let gateway = Gateway::start();
    let rest = Rest::of(&gateway);
    turn(&rest, "s", "hi").await;
    let patch = |body: Value| {
        let request = rest
            .ask(Method::PATCH, "/v1/sessions/s")
            .body(body.to_string());
        request.header(header::CONTENT_TYPE, JSON)
    };
    let body = json!({ "displayName": "Name", "labels": { "a": "1" } });
    let changed = json_of(patch(body), StatusCode::OK).await;
    assert_eq!(changed["session"]["displayName"], "Name");
    let changed = json_of(patch(json!({ "labels": {} })), StatusCode::OK).await;
    assert_eq!(changed["session"]["labels"], json!({}));
    assert_eq!(changed["session"]["displayName"], "Name");
    let stale = rest
        .ask(Method::PATCH, "/v1/sessions/s?expected_generation=9")
        .body("{\"displayName\":\"x\"}")
        .header(header::CONTENT_TYPE, JSON);
    let (status, problem, _) = refused(stale).await;
    assert_eq!(
        (status, &problem["reason"]),
        (StatusCode::CONFLICT, &json!("GENERATION_MISMATCH"))
    );
    let gone = rest.ask(Method::DELETE, "/v1/sessions/s");
    json_of(gone, StatusCode::OK).await;
    let (status, _, _) = refused(rest.ask(Method::GET, "/v1/sessions/s")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn each_refusal_has_its_status_and_says_what_to_do() {
    let gateway = Gateway::start();
    let rest = Rest::of(&gateway);
    let turns = "/v1/sessions/s/turns";
    let (status, problem, headers) = refused(rest.ask(Method::GET, "/v1/sessions/none")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem["reason"], "SESSION_NOT_FOUND");
    assert_eq!(problem["metadata"]["session_key"], "none");
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(headers["x-should-retry"], "false");
    let (status, _, _) = refused(rest.ask(Method::GET, "/v1/nothing/here")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _, headers) = refused(rest.ask(Method::PUT, turns)).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let allowed: BTreeSet<&str> = headers[header::ALLOW]
        .to_str()
        .unwrap()
        .split(',')
        .collect();
    assert_eq!(allowed, BTreeSet::from(["GET", "HEAD", "POST"]));
    for (body, field) in [
        (json!({ "txt": "x" }), "body"),
        (json!([]), "body"),
        (json!(1), "body"),
        (json!({ "text": 1 }), "body"),
        (json!({ "text": "x", "sessionKey": "other" }), "session_key"),
        (json!({ "text": "x", "turnTimeout": "soon" }), "body"),
    ] {
        let (status, problem, _) = refused(rest.post(turns, &body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(problem["reason"], "INVALID_FIELD", "{body}");
        assert_eq!(problem["violations"][0]["field"], field, "{problem}");
    }
    // All that is wrong is told at once.
    let body = json!({ "text": " ", "source": "x".repeat(200) });
    let (_, problem, _) = refused(rest.post(turns, &body)).await;
    assert_eq!(
        problem["violations"].as_array().unwrap().len(),
        2,
        "{problem}"
    );
    for path in [
        "/v1/sessions/s/turns?nothing=1",
        "/v1/sessions/s/turns?page_size=many",
        "/v1/sessions/s/events?deltas=perhaps",
        "/v1/sessions?filter.nothing=1",
        "/v1/sessions?filter=1",
        "/v1/sessions?page_size=1&page_size=2",
        "/v1/sessions/%ff",
    ] {
        let (status, problem, _) = refused(rest.ask(Method::GET, path)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {problem}");
    }
    // A page can send these two without being asked for its origin.
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let request = rest
            .ask(Method::POST, turns)
            .header(header::CONTENT_TYPE, kind);
        let (status, _, _) = refused(request.body("{\"text\":\"x\"}")).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let (status, _, _) = refused(rest.ask(Method::POST, turns).body("{\"text\":\"x\"}")).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let zipped = rest
        .post(turns, &json!({ "text": "x" }))
        .header("content-encoding", "gzip");
    assert_eq!(refused(zipped).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = json!({ "text": "x", "metadata": { "a": "x".repeat(19 << 20) } });
    let (status, problem, _) = refused(rest.post(turns, &large)).await;
    assert_eq!(
        (status, &problem["reason"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("MESSAGE_TOO_LARGE"))
    );
    let large = json!({ "sessionKey": "x".repeat(3 << 20) });
    let (status, _, _) = refused(rest.post("/v1/sessions", &large)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let many = format!("{{\"attachments\":[{}{{}}]}}", "{},".repeat(100_000));
    let many = rest
        .ask(Method::POST, turns)
        .body(many)
        .header(header::CONTENT_TYPE, JSON);
    let (status, problem, _) = refused(many).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        problem["detail"].as_str().unwrap().contains("values"),
        "{problem}"
    );
    let deep = format!("{}{}", "{\"text\":".repeat(5000), "1");
    let deep = rest
        .ask(Method::POST, turns)
        .body(deep)
        .header(header::CONTENT_TYPE, JSON);
    assert_eq!(refused(deep).await.0, StatusCode::BAD_REQUEST);
    // None of it did anything.
    let sessions = rest.get("/v1/sessions?filter.key_prefix=s").await;
    assert_eq!(sessions["sessions"], json!([]));
}

#[tokio::test]
async fn an_attachment_of_eight_mebibytes_fits() {
    let gateway = Gateway::start();
    let rest = Rest::of(&gateway);
    let data = vec![7_u8; 8 << 20];
    let attachment = |data: &[u8]| json!({ "name": "a", "mediaType": "application/octet-stream", "data": BASE64_STANDARD.encode(data) });
    let body = json!({ "text": "x", "attachments": [attachment(&data), attachment(&data)] });
    let queued = json_of(rest.post("/v1/sessions/s/turns", &body), StatusCode::OK).await;
    let id = queued["turn"]["attachments"][0]["attachmentId"]
        .as_str()
        .unwrap();
    let read = rest.get(&format!("/v1/sessions/s/attachments/{id}")).await;
    let read = read.to_string();
    assert!(
        read.contains(&BASE64_STANDARD.encode(&data)),
        "{} bytes",
        read.len()
    );
}

/// Bytes go out to be kept, whatever they say that they are.
#[tokio::test]
async fn an_attachments_bytes_are_no_page() {
    let gateway = Gateway::start();
    let rest = Rest::of(&gateway);
    let page = b"<script>alert(1)</script>";
    let file = json!({
        "name": "\u{e9} \"x\".html", "mediaType": "text/html", "data": BASE64_STANDARD.encode(page),
    });
    let body = json!({ "text": "x", "attachments": [file] });
    let queued = json_of(rest.post("/v1/sessions/s/turns", &body), StatusCode::OK).await;
    let id = queued["turn"]["attachments"][0]["attachmentId"].as_str();
    let path = format!("/v1/sessions/s/attachments/{}/content", id.unwrap());
    let answer = rest.ask(Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    for (name, value) in [
        ("content-type", "text/html"),
        (
            "content-disposition",
            "attachment; filename=\"_ _x_.html\"; filename*=UTF-8''%C3%A9%20%22x%22.html",
        ),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("content-length", "25"),
    ] {
        assert_eq!(answer.headers()[name], value, "{name}");
    }
    let policy = answer.headers()["content-security-policy"].to_str();
    assert!(policy.unwrap().contains("sandbox"));
    assert_eq!(answer.bytes().await.unwrap(), page.as_slice());
    let unknown = rest.ask(Method::GET, "/v1/sessions/s/attachments/00/content");
    let unknown = unknown.send().await.unwrap();
    assert!(unknown.status().is_client_error(), "{}", unknown.status());
    assert_eq!(
        unknown.headers()["content-type"],
        "application/problem+json"
    );
}

#[tokio::test]
async fn a_reader_of_events_resumes_over_a_kill_without_a_gap() {
    let mut gateway = Gateway::start();
    let rest = Rest::of(&gateway);
    for text in ["one", "two", "three"] {
        turn(&rest, "s", text).await;
    }
    let mut ids = Vec::new();
    let mut events = rest
        .events("/v1/sessions/s/events?from_oldest=true", None)
        .await;
    while ids.len() < 5 {
        let event = events.next().await.expect("it lives");
        // Only what is kept has an id: a reader never resumes from what may be gone.
        assert_eq!(
            event.id.is_some(),
            event.data["seq"].is_string(),
            "{event:?}"
        );
        if let Some(id) = event.id {
            assert_eq!(
                id,
                format!(
                    "{}:{}",
                    event.data["logId"].as_str().unwrap(),
                    ids.len() + 1
                )
            );
            ids.push(id);
        }
    }
    gateway.kill();
    while events.next().await.is_some() {}
    gateway.restart();
    let rest = Rest::of(&gateway);
    turn(&rest, "s", "four").await;
    // The first URL, for ever: what the browser adds counts.
    let path = "/v1/sessions/s/events?from_oldest=true";
    let mut events = rest.events(path, ids.last().map(String::as_str)).await;
    let head: usize = rest.get("/v1/sessions/s").await["session"]["headSeq"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    while ids.len() < head {
        let event = events.next().await.expect("it lives");
        if let Some(id) = event.id {
            assert!(id.ends_with(&format!(":{}", ids.len() + 1)), "{id}");
            ids.push(id);
        }
    }
    let (status, problem, _) = refused(
        rest.ask(Method::GET, "/v1/sessions/s/events")
            .header("last-event-id", "00000000-0000-0000-0000-000000000000:1"),
    )
    .await;
    assert_eq!(
        (status, &problem["reason"]),
        (StatusCode::CONFLICT, &json!("LOG_CHANGED"))
    );
}

#[tokio::test]
async fn a_stream_can_be_lines_of_json_too() {
    let gateway = Gateway::start();
    let rest = Rest::of(&gateway);
    turn(&rest, "s", "x").await;
    let request = rest
        .post("/v1/sessions/s/run", &json!({ "text": "to the end" }))
        .header(header::ACCEPT, "application/x-ndjson");
    let response = request.send().await.unwrap();
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/x-ndjson"
    );
    let text = response.text().await.unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    let events: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = events.last().unwrap();
    assert_eq!(
        last["turnEnded"]["turn"]["responseText"], "to the end",
        "{last}"
    );
}

#[tokio::test]
async fn a_server_that_drains_lets_event_sources_come_back() {
    let mut gateway = Gateway::with(Options {
        config: "drain_timeout = \"20s\"\n".into(),
        ..Options::default()
    });
    let rest = Rest::of(&gateway);
    assert_eq!(rest.get("/ready").await["status"], "SERVING");
    let body = json!({ "text": "!hang" });
    json_of(rest.post("/v1/sessions/s/turns", &body), StatusCode::OK).await;
    let mut events = rest
        .events("/v1/sessions/s/events?from_oldest=true", None)
        .await;
    loop {
        let event = events.next().await.expect("it lives");
        if event.data.get("turnStarted").is_some() {
            break;
        }
    }
    gateway.terminate();
    loop {
        let event = events.next().await.expect("it says that it drains");
        if event.data.get("draining").is_some() {
            break;
        }
    }
    let (status, problem, headers) = refused(rest.post("/v1/sessions/s/turns", &body)).await;
    assert_eq!(
        (status, &problem["reason"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("DRAINING"))
    );
    assert_eq!(headers["x-should-retry"], "true");
    assert_eq!(headers[header::RETRY_AFTER], "1");
    json_of(rest.ask(Method::GET, "/health"), StatusCode::OK).await;
    json_of(
        rest.ask(Method::GET, "/ready"),
        StatusCode::SERVICE_UNAVAILABLE,
    )
    .await;
    json_of(
        rest.post(
            "/v1/sessions/s/abort",
            &json!({ "mode": "ABORT_MODE_KILL" }),
        ),
        StatusCode::OK,
    )
    .await;
    // What ends, ends as an end, or says when to come back; never as an error that an event source gives up on.
    while let Some(event) = events.next().await {
        assert_eq!(event.name, None, "{event:?}");
    }
    assert_eq!(gateway.ended(SOON).await, Some(0));
}

#[tokio::test]
async fn nothing_of_a_body_is_read_before_its_sender_is_known() {
    let gateway = Gateway::with(Options {
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let rest = Rest::of(&gateway);
    let (status, problem, headers) = refused(rest.ask(Method::GET, "/v1/sessions")).await;
    assert_eq!(
        (status, &problem["reason"]),
        (StatusCode::UNAUTHORIZED, &json!("CREDENTIALS_MISSING"))
    );
    assert_eq!(headers[header::WWW_AUTHENTICATE], "Bearer");
    // Probes and the description are for whoever asks.
    rest.get("/health").await;
    rest.get("/ready").await;
    rest.get("/openapi.json").await;
    let key = std::fs::read_to_string(gateway.data().join("admin.key")).unwrap();
    let known = rest.ask(Method::GET, "/v1/whoami").bearer_auth(key.trim());
    let known = json_of(known, StatusCode::OK).await;
    assert!(
        known["principal"].as_str().unwrap().starts_with("default/"),
        "{known}"
    );
    // It promises a body that never comes, and is told at once.
    let address = gateway.address.strip_prefix("http://").unwrap();
    for path in [
        "/v1/sessions/s/turns",
        "/quarterdeck.v1.GatewayService/Enqueue",
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {JSON}\r\ncontent-length: 1000\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        timeout(SOON, socket.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401", "{path}");
    }
}

#[tokio::test]
async fn every_method_is_called_by_connect_as_by_grpc() {
    let gateway = Gateway::start();
    let rest = Rest::of(&gateway);
    turn(&rest, "s", "x").await;
    let service = "/quarterdeck.v1.GatewayService";
    let get = rest.post(
        &format!("{service}/GetSession"),
        &json!({ "sessionKey": "s", "later": 1 }),
    );
    let got = json_of(get, StatusCode::OK).await;
    assert_eq!(got["session"]["sessionKey"], "s");
    let get = rest.post(
        &format!("{service}/GetSession"),
        &json!({ "sessionKey": "none" }),
    );
    let error = json_of(get, StatusCode::NOT_FOUND).await;
    assert_eq!(error["code"], "not_found");
    let kinds: Vec<&str> = error["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"google.rpc.ErrorInfo"), "{kinds:?}");
    // What fails for its state is 400 here, and 409 in REST.
    let delete = rest.post(
        &format!("{service}/DeleteSession"),
        &json!({ "sessionKey": "main" }),
    );
    let error = json_of(delete, StatusCode::BAD_REQUEST).await;
    assert_eq!(error["code"], "failed_precondition");
    let delete = rest.ask(Method::DELETE, "/v1/sessions/main");
    assert_eq!(refused(delete).await.0, StatusCode::CONFLICT);
    let late = rest
        .post(
            &format!("{service}/AwaitTurn"),
            &json!({ "sessionKey": "s", "turnId": "x" }),
        )
        .header("connect-timeout-ms", "soon");
    let error = json_of(late, StatusCode::BAD_REQUEST).await;
    assert_eq!(error["code"], "invalid_argument");

    let envelope = |flag: u8, json: &Value| {
        let json = json.to_string();
        let mut bytes = vec![flag];
        bytes.extend_from_slice(&(json.len() as u32).to_be_bytes());
        bytes.extend_from_slice(json.as_bytes());
        bytes
    };
    let run = async |body: Vec<u8>| {
        let request = rest.ask(Method::POST, &format!("{service}/Run")).body(body);
        let request = request.header(header::CONTENT_TYPE, "application/connect+json");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let mut bytes = response.bytes().await.unwrap().to_vec();
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
            let json: Value = serde_json::from_slice(&bytes[5..5 + length]).unwrap();
            messages.push((bytes[0], json));
            bytes.drain(..5 + length);
        }
        messages
    };
    let asked = json!({ "enqueue": { "sessionKey": "s", "text": "all of it" } });
    let messages = run(envelope(0, &asked)).await;
    let [.., (0, last), (2, end)] = messages.as_slice() else {
        panic!("{messages:?}");
    };
    assert_eq!(last["turnEnded"]["turn"]["responseText"], "all of it");
    assert_eq!(end, &json!({}));
    for wrong in [
        envelope(0, &json!({ "enqueue": { "text": "x" } })),
        envelope(1, &asked),
        vec![0; 3],
    ] {
        let messages = run(wrong).await;
        let [(2, end)] = messages.as_slice() else {
            panic!("{messages:?}");
        };
        assert_eq!(end["error"]["code"], "invalid_argument");
    }
    // A stream is not asked as a single answer is.
    let wrong = rest
        .post(&format!("{service}/Run"), &asked)
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

/// A ticket is worth the events of its session, for as long as its key is one, and nothing else.
#[tokio::test]
async fn a_ticket_opens_the_events_of_its_session_alone() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut gateway = Gateway::with(Options {
        environment: vec![
            ("QUARTERDECK_NO_AUTH".into(), "false".into()),
            ("QUARTERDECK_LOG".into(), "debug".into()),
        ],
        log: Some(log.clone()),
        ..Options::default()
    });
    let rest = Rest::of(&gateway);
    let admin = std::fs::read_to_string(gateway.data().join("admin.key")).unwrap();
    let admin = admin.trim();
    let made = rest.post(
        "/v1/keys",
        &json!({ "subject": "ann", "scopes": ["session.read", "session.write"] }),
    );
    let made = json_of(made.bearer_auth(admin), StatusCode::OK).await;
    let key = made["secret"].as_str().unwrap();
    for session in ["s", "other"] {
        let path = format!("/v1/sessions/{session}/turns");
        let queued = rest
            .post(&path, &json!({ "text": "hello" }))
            .bearer_auth(key);
        json_of(queued, StatusCode::OK).await;
    }
    let ask =
        |session: &str| rest.post(&format!("/v1/sessions/{session}/event-ticket"), &json!({}));
    let (status, _, _) = refused(ask("s")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, _, _) = refused(ask("nobody").bearer_auth(key)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let answer = json_of(ask("s").bearer_auth(key), StatusCode::OK).await;
    assert_eq!(answer["idleTimeout"], "60s");
    assert!(answer["expireTime"].as_str().unwrap().ends_with('Z'));
    let ticket = answer["ticket"].as_str().unwrap();
    let events = |session: &str, ticket: &str| {
        format!("/v1/sessions/{session}/events?from_oldest=true&ticket={ticket}")
    };
    let mut read = rest.events(&events("s", ticket), None).await;
    while read.next().await.unwrap().data["turnEnded"].is_null() {}
    // While one is open another may be, and it goes on as the first.
    drop(rest.events(&events("s", ticket), None).await);
    let (most, last) = ticket.split_at(ticket.len() - 1);
    let changed = format!("{most}{}", if last == "A" { "Q" } else { "A" });
    let wrong = [
        events("other", ticket),
        events("s", &changed),
        events("s", "qdt_"),
        events("s", key),
        format!("/v1/sessions/s/turns?ticket={ticket}"),
        format!("/v1/sessions/s?ticket={ticket}"),
    ];
    for path in wrong {
        let (status, _, _) = refused(rest.ask(Method::GET, &path)).await;
        assert!(
            status == StatusCode::UNAUTHORIZED || status == StatusCode::BAD_REQUEST,
            "{path}: {status}"
        );
    }
    let bearer = rest
        .ask(Method::GET, "/v1/sessions/s/events")
        .bearer_auth(ticket);
    assert_eq!(refused(bearer).await.0, StatusCode::UNAUTHORIZED);
    // Over a restart, until its key is revoked, which ends what is open.
    gateway.kill();
    gateway.restart();
    let rest = Rest::of(&gateway);
    let mut read = rest.events(&events("s", ticket), None).await;
    read.next().await.unwrap();
    let id = made["apiKey"]["keyId"].as_str().unwrap();
    let revoke = rest.ask(Method::DELETE, &format!("/v1/keys/{id}"));
    json_of(revoke.bearer_auth(admin), StatusCode::OK).await;
    while read.next().await.is_some() {}
    let again = rest.ask(Method::GET, &events("s", ticket));
    assert_eq!(refused(again).await.0, StatusCode::UNAUTHORIZED);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.is_empty() && !log.contains(ticket) && !log.contains("qdt_"));
}

/// A parameter that is longer than described is refused by every list.
#[tokio::test]
async fn what_is_longer_than_described_is_refused() {
    let gateway = Gateway::start();
    let rest = Rest::of(&gateway);
    let document = rest.get("/openapi.json").await;
    let mut asked = 0;
    for (path, verbs) in document["paths"].as_object().unwrap() {
        let parameters = verbs["get"]["parameters"].as_array();
        if path.contains('{') {
            continue;
        }
        for parameter in parameters.into_iter().flatten() {
            let Some(max) = parameter["schema"]["maxLength"].as_u64() else {
                continue;
            };
            if parameter["in"] != "query" {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            let long = "x".repeat(usize::try_from(max).unwrap() + 1);
            let request = rest.ask(Method::GET, &format!("{path}?{name}={long}"));
            let (status, problem, _) = refused(request).await;
            assert_eq!(
                (status, &problem["reason"]),
                (StatusCode::BAD_REQUEST, &json!("INVALID_FIELD")),
                "{path} {name}"
            );
            asked += 1;
        }
    }
    assert!(asked > 0, "none has a bound");
}

#[tokio::test]
async fn the_description_names_every_route_and_nothing_that_is_not_there() {
    let gateway = Gateway::start();
    let rest = Rest::of(&gateway);
    let document = rest.get("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    let mut operations = HashMap::new();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for (verb, operation) in verbs.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert_eq!(
                operations.insert(id.to_owned(), (verb, path)),
                None,
                "{id} stands twice"
            );
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{id}");
            let named = path.matches('{').count();
            let parameters = operation["parameters"].as_array().unwrap();
            let in_path = parameters.iter().filter(|it| it["in"] == "path");
            assert_eq!(in_path.count(), named, "{path}");
            // It is there, whatever it says of what is asked.
            let method = Method::from_bytes(verb.to_uppercase().as_bytes()).unwrap();
            let asked = rest
                .ask(method, &path.replace(['{', '}'], ""))
                .send()
                .await
                .unwrap();
            assert_ne!(asked.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            let body = match operation["responses"]["200"]["content"].get("text/event-stream") {
                Some(_) => String::new(),
                None => asked.text().await.unwrap(),
            };
            assert!(!body.contains("no such path"), "{path}");
        }
    }
    let own = quarterdeck::grpc::methods::METHODS.iter();
    let own = own.filter(|it| it.path.starts_with("/quarterdeck.v1."));
    // A stream of both sides is no request of HTTP.
    let own = own.filter(|it| it.path != "/quarterdeck.v1.WorkerService/Connect");
    for method in own {
        assert!(
            operations.contains_key(method.name()),
            "{} has no route",
            method.path
        );
    }
    // And the paths beside the contract.
    assert!(operations.contains_key("CreateEventTicket"));
    assert!(operations.contains_key("GetAttachmentContent"));
    // What requests are held to is said of them.
    let key = &document["paths"]["/v1/sessions/{session_key}"]["get"]["parameters"][0];
    assert_eq!(
        key["schema"]["pattern"],
        quarterdeck::domain::ids::SESSION_KEY_PATTERN
    );
    let closed = Gateway::with(Options {
        config: "http = false\n".into(),
        ..Options::default()
    });
    let closed = Rest::of(&closed);
    for path in ["/openapi.json", "/v1/sessions", "/health"] {
        let answer = closed.ask(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
}
