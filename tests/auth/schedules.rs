//! Schedules belong to who made them, and run with the key that they were made with.

use crate::{
    lineage::issued,
    support::{Gateway, SOON, reason},
    world::{Caller, request, start},
};
use quarterdeck::proto::{self, ScheduleOutcome, schedule_spec::When};
use tonic::Code;

const SCOPES: [&str; 3] = ["session.read", "session.write", "schedule.write"];

/// A key of a subject: its id, and a caller with it.
async fn key_of(gateway: &Gateway, subject: &str, scopes: &[&str]) -> (String, Caller) {
    let admin = Caller::admin(gateway).await;
    let wish = proto::CreateApiKeyRequest {
        subject: subject.into(),
        ..request(scopes)
    };
    let made = admin.make(wish).await.expect("a key");
    let key_id = made.api_key.expect("the key").key_id;
    (key_id, admin.as_key(&made.secret))
}

fn daily(overlap: proto::OverlapPolicy) -> proto::CreateScheduleRequest {
    proto::CreateScheduleRequest {
        schedule: Some(proto::Schedule {
            schedule_name: "daily".into(),
            spec: Some(proto::ScheduleSpec {
                when: Some(When::Cron("0 9 * * *".into())),
                ..Default::default()
            }),
            enqueue: Some(proto::EnqueueRequest {
                session_key: "daily".into(),
                text: "hi".into(),
                ..Default::default()
            }),
            overlap: overlap.into(),
            ..Default::default()
        }),
        request_id: String::new(),
    }
}

async fn run(caller: &Caller) -> proto::ScheduleRun {
    let request = proto::RunScheduleNowRequest {
        schedule_name: "daily".into(),
        request_id: String::new(),
    };
    let ran = caller.schedules().run_schedule_now(request).await;
    ran.expect("an answer").into_inner().run.expect("a run")
}

#[tokio::test]
async fn a_schedule_runs_with_its_owners_key_and_stops_with_it() {
    let gateway = start();
    let (first, anna) = key_of(&gateway, "anna", &SCOPES).await;
    let (_, annas_other) = key_of(&gateway, "anna", &SCOPES).await;
    let (_, bert) = key_of(&gateway, "bert", &SCOPES).await;
    let queue = proto::OverlapPolicy::Queue;
    let made = anna.schedules().create_schedule(daily(queue)).await;
    let made = made.expect("made").into_inner().schedule.expect("it");
    assert_eq!(made.owner, "default/anna");
    assert_eq!(run(&anna).await.outcome(), ScheduleOutcome::Started);
    // To others it is none, also to who runs the server.
    let of_name = || proto::GetScheduleRequest {
        schedule_name: "daily".into(),
    };
    for other in [&bert, &Caller::admin(&gateway).await] {
        let none = other.schedules().get_schedule(of_name()).await;
        let none = none.expect_err("it is hers");
        assert_eq!(
            (none.code(), reason(&none).as_str()),
            (Code::NotFound, "SCHEDULE_NOT_FOUND")
        );
    }
    let revoke = proto::RevokeApiKeyRequest {
        key_id: first,
        ..Default::default()
    };
    let admin = Caller::admin(&gateway).await;
    admin
        .service()
        .revoke_api_key(revoke)
        .await
        .expect("revoked");
    // Whoever asks for the run: it is made with the key that the schedule has.
    let refused = run(&annas_other).await;
    assert_eq!(
        (refused.outcome(), refused.reason.as_str()),
        (ScheduleOutcome::Refused, "PERMISSION_REVOKED")
    );
    let found = annas_other.schedules().get_schedule(of_name()).await;
    let found = found.expect("hers").into_inner().schedule.expect("it");
    assert_eq!(
        (found.paused, found.pause_reason.as_str()),
        (true, "PERMISSION_REVOKED")
    );
    let resume = proto::UpdateScheduleRequest {
        schedule_name: "daily".into(),
        schedule: Some(proto::Schedule::default()),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["paused".into()],
        }),
        request_id: String::new(),
    };
    let resumed = annas_other.schedules().update_schedule(resume).await;
    let resumed = resumed.expect("resumed").into_inner().schedule.expect("it");
    assert_eq!((resumed.paused, resumed.pause_reason.as_str()), (false, ""));
    assert_eq!(run(&annas_other).await.outcome(), ScheduleOutcome::Started);
}

#[tokio::test]
async fn a_schedule_is_made_by_who_may_do_what_it_does() {
    let gateway = start();
    for (scopes, overlap) in [
        (
            &["session.write", "session.read"][..],
            proto::OverlapPolicy::Skip,
        ),
        (&["schedule.write"], proto::OverlapPolicy::Skip),
        (&SCOPES, proto::OverlapPolicy::Interrupt),
    ] {
        let (_, caller) = key_of(&gateway, "carl", scopes).await;
        let refused = caller.schedules().create_schedule(daily(overlap)).await;
        let refused = refused.expect_err("it may not");
        assert_eq!(reason(&refused), "SCOPE_REQUIRED", "{scopes:?}");
    }
}

/// A token is looked up by nobody after its call: what was made with one does not outlive the longest key that it could have
/// made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_a_token_made_ends_in_time() {
    let (issuer, token) = issued(&SCOPES.join(" ")).await;
    let gateway = issuer.gateway("max_key_ttl = \"1s\"\n");
    let anna = Caller::with_key(&gateway, &token).await;
    let skip = proto::OverlapPolicy::Skip;
    let made = anna.schedules().create_schedule(daily(skip)).await;
    made.expect("made");
    let give_up = std::time::Instant::now() + SOON;
    let refused = loop {
        let ran = run(&anna).await;
        if ran.outcome() == ScheduleOutcome::Refused {
            break ran;
        }
        assert!(std::time::Instant::now() < give_up, "{ran:?}");
    };
    assert_eq!(refused.reason, "PERMISSION_REVOKED");
    let of_name = proto::GetScheduleRequest {
        schedule_name: "daily".into(),
    };
    let found = anna.schedules().get_schedule(of_name).await;
    let found = found.expect("hers").into_inner().schedule.expect("it");
    assert_eq!(
        (found.paused, found.pause_reason.as_str()),
        (true, "PERMISSION_REVOKED")
    );
}
