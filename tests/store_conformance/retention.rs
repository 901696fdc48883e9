//! What goes after a time, and what must not.

use super::harness::{Engine, World, hours, id, viewer};
use quarterdeck::{
    domain::{
        session::SessionState,
        turn::{StopReason, TurnState},
    },
    store::{NewSession, TurnEnd},
};

async fn maintain<E: Engine>(world: &World<E>) {
    let mut calls = 0;
    while world.store.maintain(world.now()).await.unwrap() {
        calls += 1;
        assert!(calls < 100, "housekeeping ends");
    }
}

pub async fn old_events_go_but_never_of_an_unfinished_turn<E: Engine>() {
    let world = World::<E>::with(|rules| rules.retention_events = 5);
    for _ in 0..4 {
        world.enqueue("s", "x").await;
        world.complete("s", "ok").await;
    }
    let waiting = world.enqueue("s", "waits").await;
    let head = waiting.receipt.seq;
    maintain(&world).await;
    let session = world.session("s").await;
    assert_eq!((session.head, session.first_seq), (head, head - 4));
    assert_eq!(world.log("s").await.len(), 5);
    let (fence, _) = world.run("s").await;
    for _ in 0..10 {
        world.enqueue("s", "x").await;
        world.store.clear_queue(world.caller("s")).await.unwrap();
    }
    maintain(&world).await;
    let first = world.session("s").await.first_seq;
    assert_eq!(first, head, "from its turn_queued on all is kept");
    let seq = world
        .store
        .turn_first_seq(fence.session, id(&waiting))
        .await;
    assert_eq!(seq.unwrap(), head);
    world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
    maintain(&world).await;
    let session = world.session("s").await;
    assert_eq!(session.first_seq, session.head - 4);
    let seq = world
        .store
        .turn_first_seq(fence.session, id(&waiting))
        .await;
    assert_eq!(seq.unwrap(), session.first_seq, "the first that is kept");
    assert_eq!(session.message_count, 9, "messages stay");
    world.done().await;
}

pub async fn events_are_kept_by_age<E: Engine>() {
    let world = World::<E>::with(|rules| rules.retention_age = hours(10));
    world.enqueue("s", "x").await;
    world.complete("s", "ok").await;
    let old = world.session("s").await.head;
    world.pass(hours(6));
    world.enqueue("s", "y").await;
    world.complete("s", "ok").await;
    world.pass(hours(5));
    maintain(&world).await;
    assert_eq!(world.session("s").await.first_seq, old + 1);
    world.pass(hours(10));
    maintain(&world).await;
    let session = world.session("s").await;
    assert_eq!(session.first_seq, session.head + 1, "an empty log");
    world.enqueue("s", "z").await;
    assert_eq!(world.log("s").await.len(), 1);
    world.done().await;
}

pub async fn history_goes_when_it_may<E: Engine>() {
    let world = World::<E>::with(|rules| rules.history_retention = Some(hours(10)));
    let old = world.enqueue("s", "x").await;
    world.complete("s", "ok").await;
    world.pass(hours(6));
    let running = world.enqueue("s", "y").await;
    let (fence, _) = world.run("s").await;
    world.pass(hours(5));
    maintain(&world).await;
    let gone = world
        .store
        .turn(&viewer(), &super::harness::key("s"), id(&old))
        .await;
    assert_eq!(gone.unwrap_err().reason(), "TURN_NOT_FOUND");
    let session = world.session("s").await;
    assert_eq!((session.message_count, session.user_message_count), (1, 1));
    world.pass(hours(20));
    maintain(&world).await;
    assert_eq!(
        world.turn("s", id(&running)).await.state,
        TurnState::Running
    );
    assert_eq!(
        world.session("s").await.message_count,
        1,
        "its message stays"
    );
    world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
    world.done().await;
}

pub async fn idle_sessions_are_deleted<E: Engine>() {
    let world = World::<E>::new();
    let hour = 3_600_000_000;
    let new = NewSession {
        expire_after_idle: Some(hour),
        ..NewSession::default()
    };
    let row = world
        .store
        .create_session(world.caller("s"), new)
        .await
        .unwrap()
        .session
        .row;
    world.pass(hours(1) / 2);
    world.enqueue("s", "x").await;
    world.pass(hours(1));
    maintain(&world).await;
    assert_eq!(
        world.session("s").await.state,
        SessionState::Idle,
        "a turn waits"
    );
    world.complete("s", "ok").await;
    world.pass(hours(1));
    maintain(&world).await;
    let session = world.store.session_by_row(row).await.unwrap().unwrap();
    assert_eq!(session.state, SessionState::Deleting);
    world.done().await;
}

pub async fn tombstones_go_after_a_day<E: Engine>() {
    let world = World::<E>::new();
    let row = world.enqueue("s", "x").await.session.row;
    world.delete("s").await;
    let (fence, _) = world.store.claim(row).await.unwrap();
    world.store.finish_delete(fence, world.now()).await.unwrap();
    world.store.purge_session(fence, world.now()).await.unwrap();
    let reason = async || {
        let key = super::harness::key("s");
        let gone = world.store.session(&viewer(), &key).await;
        gone.unwrap_err().reason()
    };
    world.pass(hours(23));
    maintain(&world).await;
    assert_eq!(reason().await, "SESSION_DELETED");
    world.pass(hours(2));
    maintain(&world).await;
    assert_eq!(reason().await, "SESSION_NOT_FOUND");
    world.done().await;
}
