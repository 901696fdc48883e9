//! The conversation with one pi process as a pure state machine: what came in, what time it is → what to do.
//!
//! What makes it long is when a turn is over (reference: PI-RPC.md, "Run lifecycle"). `agent_settled` says so where pi
//! knows it. Else, and also where that line was lost, the machine asks `get_state` after `agent_end` until pi is idle:
//! not streaming, not compacting, no retry pending. An abort counts only once pi answered it, since a late one would
//! hit the next run. A steer that pi still holds then is taken back with `clear_queue`; a pi that does not know that
//! command must not get another prompt, so its process is ended ([`Effect::End`] with `fresh`).

use super::{
    dialogs::{self, Dialog, Dialogs},
    models::Offering,
    protocol::{self, Incoming, Response, State},
    turn::{Cancel, Phase, Turn},
};
use crate::agent::{
    AgentEvent, Outcome, TurnInput,
    input::{literal, text_with_files},
};
use crate::domain::{command, question::Answer, turn::Attachment};
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;
use uuid::Uuid;

/// Pause between two questions whether pi is idle yet.
pub(super) const POLL: Duration = Duration::from_millis(100);
/// Pause where a line was lost while the run seemed live: its end may be what was lost.
pub(super) const LOST_POLL: Duration = Duration::from_secs(1);
/// Time in which pi begins its run again after a compaction or with queued messages; it takes about 100 ms.
pub(super) const RESTART_GRACE: Duration = Duration::from_millis(500);
/// Longest wait for an answer to `get_state` and `clear_queue`. pi answers in milliseconds unless it hangs.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the machine wants done, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// Tell the session's actor.
    Emit(AgentEvent),
    /// Write a line to pi.
    Write(Vec<u8>),
    /// The turn is over. Nothing of it comes after this.
    End {
        /// How.
        outcome: Outcome,
        /// A stop was asked for: prove first that nothing is left.
        prove: bool,
        /// pi holds a message that would slip into its next run: end the process.
        fresh: bool,
    },
    /// pi does not answer any more: end the process.
    Hung,
}

/// What is known of one pi process.
#[derive(Debug)]
pub(super) struct Machine {
    turn: Option<Turn>,
    /// `None` until pi refused or obeyed it.
    knows_clear_queue: Option<bool>,
    /// Messages in pi's queues by the last `queue_update`.
    queued: usize,
    /// The state by the newest answer to [`Machine::ask_state`] outside a turn.
    state: Option<State>,
    question: Option<Question>,
    dialogs: Dialogs,
    offering: Offering,
    next_id: u64,
    effects: VecDeque<Effect>,
}

/// One wait for pi to say something.
#[derive(Debug)]
enum Question {
    /// Ask for the state then.
    AskAt(Instant),
    /// Asked for the state, `first` being the number of the oldest question that an answer may be to: what is asked again
    /// because of a lost line is the same question.
    Asked { first: u64, until: Instant },
    /// A line was lost that may have been the answer: ask again then.
    AskAgainAt {
        first: u64,
        at: Instant,
        until: Instant,
    },
    /// Told pi to empty its queue.
    Clearing { id: String, until: Instant },
}

// === impl Machine ===

impl Machine {
    /// A pi that was just started.
    pub(super) fn new() -> Self {
        Self {
            turn: None,
            knows_clear_queue: None,
            queued: 0,
            state: None,
            question: None,
            dialogs: Dialogs::default(),
            offering: Offering::default(),
            next_id: 0,
            effects: VecDeque::new(),
        }
    }

    /// Takes the next thing to do.
    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// True while a turn runs.
    pub(super) fn is_busy(&self) -> bool {
        self.turn.is_some()
    }

    /// The state that pi told outside a turn: it is up.
    pub(super) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// When [`Machine::tick`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let question = self.question.as_ref().map(|question| match question {
            Question::AskAt(at) | Question::AskAgainAt { at, .. } => *at,
            Question::Asked { until, .. } | Question::Clearing { until, .. } => *until,
        });
        question.into_iter().chain(self.dialogs.deadline()).min()
    }

    /// Asks whether pi is up; the answer is [`Machine::state`]. How long to wait is the caller's to say.
    pub(super) fn ask_state(&mut self, now: Instant, timeout: Duration) {
        self.write_command("get_state");
        let (first, until) = (self.next_id, now + timeout);
        self.question = Some(Question::Asked { first, until });
    }

    /// Asks what pi offers, which it tells whenever it likes; a turn of it tells the session. Where nobody chose a model,
    /// `default_model` is used (empty: nobody knows); `None`: the present one is, as it stands in [`Machine::state`].
    pub(super) fn ask_offers(&mut self, default_model: Option<&str>) {
        let state = self.state.as_ref();
        let model = state.and_then(|state| Some(state.model.as_ref()?.full()));
        let model = model.unwrap_or_default();
        self.offering = Offering {
            models: None,
            default_model: default_model.map_or_else(|| model.clone(), Into::into),
            thinking_level: state.map_or_else(String::new, |state| state.thinking_level.clone()),
            model,
        };
        self.write_command("get_available_models");
    }

    fn tell_offers(&mut self) {
        if self.turn.is_some()
            && let Some(offers) = self.offering.news()
        {
            let offers = Box::new(offers);
            self.effects
                .push_back(Effect::Emit(AgentEvent::Offered { offers }));
        }
    }

    /// Asks which commands there are; the answer is told to the session's actor.
    pub(super) fn ask_commands(&mut self) {
        self.write_command("get_commands");
    }

    /// Starts a turn.
    pub(super) fn start(&mut self, input: &TurnInput) {
        let id = self.id();
        let compacts = input.command == command::COMPACT;
        let line = if compacts {
            let instructions = command::arguments(&input.text, command::COMPACT);
            protocol::compact(&id, instructions)
        } else {
            let text = text_with_files(input.text.clone(), &input.attachments);
            let text = input.transcript.clone() + &text;
            let text = match input.command.as_str() {
                "" => literal(text),
                _ => text,
            };
            protocol::message("prompt", &id, &text, &input.attachments)
        };
        self.effects.push_back(Effect::Write(line));
        self.question = None;
        self.turn = Some(Turn::new(id, compacts));
        self.tell_offers();
    }

    /// Gives a steer to the running turn, as soon as a run is live.
    pub(super) fn steer(&mut self, steer_id: Uuid, text: String, attachments: Vec<Attachment>) {
        let Some(turn) = &mut self.turn else {
            let event = AgentEvent::SteerReturned { steer_id };
            self.effects.push_back(Effect::Emit(event));
            return;
        };
        turn.steers.hold(steer_id, text, attachments);
        self.send_steers();
    }

    /// Stops the turn the soft way.
    pub(super) fn cancel(&mut self) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        if turn.cancel.is_some() {
            return;
        }
        if turn.phase == Phase::Clearing {
            // The run is over; what it left behind is not.
            turn.cancel = Some(Cancel {
                abort_id: String::new(),
                answered: true,
            });
            return;
        }
        if (turn.steers.leftover() || self.queued > 0) && self.knows_clear_queue != Some(false) {
            // Before the abort: newer versions go on with what is queued.
            turn.steers.clearing();
            self.write_command("clear_queue");
        }
        self.write_abort();
        // After the abort, so that an extension that goes on finds its run stopped.
        self.cancel_dialogs();
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Instant) {
        for ask_id in self.dialogs.overdue(now) {
            let event = AgentEvent::AskWithdrawn { ask_id };
            self.effects.push_back(Effect::Emit(event));
        }
        match &self.question {
            Some(Question::AskAt(at)) if *at <= now => self.ask_state(now, ANSWER_TIMEOUT),
            Some(Question::AskAgainAt { first, at, until }) if *at <= now => {
                let (first, until) = (*first, *until);
                self.write_command("get_state");
                self.question = Some(Question::Asked { first, until });
            }
            Some(Question::Asked { until, .. } | Question::Clearing { until, .. })
                if *until <= now =>
            {
                self.question = None;
                self.effects.push_back(Effect::Hung);
            }
            Some(_) | None => {}
        }
    }

    /// pi wrote a line, from whose strings so many bytes were `cut`.
    pub(super) fn line(&mut self, line: &[u8], cut: usize, now: Instant) {
        match Incoming::parse(line, cut) {
            Ok(records) => {
                for record in records {
                    self.incoming(record, now);
                }
            }
            Err(error) => {
                tracing::warn!(%error, bytes = line.len(), "pi wrote a line that is no record");
                self.line_lost(now);
            }
        }
    }

    /// pi wrote a line that could not be read. It may have been the end of the run, or the answer that is waited for.
    pub(super) fn line_lost(&mut self, now: Instant) {
        if let Some(turn) = &mut self.turn {
            turn.line_lost = true;
            if self.question.is_none() {
                self.question = Some(Question::AskAt(now + LOST_POLL));
            }
        }
        if let Some(&Question::Asked { first, until }) = self.question.as_ref() {
            let at = now + LOST_POLL;
            self.question = Some(Question::AskAgainAt { first, at, until });
        }
    }

    fn incoming(&mut self, incoming: Incoming, now: Instant) {
        match incoming {
            Incoming::Response(response) => self.response(response, now),
            Incoming::QueueUpdate {
                steering,
                follow_up,
            } => {
                self.queued = steering.len() + follow_up.len();
                if let Some(turn) = &mut self.turn {
                    turn.steers.queue(&steering);
                }
            }
            Incoming::Dialog(dialog) => self.dialog(dialog, now),
            Incoming::ExtensionError { message } => {
                tracing::warn!(%message, "an extension of pi failed");
            }
            Incoming::AgentStart => self.run_started(),
            Incoming::AgentEnd { will_retry } => {
                if let Some(turn) = self.turn.as_mut().filter(|turn| turn.is_open()) {
                    turn.phase = Phase::Ended;
                    turn.idle_rechecked = false;
                    let pause = if will_retry {
                        RESTART_GRACE
                    } else {
                        Duration::ZERO
                    };
                    self.question = Some(Question::AskAt(now + pause));
                }
            }
            Incoming::AgentSettled => {
                let over = self.turn.as_ref().is_some_and(|turn| {
                    turn.phase == Phase::Ended || turn.phase == Phase::Live && turn.line_lost
                });
                if over {
                    self.idle(now, self.queued > 0);
                }
            }
            other => self.story(other, now),
        }
    }

    /// What only matters while a turn runs.
    fn story(&mut self, incoming: Incoming, now: Instant) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.is_open()) else {
            return;
        };
        let effects = &mut self.effects;
        let paused = turn.compacting || turn.retrying;
        turn.hear(incoming, &mut |event| {
            effects.push_back(Effect::Emit(event));
        });
        let goes_on = paused && !turn.compacting && !turn.retrying;
        if goes_on && turn.phase == Phase::Ended {
            self.question = Some(Question::AskAt(now + RESTART_GRACE));
        }
    }

    fn run_started(&mut self) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.is_open()) else {
            return;
        };
        turn.phase = Phase::Live;
        turn.retrying = false;
        // Its answer came before, read or not.
        turn.prompt_answered = true;
        // Nothing is to be asked of a live run, unless its end may be lost.
        if !turn.line_lost {
            self.question = None;
        }
        if turn.cancel.is_some() {
            // The abort came before there was anything to abort.
            self.write_abort();
        } else {
            self.send_steers();
        }
    }

    fn response(&mut self, response: Response, now: Instant) {
        let Response {
            id,
            command,
            error,
            handled,
            state,
            cleared,
            models,
            commands,
        } = response;
        let id = id.unwrap_or_default();
        if let Some(models) = models {
            self.offering.models = Some(models);
            self.tell_offers();
            return;
        }
        if let Some(commands) = commands {
            let event = AgentEvent::CommandsChanged { commands };
            self.effects.push_back(Effect::Emit(event));
            return;
        }
        if command == "clear_queue" {
            self.queue_cleared(&id, error.is_none(), cleared.as_deref(), now);
            return;
        }
        let asked = match &self.question {
            Some(Question::Asked { first, .. } | Question::AskAgainAt { first, .. }) => {
                command == "get_state" && number_of(&id).is_some_and(|it| it >= *first)
            }
            Some(Question::AskAt(_) | Question::Clearing { .. }) | None => false,
        };
        if asked {
            self.question = None;
            match (&self.turn, state) {
                (Some(_), Some(state)) => self.told_state(&state, now),
                (None, Some(state)) => self.state = Some(state),
                (Some(_) | None, None) => self.question = Some(Question::AskAt(now + POLL)),
            }
            return;
        }
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.is_open()) else {
            return;
        };
        if turn.prompt_id == id {
            turn.prompt_answered = true;
            match (turn.phase, error) {
                (Phase::Asked, Some(message)) => {
                    // pi refused it: nothing runs.
                    let outcome = if turn.cancel.is_some() {
                        Outcome::Stopped
                    } else {
                        Outcome::Failed(message)
                    };
                    self.finish(Some(outcome), false);
                }
                (Phase::Asked, None) => {
                    turn.phase = Phase::Accepted;
                    // A compaction is over with its answer.
                    if (handled || turn.compacts) && turn.cancel.is_none() {
                        self.idle(now, false);
                    } else {
                        self.question = Some(Question::AskAt(now));
                    }
                }
                (Phase::Accepted | Phase::Live | Phase::Ended | Phase::Clearing, _) => {}
            }
        } else if let Some(cancel) = turn.cancel.as_mut().filter(|it| it.abort_id == id) {
            cancel.answered = true;
            self.question = Some(Question::AskAt(now));
        } else if let Some(steer_id) = turn.steers.answered(&id, error.is_some() || handled) {
            let event = match error {
                Some(_) => AgentEvent::SteerReturned { steer_id },
                None => AgentEvent::SteerApplied { steer_id },
            };
            self.effects.push_back(Effect::Emit(event));
        }
    }

    /// pi told its state while a turn runs.
    fn told_state(&mut self, state: &State, now: Instant) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        let aborted = turn.cancel.as_ref().is_some_and(|cancel| cancel.answered);
        match turn.phase {
            // The end is known by its own line.
            Phase::Live if !turn.line_lost && !aborted => return,
            // What pi does before it takes a prompt doesn't show in its state.
            Phase::Asked if !aborted => return,
            Phase::Asked | Phase::Accepted | Phase::Live | Phase::Ended | Phase::Clearing => {}
        }
        if turn.retrying && !aborted {
            // It says itself when it goes on, or that it won't.
            return;
        }
        if state.is_streaming || state.is_compacting || turn.compacting {
            let pause = if turn.phase == Phase::Live && !aborted {
                LOST_POLL
            } else {
                POLL
            };
            self.question = Some(Question::AskAt(now + pause));
            return;
        }
        let pending = state.pending_messages > 0;
        if !pending {
            turn.steers.none_waits();
        }
        // The versions known begin a run before they read the question, and say in the same millisecond that they will
        // retry; that is nothing to rely on. What is queued they go on with about 100 ms later.
        let may_go_on = turn.cancel.is_none() && (pending || turn.has_failed());
        if (may_go_on || turn.phase == Phase::Accepted) && !turn.idle_rechecked {
            turn.idle_rechecked = true;
            self.question = Some(Question::AskAt(now + RESTART_GRACE));
            return;
        }
        self.idle(now, pending);
    }

    /// pi is idle: the turn is over, unless an answer is still missing.
    fn idle(&mut self, now: Instant, pending: bool) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        if let Some(cancel) = &turn.cancel
            && !(cancel.answered && turn.prompt_answered)
        {
            // Once the abort is answered the question is asked again; the prompt's answer asks too.
            if cancel.answered {
                self.question = Some(Question::AskAt(now + POLL));
            }
            return;
        }
        if !(pending || turn.steers.leftover()) {
            self.finish(None, false);
        } else if self.knows_clear_queue == Some(false) {
            self.finish(None, true);
        } else {
            turn.phase = Phase::Clearing;
            turn.steers.clearing();
            let id = self.write_command("clear_queue");
            let until = now + ANSWER_TIMEOUT;
            self.question = Some(Question::Clearing { id, until });
        }
    }

    fn queue_cleared(&mut self, id: &str, obeyed: bool, cleared: Option<&[String]>, now: Instant) {
        self.knows_clear_queue = Some(obeyed);
        if let Some(turn) = &mut self.turn {
            turn.steers.cleared(obeyed, cleared);
        }
        // 0.73.1 refuses the command without its id.
        let mine = matches!(&self.question, Some(Question::Clearing { id: asked, .. }) if id.is_empty() || asked == id);
        if mine {
            self.question = None;
            self.finish(None, !obeyed);
        } else if obeyed && let Some(turn) = &mut self.turn {
            // Sent ahead of an abort: what was queued never ran and never will.
            self.queued = 0;
            if turn.cancel.as_ref().is_some_and(|cancel| cancel.answered) && self.question.is_none()
            {
                self.question = Some(Question::AskAt(now));
            }
        }
    }

    fn finish(&mut self, outcome: Option<Outcome>, fresh: bool) {
        self.cancel_dialogs();
        self.question = None;
        self.queued = 0;
        let Some(mut turn) = self.turn.take() else {
            return;
        };
        let prove = turn.cancel.is_some();
        let effects = &mut self.effects;
        let said = turn.end(&mut |event| effects.push_back(Effect::Emit(event)));
        self.effects.push_back(Effect::End {
            outcome: outcome.unwrap_or(said),
            prove,
            fresh,
        });
    }

    fn send_steers(&mut self) {
        loop {
            let id = self.id();
            let Some(turn) = self
                .turn
                .as_mut()
                .filter(|turn| turn.phase == Phase::Live && turn.cancel.is_none())
            else {
                return;
            };
            let Some(line) = turn.steers.send_next(&id) else {
                return;
            };
            self.effects.push_back(Effect::Write(line));
        }
    }

    fn write_abort(&mut self) {
        let abort_id = self.write_command("abort");
        if let Some(turn) = &mut self.turn {
            turn.cancel = Some(Cancel {
                abort_id,
                answered: false,
            });
        }
    }

    /// An extension waits for a person. Outside of a turn, or of one that is being stopped, nobody is asked.
    fn dialog(&mut self, dialog: Dialog, now: Instant) {
        let asks = |turn: &&Turn| turn.is_open() && turn.cancel.is_none();
        let told = if self.turn.as_ref().filter(asks).is_some() {
            self.dialogs.open(dialog, now)
        } else {
            tracing::info!(
                dialog = dialog.id,
                "cancelled a dialog of pi that nobody answers"
            );
            Err(dialogs::cancelled(&dialog))
        };
        self.effects.push_back(match told {
            Ok(asked) => Effect::Emit(asked),
            Err(line) => Effect::Write(line),
        });
    }

    /// Gives pi the answer to a dialog.
    pub(super) fn answer(&mut self, ask_id: String, answer: &Answer) {
        if let Some(line) = self.dialogs.answer(&ask_id, answer) {
            self.effects.push_back(Effect::Write(line));
            let event = AgentEvent::AnswerDelivered { ask_id };
            self.effects.push_back(Effect::Emit(event));
        }
    }

    fn cancel_dialogs(&mut self) {
        let lines = self.dialogs.cancel_all().into_iter();
        self.effects.extend(lines.map(Effect::Write));
    }

    fn write_command(&mut self, kind: &str) -> String {
        let id = self.id();
        let line = protocol::command(kind, &id);
        self.effects.push_back(Effect::Write(line));
        id
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        format!("q{}", self.next_id)
    }
}

/// Which command an id of ours belongs to.
fn number_of(id: &str) -> Option<u64> {
    id.strip_prefix('q')?.parse().ok()
}

#[cfg(test)]
mod tests;
