//! Fan-out: CPU of the server per delivered event, 100 readers of one session.
//!
//! A burst is what is ready at one wake-up. The next one is asked for when every reader has the last event of the one
//! before, so bursts never run together and every event is proven to have come.

use super::{
    Plan,
    client::Readers,
    process::Server,
    producer,
    table::{Row, Spread},
};
use quarterdeck::proto;
use std::time::Instant;

const READERS: usize = 100;
/// Bursts before the measured ones.
const WARM_BURSTS: u64 = 20;

/// Connections that the readers share, and events per burst.
#[derive(Clone, Copy)]
struct Regime {
    connections: usize,
    burst: usize,
    /// Least part of the TCP floor.
    of_tcp: Option<f64>,
    /// Least part of raw h2.
    of_h2: Option<f64>,
}

const REGIMES: [Regime; 5] = [
    regime(8, 1, None, Some(0.75)),
    regime(8, 8, Some(0.4), Some(2.0)),
    regime(8, 64, Some(0.4), Some(2.0)),
    regime(READERS, 1, Some(0.75), None),
    regime(READERS, 64, Some(0.8), None),
];

const fn regime(
    connections: usize,
    burst: usize,
    of_tcp: Option<f64>,
    of_h2: Option<f64>,
) -> Regime {
    Regime {
        connections,
        burst,
        of_tcp,
        of_h2,
    }
}

pub async fn rows(plan: Plan) -> Vec<Row> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut servers = [
        Server::own("tcp", &[]),
        Server::own("h2", &[]),
        Server::own("rooms", &[directory.path().as_os_str()]),
    ];
    let mut rows = Vec::new();
    for regime in REGIMES {
        let mut samples = [const { Vec::new() }; 3];
        for _ in 0..plan.samples {
            for (server, samples) in servers.iter_mut().zip(&mut samples) {
                samples.push(sample(server, regime, plan).await);
            }
        }
        let [tcp, h2, ours] = samples.map(Spread::of);
        let what = format!(
            "CPU per delivered event, {READERS} readers, {}, burst {}",
            if regime.connections == READERS {
                "own connections".to_owned()
            } else {
                format!("{} connections", regime.connections)
            },
            regime.burst,
        );
        for (name, floor, target) in [
            ("hand-framed TCP", tcp, regime.of_tcp),
            ("raw h2", h2, regime.of_h2),
        ] {
            let ratio = floor.median / ours.median;
            let mut row = Row::shown(what.clone(), ours.show("ns", 0))
                .against(format!("{name} {}", floor.show("ns", 0)), ratio);
            if let Some(target) = target {
                row = row.target(format!("≥ {target:.2}"), ratio >= target);
            }
            rows.push(row);
        }
    }
    rows
}

/// What a subscriber asks for.
pub fn request() -> proto::SubscribeRequest {
    proto::SubscribeRequest {
        session_key: producer::SESSION_KEY.into(),
        progress_interval: Some(prost_types::Duration {
            seconds: 300,
            nanos: 0,
        }),
        ..Default::default()
    }
}

/// Nanoseconds of CPU per delivered event.
async fn sample(server: &mut Server, regime: Regime, plan: Plan) -> f64 {
    let Regime {
        connections, burst, ..
    } = regime;
    server.tell(&format!("open {connections} {READERS}"));
    let readers = Readers::open(server.address, connections, READERS, &request()).await;
    let command = format!("burst {burst}");
    let per_burst = (burst * READERS) as u64;
    let mut bursts = 0;
    let mut began = (Instant::now(), server.cpu());
    while bursts < WARM_BURSTS * 2 || began.0.elapsed() < plan.span {
        if bursts == WARM_BURSTS {
            began = (Instant::now(), server.cpu());
        }
        server.tell(&command);
        bursts += 1;
        readers.until_tokens(bursts * per_burst).await;
    }
    let used = server.cpu() - began.1;
    if std::env::var_os("BENCH_TRACE").is_some() {
        eprintln!(
            "{} {connections}/{burst}: {bursts} bursts, message {} bytes, {:?} CPU in {:?}",
            server.address,
            readers.token_bytes(),
            used,
            began.0.elapsed()
        );
    }
    used.as_nanos() as f64 / ((bursts - WARM_BURSTS) * per_burst) as f64
}
