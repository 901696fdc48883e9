//! Who shows no credential: how long it may stay, and whose place it takes.

use crate::{
    support::{Gateway, SOON},
    tokens::{Issuer, Signer},
    world::{Caller, admin_key, start_with},
};
use bytes::Bytes;
use jsonwebtoken::Algorithm;
use quarterdeck::proto;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

/// A connection that speaks HTTP/2, and calls when it is told to.
struct Connection {
    calls: h2::client::SendRequest<Bytes>,
    /// Ends with the connection.
    driver: JoinHandle<()>,
}

impl Connection {
    async fn open(gateway: &Gateway) -> Option<Self> {
        let address = gateway.address.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.ok()?;
        let (calls, connection) = h2::client::handshake(stream).await.ok()?;
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Some(Self { calls, driver })
    }

    /// Calls WhoAmI.
    async fn who(&self, gateway: &Gateway, key: &str) -> Option<http::StatusCode> {
        let mut calls = self.calls.clone().ready().await.ok()?;
        let request = http::Request::post(format!(
            "{}/quarterdeck.v1.AdminService/WhoAmI",
            gateway.address
        ))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {key}"))
        .body(())
        .unwrap();
        let (answer, mut body) = calls.send_request(request, false).ok()?;
        body.send_data(Bytes::from_static(&[0; 5]), true).ok()?;
        let answer = answer.await.ok()?;
        answer
            .headers()
            .get("grpc-status")
            .is_none()
            .then(|| answer.status())
    }

    async fn ends(&mut self) {
        timeout(SOON, &mut self.driver)
            .await
            .expect("the connection ends")
            .expect("nothing panics");
    }
}

/// A connection over which nobody is recognised is ended; one that was used stays, though it is silent as long.
#[tokio::test]
async fn a_connection_without_an_authenticated_call_is_ended() {
    let gateway = start_with(&[("QUARTERDECK_FIRST_CALL_TIMEOUT", "1s")], "");
    let key = admin_key(&gateway);
    let known = Connection::open(&gateway).await.unwrap();
    known.who(&gateway, &key).await.expect("it is recognised");
    let mut silent = Connection::open(&gateway).await.unwrap();
    let mut refused = Connection::open(&gateway).await.unwrap();
    assert!(refused.who(&gateway, "qdk_wrong").await.is_none());
    silent.ends().await;
    refused.ends().await;
    assert!(!known.driver.is_finished());
    known.who(&gateway, &key).await.expect("it goes on");
}

/// Whoever opens connections and shows nothing takes no place from callers: neither from who is there, nor from who comes.
#[tokio::test]
async fn strangers_take_nobodys_place() {
    let gateway = start_with(
        &[
            ("QUARTERDECK_MAX_CONNECTIONS", "8"),
            ("QUARTERDECK_MAX_CONNECTIONS_PER_ADDRESS", "0"),
        ],
        "",
    );
    let admin = Caller::admin(&gateway).await;
    let watch = proto::WatchSessionsRequest::default();
    let mut watch = admin
        .gateway()
        .watch_sessions(watch)
        .await
        .unwrap()
        .into_inner();
    watch.message().await.unwrap().expect("the list");

    let mut strangers = Vec::new();
    for _ in 0..5 {
        // Many more than there are places.
        for _ in 0..20 {
            strangers.extend(
                timeout(SOON, Connection::open(&gateway))
                    .await
                    .ok()
                    .flatten(),
            );
        }
        let newcomer = timeout(SOON, Caller::admin(&gateway))
            .await
            .expect("it connects");
        let who = timeout(SOON, newcomer.who()).await.expect("it is answered");
        who.expect("its key is good");
    }
    // What was open has not been touched: it tells what is new.
    let create = proto::CreateSessionRequest {
        session_key: "new".into(),
        ..Default::default()
    };
    admin.gateway().create_session(create).await.unwrap();
    let told = timeout(SOON, async {
        while let Some(snapshot) = watch.message().await.expect("the stream goes on") {
            if snapshot.session_key == "new" {
                return;
            }
        }
        panic!("the stream ended");
    });
    told.await.expect("the new session is told");
}

/// Of one address, too: it is where everybody on this machine comes from.
#[tokio::test]
async fn strangers_of_an_address_give_way_to_its_callers() {
    let bound = ("QUARTERDECK_MAX_CONNECTIONS_PER_ADDRESS", "4");
    let gateway = start_with(&[bound], "");
    let key = admin_key(&gateway);
    let mut first = Connection::open(&gateway).await.unwrap();
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(Connection::open(&gateway).await.unwrap());
    }
    let caller = Connection::open(&gateway).await.unwrap();
    let who = timeout(SOON, caller.who(&gateway, &key))
        .await
        .expect("it is answered");
    who.expect("its key is good");
    first.ends().await;
    // Who is known gives way to nobody: with four of them the address has all that it may.
    let mut known = Vec::new();
    for _ in 0..3 {
        let caller = Connection::open(&gateway).await.unwrap();
        timeout(SOON, caller.who(&gateway, &key))
            .await
            .expect("it is answered")
            .expect("known");
        known.push(caller);
    }
    let closed = timeout(SOON, async {
        if let Some(mut more) = Connection::open(&gateway).await {
            more.ends().await;
        }
    });
    closed.await.expect("a fifth one is closed");
    for caller in known.iter().chain([&caller]) {
        caller.who(&gateway, &key).await.expect("it goes on");
    }
}

/// A good token is taken, whatever else came from its address: behind a proxy that is everybody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_token_is_taken_whatever_its_address_did() {
    let issuer = Issuer::start().await;
    let signer = Signer::new("one", Algorithm::EdDSA);
    issuer.publish(&[&signer]);
    let config = format!(
        "jwt_issuer = \"{}\"\njwt_audience = \"quarterdeck.test\"\nauth_failures_per_minute = 2\n",
        issuer.url()
    );
    let gateway = start_with(&[], &config);
    let admin = Caller::admin(&gateway).await;
    for _ in 0..5 {
        admin.as_key("a.wrong.token").who().await.unwrap_err();
    }
    let token = signer.sign(&issuer.claims());
    let who = admin.as_key(&token).who().await.expect("it is valid");
    assert_eq!(who.principal, "default/dashboard");
}

/// Health is told without a credential, so anybody can watch it; whoever watches most keeps nobody else from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_watch_health_do_not_use_it_up() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let gateway = start_with(
        &[],
        "max_connections_per_address = 0\nfirst_call_timeout = \"10m\"",
    );
    let connect = || async {
        let endpoint = tonic::transport::Endpoint::from_shared(gateway.address.clone());
        HealthClient::new(endpoint.unwrap().connect().await.unwrap())
    };
    let watch = async |client: &mut HealthClient<tonic::transport::Channel>| {
        let answer = client.watch(HealthCheckRequest::default()).await;
        let mut stream = answer.expect("it is not refused").into_inner();
        let first = timeout(SOON, stream.message()).await.expect("at once");
        first.expect("it is told").expect("a status");
        stream
    };
    let mut oldest = watch(&mut connect().await).await;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        let mut client = connect().await;
        for _ in 0..50 {
            crowd.push(watch(&mut client).await);
        }
    }
    let end = timeout(SOON, oldest.message())
        .await
        .expect("it gives way")
        .expect_err("with a reason");
    assert_eq!(end.code(), tonic::Code::ResourceExhausted, "{end:?}");
    // A thousand are watched; one more is as well.
    watch(&mut connect().await).await;
    let calls = connect().await.check(HealthCheckRequest::default()).await;
    calls.expect("a look at it needs no place");
}
