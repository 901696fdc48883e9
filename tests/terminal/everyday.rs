//! Errors, lists and waits, as people and scripts meet them.

use crate::{
    support::{Gateway, Options},
    tty::Run,
};
use serde_json::Value;
use std::{
    io::Read as _,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

fn command(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
    command
        .args(arguments)
        .env("QUARTERDECK_ADDR", address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(gateway: &Gateway, arguments: &[&str]) -> Output {
    let output = command(&gateway.address, arguments).output();
    output.expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn errors_under_json_are_json_with_every_field_that_is_wrong() {
    let gateway = Gateway::start();
    let wrong = ["send", "no such key!", " ", "--agent", "nobody", "--json"];
    let refused = output(&gateway, &wrong);
    assert_eq!(refused.status.code(), Some(65));
    assert_eq!(text(&refused.stdout), "");
    let error: Value = serde_json::from_slice(&refused.stderr).expect("one JSON object");
    let error = &error["error"];
    assert_eq!(error["code"], "INVALID_ARGUMENT");
    assert_eq!(error["reason"], "INVALID_FIELD");
    assert_eq!(error["exit_code"], 65);
    let fields: Vec<&str> = error["fields"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["field"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        fields,
        ["enqueue.session_key", "enqueue.text", "enqueue.agent"]
    );
    // For people, each of them too.
    let told = text(&output(&gateway, &wrong[..wrong.len() - 1]).stderr);
    for field in fields {
        assert!(told.contains(field), "{told}");
    }
    let nobody = output(&gateway, &["history", "nobody", "--json"]);
    let error: Value = serde_json::from_slice(&nobody.stderr).expect("one JSON object");
    assert_eq!(error["error"]["reason"], "SESSION_NOT_FOUND");
    // A wrong command line, and no server at all.
    let usage = output(&gateway, &["history", "--nonsense", "--json"]);
    assert_eq!(usage.status.code(), Some(64));
    let error: Value = serde_json::from_slice(&usage.stderr).expect("one JSON object");
    assert_eq!(error["error"]["exit_code"], 64);
    let away = command("http://127.0.0.1:1", &["sessions", "--json"]);
    let away = { away }.output().expect("it runs");
    let error: Value = serde_json::from_slice(&away.stderr).expect("one JSON object");
    assert_eq!(error["error"]["exit_code"], 69);
}

#[tokio::test]
async fn lists_have_names_above_their_columns_and_empty_ones_say_so() {
    let gateway = Gateway::start();
    for (arguments, names, empty) in [
        (&["sessions", "--prefix", "x"][..], "SESSION", "no sessions"),
        (&["queue", "main"], "TURN", "no turn waits"),
        (&["channels"], "PRINCIPAL", "nobody is connected"),
        (&["keys", "list"], "KEY", "no API keys"),
        (&["memory", "list"], "ID", "no memories"),
        (&["memory", "search", "fish"], "SCORE", "nothing was found"),
        (&["history", "main"], "", "no messages"),
        (
            &["logs", "--no-follow", "--target", "nothing"],
            "",
            "no such records",
        ),
    ] {
        let none = output(&gateway, arguments);
        assert_eq!(none.status.code(), Some(0), "{arguments:?}");
        assert_eq!(text(&none.stdout), "", "{arguments:?}");
        assert!(
            text(&none.stderr).contains(empty),
            "{arguments:?}: {}",
            text(&none.stderr)
        );
        // Scripts get nothing.
        let json = output(&gateway, &[arguments, &["--json"]].concat());
        assert_eq!((text(&json.stdout), text(&json.stderr)), Default::default());
        if arguments[0] == "sessions" {
            output(&gateway, &["send", "x1", "hello"]);
            let some = text(&output(&gateway, arguments).stdout);
            assert!(some.starts_with(names) && some.contains("\nx1 "), "{some}");
        }
        if arguments == ["memory", "list"] {
            output(&gateway, &["memory", "remember", "fish swim"]);
            let some = text(&output(&gateway, arguments).stdout);
            assert!(
                some.starts_with(names) && some.contains("fish swim"),
                "{some}"
            );
            output(&gateway, &["memory", "forget", "--name", "nothing"]);
            let id = some.lines().nth(1).and_then(|it| it.split(' ').next());
            output(
                &gateway,
                &["memory", "forget", "--hard", id.expect("an id")],
            );
        }
    }
}

#[tokio::test]
async fn no_colour_is_shown_where_none_is_wanted() {
    let gateway = Gateway::start();
    output(&gateway, &["send", "main", "!think=let_me_see hello"]);
    let history = |variables: &[(&str, &str)]| {
        let mut run =
            Run::new(&["history", "main"]).environment("QUARTERDECK_ADDR", &gateway.address);
        for (name, value) in variables {
            run = run.environment(name, value);
        }
        let ran = run.go();
        assert!(ran.output.contains("let me see"), "{}", ran.output);
        ran.output
    };
    assert!(history(&[]).contains("\x1b["));
    assert!(history(&[("NO_COLOR", "")]).contains("\x1b["));
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        assert!(!history(&variables).contains('\x1b'), "{variables:?}");
    }
}

/// The nearest word to `delete` must not be one that destroys something else.
#[tokio::test]
async fn delete_deletes_and_is_taken_for_nothing_else() {
    let gateway = Gateway::start();
    output(&gateway, &["send", "gone", "hello"]);
    assert_eq!(
        text(&output(&gateway, &["delete", "gone"]).stdout),
        "deleted gone\n"
    );
    assert_eq!(
        output(&gateway, &["history", "gone"]).status.code(),
        Some(66)
    );
    let refused = output(&gateway, &["delete", "main"]);
    assert!(text(&refused.stderr).contains("PRIMARY_SESSION"));
    // It never acts on a session that was not named.
    assert_eq!(output(&gateway, &["delete"]).status.code(), Some(64));
    for mistyped in ["delet", "remove", "dele", "resent"] {
        let told = text(&output(&gateway, &[mistyped, "main"]).stderr);
        assert_eq!(
            told.contains("'reset'"),
            mistyped == "resent",
            "{mistyped}: {told}"
        );
    }
}

/// Reads from a child's standard output until it holds a text.
fn until(child: &mut Child, wanted: &str) {
    let mut read = String::new();
    let output = child.stdout.as_mut().expect("piped");
    while !read.contains(wanted) {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).expect("readable"), 1, "{read}");
        read.push(char::from(byte[0]));
    }
}

#[tokio::test]
async fn a_send_whose_server_is_gone_ends_in_time_and_tells_what_was_accepted() {
    for (stop, code) in [("dies", 69), ("drains", 75)] {
        let mut gateway = Gateway::with(Options {
            config: "drain_timeout = \"1s\"\n".into(),
            ..Options::default()
        });
        let arguments = [
            "send",
            "left",
            "!delay=100ms !repeat=500 tick",
            "--timeout",
            "2s",
        ];
        let mut child = command(&gateway.address, &arguments)
            .spawn()
            .expect("it runs");
        until(&mut child, "tick");
        if stop == "dies" {
            gateway.kill();
        } else {
            gateway.terminate();
            gateway.wait();
        }
        let began = Instant::now();
        let output = child.wait_with_output().expect("it ends");
        assert!(began.elapsed() < Duration::from_secs(60), "{stop}");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stop}: {told}");
        if stop == "drains" {
            // The drain told how the turn ended.
            assert!(told.contains("interrupted: DRAINING"), "{told}");
            continue;
        }
        assert!(told.contains("is away for 2s: turn "), "{stop}: {told}");
        assert!(told.contains("was accepted"), "{stop}: {told}");
        assert!(told.contains("quarterdeck history left"), "{stop}: {told}");
    }
}

#[tokio::test]
async fn ctrl_c_says_how_the_turn_is_stopped() {
    let gateway = Gateway::start();
    let run = Run::new(&["send", "named", "!delay=100ms !repeat=500 tick"])
        .environment("QUARTERDECK_ADDR", &gateway.address)
        .then("tick", "\x03");
    let ran = tokio::task::spawn_blocking(|| run.go())
        .await
        .expect("it ran");
    assert_eq!(ran.code, 130, "{}", ran.output);
    assert!(
        ran.output.contains("`quarterdeck abort named` stops it"),
        "{}",
        ran.output
    );
}

/// Who asks for a directory that is not allowed is told what allows it.
#[tokio::test]
async fn a_refused_directory_names_what_allows_it() {
    let gateway = Gateway::start();
    let refused = output(&gateway, &["send", "here", "hello", "--cwd", "/usr"]);
    let told = text(&refused.stderr);
    assert!(
        told.contains("--allow-cwd DIR") && told.contains("--cwd DIR"),
        "{told}"
    );
}

/// The server says where the console is and where the key is, and still prints one line for scripts.
#[tokio::test]
async fn serve_says_where_to_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log",
            "error",
            "--data-dir",
            "data",
        ])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).expect("a file"))
        .spawn()
        .expect("it runs");
    until(&mut child, "\n");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut told = String::new();
    while !told.contains("admin.key") && Instant::now() < deadline {
        told = std::fs::read_to_string(&log).expect("readable");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    child.kill().expect("ours");
    child.wait().expect("ours");
    assert!(told.contains("console: http://127.0.0.1:"), "{told}");
    assert!(told.contains("key: in the file data/admin.key"), "{told}");
}
