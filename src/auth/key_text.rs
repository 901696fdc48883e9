//! The text of an API key: `qdk_<id>_<secret>_<checksum>`.
//!
//! The beginning is for scanners that look for leaked secrets, the checksum tells a mistyped key before any work is done.
//! It proves nothing: who recognises a key compares its secret.

use secrecy::{ExposeSecret as _, SecretString};

/// What every key begins with.
pub const PREFIX: &str = "qdk_";
/// Digits of an id: 71 bits, so that two never meet.
pub const ID_DIGITS: usize = 12;
/// Digits of a secret: 190 bits.
const SECRET_DIGITS: usize = 32;
/// Digits that hold 32 bits.
const CHECKSUM_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Bytes from here on would make the first digits likelier than the others.
const FAIR_BYTES: u8 = 248;

/// A key's text, taken apart.
#[derive(Clone, Copy)]
pub struct KeyText<'a> {
    /// Names the key; no secret.
    pub id: &'a str,
    /// What only its bearer knows.
    pub secret: &'a str,
}

/// A new key.
pub struct NewKeyText {
    /// Names the key.
    pub id: String,
    /// The whole text, as calls carry it.
    pub text: SecretString,
}

// === impl KeyText ===

impl<'a> KeyText<'a> {
    /// Takes a text apart whose form and checksum are right.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (body, checksum) = text.rsplit_once('_')?;
        let (id, secret) = body.strip_prefix(PREFIX)?.split_once('_')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let well_formed = id.len() == ID_DIGITS
            && secret.len() == SECRET_DIGITS
            && digits(id)
            && digits(secret)
            && checksum == checksum_of(body);
        well_formed.then_some(Self { id, secret })
    }
}

// === impl NewKeyText ===

impl NewKeyText {
    /// Makes one from the system's source of random numbers.
    ///
    /// # Errors
    /// The system has none.
    pub fn make() -> Result<Self, getrandom::Error> {
        let id = random_digits(ID_DIGITS)?;
        let body = format!("{PREFIX}{id}_{}", random_digits(SECRET_DIGITS)?);
        let checksum = checksum_of(&body);
        Ok(Self {
            id,
            text: format!("{body}_{checksum}").into(),
        })
    }

    /// The secret alone.
    pub fn secret(&self) -> &str {
        let parsed = KeyText::parse(self.text.expose_secret());
        parsed.expect("it was made so").secret
    }
}

fn random_digits(count: usize) -> Result<String, getrandom::Error> {
    let mut digits = String::with_capacity(count);
    let mut bytes = [0; 64];
    while digits.len() < count {
        getrandom::fill(&mut bytes)?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR_BYTES);
        let left = count - digits.len();
        digits.extend(
            fair.take(left)
                .map(|byte| char::from(DIGITS[usize::from(byte % 62)])),
        );
    }
    Ok(digits)
}

/// CRC-32 of what stands before it, the highest digit first.
fn checksum_of(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECKSUM_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_new_key_is_read_back_and_no_two_are_alike() {
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let new = NewKeyText::make().expect("random numbers");
            let text = new.text.expose_secret();
            assert_eq!(text.len(), 4 + 12 + 1 + 32 + 1 + 6);
            let parsed = KeyText::parse(text).expect("well formed");
            assert_eq!(parsed.id, new.id);
            assert_eq!(parsed.secret, new.secret());
            assert!(seen.insert(parsed.id.to_owned()) && seen.insert(parsed.secret.to_owned()));
        }
    }

    #[test]
    fn a_changed_letter_anywhere_is_noticed() {
        let new = NewKeyText::make().expect("random numbers");
        let text = new.text.expose_secret();
        for at in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(KeyText::parse(&changed).is_none(), "{at}");
        }
        let bare = &text[..text.len() - 7];
        for wrong in ["", "qdk_", "qdk___", bare, &format!("{text} "), &text[1..]] {
            assert!(KeyText::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
