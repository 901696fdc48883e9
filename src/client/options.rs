//! How a server is reached, as a caller says it.

use super::{ClientTls, DEFAULT_ADDRESS, is_secure};
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};

/// How long a call is repeated where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to reach a server: [`ClientOptions::new`], then what is to be different.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `http://HOST:PORT`, `https://HOST:PORT`, `unix:PATH` for a server's unix socket, or only `HOST:PORT`.
    pub address: String,
    /// For `https://` addresses.
    pub tls: ClientTls,
    /// The API key or other token that calls carry.
    pub key: Option<SecretString>,
    /// Lets the key go to another machine without encryption, where everyone on the way can read it.
    pub key_over_plaintext: bool,
    /// How long a call is repeated while the server is away. Default 30 s.
    pub patience: Duration,
    /// How long a call may take, repeats included; `None` for as long as its connection is alive. Streams have no bound.
    pub deadline: Option<Duration>,
}

/// The address, the key or a TLS file can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadOptions(pub(super) String);

// === impl ClientOptions ===

impl ClientOptions {
    /// A server at that address, without a key.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            tls: ClientTls::default(),
            key: None,
            key_over_plaintext: false,
            patience: PATIENCE,
            deadline: None,
        }
    }

    /// What `QUARTERDECK_ADDR` (default [`DEFAULT_ADDRESS`]) and `QUARTERDECK_KEY` say.
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let address = variable("QUARTERDECK_ADDR");
        let mut options = Self::new(address.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()));
        options.key = variable("QUARTERDECK_KEY").map(SecretString::from);
        options
    }

    /// With that key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(SecretString::from(key.into()));
        self
    }

    /// With the CA that signed the server's certificate, a PEM file.
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls.ca = Some(file.into());
        self
    }

    /// With that patience.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// With that deadline of each call.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// Refuses to send a key where everyone on the way can read it.
pub(super) fn check_key(guarded: bool, address: &str) -> Result<(), BadOptions> {
    if !guarded || is_secure(address) {
        return Ok(());
    }
    Err(BadOptions(format!(
        "the key would go to `{address}` without encryption: use https://, or set `key_over_plaintext` where everyone on the \
         way may read it"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_out_encrypted_or_stays_here() {
        for fine in ["https://example.org", "http://127.0.0.1:1", "unix:/a"] {
            assert!(check_key(true, fine).is_ok(), "{fine}");
        }
        for plain in [
            "http://example.org",
            "example.org:7777",
            "HTTPS://example.org",
        ] {
            assert!(check_key(true, plain).is_err(), "{plain}");
            assert!(check_key(false, plain).is_ok(), "{plain}");
        }
    }
}
