//! Steers of the running turn, from the moment they are given until pi shows that it took them.
//!
//! pi answers a steer with success even where it will never read it in this run, so an answer proves nothing. What does:
//! * `queue_update` let go of it, and the user message that it became begins. That message may be missing (a line that
//!   could not be read); then the model's next message, or the end of the run, shows as well that pi took it.
//! * pi says that its queue is empty although it accepted the steer and was not told to give it back.
//! * `clear_queue` gives it back: it was not taken.
//!
//! Whatever is not applied at the turn's end is answered by that end; what of it still sits in pi's own queue is a
//! [leftover](Steers::leftover).

use super::protocol;
use crate::agent::input::{literal, text_with_files};
use crate::domain::{limits::cut, turn::Attachment};
use std::collections::VecDeque;
use uuid::Uuid;

/// What is kept of a text to know it again, in bytes; a line that is too long shows as much of it at least.
const KNOWN_MAX_BYTES: usize = 64 * 1024;

/// The turn's steers that are not answered yet, oldest first. Bounded by the session, which allows 8 a turn.
#[derive(Debug, Default)]
pub(super) struct Steers {
    waiting: VecDeque<Steer>,
    /// pi was told to empty its queue and did not say yet what was in it.
    clearing: bool,
}

#[derive(Debug)]
struct Steer {
    steer_id: Uuid,
    text: String,
    attachments: Vec<Attachment>,
    /// How its text begins where pi shows it, what stands in files included.
    known: String,
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
    /// Gone from pi's queue while that was being emptied: taken, or given back.
    Gone,
    /// Gone from pi's queue: its user message comes next.
    Delivered,
}

// === impl Steers ===

impl Steers {
    /// Keeps a steer until it can be sent.
    pub(super) fn hold(&mut self, steer_id: Uuid, text: String, attachments: Vec<Attachment>) {
        self.waiting.push_back(Steer {
            steer_id,
            text,
            attachments,
            known: String::new(),
            place: Place::Held,
        });
    }

    /// Takes the oldest held steer to be written under `command_id`; returns its line.
    pub(super) fn send_next(&mut self, command_id: &str) -> Option<Vec<u8>> {
        let steer = self
            .waiting
            .iter_mut()
            .find(|steer| steer.place == Place::Held)?;
        steer.place = Place::Sent(command_id.to_owned());
        let attachments = std::mem::take(&mut steer.attachments);
        let text = literal(text_with_files(
            std::mem::take(&mut steer.text),
            &attachments,
        ));
        cut(&text, KNOWN_MAX_BYTES).clone_into(&mut steer.known);
        Some(protocol::message("steer", command_id, &text, &attachments))
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
        let clearing = self.clearing;
        let mut shown: Vec<&String> = steering.iter().collect();
        // From the newest on: of two steers with one text the older is delivered first.
        for steer in self.waiting.iter_mut().rev() {
            if matches!(steer.place, Place::Held | Place::Gone | Place::Delivered) {
                continue;
            }
            if let Some(index) = shown.iter().position(|text| steer.is(text)) {
                shown.swap_remove(index);
                steer.place = Place::Queued;
            } else if steer.place == Place::Queued {
                steer.place = match clearing {
                    true => Place::Gone,
                    false => Place::Delivered,
                };
            }
        }
    }

    /// A user message that is not the prompt begins: which steer it is, if any.
    pub(super) fn user_message(&mut self, text: &str) -> Option<Uuid> {
        let next = |place| self.waiting.iter().position(|steer| steer.place == place);
        // An extension may send messages of its own, so what is not known to be gone must say the same.
        let same = || self.waiting.iter().position(|steer| steer.is(text));
        let index = next(Place::Delivered)
            .or_else(|| next(Place::Gone))
            .or_else(same)
            .or_else(|| next(Place::Accepted))?;
        self.waiting.remove(index).map(|steer| steer.steer_id)
    }

    /// Whether the next user message must be a steer.
    pub(super) fn any_delivered(&self) -> bool {
        let mut places = self.waiting.iter().map(|steer| &steer.place);
        places.any(|place| *place == Place::Delivered)
    }

    /// Takes the steers that pi let go of to read them.
    pub(super) fn take_delivered(&mut self) -> Vec<Uuid> {
        let mut taken = Vec::new();
        self.waiting.retain(|steer| {
            let delivered = steer.place == Place::Delivered;
            if delivered {
                taken.push(steer.steer_id);
            }
            !delivered
        });
        taken
    }

    /// pi was told to empty its queue.
    pub(super) fn clearing(&mut self) {
        self.clearing = true;
    }

    /// pi emptied its queue: what was in it never ran, and the turn's end answers those steers. `cleared` is what it says
    /// was in it. Or it does not know how to.
    pub(super) fn cleared(&mut self, obeyed: bool, cleared: Option<&[String]>) {
        self.clearing = false;
        let mut unclaimed: Option<Vec<&String>> = cleared.map(|texts| texts.iter().collect());
        let mut kept = VecDeque::new();
        // From the newest on, as above.
        for mut steer in std::mem::take(&mut self.waiting).into_iter().rev() {
            // What pi's queue never showed by its own text may have been in it by any.
            let claims_any = steer.place == Place::Accepted;
            let was_in_it = unclaimed.as_mut().is_none_or(|texts| {
                let found = texts.iter().position(|text| claims_any || steer.is(text));
                found.map(|at| texts.swap_remove(at)).is_some()
            });
            match steer.place {
                Place::Held | Place::Delivered => {}
                Place::Sent(_) if obeyed && cleared.is_some() && was_in_it => continue,
                // pi may still be about to put it there.
                Place::Sent(_) => {}
                Place::Gone | Place::Queued | Place::Accepted if obeyed && was_in_it => continue,
                Place::Queued | Place::Accepted if !obeyed => {}
                Place::Gone | Place::Queued | Place::Accepted => steer.place = Place::Delivered,
            }
            kept.push_front(steer);
        }
        self.waiting = kept;
    }

    /// pi says that nothing waits in its queue: what it accepted it has taken. One without an answer it may still be about
    /// to put there.
    pub(super) fn none_waits(&mut self) {
        if self.clearing {
            return;
        }
        for steer in &mut self.waiting {
            match steer.place {
                Place::Accepted | Place::Queued => steer.place = Place::Delivered,
                Place::Held | Place::Sent(_) | Place::Gone | Place::Delivered => {}
            }
        }
    }

    /// True where pi may hold a steer that it would put into the next run.
    pub(super) fn leftover(&self) -> bool {
        self.waiting.iter().any(|steer| match steer.place {
            Place::Held | Place::Gone | Place::Delivered => false,
            Place::Sent(_) | Place::Accepted | Place::Queued => true,
        })
    }
}

// === impl Steer ===

impl Steer {
    /// Whether pi shows it by this text, which may be cut.
    fn is(&self, text: &str) -> bool {
        self.place != Place::Held && cut(text, KNOWN_MAX_BYTES) == self.known
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
        assert_eq!(steers.user_message(""), None);
        steers.queue(&["a".into()]);
        assert_eq!(steers.user_message(""), Some(ids[0]));
        steers.queue(&[]);
        assert!(!steers.leftover());
        assert_eq!(steers.user_message(""), Some(ids[1]));
    }

    #[test]
    fn success_alone_proves_nothing() {
        let (mut steers, ids) = sent(&["a"]);
        assert_eq!(steers.answered("a", false), None);
        assert!(steers.leftover());
        // A template replaced the text: the queue never shows it, but the next user message is it.
        steers.queue(&["expanded".into()]);
        assert_eq!(steers.user_message(""), Some(ids[0]));
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
