//! Tickets: what a browser's own reader of events shows in its address, in place of a credential that it can't send.
//!
//! A ticket is sealed like an exchanged credential (`exchange.rs`) and names one session: it is worth something for the
//! events of that session alone, and nothing as a bearer's credential. It ends with its key, after
//! [`EXCHANGED_LIFE_MAX`](super::exchange::EXCHANGED_LIFE_MAX), and [`TICKET_IDLE_MAX`] after the end of its last
//! stream, or after it was made. Nothing of it is stored: what was in use before a restart has that time from the
//! server's start, and so has every other that was made in the same 12 hours.

use crate::domain::{Refusal, ids::SessionKey};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Time after its last use after which a ticket is worth nothing.
pub const TICKET_IDLE_MAX: Duration = Duration::from_secs(60);

/// What tells one ticket from all others; not the text, so that no copy of it stays in memory.
type Known = [u8; 32];

/// Which tickets are in use, and since when the others are not.
#[derive(Debug)]
pub struct Tickets {
    start: Instant,
    known: Mutex<HashMap<Known, Use>>,
}

#[derive(Clone, Copy, Debug)]
struct Use {
    /// Streams that are open with it.
    open: usize,
    /// Since when none is.
    idle: Instant,
}

/// A ticket, as a request for the events of a session shows it. Whoever holds it, or a clone, has it in use once it was
/// recognised.
#[derive(Clone)]
pub struct ShownTicket {
    pub(super) text: SecretString,
    pub(super) session_key: String,
    in_use: Arc<OnceLock<InUse>>,
}

/// A ticket while a stream is open with it.
struct InUse {
    tickets: Arc<Tickets>,
    known: Known,
}

// === impl Tickets ===

impl Tickets {
    /// None is known yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            known: Mutex::default(),
        })
    }

    /// A ticket was made: it may be shown first for so long.
    pub(super) fn made(&self, text: &SecretString) {
        let idle = Instant::now();
        let fresh = Use { open: 0, idle };
        self.change(|all| all.insert(known(text), fresh));
    }

    /// A stream begins with a ticket that is genuine, unless it was left for too long.
    pub(super) fn begin(self: &Arc<Self>, shown: &ShownTicket) -> Result<(), Refusal> {
        let known = known(&shown.text);
        let (start, now) = (self.start, Instant::now());
        let begun = self.change(|all| {
            let unknown = Use {
                open: 0,
                idle: start,
            };
            let of = all.entry(known).or_insert(unknown);
            let lives = of.is_alive(now);
            of.open += usize::from(lives);
            lives
        });
        if !begun {
            return Err(Refusal::CredentialsInvalid);
        }
        let in_use = InUse {
            tickets: self.clone(),
            known,
        };
        // A request is recognised once; a second use of the same would end at once.
        let _ = shown.in_use.set(in_use);
        Ok(())
    }

    /// Looks at what is known, without what is not alive any more.
    fn change<T>(&self, change: impl FnOnce(&mut HashMap<Known, Use>) -> T) -> T {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut known);
        // While the server is younger than a ticket's idle time, a ticket that is forgotten would be taken for one of
        // before its start.
        if now.duration_since(self.start) > TICKET_IDLE_MAX {
            known.retain(|_, it| it.is_alive(now));
        }
        changed
    }
}

// === impl Use ===

impl Use {
    fn is_alive(&self, now: Instant) -> bool {
        self.open > 0 || now.duration_since(self.idle) <= TICKET_IDLE_MAX
    }
}

// === impl ShownTicket ===

impl ShownTicket {
    /// A ticket that came with a request for the events of a session.
    pub fn new(text: String, session_key: String) -> Self {
        Self {
            text: text.into(),
            session_key,
            in_use: Arc::default(),
        }
    }

    /// The session, where its key is one.
    pub(super) fn session(&self) -> Option<SessionKey> {
        SessionKey::parse(&self.session_key).ok()
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let idle = Instant::now();
        self.tickets.change(|all| {
            if let Some(of) = all.get_mut(&self.known) {
                of.open = of.open.saturating_sub(1);
                of.idle = idle;
            }
        });
    }
}

fn known(text: &SecretString) -> Known {
    Sha256::digest(text.expose_secret()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn shown(text: &str) -> ShownTicket {
        ShownTicket::new(text.into(), "s".into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_lives_while_it_is_used_and_a_minute_more() {
        let tickets = Tickets::new();
        advance(TICKET_IDLE_MAX * 2).await;
        let second = Duration::from_secs(1);
        assert!(tickets.begin(&shown("a")).is_err(), "nobody made it since");
        tickets.made(&"a".to_owned().into());
        advance(TICKET_IDLE_MAX).await;
        let open = shown("a");
        assert!(tickets.begin(&open).is_ok());
        // As long as the stream goes on, and however often there is another.
        advance(TICKET_IDLE_MAX * 10).await;
        drop(shown("a"));
        let other = shown("a");
        assert!(tickets.begin(&other).is_ok());
        drop(other);
        advance(TICKET_IDLE_MAX * 10).await;
        drop(open);
        advance(TICKET_IDLE_MAX).await;
        let again = shown("a");
        assert!(tickets.begin(&again).is_ok());
        drop(again);
        advance(TICKET_IDLE_MAX + second).await;
        assert!(tickets.begin(&shown("a")).is_err());
        assert!(tickets.known.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_made_before_the_start_has_a_minute_from_there() {
        let tickets = Tickets::new();
        advance(TICKET_IDLE_MAX).await;
        let before = shown("before");
        assert!(tickets.begin(&before).is_ok());
        drop(before);
        advance(Duration::from_secs(1)).await;
        assert!(tickets.begin(&shown("other")).is_err());
        assert!(tickets.begin(&shown("before")).is_ok());
    }
}
