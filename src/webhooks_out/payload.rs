//! What a delivery says, and how it is signed: the Standard Webhooks specification, with CloudEvents' attributes as headers;
//! or a push notification of A2A, with what its receiver knows it by.

use super::answer_links::AnswerLinks;
use crate::{
    domain::{
        event::EventKind,
        webhooks_out::{
            AUTHORIZATION_MAX_BYTES, BODY_MAX_BYTES, Format, SECRET_BYTES, TOKEN_MAX_BYTES, type_of,
        },
    },
    proto::{DESCRIPTORS, GatewayEvent},
    store::{DueDeliveries, DueEvent},
    wire::{
        a2a,
        frames::{self, Position},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use std::sync::LazyLock;

/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// The token of a push notification.
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-a2a-notification-token");

static EVENT: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("the build made them");
    let name = "quarterdeck.v1.GatewayEvent";
    pool.get_message_by_name(name).expect("it is one of them")
});

/// A delivery that is ready to be signed.
pub(super) struct Payload {
    /// The header `webhook-id`.
    pub(super) id: String,
    /// The body.
    pub(super) body: Vec<u8>,
    /// CloudEvents' headers.
    pub(super) headers: HeaderMap,
}

/// What is sent along with push notifications, as it is sealed.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct PushCredentials {
    token: String,
    authorization: String,
}

/// How a receiver knows whose a delivery is.
pub(super) enum Proof {
    /// By signatures of these.
    Secrets(Vec<SecretString>),
    /// By what it gave itself.
    Credentials(PushCredentials),
}

// === impl PushCredentials ===

impl PushCredentials {
    /// What a caller gave; empty where nothing is sent.
    ///
    /// # Errors
    /// Fields that are wrong, and what is, for people.
    pub fn new(token: &str, authorization: &str) -> Result<Self, Vec<(&'static str, String)>> {
        let wrong = |name, text: &str, most: usize| {
            let visible = text.bytes().all(|it| (b' '..=b'~').contains(&it));
            let problem = format!("must be at most {most} bytes of visible ASCII");
            (text.len() > most || !visible).then_some((name, problem))
        };
        let wrong: Vec<_> = [
            wrong("token", token, TOKEN_MAX_BYTES),
            wrong("authorization", authorization, AUTHORIZATION_MAX_BYTES),
        ]
        .into_iter()
        .flatten()
        .collect();
        match wrong.is_empty() {
            true => Ok(Self {
                token: token.to_owned(),
                authorization: authorization.to_owned(),
            }),
            false => Err(wrong),
        }
    }

    /// The text that is sealed.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts are always JSON")
    }
}

// === impl Proof ===

impl Proof {
    /// From what was sealed; `None` where that is none.
    pub(super) fn of(format: Format, opened: Vec<SecretString>) -> Option<Self> {
        match format {
            Format::Standard => Some(Self::Secrets(opened)),
            Format::A2a => {
                let text = opened.first()?.expose_secret();
                serde_json::from_str(text).ok().map(Self::Credentials)
            }
        }
    }

    /// The headers by which a delivery is known, tried in that second.
    pub(super) fn headers(&self, payload: &Payload, second: i64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(mut value) = HeaderValue::from_str(value)
                && !value.is_empty()
            {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        };
        // By which receivers that have seen it pass it over, whatever else they know it by.
        put(HeaderName::from_static("webhook-id"), &payload.id);
        match self {
            Self::Secrets(secrets) => {
                let name = HeaderName::from_static("webhook-timestamp");
                put(name, &second.to_string());
                let signed = signature(secrets, &payload.id, second, &payload.body);
                put(HeaderName::from_static("webhook-signature"), &signed);
            }
            Self::Credentials(sent) => {
                put(TOKEN_HEADER, &sent.token);
                put(header::AUTHORIZATION, &sent.authorization);
            }
        }
        headers
    }
}

/// The bytes of a secret.
///
/// # Errors
/// What is wrong with it, for people.
pub fn secret_bytes(secret: &str) -> Result<Vec<u8>, String> {
    let encoded = secret.strip_prefix(SECRET_PREFIX);
    let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    bytes
        .filter(|bytes| SECRET_BYTES.contains(&bytes.len()))
        .ok_or_else(|| {
            format!(
                "must be {SECRET_PREFIX} and base64 of {} to {} bytes",
                SECRET_BYTES.start(),
                SECRET_BYTES.end()
            )
        })
}

/// A new secret.
pub fn make_secret() -> SecretString {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes)).into()
}

/// The header `webhook-signature`: one signature for each secret, the first first.
pub(super) fn signature(secrets: &[SecretString], id: &str, second: i64, body: &[u8]) -> String {
    let one = |secret: &SecretString| {
        let key = secret_bytes(secret.expose_secret()).unwrap_or_default();
        let mut made =
            Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of every length");
        made.update(format!("{id}.{second}.").as_bytes());
        made.update(body);
        format!("v1,{}", STANDARD.encode(made.finalize().into_bytes()))
    };
    let all: Vec<String> = secrets.iter().map(one).collect();
    all.join(" ")
}

/// What is told of an event.
///
/// # Errors
/// It can't be told, for people.
pub(super) fn payload(
    due: &DueDeliveries,
    event: &DueEvent,
    store_id: &str,
    links: Option<&AnswerLinks>,
) -> Result<Payload, String> {
    let DueEvent {
        event: stored,
        time,
        of_webhook: _,
    } = event;
    let message = frames::message(
        &due.session_key,
        due.log_id,
        Position::Seq(stored.seq),
        &stored.body,
    );
    let message = message.map_err(|_| "the event can't be read".to_owned())?;
    let id = format!("{}:{}", due.log_id, stored.seq);
    match due.webhook.rules.format {
        Format::Standard => {}
        Format::A2a => return push(id, &message),
    }
    let told_at = jiff::Timestamp::from_microsecond(time.0).unwrap_or_default();
    let of = type_of(stored.kind);
    let mut data = match due.webhook.rules.full {
        true => whole(&message)?,
        false => json!({
            "sessionKey": due.session_key.as_str(),
            "logId": due.log_id.to_string(),
            "seq": stored.seq.to_string(),
            "turnId": message.turn_id,
        }),
    };
    if stored.kind == EventKind::QUESTION_ASKED
        && let Some(links) = links
        && let Some(url) = links.of(due, &message)
    {
        data["answerUrl"] = Json::String(url);
    }
    let body = json!({ "type": of, "timestamp": told_at.to_string(), "data": data });
    let body = bytes(&body)?;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json".to_owned()),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", id.clone()),
        ("ce-type", of),
        // Whose log it is; a session's key needs no escaping in a path.
        (
            "ce-source",
            format!("/stores/{store_id}/sessions/{}", due.session_key),
        ),
        ("ce-subject", message.turn_id),
        ("ce-time", told_at.to_string()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value)
            && !value.is_empty()
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(Payload { id, body, headers })
}

/// A push notification of A2A.
fn push(id: String, message: &GatewayEvent) -> Result<Payload, String> {
    let told = a2a::pushed(message).ok_or("the event tells nothing of its task")?;
    let kind = HeaderValue::from_static("application/a2a+json");
    Ok(Payload {
        id,
        body: bytes(&told)?,
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]),
    })
}

fn bytes(body: &Json) -> Result<Vec<u8>, String> {
    let body = serde_json::to_vec(body).expect("a value is JSON");
    match body.len() <= BODY_MAX_BYTES {
        true => Ok(body),
        false => Err("the event is longer than what is delivered".into()),
    }
}

/// An event as proto3 JSON.
fn whole(message: &GatewayEvent) -> Result<Json, String> {
    let unreadable = || "the event can't be read".to_owned();
    let message = DynamicMessage::decode(EVENT.clone(), message.encode_to_vec().as_slice());
    let options = SerializeOptions::new().skip_default_fields(true);
    let message = message.map_err(|_| unreadable())?;
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's libraries.
    #[test]
    fn deliveries_are_signed_as_the_specification_says() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let made = signature(
            &[secret.into(), secret.into()],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        let right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(made, format!("{right} {right}"));
    }

    #[test]
    fn secrets_have_the_length_that_the_specification_says() {
        assert_eq!(
            secret_bytes(make_secret().expose_secret()).map(|it| it.len()),
            Ok(32)
        );
        assert_ne!(make_secret().expose_secret(), make_secret().expose_secret());
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        let long = format!("whsec_{}", STANDARD.encode([1; 65]));
        let bare = STANDARD.encode([1; 32]);
        for wrong in ["", "whsec_", "whsec_%%", &short, &long, &bare] {
            assert!(secret_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
