//! Commands: what a session is told by a name. Agents' run as turns, the gateway's are other names of its calls, and a
//! prompt is a text unless its agent allows otherwise (CONTRACT-2 §11).

use crate::world::*;
use proto::{Command, CommandSource, TurnState, execute_command_response::Result as Done};

async fn listed(client: &mut Client, key: &str) -> proto::ListCommandsResponse {
    ok!(client.list_commands(ListCommandsRequest { session_key: key }))
}

/// Names of the commands of a source.
fn names(commands: &[Command], source: CommandSource) -> Vec<&str> {
    let of_source = commands.iter().filter(|it| it.source() == source);
    of_source.map(|it| it.name.as_str()).collect()
}

async fn execute(
    client: &mut Client,
    key: &str,
    name: &str,
    arguments: &str,
) -> Result<proto::ExecuteCommandResponse, Status> {
    call!(client.execute_command(ExecuteCommandRequest {
        session_key: key,
        name: name,
        arguments: arguments
    }))
}

/// What a command answered at once.
async fn result(client: &mut Client, key: &str, name: &str, arguments: &str) -> serde_json::Value {
    match execute(client, key, name, arguments)
        .await
        .map(|it| it.result)
    {
        Ok(Some(Done::ResultJson(json))) => serde_json::from_str(&json).expect("JSON"),
        other => panic!("{other:?}"),
    }
}

/// The turn that a command became, at its end.
async fn ended(client: &mut Client, key: &str, name: &str, arguments: &str) -> proto::Turn {
    match execute(client, key, name, arguments)
        .await
        .map(|it| it.result)
    {
        Ok(Some(Done::Turn(turn))) => await_turn(client, key, &turn.turn_id).await,
        other => panic!("{other:?}"),
    }
}

/// FEATURES 6.2 8.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_agents_command_runs_as_a_turn() {
    let (_server, mut client) = shared().await;
    let key = "commands.agent";
    refused(
        execute(&mut client, key, "upper", "x").await,
        Code::NotFound,
        "SESSION_NOT_FOUND",
    );
    ok!(client.create_session(CreateSessionRequest { session_key: key }));
    let before = listed(&mut client, key).await;
    assert!(!before.complete, "its agent never started");
    assert_eq!(
        names(&before.commands, CommandSource::Gateway),
        [
            "compact", "fork", "model", "reload", "reset", "stop", "thinking"
        ]
    );
    // What is not known yet may be there.
    let turn = ended(&mut client, key, "upper", " so it is ").await;
    assert_eq!(
        (
            turn.text.as_str(),
            turn.command.as_str(),
            turn.response_text.as_str()
        ),
        ("/upper so it is", "upper", "SO IT IS")
    );
    let after = listed(&mut client, key).await;
    assert!(after.complete);
    assert_eq!(names(&after.commands, CommandSource::Agent), ["upper"]);
    // What is known to be missing is refused before anything is stored.
    let refusal = execute(&mut client, key, "lower", "").await;
    refused(refusal, Code::NotFound, "COMMAND_NOT_FOUND");
    for name in ["", "/upper", "two\nlines"] {
        let refusal = execute(&mut client, key, name, "").await;
        refused(refusal, Code::InvalidArgument, "INVALID_FIELD");
    }
}

/// FEATURES 6.2 1: the manifest of commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whoever_reads_is_told_that_the_commands_changed() {
    let (_server, mut client) = shared().await;
    let key = "commands.changed";
    ok!(client.create_session(CreateSessionRequest { session_key: key }));
    let mut follow = Follow::live(&mut client, key).await;
    let turn_id = queue(&mut client, key, "!commands=review,memory x").await;
    follow.until("commands_changed").await;
    let second = follow.until("commands_changed").await;
    assert_eq!((second.seq, second.turn_id.as_str()), (0, ""));
    await_turn(&mut client, key, &turn_id).await;
    let commands = listed(&mut client, key).await.commands;
    assert_eq!(names(&commands, CommandSource::Agent), ["review", "memory"]);
    let turn = ended(&mut client, key, "review", "it").await;
    assert_eq!(turn.response_text, "[review: it]");
    // The one that it has no more fails before it is a turn.
    let refusal = execute(&mut client, key, "upper", "x").await;
    refused(refusal, Code::NotFound, "COMMAND_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_repeat_of_a_command_has_one_effect() {
    let (_server, mut client) = shared().await;
    let key = "commands.repeat";
    ok!(client.create_session(CreateSessionRequest { session_key: key }));
    let mut turns = Vec::new();
    for replayed in [false, true] {
        let done = ok!(client.execute_command(ExecuteCommandRequest {
            session_key: key,
            name: "upper",
            arguments: "x",
            request_id: "one"
        }));
        assert_eq!(done.replayed, replayed);
        let Some(Done::Turn(turn)) = done.result else {
            panic!("{done:?}")
        };
        turns.push(turn.turn_id);
    }
    assert_eq!(turns[0], turns[1]);
    let other = call!(client.execute_command(ExecuteCommandRequest {
        session_key: key,
        name: "upper",
        arguments: "y",
        request_id: "one"
    }));
    refused(other, Code::AlreadyExists, "IDEMPOTENCY_CONFLICT");
    let old = call!(client.execute_command(ExecuteCommandRequest {
        session_key: key,
        name: "upper",
        expected_generation: 7i64
    }));
    refused(old, Code::Aborted, "GENERATION_MISMATCH");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_gateways_commands_do_what_its_calls_do() {
    let (_server, mut client) = shared().await;
    let key = "commands.gateway";
    let hung = start(&mut client, key, "!hang x").await;
    assert_eq!(result(&mut client, key, "stop", "").await["aborted"], true);
    let stopped = turn(&mut client, key, &hung).await;
    assert_eq!(stopped.state(), TurnState::Canceled);
    let refusal = execute(&mut client, key, "stop", "now").await;
    refused(refusal, Code::InvalidArgument, "INVALID_FIELD");
    let reset = result(&mut client, key, "reset", "").await;
    assert_eq!(reset["generation"], 2);
    run(&mut client, key, "hello").await;
    let forked = result(&mut client, key, "fork", "commands.fork").await;
    assert_eq!(forked["session_key"], "commands.fork");
    let refusal = execute(&mut client, key, "fork", "no key!").await;
    refused(refusal, Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(
        result(&mut client, key, "reload", "").await["was_awake"],
        true
    );
    let chosen = result(&mut client, key, "model", "echo/deep").await;
    assert_eq!(chosen["model"], "echo/deep");
    let refusal = execute(&mut client, key, "model", "echo/nobody").await;
    refused(refusal, Code::NotFound, "MODEL_NOT_FOUND");
    assert_eq!(result(&mut client, key, "model", "").await["model"], "");
    let refusal = execute(&mut client, key, "thinking", "nobody's").await;
    refused(refusal, Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(
        result(&mut client, key, "thinking", "").await["thinking_level"],
        ""
    );
    let compacted = ended(&mut client, key, "compact", "the names").await;
    assert_eq!(compacted.state(), TurnState::Completed);
    assert_eq!(compacted.text, "/compact the names");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_compaction_is_a_turn_with_its_events() {
    let (_server, mut client) = shared().await;
    let key = "commands.compact";
    let missing = call!(client.compact_session(CompactSessionRequest { session_key: key }));
    refused(missing, Code::NotFound, "SESSION_NOT_FOUND");
    run(&mut client, key, "hello").await;
    let accepted = ok!(client.compact_session(CompactSessionRequest {
        session_key: key,
        instructions: "keep the names"
    }));
    let turn_id = accepted.turn.expect("a turn").turn_id;
    let turn = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(turn.state(), TurnState::Completed);
    let events = of_turn(&mut client, key, &turn_id).await;
    let summary = events.iter().find_map(|event| match &event.kind {
        Some(Kind::CompactionCompleted(completed)) => Some(completed.summary.as_str()),
        _ => None,
    });
    assert_eq!(summary, Some("keep the names"));
    assert!(kinds(&events).contains(&"compaction_started"));
}

/// DEFECTS 33: a reload of one session reloaded everyone's agent.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_is_one_sessions_and_waits_for_its_turn() {
    let (_server, mut client) = shared().await;
    let (key, other) = ("commands.reload", "commands.reload.other");
    for key in [key, other] {
        run(&mut client, key, "!commands=mine x").await;
    }
    let hung = start(&mut client, key, "!hang x").await;
    let told = ok!(client.reload_session(ReloadSessionRequest { session_key: key }));
    assert!(told.was_awake);
    assert_eq!(
        turn(&mut client, key, &hung).await.state(),
        TurnState::Running
    );
    ok!(client.abort(AbortRequest { session_key: key }));
    // A fresh echo has its first commands again; the other session's is the one from before.
    run(&mut client, key, "x").await;
    let commands = listed(&mut client, key).await.commands;
    assert_eq!(names(&commands, CommandSource::Agent), ["upper"]);
    run(&mut client, other, "x").await;
    let commands = listed(&mut client, other).await.commands;
    assert_eq!(names(&commands, CommandSource::Agent), ["mine"]);
    let missing = call!(client.reload_session(ReloadSessionRequest {
        session_key: "commands.nobody"
    }));
    refused(missing, Code::NotFound, "SESSION_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_prompt_is_a_text_unless_its_agent_allows_the_command() {
    let gateway = Gateway::with(config("[agents.echo]\ncommands_allowed = [\"upper\"]\n"));
    let mut client = gateway.client().await;
    for (nth, (prompt, command, answer)) in [
        ("/upper so", "upper", "SO"),
        ("/uppers so", "", "/uppers so"),
        ("/compact so", "", "/compact so"),
        (" /upper so", "", " /upper so"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("s{nth}");
        let turn = run(&mut client, &key, prompt).await;
        assert_eq!(
            (turn.command.as_str(), turn.response_text.as_str()),
            (command, answer)
        );
    }
    // Whoever changes a waiting command makes a text of it, unless that is one that is allowed.
    let key = "changed";
    start(&mut client, key, "!hang x").await;
    let waits = queue(&mut client, key, "/upper so").await;
    for (text, command) in [
        ("/compact", ""),
        ("/upper this", "upper"),
        ("/upperthis", ""),
    ] {
        let changed = ok!(client.update_queued(UpdateQueuedRequest {
            session_key: key,
            turn_id: waits.as_str(),
            text: text.to_owned()
        }));
        assert_eq!(changed.turn.expect("a turn").command, command, "{text}");
    }
    ok!(client.abort(AbortRequest { session_key: key }));
    let turn = await_turn(&mut client, key, &waits).await;
    assert_eq!(turn.response_text, "/upperthis");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_waiting_command_is_one_after_a_restart_too() {
    let mut gateway = Gateway::with(config("drain_timeout = \"0s\"\n"));
    let mut client = gateway.client().await;
    let key = "restarted";
    start(&mut client, key, "!hang x").await;
    let done = execute(&mut client, key, "upper", "so")
        .await
        .expect("accepted");
    let Some(Done::Turn(waits)) = done.result else {
        panic!("{done:?}")
    };
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    let turn = await_turn(&mut client, key, &waits.turn_id).await;
    assert_eq!(
        (turn.command.as_str(), turn.response_text.as_str()),
        ("upper", "SO")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_command_is_taken_while_draining() {
    let mut gateway = Gateway::with(config("drain_timeout = \"60s\"\n"));
    let mut client = gateway.client().await;
    let key = "drained";
    start(&mut client, key, "!hang x").await;
    let mut follow = Follow::live(&mut client, key).await;
    gateway.terminate();
    follow.until("draining").await;
    for name in ["upper", "compact", "reload", "stop"] {
        let refusal = execute(&mut client, key, name, "").await;
        refused(refusal, Code::Unavailable, "DRAINING");
    }
    let compact = call!(client.compact_session(CompactSessionRequest { session_key: key }));
    refused(compact, Code::Unavailable, "DRAINING");
    let reload = call!(client.reload_session(ReloadSessionRequest { session_key: key }));
    refused(reload, Code::Unavailable, "DRAINING");
    ok!(client.abort(AbortRequest { session_key: key }));
    assert_eq!(gateway.wait(), Some(0));
}
