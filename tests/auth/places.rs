//! Places to run: however much one tenant has to do, and for however long, another one's turn starts.

use crate::{
    support::{Gateway, SOON, reason},
    world::{Caller, request, start, start_with},
};
use quarterdeck::proto;
use std::time::Duration;
use tonic::Status;
use tonic_types::StatusExt as _;

const SCOPES: [&str; 4] = [
    "session.read",
    "session.write",
    "session.abort",
    "tenant.sessions",
];

async fn member(gateway: &Gateway, tenant: &str, subject: &str) -> Caller {
    let admin = Caller::admin(gateway).await;
    let wish = proto::CreateApiKeyRequest {
        tenant: tenant.into(),
        subject: subject.into(),
        ..request(&SCOPES)
    };
    admin.as_key(&admin.make(wish).await.expect("a key").secret)
}

async fn enqueue(caller: &Caller, key: &str, text: &str) -> Result<proto::Turn, Status> {
    let request = proto::EnqueueRequest {
        session_key: key.into(),
        text: text.into(),
        ..Default::default()
    };
    let answer = caller.gateway().enqueue(request).await?.into_inner();
    Ok(answer.turn.expect("a turn"))
}

/// Turns of the caller's tenant that run now.
async fn running(caller: &Caller) -> usize {
    let request = proto::ListTurnsRequest {
        states: vec![proto::TurnState::Running.into()],
        page_size: 1000,
        ..Default::default()
    };
    let page = caller.gateway().list_turns(request).await.expect("a page");
    page.into_inner().turns.len()
}

async fn runs(caller: &Caller, at_least: usize) -> usize {
    soon(async {
        loop {
            let now = running(caller).await;
            if now >= at_least {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// A turn that ends by itself, from Enqueue to its end.
async fn one_turn(caller: &Caller, key: &str) {
    let turn = enqueue(caller, key, "hello").await.expect("it is accepted");
    let request = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: turn.turn_id,
        wait: None,
        or_question: false,
    };
    let ended = soon(caller.gateway().await_turn(request)).await;
    let ended = ended.expect("it ends").into_inner().turn.expect("a turn");
    assert_eq!(ended.state(), proto::TurnState::Completed);
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work)
        .await
        .expect("it comes in time")
}

/// With the default bounds three principals of one tenant want every place, and hold what they get: two thirds is all,
/// and a tenant of which nothing runs gets its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenant_never_takes_every_place() {
    let mut gateway = start_with(&[], "drain_timeout = \"0s\"\n");
    let neighbour = member(&gateway, "quiet", "ann").await;
    let mut greedy = Vec::new();
    for subject in ["a", "b", "c"] {
        let caller = member(&gateway, "greedy", subject).await;
        for number in 0..30 {
            let key = format!("{subject}{number}");
            enqueue(&caller, &key, "!hang x").await.expect("it waits");
        }
        greedy.push(caller);
    }
    runs(&greedy[0], 48).await;
    for number in 0..3 {
        one_turn(&neighbour, &format!("n{number}")).await;
    }
    assert_eq!(running(&greedy[0]).await, 48, "three quarters of 64");
    gateway.check_store();
}

/// The last places go to tenants of which nothing runs, one to each: two greedy tenants don't keep out a third one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_places_are_kept_for_tenants_of_which_nothing_runs() {
    let config = "max_running_turns = 8\nreserved_running_turns = 2\ndrain_timeout = \"0s\"\n";
    let mut gateway = start_with(&[], config);
    let first = member(&gateway, "first", "a").await;
    let second = member(&gateway, "second", "b").await;
    let third = member(&gateway, "third", "c").await;
    for number in 0..8 {
        let key = format!("s{number}");
        enqueue(&first, &key, "!hang x").await.expect("it waits");
    }
    runs(&first, 6).await;
    for number in 0..8 {
        let key = format!("s{number}");
        enqueue(&second, &key, "!hang x").await.expect("it waits");
    }
    runs(&second, 1).await;
    for number in 0..3 {
        one_turn(&third, &format!("n{number}")).await;
    }
    assert_eq!((running(&first).await, running(&second).await), (6, 1));
    gateway.check_store();
}

/// How long a caller may let a turn run has a bound of the operator's, which the refusal names.
#[tokio::test]
async fn timeouts_that_callers_choose_are_bounded() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let asked = |seconds| proto::EnqueueRequest {
        session_key: "s".into(),
        text: "hello".into(),
        turn_timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    let refused = admin.gateway().enqueue(asked(2 * 86_400)).await;
    let refused = refused.expect_err("two days are too long");
    assert_eq!(reason(&refused), "INVALID_FIELD");
    let wrong = refused
        .get_details_bad_request()
        .expect("fields")
        .field_violations;
    assert_eq!(wrong[0].field, "turn_timeout");
    assert!(
        wrong[0].description.contains("max_turn_timeout"),
        "{wrong:?}"
    );
    let run = proto::RunRequest {
        enqueue: Some(asked(2 * 86_400)),
        ..Default::default()
    };
    let refused = admin
        .gateway()
        .run(run)
        .await
        .expect_err("Run is an Enqueue");
    let wrong = refused
        .get_details_bad_request()
        .expect("fields")
        .field_violations;
    assert_eq!(wrong[0].field, "enqueue.turn_timeout");
    admin.gateway().enqueue(asked(86_400)).await.expect("a day");

    let info = || async {
        let request = proto::GetServerInfoRequest {};
        let info = admin.service().get_server_info(request).await;
        info.expect("it answers")
            .into_inner()
            .limits
            .expect("limits")
    };
    let day = prost_types::Duration {
        seconds: 86_400,
        nanos: 0,
    };
    assert_eq!(info().await.max_turn_timeout, Some(day));
    assert_eq!(info().await.reserved_running_turns, 8);
    assert_eq!(info().await.tenant.expect("bounds").running_turns, 48);

    let set = |key: &str, value: &str| proto::UpdateConfigRequest {
        values: [(key.to_owned(), value.to_owned())].into(),
        ..Default::default()
    };
    let changed = set("max_turn_timeout", "2h");
    admin
        .service()
        .update_config(changed)
        .await
        .expect("it is live");
    // The rooms are told of a change, not asked whether they took it.
    let refused = soon(async {
        loop {
            if let Err(refused) = admin.gateway().enqueue(asked(7_201)).await {
                break refused;
            }
        }
    })
    .await;
    assert_eq!(reason(&refused), "INVALID_FIELD");
    admin
        .gateway()
        .enqueue(asked(7_200))
        .await
        .expect("two hours");
    // What is given without asking is no longer than what one may ask for.
    let refused = admin
        .service()
        .update_config(set("turn_timeout", "3h"))
        .await;
    assert_eq!(reason(&refused.expect_err("not together")), "INVALID_FIELD");
}
