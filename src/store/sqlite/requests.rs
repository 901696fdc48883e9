//! Requests that are about no session: the same id with the same request has one effect, for 24 h.

use super::{
    fault::{Answer, Fault},
    load,
    writer::Unit,
};
use crate::{
    domain::{
        Refusal,
        ids::{Principal, Time},
        limits::REQUEST_KEPT,
    },
    store::{
        RequestKey,
        core::{
            draft::micros,
            request_id::{self, RequestDigest},
        },
    },
};
use rusqlite::params;
use serde::{Serialize, de::DeserializeOwned};

/// What a request of `name` was answered with that is of no session, where it was done already.
pub(crate) fn kept_for<T: DeserializeOwned>(
    unit: &Unit<'_>,
    principal: &Principal,
    name: &str,
    request: Option<&RequestKey>,
) -> Answer<Option<T>> {
    let Some(request) = request else {
        return Ok(None);
    };
    match slot(unit, request_id::digest(principal, name, request), request)? {
        Slot::Kept(receipt) => Ok(Some(serde_json::from_str(&receipt).map_err(broken)?)),
        Slot::Free(_) => Ok(None),
    }
}

/// Does what is of no session once per request id: of `name`, in the principal's tenant. True for a repeat, which gets
/// the same value.
pub(crate) fn once_for<T: Serialize + DeserializeOwned>(
    unit: &mut Unit<'_>,
    principal: &Principal,
    name: &str,
    request: Option<&RequestKey>,
    now: Time,
    work: impl FnOnce(&mut Unit<'_>) -> Answer<T>,
) -> Answer<(T, bool)> {
    let Some(request) = request else {
        return Ok((work(unit)?, false));
    };
    let digest = request_id::digest(principal, name, request);
    let id = match slot(unit, digest, request)? {
        Slot::Kept(receipt) => return Ok((serde_json::from_str(&receipt).map_err(broken)?, true)),
        Slot::Free(id) => id,
    };
    let value = work(unit)?;
    let receipt = serde_json::to_string(&value).map_err(broken)?;
    let keep_until = now.plus_micros(micros(REQUEST_KEPT)).0;
    unit.sql(
        "INSERT INTO request (id, key, hash, session, session_uid, receipt, keep_until) \
         VALUES (?1, ?2, ?3, 0, zeroblob(16), ?4, ?5)",
    )?
    .execute(params![id, digest, request.hash, receipt, keep_until])?;
    Ok((value, false))
}

/// Where a request's answer is kept.
enum Slot {
    /// It was done, and answered with this.
    Kept(String),
    /// It is new.
    Free(i64),
}

fn slot(unit: &Unit<'_>, digest: RequestDigest, request: &RequestKey) -> Answer<Slot> {
    match load::kept(unit.connection, digest)? {
        load::Slot::Kept { hash, receipt, .. } if hash == request.hash => Ok(Slot::Kept(receipt)),
        load::Slot::Kept { .. } => {
            let request_id = request.request_id.clone();
            Err(Refusal::IdempotencyConflict { request_id }.into())
        }
        load::Slot::Free(id) => Ok(Slot::Free(id)),
    }
}

fn broken(error: serde_json::Error) -> Fault {
    Fault::Broken(format!("receipt: {error}"))
}
