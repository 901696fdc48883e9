//! Routing: which agent, model and thinking level are used where nobody chose (CONTRACT-2 §11; FEATURES 6.2 3; DEFECTS 40).

use crate::world::{turn as turn_of, *};
use proto::model_service_client::ModelServiceClient;
use tonic::transport::Channel;

type Models = ModelServiceClient<Channel>;

/// Two agents; the second one is there so that routes can name it.
const AGENTS: &str = "default_agent = \"echo\"\n[agents.other]\ndriver = \"echo\"\n";

async fn models(gateway: &Gateway) -> Models {
    let connected = ModelServiceClient::connect(gateway.address.clone()).await;
    connected.expect("the server accepts")
}

fn route(name: &str, when: proto::RouteCondition, target: proto::RouteTarget) -> proto::Route {
    proto::Route {
        name: name.into(),
        when: Some(when),
        r#use: Some(target),
    }
}

fn matches(pattern: &str) -> proto::RouteCondition {
    proto::RouteCondition {
        text_matches: pattern.into(),
        ..Default::default()
    }
}

fn model(model_id: &str) -> proto::RouteTarget {
    proto::RouteTarget {
        provider: "echo".into(),
        model_id: model_id.into(),
        ..Default::default()
    }
}

fn agent(name: &str) -> proto::RouteTarget {
    proto::RouteTarget {
        agent: name.into(),
        ..Default::default()
    }
}

async fn set(models: &mut Models, routes: Vec<proto::Route>) -> String {
    ok!(models.set_routes(SetRoutesRequest { routes: routes })).etag
}

fn rule(routing: Option<&proto::Routing>) -> &str {
    routing.map_or("(none)", |routing| &routing.rule_name)
}

fn changes(events: &[proto::GatewayEvent]) -> Vec<String> {
    let changed = events.iter().filter_map(|event| match &event.kind {
        Some(Kind::ModelChanged(it)) => Some(format!(
            "{}/{} {}",
            it.provider, it.model_id, it.thinking_level
        )),
        _ => None,
    });
    changed.map(|it| it.trim().to_owned()).collect()
}

/// The first route that matches counts; a session's own choice stands above it, the agent's default below. It is recorded in
/// turn, event and session, and survives kill -9.
#[tokio::test]
async fn a_turn_is_routed_at_its_start_and_a_sessions_own_choice_stands_above() {
    let mut gateway = Gateway::with(config(AGENTS));
    let mut client = gateway.client().await;
    let mut service = models(&gateway).await;
    let before = run(&mut client, "r", "!chosen").await;
    assert_eq!(before.response_text, "model= thinking=");
    assert_eq!(before.routing, None, "no routes, nothing to say");
    let deep = proto::RouteTarget {
        thinking_level: "high".into(),
        ..model("deep")
    };
    let routes = vec![
        route("think", matches(r"(?i)\bwhy\b"), deep),
        route("rest", proto::RouteCondition::default(), model("plain")),
    ];
    set(&mut service, routes).await;
    let turn = run(&mut client, "r", "!chosen WHY").await;
    assert!(
        turn.response_text
            .starts_with("model=echo/deep thinking=high"),
        "{turn:?}"
    );
    assert_eq!(
        (turn.model.as_str(), turn.thinking_level.as_str()),
        ("echo/deep", "high")
    );
    let routing = turn.routing.clone().expect("it was routed");
    assert_eq!(
        (routing.rule_name.as_str(), routing.reason.as_str()),
        ("think", "route think matches")
    );
    let all = log(&mut client, "r").await;
    let started = all.iter().rev().find_map(|event| match &event.kind {
        Some(Kind::TurnStarted(started)) => started.turn.clone(),
        _ => None,
    });
    let started = started.expect("it started");
    assert_eq!(started.routing, turn.routing, "the event says so too");
    let run_again = run(&mut client, "r", "!chosen").await;
    assert_eq!(run_again.response_text, "model=echo/plain thinking=");
    assert_eq!(rule(run_again.routing.as_ref()), "rest");
    assert_eq!(
        changes(&log(&mut client, "r").await),
        ["echo/deep high", "echo/plain"],
        "each change once"
    );

    // A model of one's own stands above the route's; the level is still the route's.
    ok!(service.set_model(SetModelRequest {
        session_key: "r",
        provider: "echo",
        model_id: "deep"
    }));
    let own = run(&mut client, "r", "!chosen").await;
    assert_eq!(own.response_text, "model=echo/deep thinking=");
    let why = own.routing.expect("it was routed").reason;
    assert_eq!(why, "route rest matches; the session's own model counts");

    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    let mut service = models(&gateway).await;
    let kept = turn_of(&mut client, "r", &turn.turn_id).await;
    assert_eq!(
        (kept.routing, kept.thinking_level),
        (turn.routing, turn.thinking_level)
    );
    let session = ok!(client.get_session(GetSessionRequest { session_key: "r" }))
        .session
        .expect("a session");
    assert_eq!(rule(session.routing.as_ref()), "rest");
    ok!(service.set_model(SetModelRequest { session_key: "r" }));
    assert_eq!(
        run(&mut client, "r", "!chosen why").await.model,
        "echo/deep",
        "the routes are kept"
    );
    set(&mut service, Vec::new()).await;
    let last = run(&mut client, "r", "!chosen why").await;
    assert!(
        last.response_text.starts_with("model= thinking="),
        "{last:?}"
    );
    assert_eq!(last.routing, None);
    gateway.check_store();
}

/// The agent is the route's where a session's maker named none, and no directory.
#[tokio::test]
async fn a_new_session_gets_its_agent_from_the_first_route_that_matches() {
    let mut gateway = Gateway::with(config(AGENTS));
    let mut client = gateway.client().await;
    let mut service = models(&gateway).await;
    let labelled = proto::RouteCondition {
        labels: [("team".to_owned(), "b".to_owned())].into(),
        ..Default::default()
    };
    let from_mail = proto::RouteCondition {
        sources: vec!["mail".into()],
        ..Default::default()
    };
    let images = proto::RouteCondition {
        has_attachment_type: "image/*".into(),
        ..Default::default()
    };
    let long = proto::RouteCondition {
        min_text_bytes: 1000,
        ..Default::default()
    };
    let routes = vec![
        route("team", labelled, agent("other")),
        route("mail", from_mail, agent("other")),
        route("images", images, agent("other")),
        route(
            "long",
            long,
            proto::RouteTarget {
                agent: "other".into(),
                ..model("deep")
            },
        ),
        route("pi", matches("^pi:"), agent("echo")),
    ];
    set(&mut service, routes).await;
    let labels: std::collections::BTreeMap<String, String> =
        [("team".to_owned(), "b".to_owned())].into();
    let made = ok!(client.create_session(CreateSessionRequest {
        session_key: "l",
        labels: labels.clone()
    }));
    let made = made.session.expect("a session");
    assert_eq!(
        (made.agent.as_str(), rule(made.routing.as_ref())),
        ("other", "team")
    );
    // A choice of the maker's stands above.
    let named = ok!(client.create_session(CreateSessionRequest {
        session_key: "n",
        labels: labels,
        agent: "echo"
    }));
    assert_eq!(named.session.expect("a session").agent, "echo");
    // What nothing matches gets the default agent.
    let plain = run(&mut client, "p", "hi").await;
    assert_eq!(
        (plain.agent.as_str(), rule(plain.routing.as_ref())),
        ("echo", "")
    );
    ok!(client.enqueue(EnqueueRequest {
        session_key: "m",
        text: "hi",
        source: "mail"
    }));
    let session = ok!(client.get_session(GetSessionRequest { session_key: "m" }))
        .session
        .expect("a session");
    assert_eq!(session.agent, "other");
    let picture = proto::Attachment {
        name: "p.png".into(),
        media_type: "image/png".into(),
        data: vec![1].into(),
    };
    ok!(client.enqueue(EnqueueRequest {
        session_key: "i",
        text: "look",
        attachments: vec![picture]
    }));
    let session = ok!(client.get_session(GetSessionRequest { session_key: "i" }))
        .session
        .expect("a session");
    assert_eq!(session.agent, "other");
    let long = run(&mut client, "g", &format!("!chosen {}", "x".repeat(1000))).await;
    assert_eq!(
        (long.agent.as_str(), long.model.as_str()),
        ("other", "echo/deep")
    );
    // In a session of another agent that route is passed over.
    let passed = run(&mut client, "p", &"x".repeat(1000)).await;
    assert_eq!(
        (passed.model.as_str(), rule(passed.routing.as_ref())),
        ("", "")
    );
    gateway.check_store();
}

/// What can't be used is skipped; turn, dry run and log say so.
#[tokio::test]
async fn a_route_that_cant_be_used_is_skipped_with_its_reason_and_a_warning() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut options = config(AGENTS);
    options.log = Some(file.path().to_owned());
    let mut gateway = Gateway::with(options);
    let mut client = gateway.client().await;
    let mut service = models(&gateway).await;
    // So that it is known what the agent offers.
    run(&mut client, "s", "hi").await;
    let always = proto::RouteCondition::default;
    let routes = vec![
        route("gone", always(), agent("nobody")),
        route("odd", always(), model("unheard-of")),
        route("good", always(), model("deep")),
    ];
    set(&mut service, routes).await;
    let turn = run(&mut client, "s", "!chosen").await;
    assert_eq!(turn.response_text, "model=echo/deep thinking=");
    let routing = turn.routing.expect("it was routed");
    assert_eq!(routing.rule_name, "good");
    assert_eq!(
        routing.skipped_rules,
        ["odd"],
        "a route of another agent is passed over"
    );
    assert!(
        routing.reason.starts_with(
            "route good matches; route odd is skipped: the agent has no model echo/unheard-of"
        ),
        "{}",
        routing.reason
    );
    let tried = ok!(service.resolve_route(ResolveRouteRequest { text: "hi" }));
    let routing = tried.routing.expect("there are routes");
    assert_eq!(
        (tried.agent.as_str(), tried.model_id.as_str()),
        ("echo", "deep")
    );
    assert_eq!(routing.skipped_rules, ["gone", "odd"]);
    assert!(
        routing
            .reason
            .contains("route gone is skipped: agent nobody is not configured"),
        "{}",
        routing.reason
    );
    let new = run(&mut client, "new", "hi").await;
    assert_eq!(
        (new.agent.as_str(), new.model.as_str()),
        ("echo", "echo/deep")
    );
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    let said = std::fs::read_to_string(file.path()).expect("a log");
    for name in ["gone", "odd"] {
        let warning = format!("route {name} can't be used and is skipped");
        assert!(said.lines().any(|line| line.contains(&warning)), "{said}");
    }
    // An agent that is configured no more: the routes that name it are skipped, the server starts.
    let config = gateway.directory.path().join("quarterdeck.toml");
    std::fs::write(config, "default_agent = \"echo\"\n").expect("written");
    gateway.restart();
    let mut client = gateway.client().await;
    assert_eq!(run(&mut client, "s", "!chosen").await.model, "echo/deep");
    gateway.check_store();
}

/// Routes are replaced as a whole, by who knows the present ones; a repeat is one.
#[tokio::test]
async fn routes_are_set_against_their_etag_once_per_request() {
    let gateway = Gateway::with(config(AGENTS));
    let mut service = models(&gateway).await;
    let empty = ok!(service.list_routes(ListRoutesRequest {}));
    assert!(empty.routes.is_empty() && !empty.etag.is_empty());
    let routes = vec![route("a", matches("x"), model("deep"))];
    let request = proto::SetRoutesRequest {
        routes: routes.clone(),
        etag: empty.etag.clone(),
        request_id: "one".into(),
        tenant: String::new(),
    };
    let set = service
        .set_routes(request.clone())
        .await
        .expect("it is set")
        .into_inner();
    assert!(!set.replayed);
    let listed = ok!(service.list_routes(ListRoutesRequest {}));
    assert_eq!((&listed.routes, &listed.etag), (&routes, &set.etag));
    let again = service
        .set_routes(request.clone())
        .await
        .expect("a repeat")
        .into_inner();
    assert_eq!((again.etag, again.replayed), (set.etag.clone(), true));
    let stale = proto::SetRoutesRequest {
        routes: Vec::new(),
        request_id: String::new(),
        ..request
    };
    let refused = service.set_routes(stale).await.expect_err("it is stale");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Aborted, "ROUTES_CHANGED")
    );
    let details = tonic_types::StatusExt::get_details_error_info(&refused).expect("details");
    assert_eq!(details.metadata.get("etag"), Some(&set.etag));
    let still = ok!(service.list_routes(ListRoutesRequest {}));
    assert_eq!(still.etag, set.etag);
}

#[tokio::test]
async fn routes_that_say_nothing_right_are_refused_field_by_field() {
    let gateway = Gateway::with(config(AGENTS));
    let mut service = models(&gateway).await;
    let bad = proto::RouteCondition {
        text_matches: "(?=x)".into(),
        min_text_bytes: -1,
        has_attachment_type: "image".into(),
        principals: vec!["elsewhere/ann".into()],
        ..Default::default()
    };
    let target = proto::RouteTarget {
        provider: "a/b".into(),
        ..Default::default()
    };
    let routes = vec![route("-a", bad, target)];
    let refused =
        call!(service.set_routes(SetRoutesRequest { routes: routes })).expect_err("they are wrong");
    let details = tonic_types::StatusExt::get_details_bad_request(&refused).expect("details");
    let fields: Vec<&str> = details
        .field_violations
        .iter()
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "routes[0].name",
            "routes[0].when.text_matches",
            "routes[0].when.min_text_bytes",
            "routes[0].when.has_attachment_type",
            "routes[0].when.principals[0]",
            "routes[0].use.provider",
            "routes[0].use.model_id",
            "routes[0].use",
        ]
    );
    let routes = vec![
        route("b", matches(""), proto::RouteTarget::default()),
        route("b", matches(&"x".repeat(1025)), model("deep")),
    ];
    let refused =
        call!(service.set_routes(SetRoutesRequest { routes: routes })).expect_err("they are wrong");
    let details = tonic_types::StatusExt::get_details_bad_request(&refused).expect("details");
    let fields: Vec<&str> = (details.field_violations.iter())
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "routes[0].use",
            "routes[1].name",
            "routes[1].when.text_matches"
        ]
    );
    let many = (0..33)
        .map(|at| route(&format!("r{at}"), matches("x"), model("deep")))
        .collect::<Vec<_>>();
    let refused =
        call!(service.set_routes(SetRoutesRequest { routes: many })).expect_err("too many");
    assert_eq!(reason(&refused), "INVALID_FIELD");
}
