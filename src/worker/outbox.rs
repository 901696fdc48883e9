//! What an assignment has to say: numbered, kept until it is acknowledged, said again after a cut. Pure.

use crate::{
    agent::AgentEvent,
    proto::{self, connect_request::Frame as Up},
    workers::frames::{self, FRAME_COST_BYTES, Offsets},
};
use prost::Message as _;
use std::collections::{BTreeMap, VecDeque};

/// Bytes of numbered frames that are kept until they are acknowledged; the agent waits beyond.
pub(super) const KEPT_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Text of an open block that is said again after a cut, in bytes; a longer one waits for its end.
const BLOCK_MAX_BYTES: usize = 1024 * 1024;
/// Frames that may wait for the connection.
const QUEUE_MAX: usize = 32;

/// A frame with what it costs of the credit.
#[derive(Clone, Debug)]
struct Queued {
    number: i64,
    frame: Up,
    cost: u64,
}

/// What an assignment has to say.
#[derive(Debug)]
pub(super) struct Outbox {
    token: String,
    /// The last number that was given.
    last: i64,
    unacknowledged: VecDeque<Queued>,
    unacknowledged_bytes: u64,
    queue: VecDeque<Queued>,
    offsets: Offsets,
    /// Text of the open blocks, as deltas from their beginning.
    open: BTreeMap<(u8, i32), AgentEvent>,
    /// There is a connection.
    linked: bool,
    credit: u64,
    /// Bytes sent on this connection, and of these those that need no credit any more.
    sent: u64,
    taken: u64,
}

// === impl Outbox ===

impl Outbox {
    pub(super) fn new(token: String, credit: u64) -> Self {
        Self {
            token,
            last: 0,
            unacknowledged: VecDeque::new(),
            unacknowledged_bytes: 0,
            queue: VecDeque::new(),
            offsets: Offsets::default(),
            open: BTreeMap::new(),
            linked: true,
            credit,
            sent: 0,
            taken: 0,
        }
    }

    /// Says something that has no number and costs nothing.
    pub(super) fn control(&mut self, frame: Up) {
        if self.linked {
            self.queue.push_back(Queued {
                number: 0,
                frame,
                cost: 0,
            });
        }
    }

    /// Says what the agent said.
    pub(super) fn say(&mut self, event: AgentEvent) {
        let durable = frames::is_durable(&event);
        if durable {
            self.offsets.follow(&event);
            match &event {
                AgentEvent::MessageStarted
                | AgentEvent::MessageCompleted { .. }
                | AgentEvent::ToolStarted { .. } => self.open.clear(),
                AgentEvent::ThinkingCompleted { content_index, .. } => {
                    self.open.remove(&(1, *content_index));
                }
                _ => {}
            }
        } else {
            self.keep_open(&event);
        }
        let offset = self.offsets.count(&event);
        let number = if durable { self.last + 1 } else { 0 };
        let Some(frame) = frames::encode(&self.token, number, offset, event) else {
            return;
        };
        self.push(number, frame);
    }

    /// Says that the agent did not start.
    pub(super) fn not_started(&mut self, message: String) {
        let number = self.last + 1;
        let frame = Up::Completed(proto::WorkerCompleted {
            lease_token: self.token.clone(),
            frame: number,
            outcome: proto::WorkerOutcome::NotStarted.into(),
            stop_reason: 0,
            message,
        });
        self.push(number, frame);
    }

    fn push(&mut self, number: i64, frame: Up) {
        let cost = cost(&frame);
        let queued = Queued {
            number,
            frame,
            cost,
        };
        if number > 0 {
            self.last = number;
            self.unacknowledged_bytes += cost;
            self.unacknowledged.push_back(queued.clone());
        }
        if self.linked {
            self.queue.push_back(queued);
        }
    }

    fn keep_open(&mut self, event: &AgentEvent) {
        let Some((block, delta)) = frames::block(event) else {
            return;
        };
        match self.open.get_mut(&block) {
            None => drop(self.open.insert(block, event.clone())),
            Some(
                AgentEvent::TextDelta { delta: all, .. }
                | AgentEvent::ThinkingDelta { delta: all, .. }
                | AgentEvent::ToolInputDelta { delta: all, .. },
            ) if all.len() <= BLOCK_MAX_BYTES => all.push_str(delta),
            Some(_) => {}
        }
    }

    /// Whether the agent may say more.
    pub(super) fn has_room(&self, killed: bool) -> bool {
        let kept = self.unacknowledged_bytes < KEPT_MAX_BYTES;
        kept && (killed || !self.linked || self.queue.len() < QUEUE_MAX)
    }

    /// Whether the next frame may be sent now.
    pub(super) fn may_send(&self) -> bool {
        let ahead = self.sent.saturating_sub(self.taken);
        self.linked
            && (self.queue.front())
                .is_some_and(|it| it.cost == 0 || ahead == 0 || ahead + it.cost <= self.credit)
    }

    /// The next frame, which is sent in this moment.
    pub(super) fn next(&mut self) -> Option<proto::ConnectRequest> {
        let queued = self.queue.pop_front()?;
        self.sent += queued.cost;
        Some(proto::ConnectRequest {
            frame: Some(queued.frame),
        })
    }

    /// Takes an acknowledgement.
    pub(super) fn acknowledge(&mut self, frame: i64, taken: u64) {
        self.taken = self.taken.max(taken);
        while let Some(first) = self.unacknowledged.front()
            && first.number <= frame
        {
            self.unacknowledged_bytes -= first.cost;
            self.unacknowledged.pop_front();
        }
    }

    /// Everything that was said is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// The connection is gone.
    pub(super) fn cut(&mut self) {
        self.linked = false;
        self.queue.clear();
    }

    /// There is another connection, which wants all from a number on.
    pub(super) fn resume(&mut self, from: i64, credit: u64) {
        self.linked = true;
        self.credit = credit;
        (self.sent, self.taken) = (0, 0);
        self.queue = (self.unacknowledged.iter())
            .filter(|it| it.number >= from)
            .cloned()
            .collect();
        for event in self.open.values() {
            let long = frames::block(event).is_some_and(|(_, text)| text.len() > BLOCK_MAX_BYTES);
            if let (false, Some(frame)) = (long, frames::encode(&self.token, 0, 0, event.clone())) {
                let cost = cost(&frame);
                self.queue.push_back(Queued {
                    number: 0,
                    frame,
                    cost,
                });
            }
        }
    }

    /// Takes back deltas that were not sent: the turn is being killed.
    pub(super) fn drop_deltas(&mut self) {
        self.queue.retain(|it| it.number > 0 || it.cost == 0);
    }

    /// The last number that is acknowledged.
    pub(super) fn first(&self) -> i64 {
        let first = self.unacknowledged.front();
        first.map_or(self.last, |it| it.number - 1)
    }

    /// The last number that was given.
    pub(super) fn last(&self) -> i64 {
        self.last
    }
}

fn cost(frame: &Up) -> u64 {
    let message = proto::ConnectRequest {
        frame: Some(frame.clone()),
    };
    message.encoded_len() as u64 + FRAME_COST_BYTES
}

/// Whether a frame is a delta; for tests.
#[cfg(test)]
fn is_delta(frame: &Up) -> bool {
    matches!(
        frame,
        Up::AgentEvent(proto::WorkerEvent {
            event: Some(proto::worker_event::Event::TextDelta(_)),
            ..
        })
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(delta: &str) -> AgentEvent {
        AgentEvent::TextDelta {
            content_index: 0,
            delta: delta.into(),
        }
    }

    /// R14: after a cut what is numbered comes again from where it is wanted, and open blocks from their beginning.
    #[test]
    fn after_a_cut_numbered_frames_and_open_blocks_come_again() {
        let mut outbox = Outbox::new("t".into(), 1 << 20);
        outbox.say(AgentEvent::MessageStarted);
        outbox.say(text("ab"));
        while outbox.next().is_some() {}
        outbox.cut();
        outbox.say(text("cd"));
        assert!(!outbox.may_send());
        outbox.resume(2, 1 << 20);
        let frames: Vec<_> = std::iter::from_fn(|| outbox.next()).collect();
        assert_eq!(frames.len(), 1, "{frames:?}");
        let Some(frame) = &frames[0].frame else {
            panic!("it has one")
        };
        assert!(is_delta(frame));
        outbox.resume(1, 1 << 20);
        assert_eq!(std::iter::from_fn(|| outbox.next()).count(), 2);
        assert!(!outbox.is_done());
        outbox.acknowledge(1, 0);
        assert!(outbox.is_done());
    }

    #[test]
    fn an_agent_waits_for_credit_and_a_frame_above_it_goes_alone() {
        let mut outbox = Outbox::new("t".into(), 1000);
        for _ in 0..4 {
            outbox.say(text("x"));
        }
        let mut sent = 0;
        while outbox.may_send() {
            outbox.next();
            sent += 1;
        }
        assert!(sent < 4, "{sent}");
        outbox.acknowledge(0, 100_000);
        assert!(outbox.may_send());
    }
}
