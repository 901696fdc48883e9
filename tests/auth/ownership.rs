//! Sessions have owners: what others are told of them, what a share gives, and what its end takes.

use crate::{
    support::{Gateway, SOON, reason},
    world::{Caller, Wire, admin_key, command, printed, request, start, start_with},
};
use quarterdeck::proto::{self, gateway_service_client::GatewayServiceClient};
use std::{future::Future, time::Duration};
use tonic::{Code, Status};

type Client = GatewayServiceClient<Wire>;

/// Everything that one does with sessions of one's own.
const SCOPES: [&str; 5] = [
    "session.read",
    "session.write",
    "session.steer",
    "session.abort",
    "session.reset",
];

/// Longest time until a stream of somebody whose share is withdrawn has ended.
const WITHDRAWN_MAX: Duration = Duration::from_secs(5);

/// A principal of the default tenant.
async fn who(gateway: &Gateway, subject: &str) -> Client {
    key_of(gateway, subject, &SCOPES).await.1.gateway()
}

/// A key of a principal, by its id, and a caller with it.
async fn key_of(gateway: &Gateway, subject: &str, scopes: &[&str]) -> (String, Caller) {
    let admin = Caller::admin(gateway).await;
    let made = admin
        .make(proto::CreateApiKeyRequest {
            subject: subject.into(),
            ..request(scopes)
        })
        .await
        .expect("a key");
    let key_id = made.api_key.expect("the key").key_id;
    (key_id, admin.as_key(&made.secret))
}

async fn enqueue(client: &mut Client, key: &str, text: &str) -> Result<proto::Turn, Status> {
    let request = proto::EnqueueRequest {
        session_key: key.into(),
        text: text.into(),
        ..Default::default()
    };
    let answer = client.enqueue(request).await?.into_inner();
    Ok(answer.turn.expect("a turn"))
}

async fn share(client: &mut Client, key: &str, with: &[(&str, proto::ShareAccess)]) {
    let shares = with
        .iter()
        .map(|(subject, access)| proto::SessionShare {
            principal: format!("default/{subject}"),
            access: (*access).into(),
        })
        .collect();
    let updated = client.update_session(sharing(key, shares)).await;
    let session = updated.expect("shared").into_inner().session;
    assert_eq!(session.expect("a session").shares.len(), with.len());
}

fn sharing(key: &str, shares: Vec<proto::SessionShare>) -> proto::UpdateSessionRequest {
    proto::UpdateSessionRequest {
        session_key: key.into(),
        session: Some(proto::SessionSnapshot {
            shares,
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["shares".into()],
        }),
        ..Default::default()
    }
}

async fn turn(client: &mut Client, key: &str, turn_id: &str) -> proto::Turn {
    let request = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: turn_id.into(),
        wait: None,
        or_question: false,
    };
    let answer = soon(client.await_turn(request)).await.expect("it ends");
    answer.into_inner().turn.expect("a turn")
}

/// Waits until a turn runs.
async fn running(client: &mut Client, key: &str, turn_id: &str) {
    let request = proto::ReadEventsRequest {
        session_key: key.into(),
        kinds: vec!["turn_started".into()],
        from_oldest: true,
        wait: Some(prost_types::Duration {
            seconds: 30,
            nanos: 0,
        }),
        ..Default::default()
    };
    let page = soon(client.read_events(request)).await.expect("a page");
    let events = page.into_inner().events;
    assert!(events.iter().any(|event| event.turn_id == turn_id));
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work)
        .await
        .expect("it comes in time")
}

/// How a stream ends.
async fn end<T>(mut stream: tonic::Streaming<T>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended OK"),
            Err(status) => return status,
        }
    }
}

/// CONTRACT-2 §12: a turn names who sent it, not whose session it is; a changed text is of who changed it.
#[tokio::test]
async fn a_turn_names_its_sender() {
    let gateway = start();
    let (mut anna, mut bob) = (who(&gateway, "anna").await, who(&gateway, "bob").await);
    let first = enqueue(&mut anna, "s", "!hang x").await.expect("hers");
    assert_eq!(first.principal, "default/anna");
    share(&mut anna, "s", &[("bob", proto::ShareAccess::Write)]).await;
    let second = enqueue(&mut bob, "s", "from bob").await.expect("shared");
    assert_eq!(second.principal, "default/bob");
    let changed = anna.update_queued(proto::UpdateQueuedRequest {
        session_key: "s".into(),
        turn_id: second.turn_id.clone(),
        text: Some("from anna".into()),
        ..Default::default()
    });
    let changed = changed.await.expect("hers").into_inner().turn;
    assert_eq!(changed.expect("a turn").principal, "default/anna");
    let third = enqueue(&mut bob, "s", "from bob").await.expect("shared");
    let abort = proto::AbortRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    anna.abort(abort).await.expect("stopped");
    for (turn_id, principal) in [
        (&first.turn_id, "default/anna"),
        (&second.turn_id, "default/anna"),
        (&third.turn_id, "default/bob"),
    ] {
        // Both read it, as all else of the session.
        for client in [&mut anna, &mut bob] {
            assert_eq!(turn(client, "s", turn_id).await.principal, principal);
        }
    }
}

/// Every call on a session that makes none, and how it answers.
#[allow(
    clippy::needless_update,
    reason = "the macro names all fields of some requests"
)]
async fn all_calls(client: &mut Client, key: &str, turn_id: &str) -> Vec<(&'static str, Status)> {
    let mut answers = Vec::new();
    macro_rules! calls {
        ($($method:ident($Request:ident { $($field:ident: $value:expr),* })),* $(,)?) => {
            $({
                let request = proto::$Request {
                    session_key: key.into(),
                    $($field: $value,)*
                    ..Default::default()
                };
                let answer = soon(client.$method(request)).await;
                answers.push((stringify!($method), answer.err().expect(stringify!($method))));
            })*
        };
    }
    let id = || turn_id.to_owned();
    let repeat = || "r".to_owned();
    let before = Some(7);
    calls!(
        get_session(GetSessionRequest {}),
        get_session_state(GetSessionStateRequest {}),
        get_turn(GetTurnRequest { turn_id: id() }),
        await_turn(AwaitTurnRequest { turn_id: id() }),
        list_turns(ListTurnsRequest {}),
        list_queue(ListQueueRequest {}),
        list_messages(ListMessagesRequest {}),
        list_messages(ListMessagesRequest {
            min_seq: 1_000_000,
            generation: before
        }),
        get_attachment(GetAttachmentRequest {
            attachment_id: "x".into()
        }),
        subscribe(SubscribeRequest {}),
        subscribe(SubscribeRequest { min_seq: 1_000_000 }),
        read_events(ReadEventsRequest { min_seq: 1_000_000 }),
        read_events(ReadEventsRequest { from_oldest: true }),
        steer(SteerRequest {
            text: "x".into(),
            request_id: repeat()
        }),
        steer(SteerRequest {
            text: "x".into(),
            expected_turn_id: id(),
            expected_generation: before
        }),
        abort(AbortRequest {
            request_id: repeat(),
            expected_generation: before
        }),
        abort(AbortRequest {
            turn_id: id(),
            clear_queue: true
        }),
        reset(ResetRequest {
            expected_generation: before
        }),
        update_queued(UpdateQueuedRequest {
            turn_id: id(),
            position: Some(0)
        }),
        remove_queued(RemoveQueuedRequest { turn_id: id() }),
        clear_queue(ClearQueueRequest {
            expected_generation: before
        }),
        fork_session(ForkSessionRequest {
            new_session_key: "fork".into(),
            turn_id: id()
        }),
        delete_session(DeleteSessionRequest {
            expected_generation: before
        }),
    );
    let many = proto::SubscribeManyRequest {
        cursors: vec![proto::SessionCursor {
            session_key: key.into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = client.subscribe_many(many).await;
    answers.push(("subscribe_many", answer.expect_err("refused")));
    let answer = client.update_session(sharing(key, Vec::new())).await;
    answers.push(("update_session", answer.expect_err("refused")));
    let mut agent = sharing(key, Vec::new());
    agent.session = Some(proto::SessionSnapshot {
        agent: "echo".into(),
        ..Default::default()
    });
    agent.update_mask = Some(prost_types::FieldMask {
        paths: vec!["agent".into()],
    });
    let answer = client.update_session(agent).await;
    answers.push(("update_session", answer.expect_err("refused")));
    answers
}

/// To a stranger a session is a key that never was, whatever it does, and whatever is asked.
/// DEFECTS 35, 45: knowing a key is no right to it, and nobody unknown runs anything. FEATURES 6.2 1 and 16.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_can_not_tell_a_session_from_none() {
    let mut gateway = start_with(&[], "drain_timeout = \"0s\"\n");
    let mut ann = who(&gateway, "ann").await;
    let mut bob = who(&gateway, "bob").await;
    let key = "theirs";
    let active = enqueue(&mut ann, key, "!hang x").await.unwrap();
    running(&mut ann, key, &active.turn_id).await;
    let waits = enqueue(&mut ann, key, "waits").await.unwrap();
    let other = uuid::Uuid::now_v7().to_string();
    for (number, turn_id) in [&active.turn_id, &waits.turn_id, &other]
        .into_iter()
        .enumerate()
    {
        if number == 2 {
            // Gone; its owner is told so, and nobody else.
            let request = proto::DeleteSessionRequest {
                session_key: key.into(),
                ..Default::default()
            };
            soon(ann.delete_session(request)).await.unwrap();
            let gone = enqueue_nothing(&mut ann, key).await;
            assert_eq!(reason(&gone), "SESSION_DELETED");
        }
        let there = all_calls(&mut bob, key, turn_id).await;
        let nowhere = all_calls(&mut bob, "no-such", turn_id).await;
        for ((method, there), (_, nowhere)) in there.iter().zip(&nowhere) {
            assert_eq!(reason(nowhere), "SESSION_NOT_FOUND", "{method}");
            assert_eq!(nowhere.code(), there.code(), "{method}");
            assert_eq!(reason(there), "SESSION_NOT_FOUND", "{method}");
            let renamed = nowhere.message().replace("no-such", key);
            assert_eq!(renamed, there.message(), "{method}");
        }
        let list = bob
            .list_sessions(proto::ListSessionsRequest::default())
            .await;
        assert!(list.unwrap().into_inner().sessions.is_empty());
        let list = bob.list_turns(proto::ListTurnsRequest::default()).await;
        assert!(list.unwrap().into_inner().turns.is_empty());
        if number < 2 {
            // Only who would make it learns that the key is taken.
            let refused = enqueue(&mut bob, key, "x").await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied);
            assert_eq!(reason(&refused), "SESSION_NOT_YOURS");
        }
    }
    gateway.check_store();
}

async fn enqueue_nothing(client: &mut Client, key: &str) -> Status {
    let request = proto::GetSessionRequest {
        session_key: key.into(),
        ..Default::default()
    };
    client.get_session(request).await.expect_err("gone")
}

/// Whoever loses a share loses the streams and waits that hang on it, within five seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_share_ends_streams_and_waits() {
    let mut gateway = start_with(&[], "drain_timeout = \"0s\"\n");
    let mut ann = who(&gateway, "ann").await;
    let mut bob = who(&gateway, "bob").await;
    let key = "s";
    let active = enqueue(&mut ann, key, "!hang x").await.unwrap();
    running(&mut ann, key, &active.turn_id).await;

    let watch = proto::WatchSessionsRequest::default();
    let mut watch = bob.watch_sessions(watch).await.unwrap().into_inner();
    let listed = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(listed.session_key, "", "nothing is there to see");
    let many = proto::SubscribeManyRequest {
        filter: Some(proto::SessionFilter::default()),
        ..Default::default()
    };
    let mut many = bob.subscribe_many(many).await.unwrap().into_inner();
    share(&mut ann, key, &[("bob", proto::ShareAccess::Write)]).await;
    let hello = soon(many.message()).await.unwrap().unwrap();
    assert_eq!(hello.session_key, key, "it came to match");
    let appeared = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(appeared.session_key, key);
    assert_eq!(appeared.owner, "default/ann");

    let subscribe = proto::SubscribeRequest {
        session_key: key.into(),
        ..Default::default()
    };
    let subscribed = bob.subscribe(subscribe).await.unwrap().into_inner();
    let run = proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: key.into(),
            text: "waits".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut run = bob.run(run).await.unwrap().into_inner();
    let queued = soon(run.message()).await.unwrap().unwrap();
    let session = proto::GetSessionRequest {
        session_key: key.into(),
        ..Default::default()
    };
    let session = bob.get_session(session).await.unwrap().into_inner();
    let session = session.session.unwrap();
    let read = proto::ReadEventsRequest {
        session_key: key.into(),
        cursor: Some(proto::Cursor {
            log_id: session.log_id.clone(),
            after_seq: session.head_seq,
        }),
        wait: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..Default::default()
    };
    let mut reader = bob.clone();
    let read = tokio::spawn(async move {
        // The withdrawal itself may be the event that it waited for; then the next call is refused.
        let first = reader.read_events(read.clone()).await;
        match first {
            Ok(_) => reader.read_events(read).await.unwrap_err(),
            Err(status) => status,
        }
    });
    let mut waiter = bob.clone();
    let wait = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: queued.turn_id.clone(),
        wait: None,
        or_question: false,
    };
    let wait = tokio::spawn(async move { waiter.await_turn(wait).await.unwrap_err() });

    share(&mut ann, key, &[]).await;
    let ended = async {
        let (subscribed, many, run) = tokio::join!(end(subscribed), end(many), end(run));
        [
            subscribed,
            many,
            run,
            read.await.unwrap(),
            wait.await.unwrap(),
        ]
    };
    let ended = tokio::time::timeout(WITHDRAWN_MAX, ended)
        .await
        .expect("within five seconds");
    for status in ended {
        assert_eq!(reason(&status), "SESSION_NOT_FOUND", "{status:?}");
    }
    let gone = loop {
        let seen = soon(watch.message()).await.unwrap().unwrap();
        if seen.state() == proto::SessionState::Deleted {
            break seen;
        }
    };
    let bare = proto::SessionSnapshot {
        session_key: key.into(),
        log_id: session.log_id,
        state: proto::SessionState::Deleted.into(),
        ..Default::default()
    };
    assert_eq!(gone, bare, "its key and log, nothing else");

    // What bob had sent does not start any more.
    let abort = proto::AbortRequest {
        session_key: key.into(),
        ..Default::default()
    };
    soon(ann.abort(abort)).await.unwrap();
    let rejected = turn(&mut ann, key, &queued.turn_id).await;
    assert_eq!(rejected.state(), proto::TurnState::Rejected);
    assert_eq!(rejected.error.unwrap().reason, "PERMISSION_REVOKED");
    gateway.check_store();
}

/// Work that waits is its sender's: with the key that sent it revoked it never starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_takes_its_waiting_turns_along() {
    let mut gateway = start_with(&[], "drain_timeout = \"0s\"\n");
    let mut ann = who(&gateway, "ann").await;
    let (second_id, second) = key_of(&gateway, "ann", &SCOPES).await;
    let active = enqueue(&mut ann, "s", "!hang x").await.unwrap();
    running(&mut ann, "s", &active.turn_id).await;
    let by_second = enqueue(&mut second.gateway(), "s", "x").await.unwrap();
    let by_first = enqueue(&mut ann, "s", "x").await.unwrap();
    Caller::admin(&gateway)
        .await
        .revoke(&second_id)
        .await
        .unwrap();
    let abort = proto::AbortRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    soon(ann.abort(abort)).await.unwrap();
    let rejected = turn(&mut ann, "s", &by_second.turn_id).await;
    assert_eq!(rejected.state(), proto::TurnState::Rejected);
    assert_eq!(rejected.error.unwrap().reason, "PERMISSION_REVOKED");
    assert_eq!(rejected.attempt, 0);
    let completed = turn(&mut ann, "s", &by_first.turn_id).await;
    assert_eq!(completed.state(), proto::TurnState::Completed);
    gateway.check_store();
}

/// What a request asks for beside its method needs the scope of that.
#[tokio::test]
async fn interrupting_and_steering_need_their_scopes() {
    let gateway = start();
    let (_, writer) = key_of(&gateway, "ann", &["session.write", "session.read"]).await;
    let mut writer = writer.gateway();
    enqueue(&mut writer, "s", "x").await.unwrap();
    for (on_busy, scope) in [
        (proto::OnBusy::Interrupt, "session.abort"),
        (proto::OnBusy::SteerOrEnqueue, "session.steer"),
    ] {
        let request = proto::EnqueueRequest {
            session_key: "s".into(),
            text: "x".into(),
            on_busy: on_busy.into(),
            ..Default::default()
        };
        let refused = writer.enqueue(request).await.unwrap_err();
        assert_eq!(reason(&refused), "SCOPE_REQUIRED");
        assert_eq!(crate::world::fact(&refused, "scope"), scope);
    }
}

/// Shares are named principals of the tenant, and bad ones change nothing.
#[tokio::test]
async fn shares_that_make_no_sense_are_refused() {
    let gateway = start();
    let mut ann = who(&gateway, "ann").await;
    enqueue(&mut ann, "s", "x").await.unwrap();
    let named = |principal: &str, access: proto::ShareAccess| proto::SessionShare {
        principal: principal.into(),
        access: access.into(),
    };
    let read = proto::ShareAccess::Read;
    let many = (0..65)
        .map(|n| named(&format!("default/s{n}"), read))
        .collect();
    for wrong in [
        vec![named("bob", read)],
        vec![named("other/bob", read)],
        vec![named("default/", read)],
        vec![named("default/b/b", read)],
        vec![named("default/bob", proto::ShareAccess::Unspecified)],
        vec![named("default/bob", read), named("default/bob", read)],
        vec![named("default/ann", read)],
        many,
    ] {
        let refused = ann.update_session(sharing("s", wrong)).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD", "{refused:?}");
    }
    let session = proto::GetSessionRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    let session = ann.get_session(session).await.unwrap().into_inner();
    assert!(session.session.unwrap().shares.is_empty());
}

/// The command line shares a session and takes the share back.
#[tokio::test]
async fn the_command_line_shares() {
    let gateway = start();
    let mut bob = who(&gateway, "bob").await;
    let run = |arguments: &[&str]| {
        let output = command(&gateway, arguments);
        assert!(output.status.success(), "{:?}", printed(&output));
        printed(&output).0
    };
    // The admin key of the first start is found in the data directory.
    assert!(!admin_key(&gateway).is_empty());
    run(&["send", "s", "hello"]);
    run(&["sessions", "share", "s", "default/bob", "--access", "read"]);
    let read = || proto::GetSessionRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    let session = bob.get_session(read()).await.unwrap().into_inner().session;
    assert_eq!(session.unwrap().owner, "default/local");
    let refused = enqueue(&mut bob, "s", "x").await.unwrap_err();
    assert_eq!(reason(&refused), "SESSION_NOT_YOURS");
    run(&["sessions", "share", "s", "bob", "--access", "write"]);
    enqueue(&mut bob, "s", "x").await.unwrap();
    run(&["sessions", "unshare", "s", "bob"]);
    let refused = bob.get_session(read()).await.unwrap_err();
    assert_eq!(reason(&refused), "SESSION_NOT_FOUND");
}

/// However much one principal has waiting, another's turn starts when the next slot is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_all_of_somebody_else() {
    const WAITING: usize = 1000;
    let config = "max_running_turns = 2\nmax_awake_agents = 4\nprincipal_max_running_turns = 2\n\
                  drain_timeout = \"0s\"\n";
    let mut gateway = start_with(&[], config);
    let mut ann = who(&gateway, "ann").await;
    let mut bob = who(&gateway, "bob").await;
    // Both slots are ann's, and so is all that waits.
    let mut held = Vec::new();
    for number in 0..2 {
        let key = format!("held{number}");
        let turn = enqueue(&mut ann, &key, "!hang x").await.unwrap();
        running(&mut ann, &key, &turn.turn_id).await;
        held.push(key);
    }
    let mut waiting = Vec::new();
    for number in 0..WAITING {
        let key = format!("ann{number:04}");
        let turn = enqueue(&mut ann, &key, "!hang x").await.unwrap();
        waiting.push((key, turn.turn_id));
    }
    let single = enqueue(&mut bob, "bob", "hello").await.unwrap();
    let abort = proto::AbortRequest {
        session_key: held.pop().unwrap(),
        ..Default::default()
    };
    soon(ann.abort(abort)).await.unwrap();
    // The slot that this released was bob's: none of ann's turns ends by itself.
    let done = turn(&mut bob, "bob", &single.turn_id).await;
    assert_eq!(done.state(), proto::TurnState::Completed);
    // Then it is ann's again, and the oldest goes first.
    let (key, turn_id) = &waiting[0];
    running(&mut ann, key, turn_id).await;
    let request = proto::ListTurnsRequest {
        states: vec![proto::TurnState::Running.into()],
        ..Default::default()
    };
    let now = ann.list_turns(request).await.unwrap().into_inner().turns;
    assert_eq!(now.len(), 2, "one that was held, and the oldest");
    gateway.check_store();
}

/// A principal at its bound waits for itself alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_at_its_bound_holds_nobody_up() {
    let config = "max_running_turns = 8\nprincipal_max_running_turns = 1\n\
                  tenant_max_running_turns = 2\ndrain_timeout = \"0s\"\n";
    let mut gateway = start_with(&[], config);
    let mut ann = who(&gateway, "ann").await;
    let mut bob = who(&gateway, "bob").await;
    let mut cid = who(&gateway, "cid").await;
    let first = enqueue(&mut ann, "a1", "!hang x").await.unwrap();
    running(&mut ann, "a1", &first.turn_id).await;
    let second = enqueue(&mut ann, "a2", "!hang x").await.unwrap();
    let other = enqueue(&mut bob, "b1", "!hang x").await.unwrap();
    running(&mut bob, "b1", &other.turn_id).await;
    let third = enqueue(&mut cid, "c1", "hello").await.unwrap();
    let waits = async |client: &mut Client, key: &str, turn_id: &str| {
        let request = proto::GetTurnRequest {
            session_key: key.into(),
            turn_id: turn_id.into(),
        };
        let turn = client.get_turn(request).await.unwrap().into_inner().turn;
        turn.unwrap().state() == proto::TurnState::Queued
    };
    // Round trips enough that what could start has started.
    for _ in 0..3 {
        assert!(waits(&mut ann, "a2", &second.turn_id).await, "ann has one");
        assert!(
            waits(&mut cid, "c1", &third.turn_id).await,
            "the tenant has two"
        );
        enqueue(&mut bob, "b2", "x").await.unwrap();
    }
    let abort = proto::AbortRequest {
        session_key: "b1".into(),
        ..Default::default()
    };
    soon(bob.abort(abort)).await.unwrap();
    let done = turn(&mut cid, "c1", &third.turn_id).await;
    assert_eq!(done.state(), proto::TurnState::Completed);
    assert!(waits(&mut ann, "a2", &second.turn_id).await, "still one");
    gateway.check_store();
}
