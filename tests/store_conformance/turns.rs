//! A turn's life under its owner.

use super::harness::{Engine, World, attachment, began, checkpoint, decode, hours, id, said};
use quarterdeck::{
    domain::{
        Event, Refusal,
        client_tool::ClientTool,
        event::{BlockKind, Json, Role},
        message::Part,
        session::SessionState,
        turn::{Cause, StopReason, TurnState, Usage},
    },
    proto::gateway_event::Kind,
    store::{NewSession, OnBusy, Started, TurnEnd, Write},
};
use uuid::Uuid;

pub async fn a_start_writes_the_turn_and_its_message<E: Engine>() {
    let world = World::<E>::new();
    let mut command = world.enqueue_of("s", "hi");
    command.attachments.push(attachment("f.txt", "content"));
    let committed = world.store.enqueue(command).await.unwrap();
    world.enqueue("s", "again").await;
    let (fence, started) = world.run("s").await;
    assert_eq!(started.turn.turn_id, id(&committed));
    assert_eq!((started.turn.attempt, started.user_messages_before), (1, 0));
    assert_eq!(started.turn.trace_context, "trace of hi");
    assert_eq!(&started.attachments[0].data[..], b"content");
    assert_eq!(started.session.state, SessionState::Running);
    assert_eq!(started.session.active_turn, Some(id(&committed)));
    assert_eq!(
        (started.session.queue_depth, started.session.message_count),
        (1, 1)
    );
    assert_eq!(
        world.kinds_after("s", 3).await,
        ["turn_started", "message_started"]
    );
    let nothing = world.store.start_next(fence, world.now()).await.unwrap();
    assert!(nothing.is_none(), "one turn runs at a time");
    let active = world.store.active_turn(started.session.row).await.unwrap();
    assert_eq!(active, Some(started.turn));
    world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
    let second = world.start(fence).await;
    assert_eq!(second.user_messages_before, 1);
    world.done().await;
}

/// What a turn is to answer with and the tools of its caller come with each start; what it answered stays with its end, where
/// that is a good one. All of it is counted, see the check at the end.
pub async fn what_a_turn_is_to_answer_with_comes_with_its_start<E: Engine>() {
    let mut world = World::<E>::new();
    let tool = |name: &str| ClientTool {
        name: name.into(),
        description: "d".into(),
        schema_json: "{}".into(),
    };
    let named = |started: &Started| -> Vec<String> {
        let tools = started.client_tools.iter();
        tools.map(|it| it.name.clone()).collect()
    };
    let new = NewSession {
        agent: "again".into(),
        client_tools: vec![tool("session's")],
        ..NewSession::default()
    };
    let caller = world.caller("s");
    world.store.create_session(caller, new).await.unwrap();
    let mut command = world.enqueue_of("s", "one");
    command.output_schema = "{}".into();
    command.client_tools = vec![tool("turn's")];
    world.store.enqueue(command).await.unwrap();
    let (_, started) = world.run("s").await;
    assert_eq!(started.output_schema, "{}");
    assert_eq!(named(&started), ["turn's"]);
    // Another start of it has the same.
    world.crash();
    world.store.recover(world.now()).await.unwrap();
    let (fence, started) = world.run("s").await;
    assert_eq!(
        (started.turn.attempt, named(&started)),
        (2, vec!["turn's".to_owned()])
    );
    assert_eq!(started.output_schema, "{}");
    let output = |text: &str| Write::Output {
        output_json: text.into(),
    };
    let end = TurnEnd::Completed(StopReason::Stop);
    let ended = world
        .end_with(fence, vec![output("{\"n\":1}")], end, "said")
        .await;
    assert_eq!(ended.turn.output_json, "{\"n\":1}");
    assert_eq!(world.turn("s", ended.turn.turn_id).await, ended.turn);

    world.enqueue("s", "two").await;
    let started = world.start(fence).await;
    assert_eq!(
        (started.output_schema.as_str(), named(&started)),
        ("", vec!["session's".to_owned()])
    );
    let end = TurnEnd::Failed(Cause::OutputInvalid, "why".into());
    let ended = world.end_with(fence, vec![output("1")], end, "").await;
    assert_eq!(
        (ended.turn.output_json.as_str(), ended.turn.state),
        ("", TurnState::Failed)
    );
    world.done().await;
}

pub async fn what_an_agent_did_becomes_events_and_messages<E: Engine>() {
    let world = World::<E>::new();
    world.enqueue("s", "hi").await;
    let (fence, started) = world.run("s").await;
    let before = started.session.head;
    let (message, tool) = (Uuid::now_v7(), Uuid::now_v7());
    world
        .append(
            fence,
            vec![
                began(message),
                checkpoint(message, BlockKind::Thinking, 0, "hm"),
            ],
        )
        .await;
    let call = |result: &str| Part::ToolCall {
        tool_call_id: "c".into(),
        tool_name: "ls".into(),
        args: Json {
            text: "{}".into(),
            full_size: None,
        },
        result: Json {
            text: result.into(),
            full_size: None,
        },
        is_error: false,
    };
    let mut writes = said(message, "the answer");
    writes.remove(0);
    writes.extend([
        Write::Event {
            item_id: Some(tool),
            event: Event::ToolStarted {
                tool_call_id: "c".into(),
                tool_name: "ls".into(),
                args: Json::default(),
            },
        },
        Write::Event {
            item_id: Some(tool),
            event: Event::ToolCompleted {
                tool_call_id: "c".into(),
                tool_name: "ls".into(),
                result: Json::default(),
                is_error: false,
                partial: false,
                attachments: vec![],
            },
        },
        Write::Message {
            item_id: tool,
            role: Role::Tool,
            parts: vec![call("[]")],
            partial: false,
            continued: false,
        },
        Write::Usage(Box::new(quarterdeck::domain::usage::UsageReport {
            usage: Usage {
                input_tokens: 3,
                model_calls: 1,
                ..Usage::default()
            },
            model: "m1".into(),
            ..Default::default()
        })),
    ]);
    let session = world.append(fence, writes).await;
    assert_eq!(
        world.kinds_after("s", before).await,
        [
            "message_started",
            "message_completed",
            "tool_started",
            "tool_completed",
            "usage_recorded"
        ]
    );
    assert_eq!((session.message_count, session.user_message_count), (3, 1));
    assert_eq!(session.last_message_preview, "the answer");
    assert_eq!(
        (session.usage.input_tokens, session.usage.model_calls),
        (3, 1)
    );
    let ended = world
        .end_with(
            fence,
            Vec::new(),
            TurnEnd::Completed(StopReason::Length),
            "the answer",
        )
        .await;
    assert_eq!(ended.turn.usage.input_tokens, 3);
    assert_eq!(ended.turn.model, "m1");
    assert_eq!(ended.turn.response_text, "the answer");
    assert_eq!(ended.turn.stop_reason, Some(StopReason::Length));
    let page = world
        .store
        .messages(session.row, 1, None, None, 10)
        .await
        .unwrap();
    let roles: Vec<_> = page.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool]);
    assert_eq!(page.messages[2].parts, [call("[]")]);
    assert_eq!(
        page.messages[1].seq,
        before + 2,
        "its completing event's seq"
    );
    world.done().await;
}

pub async fn the_table_of_ends<E: Engine>() {
    let world = World::<E>::new();
    let failed = |cause: Cause| TurnEnd::Failed(cause, "why".to_owned());
    let completed = || TurnEnd::Completed(StopReason::ToolUse);
    type Row = (bool, TurnEnd, TurnState, Option<Cause>, Option<StopReason>);
    let rows: Vec<Row> = vec![
        (
            false,
            completed(),
            TurnState::Completed,
            None,
            Some(StopReason::ToolUse),
        ),
        (
            false,
            failed(Cause::AgentError),
            TurnState::Failed,
            Some(Cause::AgentError),
            Some(StopReason::Error),
        ),
        (
            false,
            failed(Cause::TurnTimeout),
            TurnState::Failed,
            Some(Cause::TurnTimeout),
            Some(StopReason::Aborted),
        ),
        (
            false,
            failed(Cause::Draining),
            TurnState::Interrupted,
            Some(Cause::Draining),
            Some(StopReason::Aborted),
        ),
        (
            true,
            completed(),
            TurnState::Canceled,
            Some(Cause::Aborted),
            Some(StopReason::Aborted),
        ),
        (
            true,
            failed(Cause::AgentExited),
            TurnState::Canceled,
            Some(Cause::Aborted),
            Some(StopReason::Aborted),
        ),
        (
            true,
            TurnEnd::Stopped,
            TurnState::Canceled,
            Some(Cause::Aborted),
            Some(StopReason::Aborted),
        ),
        (
            true,
            failed(Cause::StopUnproven),
            TurnState::Failed,
            Some(Cause::StopUnproven),
            Some(StopReason::Error),
        ),
    ];
    for (aborted, end, state, cause, stop_reason) in rows {
        let committed = world.enqueue("s", "x").await;
        let (fence, _) = world.run("s").await;
        if aborted {
            assert!(world.abort("s").await.receipt.stopping);
        }
        let turn = world.end(fence, end.clone()).await.turn;
        assert_eq!(turn.state, state, "{end:?}");
        assert_eq!(
            turn.error.as_ref().map(|error| error.cause),
            cause,
            "{end:?}"
        );
        assert_eq!(turn.stop_reason, stop_reason, "{end:?}");
        assert_eq!(turn.cancel, None);
        assert_eq!(world.turn("s", id(&committed)).await, turn);
        let log = world.log("s").await;
        let Kind::TurnEnded(event) = decode(log.last().unwrap()) else {
            panic!("a turn's last event is turn_ended")
        };
        assert_eq!(event.turn.unwrap().turn_id, turn.turn_id.to_string());
        assert_eq!(world.session("s").await.state, SessionState::Idle);
    }
    world.done().await;
}

pub async fn unapplied_steers_become_turns_ahead_of_all_but_interrupts<E: Engine>() {
    let world = World::<E>::new();
    world.enqueue("s", "active").await;
    let (fence, _) = world.run("s").await;
    let first = world.steer("s", "steer 1").await;
    world.steer("s", "steer 2").await;
    world.enqueue("s", "waits").await;
    world
        .enqueue_with("s", "interrupt", OnBusy::Interrupt)
        .await;
    let before = world.session("s").await.head;
    world.end(fence, TurnEnd::Stopped).await;
    assert_eq!(
        world.waiting("s").await,
        ["interrupt", "steer 1", "steer 2", "waits"]
    );
    assert_eq!(
        world.kinds_after("s", before).await,
        [
            "steer_requeued",
            "steer_requeued",
            "turn_ended",
            "turn_queued",
            "turn_queued"
        ]
    );
    let steer_id = first.receipt.steer_id.unwrap();
    let turn = world.turn("s", steer_id).await;
    assert_eq!(
        (turn.state, turn.text.as_str()),
        (TurnState::Queued, "steer 1")
    );
    assert_eq!(turn.trace_context, "trace of steer 1");
    world.done().await;
}

pub async fn only_a_death_leaves_open_whether_a_steer_was_taken<E: Engine>() {
    let world = World::<E>::new();
    let died = || TurnEnd::Failed(Cause::AgentExited, String::new());
    let failed = || TurnEnd::Failed(Cause::AgentError, String::new());
    for (session, end, possibly) in [
        ("completed", TurnEnd::Completed(StopReason::Stop), false),
        ("failed", failed(), false),
        ("died", died(), true),
    ] {
        world.enqueue(session, "active").await;
        let (fence, _) = world.run(session).await;
        let steer_id = world
            .steer(session, "steer")
            .await
            .receipt
            .steer_id
            .unwrap();
        world
            .append(fence, vec![Write::SteerGiven { steer_id }])
            .await;
        world.end(fence, end).await;
        let requeued = world
            .log(session)
            .await
            .iter()
            .find_map(|event| match decode(event) {
                Kind::SteerRequeued(steer) => Some(steer.possibly_applied),
                _ => None,
            });
        assert_eq!(requeued, Some(possibly), "{session}");
    }
    world.done().await;
}

pub async fn a_stop_that_clears_rejects_unapplied_steers<E: Engine>() {
    let world = World::<E>::new();
    for (session, cause) in [
        ("abort", Cause::QueueCleared),
        ("reset", Cause::SessionReset),
        ("delete", Cause::SessionDeleted),
    ] {
        world.enqueue(session, "active").await;
        let (fence, _) = world.run(session).await;
        let steer = world
            .steer(session, "steer")
            .await
            .receipt
            .steer_id
            .unwrap();
        match session {
            "abort" => {
                let mut abort = world.abort_of(session);
                abort.clear_queue = true;
                world.store.abort(abort).await.unwrap();
            }
            "reset" => drop(world.reset(session).await),
            _ => drop(world.delete(session).await),
        }
        world.end(fence, TurnEnd::Stopped).await;
        let log = world.log_of(fence.session).await;
        let ended = log.iter().rev().find_map(|event| match decode(event) {
            Kind::TurnEnded(ended) if event.turn_id == Some(steer) => ended.turn,
            _ => None,
        });
        let ended = ended.expect("its turn is rejected, so that nobody waits for ever");
        assert_eq!(ended.error.unwrap().reason, cause.as_str(), "{session}");
        assert_eq!(
            world
                .store
                .session_by_row(fence.session)
                .await
                .unwrap()
                .unwrap()
                .queue_depth,
            0
        );
    }
    world.done().await;
}

pub async fn an_applied_steer_is_a_message_of_its_turn<E: Engine>() {
    let world = World::<E>::new();
    let active = world.enqueue("s", "active").await;
    let (fence, _) = world.run("s").await;
    let mut command = world.steer_of("s", "look here");
    command.attachments.push(attachment("f", "content"));
    let steer_id = world
        .store
        .steer(command)
        .await
        .unwrap()
        .receipt
        .steer_id
        .unwrap();
    let second = world.steer("s", "second").await.receipt.steer_id.unwrap();
    let pending = world.store.pending_steers(fence).await.unwrap();
    assert_eq!(pending.len(), 2);
    assert_eq!(pending[0].text, "look here");
    assert_eq!(&pending[0].attachments[0].data[..], b"content");
    world
        .append(fence, vec![Write::SteerGiven { steer_id }])
        .await;
    let pending = world.store.pending_steers(fence).await.unwrap();
    assert_eq!(pending.len(), 1, "a given steer is not given again");
    world
        .append(fence, vec![Write::SteerGiven { steer_id: second }])
        .await;
    world
        .append(fence, vec![Write::SteerReturned { steer_id: second }])
        .await;
    assert_eq!(world.store.pending_steers(fence).await.unwrap().len(), 1);
    let before = world.session("s").await.head;
    let session = world
        .append(fence, vec![Write::SteerApplied { steer_id }])
        .await;
    assert_eq!(
        world.kinds_after("s", before).await,
        ["steer_applied", "message_started"]
    );
    assert_eq!((session.message_count, session.user_message_count), (2, 2));
    assert_eq!(session.last_message_preview, "look here");
    let again = world
        .store
        .append(fence, vec![Write::SteerApplied { steer_id }], world.now())
        .await;
    assert_eq!(
        again.unwrap_err().reason(),
        "INTERNAL",
        "exactly one of the two"
    );
    world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
    assert_eq!(world.waiting("s").await, ["second"]);
    let page = world
        .store
        .messages(session.row, 1, None, None, 9)
        .await
        .unwrap();
    assert_eq!(page.messages[1].turn_id, id(&active));
    world.done().await;
}

pub async fn a_fenced_owner_writes_nothing<E: Engine>() {
    let world = World::<E>::new();
    world.enqueue("s", "1").await;
    let (old, _) = world.run("s").await;
    let new = world.claim("s").await;
    assert!(new.epoch > old.epoch);
    let before = world.session("s").await;
    let now = world.now();
    let fenced = Refusal::Fenced;
    let store = &world.store;
    let writes = said(Uuid::now_v7(), "late");
    assert_eq!(store.append(old, writes, now).await.unwrap_err(), fenced);
    assert_eq!(store.start_next(old, now).await.unwrap_err(), fenced);
    assert_eq!(store.pending_steers(old).await.unwrap_err(), fenced);
    let ended = store.end_turn(old, Vec::new(), TurnEnd::Stopped, String::new(), now);
    assert_eq!(ended.await.unwrap_err(), fenced);
    assert_eq!(store.finish_delete(old, now).await.unwrap_err(), fenced);
    assert_eq!(store.purge_session(old, now).await.unwrap_err(), fenced);
    assert_eq!(world.session("s").await, before);
    world.end(new, TurnEnd::Completed(StopReason::Stop)).await;
    let late = world
        .store
        .append(new, said(Uuid::now_v7(), "late"), now)
        .await;
    assert_eq!(late.unwrap_err().reason(), "INTERNAL", "no turn is active");
    world.done().await;
}

pub async fn turns_that_waited_too_long_expire<E: Engine>() {
    let world = World::<E>::new();
    let expiring = |text: &str| {
        let mut command = world.enqueue_of("s", text);
        command.queue_ttl = Some(hours(1));
        command
    };
    let first = world.store.enqueue(expiring("1")).await.unwrap();
    world.enqueue("s", "2").await;
    assert_eq!(world.store.expire_queued(world.now()).await.unwrap(), 0);
    world.pass(hours(1));
    let (fence, started) = world.run("s").await;
    assert_eq!(started.turn.text, "2", "an expired turn never starts");
    let turn = world.turn("s", id(&first)).await;
    assert_eq!(turn.state, TurnState::Expired);
    assert_eq!(turn.error.unwrap().cause, Cause::QueueTtl);
    assert_eq!(turn.stop_reason, None);
    let third = world.store.enqueue(expiring("3")).await.unwrap();
    world.pass(hours(1));
    assert_eq!(world.store.expire_queued(world.now()).await.unwrap(), 1);
    assert_eq!(world.turn("s", id(&third)).await.state, TurnState::Expired);
    world.end(fence, TurnEnd::Completed(StopReason::Stop)).await;
    assert!(
        world
            .store
            .start_next(fence, world.now())
            .await
            .unwrap()
            .is_none()
    );
    world.done().await;
}
