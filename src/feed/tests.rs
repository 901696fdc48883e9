//! The feed against a log in memory: what each reader sees under any schedule, and that nobody sleeps through anything.

use super::*;
use crate::{
    domain::{
        event::{BlockKind, Delta, Event, EventKind, Role},
        ids::{LogId, Principal, SessionKey},
        lease::{KeptLease, WantedWorker},
        schedule::{Schedule, ScheduleRun},
        session::SessionState,
        turn::{Turn, TurnState, Usage},
    },
    proto::{self, gateway_event::Kind},
    store::*,
    wire::frames,
};
use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
    time::Duration,
};
use uuid::Uuid;

const ROW: SessionRow = SessionRow(7);
const LONG: Duration = Duration::from_secs(30);

pub(super) fn session() -> Session {
    let names = (ROW, Uuid::from_u128(1), LogId(Uuid::from_u128(2)));
    let key = SessionKey::parse("story").expect("a key");
    Session {
        session_id: Uuid::from_u128(3),
        agent: "echo".into(),
        epoch: 1,
        ..Session::new(names, &Principal::local(), key, Time(1))
    }
}

fn turn(turn_id: Uuid, state: TurnState) -> Turn {
    Turn {
        row: 1,
        turn_id,
        session_key: session().key,
        generation: 1,
        state,
        text: String::new(),
        response_text: "done".into(),
        output_json: String::new(),
        stop_reason: None,
        error: None,
        attempt: 1,
        agent: "echo".into(),
        model: String::new(),
        usage: Usage::default(),
        create_time: Time(1),
        start_time: None,
        end_time: Some(Time(2)),
        source: String::new(),
        metadata: Default::default(),
        attachments: Vec::new(),
        on_interrupt: None,
        turn_timeout: LONG,
        expire_time: None,
        cancel: None,
        trace_context: String::new(),
        command: String::new(),
        not_before: None,
        principal: String::new(),
        agent_revision: String::new(),
        thinking_level: String::new(),
        routing: Arc::default(),
    }
}

// ------------------------------------------------------------------------------------------------ a log in memory

/// The few reads that the feed makes, over a log in memory. Each page takes a moment.
struct Log(Mutex<LogState>);

struct LogState {
    session: Session,
    events: Vec<StoredEvent>,
    turn: Option<Turn>,
    /// Highest `through` that was asked for by a page without a `turn_ended` search.
    asked: i64,
}

impl Log {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(LogState {
            session: session(),
            events: Vec::new(),
            turn: None,
            asked: 0,
        })))
    }

    /// Commits events; the publication is the caller's to hand over.
    fn commit(&self, events: Vec<(Option<Uuid>, Option<Uuid>, Event)>) -> Published {
        self.change(events, |_| {})
    }

    fn change(
        &self,
        events: Vec<(Option<Uuid>, Option<Uuid>, Event)>,
        change: impl FnOnce(&mut Session),
    ) -> Published {
        let mut log = lock(&self.0);
        let mut stored = Vec::new();
        for (turn_id, item_id, event) in events {
            log.session.head += 1;
            stored.push(StoredEvent {
                seq: log.session.head,
                epoch: 1,
                kind: event.kind(),
                turn_id,
                item_id,
                body: frames::event_body(Time(5), turn_id, item_id, 1, &event),
            });
        }
        log.events.extend(stored.clone());
        change(&mut log.session);
        Published {
            session: Arc::new(log.session.clone()),
            events: stored,
            ended: Vec::new(),
        }
    }

    fn retain_from(&self, first_seq: i64) -> Published {
        lock(&self.0).events.retain(|e| e.seq >= first_seq);
        self.change(Vec::new(), |s| s.first_seq = first_seq.max(s.first_seq))
    }
}

#[async_trait]
#[rustfmt::skip]
impl Store for Log {
    async fn session_by_row(&self, row: SessionRow) -> Result<Option<Arc<Session>>, Refusal> {
        tokio::task::yield_now().await;
        Ok((row == ROW).then(|| Arc::new(lock(&self.0).session.clone())))
    }
    async fn events(&self, _: SessionRow, range: EventsRange, limit: usize, _: usize) -> Result<EventsPage, Refusal> {
        tokio::task::yield_now().await;
        let mut log = lock(&self.0);
        if range.through < i64::MAX {
            log.asked = log.asked.max(range.through);
        }
        let wanted = |e: &&StoredEvent| e.seq > range.after && e.seq <= range.through
            && (range.kinds.is_empty() || range.kinds.contains(&e.kind))
            && (range.turn_id.is_none() || range.turn_id == e.turn_id);
        // Small pages, so that a replay has many.
        let events: Vec<_> = log.events.iter().filter(wanted).take(limit.min(7)).cloned().collect();
        let looked = if events.len() == 7 { events[6].seq } else { range.through };
        Ok(EventsPage { events, looked, first_seq: log.session.first_seq })
    }
    async fn turn(&self, _: &Arc<Identity>, _: &SessionKey, _: Uuid) -> Result<Turn, Refusal> { unreachable!() }
    async fn turn_of(&self, _: SessionRow, turn_id: Uuid) -> Result<Turn, Refusal> {
        lock(&self.0).turn.clone().filter(|t| t.turn_id == turn_id)
            .ok_or_else(|| Refusal::TurnNotFound { turn_id: turn_id.to_string() })
    }
    async fn last_position(&self, _: SessionRow) -> Result<Option<i64>, Refusal> { unreachable!() }
    async fn enqueue(&self, _: Enqueue) -> Result<Committed, Refusal> { unreachable!() }
    async fn steer(&self, _: Steer) -> Result<Committed, Refusal> { unreachable!() }
    async fn abort(&self, _: Abort) -> Result<Committed, Refusal> { unreachable!() }
    async fn queue_due(&self, _: Time, _: Time) -> Result<usize, Refusal> { unreachable!() }
    async fn put_lease(&self, _: KeptLease) -> Result<(), Refusal> { unreachable!() }
    async fn end_lease(&self, _: Uuid) -> Result<(), Refusal> { unreachable!() }
    async fn leases(&self) -> Result<Vec<KeptLease>, Refusal> { unreachable!() }
    async fn settle_lease(&self, _: Uuid, _: Time) -> Result<(), Refusal> { unreachable!() }
    async fn wait_for_worker(&self, _: Fence, _: WantedWorker, _: Time) -> Result<(), Refusal> { unreachable!() }
    async fn look_for_workers(&self, _: &str, _: Option<&str>, _: usize, _: Time) -> Result<usize, Refusal> { unreachable!() }
    async fn wanted_workers(&self) -> Result<Vec<(String, i64)>, Refusal> { unreachable!() }
    async fn next_due(&self) -> Result<Option<Time>, Refusal> { unreachable!() }
    async fn create_schedule(&self, _: NewSchedule) -> Result<(Schedule, bool), Refusal> { unreachable!() }
    async fn update_schedule(&self, _: ScheduleUpdate) -> Result<Option<(Schedule, bool)>, Refusal> { unreachable!() }
    async fn delete_schedule(&self, _: ScheduleCaller) -> Result<bool, Refusal> { unreachable!() }
    async fn schedule(&self, _: &Principal, _: &str, _: Time) -> Result<Schedule, Refusal> { unreachable!() }
    async fn list_schedules(&self, _: &Principal, _: Option<i64>, _: usize, _: Time) -> Result<SchedulesPage, Refusal> { unreachable!() }
    async fn schedule_runs(&self, _: &Principal, _: &str, _: Option<i64>, _: usize, _: Time) -> Result<RunsPage, Refusal> { unreachable!() }
    async fn due_schedules(&self, _: Time, _: usize) -> Result<Vec<Schedule>, Refusal> { unreachable!() }
    async fn step_schedule(&self, _: ScheduleStep) -> Result<bool, Refusal> { unreachable!() }
    async fn run_schedule(&self, _: ScheduleCaller, _: ScheduleStep) -> Result<Option<(ScheduleRun, bool)>, Refusal> { unreachable!() }
    async fn plan(&self, _: SessionRow, _: i64) -> Result<Option<(i64, Bytes)>, Refusal> { unreachable!() }
    async fn artifacts(&self, _: SessionRow, _: i64, _: i64, _: usize) -> Result<Vec<(i64, Bytes)>, Refusal> { unreachable!() }
    async fn reload_session(&self, _: Caller) -> Result<Committed, Refusal> { unreachable!() }
    async fn reset(&self, _: Caller) -> Result<Committed, Refusal> { unreachable!() }
    async fn answer_question(&self, _: AnswerQuestion) -> Result<Committed, Refusal> { unreachable!() }
    async fn open_questions(&self, _: Fence) -> Result<Vec<OpenQuestion>, Refusal> { unreachable!() }
    async fn question(&self, _: &Arc<Identity>, _: &SessionKey, _: Uuid) -> Result<crate::domain::question::Question, Refusal> { unreachable!() }
    async fn list_questions(&self, _: QuestionsFilter, _: Option<i64>, _: usize) -> Result<QuestionsPage, Refusal> { unreachable!() }
    async fn update_queued(&self, _: UpdateQueued) -> Result<Committed, Refusal> { unreachable!() }
    async fn remove_queued(&self, _: Caller, _: Uuid) -> Result<Committed, Refusal> { unreachable!() }
    async fn clear_queue(&self, _: Caller) -> Result<Committed, Refusal> { unreachable!() }
    async fn create_session(&self, _: Caller, _: NewSession) -> Result<Committed, Refusal> { unreachable!() }
    async fn update_session(&self, _: UpdateSession) -> Result<Committed, Refusal> { unreachable!() }
    async fn choose(&self, _: crate::store::Choose) -> Result<Committed, Refusal> { unreachable!() }
    async fn routes(&self, _: &str) -> Result<Vec<crate::domain::routing::Route>, Refusal> { unreachable!() }
    async fn set_routes(&self, _: crate::store::SetRoutes) -> Result<(String, bool), Refusal> { unreachable!() }
    async fn resolve_route(&self, _: crate::store::ResolveRoute) -> Result<crate::store::ResolvedRoute, Refusal> { unreachable!() }
    async fn offers(&self, _: &str, _: &str, _: Option<SessionRow>) -> Result<Option<crate::store::KeptOffers>, Refusal> { unreachable!() }
    async fn fork_session(&self, _: Fork) -> Result<Committed, Refusal> { unreachable!() }
    async fn delete_session(&self, _: Caller) -> Result<Committed, Refusal> { unreachable!() }
    async fn delete_postponed(&self, _: SessionRow) -> Result<bool, Refusal> { unreachable!() }
    async fn claim(&self, _: SessionRow) -> Result<(Fence, Arc<Session>), Refusal> { unreachable!() }
    async fn start_next(&self, _: Fence, _: Time) -> Result<Option<Started>, Refusal> { unreachable!() }
    async fn active_turn(&self, _: SessionRow) -> Result<Option<Turn>, Refusal> { unreachable!() }
    async fn pending_steers(&self, _: Fence) -> Result<Vec<PendingSteer>, Refusal> { unreachable!() }
    async fn append(&self, _: Fence, _: Vec<Write>, _: Time) -> Result<Arc<Session>, Refusal> { unreachable!() }
    async fn end_turn(&self, _: Fence, _: Vec<Write>, _: TurnEnd, _: String, _: Time) -> Result<Ended, Refusal> { unreachable!() }
    async fn finish_delete(&self, _: Fence, _: Time) -> Result<Arc<Session>, Refusal> { unreachable!() }
    async fn purge_session(&self, _: Fence, _: Time) -> Result<(), Refusal> { unreachable!() }
    async fn recover(&self, _: Time) -> Result<Recovered, Refusal> { unreachable!() }
    async fn runnable(&self, _: Waiting) -> Result<Runnable, Refusal> { unreachable!() }
    async fn postpone_delete(&self, _: Fence) -> Result<(), Refusal> { unreachable!() }
    async fn expire_queued(&self, _: Time) -> Result<u64, Refusal> { unreachable!() }
    async fn maintain(&self, _: Time) -> Result<bool, Refusal> { unreachable!() }
    async fn session(&self, _: &Arc<Identity>, _: &SessionKey) -> Result<Arc<Session>, Refusal> { unreachable!() }
    async fn list_sessions(&self, _: &Arc<Identity>, _: SessionFilter, _: Option<i64>, _: usize) -> Result<SessionsPage, Refusal> { unreachable!() }
    async fn list_turns(&self, _: TurnsFilter, _: Option<i64>, _: usize) -> Result<TurnsPage, Refusal> { unreachable!() }
    async fn queue(&self, _: &Arc<Identity>, _: &SessionKey) -> Result<Vec<Turn>, Refusal> { unreachable!() }
    async fn turn_first_seq(&self, _: SessionRow, _: Uuid) -> Result<i64, Refusal> { unreachable!() }
    async fn messages(&self, _: SessionRow, _: i64, _: Option<i64>, _: Option<i64>, _: usize) -> Result<MessagesPage, Refusal> { unreachable!() }
    async fn attachment(&self, _: SessionRow, _: &str) -> Result<crate::domain::turn::Attachment, Refusal> { unreachable!() }
    async fn stored_bytes(&self, _: &crate::domain::ids::Principal) -> Result<(i64, i64), Refusal> { unreachable!() }
    async fn session_count(&self) -> Result<i64, Refusal> { unreachable!() }
    async fn settings(&self) -> Result<std::collections::BTreeMap<String, String>, Refusal> { unreachable!() }
    async fn put_settings(&self, _: std::collections::BTreeMap<String, String>) -> Result<(), Refusal> { unreachable!() }
    async fn may_call(
        &self,
        _: crate::store::Fence,
        _: &str,
        _: Time,
    ) -> Result<Option<crate::domain::budget::Exceeded>, Refusal> { unreachable!() }
    async fn set_budget(
        &self,
        _: crate::store::SetBudget,
    ) -> Result<(crate::domain::budget::Budget, bool), Refusal> { unreachable!() }
    async fn delete_budget(&self, _: crate::store::DeleteBudget) -> Result<(bool, bool), Refusal> { unreachable!() }
    async fn list_budgets(
        &self,
        _: &str,
        _: Option<i64>,
        _: usize,
    ) -> Result<crate::store::BudgetsPage, Refusal> { unreachable!() }
    async fn usage(
        &self,
        _: crate::domain::usage::UsageFilter,
        _: Vec<crate::domain::usage::GroupBy>,
    ) -> Result<crate::domain::usage::Groups, Refusal> { unreachable!() }
    async fn told_agents(&self) -> Result<Vec<crate::domain::agent::ToldAgent>, Refusal> { unreachable!() }
    async fn put_told_agent(&self, _: crate::domain::agent::ToldAgent) -> Result<(), Refusal> { unreachable!() }
    fn troubles(&self) -> Vec<crate::store::Trouble> { Vec::new() }
    async fn ping(&self) -> Result<(), Refusal> { unreachable!() }
    async fn close(&self) { unreachable!() }
    async fn create_api_key(&self, _: NewApiKey) -> Result<CreatedApiKey, Refusal> { unreachable!() }
    async fn revoke_api_key(
        &self,
        _: crate::store::RevokeApiKey,
    ) -> Result<crate::store::RevokedApiKey, Refusal> { unreachable!() }
    async fn api_keys_used(&self, _: Vec<(String, Time)>) -> Result<(), Refusal> { unreachable!() }
    async fn has_api_keys(&self) -> Result<bool, Refusal> { unreachable!() }
    async fn valid_api_keys(&self, _: Time) -> Result<Vec<KeptApiKey>, Refusal> { unreachable!() }
    async fn list_api_keys(&self, _: ApiKeysFilter, _: Option<i64>, _: usize) -> Result<ApiKeysPage, Refusal> { unreachable!() }
}

// ------------------------------------------------------------------------------------------------------- a client

/// What a client makes of a stream; asserts the promises as it goes.
#[derive(Default)]
struct Client {
    /// Newest durable event, once it knows where the stream starts.
    seq: Option<i64>,
    /// Texts of open blocks.
    texts: HashMap<(String, i32, i32), String>,
    /// Kinds in order.
    kinds: Vec<&'static str>,
    /// Whether gaps are legal.
    filtered: bool,
    caught_up: usize,
    lagged: usize,
    draining: usize,
    end: Option<Result<(), Refusal>>,
}

fn split(mut frames: Bytes) -> Vec<proto::GatewayEvent> {
    let mut events = Vec::new();
    while !frames.is_empty() {
        let head = frames.split_to(frames::HEAD_BYTES);
        let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes"));
        let event = frames.split_to(length as usize);
        events.push(proto::GatewayEvent::decode(event).expect("an event"));
    }
    events
}

impl Client {
    fn take(&mut self, step: Step) {
        assert!(self.end.is_none(), "nothing comes after the end");
        match step {
            Step::End(end) => self.end = Some(end),
            Step::Frames(frames) => {
                assert!(!frames.is_empty());
                split(frames).into_iter().for_each(|e| self.take_event(e));
            }
        }
    }

    fn take_event(&mut self, event: proto::GatewayEvent) {
        assert_eq!(event.session_key, "story");
        if let (true, Some(seq)) = (event.seq > 0, self.seq) {
            if self.filtered {
                assert!(
                    event.seq > seq,
                    "repeat or reorder: {} after {seq}",
                    event.seq
                );
            } else {
                assert_eq!(event.seq, seq + 1, "gap, repeat or reorder");
            }
        }
        if event.seq > 0 {
            self.seq = Some(event.seq);
        } else if let (Some(seq), false) = (self.seq, self.filtered) {
            assert_eq!(
                event.after_seq, seq,
                "an ephemeral event follows its durable one"
            );
        }
        let item = event.item_id;
        let mut append = |kind: BlockKind, index: i32, offset: i64, delta: &str| {
            let text = self
                .texts
                .entry((item.clone(), kind as i32, index))
                .or_default();
            assert_eq!(offset, text.len() as i64, "a delta continues its block");
            text.push_str(delta);
        };
        let name = match event.kind.expect("a kind") {
            Kind::Hello(_) => {
                self.seq = Some(event.after_seq);
                "hello"
            }
            Kind::CaughtUp(caught_up) => {
                assert!(self.filtered || self.seq == Some(caught_up.seq));
                self.caught_up += 1;
                "caught_up"
            }
            Kind::Token(t) => {
                append(BlockKind::Text, t.content_index, t.offset, &t.delta);
                "token"
            }
            Kind::Thinking(t) => {
                append(BlockKind::Thinking, t.content_index, t.offset, &t.delta);
                "thinking"
            }
            Kind::ItemSnapshot(s) => {
                let text = self
                    .texts
                    .entry((item, s.block, s.content_index))
                    .or_default();
                text.truncate(usize::try_from(s.offset).expect("an offset"));
                assert_eq!(
                    text.len() as i64,
                    s.offset,
                    "an offset that this reader has"
                );
                text.push_str(&s.text);
                "item_snapshot"
            }
            Kind::MessageCompleted(_) => {
                self.texts.retain(|(i, _, _), _| *i != item);
                "message_completed"
            }
            Kind::ThinkingCompleted(t) => {
                let id = (item, BlockKind::Thinking as i32, t.content_index);
                self.texts.remove(&id);
                "thinking_completed"
            }
            Kind::TurnEnded(_) => {
                self.texts.clear();
                "turn_ended"
            }
            Kind::Lagging(_) => {
                self.lagged += 1;
                "lagging"
            }
            Kind::Reload(_) => "reload",
            Kind::QuestionAsked(_) => "question_asked",
            Kind::QuestionResolved(_) => "question_resolved",
            Kind::AnswerDelivered(_) => "answer_delivered",
            Kind::PlanUpdated(_) => "plan_updated",
            Kind::BudgetWarning(_) => "budget_warning",
            Kind::WebhookPaused(_) => "webhook_paused",
            Kind::SubagentStarted(_) => "subagent_started",
            Kind::SubagentCompleted(_) => "subagent_completed",
            Kind::SubagentItem(_) => "subagent_item",
            Kind::ArtifactCreated(_) => "artifact_created",
            Kind::TurnWaiting(_) => "turn_waiting",
            Kind::ContextRebuilt(_) => "context_rebuilt",
            Kind::QuestionPending(_) => "question_pending",
            Kind::ModelChanged(_) => "model_changed",
            Kind::OptionsChanged(_) => "options_changed",
            Kind::CommandsChanged(_) => "commands_changed",
            Kind::Draining(_) => {
                self.draining += 1;
                "draining"
            }
            Kind::SessionState(_) => "session_state",
            Kind::SessionDeleted(_) => "session_deleted",
            Kind::Progress(_) => "progress",
            Kind::UsageRecorded(_) => "usage_recorded",
            Kind::MessageStarted(_) => "message_started",
            _ => "other",
        };
        self.kinds.push(name);
    }

    /// Polls once.
    fn poll(&mut self, reader: &mut Reader) -> bool {
        if self.end.is_some() {
            return false;
        }
        match reader.poll_step(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(step) => {
                self.take(step);
                true
            }
            Poll::Pending => false,
        }
    }

    /// Polls until nothing is left. A page of the log in memory takes one more poll, so one that is pending ends it
    /// only the second time.
    fn drain(&mut self, reader: &mut Reader) {
        let mut pending = 0;
        while pending < 3 && self.end.is_none() {
            pending = if self.poll(reader) { 0 } else { pending + 1 };
        }
    }
}

fn options() -> ReaderOptions {
    ReaderOptions {
        after: 0,
        replay: true,
        kinds: Vec::new(),
        deltas: true,
        subagents: false,
        hello: true,
        progress_interval: Duration::from_secs(15),
        coalesce: Duration::ZERO,
        turn: None,
        viewer: Arc::new(Identity::unauthenticated()),
        pages: None,
    }
}

/// A feed with one session, and all that is written to it.
struct Story {
    feed: Arc<Feed>,
    log: Arc<Log>,
    store: Arc<dyn Store>,
    tail: Arc<Tail>,
    turn_id: Uuid,
    /// The open message and the bytes of its text and thinking.
    open: Option<(Uuid, i64, i64)>,
    items: u128,
}

impl Story {
    async fn new(serving_runtimes: usize) -> Self {
        let feed = Feed::new(FeedOptions {
            serving_runtimes,
            max_streams: 1000,
        });
        let log = Log::new();
        let store: Arc<dyn Store> = log.clone();
        let tail = feed
            .tail(&store, ROW)
            .await
            .expect("a store")
            .expect("a row");
        Self {
            feed,
            log,
            store,
            tail,
            turn_id: Uuid::from_u128(50),
            open: None,
            items: 100,
        }
    }

    fn reader(&self, options: ReaderOptions) -> (Reader, Client) {
        let client = Client {
            filtered: !options.kinds.is_empty() || options.turn.is_some(),
            ..Client::default()
        };
        let reader = Reader::new(self.tail.clone(), self.store.clone(), options);
        (reader, client)
    }

    fn publish(&self, item_id: Option<Uuid>, event: Event) {
        let published = self.log.commit(vec![(Some(self.turn_id), item_id, event)]);
        self.feed.publish(vec![published]);
    }

    fn usage(&self) {
        let event = Event::UsageRecorded {
            granularity: crate::domain::turn::Granularity::Call,
            source: None,
            price_version: String::new(),
            usage: Usage::default(),
            model: "m".into(),
        };
        self.publish(None, event);
    }

    fn open_or_close(&mut self) {
        if let Some((item_id, ..)) = self.open.take() {
            let event = Event::MessageCompleted {
                role: Role::Assistant,
                blocks: Vec::new(),
                partial: false,
                continued: false,
            };
            self.publish(Some(item_id), event);
        } else {
            self.items += 1;
            let item_id = Uuid::from_u128(self.items);
            self.open = Some((item_id, 0, 0));
            let event = Event::MessageStarted {
                role: Role::Assistant,
                text: String::new(),
                attachments: Vec::new(),
            };
            self.publish(Some(item_id), event);
        }
    }

    fn delta(&mut self, thinking: bool, text: &str) {
        let Some((item_id, written, thought)) = &mut self.open else {
            return;
        };
        let (offset, content_index) = if thinking { (thought, 0) } else { (written, 1) };
        let delta = text.to_owned();
        let from = *offset;
        *offset += text.len() as i64;
        let delta = if thinking {
            Delta::Thinking {
                delta,
                content_index,
                offset: from,
            }
        } else {
            Delta::Token {
                delta,
                content_index,
                offset: from,
            }
        };
        self.tail.push_delta(Pushed {
            time: Time(5),
            turn_id: self.turn_id,
            item_id: *item_id,
            generation: 1,
            tool_name: String::new(),
            delta,
        });
    }

    fn assert_in_step(&self, client: &Client) {
        let mut truth = HashMap::new();
        for message in self.tail.look().messages {
            for block in message.blocks {
                let id = (
                    message.item_id.to_string(),
                    block.kind as i32,
                    block.content_index,
                );
                truth.insert(id, block.text);
            }
        }
        assert_eq!(client.texts, truth);
        assert_eq!(client.seq, Some(self.tail.head()));
    }
}

// ------------------------------------------------------------------------------------------------------ any schedule

#[derive(Clone, Debug)]
enum Act {
    Usage(usize),
    OpenOrClose,
    Delta(bool, usize),
    Flood,
    Join { replay: bool, from: u8 },
    Leave(usize),
    Poll(usize),
    Drain(usize),
    Unpublished,
    Retention(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1usize..20).prop_map(Act::Usage),
        3 => Just(Act::OpenOrClose),
        6 => (any::<bool>(), 1usize..40).prop_map(|(t, n)| Act::Delta(t, n)),
        1 => Just(Act::Flood),
        3 => (any::<bool>(), any::<u8>()).prop_map(|(replay, from)| Act::Join { replay, from }),
        1 => (0usize..8).prop_map(Act::Leave),
        6 => (0usize..8).prop_map(Act::Poll),
        4 => (0usize..8).prop_map(Act::Drain),
        1 => Just(Act::Unpublished),
        1 => any::<u8>().prop_map(Act::Retention),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// R5, R10: under any schedule each reader sees every durable event once and in order, and whenever it has read
    /// everything, what it built of the open blocks is what is open.
    #[test]
    fn every_reader_sees_everything_once_and_in_order(acts in prop::collection::vec(act(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().expect("a runtime");
        let mut story = runtime.block_on(Story::new(1));
        let _entered = runtime.enter();
        let mut readers: Vec<(Reader, Client)> = Vec::new();
        let flooded = acts.iter().any(|act| matches!(act, Act::Flood));
        for act in acts {
            match act {
                Act::Usage(n) => (0..n).for_each(|_| story.usage()),
                Act::OpenOrClose => story.open_or_close(),
                Act::Delta(thinking, n) => story.delta(thinking, &"ä".repeat(n)),
                Act::Flood => (0..ring::RING_MAX_ENTRIES).for_each(|n| {
                    story.delta(false, "x");
                    if n % 500 == 0 { story.usage() }
                }),
                Act::Join { replay, from } => {
                    let session = story.tail.session();
                    let kept = session.head - session.first_seq + 2;
                    let after = session.first_seq - 1 + i64::from(from) % kept;
                    if readers.len() < 8 {
                        readers.push(story.reader(ReaderOptions { after, replay, ..options() }));
                    }
                }
                Act::Leave(n) if n < readers.len() => drop(readers.swap_remove(n)),
                Act::Poll(n) => if let Some((reader, client)) = readers.get_mut(n) {
                    client.poll(reader);
                },
                Act::Drain(n) => if let Some((reader, client)) = readers.get_mut(n) {
                    client.drain(reader);
                    if client.end.is_none() { story.assert_in_step(client) }
                },
                // Committed, and readers run before it is published: they must not see it.
                Act::Unpublished => {
                    let event = Event::AgentExited { message: "late".into() };
                    let published = story.log.commit(vec![(None, None, event)]);
                    let head = story.tail.head();
                    for (reader, client) in &mut readers {
                        client.drain(reader);
                        prop_assert!(client.seq.is_none_or(|seq| seq <= head));
                    }
                    prop_assert!(lock(&story.log.0).asked <= head);
                    story.feed.publish(vec![published]);
                }
                Act::Retention(keep) => {
                    let first_seq = (story.tail.head() - i64::from(keep % 16)).max(1);
                    let published = story.log.retain_from(first_seq);
                    story.feed.publish(vec![published]);
                }
                Act::Leave(_) => {}
            }
        }
        for (reader, client) in &mut readers {
            client.drain(reader);
            match &client.end {
                None => {
                    story.assert_in_step(client);
                    prop_assert_eq!(client.caught_up, 1);
                    prop_assert!(flooded || client.lagged == 0, "nobody lags without need");
                    prop_assert_eq!(client.kinds[0], "hello");
                }
                Some(Err(Refusal::CursorExpired(range))) => {
                    prop_assert!(client.seq.is_none_or(|seq| seq + 1 < range.first_seq));
                }
                Some(other) => prop_assert!(false, "ended with {other:?}"),
            }
        }
    }
}

// ----------------------------------------------------------------------------------------------------------- stories

/// R10: lag costs the missing bytes only, and no durable event.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_lagging_then_only_what_it_missed() {
    let mut story = Story::new(1).await;
    story.open_or_close();
    let (mut reader, mut client) = story.reader(options());
    story.delta(false, "seen");
    client.drain(&mut reader);
    for _ in 0..=ring::RING_MAX_ENTRIES {
        story.delta(false, "y");
    }
    story.usage();
    client.kinds.clear();
    client.drain(&mut reader);
    assert_eq!(
        client.kinds,
        [
            "lagging",
            "usage_recorded",
            "session_state",
            "item_snapshot"
        ]
    );
    story.assert_in_step(&client);
    let (mut deaf, mut durable_only) = story.reader(ReaderOptions {
        deltas: false,
        ..options()
    });
    durable_only.drain(&mut deaf);
    assert_eq!(
        durable_only.kinds,
        ["hello", "message_started", "usage_recorded", "caught_up"]
    );
}

/// A filter hides events, never their places: `progress` tells how far the server has looked.
#[tokio::test(start_paused = true)]
async fn a_filtered_reader_is_told_how_far_it_may_resume_from() {
    let story = Story::new(1).await;
    let (mut reader, mut client) = story.reader(ReaderOptions {
        kinds: vec![EventKind::AGENT_EXITED],
        ..options()
    });
    client.drain(&mut reader);
    assert_eq!(client.kinds, ["hello", "caught_up"]);
    story.usage();
    story.publish(
        None,
        Event::AgentExited {
            message: "gone".into(),
        },
    );
    story.usage();
    client.drain(&mut reader);
    assert_eq!(client.seq, Some(2));
    // Silence, by the clock of the runtime.
    tokio::time::advance(Duration::from_secs(16)).await;
    client.drain(&mut reader);
    assert_eq!(client.kinds[2..], ["other", "progress"]);
    // Retention comes near: told at once.
    for _ in 0..20 {
        story.usage();
    }
    let published = story.log.retain_from(3);
    story.feed.publish(vec![published]);
    client.drain(&mut reader);
    assert_eq!(client.kinds[4..], ["progress"]);
}

/// Drain: `draining` once to everyone, then the end with the last `seq`, after everything was delivered.
#[tokio::test(start_paused = true)]
async fn a_drain_is_told_once_and_ends_streams_after_the_last_event() {
    let story = Story::new(1).await;
    let (mut early, mut first) = story.reader(options());
    first.drain(&mut early);
    story.feed.begin_drain(Time(9));
    let (mut late, mut second) = story.reader(options());
    second.drain(&mut late);
    first.drain(&mut early);
    story.usage();
    story.feed.end_streams();
    for (reader, client) in [(&mut early, &mut first), (&mut late, &mut second)] {
        client.drain(reader);
        assert_eq!(client.draining, 1);
        assert_eq!(client.kinds.last(), Some(&"usage_recorded"));
        assert_eq!(
            client.end,
            Some(Err(Refusal::Draining { last_seq: Some(1) }))
        );
    }
}

/// Run ends OK after its turn's end, from the event, or from the turn's row where retention took the event.
#[tokio::test(start_paused = true)]
async fn run_sees_its_turn_alone_and_always_its_end() {
    let mut story = Story::new(1).await;
    let run = ReaderOptions {
        hello: false,
        turn: Some(story.turn_id),
        ..options()
    };
    lock(&story.log.0).turn = Some(turn(story.turn_id, TurnState::Running));
    story.usage();
    let (mut reader, mut client) = story.reader(run.clone());
    story.open_or_close();
    let foreign = Event::AgentExited {
        message: "other".into(),
    };
    story
        .feed
        .publish(vec![story.log.commit(vec![(None, None, foreign)])]);
    client.drain(&mut reader);
    let ended = Box::new(turn(story.turn_id, TurnState::Completed));
    lock(&story.log.0).turn = Some(*ended.clone());
    story.publish(
        None,
        Event::TurnEnded {
            turn: ended,
            undelivered: vec![],
        },
    );
    client.drain(&mut reader);
    assert_eq!(
        client.kinds,
        ["usage_recorded", "message_started", "turn_ended"]
    );
    assert_eq!(client.end, Some(Ok(())));

    story.usage();
    let published = story.log.retain_from(5);
    story.feed.publish(vec![published]);
    let (mut reader, mut client) = story.reader(run);
    client.drain(&mut reader);
    assert_eq!(client.kinds.last(), Some(&"turn_ended"));
    assert_eq!(client.end, Some(Ok(())));
}

/// A deleted session's streams end OK after `session_deleted`, also for a reader that comes to read late.
#[tokio::test(start_paused = true)]
async fn session_deleted_is_delivered_and_ends_the_stream() {
    let story = Story::new(1).await;
    let (mut reader, mut client) = story.reader(options());
    story.publish(None, Event::SessionDeleted);
    let purged = story
        .log
        .change(Vec::new(), |s| s.state = SessionState::Deleted);
    story.feed.publish(vec![purged]);
    client.drain(&mut reader);
    assert_eq!(client.kinds.last(), Some(&"session_deleted"));
    assert_eq!(client.end, Some(Ok(())));
}

/// A window gathers deltas and never delays a durable event that is there when the reader looks.
#[tokio::test(start_paused = true)]
async fn coalesce_delivers_at_the_end_of_the_window() {
    let mut story = Story::new(1).await;
    let (mut reader, mut client) = story.reader(ReaderOptions {
        coalesce: Duration::from_millis(20),
        ..options()
    });
    story.open_or_close();
    client.drain(&mut reader);
    client.kinds.clear();
    story.delta(false, "a");
    client.drain(&mut reader);
    story.delta(false, "b");
    client.drain(&mut reader);
    assert!(client.kinds.is_empty());
    tokio::time::advance(Duration::from_millis(21)).await;
    client.drain(&mut reader);
    assert_eq!(client.kinds, ["token", "token"]);
    story.delta(false, "c");
    story.usage();
    client.drain(&mut reader);
    assert_eq!(client.kinds[2..], ["token", "usage_recorded"]);
}

/// Every bound is kept, and a dropped stream gives its place back.
#[tokio::test]
async fn streams_are_bounded() {
    let feed = Feed::new(FeedOptions {
        serving_runtimes: 1,
        max_streams: 1,
    });
    let permit = feed.stream_permit().expect("room");
    assert_eq!(
        feed.stream_permit().err(),
        Some(Refusal::TooManyStreams {
            of: LimitOf::Server,
            limit: 1,
            current: 1
        })
    );
    drop(permit);
    assert!(feed.stream_permit().is_ok());
}

/// Waiters are told exactly once; a watcher hears of a session that stops to match.
#[tokio::test]
async fn waiters_and_watchers_are_told() {
    let story = Story::new(1).await;
    let filter = SessionFilter {
        states: vec![SessionState::Running],
        ..SessionFilter::default()
    };
    let mut watch = story
        .feed
        .watch(Arc::new(Identity::unauthenticated()), filter);
    let waiter = story.tail.turn_waiter(story.turn_id);
    drop(story.tail.turn_waiter(story.turn_id));
    let running = story
        .log
        .change(Vec::new(), |s| s.state = SessionState::Running);
    story.feed.publish(vec![running]);
    assert_eq!(
        watch.next().await.expect("one")[0].state,
        SessionState::Running
    );
    let mut idle = story
        .log
        .change(Vec::new(), |s| s.state = SessionState::Idle);
    idle.ended = vec![Arc::new(turn(story.turn_id, TurnState::Completed))];
    story.feed.publish(vec![idle]);
    assert_eq!(
        watch.next().await.expect("one")[0].state,
        SessionState::Idle
    );
    assert_eq!(waiter.await.turn_id, story.turn_id);
    assert_eq!(
        story
            .tail
            .until(|s| s.state == SessionState::Idle)
            .await
            .head,
        0
    );
    assert_eq!(story.feed.changed_sessions().await.len(), 1);
    let row = story.tail.session().row;
    let Story { feed, tail, .. } = story;
    drop(tail);
    assert!(
        !lock(&feed.shared.tails).contains_key(&row),
        "a dead tail leaves no entry"
    );
}

// ------------------------------------------------------------------------------------------------------------ threads

/// No wake-up is lost, with relays and without, while many threads publish and read.
#[test]
fn nobody_sleeps_through_anything() {
    const EVENTS: i64 = 3000;
    let main = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut story = main.block_on(Story::new(2));
    let follow = |story: &Story| {
        // No `progress` comes to wake those that were forgotten.
        let (mut reader, mut client) = story.reader(ReaderOptions {
            progress_interval: Duration::from_secs(300),
            ..options()
        });
        async move {
            while client.end.is_none() {
                let step = poll_fn(|cx| reader.poll_step(cx)).await;
                client.take(step);
            }
            assert_eq!(client.end, Some(Ok(())));
            assert_eq!(client.seq, Some(EVENTS + 2));
        }
    };
    let threads: Vec<_> = (0..3)
        .map(|n| {
            let relay = (n < 2).then(|| story.feed.relay(n));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let readers: Vec<_> =
                runtime.block_on(async { (0..10).map(|_| follow(&story)).collect() });
            std::thread::spawn(move || {
                runtime.block_on(async move {
                    if let Some(relay) = relay {
                        tokio::spawn(relay);
                        // The relay begins before its readers park.
                        tokio::task::yield_now().await;
                    }
                    let tasks: Vec<_> = readers.into_iter().map(tokio::spawn).collect();
                    for task in tasks {
                        tokio::time::timeout(LONG, task)
                            .await
                            .expect("nobody sleeps for ever")
                            .expect("every promise held");
                    }
                });
            })
        })
        .collect();
    story.open_or_close();
    for n in 0..EVENTS {
        story.delta(n % 2 == 0, "z");
        story.usage();
        if n % 64 == 0 {
            // The readers run dry and park.
            std::thread::yield_now();
        }
    }
    story.publish(None, Event::SessionDeleted);
    for thread in threads {
        thread.join().expect("every reader saw everything");
    }
}

/// An idle reader costs at most 4 KiB beyond its connection.
#[test]
fn an_idle_reader_is_small() {
    let timers = 2 * size_of::<tokio::time::Sleep>();
    assert!(size_of::<Reader>() + timers + size_of::<Waker>() <= 1024);
}
