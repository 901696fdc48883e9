//! What is true of the whole server: its bounds, its primary session, health and reflection (§2, §4, §6).

use crate::world::*;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

const SERVICE: &str = "quarterdeck.v1.GatewayService";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn streams_and_sessions_are_bounded() {
    let mut gateway = Gateway::with(config("max_streams = 2\nmax_sessions = 2\n"));
    let mut client = gateway.client().await;
    let watch = client
        .watch_sessions(proto::WatchSessionsRequest::default())
        .await
        .expect("watched")
        .into_inner();
    let follow = Follow::live(&mut client, "main").await;
    let request = || proto::SubscribeRequest {
        session_key: "main".into(),
        ..Default::default()
    };
    let details = refused(
        client.subscribe(request()).await,
        Code::ResourceExhausted,
        "TOO_MANY_STREAMS",
    );
    assert_eq!(fact(&details, "limit"), "2");
    let run_request = |key: &str| proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: key.into(),
            text: "x".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    refused(
        client.run(run_request("one")).await,
        Code::ResourceExhausted,
        "TOO_MANY_STREAMS",
    );
    assert!(
        !exists(&mut client, "one").await,
        "what can't be followed is not run"
    );
    drop((watch, follow));
    soon(async {
        while client.subscribe(request()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    run(&mut client, "one", "x").await;
    for refusal in [
        enqueue(&mut client, "two", "x").await.map(|_| ()),
        call!(client.create_session(CreateSessionRequest { session_key: "two" })).map(|_| ()),
        call!(client.fork_session(ForkSessionRequest {
            session_key: "one",
            new_session_key: "two"
        }))
        .map(|_| ()),
    ] {
        let details = refused(refusal, Code::ResourceExhausted, "TOO_MANY_SESSIONS");
        assert_eq!(fact(&details, "limit"), "2");
    }
    run(&mut client, "one", "still served").await;
    ok!(client.delete_session(DeleteSessionRequest { session_key: "one" }));
    ok!(client.create_session(CreateSessionRequest { session_key: "two" }));
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_disk_refuses_new_turns_and_lets_the_rest_commit() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    let key = "full";
    run(&mut client, key, "x").await;
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    gateway.set_environment("QUARTERDECK_DISK_RESERVE", "1TiB");
    gateway.restart();
    let mut client = gateway.client().await;
    let head = session(&mut client, key).await.head_seq;
    for refusal in [
        enqueue(&mut client, key, "x").await.map(|_| ()),
        steer(&mut client, key, "x").await.map(|_| ()),
        call!(client.create_session(CreateSessionRequest { session_key: "new" })).map(|_| ()),
        call!(client.fork_session(ForkSessionRequest {
            session_key: key,
            new_session_key: "new"
        }))
        .map(|_| ()),
    ] {
        refused(refusal, Code::ResourceExhausted, "STORAGE_FULL");
    }
    assert_eq!(session(&mut client, key).await.head_seq, head);
    assert!(!abort(&mut client, key).await.aborted);
    ok!(client.reset(ResetRequest { session_key: key }));
    ok!(client.delete_session(DeleteSessionRequest { session_key: key }));
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_primary_session_is_there_from_the_start() {
    let mut gateway = Gateway::with(config(
        "primary_session = \"captain\"\ndefault_agent = \"other\"\n[agents.other]\ndriver = \"echo\"\n",
    ));
    let mut client = gateway.client().await;
    let primary = session(&mut client, "captain").await;
    assert!(primary.primary && primary.agent == "other");
    assert!(!exists(&mut client, "main").await);
    let answer = call!(client.delete_session(DeleteSessionRequest {
        session_key: "captain"
    }));
    refused(answer, Code::FailedPrecondition, "PRIMARY_SESSION");
    assert_eq!(
        run(&mut client, "captain", "aye").await.response_text,
        "aye"
    );
    run(&mut client, "crew", "x").await;
    assert!(!session(&mut client, "crew").await.primary);
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reads_neither_wake_nor_count_as_activity() {
    let (_server, mut client) = shared().await;
    let key = "server.reads";
    run(&mut client, key, "x").await;
    let before = session(&mut client, key).await;
    ok!(client.get_session_state(GetSessionStateRequest { session_key: key }));
    ok!(client.list_messages(ListMessagesRequest { session_key: key }));
    ok!(client.read_events(ReadEventsRequest { session_key: key }));
    ok!(client.list_queue(ListQueueRequest { session_key: key }));
    Follow::live(&mut client, key).await;
    assert_eq!(session(&mut client, key).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn health_is_told_overall_and_per_service() {
    let (server, _client) = shared().await;
    let mut health = HealthClient::new(channel(server.address()).await);
    for service in ["", SERVICE] {
        let answer = health
            .check(HealthCheckRequest {
                service: service.into(),
            })
            .await
            .expect("known");
        assert_eq!(
            answer.into_inner().status(),
            ServingStatus::Serving,
            "{service}"
        );
    }
    let unknown = health
        .check(HealthCheckRequest {
            service: "nobody".into(),
        })
        .await;
    assert_eq!(unknown.expect_err("unknown").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reflection_lists_the_services_in_both_versions() {
    let (server, _client) = shared().await;
    macro_rules! services {
        ($version:ident) => {{
            let mut client = $version::server_reflection_client::ServerReflectionClient::new(channel(server.address()).await);
            let request = $version::ServerReflectionRequest {
                message_request: Some($version::server_reflection_request::MessageRequest::ListServices(String::new())),
                ..Default::default()
            };
            let answers = client.server_reflection_info(tokio_stream::once(request)).await;
            let answer = answers.expect("served").into_inner().message().await.expect("served").expect("one");
            match answer.message_response {
                Some($version::server_reflection_response::MessageResponse::ListServicesResponse(list)) => {
                    list.service.into_iter().map(|s| s.name).collect::<Vec<_>>()
                }
                other => panic!("{other:?}"),
            }
        }};
    }
    for listed in [services!(v1), services!(v1alpha)] {
        assert!(listed.iter().any(|name| name == SERVICE), "{listed:?}");
        assert!(
            listed.iter().any(|name| name == "grpc.health.v1.Health"),
            "{listed:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_whose_turns_only_wait_is_idle_and_busy() {
    let mut gateway = Gateway::with(config("max_running_turns = 1\ndrain_timeout = \"0s\"\n"));
    let mut client = gateway.client().await;
    start(&mut client, "first", "!hang x").await;
    let key = "second";
    let one = queue(&mut client, key, "one").await;
    let now = session(&mut client, key).await;
    assert_eq!(
        (now.state(), now.queue_depth, now.active_turn_id.as_str()),
        (proto::SessionState::Idle, 1, "")
    );
    let on_busy = proto::OnBusy::Reject;
    let busy = call!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        on_busy: on_busy
    }));
    let details = refused(busy, Code::FailedPrecondition, "SESSION_BUSY");
    assert_eq!(
        fact(&details, "active_turn_id"),
        one,
        "the one that is next"
    );
    let on_busy = proto::OnBusy::Interrupt;
    let first = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "first",
        on_busy: on_busy
    }));
    let first = first.turn.expect("a turn").turn_id;
    let on_busy = proto::OnBusy::SteerOrEnqueue;
    let last = ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "last",
        on_busy: on_busy
    }));
    assert_eq!(
        (last.mode(), last.queue_position),
        (proto::AdmissionMode::Queued, 2)
    );
    let last = last.turn.expect("a turn").turn_id;
    let order = [first, one, last];
    assert_eq!(waiting(&mut client, key).await, order);
    let idle = abort(&mut client, key).await;
    assert!(!idle.aborted && idle.turn.is_none());
    assert_eq!(
        waiting(&mut client, key).await,
        order,
        "an abort of nothing takes nothing"
    );
    let filter = proto::SessionFilter {
        states: vec![proto::SessionState::Idle.into()],
        ..Default::default()
    };
    let listed = ok!(client.list_sessions(ListSessionsRequest { filter: filter })).sessions;
    assert!(listed.iter().any(|s| s.session_key == key));
    let reset = ok!(client.reset(ResetRequest { session_key: key }));
    assert_eq!(reset.rejected_turn_ids, order);
    let next = queue(&mut client, key, "!history").await;
    let cleared = ok!(client.abort(AbortRequest {
        session_key: key,
        clear_queue: true
    }));
    assert_eq!(
        (cleared.aborted, &cleared.cleared_turn_ids[..]),
        (false, &[next][..])
    );
    let next = queue(&mut client, key, "!history").await;
    abort(&mut client, "first").await;
    assert_eq!(await_turn(&mut client, key, &next).await.response_text, "0");
    gateway.check_store();
}
