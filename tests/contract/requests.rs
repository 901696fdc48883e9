//! `request_id` on every mutating RPC: one effect, the same answer, for as long as it is kept (§3, R3).

use crate::world::*;
use proto::{OnBusy, TurnState};

/// Sends a request twice and another one under its id: one effect, one answer, one conflict.
macro_rules! repeat {
    ($client:ident.$method:ident($request:expr), $other:expr) => {{
        let first = inner($client.$method($request).await).expect(stringify!($method));
        let again = inner($client.$method($request).await).expect(stringify!($method));
        assert!(!first.replayed && again.replayed, "{}", stringify!($method));
        assert_eq!(
            (first.seq, &first.log_id),
            (again.seq, &again.log_id),
            "{}",
            stringify!($method)
        );
        let conflict = refused(
            $client.$method($other).await,
            Code::AlreadyExists,
            "IDEMPOTENCY_CONFLICT",
        );
        assert_eq!(fact(&conflict, "request_id"), "id-1");
        (first, again)
    }};
}

/// A request with the id that `repeat` expects.
macro_rules! request {
    ($Request:ident { $($field:ident: $value:expr),* $(,)? }) => {
        proto::$Request { $($field: $value.into(),)* request_id: "id-1".into(), ..Default::default() }
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn enqueue_repeats() {
    let (_server, mut client) = shared().await;
    let key = "requests.enqueue";
    start(&mut client, key, "!hang x").await;
    queue(&mut client, key, "before").await;
    let (first, again) = repeat!(
        client.enqueue(request!(EnqueueRequest {
            session_key: key,
            text: "x"
        })),
        request!(EnqueueRequest {
            session_key: key,
            text: "y"
        })
    );
    assert_eq!((first.queue_position, again.queue_position), (1, 1));
    assert_eq!(first.mode(), again.mode());
    let turn_id = first.turn.expect("a turn").turn_id;
    assert_eq!(again.turn.expect("a turn").turn_id, turn_id);
    assert_eq!(session(&mut client, key).await.queue_depth, 2);
    abort(&mut client, key).await;
    await_turn(&mut client, key, &turn_id).await;
    let now = inner(
        client
            .enqueue(request!(EnqueueRequest {
                session_key: key,
                text: "x"
            }))
            .await,
    )
    .expect("replayed");
    assert_eq!(
        (now.seq, now.queue_position, now.replayed),
        (first.seq, 1, true)
    );
    assert_eq!(
        now.turn.expect("a turn").state(),
        TurnState::Completed,
        "the turn as it is now"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn run_counts_as_enqueue() {
    let (_server, mut client) = shared().await;
    let key = "requests.run";
    let enqueue = || {
        request!(EnqueueRequest {
            session_key: key,
            text: "x"
        })
    };
    let run = || proto::RunRequest {
        enqueue: Some(enqueue()),
        ..Default::default()
    };
    let first = Follow::new(client.run(run()).await.expect("runs").into_inner())
        .rest()
        .await;
    let answer = inner(client.enqueue(enqueue()).await).expect("replayed");
    assert!(answer.replayed);
    assert_eq!(answer.turn.expect("a turn").turn_id, first[0].turn_id);
    let other = proto::RunRequest {
        enqueue: Some(request!(EnqueueRequest {
            session_key: key,
            text: "y"
        })),
        ..Default::default()
    };
    refused(
        client.run(other).await,
        Code::AlreadyExists,
        "IDEMPOTENCY_CONFLICT",
    );
    assert_eq!(
        ok!(client.list_turns(ListTurnsRequest { session_key: key }))
            .turns
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn steer_repeats() {
    let (_server, mut client) = shared().await;
    let key = "requests.steer";
    let turn_id = start(&mut client, key, "!hang x").await;
    let (first, again) = repeat!(
        client.steer(request!(SteerRequest {
            session_key: key,
            text: "x"
        })),
        request!(SteerRequest {
            session_key: key,
            text: "y"
        })
    );
    assert_eq!(
        (&first.steer_id, first.mode()),
        (&again.steer_id, again.mode())
    );
    assert_eq!(again.turn.expect("the active turn").turn_id, turn_id);
    abort(&mut client, key).await;
    await_turn(&mut client, key, &first.steer_id).await;
    let now = inner(
        client
            .steer(request!(SteerRequest {
                session_key: key,
                text: "x"
            }))
            .await,
    )
    .expect("replayed");
    assert_eq!(
        (now.steer_id, now.seq, now.replayed),
        (first.steer_id, first.seq, true)
    );
    let steers = log(&mut client, key)
        .await
        .iter()
        .filter(|e| kind(e) == "steer_accepted")
        .count();
    assert_eq!(steers, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn abort_repeats_and_never_stops_a_later_turn() {
    let (_server, mut client) = shared().await;
    let key = "requests.abort";
    let turn_id = start(&mut client, key, "!hang x").await;
    let waits = queue(&mut client, key, "x").await;
    let (first, again) = repeat!(
        client.abort(request!(AbortRequest {
            session_key: key,
            clear_queue: true
        })),
        request!(AbortRequest { session_key: key })
    );
    assert!(first.aborted && again.aborted);
    assert_eq!(first.cleared_turn_ids, [waits]);
    assert_eq!(first.cleared_turn_ids, again.cleared_turn_ids);
    let later = start(&mut client, key, "!hang x").await;
    let repeated = inner(
        client
            .abort(request!(AbortRequest {
                session_key: key,
                clear_queue: true
            }))
            .await,
    );
    let repeated = repeated.expect("replayed");
    assert!(repeated.aborted && repeated.replayed);
    assert_eq!(repeated.turn.expect("the turn of then").turn_id, turn_id);
    assert_eq!(
        turn(&mut client, key, &later).await.state(),
        TurnState::Running
    );
    abort(&mut client, key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reset_repeats_while_it_waits_and_after() {
    let (_server, mut client) = shared().await;
    let key = "requests.reset";
    start_stubborn(&mut client, key).await;
    let waits = queue(&mut client, key, "x").await;
    let reset = move || {
        request!(ResetRequest {
            session_key: key,
            expected_generation: 1i64
        })
    };
    let mut others = client.clone();
    let first = tokio::spawn(async move { others.reset(reset()).await });
    until_state(&mut client, key, proto::SessionState::Resetting).await;
    let mut others = client.clone();
    let kill = proto::AbortMode::Kill;
    let (joined, killed) = tokio::join!(others.reset(reset()), async {
        call!(client.abort(AbortRequest {
            session_key: key,
            mode: kill
        }))
    });
    assert!(killed.expect("stopped").aborted);
    let first = first.await.expect("no panic");
    let (first, joined) = (inner(first).expect("reset"), inner(joined).expect("reset"));
    assert!(!first.replayed && joined.replayed);
    assert_eq!(
        (first.seq, &first.rejected_turn_ids),
        (joined.seq, &joined.rejected_turn_ids)
    );
    assert_eq!(first.rejected_turn_ids, [waits]);
    assert_eq!(first.session.expect("a session").generation, 2);
    assert_eq!(
        joined.session.expect("a session").generation,
        2,
        "a repeat waits for the first"
    );
    // Once more when it is long done: one Reset, and the position of its event.
    let again = inner(client.reset(reset()).await).expect("replayed");
    assert_eq!((again.seq, again.replayed), (first.seq, true));
    assert_eq!(
        event(&mut client, key, 0, "session_reset").await.seq,
        first.seq
    );
    assert_eq!(session(&mut client, key).await.generation, 2);
    refused(
        client
            .reset(request!(ResetRequest { session_key: key }))
            .await,
        Code::AlreadyExists,
        "IDEMPOTENCY_CONFLICT",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn queue_editing_repeats() {
    let (_server, mut client) = shared().await;
    let key = "requests.queue";
    start(&mut client, key, "!hang x").await;
    let one = queue(&mut client, key, "one").await;
    let two = queue(&mut client, key, "two").await;
    let three = queue(&mut client, key, "three").await;
    let (first, again) = repeat!(
        client.update_queued(request!(UpdateQueuedRequest {
            session_key: key,
            turn_id: two.as_str(),
            position: 0
        })),
        request!(UpdateQueuedRequest {
            session_key: key,
            turn_id: two.as_str(),
            position: 1
        })
    );
    assert_eq!((first.queue_position, again.queue_position), (0, 0));
    let (first, again) = repeat!(
        client.remove_queued(request!(RemoveQueuedRequest {
            session_key: key,
            turn_id: two.as_str()
        })),
        request!(RemoveQueuedRequest {
            session_key: key,
            turn_id: one.as_str()
        })
    );
    assert_eq!(first.turn, again.turn);
    let (first, again) = repeat!(
        client.clear_queue(request!(ClearQueueRequest { session_key: key })),
        request!(ClearQueueRequest {
            session_key: key,
            expected_generation: 1i64
        })
    );
    assert_eq!(first.turns, again.turns);
    let ids: Vec<&str> = first.turns.iter().map(|t| t.turn_id.as_str()).collect();
    assert_eq!(ids, [one.as_str(), three.as_str()]);
    abort(&mut client, key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn making_changing_forking_and_deleting_sessions_repeats() {
    let (_server, mut client) = shared().await;
    let (key, fork) = ("requests.session", "requests.session.fork");
    let (first, again) = repeat!(
        client.create_session(request!(CreateSessionRequest { session_key: key })),
        request!(CreateSessionRequest {
            session_key: key,
            display_name: "x"
        })
    );
    assert_eq!((first.seq, first.session), (1, again.session));
    let taken = call!(client.create_session(CreateSessionRequest { session_key: key }));
    refused(taken, Code::AlreadyExists, "SESSION_EXISTS");

    let rename = |name: &str| {
        request!(UpdateSessionRequest {
            session_key: key,
            session: proto::SessionSnapshot {
                display_name: name.into(),
                ..Default::default()
            },
            update_mask: prost_types::FieldMask {
                paths: vec!["display_name".into()]
            },
        })
    };
    let (first, again) = repeat!(client.update_session(rename("one")), rename("two"));
    assert_eq!(first.session, again.session);

    run(&mut client, key, "x").await;
    let (first, again) = repeat!(
        client.fork_session(request!(ForkSessionRequest {
            session_key: key,
            new_session_key: fork
        })),
        request!(ForkSessionRequest {
            session_key: key,
            new_session_key: "requests.session.fork2"
        })
    );
    let first = first.session.expect("a session");
    assert_eq!(first.session_key, fork);
    assert_eq!(Some(first), again.session);

    let (first, _) = repeat!(
        client.delete_session(request!(DeleteSessionRequest { session_key: key })),
        request!(DeleteSessionRequest {
            session_key: key,
            expected_generation: 1i64
        })
    );
    assert!(!exists(&mut client, key).await);
    // Also under no id, and when the key is in use again: the repeat does not touch the new session.
    run(&mut client, key, "x").await;
    let again = inner(
        client
            .delete_session(request!(DeleteSessionRequest { session_key: key }))
            .await,
    )
    .expect("replayed");
    assert_eq!(
        (again.seq, again.log_id, again.replayed),
        (first.seq, first.log_id, true)
    );
    assert!(exists(&mut client, key).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ids_outlive_reset_and_delete() {
    let (_server, mut client) = shared().await;
    let key = "requests.outlive";
    let enqueue = || {
        request!(EnqueueRequest {
            session_key: key,
            text: "x"
        })
    };
    let turn_id = inner(client.enqueue(enqueue()).await)
        .expect("accepted")
        .turn
        .expect("a turn")
        .turn_id;
    await_turn(&mut client, key, &turn_id).await;
    ok!(client.reset(ResetRequest { session_key: key }));
    let again = inner(client.enqueue(enqueue()).await).expect("replayed");
    assert!(again.replayed);
    assert_eq!(again.turn.expect("the turn of then").turn_id, turn_id);

    ok!(client.delete_session(DeleteSessionRequest { session_key: key }));
    refused(
        client.enqueue(enqueue()).await,
        Code::NotFound,
        "SESSION_DELETED",
    );
    assert!(!exists(&mut client, key).await, "a repeat never runs again");
    let other = request!(EnqueueRequest {
        session_key: key,
        text: "y"
    });
    refused(
        client.enqueue(other).await,
        Code::AlreadyExists,
        "IDEMPOTENCY_CONFLICT",
    );
    ok!(client.create_session(CreateSessionRequest { session_key: key }));
    refused(
        client.enqueue(enqueue()).await,
        Code::NotFound,
        "SESSION_DELETED",
    );
    assert_eq!(session(&mut client, key).await.head_seq, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_id_is_one_per_method_and_session_and_only_successes_are_kept() {
    let (_server, mut client) = shared().await;
    let (one, two) = ("requests.scope1", "requests.scope2");
    for key in [one, two] {
        let answer = inner(
            client
                .enqueue(request!(EnqueueRequest {
                    session_key: key,
                    text: "!hang x"
                }))
                .await,
        );
        assert!(!answer.expect("accepted").replayed);
        event(&mut client, key, 0, "turn_started").await;
        let answer = inner(
            client
                .steer(request!(SteerRequest {
                    session_key: key,
                    text: "x"
                }))
                .await,
        );
        assert!(!answer.expect("accepted").replayed);
    }
    let reject = || proto::EnqueueRequest {
        session_key: one.into(),
        text: "x".into(),
        request_id: "id-2".into(),
        on_busy: OnBusy::Reject.into(),
        ..Default::default()
    };
    refused(
        client.enqueue(reject()).await,
        Code::FailedPrecondition,
        "SESSION_BUSY",
    );
    ok!(client.abort(AbortRequest {
        session_key: one,
        clear_queue: true
    }));
    let answer = inner(client.enqueue(reject()).await).expect("accepted now");
    assert!(!answer.replayed);
    ok!(client.abort(AbortRequest {
        session_key: two,
        clear_queue: true
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_at_once_have_one_effect() {
    let (server, mut client) = shared().await;
    let key = "requests.many";
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = connect(server.address()).await;
        calls.spawn(async move {
            inner(
                client
                    .enqueue(request!(EnqueueRequest {
                        session_key: key,
                        text: "x"
                    }))
                    .await,
            )
            .expect("accepted")
        });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|a| !a.replayed).count(), 1);
    let ids: std::collections::BTreeSet<String> = answers
        .into_iter()
        .map(|a| a.turn.expect("a turn").turn_id)
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(
        ok!(client.list_turns(ListTurnsRequest { session_key: key }))
            .turns
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ids_outlive_a_crash() {
    let mut gateway = Gateway::with(config("drain_timeout = \"0s\"\n"));
    let mut client = gateway.client().await;
    let key = "crash";
    let enqueue = || {
        request!(EnqueueRequest {
            session_key: key,
            text: "!hang x"
        })
    };
    let first = inner(client.enqueue(enqueue()).await).expect("accepted");
    event(&mut client, key, 0, "turn_started").await;
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    let again = inner(client.enqueue(enqueue()).await).expect("replayed");
    assert_eq!(
        (again.seq, again.log_id, again.replayed),
        (first.seq, first.log_id, true)
    );
    let turn = again.turn.expect("a turn");
    assert_eq!(turn.turn_id, first.turn.expect("a turn").turn_id);
    assert_eq!(
        end(&turn),
        (
            TurnState::Interrupted,
            "GATEWAY_CRASHED",
            proto::StopReason::Aborted
        )
    );
    gateway.check_store();
}
