//! Credentials with which agents call the gateway.
//!
//! Each is of one agent's process: it is made when the process is started and is forgotten with it, and a process that is
//! started again has another one. It is worth something at the agents' own door alone (`mcp::agents`), reaches nothing but
//! the memory tools of its session, and that only while a turn of the session runs. It stands in a file that the agent
//! reads, never in arguments or an environment. Nothing of it is stored: no credential outlives the gateway either.

use super::bearer;
use crate::domain::ids::{Principal, SessionKey, SessionRow};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::Semaphore;

/// Calls that one agent may have open.
pub const CALLS_MAX: usize = 4;
/// How a credential's text begins.
const PREFIX: &str = "qda_";
/// Random bytes of a credential.
const SECRET_BYTES: usize = 32;

/// What tells one credential from all others; not the text, so that no copy of it stays in memory.
type Known = [u8; 32];

/// The credentials of all agents that live.
#[derive(Debug)]
pub struct AgentCredentials {
    address: SocketAddr,
    tools: Value,
    holders: Mutex<HashMap<Known, Holder>>,
}

/// A credential; what dies with the last clone of it.
#[derive(Clone, Debug)]
pub struct AgentCredential {
    file: SecretString,
    address: String,
    token: SecretString,
    _alive: Arc<Alive>,
}

/// Whose a credential is.
#[derive(Clone, Debug)]
pub struct Holder {
    /// What the agent works for.
    pub works_for: Arc<WorksFor>,
    /// Places for its calls.
    pub calls: Arc<Semaphore>,
}

/// The session that an agent works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorksFor {
    /// Its row.
    pub session: SessionRow,
    /// Its key.
    pub session_key: SessionKey,
    /// Whose it is.
    pub principal: Principal,
}

/// Its drop ends a credential.
#[derive(Debug)]
struct Alive {
    known: Known,
    all: Weak<AgentCredentials>,
}

// === impl AgentCredentials ===

impl AgentCredentials {
    /// None yet. Agents call this address, and are told of these tools.
    pub fn new(address: SocketAddr, tools: Value) -> Arc<Self> {
        Arc::new(Self {
            address,
            tools,
            holders: Mutex::default(),
        })
    }

    /// Makes a credential for an agent of this session that is about to be started.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn issue(
        self: &Arc<Self>,
        works_for: WorksFor,
    ) -> Result<AgentCredential, getrandom::Error> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let token = format!("{PREFIX}{secret}");
        let known = known(&token);
        let holder = Holder {
            works_for: Arc::new(works_for),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
        };
        self.lock().insert(known, holder);
        let address = format!("http://{}", self.address);
        let file = json!({ "address": address, "token": token, "tools": self.tools });
        Ok(AgentCredential {
            file: SecretString::from(file.to_string()),
            address,
            token: token.into(),
            _alive: Arc::new(Alive {
                known,
                all: Arc::downgrade(self),
            }),
        })
    }

    /// Whose credential a call brings; `None` where it is nobody's (any more).
    pub fn recognise(&self, headers: &HeaderMap) -> Option<Holder> {
        let token = bearer(headers).ok()??;
        self.lock().get(&known(token)).cloned()
    }

    /// A lock, since it is held for one look into a map.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Known, Holder>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl AgentCredential ===

impl AgentCredential {
    /// Where it is worth something: the agents' own door, without a path.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The credential itself, a bearer token.
    pub fn token(&self) -> &SecretString {
        &self.token
    }

    /// Text of the file that the agent reads: JSON with `address`, `token` and `tools`.
    pub fn file(&self) -> &[u8] {
        self.file.expose_secret().as_bytes()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(all) = self.all.upgrade() {
            all.lock().remove(&self.known);
        }
    }
}

fn known(token: &str) -> Known {
    Sha256::digest(token.as_bytes()).into()
}
