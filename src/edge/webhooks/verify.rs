//! Whether a delivery is from whom it says: each scheme's signature over the body as it came, and its window of time.
//!
//! Every secret is tried with every signature that is listed, in constant time and without an early end, so that the time
//! tells nothing. Nothing here reads a clock.

use crate::domain::webhook::WebhookKind;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// How far a signed time may be from now, in seconds.
const WINDOW_SECONDS: i64 = 300;
/// The same of Linear, which says a minute.
const LINEAR_WINDOW_SECONDS: i64 = 60;
/// Signatures of one delivery that are looked at.
const SIGNATURES_MAX: usize = 16;

/// Why a delivery is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No secret made any of its signatures.
    Signature,
    /// It is too old, or of a time to come.
    Window,
}

/// Checks a delivery.
///
/// # Errors
/// It is not to be taken.
pub(super) fn verify(
    kind: WebhookKind,
    secrets: &[SecretString],
    headers: &HeaderMap,
    body: &[u8],
    now: i64,
) -> Result<(), Refused> {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.filter(|value| !value.is_empty())
    };
    let needs = |name: &str| header(name).ok_or(Refused::Signature);
    match kind {
        WebhookKind::Standard => {
            let (id, time) = (needs("webhook-id")?, needs("webhook-timestamp")?);
            let listed = needs("webhook-signature")?.split(' ');
            let given = listed.filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
            let key = |secret: &str| {
                let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
                STANDARD.decode(encoded).ok()
            };
            let signed: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", body];
            is_signed(secrets, key, &signed, given)?;
            within(time.parse().ok(), now, WINDOW_SECONDS)
        }
        WebhookKind::Github => {
            let given = needs("x-hub-signature-256")?.strip_prefix("sha256=");
            is_signed(
                secrets,
                as_it_is,
                &[body],
                given.into_iter().filter_map(hex),
            )
        }
        WebhookKind::Stripe => {
            let parts = needs("stripe-signature")?.split(',');
            let mut parts = parts.filter_map(|part| part.trim().split_once('='));
            let time = parts.clone().find(|(name, _)| *name == "t");
            let (_, time) = time.ok_or(Refused::Signature)?;
            let given = parts.by_ref().filter(|(name, _)| *name == "v1");
            let given = given.filter_map(|(_, value)| hex(value));
            is_signed(secrets, as_it_is, &[time.as_bytes(), b".", body], given)?;
            within(time.parse().ok(), now, WINDOW_SECONDS)
        }
        WebhookKind::Slack => {
            let time = needs("x-slack-request-timestamp")?;
            let given = needs("x-slack-signature")?.strip_prefix("v0=");
            let signed: [&[u8]; 4] = [b"v0:", time.as_bytes(), b":", body];
            is_signed(
                secrets,
                as_it_is,
                &signed,
                given.into_iter().filter_map(hex),
            )?;
            within(time.parse().ok(), now, WINDOW_SECONDS)
        }
        WebhookKind::Linear => {
            let given = hex(needs("linear-signature")?);
            is_signed(secrets, as_it_is, &[body], given.into_iter())?;
            // The time in the body is signed; the one in a header is not.
            let body: Json = serde_json::from_slice(body).unwrap_or_default();
            let time = body["webhookTimestamp"].as_i64();
            within(time.map(|millis| millis / 1000), now, LINEAR_WINDOW_SECONDS)
        }
        WebhookKind::Pi => {
            let given = Sha256::digest(needs("x-pi-webhook-secret")?);
            let equal = secrets.iter().fold(Choice::from(0), |equal, secret| {
                equal | Sha256::digest(secret.expose_secret()).ct_eq(&given)
            });
            bool::from(equal).then_some(()).ok_or(Refused::Signature)
        }
    }
}

/// The bytes of a secret as it is written.
fn as_it_is(secret: &str) -> Option<Vec<u8>> {
    Some(secret.as_bytes().to_vec())
}

/// Whether a secret made one of the signatures.
fn is_signed(
    secrets: &[SecretString],
    key: impl Fn(&str) -> Option<Vec<u8>>,
    signed: &[&[u8]],
    given: impl Iterator<Item = Vec<u8>>,
) -> Result<(), Refused> {
    let given: Vec<Vec<u8>> = given.take(SIGNATURES_MAX).collect();
    let mut equal = Choice::from(0);
    for secret in secrets {
        // An empty key would let anybody sign.
        let Some(key) = key(secret.expose_secret()).filter(|key| !key.is_empty()) else {
            continue;
        };
        let mut made =
            Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of every length");
        for part in signed {
            made.update(part);
        }
        let made = made.finalize().into_bytes();
        for one in &given {
            equal |= made.as_slice().ct_eq(one);
        }
    }
    bool::from(equal).then_some(()).ok_or(Refused::Signature)
}

fn within(time: Option<i64>, now: i64, window: i64) -> Result<(), Refused> {
    let off = now.saturating_sub(time.ok_or(Refused::Signature)?);
    if off.saturating_abs() <= window {
        Ok(())
    } else {
        Err(Refused::Window)
    }
}

/// Bytes from hexadecimal digits.
fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let pair = |pair: &[u8; 2]| {
        let [high, low] = pair.map(|byte| char::from(byte).to_digit(16));
        u8::try_from(high? * 16 + low?).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(pair).collect();
    bytes.filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_614_265_330;
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = all.iter();
        pairs
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn check(
        kind: WebhookKind,
        secrets: &[&str],
        given: &[(&'static str, &str)],
        body: &str,
        now: i64,
    ) -> Result<(), Refused> {
        let secrets: Vec<SecretString> = secrets.iter().map(|it| (*it).into()).collect();
        verify(kind, &secrets, &headers(given), body.as_bytes(), now)
    }

    /// The example of the Standard Webhooks specification's libraries.
    #[test]
    fn a_standard_delivery_is_known_by_any_secret_and_any_signature() {
        let body = r#"{"test": 2432232314}"#;
        let right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let with = |signature: &str, secrets: &[&str], now| {
            let given = [
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", signature),
            ];
            check(WebhookKind::Standard, secrets, &given, body, now)
        };
        assert_eq!(with(right, &[SECRET], NOW), Ok(()));
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let listed = format!("v1a,xx v1,AAAA {right}");
        assert_eq!(with(&listed, &[other, SECRET], NOW + 300), Ok(()));
        assert_eq!(with(&listed, &[other], NOW), Err(Refused::Signature));
        assert_eq!(with(&listed, &[], NOW), Err(Refused::Signature));
        assert_eq!(with(right, &[SECRET], NOW + 301), Err(Refused::Window));
        assert_eq!(with(right, &[SECRET], NOW - 301), Err(Refused::Window));
        // Another version's prefix is none of ours.
        let other = right.replace("v1,", "v2,");
        assert_eq!(with(&other, &[SECRET], NOW), Err(Refused::Signature));
        for empty in ["", "whsec_"] {
            assert_eq!(with(right, &[empty], NOW), Err(Refused::Signature));
        }
    }

    /// The example of GitHub's documentation.
    #[test]
    fn a_github_delivery_is_signed_over_its_body() {
        let given = |signature| [("x-hub-signature-256", signature)];
        let right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let secret = "It's a Secret to Everybody";
        let with =
            |signature, body| check(WebhookKind::Github, &[secret], &given(signature), body, NOW);
        assert_eq!(with(right, "Hello, World!"), Ok(()));
        assert_eq!(with(right, "Hello, World?"), Err(Refused::Signature));
        assert_eq!(with(&right[7..], "Hello, World!"), Err(Refused::Signature));
        assert_eq!(with("sha256=", "Hello, World!"), Err(Refused::Signature));
    }

    /// The example of Slack's documentation.
    #[test]
    fn a_slack_delivery_is_signed_with_its_time() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
                    &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
                    &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let given = |time| {
            [
                (
                    "x-slack-signature",
                    "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
                ),
                ("x-slack-request-timestamp", time),
            ]
        };
        let with = |time, now| {
            let secret = "8f742231b10e8888abcd99yyyzzz85a5";
            check(WebhookKind::Slack, &[secret], &given(time), body, now)
        };
        assert_eq!(with("1531420618", 1_531_420_700), Ok(()));
        assert_eq!(with("1531420618", 1_531_421_000), Err(Refused::Window));
        assert_eq!(with("1531420619", 1_531_420_700), Err(Refused::Signature));
    }

    fn signed(secret: &str, parts: &[&str]) -> String {
        let mut made = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        parts.iter().for_each(|part| made.update(part.as_bytes()));
        let bytes = made.finalize().into_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn stripe_and_linear_sign_as_they_say() {
        let body = r#"{"id":"evt_1"}"#;
        let right = signed("whsec_test", &["1614265330.", body]);
        let with = |signature: &str, now| {
            let given = [("stripe-signature", signature)];
            check(WebhookKind::Stripe, &["whsec_test"], &given, body, now)
        };
        let listed = format!("t=1614265330,v0=00,v1={},v1={right}", "00".repeat(32));
        assert_eq!(with(&listed, NOW), Ok(()));
        assert_eq!(with(&listed, NOW + 301), Err(Refused::Window));
        let other = format!("t=1614265331,v1={right}");
        assert_eq!(with(&other, NOW), Err(Refused::Signature));
        let old = format!("t=1614265330,v0={right}");
        assert_eq!(with(&old, NOW), Err(Refused::Signature));

        let body = r#"{"webhookTimestamp":1614265330123}"#;
        let right = signed("lin", &[body]);
        let with = |body, now| {
            let given = [("linear-signature", right.as_str())];
            check(WebhookKind::Linear, &["lin"], &given, body, now)
        };
        assert_eq!(with(body, NOW + 60), Ok(()));
        assert_eq!(with(body, NOW + 61), Err(Refused::Window));
        assert_eq!(with("{}", NOW), Err(Refused::Signature));
        // Signed, but of no time: it could be sent again for ever.
        let right = signed("lin", &["{}"]);
        let given = [("linear-signature", right.as_str())];
        let timeless = check(WebhookKind::Linear, &["lin"], &given, "{}", NOW);
        assert_eq!(timeless, Err(Refused::Signature));
    }

    #[test]
    fn a_pi_delivery_brings_the_secret_itself() {
        let with = |secret| {
            check(
                WebhookKind::Pi,
                &["one", "two"],
                &[("x-pi-webhook-secret", secret)],
                "",
                NOW,
            )
        };
        assert_eq!((with("one"), with("two")), (Ok(()), Ok(())));
        assert_eq!(with("on"), Err(Refused::Signature));
        let none = check(WebhookKind::Pi, &["one"], &[], "", NOW);
        assert_eq!(none, Err(Refused::Signature));
    }

    /// R16: whatever stands in the headers, it is refused, and nothing panics.
    #[test]
    fn any_header_is_taken_or_refused() {
        let names = [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "x-hub-signature-256",
            "stripe-signature",
            "x-slack-signature",
            "x-slack-request-timestamp",
            "linear-signature",
            "x-pi-webhook-secret",
        ];
        crate::fuzz::fuzz(
            &[b"v1,AAAA", b"t=1,v1=00", b"v0=0f", b"sha256=ff"],
            |bytes| {
                let Ok(value) = http::HeaderValue::from_bytes(bytes) else {
                    return;
                };
                let headers: HeaderMap = (names.iter())
                    .map(|name| (http::HeaderName::from_static(name), value.clone()))
                    .collect();
                for kind in WebhookKind::ALL {
                    let secrets = [SecretString::from("longer than what is tried here")];
                    assert!(verify(kind, &secrets, &headers, bytes, NOW).is_err());
                }
            },
        );
    }
}
