//! Checkers of what a caller can see: a session's log (R2, R4, R6, R18), and one stream of it (R5).

use crate::support::kind;
use quarterdeck::proto::{GatewayEvent, TurnState, gateway_event::Kind};
use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
};

/// What a log tells of one turn.
#[derive(Clone, Debug, Default)]
pub struct TurnStory {
    /// Where it was accepted.
    pub queued: i64,
    /// Each start: attempt and place.
    pub starts: Vec<(i32, i64)>,
    /// Its end: place and state.
    pub ended: Option<(i64, TurnState)>,
    /// Generation that it was accepted for.
    pub generation: i64,
    /// Its text.
    pub text: String,
}

/// What the events of one session were, as all its readers saw them.
#[derive(Default)]
pub struct Witness(Mutex<HashMap<i64, (u64, &'static str)>>);

/// One reader's account of a session: fed with a stream's messages, panics at the first that must not be.
#[derive(Default)]
pub struct Account {
    /// The log's life; empty before the first `hello`.
    pub log_id: String,
    /// How far it came; `None` before the first `hello` of a reader without a position.
    pub seq: Option<i64>,
    /// Durable events taken.
    pub taken: u64,
    /// Text of open blocks, by item and block; of this stream alone.
    blocks: HashMap<(String, i32), String>,
}

/// Holds a whole log against the rules that a caller can see. `fifo` where no call changed the order of the queue;
/// requeued steers are passed over.
pub fn check_log(events: &[GatewayEvent], fifo: bool) -> HashMap<String, TurnStory> {
    let mut turns: HashMap<String, TurnStory> = HashMap::new();
    let mut order = Vec::new();
    let mut first_starts = Vec::new();
    let mut requeued_steers = HashSet::new();
    let mut active: Option<String> = None;
    for (at, event) in events.iter().enumerate() {
        let key = &event.session_key;
        let place = || format!("{key} at {}: {event:?}", event.seq);
        assert_eq!(
            event.seq,
            events[0].seq + at as i64,
            "not dense, {}",
            place()
        );
        assert_eq!(event.log_id, events[0].log_id, "another life, {}", place());
        if event.turn_id.is_empty() {
            continue;
        }
        let story = turns.entry(event.turn_id.clone()).or_default();
        assert!(story.ended.is_none(), "after its turn's end, {}", place());
        match event.kind.as_ref().expect("a kind") {
            Kind::TurnQueued(queued) => {
                let turn = queued.turn.as_ref().expect("a turn");
                story.queued = event.seq;
                story.generation = event.generation;
                story.text.clone_from(&turn.text);
                order.push(event.turn_id.clone());
            }
            Kind::TurnStarted(started) => {
                let attempt = started.turn.as_ref().expect("a turn").attempt;
                assert_eq!(active, None, "two turns at once, {}", place());
                let earlier = story.starts.last().map_or(0, |(attempt, _)| *attempt);
                assert_eq!(attempt, earlier + 1, "started twice, {}", place());
                if story.starts.is_empty() {
                    first_starts.push(event.turn_id.clone());
                }
                story.starts.push((attempt, event.seq));
                active = Some(event.turn_id.clone());
            }
            Kind::RetryScheduled(_) => {
                assert_eq!(active.as_deref(), Some(&*event.turn_id), "{}", place());
                active = None;
            }
            // A steer that came too late goes ahead of what waits.
            Kind::SteerRequeued(requeued) => {
                let turn = requeued.turn.as_ref().expect("a turn");
                let story = turns.entry(turn.turn_id.clone()).or_default();
                story.queued = event.seq;
                story.generation = turn.generation;
                requeued_steers.insert(turn.turn_id.clone());
            }
            Kind::TurnEnded(ended) => {
                // A steer that a Reset took away was never queued.
                if story.queued == 0 {
                    story.queued = event.seq;
                    story.generation = event.generation;
                }
                let state = ended.turn.as_ref().expect("a turn").state();
                story.ended = Some((event.seq, state));
                let never_started = matches!(state, TurnState::Rejected | TurnState::Expired);
                assert_eq!(story.starts.is_empty(), never_started, "{}", place());
                if active.as_deref() == Some(&event.turn_id) {
                    active = None;
                }
            }
            Kind::MessageStarted(_)
            | Kind::MessageCompleted(_)
            | Kind::ThinkingCompleted(_)
            | Kind::ToolStarted(_)
            | Kind::ToolCompleted(_) => {
                assert_eq!(
                    active.as_deref(),
                    Some(&*event.turn_id),
                    "of no active turn, {}",
                    place()
                );
            }
            _ => {}
        }
    }
    if fifo {
        let started: HashSet<String> = first_starts.iter().cloned().collect();
        order.retain(|turn| started.contains(turn) && !requeued_steers.contains(turn));
        first_starts.retain(|turn| !requeued_steers.contains(turn));
        assert_eq!(first_starts, order, "not first in, first out");
    }
    for (turn_id, story) in &turns {
        assert!(story.ended.is_some(), "{turn_id} has no end: {story:?}");
    }
    turns
}

// === impl Witness ===

impl Witness {
    /// Holds a durable event against what other readers saw at its place: events never change.
    pub fn saw(&self, event: &GatewayEvent) {
        let print = fingerprint(event);
        let mut seen = self.0.lock().expect("nobody panics here");
        let first = *seen
            .entry(event.seq)
            .or_insert_with(|| (print, kind(event)));
        assert_eq!(
            first,
            (print, kind(event)),
            "two readers saw different events: {event:?}"
        );
    }
}

fn fingerprint(event: &GatewayEvent) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    // Maps have no order; the text of everything else has.
    let mut event = event.clone();
    if let Some(Kind::TurnQueued(queued)) = &mut event.kind {
        queued.turn.as_mut().expect("a turn").metadata.clear();
    }
    format!("{event:?}").hash(&mut hasher);
    hasher.finish()
}

// === impl Account ===

impl Account {
    /// That of a reader which has everything up to `seq`.
    pub fn from(seq: i64) -> Self {
        Self {
            seq: Some(seq),
            ..Self::default()
        }
    }

    /// A stream begins: blocks are told anew.
    pub fn join(&mut self) {
        self.blocks.clear();
    }

    /// Takes one message of a stream.
    pub fn take(&mut self, event: &GatewayEvent, witness: Option<&Witness>) {
        if let Some(Kind::Hello(_)) = &event.kind {
            match self.seq {
                Some(seq) => assert_eq!(event.after_seq, seq, "starts elsewhere: {event:?}"),
                None => self.seq = Some(event.after_seq),
            }
            if self.log_id.is_empty() {
                self.log_id.clone_from(&event.log_id);
            }
        }
        assert_eq!(event.log_id, self.log_id, "another log: {event:?}");
        let seq = self.seq.expect("hello comes first");
        if event.seq > 0 {
            assert_eq!(
                event.seq,
                seq + 1,
                "a gap, a repeat or a reorder after {seq}: {event:?}"
            );
            self.seq = Some(event.seq);
            self.taken += 1;
            if let Some(witness) = witness {
                witness.saw(event);
            }
        } else {
            assert_eq!(event.after_seq, seq, "out of its place: {event:?}");
        }
        self.follow_text(event);
    }

    fn follow_text(&mut self, event: &GatewayEvent) {
        let block = |index: i32| (event.item_id.clone(), index);
        match event.kind.as_ref().expect("a kind") {
            Kind::Token(token) => {
                let text = self.blocks.entry(block(token.content_index)).or_default();
                assert_eq!(
                    text.len() as i64,
                    token.offset,
                    "a hole in the text: {event:?}"
                );
                text.push_str(&token.delta);
            }
            Kind::ItemSnapshot(snapshot) if snapshot.tool_call_id.is_empty() => {
                let text = self
                    .blocks
                    .entry(block(snapshot.content_index))
                    .or_default();
                let keep = usize::try_from(snapshot.offset).expect("not negative");
                assert!(
                    keep <= text.len(),
                    "a hole in the text ({}): {event:?}",
                    text.len()
                );
                text.truncate(keep);
                text.push_str(&snapshot.text);
            }
            Kind::MessageCompleted(message) => {
                for part in &message.blocks {
                    let shown = self
                        .blocks
                        .remove(&block(part.content_index))
                        .unwrap_or_default();
                    let fits = part.text.starts_with(&shown)
                        || message.partial && shown.starts_with(&part.text);
                    assert!(
                        fits,
                        "what was shown is not what it became: {shown:?}, {event:?}"
                    );
                }
            }
            _ => {}
        }
    }
}
