//! The server tells what it found, and what it can't keep apart it does not serve.

use crate::{
    support::reason,
    world::{Caller, request, start_with},
};
use quarterdeck::proto;
use tonic::Code;

async fn info(caller: &Caller) -> proto::GetServerInfoResponse {
    let mut service = caller.service();
    let asked = service.get_server_info(proto::GetServerInfoRequest {});
    asked.await.expect("it is told").into_inner()
}

/// A key for somebody of another tenant.
async fn stranger(operator: &Caller) -> Caller {
    let wish = proto::CreateApiKeyRequest {
        tenant: "acme".into(),
        subject: "bob".into(),
        ..request(&["session.read", "session.write"])
    };
    operator.as_key(&operator.make(wish).await.expect("a key").secret)
}

fn prompt(agent: &str) -> proto::EnqueueRequest {
    proto::EnqueueRequest {
        session_key: format!("of-{agent}"),
        text: "hello".into(),
        agent: agent.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn the_server_tells_how_agents_are_kept_apart() {
    let gateway = start_with(&[], "");
    let operator = Caller::admin(&gateway).await;
    let told = info(&operator).await;
    let isolation = told.isolation.expect("it is always told");
    assert_eq!(
        (
            isolation.rung.as_str(),
            isolation.kill_proof.as_str(),
            isolation.network.as_str()
        ),
        ("namespace", "pid namespace", "open")
    );
    let own = rustix::process::geteuid().is_root();
    assert_eq!(isolation.user, if own { "own" } else { "shared" });
    let of = |name: &str| told.agents.iter().find(|agent| agent.name == name).cloned();
    assert_eq!(of("pi").expect("it always is").isolation, "namespace");
    assert_eq!(of("echo").expect("it always is").isolation, "");
}

/// What older interfaces lack decides which rungs hold, so the version is the kernel's, not the newest that is known here.
#[tokio::test]
async fn the_version_of_landlock_that_is_told_is_the_kernels() {
    // landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), of the same number on each architecture.
    let ask = "import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))";
    let asked = std::process::Command::new("python3")
        .args(["-c", ask])
        .output()
        .expect("python3 runs");
    let version: i32 = String::from_utf8_lossy(&asked.stdout)
        .trim()
        .parse()
        .expect("a number");
    let gateway = start_with(&[], "");
    let operator = Caller::admin(&gateway).await;
    let told = info(&operator).await.isolation.expect("it is always told");
    assert_eq!(told.landlock_abi, version.max(0));
}

#[tokio::test]
async fn without_isolation_agents_serve_the_operators_tenant_alone() {
    let gateway = start_with(&[], "isolation = \"none\"\n");
    let operator = Caller::admin(&gateway).await;
    let told = info(&operator).await.isolation.expect("it is always told");
    assert_eq!(told.rung, "none");
    assert!(told.reason.contains("configured"), "{told:?}");
    let stranger = stranger(&operator).await;
    // What names steps and settings of the machine is the operator's to know.
    assert_eq!(info(&stranger).await.isolation.expect("told").reason, "");

    let refused = stranger.gateway().enqueue(prompt("pi")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert_eq!(reason(&refused), "ISOLATION_REQUIRED");
    // It starts no process.
    stranger
        .gateway()
        .enqueue(prompt("echo"))
        .await
        .expect("it runs");
    operator
        .gateway()
        .enqueue(prompt("pi"))
        .await
        .expect("it is admitted");
}

#[tokio::test]
async fn both_words_spoken_share_the_agents_user() {
    let gateway = start_with(
        &[],
        "isolation = \"none\"\ntenants_share_agents_user = true\n",
    );
    let operator = Caller::admin(&gateway).await;
    let stranger = stranger(&operator).await;
    stranger
        .gateway()
        .enqueue(prompt("pi"))
        .await
        .expect("it is admitted");
}
