//! Answer links: a `question_asked` delivery may carry an address at which whoever has it answers that question, so that a
//! phone does without an account. Off unless the configuration says where the server is reached.
//!
//! A link is a text that only this server makes. It names one question, what exactly was asked (its digest) and an end, and
//! it answers as the owner of the webhook that carried it, looked up when it is used: it ends with the webhook and with its
//! owner's right. It is stored nowhere; that it answers once is the question's own rule.

use crate::{
    clock,
    domain::{access::Scope, ids::Time, question::QuestionKind},
    proto::{GatewayEvent, gateway_event::Kind},
    store::DueDeliveries,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::time::Duration;
use uuid::Uuid;

/// Bytes of a digest and of a signature.
const DIGEST_BYTES: usize = 32;
/// Longest text of a link that is looked at, in bytes.
pub const LINK_MAX_BYTES: usize = 1024;

/// Makes links, and reads them.
#[derive(Clone)]
pub struct AnswerLinks {
    base_url: String,
    life: Duration,
    key: [u8; DIGEST_BYTES],
}

/// What a link names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Webhook whose owner answers.
    pub webhook_id: Uuid,
    /// The question.
    pub question_id: Uuid,
    /// Its session.
    pub session_key: String,
    /// What was asked.
    pub action_digest: String,
    /// Its end.
    pub expire_time: Time,
}

// === impl AnswerLinks ===

impl AnswerLinks {
    /// `base_url`: where people reach this server. `pepper`: known to this server alone.
    pub fn new(base_url: &str, life: Duration, pepper: &[u8]) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            life,
            key: mac(pepper, b"answer links"),
        }
    }

    /// The address of a question that was asked; `None` where it can't be answered so.
    pub(super) fn of(&self, due: &DueDeliveries, event: &GatewayEvent) -> Option<String> {
        let Some(Kind::QuestionAsked(asked)) = &event.kind else {
            return None;
        };
        let question = asked.question.as_ref()?;
        let answerable = [
            QuestionKind::Permission,
            QuestionKind::Form,
            QuestionKind::Link,
        ]
        .into_iter()
        .any(|kind| kind as i32 == question.kind);
        let identity = due.webhook.owner.identity();
        if !answerable || identity.require(Scope::SessionApprove).is_err() {
            return None;
        }
        let life = i64::try_from(self.life.as_micros()).unwrap_or(i64::MAX);
        let end = clock::wall().plus_micros(life);
        let linked = Linked {
            webhook_id: due.webhook.webhook_id,
            question_id: question.question_id.parse().ok()?,
            session_key: due.session_key.to_string(),
            action_digest: question.action_digest.clone(),
            expire_time: end,
        };
        Some(format!("{}/answer/{}", self.base_url, self.text(&linked)?))
    }

    /// The text of a link; `None` where the digest is none.
    pub fn text(&self, linked: &Linked) -> Option<String> {
        let Linked {
            webhook_id,
            question_id,
            session_key,
            action_digest,
            expire_time,
        } = linked;
        let digest = from_hex(action_digest)?;
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(webhook_id.as_bytes());
        bytes.extend_from_slice(question_id.as_bytes());
        bytes.extend_from_slice(&expire_time.0.to_be_bytes());
        bytes.extend_from_slice(&digest);
        bytes.extend_from_slice(session_key.as_bytes());
        let signed = mac(&self.key, &bytes);
        bytes.extend_from_slice(&signed);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a link names; `None` where it is none of ours, or over.
    pub fn read(&self, text: &str, now: Time) -> Option<Linked> {
        if text.len() > LINK_MAX_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, signature) = bytes.split_last_chunk::<DIGEST_BYTES>()?;
        let mut right = Hmac::<Sha256>::new_from_slice(&self.key).expect("any length is a key");
        right.update(said);
        // In constant time.
        right.verify_slice(signature).ok()?;
        let (webhook_id, rest) = said.split_first_chunk::<16>()?;
        let (question_id, rest) = rest.split_first_chunk::<16>()?;
        let (end, rest) = rest.split_first_chunk::<8>()?;
        let (digest, key) = rest.split_first_chunk::<DIGEST_BYTES>()?;
        let expire_time = Time(i64::from_be_bytes(*end));
        if expire_time <= now {
            return None;
        }
        Some(Linked {
            webhook_id: Uuid::from_bytes(*webhook_id),
            question_id: Uuid::from_bytes(*question_id),
            session_key: String::from_utf8(key.to_vec()).ok()?,
            action_digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            expire_time,
        })
    }
}

fn mac(key: &[u8], said: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(said);
    mac.finalize().into_bytes().into()
}

fn from_hex(text: &str) -> Option<[u8; DIGEST_BYTES]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_this_servers_for_its_question_until_its_end() {
        let links = AnswerLinks::new("https://deck.example/", Duration::from_secs(60), b"pepper");
        let linked = Linked {
            webhook_id: Uuid::from_u128(1),
            question_id: Uuid::from_u128(2),
            session_key: "a:b".into(),
            action_digest: "0f".repeat(32),
            expire_time: Time(100),
        };
        let text = links.text(&linked).expect("a link");
        assert_eq!(links.read(&text, Time(99)), Some(linked.clone()));
        assert_eq!(links.read(&text, Time(100)), None, "it is over");
        let other = AnswerLinks::new("https://deck.example", Duration::from_secs(60), b"other");
        assert_eq!(other.read(&text, Time(0)), None, "another server's");
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("text");
            // The last digit has bits that say nothing; the decoder refuses those.
            assert_eq!(links.read(&changed, Time(0)), None, "{at}");
        }
        for wrong in ["", "A", &"A".repeat(LINK_MAX_BYTES + 1), "%%%", &text[4..]] {
            assert_eq!(links.read(wrong, Time(0)), None);
        }
        let no_digest = Linked {
            action_digest: "xyz".into(),
            ..linked
        };
        assert_eq!(links.text(&no_digest), None);
    }
}
