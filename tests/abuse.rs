//! R16, SECURITY.md 3.4: hostile peers against the built binary, beside a healthy caller.
//!
//! Runs where `QUARTERDECK_TEST_PYTHON` is a Python with `h2`; `.ci/install-python` makes one and prints it. Without it
//! this test says so and passes. An attack ends when its size is reached (that of SECURITY.md), or its time is over;
//! `QUARTERDECK_TEST_ABUSE=full` gives each a minute instead of a second.
//!
//! What is asserted, and how robust it is:
//! * **What the server does about it**: it ends the connections of floods, refuses what is too large, sends nothing that
//!   is not asked for. Exact.
//! * **The healthy caller** has a connection of its own and makes a call every two milliseconds. Its latency under attack
//!   is compared with its latency while the attacker's place is taken by a process that only spins, since on two cores
//!   the attacker's own use of a processor costs the caller more than what the server does for it. Both are taken in
//!   turns, two rounds of all attacks. Over all attacks its 99th percentile is at most twice the baseline's and
//!   [`NOISE_MAX`] (thousands of samples each): twice is what is promised and what a quiet machine shows, the rest is for
//!   one that does something else too. Of a single attack, with a few hundred samples, it is at most that and
//!   [`STALL_MAX`]: that finds a server which stands still, not one that is a little slower.
//! * **Memory**: at no attack's peak is the server more than the attack's bound above what it was before, and after the
//!   second round it is no larger than after the first one and [`FLAT_BYTES`].

mod support;

use quarterdeck::proto::GetSessionRequest;
use serde_json::Value;
use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use support::{Client, Gateway, Options, connect, run};
use tokio::{process::Command, time::timeout};

/// What a single attack may add to twice the baseline.
const STALL_MAX: Duration = Duration::from_secs(1);
/// What all attacks together may add to twice the baseline, where others use the machine as well.
const NOISE_MAX: Duration = Duration::from_millis(150);
/// A baseline below this is taken as this: at such speed the scheduler decides.
const BASELINE_MIN: Duration = Duration::from_millis(5);
/// What the second round of all attacks may add to the server, in bytes: what the allocator keeps of a room that was
/// filled and emptied.
const FLAT_BYTES: u64 = ROOM_BYTES;
/// What an attack may add to the server at its peak, where it names nothing else, in bytes.
const PEAK_BYTES: u64 = 32 << 20;
/// What the server gives to large answers that nobody takes, over all callers; twice that to large requests.
const ROOM_BYTES: u64 = 64 << 20;
/// Time of a baseline between two attacks.
const BASELINE: Duration = Duration::from_millis(300);
/// Time between two calls of the healthy caller.
const PAUSE: Duration = Duration::from_millis(2);
/// Time of an attack by silence: the server's patience is ten seconds.
const SILENT: Duration = Duration::from_secs(30);
/// Anything is given up after this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A script's attack.
struct Attack {
    name: &'static str,
    /// How much of it at most.
    size: u64,
    /// What it may add to the server at its peak, in bytes.
    peak: u64,
    /// What the server must have done.
    expected: fn(&Outcome) -> bool,
}

/// What a script says that came of it.
struct Outcome(Value);

/// What the healthy caller felt: when each call began, and how long it took.
#[derive(Clone, Default)]
struct Felt(Arc<Mutex<Vec<(Instant, Duration)>>>);

const ATTACKS: &[Attack] = &[
    flood("rapid_reset", 100_000, Outcome::calmed),
    flood("rapid_reset_of_whole_calls", 100_000, Outcome::calmed),
    flood("made_you_reset", 100_000, Outcome::ended),
    flood("continuation", 10_000, Outcome::ended),
    flood("empty_continuation", 10_000, Outcome::ended),
    flood("empty_data", 1_000_000, Outcome::calmed),
    // One that answers, and stops reading where its answers are not taken, need not end these.
    flood("settings_flood", 100_000, Outcome::sent),
    flood("settings_flood_unread", 100_000, Outcome::sent),
    flood("ping_flood", 100_000, Outcome::sent),
    flood("ping_flood_unread", 100_000, Outcome::sent),
    flood("priority_flood", 100_000, Outcome::sent),
    flood("window_update_flood", 100_000, Outcome::sent),
    holding("window_zero", 500, 2, Outcome::sent_no_data),
    holding("window_one", 500, 2, Outcome::sent),
    flood("half_open", 2_000, Outcome::sent),
    flood("header_list", 100, Outcome::refused),
    flood("many_header_lists", 1_000, Outcome::refused),
    holding("gzip_bomb", 100, 1, Outcome::refused),
    flood("unknown_fields", 200, Outcome::refused),
    flood("nested_groups", 1_000, Outcome::refused),
    flood("nested_messages", 200, Outcome::refused),
    flood("bad_metadata", 1_000, Outcome::answered),
    flood("bad_keys", 5_000, Outcome::refused),
    holding("empty_attachments", 10, 2, Outcome::refused),
    holding("long_key", 10, 2, Outcome::refused),
];

const fn flood(name: &'static str, size: u64, expected: fn(&Outcome) -> bool) -> Attack {
    Attack {
        name,
        size,
        peak: PEAK_BYTES,
        expected,
    }
}

/// One after which the server holds answers or requests of some megabytes for a while.
const fn holding(
    name: &'static str,
    size: u64,
    rooms: u64,
    expected: fn(&Outcome) -> bool,
) -> Attack {
    Attack {
        name,
        size,
        peak: rooms * ROOM_BYTES + PEAK_BYTES,
        expected,
    }
}

// === impl Outcome ===

impl Outcome {
    fn sent(&self) -> bool {
        self.0["sent"].as_u64().is_some_and(|sent| sent > 0)
    }

    fn sent_no_data(&self) -> bool {
        self.sent() && self.0["data_frames"] == 0
    }

    /// The server ended connections for it.
    fn ended(&self) -> bool {
        let goaways = self.0["goaways"].as_object();
        self.sent() && goaways.is_some_and(|goaways| !goaways.is_empty())
    }

    /// It did so with ENHANCE_YOUR_CALM.
    fn calmed(&self) -> bool {
        self.ended() && self.0["goaways"]["11"].is_u64()
    }

    fn ends(&self) -> impl Iterator<Item = &str> {
        let ends = self.0["ends"].as_object().into_iter().flatten();
        ends.map(|(end, _)| end.as_str())
    }

    /// Every call had an end, and none a bug.
    fn answered(&self) -> bool {
        self.sent()
            && self
                .ends()
                .all(|end| !matches!(end, "silence" | "grpc 13" | "grpc 2"))
    }

    /// None was accepted.
    fn refused(&self) -> bool {
        self.answered()
            && self
                .ends()
                .all(|end| !matches!(end, "grpc 0" | "200" | "done"))
    }
}

// === impl Felt ===

impl Felt {
    fn note(&self, began: Instant, took: Duration) {
        let mut felt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        felt.push((began, took));
    }

    /// Latencies of calls that began within the time.
    fn between(&self, start: Instant, end: Instant) -> Vec<Duration> {
        let felt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let within = felt
            .iter()
            .filter(|(began, _)| (start..end).contains(began));
        within.map(|(_, took)| *took).collect()
    }
}

/// A server that speaks TLS, and where its files are.
fn encrypted() -> (Gateway, tempfile::TempDir) {
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("a certificate");
    let place = tempfile::tempdir().expect("a directory");
    let (certificate, key) = (place.path().join("tls.pem"), place.path().join("tls.key"));
    std::fs::write(&certificate, pair.cert.pem()).expect("a file");
    std::fs::write(&key, pair.signing_key.serialize_pem()).expect("a file");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private).expect("it is ours");
    let gateway = Gateway::with(Options {
        config: format!("tls_certificate = {certificate:?}\ntls_key = {key:?}\n"),
        ..Options::default()
    });
    (gateway, place)
}

fn percentile_99(samples: &[Duration]) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * 99).div_ceil(100);
    sorted
        .get(place.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

async fn call(client: &mut Client) {
    let request = GetSessionRequest {
        session_key: "big".into(),
        ..Default::default()
    };
    let answer = timeout(PATIENCE, client.get_session(request)).await;
    answer.expect("it answers").expect("the session is there");
}

/// Calls until the test ends.
async fn stay_healthy(address: String, felt: Felt) {
    let mut client = connect(&address).await;
    loop {
        let began = Instant::now();
        call(&mut client).await;
        felt.note(began, began.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attack(python: &str, address: &str, name: &str, size: u64, limit: Duration) -> Outcome {
    let (_, address) = address.split_once("://").expect("a scheme");
    let (host, port) = address.rsplit_once(':').expect("an address and a port");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/abuse/attacks.py");
    let script = Command::new(python)
        .args([script, name, host, port])
        .args([size.to_string(), limit.as_secs_f64().to_string()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, script)
        .await
        .expect("scripts are bounded");
    let said = output.expect("it starts").stdout;
    let outcome = serde_json::from_slice(&said);
    Outcome(outcome.unwrap_or_else(|error| panic!("{name} failed: {error}")))
}

/// A line of `/proc/PID/status` in bytes.
fn memory(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let found = status.lines().find_map(|it| it.strip_prefix(line));
    let number = found.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
    let kibibytes: u64 = number.and_then(|it| it.parse().ok()).expect("a number");
    kibibytes << 10
}

fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("it is ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn r16_hostile_peers_cost_a_healthy_caller_little_and_no_memory_for_good() {
    let Ok(python) = std::env::var("QUARTERDECK_TEST_PYTHON") else {
        eprintln!("QUARTERDECK_TEST_PYTHON is not set: no hostile peer is tried");
        return;
    };
    let full = std::env::var("QUARTERDECK_TEST_ABUSE").is_ok_and(|it| it == "full");
    let limit = Duration::from_millis(if full { 60_000 } else { 500 });
    let gateway = Gateway::start();
    let pid = gateway.pid();
    let mut client = gateway.client().await;
    // Something that readers can ask for and not take.
    for _ in 0..4 {
        run(&mut client, "big", "!repeat=20000 0123456789").await;
    }
    // These take longer than a server waits for a connection's first word, so they go on beside all others.
    let (encrypted, _files) = encrypted();
    let silent: Vec<_> = [
        ("drip", &gateway.address, 20),
        ("tls_half", &encrypted.address, 200),
        ("tls_silent", &encrypted.address, 200),
    ]
    .into_iter()
    .map(|(name, address, size)| {
        let (python, address) = (python.clone(), address.clone());
        let limit = SILENT;
        let attack = async move { (name, attack(&python, &address, name, size, limit).await) };
        tokio::spawn(attack)
    })
    .collect();
    let felt = Felt::default();
    let healthy = tokio::spawn(stay_healthy(gateway.address.clone(), felt.clone()));

    let (mut baseline, mut attacked) = (Vec::new(), Vec::new());
    let mut of_attack: Vec<Vec<Duration>> = vec![Vec::new(); ATTACKS.len()];
    let mut after_round = Vec::new();
    let mut problems = Vec::new();
    for _ in 0..2 {
        for (one, samples) in ATTACKS.iter().zip(&mut of_attack) {
            let began = Instant::now();
            attack(&python, &gateway.address, "spin", 1, BASELINE).await;
            baseline.extend(felt.between(began, Instant::now()));

            let before = memory(pid, "VmRSS");
            forget_peak(pid);
            let began = Instant::now();
            let outcome = attack(&python, &gateway.address, one.name, one.size, limit).await;
            let took = began.elapsed();
            samples.extend(felt.between(began, began + took));
            let peak = memory(pid, "VmHWM").saturating_sub(before);
            if !(one.expected)(&outcome) {
                problems.push(format!("{}: {}", one.name, outcome.0));
            }
            if peak > one.peak {
                problems.push(format!("{}: {} MiB more", one.name, peak >> 20));
            }
            eprintln!(
                "{:27} {:5.1?} s, peak {:3} MiB, {}",
                one.name,
                took.as_secs_f64(),
                peak >> 20,
                outcome.0
            );
            // Who comes anew is served too.
            call(&mut gateway.client().await).await;
        }
        after_round.push(memory(pid, "VmRSS"));
    }
    for attack in silent {
        let (name, Outcome(outcome)) = attack.await.expect("it ends");
        if outcome["cut"] != outcome["sent"] || outcome["sent"] == 0 {
            problems.push(format!("{name}: {outcome}"));
        }
    }
    assert!(!healthy.is_finished(), "every healthy call was answered");
    healthy.abort();

    let base = percentile_99(&baseline).max(BASELINE_MIN);
    for (one, samples) in ATTACKS.iter().zip(&of_attack) {
        let felt = percentile_99(samples);
        eprintln!("{:27} p99 {felt:8.1?} of {}", one.name, samples.len());
        if felt > 2 * base + STALL_MAX {
            problems.push(format!("{}: p99 {felt:?}, baseline {base:?}", one.name));
        }
        attacked.extend(samples);
    }
    let all = percentile_99(&attacked);
    eprintln!(
        "baseline p99 {base:.1?} of {}, under attack {all:.1?} of {}; resident {} MiB, then {} MiB",
        baseline.len(),
        attacked.len(),
        after_round[0] >> 20,
        after_round[1] >> 20
    );
    if all > 2 * base + NOISE_MAX {
        problems.push(format!("p99 of all attacks {all:?}, baseline {base:?}"));
    }
    if after_round[1] > after_round[0] + FLAT_BYTES {
        problems.push(format!("resident {after_round:?} after each round"));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
