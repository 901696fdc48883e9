//! R2, R7, R9 and R14 where turns run on workers: the way between them and the server is cut, delayed, muted and closed for
//! longer than a lease, and each process of it is killed or stopped, at any moment.

use crate::{
    abort::{SESSIONS, abort_often, markers},
    proxy::{Mode, Proxy},
    support::log,
    verify::check_log,
    worker_support::Worker,
    world::{Dice, Site, UNBOUNDED, Visitor, dice, figure, prompt, python, scripted_pi},
};
use quarterdeck::proto::{self, OnInterrupt, TurnState, gateway_event::Kind};
use rustix::process::Signal;
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::Path,
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};

/// A worker is out of reach long before its turns are given up: this machine may be busy.
const RULES: &str = "worker_heartbeat = \"300ms\"\nworker_stop_after = \"1s\"\nworker_lease = \"2500ms\"\n\
                     worker_sticky_wait = \"100ms\"\nqueue_limit_turns = 1000\n";
/// In milliseconds: longer than a lease.
const LEASE_OVER: (u64, u64) = (2600, 3200);
/// In milliseconds: shorter than a worker works alone.
const LEASE_LASTS: (u64, u64) = (50, 700);
/// Sessions of either kind.
const SESSIONS_EACH: usize = 3;
/// Words of a reply.
const WORDS: u64 = 20;

/// A worker behind a proxy of its own.
struct Far {
    worker: Worker,
    proxy: Proxy,
}

/// What a turn was asked to do.
#[derive(Clone)]
enum Wanted {
    /// Says this, after a thought and a tool.
    Words(String),
    /// Writes its process and the time to a file that is named so, again and again.
    Marks(String),
}

fn address(site: &Site) -> SocketAddr {
    let address = site.gateway.address.strip_prefix("http://");
    address.and_then(|it| it.parse().ok()).expect("an address")
}

fn remote(name: &str) -> String {
    format!(
        "[agents.{name}]\ndriver = \"worker\"\nworker_principals = [\"default/local\"]\nmax_attempts = 100\n"
    )
}

async fn far(site: &Site, name: &str, agents: &[&str], config: &str) -> Far {
    let proxy = Proxy::start(address(site)).await;
    let worker = Worker::start(&format!("http://{}", proxy.address), name, agents, config);
    Far { worker, proxy }
}

/// Does something to a worker, its way, or the server, and undoes it.
async fn disturb(dice: &mut Dice, site: &mut Site, fars: &mut [Far]) -> &'static str {
    let number = dice.below(fars.len() as u64) as usize;
    let over = |dice: &mut Dice| dice.millis(LEASE_OVER.0, LEASE_OVER.1);
    let lasts = |dice: &mut Dice| dice.millis(LEASE_LASTS.0, LEASE_LASTS.1);
    let Far { worker, proxy } = &mut fars[number];
    match dice.below(12) {
        0 => {
            proxy.cut();
            "cut"
        }
        1 => {
            proxy.refuse(true);
            proxy.cut();
            sleep(lasts(dice)).await;
            proxy.refuse(false);
            "away for a moment"
        }
        2 | 3 => {
            proxy.refuse(true);
            proxy.cut();
            sleep(over(dice)).await;
            proxy.refuse(false);
            "away for longer than a lease"
        }
        4 => {
            proxy.set(Mode::Stall);
            sleep(over(dice)).await;
            proxy.cut();
            "silent for longer than a lease"
        }
        5 => {
            // What the worker says arrives, and it hears nothing.
            proxy.set(Mode::Mute);
            sleep(over(dice)).await;
            proxy.cut();
            "deaf for longer than a lease"
        }
        6 | 7 => {
            proxy.cut_every(1 + dice.below(3000));
            proxy.cut();
            sleep(Duration::from_millis(1500)).await;
            proxy.cut_every(0);
            proxy.cut();
            "cut again and again"
        }
        8 => {
            proxy.delay(1 + dice.below(200));
            sleep(Duration::from_secs(1)).await;
            proxy.delay(0);
            "slow"
        }
        9 => {
            worker.signal(Signal::STOP);
            let pause = if dice.chance(50) {
                lasts(dice)
            } else {
                over(dice)
            };
            sleep(pause).await;
            worker.signal(Signal::CONT);
            "stopped"
        }
        10 => {
            worker.kill();
            sleep(lasts(dice)).await;
            worker.restart();
            "killed"
        }
        _ => {
            site.gateway.kill();
            sleep(lasts(dice)).await;
            site.restart();
            for far in &*fars {
                far.proxy.aim(address(site));
            }
            "the server killed"
        }
    }
}

/// A turn of either kind for a session.
fn turn(dice: &mut Dice, number: u64, marks: &Path) -> (proto::EnqueueRequest, Wanted) {
    let session = dice.below(SESSIONS_EACH as u64);
    let id = format!("turn-{number}");
    let (agent, text, wanted) = if dice.chance(50) {
        let words: Vec<String> = (0..WORDS).map(|word| format!("{number}.{word}")).collect();
        let said = words.join(" ");
        let text = format!("!delay=25ms !think=hm !tool=hammer {said}");
        ("words", text, Wanted::Words(said))
    } else {
        let file = marks.join(&id);
        let text = format!(
            "shell for i in 1 2 3 4 5 6; do echo $$ $(date +%s%3N) >>{}; sleep 0.1; done; echo done",
            file.display()
        );
        ("marks", text, Wanted::Marks(id.clone()))
    };
    let retry = dice.chance(60);
    let request = proto::EnqueueRequest {
        agent: agent.into(),
        on_interrupt: if retry {
            OnInterrupt::Retry
        } else {
            OnInterrupt::Mark
        }
        .into(),
        ..prompt(&format!("{agent}-{session}"), &text, &id)
    };
    (request, wanted)
}

/// R2: whoever wrote marks of one turn was alone while it did.
fn check_marks(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut lives: HashMap<&str, (u64, u64)> = HashMap::new();
    for line in text.lines() {
        let Some((process, time)) = line.split_once(' ') else {
            continue;
        };
        let Ok(time) = time.parse() else { continue };
        let life = lives.entry(process).or_insert((time, time));
        life.1 = life.1.max(time);
    }
    let mut lives: Vec<(u64, u64)> = lives.into_values().collect();
    lives.sort_unstable();
    for pair in lives.windows(2) {
        assert!(pair[0].1 < pair[1].0, "two at once: {text}");
    }
}

/// A planted fault: two processes that took turns in writing marks.
#[test]
#[should_panic(expected = "two at once")]
fn two_lives_of_a_turn_at_once_are_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("marks");
    std::fs::write(&file, "7 100\n8 150\n7 200\n8 250\n").expect("a file");
    check_marks(&file);
}

/// R14: what a completed turn said stands once, in its last attempt.
fn check_words(events: &[proto::GatewayEvent], turn_id: &str) {
    let of_turn: Vec<&Kind> = (events.iter())
        .filter(|it| it.turn_id == turn_id)
        .filter_map(|it| it.kind.as_ref())
        .collect();
    let last = (of_turn.iter())
        .rposition(|it| matches!(it, Kind::TurnStarted(_)))
        .expect("it began");
    let count = |wanted: fn(&Kind) -> bool| of_turn[last..].iter().filter(|it| wanted(it)).count();
    assert_eq!(count(|it| matches!(it, Kind::ThinkingCompleted(_))), 1);
    assert_eq!(count(|it| matches!(it, Kind::ToolStarted(_))), 1);
    assert_eq!(count(|it| matches!(it, Kind::ToolCompleted(_))), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r02_r09_r14_no_partition_runs_a_turn_twice_or_loses_what_it_said() {
    let mut dice = dice(14);
    let marks = tempfile::tempdir().expect("a directory");
    let config = [UNBOUNDED, RULES, &remote("words"), &remote("marks")].concat();
    let mut site = Site::start(config);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fake_pi.py");
    let own = format!(
        "[agents.words]\ndriver = \"echo\"\n[agents.marks]\ndriver = \"pi\"\nisolation = \"none\"\n\
         command = [{:?}, \"-S\", \"-E\", {script:?}]\n",
        python()
    );
    let mut fars = Vec::new();
    for name in ["one", "two"] {
        fars.push(far(&site, name, &["words", "marks"], &own).await);
    }
    let mut visitor = site.visitor().await;
    let mut wanted: BTreeMap<String, (String, Wanted)> = BTreeMap::new();
    for round in 0..figure(20, 200) {
        for number in 0..4 {
            let (request, what) = turn(&mut dice, 4 * round + number, marks.path());
            let accepted = visitor.enqueue(&request).await.expect("accepted");
            let turn_id = accepted.turn.expect("a turn").turn_id;
            wanted.insert(turn_id, (request.session_key, what));
        }
        sleep(dice.millis(50, 400)).await;
        let what = disturb(&mut dice, &mut site, &mut fars).await;
        println!("{round}: {what}");
    }
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    let mut logs = HashMap::new();
    for (turn_id, (key, what)) in &wanted {
        let turn = visitor.end_of(key, turn_id).await;
        let reason = turn.error.as_ref().map(|it| it.reason.clone());
        let end = format!("{:?} {}", turn.state(), reason.unwrap_or_default());
        *ends.entry(end.clone()).or_default() += 1;
        // The last one is a server that was killed before it had given the turn to a worker.
        let known = [
            "Completed ",
            "Interrupted LEASE_LOST",
            "Interrupted GATEWAY_CRASHED",
        ];
        assert!(known.contains(&end.as_str()), "{turn:?}");
        if !logs.contains_key(key) {
            visitor.rest(key).await;
            logs.insert(key.clone(), log(&mut visitor.client, key).await);
        }
        let completed = turn.state() == TurnState::Completed;
        match what {
            Wanted::Words(said) if completed => {
                assert_eq!(turn.response_text, *said);
                check_words(&logs[key], turn_id);
            }
            Wanted::Marks(file) => {
                check_marks(&marks.path().join(file));
                assert!(
                    !completed || turn.response_text.contains("done"),
                    "{turn:?}"
                );
            }
            Wanted::Words(_) => {}
        }
    }
    println!("{ends:?}");
    for events in logs.values() {
        let stories = check_log(events, true);
        assert!(stories.values().all(|it| it.ended.is_some()));
    }
    site.gateway.check_store();
}

/// R7 through a worker: an Abort answers when nothing that its turn started is left there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r07_abort_of_a_turn_on_a_worker_answers_when_nothing_of_it_is_left() {
    let mut dice = dice(7);
    let markers = markers();
    let names: Vec<String> = (0..SESSIONS).map(|number| format!("pi{number}")).collect();
    let config = names.iter().map(|name| remote(name)).collect::<String>();
    let mut site = Site::start([RULES, &config].concat());
    let own = (names.iter().zip(&markers))
        .map(|(name, marker)| scripted_pi(name, &[("FAKE_PI_MARKER", marker)]))
        .collect::<String>();
    let agents: Vec<&str> = names.iter().map(String::as_str).collect();
    let _far = far(&site, "one", &agents, &own).await;
    let mut tasks = JoinSet::new();
    for (number, marker) in markers.into_iter().enumerate() {
        let visitor: Visitor = site.visitor().await;
        let aborts = figure(20, 1000) / SESSIONS as u64;
        tasks.spawn(abort_often(visitor, dice.fork(), number, marker, aborts));
    }
    let mut found = 0;
    while let Some(ended) = tasks.join_next().await {
        found += ended.expect("no caller panics");
    }
    assert!(found > 0, "no abort had anything to end");
    site.gateway.check_store();
}
