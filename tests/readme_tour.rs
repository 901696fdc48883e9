//! The README's five minutes, run as they stand: each `sh` block in order, each line of the `text` block after it must
//! show up in what the block printed.

mod support;

use std::{path::Path, process::Command};
use support::{Gateway, Options};

/// A block of commands with what it must print.
struct Step {
    commands: String,
    expected: Vec<String>,
}

fn steps(readme: &str) -> Vec<Step> {
    let tour = readme
        .split_once("## Five minutes")
        .and_then(|(_, rest)| rest.split_once("\n## "))
        .expect("the README has a tour")
        .0;
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
    let steps = steps(&readme);
    assert!(steps.len() >= 6, "the tour lost its commands");
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
