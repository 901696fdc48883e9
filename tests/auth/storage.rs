//! What is stored is counted per principal and tenant, and bounded.

use crate::{
    support::{SOON, reason},
    world::{Caller, assert_over, start_with},
};
use quarterdeck::proto;
use std::time::Duration;
use tonic::Status;

const SCOPES: [&str; 6] = [
    "session.read",
    "session.write",
    "session.steer",
    "session.abort",
    "session.reset",
    "memory.read",
];
const MIB: i64 = 1 << 20;

async fn member(admin: &Caller, tenant: &str, subject: &str) -> Caller {
    admin.member(tenant, subject, &SCOPES).await
}

async fn enqueue(
    caller: &Caller,
    key: &str,
    text: &str,
    attachment: Vec<u8>,
) -> Result<proto::Turn, Status> {
    let attachment = (!attachment.is_empty()).then(|| proto::Attachment {
        name: "a".into(),
        media_type: "application/octet-stream".into(),
        data: attachment.into(),
    });
    caller
        .accept(proto::EnqueueRequest {
            session_key: key.into(),
            text: text.into(),
            attachments: attachment.into_iter().collect(),
            ..Default::default()
        })
        .await
}

async fn ended(caller: &Caller, key: &str, turn: &proto::Turn) -> proto::Turn {
    let request = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: turn.turn_id.clone(),
        wait: None,
        or_question: false,
    };
    let answer = tokio::time::timeout(SOON, caller.gateway().await_turn(request)).await;
    let answer = answer.expect("in time").expect("it ends").into_inner();
    answer.turn.expect("a turn")
}

/// Bytes of the caller, and of its tenant.
async fn stored(caller: &Caller) -> (i64, i64) {
    let who = caller.who().await.expect("it answers");
    (who.stored_bytes, who.tenant_stored_bytes)
}

fn assert_full(refused: Result<impl std::fmt::Debug, Status>, of: &str, limit: i64) {
    let refused = refused.expect_err("nothing more is stored");
    assert_over(&refused, "TOO_MANY_BYTES", of, limit);
}

/// New work is refused where the bound is met, whatever it is; what runs ends, what stops and removes is served, and a
/// Delete gives the bytes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_principal_stores_is_bounded() {
    let config = "principal_max_bytes = \"1MiB\"\ndrain_timeout = \"0s\"\n";
    let mut gateway = start_with(&[], config);
    let admin = Caller::admin(&gateway).await;
    let ann = member(&admin, "acme", "ann").await;
    let bob = member(&admin, "acme", "bob").await;
    assert_eq!(stored(&ann).await, (0, 0));
    let first = enqueue(&ann, "s", "hello", Vec::new()).await.expect("room");
    ended(&ann, "s", &first).await;
    let (small, of_tenant) = stored(&ann).await;
    assert!(small > 100 && small < 10_000, "{small}");
    assert_eq!(of_tenant, small);
    let session = |key: &str| proto::CreateSessionRequest {
        session_key: key.into(),
        ..Default::default()
    };
    ann.gateway()
        .create_session(session("other"))
        .await
        .expect("room");
    let waiting = enqueue(&ann, "held", "!hang x", Vec::new())
        .await
        .expect("room");
    let queued = enqueue(&ann, "held", "waits", Vec::new())
        .await
        .expect("room");
    // One that is larger than the bound is refused before it is stored.
    let large = enqueue(&ann, "s", "x", vec![7; MIB as usize]).await;
    assert_full(large, "principal", MIB);
    // A running turn ends with all that it says, also beyond the bound.
    let long = enqueue(&ann, "s", "!repeat=200000 0123456", Vec::new()).await;
    let long = ended(&ann, "s", &long.expect("there is room for the prompt")).await;
    assert_eq!(long.state(), proto::TurnState::Completed);
    let (full, of_tenant) = stored(&ann).await;
    assert!(full > MIB, "{full}");
    assert_eq!(of_tenant, full);

    assert_full(enqueue(&ann, "s", "x", Vec::new()).await, "principal", MIB);
    assert_full(
        enqueue(&ann, "new", "x", Vec::new()).await,
        "principal",
        MIB,
    );
    assert_full(
        ann.gateway().create_session(session("more")).await,
        "principal",
        MIB,
    );
    let run = proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: "s".into(),
            text: "x".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_full(ann.gateway().run(run).await.map(drop), "principal", MIB);
    let steer = proto::SteerRequest {
        session_key: "held".into(),
        text: "x".into(),
        ..Default::default()
    };
    assert_full(ann.gateway().steer(steer).await, "principal", MIB);
    let fork = proto::ForkSessionRequest {
        session_key: "s".into(),
        new_session_key: "fork".into(),
        ..Default::default()
    };
    assert_full(ann.gateway().fork_session(fork).await, "principal", MIB);
    let update = proto::UpdateQueuedRequest {
        session_key: "held".into(),
        turn_id: queued.turn_id.clone(),
        text: Some("x".into()),
        ..Default::default()
    };
    assert_full(ann.gateway().update_queued(update).await, "principal", MIB);
    let named = proto::UpdateSessionRequest {
        session_key: "s".into(),
        session: Some(proto::SessionSnapshot {
            display_name: "a name".into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["display_name".into()],
        }),
        ..Default::default()
    };
    assert_full(ann.gateway().update_session(named).await, "principal", MIB);

    // Others are not held up, and what stops or removes is served.
    let of_bob = enqueue(&bob, "b", "hello", Vec::new())
        .await
        .expect("bob has room");
    ended(&bob, "b", &of_bob).await;
    let abort = proto::AbortRequest {
        session_key: "held".into(),
        clear_queue: true,
        ..Default::default()
    };
    let aborted = ann.gateway().abort(abort).await.expect("stops are served");
    assert!(aborted.into_inner().aborted);
    assert_eq!(
        ended(&ann, "held", &waiting).await.state(),
        proto::TurnState::Canceled
    );
    let reset = proto::ResetRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    ann.gateway().reset(reset).await.expect("resets are served");
    let delete = proto::DeleteSessionRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    ann.gateway()
        .delete_session(delete)
        .await
        .expect("deletes are served");
    tokio::time::timeout(SOON, async {
        while stored(&ann).await.0 > MIB / 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("a Delete gives the bytes back");
    enqueue(&ann, "s", "again", Vec::new())
        .await
        .expect("there is room again");

    // The command line and GetServerInfo show it.
    let (principal, tenant) = admin.account_limits().await;
    assert_eq!(principal.stored_bytes, MIB);
    assert_eq!(tenant.stored_bytes, 64 << 30);
    gateway.check_store();
}

/// A tenant's bound counts all its principals; a fork counts its copy, attachments too; the counts outlive a restart, and
/// the bound may change while the server runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_tenant_stores_is_bounded_and_a_fork_counts_its_copy() {
    let config = "tenant_max_bytes = \"1MiB\"\ndrain_timeout = \"0s\"\n";
    let mut gateway = start_with(&[], config);
    let admin = Caller::admin(&gateway).await;
    let ann = member(&admin, "acme", "ann").await;
    let bob = member(&admin, "acme", "bob").await;
    let stranger = member(&admin, "other", "cid").await;
    let turn = enqueue(&ann, "s", "hello", vec![7; 300 << 10])
        .await
        .expect("room");
    ended(&ann, "s", &turn).await;
    let once = stored(&ann).await.0;
    assert!(once > 300 << 10 && once < 320 << 10, "{once}");
    // The same content again is kept once.
    let turn = enqueue(&ann, "s", "hello", vec![7; 300 << 10])
        .await
        .expect("room");
    ended(&ann, "s", &turn).await;
    let twice = stored(&ann).await.0;
    assert!(twice < once + (10 << 10), "{once} {twice}");
    let fork = |new: &str| proto::ForkSessionRequest {
        session_key: "s".into(),
        new_session_key: new.into(),
        ..Default::default()
    };
    ann.gateway()
        .fork_session(fork("copy"))
        .await
        .expect("room");
    let copied = stored(&ann).await.0;
    assert!(copied > twice + (300 << 10), "{twice} {copied}");
    let turn = enqueue(&bob, "b", "hello", vec![8; 300 << 10])
        .await
        .expect("room");
    ended(&bob, "b", &turn).await;
    let (of_bob, of_tenant) = stored(&bob).await;
    assert_eq!(of_tenant, of_bob + copied);
    let larger = enqueue(&bob, "b", "x", vec![9; 300 << 10]).await;
    assert_full(larger, "tenant", MIB);
    assert_full(
        ann.gateway().fork_session(fork("copy2")).await,
        "tenant",
        MIB,
    );
    enqueue(&stranger, "s", "x", vec![9; 300 << 10])
        .await
        .expect("another tenant");

    gateway.kill();
    gateway.restart();
    let admin = Caller::admin(&gateway).await;
    let bob = member(&admin, "acme", "bob").await;
    assert_eq!(stored(&bob).await, (of_bob, of_tenant));
    let set = proto::UpdateConfigRequest {
        values: [("tenant_max_bytes".to_owned(), "2MiB".to_owned())].into(),
        ..Default::default()
    };
    admin
        .service()
        .update_config(set)
        .await
        .expect("it is live");
    tokio::time::timeout(SOON, async {
        while let Err(refused) = enqueue(&bob, "b", "x", vec![9; 300 << 10]).await {
            assert_eq!(reason(&refused), "TOO_MANY_BYTES");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the new bound is taken");
    gateway.check_store();
}
