//! SubscribeMany: many sessions in one stream, each by the rules of Subscribe (§5, R5).

use crate::world::*;
use proto::{SessionFilter, SessionState, SubscribeManyRequest};
use std::collections::BTreeMap;

/// A session after a position.
fn after(key: &str, after_seq: i64) -> proto::SessionCursor {
    proto::SessionCursor {
        session_key: key.into(),
        after_seq,
        ..Default::default()
    }
}

fn from_head(key: &str) -> proto::SessionCursor {
    proto::SessionCursor {
        session_key: key.into(),
        from_head: true,
        ..Default::default()
    }
}

fn cursors(cursors: Vec<proto::SessionCursor>) -> SubscribeManyRequest {
    SubscribeManyRequest {
        cursors,
        ..Default::default()
    }
}

fn filter(key_prefix: &str) -> Option<SessionFilter> {
    Some(SessionFilter {
        key_prefix: key_prefix.into(),
        ..Default::default()
    })
}

async fn follow(client: &mut Client, request: SubscribeManyRequest) -> Follow {
    let stream = client.subscribe_many(request).await.expect("followed");
    Follow::new(stream.into_inner())
}

/// Reads until as many events of a kind came.
async fn until_all(follow: &mut Follow, wanted: &str, count: usize) {
    let of_kind = |follow: &Follow| {
        let all = follow.seen.iter();
        all.filter(|event| kind(event) == wanted).count()
    };
    while of_kind(follow) < count {
        follow.next().await.expect("goes on").expect("goes on");
    }
}

/// Reads until the durable events of each session reach a position.
async fn until_heads(follow: &mut Follow, heads: &BTreeMap<String, i64>) {
    let mut missing = heads.clone();
    let mut looked = 0;
    loop {
        for event in &follow.seen[looked..] {
            let head = missing.get(&event.session_key);
            if head.is_some_and(|head| place(event) >= *head) {
                missing.remove(&event.session_key);
            }
        }
        looked = follow.seen.len();
        if missing.is_empty() {
            return;
        }
        follow.next().await.expect("goes on").expect("goes on");
    }
}

/// How far an event says that its stream is.
fn place(event: &proto::GatewayEvent) -> i64 {
    event.seq.max(event.after_seq)
}

/// Events of one session.
fn of(events: &[proto::GatewayEvent], key: &str) -> Vec<proto::GatewayEvent> {
    let of_session = events.iter().filter(|event| event.session_key == key);
    of_session.cloned().collect()
}

/// A session with a label.
async fn create(client: &mut Client, key: &str, group: &str) -> proto::CreateSessionResponse {
    let labels: BTreeMap<String, String> = [("group".to_owned(), group.to_owned())].into();
    ok!(client.create_session(CreateSessionRequest {
        session_key: key,
        labels: labels
    }))
}

async fn heads(client: &mut Client, keys: &[String]) -> BTreeMap<String, i64> {
    let mut heads = BTreeMap::new();
    for key in keys {
        heads.insert(key.clone(), session(client, key).await.head_seq);
    }
    heads
}

/// R5: whenever a stream begins, and wherever each of its sessions begins, it has each session's log from there on, and
/// what the deltas built of a block is what the block became.
/// DEFECTS 40: what is of one conversation never comes on another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_session_comes_as_its_own_log() {
    let (server, mut client) = shared().await;
    let keys: Vec<String> = (0..6).map(|n| format!("many.log:{n}")).collect();
    let mut follows = Vec::new();
    let mut turns = Vec::new();
    for round in 0..5_usize {
        for (number, key) in keys.iter().enumerate() {
            let text = [
                "!delay=1ms !repeat=30 wörd",
                "!think=a_thought !tool=look short",
                "!repeat=2000 a longer answer",
                "x",
            ];
            let turn_id = queue(&mut client, key, text[(number + round) % text.len()]).await;
            turns.push((key.clone(), turn_id));
        }
        // Each from another place, while all are busy.
        let now = heads(&mut client, &keys).await;
        let starts: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(number, key)| after(key, now[key] * ((number + round) % 4) as i64 / 3))
            .collect();
        let from: Vec<i64> = starts.iter().map(|start| start.after_seq).collect();
        // What is not read yet must not fill the connection of the others.
        let mut own = connect(server.address()).await;
        follows.push((from, follow(&mut own, cursors(starts)).await));
    }
    for (key, turn_id) in turns {
        await_turn(&mut client, &key, &turn_id).await;
    }
    let last = heads(&mut client, &keys).await;
    for (from, mut follow) in follows {
        until_heads(&mut follow, &last).await;
        // What stands at the head is told after it.
        let told = |seen: &[proto::GatewayEvent], key: &str| {
            of(seen, key).iter().any(|event| kind(event) == "caught_up")
        };
        while !keys.iter().all(|key| told(&follow.seen, key)) {
            follow.next().await.expect("goes on").expect("goes on");
        }
        for (key, from) in keys.iter().zip(from) {
            let seen = of(&follow.seen, key);
            let mut whole = log(&mut client, key).await;
            whole.retain(|event| event.seq > from);
            assert_eq!(durable(&seen), whole, "{key} after {from}");
            assert_eq!(kind(&seen[0]), "hello");
            assert_eq!(seen[0].after_seq, from);
            let caught_up = seen.iter().filter(|event| kind(event) == "caught_up");
            assert_eq!(caught_up.count(), 1);
            assert_deltas_fit(&seen);
        }
    }
}

/// What snapshots and deltas told of a message is the beginning of what it became: a stream that was not read for a while
/// is not told the rest.
fn assert_deltas_fit(events: &[proto::GatewayEvent]) {
    for (at, event) in events.iter().enumerate() {
        let Some(Kind::MessageCompleted(done)) = &event.kind else {
            continue;
        };
        let thinking = |event: &proto::GatewayEvent| match &event.kind {
            Some(Kind::ItemSnapshot(open)) => open.block() != proto::BlockKind::Text,
            _ => false,
        };
        let of_item: Vec<_> = events[..at]
            .iter()
            .filter(|one| one.item_id == event.item_id && !thinking(one))
            .cloned()
            .collect();
        let told = text(&of_item);
        assert!(done.text.starts_with(&told), "{told} | {}", done.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_session_may_have_its_own_events() {
    let (_server, mut client) = shared().await;
    let [plain, few, all] = ["many.own:plain", "many.own:few", "many.own:all"];
    for key in [plain, few, all] {
        run(&mut client, key, "x").await;
    }
    let with = |key: &str, kinds: &[&str], deltas: Option<bool>| proto::SessionCursor {
        events: Some(proto::EventSelection {
            kinds: kinds.iter().map(|&kind| kind.into()).collect(),
            deltas,
            subagents: false,
        }),
        ..from_head(key)
    };
    let request = SubscribeManyRequest {
        kinds: vec!["turn_queued".into(), "token".into()],
        deltas: Some(false),
        ..cursors(vec![
            from_head(plain),
            with(few, &["message_completed", "token"], Some(true)),
            with(all, &[], None),
        ])
    };
    let mut follow = follow(&mut client, request).await;
    until_all(&mut follow, "caught_up", 3).await;
    for key in [plain, few, all] {
        run(&mut client, key, "one two").await;
    }
    until_all(&mut follow, "turn_ended", 1).await;
    let at = |key| kinds(&of(&follow.seen, key)[2..]);
    assert_eq!(at(plain), ["turn_queued"]);
    assert_eq!(at(few), ["token", "token", "message_completed"]);
    assert!(at(all).starts_with(&["turn_queued"]) && at(all).ends_with(&["turn_ended"]));
    assert!(at(all).contains(&"token") && at(all).contains(&"session_state"));
}

/// The list comes as from WatchSessions, whatever `kinds` says, and is no stream of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_list_comes_beside_what_is_followed() {
    let (_server, mut client) = shared().await;
    let [one, two] = ["many.list:1", "many.list:2"];
    run(&mut client, one, "x").await;
    let request = SubscribeManyRequest {
        watch: filter("many.list:"),
        kinds: vec!["turn_ended".into()],
        ..cursors(vec![from_head(one)])
    };
    let mut follow = follow(&mut client, request).await;
    let shown = |event: &proto::GatewayEvent| match &event.kind {
        Some(Kind::SessionState(state)) => state.session.clone(),
        _ => None,
    };
    while !follow.seen.iter().any(|event| event.session_key.is_empty()) {
        follow.next().await.expect("goes on").expect("goes on");
    }
    let listed: Vec<_> = follow.seen.iter().filter_map(shown).collect();
    let now = session(&mut client, one).await;
    assert_eq!(listed, [now.clone(), proto::SessionSnapshot::default()]);
    let told = follow.seen.iter().find(|event| shown(event).is_some());
    let told = told.expect("it was listed");
    assert_eq!((told.seq, told.after_seq), (0, now.head_seq));
    assert_eq!(told.log_id, now.log_id);

    run(&mut client, "many.unlisted", "x").await;
    run(&mut client, one, "x").await;
    let turn_id = start(&mut client, two, "!hang x").await;
    let mut until = async |key: &str, state: SessionState| loop {
        let event = follow.until("session_state").await;
        let seen = shown(&event).expect("asked for");
        assert_eq!(event.session_key, seen.session_key);
        if seen.session_key == key && seen.state() == state {
            break seen;
        }
    };
    let running = until(two, SessionState::Running).await;
    assert_eq!(running.active_turn_id, turn_id);
    abort(&mut client, two).await;
    let deleted = ok!(client.delete_session(DeleteSessionRequest { session_key: two }));
    let expected = proto::SessionSnapshot {
        session_key: two.into(),
        log_id: deleted.log_id,
        state: SessionState::Deleted.into(),
        ..Default::default()
    };
    assert_eq!(until(two, SessionState::Deleted).await, expected);
    until_all(&mut follow, "turn_ended", 1).await;
    let keys: Vec<_> = follow.seen.iter().map(|e| e.session_key.as_str()).collect();
    assert!(!keys.contains(&"many.unlisted"));
    let of_two = kinds(&of(&follow.seen, two));
    assert!(
        of_two.iter().all(|kind| *kind == "session_state"),
        "{of_two:?}"
    );
}

/// A filter follows what matches from its head on, and what comes to match from there on, without a hole.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_filter_takes_in_what_comes_to_match() {
    let (_server, mut client) = shared().await;
    let [old, named, coming, made] = ["a", "b", "c", "d"].map(|n| format!("many.filter:{n}"));
    create(&mut client, &old, "in").await;
    create(&mut client, &named, "in").await;
    create(&mut client, &coming, "out").await;
    for key in [&old, &named, &coming] {
        run(&mut client, key, "before").await;
    }
    let request = SubscribeManyRequest {
        filter: Some(SessionFilter {
            labels: [("group".to_owned(), "in".to_owned())].into(),
            ..Default::default()
        }),
        ..cursors(vec![after(&named, 0)])
    };
    let now = session(&mut client, &old).await.head_seq;
    let mut follow = follow(&mut client, request).await;
    // From the answer's head on everything comes, read or not.
    create(&mut client, &made, "in").await;
    let mut label = async |key: &str, group: &str| {
        let updated = ok!(client.update_session(UpdateSessionRequest {
            session_key: key,
            session: proto::SessionSnapshot {
                labels: [("group".to_owned(), group.to_owned())].into(),
                ..Default::default()
            },
            update_mask: prost_types::FieldMask {
                paths: vec!["labels".into()]
            }
        }));
        updated.seq
    };
    let came = label(&coming, "in").await;
    label(&old, "out").await;
    let keys = [&old, &named, &coming, &made].map(Clone::clone);
    for key in &keys {
        run(&mut client, key, "after").await;
    }
    let last = heads(&mut client, &keys).await;
    until_heads(&mut follow, &last).await;
    for (key, from) in keys.iter().zip([now, 0, came - 1, 0]) {
        let mut whole = log(&mut client, key).await;
        whole.retain(|event| event.seq > from);
        assert_eq!(durable(&of(&follow.seen, key)), whole, "{key}");
    }
    assert_eq!(
        kind(&durable(&of(&follow.seen, &coming))[0]),
        "session_updated"
    );
    assert_eq!(
        kind(&durable(&of(&follow.seen, &made))[0]),
        "session_created"
    );

    // One that goes leaves, and another with its key comes.
    ok!(client.delete_session(DeleteSessionRequest {
        session_key: made.as_str()
    }));
    follow.until("session_deleted").await;
    let again = create(&mut client, &made, "in").await;
    let created = follow.until("session_created").await;
    assert_eq!((created.log_id, created.seq), (again.log_id, 1));
}

/// Every session that is made while a stream over all begins is on it, from its first event on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_that_is_made_meanwhile_is_missed() {
    let (server, mut client) = shared().await;
    let keys: Vec<String> = (0..30).map(|n| format!("many.made:{n}")).collect();
    let writer = tokio::spawn({
        let (mut client, keys) = (client.clone(), keys.clone());
        async move {
            for key in keys {
                run(&mut client, &key, "x").await;
            }
        }
    });
    let mut follows = Vec::new();
    while !writer.is_finished() {
        let request = SubscribeManyRequest {
            filter: filter("many.made:"),
            ..Default::default()
        };
        let mut own = connect(server.address()).await;
        follows.push(follow(&mut own, request).await);
        if follows.len() > 20 {
            break;
        }
    }
    writer.await.expect("no panic");
    let last = heads(&mut client, &keys).await;
    let mut logs = BTreeMap::new();
    for key in &keys {
        logs.insert(key, log(&mut client, key).await);
    }
    for mut follow in follows {
        until_heads(&mut follow, &last).await;
        for key in &keys {
            let seen = of(&follow.seen, key);
            assert_eq!(kind(&seen[0]), "hello");
            let mut whole = logs[key].clone();
            whole.retain(|event| event.seq > seen[0].after_seq);
            assert_eq!(durable(&seen), whole, "{key}");
        }
    }
}

/// A deleted session leaves after its last event; a stream that nothing can follow on any more ends OK.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn deleted_sessions_leave() {
    let (_server, mut client) = shared().await;
    let [one, two] = ["many.gone:1", "many.gone:2"];
    for key in [one, two] {
        run(&mut client, key, "x").await;
    }
    let request = cursors(vec![from_head(one), from_head(two)]);
    let mut follow = follow(&mut client, request).await;
    until_all(&mut follow, "caught_up", 2).await;
    ok!(client.delete_session(DeleteSessionRequest { session_key: one }));
    assert_eq!(follow.until("session_deleted").await.session_key, one);
    run(&mut client, two, "x").await;
    assert_eq!(follow.until("turn_ended").await.session_key, two);
    ok!(client.delete_session(DeleteSessionRequest { session_key: two }));
    let seen = follow.rest().await;
    let last = seen.last().expect("some");
    assert_eq!(
        (kind(last), last.session_key.as_str()),
        ("session_deleted", two)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whatever_is_wrong_is_named() {
    let (_server, mut client) = shared().await;
    let key = "many.wrong";
    run(&mut client, key, "x").await;
    let now = session(&mut client, key).await;
    invalid(
        call!(client.subscribe_many(SubscribeManyRequest {})),
        &["cursors"],
    );
    let wrong = SubscribeManyRequest {
        filter: filter("\n"),
        cursors: vec![
            from_head(key),
            from_head("a b"),
            proto::SessionCursor {
                log_id: "x".into(),
                ..from_head(key)
            },
            proto::SessionCursor {
                from_oldest: true,
                ..after("other", -1)
            },
            proto::SessionCursor {
                events: Some(proto::EventSelection {
                    kinds: vec!["nothing".into()],
                    deltas: None,
                    subagents: false,
                }),
                ..from_head("more")
            },
        ],
        progress_interval: Some(millis(1)),
        ..Default::default()
    };
    // Eight are named, in the order of the fields.
    invalid(
        client.subscribe_many(wrong).await,
        &[
            "cursors[1].session_key",
            "cursors[2].from_head",
            "cursors[2].session_key",
            "cursors[3].after_seq",
            "cursors[3].from_oldest",
            "cursors[4].events.kinds[0]",
            "filter.key_prefix",
            "progress_interval",
        ],
    );
    let wrong = SubscribeManyRequest {
        kinds: vec!["nothing".into()],
        watch: Some(SessionFilter {
            states: vec![99],
            ..Default::default()
        }),
        coalesce: Some(millis(51)),
        ..Default::default()
    };
    invalid(
        client.subscribe_many(wrong).await,
        &["kinds[0]", "watch.states[0]", "coalesce"],
    );
    let crowd = (0..1001).map(|n| from_head(&format!("many.crowd:{n}")));
    invalid(
        client.subscribe_many(cursors(crowd.collect())).await,
        &["cursors"],
    );

    // What is right but refused names its session.
    let other_log = proto::SessionCursor {
        log_id: uuid::Uuid::nil().to_string(),
        ..after(key, 0)
    };
    for (cursor, code, why) in [
        (
            after("many.unknown", 0),
            Code::NotFound,
            "SESSION_NOT_FOUND",
        ),
        (
            after(key, now.head_seq + 1),
            Code::OutOfRange,
            "CURSOR_AHEAD",
        ),
        (other_log, Code::FailedPrecondition, "LOG_CHANGED"),
    ] {
        let refusing = cursor.session_key.clone();
        let request = SubscribeManyRequest {
            filter: filter("many.wrong.other"),
            ..cursors(vec![cursor])
        };
        let details = refused(client.subscribe_many(request).await, code, why);
        assert_eq!(fact(&details, "session_key"), refusing);
        if code != Code::NotFound {
            assert_eq!(fact(&details, "first_seq"), "1");
            assert_eq!(fact(&details, "head_seq"), now.head_seq.to_string());
            assert_eq!(fact(&details, "log_id"), now.log_id);
        }
    }
}

/// Silence of one session is told while others talk.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn silence_is_told_for_each_session() {
    let (_server, mut client) = shared().await;
    let [quiet, busy] = ["many.silence:quiet", "many.silence:busy"];
    run(&mut client, quiet, "x").await;
    run(&mut client, busy, "x").await;
    queue(&mut client, busy, "!delay=20ms !repeat=500 x").await;
    let request = SubscribeManyRequest {
        progress_interval: Some(millis(1000)),
        ..cursors(vec![from_head(quiet), from_head(busy)])
    };
    let mut follow = follow(&mut client, request).await;
    let progress = follow.until("progress").await;
    assert_eq!(progress.session_key, quiet);
    assert!(follow.seen.iter().any(|event| kind(event) == "token"));
    abort(&mut client, busy).await;
}

/// `draining` for each session; the end after the last event of the last of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_drain_ends_it_after_everything() {
    let mut gateway = Gateway::with(config("drain_timeout = \"60s\"\n"));
    let mut client = gateway.client().await;
    let [idle, busy] = ["many.idle", "many.busy"];
    run(&mut client, idle, "x").await;
    let active = start(&mut client, busy, "!hang x").await;
    let request = SubscribeManyRequest {
        filter: filter("many."),
        watch: filter(""),
        ..Default::default()
    };
    let mut stream = follow(&mut client, request.clone()).await;
    until_all(&mut stream, "caught_up", 2).await;
    gateway.terminate();
    until_all(&mut stream, "draining", 2).await;
    let mut late = follow(&mut client, request).await;
    until_all(&mut late, "draining", 2).await;
    assert!(abort(&mut client, busy).await.aborted);
    for follow in [&mut stream, &mut late] {
        let ended = follow.failure().await;
        refused(Err::<(), _>(ended), Code::Unavailable, "DRAINING");
        let durable = durable(&follow.seen);
        let last = durable.last().expect("some");
        assert_eq!((kind(last), &last.turn_id), ("turn_ended", &active));
    }
    assert_eq!(gateway.wait(), Some(0));
}
