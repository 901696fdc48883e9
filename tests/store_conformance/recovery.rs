//! R2, R12, R18: what a crash leaves, and how it is settled.

use super::harness::{Engine, World, began, checkpoint, decode, id, said};
use quarterdeck::{
    domain::{
        Event,
        event::{BlockKind, Json, Role},
        message::Part,
        session::SessionState,
        turn::{Cause, OnInterrupt, StopReason, TurnState},
    },
    proto::gateway_event::Kind,
    store::{OnBusy, Recovered, TurnEnd, Write},
};
use uuid::Uuid;

pub async fn a_running_turn_ends_interrupted<E: Engine>() {
    let mut world = World::<E>::new();
    let running = world.enqueue("s", "1").await;
    let (old, _) = world.run("s").await;
    world
        .append(old, said(Uuid::now_v7(), "half an answer"))
        .await;
    world.enqueue("s", "2").await;
    world.crash();
    let recovered = world.store.recover(world.now()).await.unwrap();
    assert_eq!(
        recovered,
        Recovered {
            ended: 1,
            ..Recovered::default()
        }
    );
    let turn = world.turn("s", id(&running)).await;
    assert_eq!(turn.state, TurnState::Interrupted);
    assert_eq!(turn.stop_reason, Some(StopReason::Aborted));
    assert_eq!(turn.error.unwrap().cause, Cause::GatewayCrashed);
    assert_eq!(turn.response_text, "half an answer");
    let late = world.store.append(old, Vec::new(), world.now()).await;
    assert_eq!(late.unwrap_err().reason(), "FENCED");
    assert_eq!(
        world.runnable(9).await[0].key.as_str(),
        "s",
        "queued turns run on"
    );
    assert_eq!(world.run("s").await.1.turn.text, "2");
    world.done().await;
}

pub async fn open_items_are_closed_from_their_checkpoints<E: Engine>() {
    let mut world = World::<E>::new();
    world.enqueue("s", "1").await;
    let (fence, started) = world.run("s").await;
    let (message, tool, silent) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    world
        .append(
            fence,
            vec![
                began(message),
                checkpoint(message, BlockKind::Thinking, 0, "first"),
                Write::Event {
                    item_id: Some(message),
                    event: Event::ThinkingCompleted {
                        content_index: 0,
                        text: "first thought".into(),
                        partial: false,
                    },
                },
                checkpoint(message, BlockKind::Thinking, 1, "second thou"),
                checkpoint(message, BlockKind::Text, 2, "the ans"),
                checkpoint(message, BlockKind::Text, 2, "the answe"),
                checkpoint(message, BlockKind::ToolInput, 3, "{\"a"),
                Write::Event {
                    item_id: Some(tool),
                    event: Event::ToolStarted {
                        tool_call_id: "c".into(),
                        tool_name: "ls".into(),
                        args: Json {
                            text: "{}".into(),
                            full_size: None,
                        },
                    },
                },
                checkpoint(tool, BlockKind::ToolResult, 0, "[1]"),
            ],
        )
        .await;
    // An item that is closed takes nothing with it, and a late checkpoint opens nothing.
    world.append(fence, said(silent, "whole")).await;
    let late = checkpoint(silent, BlockKind::Text, 0, "late");
    let head = world.append(fence, vec![late]).await.head;
    world.crash();
    world.store.recover(world.now()).await.unwrap();
    assert_eq!(
        world.kinds_after("s", head).await,
        [
            "thinking_completed",
            "message_completed",
            "tool_completed",
            "turn_ended"
        ]
    );
    let log = world.log("s").await;
    let after: Vec<Kind> = log.iter().filter(|e| e.seq > head).map(decode).collect();
    let Kind::ThinkingCompleted(thinking) = &after[0] else {
        panic!()
    };
    assert_eq!(
        (thinking.text.as_str(), thinking.partial),
        ("second thou", true)
    );
    let Kind::MessageCompleted(completed) = &after[1] else {
        panic!()
    };
    assert!(completed.partial);
    assert_eq!(completed.text, "the answe");
    let Kind::ToolCompleted(tool_completed) = &after[2] else {
        panic!()
    };
    assert!(tool_completed.partial && tool_completed.is_error);
    assert_eq!(tool_completed.result_json, "[1]");

    let page = world
        .store
        .messages(started.session.row, 1, None, None, 9)
        .await
        .unwrap();
    let partial = page.messages.iter().find(|m| m.item_id == message).unwrap();
    assert!(partial.partial);
    let thinking = |content_index, text: &str| Part::Thinking {
        content_index,
        text: text.into(),
    };
    assert_eq!(
        partial.parts,
        [
            thinking(0, "first thought"),
            thinking(1, "second thou"),
            Part::Text {
                content_index: 2,
                text: "the answe".into()
            }
        ]
    );
    let tool = page.messages.iter().find(|m| m.item_id == tool).unwrap();
    assert_eq!(tool.role, Role::Tool);
    world.done().await;
}

pub async fn retry_starts_again_until_it_is_used_up<E: Engine>() {
    let mut world = World::<E>::new();
    let mut command = world.enqueue_of("s", "again");
    command.on_interrupt = Some(OnInterrupt::Retry);
    let committed = world.store.enqueue(command).await.unwrap();
    world.enqueue("s", "waits").await;
    for attempt in 1..=3 {
        let (_, started) = world.run("s").await;
        assert_eq!(
            started.turn.turn_id,
            id(&committed),
            "at the head of the queue"
        );
        assert_eq!(started.turn.attempt, attempt);
        assert_eq!(started.user_messages_before, 0);
        world.crash();
        let recovered = world.store.recover(world.now()).await.unwrap();
        assert_eq!(recovered.requeued, u64::from(attempt < 3));
        assert_eq!(recovered.ended, u64::from(attempt == 3));
    }
    let kinds = world.kinds("s").await;
    let count = |name| kinds.iter().filter(|kind| **kind == name).count();
    assert_eq!(count("turn_started"), 3);
    assert_eq!(count("retry_scheduled"), 2);
    assert_eq!(count("message_started"), 1, "the prompt is said once");
    let turn = world.turn("s", id(&committed)).await;
    assert_eq!(turn.state, TurnState::Failed);
    assert_eq!(turn.error.unwrap().cause, Cause::MaxAttempts);

    // The agent's own choice, where the turn does not say.
    let mut command = world.enqueue_of("t", "x");
    command.new_session.agent = "again".into();
    let other = world.store.enqueue(command).await.unwrap();
    world.run("t").await;
    world.crash();
    world.store.recover(world.now()).await.unwrap();
    assert_eq!(world.turn("t", id(&other)).await.state, TurnState::Queued);
    world.done().await;
}

pub async fn what_was_being_stopped_ends_as_asked<E: Engine>() {
    let mut world = World::<E>::new();
    let mut turns = Vec::new();
    for session in ["abort", "reset", "delete"] {
        let mut command = world.enqueue_of(session, "1");
        command.on_interrupt = Some(OnInterrupt::Retry);
        turns.push(id(&world.store.enqueue(command).await.unwrap()));
        world.run(session).await;
    }
    world.abort("abort").await;
    world.reset("reset").await;
    world.enqueue("reset", "of the next generation").await;
    let deleting = world.delete("delete").await.session.row;
    world.crash();
    let recovered = world.store.recover(world.now()).await.unwrap();
    assert_eq!(
        recovered,
        Recovered {
            ended: 3,
            requeued: 0,
            reset: 1
        }
    );
    let aborted = world.turn("abort", turns[0]).await;
    assert_eq!(aborted.state, TurnState::Canceled, "never retried");
    assert_eq!(aborted.error.unwrap().cause, Cause::Aborted);
    let reset = world.session("reset").await;
    assert_eq!((reset.generation, reset.state), (2, SessionState::Idle));
    let (_, started) = world.run("reset").await;
    assert_eq!(started.turn.generation, 2);
    let session = world.store.session_by_row(deleting).await.unwrap().unwrap();
    assert_eq!(session.state, SessionState::Deleting);
    assert_eq!(session.active_turn, None);
    assert_eq!(
        world.runnable(9).await[0].row,
        deleting,
        "an owner goes on with the Delete"
    );
    world.done().await;
}

pub async fn steers_of_a_lost_turn_are_requeued<E: Engine>() {
    let mut world = World::<E>::new();
    world.enqueue("s", "1").await;
    let (fence, _) = world.run("s").await;
    let given = world.steer("s", "given").await.receipt.steer_id.unwrap();
    let waiting = world
        .steer("s", "not given")
        .await
        .receipt
        .steer_id
        .unwrap();
    world
        .append(fence, vec![Write::SteerGiven { steer_id: given }])
        .await;
    world.enqueue("s", "2").await;
    world.crash();
    world.store.recover(world.now()).await.unwrap();
    assert_eq!(world.waiting("s").await, ["given", "not given", "2"]);
    let requeued: Vec<(String, bool)> = world
        .log("s")
        .await
        .iter()
        .filter_map(|event| match decode(event) {
            Kind::SteerRequeued(steer) => Some((steer.steer_id, steer.possibly_applied)),
            _ => None,
        })
        .collect();
    assert_eq!(
        requeued,
        [(given.to_string(), true), (waiting.to_string(), false)]
    );
    world.done().await;
}

pub async fn recovery_is_idempotent_and_leaves_this_life_alone<E: Engine>() {
    let mut world = World::<E>::new();
    world.enqueue("s", "1").await;
    world.run("s").await;
    world.crash();
    world.store.recover(world.now()).await.unwrap();
    let settled = world.log("s").await;
    let nothing = Recovered::default();
    assert_eq!(world.store.recover(world.now()).await.unwrap(), nothing);
    world.enqueue("s", "2").await;
    let (fence, _) = world.run("s").await;
    assert_eq!(
        world.store.recover(world.now()).await.unwrap(),
        nothing,
        "a turn of this life is not lost"
    );
    world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
    world.crash();
    assert_eq!(world.store.recover(world.now()).await.unwrap(), nothing);
    let log = world.log("s").await;
    assert_eq!(log[..settled.len()], settled, "R4: immutable");
    world.done().await;
}

pub async fn many_sessions_recover_in_batches<E: Engine>() {
    let mut world = World::<E>::new();
    for number in 0..300 {
        let session = format!("s{number}");
        world.enqueue(&session, "1").await;
        world.run(&session).await;
    }
    world.crash();
    // The first life after the crash dies after one batch: its caller is gone, the commits stand.
    {
        let store = world.store.clone();
        let now = world.now();
        let recovery = tokio::spawn(async move { store.recover(now).await });
        world.store.ping().await.unwrap();
        recovery.abort();
        let _ = recovery.await;
        // A process that is dead writes nothing beside the next one: what this one had queued is done.
        world.store.ping().await.unwrap();
    }
    world.crash();
    world.store.recover(world.now()).await.unwrap();
    for number in 0..300 {
        let session = world.session(&format!("s{number}")).await;
        assert_eq!(session.state, SessionState::Idle);
    }
    world.done().await;
}

pub async fn a_retry_taken_from_the_queue_ends_canceled<E: Engine>() {
    let mut world = World::<E>::new();
    let mut command = world.enqueue_of("s", "again");
    command.on_interrupt = Some(OnInterrupt::Retry);
    let committed = world.store.enqueue(command).await.unwrap();
    world.run("s").await;
    world.crash();
    world.store.recover(world.now()).await.unwrap();
    assert_eq!(
        world.turn("s", id(&committed)).await.state,
        TurnState::Queued
    );
    let busy = world.try_enqueue("s", "x", OnBusy::Reject).await;
    assert_eq!(busy.unwrap_err().reason(), "SESSION_BUSY");
    let cleared = world.store.clear_queue(world.caller("s")).await.unwrap();
    assert_eq!(cleared.cleared[0].state, TurnState::Canceled);
    assert_eq!(
        cleared.cleared[0].error.as_ref().unwrap().cause,
        Cause::QueueCleared
    );
    world.done().await;
}
