//! Who may do what to a session, decided inside the transaction that does it.
//!
//! To somebody without access a session is one that never was: no other refusal, no tombstone, no repeat of a request
//! tells it from that. Only who would make a session learns that its key is taken.

use super::{edit::SessionEdit, fault::Answer, rows, writer::Unit};
use crate::{
    domain::{
        Refusal, SessionKey,
        access::{Credential, Identity, Scopes, SessionAccess, Shares},
        ids::SessionRow,
        session::Session,
    },
    store::Caller,
};
use rusqlite::{Connection, Row};
use uuid::Uuid;

/// Tombstones of one key that are looked at, the newest first.
const TOMBSTONES_MAX: i64 = 64;

/// What a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// To make the session, or to use it where it exists.
    Make,
    /// To use it.
    Write,
    /// To delete or share it.
    Own,
}

/// What is left of a session that is gone.
pub(super) struct Tombstone {
    /// Its row.
    pub(super) row: SessionRow,
    /// Its own id.
    pub(super) uid: Uuid,
    /// Position of its last event.
    pub(super) head: i64,
    tenant: String,
    owner: String,
    shares: Shares,
}

/// Who sent a turn or a steer, as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    /// Subject, in the session's tenant.
    pub(super) subject: String,
    /// API key that it came with; empty for other credentials.
    pub(super) key_id: String,
    /// By `tenant.sessions` alone, neither as owner nor by a share.
    pub(super) operator: bool,
    /// With the rights that naming the tenant's memory needs.
    pub(super) memory: bool,
}

// === commands ===

/// The session of a command, if there is one; refuses a caller who may not do this to it.
pub(super) fn authorize(
    unit: &Unit<'_>,
    caller: &Caller,
    need: Need,
) -> Answer<Option<SessionEdit>> {
    let identity = &caller.identity;
    let Some(edit) = SessionEdit::find(unit, &identity.principal.tenant, &caller.key)? else {
        return Ok(None);
    };
    let needed = match need {
        Need::Make | Need::Write => SessionAccess::Write,
        Need::Own => SessionAccess::Own,
    };
    match identity.access(&edit.session) {
        Some(access) if access >= needed => Ok(Some(edit)),
        None if need != Need::Make => Err(absent(unit.connection, identity, &caller.key)?.into()),
        Some(_) | None => Err(not_yours(&caller.key).into()),
    }
}

/// The refusal of somebody else's session.
pub(super) fn not_yours(key: &SessionKey) -> Refusal {
    Refusal::SessionNotYours {
        key: key.as_str().to_owned(),
    }
}

// === sessions that are gone ===

/// Why there is no session of that key for somebody.
pub(super) fn absent(
    connection: &Connection,
    identity: &Identity,
    key: &SessionKey,
) -> Answer<Refusal> {
    let deleted = tombstone(connection, identity, key)?.is_some();
    let key = key.as_str().to_owned();
    Ok(if deleted {
        Refusal::SessionDeleted { key }
    } else {
        Refusal::SessionNotFound { key }
    })
}

/// The newest tombstone of a key that somebody may see.
pub(super) fn tombstone(
    connection: &Connection,
    identity: &Identity,
    key: &SessionKey,
) -> Answer<Option<Tombstone>> {
    let mut statement = connection.prepare_cached(
        "SELECT session, uid, head, tenant, owner, shares FROM tombstone WHERE tenant = ?1 AND key = ?2 \
         ORDER BY session DESC LIMIT ?3",
    )?;
    let mut found = statement.query((&identity.principal.tenant, key.as_str(), TOMBSTONES_MAX))?;
    while let Some(row) = found.next()? {
        let tombstone = Tombstone::read(row)?;
        if tombstone.access(identity).is_some() {
            return Ok(Some(tombstone));
        }
    }
    Ok(None)
}

/// The tombstone of a row.
pub(super) fn tombstone_of_row(
    connection: &Connection,
    row: SessionRow,
) -> Answer<Option<Tombstone>> {
    let mut statement = connection.prepare_cached(
        "SELECT session, uid, head, tenant, owner, shares FROM tombstone WHERE session = ?1",
    )?;
    let mut found = statement.query([row.0])?;
    found.next()?.map(Tombstone::read).transpose()
}

// === impl Tombstone ===

impl Tombstone {
    fn read(row: &Row<'_>) -> Answer<Self> {
        Ok(Self {
            row: SessionRow(row.get(0)?),
            uid: row.get(1)?,
            head: row.get(2)?,
            tenant: row.get(3)?,
            owner: row.get(4)?,
            shares: rows::shares_of(&row.get::<_, String>(5)?)?,
        })
    }

    /// What somebody could do with the session at its end.
    pub(super) fn access(&self, identity: &Identity) -> Option<SessionAccess> {
        identity.access_of(&self.tenant, &self.owner, &self.shares)
    }
}

// === impl Sender ===

impl Sender {
    /// Who sends something to a session now.
    pub(super) fn of(identity: &Identity, session: &Session) -> Self {
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
    pub(super) fn may_start(&self, unit: &Unit<'_>, session: &Session) -> Answer<bool> {
        let Self {
            subject,
            key_id,
            operator,
            memory: _,
        } = self;
        if !operator && !may_write(session, subject) {
            return Ok(false);
        }
        let revoked = !key_id.is_empty()
            && unit
                .sql("SELECT 1 FROM api_key WHERE key_id = ?1 AND revoke_time IS NOT NULL")?
                .exists([key_id])?;
        Ok(!revoked)
    }
}

fn may_write(session: &Session, subject: &str) -> bool {
    session.owner == subject
        || session
            .shares
            .get(subject)
            .is_some_and(|access| *access >= SessionAccess::Write)
}
