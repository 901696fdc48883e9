//! The `echo` agent: deterministic, in process, needs nothing. Its language is the contract's §8.

use super::{
    Agent, AgentCommand, AgentEvent, COMMANDS_MAX, Capabilities, Driver, OpenRequest, Outcome,
    StartError, TurnInput,
    events::{self, EventSender},
};
use crate::domain::turn::StopReason;
use async_trait::async_trait;
use std::{collections::VecDeque, time::Duration};
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

/// Output of one turn at most, in bytes.
pub const OUTPUT_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Longest pause between tokens.
pub const DELAY_MAX: Duration = Duration::from_secs(60);

/// What the directives at the start of a prompt ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    delay: Duration,
    repeat: usize,
    think: Option<String>,
    tool: Option<(String, bool)>,
    fail: Option<String>,
    hang: bool,
    stubborn: bool,
    memory: bool,
    history: bool,
    text: String,
}

/// The driver. Holds nothing: what an echo agent knows of its conversation comes with each turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

struct Session {
    commands: mpsc::Receiver<AgentCommand>,
    events: EventSender,
    /// Steers that wait for the next token.
    steers: VecDeque<(Uuid, String)>,
}

/// Why a turn does not go on.
enum Stop {
    /// Cancelled or killed.
    Stopped,
    /// The session's actor is gone.
    Closed,
}

// === impl Script ===

impl Script {
    /// Reads the directives; the first word that is no known directive ends them.
    pub fn parse(prompt: &str) -> Self {
        let mut script = Self {
            repeat: 1,
            ..Self::default()
        };
        let mut rest = prompt;
        while let Some(after) = script.directive(rest) {
            rest = after;
        }
        rest.clone_into(&mut script.text);
        script
    }

    /// Takes one directive and the blank after it; `None` where the text begins.
    fn directive<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let word = text.strip_prefix('!')?;
        let (word, rest) = word.split_once(' ').unwrap_or((word, ""));
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        match (name, value) {
            ("delay", Some(value)) => {
                self.delay = humantime::parse_duration(value).ok()?.min(DELAY_MAX);
            }
            ("repeat", Some(value)) => self.repeat = value.parse().ok().filter(|n| *n > 0)?,
            ("think", Some(value)) => self.think = Some(value.replace('_', " ")),
            ("tool", Some(value)) => self.tool = Some((value.to_owned(), false)),
            ("toolfail", Some(value)) => self.tool = Some((value.to_owned(), true)),
            ("fail", Some(value)) => self.fail = Some(value.to_owned()),
            ("hang", None) => self.hang = true,
            ("stubborn", None) => self.stubborn = true,
            ("memory", None) => self.memory = true,
            ("history", None) => self.history = true,
            _ => return None,
        }
        Some(rest)
    }

    /// The text to stream.
    fn reply(&self, input: &TurnInput) -> String {
        let text = if self.memory {
            input.memory_context.clone()
        } else if self.history {
            input.user_messages_before.to_string()
        } else {
            self.text.clone()
        };
        let mut reply = String::new();
        for n in 0..self.repeat {
            if reply.len() + text.len() + 1 > OUTPUT_MAX_BYTES {
                break;
            }
            if n > 0 {
                reply.push(' ');
            }
            reply.push_str(&text);
        }
        reply
    }
}

/// Splits into words that keep the white space after them; joined they are the text.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut seen_word = false;
        let mut in_space = false;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                if c.is_whitespace() {
                    in_space = seen_word;
                    false
                } else {
                    seen_word = true;
                    in_space
                }
            })
            .map_or(rest.len(), |(at, _)| at);
        let (token, after) = rest.split_at(end);
        rest = after;
        Some(token)
    })
}

// === impl Echo ===

#[async_trait]
impl Driver for Echo {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            steer: true,
            soft_cancel: true,
            images: true,
            thinking: true,
            models: false,
            fork: true,
            compaction: false,
            approvals: false,
            resume: true,
            // It starts no process.
            operator_only: false,
        }
    }

    async fn open(&self, _: OpenRequest) -> Result<Agent, StartError> {
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        let (event_sender, events) = events::channel();
        let session = Session {
            commands: command_receiver,
            events: event_sender,
            steers: VecDeque::new(),
        };
        tokio::spawn(session.run());
        Ok(Agent { commands, events })
    }
}

// === impl Session ===

impl Session {
    async fn run(mut self) {
        let ready = AgentEvent::Ready {
            model: "echo".into(),
        };
        if self.events.send(ready).await.is_err() {
            return;
        }
        while let Some(command) = self.commands.recv().await {
            match command {
                AgentCommand::StartTurn(input) => {
                    let outcome = match self.turn(&input).await {
                        Ok(outcome) => outcome,
                        Err(Stop::Stopped) => Outcome::Stopped,
                        Err(Stop::Closed) => return,
                    };
                    self.steers.clear();
                    if self.emit(AgentEvent::TurnEnded(outcome)).await.is_err() {
                        return;
                    }
                }
                AgentCommand::Steer { steer_id, .. } => {
                    if self
                        .emit(AgentEvent::SteerReturned { steer_id })
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                AgentCommand::Cancel | AgentCommand::Kill => {}
            }
        }
    }

    async fn turn(&mut self, input: &TurnInput) -> Result<Outcome, Stop> {
        let script = Script::parse(&input.text);
        if script.hang {
            loop {
                self.wait_until(None, &script).await?;
            }
        }
        self.emit(AgentEvent::MessageStarted).await?;
        let mut content_index = 0;
        if let Some(thinking) = &script.think {
            for token in tokens(thinking) {
                let delta = token.to_owned();
                self.emit(AgentEvent::ThinkingDelta {
                    content_index,
                    delta,
                })
                .await?;
                self.pause(&script).await?;
            }
            let text = thinking.clone();
            self.emit(AgentEvent::ThinkingCompleted {
                content_index,
                text,
            })
            .await?;
            content_index += 1;
        }
        if let Some((name, fails)) = &script.tool {
            self.emit(AgentEvent::MessageCompleted { blocks: vec![] })
                .await?;
            self.tool(name, *fails, &script).await?;
            self.emit(AgentEvent::MessageStarted).await?;
            content_index = 0;
        }
        if let Some(reason) = &script.fail {
            self.emit(AgentEvent::MessageCompleted { blocks: vec![] })
                .await?;
            return Ok(Outcome::Failed(reason.clone()));
        }
        let reply = script.reply(input);
        let mut said = String::with_capacity(reply.len());
        let mut tokens = tokens(&reply);
        loop {
            self.pause(&script).await?;
            let delta = match self.next_steer().await? {
                Some(text) => format!(" [steer: {text}]"),
                None => match tokens.next() {
                    Some(token) => token.to_owned(),
                    None => break,
                },
            };
            said.push_str(&delta);
            self.emit(AgentEvent::TextDelta {
                content_index,
                delta,
            })
            .await?;
        }
        let blocks = vec![(content_index, said)];
        self.emit(AgentEvent::MessageCompleted { blocks }).await?;
        Ok(Outcome::Completed(StopReason::Stop))
    }

    async fn tool(&mut self, name: &str, fails: bool, script: &Script) -> Result<(), Stop> {
        let tool_call_id = "call_1".to_owned();
        let json = |key: &str| serde_json::json!({ key: script.text }).to_string();
        self.emit(AgentEvent::ToolStarted {
            tool_call_id: tool_call_id.clone(),
            tool_name: name.to_owned(),
            args_json: json("text"),
        })
        .await?;
        self.pause(script).await?;
        self.emit(AgentEvent::ToolUpdate {
            tool_call_id: tool_call_id.clone(),
            partial_result_json: json("partial"),
        })
        .await?;
        self.pause(script).await?;
        self.emit(AgentEvent::ToolCompleted {
            tool_call_id,
            result_json: json(if fails { "error" } else { "output" }),
            is_error: fails,
            full_size: None,
            pictures: vec![],
        })
        .await
    }

    /// Applies the oldest waiting steer.
    async fn next_steer(&mut self) -> Result<Option<String>, Stop> {
        let Some((steer_id, text)) = self.steers.pop_front() else {
            return Ok(None);
        };
        self.emit(AgentEvent::SteerApplied { steer_id }).await?;
        Ok(Some(text))
    }

    async fn emit(&mut self, event: AgentEvent) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop::Closed)
    }

    /// Waits out the delay and takes what commands came meanwhile.
    async fn pause(&mut self, script: &Script) -> Result<(), Stop> {
        if script.delay.is_zero() {
            // A timer rounds up to a millisecond; without a delay only look at what is there.
            while let Ok(command) = self.commands.try_recv() {
                self.take(command, script)?;
            }
            return Ok(());
        }
        self.wait_until(Some(Instant::now() + script.delay), script)
            .await
    }

    async fn wait_until(&mut self, until: Option<Instant>, script: &Script) -> Result<(), Stop> {
        loop {
            let command = tokio::select! {
                biased;
                command = self.commands.recv() => command.ok_or(Stop::Closed)?,
                () = async {
                    match until {
                        Some(until) => tokio::time::sleep_until(until).await,
                        None => std::future::pending().await,
                    }
                } => return Ok(()),
            };
            self.take(command, script)?;
        }
    }

    fn take(&mut self, command: AgentCommand, script: &Script) -> Result<(), Stop> {
        match command {
            AgentCommand::Kill => return Err(Stop::Stopped),
            AgentCommand::Cancel if !script.stubborn => return Err(Stop::Stopped),
            AgentCommand::Steer { steer_id, text, .. } => self.steers.push_back((steer_id, text)),
            // A stubborn turn ignores the soft way; a second start can't come while one runs.
            AgentCommand::Cancel | AgentCommand::StartTurn(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn directives_stand_at_the_start_and_end_at_the_first_other_word() {
        let script = Script::parse("!delay=50ms !repeat=3 !think=a_b !nothing !hang x");
        assert_eq!(script.delay, Duration::from_millis(50));
        assert_eq!(script.repeat, 3);
        assert_eq!(script.think.as_deref(), Some("a b"));
        assert_eq!(script.text, "!nothing !hang x");
        assert!(!script.hang);
        assert!(Script::parse("!hang").hang);
        assert_eq!(Script::parse("!delay=soon x").text, "!delay=soon x");
        assert_eq!(Script::parse("!fail=WHY ").fail.as_deref(), Some("WHY"));
        assert_eq!(Script::parse("!hang  x").text, " x");
    }

    proptest! {
        #[test]
        fn tokens_joined_are_the_text(text in "[ a-zß\n\t]{0,60}") {
            let all: Vec<&str> = tokens(&text).collect();
            prop_assert_eq!(all.concat(), text.clone());
            let words = text.split_whitespace().count();
            prop_assert_eq!(all.len(), words.max(usize::from(!text.is_empty())));
        }
    }
}
