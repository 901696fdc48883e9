//! Answers by a schema, and tools that the caller runs (CONTRACT-2 §12, §14), in every dialect.

use crate::{
    DIALECTS, eventually,
    llm_support::Model,
    says, session,
    support::{Client, Gateway, Options, await_turn, kind, log},
};
use quarterdeck::proto::{self, TurnState, gateway_event::Kind};
use serde_json::{Value, json};

/// What the answers are to meet.
const SCHEMA: &str = r#"{"type":"object","required":["n"],"additionalProperties":false,"properties":{"n":{"type":"integer"}}}"#;

/// A gateway with an agent of each dialect that has no tools of its own.
async fn start(model: &Model) -> (Gateway, Client) {
    let agent = |api: &&str| {
        format!(
            "[agents.{api}]\ndriver = \"llm\"\nmodel = \"local/fake-1\"\nbase_url = \"{}\"\napi = \"{api}\"\n\
             memory_tools = false\n[agents.{api}-tools]\ndriver = \"llm\"\nmodel = \"local/fake-1\"\nbase_url = \"{}\"\n\
             api = \"{api}\"\nmemory_tools = true\n",
            model.base_url(),
            model.base_url()
        )
    };
    let gateway = Gateway::with(Options {
        config: DIALECTS.iter().map(agent).collect(),
        ..Options::default()
    });
    let client = gateway.client().await;
    (gateway, client)
}

fn tool(name: &str) -> proto::ClientTool {
    proto::ClientTool {
        name: name.into(),
        description: "Tells it.".into(),
        schema_json: r#"{"type":"object","properties":{"city":{"type":"string"}}}"#.into(),
    }
}

/// Starts a turn.
async fn start_turn(client: &mut Client, request: proto::EnqueueRequest) -> String {
    let accepted = client.enqueue(request).await.expect("it is taken");
    accepted.into_inner().turn.expect("a turn").turn_id
}

/// Runs a prompt that is to be answered by the schema.
async fn answers(client: &mut Client, key: &str, text: &str) -> proto::Turn {
    let request = proto::EnqueueRequest {
        session_key: key.into(),
        text: text.into(),
        output_schema: SCHEMA.into(),
        ..Default::default()
    };
    let turn_id = start_turn(client, request).await;
    await_turn(client, key, &turn_id).await
}

fn given(turn: &proto::Turn) -> (TurnState, &str) {
    (turn.state(), &turn.output_json)
}

/// Where a call tells its provider the schema.
fn native(call: &Value) -> &Value {
    let body = &call["body"];
    let places = [
        &body["response_format"]["json_schema"]["schema"],
        &body["text"]["format"]["schema"],
        &body["output_config"]["format"]["schema"],
        &body["generationConfig"]["responseJsonSchema"],
    ];
    places
        .into_iter()
        .find(|it| !it.is_null())
        .unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_provider_that_takes_a_schema_is_told_it_and_wrong_answers_are_repaired() {
    let model = Model::start();
    let (_gateway, mut client) = start(&model).await;
    for agent in DIALECTS {
        session(&mut client, agent, agent).await;
        let turn = answers(&mut client, agent, "SAY {\"n\": 7}").await;
        assert_eq!(
            given(&turn),
            (TurnState::Completed, "{\"n\": 7}"),
            "{agent}: {turn:?}"
        );
        let calls = model.calls();
        let expected: Value = serde_json::from_str(SCHEMA).expect("JSON");
        assert_eq!(*native(&calls[calls.len() - 1]), expected, "{agent}");
        let tries = "TRY SAY seven ||| SAY {\"n\":\"7\"} ||| SAY {\"n\":8}";
        let turn = answers(&mut client, agent, tries).await;
        assert_eq!(
            given(&turn),
            (TurnState::Completed, "{\"n\":8}"),
            "{agent}: {turn:?}"
        );
        let said = model.calls().pop().expect("calls")["body"].to_string();
        assert!(said.contains("does not meet the schema"), "{agent}: {said}");
        let tries = "TRY SAY {\"n\":1.5} ||| SAY {} ||| SAY {\"n\":\"x\"} ||| SAY {\"n\":8}";
        let turn = answers(&mut client, agent, tries).await;
        assert_eq!(given(&turn), (TurnState::Failed, ""), "{agent}: {turn:?}");
        let error = turn.error.expect("it says why");
        assert_eq!(error.reason, "OUTPUT_INVALID");
        assert!(error.message.contains("/n"), "{agent}: {error:?}");
        assert_eq!(turn.response_text, "{\"n\":\"x\"}", "the text stays");
        // Without a schema it is a turn as any other.
        assert_eq!(says(&mut client, agent, "SAY {}").await, "{}");
        assert!(native(model.calls().last().expect("calls")).is_null());
    }
}

#[tokio::test]
async fn beside_other_tools_and_where_a_provider_refuses_a_tool_takes_the_output() {
    let model = Model::start();
    let (_gateway, mut client) = start(&model).await;
    for api in DIALECTS {
        let agent = &format!("{api}-tools");
        session(&mut client, agent, agent).await;
        let turn = answers(
            &mut client,
            agent,
            "CALL submit_result {\"result\":{\"n\": 7}}",
        )
        .await;
        assert_eq!(given(&turn).0, TurnState::Completed, "{agent}: {turn:?}");
        let output: Value = serde_json::from_str(&turn.output_json).expect("JSON");
        assert_eq!(output, json!({ "n": 7 }));
        let calls = model.calls();
        let last = calls.last().expect("calls");
        assert!(native(last).is_null(), "{agent}: {last}");
        // Nobody was asked, and the model was not called again for a word of farewell.
        let told = last["body"].to_string();
        assert!(!told.contains("accepted"), "{agent}: {told}");
        let events = log(&mut client, agent).await;
        let resolved = events.iter().find_map(|it| match &it.kind {
            Some(Kind::QuestionResolved(resolved)) => Some(resolved.resolution()),
            _ => None,
        });
        assert_eq!(resolved, Some(proto::QuestionResolution::Policy), "{agent}");
        let wrong = "CALL submit_result {\"result\":{\"n\":\"x\"}}\nCALL submit_result {}";
        let turn = answers(
            &mut client,
            agent,
            &format!("{wrong}\nCALL submit_result {{\"result\":{{\"n\":8}}}}"),
        )
        .await;
        assert_eq!(given(&turn).0, TurnState::Completed, "{agent}: {turn:?}");
        let turn = answers(
            &mut client,
            agent,
            &format!("{wrong}\nCALL submit_result {{\"result\":1}}"),
        )
        .await;
        let error = turn.error.clone().expect("it says why");
        assert_eq!(
            (given(&turn), error.reason.as_str()),
            ((TurnState::Failed, ""), "OUTPUT_INVALID")
        );
        // Who forgets it is reminded, once.
        let tries = "TRY SAY done ||| CALL submit_result {\"result\":{\"n\":9}}";
        let turn = answers(&mut client, agent, tries).await;
        assert_eq!(given(&turn).0, TurnState::Completed, "{agent}: {turn:?}");
        let turn = answers(&mut client, agent, "TRY SAY done ||| SAY done again").await;
        let error = turn.error.expect("it says why");
        assert!(
            error.message.contains("gave no output"),
            "{agent}: {error:?}"
        );
        // What the provider does not take itself is asked of the model.
        session(&mut client, api, api).await;
        let prompt = "PICKY CALL submit_result {\"result\":{\"n\":3}}";
        let turn = answers(&mut client, api, prompt).await;
        assert_eq!(given(&turn).0, TurnState::Completed, "{api}: {turn:?}");
        let told = model.calls().pop().expect("calls")["body"].to_string();
        assert!(
            !told.contains("Answer with JSON that meets"),
            "{api}: {told}"
        );
    }
}

/// The questions of a session's turn, once it waits for so many.
async fn pending(client: &mut Client, key: &str, count: usize) -> Vec<proto::Question> {
    let mut questions = vec![];
    eventually("the calls", async || {
        let request = proto::ListQuestionsRequest {
            session_key: key.into(),
            states: vec![proto::QuestionState::Pending.into()],
            ..Default::default()
        };
        let listed = client.list_questions(request).await.expect("listed");
        questions = listed.into_inner().questions;
        questions.len() == count
    })
    .await;
    questions
}

async fn answer(client: &mut Client, question: &proto::Question, answer: proto::Answer) {
    let request = proto::AnswerQuestionRequest {
        session_key: question.session_key.clone(),
        question_id: question.question_id.clone(),
        answer: Some(answer),
        action_digest: question.action_digest.clone(),
        ..Default::default()
    };
    client.answer_question(request).await.expect("answered");
}

#[tokio::test]
async fn the_caller_runs_its_tools_and_the_model_is_told_what_came_of_them() {
    let model = Model::start();
    let (_gateway, mut client) = start(&model).await;
    for agent in DIALECTS {
        let request = proto::CreateSessionRequest {
            session_key: agent.into(),
            agent: agent.into(),
            client_tools: vec![tool("weather")],
            tool_policy: vec![proto::ToolRule {
                tool: "forbidden".into(),
                action: proto::ToolAction::Deny.into(),
            }],
            ..Default::default()
        };
        client.create_session(request).await.expect("it is made");
        let request = proto::EnqueueRequest {
            session_key: agent.into(),
            text: "CALL weather {\"city\":\"Ghent\"}\nCALL weather {\"city\":\"Rome\"}".into(),
            ..Default::default()
        };
        let turn_id = start_turn(&mut client, request).await;
        let questions = pending(&mut client, agent, 2).await;
        for question in &questions {
            assert_eq!(question.kind(), proto::QuestionKind::ToolCall);
            assert_eq!(question.tool_name, "weather");
            let city = if question.args_json.contains("Ghent") {
                "21 in Ghent"
            } else {
                "30 in Rome"
            };
            let content = proto::Answer {
                content_json: json!({ "told": city }).to_string(),
                ..Default::default()
            };
            answer(&mut client, question, content).await;
        }
        let turn = await_turn(&mut client, agent, &turn_id).await;
        assert_eq!(turn.state(), TurnState::Completed, "{agent}: {turn:?}");
        for told in ["21 in Ghent", "30 in Rome"] {
            assert!(turn.response_text.contains(told), "{agent}: {turn:?}");
        }
        let events = log(&mut client, agent).await;
        let told: Vec<&str> = events
            .iter()
            .map(kind)
            .filter(|it| it.starts_with("tool_") || it.starts_with("question_"))
            .collect();
        let expected = [
            "tool_started",
            "tool_started",
            "question_asked",
            "question_asked",
        ];
        assert_eq!(told[..4], expected, "{agent}");
        let completed = events.iter().filter(|it| kind(it) == "tool_completed");
        assert_eq!(completed.count(), 2, "{agent}");

        // Those of a turn stand in the place of its session's; what fails, is denied or declined is the tool's error.
        let request = proto::EnqueueRequest {
            session_key: agent.into(),
            text: "CALL stock {}\nCALL forbidden {}\nCALL gone {}".into(),
            client_tools: vec![tool("stock"), tool("forbidden"), tool("gone")],
            ..Default::default()
        };
        let turn_id = start_turn(&mut client, request).await;
        let questions = pending(&mut client, agent, 2).await;
        let failed = proto::Answer {
            content_json: "\"closed today\"".into(),
            is_error: true,
            ..Default::default()
        };
        answer(&mut client, &questions[0], failed).await;
        let declined = proto::Answer {
            declined: true,
            comment: "no time".into(),
            ..Default::default()
        };
        answer(&mut client, &questions[1], declined).await;
        let turn = await_turn(&mut client, agent, &turn_id).await;
        assert_eq!(turn.state(), TurnState::Completed, "{agent}: {turn:?}");
        for told in ["closed today", "denied", "no time"] {
            assert!(turn.response_text.contains(told), "{agent}: {turn:?}");
        }
        let tools = model.calls().pop().expect("calls")["body"]["tools"].to_string();
        assert!(
            tools.contains("stock") && !tools.contains("weather"),
            "{agent}: {tools}"
        );
        let errors = log(&mut client, agent).await;
        let errors = errors
            .iter()
            .filter(|it| matches!(&it.kind, Some(Kind::ToolCompleted(it)) if it.is_error));
        assert_eq!(errors.count(), 3, "{agent}");
    }
}
