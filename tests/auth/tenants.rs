//! Tenants: a wall between those who share a server, with one door for whoever runs it.

use crate::{
    support::reason,
    world::{Caller, request, start},
};
use quarterdeck::proto;
use tonic::Code;

/// A wish for a key of a subject in a tenant.
fn wish(tenant: &str, subject: &str, scopes: &[&str]) -> proto::CreateApiKeyRequest {
    proto::CreateApiKeyRequest {
        tenant: tenant.into(),
        subject: subject.into(),
        ..request(scopes)
    }
}

/// The operator makes the first key of a tenant; from then on that tenant keeps its own keys, and nobody else's.
#[tokio::test]
async fn the_operator_makes_a_tenants_first_key_and_the_tenant_its_others() {
    let gateway = start();
    let operator = Caller::admin(&gateway).await;
    let made = operator
        .make(wish("acme", "boss", &["admin.keys", "session.read"]))
        .await
        .expect("the operator may name any tenant");
    let boss = operator.as_key(&made.secret);
    assert_eq!(boss.who().await.unwrap().principal, "acme/boss");

    let own = boss
        .make(wish("", "clerk", &["session.read"]))
        .await
        .unwrap();
    assert_eq!(own.api_key.as_ref().unwrap().principal, "acme/clerk");
    let stranger = boss.make(wish("default", "clerk", &["session.read"])).await;
    assert_eq!(reason(&stranger.unwrap_err()), "INVALID_FIELD");

    // The operator's keys are not the tenant's to see or to revoke.
    let operators = operator.who().await.unwrap().key_id;
    let refused = boss.revoke(&operators).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "API_KEY_NOT_FOUND")
    );
    let request = |tenant: &str| proto::ListApiKeysRequest {
        tenant: tenant.into(),
        ..Default::default()
    };
    let seen = boss
        .service()
        .list_api_keys(request(""))
        .await
        .unwrap()
        .into_inner()
        .api_keys;
    assert!(
        seen.iter().all(|key| key.principal.starts_with("acme/")),
        "{seen:?}"
    );
    assert_eq!(seen.len(), 2);
    let seen = operator
        .service()
        .list_api_keys(request("acme"))
        .await
        .unwrap();
    assert_eq!(seen.into_inner().api_keys.len(), 2);

    let clerks = proto::RevokeApiKeyRequest {
        key_id: own.api_key.unwrap().key_id,
        tenant: "acme".into(),
        ..Default::default()
    };
    operator
        .service()
        .revoke_api_key(clerks)
        .await
        .expect("the operator may");
    let clerk = operator.as_key(&own.secret);
    assert_eq!(
        reason(&clerk.who().await.unwrap_err()),
        "CREDENTIALS_INVALID"
    );
}

/// The configuration is everybody's, so one tenant of many can't change it.
#[tokio::test]
async fn the_configuration_is_for_the_operator_alone() {
    let gateway = start();
    let operator = Caller::admin(&gateway).await;
    let refused = operator
        .make(wish("acme", "boss", &["admin.config"]))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "INVALID_FIELD");
    operator
        .make(wish("", "deputy", &["admin.config"]))
        .await
        .expect("in the operator's own tenant");
}

/// Who listens is told to the tenant whose sessions they listen to.
#[tokio::test]
async fn channels_show_who_listens_in_ones_own_tenant() {
    let gateway = start();
    let operator = Caller::admin(&gateway).await;
    let scopes = ["session.read", "session.write", "admin.logs"];
    let made = operator.make(wish("acme", "boss", &scopes)).await.unwrap();
    let key_id = made.api_key.unwrap().key_id;
    let boss = operator.as_key(&made.secret);
    let enqueue = proto::EnqueueRequest {
        session_key: "plans".into(),
        text: "hi".into(),
        ..Default::default()
    };
    boss.gateway().enqueue(enqueue).await.unwrap();
    let subscribe = proto::SubscribeRequest {
        session_key: "plans".into(),
        ..Default::default()
    };
    let mut events = boss
        .gateway()
        .subscribe(subscribe)
        .await
        .unwrap()
        .into_inner();
    events.message().await.unwrap().expect("hello");

    let channels = async |caller: &Caller, session_key: &str| {
        let request = proto::ListChannelsRequest {
            session_key: session_key.into(),
            ..Default::default()
        };
        let answer = caller.service().list_channels(request).await.unwrap();
        answer.into_inner().channels
    };
    let seen = channels(&boss, "").await;
    let [channel] = seen.as_slice() else {
        panic!("one stream is open: {seen:?}");
    };
    assert_eq!(
        (channel.principal.as_str(), channel.key_id.as_str()),
        ("acme/boss", key_id.as_str())
    );
    assert_eq!(
        (channel.method.as_str(), channel.session_key.as_str()),
        ("Subscribe", "plans")
    );
    assert!(
        channel.peer_address.starts_with("127.0.0.1:"),
        "{channel:?}"
    );
    assert!(channel.user_agent.contains("tonic"), "{channel:?}");
    assert_eq!(channels(&boss, "plans").await.len(), 1);
    assert!(channels(&boss, "other").await.is_empty());
    assert!(channels(&operator, "").await.is_empty(), "another tenant's");
}
