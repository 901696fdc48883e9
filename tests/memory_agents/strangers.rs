//! What those who share a server may not learn of each other's memory, nor take from it.

use crate::{
    support::{self, Gateway},
    world::{self, Bearer, Caller, Wire, request},
};
use quarterdeck::proto::{
    self, GetMemoryStatusResponse, RememberRequest, memory_service_client::MemoryServiceClient,
};
use tonic::{Status, transport::Endpoint};

type Memory = MemoryServiceClient<Wire>;

/// Memory as the bearer of a key sees it.
async fn memory(gateway: &Gateway, key: &str) -> Memory {
    let endpoint = Endpoint::from_shared(gateway.address.clone()).unwrap();
    let bearer = Bearer(Some(format!("Bearer {key}").parse().unwrap()));
    MemoryServiceClient::with_interceptor(endpoint.connect().await.unwrap(), bearer)
        .max_decoding_message_size(usize::MAX)
}

/// A key of a subject in a tenant.
async fn key(gateway: &Gateway, tenant: &str, subject: &str, scopes: &[&str]) -> String {
    let wish = proto::CreateApiKeyRequest {
        tenant: tenant.into(),
        subject: subject.into(),
        ..request(scopes)
    };
    let admin = Caller::admin(gateway).await;
    admin.make(wish).await.expect("a key").secret
}

async fn remember(memory: &mut Memory, content: &str) {
    let request = RememberRequest {
        content: content.into(),
        ..Default::default()
    };
    memory.remember(request).await.expect("remembered");
}

async fn status(memory: &mut Memory) -> GetMemoryStatusResponse {
    let request = proto::GetMemoryStatusRequest::default();
    memory
        .get_memory_status(request)
        .await
        .unwrap()
        .into_inner()
}

/// The index is the whole server's: only who runs the server makes it anew, and sees how much that is.
#[tokio::test]
async fn a_rebuild_and_its_totals_are_the_operators() {
    let gateway = world::start();
    let both = ["memory.read", "memory.write"];
    let operator_key = world::admin_key(&gateway);
    let mut operator = memory(&gateway, &operator_key).await;
    for number in 0..5 {
        remember(&mut operator, &format!("operator's note {number}")).await;
    }
    let all = ["memory.read", "memory.write", "admin.logs"];
    for (tenant, scopes) in [("acme", &all[..]), ("default", &both)] {
        let key = key(&gateway, tenant, "clerk", scopes).await;
        let mut memory = memory(&gateway, &key).await;
        let refused = memory.rebuild_memory(proto::RebuildMemoryRequest {}).await;
        let refused = refused.expect_err("not the operator");
        assert_eq!(support::reason(&refused), "SCOPE_REQUIRED", "{tenant}");
    }
    operator
        .rebuild_memory(proto::RebuildMemoryRequest {})
        .await
        .expect("the operator may");

    let key = key(&gateway, "acme", "clerk", &both).await;
    let mut acme = memory(&gateway, &key).await;
    remember(&mut acme, "acme's one note").await;
    let told = status(&mut acme).await;
    assert_eq!(
        (
            told.archival_count,
            told.indexed_count,
            told.pending_episode_count
        ),
        (1, 1, 0),
        "{told:?}"
    );
    assert_eq!(told.rebuild, None, "how much others have is theirs");
    let told = status(&mut operator).await;
    assert_eq!((told.archival_count, told.indexed_count), (5, 6));
    assert!(told.rebuild.is_some());
}

/// The primary session reaches the tenant's memory by default. That needs what naming it would need, of whoever sends
/// the turn and on every turn; who lacks it gets the session's own memory.
#[tokio::test]
async fn the_primary_sessions_reach_is_its_senders_right() {
    let gateway = world::start();
    let operator_key = world::admin_key(&gateway);
    let mut operator = memory(&gateway, &operator_key).await;
    remember(&mut operator, "the boat's pin is 4711").await;
    let say = async |key: &str, text: &str| -> Result<String, Status> {
        let mut client = Caller::with_key(&gateway, key).await.gateway();
        let request = proto::EnqueueRequest {
            session_key: "main".into(),
            text: text.into(),
            ..Default::default()
        };
        let turn = client.enqueue(request).await?.into_inner().turn.unwrap();
        let request = proto::AwaitTurnRequest {
            session_key: "main".into(),
            turn_id: turn.turn_id,
            ..Default::default()
        };
        let ended = client.await_turn(request).await?.into_inner();
        Ok(ended.turn.unwrap().response_text)
    };
    let given = say(&operator_key, "!memory pin").await.unwrap();
    assert!(given.contains("4711"), "{given}");
    let sessions = ["session.read", "session.write", "tenant.sessions"];
    let narrow = key(&gateway, "default", "clerk", &sessions).await;
    let given = say(&narrow, "!memory pin").await.unwrap();
    assert_eq!(given, "", "who may not read memory gets none by a turn");
    let with_read = [&sessions[..], &["memory.read"]].concat();
    let reader = key(&gateway, "default", "clerk", &with_read).await;
    assert_eq!(say(&reader, "!memory pin").await.unwrap(), "");
    let wide = [&sessions[..], &["memory.read", "memory.write"]].concat();
    let wide = key(&gateway, "default", "clerk", &wide).await;
    let given = say(&wide, "!memory pin").await.unwrap();
    assert!(given.contains("4711"), "{given}");
    // What the session's own scope has reaches every turn of it.
    let own = RememberRequest {
        session_key: "main".into(),
        content: "the session's own pin is 12".into(),
        ..Default::default()
    };
    operator.remember(own).await.expect("remembered");
    let given = say(&narrow, "!memory pin").await.unwrap();
    assert!(
        given.contains("pin is 12") && !given.contains("4711"),
        "{given}"
    );
}
