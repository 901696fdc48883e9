//! What the tests of the ACP driver share: an opened agent that is driven like the session's actor would.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use crate::support::{fixture, host, python};
use quarterdeck::{
    agent::{
        Agent, AgentCommand, AgentEvent, Driver, OpenRequest, Outcome, StartError, TurnInput,
        acp::{AcpDriver, AcpOptions},
    },
    domain::{
        offers::Choices,
        question::{Answer, Ask},
        turn::{Attachment, StopReason, Usage},
    },
};
use serde_json::Value;
use std::{ffi::OsStr, fs, path::PathBuf, time::Duration};
use uuid::Uuid;

/// Longest wait for anything that a test expects.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How an ordinary turn ends.
pub const COMPLETED: Outcome = Outcome::Completed(StopReason::Stop);

/// One session's directories, and how its agent is opened.
pub struct Place {
    pub driver: AcpDriver,
    pub request: OpenRequest,
    _directory: tempfile::TempDir,
}

/// An opened agent.
pub struct Session {
    pub agent: Agent,
    pub model: String,
    /// What each turn is started with.
    pub choices: Choices,
}

/// A scripted agent that behaves as these words say. The marker is in the environment of everything it starts, and the
/// argument of the `sleep`s that its tools run.
pub fn scripted(words: &str) -> (AcpOptions, String) {
    let script = fixture("fake_acp.py");
    // `sleep` takes any number: this one is nobody else's.
    let marker = format!("8{}", Uuid::new_v4().as_u128() % 1_000_000_000);
    let text = |text: &OsStr| text.to_str().expect("paths of tests are text").to_owned();
    let mut options = AcpOptions {
        command: vec![
            text(python()),
            "-S".into(),
            "-E".into(),
            text(script.as_os_str()),
        ],
        environment: vec![
            ("FAKE_ACP".into(), words.into()),
            ("FAKE_ACP_MARKER".into(), marker.clone()),
        ],
        start_timeout: PATIENCE,
        ..AcpOptions::default()
    };
    // What the gate lets the protocol's own types read afterwards.
    if let Ok(file) = std::env::var("QUARTERDECK_TEST_ACP_HEARD") {
        options.environment.push(("FAKE_ACP_HEARD".into(), file));
    }
    (options, marker)
}

/// Live processes with this marker in their environment.
pub fn marked(marker: &str) -> Vec<u32> {
    let entry = format!("FAKE_ACP_MARKER={marker}").into_bytes();
    fs::read_dir("/proc")
        .expect("there is a /proc")
        .flatten()
        .filter(|process| {
            fs::read(process.path().join("environ"))
                .is_ok_and(|text| text.split(|byte| *byte == 0).any(|one| one == entry))
        })
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

// === impl Place ===

impl Place {
    pub fn new(options: AcpOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str| -> PathBuf {
            let path = directory.path().join(name);
            fs::create_dir_all(&path).unwrap();
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
            driver: AcpDriver::new(options, host()),
            request,
            _directory: directory,
        }
    }

    /// With a scripted agent.
    pub fn scripted(words: &str) -> Self {
        Self::new(scripted(words).0)
    }

    pub async fn try_open(&self) -> Result<Session, StartError> {
        let agent = self.driver.open(self.request.clone()).await?;
        let model = String::new();
        let choices = Choices::default();
        let mut session = Session {
            agent,
            model,
            choices,
        };
        match session.next().await {
            AgentEvent::Ready { model } => session.model = model,
            other => panic!("{other:?} before ready"),
        }
        Ok(session)
    }

    pub async fn open(&self) -> Session {
        self.try_open().await.unwrap()
    }

    /// Why it does not open.
    pub async fn refusal(&self) -> String {
        let opened = self.try_open().await.map(|_| "it opened");
        opened.unwrap_err().to_string()
    }
}

// === impl Session ===

impl Session {
    pub async fn send(&self, command: AgentCommand) {
        self.agent.commands.send(command).await.unwrap();
    }

    pub async fn start(&self, text: &str) {
        self.start_with(text, "", vec![]).await;
    }

    /// Starts a turn that runs a command.
    pub async fn start_command(&self, command: &str, text: &str) {
        let input = self.input(text);
        let command = command.into();
        let input = TurnInput { command, ..input };
        self.send(AgentCommand::StartTurn(Box::new(input))).await;
    }

    /// Starts a turn of an agent that is told the conversation so far.
    pub async fn start_reminded(&self, text: &str, transcript: &str) {
        let input = self.input(text);
        let transcript = transcript.into();
        let input = TurnInput {
            transcript,
            ..input
        };
        self.send(AgentCommand::StartTurn(Box::new(input))).await;
    }

    pub async fn start_with(&self, text: &str, memory_context: &str, attachments: Vec<Attachment>) {
        let input = TurnInput {
            attachments,
            memory_context: memory_context.into(),
            ..self.input(text)
        };
        self.send(AgentCommand::StartTurn(Box::new(input))).await;
    }

    fn input(&self, text: &str) -> TurnInput {
        TurnInput {
            turn_id: Uuid::now_v7(),
            attempt: 1,
            epoch: 1,
            text: text.into(),
            command: String::new(),
            transcript: String::new(),
            attachments: vec![],
            memory_context: String::new(),
            choices: self.choices.clone(),
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

    pub async fn answer(&self, ask_id: &str, answer: Answer) {
        self.send(AgentCommand::Answer {
            ask_id: ask_id.into(),
            answer: Box::new(answer),
        })
        .await;
    }

    /// Answers with an option.
    pub async fn choose(&self, ask_id: &str, option_id: &str) {
        let option_id = option_id.into();
        let answer = Answer {
            option_id,
            ..Answer::default()
        };
        self.answer(ask_id, answer).await;
    }

    /// Says that nobody wants to answer.
    pub async fn decline(&self, ask_id: &str) {
        let answer = Answer {
            declined: true,
            ..Answer::default()
        };
        self.answer(ask_id, answer).await;
    }

    pub async fn next_or_end(&mut self) -> Option<AgentEvent> {
        tokio::time::timeout(PATIENCE, self.agent.events.recv())
            .await
            .expect("the agent said nothing for too long")
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

    /// Reads to the next question.
    pub async fn asked(&mut self) -> (String, Box<Ask>) {
        let mut events = self
            .until(|event| matches!(event, AgentEvent::Asked { .. }))
            .await;
        match events.pop() {
            Some(AgentEvent::Asked { ask_id, ask }) => (ask_id, ask),
            other => unreachable!("{other:?}"),
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

    /// Runs a turn that says JSON.
    pub async fn ask_json(&mut self, text: &str) -> Value {
        let (_, said, _) = self.ask(text).await;
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Lets go of the agent and hears that it ended.
    pub async fn close(self) {
        let Agent {
            commands,
            mut events,
            ..
        } = self.agent;
        drop(commands);
        let rest = async { while events.recv().await.is_some() {} };
        tokio::time::timeout(PATIENCE, rest).await.expect("it ends");
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

/// Texts of all completed messages, apart from each other.
pub fn said(events: &[AgentEvent]) -> String {
    let messages = events.iter().filter_map(|event| match event {
        AgentEvent::MessageCompleted { blocks } => Some(blocks),
        _ => None,
    });
    let texts = messages.map(|blocks| {
        let texts = blocks.iter().map(|(_, text)| text.as_str());
        texts.collect::<String>()
    });
    texts.collect::<Vec<_>>().join("|")
}

/// Name and arguments of the calls that ran.
pub fn started(events: &[AgentEvent]) -> Vec<(&str, &str, &str)> {
    let calls = events.iter().filter_map(|event| match event {
        AgentEvent::ToolStarted {
            tool_call_id,
            tool_name,
            args_json,
        } => Some((
            tool_call_id.as_str(),
            tool_name.as_str(),
            args_json.as_str(),
        )),
        _ => None,
    });
    calls.collect()
}

/// Id, result and whether it failed, of the calls that ended.
pub fn completed(events: &[AgentEvent]) -> Vec<(&str, Value, bool)> {
    let calls = events.iter().filter_map(|event| match event {
        AgentEvent::ToolCompleted {
            tool_call_id,
            result_json,
            is_error,
            ..
        } => {
            let result = serde_json::from_str(result_json).expect("JSON");
            Some((tool_call_id.as_str(), result, *is_error))
        }
        _ => None,
    });
    calls.collect()
}

/// What the turn used.
pub fn usages(events: &[AgentEvent]) -> Vec<Usage> {
    let usages = events.iter().filter_map(|event| match event {
        AgentEvent::UsageRecorded(report) => Some(report.usage),
        _ => None,
    });
    usages.collect()
}
