//! Who is shown what was used, and who may set budgets.

use crate::{
    llm_support::Model,
    world::{self, Caller},
};
use proto::{BudgetPeriod, BudgetScope};
use quarterdeck::proto;
use tonic::Status;
use tonic_types::StatusExt as _;

const USER: [&str; 2] = ["session.read", "session.write"];

async fn calls(caller: &Caller, tenant: &str) -> Result<i64, Status> {
    let request = proto::GetUsageRequest {
        tenant: tenant.into(),
        ..Default::default()
    };
    let answer = caller.service().get_usage(request).await?.into_inner();
    Ok(answer.total.expect("a total").model_calls)
}

async fn set(caller: &Caller, scope: BudgetScope, key: &str, tenant: &str) -> Result<(), Status> {
    let request = proto::SetBudgetRequest {
        scope: scope.into(),
        key: key.into(),
        period: BudgetPeriod::Month.into(),
        hard_tokens: Some(1),
        tenant: tenant.into(),
        ..Default::default()
    };
    caller.service().set_budget(request).await.map(drop)
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("a reason").reason
}

async fn run(caller: &Caller, key: &str, text: &str) {
    let turn = caller.enqueue(key, text).await.expect("it is accepted");
    let request = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: turn.turn_id,
        wait: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..Default::default()
    };
    caller.gateway().await_turn(request).await.expect("it ends");
}

/// §13: own sessions with `session.read`, the tenant's with `tenant.sessions`; budgets with `budget.write`, the tenant's own
/// by the operator alone.
#[tokio::test]
async fn everybody_sees_the_own_use_and_the_operator_alone_bounds_a_tenant() {
    let gateway = world::start();
    let admin = Caller::admin(&gateway).await;
    let anna = admin.member("firm", "anna", &USER).await;
    let bob = admin.member("firm", "bob", &USER).await;
    let boss = admin
        .member(
            "firm",
            "boss",
            &["session.read", "tenant.sessions", "budget.write"],
        )
        .await;
    run(&anna, "a", "!usage=1,0 hi").await;
    run(&bob, "b", "!usage=1,0 !usage=1,0 hi").await;
    assert_eq!(calls(&anna, "").await.expect("own"), 1);
    assert_eq!(calls(&bob, "").await.expect("own"), 2);
    assert_eq!(calls(&boss, "").await.expect("the tenant's"), 3);
    assert_eq!(calls(&admin, "").await.expect("own"), 0);
    assert_eq!(
        calls(&admin, "firm").await.expect("the operator's to see"),
        3
    );
    assert_eq!(
        reason(&calls(&boss, "default").await.expect_err("another's")),
        "INVALID_FIELD"
    );
    for (who, scope, key, tenant, refused) in [
        (
            &anna,
            BudgetScope::Principal,
            "anna",
            "",
            Some("SCOPE_REQUIRED"),
        ),
        (&boss, BudgetScope::Tenant, "", "", Some("SCOPE_REQUIRED")),
        (
            &boss,
            BudgetScope::Principal,
            "anna",
            "default",
            Some("INVALID_FIELD"),
        ),
        (
            &boss,
            BudgetScope::Principal,
            "default/anna",
            "",
            Some("INVALID_FIELD"),
        ),
        (&boss, BudgetScope::Principal, "firm/anna", "", None),
    ] {
        let found = set(who, scope, key, tenant)
            .await
            .err()
            .map(|status| reason(&status));
        assert_eq!(found.as_deref(), refused, "{scope:?} {key} {tenant}");
    }
    let refused = anna.enqueue("a", "more").await.expect_err("used up");
    assert_eq!(reason(&refused), "BUDGET_EXCEEDED");
    assert!(bob.enqueue("b", "more").await.is_ok());
    set(&admin, BudgetScope::Tenant, "", "firm")
        .await
        .expect("the operator's to set");
    let refused = bob.enqueue("b", "more").await.expect_err("used up");
    assert!(
        refused.message().contains("of the tenant"),
        "{}",
        refused.message()
    );
    let listed = boss
        .service()
        .list_budgets(proto::ListBudgetsRequest::default())
        .await;
    let listed = listed.expect("listed").into_inner().budgets;
    let keys: Vec<&str> = listed.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["firm/anna", ""]);
}

/// A repeat of SetBudget does nothing anew, and the same id with another wish is refused.
#[tokio::test]
async fn a_budget_is_set_once_a_request() {
    let gateway = world::start();
    let admin = Caller::admin(&gateway).await;
    let request = proto::SetBudgetRequest {
        scope: BudgetScope::Session.into(),
        key: "s".into(),
        period: BudgetPeriod::Day.into(),
        hard_tokens: Some(5),
        request_id: "once".into(),
        ..Default::default()
    };
    for replayed in [false, true] {
        let answer = admin.service().set_budget(request.clone()).await;
        assert_eq!(answer.expect("set").into_inner().replayed, replayed);
    }
    let other = proto::SetBudgetRequest {
        hard_tokens: Some(6),
        ..request
    };
    let refused = admin
        .service()
        .set_budget(other)
        .await
        .expect_err("another wish");
    assert_eq!(reason(&refused), "IDEMPOTENCY_CONFLICT");
}

/// Who may use a session may not grant it more than its budget has.
#[tokio::test]
async fn more_is_granted_by_who_may_set_budgets_alone() {
    let model = Model::start();
    let config = format!(
        "[agents.chat]\ndriver = \"llm\"\nmodel = \"local/fake-1\"\nbase_url = \"{}\"\napi = \"chat\"\nmemory_tools = false\n",
        model.base_url()
    );
    let gateway = world::start_with(&[], &config);
    let admin = Caller::admin(&gateway).await;
    let scopes = ["session.read", "session.write", "session.approve"];
    let anna = admin.member("default", "anna", &scopes).await;
    let request = proto::SetBudgetRequest {
        scope: BudgetScope::Session.into(),
        key: "s".into(),
        period: BudgetPeriod::Total.into(),
        hard_tokens: Some(1),
        on_exceeded: proto::OnExceeded::Pause.into(),
        ..Default::default()
    };
    admin.service().set_budget(request).await.expect("set");
    let session = proto::CreateSessionRequest {
        session_key: "s".into(),
        agent: "chat".into(),
        ..Default::default()
    };
    anna.gateway().create_session(session).await.expect("made");
    let turn = anna.enqueue("s", "LOOP").await.expect("accepted");
    let wait = proto::AwaitTurnRequest {
        session_key: "s".into(),
        turn_id: turn.turn_id,
        wait: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        or_question: true,
    };
    let asked = anna.gateway().await_turn(wait.clone()).await;
    asked.expect("it asks");
    let listed = anna
        .gateway()
        .list_questions(proto::ListQuestionsRequest::default())
        .await;
    let question = listed.expect("listed").into_inner().questions.remove(0);
    let answer = proto::AnswerQuestionRequest {
        session_key: "s".into(),
        question_id: question.question_id,
        answer: Some(proto::Answer {
            content_json: "{\"tokens\": 1}".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let refused = anna.gateway().answer_question(answer.clone()).await;
    let refused = refused.expect_err("not anna's to grant");
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
    assert!(
        refused.message().contains("budget.write"),
        "{}",
        refused.message()
    );
    admin
        .gateway()
        .answer_question(answer)
        .await
        .expect("granted");
}
