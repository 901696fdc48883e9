//! R8: a Reset is a barrier. Short random lists of commands, each in a session of its own, held against a model that
//! knows one thing: what was acknowledged before a Reset was asked for does not run after it.

use crate::{
    support::{Client, log},
    verify::{TurnStory, check_log},
    world::{Dice, PATIENCE, Site, dice, eventually, figure, prompt},
};
use quarterdeck::proto::{
    AbortMode, AbortRequest, EnqueueResponse, GatewayEvent, ReadEventsRequest, ResetRequest, Role,
    SessionState, SteerRequest, TurnState, gateway_event::Kind,
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::task::JoinSet;

/// Lists that run at the same time.
const PARALLEL: u64 = 48;

/// One command of a list.
#[derive(Clone, Copy, Debug)]
enum Command {
    Quick,
    Slow,
    Hang,
    History,
    Steer,
    Abort,
    Reset,
    /// A Reset, and an Enqueue that nobody orders against it.
    ResetBesideEnqueue,
    /// A Reset, an Enqueue meanwhile, and a second Reset once that is acknowledged.
    ResetAcrossEnqueue,
}

const COMMANDS: [Command; 12] = [
    Command::Quick,
    Command::Quick,
    Command::Slow,
    Command::Hang,
    Command::Hang,
    Command::History,
    Command::History,
    Command::Steer,
    Command::Abort,
    Command::Reset,
    Command::ResetBesideEnqueue,
    Command::ResetAcrossEnqueue,
];

/// What a list's caller knows.
#[derive(Default)]
struct Model {
    /// Turns in the order of their acknowledgement.
    acknowledged: Vec<String>,
    /// Each Reset: how many turns were acknowledged when it was asked for, how many when it was answered (those that
    /// stood beside it not counted), and the generation that it began.
    resets: Vec<(usize, usize, i64)>,
}

struct List {
    client: Client,
    key: String,
    model: Model,
    calls: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r08_reset_is_a_barrier() {
    let dice = dice(8);
    let mut site = Site::start(crate::world::UNBOUNDED.into());
    let lists = figure(10_000, 100_000);
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let mut client = site.visitor().await.client;
    for task in 0..PARALLEL {
        if task % 8 == 0 {
            client = site.visitor().await.client;
        }
        let (client, next, seeds) = (client.clone(), next.clone(), dice.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= lists {
                    return;
                }
                // Every list has dice of its own, whichever task takes it.
                let dice = seeds.fork_of(number);
                let list = List {
                    client: client.clone(),
                    key: format!("list-{number}"),
                    model: Model::default(),
                    calls: 0,
                };
                let run = tokio::time::timeout(PATIENCE, list.run(dice));
                run.await.unwrap_or_else(|_| panic!("list {number} hangs"));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no list fails");
    }
    site.gateway.check_store();
}

/// Found by reading: a Reset that joined a pending one let a turn run that was acknowledged before it was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r08_a_reset_that_joins_another_takes_what_came_between() {
    let mut site = Site::start(String::new());
    let mut visitor = site.visitor().await;
    let key = "stubborn";
    // Ignores the soft way, so the first Reset is pending for as long as its turn is not killed.
    let text = "!stubborn !delay=60s !think=long x";
    visitor
        .enqueue(&prompt(key, text, ""))
        .await
        .expect("accepted");
    // Before its agent has the turn, a Reset would be over at once.
    eventually("the agent to reply", async || {
        let events = log(&mut visitor.client, key).await;
        let started = events
            .iter()
            .filter(|event| matches!(event.kind, Some(Kind::MessageStarted(_))));
        (started.count() == 2).then_some(())
    })
    .await;
    let first = tokio::spawn(reset(visitor.client.clone(), key.into()));
    eventually("the Reset to be pending", async || {
        let state = visitor.session(key).await.state();
        (state == SessionState::Resetting).then_some(())
    })
    .await;
    let between = visitor
        .enqueue(&prompt(key, "between", ""))
        .await
        .expect("accepted");
    let second = tokio::spawn(reset(visitor.client.clone(), key.into()));
    let between = visitor
        .end_of(key, &between.turn.expect("a turn").turn_id)
        .await;
    assert_eq!(between.state(), TurnState::Rejected);
    assert_eq!(between.error.expect("a reason").reason, "SESSION_RESET");
    let after = visitor
        .enqueue(&prompt(key, "after", ""))
        .await
        .expect("accepted");
    let mut kill = AbortRequest {
        session_key: key.into(),
        ..Default::default()
    };
    kill.set_mode(AbortMode::Kill);
    visitor.client.abort(kill).await.expect("answered");
    let (first, second) = (
        first.await.expect("no panic"),
        second.await.expect("no panic"),
    );
    assert_eq!(first, second, "the same generation comes of both");
    let after = visitor
        .end_of(key, &after.turn.expect("a turn").turn_id)
        .await;
    assert_eq!(
        (after.state(), after.generation),
        (TurnState::Completed, second)
    );
    check_log(&log(&mut visitor.client, key).await, true);
    site.gateway.check_store();
}

impl List {
    async fn run(mut self, mut dice: Dice) {
        // A session is there, whatever the list begins with.
        self.enqueue("hello").await;
        let commands: Vec<Command> = (0..dice.below(4) + 1)
            .map(|_| *dice.pick(&COMMANDS))
            .collect();
        for command in &commands {
            self.carry_out(*command).await;
        }
        self.abort(true).await;
        let events = self.events().await;
        let stories = check_log(&events, true);
        self.check_barriers(&commands, &events, &stories);
    }

    async fn carry_out(&mut self, command: Command) {
        match command {
            Command::Quick => drop(self.enqueue("a reply").await),
            Command::Slow => drop(self.enqueue("!delay=2ms a slow one").await),
            Command::Hang => drop(self.enqueue("!hang").await),
            Command::History => drop(self.enqueue("!history").await),
            Command::Steer => {
                let request = SteerRequest {
                    session_key: self.key.clone(),
                    text: "a steer".into(),
                    ..Default::default()
                };
                let answer = self
                    .client
                    .steer(request)
                    .await
                    .expect("accepted")
                    .into_inner();
                // As a turn it is known by the steer's id, at once or once it is requeued.
                let turn_id = if answer.steer_id.is_empty() {
                    answer.turn.expect("a turn").turn_id
                } else {
                    answer.steer_id
                };
                self.model.acknowledged.push(turn_id);
            }
            Command::Abort => self.abort(false).await,
            Command::Reset => {
                let before = self.model.acknowledged.len();
                let generation = reset(self.client.clone(), self.key.clone()).await;
                self.model.resets.push((before, before, generation));
            }
            Command::ResetBesideEnqueue => {
                let before = self.model.acknowledged.len();
                let resetting = tokio::spawn(reset(self.client.clone(), self.key.clone()));
                self.enqueue("beside").await;
                let generation = resetting.await.expect("no panic");
                self.model.resets.push((before, before + 1, generation));
            }
            Command::ResetAcrossEnqueue => {
                let before = self.model.acknowledged.len();
                let resetting = tokio::spawn(reset(self.client.clone(), self.key.clone()));
                self.enqueue("across").await;
                let second = reset(self.client.clone(), self.key.clone()).await;
                let first = resetting.await.expect("no panic");
                self.model.resets.push((before, before + 1, first));
                self.model.resets.push((before + 1, before + 1, second));
            }
        }
    }

    async fn enqueue(&mut self, text: &str) -> EnqueueResponse {
        self.calls += 1;
        let request = prompt(&self.key, text, &self.calls.to_string());
        let answer = self
            .client
            .enqueue(request)
            .await
            .expect("accepted")
            .into_inner();
        self.model
            .acknowledged
            .push(answer.turn.clone().expect("a turn").turn_id);
        answer
    }

    async fn abort(&mut self, clear_queue: bool) {
        let request = AbortRequest {
            session_key: self.key.clone(),
            clear_queue,
            ..Default::default()
        };
        self.client.abort(request).await.expect("answered");
    }

    async fn events(&mut self) -> Vec<GatewayEvent> {
        let request = ReadEventsRequest {
            session_key: self.key.clone(),
            limit: 1000,
            ..Default::default()
        };
        self.client
            .read_events(request)
            .await
            .expect("readable")
            .into_inner()
            .events
    }

    fn check_barriers(
        &self,
        commands: &[Command],
        events: &[GatewayEvent],
        stories: &HashMap<String, TurnStory>,
    ) {
        let list = || format!("{} {commands:?}", self.key);
        // Along the log: nothing of an earlier generation after a Reset, nothing of a later one started before it.
        let mut generation = events[0].generation;
        let mut user_messages = 0;
        for event in events {
            match event.kind.as_ref().expect("a kind") {
                Kind::SessionReset(reset) => {
                    generation += 1;
                    user_messages = 0;
                    assert_eq!(reset.generation, generation, "{}", list());
                }
                Kind::TurnQueued(_) | Kind::SteerRequeued(_) => {
                    assert!(event.generation >= generation, "{}: {event:?}", list());
                }
                Kind::TurnEnded(ended) => {
                    let turn = ended.turn.as_ref().expect("a turn");
                    // A turn that waits for a pending Reset may be taken away before it.
                    let waits =
                        turn.state() == TurnState::Rejected && event.generation > generation;
                    assert!(
                        waits || event.generation == generation,
                        "{}: {event:?}",
                        list()
                    );
                    let story = &stories[&turn.turn_id];
                    if story.text == "!history" && turn.state() == TurnState::Completed {
                        let before = (user_messages - 1).to_string();
                        assert_eq!(turn.response_text, before, "{}: it remembers", list());
                    }
                }
                Kind::TurnStarted(_) => {
                    assert_eq!(event.generation, generation, "{}: {event:?}", list());
                }
                Kind::MessageStarted(message) => {
                    assert_eq!(event.generation, generation, "{}: {event:?}", list());
                    user_messages += i64::from(message.role() == Role::User);
                }
                _ => {}
            }
        }
        // Against what the caller knows.
        let reset_at: HashMap<i64, i64> = events
            .iter()
            .filter_map(|event| match &event.kind {
                Some(Kind::SessionReset(reset)) => Some((reset.generation, event.seq)),
                _ => None,
            })
            .collect();
        for (before, answered, generation) in &self.model.resets {
            let barrier = reset_at[generation];
            let facts = |turn_id: &String| stories.get(turn_id);
            for story in self.model.acknowledged[..*before].iter().filter_map(facts) {
                let ended = story.ended.expect("checked above").0;
                let ran_after = story.starts.iter().any(|(_, at)| *at > barrier);
                assert!(
                    !ran_after,
                    "{}: ran after Reset {generation}: {story:?}",
                    list()
                );
                assert!(
                    ended < barrier || story.starts.is_empty(),
                    "{}: outlived Reset {generation}: {story:?}",
                    list()
                );
            }
            for story in self.model.acknowledged[*answered..]
                .iter()
                .filter_map(facts)
            {
                assert!(
                    story.generation >= *generation,
                    "{}: of before: {story:?}",
                    list()
                );
                assert!(story.queued > barrier, "{}: of before: {story:?}", list());
            }
        }
    }
}

/// Resets; returns the generation that it began.
async fn reset(mut client: Client, session_key: String) -> i64 {
    let request = ResetRequest {
        session_key,
        ..Default::default()
    };
    let answer = client.reset(request).await.expect("answered").into_inner();
    answer.session.expect("a session").generation
}
