//! What the measured servers send: the same tokens, made by the gateway's own encoder, on the same commands.

use bytes::{Bytes, BytesMut};
use prost_types::Timestamp;
use quarterdeck::{
    clock,
    domain::ids::{LogId, SessionKey},
    proto::{self, gateway_event::Kind},
    wire::frames::{self, LogPrefix, Position},
};
use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use uuid::Uuid;

/// Session that everyone reads.
pub const SESSION_KEY: &str = "bench:fan-out";

/// What the report asks of a server.
pub enum Command {
    /// That many readers are about to dial in.
    Open { connections: usize, readers: usize },
    /// That many tokens, ready at once.
    Burst(usize),
    /// Single tokens at a rate.
    Pace { per_second: u32, count: u32 },
}

/// Ids that all tokens carry.
static IDS: LazyLock<(LogPrefix, Uuid, Uuid)> = LazyLock::new(|| {
    let key = SessionKey::parse(SESSION_KEY).expect("it follows the grammar");
    let prefix = LogPrefix::new(&key, LogId(Uuid::now_v7()));
    (prefix, Uuid::now_v7(), Uuid::now_v7())
});

// === impl Command ===

impl Command {
    /// Reads a line of the report's.
    pub fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |text: &str| text.parse::<usize>().expect("the report writes numbers");
        let small = |text: &str| text.parse::<u32>().expect("the report writes numbers");
        match words.as_slice() {
            ["open", connections, readers] => Self::Open {
                connections: number(connections),
                readers: number(readers),
            },
            ["burst", count] => Self::Burst(number(count)),
            ["pace", per_second, count] => Self::Pace {
                per_second: small(per_second),
                count: small(count),
            },
            other => panic!("no command: {other:?}"),
        }
    }
}

/// A token's text: the moment of its making in nanoseconds, as 20 digits, then what makes it 40 bytes.
pub fn token_text() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("{:020} and some more words", since.as_nanos())
}

/// A token as a message.
pub fn token() -> proto::GatewayEvent {
    let (_, turn_id, item_id) = &*IDS;
    let micros = clock::now().0;
    proto::GatewayEvent {
        session_key: SESSION_KEY.into(),
        log_id: Uuid::nil().to_string(),
        after_seq: 3,
        event_time: Some(Timestamp {
            seconds: micros / 1_000_000,
            nanos: i32::try_from(micros % 1_000_000 * 1000).expect("below a second"),
        }),
        turn_id: turn_id.to_string(),
        item_id: item_id.to_string(),
        generation: 1,
        kind: Some(Kind::Token(proto::Token {
            delta: token_text(),
            content_index: 0,
            offset: 40_000,
        })),
        ..Default::default()
    }
}

/// Frames of that many tokens.
pub fn burst(count: usize) -> Bytes {
    let (prefix, turn_id, item_id) = &*IDS;
    let mut out = BytesMut::with_capacity(count * 256);
    for _ in 0..count {
        let token = Kind::Token(proto::Token {
            delta: token_text(),
            content_index: 0,
            offset: 40_000,
        });
        let body = frames::body(clock::now(), Some(*turn_id), Some(*item_id), 1, token);
        prefix.put_frame(&mut out, Position::AfterSeq(3), &body);
    }
    out.freeze()
}

/// Frame of the event by which a reader knows that it is live.
pub fn caught_up() -> Bytes {
    let body = frames::body(
        clock::now(),
        None,
        None,
        0,
        Kind::CaughtUp(proto::CaughtUp::default()),
    );
    IDS.0.frame(Position::AfterSeq(3), &body)
}

/// Calls `push` at a rate, on this thread; late calls are made up for.
#[allow(
    clippy::disallowed_methods,
    reason = "a thread of its own, which is there to keep time"
)]
pub fn pace(per_second: u32, count: u32, mut push: impl FnMut()) {
    let start = Instant::now();
    let step = Duration::from_secs(1) / per_second;
    for number in 0..count {
        let due = start + step * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        push();
    }
}
