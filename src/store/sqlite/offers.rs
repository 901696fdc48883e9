//! What agents offer: of each session what its agent told last, and of each agent of a tenant what it told last anywhere.

use super::fault::{Answer, Fault};
use crate::{
    domain::{
        ids::{SessionRow, Time},
        session::Session,
    },
    store::{KeptOffers, core::write_set::OffersRow},
};
use rusqlite::{Connection, OptionalExtension as _, params};

/// Rows of an agent, whatever its session.
const OF_AGENT: i64 = 0;

/// Keeps what a session's agent told.
pub(super) fn keep(connection: &Connection, session: &Session, offers: &OffersRow) -> Answer<()> {
    let OffersRow {
        own,
        of_agent,
        revision,
        time,
    } = offers;
    // Of another agent that it had before a Reset.
    connection
        .prepare_cached("DELETE FROM offer WHERE session = ?1 AND agent <> ?2")?
        .execute((session.row.0, &session.agent))?;
    for (row, body) in [(session.row.0, own), (OF_AGENT, of_agent)] {
        connection
            .prepare_cached(
                "INSERT INTO offer (tenant, agent, session, revision, body, time) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT (tenant, agent, session) DO UPDATE SET revision = excluded.revision, body = excluded.body, \
                 time = excluded.time",
            )?
            .execute(params![
                session.tenant,
                session.agent,
                row,
                revision,
                body,
                time.0
            ])?;
    }
    Ok(())
}

/// What an agent told in a session, else elsewhere in the tenant, configured as it is.
pub(super) fn find(
    connection: &Connection,
    (tenant, agent, revision): (&str, &str, &str),
    session: Option<SessionRow>,
) -> Answer<Option<KeptOffers>> {
    let row = session.map_or(OF_AGENT, |session| session.0);
    let found: Option<(i64, String, i64)> = connection
        .prepare_cached(
            "SELECT session, body, time FROM offer WHERE tenant = ?1 AND agent = ?2 AND session IN (0, ?3) \
             AND revision = ?4 ORDER BY session DESC LIMIT 1",
        )?
        .query_row((tenant, agent, row, revision), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((row, body, time)) = found else {
        return Ok(None);
    };
    let offers =
        serde_json::from_str(&body).map_err(|error| Fault::Broken(format!("offers: {error}")))?;
    Ok(Some(KeptOffers {
        offers,
        time: Time(time),
        of_session: row != OF_AGENT,
    }))
}
