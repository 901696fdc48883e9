//! R5: a reader that resumes sees every durable event once and in order, across cuts, kills, restarts and retention.

use crate::{
    support::reason,
    verify::{Account, Witness},
    world::{Dice, LOOK, PATIENCE, Site, Visitor, dice, fact, figure, is_away, prompt, span},
};
use quarterdeck::proto::{Cursor, GatewayEvent, SubscribeRequest};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};
use tonic::Code;

/// Sessions.
const SESSIONS: u64 = 8;
/// Readers over all sessions; one of ten is slow.
const READERS: u64 = 100;
/// Turns that may wait before a writer waits for the readers' sake.
const WAITING_MAX: i32 = 8;
/// Bytes that a slow reader's stream holds unread.
const NARROW: u32 = 4096;

/// Heads of the finished logs; empty while there are writers.
type Heads = HashMap<String, i64>;

/// What all readers count together.
#[derive(Default)]
struct Counts {
    delivered: AtomicU64,
    cuts: AtomicU64,
    expired: AtomicU64,
    /// Streams that retention overtook while they were open.
    overtaken: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r05_readers_see_each_event_once_in_order_across_kills_restarts_and_retention() {
    let mut dice = dice(5);
    let mut site = Site::start("retention_events = 150\ndrain_timeout = \"2s\"\n".into());
    let counts = Arc::new(Counts::default());
    let (heads, _) = watch::channel(Heads::new());
    let (writing, _) = watch::channel(true);
    let mut writers = JoinSet::new();
    for session in 0..SESSIONS {
        let mut visitor = site.visitor().await;
        visitor
            .enqueue(&prompt(&key(session), "first", "first"))
            .await
            .expect("accepted");
        writers.spawn(write(
            visitor,
            dice.fork(),
            key(session),
            writing.subscribe(),
        ));
    }
    let witnesses: Vec<Arc<Witness>> = (0..SESSIONS).map(|_| Arc::default()).collect();
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        let session = number % SESSIONS;
        let slow = number % 10 == 9;
        let visitor = if slow {
            site.narrow_visitor(NARROW).await
        } else {
            site.visitor().await
        };
        let reader = Reader {
            visitor,
            dice: dice.fork(),
            slow,
            key: key(session),
            account: Account::default(),
            witness: witnesses[session as usize].clone(),
            counts: counts.clone(),
        };
        readers.spawn(reader.read(heads.subscribe()));
    }

    // Kills and rolling restarts, then a life long enough for retention to work below attached readers.
    for round in 0..figure(12, 400) {
        tokio::time::sleep(dice.millis(100, 700)).await;
        if round % 3 == 2 {
            site.roll(PATIENCE).await;
        } else {
            site.crash();
        }
    }
    let wanted = figure(100_000, 10_000_000);
    crate::world::eventually("enough deliveries", async || {
        (counts.delivered.load(Ordering::Relaxed) >= wanted).then_some(())
    })
    .await;
    writing.send_replace(false);
    while let Some(ended) = writers.join_next().await {
        ended.expect("no writer panics");
    }
    let mut visitor = site.visitor().await;
    let mut last = Heads::new();
    for session in 0..SESSIONS {
        let at_rest = visitor.rest(&key(session)).await;
        last.insert(key(session), at_rest.head_seq);
    }
    heads.send_replace(last.clone());
    while let Some(ended) = readers.join_next().await {
        ended.expect("no reader panics");
    }
    println!(
        "{} delivered, {} cuts, {} cursors expired, {} of them of open streams",
        counts.delivered.load(Ordering::Relaxed),
        counts.cuts.load(Ordering::Relaxed),
        counts.expired.load(Ordering::Relaxed),
        counts.overtaken.load(Ordering::Relaxed),
    );

    // A cursor that is too old, too new, or of another log is refused with what there is.
    for (key, head) in last {
        let now = crate::world::eventually("retention to trim the log", async || {
            let session = site.visitor().await.session(&key).await;
            (session.first_seq > head - 150).then_some(session)
        })
        .await;
        assert_eq!(now.head_seq, head);
        let log_id = now.log_id.clone();
        let cases = [
            (log_id.clone(), 0, Code::OutOfRange, "CURSOR_EXPIRED"),
            (
                log_id.clone(),
                now.first_seq - 2,
                Code::OutOfRange,
                "CURSOR_EXPIRED",
            ),
            (log_id.clone(), head + 1, Code::OutOfRange, "CURSOR_AHEAD"),
            (
                uuid::Uuid::new_v4().to_string(),
                head,
                Code::FailedPrecondition,
                "LOG_CHANGED",
            ),
        ];
        for (log_id, after_seq, code, why) in cases {
            let request = SubscribeRequest {
                session_key: key.clone(),
                cursor: Some(Cursor { log_id, after_seq }),
                ..Default::default()
            };
            let status = visitor
                .client
                .subscribe(request)
                .await
                .expect_err("refused");
            assert_eq!(
                (status.code(), &*reason(&status)),
                (code, why),
                "after {after_seq}"
            );
            assert_eq!(fact(&status, "first_seq"), now.first_seq.to_string());
            assert_eq!(fact(&status, "head_seq"), head.to_string());
            assert_eq!(fact(&status, "log_id"), now.log_id);
        }
    }
    site.gateway.check_store();
}

fn key(session: u64) -> String {
    format!("log-{session}")
}

/// Keeps a session busy while there are readers to feed.
async fn write(mut visitor: Visitor, mut dice: Dice, key: String, writing: watch::Receiver<bool>) {
    let mut number = 0;
    while *writing.borrow() {
        number += 1;
        let text = *dice.pick(&[
            "a short reply",
            "!tool=look with a tool",
            "!think=this_is_thought_about and then some",
            "!delay=1ms !repeat=5 slowly now",
            "!repeat=300 a longer reply that fills windows",
        ]);
        let answer = visitor
            .enqueue(&prompt(&key, text, &format!("{key}-{number}")))
            .await;
        let full = match answer {
            Ok(accepted) => accepted.queue_position >= WAITING_MAX,
            Err(status) => {
                // A drain refuses it; `insist` comes back for that, so only this is left.
                assert_eq!(reason(&status), "QUEUE_FULL", "{status:?}");
                true
            }
        };
        if full {
            tokio::time::sleep(LOOK).await;
        }
    }
}

struct Reader {
    visitor: Visitor,
    dice: Dice,
    slow: bool,
    key: String,
    account: Account,
    witness: Arc<Witness>,
    counts: Arc<Counts>,
}

impl Reader {
    /// Reads, is cut, resumes, until it has the whole log.
    async fn read(mut self, mut heads: watch::Receiver<Heads>) {
        loop {
            if self.done(&heads) {
                return;
            }
            let request = SubscribeRequest {
                session_key: self.key.clone(),
                cursor: self.account.seq.map(|after_seq| Cursor {
                    log_id: self.account.log_id.clone(),
                    after_seq,
                }),
                from_oldest: self.account.seq.is_none(),
                deltas: Some(self.dice.chance(60)),
                progress_interval: Some(span(Duration::from_secs(1))),
                coalesce: self.dice.chance(20).then(|| span(Duration::from_millis(5))),
                ..Default::default()
            };
            self.account.join();
            match self.visitor.client.subscribe(request).await {
                Ok(stream) => self.follow(stream.into_inner(), &mut heads).await,
                Err(status) => self.refused(&status, false).await,
            }
        }
    }

    fn done(&self, heads: &watch::Receiver<Heads>) -> bool {
        let head = heads.borrow().get(&self.key).copied();
        if let (Some(seq), Some(head)) = (self.account.seq, head) {
            assert!(seq <= head, "{seq} is past the head {head}");
        }
        head.is_some() && self.account.seq == head
    }

    async fn follow(
        &mut self,
        mut stream: tonic::Streaming<GatewayEvent>,
        heads: &mut watch::Receiver<Heads>,
    ) {
        let cut_after = self.dice.below(400);
        for _ in 0..=cut_after {
            if self.done(heads) {
                return;
            }
            let next = tokio::select! {
                next = tokio::time::timeout(PATIENCE, stream.message()) => next.expect("progress comes"),
                _ = heads.changed() => continue,
            };
            match next {
                Ok(Some(event)) => {
                    self.account.take(&event, Some(&self.witness));
                    self.counts
                        .delivered
                        .fetch_add(u64::from(event.seq > 0), Ordering::Relaxed);
                }
                Ok(None) => panic!("a stream ends with a reason"),
                Err(status) => {
                    self.refused(&status, true).await;
                    return;
                }
            }
            if self.slow && self.dice.chance(10) {
                tokio::time::sleep(self.dice.millis(0, 60)).await;
            }
        }
        self.counts.cuts.fetch_add(1, Ordering::Relaxed);
        if self.dice.chance(10) {
            drop(stream);
            self.visitor.reconnect().await;
        }
    }

    async fn refused(&mut self, status: &tonic::Status, open: bool) {
        if is_away(status) {
            let last_seq = fact(status, "last_seq");
            if open && !last_seq.is_empty() {
                let seq = self.account.seq.expect("it was open").to_string();
                assert_eq!(last_seq, seq, "the drain's last word: {status:?}");
            }
            tokio::time::sleep(LOOK).await;
            self.visitor.reconnect().await;
            return;
        }
        assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
        assert_eq!(reason(status), "CURSOR_EXPIRED", "{status:?}");
        let first: i64 = fact(status, "first_seq").parse().expect("a number");
        let seq = self.account.seq.expect("only a position expires");
        assert!(seq + 1 < first, "{seq} is not too old for {first}");
        // The caller is told what it lost, and goes on from there.
        self.account.seq = Some(first - 1);
        self.counts.expired.fetch_add(1, Ordering::Relaxed);
        self.counts
            .overtaken
            .fetch_add(u64::from(open), Ordering::Relaxed);
    }
}
