//! What is particular to SQLite: the file, its versions, its copies, its checker, many sessions.

#[path = "store_conformance/harness.rs"]
#[allow(dead_code, reason = "these stories need few of the harness's helpers")]
mod harness;

use harness::{Engine as _, Recorder, World, rules};
use quarterdeck::store::{
    OnBusy, Store as _, Waiting,
    round::Round,
    sqlite::{OpenError, SqliteStore, backup, check::check, restore},
};
use rusqlite::Connection;
use std::{path::Path, sync::Arc, time::Instant};

fn open(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory, rules(), Arc::new(Recorder::default())).unwrap()
}

fn raw(directory: &Path) -> Connection {
    Connection::open(directory.join("quarterdeck.db")).unwrap()
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let id = store.store_id();
    store.close().await;
    let version: i64 = raw(directory.path())
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    raw(directory.path())
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let refused = SqliteStore::open(directory.path(), rules(), Arc::new(Recorder::default()));
    let Err(error @ OpenError::Newer { found: 99, .. }) = refused else {
        panic!("a downgrade must be refused")
    };
    assert!(error.to_string().contains("newer version"));
    raw(directory.path())
        .pragma_update(None, "user_version", version)
        .unwrap();
    let store = open(directory.path());
    assert_eq!(store.store_id(), id, "the id never changes");
    store.close().await;
    let left = std::fs::read_dir(directory.path()).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(
        left,
        ["quarterdeck.db", "store.mark"],
        "a closed store is one file, and its mark"
    );
}

#[tokio::test]
async fn a_backup_of_a_store_in_use_is_restored_as_another_generation() {
    let world = World::<harness::Sqlite>::new();
    let mut command = world.enqueue_of("s", "1");
    command.caller.request = harness::request("r", "Enqueue", 1);
    let kept = world.store.enqueue(command.clone()).await.unwrap();
    let copies = tempfile::tempdir().unwrap();
    let (saved, restored) = (copies.path().join("saved"), copies.path().join("restored"));
    backup(world.engine.path(), &saved).unwrap();
    assert!(
        backup(world.engine.path(), &saved).is_err(),
        "never over another backup"
    );
    world.enqueue("s", "after the backup").await;

    restore(&saved, &restored).unwrap();
    assert!(restore(&saved, &restored).is_err(), "never over a store");
    assert_eq!(check(&restored).unwrap(), []);
    let store = open(&restored);
    let session = store
        .session(&harness::viewer(), &harness::key("s"))
        .await
        .unwrap();
    assert_eq!(session.head, 2);
    assert_ne!(session.log_id, kept.session.log_id, "every log id changes");
    assert_eq!(session.uid, kept.session.uid);
    let again = store.enqueue(command).await.unwrap();
    assert!(again.replayed, "request ids are kept");
    store.close().await;

    let empty = tempfile::tempdir().unwrap();
    assert!(backup(empty.path(), &copies.path().join("other")).is_err());
    assert!(restore(empty.path(), &copies.path().join("other")).is_err());
    world.done().await;
}

#[tokio::test]
async fn the_checker_finds_planted_bugs() {
    for (planted, promise) in [
        ("DELETE FROM event WHERE seq = 3", "dense"),
        (
            "UPDATE event SET epoch = 9 WHERE seq = 2",
            "epoch never falls",
        ),
        ("UPDATE turn SET state = 2 WHERE state = 5", "active_turn"),
        (
            "UPDATE turn SET end_seq = 3 WHERE state = 5",
            "after its end",
        ),
        ("UPDATE event SET kind = 16 WHERE kind = 17", "turn_ended"),
        ("UPDATE session SET queue_depth = 7", "queue_depth"),
        ("UPDATE session SET message_count = 7", "message counts"),
        ("UPDATE session SET wake = NULL", "woken"),
        ("UPDATE session SET state = 2", "a state says"),
        ("UPDATE request SET keep_until = NULL", "a request"),
        ("DELETE FROM session", "is gone"),
        (
            "UPDATE session SET stored_bytes = stored_bytes + 7",
            "stored_bytes counts",
        ),
        (
            "UPDATE storage SET bytes = bytes - 1",
            "what is stored for owners",
        ),
    ] {
        let world = World::<harness::Sqlite>::new();
        let mut command = world.enqueue_of("s", "1");
        command.caller.request = harness::request("r", "Enqueue", 1);
        world.store.enqueue(command).await.unwrap();
        world.complete("s", "ok").await;
        world.enqueue("s", "2").await;
        world.store.close().await;
        assert_eq!(world.engine.check(), Vec::<String>::new());
        raw(world.engine.path()).execute_batch(planted).unwrap();
        let broken = world.engine.check();
        assert!(
            broken.iter().any(|found| found.contains(promise)),
            "{planted}: {broken:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_one_batch_do_not_disturb_each_other() {
    let world = Arc::new(World::<harness::Sqlite>::with(|rules| {
        rules.quotas.change(|quotas| quotas.queue_limit_turns = 8);
    }));
    let mut callers = Vec::new();
    for number in 0..64 {
        let world = Arc::clone(&world);
        callers.push(tokio::spawn(async move {
            let session = format!("s{}", number % 4);
            let text = number.to_string();
            world
                .try_enqueue(&session, &text, OnBusy::Enqueue)
                .await
                .is_ok()
        }));
    }
    let mut accepted = 0;
    for caller in callers {
        accepted += usize::from(caller.await.unwrap());
    }
    assert_eq!(accepted, 32, "each queue took as many as it holds");
    Arc::into_inner(world).unwrap().done().await;
}

#[tokio::test]
async fn a_store_with_many_sessions_opens_without_a_scan() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.close().await;
    raw(directory.path())
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
             INSERT INTO session (tenant, key, uid, owner, is_primary, cwd, create_time, session_id, generation, \
             display_name, agent, next_agent, model, thinking_level, labels, state, queue_depth, queue_bytes, \
             message_count, user_message_count, last_message_preview, input_tokens, output_tokens, \
             cache_read_tokens, cache_write_tokens, cost_micros, model_calls, head, first_seq, epoch, update_time, \
             last_active_time, pending_reset, owner_life) \
             SELECT 'default', 's' || i, randomblob(16), '', 0, '', 0, randomblob(16), 1, '', 'a', '', '', '', '', \
             1, 0, 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0 FROM n; \
             UPDATE meta SET value = 100000 WHERE name = 'sessions';",
        )
        .unwrap();
    let begin = Instant::now();
    let store = open(directory.path());
    let now = quarterdeck::domain::Time(1);
    store.recover(now).await.unwrap();
    let ask = Waiting {
        limit: 100,
        round: Round::default(),
        quotas: rules().quotas.get(),
        deletes_only: false,
    };
    assert!(store.runnable(ask).await.unwrap().sessions.is_empty());
    let taken = begin.elapsed();
    // Measured: a few milliseconds. A scan of all rows takes ten times the bound.
    assert!(taken.as_millis() < 100, "{taken:?}");
    assert!(!store.maintain(now).await.unwrap());
    store.close().await;
}
