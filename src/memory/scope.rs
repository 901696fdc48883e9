//! Which scope is meant, and whether it may be used.

use super::Actor;
use crate::{
    domain::{
        access::{Identity, Scope as Right, SessionAccess},
        ids::{Principal, SessionKey, SessionRow, Time},
        memory::{Namespace, Place, Reach},
        refusal::Refusal,
        session::Session,
    },
    store::sqlite::{Answer, Fault, Unit, session_by_row, session_of},
};
use rusqlite::{Connection, OptionalExtension as _};
use std::sync::Arc;
use uuid::Uuid;

/// What a scope is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Looking.
    Read,
    /// Changing.
    Write,
}

/// A scope that the actor may use.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// Its row; `None` while nothing was ever written to it.
    pub(super) row: Option<i64>,
    /// Its tenant.
    pub(super) tenant: String,
    /// What it is.
    pub(super) place: Place,
    /// The session whose scope it is.
    pub(super) session: Option<SessionRow>,
}

/// The scopes that an actor means by a place, or by none.
pub(super) fn resolve(
    connection: &Connection,
    generation: Uuid,
    actor: &Actor,
    place: Option<&Place>,
    need: Need,
) -> Answer<Vec<Scope>> {
    match actor {
        Actor::Caller(identity) => {
            let place = place.cloned().unwrap_or(Place::Tenant);
            let session = allowed(connection, generation, identity, &place, need)?;
            let tenant = identity.principal.tenant.clone();
            Ok(vec![find(connection, tenant, place, session)?])
        }
        Actor::Agent { session, turn_id } => {
            let session = agent_session(connection, generation, *session)?;
            let reached = places(&session, is_trusted(connection, *turn_id)?);
            let chosen = match place {
                None => reached,
                Some(place) if reached.contains(place) => vec![place.clone()],
                Some(_) => {
                    return Err(Refusal::field(
                        "namespace",
                        "is none of the session's memory_namespaces",
                    )
                    .into());
                }
            };
            chosen
                .into_iter()
                .map(|place| {
                    let own = matches!(place, Place::Session(_)).then_some(session.row);
                    find(connection, session.tenant.clone(), place, own)
                })
                .collect()
        }
    }
}

/// The one scope that an actor writes to.
pub(super) fn resolve_one(
    unit: &Unit<'_>,
    actor: &Actor,
    place: Option<&Place>,
    need: Need,
) -> Answer<Scope> {
    let scopes = resolve(
        unit.connection,
        unit.identity.generation,
        actor,
        place,
        need,
    )?;
    scopes.into_iter().next().ok_or_else(|| {
        Refusal::field("namespace", "the session reaches no memory of its own").into()
    })
}

/// The scope of a row, if the actor may use it.
pub(super) fn of_row(
    connection: &Connection,
    generation: Uuid,
    actor: &Actor,
    row: i64,
    need: Need,
) -> Answer<Option<Scope>> {
    let found: Option<(String, i64, String, i64)> = connection
        .prepare_cached("SELECT tenant, kind, name, session FROM memory_scope WHERE row = ?1")?
        .query_row([row], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((tenant, kind, name, session)) = found else {
        return Ok(None);
    };
    let place = match kind {
        1 => Place::Tenant,
        2 => Place::Namespace(
            Namespace::parse(&name)
                .map_err(|problem| Fault::Broken(format!("stored namespace: {problem}")))?,
        ),
        _ => match session_by_row(connection, generation, SessionRow(session))? {
            Some(session) => Place::Session(session.key.clone()),
            None => return Ok(None),
        },
    };
    let in_tenant = match actor {
        Actor::Caller(identity) => identity.principal.tenant == tenant,
        // Its places are compared below, and they are of its tenant.
        Actor::Agent { session, .. } => {
            agent_session(connection, generation, *session)?.tenant == tenant
        }
    };
    if !in_tenant {
        return Ok(None);
    }
    match resolve(connection, generation, actor, Some(&place), need) {
        Ok(scopes) => Ok(scopes.into_iter().next()),
        // What it may not see does not exist for it; a right that is missing is said.
        Err(Fault::Refused(
            refusal @ (Refusal::ScopeRequired { .. } | Refusal::SessionNotYours { .. }),
        )) => Err(refusal.into()),
        Err(Fault::Refused(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Makes the scope's row where there is none.
pub(super) fn make(unit: &Unit<'_>, scope: &Scope) -> Answer<i64> {
    if let Some(row) = scope.row {
        return Ok(row);
    }
    let (kind, name) = kind_and_name(&scope.place);
    unit.sql(
        "INSERT INTO memory_scope (tenant, kind, name, session, next_item, items) VALUES (?1, ?2, ?3, ?4, 1, 0)",
    )?
    .execute((&scope.tenant, kind, name, scope.session.unwrap_or_default().0))?;
    Ok(unit.connection.last_insert_rowid())
}

/// What the request id of an actor's command is counted under.
pub(super) fn principal(unit: &Unit<'_>, actor: &Actor) -> Answer<Principal> {
    match actor {
        Actor::Caller(identity) => Ok(identity.principal.clone()),
        Actor::Agent { session, .. } => {
            let session = agent_session(unit.connection, unit.identity.generation, *session)?;
            Ok(Principal {
                tenant: session.tenant.clone(),
                // No subject begins so.
                subject: format!("@agent {}", session.row.0),
            })
        }
    }
}

/// The session of an agent that acts.
pub(super) fn agent_session(
    connection: &Connection,
    generation: Uuid,
    row: SessionRow,
) -> Answer<Arc<Session>> {
    session_by_row(connection, generation, row)?.ok_or_else(|| {
        Refusal::SessionNotFound {
            key: format!("(row {})", row.0),
        }
        .into()
    })
}

/// Whether the tenant's memory may be reached by default in a turn: whoever sent it must have what naming that memory
/// needs. Outside of a turn a caller acts, whose own rights were looked at.
fn is_trusted(connection: &Connection, turn_id: Option<Uuid>) -> Answer<bool> {
    let Some(turn_id) = turn_id else {
        return Ok(true);
    };
    let trusted = connection
        .prepare_cached("SELECT sender_memory FROM turn WHERE turn_id = ?1")?
        .query_row([turn_id], |row| row.get(0))
        .optional()?;
    Ok(trusted.unwrap_or(false))
}

/// What the agent of a session reaches, in order.
fn places(session: &Session, trusted: bool) -> Vec<Place> {
    reach(session, trusted)
        .into_iter()
        .map(|reach| match reach {
            Reach::Own => Place::Session(session.key.clone()),
            Reach::Tenant => Place::Tenant,
            Reach::Namespace(name) => Place::Namespace(name),
        })
        .collect()
}

/// The session's `memory_namespaces`; its default where none were set.
fn reach(session: &Session, trusted: bool) -> Vec<Reach> {
    if !session.memory_namespaces.is_empty() {
        session.memory_namespaces.clone()
    } else if session.primary && trusted {
        vec![Reach::Tenant]
    } else {
        vec![Reach::Own]
    }
}

fn kind_and_name(place: &Place) -> (i64, &str) {
    match place {
        Place::Tenant => (1, ""),
        Place::Namespace(name) => (2, name.as_str()),
        Place::Session(_) => (3, ""),
    }
}

fn find(
    connection: &Connection,
    tenant: String,
    place: Place,
    session: Option<SessionRow>,
) -> Answer<Scope> {
    let (kind, name) = kind_and_name(&place);
    let row = connection
        .prepare_cached(
            "SELECT row FROM memory_scope WHERE tenant = ?1 AND kind = ?2 AND name = ?3 AND session = ?4",
        )?
        .query_row((&tenant, kind, name, session.unwrap_or_default().0), |row| {
            row.get(0)
        })
        .optional()?;
    Ok(Scope {
        row,
        tenant,
        place,
        session,
    })
}

/// Checks a caller's right to a place; gives the session where it is one's.
fn allowed(
    connection: &Connection,
    generation: Uuid,
    identity: &Identity,
    place: &Place,
    need: Need,
) -> Answer<Option<SessionRow>> {
    identity.require(match need {
        Need::Read => Right::MemoryRead,
        Need::Write => Right::MemoryWrite,
    })?;
    match place {
        // All of the tenant share these.
        Place::Tenant | Place::Namespace(_) => Ok(None),
        Place::Session(key) => {
            let session = session_of(connection, generation, identity, key)?;
            if need == Need::Write && identity.access(&session) < Some(SessionAccess::Write) {
                return Err(not_yours(key));
            }
            Ok(Some(session.row))
        }
    }
}

fn not_yours(key: &SessionKey) -> Fault {
    Refusal::SessionNotYours {
        key: key.as_str().to_owned(),
    }
    .into()
}

/// Whether an item's time is over.
pub(super) fn is_over(expire_time: Option<Time>, now: Time) -> bool {
    expire_time.is_some_and(|time| time <= now)
}
