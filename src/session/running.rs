//! One start of a turn, from the moment its agent is open to its terminal commit.

use super::{
    actor::{Actor, Lost, STORE_BACKOFF, wait_for_store},
    handle::Drain,
    machine::{Effect, TurnMachine, Verdict},
    told,
};
use crate::{
    agent::{AgentCommand, AgentEvent, TurnInput},
    clock,
    domain::{
        limits::{CHECKPOINT_INTERVAL, GRACE_DEFAULT, KILL_PROOF_MAX},
        refusal::Refusal,
        turn::{AbortMode, Cause},
    },
    feed::Pushed,
    store::{Ended, Started, TurnEnd, Write},
};
use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};
use tokio::{
    sync::{mpsc::error::TrySendError, watch},
    time::Instant,
};
use uuid::Uuid;

/// Agent's events taken at one wake-up.
const BATCH_MAX: usize = 256;
/// Pause before a command is offered again to an agent whose channel is full.
const COMMAND_RETRY: Duration = Duration::from_millis(20);

/// A stop under way.
#[derive(Debug)]
struct Stopping {
    /// Why, where the gateway itself stops the turn; an accepted stop stands in the turn's row.
    own_cause: Option<Cause>,
    /// When CANCEL becomes KILL.
    kill_at: Instant,
    /// When the proof must be there; set with KILL.
    proof_by: Option<Instant>,
}

/// What a running turn wakes for.
enum Next {
    /// Something was asked for.
    Nudge,
    /// The drain's window is over.
    Drain,
    /// The clock.
    Timer,
    /// The agent said something, or is gone.
    Said(Option<AgentEvent>),
}

/// One start of a turn.
pub(super) struct Running<'a> {
    actor: &'a mut Actor,
    machine: TurnMachine,
    turn_id: Uuid,
    generation: i64,
    input: Option<Box<TurnInput>>,
    deadline: Instant,
    stopping: Option<Stopping>,
    /// Commands that the agent's channel had no room for yet; at most a Cancel, a Kill and the pending steers.
    commands: VecDeque<AgentCommand>,
    /// Steers that the agent has and did not answer; an answer for another one crossed an earlier turn's end.
    given: HashSet<Uuid>,
    /// When open blocks are saved next; set while something is unsaved.
    checkpoint_at: Option<Instant>,
}

// === impl Running ===

impl<'a> Running<'a> {
    pub(super) fn new(actor: &'a mut Actor, started: Started, deadline: Instant) -> Self {
        let Started {
            turn,
            session: _,
            attachments,
            user_messages_before,
        } = started;
        let input = Box::new(TurnInput {
            turn_id: turn.turn_id,
            attempt: turn.attempt,
            epoch: actor.fence.epoch,
            text: turn.text,
            attachments,
            memory_context: String::new(),
            user_messages_before,
            trace_context: turn.trace_context,
        });
        Self {
            actor,
            machine: TurnMachine::default(),
            turn_id: turn.turn_id,
            generation: turn.generation,
            input: Some(input),
            deadline,
            stopping: None,
            commands: VecDeque::new(),
            given: HashSet::new(),
            checkpoint_at: None,
        }
    }

    pub(super) async fn run(mut self) -> Result<Ended, Lost> {
        let mut input = self.input.take().expect("taken once, here");
        let recall = self.actor.workshop.recall.clone();
        input.memory_context = recall.context(self.actor.row, &input).await;
        // A stop that came while the agent opened: the agent never gets the turn.
        if self.actor.accepted_stop().await?.is_some() {
            return self
                .actor
                .end_turn(Vec::new(), TurnEnd::Stopped, String::new())
                .await;
        }
        self.command(AgentCommand::StartTurn(input));
        self.look().await?;
        loop {
            self.offer_commands();
            match self.next().await {
                Next::Nudge => self.look().await?,
                Next::Drain => self.stop(Some(Cause::Draining), AbortMode::Kill, Instant::now()),
                Next::Timer => {
                    if let Some(ended) = self.timer().await? {
                        return Ok(ended);
                    }
                }
                Next::Said(event) => {
                    if let Some(ended) = self.said(event).await? {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    /// Waits for whatever comes first; a stop before all else, so that a flood from the agent can't hold it up.
    async fn next(&mut self) -> Next {
        let timer = self.next_timer();
        let draining = self
            .stopping
            .as_ref()
            .is_some_and(|s| s.own_cause == Some(Cause::Draining));
        let Actor {
            handle,
            drain,
            opened,
            ..
        } = &mut *self.actor;
        let events = &mut opened
            .as_mut()
            .expect("open while the turn runs")
            .agent
            .events;
        tokio::select! {
            biased;
            () = handle.nudge.notified() => Next::Nudge,
            () = drain_over(drain), if !draining => Next::Drain,
            () = tokio::time::sleep_until(timer) => Next::Timer,
            event = events.recv() => Next::Said(event),
        }
    }

    /// Takes what the agent said, and all that it has ready.
    async fn said(&mut self, first: Option<AgentEvent>) -> Result<Option<Ended>, Lost> {
        let mut effects = Vec::new();
        let mut next = first.or_else(|| {
            Some(AgentEvent::Exited {
                message: "the agent ended without a word".into(),
            })
        });
        let mut taken = 0;
        while let Some(event) = next {
            let stale = match &event {
                AgentEvent::SteerApplied { steer_id } | AgentEvent::SteerReturned { steer_id } => {
                    !self.given.remove(steer_id)
                }
                _ => false,
            };
            let verdict = if stale {
                Verdict::Running
            } else {
                let session = self.actor.tail.session();
                self.machine
                    .apply(told::of_agent(&session, event), &mut effects)
            };
            taken += 1;
            match verdict {
                Verdict::Running => {}
                Verdict::Ended(end) => return self.finish(effects, end).await.map(Some),
                Verdict::Exited(end) => {
                    if self.stopping.is_some() {
                        // It was ended on purpose: its exit is the proof, not news.
                        effects.pop();
                    }
                    let ended = self.finish(effects, end).await?;
                    self.actor.opened = None;
                    return Ok(Some(ended));
                }
                Verdict::Unproven(end) => {
                    let ended = self.finish(effects, end).await?;
                    self.actor.opened = None;
                    return Ok(Some(ended));
                }
            }
            let agent = &mut self
                .actor
                .opened
                .as_mut()
                .expect("open while the turn runs")
                .agent;
            next = if taken < BATCH_MAX {
                agent.events.try_recv()
            } else {
                None
            };
        }
        let left = self.carry_out(effects).await?;
        if !left.is_empty() {
            self.actor.append(left).await?;
        }
        if self.machine.checkpoint_due() {
            self.save().await?;
        } else if self.machine.unsaved_bytes() > 0 && self.checkpoint_at.is_none() {
            self.checkpoint_at = Some(Instant::now() + CHECKPOINT_INTERVAL);
        }
        Ok(None)
    }

    /// Carries effects out in order: a delta waits for the writes before it. Returns the writes after the last delta.
    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Vec<Write>, Lost> {
        let mut writes = Vec::new();
        for effect in effects {
            match effect {
                Effect::Write(write) => writes.push(write),
                Effect::Delta {
                    item_id,
                    tool_name,
                    delta,
                } => {
                    if !writes.is_empty() {
                        self.actor.append(std::mem::take(&mut writes)).await?;
                    }
                    self.actor.tail.push_delta(Pushed {
                        time: clock::now(),
                        turn_id: self.turn_id,
                        item_id,
                        generation: self.generation,
                        tool_name,
                        delta,
                    });
                }
            }
        }
        Ok(writes)
    }

    async fn finish(&mut self, effects: Vec<Effect>, end: TurnEnd) -> Result<Ended, Lost> {
        let writes = self.carry_out(effects).await?;
        let own_cause = self.stopping.as_ref().and_then(|s| s.own_cause);
        let end = match (end, own_cause) {
            (end @ TurnEnd::Failed(Cause::StopUnproven, _), _) => end,
            // It came to its end before the stop reached it.
            (end @ TurnEnd::Completed(_), _) => end,
            (TurnEnd::Stopped | TurnEnd::Failed(..), Some(cause)) => {
                TurnEnd::Failed(cause, cause.sentence().to_owned())
            }
            (TurnEnd::Stopped, None) if self.stopping.is_none() => {
                TurnEnd::Failed(Cause::AgentError, "the agent stopped by itself".into())
            }
            (end, None) => end,
        };
        let response_text = self.machine.response_text().to_owned();
        self.actor.end_turn(writes, end, response_text).await
    }

    /// Looks at what others may have asked for: a stop, or steers.
    async fn look(&mut self) -> Result<(), Lost> {
        if let Some(cancel) = self.actor.accepted_stop().await? {
            let micros = cancel.kill_time.0.saturating_sub(clock::now().0);
            let grace = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
            self.stop(None, cancel.mode, Instant::now() + grace);
            return Ok(());
        }
        let steer = self
            .actor
            .opened
            .as_ref()
            .is_some_and(|o| o.capabilities.steer);
        if !steer || self.stopping.is_some() {
            return Ok(());
        }
        let mut pause = STORE_BACKOFF;
        let steers = loop {
            let pending = self.actor.workshop.store.pending_steers(self.actor.fence);
            match pending.await {
                Ok(steers) => break steers,
                Err(Refusal::StoreUnavailable) => wait_for_store(&mut pause).await,
                Err(other) => return Err(super::actor::lost(other)),
            }
        };
        for steer in steers {
            let steer_id = steer.steer_id;
            self.actor
                .append(vec![Write::SteerGiven { steer_id }])
                .await?;
            self.given.insert(steer_id);
            self.command(AgentCommand::Steer {
                steer_id,
                text: steer.text,
                attachments: steer.attachments,
            });
        }
        Ok(())
    }

    /// Starts a stop, or raises the one under way.
    fn stop(&mut self, own_cause: Option<Cause>, mode: AbortMode, kill_at: Instant) {
        let soft = self
            .actor
            .opened
            .as_ref()
            .is_some_and(|o| o.capabilities.soft_cancel);
        let first = self.stopping.is_none();
        let stopping = self.stopping.get_or_insert(Stopping {
            own_cause,
            kill_at,
            proof_by: None,
        });
        stopping.kill_at = stopping.kill_at.min(kill_at);
        if own_cause == Some(Cause::Draining) {
            stopping.own_cause = own_cause;
        }
        if mode == AbortMode::Kill || !soft {
            self.kill();
        } else if first {
            self.command(AgentCommand::Cancel);
        }
    }

    fn kill(&mut self) {
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        if stopping.proof_by.is_none() {
            stopping.proof_by = Some(Instant::now() + KILL_PROOF_MAX);
            self.command(AgentCommand::Kill);
        }
    }

    fn next_timer(&self) -> Instant {
        let mut next = match &self.stopping {
            None => self.deadline,
            Some(Stopping {
                kill_at, proof_by, ..
            }) => proof_by.unwrap_or(*kill_at),
        };
        if let Some(at) = self.checkpoint_at {
            next = next.min(at);
        }
        if !self.commands.is_empty() {
            next = next.min(Instant::now() + COMMAND_RETRY);
        }
        next
    }

    /// Does what the clock asks for.
    async fn timer(&mut self) -> Result<Option<Ended>, Lost> {
        let now = Instant::now();
        if self.checkpoint_at.is_some_and(|at| at <= now) {
            self.save().await?;
        }
        match &self.stopping {
            None if self.deadline <= now => {
                self.stop(
                    Some(Cause::TurnTimeout),
                    AbortMode::Cancel,
                    now + GRACE_DEFAULT,
                );
            }
            Some(Stopping {
                proof_by: Some(by), ..
            }) if *by <= now => {
                let mut effects = Vec::new();
                self.machine.close(true, &mut effects);
                let end = TurnEnd::Failed(
                    Cause::StopUnproven,
                    format!("the agent gave no proof of its stop within {KILL_PROOF_MAX:?}"),
                );
                let ended = self.finish(effects, end).await?;
                self.actor.opened = None;
                return Ok(Some(ended));
            }
            Some(Stopping {
                proof_by: None,
                kill_at,
                ..
            }) if *kill_at <= now => self.kill(),
            None | Some(_) => {}
        }
        Ok(None)
    }

    /// Saves the open blocks.
    async fn save(&mut self) -> Result<(), Lost> {
        self.checkpoint_at = None;
        let writes = self.machine.checkpoints();
        if writes.is_empty() {
            return Ok(());
        }
        self.actor.append(writes).await
    }

    fn command(&mut self, command: AgentCommand) {
        self.commands.push_back(command);
        self.offer_commands();
    }

    /// Never waits: an agent that does not listen must not keep its turn from being stopped.
    fn offer_commands(&mut self) {
        let Some(opened) = &self.actor.opened else {
            return;
        };
        while let Some(command) = self.commands.pop_front() {
            match opened.agent.commands.try_send(command) {
                Ok(()) => {}
                Err(TrySendError::Full(command)) => {
                    self.commands.push_front(command);
                    return;
                }
                // Its `Exited` is on the way.
                Err(TrySendError::Closed(_)) => self.commands.clear(),
            }
        }
    }
}

/// Comes back when the drain's window is over.
async fn drain_over(drain: &mut watch::Receiver<Drain>) {
    if drain.wait_for(|d| *d == Drain::Over).await.is_err() {
        // Without a registry nobody drains.
        std::future::pending::<()>().await;
    }
}
