//! How long a token is on its way to 100 readers with a connection each, from the making of its text to its reading.

use super::{
    Plan,
    client::Readers,
    fanout,
    process::Server,
    table::{Row, Spread, quantile},
};

const READERS: usize = 100;
/// Tokens a second: what a model gives, and what a core can hardly write.
const RATES: [u32; 2] = [100, 1000];
/// The rate that has a target.
const FULL_RATE: u32 = 1000;
/// What the gateway may add to the peer, in microseconds.
const MORE_MAX: f64 = 100.0;

pub async fn rows(plan: Plan) -> Vec<Row> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut servers = [
        Server::own("tonic", &[]),
        Server::own("rooms", &[directory.path().as_os_str()]),
    ];
    let mut rows = Vec::new();
    for per_second in RATES {
        let mut p50 = [const { Vec::new() }; 2];
        let mut p99 = [const { Vec::new() }; 2];
        for _ in 0..plan.samples {
            for (place, server) in servers.iter_mut().enumerate() {
                let mut latencies = sample(server, per_second, plan).await;
                p50[place].push(quantile(&mut latencies, 0.5));
                p99[place].push(quantile(&mut latencies, 0.99));
            }
        }
        for (part, [peer, ours]) in [("p50", p50.map(Spread::of)), ("p99", p99.map(Spread::of))] {
            let what = format!("token latency, {per_second}/s, {READERS} own connections, {part}");
            let against = format!("bare tonic stream {}", peer.show("µs", 0));
            let row =
                Row::shown(what, ours.show("µs", 0)).against(against, peer.median / ours.median);
            rows.push(if per_second == FULL_RATE && part == "p50" {
                let met = ours.median <= peer.median + MORE_MAX;
                row.target(format!("≤ peer + {MORE_MAX:.0} µs"), met)
            } else {
                row
            });
        }
    }
    rows
}

async fn sample(server: &mut Server, per_second: u32, plan: Plan) -> Vec<u32> {
    let tokens = per_second * u32::try_from(plan.span.as_millis()).expect("short") * 2 / 1000;
    server.tell(&format!("open {READERS} {READERS}"));
    let readers = Readers::open(server.address, READERS, READERS, &fanout::request()).await;
    let warm = u64::from(per_second / 10) * READERS as u64;
    server.tell(&format!("pace {per_second} {}", per_second / 10));
    readers.until_tokens(warm).await;
    readers.keep_latencies();
    server.tell(&format!("pace {per_second} {tokens}"));
    readers
        .until_tokens(warm + u64::from(tokens) * READERS as u64)
        .await;
    readers.latencies()
}
