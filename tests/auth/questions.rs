//! Who may answer what an agent asks: `session.approve` for people's questions, `session.write` for the caller's tools,
//! and nobody who may not use the session.

use crate::{
    support::{Gateway, reason},
    world::{Caller, fact, start, start_with},
};
use quarterdeck::proto::{self, NoApprover};
use tonic::{Code, Status};

const ALL: [&str; 3] = ["session.read", "session.write", "session.approve"];

/// Starts a turn that asks, and waits for its questions.
async fn asked(caller: &Caller, key: &str, text: &str) -> Vec<proto::Question> {
    let turn = caller.enqueue(key, text).await.expect("accepted");
    let request = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: turn.turn_id,
        wait: None,
        or_question: true,
    };
    let waited = caller.gateway().await_turn(request).await;
    waited.expect("it waits").into_inner().questions
}

async fn allow(caller: &Caller, question: &proto::Question) -> Result<proto::Question, Status> {
    let is_call = question.kind() == proto::QuestionKind::ToolCall;
    let answer = proto::Answer {
        option_id: if is_call { "" } else { "allow" }.into(),
        content_json: if is_call { "1" } else { "" }.into(),
        ..Default::default()
    };
    let request = proto::AnswerQuestionRequest {
        session_key: question.session_key.clone(),
        question_id: question.question_id.clone(),
        answer: Some(answer),
        ..Default::default()
    };
    let answered = caller.gateway().answer_question(request).await?;
    Ok(answered.into_inner().question.expect("a question"))
}

async fn listed(caller: &Caller) -> usize {
    let request = proto::ListQuestionsRequest::default();
    let listed = caller.gateway().list_questions(request).await;
    listed.expect("listed").into_inner().questions.len()
}

async fn world() -> (Gateway, Caller) {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    (gateway, admin)
}

#[tokio::test]
async fn an_answer_needs_the_scope_of_its_kind() {
    let (_gateway, admin) = world().await;
    let ann = admin.member("default", "ann", &ALL).await;
    let writer = admin
        .member("default", "ann", &["session.read", "session.write"])
        .await;
    let approver = admin
        .member("default", "ann", &["session.read", "session.approve"])
        .await;
    let permission = &asked(&ann, "s", "!ask=bash x").await[0];
    let refused = allow(&writer, permission).await.unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
    assert_eq!(fact(&refused, "scope"), "session.approve");
    allow(&approver, permission).await.expect("it may");
    let call = &asked(&ann, "t", "!call=weather x").await[0];
    let refused = allow(&approver, call).await.unwrap_err();
    assert_eq!(fact(&refused, "scope"), "session.write");
    let answered = allow(&writer, call).await.expect("it may");
    assert_eq!(answered.answered_by, "default/ann");
}

#[tokio::test]
async fn a_strangers_question_is_one_that_never_was() {
    let (_gateway, admin) = world().await;
    let ann = admin.member("default", "ann", &ALL).await;
    let bob = admin.member("default", "bob", &ALL).await;
    let eve = admin.member("other", "eve", &ALL).await;
    let question = &asked(&ann, "s", "!ask=bash x").await[0];
    for stranger in [&bob, &eve] {
        let refused = allow(stranger, question).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        assert_eq!(reason(&refused), "SESSION_NOT_FOUND");
        let request = proto::GetQuestionRequest {
            session_key: "s".into(),
            question_id: question.question_id.clone(),
        };
        let refused = stranger.gateway().get_question(request).await.unwrap_err();
        assert_eq!(reason(&refused), "SESSION_NOT_FOUND");
        assert_eq!(listed(stranger).await, 0);
        // Nor by a session of one's own.
        asked(stranger, "mine", "!ask=bash x").await;
        let mut other = question.clone();
        other.session_key = "mine".into();
        let refused = allow(stranger, &other).await.unwrap_err();
        assert_eq!(reason(&refused), "QUESTION_NOT_FOUND");
        assert_eq!(listed(stranger).await, 1);
    }
    assert_eq!(listed(&ann).await, 1);
    assert_eq!(listed(&admin).await, 2, "of its own tenant alone");
    allow(&admin, question)
        .await
        .expect("it acts for the tenant");
}

#[tokio::test]
async fn who_may_not_approve_can_only_make_a_session_stricter() {
    let (_gateway, admin) = world().await;
    let writer = admin
        .member("default", "ann", &["session.read", "session.write"])
        .await;
    let create = |key: &str, no_approver: NoApprover| proto::CreateSessionRequest {
        session_key: key.into(),
        no_approver: no_approver.into(),
        ..Default::default()
    };
    let refused = writer
        .gateway()
        .create_session(create("s", NoApprover::Wait))
        .await
        .unwrap_err();
    assert_eq!(fact(&refused, "scope"), "session.approve");
    let mut gateway = writer.gateway();
    let made = gateway.create_session(create("s", NoApprover::Deny)).await;
    made.expect("stricter");
    let loosen = |no_approver: NoApprover| proto::UpdateSessionRequest {
        session_key: "s".into(),
        session: Some(proto::SessionSnapshot {
            no_approver: no_approver.into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["no_approver".into()],
        }),
        ..Default::default()
    };
    for looser in [NoApprover::Wait, NoApprover::Unspecified] {
        let refused = writer
            .gateway()
            .update_session(loosen(looser))
            .await
            .unwrap_err();
        assert_eq!(fact(&refused, "scope"), "session.approve");
    }
    let ann = admin.member("default", "ann", &ALL).await;
    let updated = ann.gateway().update_session(loosen(NoApprover::Wait)).await;
    updated.expect("it may");
}

#[tokio::test]
async fn who_may_not_approve_can_only_add_rules_that_allow_nothing() {
    let (_gateway, admin) = world().await;
    let ann = admin.member("default", "ann", &ALL).await;
    let writer = admin
        .member("default", "ann", &["session.read", "session.write"])
        .await;
    let rule = |tool: &str, action: proto::ToolAction| proto::ToolRule {
        tool: tool.into(),
        action: action.into(),
    };
    let allow = rule("read", proto::ToolAction::Allow);
    let deny = rule("bash", proto::ToolAction::Deny);
    let create = proto::CreateSessionRequest {
        session_key: "s".into(),
        tool_policy: vec![allow.clone()],
        ..Default::default()
    };
    let refused = writer.gateway().create_session(create.clone()).await;
    assert_eq!(fact(&refused.unwrap_err(), "scope"), "session.approve");
    ann.gateway().create_session(create).await.expect("it may");
    let update = |rules: Vec<proto::ToolRule>| proto::UpdateSessionRequest {
        session_key: "s".into(),
        session: Some(proto::SessionSnapshot {
            tool_policy: rules,
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["tool_policy".into()],
        }),
        ..Default::default()
    };
    let stricter = update(vec![deny.clone(), allow.clone()]);
    let updated = writer.gateway().update_session(stricter).await;
    let updated = updated.expect("stricter").into_inner().session;
    assert_eq!(updated.expect("a session").tool_policy.len(), 2);
    for looser in [vec![], vec![allow.clone()], vec![allow, deny]] {
        let refused = writer.gateway().update_session(update(looser)).await;
        assert_eq!(fact(&refused.unwrap_err(), "scope"), "session.approve");
    }
}

/// An agent's own commands may do what nobody was asked for: who may approve may run them, others what is named.
#[tokio::test]
async fn a_command_needs_the_scopes_of_what_it_does() {
    let gateway = crate::world::start_with(&[], "[agents.echo]\ncommands_allowed = [\"upper\"]\n");
    let admin = Caller::admin(&gateway).await;
    let ann = admin.member("default", "ann", &ALL).await;
    let writer = admin
        .member("default", "ann", &["session.read", "session.write"])
        .await;
    let reader = admin.member("default", "ann", &["session.read"]).await;
    ann.enqueue("s", "!commands=upper,deploy x")
        .await
        .expect("accepted");
    let execute = async |caller: &Caller, key: &str, name: &str| {
        let request = proto::ExecuteCommandRequest {
            session_key: key.into(),
            name: name.into(),
            arguments: if name == "fork" { "copy" } else { "" }.into(),
            ..Default::default()
        };
        caller.gateway().execute_command(request).await
    };
    for (caller, name, scope) in [
        (&reader, "upper", "session.write"),
        (&reader, "compact", "session.write"),
        (&reader, "reload", "session.write"),
        (&reader, "fork", "session.write"),
        (&writer, "deploy", "session.approve"),
        (&writer, "reset", "session.reset"),
        (&writer, "stop", "session.abort"),
    ] {
        let refused = execute(caller, "s", name).await.unwrap_err();
        assert_eq!(
            (reason(&refused).as_str(), fact(&refused, "scope").as_str()),
            ("SCOPE_REQUIRED", scope),
            "{name}"
        );
    }
    execute(&writer, "s", "upper").await.expect("it is named");
    execute(&ann, "s", "deploy").await.expect("it may approve");
    let eve = admin.member("other", "eve", &ALL).await;
    for name in ["upper", "reload"] {
        let refused = execute(&eve, "s", name).await.unwrap_err();
        assert_eq!(reason(&refused), "SESSION_NOT_FOUND");
    }
}

/// CONTRACT-2 §10: waiting agents have a bound per tenant. What is asked beyond is declined at once, by a rule that names the
/// bound; other tenants are not touched, and an answer makes room.
#[tokio::test]
async fn a_tenant_keeps_no_more_turns_waiting_than_it_may() {
    let mut gateway = start_with(&[], "tenant_max_asking_turns = \"2\"\n");
    let admin = Caller::admin(&gateway).await;
    let acme = admin.member("acme", "bot", &ALL).await;
    for key in ["one", "two"] {
        assert_eq!(asked(&admin, key, "!ask=look x").await.len(), 1);
    }
    let crowded = async |caller: &Caller, key: &str| {
        let turn = caller.enqueue(key, "!ask=look x").await.expect("accepted");
        let request = proto::AwaitTurnRequest {
            session_key: key.into(),
            turn_id: turn.turn_id,
            wait: None,
            or_question: true,
        };
        let waited = caller.gateway().await_turn(request).await;
        waited.expect("it ends or waits").into_inner()
    };
    let third = crowded(&admin, "three").await;
    assert!(third.questions.is_empty());
    let third = third.turn.expect("a turn");
    assert_eq!(third.state(), proto::TurnState::Completed);
    assert_eq!(third.response_text, "[look: denied] x");
    let request = proto::ListQuestionsRequest {
        session_key: "three".into(),
        states: vec![proto::QuestionState::Answered.into()],
        ..Default::default()
    };
    let all = admin.gateway().list_questions(request).await;
    let declined = all.expect("listed").into_inner().questions.remove(0);
    assert_eq!(declined.resolution(), proto::QuestionResolution::Policy);
    assert!(
        declined.policy_rule.contains("tenant_max_asking_turns"),
        "{declined:?}"
    );
    assert_eq!(crowded(&acme, "theirs").await.questions.len(), 1);

    // The bound is counted anew by the next server, from what is left of the last one.
    gateway.kill();
    gateway.restart();
    let admin = Caller::admin(&gateway).await;
    for key in ["four", "five"] {
        assert_eq!(crowded(&admin, key).await.questions.len(), 1);
    }
    assert!(crowded(&admin, "six").await.questions.is_empty());
    let four = listed_of(&admin, "four").await;
    allow(&admin, &four[0]).await.expect("answered");
    let request = proto::AwaitTurnRequest {
        session_key: "four".into(),
        turn_id: four[0].turn_id.clone(),
        ..Default::default()
    };
    admin.gateway().await_turn(request).await.expect("it ends");
    assert_eq!(crowded(&admin, "seven").await.questions.len(), 1);
    gateway.check_store();
}

async fn listed_of(caller: &Caller, key: &str) -> Vec<proto::Question> {
    let request = proto::ListQuestionsRequest {
        session_key: key.into(),
        ..Default::default()
    };
    let listed = caller.gateway().list_questions(request).await;
    listed.expect("listed").into_inner().questions
}
