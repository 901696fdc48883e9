//! Others' suites and others' clients against this server: people who never saw it decide what is right.
//!
//! `connectconformance`, the interop client of grpc-go and `h2spec` need a service of their own; `peers/server` gives them
//! one behind our listener and our layers. Python's grpcio and Node's grpc-js call the built binary.
//!
//! Needs `QUARTERDECK_TEST_PEERS`; `.ci/peers` sets it, runs this, and shows what each suite counted.

mod support;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use support::{Gateway, Options};

/// Test cases of grpc-go's client that need no account at a cloud. It sends messages of 271 828 bytes and asks for
/// 314 159, within our 1 MiB.
const INTEROP: [&str; 14] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
];
/// What h2spec finds, by the beginning of its line, and why that is so.
const H2SPEC_EXPECTED: [(&str, &str); 1] = [(
    "Sends invalid connection preface",
    "HTTP/1.1 shares the port: what is no preface is answered `400 Bad Request`, then the connection is closed",
)];

/// The directory of the installed suites; `None` passes the test over.
fn peers() -> Option<PathBuf> {
    let installed = std::env::var_os("QUARTERDECK_TEST_PEERS");
    if installed.is_none() {
        eprintln!("skipped: QUARTERDECK_TEST_PEERS is not set, see .ci/install-peers");
    }
    installed.map(PathBuf::from)
}

/// The server for suites; `cargo build --example peers-server` makes it.
fn peers_server() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let target = this.parent().and_then(Path::parent).unwrap();
    let server = target.join("examples/peers-server");
    assert!(
        server.exists(),
        "run `cargo build --example peers-server` first"
    );
    server
}

/// Runs a program to its end; returns what it said.
fn run(command: &mut Command) -> (bool, String) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// The server for suites, as long as it is needed.
struct PeersServer {
    child: Child,
    address: String,
}

impl PeersServer {
    fn start() -> Self {
        let mut child = Command::new(peers_server())
            .arg("interop")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        Self {
            address: address.to_owned(),
            child,
        }
    }

    fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }
}

impl Drop for PeersServer {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `mode`: `conformance` or `bare`, see `peers/server`. The files say which cases must fail, or may, each with the reason.
fn conformance(protocol: &str, mode: &str, failing: &[&str], flaky: &[&str]) {
    let Some(peers) = peers() else { return };
    let mut suite = Command::new(peers.join("bin/connectconformance"));
    suite
        .arg("--conf")
        .arg(here().join(format!("{protocol}.yaml")))
        .args(["--mode", "server"]);
    // The suite reads one file of each kind only.
    for (flag, files) in [("--known-failing", failing), ("--known-flaky", flaky)] {
        for file in files {
            let text = std::fs::read_to_string(here().join(file)).unwrap();
            let patterns = text
                .lines()
                .filter(|it| !it.is_empty() && !it.starts_with('#'));
            patterns.for_each(|pattern| {
                suite.args([flag, pattern]);
            });
        }
    }
    let (passed, said) = run(suite.arg("--").arg(peers_server()).arg(mode));
    let summary: Vec<&str> = said
        .lines()
        .skip_while(|line| !line.starts_with("Total cases"))
        .collect();
    println!(
        "connectconformance, {protocol}, {mode}: {}",
        summary.join("; ")
    );
    assert!(passed, "{said}");
    assert!(said.contains("Total cases"), "{said}");
}

#[test]
fn grpc_conforms() {
    conformance("grpc", "bare", &["known-failing.txt"], &[]);
}

#[test]
fn grpc_web_conforms() {
    conformance("grpc-web", "bare", &["known-failing.txt"], &[]);
}

#[test]
fn grpc_conforms_but_for_the_details_of_our_errors() {
    let failing = ["known-failing.txt", "known-failing-details.txt"];
    conformance("grpc", "conformance", &failing, &["known-flaky.txt"]);
}

#[test]
fn grpc_web_conforms_but_for_the_details_of_our_errors() {
    let failing = ["known-failing.txt", "known-failing-details.txt"];
    conformance("grpc-web", "conformance", &failing, &["known-flaky.txt"]);
}

#[test]
fn the_client_of_grpc_go_is_served() {
    let Some(peers) = peers() else { return };
    let server = PeersServer::start();
    for case in INTEROP {
        let (passed, said) = run(Command::new(peers.join("bin/grpc-go-interop")).args([
            "--server_host=127.0.0.1",
            &format!("--server_port={}", server.port()),
            &format!("--test_case={case}"),
        ]));
        assert!(passed, "{case}: {said}");
    }
    println!("grpc-go interop client: {} cases passed", INTEROP.len());
}

#[test]
fn http2_is_spoken_as_h2spec_reads_the_rfc() {
    let Some(peers) = peers() else { return };
    let server = PeersServer::start();
    let mut h2spec = Command::new(peers.join("bin/h2spec"));
    h2spec.args(["-h", "127.0.0.1", "-p", server.port(), "--strict"]);
    let (_, said) = run(&mut h2spec);
    // Failures are listed once more at the end, after this word.
    let (_, failures) = said.split_once("Failures:").unwrap_or(("", ""));
    let failures: Vec<&str> = failures
        .lines()
        .filter_map(|line| line.trim().strip_prefix("× "))
        .map(|line| line.split_once(": ").map_or(line, |(_, name)| name))
        .collect();
    let counted = said.lines().find(|line| line.contains(" tests, "));
    println!("h2spec: {}", counted.expect("h2spec counts"));
    let expected: Vec<&str> = H2SPEC_EXPECTED.iter().map(|(name, _)| *name).collect();
    assert_eq!(failures, expected, "{said}");
}

#[test]
fn grpcio_calls_the_server_from_its_reflection() {
    let Some(peers) = peers() else { return };
    let (gateway, key) = gateway_with_key();
    caller(
        "grpcio",
        Command::new(peers.join("python/bin/python"))
            .arg(here().join("caller.py"))
            .args([address(&gateway), &key]),
    );
}

#[test]
fn grpc_js_calls_the_server_from_its_proto_files() {
    let Some(peers) = peers() else { return };
    let (gateway, key) = gateway_with_key();
    // Node looks for packages beside the script.
    let script = peers.join("node/caller.mjs");
    std::fs::copy(here().join("caller.mjs"), &script).unwrap();
    caller(
        "grpc-js",
        Command::new("node")
            .arg(script)
            .arg(address(&gateway))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("proto"))
            .arg(key),
    );
}

/// A server that asks callers for a key, and the key of its local user.
fn gateway_with_key() -> (Gateway, String) {
    let gateway = Gateway::with(Options {
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let key = std::fs::read_to_string(gateway.data().join("admin.key")).unwrap();
    (gateway, key.trim().to_owned())
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

fn address(gateway: &Gateway) -> &str {
    gateway.address.strip_prefix("http://").unwrap()
}

fn caller(name: &str, command: &mut Command) {
    let (passed, said) = run(command);
    assert!(passed, "{said}");
    println!("{name}: {}", said.lines().last().unwrap());
}
