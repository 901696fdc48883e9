//! Who may do what to a session.
//!
//! To somebody without access a session is one that never was: no other refusal, no tombstone, no repeat of a request
//! tells it from that. Only who would make a session learns that its key is taken.

use super::super::{
    commands::Caller,
    draft::Draft,
    facts::{Decision, Facts},
    snapshot::{Sender, Snapshot, Tombstone},
};
use crate::domain::{
    access::{Credential, Identity, Scopes, SessionAccess},
    ids::SessionKey,
    refusal::Refusal,
    session::{Session, SessionState},
};

/// What a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To make the session, or to use it where it exists.
    Make,
    /// To use it.
    Write,
    /// To delete or share it.
    Own,
}

/// The session of a command, if there is one; refuses a caller who may not do this to it.
pub(crate) fn authorize(
    facts: &Facts,
    caller: &Caller,
    need: Need,
    found: Option<&Snapshot>,
) -> Decision<Option<Draft>> {
    let identity = &caller.identity;
    let Some(snapshot) = found else {
        return Ok(None);
    };
    let needed = match need {
        Need::Make | Need::Write => SessionAccess::Write,
        Need::Own => SessionAccess::Own,
    };
    match identity.access(&snapshot.session) {
        Some(access) if access >= needed => Ok(Some(Draft::of(snapshot))),
        None if need != Need::Make => Err(absent(facts, caller)?.into()),
        Some(_) | None => Err(not_yours(&caller.key).into()),
    }
}

/// The refusal of somebody else's session.
pub(crate) fn not_yours(key: &SessionKey) -> Refusal {
    Refusal::SessionNotYours {
        key: key.as_str().to_owned(),
    }
}

/// The session that a command found, if it can be used: missing, deleted and DELETING ones are refused as `NOT_FOUND`.
pub(crate) fn usable(facts: &Facts, caller: &Caller, found: Option<Draft>) -> Decision<Draft> {
    match found {
        Some(draft) if draft.session.state != SessionState::Deleting => Ok(draft),
        Some(_) => Err(not_found(caller).into()),
        None => Err(absent(facts, caller)?.into()),
    }
}

/// The refusal of a session that is not there.
pub(crate) fn not_found(caller: &Caller) -> Refusal {
    Refusal::SessionNotFound {
        key: caller.key.as_str().to_owned(),
    }
}

/// The newest tombstone of the caller's key that it may see.
pub(crate) fn tombstone<'f>(facts: &'f Facts, caller: &Caller) -> Decision<Option<&'f Tombstone>> {
    let seen = |left: &&Tombstone| left.access(&caller.identity).is_some();
    Ok(facts.tombstones()?.iter().find(seen))
}

/// Why there is no session of the caller's key.
fn absent(facts: &Facts, caller: &Caller) -> Decision<Refusal> {
    let deleted = tombstone(facts, caller)?.is_some();
    let key = caller.key.as_str().to_owned();
    Ok(if deleted {
        Refusal::SessionDeleted { key }
    } else {
        Refusal::SessionNotFound { key }
    })
}

// === impl Tombstone ===

impl Tombstone {
    /// What somebody could do with the session at its end.
    pub(crate) fn access(&self, identity: &Identity) -> Option<SessionAccess> {
        identity.access_of(&self.tenant, &self.owner, &self.shares)
    }
}

// === impl Sender ===

impl Sender {
    /// Who sends something to a session now.
    pub(crate) fn of(identity: &Identity, session: &Session) -> Self {
        let subject = identity.principal.subject.clone();
        Self {
            operator: !may_write(session, &subject),
            memory: identity.scopes.includes(Scopes::MEMORY),
            subject,
            key_id: match &identity.credential {
                Credential::ApiKey(key_id) => key_id.clone(),
                Credential::None
                | Credential::Jwt
                | Credential::Certificate
                | Credential::LocalUser => String::new(),
            },
        }
    }

    /// Whether what it sent may still start.
    pub(crate) fn may_start(&self, facts: &Facts, session: &Session) -> Decision<bool> {
        let Self {
            subject,
            key_id,
            operator,
            memory: _,
        } = self;
        if !operator && !may_write(session, subject) {
            return Ok(false);
        }
        Ok(key_id.is_empty() || !facts.is_revoked(key_id)?)
    }
}

fn may_write(session: &Session, subject: &str) -> bool {
    session.owner == subject
        || session
            .shares
            .get(subject)
            .is_some_and(|access| *access >= SessionAccess::Write)
}
