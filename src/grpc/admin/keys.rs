//! API keys and WhoAmI. Keys are their tenant's: nothing here looks beyond the caller's, but for whoever runs the server.

use super::Admin;
use crate::{
    auth::{
        exchange::EXCHANGED_LIFE_MAX,
        key_text::ID_DIGITS,
        keys::{KeyWish, MadeKey},
    },
    clock,
    domain::{
        access::{Credential, EVERY_SCOPE, Identity, Scope, Scopes},
        api_key::ApiKey,
        ids::{OPERATOR_TENANT, Principal, SessionKey, Time},
        limits::DISPLAY_NAME_MAX_BYTES,
        refusal::Refusal,
    },
    proto,
    store::{ApiKeysFilter, ApiKeysPage, KeyRequest, RevokeApiKey, RevokedApiKey},
    wire::{
        encode,
        parse::{self, Fields},
    },
};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use std::{sync::Arc, time::Duration};

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
        let config = self.live.current().config;
        let ttl_max = match caller.credential {
            // The key may outlive what it was made with, which can't be taken back here.
            Credential::Jwt | Credential::Certificate => {
                if ttl.is_none() {
                    let most = humantime::format_duration(config.max_key_ttl);
                    let problem = format!(
                        "must be given, at most {most} (max_key_ttl): the key is made with a token or a certificate"
                    );
                    fields.wrong("ttl", problem);
                }
                config.max_key_ttl
            }
            Credential::None | Credential::ApiKey(_) | Credential::LocalUser => TTL_MAX,
        };
        let ttl = fields.span("ttl", ttl, TTL_MIN, ttl_max);
        let scopes = known_scopes(&mut fields, &scopes);
        let tenant = tenant_of(&mut fields, caller, &tenant);
        if tenant != OPERATOR_TENANT && scopes.contains(Scope::AdminConfig) && !scopes.is_every() {
            fields.wrong(
                "scopes",
                "can't hold admin.config, which is for the operator's tenant alone",
            );
        }
        let scopes = scopes.in_tenant(&tenant);
        let subject = if subject.is_empty() {
            own.clone()
        } else {
            // The grammar is one for both.
            let parsed = fields.session_key("subject", &subject);
            parsed.map_or_else(String::new, |it: SessionKey| it.as_str().to_owned())
        };
        fields.check()?;
        caller.require_all(scopes)?;

        let now = clock::wall();
        let made_with = match &caller.credential {
            Credential::ApiKey(key_id) => Some(key_id.clone()),
            Credential::None
            | Credential::Jwt
            | Credential::Certificate
            | Credential::LocalUser => None,
        };
        let asked_end = ttl.map(|ttl| end_of(now, ttl));
        // What a key made ends with it, whatever was asked for.
        let expire_time = match (&made_with, caller.expire_time) {
            (Some(_), Some(own)) => Some(asked_end.map_or(own, |asked| asked.min(own))),
            (Some(_), None) | (None, _) => asked_end,
        };
        let wish = KeyWish {
            principal: Principal { tenant, subject },
            scopes,
            display_name,
            expire_time,
            made_with,
        };
        let request = (!request_id.is_empty()).then(|| KeyRequest {
            digest: request_digest(&caller.principal, &request_id),
            request_id,
            hash,
        });
        let (keys, created_by) = (self.keys.clone(), caller.principal.clone());
        // To its end even if the caller leaves: a key that is kept is in the map too.
        let tenant_max_keys = config.tenant_max_keys;
        let made = tokio::spawn(async move {
            keys.create(wish, &created_by, request, tenant_max_keys)
                .await
        });
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
        let query = format!("keys {tenant} {include_ended}");
        let list = self.pages.list(caller, &query);
        let before = list.position(&mut fields, &page_token);
        fields.check()?;
        let before = before.map(|[before]| before);
        let filter = ApiKeysFilter {
            tenant,
            valid_at: (!include_ended).then(clock::wall),
        };
        let ApiKeysPage { keys, next } = self.keys.list(filter, before, limit).await?;
        Ok(proto::ListApiKeysResponse {
            api_keys: keys.into_iter().map(message).collect(),
            next_page_token: list.token(next.map(|next| [next])),
        })
    }

    pub(super) async fn revoke_key(
        &self,
        caller: Arc<Identity>,
        request: proto::RevokeApiKeyRequest,
    ) -> Result<proto::RevokeApiKeyResponse, Refusal> {
        let proto::RevokeApiKeyRequest {
            key_id,
            tenant,
            keep_made_keys,
        } = request;
        let mut fields = Fields::default();
        let tenant = tenant_of(&mut fields, &caller, &tenant);
        fields.check()?;
        let digits = key_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if key_id.len() != ID_DIGITS || !digits {
            let problem = format!("must be the {ID_DIGITS} letters and digits of a key's id");
            return Err(Refusal::field("key_id", problem));
        }
        let (keys, channels) = (self.keys.clone(), self.channels.clone());
        // To its end even if the caller leaves: what is revoked in the store is refused here too, and what is open with
        // it ends.
        let revoke = RevokeApiKey {
            caller,
            tenant,
            key_id,
            keep_made_keys,
            now: clock::now(),
        };
        let revoked = tokio::spawn(async move {
            let revoked = keys.revoke(revoke).await?;
            channels.end_key(&revoked.key.key_id);
            for key_id in &revoked.made {
                channels.end_key(key_id);
            }
            Ok::<_, Refusal>(revoked)
        });
        let RevokedApiKey { key, made } = revoked
            .await
            .map_err(|problem| crate::grpc::status::bug(&problem))??;
        Ok(proto::RevokeApiKeyResponse {
            api_key: Some(message(key)),
            made_key_ids: made,
        })
    }

    pub(super) fn exchange(
        &self,
        caller: &Identity,
        request: proto::ExchangeCredentialRequest,
    ) -> Result<proto::ExchangeCredentialResponse, Refusal> {
        let proto::ExchangeCredentialRequest { ttl } = request;
        let mut fields = Fields::default();
        let ttl = fields.span("ttl", ttl, TTL_MIN, EXCHANGED_LIFE_MAX);
        fields.check()?;
        let end = end_of(clock::now(), ttl.unwrap_or(EXCHANGED_LIFE_MAX));
        let (secret, identity) = self.keys.exchange(caller, end)?;
        Ok(proto::ExchangeCredentialResponse {
            secret: secret.expose_secret().to_owned(),
            expire_time: identity.expire_time.map(encode::timestamp),
            scopes: identity.scopes.names(),
        })
    }
}

/// The tenant that a call is about: the caller's own, or one that the operator names.
pub(in crate::grpc) fn tenant_of(fields: &mut Fields, caller: &Identity, named: &str) -> String {
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
    let (mut known, mut every) = (Vec::new(), false);
    for (at, name) in names.iter().enumerate().take(Scope::ALL.len() * 2) {
        match Scope::parse(name) {
            Some(scope) => known.push(scope),
            None if name == EVERY_SCOPE => every = true,
            None => fields.wrong(
                format!("scopes[{at}]"),
                format!("is no scope; there are {}", Scope::names_in_use()),
            ),
        }
    }
    if names.len() > Scope::ALL.len() * 2 {
        fields.wrong(
            "scopes",
            format!("must be at most {}", Scope::ALL.len() * 2),
        );
    }
    if every {
        Scopes::ALL
    } else {
        Scopes::of(known)
    }
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
    let scopes = key.scope_names();
    let ApiKey {
        key_id,
        principal,
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
    proto::ApiKey {
        key_id,
        principal: principal.to_string(),
        scopes,
        display_name,
        create_time: Some(encode::timestamp(create_time)),
        expire_time: expire_time.map(encode::timestamp),
        last_used_time: last_used_time.map(encode::timestamp),
        revoke_time: revoke_time.map(encode::timestamp),
        created_by,
        created_by_key_id: made_with.unwrap_or_default(),
    }
}
