//! API keys: what they open, how they are made, and how they end.

use crate::{
    support::reason,
    world::{Caller, admin_key, command, fact, printed, request, start},
};
use quarterdeck::proto;
use tonic::Code;

/// Whatever is wrong with a credential, its caller is told the same: no answer tells a known id from an unknown one.
#[tokio::test]
async fn every_wrong_credential_gets_the_same_answer() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let good = admin_key(&gateway);
    let revoked = admin.make_key(&["session.read"]).await;
    admin
        .revoke(&revoked.api_key.unwrap().key_id)
        .await
        .unwrap();

    // Another server's key is well formed and unknown; with a known id its checksum alone is made right.
    let other = admin_key(&start());
    let (_, other_secret) = parts(&other);
    let (id, _) = parts(&good);
    let mixed = checked(&format!("qdk_{id}_{other_secret}"));
    let mut answers = Vec::new();
    for wrong in [
        format!("Bearer {other}"),
        format!("Bearer {mixed}"),
        format!("Bearer {}", revoked.secret),
        format!("Bearer {}x", good),
        format!("Bearer {}", &good[..good.len() - 1]),
        format!("Bearer qdk_{}", "a".repeat(6000)),
        "Bearer ".into(),
        "Bearer".into(),
        format!("Basic {good}"),
        good.clone(),
    ] {
        let caller = Caller::with_header(&gateway, Some(&wrong)).await;
        let refused = caller.who().await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{wrong}");
        assert_eq!(reason(&refused), "CREDENTIALS_INVALID", "{wrong}");
        answers.push((refused.message().to_owned(), refused.details().to_vec()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    admin.who().await.unwrap();
}

fn parts(key: &str) -> (&str, &str) {
    let mut parts = key.split('_').skip(1);
    (parts.next().unwrap(), parts.next().unwrap())
}

/// A body with its right checksum.
fn checked(body: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [0; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    format!("{body}_{}", std::str::from_utf8(&digits).unwrap())
}

/// A key can be no more than who made it: not its scopes, not its tenant.
#[tokio::test]
async fn a_new_key_has_no_scope_that_its_maker_lacks() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let limited = admin.make_key(&["admin.keys", "session.read"]).await;
    let limited = admin.as_key(&limited.secret);

    let refused = limited
        .make(request(&["session.read", "session.write"]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
    assert_eq!(fact(&refused, "scope"), "session.write");

    let mut wish = request(&["session.read"]);
    wish.subject = "reporter".into();
    let made = limited.make(wish).await.unwrap();
    let who = limited.as_key(&made.secret).who().await.unwrap();
    assert_eq!(who.principal, "default/reporter");
    assert_eq!(who.scopes, ["session.read"]);
    assert_eq!(made.api_key.unwrap().created_by, "default/local");
}

/// Wrong wishes are refused with every wrong field, and make nothing.
#[tokio::test]
async fn wrong_wishes_make_no_key() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let zero = prost_types::Duration::default();
    for wish in [
        request(&[]),
        request(&["session.*"]),
        proto::CreateApiKeyRequest {
            subject: "a/b".into(),
            ..request(&["session.read"])
        },
        proto::CreateApiKeyRequest {
            ttl: Some(zero),
            ..request(&["session.read"])
        },
        proto::CreateApiKeyRequest {
            display_name: "a\nb".into(),
            ..request(&["session.read"])
        },
        proto::CreateApiKeyRequest {
            request_id: "a b".into(),
            ..request(&["session.read"])
        },
    ] {
        let refused = admin.make(wish.clone()).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD", "{wish:?}");
    }
    assert_eq!(list(&admin, true).await.len(), 1);
}

async fn list(caller: &Caller, include_ended: bool) -> Vec<proto::ApiKey> {
    let mut keys = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = proto::ListApiKeysRequest {
            page_size: 2,
            page_token,
            include_ended,
            ..Default::default()
        };
        let page = caller.service().list_api_keys(request).await.unwrap();
        let page = page.into_inner();
        assert!(page.api_keys.len() <= 2);
        keys.extend(page.api_keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return keys;
        }
    }
}

/// CreateApiKey can be retried: the same `request_id` is the same key, whose secret is not shown twice.
#[tokio::test]
async fn a_repeated_wish_makes_one_key() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let wish = proto::CreateApiKeyRequest {
        request_id: "deploy-7".into(),
        ..request(&["session.read"])
    };
    let first = admin.make(wish.clone()).await.unwrap();
    let second = admin.make(wish.clone()).await.unwrap();
    assert!(!first.replayed && second.replayed);
    assert!(!first.secret.is_empty() && second.secret.is_empty());
    assert_eq!(
        first.api_key.as_ref().unwrap().key_id,
        second.api_key.unwrap().key_id
    );
    let other = proto::CreateApiKeyRequest {
        scopes: vec!["session.write".into()],
        ..wish
    };
    let refused = admin.make(other).await.unwrap_err();
    assert_eq!(reason(&refused), "IDEMPOTENCY_CONFLICT");
    assert_eq!(list(&admin, true).await.len(), 2);
}

/// A key ends when its time is over, and stays ended over a restart.
#[tokio::test]
async fn an_expired_key_is_refused() {
    let mut gateway = start();
    let admin = Caller::admin(&gateway).await;
    let mut wish = request(&["session.read"]);
    wish.ttl = Some(prost_types::Duration {
        seconds: 1,
        nanos: 0,
    });
    let made = admin.make(wish).await.unwrap();
    let short = admin.as_key(&made.secret);
    let who = short.who().await.unwrap();
    assert_eq!(who.expire_time, made.api_key.as_ref().unwrap().expire_time);
    let refused = loop {
        if let Err(refused) = short.who().await {
            break refused;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
    assert_eq!(list(&admin, false).await.len(), 1);
    assert_eq!(list(&admin, true).await.len(), 2);
    gateway.kill();
    gateway.restart();
    let again = Caller::with_key(&gateway, &made.secret).await;
    assert_eq!(
        reason(&again.who().await.unwrap_err()),
        "CREDENTIALS_INVALID"
    );
}

/// A revoked key is refused from the answer on, also after a restart; revoking again is OK and changes nothing.
#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_for_ever() {
    let mut gateway = start();
    let admin = Caller::admin(&gateway).await;
    let made = admin.make_key(&["session.read"]).await;
    let key_id = made.api_key.unwrap().key_id;
    let caller = admin.as_key(&made.secret);
    caller.who().await.unwrap();
    let first = admin.revoke(&key_id).await.unwrap();
    let refused = caller.who().await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
    let second = admin.revoke(&key_id).await.unwrap();
    assert!(first.revoke_time.is_some());
    assert_eq!(first.revoke_time, second.revoke_time);

    let unknown = admin.revoke("aaaaaaaaaaaa").await.unwrap_err();
    assert_eq!(reason(&unknown), "API_KEY_NOT_FOUND");
    assert_eq!(unknown.code(), Code::NotFound);
    let malformed = admin.revoke("../../etc").await.unwrap_err();
    assert_eq!(reason(&malformed), "INVALID_FIELD");

    gateway.kill();
    gateway.restart();
    let again = Caller::with_key(&gateway, &made.secret).await;
    assert!(again.who().await.is_err());
}

/// Lists show when a key was used, and the store knows it after an orderly end.
#[tokio::test]
async fn the_time_of_the_last_use_is_kept() {
    let mut gateway = start();
    let admin = Caller::admin(&gateway).await;
    let made = admin.make_key(&["session.read"]).await;
    let key_id = made.api_key.unwrap().key_id;
    let find = |keys: Vec<proto::ApiKey>| keys.into_iter().find(|key| key.key_id == key_id);
    assert_eq!(
        find(list(&admin, false).await).unwrap().last_used_time,
        None
    );
    admin.as_key(&made.secret).who().await.unwrap();
    let used = find(list(&admin, false).await).unwrap().last_used_time;
    assert!(used.is_some());
    gateway.terminate();
    gateway.wait();
    gateway.restart();
    let admin = Caller::admin(&gateway).await;
    assert_eq!(
        find(list(&admin, false).await).unwrap().last_used_time,
        used
    );
}

/// The command line makes, lists and revokes keys.
#[tokio::test]
async fn keys_are_managed_from_the_command_line() {
    let gateway = start();
    let create = ["keys", "create", "--scopes", "session.read,session.write"];
    let (secret, error) = printed(&command(&gateway, &create));
    let secret = secret.trim();
    assert!(secret.starts_with("qdk_"), "{secret}{error}");
    let (id, _) = parts(secret);

    let (out, _) = printed(&command(&gateway, &["whoami", "--key", secret]));
    assert!(out.contains(&format!("by API key {id}")), "{out}");
    assert!(out.contains("session.read session.write"), "{out}");
    let (listed, _) = printed(&command(&gateway, &["keys", "list"]));
    assert!(listed.contains(id) && !listed.contains(secret), "{listed}");
    let (revoked, error) = printed(&command(&gateway, &["keys", "revoke", id]));
    assert!(revoked.contains("revoked"), "{revoked}{error}");
    let refused = command(&gateway, &["whoami", "--key", secret]);
    assert_eq!(refused.status.code(), Some(77));
    let (_, error) = printed(&refused);
    assert!(error.contains("CREDENTIALS_INVALID"), "{error}");
}

/// A dump of the store tells no key: neither secret nor text stands in any of its files.
#[tokio::test]
async fn secrets_are_not_in_the_store() {
    let mut gateway = start();
    let admin = Caller::admin(&gateway).await;
    let made = admin.make_key(&["session.read"]).await;
    gateway.terminate();
    gateway.wait();
    let (_, secret) = parts(&made.secret);
    for entry in std::fs::read_dir(gateway.data()).unwrap() {
        let path = entry.unwrap().path();
        let Ok(content) = std::fs::read(&path) else {
            continue;
        };
        let found = content
            .windows(secret.len())
            .any(|it| it == secret.as_bytes());
        assert!(!found, "{}", path.display());
    }
}
