//! What every story needs: dice with a seed, a server that crashes and comes back, callers that go on regardless, and
//! a ledger that lives outside of the server.

use crate::support::{Client, Gateway, Options, SOON, reason};
use quarterdeck::{
    client::connection_lost,
    proto::{self, gateway_service_client::GatewayServiceClient},
};
use std::{
    ffi::OsString,
    fs::File,
    future::Future,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tonic::{Code, Response, Status, transport::Endpoint};

/// A thousand turns at once, all of one caller.
pub const UNBOUNDED: &str = "max_running_turns = 1000\nmax_awake_agents = 1000\n\
    principal_max_running_turns = 0\nprincipal_max_awake_agents = 0\n\
    tenant_max_running_turns = 0\ntenant_max_awake_agents = 0\n";
/// Bound of every wait in a story in which the server comes and goes.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks at a condition.
pub const LOOK: Duration = Duration::from_millis(10);

/// A small generator of numbers that look random: the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

/// A server that may be gone at any moment; its newest address is told to all visitors.
pub struct Site {
    pub gateway: Gateway,
    address: watch::Sender<String>,
}

/// A caller that finds the server again wherever it comes back.
#[derive(Clone)]
pub struct Visitor {
    addresses: watch::Receiver<String>,
    pub client: Client,
    /// Options of its connections.
    window: Option<u32>,
}

/// What was acknowledged, written down and synced before the next call.
pub struct Ledger {
    path: PathBuf,
    file: Mutex<File>,
}

/// The dice of one promise.
pub fn dice(promise: u64) -> Dice {
    let seed = match std::env::var("SEED") {
        Ok(seed) => seed.parse().expect("SEED is a number"),
        Err(_) => promise,
    };
    println!("SEED={seed} runs the same again");
    Dice(seed)
}

/// Whether the long figures were asked for.
pub fn deep() -> bool {
    std::env::var_os("QUARTERDECK_TEST_DEEP").is_some_and(|value| value != "0")
}

/// A figure: of the gate, or of the long run.
pub fn figure(gate: u64, long: u64) -> u64 {
    if deep() { long } else { gate }
}

/// The interpreter itself: a version manager's shim takes longer to start than a child lives.
pub fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let asked = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .expect("the tests need python3");
        let path = String::from_utf8(asked.stdout).expect("its path is text");
        path.trim_end().to_owned()
    })
}

/// Configuration of an agent that is a scripted pi, with these variables.
pub fn scripted_pi(name: &str, variables: &[(&str, &str)]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fake_pi.py");
    let variables: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name} = {value:?}"))
        .collect();
    format!(
        "[agents.{name}]\ndriver = \"pi\"\ncommand = [{:?}, \"-S\", \"-E\", {script:?}]\nenvironment = {{ {} }}\n",
        python(),
        variables.join(", ")
    )
}

/// Looks again and again until there is something; tells `what` was waited for when it gives up.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// True where the server, or the way to it, is away: what a caller answers by trying again.
pub fn is_away(status: &Status) -> bool {
    connection_lost(status) || status.code() == Code::Unavailable
}

/// A request to enqueue.
pub fn prompt(key: &str, text: &str, request_id: &str) -> proto::EnqueueRequest {
    proto::EnqueueRequest {
        session_key: key.into(),
        text: text.into(),
        request_id: request_id.into(),
        ..Default::default()
    }
}

/// A fact of an error's `ErrorInfo`.
pub fn fact(status: &Status, name: &str) -> String {
    use tonic_types::StatusExt as _;
    status
        .get_details_error_info()
        .and_then(|info| info.metadata.get(name).cloned())
        .unwrap_or_default()
}

/// A span of time as the wire has it.
pub fn span(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).expect("a short time")
}

// === impl Dice ===

impl Dice {
    /// The next number (splitmix64).
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end` - 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// True in this many of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.below(of.len() as u64) as usize;
        &of[at]
    }

    /// A time from `low` to `high` milliseconds.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(low * 1000 + self.below((high - low) * 1000 + 1))
    }

    /// Dice of their own for a task.
    pub fn fork(&mut self) -> Self {
        Self(self.roll())
    }

    /// Dice of their own for the task of this number, whoever takes it.
    pub fn fork_of(&self, number: u64) -> Self {
        Self(self.0 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).fork()
    }
}

// === impl Site ===

impl Site {
    /// Starts a server with this configuration.
    pub fn start(config: String) -> Self {
        // All of a crowd comes from one address here.
        let bound = "QUARTERDECK_MAX_CONNECTIONS_PER_ADDRESS";
        let gateway = Gateway::with(Options {
            config,
            environment: vec![(bound.into(), "0".into())],
            ..Options::default()
        });
        let address = watch::Sender::new(gateway.address.clone());
        Self { gateway, address }
    }

    /// A connected caller.
    pub async fn visitor(&self) -> Visitor {
        Visitor::new(self.address.subscribe(), None).await
    }

    /// A connected caller that takes few bytes unread.
    pub async fn narrow_visitor(&self, window: u32) -> Visitor {
        Visitor::new(self.address.subscribe(), Some(window)).await
    }

    /// Starts it again after its end.
    pub fn restart(&mut self) {
        self.gateway.restart();
        self.address.send_replace(self.gateway.address.clone());
    }

    /// Kills it with -9 and starts it again.
    pub fn crash(&mut self) {
        self.gateway.kill();
        self.restart();
    }

    /// Sends SIGTERM, holds the time to its end against a bound, and starts it again.
    pub async fn roll(&mut self, within: Duration) {
        self.gateway.terminate();
        assert_eq!(
            self.gateway.ended(within).await,
            Some(0),
            "a drain ends with 0"
        );
        self.restart();
    }
}

// === impl Visitor ===

impl Visitor {
    async fn new(mut addresses: watch::Receiver<String>, window: Option<u32>) -> Self {
        let client = connect(&mut addresses, window).await;
        Self {
            addresses,
            client,
            window,
        }
    }

    /// A connection of its own, to wherever the server is now.
    pub async fn reconnect(&mut self) {
        self.client = connect(&mut self.addresses, self.window).await;
    }

    /// Calls until the server answers. An error that is an answer comes back as it is.
    pub async fn insist<T, F>(&mut self, mut call: impl FnMut(Client) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let answer = tokio::time::timeout(PATIENCE, call(self.client.clone()))
                .await
                .expect("every call is answered or cut");
            match answer {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) if is_away(&status) => {
                    assert!(
                        Instant::now() < give_up,
                        "the server stays away: {status:?}"
                    );
                    tokio::time::sleep(LOOK).await;
                    self.reconnect().await;
                }
                Err(status) => return Err(status),
            }
        }
    }

    /// Enqueues until the server answers.
    pub async fn enqueue(
        &mut self,
        request: &proto::EnqueueRequest,
    ) -> Result<proto::EnqueueResponse, Status> {
        self.insist(|mut client| {
            let request = request.clone();
            async move { client.enqueue(request).await }
        })
        .await
    }

    /// Enqueues, and asks again while the queue is full.
    pub async fn enqueue_all_the_same(
        &mut self,
        request: &proto::EnqueueRequest,
    ) -> proto::EnqueueResponse {
        loop {
            match self.enqueue(request).await {
                Ok(accepted) => return accepted,
                Err(status) => assert_eq!(reason(&status), "QUEUE_FULL", "{status:?}"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The session as it is.
    pub async fn session(&mut self, key: &str) -> proto::SessionSnapshot {
        let request = proto::GetSessionRequest {
            session_key: key.into(),
            ..Default::default()
        };
        self.insist(|mut client| {
            let request = request.clone();
            async move { client.get_session(request).await }
        })
        .await
        .expect("the session exists")
        .session
        .expect("a session")
    }

    /// Waits until nothing runs and nothing waits; returns the session.
    pub async fn rest(&mut self, key: &str) -> proto::SessionSnapshot {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let session = self.session(key).await;
            if session.state() == proto::SessionState::Idle && session.queue_depth == 0 {
                return session;
            }
            assert!(
                Instant::now() < give_up,
                "{key} does not come to rest: {session:?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for a turn's end.
    pub async fn end_of(&mut self, key: &str, turn_id: &str) -> proto::Turn {
        let request = proto::AwaitTurnRequest {
            session_key: key.into(),
            turn_id: turn_id.into(),
            wait: Some(span(PATIENCE)),
            or_question: false,
        };
        let turn = self
            .insist(|mut client| {
                let request = request.clone();
                async move { client.await_turn(request).await }
            })
            .await
            .expect("the turn exists")
            .turn
            .expect("a turn");
        assert!(is_terminal(turn.state()), "{turn:?}");
        turn
    }

    /// All turns of a session, oldest first.
    pub async fn turns(&mut self, key: &str) -> Vec<proto::Turn> {
        let mut turns = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = proto::ListTurnsRequest {
                session_key: key.into(),
                page_size: 1000,
                page_token,
                ..Default::default()
            };
            let page = self
                .insist(|mut client| {
                    let request = request.clone();
                    async move { client.list_turns(request).await }
                })
                .await
                .expect("readable");
            turns.extend(page.turns);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                turns.reverse();
                return turns;
            }
        }
    }
}

async fn connect(addresses: &mut watch::Receiver<String>, window: Option<u32>) -> Client {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let address = addresses.borrow_and_update().clone();
        let mut endpoint = Endpoint::from_shared(address)
            .expect("an address")
            .connect_timeout(SOON);
        if let Some(window) = window {
            endpoint = endpoint.initial_stream_window_size(window);
        }
        if let Ok(channel) = endpoint.connect().await {
            return GatewayServiceClient::new(channel)
                .max_decoding_message_size(usize::MAX)
                .max_encoding_message_size(usize::MAX);
        }
        assert!(Instant::now() < give_up, "the server does not come back");
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a turn has ended.
pub fn is_terminal(state: proto::TurnState) -> bool {
    use proto::TurnState as S;
    match state {
        S::Completed | S::Failed | S::Canceled | S::Interrupted | S::Rejected | S::Expired => true,
        S::Unspecified | S::Queued | S::Scheduled | S::Running | S::WaitingInput | S::Canceling => {
            false
        }
    }
}

// === impl Ledger ===

impl Ledger {
    /// An empty one.
    pub fn new(directory: &Path) -> Self {
        let path = directory.join("ledger");
        let file = Mutex::new(File::create(&path).expect("a file"));
        Self { path, file }
    }

    /// Writes an acknowledgement down; it is on the disk when this returns.
    pub fn write(&self, fields: &[&str]) {
        let mut file = self.file.lock().expect("nobody panics here");
        writeln!(file, "{}", fields.join("\t")).expect("written");
        file.sync_data().expect("synced");
    }

    /// Everything that was acknowledged.
    pub fn read(&self) -> Vec<Vec<String>> {
        BufReader::new(File::open(&self.path).expect("a file"))
            .lines()
            .map(|line| line.expect("text").split('\t').map(str::to_owned).collect())
            .collect()
    }
}

/// The program, run to its end.
pub fn quarterdeck(arguments: &[OsString]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(arguments)
        .output()
        .expect("the binary runs")
}
