//! Steers of the running turn, from the moment they are given until pi shows that it took them.
//!
//! pi answers a steer with success even where it will never read it in this run, so an answer proves nothing: a steer
//! is applied when `queue_update` let go of it and the user message that it became begins. Whatever is not applied at
//! the turn's end is answered by that end; what of it still sits in pi's own queue is a [leftover](Steers::leftover).

use crate::domain::turn::Attachment;
use std::collections::VecDeque;
use uuid::Uuid;

/// The turn's steers that are not answered yet, oldest first. Bounded by the session, which allows 8 a turn.
#[derive(Debug, Default)]
pub(super) struct Steers {
    waiting: VecDeque<Steer>,
}

#[derive(Debug)]
struct Steer {
    steer_id: Uuid,
    text: String,
    attachments: Vec<Attachment>,
    place: Place,
}

/// Where a steer is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Here: pi has no live run that could take it.
    Held,
    /// Written to pi under this command id.
    Sent(String),
    /// Accepted, but pi's queue never showed this text: a template may have replaced it.
    Accepted,
    /// Seen in pi's queue.
    Queued,
    /// Gone from pi's queue: its user message comes next.
    Delivered,
}

/// A steer to write.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The text.
    pub(super) text: String,
    /// What goes with it.
    pub(super) attachments: Vec<Attachment>,
}

// === impl Steers ===

impl Steers {
    /// Keeps a steer until it can be sent.
    pub(super) fn hold(&mut self, steer_id: Uuid, text: String, attachments: Vec<Attachment>) {
        self.waiting.push_back(Steer {
            steer_id,
            text,
            attachments,
            place: Place::Held,
        });
    }

    /// Takes the oldest held steer to be written under `command_id`.
    pub(super) fn send_next(&mut self, command_id: &str) -> Option<Outgoing> {
        let steer = self
            .waiting
            .iter_mut()
            .find(|steer| steer.place == Place::Held)?;
        steer.place = Place::Sent(command_id.to_owned());
        Some(Outgoing {
            text: steer.text.clone(),
            attachments: std::mem::take(&mut steer.attachments),
        })
    }

    /// pi answered a command. Returns the steer that this settles: refused, or handled without a queue.
    pub(super) fn answered(&mut self, command_id: &str, settled: bool) -> Option<Uuid> {
        let index = self.waiting.iter().position(
            |steer| matches!(&steer.place, Place::Sent(id) if id.as_str() == command_id),
        )?;
        if settled {
            return self.waiting.remove(index).map(|steer| steer.steer_id);
        }
        if let Some(steer) = self.waiting.get_mut(index) {
            steer.place = Place::Accepted;
        }
        None
    }

    /// pi's queue as it is now.
    pub(super) fn queue(&mut self, steering: &[String]) {
        let mut shown: Vec<&String> = steering.iter().collect();
        // From the newest on: of two steers with one text the older is delivered first.
        for steer in self.waiting.iter_mut().rev() {
            if matches!(steer.place, Place::Held | Place::Delivered) {
                continue;
            }
            if let Some(index) = shown.iter().position(|text| **text == steer.text) {
                shown.swap_remove(index);
                steer.place = Place::Queued;
            } else if steer.place == Place::Queued {
                steer.place = Place::Delivered;
            }
        }
    }

    /// A user message that is not the prompt begins: which steer it is, if any.
    pub(super) fn user_message(&mut self) -> Option<Uuid> {
        let index = [Place::Delivered, Place::Accepted]
            .iter()
            .find_map(|place| self.waiting.iter().position(|steer| steer.place == *place))?;
        self.waiting.remove(index).map(|steer| steer.steer_id)
    }

    /// pi emptied its queue: what was in it never ran. The turn's end answers those steers.
    pub(super) fn forget_queued(&mut self) {
        self.waiting.retain(|steer| match steer.place {
            Place::Held | Place::Delivered | Place::Sent(_) => true,
            Place::Accepted | Place::Queued => false,
        });
    }

    /// True where pi may hold a steer that it would put into the next run.
    pub(super) fn leftover(&self) -> bool {
        self.waiting.iter().any(|steer| match steer.place {
            Place::Held | Place::Delivered => false,
            Place::Sent(_) | Place::Accepted | Place::Queued => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(texts: &[&str]) -> (Steers, Vec<Uuid>) {
        let mut steers = Steers::default();
        let ids: Vec<Uuid> = texts.iter().map(|_| Uuid::now_v7()).collect();
        for (id, text) in ids.iter().zip(texts) {
            steers.hold(*id, (*text).to_owned(), vec![]);
            assert!(!steers.leftover() || *id != ids[0]);
            assert!(steers.send_next(text).is_some());
        }
        (steers, ids)
    }

    #[test]
    fn of_two_equal_steers_the_older_is_applied_first() {
        let (mut steers, ids) = sent(&["a", "a"]);
        steers.queue(&["a".into(), "a".into()]);
        assert_eq!(steers.user_message(), None);
        steers.queue(&["a".into()]);
        assert_eq!(steers.user_message(), Some(ids[0]));
        steers.queue(&[]);
        assert!(!steers.leftover());
        assert_eq!(steers.user_message(), Some(ids[1]));
    }

    #[test]
    fn success_alone_proves_nothing() {
        let (mut steers, ids) = sent(&["a"]);
        assert_eq!(steers.answered("a", false), None);
        assert!(steers.leftover());
        // A template replaced the text: the queue never shows it, but the next user message is it.
        steers.queue(&["expanded".into()]);
        assert_eq!(steers.user_message(), Some(ids[0]));
    }

    #[test]
    fn a_refused_steer_is_settled_at_once() {
        let (mut steers, ids) = sent(&["/ask", "b"]);
        assert_eq!(steers.answered("/ask", true), Some(ids[0]));
        assert_eq!(steers.answered("unknown", true), None);
        assert_eq!(steers.answered("b", true), Some(ids[1]));
        assert!(!steers.leftover());
    }
}
