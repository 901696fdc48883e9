//! Bad input of every kind: the documented error, and nothing changed (§3, §6).

use crate::{support::raw::Raw, world::*};
use std::collections::BTreeMap;
use tonic::codegen::http::uri::PathAndQuery;

const BAD_KEYS: [&str; 12] = [
    "", " ", "a b", "ä", "-a", ".a", "a/b", "a\\b", "a\0", "a\n", "../a", "a%2Fb",
];

/// Sends bytes as the request of a method.
async fn send(address: &str, method: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut client =
        tonic::client::Grpc::new(channel(address).await).max_encoding_message_size(usize::MAX);
    client.ready().await.expect("ready");
    let path = PathAndQuery::from_maybe_shared(format!("/quarterdeck.v1.GatewayService/{method}"))
        .expect("a path");
    client
        .unary(tonic::Request::new(bytes), path, Raw)
        .await
        .map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bad_session_keys_are_refused_by_every_rpc() {
    let (_server, mut client) = shared().await;
    let long = "x".repeat(129);
    let id = uuid::Uuid::now_v7().to_string();
    let sessions = async |client: &mut Client| {
        ok!(client.list_sessions(ListSessionsRequest { page_size: 1000 })).sessions
    };
    macro_rules! all {
        ($key:expr; $($method:ident($Request:ident { $($field:ident: $value:expr),* })),* $(,)?) => {
            $(invalid(
                call!(client.$method($Request { session_key: $key, $($field: $value),* })),
                &["session_key"],
            );)*
        };
    }
    for key in BAD_KEYS.into_iter().chain([long.as_str()]) {
        all!(key;
            enqueue(EnqueueRequest { text: "x" }),
            steer(SteerRequest { text: "x" }),
            abort(AbortRequest {}),
            reset(ResetRequest {}),
            list_queue(ListQueueRequest {}),
            update_queued(UpdateQueuedRequest { turn_id: id.as_str(), position: 0 }),
            remove_queued(RemoveQueuedRequest { turn_id: id.as_str() }),
            clear_queue(ClearQueueRequest {}),
            subscribe(SubscribeRequest {}),
            read_events(ReadEventsRequest {}),
            create_session(CreateSessionRequest {}),
            get_session(GetSessionRequest {}),
            get_session_state(GetSessionStateRequest {}),
            update_session(UpdateSessionRequest { update_mask: prost_types::FieldMask { paths: vec!["labels".into()] } }),
            delete_session(DeleteSessionRequest {}),
            fork_session(ForkSessionRequest { new_session_key: "bad.fork" }),
            list_messages(ListMessagesRequest {}),
            get_attachment(GetAttachmentRequest { attachment_id: "x" }),
            await_turn(AwaitTurnRequest { turn_id: id.as_str() }),
            get_turn(GetTurnRequest { turn_id: id.as_str() }),
        );
        let enqueue = proto::EnqueueRequest {
            session_key: key.into(),
            text: "x".into(),
            ..Default::default()
        };
        invalid(
            call!(client.run(RunRequest { enqueue: enqueue })),
            &["enqueue.session_key"],
        );
    }
    assert!(
        sessions(&mut client)
            .await
            .iter()
            .all(|s| !BAD_KEYS.contains(&s.session_key.as_str()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_at_the_edge_of_the_grammar_are_sessions_of_their_own() {
    let (_server, mut client) = shared().await;
    let long = format!("{}{}", "9", "z".repeat(127));
    for key in ["a:b", "a_b", "A_b", "a.b", "0._:@~+=-", long.as_str()] {
        assert_eq!(
            run(&mut client, key, "!history").await.response_text,
            "0",
            "{key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn fields_out_of_bounds_are_named_all_at_once() {
    let (_server, mut client) = shared().await;
    let key = "bad.fields";
    let map = |entries: usize, name: &str, value: usize| -> BTreeMap<String, String> {
        (0..entries)
            .map(|n| (format!("{name}{n}"), "v".repeat(value)))
            .collect()
    };
    macro_rules! table {
        ($($field:ident: $value:expr => $($named:expr)?;)*) => {
            $({
                let named: &[&str] = &[$($named)?];
                let named = if named.is_empty() { vec![stringify!($field)] } else { named.to_vec() };
                invalid(
                    call!(client.enqueue(EnqueueRequest { session_key: key, text: "x", $field: $value })),
                    &named,
                );
            })*
        };
    }
    table! {
        request_id: "a b" =>;
        request_id: "ü" =>;
        request_id: "x".repeat(129) =>;
        source: "x".repeat(129) =>;
        source: "a\u{7f}" =>;
        model: "x".repeat(129) =>;
        thinking_level: "\n" =>;
        display_name: "x".repeat(257) =>;
        display_name: "tab\t" =>;
        metadata: map(33, "k", 1) =>;
        metadata: map(1, "k", 1025) => "metadata[k0]";
        labels: map(33, "k", 1) =>;
        labels: map(1, "k", 257) => "labels[k0]";
        labels: BTreeMap::from([(String::new(), String::new())]) => "labels[]";
        on_busy: 9 =>;
        on_interrupt: 9 =>;
        turn_timeout: millis(0) =>;
        turn_timeout: prost_types::Duration { seconds: 7 * 24 * 3600, nanos: 1 } =>;
        turn_timeout: prost_types::Duration { seconds: -1, nanos: 0 } =>;
        turn_timeout: prost_types::Duration { seconds: i64::MAX, nanos: i32::MIN } =>;
        queue_ttl: millis(0) =>;
        queue_ttl: prost_types::Duration { seconds: i64::MAX, nanos: 999_999_999 } =>;
    }
    let all = call!(client.enqueue(EnqueueRequest {
        session_key: "",
        text: "",
        request_id: " ",
        source: "\0"
    }));
    invalid(all, &["session_key", "text", "request_id", "source"]);
    for (id, fields) in [("", ["turn_id"]), ("nope", ["turn_id"])] {
        invalid(
            call!(client.get_turn(GetTurnRequest {
                session_key: key,
                turn_id: id
            })),
            &fields,
        );
        invalid(
            call!(client.remove_queued(RemoveQueuedRequest {
                session_key: key,
                turn_id: id
            })),
            &fields,
        );
    }
    invalid(
        call!(client.abort(AbortRequest {
            session_key: key,
            turn_id: "nope"
        })),
        &["turn_id"],
    );
    invalid(
        call!(client.get_session(GetSessionRequest {
            session_key: key,
            min_seq: -1
        })),
        &["min_seq"],
    );
    let short = call!(client.create_session(CreateSessionRequest {
        session_key: key,
        expire_after_idle: millis(999)
    }));
    invalid(short, &["expire_after_idle"]);
    assert!(!exists(&mut client, key).await, "nothing was made");
    // The widest that is allowed.
    ok!(client.enqueue(EnqueueRequest {
        session_key: key,
        text: "x",
        request_id: "~".repeat(128),
        source: "x".repeat(128),
        metadata: map(32, "k", 1024),
        labels: map(32, "k", 256),
        display_name: "ü".repeat(128),
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bytes_that_are_no_request_are_malformed() {
    let (server, mut client) = shared().await;
    let key = "bad.bytes";
    let good = proto::EnqueueRequest {
        session_key: key.into(),
        text: "x".into(),
        ..Default::default()
    };
    let good = prost::Message::encode_to_vec(&good);
    let text = |bytes: &[u8]| {
        let mut message = good.clone();
        // Field 2, length-delimited, once more: the last one counts.
        message.extend([0x12, u8::try_from(bytes.len()).expect("short")]);
        message.extend(bytes);
        message
    };
    let truncated = good[..good.len() - 1].to_vec();
    for (what, bytes) in [
        ("not UTF-8", text(b"\xff\xfe")),
        ("a lone surrogate", text(b"\xed\xa0\x80")),
        ("cut off", truncated),
        ("a wrong wire type", vec![0x0f]),
        ("an endless varint", vec![0xff; 11]),
        ("text", b"{\"session_key\": \"x\"}".to_vec()),
    ] {
        let answer = send(server.address(), "Enqueue", bytes).await;
        let details = refused(answer, Code::InvalidArgument, "MALFORMED_REQUEST");
        assert!(details.retry_info().is_none(), "{what}");
    }
    assert!(!exists(&mut client, key).await);
    // Unknown fields are ignored: number 9999, a varint.
    let mut unknown = good.clone();
    unknown.extend([0xf8, 0xf0, 0x04, 0x01]);
    send(server.address(), "Enqueue", unknown)
        .await
        .expect("accepted");
    assert!(exists(&mut client, key).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_beyond_their_bound_are_refused() {
    let (server, mut client) = shared().await;
    let mebibyte = 1024 * 1024;
    for (method, limit) in [
        ("Enqueue", 18 * mebibyte),
        ("Run", 18 * mebibyte),
        ("Steer", 18 * mebibyte),
        ("Abort", mebibyte),
        ("GetSession", mebibyte),
    ] {
        let answer = send(server.address(), method, vec![0; limit + 1]).await;
        let details = refused(answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        assert_eq!(fact(&details, "limit"), limit.to_string());
    }
    let answer = send(server.address(), "Nonsense", Vec::new()).await;
    refused(answer, Code::Unimplemented, "METHOD_UNKNOWN");
    assert!(exists(&mut client, "main").await, "the server goes on");
}
