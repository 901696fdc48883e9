//! A service manager that started the server is told when it takes calls, that it lives, and when it stops.

mod support;

use std::{os::unix::net::UnixDatagram, time::Duration};
use support::{Gateway, Options};

/// Longest wait for a word of the server.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_service_manager_is_told_of_start_life_and_stop() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("set");
    let hear = || {
        let mut word = [0; 256];
        let length = manager.recv(&mut word).expect("the server says something");
        String::from_utf8(word[..length].to_vec()).expect("UTF-8")
    };
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().expect("UTF-8")),
        ("WATCHDOG_USEC", "100000"),
    ];
    let mut gateway = Gateway::with(Options {
        environment: environment
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec(),
        ..Options::default()
    });
    let mut heard: Vec<String> = Vec::new();
    while !heard.iter().any(|word| word == "READY=1\n") {
        heard.push(hear());
    }
    // It goes on saying so.
    for _ in 0..3 {
        while hear() != "WATCHDOG=1\n" {}
    }
    gateway.terminate();
    while hear() != "STOPPING=1\n" {}
    assert_eq!(gateway.wait(), Some(0));
}
