//! The local user's key: made once, found by commands on this machine, replaced when its file is lost.

use crate::{
    support::{Gateway, reason},
    world::{Caller, admin_key, command, printed, start},
};
use std::{fs, os::unix::fs::PermissionsExt as _};
use tonic::Code;

/// A fresh server can be used at once by who may read its data directory, and by nobody else.
#[tokio::test]
async fn the_first_start_makes_a_key_that_only_its_user_can_read() {
    let gateway = start();
    for name in ["admin.key", "pepper"] {
        let mode = fs::metadata(gateway.data().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let who = Caller::admin(&gateway).await.who().await.unwrap();
    assert_eq!(who.principal, "default/local");
    assert_eq!(who.scopes.len(), 18, "`*`, and the names of today");
    assert_eq!(who.expire_time, None);

    let nobody = Caller::with_header(&gateway, None).await;
    let refused = nobody.who().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(reason(&refused), "CREDENTIALS_MISSING");
}

/// Commands need no arguments beside a server's data directory, and send nothing by themselves where they are told not
/// to.
#[tokio::test]
async fn commands_on_this_machine_find_the_key_by_themselves() {
    let gateway = start();
    let (out, error) = printed(&command(&gateway, &["whoami"]));
    assert!(out.starts_with("default/local by API key "), "{out}{error}");
    let (out, error) = printed(&command(&gateway, &["send", "demo", "hello"]));
    assert_eq!(out, "hello\n", "{error}");

    let none = command(&gateway, &["whoami", "--key", ""]);
    let (_, error) = printed(&none);
    assert!(error.contains("CREDENTIALS_MISSING"), "{error}");
    assert_eq!(none.status.code(), Some(77));

    let missing = command(&gateway, &["whoami", "--key-file", "nothing"]);
    let (_, error) = printed(&missing);
    assert!(error.contains("can't read a key from nothing"), "{error}");

    let file = gateway.data().join("admin.key");
    let file = file.to_str().unwrap();
    let (out, error) = printed(&command(&gateway, &["whoami", "--key-file", file]));
    assert!(out.starts_with("default/local"), "{out}{error}");
}

/// A restart makes no second key and does not touch the file.
#[tokio::test]
async fn a_restart_keeps_the_key() {
    let mut gateway = start();
    let key = admin_key(&gateway);
    gateway.kill();
    gateway.restart();
    assert_eq!(admin_key(&gateway), key);
    Caller::admin(&gateway).await.who().await.unwrap();
    fs::remove_file(gateway.data().join("admin.key")).unwrap();
    gateway.kill();
    gateway.restart();
    assert!(!gateway.data().join("admin.key").exists());
    Caller::with_key(&gateway, &key).await.who().await.unwrap();
}

/// A lost file is no lost server: its user makes another key, while no server has the directory.
#[tokio::test]
async fn a_lost_key_is_replaced_offline() {
    let mut gateway = start();
    let before = admin_key(&gateway);
    let data = gateway.data();
    let reset = ["keys", "reset-admin", "--data-dir", data.to_str().unwrap()];
    let running = command(&gateway, &reset);
    assert_eq!(running.status.code(), Some(75), "{:?}", printed(&running));
    assert_eq!(admin_key(&gateway), before);

    gateway.terminate();
    gateway.wait();
    fs::remove_file(data.join("admin.key")).unwrap();
    let done = command(&gateway, &reset);
    assert_eq!(done.status.code(), Some(0), "{:?}", printed(&done));
    let after = admin_key(&gateway);
    assert_ne!(after, before);
    gateway.restart();
    for key in [&before, &after] {
        let who = Caller::with_key(&gateway, key).await.who().await.unwrap();
        assert_eq!(who.principal, "default/local");
    }
}

/// A backup that is restored is of use to the callers that it was made with.
#[tokio::test]
async fn keys_outlive_a_restore() {
    let mut gateway = start();
    let key = admin_key(&gateway);
    let data = gateway.data();
    let data = data.to_str().unwrap();
    let backup = command(&gateway, &["backup", "copy", "--data-dir", data]);
    assert_eq!(backup.status.code(), Some(0), "{:?}", printed(&backup));
    let copied = gateway.directory.path().join("copy/pepper");
    let mode = fs::metadata(copied).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    gateway.kill();
    fs::remove_dir_all(data).unwrap();
    let restore = command(&gateway, &["restore", "copy", "--data-dir", data]);
    assert_eq!(restore.status.code(), Some(0), "{:?}", printed(&restore));
    gateway.restart();
    Caller::with_key(&gateway, &key).await.who().await.unwrap();
}

/// `--no-auth` is a spoken choice: everyone is the local user, and what comes as a credential is not looked at.
#[tokio::test]
async fn without_auth_everyone_is_the_local_user() {
    let gateway = Gateway::start();
    assert!(!gateway.data().join("admin.key").exists());
    for header in [None, Some("Bearer wrong"), Some("nonsense")] {
        let caller = Caller::with_header(&gateway, header).await;
        let who = caller.who().await.unwrap();
        assert_eq!(who.principal, "default/local");
        assert_eq!(who.credential().as_str_name(), "CREDENTIAL_KIND_NONE");
    }
}
