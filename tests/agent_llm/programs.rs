//! Servers of tools that are programs: one for each session, kept as an agent's process is; they ask people, crash, and are ended.

use crate::{
    eventually,
    llm_support::Model,
    says, session,
    support::{Client, Gateway, Options, await_turn, enqueue},
};
use quarterdeck::proto::{self, QuestionKind, TurnState};
use serde_json::Value;
use std::{fs, process::Command};

fn start(model: &Model, marker: &str) -> Gateway {
    // A version manager's shim needs files that an isolated program does not see.
    let asked = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("the tests need python3");
    let python = String::from_utf8(asked.stdout).expect("its path is text");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mcp_stdio.py");
    let config = format!(
        "[agents.a]\ndriver = \"llm\"\nmodel = \"local/fake-1\"\nbase_url = \"{}\"\nmcp_servers = [\"shed\"]\n\
         tool_policy = [\"allow mcp__shed__*\"]\n\
         [mcp_servers.shed]\ncommand = [{:?}, {script:?}]\nenvironment = {{ SHED_KEY = \"k1\", SHED_MARKER = \"{marker}\" }}\n\
         timeout = \"60s\"\n",
        model.base_url(),
        python.trim(),
    );
    Gateway::with(Options {
        config,
        ..Options::default()
    })
}

/// What the session's server says of itself.
async fn place(client: &mut Client, key: &str) -> Value {
    let said = says(client, key, "CALL mcp__shed__where {}").await;
    let said = said.strip_prefix("Got: ").expect("it was called");
    serde_json::from_str(said).expect("JSON")
}

async fn pending(client: &mut Client, key: &str) -> proto::Question {
    let mut found = None;
    eventually("the question", async || {
        let request = proto::ListQuestionsRequest {
            session_key: key.into(),
            states: vec![proto::QuestionState::Pending.into()],
            ..Default::default()
        };
        let listed = client.list_questions(request).await.expect("listed");
        found = listed.into_inner().questions.pop();
        found.is_some()
    })
    .await;
    found.expect("it waits")
}

async fn answer(client: &mut Client, question: &proto::Question, answer: proto::Answer) {
    let request = proto::AnswerQuestionRequest {
        session_key: question.session_key.clone(),
        question_id: question.question_id.clone(),
        answer: Some(answer),
        ..Default::default()
    };
    client.answer_question(request).await.expect("answered");
}

/// Processes whose command line is that.
fn running(command: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("there is one").flatten();
    let lines = processes.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            line.strip_suffix(b"\0")
                .is_some_and(|it| it == command.replace(' ', "\0").as_bytes())
        })
        .count()
}

#[tokio::test]
async fn each_session_has_a_program_of_its_own_that_is_kept_apart() {
    let model = Model::start();
    let mut gateway = start(&model, "8101");
    let mut client = gateway.client().await;
    for key in ["one", "two"] {
        session(&mut client, key, "a").await;
    }
    let said = says(&mut client, "one", "CALL mcp__shed__hammer {\"nail\":1}").await;
    assert!(said.contains("hammer: {\"nail\":1}"), "{said}");
    let (one, two) = (
        place(&mut client, "one").await,
        place(&mut client, "two").await,
    );
    assert_ne!(
        one["cwd"], two["cwd"],
        "each works in its session's directory"
    );
    let environment = &one["environment"];
    assert_eq!(environment["SHED_KEY"], "k1");
    assert_ne!(
        environment["HOME"],
        std::env::var("HOME").unwrap_or_default()
    );
    assert!(
        environment.get("QUARTERDECK_KEY").is_none() && environment.get("OPENAI_API_KEY").is_none()
    );
    // It is the same one in the next turn.
    assert_eq!(place(&mut client, "one").await["life"], one["life"]);
    // One that crashed in a call fails that call alone.
    let said = says(&mut client, "one", "CALL mcp__shed__crash {}").await;
    assert!(said.contains("the tools of shed can't be used"), "{said}");
    let said = says(&mut client, "one", "CALL mcp__shed__hammer {\"nail\":2}").await;
    assert!(said.contains("hammer: {\"nail\":2}"), "{said}");
    gateway.check_store();
}

/// What a server asks in a call is a question of the turn; the call waits for its answer, and for as long as it takes.
#[tokio::test]
async fn what_a_server_asks_is_a_question() {
    let model = Model::start();
    let mut gateway = start(&model, "8102");
    let mut client = gateway.client().await;
    session(&mut client, "s", "a").await;
    let begin = async |client: &mut Client, text: &str| {
        let turn = enqueue(client, "s", text).await.expect("queued");
        turn.turn.expect("a turn").turn_id
    };
    let turn_id = begin(&mut client, "CALL mcp__shed__form {}").await;
    let question = pending(&mut client, "s").await;
    assert_eq!(
        (question.kind(), question.title.as_str()),
        (QuestionKind::Form, "shed: Which colour?")
    );
    assert!(
        question.schema_json.contains("colour"),
        "{}",
        question.schema_json
    );
    let blue = proto::Answer {
        content_json: "{\"colour\":\"blue\"}".into(),
        ..Default::default()
    };
    answer(&mut client, &question, blue).await;
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert!(
        turn.response_text.contains("\"accept\"") && turn.response_text.contains("blue"),
        "{turn:?}"
    );

    let turn_id = begin(&mut client, "CALL mcp__shed__link {}").await;
    let question = pending(&mut client, "s").await;
    assert_eq!(
        (question.kind(), question.url.as_str()),
        (QuestionKind::Link, "https://example.org/in")
    );
    let done = proto::Answer {
        option_id: "done".into(),
        ..Default::default()
    };
    answer(&mut client, &question, done).await;
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert!(turn.response_text.contains("\"accept\""), "{turn:?}");

    let turn_id = begin(&mut client, "CALL mcp__shed__form {}").await;
    let question = pending(&mut client, "s").await;
    let declined = proto::Answer {
        declined: true,
        ..Default::default()
    };
    answer(&mut client, &question, declined).await;
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert!(turn.response_text.contains("\"decline\""), "{turn:?}");
    gateway.check_store();
}

/// R7: a stop ends a server that ignores everything, and what it started; the next turn has a new one.
#[tokio::test]
async fn a_stop_leaves_nothing_of_a_server_that_ignores_everything() {
    let model = Model::start();
    let mut gateway = start(&model, "8103");
    let mut client = gateway.client().await;
    session(&mut client, "s", "a").await;
    let before = place(&mut client, "s").await["life"].clone();
    let queued = enqueue(&mut client, "s", "CALL mcp__shed__deaf {}")
        .await
        .expect("queued");
    let turn_id = queued.turn.expect("a turn").turn_id;
    eventually("its child", async || running("sleep 8103") == 1).await;
    let request = proto::AbortRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    assert!(
        client
            .abort(request)
            .await
            .expect("stopped")
            .into_inner()
            .aborted
    );
    assert_eq!(running("sleep 8103"), 0, "nothing is left");
    assert_eq!(
        await_turn(&mut client, "s", &turn_id).await.state(),
        TurnState::Canceled
    );
    assert_ne!(place(&mut client, "s").await["life"], before);
    // Nor when the server itself is killed.
    let queued = enqueue(&mut client, "s", "CALL mcp__shed__deaf {}")
        .await
        .expect("queued");
    queued.turn.expect("a turn");
    eventually("its child", async || running("sleep 8103") == 1).await;
    gateway.kill();
    gateway.restart();
    assert_eq!(running("sleep 8103"), 0, "nothing is left");
    gateway.check_store();
}
