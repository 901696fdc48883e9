//! API keys: made, listed, revoked. Rows stay for ever, so that an id never names two keys.

use super::{fault::Answer, writer::Unit};
use crate::{
    domain::{
        Refusal,
        access::Credential,
        api_key::ApiKey,
        ids::{Principal, Time},
    },
    store::{
        ApiKeysFilter, ApiKeysPage, CreatedApiKey, KeptApiKey, KeyRequest, NewApiKey, RevokeApiKey,
        RevokedApiKey,
    },
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

const COLUMNS: &str = "tenant, subject, scopes, key_id, display_name, created_by, create_time, expire_time, \
                       last_used_time, revoke_time, made_with";

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
                Ok((key_of(row)?, row.get::<_, [u8; 32]>(11)?))
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
                key,
                replayed: true,
            });
        }
    }
    let now = new.key.create_time;
    if let Some(made_with) = &new.key.made_with {
        // Asked here and not before: who revokes that key while this one is made takes both.
        let valid = unit
            .sql(
                "SELECT 1 FROM api_key WHERE key_id = ?1 AND revoke_time IS NULL \
                 AND (expire_time IS NULL OR expire_time > ?2)",
            )?
            .exists(params![made_with, now.0])?;
        if !valid {
            return Err(Refusal::CredentialsInvalid.into());
        }
    }
    let limit = i64::try_from(new.tenant_max_keys).unwrap_or(i64::MAX);
    if limit > 0 {
        let current: i64 = unit
            .sql(
                "SELECT count(*) FROM api_key WHERE tenant = ?1 AND revoke_time IS NULL \
                 AND (expire_time IS NULL OR expire_time > ?2)",
            )?
            .query_row(params![new.key.principal.tenant, now.0], |row| row.get(0))?;
        if current >= limit {
            return Err(Refusal::TooManyKeys { limit, current }.into());
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
        tenant_max_keys: _,
    } = new;
    let ApiKey {
        key_id,
        principal: Principal { tenant, subject },
        scopes: _,
        unknown_scopes: _,
        display_name,
        created_by,
        made_with,
        create_time,
        expire_time,
        last_used_time,
        revoke_time,
    } = key;
    connection.prepare_cached(
        "INSERT INTO api_key (key_id, hash, tenant, subject, scopes, display_name, created_by, create_time, \
         expire_time, last_used_time, revoke_time, request_digest, request_hash, made_with) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        key_id,
        digest,
        tenant,
        subject,
        key.scope_names().join(" "),
        display_name,
        created_by,
        create_time.0,
        expire_time.map(|time| time.0),
        last_used_time.map(|time| time.0),
        revoke_time.map(|time| time.0),
        request.as_ref().map(|request| request.digest),
        request.as_ref().map(|request| request.hash),
        made_with,
    ])?;
    Ok(())
}

/// Revokes a key and what was made with it; the time of a first revocation stays.
pub(super) fn revoke(unit: &Unit<'_>, revoke: &RevokeApiKey) -> Answer<RevokedApiKey> {
    let RevokeApiKey {
        caller,
        tenant,
        key_id,
        keep_made_keys,
        now,
    } = revoke;
    let find = || -> Answer<Option<ApiKey>> {
        let found = unit
            .sql(&format!(
                "SELECT {COLUMNS} FROM api_key WHERE tenant = ?1 AND key_id = ?2"
            ))?
            .query_row([tenant, key_id], key_of)
            .optional()?;
        Ok(found)
    };
    let key = find()?.ok_or_else(|| Refusal::ApiKeyNotFound {
        key_id: key_id.to_owned(),
    })?;
    // Whoever holds a key may end it.
    if caller.credential != Credential::ApiKey(key_id.clone()) {
        caller.require_all(key.scopes.in_tenant(tenant))?;
        if !key.unknown_scopes.is_empty() && !caller.scopes.is_every() {
            // They may be more than the caller holds, by a version that knows them.
            return Err(Refusal::EveryScopeRequired.into());
        }
    }
    unit.sql("UPDATE api_key SET revoke_time = coalesce(revoke_time, ?2) WHERE key_id = ?1")?
        .execute(params![key_id, now.0])?;
    let mut made = Vec::new();
    if !keep_made_keys {
        // Through keys that were revoked before, too: what was kept valid then ends now. `UNION` visits each key once.
        let mut update = unit.sql(
            "WITH RECURSIVE made (key_id) AS ( \
                SELECT key_id FROM api_key WHERE made_with = ?1 \
                UNION SELECT api_key.key_id FROM api_key JOIN made ON api_key.made_with = made.key_id) \
             UPDATE api_key SET revoke_time = ?2 \
             WHERE revoke_time IS NULL AND key_id IN (SELECT key_id FROM made) RETURNING key_id",
        )?;
        let mut rows = update.query(params![key_id, now.0])?;
        while let Some(row) = rows.next()? {
            made.push(row.get(0)?);
        }
    }
    let key = find()?.ok_or_else(|| Refusal::ApiKeyNotFound {
        key_id: key_id.to_owned(),
    })?;
    Ok(RevokedApiKey { key, made })
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
            key: key_of(row)?,
            digest: row.get(11)?,
        });
    }
    Ok(keys)
}

/// A key of a tenant.
pub(super) fn find(connection: &Connection, tenant: &str, key_id: &str) -> Answer<Option<ApiKey>> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM api_key WHERE tenant = ?1 AND key_id = ?2"
        ))?
        .query_row((tenant, key_id), key_of)
        .optional()?;
    Ok(found)
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
        page.keys.push(key_of(row)?);
        last = Some(row.get(11)?);
    }
    Ok(page)
}

/// A row that begins with [`COLUMNS`].
fn key_of(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let names: String = row.get(2)?;
    let (scopes, unknown_scopes) = ApiKey::read_scopes(names.split_whitespace());
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Time));
    Ok(ApiKey {
        key_id: row.get(3)?,
        principal: Principal {
            tenant: row.get(0)?,
            subject: row.get(1)?,
        },
        scopes,
        unknown_scopes,
        display_name: row.get(4)?,
        created_by: row.get(5)?,
        create_time: Time(row.get(6)?),
        expire_time: time(7)?,
        last_used_time: time(8)?,
        revoke_time: time(9)?,
        made_with: row.get(10)?,
    })
}
