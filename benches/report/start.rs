//! Cold start to the first healthy answer, a list page, and sizes.

use super::{
    Plan,
    enqueue::connect,
    memory::SLEEPING,
    process::Server,
    seed,
    table::{Row, Spread, quantile},
};
use quarterdeck::{proto, store::Store as _};
use std::{path::Path, time::Instant};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

const MIB: f64 = 1024.0 * 1024.0;
const BINARY_MAX: f64 = 25.0;
const IDLE_MAX: f64 = 20.0;
const LIST_MAX: f64 = 5.0;
const PAGES: usize = 50;
/// Starts per sample; a start is short.
const STARTS: usize = 5;

pub async fn rows(plan: Plan) -> Vec<Row> {
    let mut rows = Vec::new();
    for (sessions, most) in [(0, 20.0), (SLEEPING, 50.0)] {
        let directory = tempfile::tempdir().expect("a directory");
        let store = seed::open(directory.path());
        seed::sleeping(&store, sessions).await;
        store.close().await;
        drop(store);
        let mut starts = Vec::new();
        for _ in 0..plan.samples * STARTS {
            starts.push(start(directory.path()).await.1);
        }
        let starts = Spread::of(starts);
        rows.push(
            Row::shown(
                format!("cold start to the first healthy answer, {sessions} sessions"),
                starts.show("ms", 1),
            )
            .target(format!("≤ {most:.0} ms"), starts.median <= most),
        );
        let (server, _) = start(directory.path()).await;
        if sessions == 0 {
            let resident = server.resident() as f64 / MIB;
            rows.push(
                Row::shown(
                    "resident memory of an idle server",
                    format!("{resident:.1} MiB"),
                )
                .target(format!("≤ {IDLE_MAX:.0} MiB"), resident <= IDLE_MAX),
            );
        } else {
            let page = list(&server).await;
            rows.push(
                Row::shown(
                    format!("a page of 100 of {sessions} sessions, p50 of {PAGES} pages"),
                    format!("{page:.2} ms"),
                )
                .target(format!("≤ {LIST_MAX:.0} ms"), page <= LIST_MAX),
            );
        }
    }
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_quarterdeck"))
        .expect("it was built")
        .len() as f64
        / MIB;
    rows.push(
        Row::shown("the binary, stripped", format!("{size:.1} MiB"))
            .target(format!("≤ {BINARY_MAX:.0} MiB"), size <= BINARY_MAX),
    );
    rows
}

/// Starts the gateway; returns it with the milliseconds from before its process to its answer that it is healthy.
async fn start(data: &Path) -> (Server, f64) {
    let began = Instant::now();
    let server = Server::gateway(data, &[]);
    let channel = Endpoint::from_shared(format!("http://{}", server.address))
        .expect("an address")
        .connect()
        .await
        .expect("the server accepts");
    let mut health = HealthClient::new(channel);
    let answer = health
        .check(HealthCheckRequest::default())
        .await
        .expect("the server answers")
        .into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    (server, began.elapsed().as_secs_f64() * 1000.0)
}

/// Milliseconds of a page, page after page.
async fn list(server: &Server) -> f64 {
    let mut client = connect(server.address).await;
    let mut token = String::new();
    let mut waits = Vec::with_capacity(PAGES);
    for _ in 0..PAGES {
        let request = proto::ListSessionsRequest {
            page_size: 100,
            page_token: token,
            ..Default::default()
        };
        let began = Instant::now();
        let page = client
            .list_sessions(request)
            .await
            .expect("readable")
            .into_inner();
        waits.push(u32::try_from(began.elapsed().as_micros()).expect("short"));
        assert_eq!(page.sessions.len(), 100);
        token = page.next_page_token;
    }
    quantile(&mut waits, 0.5) / 1000.0
}
