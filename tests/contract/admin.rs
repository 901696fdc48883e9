//! The server itself: what runs here, how it is set, and telling clients to read again.

use crate::world::*;
use proto::admin_service_client::AdminServiceClient;
use std::collections::BTreeMap;
use tonic::transport::Channel;

type Admin = AdminServiceClient<Channel>;

async fn admin(gateway: &Gateway) -> Admin {
    AdminServiceClient::connect(gateway.address.clone())
        .await
        .expect("the server accepts")
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    owned.collect()
}

async fn shown(admin: &mut Admin, key: &str) -> proto::ConfigValue {
    let mut found = ok!(admin.get_config(GetConfigRequest {
        keys: vec![key.to_owned()]
    }))
    .values;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[tokio::test]
async fn the_server_tells_what_runs_here() {
    let gateway = Gateway::with(config("retention_events = 77\ndefault_agent = \"echo\"\n"));
    let mut admin = admin(&gateway).await;
    let info = ok!(admin.get_server_info(GetServerInfoRequest {}));
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(info.default_agent, "echo");
    assert_eq!(info.retention.expect("told").events, 77);
    assert!(!info.draining);
    let agents: Vec<_> = info
        .agents
        .iter()
        .map(|agent| (agent.name.as_str(), agent.driver.as_str(), agent.can_steer))
        .collect();
    assert_eq!(agents, [("echo", "echo", true), ("pi", "pi", true)]);
    let limits = info.limits.expect("told");
    assert_eq!(limits.queue_turns_per_session, 32);
    assert_eq!(limits.message_bytes, 1 << 20);
    let again = ok!(admin.get_server_info(GetServerInfoRequest {}));
    assert_eq!(info.store_id, again.store_id);
}

#[tokio::test]
async fn a_key_is_changed_while_the_server_runs_and_stays_so_over_a_restart() {
    let mut gateway = Gateway::with(config("max_streams = 50\n"));
    let mut client = gateway.client().await;
    let mut admin = admin(&gateway).await;
    let before = shown(&mut admin, "max_streams").await;
    assert_eq!(
        (before.value_toml.as_str(), before.updated, before.updatable),
        ("50", false, true)
    );
    let _follow = Follow::live(&mut client, "main").await;

    let checked = ok!(admin.update_config(UpdateConfigRequest {
        values: values(&[("max_streams", "1")]),
        validate_only: true,
    }));
    assert_eq!(checked.values[0].value_toml, "1");
    assert_eq!(
        shown(&mut admin, "max_streams").await,
        before,
        "only checked"
    );

    ok!(admin.update_config(UpdateConfigRequest {
        values: values(&[("max_streams", "1")])
    }));
    let refusal = refused_soon(&mut client).await;
    assert_eq!(fact(&refusal, "limit"), "1");

    gateway.terminate();
    gateway.wait();
    gateway.restart();
    let mut admin = self::admin(&gateway).await;
    let kept = shown(&mut admin, "max_streams").await;
    assert_eq!((kept.value_toml.as_str(), kept.updated), ("1", true));
    let cleared = ok!(admin.update_config(UpdateConfigRequest {
        clear: vec!["max_streams".to_owned()]
    }));
    assert_eq!(
        (
            cleared.values[0].value_toml.as_str(),
            cleared.values[0].updated
        ),
        ("50", false)
    );
}

/// A second stream is refused once the change has reached the feed.
async fn refused_soon(client: &mut Client) -> tonic_types::ErrorDetails {
    soon(async {
        loop {
            let request = proto::SubscribeRequest {
                session_key: "main".into(),
                ..Default::default()
            };
            if let Err(status) = client.subscribe(request).await {
                return refused::<()>(Err(status), Code::ResourceExhausted, "TOO_MANY_STREAMS");
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn what_may_not_change_or_does_not_fit_changes_nothing() {
    let gateway = Gateway::start();
    let mut admin = admin(&gateway).await;
    let all = ok!(admin.get_config(GetConfigRequest {})).values;
    for (key, value, problem) in [
        ("data_dir", "/tmp/other", "while the server runs"),
        ("listen", "0.0.0.0:1", "while the server runs"),
        ("no_such_key", "1", "no such key"),
        ("max_streams", "0", "must be from 1"),
        ("turn_timeout", "soon", "expected"),
        ("max_running_turns", "100000", "max_running_turns"),
    ] {
        let request = proto::UpdateConfigRequest {
            values: values(&[(key, value), ("queue_limit_turns", "7")]),
            ..Default::default()
        };
        let details = refused(
            admin.update_config(request).await,
            Code::InvalidArgument,
            "INVALID_FIELD",
        );
        let bad = details
            .bad_request()
            .expect("fields are named")
            .field_violations
            .clone();
        assert!(
            bad.iter().any(|one| one.description.contains(problem)),
            "{bad:?}"
        );
    }
    assert_eq!(ok!(admin.get_config(GetConfigRequest {})).values, all);
    // Agents, their programs and their environments are no keys at all.
    refused(
        call!(admin.get_config(GetConfigRequest {
            keys: vec!["agents".to_owned()]
        })),
        Code::InvalidArgument,
        "INVALID_FIELD",
    );
    assert!(all.iter().all(|value| !value.description.is_empty()));
}

/// FEATURES 6.2 9.
#[tokio::test]
async fn every_listener_is_told_to_read_again_once() {
    let gateway = Gateway::start();
    let mut client = gateway.client().await;
    let mut admin = admin(&gateway).await;
    run(&mut client, "a", "hi").await;
    let mut one = Follow::live(&mut client, "a").await;
    let mut other = Follow::live(&mut client, "main").await;
    let told = ok!(admin.broadcast_reload(BroadcastReloadRequest {
        reason: "new prompts"
    }));
    assert_eq!(told.agents, 1, "the agent of session a is awake");
    for follow in [&mut one, &mut other] {
        let Some(Kind::Reload(reload)) = follow.until("reload").await.kind else {
            panic!("asked for")
        };
        assert_eq!(reload.reason, "new prompts");
    }
    // Who comes later has read what is there now.
    let mut late = Follow::live(&mut client, "a").await;
    enqueue(&mut client, "a", "again").await.expect("accepted");
    late.until("turn_ended").await;
    one.until("turn_ended").await;
    let reloads = |follow: &Follow| {
        follow
            .seen
            .iter()
            .filter(|event| kind(event) == "reload")
            .count()
    };
    assert_eq!((reloads(&one), reloads(&late)), (1, 0));
}

/// No call can name a program, its arguments, its environment or a path, but for `cwd`, which is held against the
/// agent's `cwd_roots`, and for files that are read beneath a session's directory: who may call must never be who may run.
/// A webhook's address is held against what may be reached. What a worker says is no request: it tells what ran.
#[test]
fn no_request_has_a_field_for_a_program_a_path_or_an_environment() {
    let pool =
        prost_reflect::DescriptorPool::decode(proto::DESCRIPTORS).expect("the build made them");
    let mut seen = std::collections::BTreeSet::new();
    let mut open: Vec<_> = pool
        .services()
        .flat_map(|service| {
            service
                .methods()
                .filter(|method| method.full_name() != "quarterdeck.v1.WorkerService.Connect")
                .map(|method| method.input())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(open.len() > 30);
    while let Some(message) = open.pop() {
        if !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        for field in message.fields() {
            let name = field.name();
            let words = [
                "command", "program", "exec", "arg", "env", "path", "dir", "file", "shell", "url",
            ];
            let suspicious = words
                .iter()
                .any(|word| name.split('_').any(|part| part.starts_with(word)));
            let guarded = [
                "ListFilesRequest.path",
                "ReadFileRequest.path",
                "Webhook.url",
            ];
            let guarded = guarded.contains(&format!("{}.{name}", message.name()).as_str());
            // What goes after a command's name is text for the agent.
            let known = guarded || ["args_json", "paths", "arguments"].contains(&name);
            assert!(!suspicious || known, "{}.{name}", message.full_name());
            open.extend(field.kind().as_message().cloned());
        }
    }
    assert!(seen.contains("quarterdeck.v1.EnqueueRequest"));
}
