//! What isolation costs: the start of an agent, and the end of one that spread. Prints medians; asked for by name, for it
//! wants the machine for itself and a program that was built to be fast:
//!
//! `cargo test --release --test isolation -- --ignored --nocapture what_isolation_costs`

use crate::harness::{RUNGS, World, is_root, line};
use quarterdeck::agent::{isolation::Rung, process::ProcessLimits};
use std::time::{Duration, Instant};

const ROUNDS: usize = 60;
/// Kept by the promise of a start: so much more than without isolation.
const START_MAX: Duration = Duration::from_millis(10);

#[tokio::test]
#[ignore = "a measurement"]
async fn what_isolation_costs() {
    let own = is_root().then_some(264_005);
    let mut kinds: Vec<(Rung, Option<u32>)> = RUNGS.iter().map(|rung| (*rung, None)).collect();
    if own.is_some() {
        kinds.extend([(Rung::Landlock, own), (Rung::Namespace, own)]);
    }
    let mut starts: Vec<Vec<Duration>> = vec![vec![]; kinds.len()];
    let mut stops = starts.clone();
    let worlds: Vec<World> = kinds.iter().map(|(rung, _)| World::new(*rung)).collect();
    // In turn, so that what else the machine does weighs on all alike.
    for _ in 0..ROUNDS {
        for (place, (world, (_, user))) in worlds.iter().zip(&kinds).enumerate() {
            let began = Instant::now();
            let script = "echo up; for i in 1 2 3 4 5 6 7 8 9 10; do setsid sleep 60 & done; echo spread; wait";
            let mut process =
                world.start_as("/bin/sh", &["-c", script], ProcessLimits::default(), *user);
            assert_eq!(line(&mut process).await, "up");
            starts[place].push(began.elapsed());
            assert_eq!(line(&mut process).await, "spread");
            let began = Instant::now();
            process.stop(Duration::ZERO).await.expect("it is proven");
            stops[place].push(began.elapsed());
        }
    }
    let p50 = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let mut none = None;
    for (place, (rung, user)) in kinds.iter().enumerate() {
        let (start, stop) = (p50(&mut starts[place]), p50(&mut stops[place]));
        let none = *none.get_or_insert(start);
        println!(
            "{:9} {:6} start to the first line {start:?} ({:+.1} ms), end of 11 processes {stop:?}",
            rung.name(),
            if user.is_some() { "own" } else { "shared" },
            (start.as_secs_f64() - none.as_secs_f64()) * 1000.0,
        );
        assert!(start < none + START_MAX, "{} costs too much", rung.name());
    }
}
