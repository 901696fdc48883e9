//! R1, R2, R6: kill -9 at random and at chosen moments, under load. Nothing that was acknowledged is missing, no turn
//! is started twice unasked, turns of a session start in order and one at a time.

use crate::{
    support::{kind, log, reason},
    verify::check_log,
    world::{
        Dice, LOOK, Ledger, PATIENCE, Site, Visitor, dice, figure, is_away, is_terminal, prompt,
        scripted_pi,
    },
};
use quarterdeck::proto::{self, OnInterrupt};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::broadcast, task::JoinSet};

/// Sessions of the `echo` agent.
const ECHO_SESSIONS: usize = 6;
/// Sessions of the scripted pi, whose prompts are written down by the agent itself.
const PI_SESSIONS: usize = 2;
/// Callers.
const CALLERS: u64 = 6;
/// What watchers saw; a killer waits for one of it. Old news are lost, which is all right.
const NEWS_MAX: usize = 64;

/// The moments at which the server is killed, besides any moment.
const MOMENTS: [&str; 10] = [
    "acknowledged",
    "turn_queued",
    "turn_started",
    "token",
    "message_completed",
    "turn_ended",
    "tool_started",
    "retry_scheduled",
    "question_asked",
    "question_resolved",
];

type News = broadcast::Sender<&'static str>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_r02_r06_kills_lose_no_acknowledged_turn_start_none_twice_and_keep_the_order() {
    let mut dice = dice(1);
    let outside = tempfile::tempdir().expect("a directory");
    let prompts = outside.path().join("prompts");
    std::fs::write(&prompts, "").expect("a file");
    let variables = [("FAKE_PI_PROMPTS", prompts.to_str().expect("text"))];
    // The markers stand where no isolated agent could write them.
    let agent = scripted_pi("pi", &variables) + "isolation = \"none\"\n";
    let mut site = Site::start(agent);
    let ledger = Arc::new(Ledger::new(outside.path()));
    let (news, _) = broadcast::channel(NEWS_MAX);
    let over = tokio::sync::watch::Sender::new(false);
    let mut tasks = JoinSet::new();
    let at_rest = tokio::sync::watch::Sender::new(false);
    let approver = tokio::spawn(approve(
        site.visitor().await,
        dice.fork(),
        at_rest.subscribe(),
    ));
    for number in 0..CALLERS {
        tasks.spawn(call(
            site.visitor().await,
            dice.fork(),
            number,
            ledger.clone(),
            news.clone(),
            over.subscribe(),
        ));
    }
    for key in keys().into_iter().take(2) {
        tasks.spawn(watch(
            site.visitor().await,
            key,
            news.clone(),
            over.subscribe(),
        ));
    }

    for _ in 0..figure(50, 5_000) {
        let mut hears = news.subscribe();
        if dice.chance(50) {
            tokio::time::sleep(dice.millis(1, 250)).await;
        } else {
            let moment = *dice.pick(&MOMENTS);
            let seen = async { while hears.recv().await != Ok(moment) {} };
            // Not every moment comes in every life.
            let _ = tokio::time::timeout(Duration::from_millis(400), seen).await;
        }
        site.gateway.kill();
        if dice.chance(20) {
            // And again while it starts.
            site.gateway.start_and_kill(dice.millis(1, 150)).await;
        }
        site.restart();
    }
    over.send_replace(true);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no caller panics");
    }

    let mut visitor = site.visitor().await;
    let mut turns = HashMap::new();
    let mut stories = HashMap::new();
    for key in keys() {
        visitor.rest(&key).await;
    }
    at_rest.send_replace(true);
    let answered = approver.await.expect("it does not panic");
    check_answers(&mut visitor, &answered).await;
    for key in keys() {
        for turn in visitor.turns(&key).await {
            turns.insert(turn.turn_id.clone(), turn);
        }
        stories.extend(check_log(&log(&mut visitor.client, &key).await, true));
    }
    site.gateway.check_store();

    // R1: all that was acknowledged is there, as it was sent, and has come to an end (R18).
    let acknowledged = ledger.read();
    println!(
        "{} turns acknowledged, {} accepted",
        acknowledged.len(),
        turns.len()
    );
    assert!(acknowledged.len() > 200, "too few turns to mean anything");
    for entry in &acknowledged {
        let [turn_id, text] = entry.as_slice() else {
            panic!("an entry of the ledger is cut: {entry:?}")
        };
        let turn = turns
            .get(turn_id)
            .unwrap_or_else(|| panic!("{turn_id} is missing"));
        assert_eq!(&turn.text, text);
        assert!(is_terminal(turn.state()), "{turn:?}");
    }
    // R3: a call that was repeated after a crash made one turn.
    let texts: HashSet<&str> = turns.values().map(|turn| turn.text.as_str()).collect();
    assert_eq!(texts.len(), turns.len(), "a text was accepted twice");
    // R2: without RETRY one start; with it, one start per attempt; each with an epoch of its own.
    for (turn_id, story) in &stories {
        let retries = turns[turn_id].on_interrupt() == OnInterrupt::Retry;
        assert!(
            story.starts.len() <= if retries { 3 } else { 1 },
            "{story:?}"
        );
    }
    check_epochs(&site.gateway.data());
    // R2, told by the agent: it got each prompt once per start at most.
    let prompts = std::fs::read_to_string(&prompts).expect("readable");
    let mut got: HashMap<&str, usize> = HashMap::new();
    for prompt in prompts.lines() {
        *got.entry(prompt).or_default() += 1;
    }
    assert!(!got.is_empty(), "the scripted pi wrote its prompts down");
    let starts: HashMap<&str, usize> = stories
        .iter()
        .map(|(turn_id, story)| (turns[turn_id].text.as_str(), story.starts.len()))
        .collect();
    for (text, times) in got {
        assert!(
            times <= starts[text],
            "the agent got {text:?} {times} times"
        );
    }
}

fn keys() -> Vec<String> {
    let echo = (0..ECHO_SESSIONS).map(|n| format!("echo-{n}"));
    let pi = (0..PI_SESSIONS).map(|n| format!("pi-{n}"));
    echo.chain(pi).collect()
}

/// Enqueues until it is over; writes each acknowledgement down before the next call.
async fn call(
    mut visitor: Visitor,
    mut dice: Dice,
    number: u64,
    ledger: Arc<Ledger>,
    news: News,
    over: tokio::sync::watch::Receiver<bool>,
) {
    let keys = keys();
    for call in 0u64.. {
        if *over.borrow() {
            return;
        }
        let key = dice.pick(&keys);
        let name = format!("caller {number} call {call}");
        let directives = dice.pick(&[
            "",
            "",
            "!delay=1ms ",
            "!delay=20ms ",
            "!tool=look ",
            "!think=so_so ",
            "!ask=touch ",
            "!ask=touch !ask=go ",
        ]);
        let text = if key.starts_with("pi") {
            format!("say {name}")
        } else {
            format!("{directives}{name}")
        };
        let mut request = prompt(key, &text, &format!("r1-{number}-{call}"));
        if key.starts_with("pi") {
            request.agent = "pi".into();
        }
        if dice.chance(30) {
            request.set_on_interrupt(OnInterrupt::Retry);
        }
        match visitor.enqueue(&request).await {
            Ok(accepted) => {
                let turn_id = accepted.turn.expect("a turn").turn_id;
                ledger.write(&[&turn_id, &text]);
                // Nobody listening is fine.
                let _ = news.send("acknowledged");
            }
            Err(status) => {
                assert_eq!(reason(&status), "QUEUE_FULL", "{status:?}");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// An answer that was acknowledged.
struct Answered {
    session_key: String,
    question_id: String,
    option_id: &'static str,
}

/// Answers what is asked, until all sessions are at rest; returns the answers that were acknowledged.
async fn approve(
    mut visitor: Visitor,
    mut dice: Dice,
    at_rest: tokio::sync::watch::Receiver<bool>,
) -> Vec<Answered> {
    let mut answered = Vec::new();
    while !*at_rest.borrow() {
        let listed = visitor.insist(|mut client| async move {
            let request = proto::ListQuestionsRequest::default();
            client.list_questions(request).await
        });
        let listed = listed.await.expect("readable");
        for question in listed.questions {
            let option_id = *dice.pick(&["allow", "deny"]);
            let request = proto::AnswerQuestionRequest {
                session_key: question.session_key.clone(),
                question_id: question.question_id.clone(),
                answer: Some(proto::Answer {
                    option_id: option_id.into(),
                    ..Default::default()
                }),
                action_digest: question.action_digest,
                request_id: question.question_id.clone(),
            };
            let answer = visitor.insist(|mut client| {
                let request = request.clone();
                async move { client.answer_question(request).await }
            });
            match answer.await {
                Ok(_) => answered.push(Answered {
                    session_key: question.session_key,
                    question_id: question.question_id,
                    option_id,
                }),
                // A crash or the turn's end closed it first.
                Err(status) => assert_eq!(reason(&status), "ALREADY_ANSWERED", "{status:?}"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    answered
}

/// R1: an answer that was acknowledged is the question's answer, whatever came after. Each question was closed once.
async fn check_answers(visitor: &mut Visitor, answered: &[Answered]) {
    println!("{} answers acknowledged", answered.len());
    assert!(answered.len() >= 5, "too few answers to mean anything");
    for one in answered {
        let request = proto::GetQuestionRequest {
            session_key: one.session_key.clone(),
            question_id: one.question_id.clone(),
        };
        let question = visitor.insist(|mut client| {
            let request = request.clone();
            async move { client.get_question(request).await }
        });
        let question = question.await.expect("readable").question;
        let question = question.expect("a question");
        assert_eq!(question.resolution(), proto::QuestionResolution::Answered);
        let answer = question.answer.expect("it was answered");
        assert_eq!(answer.option_id, one.option_id);
    }
    let mut closed: HashMap<String, usize> = HashMap::new();
    for key in keys() {
        for event in log(&mut visitor.client, &key).await {
            match event.kind {
                Some(proto::gateway_event::Kind::QuestionAsked(asked)) => {
                    let question = asked.question.expect("a question");
                    closed.insert(question.question_id, 0);
                }
                Some(proto::gateway_event::Kind::QuestionResolved(resolved)) => {
                    let times = closed.get_mut(&resolved.question_id);
                    *times.expect("it was asked before") += 1;
                }
                _ => {}
            }
        }
    }
    assert!(closed.values().all(|times| *times == 1), "{closed:?}");
}

/// Tells what happens in a session, until it is over.
async fn watch(
    mut visitor: Visitor,
    key: String,
    news: News,
    mut over: tokio::sync::watch::Receiver<bool>,
) {
    let request = proto::SubscribeRequest {
        session_key: key,
        ..Default::default()
    };
    while !*over.borrow() {
        match visitor.client.subscribe(request.clone()).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    tokio::select! {
                        next = stream.message() => match next {
                            Ok(Some(event)) => { let _ = news.send(kind(&event)); }
                            Ok(None) | Err(_) => break,
                        },
                        _ = over.changed() => return,
                    }
                }
            }
            Err(status) if is_away(&status) => {}
            Err(status) => assert_eq!(reason(&status), "SESSION_NOT_FOUND", "{status:?}"),
        }
        tokio::time::sleep(LOOK).await;
        tokio::time::timeout(PATIENCE, visitor.reconnect())
            .await
            .expect("it comes back");
    }
}

/// Each start of a turn is of a later epoch than the one before.
fn check_epochs(data: &Path) {
    let store = rusqlite::Connection::open(data.join("quarterdeck.db")).expect("the store opens");
    let mut starts = store
        .prepare("SELECT turn_id, epoch FROM event WHERE kind = 16 ORDER BY session, seq")
        .expect("prepared");
    let starts = starts
        .query_map([], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
        })
        .expect("queried");
    let mut epochs: HashMap<Vec<u8>, i64> = HashMap::new();
    let mut count = 0;
    for start in starts {
        let (turn, epoch) = start.expect("a row");
        let earlier = epochs.insert(turn, epoch).unwrap_or(0);
        assert!(epoch > earlier, "two starts of one turn in epoch {epoch}");
        count += 1;
    }
    assert!(count > 0, "there were starts");
}
