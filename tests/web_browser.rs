//! gRPC-web from pages in a real browser: what a page of a listed origin can do, and what a stranger's can't.
//!
//! Needs `QUARTERDECK_TEST_BROWSER`, see `.ci/install-browser`.

mod support;

use axum::{Router, http::header, routing::get};
use quarterdeck::{
    listener::{Listener, ListenerOptions, Serving},
    proto::DESCRIPTORS,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use support::{Gateway, Options};

/// A server of the page, at an origin of its own.
struct Site {
    origin: String,
    _serving: Serving,
}

impl Site {
    async fn start(script: String) -> Self {
        let listener = Listener::bind(ListenerOptions::default()).await.unwrap();
        let origin = format!("http://{}", listener.local_addr());
        let serving = listener.serve(move |_| {
            let script = script.clone();
            let html = "<!doctype html><title>page</title><script src=/page.js></script><body>";
            let as_html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            let as_script = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
            Router::new()
                .route("/", get((as_html, html)))
                .route("/page.js", get((as_script, script)))
                .route("/contract.binpb", get(DESCRIPTORS))
        });
        Self {
            origin,
            _serving: serving,
        }
    }

    fn page(&self, gateway: &Gateway, key: &str) -> String {
        format!("{}/?gateway={}&key={key}", self.origin, gateway.address)
    }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web")
}

/// The page's script with everything that it imports.
fn bundle(browser: &Path) -> String {
    let output = Command::new(browser.join("node_modules/.bin/esbuild"))
        .arg(here().join("page.js"))
        .args(["--bundle", "--format=iife", "--log-level=warning"])
        .env("NODE_PATH", browser.join("node_modules"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the steps in one browser.
fn drive(browser: &Path, steps: Value) -> Vec<Value> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut driver = Command::new("node")
        .arg(here().join("drive.cjs"))
        .arg(browser.join("chromium"))
        .arg(target.join("web_browser"))
        .env("NODE_PATH", browser.join("node_modules"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = driver.stdin.take().unwrap();
    input.write_all(steps.to_string().as_bytes()).unwrap();
    drop(input);
    let output = driver.wait_with_output().unwrap();
    assert!(output.status.success(), "the browser's script failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_page_of_a_listed_origin_calls_and_a_strangers_does_not() {
    let Some(browser) = std::env::var_os("QUARTERDECK_TEST_BROWSER").map(PathBuf::from) else {
        eprintln!("skipped: QUARTERDECK_TEST_BROWSER is not set, see .ci/install-browser");
        return;
    };
    let script = bundle(&browser);
    let listed = Site::start(script.clone()).await;
    let stranger = Site::start(script).await;
    let gateway = Gateway::with(Options {
        config: format!(
            "grpc_web = true\ngrpc_web_origins = [\"{}\"]\n",
            listed.origin
        ),
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let key = std::fs::read_to_string(gateway.data().join("admin.key")).unwrap();
    let page = listed.page(&gateway, key.trim());
    let keyless = listed.page(&gateway, "");
    // Even one who got hold of the key.
    let strange = stranger.page(&gateway, key.trim());
    let steps = json!([
        [page, "unary", "web-unary"],
        [page, "stream", "web-stream"],
        [page, "refused", null],
        [page, "abort", "web-abort"],
        [page, "deadline", "web-deadline"],
        [strange, "foreign", "web-foreign"],
        [keyless, "find", "web-unary"],
        [page, "find", "web-unary"],
        [page, "find", "web-foreign"],
    ]);
    let results = tokio::task::spawn_blocking(move || drive(&browser, steps)).await;
    let results = results.unwrap();
    let [
        unary,
        stream,
        refused,
        abort,
        deadline,
        foreign,
        keyless,
        found,
        missing,
    ] = results.as_slice()
    else {
        panic!("{results:?}")
    };

    assert_eq!(unary, "hello from a page");

    // The tokens came one by one: 60 ms lie between them at the agent.
    let tokens = stream["tokens"].as_array().unwrap();
    let text: String = tokens.iter().filter_map(|it| it[0].as_str()).collect();
    assert_eq!(text, "one two three four five");
    assert_eq!(stream["completed"], text);
    let times: Vec<f64> = tokens.iter().filter_map(|it| it[1].as_f64()).collect();
    let spread = times[times.len() - 1] - times[0];
    assert!(spread > 150.0, "all within {spread} ms: {tokens:?}");

    assert_eq!(refused["code"], "InvalidArgument");
    let details = refused["details"].as_str().unwrap();
    assert!(details.contains("google.rpc.ErrorInfo") && details.contains("INVALID_FIELD"));
    assert!(details.contains("google.rpc.BadRequest") && details.contains("session_key"));

    assert_eq!(abort, "Canceled");
    assert_eq!(deadline, "DeadlineExceeded");

    // The stranger learned nothing, and left nothing behind.
    assert_eq!(foreign["code"], "Unknown", "{foreign}");
    assert_eq!(foreign["plain"], "opaque", "{foreign}");
    assert_eq!(missing, "NotFound");
    assert_eq!(found, "web-unary");
    // The preflight passes without a key; the call does not.
    assert_eq!(keyless, "Unauthenticated");
}
