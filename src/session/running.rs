//! One start of a turn, from the moment its agent is open to its terminal commit.

use super::{
    actor::{Actor, Lost, insist, of_session},
    handle::Drain,
    machine::{Effect, TurnMachine, Verdict},
    told, transcript,
};
use crate::{
    agent::{
        AgentCommand, AgentEvent, Outcome, TurnInput,
        submit::{Given, Submission},
        transcript::Transcript,
    },
    clock,
    domain::{
        Event,
        budget::{Exceeded, OnExceeded},
        event::Json,
        limits::{CHECKPOINT_INTERVAL, GRACE_DEFAULT, KILL_PROOF_MAX},
        question::{Answer, Ask, QuestionKind},
        turn::{AbortMode, Cause},
    },
    feed::Pushed,
    store::{Ended, OpenQuestion, Started, TurnEnd, Write},
    telemetry::gen_ai,
};
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Duration,
};
use tokio::{
    sync::{mpsc::error::TrySendError, watch},
    time::Instant,
};
use tracing::error;
use uuid::Uuid;

/// Agent's events taken at one wake-up.
const BATCH_MAX: usize = 256;
/// Pause before a command is offered again to an agent whose channel is full.
const COMMAND_RETRY: Duration = Duration::from_millis(20);

/// How long the clock of a turn may stand still in all while it waits for answers.
const STAND_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What the gateway's own question of a turn is called; no agent names one so.
const BUDGET_ASK: &str = "quarterdeck\0budget";

/// A stop under way.
#[derive(Debug)]
struct Stopping {
    /// Why, where the gateway itself stops the turn; an accepted stop stands in the turn's row.
    own_cause: Option<Cause>,
    /// More of that, for people; empty where the cause says all.
    why: String,
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
    /// Commands that the agent's channel had no room for yet; at most a Cancel, a Kill, the pending steers, and
    /// an answer to each question that it asked.
    commands: VecDeque<AgentCommand>,
    /// Where the agent is to give what the turn answers with.
    submission: Option<Submission>,
    /// What it is told where it ends without; once.
    reminder: Option<Box<TurnInput>>,
    /// Steers that the agent has and did not answer; an answer for another one crossed an earlier turn's end.
    given: HashSet<Uuid>,
    /// When open blocks are saved next; set while something is unsaved.
    checkpoint_at: Option<Instant>,
    /// When each pending question expires.
    expiries: BTreeMap<Uuid, Instant>,
    /// Since when nothing happens until somebody answers.
    standing_since: Option<Instant>,
    /// The model call that waits for more than a budget has.
    paused: Option<String>,
    /// What was answered to that.
    granted: Option<Answer>,
    /// For how long the turn's clock has stood still before that.
    stood: Duration,
    /// Spans of its tools.
    tools: gen_ai::Tools,
}

// === impl Running ===

impl<'a> Running<'a> {
    pub(super) fn new(actor: &'a mut Actor, started: Started, deadline: Instant) -> Self {
        let choices = started.choices();
        let Started {
            turn,
            session: _,
            attachments,
            user_messages_before,
            output_schema,
            client_tools,
        } = started;
        let machine = TurnMachine::of_turn(!output_schema.is_empty());
        let input = Box::new(TurnInput {
            turn_id: turn.turn_id,
            attempt: turn.attempt,
            epoch: actor.fence.epoch,
            text: turn.text,
            command: turn.command,
            attachments,
            memory_context: String::new(),
            choices,
            transcript: String::new(),
            user_messages_before,
            trace_context: turn.trace_context,
            calls_are_granted: true,
            output_schema,
            client_tools,
        });
        Self {
            actor,
            machine,
            turn_id: turn.turn_id,
            generation: turn.generation,
            input: Some(input),
            deadline,
            stopping: None,
            commands: VecDeque::new(),
            submission: None,
            reminder: None,
            given: HashSet::new(),
            checkpoint_at: None,
            expiries: BTreeMap::new(),
            standing_since: None,
            paused: None,
            granted: None,
            stood: Duration::ZERO,
            tools: gen_ai::Tools::default(),
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
        self.remind(&mut input).await?;
        self.want_output(&mut input);
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
            self.settle_budget().await?;
        }
    }

    /// Puts the stored conversation in front of the first prompt of an agent that has none of its own. Says so first, so
    /// that nobody takes what it tells then for its memory.
    async fn remind(&mut self, input: &mut TurnInput) -> Result<(), Lost> {
        let opened = self.actor.opened.as_mut();
        // A command stands alone.
        let Some(opened) = opened.filter(|it| it.forgot && input.command.is_empty()) else {
            return Ok(());
        };
        opened.forgot = false;
        let (store, row) = (&self.actor.workshop.store, self.actor.row);
        let told =
            insist(|| transcript::stored(store.as_ref(), row, self.generation, input.turn_id));
        let Transcript {
            text,
            messages: message_count,
            truncated,
        } = told.await?;
        if text.is_empty() {
            return Ok(());
        }
        input.transcript = text;
        let event = Event::ContextRebuilt {
            message_count,
            truncated,
        };
        let item_id = None;
        self.actor
            .append(vec![Write::Event { item_id, event }])
            .await
    }

    /// Has an agent that can't be held to a schema in another way give its output by a tool of ours.
    fn want_output(&mut self, input: &mut TurnInput) {
        let opened = self.actor.opened.as_ref();
        if !opened.is_some_and(|it| it.agent.submits) || !input.command.is_empty() {
            return;
        }
        let submissions = &self.actor.workshop.submissions;
        let Some(submission) = submissions.open(input.turn_id, &input.output_schema) else {
            return;
        };
        self.reminder = Some(Box::new(TurnInput {
            text: submission.reminder(),
            attachments: Vec::new(),
            memory_context: String::new(),
            transcript: String::new(),
            ..input.clone()
        }));
        input.text.push_str(&submission.instructions());
        self.submission = Some(submission);
    }

    /// What becomes of the agent's word that it is done: `None` where it is told once that it gave no output.
    fn settle_output(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) -> Option<Outcome> {
        let (Some(submission), Outcome::Completed(_)) = (&self.submission, &outcome) else {
            return Some(outcome);
        };
        match submission.given() {
            Given::Output(output_json) => {
                let accepted = AgentEvent::OutputAccepted { output_json };
                self.machine.apply(accepted, effects);
                Some(outcome)
            }
            Given::Nothing { spent, failure } => {
                let listens = self.actor.opened.as_ref();
                let listens = listens.is_some_and(|it| !it.agent.commands.is_closed());
                if spent || !listens || self.stopping.is_some() {
                    return Some(failure);
                }
                match self.reminder.take() {
                    Some(reminder) => {
                        self.command(AgentCommand::StartTurn(reminder));
                        None
                    }
                    None => Some(failure),
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
            let Actor {
                workshop,
                tail,
                opened,
                ..
            } = &*self.actor;
            let agent = opened.as_ref().expect("open while the turn runs");
            let Some(event) = of_session(workshop, tail, agent.name(), event) else {
                next = self.more(&mut taken);
                continue;
            };
            if let AgentEvent::CallWanted { model } = &event {
                let model = model.clone();
                // Behind what was used before.
                let left = self.carry_out(std::mem::take(&mut effects)).await?;
                if !left.is_empty() {
                    self.actor.append(left).await?;
                }
                self.grant_call(&model).await?;
                next = self.more(&mut taken);
                continue;
            }
            match &event {
                AgentEvent::ToolStarted {
                    tool_call_id,
                    tool_name,
                    ..
                } => self.tools.started(tool_call_id, tool_name),
                AgentEvent::ToolCompleted {
                    tool_call_id,
                    is_error,
                    ..
                } => self.tools.completed(tool_call_id, *is_error),
                _ => {}
            }
            let stale = match &event {
                AgentEvent::SteerApplied { steer_id } | AgentEvent::SteerReturned { steer_id } => {
                    !self.given.remove(steer_id)
                }
                _ => false,
            };
            let event = match event {
                AgentEvent::TurnEnded(outcome) => match self.settle_output(outcome, &mut effects) {
                    Some(outcome) => AgentEvent::TurnEnded(outcome),
                    None => {
                        next = self.more(&mut taken);
                        continue;
                    }
                },
                other => other,
            };
            let verdict = if stale {
                Verdict::Running
            } else {
                let session = self.actor.tail.session();
                self.machine
                    .apply(told::of_agent(&session, event), &mut effects)
            };
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
            next = self.more(&mut taken);
        }
        let asks = |effect: &Effect| matches!(effect, Effect::Write(Write::Asked { .. }));
        let asked = effects.iter().any(asks);
        let left = self.carry_out(effects).await?;
        if !left.is_empty() {
            self.actor.append(left).await?;
        }
        if asked {
            // It may be answered already, where nobody is to be asked.
            self.hand_answers_over().await?;
        }
        self.settle_clock();
        if self.machine.checkpoint_due() {
            self.save().await?;
        } else if self.machine.unsaved_bytes() > 0 && self.checkpoint_at.is_none() {
            self.checkpoint_at = Some(Instant::now() + CHECKPOINT_INTERVAL);
        }
        Ok(None)
    }

    /// What the agent has ready, while that is not too much for one wake-up.
    fn more(&mut self, taken: &mut usize) -> Option<AgentEvent> {
        *taken += 1;
        let opened = self.actor.opened.as_mut();
        let opened = opened.expect("open while the turn runs");
        let may = *taken < BATCH_MAX;
        may.then(|| opened.agent.events.try_recv()).flatten()
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
            // Its machine was out of reach for so long that it has ended it: that is the proof.
            (TurnEnd::Lost { .. }, None) if self.stopping.is_some() => TurnEnd::Stopped,
            (TurnEnd::Stopped | TurnEnd::Failed(..) | TurnEnd::Lost { .. }, Some(cause)) => {
                let why = self.stopping.as_mut().map(|it| std::mem::take(&mut it.why));
                let why = why.filter(|it| !it.is_empty());
                TurnEnd::Failed(cause, why.unwrap_or_else(|| cause.sentence().to_owned()))
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
            .is_some_and(|o| o.agent.capabilities.steer);
        if self.stopping.is_some() {
            return Ok(());
        }
        self.hand_answers_over().await?;
        self.settle_clock();
        if !steer {
            return Ok(());
        }
        let store = &self.actor.workshop.store;
        let steers = insist(|| store.pending_steers(self.actor.fence)).await?;
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

    /// Gives the agent the answers that it waits for, and learns when the others expire.
    async fn hand_answers_over(&mut self) -> Result<(), Lost> {
        if !self.machine.asks() {
            return Ok(());
        }
        let store = &self.actor.workshop.store;
        let open = insist(|| store.open_questions(self.actor.fence)).await?;
        for question in open {
            let OpenQuestion {
                question_id,
                action_digest,
                expire_time,
                answer,
            } = question;
            let Some(answer) = answer else {
                // Counted from when it is seen first, so that a step of the clock changes nothing.
                let left = expire_time.0.saturating_sub(clock::now().0);
                let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
                let expires = self.expiries.entry(question_id);
                expires.or_insert_with(|| Instant::now() + left);
                continue;
            };
            self.expiries.remove(&question_id);
            let (ask_id, answer) = match self.machine.answered(question_id, &action_digest) {
                Ok(None) => continue,
                Ok(Some(ask_id)) => (ask_id, answer),
                Err(ask_id) => {
                    error!(%question_id, "an answer is to something else than the agent asks");
                    let declined = Answer {
                        declined: true,
                        ..Answer::default()
                    };
                    (ask_id, declined)
                }
            };
            if ask_id == BUDGET_ASK {
                self.granted = Some(answer);
                continue;
            }
            self.command(AgentCommand::Answer {
                ask_id,
                answer: Box::new(answer),
            });
        }
        Ok(())
    }

    /// Stops the turn's clock while nothing happens until somebody answers, and lets it go on after.
    fn settle_clock(&mut self) {
        match (self.machine.stands_still(), self.standing_since) {
            (true, None) => self.standing_since = Some(Instant::now()),
            (false, Some(since)) => {
                let stood = since.elapsed().min(STAND_MAX - self.stood);
                self.stood += stood;
                self.deadline += stood;
                self.standing_since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// When the turn has run for as long as it may.
    fn times_out_at(&self) -> Instant {
        match self.standing_since {
            Some(_) => self.deadline + (STAND_MAX - self.stood),
            None => self.deadline,
        }
    }

    /// Closes the questions that nobody answered in time; the agent is told.
    async fn expire_questions(&mut self, now: Instant) -> Result<(), Lost> {
        let due = self.expiries.iter().filter(|(_, at)| **at <= now);
        let due: Vec<Uuid> = due.map(|(question_id, _)| *question_id).collect();
        if due.is_empty() {
            return Ok(());
        }
        let expired = |question_id: &Uuid| Write::AskExpired {
            question_id: *question_id,
        };
        self.actor.append(due.iter().map(expired).collect()).await?;
        for question_id in due {
            self.expiries.remove(&question_id);
        }
        self.hand_answers_over().await?;
        self.settle_clock();
        Ok(())
    }

    /// Lets the agent call a model, or stops the turn where a budget is used up.
    async fn grant_call(&mut self, model: &str) -> Result<(), Lost> {
        if self.stopping.is_some() {
            return Ok(());
        }
        let (store, fence) = (&self.actor.workshop.store, self.actor.fence);
        let exceeded = insist(|| store.may_call(fence, model, clock::now())).await?;
        let Some(Exceeded {
            message, action, ..
        }) = exceeded
        else {
            self.command(AgentCommand::Call);
            return Ok(());
        };
        match action {
            OnExceeded::Pause => {
                self.paused = Some(model.to_owned());
                let mut effects = Vec::new();
                self.machine
                    .ask(BUDGET_ASK.to_owned(), more(message), &mut effects);
                let left = self.carry_out(effects).await?;
                self.actor.append(left).await?;
                self.hand_answers_over().await?;
                self.settle_clock();
            }
            OnExceeded::Reject => self.stop_over_budget(message),
        }
        Ok(())
    }

    /// Goes on with a call that waited for more than a budget had, once somebody has answered.
    async fn settle_budget(&mut self) -> Result<(), Lost> {
        while let Some(answer) = self.granted.take() {
            let mut effects = Vec::new();
            let ask_id = BUDGET_ASK.to_owned();
            self.machine
                .apply(AgentEvent::AnswerDelivered { ask_id }, &mut effects);
            let left = self.carry_out(effects).await?;
            self.actor.append(left).await?;
            self.settle_clock();
            let Some(model) = self.paused.take() else {
                continue;
            };
            if answer.declined {
                self.stop_over_budget("a budget is used up, and nobody granted more".to_owned());
            } else {
                self.grant_call(&model).await?;
            }
        }
        Ok(())
    }

    fn stop_over_budget(&mut self, message: String) {
        if self.stopping.is_some() {
            return;
        }
        let kill_at = Instant::now() + GRACE_DEFAULT;
        self.stop(Some(Cause::BudgetExceeded), AbortMode::Cancel, kill_at);
        if let Some(stopping) = &mut self.stopping {
            stopping.why = message;
        }
    }

    /// Starts a stop, or raises the one under way.
    fn stop(&mut self, own_cause: Option<Cause>, mode: AbortMode, kill_at: Instant) {
        let soft = self
            .actor
            .opened
            .as_ref()
            .is_some_and(|o| o.agent.capabilities.soft_cancel);
        let first = self.stopping.is_none();
        let stopping = self.stopping.get_or_insert(Stopping {
            own_cause,
            why: String::new(),
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
            let proof_max = self.actor.opened.as_ref().map(|it| it.proof_max);
            stopping.proof_by = Some(Instant::now() + proof_max.unwrap_or(KILL_PROOF_MAX));
            self.command(AgentCommand::Kill);
        }
    }

    fn next_timer(&self) -> Instant {
        let mut next = match &self.stopping {
            None => {
                let times_out = self.times_out_at();
                let expiries = self.expiries.values().copied();
                expiries.fold(times_out, Instant::min)
            }
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
        if self.stopping.is_none() {
            self.expire_questions(now).await?;
        }
        match &self.stopping {
            None if self.times_out_at() <= now => {
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
                    "the agent gave no proof of its stop in time".to_owned(),
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

/// Asks for more than a budget has.
fn more(message: String) -> Box<Ask> {
    let amount = serde_json::json!({ "type": "integer", "minimum": 1 });
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "micros": amount, "tokens": amount },
    });
    Box::new(Ask {
        kind: QuestionKind::Budget,
        title: message,
        tool_call_id: String::new(),
        tool_name: String::new(),
        args: Json::default(),
        options: Vec::new(),
        schema_json: schema.to_string(),
        url: String::new(),
        agent_path: Vec::new(),
    })
}

/// Comes back when the drain's window is over.
async fn drain_over(drain: &mut watch::Receiver<Drain>) {
    if drain.wait_for(|d| *d == Drain::Over).await.is_err() {
        // Without a registry nobody drains.
        std::future::pending::<()>().await;
    }
}
