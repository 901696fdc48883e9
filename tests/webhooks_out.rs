//! Webhooks out, as their receivers meet them: the real server posts to a real listener of the test.

mod support;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use quarterdeck::proto::{
    self, DeliveryState, Webhook, WebhookPayload, gateway_event::Kind,
    webhook_service_client::WebhookServiceClient,
};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{Client, Gateway, Options, SOON, connect, kind, log, reason, run};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tonic::{Code, transport::Channel};

const PRIVATE: &str = "webhook_private_addresses = true\n";

type Webhooks = WebhookServiceClient<Channel>;

/// Deliveries that a test has not looked at; far more than any makes.
const ARRIVED_MAX: usize = 4096;

/// An address that takes deliveries, and answers as the test says.
struct Receiver {
    url: String,
    arrived: mpsc::Receiver<Arrived>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

#[derive(Clone)]
enum Answer {
    Status(u16),
    RetryAfter(u16, &'static str),
    Redirect(String),
}

/// A delivery.
#[derive(Debug)]
struct Arrived {
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone)]
struct Shared {
    arrived: mpsc::Sender<Arrived>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = shared.answers.lock().unwrap().pop_front();
    let _ = shared.arrived.try_send(Arrived { headers, body });
    match answer.unwrap_or(Answer::Status(204)) {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::RetryAfter(status, when) => (
            StatusCode::from_u16(status).unwrap(),
            [(header::RETRY_AFTER, when)],
        )
            .into_response(),
        Answer::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
    }
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener)
    }

    fn on(listener: TcpListener) -> Self {
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, arrived) = mpsc::channel(ARRIVED_MAX);
        let answers = Arc::default();
        let shared = Shared {
            arrived: sender,
            answers: Arc::clone(&answers),
        };
        let router = Router::new().fallback(take).with_state(shared);
        tokio::spawn(async move { axum_serve(listener, router).await });
        Self {
            url,
            arrived,
            answers,
        }
    }

    fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    async fn next(&mut self) -> Arrived {
        let arrived = timeout(SOON, self.arrived.recv()).await;
        arrived.expect("a delivery in time").expect("it listens")
    }

    /// Deliveries until one of that kind.
    async fn until(&mut self, of: &str) -> Vec<Arrived> {
        let mut all = Vec::new();
        loop {
            let arrived = self.next().await;
            let over = arrived.of() == of;
            all.push(arrived);
            if over {
                return all;
            }
        }
    }

    fn is_quiet(&mut self) -> bool {
        self.arrived.try_recv().is_err()
    }
}

/// Serves HTTP/1 on a listener; axum is built without its own server.
async fn axum_serve(listener: TcpListener, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await;
        });
    }
}

impl Arrived {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    fn id(&self) -> &str {
        self.header("webhook-id")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn of(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }

    fn seq(&self) -> i64 {
        let (_, seq) = self.id().rsplit_once(':').expect("an id");
        seq.parse().expect("a number")
    }

    /// Whether a secret signed it.
    fn is_signed_by(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap());
        let mut made = Hmac::<Sha256>::new_from_slice(&key.unwrap()).unwrap();
        let head = format!("{}.{}.", self.id(), self.header("webhook-timestamp"));
        made.update(head.as_bytes());
        made.update(&self.body);
        let made = format!("v1,{}", STANDARD.encode(made.finalize().into_bytes()));
        let mut listed = self.header("webhook-signature").split(' ');
        listed.any(|one| one == made)
    }
}

async fn webhooks(gateway: &Gateway) -> Webhooks {
    let channel = Channel::from_shared(gateway.address.clone()).unwrap();
    WebhookServiceClient::new(channel.connect().await.expect("it serves"))
}

async fn create(
    service: &mut Webhooks,
    webhook: Webhook,
    secrets: &[String],
) -> proto::CreateWebhookResponse {
    let request = proto::CreateWebhookRequest {
        webhook: Some(webhook),
        secrets: secrets.to_vec(),
        ..Default::default()
    };
    let made = service.create_webhook(request).await;
    made.expect("made").into_inner()
}

fn ended(url: &str) -> Webhook {
    Webhook {
        url: url.to_owned(),
        kinds: vec!["turn_ended".into()],
        ..Webhook::default()
    }
}

async fn only(service: &mut Webhooks) -> Webhook {
    let request = proto::ListWebhooksRequest::default();
    let listed = service.list_webhooks(request).await.expect("listed");
    let mut webhooks = listed.into_inner().webhooks;
    assert_eq!(webhooks.len(), 1);
    webhooks.remove(0)
}

async fn deliveries(service: &mut Webhooks, webhook_id: &str) -> Vec<proto::Delivery> {
    let request = proto::ListDeliveriesRequest {
        webhook_id: webhook_id.to_owned(),
        ..Default::default()
    };
    let listed = service.list_deliveries(request).await.expect("listed");
    listed.into_inner().deliveries
}

/// Deliveries, once there are so many.
async fn listed_all(service: &mut Webhooks, id: &str, count: usize) -> Vec<proto::Delivery> {
    let give_up = tokio::time::Instant::now() + SOON;
    loop {
        let listed = deliveries(service, id).await;
        if listed.len() == count {
            return listed;
        }
        assert!(tokio::time::Instant::now() < give_up, "{listed:?}");
        tokio::task::yield_now().await;
    }
}

/// Waits until a webhook is as the test wants it.
async fn until(service: &mut Webhooks, is: impl Fn(&Webhook) -> bool) -> Webhook {
    let give_up = tokio::time::Instant::now() + SOON;
    loop {
        let webhook = only(service).await;
        if is(&webhook) {
            return webhook;
        }
        assert!(tokio::time::Instant::now() < give_up, "{webhook:?}");
        tokio::task::yield_now().await;
    }
}

async fn queue(client: &mut Client, key: &str, text: &str, request_id: &str) -> proto::Turn {
    let request = proto::EnqueueRequest {
        session_key: key.into(),
        text: text.into(),
        request_id: request_id.into(),
        ..Default::default()
    };
    let queued = client.enqueue(request).await.expect("queued");
    queued.into_inner().turn.expect("a turn")
}

fn start(config: &str) -> Gateway {
    Gateway::with(Options {
        config: format!("{PRIVATE}{config}"),
        ..Options::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_told_once_in_order_and_signed_with_both_secrets() {
    let mut gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    run(&mut client, "s", "before").await;
    let secrets = [1, 2].map(|of: u8| format!("whsec_{}", STANDARD.encode([of; 32])));
    let webhook = Webhook {
        url: receiver.url.clone(),
        payload: WebhookPayload::Full.into(),
        ..Webhook::default()
    };
    let made = create(&mut service, webhook, &secrets).await;
    assert_eq!(made.secret, "", "it is the caller's");
    let webhook = made.webhook.expect("it");
    assert_eq!(
        (webhook.secret_count, webhook.owner.as_str()),
        (2, "default/local")
    );
    run(&mut client, "s", "hello").await;
    run(&mut client, "t", "new").await;
    let mut all = receiver.until("turn.ended").await;
    all.extend(receiver.until("turn.ended").await);
    // Of each session all that its log says since then, in its order.
    let mut told: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for one in &all {
        assert!(secrets.iter().all(|it| one.is_signed_by(it)), "{one:?}");
        let body = one.json();
        let data = &body["data"];
        assert_eq!(one.header("ce-specversion"), "1.0");
        assert_eq!(one.header("ce-type"), one.of());
        assert_eq!(one.header("ce-id"), one.id());
        assert_eq!(
            one.id(),
            format!("{}:{}", data["logId"].as_str().unwrap(), one.seq())
        );
        let key = data["sessionKey"].as_str().unwrap().to_owned();
        told.entry(key).or_default().push((one.seq(), one.of()));
    }
    for (key, after) in [("s", "before"), ("t", "")] {
        let events = log(&mut client, key).await;
        let mut events: Vec<_> = events
            .iter()
            .map(|it| (it.seq, kind(it).replace('_', ".")))
            .collect();
        if !after.is_empty() {
            let first = events
                .iter()
                .position(|(_, of)| of == "turn.ended")
                .unwrap();
            events.drain(..=first);
        }
        assert_eq!(told[key], events, "{key}");
    }
    let listed = listed_all(&mut service, &webhook.webhook_id, all.len()).await;
    for delivery in listed {
        assert_eq!(delivery.state(), DeliveryState::Delivered);
        assert_eq!((delivery.tries, delivery.status_code), (1, 204));
    }
    // A start over finds nothing to tell, and tells what comes then.
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    run(&mut client, "s", "again").await;
    let newest = told["s"].last().unwrap().0;
    assert_eq!(receiver.next().await.seq(), newest + 1);
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thin_one_says_where_and_a_filter_which() {
    let gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    let webhook = Webhook {
        filter: Some(proto::WebhookFilter {
            session_key_prefix: "in-".into(),
            labels: [("team".to_owned(), "red".to_owned())].into(),
            ..Default::default()
        }),
        ..ended(&receiver.url)
    };
    let made = create(&mut service, webhook, &[]).await;
    assert!(made.secret.starts_with("whsec_"));
    let labelled = |key: &str, team: &str| proto::EnqueueRequest {
        session_key: key.into(),
        text: "x".into(),
        labels: [("team".to_owned(), team.to_owned())].into(),
        ..Default::default()
    };
    for (key, team) in [("out-1", "red"), ("in-1", "blue"), ("in-2", "red")] {
        let turn = client.enqueue(labelled(key, team)).await.expect("queued");
        let turn = turn.into_inner().turn.unwrap();
        support::await_turn(&mut client, key, &turn.turn_id).await;
    }
    let arrived = receiver.next().await;
    assert!(arrived.is_signed_by(&made.secret));
    let events = log(&mut client, "in-2").await;
    let last = events.last().unwrap();
    assert_eq!(
        arrived.json()["data"],
        json!({
            "sessionKey": "in-2", "logId": last.log_id,
            "seq": last.seq.to_string(), "turnId": last.turn_id,
        })
    );
    // Another secret, and other kinds; a paused one tells nothing, and all of it later.
    let id = made.webhook.unwrap().webhook_id;
    let next = format!("whsec_{}", STANDARD.encode([7; 24]));
    let update =
        |webhook: Webhook, paths: &[&str], secrets: &[String]| proto::UpdateWebhookRequest {
            webhook_id: id.clone(),
            webhook: Some(webhook),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(|it| (*it).to_owned()).collect(),
            }),
            secrets: secrets.to_vec(),
            request_id: String::new(),
        };
    let paused = Webhook {
        paused: true,
        pause_reason: "holidays".into(),
        ..Webhook::default()
    };
    let both = [next.clone(), made.secret.clone()];
    let changed = service
        .update_webhook(update(paused, &["paused", "pause_reason", "filter"], &both))
        .await
        .expect("changed")
        .into_inner()
        .webhook
        .unwrap();
    assert_eq!((changed.secret_count, changed.filter), (2, None));
    run(&mut client, "in-2", "quiet").await;
    let resumed = service
        .update_webhook(update(Webhook::default(), &["paused"], &[]))
        .await;
    assert_eq!(
        resumed
            .expect("resumed")
            .into_inner()
            .webhook
            .unwrap()
            .pause_reason,
        ""
    );
    // What the filter had kept back is told too, for it has not been told yet.
    let mut keys = Vec::new();
    for _ in 0..3 {
        let arrived = receiver.next().await;
        assert!(both.iter().all(|it| arrived.is_signed_by(it)));
        keys.push(
            arrived.json()["data"]["sessionKey"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    keys.sort();
    assert_eq!(keys, ["in-1", "in-2", "out-1"]);
    // Deleted: nothing more, and nobody knows it.
    let delete = proto::DeleteWebhookRequest {
        webhook_id: id.clone(),
        request_id: "d".into(),
    };
    assert!(
        !service
            .delete_webhook(delete.clone())
            .await
            .unwrap()
            .into_inner()
            .replayed
    );
    assert!(
        service
            .delete_webhook(delete)
            .await
            .unwrap()
            .into_inner()
            .replayed
    );
    run(&mut client, "in-2", "gone").await;
    let unknown = service
        .list_deliveries(proto::ListDeliveriesRequest {
            webhook_id: id,
            ..Default::default()
        })
        .await
        .expect_err("it is gone");
    assert_eq!(reason(&unknown), "WEBHOOK_NOT_FOUND");
    assert!(receiver.is_quiet());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_address_is_tried_again_in_order_and_holds_up_no_other() {
    let mut gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut other = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    receiver.answers([Answer::RetryAfter(503, "7200")]);
    let made = create(&mut service, ended(&receiver.url), &[]).await;
    let id = made.webhook.unwrap().webhook_id;
    create(&mut service, ended(&other.url), &[]).await;
    run(&mut client, "s", "one").await;
    run(&mut client, "s", "two").await;
    run(&mut client, "t", "three").await;
    for _ in 0..3 {
        other.next().await;
    }
    let first = receiver.next().await;
    let listed = |service: &Webhooks| {
        let mut service = service.clone();
        async move {
            let request = proto::ListWebhooksRequest::default();
            service
                .list_webhooks(request)
                .await
                .unwrap()
                .into_inner()
                .webhooks
        }
    };
    let give_up = tokio::time::Instant::now() + SOON;
    let failing = loop {
        let all = listed(&service).await;
        if let Some(failing) = all.into_iter().find(|it| it.failing_since.is_some()) {
            break failing;
        }
        assert!(tokio::time::Instant::now() < give_up);
        tokio::task::yield_now().await;
    };
    assert_eq!(failing.webhook_id, id);
    let wait = failing.next_try_time.unwrap().seconds - failing.failing_since.unwrap().seconds;
    assert_eq!(wait, 7200, "as the address says");
    assert!(receiver.is_quiet(), "the others wait for it");
    // Asked for, it tries at once: what failed first, under its id, and then the others. Also after a start over.
    gateway.kill();
    gateway.restart();
    let mut service = webhooks(&gateway).await;
    let tried = service
        .redeliver_webhook(proto::RedeliverWebhookRequest {
            webhook_id: id.clone(),
            ..Default::default()
        })
        .await;
    let tried = tried.expect("tried").into_inner().webhook.unwrap();
    assert_eq!((tried.failing_since, tried.paused), (None, false));
    let mut arrived = Vec::new();
    for _ in 0..3 {
        arrived.push(receiver.next().await);
    }
    let of_s: Vec<_> = arrived
        .iter()
        .filter(|it| it.json()["data"]["sessionKey"] == "s")
        .collect();
    assert_eq!(of_s.len(), 2);
    assert_eq!(
        (of_s[0].id(), of_s[0].body.as_ref()),
        (first.id(), first.body.as_ref())
    );
    assert!(of_s[1].seq() > first.seq());
    let states = listed_all(&mut service, &id, 3).await;
    let retried = states
        .iter()
        .find(|it| it.delivery_id == first.id())
        .unwrap();
    assert_eq!(
        (retried.tries, retried.state()),
        (2, DeliveryState::Delivered)
    );
    // From a place on, under the same ids.
    let again = service
        .redeliver_webhook(proto::RedeliverWebhookRequest {
            webhook_id: id.clone(),
            session_key: "s".into(),
            ..Default::default()
        })
        .await;
    again.expect("accepted");
    assert_eq!(receiver.next().await.id(), first.id());
    assert_eq!(receiver.next().await.id(), of_s[1].id());
    gateway.check_store();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_gone_is_told_no_more_and_the_session_says_so() {
    let gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    receiver.answers([Answer::Status(410)]);
    create(&mut service, ended(&receiver.url), &[]).await;
    run(&mut client, "s", "one").await;
    let gone = receiver.next().await;
    let paused = until(&mut service, |it| it.paused).await;
    assert_eq!(paused.pause_reason, "GONE");
    let events = log(&mut client, "s").await;
    let told = events.iter().find_map(|event| match &event.kind {
        Some(Kind::WebhookPaused(told)) => Some(told.clone()),
        _ => None,
    });
    let told = told.expect("an event");
    assert_eq!(told.webhook_id, paused.webhook_id);
    assert_eq!(
        (told.reason.as_str(), told.undelivered_seq),
        ("GONE", gone.seq())
    );
    assert_eq!(told.owner, "default/local");
    run(&mut client, "s", "two").await;
    assert!(receiver.is_quiet());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed_and_what_is_not_allowed_is_not_called() {
    let gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut trap = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    receiver.answers([Answer::Redirect(trap.url.clone())]);
    let made = create(&mut service, ended(&receiver.url), &[]).await;
    run(&mut client, "s", "one").await;
    receiver.next().await;
    until(&mut service, |it| it.failing_since.is_some()).await;
    let listed = deliveries(&mut service, &made.webhook.unwrap().webhook_id).await;
    assert_eq!(listed[0].status_code, 302);
    assert!(listed[0].problem.contains("redirect"), "{listed:?}");
    assert!(trap.is_quiet());

    // Where private addresses are not allowed none is taken, by whatever name; nor is one that was taken before.
    let strict = Gateway::start();
    let mut service = webhooks(&strict).await;
    for url in [
        receiver.url.clone(),
        receiver.url.replace("http:", "https:"),
        "https://localhost/hook".into(),
        "https://[::ffff:127.0.0.1]/hook".into(),
        "https://169.254.169.254/latest".into(),
        "https://2130706433/".into(),
        "https://user:secret@example.org/".into(),
        "ftp://example.org/".into(),
    ] {
        let request = proto::CreateWebhookRequest {
            webhook: Some(ended(&url)),
            ..Default::default()
        };
        let refused = service.create_webhook(request).await.expect_err(&url);
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "INVALID_FIELD"),
            "{url}"
        );
    }
    for (webhook, secrets) in [
        (
            Webhook {
                kinds: vec!["token".into()],
                ..ended("https://example.org/")
            },
            vec![],
        ),
        (
            Webhook {
                kinds: vec!["nothing".into()],
                ..ended("https://example.org/")
            },
            vec![],
        ),
        (ended("https://example.org/"), vec!["short".to_owned()]),
        (
            ended("https://example.org/"),
            vec![format!("whsec_{}", STANDARD.encode([1; 24])); 3],
        ),
    ] {
        let request = proto::CreateWebhookRequest {
            webhook: Some(webhook),
            secrets,
            ..Default::default()
        };
        let refused = service.create_webhook(request).await.expect_err("wrong");
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

/// Also where the configuration has become stricter: an address is looked at again before each connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_was_allowed_is_looked_at_again() {
    let mut gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut service = webhooks(&gateway).await;
    create(&mut service, ended(&receiver.url), &[]).await;
    gateway.kill();
    let config = gateway.directory.path().join("quarterdeck.toml");
    std::fs::write(config, "").unwrap();
    gateway.restart();
    let mut client = gateway.client().await;
    run(&mut client, "s", "one").await;
    let mut service = webhooks(&gateway).await;
    let failing = until(&mut service, |it| it.failing_since.is_some()).await;
    let listed = deliveries(&mut service, &failing.webhook_id).await;
    assert!(
        listed[0].problem.contains("webhook_private_addresses"),
        "{listed:?}"
    );
    assert!(receiver.is_quiet());
}

/// A turn that a webhook in has made is not told to a webhook in of the same server: it would go on for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_points_to_its_own_server_makes_no_loop() {
    let secret = format!("whsec_{}", STANDARD.encode([3; 32]));
    let gateway = start(&format!(
        "[webhooks.self]\nsecrets = {{ now = \"{secret}\" }}\nprincipal = \"default/self\"\ntext = \"told\"\n\
         session_key = \"looped\"\n"
    ));
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    let url = format!("{}/webhooks/self", gateway.address);
    let made = create(&mut service, ended(&url), &[secret]).await;
    let id = made.webhook.unwrap().webhook_id;
    run(&mut client, "s", "one").await;
    // Its first delivery makes a turn, whose end is not told.
    let listed = listed_all(&mut service, &id, 2).await;
    assert_eq!(listed[0].state(), DeliveryState::Skipped);
    assert_eq!(
        (listed[0].session_key.as_str(), listed[0].status_code),
        ("looped", 508)
    );
    assert_eq!(listed[1].state(), DeliveryState::Delivered);
    let turns = client.list_turns(proto::ListTurnsRequest {
        session_key: "looped".into(),
        ..Default::default()
    });
    assert_eq!(turns.await.unwrap().into_inner().turns.len(), 1);
}

/// Of a session that is gone its end is told, though its log is gone too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_session_is_told() {
    let gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    receiver.answers([Answer::Status(500)]);
    let webhook = Webhook {
        kinds: vec!["turn_ended".into(), "session_deleted".into()],
        ..ended(&receiver.url)
    };
    let id = create(&mut service, webhook, &[])
        .await
        .webhook
        .unwrap()
        .webhook_id;
    run(&mut client, "s", "one").await;
    let failed = receiver.next().await;
    until(&mut service, |it| it.failing_since.is_some()).await;
    let deleted = client.delete_session(proto::DeleteSessionRequest {
        session_key: "s".into(),
        ..Default::default()
    });
    deleted.await.expect("deleted");
    let tried = service.redeliver_webhook(proto::RedeliverWebhookRequest {
        webhook_id: id,
        ..Default::default()
    });
    tried.await.expect("tried");
    let told = receiver.until("session.deleted").await.pop().expect("it");
    assert_eq!(told.json()["data"]["sessionKey"], "s");
    assert!(told.seq() > failed.seq());
}

/// Killed at every step of a delivery: each event is told at least once, in order, under one id.
#[cfg_attr(
    not(debug_assertions),
    ignore = "a release has no places to be killed at"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_at_any_step_tells_all_of_it_in_order() {
    for (step, repeated) in [("send", false), ("settle", true), ("settled", false)] {
        let mut gateway = start("");
        let mut receiver = Receiver::start().await;
        let mut service = webhooks(&gateway).await;
        create(&mut service, ended(&receiver.url), &[]).await;
        gateway.kill();
        gateway.set_environment("QUARTERDECK_TEST_KILL_AT", &format!("{step}:2"));
        gateway.restart();
        let mut client = gateway.client().await;
        for text in ["one", "two", "three"] {
            // It may die meanwhile.
            let request = proto::EnqueueRequest {
                session_key: "s".into(),
                text: text.into(),
                request_id: text.into(),
                ..Default::default()
            };
            let _ = client.enqueue(request).await;
        }
        assert!(gateway.ended(SOON).await.is_none(), "killed, not ended");
        gateway.set_environment("QUARTERDECK_TEST_KILL_AT", "");
        gateway.restart();
        let mut client = gateway.client().await;
        for text in ["one", "two", "three"] {
            let turn = queue(&mut client, "s", text, text).await;
            support::await_turn(&mut client, "s", &turn.turn_id).await;
        }
        let ends: Vec<i64> = log(&mut client, "s")
            .await
            .iter()
            .filter(|it| kind(it) == "turn_ended")
            .map(|it| it.seq)
            .collect();
        let mut told = Vec::new();
        let mut ids = BTreeMap::new();
        while told.last() != ends.last() {
            let arrived = receiver.next().await;
            told.push(arrived.seq());
            ids.insert(arrived.seq(), arrived.id().to_owned());
        }
        let twice = told.len() - ids.len();
        assert_eq!(twice, usize::from(repeated), "{step}: {told:?}");
        told.dedup();
        assert_eq!(told, ends, "{step}");
        gateway.check_store();
    }
}

/// `question_asked` carries a link where that is configured: GET shows, POST answers once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_by_its_link_once() {
    let gateway = start("answer_link_url = \"https://deck.example/\"\n");
    let mut receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    let webhook = Webhook {
        kinds: vec!["question_asked".into()],
        ..ended(&receiver.url)
    };
    create(&mut service, webhook, &[]).await;
    let turn = queue(&mut client, "s", "!ask=bash run <b>it</b>", "a").await;
    let asked = receiver.next().await.json();
    let link = asked["data"]["answerUrl"]
        .as_str()
        .expect("a link")
        .to_owned();
    let path = link
        .strip_prefix("https://deck.example")
        .expect("as it is configured");
    let url = format!("{}{path}", gateway.address);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().timeout(SOON).build().unwrap();
    let page = http.get(&url).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.contains("default-src 'none'"));
    assert_eq!(page.headers()["referrer-policy"], "same-origin");
    let html = page.text().await.unwrap();
    assert!(html.contains("bash") && !html.contains("<b>it"), "{html}");
    let option = html.split("value=\"option:").nth(1).expect("an option");
    let option = format!("option={}", option.split('"').next().unwrap());
    let option = option.replace("option=", "option=option%3A");
    // Looking at it has changed nothing.
    let post = |url: &str, form: &str| {
        let request = http.post(url).body(form.to_owned());
        // As a browser says of our own page.
        request
            .header("origin", &gateway.address)
            .header("content-type", "application/x-www-form-urlencoded")
            .send()
    };
    // Another link is none.
    let (first, last) = url.split_at(url.len() - 4);
    let other = format!("{first}{}", if last == "AAAA" { "BBBB" } else { "AAAA" });
    assert_eq!(http.get(&other).send().await.unwrap().status(), 404);
    assert_eq!(post(&other, &option).await.unwrap().status(), 404);
    assert_eq!(post(&url, "option=nothing").await.unwrap().status(), 400);
    assert_eq!(post(&url, "").await.unwrap().status(), 400);
    let answered = post(&url, &option).await.unwrap();
    assert_eq!(answered.status(), 200, "{}", answered.text().await.unwrap());
    let ended = support::await_turn(&mut client, "s", &turn.turn_id).await;
    assert_eq!(ended.state(), proto::TurnState::Completed);
    // Once.
    assert_eq!(post(&url, &option).await.unwrap().status(), 409);
    assert_eq!(http.get(&url).send().await.unwrap().status(), 409);
}

/// Links are off until somebody says where the server is reached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_question_carries_a_link_by_default() {
    let gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    let webhook = Webhook {
        kinds: vec!["question_asked".into()],
        payload: WebhookPayload::Full.into(),
        ..ended(&receiver.url)
    };
    create(&mut service, webhook, &[]).await;
    queue(&mut client, "s", "!ask=bash x", "a").await;
    let asked = receiver.next().await.json();
    assert!(asked["data"]["questionAsked"].is_object(), "{asked}");
    assert_eq!(asked["data"]["answerUrl"], Value::Null);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let page = reqwest::get(format!("{}/answer/AAAA", gateway.address)).await;
    assert_eq!(page.unwrap().status(), 404);
}

/// The secret is shown once, and stands nowhere in the data directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_sealed_and_shown_once() {
    let mut gateway = start("");
    let receiver = Receiver::start().await;
    let mut service = webhooks(&gateway).await;
    let request = proto::CreateWebhookRequest {
        webhook: Some(ended(&receiver.url)),
        secrets: vec![],
        request_id: "r".into(),
        ..Default::default()
    };
    let made = service
        .create_webhook(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = service.create_webhook(request).await.unwrap().into_inner();
    assert_eq!((again.replayed, again.secret.as_str()), (true, ""));
    assert_eq!(again.webhook, made.webhook);
    let own = format!("whsec_{}", STANDARD.encode([9; 32]));
    create(
        &mut service,
        ended(&receiver.url),
        std::slice::from_ref(&own),
    )
    .await;
    gateway.kill();
    for entry in std::fs::read_dir(gateway.data()).unwrap().flatten() {
        let Ok(bytes) = std::fs::read(entry.path()) else {
            continue;
        };
        for secret in [&made.secret, &own] {
            let bare = secret.trim_start_matches("whsec_").as_bytes();
            let found = bytes.windows(bare.len()).any(|window| window == bare);
            assert!(!found, "{} holds a secret", entry.path().display());
        }
    }
    // Without the key the secrets can't be read: a start says so, and does not make another one.
    std::fs::remove_file(gateway.data().join("memory.key")).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(gateway.data())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("memory key"), "{said}");
}

/// A thousand webhooks whose address takes connections and never answers. What they cost is the work of their own thread:
/// counted by the system, so that it is told truly on a busy machine too.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_webhooks_to_a_dead_address_are_little_work() {
    let gateway = start(UNBOUNDED);
    let (_dead, mut service) = a_thousand_to_a_dead_address(&gateway).await;
    // All of them have something to tell: as many as may are under way, the others wait for a place.
    enqueue_all(&gateway, "warm", 100).await;
    let before = (ticks(&gateway, "webhooks"), ticks(&gateway, ""));
    let times = enqueue_all(&gateway, "a", 500).await;
    let webhooks = ticks(&gateway, "webhooks") - before.0;
    let all = ticks(&gateway, "") - before.1;
    println!("500 turns: {all} ticks of the processor, {webhooks} of them for 1000 webhooks");
    assert_eq!(times.len(), 500);
    assert!(webhooks * 10 <= all, "{webhooks} of {all}");
    let request = proto::ListWebhooksRequest::default();
    service.list_webhooks(request).await.expect("it answers");
}

/// The same as callers see it: two servers take the same calls in turns, so that whatever else the machine does meets both.
/// Its figures are told: `cargo test --release --test webhooks_out -- --ignored --nocapture thousand`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: needs a quiet machine"]
async fn a_thousand_webhooks_to_a_dead_address_cost_enqueue_next_to_nothing() {
    let (without, with) = (start(UNBOUNDED), start(UNBOUNDED));
    let (_dead, _) = a_thousand_to_a_dead_address(&with).await;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..40 {
        for (gateway, times) in [&without, &with].into_iter().zip(&mut times) {
            times.extend(enqueue_all(gateway, &format!("r{round}-"), 100).await);
        }
    }
    let [without, with] = times.map(|mut times| {
        times.sort();
        [50, 99].map(|of| times[times.len() * of / 100])
    });
    println!(
        "Enqueue, p50 and p99: {without:?} without webhooks, {with:?} with 1000 to a dead address"
    );
    assert!(with[1] <= without[1].mul_f64(1.1), "{with:?} {without:?}");
}

const UNBOUNDED: &str = "principal_requests_per_second = 0\ntenant_requests_per_second = 0\n";

async fn a_thousand_to_a_dead_address(gateway: &Gateway) -> (TcpListener, Webhooks) {
    let service = webhooks(gateway).await;
    // It takes connections, and never answers.
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", dead.local_addr().unwrap());
    // Side by side: they share commits.
    for _ in 0..10 {
        let made = (0..100).map(|_| {
            let (mut service, webhook) = (service.clone(), ended(&url));
            async move { create(&mut service, webhook, &[]).await }
        });
        futures_util::future::join_all(made).await;
    }
    (dead, service)
}

/// How long each of so many took, one behind the other, in ten sessions.
async fn enqueue_all(gateway: &Gateway, prefix: &str, count: usize) -> Vec<Duration> {
    let mut client = connect(&gateway.address).await;
    let mut times = Vec::with_capacity(count);
    let mut last = Vec::new();
    for at in 0..count {
        let key = format!("{prefix}{}", at / 10);
        let began = std::time::Instant::now();
        let turn = queue(&mut client, &key, "x", &format!("{prefix}{at}")).await;
        times.push(began.elapsed());
        last.push((key, turn.turn_id));
    }
    for (key, turn_id) in last {
        support::await_turn(&mut client, &key, &turn_id).await;
    }
    times
}

/// Processor time that the threads of a name have used, in ticks; of all threads where it is empty.
#[cfg(target_os = "linux")]
fn ticks(gateway: &Gateway, name: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.pid())).expect("it runs");
    let used = tasks.flatten().filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (_, rest) = stat.split_once('(')?;
        let (of, rest) = rest.rsplit_once(") ")?;
        // User and system time are the fields 14 and 15.
        let mut fields = rest.split(' ').skip(11);
        let mut next = || fields.next()?.parse::<u64>().ok();
        let used = next()? + next()?;
        (name.is_empty() || of == name).then_some(used)
    });
    used.sum()
}

/// A schedule's step that is cut before or after its commit is done once all the same.
#[cfg_attr(
    not(debug_assertions),
    ignore = "a release has no places to be killed at"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_is_killed_at_any_step_runs_once() {
    for step in ["schedule", "scheduled"] {
        let mut gateway = start("");
        gateway.kill();
        gateway.set_environment("QUARTERDECK_TEST_KILL_AT", step);
        gateway.restart();
        let channel = Channel::from_shared(gateway.address.clone()).unwrap();
        let channel = channel.connect().await.expect("it serves");
        let mut schedules = proto::schedule_service_client::ScheduleServiceClient::new(channel);
        let now = std::time::SystemTime::now() + Duration::from_secs(3);
        let request = proto::CreateScheduleRequest {
            schedule: Some(proto::Schedule {
                schedule_name: "once".into(),
                spec: Some(proto::ScheduleSpec {
                    when: Some(proto::schedule_spec::When::At(now.into())),
                    ..Default::default()
                }),
                enqueue: Some(proto::EnqueueRequest {
                    session_key: "s".into(),
                    text: "hello".into(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            request_id: String::new(),
        };
        schedules.create_schedule(request).await.expect("made");
        assert!(gateway.ended(SOON).await.is_none(), "killed, not ended");
        gateway.set_environment("QUARTERDECK_TEST_KILL_AT", "");
        gateway.restart();
        let channel = Channel::from_shared(gateway.address.clone()).unwrap();
        let channel = channel.connect().await.expect("it serves");
        let mut schedules = proto::schedule_service_client::ScheduleServiceClient::new(channel);
        let give_up = tokio::time::Instant::now() + SOON;
        let runs = loop {
            let request = proto::ListScheduleRunsRequest {
                schedule_name: "once".into(),
                ..Default::default()
            };
            let runs = schedules
                .list_schedule_runs(request)
                .await
                .unwrap()
                .into_inner()
                .runs;
            if !runs.is_empty() {
                break runs;
            }
            assert!(tokio::time::Instant::now() < give_up);
            tokio::task::yield_now().await;
        };
        assert_eq!(runs.len(), 1, "{step}");
        let mut client = gateway.client().await;
        support::await_turn(&mut client, "s", &runs[0].turn_id).await;
        let turns = client.list_turns(proto::ListTurnsRequest {
            session_key: "s".into(),
            ..Default::default()
        });
        assert_eq!(turns.await.unwrap().into_inner().turns.len(), 1, "{step}");
        gateway.check_store();
    }
}

// === of one turn ===

/// A webhook of one turn.
fn of_turn(url: &str, turn: &proto::Turn) -> Webhook {
    Webhook {
        url: url.to_owned(),
        filter: Some(proto::WebhookFilter {
            session_key: turn.session_key.clone(),
            turn_id: turn.turn_id.clone(),
            ..Default::default()
        }),
        ..Webhook::default()
    }
}

/// Waits until there is no webhook.
async fn until_none(service: &mut Webhooks) {
    let give_up = tokio::time::Instant::now() + SOON;
    loop {
        let request = proto::ListWebhooksRequest::default();
        let listed = service.list_webhooks(request).await.expect("listed");
        let webhooks = listed.into_inner().webhooks;
        if webhooks.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < give_up, "{webhooks:?}");
        tokio::task::yield_now().await;
    }
}

/// Also over a kill, and of a turn that has ended before somebody asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_webhook_of_a_turn_tells_it_from_its_beginning_and_ends_with_it() {
    let mut gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    run(&mut client, "s", "before").await;
    let turn = queue(&mut client, "s", "!hang it", "a").await;
    let made = create(&mut service, of_turn(&receiver.url, &turn), &[]).await;
    let filter = made.webhook.expect("it").filter.expect("one");
    assert_eq!(filter.turn_id, turn.turn_id);
    let mut told = receiver.until("turn.started").await;
    queue(&mut client, "s", "behind it", "b").await;
    gateway.kill();
    gateway.restart();
    told.extend(receiver.until("turn.ended").await);
    let mut service = webhooks(&gateway).await;
    until_none(&mut service).await;
    assert!(
        told.iter()
            .all(|it| it.json()["data"]["turnId"] == turn.turn_id.as_str())
    );
    let seqs = |told: &[Arrived]| told.iter().map(Arrived::seq).collect::<Vec<_>>();
    let mut client = gateway.client().await;
    let own = log(&mut client, "s").await;
    let own = own.iter().filter(|it| it.turn_id == turn.turn_id);
    let own: Vec<i64> = own.map(|it| it.seq).collect();
    let mut once = seqs(&told);
    // The kill may have cut one that was under way.
    once.dedup();
    assert_eq!(once, own);
    // Whoever comes late hears the same.
    create(&mut service, of_turn(&receiver.url, &turn), &[]).await;
    let again = receiver.until("turn.ended").await;
    assert_eq!(seqs(&again), own);
    until_none(&mut service).await;
    assert!(receiver.is_quiet());
    gateway.check_store();
}

/// Nobody would resume it: it goes where another one would be paused, and with its session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_webhook_of_a_turn_stays_nowhere() {
    let gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    let turn = queue(&mut client, "s", "!hang it", "a").await;
    receiver.answers([Answer::Status(410)]);
    create(&mut service, of_turn(&receiver.url, &turn), &[]).await;
    until_none(&mut service).await;
    let events = log(&mut client, "s").await;
    assert!(events.iter().any(|it| kind(it) == "webhook_paused"));
    receiver.next().await;
    // Its address fails while its session goes.
    receiver.answers([Answer::Status(503)]);
    create(&mut service, of_turn(&receiver.url, &turn), &[]).await;
    receiver.next().await;
    let delete = proto::DeleteSessionRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    client.delete_session(delete).await.expect("deleted");
    until_none(&mut service).await;
    assert!(receiver.is_quiet());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_webhook_of_a_turn_is_made_as_it_can_be_kept() {
    let gateway = start("");
    let receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    let turn = queue(&mut client, "s", "!hang it", "a").await;
    let good = of_turn(&receiver.url, &turn);
    let push = Webhook {
        format: proto::WebhookFormat::A2a.into(),
        ..good.clone()
    };
    let filtered = |session_key: &str, turn_id: &str| Webhook {
        filter: Some(proto::WebhookFilter {
            session_key: session_key.into(),
            turn_id: turn_id.into(),
            ..Default::default()
        }),
        ..good.clone()
    };
    let of = |webhook: Webhook| proto::CreateWebhookRequest {
        webhook: Some(webhook),
        ..Default::default()
    };
    let with = |token: &str, authorization: &str, webhook: &Webhook| proto::CreateWebhookRequest {
        token: token.into(),
        authorization: authorization.into(),
        ..of(webhook.clone())
    };
    let kinds = |webhook: &Webhook, kind: &str| Webhook {
        kinds: vec![kind.into()],
        ..webhook.clone()
    };
    let unknown = uuid::Uuid::now_v7().to_string();
    let signed = proto::CreateWebhookRequest {
        secrets: vec![format!("whsec_{}", STANDARD.encode([1; 24]))],
        ..of(push.clone())
    };
    for (request, reason_wanted) in [
        (of(filtered("", &turn.turn_id)), "INVALID_FIELD"),
        (of(filtered("s", "nothing")), "INVALID_FIELD"),
        (of(filtered("s", &unknown)), "TURN_NOT_FOUND"),
        (of(filtered("t", &turn.turn_id)), "SESSION_NOT_FOUND"),
        (of(kinds(&good, "turn_started")), "INVALID_FIELD"),
        (of(kinds(&push, "turn_ended")), "INVALID_FIELD"),
        (with("t", "", &good), "INVALID_FIELD"),
        (with("", "Bearer t", &good), "INVALID_FIELD"),
        (with("a\nb", "", &push), "INVALID_FIELD"),
        (with("", &"x".repeat(8 * 1024 + 1), &push), "INVALID_FIELD"),
        (
            of(Webhook {
                filter: None,
                ..push.clone()
            }),
            "INVALID_FIELD",
        ),
        (signed, "INVALID_FIELD"),
    ] {
        let refused = service.create_webhook(request.clone()).await;
        let refused = refused.expect_err("it can't be kept");
        assert_eq!(reason(&refused), reason_wanted, "{request:?}");
    }
    // What can't be told again later stays as it was made.
    let made = service
        .create_webhook(with("t", "Bearer t", &push))
        .await
        .expect("made");
    let made = made.into_inner();
    assert_eq!(made.secret, "");
    let webhook = made.webhook.expect("it");
    assert_eq!(
        (webhook.secret_count, webhook.format()),
        (0, proto::WebhookFormat::A2a)
    );
    let update = |new: Webhook, paths: &[&str], secrets: Vec<String>| proto::UpdateWebhookRequest {
        webhook_id: webhook.webhook_id.clone(),
        webhook: Some(new),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|it| (*it).to_owned()).collect(),
        }),
        secrets,
        request_id: String::new(),
    };
    let secret = format!("whsec_{}", STANDARD.encode([1; 24]));
    for request in [
        update(filtered("s", &unknown), &["filter"], vec![]),
        update(Webhook::default(), &["filter"], vec![]),
        update(Webhook::default(), &["format"], vec![]),
        update(Webhook::default(), &[], vec![secret]),
    ] {
        let refused = service.update_webhook(request).await.expect_err("it stays");
        assert_eq!(reason(&refused), "INVALID_FIELD");
    }
    let renamed = Webhook {
        display_name: "phone".into(),
        ..Webhook::default()
    };
    let renamed = service
        .update_webhook(update(renamed, &["display_name"], vec![]))
        .await;
    let renamed = renamed.expect("changed").into_inner().webhook.expect("it");
    assert_eq!(renamed.display_name, "phone");
    assert_eq!(renamed.filter, webhook.filter);
}

/// Push notifications of A2A: what the client gave goes with each of them, stands nowhere in the clear, and is not shown;
/// questions that policy answers are nobody's input.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn push_notifications_tell_a_task_and_keep_what_its_client_gave() {
    let mut gateway = start("");
    let mut receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    let request = proto::EnqueueRequest {
        session_key: "s".into(),
        text: "!ask=bash then".into(),
        no_approver: proto::NoApprover::Deny.into(),
        ..Default::default()
    };
    let turn = client.enqueue(request).await.expect("queued").into_inner();
    let turn = turn.turn.expect("a turn");
    let push = |turn: &proto::Turn, request_id: &str| proto::CreateWebhookRequest {
        webhook: Some(Webhook {
            format: proto::WebhookFormat::A2a.into(),
            ..of_turn(&receiver.url, turn)
        }),
        token: "token-of-the-client".into(),
        authorization: "Bearer credentials-of-the-client".into(),
        request_id: request_id.into(),
        ..Default::default()
    };
    let asked = push(&turn, "once");
    for replayed in [false, true] {
        let made = service.create_webhook(asked.clone()).await.expect("made");
        assert_eq!(made.into_inner().replayed, replayed);
    }
    let other = proto::CreateWebhookRequest {
        token: "another".into(),
        ..asked
    };
    let refused = service
        .create_webhook(other)
        .await
        .expect_err("another one");
    assert_eq!(reason(&refused), "IDEMPOTENCY_CONFLICT");
    let hanging = queue(&mut client, "t", "!hang it", "a").await;
    let kept = push(&hanging, "");
    let mut told = Vec::new();
    loop {
        let arrived = receiver.next().await;
        assert_eq!(arrived.header("content-type"), "application/a2a+json");
        let token = arrived.header("x-a2a-notification-token");
        assert_eq!(token, "token-of-the-client");
        let authorization = arrived.header("authorization");
        assert_eq!(authorization, "Bearer credentials-of-the-client");
        assert_eq!(arrived.header("webhook-signature"), "");
        let body = arrived.json();
        let id = format!("{}.s", turn.turn_id);
        let status = match body.get("task") {
            Some(task) => {
                assert_eq!(task["id"], id.as_str());
                &task["status"]["state"]
            }
            None => {
                assert_eq!(body["statusUpdate"]["taskId"], id.as_str());
                &body["statusUpdate"]["status"]["state"]
            }
        };
        told.push(status.as_str().expect("a state").to_owned());
        if told.last().is_some_and(|it| it == "TASK_STATE_COMPLETED") {
            let text = &body["task"]["artifacts"][0]["parts"][0]["text"];
            assert!(text.as_str().is_some_and(|it| it.contains("then")));
            break;
        }
    }
    assert_eq!(
        told,
        [
            "TASK_STATE_SUBMITTED",
            "TASK_STATE_WORKING",
            "TASK_STATE_COMPLETED"
        ]
    );
    until_none(&mut service).await;
    service.create_webhook(kept).await.expect("made");
    let shown = format!("{:?}", only(&mut service).await);
    gateway.kill();
    let mut kept = vec![shown.into_bytes()];
    for entry in std::fs::read_dir(gateway.data()).unwrap().flatten() {
        kept.extend(std::fs::read(entry.path()));
    }
    for bytes in kept {
        let found = bytes
            .windows(b"of-the-client".len())
            .any(|window| window == b"of-the-client");
        assert!(!found, "it is kept in the clear, or shown");
    }
}

/// EDGES §9, hole 11: whoever starts workers hears that one is wanted, and which.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_starts_workers_is_told_which_one_is_wanted() {
    let gateway = start(
        "default_agent = \"far\"\n[agents.far]\ndriver = \"worker\"\nworker_principals = [\"default/local\"]\n\
         worker_labels = [\"gpu=a100\"]\n",
    );
    let mut receiver = Receiver::start().await;
    let mut client = gateway.client().await;
    let mut service = webhooks(&gateway).await;
    let webhook = Webhook {
        kinds: vec!["turn_waiting".into()],
        payload: WebhookPayload::Full.into(),
        ..ended(&receiver.url)
    };
    create(&mut service, webhook, &[]).await;
    let turn = queue(&mut client, "s", "far away", "a").await;
    let told = receiver.next().await.json();
    assert_eq!(told["type"], "turn.waiting");
    assert_eq!(told["data"]["turnId"], turn.turn_id.as_str());
    let waiting = &told["data"]["turnWaiting"];
    assert_eq!(waiting["reason"], "NO_WORKER");
    assert_eq!(waiting["agent"], "far");
    assert_eq!(waiting["workerLabels"], json!({ "gpu": "a100" }));
}
