//! One behaviour for all clients: each client's driver plays each scenario of `clients/behaviour/scenarios.json` against
//! a real server. How drivers and scenarios are made stands in `clients/behaviour/README.md`.

#[path = "../certificates/mod.rs"]
mod certificates;
mod driver;
mod events;
mod expect;
mod play;
mod proxy;
mod scenario;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod table;

use driver::{Program, programs};
use scenario::Scenario;
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};
use table::{Cell, Outcome};
use tokio::task::JoinSet;

/// What every client must do.
const SCENARIOS: &str = include_str!("../../clients/behaviour/scenarios.json");
/// Scenarios that play at once. They wait more than they work.
const AT_ONCE: usize = 4;

/// Those that were asked for.
fn scenarios() -> Vec<Scenario> {
    let mut scenarios = scenario::all(SCENARIOS);
    if let Ok(words) = std::env::var("QUARTERDECK_TEST_SCENARIOS") {
        let asked = |name: &str| words.split(',').any(|word| name.contains(word));
        scenarios.retain(|scenario| asked(&scenario.name));
    }
    scenarios
}

/// Rust's own driver.
fn rust_driver() -> PathBuf {
    if let Some(path) = std::env::var_os("QUARTERDECK_TEST_RUST_DRIVER") {
        return path.into();
    }
    let target = Path::new(env!("CARGO_BIN_EXE_quarterdeck")).parent();
    let driver = target
        .expect("a directory")
        .join("examples/behaviour-driver");
    assert!(
        driver.exists(),
        "run `cargo build --example behaviour-driver` first"
    );
    driver
}

fn rust() -> Program {
    Program {
        name: "rust".into(),
        command: vec![rust_driver()],
    }
}

/// Plays all with all, a few at once; the cells are sorted by client.
async fn play_all(programs: &[Program], scenarios: &[Scenario]) -> Vec<Cell> {
    let pairs = scenarios.iter().flat_map(|scenario| {
        programs
            .iter()
            .map(move |program| (program.clone(), scenario.clone()))
    });
    let waiting = Arc::new(Mutex::new(pairs.collect::<VecDeque<_>>()));
    let mut lanes = JoinSet::new();
    for _ in 0..AT_ONCE {
        let waiting = waiting.clone();
        lanes.spawn(async move {
            let mut cells = Vec::new();
            loop {
                let next = waiting.lock().expect("no panic").pop_front();
                let Some((program, scenario)) = next else {
                    return cells;
                };
                let began = Instant::now();
                let outcome = match play::play(&program, &scenario).await {
                    Ok(()) => Outcome::Passed(began.elapsed()),
                    Err(problem) => Outcome::Failed(problem),
                };
                cells.push(Cell {
                    client: program.name,
                    scenario: scenario.name,
                    outcome,
                });
            }
        });
    }
    let cells = lanes.join_all().await;
    let mut cells: Vec<Cell> = cells.into_iter().flatten().collect();
    cells.sort_by(|a, b| (&a.client, &a.scenario).cmp(&(&b.client, &b.scenario)));
    cells
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_does_what_every_scenario_says() {
    let mut all = match std::env::var_os("QUARTERDECK_TEST_RUST_DRIVER") {
        // A runner that was built elsewhere may have been given none.
        Some(path) if path.is_empty() => Vec::new(),
        _ => vec![rust()],
    };
    all.extend(programs(
        &std::env::var("QUARTERDECK_TEST_CLIENTS").unwrap_or_default(),
    ));
    let scenarios = scenarios();
    let cells = play_all(&all, &scenarios).await;
    table::print(&all, &scenarios, &cells);
    let failed = cells.iter().filter(|cell| cell.problem().is_some()).count();
    assert_eq!(failed, 0, "of {} runs; see the table above", cells.len());
}

/// Faults of `tests/fixtures/faulty_driver.py`, a scenario that must find each, and a word of what it must say.
const FAULTS: &[(&str, &str, &str)] = &[
    ("repeats_event", "stream", "came after"),
    ("loses_event", "stream", "came after"),
    ("swaps_events", "session_deleted", "came after"),
    ("loses_text", "chat", "one two four five"),
    ("loses_piece", "chat", "pieces that came"),
    (
        "tries_again",
        "bad_input",
        "INVALID_FIELD: expected 2, got 4",
    ),
    ("answers_twice", "enqueue", "twice"),
    ("never_answers", "deadline", "no answer within 8000 ms"),
    ("makes_noise", "enqueue", "no JSON"),
    ("prints_key", "enqueue", "printed the key"),
    ("calls_errors_well", "unknown_session", "expected `error`"),
    ("ends_badly", "enqueue", "ended with exit status: 3"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_planted_fault_is_found() {
    let scenarios = scenario::all(SCENARIOS);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faulty_driver.py");
    let mut plays = JoinSet::new();
    for (fault, name, word) in FAULTS {
        let scenario = scenarios.iter().find(|scenario| scenario.name == *name);
        let scenario = scenario.expect("a scenario of that name").clone();
        let command = vec![
            "python3".into(),
            fixture.clone(),
            fault.into(),
            rust_driver(),
        ];
        let program = Program {
            name: (*fault).into(),
            command,
        };
        plays.spawn(async move {
            match play::play(&program, &scenario).await {
                Ok(()) => Some(format!("{name} does not see that a client {fault}")),
                Err(problem) if problem.contains(word) => None,
                Err(problem) => Some(format!("{name}, {fault}: not {word:?} but {problem}")),
            }
        });
    }
    let problems: Vec<_> = plays.join_all().await.into_iter().flatten().collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
