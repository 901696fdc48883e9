//! R7, the part that a process owes: once it says that a child is gone, nothing of it is left.

#[path = "agent_support/mod.rs"]
mod support;

use quarterdeck::agent::{
    fence::{Fence, since_boot},
    isolation::Rung,
    process::{
        LINE_MAX, Line, Process, ProcessHost, ProcessLimits, ProcessSpec, STDERR_TAIL_MAX,
        sweep_leftovers,
    },
};
use std::{
    io::{self, BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};
use support::{DEADLINE, Random, eventually, host, nasty, rung, survivors};
use tokio::time::timeout;
use uuid::Uuid;

/// Every way to outlive a parent that needs no rights.
const SWARM: &str = "deaf group session orphan bare bush chain";
/// Processes of a swarm at least, its first and its keeper not counted.
const SWARM_MIN: usize = 15;

fn mark() -> String {
    Uuid::new_v4().to_string()
}

/// Starts a nasty child and waits until it says that it did its last deed.
async fn start(host: &ProcessHost, mark: &str, deeds: &str) -> Process {
    let mut process = Process::spawn(host, nasty(mark, deeds)).expect("it starts");
    let last = deeds.split_whitespace().last().expect("there is a deed");
    until(&mut process, last).await;
    process
}

async fn until(process: &mut Process, wanted: &str) {
    loop {
        let line = timeout(DEADLINE, process.next_line()).await;
        match line.expect("it says something") {
            Some(Line::Text(text)) if text == wanted.as_bytes() => return,
            Some(_) => {}
            None => panic!("it ended before {wanted}: {}", process.stderr_tail()),
        }
    }
}

async fn text(process: &mut Process) -> String {
    match timeout(DEADLINE, process.next_line()).await {
        Ok(Some(Line::Text(text))) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("no line but {other:?}"),
    }
}

/// R7: 200 kills at random moments, most of them while the child still spreads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r7_nothing_survives_a_kill_at_any_moment() {
    let kills = if std::env::var_os("DEEP").is_some() {
        5_000
    } else {
        200
    };
    let at_once = 4;
    let mut random = Random::seeded();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let mut random = Random::from_seed(random.below(u64::MAX));
        tasks.spawn(async move {
            for _ in 0..kills / at_once {
                kill_once(&mut random).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no kill left anything");
    }
}

async fn kill_once(random: &mut Random) {
    let mark = mark();
    let deeds = format!("{SWARM} flood");
    let mut process = Process::spawn(&host(), nasty(&mark, &deeds)).expect("it starts");
    // A moment between the keeper's first instruction and well into the flood.
    let moment = Duration::from_micros(random.below(120_000));
    let flood = async { while process.next_line().await.is_some() {} };
    assert!(timeout(moment, flood).await.is_err(), "it ended by itself");
    let grace = Duration::from_millis(200 * random.below(2));
    if random.below(4) == 0 {
        drop(process);
        eventually("a dropped process is gone", || survivors(&mark).is_empty()).await;
    } else {
        let exit = process.stop(grace).await.expect("the stop is proven");
        let left = survivors(&mark);
        assert!(left.is_empty(), "{left:?} outlived {exit:?} at {moment:?}");
        assert_eq!(process.stop(grace).await, Ok(exit));
    }
}

/// The checker sees what a plain kill leaves behind, and the sweep ends just that.
#[tokio::test]
async fn r7_a_sweep_ends_what_a_plain_kill_leaves() {
    let (mark, node) = (mark(), mark());
    let ProcessSpec {
        program,
        arguments,
        environment,
        working_directory,
        limits: _,
        visible: _,
        user: _,
    } = nasty(&mark, "deaf group session orphan bush chain");
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment)
        .env("QUARTERDECK_NODE", &node)
        .current_dir(working_directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = BufReader::new(child.stdout.take().expect("it was asked for"));
    assert!(
        said.lines()
            .map_while(Result::ok)
            .any(|line| line == "chain")
    );
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
    spread(&mark).await;

    assert_eq!(sweep_leftovers("another node").await, 0);
    eventually("the swarm is untouched", || {
        survivors(&mark).len() >= SWARM_MIN
    })
    .await;
    assert!(sweep_leftovers(&node).await >= SWARM_MIN);
    assert_eq!(survivors(&mark), [0; 0]);
    assert_eq!(sweep_leftovers(&node).await, 0);
}

/// Runs only as the child of the two tests below: a gateway that is going to be killed.
#[tokio::test]
#[ignore = "a helper of other tests"]
async fn gateway() {
    let Ok(order) = std::env::var("NASTY_GATEWAY") else {
        return;
    };
    let (mark, node) = order.split_once(' ').expect("two marks");
    let host = ProcessHost {
        node_mark: node.to_owned(),
        ..host()
    };
    let process = start(&host, mark, SWARM).await;
    println!("\nup");
    std::future::pending::<()>().await;
    drop(process);
}

fn start_gateway(mark: &str, node: &str) -> std::process::Child {
    let mut gateway = Command::new(std::env::current_exe().expect("we run"))
        .args(["gateway", "--exact", "--ignored", "--nocapture"])
        .env("NASTY_GATEWAY", format!("{mark} {node}"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = BufReader::new(gateway.stdout.take().expect("it was asked for"));
    assert!(said.lines().map_while(Result::ok).any(|line| line == "up"));
    gateway
}

#[tokio::test]
async fn r7_nothing_survives_kill_9_of_the_gateway() {
    let (mark, node) = (mark(), mark());
    let mut gateway = start_gateway(&mark, &node);
    spread(&mark).await;
    gateway.kill().expect("it is our child");
    gateway.wait().expect("it is our child");
    eventually("all is gone", || survivors(&mark).is_empty()).await;
}

#[tokio::test]
async fn r7_the_sweep_ends_what_outlived_both_gateway_and_keeper() {
    let (mark, node) = (mark(), mark());
    let mut gateway = start_gateway(&mark, &node);
    spread(&mark).await;
    kill_9(keeper_of(&mark));
    gateway.kill().expect("it is our child");
    gateway.wait().expect("it is our child");
    let swept = sweep_leftovers(&node).await;
    match rung() {
        // The namespace ended with its keeper.
        Rung::Namespace => {}
        Rung::Landlock | Rung::None => {
            assert!(swept >= SWARM_MIN);
            // What cleared its environment is out of the sweep's sight, and this test's to end, unless another one that
            // runs in this process adopts it and does.
            for left in survivors(&mark) {
                let _ = Command::new("kill")
                    .args(["-9", &left.to_string()])
                    .status();
            }
        }
    }
    eventually("all is gone", || survivors(&mark).is_empty()).await;
}

#[tokio::test]
async fn a_keeper_that_was_killed_proves_nothing_so_its_agent_is_swept() {
    let mark = mark();
    let mut process = start(&host(), &mark, "deaf group session orphan bush chain").await;
    kill_9(keeper_of(&mark));
    let exit = process
        .stop(Duration::ZERO)
        .await
        .expect("the sweep proves it");
    assert_eq!(survivors(&mark), [0; 0]);
    assert_eq!(exit.status, "its keeper got signal 9");
}

/// The keeper is killed under a process that has a new session and nothing in its environment: no mark finds it, and its
/// keeper is no parent of it any more. It must be ended all the same, or the stop told as unproven.
#[tokio::test]
async fn r7_nothing_without_marks_outlives_a_killed_keeper() {
    for _ in 0..10 {
        let mark = mark();
        let mut process = start(&host(), &mark, "deaf bare session chain bare").await;
        kill_9(keeper_of(&mark));
        process.stop(Duration::ZERO).await.expect("it is proven");
        assert_eq!(survivors(&mark), [0; 0]);
    }
}

/// What a container that was entered from outside gives: this process's session is one that no process in sight leads.
/// The tests above run there again, where this machine lets a test have its own process namespace.
#[test]
fn r7_a_killed_keeper_leaves_nothing_in_a_container_that_was_entered_from_outside() {
    let inside = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--mount-proc",
        ]);
        command.arg(program).args(arguments).output()
    };
    if !inside("true", &[]).is_ok_and(|probe| probe.status.success()) {
        eprintln!("not run: this machine gives a test no process namespace of its own");
        return;
    }
    let own = std::env::current_exe().expect("a test has a file");
    let own = own.to_str().expect("its path is text");
    let sees = inside("cut", &["-d ", "-f6", "/proc/self/stat"]).expect("it runs");
    assert_eq!(sees.stdout, b"0\n", "its session is out of sight");
    let ran = inside(
        own,
        &[
            "a_keeper_that_was_killed",
            "without_marks_outlives",
            "halted",
        ],
    )
    .expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("3 passed"), "{said}");
}

#[tokio::test]
async fn a_keeper_that_was_halted_goes_on_when_it_is_told_to_stop() {
    let mark = mark();
    let mut process = start(&host(), &mark, SWARM).await;
    send("-STOP", keeper_of(&mark));
    process.stop(Duration::ZERO).await.expect("it is proven");
    assert_eq!(survivors(&mark), [0; 0]);
}

/// The keeper of the child that carries the mark. Nobody but root may read the keeper's own environment.
/// R9: the keeper of a worker's agent ends it once its deadline has passed, without a word of whoever started it, and not
/// before.
#[tokio::test]
async fn r9_a_keeper_ends_an_agent_whose_deadline_has_passed() {
    let directory = tempfile::tempdir().expect("a directory");
    let fence = Fence::create(directory.path()).expect("it is written");
    let host = ProcessHost {
        fence: Some(fence.path().to_owned()),
        ..host()
    };
    let set = |left| fence.set(since_boot() + left).expect("it is written");
    set(DEADLINE);
    let mark = mark();
    let process = start(&host, &mark, SWARM).await;
    spread(&mark).await;
    set(Duration::ZERO);
    eventually("nothing is left", || survivors(&mark).is_empty()).await;
    drop(process);
}

fn keeper_of(mark: &str) -> u32 {
    let keepers = survivors(mark).into_iter().filter_map(|pid| {
        let mut above = std::iter::successors(Some(pid), |pid| parent(*pid));
        above.find(|pid| hidden_word(*pid) == "keeper")
    });
    keepers.min().expect("the keeper lives")
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after = &stat[stat.rfind(')')? + 2..];
    after.split(' ').nth(1)?.parse().ok().filter(|pid| *pid > 0)
}

/// The first argument of a process.
fn hidden_word(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let word = line.split(|byte| *byte == 0).nth(1).unwrap_or_default();
    String::from_utf8_lossy(word).into_owned()
}

/// A swarm spreads a little longer than its first process speaks.
async fn spread(mark: &str) {
    eventually("the swarm is complete", || {
        survivors(mark).len() >= SWARM_MIN
    })
    .await;
}

fn kill_9(pid: u32) {
    send("-9", pid);
}

fn send(signal: &str, pid: u32) {
    let mut kill = Command::new("kill");
    let done = kill.args([signal, &pid.to_string()]).status();
    assert!(done.expect("there is a kill").success());
}

#[tokio::test]
async fn an_agent_that_ends_takes_all_with_it() {
    for (end, status) in [
        ("exit=3", "exit status: 3"),
        ("die=9", "signal 9"),
        ("exit=0", "exit status: 0"),
    ] {
        let mark = mark();
        let mut process =
            Process::spawn(&host(), nasty(&mark, &format!("{SWARM} {end}"))).expect("it starts");
        while timeout(DEADLINE, process.next_line())
            .await
            .expect("it ends")
            .is_some()
        {}
        let exit = process.wait().await;
        assert_eq!(survivors(&mark), [0; 0]);
        assert_eq!(
            (exit.status.as_str(), exit.stderr_tail.as_str()),
            (status, "")
        );
        assert_eq!(process.wait().await, exit);
        assert_eq!(process.descendants(), [0; 0]);
        let refused = process.write_line(b"more").await.expect_err("nobody reads");
        assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn a_polite_agent_leaves_within_its_grace() {
    let mark = mark();
    let mut process = start(&host(), &mark, "group session").await;
    let exit = process.stop(DEADLINE).await.expect("it is proven");
    assert_eq!(exit.status, "signal 15");
    assert_eq!(survivors(&mark), [0; 0]);
}

#[tokio::test]
async fn what_a_turn_left_can_be_ended_without_the_agent() {
    let mark = mark();
    let mut process =
        Process::spawn(&host(), nasty(&mark, "deaf group ready listen")).expect("it starts");
    until(&mut process, "ready").await;
    let before = process.descendants();
    assert_eq!(before.len(), 1);
    process
        .write_line(format!("{SWARM} swarm").as_bytes())
        .await
        .expect("it reads");
    until(&mut process, "swarm").await;
    spread(&mark).await;
    // One look at /proc may miss a process whose parent ends meanwhile.
    eventually("the swarm is seen below the keeper", || {
        process.descendants().len() >= SWARM_MIN
    })
    .await;
    process
        .end_descendants(&before)
        .await
        .expect("they can be killed");
    assert_eq!(process.descendants(), before);
    // The agent, and what was there before; root sees the keeper, and the first process of a namespace, besides.
    let mut left = survivors(&mark);
    left.retain(|pid| !["keeper", "agent-init"].contains(&hidden_word(*pid).as_str()));
    assert_eq!(left.len(), 2);
    process
        .end_descendants(&[])
        .await
        .expect("it can be killed");
    assert_eq!(process.descendants(), [0; 0]);
    process.write_line(b"alive").await.expect("it reads");
    until(&mut process, "alive").await;
    process.stop(Duration::ZERO).await.expect("it is proven");
    assert_eq!(survivors(&mark), [0; 0]);
}

#[tokio::test]
async fn garbage_and_a_line_over_the_bound_do_not_end_the_stream() {
    let mark = mark();
    let mut process = Process::spawn(&host(), nasty(&mark, "garbage deaf")).expect("it starts");
    let all_bytes: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    for expected in [b"\xff\xfe\0\x80".as_slice(), b"{", b"", &all_bytes] {
        let line = process.next_line().await.expect("there is more");
        assert_eq!(line, Line::Text(expected.to_vec().into()));
    }
    let length = 13 << 20;
    assert!(length > LINE_MAX);
    assert_eq!(process.next_line().await, Some(Line::TooLong { length }));
    assert_eq!(text(&mut process).await, "garbage");
    assert_eq!(text(&mut process).await, "deaf");
}

#[tokio::test]
async fn standard_error_is_kept_to_its_last_four_kibibytes() {
    let mark = mark();
    let mut process = Process::spawn(&host(), nasty(&mark, "errors exit=7")).expect("it starts");
    until(&mut process, "errors").await;
    let exit = process.wait().await;
    assert_eq!(exit.status, "exit status: 7");
    assert!(exit.stderr_tail.ends_with("the last words\n"), "{exit:?}");
    let length = exit.stderr_tail.len();
    assert!(length > STDERR_TAIL_MAX - 3 && length <= STDERR_TAIL_MAX);
}

#[tokio::test]
async fn a_child_that_never_reads_does_not_hang_its_writer() {
    let mark = mark();
    let mut process = start(&host(), &mark, "deaf").await;
    let line = vec![b'x'; LINE_MAX];
    tokio::time::pause();
    let refused = loop {
        if let Err(error) = process.write_line(&line).await {
            break error;
        }
    };
    tokio::time::resume();
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    process.stop(Duration::ZERO).await.expect("it is proven");
    assert_eq!(survivors(&mark), [0; 0]);
}

#[tokio::test]
async fn an_agent_gets_three_pipes_and_a_short_environment() {
    // What a careless parent hands on: open, and not marked as ours alone.
    let secret = std::fs::File::open("/dev/zero").expect("there is one");
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).expect("it is ours");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).expect("it is ours");
    let mut process =
        Process::spawn(&host(), nasty(&mark(), "variables descriptors")).expect("it starts");
    let variables = text(&mut process).await;
    for name in [
        "NASTY_MARK",
        "PATH",
        "QUARTERDECK_NODE",
        "QUARTERDECK_PROCESS",
    ] {
        assert!(
            variables.split(' ').any(|one| one == name),
            "{name} in {variables}"
        );
    }
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(!variables.contains("CARGO"), "{variables}");
    until(&mut process, "variables").await;
    let descriptors = text(&mut process).await;
    let each: Vec<&str> = descriptors.split(' ').collect();
    assert_eq!(each.len(), 3, "{descriptors}");
    for (number, one) in each.iter().enumerate() {
        assert!(one.starts_with(&format!("{number}=pipe:")), "{descriptors}");
    }
    drop((secret, listener));
}

/// SECURITY.md, child processes: bounds, umask and no rights beyond the gateway's, for all that an agent starts.
#[tokio::test]
async fn an_agent_and_what_it_starts_are_confined() {
    let mut spec = nasty(&mark(), "confinement");
    spec.limits = ProcessLimits {
        processes: 5_000,
        open_files: 256,
        file_bytes: 3 << 20,
        memory_bytes: 512 << 20,
    };
    let mut process = Process::spawn(&host(), spec).expect("it starts");
    let memory = 512 << 20;
    let file = 3 << 20;
    assert_eq!(
        text(&mut process).await,
        format!(
            "CORE=0,0 NPROC=5000,5000 NOFILE=256,256 FSIZE={file},{file} DATA={memory},{memory} umask=0077 privileges=1"
        )
    );
}

/// A bound above what the gateway has itself is no reason not to start: the gateway's own holds.
#[tokio::test]
async fn bounds_only_go_down() {
    let mut spec = nasty(&mark(), "confinement");
    spec.limits.open_files = u64::MAX;
    let mut process = Process::spawn(&host(), spec).expect("it starts");
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let maximum = own.maximum.expect("Linux bounds it");
    let said = text(&mut process).await;
    assert!(said.contains(&format!(",{maximum} FSIZE")), "{said}");
}

#[tokio::test]
async fn an_agent_that_oversteps_a_bound_is_stopped_at_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut spec = nasty(&mark(), "overstep");
    spec.working_directory = directory.path().into();
    spec.visible.write.push(directory.path().into());
    spec.limits = ProcessLimits {
        open_files: 256,
        file_bytes: 3 << 20,
        memory_bytes: 512 << 20,
        ..ProcessLimits::default()
    };
    let mut process = Process::spawn(&host(), spec).expect("it starts");
    // EFBIG and EMFILE.
    assert_eq!(text(&mut process).await, "file:27 memory files:24");
}

#[tokio::test]
async fn what_does_not_start_says_why() {
    let spec = ProcessSpec {
        program: "no-such-agent".into(),
        working_directory: "/".into(),
        ..ProcessSpec::default()
    };
    let mut process = Process::spawn(&host(), spec.clone()).expect("the keeper starts");
    assert_eq!(process.next_line().await, None);
    let exit = process.wait().await;
    assert_eq!(exit.status, "exit status: 71");
    assert!(
        exit.stderr_tail.contains("cannot start no-such-agent"),
        "{exit:?}"
    );

    let working_directory = "/no/such/directory".into();
    let refused = Process::spawn(
        &host(),
        ProcessSpec {
            working_directory,
            ..spec
        },
    );
    let refused = refused.expect_err("it can't go there").to_string();
    assert!(refused.contains("/no/such/directory"), "{refused}");
}
