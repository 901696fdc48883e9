//! Sessions: made, read, changed, listed and watched (§2, §3, §5).

use crate::world::*;
use proto::SessionState;
use std::collections::BTreeMap;

fn labels(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("lists".to_owned(), value.to_owned()),
        ("all".to_owned(), "1".to_owned()),
    ])
}

fn by_prefix(prefix: &str) -> proto::SessionFilter {
    proto::SessionFilter {
        key_prefix: prefix.into(),
        ..Default::default()
    }
}

fn keys(sessions: &[proto::SessionSnapshot]) -> Vec<&str> {
    sessions.iter().map(|s| s.session_key.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_is_made_once_with_its_settings() {
    let (_server, mut client) = shared().await;
    let key = "lists.create";
    let answer = ok!(client.create_session(CreateSessionRequest {
        session_key: key,
        agent: "other",
        model: "m",
        thinking_level: "t",
        labels: labels("x"),
        display_name: "name",
        cwd: env!("CARGO_TARGET_TMPDIR"),
        expire_after_idle: millis(3_600_000),
    }));
    let made = answer.session.expect("a session");
    assert_eq!(
        (answer.seq, &answer.log_id, answer.replayed),
        (1, &made.log_id, false)
    );
    assert_eq!(
        (
            made.agent.as_str(),
            made.model.as_str(),
            made.thinking_level.as_str()
        ),
        ("other", "m", "t")
    );
    assert_eq!(
        (made.state(), made.generation, made.head_seq, made.first_seq),
        (SessionState::Idle, 1, 1, 1)
    );
    assert_eq!(
        (made.message_count, made.queue_depth, made.primary),
        (0, 0, false)
    );
    assert_eq!(made.expire_after_idle, Some(millis(3_600_000)));
    assert_eq!(made.labels, labels("x"));
    assert!(
        made.create_time.is_some() && made.update_time.is_some() && made.last_active_time.is_some()
    );
    assert_eq!(session(&mut client, key).await, made, "reads move nothing");
    let again = call!(client.create_session(CreateSessionRequest { session_key: key }));
    refused(again, Code::AlreadyExists, "SESSION_EXISTS");
    let ahead = call!(client.get_session(GetSessionRequest {
        session_key: key,
        min_seq: 2
    }));
    let details = refused(ahead, Code::OutOfRange, "CURSOR_AHEAD");
    assert_eq!(
        (fact(&details, "head_seq"), fact(&details, "log_id")),
        ("1".into(), made.log_id)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_changes_what_the_mask_names() {
    let (_server, mut client) = shared().await;
    let key = "lists.update";
    let made = ok!(client.create_session(CreateSessionRequest {
        session_key: key,
        display_name: "old",
        labels: labels("a")
    }));
    let made = made.session.expect("a session");
    let mut follow = Follow::live(&mut client, key).await;
    let update = |paths: &[&str], session: proto::SessionSnapshot| proto::UpdateSessionRequest {
        session_key: key.into(),
        session: Some(session),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|p| (*p).to_owned()).collect(),
        }),
        ..Default::default()
    };
    let new = proto::SessionSnapshot {
        display_name: "new".into(),
        labels: labels("b"),
        expire_after_idle: Some(millis(1000)),
        model: "no".into(),
        ..Default::default()
    };
    let answer = inner(
        client
            .update_session(update(&["display_name"], new.clone()))
            .await,
    )
    .expect("changed");
    let now = answer.session.expect("a session");
    assert_eq!(
        (now.display_name.as_str(), &now.labels, &now.model),
        ("new", &made.labels, &made.model)
    );
    assert_eq!(now.expire_after_idle, None);
    let updated = follow.until("session_updated").await;
    assert_eq!(updated.seq, answer.seq);
    let Some(Kind::SessionUpdated(body)) = updated.kind else {
        panic!("asked for")
    };
    assert_eq!(body.session.expect("a session").display_name, "new");
    let now = inner(
        client
            .update_session(update(&["labels"], new.clone()))
            .await,
    )
    .expect("changed");
    assert_eq!(now.session.expect("a session").labels, labels("b"));

    for path in ["model", "session_key", "", "state"] {
        invalid(
            client.update_session(update(&[path], new.clone())).await,
            &["update_mask.paths[0]"],
        );
    }
    invalid(
        client.update_session(update(&[], new.clone())).await,
        &["update_mask"],
    );
    let unknown = proto::SessionSnapshot {
        agent: "nobody".into(),
        ..Default::default()
    };
    invalid(
        client.update_session(update(&["agent"], unknown)).await,
        &["session.agent"],
    );
    let control = proto::SessionSnapshot {
        display_name: "a\nb".into(),
        ..Default::default()
    };
    invalid(
        client
            .update_session(update(&["display_name"], control))
            .await,
        &["session.display_name"],
    );
    let wrong = proto::UpdateSessionRequest {
        expected_generation: Some(3),
        ..update(&["labels"], new.clone())
    };
    refused(
        client.update_session(wrong).await,
        Code::Aborted,
        "GENERATION_MISMATCH",
    );
    let missing = proto::UpdateSessionRequest {
        session_key: "lists.nowhere".into(),
        ..update(&["labels"], new)
    };
    refused(
        client.update_session(missing).await,
        Code::NotFound,
        "SESSION_NOT_FOUND",
    );
    assert!(!exists(&mut client, "lists.nowhere").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_that_idles_too_long_is_deleted() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    ok!(client.create_session(CreateSessionRequest {
        session_key: "short",
        expire_after_idle: millis(1000)
    }));
    ok!(client.create_session(CreateSessionRequest {
        session_key: "long",
        expire_after_idle: millis(600_000)
    }));
    // A turn of another session is the clock; a start does its housekeeping at once.
    run(&mut client, "clock", "!delay=1100ms x").await;
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    gateway.restart();
    let mut client = gateway.client().await;
    let gone = || async {
        while exists(&mut client.clone(), "short").await {
            tokio::task::yield_now().await;
        }
    };
    soon(gone()).await;
    let answer = call!(client.get_session(GetSessionRequest {
        session_key: "short"
    }));
    soon(async {
        // Its tombstone comes with the last commit of the Delete.
        let mut answer = answer;
        while reason(&answer.expect_err("it is gone")) != "SESSION_DELETED" {
            answer = call!(client.get_session(GetSessionRequest {
                session_key: "short"
            }));
        }
    })
    .await;
    assert!(exists(&mut client, "long").await && exists(&mut client, "clock").await);
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sessions_are_listed_newest_first_by_filter_and_page() {
    let (_server, mut client) = shared().await;
    for n in 0..5 {
        let agent = if n == 3 { "other" } else { "echo" };
        ok!(client.create_session(CreateSessionRequest {
            session_key: format!("list:{n}"),
            agent: agent,
            labels: labels(if n < 2 { "low" } else { "high" }),
        }));
    }
    start(&mut client, "list:0", "!hang x").await;
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let page = ok!(client.list_sessions(ListSessionsRequest {
            filter: by_prefix("list:"),
            page_size: 2,
            page_token: token.as_str(),
        }));
        assert!(page.sessions.len() <= 2);
        listed.extend(page.sessions);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        let other = call!(client.list_sessions(ListSessionsRequest {
            filter: by_prefix("l"),
            page_token: token.as_str()
        }));
        invalid(other, &["page_token"]);
    }
    assert_eq!(
        keys(&listed),
        ["list:4", "list:3", "list:2", "list:1", "list:0"]
    );
    let filtered = |filter: proto::SessionFilter| proto::SessionFilter {
        key_prefix: "list:".into(),
        ..filter
    };
    let filters = [
        (
            proto::SessionFilter {
                labels: labels("low"),
                ..Default::default()
            },
            vec!["list:1", "list:0"],
        ),
        (
            proto::SessionFilter {
                agent: "other".into(),
                ..Default::default()
            },
            vec!["list:3"],
        ),
        (
            proto::SessionFilter {
                states: vec![SessionState::Running.into()],
                ..Default::default()
            },
            vec!["list:0"],
        ),
        (
            proto::SessionFilter {
                labels: labels("high"),
                agent: "other".into(),
                ..Default::default()
            },
            vec!["list:3"],
        ),
        (
            proto::SessionFilter {
                labels: labels("none"),
                ..Default::default()
            },
            vec![],
        ),
    ];
    for (filter, expected) in filters {
        let answer = ok!(client.list_sessions(ListSessionsRequest {
            filter: filtered(filter.clone())
        }));
        assert_eq!(keys(&answer.sessions), expected, "{filter:?}");
    }
    // A prefix is text, not a pattern, and keys are compared byte for byte.
    for prefix in ["list_", "LIST:", "list%", "list:*"] {
        let answer = ok!(client.list_sessions(ListSessionsRequest {
            filter: by_prefix(prefix)
        }));
        assert_eq!(keys(&answer.sessions), [""; 0], "{prefix}");
    }
    invalid(
        call!(client.list_sessions(ListSessionsRequest { page_token: "AAAA" })),
        &["page_token"],
    );
    invalid(
        call!(client.list_sessions(ListSessionsRequest { page_size: -1 })),
        &["page_size"],
    );
    let filter = proto::SessionFilter {
        states: vec![77],
        ..Default::default()
    };
    invalid(
        call!(client.list_sessions(ListSessionsRequest { filter: filter })),
        &["filter.states[0]"],
    );
    abort(&mut client, "list:0").await;
}

/// DEFECTS 44: what a session is doing reaches all who watch. FEATURES 6.2 11.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_watch_gives_the_list_then_each_change() {
    let (_server, mut client) = shared().await;
    let (one, two) = ("watch:1", "watch:2");
    run(&mut client, one, "x").await;
    let request = |initial: Option<bool>| proto::WatchSessionsRequest {
        filter: Some(by_prefix("watch:")),
        initial,
    };
    let mut watch = client
        .watch_sessions(request(None))
        .await
        .expect("watched")
        .into_inner();
    let first = soon(watch.message())
        .await
        .expect("goes on")
        .expect("goes on");
    assert_eq!(first, session(&mut client, one).await);
    let complete = soon(watch.message())
        .await
        .expect("goes on")
        .expect("goes on");
    assert_eq!(
        complete,
        proto::SessionSnapshot::default(),
        "the list is complete"
    );
    let mut changes = client
        .watch_sessions(request(Some(false)))
        .await
        .expect("watched")
        .into_inner();
    let complete = soon(changes.message())
        .await
        .expect("goes on")
        .expect("goes on");
    assert_eq!(
        complete,
        proto::SessionSnapshot::default(),
        "no list was asked for"
    );

    run(&mut client, "unwatched", "x").await;
    let turn_id = start(&mut client, two, "!hang x").await;
    let mut until = async |key: &str, state: SessionState| loop {
        let seen = soon(watch.message())
            .await
            .expect("goes on")
            .expect("goes on");
        assert!(seen.session_key.is_empty() || seen.session_key.starts_with("watch:"));
        if seen.session_key == key && seen.state() == state {
            break seen;
        }
    };
    assert_eq!(
        until(two, SessionState::Running).await.active_turn_id,
        turn_id
    );
    abort(&mut client, two).await;
    assert_eq!(until(two, SessionState::Idle).await.active_turn_id, "");
    let deleted = ok!(client.delete_session(DeleteSessionRequest { session_key: two }));
    let expected = proto::SessionSnapshot {
        session_key: two.into(),
        log_id: deleted.log_id,
        state: SessionState::Deleted.into(),
        ..Default::default()
    };
    assert_eq!(
        until(two, SessionState::Deleted).await,
        expected,
        "key and log only"
    );
    let mut seen = soon(changes.message())
        .await
        .expect("goes on")
        .expect("goes on");
    assert_eq!(seen.session_key, two, "only what changed");
    while seen.state() != SessionState::Deleted {
        seen = soon(changes.message())
            .await
            .expect("goes on")
            .expect("goes on");
    }
    let bad = proto::SessionFilter {
        key_prefix: "x".repeat(200),
        ..Default::default()
    };
    invalid(
        call!(client.watch_sessions(WatchSessionsRequest { filter: bad })),
        &["filter.key_prefix"],
    );
}
