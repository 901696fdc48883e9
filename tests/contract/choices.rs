//! Models, thinking levels, options: chosen for one session, from the next start of a turn on (CONTRACT-2 §11; FEATURES 6.1 17
//! and 19, 6.2 6, 10 and 11; DEFECTS 31, 43).

use crate::world::*;
use proto::{TurnState, model_service_client::ModelServiceClient};
use tonic::transport::Channel;

type Models = ModelServiceClient<Channel>;

async fn models(address: &str) -> Models {
    ModelServiceClient::connect(address.to_owned())
        .await
        .expect("the server accepts")
}

fn names(models: &proto::ListModelsResponse) -> Vec<String> {
    let name = |it: &proto::Model| format!("{}/{}", it.provider, it.model_id);
    models.models.iter().map(name).collect()
}

fn used(models: &proto::ListModelsResponse) -> Option<(String, String)> {
    let it = models.current.clone()?;
    Some((it.model_id, it.thinking_level))
}

/// What the session's agent works with, by its own word.
async fn said(client: &mut Client, key: &str) -> String {
    run(client, key, "!chosen").await.response_text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_choice_is_the_sessions_alone_and_counts_from_the_next_start() {
    let (server, mut client) = shared().await;
    let mut models = models(server.address()).await;
    let (a, b) = ("choices.a", "choices.b");
    ok!(client.create_session(CreateSessionRequest { session_key: a }));
    let set = ok!(models.set_model(SetModelRequest {
        session_key: a,
        provider: "echo",
        model_id: "deep"
    }));
    let session = set.session.expect("a session");
    assert_eq!(session.model, "echo/deep");
    assert_eq!(set.seq, session.head_seq);
    let level = ok!(models.set_thinking_level(SetThinkingLevelRequest {
        session_key: a,
        level: "high"
    }));
    assert_eq!(level.session.expect("a session").thinking_level, "high");
    assert_eq!(said(&mut client, a).await, "model=echo/deep thinking=high");
    assert_eq!(said(&mut client, b).await, "model= thinking=");
    let of = |key: &'static str| proto::ListModelsRequest {
        session_key: key.into(),
        ..Default::default()
    };
    let listed = models
        .list_models(of(a))
        .await
        .expect("listed")
        .into_inner();
    assert_eq!(names(&listed), ["echo/plain", "echo/deep", "echo/broken"]);
    assert_eq!(used(&listed), Some(("deep".into(), "high".into())));
    assert!(listed.as_of.is_some());
    assert_eq!(listed.models[1].thinking_levels, ["low", "high"]);
    let listed = models
        .list_models(of(b))
        .await
        .expect("listed")
        .into_inner();
    assert_eq!(used(&listed), Some(("plain".into(), String::new())));
    let of_agent = ok!(models.list_models(ListModelsRequest { agent: "echo" }));
    assert_eq!(used(&of_agent), Some(("plain".into(), String::new())));
    assert_eq!(names(&of_agent).len(), 3);

    // A turn that runs goes on as it began; the next one has the other model, and says so once.
    let mut follow = Follow::live(&mut client, a).await;
    let running = queue(&mut client, a, "!delay=50ms !chosen !repeat=20").await;
    follow.until("turn_started").await;
    ok!(models.set_model(SetModelRequest {
        session_key: a,
        provider: "",
        model_id: ""
    }));
    ok!(models.set_thinking_level(SetThinkingLevelRequest {
        session_key: a,
        level: ""
    }));
    let ran = await_turn(&mut client, a, &running).await;
    let began = "model=echo/deep thinking=high";
    assert!(
        ran.response_text.starts_with(began),
        "{}",
        ran.response_text
    );
    assert_eq!(said(&mut client, a).await, "model= thinking=");
    let all = log(&mut client, a).await;
    let changed: Vec<&proto::ModelChanged> = all
        .iter()
        .filter_map(|event| match &event.kind {
            Some(Kind::ModelChanged(changed)) => Some(changed),
            _ => None,
        })
        .collect();
    assert_eq!(changed.len(), 1, "the first use is no change");
    assert_eq!(
        (changed[0].provider.as_str(), changed[0].model_id.as_str()),
        ("echo", "plain")
    );
    let updates = all
        .iter()
        .filter(|it| kind(it) == "session_updated")
        .count();
    assert_eq!(updates, 4);
    let kinds: Vec<&str> = log(&mut client, b).await.iter().map(kind).collect();
    assert!(
        !kinds.contains(&"model_changed") && !kinds.contains(&"session_updated"),
        "{kinds:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_known_not_to_be_offered_is_refused_and_a_repeat_is_not() {
    let (server, mut client) = shared().await;
    let mut models = models(server.address()).await;
    let key = "choices.refused";
    ok!(client.create_session(CreateSessionRequest { session_key: key }));
    run(&mut client, key, "hi").await;
    let model = |model_id: &str, request_id: &str| proto::SetModelRequest {
        session_key: key.into(),
        provider: "echo".into(),
        model_id: model_id.into(),
        request_id: request_id.into(),
        ..Default::default()
    };
    let refused = models.set_model(model("none", "")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(reason(&refused), "MODEL_NOT_FOUND");
    assert!(
        refused.message().contains("echo/plain, echo/deep"),
        "{}",
        refused.message()
    );
    models
        .set_model(model("deep", "once"))
        .await
        .expect("it is offered");
    let level = |level: &str| proto::SetThinkingLevelRequest {
        session_key: key.into(),
        level: level.into(),
        ..Default::default()
    };
    let refused = models.set_thinking_level(level("bogus")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("low, high"),
        "{}",
        refused.message()
    );
    models
        .set_thinking_level(level("low"))
        .await
        .expect("it is offered");
    let repeat = models
        .set_model(model("deep", "once"))
        .await
        .expect("a repeat")
        .into_inner();
    assert!(repeat.replayed);
    let other = models.set_model(model("plain", "once")).await.unwrap_err();
    assert_eq!(reason(&other), "IDEMPOTENCY_CONFLICT");
    let mut stale = model("plain", "");
    stale.expected_generation = Some(7);
    let stale = models.set_model(stale).await.unwrap_err();
    assert_eq!(reason(&stale), "GENERATION_MISMATCH");
    for (provider, model_id) in [("a/b", "c"), ("a", "")] {
        let wrong = call!(models.set_model(SetModelRequest {
            session_key: key,
            provider: provider,
            model_id: model_id
        }));
        assert_eq!(wrong.unwrap_err().code(), Code::InvalidArgument);
    }
    let gone = call!(models.set_model(SetModelRequest {
        session_key: "choices.none",
        model_id: "x"
    }));
    assert_eq!(reason(&gone.unwrap_err()), "SESSION_NOT_FOUND");
    let both = call!(models.list_models(ListModelsRequest {
        session_key: key,
        agent: "echo"
    }));
    assert_eq!(both.unwrap_err().code(), Code::InvalidArgument);
}

/// A choice that fails ends the next turn, which says why; nothing else is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_choice_that_the_agent_does_not_take_fails_the_next_turn() {
    let (server, mut client) = shared().await;
    let mut models = models(server.address()).await;
    let key = "choices.fails";
    ok!(client.create_session(CreateSessionRequest { session_key: key }));
    let set = |model_id: &'static str| proto::SetModelRequest {
        session_key: key.into(),
        provider: if model_id.is_empty() { "" } else { "echo" }.into(),
        model_id: model_id.into(),
        ..Default::default()
    };
    models.set_model(set("broken")).await.expect("accepted");
    let turn = run(&mut client, key, "hi").await;
    assert_eq!(turn.state(), TurnState::Failed);
    let error = turn.error.expect("an error");
    assert_eq!(error.reason, "AGENT_ERROR");
    assert!(error.message.contains("echo/broken"), "{}", error.message);
    models.set_model(set("")).await.expect("accepted");
    assert_eq!(run(&mut client, key, "hi").await.response_text, "hi");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn options_are_listed_set_followed_and_kept_by_forks_and_resets() {
    let (server, mut client) = shared().await;
    let key = "choices.options";
    ok!(client.create_session(CreateSessionRequest { session_key: key }));
    run(&mut client, key, "hi").await;
    let listed = ok!(client.list_options(ListOptionsRequest { session_key: key }));
    assert!(listed.as_of.is_some());
    let style = &listed.options[0];
    let values: Vec<&str> = style.values.iter().map(|it| it.value.as_str()).collect();
    assert_eq!(
        (style.option_id.as_str(), values),
        ("style", vec!["calm", "brisk"])
    );
    assert_eq!(
        (style.current.as_str(), style.chosen.as_str()),
        ("calm", "")
    );
    assert!(style.needs_approval);
    let set = |option_id: &str, value: &str| proto::SetOptionRequest {
        session_key: key.into(),
        option_id: option_id.into(),
        value: value.into(),
        ..Default::default()
    };
    let refused = client.set_option(set("mood", "x")).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "OPTION_NOT_FOUND")
    );
    let refused = client.set_option(set("style", "odd")).await.unwrap_err();
    assert!(
        refused.message().contains("calm, brisk"),
        "{}",
        refused.message()
    );
    let mut follow = Follow::live(&mut client, key).await;
    client
        .set_option(set("style", "brisk"))
        .await
        .expect("it is offered");
    follow.until("options_changed").await;
    assert_eq!(said(&mut client, key).await, "model= thinking= style=brisk");
    let listed = ok!(client.list_options(ListOptionsRequest { session_key: key }));
    let style = &listed.options[0];
    assert_eq!(
        (style.current.as_str(), style.chosen.as_str()),
        ("brisk", "brisk")
    );
    let fork = "choices.options.fork";
    ok!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: fork
    }));
    let other = "choices.options.other";
    ok!(client.create_session(CreateSessionRequest { session_key: other }));
    let listed = ok!(client.list_options(ListOptionsRequest { session_key: other }));
    let style = &listed.options[0];
    assert_eq!(
        (style.current.as_str(), style.chosen.as_str()),
        ("calm", ""),
        "not this one's"
    );
    assert_eq!(
        said(&mut client, fork).await,
        "model= thinking= style=brisk"
    );
    ok!(client.reset(ResetRequest { session_key: key }));
    assert_eq!(said(&mut client, key).await, "model= thinking= style=brisk");
    client
        .set_option(set("style", ""))
        .await
        .expect("given back");
    assert_eq!(said(&mut client, key).await, "model= thinking=");
    drop(server);
}

/// Choices and what was offered outlive the server, also one that was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn choices_and_offers_survive_a_kill() {
    let mut server = Gateway::start();
    let mut client = server.client().await;
    run(&mut client, "s", "hi").await;
    let mut choosing = models(&server.address).await;
    ok!(choosing.set_model(SetModelRequest {
        session_key: "s",
        provider: "echo",
        model_id: "deep"
    }));
    ok!(client.set_option(SetOptionRequest {
        session_key: "s",
        option_id: "style",
        value: "brisk"
    }));
    said(&mut client, "s").await;
    server.kill();
    server.restart();
    let mut client = server.client().await;
    let mut choosing = models(&server.address).await;
    let listed = ok!(choosing.list_models(ListModelsRequest { session_key: "s" }));
    assert_eq!(used(&listed), Some(("deep".into(), String::new())));
    assert_eq!(names(&listed).len(), 3);
    let listed = ok!(client.list_options(ListOptionsRequest { session_key: "s" }));
    assert_eq!(listed.options[0].chosen, "brisk");
    assert_eq!(
        said(&mut client, "s").await,
        "model=echo/deep thinking= style=brisk"
    );
    let kinds: Vec<&str> = log(&mut client, "s").await.iter().map(kind).collect();
    let changes = kinds.iter().filter(|it| **it == "model_changed").count();
    assert_eq!(changes, 1, "{kinds:?}");
    ok!(client.delete_session(DeleteSessionRequest { session_key: "s" }));
    let of_agent = ok!(choosing.list_models(ListModelsRequest { agent: "echo" }));
    assert_eq!(names(&of_agent).len(), 3, "it is the agent's");
    server.check_store();
}
