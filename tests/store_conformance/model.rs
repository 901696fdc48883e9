//! Any order of commands, owner's calls and crashes: no promise breaks, and the queue is what a plain list says.

use super::harness::{Engine, World, said, viewer};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use quarterdeck::{
    domain::turn::{OnInterrupt, StopReason},
    store::{Fence, OnBusy, TurnEnd, Write},
};
use std::collections::VecDeque;
use uuid::Uuid;

#[derive(Clone, Debug)]
enum Step {
    Enqueue(OnBusy, bool),
    Steer,
    Abort(bool),
    Reset,
    Clear,
    Start,
    Say,
    Give,
    Apply,
    End,
    Crash,
}

/// What the queue should be: texts in order, and whether each goes first.
#[derive(Default)]
struct Model {
    waiting: VecDeque<(String, bool)>,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (
            prop_oneof![
                Just(OnBusy::Enqueue),
                Just(OnBusy::Interrupt),
                Just(OnBusy::Reject),
                Just(OnBusy::SteerOrEnqueue)
            ],
            any::<bool>()
        )
            .prop_map(|(on_busy, retry)| Step::Enqueue(on_busy, retry)),
        3 => Just(Step::Steer),
        1 => any::<bool>().prop_map(Step::Abort),
        1 => Just(Step::Reset),
        1 => Just(Step::Clear),
        6 => Just(Step::Start),
        3 => Just(Step::Say),
        2 => Just(Step::Give),
        2 => Just(Step::Apply),
        4 => Just(Step::End),
        1 => Just(Step::Crash),
    ]
}

pub async fn any_order_of_commands_keeps_every_promise<E: Engine>() {
    let mut runner = TestRunner::new(Config::default());
    let strategy = proptest::collection::vec(step(), 1..60);
    for _ in 0..24 {
        let steps = strategy.new_tree(&mut runner).unwrap().current();
        let told = format!("{steps:?}");
        let story = tokio::spawn(play::<E>(steps));
        assert!(story.await.is_ok(), "failed after: {told}");
    }
}

async fn play<E: Engine>(steps: Vec<Step>) {
    let mut world = World::<E>::new();
    let mut model = Model::default();
    let mut fence: Option<Fence> = None;
    for (number, step) in steps.into_iter().enumerate() {
        let text = number.to_string();
        let active = match world
            .store
            .session(&viewer(), &super::harness::key("s"))
            .await
        {
            Ok(session) => session.active_turn.is_some(),
            Err(_) => false,
        };
        match step {
            Step::Enqueue(on_busy, retry) => {
                let mut command = world.enqueue_of("s", &text);
                command.on_busy = on_busy;
                command.on_interrupt = retry.then_some(OnInterrupt::Retry);
                if let Ok(committed) = world.store.enqueue(command).await
                    && committed.receipt.steer_id.is_none()
                {
                    if on_busy == OnBusy::Interrupt {
                        model.waiting.push_front((text, true));
                    } else {
                        model.waiting.push_back((text, false));
                    }
                }
            }
            Step::Steer => {
                let steered = world.store.steer(world.steer_of("s", &text)).await;
                if steered.is_ok_and(|s| s.receipt.steer_id.is_none()) {
                    model.waiting.push_back((text, false));
                }
            }
            Step::Abort(clear_queue) => {
                let mut abort = world.abort_of("s");
                abort.clear_queue = clear_queue;
                if world.store.abort(abort).await.is_ok() && clear_queue {
                    model.waiting.clear();
                }
            }
            Step::Reset => {
                // One that joins a pending one takes what was accepted between the two as well.
                if world.store.reset(world.caller("s")).await.is_ok() {
                    model.waiting.clear();
                }
            }
            Step::Clear => {
                if world.store.clear_queue(world.caller("s")).await.is_ok() {
                    model.waiting.clear();
                }
            }
            Step::Start => {
                if number > 0
                    && world
                        .store
                        .session(&viewer(), &super::harness::key("s"))
                        .await
                        .is_ok()
                {
                    let owner = match fence {
                        Some(owner) => owner,
                        None => world.claim("s").await,
                    };
                    fence = Some(owner);
                    let started = world.store.start_next(owner, world.now()).await.unwrap();
                    match started {
                        Some(started) => {
                            let (text, _) = model.waiting.pop_front().unwrap();
                            assert_eq!(started.turn.text, text);
                            assert!(!active);
                        }
                        None => assert!(active || model.waiting.is_empty()),
                    }
                }
            }
            Step::Say => {
                if let (Some(owner), true) = (fence, active) {
                    world.append(owner, said(Uuid::now_v7(), &text)).await;
                }
            }
            Step::Give | Step::Apply => {
                if let (Some(owner), true) = (fence, active)
                    && let Some(steer) = world.store.pending_steers(owner).await.unwrap().first()
                {
                    let steer_id = steer.steer_id;
                    let mut writes = vec![Write::SteerGiven { steer_id }];
                    if matches!(step, Step::Apply) {
                        writes.push(Write::SteerApplied { steer_id });
                    }
                    world.append(owner, writes).await;
                }
            }
            Step::End => {
                if let (Some(owner), true) = (fence, active) {
                    world.end(owner, TurnEnd::Completed(StopReason::Stop)).await;
                }
            }
            Step::Crash => {
                world.crash();
                world.store.recover(world.now()).await.unwrap();
                fence = None;
            }
        }
        // Steers and retries enter the queue at an end: the rule for their place is checked, then they are taken over.
        if world
            .store
            .session(&viewer(), &super::harness::key("s"))
            .await
            .is_ok()
        {
            let waiting = world.waiting("s").await;
            let old: Vec<&String> = model.waiting.iter().map(|(text, _)| text).collect();
            let kept: Vec<&String> = waiting.iter().filter(|text| old.contains(text)).collect();
            assert_eq!(kept, old, "what waited waits on, in order");
            let mut merged = VecDeque::new();
            let mut seen_ordinary = false;
            for text in &waiting {
                match model.waiting.iter().find(|(old, _)| old == text) {
                    Some((_, first)) => {
                        seen_ordinary |= !first;
                        merged.push_back((text.clone(), *first));
                    }
                    None => {
                        assert!(!seen_ordinary, "requeued ahead of all ordinary turns");
                        // A retry stands first of all; whether it goes first matters to nobody else here.
                        merged.push_back((text.clone(), merged.is_empty()));
                    }
                }
            }
            model.waiting = merged;
            let session = world.session("s").await;
            assert_eq!(session.queue_depth, i64::try_from(waiting.len()).unwrap());
        }
    }
    world.done().await;
}
