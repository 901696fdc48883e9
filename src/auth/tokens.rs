//! JSON Web Tokens of one issuer.
//!
//! A token's algorithm must be on the list and must be its key's; its key is looked up by `kid` in the issuer's key set and
//! nowhere else. Nothing in a token's header is followed or fetched. A token whose signature was checked is remembered
//! until it ends or the key set changes, so that a caller's next calls cost one hash.
//! Left out: revocation of single tokens. They end with their `exp`, and streams with them.

use super::key_set::{KeyLookup, VerifyingKey};
use crate::domain::{
    access::{Credential, Identity, Scope, Scopes},
    ids::{Principal, SessionKey, Time},
};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How far clocks may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 60;
/// Longest `kid`, in bytes.
const KEY_ID_MAX_BYTES: usize = 128;
/// Tokens that are remembered.
const REMEMBERED_MAX: usize = 10_000;
/// Tenant where no claim names one.
const TENANT_DEFAULT: &str = "default";

/// What a token must say, and what is read from it.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// `iss`.
    pub issuer: String,
    /// `aud`, or one of them.
    pub audience: String,
    /// The algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// Claim with the tenant; empty takes the tenant `default`.
    pub tenant_claim: String,
    /// Claim with the subject.
    pub subject_claim: String,
    /// Claim with the scopes.
    pub scope_claim: String,
    /// Scopes of tokens without that claim.
    pub default_scopes: Scopes,
}

/// Recognises tokens.
pub struct Tokens {
    rules: TokenRules,
    keys: Arc<dyn KeyLookup>,
    /// By the token's hash. A lock and not a task: it is held for one look.
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    /// The key set under which all of them were checked.
    version: u64,
    tokens: HashMap<[u8; 32], Arc<Identity>>,
}

// === impl Tokens ===

impl Tokens {
    /// Takes tokens by these rules.
    pub fn new(rules: TokenRules, keys: Arc<dyn KeyLookup>) -> Self {
        Self {
            rules,
            keys,
            remembered: Mutex::default(),
        }
    }

    /// Whose token it is, if it was checked before; costs one hash.
    pub fn remembered(&self, token: &str, now: Time) -> Option<Arc<Identity>> {
        let version = self.keys.version();
        let remembered = self.lock();
        if remembered.version != version {
            return None;
        }
        let identity = remembered.tokens.get(&hash(token))?;
        let valid = identity.expire_time.is_none_or(|end| end > now);
        valid.then(|| identity.clone())
    }

    /// Whose token it is; checks its signature.
    pub fn recognise(&self, token: &str, now: Time) -> Option<Arc<Identity>> {
        let version = self.keys.version();
        let identity = Arc::new(self.check(token)?);
        if identity.expire_time.is_some_and(|end| end <= now) {
            return None;
        }
        let mut remembered = self.lock();
        if remembered.version != version || remembered.tokens.len() >= REMEMBERED_MAX {
            remembered.tokens.clear();
            remembered.version = version;
        }
        remembered.tokens.insert(hash(token), identity.clone());
        Some(identity)
    }

    fn check(&self, token: &str) -> Option<Identity> {
        let header = decode_header(token).ok()?;
        // Extensions that must be understood: we understand none.
        if header.crit.is_some() {
            return None;
        }
        let key_id = header.kid.filter(|it| it.len() <= KEY_ID_MAX_BYTES)?;
        let VerifyingKey { key, algorithms } = &*self.keys.find(&key_id)?;
        let allowed = self.rules.algorithms.contains(&header.alg);
        if !allowed || !algorithms.contains(&header.alg) {
            return None;
        }
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.rules.issuer]);
        validation.set_audience(&[&self.rules.audience]);
        let claims = decode::<Map<String, Value>>(token, key, &validation)
            .ok()?
            .claims;
        self.identity(&claims)
    }

    fn identity(&self, claims: &Map<String, Value>) -> Option<Identity> {
        let name = |claim: &str| {
            let text = claims.get(claim)?.as_str()?;
            let key = SessionKey::parse(text).ok()?;
            Some(key.as_str().to_owned())
        };
        let tenant = match self.rules.tenant_claim.as_str() {
            "" => TENANT_DEFAULT.to_owned(),
            claim => name(claim)?,
        };
        let principal = Principal {
            tenant,
            subject: name(&self.rules.subject_claim)?,
        };
        // The user who runs the server, whose sessions and memory nobody else's word opens.
        if principal == Principal::local() {
            return None;
        }
        let scopes = match claims.get(&self.rules.scope_claim) {
            None => self.rules.default_scopes,
            Some(claim) => known_scopes(claim)?,
        };
        let end = claims.get("exp")?.as_f64()?;
        // A float holds whole seconds of every date that a token has; one that is no date has no end here.
        let end = (end.clamp(0.0, 1e11) as i64).saturating_add(LEEWAY_SECONDS.cast_signed());
        Some(Identity::new(
            principal,
            scopes,
            Credential::Jwt,
            Some(Time(end * 1_000_000)),
        ))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The scopes of a claim: a text with blanks between, or a list. Names that are not ours are another service's.
fn known_scopes(claim: &Value) -> Option<Scopes> {
    let names: Vec<&str> = match claim {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(names) => names.iter().map(Value::as_str).collect::<Option<_>>()?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    Some(Scopes::of(names.into_iter().filter_map(Scope::parse)))
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
