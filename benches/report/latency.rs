//! How long a token is on its way: 1000 a second to 100 readers with a connection each, which is about all that a core's
//! kernel can write. From the making of its text to its reading.

use super::{Plan, client::Readers, fanout, process::Server, table::{Row, Spread, quantile}};

const READERS: usize = 100;
const PER_SECOND: u32 = 1000;
/// What the gateway may add to the peer, in microseconds.
const MORE_MAX: f64 = 100.0;

pub async fn rows(plan: Plan) -> Vec<Row> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut servers = [
        Server::own("tonic", &[]),
        Server::own("rooms", &[directory.path().as_os_str()]),
    ];
    let mut p50 = [const { Vec::new() }; 2];
    let mut p99 = [const { Vec::new() }; 2];
    for _ in 0..plan.samples {
        for (place, server) in servers.iter_mut().enumerate() {
            let mut latencies = sample(server, plan).await;
            p50[place].push(quantile(&mut latencies, 0.5));
            p99[place].push(quantile(&mut latencies, 0.99));
        }
    }
    let [peer, ours] = p50.map(Spread::of);
    let [peer_p99, ours_p99] = p99.map(Spread::of);
    let what = format!("token latency, {PER_SECOND}/s, {READERS} own connections");
    vec![
        Row::shown(format!("{what}, p50"), ours.show("µs", 0))
            .against(format!("bare tonic stream {}", peer.show("µs", 0)), peer.median / ours.median)
            .target(format!("≤ peer + {MORE_MAX:.0} µs"), ours.median <= peer.median + MORE_MAX),
        Row::shown(format!("{what}, p99"), ours_p99.show("µs", 0)).against(
            format!("bare tonic stream {}", peer_p99.show("µs", 0)),
            peer_p99.median / ours_p99.median,
        ),
    ]
}

async fn sample(server: &mut Server, plan: Plan) -> Vec<u32> {
    let tokens = PER_SECOND * u32::try_from(plan.span.as_millis()).expect("short") * 2 / 1000;
    server.tell(&format!("open {READERS} {READERS}"));
    let readers = Readers::open(server.address, READERS, READERS, &fanout::request()).await;
    let warm = u64::from(PER_SECOND / 10) * READERS as u64;
    server.tell(&format!("pace {PER_SECOND} {}", PER_SECOND / 10));
    readers.until_tokens(warm).await;
    readers.keep_latencies();
    server.tell(&format!("pace {PER_SECOND} {tokens}"));
    readers.until_tokens(warm + u64::from(tokens) * READERS as u64).await;
    readers.latencies()
}
