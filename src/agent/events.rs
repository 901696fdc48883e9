//! The channel from an agent to its session's actor, bounded in events and in bytes.
//!
//! An agent that is faster than its actor waits: a driver that reads no further line makes its child wait too. The bound
//! in bytes is what keeps a child with 8 MiB lines from filling memory, for every awake agent has such a channel.

use super::AgentEvent;
use crate::domain::command::Command;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Events that an agent may be ahead of its session's actor.
pub const EVENTS_MAX: usize = 256;
/// Bytes of their texts at most. An event that is larger than this goes alone.
pub const EVENTS_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Nobody listens any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody listens to the agent")]
pub struct Closed;

/// The agent's end.
#[derive(Clone, Debug)]
pub struct EventSender {
    events: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// The actor's end.
#[derive(Debug)]
pub struct EventReceiver {
    events: mpsc::Receiver<Queued>,
    taken: u64,
    settled: watch::Sender<u64>,
}

/// An event, and its part of the bytes.
#[derive(Debug)]
struct Queued {
    event: AgentEvent,
    _share: OwnedSemaphorePermit,
}

/// A place in the channel for one event.
pub(crate) struct Place<'s>(mpsc::Permit<'s, Queued>, OwnedSemaphorePermit);

/// A channel.
pub fn channel() -> (EventSender, EventReceiver) {
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let room = Arc::new(Semaphore::new(EVENTS_MAX_BYTES));
    let receiver = EventReceiver {
        events: receiver,
        taken: 0,
        settled: watch::Sender::new(0),
    };
    (EventSender { events, room }, receiver)
}

// === impl EventSender ===

impl EventSender {
    /// Waits for a place for an event of so many bytes. Cancel-safe.
    pub(crate) async fn place(&self, bytes: usize) -> Result<Place<'_>, Closed> {
        let share = u32::try_from(bytes.min(EVENTS_MAX_BYTES)).expect("the bound has 32 bits");
        let room = Arc::clone(&self.room).acquire_many_owned(share).await;
        let room = room.expect("it is never closed");
        let place = self.events.reserve().await.map_err(|_| Closed)?;
        Ok(Place(place, room))
    }

    /// Hands an event over once there is a place.
    ///
    /// # Errors
    /// Nobody listens any more.
    pub async fn send(&self, event: AgentEvent) -> Result<(), Closed> {
        self.place(event.text_bytes()).await?.send(event);
        Ok(())
    }
}

// === impl EventReceiver ===

impl EventReceiver {
    /// The next event; `None` after the agent's last one. Cancel-safe. Who asks for it is done with those before: what is
    /// durable of them is committed.
    pub async fn recv(&mut self) -> Option<AgentEvent> {
        self.settle();
        let next = self.events.recv().await;
        self.taken += u64::from(next.is_some());
        next.map(|queued| queued.event)
    }

    fn settle(&self) {
        let taken = self.taken;
        self.settled.send_if_modified(|settled| {
            let news = *settled != taken;
            *settled = taken;
            news
        });
    }

    /// Events that the actor is done with, by count.
    pub fn settled(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }

    /// Events that wait.
    pub fn waiting(&self) -> usize {
        self.events.len()
    }

    /// The next event where one is there.
    pub fn try_recv(&mut self) -> Option<AgentEvent> {
        let next = self.events.try_recv().ok()?;
        self.taken += 1;
        Some(next.event)
    }
}

// === impl Place ===

impl Place<'_> {
    pub(crate) fn send(self, event: AgentEvent) {
        let Self(place, _share) = self;
        place.send(Queued { event, _share });
    }
}

// === impl AgentEvent ===

impl AgentEvent {
    /// Bytes of its texts.
    pub(crate) fn text_bytes(&self) -> usize {
        use super::Outcome;
        match self {
            Self::Ready { model } => model.len(),
            Self::Asked { ask_id, ask } => ask_id.len() + ask.text_bytes(),
            Self::AskWithdrawn { ask_id } | Self::AnswerDelivered { ask_id } => ask_id.len(),
            Self::Offered { offers } => offers.text_bytes(),
            Self::Subagent { agent_id, said } => agent_id.len() + said.text_bytes(),
            Self::ArtifactCreated { title, artifact } => title.len() + artifact.data.len(),
            Self::PlanUpdated { entries } => entries.iter().map(|it| it.text.len()).sum(),
            Self::CommandsChanged { commands } => commands.iter().map(Command::text_bytes).sum(),
            Self::MessageStarted | Self::SteerApplied { .. } | Self::SteerReturned { .. } => 0,
            Self::TextDelta { delta, .. } | Self::ThinkingDelta { delta, .. } => delta.len(),
            Self::ToolInputDelta {
                content_index: _,
                tool_call_id,
                tool_name,
                delta,
            } => tool_call_id.len() + tool_name.len() + delta.len(),
            Self::ThinkingCompleted { text, .. } => text.len(),
            Self::MessageCompleted { blocks } => blocks.iter().map(|(_, text)| text.len()).sum(),
            Self::ToolStarted {
                tool_call_id,
                tool_name,
                args_json,
            } => tool_call_id.len() + tool_name.len() + args_json.len(),
            Self::ToolUpdate {
                tool_call_id,
                partial_result_json,
            } => tool_call_id.len() + partial_result_json.len(),
            Self::ToolCompleted {
                tool_call_id,
                result_json,
                is_error: _,
                full_size: _,
                pictures,
            } => {
                let pictures = pictures.iter().map(|it| it.data.len());
                tool_call_id.len() + result_json.len() + pictures.sum::<usize>()
            }
            Self::OutputAccepted { output_json } => output_json.len(),
            Self::UsageRecorded(report) => report.model.len(),
            Self::CallWanted { model } => model.len(),
            Self::CompactionStarted { reason } => reason.len(),
            Self::CompactionCompleted {
                reason,
                summary,
                aborted: _,
                error_message,
                tokens_before: _,
                kept: _,
            } => reason.len() + summary.len() + error_message.len(),
            Self::RetryScheduled { error_message, .. } => error_message.len(),
            Self::TurnEnded(Outcome::Failed(message) | Outcome::OutputInvalid(message))
            | Self::Exited { message }
            | Self::Lost { message } => message.len(),
            Self::TurnEnded(Outcome::Completed(_) | Outcome::Stopped) => 0,
            Self::StopFailed { survivors } => survivors.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(bytes: usize) -> AgentEvent {
        AgentEvent::ToolUpdate {
            tool_call_id: String::new(),
            partial_result_json: "x".repeat(bytes),
        }
    }

    async fn waits(sender: &EventSender, bytes: usize) -> bool {
        let sent = tokio::time::timeout(std::time::Duration::ZERO, sender.send(update(bytes)));
        sent.await.is_err()
    }

    /// R16: a child that says much while its actor is busy waits; it does not grow memory.
    #[tokio::test]
    async fn an_agent_ahead_by_its_bytes_waits() {
        let (sender, mut events) = channel();
        let quarter = EVENTS_MAX_BYTES / 4;
        for _ in 0..4 {
            assert!(!waits(&sender, quarter).await);
        }
        assert!(waits(&sender, 1).await);
        assert!(!waits(&sender, 0).await);
        assert_eq!(events.recv().await, Some(update(quarter)));
        assert!(!waits(&sender, quarter).await);
    }

    #[tokio::test]
    async fn an_event_above_the_bound_goes_alone() {
        let (sender, mut events) = channel();
        assert!(!waits(&sender, 1).await);
        assert!(waits(&sender, 2 * EVENTS_MAX_BYTES).await);
        assert!(events.recv().await.is_some());
        assert!(!waits(&sender, 2 * EVENTS_MAX_BYTES).await);
        assert!(waits(&sender, 1).await);
    }

    #[tokio::test]
    async fn an_agent_ahead_by_events_waits_and_hears_that_nobody_listens() {
        let (sender, events) = channel();
        for _ in 0..EVENTS_MAX {
            assert!(!waits(&sender, 0).await);
        }
        assert!(waits(&sender, 0).await);
        drop(events);
        assert_eq!(sender.send(update(1)).await, Err(Closed));
    }
}
