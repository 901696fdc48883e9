//! `/openapi.json`, held against the server by a tool that nobody here wrote: it makes calls of what the document says, well
//! and badly formed, and looks whether the answers are as described. Needs QUARTERDECK_TEST_SCHEMATHESIS.

mod support;

use quarterdeck::grpc::methods::METHODS;
use std::process::Command;
use support::{Gateway, Options, installed};

/// What every answer is held to. Whether a well-formed call is let in depends on more than its form (which sessions there
/// are, for one), a null stands for what is left out, as JSON of protocol buffers has it, and who tries keys is told to wait:
/// none of these is looked at.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,response_headers_conformance,unsupported_method,missing_required_header,use_after_free";
/// Calls of each endpoint beside those that cover its form, and time for one.
const CALLS_EACH: &str = "5";
const CALL_TIMEOUT: &str = "20";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_as_the_document_says() {
    let Some(program) = installed("QUARTERDECK_TEST_SCHEMATHESIS") else {
        return;
    };
    let mut gateway = Gateway::with(Options {
        // Its calls come quicker than people's, and many are refused.
        config: "principal_requests_per_second = 0\ntenant_requests_per_second = 0\n".into(),
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let key = std::fs::read_to_string(gateway.data().join("admin.key")).expect("a key");
    let document = format!("{}/openapi.json", gateway.address);
    // A stream that nothing happens on does not end; other tests read them. And this key is needed.
    let streams = METHODS
        .iter()
        .filter(|it| it.streams && it.path.starts_with("/quarterdeck.v1."));
    let left_out = streams.map(|it| it.name()).chain(["RevokeApiKey"]);
    let left_out: Vec<_> = left_out
        .flat_map(|name| ["--exclude-operation-id", name])
        .collect();
    // It keeps notes where it runs.
    let notes = tempfile::tempdir().expect("a directory");
    let tested = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .current_dir(notes.path())
            .args(["run", &document, "--checks", CHECKS])
            .args(["--phases", "examples,coverage,fuzzing"])
            .args([
                "--max-examples",
                CALLS_EACH,
                "--request-timeout",
                CALL_TIMEOUT,
            ])
            .args(left_out)
            .args([
                "--generation-deterministic",
                "--continue-on-failure",
                "--no-color",
            ])
            .args(["--suppress-health-check", "all"])
            .arg("--header")
            .arg(format!("Authorization: Bearer {}", key.trim()))
            .output()
    });
    let tested = tested.await.expect("no panic").expect("it runs");
    let said = String::from_utf8_lossy(&tested.stdout);
    let told = String::from_utf8_lossy(&tested.stderr);
    assert!(tested.status.success(), "{said}\n{told}");
    assert!(said.contains("generated"), "it made calls: {said}");
    gateway.check_store();
}
