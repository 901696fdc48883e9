//! A model as an agent, through the whole gateway: the built binary, a scripted provider in each of its dialects.

#[path = "../llm_support/mod.rs"]
mod llm_support;
mod output;
mod programs;
mod real_model;
#[path = "../support/mod.rs"]
mod support;
mod tools;

use llm_support::Model;
use proto::gateway_event::Kind;
use quarterdeck::{
    config::Config,
    proto::{self, StopReason, TurnState},
};
use std::time::{Duration, Instant};
use support::{Client, Gateway, Options, SOON, await_turn, enqueue, kind, log, run};

/// Each dialect's agent.
const DIALECTS: [&str; 4] = ["chat", "responses", "anthropic", "gemini"];
/// What the provider is called with. No other text of a test holds it.
const KEY: &str = "sk-a-key-that-nobody-else-sees";

fn config(model: &Model) -> String {
    let agent = |api: &&str| {
        format!(
            "[agents.{api}]\ndriver = \"llm\"\nmodel = \"local/fake-1\"\nbase_url = \"{}\"\napi = \"{api}\"\n\
             api_key = \"{KEY}\"\nthinking_level = \"low\"\ninstructions = \"Be brief.\"\n",
            model.base_url()
        )
    };
    DIALECTS.iter().map(agent).collect()
}

/// A gateway with an agent of each dialect.
async fn start(model: &Model) -> (Gateway, Client) {
    let gateway = Gateway::with(Options {
        config: config(model),
        log: None,
        ..Options::default()
    });
    let client = gateway.client().await;
    (gateway, client)
}

async fn session(client: &mut Client, key: &str, agent: &str) {
    let request = proto::CreateSessionRequest {
        session_key: key.into(),
        agent: agent.into(),
        ..Default::default()
    };
    client.create_session(request).await.expect("it is made");
}

/// Runs a prompt and gives the turn's text.
async fn says(client: &mut Client, key: &str, text: &str) -> String {
    let turn = run(client, key, text).await;
    assert_eq!(turn.state(), TurnState::Completed, "{key}: {turn:?}");
    turn.response_text
}

async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let give_up = Instant::now() + SOON;
    while !done().await {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn every_dialect_thinks_answers_and_counts() {
    let model = Model::start();
    let (_gateway, mut client) = start(&model).await;
    for agent in DIALECTS {
        session(&mut client, agent, agent).await;
        assert_eq!(
            says(&mut client, agent, "THINK hard").await,
            "Echo: THINK hard"
        );
        let events = log(&mut client, agent).await;
        let thought = events.iter().find_map(|it| match &it.kind {
            Some(Kind::ThinkingCompleted(thought)) => Some(thought.text.as_str()),
            _ => None,
        });
        assert_eq!(thought, Some("Let me think."), "{agent}");
        let usage = events.iter().find_map(|it| match &it.kind {
            Some(Kind::UsageRecorded(recorded)) => recorded.usage,
            _ => None,
        });
        let usage = usage.expect("it is told");
        let counted = (
            usage.input_tokens,
            usage.cache_read_tokens,
            usage.output_tokens,
        );
        assert_eq!(counted, (60, 40, 20), "{agent}");
    }
    for call in model.calls() {
        assert!(call["body"].to_string().contains("Be brief."), "{call}");
        assert!(call["headers"].to_string().contains(KEY));
        assert!(!call["path"].to_string().contains(KEY));
    }
}

/// The store alone holds the conversation: over a crash, in a fork, and no more after a Reset.
#[tokio::test]
async fn a_conversation_goes_on_from_the_store_alone() {
    let model = Model::start();
    let (mut gateway, mut client) = start(&model).await;
    for agent in DIALECTS {
        session(&mut client, agent, agent).await;
        assert_eq!(
            says(&mut client, agent, "SAY the word is larboard").await,
            "the word is larboard"
        );
        enqueue(&mut client, agent, "ENDLESS")
            .await
            .expect("it is queued");
    }
    // All are in the middle of a message.
    eventually("every turn to run", async || model.calls().len() >= 8).await;
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    for agent in DIALECTS {
        let events = log(&mut client, agent).await;
        let ended: Vec<&proto::TurnEnded> = events
            .iter()
            .filter_map(|it| match &it.kind {
                Some(Kind::TurnEnded(ended)) => Some(ended),
                _ => None,
            })
            .collect();
        let crashed = ended[1].turn.as_ref().expect("a turn");
        assert_eq!(crashed.state(), TurnState::Interrupted, "{agent}");
        let told = says(&mut client, agent, "TOLD").await;
        assert!(told.contains("the word is larboard"), "{agent}: {told}");
        let first = ended[0].turn.as_ref().expect("a turn").turn_id.clone();
        let fork = proto::ForkSessionRequest {
            session_key: agent.into(),
            new_session_key: format!("{agent}-fork"),
            turn_id: first,
            ..Default::default()
        };
        client.fork_session(fork).await.expect("it is forked");
        let fork = format!("{agent}-fork");
        assert_eq!(
            says(&mut client, &fork, "TOLD").await,
            "[\"the word is larboard\"]"
        );
        let reset = proto::ResetRequest {
            session_key: agent.into(),
            ..Default::default()
        };
        client.reset(reset).await.expect("it is reset");
        assert_eq!(says(&mut client, agent, "TOLD").await, "[]");
    }
}

/// An error of a provider is never a success, and says what it is; its key stands nowhere.
#[tokio::test]
async fn what_goes_wrong_at_a_provider_fails_the_turn_with_its_reason() {
    let model = Model::start();
    let log_file = tempfile::NamedTempFile::new().expect("a file");
    let gateway = Gateway::with(Options {
        config: format!("log = \"debug\"\n{}", config(&model)),
        log: Some(log_file.path().to_owned()),
        ..Options::default()
    });
    let mut client = gateway.client().await;
    for agent in DIALECTS {
        session(&mut client, agent, agent).await;
        for (fault, reason) in [
            ("key", "refused the key (HTTP 401): incorrect key: (key)"),
            (
                "model",
                "no such model, or nothing at this address (HTTP 404)",
            ),
            ("spent", "no money left"),
            ("long", "longer than the model's context"),
            ("garbage", "malformed"),
            ("refuse", "the model refused"),
            ("filter", "the model refused"),
        ] {
            let turn = run(&mut client, agent, &format!("FAULT {fault}")).await;
            assert_eq!(turn.state(), TurnState::Failed, "{agent} {fault}");
            let error = turn.error.expect("it says why");
            assert!(error.message.contains(reason), "{agent} {fault}: {error:?}");
        }
        let turn = run(&mut client, agent, "FAULT length").await;
        assert_eq!(
            (turn.state(), turn.stop_reason()),
            (TurnState::Completed, StopReason::Length)
        );
        assert_eq!(
            says(&mut client, agent, "SAY well again").await,
            "well again"
        );
        let events = format!("{:?}", log(&mut client, agent).await);
        assert!(!events.contains(KEY), "{agent}");
    }
    let logged = std::fs::read_to_string(log_file.path()).expect("a log");
    assert!(!logged.contains(KEY));
}

/// What may pass is tried again; what came of the first try is no part of the answer.
#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let model = Model::start();
    let (_gateway, mut client) = start(&model).await;
    for agent in DIALECTS {
        session(&mut client, agent, agent).await;
        for fault in ["busy", "broken", "cut", "early", "thought", "event"] {
            let prompt = format!("FAULT {fault} once-{agent}");
            assert_eq!(
                says(&mut client, agent, &prompt).await,
                format!("Echo: {prompt}")
            );
        }
        let events = log(&mut client, agent).await;
        let retries = events.iter().filter(|it| kind(it) == "retry_scheduled");
        assert_eq!(retries.count(), 6, "{agent}");
    }
}

#[tokio::test]
async fn an_abort_closes_the_call_at_once() {
    let model = Model::start();
    let (_gateway, mut client) = start(&model).await;
    for (nth, agent) in DIALECTS.into_iter().enumerate() {
        session(&mut client, agent, agent).await;
        let turn = enqueue(&mut client, agent, "HANG")
            .await
            .expect("it is queued");
        let turn_id = turn.turn.expect("a turn").turn_id;
        eventually("the call", async || model.calls().len() > nth).await;
        let abort = proto::AbortRequest {
            session_key: agent.into(),
            ..Default::default()
        };
        client.abort(abort).await.expect("it is stopped");
        let turn = await_turn(&mut client, agent, &turn_id).await;
        assert_eq!(turn.state(), TurnState::Canceled, "{agent}");
        eventually("the provider to see it", async || {
            model.calls()[nth]["left"] == true
        })
        .await;
    }
}

#[tokio::test]
async fn images_and_files_of_a_prompt_reach_the_model_in_later_turns_too() {
    let model = Model::start();
    let (_gateway, mut client) = start(&model).await;
    for agent in DIALECTS {
        session(&mut client, agent, agent).await;
        let attachment = |name: &str, media_type: &str, data: &[u8]| proto::Attachment {
            name: name.into(),
            media_type: media_type.into(),
            data: data.to_vec().into(),
        };
        let request = proto::EnqueueRequest {
            session_key: agent.into(),
            text: "look".into(),
            attachments: vec![
                attachment("dot.png", "image/png", b"png"),
                attachment("note.txt", "text/plain", b"a note"),
            ],
            ..Default::default()
        };
        let turn = client
            .enqueue(request)
            .await
            .expect("queued")
            .into_inner()
            .turn;
        await_turn(&mut client, agent, &turn.expect("a turn").turn_id).await;
        says(&mut client, agent, "SAY more").await;
        let calls = model.calls();
        for call in &calls[calls.len() - 2..] {
            let body = call["body"].to_string();
            assert!(
                body.contains("cG5n") && body.contains("a note"),
                "{agent}: {body}"
            );
        }
    }
}

/// A key comes from a file, or from the variable that a provider's own programs take; without one the turn says what to do.
#[tokio::test]
async fn a_key_comes_from_a_file_and_a_missing_one_is_told() {
    let model = Model::start();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{KEY}\n")).expect("written");
    let config = format!(
        "[agents.file]\ndriver = \"llm\"\nmodel = \"local/fake-1\"\nbase_url = \"{}\"\napi_key_file = {:?}\nmemory_tools = false\n\
         [agents.none]\ndriver = \"llm\"\nmodel = \"openai/gpt-5-mini\"\n",
        model.base_url(),
        file.path(),
    );
    let gateway = Gateway::with(Options {
        config,
        environment: vec![("OPENAI_API_KEY".into(), String::new())],
        ..Options::default()
    });
    let mut client = gateway.client().await;
    session(&mut client, "file", "file").await;
    assert_eq!(says(&mut client, "file", "SAY hi").await, "hi");
    let bearer = format!("Bearer {KEY}");
    assert_eq!(
        model.calls()[0]["headers"]["authorization"],
        bearer.as_str()
    );
    // Not every model takes tools.
    assert!(model.calls()[0]["body"]["tools"].is_null());
    session(&mut client, "none", "none").await;
    let turn = run(&mut client, "none", "hi").await;
    assert_eq!(turn.state(), TurnState::Failed);
    let error = turn.error.expect("it says why");
    assert!(error.message.contains("set OPENAI_API_KEY"), "{error:?}");
}

#[test]
fn what_a_configuration_leaves_open_is_told_and_its_secrets_are_not_shown() {
    let model = "[agents.m]\ndriver = \"llm\"\nmodel = \"openai/x\"\n";
    for (text, expected) in [
        (
            "[agents.m]\ndriver = \"llm\"\n".to_owned(),
            "agents.m.model: must be a provider",
        ),
        (
            "[agents.m]\ndriver = \"llm\"\nmodel = \"local/x\"\n".to_owned(),
            "agents.m.base_url: says where `local` is",
        ),
        (
            format!("{model}api_key = \"a\"\napi_key_file = \"b\"\n"),
            "give one of them",
        ),
        (
            format!("{model}mcp_servers = [\"no\"]\n"),
            "agents.m.mcp_servers: there is no [mcp_servers.no]",
        ),
        (
            "[agents.pi]\napi = \"chat\"\n".to_owned(),
            "file:2: agents.pi.api: means nothing without driver = \"llm\"",
        ),
        (
            "[mcp_servers.shed]\ntimeout = \"5s\"\n".to_owned(),
            "mcp_servers.shed: needs a `url`",
        ),
    ] {
        let problems = Config::parse("file", &text)
            .expect_err(expected)
            .to_string();
        assert!(problems.contains(expected), "{problems}");
    }
    let text = format!(
        "{model}api_key = \"hunter2\"\nmcp_servers = [\"shed\"]\n\
         [mcp_servers.shed]\nurl = \"http://127.0.0.1:1/mcp\"\nheaders = {{ authorization = \"hunter2\" }}\n"
    );
    let config = Config::parse("file", &text).expect("all is right");
    let printed = config.to_toml();
    assert!(!format!("{config:?}{printed}").contains("hunter2"));
    let again = Config::parse("printed", &printed).expect("what is printed is read");
    assert_eq!(
        again.mcp_servers["shed"].url,
        config.mcp_servers["shed"].url
    );
    assert_eq!(again.agents["m"].mcp_servers, ["shed"]);
}
