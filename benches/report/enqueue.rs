//! Enqueue, acknowledged when it is on the disk. Every session's head turn is `!hang`, so nothing but admission is timed;
//! 1000 sessions are hit at random with 200 bytes.

use super::{
    Plan,
    bare_writer::BareWriter,
    load::{Load, load, place},
    process::Server,
    seed,
    table::{Row, Spread, quantile},
};
use quarterdeck::{
    proto::{self, TurnState, gateway_service_client::GatewayServiceClient},
    store::{Store as _, sqlite::SqliteStore},
};
use std::{
    fs::File,
    io::Write as _,
    net::SocketAddr,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;
use tonic::transport::Channel;
use uuid::Uuid;

type Client = GatewayServiceClient<Channel>;

const SESSIONS: u64 = 1000;
const TEXT_BYTES: usize = 200;
/// What one caller may wait beyond an fsync, in microseconds.
const MORE_THAN_FSYNC: f64 = 300.0;
/// Bytes of a write that is synced.
const FSYNC_BYTES: usize = 4096;
const FSYNCS: usize = 200;
/// How long all head turns may take to start.
const START_MAX: Duration = Duration::from_secs(60);

/// What is measured beside each other.
struct Contestants {
    gateway_server: Server,
    peer_server: Server,
    gateway: Client,
    peer: Client,
    store: Arc<SqliteStore>,
    bare: BareWriter,
    bare_single: BareWriter,
}

/// Samples of one number of callers.
#[derive(Default)]
struct Samples {
    gateway: Vec<Load>,
    peer: Vec<Load>,
    /// Microseconds of CPU per call.
    gateway_cpu: Vec<f64>,
    peer_cpu: Vec<f64>,
    store: Vec<Load>,
    bare: Vec<Load>,
    single: Vec<Load>,
}

pub async fn rows(plan: Plan) -> Vec<Row> {
    let directory = tempfile::tempdir().expect("a directory");
    let contestants = Contestants::start(directory.path()).await;
    let mut fsync = Vec::new();
    let mut rows = Vec::new();
    for callers in [1, 16, 128] {
        let mut samples = Samples::default();
        for _ in 0..plan.samples {
            if callers == 1 {
                fsync.push(one_fsync(directory.path()));
            }
            contestants.sample(callers, plan.span, &mut samples).await;
        }
        if callers == 1 {
            let fsync = Spread::of(fsync.clone());
            let ours = p50(&samples.gateway);
            rows.push(
                Row::shown("Enqueue, 1 caller, p50", ours.show("µs", 0))
                    .against(
                        format!("one fsync {}", fsync.show("µs", 0)),
                        fsync.median / ours.median,
                    )
                    .target(
                        "≤ one fsync + 300 µs",
                        ours.median <= fsync.median + MORE_THAN_FSYNC,
                    ),
            );
        }
        rows.extend(rates(callers, &samples));
    }
    rows
}

fn rates(callers: usize, samples: &Samples) -> Vec<Row> {
    let ours = rate(&samples.gateway);
    let what = format!(
        "Enqueue, {callers} caller{}",
        if callers == 1 { "" } else { "s" }
    );
    let full = callers == 128;
    let row = |name: &str, loads: &[Load], target: f64, aim: bool| {
        let other = rate(loads);
        let ratio = ours.median / other.median;
        let row = Row::shown(what.clone(), ours.show("/s", 0))
            .against(format!("{name} {}", other.show("/s", 0)), ratio);
        if full && aim {
            row.target(format!("≥ {target:.2}"), ratio >= target)
        } else {
            row
        }
    };
    let mut rows = vec![
        row("bare tonic unary", &samples.peer, 0.5, true),
        row("bare SQLite writer, group commit", &samples.bare, 0.6, true),
        row("our store without gRPC", &samples.store, 0.0, false),
    ];
    if full {
        rows.push(row(
            "bare SQLite writer, a commit each",
            &samples.single,
            5.0,
            true,
        ));
        let p99 = |loads: &[Load]| Spread::of(loads.iter().map(|load| load.p99 / 1000.0).collect());
        let p50 = |loads: &[Load]| Spread::of(loads.iter().map(|load| load.p50 / 1000.0).collect());
        let (cpu, peer_cpu) = (
            Spread::of(samples.gateway_cpu.clone()),
            Spread::of(samples.peer_cpu.clone()),
        );
        rows.push(
            Row::shown(
                format!("{what}, CPU of the server per call"),
                cpu.show("µs", 0),
            )
            .against(
                format!("bare tonic unary {}", peer_cpu.show("µs", 0)),
                peer_cpu.median / cpu.median,
            ),
        );
        let (middle, end) = (p50(&samples.gateway), p99(&samples.gateway));
        rows.push(Row::shown(
            format!("{what}, p50 and p99"),
            format!("{}, {}", middle.show("ms", 1), end.show("ms", 1)),
        ));
    }
    rows
}

fn rate(loads: &[Load]) -> Spread {
    Spread::of(loads.iter().map(|load| load.per_second).collect())
}

fn p50(loads: &[Load]) -> Spread {
    Spread::of(loads.iter().map(|load| load.p50).collect())
}

/// The middle of some appends, each synced, in microseconds.
fn one_fsync(directory: &Path) -> f64 {
    let mut file = File::create(directory.join("fsync")).expect("a file");
    let mut waits: Vec<u32> = (0..FSYNCS)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[7; FSYNC_BYTES])
                .expect("the disk takes it");
            file.sync_data().expect("the disk takes it");
            u32::try_from(began.elapsed().as_micros()).expect("short")
        })
        .collect();
    quantile(&mut waits, 0.5)
}

// === impl Contestants ===

impl Contestants {
    async fn start(directory: &Path) -> Self {
        let made = |name: &str| {
            let path = directory.join(name);
            std::fs::create_dir(&path).expect("an empty directory");
            path
        };
        let server = Server::gateway(
            &made("gateway"),
            &[
                ("QUARTERDECK_MAX_RUNNING_TURNS", "2000"),
                ("QUARTERDECK_MAX_AWAKE_AGENTS", "2000"),
                ("QUARTERDECK_PRINCIPAL_MAX_RUNNING_TURNS", "0"),
                ("QUARTERDECK_PRINCIPAL_MAX_AWAKE_AGENTS", "0"),
                ("QUARTERDECK_TENANT_MAX_RUNNING_TURNS", "0"),
                ("QUARTERDECK_TENANT_MAX_AWAKE_AGENTS", "0"),
                ("QUARTERDECK_QUEUE_LIMIT_TURNS", "10000"),
            ],
        );
        let gateway = connect(server.address).await;
        hang(&gateway).await;
        let peer_server = Server::own("tonic", &[]);
        let peer = connect(peer_server.address).await;
        let store = seed::open(&made("store"));
        seed::busy(&store, SESSIONS).await;
        let mut bare = Vec::new();
        for (name, batch_max) in [("bare", 1024), ("single", 1)] {
            let path = made(name);
            let store = seed::open(&path);
            seed::busy(&store, SESSIONS).await;
            store.close().await;
            bare.push(BareWriter::start(&path, batch_max));
        }
        let bare_single = bare.pop().expect("two were made");
        let bare = bare.pop().expect("two were made");
        Self {
            gateway_server: server,
            peer_server,
            gateway,
            peer,
            store,
            bare,
            bare_single,
        }
    }

    async fn sample(&self, callers: usize, span: Duration, samples: &mut Samples) {
        for (client, server, loads, cpu) in [
            (
                &self.peer,
                &self.peer_server,
                &mut samples.peer,
                &mut samples.peer_cpu,
            ),
            (
                &self.gateway,
                &self.gateway_server,
                &mut samples.gateway,
                &mut samples.gateway_cpu,
            ),
        ] {
            let before = server.cpu();
            let load = remote(client, callers, span).await;
            cpu.push((server.cpu() - before).as_micros() as f64 / load.calls as f64);
            loads.push(load);
        }
        samples.bare.push(bare(&self.bare, callers, span).await);
        let store = self.store.clone();
        let text = text();
        let call = async move |number| {
            let key = seed::key(place(number, SESSIONS));
            store
                .enqueue(seed::enqueue(key, &text))
                .await
                .expect("admitted");
        };
        samples.store.push(load(callers, span, call).await);
        if callers == 128 {
            samples
                .single
                .push(bare(&self.bare_single, callers, span).await);
        }
    }
}

async fn bare(writer: &BareWriter, callers: usize, span: Duration) -> Load {
    let (writer, text) = (writer.clone(), text());
    let call = async move |number| writer.enqueue(place(number, SESSIONS), &text).await;
    load(callers, span, call).await
}

async fn remote(client: &Client, callers: usize, span: Duration) -> Load {
    let (client, text, run) = (client.clone(), text(), Uuid::now_v7());
    let call = async move |number| {
        let request = proto::EnqueueRequest {
            session_key: seed::key(place(number, SESSIONS)).to_string(),
            text: text.clone(),
            request_id: format!("{run}-{number}"),
            ..Default::default()
        };
        client.clone().enqueue(request).await.expect("admitted");
    };
    load(callers, span, call).await
}

fn text() -> String {
    "x".repeat(TEXT_BYTES)
}

pub async fn connect(address: SocketAddr) -> Client {
    Client::connect(format!("http://{address}"))
        .await
        .expect("the server accepts")
}

/// Gives every session a head turn that never ends, and waits until all run.
async fn hang(client: &Client) {
    let numbers = Rc::new(Mutex::new(0..SESSIONS));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (mut client, numbers) = (client.clone(), numbers.clone());
        tasks.spawn_local(async move {
            loop {
                let Some(number) = numbers.lock().await.next() else {
                    break;
                };
                let request = proto::EnqueueRequest {
                    session_key: seed::key(number).to_string(),
                    text: "!hang".into(),
                    ..Default::default()
                };
                client.enqueue(request).await.expect("admitted");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no call fails");
    }
    let waiting = proto::ListTurnsRequest {
        states: vec![TurnState::Queued.into()],
        ..Default::default()
    };
    let deadline = Instant::now() + START_MAX;
    let mut client = client.clone();
    while !client
        .list_turns(waiting.clone())
        .await
        .expect("readable")
        .into_inner()
        .turns
        .is_empty()
    {
        assert!(Instant::now() < deadline, "the head turns don't start");
    }
}
