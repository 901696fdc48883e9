//! Steps of the system's clock. The clock itself can't be set here; what the server knows of the time before its start
//! stands in its mark, and that is set. Steps within a run are stories of `src/clock.rs`.

use crate::{
    support::{Gateway, Options, enqueue, run},
    world::{eventually, span},
};
use quarterdeck::proto;
use std::time::Duration;

const HOUR: i64 = 3600 * 1_000_000;

/// Moves what the mark says of the time, so that the clock seems to have been set.
fn jump(gateway: &Gateway, micros: i64) {
    let path = gateway.data().join("store.mark");
    let text = std::fs::read_to_string(&path).expect("a mark");
    let mut mark: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let wall = mark["clock"]["wall"].as_i64().expect("a time");
    mark["clock"]["wall"] = (wall - micros).into();
    std::fs::write(&path, mark.to_string()).expect("writable");
}

/// As if all had been accepted so much earlier: what the rows say when the clock has jumped.
fn grow_old(gateway: &Gateway, micros: i64) {
    let store = rusqlite::Connection::open(gateway.data().join("quarterdeck.db")).expect("a file");
    store
        .execute_batch(&format!(
            "UPDATE turn SET create_time = create_time - {micros}, expire_time = expire_time - {micros};
             UPDATE event SET time = time - {micros};
             UPDATE request SET keep_until = keep_until - {micros} WHERE keep_until IS NOT NULL;"
        ))
        .expect("changed");
}

fn waiting(text: &str, request_id: &str, ttl: Duration) -> proto::EnqueueRequest {
    proto::EnqueueRequest {
        session_key: "s".into(),
        text: text.into(),
        request_id: request_id.into(),
        queue_ttl: Some(span(ttl)),
        ..Default::default()
    }
}

/// After a jump, what was accepted before is neither expired nor cleaned away, and what is accepted now has its own age.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_before_the_start_takes_no_accepted_work() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut gateway = Gateway::with(Options {
        config: "retention_age = \"1h\"\n".into(),
        log: Some(log.path().to_owned()),
        ..Options::default()
    });
    let mut client = gateway.client().await;
    let done = client
        .enqueue(waiting("done", "once", Duration::from_secs(60)))
        .await
        .expect("accepted")
        .into_inner();
    let done = done.turn.expect("a turn").turn_id;
    crate::support::await_turn(&mut client, "s", &done).await;
    enqueue(&mut client, "s", "!hang").await.expect("accepted");
    let waits = client
        .enqueue(waiting("waits", "waits", Duration::from_secs(3600)))
        .await
        .expect("accepted")
        .into_inner();
    let waits = waits.turn.expect("a turn").turn_id;
    let before = crate::support::log(&mut client, "s").await.len();
    gateway.kill();
    let year = 365 * 24 * HOUR;
    grow_old(&gateway, year);
    jump(&gateway, year);
    gateway.restart();
    let mut client = gateway.client().await;
    // It starts instead of expiring.
    let turn = crate::support::await_turn(&mut client, "s", &waits).await;
    assert_eq!(turn.state(), proto::TurnState::Completed, "{turn:?}");
    let again = client
        .enqueue(waiting("done", "once", Duration::from_secs(60)))
        .await
        .expect("answered")
        .into_inner();
    assert!(again.replayed, "an old request has no second effect");
    assert_eq!(again.turn.expect("a turn").turn_id, done);
    let after = crate::support::log(&mut client, "s").await;
    assert!(
        after.len() > before && after[0].seq == 1,
        "nothing was cleaned away"
    );
    // What is accepted now expires in its time.
    enqueue(&mut client, "s", "!hang").await.expect("accepted");
    let young = client
        .enqueue(waiting("young", "young", Duration::from_secs(1)))
        .await
        .expect("accepted")
        .into_inner();
    let young = young.turn.expect("a turn").turn_id;
    let turn = crate::support::await_turn(&mut client, "s", &young).await;
    assert_eq!(turn.error.expect("a reason").reason, "QUEUE_TTL");
    let said = std::fs::read_to_string(log.path()).expect("a log");
    assert!(said.contains("clock has jumped"), "{said}");
}

/// A long stop is no jump: what is over goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_a_jump_cleans_as_ever() {
    let mut gateway = Gateway::with(Options {
        config: "retention_age = \"1h\"\n".into(),
        ..Options::default()
    });
    let mut client = gateway.client().await;
    run(&mut client, "s", "old").await;
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    grow_old(&gateway, 2 * HOUR);
    gateway.restart();
    let data = gateway.data();
    eventually("retention", async || {
        let left = "SELECT count(*) FROM event JOIN session ON session.row = event.session WHERE key = 's'";
        (crate::tools::count(&data, left) == 0).then_some(())
    })
    .await;
}
