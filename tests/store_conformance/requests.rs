//! R3: the same `request_id` has one effect.

use super::harness::{Engine, World, hours, id, key, other_viewer, request};
use quarterdeck::{
    domain::{Refusal, session::SessionState, turn::StopReason, turn::TurnState},
    store::{Caller, Committed, Fork, NewSession, TurnEnd, UpdateQueued, UpdateSession},
};
use std::{collections::HashSet, future::Future, sync::Arc};

/// Runs a command twice and once with another body.
async fn twice<F: Future<Output = Result<Committed, Refusal>>>(
    what: &str,
    mut command: impl FnMut(u8) -> F,
) -> Committed {
    let first = command(1).await.unwrap();
    assert!(!first.replayed, "{what}");
    let second = command(1).await.unwrap();
    assert!(second.replayed, "{what}");
    assert_eq!(second.receipt, first.receipt, "{what}");
    assert_eq!(second.session.log_id, first.session.log_id, "{what}");
    assert_eq!(second.session.head, first.session.head, "{what}");
    let other = command(2).await;
    assert_eq!(
        other.unwrap_err().reason(),
        "IDEMPOTENCY_CONFLICT",
        "{what}"
    );
    first
}

pub async fn each_command_has_one_effect_per_request_id<E: Engine>() {
    let world = World::<E>::new();
    let store = &world.store;
    let caller = |method, body| Caller {
        request: request("r", method, body),
        ..world.caller("s")
    };
    twice("CreateSession", |body| {
        store.create_session(caller("CreateSession", body), NewSession::default())
    })
    .await;
    let first = twice("Enqueue", |body| {
        let mut command = world.enqueue_of("s", "1");
        command.caller = caller("Enqueue", body);
        store.enqueue(command)
    })
    .await;
    let (fence, _) = world.run("s").await;
    let steer = twice("Steer", |body| {
        let mut command = world.steer_of("s", "steer");
        command.caller = caller("Steer", body);
        store.steer(command)
    })
    .await;
    assert_eq!(steer.receipt.turn_id, first.receipt.turn_id);
    let second = world.enqueue("s", "2").await;
    twice("UpdateQueued", |body| {
        store.update_queued(UpdateQueued {
            caller: caller("UpdateQueued", body),
            turn_id: id(&second),
            text: Some("two".into()),
            position: None,
        })
    })
    .await;
    twice("RemoveQueued", |body| {
        store.remove_queued(caller("RemoveQueued", body), id(&second))
    })
    .await;
    world.enqueue("s", "3").await;
    let cleared = twice("ClearQueue", |body| {
        store.clear_queue(caller("ClearQueue", body))
    })
    .await;
    assert_eq!(cleared.receipt.cleared.len(), 1);
    twice("Abort", |body| {
        let mut command = world.abort_of("s");
        command.caller = caller("Abort", body);
        store.abort(command)
    })
    .await;
    world.end(fence, TurnEnd::Stopped).await;
    twice("ForkSession", |body| {
        store.fork_session(Fork {
            caller: caller("ForkSession", body),
            new_key: key("fork"),
            turn_id: None,
        })
    })
    .await;
    twice("UpdateSession", |body| {
        store.update_session(UpdateSession {
            no_approver: None,
            question_ttl: None,
            tool_policy: None,
            memory_namespaces: None,
            caller: caller("UpdateSession", body),
            display_name: Some("name".into()),
            labels: None,
            agent: None,
            cwd: None,
            cwd_refused: None,
            expire_after_idle: None,
            shares: None,
        })
    })
    .await;
    let reset = twice("Reset", |body| store.reset(caller("Reset", body))).await;
    assert_eq!(reset.session.generation, 2);
    assert_eq!(world.session("s").await.generation, 2, "one Reset");
    twice("DeleteSession", |body| {
        store.delete_session(caller("DeleteSession", body))
    })
    .await;
    world.done().await;
}

pub async fn another_request_under_the_same_id_is_refused<E: Engine>() {
    let world = World::<E>::new();
    let enqueue = |session: &str, subject: &str, tenant: &str| {
        let mut command = world.enqueue_of(session, "1");
        command.caller.request = request("r", "Enqueue", 1);
        command.caller.identity = other_viewer(tenant, subject);
        world.store.enqueue(command)
    };
    let first = enqueue("s", "local", "default").await.unwrap();
    // Another key, subject or tenant is another request.
    for (session, subject, tenant) in [
        ("t", "local", "default"),
        ("s", "other", "default"),
        ("s", "local", "elsewhere"),
    ] {
        let other = enqueue(session, subject, tenant).await.unwrap();
        assert!(!other.replayed);
        assert_ne!(id(&other), id(&first));
    }
    // A refusal is not kept: the same id works once the reason is gone.
    let mut command = world.enqueue_of("s", "2");
    command.caller.request = request("later", "Enqueue", 3);
    command.caller.expected_generation = Some(2);
    assert!(world.store.enqueue(command.clone()).await.is_err());
    world.reset("s").await;
    assert!(!world.store.enqueue(command).await.unwrap().replayed);
    world.done().await;
}

pub async fn sixteen_callers_make_one_turn<E: Engine>() {
    let world = World::<E>::with(|rules| {
        rules.quotas.change(|quotas| {
            quotas.queue_limit_turns = 1000;
            quotas.queue_limit_bytes = 1_000_000;
        });
    });
    let world = Arc::new(world);
    let mut callers = Vec::new();
    for _ in 0..16 {
        let world = Arc::clone(&world);
        callers.push(tokio::spawn(async move {
            let mut turns = Vec::new();
            for number in 0..30 {
                let mut command = world.enqueue_of("s", &number.to_string());
                command.caller.request = request(&number.to_string(), "Enqueue", 1);
                turns.push(id(&world.store.enqueue(command).await.unwrap()));
            }
            turns
        }));
    }
    let mut answers = HashSet::new();
    for caller in callers {
        answers.insert(caller.await.unwrap());
    }
    assert_eq!(answers.len(), 1, "every caller is told the same turns");
    assert_eq!(world.session("s").await.queue_depth, 30);
    let world = Arc::into_inner(world).unwrap();
    world.done().await;
}

pub async fn a_request_outlives_restart_reset_and_delete<E: Engine>() {
    let mut world = World::<E>::new();
    let command = |world: &World<E>| {
        let mut command = world.enqueue_of("s", "1");
        command.caller.request = request("r", "Enqueue", 1);
        command
    };
    let first = world.store.enqueue(command(&world)).await.unwrap();
    world.crash();
    let again = world.store.enqueue(command(&world)).await.unwrap();
    assert_eq!(again.receipt, first.receipt);
    let done = world.complete("s", "ok").await;
    world.reset("s").await;
    let again = world.store.enqueue(command(&world)).await.unwrap();
    assert_eq!(again.receipt, first.receipt);
    assert_eq!(again.turn, Some(done), "the turn as it is now");
    assert_eq!(again.session.generation, 2, "the session as it is now");
    let mut delete = world.caller("s");
    delete.request = request("d", "DeleteSession", 1);
    let deleted = world.store.delete_session(delete.clone()).await.unwrap();
    let (fence, _) = world.store.claim(first.session.row).await.unwrap();
    world.store.finish_delete(fence, world.now()).await.unwrap();
    world.store.purge_session(fence, world.now()).await.unwrap();
    let gone = world.store.enqueue(command(&world)).await;
    assert_eq!(
        gone.unwrap_err(),
        Refusal::SessionDeleted { key: "s".into() }
    );
    let repeated = world.store.delete_session(delete).await.unwrap();
    assert!(repeated.replayed);
    assert_eq!(repeated.receipt, deleted.receipt);
    assert_eq!(repeated.session.state, SessionState::Deleted);
    world.enqueue("s", "a new one").await;
    let gone = world.store.enqueue(command(&world)).await;
    assert_eq!(
        gone.unwrap_err().reason(),
        "SESSION_DELETED",
        "never a new run"
    );
    world.done().await;
}

pub async fn a_request_is_kept_a_day_after_its_turn<E: Engine>() {
    let world = World::<E>::new();
    let command = || {
        let mut command = world.enqueue_of("s", "1");
        command.caller.request = request("r", "Enqueue", 1);
        command
    };
    let first = world.store.enqueue(command()).await.unwrap();
    world.pass(hours(48));
    world.store.maintain(world.now()).await.unwrap();
    let waits = world.store.enqueue(command()).await.unwrap();
    assert!(waits.replayed, "while its turn is unfinished");
    let (fence, _) = world.run("s").await;
    let mut steer = world.steer_of("s", "steer");
    steer.caller.request = request("s", "Steer", 1);
    let steered = world.store.steer(steer.clone()).await.unwrap();
    world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
    world.pass(hours(23));
    world.store.maintain(world.now()).await.unwrap();
    let kept = world.store.enqueue(command()).await.unwrap();
    assert_eq!(kept.receipt, first.receipt);
    world.pass(hours(1));
    world.store.maintain(world.now()).await.unwrap();
    let forgotten = world.store.enqueue(command()).await.unwrap();
    assert!(!forgotten.replayed);
    assert_ne!(id(&forgotten), id(&first));
    // The steer became a turn that still waits.
    let steered_again = world.store.steer(steer).await.unwrap();
    assert!(steered_again.replayed);
    let turn = world.turn("s", steered.receipt.steer_id.unwrap()).await;
    assert_eq!(turn.state, TurnState::Queued);
    world.done().await;
}
