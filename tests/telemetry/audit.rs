//! One record for each mutating call, none for others.

use crate::world::*;
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
