//! Noisy children: what an agent writes beside its records does not fill the log.

use crate::{
    support::{Gateway, Options, enqueue},
    world::{eventually, python},
};

/// An agent that writes garbage as fast as it can.
const GARBAGE: &str = "import sys
while True:
    sys.stdout.write('this is no record\\n' * 1000)
    sys.stdout.flush()
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_of_an_agent_is_one_line_a_second() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let gateway = Gateway::with(Options {
        config: format!(
            "default_agent = \"noisy\"\n[agents.noisy]\ndriver = \"pi\"\ncommand = [{:?}, \"-c\", {GARBAGE:?}]\n",
            python()
        ),
        log: Some(log.path().to_owned()),
        ..Options::default()
    });
    let mut client = gateway.client().await;
    enqueue(&mut client, "s", "hello").await.expect("accepted");
    let lines = || {
        let said = std::fs::read_to_string(log.path()).expect("a log");
        let lines = said
            .lines()
            .filter(|line| line.contains("that is no record"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // The second says how many were left out.
    let counted = eventually("a count", async || {
        lines().into_iter().find(|line| line.contains("left_out="))
    })
    .await;
    let began = std::time::Instant::now();
    let before = lines().len();
    eventually("three more lines", async || {
        (lines().len() >= before + 3).then_some(())
    })
    .await;
    let took = began.elapsed();
    assert!(took > std::time::Duration::from_secs(2), "within {took:?}");
    let left_out: u64 = counted
        .split("left_out=")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .expect("a number");
    println!("{left_out} lines were left out of a second");
    assert!(left_out > 10);
}
