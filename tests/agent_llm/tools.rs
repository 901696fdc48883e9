//! Tools of servers that speak the Model Context Protocol: who may have them run, and what comes of it.

use crate::{
    DIALECTS, eventually,
    llm_support::{Model, Shed},
    says, session,
    support::{Client, Gateway, Options, await_turn, enqueue, log, run},
};
use quarterdeck::proto::{self, TurnState, gateway_event::Kind};
use serde_json::Value;

/// Sent to the server of tools with every call.
const TOKEN: &str = "a-token-of-the-shed";

/// A gateway with an agent of each dialect that has the shed's tools. `hammer` may run, `fail` may not, others are asked for.
async fn start(model: &Model, shed_url: &str) -> (Gateway, Client) {
    let agent = |api: &&str| {
        format!(
            "[agents.{api}]\ndriver = \"llm\"\nmodel = \"local/fake-1\"\nbase_url = \"{}\"\napi = \"{api}\"\n\
             mcp_servers = [\"shed\"]\n\
             tool_policy = [\"deny mcp__shed__fail\", \"deny memory_forget\", \"ask mcp__shed__picture\", \"allow mcp__shed__*\"]\n",
            model.base_url()
        )
    };
    let agents: String = DIALECTS.iter().map(agent).collect();
    let server = format!(
        "[mcp_servers.shed]\nurl = \"{shed_url}\"\nheaders = {{ x-token = \"{TOKEN}\" }}\ntimeout = \"20s\"\n"
    );
    let gateway = Gateway::with(Options {
        config: agents + &server,
        ..Options::default()
    });
    let client = gateway.client().await;
    (gateway, client)
}

fn completed(events: &[proto::GatewayEvent]) -> Vec<&proto::ToolCompleted> {
    let tools = events.iter().filter_map(|it| match &it.kind {
        Some(Kind::ToolCompleted(completed)) => Some(completed),
        _ => None,
    });
    tools.collect()
}

/// Names of the tools that the shed was asked to run.
fn asked(shed: &Shed) -> Vec<String> {
    let calls = shed.messages("tools/call");
    let name = |it: &Value| it["params"]["name"].as_str().unwrap_or_default().to_owned();
    calls.iter().map(name).collect()
}

#[tokio::test]
async fn every_dialect_calls_tools_at_once_and_is_told_what_came_of_them() {
    let (model, shed) = (Model::start(), Shed::start(&[]));
    let (mut gateway, mut client) = start(&model, &shed.url()).await;
    let prompt = "CALL mcp__shed__hammer {\"nail\":1}\nCALL mcp__shed__hammer {\"nail\":2}\nCALL mcp__shed__steps {}";
    for agent in DIALECTS {
        session(&mut client, agent, agent).await;
        let said = says(&mut client, agent, prompt).await;
        for result in ["nail", "both steps"] {
            assert!(
                said.starts_with("Got: ") && said.contains(result),
                "{agent}: {said}"
            );
        }
        let events = log(&mut client, agent).await;
        let tools = completed(&events);
        assert_eq!(tools.len(), 3, "{agent}");
        assert!(tools.iter().all(|it| !it.is_error), "{agent}: {tools:?}");
    }
    // What is signed goes back as it came.
    let calls = model.calls();
    let gemini = calls.last().expect("calls")["body"].to_string();
    assert!(gemini.contains("signed-1"), "{gemini}");
    // The results stand in the store: they are told to the model again after a crash.
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    for agent in DIALECTS {
        says(&mut client, agent, "SAY hi").await;
        let calls = model.calls();
        let body = calls.last().expect("calls")["body"].to_string();
        assert!(
            body.contains("both steps") && body.contains("hammer: "),
            "{agent}: {body}"
        );
    }
    let messages = shed.all();
    assert!(messages.iter().all(|it| it["headers"]["x-token"] == TOKEN));
}

#[tokio::test]
async fn a_denied_tool_does_not_run_and_one_that_is_asked_for_waits() {
    let (model, shed) = (Model::start(), Shed::start(&[]));
    let (_gateway, mut client) = start(&model, &shed.url()).await;
    for agent in DIALECTS {
        session(&mut client, agent, agent).await;
        let said = says(&mut client, agent, "CALL mcp__shed__fail {}").await;
        assert!(said.contains("denied"), "{agent}: {said}");
        let turn = enqueue(&mut client, agent, "CALL mcp__shed__picture {}").await;
        let turn_id = turn.expect("queued").turn.expect("a turn").turn_id;
        let request = || proto::ListQuestionsRequest {
            session_key: agent.into(),
            ..Default::default()
        };
        let mut pending = None;
        eventually("the question", async || {
            let listed = client
                .list_questions(request())
                .await
                .expect("listed")
                .into_inner();
            pending = listed
                .questions
                .into_iter()
                .find(|it| it.state() == proto::QuestionState::Pending);
            pending.is_some()
        })
        .await;
        let question = pending.expect("it waits");
        assert_eq!(question.tool_name, "mcp__shed__picture");
        assert!(!asked(&shed).contains(&"fail".to_owned()));
        let before = asked(&shed).len();
        let answer = proto::AnswerQuestionRequest {
            session_key: agent.into(),
            question_id: question.question_id,
            answer: Some(proto::Answer {
                option_id: "allow".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        client.answer_question(answer).await.expect("answered");
        let turn = await_turn(&mut client, agent, &turn_id).await;
        assert_eq!(turn.state(), TurnState::Completed, "{agent}: {turn:?}");
        assert_eq!(asked(&shed).len(), before + 1);
    }
}

/// What goes wrong with a tool is its result: the model goes on.
#[tokio::test]
async fn a_broken_connection_is_the_tools_error_and_the_next_call_works() {
    let (model, shed) = (Model::start(), Shed::start(&[]));
    let (_gateway, mut client) = start(&model, &shed.url()).await;
    session(&mut client, "s", "chat").await;
    let said = says(&mut client, "s", "CALL mcp__shed__drop {}").await;
    assert!(said.contains("the tools of shed can't be used"), "{said}");
    let said = says(&mut client, "s", "CALL mcp__shed__hammer {}").await;
    assert_eq!(said, "Got: hammer: {}");
    let said = says(&mut client, "s", "CALL mcp__shed__big {}").await;
    assert!(said.contains("(cut: the whole has 1000000 bytes)"));
    let events = log(&mut client, "s").await;
    let tools = completed(&events);
    let errors: Vec<bool> = tools.iter().map(|it| it.is_error).collect();
    assert_eq!(errors, [true, false, false]);
}

#[tokio::test]
async fn an_abort_cancels_a_running_tool() {
    let (model, shed) = (Model::start(), Shed::start(&[]));
    let (_gateway, mut client) = start(&model, &shed.url()).await;
    session(&mut client, "s", "anthropic").await;
    let turn = enqueue(&mut client, "s", "CALL mcp__shed__hang {}").await;
    let turn_id = turn.expect("queued").turn.expect("a turn").turn_id;
    eventually("the call", async || asked(&shed) == ["hang"]).await;
    let abort = proto::AbortRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    client.abort(abort).await.expect("it is stopped");
    let turn = await_turn(&mut client, "s", &turn_id).await;
    assert_eq!(turn.state(), TurnState::Canceled);
    let told = async || !shed.messages("notifications/cancelled").is_empty();
    eventually("the server to be told", told).await;
    // What was called and never ended has a result too: the conversation goes on.
    assert_eq!(says(&mut client, "s", "SAY hi").await, "hi");
    let calls = model.calls();
    let body = calls.last().expect("calls")["body"].to_string();
    assert!(body.contains("the call was interrupted"), "{body}");
}

#[tokio::test]
async fn servers_are_bounded_and_one_that_is_away_is_told() {
    let (model, server) = (Model::start(), Shed::start(&["many"]));
    let url = server.url();
    let (_gateway, mut client) = start(&model, &url).await;
    session(&mut client, "s", "responses").await;
    says(&mut client, "s", "SAY hi").await;
    let calls = model.calls();
    let tools = calls[0]["body"]["tools"].as_array().expect("tools");
    let shed = |it: &&Value| {
        it["name"]
            .as_str()
            .is_some_and(|it| it.starts_with("mcp__shed__"))
    };
    assert_eq!(tools.iter().filter(shed).count(), 128);
    assert_eq!(tools.len(), 128 + 3);
    drop(server);
    session(&mut client, "t", "responses").await;
    let turn = run(&mut client, "t", "SAY hi").await;
    assert_eq!(turn.state(), TurnState::Failed);
    let error = turn.error.expect("it says why").message;
    assert!(error.contains("the tools of shed can't be used"), "{error}");
}

/// What came before a turn is summarized where a conversation is too long; the summary stands in its place from then on.
#[tokio::test]
async fn a_conversation_that_is_too_long_is_shortened_and_goes_on() {
    let (model, shed) = (Model::start(), Shed::start(&[]));
    let (mut gateway, mut client) = start(&model, &shed.url()).await;
    for agent in DIALECTS {
        session(&mut client, agent, agent).await;
        says(&mut client, agent, "SAY the word is larboard").await;
        let prompt = format!("FAULT long once-{agent}");
        assert_eq!(
            says(&mut client, agent, &prompt).await,
            format!("Echo: {prompt}")
        );
        let events = log(&mut client, agent).await;
        let summary = events.iter().find_map(|it| match &it.kind {
            Some(Kind::CompactionCompleted(done)) => Some(done.summary.clone()),
            _ => None,
        });
        assert!(
            summary.expect("a summary").contains("the word is larboard"),
            "{agent}"
        );
    }
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    for agent in DIALECTS {
        let told = says(&mut client, agent, "TOLD").await;
        assert_eq!(told, format!("[\"Echo: FAULT long once-{agent}\"]"));
        let calls = model.calls();
        let body = calls.last().expect("calls")["body"].to_string();
        assert!(
            body.contains("Summary of the conversation so far"),
            "{agent}: {body}"
        );
    }
}

#[tokio::test]
async fn a_server_of_the_official_sdk_is_called() {
    let Some(official) = Shed::official() else {
        return;
    };
    let model = Model::start();
    let (_gateway, mut client) = start(&model, &official.url()).await;
    session(&mut client, "s", "responses").await;
    let prompt = "CALL mcp__shed__add {\"a\":2,\"b\":3}\nCALL mcp__shed__refuse {}";
    let said = says(&mut client, "s", prompt).await;
    assert!(said.contains("sum 5"), "{said}");
    assert!(said.contains("it refuses"), "{said}");
    assert_eq!(
        says(&mut client, "s", "CALL mcp__shed__add {\"a\":1,\"b\":1}").await,
        "Got: sum 2"
    );
}

#[tokio::test]
async fn a_tools_progress_is_shown_while_it_runs() {
    let (model, shed) = (Model::start(), Shed::start(&[]));
    let (_gateway, mut client) = start(&model, &shed.url()).await;
    session(&mut client, "s", "gemini").await;
    let follow = proto::SubscribeRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    let mut stream = client
        .subscribe(follow)
        .await
        .expect("a stream")
        .into_inner();
    enqueue(&mut client, "s", "CALL mcp__shed__steps {}")
        .await
        .expect("queued");
    let mut steps = vec![];
    loop {
        let event = stream
            .message()
            .await
            .expect("it goes on")
            .expect("it goes on");
        match event.kind {
            Some(Kind::ToolUpdate(update)) => steps.push(update.partial_result_json),
            Some(Kind::TurnEnded(_)) => break,
            _ => {}
        }
    }
    assert!(steps.iter().any(|it| it.contains("step 1")), "{steps:?}");
}

/// Memory's tools need no configuration, and nobody's permission unless a rule says otherwise.
#[tokio::test]
async fn a_model_remembers_by_the_gateways_own_tools() {
    let (model, shed) = (Model::start(), Shed::start(&[]));
    let (_gateway, mut client) = start(&model, &shed.url()).await;
    for agent in DIALECTS {
        session(&mut client, agent, agent).await;
        let call = "CALL memory_remember {\"content\":\"Zoe lives in Lodz\",\"key\":\"city\",\"kind\":\"profile\"}";
        let said = says(&mut client, agent, call).await;
        assert!(said.starts_with("Got: "), "{agent}: {said}");
        let said = says(
            &mut client,
            agent,
            "CALL memory_search {\"query\":\"Lodz\"}",
        )
        .await;
        assert!(
            said.starts_with("Got: ") && said.contains("Zoe lives in Lodz"),
            "{agent}: {said}"
        );
        let said = says(&mut client, agent, "CALL memory_forget {\"key\":\"city\"}").await;
        assert!(said.contains("denied"), "{agent}: {said}");
    }
    assert_eq!(asked(&shed), [""; 0]);
}
