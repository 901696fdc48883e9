//! Answers by a schema, and tools that the caller runs (CONTRACT-2 §12, §14): stored, forked, refused where they can't be.

use crate::world::*;
use proto::{ClientTool, OnBusy, QuestionKind, StopReason, TurnState};

const SCHEMA: &str = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}"#;

/// Runs a prompt that is to be answered by a schema.
async fn answers(client: &mut Client, key: &str, text: &str) -> proto::Turn {
    let accepted = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: text,
        output_schema: SCHEMA
    }));
    let turn = accepted.turn.expect("a turn");
    assert_eq!(turn.output_json, "");
    await_turn(client, key, &turn.turn_id).await
}

fn tool(name: &str, schema_json: &str) -> ClientTool {
    ClientTool {
        name: name.into(),
        description: "d".into(),
        schema_json: schema_json.into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_is_answered_by_its_schema_or_failed() {
    let (_server, mut client) = shared().await;
    let key = "output.schema";
    let turn = answers(&mut client, key, "!json={\"n\": 1} done").await;
    assert_eq!(
        (turn.state(), turn.stop_reason()),
        (TurnState::Completed, StopReason::Stop)
    );
    assert_eq!(
        (turn.output_json.as_str(), turn.response_text.as_str()),
        ("{\"n\": 1}", "done")
    );
    // Whole in GetTurn and in `turn_ended`, and not in lists.
    let read = ok!(client.get_turn(GetTurnRequest {
        session_key: key,
        turn_id: turn.turn_id.as_str()
    }));
    assert_eq!(read.turn.expect("a turn").output_json, "{\"n\": 1}");
    let ended = event(&mut client, key, 0, "turn_ended").await;
    let Some(Kind::TurnEnded(ended)) = ended.kind else {
        panic!("it ended")
    };
    assert_eq!(ended.turn.expect("a turn").output_json, "{\"n\": 1}");
    let listed = ok!(client.list_turns(ListTurnsRequest { session_key: key }));
    assert_eq!(listed.turns[0].output_json, "");

    // Wrong ones are tries; what is said is one where there is no other.
    let turn = answers(&mut client, key, "!json=no !json={} !json={\"n\":2} x").await;
    assert_eq!(
        (turn.state(), turn.output_json.as_str()),
        (TurnState::Completed, "{\"n\":2}")
    );
    let turn = answers(&mut client, key, "{\"n\":3}").await;
    assert_eq!(
        (turn.state(), turn.output_json.as_str()),
        (TurnState::Completed, "{\"n\":3}")
    );
    let turn = answers(
        &mut client,
        key,
        "!json=1 !json=2 !json={\"n\":\"3\"} !json={\"n\":4} said",
    )
    .await;
    let error = turn.error.clone().expect("it says why");
    assert_eq!(
        (turn.state(), error.reason.as_str()),
        (TurnState::Failed, "OUTPUT_INVALID")
    );
    assert!(error.message.contains("/n"), "{error:?}");
    assert_eq!(
        (turn.output_json.as_str(), turn.response_text.as_str()),
        ("", "said")
    );
    // Without a schema nothing is given.
    let turn = run(&mut client, key, "!json={\"n\":1} x").await;
    assert_eq!(
        (turn.state(), turn.output_json.as_str()),
        (TurnState::Completed, "")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_can_not_be_a_schema_or_a_tool_is_refused_before_anything_is_made() {
    let (_server, mut client) = shared().await;
    let key = "output.bad";
    for bad in [
        "{",
        "[]",
        r#"{"type":"strung"}"#,
        r#"{"$ref":"https://example.com/s"}"#,
    ] {
        let refused = call!(client.enqueue(EnqueueRequest {
            session_key: key,
            text: "x",
            output_schema: bad
        }));
        invalid(refused, &["output_schema"]);
    }
    let refused = call!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        on_busy: OnBusy::SteerOrEnqueue,
        output_schema: SCHEMA,
        client_tools: vec![tool("a", "{}")]
    }));
    invalid(refused, &["output_schema", "client_tools"]);
    let refused = call!(client.create_session(CreateSessionRequest {
        session_key: key,
        client_tools: vec![
            tool("mcp__a", "{}"),
            tool("memory_search", "{}"),
            tool("a b", "{}"),
            tool("twice", "{}"),
            tool("twice", "{}"),
            tool("bad", "{"),
        ]
    }));
    invalid(
        refused,
        &[
            "client_tools[0].name",
            "client_tools[1].name",
            "client_tools[2].name",
            "client_tools[4].name",
            "client_tools[5].schema_json",
        ],
    );
    let many: Vec<ClientTool> = (0..65).map(|nth| tool(&format!("t{nth}"), "{}")).collect();
    let refused = call!(client.create_session(CreateSessionRequest {
        session_key: key,
        client_tools: many
    }));
    invalid(refused, &["client_tools"]);
    let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(60 * 1024));
    let large: Vec<ClientTool> = (0..5).map(|nth| tool(&format!("t{nth}"), &long)).collect();
    let refused = call!(client.create_session(CreateSessionRequest {
        session_key: key,
        client_tools: large
    }));
    invalid(refused, &["client_tools"]);
    let gone = call!(client.get_session(GetSessionRequest { session_key: key }));
    refused_as(gone, "SESSION_NOT_FOUND");
}

fn refused_as<T: std::fmt::Debug>(answer: Result<T, Status>, why: &str) {
    assert_eq!(reason(&answer.expect_err("it is refused")), why);
}

/// An agent that can't be held to a schema in another way gives its output by the gateway's tool: it is told what is wrong,
/// reminded once, and failed with the validator's words; its text stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_agents_output_comes_by_the_gateways_tool() {
    let mut server = Gateway::with(config(&crate::agents::scripted("servers", "")));
    let mut client = server.client().await;
    let key = "submit";
    let turn = answers(&mut client, key, "submit {\"n\":1}").await;
    assert_eq!(turn.state(), TurnState::Completed, "{turn:?}");
    assert_eq!(turn.output_json, "{\"n\":1}");
    assert_eq!(turn.response_text, "Taken. You are done.\n");
    assert_eq!(
        turn.text, "submit {\"n\":1}",
        "what the user said stays that"
    );
    // Two wrong ones, a right one; the newest right one counts.
    let turn = answers(
        &mut client,
        key,
        "submit [] {\"n\":\"x\"} {\"n\":2} {\"n\":3}",
    )
    .await;
    assert_eq!(
        (turn.state(), turn.output_json.as_str()),
        (TurnState::Completed, "{\"n\":3}")
    );
    assert!(
        turn.response_text.contains("want integer"),
        "{}",
        turn.response_text
    );
    // It ends without one, and is reminded.
    let turn = answers(&mut client, key, "later {\"n\":4}").await;
    assert_eq!(
        (turn.state(), turn.output_json.as_str()),
        (TurnState::Completed, "{\"n\":4}"),
        "{turn:?}"
    );
    // It is not reminded twice.
    let turn = answers(&mut client, key, "later []").await;
    assert_eq!(turn.state(), TurnState::Failed);
    let error = turn.error.expect("an error");
    assert_eq!(error.reason, "OUTPUT_INVALID");
    assert!(error.message.contains("want object"), "{}", error.message);
    assert!(!turn.response_text.is_empty(), "its text stays");
    // Three wrong ones are all, and nothing is taken from a turn that nobody asked for a result.
    let turn = answers(&mut client, key, "submit [] [] [] {\"n\":5}").await;
    assert_eq!(
        (turn.state(), turn.output_json.as_str()),
        (TurnState::Failed, "")
    );
    assert!(
        turn.response_text.contains("no more results are taken"),
        "{}",
        turn.response_text
    );
    let turn = run(&mut client, key, "submit {\"n\":6}").await;
    assert_eq!(
        (turn.state(), turn.output_json.as_str()),
        (TurnState::Completed, "")
    );
    assert!(
        turn.response_text.contains("nobody asked for a result"),
        "{}",
        turn.response_text
    );
    server.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_agent_that_does_neither_is_not_asked_to() {
    let server = Gateway::with(config(
        "mcp = false\n[agents.pi]\ndriver = \"pi\"\ncommand = [\"/none\"]\n",
    ));
    let mut client = server.client().await;
    let refused = call!(client.enqueue(EnqueueRequest {
        session_key: "p",
        agent: "pi",
        text: "x",
        output_schema: SCHEMA
    }));
    refused_as(refused, "UNSUPPORTED_BY_AGENT");
    let tools = vec![tool("a", "{}")];
    let refused = call!(client.enqueue(EnqueueRequest {
        session_key: "p",
        agent: "pi",
        text: "x",
        client_tools: tools.clone()
    }));
    refused_as(refused, "UNSUPPORTED_BY_AGENT");
    let refused = call!(client.create_session(CreateSessionRequest {
        session_key: "p",
        agent: "pi",
        client_tools: tools
    }));
    refused_as(refused, "UNSUPPORTED_BY_AGENT");
    // Nor does a session with such tools become its.
    let tools = vec![tool("a", "{}")];
    ok!(client.create_session(CreateSessionRequest {
        session_key: "t",
        client_tools: tools
    }));
    let to = |agent: &str| proto::UpdateSessionRequest {
        session_key: "t".into(),
        session: Some(proto::SessionSnapshot {
            agent: agent.into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["agent".into()],
        }),
        ..Default::default()
    };
    refused_as(
        client.update_session(to("pi")).await,
        "UNSUPPORTED_BY_AGENT",
    );
    client.update_session(to("echo")).await.expect("it stays");
    let admin = proto::admin_service_client::AdminServiceClient::connect(server.address.clone());
    let mut admin = admin.await.expect("the server accepts");
    let listed = admin.list_agents(proto::ListAgentsRequest {}).await;
    for agent in listed.expect("listed").into_inner().agents {
        let can = agent.capabilities.expect("they are told");
        let echo = agent.name == "echo";
        assert_eq!(
            (can.client_tools, can.structured_output),
            (echo, echo),
            "{}",
            agent.name
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tool_of_the_callers_is_called_with_arguments_and_its_end_is_told() {
    let (_server, mut client) = shared().await;
    let key = "output.tools";
    ok!(client.create_session(CreateSessionRequest {
        session_key: key,
        client_tools: vec![tool("weather", "{}")]
    }));
    ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "!call=weather {\"city\": \"Ghent\"} !call=time x"
    }));
    let mut questions = vec![];
    while questions.len() < 2 {
        let after = ok!(client.list_questions(ListQuestionsRequest { session_key: key }));
        questions = after.questions;
    }
    assert!(
        questions
            .iter()
            .all(|it| it.kind() == QuestionKind::ToolCall)
    );
    assert_eq!(questions[0].args_json, "{\"city\": \"Ghent\"}");
    for (question, content) in questions.iter().zip(["21", "\"noon\""]) {
        ok!(client.answer_question(AnswerQuestionRequest {
            session_key: key,
            question_id: question.question_id.as_str(),
            answer: proto::Answer {
                content_json: content.into(),
                ..Default::default()
            }
        }));
    }
    let ended = event(&mut client, key, 0, "turn_ended").await;
    let Some(Kind::TurnEnded(ended)) = ended.kind else {
        panic!("it ended")
    };
    assert_eq!(
        ended.turn.expect("a turn").response_text,
        "[weather: 21] [time: \"noon\"] x"
    );
    let events = log(&mut client, key).await;
    let results: Vec<&str> = events
        .iter()
        .filter_map(|it| match &it.kind {
            Some(Kind::ToolCompleted(tool)) => Some(tool.result_json.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(results, ["21", "\"noon\""]);
    // The fork has the tools too, and what is stored of them is counted: the server is checked in the end.
    ok!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: "output.fork"
    }));
    run(&mut client, "output.fork", "x").await;
    ok!(client.delete_session(DeleteSessionRequest {
        session_key: "output.fork"
    }));
}
