//! One record for each mutating call through whichever door, for what is worth knowing of others, and none that a flood, a
//! neighbour or a setting could take away.

use crate::{
    callers::{self, Caller, Wire},
    world::*,
};
use quarterdeck::grpc::methods::{METHODS, Method};
use tonic::client::Grpc;
use tonic_prost::ProstCodec;

/// Calls a method with a message without fields; streams are left at once.
async fn call(channel: &Channel, method: &'static Method) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("connected");
    let path = http::uri::PathAndQuery::from_static(method.path);
    let codec: ProstCodec<(), ()> = ProstCodec::default();
    let request = Request::new(());
    if method.streams {
        soon(grpc.server_streaming(request, path, codec))
            .await
            .map(drop)
    } else {
        soon(grpc.unary(request, path, codec)).await.map(drop)
    }
}

/// Every mutating call leaves exactly one record, whatever its outcome; a call that only reads leaves none.
#[tokio::test]
async fn each_mutating_call_leaves_one_record_and_reading_ones_leave_none() {
    let gateway = Gateway::start();
    let channel = Channel::from_shared(gateway.address.clone())
        .expect("an address")
        .connect()
        .await
        .expect("the server accepts");
    for method in &METHODS {
        let answer = call(&channel, method).await;
        if let Err(status) = answer {
            assert_ne!(status.code(), Code::Unavailable, "{}", method.path);
        }
    }
    let mut wanted: Vec<&str> = METHODS
        .iter()
        .filter(|method| method.mutates)
        .map(Method::full_name)
        .collect();
    wanted.sort_unstable();
    let records = read(&mut admin(&gateway).await, audit()).await;
    let mut audited: Vec<&str> = records.iter().map(|it| field(it, "method")).collect();
    audited.sort_unstable();
    assert_eq!(audited, wanted);
    for record in &records {
        assert_eq!(record.target, "audit");
        assert_eq!(field(record, "principal"), "default/local");
        assert_ne!(field(record, "outcome"), "");
    }
}

/// A record says who did what to which session, from where, in which trace, and how it ended.
#[tokio::test]
async fn a_record_tells_who_did_what() {
    let gateway = Gateway::start();
    let mut client = gateway.client().await;
    let mut request = Request::new(proto::EnqueueRequest {
        session_key: "told".into(),
        text: "hi".into(),
        ..Default::default()
    });
    let traceparent = format!("00-{TRACE_ID}-{SPAN_ID}-01");
    request
        .metadata_mut()
        .insert("traceparent", traceparent.parse().expect("ASCII"));
    client.enqueue(request).await.expect("accepted");
    assert_eq!(clear(&mut client, "nobody").await.code(), Code::NotFound);

    let records = read(&mut admin(&gateway).await, audit()).await;
    let [done, refused] = &records[..] else {
        panic!("{records:?}")
    };
    for (record, facts) in [
        (
            done,
            [
                ("method", "quarterdeck.v1.GatewayService/Enqueue"),
                ("session_key", "told"),
                ("outcome", "ok"),
                ("reason", ""),
                ("principal", "default/local"),
                ("credential", "none"),
                ("trace_id", TRACE_ID),
            ],
        ),
        (
            refused,
            [
                ("method", "quarterdeck.v1.GatewayService/ClearQueue"),
                ("session_key", "nobody"),
                ("outcome", "NOT_FOUND"),
                ("reason", "SESSION_NOT_FOUND"),
                ("principal", "default/local"),
                ("credential", "none"),
                ("trace_id", field(refused, "trace_id")),
            ],
        ),
    ] {
        for (name, value) in facts {
            assert_eq!(field(record, name), value, "{name} of {record:?}");
        }
        assert_eq!(record.level(), LogLevel::Info);
        assert!(
            field(record, "peer").starts_with("127.0.0.1:"),
            "{record:?}"
        );
        assert!(field(record, "duration_us").parse::<u64>().is_ok());
    }
    // A call without a trace begins one.
    assert_eq!(field(refused, "trace_id").len(), 32);
    assert_ne!(field(refused, "trace_id"), TRACE_ID);
}

/// Waits until the session `left` is in a state.
async fn until(watched: &mut Streaming<proto::SessionSnapshot>, state: proto::SessionState) {
    loop {
        let session = watched.message().await.expect("it follows");
        let session = session.expect("it follows");
        if session.session_key == "left" && session.state() == state {
            return;
        }
    }
}

/// Who leaves before the answer is recorded too: what it asked for may have been done.
#[tokio::test]
async fn a_caller_that_leaves_is_recorded() {
    let gateway = Gateway::start();
    let mut client = gateway.client().await;
    let turn = enqueue(&mut client, "left", "!stubborn !hang").await;
    turn.expect("accepted");
    let mut watched = client
        .watch_sessions(proto::WatchSessionsRequest::default())
        .await
        .expect("watched")
        .into_inner();
    soon(until(&mut watched, proto::SessionState::Running)).await;
    // The agent ignores the soft stop, so that Abort waits for its grace.
    let mut second = gateway.client().await;
    let waiting = tokio::spawn(async move {
        let request = proto::AbortRequest {
            session_key: "left".into(),
            grace: Some(prost_types::Duration {
                seconds: 20,
                nanos: 0,
            }),
            ..Default::default()
        };
        second.abort(request).await
    });
    soon(until(&mut watched, proto::SessionState::Canceling)).await;
    waiting.abort();
    let mut admin = admin(&gateway).await;
    let record = record_with(&mut admin, |record| {
        field(record, "method").ends_with("/Abort")
    })
    .await;
    assert_eq!(field(&record, "outcome"), "CANCELLED");
    assert_eq!(field(&record, "session_key"), "left");
}

/// What a caller with a credential may see of the audit.
async fn audit_of(caller: &Caller) -> Vec<LogRecord> {
    let mut stream = caller
        .service()
        .tail_logs(audit())
        .await
        .expect("taken")
        .into_inner();
    let mut records = Vec::new();
    while let Some(record) = soon(stream.message()).await.expect("it ends well") {
        records.push(record);
    }
    records
}

fn of_method<'a>(records: &'a [LogRecord], method: &str) -> Vec<&'a LogRecord> {
    let fits = |record: &&LogRecord| field(record, "method").ends_with(method);
    records.iter().filter(fits).collect()
}

/// Strangers leave a bounded summary: a flood of them pushes nothing out, and is told with its address and reason.
#[tokio::test]
async fn refused_credentials_are_told_in_a_bounded_summary() {
    const CALLS: usize = 400;
    let gateway = callers::start_with(&[("QUARTERDECK_AUTH_FAILURES_PER_MINUTE", "0")], "");
    let operator = Caller::admin(&gateway).await;
    operator.make_key(&["session.read"]).await;
    let stranger = Caller::with_key(&gateway, "qdk_none_0000000000000000000000_0").await;
    let nobody = Caller::with_header(&gateway, None).await;
    for _ in 0..CALLS {
        let refused = stranger.who().await.expect_err("no such key");
        assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
    }
    let refused = nobody.who().await.expect_err("no key");
    assert_eq!(reason(&refused), "CREDENTIALS_MISSING");

    let records = audit_of(&operator).await;
    assert_eq!(of_method(&records, "/CreateApiKey").len(), 1);
    let told: Vec<_> = records
        .iter()
        .filter(|it| field(it, "outcome") == "UNAUTHENTICATED")
        .collect();
    for why in ["CREDENTIALS_INVALID", "CREDENTIALS_MISSING"] {
        let of_reason: Vec<_> = told
            .iter()
            .filter(|it| field(it, "reason") == why)
            .collect();
        assert!(
            (1..=4).contains(&of_reason.len()),
            "{CALLS} calls left {of_reason:?}"
        );
        assert_eq!(field(of_reason[0], "peer"), "127.0.0.1");
    }
}

/// What was counted is told at the end too, so that no stop of the server hides it.
#[tokio::test]
async fn counts_are_told_before_the_server_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("audit.jsonl");
    let mut gateway = callers::start_with(
        &[("QUARTERDECK_AUDIT_FILE", file.to_str().expect("UTF-8"))],
        "",
    );
    let stranger = Caller::with_key(&gateway, "qdk_none_0000000000000000000000_0").await;
    for _ in 0..7 {
        stranger.who().await.expect_err("no such key");
    }
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    let text = std::fs::read_to_string(&file).expect("written");
    let counts: u64 = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter(|line| line["fields"]["outcome"] == "UNAUTHENTICATED")
        .map(|line| {
            let count = line["fields"]["count"].as_str().expect("a text");
            count.parse::<u64>().expect("a number")
        })
        .sum();
    assert_eq!(counts, 7, "{text}");
}

/// `/mcp` is a door like the others.
#[tokio::test]
async fn tools_that_change_memory_leave_a_record() {
    let gateway = callers::start();
    let operator = Caller::admin(&gateway).await;
    let secret = operator
        .make_key(&["memory.read", "memory.write"])
        .await
        .secret;
    let call = |tool: &str, arguments: serde_json::Value| {
        let body = serde_json::json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": tool, "arguments": arguments },
        });
        post_mcp(&gateway, &secret, &body.to_string())
    };
    call(
        "memory_remember",
        serde_json::json!({ "content": "CANARY is blue" }),
    );
    call("memory_search", serde_json::json!({ "query": "blue" }));
    call("memory_forget", serde_json::json!({ "id": "nonsense" }));
    let records = audit_of(&operator).await;
    let of_door: Vec<(&str, &str, &str)> = records
        .iter()
        .filter(|it| field(it, "method").starts_with("mcp/"))
        .map(|it| {
            (
                field(it, "method"),
                field(it, "outcome"),
                field(it, "principal"),
            )
        })
        .collect();
    assert_eq!(
        of_door,
        [
            ("mcp/memory_remember", "ok", "default/local"),
            ("mcp/memory_forget", "INVALID_ARGUMENT", "default/local"),
        ]
    );
    assert!(!format!("{records:?}").contains("CANARY"), "{records:?}");
}

/// One request to `/mcp`.
fn post_mcp(gateway: &Gateway, key: &str, body: &str) -> String {
    use std::io::{Read as _, Write as _};
    let authority = gateway.address.strip_prefix("http://").expect("plain");
    let mut stream = std::net::TcpStream::connect(authority).expect("it accepts");
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// A secret that is shown leaves a record with its memory, and without its text; other reads of memory leave none.
#[tokio::test]
async fn a_revealed_secret_leaves_a_record() {
    let gateway = callers::start();
    let operator = Caller::admin(&gateway).await;
    let key = operator
        .make_key(&["memory.read", "memory.write"])
        .await
        .secret;
    let bearer = format!("Bearer {key}").parse::<tonic::metadata::MetadataValue<_>>();
    let bearer = callers::Bearer(Some(bearer.expect("visible")));
    let channel = Channel::from_shared(gateway.address.clone()).expect("an address");
    let channel = channel.connect().await.expect("it accepts");
    let wire: Wire = tonic::service::interceptor::InterceptedService::new(channel, bearer);
    let mut memory = proto::memory_service_client::MemoryServiceClient::new(wire);
    let kept = memory
        .remember(proto::RememberRequest {
            content: "CANARY".into(),
            kind: proto::MemoryKind::Secret.into(),
            ..Default::default()
        })
        .await
        .expect("kept")
        .into_inner();
    let id = kept.memory.expect("a memory").id;
    for reveal in [false, true] {
        let request = proto::GetMemoryRequest {
            id: id.clone(),
            reveal,
        };
        memory.get_memory(request).await.expect("found");
    }
    let nobodys = "00000000-0000-4000-8000-000000000000";
    let refused = memory
        .get_memory(proto::GetMemoryRequest {
            id: nobodys.into(),
            reveal: true,
        })
        .await
        .expect_err("no such memory");
    assert_eq!(refused.code(), Code::NotFound);
    let records = audit_of(&operator).await;
    let reveals: Vec<(&str, &str)> = of_method(&records, "/GetMemory")
        .into_iter()
        .map(|it| (field(it, "revealed"), field(it, "outcome")))
        .collect();
    assert_eq!(reveals, [(id.as_str(), "ok"), (nobodys, "NOT_FOUND")]);
    assert!(!format!("{records:?}").contains("CANARY"));
}

/// Who reads another's session by `tenant.sessions` leaves a record; who reads an own one, or one that is shared with it,
/// leaves none.
#[tokio::test]
async fn operators_who_read_others_sessions_leave_a_record() {
    let gateway = callers::start();
    let operator = Caller::admin(&gateway).await;
    let owner = operator
        .make(proto::CreateApiKeyRequest {
            subject: "owner".into(),
            ..callers::request(&["session.read", "session.write"])
        })
        .await
        .expect("a key");
    let owner = operator.as_key(&owner.secret);
    let create = |caller: &Caller, key: &str| {
        let request = proto::CreateSessionRequest {
            session_key: key.into(),
            ..Default::default()
        };
        let mut gateway = caller.gateway();
        async move { gateway.create_session(request).await.expect("made") }
    };
    create(&owner, "theirs").await;
    create(&operator, "own").await;
    let read = |caller: &Caller, key: &str| {
        let request = proto::GetSessionStateRequest {
            session_key: key.into(),
            ..Default::default()
        };
        let mut gateway = caller.gateway();
        async move { gateway.get_session_state(request).await.expect("read") }
    };
    for _ in 0..50 {
        read(&operator, "theirs").await;
    }
    read(&operator, "own").await;
    read(&owner, "theirs").await;
    let request = proto::ListMessagesRequest {
        session_key: "theirs".into(),
        ..Default::default()
    };
    operator
        .gateway()
        .list_messages(request)
        .await
        .expect("read");
    let request = proto::ListQueueRequest {
        session_key: "theirs".into(),
    };
    operator.gateway().list_queue(request).await.expect("read");
    operator
        .gateway()
        .list_sessions(proto::ListSessionsRequest::default())
        .await
        .expect("read");
    let records = audit_of(&operator).await;
    let reads: Vec<(&str, &str)> = records
        .iter()
        .filter(|it| field(it, "by") == "tenant.sessions")
        .map(|it| {
            let method = field(it, "method").rsplit('/').next().expect("a name");
            (method, field(it, "session_key"))
        })
        .collect();
    assert_eq!(
        reads,
        [
            ("GetSessionState", "theirs"),
            ("ListMessages", "theirs"),
            ("ListQueue", "theirs"),
            ("ListSessions", ""),
        ]
    );
}

/// No setting of what is logged, at the start or later, silences the audit: neither in memory nor at standard error.
#[tokio::test]
async fn no_log_setting_silences_the_audit() {
    let directory = tempfile::tempdir().expect("a directory");
    for log in ["error", "warn"] {
        let file = directory.path().join(format!("{log}.log"));
        let gateway = Gateway::with(Options {
            config: format!("log = \"{log}\"\n"),
            log: Some(file.clone()),
            ..Options::default()
        });
        let (mut client, mut admin) = (gateway.client().await, admin(&gateway).await);
        clear(&mut client, "first").await;
        admin
            .update_config(proto::UpdateConfigRequest {
                values: [("log".to_owned(), "error".to_owned())].into(),
                ..Default::default()
            })
            .await
            .expect("changed");
        clear(&mut client, "second").await;
        let records = read(&mut admin, audit()).await;
        assert_eq!(records.len(), 3, "{log}: {records:?}");
        let printed = std::fs::read_to_string(&file).expect("written");
        for key in ["first", "second"] {
            assert!(
                printed.contains(&format!("session_key={key}")),
                "{log}: {printed}"
            );
        }
    }
}
