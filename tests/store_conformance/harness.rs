//! A store to tell stories about: commands with defaults, a clock that is moved by hand, and what was published.

use bytes::Bytes;
use prost::Message as _;
use quarterdeck::{
    domain::{
        Event, Refusal,
        access::Identity,
        agent::{Capabilities, KnownAgent, ToolPolicySupport},
        event::{BlockKind, KINDS, Role},
        ids::{SessionKey, SessionRow, Time},
        message::Part,
        quotas::{LiveQuotas, Quota, Quotas},
        session::Session,
        turn::{AbortMode, Attachment, Cause, OnInterrupt, StopReason, Turn},
    },
    proto::{GatewayEvent, gateway_event::Kind},
    store::{
        Abort, AgentRule, Caller, Committed, Ended, Enqueue, EventsRange, Fence, NewSession,
        OnBusy, Published, Publisher, RequestKey, Runnable, Started, Steer, Store, StoreRules,
        StoredEvent, TurnEnd, Waiting, Write, round::Round, sqlite,
    },
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// An engine under test, with the place where it keeps its data.
pub trait Engine: Send + Sync + 'static {
    /// An empty one.
    fn make() -> Self;
    /// Opens the store; again after it was closed or its process is taken for dead.
    fn open(&self, rules: StoreRules, publisher: Arc<dyn Publisher>) -> Arc<dyn Store>;
    /// Whether what the open store has counted is what its rows say.
    fn check_open(&self) -> impl Future<Output = bool> + Send;
    /// Broken promises of what is stored.
    fn check(&self) -> Vec<String>;
}

/// SQLite in a directory of its own.
pub struct Sqlite {
    directory: tempfile::TempDir,
    /// The newest store that was opened in it.
    open: Mutex<Option<Arc<sqlite::SqliteStore>>>,
}

impl Sqlite {
    /// Its data directory.
    #[allow(dead_code, reason = "the stories of SQLite alone look at its file")]
    pub fn path(&self) -> &std::path::Path {
        self.directory.path()
    }
}

impl Engine for Sqlite {
    fn make() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            open: Mutex::default(),
        }
    }

    fn open(&self, rules: StoreRules, publisher: Arc<dyn Publisher>) -> Arc<dyn Store> {
        let store = sqlite::SqliteStore::open(self.path(), rules, publisher).unwrap();
        let store = Arc::new(store);
        *self.open.lock().unwrap() = Some(store.clone());
        store
    }

    fn check_open(&self) -> impl Future<Output = bool> + Send {
        let store = self.open.lock().unwrap().clone();
        async move {
            assert_eq!(sqlite::SqliteStore::prepared_again(), 0);
            store.unwrap().ledger_agrees().await.unwrap()
        }
    }

    fn check(&self) -> Vec<String> {
        let problems = sqlite::check::check(self.path()).unwrap();
        problems.iter().map(ToString::to_string).collect()
    }
}

/// Keeps what was published.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Published>>);

impl Publisher for Recorder {
    fn publish(&self, published: Vec<Published>) {
        self.0.lock().unwrap().extend(published);
    }
}

/// A store and its surroundings.
pub struct World<E> {
    pub engine: E,
    pub store: Arc<dyn Store>,
    pub rules: StoreRules,
    recorder: Arc<Recorder>,
    now: AtomicI64,
}

/// Rules with small bounds: agent `a` does everything, `plain` nothing, `again` retries.
pub fn rules() -> StoreRules {
    let rule = |able: bool, on_interrupt| AgentRule {
        known: KnownAgent::new(Capabilities {
            steer: able,
            fork: able,
            models: true,
            thinking: true,
            images: true,
            compaction: true,
            client_tools: able,
            structured_output: able,
            tool_policy: ToolPolicySupport::OnRequest,
            ..Capabilities::default()
        }),
        commands_allowed: vec![],
        on_interrupt,
        max_attempts: 3,
        operator_only: false,
        tool_policy: vec![],
        options_allowed: vec![],
        no_approver: quarterdeck::domain::question::NoApprover::Wait,
        question_ttl: Duration::from_secs(3600),
    };
    StoreRules {
        agents: BTreeMap::from([
            ("a".to_owned(), rule(true, OnInterrupt::Mark)),
            ("again".to_owned(), rule(true, OnInterrupt::Retry)),
            ("plain".to_owned(), rule(false, OnInterrupt::Mark)),
        ]),
        default_agent: "a".to_owned(),
        primary_session: key("main"),
        quotas: LiveQuotas::new(Quotas {
            queue_limit_turns: 4,
            queue_limit_bytes: 1000,
            max_sessions: 1000,
            max_running_turns: 64,
            reserved_running_turns: 0,
            max_awake_agents: 256,
            tenant_max_asking_turns: 64,
            principal: Quota::NONE,
            tenant: Quota::NONE,
        }),
        retention_events: 100_000,
        retention_age: Duration::from_secs(30 * 24 * 3600),
        history_retention: None,
        prices: std::sync::Arc::default(),
        disk_reserve: 0,
    }
}

pub fn viewer() -> Arc<Identity> {
    Arc::new(Identity::unauthenticated())
}

/// Another principal, with all scopes.
pub fn other_viewer(tenant: &str, subject: &str) -> Arc<Identity> {
    let mut identity = Identity::unauthenticated();
    identity.principal.tenant = tenant.into();
    identity.principal.subject = subject.into();
    Arc::new(identity)
}

pub fn key(text: &str) -> SessionKey {
    SessionKey::parse(text).unwrap()
}

pub fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// A request id whose body is told apart by `body`.
pub fn request(id: &str, method: &'static str, body: u8) -> Option<RequestKey> {
    Some(RequestKey {
        request_id: id.to_owned(),
        method,
        hash: [body; 32],
    })
}

impl<E: Engine> World<E> {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut StoreRules)) -> Self {
        let mut rules = rules();
        change(&mut rules);
        let engine = E::make();
        let recorder = Arc::new(Recorder::default());
        let store = engine.open(rules.clone(), recorder.clone());
        Self {
            engine,
            store,
            rules,
            recorder,
            now: AtomicI64::new(1_700_000_000_000_000),
        }
    }

    /// The process dies and another one opens the store.
    pub fn crash(&mut self) {
        self.store = self.engine.open(self.rules.clone(), self.recorder.clone());
    }

    /// The same, with other rules.
    pub fn crash_with(&mut self, change: impl FnOnce(&mut StoreRules)) {
        change(&mut self.rules);
        self.crash();
    }

    /// Ends the story: what is stored keeps every promise, and is what was published.
    pub async fn done(self) {
        let published = std::mem::take(&mut *self.recorder.0.lock().unwrap());
        let mut logs: BTreeMap<SessionRow, Vec<StoredEvent>> = BTreeMap::new();
        let mut last: BTreeMap<SessionRow, Arc<Session>> = BTreeMap::new();
        for Published {
            session, events, ..
        } in published
        {
            let row = session.row;
            logs.entry(row).or_default().extend(events);
            last.insert(row, session);
        }
        for (row, log) in logs {
            for (place, event) in log.iter().enumerate() {
                assert_eq!(event.seq, i64::try_from(place).unwrap() + 1, "R4: dense");
            }
            if let Some(session) = self.store.session_by_row(row).await.unwrap() {
                assert_eq!(session.head, i64::try_from(log.len()).unwrap());
                let kept = self.log_of(row).await;
                let first = usize::try_from(session.first_seq).unwrap() - 1;
                assert_eq!(kept, log[first..], "what is published is what is kept");
                let mut told = (*last[&row]).clone();
                // A claim is not published: nobody sees an epoch.
                told.epoch = session.epoch;
                assert_eq!(told, *session, "the newest publication is the row");
            }
        }
        assert!(self.engine.check_open().await, "what is counted is there");
        self.store.close().await;
        assert_eq!(self.store.ping().await, Err(Refusal::StoreUnavailable));
        assert_eq!(self.engine.check(), Vec::<String>::new());
    }

    // ------------------------------------------------------------------------------------------------- the clock

    pub fn now(&self) -> Time {
        Time(self.now.load(Ordering::Relaxed))
    }

    pub fn pass(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).unwrap();
        self.now.fetch_add(micros, Ordering::Relaxed);
    }

    // ------------------------------------------------------------------------------------------------- commands

    pub fn caller(&self, session: &str) -> Caller {
        Caller {
            identity: viewer(),
            key: key(session),
            request: None,
            expected_generation: None,
            now: self.now(),
        }
    }

    pub fn enqueue_of(&self, session: &str, text: &str) -> Enqueue {
        Enqueue {
            caller: self.caller(session),
            new_session: NewSession::default(),
            text: text.to_owned(),
            command: String::new(),
            attachments: Vec::new(),
            source: "test".to_owned(),
            metadata: BTreeMap::new(),
            on_busy: OnBusy::Enqueue,
            on_interrupt: None,
            turn_timeout: hours(1),
            queue_ttl: None,
            not_before: None,
            trace_context: format!("trace of {text}"),
            output_schema: String::new(),
            client_tools: Vec::new(),
        }
    }

    pub async fn enqueue(&self, session: &str, text: &str) -> Committed {
        let command = self.enqueue_of(session, text);
        self.store.enqueue(command).await.unwrap()
    }

    pub async fn enqueue_with(&self, session: &str, text: &str, on_busy: OnBusy) -> Committed {
        self.try_enqueue(session, text, on_busy).await.unwrap()
    }

    pub async fn try_enqueue(
        &self,
        session: &str,
        text: &str,
        on_busy: OnBusy,
    ) -> Result<Committed, Refusal> {
        let mut command = self.enqueue_of(session, text);
        command.on_busy = on_busy;
        self.store.enqueue(command).await
    }

    pub fn steer_of(&self, session: &str, text: &str) -> Steer {
        Steer {
            caller: self.caller(session),
            text: text.to_owned(),
            attachments: Vec::new(),
            expected_turn: None,
            turn_timeout: hours(1),
            trace_context: format!("trace of {text}"),
        }
    }

    pub async fn steer(&self, session: &str, text: &str) -> Committed {
        self.store
            .steer(self.steer_of(session, text))
            .await
            .unwrap()
    }

    pub fn abort_of(&self, session: &str) -> Abort {
        Abort {
            caller: self.caller(session),
            turn_id: None,
            clear_queue: false,
            mode: AbortMode::Cancel,
            grace: Duration::from_secs(5),
            cause: Cause::Aborted,
        }
    }

    pub async fn abort(&self, session: &str) -> Committed {
        self.store.abort(self.abort_of(session)).await.unwrap()
    }

    pub async fn reset(&self, session: &str) -> Committed {
        self.store.reset(self.caller(session)).await.unwrap()
    }

    pub async fn delete(&self, session: &str) -> Committed {
        self.store
            .delete_session(self.caller(session))
            .await
            .unwrap()
    }

    // -------------------------------------------------------------------------------------------------- an owner

    pub async fn session(&self, session: &str) -> Arc<Session> {
        self.store.session(&viewer(), &key(session)).await.unwrap()
    }

    pub async fn claim(&self, session: &str) -> Fence {
        let row = self.session(session).await.row;
        self.store.claim(row).await.unwrap().0
    }

    pub async fn start(&self, fence: Fence) -> Started {
        let started = self.store.start_next(fence, self.now()).await.unwrap();
        started.expect("a turn may start")
    }

    /// Claims and starts the next turn.
    pub async fn run(&self, session: &str) -> (Fence, Started) {
        let fence = self.claim(session).await;
        let started = self.start(fence).await;
        (fence, started)
    }

    pub async fn append(&self, fence: Fence, writes: Vec<Write>) -> Arc<Session> {
        self.store.append(fence, writes, self.now()).await.unwrap()
    }

    pub async fn end(&self, fence: Fence, end: TurnEnd) -> Ended {
        self.end_with(fence, Vec::new(), end, "").await
    }

    pub async fn end_with(
        &self,
        fence: Fence,
        writes: Vec<Write>,
        end: TurnEnd,
        response: &str,
    ) -> Ended {
        let now = self.now();
        self.store
            .end_turn(fence, writes, end, response.to_owned(), now)
            .await
            .unwrap()
    }

    /// Runs the next turn to its end; the agent says `reply`.
    pub async fn complete(&self, session: &str, reply: &str) -> Turn {
        let (fence, _) = self.run(session).await;
        let end = TurnEnd::Completed(StopReason::Stop);
        self.end_with(fence, said(Uuid::now_v7(), reply), end, reply)
            .await
            .turn
    }

    // ---------------------------------------------------------------------------------------------------- looking

    /// Who is next to start, while nobody has a grant.
    pub async fn runnable(&self, limit: usize) -> Vec<Arc<Session>> {
        self.runnable_in(Round::default(), limit).await.sessions
    }

    pub async fn runnable_in(&self, round: Round, limit: usize) -> Runnable {
        let ask = Waiting {
            limit,
            round,
            quotas: self.rules.quotas.get(),
            deletes_only: false,
        };
        self.store.runnable(ask).await.unwrap()
    }

    pub async fn log_of(&self, row: SessionRow) -> Vec<StoredEvent> {
        let mut events = Vec::new();
        let mut after = 0;
        loop {
            let range = EventsRange {
                after,
                through: i64::MAX,
                ..EventsRange::default()
            };
            let page = self.store.events(row, range, 500, 1 << 20).await.unwrap();
            if page.events.is_empty() {
                return events;
            }
            after = page.events.last().unwrap().seq;
            events.extend(page.events);
        }
    }

    pub async fn log(&self, session: &str) -> Vec<StoredEvent> {
        self.log_of(self.session(session).await.row).await
    }

    /// Names of the events after a `seq`.
    pub async fn kinds_after(&self, session: &str, after: i64) -> Vec<&'static str> {
        self.log(session)
            .await
            .iter()
            .filter(|event| event.seq > after)
            .map(name)
            .collect()
    }

    pub async fn kinds(&self, session: &str) -> Vec<&'static str> {
        self.kinds_after(session, 0).await
    }

    pub async fn turn(&self, session: &str, turn_id: Uuid) -> Turn {
        self.store
            .turn(&viewer(), &key(session), turn_id)
            .await
            .unwrap()
    }

    pub async fn waiting(&self, session: &str) -> Vec<String> {
        let queue = self.store.queue(&viewer(), &key(session)).await.unwrap();
        queue.into_iter().map(|turn| turn.text).collect()
    }
}

/// Name of an event's kind.
pub fn name(event: &StoredEvent) -> &'static str {
    KINDS
        .iter()
        .find(|(kind, _)| *kind == event.kind)
        .map(|(_, name)| *name)
        .unwrap()
}

/// The kind of an event with its fields.
pub fn decode(event: &StoredEvent) -> Kind {
    GatewayEvent::decode(&event.body[..]).unwrap().kind.unwrap()
}

/// An assistant message that begins.
pub fn began(item_id: Uuid) -> Write {
    Write::Event {
        item_id: Some(item_id),
        event: Event::MessageStarted {
            role: Role::Assistant,
            text: String::new(),
            attachments: Vec::new(),
        },
    }
}

/// A whole assistant message.
pub fn said(item_id: Uuid, text: &str) -> Vec<Write> {
    vec![
        began(item_id),
        Write::Event {
            item_id: Some(item_id),
            event: Event::MessageCompleted {
                role: Role::Assistant,
                blocks: vec![(0, text.to_owned())],
                partial: false,
                continued: false,
            },
        },
        Write::Message {
            item_id,
            role: Role::Assistant,
            parts: vec![Part::Text {
                content_index: 0,
                text: text.to_owned(),
            }],
            partial: false,
            continued: false,
        },
    ]
}

/// A checkpoint of an open block.
pub fn checkpoint(item_id: Uuid, block: BlockKind, content_index: i32, text: &str) -> Write {
    Write::Checkpoint {
        item_id,
        block,
        content_index,
        text: text.to_owned(),
    }
}

/// An attachment with a text's bytes.
pub fn attachment(name: &str, content: &str) -> Attachment {
    Attachment::new(
        name.to_owned(),
        "text/plain".to_owned(),
        Bytes::copy_from_slice(content.as_bytes()),
    )
}

/// The turn of a commit.
pub fn id(committed: &Committed) -> Uuid {
    committed.receipt.turn_id.unwrap()
}
