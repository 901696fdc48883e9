//! What is done at its time: turns that wait for their `not_before`, and schedules, under a clock that is set by hand.

use super::harness::{Engine, World, hours, id, key, request, viewer};
use prost::Message as _;
use quarterdeck::{
    domain::{
        Refusal,
        access::{Credential, Identity, Scope, Scopes},
        api_key::ApiKey,
        ids::{Principal, Time},
        limits::SCHEDULED_TURNS_MAX,
        quotas::{LiveQuotas, Quotas},
        schedule::{Missed, Outcome, Overlap, Rules, ScheduleRun, SessionMode, Trigger},
        times::{Spec, When},
        turn::{Cause, TurnState},
    },
    proto::EnqueueRequest,
    schedules::{Prepare, Schedules},
    store::{
        Caller, Enqueue, NewApiKey, NewSchedule, NewSession, OnBusy, RequestKey, RevokeApiKey,
        ScheduleCaller, ScheduleUpdate, TurnEnd, UpdateQueued,
    },
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// 1 December 2026, 00:00 UTC, in seconds.
const DAY: i64 = 1_796_083_200;
const HOUR: i64 = 3600;

/// A world whose queues have so many places.
fn with_room_for<E: Engine>(turns: i64) -> World<E> {
    World::with(|rules| {
        let quotas = Quotas {
            queue_limit_turns: turns,
            ..rules.quotas.get()
        };
        rules.quotas = LiveQuotas::new(quotas);
    })
}

fn at(second: i64) -> Time {
    Time(second * 1_000_000)
}

// === turns ===

async fn later<E: Engine>(world: &World<E>, session: &str, text: &str, second: i64) -> Enqueue {
    let mut command = world.enqueue_of(session, text);
    command.not_before = Some(at(second));
    command.queue_ttl = Some(Duration::from_secs(60));
    command
}

pub async fn a_turn_waits_for_its_time_outside_of_the_queue<E: Engine>() {
    let mut world = World::<E>::new();
    let second = later(&world, "s", "second", DAY + 20).await;
    let second = world.store.enqueue(second).await.unwrap();
    let first = later(&world, "s", "first", DAY + 10).await;
    let first = world.store.enqueue(first).await.unwrap();
    let kinds = ["session_created", "turn_scheduled", "turn_scheduled"];
    assert_eq!(world.kinds("s").await, kinds);
    let turn = first.turn.clone().unwrap();
    assert_eq!(
        (turn.state, turn.not_before),
        (TurnState::Scheduled, Some(at(DAY + 10)))
    );
    // Nothing waits, nobody is woken, and who wants no queue gets his turn.
    let session = world.session("s").await;
    assert_eq!((session.queue_depth, session.queue_bytes), (0, 0));
    assert!(world.runnable(9).await.is_empty());
    let busy = world.try_enqueue("s", "now", OnBusy::Reject).await.unwrap();
    assert_eq!(busy.receipt.queue_position, 0);
    let next = world.store.next_due().await.unwrap();
    assert_eq!(next, Some(at(DAY + 10)));

    // Not yet; then one; and the other one in another life.
    let due = |second| world.store.queue_due(at(second), world.now());
    assert_eq!(due(DAY + 9).await, Ok(0));
    assert_eq!(due(DAY + 10).await, Ok(1));
    assert_eq!(due(DAY + 10).await, Ok(0));
    assert_eq!(world.waiting("s").await, ["now", "first"]);
    let turn = world.turn("s", id(&first)).await;
    assert_eq!(turn.state, TurnState::Queued);
    // Its time in the queue began when it entered it.
    let expire = world.now().plus_micros(60_000_000);
    assert_eq!(turn.expire_time, Some(expire));
    world.crash();
    assert_eq!(
        world.turn("s", id(&second)).await.state,
        TurnState::Scheduled
    );
    let due = |second| world.store.queue_due(at(second), world.now());
    assert_eq!(due(DAY + 99).await, Ok(1));
    assert_eq!(world.waiting("s").await, ["now", "first", "second"]);
    assert_eq!(world.store.next_due().await, Ok(None));
    world.complete("s", "answer").await;
    world.complete("s", "answer").await;
    assert_eq!(world.complete("s", "answer").await.turn_id, id(&second));
    let kinds = world.kinds_after("s", 3).await;
    let queued = kinds.iter().filter(|kind| **kind == "turn_queued");
    assert_eq!(queued.count(), 3);
    world.done().await;
}

pub async fn a_turn_that_waits_for_its_time_is_changed_and_taken<E: Engine>() {
    let world = World::<E>::new();
    let mut turns = Vec::new();
    for nth in 0..4 {
        let command = later(&world, "s", &format!("t{nth}"), DAY + nth).await;
        turns.push(id(&world.store.enqueue(command).await.unwrap()));
    }
    // Its text, which may be long; not its place.
    let update = |text: Option<String>, position| UpdateQueued {
        caller: world.caller("s"),
        turn_id: turns[0],
        text,
        position,
    };
    let changed = world
        .store
        .update_queued(update(Some("x".repeat(900)), None));
    assert_eq!(changed.await.unwrap().turn.unwrap().text.len(), 900);
    let moved = world.store.update_queued(update(None, Some(0))).await;
    assert_eq!(moved.unwrap_err().reason(), "INVALID_FIELD");
    let full = world
        .store
        .update_queued(update(Some("x".repeat(999)), None));
    assert_eq!(full.await.unwrap_err().reason(), "QUEUE_FULL");
    // One is removed, another one aborted; what clears the queue leaves them.
    let removed = world.store.remove_queued(world.caller("s"), turns[1]);
    let removed = removed.await.unwrap().turn.unwrap();
    assert_eq!(removed.state, TurnState::Rejected);
    let mut abort = world.abort_of("s");
    abort.turn_id = Some(turns[2]);
    assert!(world.store.abort(abort).await.unwrap().receipt.stopping);
    let cleared = world.store.clear_queue(world.caller("s")).await.unwrap();
    assert_eq!(cleared.cleared.len(), 0);
    let mut abort = world.abort_of("s");
    abort.clear_queue = true;
    assert_eq!(world.store.abort(abort).await.unwrap().cleared.len(), 0);
    // Reset rejects what is left, and so does Delete.
    let reset = world.reset("s").await;
    let cleared: Vec<_> = reset.cleared.iter().map(|turn| turn.turn_id).collect();
    assert_eq!(cleared, [turns[0], turns[3]]);
    let cause = reset.cleared[0].error.as_ref().unwrap().cause;
    assert_eq!(cause, Cause::SessionReset);
    let last = later(&world, "s", "last", DAY).await;
    let last = id(&world.store.enqueue(last).await.unwrap());
    let deleted = world.delete("s").await;
    assert_eq!(deleted.cleared[0].turn_id, last);
    assert_eq!(world.store.next_due().await, Ok(None));
    world.done().await;
}

pub async fn turns_that_wait_for_their_time_are_bounded<E: Engine>() {
    let world = with_room_for::<E>(1);
    for _ in 0..SCHEDULED_TURNS_MAX {
        let command = later(&world, "s", "x", DAY).await;
        world.store.enqueue(command).await.unwrap();
    }
    let command = later(&world, "s", "x", DAY).await;
    let refused = world.store.enqueue(command).await.unwrap_err();
    assert_eq!(refused.reason(), "QUEUE_FULL");
    // They were let in: a queue that is full does not lose them.
    world.enqueue("s", "now").await;
    assert_eq!(world.store.queue_due(at(DAY), world.now()).await, Ok(1));
    assert_eq!(world.waiting("s").await.len(), 65);
    world.done().await;
}

// === schedules ===

/// A world with a timer.
struct Timed<E> {
    world: World<E>,
    wall: Arc<AtomicI64>,
}

fn prepare() -> Prepare {
    Arc::new(|identity, request: EnqueueRequest| {
        Box::pin(async move {
            identity.require(Scope::SessionWrite)?;
            Ok(Enqueue {
                caller: Caller {
                    identity,
                    key: key(&request.session_key),
                    request: Some(RequestKey {
                        request_id: request.request_id,
                        method: "Enqueue",
                        hash: [1; 32],
                    }),
                    expected_generation: None,
                    now: Time(1_700_000_000_000_000),
                },
                new_session: NewSession {
                    agent: request.agent,
                    ..NewSession::default()
                },
                text: request.text,
                command: String::new(),
                attachments: Vec::new(),
                source: request.source,
                metadata: BTreeMap::new(),
                on_busy: OnBusy::Enqueue,
                on_interrupt: None,
                turn_timeout: hours(1),
                queue_ttl: None,
                not_before: None,
                output_schema: String::new(),
                client_tools: Vec::new(),
                trace_context: String::new(),
            })
        })
    })
}

fn rules(cron: &str) -> Rules {
    Rules {
        spec: Spec {
            when: When::Cron(cron.into()),
            time_zone: "UTC".into(),
            start: None,
            end: None,
            jitter: 0,
            anchor: DAY,
        },
        session: SessionMode::Same,
        overlap: Overlap::Skip,
        missed: Missed::RunOnce,
        missed_window: 24 * HOUR,
        pause_after_failures: 3,
    }
}

impl<E: Engine> Timed<E> {
    fn new() -> Self {
        Self {
            world: with_room_for(4),
            wall: Arc::new(AtomicI64::new(at(DAY).0)),
        }
    }

    fn set(&self, second: i64) {
        self.wall.store(at(second).0, Ordering::Relaxed);
    }

    fn schedules(&self) -> Arc<Schedules> {
        let wall = self.wall.clone();
        let clock = move || Time(wall.load(Ordering::Relaxed));
        let sooner = Arc::new(Notify::new());
        Schedules::new(self.world.store.clone(), prepare(), Arc::new(clock), sooner)
    }

    /// The clock is that, and what is due then is done.
    async fn look(&self, second: i64) {
        self.set(second);
        self.schedules().look().await.unwrap();
    }

    fn caller(&self, name: &str, identity: &Arc<Identity>) -> ScheduleCaller {
        ScheduleCaller {
            until: None,
            identity: identity.clone(),
            name: name.into(),
            request: None,
            now: self.world.now(),
            wall: Time(self.wall.load(Ordering::Relaxed)),
        }
    }

    fn new_schedule(&self, name: &str, rules: Rules) -> NewSchedule {
        let request = EnqueueRequest {
            session_key: name.into(),
            text: "good morning".into(),
            ..EnqueueRequest::default()
        };
        NewSchedule {
            caller: self.caller(name, &viewer()),
            rules,
            request: request.encode_to_vec(),
            paused: false,
            pause_reason: String::new(),
            remaining_runs: None,
        }
    }

    async fn make(&self, name: &str, rules: Rules) {
        let new = self.new_schedule(name, rules);
        self.world.store.create_schedule(new).await.unwrap();
    }

    /// Its runs, the oldest first: seconds after [`DAY`], and what came of them.
    async fn runs(&self, name: &str) -> Vec<(i64, String)> {
        let shown = |run: &ScheduleRun| {
            let what = match run.outcome {
                Outcome::Started => format!("{:?}", run.trigger),
                Outcome::Skipped | Outcome::Refused => run.reason.clone(),
            };
            (run.scheduled_time.0 / 1_000_000 - DAY, what)
        };
        self.all_runs(name).await.iter().map(shown).collect()
    }

    async fn all_runs(&self, name: &str) -> Vec<ScheduleRun> {
        let owner = &viewer().principal;
        let wall = Time(self.wall.load(Ordering::Relaxed));
        let page = self.world.store.schedule_runs(owner, name, None, 500, wall);
        let (mut runs, next) = page.await.unwrap();
        assert_eq!(next, None);
        runs.reverse();
        runs
    }

    async fn paused(&self, name: &str) -> (bool, String) {
        let owner = &viewer().principal;
        let found = self.world.store.schedule(owner, name, at(DAY)).await;
        let found = found.unwrap();
        (found.paused, found.pause_reason)
    }

    async fn resume(&self, name: &str, identity: &Arc<Identity>) {
        let owner = &identity.principal;
        let wall = Time(self.wall.load(Ordering::Relaxed));
        let before = self.world.store.schedule(owner, name, wall).await.unwrap();
        let update = ScheduleUpdate {
            version: before.version,
            new: NewSchedule {
                caller: self.caller(name, identity),
                rules: before.rules,
                request: before.request,
                paused: false,
                pause_reason: String::new(),
                remaining_runs: before.remaining_runs,
            },
        };
        let changed = self.world.store.update_schedule(update).await.unwrap();
        assert!(changed.is_some());
    }
}

fn told(runs: &[(i64, &str)]) -> Vec<(i64, String)> {
    let told = runs.iter();
    told.map(|(second, what)| (*second, (*what).to_owned()))
        .collect()
}

pub async fn a_schedule_runs_at_its_times_and_in_one_commit_with_its_row<E: Engine>() {
    let timed = Timed::<E>::new();
    timed.make("daily", rules("0 9 * * *")).await;
    let next = timed.world.store.next_due().await.unwrap();
    assert_eq!(next, Some(at(DAY + 9 * HOUR)));
    timed.look(DAY + 9 * HOUR - 1).await;
    assert_eq!(timed.runs("daily").await, []);
    timed.look(DAY + 9 * HOUR).await;
    timed.look(DAY + 9 * HOUR).await;
    assert_eq!(timed.runs("daily").await, told(&[(9 * HOUR, "Time")]));
    let run = timed.all_runs("daily").await.remove(0);
    assert_eq!(
        (run.trigger, run.session_key.as_str()),
        (Trigger::Time, "daily")
    );
    let turn = timed.world.turn("daily", run.turn_id.unwrap()).await;
    assert_eq!(
        (turn.text.as_str(), turn.principal.as_str()),
        ("good morning", "default/local")
    );
    assert_eq!(timed.world.waiting("daily").await, ["good morning"]);
    timed.world.complete("daily", "hi").await;
    timed.look(DAY + 33 * HOUR + 5).await;
    let runs = told(&[(9 * HOUR, "Time"), (33 * HOUR, "Time")]);
    assert_eq!(timed.runs("daily").await, runs);
    timed.world.done().await;
}

/// A schedule of a token, which nobody looks up again, ends its right at the time that was said when it was made.
pub async fn a_right_that_is_not_looked_up_ends<E: Engine>() {
    let timed = Timed::<E>::new();
    let mut new = timed.new_schedule("hourly", rules("0 * * * *"));
    new.caller.until = Some(at(DAY + 2 * HOUR));
    timed.world.store.create_schedule(new).await.unwrap();
    timed.look(DAY + HOUR).await;
    timed.world.complete("hourly", "hi").await;
    assert_eq!(timed.paused("hourly").await, (false, String::new()));
    timed.look(DAY + 2 * HOUR).await;
    let runs = [(HOUR, "Time"), (2 * HOUR, "PERMISSION_REVOKED")];
    assert_eq!(timed.runs("hourly").await, told(&runs));
    assert_eq!(
        timed.paused("hourly").await,
        (true, "PERMISSION_REVOKED".into())
    );
    timed.world.done().await;
}

/// 10 000 schedules cost one timer, which keeps nothing of any of them: what is due is found in rows, by their index.
pub async fn ten_thousand_schedules_cost_one_timer<E: Engine>() {
    let timed = Timed::<E>::new();
    let schedules = timed.schedules();
    // A tenant has 1000: ten tenants.
    for tenant in 0..10 {
        let mut identity = (*viewer()).clone();
        identity.principal.tenant = format!("t{tenant}");
        let identity = Arc::new(identity);
        let made = (0..1000).map(|of| {
            let name = format!("s{of}");
            let mut new = timed.new_schedule(&name, rules("0 9 * * *"));
            new.caller = timed.caller(&name, &identity);
            timed.world.store.create_schedule(new)
        });
        for made in futures_util::future::join_all(made).await {
            made.unwrap();
        }
    }
    timed.make("first", rules("0 8 * * *")).await;
    // One timer for all of them: the next is the first one's, and looking for it is one look into an index.
    let held = std::mem::size_of_val(&*schedules);
    assert!(held <= 200, "{held} bytes for all of them");
    let began = std::time::Instant::now();
    for _ in 0..100 {
        let next = schedules.look().await.unwrap();
        assert_eq!(next, Some(at(DAY + 8 * HOUR)));
    }
    let took = began.elapsed() / 100;
    println!("10001 schedules: {held} bytes of memory for all; a look takes {took:?}");
    assert!(took < Duration::from_millis(50), "{took:?}");
    timed.world.done().await;
}

pub async fn what_was_missed_is_caught_up_once_over_a_crash<E: Engine>() {
    let mut timed = Timed::<E>::new();
    timed.make("hourly", rules("0 * * * *")).await;
    timed.look(DAY + HOUR).await;
    timed.world.complete("hourly", "hi").await;
    timed.world.crash();
    timed.look(DAY + 5 * HOUR + 600).await;
    timed.world.crash();
    timed.look(DAY + 5 * HOUR + 600).await;
    let runs = [
        (HOUR, "Time"),
        (2 * HOUR, "MISSED"),
        (3 * HOUR, "MISSED"),
        (4 * HOUR, "MISSED"),
        (5 * HOUR, "CatchUp"),
    ];
    assert_eq!(timed.runs("hourly").await, told(&runs));
    assert_eq!(timed.world.waiting("hourly").await.len(), 1);
    timed.world.done().await;
}

/// The clock goes back and forth by hours: no time runs twice, none is left out.
pub async fn a_clock_that_is_set_neither_repeats_nor_loses_a_run<E: Engine>() {
    let timed = Timed::<E> {
        world: with_room_for(100),
        ..Timed::new()
    };
    let mut all = rules("0 * * * *");
    all.missed = Missed::All;
    all.overlap = Overlap::Queue;
    all.session = SessionMode::Same;
    timed.make("hourly", all).await;
    for hour in [1, 2, -5, 0, 3, 2, 9, 1, 4, 10, 10, -20, 11, 12] {
        timed.look(DAY + hour * HOUR + 1).await;
        while !timed.world.runnable(1).await.is_empty() {
            timed.world.complete("hourly", "hi").await;
        }
    }
    let runs = timed.all_runs("hourly").await;
    let times: Vec<i64> = runs
        .iter()
        .map(|run| (run.scheduled_time.0 / 1_000_000 - DAY) / HOUR)
        .collect();
    assert_eq!(times, (1..=12).collect::<Vec<i64>>());
    assert!(runs.iter().all(|run| run.outcome == Outcome::Started));
    // Paused and resumed while the clock is far back: what ran does not run again.
    timed.set(DAY + 2 * HOUR);
    timed.resume("hourly", &viewer()).await;
    timed.look(DAY + 12 * HOUR + 30).await;
    assert_eq!(timed.all_runs("hourly").await.len(), 12);
    timed.world.done().await;
}

pub async fn an_earlier_run_is_treated_as_the_schedule_says<E: Engine>() {
    let timed = Timed::<E>::new();
    let overlaps = [
        ("skip", Overlap::Skip),
        ("buffer", Overlap::BufferOne),
        ("queue", Overlap::Queue),
        ("interrupt", Overlap::Interrupt),
    ];
    for (name, overlap) in overlaps {
        let mut rules = rules("0 * * * *");
        rules.overlap = overlap;
        timed.make(name, rules).await;
    }
    let mut each = rules("0 * * * *");
    each.overlap = Overlap::Allow;
    each.session = SessionMode::New("{schedule}-{time}".into());
    timed.make("allow", each).await;
    // The first run works for hours.
    timed.look(DAY + HOUR).await;
    for (name, _) in overlaps {
        timed.world.run(name).await;
    }
    for hour in 2..=3 {
        timed.look(DAY + hour * HOUR).await;
    }
    let what =
        |second: &str, third: &str| told(&[(HOUR, "Time"), (2 * HOUR, second), (3 * HOUR, third)]);
    assert_eq!(timed.runs("skip").await, what("OVERLAP", "OVERLAP"));
    assert_eq!(timed.runs("buffer").await, what("Time", "OVERLAP"));
    assert_eq!(timed.runs("queue").await, what("Time", "Time"));
    assert_eq!(timed.runs("interrupt").await, what("Time", "Time"));
    assert_eq!(timed.runs("allow").await, what("Time", "Time"));
    assert_eq!(timed.world.waiting("buffer").await.len(), 1);
    assert_eq!(timed.world.waiting("queue").await.len(), 2);
    let session = timed.world.session("interrupt").await;
    let active = session.active_turn.unwrap();
    let active = timed.world.turn("interrupt", active).await;
    assert_eq!(active.state, TurnState::Canceling);
    assert_eq!(active.cancel.unwrap().cause, Cause::InterruptedByTurn);
    let keys: Vec<String> = (timed.all_runs("allow").await.iter())
        .map(|run| run.session_key.clone())
        .collect();
    assert_eq!(
        keys,
        [
            "allow-20261201T010000Z",
            "allow-20261201T020000Z",
            "allow-20261201T030000Z"
        ]
    );
    // Somebody else's turn only makes it wait.
    let interrupt = id(&timed.world.enqueue("other", "long").await);
    timed.world.run("other").await;
    let mut other = rules("0 * * * *");
    other.overlap = Overlap::Interrupt;
    timed.make("other", other).await;
    timed.look(DAY + 4 * HOUR).await;
    let active = timed.world.turn("other", interrupt).await;
    assert_eq!(active.state, TurnState::Running);
    timed.world.done().await;
}

pub async fn runs_that_fail_pause_it_and_a_full_queue_is_a_row<E: Engine>() {
    let timed = Timed::<E>::new();
    timed.make("bad", rules("0 * * * *")).await;
    for hour in 1..=3 {
        timed.look(DAY + hour * HOUR).await;
        let (fence, _) = timed.world.run("bad").await;
        let failed = TurnEnd::Failed(Cause::AgentError, "no".into());
        timed.world.end(fence, failed).await;
    }
    assert!(!timed.paused("bad").await.0);
    timed.look(DAY + 4 * HOUR).await;
    assert_eq!(timed.paused("bad").await, (true, "FAILURES".into()));
    timed.look(DAY + 6 * HOUR).await;
    let runs = [
        (HOUR, "Time"),
        (2 * HOUR, "Time"),
        (3 * HOUR, "Time"),
        (4 * HOUR, "PAUSED"),
    ];
    assert_eq!(timed.runs("bad").await, told(&runs));
    // It is run by hand all the same, once per request; and resumed it goes on with the next time.
    let schedules = timed.schedules();
    let mut caller = timed.caller("bad", &viewer());
    caller.request = request("again", "RunScheduleNow", 1);
    let (run, replayed) = schedules.run_now(caller.clone()).await.unwrap();
    assert_eq!(
        (run.trigger, run.outcome, replayed),
        (Trigger::Manual, Outcome::Started, false)
    );
    let (again, replayed) = schedules.run_now(caller).await.unwrap();
    assert_eq!((again.turn_id, replayed), (run.turn_id, true));
    timed.world.complete("bad", "well").await;
    timed.resume("bad", &viewer()).await;
    timed.look(DAY + 7 * HOUR).await;
    assert_eq!(timed.runs("bad").await[5], (7 * HOUR, "Time".into()));

    // Refused by the queue: a row, and the next time is tried as well.
    for nth in 0..4 {
        timed.world.enqueue("full", &format!("t{nth}")).await;
    }
    timed.make("full", rules("30 * * * *")).await;
    timed.look(DAY + 7 * HOUR + 1800).await;
    let full = timed.runs("full").await;
    assert_eq!(full, told(&[(7 * HOUR + 1800, "QUEUE_FULL")]));
    timed.world.done().await;
}

pub async fn runs_are_counted_kept_and_deleted<E: Engine>() {
    let timed = Timed::<E>::new();
    let mut new = timed.new_schedule("few", rules("* * * * *"));
    new.remaining_runs = Some(2);
    timed
        .world
        .store
        .create_schedule(new.clone())
        .await
        .unwrap();
    let taken = timed.world.store.create_schedule(new).await.unwrap_err();
    assert_eq!(taken.reason(), "INVALID_FIELD");
    for minute in 1..=4 {
        timed.look(DAY + minute * 60).await;
        if !timed.world.runnable(1).await.is_empty() {
            timed.world.complete("few", "hi").await;
        }
    }
    assert_eq!(
        timed.runs("few").await,
        told(&[(60, "Time"), (120, "Time")])
    );
    // A long time without the server leaves the newest hundred rows.
    timed.make("many", rules("* * * * *")).await;
    timed.look(DAY + 50 * HOUR + 30).await;
    let runs = timed.runs("many").await;
    assert_eq!(runs.len(), 100);
    assert_eq!(runs[99], (50 * HOUR, "Time".into()));
    let caller = timed.caller("many", &viewer());
    assert_eq!(
        timed.world.store.delete_schedule(caller.clone()).await,
        Ok(false)
    );
    let gone = timed.world.store.delete_schedule(caller).await.unwrap_err();
    assert_eq!(gone.reason(), "SCHEDULE_NOT_FOUND");
    timed.world.done().await;
}

pub async fn a_time_that_clocks_skip_has_a_row<E: Engine>() {
    let timed = Timed::<E>::new();
    let mut skipped = rules("30 2 * * *");
    skipped.spec.time_zone = "Europe/Berlin".into();
    timed.make("early", skipped).await;
    // 28 March 2027 has no 02:30 in Berlin; the day before and the day after have.
    let spring = 1_806_192_000 - DAY; // 28 March 2027, 00:00 UTC
    for day in -1..=1 {
        timed.look(DAY + spring + day * 24 * HOUR + 12 * HOUR).await;
        if !timed.world.runnable(1).await.is_empty() {
            timed.world.complete("early", "hi").await;
        }
    }
    let runs = timed.runs("early").await;
    let newest = &runs[runs.len() - 3..];
    let reasons: Vec<&str> = newest.iter().map(|(_, what)| what.as_str()).collect();
    assert_eq!(reasons, ["CatchUp", "DST_GAP", "CatchUp"]);
    timed.world.done().await;
}

pub async fn it_runs_with_its_owners_key_while_that_is_valid<E: Engine>() {
    let timed = Timed::<E>::new();
    let anna = Principal {
        tenant: "default".into(),
        subject: "anna".into(),
    };
    let scopes = Scopes::of([Scope::SessionWrite, Scope::ScheduleWrite]);
    let key_of = |key_id: &str, scopes| NewApiKey {
        key: ApiKey {
            key_id: key_id.into(),
            principal: anna.clone(),
            scopes,
            unknown_scopes: Vec::new(),
            display_name: String::new(),
            created_by: "default/local".into(),
            made_with: None,
            create_time: at(DAY),
            expire_time: None,
            last_used_time: None,
            revoke_time: None,
        },
        digest: [key_id.len() as u8; 32],
        request: None,
        tenant_max_keys: 0,
    };
    let store = &timed.world.store;
    store.create_api_key(key_of("first", scopes)).await.unwrap();
    store.create_api_key(key_of("next", scopes)).await.unwrap();
    let identity = |key_id: &str| {
        let credential = Credential::ApiKey(key_id.into());
        Arc::new(Identity::new(anna.clone(), scopes, credential, None))
    };
    let mut new = timed.new_schedule("hers", rules("0 * * * *"));
    new.caller = timed.caller("hers", &identity("first"));
    store.create_schedule(new).await.unwrap();
    // Nobody else has it.
    let not_mine = store.schedule(&viewer().principal, "hers", at(DAY)).await;
    assert_eq!(not_mine.unwrap_err().reason(), "SCHEDULE_NOT_FOUND");
    timed.look(DAY + HOUR).await;
    let session = timed.world.session("hers").await;
    assert_eq!(session.owner, "anna");
    timed.world.complete("hers", "hi").await;
    store
        .revoke_api_key(RevokeApiKey {
            caller: viewer(),
            tenant: "default".into(),
            key_id: "first".into(),
            keep_made_keys: false,
            now: at(DAY),
        })
        .await
        .unwrap();
    timed.look(DAY + 2 * HOUR).await;
    timed.look(DAY + 3 * HOUR).await;
    let runs = || async {
        let page = store.schedule_runs(&anna, "hers", None, 9, at(DAY)).await;
        let (runs, _) = page.unwrap();
        let shown = runs
            .iter()
            .rev()
            .map(|run| (run.outcome, run.reason.clone()));
        shown.collect::<Vec<_>>()
    };
    let revoked = (Outcome::Refused, "PERMISSION_REVOKED".to_owned());
    let started = (Outcome::Started, String::new());
    assert_eq!(runs().await, [started.clone(), revoked.clone()]);
    let found = store.schedule(&anna, "hers", at(DAY)).await.unwrap();
    assert!(found.paused && found.pause_reason == "PERMISSION_REVOKED");
    // With her new key it goes on.
    timed.resume("hers", &identity("next")).await;
    timed.look(DAY + 4 * HOUR).await;
    assert_eq!(runs().await, [started.clone(), revoked, started]);
    timed.world.done().await;
}

/// Each step is cut before it is committed, and done again: nothing is left out and nothing is there twice.
pub async fn a_step_that_was_told_of_an_older_schedule_does_nothing<E: Engine>() {
    let timed = Timed::<E>::new();
    timed.make("daily", rules("0 * * * *")).await;
    timed.set(DAY + HOUR);
    // Two timers, as two lives of a server that overlap.
    let (one, other) = (timed.schedules(), timed.schedules());
    let (first, second) = tokio::join!(one.look(), other.look());
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(timed.runs("daily").await, told(&[(HOUR, "Time")]));
    assert_eq!(timed.world.waiting("daily").await.len(), 1);
    let refused: Result<_, Refusal> = timed.world.store.next_due().await;
    assert_eq!(refused, Ok(Some(at(DAY + 2 * HOUR))));
    timed.world.done().await;
}
