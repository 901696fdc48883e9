//! A real gateway for tests: the built binary, a real data directory, a free port. Killed with the test.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod raw;

use quarterdeck::proto::{self, gateway_service_client::GatewayServiceClient};
use std::{
    collections::HashSet,
    ffi::OsString,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tonic::{Status, transport::Channel};

/// Bound of every wait of a test.
pub const SOON: Duration = Duration::from_secs(30);

/// A client of the gateway.
pub type Client = GatewayServiceClient<Channel>;

/// A running server and its data directory; both go with it.
pub struct Gateway {
    pub directory: tempfile::TempDir,
    pub address: String,
    child: Child,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    log: Option<PathBuf>,
}

/// How to start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More arguments of `serve`.
    pub arguments: Vec<OsString>,
    /// Contents of its configuration file.
    pub config: String,
    /// Variables.
    pub environment: Vec<(String, String)>,
    /// File that its standard error goes to.
    pub log: Option<PathBuf>,
}

/// Name of the data directory inside of a gateway's directory.
pub const DATA: &str = "quarterdeck-data";

/// Where what a script of `.ci` installs stands, as its variable says; `None` leaves a test out, but not in CI.
pub fn installed(variable: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable);
    if set.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set");
        eprintln!("left out for want of {variable}");
    }
    set.map(PathBuf::from)
}

/// Asserts that a program ended well, and said as many lines as that.
pub fn ended_well(output: &std::process::Output, lines: usize) {
    let (said, told) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}\n{told}");
    assert!(said.lines().count() >= lines, "{said}\n{told}");
}

impl Gateway {
    /// Starts with defaults.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// Starts.
    pub fn with(options: Options) -> Self {
        Self::on(tempfile::tempdir().expect("a directory"), options)
    }

    /// Starts in a directory, which may hold the data directory of an earlier server.
    pub fn on(directory: tempfile::TempDir, options: Options) -> Self {
        let config = directory.path().join("quarterdeck.toml");
        std::fs::write(&config, &options.config).expect("a file");
        let mut arguments: Vec<OsString> = vec!["--config".into(), config.into()];
        arguments.extend(options.arguments);
        let (child, address) = launch(
            &directory.path().join(DATA),
            &arguments,
            &options.environment,
            options.log.as_deref(),
        );
        Self {
            directory,
            address,
            child,
            arguments,
            environment: options.environment,
            log: options.log,
        }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join(DATA)
    }

    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with -9 and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was ours to kill");
        self.child.wait().expect("it was ours");
    }

    /// Asks it to drain.
    pub fn terminate(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
    }

    /// Waits for its end; returns the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let deadline = std::time::Instant::now() + SOON * 2;
        loop {
            if let Some(status) = self.child.try_wait().expect("it was ours") {
                return status.code();
            }
            assert!(
                std::time::Instant::now() < deadline,
                "the server does not end"
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Starts it again on the same directory, at a new port.
    pub fn restart(&mut self) {
        (self.child, self.address) = launch(
            &self.data(),
            &self.arguments,
            &self.environment,
            self.log.as_deref(),
        );
    }

    /// The same directory, served again with more arguments.
    pub fn with_data(mut ended: Self, arguments: &[&str]) -> Self {
        ended
            .arguments
            .extend(arguments.iter().copied().map(OsString::from));
        ended.restart();
        ended
    }

    /// Sets a variable for the next start.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.into(), value.into()));
    }

    /// Starts it again, and kills it with -9 after this time, ready or not.
    pub async fn start_and_kill(&mut self, after: Duration) {
        self.child = spawn(
            &self.data(),
            &self.arguments,
            &self.environment,
            self.log.as_deref(),
        );
        tokio::time::sleep(after).await;
        self.kill();
    }

    /// Waits for its end without holding up the runtime; returns the exit code.
    pub async fn ended(&mut self, within: Duration) -> Option<i32> {
        let deadline = std::time::Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("it was ours") {
                return status.code();
            }
            assert!(
                std::time::Instant::now() < deadline,
                "the server does not end"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A connected client.
    pub async fn client(&self) -> Client {
        connect(&self.address).await
    }

    /// Stops it and holds the store against every rule of the log (R4, R18).
    pub fn check_store(&mut self) {
        if self.child.try_wait().expect("it was ours").is_none() {
            self.terminate();
            assert_eq!(self.wait(), Some(0), "a drain ends with 0");
        }
        check(&self.data());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Holds a store that nobody has open against every rule of the log.
pub fn check(data: &Path) {
    let problems = quarterdeck::store::sqlite::check::check(data).expect("the store is readable");
    assert!(problems.is_empty(), "{problems:#?}");
    let problems = quarterdeck::memory::check::check(data).expect("the store is readable");
    assert!(problems.is_empty(), "{problems:#?}");
}

fn launch(
    data: &Path,
    arguments: &[OsString],
    environment: &[(String, String)],
    log: Option<&Path>,
) -> (Child, String) {
    let mut child = spawn(data, arguments, environment, log);
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped"))
        .read_line(&mut line)
        .expect("readable");
    let address = line
        .trim()
        .strip_prefix("listening on ")
        .unwrap_or_else(|| panic!("the server said {line:?}; TEST_LOG=1 shows its log"))
        .to_owned();
    (child, address)
}

fn spawn(
    data: &Path,
    arguments: &[OsString],
    environment: &[(String, String)],
    log: Option<&Path>,
) -> Child {
    let errors = match log {
        Some(file) => std::fs::File::options()
            .create(true)
            .append(true)
            .open(file)
            .expect("a file")
            .into(),
        None if std::env::var_os("TEST_LOG").is_some() => Stdio::inherit(),
        None => Stdio::null(),
    };
    // A runner that was built elsewhere is told where the server is.
    let server = std::env::var_os("QUARTERDECK_TEST_SERVER");
    Command::new(server.unwrap_or_else(|| env!("CARGO_BIN_EXE_quarterdeck").into()))
        .arg("serve")
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .args(arguments)
        .env("QUARTERDECK_DISK_RESERVE", "0")
        // Who wants callers to be asked says so among its own variables.
        .env("QUARTERDECK_NO_AUTH", "true")
        .envs(environment.iter().cloned())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .expect("the binary starts")
}

/// A connected client.
pub async fn connect(address: &str) -> Client {
    GatewayServiceClient::connect(address.to_owned())
        .await
        .expect("the server accepts")
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX)
}

/// Enqueues text.
pub async fn enqueue(
    client: &mut Client,
    key: &str,
    text: &str,
) -> Result<proto::EnqueueResponse, Status> {
    let request = proto::EnqueueRequest {
        session_key: key.into(),
        text: text.into(),
        ..Default::default()
    };
    client
        .enqueue(request)
        .await
        .map(tonic::Response::into_inner)
}

/// Waits for a turn's end.
pub async fn await_turn(client: &mut Client, key: &str, turn_id: &str) -> proto::Turn {
    let request = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: turn_id.into(),
        wait: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        or_question: false,
    };
    let answer = client.await_turn(request).await.expect("the turn exists");
    answer.into_inner().turn.expect("a turn")
}

/// Enqueues text and waits for the end of its turn.
pub async fn run(client: &mut Client, key: &str, text: &str) -> proto::Turn {
    let turn = enqueue(client, key, text)
        .await
        .expect("accepted")
        .turn
        .expect("a turn");
    await_turn(client, key, &turn.turn_id).await
}

/// All durable events of a session.
pub async fn log(client: &mut Client, key: &str) -> Vec<proto::GatewayEvent> {
    let mut events = Vec::new();
    let mut after = 0;
    loop {
        let request = proto::ReadEventsRequest {
            session_key: key.into(),
            cursor: Some(proto::Cursor {
                log_id: String::new(),
                after_seq: after,
            }),
            limit: 1000,
            ..Default::default()
        };
        let page = client
            .read_events(request)
            .await
            .expect("readable")
            .into_inner();
        after = page.next_after_seq;
        events.extend(page.events);
        if after >= page.head_seq {
            return events;
        }
    }
}

/// Name of an event's kind.
pub fn kind(event: &proto::GatewayEvent) -> &'static str {
    use proto::gateway_event::Kind as K;
    match event.kind.as_ref().expect("every event has a kind") {
        K::SessionCreated(_) => "session_created",
        K::SessionUpdated(_) => "session_updated",
        K::SessionReset(_) => "session_reset",
        K::SessionDeleted(_) => "session_deleted",
        K::TurnQueued(_) => "turn_queued",
        K::TurnScheduled(_) => "turn_scheduled",
        K::TurnUpdated(_) => "turn_updated",
        K::TurnStarted(_) => "turn_started",
        K::TurnEnded(_) => "turn_ended",
        K::MessageStarted(_) => "message_started",
        K::MessageCompleted(_) => "message_completed",
        K::ThinkingCompleted(_) => "thinking_completed",
        K::ToolStarted(_) => "tool_started",
        K::ToolCompleted(_) => "tool_completed",
        K::SteerAccepted(_) => "steer_accepted",
        K::SteerApplied(_) => "steer_applied",
        K::SteerRequeued(_) => "steer_requeued",
        K::UsageRecorded(_) => "usage_recorded",
        K::CompactionStarted(_) => "compaction_started",
        K::CompactionCompleted(_) => "compaction_completed",
        K::RetryScheduled(_) => "retry_scheduled",
        K::AgentExited(_) => "agent_exited",
        K::Hello(_) => "hello",
        K::CaughtUp(_) => "caught_up",
        K::Progress(_) => "progress",
        K::SessionState(_) => "session_state",
        K::Token(_) => "token",
        K::Thinking(_) => "thinking",
        K::ToolInput(_) => "tool_input",
        K::ToolUpdate(_) => "tool_update",
        K::ItemSnapshot(_) => "item_snapshot",
        K::Lagging(_) => "lagging",
        K::Draining(_) => "draining",
        K::Reload(_) => "reload",
        K::QuestionAsked(_) => "question_asked",
        K::QuestionResolved(_) => "question_resolved",
        K::AnswerDelivered(_) => "answer_delivered",
        K::PlanUpdated(_) => "plan_updated",
        K::BudgetWarning(_) => "budget_warning",
        K::WebhookPaused(_) => "webhook_paused",
        K::SubagentStarted(_) => "subagent_started",
        K::SubagentCompleted(_) => "subagent_completed",
        K::SubagentItem(_) => "subagent_item",
        K::ArtifactCreated(_) => "artifact_created",
        K::TurnWaiting(_) => "turn_waiting",
        K::ContextRebuilt(_) => "context_rebuilt",
        K::QuestionPending(_) => "question_pending",
        K::ModelChanged(_) => "model_changed",
        K::OptionsChanged(_) => "options_changed",
        K::CommandsChanged(_) => "commands_changed",
    }
}

/// `ErrorInfo.reason` of an error.
pub fn reason(status: &Status) -> String {
    quarterdeck::client::reason(status)
}

/// Asserts that every row of a table in a file's own head names tests that there are, or says `none: ` and why. The table's
/// first row begins with `first`. Returns how many rows it has.
pub fn assert_named(file: &str, first: &str) -> usize {
    let tests = test_names();
    let rows = file.lines().filter_map(|line| line.strip_prefix("//! | "));
    let mut seen = 0;
    for row in rows.filter(|row| !row.starts_with(first)) {
        seen += 1;
        let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        let [what, _, shown_by] = cells[..] else {
            panic!("three cells: {row}");
        };
        if shown_by.starts_with("none: ") {
            continue;
        }
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{what} has neither a test nor a reason");
        for name in names {
            assert!(tests.contains(name), "{what}: no test is called {name}");
        }
    }
    seen
}

/// Functions that stand below a `#[test]` of any kind.
fn test_names() -> HashSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("src"), root.join("tests")];
    let mut names = HashSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("sources").flatten();
            files.extend(entries.map(|entry| entry.path()));
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("sources are text");
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                is_test = false;
                names.extend(rest.split('(').next().map(ToOwned::to_owned));
            }
        }
    }
    names
}
