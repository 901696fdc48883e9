//! `cargo bench`: measures the gateway beside its floors and peers, and prints one table.
//!
//! `cargo bench -- NAME…` runs the lines whose group's name contains one of the names; `--quick` takes fewer and shorter
//! samples. Only ratios inside one run travel between machines, so every target is one, and what is compared runs in
//! turn (floor, gateway, floor, gateway …), each server in a process of its own. Figures are medians.
//!
//! * [`fanout`]: CPU that a delivered event costs the server; [`latency`]: how long a token is on its way.
//! * [`enqueue`]: admission; [`replay`]: the stored log; [`memory`]; [`start`]: cold start, lists, sizes.
//! * [`recall`]: what is remembered, searched.
//! * [`rooms`], [`floors`], [`peer`], [`bare_writer`]: what is measured and what it is measured against.
//! * [`client`], [`load`], [`process`], [`producer`], [`seed`], [`table`]: the tools.
#![forbid(unsafe_code)]

mod bare_writer;
mod client;
mod enqueue;
mod fanout;
mod floors;
mod latency;
mod load;
mod memory;
mod peer;
mod process;
mod producer;
mod recall;
mod replay;
mod rooms;
mod seed;
mod start;
mod table;

use std::{future::Future, pin::Pin, time::Duration};
use table::Row;
use tokio::task::LocalSet;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Samples of each figure.
    pub samples: usize,
    /// Time of one sample.
    pub span: Duration,
}

type Group = fn(Plan) -> Pin<Box<dyn Future<Output = Vec<Row>>>>;

const GROUPS: [(&str, Group); 7] = [
    ("fan-out", |plan| Box::pin(fanout::rows(plan))),
    ("latency", |plan| Box::pin(latency::rows(plan))),
    ("enqueue", |plan| Box::pin(enqueue::rows(plan))),
    ("replay", |plan| Box::pin(replay::rows(plan))),
    ("memory", |plan| Box::pin(memory::rows(plan))),
    ("recall", |plan| Box::pin(recall::rows(plan))),
    ("start", |plan| Box::pin(start::rows(plan))),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == process::SERVER_ARGUMENT)
    {
        return serve(&arguments[1..]);
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let names: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let plan = if quick {
        Plan {
            samples: 1,
            span: Duration::from_millis(300),
        }
    } else {
        Plan {
            samples: 5,
            span: Duration::from_millis(700),
        }
    };
    println!("{}\n\n{}", table::machine(), table::HEAD);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a process can have a runtime");
    for (name, group) in GROUPS {
        if names.is_empty() || names.iter().any(|wanted| name.contains(wanted.as_str())) {
            for row in LocalSet::new().block_on(&runtime, group(plan)) {
                println!("{}", table::markdown(&row));
            }
        }
    }
}

/// Is a measured server until its standard input ends.
fn serve(arguments: &[String]) {
    match arguments {
        [name] if name == "tcp" => floors::tcp(),
        [name] if name == "h2" => floors::h2(),
        [name] if name == "tonic" => peer::tonic(),
        [name] if name == "agents" => memory::hold_agents(memory::AWAKE),
        [name] if name == "no-agents" => memory::hold_agents(0),
        [name, data] if name == "rooms" => rooms::serve(data.as_ref()),
        other => panic!("no server: {other:?}"),
    }
}
