//! R3: a call that is sent again, for whatever reason, counts once.

use crate::{
    support::{log, reason},
    verify::check_log,
    world::{Dice, Site, Visitor, dice, figure, prompt},
};
use quarterdeck::proto::EnqueueResponse;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;
use tonic::Code;

/// Callers that share the same requests.
const CALLERS: u64 = 16;
/// Requests that they send again and again.
const HOT: u64 = 300;
/// Sessions that these go to; each has room for its share.
const SESSIONS: u64 = 12;

/// What was answered, by request.
type Answers = Arc<Mutex<HashMap<u64, EnqueueResponse>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r03_a_request_that_is_sent_again_counts_once() {
    let mut dice = dice(3);
    let mut site = Site::start(String::new());
    let answers = Answers::default();
    let left = Arc::new(AtomicU64::new(figure(10_000, 100_000)));
    let all = left.load(Ordering::Relaxed);
    let mut tasks = JoinSet::new();
    for _ in 0..CALLERS {
        let task = call(
            site.visitor().await,
            dice.fork(),
            answers.clone(),
            left.clone(),
        );
        tasks.spawn(task);
    }
    // The server goes down in the middle, three times.
    for part in 1..=3 {
        while left.load(Ordering::Relaxed) > all - all * part / 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        site.crash();
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no caller panics");
    }

    let mut visitor = site.visitor().await;
    let answers = answers.lock().expect("nobody panics here").clone();
    assert_eq!(
        answers.len() as u64,
        HOT,
        "every request was answered at least once"
    );
    let mut turns = 0;
    for session in 0..SESSIONS {
        let key = key(session);
        visitor.rest(&key).await;
        let stories = check_log(&log(&mut visitor.client, &key).await, true);
        turns += stories.len();
        for request in (0..HOT).filter(|request| request % SESSIONS == session) {
            let answer = &answers[&request];
            let turn_id = &answer.turn.as_ref().expect("a turn").turn_id;
            assert_eq!(
                stories[turn_id].queued, answer.seq,
                "the seq of the first answer"
            );
            assert_eq!(stories[turn_id].text, text(request));
        }
    }
    assert_eq!(turns as u64, HOT, "as many turns as requests");
    site.gateway.check_store();
}

async fn call(mut visitor: Visitor, mut dice: Dice, answers: Answers, left: Arc<AtomicU64>) {
    while left
        .try_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
        .is_ok()
    {
        let request = dice.below(HOT);
        let key = key(request % SESSIONS);
        let id = format!("hot-{request}");
        if dice.chance(15) {
            // Cut after it was sent, at any moment; whether it arrived nobody knows.
            let mut client = visitor.client.clone();
            let cut = client.enqueue(prompt(&key, &text(request), &id));
            let _ = tokio::time::timeout(dice.millis(0, 5), cut).await;
            if dice.chance(20) {
                visitor.reconnect().await;
            }
        } else if dice.chance(10) {
            // The same id for another text; before the first one arrived it would be the first.
            if answers
                .lock()
                .expect("nobody panics here")
                .contains_key(&request)
            {
                let refused = visitor.enqueue(&prompt(&key, "something else", &id)).await;
                let status = refused.expect_err("another request");
                assert_eq!(status.code(), Code::AlreadyExists);
                assert_eq!(reason(&status), "IDEMPOTENCY_CONFLICT");
            }
        } else {
            let answer = visitor
                .enqueue_all_the_same(&prompt(&key, &text(request), &id))
                .await;
            let mut answers = answers.lock().expect("nobody panics here");
            let first = answers.entry(request).or_insert_with(|| answer.clone());
            let facts = |a: &EnqueueResponse| {
                let turn_id = a.turn.as_ref().expect("a turn").turn_id.clone();
                (turn_id, a.seq, a.log_id.clone(), a.mode, a.queue_position)
            };
            assert_eq!(facts(first), facts(&answer), "request {request}");
        }
    }
}

fn key(session: u64) -> String {
    format!("hot-{session}")
}

fn text(request: u64) -> String {
    format!("this is request {request}")
}
