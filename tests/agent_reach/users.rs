//! A server that runs as root gives its agents other user ids. Only root's tests can see that.

use crate::{
    credential::{run, start},
    support::Gateway,
    world::{self, Caller, request},
};
use quarterdeck::proto;
use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

/// The usual range.
const RANGE: std::ops::RangeInclusive<u32> = 200_000..=265_535;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not run: an ordinary user's server gives its agents no other user");
    }
    root
}

/// User and group ids of a session's agent.
async fn ids(caller: &Caller, session: &str) -> (u32, String) {
    let said = run(caller, session, "shell id -u; id -G").await;
    let mut lines = said.lines().map(str::to_owned);
    let user = lines.next().and_then(|line| line.parse().ok());
    (user.expect(&said), lines.next().expect(&said))
}

async fn stranger(operator: &Caller) -> Caller {
    let wish = proto::CreateApiKeyRequest {
        tenant: "acme".into(),
        subject: "bob".into(),
        ..request(&["session.read", "session.write"])
    };
    operator.as_key(&operator.make(wish).await.expect("a key").secret)
}

/// Where a session's agent works.
async fn work(caller: &Caller, session: &str) -> PathBuf {
    run(caller, session, "shell pwd").await.trim().into()
}

fn stop(gateway: &mut Gateway) {
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
}

#[tokio::test]
async fn each_owners_agents_have_a_user_of_their_own_that_stays() {
    if !is_root() {
        return;
    }
    for rung in ["namespace", "landlock"] {
        let mut gateway = start_open_to_all(rung);
        let caller = Caller::admin(&gateway).await;
        let mut service = caller.service();
        let told = service.get_server_info(proto::GetServerInfoRequest {});
        let told = told.await.expect("told").into_inner();
        let isolation = told.isolation.expect("it is told");
        let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/x"));
        if rung == "landlock" && !(passable(&gateway.data()) && passable(fixtures)) {
            eprintln!(
                "not run on landlock: other users can't go to the data directory or the fixtures"
            );
            continue;
        }
        assert_eq!(
            (isolation.rung.as_str(), isolation.user.as_str()),
            (rung, "own")
        );
        let (own, groups) = ids(&caller, "one").await;
        assert!(RANGE.contains(&own), "{own} on {rung}");
        assert_eq!(groups, own.to_string(), "no group of the server's");
        assert_eq!(ids(&caller, "two").await.0, own);
        let theirs = ids(&stranger(&caller).await, "one").await.0;
        assert!(RANGE.contains(&theirs) && theirs != own, "{theirs}");
        run(&caller, "one", "shell echo kept > file").await;
        let file = work(&caller, "one").await.join("file");
        assert_eq!(fs::metadata(&file).expect("it is there").uid(), own);
        gateway.kill();
        gateway.restart();
        let caller = Caller::admin(&gateway).await;
        assert_eq!(ids(&caller, "one").await.0, own);
        assert_eq!(run(&caller, "one", "shell cat file").await.trim(), "kept");
    }
}

/// With an interpreter and a script that every user can read.
fn start_open_to_all(rung: &str) -> Gateway {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fake_pi.py");
    let config = format!(
        "default_agent = \"pi\"\nisolation = {rung:?}\n[agents.pi]\n\
         command = [\"/usr/bin/python3\", \"-S\", \"-E\", {script:?}]\n"
    );
    world::start_with(&[], &config)
}

/// Whether other users can go there.
fn passable(directory: &Path) -> bool {
    directory.ancestors().skip(1).all(|way| {
        let mode = fs::metadata(way).expect("it is there").mode();
        mode & 0o001 != 0
    })
}

/// Directories that were root's go on, with what is in them; nothing else becomes an agent's.
#[tokio::test]
async fn a_session_of_roots_goes_on_as_its_own_user_and_back() {
    if !is_root() {
        return;
    }
    let mut gateway = start("");
    stop(&mut gateway);
    gateway.set_environment("QUARTERDECK_AGENT_UIDS", "none");
    gateway.restart();
    let caller = Caller::admin(&gateway).await;
    assert_eq!(ids(&caller, "one").await.0, 0);
    let script = "shell mkdir -p deep/er; echo mine > deep/er/file; ln -s ../../../outside link";
    run(&caller, "one", script).await;
    let work = work(&caller, "one").await;
    let outside = gateway.data().join("outside");
    fs::write(&outside, "the server's").expect("ours");
    fs::hard_link(&outside, work.join("hard")).expect("one file system");
    fs::set_permissions(
        &outside,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .expect("ours");
    stop(&mut gateway);

    gateway.set_environment("QUARTERDECK_AGENT_UIDS", "auto");
    gateway.restart();
    let caller = Caller::admin(&gateway).await;
    let own = ids(&caller, "one").await.0;
    assert!(RANGE.contains(&own), "{own}");
    let script = "shell echo more >> deep/er/file; cat deep/er/file hard 2>&1";
    let said = run(&caller, "one", script).await;
    assert!(
        said.starts_with("mine\nmore\n") && said.contains("Permission denied"),
        "{said}"
    );
    let owner = |path: &Path| fs::symlink_metadata(path).expect("it is there").uid();
    assert_eq!(owner(&work.join("deep/er/file")), own);
    assert_eq!(owner(&work.join("link")), own);
    assert_eq!(owner(&outside), 0, "neither by a link nor by another name");
    stop(&mut gateway);

    gateway.set_environment("QUARTERDECK_AGENT_UIDS", "none");
    gateway.restart();
    let caller = Caller::admin(&gateway).await;
    assert_eq!(ids(&caller, "one").await.0, 0);
    let said = run(
        &caller,
        "one",
        "shell echo again >> deep/er/file; cat deep/er/file",
    )
    .await;
    assert_eq!(said, "mine\nmore\nagain\n");
}

/// What a keeper left, and the server that could have ended it, nothing marks any more; its user does.
#[tokio::test]
async fn what_has_an_agents_user_and_no_keeper_is_ended_at_the_start() {
    if !is_root() {
        return;
    }
    let first = start("");
    let caller = Caller::admin(&first).await;
    let own = ids(&caller, "one").await.0;
    run(&caller, "one", "shell sleep 600 > /dev/null 2>&1 &").await;
    let mut left = Command::new("sleep")
        .arg("600")
        .env_clear()
        .uid(*RANGE.end())
        .spawn()
        .expect("it starts");
    let mut others = Command::new("sleep")
        .arg("600")
        .uid(12345)
        .spawn()
        .expect("it starts");
    let _second = start("");
    let ended = left.wait().expect("ours");
    assert!(!ended.success());
    // Another server's agents have a keeper, and others' processes another user.
    assert_eq!(others.try_wait().expect("ours"), None);
    assert_eq!(
        run(&caller, "one", "shell pgrep -cx sleep").await.trim(),
        "1",
        "as {own}"
    );
    others.kill().expect("ours");
    others.wait().expect("ours");
}

/// The server's user could write there, its agents' could not. It is a choice to be spoken.
#[tokio::test]
async fn agents_that_work_in_directories_of_the_operator_keep_roots_user_unless_told() {
    if !is_root() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    for (uids, expected_root) in [("auto", true), ("300000-300010", false)] {
        let mut gateway = start("");
        stop(&mut gateway);
        gateway.set_environment("QUARTERDECK_AGENT_UIDS", uids);
        let root = place.path().to_str().expect("UTF-8");
        let gateway = Gateway::with_data(gateway, &["--allow-cwd", root]);
        let caller = Caller::admin(&gateway).await;
        let user = ids(&caller, "one").await.0;
        assert_eq!(user == 0, expected_root, "{user} with {uids}");
        assert!(user == 0 || (300_000..=300_010).contains(&user), "{user}");
    }
}
