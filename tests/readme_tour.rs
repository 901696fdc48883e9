//! The README's five minutes, run as they stand: each `sh` block in order, each line of the `text` block after it must
//! show up in what the block printed. And the first lines of each client, run by its package.

mod support;

use std::{path::Path, process::Command};
use support::{Gateway, Options};

/// A block of commands with what it must print.
struct Step {
    commands: String,
    expected: Vec<String>,
}

/// What stands under a heading, up to the next one that is not below it.
fn section<'a>(readme: &'a str, heading: &str) -> Option<&'a str> {
    let depth = heading.chars().take_while(|c| *c == '#').count();
    let (_, rest) = readme.split_once(&format!("\n{heading}\n"))?;
    let ends = (1..=depth).filter_map(|depth| rest.find(&format!("\n{} ", "#".repeat(depth))));
    Some(&rest[..ends.min().unwrap_or(rest.len())])
}

/// The block in a language, and what a `text` block right after it says that it prints.
fn block<'a>(section: &'a str, language: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let blocks: Vec<_> = section.split("```").skip(1).step_by(2).collect();
    let place = blocks
        .iter()
        .position(|block| block.lines().next() == Some(language))?;
    let lines = |block: &'a str| block.split_once('\n').map_or("", |(_, lines)| lines);
    let printed = blocks.get(place + 1).filter(|it| it.starts_with("text\n"));
    let printed = printed.map_or(vec![], |block| lines(block).lines().collect());
    Some((lines(blocks[place]), printed))
}

fn steps(readme: &str, heading: &str) -> Vec<Step> {
    let tour = section(readme, heading).expect("the README has it");
    let mut steps: Vec<Step> = Vec::new();
    for block in tour.split("```").skip(1).step_by(2) {
        if let Some(commands) = block.strip_prefix("sh\n") {
            steps.push(Step {
                commands: commands.to_owned(),
                expected: Vec::new(),
            });
        } else if let Some(text) = block.strip_prefix("text\n") {
            let step = steps.last_mut().expect("text stands after commands");
            step.expected = text.lines().map(str::to_owned).collect();
        }
    }
    steps
}

#[test]
fn each_command_of_the_tour_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("there is a README");
    let tour = steps(&readme, "## Five minutes");
    assert!(tour.len() >= 6, "the tour lost its commands");
    take(tour);
}

#[test]
fn the_commands_of_schedules_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/pages/schedules.md")).expect("its page");
    let steps = steps(&format!("\n{page}"), "# Every morning at nine");
    assert_eq!(steps.len(), 1);
    take(steps);
}

/// Takes steps against a server of their own.
fn take(steps: Vec<Step>) {
    // As a reader starts it: callers are asked for a key.
    let gateway = Gateway::with(Options {
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let host = gateway.address.strip_prefix("http://").expect("an address");
    let programs = Path::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .parent()
        .expect("a directory");
    let grpcurl = std::env::var("QUARTERDECK_TEST_GRPCURL").ok();
    for step in steps {
        if step.commands.contains("grpcurl") && grpcurl.is_none() {
            eprintln!(
                "left out for want of QUARTERDECK_TEST_GRPCURL:\n{}",
                step.commands
            );
            continue;
        }
        let commands = step.commands.replace("localhost:7777", host);
        let commands = match &grpcurl {
            Some(path) => commands.replace("grpcurl ", &format!("{path} ")),
            None => commands,
        };
        let path = format!(
            "{}:{}",
            programs.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &commands])
            .env("PATH", path)
            .env("QUARTERDECK_ADDR", &gateway.address)
            .current_dir(gateway.directory.path())
            .output()
            .expect("bash runs");
        let printed = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{commands}\nprinted\n{printed}");
        for line in &step.expected {
            assert!(
                printed.contains(line),
                "{commands}\nprinted\n{printed}\nwithout {line:?}"
            );
        }
    }
}

/// Languages whose package is built, by `QUARTERDECK_TEST_CLIENTS`; Rust's is there when any is.
fn languages() -> Vec<String> {
    let clients = std::env::var("QUARTERDECK_TEST_CLIENTS").unwrap_or_default();
    let names = clients
        .split(':')
        .filter_map(|client| client.split_once('='));
    let mut names: Vec<_> = names.map(|(name, _)| name.to_owned()).collect();
    if !names.is_empty() {
        names.push("rust".into());
    }
    names
}

#[test]
fn the_first_lines_of_each_client_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("there is a README");
    let languages = languages();
    if languages.is_empty() {
        eprintln!("left out for want of QUARTERDECK_TEST_CLIENTS");
        return;
    }
    let section = ["## Clients", "### Clients"]
        .iter()
        .find_map(|heading| section(&readme, heading))
        .expect("README.md has no heading `Clients`");
    let gateway = Gateway::with(Options {
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let key = std::fs::read_to_string(gateway.data().join("admin.key")).expect("a key");
    let mut problems = Vec::new();
    for language in languages {
        let Some((lines, expected)) = block(section, &language) else {
            problems.push(format!("README.md, Clients: no block in {language}"));
            continue;
        };
        let file = gateway.directory.path().join(format!("block.{language}"));
        std::fs::write(&file, lines).expect("a file");
        let script = root.join("clients").join(&language).join("quick-start");
        let output = Command::new(&script)
            .arg(&file)
            .env("QUARTERDECK_ADDR", &gateway.address)
            .env("QUARTERDECK_KEY", key.trim())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        let printed = String::from_utf8_lossy(&output.stdout);
        let missing: Vec<_> = expected
            .iter()
            .filter(|line| !printed.contains(**line))
            .collect();
        if !output.status.success() || printed.trim().is_empty() || !missing.is_empty() {
            problems.push(format!(
                "{language}: {}, printed {printed:?}, without {missing:?}\n{lines}\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
