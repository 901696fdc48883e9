//! The server's own process, its settings and its sockets, as agents find them.

use crate::{
    credential::{begin, enqueue, run, start, start_agent},
    support::Gateway,
    world::{self, Caller},
};
use std::{
    os::unix::{fs::PermissionsExt, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

/// Agents are processes of the server's user: `/proc` must not give them its memory and environment, where keys are.
#[test]
fn the_servers_memory_and_environment_are_closed_to_its_own_user() {
    let place = tempfile::tempdir().expect("a directory");
    // Root may read everything; so both are an ordinary user.
    let user = match rustix::process::geteuid().is_root() {
        true => 12345,
        false => rustix::process::geteuid().as_raw(),
    };
    let as_user = |program: &Path| {
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            command.uid(user).gid(user);
        }
        command.current_dir("/").stdin(Stdio::null());
        command
    };
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o777)).expect("ours");
    // The build may stand where that user can't go.
    let program = place.path().join("quarterdeck");
    std::fs::copy(env!("CARGO_BIN_EXE_quarterdeck"), &program).expect("room for it");
    let mut server = as_user(&program)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(place.path().join("data"))
        .env("QUARTERDECK_DISK_RESERVE", "0")
        .env("QUARTERDECK_EMBEDDINGS_KEY", "canary")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let out = server.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("UTF-8");
    assert!(line.starts_with("listening"), "{line}");
    let opens = |process: u32, file: &str| {
        let mut shell = as_user(Path::new("/bin/sh"));
        let script = format!(": < /proc/{process}/{file}");
        let status = shell.args(["-c", &script]).stderr(Stdio::null()).status();
        status.expect("there is a shell").success()
    };
    let other = as_user(Path::new("/bin/sleep"))
        .arg("600")
        .spawn()
        .expect("it starts");
    let found: Vec<_> = ["environ", "mem", "maps", "auxv"]
        .into_iter()
        .map(|file| (file, opens(server.id(), file), opens(other.id(), file)))
        .collect();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id()));
    for mut process in [server, other].into_iter() {
        process.kill().expect("it runs");
        process.wait().expect("ours");
    }
    for (file, servers, others) in found {
        assert!(!servers, "{file} of the server was opened");
        assert!(
            others,
            "the checker opens {file} of a process that is not closed"
        );
    }
    let limits = limits.expect("it is there");
    let core = limits
        .lines()
        .find(|it| it.starts_with("Max core file size"));
    let core: Vec<&str> = core.expect("it is listed").split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"]);
}

/// An agent's process must not be taken for the server's own user, with or without isolation.
#[tokio::test]
async fn the_unix_socket_does_not_trust_an_agent() {
    // Elsewhere it does not even see the socket.
    let gateway = start("isolation = \"none\"");
    let caller = Caller::admin(&gateway).await;
    let socket = gateway.data().join("quarterdeck.sock");
    let program = env!("CARGO_BIN_EXE_quarterdeck");
    let ask = format!(
        "shell {program} whoami --addr unix:{} --key '' 2>&1",
        socket.display()
    );
    let said = run(&caller, "s", &ask).await;
    assert!(said.contains("CREDENTIALS_MISSING"), "{said}");
    // A process that was left behind by its parent is one all the same.
    let left = format!(
        "shell sh -c '({} ) & wait'",
        &ask["shell ".len()..].replace('\'', "\"")
    );
    let said = run(&caller, "s", &left).await;
    assert!(!said.contains("default/local"), "{said}");
}

fn refused(arguments: &[&str], config: &str) -> (Option<i32>, String) {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("quarterdeck.toml");
    let config = config.replace("HERE", place.path().to_str().expect("text"));
    std::fs::write(&file, config).expect("ours");
    std::fs::create_dir_all(place.path().join("work/data/inside")).expect("ours");
    let output = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .current_dir(place.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// No rung of isolation could hide the one within the other.
#[test]
fn a_data_directory_that_agents_may_use_is_refused() {
    for roots in [
        "HERE/work",
        "HERE",
        "HERE/work/data",
        "HERE/work/data/inside",
        "/",
    ] {
        let config =
            format!("data_dir = \"HERE/work/data\"\n[agents.pi]\ncwd_roots = [\"{roots}\"]\n");
        let (code, said) = refused(&[], &config);
        assert_eq!(code, Some(78), "{roots}: {said}");
        assert!(
            said.contains("agents.pi.cwd_roots") && said.contains("move data_dir"),
            "{said}"
        );
    }
}

/// What can't be kept is not promised.
#[test]
fn less_isolation_than_is_asked_for_is_refused() {
    for (config, place, problem) in [
        (
            "isolation = \"landlock\"\n[agents.pi]\nisolation = \"namespace\"\n",
            "agents.pi.isolation",
            "an agent may have less isolation than the server, never more",
        ),
        (
            "isolation = \"none\"\n[agents.pi]\nisolation = \"landlock\"\n",
            "agents.pi.isolation",
            "raise the server's",
        ),
        (
            "isolation = \"none\"\n[agents.pi]\nnetwork = { ports = [443] }\n",
            "agents.pi.network",
            "only where agents are isolated",
        ),
        (
            "[agents.pi]\nisolation = \"none\"\nnetwork = { ports = [443] }\n",
            "agents.pi.network",
            "only where agents are isolated",
        ),
    ] {
        let (code, said) = refused(&[], config);
        assert_ne!(code, Some(0), "{said}");
        assert!(said.contains(place) && said.contains(problem), "{said}");
    }
    // Less than the server's is an agent's to have, and is told where all of it is.
    let gateway = start_agent("", "isolation = \"landlock\"\n");
    let (said, _) = world::printed(&world::command(&gateway, &["server"]));
    let row = |name: &str| {
        let row = said.lines().find(|line| line.starts_with(name));
        row.unwrap_or_else(|| panic!("no {name}: {said}"))
            .to_owned()
    };
    assert!(row("isolation").ends_with("namespace"), "{said}");
    assert!(
        row("agent pi").contains("isolation landlock, user id "),
        "{said}"
    );
    assert!(row("agent pi").ends_with("network open"), "{said}");
    assert!(
        row("an agent's end is proven by").ends_with("pid namespace"),
        "{said}"
    );
    let own = rustix::process::geteuid().is_root();
    assert!(
        row("user id of agents").ends_with(if own { "own" } else { "shared" }),
        "{said}"
    );
}

/// Without credentials any agent may call as anyone: whoever else had work waiting does not get it done then.
#[tokio::test]
async fn without_credentials_no_other_tenants_turns_run() {
    let mut gateway = start("");
    let operator = Caller::admin(&gateway).await;
    let wish = quarterdeck::proto::CreateApiKeyRequest {
        tenant: "acme".into(),
        subject: "bob".into(),
        ..world::request(&["session.read", "session.write"])
    };
    let key = operator.make(wish).await.expect("a key").secret;
    let stranger = operator.as_key(&key);
    begin(&stranger, "s").await;
    let turn_id = enqueue(&stranger, "s", "shell id").await;
    gateway.kill();
    gateway.set_environment("QUARTERDECK_NO_AUTH", "true");
    gateway.restart();
    let anyone = Caller::with_header(&gateway, None).await;
    // The operator's own are served; by their end what waited was looked at, too.
    for _ in 0..3 {
        assert!(run(&anyone, "mine", "shell id").await.contains("uid="));
    }
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    gateway.set_environment("QUARTERDECK_NO_AUTH", "false");
    gateway.restart();
    let stranger = Caller::with_key(&gateway, &key).await;
    let request = quarterdeck::proto::GetTurnRequest {
        session_key: "s".into(),
        turn_id,
    };
    let turn = stranger
        .gateway()
        .get_turn(request)
        .await
        .expect("it is known");
    let turn = turn.into_inner().turn.expect("a turn");
    let error = turn.error.as_ref().expect("it did not run");
    assert!(
        error.message.contains("serves the tenant `default` alone"),
        "{turn:?}"
    );
}

/// Whoever has an id of the range has its agents' files, and what runs there is ended.
#[test]
fn user_ids_that_are_somebody_elses_are_refused() {
    for (range, problem) in [
        ("65000-66000", "nobody in /etc/passwd"),
        ("0-100", "expected FIRST-LAST"),
        ("200000", "expected FIRST-LAST"),
    ] {
        let (code, said) = refused(&[], &format!("agent_uids = {range:?}\n"));
        assert_ne!(code, Some(0), "{said}");
        let root = rustix::process::geteuid().is_root();
        let expected = if root || problem.starts_with("expected") {
            problem
        } else {
            "only a server that runs as root"
        };
        assert!(
            said.contains("agent_uids") && said.contains(expected),
            "{said}"
        );
    }
}

/// `no_auth` is a spoken choice, whose whole reach is told.
#[test]
fn no_auth_says_that_agents_may_call_as_anyone() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let gateway = Gateway::with(crate::support::Options {
        log: Some(log.path().to_owned()),
        ..Default::default()
    });
    drop(gateway);
    let said = std::fs::read_to_string(log.path()).expect("ours");
    assert!(
        said.contains("any process on this machine, agents among them"),
        "{said}"
    );
    let _ = world::printed;
}
