//! What is done at its time (CONTRACT-2 §17): turns that wait for their `not_before`, and schedules.

use crate::world::*;
use proto::{
    OnBusy, ScheduleOutcome, ScheduleTrigger, SessionMode, TurnState,
    schedule_service_client::ScheduleServiceClient, schedule_spec::When,
};
use std::time::{Duration, SystemTime};
use tonic::transport::Channel;

type Schedules = ScheduleServiceClient<Channel>;

async fn schedules(address: &str) -> Schedules {
    ScheduleServiceClient::connect(address.to_owned())
        .await
        .expect("the server accepts")
}

/// A moment from now on.
fn after(span: Duration) -> prost_types::Timestamp {
    (SystemTime::now() + span).into()
}

const HOUR: Duration = Duration::from_secs(3600);

fn later(key: &str, text: &str, span: Duration) -> proto::EnqueueRequest {
    proto::EnqueueRequest {
        session_key: key.into(),
        text: text.into(),
        not_before: Some(after(span)),
        ..Default::default()
    }
}

async fn scheduled(client: &mut Client, key: &str) -> Vec<String> {
    let listed = ok!(client.list_turns(ListTurnsRequest {
        session_key: key,
        states: vec![TurnState::Scheduled as i32],
    }));
    let ids = listed.turns.into_iter().map(|turn| turn.turn_id);
    ids.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_enters_the_queue_at_its_time() {
    let (_server, mut client) = shared().await;
    let key = "times.run";
    let enqueue = later(key, "good morning", Duration::from_millis(700));
    let begun = SystemTime::now();
    let run = proto::RunRequest {
        enqueue: Some(enqueue),
        ..Default::default()
    };
    let stream = client.run(run).await.expect("accepted").into_inner();
    let events = durable(&Follow::new(stream).rest().await);
    assert!(begun.elapsed().expect("time goes on") >= Duration::from_millis(700));
    let kinds = kinds(&events);
    assert_eq!(
        kinds[..3],
        ["turn_scheduled", "turn_queued", "turn_started"],
        "{kinds:?}"
    );
    assert_eq!(kinds.last(), Some(&"turn_ended"));
    let Some(Kind::TurnScheduled(told)) = &events[0].kind else {
        panic!("it is the first")
    };
    let turn = told.turn.as_ref().expect("a turn");
    assert_eq!(
        (turn.state(), turn.text.as_str()),
        (TurnState::Scheduled, "good morning")
    );
    let turn = await_turn(&mut client, key, &events[0].turn_id).await;
    assert_eq!(turn.response_text, "good morning");
    assert!(turn.not_before.is_some());
    // A time that has passed is now.
    let mut now = later(key, "now", Duration::ZERO);
    now.not_before = Some(prost_types::Timestamp::from(SystemTime::UNIX_EPOCH));
    let answer = client.enqueue(now).await.expect("accepted").into_inner();
    let turn = answer.turn.expect("a turn");
    assert_eq!((turn.state(), turn.not_before), (TurnState::Queued, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_that_waits_for_its_time_is_listed_changed_and_taken() {
    let (_server, mut client) = shared().await;
    let key = "times.queue";
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        let answer = client.enqueue(later(key, text, HOUR)).await;
        let answer = answer.expect("accepted").into_inner();
        assert_eq!(answer.queue_position, 0);
        ids.push(answer.turn.expect("a turn").turn_id);
    }
    ids.reverse();
    assert_eq!(scheduled(&mut client, key).await, ids);
    assert!(waiting(&mut client, key).await.is_empty());
    // The session is not busy.
    let now = session(&mut client, key).await;
    assert_eq!(
        (now.state(), now.queue_depth),
        (proto::SessionState::Idle, 0)
    );
    let eager = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "eager",
        on_busy: OnBusy::Reject,
    }));
    let eager = eager.turn.expect("a turn").turn_id;
    assert_eq!(
        await_turn(&mut client, key, &eager).await.response_text,
        "eager"
    );
    let changed = ok!(client.update_queued(UpdateQueuedRequest {
        session_key: key,
        turn_id: ids[0].as_str(),
        text: "changed".to_owned(),
    }));
    let changed = changed.turn.expect("a turn");
    assert_eq!(
        (changed.state(), changed.text.as_str()),
        (TurnState::Scheduled, "changed")
    );
    let removed = ok!(client.remove_queued(RemoveQueuedRequest {
        session_key: key,
        turn_id: ids[0].as_str()
    }));
    assert_eq!(removed.turn.expect("a turn").state(), TurnState::Rejected);
    let cleared = ok!(client.clear_queue(ClearQueueRequest { session_key: key }));
    assert_eq!(cleared.turns.len(), 0);
    let reset = ok!(client.reset(ResetRequest { session_key: key }));
    assert_eq!(reset.rejected_turn_ids.len(), 2);
    assert!(scheduled(&mut client, key).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_can_be_no_time_of_a_turn_is_refused() {
    let (_server, mut client) = shared().await;
    let key = "times.refused";
    let far = later(key, "x", HOUR * 24 * 91);
    invalid(inner(client.enqueue(far).await), &["not_before"]);
    let mut wrong = later(key, "x", HOUR);
    wrong.not_before = Some(prost_types::Timestamp {
        seconds: 0,
        nanos: -1,
    });
    invalid(inner(client.enqueue(wrong).await), &["not_before"]);
    for on_busy in [OnBusy::Reject, OnBusy::Interrupt, OnBusy::SteerOrEnqueue] {
        let mut busy = later(key, "x", HOUR);
        busy.on_busy = on_busy.into();
        invalid(inner(client.enqueue(busy).await), &["on_busy"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_that_waits_for_its_time_survives_a_kill() {
    let mut server = Gateway::start();
    let mut client = server.client().await;
    let answer = client.enqueue(later("k", "later", Duration::from_millis(800)));
    let answer = answer.await.expect("accepted").into_inner();
    let turn = answer.turn.expect("a turn").turn_id;
    server.kill();
    server.restart();
    let mut client = server.client().await;
    let turn = await_turn(&mut client, "k", &turn).await;
    assert_eq!(
        (turn.state(), turn.response_text.as_str(), turn.attempt),
        (TurnState::Completed, "later", 1)
    );
    server.check_store();
}

// === schedules ===

/// A schedule of a session of its own name.
fn schedule(name: &str, when: When) -> proto::Schedule {
    proto::Schedule {
        schedule_name: name.into(),
        spec: Some(proto::ScheduleSpec {
            when: Some(when),
            ..Default::default()
        }),
        enqueue: Some(proto::EnqueueRequest {
            session_key: name.into(),
            text: "good morning".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn cron(text: &str) -> When {
    When::Cron(text.into())
}

async fn runs(schedules: &mut Schedules, name: &str) -> Vec<proto::ScheduleRun> {
    ok!(schedules.list_schedule_runs(ListScheduleRunsRequest {
        schedule_name: name
    }))
    .runs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_schedule_is_made_read_changed_run_and_deleted() {
    let (server, mut client) = shared().await;
    let mut schedules = schedules(server.address()).await;
    let name = "times.daily";
    let mut daily = schedule(name, cron("0 9 * * MON-FRI"));
    if let Some(spec) = &mut daily.spec {
        spec.time_zone = "Europe/Berlin".into();
    }
    let made = ok!(schedules.create_schedule(CreateScheduleRequest {
        schedule: daily.clone(),
        request_id: "make",
    }));
    let again = ok!(schedules.create_schedule(CreateScheduleRequest {
        schedule: daily.clone(),
        request_id: "make",
    }));
    assert!(again.replayed && !made.replayed);
    assert_eq!(again.schedule, made.schedule);
    let made = made.schedule.expect("a schedule");
    assert_eq!(made.next_times.len(), 5);
    assert_eq!(made.owner, "default/local");
    assert_eq!(made.session_mode(), SessionMode::Same);
    assert_eq!(
        (made.overlap(), made.missed()),
        (proto::OverlapPolicy::Skip, proto::MissedPolicy::RunOnce)
    );
    assert_eq!(made.missed_window.map(|it| it.seconds), Some(24 * 3600));
    assert_eq!(made.pause_after_failures, Some(5));
    let preview = ok!(schedules.preview_schedule(PreviewScheduleRequest {
        spec: daily.spec.clone().expect("a spec"),
    }));
    assert_eq!(preview.times, made.next_times);
    let got = ok!(schedules.get_schedule(GetScheduleRequest {
        schedule_name: name
    }));
    assert_eq!(got.schedule.as_ref(), Some(&made));
    let listed = ok!(schedules.list_schedules(ListSchedulesRequest {}));
    assert!(listed.schedules.contains(&made));

    // Run by hand, once per request.
    let run = ok!(schedules.run_schedule_now(RunScheduleNowRequest {
        schedule_name: name,
        request_id: "run",
    }));
    let again = ok!(schedules.run_schedule_now(RunScheduleNowRequest {
        schedule_name: name,
        request_id: "run",
    }));
    assert_eq!(again.run, run.run);
    let run = run.run.expect("a run");
    assert_eq!(
        (run.trigger(), run.outcome()),
        (ScheduleTrigger::Manual, ScheduleOutcome::Started)
    );
    let turn = await_turn(&mut client, name, &run.turn_id).await;
    assert_eq!(turn.response_text, "good morning");
    assert_eq!(runs(&mut schedules, name).await, [run]);

    // Paused with a word, and resumed.
    let change = |paused, reason: &str| proto::UpdateScheduleRequest {
        schedule_name: name.into(),
        schedule: Some(proto::Schedule {
            paused,
            pause_reason: reason.into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["paused".into(), "pause_reason".into()],
        }),
        request_id: String::new(),
    };
    let paused = inner(schedules.update_schedule(change(true, "holidays")).await);
    let paused = paused.expect("changed").schedule.expect("a schedule");
    assert!(paused.paused && paused.next_times.is_empty());
    assert_eq!(paused.pause_reason, "holidays");
    let resumed = inner(schedules.update_schedule(change(false, "")).await);
    assert_eq!(resumed.expect("changed").schedule, Some(made.clone()));

    ok!(schedules.delete_schedule(DeleteScheduleRequest {
        schedule_name: name,
        request_id: "gone",
    }));
    let again = ok!(schedules.delete_schedule(DeleteScheduleRequest {
        schedule_name: name,
        request_id: "gone",
    }));
    assert!(again.replayed);
    let gone = call!(schedules.get_schedule(GetScheduleRequest {
        schedule_name: name
    }));
    let details = refused(gone, Code::NotFound, "SCHEDULE_NOT_FOUND");
    assert_eq!(fact(&details, "schedule_name"), name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_schedule_starts_its_turn_by_itself() {
    let (server, mut client) = shared().await;
    let mut schedules = schedules(server.address()).await;
    let key = "times.once";
    ok!(client.create_session(CreateSessionRequest { session_key: key }));
    let mut follow = Follow::live(&mut client, key).await;
    let mut once = schedule(key, When::At(after(Duration::from_secs(2))));
    once.remaining_runs = Some(1);
    ok!(schedules.create_schedule(CreateScheduleRequest { schedule: once }));
    let ended = follow.until("turn_ended").await;
    let runs = runs(&mut schedules, key).await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].trigger(), ScheduleTrigger::Time);
    assert_eq!(runs[0].turn_id, ended.turn_id);
    let over = ok!(schedules.get_schedule(GetScheduleRequest { schedule_name: key }));
    let over = over.schedule.expect("a schedule");
    assert_eq!((over.remaining_runs, over.next_times.len()), (Some(0), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_can_be_no_schedule_is_refused() {
    let (server, _client) = shared().await;
    let mut schedules = schedules(server.address()).await;
    let refused = async |change: &dyn Fn(&mut proto::Schedule), fields: &[&str]| {
        let mut wrong = schedule("times.wrong", cron("0 9 * * *"));
        change(&mut wrong);
        let mut schedules = schedules.clone();
        invalid(
            call!(schedules.create_schedule(CreateScheduleRequest { schedule: wrong })),
            fields,
        );
    };
    let spec = |it: &mut proto::Schedule| it.spec.take().expect("a spec");
    let enqueue = |it: &mut proto::Schedule| it.enqueue.take().expect("a request");
    refused(
        &|it| it.schedule_name = "a b".into(),
        &["schedule.schedule_name"],
    )
    .await;
    refused(&|it| it.spec = None, &["schedule.spec"]).await;
    refused(&|it| it.enqueue = None, &["schedule.enqueue"]).await;
    refused(
        &|it| {
            let mut wrong = spec(it);
            wrong.when = Some(cron("61 * * * *"));
            it.spec = Some(wrong);
        },
        &["schedule.spec.cron"],
    )
    .await;
    refused(
        &|it| {
            let mut wrong = spec(it);
            wrong.time_zone = "Mars/Olympus".into();
            it.spec = Some(wrong);
        },
        &["schedule.spec.time_zone"],
    )
    .await;
    refused(
        &|it| {
            let mut wrong = spec(it);
            wrong.when = Some(When::Every(millis(999)));
            wrong.jitter = Some(millis(3_600_001));
            it.spec = Some(wrong);
        },
        &["schedule.spec.every", "schedule.spec.jitter"],
    )
    .await;
    refused(
        &|it| {
            let mut wrong = enqueue(it);
            wrong.request_id = "mine".into();
            wrong.not_before = Some(after(HOUR));
            wrong.on_busy = OnBusy::Interrupt.into();
            it.enqueue = Some(wrong);
        },
        &[
            "schedule.enqueue.request_id",
            "schedule.enqueue.not_before",
            "schedule.enqueue.on_busy",
        ],
    )
    .await;
    refused(
        &|it| {
            let mut wrong = enqueue(it);
            wrong.text = "x".repeat(70_000);
            it.enqueue = Some(wrong);
        },
        &["schedule.enqueue"],
    )
    .await;
    // What the request itself is refused for.
    refused(
        &|it| {
            let mut wrong = enqueue(it);
            wrong.agent = "nobody".into();
            it.enqueue = Some(wrong);
        },
        &["schedule.enqueue.agent"],
    )
    .await;
    refused(
        &|it| it.overlap = proto::OverlapPolicy::Allow.into(),
        &["schedule.overlap"],
    )
    .await;
    refused(
        &|it| {
            it.session_mode = SessionMode::New.into();
            it.key_template = "always-the-same".into();
        },
        &["schedule.key_template", "schedule.enqueue.session_key"],
    )
    .await;
    let update = call!(schedules.update_schedule(UpdateScheduleRequest {
        schedule_name: "times.none"
    }));
    invalid(update, &["update_mask"]);
    let count = call!(schedules.preview_schedule(PreviewScheduleRequest {
        spec: schedule("x", cron("0 9 * * *")).spec.expect("a spec"),
        count: 101,
    }));
    invalid(count, &["count"]);
}

/// The server is killed around the moment at which many schedules are due: each has one run, and each run one turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn kills_leave_one_run_and_one_turn_of_each_time() {
    const SCHEDULES: usize = 24;
    let mut server = Gateway::start();
    let mut schedules_of = schedules(&server.address).await;
    let due = Duration::from_secs(3);
    let moment = after(due);
    let names: Vec<String> = (0..SCHEDULES).map(|nth| format!("s{nth}")).collect();
    for name in &names {
        let once = schedule(name, When::At(moment));
        ok!(schedules_of.create_schedule(CreateScheduleRequest { schedule: once }));
    }
    let left = SystemTime::try_from(moment)
        .expect("a time")
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    // The whole second in which it is due; then again and again while the steps are done.
    tokio::time::sleep(left.saturating_sub(Duration::from_secs(1))).await;
    for nth in 0..6u64 {
        tokio::time::sleep(Duration::from_millis(60 + 37 * nth)).await;
        server.kill();
        server.restart();
    }
    let mut client = server.client().await;
    let mut schedules_of = schedules(&server.address).await;
    for name in &names {
        let run = soon(async {
            loop {
                let mut found = runs(&mut schedules_of, name).await;
                match found.pop() {
                    Some(run) if found.is_empty() => return run,
                    Some(_) => panic!("{name} has two runs"),
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
        .await;
        assert_eq!(run.outcome(), ScheduleOutcome::Started, "{run:?}");
        let turn = await_turn(&mut client, name, &run.turn_id).await;
        assert!(
            matches!(turn.state(), TurnState::Completed | TurnState::Interrupted),
            "{turn:?}"
        );
        let listed = ok!(client.list_turns(ListTurnsRequest {
            session_key: name.as_str()
        }));
        assert_eq!(listed.turns.len(), 1, "{name}");
    }
    server.check_store();
}
