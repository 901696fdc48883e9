//! The examples, as their README says to run them, against the real server.
//!
//! Needs `QUARTERDECK_TEST_EXAMPLES`, see `.ci/install-examples`.

mod support;

use std::{
    io::{BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use support::{Gateway, Options, ended_well, installed};

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
