//! What a tenant is told of what went wrong with its agent: the one place that decides.
//!
//! The operator's own tenant is told all of it. Others share the machine with strangers: of a process that did not start,
//! died or would not end they are told that, in a plain sentence, and of an error that the agent itself named they are told
//! its words without paths. The whole text stands in the server's log, in a record that the tenant can't follow.

use crate::{
    agent::{AgentEvent, Outcome},
    domain::{ids::OPERATOR_TENANT, session::Session, turn::Cause},
    telemetry::redact::without_paths,
};
use tracing::warn;

/// The text of a failure of the agent's process, as the session's tenant may read it.
pub(super) fn of_process(session: &Session, cause: Cause, text: String) -> String {
    if session.tenant == OPERATOR_TENANT {
        return text;
    }
    log(session, &text);
    cause.sentence().to_owned()
}

/// An agent's event, as the session's tenant may read it.
pub(super) fn of_agent(session: &Session, mut event: AgentEvent) -> AgentEvent {
    if session.tenant == OPERATOR_TENANT {
        return event;
    }
    match &mut event {
        AgentEvent::Lost { message } => {
            *message = of_process(session, Cause::LeaseLost, std::mem::take(message));
        }
        AgentEvent::Exited { message } => {
            *message = of_process(session, Cause::AgentExited, std::mem::take(message));
        }
        AgentEvent::StopFailed { survivors } => {
            *survivors = of_process(session, Cause::StopUnproven, std::mem::take(survivors));
        }
        AgentEvent::TurnEnded(Outcome::Failed(message) | Outcome::OutputInvalid(message))
        | AgentEvent::RetryScheduled {
            error_message: message,
            ..
        }
        | AgentEvent::CompactionCompleted {
            error_message: message,
            ..
        } => *message = of_its_own_words(session, std::mem::take(message)),
        // No errors: what the agent says and does in the session is the session's.
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
        | AgentEvent::Asked { .. }
        | AgentEvent::AskWithdrawn { .. }
        | AgentEvent::AnswerDelivered { .. }
        | AgentEvent::PlanUpdated { .. }
        | AgentEvent::Subagent { .. }
        | AgentEvent::ArtifactCreated { .. }
        | AgentEvent::Offered { .. }
        | AgentEvent::CommandsChanged { .. }
        | AgentEvent::OutputAccepted { .. }
        | AgentEvent::UsageRecorded(_)
        | AgentEvent::CallWanted { .. }
        | AgentEvent::SteerApplied { .. }
        | AgentEvent::SteerReturned { .. }
        | AgentEvent::CompactionStarted { .. }
        | AgentEvent::TurnEnded(Outcome::Completed(_) | Outcome::Stopped) => {}
    }
    event
}

fn of_its_own_words(session: &Session, text: String) -> String {
    let told = without_paths(&text);
    if told == text {
        return text;
    }
    log(session, &text);
    told.into_owned()
}

/// An agent did not start: for who may read the whole of it.
pub(super) fn log_start(session: &Session, problem: &str) {
    if session.tenant == OPERATOR_TENANT {
        warn!(agent = session.agent, problem, "the agent did not start");
    } else {
        log(session, problem);
    }
}

/// For the operator alone: outside of the turn's span, which names the tenant that may follow its records.
fn log(session: &Session, text: &str) {
    warn!(
        parent: None,
        of_tenant = session.tenant,
        session = %session.key,
        agent = session.agent,
        problem = text,
        "an agent failed; its tenant is told no paths and nothing of its standard error"
    );
}
