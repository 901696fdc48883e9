//! The official libraries of all schemes, in Node and Python: what they sign is taken, what they refuse is refused, and they
//! take what is sent.

mod support;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use quarterdeck::proto::{self, webhook_service_client::WebhookServiceClient};
use reqwest::{Client, StatusCode};
use serde_json::{Map, Value, json};
use std::{
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::SystemTime,
};
use support::{Gateway, Options, SOON, installed, run};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tonic::transport::Channel;

/// A program that asks libraries, line by line.
struct Libraries {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    script: Option<PathBuf>,
}

impl Libraries {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        Self {
            input: child.stdin.take().expect("piped"),
            output: BufReader::new(child.stdout.take().expect("piped")),
            child,
            script: None,
        }
    }

    fn node(directory: &Path) -> Self {
        // Packages are looked for from where a script stands. Each test has a copy of its own.
        let there = directory.join(format!("libraries-{}.mjs", uuid::Uuid::now_v7()));
        std::fs::copy("tests/webhook_libraries/libraries.mjs", &there).expect("a file");
        let mut command = Command::new(directory.join("node"));
        command.arg(&there);
        let mut started = Self::start(command);
        started.script = Some(there);
        started
    }

    fn python(directory: &Path) -> Self {
        let mut command = Command::new(directory.join("python/bin/python"));
        command.arg("tests/webhook_libraries/libraries.py");
        Self::start(command)
    }

    fn ask(&mut self, case: &Value) -> Value {
        writeln!(self.input, "{case}").expect("it reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{case}: {line:?}"))
    }

    fn is_valid(&mut self, library: &str, secret: &str, headers: &Value, body: &str) -> bool {
        let case = json!({
            "do": "verify", "library": library, "secret": secret, "headers": headers, "body": body,
        });
        self.ask(&case)["valid"] == true
    }
}

impl Drop for Libraries {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(script) = &self.script {
            let _ = std::fs::remove_file(script);
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs().cast_signed()
}

/// Kind of route, library, program: 0 Node, 1 Python.
const SCHEMES: [(&str, &str, usize); 10] = [
    ("standard", "standardwebhooks", 0),
    ("standard", "standardwebhooks", 1),
    ("standard", "svix", 0),
    ("standard", "svix", 1),
    ("github", "octokit", 0),
    ("stripe", "stripe", 0),
    ("stripe", "stripe", 1),
    ("slack", "slack", 0),
    ("slack", "slack", 1),
    ("linear", "linear", 0),
];

fn secret_of(kind: &str) -> String {
    match kind {
        "standard" => format!("whsec_{}", STANDARD.encode([5; 32])),
        other => format!("a secret of {other}"),
    }
}

async fn post(client: &Client, url: &str, headers: &Value, body: &str) -> StatusCode {
    let mut request = client.post(url).header("content-type", "application/json");
    for (name, value) in headers.as_object().expect("headers") {
        request = request.header(name, value.as_str().expect("text"));
    }
    let answer = request.body(body.to_owned()).send().await;
    answer.expect("an answer").status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_official_libraries_sign_is_taken_and_what_they_refuse_is_refused() {
    let Some(directory) = installed("QUARTERDECK_TEST_WEBHOOKS") else {
        return;
    };
    let mut programs = [Libraries::node(&directory), Libraries::python(&directory)];
    let mut config = String::new();
    for kind in ["standard", "github", "stripe", "slack", "linear"] {
        config.push_str(&format!(
            "[webhooks.{kind}]\nkind = \"{kind}\"\nsecrets = {{ now = \"{}\" }}\nprincipal = \"default/{kind}\"\n",
            secret_of(kind)
        ));
    }
    let gateway = Gateway::with(Options {
        config,
        ..Options::default()
    });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().timeout(SOON).build().expect("a client");
    for (at, (kind, library, program)) in SCHEMES.into_iter().enumerate() {
        let url = format!("{}/webhooks/{kind}", gateway.address);
        let program = &mut programs[program];
        let (secret, time) = (secret_of(kind), now());
        let body_at = |time: i64| {
            json!({ "id": format!("evt_{at}"), "object": "event", "type": "x", "event_id": at.to_string(),
                    "webhookTimestamp": time * 1000 })
            .to_string()
        };
        let mut sign = |secret: &str, time: i64, body: &str| {
            let case = json!({
                "do": "sign", "library": library, "secret": secret, "id": format!("msg_{at}"),
                "time": time, "body": body,
            });
            program.ask(&case)["headers"].clone()
        };
        let body = body_at(time);
        let right = sign(&secret, time, &body);
        let (old, coming) = (time - 400, time + 400);
        let mut cases = vec![
            ("right", right.clone(), body.clone(), true),
            (
                "another body",
                right.clone(),
                body.replace("\"x\"", "\"y\""),
                false,
            ),
            (
                "another secret",
                sign(&other(&secret), time, &body),
                body.clone(),
                false,
            ),
            ("no signature", json!(emptied(&right)), body.clone(), false),
        ];
        if kind != "github" {
            cases.push((
                "old",
                sign(&secret, old, &body_at(old)),
                body_at(old),
                false,
            ));
        }
        if kind == "standard" {
            cases.push(("to come", sign(&secret, coming, &body), body.clone(), false));
        }
        for (case, headers, body, valid) in cases {
            let theirs = program.is_valid(library, &secret, &headers, &body);
            assert_eq!(theirs, valid, "{library}, {case}: what the library says");
            let ours = post(&client, &url, &headers, &body).await;
            assert_eq!(ours.is_success(), valid, "{library}, {case}: {ours}");
            if !valid {
                let refused = [StatusCode::UNAUTHORIZED, StatusCode::CONFLICT];
                assert!(refused.contains(&ours), "{library}, {case}: {ours}");
            }
        }
    }
}

/// Another secret of the same form.
fn other(secret: &str) -> String {
    match secret.starts_with("whsec_") {
        true => format!("whsec_{}", STANDARD.encode([6; 32])),
        false => format!("{secret}!"),
    }
}

/// The same headers, their values without what they say.
fn emptied(headers: &Value) -> Map<String, Value> {
    let all = headers.as_object().expect("headers").clone();
    let pairs = all
        .into_iter()
        .map(|(name, value)| match name.contains("signature") {
            true => (name, json!("none")),
            false => (name, value),
        });
    pairs.collect()
}

/// Takes one delivery, as it stands on the wire.
async fn take(listener: &TcpListener) -> (Value, String) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.expect("bytes");
        text.extend_from_slice(&piece[..read]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else {
            continue;
        };
        let headers: Map<String, Value> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), json!(value)))
            .collect();
        let length: usize = headers["content-length"].as_str().unwrap().parse().unwrap();
        if body.len() >= length {
            let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.expect("it reads");
            return (Value::Object(headers), body.to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_libraries_take_what_is_sent() {
    let Some(directory) = installed("QUARTERDECK_TEST_WEBHOOKS") else {
        return;
    };
    let mut programs = [Libraries::node(&directory), Libraries::python(&directory)];
    let gateway = Gateway::with(Options {
        config: "webhook_private_addresses = true\n".into(),
        ..Options::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let secrets = [8, 9].map(|of: u8| format!("whsec_{}", STANDARD.encode([of; 24])));
    let channel = Channel::from_shared(gateway.address.clone()).expect("an address");
    let mut service = WebhookServiceClient::new(channel.connect().await.expect("it serves"));
    let request = proto::CreateWebhookRequest {
        webhook: Some(proto::Webhook {
            url: format!("http://{}/hook", listener.local_addr().expect("bound")),
            kinds: vec!["turn_ended".into()],
            payload: proto::WebhookPayload::Full.into(),
            ..Default::default()
        }),
        secrets: secrets.to_vec(),
        ..Default::default()
    };
    service.create_webhook(request).await.expect("made");
    let mut client = gateway.client().await;
    run(&mut client, "s", "ünïcode ✓").await;
    let (headers, body) = take(&listener).await;
    let libraries = ["standardwebhooks", "svix"];
    let all = libraries.into_iter().flat_map(|it| [(it, 0), (it, 1)]);
    for (library, program) in all {
        let program = &mut programs[program];
        for secret in &secrets {
            assert!(
                program.is_valid(library, secret, &headers, &body),
                "{library}: {headers}"
            );
        }
        assert!(!program.is_valid(library, &other(&secrets[0]), &headers, &body));
        assert!(!program.is_valid(library, &secrets[0], &headers, &format!("{body} ")));
    }
}
