//! An agent that speaks the Agent Client Protocol behind a whole gateway: what it asks is a question of its turn, and memory's
//! tools are its.

use crate::{
    credential::{enqueue, run},
    support::Gateway,
    world::{self, Caller},
};
use quarterdeck::proto::{self, QuestionKind, QuestionState, TurnState};
use std::process::Command;

/// A gateway whose agent is a scripted one.
fn start(rung: &str, words: &str) -> Gateway {
    // A version manager's shim needs files that an isolated agent does not see.
    let asked = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("the tests need python3");
    let python = String::from_utf8(asked.stdout).expect("its path is text");
    let python = python.trim();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fake_acp.py");
    let config = format!(
        "default_agent = \"mine\"\nisolation = {rung:?}\n[agents.mine]\ndriver = \"acp\"\ncommand = [{python:?}, {script:?}]\n\
         environment = {{ FAKE_ACP = {words:?}, FAKE_ACP_MARKER = \"81\" }}\n"
    );
    world::start_with(&[], &config)
}

async fn awaited(
    caller: &Caller,
    key: &str,
    turn_id: &str,
    or_question: bool,
) -> proto::AwaitTurnResponse {
    let request = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: turn_id.into(),
        wait: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        or_question,
    };
    let answer = caller.gateway().await_turn(request).await;
    answer.expect("known").into_inner()
}

async fn answered(
    caller: &Caller,
    question: &proto::Question,
    answer: proto::Answer,
) -> proto::Question {
    let request = proto::AnswerQuestionRequest {
        session_key: question.session_key.clone(),
        question_id: question.question_id.clone(),
        answer: Some(answer),
        ..Default::default()
    };
    let answered = caller.gateway().answer_question(request).await;
    answered.expect("taken").into_inner().question.expect("it")
}

/// R19: an agent starts the server of its memory tools itself, inside its isolation, and reaches its own session's memory.
#[tokio::test]
async fn it_has_memorys_tools_on_every_rung() {
    for rung in ["none", "landlock", "namespace"] {
        let gateway = start(rung, "servers");
        let caller = Caller::admin(&gateway).await;
        let tools = run(&caller, "s", "tools").await;
        assert!(tools.contains("memory_search"), "{rung}: {tools}");
        run(
            &caller,
            "s",
            r#"call memory_remember {"content":"the pilot boards at noon"}"#,
        )
        .await;
        let found = run(&caller, "s", r#"call memory_search {"query":"pilot"}"#).await;
        assert!(found.contains("noon"), "{rung}: {found}");
    }
}

/// Its conversation is there again when its process was not needed for a while.
#[tokio::test]
async fn it_remembers_over_its_processes() {
    let gateway = start("none", "");
    let caller = Caller::admin(&gateway).await;
    run(&caller, "s", "the word is larboard").await;
    let reload = world::printed(&world::command(&gateway, &["reload"]));
    assert_eq!(reload.1, "");
    assert_eq!(
        run(&caller, "s", "history").await,
        "1 ['\"the word is larboard\"']"
    );
    let opened = run(&caller, "s", "opened").await;
    assert!(opened.contains("session/resume"), "{opened}");
}

/// One that can't find its conversation again is told the stored one, once, and everybody is told so.
#[tokio::test]
async fn one_that_forgets_is_told_the_stored_conversation() {
    let gateway = start("none", "lost");
    let caller = Caller::admin(&gateway).await;
    run(&caller, "s", "the word is larboard").await;
    let told = run(&caller, "s", "prompt before").await;
    assert!(!told.contains("<conversation>"), "it remembers: {told}");
    let reload = world::printed(&world::command(&gateway, &["reload", "s"]));
    assert_eq!(reload.1, "");
    let told = run(&caller, "s", "prompt after").await;
    assert!(told.contains("User: the word is larboard"), "{told}");
    assert!(!told.contains("User: prompt after"), "{told}");
    let told = run(&caller, "s", "prompt again").await;
    assert!(!told.contains("<conversation>"), "{told}");
    let request = proto::ReadEventsRequest {
        session_key: "s".into(),
        kinds: vec!["context_rebuilt".into()],
        ..Default::default()
    };
    let events = caller.gateway().read_events(request).await;
    let events = events.expect("read").into_inner().events;
    let counts: Vec<i32> = events
        .iter()
        .map(|event| match &event.kind {
            Some(proto::gateway_event::Kind::ContextRebuilt(rebuilt)) => rebuilt.message_count,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [4]);
}

/// CONTRACT-2 §11: a fork's agent has a home of its own, where the conversation that it goes on from is not found: it is told
/// that one, once, and everybody is told so.
#[tokio::test]
async fn a_forks_agent_is_told_the_stored_conversation() {
    let gateway = start("none", "");
    let caller = Caller::admin(&gateway).await;
    run(&caller, "s", "the word is larboard").await;
    let fork = proto::ForkSessionRequest {
        session_key: "s".into(),
        new_session_key: "forked".into(),
        ..Default::default()
    };
    caller.gateway().fork_session(fork).await.expect("forked");
    let told = run(&caller, "forked", "prompt after").await;
    assert!(told.contains("User: the word is larboard"), "{told}");
    let told = run(&caller, "forked", "prompt again").await;
    assert!(!told.contains("<conversation>"), "{told}");
    let request = proto::ReadEventsRequest {
        session_key: "forked".into(),
        kinds: vec!["context_rebuilt".into()],
        ..Default::default()
    };
    let events = caller.gateway().read_events(request).await;
    assert_eq!(events.expect("read").into_inner().events.len(), 1);
    // The one that it was forked from goes on as it was.
    assert!(run(&caller, "s", "history").await.starts_with("1 "));
}

/// What an agent asks for waits for a person, and the person's answer reaches it.
#[tokio::test]
async fn its_permissions_are_questions_of_the_turn() {
    let gateway = start("none", "");
    let caller = Caller::admin(&gateway).await;
    for (chosen, says) in [
        ("allow_once-0", "allow_once-0"),
        ("reject_once-2", "reject_once-2"),
    ] {
        let turn_id = enqueue(&caller, "s", "ask").await;
        let waits = awaited(&caller, "s", &turn_id, true).await;
        let turn = waits.turn.expect("a turn");
        assert_eq!(turn.state(), TurnState::WaitingInput);
        let question = &waits.questions[0];
        assert_eq!(question.kind(), QuestionKind::Permission);
        assert_eq!(
            (question.tool_name.as_str(), question.args_json.as_str()),
            ("Bash", r#"{"command":"touch a"}"#)
        );
        let answer = proto::Answer {
            option_id: chosen.into(),
            ..Default::default()
        };
        let question = answered(&caller, question, answer).await;
        assert_eq!(question.state(), QuestionState::Answered);
        let turn = awaited(&caller, "s", &turn_id, false)
            .await
            .turn
            .expect("a turn");
        assert_eq!(
            (turn.state(), turn.response_text.as_str()),
            (TurnState::Completed, says)
        );
    }
    // A denial that the agent ends its turn for is no abort.
    let turn_id = enqueue(&caller, "s", "deny cancelled").await;
    let waits = awaited(&caller, "s", &turn_id, true).await;
    let answer = proto::Answer {
        declined: true,
        ..Default::default()
    };
    answered(&caller, &waits.questions[0], answer).await;
    let turn = awaited(&caller, "s", &turn_id, false)
        .await
        .turn
        .expect("a turn");
    assert_eq!(turn.state(), TurnState::Completed);
}

#[tokio::test]
async fn its_forms_are_filled_and_an_abort_closes_what_it_asked() {
    let gateway = start("none", "");
    let caller = Caller::admin(&gateway).await;
    let turn_id = enqueue(&caller, "s", "form").await;
    let waits = awaited(&caller, "s", &turn_id, true).await;
    assert_eq!(waits.questions[0].kind(), QuestionKind::Form);
    let answer = proto::Answer {
        content_json: r#"{"colour":"blue"}"#.into(),
        ..Default::default()
    };
    answered(&caller, &waits.questions[0], answer).await;
    let turn = awaited(&caller, "s", &turn_id, false)
        .await
        .turn
        .expect("a turn");
    let told: serde_json::Value = serde_json::from_str(&turn.response_text).unwrap();
    assert_eq!(told["content"]["colour"], "blue");

    let turn_id = enqueue(&caller, "s", "two").await;
    awaited(&caller, "s", &turn_id, true).await;
    let abort = proto::AbortRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    caller.gateway().abort(abort).await.expect("it stops");
    let turn = awaited(&caller, "s", &turn_id, false)
        .await
        .turn
        .expect("a turn");
    assert_eq!(turn.state(), TurnState::Canceled);
    let listed = proto::ListQuestionsRequest::default();
    let listed = caller
        .gateway()
        .list_questions(listed)
        .await
        .expect("listed");
    let pending = listed.into_inner().questions;
    assert!(
        pending
            .iter()
            .all(|it| it.state() != QuestionState::Pending),
        "{pending:?}"
    );
}
