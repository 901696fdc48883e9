//! A backup made while turns run, and its restore: the log is as it was then, and a cursor of before is told so.

use crate::{
    support::{log, reason},
    verify::check_log,
    world::{Site, dice, fact, prompt, quarterdeck},
};
use quarterdeck::proto::{Cursor, GatewayEvent, SubscribeRequest};
use std::{fs, path::Path};
use tokio::sync::watch;
use tonic::Code;

const KEY: &str = "kept";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_r05_a_restored_backup_is_of_one_moment_and_its_readers_are_told() {
    dice(1501);
    let mut site = Site::start(String::new());
    let mut visitor = site.visitor().await;
    let first = visitor
        .enqueue(&prompt(KEY, "before", "before"))
        .await
        .expect("accepted");
    visitor.rest(KEY).await;
    // Turns run on while the backup is made.
    let (writing, mut until) = (watch::Sender::new(true), visitor.clone());
    let is_writing = writing.subscribe();
    let writer = tokio::spawn(async move {
        let mut number = 0;
        while *is_writing.borrow() {
            number += 1;
            let text = format!("!tool=look number {number}");
            until
                .enqueue_all_the_same(&prompt(KEY, &text, &format!("n{number}")))
                .await;
        }
    });
    let place = site.gateway.directory.path().join("backup");
    let (from, to) = (site.gateway.data(), place.clone());
    let made = tokio::task::spawn_blocking(move || {
        quarterdeck(&["backup".into(), to.into(), "--data-dir".into(), from.into()])
    });
    let made = made.await.expect("no panic");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    writing.send_replace(false);
    writer.await.expect("no panic");
    let at_the_end = visitor.rest(KEY).await;
    let original = log(&mut visitor.client, KEY).await;
    site.gateway.check_store();

    let data = site.gateway.data();
    let refused = restore(&place, &data);
    assert!(!refused.status.success(), "a store is never written over");
    fs::rename(&data, site.gateway.directory.path().join("lost")).expect("renamed");
    let restored = restore(&place, &data);
    assert!(
        restored.status.success(),
        "{}",
        String::from_utf8_lossy(&restored.stderr)
    );
    site.restart();
    visitor.reconnect().await;

    let now = visitor.rest(KEY).await;
    assert_ne!(now.log_id, at_the_end.log_id);
    let request = SubscribeRequest {
        session_key: KEY.into(),
        cursor: Some(Cursor {
            log_id: at_the_end.log_id,
            after_seq: first.seq,
        }),
        ..Default::default()
    };
    let status = visitor
        .client
        .subscribe(request)
        .await
        .expect_err("refused");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(reason(&status), "LOG_CHANGED");
    assert_eq!(fact(&status, "log_id"), now.log_id);
    assert_eq!(fact(&status, "head_seq"), now.head_seq.to_string());
    assert_eq!(fact(&status, "first_seq"), "1");

    // What the backup holds is what was, up to one moment; then the queue of that moment ran on.
    let events = log(&mut visitor.client, KEY).await;
    check_log(&events, true);
    let same = |(old, new): &(&GatewayEvent, &GatewayEvent)| {
        let mut new = (*new).clone();
        new.log_id.clone_from(&old.log_id);
        **old == new
    };
    let common = original.iter().zip(&events).take_while(same).count();
    assert!(
        common as i64 > first.seq,
        "{common} of {} events",
        original.len()
    );
    // A request of before is known, and made nothing new.
    let again = visitor
        .enqueue(&prompt(KEY, "before", "before"))
        .await
        .expect("accepted");
    assert!(again.replayed);
    assert_eq!(
        again.turn.expect("a turn").turn_id,
        first.turn.expect("a turn").turn_id
    );
    let ran = visitor
        .enqueue(&prompt(KEY, "after", "after"))
        .await
        .expect("accepted");
    visitor
        .end_of(KEY, &ran.turn.expect("a turn").turn_id)
        .await;
    site.gateway.check_store();
}

fn restore(from: &Path, to: &Path) -> std::process::Output {
    quarterdeck(&[
        "restore".into(),
        from.into(),
        "--data-dir".into(),
        to.into(),
    ])
}
