//! The primary session is its tenant's.

use crate::{
    support::reason,
    world::{Caller, fact, request, start},
};
use quarterdeck::proto;
use tonic::Code;

/// Whoever may write sessions can't make itself the owner of the one that stands for its tenant, by no call.
#[tokio::test]
async fn the_primary_session_is_not_claimed_by_who_comes_first() {
    let gateway = start();
    let admin = Caller::admin(&gateway).await;
    let tenants = async |scopes: &[&str], subject: &str| {
        let mut wish = request(scopes);
        wish.tenant = "acme".into();
        wish.subject = subject.into();
        admin.as_key(&admin.make(wish).await.unwrap().secret)
    };
    let writer = tenants(&["session.read", "session.write"], "writer").await;
    let enqueue = proto::EnqueueRequest {
        session_key: "main".into(),
        text: "mine".into(),
        ..Default::default()
    };
    let create = proto::CreateSessionRequest {
        session_key: "main".into(),
        ..Default::default()
    };
    let fork = proto::ForkSessionRequest {
        session_key: "other".into(),
        new_session_key: "main".into(),
        ..Default::default()
    };
    let other = proto::EnqueueRequest {
        session_key: "other".into(),
        ..enqueue.clone()
    };
    writer.gateway().enqueue(other).await.unwrap();
    for refused in [
        writer.gateway().enqueue(enqueue.clone()).await.unwrap_err(),
        writer
            .gateway()
            .create_session(create.clone())
            .await
            .unwrap_err(),
        writer.gateway().fork_session(fork).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
        assert_eq!(reason(&refused), "SCOPE_REQUIRED");
        assert_eq!(fact(&refused, "scope"), "tenant.sessions");
    }

    let owner = tenants(
        &["session.read", "session.write", "tenant.sessions"],
        "owner",
    )
    .await;
    let made = owner.gateway().create_session(create).await.unwrap();
    assert!(made.into_inner().session.unwrap().primary);
    let refused = writer.gateway().enqueue(enqueue.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "SESSION_NOT_YOURS");
    owner.gateway().enqueue(enqueue).await.unwrap();
}
