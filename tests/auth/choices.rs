//! Who may choose what an agent does: options need `session.approve`, unless the operator allows them to everybody.

use crate::{
    support::reason,
    world::{Caller, fact, start_with},
};
use quarterdeck::proto;
use tonic::Code;

#[tokio::test]
async fn an_option_needs_the_scope_to_approve_unless_the_operator_allows_it() {
    let config = "[agents.open]\ndriver = \"echo\"\noptions_allowed = [\"style\"]\n";
    let gateway = start_with(&[], config);
    let admin = Caller::admin(&gateway).await;
    let writer = admin
        .member("default", "ann", &["session.read", "session.write"])
        .await;
    let approver = admin
        .member(
            "default",
            "ann",
            &["session.read", "session.write", "session.approve"],
        )
        .await;
    let stranger = admin
        .member(
            "other",
            "eve",
            &["session.read", "session.write", "session.approve"],
        )
        .await;
    let reader = admin.member("default", "ann", &["session.read"]).await;
    for agent in ["echo", "open"] {
        let request = proto::CreateSessionRequest {
            session_key: agent.into(),
            agent: agent.into(),
            ..Default::default()
        };
        writer
            .gateway()
            .create_session(request)
            .await
            .expect("made");
    }
    let set = |session_key: &str| proto::SetOptionRequest {
        session_key: session_key.into(),
        option_id: "style".into(),
        value: "brisk".into(),
        ..Default::default()
    };
    let refused = writer.gateway().set_option(set("echo")).await.unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
    assert_eq!(fact(&refused, "scope"), "session.approve");
    writer
        .gateway()
        .set_option(set("open"))
        .await
        .expect("it is allowed");
    approver
        .gateway()
        .set_option(set("echo"))
        .await
        .expect("it may");
    let refused = reader.gateway().set_option(set("open")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = stranger
        .gateway()
        .set_option(set("open"))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "SESSION_NOT_FOUND");
    let list = proto::ListOptionsRequest {
        session_key: "open".into(),
    };
    let refused = stranger.gateway().list_options(list).await.unwrap_err();
    assert_eq!(reason(&refused), "SESSION_NOT_FOUND");
}
