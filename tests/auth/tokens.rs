//! JSON Web Tokens of an issuer on this machine: what is taken, and every known way to pass for one.

// More than one thread everywhere: the issuer answers while a server is waited for.

use crate::{
    support::{Gateway, reason},
    world::{Caller, start_with},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use quarterdeck::proto::CredentialKind;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// An issuer with a web server: documents by path, and how often each was asked for.
pub struct Issuer {
    url: String,
    documents: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// A key that signs.
pub struct Signer {
    key_id: String,
    algorithm: Algorithm,
    pair: KeyPair,
}

impl Issuer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self {
            url,
            documents: Arc::default(),
            asked: Arc::default(),
        };
        let (documents, asked) = (issuer.documents.clone(), issuer.asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (documents, asked) = (documents.clone(), asked.clone());
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let request = String::from_utf8(request).unwrap();
                    let path = request.split(' ').nth(1).unwrap().to_owned();
                    asked.lock().unwrap().push(path.clone());
                    let found = documents.lock().unwrap().get(&path).cloned();
                    let answer = match found {
                        Some(to) if to.starts_with("-> ") => format!(
                            "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                            &to[3..]
                        ),
                        Some(body) => format!(
                            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                            body.len()
                        ),
                        None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into(),
                    };
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        issuer
    }

    fn put(&self, path: &str, document: impl ToString) {
        let mut documents = self.documents.lock().unwrap();
        documents.insert(path.to_owned(), document.to_string());
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Publishes these keys, by discovery.
    pub fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|it| it.published()).collect();
        self.put("/keys", json!({ "keys": keys }));
        self.put(
            "/.well-known/openid-configuration",
            json!({ "issuer": self.url, "jwks_uri": format!("{}/keys", self.url) }),
        );
    }

    fn asked(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|it| *it == path).count()
    }

    /// What a good token says.
    pub fn claims(&self) -> Value {
        json!({
            "iss": self.url,
            "aud": "quarterdeck.test",
            "sub": "dashboard",
            "scope": "openid session.read session.write",
            "exp": now() + 600,
        })
    }

    /// A server that takes its tokens.
    pub fn gateway(&self, more: &str) -> Gateway {
        let config = format!(
            "jwt_issuer = \"{}\"\njwt_audience = \"quarterdeck.test\"\njwt_refresh_min = \"1s\"\n\
             auth_failures_per_minute = 0\n{more}",
            self.url
        );
        start_with(&[], &config)
    }
}

impl Signer {
    pub fn new(key_id: &str, algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::EdDSA => KeyPair::generate_for(&PKCS_ED25519),
            _ => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        };
        Self {
            key_id: key_id.into(),
            algorithm,
            pair: pair.unwrap(),
        }
    }

    fn published(&self) -> Value {
        let raw = self.pair.der_bytes();
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self.algorithm {
            Algorithm::EdDSA => json!({
                "kty": "OKP", "crv": "Ed25519", "kid": self.key_id, "use": "sig", "x": b64(raw),
            }),
            _ => json!({
                "kty": "EC", "crv": "P-256", "kid": self.key_id, "alg": "ES256",
                "x": b64(&raw[1..33]), "y": b64(&raw[33..]),
            }),
        }
    }

    fn header(&self) -> Header {
        Header {
            kid: Some(self.key_id.clone()),
            ..Header::new(self.algorithm)
        }
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    fn sign_with(&self, header: &Header, claims: &Value) -> String {
        let pem = self.pair.serialize_pem();
        let key = match self.algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_ec_pem(pem.as_bytes()),
        };
        encode(header, claims, &key.unwrap()).unwrap()
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

async fn assert_refused(caller: &Caller, token: &str, why: &str) {
    let refused = caller.as_key(token).who().await.expect_err(why);
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID", "{why}");
}

/// A token of the issuer is its subject, with the scopes that are ours; API keys go on to work beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_its_subject() {
    let issuer = Issuer::start().await;
    let (one, two) = (
        Signer::new("one", Algorithm::ES256),
        Signer::new("two", Algorithm::EdDSA),
    );
    issuer.publish(&[&one, &two]);
    let gateway = issuer.gateway("");
    let admin = Caller::admin(&gateway).await;
    for signer in [&one, &two] {
        let claims = issuer.claims();
        let who = admin.as_key(&signer.sign(&claims)).who().await.unwrap();
        assert_eq!(who.principal, "default/dashboard");
        assert_eq!(who.scopes, ["session.read", "session.write"]);
        assert_eq!(who.credential(), CredentialKind::Jwt);
        let end = claims["exp"].as_i64().unwrap() + 60;
        assert_eq!(who.expire_time.unwrap().seconds, end);
    }
    admin.who().await.unwrap();

    // A list of scopes and of audiences, and the leeway between clocks.
    let claims = with(&issuer.claims(), "scope", json!(["session.abort"]));
    let claims = with(&claims, "aud", json!(["other", "quarterdeck.test"]));
    let claims = with(&claims, "exp", json!(now() - 30));
    let claims = with(&claims, "nbf", json!(now() + 30));
    let who = admin.as_key(&one.sign(&claims)).who().await.unwrap();
    assert_eq!(who.scopes, ["session.abort"]);
}

/// Claims by other names, and scopes of tokens that name none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_have_the_names_that_the_configuration_says() {
    let issuer = Issuer::start().await;
    let signer = Signer::new("one", Algorithm::ES256);
    issuer.publish(&[&signer]);
    let gateway = issuer.gateway(
        "jwt_tenant_claim = \"org\"\njwt_subject_claim = \"client_id\"\njwt_scope_claim = \"permissions\"\n\
         jwt_default_scopes = [\"session.read\"]\n",
    );
    let admin = Caller::admin(&gateway).await;
    let claims = with(&issuer.claims(), "org", json!("acme"));
    let claims = with(&claims, "client_id", json!("robot"));
    let who = admin.as_key(&signer.sign(&claims)).who().await.unwrap();
    assert_eq!(who.principal, "acme/robot");
    assert_eq!(who.scopes, ["session.read"]);
    for (name, value) in [
        ("org", json!("a/b")),
        ("org", json!("")),
        ("org", json!(7)),
        ("client_id", json!("a b")),
        ("permissions", json!({"session.read": true})),
    ] {
        let token = signer.sign(&with(&claims, name, value));
        assert_refused(&admin, &token, name).await;
    }
    for name in ["org", "client_id"] {
        assert_refused(&admin, &signer.sign(&without(&claims, name)), name).await;
    }
}

/// The user who runs the server is nobody that an issuer names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_the_machines_own_user() {
    let issuer = Issuer::start().await;
    let signer = Signer::new("one", Algorithm::ES256);
    issuer.publish(&[&signer]);
    let gateway = issuer.gateway("jwt_tenant_claim = \"org\"\n");
    let admin = Caller::admin(&gateway).await;
    let claims = with(&issuer.claims(), "sub", json!("local"));
    let own = signer.sign(&with(&claims, "org", json!("default")));
    assert_refused(&admin, &own, "default/local").await;
    // In another tenant it is a name like any other.
    let other = signer.sign(&with(&claims, "org", json!("acme")));
    let who = admin.as_key(&other).who().await.unwrap();
    assert_eq!(who.principal, "acme/local");
}

/// What an issuer names as the place of its keys is not fetched from this machine, but where the configuration says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_sends_nobody_to_a_private_address() {
    let issuer = Issuer::start().await;
    let signer = Signer::new("one", Algorithm::ES256);
    issuer.publish(&[&signer]);
    let named = issuer.url.replace("127.0.0.1", "localhost");
    issuer.put(
        "/.well-known/openid-configuration",
        json!({ "issuer": issuer.url, "jwks_uri": format!("{named}/keys") }),
    );
    let token = signer.sign(&issuer.claims());
    let gateway = issuer.gateway("");
    let admin = Caller::admin(&gateway).await;
    assert_refused(&admin, &token, "the keys are at a private address").await;
    assert_eq!(issuer.asked("/keys"), 0);
    let gateway = issuer.gateway("jwt_private_addresses = true\n");
    let admin = Caller::admin(&gateway).await;
    admin.as_key(&token).who().await.unwrap();
}

/// Each claim that binds a token to issuer, receiver and time is needed, and must be right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_others_or_another_time_is_refused() {
    let issuer = Issuer::start().await;
    let signer = Signer::new("one", Algorithm::ES256);
    issuer.publish(&[&signer]);
    let gateway = issuer.gateway("");
    let admin = Caller::admin(&gateway).await;
    let good = issuer.claims();
    admin.as_key(&signer.sign(&good)).who().await.unwrap();
    for name in ["iss", "aud", "exp", "sub"] {
        assert_refused(&admin, &signer.sign(&without(&good, name)), name).await;
    }
    for (name, value) in [
        ("iss", json!("https://elsewhere.example")),
        ("aud", json!("other")),
        ("aud", json!(["other"])),
        ("exp", json!(now() - 120)),
        ("exp", json!("never")),
        ("nbf", json!(now() + 120)),
        ("sub", json!("../admin")),
    ] {
        let token = signer.sign(&with(&good, name, value));
        assert_refused(&admin, &token, name).await;
    }
    // Too long, however right it is.
    let long = with(&good, "padding", json!("x".repeat(8 * 1024)));
    assert_refused(&admin, &signer.sign(&long), "longer than 8 KiB").await;
}

/// A public key is no secret, and no signature is none: algorithms come from the list and from the key, never from the
/// token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_chooses_how_it_is_checked() {
    let issuer = Issuer::start().await;
    let signer = Signer::new("one", Algorithm::ES256);
    issuer.publish(&[&signer]);
    let gateway = issuer.gateway("");
    let admin = Caller::admin(&gateway).await;
    let claims = issuer.claims();
    let good = signer.sign(&claims);
    admin.as_key(&good).who().await.unwrap();

    let raw = signer.pair.der_bytes().to_vec();
    let secrets = [
        signer.pair.public_key_pem().into_bytes(),
        signer.pair.subject_public_key_info(),
        raw[1..].to_vec(),
        raw,
        Vec::new(),
    ];
    for secret in secrets {
        let header = Header {
            kid: Some("one".into()),
            ..Header::new(Algorithm::HS256)
        };
        let token = encode(&header, &claims, &EncodingKey::from_secret(&secret)).unwrap();
        assert_refused(&admin, &token, "HS256 with the public key").await;
    }

    let b64 = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = good.rsplit_once('.').unwrap().1;
    for algorithm in [
        "none", "None", "NONE", "", "HS256", "RS256", "ES384", "EdDSA",
    ] {
        let header = b64(&json!({ "alg": algorithm, "typ": "JWT", "kid": "one" }));
        for end in ["", signature] {
            let token = format!("{header}.{}.{end}", b64(&claims));
            assert_refused(&admin, &token, algorithm).await;
        }
    }
    // The signature is of these claims alone.
    let (head, _) = good.split_once('.').unwrap();
    let grown = with(&claims, "scope", json!("admin.keys"));
    let token = format!("{head}.{}.{signature}", b64(&grown));
    assert_refused(&admin, &token, "other claims").await;
    for token in [
        "a.b.c",
        "..",
        "eyJ",
        "a.b",
        &good[1..],
        &format!("{good}.x"),
    ] {
        assert_refused(&admin, token, token).await;
    }
    // The list counts for a key of the issuer too.
    let gateway = issuer.gateway("jwt_algorithms = [\"EdDSA\"]\n");
    let admin = Caller::admin(&gateway).await;
    assert_refused(&admin, &good, "an algorithm that is not on the list").await;
}

/// Nothing in a token's header leads anywhere: keys are those of the issuer's set, by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tokens_header_brings_no_key() {
    let issuer = Issuer::start().await;
    let signer = Signer::new("one", Algorithm::ES256);
    let attacker = Signer::new("mine", Algorithm::ES256);
    issuer.publish(&[&signer]);
    issuer.put("/mine", json!({ "keys": [attacker.published()] }));
    let gateway = issuer.gateway("");
    let admin = Caller::admin(&gateway).await;
    let claims = issuer.claims();
    let own_key: jsonwebtoken::jwk::Jwk = serde_json::from_value(attacker.published()).unwrap();
    let key_ids = [
        "mine",
        "two",
        "",
        "../one",
        "one\0",
        "/dev/null",
        "one' OR '1'='1",
        &format!("{}/mine", issuer.url),
        &"k".repeat(129),
    ];
    for key_id in key_ids {
        let header = Header {
            kid: Some(key_id.into()),
            jku: Some(format!("{}/mine", issuer.url)),
            jwk: Some(own_key.clone()),
            x5u: Some(format!("{}/mine", issuer.url)),
            ..Header::new(Algorithm::ES256)
        };
        let token = attacker.sign_with(&header, &claims);
        assert_refused(&admin, &token, key_id).await;
    }
    let borrowed = Header {
        kid: Some("one".into()),
        jwk: Some(own_key),
        ..Header::new(Algorithm::ES256)
    };
    assert_refused(&admin, &attacker.sign_with(&borrowed, &claims), "one").await;
    let nameless = Header::new(Algorithm::ES256);
    assert_refused(&admin, &signer.sign_with(&nameless, &claims), "no kid").await;
    let critical = Header {
        crit: Some(vec!["exp".into()]),
        ..signer.header()
    };
    assert_refused(&admin, &signer.sign_with(&critical, &claims), "crit").await;
    assert_eq!(issuer.asked("/mine"), 0, "a token sent the server to fetch");
}

/// A new key is found when the first token names it, an old one is forgotten with its tokens, and names that are not
/// there don't make the server fetch at every call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate() {
    let issuer = Issuer::start().await;
    let (old, new) = (
        Signer::new("old", Algorithm::ES256),
        Signer::new("new", Algorithm::EdDSA),
    );
    issuer.publish(&[&old]);
    let gateway = issuer.gateway("");
    let admin = Caller::admin(&gateway).await;
    let with_old = admin.as_key(&old.sign(&issuer.claims()));
    let with_new = admin.as_key(&new.sign(&issuer.claims()));
    with_old.who().await.unwrap();

    issuer.publish(&[&new]);
    let began = std::time::Instant::now();
    let mut refused = 0;
    while with_new.who().await.is_err() {
        refused += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(began.elapsed() < crate::support::SOON);
    }
    let most = began.elapsed().as_secs() + 2;
    let fetched = u64::try_from(issuer.asked("/keys")).unwrap();
    assert!(
        fetched <= most,
        "{fetched} fetches in {most} s after {refused} refusals"
    );
    let refused = with_old.who().await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");

    // An issuer that is ill takes nobody's key away, and one that points elsewhere is not followed.
    for document in ["nonsense", "-> /other", "{\"keys\": 7}"] {
        issuer.put("/keys", document);
        issuer.put("/other", json!({ "keys": [old.published()] }));
        let before = issuer.asked("/keys");
        while issuer.asked("/keys") == before {
            let _ = with_old.who().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        with_new.who().await.unwrap();
    }
    assert_eq!(issuer.asked("/other"), 0);
}
