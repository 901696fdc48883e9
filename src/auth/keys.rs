//! API keys in memory: recognised, made, revoked.
//!
//! The store holds the truth; this map has the keys that are valid, loaded at the start and changed after each commit.
//! Recognising costs one HMAC and no look into the store, for known and unknown ids alike. Times of use are gathered and
//! written once in [`USED_INTERVAL`].

use super::key_text::{KeyText, NewKeyText};
use crate::{
    clock,
    domain::{
        Refusal,
        access::{Credential, Identity, Scopes},
        api_key::ApiKey,
        ids::{Principal, Time},
    },
    store::{
        ApiKeysFilter, ApiKeysPage, CreatedApiKey, KeptApiKey, KeyDigest, KeyRequest, NewApiKey,
        Store,
    },
};
use hmac::{Hmac, Mac as _};
use secrecy::SecretString;
use sha2::Sha256;
use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use subtle::ConstantTimeEq as _;

/// How often times of use are written. Lists show them at once.
pub const USED_INTERVAL: Duration = Duration::from_secs(60);
/// Keys written in one commit.
const USED_MAX_KEYS: usize = 1000;

/// The keys of every tenant.
pub struct Keys {
    store: Arc<dyn Store>,
    hasher: Hasher,
    /// By id. A lock and not a task: it is held for one look or one change of the map.
    valid: RwLock<HashMap<String, Arc<Entry>>>,
}

/// A key that calls may be made with.
struct Entry {
    digest: KeyDigest,
    identity: Arc<Identity>,
    /// Microseconds; 0 where it was not used since the start.
    used: AtomicI64,
    /// What of that the store knows.
    written: AtomicI64,
}

/// Turns secrets into digests.
#[derive(Clone)]
struct Hasher(Hmac<Sha256>);

/// What a new key is to be.
#[derive(Clone, Debug)]
pub struct KeyWish {
    /// Who calls with it.
    pub principal: Principal,
    /// What it may do.
    pub scopes: Scopes,
    /// For people.
    pub display_name: String,
    /// When it ends.
    pub expire_time: Option<Time>,
}

/// A key that was made.
pub struct MadeKey {
    /// The key.
    pub key: ApiKey,
    /// Its whole text; `None` where an earlier call made it.
    pub text: Option<SecretString>,
}

// === impl Keys ===

impl Keys {
    /// Loads the valid keys.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(store: Arc<dyn Store>, pepper: &[u8]) -> Result<Self, Refusal> {
        let kept = store.valid_api_keys(clock::wall()).await?;
        let valid = kept.into_iter().map(|KeptApiKey { key, digest }| {
            let entry = Entry::new(&key, digest);
            (key.key_id, entry)
        });
        Ok(Self {
            valid: RwLock::new(valid.collect()),
            hasher: Hasher::new(pepper),
            store,
        })
    }

    /// Whose key a text is; `None` where it is not a valid one, for whatever reason.
    pub fn recognise(&self, text: &str) -> Option<Arc<Identity>> {
        let KeyText { id, secret } = KeyText::parse(text)?;
        let digest = self.hasher.digest(secret);
        let entry = self.entry(id);
        // An unknown id costs the same work.
        let expected = entry.as_ref().map_or([0; 32], |entry| entry.digest);
        let equal = bool::from(digest.ct_eq(&expected));
        let entry = entry.filter(|_| equal)?;
        let now = clock::wall();
        if entry.identity.expire_time.is_some_and(|end| end <= now) {
            return None;
        }
        // A second's grain, so that many calls don't fight for the line of memory.
        if now.0 - entry.used.load(Ordering::Relaxed) > 1_000_000 {
            entry.used.store(now.0, Ordering::Relaxed);
        }
        Some(entry.identity.clone())
    }

    /// Whether an identity's key is still there and has not ended. True for other credentials.
    pub fn is_valid(&self, identity: &Identity) -> bool {
        let there = match &identity.credential {
            Credential::ApiKey(id) => self.entry(id).is_some(),
            Credential::None
            | Credential::Jwt
            | Credential::Certificate
            | Credential::LocalUser => true,
        };
        there && identity.expire_time.is_none_or(|end| end > clock::wall())
    }

    /// Whether there ever was a key, revoked ones included.
    ///
    /// # Errors
    /// The store's.
    pub async fn any_ever(&self) -> Result<bool, Refusal> {
        self.store.has_api_keys().await
    }

    /// Makes a key. What the wish may hold is its caller's to check.
    ///
    /// # Errors
    /// The store's, and `IDEMPOTENCY_CONFLICT`.
    pub async fn create(
        &self,
        wish: KeyWish,
        created_by: &Principal,
        request: Option<KeyRequest>,
    ) -> Result<MadeKey, Refusal> {
        let (new, text) = self.prepare(wish, created_by)?;
        self.keep(new, text, request).await
    }

    /// Makes a key that is valid once it is kept.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn prepare(
        &self,
        wish: KeyWish,
        created_by: &Principal,
    ) -> Result<(KeptApiKey, SecretString), Refusal> {
        self.hasher.prepare(wish, created_by)
    }

    /// Keeps a prepared key.
    ///
    /// # Errors
    /// The store's, and `IDEMPOTENCY_CONFLICT`.
    pub async fn keep(
        &self,
        KeptApiKey { key, digest }: KeptApiKey,
        text: SecretString,
        request: Option<KeyRequest>,
    ) -> Result<MadeKey, Refusal> {
        let new = NewApiKey {
            key,
            digest,
            request,
        };
        let CreatedApiKey { key, replayed } = self.store.create_api_key(new).await?;
        if replayed {
            return Ok(MadeKey { key, text: None });
        }
        let entry = Entry::new(&key, digest);
        self.change(|valid| valid.insert(key.key_id.clone(), entry));
        Ok(MadeKey {
            key,
            text: Some(text),
        })
    }

    /// Revokes a key of a tenant: no call with it is recognised any more.
    ///
    /// # Errors
    /// The store's, and `API_KEY_NOT_FOUND`.
    pub async fn revoke(&self, tenant: &str, key_id: &str) -> Result<ApiKey, Refusal> {
        let key = self
            .store
            .revoke_api_key(tenant, key_id, clock::wall())
            .await?;
        let entry = self.change(|valid| valid.remove(key_id));
        Ok(with_use(key, entry.as_deref()))
    }

    /// Keys of a tenant, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(
        &self,
        filter: ApiKeysFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<ApiKeysPage, Refusal> {
        let ApiKeysPage { keys, next } = self.store.list_api_keys(filter, before, limit).await?;
        let keys = keys.into_iter().map(|key| {
            let entry = self.entry(&key.key_id);
            with_use(key, entry.as_deref())
        });
        Ok(ApiKeysPage {
            keys: keys.collect(),
            next,
        })
    }

    /// Writes times of use for ever, and takes ended keys out of the map.
    pub async fn keep_house(&self) {
        loop {
            tokio::time::sleep(USED_INTERVAL).await;
            let now = clock::wall();
            self.write_used().await;
            self.change(|valid| {
                valid.retain(|_, entry| entry.identity.expire_time.is_none_or(|end| end > now));
            });
        }
    }

    /// Writes the times of use that the store does not know.
    pub async fn write_used(&self) {
        let used: Vec<(String, Arc<Entry>, i64)> = {
            let valid = self.valid.read().unwrap_or_else(PoisonError::into_inner);
            let changed = valid.iter().filter_map(|(id, entry)| {
                let used = entry.used.load(Ordering::Relaxed);
                (used != entry.written.load(Ordering::Relaxed))
                    .then(|| (id.clone(), entry.clone(), used))
            });
            changed.collect()
        };
        for piece in used.chunks(USED_MAX_KEYS) {
            let times = piece.iter().map(|(id, _, used)| (id.clone(), Time(*used)));
            if let Err(refusal) = self.store.api_keys_used(times.collect()).await {
                // The next round tries again.
                tracing::warn!(%refusal, "times of use of API keys could not be written");
                return;
            }
            for (_, entry, used) in piece {
                entry.written.store(*used, Ordering::Relaxed);
            }
        }
    }

    fn entry(&self, id: &str) -> Option<Arc<Entry>> {
        let valid = self.valid.read().unwrap_or_else(PoisonError::into_inner);
        valid.get(id).cloned()
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<String, Arc<Entry>>) -> T) -> T {
        change(&mut self.valid.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A key with the newest time of its use.
fn with_use(mut key: ApiKey, entry: Option<&Entry>) -> ApiKey {
    let used = entry.map(|entry| entry.used.load(Ordering::Relaxed));
    if let Some(used) = used.filter(|used| *used > 0) {
        key.last_used_time = key.last_used_time.max(Some(Time(used)));
    }
    key
}

/// Makes a key of the local user with all scopes, for a store that nobody serves.
///
/// # Errors
/// The system has no random numbers.
pub fn local_key(pepper: &[u8], display_name: &str) -> Result<(KeptApiKey, SecretString), Refusal> {
    Hasher::new(pepper).prepare(local_wish(display_name), &Principal::local())
}

/// The wish for a key of the local user with all scopes.
pub fn local_wish(display_name: &str) -> KeyWish {
    KeyWish {
        principal: Principal::local(),
        scopes: Scopes::ALL,
        display_name: display_name.to_owned(),
        expire_time: None,
    }
}

// === impl Entry ===

impl Entry {
    fn new(key: &ApiKey, digest: KeyDigest) -> Arc<Self> {
        Arc::new(Self {
            digest,
            identity: Arc::new(Identity::new(
                key.principal.clone(),
                key.scopes,
                Credential::ApiKey(key.key_id.clone()),
                key.expire_time,
            )),
            used: AtomicI64::new(0),
            written: AtomicI64::new(0),
        })
    }
}

// === impl Hasher ===

impl Hasher {
    fn new(pepper: &[u8]) -> Self {
        Self(Hmac::new_from_slice(pepper).expect("HMAC takes keys of every length"))
    }

    fn digest(&self, secret: &str) -> KeyDigest {
        let Self(mut hmac) = self.clone();
        hmac.update(secret.as_bytes());
        hmac.finalize().into_bytes().into()
    }

    fn prepare(
        &self,
        wish: KeyWish,
        created_by: &Principal,
    ) -> Result<(KeptApiKey, SecretString), Refusal> {
        let KeyWish {
            principal,
            scopes,
            display_name,
            expire_time,
        } = wish;
        let new = NewKeyText::make().map_err(|error| {
            let id = uuid::Uuid::now_v7().simple().to_string();
            tracing::error!(id, %error, "internal error {id}: no random numbers");
            Refusal::Internal { id }
        })?;
        let digest = self.digest(new.secret());
        let NewKeyText { id, text } = new;
        let key = ApiKey {
            key_id: id,
            principal,
            scopes,
            display_name,
            created_by: created_by.to_string(),
            create_time: clock::wall(),
            expire_time,
            last_used_time: None,
            revoke_time: None,
        };
        Ok((KeptApiKey { key, digest }, text))
    }
}
