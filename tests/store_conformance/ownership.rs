//! Who may do what: to a stranger a session is one that never was.

use super::harness::{Engine, World, id, key, request, rules};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use quarterdeck::{
    domain::{
        Refusal,
        access::{Credential, Identity, Scope, Scopes, SessionAccess, Shares},
        ids::Principal,
        question::Answer,
        session::SessionFilter,
        turn::{Cause, StopReason, TurnState},
    },
    store::{
        AnswerQuestion, Caller, Fork, NewSession, OnBusy, QuestionsFilter, TurnEnd, TurnsFilter,
        UpdateQueued, UpdateSession,
    },
};
use std::sync::Arc;
use uuid::Uuid;

const SUBJECTS: [&str; 3] = ["ann", "bob", "cid"];

/// A principal of the default tenant with every scope but `tenant.sessions`.
fn who(subject: &str) -> Arc<Identity> {
    with(
        subject,
        Scope::ALL
            .into_iter()
            .filter(|s| *s != Scope::TenantSessions),
    )
}

fn operator(subject: &str) -> Arc<Identity> {
    with(subject, Scope::ALL)
}

fn with(subject: &str, scopes: impl IntoIterator<Item = Scope>) -> Arc<Identity> {
    Arc::new(Identity {
        principal: Principal {
            tenant: "default".into(),
            subject: subject.into(),
        },
        scopes: Scopes::of(scopes),
        credential: Credential::Jwt,
        expire_time: None,
    })
}

fn by(identity: &Arc<Identity>, caller: Caller) -> Caller {
    Caller {
        identity: identity.clone(),
        ..caller
    }
}

fn shared(with: &[(&str, SessionAccess)]) -> Shares {
    with.iter()
        .map(|(subject, access)| ((*subject).to_owned(), *access))
        .collect()
}

fn sharing<E: Engine>(
    world: &World<E>,
    identity: &Arc<Identity>,
    session: &str,
    shares: Shares,
) -> UpdateSession {
    UpdateSession {
        no_approver: None,
        question_ttl: None,
        tool_policy: None,
        memory_namespaces: None,
        caller: by(identity, world.caller(session)),
        display_name: None,
        labels: None,
        agent: None,
        cwd: None,
        cwd_refused: None,
        expire_after_idle: None,
        shares: Some(shares),
    }
}

async fn share<E: Engine>(
    world: &World<E>,
    identity: &Arc<Identity>,
    session: &str,
    shares: &[(&str, SessionAccess)],
) {
    let command = sharing(world, identity, session, shared(shares));
    world.store.update_session(command).await.unwrap();
}

async fn enqueue<E: Engine>(
    world: &World<E>,
    identity: &Arc<Identity>,
    session: &str,
    text: &str,
) -> Result<Uuid, Refusal> {
    let mut command = world.enqueue_of(session, text);
    command.caller.identity = identity.clone();
    world.store.enqueue(command).await.map(|made| id(&made))
}

/// Every call on a session but those that make one; what it says, or that it was done.
const CALLS: usize = 19;

async fn call<E: Engine>(
    world: &World<E>,
    identity: &Arc<Identity>,
    session: &str,
    number: usize,
    turn_id: Uuid,
    caller: impl Fn(&'static str) -> Caller,
) -> Result<(), Refusal> {
    let store = &world.store;
    let at = key(session);
    let update = |shares| UpdateSession {
        no_approver: None,
        question_ttl: None,
        tool_policy: None,
        memory_namespaces: None,
        caller: caller("UpdateSession"),
        display_name: Some("name".into()),
        labels: None,
        agent: None,
        cwd: None,
        cwd_refused: None,
        expire_after_idle: None,
        shares,
    };
    match number {
        0 => store.session(identity, &at).await.map(drop),
        1 => store.turn(identity, &at, turn_id).await.map(drop),
        2 => store.queue(identity, &at).await.map(drop),
        3 => {
            let filter = TurnsFilter {
                viewer: identity.clone(),
                key: Some(at),
                states: Vec::new(),
            };
            store.list_turns(filter, None, 9).await.map(drop)
        }
        4 | 5 => {
            let mut steer = world.steer_of(session, "s");
            steer.caller = caller("Steer");
            steer.expected_turn = (number == 5).then_some(turn_id);
            store.steer(steer).await.map(drop)
        }
        6 | 7 => {
            let mut abort = world.abort_of(session);
            abort.caller = caller("Abort");
            abort.turn_id = (number == 7).then_some(turn_id);
            store.abort(abort).await.map(drop)
        }
        8 => store.reset(caller("Reset")).await.map(drop),
        9 => {
            let command = UpdateQueued {
                caller: caller("UpdateQueued"),
                turn_id,
                text: Some("new".into()),
                position: None,
            };
            store.update_queued(command).await.map(drop)
        }
        10 => store
            .remove_queued(caller("RemoveQueued"), turn_id)
            .await
            .map(drop),
        11 => store.clear_queue(caller("ClearQueue")).await.map(drop),
        12 => store.update_session(update(None)).await.map(drop),
        13 => store
            .update_session(update(Some(Shares::new())))
            .await
            .map(drop),
        14 => {
            let fork = Fork {
                caller: caller("ForkSession"),
                new_key: key("a-fork"),
                turn_id: Some(turn_id),
            };
            store.fork_session(fork).await.map(drop)
        }
        15 => store
            .delete_session(caller("DeleteSession"))
            .await
            .map(drop),
        16 => {
            let command = AnswerQuestion {
                caller: caller("AnswerQuestion"),
                question_id: turn_id,
                answer: Answer::default(),
                action_digest: String::new(),
            };
            store.answer_question(command).await.map(drop)
        }
        17 => store.question(identity, &at, turn_id).await.map(drop),
        18 => {
            let filter = QuestionsFilter {
                viewer: identity.clone(),
                key: Some(at),
                sessions: SessionFilter::default(),
                states: Vec::new(),
            };
            store.list_questions(filter, None, 9).await.map(drop)
        }
        _ => unreachable!("there are {CALLS} calls"),
    }
}

pub async fn a_stranger_can_not_tell_a_session_from_none<E: Engine>() {
    let mut runner = TestRunner::new(Config::default());
    // What the session went through, who looks, and with what.
    let strategy = (
        proptest::collection::vec(0..6usize, 0..8),
        any::<bool>(),
        proptest::option::of(0..4i64),
    );
    for _ in 0..16 {
        let (life, once_shared, generation) = strategy.new_tree(&mut runner).unwrap().current();
        let told = format!("{life:?} {once_shared} {generation:?}");
        let story = tokio::spawn(async move {
            let world = World::<E>::new();
            let (ann, bob) = (who("ann"), who("bob"));
            let mut turn_id = enqueue(&world, &ann, "s", "hello").await.unwrap();
            let asked = |method, key: &str, id: &str| Caller {
                request: request(id, method, 1),
                expected_generation: generation,
                ..by(&bob, world.caller(key))
            };
            if once_shared {
                // What was answered then is not answered again.
                share(&world, &ann, "s", &[("bob", SessionAccess::Write)]).await;
                let mut steer = world.steer_of("s", "s");
                steer.caller = asked("Steer", "s", "r");
                steer.caller.expected_generation = None;
                world.store.steer(steer).await.unwrap();
                share(&world, &ann, "s", &[("cid", SessionAccess::Write)]).await;
            }
            let row = world.store.session(&ann, &key("s")).await.unwrap().row;
            let mut fence = world.store.claim(row).await.unwrap().0;
            for step in life {
                match step {
                    0 => {
                        let _ = world.store.start_next(fence, world.now()).await.unwrap();
                    }
                    1 => {
                        let active = world.store.active_turn(row).await.unwrap();
                        if active.is_some() {
                            world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
                        }
                    }
                    2 => {
                        if let Ok(id) = enqueue(&world, &ann, "s", "more").await {
                            turn_id = id;
                        }
                    }
                    3 => drop(world.store.reset(by(&ann, world.caller("s"))).await),
                    4 => {
                        fence = world.store.claim(row).await.unwrap().0;
                    }
                    _ => {
                        // To its tombstone, where nothing is active; else DELETING.
                        let _ = world
                            .store
                            .delete_session(by(&ann, world.caller("s")))
                            .await;
                        if world.store.active_turn(row).await.unwrap().is_none() {
                            world.store.finish_delete(fence, world.now()).await.unwrap();
                            world.store.purge_session(fence, world.now()).await.unwrap();
                            break;
                        }
                    }
                }
            }
            for number in 0..CALLS {
                let there = call(&world, &bob, "s", number, turn_id, |m| asked(m, "s", "r")).await;
                let nowhere = call(&world, &bob, "none", number, turn_id, |m| {
                    asked(m, "none", "r")
                })
                .await;
                let not_found = |key: &str| {
                    Err(Refusal::SessionNotFound {
                        key: key.to_owned(),
                    })
                };
                assert_eq!(there, not_found("s"), "call {number}");
                assert_eq!(nowhere, not_found("none"), "call {number}");
            }
            let page = world
                .store
                .list_sessions(&bob, SessionFilter::default(), None, 9)
                .await
                .unwrap();
            assert!(page.sessions.is_empty() && page.next.is_none());
            world.done().await;
        });
        assert!(story.await.is_ok(), "failed after: {told}");
    }
}

pub async fn a_key_of_somebody_else_can_not_be_taken<E: Engine>() {
    let world = World::<E>::new();
    let (ann, bob) = (who("ann"), who("bob"));
    enqueue(&world, &ann, "s", "1").await.unwrap();
    enqueue(&world, &bob, "mine", "1").await.unwrap();
    let not_yours = || {
        Err(Refusal::SessionNotYours {
            key: "s".to_owned(),
        })
    };
    let tries = async |identity: &Arc<Identity>| {
        let enqueued = enqueue(&world, identity, "s", "x").await.map(drop);
        let created = world
            .store
            .create_session(by(identity, world.caller("s")), NewSession::default());
        let fork = Fork {
            caller: by(identity, world.caller("mine")),
            new_key: key("s"),
            turn_id: None,
        };
        let forked = world.store.fork_session(fork).await.map(drop);
        [enqueued, created.await.map(drop), forked]
    };
    assert_eq!(tries(&bob).await, [not_yours(), not_yours(), not_yours()]);
    // Also while it is being deleted, and with read access alone.
    share(&world, &ann, "s", &[("bob", SessionAccess::Read)]).await;
    assert_eq!(tries(&bob).await, [not_yours(), not_yours(), not_yours()]);
    share(&world, &ann, "s", &[]).await;
    world
        .store
        .delete_session(by(&ann, world.caller("s")))
        .await
        .unwrap();
    assert_eq!(tries(&bob).await, [not_yours(), not_yours(), not_yours()]);
    let deleting = enqueue(&world, &ann, "s", "x").await.unwrap_err();
    assert_eq!(deleting.reason(), "SESSION_DELETING");
    // A key that is free again is anybody's, and its former owner is told what became of its own session alone.
    let row = world.runnable(9).await[0].row;
    let (fence, _) = world.store.claim(row).await.unwrap();
    world.store.finish_delete(fence, world.now()).await.unwrap();
    world.store.purge_session(fence, world.now()).await.unwrap();
    enqueue(&world, &bob, "s", "1").await.unwrap();
    let gone = world.store.session(&ann, &key("s")).await.unwrap_err();
    assert_eq!(gone.reason(), "SESSION_DELETED");
    assert_eq!(
        enqueue(&world, &ann, "s", "1").await.unwrap_err().reason(),
        "SESSION_NOT_YOURS"
    );
    world.done().await;
}

pub async fn a_share_gives_what_it_says<E: Engine>() {
    let world = World::<E>::new();
    let (ann, bob, cid) = (who("ann"), who("bob"), who("cid"));
    let turn_id = enqueue(&world, &ann, "s", "1").await.unwrap();
    let shares = [("bob", SessionAccess::Read), ("cid", SessionAccess::Write)];
    share(&world, &ann, "s", &shares).await;
    // Reading is for both; all else needs write, and deleting and sharing the session itself.
    for number in 0..CALLS {
        let can = |identity: Arc<Identity>| {
            let world = &world;
            async move {
                let caller = by(&identity, world.caller("s"));
                call(world, &identity, "s", number, turn_id, |_| caller.clone()).await
            }
        };
        let reader = can(bob.clone()).await;
        if number == 17 {
            // It may look, and there is none.
            assert_eq!(reader.unwrap_err().reason(), "QUESTION_NOT_FOUND");
        } else if number < 4 || number == 18 {
            assert_eq!(reader, Ok(()), "call {number}");
        } else {
            assert_eq!(reader.unwrap_err().reason(), "SESSION_NOT_YOURS");
        }
        let owns = number == 13 || number == 15;
        let refused = can(cid.clone())
            .await
            .is_err_and(|refusal| refusal.reason() == "SESSION_NOT_YOURS");
        assert_eq!(refused, owns, "call {number}");
    }
    // The operator of the tenant may do everything, with another tenant's nothing.
    let op = operator("op");
    share(&world, &op, "s", &[]).await;
    let unknown = world.store.session(&cid, &key("s")).await.unwrap_err();
    assert_eq!(unknown.reason(), "SESSION_NOT_FOUND");
    let to_owner = sharing(&world, &ann, "s", shared(&[("ann", SessionAccess::Read)]));
    let refused = world.store.update_session(to_owner).await.unwrap_err();
    assert_eq!(refused.reason(), "INVALID_FIELD");
    world
        .store
        .delete_session(by(&op, world.caller("s")))
        .await
        .unwrap();
    world.done().await;
}

pub async fn a_withdrawn_caller_gets_no_repeat<E: Engine>() {
    let world = World::<E>::new();
    let (ann, bob) = (who("ann"), who("bob"));
    enqueue(&world, &ann, "s", "1").await.unwrap();
    share(&world, &ann, "s", &[("bob", SessionAccess::Write)]).await;
    let mut command = world.enqueue_of("s", "2");
    command.caller.identity = bob.clone();
    command.caller.request = request("r", "Enqueue", 1);
    let made = world.store.enqueue(command.clone()).await.unwrap();
    assert!(world.store.enqueue(command.clone()).await.unwrap().replayed);
    share(&world, &ann, "s", &[]).await;
    let refused = world.store.enqueue(command.clone()).await.unwrap_err();
    assert_eq!(refused.reason(), "SESSION_NOT_YOURS");
    let mut other = command.clone();
    other.caller.request = request("r", "Enqueue", 2);
    let refused = world.store.enqueue(other).await.unwrap_err();
    assert_eq!(refused.reason(), "SESSION_NOT_YOURS", "no conflict either");
    share(&world, &ann, "s", &[("bob", SessionAccess::Write)]).await;
    let again = world.store.enqueue(command.clone()).await.unwrap();
    assert_eq!(id(&again), id(&made));
    // Gone without a share, it never runs again, and nothing is told of it.
    share(&world, &ann, "s", &[]).await;
    world
        .store
        .delete_session(by(&ann, world.caller("s")))
        .await
        .unwrap();
    let row = made.session.row;
    let (fence, _) = world.store.claim(row).await.unwrap();
    world.store.finish_delete(fence, world.now()).await.unwrap();
    world.store.purge_session(fence, world.now()).await.unwrap();
    let refused = world.store.enqueue(command).await.unwrap_err();
    assert_eq!(refused.reason(), "SESSION_NOT_FOUND");
    world.done().await;
}

pub async fn lists_show_what_is_ones_own_or_shared<E: Engine>() {
    let world = World::<E>::new();
    for number in 0..30 {
        let owner = who(SUBJECTS[number % 3]);
        let session = format!("s{number:02}");
        enqueue(&world, &owner, &session, "1").await.unwrap();
        enqueue(&world, &owner, &session, "2").await.unwrap();
        if number % 5 == 0 {
            let reader = SUBJECTS[(number + 1) % 3];
            share(&world, &owner, &session, &[(reader, SessionAccess::Read)]).await;
        }
    }
    for subject in SUBJECTS {
        let viewer = who(subject);
        let mut expected = Vec::new();
        for number in (0..30usize).rev() {
            let own = SUBJECTS[number % 3] == subject;
            if own || (number % 5 == 0 && SUBJECTS[(number + 1) % 3] == subject) {
                expected.push(format!("s{number:02}"));
            }
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world
                .store
                .list_sessions(&viewer, SessionFilter::default(), after, 4)
                .await
                .unwrap();
            assert!(page.sessions.len() <= 4);
            seen.extend(page.sessions.iter().map(|s| s.key.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "{subject}: newest first, each once");
        for (states, per_session) in [(vec![], 2), (vec![TurnState::Queued], 2)] {
            let (mut turns, mut after) = (Vec::new(), None);
            loop {
                let filter = TurnsFilter {
                    viewer: viewer.clone(),
                    key: None,
                    states: states.clone(),
                };
                let page = world.store.list_turns(filter, after, 5).await.unwrap();
                turns.extend(page.turns);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert!(turns.is_sorted_by(|a, b| a.row > b.row), "newest first");
            assert_eq!(turns.len(), expected.len() * per_session);
            assert!(
                turns
                    .iter()
                    .all(|turn| expected.contains(&turn.session_key.to_string()))
            );
        }
    }
    let all = world
        .store
        .list_sessions(&operator("op"), SessionFilter::default(), None, 99)
        .await
        .unwrap();
    assert_eq!(all.sessions.len(), 30);
    world.done().await;
}

pub async fn what_its_sender_may_not_send_any_more_never_starts<E: Engine>() {
    let world = World::<E>::new();
    let (ann, bob) = (who("ann"), who("bob"));
    enqueue(&world, &ann, "s", "runs").await.unwrap();
    share(&world, &ann, "s", &[("bob", SessionAccess::Write)]).await;
    let row = world.store.session(&ann, &key("s")).await.unwrap().row;
    let (fence, _) = world.store.claim(row).await.unwrap();
    world.start(fence).await;
    let waits = enqueue(&world, &bob, "s", "waits").await.unwrap();
    let mut steer = world.steer_of("s", "steers");
    steer.caller.identity = bob.clone();
    let steered = world.store.steer(steer).await.unwrap();
    // Who changes a text is its sender from then on.
    let changed = enqueue(&world, &ann, "s", "ann's").await.unwrap();
    let change = UpdateQueued {
        caller: by(&bob, world.caller("s")),
        turn_id: changed,
        text: Some("bob's".into()),
        position: None,
    };
    world.store.update_queued(change).await.unwrap();
    let by_operator = enqueue(&world, &operator("op"), "s", "operator").await;
    share(&world, &ann, "s", &[("bob", SessionAccess::Read)]).await;
    let pending = world.store.pending_steers(fence).await.unwrap();
    assert!(pending.is_empty(), "it is not given to the agent");
    world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
    let started = world.start(fence).await;
    assert_eq!(started.turn.turn_id, by_operator.unwrap(), "the next one");
    for turn_id in [waits, changed, steered.receipt.steer_id.unwrap()] {
        let turn = world.store.turn(&ann, &key("s"), turn_id).await.unwrap();
        assert_eq!(turn.state, TurnState::Rejected);
        assert_eq!(turn.error.unwrap().cause, Cause::PermissionRevoked);
    }
    world.done().await;
}

pub async fn principals_and_tenants_are_bounded<E: Engine>() {
    let world = World::<E>::with(|rules| {
        rules.quotas.change(|quotas| {
            quotas.principal.max_sessions = 2;
            quotas.tenant.max_sessions = 3;
            quotas.principal.max_queue_bytes = 100;
            quotas.tenant.max_queue_bytes = 150;
        });
    });
    let (ann, bob) = (who("ann"), who("bob"));
    let limit = |refusal: Refusal| match refusal {
        Refusal::TooManySessions { of, limit, current } => (of.to_string(), limit, current),
        Refusal::QueueFull {
            of, limit, current, ..
        } => (of.to_string(), limit, current),
        other => panic!("{other}"),
    };
    let text = |bytes: usize| "x".repeat(bytes);
    enqueue(&world, &ann, "a1", &text(60)).await.unwrap();
    enqueue(&world, &ann, "a2", &text(30)).await.unwrap();
    let refused = enqueue(&world, &ann, "a3", "x").await.unwrap_err();
    assert_eq!(limit(refused), ("principal".into(), 2, 2));
    enqueue(&world, &bob, "b1", &text(40)).await.unwrap();
    let refused = enqueue(&world, &bob, "b2", "x").await.unwrap_err();
    assert_eq!(limit(refused), ("tenant".into(), 3, 3));
    let refused = enqueue(&world, &ann, "a2", &text(11)).await.unwrap_err();
    assert_eq!(limit(refused), ("principal".into(), 100, 90));
    let refused = enqueue(&world, &bob, "b1", &text(21)).await.unwrap_err();
    assert_eq!(limit(refused), ("tenant".into(), 150, 130));
    // It counts by the owner, whoever sends.
    share(&world, &ann, "a1", &[("bob", SessionAccess::Write)]).await;
    let refused = enqueue(&world, &bob, "a1", &text(11)).await.unwrap_err();
    assert_eq!(limit(refused), ("principal".into(), 100, 90));
    // What leaves makes room; so does an operator, at once.
    world
        .store
        .clear_queue(by(&ann, world.caller("a1")))
        .await
        .unwrap();
    enqueue(&world, &ann, "a2", &text(11)).await.unwrap();
    world.rules.quotas.change(|quotas| {
        quotas.principal.max_sessions = 9;
        quotas.tenant.max_sessions = 9;
    });
    enqueue(&world, &ann, "a3", "x").await.unwrap();
    // What was counted is counted again after a restart.
    let mut world = world;
    world.crash_with(|rules| {
        rules
            .quotas
            .change(|quotas| quotas.principal.max_sessions = 3)
    });
    let refused = enqueue(&world, &ann, "a4", "x").await.unwrap_err();
    assert_eq!(limit(refused), ("principal".into(), 3, 3));
    let refused = enqueue(&world, &ann, "a3", &text(59)).await.unwrap_err();
    assert_eq!(limit(refused), ("principal".into(), 100, 42));
    // A Delete gives the place back.
    world
        .store
        .delete_session(by(&ann, world.caller("a3")))
        .await
        .unwrap();
    let row = world.runnable(9).await[0].row;
    let (fence, _) = world.store.claim(row).await.unwrap();
    world.store.finish_delete(fence, world.now()).await.unwrap();
    world.store.purge_session(fence, world.now()).await.unwrap();
    enqueue(&world, &ann, "a4", "x").await.unwrap();
    assert_eq!(rules().quotas.get().principal.max_sessions, i64::MAX);
    world.done().await;
}

pub async fn starts_go_round_over_tenants_and_principals<E: Engine>() {
    let world = World::<E>::new();
    for number in 0..4 {
        enqueue(&world, &who("ann"), &format!("ann{number}"), "x")
            .await
            .unwrap();
    }
    for subject in ["bob", "cid"] {
        enqueue(&world, &who(subject), subject, "x").await.unwrap();
    }
    let mut other = Identity::clone(&who("ann"));
    other.principal.tenant = "zoo".into();
    for number in 0..3 {
        enqueue(
            &world,
            &Arc::new(other.clone()),
            &format!("zoo{number}"),
            "x",
        )
        .await
        .unwrap();
    }
    let keys = |found: &[Arc<quarterdeck::domain::session::Session>]| {
        let keys: Vec<String> = found.iter().map(|s| s.key.to_string()).collect();
        keys
    };
    let all = [
        "ann0", "zoo0", "bob", "zoo1", "cid", "zoo2", "ann1", "ann2", "ann3",
    ];
    let found = world.runnable(99).await;
    assert_eq!(keys(&found), all);
    // The next look goes on where the last one was, and passes over those who have their grants.
    let mut round = quarterdeck::store::round::Round::default();
    for session in &found[..3] {
        round.grant(session);
    }
    let rest = world.runnable_in(round.clone(), 99).await;
    assert_eq!(keys(&rest.sessions), all[3..]);
    assert!(!rest.more);
    // Who may not have more holds nobody else up.
    world
        .rules
        .quotas
        .change(|quotas| quotas.principal.max_running_turns = 1);
    let rest = world.runnable_in(round.clone(), 99).await;
    assert_eq!(keys(&rest.sessions), ["cid"]);
    assert!(rest.more, "others wait");
    world.rules.quotas.change(|quotas| {
        quotas.principal.max_running_turns = 9;
        quotas.tenant.max_running_turns = 2;
    });
    let rest = world.runnable_in(round, 99).await;
    assert_eq!(keys(&rest.sessions), ["zoo1"]);
    assert!(rest.more);
    world.done().await;
}

pub async fn a_delete_that_fails_stands_in_nobodys_way<E: Engine>() {
    let mut world = World::<E>::new();
    world.enqueue("s", "1").await;
    world.delete("s").await;
    let row = world.runnable(9).await[0].row;
    let (fence, _) = world.store.claim(row).await.unwrap();
    world.store.finish_delete(fence, world.now()).await.unwrap();
    world.store.postpone_delete(fence).await.unwrap();
    assert!(world.runnable(9).await.is_empty());
    // The next Delete tries again, and so does the next start.
    world.delete("s").await;
    assert_eq!(world.runnable(9).await.len(), 1);
    world.store.postpone_delete(fence).await.unwrap();
    world.crash();
    world.store.recover(world.now()).await.unwrap();
    assert_eq!(world.runnable(9).await.len(), 1);
    world.done().await;
}

pub async fn interrupts_of_a_reader_change_nothing<E: Engine>() {
    let world = World::<E>::new();
    let (ann, bob) = (who("ann"), who("bob"));
    let turn_id = enqueue(&world, &ann, "s", "1").await.unwrap();
    share(&world, &ann, "s", &[("bob", SessionAccess::Read)]).await;
    let mut interrupt = world.enqueue_of("s", "now");
    interrupt.caller.identity = bob;
    interrupt.on_busy = OnBusy::Interrupt;
    let refused = world.store.enqueue(interrupt).await.unwrap_err();
    assert_eq!(refused.reason(), "SESSION_NOT_YOURS");
    let waiting = world.store.queue(&ann, &key("s")).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].turn_id, turn_id);
    world.done().await;
}
