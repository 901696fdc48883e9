//! Credentials that stand for another one for a while: `qdx_<what it stands for><seal>`, in base64url.
//!
//! Nothing is kept of them. What such a credential stands for is written in it, and sealed with a key that is derived
//! from the data directory's pepper; whether the key that it stands for is still valid is looked up at each call. So it
//! dies with that key, costs one HMAC, outlives a restart, and no number of them fills the store.

use crate::domain::ids::{Principal, Time};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::time::Duration;

/// What every such credential begins with.
pub const EXCHANGED_PREFIX: &str = "qdx_";
/// Longest life of one.
pub const EXCHANGED_LIFE_MAX: Duration = Duration::from_secs(12 * 3600);
/// What the sealing key is derived with, so that no key has two uses.
const PURPOSE: &[u8] = b"quarterdeck: exchanged credentials, version 1";
/// The same, for tickets.
const TICKETS: &[u8] = b"quarterdeck: tickets for events, version 1";
/// What every ticket begins with.
pub const TICKET_PREFIX: &str = "qdt_";
/// Characters of a seal: 32 bytes in base64url.
const SEAL_CHARACTERS: usize = 43;

/// What a credential stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exchanged {
    /// For whom.
    pub(super) holder: Holder,
    /// Until when.
    pub(super) end: Time,
    /// The session whose events alone a ticket is for.
    pub(super) session: Option<String>,
}

/// Whose credential was exchanged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// An API key, by its id; principal and scopes are the key's.
    Key(String),
    /// A token, of which nothing is kept here: what it said.
    Token {
        /// Who called with it.
        principal: Principal,
        /// Names of its scopes.
        scopes: Vec<String>,
    },
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<WrittenToken>,
    /// Microseconds.
    end: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WrittenToken {
    tenant: String,
    subject: String,
    scopes: Vec<String>,
}

/// Seals and opens.
#[derive(Clone)]
pub(super) struct Sealer {
    hmac: Hmac<Sha256>,
    prefix: &'static str,
}

// === impl Sealer ===

impl Sealer {
    /// Seals credentials.
    pub(super) fn new(pepper: &[u8]) -> Self {
        Self::with(pepper, PURPOSE, EXCHANGED_PREFIX)
    }

    /// Seals tickets.
    pub(super) fn of_tickets(pepper: &[u8]) -> Self {
        Self::with(pepper, TICKETS, TICKET_PREFIX)
    }

    /// Seals with a key that is derived from the pepper.
    fn with(pepper: &[u8], purpose: &[u8], prefix: &'static str) -> Self {
        let hmac = |key: &[u8]| {
            Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length")
        };
        let mut derive = hmac(pepper);
        derive.update(purpose);
        Self {
            hmac: hmac(&derive.finalize().into_bytes()),
            prefix,
        }
    }

    /// The credential's text.
    pub(super) fn seal(&self, sealed: &Exchanged) -> SecretString {
        let Exchanged {
            holder,
            end,
            session,
        } = sealed;
        let (key, token) = match holder {
            Holder::Key(key_id) => (Some(key_id.clone()), None),
            Holder::Token {
                principal: Principal { tenant, subject },
                scopes,
            } => {
                let token = WrittenToken {
                    tenant: tenant.clone(),
                    subject: subject.clone(),
                    scopes: scopes.clone(),
                };
                (None, Some(token))
            }
        };
        let written = Written {
            key,
            token,
            end: end.0,
            session: session.clone(),
        };
        let written = serde_json::to_vec(&written).expect("texts and a number are JSON");
        let Self { mut hmac, prefix } = self.clone();
        hmac.update(&written);
        let seal = URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes());
        format!("{prefix}{}{seal}", URL_SAFE_NO_PAD.encode(written)).into()
    }

    /// What a text stands for; `None` where nobody here sealed it.
    pub(super) fn open(&self, text: &str) -> Option<Exchanged> {
        let Self { mut hmac, prefix } = self.clone();
        let body = text.strip_prefix(prefix)?;
        let (written, seal) = body.split_at_checked(body.len().checked_sub(SEAL_CHARACTERS)?)?;
        let written = URL_SAFE_NO_PAD.decode(written).ok()?;
        hmac.update(&written);
        // In constant time.
        hmac.verify_slice(&URL_SAFE_NO_PAD.decode(seal).ok()?)
            .ok()?;
        let Written {
            key,
            token,
            end,
            session,
        } = serde_json::from_slice(&written).ok()?;
        let holder = match (key, token) {
            (Some(key_id), None) => Holder::Key(key_id),
            (None, Some(token)) => Holder::Token {
                principal: Principal {
                    tenant: token.tenant,
                    subject: token.subject,
                },
                scopes: token.scopes,
            },
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some(Exchanged {
            holder,
            end: Time(end),
            session,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn what_was_sealed_is_opened_by_the_same_pepper_alone() {
        let sealer = Sealer::new(b"pepper");
        for holder in [
            Holder::Key("abcdefghijkl".into()),
            Holder::Token {
                principal: Principal::local(),
                scopes: vec!["session.read".into()],
            },
        ] {
            let exchanged = Exchanged {
                holder,
                end: Time(7),
                session: None,
            };
            let text = sealer.seal(&exchanged);
            let text = text.expose_secret();
            assert_eq!(sealer.open(text).as_ref(), Some(&exchanged));
            assert_eq!(Sealer::new(b"other").open(text), None);
            // A ticket is no credential, and a credential no ticket, whatever they are made to begin with.
            let tickets = Sealer::of_tickets(b"pepper");
            assert_eq!(tickets.open(&text.replacen("qdx_", "qdt_", 1)), None);
            for at in 0..text.len() {
                let mut changed = text.as_bytes().to_vec();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).expect("ASCII");
                // The last character holds two bits that mean nothing; changing them is refused by the decoder.
                assert_eq!(sealer.open(&changed), None, "{at}");
            }
        }
        for wrong in ["", "qdx_", "qdx_é", &format!("qdx_{}", "A".repeat(43))] {
            assert_eq!(sealer.open(wrong), None, "{wrong}");
        }
    }
}
