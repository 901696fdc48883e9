//! JSON to messages and back, as proto3 writes it. Pure.
//!
//! Both spellings of a field's name are read, `sessionKey` and `session_key`; the first is written. What a message of the
//! contract does not have is refused, unless the caller's protocol wants it passed over.

use super::routes::{Endpoint, message_at};
use crate::{
    auth::tickets::ShownTicket,
    domain::Refusal,
    grpc::{codec::FIELDS_MAX, handover, methods::BodyOf},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use prost::Message;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions,
    Value,
};
use serde_json::{Map, Value as Json};
use std::{borrow::Cow, collections::BTreeMap};

/// Values of one body, in any depth: in memory each takes far more than it has in bytes. No request that keeps the bounds
/// of its message has as many.
const VALUES_MAX: usize = 2 * FIELDS_MAX;

/// What a REST request says beside its body.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Fields that stand in the path, by dotted names.
    pub(super) path: Vec<(String, String)>,
    /// What stands behind `?`.
    pub(super) query: String,
    /// `Idempotency-Key`, which is `request_id`.
    pub(super) idempotency_key: Option<String>,
    /// `Last-Event-ID`, which is the cursor of who comes back: `{log_id}:{seq}`.
    pub(super) last_event_id: Option<String>,
}

// === impl Beside ===

impl Beside {
    /// Takes the ticket out of what stands behind `?`: it is no field of the call.
    pub(super) fn take_ticket(&mut self) -> Option<ShownTicket> {
        let mut ticket = None;
        let mut others = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(self.query.as_bytes()) {
            match name == "ticket" {
                true => ticket = Some(value.into_owned()),
                false => {
                    others.append_pair(&name, &value);
                }
            }
        }
        let ticket = ticket?;
        self.query = others.finish();
        let mut fields = self.path.iter();
        let key = fields.find(|(name, _)| name == "session_key");
        let key = key.map(|(_, key)| key.clone()).unwrap_or_default();
        Some(ShownTicket::new(ticket, key))
    }
}

/// Whether a field that the contract does not have is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It is: who misspelled it wants to know.
    Refused,
    /// It is passed over, as Connect wants it.
    Skipped,
}

/// The message of a REST request.
pub(super) fn of_rest(
    endpoint: &Endpoint,
    beside: &Beside,
    json: &[u8],
) -> Result<DynamicMessage, Refusal> {
    let body = endpoint.route().map_or(BodyOf::Nothing, |it| it.body);
    let mut message = match body {
        BodyOf::Nothing if !json.trim_ascii().is_empty() => {
            return Err(Refusal::field(
                "body",
                "must be empty: this call takes no body",
            ));
        }
        BodyOf::Nothing => DynamicMessage::new(endpoint.input.clone()),
        BodyOf::All => of_json(&endpoint.input, json, Unknown::Refused)?,
        BodyOf::Field(name) => {
            let inner = message_at(&endpoint.input, name).expect("a test looks at each row");
            let mut message = DynamicMessage::new(endpoint.input.clone());
            if endpoint.input.get_field_by_name("update_mask").is_some() {
                let mask = mask_of(&inner, json)?;
                set(&mut message, "update_mask", Value::Message(mask))?;
            }
            let inner = of_json(&inner, json, Unknown::Refused)?;
            set(&mut message, name, Value::Message(inner))?;
            message
        }
    };
    if !beside.query.is_empty() {
        if body == BodyOf::All {
            let problem = "are not taken by this call: say it in the body";
            return Err(Refusal::field("query parameters", problem));
        }
        let query = of_query(&endpoint.input, &beside.query)?;
        let merged = message.merge(query.encode_to_vec().as_slice());
        merged.map_err(|error| Refusal::field("query parameters", error.to_string()))?;
    }
    for (name, value) in &beside.path {
        put(&mut message, name, value, "the path")?;
    }
    if let Some(key) = &beside.idempotency_key {
        let Some(name) = &endpoint.request_id else {
            let problem = "is not taken by this call: repeating it changes nothing more";
            return Err(Refusal::field("idempotency-key", problem));
        };
        put(&mut message, name, key, "Idempotency-Key")?;
    }
    if let Some(id) = beside.last_event_id.as_deref().filter(|_| endpoint.resumes) {
        // Where there is a cursor already it is older: a browser repeats its first URL for ever.
        set(&mut message, "cursor", cursor_of(endpoint, id)?)?;
        message.clear_field_by_name("from_oldest");
    }
    Ok(message)
}

/// One message out of a body; an empty body is a message without fields.
pub(super) fn of_json(
    of: &MessageDescriptor,
    json: &[u8],
    unknown: Unknown,
) -> Result<DynamicMessage, Refusal> {
    if json.trim_ascii().is_empty() {
        return Ok(DynamicMessage::new(of.clone()));
    }
    let wrong = |error: serde_json::Error| Refusal::field("body", error.to_string());
    count_values(json)?;
    let options = DeserializeOptions::new().deny_unknown_fields(unknown == Unknown::Refused);
    let mut reader = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize_with_options(of.clone(), &mut reader, &options)
        .map_err(wrong)?;
    reader.end().map_err(wrong)?;
    Ok(message)
}

/// The JSON of an encoded message. `defaults`: fields that were not set are shown as well, as a single answer does.
///
/// # Errors
/// The bytes are no such message: a bug of ours.
pub(super) fn to_json(
    of: &MessageDescriptor,
    message: &[u8],
    defaults: bool,
) -> anyhow::Result<(Vec<u8>, DynamicMessage)> {
    let message = DynamicMessage::decode(of.clone(), message)?;
    let options = SerializeOptions::new().skip_default_fields(!defaults);
    let mut json = Vec::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options)?;
    Ok((json, message))
}

/// Name of a turn's state as people know it: `COMPLETED`.
pub(super) fn state_name(state: crate::proto::TurnState) -> String {
    let name = state.as_str_name();
    name.strip_prefix("TURN_STATE_").unwrap_or(name).to_owned()
}

/// A message as gRPC sends it.
pub(super) fn frame(message: &impl Message) -> Bytes {
    handover::frame(0, &message.encode_to_vec())
}

/// Media type and bytes of a `data:` URL. Nothing is fetched from anywhere.
pub(super) fn data_url(url: &str) -> Result<(&str, Vec<u8>), Refusal> {
    let wrong = || Refusal::field("url", "must be a data: URL in base64; nothing is fetched");
    let rest = url.strip_prefix("data:").ok_or_else(wrong)?;
    let (kind, data) = rest.split_once(";base64,").ok_or_else(wrong)?;
    let data = BASE64_STANDARD.decode(data).map_err(|_| wrong())?;
    Ok((kind.split(';').next().unwrap_or_default(), data))
}

/// What a reader of events names as its place: `{log_id}:{seq}` of a durable event.
pub(super) fn event_id(event: &DynamicMessage) -> Option<String> {
    let seq = event.get_field_by_name("seq")?.as_i64()?;
    let log = event.get_field_by_name("log_id")?;
    (seq > 0).then(|| format!("{}:{seq}", log.as_str().unwrap_or_default()))
}

fn cursor_of(endpoint: &Endpoint, id: &str) -> Result<Value, Refusal> {
    let problem = "must be the `id:` of an event, LOG_ID:SEQ";
    let wrong = || Refusal::field("last-event-id", problem);
    let (log_id, seq) = id.rsplit_once(':').ok_or_else(wrong)?;
    let seq: i64 = seq.parse().map_err(|_| wrong())?;
    let of = message_at(&endpoint.input, "cursor").ok_or_else(wrong)?;
    let mut cursor = DynamicMessage::new(of);
    set(&mut cursor, "log_id", Value::String(log_id.into()))?;
    set(&mut cursor, "after_seq", Value::I64(seq))?;
    Ok(Value::Message(cursor))
}

/// Which fields a body names: those are the ones that it changes.
fn mask_of(of: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, Refusal> {
    let named: BTreeMap<Cow<'_, str>, serde::de::IgnoredAny> = match json.trim_ascii() {
        [] => BTreeMap::new(),
        json => serde_json::from_slice(json)
            .map_err(|error| Refusal::field("body", error.to_string()))?,
    };
    let names = named.keys().filter_map(|name| field_of(of, name));
    let names = names.map(|field| Value::String(field.name().into()));
    let mask = of
        .parent_pool()
        .get_message_by_name("google.protobuf.FieldMask");
    let mut mask = DynamicMessage::new(mask.expect("what has such a field knows its type"));
    set(&mut mask, "paths", Value::List(names.collect()))?;
    Ok(mask)
}

/// A message out of `name=value&…`: dotted names reach into messages and maps, a name that is repeated makes a list.
fn of_query(of: &MessageDescriptor, query: &str) -> Result<DynamicMessage, Refusal> {
    let mut root = Map::new();
    for (at, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        if at == FIELDS_MAX {
            return Err(Refusal::field("query parameters", "are too many"));
        }
        let mut names = name.split('.').peekable();
        let mut message = of.clone();
        let mut place = &mut root;
        let unknown = || Refusal::field(name.as_ref(), "is no query parameter of this call");
        while let Some(part) = names.next() {
            let field = field_of(&message, part).ok_or_else(unknown)?;
            let key = field.name().to_owned();
            let inner = match field.kind() {
                Kind::Message(inner) if !is_leaf(&inner) => Some(inner),
                _ => None,
            };
            match inner {
                Some(inner) if names.peek().is_some() => {
                    let entry = place.entry(key).or_insert_with(|| Json::Object(Map::new()));
                    place = entry.as_object_mut().ok_or_else(unknown)?;
                    if inner.is_map_entry() {
                        // What is left is the key in the map, dots and all.
                        let key = names.collect::<Vec<_>>().join(".");
                        place.insert(key, Json::String(value.into_owned()));
                        break;
                    }
                    message = inner;
                }
                None if names.peek().is_none() => {
                    let value = scalar(&field, &name, &value)?;
                    if field.is_list() {
                        let list = place.entry(key).or_insert_with(|| Json::Array(Vec::new()));
                        list.as_array_mut().ok_or_else(unknown)?.push(value);
                    } else if place.insert(key, value).is_some() {
                        return Err(Refusal::field(name.as_ref(), "is given twice"));
                    }
                }
                Some(_) | None => return Err(unknown()),
            }
        }
    }
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(of.clone(), Json::Object(root), &options)
        .map_err(|error| Refusal::field("query parameters", error.to_string()))
}

/// A value of a query as JSON has it. Numbers, times and names of values may be strings there.
fn scalar(field: &FieldDescriptor, name: &str, value: &str) -> Result<Json, Refusal> {
    match field.kind() {
        Kind::Bool => match value {
            "true" | "1" | "" => Ok(Json::Bool(true)),
            "false" | "0" => Ok(Json::Bool(false)),
            _ => Err(Refusal::field(name, "must be true or false")),
        },
        _ => Ok(Json::String(value.into())),
    }
}

/// Messages that JSON writes as one string.
fn is_leaf(message: &MessageDescriptor) -> bool {
    matches!(
        message.full_name(),
        "google.protobuf.Duration" | "google.protobuf.Timestamp" | "google.protobuf.FieldMask"
    )
}

/// A field by either of its names.
fn field_of(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    let by_name = message.get_field_by_name(name);
    by_name.or_else(|| message.get_field_by_json_name(name))
}

fn set(message: &mut DynamicMessage, name: &str, value: Value) -> Result<(), Refusal> {
    let set = message.try_set_field_by_name(name, value);
    set.map_err(|error| Refusal::field(name, error.to_string()))
}

/// Sets a string by its dotted name. What the body says otherwise is refused, since one of both is a mistake.
fn put(
    message: &mut DynamicMessage,
    name: &str,
    value: &str,
    said_by: &str,
) -> Result<(), Refusal> {
    if let Some((outer, rest)) = name.split_once('.') {
        let inner = message.get_field_by_name_mut(outer);
        let inner = inner.and_then(Value::as_message_mut);
        let inner = inner.ok_or_else(|| Refusal::field(name, "is no field of this call"))?;
        return put(inner, rest, value, said_by);
    }
    let before = message.get_field_by_name(name);
    let before = before.as_ref().and_then(|it| it.as_str()).unwrap_or("");
    if !before.is_empty() && before != value {
        let problem = format!("is one thing in the body and another in {said_by}");
        return Err(Refusal::field(name, problem));
    }
    set(message, name, Value::String(value.into()))
}

/// Refuses JSON of too many values before anything is made of it. Broken JSON is counted as well as it goes.
pub(super) fn count_values(json: &[u8]) -> Result<(), Refusal> {
    let (mut values, mut inside, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b',' | b'{' | b'[' if !inside => values += 1,
            _ => {}
        }
    }
    if values > VALUES_MAX {
        let problem = format!("has more than {VALUES_MAX} values");
        return Err(Refusal::field("body", problem));
    }
    Ok(())
}
