//! No text that others chose steers the terminal, whatever command prints it.

use crate::{
    hostile_server::{self, HOSTILE, MARK, Mood},
    tty::{Run, steering, undrawn},
};
use std::{collections::BTreeMap, path::Path, process::Command};

/// What a command needs to be run here.
struct Sample {
    arguments: &'static [&'static str],
    /// Needs no server; where hostile text comes from then.
    local: Local,
    /// Goes on until it is interrupted, so that Ctrl-C is typed once it has shown something.
    endless: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Local {
    No,
    /// From the configuration file.
    Config,
    /// From the name of a file that is not there.
    File,
    /// A server, and a file of memories.
    Memories,
}

const fn remote(arguments: &'static [&'static str]) -> Sample {
    Sample {
        arguments,
        local: Local::No,
        endless: false,
    }
}

const fn endless(arguments: &'static [&'static str]) -> Sample {
    Sample {
        endless: true,
        ..remote(arguments)
    }
}

const fn local(arguments: &'static [&'static str], local: Local) -> Sample {
    Sample {
        local,
        ..remote(arguments)
    }
}

/// Every command. One that is not in here fails the test.
fn samples() -> BTreeMap<&'static str, Sample> {
    BTreeMap::from([
        ("serve", local(&[], Local::Config)),
        ("check-config", local(&[], Local::Config)),
        ("print-config", local(&[], Local::Config)),
        ("check", local(&[], Local::Config)),
        ("backup", local(&["copy"], Local::Config)),
        ("restore", local(&[], Local::File)),
        ("keys reset-admin", local(&[], Local::Config)),
        ("audit verify", local(&[], Local::File)),
        ("chat", endless(&["s"])),
        ("send", remote(&["s", "hello"])),
        ("top", endless(&[])),
        ("watch", remote(&["s", "--timeout", "1s"])),
        ("steer", remote(&["s", "left"])),
        ("abort", remote(&["s"])),
        ("reset", remote(&["s"])),
        ("delete", remote(&["s"])),
        ("sessions", remote(&[])),
        (
            "sessions share",
            remote(&["s", "other", "--access", "read"]),
        ),
        ("sessions unshare", remote(&["s", "other"])),
        ("sessions create", remote(&["s"])),
        ("sessions show", remote(&["s"])),
        ("sessions update", remote(&["s", "--display-name", "n"])),
        ("sessions fork", remote(&["s", "t"])),
        ("sessions delete", remote(&["s"])),
        ("turns list", remote(&["s"])),
        ("turns show", remote(&["s", "t"])),
        ("turns await", remote(&["s", "t"])),
        ("health", remote(&[])),
        ("login", remote(&["n", "--key", "qdk_none"])),
        ("contexts", local(&[], Local::File)),
        ("contexts use", local(&[], Local::File)),
        ("contexts remove", local(&[], Local::File)),
        ("completions", local(&[], Local::File)),
        ("history", remote(&["s"])),
        ("queue", remote(&["s"])),
        ("schedules create", remote(&["s", "hello", "--every", "1h"])),
        ("schedules list", remote(&[])),
        ("schedules show", remote(&["s"])),
        ("schedules update", remote(&["s", "--resume"])),
        ("schedules delete", remote(&["s"])),
        ("schedules run", remote(&["s"])),
        ("schedules preview", remote(&["--every", "1h"])),
        ("schedules runs", remote(&["s"])),
        ("webhooks create", remote(&["https://example.org/"])),
        ("webhooks list", remote(&[])),
        ("webhooks update", remote(&["w", "--resume"])),
        ("webhooks delete", remote(&["w"])),
        ("webhooks redeliver", remote(&["w"])),
        ("webhooks deliveries", remote(&["w"])),
        ("questions", remote(&["s"])),
        ("questions answer", remote(&["s", "q", "yes"])),
        ("models", remote(&["s"])),
        ("models set", remote(&["s", "a/b"])),
        ("thinking", remote(&["s"])),
        ("thinking set", remote(&["s", "high"])),
        ("options", remote(&["s"])),
        ("options set", remote(&["s", "mode", "plan"])),
        ("commands", remote(&["s"])),
        ("command", remote(&["s", "name"])),
        ("compact", remote(&["s"])),
        ("acp", endless(&[])),
        ("mcp", remote(&[])),
        ("whoami", remote(&[])),
        ("keys create", remote(&["--scopes", "session.read"])),
        ("keys list", remote(&[])),
        ("keys revoke", remote(&["k"])),
        ("worker", local(&["--agent", "a"], Local::Config)),
        ("workers", remote(&[])),
        ("workers terminate", remote(&["w"])),
        ("usage", remote(&["--by", "model"])),
        (
            "budgets set",
            remote(&["principal", "p", "--hard-tokens", "1"]),
        ),
        ("budgets list", remote(&[])),
        ("budgets delete", remote(&["principal", "p"])),
        ("routes", remote(&[])),
        ("routes set", local(&[], Local::File)),
        ("routes resolve", remote(&["hello"])),
        ("memory search", remote(&["fish"])),
        ("memory remember", remote(&["fish"])),
        ("memory list", remote(&[])),
        ("memory get", remote(&["m"])),
        ("memory forget", remote(&["m"])),
        ("memory status", remote(&[])),
        ("memory rebuild", remote(&[])),
        ("memory import", local(&[], Local::Memories)),
        ("memory export", remote(&[])),
        ("server", remote(&[])),
        ("agents", remote(&[])),
        ("files list", remote(&["s"])),
        ("files read", remote(&["s", "f"])),
        (
            "files diff",
            remote(&["s", "019a0000-0000-7000-8000-000000000001"]),
        ),
        ("artifacts list", remote(&["s"])),
        ("artifacts read", remote(&["s", "a"])),
        ("config get", remote(&[])),
        ("config set", remote(&["log=info"])),
        ("config clear", remote(&["log"])),
        ("logs", remote(&["--no-follow"])),
        ("channels", remote(&[])),
        ("reload", remote(&[])),
    ])
}

/// Commands that print no text of an answer; of a refusal they do.
const SILENT: [&str; 16] = [
    "workers terminate",
    "budgets delete",
    "reset",
    "memory import",
    "memory forget",
    "memory rebuild",
    "reload",
    "delete",
    "sessions delete",
    "health",
    // They say the caller's own words.
    "options set",
    "schedules delete",
    "webhooks delete",
    // It has no text.
    "schedules preview",
    // Its answer is bytes alone, which JSON writes as base64.
    "files read",
    "artifacts read",
];

/// The names of all commands, as the program itself tells them.
fn commands() -> Vec<String> {
    let mut found = Vec::new();
    below(&[], &mut found);
    found
}

fn below(path: &[&str], found: &mut Vec<String>) {
    let help = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(path)
        .arg("--help")
        .output()
        .expect("it runs");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let names: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    let usage = help.lines().find(|line| line.starts_with("Usage:"));
    let needs_one = usage.is_some_and(|line| line.contains("<COMMAND>"));
    if !path.is_empty() && !needs_one {
        found.push(path.join(" "));
    }
    for name in names {
        below(&[path, &[name]].concat(), found);
    }
}

/// The list of commands is read right: an empty one would let every test pass.
#[test]
fn every_command_has_a_sample_here() {
    let (commands, samples) = (commands(), samples());
    assert!(commands.len() > 30, "{commands:?}");
    let missing: Vec<&String> = commands
        .iter()
        .filter(|it| !samples.contains_key(it.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "new commands: add a sample of each here, so that its output is looked at: {missing:?}"
    );
    let gone: Vec<&&str> = samples
        .keys()
        .filter(|it| !commands.iter().any(|command| command == **it))
        .collect();
    assert!(gone.is_empty(), "{gone:?}");
}

fn run_of(name: &str, sample: &Sample, directory: &Path) -> Run {
    let words: Vec<&str> = name.split(' ').collect();
    let mut run = Run::new(&words);
    for argument in sample.arguments {
        run = run.argument(*argument);
    }
    match sample.local {
        Local::No => {}
        Local::Config => {
            let file = directory.join("hostile.toml");
            let key = HOSTILE.replace(['\u{8}', '\x07'], "");
            let key: String = key
                .chars()
                .map(|c| format!("\\U{:08x}", u32::from(c)))
                .collect();
            std::fs::write(&file, format!("\"{key}\" = 1\n")).expect("written");
            run = run
                .argument("--config")
                .argument(file.to_str().expect("UTF-8"));
        }
        Local::File => run = run.argument(HOSTILE),
        Local::Memories => {
            let file = directory.join("memories.jsonl");
            std::fs::write(&file, "{\"content\": \"fish\"}\n").expect("written");
            run = run.argument(file.to_str().expect("UTF-8"));
        }
    }
    run
}

/// Looks at every command with the answers, or the refusals, of the hostile server.
async fn look(mood: Mood, json: bool) {
    let address = hostile_server::start(mood).await;
    let directory = tempfile::tempdir().expect("a directory");
    let mut problems = Vec::new();
    for (name, sample) in samples() {
        let needs_server = matches!(sample.local, Local::No | Local::Memories);
        if !needs_server && (json || mood == Mood::Refuses) {
            continue;
        }
        let mut run = run_of(name, &sample, directory.path())
            .environment("QUARTERDECK_ADDR", &address)
            .environment(
                "QUARTERDECK_DATA_DIR",
                directory.path().to_str().expect("UTF-8"),
            )
            .environment("HOME", directory.path().to_str().expect("UTF-8"));
        if json && name != "mcp" {
            run = run.argument("--json");
        }
        if sample.endless && mood == Mood::Answers {
            run = run.then(MARK, "\x03").then("leaves", "\x03");
        }
        let ran = tokio::task::spawn_blocking(|| run.go())
            .await
            .expect("it ran");
        // It draws the whole screen: what places and styles its cells is its own.
        let drawn = name == "top" && !json;
        let printed = if drawn {
            undrawn(&ran.output)
        } else {
            ran.output.clone()
        };
        if let Some(steering) = steering(&printed) {
            problems.push(format!(
                "`{name}` lets through {steering} in {:?}",
                ran.output
            ));
        }
        let silent = SILENT.contains(&name) && mood == Mood::Answers;
        if !silent && !ran.output.contains(MARK) {
            problems.push(format!("`{name}` shows nothing of it: {:?}", ran.output));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_steers_the_terminal() {
    look(Mood::Answers, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refusal_steers_the_terminal() {
    look(Mood::Refuses, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_json_steers_the_terminal() {
    look(Mood::Answers, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refusal_as_json_steers_the_terminal() {
    look(Mood::Refuses, true).await;
}

/// The checker sees what it looks for.
#[test]
fn planted_sequences_are_seen() {
    for planted in [
        "\x1b[2J",
        "\x1b]0;t\x07",
        "\u{9b}1m",
        "\u{202e}",
        "\x08",
        "a\rb",
        "\u{7f}",
    ] {
        assert!(
            steering(&format!("text {planted} text")).is_some(),
            "{planted:?}"
        );
    }
    assert_eq!(undrawn("\x1b[2;5Ha\x1b[38;5;2mb\x1b[?25lc"), "abc");
    assert!(steering(&undrawn("\x1b[1;1Ha\x1b]0;t\x07\x1b[5n")).is_some());
    assert_eq!(steering("\x1b[2mdim\x1b[0m\ttext\n"), None);
}
