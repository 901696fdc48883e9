//! Webhooks in, as their senders meet them: plain HTTP against the real server.

mod support;

use hmac::{Hmac, Mac as _};
use quarterdeck::proto::{self, TurnState};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{process::Command, time::SystemTime};
use support::{Gateway, Options, SOON, await_turn};

const SECRET: &str = "a secret of this test";
const CONFIG: &str = r#"
[webhooks.hub]
kind = "github"
secrets = { old = "not the one any more", now = "a secret of this test" }
principal = "default/hub"
session_key = "hub:{/repository/name}:{sender}"
text = "{event} by {sender}: {/issue/title}"

[webhooks.chat]
kind = "slack"
secrets = { now = "a secret of this test" }
principal = "default/chat"
session_key = "m{/rest}"
on_busy = "reject"

[webhooks.line]
kind = "linear"
secrets = { now = "a secret of this test" }
principal = "default/line"
scopes = ["session.read", "session.write"]
text = "{/say}"

[webhooks.reader]
kind = "pi"
secrets = { now = "a secret of this test" }
principal = "default/reader"
scopes = ["session.read"]
"#;

struct Site {
    gateway: Gateway,
    client: Client,
}

impl Site {
    fn start() -> Self {
        Self::with(CONFIG.into())
    }

    fn with(config: String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            gateway: Gateway::with(Options {
                config,
                ..Options::default()
            }),
            client: Client::builder().timeout(SOON).build().unwrap(),
        }
    }

    fn post(&self, route: &str, body: &str) -> RequestBuilder {
        let url = format!("{}/webhooks/{route}", self.gateway.address);
        let request = self.client.post(url).body(body.to_owned());
        request.header("content-type", "application/json")
    }

    fn hub(&self, id: &str, body: &str) -> RequestBuilder {
        let request = self.post("hub", body).header("x-github-delivery", id);
        let signature = format!("sha256={}", signed(&[body]));
        request
            .header("x-github-event", "issues")
            .header("x-hub-signature-256", signature)
    }

    /// As Linear does, which signs the time of each try and no id.
    fn line(&self, id: &str, say: &str, off: i64) -> RequestBuilder {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = now.unwrap().as_millis() as i64 + off;
        let body = json!({ "say": say, "webhookTimestamp": millis }).to_string();
        let request = self.post("line", &body).header("linear-delivery", id);
        request.header("linear-signature", signed(&[&body]))
    }

    fn chat(&self, body: &str, off: i64) -> RequestBuilder {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let time = now.unwrap().as_secs().cast_signed() + off;
        let signature = format!("v0={}", signed(&[&format!("v0:{time}:"), body]));
        let request = self.post("chat", body);
        request
            .header("x-slack-request-timestamp", time)
            .header("x-slack-signature", signature)
    }
}

fn signed(parts: &[&str]) -> String {
    let mut made = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    parts.iter().for_each(|part| made.update(part.as_bytes()));
    let bytes = made.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("whole");
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

async fn refused(request: RequestBuilder, status: StatusCode, reason: &str) {
    let (got, body) = answer(request).await;
    assert_eq!(
        (got, body["reason"].as_str()),
        (status, Some(reason)),
        "{body}"
    );
}

fn issue(title: &str) -> String {
    json!({
        "repository": { "name": "deck" },
        "sender": { "login": "anna/b" },
        "issue": { "title": title },
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_delivery_becomes_a_turn_once() {
    let mut site = Site::start();
    let body = issue("it's broken");
    let (status, first) = answer(site.hub("d1", &body)).await;
    assert_eq!(
        (status, &first["replayed"]),
        (StatusCode::ACCEPTED, &json!(false))
    );
    let key = first["sessionKey"].as_str().expect("a key");
    assert_eq!(key, "hub:deck:anna=2fb");
    let mut client = site.gateway.client().await;
    let turn_id = first["turnId"].as_str().expect("a turn");
    let turn = await_turn(&mut client, key, turn_id).await;
    assert_eq!(turn.state(), TurnState::Completed);
    assert_eq!(turn.text, "issues by anna/b: it's broken");
    assert_eq!(turn.principal, "default/hub");
    assert_eq!(turn.source, "webhook:hub");
    let session = client.get_session(proto::GetSessionRequest {
        session_key: key.to_owned(),
        ..Default::default()
    });
    let session = session.await.expect("there is one").into_inner().session;
    let session = session.expect("a session");
    assert_eq!(session.owner, "default/hub");
    assert_eq!(session.no_approver(), proto::NoApprover::Deny);
    // Once more: the same turn. Another delivery under its id is none.
    let (status, again) = answer(site.hub("d1", &body)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        (&again["turnId"], &again["replayed"]),
        (&first["turnId"], &json!(true))
    );
    // And under another id, which the hub does not sign: whoever has caught it makes no second turn of it.
    let (_, caught) = answer(site.hub("d2", &body)).await;
    assert_eq!(
        (&caught["turnId"], &caught["replayed"]),
        (&first["turnId"], &json!(true))
    );
    let other = issue("something else");
    let (_, second) = answer(site.hub("d1", &other)).await;
    assert_ne!(second["turnId"], first["turnId"]);
    let turn_id = second["turnId"].as_str().expect("a turn");
    await_turn(&mut client, key, turn_id).await;
    // The hub asks whether somebody is there; no turn comes of it.
    let ping = site.post("hub", "{}").header("x-github-event", "ping");
    let signature = format!("sha256={}", signed(&["{}"]));
    let ping = ping.header("x-hub-signature-256", signature);
    assert_eq!(
        answer(ping).await,
        (StatusCode::OK, json!({ "pong": true }))
    );
    site.gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_is_nobodys() {
    let site = Site::start();
    let body = issue("x");
    let invalid = (StatusCode::UNAUTHORIZED, "SIGNATURE_INVALID");
    let right = signed(&[&body]);
    for signature in [
        String::new(),
        "sha256=".into(),
        right.clone(),
        format!("sha256={}", &right[2..]),
        format!("sha1={right}"),
        format!("sha256={}", "0".repeat(64)),
    ] {
        let request = site.post("hub", &body).header("x-github-delivery", "d");
        let request = request.header("x-hub-signature-256", signature);
        refused(request, invalid.0, invalid.1).await;
    }
    // A credential of a caller is none of a sender.
    let request = site.post("hub", &body).bearer_auth("qd_whatever");
    refused(request, invalid.0, invalid.1).await;
    // Signed, and not what it was signed as.
    let request = site.hub("d", &body).body(format!("{body} "));
    refused(request, invalid.0, invalid.1).await;
    // Old, and of a time to come.
    for off in [-400, 400] {
        let late = site.chat(r#"{"rest":"x"}"#, off);
        refused(late, StatusCode::CONFLICT, "REPLAYED_DELIVERY").await;
    }
    // What is no delivery at all.
    let (status, _) = answer(site.post("none", &body)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let url = format!("{}/webhooks/hub", site.gateway.address);
    let get = site.client.get(&url);
    assert_eq!(answer(get).await.0, StatusCode::METHOD_NOT_ALLOWED);
    let plain = site.client.post(&url).body(body.clone());
    assert_eq!(answer(plain).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = site.hub("d", &"x".repeat(1024 * 1024 + 1));
    assert_eq!(answer(large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let no_json = site.hub("d", "{");
    assert_eq!(answer(no_json).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_does_what_its_principal_may_and_no_more() {
    let site = Site::start();
    // Slack asks whether somebody is there.
    let asked = json!({ "type": "url_verification", "challenge": "c1" }).to_string();
    let (status, body) = answer(site.chat(&asked, 0)).await;
    assert_eq!((status, &body["challenge"]), (StatusCode::OK, &json!("c1")));
    // The primary session is `main`; its key is made of what came in.
    let main = site.chat(r#"{"rest":"ain"}"#, 0);
    assert_eq!(answer(main).await.0, StatusCode::FORBIDDEN);
    let (status, _) = answer(site.chat(r#"{"rest":"ine","event_id":"e"}"#, 0)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    // Its scopes don't allow to work.
    let request = site.post("reader", r#"{"text":"hi"}"#);
    let request = request.header("x-pi-webhook-secret", SECRET);
    refused(request, StatusCode::FORBIDDEN, "SCOPE_REQUIRED").await;
    // And a session of somebody else is not its own.
    let mut client = site.gateway.client().await;
    support::run(&mut client, "my", "hello").await;
    let taken = site.chat(r#"{"rest":"y"}"#, 0);
    refused(taken, StatusCode::FORBIDDEN, "SESSION_NOT_YOURS").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_webhook_until_one_is_configured() {
    let gateway = Gateway::start();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let request = Client::new().post(format!("{}/webhooks/hub", gateway.address));
    let request = request
        .header("content-type", "application/json")
        .body("{}");
    assert_eq!(answer(request).await.0, StatusCode::NOT_FOUND);
}

#[test]
fn a_webhook_that_would_be_open_to_the_world_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("quarterdeck.toml");
    for (config, problem) in [
        ("", "webhooks.w.secrets: needs one"),
        ("secrets = { now = '' }", "at least 8 characters"),
        ("secrets = { now = '12345678' }", "webhooks.w.principal"),
        ("principal = 'nobody'", "webhooks.w.principal"),
        ("scopes = ['everything']", "is no scope"),
        ("kind = 'other'", "expected standard or github"),
        ("text = '{secret}'", "is no name"),
        ("sender = 'x'", "must be a place in the body"),
        ("agent = 'nobody'", "there is no such agent"),
    ] {
        std::fs::write(&file, format!("[webhooks.w]\n{config}\n")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(["check-config", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{config}: {said}");
        assert!(said.contains(problem), "{config}: {said}");
    }
    let good = "[webhooks.w]\nprincipal = 'default/w'\nsecrets = { now = 'whsec_hush-hush' }\n";
    std::fs::write(&file, good).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["print-config", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(printed.contains("[webhooks.w]") && !printed.contains("hush"));
}

/// Each delivery leaves the one record of its turn, also where its session is there already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_leaves_one_record() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let mut site = Site::with(format!("audit_file = {file:?}\n{CONFIG}"));
    for at in ["1", "2", "3"] {
        let (status, _) = answer(site.hub(at, &issue(at))).await;
        assert_eq!(status, StatusCode::ACCEPTED);
    }
    site.gateway.terminate();
    assert_eq!(site.gateway.wait(), Some(0));
    let records = std::fs::read_to_string(file).unwrap();
    let of_hub = records.lines().filter(|it| it.contains("default/hub"));
    let of_hub: Vec<&str> = of_hub.collect();
    assert_eq!(of_hub.len(), 3, "{records}");
    assert!(
        of_hub
            .iter()
            .all(|it| it.contains("GatewayService/Enqueue"))
    );
}

/// A sender that wants the answer waits for it, a little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_may_wait_for_the_end_of_its_turn() {
    let site = Site::start();
    let waiting = |id: &str, say: &str, wait: &str| {
        let request = site.line(id, say, 0).build().unwrap();
        let mut url = request.url().clone();
        url.set_query(Some(&format!("wait={wait}")));
        let mut request = request;
        *request.url_mut() = url;
        RequestBuilder::from_parts(site.client.clone(), request)
    };
    let (status, ended) = answer(waiting("1", "hello", "20s")).await;
    assert_eq!(
        (status, &ended["state"]),
        (StatusCode::OK, &json!("COMPLETED"))
    );
    assert_eq!(ended["responseText"], "hello");
    // The same once more, at another time: Linear's retry. And what somebody has caught, under another id.
    for (id, off) in [("1", 1000), ("2", 1001)] {
        let (status, again) = answer(site.line(id, "hello", off)).await;
        assert_eq!(
            (status, &again["turnId"], &again["replayed"]),
            (StatusCode::ACCEPTED, &ended["turnId"], &json!(true))
        );
    }
    let (status, failed) = answer(waiting("3", "!fail=no", "20")).await;
    assert_eq!(
        (status, &failed["state"]),
        (StatusCode::OK, &json!("FAILED"))
    );
    // It takes longer than the sender waits.
    let (status, slow) = answer(waiting("4", "!hang", "1s")).await;
    assert_eq!(
        (status, &slow["state"]),
        (StatusCode::ACCEPTED, &json!("RUNNING"))
    );
    for wrong in ["0", "61s", "soon", ""] {
        let (status, _) = answer(waiting("5", "x", wrong)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    // A route that may not read can't tell; no turn is made of it.
    let request = site.hub("w", &issue("x")).build().unwrap();
    let mut url = request.url().clone();
    url.set_query(Some("wait=1s"));
    let mut request = request;
    *request.url_mut() = url;
    let request = RequestBuilder::from_parts(site.client.clone(), request);
    refused(request, StatusCode::FORBIDDEN, "SCOPE_REQUIRED").await;
}
