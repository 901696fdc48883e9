//! `top`: sessions as they change, on a pseudo-terminal.

use crate::{
    support::{Gateway, Options},
    tty::Run,
};
use serde_json::Value;
use std::process::{Command, Stdio};

/// Takes the screen, and gives it back: the other screen, and the cursor.
const TAKES: &str = "\x1b[?1049h";
const GIVES_BACK: [&str; 2] = ["\x1b[?1049l", "\x1b[?25h"];

/// A server on which a turn hangs in the session `busy`.
async fn busy() -> Gateway {
    let gateway = Gateway::with(Options::default());
    let sent = quarterdeck(&gateway, &["send", "busy", "!hang", "--detach"]);
    assert!(sent.status.success(), "{sent:?}");
    gateway
}

fn quarterdeck(gateway: &Gateway, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(arguments)
        .env("QUARTERDECK_ADDR", &gateway.address)
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

fn top(gateway: &Gateway) -> Run {
    Run::new(&["top"]).environment("QUARTERDECK_ADDR", &gateway.address)
}

async fn go(run: Run) -> crate::tty::Ran {
    tokio::task::spawn_blocking(|| run.go())
        .await
        .expect("it ran")
}

/// One reads along, comes back, is asked before a turn is stopped, and has the terminal back as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_read_along_and_its_turn_is_stopped_once_that_was_confirmed() {
    let gateway = busy().await;
    let run = top(&gateway)
        .then("busy", "\r")
        // Its prompt is among the newest lines.
        .then("> !hang", "\x1b")
        // Any key but `y` leaves the turn alone.
        .then("SESSION", "a")
        .then("Stop the running turn of busy?", "n")
        .then("leaves", "a")
        .then("Stop the running turn of busy?", "y")
        // "stopping" may stand there before, and cells that stay are not drawn again.
        .then("ed busy", "q");
    let ran = go(run).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.output.contains(TAKES), "{ran:?}");
    for sequence in GIVES_BACK {
        assert!(ran.output.contains(sequence), "{ran:?}");
    }
    assert!(ran.output.contains("\x1b[38;5;2;"), "what runs is green");
    let turns = quarterdeck(&gateway, &["turns", "list", "busy", "--json"]);
    let turn: Value = serde_json::from_slice(&turns.stdout).expect("one JSON object");
    assert_eq!(turn["state"], "TURN_STATE_CANCELED", "{turn}");
}

/// What changes is seen as it changes, and Ctrl-C leaves with the terminal as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_is_seen_without_colours_where_nobody_wants_them() {
    let gateway = busy().await;
    let run = top(&gateway)
        .environment("NO_COLOR", "1")
        .then("busy", "\r")
        .then("goes", "\x03");
    let ran = go(run).await;
    assert_eq!(ran.code, 130, "{ran:?}");
    for sequence in GIVES_BACK {
        assert!(ran.output.contains(sequence), "{ran:?}");
    }
    for colour in ["\x1b[38;", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
        assert!(!ran.output.contains(colour), "{ran:?}");
    }
    // A session that is made while it is shown.
    let made = std::thread::scope(|scope| {
        let run = top(&gateway).then("busy", "").then("later", "q");
        let shown = scope.spawn(|| run.go());
        let sent = quarterdeck(&gateway, &["send", "later", "hello"]);
        assert!(sent.status.success(), "{sent:?}");
        shown.join().expect("it ran")
    });
    assert_eq!(made.code, 0, "{made:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_terminal_says_so_and_one_that_places_no_text_is_refused() {
    let gateway = busy().await;
    let ran = go(top(&gateway).size(4, 20).then("least", "q")).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = go(top(&gateway).environment("TERM", "dumb")).await;
    assert_eq!(ran.code, 64, "{ran:?}");
    assert!(ran.output.contains("sessions --watch"), "{ran:?}");
    assert!(!ran.output.contains('\x1b'), "{ran:?}");
    let piped = quarterdeck(&gateway, &["top"]);
    assert_eq!(piped.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&piped.stderr).contains("sessions --watch"));
    // Nobody answers: the terminal is as it was, and the reason stands below.
    let away = Run::new(&["top"]).environment("QUARTERDECK_ADDR", "http://127.0.0.1:1");
    let ran = go(away).await;
    assert_eq!(ran.code, 69, "{ran:?}");
    let end = ran.output.rfind(GIVES_BACK[0]).expect("given back");
    assert!(ran.output[end..].contains("quarterdeck: "), "{ran:?}");
}
