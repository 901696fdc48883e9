//! What the tests of the contract share: one server, and short words for what they do all the time.
//!
//! The server lives as long as a test uses it. Whoever leaves last stops it and holds its store against the rules of
//! the log (R4, R18), so every test ends with that check. Tests keep out of each other's way by their session keys.

pub(crate) use crate::support::{
    Client, Gateway, Options, SOON, await_turn, connect, enqueue, kind, log, reason, run,
};
pub(crate) use quarterdeck::proto::{self, gateway_event::Kind};
use std::{
    fmt::Debug,
    sync::{Arc, Mutex, Weak},
};
pub(crate) use tonic::{Code, Status};
use tonic::{Response, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

/// A server that is checked when the last test leaves it.
pub(crate) struct Shared(Gateway);

/// A stream of events and what came on it so far.
pub(crate) struct Follow {
    stream: Streaming<proto::GatewayEvent>,
    pub(crate) seen: Vec<proto::GatewayEvent>,
}

/// Calls an RPC with a request whose other fields have their defaults; gives the answer or the status.
macro_rules! call {
    ($client:ident.$method:ident($Request:ident { $($field:ident: $value:expr),* $(,)? })) => {
        $client
            .$method(proto::$Request { $($field: $value.into(),)* ..Default::default() })
            .await
            .map(tonic::Response::into_inner)
    };
}
pub(crate) use call;

/// The same where the call must succeed.
macro_rules! ok {
    ($client:ident.$method:ident($Request:ident { $($fields:tt)* })) => {
        call!($client.$method($Request { $($fields)* })).expect(stringify!($method))
    };
}
pub(crate) use ok;

// === impl Shared ===

impl Drop for Shared {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.check_store();
        }
    }
}

/// The shared server, and a connection to it. Keep the first for as long as the test runs.
pub(crate) async fn shared() -> (Arc<Shared>, Client) {
    let server = {
        let mut shared = SHARED
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Shared(Gateway::with(options())));
            *shared = Arc::downgrade(&server);
            server
        })
    };
    let client = connect(&server.0.address).await;
    (server, client)
}

impl Shared {
    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }
}

fn options() -> Options {
    Options {
        // A turn that a test leaves hanging must not hold up the drain.
        config: format!(
            "drain_timeout = \"0s\"\nmax_running_turns = 1000\nmax_awake_agents = 1000\n\
             principal_max_running_turns = 0\nprincipal_max_awake_agents = 0\n\
             tenant_max_running_turns = 0\ntenant_max_awake_agents = 0\n\
             [agents.other]\ndriver = \"echo\"\ncwd_roots = [{:?}]\n",
            env!("CARGO_TARGET_TMPDIR")
        ),
        ..Options::default()
    }
}

/// Options of a server of one's own.
pub(crate) fn config(text: &str) -> Options {
    Options {
        config: text.into(),
        ..Options::default()
    }
}

// === impl Follow ===

impl Follow {
    pub(crate) fn new(stream: Streaming<proto::GatewayEvent>) -> Self {
        Self {
            stream,
            seen: Vec::new(),
        }
    }

    /// Subscribes from where `request` says.
    pub(crate) async fn subscribe(client: &mut Client, request: proto::SubscribeRequest) -> Self {
        Self::new(
            client
                .subscribe(request)
                .await
                .expect("subscribed")
                .into_inner(),
        )
    }

    /// Subscribes from a position on.
    pub(crate) async fn after(client: &mut Client, key: &str, after_seq: i64) -> Self {
        let request = proto::SubscribeRequest {
            session_key: key.into(),
            cursor: cursor(after_seq),
            ..Default::default()
        };
        Self::subscribe(client, request).await
    }

    /// Subscribes to what comes from now on; `hello` to `caught_up` are read.
    pub(crate) async fn live(client: &mut Client, key: &str) -> Self {
        let request = proto::SubscribeRequest {
            session_key: key.into(),
            ..Default::default()
        };
        let mut follow = Self::subscribe(client, request).await;
        follow.until("caught_up").await;
        follow
    }

    /// The next event, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<Option<proto::GatewayEvent>, Status> {
        let event = soon(self.stream.message()).await?;
        self.seen.extend(event.clone());
        Ok(event)
    }

    /// Reads up to the first event of a kind.
    pub(crate) async fn until(&mut self, wanted: &str) -> proto::GatewayEvent {
        loop {
            match self.next().await {
                Ok(Some(event)) if kind(&event) == wanted => return event,
                Ok(Some(_)) => {}
                ended => panic!("no {wanted} but {ended:?} after {:?}", kinds(&self.seen)),
            }
        }
    }

    /// Reads to the end, which must be OK.
    pub(crate) async fn rest(mut self) -> Vec<proto::GatewayEvent> {
        while self.next().await.expect("the end is OK").is_some() {}
        self.seen
    }

    /// Reads to the end, which must be an error.
    pub(crate) async fn failure(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended OK"),
                Err(status) => return status,
            }
        }
    }

    /// Text of the newest block, as this stream told it.
    pub(crate) fn text(&self) -> String {
        text(&self.seen)
    }
}

/// Text of the newest block: what a join showed of it, and the deltas since.
pub(crate) fn text(events: &[proto::GatewayEvent]) -> String {
    let mut text = String::new();
    for event in events {
        let (offset, more) = match &event.kind {
            Some(Kind::Token(token)) => (token.offset, &token.delta),
            Some(Kind::ItemSnapshot(open)) => (open.offset, &open.text),
            _ => continue,
        };
        text.truncate(usize::try_from(offset).expect("positive"));
        text.push_str(more);
    }
    text
}

/// Waits for what must come.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work)
        .await
        .expect("it comes in time")
}

/// The kinds of events.
pub(crate) fn kinds(events: &[proto::GatewayEvent]) -> Vec<&'static str> {
    events.iter().map(kind).collect()
}

/// The durable ones.
pub(crate) fn durable(events: &[proto::GatewayEvent]) -> Vec<proto::GatewayEvent> {
    events
        .iter()
        .filter(|event| event.seq > 0)
        .cloned()
        .collect()
}

/// A cursor without a log.
pub(crate) fn cursor(after_seq: i64) -> Option<proto::Cursor> {
    Some(proto::Cursor {
        log_id: String::new(),
        after_seq,
    })
}

/// A span of milliseconds.
pub(crate) fn millis(millis: i32) -> prost_types::Duration {
    prost_types::Duration {
        seconds: (millis / 1000).into(),
        nanos: millis % 1000 * 1_000_000,
    }
}

/// Holds a refusal against the contract's table; returns its details.
pub(crate) fn refused<T: Debug>(answer: Result<T, Status>, code: Code, why: &str) -> ErrorDetails {
    let status = answer.expect_err("it must be refused");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (code, why),
        "{status:?}"
    );
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has an ErrorInfo");
    assert_eq!(info.domain, "quarterdeck");
    let waits = [
        "QUEUE_FULL",
        "TOO_MANY_KEYS",
        "TOO_MANY_SESSIONS",
        "TOO_MANY_BYTES",
        "TOO_MANY_STREAMS",
        "TOO_MANY_WAITS",
        "ANSWERS_WAITING",
        "STORAGE_FULL",
    ];
    let retryable = code == Code::Unavailable || waits.contains(&why);
    assert_eq!(details.retry_info().is_some(), retryable, "{details:?}");
    assert_eq!(
        details.quota_failure().is_some(),
        code == Code::ResourceExhausted,
        "{details:?}"
    );
    assert_eq!(
        details.bad_request().is_some(),
        why == "INVALID_FIELD",
        "{details:?}"
    );
    details
}

/// A fact of a refusal.
pub(crate) fn fact(details: &ErrorDetails, name: &str) -> String {
    let info = details.error_info().expect("every error has an ErrorInfo");
    info.metadata
        .get(name)
        .cloned()
        .unwrap_or_else(|| panic!("no {name} in {:?}", info.metadata))
}

/// Refused for these fields.
pub(crate) fn invalid<T: Debug>(answer: Result<T, Status>, fields: &[&str]) {
    let details = refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    let request = details.bad_request().expect("checked above");
    let named: Vec<&str> = request
        .field_violations
        .iter()
        .map(|v| v.field.as_str())
        .collect();
    assert_eq!(named, fields);
}

/// The answer's message.
pub(crate) fn inner<T>(answer: Result<Response<T>, Status>) -> Result<T, Status> {
    answer.map(Response::into_inner)
}

/// Waits for the first event of a kind after a position.
pub(crate) async fn event(
    client: &mut Client,
    key: &str,
    after: i64,
    wanted: &str,
) -> proto::GatewayEvent {
    let mut after = after;
    loop {
        let page = ok!(client.read_events(ReadEventsRequest {
            session_key: key,
            cursor: cursor(after),
            kinds: vec![wanted.to_owned()],
            limit: 1,
            wait: millis(30_000),
        }));
        if let Some(event) = page.events.into_iter().next() {
            return event;
        }
        assert!(page.next_after_seq > after, "no {wanted} comes");
        after = page.next_after_seq;
    }
}

/// Enqueues in an idle session and waits until the turn runs.
pub(crate) async fn start(client: &mut Client, key: &str, text: &str) -> String {
    let answer = enqueue(client, key, text).await.expect("accepted");
    let turn_id = answer.turn.expect("a turn").turn_id;
    let started = event(client, key, answer.seq, "turn_started").await;
    assert_eq!(started.turn_id, turn_id);
    turn_id
}

/// Starts a turn that ignores a soft cancel. A stop that comes before the agent has the turn needs no agent to obey, so
/// this waits for its first word.
pub(crate) async fn start_stubborn(client: &mut Client, key: &str) -> String {
    let turn_id = start(client, key, "!stubborn !delay=60s x").await;
    let mut after = 0;
    loop {
        let started = event(client, key, after, "message_started").await;
        after = started.seq;
        let Some(Kind::MessageStarted(message)) = &started.kind else {
            panic!("asked for")
        };
        if started.turn_id == turn_id && message.role() == proto::Role::Assistant {
            return turn_id;
        }
    }
}

/// Enqueues; returns the id of the turn.
pub(crate) async fn queue(client: &mut Client, key: &str, text: &str) -> String {
    enqueue(client, key, text)
        .await
        .expect("accepted")
        .turn
        .expect("a turn")
        .turn_id
}

/// Steers; returns the answer.
pub(crate) async fn steer(
    client: &mut Client,
    key: &str,
    text: &str,
) -> Result<proto::SteerResponse, Status> {
    call!(client.steer(SteerRequest {
        session_key: key,
        text: text
    }))
}

/// Aborts what runs.
pub(crate) async fn abort(client: &mut Client, key: &str) -> proto::AbortResponse {
    ok!(client.abort(AbortRequest { session_key: key }))
}

/// A session's snapshot.
pub(crate) async fn session(client: &mut Client, key: &str) -> proto::SessionSnapshot {
    ok!(client.get_session(GetSessionRequest { session_key: key }))
        .session
        .expect("a session")
}

/// Whether the session is known.
pub(crate) async fn exists(client: &mut Client, key: &str) -> bool {
    match call!(client.get_session(GetSessionRequest { session_key: key })) {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound);
            false
        }
    }
}

/// A turn as it is now.
pub(crate) async fn turn(client: &mut Client, key: &str, turn_id: &str) -> proto::Turn {
    ok!(client.get_turn(GetTurnRequest {
        session_key: key,
        turn_id: turn_id
    }))
    .turn
    .expect("a turn")
}

/// Ids of the waiting turns.
pub(crate) async fn waiting(client: &mut Client, key: &str) -> Vec<String> {
    let queue = ok!(client.list_queue(ListQueueRequest { session_key: key }));
    queue.turns.into_iter().map(|turn| turn.turn_id).collect()
}

/// How a turn ended: state, reason of its error, why its agent stopped.
pub(crate) fn end(turn: &proto::Turn) -> (proto::TurnState, &str, proto::StopReason) {
    let reason = turn
        .error
        .as_ref()
        .map_or("", |error| error.reason.as_str());
    (turn.state(), reason, turn.stop_reason())
}

/// Events of one turn.
pub(crate) async fn of_turn(
    client: &mut Client,
    key: &str,
    turn_id: &str,
) -> Vec<proto::GatewayEvent> {
    let mut events = log(client, key).await;
    events.retain(|event| event.turn_id == turn_id);
    events
}

/// Waits until a session is in a state.
pub(crate) async fn until_state(client: &mut Client, key: &str, wanted: proto::SessionState) {
    let request = proto::SubscribeRequest {
        session_key: key.into(),
        kinds: vec!["session_state".into()],
        ..Default::default()
    };
    let mut follow = Follow::subscribe(client, request).await;
    loop {
        let event = follow
            .next()
            .await
            .expect("it goes on")
            .expect("it goes on");
        let session = match event.kind {
            Some(Kind::Hello(hello)) => hello.session,
            Some(Kind::SessionState(state)) => state.session,
            _ => None,
        };
        if session.is_some_and(|session| session.state() == wanted) {
            return;
        }
    }
}

/// A connection, for clients of one's own.
pub(crate) async fn channel(address: &str) -> tonic::transport::Channel {
    let endpoint = tonic::transport::Endpoint::from_shared(address.to_owned()).expect("an address");
    endpoint.connect().await.expect("the server accepts")
}
