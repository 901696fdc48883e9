//! Keeps credentials and control characters out of what is logged.
//!
//! Three nets: the name of a field, words that are shaped like credentials, and values behind names of credentials in
//! running text. A secret of no known shape under a name that says nothing slips through: do not log it.

use regex::{Captures, Regex};
use std::{borrow::Cow, sync::LazyLock};

/// What stands in place of a credential.
pub const MASK: &str = "[redacted]";

/// Words of a field's name that say that its value is a credential.
const SECRET_WORDS: [&str; 10] = [
    "authorization",
    "cookie",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "pepper",
    "jwt",
];

/// Every shape in one expression, so that usual text is looked at once. The parts `head` and `tail` are kept.
static SHAPES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?x)",
        // Our own keys and what is exchanged for them, also cut ones.
        r"(?-u:\b)qd[ktx]_[A-Za-z0-9_-]+",
        // Headers whose whole value is a credential: to the end of the quotes, or of the line. The quotes may be those of
        // JSON inside of a quoted text.
        r#"|(?P<header>(?i:(?-u:\b)(?:proxy-)?authorization|(?-u:\b)(?:set-)?cookie)(?:\\?["'])?\s*[:=]\s*)(?:\\?"[^"\n]*"?|'[^'\n]*'?|[^\r\n"'}\])]+)"#,
        // The usual scheme of such headers, wherever it stands.
        r#"|(?P<scheme>(?i:(?-u:\b)bearer)\s+)[A-Za-z0-9._~+/=-]{4,}"#,
        // Names of credentials with a value: `password=x`, `"api_key": "x"`, `client_secret: x`.
        r#"|(?P<name>(?i:(?-u:\b)[a-z0-9_.-]{0,32}(?:password|passwd|passphrase|secret|token|api[_-]?key))(?:\\?["'])?\s*[:=]\s*)(?:\\?"[^"\n]*"?|'[^'\n]*'?|[^\s,;&"'}\])]+)"#,
        // Passwords in addresses.
        r"|(?P<address>(?-u:\b)[a-z][a-z0-9+.-]{1,15}://[^\s/:@]*:)[^\s/@]+(?P<host>@)",
        // Tokens of three or more parts in base64url.
        r"|(?-u:\b)eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){1,4}",
        r"|(?-u:\b)[A-Za-z0-9_-]{12,}\.[A-Za-z0-9_-]{12,}\.[A-Za-z0-9_-]{12,}",
        // Private keys in PEM.
        r"|-----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----(?s:.*?)(?:-----END\ [A-Z\ ]*PRIVATE\ KEY-----|\z)",
    ))
    .expect("a test compiles it")
});

/// Whether a field of this name holds a credential.
pub fn is_secret_name(name: &str) -> bool {
    let mut before = "";
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        let api_key = before.eq_ignore_ascii_case("api") && word.eq_ignore_ascii_case("key");
        let listed = SECRET_WORDS
            .iter()
            .any(|secret| word.eq_ignore_ascii_case(secret));
        if listed || api_key {
            return true;
        }
        before = word;
    }
    false
}

/// The text with every credential replaced.
pub fn redact(text: &str) -> Cow<'_, str> {
    // Ids and numbers, the most usual values: every shape has another letter.
    let plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    SHAPES.replace_all(text, |found: &Captures<'_>| {
        let part = |name| found.name(name).map_or("", |part| part.as_str());
        let head = ["header", "scheme", "name", "address"].map(part).concat();
        format!("{head}{MASK}{}", part("host"))
    })
}

/// What stands in place of a path.
const PATH: &str = "[path]";

/// A path in running text: from the root, or from a home; not the path of an address, and no lone slash.
static PATHS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?P<before>^|[\s"'`(\[{<=,;]|file://|[^/:]:)(?:~|[A-Za-z]:)?/[^/\s"'`)\]}>,;:][^\s"'`)\]}>,;:]*"#)
        .expect("a test compiles it")
});

/// The text without the paths of this machine, for those who share it and do not run it.
pub fn without_paths(text: &str) -> Cow<'_, str> {
    PATHS.replace_all(text, |found: &Captures<'_>| {
        format!("{}{PATH}", &found["before"])
    })
}

/// Whether a character steers a terminal, ends a line, turns the direction of writing, or hides text beside another.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// The text without characters that steer, written out as in Rust.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_credential_is_replaced() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ";
        let opaque = "AAAAAAAAAAAAAAAA.BBBBBBBBBBBBBBBB.CCCCCCCCCCCCCCCC";
        for (text, wanted) in [
            ("key qdk_abc_CANARY_1 used", "key [redacted] used"),
            ("page qdx_eyJrZXkCANARY-_ used", "page [redacted] used"),
            ("Bearer CANARY.x~y", "Bearer [redacted]"),
            ("bearer   CANARY", "bearer   [redacted]"),
            ("authorization: Basic CANARY==", "authorization: [redacted]"),
            (
                r#"{"authorization": "Bearer CANARY", "a": 1}"#,
                r#"{"authorization": [redacted], "a": 1}"#,
            ),
            ("cookie: a=CANARY; b=CANARY", "cookie: [redacted]"),
            ("password=CANARY next", "password=[redacted] next"),
            (
                r#""client_secret":"CANARY with blanks""#,
                r#""client_secret":[redacted]"#,
            ),
            ("x-api-key: CANARY", "x-api-key: [redacted]"),
            (
                r#""{\"token\":\"CANARY\",\"a\":1}""#,
                r#""{\"token\":[redacted],\"a\":1}""#,
            ),
            (
                r#""authorization\": \"Basic CANARY\" x"#,
                r#""authorization\": [redacted] x"#,
            ),
            ("https://me:CANARY@host/x", "https://me:[redacted]@host/x"),
            (
                "-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY----- rest",
                "[redacted] rest",
            ),
            ("-----BEGIN EC PRIVATE KEY-----\nCANARY", "[redacted]"),
        ] {
            assert_eq!(redact(text), wanted, "{text:?}");
        }
        assert_eq!(redact(&format!("got {jwt}!")), "got [redacted]!");
        assert_eq!(redact(&format!("got {opaque}")), "got [redacted]");
        assert_eq!(redact("cut eyJhbGciOiJIUzI1NiJ9.eyJz"), "cut [redacted]");
    }

    #[test]
    fn usual_text_stays_as_it_is() {
        for text in [
            "accepting calls address=127.0.0.1:7777",
            "quarterdeck.v1.GatewayService/Enqueue refused",
            "connection of [::1]:5 ended: stream error",
            "0198f3a2-77aa-7cc3-9d3e-0f3a5b1c2d3e",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "/tmp/a.b.c/quarterdeck.toml",
            "tokens: 12 in, 9 out",
        ] {
            assert!(
                matches!(redact(text), Cow::Borrowed(_)),
                "{text:?} became {:?}",
                redact(text)
            );
        }
    }

    #[test]
    fn names_of_fields_tell_credentials() {
        for name in [
            "authorization",
            "Set-Cookie",
            "db.password",
            "api_key",
            "refresh_token",
            "client-secret",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "credential",
            "input_tokens",
            "key_id",
            "session_key",
            "principal",
            "secretary",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(
            escape("a\nb\x1b[31m\u{202e}c\u{9b}"),
            "a\\nb\\u{1b}[31m\\u{202e}c\\u{9b}"
        );
        assert!(matches!(escape("grün ✓"), Cow::Borrowed(_)));
    }

    #[test]
    fn paths_are_left_out_and_other_words_stay() {
        for (text, told) in [
            ("can't read /root/.pi/agent/auth.json", "can't read [path]"),
            ("'/srv/a b' is gone", "'[path] b' is gone"),
            ("ENOENT: open '~/.pi/models.json'", "ENOENT: open '[path]'"),
            (
                "at file:///opt/pi/dist/cli.js:12:3",
                "at file://[path]:12:3",
            ),
            ("cwd=/srv/projects, again", "cwd=[path], again"),
            ("error:/etc/passwd", "error:[path]"),
        ] {
            assert_eq!(without_paths(text), told);
        }
        for text in [
            "429 from https://api.example.com/v1/chat: slow down",
            "read/write failed",
            "3 / 4 of the tokens",
            "no model called a/b",
        ] {
            assert_eq!(without_paths(text), text);
        }
    }
}
