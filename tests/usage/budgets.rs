//! Budgets: warned at, refused at, and never overshot by more than the calls in flight.

use crate::{
    Admin, admin,
    llm_support::Model,
    reports, start,
    support::{Client, SOON, await_turn, enqueue, log, run},
};
use proto::{BudgetPeriod, BudgetScope, TurnState, gateway_event::Kind};
use quarterdeck::proto;
use tonic::Code;
use tonic_types::StatusExt as _;

fn budget(scope: BudgetScope, key: &str) -> proto::SetBudgetRequest {
    proto::SetBudgetRequest {
        scope: scope.into(),
        key: key.into(),
        period: BudgetPeriod::Total.into(),
        ..Default::default()
    }
}

async fn set(admin: &mut Admin, request: proto::SetBudgetRequest) -> proto::Budget {
    let set = admin.set_budget(request).await.expect("it is set");
    set.into_inner().budget.expect("a budget")
}

fn reason(status: &tonic::Status) -> String {
    status.get_details_error_info().expect("a reason").reason
}

async fn agent_session(client: &mut Client, key: &str) {
    let request = proto::CreateSessionRequest {
        session_key: key.into(),
        agent: "chat".into(),
        ..Default::default()
    };
    client.create_session(request).await.expect("it is made");
}

fn llm(model: &Model) -> String {
    format!(
        "max_running_turns = 200\nreserved_running_turns = 0\nprincipal_max_running_turns = 0\n\
         tenant_max_running_turns = 0\nprincipal_max_awake_agents = 0\ntenant_max_awake_agents = 0\n\
         [agents.chat]\ndriver = \"llm\"\nmodel = \"local/fake-1\"\nbase_url = \"{}\"\napi = \"chat\"\n\
         memory_tools = false\n",
        model.base_url()
    )
}

/// §13: soft warns once, hard refuses; what it is set to later counts at once, also for who was refused before.
#[tokio::test]
async fn a_budget_warns_once_and_then_refuses_until_it_is_raised() {
    let mut gateway = start("");
    let mut client = gateway.client().await;
    let mut admin_client = admin(&gateway).await;
    run(&mut client, "s", "!usage=100,0 before").await;
    let request = proto::SetBudgetRequest {
        soft_micros: Some(150),
        hard_micros: Some(300),
        ..budget(BudgetScope::Session, "s")
    };
    let now = set(&mut admin_client, request.clone()).await;
    assert_eq!(
        (now.spent_micros, now.exceeded),
        (100, false),
        "what was used before counts"
    );
    run(&mut client, "s", "!usage=60,0 !usage=60,0 warned").await;
    let warnings = |events: &[proto::GatewayEvent]| {
        let warned = events.iter().filter_map(|event| match &event.kind {
            Some(Kind::BudgetWarning(warning)) => warning.budget.clone(),
            _ => None,
        });
        warned.collect::<Vec<_>>()
    };
    let told = warnings(&log(&mut client, "s").await);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].spent_micros, told[0].key.as_str()), (160, "s"));
    // An agent that calls models by itself is stopped between turns.
    let turn = run(&mut client, "s", "!usage=500,0 beyond").await;
    assert_eq!(turn.state(), TurnState::Completed);
    gateway.kill();
    gateway.restart();
    client = gateway.client().await;
    admin_client = admin(&gateway).await;
    let refused = enqueue(&mut client, "s", "no more")
        .await
        .expect_err("it is used up");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "BUDGET_EXCEEDED")
    );
    assert!(
        refused.message().contains("session s"),
        "{}",
        refused.message()
    );
    assert!(
        enqueue(&mut client, "other", "hi").await.is_ok(),
        "it is one session's"
    );
    let raised = proto::SetBudgetRequest {
        hard_micros: Some(10_000),
        ..request
    };
    assert!(!set(&mut admin_client, raised).await.exceeded);
    assert_eq!(
        run(&mut client, "s", "again").await.state(),
        TurnState::Completed
    );
    gateway.check_store();
}

/// What waits when a budget is used up does not start.
#[tokio::test]
async fn waiting_turns_end_rejected_when_the_budget_is_used_up() {
    let gateway = start("");
    let mut client = gateway.client().await;
    let mut admin_client = admin(&gateway).await;
    let request = proto::SetBudgetRequest {
        hard_tokens: Some(100),
        ..budget(BudgetScope::Principal, "default/local")
    };
    set(&mut admin_client, request).await;
    enqueue(&mut client, "s", "!usage=100,0 !ask=tool first")
        .await
        .expect("it runs");
    let second = enqueue(&mut client, "s", "second").await.expect("it waits");
    let second = second.turn.expect("a turn");
    let question = loop {
        let listed = client
            .list_questions(proto::ListQuestionsRequest::default())
            .await;
        let listed = listed.expect("listed").into_inner().questions;
        if let Some(question) = listed.into_iter().next() {
            break question;
        }
        tokio::task::yield_now().await;
    };
    let answer = proto::AnswerQuestionRequest {
        session_key: "s".into(),
        question_id: question.question_id,
        answer: Some(proto::Answer {
            option_id: "allow".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    client.answer_question(answer).await.expect("answered");
    let ended = await_turn(&mut client, "s", &second.turn_id).await;
    assert_eq!(ended.state(), TurnState::Rejected);
    let error = ended.error.expect("a reason");
    assert_eq!(error.reason, "BUDGET_EXCEEDED");
    assert!(
        error.message.contains("100 of 100 tokens"),
        "{}",
        error.message
    );
}

/// Labels count as they were when a turn was accepted; a budget of another label, or another principal, is another one.
#[tokio::test]
async fn a_budget_is_of_whom_it_names() {
    let gateway = start("");
    let mut client = gateway.client().await;
    let mut admin_client = admin(&gateway).await;
    for (scope, key) in [
        (BudgetScope::Label, "team=red"),
        (BudgetScope::Principal, "somebody"),
        (BudgetScope::Session, "else"),
    ] {
        let request = proto::SetBudgetRequest {
            hard_tokens: Some(0),
            ..budget(scope, key)
        };
        set(&mut admin_client, request).await;
    }
    for (key, team, runs) in [("r", "red", false), ("b", "blue", true)] {
        let request = proto::CreateSessionRequest {
            session_key: key.into(),
            labels: [("team".to_owned(), team.to_owned())].into(),
            ..Default::default()
        };
        client.create_session(request).await.expect("it is made");
        assert_eq!(
            enqueue(&mut client, key, "hi").await.is_ok(),
            runs,
            "{team}"
        );
    }
    // Of the whole tenant: for whoever runs the server, who does here.
    let request = proto::SetBudgetRequest {
        hard_tokens: Some(0),
        ..budget(BudgetScope::Tenant, "")
    };
    set(&mut admin_client, request.clone()).await;
    assert!(enqueue(&mut client, "b", "hi").await.is_err());
    let gone = proto::DeleteBudgetRequest {
        scope: request.scope,
        period: request.period,
        ..Default::default()
    };
    assert!(
        admin_client
            .delete_budget(gone.clone())
            .await
            .expect("gone")
            .into_inner()
            .deleted
    );
    assert!(
        !admin_client
            .delete_budget(gone)
            .await
            .expect("again")
            .into_inner()
            .deleted
    );
    assert!(enqueue(&mut client, "b", "hi").await.is_ok());
    let wrong = [
        proto::SetBudgetRequest {
            period: 0,
            ..request.clone()
        },
        proto::SetBudgetRequest {
            key: "x".into(),
            ..request.clone()
        },
        proto::SetBudgetRequest {
            hard_tokens: None,
            ..request.clone()
        },
        proto::SetBudgetRequest {
            hard_tokens: Some(-1),
            ..request
        },
    ];
    for request in wrong {
        let refused = admin_client
            .set_budget(request)
            .await
            .expect_err("it is wrong");
        assert_eq!(reason(&refused), "INVALID_FIELD");
    }
}

/// The loop of ours holds each call back: a running turn ends before the next one.
#[tokio::test]
async fn a_running_turn_of_our_own_loop_ends_before_its_next_call() {
    let model = Model::start();
    let gateway = start(&llm(&model));
    let mut client = gateway.client().await;
    let mut admin_client = admin(&gateway).await;
    let request = proto::SetBudgetRequest {
        // Two calls and a half.
        hard_micros: Some(300),
        ..budget(BudgetScope::Session, "s")
    };
    set(&mut admin_client, request).await;
    agent_session(&mut client, "s").await;
    let turn = run(&mut client, "s", "LOOP").await;
    assert_eq!(turn.state(), TurnState::Failed);
    let error = turn.error.expect("a reason");
    assert_eq!(error.reason, "BUDGET_EXCEEDED");
    assert!(
        error.message.contains("0.000360 of 0.000300"),
        "{}",
        error.message
    );
    assert_eq!(model.calls().len(), 3);
}

/// A money budget does not let a model be called whose price nobody knows; one in tokens does.
#[tokio::test]
async fn money_is_not_spent_on_a_model_without_a_price() {
    let model = Model::start();
    let gateway = start(&llm(&model).replace("local/fake-1", "local/unknown"));
    let mut client = gateway.client().await;
    let mut admin_client = admin(&gateway).await;
    agent_session(&mut client, "s").await;
    let tokens = proto::SetBudgetRequest {
        hard_tokens: Some(1_000_000),
        ..budget(BudgetScope::Principal, "local")
    };
    set(&mut admin_client, tokens).await;
    assert_eq!(
        run(&mut client, "s", "SAY hi").await.state(),
        TurnState::Completed
    );
    let money = proto::SetBudgetRequest {
        hard_micros: Some(1_000_000),
        ..budget(BudgetScope::Tenant, "")
    };
    set(&mut admin_client, money).await;
    let turn = run(&mut client, "s", "SAY hi").await;
    let error = turn.error.expect("a reason");
    assert_eq!(error.reason, "BUDGET_EXCEEDED");
    assert!(
        error.message.contains("price of local/unknown"),
        "{}",
        error.message
    );
    assert_eq!(model.calls().len(), 1);
}

/// §13: overshoot ≤ the calls in flight, however many turns run beside each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_turns_beside_each_other_overshoot_by_the_calls_in_flight_alone() {
    const TURNS: usize = 100;
    const CALL_TOKENS: i64 = 120;
    const BOUND: i64 = 250 * CALL_TOKENS;
    let model = Model::start();
    let mut gateway = start(&llm(&model));
    let mut client = gateway.client().await;
    let mut admin_client = admin(&gateway).await;
    let request = proto::SetBudgetRequest {
        hard_tokens: Some(BOUND),
        ..budget(BudgetScope::Tenant, "")
    };
    set(&mut admin_client, request.clone()).await;
    let mut turns = tokio::task::JoinSet::new();
    for nth in 0..TURNS {
        let mut client = client.clone();
        turns.spawn(async move {
            let key = format!("s{nth}");
            agent_session(&mut client, &key).await;
            // One that comes when all is used up is refused.
            let Ok(accepted) = enqueue(&mut client, &key, "LOOP").await else {
                return key;
            };
            let turn_id = accepted.turn.expect("a turn").turn_id;
            let turn = await_turn(&mut client, &key, &turn_id).await;
            assert!(
                matches!(turn.state(), TurnState::Failed | TurnState::Rejected),
                "{turn:?}"
            );
            assert_eq!(turn.error.expect("a reason").reason, "BUDGET_EXCEEDED");
            key
        });
    }
    let mut spent = 0;
    let mut calls = 0;
    while let Some(key) = turns.join_next().await {
        let events = log(&mut client, &key.expect("no panic")).await;
        for report in reports(&events) {
            let usage = report.usage.expect("numbers");
            spent += usage.input_tokens + usage.cache_read_tokens + usage.output_tokens;
            calls += 1;
        }
    }
    assert!(spent >= BOUND, "{spent}: it was used up");
    let most = BOUND + i64::try_from(TURNS).expect("small") * CALL_TOKENS;
    assert!(spent <= most, "{spent} of {most}");
    assert_eq!(
        calls,
        model.calls().len(),
        "no call is begun and not counted"
    );
    let listed = admin_client
        .list_budgets(proto::ListBudgetsRequest::default())
        .await;
    let listed = listed.expect("listed").into_inner().budgets;
    assert_eq!(listed[0].spent_tokens, spent);
    gateway.check_store();
}

async fn pending(client: &mut Client) -> proto::Question {
    loop {
        let request = proto::ListQuestionsRequest {
            states: vec![proto::QuestionState::Pending.into()],
            ..Default::default()
        };
        let listed = client
            .list_questions(request)
            .await
            .expect("listed")
            .into_inner();
        if let Some(question) = listed.questions.into_iter().next() {
            return question;
        }
        tokio::task::yield_now().await;
    }
}

async fn answer(
    client: &mut Client,
    question: &proto::Question,
    answer: proto::Answer,
) -> Result<(), tonic::Status> {
    let request = proto::AnswerQuestionRequest {
        session_key: question.session_key.clone(),
        question_id: question.question_id.clone(),
        action_digest: question.action_digest.clone(),
        answer: Some(answer),
        ..Default::default()
    };
    client.answer_question(request).await.map(drop)
}

fn content(text: &str) -> proto::Answer {
    proto::Answer {
        content_json: text.into(),
        ..Default::default()
    }
}

/// §13: PAUSE asks before the next call; what is granted is this turn's alone, and then it is asked again.
#[tokio::test]
async fn a_paused_turn_goes_on_for_as_much_as_it_is_granted() {
    let model = Model::start();
    let mut gateway = start(&llm(&model));
    let mut client = gateway.client().await;
    let mut admin_client = admin(&gateway).await;
    let request = proto::SetBudgetRequest {
        hard_micros: Some(300),
        on_exceeded: proto::OnExceeded::Pause.into(),
        ..budget(BudgetScope::Session, "s")
    };
    set(&mut admin_client, request).await;
    agent_session(&mut client, "s").await;
    let turn = enqueue(&mut client, "s", "LOOP")
        .await
        .expect("accepted")
        .turn
        .expect("a turn");
    let question = pending(&mut client).await;
    assert_eq!(question.kind(), proto::QuestionKind::Budget);
    assert!(
        question.title.contains("0.000360 of 0.000300"),
        "{}",
        question.title
    );
    assert_eq!(model.calls().len(), 3);
    let refused = answer(&mut client, &question, content("{\"dollars\": 1}")).await;
    assert_eq!(reason(&refused.expect_err("no grant")), "INVALID_FIELD");
    // Of 240 millionths two calls are paid.
    let granted = content("{\"micros\": 240}");
    answer(&mut client, &question, granted)
        .await
        .expect("granted");
    let question = pending(&mut client).await;
    assert_eq!(model.calls().len(), 5);
    let declined = proto::Answer {
        declined: true,
        ..Default::default()
    };
    answer(&mut client, &question, declined)
        .await
        .expect("declined");
    let turn = await_turn(&mut client, "s", &turn.turn_id).await;
    assert_eq!(turn.state(), TurnState::Failed);
    assert_eq!(turn.error.expect("a reason").reason, "BUDGET_EXCEEDED");
    assert_eq!(model.calls().len(), 5);
    // Nothing of the grant is left to the next one, which waits.
    let next = enqueue(&mut client, "s", "SAY hi")
        .await
        .expect("accepted")
        .turn
        .expect("a turn");
    assert_eq!(next.state(), TurnState::Queued);
    gateway.check_store();
}

/// Comes back once the session says so of its next turn.
async fn held_by(client: &mut Client, key: &str, reason: &str) {
    let said = async {
        loop {
            let request = proto::GetSessionRequest {
                session_key: key.into(),
                ..Default::default()
            };
            let got = client.get_session(request).await.expect("it is there");
            let session = got.into_inner().session.expect("a session");
            if session.wait_reason == reason {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, said)
        .await
        .expect("it says so soon");
}

/// With PAUSE new turns wait, over restarts too, until the budget is raised or taken away; who is not bounded does not.
#[tokio::test]
async fn paused_turns_wait_in_the_queue_until_there_is_more() {
    let mut gateway = start("");
    let mut client = gateway.client().await;
    let mut admin_client = admin(&gateway).await;
    let request = proto::SetBudgetRequest {
        hard_tokens: Some(10),
        on_exceeded: proto::OnExceeded::Pause.into(),
        ..budget(BudgetScope::Label, "team=red")
    };
    set(&mut admin_client, request.clone()).await;
    let session = proto::CreateSessionRequest {
        session_key: "s".into(),
        labels: [("team".to_owned(), "red".to_owned())].into(),
        ..Default::default()
    };
    client.create_session(session).await.expect("it is made");
    run(&mut client, "s", "!usage=10,0 all of it").await;
    let first = enqueue(&mut client, "s", "!usage=10,0 first")
        .await
        .expect("it waits");
    let first = first.turn.expect("a turn").turn_id;
    held_by(&mut client, "s", "BUDGET_EXCEEDED").await;
    run(&mut client, "other", "who is not bounded").await;
    gateway.kill();
    gateway.restart();
    client = gateway.client().await;
    admin_client = admin(&gateway).await;
    let second = enqueue(&mut client, "s", "second").await.expect("it waits");
    let second = second.turn.expect("a turn").turn_id;
    held_by(&mut client, "s", "BUDGET_EXCEEDED").await;
    run(&mut client, "other", "again").await;
    let waiting = proto::ListQueueRequest {
        session_key: "s".into(),
    };
    let waiting = client
        .list_queue(waiting)
        .await
        .expect("listed")
        .into_inner()
        .turns;
    assert_eq!(waiting.len(), 2);
    let raised = proto::SetBudgetRequest {
        hard_tokens: Some(20),
        ..request.clone()
    };
    set(&mut admin_client, raised).await;
    assert_eq!(
        await_turn(&mut client, "s", &first).await.state(),
        TurnState::Completed
    );
    let gone = proto::DeleteBudgetRequest {
        scope: request.scope,
        key: request.key,
        period: request.period,
        ..Default::default()
    };
    admin_client.delete_budget(gone).await.expect("it goes");
    assert_eq!(
        await_turn(&mut client, "s", &second).await.state(),
        TurnState::Completed
    );
    held_by(&mut client, "s", "").await;
    gateway.check_store();
}
