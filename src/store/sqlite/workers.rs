//! Leases of turns that workers run, and sessions that wait for a worker.

use super::{commands::Tell, fault::Answer, writer::Unit};
use crate::{
    domain::{
        ids::{SessionRow, Time},
        lease::{KeptLease, WantedWorker},
        turn::Cause,
    },
    store::{
        Fence,
        core::decide::{recovery, workers},
    },
};
use rusqlite::{Connection, params};
use uuid::Uuid;

/// Sessions that are looked at again in one commit.
const LOOK_MAX_SESSIONS: usize = 64;

/// Keeps a lease, in place of another one of the same turn.
pub(super) fn put(unit: &Unit<'_>, lease: &KeptLease) -> Answer<()> {
    let KeptLease {
        turn_id,
        attempt,
        worker,
        token_hash,
    } = lease;
    unit.sql("INSERT OR REPLACE INTO worker_lease (turn_id, attempt, worker, token_hash) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![turn_id, attempt, worker, token_hash])?;
    Ok(())
}

/// Forgets a lease.
pub(super) fn end(unit: &Unit<'_>, turn_id: Uuid) -> Answer<()> {
    unit.sql("DELETE FROM worker_lease WHERE turn_id = ?1")?
        .execute([turn_id])?;
    Ok(())
}

/// Every lease; those of turns that are over are forgotten.
pub(super) fn all(unit: &Unit<'_>) -> Answer<Vec<KeptLease>> {
    unit.sql(
        "DELETE FROM worker_lease WHERE turn_id NOT IN \
         (SELECT active_turn FROM session WHERE active_row IS NOT NULL AND active_turn IS NOT NULL)",
    )?
    .execute([])?;
    let mut statement =
        unit.sql("SELECT turn_id, attempt, worker, token_hash FROM worker_lease")?;
    let leases = statement.query_map([], |row| {
        Ok(KeptLease {
            turn_id: row.get(0)?,
            attempt: row.get(1)?,
            worker: row.get(2)?,
            token_hash: row.get(3)?,
        })
    })?;
    Ok(leases.collect::<rusqlite::Result<_>>()?)
}

/// Settles a turn of an earlier life of the server whose lease is over.
pub(super) fn settle(unit: &mut Unit<'_>, turn_id: Uuid, now: Time) -> Answer<()> {
    let session: Option<i64> = unit
        .sql("SELECT row FROM session WHERE active_row IS NOT NULL AND active_turn = ?1 AND owner_life <> ?2")?
        .query_map((turn_id, unit.life), |row| row.get(0))?
        .next()
        .transpose()?;
    if let Some(row) = session {
        let write = unit.of_row(SessionRow(row), |ctx, facts, found| match found {
            Some(found) => recovery::settle(ctx, facts, found, Cause::LeaseLost, now).map(Some),
            None => Ok(None),
        })?;
        if let Some((_, write)) = write {
            unit.write(write, Tell::All)?;
        }
    }
    end(unit, turn_id)
}

/// Has a session's next turn wait for a worker.
pub(super) fn wait(
    unit: &mut Unit<'_>,
    fence: Fence,
    wanted: &WantedWorker,
    now: Time,
) -> Answer<()> {
    let write = unit.of_row(fence.session, |_, _, found| {
        workers::wait(found, fence, wanted, now)
    })?;
    if let Some(write) = write {
        unit.write(write, Tell::All)?;
    }
    Ok(())
}

/// Has the sessions looked at again whose next turns have waited longest for a worker; returns how many.
pub(super) fn look(
    unit: &mut Unit<'_>,
    agent: &str,
    tenant: Option<&str>,
    limit: usize,
    now: Time,
) -> Answer<usize> {
    let limit = i64::try_from(limit.min(LOOK_MAX_SESSIONS)).unwrap_or(i64::MAX);
    let waiting = unit
        .sql(
            "SELECT row FROM session WHERE agent = ?1 AND worker_wait > 0 AND (?3 IS NULL OR tenant = ?3) \
             ORDER BY worker_wait LIMIT ?2",
        )?
        .query_map((agent, limit, tenant), |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    for row in &waiting {
        let write = unit.of_row(SessionRow(*row), |_, _, found| {
            Ok(found.map(|found| workers::look_again(found, now)))
        })?;
        if let Some(write) = write {
            unit.write(write, Tell::All)?;
        }
    }
    Ok(waiting.len())
}

/// Sessions whose next turn waits for a worker, by agent.
pub(super) fn wanted(connection: &Connection) -> Answer<Vec<(String, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT agent, count(*) FROM session WHERE worker_wait > 0 GROUP BY agent ORDER BY agent",
    )?;
    let wanted = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(wanted.collect::<rusqlite::Result<_>>()?)
}
