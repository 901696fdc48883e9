//! What bounds all of one agent's processes together, without a control group.

use crate::harness::{AS_ORDINARY, World, again, is_root, line};
use quarterdeck::agent::{
    isolation::Rung,
    process::{Process, ProcessLimits},
};
use std::time::Duration;

/// Processes that an agent may have, its first one included.
const PROCESSES: u64 = 40;
/// As `World` sets it.
const TMP_BYTES: u64 = 64 << 20;

/// Forks until it can't; says how many lived at once.
const FORKS: &str = "import os, sys, time\n\
    count = 0\n\
    try:\n    \
        while count < 500:\n        \
            if os.fork() == 0:\n            \
                time.sleep(60); os._exit(0)\n        \
            count += 1\n\
    except OSError as error:\n    \
        print(count, error.errno, flush=True)\n\
    time.sleep(60)\n";

async fn forks(world: &World, user: Option<u32>) -> (u64, Process) {
    let limits = ProcessLimits {
        processes: PROCESSES,
        ..ProcessLimits::default()
    };
    let mut process = world.start_as("/usr/bin/python3", &["-c", FORKS], limits, user);
    let said = line(&mut process).await;
    let (count, error) = said.split_once(' ').expect(&said);
    assert_eq!(error, "11", "EAGAIN: {said}");
    (count.parse().expect("a number"), process)
}

/// The kernel counts them for each namespace of users by itself, or for each user.
#[tokio::test]
async fn processes_of_one_agent_are_bounded_and_others_do_not_count() {
    let (one, two) = (World::new(Rung::Namespace), World::new(Rung::Namespace));
    // Root is not bound; its agents have users of their own.
    let users = if is_root() {
        [Some(264_001), Some(264_002)]
    } else {
        [None, None]
    };
    // The second one is counted while the first one's live.
    let (first, mut kept) = forks(&one, users[0]).await;
    let (second, mut process) = forks(&two, users[1]).await;
    for count in [first, second] {
        assert!((PROCESSES / 2..PROCESSES).contains(&count), "{count}");
    }
    for process in [&mut kept, &mut process] {
        process.stop(Duration::ZERO).await.expect("it is proven");
    }
}

#[test]
fn processes_of_an_ordinary_users_agent_are_bounded() {
    if is_root() {
        let said = again(&AS_ORDINARY, "processes_of_one_agent", &[]);
        assert!(said.contains("test result: ok. 1 passed"), "{said}");
    }
}

#[tokio::test]
async fn the_space_of_an_agents_own_tmp_is_bounded() {
    let world = World::new(Rung::Namespace);
    let mut process = world.shell(
        "for place in /tmp /dev/shm; do head -c 100M /dev/zero > $place/big 2>/dev/null && echo all; \
         stat -c %s $place/big; rm $place/big; done",
    );
    for place in ["/tmp", "/dev/shm"] {
        let size: u64 = line(&mut process).await.parse().expect("a size");
        assert!(
            size > TMP_BYTES / 2 && size <= TMP_BYTES,
            "{size} in {place}"
        );
    }
    process.stop(Duration::ZERO).await.expect("it is proven");
}
