//! The command line where no server is needed: help, configuration, and how failures are told.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const VERBS: [&str; 19] = [
    "serve",
    "chat",
    "send",
    "watch",
    "steer",
    "abort",
    "reset",
    "delete",
    "audit",
    "sessions",
    "history",
    "queue",
    "whoami",
    "keys",
    "backup",
    "restore",
    "check",
    "check-config",
    "print-config",
];

fn quarterdeck(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .current_dir(directory)
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn every_command_has_help_and_the_prompting_ones_tell_the_directives() {
    let directory = tempfile::tempdir().expect("a directory");
    for verb in VERBS {
        let output = quarterdeck(directory.path(), &[verb, "--help"], &[]);
        assert_eq!(code(&output), 0, "{verb}");
        let help = text(&output.stdout);
        assert!(help.contains("Usage: quarterdeck"), "{verb}: {help}");
        assert_eq!(
            help.contains("!delay=50ms"),
            ["chat", "send"].contains(&verb),
            "{verb}"
        );
    }
    let output = quarterdeck(directory.path(), &["--help"], &[]);
    let help = text(&output.stdout);
    assert!(VERBS.iter().all(|verb| help.contains(verb)), "{help}");
    assert!(!help.contains("keeper"), "the keeper is not for people");
}

#[test]
fn wrong_usage_exits_64_and_a_missing_server_69_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [&["sned"][..], &[], &["send"], &["abort", "--grace", "soon"]] {
        let output = quarterdeck(directory.path(), arguments, &[]);
        assert_eq!(code(&output), 64, "{arguments:?}");
    }
    // Port 1 of loopback: nobody listens there, and connecting is refused at once.
    let output = quarterdeck(
        directory.path(),
        &["sessions", "--addr", "127.0.0.1:1"],
        &[],
    );
    assert_eq!(code(&output), 69);
    let problem = text(&output.stderr);
    assert!(
        problem.contains("no server answers at 127.0.0.1:1"),
        "{problem}"
    );
    assert!(problem.contains("quarterdeck serve"), "{problem}");
    assert_eq!(problem.lines().count(), 1, "{problem}");
    let output = quarterdeck(
        directory.path(),
        &["sessions"],
        &[("QUARTERDECK_ADDR", "ftp://x")],
    );
    assert_eq!(code(&output), 64);
}

#[test]
fn check_config_exits_78_and_says_all_that_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = quarterdeck(directory.path(), &["check-config"], &[]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));

    fs::write(
        directory.path().join("quarterdeck.toml"),
        "log_fromat = \"json\"\nlisten = 7777\n",
    )
    .expect("written");
    let arguments = ["check-config", "--drain-timeout", "later"];
    let variables = [("QUARTERDECK_QUEUE_LIMIT_TURNS", "many")];
    let output = quarterdeck(directory.path(), &arguments, &variables);
    assert_eq!(code(&output), 78);
    let problems = text(&output.stderr);
    for place in [
        "quarterdeck.toml:1: log_fromat",
        "quarterdeck.toml:2: listen",
        "variable QUARTERDECK_QUEUE_LIMIT_TURNS",
        "flag --drain-timeout",
    ] {
        assert!(problems.contains(place), "{place}: {problems}");
    }
    // The same stops a server before it opens anything.
    let output = quarterdeck(directory.path(), &["serve"], &[]);
    assert_eq!(code(&output), 78);
    assert!(!directory.path().join("quarterdeck-data").exists());
}

#[test]
fn the_printed_example_is_a_configuration_and_secrets_are_not_printed() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = quarterdeck(directory.path(), &["print-config", "--default"], &[]);
    assert_eq!(code(&output), 0);
    fs::write(directory.path().join("example.toml"), &output.stdout).expect("written");
    let arguments = ["print-config", "--config", "example.toml"];
    let again = quarterdeck(directory.path(), &arguments, &[]);
    assert_eq!(text(&again.stdout), text(&output.stdout));

    let variables = [
        (
            "QUARTERDECK_AGENTS__PI__ENVIRONMENT",
            "{ TOKEN = \"hunter2\" }",
        ),
        ("QUARTERDECK_LOG_FORMAT", "json"),
    ];
    let output = quarterdeck(directory.path(), &["print-config"], &variables);
    let printed = text(&output.stdout);
    assert!(printed.contains("log_format = \"json\""), "{printed}");
    assert!(printed.contains("\"TOKEN\" = \"(set)\""), "{printed}");
    assert!(!printed.contains("hunter2"));
}

#[test]
fn a_reader_that_leaves_is_no_failure_worth_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .current_dir(directory.path())
        .args(["print-config", "--default"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    // It may have written all before the reader left.
    assert!([0, 141].contains(&code(&output)));
    assert_eq!(text(&output.stderr), "");
}
