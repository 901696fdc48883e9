//! API keys: made, listed, revoked. Rows stay for ever, so that an id never names two keys.

use super::{
    fault::{Answer, Fault},
    writer::Unit,
};
use crate::{
    domain::{
        Refusal,
        access::{Scope, Scopes},
        api_key::ApiKey,
        ids::{Principal, Time},
    },
    store::{ApiKeysFilter, ApiKeysPage, CreatedApiKey, KeptApiKey, KeyRequest, NewApiKey},
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

const COLUMNS: &str = "tenant, subject, scopes, key_id, display_name, created_by, create_time, expire_time, \
                       last_used_time, revoke_time";

/// Keeps a key, once per request.
pub(super) fn create(unit: &Unit<'_>, new: NewApiKey) -> Answer<CreatedApiKey> {
    if let Some(KeyRequest {
        request_id,
        digest,
        hash,
    }) = &new.request
    {
        let found = unit
            .sql(&format!(
                "SELECT {COLUMNS}, request_hash FROM api_key WHERE request_digest = ?1"
            ))?
            .query_row([digest], |row| {
                Ok((key_of(row)?, row.get::<_, [u8; 32]>(10)?))
            })
            .optional()?;
        if let Some((key, kept)) = found {
            if kept != *hash {
                return Err(Refusal::IdempotencyConflict {
                    request_id: request_id.clone(),
                }
                .into());
            }
            return Ok(CreatedApiKey {
                key: key?,
                replayed: true,
            });
        }
    }
    insert(unit.connection, &new)?;
    Ok(CreatedApiKey {
        key: new.key,
        replayed: false,
    })
}

/// Adds the row of a key.
pub(super) fn insert(connection: &Connection, new: &NewApiKey) -> rusqlite::Result<()> {
    let NewApiKey {
        key,
        digest,
        request,
    } = new;
    let ApiKey {
        key_id,
        principal: Principal { tenant, subject },
        scopes,
        display_name,
        created_by,
        create_time,
        expire_time,
        last_used_time,
        revoke_time,
    } = key;
    connection.prepare_cached(
        "INSERT INTO api_key (key_id, hash, tenant, subject, scopes, display_name, created_by, create_time, \
         expire_time, last_used_time, revoke_time, request_digest, request_hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        key_id,
        digest,
        tenant,
        subject,
        scopes.names().join(" "),
        display_name,
        created_by,
        create_time.0,
        expire_time.map(|time| time.0),
        last_used_time.map(|time| time.0),
        revoke_time.map(|time| time.0),
        request.as_ref().map(|request| request.digest),
        request.as_ref().map(|request| request.hash),
    ])?;
    Ok(())
}

/// Revokes a key; the time of its first revocation stays.
pub(super) fn revoke(unit: &Unit<'_>, tenant: &str, key_id: &str, now: Time) -> Answer<ApiKey> {
    unit.sql("UPDATE api_key SET revoke_time = coalesce(revoke_time, ?3) WHERE tenant = ?1 AND key_id = ?2")?
        .execute(params![tenant, key_id, now.0])?;
    unit.sql(&format!(
        "SELECT {COLUMNS} FROM api_key WHERE tenant = ?1 AND key_id = ?2"
    ))?
    .query_row([tenant, key_id], key_of)
    .optional()?
    .ok_or_else(|| Refusal::ApiKeyNotFound {
        key_id: key_id.to_owned(),
    })?
}

/// Notes when keys were used; never takes a time back.
pub(super) fn used(unit: &Unit<'_>, used: &[(String, Time)]) -> Answer<()> {
    let mut update = unit.sql(
        "UPDATE api_key SET last_used_time = max(coalesce(last_used_time, 0), ?2) WHERE key_id = ?1",
    )?;
    for (key_id, time) in used {
        update.execute(params![key_id, time.0])?;
    }
    Ok(())
}

/// Whether there ever was a key.
pub(super) fn any(connection: &Connection) -> Answer<bool> {
    Ok(
        connection.query_row("SELECT EXISTS (SELECT 1 FROM api_key)", [], |row| {
            row.get(0)
        })?,
    )
}

/// Every key that calls may be made with.
pub(super) fn valid(connection: &Connection, now: Time) -> Answer<Vec<KeptApiKey>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, hash FROM api_key \
         WHERE revoke_time IS NULL AND (expire_time IS NULL OR expire_time > ?1)"
    ))?;
    let mut rows = statement.query([now.0])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(KeptApiKey {
            key: key_of(row)??,
            digest: row.get(10)?,
        });
    }
    Ok(keys)
}

/// A page of a tenant's keys.
pub(super) fn list(
    connection: &Connection,
    filter: &ApiKeysFilter,
    before: Option<i64>,
    limit: usize,
) -> Answer<ApiKeysPage> {
    let ApiKeysFilter { tenant, valid_at } = filter;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, row FROM api_key WHERE tenant = ?1 AND row < ?2 \
         AND (?3 IS NULL OR (revoke_time IS NULL AND (expire_time IS NULL OR expire_time > ?3))) \
         ORDER BY row DESC LIMIT ?4"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX - 1);
    let mut rows = statement.query(params![
        tenant,
        before.unwrap_or(i64::MAX),
        valid_at.map(|time| time.0),
        limit + 1,
    ])?;
    let mut page = ApiKeysPage::default();
    let mut last = None;
    while let Some(row) = rows.next()? {
        if i64::try_from(page.keys.len()) == Ok(limit) {
            page.next = last;
            break;
        }
        page.keys.push(key_of(row)??);
        last = Some(row.get(10)?);
    }
    Ok(page)
}

/// A row that begins with [`COLUMNS`].
fn key_of(row: &Row<'_>) -> rusqlite::Result<Answer<ApiKey>> {
    let names: String = row.get(2)?;
    // Skipping an unknown one would be as safe, but it would hide a damaged row.
    let scopes: Option<Vec<Scope>> = names.split_whitespace().map(Scope::parse).collect();
    let Some(scopes) = scopes else {
        return Ok(Err(Fault::Broken(format!("scopes of an API key: {names}"))));
    };
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Time));
    Ok(Ok(ApiKey {
        key_id: row.get(3)?,
        principal: Principal {
            tenant: row.get(0)?,
            subject: row.get(1)?,
        },
        scopes: Scopes::of(scopes),
        display_name: row.get(4)?,
        created_by: row.get(5)?,
        create_time: Time(row.get(6)?),
        expire_time: time(7)?,
        last_used_time: time(8)?,
        revoke_time: time(9)?,
    }))
}
