//! Resident memory per thing that there may be many of, as growth of the server over many of them.

use super::{
    Plan, client::Readers, enqueue::connect, fanout, floors::announce, process::Server, seed,
    table::Row,
};
use quarterdeck::{
    agent::{Driver as _, OpenRequest, echo::Echo},
    proto,
};
use std::{cell::Cell, rc::Rc};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Sessions before those that count, so that caches are full.
const WARM: u64 = 500;
pub const AWAKE: u64 = 2000;
const READERS: usize = 2000;
const CONNECTIONS: usize = 8;
pub const SLEEPING: u64 = 100_000;
const SLEEPING_MAX: f64 = 100.0;
const KIB: f64 = 1024.0;
const AWAKE_MAX: f64 = 4.0 * KIB;
const READER_MAX: f64 = 4.0 * KIB;

pub async fn rows(_: Plan) -> Vec<Row> {
    vec![sleeping().await, awake().await, reader().await]
}

async fn sleeping() -> Row {
    let mut resident = Vec::new();
    for sessions in [0, SLEEPING] {
        let directory = tempfile::tempdir().expect("a directory");
        let store = seed::open(directory.path());
        seed::sleeping(&store, sessions).await;
        quarterdeck::store::Store::close(&*store).await;
        let server = Server::gateway(directory.path(), &[]);
        let mut client = connect(server.address).await;
        client
            .list_sessions(proto::ListSessionsRequest::default())
            .await
            .expect("readable");
        resident.push(server.resident() as f64);
    }
    let each = (resident[1] - resident[0]) / SLEEPING as f64;
    Row::shown(
        format!("memory per sleeping session ({SLEEPING})"),
        format!("{each:.0} B"),
    )
    .target("≤ 100 B", each <= SLEEPING_MAX)
}

/// Growth over sessions that stay awake, less growth over as many that don't (pages of the store's cache), less what an
/// echo agent takes.
async fn awake() -> Row {
    let mut each = Vec::new();
    for awake_max in ["10000", "64"] {
        let directory = tempfile::tempdir().expect("a directory");
        let server = Server::gateway(
            directory.path(),
            &[
                ("QUARTERDECK_MAX_AWAKE_AGENTS", awake_max),
                ("QUARTERDECK_AGENT_IDLE_TIMEOUT", "1h"),
            ],
        );
        run_turns(&server, 0..WARM).await;
        let before = server.resident();
        run_turns(&server, WARM..WARM + AWAKE).await;
        each.push((server.resident() as f64 - before as f64) / AWAKE as f64);
    }
    let agent = Server::own("agents", &[]).resident() as f64;
    let agent = (agent - Server::own("no-agents", &[]).resident() as f64) / AWAKE as f64;
    let session = each[0] - each[1] - agent;
    Row::shown(
        format!(
            "memory per awake idle session, besides its echo agent ({:.1} KiB) ({AWAKE})",
            agent / KIB
        ),
        format!("{:.1} KiB", session / KIB),
    )
    .target("≤ 4 KiB", session <= AWAKE_MAX)
}

/// Holds that many idle echo agents until standard input ends.
#[tokio::main(flavor = "current_thread")]
pub async fn hold_agents(count: u64) {
    let mut agents = Vec::new();
    for number in 0..count {
        let request = OpenRequest {
            tenant: "default".into(),
            session_key: seed::key(number).to_string(),
            session_id: Uuid::now_v7(),
            model: String::new(),
            thinking_level: String::new(),
            working_directory: "/".into(),
            session_directory: "/".into(),
            owner_directory: "/".into(),
            gateway_directory: "/".into(),
            home_directory: "/".into(),
            temporary_directory: "/".into(),
            user: None,
            credential: None,
            conversation: std::sync::Arc::new(quarterdeck::agent::conversation::NoMessages),
            trace_context: String::new(),
        };
        agents.push(Echo.open(request).await.expect("echo always opens"));
        tokio::task::yield_now().await;
    }
    announce(([127, 0, 0, 1], 0).into());
    std::io::stdin().lines().for_each(drop);
}

async fn reader() -> Row {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::own("rooms", &[directory.path().as_os_str()]);
    // The first ones, then gone: what the allocator keeps in any case is there before those that count.
    drop(Readers::open(server.address, CONNECTIONS, CONNECTIONS, &fanout::request()).await);
    let few = Readers::open(server.address, CONNECTIONS, CONNECTIONS, &fanout::request()).await;
    let before = server.resident();
    let _many =
        Readers::open_in_turn(server.address, CONNECTIONS, READERS, &fanout::request()).await;
    let each = (server.resident() as f64 - before as f64) / READERS as f64;
    drop(few);
    Row::shown(
        format!("memory per idle reader, {CONNECTIONS} connections ({READERS})"),
        format!("{:.1} KiB", each / KIB),
    )
    .target("≤ 4 KiB", each <= READER_MAX)
}

/// Runs a short turn in each session.
async fn run_turns(server: &Server, sessions: std::ops::Range<u64>) {
    let client = connect(server.address).await;
    let next = Rc::new(Cell::new(sessions.start));
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let (mut client, next) = (client.clone(), next.clone());
        tasks.spawn_local(async move {
            loop {
                let number = next.get();
                if number >= sessions.end {
                    break;
                }
                next.set(number + 1);
                let session_key = seed::key(number).to_string();
                let request = proto::EnqueueRequest {
                    session_key: session_key.clone(),
                    text: "hello there".into(),
                    ..Default::default()
                };
                let turn = client
                    .enqueue(request)
                    .await
                    .expect("admitted")
                    .into_inner()
                    .turn;
                let request = proto::AwaitTurnRequest {
                    session_key,
                    turn_id: turn.expect("a turn").turn_id,
                    wait: Some(prost_types::Duration {
                        seconds: 60,
                        nanos: 0,
                    }),
                    or_question: false,
                };
                client.await_turn(request).await.expect("the turn exists");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no call fails");
    }
}
