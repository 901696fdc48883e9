//! API keys in memory: recognised, made, revoked.
//!
//! The store holds the truth; this map has the keys that are valid, loaded at the start and changed after each commit.
//! Recognising costs one HMAC and no look into the store, for known and unknown ids alike. Times of use are gathered and
//! written once in [`USED_INTERVAL`].

use super::{
    exchange::{EXCHANGED_LIFE_MAX, Exchanged, Holder, Sealer},
    key_text::{KeyText, NewKeyText},
};
use crate::{
    clock,
    domain::{
        Refusal,
        access::{Credential, Identity, Scope, Scopes},
        api_key::ApiKey,
        ids::{Principal, SessionKey, Time},
    },
    store::{
        ApiKeysFilter, ApiKeysPage, CreatedApiKey, KeptApiKey, KeyDigest, KeyRequest, NewApiKey,
        RevokeApiKey, RevokedApiKey, Store,
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
use tokio::sync::Mutex;

/// How often times of use are written. Lists show them at once.
pub const USED_INTERVAL: Duration = Duration::from_secs(60);
/// Keys written in one commit.
const USED_MAX_KEYS: usize = 1000;

/// The keys of every tenant.
pub struct Keys {
    store: Arc<dyn Store>,
    hasher: Hasher,
    /// Of credentials that stand for a key for a while.
    sealer: Sealer,
    /// Of tickets.
    tickets: Sealer,
    /// One change of the store at a time: what is revoked with another key in the moment in which it is made must not come
    /// into the map afterwards.
    changing: Mutex<()>,
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
    /// Id of the key that it is made with.
    pub made_with: Option<String>,
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
            changing: Mutex::default(),
            valid: RwLock::new(valid.collect()),
            hasher: Hasher::new(pepper),
            sealer: Sealer::new(pepper),
            tickets: Sealer::of_tickets(pepper),
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
        entry.note_use(now);
        Some(entry.identity.clone())
    }

    /// Makes a credential that stands for the caller's own until `end`, or until that one ends.
    ///
    /// # Errors
    /// `CREDENTIALS_MISSING` where the caller is known by its connection alone.
    pub fn exchange(
        &self,
        caller: &Identity,
        end: Time,
    ) -> Result<(SecretString, Identity), Refusal> {
        let holder = holder_of(caller)?;
        let end = caller.expire_time.map_or(end, |own| own.min(end));
        let identity = Identity {
            scopes: exchanged_scopes(caller.scopes),
            expire_time: Some(end),
            ..caller.clone()
        };
        let exchanged = Exchanged {
            holder,
            end,
            session: None,
        };
        Ok((self.sealer.seal(&exchanged), identity))
    }

    /// Makes a ticket for the events of one session, and says when it ends.
    ///
    /// # Errors
    /// `CREDENTIALS_MISSING` where the caller is known by its connection alone.
    pub fn ticket(
        &self,
        caller: &Identity,
        session: &SessionKey,
    ) -> Result<(SecretString, Time), Refusal> {
        let holder = holder_of(caller)?;
        let life = i64::try_from(EXCHANGED_LIFE_MAX.as_micros()).unwrap_or(i64::MAX);
        let end = clock::now().plus_micros(life);
        let end = caller.expire_time.map_or(end, |own| own.min(end));
        let ticket = Exchanged {
            holder,
            end,
            session: Some(session.as_str().to_owned()),
        };
        Ok((self.tickets.seal(&ticket), end))
    }

    /// For whom a ticket stands that [`Keys::ticket`] made; `None` where it is another session's, or has ended, or its key
    /// has.
    pub fn recognise_ticket(&self, text: &str, session: &SessionKey) -> Option<Arc<Identity>> {
        let ticket = self.tickets.open(text)?;
        if ticket.session.as_deref() != Some(session.as_str()) {
            return None;
        }
        let identity = self.identity_of(ticket)?;
        let reads = [Scope::SessionRead, Scope::TenantSessions];
        let held = reads.into_iter().filter(|it| identity.scopes.contains(*it));
        Some(Arc::new(Identity {
            scopes: Scopes::of(held),
            ..identity
        }))
    }

    /// For whom a credential stands that [`Keys::exchange`] made; `None` where it has ended, or its key.
    pub fn recognise_exchanged(&self, text: &str) -> Option<Arc<Identity>> {
        let identity = self.identity_of(self.sealer.open(text)?)?;
        Some(Arc::new(identity))
    }

    fn identity_of(&self, exchanged: Exchanged) -> Option<Identity> {
        let Exchanged {
            holder,
            end,
            session: _,
        } = exchanged;
        let now = clock::now();
        if end <= now {
            return None;
        }
        Some(match holder {
            Holder::Key(key_id) => {
                let entry = self.entry(&key_id)?;
                if entry.identity.expire_time.is_some_and(|own| own <= now) {
                    return None;
                }
                entry.note_use(now);
                let own = &entry.identity;
                Identity {
                    scopes: exchanged_scopes(own.scopes),
                    expire_time: Some(own.expire_time.map_or(end, |own| own.min(end))),
                    ..Identity::clone(own)
                }
            }
            Holder::Token { principal, scopes } => {
                let (scopes, _) = ApiKey::read_scopes(scopes.iter().map(String::as_str));
                let scopes = exchanged_scopes(scopes);
                Identity::new(principal, scopes, Credential::Jwt, Some(end))
            }
        })
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

    /// Makes a key. What the wish may hold is its caller's to check. Of its tenant `tenant_max_keys` may be valid; 0 sets no
    /// bound.
    ///
    /// # Errors
    /// The store's, `IDEMPOTENCY_CONFLICT`, `TOO_MANY_KEYS`.
    pub async fn create(
        &self,
        wish: KeyWish,
        created_by: &Principal,
        request: Option<KeyRequest>,
        tenant_max_keys: u64,
    ) -> Result<MadeKey, Refusal> {
        let (new, text) = self.prepare(wish, created_by)?;
        self.keep(new, text, request, tenant_max_keys).await
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
        tenant_max_keys: u64,
    ) -> Result<MadeKey, Refusal> {
        let new = NewApiKey {
            key,
            digest,
            request,
            tenant_max_keys,
        };
        let _changing = self.changing.lock().await;
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

    /// Revokes a key, and those that were made with it: no call with them is recognised any more.
    ///
    /// # Errors
    /// The store's, `API_KEY_NOT_FOUND`, `SCOPE_REQUIRED`.
    pub async fn revoke(&self, revoke: RevokeApiKey) -> Result<RevokedApiKey, Refusal> {
        let _changing = self.changing.lock().await;
        let RevokedApiKey { key, made } = self.store.revoke_api_key(revoke).await?;
        let entry = self.change(|valid| {
            for key_id in &made {
                valid.remove(key_id);
            }
            valid.remove(&key.key_id)
        });
        Ok(RevokedApiKey {
            key: with_use(key, entry.as_deref()),
            made,
        })
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
        made_with: None,
    }
}

/// What a credential stands for that a caller gets in place of its own.
fn holder_of(caller: &Identity) -> Result<Holder, Refusal> {
    match &caller.credential {
        Credential::ApiKey(key_id) => Ok(Holder::Key(key_id.clone())),
        Credential::Jwt => Ok(Holder::Token {
            principal: caller.principal.clone(),
            scopes: caller.scopes.names(),
        }),
        Credential::None | Credential::Certificate | Credential::LocalUser => {
            Err(Refusal::CredentialsMissing)
        }
    }
}

/// What a credential may do that stands for one with these scopes.
fn exchanged_scopes(scopes: Scopes) -> Scopes {
    scopes.without(Scope::AdminKeys).as_list()
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

    fn note_use(&self, now: Time) {
        // A second's grain, so that many calls don't fight for the line of memory.
        if now.0 - self.used.load(Ordering::Relaxed) > 1_000_000 {
            self.used.store(now.0, Ordering::Relaxed);
        }
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
            made_with,
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
            unknown_scopes: Vec::new(),
            display_name,
            created_by: created_by.to_string(),
            made_with,
            create_time: clock::wall(),
            expire_time,
            last_used_time: None,
            revoke_time: None,
        };
        Ok((KeptApiKey { key, digest }, text))
    }
}
