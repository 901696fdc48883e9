//! One session that is being changed: its snapshot as it will be, and what is written for that.

use super::{
    facts::{Context, Decision, Stop},
    published::StoredEvent,
    snapshot::{ActiveTurn, Hidden, OpenItem, Origin, Snapshot, WaitingSteer, WaitingTurn},
    usage::Held,
    write_set::{
        BlockWrite, MessageRow, OffersRow, QuestionWrite, SessionWrite, SteerWrite, TurnExtras,
        TurnWrite, UsageRow,
    },
};
use crate::{
    domain::{
        Event,
        access::Shares,
        budget::Budget,
        event::{BlockKind, Json, Role},
        ids::Time,
        limits::{PREVIEW_MAX_CHARS, REQUEST_KEPT},
        message::Part,
        question::{Question, QuestionState},
        session::{Session, SessionState},
        turn::{Attachment, Turn, TurnState},
    },
    wire::frames,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use uuid::Uuid;

/// A session that is being changed.
#[derive(Debug)]
pub(crate) struct Draft {
    /// As it will be.
    pub(crate) session: Session,
    /// What is not shown of it.
    pub(crate) hidden: Hidden,
    /// Something was changed that is written with the settings.
    pub(crate) settings_changed: bool,
    active: Option<Arc<ActiveTurn>>,
    waiting: Vec<Arc<WaitingTurn>>,
    scheduled: Vec<Arc<WaitingTurn>>,
    steers: Vec<Arc<WaitingSteer>>,
    open: Vec<OpenItem>,
    questions: Vec<Arc<Question>>,
    /// Places of the waiting turns as they are written.
    positions: BTreeMap<i64, i64>,
    is_new: bool,
    claimed: bool,
    postponed: bool,
    shared_before: Option<Shares>,
    /// What its owner was counted for at the beginning.
    counted: Held,
    turns: Vec<TurnWrite>,
    events: Vec<(StoredEvent, Time)>,
    messages: Vec<MessageRow>,
    steer_writes: Vec<SteerWrite>,
    blocks: Vec<BlockWrite>,
    question_writes: Vec<QuestionWrite>,
    offers: Option<(String, String, String)>,
    usage: Vec<UsageRow>,
    /// Budgets that were counted on.
    budgets: Vec<Budget>,
    client_tools: Option<String>,
    attachments: Vec<Attachment>,
    kept: Vec<(i64, Time)>,
    ended: Vec<Arc<Turn>>,
}

/// A message that is written.
pub(crate) struct NewMessage {
    /// Its item.
    pub(crate) item_id: Uuid,
    /// Its turn.
    pub(crate) turn_id: Uuid,
    /// Who speaks.
    pub(crate) role: Role,
    /// Its parts.
    pub(crate) parts: Vec<Part>,
    /// Cut short.
    pub(crate) partial: bool,
    /// The next one goes on with it.
    pub(crate) continued: bool,
}

/// Where a turn goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind all others.
    Last,
    /// Before all others: INTERRUPT and RETRY.
    First,
    /// Behind those that go first, before the others: requeued steers, in this order.
    BehindFirst(usize),
}

/// A waiting turn that is added.
pub(crate) struct Entering {
    /// The turn.
    pub(crate) turn: Turn,
    /// Bytes that it counts in the queue.
    pub(crate) bytes: i64,
    /// Who sent it.
    pub(crate) origin: Origin,
    /// Its first event.
    pub(crate) queued_seq: i64,
    /// What its start reads.
    pub(crate) extras: TurnExtras,
}

/// Turns of a session that wait for an answer: one at most.
fn asking_turns(session: &Session) -> i64 {
    i64::from(session.pending_questions > 0)
}

// === impl Draft ===

impl Draft {
    /// A session as it is.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let Snapshot {
            session,
            hidden,
            active,
            waiting,
            scheduled,
            steers,
            open,
            questions,
        } = snapshot.clone();
        Self {
            counted: Held {
                sessions: 1,
                queue_bytes: session.queue_bytes,
                stored_bytes: hidden.stored_bytes,
                asking_turns: asking_turns(&session),
            },
            session: Arc::unwrap_or_clone(session),
            hidden,
            settings_changed: false,
            active,
            positions: BTreeMap::new(),
            waiting,
            scheduled,
            steers,
            open,
            questions,
            is_new: false,
            claimed: false,
            postponed: false,
            shared_before: None,
            turns: Vec::new(),
            events: Vec::new(),
            messages: Vec::new(),
            steer_writes: Vec::new(),
            blocks: Vec::new(),
            question_writes: Vec::new(),
            offers: None,
            usage: Vec::new(),
            budgets: Vec::new(),
            client_tools: None,
            attachments: Vec::new(),
            kept: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// A session that is made.
    pub(crate) fn new(session: Session) -> Self {
        let snapshot = Snapshot::idle(Arc::new(session), Hidden::default());
        Self {
            is_new: true,
            counted: Held::default(),
            ..Self::of(&snapshot)
        }
    }

    /// The session as it will be, and what is written for that; what has changed is at least `time`.
    pub(crate) fn finish(mut self, time: Time) -> SessionWrite {
        self.session.update_time = self.session.update_time.max(time);
        for waiting in &self.waiting {
            let row = waiting.turn.row;
            if let Some(written) = self.positions.get(&row)
                && *written != waiting.position
            {
                self.turns.push(TurnWrite::Position {
                    row,
                    position: waiting.position,
                });
            }
        }
        let Self {
            session,
            hidden,
            settings_changed,
            active,
            waiting,
            scheduled,
            steers,
            open,
            questions,
            positions: _,
            is_new,
            claimed,
            postponed,
            shared_before,
            counted,
            turns,
            events,
            messages,
            steer_writes,
            blocks,
            question_writes,
            offers,
            usage,
            budgets,
            client_tools,
            attachments,
            kept,
            ended,
        } = self;
        let held = Held {
            sessions: 1 - counted.sessions,
            queue_bytes: session.queue_bytes - counted.queue_bytes,
            stored_bytes: hidden.stored_bytes - counted.stored_bytes,
            asking_turns: asking_turns(&session) - counted.asking_turns,
        };
        let mut after = Snapshot {
            session: Arc::new(session),
            hidden,
            active,
            waiting,
            scheduled,
            steers,
            open,
            questions,
        };
        after.shed();
        SessionWrite {
            after: Arc::new(after),
            is_new,
            settings: settings_changed && !is_new,
            shared_before,
            claimed,
            postponed,
            held,
            turns,
            events,
            messages,
            steers: steer_writes,
            blocks,
            questions: question_writes,
            client_tools,
            offers: offers.map(|(own, of_agent, revision)| OffersRow {
                own,
                of_agent,
                revision,
                time,
            }),
            usage,
            budgets,
            attachments,
            kept,
            ended,
        }
    }

    /// It is made here.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Generation that a command is counted in now: from a Reset's acceptance on the next one.
    pub(crate) fn admission_generation(&self) -> i64 {
        self.session.generation + i64::from(self.hidden.pending_reset)
    }

    /// Agent of a turn that is admitted now.
    pub(crate) fn admission_agent(&self) -> &str {
        if self.hidden.pending_reset && !self.session.next_agent.is_empty() {
            &self.session.next_agent
        } else {
            &self.session.agent
        }
    }

    // ---------------------------------------------------------------------------------------- events and messages

    /// Appends an event and returns its `seq`.
    pub(crate) fn event(
        &mut self,
        now: Time,
        turn: Option<(Uuid, i64)>,
        item_id: Option<Uuid>,
        event: &Event,
    ) -> i64 {
        let (turn_id, generation) = match turn {
            Some((turn_id, generation)) => (Some(turn_id), generation),
            None => (None, self.session.generation),
        };
        let seq = self.session.head + 1;
        let body = frames::event_body(now, turn_id, item_id, generation, event);
        self.stored(length(body.len()));
        self.session.head = seq;
        let stored = StoredEvent {
            seq,
            epoch: self.session.epoch,
            kind: event.kind(),
            turn_id,
            item_id,
            body,
        };
        self.events.push((stored, now));
        seq
    }

    /// Writes a message that carries the newest event's `seq`.
    pub(crate) fn message(&mut self, now: Time, generation: i64, message: NewMessage) {
        let NewMessage {
            item_id,
            turn_id,
            role,
            parts,
            partial,
            continued,
        } = message;
        let encoded = frames::encode_parts(&parts);
        self.stored(length(encoded.len()));
        count_message(&mut self.session, role, &parts);
        self.messages.push(MessageRow {
            seq: self.session.head,
            generation,
            item_id,
            turn_id,
            role,
            time: now,
            partial,
            continued,
            parts: encoded,
        });
    }

    /// Counts bytes that are stored for it more, or less.
    pub(crate) fn stored(&mut self, bytes: i64) {
        self.hidden.stored_bytes += bytes;
    }

    /// Keeps contents that it does not have.
    pub(crate) fn attach(&mut self, attachment: Attachment) {
        let known =
            |one: &Attachment| one.reference.attachment_id == attachment.reference.attachment_id;
        if !self.attachments.iter().any(known) {
            self.stored(length(attachment.data.len()));
            self.attachments.push(attachment);
        }
    }

    /// Sets the tools that its caller runs, of a session that has none: as they are stored.
    pub(crate) fn set_client_tools(&mut self, tools: String) {
        self.stored(length(tools.len()));
        self.client_tools = Some(tools);
    }

    /// Keeps what its agent offers in it, and what of that holds for all sessions of the agent, both encoded; and how the agent
    /// is configured.
    pub(crate) fn offered(&mut self, own: String, of_agent: String, revision: String) {
        self.offers = Some((own, of_agent, revision));
    }

    // ------------------------------------------------------------------------------------------- what was used

    /// Adds what was used to the sums.
    pub(crate) fn used(&mut self, row: UsageRow) {
        self.usage.push(row);
    }

    /// A budget that calls count against, as it is within this decision.
    pub(crate) fn budget(&mut self, found: &Budget) -> &mut Budget {
        let place = self.budgets.iter().position(|it| it.name == found.name);
        let place = place.unwrap_or_else(|| {
            self.budgets.push(found.clone());
            self.budgets.len() - 1
        });
        &mut self.budgets[place]
    }

    // -------------------------------------------------------------------------------------------------- its state

    /// Sets the session's state from what is true of it.
    pub(crate) fn settle_state(&mut self) {
        let active = self.active.as_ref().map(|active| active.turn.state);
        self.session.state = if self.session.state == SessionState::Deleting {
            SessionState::Deleting
        } else if self.hidden.pending_reset {
            SessionState::Resetting
        } else {
            match active {
                Some(TurnState::Canceling) => SessionState::Canceling,
                Some(TurnState::WaitingInput) => SessionState::WaitingInput,
                Some(_) => SessionState::Running,
                None => SessionState::Idle,
            }
        };
    }

    /// Another owner has it from now on.
    pub(crate) fn claim(&mut self) {
        self.session.epoch += 1;
        self.claimed = true;
    }

    /// Nobody wakes for it until it is changed again.
    pub(crate) fn postpone(&mut self) {
        self.postponed = true;
    }

    /// Says who else may use it.
    pub(crate) fn share(&mut self, shares: Shares) {
        self.shared_before = Some(std::mem::replace(&mut self.session.shares, shares));
    }

    // ------------------------------------------------------------------------------------------- the active turn

    /// The active turn.
    pub(crate) fn active(&self) -> Option<&ActiveTurn> {
        self.active.as_deref()
    }

    /// Changes the active turn.
    pub(crate) fn change_active(&mut self, change: impl FnOnce(&mut ActiveTurn)) {
        if let Some(active) = &mut self.active {
            change(Arc::make_mut(active));
        }
    }

    /// Makes a turn the active one.
    pub(crate) fn activate(&mut self, active: ActiveTurn) {
        self.session.active_turn = Some(active.turn.turn_id);
        self.active = Some(Arc::new(active));
        self.settle_state();
    }

    /// The active turn, which is none any more.
    pub(crate) fn deactivate(&mut self) -> Decision<ActiveTurn> {
        self.session.active_turn = None;
        let active = self.active.take();
        let active = active.ok_or_else(|| Stop::Broken("there is no active turn".into()))?;
        Ok(Arc::unwrap_or_clone(active))
    }

    /// Notes a change of a turn.
    pub(crate) fn write_turn(&mut self, write: TurnWrite) {
        self.turns.push(write);
    }

    /// Notes a turn that has ended; its request is kept for as long as the contract says.
    pub(crate) fn ended(&mut self, turn: &Turn, request: Option<i64>, now: Time) {
        self.release(request, now);
        self.ended.push(Arc::new(turn.clone()));
    }

    /// What a request admitted has ended by `end` at the latest: its repeats are answered for another 24 h.
    pub(crate) fn release(&mut self, request: Option<i64>, end: Time) {
        if let Some(id) = request {
            self.kept.push((id, end.plus_micros(micros(REQUEST_KEPT))));
        }
    }

    // -------------------------------------------------------------------------------------------------- the queue

    /// The turns that wait, the next one first.
    pub(crate) fn waiting(&self) -> &[Arc<WaitingTurn>] {
        &self.waiting
    }

    /// Adds a turn that waits. Returns how many wait ahead of it.
    pub(crate) fn enter(&mut self, entering: Entering, place: Place) -> i32 {
        let Entering {
            turn,
            bytes,
            origin,
            queued_seq,
            extras,
        } = entering;
        self.stored(length(turn.text.len() + extras.bytes()));
        let row = turn.row;
        let (index, position) = self.insert(
            WaitingTurn {
                turn,
                text_left: false,
                position: 0,
                goes_first: place == Place::First,
                bytes,
                origin,
            },
            place,
        );
        self.positions.insert(row, position);
        self.turns.push(TurnWrite::New {
            turn: Arc::clone(&self.waiting[index]),
            queued_seq,
            extras,
        });
        i32::try_from(index).unwrap_or(i32::MAX)
    }

    // ---------------------------------------------------------------------------------------- beside the queue

    /// The turns that wait for their `not_before`, the next one first.
    pub(crate) fn scheduled(&self) -> &[Arc<WaitingTurn>] {
        &self.scheduled
    }

    /// Adds a turn that waits for its `not_before`.
    pub(crate) fn enter_later(&mut self, entering: Entering) {
        let Entering {
            turn,
            bytes,
            origin,
            queued_seq,
            extras,
        } = entering;
        self.stored(length(turn.text.len() + extras.bytes()));
        let order = (turn.not_before, turn.row);
        let index = self
            .scheduled
            .partition_point(|other| (other.turn.not_before, other.turn.row) < order);
        let waiting = Arc::new(WaitingTurn {
            turn,
            text_left: false,
            position: 0,
            goes_first: false,
            bytes,
            origin,
        });
        self.scheduled.insert(index, Arc::clone(&waiting));
        self.turns.push(TurnWrite::New {
            turn: waiting,
            queued_seq,
            extras,
        });
    }

    /// Takes a turn that waits for its `not_before`; `None` where it is none of them.
    pub(crate) fn leave_scheduled(&mut self, turn_id: Uuid) -> Option<WaitingTurn> {
        let mut scheduled = self.scheduled.iter();
        let index = scheduled.position(|waiting| waiting.turn.turn_id == turn_id)?;
        Some(Arc::unwrap_or_clone(self.scheduled.remove(index)))
    }

    /// Puts a turn whose time has come behind all that wait; its next event is its `turn_queued`. Returns how many wait
    /// ahead of it.
    pub(crate) fn enter_due(&mut self, due: WaitingTurn) -> i32 {
        let (row, expire_time) = (due.turn.row, due.turn.expire_time);
        let (index, _) = self.insert(due, Place::Last);
        // The row has no place yet: whatever it gets is written.
        self.positions.insert(row, i64::MIN);
        self.turns.push(TurnWrite::Due {
            row,
            queued_seq: self.session.head + 1,
            expire_time,
        });
        i32::try_from(index).unwrap_or(i32::MAX)
    }

    /// Puts a turn that was active back before all others.
    pub(crate) fn enter_again(&mut self, active: ActiveTurn) {
        let ActiveTurn {
            turn,
            clears: _,
            bytes,
            origin,
            grant: _,
        } = active;
        let row = turn.row;
        let (_, position) = self.insert(
            WaitingTurn {
                turn,
                text_left: false,
                position: 0,
                goes_first: true,
                bytes,
                origin,
            },
            Place::First,
        );
        self.positions.insert(row, position);
        self.turns.push(TurnWrite::Requeue { row, position });
    }

    /// Takes a waiting turn out of the queue.
    pub(crate) fn leave(&mut self, turn_id: Uuid) -> Decision<WaitingTurn> {
        let index = self.index_of(turn_id)?;
        let waiting = self.waiting.remove(index);
        self.session.budget_wait = None;
        self.session.look_for_worker();
        self.session.queue_depth -= 1;
        self.session.queue_bytes -= waiting.bytes;
        Ok(Arc::unwrap_or_clone(waiting))
    }

    /// Puts a waiting turn to another place.
    pub(crate) fn move_to(&mut self, turn_id: Uuid, index: usize) -> Decision<()> {
        let from = self.index_of(turn_id)?;
        self.session.budget_wait = None;
        self.session.look_for_worker();
        let waiting = self.waiting.remove(from);
        let row = waiting.turn.row;
        self.positions.entry(row).or_insert(waiting.position);
        let index = index.min(self.waiting.len());
        self.waiting.insert(index, waiting);
        self.make_gap(index);
        Ok(())
    }

    /// Gives a waiting turn another text; who wrote it is its sender from now on.
    pub(crate) fn change_text(
        &mut self,
        turn_id: Uuid,
        (text, command): (String, String),
        bytes: i64,
        sender: super::snapshot::Sender,
    ) -> Decision<()> {
        let mut waiting = self.waiting.iter();
        let is_queued = waiting.any(|waiting| waiting.turn.turn_id == turn_id);
        let mut all = self.waiting.iter_mut().chain(&mut self.scheduled);
        let found = all.find(|waiting| waiting.turn.turn_id == turn_id);
        let found = found.ok_or_else(|| Stop::Broken(format!("turn {turn_id} does not wait")))?;
        let waiting = Arc::make_mut(found);
        let more = bytes - waiting.bytes;
        self.session.budget_wait = None;
        self.session.look_for_worker();
        waiting.bytes = bytes;
        waiting.turn.text.clone_from(&text);
        waiting.turn.command.clone_from(&command);
        waiting.text_left = false;
        waiting.turn.principal = sender.principal(&self.session.tenant);
        waiting.origin.sender = sender.clone();
        let row = waiting.turn.row;
        if is_queued {
            self.session.queue_bytes += more;
        }
        self.stored(more);
        self.turns.push(TurnWrite::Text {
            row,
            text,
            command,
            bytes,
            sender,
        });
        Ok(())
    }

    /// How many wait ahead of a waiting turn.
    pub(crate) fn place_of(&self, turn_id: Uuid) -> Decision<i32> {
        Ok(i32::try_from(self.index_of(turn_id)?).unwrap_or(i32::MAX))
    }

    fn index_of(&self, turn_id: Uuid) -> Decision<usize> {
        let mut waiting = self.waiting.iter();
        waiting
            .position(|waiting| waiting.turn.turn_id == turn_id)
            .ok_or_else(|| Stop::Broken(format!("turn {turn_id} does not wait")))
    }

    /// Inserts at a place; returns where that is, and the turn's order.
    fn insert(&mut self, waiting: WaitingTurn, place: Place) -> (usize, i64) {
        let index = match place {
            Place::Last => self.waiting.len(),
            Place::First => 0,
            Place::BehindFirst(nth) => {
                let leading = self.waiting.iter().take_while(|waiting| waiting.goes_first);
                (leading.count() + nth).min(self.waiting.len())
            }
        };
        // Looked at anew: the next one may be another one.
        self.session.budget_wait = None;
        self.session.look_for_worker();
        self.session.queue_depth += 1;
        self.session.queue_bytes += waiting.bytes;
        self.waiting.insert(index, Arc::new(waiting));
        let position = self.make_gap(index);
        (index, position)
    }

    /// Gives the turn at an index an order between its neighbours', and moves those behind it where there is none.
    fn make_gap(&mut self, index: usize) -> i64 {
        let before = index
            .checked_sub(1)
            .map(|before| self.waiting[before].position);
        let behind = self.waiting.get(index + 1).map(|behind| behind.position);
        let position = match (before, behind) {
            (Some(before), _) => before + 1,
            (None, Some(behind)) => behind - 1,
            (None, None) => 0,
        };
        Arc::make_mut(&mut self.waiting[index]).position = position;
        let mut last = position;
        for waiting in &mut self.waiting[index + 1..] {
            if waiting.position > last {
                break;
            }
            last += 1;
            let row = waiting.turn.row;
            self.positions.entry(row).or_insert(waiting.position);
            Arc::make_mut(waiting).position = last;
        }
        position
    }

    // ----------------------------------------------------------------------------------------------------- steers

    /// Steers that were not applied, in the order of their arrival.
    pub(crate) fn steers(&self) -> &[Arc<WaitingSteer>] {
        &self.steers
    }

    /// Adds a steer.
    pub(crate) fn add_steer(&mut self, steer: WaitingSteer) {
        let steer = Arc::new(steer);
        self.steers.push(Arc::clone(&steer));
        self.steer_writes.push(SteerWrite::New(steer));
    }

    /// Says whether the agent has a steer.
    pub(crate) fn mark_steer(&mut self, steer_id: Uuid, given: bool) -> Decision<()> {
        let index = self.index_of_steer(steer_id)?;
        Arc::make_mut(&mut self.steers[index]).given = given;
        self.steer_writes
            .push(SteerWrite::Given { steer_id, given });
        Ok(())
    }

    /// Takes a steer.
    pub(crate) fn take_steer(&mut self, steer_id: Uuid) -> Decision<WaitingSteer> {
        let index = self.index_of_steer(steer_id)?;
        let steer = self.steers.remove(index);
        self.steer_writes.push(SteerWrite::Gone { steer_id });
        Ok(Arc::unwrap_or_clone(steer))
    }

    fn index_of_steer(&self, steer_id: Uuid) -> Decision<usize> {
        let mut steers = self.steers.iter();
        steers
            .position(|steer| steer.steer_id == steer_id)
            .ok_or_else(|| Stop::Broken(format!("steer {steer_id} does not wait for this turn")))
    }

    // -------------------------------------------------------------------------------------------------- questions

    /// Questions of the active turn that are pending or whose answer its agent has not got, the oldest first.
    pub(crate) fn questions(&self) -> &[Arc<Question>] {
        &self.questions
    }

    /// One of them.
    pub(crate) fn question(&self, question_id: Uuid) -> Option<&Arc<Question>> {
        let mut questions = self.questions.iter();
        questions.find(|question| question.question_id == question_id)
    }

    /// How many of them are pending.
    pub(crate) fn pending_questions(&self) -> usize {
        let pending = |question: &&Arc<Question>| question.state == QuestionState::Pending;
        self.questions.iter().filter(pending).count()
    }

    /// Adds a question.
    pub(crate) fn add_question(&mut self, question: Question) {
        let ask = encoded(&question.ask);
        self.stored(length(ask.len()));
        let question = Arc::new(question);
        self.questions.push(Arc::clone(&question));
        self.question_writes
            .push(QuestionWrite::New { question, ask });
    }

    /// Closes a question; returns it as it is then.
    pub(crate) fn change_question(
        &mut self,
        question_id: Uuid,
        change: impl FnOnce(&mut Question),
    ) -> Decision<Arc<Question>> {
        let mut questions = self.questions.iter_mut();
        let found = questions.find(|question| question.question_id == question_id);
        let question = found.ok_or_else(|| Stop::Broken(format!("no question {question_id}")))?;
        change(Arc::make_mut(question));
        let question = Arc::clone(question);
        let answer = question.answer.as_ref().map(encoded).unwrap_or_default();
        self.stored(length(answer.len()));
        self.question_writes.push(QuestionWrite::Closed {
            question: Arc::clone(&question),
            answer,
        });
        Ok(question)
    }

    /// Takes a question whose agent has the answer, or does not need it any more.
    pub(crate) fn settle_question(&mut self, question_id: Uuid, delivered: bool) {
        let mut questions = self.questions.iter();
        let index = questions.position(|question| question.question_id == question_id);
        if let Some(index) = index {
            let question = self.questions.remove(index);
            self.settle(&question, delivered);
        }
    }

    /// Takes all of them.
    pub(crate) fn take_questions(&mut self) -> Vec<Arc<Question>> {
        let all = std::mem::take(&mut self.questions);
        for question in &all {
            self.settle(question, false);
        }
        all
    }

    fn settle(&mut self, question: &Question, delivered: bool) {
        let before = question.answer.as_ref().map(encoded).unwrap_or_default();
        let answer = question.shown_answer().as_ref().map(encoded);
        let answer = answer.unwrap_or_default();
        self.stored(length(answer.len()) - length(before.len()));
        self.question_writes.push(QuestionWrite::Settled {
            question_id: question.question_id,
            delivered,
            answer,
        });
    }

    // ------------------------------------------------------------------------------------------------- open items

    /// Items that are open, in the order in which they were opened.
    pub(crate) fn open_items(&self) -> &[OpenItem] {
        &self.open
    }

    /// Opens an item.
    pub(crate) fn open_item(&mut self, item: OpenItem) {
        self.blocks.push(BlockWrite::Open(Box::new(item.clone())));
        self.open.push(item);
    }

    /// Keeps the text of a block. One of an item that is closed already is left out: it came too late to count; so is
    /// one that says less than what is kept.
    pub(crate) fn put_block(
        &mut self,
        item_id: Uuid,
        kind: BlockKind,
        content_index: i32,
        text: String,
        done: bool,
    ) {
        let Some(item) = self.open.iter_mut().find(|item| item.item_id == item_id) else {
            return;
        };
        let block = super::snapshot::OpenBlock {
            content_index,
            kind,
            text: Some(text.clone()),
            done,
        };
        match item
            .blocks
            .binary_search_by_key(&content_index, |block| block.content_index)
        {
            Ok(place) if item.blocks[place].done && !done => return,
            Ok(place) => item.blocks[place] = block,
            Err(place) => item.blocks.insert(place, block),
        }
        self.blocks.push(BlockWrite::Put {
            item_id,
            content_index,
            kind,
            text,
            done,
        });
    }

    /// Closes an item. What is opened and closed by one decision is not written.
    pub(crate) fn close_item(&mut self, item_id: Uuid) {
        self.open.retain(|item| item.item_id != item_id);
        let opened_here =
            |write: &BlockWrite| matches!(write, BlockWrite::Open(item) if item.item_id == item_id);
        let is_new = self.blocks.iter().any(opened_here);
        self.blocks.retain(|write| write.item_id() != item_id);
        if !is_new {
            self.blocks.push(BlockWrite::Close { item_id });
        }
    }

    /// The arguments and texts of an item, where they were left there is a want of them.
    pub(crate) fn require_open_texts(&self) -> Decision<()> {
        let left = |item: &OpenItem| {
            item.args.is_none() || item.blocks.iter().any(|block| block.text.is_none())
        };
        if self.open.iter().any(left) {
            Err(Stop::Wants(super::facts::Want::OpenTexts))
        } else {
            Ok(())
        }
    }
}

/// A text of our own making.
fn encoded(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are always JSON")
}

/// A length as it is counted.
pub(crate) fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Microseconds of a duration, as they are kept.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// An open item without blocks.
pub(crate) fn new_item(item_id: Uuid, role: Role) -> OpenItem {
    OpenItem {
        item_id,
        role,
        tool_call_id: String::new(),
        tool_name: String::new(),
        args: Some(Json::default()),
        blocks: Vec::new(),
    }
}

/// Counts a message of the session's generation and takes its preview.
pub(crate) fn count_message(session: &mut Session, role: Role, parts: &[Part]) {
    session.message_count += 1;
    if role == Role::User {
        session.user_message_count += 1;
    }
    if matches!(role, Role::User | Role::Assistant) {
        let preview: String = text_of(parts).take(PREVIEW_MAX_CHARS).collect();
        if !preview.is_empty() {
            session.last_message_preview = preview;
        }
    }
}

/// The characters of a message's text.
fn text_of(parts: &[Part]) -> impl Iterator<Item = char> {
    parts.iter().flat_map(|part| match part {
        Part::Text { text, .. } => text.chars(),
        Part::Thinking { .. } | Part::ToolCall { .. } | Part::Attachment(_) => "".chars(),
    })
}

// === impl Context ===

impl Context<'_> {
    /// A log's id.
    pub(crate) fn log_id(&self, uid: Uuid) -> crate::domain::LogId {
        crate::domain::LogId::derive(uid, self.generation)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::domain::{
        ids::{LogId, Principal, SessionKey, SessionRow, Time},
        session::Session,
    };
    use uuid::Uuid;

    /// Some session.
    pub(crate) fn session(row: i64) -> Session {
        let uid = Uuid::from_u128(row.unsigned_abs().into());
        let names = (SessionRow(row), uid, LogId::default());
        let key = SessionKey::parse(&format!("s{row}")).expect("a key");
        Session::new(names, &Principal::local(), key, Time(0))
    }
}
