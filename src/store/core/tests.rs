//! Decisions over random lists of commands on one session, with an engine that is nothing but memory.

use super::{
    commands::{
        Abort, AnswerQuestion, Caller, Committed, Enqueue, NewSession, RequestKey, Steer,
        UpdateQueued,
    },
    decide::{self, Decided, admission, control, questions, queue, recovery, turns},
    facts::{Context, Decision, Facts, Ids, Replay, Stop, Want},
    ownership::{Fence, TurnEnd, Write},
    request_id::{self, KeptRequest, Request, RequestDigest},
    rules::{AgentRule, StoreRules},
    snapshot::{OpenBlock, OpenItem, Snapshot},
    usage::Ledger,
    write_set::{BlockWrite, QuestionWrite, SessionWrite, TurnWrite},
};
use crate::domain::{
    access::Identity,
    agent::{Capabilities, KnownAgent},
    event::{BlockKind, Event, EventKind, Role},
    ids::{SessionKey, SessionRow, Time},
    question::{
        Answer, Ask, NoApprover, OptionEffect, PENDING_MAX, Question, QuestionKind, QuestionOption,
        QuestionState,
    },
    quotas::{LiveQuotas, Quota, Quotas},
    refusal::Refusal,
    session::{Session, SessionState},
    turn::{AbortMode, Attachment, Cause, OnBusy, OnInterrupt, StopReason, Turn, TurnState},
};
use bytes::Bytes;
use proptest::prelude::*;
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

/// Ids that come again where a decision is made again.
#[derive(Clone, Debug, Default)]
struct Counted {
    ids: Cell<u128>,
    rows: Cell<i64>,
}

impl Ids for Counted {
    fn ordered(&self) -> Uuid {
        self.ids.set(self.ids.get() + 1);
        Uuid::from_u128(self.ids.get())
    }

    fn random(&self) -> Uuid {
        self.ordered()
    }

    fn session_row(&self) -> SessionRow {
        SessionRow(self.turn_row())
    }

    fn turn_row(&self) -> i64 {
        self.rows.set(self.rows.get() + 1);
        self.rows.get()
    }
}

/// What a caller or an owner does next.
#[derive(Clone, Debug)]
enum Step {
    Enqueue(OnBusy, usize, bool),
    Steer(bool),
    Abort(bool, Option<usize>),
    Reset,
    Update(usize, bool, Option<i32>),
    Remove(usize),
    Clear,
    Delete,
    FinishDelete,
    Start,
    Open(Role),
    Checkpoint(usize),
    Close,
    GiveSteer,
    ApplySteer,
    End(bool),
    Crash,
    Expire,
    Due,
    Again,
    Ask(QuestionKind),
    Answer(usize, bool),
    AskEnds(usize, AskEnd),
}

/// What an agent or a clock does to a question.
#[derive(Clone, Copy, Debug)]
enum AskEnd {
    Withdrawn,
    Expired,
    Delivered,
}

fn step() -> impl Strategy<Value = Step> {
    let busy = prop_oneof![
        Just(OnBusy::Enqueue),
        Just(OnBusy::Reject),
        Just(OnBusy::Interrupt),
        Just(OnBusy::SteerOrEnqueue),
    ];
    let size = prop_oneof![Just(10usize), Just(5000usize)];
    prop_oneof![
        6 => (busy, size, any::<bool>()).prop_map(|(busy, size, attach)| Step::Enqueue(busy, size, attach)),
        2 => any::<bool>().prop_map(Step::Steer),
        1 => (any::<bool>(), proptest::option::of(0..4usize)).prop_map(|(clear, of)| Step::Abort(clear, of)),
        1 => Just(Step::Reset),
        2 => (0..4usize, any::<bool>(), proptest::option::of(0..5i32))
            .prop_map(|(of, text, place)| Step::Update(of, text, place)),
        1 => (0..4usize).prop_map(Step::Remove),
        1 => Just(Step::Clear),
        1 => Just(Step::Delete),
        1 => Just(Step::FinishDelete),
        6 => Just(Step::Start),
        2 => prop_oneof![Just(Step::Open(Role::Assistant)), Just(Step::Open(Role::Tool))],
        2 => (0..3usize).prop_map(Step::Checkpoint),
        1 => Just(Step::Close),
        1 => Just(Step::GiveSteer),
        1 => Just(Step::ApplySteer),
        3 => any::<bool>().prop_map(Step::End),
        1 => Just(Step::Crash),
        1 => Just(Step::Expire),
        2 => Just(Step::Due),
        1 => Just(Step::Again),
        4 => prop_oneof![Just(QuestionKind::Permission), Just(QuestionKind::ToolCall), Just(QuestionKind::Form), Just(QuestionKind::Budget)]
            .prop_map(Step::Ask),
        3 => (0..4usize, any::<bool>()).prop_map(|(of, declined)| Step::Answer(of, declined)),
        3 => (0..4usize, prop_oneof![Just(AskEnd::Withdrawn), Just(AskEnd::Expired), Just(AskEnd::Delivered)])
            .prop_map(|(of, how)| Step::AskEnds(of, how)),
    ]
}

fn ask(kind: QuestionKind) -> Ask {
    let option = |id: &str, effect| QuestionOption {
        option_id: id.to_owned(),
        label: id.to_owned(),
        effect: Some(effect),
    };
    Ask {
        kind,
        title: "may it?".to_owned(),
        tool_call_id: "c".to_owned(),
        tool_name: "bash".to_owned(),
        args: crate::domain::event::Json::default(),
        options: match kind {
            QuestionKind::Permission => vec![
                option("yes", OptionEffect::AllowOnce),
                option("no", OptionEffect::DenyOnce),
            ],
            QuestionKind::Form
            | QuestionKind::Link
            | QuestionKind::ToolCall
            | QuestionKind::Budget => vec![],
        },
        schema_json: match kind {
            QuestionKind::Form => {
                r#"{"type":"object","properties":{"name":{"type":"string","x-secret":true}}}"#
                    .to_owned()
            }
            QuestionKind::Permission
            | QuestionKind::Link
            | QuestionKind::ToolCall
            | QuestionKind::Budget => String::new(),
        },
        url: String::new(),
        agent_path: vec![],
    }
}

/// An engine without a disk.
#[derive(Default)]
struct Memory {
    snapshot: Option<Arc<Snapshot>>,
    turns: BTreeMap<Uuid, Turn>,
    open: Vec<OpenItem>,
    attachments: BTreeSet<String>,
    requests: BTreeMap<RequestDigest, (i64, KeptRequest)>,
    events: Vec<(i64, EventKind, Option<Uuid>)>,
    ended: BTreeSet<Uuid>,
    /// In the order in which they were asked.
    questions: Vec<Question>,
    usage: Ledger,
    ids: Counted,
    now: i64,
    asked: u32,
    last: Option<Enqueue>,
}

/// Rules with small bounds.
pub(crate) fn rules() -> StoreRules {
    let able = Capabilities {
        steer: true,
        fork: true,
        compaction: true,
        ..Capabilities::default()
    };
    let rule = |on_interrupt| AgentRule {
        known: KnownAgent::new(able),
        commands_allowed: vec![],
        on_interrupt,
        max_attempts: 3,
        operator_only: false,
        tool_policy: vec![],
        options_allowed: vec![],
        no_approver: NoApprover::Wait,
        question_ttl: Duration::from_secs(60),
    };
    StoreRules {
        agents: BTreeMap::from([("a".to_owned(), rule(OnInterrupt::Retry))]),
        default_agent: "a".to_owned(),
        primary_session: SessionKey::parse("main").expect("a key"),
        quotas: LiveQuotas::new(Quotas {
            queue_limit_turns: 5,
            queue_limit_bytes: 20_000,
            max_sessions: 10,
            max_running_turns: 64,
            reserved_running_turns: 0,
            max_awake_agents: 64,
            tenant_max_asking_turns: 64,
            principal: Quota::NONE,
            tenant: Quota::NONE,
        }),
        retention_events: 1000,
        retention_age: Duration::from_secs(3600),
        history_retention: None,
        prices: Arc::default(),
        disk_reserve: 0,
    }
}

impl Memory {
    fn caller(&mut self, method: &'static str) -> Caller {
        self.now += 1;
        self.asked += 1;
        Caller {
            identity: Arc::new(Identity::unauthenticated()),
            key: SessionKey::parse("s").expect("a key"),
            request: Some(RequestKey {
                request_id: self.asked.to_string(),
                method,
                hash: [7; 32],
            }),
            expected_generation: None,
            now: Time(self.now),
        }
    }

    /// Decides, twice: the same comes of it. A refusal is the last word, for nothing is written before a decision.
    fn decide<T: std::fmt::Debug>(
        &mut self,
        request: Request,
        decide: impl Fn(&Context<'_>, &Facts, Option<&Snapshot>) -> Decision<T>,
    ) -> Result<T, Refusal> {
        let mut found = self.snapshot.clone();
        let mut facts = Facts {
            request,
            ..Facts::default()
        };
        let rules = rules();
        for _ in 0..100 {
            let run = |ids: &Counted| {
                let ctx = Context {
                    rules: &rules,
                    usage: &self.usage,
                    ids,
                    has_room: &|_| true,
                    generation: Uuid::nil(),
                    oldest_that_expires: Time(i64::MIN),
                };
                decide(&ctx, &facts, found.as_deref())
            };
            let again = run(&self.ids.clone());
            let ids = self.ids.clone();
            let decision = run(&ids);
            assert_eq!(format!("{decision:?}"), format!("{again:?}"));
            match decision {
                Ok(decided) => {
                    self.ids = ids;
                    return Ok(decided);
                }
                Err(Stop::Refused(refusal)) => return Err(refusal),
                Err(Stop::Broken(what)) => panic!("{what}"),
                Err(Stop::Wants(want)) => self.look_up(&mut found, &mut facts, want),
            }
        }
        panic!("it wants for ever");
    }

    fn look_up(&self, found: &mut Option<Arc<Snapshot>>, facts: &mut Facts, want: Want) {
        match want {
            Want::Turn(id) => {
                facts.turns.insert(id, self.turns.get(&id).cloned());
            }
            Want::Question(id) => {
                let mut questions = self.questions.iter();
                let question = questions.find(|it| it.question_id == id).cloned();
                facts.questions.insert(id, question);
            }
            Want::Texts(which) => {
                let mut changed = Snapshot::clone(found.as_ref().expect("a session"));
                for waiting in changed.waiting.iter_mut().chain(&mut changed.scheduled) {
                    let id = waiting.turn.turn_id;
                    if which.is_none_or(|wanted| wanted == id) {
                        let waiting = Arc::make_mut(waiting);
                        waiting.turn.text.clone_from(&self.turns[&id].text);
                        waiting.text_left = false;
                    }
                }
                *found = Some(Arc::new(changed));
            }
            Want::OpenTexts => {
                let mut changed = Snapshot::clone(found.as_ref().expect("a session"));
                changed.open.clone_from(&self.open);
                *found = Some(Arc::new(changed));
            }
            Want::Attachment(id) => {
                let has = self.attachments.contains(&id);
                facts.attachments.insert(id, has);
            }
            Want::RevokedKey(id) => {
                facts.revoked_keys.insert(id, false);
            }
            Want::Tombstones => facts.tombstones = Some(Vec::new()),
            Want::UserMessagesBefore(_) => facts.user_messages_before = Some(0),
            Want::Budgets(spender) => {
                facts.budgets.insert(spender, Vec::new());
            }
            Want::ClientTools => facts.has_client_tools = Some(false),
            Want::Offers { .. } => {
                facts.offers.insert(want, None);
            }
            Want::LastText => facts.last_text = Some(String::new()),
            Want::NewestKind => {
                facts.newest_kind = Some(self.events.last().map(|(_, kind, _)| *kind));
            }
            Want::Replay { turns, .. } => {
                facts.replay = Some(Replay {
                    session: self
                        .snapshot
                        .as_ref()
                        .map(|found| Session::clone(&found.session)),
                    tombstone: None,
                    turns: turns.iter().map(|id| self.turns[id].clone()).collect(),
                });
            }
        }
    }

    fn command(
        &mut self,
        caller: &Caller,
        decide: impl Fn(&Context<'_>, &Facts, Option<&Snapshot>) -> Decision<Decided>,
    ) -> Result<Committed, Refusal> {
        let key = caller.request.as_ref().expect("it was set");
        let digest = request_id::digest(&caller.identity.principal, caller.key.as_str(), key);
        let request = match self.requests.get(&digest) {
            Some((_, kept)) => Request::Kept(kept.clone()),
            None => Request::New {
                id: i64::try_from(self.requests.len()).expect("few") + 1,
                digest,
            },
        };
        let Decided { committed, writes } = self.decide(request, decide)?;
        assert!(!committed.replayed || writes.session.is_none());
        if let Some(write) = writes.session {
            self.write(write);
        }
        if let Some(row) = writes.request {
            let kept = KeptRequest {
                hash: row.hash,
                session: row.session,
                session_uid: row.session_uid,
                receipt: row.receipt,
            };
            self.requests.insert(row.digest, (row.id, kept));
        }
        Ok(committed)
    }

    fn write(&mut self, write: SessionWrite) {
        for (event, _) in &write.events {
            let last = self.events.last().map_or(0, |(seq, _, _)| *seq);
            assert_eq!(event.seq, last + 1, "events are dense");
            self.events.push((event.seq, event.kind, event.turn_id));
        }
        for turn in &write.turns {
            match turn {
                TurnWrite::New { turn, .. } => {
                    let before = self.turns.insert(turn.turn.turn_id, turn.turn.clone());
                    assert_eq!(before, None, "a turn is made once");
                }
                TurnWrite::Text { row, text, .. } => {
                    let mut turns = self.turns.values_mut();
                    let turn = turns.find(|turn| turn.row == *row).expect("it was made");
                    turn.text.clone_from(text);
                }
                _ => {}
            }
        }
        for turn in &write.ended {
            assert!(self.ended.insert(turn.turn_id), "a turn ends once");
            self.turns.insert(turn.turn_id, Turn::clone(turn));
        }
        for attachment in &write.attachments {
            let id = attachment.reference.attachment_id.clone();
            assert!(self.attachments.insert(id), "a content is kept once");
        }
        for block in write.blocks {
            match block {
                BlockWrite::Open(item) => self.open.push(OpenItem {
                    blocks: Vec::new(),
                    ..*item
                }),
                BlockWrite::Put {
                    item_id,
                    content_index,
                    kind,
                    text,
                    done,
                } => {
                    let mut open = self.open.iter_mut();
                    let item = open
                        .find(|item| item.item_id == item_id)
                        .expect("it is open");
                    let block = OpenBlock {
                        content_index,
                        kind,
                        text: Some(text),
                        done,
                    };
                    item.blocks.retain(|b| b.content_index != content_index);
                    item.blocks.push(block);
                    item.blocks.sort_by_key(|b| b.content_index);
                }
                BlockWrite::Close { item_id } => {
                    let before = self.open.len();
                    self.open.retain(|item| item.item_id != item_id);
                    assert_eq!(self.open.len() + 1, before, "it was open");
                }
            }
        }
        for write in write.questions {
            match write {
                QuestionWrite::New { question, ask } => {
                    assert_eq!(question.state, QuestionState::Pending);
                    assert!(ask.contains(&question.ask.tool_name));
                    self.questions.push(Question::clone(&question));
                }
                QuestionWrite::Closed { question, .. } => {
                    let id = question.question_id;
                    let mut questions = self.questions.iter_mut();
                    let kept = questions
                        .find(|it| it.question_id == id)
                        .expect("it was asked");
                    assert_eq!(kept.state, QuestionState::Pending, "it is closed once");
                    *kept = Question::clone(&question);
                }
                QuestionWrite::Settled { question_id, .. } => {
                    let mut questions = self.questions.iter();
                    let kept = questions.find(|it| it.question_id == question_id);
                    assert_ne!(kept.expect("it was asked").state, QuestionState::Pending);
                }
            }
        }
        let session = &write.after.session;
        self.usage.add(&session.tenant, &session.owner, write.held);
        self.snapshot = Some(write.after);
        self.check();
    }

    /// What must hold of every session at rest.
    fn check(&self) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let Snapshot {
            session,
            hidden,
            active,
            waiting,
            scheduled,
            steers,
            open,
            questions,
        } = &**snapshot;
        for turn in scheduled.iter().map(|waiting| &waiting.turn) {
            assert_eq!(turn.state, TurnState::Scheduled);
            assert!(!self.ended.contains(&turn.turn_id));
        }
        let times = scheduled.iter().map(|waiting| waiting.turn.not_before);
        assert!(times.is_sorted(), "the next one stands first");
        let pending: Vec<Uuid> = self
            .questions
            .iter()
            .filter(|it| it.state == QuestionState::Pending)
            .map(|it| it.question_id)
            .collect();
        let open_pending: Vec<Uuid> = questions
            .iter()
            .filter(|it| it.state == QuestionState::Pending)
            .map(|it| it.question_id)
            .collect();
        assert_eq!(
            pending, open_pending,
            "what is pending is the active turn's"
        );
        assert_eq!(
            usize::try_from(session.pending_questions),
            Ok(pending.len())
        );
        assert!(pending.len() <= PENDING_MAX);
        let state = active.as_ref().map(|active| active.turn.state);
        let waits = state == Some(TurnState::WaitingInput);
        assert_eq!(
            waits,
            !pending.is_empty(),
            "it waits while a question is pending: {state:?}"
        );
        assert!(active.is_some() || questions.is_empty());
        assert_eq!(
            session.head,
            self.events.last().map_or(0, |(seq, _, _)| *seq)
        );
        assert_eq!(session.active_turn, active.as_ref().map(|a| a.turn.turn_id));
        assert_eq!(usize::try_from(session.queue_depth), Ok(waiting.len()));
        let bytes: i64 = waiting.iter().map(|waiting| waiting.bytes).sum();
        assert_eq!(session.queue_bytes, bytes);
        let places: Vec<i64> = waiting.iter().map(|waiting| waiting.position).collect();
        assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
        for waiting in waiting {
            assert!(!self.ended.contains(&waiting.turn.turn_id));
        }
        assert!(active.is_some() || (steers.is_empty() && open.is_empty()));
        let same: Vec<Uuid> = self.open.iter().map(|item| item.item_id).collect();
        let kept: Vec<Uuid> = open.iter().map(|item| item.item_id).collect();
        assert_eq!(same, kept);
        if session.state == SessionState::Idle {
            assert!(active.is_none() && !hidden.pending_reset);
        }
        let (owner, _) = self.usage.held(&session.tenant, &session.owner);
        assert_eq!(owner.sessions, 1);
        assert_eq!(owner.queue_bytes, bytes);
        assert_eq!(owner.stored_bytes, hidden.stored_bytes);
        let unfinished = waiting.len() + scheduled.len() + usize::from(active.is_some());
        assert_eq!(
            self.turns.len(),
            self.ended.len() + unfinished,
            "no turn is lost"
        );
    }

    fn nth(&self, nth: usize) -> Uuid {
        let waiting = self.snapshot.as_ref().map(|found| &found.waiting);
        let found = waiting.and_then(|waiting| waiting.get(nth));
        found.map_or(Uuid::nil(), |waiting| waiting.turn.turn_id)
    }

    fn fence(&self) -> Option<Fence> {
        self.snapshot
            .as_ref()
            .map(|found| Fence::of(&found.session))
    }

    fn append(&mut self, writes: &[Write]) {
        let (Some(fence), now) = (self.fence(), Time(self.now)) else {
            return;
        };
        let active = self
            .snapshot
            .as_ref()
            .is_some_and(|found| found.active.is_some());
        if active {
            let write = self.decide(Request::None, |ctx, facts, found| {
                turns::append(ctx, facts, found, fence, writes, now)
            });
            self.write(write.expect("it has the fence"));
        }
    }

    fn enqueue(&mut self, command: &Enqueue) -> Result<Committed, Refusal> {
        self.command(&command.caller, |ctx, facts, found| {
            admission::enqueue(ctx, facts, found, command)
        })
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Enqueue(on_busy, size, attach) => {
                let data = Bytes::from_static(b"bytes");
                let attachment = Attachment::new("a".into(), "text/plain".into(), data);
                let command = Enqueue {
                    caller: self.caller("Enqueue"),
                    new_session: NewSession::default(),
                    text: "x".repeat(size),
                    command: String::new(),
                    attachments: if attach { vec![attachment] } else { vec![] },
                    source: String::new(),
                    metadata: BTreeMap::new(),
                    on_busy,
                    on_interrupt: None,
                    turn_timeout: Duration::from_secs(60),
                    queue_ttl: (size > 10).then_some(Duration::from_micros(3)),
                    not_before: (on_busy == OnBusy::Enqueue && attach)
                        .then_some(Time(self.now + 2)),
                    trace_context: String::new(),
                    output_schema: String::new(),
                    client_tools: vec![],
                };
                let _ = self.enqueue(&command);
                self.last = Some(command);
            }
            Step::Again => {
                if let Some(command) = self.last.clone() {
                    let before = self.events.len();
                    let first = self.enqueue(&command);
                    let again = self.enqueue(&command);
                    if let (Ok(first), Ok(again)) = (first, again) {
                        assert!(again.replayed);
                        assert_eq!(first.receipt, again.receipt);
                        assert!(!first.replayed || self.events.len() == before);
                    }
                }
            }
            Step::Steer(right) => {
                let command = Steer {
                    caller: self.caller("Steer"),
                    text: "steer".to_owned(),
                    attachments: vec![],
                    expected_turn: (!right).then(Uuid::nil),
                    turn_timeout: Duration::from_secs(60),
                    trace_context: String::new(),
                };
                let _ = self.command(&command.caller, |ctx, facts, found| {
                    admission::steer(ctx, facts, found, &command)
                });
            }
            Step::Abort(clear_queue, of) => {
                let command = Abort {
                    caller: self.caller("Abort"),
                    turn_id: of.map(|of| self.nth(of)),
                    clear_queue,
                    mode: AbortMode::Cancel,
                    grace: Duration::from_secs(1),
                    cause: Cause::Aborted,
                };
                let _ = self.command(&command.caller, |ctx, facts, found| {
                    control::abort(ctx, facts, found, &command)
                });
            }
            Step::Reset => {
                let caller = self.caller("Reset");
                let _ = self.command(&caller, |ctx, facts, found| {
                    control::reset(ctx, facts, found, &caller)
                });
            }
            Step::Update(of, text, position) => {
                let command = UpdateQueued {
                    caller: self.caller("UpdateQueued"),
                    turn_id: self.nth(of),
                    text: text.then(|| "other".to_owned()),
                    position,
                };
                let _ = self.command(&command.caller, |ctx, facts, found| {
                    queue::update(ctx, facts, found, &command)
                });
            }
            Step::Remove(of) => {
                let (caller, turn_id) = (self.caller("RemoveQueued"), self.nth(of));
                let _ = self.command(&caller, |ctx, facts, found| {
                    queue::remove(ctx, facts, found, &caller, turn_id)
                });
            }
            Step::Clear => {
                let caller = self.caller("ClearQueue");
                let _ = self.command(&caller, |ctx, facts, found| {
                    queue::clear(ctx, facts, found, &caller)
                });
            }
            Step::Delete => {
                let caller = self.caller("DeleteSession");
                let _ = self.command(&caller, |ctx, facts, found| {
                    control::delete(ctx, facts, found, &caller)
                });
            }
            Step::FinishDelete => {
                let ready = self.snapshot.as_ref().is_some_and(|found| {
                    found.session.state == SessionState::Deleting && found.active.is_none()
                });
                if let (Some(fence), true) = (self.fence(), ready) {
                    let now = Time(self.now);
                    let write = self.decide(Request::None, |_, facts, found| {
                        control::finish_delete(facts, found, fence, now)
                    });
                    self.write(write.expect("it has the fence"));
                    assert_eq!(
                        self.events.last().map(|e| e.1),
                        Some(EventKind::SESSION_DELETED)
                    );
                }
            }
            Step::Start => {
                self.now += 1;
                let (Some(fence), now) = (self.fence(), Time(self.now)) else {
                    return;
                };
                let next = self.decide(Request::None, |ctx, facts, found| {
                    turns::start_next(ctx, facts, found, fence, now)
                });
                if let Some(next) = next.expect("it has the fence") {
                    let started = next.started.is_some();
                    if let Some((turn, _)) = &next.started {
                        assert_eq!(turn.text, self.turns[&turn.turn_id].text, "it is whole");
                    }
                    self.write(next.write);
                    let active = self
                        .snapshot
                        .as_ref()
                        .and_then(|found| found.active.clone());
                    assert_eq!(active.is_some(), started);
                }
            }
            Step::Open(role) => {
                let item_id = Some(self.ids.ordered());
                let event = if role == Role::Tool {
                    Event::ToolStarted {
                        tool_call_id: "c".to_owned(),
                        tool_name: "t".to_owned(),
                        args: crate::domain::event::Json::default(),
                    }
                } else {
                    Event::MessageStarted {
                        role,
                        text: String::new(),
                        attachments: vec![],
                    }
                };
                self.append(&[Write::Event { item_id, event }]);
            }
            Step::Checkpoint(of) => {
                if let Some(item) = self.open.get(of) {
                    let write = Write::Checkpoint {
                        item_id: item.item_id,
                        block: BlockKind::Text,
                        content_index: i32::try_from(of).expect("few"),
                        text: "so far".to_owned(),
                    };
                    self.append(&[write]);
                }
            }
            Step::Close => {
                if let Some(item_id) = self.open.first().map(|item| item.item_id) {
                    let event = Event::MessageCompleted {
                        role: Role::Assistant,
                        blocks: vec![],
                        partial: false,
                        continued: false,
                    };
                    let item_id = Some(item_id);
                    self.append(&[Write::Event { item_id, event }]);
                }
            }
            Step::Ask(kind) => {
                let question_id = self.ids.ordered();
                let mut ask = ask(kind);
                // Now and then one that nobody can answer.
                if self.now % 7 == 0 {
                    ask.options.clear();
                    ask.schema_json.clear();
                }
                let ask = Box::new(ask);
                self.append(&[Write::Asked { question_id, ask }]);
            }
            Step::Answer(of, declined) => {
                let Some(question) = self.questions.iter().rev().nth(of).cloned() else {
                    return;
                };
                let caller = self.caller("AnswerQuestion");
                let answer = match question.ask.kind {
                    _ if declined => Answer {
                        declined,
                        ..Answer::default()
                    },
                    QuestionKind::Permission | QuestionKind::Link => Answer {
                        option_id: "yes".to_owned(),
                        ..Answer::default()
                    },
                    QuestionKind::Budget => Answer {
                        content_json: r#"{"tokens":1}"#.to_owned(),
                        ..Answer::default()
                    },
                    QuestionKind::Form | QuestionKind::ToolCall => Answer {
                        content_json: r#"{"name":"Ada"}"#.to_owned(),
                        ..Answer::default()
                    },
                };
                let command = AnswerQuestion {
                    caller,
                    question_id: question.question_id,
                    answer,
                    action_digest: question.action_digest.clone(),
                };
                let answered = self.command(&command.caller, |ctx, facts, found| {
                    questions::answer(ctx, facts, found, &command)
                });
                let pending = question.state == QuestionState::Pending;
                let deleting = self
                    .snapshot
                    .as_ref()
                    .is_some_and(|found| found.session.state == SessionState::Deleting);
                assert_eq!(answered.is_ok(), pending && !deleting, "{answered:?}");
            }
            Step::AskEnds(of, how) => {
                let open = self.snapshot.as_ref().map(|found| &found.questions);
                let open = open.and_then(|open| open.get(of));
                if let Some(question_id) = open.map(|it| it.question_id) {
                    self.append(&[match how {
                        AskEnd::Withdrawn => Write::AskWithdrawn { question_id },
                        AskEnd::Expired => Write::AskExpired { question_id },
                        AskEnd::Delivered => Write::AnswerDelivered { question_id },
                    }]);
                }
            }
            Step::GiveSteer | Step::ApplySteer => {
                let first = self
                    .snapshot
                    .as_ref()
                    .and_then(|found| found.steers.first());
                if let Some(steer_id) = first.map(|steer| steer.steer_id) {
                    self.append(&[if matches!(step, Step::GiveSteer) {
                        Write::SteerGiven { steer_id }
                    } else {
                        Write::SteerApplied { steer_id }
                    }]);
                }
            }
            Step::End(completed) => {
                let (Some(fence), now) = (self.fence(), Time(self.now)) else {
                    return;
                };
                if self
                    .snapshot
                    .as_ref()
                    .is_some_and(|found| found.active.is_some())
                {
                    let end = if completed {
                        TurnEnd::Completed(StopReason::Stop)
                    } else {
                        TurnEnd::Failed(Cause::AgentError, "it failed".to_owned())
                    };
                    let ended = self.decide(Request::None, |ctx, facts, found| {
                        turns::end_turn(ctx, facts, found, fence, (&[], &end, "the end"), now)
                    });
                    let (turn, write) = ended.expect("it has the fence");
                    self.write(write);
                    assert!(turn.state.is_terminal());
                    assert!(self.ended.contains(&turn.turn_id));
                    let stale = Fence {
                        epoch: fence.epoch - 1,
                        ..fence
                    };
                    let fenced = self.decide(Request::None, |ctx, facts, found| {
                        turns::append(ctx, facts, found, stale, &[], now)
                    });
                    assert_eq!(fenced.err(), Some(Refusal::Fenced));
                }
            }
            Step::Crash => {
                if let Some(found) = self.snapshot.clone() {
                    let now = Time(self.now);
                    let settled = self.decide(Request::None, |ctx, facts, now_found| {
                        recovery::settle(
                            ctx,
                            facts,
                            now_found.unwrap_or(&found),
                            Cause::GatewayCrashed,
                            now,
                        )
                    });
                    let (_, write) = settled.expect("a crash is settled");
                    self.write(write);
                    let after = self.snapshot.as_ref().expect("it was written");
                    assert!(after.active.is_none());
                    assert_eq!(after.session.epoch, found.session.epoch + 1);
                }
            }
            Step::Due => {
                self.now += 1;
                let now = Time(self.now);
                if self.snapshot.is_some() {
                    let due = self.decide(Request::None, |_, _, found| {
                        decide::queue::due(found.expect("it is there"), now, now)
                    });
                    if let Some(write) = due.expect("it is whole") {
                        self.write(write);
                    }
                    let found = self.snapshot.as_ref().expect("it is there");
                    let first = found.scheduled.first();
                    assert!(first.is_none_or(|it| it.turn.not_before > Some(now)));
                }
            }
            Step::Expire => {
                self.now += 1;
                let Some(found) = self.snapshot.clone() else {
                    return;
                };
                let now = Time(self.now);
                let over = |turn: &Turn| turn.expire_time.is_some_and(|time| time <= now);
                let waiting = found.waiting.iter().map(|waiting| &waiting.turn);
                let expired: Vec<Uuid> = waiting.filter(|t| over(t)).map(|t| t.turn_id).collect();
                let done = self.decide(Request::None, |_, _, whole| {
                    decide::queue::expire(whole.unwrap_or(&found), &expired, now)
                });
                self.write(done.expect("it is whole").1);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_list_of_commands_leaves_a_session_that_holds_together(
        steps in proptest::collection::vec(step(), 1..60)
    ) {
        let mut memory = Memory::default();
        for step in steps {
            memory.run(step);
        }
    }
}

/// The rules stand on the domain alone.
#[test]
fn decisions_import_nothing_but_the_domain_and_each_other() {
    let rooms = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/core/decide");
    let allowed = ["super::", "self::", "crate::domain", "std::", "uuid::"];
    for file in std::fs::read_dir(rooms).expect("it is a directory") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("it is text");
        for line in text.lines() {
            let used = ["use ", "pub(crate) use ", "pub(super) use "]
                .into_iter()
                .find_map(|word| line.trim_start().strip_prefix(word));
            let Some(used) = used else {
                assert!(
                    !line.contains("crate::")
                        || line.contains("crate::domain")
                        || line.contains("pub(crate)"),
                    "{}: {line}",
                    path.display()
                );
                continue;
            };
            let local = used.starts_with("quotas::");
            assert!(
                local || allowed.iter().any(|root| used.starts_with(root)),
                "{}: {line}",
                path.display()
            );
        }
    }
}
