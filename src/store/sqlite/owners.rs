//! Owners of what runs by itself, schedules and webhooks: what they may do is looked up each time, and stored nowhere but for
//! those without a key.

use super::{fault::Answer, keys};
use crate::domain::{
    access::{Credential, EVERY_SCOPE, Identity},
    api_key::ApiKey,
    ids::{Principal, Time},
    schedule::Owner,
};
use rusqlite::Connection;

/// An owner as it is now, by its columns `key_id`, `scopes` and `owner_until`.
pub(super) fn look_up(
    connection: &Connection,
    principal: Principal,
    (key_id, scopes, until): (String, &str, Option<Time>),
    wall: Time,
) -> Answer<Owner> {
    let (scopes, valid) = if key_id.is_empty() {
        let (scopes, _) = ApiKey::read_scopes(scopes.split_ascii_whitespace());
        (scopes, until.is_none_or(|until| wall < until))
    } else {
        let key = keys::find(connection, &principal.tenant, &key_id)?;
        let valid = key
            .as_ref()
            .is_some_and(|key| key.is_valid(wall) && key.principal == principal);
        (key.map(|key| key.scopes).unwrap_or_default(), valid)
    };
    Ok(Owner {
        principal,
        key_id,
        scopes,
        valid,
    })
}

/// A caller's columns `key_id` and `scopes`.
pub(super) fn credential(identity: &Identity) -> (String, String) {
    let key_id = match &identity.credential {
        Credential::ApiKey(key_id) => key_id.clone(),
        Credential::None | Credential::Jwt | Credential::Certificate | Credential::LocalUser => {
            String::new()
        }
    };
    let scopes = match identity.scopes.is_every() {
        true => EVERY_SCOPE.to_owned(),
        false => identity.scopes.names().join(" "),
    };
    (key_id, scopes)
}
