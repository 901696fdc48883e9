//! R7 through the whole gateway: an Abort answers when nothing that its turn started is left and its end is committed.
//! (The figure of 200 aborts is that of `agent_process`, against the process alone.)

use crate::{
    support::log,
    verify::check_log,
    world::{Dice, Site, Visitor, dice, figure, is_terminal, prompt, scripted_pi, span},
};
use quarterdeck::proto::{AbortMode, AbortRequest, TurnState};
use std::time::Duration;
use tokio::task::JoinSet;

/// Sessions, each with an agent of its own, so that a process tells whose it is.
pub const SESSIONS: usize = 4;
/// What the turns do: some ignore every soft way, and leave processes in groups and sessions of their own.
const DEEDS: [&str; 6] = ["tool", "deaf", "deaf", "endless", "hang", "flood"];
/// Time before CANCEL becomes KILL.
const GRACE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r07_abort_answers_when_nothing_of_its_turn_is_left() {
    let mut dice = dice(7);
    let markers = markers();
    let config = markers
        .iter()
        .enumerate()
        .map(|(n, marker)| scripted_pi(&format!("pi{n}"), &[("FAKE_PI_MARKER", marker)]))
        .collect();
    let mut site = Site::start(config);
    let mut tasks = JoinSet::new();
    for (number, marker) in markers.into_iter().enumerate() {
        tasks.spawn(abort_often(
            site.visitor().await,
            dice.fork(),
            number,
            marker,
            figure(40, 5_000) / SESSIONS as u64,
        ));
    }
    let mut found = 0;
    while let Some(ended) = tasks.join_next().await {
        found += ended.expect("no caller panics");
    }
    println!("{found} aborts found processes to end");
    assert!(found > 0, "no abort had anything to end");
    let mut visitor = site.visitor().await;
    for number in 0..SESSIONS {
        check_log(&log(&mut visitor.client, &key(number)).await, true);
    }
    site.gateway.check_store();
}

/// What the `sleep`s of each session's turns are told: it takes any number, and these are nobody else's.
pub fn markers() -> Vec<String> {
    (0..SESSIONS)
        .map(|_| format!("8{:09}", uuid::Uuid::new_v4().as_u128() % 1_000_000_000))
        .collect()
}

/// Aborts turns of a session so many times; returns in how many there was anything to end.
pub async fn abort_often(
    mut visitor: Visitor,
    mut dice: Dice,
    number: usize,
    marker: String,
    aborts: u64,
) -> u64 {
    let mut found = 0;
    for _ in 0..aborts {
        let mut request = prompt(&key(number), dice.pick::<&str>(&DEEDS), "");
        request.agent = format!("pi{number}");
        let turn = visitor
            .enqueue(&request)
            .await
            .expect("accepted")
            .turn
            .expect("a turn");
        // At any moment: while it is queued, while its agent starts, while it runs, at its end.
        tokio::time::sleep(dice.millis(0, 400)).await;
        found += u64::from(!living(&marker).is_empty());
        let mut abort = AbortRequest {
            session_key: key(number),
            turn_id: turn.turn_id.clone(),
            grace: Some(span(GRACE)),
            ..Default::default()
        };
        abort.set_mode(*dice.pick(&[AbortMode::Cancel, AbortMode::Cancel, AbortMode::Kill]));
        let answer = visitor
            .client
            .abort(abort)
            .await
            .expect("answered")
            .into_inner();
        let left = living(&marker);
        assert!(
            left.is_empty(),
            "left after the abort of {:?}: {left:?}",
            turn.text
        );
        let ended = answer.turn.expect("a turn");
        assert!(is_terminal(ended.state()), "{ended:?}");
        let stopped = matches!(ended.state(), TurnState::Canceled | TurnState::Rejected);
        assert_eq!(answer.aborted, stopped, "{ended:?}");
        assert!(
            stopped || ended.state() == TurnState::Completed,
            "{ended:?}"
        );
        let events = log(&mut visitor.client, &key(number)).await;
        let last = events.last().expect("events");
        assert_eq!(
            crate::support::kind(last),
            "turn_ended",
            "committed before the answer"
        );
    }
    found
}

fn key(number: usize) -> String {
    format!("nasty-{number}")
}

/// Command lines of live processes that a turn started.
fn living(marker: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("there is a /proc");
    processes
        .flatten()
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.starts_with("sleep") && line.contains(marker))
        .collect()
}
