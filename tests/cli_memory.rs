//! `quarterdeck memory` against a real server: what it prints, and that an export comes back by an import.

mod support;

use std::{
    io::{BufRead as _, Write as _},
    process::{Command, Output, Stdio},
};
use support::{Gateway, Options};

fn memory(gateway: &Gateway, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .arg("memory")
        .args(arguments)
        .env("QUARTERDECK_ADDR", &gateway.address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that reads nothing may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// Standard output of a command that succeeds.
fn said(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = memory(gateway, arguments, "");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn what_is_remembered_is_found_listed_and_forgotten() {
    let mut gateway = Gateway::start();
    let first = said(
        &gateway,
        &[
            "remember",
            "the staging server is in Oslo",
            "--name",
            "staging",
            "--tag",
            "work",
        ],
    );
    assert!(first.starts_with("remembered "), "{first}");
    let id = first.trim().rsplit(' ').next().expect("an id").to_owned();
    assert!(
        said(
            &gateway,
            &[
                "remember",
                "the staging server is in Oslo",
                "--name",
                "staging"
            ]
        )
        .starts_with("known already")
    );
    assert!(
        said(
            &gateway,
            &[
                "remember",
                "the staging server is in Bergen",
                "--name",
                "staging"
            ]
        )
        .starts_with("changed")
    );
    let found = said(&gateway, &["search", "staging", "server"]);
    assert!(
        found.contains("Bergen") && found.contains("fact") && found.contains(&id),
        "{found}"
    );
    let listed = said(&gateway, &["list", "--tag", "work", "--json"]);
    assert_eq!(listed.lines().count(), 1);
    assert!(listed.contains("\"kind\":\"MEMORY_KIND_FACT\""), "{listed}");
    said(
        &gateway,
        &["remember", "the lease ends soon", "--ttl", "30days"],
    );
    let listed = said(&gateway, &["list"]);
    let lines = |word: &str| listed.lines().find(|line| line.contains(word));
    assert!(
        lines("lease").is_some_and(|line| line.contains("  until 2")),
        "{listed}"
    );
    assert!(
        !lines("Bergen").is_some_and(|line| line.contains("until")),
        "{listed}"
    );
    let whole = said(&gateway, &["get", &id]);
    assert!(
        whole.contains("before, version 1: the staging server is in Oslo"),
        "{whole}"
    );
    assert!(said(&gateway, &["status"]).contains("archival"));
    assert!(said(&gateway, &["rebuild"]).starts_with("started"));
    assert_eq!(
        said(&gateway, &["forget", "--name", "staging", "--hard"]),
        "forgot 1\n"
    );
    let missing = memory(&gateway, &["get", &id], "");
    assert_eq!(missing.status.code(), Some(66), "{missing:?}");
    gateway.check_store();
}

#[test]
fn an_export_comes_back_by_an_import_without_its_secrets() {
    let mut gateway = Gateway::start();
    said(
        &gateway,
        &[
            "remember",
            "日本語のメモ\nin two lines",
            "--namespace",
            "team",
            "--kind",
            "preference",
        ],
    );
    let secret = memory(
        &gateway,
        &[
            "remember",
            "-",
            "--namespace",
            "team",
            "--kind",
            "secret",
            "--name",
            "pin",
        ],
        "canary-4711\n",
    );
    assert!(secret.status.success(), "{secret:?}");
    let exported = said(&gateway, &["export", "--namespace", "team"]);
    assert_eq!(exported.lines().count(), 1, "{exported}");
    assert!(!exported.contains("canary"));
    let listed = said(&gateway, &["list", "--namespace", "team"]);
    assert!(
        listed.contains("(secret)") && !listed.contains("canary"),
        "{listed}"
    );

    let mut other = Gateway::start();
    let brought = memory(&other, &["import"], &exported);
    assert!(brought.status.success(), "{brought:?}");
    assert_eq!(
        String::from_utf8_lossy(&brought.stdout),
        "1 new, 0 changed, 0 known already\n"
    );
    let again = memory(&other, &["import"], &exported);
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        "0 new, 0 changed, 1 known already\n"
    );
    let back = said(&other, &["export", "--namespace", "team"]);
    let facts = |line: &str| -> serde_json::Value {
        let mut item: serde_json::Value = serde_json::from_str(line).expect("JSON");
        item.as_object_mut().expect("an object").remove("id");
        item
    };
    assert_eq!(
        facts(&back),
        facts(&exported),
        "content, kind, source and times are kept"
    );
    let bad = memory(&other, &["import"], "{\"nonsense\": 1}\n");
    assert_eq!(bad.status.code(), Some(65));
    assert!(
        String::from_utf8_lossy(&bad.stderr).contains("line 1"),
        "{bad:?}"
    );
    gateway.check_store();
    other.check_store();
}

/// The key of secrets from a variable: no file of it is made, and another key is told instead of losing what was sealed.
#[test]
fn the_memory_key_may_come_as_a_variable() {
    let key = "0f".repeat(32);
    let start = |environment: &[(&str, &str)]| {
        let environment = environment.iter();
        Gateway::with(Options {
            environment: environment
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            ..Options::default()
        })
    };
    let mut gateway = start(&[("QUARTERDECK_MEMORY_KEY", &key)]);
    let kept = said(
        &gateway,
        &["remember", "4711", "--kind", "secret", "--name", "pin"],
    );
    let id = kept.trim().rsplit(' ').next().expect("an id").to_owned();
    assert!(!gateway.data().join("memory.key").exists());
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    gateway.restart();
    let shown = said(&gateway, &["get", &id, "--reveal"]);
    assert!(shown.ends_with("4711\n"), "{shown}");

    // Under another key it is there, and can't be read.
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    gateway.set_environment("QUARTERDECK_MEMORY_KEY", &"f0".repeat(32));
    gateway.restart();
    let refused = memory(&gateway, &["get", &id, "--reveal"], "");
    assert!(!refused.status.success(), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("SECRET_UNREADABLE"),
        "{refused:?}"
    );
    gateway.check_store();

    // A directory with a key of its own: the variable must be that one.
    let mut other = start(&[]);
    other.terminate();
    assert_eq!(other.wait(), Some(0));
    let own = std::fs::read_to_string(other.data().join("memory.key")).expect("it was made");
    let refused = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(other.data())
        .env("QUARTERDECK_MEMORY_KEY", &key)
        .output()
        .expect("the binary runs");
    let problem = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(
        problem.contains("memory_key is another key than"),
        "{problem}"
    );
    assert!(
        !problem.contains(&key) && !problem.contains(own.trim()),
        "{problem}"
    );
    other.set_environment("QUARTERDECK_MEMORY_KEY", own.trim());
    other.restart();
}

/// What is printed for an MCP client starts the memory's tools wherever the client runs, with the key's file alone.
#[test]
fn a_printed_configuration_starts_the_tools() {
    let gateway = Gateway::with(Options {
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let key_file = gateway.data().join("admin.key");
    let printed = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args([
            "mcp",
            "--print-config",
            "claude-code",
            "--namespace",
            "team",
        ])
        .args(["--addr", &gateway.address, "--key-file"])
        .arg(&key_file)
        .output()
        .expect("the binary runs");
    let told = String::from_utf8_lossy(&printed.stderr);
    assert!(told.contains(".mcp.json"), "{told}");
    let text = String::from_utf8(printed.stdout).expect("UTF-8");
    let key = std::fs::read_to_string(&key_file).expect("a key");
    assert!(!text.contains(key.trim()) && !told.contains(key.trim()));
    let printed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let server = &printed["mcpServers"]["quarterdeck"];
    let texts = |list: &serde_json::Value| -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.map(|it| it.as_str().expect("text").to_owned())
            .collect()
    };
    let variables = server["env"].as_object().expect("variables").iter();
    let mut child = Command::new(server["command"].as_str().expect("a program"))
        .args(texts(&server["args"]))
        .env_clear()
        .envs(variables.map(|(name, value)| (name, value.as_str().expect("text"))))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the printed command runs");
    let mut stdin = child.stdin.take().expect("piped");
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":2,"method":"tools/list"}
"#;
    stdin.write_all(hello.as_bytes()).expect("it reads");
    let mut answers = std::io::BufReader::new(child.stdout.take().expect("piped"));
    let mut answer = || {
        let mut line = String::new();
        answers.read_line(&mut line).expect("an answer");
        line
    };
    assert!(answer().contains("\"serverInfo\""));
    let tools = answer();
    assert!(tools.contains("memory_search"), "{tools}");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}
