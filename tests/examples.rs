//! The examples, as their README says to run them, against the real server.
//!
//! Needs `QUARTERDECK_TEST_EXAMPLES`, see `.ci/install-examples`.

mod support;

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::SystemTime,
};
use support::{Gateway, Options, SOON, ended_well, installed};

/// Where the examples' packages stand.
fn packages() -> Option<PathBuf> {
    installed("QUARTERDECK_TEST_EXAMPLES")
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A back end that goes with its test.
struct BackEnd {
    child: Child,
    address: String,
}

impl BackEnd {
    /// Starts one that says where it listens.
    fn start(command: &mut Command, gateway: &Gateway, errors: bool) -> Self {
        let piped = |wanted| {
            if wanted {
                Stdio::piped()
            } else {
                Stdio::null()
            }
        };
        let mut child = command
            .env("QUARTERDECK_URL", &gateway.address)
            .env_remove("QUARTERDECK_KEY")
            .stdin(Stdio::null())
            .stdout(piped(!errors))
            .stderr(piped(errors))
            .spawn()
            .expect("it starts");
        let address = match (child.stdout.take(), child.stderr.take()) {
            (Some(said), _) => address(BufReader::new(said)),
            (None, Some(said)) => address(BufReader::new(said)),
            (None, None) => unreachable!("one is piped"),
        };
        Self { child, address }
    }
}

impl Drop for BackEnd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in what is said, which is read on so that nobody waits.
fn address(said: impl std::io::BufRead + Send + 'static) -> String {
    let mut lines = said.lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("http://127.0.0.1:"));
    let line = line.expect("it says where it listens");
    let address = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    let address = address.expect("an address").to_owned();
    std::thread::spawn(move || lines.count());
    address
}

fn play_page(packages: &Path, back_end: &BackEnd) {
    // Packages are looked for from where a script stands.
    let script = packages.join("page.mjs");
    std::fs::copy(here("tests/examples/page.mjs"), &script).expect("a file");
    let mut node = Command::new(packages.join("node"));
    ended_well(
        &node
            .arg(script)
            .arg(&back_end.address)
            .output()
            .expect("it runs"),
        4,
    );
}

#[test]
fn the_express_back_end_streams_to_a_page() {
    let Some(packages) = packages() else {
        return;
    };
    let gateway = Gateway::start();
    let place = packages.join("express");
    std::fs::copy(
        here("examples/express/server.mjs"),
        place.join("server.mjs"),
    )
    .expect("a file");
    let mut node = Command::new(packages.join("node"));
    let node = node.arg(place.join("server.mjs")).env("PORT", "0");
    play_page(&packages, &BackEnd::start(node, &gateway, false));
}

#[test]
fn the_fastapi_back_end_streams_to_a_page() {
    let Some(packages) = packages() else {
        return;
    };
    let gateway = Gateway::start();
    let mut uvicorn = Command::new(packages.join("python/bin/uvicorn"));
    let uvicorn = uvicorn
        .args(["app:app", "--port", "0"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(here("examples/fastapi"));
    play_page(&packages, &BackEnd::start(uvicorn, &gateway, true));
}

/// Three may wait: the fourth is told to come back, and is taken once there is room.
#[test]
fn the_worker_waits_where_the_queue_is_full() {
    let gateway = Gateway::with(Options {
        config: "queue_limit_turns = 3\n".into(),
        ..Options::default()
    });
    let mut worker = Command::new("python3")
        .arg(here("examples/backoff/worker.py"))
        .arg("fed")
        .env("QUARTERDECK_URL", &gateway.address)
        .env_remove("QUARTERDECK_KEY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let mut lines = String::from("!delay=300ms first prompt of all\n");
    for number in 0..6 {
        lines.push_str(&format!("prompt {number}\n"));
    }
    let mut input = worker.stdin.take().expect("piped");
    input.write_all(lines.as_bytes()).expect("it reads");
    drop(input);
    let output = worker.wait_with_output().expect("it ends");
    ended_well(&output, 7);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("QUEUE_FULL: again in"), "{told}");
    let taken: std::collections::BTreeSet<_> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(taken.len(), 7, "each has a turn of its own");
}

#[test]
fn the_tests_of_a_product_run_against_echo() {
    let output = Command::new("python3")
        .args(["-B", "-m", "unittest", "-v"])
        .current_dir(here("examples/testing"))
        .env("QUARTERDECK", env!("CARGO_BIN_EXE_quarterdeck"))
        .output()
        .expect("python3 is there");
    ended_well(&output, 0);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("Ran 3 tests"), "{told}");
}

/// Twice, since it is run whenever it changes: the schedule of before is brought up to date.
#[test]
fn a_report_is_scheduled_each_night_and_run_now() {
    let gateway = Gateway::start();
    for prompt in ["an old report", "what happened tonight"] {
        let output = Command::new("python3")
            .arg(here("examples/nightly/nightly.py"))
            .arg("--now")
            .env("QUARTERDECK_URL", &gateway.address)
            .env("REPORT_PROMPT", prompt)
            .env_remove("QUARTERDECK_KEY")
            .output()
            .expect("python3 is there");
        ended_well(&output, 2);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.starts_with("next: 20"), "{told}");
        assert!(told.ends_with(&format!("{prompt}\n")), "{told}");
    }
}

/// One that takes a request, answers it, and gives its first line and its JSON.
fn serve(stream: &TcpStream, answer: &Value) -> (String, Value) {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_ascii_lowercase());
    }
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |it| it.parse().expect("a number"))];
    reader.read_exact(&mut body).expect("a body");
    let answer = answer.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    let mut stream = stream;
    write!(
        stream,
        "{head}\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    )
    .expect("sent");
    let body = serde_json::from_slice(&body).expect("JSON");
    (lines.swap_remove(0), body)
}

/// A mention comes from Slack, signed; the answer goes to its channel, also where Slack refuses it at first.
#[test]
fn the_slack_bot_answers_in_the_channel() {
    let secret = "Slack's signing secret";
    let config = format!(
        "webhook_private_addresses = true\n[webhooks.slack]\nkind = \"slack\"\nsecrets = {{ now = \"{secret}\" }}\n\
         principal = \"default/local\"\nsession_key = \"slack:{{/event/channel}}\"\ntext = \"{{/event/text}}\"\n"
    );
    let gateway = Gateway::with(Options {
        config,
        ..Options::default()
    });
    let slack = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = slack.local_addr().expect("an address");
    let (posts, posted) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        let answers = [
            json!({"ok": false, "error": "ratelimited"}),
            json!({"ok": true}),
        ];
        for answer in answers {
            let Ok((stream, _)) = slack.accept() else {
                return;
            };
            if posts.send(serve(&stream, &answer)).is_err() {
                return;
            }
        }
    });
    let mut python = Command::new("python3");
    let python = python
        .args(["-B", "-u"])
        .arg(here("examples/slack/bot.py"))
        .env("PORT", "0")
        .env("SLACK_API", format!("http://{address}"))
        .env("SLACK_BOT_TOKEN", "xoxb-none")
        .env(
            "BOT_SECRET",
            "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        );
    let bot = BackEnd::start(python, &gateway, false);

    let event =
        json!({"type": "app_mention", "user": "U1", "channel": "C42", "text": "ahoy there"});
    let body = json!({"type": "event_callback", "event_id": "Ev1", "event": event}).to_string();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let time = now.expect("after 1970").as_secs();
    let mut made = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    made.update(format!("v0:{time}:{body}").as_bytes());
    let bytes = made.finalize().into_bytes();
    let signature: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let sent = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--data", &body])
        .args(["--header", "content-type: application/json"])
        .args(["--header", &format!("x-slack-request-timestamp: {time}")])
        .args(["--header", &format!("x-slack-signature: v0={signature}")])
        .arg(format!("{}/webhooks/slack", gateway.address))
        .output()
        .expect("curl is there");
    ended_well(&sent, 0);
    for _ in 0..2 {
        let (line, said) = posted.recv_timeout(SOON).expect("it is posted");
        assert_eq!(line, "post /chat.postmessage http/1.1");
        assert_eq!(said, json!({"channel": "C42", "text": "ahoy there"}));
    }
    // Nobody but the gateway makes it say something.
    let forged = Command::new("curl")
        .args([
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ])
        .args(["--data", "{}", &bot.address])
        .output()
        .expect("curl is there");
    assert_eq!(String::from_utf8_lossy(&forged.stdout), "401");
}
