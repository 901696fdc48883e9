//! Page tokens: positions in lists, sealed.
//!
//! A position is a row's number or time and tells how much others have, so callers can't read it; and it is taken back
//! from the principal alone that it was given to, for the same list. Sealed with XChaCha20-Poly1305 under a key that is
//! derived from the data directory's pepper: tokens outlive a restart.

use super::parse::Fields;
use crate::domain::{access::Identity, ids::Principal};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, AeadCore as _, OsRng, Payload},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Longest token that is looked at, in bytes.
const TOKEN_MAX_BYTES: usize = 256;
/// Bytes of a nonce, which stands before the sealed position.
const NONCE_BYTES: usize = 24;
/// What the sealing key is derived with, so that no key has two uses.
const PURPOSE: &[u8] = b"quarterdeck: page tokens, version 1";

/// Makes and reads page tokens.
pub struct PageTokens {
    cipher: XChaCha20Poly1305,
}

/// One list of one caller.
pub struct PagedList<'a> {
    tokens: &'a PageTokens,
    /// Who asks for what; a token is worth nothing elsewhere.
    bound_to: Vec<u8>,
}

// === impl PageTokens ===

impl PageTokens {
    /// Seals with a key that is derived from the pepper.
    pub fn new(pepper: &[u8]) -> Self {
        let mut derive =
            <Hmac<Sha256> as Mac>::new_from_slice(pepper).expect("HMAC takes keys of every length");
        derive.update(PURPOSE);
        Self {
            cipher: XChaCha20Poly1305::new(&derive.finalize().into_bytes()),
        }
    }

    /// The list of a caller that `query` tells from all others: its kind and everything that filters it.
    pub fn list(&self, caller: &Identity, query: &str) -> PagedList<'_> {
        let Principal { tenant, subject } = &caller.principal;
        // They can't run into each other: the grammar of names has no zero byte.
        let bound_to = [tenant.as_str(), subject, query].join("\0").into_bytes();
        PagedList {
            tokens: self,
            bound_to,
        }
    }
}

// === impl PagedList ===

impl PagedList<'_> {
    /// The token of a position; empty at the end of the list.
    pub fn token<const N: usize>(&self, position: Option<[i64; N]>) -> String {
        let Some(position) = position else {
            return String::new();
        };
        let position = position.map(i64::to_be_bytes).concat();
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload {
            msg: &position,
            aad: &self.bound_to,
        };
        let sealed = self.tokens.cipher.encrypt(&nonce, payload);
        let sealed = sealed.expect("a position is far below the cipher's bound");
        URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat())
    }

    /// The position that a token stands for; `None` for the first page, and where the token is wrong, which `fields` is told.
    pub fn position<const N: usize>(&self, fields: &mut Fields, token: &str) -> Option<[i64; N]> {
        if token.is_empty() {
            return None;
        }
        let position = self.open(token);
        if position.is_none() {
            fields.wrong(
                "page_token",
                "was not given to you for this list; take next_page_token with the same other fields",
            );
        }
        position
    }

    fn open<const N: usize>(&self, token: &str) -> Option<[i64; N]> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
        let payload = Payload {
            msg: sealed,
            aad: &self.bound_to,
        };
        let opened = self
            .tokens
            .cipher
            .decrypt(XNonce::from_slice(nonce), payload);
        let (numbers, rest) = opened.as_ref().ok()?.as_chunks::<8>();
        let numbers: [[u8; 8]; N] = numbers.try_into().ok()?;
        rest.is_empty().then(|| numbers.map(i64::from_be_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Principal;

    fn caller(subject: &str) -> Identity {
        Identity {
            principal: Principal {
                subject: subject.into(),
                ..Principal::local()
            },
            ..Identity::unauthenticated()
        }
    }

    #[test]
    fn a_page_token_comes_back_from_its_caller_for_its_list_alone() {
        let tokens = PageTokens::new(b"pepper");
        let list = tokens.list(&caller("anna"), "turns");
        for position in [0, 1, -1, i64::MAX, i64::MIN] {
            let token = list.token(Some([position]));
            assert_eq!(list.open(&token), Some([position]));
            assert_eq!(list.open::<2>(&token), None);
            for other in [
                tokens.list(&caller("anna"), "keys"),
                tokens.list(&caller("bert"), "turns"),
                PageTokens::new(b"other").list(&caller("anna"), "turns"),
            ] {
                assert_eq!(other.open::<1>(&token), None);
                let mut fields = Fields::default();
                assert_eq!(other.position::<1>(&mut fields, &token), None);
                assert!(fields.check().is_err());
            }
            for at in 0..token.len() {
                let mut forged = token.clone().into_bytes();
                forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
                let forged = String::from_utf8(forged).expect("ASCII");
                assert_eq!(list.open::<1>(&forged), None, "{at}");
            }
        }
        assert_eq!(list.token::<1>(None), "");
        let both = list.token(Some([7, 8]));
        assert_eq!(list.open(&both), Some([7, 8]));
        // Nobody reads a position, or compares two.
        assert_ne!(list.token(Some([7])), list.token(Some([7])));
    }

    /// R16.
    #[test]
    fn any_page_token_is_read_or_refused() {
        let tokens = PageTokens::new(b"pepper");
        let list = tokens.list(&caller("anna"), "turns");
        let good = list.token(Some([7]));
        crate::fuzz::fuzz(&[good.as_bytes(), b"", b"AAAA"], |bytes| {
            if let Ok(token) = std::str::from_utf8(bytes) {
                let _ = list.open::<1>(token);
            }
        });
    }
}
