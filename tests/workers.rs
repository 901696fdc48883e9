//! Remote workers through the real binaries: a gateway, workers as other processes, and what becomes of a turn when either
//! dies. Opens with the promises that they pin.

#[path = "agent_support/mod.rs"]
mod agents;
mod support;

use quarterdeck::proto::{
    self, OnInterrupt, StopReason, TurnState, gateway_event::Kind,
    gateway_service_client::GatewayServiceClient,
};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use support::{Gateway, Options, await_turn, enqueue, log, run};
use tonic::transport::Channel;

type Client = GatewayServiceClient<Channel>;

/// Short leases: the loss of a worker is known within seconds.
const CONFIG: &str = "worker_heartbeat = \"500ms\"\nworker_stop_after = \"4s\"\nworker_lease = \"6s\"\n\
                      worker_sticky_wait = \"200ms\"\ndefault_agent = \"far\"\n\
                      [agents.far]\ndriver = \"worker\"\nworker_principals = [\"default/local\"]\n";
const LEASE: Duration = Duration::from_secs(6);
const SOON: Duration = Duration::from_secs(60);

/// A worker process; killed with the test.
struct Worker {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Worker {
    fn start(gateway: &Gateway, name: &str) -> Self {
        Self::with(&gateway.address, name, "driver = \"echo\"\n")
    }

    /// With an agent of its own.
    fn with(address: &str, name: &str, agent: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("worker.toml");
        std::fs::write(&config, format!("[agents.far]\n{agent}")).expect("a file");
        let errors = match std::env::var_os("TEST_LOG") {
            Some(_) => Stdio::inherit(),
            None => Stdio::null(),
        };
        let child = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(["worker", "--agent", "far", "--name", name])
            .args(["--addr", address])
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .stderr(errors)
            .spawn()
            .expect("the binary starts");
        Self {
            child,
            _directory: directory,
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it lives");
    }

    fn kill(&mut self) {
        self.child.kill().expect("it is ours to kill");
        self.child.wait().expect("it is ours");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gateway() -> Gateway {
    Gateway::with(Options {
        config: CONFIG.into(),
        ..Options::default()
    })
}

/// Events up to the first that is wanted.
async fn until(
    client: &mut Client,
    key: &str,
    wanted: impl Fn(&Kind) -> bool,
) -> Vec<proto::GatewayEvent> {
    let deadline = Instant::now() + SOON;
    loop {
        let events = log(client, key).await;
        if events.iter().filter_map(|it| it.kind.as_ref()).any(&wanted) {
            return events;
        }
        assert!(Instant::now() < deadline, "{events:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn start(client: &mut Client, key: &str, text: &str, on_interrupt: OnInterrupt) -> String {
    let request = proto::EnqueueRequest {
        session_key: key.into(),
        text: text.into(),
        on_interrupt: on_interrupt.into(),
        ..Default::default()
    };
    let accepted = client.enqueue(request).await.expect("accepted");
    accepted.into_inner().turn.expect("a turn").turn_id
}

fn reason(turn: &proto::Turn) -> String {
    turn.error
        .as_ref()
        .map_or_else(String::new, |it| it.reason.clone())
}

/// FEATURES 6.3, hole 11: without a worker a turn waits and says why; it begins when there is one; and a worker that is told
/// to leave finishes what it has.
#[tokio::test]
async fn a_turn_waits_for_a_worker_and_runs_when_there_is_one() {
    let mut gateway = gateway();
    let mut client = gateway.client().await;
    let turn_id = start(&mut client, "s", "hello far away", OnInterrupt::Unspecified).await;
    let events = until(&mut client, "s", |it| matches!(it, Kind::TurnWaiting(_))).await;
    let waits = events.iter().find_map(|it| match &it.kind {
        Some(Kind::TurnWaiting(waiting)) => Some(waiting.reason.clone()),
        _ => None,
    });
    assert_eq!(waits.as_deref(), Some("NO_WORKER"));
    let session = proto::GetSessionRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    let session = client
        .get_session(session)
        .await
        .expect("it is there")
        .into_inner();
    assert_eq!(session.session.expect("a session").wait_reason, "NO_WORKER");
    let mut worker = Worker::start(&gateway, "one");
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(turn.state(), TurnState::Completed, "{turn:?}");
    assert_eq!(turn.response_text, "hello far away");
    assert_eq!(turn.attempt, 1);
    assert_eq!(run(&mut client, "s", "!history").await.response_text, "1");
    // D49: nothing depends on anybody watching; tools and thinking are stored as items in order.
    let turn = run(&mut client, "t", "!think=hm !tool=hammer done").await;
    assert_eq!(turn.state(), TurnState::Completed);
    let events = log(&mut client, "t").await;
    let place = |wanted: fn(&Kind) -> bool| {
        events
            .iter()
            .position(|it| it.kind.as_ref().is_some_and(wanted))
            .expect("it is there")
    };
    let thought = place(|it| matches!(it, Kind::ThinkingCompleted(_)));
    let ran = place(|it| matches!(it, Kind::ToolCompleted(_)));
    let ended = place(|it| matches!(it, Kind::TurnEnded(_)));
    assert!(thought < ran && ran < ended);
    worker.signal(rustix::process::Signal::TERM);
    let left = tokio::task::spawn_blocking(move || worker.child.wait().map(|it| it.code()));
    assert_eq!(left.await.expect("it ends").expect("it was ours"), Some(0));
    gateway.check_store();
}

/// An abort reaches a worker and is proven by it.
#[tokio::test]
async fn an_abort_is_proven_by_the_worker() {
    let mut gateway = gateway();
    let mut client = gateway.client().await;
    let _worker = Worker::start(&gateway, "one");
    let turn_id = start(&mut client, "s", "!hang", OnInterrupt::Unspecified).await;
    until(&mut client, "s", |it| matches!(it, Kind::TurnStarted(_))).await;
    let abort = proto::AbortRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    let begun = Instant::now();
    client.abort(abort).await.expect("it is stopped");
    assert!(begun.elapsed() < LEASE);
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(turn.state(), TurnState::Canceled);
    assert_eq!(turn.stop_reason(), StopReason::Aborted);
    gateway.check_store();
}

/// D46, D47, D52, R2: the turn of a worker that dies ends INTERRUPTED, or runs again with another attempt where its caller
/// said so; not before the lease is over.
#[tokio::test]
async fn a_lost_workers_turn_is_interrupted_or_runs_again_after_its_lease() {
    let mut gateway = gateway();
    let mut client = gateway.client().await;
    let mut worker = Worker::start(&gateway, "one");
    let marked = start(&mut client, "m", "!hang", OnInterrupt::Mark).await;
    let again = start(
        &mut client,
        "r",
        "!delay=300ms a b c d e f g h i j k l",
        OnInterrupt::Retry,
    )
    .await;
    for key in ["m", "r"] {
        until(&mut client, key, |it| matches!(it, Kind::TurnStarted(_))).await;
    }
    until(&mut client, "r", |it| matches!(it, Kind::MessageStarted(message) if message.role() == proto::Role::Assistant)).await;
    worker.kill();
    let killed = Instant::now();
    let _other = Worker::start(&gateway, "two");
    let turn = await_turn(&mut client, "m", &marked).await;
    assert!(
        killed.elapsed() + Duration::from_secs(1) >= LEASE,
        "{:?}",
        killed.elapsed()
    );
    assert_eq!(turn.state(), TurnState::Interrupted, "{turn:?}");
    assert_eq!(reason(&turn), "LEASE_LOST");
    let turn = await_turn(&mut client, "r", &again).await;
    assert_eq!(turn.state(), TurnState::Completed, "{turn:?}");
    assert_eq!(turn.attempt, 2);
    let events = log(&mut client, "r").await;
    let starts = events
        .iter()
        .filter(|it| matches!(it.kind, Some(Kind::TurnStarted(_))));
    assert_eq!(starts.count(), 2);
    gateway.check_store();
}

/// R9: a worker that stood still past its lease ends what it ran before it does anything else, and is told that the lease
/// is gone; no word of it reaches the turn.
#[tokio::test]
async fn a_worker_that_stood_still_past_its_lease_says_nothing_more() {
    let mut gateway = gateway();
    let mut client = gateway.client().await;
    let worker = Worker::start(&gateway, "one");
    let turn_id = start(
        &mut client,
        "s",
        "!delay=200ms !repeat=1000 word",
        OnInterrupt::Mark,
    )
    .await;
    until(&mut client, "s", |it| matches!(it, Kind::TurnStarted(_))).await;
    worker.signal(rustix::process::Signal::STOP);
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(reason(&turn), "LEASE_LOST");
    worker.signal(rustix::process::Signal::CONT);
    // It comes back with nothing, and takes the next turn.
    let next = run(&mut client, "s", "well again").await;
    assert_eq!(next.response_text, "well again");
    let events = log(&mut client, "s").await;
    let mut of_lost = events.iter().filter(|it| it.turn_id == turn_id);
    assert!(matches!(
        of_lost.next_back().and_then(|it| it.kind.as_ref()),
        Some(Kind::TurnEnded(_))
    ));
    gateway.check_store();
}

/// Milliseconds that a file's lines say, one each.
fn beats(file: &Path) -> Vec<u128> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|it| it.parse().ok()).collect()
}

/// Whether a process runs that names a file.
fn is_named(file: &Path) -> bool {
    let name = file.to_str().expect("paths of tests are text");
    let processes = std::fs::read_dir("/proc").expect("there is a /proc");
    let mut lines = processes.flatten().filter_map(|it| {
        let line = std::fs::read(it.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    });
    lines.any(|line| line.contains(name))
}

/// R9, hole 1: where the worker's own process is stopped, the keepers of its agents end them before the lease is over, and
/// what goes on then does nothing more for the turn.
async fn a_stopped_worker_leaves_no_agent(driver: &str, script: &str) {
    let mut gateway = gateway();
    let mut client = gateway.client().await;
    let files = tempfile::tempdir().expect("a directory");
    let file = files.path().join("beats");
    let python = agents::python().to_str().expect("a path that is text");
    let script = agents::fixture(script);
    let script = script.to_str().expect("a path that is text");
    let agent = format!(
        "driver = {driver:?}\nisolation = \"none\"\ncommand = [{python:?}, \"-S\", \"-E\", {script:?}]\n"
    );
    let worker = Worker::with(&gateway.address, "one", &agent);
    let beat = format!(
        "shell while :; do date +%s%3N >>{}; sleep 0.05; done",
        file.display()
    );
    let turn_id = start(&mut client, "s", &beat, OnInterrupt::Mark).await;
    agents::eventually("a beat of the agent", || !beats(&file).is_empty()).await;
    worker.signal(rustix::process::Signal::STOP);
    let stopped = beats(&file).len();
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(reason(&turn), "LEASE_LOST");
    let ended = turn.end_time.expect("it has ended");
    let ended = SystemTime::try_from(ended).expect("a time");
    let ended = ended.duration_since(UNIX_EPOCH).expect("after 1970");
    let all = beats(&file);
    let last = *all.last().expect("it was there before");
    assert!(all.len() > stopped, "it ran on for a while");
    assert!(last < ended.as_millis(), "{last} {ended:?}");
    assert!(!is_named(&file), "a process of the turn lives");
    worker.signal(rustix::process::Signal::CONT);
    let next = run(&mut client, "s", "say well again").await;
    assert_eq!(next.response_text, "well again");
    assert_eq!(beats(&file), all);
    let events = log(&mut client, "s").await;
    let mut of_lost = events.iter().filter(|it| it.turn_id == turn_id);
    assert!(matches!(
        of_lost.next_back().and_then(|it| it.kind.as_ref()),
        Some(Kind::TurnEnded(_))
    ));
    gateway.check_store();
}

#[tokio::test]
async fn a_stopped_worker_leaves_no_pi() {
    a_stopped_worker_leaves_no_agent("pi", "fake_pi.py").await;
}

#[tokio::test]
async fn a_stopped_worker_leaves_no_acp_agent() {
    a_stopped_worker_leaves_no_agent("acp", "fake_acp.py").await;
}

/// Hole 2, R12: a gateway that is killed leaves its workers' turns alone until their leases are over, counted from when it is
/// ready again; then they are settled once.
#[tokio::test]
async fn a_killed_gateway_settles_its_workers_turns_after_their_leases() {
    let mut gateway = gateway();
    let mut client = gateway.client().await;
    let _worker = Worker::start(&gateway, "one");
    let turn_id = start(&mut client, "s", "!hang", OnInterrupt::Mark).await;
    until(&mut client, "s", |it| matches!(it, Kind::TurnStarted(_))).await;
    // Its lease is kept before the worker hears of it, and it has begun.
    let listed = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["workers", "--addr", &gateway.address])
        .output()
        .expect("it runs");
    assert!(
        String::from_utf8_lossy(&listed.stdout).contains("1 of 4"),
        "{listed:?}"
    );
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    let read = proto::GetTurnRequest {
        session_key: "s".into(),
        turn_id: turn_id.clone(),
    };
    let turn = client
        .get_turn(read)
        .await
        .expect("it is there")
        .into_inner();
    assert_eq!(turn.turn.expect("a turn").state(), TurnState::Running);
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(turn.state(), TurnState::Interrupted);
    assert_eq!(reason(&turn), "LEASE_LOST");
    drop(enqueue(&mut client, "s", "next").await.expect("accepted"));
    gateway.check_store();
}
