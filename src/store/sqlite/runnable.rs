//! Who is next to start: a walk over the index of what waits, one principal after the other.

use super::{fault::Answer, load};
use crate::{
    domain::{
        ids::{Principal, SessionRow},
        session::Session,
    },
    store::{Runnable, Waiting, round::Round},
};
use rusqlite::{Connection, OptionalExtension as _};
use std::sync::Arc;
use uuid::Uuid;

/// One look.
struct Walk<'a> {
    connection: &'a Connection,
    generation: Uuid,
    ask: &'a Waiting,
    /// As it will be when those that were found have their grants.
    round: Round,
    /// Somebody waits who may not start now.
    held_back: bool,
}

/// Sessions that an owner must wake for, in the order in which they are to get their grants.
pub(super) fn runnable(
    connection: &Connection,
    generation: Uuid,
    ask: &Waiting,
) -> Answer<Runnable> {
    let mut walk = Walk {
        connection,
        generation,
        ask,
        round: ask.round.clone(),
        held_back: false,
    };
    let mut sessions = Vec::new();
    while sessions.len() < ask.limit {
        let Some(session) = walk.next()? else {
            return Ok(Runnable {
                sessions,
                more: walk.held_back,
            });
        };
        walk.round.grant(&session);
        sessions.push(Arc::new(session));
    }
    Ok(Runnable {
        sessions,
        more: true,
    })
}

// === impl Walk ===

impl Walk<'_> {
    fn next(&mut self) -> Answer<Option<Session>> {
        let last = self.round.last_tenant().to_owned();
        let connection = self.connection;
        around(
            &last,
            |after| {
                let mut statement = connection.prepare_cached(
                    "SELECT tenant FROM session INDEXED BY session_wake WHERE wake IS NOT NULL AND tenant > ?1 \
                     ORDER BY tenant LIMIT 1",
                )?;
                Ok(statement.query_row([after], |row| row.get(0)).optional()?)
            },
            |tenant| self.of_tenant(tenant),
        )
    }

    fn of_tenant(&mut self, tenant: &str) -> Answer<Option<Session>> {
        if !self.round.tenant_may(&self.ask.quotas, tenant) {
            self.held_back = true;
            return Ok(None);
        }
        let last = self.round.last_subject(tenant).to_owned();
        let connection = self.connection;
        around(
            &last,
            |after| {
                let mut statement = connection.prepare_cached(
                    "SELECT owner FROM session INDEXED BY session_wake WHERE wake IS NOT NULL AND tenant = ?1 \
                     AND owner > ?2 ORDER BY owner LIMIT 1",
                )?;
                Ok(statement
                    .query_row((tenant, after), |row| row.get(0))
                    .optional()?)
            },
            |subject| {
                let principal = Principal {
                    tenant: tenant.to_owned(),
                    subject: subject.to_owned(),
                };
                self.of_principal(&principal)
            },
        )
    }

    /// The session of a principal that waits for longest; a Delete before all others.
    fn of_principal(&mut self, principal: &Principal) -> Answer<Option<Session>> {
        if !self.round.principal_may(&self.ask.quotas, principal) {
            self.held_back = true;
            return Ok(None);
        }
        let Principal { tenant, subject } = principal;
        let latest = if self.ask.deletes_only { 0 } else { i64::MAX };
        let mut statement = self.connection.prepare_cached(
            "SELECT row FROM session INDEXED BY session_wake WHERE wake IS NOT NULL AND tenant = ?1 \
             AND owner = ?2 AND wake <= ?3 ORDER BY wake",
        )?;
        let mut found = statement.query((tenant, subject, latest))?;
        // Those that have a grant and did not start yet are passed over; they are few.
        while let Some(row) = found.next()? {
            let row = SessionRow(row.get(0)?);
            if !self.round.holds(row) {
                let session = load::session_of_row(self.connection, self.generation, row)?;
                return Ok(session.map(|(session, _)| session));
            }
        }
        Ok(None)
    }
}

/// Visits names in their order, from the one behind `last` round to `last` itself, until a visit has found something.
fn around<T>(
    last: &str,
    next: impl Fn(&str) -> Answer<Option<String>>,
    mut visit: impl FnMut(&str) -> Answer<Option<T>>,
) -> Answer<Option<T>> {
    let mut at = last.to_owned();
    let mut again = false;
    loop {
        match next(&at)? {
            Some(name) if !again || name.as_str() <= last => {
                if let Some(found) = visit(&name)? {
                    return Ok(Some(found));
                }
                at = name;
            }
            Some(_) => return Ok(None),
            None if again => return Ok(None),
            None => {
                again = true;
                at.clear();
            }
        }
    }
}
