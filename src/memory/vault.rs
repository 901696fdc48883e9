//! Secrets at rest: sealed with XChaCha20-Poly1305 under the memory key, each bound to its item.
//!
//! The key stands in a file of its own, which a backup of the store does not take along: without it the sealed bytes
//! can't be read. What is derived from a secret (the digest that finds it again, the hash of its request) is keyed too,
//! so that a short secret can't be guessed from it.

use crate::{
    domain::refusal::Refusal,
    store::sqlite::{Answer, Fault},
};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, AeadCore as _, OsRng, Payload},
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};
use uuid::Uuid;

/// Bytes of the key.
const KEY_BYTES: usize = 32;
/// Bytes of a nonce, which stands before the sealed text.
const NONCE_BYTES: usize = 24;

/// Seals and opens.
pub struct Vault {
    cipher: XChaCha20Poly1305,
    /// For digests; derived, so that no key has two uses.
    digest_key: [u8; KEY_BYTES],
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is no key.
    #[error("the memory key must be {KEY_BYTES} bytes as {} hexadecimal digits", 2 * KEY_BYTES)]
    Malformed,
    /// The file can't be read or made.
    #[error(transparent)]
    Io(#[from] io::Error),
}

// === impl Vault ===

impl Vault {
    /// The key in a file; made there, for its owner alone, where there is none.
    ///
    /// # Errors
    /// The file can't be read or made, or holds no key.
    pub fn open(file: &Path) -> Result<Self, KeyError> {
        match fs::read_to_string(file) {
            Ok(text) => Self::from_text(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = XChaCha20Poly1305::generate_key(&mut OsRng);
                let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                // A half-written key would be taken for a wrong one: it gets its name when it is whole.
                let part = file.with_extension("part");
                let mut made = fs::OpenOptions::new()
                    .create(true)
                    .write(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&part)?;
                writeln!(made, "{text}")?;
                made.sync_all()?;
                fs::rename(&part, file)?;
                if let Some(directory) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
                    fs::File::open(directory)?.sync_all()?;
                }
                Self::from_text(&text)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The key as text: 64 hexadecimal digits.
    ///
    /// # Errors
    /// The text is something else.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return Err(KeyError::Malformed);
        }
        let mut key = [0; KEY_BYTES];
        for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| KeyError::Malformed)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| KeyError::Malformed)?;
        }
        let digest_key = keyed(&key, &[b"digests of memory"]);
        Ok(Self {
            cipher: XChaCha20Poly1305::new(&key.into()),
            digest_key,
        })
    }

    /// Seals the content of an item.
    pub(crate) fn seal(&self, item: Uuid, content: &str) -> Answer<Vec<u8>> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload {
            msg: content.as_bytes(),
            aad: item.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&nonce, payload)
            .map_err(|_| Fault::Broken("a secret can't be sealed".into()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for that item.
    pub(crate) fn unseal(&self, item: Uuid, sealed: &[u8]) -> Answer<String> {
        let unreadable = || Fault::from(Refusal::SecretUnreadable);
        let (nonce, msg) = sealed
            .split_at_checked(NONCE_BYTES)
            .ok_or_else(unreadable)?;
        let aad = item.as_bytes();
        let opened = self
            .cipher
            .decrypt(XNonce::from_slice(nonce), Payload { msg, aad })
            .map_err(|_| unreadable())?;
        String::from_utf8(opened).map_err(|_| unreadable())
    }

    /// A digest that can't be made without the key.
    pub(crate) fn digest(&self, pieces: &[&[u8]]) -> [u8; 32] {
        keyed(&self.digest_key, pieces)
    }
}

/// Each piece with its length, so no two lists are written alike.
fn keyed(key: &[u8; KEY_BYTES], pieces: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key).expect("any length is a key");
    for piece in pieces {
        mac.update(&(piece.len() as u64).to_be_bytes());
        mac.update(piece);
    }
    mac.finalize().into_bytes().into()
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_is_opened_by_its_key_for_its_item_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("memory.key");
        let vault = Vault::open(&file).unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let id = Uuid::now_v7();
        let sealed = vault.seal(id, "hunter2 ✓").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_ne!(
            sealed,
            vault.seal(id, "hunter2 ✓").unwrap(),
            "no nonce twice"
        );
        let again = Vault::open(&file).unwrap();
        assert_eq!(again.unseal(id, &sealed).unwrap(), "hunter2 ✓");
        assert_eq!(again.digest(&[b"a"]), vault.digest(&[b"a"]));
        assert_ne!(vault.digest(&[b"ab"]), vault.digest(&[b"a", b"b"]));
        for wrong in [
            again.unseal(Uuid::now_v7(), &sealed),
            again.unseal(id, &sealed[1..]),
            again.unseal(id, b"short"),
            Vault::from_text(&"ab".repeat(32))
                .unwrap()
                .unseal(id, &sealed),
        ] {
            assert!(matches!(
                wrong,
                Err(Fault::Refused(Refusal::SecretUnreadable))
            ));
        }
        assert!(Vault::from_text("short").is_err());
        assert!(Vault::from_text(&"zz".repeat(32)).is_err());
        assert_eq!(format!("{vault:?}"), "Vault");
    }
}
