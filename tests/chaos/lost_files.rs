//! Files that are gone: a store that should be there and is not is never taken for a new one.

use crate::{
    support::{Gateway, Options, enqueue, reason, run},
    world::eventually,
};
use quarterdeck::proto;
use std::{
    path::Path,
    process::{Command, Output},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Tries to serve a directory; ends by itself where the start is refused.
fn serve(data: &Path, arguments: &[&str]) -> Output {
    let server = std::env::var_os("QUARTERDECK_TEST_SERVER");
    Command::new("timeout")
        .arg("20")
        .arg(server.unwrap_or_else(|| env!("CARGO_BIN_EXE_quarterdeck").into()))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .args(arguments)
        .env("QUARTERDECK_NO_AUTH", "true")
        .output()
        .expect("it runs")
}

fn refused(data: &Path, word: &str) {
    let output = serve(data, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "it serves: {said}");
    for hint in [word, "quarterdeck restore", "--new-store"] {
        assert!(said.contains(hint), "{hint}: {said}");
    }
}

fn remove(data: &Path, names: &[&str]) {
    for name in names {
        let _ = std::fs::remove_file(data.join(name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_is_no_new_store() {
    let mut gateway = Gateway::start();
    run(&mut gateway.client().await, "kept", "hello").await;
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    let data = gateway.data();
    let saved = std::fs::read(data.join("quarterdeck.db")).expect("a file");

    // Removed, emptied, and without the mark beside it, as a directory of an earlier version.
    remove(&data, &["quarterdeck.db"]);
    refused(&data, "the store is gone");
    std::fs::write(data.join("quarterdeck.db"), "").expect("writable");
    refused(&data, "the store is gone");
    let mark = std::fs::read(data.join("store.mark")).expect("a file");
    remove(&data, &["store.mark", "quarterdeck.db"]);
    refused(&data, "the store is gone");

    // Put back, it is served again.
    std::fs::write(data.join("quarterdeck.db"), &saved).expect("writable");
    std::fs::write(data.join("store.mark"), &mark).expect("writable");
    gateway.restart();
    run(&mut gateway.client().await, "kept", "again").await;
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));

    // An older one has less than was acknowledged, whatever stands beside it.
    std::fs::write(data.join("quarterdeck.db"), &saved).expect("writable");
    refused(&data, "has lost its newest work");

    // And what was said is done: nothing is deleted by it.
    let mut gateway_again = Gateway::with_data(gateway, &["--new-store"]);
    let mut client = gateway_again.client().await;
    let request = proto::GetSessionRequest {
        session_key: "kept".into(),
        ..Default::default()
    };
    let status = client.get_session(request).await.expect_err("a new store");
    assert_eq!(reason(&status), "SESSION_NOT_FOUND");
    assert!(gateway_again.data().join("quarterdeck.db.lost-1").exists());
    gateway_again.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_gone_is_noticed() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    enqueue(&mut client, "a", "hello").await.expect("accepted");
    // No clean end: the newest work stands in the log alone.
    gateway.kill();
    let data = gateway.data();
    assert!(data.join("quarterdeck.db-wal").exists());
    remove(&data, &["quarterdeck.db-wal", "quarterdeck.db-shm"]);
    refused(&data, "has lost its newest work");
}

/// A kill at any moment of start and end is not taken for a loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_is_no_loss() {
    let mut dice = crate::world::dice(3);
    let mut gateway = Gateway::start();
    for round in 0..crate::world::figure(8, 200) {
        if round % 2 == 0 {
            gateway.terminate();
            tokio::time::sleep(dice.millis(0, 60)).await;
            gateway.kill();
        } else {
            gateway.kill();
        }
        gateway.start_and_kill(dice.millis(0, 400)).await;
        gateway.restart();
        let mut client = gateway.client().await;
        enqueue(&mut client, "a", "hello").await.expect("accepted");
    }
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_goes_under_the_server_is_told() {
    let gateway = Gateway::start();
    let mut client = gateway.client().await;
    enqueue(&mut client, "a", "hello").await.expect("accepted");
    let away = gateway.directory.path().join("away");
    std::fs::rename(gateway.data(), &away).expect("renamed");
    let status = eventually("a refusal", async || {
        enqueue(&mut client.clone(), "a", "into nothing")
            .await
            .err()
    })
    .await;
    assert_eq!(reason(&status), "STORE_UNAVAILABLE", "{status:?}");
    let endpoint = tonic::transport::Endpoint::new(gateway.address.clone()).expect("an address");
    let mut health = HealthClient::new(endpoint.connect().await.expect("it answers"));
    eventually("health", async || {
        let answer = health.check(HealthCheckRequest::default()).await.ok()?;
        (answer.into_inner().status == 2).then_some(())
    })
    .await;
    // Back again, all is well again.
    // The server may have made directories for its agents meanwhile.
    let _ = std::fs::remove_dir_all(gateway.data());
    std::fs::rename(&away, gateway.data()).expect("renamed");
    eventually("an acknowledgement", async || {
        enqueue(&mut client.clone(), "a", "into something")
            .await
            .ok()
    })
    .await;
    eventually("health", async || {
        let answer = health.check(HealthCheckRequest::default()).await.ok()?;
        (answer.into_inner().status == 1).then_some(())
    })
    .await;
}

/// Secrets are not made unreadable without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_key_that_is_gone_is_not_made_anew_over_secrets() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut gateway = Gateway::with(Options {
        log: Some(log.path().to_owned()),
        ..Options::default()
    });
    let mut memory =
        proto::memory_service_client::MemoryServiceClient::connect(gateway.address.clone())
            .await
            .expect("it answers");
    let secret = proto::RememberRequest {
        content: "the door opens to 1234".into(),
        kind: proto::MemoryKind::Secret.into(),
        key: "door".into(),
        ..Default::default()
    };
    memory.remember(secret).await.expect("kept");
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    let key = gateway.data().join("memory.key");
    let text = std::fs::read(&key).expect("a file");
    std::fs::remove_file(&key).expect("removed");
    let output = serve(&gateway.data(), &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{said}"
    );
    assert!(said.contains("memory.key is gone"), "{said}");
    assert!(!key.exists(), "no other key is made");
    std::fs::write(&key, text).expect("writable");
    gateway.restart();
    gateway.check_store();
}
