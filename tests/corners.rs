//! Corners of the contract that a caller meets once in a while, through a real gateway.

mod support;

use prost_types::Duration;
use quarterdeck::proto::{self, gateway_event::Kind};
use std::os::unix::fs::PermissionsExt;
use support::{Client, Gateway, Options, SOON, await_turn, enqueue, kind, log, reason, run};
use tonic::{Code, Status};

/// The position of a session's newest event of a kind.
async fn newest(client: &mut Client, key: &str, wanted: &str) -> i64 {
    let events = log(client, key).await;
    let found = events.iter().rev().find(|event| kind(event) == wanted);
    found.expect("there is one").seq
}

/// Names of what a Run streams, and how it ends.
async fn follow(
    client: &mut Client,
    request: proto::RunRequest,
) -> Result<Vec<&'static str>, Status> {
    let mut stream = client.run(request).await?.into_inner();
    let mut kinds = Vec::new();
    while let Some(event) = stream.message().await? {
        kinds.push(kind(&event));
    }
    Ok(kinds)
}

/// R18: at the end of a drain nobody waits any more, not even for a turn that stays queued.
#[tokio::test]
async fn the_end_of_a_drain_tells_those_who_wait_for_a_queued_turn() {
    let mut gateway = Gateway::with(Options {
        config: "drain_timeout = \"50ms\"".into(),
        ..Options::default()
    });
    let mut client = gateway.client().await;
    enqueue(&mut client, "s", "!hang").await.expect("accepted");
    let queued = enqueue(&mut client, "s", "later").await.expect("accepted");
    let turn_id = queued.turn.expect("a turn").turn_id;
    let both = {
        let (mut waiter, mut reader) = (client.clone(), client.clone());
        let wait = proto::AwaitTurnRequest {
            session_key: "s".into(),
            turn_id: turn_id.clone(),
            wait: None,
            or_question: false,
        };
        let read = proto::ReadEventsRequest {
            session_key: "s".into(),
            kinds: vec!["session_deleted".into()],
            wait: Some(Duration {
                seconds: 60,
                nanos: 0,
            }),
            ..Default::default()
        };
        async move { tokio::join!(waiter.await_turn(wait), reader.read_events(read)) }
    };
    let both = tokio::spawn(both);
    // They are under way once a later call on the same connection was answered.
    tokio::task::yield_now().await;
    let get = proto::GetTurnRequest {
        session_key: "s".into(),
        turn_id: turn_id.clone(),
    };
    client.get_turn(get).await.expect("it is there");
    gateway.terminate();
    let both = tokio::time::timeout(SOON, both).await;
    let (waited, read) = both.expect("they end").expect("no panic");
    let refused = waited.expect_err("it did not end");
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::Unavailable, "DRAINING".into())
    );
    assert!(read.expect("an empty page").into_inner().events.is_empty());
    assert_eq!(gateway.wait(), Some(0));

    gateway.restart();
    let mut client = gateway.client().await;
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(turn.response_text, "later");
    gateway.check_store();
}

/// A Run that attaches again ends, whatever its client has already; one that has what is not there is refused, and
/// nothing is admitted.
#[tokio::test]
async fn a_run_ends_for_a_client_that_has_its_end() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    let request = |after_seq| proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: "s".into(),
            text: "hello".into(),
            request_id: "r1".into(),
            ..Default::default()
        }),
        after_seq,
        cancel_on_disconnect: true,
        subagents: false,
    };
    let first = follow(&mut client, request(0)).await.expect("it ends");
    assert_eq!(first.last(), Some(&"turn_ended"));
    let ended = newest(&mut client, "s", "turn_ended").await;
    let again = follow(&mut client, request(ended - 1)).await;
    assert_eq!(again.expect("it ends"), ["turn_ended"]);
    run(&mut client, "s", "later").await;
    for had in [ended, ended + 1] {
        let nothing = tokio::time::timeout(SOON, follow(&mut client, request(had)));
        assert!(nothing.await.expect("it ends").expect("OK").is_empty());
    }
    let before = log(&mut client, "s").await.len();
    let mut ahead = request(1_000);
    ahead.enqueue.as_mut().expect("set").request_id = "r2".into();
    let refused = follow(&mut client, ahead).await.expect_err("it is ahead");
    assert_eq!(reason(&refused), "CURSOR_AHEAD");
    assert_eq!(log(&mut client, "s").await.len(), before);
    gateway.check_store();
}

/// Enqueues a turn that hangs, and waits until it has started: before that an Abort finds nothing to stop.
async fn start_hanging(client: &mut Client, key: &str) {
    let queued = enqueue(client, key, "!hang").await.expect("accepted");
    let started = proto::ReadEventsRequest {
        session_key: key.into(),
        cursor: Some(proto::Cursor {
            log_id: queued.log_id,
            after_seq: queued.seq,
        }),
        kinds: vec!["turn_started".into()],
        wait: Some(prost_types::Duration {
            seconds: 30,
            nanos: 0,
        }),
        ..Default::default()
    };
    let page = client.read_events(started).await.expect("readable");
    assert_eq!(page.into_inner().events.len(), 1);
}

/// The `seq` of a stop is the place of what it brought about, and every repeat tells the same.
#[tokio::test]
async fn abort_reset_and_delete_tell_the_place_of_their_end() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    start_hanging(&mut client, "s").await;
    let abort = proto::AbortRequest {
        session_key: "s".into(),
        request_id: "a".into(),
        ..Default::default()
    };
    let first = client.abort(abort.clone()).await.expect("OK").into_inner();
    assert!(first.aborted);
    assert_eq!(first.seq, newest(&mut client, "s", "turn_ended").await);

    start_hanging(&mut client, "s").await;
    let reset = proto::ResetRequest {
        session_key: "s".into(),
        request_id: "r".into(),
        ..Default::default()
    };
    let fresh = client.reset(reset.clone()).await.expect("OK").into_inner();
    assert_eq!(fresh.session.expect("set").generation, 2);
    assert_eq!(fresh.seq, newest(&mut client, "s", "session_reset").await);

    run(&mut client, "s", "more").await;
    let again = client.reset(reset).await.expect("OK").into_inner();
    assert_eq!((again.seq, again.replayed), (fresh.seq, true));
    let again = client.abort(abort).await.expect("OK").into_inner();
    assert_eq!((again.seq, again.replayed), (first.seq, true));

    let head = newest(&mut client, "s", "turn_ended").await;
    for (request_id, replayed) in [("d", false), ("d", true), ("", true)] {
        let delete = proto::DeleteSessionRequest {
            session_key: "s".into(),
            request_id: request_id.into(),
            ..Default::default()
        };
        let gone = client
            .delete_session(delete)
            .await
            .expect("OK")
            .into_inner();
        assert_eq!((gone.seq, gone.replayed), (head + 1, replayed));
    }
    gateway.check_store();
}

/// Fields that create a session are ignored on an existing one.
#[tokio::test]
async fn a_cwd_counts_where_it_makes_a_session() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    let request = |key: &str| proto::EnqueueRequest {
        session_key: key.into(),
        text: "hello".into(),
        cwd: "/nowhere".into(),
        ..Default::default()
    };
    run(&mut client, "old", "first").await;
    assert!(client.enqueue(request("old")).await.is_ok());
    let refused = client.enqueue(request("new")).await.expect_err("no roots");
    assert_eq!(reason(&refused), "INVALID_FIELD");
    let get = proto::GetSessionRequest {
        session_key: "new".into(),
        min_seq: 0,
    };
    let missing = client.get_session(get).await.expect_err("not made");
    assert_eq!(reason(&missing), "SESSION_NOT_FOUND");
    gateway.check_store();
}

/// What is kept is its owner's alone, in a directory that others may enter too.
#[tokio::test]
async fn what_is_kept_is_private() {
    let mut gateway = Gateway::start();
    gateway.terminate();
    gateway.wait();
    let mode = |path: &std::path::Path| {
        let mode = std::fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode();
        mode & 0o777
    };
    let data = gateway.data();
    assert_eq!(mode(&data), 0o700);
    std::fs::remove_file(data.join("quarterdeck.db")).expect("it was there");
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).expect("ours");
    let mut gateway = Gateway::with_data(gateway, &["--new-store"]);
    run(&mut gateway.client().await, "s", "hello").await;
    for name in ["quarterdeck.db", "quarterdeck.db-wal"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    for name in ["sessions", "tenants"] {
        assert_eq!(mode(&data.join(name)), 0o700, "{name}");
    }
    gateway.check_store();
}

/// An event is at most 1 MiB, also one that holds as much text as an answer may.
#[tokio::test]
async fn the_largest_answer_fits_its_event() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    let text = "a".repeat(quarterdeck::domain::limits::TEXT_MAX_BYTES);
    let turn = run(&mut client, "s", &text).await;
    assert!(turn.response_text == text);
    let mut said = String::new();
    for event in log(&mut client, "s").await {
        assert!(prost::Message::encoded_len(&event) <= 1024 * 1024);
        if let Some(Kind::MessageCompleted(message)) = event.kind {
            said.push_str(&message.text);
        }
    }
    assert!(said == text);
    gateway.check_store();
}

/// An agent works where its own roots allow it, whichever agent the session was made for.
#[tokio::test]
async fn another_agent_does_not_inherit_a_cwd() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path().canonicalize().expect("it is there");
    let mut gateway = Gateway::with(Options {
        config: format!(
            "[agents.echo]\ncwd_roots = [{root:?}]\n[agents.other]\ndriver = \"echo\"\n"
        ),
        ..Options::default()
    });
    let mut client = gateway.client().await;
    let create = proto::CreateSessionRequest {
        session_key: "s".into(),
        cwd: root.to_string_lossy().into_owned(),
        ..Default::default()
    };
    client.create_session(create).await.expect("below a root");
    let turn = run(&mut client, "s", "hello").await;
    assert_eq!(turn.response_text, "hello");
    let update = proto::UpdateSessionRequest {
        session_key: "s".into(),
        session: Some(proto::SessionSnapshot {
            agent: "other".into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["agent".into()],
        }),
        ..Default::default()
    };
    let refused = client.update_session(update).await.expect_err("no roots");
    assert_eq!(reason(&refused), "INVALID_FIELD");

    // The roots are gone with the next start.
    gateway.terminate();
    gateway.wait();
    let config = gateway.directory.path().join("quarterdeck.toml");
    std::fs::write(config, "").expect("ours");
    gateway.restart();
    let turn = run(&mut gateway.client().await, "s", "hello").await;
    assert_eq!(turn.error.expect("it failed").reason, "AGENT_UNAVAILABLE");
    gateway.check_store();
}

/// R19: an agent can put anything where the server makes its directories, clears them and, with the session, removes
/// them.
#[tokio::test]
async fn what_an_agent_plants_in_its_session_leads_the_server_nowhere() {
    use std::{fs, os::unix::fs::symlink};
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("secret"), "secret").expect("ours");
    let untouched = || {
        let names = fs::read_dir(outside.path()).expect("it is there");
        let names: Vec<_> = names.map(|it| it.expect("a name").file_name()).collect();
        assert_eq!(names, ["secret"]);
    };
    let mut gateway = Gateway::start();
    run(&mut gateway.client().await, "s", "hello").await;
    gateway.terminate();
    gateway.wait();
    let sessions = fs::read_dir(gateway.data().join("sessions")).expect("it is there");
    let sessions: Vec<_> = sessions.map(|it| it.expect("one").path()).collect();
    let [session] = &sessions[..] else {
        panic!("{sessions:?}");
    };
    let (work, tmp) = (session.join("work"), session.join("tmp"));

    // Its temporary directory is emptied, and not what it leads to; where it works it must be itself.
    fs::remove_dir(&tmp).expect("it is empty");
    symlink(outside.path(), &tmp).expect("ours");
    fs::remove_dir(&work).expect("it is empty");
    symlink(outside.path(), &work).expect("ours");
    gateway.restart();
    let turn = run(&mut gateway.client().await, "s", "hello").await;
    let error = turn.error.expect("it failed");
    assert_eq!(error.reason, "AGENT_UNAVAILABLE");
    untouched();
    gateway.terminate();
    gateway.wait();
    fs::remove_file(&work).expect("ours");
    gateway.restart();
    let mut client = gateway.client().await;
    let turn = run(&mut client, "s", "hello").await;
    assert_eq!(turn.response_text, "hello");
    assert!(tmp.is_dir() && !tmp.is_symlink());
    untouched();

    // A tree that is deeper than descriptors and stack go, with links to what must stay.
    let mut deep = std::process::Command::new("python3");
    let script = "import os, sys\nos.chdir(sys.argv[1])\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\n\
                  os.symlink(sys.argv[2], 'link')\nos.link(sys.argv[2] + '/secret', 'hard')";
    let deep = deep
        .args(["-c", script])
        .args([work.as_path(), outside.path()])
        .status();
    assert!(deep.expect("python3 starts").success());
    symlink(outside.path(), work.join("link")).expect("ours");
    let delete = proto::DeleteSessionRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    client.delete_session(delete).await.expect("deleted");
    assert!(!session.exists());
    untouched();
    gateway.check_store();
}
