//! What the tests of the pi driver share: an opened agent that is driven like the session's actor would, and facts
//! about processes.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use crate::support::{fixture, host, python};
use quarterdeck::agent::{
    Agent, AgentCommand, AgentEvent, Driver, OpenRequest, Outcome, StartError, TurnInput,
    pi::{PiDriver, PiOptions},
};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};
use uuid::Uuid;

/// Longest wait for anything that a test expects.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// One session's directories, and how its agent is opened.
pub struct Place {
    pub driver: PiDriver,
    pub request: OpenRequest,
    _directory: tempfile::TempDir,
}

/// An opened agent.
pub struct Session {
    pub agent: Agent,
}

/// A scripted pi that behaves as these words say. The marker is in the environment of everything it starts, and the
/// argument of the `sleep`s that its tools run.
pub fn scripted(words: &str) -> (PiOptions, String) {
    let script = fixture("fake_pi.py");
    // `sleep` takes any number: this one is nobody else's.
    let marker = format!("8{}", Uuid::new_v4().as_u128() % 1_000_000_000);
    let text = |text: &OsStr| text.to_str().expect("paths of tests are text").to_owned();
    let options = PiOptions {
        command: vec![
            text(python()),
            "-S".into(),
            "-E".into(),
            text(script.as_os_str()),
        ],
        environment: vec![
            ("FAKE_PI".into(), words.into()),
            ("FAKE_PI_MARKER".into(), marker.clone()),
        ],
        start_timeout: PATIENCE,
        ..PiOptions::default()
    };
    (options, marker)
}

// === impl Place ===

impl Place {
    pub fn new(options: PiOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str| -> PathBuf {
            let path = directory.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let request = OpenRequest {
            tenant: "default".into(),
            session_key: "test".into(),
            session_id: Uuid::now_v7(),
            model: String::new(),
            thinking_level: String::new(),
            working_directory: make("work"),
            session_directory: make("session"),
            owner_directory: make("tenant"),
            gateway_directory: make("gateway"),
            home_directory: make("home"),
            temporary_directory: make("tmp"),
            user: None,
            credential: None,
            conversation: std::sync::Arc::new(quarterdeck::agent::conversation::NoMessages),
            trace_context: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        };
        Self {
            driver: PiDriver::new(options, host()),
            request,
            _directory: directory,
        }
    }

    pub async fn try_open(&self) -> Result<Session, StartError> {
        let agent = self.driver.open(self.request.clone()).await?;
        Ok(Session { agent })
    }

    /// Opens the agent and returns the model that it is ready with.
    pub async fn open(&self) -> (Session, String) {
        let mut session = self.try_open().await.unwrap();
        match session.next().await {
            AgentEvent::Ready { model } => (session, model),
            other => panic!("{other:?} before ready"),
        }
    }
}

// === impl Session ===

impl Session {
    pub async fn send(&self, command: AgentCommand) {
        self.agent.commands.send(command).await.unwrap();
    }

    pub async fn start(&self, text: &str) {
        self.start_with_memory(text, "").await;
    }

    /// Starts a turn that runs a command.
    pub async fn start_command(&self, command: &str, text: &str) {
        let input = Self::input(text);
        let command = command.into();
        let input = TurnInput { command, ..input };
        self.send(AgentCommand::StartTurn(Box::new(input))).await;
    }

    pub async fn start_with_memory(&self, text: &str, memory_context: &str) {
        let input = TurnInput {
            memory_context: memory_context.into(),
            ..Self::input(text)
        };
        self.send(AgentCommand::StartTurn(Box::new(input))).await;
    }

    fn input(text: &str) -> TurnInput {
        TurnInput {
            turn_id: Uuid::now_v7(),
            attempt: 1,
            epoch: 1,
            text: text.into(),
            command: String::new(),
            transcript: String::new(),
            attachments: vec![],
            memory_context: String::new(),
            choices: Default::default(),
            user_messages_before: 0,
            output_schema: String::new(),
            client_tools: vec![],
            trace_context: String::new(),
            calls_are_granted: false,
        }
    }

    pub async fn steer(&self, text: &str) -> Uuid {
        let steer_id = Uuid::now_v7();
        self.send(AgentCommand::Steer {
            steer_id,
            text: text.into(),
            attachments: vec![],
        })
        .await;
        steer_id
    }

    pub async fn next_or_end(&mut self) -> Option<AgentEvent> {
        tokio::time::timeout(PATIENCE, self.agent.events.recv())
            .await
            .expect("pi said nothing for too long")
    }

    pub async fn next(&mut self) -> AgentEvent {
        self.next_or_end().await.expect("the channel was closed")
    }

    /// Reads until an event that is wanted came; returns all up to it.
    pub async fn until(&mut self, wanted: impl Fn(&AgentEvent) -> bool) -> Vec<AgentEvent> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let done = wanted(&event);
            let over = is_end(&event);
            events.push(event);
            if done {
                return events;
            }
            assert!(!over, "the turn ended too early: {events:#?}");
        }
    }

    /// Reads to the turn's end.
    pub async fn turn(&mut self) -> Vec<AgentEvent> {
        self.until(is_end).await
    }

    /// Runs a turn; returns its outcome and all that it said.
    pub async fn ask(&mut self, text: &str) -> (Outcome, String, Vec<AgentEvent>) {
        self.start(text).await;
        let events = self.turn().await;
        (outcome(&events), said(&events), events)
    }

    /// Asserts that `Exited` is the last word.
    pub async fn assert_closed(&mut self) {
        assert_eq!(self.next_or_end().await, None);
    }
}

pub fn is_end(event: &AgentEvent) -> bool {
    matches!(
        event,
        AgentEvent::TurnEnded(_) | AgentEvent::Exited { .. } | AgentEvent::StopFailed { .. }
    )
}

pub fn outcome(events: &[AgentEvent]) -> Outcome {
    match events.last() {
        Some(AgentEvent::TurnEnded(outcome)) => outcome.clone(),
        other => panic!("the turn ended with {other:?}"),
    }
}

/// Text of all completed messages.
pub fn said(events: &[AgentEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::MessageCompleted { blocks } => Some(blocks),
            _ => None,
        })
        .flatten()
        .map(|(_, text)| text.as_str())
        .collect::<Vec<_>>()
        .join("|")
}

/// Text of all deltas.
pub fn streamed(events: &[AgentEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::TextDelta { delta, .. } => Some(delta.as_str()),
            _ => None,
        })
        .collect()
}

/// Live processes whose command line holds this text.
pub fn processes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text) && entry.file_name() != std::process::id().to_string().as_str() {
            found.push(line);
        }
    }
    found
}

/// Bytes that the processes have read which work in a directory.
pub fn bytes_read(directory: &Path) -> u64 {
    let directory = directory.canonicalize().unwrap();
    let mut bytes = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let works_in = std::fs::read_link(entry.path().join("cwd"));
        if works_in.is_ok_and(|it| it == directory) {
            let told = std::fs::read_to_string(entry.path().join("io")).unwrap_or_default();
            let read = told.lines().find_map(|line| line.strip_prefix("rchar: "));
            bytes += read.and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    bytes
}
