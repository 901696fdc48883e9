//! Bytes that are stored for an owner: what counts, who may have how much, and the rows that keep the counts.
//!
//! Events, messages, the texts of turns, and attachments count, in the transaction that writes them: of a session in its
//! own row, which each change of it writes anyway, of an owner in the ledger and, once a batch, in one row. What a turn
//! that runs still writes is never refused, so a bound may be passed by what the running turns have left to say. History
//! stays readable after a Reset, so that alone gives nothing back; retention and Delete do.

use super::{fault::Answer, writer::Unit};
use crate::domain::{Refusal, ids::Principal, refusal::LimitOf, session::Session};
use rusqlite::Connection;

/// A length as it is counted.
pub(super) fn bytes(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Refuses new work of so many bytes where a session's owner, or its tenant, would have more than it may.
pub(super) fn require(unit: &Unit<'_>, session: &Session, more: i64) -> Answer<()> {
    let quotas = unit.rules.quotas.get();
    let (owner, tenant) = unit.held(&session.tenant, &session.owner);
    let places = [
        (
            LimitOf::Principal,
            quotas.principal.max_stored_bytes,
            owner.stored_bytes,
        ),
        (
            LimitOf::Tenant,
            quotas.tenant.max_stored_bytes,
            tenant.stored_bytes,
        ),
    ];
    for (of, limit, current) in places {
        // What was stored before the bound was lowered stays; nothing more comes beside it.
        if current >= limit || current.saturating_add(more) > limit {
            return Err(Refusal::TooManyBytes { of, limit, current }.into());
        }
    }
    Ok(())
}

/// Keeps the counts of owners; of those who have nothing, no row.
pub(super) fn keep(
    connection: &Connection,
    changed: &[(String, String, i64)],
) -> rusqlite::Result<()> {
    for (tenant, owner, bytes) in changed {
        if *bytes == 0 {
            connection
                .prepare_cached("DELETE FROM storage WHERE tenant = ?1 AND owner = ?2")?
                .execute((tenant, owner))?;
        } else {
            connection
                .prepare_cached(
                    "INSERT INTO storage (tenant, owner, bytes) VALUES (?1, ?2, ?3) \
                     ON CONFLICT DO UPDATE SET bytes = excluded.bytes",
                )?
                .execute((tenant, owner, bytes))?;
        }
    }
    Ok(())
}

/// What a principal has, and what its tenant has.
pub(super) fn of(connection: &Connection, principal: &Principal) -> Answer<(i64, i64)> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(sum(bytes) FILTER (WHERE owner = ?2), 0), coalesce(sum(bytes), 0) FROM storage \
         WHERE tenant = ?1",
    )?;
    let found = statement.query_row((&principal.tenant, &principal.subject), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(found)
}
