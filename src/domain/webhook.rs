//! Webhooks in: the ways in which they are signed, and what becomes of a delivery: the text of its turn and the key of its
//! session, by templates.
//!
//! A template is text with names in braces: `{body}` is the whole body, `{/a/b}` what stands at that place of it (a JSON
//! pointer), `{route}`, `{sender}`, `{event}` and `{id}` what their names say. Nothing is evaluated: a value that holds
//! braces stays as it is. Keys are injective: two deliveries with other values never get one key.

use super::ids::SESSION_KEY_MAX_BYTES;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// How the deliveries of a webhook are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookKind {
    /// By the Standard Webhooks specification.
    Standard,
    /// As GitHub does.
    Github,
    /// As Stripe does.
    Stripe,
    /// As Slack's events do.
    Slack,
    /// As Linear does.
    Linear,
    /// Not at all: with the secret itself in `x-pi-webhook-secret`.
    Pi,
}

/// What a delivery does where its session is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookBusy {
    /// Its turn waits.
    Enqueue,
    /// It is refused.
    Reject,
}

/// What templates may name.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Name of the route.
    pub route: &'a str,
    /// Who caused it, by the sender's own word; empty where that is not told.
    pub sender: &'a str,
    /// What has happened, by the sender's own word.
    pub event: &'a str,
    /// Names the delivery.
    pub id: &'a str,
    /// The body.
    pub body: &'a Json,
}

/// A piece of a template.
enum Piece<'t> {
    Text(&'t str),
    Name(&'t str),
}

/// What is wrong with a template, for people.
pub fn problem(template: &str) -> Option<String> {
    let known = |name: &str| {
        name.starts_with('/') || ["body", "route", "sender", "event", "id"].contains(&name)
    };
    let unknown = pieces(template).find_map(|piece| match piece {
        Piece::Name(name) if !known(name) => Some(name.to_owned()),
        Piece::Name(_) | Piece::Text(_) => None,
    });
    unknown.map(|name| {
        format!(
            "{{{name}}} is no name; there are {{body}}, {{route}}, {{sender}}, {{event}}, {{id}} and places in the body such as {{/issue/title}}"
        )
    })
}

/// A text by its template.
pub fn text(template: &str, facts: &Facts<'_>) -> String {
    let mut text = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Name(name) => text.push_str(&facts.value(name)),
        }
    }
    text
}

/// A session's key by its template.
pub fn session_key(template: &str, facts: &Facts<'_>) -> String {
    let mut key = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Text(literal) => key.push_str(literal),
            Piece::Name(name) => match facts.value(name).as_str() {
                "" => key.push_str("default"),
                value => escape(&mut key, value),
            },
        }
    }
    if key.len() > SESSION_KEY_MAX_BYTES {
        // No escape writes `~`, so no shorter key looks like it.
        let digest = Sha256::digest(&key);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let kept = key.floor_char_boundary(SESSION_KEY_MAX_BYTES - digest.len() - 1);
        key.truncate(kept);
        key.push('~');
        key.push_str(&digest);
    }
    key
}

/// Writes a value with the characters of keys; `:`, `=` and `~` stand for nothing else in it. A value that is the word for
/// a missing one is told apart from it.
fn escape(key: &mut String, value: &str) {
    if value == "default" {
        key.push_str("=64efault");
        return;
    }
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'+' | b'-' => {
                key.push(char::from(byte));
            }
            _ => write!(key, "={byte:02x}").expect("a text takes everything"),
        }
    }
}

/// Cuts a template; a brace that is not closed is text.
fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(inner) = rest.strip_prefix('{')
            && let Some((name, behind)) = inner.split_once('}')
        {
            rest = behind;
            return Some(Piece::Name(name));
        }
        // The first character may be a brace that is not closed.
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let end = rest[first..].find('{').map_or(rest.len(), |at| at + first);
        let (text, behind) = rest.split_at(end);
        rest = behind;
        Some(Piece::Text(text))
    })
}

// === impl WebhookKind ===

impl WebhookKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Standard,
        Self::Github,
        Self::Stripe,
        Self::Slack,
        Self::Linear,
        Self::Pi,
    ];
}

// === impl Facts ===

impl Facts<'_> {
    fn value(&self, name: &str) -> String {
        match name {
            "route" => self.route.to_owned(),
            "sender" => self.sender.to_owned(),
            "event" => self.event.to_owned(),
            "id" => self.id.to_owned(),
            "body" => self.body.to_string(),
            pointer => at(self.body, pointer),
        }
    }
}

/// What stands at a place of a body: a text as it is, else JSON; empty where nothing does.
pub fn at(body: &Json, pointer: &str) -> String {
    match body.pointer(pointer) {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SessionKey;
    use proptest::prelude::*;
    use serde_json::json;

    fn facts<'a>(sender: &'a str, body: &'a Json) -> Facts<'a> {
        Facts {
            route: "github",
            sender,
            event: "issues",
            id: "1",
            body,
        }
    }

    #[test]
    fn places_of_the_body_are_put_in_and_nothing_is_evaluated() {
        let body = json!({ "issue": { "title": "It's {body} {", "number": 7 }, "a": [1, 2] });
        let facts = facts("anna", &body);
        assert_eq!(
            text(
                "{event} #{/issue/number}: {/issue/title}{/none} {/a} ä{",
                &facts
            ),
            "issues #7: It's {body} { [1,2] ä{"
        );
        assert_eq!(text("{body}", &facts), body.to_string());
        assert_eq!(problem("{/x} {sender} {"), None);
        assert!(problem("{{x}}").is_some() && problem("{secret}").is_some());
    }

    #[test]
    fn keys_follow_the_grammar_and_are_nobody_elses() {
        let key = |sender| session_key("webhook:{route}:{sender}", &facts(sender, &Json::Null));
        assert_eq!(key("anna"), "webhook:github:anna");
        assert_eq!(key(""), "webhook:github:default");
        assert_ne!(key("default"), key(""));
        assert_eq!(key("a:b/c"), "webhook:github:a=3ab=2fc");
        let (long, longer) = ("x".repeat(300), "x".repeat(301));
        assert_ne!(key(&long), key(&longer));
        assert_eq!(key(&long).len(), SESSION_KEY_MAX_BYTES);
    }

    proptest! {
        #[test]
        fn two_senders_never_share_a_session(one in "\\PC{0,40}", other in "\\PC{0,40}") {
            let key = |sender: &str| session_key("w:{sender}", &facts(sender, &Json::Null));
            prop_assert!(SessionKey::parse(&key(&one)).is_ok());
            prop_assert_eq!(one == other, key(&one) == key(&other));
        }

        #[test]
        fn any_template_is_read(template in "[{}/a-cä]{0,20}") {
            let body = json!({ "a": "b" });
            let _ = (problem(&template), text(&template, &facts("s", &body)));
        }
    }
}
