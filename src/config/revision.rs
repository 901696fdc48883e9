//! What names an agent's configuration.

use super::{AGENT_KEYS, AgentConfig};
use hmac::{Hmac, Mac};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

/// What it is hashed with besides the key, so that the key has no two uses.
const PURPOSE: &[u8] = b"quarterdeck: revision of an agent, version 1";
/// Hexadecimal digits of a revision.
const REVISION_DIGITS: usize = 16;

impl AgentConfig {
    /// Names this configuration: the same one has the same revision, over restarts and on versions with further keys; another
    /// one has another. All values count, secrets as well, so it is hashed with a key, and a revision tells nothing of them.
    pub fn revision(&self, key: &[u8]) -> String {
        let mut hash =
            <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of every length");
        hash.update(PURPOSE);
        let mut part = |text: &str| {
            // With its length, so that no two lists of texts are the same bytes.
            hash.update(&(text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        let default = Self::default();
        for key in AGENT_KEYS {
            let value = key.toml(self);
            if value != key.toml(&default) {
                part(key.name);
                part(&value);
            }
        }
        // Shown without their values above.
        for (name, value) in &self.environment.0 {
            part(name);
            part(value);
        }
        part(self.api_key.0.expose_secret());
        let digest = hash.finalize().into_bytes();
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        digits[..REVISION_DIGITS].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_configuration_has_another_revision_and_the_same_has_the_same() {
        let agent = |change: fn(&mut AgentConfig)| {
            let mut agent = AgentConfig::default();
            change(&mut agent);
            agent
        };
        let secret = |agent: &mut AgentConfig, value: &str| {
            agent.environment.0.insert("KEY".into(), value.into());
        };
        let (mut one, mut other) = (AgentConfig::default(), AgentConfig::default());
        secret(&mut one, "sk-1");
        secret(&mut other, "sk-2");
        let all = [
            AgentConfig::default(),
            one.clone(),
            other,
            agent(|it| it.api_key.0 = "sk-1".to_owned().into()),
            agent(|it| it.api_key.0 = "sk-2".to_owned().into()),
            agent(|it| it.model = "m".into()),
            agent(|it| it.thinking_level = "m".into()),
            agent(|it| it.args = vec!["a".into(), "b".into()]),
            agent(|it| it.args = vec!["a\", \"b".into()]),
        ];
        let revisions: std::collections::BTreeSet<String> =
            all.iter().map(|it| it.revision(b"pepper")).collect();
        assert_eq!(revisions.len(), all.len());
        assert_eq!(one.revision(b"pepper"), one.revision(b"pepper"));
        assert_ne!(one.revision(b"pepper"), one.revision(b"another"));
    }
}
