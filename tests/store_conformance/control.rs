//! Abort, Reset, Delete, and the editing of the queue.

use super::harness::{Engine, World, hours, id, key, viewer};
use quarterdeck::{
    domain::{
        Refusal,
        session::SessionState,
        turn::{AbortMode, Cause, StopReason, TurnState},
    },
    store::{NewSession, OnBusy, TurnEnd, UpdateQueued, UpdateSession},
};
use std::time::Duration;
use uuid::Uuid;

pub async fn an_abort_of_an_idle_session_is_fine<E: Engine>() {
    let world = World::<E>::new();
    let unknown = world.store.abort(world.abort_of("s")).await;
    assert_eq!(unknown.unwrap_err().reason(), "SESSION_NOT_FOUND");
    let committed = world.enqueue("s", "1").await;
    let aborted = world.abort("s").await;
    assert!(!aborted.receipt.stopping, "a waiting turn is not active");
    assert_eq!(aborted.turn, None);
    let done = world.complete("s", "ok").await;
    let mut abort = world.abort_of("s");
    abort.turn_id = Some(id(&committed));
    let finished = world.store.abort(abort).await.unwrap();
    assert!(!finished.receipt.stopping);
    assert_eq!(
        finished.turn,
        Some(done),
        "a turn that ended first keeps its end"
    );
    let mut abort = world.abort_of("s");
    abort.turn_id = Some(Uuid::now_v7());
    let unknown = world.store.abort(abort).await;
    assert_eq!(unknown.unwrap_err().reason(), "TURN_NOT_FOUND");
    world.done().await;
}

pub async fn a_second_abort_raises_the_first<E: Engine>() {
    let world = World::<E>::new();
    let committed = world.enqueue("s", "1").await;
    let (fence, _) = world.run("s").await;
    let first = world.abort("s").await;
    assert!(first.receipt.stopping);
    assert_eq!(first.session.state, SessionState::Canceling);
    let accepted = first.turn.unwrap().cancel.unwrap();
    assert_eq!(accepted.kill_time, world.now().plus_micros(5_000_000));

    let mut later = world.abort_of("s");
    later.grace = Duration::from_secs(60);
    later.cause = Cause::Disconnected;
    let joined = world.store.abort(later).await.unwrap().turn.unwrap();
    assert_eq!(joined.cancel, Some(accepted), "it can't be put off");

    let mut kill = world.abort_of("s");
    kill.mode = AbortMode::Kill;
    let raised = world.store.abort(kill).await.unwrap();
    let cancel = raised.turn.unwrap().cancel.unwrap();
    assert_eq!(
        (cancel.mode, cancel.cause),
        (AbortMode::Kill, Cause::Aborted)
    );
    assert_eq!(cancel.kill_time, world.now());
    let active = world
        .store
        .active_turn(fence.session)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(active.cancel, Some(cancel), "its owner sees it");
    world.end(fence, TurnEnd::Stopped).await;
    let turn = world.turn("s", id(&committed)).await;
    assert_eq!(
        turn.error.unwrap().cause,
        Cause::Aborted,
        "the first cause stays"
    );
    world.done().await;
}

pub async fn an_abort_of_a_waiting_turn_takes_it<E: Engine>() {
    let world = World::<E>::new();
    let active = world.enqueue("s", "active").await;
    world.run("s").await;
    let waiting = world.enqueue("s", "waits").await;
    let mut abort = world.abort_of("s");
    abort.turn_id = Some(id(&waiting));
    let aborted = world.store.abort(abort).await.unwrap();
    assert!(aborted.receipt.stopping);
    let turn = aborted.turn.unwrap();
    assert_eq!(turn.state, TurnState::Rejected);
    assert_eq!(turn.error.unwrap().cause, Cause::Removed);
    assert_eq!(
        world.turn("s", id(&active)).await.state,
        TurnState::Running,
        "it never touches another turn"
    );
    world.done().await;
}

pub async fn an_abort_with_clear_queue_takes_what_waits<E: Engine>() {
    let world = World::<E>::new();
    world.enqueue("s", "active").await;
    let (fence, _) = world.run("s").await;
    let second = world.enqueue("s", "2").await;
    let third = world.enqueue("s", "3").await;
    let mut abort = world.abort_of("s");
    abort.clear_queue = true;
    let aborted = world.store.abort(abort).await.unwrap();
    assert_eq!(aborted.receipt.cleared, [id(&second), id(&third)]);
    for turn in &aborted.cleared {
        assert_eq!(turn.state, TurnState::Rejected);
        assert_eq!(turn.error.as_ref().unwrap().cause, Cause::QueueCleared);
    }
    let later = world.enqueue("s", "later").await;
    world.end(fence, TurnEnd::Stopped).await;
    assert_eq!(
        world.turn("s", id(&later)).await.state,
        TurnState::Queued,
        "only what waited at the commit"
    );
    world.done().await;
}

pub async fn a_reset_of_an_idle_session_is_one_commit<E: Engine>() {
    let world = World::<E>::new();
    let unknown = world.store.reset(world.caller("s")).await;
    assert_eq!(unknown.unwrap_err().reason(), "SESSION_NOT_FOUND");
    world.enqueue("s", "1").await;
    world.complete("s", "ok").await;
    let waiting = world.enqueue("s", "2").await;
    let before = world.session("s").await;
    let reset = world.reset("s").await;
    assert_eq!(
        world.kinds_after("s", before.head).await,
        ["turn_ended", "session_reset"]
    );
    assert_eq!(reset.receipt.cleared, [id(&waiting)]);
    assert_eq!(
        reset.cleared[0].error.as_ref().unwrap().cause,
        Cause::SessionReset
    );
    let session = reset.session;
    assert_eq!((session.generation, session.state), (2, SessionState::Idle));
    assert_ne!(session.session_id, before.session_id);
    assert_eq!(session.log_id, before.log_id);
    assert_eq!((session.message_count, session.user_message_count), (0, 0));
    assert_eq!(session.last_message_preview, "");
    let old = world
        .store
        .messages(session.row, 1, None, None, 9)
        .await
        .unwrap();
    assert_eq!(
        old.messages.len(),
        2,
        "old history stays readable by generation"
    );
    world.done().await;
}

pub async fn a_reset_waits_for_the_active_turn<E: Engine>() {
    let world = World::<E>::new();
    let active = world.enqueue("s", "1").await;
    let (fence, _) = world.run("s").await;
    let waiting = world.enqueue("s", "2").await;
    world
        .store
        .update_session(UpdateSession {
            no_approver: None,
            question_ttl: None,
            tool_policy: None,
            memory_namespaces: None,
            caller: world.caller("s"),
            display_name: None,
            labels: None,
            agent: Some("plain".into()),
            cwd: None,
            cwd_refused: None,
            expire_after_idle: None,
            shares: None,
        })
        .await
        .unwrap();
    let pending = world.reset("s").await;
    assert_eq!(pending.session.state, SessionState::Resetting);
    assert_eq!(pending.session.generation, 1);
    assert_eq!(
        world.turn("s", id(&waiting)).await.error.unwrap().cause,
        Cause::SessionReset
    );
    assert_eq!(
        world.turn("s", id(&active)).await.state,
        TurnState::Canceling
    );
    let joined = world.reset("s").await;
    assert_eq!(joined.session.state, SessionState::Resetting);

    let mut old = world.enqueue_of("s", "old");
    old.caller.expected_generation = Some(1);
    assert_eq!(
        world.store.enqueue(old).await.unwrap_err(),
        Refusal::GenerationMismatch { generation: 2 }
    );
    let mut next = world.enqueue_of("s", "next");
    next.caller.expected_generation = Some(2);
    let next = world.store.enqueue(next).await.unwrap();
    let turn = next.turn.as_ref().unwrap();
    assert_eq!((turn.generation, turn.agent.as_str()), (2, "plain"));
    assert!(
        world
            .store
            .start_next(fence, world.now())
            .await
            .unwrap()
            .is_none()
    );

    let before = world.session("s").await.head;
    let ended = world.end(fence, TurnEnd::Stopped).await;
    assert_eq!(
        world.kinds_after("s", before).await,
        ["turn_ended", "session_reset"]
    );
    assert_eq!(ended.turn.error.unwrap().cause, Cause::SessionReset);
    assert_eq!(
        (ended.session.generation, ended.session.agent.as_str()),
        (2, "plain")
    );
    assert_eq!(ended.session.next_agent, "");
    let started = world.start(fence).await;
    assert_eq!(started.turn.turn_id, id(&next));
    assert_eq!(started.user_messages_before, 0, "a fresh conversation");
    world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
    world.done().await;
}

pub async fn a_delete_takes_everything_but_a_tombstone<E: Engine>() {
    let world = World::<E>::new();
    world.enqueue("s", "1").await;
    world.complete("s", "ok").await;
    world.enqueue("s", "2").await;
    let (fence, _) = world.run("s").await;
    let waiting = world.enqueue("s", "3").await;
    let row = fence.session;
    let deleting = world.delete("s").await;
    assert_eq!(deleting.session.state, SessionState::Deleting);
    assert_eq!(deleting.receipt.cleared, [id(&waiting)]);
    let again = world.delete("s").await;
    assert_eq!(again.session.state, SessionState::Deleting);
    for refused in [
        world.store.session(&viewer(), &key("s")).await.unwrap_err(),
        world.store.abort(world.abort_of("s")).await.unwrap_err(),
        world
            .store
            .steer(world.steer_of("s", "x"))
            .await
            .unwrap_err(),
    ] {
        assert_eq!(refused.reason(), "SESSION_NOT_FOUND");
    }
    let early = world.store.finish_delete(fence, world.now()).await;
    assert_eq!(
        early.unwrap_err().reason(),
        "INTERNAL",
        "its turn is active"
    );
    let ended = world.end(fence, TurnEnd::Stopped).await;
    assert_eq!(ended.turn.error.unwrap().cause, Cause::SessionDeleted);
    assert_eq!(ended.session.state, SessionState::Deleting);
    assert_eq!(world.runnable(9).await[0].row, row);
    let session = world.store.finish_delete(fence, world.now()).await.unwrap();
    let once = world.store.finish_delete(fence, world.now()).await.unwrap();
    assert_eq!(once.head, session.head, "session_deleted is written once");
    let log = world.log_of(row).await;
    assert_eq!(super::harness::name(log.last().unwrap()), "session_deleted");
    world.store.purge_session(fence, world.now()).await.unwrap();
    assert_eq!(world.store.session_by_row(row).await.unwrap(), None);
    let gone = world.store.session(&viewer(), &key("s")).await;
    assert_eq!(
        gone.unwrap_err(),
        Refusal::SessionDeleted { key: "s".into() }
    );
    let events = world.store.events(row, Default::default(), 1, 1).await;
    assert_eq!(events.unwrap_err().reason(), "SESSION_DELETED");
    let repeated = world.delete("s").await;
    assert_eq!(repeated.session.state, SessionState::Deleted);
    assert_eq!(repeated.session.log_id, session.log_id);
    let never = world.store.delete_session(world.caller("never")).await;
    assert_eq!(never.unwrap_err().reason(), "SESSION_NOT_FOUND");
    world.done().await;
}

pub async fn the_primary_session_stays<E: Engine>() {
    let world = World::<E>::new();
    let new = NewSession {
        expire_after_idle: Some(1),
        ..NewSession::default()
    };
    let made = world
        .store
        .create_session(world.caller("main"), new)
        .await
        .unwrap();
    assert!(made.session.primary);
    let refused = world.store.delete_session(world.caller("main")).await;
    assert_eq!(
        refused.unwrap_err(),
        Refusal::PrimarySession { key: "main".into() }
    );
    world.pass(hours(1));
    world.store.maintain(world.now()).await.unwrap();
    assert_eq!(world.session("main").await.state, SessionState::Idle);
    world.done().await;
}

pub async fn waiting_turns_can_be_changed_and_taken<E: Engine>() {
    let world = World::<E>::new();
    let active = world.enqueue("s", "active").await;
    world.run("s").await;
    let mut turns = Vec::new();
    for text in ["1", "2", "3"] {
        turns.push(id(&world.enqueue("s", text).await));
    }
    let update = |turn_id, text: Option<&str>, position| UpdateQueued {
        caller: world.caller("s"),
        turn_id,
        text: text.map(str::to_owned),
        position,
    };
    let moved = world
        .store
        .update_queued(update(turns[2], None, Some(0)))
        .await;
    assert_eq!(moved.unwrap().receipt.queue_position, 0);
    assert_eq!(world.waiting("s").await, ["3", "1", "2"]);
    let moved = world
        .store
        .update_queued(update(turns[0], Some("one"), Some(99)))
        .await;
    assert_eq!(moved.unwrap().receipt.queue_position, 2);
    assert_eq!(world.waiting("s").await, ["3", "2", "one"]);
    assert_eq!(world.session("s").await.queue_bytes, 5);
    let large = world
        .store
        .update_queued(update(turns[0], Some(&"x".repeat(1000)), None))
        .await;
    assert_eq!(large.unwrap_err().reason(), "QUEUE_FULL");
    let running = world
        .store
        .update_queued(update(id(&active), Some("x"), None))
        .await;
    assert_eq!(running.unwrap_err().reason(), "TURN_NOT_QUEUED");
    let unknown = world
        .store
        .update_queued(update(Uuid::now_v7(), Some("x"), None))
        .await;
    assert_eq!(unknown.unwrap_err().reason(), "TURN_NOT_FOUND");

    let removed = world
        .store
        .remove_queued(world.caller("s"), turns[1])
        .await
        .unwrap();
    let turn = removed.turn.unwrap();
    assert_eq!(
        (turn.state, turn.error.unwrap().cause),
        (TurnState::Rejected, Cause::Removed)
    );
    let again = world.store.remove_queued(world.caller("s"), turns[1]).await;
    assert_eq!(again.unwrap_err().reason(), "TURN_NOT_QUEUED");
    world.enqueue_with("s", "first", OnBusy::Interrupt).await;
    let cleared = world.store.clear_queue(world.caller("s")).await.unwrap();
    let texts: Vec<_> = cleared
        .cleared
        .iter()
        .map(|turn| turn.text.as_str())
        .collect();
    assert_eq!(texts, ["first", "3", "one"], "in order");
    assert_eq!(world.waiting("s").await, Vec::<String>::new());
    world.done().await;
}
