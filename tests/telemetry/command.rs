//! `quarterdeck logs`.

use crate::world::*;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

fn logs(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
    command
        .arg("logs")
        .args(arguments)
        .env("QUARTERDECK_ADDR", address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// An address that passes connections on, until they are cut.
async fn front(behind: &str) -> (String, watch::Sender<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let behind = behind.trim_start_matches("http://").to_owned();
    let (cuts, cut) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&behind)
                .await
                .expect("the server accepts");
            let mut cut = cut.clone();
            cut.mark_unchanged();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cut.changed() => {}
                }
            });
        }
    });
    (format!("http://{address}"), cuts)
}

/// What is there is printed, as text or JSON, and the command ends.
#[tokio::test]
async fn what_is_kept_is_printed() {
    let gateway = Gateway::start();
    let mut client = gateway.client().await;
    for key in ["one", "two", "three"] {
        clear(&mut client, key).await;
    }
    let arguments = ["--no-follow", "--target", "audit", "--last", "2"];
    let output = logs(&gateway.address, &arguments)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, key) in lines.iter().zip(["two", "three"]) {
        assert!(
            line.contains(" INFO audit: ClearQueue ended with NOT_FOUND "),
            "{line}"
        );
        assert!(line.contains(&format!(" session_key={key}")), "{line}");
    }
    let arguments = [
        "--no-follow",
        "--session",
        "one",
        "--json",
        "--level",
        "trace",
    ];
    let output = logs(&gateway.address, &arguments)
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let record: serde_json::Value = serde_json::from_str(text.trim()).expect(&text);
    assert_eq!(record["fields"]["session_key"], "one");

    let wrong = logs(&gateway.address, &["--last", "10001"])
        .output()
        .expect("it runs");
    assert_eq!(wrong.status.code(), Some(64));
}

/// A reader whose connection is cut comes back and goes on after what it has printed.
#[tokio::test]
async fn a_cut_loses_and_repeats_nothing() {
    let gateway = Gateway::start();
    let (address, cuts) = front(&gateway.address).await;
    let mut client = gateway.client().await;
    let arguments = ["--target", "audit", "--json"];
    let mut child = logs(&address, &arguments).spawn().expect("it runs");
    let output = child.stdout.take().expect("piped");
    let (keys, mut printed) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let record: serde_json::Value = serde_json::from_str(&line).expect(&line);
            let key = record["fields"]["session_key"]
                .as_str()
                .unwrap_or("")
                .to_owned();
            if keys.blocking_send(key).is_err() {
                return;
            }
        }
    });
    let mut seen = Vec::new();
    for round in 0..4 {
        clear(&mut client, &format!("s{}", 2 * round)).await;
        seen.push(soon(printed.recv()).await.expect("it follows"));
        cuts.send_modify(|cuts| *cuts += 1);
        // While it is away.
        clear(&mut client, &format!("s{}", 2 * round + 1)).await;
        seen.push(soon(printed.recv()).await.expect("it follows"));
    }
    child.kill().expect("it was ours");
    child.wait().expect("it was ours");
    let wanted: Vec<String> = (0..8).map(|call| format!("s{call}")).collect();
    assert_eq!(seen, wanted);
}
