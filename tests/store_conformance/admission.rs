//! Enqueue and Steer: what is accepted, and as what.

use super::harness::{Engine, World, attachment, id, viewer};
use quarterdeck::{
    domain::{
        Refusal,
        refusal::LimitOf,
        session::SessionState,
        turn::{Cause, StopReason, TurnState},
    },
    store::{Admission, OnBusy, TurnEnd},
};
use uuid::Uuid;

pub async fn an_enqueue_makes_the_session_and_its_turn_in_one_commit<E: Engine>() {
    let world = World::<E>::new();
    let mut command = world.enqueue_of("s", "hi");
    command.new_session.display_name = "A name".into();
    command.new_session.labels.insert("k".into(), "v".into());
    command.metadata.insert("m".into(), "n".into());
    command.attachments.push(attachment("f.txt", "content"));
    let committed = world.store.enqueue(command).await.unwrap();
    assert_eq!(world.kinds("s").await, ["session_created", "turn_queued"]);
    assert_eq!(committed.receipt.seq, 2);
    assert_eq!(committed.receipt.queue_position, 0);
    assert_eq!(committed.receipt.admission, Admission::Queued);
    assert!(!committed.replayed);
    let session = world.session("s").await;
    assert_eq!(*session, *committed.session);
    assert_eq!((session.head, session.first_seq), (2, 1));
    assert_eq!((session.queue_depth, session.queue_bytes), (1, 9));
    assert_eq!(
        session.state,
        SessionState::Idle,
        "waiting turns alone are IDLE"
    );
    assert_eq!(session.display_name, "A name");
    let turn = world.turn("s", id(&committed)).await;
    assert_eq!(Some(&turn), committed.turn.as_ref());
    assert_eq!((turn.state, turn.attempt), (TurnState::Queued, 0));
    assert_eq!(turn.metadata["m"], "n");
    assert_eq!(turn.attachments[0].name, "f.txt");
    world.done().await;
}

pub async fn turns_wait_in_order_and_a_full_queue_stores_nothing<E: Engine>() {
    let world = World::<E>::new();
    for (position, text) in ["1", "2", "3", "4"].into_iter().enumerate() {
        let committed = world.enqueue("s", text).await;
        assert_eq!(
            committed.receipt.queue_position,
            i32::try_from(position).unwrap()
        );
    }
    let before = world.session("s").await;
    let refused = world.try_enqueue("s", "5", OnBusy::Enqueue).await;
    assert_eq!(
        refused.unwrap_err(),
        Refusal::QueueFull {
            of: LimitOf::Session,
            unit: "turns",
            limit: 4,
            current: 4
        }
    );
    assert_eq!(world.session("s").await, before, "a no changes nothing");
    let mut ran = Vec::new();
    for _ in 0..4 {
        ran.push(world.complete("s", "ok").await.text);
    }
    assert_eq!(ran, ["1", "2", "3", "4"]);
    world.done().await;
}

pub async fn a_queue_is_bounded_in_bytes_too<E: Engine>() {
    let world = World::<E>::new();
    world.enqueue("s", &"x".repeat(600)).await;
    let refused = world
        .try_enqueue("s", &"x".repeat(401), OnBusy::Enqueue)
        .await;
    assert_eq!(
        refused.unwrap_err(),
        Refusal::QueueFull {
            of: LimitOf::Session,
            unit: "bytes",
            limit: 1000,
            current: 600
        }
    );
    let mut command = world.enqueue_of("s", "");
    command.attachments.push(attachment("f", &"x".repeat(401)));
    assert!(world.store.enqueue(command).await.is_err());
    world.enqueue("s", &"x".repeat(400)).await;
    world.done().await;
}

pub async fn reject_names_the_active_turn<E: Engine>() {
    let world = World::<E>::new();
    let waiting = world.enqueue_with("s", "1", OnBusy::Reject).await;
    let refused = world.try_enqueue("s", "2", OnBusy::Reject).await;
    let nothing_active = Refusal::SessionBusy {
        active_turn_id: id(&waiting).to_string(),
    };
    assert_eq!(refused.unwrap_err(), nothing_active, "waiting is busy too");
    let (_, started) = world.run("s").await;
    let refused = world.try_enqueue("s", "2", OnBusy::Reject).await;
    let active = Refusal::SessionBusy {
        active_turn_id: started.turn.turn_id.to_string(),
    };
    assert_eq!(refused.unwrap_err(), active);
    world.done().await;
}

pub async fn interrupts_go_first_newest_first_and_cancel_the_active_turn<E: Engine>() {
    let world = World::<E>::new();
    let first = world.enqueue("s", "active").await;
    let (fence, _) = world.run("s").await;
    world.enqueue("s", "waits").await;
    let older = world.enqueue_with("s", "older", OnBusy::Interrupt).await;
    assert_eq!(older.receipt.queue_position, 0);
    assert_eq!(older.session.state, SessionState::Canceling);
    world.enqueue_with("s", "newer", OnBusy::Interrupt).await;
    assert_eq!(world.waiting("s").await, ["newer", "older", "waits"]);
    let turn = world.turn("s", id(&first)).await;
    assert_eq!(turn.state, TurnState::Canceling);
    assert_eq!(turn.cancel.unwrap().cause, Cause::InterruptedByTurn);
    let ended = world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
    assert_eq!(ended.turn.state, TurnState::Canceled);
    assert_eq!(ended.turn.error.unwrap().cause, Cause::InterruptedByTurn);
    assert_eq!(world.start(fence).await.turn.text, "newer");
    world.done().await;
}

pub async fn a_refused_interrupt_cancels_nothing<E: Engine>() {
    let world = World::<E>::new();
    let active = world.enqueue("s", "active").await;
    world.run("s").await;
    for text in ["1", "2", "3", "4"] {
        world.enqueue("s", text).await;
    }
    let refused = world.try_enqueue("s", "no", OnBusy::Interrupt).await;
    assert!(matches!(refused, Err(Refusal::QueueFull { .. })));
    assert_eq!(world.turn("s", id(&active)).await.state, TurnState::Running);
    world.done().await;
}

pub async fn steer_or_enqueue_steers_only_what_can_be_steered<E: Engine>() {
    let world = World::<E>::new();
    let idle = world.enqueue_with("s", "1", OnBusy::SteerOrEnqueue).await;
    assert_eq!(idle.receipt.admission, Admission::Queued);
    world.run("s").await;
    let steered = world.enqueue_with("s", "2", OnBusy::SteerOrEnqueue).await;
    assert_eq!(steered.receipt.admission, Admission::Steered);
    assert_eq!(steered.receipt.turn_id, idle.receipt.turn_id);
    assert!(steered.receipt.steer_id.is_some());
    world.abort("s").await;
    let stopping = world.enqueue_with("s", "3", OnBusy::SteerOrEnqueue).await;
    assert_eq!(stopping.receipt.admission, Admission::Queued);

    let mut command = world.enqueue_of("p", "1");
    command.new_session.agent = "plain".into();
    world.store.enqueue(command).await.unwrap();
    world.run("p").await;
    let plain = world.enqueue_with("p", "2", OnBusy::SteerOrEnqueue).await;
    assert_eq!(plain.receipt.admission, Admission::Queued);
    world.done().await;
}

pub async fn what_does_not_fit_the_session_is_refused<E: Engine>() {
    let world = World::<E>::new();
    let mut command = world.enqueue_of("s", "1");
    command.new_session.agent = "unknown".into();
    let refused = world.store.enqueue(command).await.unwrap_err();
    assert_eq!(refused.reason(), "INVALID_FIELD");
    let missing = world
        .store
        .session(&viewer(), &super::harness::key("s"))
        .await;
    assert_eq!(missing.unwrap_err().reason(), "SESSION_NOT_FOUND");

    world.enqueue("s", "1").await;
    let mut command = world.enqueue_of("s", "2");
    command.new_session.agent = "plain".into();
    assert_eq!(
        world.store.enqueue(command).await.unwrap_err(),
        Refusal::AgentMismatch { agent: "a".into() }
    );
    let mut command = world.enqueue_of("s", "2");
    command.caller.expected_generation = Some(2);
    assert_eq!(
        world.store.enqueue(command).await.unwrap_err(),
        Refusal::GenerationMismatch { generation: 1 }
    );
    world.delete("s").await;
    assert_eq!(
        world
            .try_enqueue("s", "2", OnBusy::Enqueue)
            .await
            .unwrap_err(),
        Refusal::SessionDeleting { key: "s".into() }
    );
    world.done().await;
}

pub async fn a_full_disk_refuses_new_work_alone<E: Engine>() {
    let mut world = World::<E>::new();
    world.enqueue("s", "1").await;
    world.enqueue("s", "2").await;
    world.crash_with(|rules| rules.disk_reserve = u64::MAX);
    let refused = world.try_enqueue("s", "3", OnBusy::Enqueue).await;
    assert_eq!(refused.unwrap_err(), Refusal::StorageFull);
    let refused = world.store.steer(world.steer_of("s", "x")).await;
    assert_eq!(refused.unwrap_err(), Refusal::StorageFull);
    // What waits is new work as well: it waits on.
    let row = world.session("s").await.row;
    let (fence, _) = world.store.claim(row).await.unwrap();
    let refused = world.store.start_next(fence, world.now()).await;
    assert_eq!(refused.unwrap_err(), Refusal::StorageFull);
    assert_eq!(world.session("s").await.queue_depth, 2);
    world.store.clear_queue(world.caller("s")).await.unwrap();
    world.delete("s").await;
    world.done().await;
}

pub async fn sessions_are_bounded<E: Engine>() {
    let world = World::<E>::with(|rules| rules.quotas.change(|quotas| quotas.max_sessions = 2));
    world.enqueue("s1", "1").await;
    world.enqueue("s2", "1").await;
    let refused = world.try_enqueue("s3", "1", OnBusy::Enqueue).await;
    assert_eq!(
        refused.unwrap_err(),
        Refusal::TooManySessions {
            of: LimitOf::Server,
            limit: 2,
            current: 2
        }
    );
    world.enqueue("s1", "2").await;
    world.delete("s2").await;
    let row = world.runnable(1).await[0].row;
    let (fence, _) = world.store.claim(row).await.unwrap();
    world.store.finish_delete(fence, world.now()).await.unwrap();
    world.store.purge_session(fence, world.now()).await.unwrap();
    world.enqueue("s3", "1").await;
    world.done().await;
}

pub async fn a_steer_is_a_turn_where_nothing_runs<E: Engine>() {
    let world = World::<E>::new();
    let unknown = world.store.steer(world.steer_of("s", "x")).await;
    assert_eq!(unknown.unwrap_err().reason(), "SESSION_NOT_FOUND");
    world.enqueue("s", "1").await;
    let idle = world.steer("s", "2").await;
    assert_eq!(idle.receipt.admission, Admission::Queued);
    assert_eq!(idle.receipt.queue_position, 1);
    world.run("s").await;
    world.abort("s").await;
    let stopping = world.steer("s", "3").await;
    assert_eq!(stopping.receipt.admission, Admission::Queued);
    assert_eq!(world.waiting("s").await, ["2", "3"], "at the tail");
    world.done().await;
}

pub async fn steers_are_bounded_and_fit_their_turn<E: Engine>() {
    let world = World::<E>::new();
    let active = world.enqueue("s", "1").await;
    world.run("s").await;
    let mut other = world.steer_of("s", "x");
    other.expected_turn = Some(Uuid::now_v7());
    assert_eq!(
        world.store.steer(other).await.unwrap_err(),
        Refusal::TurnMismatch {
            active_turn_id: id(&active).to_string()
        }
    );
    let mut right = world.steer_of("s", "x");
    right.expected_turn = Some(id(&active));
    let steered = world.store.steer(right).await.unwrap();
    assert_eq!(steered.receipt.admission, Admission::Steered);
    assert_eq!(steered.receipt.turn_id, Some(id(&active)));
    for _ in 0..7 {
        world.steer("s", "x").await;
    }
    assert_eq!(
        world
            .store
            .steer(world.steer_of("s", "x"))
            .await
            .unwrap_err(),
        Refusal::QueueFull {
            of: LimitOf::Session,
            unit: "steers",
            limit: 8,
            current: 8
        }
    );
    let mut command = world.enqueue_of("p", "1");
    command.new_session.agent = "plain".into();
    world.store.enqueue(command).await.unwrap();
    let refused = world.store.steer(world.steer_of("p", "x")).await;
    assert_eq!(refused.unwrap_err().reason(), "UNSUPPORTED_BY_AGENT");
    world.done().await;
}
