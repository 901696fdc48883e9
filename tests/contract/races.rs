//! Calls that meet at a turn's end: whichever comes first, exactly one thing happens (§4, R6, R8, R18).

use crate::world::*;
use proto::{AdmissionMode, TurnState};
use std::collections::BTreeMap;

const ROUNDS: usize = 40;

/// Lets others run for a while that differs from round to round.
async fn a_moment(round: usize) {
    for _ in 0..round * 7 % 60 {
        tokio::task::yield_now().await;
    }
}

/// Events of each turn.
fn by_turn(events: &[proto::GatewayEvent]) -> BTreeMap<&str, Vec<&'static str>> {
    let mut turns: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
    for event in events.iter().filter(|e| !e.turn_id.is_empty()) {
        turns.entry(&event.turn_id).or_default().push(kind(event));
    }
    turns
}

/// Each turn ends once, with nothing of it after; no two are active at once.
fn check_turns(events: &[proto::GatewayEvent]) {
    for (turn_id, kinds) in by_turn(events) {
        let ends = kinds.iter().filter(|k| **k == "turn_ended").count();
        assert_eq!(
            (ends, kinds.last()),
            (1, Some(&"turn_ended")),
            "{turn_id}: {kinds:?}"
        );
    }
    let mut active = None;
    for event in events {
        match kind(event) {
            "turn_started" => assert_eq!(active.replace(&event.turn_id), None, "two turns at once"),
            "turn_ended" if active == Some(&event.turn_id) => active = None,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_abort_stops_its_turn_or_tells_how_it_ended() {
    let (_server, mut client) = shared().await;
    let key = "races.abort";
    let mut states = BTreeMap::new();
    for round in 0..ROUNDS {
        let turn_id = queue(&mut client, key, "!tool=look one two three").await;
        a_moment(round).await;
        let answer = ok!(client.abort(AbortRequest {
            session_key: key,
            turn_id: turn_id.as_str()
        }));
        let told = answer.turn.expect("the turn");
        let turn = await_turn(&mut client, key, &turn_id).await;
        assert_eq!(
            (&told.turn_id, told.state()),
            (&turn_id, turn.state()),
            "told only when it is over"
        );
        assert_eq!(
            answer.aborted,
            turn.state() != TurnState::Completed,
            "{:?}",
            turn.state()
        );
        *states.entry(turn.state().as_str_name()).or_insert(0) += 1;
    }
    check_turns(&log(&mut client, key).await);
    assert_eq!(states.values().sum::<usize>(), ROUNDS, "{states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_steer_is_applied_or_becomes_a_turn_and_never_both() {
    let (_server, mut client) = shared().await;
    let key = "races.steer";
    let mut steers = Vec::new();
    let mut turns = Vec::new();
    for round in 0..ROUNDS {
        turns.push(queue(&mut client, key, "!repeat=20 some words").await);
        a_moment(round).await;
        let answer = steer(&mut client, key, &format!("steer {round}"))
            .await
            .expect("taken");
        match answer.mode() {
            AdmissionMode::Steered => steers.push(answer.steer_id),
            AdmissionMode::Queued => turns.push(answer.turn.expect("a turn").turn_id),
            AdmissionMode::Unspecified => panic!("it is one of both"),
        }
        await_turn(&mut client, key, turns.last().expect("some")).await;
    }
    let mut applied = 0;
    for id in &steers {
        let events = log(&mut client, key).await;
        let fates: Vec<&str> = events
            .iter()
            .filter(|e| match &e.kind {
                Some(Kind::SteerApplied(steer)) => &steer.steer_id == id,
                Some(Kind::SteerRequeued(steer)) => &steer.steer_id == id,
                _ => false,
            })
            .map(kind)
            .collect();
        match fates[..] {
            ["steer_applied"] => applied += 1,
            ["steer_requeued"] => turns.push(id.clone()),
            _ => panic!("{id}: {fates:?}"),
        }
    }
    for id in &turns {
        assert_eq!(
            await_turn(&mut client, key, id).await.state(),
            TurnState::Completed
        );
    }
    check_turns(&log(&mut client, key).await);
    let listed = ok!(client.list_turns(ListTurnsRequest {
        session_key: key,
        page_size: 1000
    }))
    .turns;
    assert_eq!(
        (listed.len(), turns.len() + applied),
        (turns.len(), ROUNDS * 2)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_is_a_barrier_at_any_moment() {
    let (server, mut client) = shared().await;
    let key = "races.reset";
    run(&mut client, key, "x").await;
    let mut enqueuers = tokio::task::JoinSet::new();
    for n in 0..2 {
        let mut client = connect(server.address()).await;
        enqueuers.spawn(async move {
            let mut ids = Vec::new();
            for round in 0..ROUNDS {
                match enqueue(&mut client, key, "!tool=look one two").await {
                    Ok(answer) => ids.push(answer.turn.expect("a turn").turn_id),
                    Err(status) => assert_eq!(reason(&status), "QUEUE_FULL"),
                }
                a_moment(round + n).await;
            }
            ids
        });
    }
    let mut rejected = Vec::new();
    for round in 0..10 {
        a_moment(round * 3).await;
        let answer = ok!(client.reset(ResetRequest { session_key: key }));
        assert_eq!(
            answer.session.expect("a session").generation,
            i64::try_from(round).expect("small") + 2
        );
        rejected.extend(answer.rejected_turn_ids);
    }
    let accepted = soon(enqueuers.join_all()).await.concat();
    for id in &accepted {
        await_turn(&mut client, key, id).await;
    }
    let events = log(&mut client, key).await;
    check_turns(&events);
    let mut generation = 1;
    for event in &events {
        if let Some(Kind::SessionReset(reset)) = &event.kind {
            assert_eq!(reset.generation, generation + 1);
            generation = reset.generation;
        }
        let of_the_next = event.generation == generation + 1;
        assert!(
            event.generation == generation || of_the_next && kind(event) == "turn_queued",
            "{event:?} stands in generation {generation}"
        );
    }
    for id in &rejected {
        let turn = turn(&mut client, key, id).await;
        assert_eq!(
            (end(&turn).0, end(&turn).1),
            (TurnState::Rejected, "SESSION_RESET")
        );
    }
    assert_eq!(generation, 11);
}
