//! Keys that keys and tokens made, and credentials that stand for one: they end with what they come from.

use crate::{
    support::{SOON, reason},
    tokens::{Issuer, Signer},
    world::{Caller, command, fact, printed, request, start, start_with},
};
use jsonwebtoken::Algorithm;
use prost_types::Duration;
use quarterdeck::proto;
use tonic::Code;

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn id(made: &proto::CreateApiKeyResponse) -> String {
    made.api_key.as_ref().expect("a key").key_id.clone()
}

fn end(made: &proto::CreateApiKeyResponse) -> i64 {
    let key = made.api_key.as_ref().expect("a key");
    key.expire_time.expect("an end").seconds
}

async fn listed(caller: &Caller, key_id: &str) -> proto::ApiKey {
    let request = proto::ListApiKeysRequest {
        include_ended: true,
        ..Default::default()
    };
    let page = caller.service().list_api_keys(request).await.unwrap();
    let keys = page.into_inner().api_keys;
    let found = keys.into_iter().find(|key| key.key_id == key_id);
    found.expect("the key is listed")
}

async fn revoke(
    caller: &Caller,
    key_id: &str,
    keep_made_keys: bool,
) -> Result<proto::RevokeApiKeyResponse, tonic::Status> {
    let request = proto::RevokeApiKeyRequest {
        key_id: key_id.into(),
        keep_made_keys,
        ..Default::default()
    };
    let revoked = caller.service().revoke_api_key(request).await;
    revoked.map(tonic::Response::into_inner)
}

async fn exchange(
    caller: &Caller,
    ttl: Option<Duration>,
) -> Result<proto::ExchangeCredentialResponse, tonic::Status> {
    let request = proto::ExchangeCredentialRequest { ttl };
    let exchanged = caller.service().exchange_credential(request).await;
    exchanged.map(tonic::Response::into_inner)
}

/// An issuer, and a token of it with these scopes.
pub async fn issued(scopes: &str) -> (Issuer, String) {
    let issuer = Issuer::start().await;
    let signer = Signer::new("one", Algorithm::EdDSA);
    issuer.publish(&[&signer]);
    let mut claims = issuer.claims();
    claims["scope"] = scopes.into();
    let token = signer.sign(&claims);
    (issuer, token)
}

/// A stolen key that may make keys is worth nothing after its end: what it made ends no later.
#[tokio::test]
async fn a_key_that_a_key_made_ends_with_it() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let mut wish = request(&["admin.keys", "session.read"]);
    wish.ttl = seconds(3600);
    let maker = admin.make(wish).await.unwrap();
    let with_maker = admin.as_key(&maker.secret);

    for ttl in [None, seconds(7200)] {
        let mut wish = request(&["session.read"]);
        wish.ttl = ttl;
        let made = with_maker.make(wish).await.unwrap();
        assert_eq!(end(&made), end(&maker));
        let made = listed(&admin, &id(&made)).await;
        assert_eq!(made.created_by_key_id, id(&maker));
    }
    let mut wish = request(&["session.read"]);
    wish.ttl = seconds(60);
    assert!(end(&with_maker.make(wish).await.unwrap()) < end(&maker));
}

/// Revoking a leaked key takes along what its finder made with it, over any number of steps and over a restart.
#[tokio::test]
async fn a_revoked_key_takes_along_what_was_made_with_it() {
    let mut gateway = start();
    let admin = Caller::admin(&gateway).await;
    let maker = admin.make_key(&["admin.keys", "session.read"]).await;
    let with_maker = admin.as_key(&maker.secret);
    let child = with_maker.make_key(&["admin.keys", "session.read"]).await;
    let with_child = admin.as_key(&child.secret);
    let grandchild = with_child.make_key(&["session.read"]).await;
    let other = admin.make_key(&["session.read"]).await;

    let revoked = revoke(&admin, &id(&maker), false).await.unwrap();
    let mut made = revoked.made_key_ids;
    made.sort();
    let mut expected = [id(&child), id(&grandchild)];
    expected.sort();
    assert_eq!(made, expected);
    for gone in [&maker, &child, &grandchild] {
        let refused = admin.as_key(&gone.secret).who().await.unwrap_err();
        assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
        assert!(listed(&admin, &id(gone)).await.revoke_time.is_some());
    }
    admin.as_key(&other.secret).who().await.unwrap();

    gateway.kill();
    gateway.restart();
    let again = Caller::with_key(&gateway, &grandchild.secret).await;
    assert!(again.who().await.is_err());
    Caller::with_key(&gateway, &other.secret)
        .await
        .who()
        .await
        .unwrap();
}

/// Whoever rotates a key says that its work goes on; what it left is still known as its own, and can be ended with it later.
#[tokio::test]
async fn what_a_key_made_outlives_it_where_that_is_said() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let maker = admin.make_key(&["admin.keys", "session.read"]).await;
    let child = admin
        .as_key(&maker.secret)
        .make_key(&["session.read"])
        .await;
    let kept = revoke(&admin, &id(&maker), true).await.unwrap();
    assert!(kept.made_key_ids.is_empty());
    let with_child = admin.as_key(&child.secret);
    with_child.who().await.unwrap();
    let ended = revoke(&admin, &id(&maker), false).await.unwrap();
    assert_eq!(ended.made_key_ids, [id(&child)]);
    assert!(with_child.who().await.is_err());

    // The command line has the same choice.
    let maker = admin.make_key(&["admin.keys", "session.read"]).await;
    let with_maker = admin.as_key(&maker.secret);
    let child = with_maker.make_key(&["session.read"]).await;
    let maker = id(&maker);
    let (out, error) = printed(&command(
        &gateway,
        &["keys", "revoke", &maker, "--keep-made-keys"],
    ));
    assert!(out.contains("revoked"), "{out}{error}");
    let (list, _) = printed(&command(&gateway, &["keys", "list"]));
    assert!(list.contains(&format!("made with {maker}")), "{list}");
    admin.as_key(&child.secret).who().await.unwrap();
    let (out, _) = printed(&command(&gateway, &["keys", "revoke", &maker]));
    assert!(out.contains(&id(&child)), "{out}");
    assert!(admin.as_key(&child.secret).who().await.is_err());
}

/// A helper with `admin.keys` can't take the operator's key away.
#[tokio::test]
async fn nobody_revokes_a_key_that_may_do_more() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let helper = admin.make_key(&["admin.keys", "session.read"]).await;
    let with_helper = admin.as_key(&helper.secret);
    let writer = admin.make_key(&["session.read", "session.write"]).await;
    let reader = admin.make_key(&["session.read"]).await;
    let admins_own = admin.who().await.unwrap().key_id;

    let refused = revoke(&with_helper, &id(&writer), false).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
    assert_eq!(fact(&refused, "scope"), "session.write");
    let refused = revoke(&with_helper, &admins_own, false).await.unwrap_err();
    assert_eq!(fact(&refused, "scope"), "*");
    admin.as_key(&writer.secret).who().await.unwrap();
    admin.who().await.unwrap();

    revoke(&with_helper, &id(&reader), false).await.unwrap();
    // Everyone may end their own, and the call that does so with it.
    let ended = revoke(&with_helper, &id(&helper), false).await;
    assert!(
        ended.is_ok_and(|it| it.api_key.is_some())
            || listed(&admin, &id(&helper)).await.revoke_time.is_some()
    );
    assert!(with_helper.who().await.is_err());
}

/// `*` is more than the list of today's names, and only who has it gives it.
#[tokio::test]
async fn a_star_is_given_by_who_holds_one() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let own = admin.who().await.unwrap();
    assert_eq!(own.scopes[0], "*");
    assert!(own.scopes.contains(&"admin.keys".to_owned()));
    assert_eq!(listed(&admin, &own.key_id).await.scopes, ["*"]);

    let star = admin.make_key(&["*"]).await;
    assert_eq!(star.api_key.as_ref().unwrap().scopes, ["*"]);
    let all: Vec<&str> = own.scopes[1..].iter().map(String::as_str).collect();
    let list = admin.make_key(&all).await;
    let with_list = admin.as_key(&list.secret);
    assert_eq!(with_list.who().await.unwrap().scopes, all);
    let refused = with_list.make(request(&["*"])).await.unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
    assert_eq!(fact(&refused, "scope"), "*");
    admin.as_key(&star.secret).make_key(&["*"]).await;

    // In a tenant of its own it is all but the server's configuration.
    let mut wish = request(&["*"]);
    wish.tenant = "acme".into();
    let tenants = admin.make(wish).await.unwrap();
    let tenants = admin.as_key(&tenants.secret);
    let scopes = tenants.who().await.unwrap().scopes;
    assert!(!scopes.contains(&"admin.config".to_owned()), "{scopes:?}");
    tenants.make_key(&["*"]).await;
}

/// A scope of a later version stays in the store and grants nothing; the first key of before knows all scopes now.
#[tokio::test]
async fn scopes_of_other_versions_are_kept_and_grant_nothing() {
    let mut gateway = start();
    let admin = Caller::admin(&gateway).await;
    let made = admin.make_key(&["session.read"]).await;
    gateway.terminate();
    gateway.wait();
    let store = rusqlite::Connection::open(gateway.data().join("quarterdeck.db")).unwrap();
    store
        .execute(
            "UPDATE api_key SET scopes = 'future.scope session.read' WHERE key_id = ?1",
            [id(&made)],
        )
        .unwrap();
    drop(store);
    gateway.restart();

    let admin = Caller::admin(&gateway).await;
    let with_made = admin.as_key(&made.secret);
    assert_eq!(with_made.who().await.unwrap().scopes, ["session.read"]);
    let kept = listed(&admin, &id(&made)).await;
    assert_eq!(kept.scopes, ["future.scope", "session.read"]);
    // A helper with all that is known today can't tell whether it holds that one.
    let helper = admin.make_key(&["admin.keys", "session.read"]).await;
    let helper = admin.as_key(&helper.secret);
    let refused = revoke(&helper, &id(&made), false).await.unwrap_err();
    assert_eq!(fact(&refused, "scope"), "*");
}

/// A tenant has a bound of valid keys; one that ended makes room.
#[tokio::test]
async fn a_tenant_has_no_more_keys_than_its_bound() {
    let gateway = start_with(&[("QUARTERDECK_TENANT_MAX_KEYS", "3")], "");
    let admin = Caller::admin(&gateway).await;
    let first = admin.make_key(&["session.read"]).await;
    admin.make_key(&["session.read"]).await;
    let refused = admin.make(request(&["session.read"])).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused), "TOO_MANY_KEYS");
    assert_eq!(fact(&refused, "limit"), "3");
    let mut wish = request(&["session.read"]);
    wish.tenant = "acme".into();
    admin.make(wish).await.unwrap();
    revoke(&admin, &id(&first), false).await.unwrap();
    admin.make_key(&["session.read"]).await;
}

/// Who has a token for an hour gets no key for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_token_made_has_a_bounded_life() {
    let (issuer, token) = issued("admin.keys session.read").await;
    let gateway = issuer.gateway("max_key_ttl = \"1h\"\n");
    let with_token = Caller::with_key(&gateway, &token).await;
    for ttl in [None, seconds(3601)] {
        let mut wish = request(&["session.read"]);
        wish.ttl = ttl;
        let refused = with_token.make(wish).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD", "{refused:?}");
    }
    let mut wish = request(&["session.read"]);
    wish.ttl = seconds(3600);
    let made = with_token.make(wish).await.unwrap();
    assert_eq!(made.api_key.unwrap().created_by_key_id, "");
}

/// What a page keeps is less than the key that was pasted, ends within hours, and dies with it.
#[tokio::test]
async fn an_exchanged_credential_dies_with_its_key() {
    let mut gateway = start();
    let admin = Caller::admin(&gateway).await;
    let exchanged = exchange(&admin, None).await.unwrap();
    let page = admin.as_key(&exchanged.secret);
    let who = page.who().await.unwrap();
    let own = admin.who().await.unwrap();
    assert_eq!((&who.principal, &who.key_id), (&own.principal, &own.key_id));
    let less: Vec<String> = own
        .scopes
        .into_iter()
        .filter(|it| it != "*" && it != "admin.keys")
        .collect();
    assert_eq!(who.scopes, less);
    assert_eq!(exchanged.scopes, less);
    assert_eq!(who.expire_time, exchanged.expire_time);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let life = exchanged.expire_time.unwrap().seconds - i64::try_from(now.as_secs()).unwrap();
    assert!((12 * 3600 - 60..=12 * 3600).contains(&life), "{life}");
    let refused = page.make(request(&["session.read"])).await.unwrap_err();
    assert_eq!(fact(&refused, "scope"), "admin.keys");
    for ttl in [seconds(0), seconds(12 * 3600 + 1)] {
        let refused = exchange(&admin, ttl).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD");
    }

    // Exchanged once more it lives no longer.
    let again = exchange(&page, None).await.unwrap();
    assert_eq!(again.expire_time, exchanged.expire_time);

    let key = admin.make_key(&["session.read"]).await;
    let short = exchange(&admin.as_key(&key.secret), seconds(1))
        .await
        .unwrap();
    let of_key = exchange(&admin.as_key(&key.secret), None).await.unwrap();
    let mut wish = request(&["session.read"]);
    wish.ttl = seconds(60);
    let mortal = admin.make(wish).await.unwrap();
    let of_mortal = exchange(&admin.as_key(&mortal.secret), None).await.unwrap();
    assert_eq!(of_mortal.expire_time.unwrap().seconds, end(&mortal));

    gateway.kill();
    gateway.restart();
    let admin = Caller::admin(&gateway).await;
    let page = admin.as_key(&of_key.secret);
    page.who().await.unwrap();
    // What is open with it ends as if it were the key.
    let watch = proto::WatchSessionsRequest::default();
    let mut watch = page
        .gateway()
        .watch_sessions(watch)
        .await
        .unwrap()
        .into_inner();
    watch.message().await.unwrap();
    revoke(&admin, &id(&key), false).await.unwrap();
    let refused = page.who().await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
    let ended = tokio::time::timeout(SOON, async {
        loop {
            if let Err(ended) = watch.message().await {
                break ended;
            }
        }
    });
    let ended = ended.await.expect("the stream ends");
    assert_eq!(ended.code(), Code::Unauthenticated);
    let short = admin.as_key(&short.secret);
    assert!(short.who().await.is_err());
    // The last letter of a seal is one of sixteen.
    let (seal, last) = exchanged.secret.split_at(exchanged.secret.len() - 1);
    let forged = format!("{seal}{}", if last == "A" { "E" } else { "A" });
    assert!(admin.as_key(&forged).who().await.is_err());
}

/// A token is exchanged too, and lives no longer than it did; who shows no credential has nothing to exchange.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_exchanged_for_no_longer_than_it_lives() {
    let (issuer, token) = issued("admin.keys session.read").await;
    let gateway = issuer.gateway("");
    let with_token = Caller::with_key(&gateway, &token).await;
    let own = with_token.who().await.unwrap();
    let exchanged = exchange(&with_token, None).await.unwrap();
    assert_eq!(exchanged.expire_time, own.expire_time);
    let who = with_token.as_key(&exchanged.secret).who().await.unwrap();
    assert_eq!(who.principal, own.principal);
    assert_eq!(who.scopes, ["session.read"]);

    let open = start_with(&[("QUARTERDECK_NO_AUTH", "true")], "");
    let nobody = Caller::with_header(&open, None).await;
    let refused = exchange(&nobody, None).await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_MISSING");
}
