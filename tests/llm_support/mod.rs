//! A scripted model and a server of tools on the loopback.

#![allow(dead_code, reason = "every test file uses its own part")]

use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

/// A scripted model, `tests/fixtures/fake_llm.py`; it ends with its test.
pub struct Model {
    process: Child,
    port: u16,
}

impl Model {
    pub fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fake_llm.py");
        Self::launch("python3", &[script, "until-eof"])
    }

    fn launch(program: &str, words: &[&str]) -> Self {
        let mut process = Command::new(program)
            .args(words)
            // Closed when the test's process ends, however it does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests need python3, some of them node");
        let output = process.stdout.take().expect("it is piped");
        let port = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ")?.trim().parse().ok())
            .expect("it says where it listens");
        Self { process, port }
    }

    /// The address that its paths stand behind.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// The same, where it lists its models: `fake-1` and `fake-2`.
    pub fn listing_url(&self) -> String {
        format!("http://127.0.0.1:{}/listed/v1", self.port)
    }

    /// Every call so far: its path, headers and body, and whether the caller left before the end.
    pub fn calls(&self) -> Vec<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream
            .write_all(b"GET /calls HTTP/1.1\r\nhost: model\r\nconnection: close\r\n\r\n")
            .expect("it is asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("a list")
    }
}

/// A server of tools on the loopback, `tests/fixtures/mcp_server.py`.
pub struct Shed(Model);

impl Shed {
    pub fn start(words: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mcp_server.py");
        Self(Model::launch("python3", &[&[script], words].concat()))
    }

    /// A server of the official SDK, `tests/fixtures/mcp_server.mjs`; `None` where `QUARTERDECK_TEST_MCP` names none.
    pub fn official() -> Option<Self> {
        let Ok(directory) = std::env::var("QUARTERDECK_TEST_MCP") else {
            eprintln!(
                "QUARTERDECK_TEST_MCP is not set: a server of the official SDK is not tested"
            );
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mcp_server.mjs");
        Some(Self(Model::launch("node", &[script, &directory])))
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.0.port)
    }

    /// Every message so far, with the headers of its request.
    pub fn all(&self) -> Vec<Value> {
        self.0.calls()
    }

    /// The messages of a method so far.
    pub fn messages(&self, method: &str) -> Vec<Value> {
        let messages = self.all().into_iter().map(|mut it| it["message"].take());
        messages.filter(|it| it["method"] == method).collect()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
