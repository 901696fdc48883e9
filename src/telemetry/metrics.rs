//! What is counted and measured, and its text for Prometheus.
//!
//! Handles are taken once; using one costs an atomic operation, and nothing where no metrics are served. Labels have
//! few values that are known beforehand: never a session, a principal, or anything else that a caller chooses.

use crate::domain::{
    turn::{Turn, TurnState},
    webhooks_out::{DeliveryState, PauseReason},
};
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::{sync::LazyLock, time::Duration};

/// Duration of calls, by the OpenTelemetry conventions for RPC (`rpc.server.call.duration`).
pub const CALL_DURATION: &str = "rpc_server_call_duration_seconds";
const TURN_DURATION: &str = "quarterdeck_turn_duration_seconds";
const QUEUE_WAIT: &str = "quarterdeck_turn_queue_wait_seconds";
const TURNS_ENDED: &str = "quarterdeck_turns_ended_total";
const TURNS_RUNNING: &str = "quarterdeck_turns_running";
const AGENTS_AWAKE: &str = "quarterdeck_agents_awake";
const ISOLATION: &str = "quarterdeck_isolation";
const SESSIONS: &str = "quarterdeck_sessions";
const STORED_BYTES: &str = "quarterdeck_stored_bytes";
const STREAMS_OPEN: &str = "quarterdeck_streams_open";
const CONNECTIONS_OPEN: &str = "quarterdeck_connections_open";
const EVENTS_PUBLISHED: &str = "quarterdeck_feed_events_total";
const READERS_LAGGED: &str = "quarterdeck_feed_lags_total";
const COMMIT_DURATION: &str = "quarterdeck_store_commit_duration_seconds";
const HOLD_DURATION: &str = "quarterdeck_store_hold_duration_seconds";
const BATCH_JOBS: &str = "quarterdeck_store_batch_jobs";
const READ_DURATION: &str = "quarterdeck_store_read_duration_seconds";
const LOG_PAGES: &str = "quarterdeck_store_log_pages";
const LOG_FAILURES: &str = "quarterdeck_store_log_failures_total";
const STORE_TROUBLE: &str = "quarterdeck_store_trouble";
const WORKERS: &str = "quarterdeck_workers";
const WORKER_LEASES: &str = "quarterdeck_worker_leases";
const WORKER_LEASES_LOST: &str = "quarterdeck_worker_leases_lost_total";
const WORKER_FRAMES_DROPPED: &str = "quarterdeck_worker_frames_dropped_total";
const WORKER_WANTED: &str = "quarterdeck_worker_wanted";
const AUTHENTICATION_FAILURES: &str = "quarterdeck_authentication_failures_total";
const WEBHOOK_DELIVERIES: &str = "quarterdeck_webhook_deliveries_total";
const WEBHOOKS_PAUSED: &str = "quarterdeck_webhooks_paused_total";

/// Buckets of calls, in seconds: those of the OpenTelemetry conventions.
const CALL_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// Buckets of turns and their waits, in seconds: a token to a day.
const TURN_BUCKETS: &[f64] = &[
    0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0,
];
/// Buckets of the store's work, in seconds: a page in memory to a disk that hangs.
const STORE_BUCKETS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
/// Buckets of jobs in a commit.
const BATCH_BUCKETS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// Handles of what stands without changing labels.
pub struct Metrics {
    /// Time from admission to the first start.
    pub queue_wait: Histogram,
    /// Turns that an actor works on.
    pub turns_running: Gauge,
    /// Sessions whose actor is awake.
    pub agents_awake: Gauge,
    /// Sessions of the store; set when somebody asks.
    pub sessions: Gauge,
    /// Bytes that are stored for all owners.
    pub stored_bytes: Gauge,
    /// Streams of all kinds.
    pub streams_open: Gauge,
    /// Connections of all listeners.
    pub connections_open: Gauge,
    /// Durable events handed to those who follow.
    pub events_published: Counter,
    /// Times that a reader was told that it fell behind.
    pub readers_lagged: Counter,
    /// Time of a batch, from its first job to its commit.
    pub commit_duration: Histogram,
    /// Time for which one batch, or one slice of a long job, keeps all others from the writer.
    pub hold_duration: Histogram,
    /// Jobs of a batch.
    pub batch_jobs: Histogram,
    /// Time of a read, without its wait.
    pub read_duration: Histogram,
    /// Pages of the store's log.
    pub log_pages: Gauge,
    /// Times that the store's log could not be moved into the database.
    pub log_failures: Counter,
    /// Calls and handshakes that no caller was recognised for.
    pub authentication_failures: Counter,
    /// Workers that are connected.
    pub workers: Gauge,
    /// Turns that workers have.
    pub worker_leases: Gauge,
    /// Turns whose worker was out of reach for too long.
    pub worker_leases_lost: Counter,
    /// Frames of workers that were late, repeated or about a lease of others.
    pub worker_frames_dropped: Counter,
}

/// Counts one in a gauge for as long as it lives.
pub struct Counted(&'static Gauge);

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    queue_wait: histogram!(QUEUE_WAIT),
    turns_running: gauge!(TURNS_RUNNING),
    agents_awake: gauge!(AGENTS_AWAKE),
    sessions: gauge!(SESSIONS),
    stored_bytes: gauge!(STORED_BYTES),
    streams_open: gauge!(STREAMS_OPEN),
    connections_open: gauge!(CONNECTIONS_OPEN),
    events_published: counter!(EVENTS_PUBLISHED),
    readers_lagged: counter!(READERS_LAGGED),
    commit_duration: histogram!(COMMIT_DURATION),
    hold_duration: histogram!(HOLD_DURATION),
    batch_jobs: histogram!(BATCH_JOBS),
    read_duration: histogram!(READ_DURATION),
    log_pages: gauge!(LOG_PAGES),
    log_failures: counter!(LOG_FAILURES),
    authentication_failures: counter!(AUTHENTICATION_FAILURES),
    workers: gauge!(WORKERS),
    worker_leases: gauge!(WORKER_LEASES),
    worker_leases_lost: counter!(WORKER_LEASES_LOST),
    worker_frames_dropped: counter!(WORKER_FRAMES_DROPPED),
});

/// The handles. Metrics must be installed before, or not at all.
pub fn get() -> &'static Metrics {
    &METRICS
}

/// Says how many sessions wait for a worker of an agent.
pub fn worker_wanted(agent: &str, labels: &str, waiting: i64) {
    gauge!(WORKER_WANTED, "agent" => agent.to_owned(), "labels" => labels.to_owned())
        .set(waiting as f64);
}

/// Counts a turn's end. Once a turn, so its handles are looked up by name.
pub fn turn_ended(turn: &Turn) {
    let state = state_name(turn.state);
    let reason = turn
        .error
        .as_ref()
        .map_or("NONE", |error| error.cause.as_str());
    counter!(TURNS_ENDED, "state" => state, "reason" => reason).increment(1);
    if let (Some(start), Some(end)) = (turn.start_time, turn.end_time) {
        histogram!(TURN_DURATION, "state" => state).record(span(end.0 - start.0));
    }
}

/// Notes that the store is in a trouble, or not any more.
pub fn store_trouble(kind: &'static str, there: bool) {
    gauge!(STORE_TROUBLE, "kind" => kind).set(if there { 1.0 } else { 0.0 });
}

/// Notes how agents' processes are kept apart. Once, when the server starts.
pub fn isolation(rung: &'static str) {
    gauge!(ISOLATION, "rung" => rung).set(1.0);
}

/// Counts a try of a delivery.
pub fn webhook_delivery(state: DeliveryState) {
    let state = match state {
        DeliveryState::Delivered => "DELIVERED",
        DeliveryState::Failed => "FAILED",
        DeliveryState::Skipped => "SKIPPED",
    };
    counter!(WEBHOOK_DELIVERIES, "state" => state).increment(1);
}

/// Counts a webhook that the server paused.
pub fn webhook_paused(reason: PauseReason) {
    counter!(WEBHOOKS_PAUSED, "reason" => reason.as_str()).increment(1);
}

/// Notes a turn's first start.
pub fn turn_started(turn: &Turn) {
    if let (1, Some(start)) = (turn.attempt, turn.start_time) {
        get().queue_wait.record(span(start.0 - turn.create_time.0));
    }
}

/// Takes measurements from now on; to be called before anything is measured.
pub(super) fn install() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, buckets) in [
        (CALL_DURATION, CALL_BUCKETS),
        (TURN_DURATION, TURN_BUCKETS),
        (QUEUE_WAIT, TURN_BUCKETS),
        (COMMIT_DURATION, STORE_BUCKETS),
        (HOLD_DURATION, STORE_BUCKETS),
        (READ_DURATION, STORE_BUCKETS),
        (BATCH_JOBS, BATCH_BUCKETS),
    ] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.into()), buckets)?;
    }
    let handle = builder.install_recorder()?;
    describe();
    // Each is there from the start, at zero.
    LazyLock::force(&METRICS);
    Ok(handle)
}

fn describe() {
    describe_histogram!(
        CALL_DURATION,
        Unit::Seconds,
        "Duration of calls, of streams until their end, by method and status code."
    );
    describe_histogram!(
        TURN_DURATION,
        Unit::Seconds,
        "Time from a turn's newest start to its end, by end state."
    );
    describe_histogram!(
        QUEUE_WAIT,
        Unit::Seconds,
        "Time from a turn's admission to its first start."
    );
    describe_counter!(
        TURNS_ENDED,
        "Turns that ended, by end state and reason (NONE where there was no error)."
    );
    describe_counter!(
        WEBHOOK_DELIVERIES,
        "Tries of deliveries of webhooks out, by what came of them."
    );
    describe_counter!(
        WEBHOOKS_PAUSED,
        "Webhooks out that the server paused, by reason."
    );
    describe_gauge!(TURNS_RUNNING, "Turns that run now.");
    describe_gauge!(
        AGENTS_AWAKE,
        "Sessions that are awake now, with their agents."
    );
    describe_gauge!(
        ISOLATION,
        "1 for the rung of isolation that agents' processes have: namespace, landlock or none."
    );
    describe_gauge!(SESSIONS, "Sessions that are stored.");
    describe_gauge!(
        STORED_BYTES,
        Unit::Bytes,
        "Bytes of events, history and attachments that are stored, over all owners."
    );
    describe_gauge!(STREAMS_OPEN, "Streams that are open now, of all kinds.");
    describe_gauge!(
        CONNECTIONS_OPEN,
        "Connections that are open now, of all listeners."
    );
    describe_counter!(
        EVENTS_PUBLISHED,
        "Durable events that were committed and handed to readers."
    );
    describe_counter!(
        READERS_LAGGED,
        "Times that a reader was too slow and was told so with a lagging event."
    );
    describe_histogram!(
        COMMIT_DURATION,
        Unit::Seconds,
        "Time of a batch of the store, from its first job to its commit."
    );
    describe_histogram!(
        HOLD_DURATION,
        Unit::Seconds,
        "Time for which one batch of the store, or one slice of a long job, keeps all others waiting: its jobs, its \
         commit, its part of moving the log, and the word to those who follow."
    );
    describe_gauge!(
        LOG_PAGES,
        "Pages of the store's log that are not in the database yet, of 4 KiB."
    );
    describe_counter!(
        LOG_FAILURES,
        "Times that the store's log could not be moved into the database."
    );
    describe_gauge!(
        STORE_TROUBLE,
        "1 while the store is in this trouble: LOST, DAMAGED, LOG_STUCK, FULL."
    );
    describe_histogram!(BATCH_JOBS, "Jobs that were committed together.");
    describe_histogram!(
        READ_DURATION,
        Unit::Seconds,
        "Time of a read of the store, without its wait for a reader."
    );
    describe_counter!(
        AUTHENTICATION_FAILURES,
        "Calls and handshakes whose credential was missing or not valid."
    );
    describe_gauge!(WORKERS, "Workers that are connected now.");
    describe_gauge!(WORKER_LEASES, "Turns that workers have now.");
    describe_counter!(
        WORKER_LEASES_LOST,
        "Turns whose worker was out of reach for longer than a lease."
    );
    describe_counter!(
        WORKER_FRAMES_DROPPED,
        "Frames of workers that were late, repeated, or about a lease that is not their sender's."
    );
    describe_gauge!(
        WORKER_WANTED,
        "Sessions whose next turn waits for a worker, by agent and by the labels that its workers must have."
    );
}

fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// The contract's name of a state.
fn state_name(state: TurnState) -> &'static str {
    match state {
        TurnState::Queued => "QUEUED",
        TurnState::Running => "RUNNING",
        TurnState::WaitingInput => "WAITING_INPUT",
        TurnState::Canceling => "CANCELING",
        TurnState::Completed => "COMPLETED",
        TurnState::Failed => "FAILED",
        TurnState::Canceled => "CANCELED",
        TurnState::Interrupted => "INTERRUPTED",
        TurnState::Rejected => "REJECTED",
        TurnState::Expired => "EXPIRED",
        TurnState::Scheduled => "SCHEDULED",
    }
}

// === impl Counted ===

impl Counted {
    /// Counts one.
    pub fn one(gauge: &'static Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
