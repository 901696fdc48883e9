//! Remote workers through the real binaries: a gateway, workers as other processes, and what becomes of a turn when either
//! dies. The promises at length, with cuts at any moment, are in `tests/promises/workers.rs`.
//!
//! What the reviewed remote workers did or had wrong, and the test that shows what became of it (FEATURES 6.3, DEFECTS 46–55):
//!
//! | row | here | shown by |
//! |---|---|---|
//! | 6.3.1 | a turn is on one worker, by its lease; a worker has several | `a_worker_touches_turns_of_its_own_leases_only`, `r02_r09_r14_no_partition_runs_a_turn_twice_or_loses_what_it_said` |
//! | 6.3.2 | readers come by themselves; nobody is looked up | `what_an_agent_says_on_a_worker_stands_in_blocks_in_order` |
//! | 6.3.3 | all that an agent says is an event | `what_an_agent_says_on_a_worker_stands_in_blocks_in_order` |
//! | 6.3.4 | a block ends where another begins, and is kept while it is open | `what_an_agent_says_on_a_worker_stands_in_blocks_in_order`, `what_was_said_before_a_worker_was_killed_is_kept` |
//! | 6.3.5 | a tool call is stored once, with its arguments and its result | `what_an_agent_says_on_a_worker_stands_in_blocks_in_order` |
//! | 6.3.6 | the turn completes, or fails with the agent's message | `what_an_agent_says_on_a_worker_stands_in_blocks_in_order` |
//! | 6.3.7 | a workspace's mode decides where its session's next turn goes | `a_workspace_that_is_not_kept_binds_no_turn` |
//! | 6.3.8 | sub-agents of a worker's agent | none: a connection does not tell of them, and the agent's capabilities say so |
//! | 6.3.9 | a worker is told to end | `a_worker_is_told_to_end` |
//! | 6.3.10 | a session's id | none: an assignment is of its session for good, so there is nothing to set |
//! | 6.3.11 | recovery by a table | `a_turn_of_an_earlier_life_is_recovered_by_the_table`, `a_lost_workers_turn_is_interrupted_or_runs_again_after_its_lease` |
//! | D46 | a lost turn runs again where that was asked for, and its readers are told | `a_lost_workers_turn_is_interrupted_or_runs_again_after_its_lease`, `a_worker_in_python_that_is_killed_loses_its_turn_to_another` |
//! | D47 | attempts are counted at their start; nothing that has ended is run again; a store that fails forgets nothing | `a_turn_of_an_earlier_life_is_recovered_by_the_table`, `a_lost_workers_turn_is_interrupted_or_runs_again_after_its_lease`, `a_killed_gateway_settles_its_workers_turns_after_their_leases` |
//! | D48 | leases are secrets of their worker, turns of their tenant | `a_worker_touches_turns_of_its_own_leases_only`, `a_worker_of_a_tenant_gets_turns_of_its_tenant_alone`, `a_worker_of_a_tenant_gets_its_tenants_turns_alone` |
//! | D49 | nothing depends on anybody watching | `what_an_agent_says_on_a_worker_stands_in_blocks_in_order` |
//! | D50 | frames of an assignment are taken one by one, each once | `a_numbered_frame_counts_once`, `r02_r09_r14_no_partition_runs_a_turn_twice_or_loses_what_it_said` |
//! | D51 | an open block is kept as it grows, within bounds | `what_was_said_before_a_worker_was_killed_is_kept` |
//! | D52 | a turn whose worker vanished ends by its lease | `a_lost_workers_turn_is_interrupted_or_runs_again_after_its_lease`, `a_lease_ends_only_after_its_worker_has_ended_what_ran` |
//! | D53 | a block has the time of its own beginning | `what_an_agent_says_on_a_worker_stands_in_blocks_in_order` |
//! | D54 | a mode needs no session; a worker that is told to end is waited for by its lease alone | `a_workspace_that_is_not_kept_binds_no_turn`, `a_worker_is_told_to_end` |
//! | D55 | what makes no sense is refused; a tool's output is stored once | `frames_that_make_no_sense_cut_the_connection`, `what_an_agent_says_on_a_worker_stands_in_blocks_in_order` |

#[path = "agent_support/mod.rs"]
mod agents;
#[path = "clients/proxy.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod proxy;
mod support;
mod worker_support;

use proxy::Proxy;
use quarterdeck::proto::{
    self, OnInterrupt, StopReason, TurnState, admin_service_client::AdminServiceClient,
    gateway_event::Kind, gateway_service_client::GatewayServiceClient,
};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use support::{Gateway, Options, await_turn, connect, enqueue, log, run};
use tonic::{Request, transport::Channel};
use worker_support::Worker;

type Client = GatewayServiceClient<Channel>;

/// Short leases: the loss of a worker is known within seconds.
const CONFIG: &str = "worker_heartbeat = \"500ms\"\nworker_stop_after = \"4s\"\nworker_lease = \"6s\"\n\
                      worker_sticky_wait = \"200ms\"\ndefault_agent = \"far\"\n\
                      [agents.far]\ndriver = \"worker\"\nworker_principals = [\"default/local\"]\n";
const LEASE: Duration = Duration::from_secs(6);
const STOP_AFTER: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(60);

fn worker(gateway: &Gateway, name: &str) -> Worker {
    worker_with(gateway, name, "driver = \"echo\"\n")
}

/// With a key.
fn worker_with_key(gateway: &Gateway, name: &str, key: &str) -> Worker {
    let config = "[agents.far]\ndriver = \"echo\"\n";
    Worker::start_with_key(&gateway.address, name, &["far"], config, key)
}

/// With an agent of its own.
fn worker_with(gateway: &Gateway, name: &str, agent: &str) -> Worker {
    let config = format!("[agents.far]\n{agent}");
    Worker::start(&gateway.address, name, &["far"], &config)
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
    let worker = worker(&gateway, "one");
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(turn.state(), TurnState::Completed, "{turn:?}");
    assert_eq!(turn.response_text, "hello far away");
    assert_eq!(turn.attempt, 1);
    assert_eq!(run(&mut client, "s", "!history").await.response_text, "1");
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.ended().await, Some(0));
    gateway.check_store();
}

/// FEATURES 6.3 rows 3 to 6; D49, D50, D53, D55: what an agent says and does stands as items in order, each once and with the
/// time of its own beginning, and nothing depends on anybody watching.
#[tokio::test]
async fn what_an_agent_says_on_a_worker_stands_in_blocks_in_order() {
    let mut gateway = gateway();
    let mut client = gateway.client().await;
    let _worker = worker(&gateway, "one");
    let turn = run(&mut client, "t", "!think=hm !tool=hammer a nail").await;
    assert_eq!(turn.state(), TurnState::Completed);
    let events = log(&mut client, "t").await;
    let places = |wanted: fn(&Kind) -> bool| -> Vec<usize> {
        let places = events.iter().enumerate();
        places
            .filter(|(_, it)| it.kind.as_ref().is_some_and(wanted))
            .map(|(place, _)| place)
            .collect()
    };
    let thought = places(|it| matches!(it, Kind::ThinkingCompleted(_)));
    let began = places(|it| matches!(it, Kind::ToolStarted(_)));
    let ran = places(|it| matches!(it, Kind::ToolCompleted(_)));
    let said = places(
        |it| matches!(it, Kind::MessageStarted(message) if message.role() == proto::Role::Assistant),
    );
    let ended = places(|it| matches!(it, Kind::TurnEnded(_)));
    let counts = [&thought, &began, &ran, &said, &ended].map(Vec::len);
    assert_eq!(counts, [1, 1, 1, 2, 1], "{events:?}");
    let order = [said[0], thought[0], began[0], ran[0], said[1], ended[0]];
    assert!(order.is_sorted(), "{order:?}");
    let times = order.map(|place| {
        let time = events[place].event_time.expect("a time");
        (time.seconds, time.nanos)
    });
    assert!(times.is_sorted(), "{times:?}");
    let failed = run(&mut client, "t", "!fail=broken").await;
    assert_eq!(failed.state(), TurnState::Failed);
    assert!(format!("{:?}", failed.error).contains("broken"));
    gateway.check_store();
}

/// D51: of the block that an agent was at when its worker was killed, all but the last moment is kept.
#[tokio::test]
async fn what_was_said_before_a_worker_was_killed_is_kept() {
    let mut gateway = gateway();
    let mut client = gateway.client().await;
    let mut first = worker(&gateway, "one");
    let text = "!delay=100ms !repeat=600 word";
    let turn_id = start(&mut client, "s", text, OnInterrupt::Mark).await;
    until(&mut client, "s", |it| matches!(it, Kind::MessageStarted(message) if message.role() == proto::Role::Assistant)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    first.kill();
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(reason(&turn), "LEASE_LOST");
    let events = log(&mut client, "s").await;
    let kept = events.iter().find_map(|it| match &it.kind {
        Some(Kind::MessageCompleted(message)) if it.turn_id == turn_id => {
            (message.role() == proto::Role::Assistant).then(|| message.text.clone())
        }
        _ => None,
    });
    let words = kept.map_or(0, |text| text.matches("word").count());
    assert!(words >= 10, "{words}");
    gateway.check_store();
}

/// FEATURES 6.3 row 9; D54: a worker that is told to end ends what it runs and goes, and its turns end as those of a lost one.
#[tokio::test]
async fn a_worker_is_told_to_end() {
    let mut gateway = gateway();
    let mut client = gateway.client().await;
    let worker = worker(&gateway, "one");
    let turn_id = start(&mut client, "s", "!hang", OnInterrupt::Mark).await;
    until(&mut client, "s", |it| matches!(it, Kind::TurnStarted(_))).await;
    let told = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["workers", "terminate", "one", "--addr", &gateway.address])
        .output()
        .expect("it runs");
    assert!(told.status.success(), "{told:?}");
    assert_eq!(worker.ended().await, Some(0));
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(turn.state(), TurnState::Interrupted, "{turn:?}");
    assert_eq!(reason(&turn), "LEASE_LOST");
    gateway.check_store();
}

/// An abort reaches a worker and is proven by it.
#[tokio::test]
async fn an_abort_is_proven_by_the_worker() {
    let mut gateway = gateway();
    let mut client = gateway.client().await;
    let _worker = worker(&gateway, "one");
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
    let mut first = worker(&gateway, "one");
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
    first.kill();
    let killed = Instant::now();
    let _other = worker(&gateway, "two");
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
    let worker = worker(&gateway, "one");
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
    let worker = worker_with(&gateway, "one", &agent);
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
    let _worker = worker(&gateway, "one");
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

/// A worker that is not ours, behind a proxy whose port stays the same; `None` where the Python client is not built.
async fn python(gateway: &Gateway, name: &str) -> Option<(Worker, Proxy)> {
    let interpreter = agents::python_client()?;
    let proxy = Proxy::start(socket(gateway)).await;
    let address = format!("http://{}", proxy.address);
    Some((Worker::python(interpreter, &address, name, "far"), proxy))
}

fn socket(gateway: &Gateway) -> std::net::SocketAddr {
    let address = gateway.address.strip_prefix("http://");
    address.and_then(|it| it.parse().ok()).expect("an address")
}

/// Issue 18: a worker in another language speaks the same protocol. A cut connection loses and doubles nothing, an abort
/// reaches it, and it leaves once what it has is done.
#[tokio::test]
async fn a_worker_in_python_goes_on_after_a_cut_and_leaves_when_it_is_done() {
    let mut gateway = gateway();
    let Some((worker, proxy)) = python(&gateway, "py").await else {
        return;
    };
    let mut client = gateway.client().await;
    let words = "one two three four five six seven eight nine ten";
    let turn_id = start(
        &mut client,
        "s",
        &format!("!slow {words}"),
        OnInterrupt::Mark,
    )
    .await;
    for _ in 0..3 {
        until(&mut client, "s", |it| matches!(it, Kind::MessageStarted(message) if message.role() == proto::Role::Assistant)).await;
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(turn.state(), TurnState::Completed, "{turn:?}");
    assert_eq!((turn.response_text.as_str(), turn.attempt), (words, 1));
    let hangs = start(&mut client, "s", "!hang", OnInterrupt::Mark).await;
    until(&mut client, "s", |it| matches!(it, Kind::TurnStarted(started) if started.turn.as_ref().is_some_and(|it| it.turn_id == hangs))).await;
    let abort = proto::AbortRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    client.abort(abort).await.expect("it is stopped");
    assert_eq!(
        await_turn(&mut client, "s", &hangs).await.state(),
        TurnState::Canceled
    );
    let last = start(
        &mut client,
        "t",
        &format!("!slow {words}"),
        OnInterrupt::Mark,
    )
    .await;
    until(&mut client, "t", |it| matches!(it, Kind::MessageStarted(message) if message.role() == proto::Role::Assistant)).await;
    worker.signal(rustix::process::Signal::TERM);
    let turn = await_turn(&mut client, "t", &last).await;
    assert_eq!(turn.response_text, words);
    assert_eq!(worker.ended().await, Some(0));
    gateway.check_store();
}

/// D46, R2: the same worker, killed in the middle of a turn: the lease is waited for, then the turn runs again elsewhere.
#[tokio::test]
async fn a_worker_in_python_that_is_killed_loses_its_turn_to_another() {
    let mut gateway = gateway();
    let Some((mut worker, _proxy)) = python(&gateway, "py1").await else {
        return;
    };
    let mut client = gateway.client().await;
    let text = "!slow one two three four five six seven eight";
    let turn_id = start(&mut client, "s", text, OnInterrupt::Retry).await;
    until(&mut client, "s", |it| matches!(it, Kind::MessageStarted(message) if message.role() == proto::Role::Assistant)).await;
    worker.kill();
    let killed = Instant::now();
    let _other = python(&gateway, "py2").await;
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert!(killed.elapsed() + Duration::from_secs(1) >= LEASE);
    assert_eq!(turn.state(), TurnState::Completed, "{turn:?}");
    assert_eq!(turn.attempt, 2);
    assert_eq!(turn.response_text, text.replace("!slow ", ""));
    gateway.check_store();
}

/// Holes 1 and 2: the gateway is killed and comes back, and is out of reach for longer than `stop_after`: the worker ends what
/// it ran by itself, says so, and takes the next turn.
#[tokio::test]
async fn a_worker_in_python_fences_itself_and_outlives_its_gateway() {
    let mut gateway = gateway();
    let Some((_worker, proxy)) = python(&gateway, "py").await else {
        return;
    };
    let mut client = gateway.client().await;
    let long = format!("!slow {}", "word ".repeat(1000));
    let turn_id = start(&mut client, "s", &long, OnInterrupt::Mark).await;
    until(&mut client, "s", |it| matches!(it, Kind::MessageStarted(message) if message.role() == proto::Role::Assistant)).await;
    gateway.kill();
    gateway.restart();
    proxy.aim(socket(&gateway));
    let mut client = gateway.client().await;
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(reason(&turn), "LEASE_LOST");
    let turn = run(&mut client, "s", "here again").await;
    assert_eq!(turn.response_text, "here again");
    let turn_id = start(&mut client, "t", &long, OnInterrupt::Mark).await;
    until(&mut client, "t", |it| matches!(it, Kind::MessageStarted(message) if message.role() == proto::Role::Assistant)).await;
    proxy.refuse(true);
    proxy.cut();
    let cut = Instant::now();
    // `stop_after` is over and the lease is not: what it does not hold any more it has ended.
    tokio::time::sleep(STOP_AFTER + Duration::from_millis(200)).await;
    proxy.refuse(false);
    let turn = await_turn(&mut client, "t", &turn_id).await;
    assert_eq!(reason(&turn), "LEASE_LOST");
    assert!(cut.elapsed() >= STOP_AFTER);
    let turn = run(&mut client, "t", "and again").await;
    assert_eq!(turn.response_text, "and again");
    gateway.check_store();
}

/// Calls with a key.
fn with_key<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {key}").parse().expect("a header's value");
    request.metadata_mut().insert("authorization", value);
    request
}

/// Hole 10, D48: a worker of a tenant gets that tenant's turns alone, although `worker_principals` names it for all; others'
/// wait until the operator's own is there.
#[tokio::test]
async fn a_worker_of_a_tenant_gets_its_tenants_turns_alone() {
    let principals = "worker_principals = [\"acme/builder\", \"default/builder\"]\n";
    let gateway = Gateway::with(Options {
        config: CONFIG.replace("worker_principals = [\"default/local\"]\n", principals),
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let admin = std::fs::read_to_string(gateway.data().join("admin.key")).expect("a key");
    let admin = admin.trim();
    let mut keys = AdminServiceClient::connect(gateway.address.clone())
        .await
        .expect("the server accepts");
    let mut key = async |tenant: &str, scopes: &[&str]| {
        let wish = proto::CreateApiKeyRequest {
            tenant: tenant.into(),
            subject: "builder".into(),
            scopes: scopes.iter().map(|&it| it.to_owned()).collect(),
            ..Default::default()
        };
        let made = keys.create_api_key(with_key(admin, wish)).await;
        made.expect("a key").into_inner().secret
    };
    let of_worker = ["worker.connect"];
    let of_caller = ["session.read", "session.write"];
    let acme = (key("acme", &of_worker).await, key("acme", &of_caller).await);
    let other = key("other", &of_caller).await;
    let operator = key("default", &of_worker).await;
    let mut client = connect(&gateway.address).await;
    let mut enqueue = async |key: &str| {
        let request = proto::EnqueueRequest {
            session_key: "s".into(),
            text: "hello".into(),
            ..Default::default()
        };
        let accepted = client.enqueue(with_key(key, request)).await;
        accepted
            .expect("accepted")
            .into_inner()
            .turn
            .expect("a turn")
    };
    let strangers = enqueue(&other).await.turn_id;
    let own = enqueue(&acme.1).await.turn_id;
    let _worker = worker_with_key(&gateway, "of-acme", &acme.0);
    let mut client = connect(&gateway.address).await;
    let mut ended = async |key: &str, turn_id: &str, seconds: i64| {
        let request = proto::AwaitTurnRequest {
            session_key: "s".into(),
            turn_id: turn_id.into(),
            wait: Some(prost_types::Duration { seconds, nanos: 0 }),
            or_question: false,
        };
        let turn = client.await_turn(with_key(key, request)).await;
        turn.expect("the turn exists")
            .into_inner()
            .turn
            .expect("a turn")
    };
    assert_eq!(ended(&acme.1, &own, 60).await.state(), TurnState::Completed);
    let waits = ended(&other, &strangers, 1).await;
    assert_eq!(waits.state(), TurnState::Queued, "{waits:?}");
    let _operators = worker_with_key(&gateway, "of-all", &operator);
    assert_eq!(
        ended(&other, &strangers, 60).await.state(),
        TurnState::Completed
    );
}

/// Every test that the table above names is there.
#[test]
fn the_table_names_tests_that_there_are() {
    let seen = support::assert_named(include_str!("workers.rs"), "row |");
    assert_eq!(seen, 21, "each row of both lists");
}
