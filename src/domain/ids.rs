//! Identifiers and time. Parsed at the edge, trusted inside.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Microseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(pub i64);

/// A caller-chosen session key: `[A-Za-z0-9][A-Za-z0-9._:@~+=-]{0,127}`, compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(String);

/// One life of a session's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogId(pub Uuid);

/// A session's row in the store; never used again after a delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionRow(pub i64);

/// Who calls: `tenant/subject`. Credentials are of it, so rotating them changes nothing that it owns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The wall: keys, namespaces and request ids live inside one.
    pub tenant: String,
    /// Name of the caller inside its tenant.
    pub subject: String,
}

/// The tenant of whoever runs the server.
pub const OPERATOR_TENANT: &str = "default";
/// Longest session key, in bytes.
pub const SESSION_KEY_MAX_BYTES: usize = 128;
/// The grammar of session keys as a regular expression; a test holds it to the parser.
pub const SESSION_KEY_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._:@~+=-]{0,127}$";

// === impl Time ===

impl Time {
    /// The moment `micros` microseconds later.
    #[must_use]
    pub fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

// === impl SessionKey ===

impl SessionKey {
    /// Accepts a key of the grammar.
    ///
    /// # Errors
    /// A sentence that names the grammar.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let first = bytes.first().is_some_and(u8::is_ascii_alphanumeric);
        let rest = bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"._:@~+=-".contains(b));
        if first && rest && bytes.len() <= SESSION_KEY_MAX_BYTES {
            Ok(Self(text.to_owned()))
        } else {
            Err("must match [A-Za-z0-9][A-Za-z0-9._:@~+=-]{0,127}".to_owned())
        }
    }

    /// The key as the caller wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl LogId {
    /// Derived from the session's own id and the store's generation, so a restore changes every log id.
    pub fn derive(session_uid: Uuid, store_generation: Uuid) -> Self {
        Self(Uuid::new_v5(&store_generation, session_uid.as_bytes()))
    }
}

// === impl Principal ===

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.subject)
    }
}

impl Principal {
    /// Whether it belongs to whoever runs the server, and not to one of many tenants on it.
    pub fn is_operator(&self) -> bool {
        self.tenant == OPERATOR_TENANT
    }

    /// The user who runs the server, however it is recognised: no credentials asked for, the unix socket, or the key that
    /// the first start makes.
    pub fn local() -> Self {
        Self {
            tenant: OPERATOR_TENANT.into(),
            subject: "local".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn session_keys_follow_the_grammar() {
        for good in ["a", "0", "a:b", "a_b", "A.b:c@d~e+f=g-h"] {
            assert!(SessionKey::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(129);
        for bad in ["", ".", "..", "-a", "a/b", "a b", "_a", "ä", "a\0", &long] {
            assert!(SessionKey::parse(bad).is_err(), "{bad:?}");
        }
        assert!(SessionKey::parse(&"a".repeat(128)).is_ok());
    }

    proptest! {
        #[test]
        fn a_parsed_key_is_the_text_it_came_from(text in "\\PC{0,140}") {
            if let Ok(key) = SessionKey::parse(&text) {
                prop_assert_eq!(key.as_str(), text.as_str());
                prop_assert!(text.is_ascii());
            }
        }
    }
}
