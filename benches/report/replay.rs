//! Replay: a stored log of 100 000 events to one reader, from the oldest on.

use super::{
    Plan,
    client::Readers,
    fanout,
    process::Server,
    producer::SESSION_KEY,
    seed,
    table::{Row, Spread},
};
use quarterdeck::{domain::ids::SessionKey, proto, store::Store as _};
use rusqlite::Connection;
use std::{path::Path, time::Instant};

const EVENTS: usize = 100_000;
const EVENTS_PER_SECOND: f64 = 500_000.0;
/// What the server may grow by while one reader replays, in bytes.
const GROWTH_MAX: f64 = 16.0 * MIB;
const MIB: f64 = 1024.0 * 1024.0;

pub async fn rows(plan: Plan) -> Vec<Row> {
    let directory = tempfile::tempdir().expect("a directory");
    let store = seed::open(directory.path());
    let key = SessionKey::parse(SESSION_KEY).expect("it follows the grammar");
    let (row, head) = seed::log(&store, key, EVENTS).await;
    store.close().await;
    drop(store);
    let server = Server::gateway(
        directory.path(),
        &[("QUARTERDECK_RETENTION_EVENTS", "1000000")],
    );
    let request = proto::SubscribeRequest {
        from_oldest: true,
        ..fanout::request()
    };
    let head_count = u64::try_from(head).expect("a length");
    let mut rates = Vec::new();
    let mut floors = Vec::new();
    let mut growth = Vec::new();
    let mut cpu = Vec::new();
    for _ in 0..plan.samples {
        floors.push(head as f64 / select(directory.path(), row.0));
        let (resident, used) = (server.resident(), server.cpu());
        let began = Instant::now();
        let readers = Readers::start(server.address, 1, 1, &request).await;
        readers.until_durable(head_count).await;
        rates.push(head as f64 / began.elapsed().as_secs_f64());
        cpu.push((server.cpu() - used).as_nanos() as f64 / head as f64);
        growth.push((server.resident_peak() as f64 - resident as f64) / MIB);
    }
    // The peak is of the server's life: the first replay's growth is the whole one.
    let grown = growth[0];
    let (rate, floor, cpu) = (Spread::of(rates), Spread::of(floors), Spread::of(cpu));
    vec![
        Row::shown(
            format!("replay of {head} stored events, 1 reader"),
            rate.show("events/s", 0),
        )
        .against(
            format!("bare SELECT of the rows {}", floor.show("/s", 0)),
            rate.median / floor.median,
        )
        .target("≥ 500 000 events/s", rate.median >= EVENTS_PER_SECOND),
        Row::shown("the same, CPU per event", cpu.show("ns", 0)),
        Row::shown(
            "the same, growth of resident memory",
            format!("{grown:.1} MiB"),
        )
        .target("≤ 16 MiB", grown * MIB <= GROWTH_MAX),
    ]
}

/// Seconds to read all bodies in order.
fn select(data: &Path, session: i64) -> f64 {
    let connection = Connection::open(data.join("quarterdeck.db")).expect("a store");
    let began = Instant::now();
    let mut statement = connection
        .prepare("SELECT seq, body FROM event WHERE session = ?1 ORDER BY seq")
        .expect("a schema");
    let bytes: usize = statement
        .query_map([session], |row| {
            row.get_ref(1)?
                .as_blob()
                .map(<[u8]>::len)
                .map_err(Into::into)
        })
        .expect("readable")
        .map(|length| length.expect("readable"))
        .sum();
    assert!(bytes > 0, "there are bodies");
    began.elapsed().as_secs_f64()
}
