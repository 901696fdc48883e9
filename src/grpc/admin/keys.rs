//! API keys and WhoAmI. Keys are their tenant's: nothing here looks beyond the caller's, but for whoever runs the server.

use super::Admin;
use crate::{
    auth::{
        key_text::ID_DIGITS,
        keys::{KeyWish, MadeKey},
    },
    clock,
    domain::{
        access::{Credential, Identity, Scope, Scopes},
        api_key::ApiKey,
        ids::{OPERATOR_TENANT, Principal, SessionKey, Time},
        limits::DISPLAY_NAME_MAX_BYTES,
        refusal::Refusal,
    },
    proto,
    store::{ApiKeysFilter, ApiKeysPage, KeyRequest},
    wire::{
        encode,
        parse::{self, Fields},
    },
};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Shortest life of a key.
const TTL_MIN: Duration = Duration::from_secs(1);
/// Longest life of a key that ends at all: a century.
const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Who the caller is, and what it may do.
pub(super) fn who_am_i(
    identity: &Identity,
    (stored_bytes, tenant_stored_bytes): (i64, i64),
) -> proto::WhoAmIResponse {
    use proto::CredentialKind as Kind;
    let Identity {
        principal,
        scopes,
        credential,
        expire_time,
    } = identity;
    let (kind, key_id) = match credential {
        Credential::None => (Kind::None, String::new()),
        Credential::ApiKey(id) => (Kind::ApiKey, id.clone()),
        Credential::Jwt => (Kind::Jwt, String::new()),
        Credential::Certificate => (Kind::Certificate, String::new()),
        Credential::LocalUser => (Kind::LocalUser, String::new()),
    };
    proto::WhoAmIResponse {
        principal: principal.to_string(),
        scopes: scopes.names(),
        credential: kind.into(),
        key_id,
        expire_time: expire_time.map(encode::timestamp),
        stored_bytes,
        tenant_stored_bytes,
    }
}

impl Admin {
    pub(super) async fn make_key(
        &self,
        caller: &Identity,
        mut request: proto::CreateApiKeyRequest,
    ) -> Result<proto::CreateApiKeyResponse, Refusal> {
        let request_id = std::mem::take(&mut request.request_id);
        let hash = parse::request_hash(&request);
        let proto::CreateApiKeyRequest {
            subject,
            scopes,
            display_name,
            ttl,
            request_id: _,
            tenant,
        } = request;
        let own = &caller.principal.subject;

        let mut fields = Fields::default();
        fields.request_id(&request_id);
        fields.text("display_name", &display_name, DISPLAY_NAME_MAX_BYTES);
        let ttl = fields.span("ttl", ttl, TTL_MIN, TTL_MAX);
        let scopes = known_scopes(&mut fields, &scopes);
        let tenant = tenant_of(&mut fields, caller, &tenant);
        if tenant != OPERATOR_TENANT && scopes.contains(Scope::AdminConfig) {
            fields.wrong(
                "scopes",
                "can't hold admin.config, which is for the operator's tenant alone",
            );
        }
        let subject = if subject.is_empty() {
            own.clone()
        } else {
            // The grammar is one for both.
            let parsed = fields.session_key("subject", &subject);
            parsed.map_or_else(String::new, |it: SessionKey| it.as_str().to_owned())
        };
        fields.check()?;
        scopes.iter().try_for_each(|scope| caller.require(scope))?;

        let now = clock::wall();
        let wish = KeyWish {
            principal: Principal { tenant, subject },
            scopes,
            display_name,
            expire_time: ttl.map(|ttl| end_of(now, ttl)),
        };
        let request = (!request_id.is_empty()).then(|| KeyRequest {
            digest: request_digest(&caller.principal, &request_id),
            request_id,
            hash,
        });
        let (keys, created_by) = (self.keys.clone(), caller.principal.clone());
        // To its end even if the caller leaves: a key that is kept is in the map too.
        let made = tokio::spawn(async move { keys.create(wish, &created_by, request).await });
        let MadeKey { key, text } = made
            .await
            .map_err(|problem| crate::grpc::status::bug(&problem))??;
        Ok(proto::CreateApiKeyResponse {
            api_key: Some(message(key)),
            replayed: text.is_none(),
            secret: text.map_or_else(String::new, |text| text.expose_secret().to_owned()),
        })
    }

    pub(super) async fn keys_of(
        &self,
        caller: &Identity,
        request: proto::ListApiKeysRequest,
    ) -> Result<proto::ListApiKeysResponse, Refusal> {
        let proto::ListApiKeysRequest {
            page_size,
            page_token,
            include_ended,
            tenant,
        } = request;
        let mut fields = Fields::default();
        let tenant = tenant_of(&mut fields, caller, &tenant);
        let limit = fields.page_size(page_size);
        let scope = format!("keys {tenant} {include_ended}");
        let before = fields.page_token(&page_token, &scope);
        fields.check()?;
        let filter = ApiKeysFilter {
            tenant,
            valid_at: (!include_ended).then(clock::wall),
        };
        let ApiKeysPage { keys, next } = self.keys.list(filter, before, limit).await?;
        Ok(proto::ListApiKeysResponse {
            api_keys: keys.into_iter().map(message).collect(),
            next_page_token: parse::page_token(next, &scope),
        })
    }

    pub(super) async fn revoke_key(
        &self,
        caller: &Identity,
        request: proto::RevokeApiKeyRequest,
    ) -> Result<proto::RevokeApiKeyResponse, Refusal> {
        let proto::RevokeApiKeyRequest { key_id, tenant } = request;
        let mut fields = Fields::default();
        let tenant = tenant_of(&mut fields, caller, &tenant);
        fields.check()?;
        let digits = key_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if key_id.len() != ID_DIGITS || !digits {
            let problem = format!("must be the {ID_DIGITS} letters and digits of a key's id");
            return Err(Refusal::field("key_id", problem));
        }
        let (keys, channels) = (self.keys.clone(), self.channels.clone());
        // To its end even if the caller leaves: what is revoked in the store is refused here too, and what is open with
        // it ends.
        let revoked = tokio::spawn(async move {
            let revoked = keys.revoke(&tenant, &key_id).await?;
            channels.end_key(&key_id);
            Ok::<_, Refusal>(revoked)
        });
        let key = revoked
            .await
            .map_err(|problem| crate::grpc::status::bug(&problem))??;
        Ok(proto::RevokeApiKeyResponse {
            api_key: Some(message(key)),
        })
    }
}

/// The tenant that a call is about: the caller's own, or one that the operator names.
fn tenant_of(fields: &mut Fields, caller: &Identity, named: &str) -> String {
    let own = &caller.principal.tenant;
    if named.is_empty() || named == own {
        return own.clone();
    }
    if !caller.principal.is_operator() {
        fields.wrong("tenant", "must be your own");
        return own.clone();
    }
    let parsed = fields.session_key("tenant", named);
    parsed.map_or_else(String::new, |it: SessionKey| it.as_str().to_owned())
}

fn known_scopes(fields: &mut Fields, names: &[String]) -> Scopes {
    if names.is_empty() {
        fields.wrong("scopes", "must name one at least");
    }
    let mut known = Vec::new();
    for (at, name) in names.iter().enumerate().take(Scope::ALL.len() * 2) {
        match Scope::parse(name) {
            Some(scope) => known.push(scope),
            None => fields.wrong(
                format!("scopes[{at}]"),
                format!("is no scope; there are {}", Scopes::ALL.names().join(", ")),
            ),
        }
    }
    if names.len() > Scope::ALL.len() * 2 {
        fields.wrong(
            "scopes",
            format!("must be at most {}", Scope::ALL.len() * 2),
        );
    }
    Scopes::of(known)
}

fn end_of(now: Time, ttl: Duration) -> Time {
    now.plus_micros(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX))
}

/// Names a request of a caller. The parts can't run into each other: the grammar of names has no zero byte.
fn request_digest(Principal { tenant, subject }: &Principal, request_id: &str) -> [u8; 32] {
    let parts = [tenant.as_str(), subject, request_id].join("\0");
    Sha256::digest(parts).into()
}

fn message(key: ApiKey) -> proto::ApiKey {
    let ApiKey {
        key_id,
        principal,
        scopes,
        display_name,
        created_by,
        create_time,
        expire_time,
        last_used_time,
        revoke_time,
    } = key;
    proto::ApiKey {
        key_id,
        principal: principal.to_string(),
        scopes: scopes.names(),
        display_name,
        create_time: Some(encode::timestamp(create_time)),
        expire_time: expire_time.map(encode::timestamp),
        last_used_time: last_used_time.map(encode::timestamp),
        revoke_time: revoke_time.map(encode::timestamp),
        created_by,
    }
}
