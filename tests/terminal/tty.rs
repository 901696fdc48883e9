//! A command on a pseudo-terminal.

use serde_json::{Value, json};
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

/// Longest run of a command, in seconds.
const SECONDS: u64 = 90;

/// Rows, and columns so that few lines are broken.
const SIZE: (u16, u16) = (50, 200);

/// A run to come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    steps: Vec<(String, String)>,
    /// Rows and columns; those of a large screen where it is unset.
    size: Option<(u16, u16)>,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code; negative for a signal.
    pub(crate) code: i64,
    /// All that it printed; a line's end is `\n`.
    pub(crate) output: String,
}

impl Run {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        Self {
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            ..Self::default()
        }
        .environment("TERM", "xterm")
    }

    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Types once that was printed.
    pub(crate) fn then(mut self, expect: &str, send: &str) -> Self {
        self.steps.push((expect.into(), send.into()));
        self
    }

    pub(crate) fn size(mut self, rows: u16, columns: u16) -> Self {
        self.size = Some((rows, columns));
        self
    }

    pub(crate) fn go(self) -> Ran {
        let mut argv = vec![env!("CARGO_BIN_EXE_quarterdeck").to_owned()];
        argv.extend(self.arguments);
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|(expect, send)| json!({ "expect": expect, "send": send }))
            .collect();
        let environment: serde_json::Map<String, Value> = self
            .environment
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        let given = json!({
            "argv": argv, "environment": environment, "steps": steps, "seconds": SECONDS,
            "size": self.size.unwrap_or(SIZE),
        });
        let mut child = Command::new("python3")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/fixtures/terminal.py"
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin
            .write_all(given.to_string().as_bytes())
            .expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let hexadecimal = told["output"].as_str().expect("a text");
        let bytes: Vec<u8> = (0..hexadecimal.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("two digits"))
            .collect();
        Ran {
            code: told["code"].as_i64().expect("a number"),
            output: String::from_utf8_lossy(&bytes).replace("\r\n", "\n"),
        }
    }
}

/// What a screen that is drawn prints, without what places and styles its text. Titles and the like stay.
pub(crate) fn undrawn(output: &str) -> String {
    let mut rest = output;
    let mut text = String::new();
    while let Some(at) = rest.find("\x1b[") {
        text.push_str(&rest[..at]);
        let sequence = &rest[at + 2..];
        let end = sequence.find(|c: char| !matches!(c, '0'..='9' | ';' | '?'));
        let is_ours =
            |end: usize| matches!(sequence.as_bytes()[end], b'H' | b'J' | b'h' | b'l' | b'm');
        match end {
            Some(end) if is_ours(end) => rest = &sequence[end + 1..],
            Some(_) | None => {
                text.push_str("\x1b[");
                rest = sequence;
            }
        }
    }
    text + rest
}

/// What steers the terminal and is not ours: where it stands, with a little around it.
pub(crate) fn steering(output: &str) -> Option<String> {
    const OURS: [&str; 7] = [
        "\x1b[2m",
        "\x1b[31m",
        "\x1b[36m",
        "\x1b[0m",
        "\r\x1b[K",
        "\x1b[?2004h",
        "\x1b[?2004l",
    ];
    let mut rest = output.to_owned();
    for ours in OURS {
        rest = rest.replace(ours, "");
    }
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let at = rest.find(steers)?;
    let around: String = rest[at..].chars().take(60).collect();
    Some(format!("{around:?}"))
}
