//! What agents told of themselves: a small table, a few rows for each name.

use super::{
    fault::{Answer, Fault},
    writer::Unit,
};
use crate::domain::{
    agent::{REVISIONS_MAX, ToldAgent},
    ids::Time,
};
use rusqlite::{Connection, params};

/// All that is kept. What another version of the server wrote and this one can't read is passed over: it counts as not known.
pub(super) fn all(connection: &Connection) -> Answer<Vec<ToldAgent>> {
    let mut statement = connection
        .prepare_cached("SELECT name, revision, capabilities, version, as_of FROM agent")?;
    let mut found = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        let Ok(capabilities) = serde_json::from_str(&row.get::<_, String>(2)?) else {
            continue;
        };
        all.push(ToldAgent {
            agent: row.get(0)?,
            revision: row.get(1)?,
            capabilities,
            version: row.get(3)?,
            as_of: Time(row.get(4)?),
        });
    }
    Ok(all)
}

/// Keeps what an agent told, in place of what the same revision told before; the oldest revisions of it go.
pub(super) fn put(unit: &Unit<'_>, told: &ToldAgent) -> Answer<()> {
    let ToldAgent {
        agent,
        revision,
        capabilities,
        version,
        as_of,
    } = told;
    let capabilities = serde_json::to_string(capabilities)
        .map_err(|problem| Fault::Broken(format!("capabilities: {problem}")))?;
    unit.sql(
        "INSERT INTO agent (name, revision, capabilities, version, as_of) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (name, revision) DO UPDATE SET capabilities = ?3, version = ?4, as_of = ?5",
    )?
    .execute(params![agent, revision, capabilities, version, as_of.0])?;
    unit.sql(
        "DELETE FROM agent WHERE name = ?1 AND revision NOT IN \
         (SELECT revision FROM agent WHERE name = ?1 ORDER BY as_of DESC LIMIT ?2)",
    )?
    .execute(params![
        agent,
        i64::try_from(REVISIONS_MAX).unwrap_or(i64::MAX)
    ])?;
    Ok(())
}
