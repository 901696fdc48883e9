//! What happens between the start of a turn and its prompt: the agent is told what is chosen.

use super::{COMPACTION_REASON, Effect, Machine, Purpose};
use crate::{
    agent::{
        AgentEvent, Outcome,
        acp::{
            options::{Setting, Wanted, Way},
            rpc::RpcError,
            turn::Turn,
        },
    },
    domain::{command, turn::Attachment},
};
use serde_json::{Value, json};
use std::collections::VecDeque;
use uuid::Uuid;

/// A turn whose prompt waits for the choices before it.
#[derive(Debug)]
pub(super) struct Starting {
    /// The prompt's blocks.
    pub(super) prompt: Vec<Value>,
    /// The agent's command that it runs; empty where it is none.
    pub(super) command: String,
    /// Choices that are still to be made, in order.
    pub(super) wanted: VecDeque<Wanted>,
    /// The request that makes the present one.
    pub(super) awaits: Option<i64>,
    /// Steers that came meanwhile.
    pub(super) steers: Vec<(Uuid, String, Vec<Attachment>)>,
}

// === impl Machine ===

impl Machine {
    /// Makes the next choice; gives the agent its prompt once there is none.
    pub(super) fn make_choices(&mut self) {
        while let Some(starting) = &mut self.starting
            && let Some(wanted) = starting.wanted.pop_front()
        {
            match self.options.way(&wanted, &self.session_id) {
                Way::Nothing => self.choice_made(&wanted),
                Way::Call(method, params) => {
                    if self.choosing.begin(&wanted, &self.options) {
                        self.remember();
                    }
                    let id = self.request(method, &params, Purpose::Choose(wanted));
                    if let Some(starting) = &mut self.starting {
                        starting.awaits = Some(id);
                    }
                    return;
                }
                // The level that there was, with a model that has none: there is nothing to go back to.
                Way::Impossible(_) if wanted.back && wanted.setting == Setting::ThinkingLevel => {
                    self.choice_made(&wanted);
                }
                Way::Impossible(problem) => {
                    self.not_started(Outcome::Failed(problem));
                    return;
                }
            }
        }
        self.tell_offers();
        let Some(starting) = self.starting.take() else {
            return;
        };
        let Starting {
            prompt,
            command,
            steers,
            ..
        } = starting;
        if command == command::COMPACT {
            let reason = COMPACTION_REASON.to_owned();
            self.emit(AgentEvent::CompactionStarted { reason });
        }
        let params = json!({ "sessionId": self.session_id, "prompt": prompt });
        let id = self.request("session/prompt", &params, Purpose::Prompt);
        self.turn = Some(Turn::new(id, command));
        for (steer_id, text, attachments) in steers {
            self.steer(steer_id, &text, &attachments);
        }
    }

    pub(super) fn choice_answered(
        &mut self,
        id: i64,
        wanted: &Wanted,
        result: Result<Value, RpcError>,
    ) {
        let awaited = self.starting.as_ref().and_then(|it| it.awaits) == Some(id);
        match result {
            Ok(answer) => {
                self.options.hear(&answer);
                if !answer["configOptions"].is_array() {
                    self.options.made(wanted);
                }
                self.choice_made(wanted);
                // One of a turn that was stopped before it began changes nothing of the next one.
                if awaited {
                    self.make_choices();
                }
            }
            Err(error) if awaited => {
                let problem = self.options.refused(wanted, &error.message);
                self.not_started(Outcome::Failed(problem));
            }
            Err(_) => {}
        }
    }

    fn choice_made(&mut self, wanted: &Wanted) {
        if self.choosing.made(wanted) {
            self.remember();
        }
    }

    /// The turn ends before its prompt.
    pub(super) fn not_started(&mut self, outcome: Outcome) {
        if let Some(starting) = self.starting.take() {
            for (steer_id, _, _) in starting.steers {
                self.emit(AgentEvent::SteerReturned { steer_id });
            }
            self.tell_offers();
            let prove = false;
            self.effects.push_back(Effect::End { outcome, prove });
        }
    }

    pub(super) fn tell_offers(&mut self) {
        if let Some(offers) = self.choosing.news(&self.options) {
            let offers = Box::new(offers);
            self.emit(AgentEvent::Offered { offers });
        }
    }
}
