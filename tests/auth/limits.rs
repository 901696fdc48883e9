//! How often one may fail and call, and how many streams one may hold.

use crate::{
    support::reason,
    world::{Caller, admin_key, fact, start, start_with},
};
use quarterdeck::proto;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn assert_limited(refused: &Status, of: &str, limit: &str) {
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(reason(refused), "RATE_LIMITED");
    assert_eq!(fact(refused, "of"), of);
    assert_eq!(fact(refused, "limit"), limit);
    let retry = refused.get_details_retry_info().expect("it says when");
    assert!(retry.retry_delay.is_some());
}

/// Who guesses is refused before any work, from loopback as from anywhere; a valid key at the same address goes on.
#[tokio::test]
async fn failed_authentications_of_an_address_are_limited() {
    let gateway = start_with(&[("QUARTERDECK_AUTH_FAILURES_PER_MINUTE", "5")], "");
    let other = admin_key(&start());
    let admin = Caller::admin(&gateway).await;
    let wrong = admin.as_key(&other);
    for _ in 0..5 {
        let refused = wrong.who().await.unwrap_err();
        assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
    }
    for _ in 0..3 {
        assert_limited(&wrong.who().await.unwrap_err(), "address", "5");
        // A malformed one counts as well, and a header more skips nothing.
        let malformed = Caller::with_header(&gateway, Some("Basic x")).await;
        assert_limited(&malformed.who().await.unwrap_err(), "address", "5");
        admin.who().await.unwrap();
    }
    // Who brings nothing guesses nothing.
    let nobody = Caller::with_header(&gateway, None).await;
    let refused = nobody.who().await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_MISSING");
}

/// Over its rate a principal is told when to come back; others of its tenant are not held up by it, and the tenant has a
/// bound of its own.
#[tokio::test]
async fn calls_of_a_principal_and_of_a_tenant_are_limited() {
    let config = "principal_requests_per_second = 20\ntenant_requests_per_second = 60\n";
    let gateway = start_with(&[], config);
    let admin = Caller::admin(&gateway).await;
    let mut others = Vec::new();
    for subject in ["a", "b", "c", "d"] {
        let wish = proto::CreateApiKeyRequest {
            subject: subject.into(),
            ..crate::world::request(&["session.read"])
        };
        let made = admin.make(wish).await.unwrap();
        others.push(admin.as_key(&made.secret));
    }
    let refused = first_refusal(&others[0], 2000).await;
    assert_limited(&refused, "principal", "20");
    others[1].who().await.unwrap();

    let calls = others.iter().map(|caller| first_refusal(caller, 2000));
    let refused = futures_of(calls).await;
    assert!(
        refused.iter().any(|it| fact(it, "of") == "tenant"),
        "{refused:?}"
    );
}

async fn first_refusal(caller: &Caller, most: usize) -> Status {
    for _ in 0..most {
        if let Err(refused) = caller.who().await {
            return refused;
        }
    }
    panic!("{most} calls in a row are taken");
}

async fn futures_of<F: Future>(all: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Streams are counted per principal and tenant, and a place is free again when its stream ends.
#[tokio::test]
async fn streams_of_a_principal_and_of_a_tenant_are_limited() {
    let gateway = start_with(&[], "principal_max_streams = 2\ntenant_max_streams = 3\n");
    let admin = Caller::admin(&gateway).await;
    let wish = proto::CreateApiKeyRequest {
        subject: "other".into(),
        ..crate::world::request(&["session.read"])
    };
    let other = admin.make(wish).await.unwrap();
    let other = admin.as_key(&other.secret);
    let watch = async |caller: &Caller| {
        let request = proto::WatchSessionsRequest::default();
        let stream = caller.gateway().watch_sessions(request).await;
        stream.map(tonic::Response::into_inner)
    };
    let first = watch(&admin).await.unwrap();
    let _second = watch(&admin).await.unwrap();
    let refused = watch(&admin).await.unwrap_err();
    assert_eq!(reason(&refused), "TOO_MANY_STREAMS");
    assert_eq!(fact(&refused, "of"), "principal");
    assert_eq!(fact(&refused, "limit"), "2");
    assert_eq!(fact(&refused, "current"), "2");
    assert!(refused.get_details_retry_info().is_some());

    let _third = watch(&other).await.unwrap();
    let refused = watch(&other).await.unwrap_err();
    assert_eq!(fact(&refused, "of"), "tenant");
    // Calls that are no streams are not counted with them.
    admin.who().await.unwrap();

    drop(first);
    let began = std::time::Instant::now();
    while watch(&other).await.is_err() {
        assert!(began.elapsed() < crate::support::SOON);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A stream that follows several sessions counts as so many, and the list beside them as none.
#[tokio::test]
async fn each_session_that_is_followed_counts() {
    let gateway = start_with(&[], "principal_max_streams = 3\nmax_streams = 4\n");
    let admin = Caller::admin(&gateway).await;
    for key in ["one", "two", "three", "four"] {
        let request = proto::CreateSessionRequest {
            session_key: key.into(),
            ..Default::default()
        };
        admin.gateway().create_session(request).await.unwrap();
    }
    let all = || Some(proto::SessionFilter::default());
    let follow = async |keys: &[&str], filter: Option<proto::SessionFilter>| {
        let cursors = keys.iter().map(|&key| proto::SessionCursor {
            session_key: key.into(),
            from_head: true,
            ..Default::default()
        });
        let request = proto::SubscribeManyRequest {
            filter,
            cursors: cursors.collect(),
            watch: all(),
            ..Default::default()
        };
        let stream = admin.gateway().subscribe_many(request).await;
        stream.map(tonic::Response::into_inner)
    };
    let full = |status: tonic::Status, of: &str, session_key: &str| {
        assert_eq!(reason(&status), "TOO_MANY_STREAMS", "{status:?}");
        assert_eq!(fact(&status, "of"), of);
        assert_eq!(fact(&status, "session_key"), session_key);
    };
    full(
        follow(&["one", "two", "three", "four"], None)
            .await
            .unwrap_err(),
        "principal",
        "four",
    );
    let refused = follow(&[], all()).await.unwrap_err();
    assert_eq!(reason(&refused), "TOO_MANY_STREAMS", "{refused:?}");
    let mut open = follow(&["one", "two", "three"], None).await.unwrap();
    let refused = follow(&[], None).await.unwrap_err();
    assert_eq!(fact(&refused, "current"), "3");

    // Each is found by who looks for listeners of one of its sessions.
    let channels = async |session_key: &str| {
        let request = proto::ListChannelsRequest {
            session_key: session_key.into(),
            ..Default::default()
        };
        let answer = admin.service().list_channels(request).await.unwrap();
        let channels = answer.into_inner().channels.into_iter();
        channels
            .map(|it| (it.method, it.session_key))
            .collect::<Vec<_>>()
    };
    let named = |key: &str| vec![("SubscribeMany".to_owned(), key.to_owned())];
    assert_eq!(channels("two").await, named("two"));
    assert_eq!(channels("").await, named(""));
    assert_eq!(channels("four").await, []);

    // One that goes gives its place back.
    let request = proto::DeleteSessionRequest {
        session_key: "two".into(),
        ..Default::default()
    };
    admin.gateway().delete_session(request).await.unwrap();
    let deleted = async {
        loop {
            let event = open.message().await.unwrap().expect("it goes on");
            if matches!(
                event.kind,
                Some(proto::gateway_event::Kind::SessionDeleted(_))
            ) {
                return;
            }
        }
    };
    tokio::time::timeout(crate::support::SOON, deleted)
        .await
        .expect("it leaves");
    let began = std::time::Instant::now();
    let list = loop {
        // The list alone has the place of its call.
        match follow(&[], None).await {
            Ok(list) => break list,
            Err(refused) => assert_eq!(reason(&refused), "TOO_MANY_STREAMS"),
        }
        assert!(began.elapsed() < crate::support::SOON);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    drop((open, list));

    // One that comes to match and finds no place ends the stream.
    let began = std::time::Instant::now();
    let mut open = loop {
        let filter = proto::SessionFilter {
            key_prefix: "t".into(),
            ..Default::default()
        };
        match follow(&["one", "four"], Some(filter)).await {
            Ok(open) => break open,
            Err(refused) => assert_eq!(reason(&refused), "TOO_MANY_STREAMS"),
        }
        assert!(began.elapsed() < crate::support::SOON);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let request = proto::CreateSessionRequest {
        session_key: "too.many".into(),
        ..Default::default()
    };
    admin.gateway().create_session(request).await.unwrap();
    let end = async {
        loop {
            match open.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it did not end well"),
                Err(status) => return status,
            }
        }
    };
    let ended = tokio::time::timeout(crate::support::SOON, end).await;
    full(ended.expect("it ends"), "principal", "too.many");
}

/// The bounds can be changed while the server runs.
#[tokio::test]
async fn bounds_change_at_run_time() {
    let gateway = start_with(&[], "");
    let admin = Caller::admin(&gateway).await;
    let set = async |name: &str, value: &str| {
        let request = proto::UpdateConfigRequest {
            values: [(name.to_owned(), value.to_owned())].into(),
            ..Default::default()
        };
        admin.service().update_config(request).await.unwrap();
    };
    set("principal_max_streams", "1").await;
    let watch = async || {
        let request = proto::WatchSessionsRequest::default();
        admin.gateway().watch_sessions(request).await
    };
    let _first = watch().await.unwrap();
    let began = std::time::Instant::now();
    // What UpdateConfig says is brought to the rooms right after its answer.
    let refused = loop {
        match watch().await {
            Err(refused) => break refused,
            Ok(stream) => drop(stream),
        }
        assert!(began.elapsed() < crate::support::SOON);
    };
    assert_eq!(reason(&refused), "TOO_MANY_STREAMS");
    set("principal_requests_per_second", "1").await;
    let refused = first_refusal(&admin, 2000).await;
    assert_limited(&refused, "principal", "1");
}
