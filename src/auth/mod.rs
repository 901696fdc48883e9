//! The auth room: who calls.
//!
//! * `first_start`: the local user's key.
//! * `key_text`: the text of an API key.
//! * `keys`: the keys themselves; recognising one costs one HMAC and no look into the store.
//! * `exchange`: credentials that stand for a key or token for a while, for web pages.
//! * `tickets`: what a page's own reader of events shows in place of a credential.
//! * `secret_files`: the pepper and the first start's admin key, files that their owner alone can read.
//! * `tokens`, `key_set`, `reach`: JSON Web Tokens of one issuer, its keys, and where those may be fetched from.
//! * `certificates`: client certificates that the listener has verified.
//! * `agents`: what agents that run call the gateway with.
//! * `limits`: how often one may fail, and call.
//! * `scopes`: what a method can ask of its caller.
//!
//! Whatever is wrong with a credential, its caller is told the same. Left out: what an identity may do with a session
//! (`domain::access`), and when a call is looked at (`grpc::layers`).

pub mod agents;
pub mod certificates;
pub mod exchange;
pub mod first_start;
pub mod key_set;
pub mod key_text;
pub mod keys;
pub mod limits;
pub mod reach;
pub mod scopes;
pub mod secret_files;
pub mod tickets;
pub mod tokens;

use crate::{
    clock,
    domain::{
        Refusal,
        access::{Credential, Identity},
        ids::{SessionKey, Time},
        refusal::LimitOf,
    },
    listener::Peer,
    telemetry::audit::{self, Audited},
};
use certificates::Certificates;
use exchange::EXCHANGED_PREFIX;
use http::{HeaderMap, header};
use key_text::PREFIX;
use keys::Keys;
use limits::Limits;
use secrecy::{ExposeSecret as _, SecretString};
use std::{net::IpAddr, sync::Arc};
use tickets::{ShownTicket, Tickets};
use tokens::Tokens;

/// Longest credential, in bytes.
pub const CREDENTIAL_MAX_BYTES: usize = 8 * 1024;

/// Recognises callers.
pub enum Auth {
    /// Nobody is asked: everyone is this one. Credentials that come all the same are not looked at.
    Open(Arc<Identity>),
    /// Every caller is asked for a credential.
    Required(Box<Credentials>),
}

/// What callers are recognised by.
pub struct Credentials {
    keys: Arc<Keys>,
    /// `None` where no issuer is known.
    tokens: Option<Tokens>,
    certificates: Certificates,
    limits: Arc<Limits>,
    tickets: Arc<Tickets>,
    /// Whoever calls over the unix socket as the user of this process, and brings no credential.
    local: Arc<Identity>,
    local_uid: u32,
    /// Whether that is enough: not where agents may be processes of the same user.
    trust_socket: bool,
}

// === impl Auth ===

impl Auth {
    /// Takes everyone for the local user.
    pub fn open() -> Self {
        Self::Open(Arc::new(Identity::unauthenticated()))
    }

    /// Who calls; counts the call.
    ///
    /// # Errors
    /// `CREDENTIALS_MISSING`, `CREDENTIALS_INVALID`, `RATE_LIMITED`.
    pub fn recognise(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Arc<Identity>, Refusal> {
        match self {
            Self::Open(everyone) => Ok(everyone.clone()),
            Self::Required(credentials) => {
                let recognised = credentials.recognise(headers, peer);
                recognised.inspect_err(|refusal| note(refusal, peer))
            }
        }
    }

    /// Makes a ticket for the events of a session, for whoever calls; counts as a call. Says when it ends at the latest.
    ///
    /// # Errors
    /// As of [`Auth::recognise`]; `CREDENTIALS_MISSING` where the caller is known by its connection alone, which needs
    /// none.
    pub fn ticket(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
        session: &SessionKey,
    ) -> Result<(SecretString, Time), Refusal> {
        let caller = self.recognise(headers, peer)?;
        match self {
            Self::Open(_) => Err(Refusal::CredentialsMissing),
            Self::Required(credentials) => {
                let made = credentials.keys.ticket(&caller, session)?;
                credentials.tickets.made(&made.0);
                audit::audit(Audited {
                    identity: &caller,
                    method: "http/EventTicket",
                    session_key: session.as_str(),
                    revealed: "",
                    outcome: audit::OK,
                    reason: "",
                    peer: peer.map(|it| it as &dyn std::fmt::Display),
                    trace_id: "",
                    duration: std::time::Duration::ZERO,
                });
                Ok(made)
            }
        }
    }

    /// Who shows a ticket; counts the call. From here on it is in use while `shown`, or a clone of it, is held.
    ///
    /// # Errors
    /// `CREDENTIALS_INVALID`, `RATE_LIMITED`.
    pub fn recognise_ticket(
        &self,
        shown: &ShownTicket,
        peer: Option<&Peer>,
    ) -> Result<Arc<Identity>, Refusal> {
        match self {
            Self::Open(everyone) => Ok(everyone.clone()),
            Self::Required(credentials) => {
                let recognised = credentials.ticket(shown, peer);
                recognised.inspect_err(|refusal| note(refusal, peer))
            }
        }
    }

    /// Whether the credential of a recognised caller is still taken.
    pub fn is_valid(&self, identity: &Identity) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Required(credentials) => credentials.keys.is_valid(identity),
        }
    }
}

/// Keeps what a stranger tried.
fn note(refusal: &Refusal, peer: Option<&Peer>) {
    if is_of_a_stranger(refusal) {
        let address = peer.map_or_else(|| "unknown".into(), Peer::counted_name);
        audit::refused(address, refusal.reason());
    }
}

/// Whether nobody was recognised; else a known caller calls too often.
fn is_of_a_stranger(refusal: &Refusal) -> bool {
    !matches!(
        refusal,
        Refusal::RateLimited {
            of: LimitOf::Principal | LimitOf::Tenant,
            ..
        }
    )
}

// === impl Credentials ===

impl Credentials {
    /// Credentials of a server that runs as this process's user. `trust_socket` takes whoever connects to the unix socket
    /// as that user for the local one, without a credential, unless this process started it.
    pub fn new(
        keys: Arc<Keys>,
        tokens: Option<Tokens>,
        certificates: Certificates,
        limits: Arc<Limits>,
        trust_socket: bool,
    ) -> Self {
        Self {
            keys,
            tokens,
            certificates,
            limits,
            tickets: Tickets::new(),
            local: Arc::new(Identity {
                credential: Credential::LocalUser,
                ..Identity::unauthenticated()
            }),
            local_uid: rustix::process::geteuid().as_raw(),
            trust_socket,
        }
    }

    fn recognise(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Arc<Identity>, Refusal> {
        let address = peer.and_then(Peer::counted_address);
        // What a caller says of itself counts before what its connection proves: who brings a key wants its scopes.
        let identity = match bearer(headers) {
            Ok(Some(credential)) => self.bearer(credential, address)?,
            Ok(None) => self.connection(peer).ok_or(Refusal::CredentialsMissing)?,
            Err(Malformed) => return Err(self.limits.failed(address)),
        };
        self.limits.call(&identity.principal)?;
        Ok(identity)
    }

    fn ticket(&self, shown: &ShownTicket, peer: Option<&Peer>) -> Result<Arc<Identity>, Refusal> {
        let session = shown.session();
        let text = shown.text.expose_secret();
        let known = session.and_then(|session| self.keys.recognise_ticket(text, &session));
        let identity = known.filter(|_| self.tickets.begin(shown).is_ok());
        let address = peer.and_then(Peer::counted_address);
        let identity = identity.ok_or_else(|| self.limits.failed(address))?;
        self.limits.call(&identity.principal)?;
        Ok(identity)
    }

    /// Whose credential it is. A valid one is taken, whatever came from its address before.
    fn bearer(&self, credential: &str, address: Option<IpAddr>) -> Result<Arc<Identity>, Refusal> {
        let now = clock::wall();
        if credential.starts_with(EXCHANGED_PREFIX) {
            let known = self.keys.recognise_exchanged(credential);
            return known.ok_or_else(|| self.limits.failed(address));
        }
        let known = match &self.tokens {
            Some(tokens) if !credential.starts_with(PREFIX) => {
                match tokens.remembered(credential, now) {
                    Some(identity) => Some(identity),
                    None => tokens.recognise(credential, now),
                }
            }
            Some(_) | None => self.keys.recognise(credential),
        };
        known.ok_or_else(|| self.limits.failed(address))
    }

    /// Whom a connection proves to be there.
    fn connection(&self, peer: Option<&Peer>) -> Option<Arc<Identity>> {
        let peer = peer?;
        match peer {
            Peer::Unix {
                uid, started_here, ..
            } => {
                let is_local = self.trust_socket && *uid == self.local_uid && !started_here;
                is_local.then(|| self.local.clone())
            }
            Peer::Tcp { .. } => {
                let own = peer.certificates().first()?;
                self.certificates.recognise(own, clock::wall())
            }
        }
    }
}

/// An `authorization` that is no bearer's.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

/// The bearer's credential; `None` where the call carries none.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Malformed> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let credential = || {
        let text = value.to_str().ok()?;
        let (scheme, credential) = text.split_once(' ')?;
        let credential = credential.trim_matches(' ');
        (scheme.eq_ignore_ascii_case("bearer") && credential.len() <= CREDENTIAL_MAX_BYTES)
            .then_some(credential)
    };
    // Of two, one would decide and the other be shown to whoever looks at the call on its way.
    match (credential(), values.next()) {
        (Some(credential), None) => Ok(Some(credential)),
        (_, _) => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_one_bearer() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().expect("a value"));
            }
            bearer(&headers).map(|found| found.map(str::to_owned))
        };
        assert_eq!(read(&[]), Ok(None));
        for good in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(read(&[good]), Ok(Some("abc".into())), "{good}");
        }
        let long = format!("Bearer {}", "a".repeat(CREDENTIAL_MAX_BYTES + 1));
        for bad in ["", "abc", "Basic abc", "Bearer", &long] {
            assert_eq!(read(&[bad]), Err(Malformed), "{bad}");
        }
        assert_eq!(read(&["Bearer abc", "Bearer abc"]), Err(Malformed));
    }
}
