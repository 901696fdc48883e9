//! The key set of a token's issuer: fetched at the start and now and then, kept in memory, looked up by `kid`.
//!
//! Calls never wait for a fetch. A `kid` that is not there asks for one, at most every `refresh_min`; until it is done
//! calls with it are refused. A fetch that fails leaves the keys as they were. What an issuer names as the place of its
//! keys is fetched from public addresses alone, unless the configuration says otherwise ([`Reach`]).

use super::reach::Reach;
use anyhow::{Context as _, bail, ensure};
use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// How often keys are fetched though nobody asks, so that one that was taken away is forgotten.
const REFRESH_INTERVAL: Duration = Duration::from_secs(300);
/// Time of one fetch.
const FETCH_MAX: Duration = Duration::from_secs(5);
/// Time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Largest document, in bytes.
const DOCUMENT_MAX_BYTES: usize = 1024 * 1024;
/// Shortest modulus of an RSA key, in bits.
const RSA_BITS_MIN: usize = 2048;
/// Keys of one set.
const KEYS_MAX: usize = 256;

/// A key that tokens are checked with.
pub struct VerifyingKey {
    /// The public key.
    pub key: DecodingKey,
    /// The algorithms that it is for.
    pub algorithms: Vec<Algorithm>,
}

/// Where keys are looked up.
pub trait KeyLookup: Send + Sync {
    /// The key of that name.
    fn find(&self, key_id: &str) -> Option<Arc<VerifyingKey>>;
    /// Changes when the keys do.
    fn version(&self) -> u64;
}

/// Where the keys come from.
#[derive(Clone, Debug)]
pub struct KeySource {
    /// The issuer, whose discovery document names the key set where `url` is empty.
    pub issuer: String,
    /// The key set.
    pub url: String,
    /// Time between two fetches at least.
    pub refresh_min: Duration,
    /// Lets keys be fetched from loopback and private addresses, whoever names them.
    pub private_addresses: bool,
}

/// The keys of an issuer.
pub struct KeySet {
    source: KeySource,
    reach: Reach,
    client: Client,
    keys: ArcSwap<HashMap<String, Arc<VerifyingKey>>>,
    /// What the keys were read from, to tell whether they changed.
    document: ArcSwap<Vec<u8>>,
    version: AtomicU64,
    /// A key was asked for that is not there.
    missed: Notify,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// A set whose keys are read one by one: one that we can't read does not take the others away.
#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

// === impl KeySet ===

impl KeySet {
    /// An empty set.
    ///
    /// # Errors
    /// The source is no address to fetch from.
    pub fn new(source: KeySource) -> anyhow::Result<Self> {
        let first = if source.url.is_empty() {
            &source.issuer
        } else {
            &source.url
        };
        check_url(first)?;
        let reach = Reach::new(&source);
        let client = Client::builder()
            .dns_resolver(Arc::new(reach.clone()))
            .redirect(redirect::Policy::none())
            .timeout(FETCH_MAX)
            .connect_timeout(CONNECT_MAX)
            .build()
            .context("can't make a client for key sets")?;
        Ok(Self {
            source,
            reach,
            client,
            keys: ArcSwap::default(),
            document: ArcSwap::default(),
            version: AtomicU64::new(0),
            missed: Notify::new(),
        })
    }

    /// Fetches the keys now and then, for ever; the first time is its caller's.
    pub async fn follow(&self) {
        loop {
            tokio::time::sleep(self.source.refresh_min).await;
            let later = tokio::time::sleep(REFRESH_INTERVAL);
            tokio::select! {
                () = self.missed.notified() => {}
                () = later => {}
            }
            if let Err(problem) = self.fetch().await {
                tracing::warn!(
                    issuer = self.source.issuer,
                    "the issuer's keys can't be fetched, those of before stay: {problem:#}"
                );
            }
        }
    }

    /// Fetches the keys.
    ///
    /// # Errors
    /// The issuer does not give them.
    pub async fn fetch(&self) -> anyhow::Result<()> {
        let url = if self.source.url.is_empty() {
            self.discover().await?
        } else {
            self.source.url.clone()
        };
        let document = self.get(check_url(&url)?).await?;
        if **self.document.load() == document {
            return Ok(());
        }
        let keys = read_keys(&document)?;
        tracing::info!(
            issuer = self.source.issuer,
            keys = keys.len(),
            "took the issuer's keys"
        );
        self.keys.store(Arc::new(keys));
        self.document.store(Arc::new(document));
        // After the keys: what was checked with the old ones is not remembered under the new version.
        self.version.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    async fn discover(&self) -> anyhow::Result<String> {
        let issuer = self.source.issuer.trim_end_matches('/');
        let url = format!("{issuer}/.well-known/openid-configuration");
        let document = self.get(check_url(&url)?).await?;
        let Discovery { issuer, jwks_uri } = serde_json::from_slice(&document)
            .context("the issuer's openid-configuration can't be read")?;
        ensure!(
            issuer == self.source.issuer,
            "the issuer's openid-configuration names another issuer"
        );
        Ok(jwks_uri)
    }

    async fn get(&self, url: Url) -> anyhow::Result<Vec<u8>> {
        self.reach.check(&url)?;
        let mut answer = self.client.get(url).send().await?;
        ensure!(
            answer.status() == 200,
            "the answer is {}; redirects are not followed",
            answer.status()
        );
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            ensure!(
                document.len() + chunk.len() <= DOCUMENT_MAX_BYTES,
                "the answer is larger than {DOCUMENT_MAX_BYTES} bytes"
            );
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

impl KeyLookup for KeySet {
    fn find(&self, key_id: &str) -> Option<Arc<VerifyingKey>> {
        let found = self.keys.load().get(key_id).cloned();
        if found.is_none() {
            self.missed.notify_one();
        }
        found
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// What keys may be fetched from: `https`, or this machine.
pub fn check_url(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).with_context(|| format!("`{text}` is no URL"))?;
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost"
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|it| it.to_canonical().is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        _ => bail!("`{text}` must begin with https:// (http:// only for this machine)"),
    }
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "an address of keys must hold no password"
    );
    Ok(url)
}

fn read_keys(document: &[u8]) -> anyhow::Result<HashMap<String, Arc<VerifyingKey>>> {
    let Document { keys } =
        serde_json::from_slice(document).context("the key set can't be read")?;
    ensure!(
        keys.len() <= KEYS_MAX,
        "the key set has more than {KEYS_MAX} keys"
    );
    let mut read = HashMap::new();
    for key in keys {
        let Ok(key) = serde_json::from_value::<Jwk>(key) else {
            continue;
        };
        let (Some(key_id), Some(verifying)) = (key.common.key_id.clone(), verifying(&key)) else {
            continue;
        };
        ensure!(
            read.insert(key_id, Arc::new(verifying)).is_none(),
            "two keys of the set have one kid"
        );
    }
    Ok(read)
}

/// Bits of a number in base64url; 0 where it is none.
fn bits(number: &str) -> usize {
    let bytes = URL_SAFE_NO_PAD.decode(number).unwrap_or_default();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    match bytes.get(zeros) {
        Some(first) => (bytes.len() - zeros) * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

/// The key as one that signatures are checked with; `None` for secrets, for encryption, and for what we don't know.
fn verifying(key: &Jwk) -> Option<VerifyingKey> {
    use Algorithm as A;
    if key
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|it| *it != PublicKeyUse::Signature)
    {
        return None;
    }
    let mut algorithms = match &key.algorithm {
        AlgorithmParameters::RSA(it) => {
            if bits(&it.n) < RSA_BITS_MIN {
                tracing::warn!(
                    key_id = key.common.key_id,
                    "an RSA key of the issuer is shorter than {RSA_BITS_MIN} bits and is passed over"
                );
                return None;
            }
            vec![A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512]
        }
        AlgorithmParameters::EllipticCurve(it) => match it.curve {
            EllipticCurve::P256 => vec![A::ES256],
            EllipticCurve::P384 => vec![A::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(it) => match it.curve {
            EllipticCurve::Ed25519 => vec![A::EdDSA],
            _ => return None,
        },
        // A published secret is none, and new kinds are not ours yet.
        _ => return None,
    };
    if let Some(named) = key.common.key_algorithm {
        algorithms.retain(|it| format!("{it:?}") == named.to_string());
    }
    let key = DecodingKey::from_jwk(key).ok()?;
    (!algorithms.is_empty()).then_some(VerifyingKey { key, algorithms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_https_or_this_machine() {
        for good in [
            "https://id.example.org/keys",
            "http://127.0.0.1:8080/keys",
            "http://localhost:1/",
            "http://[::1]/keys",
        ] {
            assert!(check_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "keys",
            "http://id.example.org/keys",
            "http://169.254.169.254/latest",
            "ftp://127.0.0.1/keys",
            "file:///etc/passwd",
            "https://user:secret@id.example.org/",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn short_rsa_keys_are_passed_over() {
        let modulus = |bits: usize| {
            let mut bytes = vec![0xff; bits.div_ceil(8)];
            bytes[0] >>= (8 - bits % 8) % 8;
            // Zeros before it make no key longer.
            bytes.splice(0..0, [0; 8]);
            URL_SAFE_NO_PAD.encode(bytes)
        };
        for (size, taken) in [
            (512, false),
            (1024, false),
            (2047, false),
            (2048, true),
            (4096, true),
        ] {
            assert_eq!(bits(&modulus(size)), size);
            let document = format!(
                r#"{{"keys": [{{"kty": "RSA", "kid": "one", "n": "{}", "e": "AQAB"}}]}}"#,
                modulus(size)
            );
            let keys = read_keys(document.as_bytes()).unwrap();
            assert_eq!(keys.contains_key("one"), taken, "{size}");
        }
        assert_eq!(bits(""), 0);
    }

    #[test]
    fn only_public_keys_for_signatures_are_taken() {
        let document = br#"{"keys": [
            {"kty": "oct", "kid": "secret", "k": "AAAA", "alg": "HS256"},
            {"kty": "RSA", "kid": "encryption", "use": "enc", "n": "AQAB", "e": "AQAB"},
            {"kty": "EC", "kid": "other", "crv": "P-521", "x": "AQAB", "y": "AQAB"},
            {"kty": "unheard-of", "kid": "new"},
            {"kty": "OKP", "kid": "good", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
        ]}"#;
        let keys = read_keys(document).unwrap();
        assert_eq!(keys.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(keys["good"].algorithms, [Algorithm::EdDSA]);
    }
}
