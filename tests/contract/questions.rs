//! Questions: durable before they are shown, closed once, and never an answer that nobody gave (CONTRACT-2 §10).

use crate::world::*;
use proto::{
    NoApprover, OnInterrupt, OptionEffect, Question, QuestionKind, QuestionResolution,
    QuestionState, SessionState, StopReason, TurnState,
};

/// Rounds of each race.
const ROUNDS: usize = 40;

/// An option as an answer.
fn option(option_id: &str) -> Option<proto::Answer> {
    Some(proto::Answer {
        option_id: option_id.into(),
        ..Default::default()
    })
}

fn content(content_json: &str) -> Option<proto::Answer> {
    Some(proto::Answer {
        content_json: content_json.into(),
        ..Default::default()
    })
}

fn declined() -> Option<proto::Answer> {
    Some(proto::Answer {
        declined: true,
        ..Default::default()
    })
}

async fn answer(
    client: &mut Client,
    question: &Question,
    answer: Option<proto::Answer>,
) -> Result<proto::AnswerQuestionResponse, Status> {
    let request = proto::AnswerQuestionRequest {
        session_key: question.session_key.clone(),
        question_id: question.question_id.clone(),
        answer,
        action_digest: question.action_digest.clone(),
        request_id: String::new(),
    };
    inner(client.answer_question(request).await)
}

/// Starts a turn and waits until so many questions of it are pending.
async fn asked(
    client: &mut Client,
    key: &str,
    text: &str,
    count: usize,
) -> (String, Vec<Question>) {
    let turn_id = queue(client, key, text).await;
    loop {
        let waited = ok!(client.await_turn(AwaitTurnRequest {
            session_key: key,
            turn_id: turn_id.as_str(),
            or_question: true
        }));
        let state = waited.turn.expect("a turn").state();
        assert!(
            matches!(state, TurnState::Running | TurnState::WaitingInput),
            "{state:?}"
        );
        if waited.questions.len() == count {
            return (turn_id, waited.questions);
        }
    }
}

async fn question(client: &mut Client, asked: &Question) -> Question {
    ok!(client.get_question(GetQuestionRequest {
        session_key: asked.session_key.as_str(),
        question_id: asked.question_id.as_str()
    }))
    .question
    .expect("a question")
}

/// What closed a question.
fn closed(question: &Question) -> (QuestionState, QuestionResolution) {
    (question.state(), question.resolution())
}

/// Kinds of a turn's events from the first question on.
async fn story(client: &mut Client, key: &str, turn_id: &str) -> Vec<&'static str> {
    let all = kinds(&of_turn(client, key, turn_id).await);
    let first = all.iter().position(|kind| *kind == "question_asked");
    all[first.expect("something was asked")..].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_allowed_tool_runs_and_everybody_is_told() {
    let (_server, mut client) = shared().await;
    let key = "questions.allowed";
    let (turn_id, questions) = asked(&mut client, key, "!ask=bash do it", 1).await;
    let asked = &questions[0];
    assert_eq!(
        (asked.kind(), asked.state(), asked.tool_name.as_str()),
        (QuestionKind::Permission, QuestionState::Pending, "bash")
    );
    assert_eq!(asked.args_json, r#"{"text":"do it"}"#);
    assert_eq!(asked.turn_id, turn_id);
    assert_eq!(asked.action_digest.len(), 64);
    let effects: Vec<OptionEffect> = asked.options.iter().map(|it| it.effect()).collect();
    assert_eq!(effects, [OptionEffect::AllowOnce, OptionEffect::DenyOnce]);
    let waits = asked.expire_time.expect("set").seconds - asked.create_time.expect("set").seconds;
    assert_eq!(waits, 3600, "the default");

    assert_eq!(
        turn(&mut client, key, &turn_id).await.state(),
        TurnState::WaitingInput
    );
    let snapshot = session(&mut client, key).await;
    assert_eq!(
        (snapshot.state(), snapshot.pending_questions),
        (SessionState::WaitingInput, 1)
    );
    let state = ok!(client.get_session_state(GetSessionStateRequest { session_key: key }));
    assert_eq!(state.questions, questions);
    let listed = ok!(client.list_questions(ListQuestionsRequest { session_key: key }));
    assert_eq!(listed.questions, questions);
    assert_eq!(question(&mut client, asked).await, *asked);

    let done = answer(&mut client, asked, option("allow"))
        .await
        .expect("taken");
    let now = done.question.expect("a question");
    assert_eq!(
        closed(&now),
        (QuestionState::Answered, QuestionResolution::Answered)
    );
    assert_eq!(now.answered_by, "default/local");
    let ended = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(end(&ended), (TurnState::Completed, "", StopReason::Stop));
    assert_eq!(ended.response_text, "[bash: allowed] do it");
    assert_eq!(
        story(&mut client, key, &turn_id).await,
        [
            "question_asked",
            "question_resolved",
            "answer_delivered",
            "tool_started",
            "tool_completed",
            "message_started",
            "message_completed",
            "turn_ended"
        ]
    );
    let resolved = event(&mut client, key, 0, "question_resolved").await;
    assert_eq!(resolved.seq, done.seq);
    assert_eq!(session(&mut client, key).await.pending_questions, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_denial_ends_no_turn_and_runs_no_tool() {
    let (_server, mut client) = shared().await;
    for (key, given) in [
        ("questions.denied", option("deny")),
        ("questions.declined", declined()),
    ] {
        let (turn_id, questions) = asked(&mut client, key, "!ask=bash do it", 1).await;
        answer(&mut client, &questions[0], given)
            .await
            .expect("taken");
        let ended = await_turn(&mut client, key, &turn_id).await;
        assert_eq!(end(&ended), (TurnState::Completed, "", StopReason::Stop));
        assert_eq!(ended.response_text, "[bash: denied] do it");
        let story = story(&mut client, key, &turn_id).await;
        assert!(!story.contains(&"tool_started"), "{story:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_wrong_changes_nothing_and_the_first_answer_counts() {
    let (_server, mut client) = shared().await;
    let key = "questions.first";
    let (turn_id, questions) = asked(&mut client, key, "!ask=bash x", 1).await;
    let asked = &questions[0];
    let head = session(&mut client, key).await.head_seq;
    invalid(
        answer(&mut client, asked, option("maybe")).await,
        &["answer.option_id"],
    );
    invalid(
        answer(&mut client, asked, content("{}")).await,
        &["answer.content_json"],
    );
    invalid(answer(&mut client, asked, None).await, &["answer"]);
    let other = Question {
        action_digest: "0".repeat(64),
        ..asked.clone()
    };
    invalid(
        answer(&mut client, &other, option("allow")).await,
        &["action_digest"],
    );
    let unknown = Question {
        question_id: "01a1fe5a-0000-7000-8000-000000000000".into(),
        ..asked.clone()
    };
    refused(
        answer(&mut client, &unknown, option("allow")).await,
        Code::NotFound,
        "QUESTION_NOT_FOUND",
    );
    assert_eq!(session(&mut client, key).await.head_seq, head);

    let request = |option_id: &str| proto::AnswerQuestionRequest {
        session_key: key.into(),
        question_id: asked.question_id.clone(),
        answer: option(option_id),
        request_id: "once".into(),
        ..Default::default()
    };
    let first = inner(client.answer_question(request("allow")).await).expect("taken");
    let again = inner(client.answer_question(request("allow")).await).expect("the same");
    assert!(!first.replayed && again.replayed);
    assert_eq!(first.seq, again.seq);
    refused(
        inner(client.answer_question(request("deny")).await),
        Code::AlreadyExists,
        "IDEMPOTENCY_CONFLICT",
    );
    let late = refused(
        answer(&mut client, asked, option("deny")).await,
        Code::FailedPrecondition,
        "ALREADY_ANSWERED",
    );
    assert_eq!(fact(&late, "state"), "ANSWERED");
    assert_eq!(fact(&late, "answered_by"), "default/local");
    assert_eq!(fact(&late, "option_id"), "allow");
    let ended = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(ended.response_text, "[bash: allowed] x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_form_is_held_to_its_schema_and_its_secret_is_the_agents_alone() {
    let (_server, mut client) = shared().await;
    let key = "questions.form";
    let (turn_id, questions) = asked(&mut client, key, "!form=name,*token hi", 1).await;
    let form = &questions[0];
    assert_eq!(form.kind(), QuestionKind::Form);
    for wrong in [
        r#"{"name":1,"token":"x"}"#,
        r#"{"name":"Ada"}"#,
        "[]",
        "name",
    ] {
        invalid(
            answer(&mut client, form, content(wrong)).await,
            &["answer.content_json"],
        );
    }
    let told = answer(
        &mut client,
        form,
        content(r#"{"name":"Ada","token":"tok-5ecret"}"#),
    );
    let told = told.await.expect("taken");
    let ended = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(ended.response_text, r#"[form: {"name":"Ada"}] hi"#);
    let shown = question(&mut client, form).await;
    assert_eq!(
        shown.answer.as_ref().map(|it| it.content_json.as_str()),
        Some(r#"{"name":"Ada"}"#)
    );
    let listed = ok!(client.list_questions(ListQuestionsRequest {
        session_key: key,
        states: vec![i32::from(QuestionState::Answered)]
    }));
    let all = format!(
        "{told:?} {shown:?} {listed:?} {:?} {:?}",
        log(&mut client, key).await,
        ok!(client.list_messages(ListMessagesRequest { session_key: key }))
    );
    assert!(all.contains("Ada"));
    assert!(!all.contains("tok-5ecret"), "the secret is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_link_is_done_and_a_tool_of_the_callers_gives_its_result() {
    let (_server, mut client) = shared().await;
    let key = "questions.kinds";
    let prompt = "!link=https://example.com/login !call=weather in Ghent";
    let (turn_id, questions) = asked(&mut client, key, prompt, 2).await;
    let [link, call] = &questions[..] else {
        panic!("two were asked for")
    };
    assert_eq!(
        (link.kind(), link.url.as_str()),
        (QuestionKind::Link, "https://example.com/login")
    );
    assert_eq!(
        (call.kind(), call.tool_name.as_str()),
        (QuestionKind::ToolCall, "weather")
    );
    // In any order, by id.
    let failed = Some(proto::Answer {
        is_error: true,
        content_json: r#""no such city""#.into(),
        ..Default::default()
    });
    answer(&mut client, call, failed).await.expect("taken");
    assert_eq!(session(&mut client, key).await.pending_questions, 1);
    answer(&mut client, link, option("done"))
        .await
        .expect("taken");
    let ended = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(
        ended.response_text,
        "[link: done] [weather failed: \"no such city\"] in Ghent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nobody_in_time_is_told_as_declined_and_the_turns_clock_stood_still() {
    let (_server, mut client) = shared().await;
    let key = "questions.expired";
    ok!(client.create_session(CreateSessionRequest {
        session_key: key,
        question_ttl: millis(1500)
    }));
    // It waits for longer than it may run.
    let accepted = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "!ask=bash x",
        turn_timeout: millis(1000)
    }));
    let turn_id = accepted.turn.expect("a turn").turn_id;
    let ended = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(end(&ended), (TurnState::Completed, "", StopReason::Stop));
    assert_eq!(ended.response_text, "[bash: denied] x");
    let listed = ok!(client.list_questions(ListQuestionsRequest {
        session_key: key,
        states: vec![i32::from(QuestionState::Expired)]
    }));
    assert_eq!(
        closed(&listed.questions[0]),
        (QuestionState::Expired, QuestionResolution::Expired)
    );
    assert_eq!(
        story(&mut client, key, &turn_id).await[..3],
        ["question_asked", "question_resolved", "answer_delivered"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn with_nobody_there_a_question_is_denied_at_once_and_a_tool_waits() {
    let (_server, mut client) = shared().await;
    let key = "questions.nobody";
    ok!(client.create_session(CreateSessionRequest {
        session_key: key,
        no_approver: NoApprover::Deny
    }));
    let ended = run(
        &mut client,
        key,
        "!ask=bash !form=name !link=https://a.example x",
    )
    .await;
    assert_eq!(end(&ended), (TurnState::Completed, "", StopReason::Stop));
    assert_eq!(
        ended.response_text,
        "[bash: denied] [declined] [declined] x"
    );
    let all = of_turn(&mut client, key, &ended.turn_id).await;
    for event in &all {
        if let Some(Kind::QuestionResolved(resolved)) = &event.kind {
            assert_eq!(resolved.resolution(), QuestionResolution::Policy);
            assert_eq!(resolved.answered_by, "");
        }
    }
    let (turn_id, questions) = asked(&mut client, key, "!call=weather x", 1).await;
    answer(&mut client, &questions[0], content("21"))
        .await
        .expect("taken");
    let ended = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(ended.response_text, "[weather: 21] x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_more_than_32_questions_of_a_turn_wait() {
    let (_server, mut client) = shared().await;
    let key = "questions.many";
    let prompt = format!("{}x", "!ask=t ".repeat(33));
    let (turn_id, questions) = asked(&mut client, key, &prompt, 32).await;
    let listed = ok!(client.list_questions(ListQuestionsRequest {
        session_key: key,
        states: vec![i32::from(QuestionState::Answered)]
    }));
    assert_eq!(listed.questions.len(), 1);
    assert_eq!(listed.questions[0].resolution(), QuestionResolution::Policy);
    assert!(listed.questions[0].policy_rule.contains("32"));
    let page = ok!(client.list_questions(ListQuestionsRequest {
        session_key: key,
        page_size: 20
    }));
    let rest = ok!(client.list_questions(ListQuestionsRequest {
        session_key: key,
        page_size: 20,
        page_token: page.next_page_token.as_str()
    }));
    let mut paged = page.questions.clone();
    paged.extend(rest.questions);
    assert_eq!(paged, questions);
    for one in &questions {
        answer(&mut client, one, option("deny"))
            .await
            .expect("taken");
    }
    let ended = await_turn(&mut client, key, &turn_id).await;
    assert_eq!(ended.state(), TurnState::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_stops_the_turn_closes_its_questions_in_the_same_commit() {
    let (_server, mut client) = shared().await;
    let key = "questions.abort";
    let (turn_id, questions) = asked(&mut client, key, "!ask=bash x", 1).await;
    let stopped = abort(&mut client, key).await;
    assert!(stopped.aborted);
    assert_eq!(
        closed(&question(&mut client, &questions[0]).await),
        (QuestionState::Canceled, QuestionResolution::TurnCanceled)
    );
    let late = answer(&mut client, &questions[0], option("allow")).await;
    refused(late, Code::FailedPrecondition, "ALREADY_ANSWERED");
    assert_eq!(
        story(&mut client, key, &turn_id).await,
        ["question_asked", "question_resolved", "turn_ended"]
    );

    let (_, questions) = asked(&mut client, key, "!ask=bash x", 1).await;
    ok!(client.reset(ResetRequest { session_key: key }));
    assert_eq!(
        closed(&question(&mut client, &questions[0]).await),
        (QuestionState::Canceled, QuestionResolution::TurnCanceled)
    );
    asked(&mut client, key, "!ask=bash x", 1).await;
    ok!(client.delete_session(DeleteSessionRequest { session_key: key }));
    let gone = answer(&mut client, &questions[0], option("allow")).await;
    refused(gone, Code::NotFound, "SESSION_DELETED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_late_reader_is_told_what_is_pending() {
    let (_server, mut client) = shared().await;
    let key = "questions.late";
    let (_, questions) = asked(&mut client, key, "!ask=bash !form=name x", 2).await;
    let head = session(&mut client, key).await.head_seq;
    let follow = Follow::live(&mut client, key).await;
    let pending: Vec<_> = follow
        .seen
        .iter()
        .filter_map(|event| match &event.kind {
            Some(Kind::QuestionPending(pending)) => {
                assert_eq!((event.seq, event.after_seq), (0, head));
                pending.question.clone()
            }
            _ => None,
        })
        .collect();
    assert_eq!(pending, questions);
    abort(&mut client, key).await;
    let follow = Follow::live(&mut client, key).await;
    assert!(!kinds(&follow.seen).contains(&"question_pending"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_plan_is_told_and_replaced() {
    let (_server, mut client) = shared().await;
    let key = "questions.plan";
    let ended = run(&mut client, key, "!plan=look_around,do_it x").await;
    let plans: Vec<Vec<(String, i32)>> = of_turn(&mut client, key, &ended.turn_id)
        .await
        .into_iter()
        .filter_map(|event| match event.kind {
            Some(Kind::PlanUpdated(plan)) => {
                let steps = plan.entries.into_iter();
                Some(steps.map(|step| (step.text, step.status)).collect())
            }
            _ => None,
        })
        .collect();
    let step = |text: &str, status: proto::PlanStatus| (text.to_owned(), i32::from(status));
    use proto::PlanStatus::{Completed, InProgress, Pending};
    assert_eq!(
        plans,
        [
            vec![step("look around", InProgress), step("do it", Pending)],
            vec![step("look around", Completed), step("do it", Completed)],
        ]
    );
}

/// A crash between answer and agent is an event, never a guess; and what waited ends as every turn does.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_crash_cancels_what_waits_and_a_retry_asks_again() {
    let mut gateway = Gateway::with(config(""));
    let mut client = gateway.client().await;
    let (marked, first) = asked(&mut client, "marked", "!ask=bash x", 1).await;
    let retried = ok!(client.enqueue(EnqueueRequest {
        session_key: "retried",
        text: "!ask=bash x",
        on_interrupt: OnInterrupt::Retry
    }));
    let retried = retried.turn.expect("a turn").turn_id;
    event(&mut client, "retried", 0, "question_asked").await;
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    let ended = await_turn(&mut client, "marked", &marked).await;
    assert_eq!(
        end(&ended),
        (
            TurnState::Interrupted,
            "GATEWAY_CRASHED",
            StopReason::Aborted
        )
    );
    assert_eq!(
        closed(&question(&mut client, &first[0]).await),
        (QuestionState::Canceled, QuestionResolution::GatewayCrashed)
    );
    let late = answer(&mut client, &first[0], option("allow")).await;
    refused(late, Code::FailedPrecondition, "ALREADY_ANSWERED");
    let again = loop {
        let waited = ok!(client.await_turn(AwaitTurnRequest {
            session_key: "retried",
            turn_id: retried.as_str(),
            or_question: true
        }));
        if let [question] = &waited.questions[..] {
            break question.clone();
        }
    };
    answer(&mut client, &again, option("allow"))
        .await
        .expect("taken");
    let ended = await_turn(&mut client, "retried", &retried).await;
    assert_eq!((ended.state(), ended.attempt), (TurnState::Completed, 2));
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_drain_lets_answers_in_and_cancels_what_is_left() {
    let mut gateway = Gateway::with(config("drain_timeout = \"2s\"\n"));
    let mut client = gateway.client().await;
    let (answered, first) = asked(&mut client, "answered", "!ask=bash x", 1).await;
    asked(&mut client, "left", "!ask=bash x", 1).await;
    let mut left = Follow::live(&mut client, "left").await;
    gateway.terminate();
    left.until("draining").await;
    answer(&mut client, &first[0], option("allow"))
        .await
        .expect("served");
    let ended = await_turn(&mut client, "answered", &answered).await;
    assert_eq!(ended.state(), TurnState::Completed);
    let Some(Kind::QuestionResolved(resolved)) = left.until("question_resolved").await.kind else {
        panic!("asked for")
    };
    assert_eq!(
        (resolved.state(), resolved.resolution()),
        (QuestionState::Canceled, QuestionResolution::Draining)
    );
    let Some(Kind::TurnEnded(ended)) = left.until("turn_ended").await.kind else {
        panic!("asked for")
    };
    assert_eq!(ended.turn.expect("a turn").state(), TurnState::Interrupted);
    gateway.wait();
    gateway.check_store();
}

/// Answers that meet, and answers that meet a stop: one outcome, and everybody is told the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn answers_that_race_have_one_outcome() {
    let (_server, mut client) = shared().await;
    let key = "questions.races";
    for round in 0..ROUNDS {
        let (turn_id, questions) = asked(&mut client, key, "!ask=bash x", 1).await;
        let asked = &questions[0];
        let (mut one, mut two, mut three) = (client.clone(), client.clone(), client.clone());
        let stops = round % 2 == 0;
        let (allowed, denied, stopped) = tokio::join!(
            answer(&mut one, asked, option("allow")),
            answer(&mut two, asked, option("deny")),
            async {
                if stops {
                    Some(abort(&mut three, key).await)
                } else {
                    None
                }
            }
        );
        let taken = [&allowed, &denied].iter().filter(|it| it.is_ok()).count();
        let ended = await_turn(&mut client, key, &turn_id).await;
        let now = question(&mut client, asked).await;
        for lost in [allowed, denied].into_iter().filter(Result::is_err) {
            refused(lost, Code::FailedPrecondition, "ALREADY_ANSWERED");
        }
        match closed(&now) {
            (QuestionState::Answered, QuestionResolution::Answered) => assert_eq!(taken, 1),
            (QuestionState::Canceled, QuestionResolution::TurnCanceled) => {
                assert!(stops && taken == 0, "{now:?}");
            }
            other => panic!("{other:?}"),
        }
        if stopped.is_none_or(|it| !it.aborted) {
            assert_eq!(ended.state(), TurnState::Completed);
        } else {
            assert_eq!(ended.state(), TurnState::Canceled);
        }
        let events = of_turn(&mut client, key, &turn_id).await;
        let resolved: Vec<_> = events
            .iter()
            .filter(|event| kind(event) == "question_resolved")
            .collect();
        assert_eq!(resolved.len(), 1);
        let delivered = kinds(&events).contains(&"answer_delivered");
        let Some(Kind::TurnEnded(end)) = events.last().and_then(|it| it.kind.clone()) else {
            panic!("a turn's last event is its end")
        };
        let undelivered = !end.undelivered_question_ids.is_empty();
        assert_eq!(
            delivered || undelivered,
            taken == 1,
            "an answer is never lost in silence"
        );
        assert!(!(delivered && undelivered));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lists_go_over_all_sessions_and_settings_are_checked() {
    let (_server, mut client) = shared().await;
    let label = std::collections::BTreeMap::from([("team".to_owned(), "questions".to_owned())]);
    for key in ["questions.list.a", "questions.list.b"] {
        ok!(client.create_session(CreateSessionRequest {
            session_key: key,
            labels: label.clone()
        }));
        asked(&mut client, key, "!ask=bash x", 1).await;
    }
    let filter = Some(proto::SessionFilter {
        labels: label.into_iter().collect(),
        ..Default::default()
    });
    let listed = ok!(client.list_questions(ListQuestionsRequest {
        filter: filter.clone()
    }));
    let keys: Vec<&str> = listed
        .questions
        .iter()
        .map(|it| it.session_key.as_str())
        .collect();
    assert_eq!(keys, ["questions.list.a", "questions.list.b"]);
    let both = call!(client.list_questions(ListQuestionsRequest {
        session_key: "questions.list.a",
        filter: filter
    }));
    invalid(both, &["filter"]);
    let states = call!(client.list_questions(ListQuestionsRequest { states: vec![99] }));
    invalid(states, &["states[0]"]);
    for key in ["questions.list.a", "questions.list.b"] {
        abort(&mut client, key).await;
    }
    let long = call!(client.create_session(CreateSessionRequest {
        session_key: "questions.long",
        question_ttl: prost_types::Duration {
            seconds: 8 * 24 * 3600,
            nanos: 0
        }
    }));
    invalid(long, &["question_ttl"]);
    let updated = ok!(client.update_session(UpdateSessionRequest {
        session_key: "questions.list.a",
        session: proto::SessionSnapshot {
            no_approver: NoApprover::Deny.into(),
            question_ttl: Some(millis(5000)),
            ..Default::default()
        },
        update_mask: prost_types::FieldMask {
            paths: vec!["no_approver".into(), "question_ttl".into()]
        }
    }));
    let updated = updated.session.expect("a session");
    assert_eq!(updated.no_approver(), NoApprover::Deny);
    assert_eq!(updated.question_ttl, Some(millis(5000)));
    let ended = run(&mut client, "questions.list.a", "!ask=bash x").await;
    assert_eq!(ended.response_text, "[bash: denied] x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_policy_decides_asks_nobody() {
    let gateway = Gateway::with(config(
        "[agents.echo]\ndriver = \"echo\"\ntool_policy = [\"deny rm\", \"allow read*\"]\n",
    ));
    let mut client = gateway.client().await;
    let rule = |tool: &str, action: proto::ToolAction| proto::ToolRule {
        tool: tool.into(),
        action: action.into(),
    };
    let key = "policy";
    let made = ok!(client.create_session(CreateSessionRequest {
        session_key: key,
        tool_policy: vec![
            rule("rm", proto::ToolAction::Allow),
            rule("read_secret", proto::ToolAction::Deny),
            rule("mcp__*", proto::ToolAction::Allow),
        ]
    }));
    assert_eq!(made.session.expect("a session").tool_policy.len(), 3);
    let prompt = "!ask=rm !ask=read_secret !ask=read_file !ask=mcp__a__b x";
    let ended = run(&mut client, key, prompt).await;
    assert_eq!(
        ended.response_text,
        "[rm: denied] [read_secret: denied] [read_file: allowed] [mcp__a__b: allowed] x"
    );
    let events = of_turn(&mut client, key, &ended.turn_id).await;
    let mut rules = Vec::new();
    for event in &events {
        match &event.kind {
            Some(Kind::QuestionAsked(asked)) => {
                rules.push(asked.question.as_ref().expect("set").policy_rule.clone());
            }
            Some(Kind::QuestionResolved(resolved)) => {
                assert_eq!(resolved.resolution(), QuestionResolution::Policy);
            }
            _ => {}
        }
    }
    assert_eq!(
        rules,
        ["deny rm", "deny read_secret", "allow read*", "allow mcp__*"]
    );
    // What no rule names is asked about, and a tool that the caller runs is put to it, unless a rule denies it.
    let prompt = "!ask=edit !call=read_file !call=rm x";
    let (_, questions) = asked(&mut client, key, prompt, 2).await;
    let named: Vec<&str> = questions.iter().map(|it| it.tool_name.as_str()).collect();
    assert_eq!(named, ["edit", "read_file"]);
    let wrong = call!(client.create_session(CreateSessionRequest {
        session_key: "wrong",
        tool_policy: vec![
            rule("a b", proto::ToolAction::Deny),
            rule("x", proto::ToolAction::Unspecified)
        ]
    }));
    invalid(wrong, &["tool_policy[0].tool", "tool_policy[1].action"]);
}

/// What the newest plan says, as GetSessionState tells it.
async fn plan(client: &mut Client, key: &str) -> Vec<(String, proto::PlanStatus)> {
    let state = ok!(client.get_session_state(GetSessionStateRequest { session_key: key }));
    let steps = state.plan.iter();
    steps.map(|it| (it.text.clone(), it.status())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_newest_plan_is_part_of_the_session_until_its_reset() {
    use proto::PlanStatus::Completed;
    let mut gateway = Gateway::with(config(""));
    let mut client = gateway.client().await;
    let key = "planned";
    run(&mut client, key, "!plan=old x").await;
    run(&mut client, key, "!plan=look_around,do_it x").await;
    let wanted = [
        ("look around".to_owned(), Completed),
        ("do it".to_owned(), Completed),
    ];
    assert_eq!(plan(&mut client, key).await, wanted);
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    assert_eq!(plan(&mut client, key).await, wanted);
    assert_eq!(plan(&mut client, "main").await, []);
    ok!(client.fork_session(ForkSessionRequest {
        session_key: key,
        new_session_key: "planned.fork"
    }));
    assert_eq!(plan(&mut client, "planned.fork").await, []);
    ok!(client.reset(ResetRequest { session_key: key }));
    assert_eq!(plan(&mut client, key).await, []);
    run(&mut client, key, "!plan=new x").await;
    assert_eq!(
        plan(&mut client, key).await,
        [("new".to_owned(), Completed)]
    );
    gateway.check_store();
}
