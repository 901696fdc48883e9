//! One agent's process and the task that drives it: moves bytes, keeps time and ends the process; decides nothing that
//! [`Machine`] could decide.
//!
//! While the session's actor is behind with events no line is read, so the agent waits; commands are taken all the same.

use super::{
    conversation::ConversationFile,
    machine::{Effect, Machine, Opening},
};
use crate::agent::{
    AgentCommand, AgentEvent, Capabilities, Outcome, StartError,
    events::EventSender,
    process::{Line, Process, StopFailed},
    secrets::Secrets,
};
use crate::auth::agents::AgentCredential;
use std::{collections::VecDeque, io, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

/// Time that what a stopped turn started gets to end by itself, and how often it is looked at.
const LEFTOVER_GRACE: Duration = Duration::from_millis(300);
const LEFTOVER_LOOK: Duration = Duration::from_millis(20);

/// An agent's process.
#[derive(Debug)]
pub(super) struct AcpChild {
    process: Process,
    machine: Machine,
    file: ConversationFile,
    /// Time that the agent gets to end by itself.
    stop_grace: Duration,
    secrets: Secrets,
    /// Events that the actor did not take yet: what came of one line or one command.
    outbox: VecDeque<AgentEvent>,
    /// Ends with this process.
    _credential: Option<AgentCredential>,
    /// Processes that lived before the turn started; a stop leaves them alone.
    kept: Vec<u32>,
}

/// The actor's channels, seen from here.
#[derive(Debug)]
pub(super) struct Channels {
    /// What the actor says.
    pub(super) commands: mpsc::Receiver<AgentCommand>,
    /// What it hears.
    pub(super) events: EventSender,
}

/// How an opening ended.
enum Opened {
    Well,
    Refused(String),
    OutputClosed,
}

// === impl AcpChild ===

impl AcpChild {
    /// Takes over a process that was just started.
    pub(super) fn new(
        process: Process,
        opening: Opening,
        file: ConversationFile,
        stop_grace: Duration,
        secrets: Secrets,
        credential: Option<AgentCredential>,
    ) -> Self {
        Self {
            process,
            machine: Machine::new(opening),
            file,
            stop_grace,
            secrets,
            outbox: VecDeque::new(),
            _credential: credential,
            kept: Vec::new(),
        }
    }

    /// Waits until the agent has its session. Returns the model that it will use, what it can do, its version, and whether
    /// it goes on with its conversation.
    ///
    /// # Errors
    /// It ended, did not answer in time, or can't do what was asked for; then nothing of it is left.
    pub(super) async fn start(
        &mut self,
        limit: Duration,
    ) -> Result<(String, Capabilities, String, bool), StartError> {
        let last = match timeout(limit, self.open()).await {
            Ok(Opened::Well) => {
                let model = self.machine.model().to_owned();
                let version = self.machine.version().to_owned();
                let remembers = self.machine.remembers();
                return Ok((model, self.machine.capabilities(), version, remembers));
            }
            Ok(Opened::Refused(problem)) => match self.leave(&problem).await {
                // That it ended is not what went wrong.
                AgentEvent::Exited { .. } => return Err(StartError(self.secrets.mask(&problem))),
                other => other,
            },
            Ok(Opened::OutputClosed) => self.ended("the agent did not start").await,
            Err(_) => {
                let seconds = limit.as_secs();
                let why = format!("the agent did not answer within its start limit of {seconds} s");
                self.end(&why).await
            }
        };
        Err(StartError(match last {
            AgentEvent::Exited { message } => message,
            AgentEvent::StopFailed { survivors } => survivors,
            other => unreachable!("{other:?} is no last event"),
        }))
    }

    async fn open(&mut self) -> Opened {
        loop {
            while let Some(effect) = self.machine.next_effect() {
                match effect {
                    // A broken pipe shows as the end of the output, where the status can be told.
                    Effect::Write(line) => drop(self.process.write_line(&line).await),
                    Effect::Remember(conversation) => {
                        if let Err(error) = self.file.write(conversation).await {
                            let problem = "can't write down how to find its conversation again";
                            return Opened::Refused(format!("{problem}: {error}"));
                        }
                    }
                    Effect::Opened => return Opened::Well,
                    Effect::Refused(problem) => return Opened::Refused(problem),
                    // What is said before the first turn is told after `Ready`.
                    Effect::Emit(event) => self.outbox.push_back(event),
                    Effect::End { .. } => {}
                }
            }
            let deadline = self.machine.deadline();
            tokio::select! {
                line = self.process.next_line() => match line {
                    Some(line) => self.take_line(line),
                    None => return Opened::OutputClosed,
                },
                () = sleep_until(deadline) => self.machine.tick(Instant::now()),
            }
        }
    }

    /// Runs turns until the process ends or the actor lets go.
    pub(super) async fn run(mut self, mut channels: Channels) {
        let last = self.drive(&mut channels).await;
        self.outbox.push_back(last);
        for event in self.outbox {
            if channels.events.send(event).await.is_err() {
                return;
            }
        }
    }

    /// Returns the last event.
    async fn drive(&mut self, channels: &mut Channels) -> AgentEvent {
        loop {
            if let Some(last) = self.perform(channels).await {
                return last;
            }
            let next = self.outbox.front().map_or(0, AgentEvent::text_bytes);
            tokio::select! {
                biased;
                command = channels.commands.recv() => match command {
                    Some(AgentCommand::Kill) if self.machine.is_busy() => {
                        return self.end("the agent was killed").await;
                    }
                    Some(command) => self.take_command(command),
                    None => return self.leave("the agent is not needed any more").await,
                },
                place = channels.events.place(next), if !self.outbox.is_empty() => match place {
                    Ok(place) => {
                        let event = self.outbox.pop_front();
                        place.send(event.expect("the branch asks for one"));
                    }
                    Err(_) => return self.leave("nobody listens to the agent any more").await,
                },
                line = self.process.next_line(), if self.outbox.is_empty() => match line {
                    Some(line) => self.take_line(line),
                    None => {
                        // What is sent from here on is refused, not lost.
                        channels.commands.close();
                        return self.ended("the agent ended").await;
                    }
                },
            }
        }
    }

    fn take_command(&mut self, command: AgentCommand) {
        match command {
            AgentCommand::StartTurn(input) => {
                self.kept = self.process.descendants();
                self.machine.start(&input);
            }
            AgentCommand::Steer {
                steer_id,
                text,
                attachments,
            } => self.machine.steer(steer_id, &text, &attachments),
            AgentCommand::Answer { ask_id, answer } => self.machine.answer(ask_id, &answer),
            AgentCommand::Cancel => self.machine.cancel(),
            // Of a turn that is over nothing is left to kill.
            AgentCommand::Call | AgentCommand::Kill => {}
        }
    }

    fn take_line(&mut self, line: Line) {
        let now = Instant::now();
        match line {
            Line::Text(line) => self.machine.line(&line, 0, now),
            Line::Shortened { text, cut } => self.machine.line(&text, cut, now),
            Line::TooLong { length } => {
                tracing::warn!(
                    length,
                    "the agent wrote a line that is too long; it was skipped"
                );
                self.machine.line_lost(now);
            }
        }
    }

    /// Does what the machine wants. Returns the last event where that ended the process.
    async fn perform(&mut self, channels: &mut Channels) -> Option<AgentEvent> {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Emit(event) => self.outbox.push_back(event),
                Effect::Write(line) => match self.process.write_line(&line).await {
                    Ok(()) => {}
                    // It is ending; its status comes with the end of its output.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                    Err(error) => {
                        let message = format!("the agent does not take its input: {error}");
                        return Some(self.end(&message).await);
                    }
                },
                Effect::Remember(conversation) => {
                    if let Err(error) = self.file.write(conversation).await {
                        tracing::warn!(%error, "what the agent's conversation cost can't be written down");
                    }
                }
                Effect::End { outcome, prove } => {
                    // An agent may answer a stop while what its tool started lives on, and something that it needs itself may
                    // be among what is ended then: it takes no other turn.
                    let strays = prove && self.has_strays().await;
                    if strays && let Err(failed) = self.process.end_descendants(&self.kept).await {
                        return Some(unproven(failed));
                    }
                    if strays {
                        // Before the end is told, so that no start can cross it and be lost.
                        channels.commands.close();
                    }
                    self.outbox.push_back(AgentEvent::TurnEnded(match outcome {
                        Outcome::Failed(message) => Outcome::Failed(self.secrets.mask(&message)),
                        Outcome::Completed(_) | Outcome::OutputInvalid(_) | Outcome::Stopped => {
                            outcome
                        }
                    }));
                    if strays {
                        let reason = "a stopped turn had left processes behind";
                        return Some(self.end(reason).await);
                    }
                }
                // Of an opening, which is over.
                Effect::Opened | Effect::Refused(_) => {}
            }
        }
        None
    }

    /// Whether the turn has left processes behind, which don't go by themselves.
    async fn has_strays(&mut self) -> bool {
        let deadline = Instant::now() + LEFTOVER_GRACE;
        loop {
            let mut left = self.process.descendants();
            left.retain(|pid| !self.kept.contains(pid));
            if left.is_empty() {
                return false;
            }
            if Instant::now() >= deadline {
                return true;
            }
            sleep(LEFTOVER_LOOK).await;
        }
    }

    /// Ends the process.
    async fn end(&mut self, why: &str) -> AgentEvent {
        match self.process.stop(self.stop_grace).await {
            Ok(exit) => self.exited(why, &exit.status, &exit.stderr_tail),
            Err(failed) => unproven(failed),
        }
    }

    /// Lets the process end, by the end of its input.
    async fn leave(&mut self, why: &str) -> AgentEvent {
        match self.process.leave(self.stop_grace).await {
            Ok(exit) => self.exited(why, &exit.status, &exit.stderr_tail),
            Err(failed) => unproven(failed),
        }
    }

    /// Its output ended: waits for the status.
    async fn ended(&mut self, what: &str) -> AgentEvent {
        self.process.wait().await;
        // Tells what `wait` can't: whether the end is proven.
        match self.process.stop(Duration::ZERO).await {
            Ok(exit) => self.exited(what, &exit.status, &exit.stderr_tail),
            Err(failed) => unproven(failed),
        }
    }

    fn exited(&self, why: &str, status: &str, stderr_tail: &str) -> AgentEvent {
        let stderr_tail = stderr_tail.trim();
        let separator = if stderr_tail.is_empty() { "" } else { ": " };
        AgentEvent::Exited {
            message: self
                .secrets
                .mask(&format!("{why} ({status}){separator}{stderr_tail}")),
        }
    }
}

fn unproven(StopFailed(survivors): StopFailed) -> AgentEvent {
    AgentEvent::StopFailed { survivors }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
