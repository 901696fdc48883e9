//! Stores with something in them, made through the store itself.

use quarterdeck::{
    clock,
    domain::{
        access::Identity,
        agent::{Capabilities, KnownAgent},
        event::{Event, Json, Role},
        ids::{SessionKey, SessionRow},
        quotas::{LiveQuotas, Quota, Quotas},
        turn::{OnInterrupt, StopReason},
    },
    store::{
        AgentRule, Caller, Enqueue, NewSession, OnBusy, Published, Publisher, RequestKey, Store,
        StoreRules, TurnEnd, Write, sqlite::SqliteStore,
    },
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Agent of all sessions.
pub const AGENT: &str = "echo";
/// Calls at a time; the store commits them together.
const AT_ONCE: usize = 1024;
/// Events of one commit of a log.
const COMMIT_EVENTS: usize = 1000;

/// Publishes to nobody.
pub struct Nobody;

impl Publisher for Nobody {
    fn publish(&self, _: Vec<Published>) {}
}

/// Rules under which nothing is refused or removed.
pub fn rules() -> StoreRules {
    let echo = AgentRule {
        known: KnownAgent::new(Capabilities::default()),
        commands_allowed: vec![],
        on_interrupt: OnInterrupt::Mark,
        max_attempts: 3,
        operator_only: false,
        tool_policy: vec![],
        options_allowed: vec![],
        no_approver: quarterdeck::domain::question::NoApprover::Wait,
        question_ttl: Duration::from_secs(3600),
    };
    StoreRules {
        agents: [(AGENT.to_owned(), echo)].into(),
        default_agent: AGENT.into(),
        primary_session: SessionKey::parse("main").expect("it follows the grammar"),
        quotas: LiveQuotas::new(Quotas {
            queue_limit_turns: 1_000_000,
            queue_limit_bytes: 1 << 40,
            max_sessions: 1_000_000_000,
            max_running_turns: 64,
            reserved_running_turns: 0,
            max_awake_agents: 256,
            tenant_max_asking_turns: 64,
            principal: Quota::NONE,
            tenant: Quota::NONE,
        }),
        retention_events: 1_000_000_000,
        retention_age: Duration::from_secs(100_000_000),
        history_retention: None,
        prices: std::sync::Arc::default(),
        disk_reserve: 0,
    }
}

/// Opens a store that publishes to nobody.
pub fn open(data: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(data, rules(), Arc::new(Nobody)).expect("the store opens"))
}

/// Key of session `number`.
pub fn key(number: u64) -> SessionKey {
    SessionKey::parse(&format!("bench:{number}")).expect("it follows the grammar")
}

fn caller(key: SessionKey) -> Caller {
    Caller {
        identity: Arc::new(Identity::unauthenticated()),
        key,
        request: None,
        expected_generation: None,
        now: clock::now(),
    }
}

/// A prompt, repeatable as a client's is.
pub fn enqueue(key: SessionKey, text: &str) -> Enqueue {
    let mut caller = caller(key);
    caller.request = Some(RequestKey {
        request_id: Uuid::now_v7().to_string(),
        method: "Enqueue",
        hash: [7; 32],
    });
    Enqueue {
        caller,
        new_session: NewSession::default(),
        text: text.into(),
        command: String::new(),
        attachments: Vec::new(),
        source: String::new(),
        metadata: Default::default(),
        on_busy: OnBusy::Enqueue,
        on_interrupt: None,
        turn_timeout: Duration::from_secs(3600),
        queue_ttl: None,
        not_before: None,
        trace_context: String::new(),
        output_schema: String::new(),
        client_tools: Vec::new(),
    }
}

/// Does something for each number, many at a time.
async fn all<F>(count: u64, each: impl Fn(u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..count {
        if tasks.len() == AT_ONCE {
            tasks
                .join_next()
                .await
                .expect("there are tasks")
                .expect("nothing is refused");
        }
        tasks.spawn(each(number));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("nothing is refused");
    }
}

/// Makes sessions that sleep.
pub async fn sleeping(store: &Arc<SqliteStore>, count: u64) {
    all(count, |number| {
        let store = store.clone();
        async move {
            store
                .create_session(caller(key(number)), NewSession::default())
                .await
                .expect("room for all");
        }
    })
    .await;
}

/// Makes sessions whose head turn runs and behind which one waits.
pub async fn busy(store: &Arc<SqliteStore>, count: u64) {
    all(count, |number| {
        let store = store.clone();
        async move {
            let first = store
                .enqueue(enqueue(key(number), "!hang"))
                .await
                .expect("room for all");
            let (fence, _) = store
                .claim(first.session.row)
                .await
                .expect("nobody else claims");
            store
                .start_next(fence, clock::now())
                .await
                .expect("ours")
                .expect("a turn waits");
            store
                .enqueue(enqueue(key(number), "a prompt"))
                .await
                .expect("room for all");
        }
    })
    .await;
}

/// Makes a session with a finished turn and at least that many events; returns its row and how many there are.
pub async fn log(store: &Arc<SqliteStore>, key: SessionKey, events: usize) -> (SessionRow, i64) {
    let row = store
        .enqueue(enqueue(key, "a prompt"))
        .await
        .expect("room for it")
        .session
        .row;
    let (fence, _) = store.claim(row).await.expect("nobody else claims");
    store
        .start_next(fence, clock::now())
        .await
        .expect("ours")
        .expect("a turn waits");
    let steps: Vec<Write> = (0..events.div_ceil(4)).flat_map(step).collect();
    for writes in steps.chunks(COMMIT_EVENTS) {
        store
            .append(fence, writes.to_vec(), clock::now())
            .await
            .expect("the turn runs");
    }
    let end = TurnEnd::Completed(StopReason::Stop);
    let ended = store
        .end_turn(fence, Vec::new(), end, "done".into(), clock::now())
        .await
        .expect("ours");
    (row, ended.session.head)
}

/// Four events of an agent at work: it speaks, and a tool runs.
fn step(number: usize) -> [Write; 4] {
    let (message, tool) = (Uuid::now_v7(), Uuid::now_v7());
    let write = |item_id, event| Write::Event {
        item_id: Some(item_id),
        event,
    };
    let tool_call_id = format!("call-{number}");
    [
        write(
            message,
            Event::MessageStarted {
                role: Role::Assistant,
                text: String::new(),
                attachments: Vec::new(),
            },
        ),
        write(
            message,
            Event::MessageCompleted {
                role: Role::Assistant,
                blocks: vec![(
                    0,
                    "Let me look at the file and see what stands in it. ".repeat(4),
                )],
                partial: false,
                continued: false,
            },
        ),
        write(
            tool,
            Event::ToolStarted {
                tool_call_id: tool_call_id.clone(),
                tool_name: "read".into(),
                args: json(r#"{"path":"src/lib.rs"}"#),
            },
        ),
        write(
            tool,
            Event::ToolCompleted {
                tool_call_id,
                tool_name: "read".into(),
                result: json(
                    r#"{"content":"//! Quarterdeck: a gRPC control plane for AI-agent sessions."}"#,
                ),
                is_error: false,
                partial: false,
                attachments: Vec::new(),
            },
        ),
    ]
}

fn json(text: &str) -> Json {
    Json {
        text: text.into(),
        full_size: None,
    }
}
