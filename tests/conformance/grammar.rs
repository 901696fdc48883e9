//! The order in which an agent may say things, checked on every event. It knows what it was told, too.

use quarterdeck::{agent::AgentEvent, domain::subagent::SubagentEvent};
use std::collections::HashSet;
use uuid::Uuid;

/// Where a conversation with an agent stands.
#[derive(Debug, Default)]
pub struct Grammar {
    ready: bool,
    exited: bool,
    turn: bool,
    message: bool,
    thinking: bool,
    tools: HashSet<String>,
    open_tools: HashSet<String>,
    steers: HashSet<Uuid>,
    /// Asked of in this turn, and not withdrawn or answered.
    open_asks: HashSet<String>,
    asks: HashSet<String>,
    /// Sub-agents that are at work.
    subagents: HashSet<String>,
    /// Answered by a turn's end that they crossed: the agent may still return them, but never apply them.
    crossed: HashSet<Uuid>,
}

// === impl Grammar ===

impl Grammar {
    /// A turn was started.
    pub fn started(&mut self) {
        assert!(!self.turn, "the suite starts one turn at a time");
        self.turn = true;
        self.message = false;
        self.tools.clear();
        self.open_tools.clear();
        self.asks.clear();
        self.open_asks.clear();
        self.subagents.clear();
    }

    /// A steer was given.
    pub fn steered(&mut self, steer_id: Uuid) {
        self.steers.insert(steer_id);
    }

    /// Whether a turn runs.
    pub fn runs(&self) -> bool {
        self.turn
    }

    /// Whether the agent said that it is gone.
    pub fn exited(&self) -> bool {
        self.exited
    }

    /// Steers without an answer.
    pub fn unanswered(&self) -> usize {
        self.steers.len()
    }

    /// Takes the next event; an error where it must not come now.
    pub fn check(&mut self, event: &AgentEvent) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("{why}: {event:?}"));
        if self.exited {
            return wrong("nothing comes after the exit");
        }
        if self.ready == matches!(event, AgentEvent::Ready { .. }) {
            return wrong("ready comes first and once");
        }
        let of_a_turn = match event {
            AgentEvent::Ready { .. }
            | AgentEvent::CommandsChanged { .. }
            | AgentEvent::SteerReturned { .. }
            | AgentEvent::Exited { .. }
            | AgentEvent::Lost { .. }
            | AgentEvent::StopFailed { .. } => false,
            AgentEvent::MessageStarted
            | AgentEvent::TextDelta { .. }
            | AgentEvent::ThinkingDelta { .. }
            | AgentEvent::ToolInputDelta { .. }
            | AgentEvent::ThinkingCompleted { .. }
            | AgentEvent::MessageCompleted { .. }
            | AgentEvent::ToolStarted { .. }
            | AgentEvent::ToolUpdate { .. }
            | AgentEvent::ToolCompleted { .. }
            | AgentEvent::SteerApplied { .. }
            | AgentEvent::OutputAccepted { .. }
            | AgentEvent::UsageRecorded(_)
            | AgentEvent::CallWanted { .. }
            | AgentEvent::CompactionStarted { .. }
            | AgentEvent::CompactionCompleted { .. }
            | AgentEvent::RetryScheduled { .. }
            | AgentEvent::Asked { .. }
            | AgentEvent::AskWithdrawn { .. }
            | AgentEvent::AnswerDelivered { .. }
            | AgentEvent::PlanUpdated { .. }
            | AgentEvent::Subagent { .. }
            | AgentEvent::ArtifactCreated { .. }
            | AgentEvent::Offered { .. }
            | AgentEvent::TurnEnded(_) => true,
        };
        if of_a_turn && !self.turn {
            return wrong("no turn runs");
        }
        match event {
            AgentEvent::Ready { .. } => self.ready = true,
            AgentEvent::MessageStarted if self.message => return wrong("a message is open"),
            AgentEvent::MessageStarted => self.message = true,
            AgentEvent::TextDelta { .. }
            | AgentEvent::ThinkingDelta { .. }
            | AgentEvent::ToolInputDelta { .. }
            | AgentEvent::ThinkingCompleted { .. }
            | AgentEvent::MessageCompleted { .. }
                if !self.message =>
            {
                return wrong("no message is open");
            }
            AgentEvent::ThinkingDelta { .. } => self.thinking = true,
            AgentEvent::ThinkingCompleted { .. } => self.thinking = false,
            AgentEvent::MessageCompleted { .. } if self.thinking => {
                return wrong("a thinking block is open");
            }
            AgentEvent::MessageCompleted { .. } => self.message = false,
            AgentEvent::TextDelta { .. } | AgentEvent::ToolInputDelta { .. } => {}
            AgentEvent::ToolStarted { tool_call_id, .. } => {
                if !self.tools.insert(tool_call_id.clone()) {
                    return wrong("the call ran before");
                }
                self.open_tools.insert(tool_call_id.clone());
            }
            AgentEvent::ToolUpdate { tool_call_id, .. } => {
                if !self.open_tools.contains(tool_call_id) {
                    return wrong("the call does not run");
                }
            }
            AgentEvent::ToolCompleted { tool_call_id, .. } => {
                if !self.open_tools.remove(tool_call_id) {
                    return wrong("the call does not run");
                }
            }
            AgentEvent::SteerApplied { steer_id } => {
                if !self.steers.remove(steer_id) {
                    return wrong("the steer is unknown or answered");
                }
            }
            AgentEvent::SteerReturned { steer_id } => {
                if !self.steers.remove(steer_id) && !self.crossed.remove(steer_id) {
                    return wrong("the steer is unknown or answered");
                }
            }
            AgentEvent::TurnEnded(_) | AgentEvent::Exited { .. } => {
                self.exited = matches!(event, AgentEvent::Exited { .. });
                self.turn = false;
                self.thinking = false;
                // The turn's end is an answer too.
                self.crossed.extend(self.steers.drain());
            }
            AgentEvent::Asked { ask_id, .. } => {
                if !self.asks.insert(ask_id.clone()) {
                    return wrong("it was asked before");
                }
                self.open_asks.insert(ask_id.clone());
            }
            AgentEvent::AskWithdrawn { ask_id } | AgentEvent::AnswerDelivered { ask_id } => {
                if !self.open_asks.remove(ask_id) {
                    return wrong("it is not asked");
                }
            }
            AgentEvent::UsageRecorded(_)
            | AgentEvent::CallWanted { .. }
            | AgentEvent::OutputAccepted { .. }
            | AgentEvent::CompactionStarted { .. }
            | AgentEvent::CompactionCompleted { .. }
            | AgentEvent::RetryScheduled { .. }
            | AgentEvent::PlanUpdated { .. }
            | AgentEvent::ArtifactCreated { .. }
            | AgentEvent::CommandsChanged { .. }
            | AgentEvent::Offered { .. } => {}
            AgentEvent::Subagent { agent_id, said } => match said.as_ref() {
                SubagentEvent::Started { .. } => {
                    if !self.subagents.insert(agent_id.clone()) {
                        return wrong("the sub-agent is at work");
                    }
                }
                SubagentEvent::Item { .. } if !self.subagents.contains(agent_id) => {
                    return wrong("the sub-agent is not at work");
                }
                SubagentEvent::Item { .. } => {}
                SubagentEvent::Completed { .. } => {
                    if !self.subagents.remove(agent_id) {
                        return wrong("the sub-agent is not at work");
                    }
                }
            },
            AgentEvent::StopFailed { .. } => return wrong("every stop here can be proven"),
            AgentEvent::Lost { .. } => return wrong("no machine is lost here"),
        }
        Ok(())
    }
}

/// The checker catches what it is there for.
#[test]
fn what_must_not_come_is_caught() {
    use quarterdeck::agent::Outcome;
    let ready = || AgentEvent::Ready {
        model: String::new(),
    };
    let delta = || AgentEvent::TextDelta {
        content_index: 0,
        delta: "a".into(),
    };
    let ended = || AgentEvent::TurnEnded(Outcome::Stopped);
    let update = || AgentEvent::ToolUpdate {
        tool_call_id: "1".into(),
        partial_result_json: "{}".into(),
    };
    let applied = || AgentEvent::SteerApplied {
        steer_id: Uuid::nil(),
    };
    let exited = || AgentEvent::Exited {
        message: String::new(),
    };
    let message = || AgentEvent::MessageStarted;
    let wrong = [
        vec![message()],
        vec![ready(), ready()],
        vec![ready(), delta()],
        vec![ready(), message(), message()],
        vec![ready(), message(), delta(), ended(), delta()],
        vec![ready(), ended(), ended()],
        vec![ready(), update()],
        vec![ready(), applied()],
        vec![ready(), ended(), exited(), ended()],
    ];
    for mut events in wrong {
        let last = events.pop().expect("it is there");
        let mut grammar = Grammar::default();
        grammar.started();
        for event in &events {
            assert_eq!(grammar.check(event), Ok(()));
        }
        assert!(grammar.check(&last).is_err(), "{last:?} after {events:?}");
    }
}
