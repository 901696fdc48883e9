//! One pi process and the task that drives it: moves bytes, keeps time and ends the process; decides nothing that
//! [`Machine`] could decide.
//!
//! While the session's actor is behind with events no line is read, so pi waits; commands are taken all the same.

use super::{
    machine::{Effect, Machine},
    memory::Memory,
};
use crate::agent::{
    AgentCommand, AgentEvent, Outcome, StartError,
    events::EventSender,
    process::{Line, Process, StopFailed},
    secrets::Secrets,
};
use crate::auth::agents::AgentCredential;
use std::{collections::VecDeque, io, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

/// A pi process.
#[derive(Debug)]
pub(super) struct PiChild {
    process: Process,
    machine: Machine,
    memory: Memory,
    /// Time that pi gets to end by itself.
    stop_grace: Duration,
    secrets: Secrets,
    /// Events that the actor did not take yet: what came of one line or one command.
    outbox: VecDeque<AgentEvent>,
    /// Ends with this process.
    _credential: Option<AgentCredential>,
    /// Processes that lived before the turn started; an abort leaves them alone.
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

// === impl PiChild ===

impl PiChild {
    /// Takes over a process that was just started.
    pub(super) fn new(
        process: Process,
        memory: Memory,
        stop_grace: Duration,
        secrets: Secrets,
        credential: Option<AgentCredential>,
    ) -> Self {
        Self {
            process,
            machine: Machine::new(),
            memory,
            stop_grace,
            secrets,
            outbox: VecDeque::new(),
            _credential: credential,
            kept: Vec::new(),
        }
    }

    /// What pi offers is asked for, once it has answered. See [`Machine::ask_offers`].
    pub(super) fn ask_offers(&mut self, default_model: Option<&str>) {
        self.machine.ask_offers(default_model);
    }

    /// The thinking level that pi uses, once it has answered.
    pub(super) fn thinking_level(&self) -> &str {
        let state = self.machine.state();
        state.map_or("", |state| &state.thinking_level)
    }

    /// Ends pi, which has no turn.
    ///
    /// # Errors
    /// That it has ended can't be proven.
    pub(super) async fn dismiss(mut self) -> Result<(), StartError> {
        match self.end("pi was asked for its defaults").await {
            AgentEvent::StopFailed { survivors } => Err(StartError(survivors)),
            _ => Ok(()),
        }
    }

    /// Waits until pi answers. Returns the model that it will use.
    ///
    /// # Errors
    /// It ended, or did not answer in time; then nothing of it is left.
    pub(super) async fn start(&mut self, limit: Duration) -> Result<String, StartError> {
        let last = match timeout(limit, self.answer(limit)).await {
            Ok(Some(model)) => return Ok(model),
            Ok(None) => self.ended("pi did not start").await,
            Err(_) => self.end("pi did not answer within its start limit").await,
        };
        Err(StartError(match last {
            AgentEvent::Exited { message } => message,
            AgentEvent::StopFailed { survivors } => survivors,
            other => unreachable!("{other:?} is no last event"),
        }))
    }

    /// `None` once pi closed its output.
    async fn answer(&mut self, limit: Duration) -> Option<String> {
        // The caller's limit comes first.
        self.machine.ask_state(Instant::now(), limit * 2);
        loop {
            while let Some(effect) = self.machine.next_effect() {
                match effect {
                    // A broken pipe shows as the end of the output, where the status can be told.
                    Effect::Write(line) => drop(self.process.write_line(&line).await),
                    Effect::Hung | Effect::Emit(_) | Effect::End { .. } => {}
                }
            }
            if let Some(state) = self.machine.state() {
                let model = state.model.as_ref();
                return Some(model.map(|model| model.full()).unwrap_or_default());
            }
            let deadline = self.machine.deadline();
            tokio::select! {
                line = self.process.next_line() => self.take_line(line?),
                () = sleep_until(deadline) => self.machine.tick(Instant::now()),
            }
        }
    }

    /// Runs turns until the process ends or the actor lets go.
    pub(super) async fn run(mut self, mut channels: Channels) {
        self.machine.ask_commands();
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
            let deadline = self.machine.deadline();
            let next = self.outbox.front().map_or(0, AgentEvent::text_bytes);
            tokio::select! {
                biased;
                command = channels.commands.recv() => match command {
                    Some(AgentCommand::Kill) if self.machine.is_busy() => {
                        return self.end("pi was killed").await;
                    }
                    Some(command) => self.take_command(command).await,
                    None => return self.end("pi is not needed any more").await,
                },
                place = channels.events.place(next), if !self.outbox.is_empty() => match place {
                    Ok(place) => {
                        let event = self.outbox.pop_front();
                        place.send(event.expect("the branch asks for one"));
                    }
                    Err(_) => return self.end("nobody listens to pi any more").await,
                },
                () = sleep_until(deadline) => self.machine.tick(Instant::now()),
                line = self.process.next_line(), if self.outbox.is_empty() => match line {
                    Some(line) => self.take_line(line),
                    None => {
                        // What is sent from here on is refused, not lost.
                        channels.commands.close();
                        return self.ended("pi ended").await;
                    }
                },
            }
        }
    }

    async fn take_command(&mut self, command: AgentCommand) {
        match command {
            AgentCommand::StartTurn(input) => {
                self.kept = self.process.descendants();
                // Before pi gets the prompt, which makes it look there.
                self.memory.give(&input.memory_context).await;
                self.machine.start(&input);
            }
            AgentCommand::Steer {
                steer_id,
                text,
                attachments,
            } => self.machine.steer(steer_id, text, attachments),
            AgentCommand::Cancel => self.machine.cancel(),
            AgentCommand::Answer { ask_id, answer } => self.machine.answer(ask_id, &answer),
            // Of a turn that is over nothing is left to kill.
            AgentCommand::Call | AgentCommand::Kill => {}
        }
    }

    fn take_line(&mut self, line: Line) {
        match line {
            Line::Text(line) => self.machine.line(&line, 0, Instant::now()),
            Line::Shortened { text, cut } => self.machine.line(&text, cut, Instant::now()),
            Line::TooLong { length } => {
                tracing::warn!(length, "pi wrote a line that is too long; it was skipped");
                self.machine.line_lost(Instant::now());
            }
        }
    }

    /// Does what the machine wants. Returns the last event where that ended the process.
    async fn perform(&mut self, channels: &mut Channels) -> Option<AgentEvent> {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Emit(event) => self.outbox.push_back(self.masked(event)),
                Effect::Write(line) => match self.process.write_line(&line).await {
                    Ok(()) => {}
                    // It is ending; its status comes with the end of its output.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                    Err(error) => {
                        let message = format!("pi does not take its input: {error}");
                        return Some(self.end(&message).await);
                    }
                },
                Effect::End {
                    outcome,
                    prove,
                    fresh,
                } => {
                    self.memory.clear().await;
                    let reason = "pi held a message that its next run would have taken";
                    if prove && fresh && outcome == Outcome::Stopped {
                        return Some(self.end(reason).await);
                    }
                    if prove && let Err(failed) = self.process.end_descendants(&self.kept).await {
                        return Some(self.unproven(failed));
                    }
                    if fresh {
                        // Before the end is told, so that no start can cross it and be lost.
                        channels.commands.close();
                    }
                    let ended = self.masked(AgentEvent::TurnEnded(outcome));
                    self.outbox.push_back(ended);
                    if fresh {
                        return Some(self.end(reason).await);
                    }
                }
                Effect::Hung => return Some(self.end("pi does not answer").await),
            }
        }
        None
    }

    /// Ends the process.
    async fn end(&mut self, why: &str) -> AgentEvent {
        match self.process.stop(self.stop_grace).await {
            Ok(exit) => self.exited(why, &exit.status, &exit.stderr_tail),
            Err(failed) => self.unproven(failed),
        }
    }

    /// Its output ended: waits for the status.
    async fn ended(&mut self, what: &str) -> AgentEvent {
        self.process.wait().await;
        // Tells what `wait` can't: whether the end is proven.
        match self.process.stop(Duration::ZERO).await {
            Ok(exit) => self.exited(what, &exit.status, &exit.stderr_tail),
            Err(failed) => self.unproven(failed),
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

    /// Without the secrets that a provider's error may repeat.
    fn masked(&self, mut event: AgentEvent) -> AgentEvent {
        match &mut event {
            AgentEvent::RetryScheduled { error_message, .. }
            | AgentEvent::CompactionCompleted { error_message, .. } => {
                *error_message = self.secrets.mask(error_message);
            }
            AgentEvent::TurnEnded(Outcome::Failed(message)) => {
                *message = self.secrets.mask(message)
            }
            // Their texts are this process's own, and masked where they are made.
            AgentEvent::Exited { message: _ }
            | AgentEvent::Lost { message: _ }
            | AgentEvent::StopFailed { survivors: _ } => {}
            // What the model and its tools say is told as it is.
            AgentEvent::Ready { .. }
            | AgentEvent::MessageStarted
            | AgentEvent::TextDelta { .. }
            | AgentEvent::ThinkingDelta { .. }
            | AgentEvent::ToolInputDelta { .. }
            | AgentEvent::ThinkingCompleted { .. }
            | AgentEvent::MessageCompleted { .. }
            | AgentEvent::ToolStarted { .. }
            | AgentEvent::ToolUpdate { .. }
            | AgentEvent::ToolCompleted { .. }
            | AgentEvent::SteerApplied { .. }
            | AgentEvent::SteerReturned { .. }
            | AgentEvent::Asked { .. }
            | AgentEvent::AskWithdrawn { .. }
            | AgentEvent::AnswerDelivered { .. }
            | AgentEvent::PlanUpdated { .. }
            | AgentEvent::Subagent { .. }
            | AgentEvent::ArtifactCreated { .. }
            | AgentEvent::Offered { .. }
            | AgentEvent::CommandsChanged { .. }
            | AgentEvent::UsageRecorded(_)
            | AgentEvent::CallWanted { .. }
            | AgentEvent::CompactionStarted { .. }
            | AgentEvent::OutputAccepted { .. }
            | AgentEvent::TurnEnded(
                Outcome::Completed(_) | Outcome::OutputInvalid(_) | Outcome::Stopped,
            ) => {}
        }
        event
    }

    fn unproven(&self, StopFailed(survivors): StopFailed) -> AgentEvent {
        AgentEvent::StopFailed { survivors }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
