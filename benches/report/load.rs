//! Callers in a closed loop: each makes its next call when it has the answer to the one before.

use super::table::quantile;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Time of calls before those that count.
const WARM: Duration = Duration::from_millis(200);

/// What callers saw.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Calls, those before the ones that count included.
    pub calls: u64,
    pub per_second: f64,
    /// Microseconds.
    pub p50: f64,
    /// Microseconds.
    pub p99: f64,
}

/// Calls from that many callers for that long. Each call gets a number of its own.
pub async fn load(callers: usize, span: Duration, call: impl AsyncFn(u64) + 'static) -> Load {
    let call = Rc::new(call);
    let numbers = Rc::new(Cell::new(0));
    let waits = Rc::new(RefCell::new(Vec::new()));
    let begin = Instant::now() + WARM;
    let end = begin + span;
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (call, numbers, waits) = (call.clone(), numbers.clone(), waits.clone());
        tasks.spawn_local(async move {
            loop {
                let asked = Instant::now();
                if asked >= end {
                    break;
                }
                let number = numbers.get();
                numbers.set(number + 1);
                call(number).await;
                let answered = Instant::now();
                if asked >= begin && answered <= end {
                    let micros = (answered - asked).as_micros();
                    waits
                        .borrow_mut()
                        .push(u32::try_from(micros).expect("short"));
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no call fails");
    }
    let mut waits = waits.take();
    Load {
        calls: numbers.get(),
        per_second: waits.len() as f64 / span.as_secs_f64(),
        p50: quantile(&mut waits, 0.5),
        p99: quantile(&mut waits, 0.99),
    }
}

/// Session that a call is about: at random, but the same for the same number.
pub fn place(number: u64, sessions: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % sessions
}
