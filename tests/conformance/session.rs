//! An actor's part, played by a test.

use super::grammar::Grammar;
use crate::support::DEADLINE;
use async_trait::async_trait;
use quarterdeck::{
    agent::{
        Agent, AgentCommand, AgentEvent, Driver, OpenRequest, Outcome, TurnInput,
        conversation::{Conversation, NoMessages},
    },
    domain::{
        event::Role,
        ids::Time,
        message::{Message, Part},
        question::Answer,
        refusal::Refusal,
        turn::Attachment,
    },
};
use std::{
    fs,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};
use uuid::Uuid;

/// The directories of a tenant with sessions. Keys are chosen to hurt whoever builds paths of them.
pub struct Home {
    directory: TempDir,
}

/// A session with an open agent. As an actor does, it opens a fresh one where a turn is to start and the agent has
/// exited or closed its commands: an agent that takes no other turn closes them before it sends the end of its last.
pub struct Session {
    driver: Arc<dyn Driver>,
    request: OpenRequest,
    agent: Agent,
    grammar: Grammar,
    stored: Stored,
    turn_id: Uuid,
    /// What the actor would have counted.
    user_messages: i64,
}

/// What the store would have of the conversation.
#[derive(Clone, Debug, Default)]
struct Stored(Arc<Mutex<Vec<Message>>>);

/// What an agent said from one point to another.
#[derive(Debug, Default)]
pub struct Said(pub Vec<AgentEvent>);

// === impl Home ===

impl Home {
    pub fn new() -> Self {
        let directory = TempDir::new().expect("there is room for a directory");
        Self { directory }
    }

    /// The n-th session of the tenant.
    pub fn request(&self, number: u64) -> OpenRequest {
        let at = |name: String| {
            let path = self.directory.path().join(name);
            fs::create_dir_all(&path).expect("there is room for a directory");
            path
        };
        OpenRequest {
            tenant: "../tenant".into(),
            session_key: format!("../../session {number} ✓"),
            session_id: Uuid::from_u64_pair(0x0199_0000_0000_7000, (2 << 62) | number),
            model: String::new(),
            thinking_level: String::new(),
            working_directory: at(format!("work {number}")),
            session_directory: at(format!("session {number}")),
            owner_directory: at("tenant".into()),
            gateway_directory: at(format!("gateway {number}")),
            home_directory: at(format!("home {number}")),
            temporary_directory: at(format!("tmp {number}")),
            user: None,
            credential: None,
            conversation: Arc::new(NoMessages),
            trace_context: String::new(),
        }
    }
}

// === impl Session ===

impl Session {
    /// Opens an agent and hears that it is ready.
    pub async fn open(driver: &Arc<dyn Driver>, mut request: OpenRequest) -> Self {
        let stored = Stored::default();
        request.conversation = Arc::new(stored.clone());
        let mut session = Self {
            agent: start_agent(&**driver, &request).await,
            driver: Arc::clone(driver),
            request,
            grammar: Grammar::default(),
            stored,
            turn_id: Uuid::nil(),
            user_messages: 0,
        };
        session.hear_ready().await;
        session
    }

    /// Ends the agent and opens a fresh one for the same conversation.
    pub async fn restart(&mut self) {
        self.hear_the_rest().await;
        self.agent = start_agent(&*self.driver, &self.request).await;
        self.grammar = Grammar::default();
        self.hear_ready().await;
    }

    async fn hear_ready(&mut self) {
        let first = self.next().await;
        assert!(matches!(first, Some(AgentEvent::Ready { .. })), "{first:?}");
    }

    /// Lets go of the commands; then the events must come to an end.
    async fn hear_the_rest(&mut self) {
        self.agent.commands = mpsc::channel(1).0;
        while self.next().await.is_some() {}
    }

    /// Ends the agent and hears that it has ended.
    pub async fn close(mut self) {
        self.hear_the_rest().await;
    }

    async fn tell(&mut self, command: AgentCommand) {
        let sent = timeout(DEADLINE, self.agent.commands.send(command)).await;
        // An agent that has exited hears nothing any more, and need not.
        let _ = sent.expect("commands are taken");
    }

    /// Starts a turn.
    pub async fn start(&mut self, prompt: &str) {
        if self.grammar.exited() || self.agent.commands.is_closed() {
            self.restart().await;
        }
        self.grammar.started();
        self.turn_id = Uuid::now_v7();
        self.stored.push(self.turn_id, Role::User, prompt);
        let input = TurnInput {
            turn_id: self.turn_id,
            attempt: 1,
            epoch: 1,
            text: prompt.into(),
            command: String::new(),
            transcript: String::new(),
            attachments: vec![],
            memory_context: String::new(),
            choices: Default::default(),
            user_messages_before: self.user_messages,
            trace_context: String::new(),
            calls_are_granted: false,
            output_schema: String::new(),
            client_tools: vec![],
        };
        self.user_messages += 1;
        self.tell(AgentCommand::StartTurn(Box::new(input))).await;
    }

    pub async fn cancel(&mut self) {
        self.tell(AgentCommand::Cancel).await;
    }

    pub async fn kill(&mut self) {
        self.tell(AgentCommand::Kill).await;
    }

    /// Answers a question.
    pub async fn answer(&mut self, ask_id: &str, answer: Answer) {
        self.tell(AgentCommand::Answer {
            ask_id: ask_id.to_owned(),
            answer: Box::new(answer),
        })
        .await;
    }

    /// Gives a steer; returns its id.
    pub async fn steer(&mut self, text: &str) -> Uuid {
        let steer_id = Uuid::now_v7();
        self.grammar.steered(steer_id);
        let text = text.to_owned();
        let attachments = vec![];
        self.tell(AgentCommand::Steer {
            steer_id,
            text,
            attachments,
        })
        .await;
        steer_id
    }

    /// The next event, checked; `None` where the channel is closed.
    pub async fn next(&mut self) -> Option<AgentEvent> {
        loop {
            let next = timeout(DEADLINE, self.agent.events.recv()).await;
            let event = next.expect("it says something in time")?;
            self.grammar
                .check(&event)
                .unwrap_or_else(|why| panic!("{why}"));
            if let AgentEvent::MessageCompleted { blocks } = &event {
                let text: String = blocks.iter().map(|(_, text)| text.as_str()).collect();
                self.stored.push(self.turn_id, Role::Assistant, &text);
            }
            // It is about the session, and comes when it likes.
            if !matches!(event, AgentEvent::CommandsChanged { .. }) {
                return Some(event);
            }
        }
    }

    /// Events up to the first that is wanted.
    pub async fn until(&mut self, wanted: impl Fn(&AgentEvent) -> bool) -> Said {
        let mut said = Said::default();
        loop {
            let event = self
                .next()
                .await
                .unwrap_or_else(|| panic!("closed after {said:?}"));
            let found = wanted(&event);
            let ended = is_end(&event);
            said.0.push(event);
            if found {
                return said;
            }
            assert!(!ended, "it ended early: {:?}", said.0.last());
        }
    }

    /// Events up to the first delta of text.
    pub async fn until_text(&mut self) -> Said {
        self.until(|event| matches!(event, AgentEvent::TextDelta { .. }))
            .await
    }

    /// Events up to the turn's end.
    pub async fn until_end(&mut self) -> Said {
        self.until(is_end).await
    }

    /// A whole turn.
    pub async fn turn(&mut self, prompt: &str) -> Said {
        self.start(prompt).await;
        self.until_end().await
    }

    /// Whether a turn runs, by what was heard.
    pub fn runs(&self) -> bool {
        self.grammar.runs()
    }

    /// Steers without an answer, by what was heard.
    pub fn unanswered(&self) -> usize {
        self.grammar.unanswered()
    }

    /// Events that wait to be heard.
    pub fn waiting(&self) -> usize {
        self.agent.events.waiting()
    }
}

// === impl Stored ===

impl Stored {
    fn push(&self, turn_id: Uuid, role: Role, text: &str) {
        let part = Part::Text {
            content_index: 0,
            text: text.to_owned(),
        };
        let message = Message {
            item_id: Uuid::now_v7(),
            turn_id,
            generation: 1,
            role,
            parts: vec![part],
            create_time: Time(0),
            seq: 1,
            partial: false,
            continued: false,
        };
        self.0.lock().expect("nobody panicked").push(message);
    }
}

#[async_trait]
impl Conversation for Stored {
    async fn newest(&self, _: usize) -> Result<Vec<Message>, Refusal> {
        Ok(self.0.lock().expect("nobody panicked").clone())
    }

    async fn attachment(&self, attachment_id: &str) -> Result<Attachment, Refusal> {
        NoMessages.attachment(attachment_id).await
    }
}

async fn start_agent(driver: &dyn Driver, request: &OpenRequest) -> Agent {
    let agent = timeout(DEADLINE, driver.open(request.clone())).await;
    agent.expect("it opens in time").expect("it opens")
}

/// Whether a turn ends with it.
pub fn is_end(event: &AgentEvent) -> bool {
    matches!(event, AgentEvent::TurnEnded(_) | AgentEvent::Exited { .. })
}

// === impl Said ===

impl Said {
    /// All text deltas, joined.
    pub fn text(&self) -> String {
        let delta = |event: &AgentEvent| match event {
            AgentEvent::TextDelta { delta, .. } => Some(delta.clone()),
            _ => None,
        };
        self.0.iter().filter_map(delta).collect()
    }

    /// Text of the messages that were completed, joined.
    pub fn completed(&self) -> String {
        let text = |event: &AgentEvent| match event {
            AgentEvent::MessageCompleted { blocks } => Some(
                blocks
                    .iter()
                    .map(|(_, text)| text.as_str())
                    .collect::<String>(),
            ),
            _ => None,
        };
        self.0.iter().filter_map(text).collect()
    }

    /// How the turn ended.
    pub fn outcome(&self) -> &Outcome {
        match self.0.last() {
            Some(AgentEvent::TurnEnded(outcome)) => outcome,
            other => panic!("it did not end by its own word: {other:?}"),
        }
    }

    /// Whether the agent's process ended with the turn.
    pub fn exited(&self) -> bool {
        matches!(self.0.last(), Some(AgentEvent::Exited { .. }))
    }
}
